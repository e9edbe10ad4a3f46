//! Rows as merges of their live incarnations, and effects applied to them.
//!
//! Everything ever inserted under one primary key is a [`RowState`]: its *incarnations*, one per insert, each with its own
//! cells. Almost always there is one, and it is live. Applying an effect is a join: the same effects in any order that respects
//! what each had seen give the same state, byte for byte, fingerprint included.
//!
//! ```text
//!   insert ──► new incarnation (named by its transaction)      died ──┐
//!   update ──► cells of the incarnations it names              touched├──► live? ──► view = merge of the live
//!   delete ──► died of the incarnations it names ∪= seen       ───────┘
//! ```
//!
//! 1. Every part of an incarnation only grows in some order: a cell's stamp (the greatest), a delta (a sum), max and min,
//!    `died` and `touched` (joins of frontiers), the fingerprint (a sum). Hence convergence. Sets and flags do not grow; they
//!    converge because nothing arrives before what it has seen (`row/elements.rs`).
//! 2. How a cell combines is in the *write* ([`Write`]), not looked up in the schema, so a schema change that is ordered
//!    differently against a concurrent blue effect at two sites makes no difference. The schema's rules decide only how several live
//!    incarnations merge, and which are live.
//! 3. Deltas, max and min bypass stamps: an older addition still counts. Their cells carry the latest writer's stamp all the
//!    same, for the conflict log and for later rule changes.
//! 4. An incarnation is live if no delete named it; under ADD WINS also if an update touched it that no delete's `seen` covers.
//!    Updates touch only if they were generated under a version in which the table was ADD WINS.
//! 5. Writes to ended incarnations are kept there (they may come back to life under ADD WINS) and never touch a later one.
//!
//! What is overwritten by a write that had not seen it is reported as [`Displaced`]. Reports depend on the order of
//! delivery, as the conflict log does; they are no part of the state.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, planted};
use crate::ids::{ColumnId, Frontier, Stamp, TableId, TxnId};
use crate::op::{Key, Op, Write};
use crate::rights::{Move, Rights};
use crate::schema::{Column, MergeRule, RowRule, Table};
use crate::value::{DataType, Row, Value, arith};

mod elements;

pub use elements::Additions;
use elements::Elements;

/// The last write of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CellStamp {
    pub column: ColumnId,
    pub stamp: Stamp,
    /// Whose write: tells whether a later writer had seen it.
    pub by: TxnId,
}

/// One life of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incarnation {
    /// The transaction whose insert started it.
    pub id: TxnId,
    /// The insert's stamp: every cell's, unless it stands in `stamps`.
    pub born: Stamp,
    /// By slot. A delta cell whose sum leaves its type is kept as NUMERIC. Shared with readers until written.
    pub values: Row,
    /// Cells written after the birth. Sorted by column.
    pub stamps: Vec<CellStamp>,
    /// What the deletes that named it had seen, joined.
    pub died: Option<Frontier>,
    /// The last update per site and the last red one (add wins only).
    pub touched: Frontier,
    /// Order-free sum of hash(transaction id, effect).
    pub fingerprint: u64,
    /// How the slacks of its bounded columns are divided among the sites.
    pub rights: Rights,
    /// Who stands behind the elements of its sets and flags, where it is not its birth alone. Sorted by column.
    pub additions: Vec<Additions>,
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
    /// NULL if the row was deleted.
    pub kept: Value,
    /// None if the row was deleted.
    pub kept_stamp: Option<Stamp>,
}

impl Incarnation {
    /// Whether it is part of the row.
    pub fn is_live(&self, table: &Table) -> bool {
        match &self.died {
            None => true,
            Some(died) => table.rows == RowRule::AddWins && !died.includes(&self.touched),
        }
    }

    /// The stamp and the writer of a cell's last write.
    pub fn cell(&self, column: ColumnId) -> (Stamp, TxnId) {
        match self.stamps.binary_search_by_key(&column, |s| s.column) {
            Ok(i) => (self.stamps[i].stamp, self.stamps[i].by),
            Err(_) => (self.born, self.id),
        }
    }

