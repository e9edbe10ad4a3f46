//! User tables, indexes, sequences, columns and constraints as pg_catalog shows them.
//!
//! The hidden key of a table declared without one is not shown, nor is its index. Columns keep their number for life
//! (attnum is the slot plus one), as in PostgreSQL.

use std::sync::Arc;

use gemini_shadow_ops::{Column, ColumnId, DataType, Index, ReferentialAction, Table, Value};

use super::functions::{index_definition, merge_text, rows_text};
use super::system::{SCHEMAS, char, text};
use super::{EXTENSION, GEMINI, OWNER, PUBLIC, Rows, View, computed, constraint_oid, index_oid};
use super::{sequence_oid, table_oid};
use crate::expr::types;

const TRUE: Value = Value::Bool(true);
const FALSE: Value = Value::Bool(false);

fn oid(value: u32) -> Value {
    Value::Oid(value)
}

/// attnum.
fn number(column: ColumnId) -> Value {
    Value::Int2(i16::try_from(column.0).map_or(i16::MAX, |n| n.saturating_add(1)))
}

fn numbers(columns: impl IntoIterator<Item = ColumnId>) -> Value {
    Value::Array(Arc::new(columns.into_iter().map(number).collect()))
}

/// The indexes that clients see.
fn shown(table: &Table) -> impl Iterator<Item = &Index> {
    let hidden = |i: &&Index| {
        i.columns.iter().any(|part| table.columns.iter().any(|c| c.id == part.column && c.hidden))
    };
    table.indexes.iter().filter(move |i| !hidden(i))
}

fn visible_columns(table: &Table) -> impl Iterator<Item = &Column> {
    table.columns.iter().filter(|c| !c.hidden)
}

/// PostgreSQL numbers its catalogue's views from here on.
const FIRST_VIEW: u32 = 12_000;

struct Class<'a> {
    id: u32,
    name: &'a str,
    namespace: u32,
    kind: &'a str,
    access: u32,
    columns: usize,
    checks: usize,
    has_index: bool,
    triggers: bool,
}

fn class(c: &Class<'_>) -> Vec<Value> {
    vec![
        oid(c.id),
        text(c.name),
        oid(c.namespace),
        oid(0),
        oid(0),
        oid(OWNER),
        oid(c.access),
        oid(c.id),
        oid(0),
        Value::Int4(0),
        Value::Float4(-1.0),
        Value::Int4(0),
        oid(0),
        Value::Bool(c.has_index),
        FALSE,
        char("p"),
        char(c.kind),
        Value::Int2(c.columns as i16),
        Value::Int2(c.checks as i16),
        FALSE,
        Value::Bool(c.triggers),
        FALSE,
        FALSE,
        FALSE,
        TRUE,
        char("d"),
        FALSE,
        oid(0),
        oid(0),
        oid(0),
        Value::Null,
        Value::Null,
        Value::Null,
    ]
}

pub(super) fn pg_class(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for table in view.schema.tables.values() {
        rows.push(class(&Class {
            id: table_oid(table.id),
            name: &table.name,
            namespace: PUBLIC,
            kind: "r",
            access: 2,
            columns: visible_columns(table).count(),
            checks: table.checks.len(),
            has_index: shown(table).next().is_some(),
            // PostgreSQL keeps foreign keys by triggers, and psql looks for them only if there are any.
            triggers: !table.foreign_keys.is_empty() || view.schema.references(table.id).next().is_some(),
        }));
        for index in shown(table) {
            rows.push(class(&Class {
                id: index_oid(index.id),
                name: &index.name,
                namespace: PUBLIC,
                kind: "i",
                access: 403,
                columns: index.columns.len(),
                checks: 0,
                has_index: false,
                triggers: false,
            }));
        }
    }
    for sequence in view.schema.sequences.values() {
        rows.push(class(&Class {
            id: sequence_oid(sequence.id),
            name: &sequence.name,
            namespace: PUBLIC,
            kind: "S",
            access: 0,
            columns: 3,
            checks: 0,
            has_index: false,
            triggers: false,
        }));
    }
    for table in computed().values() {
        let namespace = SCHEMAS.iter().find(|(_, n)| *n == table.schema).map_or(0, |(id, _)| *id);
        rows.push(class(&Class {
            id: table.oid,
            name: table.name,
            namespace,
            // Where PostgreSQL has a view the number is not a fixed one of its.
            kind: if table.oid >= FIRST_VIEW { "v" } else { "r" },
            access: if table.oid >= FIRST_VIEW { 0 } else { 2 },
            columns: table.columns.len(),
            checks: 0,
            has_index: false,
            triggers: false,
        }));
    }
    rows
}

