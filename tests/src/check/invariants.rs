//! Every declared invariant holds at every site at every moment (DESIGN §1.3), looked at from outside: a copy of what the site
//! shows is kept beside it, with nothing of SQL's own checks in between. After a step only the rows that the step has
//! changed are looked at; now and then the copy is made anew from whole tables, and must be the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_engine::{KeyRange, Snapshot};
use gemini_shadow_ops::value::key::encode_key;
use gemini_shadow_ops::{
    BoundSide, ColumnId, ConstraintId, IndexId, Key, Row, Schema, Table, TableId, Value,
};

use super::atomic::Touched;

/// How many rows stand on either side of a FOREIGN KEY's value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ends {
    parents: u32,
    children: u32,
}

/// A copy of what one site shows.
#[derive(Debug, Default, PartialEq)]
pub struct Invariants {
    schema: Arc<Schema>,
    rows: BTreeMap<(TableId, Key), Row>,
    unique: BTreeMap<(IndexId, Key), u32>,
    foreign: BTreeMap<(ConstraintId, Key), Ends>,
}

impl Invariants {
    /// Looks at whole tables; panics naming the first invariant that does not hold.
    pub fn of(snapshot: &Snapshot) -> Invariants {
        let mut copy = Invariants { schema: snapshot.schema().clone(), ..Invariants::default() };
        let tables: Vec<TableId> = copy.schema.tables.keys().copied().collect();
        let mut changed = Vec::new();
        for table in tables {
            let rows = snapshot.scan(table, &KeyRange::all(), false, usize::MAX);
            for (key, row) in rows.expect("the simulated store can be read") {
                copy.put(table, key.clone(), Some(row));
                changed.push((table, key));
            }
        }
        changed.iter().for_each(|(table, key)| copy.check(*table, key));
        copy
    }

    /// Follows what a step has changed.
    pub fn follow(&mut self, snapshot: &Snapshot, touched: &Touched) {
        if self.schema.version != snapshot.schema().version {
            *self = Invariants::of(snapshot);
            return;
        }
        let mut before = Vec::new();
        for (table, key) in touched {
            let row = snapshot.get(*table, key).expect("the simulated store can be read");
            if let Some(old) = self.put(*table, key.clone(), row) {
                before.push((*table, old));
            }
        }
        touched.iter().for_each(|(table, key)| self.check(*table, key));
        before.iter().for_each(|(table, row)| self.check_left(*table, row));
    }

    /// Looks at whole tables, which must be as the copy says.
    pub fn whole(&mut self, snapshot: &Snapshot) {
        let anew = Invariants::of(snapshot);
        if self.schema.version == anew.schema.version {
            assert_eq!(self.rows, anew.rows, "atomicity: rows have changed that no transaction names");
        }
        *self = anew;
    }

    /// Replaces a row in the copy; the one before.
    fn put(&mut self, table: TableId, key: Key, row: Option<Row>) -> Option<Row> {
        let at = (table, key);
        let old = match &row {
            Some(row) => self.rows.insert(at, row.clone()),
            None => self.rows.remove(&at),
        };
        if let Some(old) = &old {
            self.count(table, old, u32::wrapping_sub);
        }
        if let Some(row) = &row {
            self.count(table, row, u32::wrapping_add);
        }
        old
    }

    fn count(&mut self, table: TableId, row: &Row, change: fn(u32, u32) -> u32) {
        let schema = self.schema.clone();
        let Some(table) = schema.tables.get(&table) else { return };
        for (index, columns) in unique_indexes(table) {
            if let Some(tuple) = tuple(row, &columns) {
                let count = self.unique.entry((index, tuple)).or_default();
                *count = change(*count, 1);
            }
        }
        for foreign in &table.foreign_keys {
            if let Some(tuple) = tuple(row, &foreign.columns) {
                let ends = self.foreign.entry((foreign.id, tuple)).or_default();
                ends.children = change(ends.children, 1);
            }
        }
        for foreign in schema.tables.values().flat_map(|t| &t.foreign_keys).filter(|f| f.parent == table.id) {
            if let Some(tuple) = tuple(row, &foreign.parent_columns) {
                let ends = self.foreign.entry((foreign.id, tuple)).or_default();
                ends.parents = change(ends.parents, 1);
            }
        }
    }

    fn check(&self, table: TableId, key: &Key) {
        let Some(table) = self.schema.tables.get(&table) else { return };
        let Some(row) = self.rows.get(&(table.id, key.clone())) else { return };
        for column in table.columns.iter().filter(|column| column.not_null) {
            let value = &row[usize::from(column.id.0)];
            assert!(!matches!(value, Value::Null), "NOT NULL: {}.{} of {key:?}", table.name, column.name);
        }
        for bound in table.checks.iter().flat_map(|check| &check.bounds) {
            let value = &row[usize::from(bound.column.0)];
            if matches!(value, Value::Null) {
                continue;
            }
            let (value, limit) = (number(value), number(&bound.limit));
            let holds = match bound.side {
                BoundSide::AtLeast => value >= limit,
                BoundSide::AtMost => value <= limit,
            };
            assert!(holds, "CHECK: {}, row {key:?}: {value} against {:?} {limit}", table.name, bound.side);
        }
        for (index, columns) in unique_indexes(table) {
            let count = tuple(row, &columns).and_then(|tuple| self.unique.get(&(index, tuple)));
            assert!(count.is_none_or(|n| *n == 1), "UNIQUE: index {index} of {}, row {key:?}", table.name);
        }
        for foreign in &table.foreign_keys {
            if let Some(tuple) = tuple(row, &foreign.columns) {
                self.check_foreign(foreign.id, &foreign.name, tuple);
            }
        }
    }

    /// What a row that has gone or changed may have left behind.
    fn check_left(&self, parent: TableId, row: &Row) {
        let foreign = self.schema.tables.values().flat_map(|table| &table.foreign_keys);
        for foreign in foreign.filter(|foreign| foreign.parent == parent) {
            if let Some(tuple) = tuple(row, &foreign.parent_columns) {
                self.check_foreign(foreign.id, &foreign.name, tuple);
            }
        }
    }

    fn check_foreign(&self, id: ConstraintId, name: &str, tuple: Key) {
        let ends = self.foreign.get(&(id, tuple)).copied().unwrap_or_default();
        assert!(ends.children == 0 || ends.parents > 0, "FOREIGN KEY: {name}: children without a parent");
    }
}

fn unique_indexes(table: &Table) -> impl Iterator<Item = (IndexId, Vec<ColumnId>)> + '_ {
    let unique = table.indexes.iter().filter(|index| index.unique);
    unique.map(|index| (index.id, index.columns.iter().map(|column| column.column).collect()))
}

/// A key's values as SQL compares them; None if one of them is NULL.
fn tuple(row: &Row, columns: &[ColumnId]) -> Option<Key> {
    let values: Vec<Value> = columns.iter().map(|column| row[usize::from(column.0)].clone()).collect();
    (!values.contains(&Value::Null)).then(|| encode_key(&values))
}

/// An integer, exact.
pub(super) fn number(value: &Value) -> i128 {
    match value {
        Value::Int2(v) => i128::from(*v),
        Value::Int4(v) => i128::from(*v),
        Value::Int8(v) => i128::from(*v),
        Value::Numeric(v) => v.to_string().parse().expect("the simulation's amounts are whole"),
        other => panic!("the simulation's bounds are on integers, not {other:?}"),
    }
}