    /// A cell's value; a slot the row is too short for reads as its column says.
    pub fn value<'a>(&'a self, table: &'a Table, column: ColumnId) -> &'a Value {
        const NULL: &Value = &Value::Null;
        match self.values.get(usize::from(column.0)) {
            Some(value) => value,
            None => table.column(column).map_or(NULL, |c| &c.missing),
        }
    }

    fn restamp(&mut self, column: ColumnId, stamp: Stamp, by: TxnId) {
        match self.stamps.binary_search_by_key(&column, |s| s.column) {
            Ok(i) if self.stamps[i].stamp < stamp => self.stamps[i] = CellStamp { column, stamp, by },
            Ok(_) => {}
            Err(i) if self.born < stamp => self.stamps.insert(i, CellStamp { column, stamp, by }),
            Err(_) => {}
        }
    }

    /// The cells, to be written: as wide as the table, and this incarnation's own.
    fn cells_mut(&mut self, table: &Table) -> &mut [Value] {
        if self.values.len() < usize::from(table.slots) {
            self.values = widen(table, &self.values);
        }
        Arc::make_mut(&mut self.values)
    }

    fn write(&mut self, table: &Table, cells: &[(ColumnId, Write)], context: &Context<'_>, least: bool) {
        self.cells_mut(table);
        for (column, write) in cells {
            let slot = usize::from(column.0);
            let (stamp, _) = self.cell(*column);
            if matches!(write, Write::Set(_)) && stamp < context.stamp {
                self.forget_additions(*column);
            }
            let Some(cell) = Arc::make_mut(&mut self.values).get_mut(slot) else { continue };
            match write {
                Write::Set(value) if planted(Fault::GroupSingly) && *cell == *value => continue,
                Write::Set(value) if planted(Fault::LwwByArrival) => *cell = value.clone(),
                Write::Set(value) => match stamp.cmp(&context.stamp) {
                    Ordering::Less => *cell = value.clone(),
                    Ordering::Equal => *cell = greatest(cell, value),
                    Ordering::Greater => {}
                },
                Write::Add(_) | Write::Bounded(_)
                    if planted(Fault::DeltaByStamp) && stamp > context.stamp => {}
                Write::Add(value) if least => *cell = sum(table.column(*column), cell, value),
                Write::Bounded(value) if least => {
                    *cell = sum(table.column(*column), cell, value);
                    self.account(table, *column, context.stamp.site, value);
                }
                Write::Add(_) | Write::Bounded(_) => {}
                Write::Max(value) if planted(Fault::MaxByStamp) => {
                    if stamp < context.stamp {
                        *cell = value.clone();
                    }
                }
                Write::Max(value) => *cell = greatest(cell, value),
                Write::Min(value) => *cell = least_of(cell, value),
                // Reaches other incarnations too.
                Write::Elements { .. } | Write::EnableWins(_) | Write::DisableWins(_) => {}
            }
            self.restamp(*column, context.stamp, context.id);
        }
    }
}

impl RowState {
    /// Applies one effect; never fails. Each effect is applied once: duplicates are dropped by their transaction's name.
    pub fn apply(&mut self, table: &Table, op: &Op, context: Context<'_>, displaced: &mut Vec<Displaced>) {
        let change = Change { table, context, hash: fingerprint(context.id, op) };
        match op {
            Op::Insert { key, values, .. } => self.insert(&change, key, values, displaced),
            Op::Update { key, of, cells, .. } => self.update(&change, key, of, cells, displaced),
            Op::Delete { key, of, .. } => self.delete(&change, key, of, displaced),
            Op::Rights { of, moves, .. } => self.transfer(&change, of.unwrap_or(context.id), moves),
            Op::Schema(_) => {}
        }
    }

