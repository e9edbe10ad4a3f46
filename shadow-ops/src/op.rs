//! Shadow operations and the transactions made of them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::classify::Classification;
use crate::fault::{Fault, planted};
use crate::footprint::Footprint;
use crate::ids::{
    ColumnId, ConstraintId, EntryId, Frontier, IndexId, SequenceId, SiteId, Stamp, TableId, TxnId,
};
use crate::members::{MemberChange, MemberEntry};
use crate::rights::Move;
use crate::schema::{Check, Column, ForeignKey, Index, MergeRule, RowRule, Schema, Sequence, Table};
use crate::value::{Row, Value, set};

/// A row's address within its table: its primary key in the order-preserving encoding of [`crate::value::key`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(pub Arc<[u8]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter() {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// What a transaction does to one cell. Every value is a constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Write {
    /// strict and lww: the new value.
    Set(Value),
    /// delta: what is added (negative to subtract).
    Add(Value),
    /// max: raise to at least this.
    Max(Value),
    /// min: lower to at most this.
    Min(Value),
    /// delta under a bound: what is added, accounted to the transaction's origin ([`crate::rights`]).
    Bounded(Value),
    /// set: takes what was seen of some elements, and adds some. An element in both was there and is added anew.
    Elements {
        /// Sorted, each once, no NULLs.
        remove: Vec<Value>,
        /// Sorted, each once, no NULLs.
        add: Vec<Value>,
    },
    /// flag: true, unless every true was seen by a false.
    EnableWins(bool),
    /// flag: false, unless every false was seen by a true.
    DisableWins(bool),
}

/// One row-level effect, or one change of the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Starts an incarnation, named by this transaction.
    Insert {
        /// The table.
        table: TableId,
        /// The row.
        key: Key,
        /// By slot ([`ColumnId`]); dropped columns are NULL.
        values: Row,
    },
    /// Writes cells of the incarnations that made up the row it saw (a delta goes to the least).
    Update {
        /// The table.
        table: TableId,
        /// The row.
        key: Key,
        /// Sorted, never empty.
        of: Vec<TxnId>,
        /// Sorted by column. All columns of an lww group, or none.
        cells: Vec<(ColumnId, Write)>,
    },
    /// Ends exactly these incarnations.
    Delete {
        /// The table.
        table: TableId,
        /// The row.
        key: Key,
        /// Sorted, never empty.
        of: Vec<TxnId>,
    },
    /// Changes the schema; only in red transactions.
    Schema(SchemaChange),
    /// Moves rights of one row between sites; no cell changes.
    Rights {
        /// The table.
        table: TableId,
        /// The row.
        key: Key,
        /// The incarnation; None: the one that this transaction starts.
        of: Option<TxnId>,
        /// In order, never empty.
        moves: Vec<Move>,
    },
}

/// An effect with the statement that made it, by whose frontier ADD WINS and deletes are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowOp {
    /// Index into [`ShadowTransaction::statements`].
    pub statement: u16,
    /// The effect.
    pub op: Op,
}

/// What is streamed, ordered and applied.
///
/// Whoever parses one gets it well formed, or an error: at least one statement, every effect's statement among them, the
/// incarnations named sorted and not none, cells and elements sorted. So applying it needs no checks and cannot fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parsed")]
pub struct ShadowTransaction {
    /// Where its generator ran.
    pub origin: SiteId,
    /// The frontiers of the statements' snapshots, oldest first, never empty. The first is `seen`.
    pub statements: Vec<Frontier>,
    /// The site's frontier at the commit (blue) or proposal (red): admission waits for it.
    pub deps: Frontier,
    /// Decides lww cells. Above that of every cell it overwrites.
    pub stamp: Stamp,
    /// [`crate::Schema::version`] it was generated on.
    pub schema_version: u64,
    /// Folded to the net effect per row, in order (a delete comes before an insert of the same key).
    pub ops: Vec<ShadowOp>,
}

/// A transaction as it stands in bytes: the same fields in the same order.
#[derive(Deserialize)]
struct Parsed {
    origin: SiteId,
    statements: Vec<Frontier>,
    deps: Frontier,
    stamp: Stamp,
    schema_version: u64,
    ops: Vec<ShadowOp>,
}

impl TryFrom<Parsed> for ShadowTransaction {
    type Error = &'static str;

