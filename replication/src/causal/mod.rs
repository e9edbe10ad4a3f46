//! Causal delivery of blue transactions, and admission of both colours.
//!
//! Every site numbers its blue transactions (dots) and streams them, after its own fsync, to every other. A receiver logs
//! them at once, in each origin's order, and applies ("admits") them when what they depend on is applied:
//!
//! ```text
//!             stream of origin i:   1  2  3  4  5  6  7  8 │ 9 10 11 …        on their way, or lost
//!                                            ▲     ▲     ▲
//!                                       applied  held   logged
//!
//!   logged   stands in our log, in order, without a gap: i's own, whatever else is missing
//!   held     logged, and so is all the blue that it depends on, transitively
//!   applied  visible here; needs the red it depends on as well
//!
//!   applied ≤ held ≤ logged         durable: where logged (applied) was at the last fsync; nothing else is told to others
//! ```
//!
//! Example. Site 1 commits 1.1; site 2 applies it and commits 2.1 with deps (1:1). The link 1→3 is slow:
//!
//! ```text
//!   site 3:  2.1 comes        Log 2.1               logged (2:1)   held ()      applied ()     waits, holds up nobody
//!            1.1 comes        Log 1.1  Admit 1.1    logged (1:1 2:1)  held (1:1 2:1)
//!                             Admit 2.1             applied (1:1 2:1)
//! ```
//!
//! # Invariants
//! 1. `logged`, `held` and `applied` never go back; applied ≤ held ≤ logged, per origin.
//! 2. Each dot is output as `Log` at most once and as `Admit` exactly once per life of the log, n after n-1.
//! 3. A transaction is admitted only when `applied` includes its deps; red r only after r-1 and its blue deps.
//! 4. What is sent of our own transactions, and what is said of ourselves, is durable.
//! 5. Memory is bounded: what waits is on disk and read back through the [`Shelf`]; what is beyond a gap
//!    is kept up to a limit and dropped above it (it will be sent again). Where memory is short, blue waits to be admitted.
//!
//! # Held
//!
//! A dependency is a whole frontier, and every site's applied frontier is closed under dependency (invariant 3), so
//! "the frontier is within `logged`" would do if all peers were right. `held` is kept by the same walk as `applied`, red left
//! aside, so that it is closed even if they are not: it costs one comparison for each transaction.
//!
//! The streams are in `stream`, filling gaps in `fetch`. Not here: who may be reached and how ([`crate::routes`]), and what
//! order red has ([`crate::sequencer`]).

mod fetch;
mod members;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Dot, Entry, Frontier, ShadowTransaction, SiteId};

use crate::replica::{Output, Shelf, Timing};
use crate::wire::Acks;
use fetch::Gap;
use stream::{Peer, Recent};

/// Transactions of one origin kept in memory while they wait for what they depend on; the others are read back.
const WAITING: usize = 256;

/// Transactions with more operations than this are always read back.
const WAITING_OPS: usize = 512;

/// Blue transactions admitted in one go: what has waited long on disk for one of them does not come into memory all at once. The
/// next batch of the log, or tick, goes on.
const ADMITTED: usize = 1024;

/// Transactions of one origin kept in memory beyond a gap.
const STASH: usize = 256;

/// Whether `have` has all the blue of `deps`.
pub(crate) fn covers_blue(have: &Frontier, deps: &Frontier) -> bool {
    deps.blues().all(|(site, n)| have.blue(site) >= n)
}

/// What is kept for each origin.
#[derive(Debug, Default)]
struct Origin {
    /// Some of those logged and not applied, by n.
    waiting: BTreeMap<u64, Arc<ShadowTransaction>>,
    /// Some of those received and not logged, for a gap before them.
    stash: BTreeMap<u64, Arc<ShadowTransaction>>,
    /// The next one to be held, with what it still waits for.
    next_held: Option<(u64, Frontier)>,
    /// The next one to be applied.
    next_applied: Option<(u64, Arc<ShadowTransaction>)>,
    /// What is known to be missing.
    gap: Gap,
}

