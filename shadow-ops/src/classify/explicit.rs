//! What a generator must refuse although nothing in the row itself is wrong: deletes from append-only tables, and explicit values
//! that some site may mint one day.
//!
//! A sequence mints from residue classes: site class c of C takes base + increment × (c + k × C). While it is *closed* (no base yet)
//! explicit values are plain red. Once open, an explicit value is accepted below the base, where nobody mints, or in the site's
//! own class, where the site can make sure that it never mints it ([`check`] returns those: the counter is raised durably
//! before the proposal). Any other value may already be in use at another site, or be minted there tomorrow.

use super::scope::{Scope, cell};
use crate::draft::{Draft, DraftOp};
use crate::ids::{ColumnId, SequenceId};
use crate::op::Op;
use crate::schema::{Column, Minting, RowRule, Schema, Sequence, Table};
use crate::value::{Row, Value};

/// Why a draft is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DraftError {
    /// By remedy.
    pub kind: DraftErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
}

/// What kind of effect is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftErrorKind {
    /// A delete, or a change of a key that is referenced, in an append-only table.
    AppendOnly,
    /// An explicit value in a minting column.
    ExplicitValue,
}

/// Refuses what must not be generated. `class` is the site's minting class and the number of classes. Returns the explicit values
/// of the site's own class: its counters must be durably beyond them before the draft is proposed.
pub fn check(
    schema: &Schema,
    draft: &Draft,
    class: (u32, u32),
) -> Result<Vec<(SequenceId, i64)>, DraftError> {
    let scope = Scope::new(schema, draft);
    let mut own = Vec::new();
    for op in &draft.ops {
        let (Op::Insert { table, .. } | Op::Update { table, .. } | Op::Delete { table, .. }) = &op.op else {
            continue;
        };
        let Some(table) = schema.table(*table) else { continue };
        if table.rows == RowRule::AppendOnly {
            append_only(&scope, table, op)?;
        }
        if let Some(after) = &op.after {
            explicit_values(&scope, table, op, after, class, &mut own)?;
        }
    }
    Ok(own)
}

fn append_only(scope: &Scope<'_>, table: &Table, op: &DraftOp) -> Result<(), DraftError> {
    let refuse = |message: String| {
        Err(DraftError {
            kind: DraftErrorKind::AppendOnly,
            message,
            hint: Some(format!(
                "mark rows instead of deleting them; table {} is ROWS APPEND ONLY",
                table.name
            )),
        })
    };
    match &op.op {
        Op::Delete { .. } => refuse(format!("rows of append-only table {} are never deleted", table.name)),
        Op::Update { cells, .. } => {
            let referenced = |c: ColumnId| {
                table.is_primary(c) || scope.references(table.id).any(|(_, f)| f.parent_columns.contains(&c))
            };
            match cells.iter().find(|(c, _)| referenced(*c)) {
                Some((column, _)) => refuse(format!(
                    "column {} of append-only table {} is a key and never changes",
                    table.column_name(*column),
                    table.name
                )),
                None => Ok(()),
            }
        }
        Op::Insert { .. } | Op::Schema(_) | Op::Rights { .. } => Ok(()),
    }
}

fn explicit_values(
    scope: &Scope<'_>,
    table: &Table,
    op: &DraftOp,
    row: &Row,
    class: (u32, u32),
    own: &mut Vec<(SequenceId, i64)>,
) -> Result<(), DraftError> {
    for column in &table.columns {
        let written = match &op.op {
            Op::Update { cells, .. } => cells.iter().any(|(c, _)| *c == column.id),
            _ => true,
        };
        let value = cell(table, row, column.id);
        if !written || matches!(value, Value::Null) || scope.is_minted(table.id, column.id, value) {
            continue;
        }
        match column.minting {
            Some(Minting::Uuid) if table.rows != RowRule::Strict => return Err(explicit_uuid(table, column)),
            Some(Minting::Sequence(id)) => {
                let (Some(sequence), Some(value)) = (scope.schema.sequence(id), value.as_i64()) else {
                    continue;
                };
                match standing(sequence, value, class) {
                    Standing::Free => {}
                    Standing::Own => own.push((id, value)),
                    Standing::Foreign => return Err(explicit_number(table, column, sequence, value)),
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where an explicit value stands towards what a sequence mints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody mints it: the sequence is closed, or it lies below the base.
    Free,
    /// This site's class.
    Own,
    /// Another site's class, or between the values.
    Foreign,
}

/// Where a value stands towards what a sequence mints at a site of this class (class, number of classes).
pub fn standing(sequence: &Sequence, value: i64, (class, classes): (u32, u32)) -> Standing {
    let Some(base) = sequence.base else { return Standing::Free };
    let distance = i128::from(value) - i128::from(base);
    let step = i128::from(sequence.increment);
    if step == 0 || distance.signum() * step.signum() < 0 {
        return Standing::Free;
    }
    let place = distance / step;
    let own = distance % step == 0 && classes > 0 && place % i128::from(classes) == i128::from(class);
    if own { Standing::Own } else { Standing::Foreign }
}

fn explicit_uuid(table: &Table, column: &Column) -> DraftError {
    DraftError {
        kind: DraftErrorKind::ExplicitValue,
        message: format!("column {}.{} mints its values", table.name, column.name),
        hint: Some(format!(
            "leave it out, or drop its DEFAULT and vouch for the values: ALTER TABLE {} SET {}, KEYS TRUSTED",
            table.name, table.rows
        )),
    }
}

fn explicit_number(table: &Table, column: &Column, sequence: &Sequence, value: i64) -> DraftError {
    let base = sequence.base.unwrap_or(sequence.start);
    let side = if sequence.increment < 0 { "above" } else { "below" };
    DraftError {
        kind: DraftErrorKind::ExplicitValue,
        message: format!(
            "value {value} for {}.{} may be minted by another site from sequence {}",
            table.name, column.name, sequence.name
        ),
        hint: Some(format!("leave the column out, or give a value {side} {base}")),
    }
}
