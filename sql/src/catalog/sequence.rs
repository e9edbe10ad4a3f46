//! A sequence read as a table: `SELECT last_value, is_called FROM s`, as pg_dump does.

use std::sync::{Arc, LazyLock};

use gemini_engine::KeyRange;
use gemini_shadow_ops::{DataType, RowState, Schema, Sequence, Value};

use crate::error::Result;
use crate::exec::ExecContext;
use crate::plan::VirtualTable;
use crate::txn::engine_error;

/// Rows of a table between two looks for cancellation.
pub(crate) const PAGE: usize = 1024;

static COLUMNS: LazyLock<Vec<(String, DataType)>> = LazyLock::new(|| {
    let column = |name: &str, ty| (name.to_owned(), ty);
    vec![
        column("last_value", DataType::Int8),
        column("log_cnt", DataType::Int8),
        column("is_called", DataType::Bool),
    ]
});

/// One sequence. What it gives next is shown as a last value that has not been called: every site mints for itself, so an open
/// sequence has no last value, but whoever goes on from a value above all that are there repeats none.
pub struct SequenceState(pub Arc<Sequence>);

impl VirtualTable for SequenceState {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn columns(&self) -> &[(String, DataType)] {
        &COLUMNS
    }

    fn oid(&self) -> u32 {
        super::sequence_oid(self.0.id)
    }

    fn rows(&self, schema: &Schema, context: &ExecContext) -> Result<Vec<Vec<Value>>> {
        let sequence = &self.0;
        let mut next = sequence.start;
        if sequence.is_open() {
            let own = context.host.would_mint(schema, sequence.id, 0);
            next = further(sequence, next, own.unwrap_or(sequence.start));
            let snapshot = context.host.snapshot();
            for (table, column) in schema.minted_by(sequence.id) {
                let mut range = KeyRange::all();
                loop {
                    context.check()?;
                    let states = snapshot.scan_states(table.id, &range, false, PAGE).map_err(engine_error)?;
                    next = states.iter().fold(next, |next, (_, s)| above(s, column.id.0, sequence, next));
                    match states.last() {
                        Some((key, _)) if states.len() == PAGE => range = range.after(key, false),
                        _ => break,
                    }
                }
            }
        }
        let next = next.clamp(sequence.min, sequence.max);
        Ok(vec![vec![Value::Int8(next), Value::Int8(0), Value::Bool(false)]])
    }
}

/// The value after every one of a row's in a column, hidden incarnations included, if it is further on than `next`.
pub(crate) fn above(state: &RowState, column: u16, sequence: &Sequence, next: i64) -> i64 {
    let values = state.incarnations.iter().filter_map(|i| i.values.get(usize::from(column)));
    let integers = values.filter(|v| matches!(v, Value::Int2(_) | Value::Int4(_) | Value::Int8(_)));
    integers
        .filter_map(Value::as_i64)
        .fold(next, |next, value| further(sequence, next, value.saturating_add(sequence.increment)))
}

/// Which of two values a sequence comes to later.
fn further(sequence: &Sequence, a: i64, b: i64) -> i64 {
    if sequence.increment < 0 { a.min(b) } else { a.max(b) }
}
