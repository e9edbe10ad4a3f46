//! Rows as merges of their live incarnations; applying effects to them.

use serde::{Deserialize, Serialize};

use crate::ids::{ColumnId, Frontier, Stamp, TableId, TxnId};
use crate::op::{Key, Op};
use crate::schema::Table;
use crate::value::{Row, Value};

/// One life of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incarnation {
    /// The transaction whose insert started it.
    pub id: TxnId,
    /// The insert's stamp: every cell's, unless it stands in `stamps`.
    pub born: Stamp,
    /// By slot. A delta cell whose sum leaves its type is kept as NUMERIC (128 bits).
    pub values: Vec<Value>,
    /// Cells written after the birth. Sorted by column.
    pub stamps: Vec<(ColumnId, Stamp)>,
    /// What the deletes that named it had seen, joined.
    pub died: Option<Frontier>,
    /// The last update per site and the last red one (add wins only).
    pub touched: Frontier,
    /// Order-free sum of hash(transaction id, effect).
    pub fingerprint: u64,
}

/// Everything stored under one key: live and ended incarnations, sorted by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowState {
    /// Sorted by id.
    pub incarnations: Vec<Incarnation>,
}

/// Under which transaction an effect is applied.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Context<'a> {
    pub id: TxnId,
    pub stamp: Stamp,
    /// The effect's own statement's frontier.
    pub seen: &'a Frontier,
    /// The schema version it was generated on.
    pub schema_version: u64,
}

/// A value that was written and overwritten by a concurrent write that had not seen it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Displaced {
    pub table: TableId,
    pub key: Key,
    /// None: a whole row.
    pub column: Option<ColumnId>,
    pub lost: Value,
    pub lost_stamp: Stamp,
    pub kept: Value,
    pub kept_stamp: Stamp,
}

impl RowState {
    /// Applies one effect; never fails.
    pub fn apply(&mut self, table: &Table, op: &Op, context: Context<'_>, displaced: &mut Vec<Displaced>) {
        let _ = (table, op, context, displaced);
    }

    /// The row a reader sees: the merge of the live incarnations; None if none is live.
    pub fn view(&self, table: &Table) -> Option<Row> {
        let _ = table;
        None
    }

    /// The live incarnations' ids, sorted: what an update or delete names.
    pub fn live(&self, table: &Table) -> Vec<TxnId> {
        let _ = table;
        Vec::new()
    }
}
