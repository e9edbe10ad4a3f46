//! Rights: the share of a bounded delta's slack that one site may spend by itself.
//!
//! `stock INT MERGE DELTA CHECK (stock >= 0)`: additions commute, but two sites that each take the last one would break the CHECK
//! together. So the *slack* (how far the value is from the bound) is divided among the sites, and a site takes no more than
//! it has. Then no site needs to ask, and the bound holds wherever the effects are applied, in whatever order.
//!
//! ```text
//!   stock 10, made at Ireland      Ireland 10   Brazil 0             the slack is its creator's
//!   Ireland gives 4 to Brazil      Ireland  6   Brazil 4             a blue transaction of the giver
//!   Brazil sells 3                 Ireland  6   Brazil 1   stock 7   a spend: the addition itself says whose rights it takes
//!   Brazil reserves 1 for an entry Ireland  6   Brazil 0   + 1       before it proposes a red sale
//!   the entry is accepted          Ireland  6   Brazil 0   stock 6   consumed; refused or void it would go back to Brazil
//! ```
//!
//! **What is stored.** For each site but the incarnation's creator: what it added, and what it was given less what it gave, for each side.
//! The creator's rights are the rest: the slack less everybody else's, less what is reserved. So at every frontier the
//! rights and the reservations of a bound sum up to its slack by construction, whatever happens to the bound: one that is
//! loosened or dropped gives the difference to the creator, and a row that was there before its column became a delta
//! column is its creator's whole. What must be *kept* is that nobody's rights go below zero; it is, because
//!
//! 1. a site takes from its rights only what they cover in its newest state (the gate at the commit);
//! 2. what it takes from is its own doing, or gifts that its transaction depends on, so wherever the transaction is applied they are;
//! 3. nobody else takes from them: the red order touches only reservations, which their origin has put aside before.
//!
//! Both sides of a bounded column (`x >= c`, `x <= c`) are kinds of rights of their own: an addition spends of one what it creates of the
//! other. Amounts are exact: integers, or NUMERIC for NUMERIC columns. Everything is a sum, so the order of effects does not matter,
//! and nothing is looked up in the schema when effects are applied: a bound that is dropped meanwhile makes no difference.

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, planted};
use crate::ids::{ColumnId, ConstraintId, EntryId, SiteId, TableId, TxnId};
use crate::op::{Key, Op, ShadowOp, Write};
use crate::row::Incarnation;
use crate::schema::{BoundSide, MergeRule, Schema, Table};
use crate::value::{DataType, Row, Value, arith};

/// A movement of rights of one row; the value stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Move {
    /// From the transaction's origin to another site.
    Gift {
        /// Of this column.
        column: ColumnId,
        /// Towards this bound.
        side: BoundSide,
        /// The receiver.
        to: SiteId,
        /// Above zero.
        amount: Value,
    },
    /// The transaction's origin puts aside what an entry of its own will spend if it is accepted.
    Reserve {
        /// Of this column.
        column: ColumnId,
        /// Towards this bound.
        side: BoundSide,
        /// The entry, not yet proposed.
        entry: EntryId,
        /// Above zero.
        amount: Value,
    },
    /// What was put aside for an entry is its origin's again: at the red index at which the entry is decided, whatever the
    /// verdict (an accepted entry then spends it). Never part of a transaction.
    Return {
        /// The entry.
        entry: EntryId,
    },
}

/// What one site, not the creator, has done with a bounded column of an incarnation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Share {
    pub column: ColumnId,
    pub site: SiteId,
    /// The sum of its additions.
    pub added: Value,
    /// Rights towards `x >= c` it was given, less those it gave and put aside.
    pub at_least: Value,
    /// The same for `x <= c`.
    pub at_most: Value,
}

/// Rights put aside for an entry until it is decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Reservation {
    pub entry: EntryId,
    pub column: ColumnId,
    pub side: BoundSide,
    pub amount: Value,
}

/// How an incarnation's slacks are divided. Only rows with bounded delta columns have any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rights {
    /// Sorted by column and site; none of the creator.
    pub shares: Vec<Share>,
    /// Sorted by entry, column and side.
    pub reserved: Vec<Reservation>,
}

/// How far a transaction moves a bounded cell towards a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Spend {
    pub constraint: ConstraintId,
    pub table: TableId,
    pub key: Key,
    pub incarnation: TxnId,
    pub column: ColumnId,
    pub side: BoundSide,
    /// Above zero.
    pub amount: Value,
}

