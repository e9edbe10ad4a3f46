//! `EXPLAIN (COLOR)`: which colour a statement's transaction would have, and why.
//!
//! The generator is run and its effects are classified and undone. A statement that finds no rows is judged by its shape: by an
//! effect as it would have on a made-up row, in either direction where the direction matters.

use std::collections::BTreeSet;
use std::sync::Arc;

use gemini_shadow_ops::text::Shown;
use gemini_shadow_ops::value::{arith, key};
use gemini_shadow_ops::{
    Classification, Color, ColumnId, DataType, Draft, DraftOp, Facts, Interval, MergeRule, Minted, Numeric,
    Op, Reason, Row, Schema, Spend, Table, TxnId, Value, Write,
};

use super::{Cursor, ExecContext};
use crate::bind::{Program, SetColumn, SetKind};
use crate::error::Result;
use crate::plan::{Prepared, PreparedBody};
use crate::txn::{ColorSetting, Transaction, engine_error};

/// Says the colour of a statement, the reasons, and the annotations that would make it blue: one line each.
pub async fn explain_color(
    prepared: &Arc<Prepared>,
    params: Vec<Value>,
    context: &ExecContext,
    transaction: &mut Transaction,
) -> Result<Vec<String>> {
    let schema = transaction.schema(&*context.host);
    let forced = transaction.options().color == ColorSetting::Red;
    Ok(match judge(prepared, params, context, transaction).await? {
        Some((classification, note)) => {
            let mut lines = lines(&schema, &classification, forced, note);
            for spend in &classification.spends {
                lines.push(rights(&schema, spend, context)?);
            }
            lines
        }
        None => read_only(transaction),
    })
}

/// Runs the generator of a statement without keeping its effects and classifies them; a remark, if they were made up. None: it
/// only reads.
pub async fn judge(
    prepared: &Arc<Prepared>,
    params: Vec<Value>,
    context: &ExecContext,
    transaction: &mut Transaction,
) -> Result<Option<(Classification, Option<&'static str>)>> {
    let schema = transaction.schema(&*context.host);
    if let PreparedBody::Select(_) = prepared.body
        && !prepared.writes()
    {
        return Ok(None);
    }
    // What the transaction has done before is not this statement's: it is judged alone, if it can be.
    let mut scratch = Transaction::new(transaction.options());
    let own = transaction.has_effects();
    let target = if own { &mut *transaction } else { &mut scratch };
    let (savepoint, minted) = (target.savepoint(), target.minted_so_far());
    let outcome = rehearse(prepared, params, context, target).await;
    let draft = target.draft(&*context.host);
    target.rollback_to(&savepoint);
    target.forget_minted(minted);
    let affected = outcome?;
    Ok(Some(if affected > 0 || draft.ops.iter().any(|_| own) {
        (gemini_shadow_ops::classify::classify(&schema, &draft), None)
    } else {
        (shape(prepared, &schema, &draft), Some("no row matches: judged by what it would do to one"))
    }))
}

/// Runs the generator without using up minted values.
async fn rehearse(
    prepared: &Arc<Prepared>,
    params: Vec<Value>,
    context: &ExecContext,
    transaction: &mut Transaction,
) -> Result<u64> {
    let mut cursor = Cursor::open(prepared.clone(), params, context, transaction)?;
    cursor.rehearse();
    while cursor.next(context, transaction, 0).await?.is_some() {}
    Ok(cursor.affected())
}

fn read_only(transaction: &Transaction) -> Vec<String> {
    match transaction.options().color {
        ColorSetting::Red => {
            vec!["red".to_owned(), "  gemini.color is 'red': its reads are ordered".to_owned()]
        }
        _ => vec!["blue".to_owned(), "  it only reads".to_owned()],
    }
}

fn lines(schema: &Schema, classification: &Classification, forced: bool, note: Option<&str>) -> Vec<String> {
    let red = forced || classification.color == Color::Red;
    let mut lines = vec![if red { "red" } else { "blue" }.to_owned()];
    if let Some(note) = note {
        lines.push(format!("  ({note})"));
    }
    if forced {
        lines.push("  gemini.color is 'red'".to_owned());
    }
    for reason in &classification.reasons {
        let description = reason.describe(schema);
        lines.push(format!("  {}", description.why));
        if let Some(hint) = description.hint {
            lines.push(format!("    hint: {hint}"));
        }
    }
    lines
}

/// Whose rights a spend takes, and whether this site has them.
fn rights(schema: &Schema, spend: &Spend, context: &ExecContext) -> Result<String> {
    let table = schema.table(spend.table);
    let name = table.and_then(|t| t.constraint_name(spend.constraint)).unwrap_or("a bound");
    let amount = Shown(&spend.amount);
    let state = context.host.snapshot().state(spend.table, &spend.key).map_err(engine_error)?;
    let has = table.zip(state.as_ref()).and_then(|(table, state)| {
        let row = state.incarnation(spend.incarnation)?;
        row.rights_of(table, spend.column, spend.side, context.host.site())
    });
    Ok(match has {
        Some(has) if has.compare(&spend.amount).is_ge() => {
            format!("  takes {amount} of the {} rights of {name} that this site has", Shown(&has))
        }
        Some(has) => format!(
            "  takes {amount} rights of {name}: this site has {} and asks other sites for the rest",
            Shown(&has)
        ),
        None => {
            format!("  takes rights of {name}: blue as far as this site has them, else it asks other sites")
        }
    })
}

/// A reason, for people.
pub fn reason(schema: &Schema, reason: &Reason) -> String {
    reason.describe(schema).why
}

