//! information_schema, as far as ORMs and drivers read it.

use gemini_shadow_ops::{Column, ColumnId, DataType, ReferentialAction, Sequence, SequenceId, Table, Value};

use super::relations::{default_text, sequence_type};
use super::system::{SCHEMAS, text};
use super::{Rows, View, computed};
use crate::expr::types;

fn yes(on: bool) -> Value {
    text(if on { "YES" } else { "NO" })
}

fn number(value: i64) -> Value {
    Value::Int4(i32::try_from(value).unwrap_or(i32::MAX))
}

fn digits(value: i64) -> Value {
    Value::text(value.to_string())
}

fn columns_of(table: &Table) -> impl Iterator<Item = &Column> {
    table.columns.iter().filter(|c| !c.hidden)
}

pub(super) fn tables(view: &View<'_>) -> Rows {
    let row = |schema: &str, name: &str, kind: &str| {
        let mut row = vec![Value::Null; 12];
        row[0] = text(view.database());
        row[1] = text(schema);
        row[2] = text(name);
        row[3] = text(kind);
        row[9] = yes(schema == "public");
        row[10] = yes(false);
        row
    };
    let own = view.schema.tables.values().map(|t| row("public", &t.name, "BASE TABLE"));
    let system = computed()
        .values()
        .map(|t| row(t.schema, t.name, if t.schema == "pg_catalog" { "BASE TABLE" } else { "VIEW" }));
    own.chain(system).collect()
}

pub(super) fn columns(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for table in view.schema.tables.values() {
        for (i, column) in columns_of(table).enumerate() {
            rows.push(column_row(view, table, i, column));
        }
    }
    rows
}

/// data_type without its typmod, as the standard's names.
fn data_type(ty: &DataType) -> String {
    match ty {
        DataType::Array(_) => "ARRAY".to_string(),
        other => types::display(&types::bare(other)),
    }
}

fn column_row(view: &View<'_>, table: &Table, i: usize, column: &Column) -> Vec<Value> {
    let mut row = vec![Value::Null; 44];
    row[0] = text(view.database());
    row[1] = text("public");
    row[2] = text(&table.name);
    row[3] = text(&column.name);
    row[4] = number(i as i64 + 1);
    row[5] = default_text(column);
    row[6] = yes(!column.not_null);
    row[7] = Value::text(data_type(&column.ty));
    let (precision, radix, scale) = match &column.ty {
        DataType::Int2 => (Some(16), Some(2), Some(0)),
        DataType::Int4 => (Some(32), Some(2), Some(0)),
        DataType::Int8 => (Some(64), Some(2), Some(0)),
        DataType::Float4 => (Some(24), Some(2), None),
        DataType::Float8 => (Some(53), Some(2), None),
        DataType::Numeric(Some((p, s))) => (Some(i64::from(*p)), Some(10), Some(i64::from(*s))),
        DataType::Numeric(None) => (None, Some(10), None),
        _ => (None, None, None),
    };
    let length = match &column.ty {
        DataType::Varchar(length) => *length,
        DataType::Char(length) => Some(*length),
        _ => None,
    };
    let optional = |value: Option<i64>| value.map_or(Value::Null, number);
    row[8] = optional(length.map(i64::from));
    row[9] = optional(match &column.ty {
        DataType::Text | DataType::Varchar(None) => Some(1_073_741_824),
        _ => length.map(|n| i64::from(n) * 4),
    });
    row[10] = optional(precision);
    row[11] = optional(radix);
    row[12] = optional(scale);
    row[13] = match &column.ty {
        DataType::Date => Value::Int4(0),
        DataType::Timestamp | DataType::Timestamptz | DataType::Interval => Value::Int4(6),
        _ => Value::Null,
    };
    row[25] = text(view.database());
    row[26] = text("pg_catalog");
    row[27] = Value::text(types::internal_name(&column.ty));
    row[32] = digits(i64::from(column.id.0) + 1);
    row[33] = yes(false);
    row[34] = yes(column.identity.is_some());
    if let Some(always) = column.identity {
        row[35] = text(if always { "ALWAYS" } else { "BY DEFAULT" });
        if let Some(sequence) = identity_sequence(view, column) {
            row[36] = digits(sequence.start);
            row[37] = digits(sequence.increment);
            row[38] = digits(sequence.max);
            row[39] = digits(sequence.min);
        }
    }
    row[40] = yes(false);
    row[41] = text(if column.generated.is_some() { "ALWAYS" } else { "NEVER" });
    row[42] = column.generated.as_ref().map_or(Value::Null, |(sql, _)| text(sql));
    row[43] = yes(true);
    row
}

fn identity_sequence<'v>(view: &'v View<'_>, column: &Column) -> Option<&'v Sequence> {
    let id: SequenceId = match column.minting? {
        gemini_shadow_ops::Minting::Sequence(id) => id,
        gemini_shadow_ops::Minting::Uuid => return None,
    };
    view.schema.sequence(id).map(|s| &**s)
}

pub(super) fn schemata(view: &View<'_>) -> Rows {
    let row = |(_, name): &(u32, &str)| {
        let null = Value::Null;
        vec![
            text(view.database()),
            text(name),
            text(view.user()),
            null.clone(),
            null.clone(),
            null.clone(),
            null,
        ]
    };
    SCHEMAS.iter().map(row).collect()
}