    fn try_from(parsed: Parsed) -> Result<ShadowTransaction, &'static str> {
        let Parsed { origin, statements, deps, stamp, schema_version, ops } = parsed;
        if statements.is_empty() {
            return Err("a transaction without statements");
        }
        for ShadowOp { statement, op } in &ops {
            if usize::from(*statement) >= statements.len() {
                return Err("an effect of a statement that is not there");
            }
            let (of, cells) = match op {
                Op::Update { of, cells, .. } => (of, cells.as_slice()),
                Op::Delete { of, .. } => (of, &[][..]),
                Op::Rights { moves, .. } if moves.is_empty() => return Err("an effect that moves no rights"),
                Op::Rights { moves, .. } if moves.iter().any(|m| matches!(m, Move::Return { .. })) => {
                    return Err("a reservation is returned outside of the red order");
                }
                Op::Insert { .. } | Op::Schema(_) | Op::Rights { .. } => continue,
            };
            if of.is_empty() || !of.is_sorted_by(|a, b| a < b) {
                return Err("an effect that names no incarnations, or not in order");
            }
            if !cells.is_sorted_by(|a, b| a.0 < b.0) {
                return Err("an effect whose cells are not in order");
            }
            if !cells.iter().all(|(_, write)| write.is_well_formed()) {
                return Err("an effect whose elements are not in order");
            }
        }
        Ok(ShadowTransaction { origin, statements, deps, stamp, schema_version, ops })
    }
}

impl Write {
    /// The value written: of an addition what is added, of a change of a set the elements added.
    pub fn value(&self) -> Value {
        match self {
            Write::Set(value)
            | Write::Add(value)
            | Write::Bounded(value)
            | Write::Max(value)
            | Write::Min(value) => value.clone(),
            Write::Elements { add, .. } => Value::Array(Arc::new(add.clone())),
            Write::EnableWins(value) | Write::DisableWins(value) => Value::Bool(*value),
        }
    }

    /// Whether the elements are as they must be.
    fn is_well_formed(&self) -> bool {
        match self {
            Write::Elements { remove, add } => set::is_set(remove) && set::is_set(add),
            _ => true,
        }
    }

    /// An addition to a delta column.
    pub fn delta(table: &Table, column: ColumnId, change: Value) -> Write {
        if table.is_bounded(column) { Write::Bounded(change) } else { Write::Add(change) }
    }
}

impl ShadowTransaction {
    /// The frontier of the oldest snapshot it was generated on.
    pub fn seen(&self) -> &Frontier {
        &self.statements[0]
    }

    /// The rows in which it adds to a bounded column.
    pub fn bounded_rows(&self) -> Vec<(TableId, Key)> {
        let bounded = |op: &ShadowOp| match &op.op {
            Op::Update { table, key, cells, .. } => {
                let adds = cells.iter().any(|(_, write)| matches!(write, Write::Bounded(_)));
                adds.then(|| (*table, key.clone()))
            }
            _ => None,
        };
        self.ops.iter().filter_map(bounded).collect()
    }
}

/// A transaction as proposed to the sequencer, with what its verdict is computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedTransaction {
    /// Used once.
    pub id: EntryId,
    /// The effects.
    pub transaction: Arc<ShadowTransaction>,
    /// What it read and writes; `base` (R) is in it.
    pub footprint: Footprint,
    /// [`Table::version`] of every table it touches: refused unless current at its index. Sorted.
    pub tables: Vec<(TableId, u64)>,
}

impl RedTransaction {
    /// A classified transaction as an entry, vouching for the versions of all tables in its footprint and effects.
    pub fn new(
        id: EntryId,
        transaction: Arc<ShadowTransaction>,
        classification: &Classification,
        schema: &Schema,
    ) -> RedTransaction {
        let mut tables = classification.footprint.tables(schema);
        for op in &transaction.ops {
            if let Some(table) = op.op.table()
                && let Err(at) = tables.binary_search_by_key(&table, |(id, _)| *id)
            {
                tables.insert(at, (table, schema.table(table).map_or(0, |t| t.version)));
            }
        }
        RedTransaction { id, transaction, footprint: classification.footprint.clone(), tables }
    }
}

impl Entry {
    /// The id it uses.
    pub fn id(&self) -> EntryId {
        match self {
            Entry::Transaction(red) => red.id,
            Entry::Void { id, .. } => *id,
            Entry::Member(member) => member.id,
        }
    }

