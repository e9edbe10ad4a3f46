//! Row and index versions in memory: multi-version concurrency with one writer.
//!
//! ```text
//!   Catalogue (one per schema version, immutable)
//!     └─ table 7 ── Arc<Table>  declaration
//!                ── Arc<TableData>  RwLock<BTreeMap<Key, Chain>>         key → newest version, older ones
//!                ── Arc<IndexData>  RwLock<BTreeMap<entry, EntryChain>>  one per secondary index
//! ```
//!
//! The writer adds versions under a short write lock; readers walk at most [`BATCH`] rows under a read lock, then let
//! go. A snapshot holds the catalogue of its moment, so a dropped table stays readable for those who still see it.
//!
//! **Memory over store.** A chain says what a key is at the moments it knows; for any other moment, and for keys without
//! a chain, the store says it. That is sound because a row goes to the store only when it is the newest version that
//! *every* snapshot in use sees, first to the store, then out of memory; a reader looks first in memory, then in the
//! store. A map that is `complete` (nothing of it lives in the store alone) spares the second look.
//!
//! **What changed since.** Validation at commit asks whether an item changed since a moment. Chains and maps remember
//! when they last changed, as far back as the oldest snapshot; a moment before that gets the careful answer.

mod chain;
pub(crate) mod merge;
mod pins;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gemini_shadow_ops::{IndexId, Key, Table, TableId};
use parking_lot::RwLock;

pub(crate) use chain::{Chain, EntryChain, Held, Stored, Version};
pub(crate) use pins::{Epoch, Pins};

use crate::Seq;

/// The most rows walked under one lock.
pub(crate) const BATCH: usize = 1024;

/// The most changes that a map remembers one by one for validation of ranges.
const REMEMBERED: usize = 16_384;

/// The tables of one schema version.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) tables: BTreeMap<TableId, TableEntry>,
}

/// One table: declaration and data.
#[derive(Clone, Debug)]
pub(crate) struct TableEntry {
    pub(crate) table: Arc<Table>,
    pub(crate) data: Arc<TableData>,
    /// All but the primary key's, in declared order.
    pub(crate) indexes: Vec<Arc<IndexData>>,
}

impl TableEntry {
    /// The data of a secondary index.
    pub(crate) fn index(&self, id: IndexId) -> Option<&Arc<IndexData>> {
        self.indexes.iter().find(|index| index.id == id)
    }

    /// Whether `id` is the primary key's index, whose entries are the rows themselves.
    pub(crate) fn is_primary(&self, id: IndexId) -> bool {
        self.table.indexes.first().is_some_and(|index| index.id == id)
    }
}

/// A table's rows in memory.
#[derive(Debug)]
pub(crate) struct TableData {
    pub(crate) id: TableId,
    pub(crate) rows: RwLock<Rows>,
}

#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) map: BTreeMap<Key, Chain>,
    /// Nothing of the table lives in the store alone.
    pub(crate) complete: bool,
    /// Keys whose chains are dirty, in order of becoming so.
    pub(crate) dirty: Vec<Key>,
    pub(crate) changes: Changed,
    /// Bytes of all versions, roughly.
    pub(crate) bytes: i64,
    /// Where the sweep for memory goes on.
    pub(crate) sweep: Option<Key>,
}

impl TableData {
    pub(crate) fn new(id: TableId, complete: bool) -> TableData {
        TableData {
            id,
            rows: RwLock::new(Rows {
                map: BTreeMap::new(),
                complete,
                dirty: Vec::new(),
                changes: Changed::default(),
                bytes: 0,
                sweep: None,
            }),
        }
    }
}

/// A secondary index's entries in memory.
#[derive(Debug)]
pub(crate) struct IndexData {
    pub(crate) id: IndexId,
    /// The moment it was made: versions folded before hold no entries of it.
    pub(crate) since: Seq,
    pub(crate) entries: RwLock<Entries>,
}

#[derive(Debug)]
pub(crate) struct Entries {
    pub(crate) map: BTreeMap<Key, EntryChain>,
    pub(crate) complete: bool,
    /// Entries of rows that were there before the index, with the rows' keys: they are folded by themselves.
    pub(crate) built: Vec<(Key, Key)>,
    /// Entries that came and went between two folds.
    pub(crate) gone: Vec<Key>,
    pub(crate) changes: Changed,
}

impl IndexData {
    pub(crate) fn new(id: IndexId, since: Seq, complete: bool) -> IndexData {
        IndexData {
            id,
            since,
            entries: RwLock::new(Entries {
                map: BTreeMap::new(),
                complete,
                built: Vec::new(),
                gone: Vec::new(),
                changes: Changed::default(),
            }),
        }
    }
}

impl Entries {
    /// Sets whether `entry` is there from `seq` on.
    pub(crate) fn set(&mut self, entry: Key, primary: &Key, seq: Seq, present: bool, needed: &[Seq]) {
        self.changes.note(&entry, seq);
        match self.map.entry(entry) {
            std::collections::btree_map::Entry::Occupied(mut slot) => {
                let chain = slot.get_mut();
                chain.set(seq, present, needed);
                if !present && chain.held == Held::No {
                    if chain.older.is_empty() {
                        slot.remove();
                    } else {
                        self.gone.push(slot.key().clone());
                    }
                }
            }
            std::collections::btree_map::Entry::Vacant(slot) => {
                // An entry that goes and is not in memory can only be in the store.
                let held = if present { Held::No } else { Held::Yes };
                slot.insert(EntryChain { primary: primary.clone(), seq, present, older: Vec::new(), held });
            }
        }
    }
}

/// What changed in a map, and when: as far back as `since`.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Chains remember their changes from here on.
    pub(crate) since: Seq,
    /// The list holds all changes from here on.
    listed_since: Seq,
    /// The last one of all.
    pub(crate) last: Seq,
    /// One by one, oldest first.
    list: VecDeque<(Seq, Key)>,
}

impl Changed {
    pub(crate) fn note(&mut self, key: &Key, seq: Seq) {
        self.last = seq;
        if self.list.len() >= REMEMBERED
            && let Some((dropped, _)) = self.list.pop_front()
        {
            self.listed_since = self.listed_since.max(dropped);
        }
        self.list.push_back((seq, key.clone()));
    }

    /// Forgets changes that every snapshot in use sees.
    pub(crate) fn forget(&mut self, oldest: Seq) {
        while self.list.front().is_some_and(|(seq, _)| *seq <= oldest) {
            self.list.pop_front();
        }
        if self.list.is_empty() {
            self.list = VecDeque::new();
        }
        self.since = self.since.max(oldest);
    }

    /// Changes after `seq`, newest first; None if they are not all remembered.
    pub(crate) fn after(&self, seq: Seq) -> Option<impl Iterator<Item = &(Seq, Key)>> {
        if seq < self.since.max(self.listed_since) {
            return None;
        }
        Some(self.list.iter().rev().take_while(move |(at, _)| *at > seq))
    }
}
