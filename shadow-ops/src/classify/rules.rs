//! The table of DESIGN §5, row by row.

use std::collections::BTreeSet;

use super::scope::{Scope, cell};
use super::{Reason, Rule};
use crate::draft::DraftOp;
use crate::fault::{Fault, planted};
use crate::footprint::ColumnSet;
use crate::ids::{ColumnId, ConstraintId, TableId, TxnId};
use crate::op::{Key, Op, Write};
use crate::rights::{SIDES, Spend, exact, towards};
use crate::schema::{Column, ForeignKey, Index, MergeRule, RowRule, Schema, Table};
use crate::value::key::index_has_null;
use crate::value::{Row, Value, arith};

/// Collects reasons and spends over the effects of a draft.
pub(super) struct Verdicts<'a> {
    scope: &'a Scope<'a>,
    reasons: BTreeSet<Reason>,
    spends: Vec<Spend>,
}

impl<'a> Verdicts<'a> {
    pub fn new(scope: &'a Scope<'a>) -> Verdicts<'a> {
        Verdicts { scope, reasons: BTreeSet::new(), spends: Vec::new() }
    }

    pub fn finish(self) -> (Vec<Reason>, Vec<Spend>) {
        (self.reasons.into_iter().collect(), self.spends)
    }

    fn red(
        &mut self,
        table: TableId,
        column: Option<ColumnId>,
        constraint: Option<ConstraintId>,
        rule: Rule,
    ) {
        self.reasons.insert(Reason { table, column, constraint, rule });
    }

    /// Judges one effect.
    pub fn op(&mut self, op: &DraftOp) {
        match &op.op {
            Op::Schema(change) => {
                let table = change.table().unwrap_or(TableId(0));
                self.red(table, None, None, Rule::SchemaChange);
            }
            Op::Insert { table: id, values, .. } => match self.scope.schema.table(*id) {
                Some(table) => self.insert(op, table, values),
                None => self.red(*id, None, None, Rule::Unknown),
            },
            Op::Update { table: id, key, of, cells } => match self.scope.schema.table(*id) {
                Some(table) => self.update(op, table, key, of, cells),
                None => self.red(*id, None, None, Rule::Unknown),
            },
            Op::Delete { table: id, .. } => match self.scope.schema.table(*id) {
                Some(table) => self.delete(op, table),
                None => self.red(*id, None, None, Rule::Unknown),
            },
            // The site's own, never a generator's.
            Op::Rights { table, .. } => self.red(*table, None, None, Rule::Unknown),
        }
    }

    fn insert(&mut self, op: &DraftOp, table: &Table, row: &Row) {
        if table.rows == RowRule::Strict {
            self.red(table.id, None, None, Rule::StrictRows);
        }
        if op.facts.key_update {
            self.red(table.id, None, None, Rule::KeyUpdate);
        }
        match table.primary() {
            Some(_) if table.keys_trusted => {}
            Some(index) if self.scope.unique_by_construction(table, index, row) => {}
            Some(index) => self.red(table.id, None, index.constraint, Rule::KeyNotUniqueByConstruction),
            None => self.red(table.id, None, None, Rule::Unknown),
        }
        for index in table.unique_indexes() {
            let counts = index.nulls_not_distinct || !index_has_null(table, index, row);
            if counts && !self.scope.unique_by_construction(table, index, row) {
                self.unique(table, index);
            }
        }
        for foreign_key in &table.foreign_keys {
            if !self.parent_is_safe(table, foreign_key, row) {
                let column = only(&foreign_key.columns);
                self.red(table.id, column, Some(foreign_key.id), Rule::ForeignKey);
            }
        }
        for column in &table.columns {
            self.explicit_value(table, column, row);
        }
    }

    fn delete(&mut self, op: &DraftOp, table: &Table) {
        match table.rows {
            RowRule::Strict => self.red(table.id, None, None, Rule::StrictRows),
            RowRule::AppendOnly => self.red(table.id, None, None, Rule::Unknown), // generators refuse it
            RowRule::AddWins | RowRule::RemoveWins => {}
        }
        if op.facts.key_update {
            self.red(table.id, None, None, Rule::KeyUpdate);
        }
        for (_, foreign_key) in self.scope.references(table.id) {
            self.red(table.id, None, Some(foreign_key.id), Rule::ReferencedRow);
        }
    }

    fn update(&mut self, op: &DraftOp, table: &Table, key: &Key, of: &[TxnId], cells: &[(ColumnId, Write)]) {
        let (Some(before), Some(after)) = (&op.before, &op.after) else {
            return self.red(table.id, None, None, Rule::Unknown);
        };
        if op.facts.key_update {
            self.red(table.id, None, None, Rule::KeyUpdate);
        }
        for (id, write) in cells {
            let Some(column) = table.column(*id) else {
                self.red(table.id, Some(*id), None, Rule::Unknown);
                continue;
            };
            match (column.merge, write) {
                (MergeRule::Strict, Write::Set(_)) => {
                    self.red(table.id, Some(*id), None, Rule::StrictColumn);
                }
                (MergeRule::Delta, Write::Add(change)) if !table.is_bounded(*id) => {
                    self.delta(op, table, column, before, change);
                }
                (MergeRule::Delta, Write::Bounded(change)) => {
                    self.delta(op, table, column, before, change);
                    self.spend(table, key, of, *id, change);
                }
                (MergeRule::Lww, Write::Set(_))
                | (MergeRule::Max, Write::Max(_))
                | (MergeRule::Min, Write::Min(_))
                | (MergeRule::AddWinsSet, Write::Elements { .. })
                | (MergeRule::EnableWins, Write::EnableWins(_))
                | (MergeRule::DisableWins, Write::DisableWins(_)) => {}
                _ => self.red(table.id, Some(*id), None, Rule::Unknown),
            }
            self.explicit_value(table, column, after);
        }
        let written: ColumnSet = cells.iter().map(|(c, _)| *c).collect();
        let alone = self.groups(table, &written);
        self.keys_of_update(table, &alone, cells, after);
        for reason in static_ties(self.scope.schema, table, &written) {
            self.reasons.insert(reason);
        }
    }

    /// Groups are judged whole, whatever is written; returns the columns that are judged by what is written to them.
    fn groups(&mut self, table: &Table, written: &ColumnSet) -> ColumnSet {
        let mut alone = ColumnSet::new();
        for column in written {
            let group = table.group(*column);
            if group.len() < 2 {
                alone.insert(*column);
                continue;
            }
            if !group.is_subset(written) {
                self.red(table.id, Some(*column), None, Rule::Unknown); // not shipped whole
            }
            for member in &group {
                self.reasons.extend(static_keys(self.scope.schema, table, *member));
            }
            self.reasons.extend(static_ties(self.scope.schema, table, &group));
        }
        alone
    }

    /// UNIQUE and FOREIGN KEYs over columns that are no group's, by the values written.
    fn keys_of_update(&mut self, table: &Table, alone: &ColumnSet, cells: &[(ColumnId, Write)], after: &Row) {
        for index in table.unique_indexes() {
            let written: Vec<_> =
                index.columns.iter().map(|c| c.column).filter(|c| alone.contains(c)).collect();
            // With several columns written every one must become NULL: each cell is merged by itself.
            let nulled = !index.nulls_not_distinct && written.iter().all(|c| becomes_null(cells, *c));
            let minted = |c: &ColumnId| {
                let minting = table.column(*c).is_some_and(|c| c.minting.is_some());
                let lww = table.merge(*c) == MergeRule::Lww;
                minting && lww && self.scope.is_minted(table.id, *c, cell(table, after, *c))
            };
            let minted = index.columns.len() == 1 && written.iter().all(minted);
            if !written.is_empty() && !nulled && !minted {
                self.unique(table, index);
            }
        }
        for foreign_key in &table.foreign_keys {
            let [column] = foreign_key.columns.as_slice() else { continue }; // composite: a tie
            if alone.contains(column)
                && !becomes_null(cells, *column)
                && !self.parent_is_safe(table, foreign_key, after)
            {
                self.red(table.id, Some(*column), Some(foreign_key.id), Rule::ForeignKey);
            }
        }
        for column in alone {
            let keys = static_keys(self.scope.schema, table, *column);
            let never = [Rule::KeyUpdate, Rule::ReferencedRow];
            self.reasons.extend(keys.into_iter().filter(|r| never.contains(&r.rule)));
        }
    }

    fn unique(&mut self, table: &Table, index: &Index) {
        let columns: Vec<ColumnId> = index.columns.iter().map(|c| c.column).collect();
        self.red(table.id, only(&columns), index.constraint, Rule::UniqueKey);
    }

    /// NULL, inserted in this transaction, or never deleted.
    fn parent_is_safe(&self, table: &Table, foreign_key: &ForeignKey, row: &Row) -> bool {
        foreign_key.columns.iter().any(|c| matches!(cell(table, row, *c), Value::Null))
            || self.scope.schema.parent_stays(foreign_key)
            || self.scope.parent_inserted(foreign_key, table, row)
    }

    fn explicit_value(&mut self, table: &Table, column: &Column, row: &Row) {
        let value = cell(table, row, column.id);
        if column.minting.is_some()
            && !matches!(value, Value::Null)
            && !self.scope.is_minted(table.id, column.id, value)
        {
            self.red(table.id, Some(column.id), None, Rule::ExplicitSequenceValue);
        }
    }

    fn delta(&mut self, op: &DraftOp, table: &Table, column: &Column, before: &Row, change: &Value) {
        if op.facts.assigned.contains(&column.id) {
            self.red(table.id, Some(column.id), None, Rule::DeltaAssigned);
        }
        let Some(direction) = sign(change) else {
            return self.red(table.id, Some(column.id), None, Rule::DeltaNearRange); // NaN
        };
        let seen = cell(table, before, column.id);
        let after = arith::add(&column.ty, seen, change);
        if arith::past_half(&column.ty, &after) && sign(&after).is_none_or(|s| s == direction) {
            self.red(table.id, Some(column.id), None, Rule::DeltaNearRange);
        }
    }

    /// What an addition takes of the slack of each bound that it moves towards.
    fn spend(&mut self, table: &Table, key: &Key, of: &[TxnId], column: ColumnId, change: &Value) {
        let Some(incarnation) = of.first().copied() else { return };
        for side in SIDES {
            let Some((constraint, _)) = table.bound(column, side) else { continue };
            let amount = towards(&exact(table, column), change, side);
            if sign(&amount) == Some(1) && !planted(Fault::SpendUngated) {
                let (table, key) = (table.id, key.clone());
                self.spends.push(Spend { constraint, table, key, incarnation, column, side, amount });
            }
        }
    }
}

