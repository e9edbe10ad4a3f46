//! Operator states: what an execution remembers between two steps, in the shape of the plan's tree.
//!
//! `open` sets an operator to its start, with a *base*: the flat row that the operators before it in a join have filled
//! (all NULL for the first). `next` appends rows to a batch and says whether there are more; it does a bounded
//! amount of work, so it may append nothing and still have more.

use gemini_shadow_ops::Value;

use super::group::{AggregateState, DistinctState, SetState, SortState};
use super::join::{HashState, LoopState};
use super::recursive::{RecursiveState, WorkingState};
use super::run::{CHUNK, Cx};
use super::scan::{ScanState, function_rows};
use super::window::WindowState;
use super::{BATCH, Batch};
use crate::error::{Result, SqlError};
use crate::expr::{Expr, Outer};
use crate::plan::{Node, Plan};
use crate::sqlstate;

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more rows.
    More,
    /// There are none.
    Done,
    /// A sequence's value must be minted first ([`super::run::Run::wanted`] names it), then the step is run again.
    Mint,
}

/// An operator's state.
pub enum State {
    Empty {
        base: Vec<Value>,
        done: bool,
    },
    Scan(Box<ScanState>),
    /// Virtual tables and functions: all rows at once, already on the base.
    Rows {
        rows: Batch,
        at: usize,
    },
    Derived(Box<DerivedState>),
    Filter(Box<State>),
    Loop(Box<LoopState>),
    Hash(Box<HashState>),
    Aggregate(Box<AggregateState>),
    Window(Box<WindowState>),
    Project(Box<ProjectState>),
    Sort(Box<SortState>),
    Distinct(Box<DistinctState>),
    Limit(Box<LimitState>),
    Values {
        at: usize,
    },
    Set(Box<SetState>),
    Recursive(Box<RecursiveState>),
    Working(Box<WorkingState>),
    Lock {
        input: Box<State>,
    },
    Trim(Box<ProjectState>),
}

/// A query in FROM.
pub struct DerivedState {
    inner: State,
    base: Vec<Value>,
    batch: Batch,
}

/// An operator that reads rows of another width.
pub struct ProjectState {
    input: State,
    batch: Batch,
    /// The batch has been read and waits for a minted value.
    pending: Option<Step>,
}

/// LIMIT, OFFSET.
pub struct LimitState {
    input: State,
    skip: u64,
    left: u64,
}

impl State {
    /// For a node whose rows are `width` wide.
    pub fn new(node: &Node, width: usize) -> State {
        match node {
            Node::Empty => State::Empty { base: Vec::new(), done: false },
            Node::Scan(_) => State::Scan(Box::default()),
            Node::Virtual { .. } | Node::Function { .. } => State::Rows { rows: Batch::new(width), at: 0 },
            Node::Derived { plan, .. } => State::Derived(Box::new(DerivedState {
                inner: State::of(plan),
                base: Vec::new(),
                batch: Batch::new(plan.width),
            })),
            Node::Filter { input, .. } => State::Filter(Box::new(State::new(input, width))),
            Node::Loop { left, right, .. } => State::Loop(Box::new(LoopState::new(
                State::new(left, width),
                State::new(right, width),
                width,
            ))),
            Node::Hash { left, right, .. } => State::Hash(Box::new(HashState::new(
                State::new(left, width),
                State::new(right, width),
                width,
            ))),
            Node::Aggregate { input, .. } => {
                State::Aggregate(Box::new(AggregateState::new(State::new(input, width), width)))
            }
            Node::Window { input, .. } => {
                State::Window(Box::new(WindowState::new(State::new(input, width), width)))
            }
            Node::Project { input, input_width, .. } => State::Project(Box::new(ProjectState {
                input: State::new(input, *input_width),
                batch: Batch::new(*input_width),
                pending: None,
            })),
            Node::Sort { input, .. } => {
                State::Sort(Box::new(SortState::new(State::new(input, width), width)))
            }
            Node::Distinct { input, .. } => {
                State::Distinct(Box::new(DistinctState::new(State::new(input, width))))
            }
            Node::Limit { input, .. } => {
                State::Limit(Box::new(LimitState { input: State::new(input, width), skip: 0, left: 0 }))
            }
            Node::Values { .. } => State::Values { at: 0 },
            Node::Set { left, right, .. } => State::Set(Box::new(SetState::new(
                State::of(left),
                State::of(right),
                left.width,
                right.width,
            ))),
            Node::Recursive { base, step, .. } => State::Recursive(Box::new(RecursiveState::new(
                State::of(base),
                State::of(step),
                base.width,
                step.width,
            ))),
            Node::Working { .. } => State::Working(Box::default()),
            Node::Lock { input, .. } => State::Lock { input: Box::new(State::new(input, width)) },
            Node::Trim { input, input_width, .. } => State::Trim(Box::new(ProjectState {
                input: State::new(input, *input_width),
                batch: Batch::new(*input_width),
                pending: None,
            })),
        }
    }