fn attribute(relation: u32, n: Value, name: &str, ty: &DataType, column: Option<&Column>) -> Vec<Value> {
    let info = types::scalar_info(ty);
    let length = types::length(ty);
    let minting = column.is_some_and(|c| c.identity.is_some());
    let generated = column.is_some_and(|c| c.generated.is_some());
    let has_default = column.is_some_and(|c| c.default.is_some()) || generated;
    let array = matches!(ty, DataType::Array(_));
    let collation = if info.category == 'S' && *ty != DataType::Name { 100 } else { 0 };
    vec![
        oid(relation),
        text(name),
        oid(types::oid(ty)),
        Value::Int4(-1),
        Value::Int2(length),
        n,
        Value::Int4(i32::from(array)),
        Value::Int4(-1),
        Value::Int4(types::typmod(ty)),
        Value::Bool((1..=8).contains(&length)),
        char(if length == 8 { "d" } else { "i" }),
        char(match (info.oid, length < 0) {
            (1700, _) => "m",
            (_, true) => "x",
            _ => "p",
        }),
        char(""),
        Value::Bool(column.is_some_and(|c| c.not_null)),
        Value::Bool(has_default && !minting),
        FALSE,
        char(match column.and_then(|c| c.identity) {
            Some(true) => "a",
            Some(false) => "d",
            None => "",
        }),
        char(if generated { "s" } else { "" }),
        FALSE,
        TRUE,
        Value::Int4(0),
        oid(collation),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
    ]
}

pub(super) fn pg_attribute(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for table in view.schema.tables.values() {
        for column in visible_columns(table) {
            let n = number(column.id);
            rows.push(attribute(table_oid(table.id), n, &column.name, &column.ty, Some(column)));
        }
        for index in shown(table) {
            for (i, part) in index.columns.iter().enumerate() {
                if let Some(column) = table.column(part.column) {
                    let n = Value::Int2(i as i16 + 1);
                    rows.push(attribute(index_oid(index.id), n, &column.name, &column.ty, None));
                }
            }
        }
    }
    let parts = [("last_value", DataType::Int8), ("log_cnt", DataType::Int8), ("is_called", DataType::Bool)];
    for sequence in view.schema.sequences.values() {
        for (i, (name, ty)) in parts.iter().enumerate() {
            rows.push(attribute(sequence_oid(sequence.id), Value::Int2(i as i16 + 1), name, ty, None));
        }
    }
    for table in computed().values() {
        for (i, (name, ty)) in table.columns.iter().enumerate() {
            rows.push(attribute(table.oid, Value::Int2(i as i16 + 1), name, ty, None));
        }
    }
    rows
}

pub(super) fn pg_index(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for table in view.schema.tables.values() {
        let primary = table.primary().map(|p| p.id);
        for index in shown(table) {
            let n = Value::Int2(index.columns.len() as i16);
            let collations = index.columns.iter().map(|part| {
                let text =
                    table.column(part.column).is_some_and(|c| types::scalar_info(&c.ty).category == 'S');
                oid(if text { 100 } else { 0 })
            });
            let classes = index
                .columns
                .iter()
                .map(|part| oid(table.column(part.column).map_or(0, |c| super::code::operator_class(&c.ty))));
            let options = index
                .columns
                .iter()
                .map(|c| Value::Int2(i16::from(c.descending) | (i16::from(c.nulls_first) << 1)));
            rows.push(vec![
                oid(index_oid(index.id)),
                oid(table_oid(table.id)),
                n.clone(),
                n,
                Value::Bool(index.unique),
                Value::Bool(index.nulls_not_distinct),
                Value::Bool(primary == Some(index.id)),
                FALSE,
                TRUE,
                FALSE,
                TRUE,
                FALSE,
                TRUE,
                TRUE,
                FALSE,
                numbers(index.columns.iter().map(|c| c.column)),
                Value::Array(Arc::new(collations.collect())),
                Value::Array(Arc::new(classes.collect())),
                Value::Array(Arc::new(options.collect())),
                Value::Null,
                Value::Null,
            ]);
        }
    }
    rows
}