impl Rights {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty() && self.reserved.is_empty()
    }

    /// Whether anything is put aside for the entry.
    pub fn holds(&self, entry: EntryId) -> bool {
        self.reserved.iter().any(|r| r.entry == entry)
    }

    fn share(&mut self, column: ColumnId, site: SiteId) -> &mut Share {
        let at = match self.shares.binary_search_by_key(&(column, site), |s| (s.column, s.site)) {
            Ok(at) => at,
            Err(at) => {
                let none = || Value::Int8(0);
                let share = Share { column, site, added: none(), at_least: none(), at_most: none() };
                self.shares.insert(at, share);
                at
            }
        };
        &mut self.shares[at]
    }
}

impl Share {
    fn given(&mut self, side: BoundSide) -> &mut Value {
        match side {
            BoundSide::AtLeast => &mut self.at_least,
            BoundSide::AtMost => &mut self.at_most,
        }
    }

    /// Its site's rights towards a bound.
    fn rights(&self, ty: &DataType, side: BoundSide) -> Value {
        match side {
            BoundSide::AtLeast => arith::add(ty, &self.at_least, &self.added),
            BoundSide::AtMost => arith::sub(ty, &self.at_most, &self.added),
        }
    }
}

/// Exact sums of a column: its integers may leave its type on the way, and NUMERIC sums keep their scale.
pub fn exact(table: &Table, column: ColumnId) -> DataType {
    match table.column(column) {
        Some(column) if column.ty.is_integer() => DataType::Int8,
        _ => DataType::Numeric(None),
    }
}

impl Incarnation {
    /// Its creator: who has what nobody else has.
    pub fn creator(&self) -> SiteId {
        self.born.site
    }

    /// How far the value is from a bound; None if there is no such bound.
    pub fn slack(&self, table: &Table, column: ColumnId, side: BoundSide) -> Option<Value> {
        let (_, limit) = table.bound(column, side)?;
        Some(distance(&exact(table, column), self.value(table, column), side, limit))
    }

    /// What is put aside towards a bound, for all entries together.
    pub fn reserved(&self, table: &Table, column: ColumnId, side: BoundSide) -> Value {
        let of = self.rights.reserved.iter().filter(|r| (r.column, r.side) == (column, side));
        arith::sum(&exact(table, column), of.map(|r| &r.amount))
    }

    /// The rights of one site towards a bound; None if there is no such bound.
    pub fn rights_of(&self, table: &Table, column: ColumnId, side: BoundSide, site: SiteId) -> Option<Value> {
        let ty = exact(table, column);
        let slack = self.slack(table, column, side)?;
        let shares = self.rights.shares.iter().filter(|s| s.column == column);
        if site != self.creator() {
            let own = shares.filter(|s| s.site == site).map(|s| s.rights(&ty, side)).next();
            return Some(own.unwrap_or_else(|| arith::integer_value(&ty, 0)));
        }
        let rest = shares.fold(slack, |rest, share| arith::sub(&ty, &rest, &share.rights(&ty, side)));
        Some(arith::sub(&ty, &rest, &self.reserved(table, column, side)))
    }

    /// An addition to a bounded column is accounted to its origin.
    pub(crate) fn account(&mut self, table: &Table, column: ColumnId, origin: SiteId, change: &Value) {
        if origin != self.creator() && !planted(Fault::SpendNotAccounted) {
            let share = self.rights.share(column, origin);
            share.added = arith::add(&exact(table, column), &share.added, change);
        }
    }

    /// Applies a movement; false if there was nothing to move.
    pub(crate) fn transfer(&mut self, table: &Table, origin: SiteId, transfer: &Move) -> bool {
        match transfer {
            Move::Gift { column, side, to, amount } => {
                self.shift(table, *column, *side, origin, &arith::neg(&exact(table, *column), amount));
                self.shift(table, *column, *side, *to, amount);
                true
            }
            Move::Reserve { column, side, entry, amount } => {
                let ty = exact(table, *column);
                self.shift(table, *column, *side, origin, &arith::neg(&ty, amount));
                self.put_aside(&ty, *column, *side, *entry, amount);
                true
            }
            Move::Return { entry } => self.give_back(table, *entry),
        }
    }

    /// Changes what a site was given; the creator has the rest anyway.
    pub(crate) fn shift(
        &mut self,
        table: &Table,
        column: ColumnId,
        side: BoundSide,
        site: SiteId,
        by: &Value,
    ) {
        if site != self.creator() {
            let given = self.rights.share(column, site).given(side);
            *given = arith::add(&exact(table, column), given, by);
        }
    }

