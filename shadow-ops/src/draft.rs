//! What a generator hands to the classifier: effects with the facts that colour and footprint depend on.

use crate::footprint::Read;
use crate::ids::{ColumnId, Frontier, TableId};
use crate::op::Op;
use crate::value::{Row, Value};

/// A value minted in this transaction, in this column.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Minted {
    pub table: TableId,
    pub column: ColumnId,
    pub value: Value,
}

/// What the effect alone does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// delta columns written by `x = e` (it read x), not `x = x ± e`.
    pub assigned: Vec<ColumnId>,
    /// lww columns whose new value was computed from the old one (part of a group counts as such).
    pub computed: Vec<ColumnId>,
    /// Part of an UPDATE of PRIMARY KEY columns (lowered to a delete and an insert).
    pub key_update: bool,
}

/// One effect, with the row before and after it (merged view, by slot) as the generator saw them.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct DraftOp {
    /// Index into [`Draft::statements`].
    pub statement: u16,
    pub op: Op,
    /// None for inserts.
    pub before: Option<Row>,
    /// None for deletes.
    pub after: Option<Row>,
    pub facts: Facts,
}

/// A generated transaction before it has a colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The statements' frontiers, oldest first, never empty.
    pub statements: Vec<Frontier>,
    /// The version it was generated on.
    pub schema_version: u64,
    /// Net effects per row.
    pub ops: Vec<DraftOp>,
    /// Values minted in this transaction.
    pub minted: Vec<Minted>,
    /// Reads beyond those that the effects imply (SERIALIZABLE, color = red).
    pub reads: Vec<Read>,
    /// SELECT … FOR UPDATE: read and written by the footprint though no effect changes them ([`crate::Item::whole_row`]).
    pub locks: Vec<Read>,
}