/// See the module.
#[derive(Debug)]
pub struct Causal {
    me: SiteId,
    timing: Timing,
    logged: Frontier,
    held: Frontier,
    applied: Frontier,
    /// As of the last fsync.
    durable: Acks,
    /// Clients wait until a majority has our own transactions up to this one.
    awaited: u64,
    /// Everyone who is or was a member.
    origins: BTreeMap<SiteId, Origin>,
    /// The other members.
    peers: BTreeMap<SiteId, Peer>,
    /// Who votes: quorums are majorities of these.
    voters: BTreeSet<SiteId>,
    /// How many transactions of a removed site may be applied.
    limits: BTreeMap<SiteId, u64>,
    /// The final counts of those gone for ever.
    finals: BTreeMap<SiteId, u64>,
    /// What removed sites have said that they have.
    parted: BTreeMap<SiteId, u64>,
    /// What was held at the last fsync.
    held_durably: Frontier,
    /// Committed red entries after `applied.red`, and whether each waits for what it depends on (void and some refused ones do not).
    red: VecDeque<(Arc<Entry>, bool)>,
    red_gap: Gap,
    recent: Recent,
    replicated: u64,
    /// The site is being filled: it logs what comes and applies nothing.
    frozen: bool,
}

/// What a batch covers.
#[derive(Clone, Debug)]
pub struct Mark {
    acks: Acks,
    held: Frontier,
}

impl Causal {
    /// After a start: what stands in the log and what is applied, all of it durable; `ordered` is how far the sequencer's own log
    /// is committed. [`Causal::follow`] says next who the others are.
    pub fn new(me: SiteId, timing: Timing, logged: Frontier, applied: Frontier, ordered: u64) -> Causal {
        let mut logged_all = applied.clone();
        logged_all.join(&logged);
        logged_all.red = 0;
        let mut held = applied.clone();
        held.red = 0;
        let mut durable = logged_all.clone();
        durable.red = applied.red;
        Causal {
            me,
            timing,
            held_durably: held.clone(),
            held,
            durable: Acks { durable, applied: applied.clone(), ordered },
            awaited: 0,
            origins: BTreeMap::new(),
            peers: BTreeMap::new(),
            voters: BTreeSet::new(),
            limits: BTreeMap::new(),
            finals: BTreeMap::new(),
            parted: BTreeMap::new(),
            red: VecDeque::new(),
            red_gap: Gap::default(),
            recent: Recent::default(),
            replicated: 0,
            frozen: false,
            logged: logged_all,
            applied,
        }
    }

    /// From now on nothing is applied here, so that what is applied stands still.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// What stands in the log here, applied or not. Red is left at 0.
    pub fn logged(&self) -> &Frontier {
        &self.logged
    }

    /// What is held here. Red is left at 0.
    pub fn held(&self) -> &Frontier {
        &self.held
    }

    /// What is applied here.
    pub fn applied(&self) -> &Frontier {
        &self.applied
    }

    /// What may be said of this site: as of the last fsync.
    pub fn acks(&self) -> &Acks {
        &self.durable
    }

    /// The next red index that is not known here yet.
    pub fn next_red(&self) -> u64 {
        self.applied.red + self.red.len() as u64 + 1
    }

    /// Received blue transactions that are not applied yet.
    pub fn waiting(&self) -> u64 {
        self.logged.blues().map(|(site, n)| n - self.applied.blue(site)).sum()
    }

    /// This site has committed and applied its next transaction.
    pub fn committed(
        &mut self,
        dot: Dot,
        t: &Arc<ShadowTransaction>,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        assert!(
            dot.site == self.me && dot.n == self.logged.blue(self.me) + 1,
            "a site commits its own transactions in order: {dot} after {}",
            self.logged.blue(self.me)
        );
        for frontier in [&mut self.logged, &mut self.held, &mut self.applied] {
            frontier.set_blue(dot.site, dot.n);
        }
        self.recent.push(dot.n, t);
        self.advance(shelf, out);
    }