    /// The row a reader sees: the merge of the live incarnations, with a value in every slot of the table; None if none is live.
    pub fn view(&self, table: &Table) -> Option<Row> {
        let mut live = self.live_incarnations(table);
        let first = live.next()?;
        if live.next().is_none() {
            return Some(single(table, first));
        }
        let live: Vec<&Incarnation> = self.live_incarnations(table).collect();
        let mut row = vec![Value::Null; usize::from(table.slots)];
        for column in &table.columns {
            if let Some(slot) = row.get_mut(usize::from(column.id.0)) {
                *slot = merged(table, column.id, &live);
            }
        }
        Some(row.into())
    }

    /// The live incarnations' ids, sorted: what an update or delete names.
    pub fn live(&self, table: &Table) -> Vec<TxnId> {
        self.live_incarnations(table).map(|i| i.id).collect()
    }

    /// Whether a reader sees a row.
    pub fn is_live(&self, table: &Table) -> bool {
        self.live_incarnations(table).next().is_some()
    }

    /// The live incarnations, by id.
    pub fn live_incarnations<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Incarnation> + 'a {
        self.incarnations.iter().filter(move |i| i.is_live(table))
    }

    /// The incarnation of this name.
    pub fn incarnation(&self, id: TxnId) -> Option<&Incarnation> {
        self.position(id).ok().map(|i| &self.incarnations[i])
    }

    /// The last write of a column among the live incarnations: equal at two moments iff nobody wrote it in between.
    pub fn last_write(&self, table: &Table, column: ColumnId) -> Option<(Stamp, TxnId)> {
        self.live_incarnations(table).map(|i| i.cell(column)).max()
    }

    /// The order-free sum over all incarnations: sites compare it to find divergence.
    pub fn fingerprint(&self) -> u64 {
        self.incarnations.iter().fold(0, |sum, i| sum.wrapping_add(i.fingerprint))
    }

    fn position(&self, id: TxnId) -> Result<usize, usize> {
        self.incarnations.binary_search_by_key(&id, |i| i.id)
    }

    fn insert(&mut self, change: &Change<'_>, key: &Key, values: &Row, displaced: &mut Vec<Displaced>) {
        let Change { table, context, hash } = change;
        let Err(at) = self.position(context.id) else { return };
        let incarnation = Incarnation {
            id: context.id,
            born: context.stamp,
            values: values.clone(),
            stamps: Vec::new(),
            died: None,
            touched: Frontier::default(),
            fingerprint: *hash,
            rights: Rights::default(),
            additions: Vec::new(),
        };
        if self.is_live(table) {
            self.displaced_by_insert(change, key, &incarnation, displaced);
        }
        self.incarnations.insert(at, incarnation);
    }

    fn update(
        &mut self,
        change: &Change<'_>,
        key: &Key,
        of: &[TxnId],
        cells: &[(ColumnId, Write)],
        displaced: &mut Vec<Displaced>,
    ) {
        let Change { table, context, hash } = change;
        let touches = table.add_wins_since.is_some_and(|since| context.schema_version >= since)
            && !planted(Fault::UpdateKeepsNothing);
        let mut live = false;
        for id in of {
            let Ok(at) = self.position(*id) else { continue };
            let incarnation = &mut self.incarnations[at];
            incarnation.fingerprint = incarnation.fingerprint.wrapping_add(*hash);
            if touches {
                incarnation.touched.add(context.id);
            }
            if planted(Fault::EndedRevived) {
                incarnation.died = None;
            }
            live |= incarnation.is_live(table);
        }
        let least_live = of.first().and_then(|id| self.incarnation(*id)).is_some_and(|i| i.is_live(table));
        for (column, write) in cells {
            let reached = if matches!(write, Write::Add(_) | Write::Bounded(_)) { least_live } else { live };
            displaced.extend(self.displaced_by_write(change, key, *column, write, reached));
        }
        self.change_elements(table, of, cells, context);
        for id in of {
            if let Ok(at) = self.position(*id) {
                self.incarnations[at].write(table, cells, context, Some(id) == of.first());
            }
        }
    }

    /// Rights move within one incarnation. A reservation that is not there is not returned.
    fn transfer(&mut self, change: &Change<'_>, of: TxnId, moves: &[Move]) {
        let Change { table, context, hash } = change;
        let Ok(at) = self.position(of) else { return };
        let incarnation = &mut self.incarnations[at];
        let twice = planted(Fault::GiftTwice) && matches!(moves, [Move::Gift { .. }, ..]);
        let mut moved = false;
        for transfer in moves {
            moved |= incarnation.transfer(table, context.stamp.site, transfer);
            if twice && let Move::Gift { column, side, to, amount } = transfer {
                incarnation.shift(table, *column, *side, *to, amount);
            }
        }
        if moved {
            incarnation.fingerprint = incarnation.fingerprint.wrapping_add(*hash);
        }
    }

    fn delete(&mut self, change: &Change<'_>, key: &Key, of: &[TxnId], displaced: &mut Vec<Displaced>) {
        let Change { table, context, hash } = change;
        let met: Vec<TxnId>;
        let of = if planted(Fault::DeleteUnseen) {
            met = self.incarnations.iter().map(|i| i.id).collect();
            &met[..]
        } else {
            of
        };
        for id in of {
            let Ok(at) = self.position(*id) else { continue };
            let incarnation = &mut self.incarnations[at];
            let was_live = incarnation.is_live(table);
            incarnation.fingerprint = incarnation.fingerprint.wrapping_add(*hash);
            incarnation.died.get_or_insert_default().join(context.seen);
            if was_live && !incarnation.is_live(table) {
                displaced_by_delete(change, key, incarnation, displaced);
            }
        }
    }

    /// Cells that lose, or lose to, an insert of a key that is live already (nobody who saw the row inserts it again).
    fn displaced_by_insert(
        &self,
        change: &Change<'_>,
        key: &Key,
        incoming: &Incarnation,
        displaced: &mut Vec<Displaced>,
    ) {
        for column in &change.table.columns {
            if matches!(column.merge, MergeRule::Strict | MergeRule::Lww) {
                let write = Write::Set(incoming.value(change.table, column.id).clone());
                displaced.extend(self.displaced_by_write(change, key, column.id, &write, true));
            }
        }
    }

    /// What a write displaces, or by what it is displaced, if it or the cell's last writer had not seen the other.
    /// `reached`: an incarnation it names is live.
    fn displaced_by_write(
        &self,
        change: &Change<'_>,
        key: &Key,
        column: ColumnId,
        write: &Write,
        reached: bool,
    ) -> Option<Displaced> {
        if reached && let Some(elements) = Elements::of(write) {
            return self.displaced_elements(change, key, column, &elements);
        }
        let value = &write.value();
        if reached && !matches!(write, Write::Set(_)) {
            return None;
        }
        let Change { table, context, .. } = change;
        let winner = self.live_incarnations(table).max_by_key(|i| i.cell(column));
        let report = |lost: &Value, lost_stamp, kept: &Value, kept_stamp| Displaced {
            table: table.id,
            key: key.clone(),
            column: Some(column),
            lost: lost.clone(),
            lost_stamp,
            kept: kept.clone(),
            kept_stamp,
        };
        let Some(winner) = winner else {
            return Some(report(value, context.stamp, &Value::Null, None));
        };
        let (stamp, by) = winner.cell(column);
        let standing = winner.value(table, column);
        if !reached || stamp > context.stamp {
            return (!reached || standing != value)
                .then(|| report(value, context.stamp, standing, Some(stamp)));
        }
        (!context.seen.covers(by) && by != context.id && standing != value)
            .then(|| report(standing, stamp, value, Some(context.stamp)))
    }
}

