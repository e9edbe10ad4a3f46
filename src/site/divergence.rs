//! Looking for divergence: do the sites really hold the same?
//!
//! Sites apply the same effects in different orders, so rows must be compared, not assumed: a fault of memory, of a disk or of
//! this program would otherwise stay unseen for ever. Each site walks through its tables again and again, a range of rows at a
//! time, and compares it with one peer after the other.
//!
//! ```text
//!   site A                                             site B
//!   snapshot at F1: sums of a range ──Look(F1)──►      waits until it has applied F1
//!                                   ◄──Looked(F2)──    snapshot at F2 ⊇ F1: "the same", or its rows
//!   a row with equal fingerprints and other contents: divergence
//!   a row with other fingerprints: waits until it has applied F2, reads the row again at F3 ⊇ F2
//!       unchanged since F1, and still other than B's: an effect was lost or doubled
//!       changed meanwhile: not decided; the next round looks again
//! ```
//!
//! **Why it is sound.** A row's fingerprint is a sum over the effects that made it. What A had applied at F1, B had applied at
//! F2, and what B had at F2, A had at F3. If A's row had the same effects at F1 and at F3, then so had B's at F2. No
//! frontiers need ever be equal, so this works under load. Contents are compared only under one schema version.
//!
//! **What it costs.** One range is under way at a time, at most [`ROWS`] rows are read in a step, and between ranges there is
//! a pause; a range that is the same costs some hundred bytes. `gemini verify` asks for a round without pauses.
//!
//! **What it does not do.** It mends nothing, and cannot say which of two sites is right.

use std::collections::{BTreeMap, VecDeque};

use gemini_engine::{Error, KeyRange, Snapshot};
use gemini_replication::wire::{Look, Looked, PeerMessage, RangeSum, RowSum};
use gemini_shadow_ops::{Frontier, Key, SiteId, TableId};

/// Rows in a range.
const ROWS: usize = 256;
/// Rows that an answer may hold.
const ANSWER: usize = 4 * ROWS;
/// Between ranges, µs, and between rounds.
const PAUSE: u64 = 1_000_000;
/// For an answer, and for either site to apply what the other has, µs.
const PATIENCE: u64 = 10_000_000;
/// A range that is asked for and not decided is asked for so often, if somebody waits.
const TRIES: u32 = 3;
/// Findings that are kept.
const KEPT: usize = 100;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The same effects, other contents.
    Contents,
    /// An effect that one of the two sites has lost or doubled.
    Effects,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Difference::Contents => "the same effects, other contents",
            Difference::Effects => "an effect is lost or doubled",
        })
    }
}

/// A row that two sites do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The site that was compared with.
    pub peer: SiteId,
    /// Whose row.
    pub table: TableId,
    /// Which.
    pub key: Key,
    /// In what.
    pub difference: Difference,
}

/// How far the comparison is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Rounds through all tables with all peers, since the start.
    pub rounds: u64,
    /// The round that [`super::Input::Verify`] asked for has this number.
    pub asked: u64,
    /// Rows compared since the start.
    pub compared: u64,
    /// Ranges of the last round in which rows changed while they were compared, or a site did not answer in time.
    pub undecided: u64,
    /// Peers that the last round could not reach.
    pub missed: Vec<SiteId>,
    /// The first hundred, and when they were found (µs since 1970-01-01 UTC).
    pub findings: BTreeMap<Finding, u64>,
}

/// What the comparison reads: a moment of this site.
pub(super) trait Moment {
    fn frontier(&self) -> &Frontier;
    fn schema_version(&self) -> u64;
    /// The table after `last`, in order of their ids.
    fn next_table(&self, last: Option<TableId>) -> Option<TableId>;
    fn rows(&self, table: TableId, range: &KeyRange, limit: usize) -> Result<Vec<RowSum>, Error>;
}

impl Moment for Snapshot {
    fn frontier(&self) -> &Frontier {
        Snapshot::frontier(self)
    }

    fn schema_version(&self) -> u64 {
        self.schema().version
    }

    fn next_table(&self, last: Option<TableId>) -> Option<TableId> {
        self.schema().tables.keys().find(|id| last.is_none_or(|last| **id > last)).copied()
    }

    fn rows(&self, table: TableId, range: &KeyRange, limit: usize) -> Result<Vec<RowSum>, Error> {
        let rows = self.row_sums(table, range, limit)?;
        let sum = |row: gemini_engine::RowSum| RowSum {
            key: row.key,
            fingerprint: row.fingerprint,
            contents: row.contents,
        };
        Ok(rows.into_iter().map(sum).collect())
    }
}

/// Where in the round the comparison is.
#[derive(Clone, Debug, Default)]
struct Place {
    /// Which of the peers.
    peer: usize,
    table: Option<TableId>,
    after: Option<Key>,
    /// The range before this one was the table's last.
    done: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    Asked {
        peer: SiteId,
        look: Look,
        rows: Vec<RowSum>,
    },
    /// The peer had other effects under these keys: what was here, and what was there.
    Doubted {
        peer: SiteId,
        look: Look,
        there: Frontier,
        rows: Vec<Doubt>,
    },
}