/// The sign of a number; None for NaN and what is no number.
pub fn sign(value: &Value) -> Option<i8> {
    if let Some(n) = value.as_i64() {
        return Some(n.signum() as i8);
    }
    match value {
        Value::Numeric(n) if n.is_nan() => None,
        Value::Numeric(n) if n.is_zero() => Some(0),
        Value::Numeric(n) => Some(if n.is_negative() { -1 } else { 1 }),
        _ => None,
    }
}

fn becomes_null(cells: &[(ColumnId, Write)], column: ColumnId) -> bool {
    cells.iter().any(|(c, write)| *c == column && matches!(write, Write::Set(Value::Null)))
}

fn only(columns: &[ColumnId]) -> Option<ColumnId> {
    match columns {
        [column] => Some(*column),
        _ => None,
    }
}

/// What makes writes of a column red for some value, whatever is written: keys that it is part of.
fn static_keys(schema: &Schema, table: &Table, column: ColumnId) -> Vec<Reason> {
    let mut found = Vec::new();
    let mut add =
        |constraint, rule| found.push(Reason { table: table.id, column: Some(column), constraint, rule });
    if table.is_primary(column) {
        add(table.primary().and_then(|i| i.constraint), Rule::KeyUpdate);
    }
    for index in table.unique_indexes().filter(|i| i.columns.iter().any(|c| c.column == column)) {
        add(index.constraint, Rule::UniqueKey);
    }
    for foreign_key in table.foreign_keys.iter().filter(|f| f.columns.contains(&column)) {
        if !schema.parent_stays(foreign_key) {
            add(Some(foreign_key.id), Rule::ForeignKey);
        }
    }
    for (_, foreign_key) in schema.references(table.id).filter(|(_, f)| f.parent_columns.contains(&column)) {
        add(Some(foreign_key.id), Rule::ReferencedRow);
    }
    if table.column(column).is_some_and(|c| c.minting.is_some()) {
        add(None, Rule::ExplicitSequenceValue);
    }
    found
}

