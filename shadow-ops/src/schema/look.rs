//! Looking things up in a schema: by id, by name, and what the algebra derives from the declarations (lww groups, bounds,
//! references). Everything here is a pure function of the declarations and cheap for tables of ordinary width.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    Bound, BoundSide, Check, Column, ForeignKey, Index, MergeRule, Minting, RowRule, Schema, Sequence, Table,
};
use crate::footprint::ColumnSet;
use crate::ids::{ColumnId, ConstraintId, IndexId, SequenceId, TableId};
use crate::value::Value;

impl Schema {
    /// The table of this id.
    pub fn table(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    /// The table of this name.
    pub fn table_by_name(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.values().find(|t| t.name == name)
    }

    /// The sequence of this id.
    pub fn sequence(&self, id: SequenceId) -> Option<&Arc<Sequence>> {
        self.sequences.get(&id)
    }

    /// The sequence of this name.
    pub fn sequence_by_name(&self, name: &str) -> Option<&Arc<Sequence>> {
        self.sequences.values().find(|s| s.name == name)
    }

    /// The index of this name and its table: names of tables, indexes and sequences are one space.
    pub fn index_by_name(&self, name: &str) -> Option<(&Arc<Table>, &Index)> {
        self.tables.values().find_map(|t| t.indexes.iter().find(|i| i.name == name).map(|i| (t, i)))
    }

    /// The table that declares the constraint.
    pub fn constraint_table(&self, id: ConstraintId) -> Option<&Arc<Table>> {
        self.tables.values().find(|t| t.constraint_name(id).is_some())
    }

    /// Every FOREIGN KEY that refers to `parent`, with its child table (which may be `parent` itself).
    pub fn references(&self, parent: TableId) -> impl Iterator<Item = (&Arc<Table>, &ForeignKey)> + '_ {
        self.tables
            .values()
            .flat_map(move |t| t.foreign_keys.iter().filter(move |f| f.parent == parent).map(move |f| (t, f)))
    }

    /// The columns that a sequence mints for.
    pub fn minted_by(&self, sequence: SequenceId) -> impl Iterator<Item = (&Arc<Table>, &Column)> + '_ {
        self.tables.values().flat_map(move |t| {
            let minted = move |c: &&Column| c.minting == Some(Minting::Sequence(sequence));
            t.columns.iter().filter(minted).map(move |c| (t, c))
        })
    }

    /// Whether the parent of a FOREIGN KEY is append only: then it never goes away.
    pub fn parent_stays(&self, foreign_key: &ForeignKey) -> bool {
        self.table(foreign_key.parent).is_some_and(|p| p.rows == RowRule::AppendOnly)
    }

    /// Whether some insert into the table could be blue: what a new constraint must reckon with.
    pub fn insert_may_be_blue(&self, table: &Table) -> bool {
        table.rows != RowRule::Strict
            && (table.keys_trusted
                || table.primary().is_some_and(|i| self.may_be_unique_by_construction(table, i)))
    }

    /// Whether some delete from the table could be blue.
    pub fn delete_may_be_blue(&self, table: &Table) -> bool {
        matches!(table.rows, RowRule::AddWins | RowRule::RemoveWins)
            && self.references(table.id).next().is_none()
    }

    /// Whether a key of the index can be unique by construction (DESIGN §4): it contains a minting column, or a column that
    /// references one by a FOREIGN KEY all of whose columns are NOT NULL.
    pub fn may_be_unique_by_construction(&self, table: &Table, index: &Index) -> bool {
        index.columns.iter().any(|c| {
            table.column(c.column).is_some_and(|c| c.minting.is_some())
                || table.foreign_keys.iter().any(|f| self.hands_down_minted(table, f, c.column))
        })
    }

    /// Whether `column` of `table` references a minting column by `foreign_key`, all of whose columns are NOT NULL.
    pub fn hands_down_minted(&self, table: &Table, foreign_key: &ForeignKey, column: ColumnId) -> bool {
        let Some(at) = foreign_key.columns.iter().position(|c| *c == column) else { return false };
        let parent =
            self.table(foreign_key.parent).and_then(|p| p.column(*foreign_key.parent_columns.get(at)?));
        parent.is_some_and(|c| c.minting.is_some())
            && foreign_key.columns.iter().all(|c| table.column(*c).is_some_and(|c| c.not_null))
    }
}

