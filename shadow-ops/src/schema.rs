//! The schema as the algebra's signature: which tables, columns and constraints there are and by which rules
//! concurrent effects on them combine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{ColumnId, ConstraintId, IndexId, SequenceId, TableId};
use crate::value::{DataType, Value};

mod change;
mod check;
mod look;
mod presence;
mod valid;

pub use change::{ChangeKind, SchemaError, SchemaErrorKind};

/// How concurrent writes of a column combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MergeRule {
    /// Ordered by the red order (default).
    Strict,
    /// `MERGE LWW`: the later (HLC, site) wins; the loser is displaced.
    Lww,
    /// `MERGE DELTA`: increments add up.
    Delta,
    /// `MERGE MAX`: the greatest.
    Max,
    /// `MERGE MIN`: the least.
    Min,
    /// `MERGE ADD WINS SET`: an array of elements that are added and removed; a removal takes only what it has seen.
    AddWinsSet,
    /// `MERGE ENABLE WINS`: a boolean; true, unless every true was seen by a false.
    EnableWins,
    /// `MERGE DISABLE WINS`: a boolean; false, unless every false was seen by a true.
    DisableWins,
}

/// How concurrent inserts, updates and deletes of a row combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowRule {
    /// Inserts and deletes are red (default).
    Strict,
    /// `ROWS APPEND ONLY`: never deleted.
    AppendOnly,
    /// `ROWS ADD WINS`: an update or insert the delete did not see keeps the row.
    AddWins,
    /// `ROWS REMOVE WINS`: a delete beats updates it did not see.
    RemoveWins,
}

/// How a column mints its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Minting {
    /// SERIAL, IDENTITY or DEFAULT nextval.
    Sequence(SequenceId),
    /// DEFAULT gen_random_uuid().
    Uuid,
}

/// What fills a column that an INSERT leaves out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Default {
    /// The expression, as PostgreSQL would print it; evaluated by the generator.
    pub sql: String,
}

/// One column. Its id is also its slot in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Column {
    pub id: ColumnId,
    pub name: String,
    pub ty: DataType,
    pub not_null: bool,
    pub default: Option<Default>,
    /// GENERATED ALWAYS AS (…) STORED: the expression and the columns it reads.
    pub generated: Option<(String, Vec<ColumnId>)>,
    /// GENERATED ALWAYS AS IDENTITY (Some(true)), BY DEFAULT (Some(false)).
    pub identity: Option<bool>,
    pub minting: Option<Minting>,
    pub merge: MergeRule,
    /// What rows stored before the column was added read as: a constant.
    pub missing: Value,
    /// Not shown by `*`: the key of a table declared without a PRIMARY KEY (a minted uuid).
    pub hidden: bool,
}

/// One column of an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct IndexColumn {
    pub column: ColumnId,
    pub descending: bool,
    pub nulls_first: bool,
}

/// An index over plain columns. Expression and partial indexes are refused at DDL (0A000).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Index {
    pub id: IndexId,
    pub name: String,
    pub columns: Vec<IndexColumn>,
    pub unique: bool,
    pub nulls_not_distinct: bool,
    /// Set when it backs a PRIMARY KEY or UNIQUE constraint rather than CREATE INDEX.
    pub constraint: Option<ConstraintId>,
}

/// Which side a bound is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BoundSide {
    /// `x >= c` (`x > c` on integers is `x >= c + 1`).
    AtLeast,
    /// `x <= c`.
    AtMost,
}

/// A CHECK that is a plain bound of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Bound {
    pub column: ColumnId,
    pub side: BoundSide,
    pub limit: Value,
}

/// A CHECK constraint. Evaluated by the generator; the algebra needs only what it reads and whether it is a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Check {
    pub id: ConstraintId,
    pub name: String,
    /// As PostgreSQL would print it.
    pub sql: String,
    /// Sorted.
    pub columns: Vec<ColumnId>,
    /// `Some` for each conjunct when the CHECK is nothing but bounds of one column (`x >= 0 AND x <= 9`), else empty.
    pub bounds: Vec<Bound>,
}

/// ON DELETE, ON UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ReferentialAction {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

/// A FOREIGN KEY (MATCH SIMPLE).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ForeignKey {
    pub id: ConstraintId,
    pub name: String,
    pub columns: Vec<ColumnId>,
    pub parent: TableId,
    /// In the order of `columns`.
    pub parent_columns: Vec<ColumnId>,
    /// The parent's unique index it refers to.
    pub parent_index: IndexId,
    /// The child's index by which a parent's delete finds the children: every FOREIGN KEY gets one (made if absent).
    pub child_index: IndexId,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Table {
    pub id: TableId,
    pub name: String,
    /// The schema version at which a declaration that its colours or footprints depend on last changed.
    pub version: u64,
    /// In declared order. Dropped columns are gone; their ids are not used again.
    pub columns: Vec<Column>,
    /// The number of slots ever given: a full row has this many values.
    pub slots: u16,
    pub rows: RowRule,
    /// The schema version from which the table has been ADD WINS without a break; None under any other rule. Set by
    /// [`Schema::apply`]; what a generator puts here is ignored. Updates generated before it keep no row alive.
    pub add_wins_since: Option<u64>,
    pub keys_trusted: bool,
    /// The first is the primary key's (`primary`), always present (hidden column if none was declared).
    pub indexes: Vec<Index>,
    pub foreign_keys: Vec<ForeignKey>,
    pub checks: Vec<Check>,
}

/// A sequence. Closed until `base` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sequence {
    pub id: SequenceId,
    pub name: String,
    pub start: i64,
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    pub cycle: bool,
    /// The column whose SERIAL or IDENTITY made it: dropped with it.
    pub owner: Option<(TableId, ColumnId)>,
    /// `Some` once open: minting starts at base; site class c of C mints base + increment * (c + k * C).
    pub base: Option<i64>,
}

/// Everything declared, at one version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The red index of the last change; 0 before the first.
    pub version: u64,
    /// By id.
    pub tables: BTreeMap<TableId, Arc<Table>>,
    /// By id.
    pub sequences: BTreeMap<SequenceId, Arc<Sequence>>,
    /// The next table, index, constraint or sequence id: one counter, never going back.
    pub next_id: u32,
}