    /// For a whole query.
    pub fn of(plan: &Plan) -> State {
        State::new(&plan.node, plan.width)
    }

    /// Sets the operator to its start. An empty base stands for a row of NULLs.
    pub fn open(&mut self, node: &Node, cx: &Cx<'_>, base: &[Value]) -> Result<()> {
        match (self, node) {
            (State::Empty { base: own, done }, Node::Empty) => {
                own.clear();
                own.extend_from_slice(base);
                *done = false;
                Ok(())
            }
            (State::Scan(state), Node::Scan(scan)) => state.open(scan, cx, base),
            (State::Rows { rows, at }, Node::Virtual { table, columns, filter, .. }) => {
                rows.clear();
                *at = 0;
                for row in table.rows(&cx.run.schema, &cx.run.context)? {
                    cx.run.charge(&row)?;
                    rows.push_base(base);
                    let out = rows.last_mut();
                    for (column, slot) in columns {
                        if let Some(value) = row.get(*column) {
                            out[*slot] = value.clone();
                        }
                    }
                    keep(rows, filter, cx)?;
                }
                Ok(())
            }
            (State::Rows { rows, at }, Node::Function { calls, ordinality, filter, .. }) => {
                rows.clear();
                *at = 0;
                let found: Vec<Vec<Value>> =
                    calls.iter().map(|call| function_rows(call, cx, base)).collect::<Result<_>>()?;
                for n in 0..found.iter().map(Vec::len).max().unwrap_or(0) {
                    rows.push_base(base);
                    let out = rows.last_mut();
                    for (call, items) in calls.iter().zip(&found) {
                        if let Some(slot) = call.value {
                            out[slot] = items.get(n).cloned().unwrap_or(Value::Null);
                        }
                    }
                    if let Some(slot) = ordinality {
                        out[*slot] = Value::Int8(n as i64 + 1);
                    }
                    keep(rows, filter, cx)?;
                }
                Ok(())
            }
            (State::Derived(state), Node::Derived { plan, lateral, .. }) => {
                state.base.clear();
                state.base.extend_from_slice(base);
                state.batch.clear();
                let outer;
                let cx = match lateral {
                    true => {
                        outer = Outer { row: base, parent: cx.outer };
                        Cx { run: cx.run, outer: Some(&outer) }
                    }
                    false => *cx,
                };
                state.inner.open(&plan.node, &cx, &[])
            }
            (State::Filter(input), Node::Filter { input: node, .. }) => input.open(node, cx, base),
            (State::Loop(state), Node::Loop { left, .. }) => state.open(left, cx, base),
            (State::Hash(state), Node::Hash { left, .. }) => state.open(left, cx, base),
            (State::Aggregate(state), Node::Aggregate { input, .. }) => state.open(input, cx, base),
            (State::Window(state), Node::Window { input, .. }) => state.open(input, cx, base),
            (State::Project(state), Node::Project { input, .. })
            | (State::Trim(state), Node::Trim { input, .. }) => {
                state.batch.clear();
                state.pending = None;
                state.input.open(input, cx, base)
            }
            (State::Sort(state), Node::Sort { input, .. }) => state.open(input, cx, base),
            (State::Distinct(state), Node::Distinct { input, .. }) => state.open(input, cx, base),
            (State::Limit(state), Node::Limit { input, limit, offset }) => {
                state.left = match limit {
                    Some(limit) => count(limit, cx, "LIMIT")?.unwrap_or(u64::MAX),
                    None => u64::MAX,
                };
                state.skip = match offset {
                    Some(offset) => count(offset, cx, "OFFSET")?.unwrap_or(0),
                    None => 0,
                };
                state.input.open(input, cx, base)
            }
            (State::Values { at }, Node::Values { .. }) => {
                *at = 0;
                Ok(())
            }
            (State::Set(state), Node::Set { left, right, .. }) => state.open(left, right, cx),
            (State::Recursive(state), Node::Recursive { id, base, .. }) => state.open(*id, base, cx),
            (State::Working(state), Node::Working { id, .. }) => {
                state.open(*id, cx, base);
                Ok(())
            }
            (State::Lock { input }, Node::Lock { input: node, .. }) => input.open(node, cx, base),
            _ => Err(mismatch()),
        }
    }

