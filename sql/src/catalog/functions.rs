//! Functions that only the session can answer: definitions as SQL, visibility, the outcome of a transaction.

use gemini_shadow_ops::{
    EntryId, IndexColumn, MergeRule, ReferentialAction, RowRule, Schema, SiteId, Table, Value,
};

use super::names::quote;
use super::{PG_CATALOG, computed, constraint_oid, index_oid, sequence_oid, table_oid};
use crate::error::{Result, SqlError};
use crate::host::TransactionStatus;
use crate::session::SessionEnvironment;
use crate::sqlstate;

/// Calls one by name; None: not one of ours.
pub fn call(name: &str, args: &[Value], environment: &SessionEnvironment) -> Option<Result<Value>> {
    let schema = &*environment.schema;
    let oid = args.first().and_then(as_oid);
    Some(Ok(match name {
        "pg_get_indexdef" => match (oid, args.get(1).and_then(Value::as_i64)) {
            (Some(oid), Some(column)) if column > 0 => index_column(schema, oid, column),
            (Some(oid), _) => text(index_definition(schema, oid)),
            _ => Value::Null,
        },
        "pg_get_constraintdef" => {
            let pretty = args.get(1) == Some(&Value::Bool(true));
            let public = environment.info.search_path.iter().any(|s| s == "public");
            text(oid.and_then(|oid| constraint_definition(schema, oid, pretty, public)))
        }
        "pg_get_function_arguments" | "pg_get_function_identity_arguments" => {
            text(oid.and_then(super::code::arguments))
        }
        "pg_get_function_result" => text(oid.and_then(super::code::result)),
        "pg_get_serial_sequence" => return Some(serial_sequence(schema, args)),
        "pg_table_is_visible" => Value::Bool(oid.is_some_and(|oid| visible(schema, oid))),
        "pg_relation_size"
        | "pg_table_size"
        | "pg_total_relation_size"
        | "pg_indexes_size"
        | "pg_database_size" => Value::Null,
        "col_description" => {
            text(oid.zip(args.get(1).and_then(Value::as_i64)).and_then(|(oid, n)| merge_text(schema, oid, n)))
        }
        "obj_description" => text(oid.and_then(|oid| rows_text(schema, oid))),
        "gemini.transaction_status" => return Some(transaction_status(args, environment)),
        "gemini.site" => Value::text(environment.host.site_name()),
        _ => return None,
    }))
}

fn as_oid(value: &Value) -> Option<u32> {
    match value {
        Value::Oid(oid) => Some(*oid),
        other => other.as_i64().and_then(|n| u32::try_from(n).ok()),
    }
}

fn text(value: Option<String>) -> Value {
    value.map_or(Value::Null, Value::text)
}

fn visible(schema: &Schema, oid: u32) -> bool {
    let own = schema
        .tables
        .values()
        .any(|t| table_oid(t.id) == oid || t.indexes.iter().any(|i| index_oid(i.id) == oid));
    own || schema.sequences.values().any(|s| sequence_oid(s.id) == oid)
        || computed().values().any(|t| t.oid == oid && t.schema == "pg_catalog")
        || oid == PG_CATALOG
}

fn find_index(schema: &Schema, oid: u32) -> Option<(&Table, &gemini_shadow_ops::Index)> {
    schema.tables.values().find_map(|t| t.indexes.iter().find(|i| index_oid(i.id) == oid).map(|i| (&**t, i)))
}