/// One effect being applied.
struct Change<'a> {
    table: &'a Table,
    context: Context<'a>,
    hash: u64,
}

/// Cells that the delete ends without having seen them.
fn displaced_by_delete(change: &Change<'_>, key: &Key, ended: &Incarnation, displaced: &mut Vec<Displaced>) {
    for cell in &ended.stamps {
        if change.context.seen.covers(cell.by) || cell.by == change.context.id {
            continue;
        }
        displaced.push(Displaced {
            table: change.table.id,
            key: key.clone(),
            column: Some(cell.column),
            lost: ended.value(change.table, cell.column).clone(),
            lost_stamp: cell.stamp,
            kept: Value::Null,
            kept_stamp: None,
        });
    }
}

/// The view of one incarnation: itself, unless the table has changed its shape or a column its rule since.
fn single(table: &Table, incarnation: &Incarnation) -> Row {
    let slots = usize::from(table.slots);
    if incarnation.values.len() == slots && table.columns.len() == slots {
        return table.with_sets(incarnation.values.clone());
    }
    let mut row = vec![Value::Null; slots];
    for column in &table.columns {
        if let Some(slot) = row.get_mut(usize::from(column.id.0)) {
            *slot = incarnation.value(table, column.id).clone();
        }
    }
    table.with_sets(row.into())
}