    /// The sequencer, or a peer that was asked, says what stands at red index `r`, the next one; and whether it is to wait for the
    /// blue transactions that it depends on.
    pub fn ordered(
        &mut self,
        now: u64,
        r: u64,
        entry: Arc<Entry>,
        waits: bool,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        assert_eq!(r, self.next_red(), "the red order has no gaps");
        self.red.push_back((entry, waits));
        self.red_gap.progress(now);
        self.advance(shelf, out);
    }

    /// Logs what has come, in order, and keeps some of what is beyond a gap. False if it cannot be.
    fn accept(
        &mut self,
        now: u64,
        origin: SiteId,
        first: u64,
        transactions: Vec<Arc<ShadowTransaction>>,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        if origin == self.me {
            return Ok(());
        }
        if !self.origins.contains_key(&origin) {
            return Err(format!("transactions of site {origin}, which is not a member"));
        }
        in_range(first, transactions.len())?;
        let last = self.finals.get(&origin).copied().unwrap_or(u64::MAX);
        for (n, t) in (first..).zip(transactions).take_while(|(n, _)| *n <= last) {
            let dot = Dot { site: origin, n };
            plausible(dot, &t)?;
            let next = self.logged.blue(origin) + 1;
            if n == next || (n > next && planted(Fault::GapJumped)) {
                self.log(now, dot, t, shelf, out);
                self.unstash(now, origin, shelf, out);
            } else if n > next
                && let Some(state) = self.origins.get_mut(&origin)
            {
                state.stash.insert(n, t);
                if state.stash.len() > STASH {
                    state.stash.pop_last();
                }
            }
        }
        Ok(())
    }

    /// What was kept beyond a gap that has closed.
    fn unstash(&mut self, now: u64, origin: SiteId, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        while let Some(stashed) = self.origins.get_mut(&origin).and_then(|state| state.stash.first_entry()) {
            let (n, next) = (*stashed.key(), self.logged.blue(origin) + 1);
            if n > next {
                break;
            }
            let t = stashed.remove();
            if n == next {
                self.log(now, Dot { site: origin, n }, t, shelf, out);
            }
        }
    }

    /// Logs one transaction, next in its origin's order, and goes on with what has waited for it.
    fn log(
        &mut self,
        now: u64,
        dot: Dot,
        t: Arc<ShadowTransaction>,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        self.logged.set_blue(dot.site, dot.n);
        if let Some(origin) = self.origins.get_mut(&dot.site) {
            origin.gap.progress(now);
            // The shelf has it only once this output has been carried out.
            if self.held.blue(dot.site) + 1 == dot.n {
                origin.next_held = Some((dot.n, t.deps.clone()));
            }
            if self.applied.blue(dot.site) + 1 == dot.n {
                origin.next_applied = Some((dot.n, t.clone()));
            } else if origin.waiting.len() < WAITING && t.ops.len() <= WAITING_OPS {
                origin.waiting.insert(dot.n, t.clone());
            }
        }
        out.push(Output::Log { dot, transaction: t });
        self.advance(shelf, out);
    }

    /// Moves `held` and `applied` as far as they go, and memory allows.
    pub fn advance(&mut self, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        let mut room = if shelf.crowded() { 0 } else { ADMITTED };
        loop {
            let mut moved = false;
            for (&site, origin) in &mut self.origins {
                while origin.hold(site, &self.logged, &mut self.held, shelf) {
                    moved = true;
                }
                let limit = self.limits.get(&site).copied().unwrap_or(u64::MAX);
                while room > 0
                    && !self.frozen
                    && let Some((dot, transaction)) =
                        origin.admit(site, &self.held, limit, &mut self.applied, shelf)
                {
                    room -= 1;
                    moved = true;
                    out.push(Output::Admit { dot, transaction });
                }
            }
            while self.red.front().is_some_and(|(entry, waits)| !waits || admissible(entry, &self.applied)) {
                let (entry, _) = self.red.pop_front().expect("the loop has just seen it");
                self.applied.red += 1;
                moved = true;
                out.push(Output::AdmitRed { r: self.applied.red, entry });
            }
            if !moved {
                break;
            }
        }
    }