/// A constraint: table, name, kind, columns, and for a FOREIGN KEY the parent with its columns and index's name.
struct Constraint<'v> {
    table: &'v Table,
    name: &'v str,
    kind: &'static str,
    columns: Vec<ColumnId>,
    nulls_distinct: Option<bool>,
    parent: Option<(&'v Table, Vec<ColumnId>, &'v str)>,
    actions: Option<(ReferentialAction, ReferentialAction)>,
    check: Option<&'v str>,
}

fn constraints<'v>(view: &'v View<'_>) -> Vec<Constraint<'v>> {
    let mut all = Vec::new();
    for table in view.schema.tables.values() {
        let plain = |name: &'v str, kind, columns| Constraint {
            table,
            name,
            kind,
            columns,
            nulls_distinct: None,
            parent: None,
            actions: None,
            check: None,
        };
        let primary = table.primary().map(|p| p.id);
        for index in table.indexes.iter().filter(|i| i.constraint.is_some()) {
            let kind = if primary == Some(index.id) { "PRIMARY KEY" } else { "UNIQUE" };
            let columns = index.columns.iter().map(|c| c.column).collect();
            all.push(Constraint {
                nulls_distinct: (kind == "UNIQUE").then_some(!index.nulls_not_distinct),
                ..plain(&index.name, kind, columns)
            });
        }
        for check in &table.checks {
            all.push(Constraint {
                check: Some(&check.sql),
                ..plain(&check.name, "CHECK", check.columns.clone())
            });
        }
        for key in &table.foreign_keys {
            let parent = view.schema.table(key.parent).map(|parent| {
                let index = parent.index(key.parent_index).map_or("", |i| i.name.as_str());
                (&**parent, key.parent_columns.clone(), index)
            });
            all.push(Constraint {
                parent,
                actions: Some((key.on_update, key.on_delete)),
                ..plain(&key.name, "FOREIGN KEY", key.columns.clone())
            });
        }
    }
    all
}

pub(super) fn table_constraints(view: &View<'_>) -> Rows {
    let row = |c: Constraint<'_>| {
        vec![
            text(view.database()),
            text("public"),
            text(c.name),
            text(view.database()),
            text("public"),
            text(&c.table.name),
            text(c.kind),
            yes(false),
            yes(false),
            yes(true),
            c.nulls_distinct.map_or(Value::Null, yes),
        ]
    };
    constraints(view).into_iter().map(row).collect()
}

pub(super) fn key_column_usage(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for c in constraints(view).into_iter().filter(|c| c.kind != "CHECK") {
        for (i, column) in c.columns.iter().enumerate() {
            let position = match &c.parent {
                Some((parent, columns, index)) => {
                    let order = parent.indexes.iter().find(|x| x.name == **index);
                    let at =
                        order.and_then(|x| x.columns.iter().position(|p| Some(&p.column) == columns.get(i)));
                    at.map_or(Value::Null, |at| number(at as i64 + 1))
                }
                None => Value::Null,
            };
            rows.push(vec![
                text(view.database()),
                text("public"),
                text(c.name),
                text(view.database()),
                text("public"),
                text(&c.table.name),
                Value::text(c.table.column_name(*column)),
                number(i as i64 + 1),
                position,
            ]);
        }
    }
    rows
}

pub(super) fn constraint_column_usage(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for c in constraints(view) {
        let (table, columns) = match &c.parent {
            Some((parent, columns, _)) => (*parent, columns.clone()),
            None => (c.table, c.columns.clone()),
        };
        for column in columns {
            rows.push(vec![
                text(view.database()),
                text("public"),
                text(&table.name),
                Value::text(table.column_name(column)),
                text(view.database()),
                text("public"),
                text(c.name),
            ]);
        }
    }
    rows
}

fn rule(action: ReferentialAction) -> Value {
    text(match action {
        ReferentialAction::NoAction => "NO ACTION",
        ReferentialAction::Restrict => "RESTRICT",
        ReferentialAction::Cascade => "CASCADE",
        ReferentialAction::SetNull => "SET NULL",
        ReferentialAction::SetDefault => "SET DEFAULT",
    })
}

pub(super) fn referential_constraints(view: &View<'_>) -> Rows {
    let row = |c: &Constraint<'_>| {
        let (_, _, index) = c.parent.as_ref()?;
        let (on_update, on_delete) = c.actions?;
        Some(vec![
            text(view.database()),
            text("public"),
            text(c.name),
            text(view.database()),
            text("public"),
            text(index),
            text("NONE"),
            rule(on_update),
            rule(on_delete),
        ])
    };
    constraints(view).iter().filter_map(row).collect()
}

pub(super) fn check_constraints(view: &View<'_>) -> Rows {
    let row = |c: &Constraint<'_>| {
        let sql = c.check?;
        Some(vec![text(view.database()), text("public"), text(c.name), Value::text(format!("(({sql}))"))])
    };
    constraints(view).iter().filter_map(row).collect()
}

pub(super) fn sequences(view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for s in view.schema.sequences.values() {
        let ty = sequence_type(s.max);
        let bits = match ty {
            DataType::Int2 => 16,
            DataType::Int4 => 32,
            _ => 64,
        };
        rows.push(vec![
            text(view.database()),
            text("public"),
            text(&s.name),
            Value::text(types::display(&ty)),
            number(bits),
            number(2),
            number(0),
            digits(s.start),
            digits(s.min),
            digits(s.max),
            digits(s.increment),
            yes(s.cycle),
        ]);
    }
    rows
}