fn widen(table: &Table, values: &[Value]) -> Row {
    let mut row = values.to_vec();
    for slot in row.len()..usize::from(table.slots) {
        let column = u16::try_from(slot).ok().and_then(|id| table.column(ColumnId(id)));
        row.push(column.map_or(Value::Null, |c| c.missing.clone()));
    }
    row.into()
}

/// One column of several live incarnations.
fn merged(table: &Table, column: ColumnId, live: &[&Incarnation]) -> Value {
    let declared = table.column(column);
    let values = live.iter().map(|i| i.value(table, column));
    match declared.map_or(MergeRule::Lww, |c| c.merge) {
        MergeRule::Strict | MergeRule::Lww => live
            .iter()
            .max_by(|a, b| {
                let stamps = a.cell(column).0.cmp(&b.cell(column).0);
                stamps.then_with(|| a.value(table, column).canonical(b.value(table, column)))
            })
            .map_or(Value::Null, |i| i.value(table, column).clone()),
        MergeRule::Delta => values.fold(Value::Null, |total, v| sum(declared, &total, v)),
        MergeRule::Max => values.fold(Value::Null, |best, v| greatest(&best, v)),
        MergeRule::Min => values.fold(Value::Null, |best, v| least_of(&best, v)),
        rule @ (MergeRule::AddWinsSet | MergeRule::EnableWins | MergeRule::DisableWins) => {
            elements::merged(rule, values)
        }
    }
}

/// The sum of two delta cells. A column that was dropped meanwhile has no type to return to; nobody sees its cells.
fn sum(column: Option<&Column>, a: &Value, b: &Value) -> Value {
    arith::add(column.map_or(&DataType::Numeric(None), |c| &c.ty), a, b)
}

/// The greater in the canonical order; NULL gives way to anything.
fn greatest(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Null, other) | (other, Value::Null) => other.clone(),
        _ if a.canonical(b).is_ge() => a.clone(),
        _ => b.clone(),
    }
}

/// The lesser in the canonical order; NULL gives way to anything.
fn least_of(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Null, other) | (other, Value::Null) => other.clone(),
        _ if a.canonical(b).is_le() => a.clone(),
        _ => b.clone(),
    }
}

/// hash(transaction id, effect), the same at every site: xxh3 over the effect's postcard bytes.
fn fingerprint(id: TxnId, op: &Op) -> u64 {
    let mut small = [0u8; 512];
    if let Ok(bytes) = postcard::to_slice(&(id, op), &mut small) {
        return xxhash_rust::xxh3::xxh3_64(bytes);
    }
    // Only the buffer can be too small: the types serialize without failing.
    postcard::to_stdvec(&(id, op)).map_or(0, |bytes| xxhash_rust::xxh3::xxh3_64(&bytes))
}