    /// Appends rows to `out`.
    pub fn next(&mut self, node: &Node, cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        match (self, node) {
            (State::Empty { base, done }, Node::Empty) => {
                if !std::mem::replace(done, true) {
                    out.push_base(base);
                }
                Ok(Step::Done)
            }
            (State::Scan(state), Node::Scan(scan)) => state.next(scan, cx, out),
            (State::Rows { rows, at }, Node::Virtual { .. } | Node::Function { .. }) => {
                let end = rows.len().min(*at + CHUNK);
                for i in *at..end {
                    out.push(rows.row(i));
                }
                *at = end;
                Ok(if end == rows.len() { Step::Done } else { Step::More })
            }
            (State::Derived(state), Node::Derived { plan, columns, lateral, filter, .. }) => {
                let outer;
                let inner = match lateral {
                    true => {
                        outer = Outer { row: &state.base, parent: cx.outer };
                        Cx { run: cx.run, outer: Some(&outer) }
                    }
                    false => *cx,
                };
                let step = state.inner.next(&plan.node, &inner, &mut state.batch)?;
                if step == Step::Mint {
                    return Ok(step);
                }
                for row in state.batch.iter() {
                    out.push_base(&state.base);
                    let target = out.last_mut();
                    for (column, slot) in columns {
                        target[*slot] = row[*column].clone();
                    }
                    keep(out, filter, cx)?;
                }
                state.batch.clear();
                Ok(step)
            }
            (State::Filter(input), Node::Filter { input: node, predicate }) => {
                let start = out.len();
                let step = input.next(node, cx, out)?;
                let eval = cx.eval();
                out.retain_from(start, |row| holds(predicate, row, &eval))?;
                Ok(step)
            }
            (State::Loop(state), Node::Loop { left, right, kind, .. }) => {
                state.next(left, right, *kind, cx, out)
            }
            (State::Hash(state), node @ Node::Hash { .. }) => state.next(node, cx, out),
            (State::Aggregate(state), Node::Aggregate { input, keys, aggregates }) => {
                state.next(input, keys, aggregates, cx, out)
            }
            (State::Window(state), Node::Window { input, windows }) => state.next(input, windows, cx, out),
            (State::Project(state), Node::Project { input, exprs, .. }) => state.next(input, exprs, cx, out),
            (State::Sort(state), Node::Sort { input, keys, top }) => {
                state.next(input, keys, top.as_ref(), cx, out)
            }
            (State::Distinct(state), Node::Distinct { input, on }) => state.next(input, on, cx, out),
            (State::Limit(state), Node::Limit { input, .. }) => state.next(input, cx, out),
            (State::Values { at }, Node::Values { rows }) => {
                let eval = cx.eval();
                let end = rows.len().min(*at + CHUNK);
                let start = out.len();
                cx.run.rewind();
                for row in &rows[*at..end] {
                    for expr in row {
                        match expr.eval(&[], &eval) {
                            Ok(value) => out.push_value(value),
                            Err(error) => return minting(error, cx, out, start),
                        }
                    }
                    out.close_row();
                }
                cx.run.settle();
                *at = end;
                Ok(if end == rows.len() { Step::Done } else { Step::More })
            }
            (State::Set(state), node @ Node::Set { .. }) => state.next(node, cx, out),
            (State::Recursive(state), node @ Node::Recursive { .. }) => state.next(node, cx, out),
            (State::Working(state), Node::Working { columns, filter, .. }) => {
                state.next(columns, filter, cx, out)
            }
            (State::Lock { input }, Node::Lock { input: node, locks }) => {
                let start = out.len();
                let step = input.next(node, cx, out)?;
                let mut noted = cx.run.locks.borrow_mut();
                for i in start..out.len() {
                    for (table, column) in locks {
                        if let Value::Bytea(bytes) = &out.row(i)[*column] {
                            noted.push((table.clone(), gemini_shadow_ops::Key(bytes.clone())));
                        }
                    }
                }
                Ok(step)
            }
            (State::Trim(state), Node::Trim { input, width, .. }) => {
                let step = state.input.next(input, cx, &mut state.batch)?;
                for row in state.batch.iter() {
                    out.push(&row[..*width]);
                }
                state.batch.clear();
                Ok(step)
            }
            _ => Err(mismatch()),
        }
    }
}

