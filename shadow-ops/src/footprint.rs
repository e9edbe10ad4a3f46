//! What a transaction read and writes, as certification and local validation see it.
//!
//! A footprint is a set of items read, each with the statement that read it, and a set of items written. An accepted entry makes
//! later entries fail that read, from an older snapshot, what it wrote; so everything an effect relies on is a read, and
//! everything that could disappoint somebody's reading is a write. Absent things are items as well: a UNIQUE key found
//! absent and a range of children found empty are read just like a parent found present.
//!
//! ```text
//!   insert child (7, parent 3)     reads   row 7 absent · unique keys absent · parent's key 3 present
//!                                  writes  row 7 · all its cells · its key in every index (its place in the range of 3's children)
//!   delete parent 3                reads   row 3 · its strict and lww cells · children of 3: none
//!                                  writes  row 3 · all its cells · its key in every index
//! ```
//!
//! The two meet in both directions: the insert read the parent's key, which the delete writes; the delete read the range,
//! which the insert writes. Whichever is ordered second is refused, unless it had seen the first.
//!
//! The derivation is in `derive`; what it does not do is know what a statement's WHERE clause looked at: a generator adds that
//! to [`crate::Draft::reads`] where the isolation level asks for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{ColumnId, IndexId, SequenceId, TableId};
use crate::op::Key;
use crate::schema::{Schema, Table};

pub(crate) mod derive;

pub use derive::local_items;

/// Columns of one table.
pub type ColumnSet = BTreeSet<ColumnId>;

/// A footprint of more reads, or of more writes, escalates to whole tables.
pub const FOOTPRINT_CAP: usize = 4_096;

/// Something that can be read and written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Item {
    /// Whether the row exists, and which incarnations make it up.
    Row { table: TableId, key: Key },
    /// Cells of a row.
    Cells { table: TableId, key: Key, columns: ColumnSet },
    /// One key of an index: the index columns' encoded values without the primary key suffix.
    IndexKey { table: TableId, index: IndexId, key: Key },
    /// Index keys k with from <= k < to (empty `to`: no end), children of a parent or a scan.
    Range { table: TableId, index: IndexId, from: Key, to: Key },
    /// Everything in a table (a footprint over its cap escalates to it).
    Table { table: TableId },
    /// The whole schema.
    Catalogue,
    /// A sequence's state (closed, open, base).
    Sequence { sequence: SequenceId },
}

/// An item read by one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Index into the transaction's statements: its red index is what the read is judged from.
    pub statement: u16,
    /// What was read.
    pub item: Item,
}

/// What certification needs of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Sorted by item, without repeats (the oldest statement stands for all that read an item).
    pub reads: Vec<Read>,
    /// Sorted, without repeats.
    pub writes: Vec<Item>,
}

impl Item {
    /// The table it is part of.
    pub fn table(&self) -> Option<TableId> {
        match self {
            Item::Row { table, .. }
            | Item::Cells { table, .. }
            | Item::IndexKey { table, .. }
            | Item::Range { table, .. }
            | Item::Table { table } => Some(*table),
            Item::Catalogue | Item::Sequence { .. } => None,
        }
    }

    /// The primary or index key, where it is about one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Item::Row { key, .. } | Item::Cells { key, .. } | Item::IndexKey { key, .. } => Some(key),
            Item::Range { from, .. } => Some(from),
            Item::Table { .. } | Item::Catalogue | Item::Sequence { .. } => None,
        }
    }

    /// A row's existence and all its cells: what reading a whole row reads, and what SELECT … FOR UPDATE locks.
    pub fn whole_row(table: &Table, key: &Key) -> [Item; 2] {
        [
            Item::Row { table: table.id, key: key.clone() },
            Item::Cells { table: table.id, key: key.clone(), columns: table.column_ids() },
        ]
    }

    /// The index keys that begin with a prefix.
    pub fn prefix(table: TableId, index: IndexId, prefix: Key) -> Item {
        let to = crate::value::key::successor(&prefix).unwrap_or_else(|| Key([].into()));
        Item::Range { table, index, from: prefix, to }
    }
}

impl Footprint {
    /// The versions of every table in the footprint, sorted: an entry is refused unless they are current at its index.
    pub fn tables(&self, schema: &Schema) -> Vec<(TableId, u64)> {
        let items = self.reads.iter().map(|r| &r.item).chain(&self.writes);
        let tables: BTreeSet<TableId> = items.filter_map(Item::table).collect();
        tables.into_iter().map(|id| (id, schema.table(id).map_or(0, |t| t.version))).collect()
    }

    /// Brings reads and writes under the cap by giving up detail in the busiest tables.
    pub(crate) fn escalate(&mut self) {
        if self.reads.len() > FOOTPRINT_CAP {
            let wide = busiest(self.reads.iter().map(|r| &r.item));
            let mut oldest: BTreeMap<TableId, u16> = BTreeMap::new();
            self.reads.retain(|read| match read.item.table().filter(|t| wide.contains(t)) {
                Some(table) => {
                    let statement = oldest.entry(table).or_insert(read.statement);
                    *statement = read.statement.min(*statement);
                    false
                }
                None => true,
            });
            let tables = oldest.into_iter();
            self.reads
                .extend(tables.map(|(table, statement)| Read { statement, item: Item::Table { table } }));
            self.reads.sort_by(|a, b| a.item.cmp(&b.item));
        }
        if self.writes.len() > FOOTPRINT_CAP {
            let wide = busiest(self.writes.iter());
            self.writes.retain(|item| item.table().is_none_or(|t| !wide.contains(&t)));
            self.writes.extend(wide.into_iter().map(|table| Item::Table { table }));
            self.writes.sort();
        }
    }
}

/// The fewest tables whose items, counted as one each, bring the rest under the cap.
fn busiest<'a>(items: impl Iterator<Item = &'a Item>) -> BTreeSet<TableId> {
    let mut counts: BTreeMap<TableId, usize> = BTreeMap::new();
    let mut total = 0usize;
    for item in items {
        total += 1;
        if let Some(table) = item.table() {
            *counts.entry(table).or_default() += 1;
        }
    }
    let mut tables: Vec<(usize, TableId)> = counts.into_iter().map(|(table, n)| (n, table)).collect();
    tables.sort_by(|a, b| b.cmp(a));
    let mut wide = BTreeSet::new();
    for (count, table) in tables {
        if total <= FOOTPRINT_CAP {
            break;
        }
        total = total + 1 - count;
        wide.insert(table);
    }
    wide
}