fn action(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::NoAction => "a",
        ReferentialAction::Restrict => "r",
        ReferentialAction::Cascade => "c",
        ReferentialAction::SetNull => "n",
        ReferentialAction::SetDefault => "d",
    }
}

struct Constraint<'a> {
    id: u32,
    name: &'a str,
    kind: &'a str,
    table: u32,
    index: u32,
    columns: Value,
    parent: Option<(u32, ReferentialAction, ReferentialAction, Value)>,
    check: Value,
}

fn constraint(c: Constraint<'_>) -> Vec<Value> {
    let (parent, on_update, on_delete, matching, parent_columns) = match c.parent {
        Some((parent, on_update, on_delete, columns)) => {
            (parent, action(on_update), action(on_delete), "s", columns)
        }
        None => (0, " ", " ", " ", Value::Null),
    };
    vec![
        oid(c.id),
        text(c.name),
        oid(PUBLIC),
        char(c.kind),
        FALSE,
        FALSE,
        TRUE,
        oid(c.table),
        oid(0),
        oid(c.index),
        oid(0),
        oid(parent),
        char(on_update),
        char(on_delete),
        char(matching),
        TRUE,
        Value::Int4(0),
        TRUE,
        c.columns,
        parent_columns,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        c.check,
    ]
}

pub(super) fn pg_constraint(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for table in view.schema.tables.values() {
        let primary = table.primary().map(|p| p.id);
        for index in shown(table) {
            let Some(id) = index.constraint else { continue };
            rows.push(constraint(Constraint {
                id: constraint_oid(id),
                name: &index.name,
                kind: if primary == Some(index.id) { "p" } else { "u" },
                table: table_oid(table.id),
                index: index_oid(index.id),
                columns: numbers(index.columns.iter().map(|c| c.column)),
                parent: None,
                check: Value::Null,
            }));
        }
        for check in &table.checks {
            rows.push(constraint(Constraint {
                id: constraint_oid(check.id),
                name: &check.name,
                kind: "c",
                table: table_oid(table.id),
                index: 0,
                columns: numbers(check.columns.iter().copied()),
                parent: None,
                check: Value::text(format!("({})", check.sql)),
            }));
        }
        for key in &table.foreign_keys {
            rows.push(constraint(Constraint {
                id: constraint_oid(key.id),
                name: &key.name,
                kind: "f",
                table: table_oid(table.id),
                index: index_oid(key.parent_index),
                columns: numbers(key.columns.iter().copied()),
                parent: Some((
                    table_oid(key.parent),
                    key.on_update,
                    key.on_delete,
                    numbers(key.parent_columns.iter().copied()),
                )),
                check: Value::Null,
            }));
        }
    }
    rows
}

/// A default has no id of its own: its oid is made of its column's.
fn default_oid(table: &Table, column: &Column) -> u32 {
    0x4000_0000 | ((table.id.0 & 0x7_ffff) << 11) | u32::from(column.id.0 & 0x7ff)
}

pub(super) fn pg_attrdef(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for table in view.schema.tables.values() {
        for column in visible_columns(table) {
            let sql = match (&column.generated, &column.default) {
                (Some((sql, _)), _) => sql,
                (None, Some(default)) if column.identity.is_none() => &default.sql,
                _ => continue,
            };
            let id = oid(default_oid(table, column));
            rows.push(vec![id, oid(table_oid(table.id)), number(column.id), text(sql)]);
        }
    }
    rows
}

pub(super) fn pg_sequence(view: &View<'_>) -> Rows {
    let row = |s: &Arc<gemini_shadow_ops::Sequence>| {
        vec![
            oid(sequence_oid(s.id)),
            oid(types::oid(&sequence_type(s.max))),
            Value::Int8(s.start),
            Value::Int8(s.increment),
            Value::Int8(s.max),
            Value::Int8(s.min),
            Value::Int8(1),
            Value::Bool(s.cycle),
        ]
    };
    view.schema.sequences.values().map(row).collect()
}

/// The type AS which a sequence was declared, as far as its limit tells.
pub(super) fn sequence_type(max: i64) -> DataType {
    if max == i64::from(i16::MAX) {
        DataType::Int2
    } else if max == i64::from(i32::MAX) {
        DataType::Int4
    } else {
        DataType::Int8
    }
}

