//! Where in the log transactions are: dot → position, red index → position, for what is retained.
//!
//! Rebuilt at open. Transactions of one origin are logged in its order, so a run of positions per site is enough: eight
//! bytes each.

use std::collections::{BTreeMap, VecDeque};

use gemini_shadow_ops::{Dot, Frontier, SiteId};

use crate::Lsn;

/// A gap in a run. No record can stand there.
const ABSENT: u64 = u64::MAX;

/// Positions of consecutive numbers.
#[derive(Debug, Default)]
struct Run {
    first: u64,
    positions: VecDeque<u64>,
}

impl Run {
    /// Notes a position; the first one noted for a number stays.
    fn note(&mut self, n: u64, lsn: Lsn) {
        if self.positions.is_empty() {
            self.first = n;
        }
        if n < self.first {
            return;
        }
        let at = (n - self.first) as usize;
        while self.positions.len() < at {
            self.positions.push_back(ABSENT);
        }
        match self.positions.get_mut(at) {
            Some(known) if *known == ABSENT => *known = lsn.0,
            Some(_) => {}
            None => self.positions.push_back(lsn.0),
        }
    }

    fn find(&self, n: u64) -> Option<Lsn> {
        let at = usize::try_from(n.checked_sub(self.first)?).ok()?;
        self.positions.get(at).filter(|p| **p != ABSENT).map(|p| Lsn(*p))
    }

    /// The oldest position kept of `n` or a later number.
    fn oldest_from(&self, n: u64) -> Option<Lsn> {
        let at = usize::try_from(n.saturating_sub(self.first)).ok()?;
        self.positions.iter().skip(at).find(|p| **p != ABSENT).map(|p| Lsn(*p))
    }

    fn cut(&mut self, below: Lsn) {
        while self.positions.front().is_some_and(|p| *p < below.0 || *p == ABSENT) {
            self.positions.pop_front();
            self.first += 1;
        }
    }
}

/// Where transactions are.
#[derive(Debug, Default)]
pub(crate) struct Dots {
    blue: BTreeMap<SiteId, Run>,
    red: Run,
    /// Received and not yet admitted.
    waiting: BTreeMap<Dot, Lsn>,
}

impl Dots {
    pub(crate) fn committed(&mut self, dot: Dot, lsn: Lsn) {
        self.blue.entry(dot.site).or_default().note(dot.n, lsn);
    }

    pub(crate) fn received(&mut self, dot: Dot, lsn: Lsn) {
        self.committed(dot, lsn);
        self.waiting.entry(dot).or_insert(lsn);
    }

    pub(crate) fn admitted(&mut self, dot: Dot) {
        self.waiting.remove(&dot);
    }

    pub(crate) fn ordered(&mut self, r: u64, lsn: Lsn) {
        self.red.note(r, lsn);
    }

    pub(crate) fn blue(&self, dot: Dot) -> Option<Lsn> {
        self.blue.get(&dot.site)?.find(dot.n)
    }

    pub(crate) fn red(&self, r: u64) -> Option<Lsn> {
        self.red.find(r)
    }

    /// The oldest record kept that is beyond `frontier`. What is known of it may be less than what was cut already.
    pub(crate) fn oldest_beyond(&self, frontier: &Frontier) -> Option<Lsn> {
        let blue = self.blue.iter().map(|(site, run)| run.oldest_from(frontier.blue(*site) + 1));
        blue.chain([self.red.oldest_from(frontier.red + 1)]).flatten().min()
    }

    /// Whether the next transaction of each origin, and the next red entry, that `frontier` lacks and `applied` has is kept.
    pub(crate) fn serves(&self, frontier: &Frontier, applied: &Frontier) -> bool {
        let lacks = |site: SiteId, n: u64| frontier.blue(site) < n;
        let next = |site: SiteId| Dot { site, n: frontier.blue(site) + 1 };
        applied.blues().all(|(site, n)| !lacks(site, n) || self.blue(next(site)).is_some())
            && (frontier.red >= applied.red || self.red(frontier.red + 1).is_some())
    }

    /// The red entries up to here are no longer kept, of those up to `applied`.
    pub(crate) fn red_gone(&self, applied: u64) -> u64 {
        if self.red.positions.is_empty() { applied } else { self.red.first.saturating_sub(1).min(applied) }
    }

    /// The oldest record that an admission to come will need.
    pub(crate) fn oldest_waiting(&self) -> Option<Lsn> {
        self.waiting.values().min().copied()
    }

    pub(crate) fn cut(&mut self, below: Lsn) {
        for run in self.blue.values_mut() {
            run.cut(below);
        }
        self.red.cut(below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_find_what_was_noted_and_forget_what_was_cut() {
        let mut dots = Dots::default();
        let dot = |n| Dot { site: SiteId(3), n };
        dots.committed(dot(5), Lsn(50));
        dots.received(dot(7), Lsn(70));
        dots.received(dot(7), Lsn(75));
        assert_eq!(dots.blue(dot(5)), Some(Lsn(50)));
        assert_eq!(dots.blue(dot(6)), None);
        assert_eq!(dots.blue(dot(7)), Some(Lsn(70)));
        assert_eq!(dots.blue(dot(4)), None);
        assert_eq!(dots.oldest_waiting(), Some(Lsn(70)));
        dots.admitted(dot(7));
        assert_eq!(dots.oldest_waiting(), None);
        dots.cut(Lsn(60));
        assert_eq!(dots.blue(dot(5)), None);
        assert_eq!(dots.blue(dot(7)), Some(Lsn(70)));
        dots.committed(dot(8), Lsn(80));
        assert_eq!(dots.blue(dot(8)), Some(Lsn(80)));
    }

    /// A peer that has not said yet what it has may need everything that is left, though 1 is cut.
    #[test]
    fn what_is_beyond_a_frontier_is_found_below_the_cut_too() {
        let mut dots = Dots::default();
        let site = SiteId(3);
        (1..=9).for_each(|n| dots.committed(Dot { site, n }, Lsn(n * 10)));
        (1..=4).for_each(|r| dots.ordered(r, Lsn(100 + r)));
        dots.cut(Lsn(60));
        let mut frontier = Frontier::default();
        assert_eq!(dots.oldest_beyond(&frontier), Some(Lsn(60)), "nothing is known of the peer");
        frontier.set_blue(site, 7);
        assert_eq!(dots.oldest_beyond(&frontier), Some(Lsn(80)));
        frontier.set_blue(site, 9);
        assert_eq!(dots.oldest_beyond(&frontier), Some(Lsn(101)), "the red entries");
        frontier.red = 4;
        assert_eq!(dots.oldest_beyond(&frontier), None);
    }
}
