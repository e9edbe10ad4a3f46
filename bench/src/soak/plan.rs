//! What is to go wrong, when, and for how long: drawn from a seed before anything runs, so that a seed repeats it.
//!
//! Faults come one after the other with a rest between them, in which the sites may catch up; every third one is joined by a
//! cut link or a site that stands still elsewhere. Never are two of three sites down at once by one plan: a red order without a
//! majority is not a fault to be survived but to be waited out.

use std::time::Duration;

use crate::random::Random;

/// What goes wrong. Sites are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9, and a start at the end.
    Killed(usize),
    /// SIGSTOP, and SIGCONT at the end.
    Stopped(usize),
    /// SIGTERM, and a start at the end.
    Restarted(usize),
    /// The direct link between two sites.
    Cut(usize, usize),
    /// A site without any link.
    Isolated(usize),
    /// The clock of a site jumps by so many ms, and back at the end.
    Clock(usize, i64),
    /// The disk of the site that has a small one is full.
    Full,
}

/// The kinds, by name, in the order of the report.
pub const KINDS: [&str; 7] = [
    "killed with -9 and started again",
    "stopped and continued",
    "drained and started again",
    "a link cut",
    "a site cut off",
    "a clock set forward or back",
    "a full disk",
];

impl Fault {
    /// Which of [`KINDS`].
    pub fn kind(self) -> usize {
        match self {
            Fault::Killed(_) => 0,
            Fault::Stopped(_) => 1,
            Fault::Restarted(_) => 2,
            Fault::Cut(..) => 3,
            Fault::Isolated(_) => 4,
            Fault::Clock(..) => 5,
            Fault::Full => 6,
        }
    }

    /// For people.
    pub fn tell(self, names: &[&str]) -> String {
        match self {
            Fault::Killed(site) => format!("{} is killed", names[site]),
            Fault::Stopped(site) => format!("{} stands still", names[site]),
            Fault::Restarted(site) => format!("{} is drained", names[site]),
            Fault::Cut(a, b) => format!("{} - {} is cut", names[a], names[b]),
            Fault::Isolated(site) => format!("{} is cut off", names[site]),
            Fault::Clock(site, ms) => format!("the clock of {} jumps by {ms} ms", names[site]),
            Fault::Full => "a disk is full".to_owned(),
        }
    }
}

/// A fault and its time, from the start of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Planned {
    pub fault: Fault,
    pub begins: Duration,
    pub ends: Duration,
}

/// The faults of `time`, in the order in which they begin. `full`: there is a site with a small disk.
pub fn plan(seed: u64, sites: usize, time: Duration, full: bool) -> Vec<Planned> {
    let mut random = Random::new(seed, 0x50AC, 0);
    let ms = |n: i64| Duration::from_millis(n.unsigned_abs());
    let mut planned = Vec::new();
    let mut at = ms(random.within(2_000, 5_000));
    loop {
        let lasts = ms(random.within(1_000, 10_000));
        let rest = ms(random.within(3_000, 8_000));
        if at + lasts + rest > time {
            return planned;
        }
        let fault = draw(&mut random, sites, full);
        planned.push(Planned { fault, begins: at, ends: at + lasts });
        if let (Some(site), true) = (hurt(fault), random.percent(33)) {
            let (a, b) = ((site + 1) % sites, (site + 2) % sites);
            let other = if random.percent(50) {
                Fault::Cut(site.min(a), site.max(a))
            } else {
                Fault::Cut(a.min(b), a.max(b))
            };
            if !matches!(fault, Fault::Isolated(_)) {
                planned.push(Planned { fault: other, begins: at + lasts / 4, ends: at + lasts * 3 / 4 });
            }
        }
        at += lasts + rest;
    }
}

fn draw(random: &mut Random, sites: usize, full: bool) -> Fault {
    let mut site = || random.within(0, sites as i64 - 1) as usize;
    let (one, other) = (site(), site());
    let jump = random.within(200, 20_000) * if random.percent(50) { 1 } else { -1 };
    match random.within(0, if full { 13 } else { 12 }) {
        0..=3 => Fault::Killed(one),
        4..=5 => Fault::Stopped(one),
        6 => Fault::Restarted(one),
        7..=8 if one != other => Fault::Cut(one.min(other), one.max(other)),
        7..=10 => Fault::Isolated(one),
        11..=12 => Fault::Clock(one, jump),
        _ => Fault::Full,
    }
}

/// The site that a fault takes out of play.
fn hurt(fault: Fault) -> Option<usize> {
    match fault {
        Fault::Killed(site) | Fault::Stopped(site) | Fault::Restarted(site) | Fault::Clock(site, _) => {
            Some(site)
        }
        Fault::Isolated(_) | Fault::Cut(..) | Fault::Full => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_plan_and_all_kinds_come() {
        let hour = Duration::from_secs(3600);
        let planned = plan(7, 3, hour, true);
        assert_eq!(planned, plan(7, 3, hour, true));
        assert_ne!(planned, plan(8, 3, hour, true));
        for (kind, name) in KINDS.iter().enumerate() {
            assert!(planned.iter().any(|p| p.fault.kind() == kind), "{name}");
        }
        assert!(planned.iter().all(|p| p.begins < p.ends && p.ends <= hour));
        assert!(!plan(7, 3, hour, false).iter().any(|p| p.fault == Fault::Full));
    }

    /// Whatever begins has ended before a second site is taken out of play.
    #[test]
    fn one_site_is_down_at_a_time() {
        let planned = plan(3, 3, Duration::from_secs(3600), true);
        let down: Vec<_> = planned.iter().filter(|p| hurt(p.fault).is_some()).collect();
        assert!(down.windows(2).all(|two| two[0].ends < two[1].begins));
    }
}
