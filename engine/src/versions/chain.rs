//! The versions of one row, and of one index entry.
//!
//! A chain holds the newest version in place and older ones, which are there only for snapshots, in a list. When a
//! version is added, those that no needed moment sees are dropped at once, so a hot row costs as many versions as there
//! are snapshots, not as many as there are writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gemini_shadow_ops::{ColumnId, Key, Row, RowState, Value};

use crate::{Lsn, Seq};

/// A row at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) seq: Seq,
    /// The admission last applied to it.
    pub(crate) lsn: Lsn,
    pub(crate) state: Arc<RowState>,
    /// The merged view, computed once. As wide as the schema was then.
    pub(crate) row: Option<Row>,
    /// Bytes it takes, roughly.
    pub(crate) weight: u32,
}

impl Version {
    /// `indexes`: how many secondary indexes hold an entry of it.
    pub(crate) fn new(seq: Seq, lsn: Lsn, state: Arc<RowState>, row: Option<Row>, indexes: usize) -> Version {
        let weight = weight(&state, indexes);
        Version { seq, lsn, state, row, weight }
    }
}

/// What the store holds under a chain's key.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Nothing,
    /// A row, with the entries of those indexes that there were at `folded`.
    Row {
        /// The admission last applied to it.
        lsn: Lsn,
        /// Its merged view, from which its index entries follow.
        row: Option<Row>,
        /// The oldest moment in use when it was written.
        folded: Seq,
    },
}

/// All versions of one row that memory holds.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) newest: Version,
    /// Oldest first.
    pub(crate) older: Vec<Version>,
    pub(crate) stored: Stored,
    /// Whether the newest is not in the store, and the key therefore in the list of what to fold.
    pub(crate) dirty: bool,
    /// Read since the last sweep: not to be evicted in this one.
    pub(crate) used: AtomicBool,
    /// When the set of live incarnations last changed. As far back as the table remembers.
    pub(crate) live_changed: Seq,
    /// When each cell was last written. As far back as the table remembers.
    pub(crate) cells_changed: Vec<(ColumnId, Seq)>,
}

impl Chain {
    /// A row that is not in the store.
    pub(crate) fn new(newest: Version, stored: Stored, dirty: bool) -> Chain {
        Chain {
            newest,
            older: Vec::new(),
            stored,
            dirty,
            used: AtomicBool::new(true),
            live_changed: Seq(0),
            cells_changed: Vec::new(),
        }
    }

    /// The version that a snapshot of moment `seq` sees; None: memory does not know it (the store may).
    pub(crate) fn at(&self, seq: Seq) -> Option<&Version> {
        if self.newest.seq <= seq {
            return Some(&self.newest);
        }
        self.older.iter().rev().find(|v| v.seq <= seq)
    }

    /// Whether the store holds the version that `seq` sees.
    pub(crate) fn is_stored(&self, seq: Seq) -> bool {
        match (&self.stored, self.at(seq)) {
            (Stored::Row { lsn, .. }, Some(version)) => *lsn == version.lsn,
            (Stored::Row { .. }, None) => true,
            (Stored::Nothing, _) => false,
        }
    }

    /// Marks it as read.
    pub(crate) fn touch(&self) {
        // A plain load first: the flag is almost always set, and a store would move the cache line between cores.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Makes `version` the newest; returns by how many bytes memory grew (negative: shrank).
    pub(crate) fn push(&mut self, version: Version, needed: &[Seq]) -> i64 {
        let mut grown = i64::from(version.weight);
        if version.seq == self.newest.seq {
            grown -= i64::from(self.newest.weight);
            self.newest = version;
            return grown;
        }
        let last = std::mem::replace(&mut self.newest, version);
        self.older.push(last);
        let newest = self.newest.seq;
        let (mut at, count) = (0, self.older.len());
        // The next version's moment, by position, before any is dropped.
        let nexts: Vec<Seq> = self.older.iter().skip(1).map(|v| v.seq).chain([newest]).collect();
        self.older.retain(|v| {
            debug_assert!(at < count);
            let keep = is_needed(v.seq, nexts[at], needed);
            at += 1;
            if !keep {
                grown -= i64::from(v.weight);
            }
            keep
        });
        if self.older.is_empty() {
            self.older = Vec::new();
        }
        grown
    }

    /// Drops the versions older than the newest one that the moment `oldest` sees; returns by how many bytes memory
    /// shrank.
    pub(crate) fn drop_below(&mut self, oldest: Seq) -> i64 {
        let keep_from = if self.newest.seq <= oldest {
            self.older.len()
        } else {
            self.older.iter().rposition(|v| v.seq <= oldest).unwrap_or(0)
        };
        let bytes = self.older.drain(..keep_from).map(|v| i64::from(v.weight)).sum();
        if self.older.is_empty() {
            self.older = Vec::new();
        }
        bytes
    }

    /// Notes that a cell was written.
    pub(crate) fn cell_changed(&mut self, column: ColumnId, seq: Seq) {
        match self.cells_changed.iter_mut().find(|(c, _)| *c == column) {
            Some((_, at)) => *at = seq,
            None => self.cells_changed.push((column, seq)),
        }
    }

    /// Forgets changes up to `seq`.
    pub(crate) fn forget_changes(&mut self, seq: Seq) {
        self.cells_changed.retain(|(_, at)| *at > seq);
        if self.cells_changed.is_empty() {
            self.cells_changed = Vec::new();
        }
    }

    /// Bytes of all its versions.
    pub(crate) fn weight(&self) -> i64 {
        i64::from(self.newest.weight) + self.older.iter().map(|v| i64::from(v.weight)).sum::<i64>()
    }
}

/// Whether some needed moment sees a version that was replaced at `next`. `needed` is sorted.
fn is_needed(seq: Seq, next: Seq, needed: &[Seq]) -> bool {
    let first = needed.partition_point(|p| *p < seq);
    needed.get(first).is_some_and(|p| *p < next)
}

/// Whether the store holds an index entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    No,
    /// Perhaps, from before a restart: it has to be hidden or removed like one that is there, and written like one that
    /// is not.
    Perhaps,
    Yes,
}