    fn put_aside(
        &mut self,
        ty: &DataType,
        column: ColumnId,
        side: BoundSide,
        entry: EntryId,
        amount: &Value,
    ) {
        let reserved = &mut self.rights.reserved;
        match reserved.binary_search_by_key(&(entry, column, side), |r| (r.entry, r.column, r.side)) {
            Ok(at) => reserved[at].amount = arith::add(ty, &reserved[at].amount, amount),
            Err(at) => reserved.insert(at, Reservation { entry, column, side, amount: amount.clone() }),
        }
    }

    fn give_back(&mut self, table: &Table, entry: EntryId) -> bool {
        let all = std::mem::take(&mut self.rights.reserved);
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|r| r.entry == entry);
        self.rights.reserved = others;
        for Reservation { column, side, amount, .. } in &own {
            self.shift(table, *column, *side, entry.site, amount);
        }
        !own.is_empty()
    }
}

/// How far a value is from a limit, to which side it must stay.
pub(crate) fn distance(ty: &DataType, value: &Value, side: BoundSide, limit: &Value) -> Value {
    match side {
        BoundSide::AtLeast => arith::sub(ty, value, limit),
        BoundSide::AtMost => arith::sub(ty, limit, value),
    }
}

/// How far an addition moves towards a bound; negative: away.
pub(crate) fn towards(ty: &DataType, change: &Value, side: BoundSide) -> Value {
    match side {
        BoundSide::AtLeast => arith::neg(ty, change),
        BoundSide::AtMost => arith::add(ty, &arith::integer_value(ty, 0), change),
    }
}

/// Both sides.
pub const SIDES: [BoundSide; 2] = [BoundSide::AtLeast, BoundSide::AtMost];

/// The whole part of an amount; 0 for what has none.
pub fn whole(amount: &Value) -> i128 {
    amount.exact().and_then(|n| n.truncate(0).to_i128()).unwrap_or(0)
}

/// What creates slack carries the rights that it creates: to every member alike, what cannot be divided to the origin. One
/// effect for each row that a transaction makes or restocks, to be added to it at its commit.
pub fn shared_out(schema: &Schema, ops: &[ShadowOp], origin: SiteId, members: &[SiteId]) -> Vec<ShadowOp> {
    let mut out = Vec::new();
    for ShadowOp { statement, op } in ops {
        let (table, key, of, created) = match op {
            Op::Insert { table: id, key, values } => {
                let Some(table) = schema.table(*id) else { continue };
                (table, key, None, created_by_insert(table, values))
            }
            Op::Update { table: id, key, of, cells } => {
                let Some(table) = schema.table(*id) else { continue };
                (table, key, of.first().copied(), created_by_update(table, cells))
            }
            Op::Delete { .. } | Op::Rights { .. } | Op::Schema(_) => continue,
        };
        let mut moves = Vec::new();
        for (column, side, amount) in created {
            let each = whole(&amount) / (members.len().max(1) as i128);
            if each > 0 {
                let amount = arith::integer_value(&exact(table, column), each);
                let others = members.iter().filter(|site| **site != origin);
                moves.extend(others.map(|to| Move::Gift { column, side, to: *to, amount: amount.clone() }));
            }
        }
        if !moves.is_empty() {
            let op = Op::Rights { table: table.id, key: key.clone(), of, moves };
            out.push(ShadowOp { statement: *statement, op });
        }
    }
    out
}

fn created_by_insert(table: &Table, values: &Row) -> Vec<(ColumnId, BoundSide, Value)> {
    let mut created = Vec::new();
    for column in table.columns.iter().filter(|c| c.merge == MergeRule::Delta) {
        for side in SIDES {
            if let Some((_, limit)) = table.bound(column.id, side) {
                let value = crate::classify::scope::cell(table, values, column.id);
                created.push((column.id, side, distance(&exact(table, column.id), value, side, limit)));
            }
        }
    }
    created
}

fn created_by_update(table: &Table, cells: &[(ColumnId, Write)]) -> Vec<(ColumnId, BoundSide, Value)> {
    let mut created = Vec::new();
    for (column, write) in cells {
        let Write::Bounded(change) = write else { continue };
        for side in SIDES.into_iter().filter(|side| table.bound(*column, *side).is_some()) {
            let ty = exact(table, *column);
            created.push((*column, side, arith::neg(&ty, &towards(&ty, change, side))));
        }
    }
    created
}