fn part(table: &Table, column: &IndexColumn) -> String {
    let mut sql = quote(&table.column_name(column.column));
    if column.descending {
        sql.push_str(" DESC");
    }
    if column.nulls_first != column.descending {
        sql.push_str(if column.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
    }
    sql
}

/// `CREATE UNIQUE INDEX i ON public.t USING btree (a, b DESC)`
pub(super) fn index_definition(schema: &Schema, oid: u32) -> Option<String> {
    let (table, index) = find_index(schema, oid)?;
    let columns: Vec<String> = index.columns.iter().map(|c| part(table, c)).collect();
    Some(format!(
        "CREATE {}INDEX {} ON public.{} USING btree ({}){}",
        if index.unique { "UNIQUE " } else { "" },
        quote(&index.name),
        quote(&table.name),
        columns.join(", "),
        if index.nulls_not_distinct { " NULLS NOT DISTINCT" } else { "" }
    ))
}

fn index_column(schema: &Schema, oid: u32, n: i64) -> Value {
    let Some((table, index)) = find_index(schema, oid) else { return Value::Null };
    let column = usize::try_from(n - 1).ok().and_then(|n| index.columns.get(n));
    column.map_or(Value::text(""), |c| Value::text(quote(&table.column_name(c.column))))
}

fn list(table: &Table, columns: impl IntoIterator<Item = gemini_shadow_ops::ColumnId>) -> String {
    let names: Vec<String> = columns.into_iter().map(|c| quote(&table.column_name(c))).collect();
    names.join(", ")
}

fn action(event: &str, action: ReferentialAction) -> String {
    let action = match action {
        ReferentialAction::NoAction => return String::new(),
        ReferentialAction::Restrict => "RESTRICT",
        ReferentialAction::Cascade => "CASCADE",
        ReferentialAction::SetNull => "SET NULL",
        ReferentialAction::SetDefault => "SET DEFAULT",
    };
    format!(" ON {event} {action}")
}

/// `PRIMARY KEY (a)`, `FOREIGN KEY (a) REFERENCES p(b) ON DELETE CASCADE`, `CHECK ((a > 0))`
///
/// `public` is in the search path: the parent's name needs no schema.
pub(super) fn constraint_definition(schema: &Schema, oid: u32, pretty: bool, public: bool) -> Option<String> {
    for table in schema.tables.values() {
        if let Some(check) = table.checks.iter().find(|c| constraint_oid(c.id) == oid) {
            return Some(if pretty {
                format!("CHECK ({})", check.sql)
            } else {
                format!("CHECK (({}))", check.sql)
            });
        }
        if let Some(key) = table.foreign_keys.iter().find(|f| constraint_oid(f.id) == oid) {
            let parent = schema.table(key.parent)?;
            return Some(format!(
                "FOREIGN KEY ({}) REFERENCES {}{}({}){}{}",
                list(table, key.columns.iter().copied()),
                if public { "" } else { "public." },
                quote(&parent.name),
                list(parent, key.parent_columns.iter().copied()),
                action("UPDATE", key.on_update),
                action("DELETE", key.on_delete)
            ));
        }
        let backing = table.indexes.iter().find(|i| i.constraint.is_some_and(|c| constraint_oid(c) == oid));
        if let Some(index) = backing {
            let primary = table.primary().is_some_and(|p| p.id == index.id);
            let kind = match (primary, index.nulls_not_distinct) {
                (true, _) => "PRIMARY KEY",
                (false, true) => "UNIQUE NULLS NOT DISTINCT",
                (false, false) => "UNIQUE",
            };
            return Some(format!("{kind} ({})", list(table, index.columns.iter().map(|c| c.column))));
        }
    }
    None
}

/// A column's annotation: it is what \d+ shows as its description.
pub(super) fn merge_text(schema: &Schema, oid: u32, n: i64) -> Option<String> {
    let table = schema.tables.values().find(|t| table_oid(t.id) == oid)?;
    let id = u16::try_from(n.checked_sub(1)?).ok()?;
    let rule = table.columns.iter().find(|c| c.id.0 == id)?.merge;
    (rule != MergeRule::Strict).then(|| rule.to_string())
}

/// A table's annotation: it is what \dt+ shows as its description.
pub(super) fn rows_text(schema: &Schema, oid: u32) -> Option<String> {
    let table = schema.tables.values().find(|t| table_oid(t.id) == oid)?;
    if table.rows == RowRule::Strict {
        return None;
    }
    Some(format!("{}{}", table.rows, if table.keys_trusted { ", KEYS TRUSTED" } else { "" }))
}

fn serial_sequence(schema: &Schema, args: &[Value]) -> Result<Value> {
    let (Some(table), Some(column)) =
        (args.first().and_then(Value::as_text), args.get(1).and_then(Value::as_text))
    else {
        return Ok(Value::Null);
    };
    let found = super::names::split(table)
        .filter(|(ns, _)| ns.as_deref().is_none_or(|n| n == "public"))
        .and_then(|(_, name)| schema.table_by_name(&name));
    let Some(found) = found else {
        return Err(SqlError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{table}\" does not exist")));
    };
    let Some(column) = found.column_by_name(column) else {
        return Err(SqlError::new(
            sqlstate::UNDEFINED_COLUMN,
            format!("column \"{column}\" of relation \"{}\" does not exist", found.name),
        ));
    };
    let owner = Some((found.id, column.id));
    let sequence = schema.sequences.values().find(|s| s.owner == owner);
    Ok(sequence.map_or(Value::Null, |s| Value::text(format!("public.{}", quote(&s.name)))))
}

fn transaction_status(args: &[Value], environment: &SessionEnvironment) -> Result<Value> {
    let Some(given) = args.first().and_then(Value::as_text) else { return Ok(Value::Null) };
    let numbers: Vec<Option<u64>> = given.trim().split('-').map(|part| part.parse().ok()).collect();
    let id = match numbers.as_slice() {
        [Some(site), Some(start), Some(counter)] => u16::try_from(*site).ok().map(|site| EntryId {
            site: SiteId(site),
            start: *start,
            counter: *counter,
        }),
        _ => None,
    };
    let Some(id) = id else {
        return Err(SqlError::new(
            sqlstate::INVALID_TEXT_REPRESENTATION,
            format!("\"{given}\" is not a transaction id"),
        )
        .hint("An id looks like 1-7-42: it is in the detail of the error with SQLSTATE 40003."));
    };
    Ok(Value::text(match environment.host.transaction_status(id) {
        TransactionStatus::Committed(id) => format!("committed as {id}"),
        TransactionStatus::Refused => "refused".to_string(),
        TransactionStatus::Void => "void".to_string(),
        TransactionStatus::InProgress => "in progress".to_string(),
        TransactionStatus::Unknown => "unknown".to_string(),
    }))
}
