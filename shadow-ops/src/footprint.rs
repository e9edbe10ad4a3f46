//! What a transaction read and writes, as certification and local validation see it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{ColumnId, ConstraintId, IndexId, SequenceId, TableId, TxnId};
use crate::op::Key;
use crate::schema::BoundSide;
use crate::value::Value;

/// Columns of one table.
pub type ColumnSet = BTreeSet<ColumnId>;

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
    /// Sorted, without repeats.
    pub reads: Vec<Read>,
    /// Sorted, without repeats.
    pub writes: Vec<Item>,
}

/// A spend of a bounded delta, certified by the slack its generator saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Slack {
    pub constraint: ConstraintId,
    pub table: TableId,
    pub key: Key,
    pub incarnation: TxnId,
    pub column: ColumnId,
    /// Index into the transaction's statements; the slack is counted at the oldest red index (R).
    pub statement: u16,
    /// Which of the CHECK's bounds.
    pub side: BoundSide,
    /// How far the value seen is from the bound (>= 0).
    pub slack: Value,
    /// How far this transaction moves towards the bound (negative: away).
    pub spend: Value,
}