/// CHECKs, composite FOREIGN KEYs and generated columns that writes of these columns touch and that are not within one cell.
fn static_ties(_schema: &Schema, table: &Table, written: &ColumnSet) -> Vec<Reason> {
    let mut found = Vec::new();
    let reason =
        |column, constraint| Reason { table: table.id, column, constraint, rule: Rule::CheckAcrossColumns };
    for check in &table.checks {
        let strict = check.columns.iter().all(|c| table.merge(*c) == MergeRule::Strict);
        // Over strict columns alone, the columns themselves say it.
        if !strict && check.columns.iter().any(|c| written.contains(c)) && !table.check_is_local(check) {
            found.push(reason(None, Some(check.id)));
        }
    }
    for foreign_key in table.foreign_keys.iter().filter(|f| f.columns.len() > 1) {
        let columns: ColumnSet = foreign_key.columns.iter().copied().collect();
        let strict = columns.iter().all(|c| table.merge(*c) == MergeRule::Strict);
        if !strict && !columns.is_disjoint(written) && !table.within_group(&columns) {
            found.push(reason(None, Some(foreign_key.id)));
        }
    }
    for column in &table.columns {
        let Some((_, inputs)) = &column.generated else { continue };
        let columns: ColumnSet = inputs.iter().copied().chain([column.id]).collect();
        if !columns.is_disjoint(written) && !table.within_group(&columns) {
            found.push(reason(Some(column.id), None));
        }
    }
    found
}