    /// R: the red index of the oldest snapshot that it rests on, or (a VOID) that what it names rested on. A member entry rests
    /// on none.
    pub fn base(&self) -> u64 {
        match self {
            Entry::Transaction(red) => {
                red.transaction.statements.iter().map(|seen| seen.red).min().unwrap_or(0)
            }
            Entry::Void { base, .. } => *base,
            Entry::Member(_) => 0,
        }
    }

    /// The blue transactions and the red index it waits for; of member entries only CLOSE has some.
    pub fn deps(&self) -> Option<&Frontier> {
        match self {
            Entry::Transaction(red) => Some(&red.transaction.deps),
            Entry::Member(MemberEntry { change: MemberChange::Close { counts, .. }, .. }) => Some(counts),
            Entry::Void { deps, .. } => Some(deps),
            Entry::Member(_) => None,
        }
    }

    /// The rows in which rights may be put aside for it. They are returned when it is decided.
    pub fn reserved(&self) -> Vec<(TableId, Key)> {
        match self {
            Entry::Transaction(red) => red.transaction.bounded_rows(),
            Entry::Void { reserved, .. } => reserved.clone(),
            Entry::Member(_) => Vec::new(),
        }
    }

    /// The VOID that ends it. What it returns was put aside by the origin before, on which it therefore depends.
    pub fn void(&self) -> Entry {
        let reserved = self.reserved();
        let (id, base) = (self.id(), self.base());
        let mut deps = Frontier::default();
        if !reserved.is_empty() && !planted(Fault::VoidBeforeReservation) {
            deps.set_blue(id.site, self.deps().map_or(0, |deps| deps.blue(id.site)));
        }
        Entry::Void { id, base, deps, reserved }
    }
}

impl Op {
    /// The table whose row it affects; none for schema changes.
    pub fn table(&self) -> Option<TableId> {
        match self {
            Op::Insert { table, .. }
            | Op::Update { table, .. }
            | Op::Delete { table, .. }
            | Op::Rights { table, .. } => Some(*table),
            Op::Schema(_) => None,
        }
    }

    /// The row it affects; none for schema changes.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Op::Insert { key, .. }
            | Op::Update { key, .. }
            | Op::Delete { key, .. }
            | Op::Rights { key, .. } => Some(key),
            Op::Schema(_) => None,
        }
    }
}

/// One entry of the red order, as the sequencer carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A red transaction.
    Transaction(RedTransaction),
    /// Ends an entry whose origin gave up or never sent it. Whichever is ordered first counts. No effect but that rights put
    /// aside for the entry go back.
    Void {
        /// What it ends.
        id: EntryId,
        /// The base R of the entry that it names: once that has left the window, the VOID has nothing to say.
        base: u64,
        /// The origin's own transactions that put rights aside for the entry; empty if none was put aside.
        deps: Frontier,
        /// In these rows.
        reserved: Vec<(TableId, Key)>,
    },
    /// Changes the members.
    Member(MemberEntry),
}

/// A change of the schema, every id and constant fixed by its generator. DDL reads and writes [`crate::Item::Catalogue`],
/// so that two concurrent changes never both pass certification and ids are never given twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the fields say it
pub enum SchemaChange {
    CreateTable(Table),
    DropTable(TableId),
    RenameTable {
        table: TableId,
        name: String,
    },
    /// Existing rows read the column as [`Column::missing`].
    AddColumn {
        table: TableId,
        column: Column,
    },
    DropColumn {
        table: TableId,
        column: ColumnId,
    },
    RenameColumn {
        table: TableId,
        column: ColumnId,
        name: String,
    },
    /// Replaces everything but id, type and slot.
    AlterColumn {
        table: TableId,
        column: Column,
    },
    SetMerge {
        table: TableId,
        column: ColumnId,
        merge: MergeRule,
    },
    SetRows {
        table: TableId,
        rows: RowRule,
        keys_trusted: bool,
    },
    AddIndex {
        table: TableId,
        index: Index,
    },
    DropIndex {
        table: TableId,
        index: IndexId,
    },
    RenameIndex {
        table: TableId,
        index: IndexId,
        name: String,
    },
    AddCheck {
        table: TableId,
        check: Check,
    },
    AddForeignKey {
        table: TableId,
        foreign_key: ForeignKey,
    },
    DropConstraint {
        table: TableId,
        constraint: ConstraintId,
    },
    CreateSequence(Sequence),
    DropSequence(SequenceId),
    AlterSequence(Sequence),
    /// The first nextval anywhere: fixes the base of minting.
    OpenSequence {
        sequence: SequenceId,
        base: i64,
    },
}
