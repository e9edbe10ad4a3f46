//! Declared invariants, looked at from outside: by reading whole tables, with nothing of SQL's own checks in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gemini_engine::{KeyRange, Snapshot};
use gemini_shadow_ops::{BoundSide, ColumnId, Key, Row, Schema, Table, TableId, Value};

/// The invariants that a schema declares.
#[derive(Debug)]
pub struct Invariants {
    schema: Arc<Schema>,
}

/// A key's values as SQL compares them.
type Tuple = Vec<String>;

impl Invariants {
    /// Of this schema.
    pub fn of(schema: &Arc<Schema>) -> Invariants {
        Invariants { schema: schema.clone() }
    }

    /// Panics naming the first one that does not hold.
    pub fn check(&self, snapshot: &Snapshot) {
        let tables: BTreeMap<TableId, Vec<(Key, Row)>> =
            self.schema.tables.keys().map(|id| (*id, rows(snapshot, *id))).collect();
        for table in self.schema.tables.values() {
            let rows = &tables[&table.id];
            self.not_null(table, rows);
            self.bounds(table, rows);
            self.unique(table, rows);
            self.foreign_keys(table, rows, &tables);
        }
    }

    fn not_null(&self, table: &Table, rows: &[(Key, Row)]) {
        for column in table.columns.iter().filter(|column| column.not_null) {
            for (key, row) in rows {
                let value = &row[usize::from(column.id.0)];
                assert!(!matches!(value, Value::Null), "NOT NULL: {}.{} of {key:?}", table.name, column.name);
            }
        }
    }

    fn bounds(&self, table: &Table, rows: &[(Key, Row)]) {
        for bound in table.checks.iter().flat_map(|check| &check.bounds) {
            for (key, row) in rows {
                let value = &row[usize::from(bound.column.0)];
                if matches!(value, Value::Null) {
                    continue;
                }
                let (value, limit) = (number(value), number(&bound.limit));
                let holds = match bound.side {
                    BoundSide::AtLeast => value >= limit,
                    BoundSide::AtMost => value <= limit,
                };
                assert!(
                    holds,
                    "CHECK: {}, row {key:?}: {value} against {:?} {limit}",
                    table.name, bound.side
                );
            }
        }
    }

    fn unique(&self, table: &Table, rows: &[(Key, Row)]) {
        for index in table.indexes.iter().filter(|index| index.unique) {
            let columns: Vec<ColumnId> = index.columns.iter().map(|c| c.column).collect();
            let mut seen = BTreeSet::new();
            for (key, row) in rows {
                if let Some(tuple) = tuple(row, &columns) {
                    assert!(seen.insert(tuple), "UNIQUE: {} of {}, row {key:?}", index.name, table.name);
                }
            }
        }
    }

    fn foreign_keys(&self, table: &Table, rows: &[(Key, Row)], all: &BTreeMap<TableId, Vec<(Key, Row)>>) {
        for foreign in &table.foreign_keys {
            let parents: BTreeSet<Tuple> = all[&foreign.parent]
                .iter()
                .filter_map(|(_, row)| tuple(row, &foreign.parent_columns))
                .collect();
            for (key, row) in rows {
                if let Some(tuple) = tuple(row, &foreign.columns) {
                    assert!(
                        parents.contains(&tuple),
                        "FOREIGN KEY: {} of {}, row {key:?}",
                        foreign.name,
                        table.name
                    );
                }
            }
        }
    }
}

/// None if one of the values is NULL.
fn tuple(row: &Row, columns: &[ColumnId]) -> Option<Tuple> {
    columns
        .iter()
        .map(|column| match &row[usize::from(column.0)] {
            Value::Null => None,
            value => Some(format!("{value:?}")),
        })
        .collect()
}

fn number(value: &Value) -> i128 {
    match value {
        Value::Int2(v) => i128::from(*v),
        Value::Int4(v) => i128::from(*v),
        Value::Int8(v) => i128::from(*v),
        other => panic!("the simulation's bounds are on integers, not {other:?}"),
    }
}

fn rows(snapshot: &Snapshot, table: TableId) -> Vec<(Key, Row)> {
    snapshot.scan(table, &KeyRange::all(), false, usize::MAX).expect("the simulated store can be read")
}
