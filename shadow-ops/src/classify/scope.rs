//! What classification and footprints look up in a draft: values minted, rows inserted, and who references whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::draft::Draft;
use crate::fault::{Fault, planted};
use crate::footprint::Item;
use crate::ids::{ColumnId, IndexId, TableId};
use crate::op::{Key, Op};
use crate::schema::{ForeignKey, Index, Schema, Table};
use crate::value::key::{encode_column, encode_value, index_key};
use crate::value::{Row, Value};

/// A draft, indexed.
pub(crate) struct Scope<'a> {
    pub schema: &'a Schema,
    minted: BTreeSet<(TableId, ColumnId, Vec<u8>)>,
    /// Keys of rows inserted in this transaction, in the indexes that FOREIGN KEYs refer to.
    inserted: BTreeSet<(TableId, IndexId, Key)>,
    references: BTreeMap<TableId, Vec<(&'a Arc<Table>, &'a ForeignKey)>>,
}

impl<'a> Scope<'a> {
    pub fn new(schema: &'a Schema, draft: &Draft) -> Scope<'a> {
        let mut scope =
            Scope { schema, minted: BTreeSet::new(), inserted: BTreeSet::new(), references: BTreeMap::new() };
        for minted in &draft.minted {
            scope.minted.insert((minted.table, minted.column, bytes(&minted.value)));
        }
        for op in &draft.ops {
            let (Op::Insert { table, .. } | Op::Update { table, .. } | Op::Delete { table, .. }) = &op.op
            else {
                continue;
            };
            scope.references.entry(*table).or_insert_with(|| schema.references(*table).collect());
            if let Op::Insert { table, values, .. } = &op.op {
                scope.note_insert(*table, values);
            }
        }
        scope
    }

    fn note_insert(&mut self, table: TableId, row: &Row) {
        let Some(declared) = self.schema.table(table) else { return };
        let Some(references) = self.references.get(&table) else { return };
        for (_, foreign_key) in references {
            if let Some(index) = declared.index(foreign_key.parent_index) {
                self.inserted.insert((table, index.id, index_key(declared, index, row)));
            }
        }
    }

    /// Whether the value was minted in this transaction for this very column.
    pub fn is_minted(&self, table: TableId, column: ColumnId, value: &Value) -> bool {
        if planted(Fault::ForeignMinted) {
            return true;
        }
        !self.minted.is_empty() && self.minted.contains(&(table, column, bytes(value)))
    }

    /// The FOREIGN KEYs that refer to a table of the draft, with their child tables.
    pub fn references(
        &self,
        table: TableId,
    ) -> impl Iterator<Item = (&'a Arc<Table>, &'a ForeignKey)> + use<'a> {
        self.references.get(&table).cloned().unwrap_or_default().into_iter()
    }

    /// Whether the parent of this row is inserted in this transaction.
    pub fn parent_inserted(&self, foreign_key: &ForeignKey, child: &Table, row: &Row) -> bool {
        !self.inserted.is_empty()
            && parent_key(self.schema, foreign_key, child, row).is_some_and(|key| {
                self.inserted.contains(&(foreign_key.parent, foreign_key.parent_index, key))
            })
    }

    /// Whether the row's key in the index is unique by construction (DESIGN §4): it contains a value minted in this
    /// transaction, in the minting column itself, or in a column that references it by a FOREIGN KEY all of whose columns are NOT
    /// NULL while the referenced row is inserted in this transaction.
    pub fn unique_by_construction(&self, table: &Table, index: &Index, row: &Row) -> bool {
        index.columns.iter().any(|c| {
            let value = cell(table, row, c.column);
            let minting = table.column(c.column).is_some_and(|c| c.minting.is_some());
            (minting && self.is_minted(table.id, c.column, value))
                || table.foreign_keys.iter().any(|f| self.minted_parent(table, f, c.column, row))
        })
    }

    fn minted_parent(&self, table: &Table, foreign_key: &ForeignKey, column: ColumnId, row: &Row) -> bool {
        if !self.schema.hands_down_minted(table, foreign_key, column) {
            return false;
        }
        let at = foreign_key.columns.iter().position(|c| *c == column);
        let Some(parent_column) = at.and_then(|at| foreign_key.parent_columns.get(at)) else { return false };
        self.is_minted(foreign_key.parent, *parent_column, cell(table, row, column))
            && self.parent_inserted(foreign_key, table, row)
    }
}

/// A value's canonical bytes: equal for values equal in SQL, whatever their integer width.
fn bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    encode_value(&mut out, value, false, false);
    out
}

/// A row's value in a column; what a row too short for it reads as.
pub(crate) fn cell<'r>(table: &'r Table, row: &'r Row, column: ColumnId) -> &'r Value {
    const NULL: &Value = &Value::Null;
    match row.get(usize::from(column.0)) {
        Some(value) => value,
        None => table.column(column).map_or(NULL, |c| &c.missing),
    }
}

/// The key by which a child's parent stands in the parent's index; None if a FOREIGN KEY column is NULL (MATCH SIMPLE).
pub(crate) fn parent_key(schema: &Schema, foreign_key: &ForeignKey, child: &Table, row: &Row) -> Option<Key> {
    let parent = schema.table(foreign_key.parent)?;
    let index = parent.index(foreign_key.parent_index)?;
    if foreign_key.columns.iter().any(|c| matches!(cell(child, row, *c), Value::Null)) {
        return None;
    }
    let mut out = Vec::with_capacity(index.columns.len() * 10);
    for column in &index.columns {
        let at = foreign_key.parent_columns.iter().position(|c| *c == column.column)?;
        encode_column(&mut out, parent, column, cell(child, row, *foreign_key.columns.get(at)?));
    }
    Some(Key(out.into()))
}

/// The places of a parent's children in the child's index; None if the parent has a NULL there and so no children.
pub(crate) fn child_range(
    child: &Table,
    foreign_key: &ForeignKey,
    parent: &Table,
    parent_row: &Row,
) -> Option<Item> {
    if planted(Fault::ChildRangeDropped) {
        return None;
    }
    let all = Item::Table { table: child.id };
    let Some(index) = child.index(foreign_key.child_index) else { return Some(all) };
    let mut out = Vec::with_capacity(foreign_key.columns.len() * 10);
    for i in 0..foreign_key.columns.len() {
        // The index begins with the FOREIGN KEY's columns, in any order; if it does not, every row of the table counts.
        let Some(column) = index.columns.get(i) else { return Some(all) };
        let at = foreign_key.columns.iter().position(|c| *c == column.column);
        let Some(parent_column) = at.and_then(|at| foreign_key.parent_columns.get(at)) else {
            return Some(all);
        };
        let value = cell(parent, parent_row, *parent_column);
        if matches!(value, Value::Null) {
            return None;
        }
        encode_column(&mut out, child, column, value);
    }
    Some(Item::prefix(child.id, index.id, Key(out.into())))
}