impl ProjectState {
    fn next(&mut self, input: &Node, exprs: &[Expr], cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        let step = match self.pending.take() {
            Some(step) => step,
            None => self.input.next(input, cx, &mut self.batch)?,
        };
        if step == Step::Mint {
            return Ok(step);
        }
        let eval = cx.eval();
        let start = out.len();
        cx.run.rewind();
        for row in self.batch.iter() {
            for expr in exprs {
                let value = match &expr.kind {
                    crate::expr::ExprKind::Column(slot) => row[*slot].clone(),
                    _ => match expr.eval(row, &eval) {
                        Ok(value) => value,
                        Err(error) => {
                            let answer = minting(error, cx, out, start);
                            if answer.is_ok() {
                                self.pending = Some(step);
                            }
                            return answer;
                        }
                    },
                };
                out.push_value(value);
            }
            out.close_row();
        }
        cx.run.settle();
        self.batch.clear();
        Ok(step)
    }
}

impl LimitState {
    fn next(&mut self, input: &Node, cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        if self.left == 0 {
            return Ok(Step::Done);
        }
        let start = out.len();
        let step = self.input.next(input, cx, out)?;
        let new = (out.len() - start) as u64;
        let skipped = self.skip.min(new);
        if skipped > 0 {
            out.remove(start, start + skipped as usize);
            self.skip -= skipped;
        }
        let kept = (new - skipped).min(self.left);
        out.truncate(start + kept as usize);
        self.left -= kept;
        Ok(if self.left == 0 { Step::Done } else { step })
    }
}

/// An error that asks for a minted value takes back the rows of the step; any other stands.
fn minting(error: SqlError, cx: &Cx<'_>, out: &mut Batch, start: usize) -> Result<Step> {
    match cx.run.peek_wanted() {
        true => {
            out.truncate(start);
            Ok(Step::Mint)
        }
        false => Err(error),
    }
}

/// Drops the last row unless all conditions hold.
pub fn keep(out: &mut Batch, filter: &[Expr], cx: &Cx<'_>) -> Result<bool> {
    if filter.is_empty() {
        return Ok(true);
    }
    let held = holds(filter, out.last(), &cx.eval())?;
    if !held {
        out.truncate(out.len() - 1);
    }
    Ok(held)
}

/// Whether all conditions hold.
pub fn holds(filter: &[Expr], row: &[Value], eval: &crate::expr::EvalContext<'_>) -> Result<bool> {
    for condition in filter {
        if !condition.holds(row, eval)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// LIMIT's and OFFSET's numbers; None for NULL.
pub fn count(expr: &Expr, cx: &Cx<'_>, what: &str) -> Result<Option<u64>> {
    match expr.eval(&[], &cx.eval())? {
        Value::Null => Ok(None),
        value => match value.as_i64().map(u64::try_from) {
            Some(Ok(n)) => Ok(Some(n)),
            _ => Err(SqlError::new(
                if what == "LIMIT" {
                    sqlstate::INVALID_ROW_COUNT_IN_LIMIT_CLAUSE
                } else {
                    sqlstate::INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE
                },
                format!("{what} must not be negative"),
            )),
        },
    }
}

fn mismatch() -> SqlError {
    SqlError::internal("an operator's state does not belong to its plan")
}

/// A batch is full.
pub fn full(out: &Batch) -> bool {
    out.len() >= BATCH
}