#[derive(Debug)]
struct Doubt {
    key: Key,
    here: Option<u64>,
    there: Option<u64>,
}

/// The comparison at one site: a state machine without time, disk or network of its own.
#[derive(Debug)]
pub(super) struct Patrol {
    peers: Vec<SiteId>,
    place: Place,
    state: State,
    /// When the state is given up, or (idle) the next range is looked at.
    due: u64,
    tries: u32,
    next_id: u64,
    /// What this round has met so far.
    undecided: u64,
    missed: Vec<SiteId>,
    /// Looks of peers that wait until this site has applied what they have, and until when.
    waiting: VecDeque<(SiteId, Look, u64)>,
    verification: Verification,
    /// Not yet told.
    fresh: Vec<Finding>,
}

impl Patrol {
    pub fn new(now: u64, peers: Vec<SiteId>) -> Patrol {
        Patrol {
            peers,
            place: Place::default(),
            state: State::Idle,
            due: now + PAUSE,
            tries: 0,
            // Answers to an earlier process's looks are no answers.
            next_id: now,
            undecided: 0,
            missed: Vec::new(),
            waiting: VecDeque::new(),
            verification: Verification::default(),
            fresh: Vec::new(),
        }
    }

    /// Whom to compare with from now on: the round begins again.
    pub fn follow(&mut self, now: u64, peers: Vec<SiteId>) {
        if self.peers != peers {
            self.peers = peers;
            (self.place, self.state, self.due) = (Place::default(), State::Idle, now + PAUSE);
            self.waiting.retain(|(peer, ..)| self.peers.contains(peer));
        }
    }

    pub fn verification(&self) -> &Verification {
        &self.verification
    }

