//! WITH RECURSIVE, round by round.
//!
//! The base gives the first round. Then the step is run over the rows of the round before ([`super::run::Run::round`]) and
//! what it gives is the next, until a round is empty. Rows are passed on as they come, so a LIMIT above ends a recursion
//! that has no end of its own; without one, [`MAX_ROWS`] ends it, and the statement's memory limit if rounds (or,
//! with UNION, the rows seen) grow too large.

use std::collections::HashSet;
use std::sync::Arc;

use gemini_shadow_ops::{Key, Value, value::key};

use super::Batch;
use super::group::casted;
use super::operators::{State, Step, keep};
use super::run::{CHUNK, Cx};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::{Node, Plan};
use crate::sqlstate;

/// Rows that one recursive query gives at most. (Tests should not wait for ten million.)
const MAX_ROWS: u64 = if cfg!(test) { 100_000 } else { 10_000_000 };

/// A recursive query.
pub struct RecursiveState {
    base: State,
    step: State,
    base_batch: Batch,
    step_batch: Batch,
    /// The base is through.
    stepping: bool,
    /// The round that is being made.
    round: Batch,
    /// UNION: every row so far.
    seen: HashSet<Key>,
    rows: u64,
}

impl RecursiveState {
    /// Not open yet.
    pub fn new(base: State, step: State, base_width: usize, step_width: usize) -> RecursiveState {
        RecursiveState {
            base,
            step,
            base_batch: Batch::new(base_width),
            step_batch: Batch::new(step_width),
            stepping: false,
            round: Batch::new(base_width),
            seen: HashSet::new(),
            rows: 0,
        }
    }

    /// To the start.
    pub fn open(&mut self, id: usize, base: &Plan, cx: &Cx<'_>) -> Result<()> {
        cx.run.release(&self.round);
        cx.run.set_round(id, Batch::new(base.width));
        self.base_batch.clear();
        self.step_batch.clear();
        self.round.clear();
        self.stepping = false;
        self.seen.clear();
        self.rows = 0;
        self.base.open(&base.node, cx, &[])
    }

    /// Appends rows.
    pub fn next(&mut self, node: &Node, cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        let Node::Recursive { id, name, all, base, step, step_casts } = node else {
            return Err(SqlError::internal("not a recursive query"));
        };
        let (state, plan, batch, casts): (_, _, _, &[Expr]) = if self.stepping {
            (&mut self.step, step, &mut self.step_batch, step_casts)
        } else {
            (&mut self.base, base, &mut self.base_batch, &[])
        };
        let answer = state.next(&plan.node, cx, batch)?;
        if answer == Step::Mint {
            return Ok(answer);
        }
        for row in batch.iter() {
            let row = casted(row, casts, cx)?;
            if !*all {
                if !self.seen.insert(key::encode_key(&row)) {
                    continue;
                }
                cx.run.charge(&row)?;
            }
            cx.run.charge(&row)?;
            self.round.push(&row);
            out.push(&row);
            self.rows += 1;
        }
        batch.clear();
        if self.rows > MAX_ROWS {
            return Err(endless(name));
        }
        if answer == Step::More {
            return Ok(Step::More);
        }
        if self.round.is_empty() {
            return Ok(Step::Done);
        }
        let round = std::mem::replace(&mut self.round, Batch::new(base.width));
        cx.run.set_round(*id, round);
        self.stepping = true;
        self.step.open(&step.node, cx, &[])?;
        Ok(Step::More)
    }
}

fn endless(name: &str) -> SqlError {
    SqlError::new(
        sqlstate::PROGRAM_LIMIT_EXCEEDED,
        format!("recursive query \"{name}\" has given more than {MAX_ROWS} rows"),
    )
    .hint("Does it end? UNION instead of UNION ALL drops rows that were there before; LIMIT stops it.")
}

/// The rows of the round before, where the step names its own query.
#[derive(Default)]
pub struct WorkingState {
    rows: Arc<Batch>,
    base: Vec<Value>,
    at: usize,
}

impl WorkingState {
    /// To the start.
    pub fn open(&mut self, id: usize, cx: &Cx<'_>, base: &[Value]) {
        self.rows = cx.run.round(id);
        self.base.clear();
        self.base.extend_from_slice(base);
        self.at = 0;
    }

    /// Appends rows.
    pub fn next(
        &mut self,
        columns: &[(usize, usize)],
        filter: &[Expr],
        cx: &Cx<'_>,
        out: &mut Batch,
    ) -> Result<Step> {
        let end = self.rows.len().min(self.at + CHUNK);
        for i in self.at..end {
            out.push_base(&self.base);
            let target = out.last_mut();
            for (column, slot) in columns {
                target[*slot] = self.rows.row(i)[*column].clone();
            }
            keep(out, filter, cx)?;
        }
        self.at = end;
        Ok(if end == self.rows.len() { Step::Done } else { Step::More })
    }
}
