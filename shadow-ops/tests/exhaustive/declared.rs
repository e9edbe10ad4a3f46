//! What a schema declares, judged on a state: the judge that knows nothing of colours, footprints or incarnations' merging.
//!
//! CHECKs have no expressions in the algebra; those of these tests are known by their shape:
//!
//! | declared | means |
//! |---|---|
//! | bounds | each bound holds |
//! | one column, no bounds | `x <> 0` |
//! | two columns, no bounds | `x <= y` |
//! | a generated column | the sum of its inputs |
//!
//! A CHECK of NULL holds. A PRIMARY KEY is broken by two inserts of one key that both count, unless KEYS TRUSTED vouches for them.
//! A row that was deleted, inserted again, and whose first life an unseen update keeps under ADD WINS is no such pair: its second
//! insert had seen the first one ended, and the row is the merge of both by declaration.
//! Beyond the declared constraints, *strict* is a promise of its own, which is judged on histories: see [`strict_pair`].

use std::cmp::Ordering;
use std::collections::BTreeSet;

use gemini_shadow_ops::value::key::{encode_key, index_has_null, index_key};
use gemini_shadow_ops::*;

use crate::history::{State, Txn};

fn number(row: &Row, column: ColumnId) -> Option<i64> {
    row[usize::from(column.0)].as_i64()
}

/// The constraint that a state breaks, if it breaks one.
pub fn broken(schema: &Schema, state: &State) -> Option<String> {
    schema.tables.values().find_map(|table| {
        primary_key(table, state)
            .or_else(|| unique(table, state))
            .or_else(|| state.views(table).find_map(|(_, row)| of_row(table, &row)))
            .or_else(|| foreign_keys(schema, table, state))
    })
}

fn primary_key(table: &Table, state: &State) -> Option<String> {
    let twice = |row: &RowState| row.incarnations.iter().filter(|i| i.died.is_none()).count() > 1;
    let broken = !table.keys_trusted && state.rows.iter().any(|((id, _), row)| *id == table.id && twice(row));
    broken.then(|| format!("PRIMARY KEY of {}", table.name))
}

fn unique(table: &Table, state: &State) -> Option<String> {
    table.unique_indexes().find_map(|index| {
        let mut keys = BTreeSet::new();
        let counts = |row: &Row| index.nulls_not_distinct || !index_has_null(table, index, row);
        let mut found = state.views(table).filter(|(_, row)| counts(row));
        let twice = found.any(|(_, row)| !keys.insert(index_key(table, index, &row)));
        twice.then(|| format!("UNIQUE {}", index.name))
    })
}

/// NOT NULL, CHECKs, generated columns.
fn of_row(table: &Table, row: &Row) -> Option<String> {
    let null = |c: &&Column| c.not_null && row[usize::from(c.id.0)].is_null();
    if let Some(column) = table.columns.iter().find(null) {
        return Some(format!("NOT NULL {}.{}", table.name, column.name));
    }
    if let Some(check) = table.checks.iter().find(|check| !holds(check, row)) {
        return Some(format!("CHECK {}", check.name));
    }
    let generated =
        table.columns.iter().find(|c| c.generated.is_some() && number(row, c.id) != computed(c, row));
    generated.map(|c| format!("GENERATED {}.{}", table.name, c.name))
}

/// What a generated column should be.
pub fn computed(column: &Column, row: &Row) -> Option<i64> {
    let (_, inputs) = column.generated.as_ref()?;
    inputs.iter().map(|input| number(row, *input)).sum()
}

/// Whether a row satisfies a CHECK.
fn holds(check: &Check, row: &Row) -> bool {
    let values: Vec<Option<i64>> = check.columns.iter().map(|c| number(row, *c)).collect();
    match values.as_slice() {
        [Some(_)] if !check.bounds.is_empty() => check.bounds.iter().all(|bound| {
            let order = row[usize::from(bound.column.0)].compare(&bound.limit);
            match bound.side {
                BoundSide::AtLeast => order != Ordering::Less,
                BoundSide::AtMost => order != Ordering::Greater,
            }
        }),
        [Some(x)] => *x != 0,
        [Some(x), Some(y)] => x <= y,
        _ => true,
    }
}

fn foreign_keys(schema: &Schema, table: &Table, state: &State) -> Option<String> {
    table.foreign_keys.iter().find_map(|foreign| {
        let parent = schema.table(foreign.parent).expect("declared");
        let values = |row: &Row, columns: &[ColumnId]| -> Option<Key> {
            let values: Vec<Value> = columns.iter().map(|c| row[usize::from(c.0)].clone()).collect();
            values.iter().all(|v| !v.is_null()).then(|| encode_key(&values))
        };
        let parents: BTreeSet<Key> =
            state.views(parent).filter_map(|(_, row)| values(&row, &foreign.parent_columns)).collect();
        let orphan = state
            .views(table)
            .filter_map(|(_, row)| values(&row, &foreign.columns))
            .find(|key| !parents.contains(key));
        orphan.map(|_| format!("FOREIGN KEY {}", foreign.name))
    })
}

/// Two transactions, neither of which had seen the other, that both wrote what is strict: one strict cell, or, where rows are
/// strict, the existence of one row, or one the existence and the other a strict cell. The red order lets at most one of
/// them through.
pub fn strict_pair(schema: &Schema, a: &Txn, b: &Txn) -> Option<String> {
    if a.seen.covers(b.id) || b.seen.covers(a.id) {
        return None;
    }
    let pairs = a.ops.iter().flat_map(|x| b.ops.iter().map(move |y| (x, y)));
    pairs.filter(|(x, y)| x.table() == y.table() && x.key() == y.key()).find_map(|(x, y)| {
        let table = x.table().and_then(|id| schema.table(id))?;
        let clash = match (strict_cells(table, x), strict_cells(table, y)) {
            (Some(x), Some(y)) => !x.is_disjoint(&y),
            (None, Some(cells)) | (Some(cells), None) => table.rows == RowRule::Strict && !cells.is_empty(),
            (None, None) => table.rows == RowRule::Strict,
        };
        clash.then(|| format!("strict writes of {}", table.name))
    })
}

/// The strict cells that an update writes; None for an insert or a delete.
fn strict_cells(table: &Table, op: &Op) -> Option<BTreeSet<ColumnId>> {
    let Op::Update { cells, .. } = op else { return None };
    Some(cells.iter().map(|(c, _)| *c).filter(|c| table.merge(*c) == MergeRule::Strict).collect())
}