/// The colour of what the statement would do to a made-up row.
fn shape(prepared: &Prepared, schema: &Schema, draft: &Draft) -> Classification {
    let mut drafts = Vec::new();
    match &prepared.body {
        PreparedBody::Select(_) => {}
        PreparedBody::Insert(plan) => drafts.push(insert_shape(&plan.table, draft)),
        PreparedBody::Update(plan) => {
            if let Some(program) = plan.programs.get(&plan.table.id) {
                for up in [true, false] {
                    drafts.push(update_shape(&plan.table, program, &plan.set, up, draft));
                }
            }
        }
        PreparedBody::Delete(plan) => drafts.push(delete_shape(&plan.table, draft)),
    }
    let mut whole =
        gemini_shadow_ops::classify::classify(schema, &Draft { ops: Vec::new(), ..draft.clone() });
    let mut reasons: BTreeSet<Reason> = whole.reasons.iter().cloned().collect();
    for draft in drafts {
        let one = gemini_shadow_ops::classify::classify(schema, &draft);
        if one.color == Color::Red {
            whole.color = Color::Red;
        }
        reasons.extend(one.reasons);
        whole.spends.extend(one.spends);
    }
    whole.reasons = reasons.into_iter().collect();
    whole
}

fn with(draft: &Draft, ops: Vec<DraftOp>, minted: Vec<Minted>) -> Draft {
    Draft { ops, minted, reads: Vec::new(), locks: Vec::new(), ..draft.clone() }
}

fn made_up(table: &Table) -> Row {
    let mut values = vec![Value::Null; usize::from(table.slots)];
    for column in &table.columns {
        values[usize::from(column.id.0)] = some(&column.ty);
    }
    values.into()
}

fn insert_shape(table: &Table, draft: &Draft) -> Draft {
    let row = made_up(table);
    let minted = table
        .columns
        .iter()
        .filter(|c| c.minting.is_some())
        .map(|c| Minted { table: table.id, column: c.id, value: row[usize::from(c.id.0)].clone() })
        .collect();
    let op = Op::Insert { table: table.id, key: key::primary_key(table, &row), values: row.clone() };
    let op = DraftOp { statement: 0, op, before: None, after: Some(row), facts: Facts::default() };
    with(draft, vec![op], minted)
}

fn delete_shape(table: &Table, draft: &Draft) -> Draft {
    let row = made_up(table);
    let op = Op::Delete { table: table.id, key: key::primary_key(table, &row), of: vec![TxnId::Red(1)] };
    let op = DraftOp { statement: 0, op, before: Some(row), after: None, facts: Facts::default() };
    with(draft, vec![op], Vec::new())
}

fn update_shape(table: &Table, program: &Program, set: &[SetColumn], up: bool, draft: &Draft) -> Draft {
    let before = made_up(table);
    let mut after = before.to_vec();
    let mut cells: Vec<(ColumnId, Write)> = Vec::new();
    let mut facts = Facts::default();
    let one = Value::Int8(if up { 1 } else { -1 });
    for column in set {
        let Some(declared) = table.column(column.column) else { continue };
        let place = usize::from(column.column.0);
        if table.is_primary(column.column) {
            facts.key_update = true;
            continue;
        }
        let value = before[place].clone();
        let write = match declared.merge {
            MergeRule::Strict | MergeRule::Lww => Write::Set(value),
            MergeRule::Delta => {
                after[place] = arith::add(&declared.ty, &value, &one);
                if column.kind == SetKind::Assign {
                    facts.assigned.push(column.column);
                }
                Write::delta(table, column.column, one.clone())
            }
            MergeRule::Max => Write::Max(value),
            MergeRule::Min => Write::Min(value),
            MergeRule::AddWinsSet => Write::Elements { remove: Vec::new(), add: Vec::new() },
            MergeRule::EnableWins => Write::EnableWins(true),
            MergeRule::DisableWins => Write::DisableWins(true),
        };
        if column.computed {
            facts.computed.push(column.column);
        }
        cells.push((column.column, write));
    }
    for group in &program.groups {
        if cells.iter().any(|(c, _)| group.contains(c)) {
            for column in group {
                if !cells.iter().any(|(c, _)| c == column) {
                    cells.push((*column, Write::Set(before[usize::from(column.0)].clone())));
                }
            }
        }
    }
    cells.sort_by_key(|(c, _)| *c);
    let at = key::primary_key(table, &before);
    let of = vec![TxnId::Red(1)];
    let after: Row = after.into();
    let op = if facts.key_update {
        Op::Delete { table: table.id, key: at, of }
    } else {
        Op::Update { table: table.id, key: at, of, cells }
    };
    let after = (!facts.key_update).then_some(after);
    with(draft, vec![DraftOp { statement: 0, op, before: Some(before), after, facts }], Vec::new())
}

/// Some value of a type.
fn some(ty: &DataType) -> Value {
    match ty {
        DataType::Bool => Value::Bool(false),
        DataType::Int2 => Value::Int2(1),
        DataType::Int4 => Value::Int4(1),
        DataType::Int8 => Value::Int8(1),
        DataType::Float4 => Value::Float4(1.0),
        DataType::Float8 => Value::Float8(1.0),
        DataType::Numeric(_) => Value::Numeric(Numeric::from(1i64)),
        DataType::Date => Value::Date(0),
        DataType::Timestamp => Value::Timestamp(0),
        DataType::Timestamptz => Value::Timestamptz(0),
        DataType::Interval => Value::Interval(Interval::default()),
        DataType::Uuid => Value::Uuid([0; 16]),
        DataType::Bytea => Value::Bytea(Arc::from([])),
        DataType::Oid | DataType::Regclass | DataType::Regtype | DataType::Regproc => Value::Oid(0),
        DataType::Array(_) => Value::Array(Arc::new(Vec::new())),
        _ => Value::text("x"),
    }
}
