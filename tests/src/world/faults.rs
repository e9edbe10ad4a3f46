//! What goes wrong, planned before the run begins: a list of faults with times, so that some of them can be left out when a
//! failing run is made smaller, and the rest stays as it was.

use gemini_engine::disk::Fault as DiskFault;

use super::options::{Kinds, Options};
use super::{Event, World};
use crate::random::Random;

/// Whom a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// This site, counted from 0.
    Site(usize),
    /// Whichever site leads the red order at that moment: forces a change of leader.
    Leader,
}

/// One kind of trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes at a site.
    Crash(Who),
    /// The power goes everywhere.
    Outage,
    /// A process stands still and then finds everything waiting.
    Pause(Who),
    /// Frames do not pass, in one direction or both.
    Cut {
        /// From this site …
        from: usize,
        /// … to this one.
        to: usize,
        /// And back.
        both: bool,
    },
    /// A site is cut off from all others.
    Isolate(Who),
    /// The sites fall into two parts: those whose bit is set, and the others.
    Split(u64),
    /// A direction takes so many times as long.
    SlowLink {
        /// From this site …
        from: usize,
        /// … to this one.
        to: usize,
        /// How many times.
        times: u64,
    },
    /// A sync takes up to so long, µs.
    SlowDisk {
        /// Whose.
        who: Who,
        /// The most, µs.
        takes: u64,
    },
    /// A disk has room for so many bytes more.
    FullDisk {
        /// Whose.
        who: Who,
        /// What is left.
        room: u64,
    },
    /// The n-th write or sync from now fails (with `dead`, all after it too): the site stops, and starts again later.
    BrokenDisk {
        /// Whose.
        who: Who,
        /// Counted from 1.
        nth: u64,
        /// It does not come back by itself.
        dead: bool,
    },
    /// A clock is set, by so many µs.
    Clock {
        /// Whose.
        who: Who,
        /// Forward, or (negative) back.
        by: i64,
    },
    /// The client at a desk hangs up, whatever it was doing.
    HangUp(usize),
}

/// A fault with its time.
#[derive(Clone, Debug)]
pub struct Planned {
    /// When, µs after trouble has begun.
    pub at: u64,
    /// How long, µs.
    pub lasts: u64,
    /// What.
    pub fault: Fault,
}

/// What ends when a fault is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Over {
    Start(usize),
    Pause(usize),
    Cut(usize, usize),
    SlowLink(usize, usize),
    SlowDisk(usize),
    FullDisk(usize),
    BrokenDisk(usize),
    Clock(usize, i64),
}

/// Draws the faults of a run.
pub fn plan(options: &Options) -> Vec<Planned> {
    let mut random = Random::new(options.seed ^ 0x5eed_fa17).fork();
    let mut planned = Vec::new();
    for at in (0..options.trouble).step_by(50_000) {
        // Twenty draws a second.
        if random.chance(options.faults / 20)
            && let Some(fault) = draw(options.kinds, options, &mut random)
        {
            let lasts = if random.chance(300) {
                random.between(1_000, 100_000)
            } else {
                random.between(200_000, 2_500_000)
            };
            planned.push(Planned { at: at + random.below(50_000), lasts, fault });
        }
    }
    planned
}

fn draw(kinds: Kinds, options: &Options, random: &mut Random) -> Option<Fault> {
    let sites = options.sites as u64;
    let who = if random.chance(350) { Who::Leader } else { Who::Site(random.below(sites) as usize) };
    let from = random.below(sites) as usize;
    let to = (from + 1 + random.below(sites - 1) as usize) % options.sites;
    let clock = match random.below(10) {
        0..=5 => random.between(1_000, 400_000) as i64,
        6 | 7 => random.between(600_000, 4_000_000) as i64,
        _ => -(random.between(600_000, 30_000_000) as i64),
    };
    let by = if random.chance(500) && clock.abs() < 400_000 { -clock } else { clock };
    let choices = [
        (kinds.crash, Fault::Crash(who)),
        (kinds.outage, Fault::Outage),
        (kinds.pause, Fault::Pause(who)),
        (kinds.cut, Fault::Cut { from, to, both: random.chance(500) }),
        (kinds.isolate, Fault::Isolate(who)),
        (kinds.split, Fault::Split(random.between(1, (1 << sites) - 2))),
        (kinds.slow_link, Fault::SlowLink { from, to, times: random.between(3, 20) }),
        (kinds.slow_disk, Fault::SlowDisk { who, takes: random.between(20_000, 300_000) }),
        (kinds.full_disk, Fault::FullDisk { who, room: random.below(40_000) }),
        (kinds.broken_disk, Fault::BrokenDisk { who, nth: random.between(1, 30), dead: random.chance(500) }),
        (kinds.clock, Fault::Clock { who, by }),
        (kinds.hang_up, Fault::HangUp(random.below(sites * options.desks as u64) as usize)),
    ];
    let total: u64 = choices.iter().map(|(weight, _)| weight).sum();
    let mut at = random.below(total.max(1));
    choices.into_iter().find_map(|(weight, fault)| match at.checked_sub(weight) {
        Some(rest) => {
            at = rest;
            None
        }
        None => Some(fault),
    })
}

impl World {
    /// Begins the time of trouble.
    pub fn trouble(&mut self) {
        self.troubled = Some(self.time.now());
        for (i, planned) in plan(&self.options).into_iter().enumerate() {
            if self.keep.fault(i) {
                self.schedule(planned.at, Event::Fault { number: i, planned });
            }
        }
    }