    /// What was found since the last call.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.fresh)
    }

    /// Begins a round without pauses; gives the number that [`Verification::rounds`] has when it is done.
    pub fn hurry(&mut self, now: u64) -> u64 {
        self.place = Place::default();
        self.state = State::Idle;
        self.due = now;
        (self.undecided, self.tries) = (0, 0);
        self.missed.clear();
        self.verification.asked = self.verification.rounds + 1;
        self.verification.asked
    }

    fn hurried(&self) -> bool {
        self.verification.asked > self.verification.rounds
    }

    /// A peer's message.
    pub fn receive(&mut self, now: u64, from: SiteId, message: PeerMessage) {
        match message {
            PeerMessage::Look(look) => {
                // One for each peer: a newer one says that the older is given up.
                self.waiting.retain(|(peer, _, _)| *peer != from);
                self.waiting.push_back((from, look, now + PATIENCE));
            }
            PeerMessage::Looked(looked) => self.looked(now, from, looked),
            _ => {}
        }
    }

    /// Does what is due, and gives what is to be said. At most two ranges are read.
    pub fn tick(
        &mut self,
        now: u64,
        moment: &dyn Moment,
        reaches: &dyn Fn(SiteId) -> bool,
    ) -> Result<Vec<(SiteId, PeerMessage)>, Error> {
        let mut say = Vec::new();
        self.waiting.retain(|(_, _, until)| *until > now);
        let ready = self.waiting.iter().position(|(_, look, _)| moment.frontier().includes(&look.frontier));
        if let Some((peer, look, _)) = ready.and_then(|at| self.waiting.remove(at)) {
            say.push((peer, PeerMessage::Looked(answer(moment, &look)?)));
        }
        match &self.state {
            State::Idle if now >= self.due => say.extend(self.ask(now, moment, reaches)?),
            State::Doubted { there, .. } if moment.frontier().includes(there) => self.judge(now, moment)?,
            State::Asked { .. } | State::Doubted { .. } if now >= self.due => self.undecided(now),
            _ => {}
        }
        Ok(say)
    }

    /// Goes to the next range, and asks for it.
    fn ask(
        &mut self,
        now: u64,
        moment: &dyn Moment,
        reaches: &dyn Fn(SiteId) -> bool,
    ) -> Result<Option<(SiteId, PeerMessage)>, Error> {
        let Some(&peer) = self.peers.get(self.place.peer) else {
            self.finish(now);
            return Ok(None);
        };
        if !reaches(peer) {
            self.missed.push(peer);
            self.next_peer();
            return Ok(None);
        }
        if self.place.table.is_none() || self.place.done {
            let table = moment.next_table(self.place.table);
            self.place = Place { peer: self.place.peer, table, ..Place::default() };
        }
        let Some(table) = self.place.table else {
            self.next_peer();
            return Ok(None);
        };
        let after = self.place.after.clone();
        let rows = moment.rows(table, &range(&after, &None), ROWS)?;
        let upto = if rows.len() < ROWS { None } else { rows.last().map(|row| row.key.clone()) };
        self.next_id += 1;
        let look = Look {
            id: self.next_id,
            table,
            after,
            upto,
            schema_version: moment.schema_version(),
            frontier: moment.frontier().clone(),
            sum: RangeSum::of(&rows),
        };
        self.due = now + 2 * PATIENCE;
        self.state = State::Asked { peer, look: look.clone(), rows };
        Ok(Some((peer, PeerMessage::Look(look))))
    }

    fn next_peer(&mut self) {
        self.place = Place { peer: self.place.peer + 1, ..Place::default() };
    }

    fn finish(&mut self, now: u64) {
        self.place = Place::default();
        self.verification.rounds += 1;
        self.verification.undecided = std::mem::take(&mut self.undecided);
        self.verification.missed = std::mem::take(&mut self.missed);
        self.due = now + PAUSE;
    }

    /// The range under way is done.
    fn next_range(&mut self, now: u64) {
        if let State::Asked { look, .. } | State::Doubted { look, .. } =
            std::mem::replace(&mut self.state, State::Idle)
        {
            self.verification.compared += look.sum.rows;
            self.place.done = look.upto.is_none();
            self.place.after = look.upto;
        }
        self.tries = 0;
        self.due = if self.hurried() { now } else { now + PAUSE };
    }

    /// The range under way cannot be decided now: once more if somebody waits for it, else in the next round.
    fn undecided(&mut self, now: u64) {
        self.tries += 1;
        if self.hurried() && self.tries < TRIES {
            self.state = State::Idle;
            self.due = now;
            return;
        }
        self.undecided += 1;
        self.next_range(now);
    }

    fn looked(&mut self, now: u64, from: SiteId, looked: Looked) {
        let State::Asked { peer, look, rows } = &self.state else { return };
        if *peer != from || look.id != looked.id || !looked.frontier.includes(&look.frontier) {
            return; // an answer to something else
        }
        let Some(theirs) = looked.rows else { return self.next_range(now) };
        if looked.schema_version != look.schema_version {
            return self.undecided(now);
        }
        let (peer, look) = (*peer, look.clone());
        let within = |row: &&RowSum| looked.upto.as_ref().is_none_or(|upto| row.key <= *upto);
        let mut pairs: BTreeMap<Key, (Option<RowSum>, Option<RowSum>)> = BTreeMap::new();
        for row in rows.iter().filter(within) {
            pairs.entry(row.key.clone()).or_default().0 = Some(row.clone());
        }
        for row in theirs.iter().filter(within) {
            pairs.entry(row.key.clone()).or_default().1 = Some(row.clone());
        }
        let mut doubts = Vec::new();
        for (key, (here, there)) in pairs {
            let print = |row: &Option<RowSum>| row.as_ref().map(|row| row.fingerprint);
            if print(&here) != print(&there) {
                doubts.push(Doubt { here: print(&here), there: print(&there), key });
            } else if here != there {
                self.found(now, Finding { peer, table: look.table, key, difference: Difference::Contents });
            }
        }
        if doubts.is_empty() {
            return self.next_range(now);
        }
        self.due = now + PATIENCE;
        self.state = State::Doubted { peer, look, there: looked.frontier, rows: doubts };
    }

    /// Everything that the peer had is applied here: what has not changed must be as it was there.
    fn judge(&mut self, now: u64, moment: &dyn Moment) -> Result<(), Error> {
        let State::Doubted { peer, look, rows, .. } = &self.state else { return Ok(()) };
        let (mut lost, mut changed) = (Vec::new(), false);
        for doubt in rows {
            let row = moment.rows(look.table, &KeyRange::one(doubt.key.clone()), 1)?;
            let print = row.first().map(|row| row.fingerprint);
            if print == doubt.here {
                let key = doubt.key.clone();
                lost.push(Finding { peer: *peer, table: look.table, key, difference: Difference::Effects });
            } else {
                changed |= print != doubt.there;
            }
        }
        // A table that was dropped meanwhile has no rows to lose.
        if look.schema_version != moment.schema_version() {
            self.undecided(now);
            return Ok(());
        }
        lost.into_iter().for_each(|finding| self.found(now, finding));
        if changed {
            self.undecided(now);
        } else {
            self.next_range(now);
        }
        Ok(())
    }

    fn found(&mut self, now: u64, finding: Finding) {
        let findings = &mut self.verification.findings;
        if findings.len() < KEPT && !findings.contains_key(&finding) {
            findings.insert(finding.clone(), now);
            self.fresh.push(finding);
        }
    }
}

fn range(after: &Option<Key>, upto: &Option<Key>) -> KeyRange {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    KeyRange { from: after.clone().map_or(Unbounded, Excluded), to: upto.clone().map_or(Unbounded, Included) }
}

/// What a peer asked for, at a moment that covers what it had.
fn answer(moment: &dyn Moment, look: &Look) -> Result<Looked, Error> {
    let mut rows = moment.rows(look.table, &range(&look.after, &look.upto), ANSWER + 1)?;
    let same = RangeSum::of(&rows) == look.sum;
    let more = rows.len() > ANSWER;
    rows.truncate(ANSWER);
    let upto = if more { rows.last().map(|row| row.key.clone()) } else { None };
    Ok(Looked {
        id: look.id,
        frontier: moment.frontier().clone(),
        schema_version: moment.schema_version(),
        rows: (!same).then_some(rows),
        upto,
    })
}

#[cfg(test)]
mod tests;
