//! The sequencer's log as raft reads it: in memory, rebuilt from the records that the site's log holds.
//!
//! ```text
//!            base                          applied                last
//!   ───────────┼──────────────────────────────┼────────────────────┤
//!   compacted  │ bodies dropped │    bodies kept                   │
//!              │ (the engine    │
//!              │  has them)     │
//!   index:  10 │ 11   12   13   │ 14   15   16 │ 17   18            every entry
//!   r:       7 │  8    -    9   │ 10   11    - │ 12   13            only ours: a new leader's empty entry has none
//! ```
//!
//! A slot keeps term and r; the body of an entry that is applied may be dropped: the engine's own log has it (red entries are
//! kept there until every site has them, or up to a bound), and it is read back when a follower that was away needs it.
//!
//! A follower that lacks what is compacted is sent the [`Base`]: three numbers are the whole snapshot of a sequencer, because the
//! effects of the entries before it are in the follower's tables, or it does not take it (see `upkeep`).

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use gemini_shadow_ops::members::reconfigures;
use raft::eraftpb::{ConfState, Entry as RaftEntry, HardState, Snapshot};
use raft::{Error as RaftError, GetEntriesContext, RaftState, StorageError};
use serde::{Deserialize, Serialize};

use super::border::raft_entry;
use crate::wire::{Blob, LogEntry};

/// Where the log begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The last entry that is gone.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The red indices up to it.
    pub r: u64,
}

/// Term, vote and commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Hard {
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Nothing: a new leader's first entry.
    Empty,
    /// postcard of [`gemini_shadow_ops::Entry`].
    Kept(Blob),
    /// The engine has it, under its red index.
    Dropped,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The term it was proposed in.
    pub term: u64,
    /// What it carries.
    pub body: Body,
    /// Red indices up to it, itself included.
    pub r: u64,
}

/// A read that has to wait for bodies.
pub struct Wish {
    /// From which index on.
    pub low: u64,
    /// Before which index.
    pub high: u64,
    /// To be handed back to raft.
    pub context: GetEntriesContext,
}

/// See the module.
#[derive(Default)]
pub struct Storage {
    /// Term, vote and commit.
    pub hard: Hard,
    base: Base,
    slots: VecDeque<Slot>,
    voters: Vec<u64>,
    learners: Vec<u64>,
    /// Bodies read back for the moment, by index.
    loaded: BTreeMap<u64, Bytes>,
    wishes: RefCell<Vec<Wish>>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Storage({:?}, {:?}..{}, {:?})", self.hard, self.base, self.last_index(), self.voters)
    }
}

impl Storage {
    /// An empty log that begins at `base`.
    pub fn new(base: Base, hard: Hard) -> Storage {
        Storage { hard, base, ..Storage::default() }
    }

    /// Who votes and who learns at the index from which the library begins.
    pub fn set_seats(&mut self, voters: Vec<u64>, learners: Vec<u64>) {
        (self.voters, self.learners) = (voters, learners);
    }

    /// Where entries stand that change who votes (their bodies are kept until they are applied).
    pub fn changes(&self) -> impl Iterator<Item = u64> + '_ {
        let changes = |body: &Body| matches!(body, Body::Kept(blob) if reconfigures(&blob.0));
        self.slots().filter(move |(_, slot)| changes(&slot.body)).map(|(index, _)| index)
    }

    /// Where the log begins.
    pub fn base(&self) -> Base {
        self.base
    }

    /// The last entry.
    pub fn last_index(&self) -> u64 {
        self.base.index + self.slots.len() as u64
    }

    /// One entry.
    pub fn slot(&self, index: u64) -> Option<&Slot> {
        let i = index.checked_sub(self.base.index + 1)?;
        self.slots.get(usize::try_from(i).ok()?)
    }

    /// All entries from the first that is not compacted, in order.
    pub fn slots(&self) -> impl Iterator<Item = (u64, &Slot)> {
        (self.base.index + 1..).zip(&self.slots)
    }

    /// The term at `index`, the base included.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.slot(index).map(|s| s.term)
    }

    /// How many red indices there are up to `index` (at the base: up to it).
    pub fn r_at(&self, index: u64) -> u64 {
        if index <= self.base.index {
            return self.base.r;
        }
        self.slot(index.min(self.last_index())).map_or(self.base.r, |s| s.r)
    }

    /// The index of red index `r`, if it is in the log.
    pub fn index_of(&self, r: u64) -> Option<u64> {
        if r <= self.base.r {
            return None;
        }
        let i = self.slots.partition_point(|s| s.r < r);
        (i < self.slots.len()).then_some(self.base.index + 1 + i as u64)
    }

    /// Appends entries from `first` on, in place of what was there. An error leaves it as it was.
    pub fn append(
        &mut self,
        first: u64,
        entries: impl IntoIterator<Item = (u64, Body)>,
    ) -> Result<(), String> {
        if first <= self.base.index || first > self.last_index().saturating_add(1) {
            return Err(format!(
                "entries at {first} do not follow {}..{}",
                self.base.index,
                self.last_index()
            ));
        }
        self.slots.truncate((first - self.base.index - 1) as usize);
        for (term, body) in entries {
            let before = self.slots.back().map_or(self.base.r, |s| s.r);
            let r = before + u64::from(body != Body::Empty);
            self.slots.push_back(Slot { term, body, r });
        }
        Ok(())
    }

    /// Forgets entries up to `index`.
    pub fn compact(&mut self, index: u64) {
        let Some(slot) = self.slot(index) else { return };
        let base = Base { index, term: slot.term, r: slot.r };
        self.slots.drain(..(index - self.base.index) as usize);
        self.base = base;
    }

    /// Begins anew after `base`, which is committed: nothing here agreed with it, or nothing reached it.
    pub fn restore(&mut self, base: Base) {
        self.slots.clear();
        self.loaded.clear();
        self.hard.commit = self.hard.commit.max(base.index);
        self.base = base;
    }

    /// Drops the bodies of entries up to red index `r`, which the engine has.
    pub fn drop_bodies(&mut self, r: u64) {
        for slot in self.slots.iter_mut().take_while(|s| s.r <= r) {
            if matches!(slot.body, Body::Kept(_)) {
                slot.body = Body::Dropped;
            }
        }
    }

    /// Reads that wait for bodies, since the last call.
    pub fn wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut *self.wishes.borrow_mut())
    }

    /// Whether reads wait for bodies.
    pub fn has_wishes(&self) -> bool {
        !self.wishes.borrow().is_empty()
    }

    /// Bodies read back, by index, until the next call.
    pub fn load(&mut self, bodies: BTreeMap<u64, Bytes>) {
        self.loaded = bodies;
    }

    fn entry(&self, index: u64) -> Option<RaftEntry> {
        let slot = self.slot(index)?;
        let data = match &slot.body {
            Body::Empty => Bytes::new(),
            Body::Kept(blob) => blob.0.clone(),
            Body::Dropped => self.loaded.get(&index)?.clone(),
        };
        Some(raft_entry(index, slot.term, data))
    }
}