/// One index entry over time.
#[derive(Debug)]
pub(crate) struct EntryChain {
    pub(crate) primary: Key,
    pub(crate) seq: Seq,
    pub(crate) present: bool,
    /// Oldest first.
    pub(crate) older: Vec<(Seq, bool)>,
    pub(crate) held: Held,
}

impl EntryChain {
    /// Whether the entry is there at `seq`; None: memory does not know (the store may).
    pub(crate) fn at(&self, seq: Seq) -> Option<bool> {
        if self.seq <= seq {
            return Some(self.present);
        }
        self.older.iter().rev().find(|(s, _)| *s <= seq).map(|(_, present)| *present)
    }

    /// Sets whether it is there from `seq` on.
    pub(crate) fn set(&mut self, seq: Seq, present: bool, needed: &[Seq]) {
        if self.seq != seq {
            self.older.push((self.seq, self.present));
            let nexts: Vec<Seq> = self.older.iter().skip(1).map(|(s, _)| *s).chain([seq]).collect();
            let mut at = 0;
            self.older.retain(|(s, _)| {
                at += 1;
                is_needed(*s, nexts[at - 1], needed)
            });
        }
        self.seq = seq;
        self.present = present;
    }

    /// Drops what the moment `oldest` and later ones do not see.
    pub(crate) fn drop_below(&mut self, oldest: Seq) {
        let keep_from = if self.seq <= oldest {
            self.older.len()
        } else {
            self.older.iter().rposition(|(s, _)| *s <= oldest).unwrap_or(0)
        };
        self.older.drain(..keep_from);
    }
}

/// Bytes that a version takes, roughly: its map entry, its index entries and its state, with which the
/// merged view shares its values.
fn weight(state: &RowState, indexes: usize) -> u32 {
    let mut bytes = 200 + 180 * indexes;
    for incarnation in &state.incarnations {
        bytes += 160 + size_of::<Value>() * incarnation.values.len();
        bytes += incarnation.stamps.len() * 24;
        let additions = incarnation.additions.iter().flat_map(|a| &a.by);
        bytes += additions.map(|by| size_of_val(by) + by.blues().count() * 16).sum::<usize>();
        bytes += incarnation.values.iter().map(heap).sum::<usize>();
    }
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn heap(value: &Value) -> usize {
    match value {
        Value::Text(text) => 16 + text.len(),
        Value::Bytea(bytes) => 16 + bytes.len(),
        Value::Numeric(_) => 64,
        Value::Array(values) => 32 + values.len() * size_of::<Value>(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_needed_by_the_moments_that_see_it() {
        let needed = [Seq(3), Seq(7)];
        assert!(is_needed(Seq(3), Seq(4), &needed));
        assert!(is_needed(Seq(1), Seq(4), &needed));
        assert!(!is_needed(Seq(4), Seq(7), &needed));
        assert!(is_needed(Seq(4), Seq(8), &needed));
        assert!(!is_needed(Seq(8), Seq(9), &needed));
    }

    #[test]
    fn a_hot_row_keeps_one_version_per_moment_in_use() {
        let version = |n| Version::new(Seq(n), Lsn(n), Arc::new(RowState::default()), None, 0);
        let mut chain = Chain::new(version(1), Stored::Nothing, true);
        let needed = [Seq(3), Seq(50)];
        for n in 2..=100 {
            chain.push(version(n), &needed);
        }
        assert_eq!(chain.older.iter().map(|v| v.seq.0).collect::<Vec<_>>(), [3, 50]);
        assert_eq!(chain.at(Seq(49)).map(|v| v.seq), Some(Seq(3)));
        assert!(chain.at(Seq(2)).is_none());
        chain.drop_below(Seq(50));
        assert_eq!(chain.older.len(), 1);
        chain.drop_below(Seq(100));
        assert!(chain.older.is_empty());
    }
}
