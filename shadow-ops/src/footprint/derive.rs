//! Reads and writes implied by a draft's effects (DESIGN §3, Certification).
//!
//! Two views of the same rules. For *certification* an entry reads every strict and lww cell it writes, and every column of the
//! CHECKs, composite FOREIGN KEYs, generated columns and UNIQUE keys it touches, whatever their rules: that is what keeps a red
//! decision true until its index. For *local validation*, which guards blue commits too, cells count only if they are strict
//! or were computed from the value seen: plain lww writes, deltas, max and min never conflict at home.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ColumnSet, Footprint, Item, Read};
use crate::classify::scope::{Scope, child_range, parent_key};
use crate::draft::{Draft, DraftOp};
use crate::fault::{Fault, planted};
use crate::ids::ColumnId;
use crate::op::{Key, Op, SchemaChange, Write};
use crate::schema::{Index, MergeRule, Minting, Schema, Table};
use crate::value::key::{index_has_null, index_key};
use crate::value::{Row, Value};

/// What local validation compares with the newest state at the commit: strict cells, the existence of rows and index keys,
/// parents and children, and lww cells whose new value was computed from the old one.
pub fn local_items(draft: &Draft, schema: &Schema) -> Vec<Read> {
    let scope = Scope::new(schema, draft);
    let mut derivation = Derivation::new(&scope, true);
    derivation.draft(draft);
    derivation.finish().reads
}

/// The footprint of a draft for certification.
pub(crate) fn footprint(scope: &Scope<'_>, draft: &Draft) -> Footprint {
    let mut derivation = Derivation::new(scope, false);
    derivation.draft(draft);
    let mut footprint = derivation.finish();
    footprint.escalate();
    footprint
}

struct Derivation<'a> {
    scope: &'a Scope<'a>,
    /// For local validation; else for certification.
    local: bool,
    reads: BTreeMap<Item, u16>,
    writes: BTreeSet<Item>,
}