/// A base as raft takes it. Whom it begins with is the receiver's to add: it has applied the order up to there.
#[allow(clippy::field_reassign_with_default)] // the generated messages have hidden fields
pub fn snapshot(base: Base) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.data = Bytes::copy_from_slice(&base.r.to_le_bytes());
    let metadata = snapshot.mut_metadata();
    (metadata.index, metadata.term) = (base.index, base.term);
    snapshot
}

/// The base in a snapshot of [`snapshot`]'s; None: it is empty.
pub fn base_of(snapshot: &Snapshot) -> Option<Base> {
    let r = u64::from_le_bytes(snapshot.data.as_ref().try_into().ok()?);
    let metadata = snapshot.get_metadata();
    Some(Base { index: metadata.index, term: metadata.term, r })
}

/// An entry's body as the log keeps it.
pub fn body(data: &Bytes) -> Body {
    if data.is_empty() { Body::Empty } else { Body::Kept(Blob(data.clone())) }
}

impl From<&LogEntry> for Body {
    fn from(entry: &LogEntry) -> Body {
        body(&entry.body.0)
    }
}

impl raft::Storage for Storage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let mut hard = HardState::default();
        hard.term = self.hard.term;
        hard.vote = self.hard.vote;
        hard.commit = self.hard.commit;
        let voters = ConfState::from((self.voters.clone(), self.learners.clone()));
        Ok(RaftState::new(hard, voters))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<RaftEntry>> {
        if low <= self.base.index {
            return Err(RaftError::Store(StorageError::Compacted));
        }
        let limit = max_size.into().unwrap_or(u64::MAX);
        let (mut entries, mut size) = (Vec::new(), 0u64);
        for index in low..high.min(self.last_index() + 1) {
            let Some(entry) = self.entry(index) else { break };
            size = size.saturating_add((entry.data.len() + entry.context.len()) as u64 + 16);
            if size > limit && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        if entries.is_empty() && low < high {
            if context.can_async() {
                self.wishes.borrow_mut().push(Wish { low, high, context });
            }
            return Err(RaftError::Store(StorageError::LogTemporarilyUnavailable));
        }
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.base.index {
            return Err(RaftError::Store(StorageError::Compacted));
        }
        self.term_at(index).ok_or(RaftError::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(Storage::last_index(self))
    }

    /// Where the log begins: index, term, and in its data the red index.
    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if self.base.index == 0 || self.base.index < request_index {
            return Err(RaftError::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(snapshot(self.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(byte: u8) -> Body {
        Body::Kept(Blob(Bytes::from(vec![byte])))
    }

    #[test]
    fn red_indices_survive_truncation_and_compaction() {
        let mut s = Storage::default();
        let entries = vec![(1, Body::Empty), (1, ours(1)), (1, ours(2)), (1, ours(3))];
        s.append(1, entries).expect("follows");
        assert_eq!(
            (s.r_at(1), s.r_at(4), s.index_of(1), s.index_of(3), s.index_of(4)),
            (0, 3, Some(2), Some(4), None)
        );
        s.append(4, vec![(2, Body::Empty), (2, ours(4))]).expect("follows");
        assert_eq!((s.last_index(), s.r_at(4), s.r_at(5), s.index_of(3)), (5, 2, 3, Some(5)));
        s.compact(3);
        assert_eq!(s.base(), Base { index: 3, term: 1, r: 2 });
        assert_eq!((s.r_at(4), s.r_at(5), s.index_of(2), s.index_of(3)), (2, 3, None, Some(5)));
        assert!(s.append(3, vec![(2, Body::Empty)]).is_err(), "below the base");
        assert!(s.append(7, vec![(2, Body::Empty)]).is_err(), "a gap");
    }

    #[test]
    fn dropped_bodies_are_wished_for() {
        use raft::Storage as _;
        let mut s = Storage::default();
        s.append(1, vec![(1, ours(1)), (1, Body::Empty), (1, ours(2))]).expect("follows");
        s.drop_bodies(1);
        let read = s.entries(1, 4, None, GetEntriesContext::empty(true));
        assert_eq!(read, Err(RaftError::Store(StorageError::LogTemporarilyUnavailable)));
        assert!(s.has_wishes());
        s.load(BTreeMap::from([(1, Bytes::from(vec![1]))]));
        assert_eq!(s.entries(1, 4, None, GetEntriesContext::empty(true)).expect("all there").len(), 3);
    }
}