    /// Who leads the red order, as the leader of the greatest term sees it.
    pub fn leader(&self) -> Option<usize> {
        let led = |node: usize| {
            let site = &self.nodes[node].process.as_ref()?.site;
            site.shared().leader().filter(|(leader, _)| *leader == site.id()).map(|(_, term)| (term, node))
        };
        (0..self.nodes.len()).filter_map(led).max().map(|(_, node)| node)
    }

    pub(super) fn fault(&mut self, number: usize, planned: Planned) {
        let Planned { lasts, fault, .. } = planned;
        if self.healed {
            return;
        }
        self.say("⚡", format!("fault {number}: {fault:?} for {} ms", lasts / 1_000));
        let leader = self.leader().unwrap_or(0);
        let site = |who: Who| match who {
            Who::Site(node) => node,
            Who::Leader => leader,
        };
        let over = match fault {
            Fault::Crash(who) => self.crash_until_over(&[site(who)]),
            Fault::Outage => self.crash_until_over(&(0..self.nodes.len()).collect::<Vec<_>>()),
            Fault::Pause(who) => {
                self.nodes[site(who)].paused += 1;
                vec![Over::Pause(site(who))]
            }
            Fault::Cut { from, to, both: false } => self.cut(&[(from, to)]),
            Fault::Cut { from, to, both: true } => self.cut(&[(from, to), (to, from)]),
            Fault::Isolate(who) => self.split(1 << site(who)),
            Fault::Split(part) => self.split(part),
            Fault::SlowLink { from, to, times } => {
                self.network.slow(from, to, times);
                vec![Over::SlowLink(from, to)]
            }
            Fault::SlowDisk { who, takes } => {
                self.nodes[site(who)].sync = Some((takes / 10, takes));
                vec![Over::SlowDisk(site(who))]
            }
            Fault::FullDisk { who, room } => {
                let node = &mut self.nodes[site(who)];
                node.disk.set_capacity(Some(node.disk.used() + room));
                node.full = true;
                vec![Over::FullDisk(site(who))]
            }
            Fault::BrokenDisk { who, nth, dead } => {
                let node = &mut self.nodes[site(who)];
                node.disk.fail(if dead { DiskFault::From(nth) } else { DiskFault::Once(nth) });
                node.broken = true;
                vec![Over::BrokenDisk(site(who))]
            }
            Fault::Clock { who, by } => {
                self.nodes[site(who)].clock.set(by);
                vec![Over::Clock(site(who), by)]
            }
            Fault::HangUp(desk) => {
                self.clients.retain(|client| client.desk != Some(desk));
                Vec::new()
            }
        };
        for over in over {
            self.ends.push(over);
            self.schedule(lasts, Event::Over { which: self.ends.len() - 1 });
        }
    }

    fn crash_until_over(&mut self, nodes: &[usize]) -> Vec<Over> {
        nodes.iter().for_each(|node| self.crash(*node));
        nodes.iter().copied().map(Over::Start).collect()
    }

    fn cut(&mut self, directions: &[(usize, usize)]) -> Vec<Over> {
        directions.iter().for_each(|(from, to)| self.network.cut(*from, *to));
        directions.iter().map(|(from, to)| Over::Cut(*from, *to)).collect()
    }

    fn split(&mut self, part: u64) -> Vec<Over> {
        let side = |node: usize| part >> node & 1;
        let all = 0..self.nodes.len();
        let pairs = all.clone().flat_map(|from| all.clone().map(move |to| (from, to)));
        let crossing: Vec<_> = pairs.filter(|(from, to)| side(*from) != side(*to)).collect();
        self.cut(&crossing)
    }

    /// Ends a fault, once.
    pub(super) fn over(&mut self, which: usize) {
        let Some(over) = self.ends.get_mut(which) else { return };
        let over = std::mem::replace(over, Over::SlowLink(usize::MAX, usize::MAX));
        match over {
            Over::Start(node) => self.start(node),
            Over::Pause(node) => self.resume(node),
            Over::Cut(from, to) => self.network.mend(from, to),
            Over::SlowLink(from, to) => self.network.slow(from, to, 1),
            Over::SlowDisk(node) => self.nodes[node].sync = None,
            Over::FullDisk(node) => {
                self.nodes[node].disk.set_capacity(None);
                self.nodes[node].full = false;
            }
            Over::BrokenDisk(node) => {
                self.nodes[node].disk.heal();
                self.nodes[node].broken = false;
                self.start(node);
            }
            Over::Clock(node, by) => self.nodes[node].clock.set(-by),
        }
    }

    /// Ends everything that goes wrong: the weather clears up, faults are over, sites come back, but for `away`, whose power
    /// goes until [`World::come_back`].
    pub fn heal(&mut self, away: &[usize]) {
        self.healed = true;
        self.say("☀", "all heals".to_string());
        away.iter().for_each(|node| {
            self.nodes[*node].away = true;
            self.crash(*node);
        });
        (0..self.ends.len()).for_each(|which| self.over(which));
        self.network.clear_up();
        (0..self.nodes.len()).for_each(|node| self.start(node));
    }

    /// Starts the sites that were away.
    pub fn come_back(&mut self) {
        for node in 0..self.nodes.len() {
            self.nodes[node].away = false;
            self.start(node);
        }
    }
}