impl<'a> Derivation<'a> {
    fn new(scope: &'a Scope<'a>, local: bool) -> Derivation<'a> {
        Derivation { scope, local, reads: BTreeMap::new(), writes: BTreeSet::new() }
    }

    fn finish(self) -> Footprint {
        let reads = self.reads.into_iter().map(|(item, statement)| Read { statement, item });
        Footprint { reads: reads.collect(), writes: self.writes.into_iter().collect() }
    }

    fn read(&mut self, statement: u16, item: Item) {
        let oldest = self.reads.entry(item).or_insert(statement);
        *oldest = statement.min(*oldest);
    }

    fn write(&mut self, item: Item) {
        if !self.local {
            self.writes.insert(item);
        }
    }

    fn draft(&mut self, draft: &Draft) {
        for op in &draft.ops {
            match &op.op {
                Op::Insert { table, key, values } => {
                    if let Some(table) = self.scope.schema.table(*table) {
                        self.insert(op, table, key, values);
                    }
                }
                Op::Update { table, key, cells, .. } => {
                    if let Some(table) = self.scope.schema.table(*table) {
                        self.update(op, table, key, cells);
                    }
                }
                Op::Delete { table, key, .. } => {
                    if let Some(table) = self.scope.schema.table(*table) {
                        self.delete(op, table, key);
                    }
                }
                Op::Schema(change) => self.schema_change(op.statement, change),
                Op::Rights { .. } => {} // rights are nobody's reading
            }
        }
        for read in &draft.reads {
            self.read(read.statement, read.item.clone());
        }
        for lock in &draft.locks {
            self.read(lock.statement, lock.item.clone());
            self.write(lock.item.clone());
        }
    }

    fn insert(&mut self, op: &DraftOp, table: &Arc<Table>, key: &Key, row: &Row) {
        self.read(op.statement, Item::Row { table: table.id, key: key.clone() });
        for index in table.unique_indexes() {
            self.read_absent(op.statement, table, index, row);
        }
        for foreign_key in &table.foreign_keys {
            self.read_parent(op.statement, foreign_key, table, row);
        }
        for column in table.columns.iter().filter(|c| c.minting.is_some()) {
            self.read_sequence(op.statement, table, column.id, row);
        }
        self.write_whole(table, key, row);
    }

    fn delete(&mut self, op: &DraftOp, table: &Arc<Table>, key: &Key) {
        self.read(op.statement, Item::Row { table: table.id, key: key.clone() });
        let ordered = |c: &&crate::schema::Column| match c.merge {
            MergeRule::Strict => true,
            MergeRule::Lww => !self.local || op.facts.computed.contains(&c.id),
            MergeRule::Delta | MergeRule::Max | MergeRule::Min => false,
            MergeRule::AddWinsSet | MergeRule::EnableWins | MergeRule::DisableWins => false,
        };
        let columns = table.columns.iter().filter(ordered).map(|c| c.id).collect();
        self.read_cells(op.statement, table, key, columns);
        let Some(before) = &op.before else { return };
        for (child, foreign_key) in self.scope.references(table.id) {
            if let Some(range) = child_range(child, foreign_key, table, before) {
                self.read(op.statement, range);
            }
        }
        self.write_whole(table, key, before);
    }

    fn update(&mut self, op: &DraftOp, table: &Arc<Table>, key: &Key, cells: &[(ColumnId, Write)]) {
        self.read(op.statement, Item::Row { table: table.id, key: key.clone() });
        let mut written: ColumnSet = cells.iter().map(|(c, _)| *c).collect();
        for (column, _) in cells {
            written.extend(table.group(*column));
        }
        let columns = self.cells_read(op, table, &written);
        self.read_cells(op.statement, table, key, columns);
        if let (Some(before), Some(after)) = (&op.before, &op.after) {
            self.update_keys(op, table, &written, before, after);
        }
        if !planted(Fault::BlindWriteDropped) {
            self.write(Item::Cells { table: table.id, key: key.clone(), columns: written });
        }
    }

    /// Cells that an update reads by writing.
    fn cells_read(&self, op: &DraftOp, table: &Table, written: &ColumnSet) -> ColumnSet {
        let mut read = ColumnSet::new();
        for column in written {
            let reads = match table.merge(*column) {
                MergeRule::Strict => true,
                MergeRule::Lww => !self.local || op.facts.computed.contains(column),
                MergeRule::Delta => !self.local && op.facts.assigned.contains(column),
                MergeRule::Max | MergeRule::Min => false,
                MergeRule::AddWinsSet | MergeRule::EnableWins | MergeRule::DisableWins => false,
            };
            if reads {
                read.insert(*column);
            }
        }
        if self.local {
            return read;
        }
        let touches = |columns: &ColumnSet| !columns.is_disjoint(written);
        for check in table.checks.iter().filter(|c| !table.is_delta_bound(c)) {
            if check.columns.iter().any(|c| written.contains(c)) {
                read.extend(check.columns.iter().copied());
            }
        }
        for foreign_key in table.foreign_keys.iter().filter(|f| f.columns.len() > 1) {
            if foreign_key.columns.iter().any(|c| written.contains(c)) {
                read.extend(foreign_key.columns.iter().copied());
            }
        }
        for index in table.indexes.iter().filter(|i| i.unique) {
            let columns: ColumnSet = index.columns.iter().map(|c| c.column).collect();
            if touches(&columns) {
                read.extend(columns);
            }
        }
        for column in &table.columns {
            let Some((_, inputs)) = &column.generated else { continue };
            if written.contains(&column.id) || inputs.iter().any(|c| written.contains(c)) {
                read.extend(inputs.iter().copied().chain([column.id]));
            }
        }
        read
    }

    /// Index keys, parents and children that an update touches.
    fn update_keys(
        &mut self,
        op: &DraftOp,
        table: &Arc<Table>,
        written: &ColumnSet,
        before: &Row,
        after: &Row,
    ) {
        for index in &table.indexes {
            if !index.columns.iter().any(|c| written.contains(&c.column)) {
                continue;
            }
            let (old, new) = (index_key(table, index, before), index_key(table, index, after));
            if index.unique && new != old {
                self.read_absent(op.statement, table, index, after);
            }
            self.write(Item::IndexKey { table: table.id, index: index.id, key: old });
            self.write(Item::IndexKey { table: table.id, index: index.id, key: new });
        }
        for foreign_key in &table.foreign_keys {
            if foreign_key.columns.iter().any(|c| written.contains(c)) {
                self.read_parent(op.statement, foreign_key, table, after);
            }
        }
        for (child, foreign_key) in self.scope.references(table.id) {
            if foreign_key.parent_columns.iter().any(|c| written.contains(c))
                && let Some(range) = child_range(child, foreign_key, table, before)
            {
                self.read(op.statement, range);
            }
        }
        for column in written {
            self.read_sequence(op.statement, table, *column, after);
        }
    }

    fn schema_change(&mut self, statement: u16, change: &SchemaChange) {
        self.read(statement, Item::Catalogue);
        self.write(Item::Catalogue);
        if let Some(table) = change.table().filter(|_| self.judges_rows(change)) {
            self.read(statement, Item::Table { table });
        }
        match change {
            SchemaChange::AddForeignKey { table, foreign_key } => {
                self.read(statement, Item::Table { table: *table });
                self.read(statement, Item::Table { table: foreign_key.parent });
            }
            SchemaChange::DropTable(table) => self.write(Item::Table { table: *table }),
            // The base lies above every value of the columns minted for.
            SchemaChange::OpenSequence { sequence, .. } => {
                let scope = self.scope;
                for (table, _) in scope.schema.minted_by(*sequence) {
                    self.read(statement, Item::Table { table: table.id });
                }
                self.read(statement, Item::Sequence { sequence: *sequence });
                self.write(Item::Sequence { sequence: *sequence });
            }
            SchemaChange::AlterSequence(sequence) => {
                self.read(statement, Item::Sequence { sequence: sequence.id });
                self.write(Item::Sequence { sequence: sequence.id });
            }
            SchemaChange::DropSequence(sequence) => {
                self.write(Item::Sequence { sequence: *sequence });
            }
            _ => {}
        }
    }

    /// Whether the generator found that the rows there are allow the change.
    fn judges_rows(&self, change: &SchemaChange) -> bool {
        match change {
            SchemaChange::AddCheck { .. } => true,
            SchemaChange::AddIndex { index, .. } => index.unique,
            SchemaChange::AddColumn { column, .. } => {
                column.generated.is_some()
                    || column.minting.is_some()
                    || (column.not_null && matches!(column.missing, Value::Null))
            }
            SchemaChange::AlterColumn { table, column } => {
                let old = self.scope.schema.table(*table).and_then(|t| t.column(column.id));
                old.is_none_or(|old| {
                    (column.not_null && !old.not_null)
                        || column.generated != old.generated
                        || column.minting != old.minting
                })
            }
            _ => false,
        }
    }

    fn read_cells(&mut self, statement: u16, table: &Table, key: &Key, columns: ColumnSet) {
        if !columns.is_empty() {
            self.read(statement, Item::Cells { table: table.id, key: key.clone(), columns });
        }
    }

    /// A UNIQUE key found absent.
    fn read_absent(&mut self, statement: u16, table: &Table, index: &Index, row: &Row) {
        if planted(Fault::AbsentReadDropped) {
            return;
        }
        if index.nulls_not_distinct || !index_has_null(table, index, row) {
            let key = index_key(table, index, row);
            self.read(statement, Item::IndexKey { table: table.id, index: index.id, key });
        }
    }

    /// A FOREIGN KEY's parent found present.
    fn read_parent(
        &mut self,
        statement: u16,
        foreign_key: &crate::schema::ForeignKey,
        table: &Table,
        row: &Row,
    ) {
        if planted(Fault::ParentNotRead) {
            return;
        }
        if let Some(key) = parent_key(self.scope.schema, foreign_key, table, row) {
            let (table, index) = (foreign_key.parent, foreign_key.parent_index);
            self.read(statement, Item::IndexKey { table, index, key });
        }
    }

    /// The state of the sequence beside which a value was given explicitly.
    fn read_sequence(&mut self, statement: u16, table: &Table, column: ColumnId, row: &Row) {
        let Some(Minting::Sequence(sequence)) = table.column(column).and_then(|c| c.minting) else { return };
        let value = row.get(usize::from(column.0)).unwrap_or(&Value::Null);
        if !self.local && !matches!(value, Value::Null) && !self.scope.is_minted(table.id, column, value) {
            self.read(statement, Item::Sequence { sequence });
        }
    }

    /// What an insert or a delete writes: existence, all cells, its key in every index and so its place in each range.
    fn write_whole(&mut self, table: &Table, key: &Key, row: &Row) {
        if self.local {
            return;
        }
        self.writes.insert(Item::Row { table: table.id, key: key.clone() });
        let columns = table.column_ids();
        self.writes.insert(Item::Cells { table: table.id, key: key.clone(), columns });
        for index in &table.indexes {
            let key = index_key(table, index, row);
            self.writes.insert(Item::IndexKey { table: table.id, index: index.id, key });
        }
    }
}