/// What ordinary statements on a table would be red for, by its declarations alone: for the NOTICEs of DDL. Explicit values in
/// minting columns, updates of keys and deletes of referenced rows are not ordinary and left out.
pub fn ordinary_reasons(schema: &Schema, table: TableId) -> Vec<Reason> {
    let Some(table) = schema.table(table) else { return Vec::new() };
    let mut found = BTreeSet::new();
    let reason = |column, constraint, rule| Reason { table: table.id, column, constraint, rule };
    if table.rows == RowRule::Strict {
        found.insert(reason(None, None, Rule::StrictRows));
    }
    for index in table.indexes.iter().filter(|i| i.unique) {
        let primary = table.primary().is_some_and(|p| p.id == index.id);
        if (primary && table.keys_trusted) || schema.may_be_unique_by_construction(table, index) {
            continue;
        }
        let rule = if primary { Rule::KeyNotUniqueByConstruction } else { Rule::UniqueKey };
        found.insert(reason(None, index.constraint, rule));
    }
    for foreign_key in table.foreign_keys.iter().filter(|f| !schema.parent_stays(f)) {
        found.insert(reason(only(&foreign_key.columns), Some(foreign_key.id), Rule::ForeignKey));
    }
    for column in table.columns.iter().filter(|c| !table.is_primary(c.id) && !c.hidden) {
        if column.merge == MergeRule::Strict {
            found.insert(reason(Some(column.id), None, Rule::StrictColumn));
        }
    }
    let written = table.columns.iter().filter(|c| c.merge != MergeRule::Strict).map(|c| c.id).collect();
    found.extend(static_ties(schema, table, &written));
    found.into_iter().collect()
}