impl Table {
    /// The column of this id.
    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        // Until a column is dropped, a column stands at its id.
        match self.columns.get(usize::from(id.0)) {
            Some(column) if column.id == id => Some(column),
            _ => self.columns.iter().find(|c| c.id == id),
        }
    }

    /// The column of this name.
    pub fn column_by_name(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The index of this id.
    pub fn index(&self, id: IndexId) -> Option<&Index> {
        self.indexes.iter().find(|i| i.id == id)
    }

    /// The primary key's index. Every table that [`Schema::check_change`] let in has one.
    pub fn primary(&self) -> Option<&Index> {
        self.indexes.first()
    }

    /// The primary key's columns, in key order.
    pub fn primary_columns(&self) -> impl Iterator<Item = ColumnId> + '_ {
        self.indexes.first().into_iter().flat_map(|i| i.columns.iter().map(|c| c.column))
    }

    /// Whether the column is part of the primary key.
    pub fn is_primary(&self, column: ColumnId) -> bool {
        self.primary_columns().any(|c| c == column)
    }

    /// The unique indexes besides the primary key's.
    pub fn unique_indexes(&self) -> impl Iterator<Item = &Index> + '_ {
        self.indexes.iter().skip(1).filter(|i| i.unique)
    }

    /// The FOREIGN KEY of this id.
    pub fn foreign_key(&self, id: ConstraintId) -> Option<&ForeignKey> {
        self.foreign_keys.iter().find(|f| f.id == id)
    }

    /// The CHECK of this id.
    pub fn check(&self, id: ConstraintId) -> Option<&Check> {
        self.checks.iter().find(|c| c.id == id)
    }

    /// The name of a CHECK, FOREIGN KEY, UNIQUE or PRIMARY KEY constraint.
    pub fn constraint_name(&self, id: ConstraintId) -> Option<&str> {
        let check = self.check(id).map(|c| c.name.as_str());
        let foreign_key = || self.foreign_key(id).map(|f| f.name.as_str());
        let index = || self.indexes.iter().find(|i| i.constraint == Some(id)).map(|i| i.name.as_str());
        check.or_else(foreign_key).or_else(index)
    }

    /// The merge rule of a column; strict for one that is not there.
    pub fn merge(&self, column: ColumnId) -> MergeRule {
        self.column(column).map_or(MergeRule::Strict, |c| c.merge)
    }

    /// The bounds on a delta column, with the CHECKs they come from.
    pub fn bounds(&self, column: ColumnId) -> impl Iterator<Item = (&Check, &Bound)> + '_ {
        self.checks.iter().flat_map(move |check| {
            check.bounds.iter().filter(move |b| b.column == column).map(move |b| (check, b))
        })
    }

    /// The tightest bound of a delta column to one side, with the CHECK it comes from; None for every other column.
    pub fn bound(&self, column: ColumnId, side: BoundSide) -> Option<(ConstraintId, &Value)> {
        if self.merge(column) != MergeRule::Delta {
            return None;
        }
        let of_side = self.bounds(column).filter(|(_, bound)| bound.side == side);
        let tightest = of_side.reduce(|a, b| {
            let tighter = match side {
                BoundSide::AtLeast => b.1.limit.compare(&a.1.limit).is_gt(),
                BoundSide::AtMost => b.1.limit.compare(&a.1.limit).is_lt(),
            };
            if tighter { b } else { a }
        });
        tightest.map(|(check, bound)| (check.id, &bound.limit))
    }

    /// Whether additions to a column are accounted to their origins.
    pub fn is_bounded(&self, column: ColumnId) -> bool {
        self.merge(column) == MergeRule::Delta && self.bounds(column).next().is_some()
    }

    /// Sets of columns that a constraint ties together: CHECKs, composite FOREIGN KEYs, and generated columns with their inputs.
    pub fn ties(&self) -> impl Iterator<Item = ColumnSet> + '_ {
        let checks = self.checks.iter().map(|c| c.columns.iter().copied().collect::<ColumnSet>());
        let composite = self.foreign_keys.iter().filter(|f| f.columns.len() > 1);
        let generated = self.columns.iter().filter_map(|c| {
            let (_, inputs) = c.generated.as_ref()?;
            Some(inputs.iter().copied().chain([c.id]).collect::<ColumnSet>())
        });
        checks.chain(composite.map(|f| f.columns.iter().copied().collect())).chain(generated)
    }

    /// The lww group of an lww column, itself included: the lww columns connected by CHECKs and composite FOREIGN KEYs.
    /// Empty for a column of another rule.
    pub fn group(&self, column: ColumnId) -> ColumnSet {
        if self.merge(column) != MergeRule::Lww {
            return ColumnSet::new();
        }
        let mut group = ColumnSet::from([column]);
        if self.checks.is_empty() && self.foreign_keys.is_empty() && !self.has_generated() {
            return group;
        }
        let ties: Vec<ColumnSet> = self.ties().collect();
        loop {
            let before = group.len();
            for tie in &ties {
                if !tie.is_disjoint(&group) {
                    group.extend(tie.iter().filter(|c| self.merge(**c) == MergeRule::Lww));
                }
            }
            if group.len() == before {
                return group;
            }
        }
    }

    /// All lww groups of more than one column: what every write of one of their columns ships whole.
    pub fn groups(&self) -> Vec<ColumnSet> {
        let mut groups = BTreeSet::new();
        for column in self.columns.iter().filter(|c| c.merge == MergeRule::Lww) {
            let group = self.group(column.id);
            if group.len() > 1 {
                groups.insert(group);
            }
        }
        groups.into_iter().collect()
    }

    /// Whether all these columns are one lww group's.
    pub fn within_group(&self, columns: &ColumnSet) -> bool {
        columns.first().is_some_and(|first| {
            let group = self.group(*first);
            columns.iter().all(|c| group.contains(c))
        })
    }

    /// Whether a CHECK is evaluated within one cell: its columns are one lww group's, or one max, min or flag column, or it is a
    /// bound of one delta column. Otherwise writes of its columns are red.
    pub fn check_is_local(&self, check: &Check) -> bool {
        let columns: ColumnSet = check.columns.iter().copied().collect();
        self.columns_are_one_cell(&columns) || self.is_delta_bound(check)
    }

    /// Whether a CHECK is nothing but bounds of one delta column.
    pub fn is_delta_bound(&self, check: &Check) -> bool {
        match check.columns.as_slice() {
            [column] => !check.bounds.is_empty() && self.merge(*column) == MergeRule::Delta,
            _ => false,
        }
    }

    /// Whether the columns are merged as one, into a value that somebody wrote: one lww group, or a single max, min or flag column
    /// (a set comes to what nobody wrote).
    pub fn columns_are_one_cell(&self, columns: &ColumnSet) -> bool {
        let single = columns.len() == 1;
        let written = |c: &ColumnId| {
            use MergeRule::{DisableWins, EnableWins, Max, Min};
            matches!(self.merge(*c), Max | Min | EnableWins | DisableWins)
        };
        columns.is_empty() || (single && columns.iter().all(written)) || self.within_group(columns)
    }

    /// Whether any column is GENERATED ALWAYS AS (…).
    pub fn has_generated(&self) -> bool {
        self.columns.iter().any(|c| c.generated.is_some())
    }

    /// All columns' ids.
    pub fn column_ids(&self) -> ColumnSet {
        self.columns.iter().map(|c| c.id).collect()
    }

    /// A column's name for messages, also when it is gone.
    pub fn column_name(&self, id: ColumnId) -> String {
        self.column(id).map_or_else(|| format!("#{id}"), |c| c.name.clone())
    }
}