pub(super) fn pg_depend(view: &View<'_>) -> Rows {
    const CLASS: u32 = 1259;
    let mut rows = Vec::new();
    for sequence in view.schema.sequences.values() {
        let Some((table, column)) = sequence.owner else { continue };
        let identity =
            view.schema.table(table).and_then(|t| t.column(column)).is_some_and(|c| c.identity.is_some());
        rows.push(vec![
            oid(CLASS),
            oid(sequence_oid(sequence.id)),
            Value::Int4(0),
            oid(CLASS),
            oid(table_oid(table)),
            Value::Int4(i32::from(column.0) + 1),
            char(if identity { "i" } else { "a" }),
        ]);
    }
    for table in view.schema.tables.values() {
        for column in visible_columns(table) {
            let Some(gemini_shadow_ops::Minting::Sequence(id)) = column.minting else { continue };
            if column.identity.is_none() {
                rows.push(vec![
                    oid(2604),
                    oid(default_oid(table, column)),
                    Value::Int4(0),
                    oid(CLASS),
                    oid(sequence_oid(id)),
                    Value::Int4(0),
                    char("n"),
                ]);
            }
        }
    }
    let functions = super::code::of_namespace(GEMINI).map(|function| (1255, function));
    rows.extend(functions.chain([(NAMESPACE, GEMINI)]).map(|(class, object)| {
        let (none, extension) = (Value::Int4(0), oid(EXTENSION));
        vec![oid(class), oid(object), none.clone(), oid(3079), extension, none, char("e")]
    }));
    rows
}

/// pg_namespace's own number.
const NAMESPACE: u32 = 2615;

/// Annotations, as COMMENT ON is not kept; and what initdb says of public, by which pg_dump knows that nobody else did.
pub(super) fn pg_description(view: &View<'_>) -> Rows {
    let public = vec![oid(PUBLIC), oid(NAMESPACE), Value::Int4(0), text("standard public schema")];
    let mut rows = vec![public];
    let row = |table: &Table, n: i64, text: String| {
        let n = Value::Int4(i32::try_from(n).unwrap_or(0));
        vec![oid(table_oid(table.id)), oid(1259), n, Value::text(text)]
    };
    for table in view.schema.tables.values() {
        let id = table_oid(table.id);
        rows.extend(rows_text(view.schema, id).map(|text| row(table, 0, text)));
        for column in visible_columns(table) {
            let n = i64::from(column.id.0) + 1;
            rows.extend(merge_text(view.schema, id, n).map(|text| row(table, n, text)));
        }
    }
    rows
}

pub(super) fn pg_tables(view: &View<'_>) -> Rows {
    let row = |t: &Arc<Table>| {
        vec![
            text("public"),
            text(&t.name),
            text(view.user()),
            Value::Null,
            Value::Bool(shown(t).next().is_some()),
            FALSE,
            FALSE,
            FALSE,
        ]
    };
    view.schema.tables.values().map(row).collect()
}

pub(super) fn pg_indexes(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for table in view.schema.tables.values() {
        for index in shown(table) {
            let sql = index_definition(view.schema, index_oid(index.id)).unwrap_or_default();
            rows.push(vec![
                text("public"),
                text(&table.name),
                text(&index.name),
                Value::Null,
                Value::text(sql),
            ]);
        }
    }
    rows
}

pub(super) fn pg_sequences(view: &View<'_>) -> Rows {
    let row = |s: &Arc<gemini_shadow_ops::Sequence>| {
        vec![
            text("public"),
            text(&s.name),
            text(view.user()),
            Value::Oid(types::oid(&sequence_type(s.max))),
            Value::Int8(s.start),
            Value::Int8(s.min),
            Value::Int8(s.max),
            Value::Int8(s.increment),
            Value::Bool(s.cycle),
            Value::Int8(1),
            Value::Null,
        ]
    };
    view.schema.sequences.values().map(row).collect()
}

/// A column's default or generation expression as the information schema shows it.
pub(super) fn default_text(column: &Column) -> Value {
    match (&column.generated, &column.default) {
        (None, Some(default)) if column.identity.is_none() => text(&default.sql),
        _ => Value::Null,
    }
}