    /// Everything output so far is in the batch now being taken. `ordered`: what the sequencer has committed in its log.
    pub fn seal(&self, ordered: u64) -> Mark {
        let mut durable = self.logged.clone();
        durable.red = self.applied.red;
        Mark { acks: Acks { durable, applied: self.applied.clone(), ordered }, held: self.held.clone() }
    }
}

/// Numbers of peers are not trusted to be small.
fn in_range(first: u64, count: usize) -> Result<(), String> {
    if first == 0 || first.saturating_add(count as u64) > 1 << 60 {
        return Err(format!("numbers {first} and on are out of range"));
    }
    Ok(())
}

/// A transaction that names itself wrongly, or depends on itself, would never be admitted.
fn plausible(dot: Dot, t: &ShadowTransaction) -> Result<(), String> {
    if t.origin != dot.site {
        return Err(format!("{dot} says that it comes from site {}", t.origin));
    }
    if t.statements.is_empty() {
        return Err(format!("{dot} has no statement"));
    }
    if t.deps.blue(dot.site) >= dot.n {
        return Err(format!("{dot} depends on {}.{}", dot.site, t.deps.blue(dot.site)));
    }
    Ok(())
}

/// A red entry waits for its blue deps; that it follows the red ones is its position.
fn admissible(entry: &Entry, applied: &Frontier) -> bool {
    entry.deps().is_none_or(|deps| covers_blue(applied, deps))
}

/// A blue transaction waits for everything that it depends on.
fn ready(t: &ShadowTransaction, applied: &Frontier) -> bool {
    if planted(Fault::AdmitBySeen) {
        return t.statements.iter().all(|seen| applied.includes(seen));
    }
    if planted(Fault::RedDepsIgnored) {
        return covers_blue(applied, &t.deps);
    }
    applied.includes(&t.deps)
}

impl Origin {
    fn get(&self, dot: Dot, shelf: &dyn Shelf) -> Option<Arc<ShadowTransaction>> {
        self.waiting.get(&dot.n).cloned().or_else(|| shelf.blue(dot))
    }

    /// Takes the next one into `held` if it can be.
    fn hold(&mut self, site: SiteId, logged: &Frontier, held: &mut Frontier, shelf: &dyn Shelf) -> bool {
        let n = held.blue(site) + 1;
        if n > logged.blue(site) {
            return false;
        }
        if self.next_held.as_ref().is_none_or(|(known, _)| *known != n) {
            self.next_held = self.get(Dot { site, n }, shelf).map(|t| (n, t.deps.clone()));
        }
        match &self.next_held {
            Some((_, deps)) if covers_blue(held, deps) => {
                held.set_blue(site, n);
                self.next_held = None;
                true
            }
            _ => false,
        }
    }

    /// Takes the next one into `applied` if it can be.
    fn admit(
        &mut self,
        site: SiteId,
        held: &Frontier,
        limit: u64,
        applied: &mut Frontier,
        shelf: &dyn Shelf,
    ) -> Option<(Dot, Arc<ShadowTransaction>)> {
        let dot = Dot { site, n: applied.blue(site) + 1 };
        if dot.n > held.blue(site).min(limit) {
            return None;
        }
        if self.next_applied.as_ref().is_none_or(|(known, _)| *known != dot.n) {
            self.next_applied = self.get(dot, shelf).map(|t| (dot.n, t));
        }
        if !self.next_applied.as_ref().is_some_and(|(_, t)| ready(t, applied)) {
            return None;
        }
        let (_, t) = self.next_applied.take()?;
        self.waiting.remove(&dot.n);
        applied.set_blue(site, dot.n);
        Some((dot, t))
    }
}
