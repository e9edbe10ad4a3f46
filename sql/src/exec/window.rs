//! Window functions: rows are gathered, sorted into partitions, and each is given what its calls see around it.
//!
//! ```text
//!   input ─► rows ─┬─ first window: sort, then row by row ─┬─ next window … ─► rows in the last one's order
//!                  └─ results go into the rows' own slots ──┘
//! ```
//!
//! A window's rows are looked at through a permutation, `order`; a *place* is an index into it. A partition is a range
//! of places, a frame a range within its partition, peers are the rows of a partition that its order does not tell apart.
//! An aggregate over a frame goes on from the frame of the row before where that one only grew (or, for counts and sums
//! of integers, moved on); otherwise it is computed anew, which for wide moving frames takes rows × width.

use gemini_shadow_ops::Value;

use super::Batch;
use super::frame::{Partition, Sorted, ends, sizes};
use super::operators::{State, Step};
use super::run::{CHUNK, Cx};
use crate::bind::{Window, WindowCall};
use crate::error::{Result, SqlError};
use crate::expr::aggregate::{Accumulator, Aggregate};
use crate::expr::window::WindowFunction;
use crate::plan::Node;
use crate::sqlstate;

/// Window functions of one block.
pub struct WindowState {
    input: State,
    rows: Batch,
    /// All rows are there.
    gathered: bool,
    /// The window being computed.
    window: usize,
    sorted: Option<Sorted>,
    partition: Option<(Partition, Vec<Moving>)>,
    /// The order in which rows are given.
    order: Vec<u32>,
    at: usize,
}

/// A call as it moves from row to row of a partition.
struct Moving {
    /// The frame's distances, if it has any: (start, end), rows or groups.
    sizes: (i64, i64),
    accumulator: Option<Box<dyn Accumulator>>,
    /// What the accumulator has seen: places.
    seen: (usize, usize),
    /// Its result.
    value: Value,
}

impl WindowState {
    /// Not open yet.
    pub fn new(input: State, width: usize) -> WindowState {
        WindowState {
            input,
            rows: Batch::new(width),
            gathered: false,
            window: 0,
            sorted: None,
            partition: None,
            order: Vec::new(),
            at: 0,
        }
    }

    /// To the start.
    pub fn open(&mut self, input: &Node, cx: &Cx<'_>, base: &[Value]) -> Result<()> {
        self.rows.clear();
        self.gathered = false;
        self.window = 0;
        self.sorted = None;
        self.partition = None;
        self.order.clear();
        self.at = 0;
        self.input.open(input, cx, base)
    }

    /// Appends rows with their results.
    pub fn next(&mut self, input: &Node, windows: &[Window], cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        if !self.gathered {
            let from = self.rows.len();
            let step = self.input.next(input, cx, &mut self.rows)?;
            if step == Step::Mint {
                return Ok(step);
            }
            for i in from..self.rows.len() {
                cx.run.charge(self.rows.row(i))?;
            }
            if step == Step::Done {
                self.gathered = true;
                self.order = (0..self.rows.len() as u32).collect();
            }
            return Ok(Step::More);
        }
        if let Some(window) = windows.get(self.window) {
            self.compute(window, cx)?;
            return Ok(Step::More);
        }
        let end = self.order.len().min(self.at + CHUNK);
        for &row in &self.order[self.at..end] {
            out.push(self.rows.row(row as usize));
        }
        self.at = end;
        Ok(if end == self.order.len() { Step::Done } else { Step::More })
    }

    /// Sorts, or computes some rows.
    fn compute(&mut self, window: &Window, cx: &Cx<'_>) -> Result<()> {
        let Some(sorted) = &self.sorted else {
            let order = std::mem::take(&mut self.order);
            self.sorted = Some(Sorted::new(&self.rows, order, window, cx)?);
            return Ok(());
        };
        let mut work = 0;
        while work < CHUNK {
            let next = self.partition.as_ref().map_or(0, |(partition, _)| partition.end);
            let done = self.partition.as_ref().is_none_or(|(partition, _)| partition.at == partition.end);
            if done {
                if next == self.rows.len() {
                    if let Some(sorted) = self.sorted.take() {
                        self.order = sorted.order;
                    }
                    self.partition = None;
                    self.window += 1;
                    return Ok(());
                }
                let partition = sorted.partition(next);
                let calls = window.calls.iter().map(|call| Moving::new(call, cx)).collect::<Result<_>>()?;
                self.partition = Some((partition, calls));
            }
            let Some((partition, calls)) = &mut self.partition else { return Ok(()) };
            let row = sorted.row(partition.at);
            for (moving, call) in calls.iter_mut().zip(&window.calls) {
                let value = moving.value(call, partition, sorted, &self.rows, cx)?;
                if value.heap_size() > 0 {
                    cx.run.charge(std::slice::from_ref(&value))?;
                }
                self.rows.row_mut(row)[call.slot] = value;
            }
            partition.advance();
            work += 1;
        }
        Ok(())
    }
}

impl Moving {
    fn new(call: &WindowCall, cx: &Cx<'_>) -> Result<Moving> {
        let sizes = sizes(&call.frame, cx)?;
        Ok(Moving { sizes, accumulator: None, seen: (0, 0), value: Value::Null })
    }

    /// The call's value for the partition's current row.
    fn value(
        &mut self,
        call: &WindowCall,
        partition: &Partition,
        sorted: &Sorted,
        rows: &Batch,
        cx: &Cx<'_>,
    ) -> Result<Value> {
        use WindowFunction as W;
        let eval = cx.eval();
        let row = |place: usize| rows.row(sorted.row(place));
        let arg = |n: usize, place: usize| match call.args.get(n) {
            Some(arg) => arg.eval(row(place), &eval),
            None => Ok(Value::Null),
        };
        let (start, at, count) = (partition.start, partition.at, partition.end - partition.start);
        let (first_peer, end_peer) = partition.peers();
        Ok(match &call.function {
            W::RowNumber => Value::Int8((at - start) as i64 + 1),
            W::Rank => Value::Int8((first_peer - start) as i64 + 1),
            W::DenseRank => Value::Int8(partition.group as i64 + 1),
            W::PercentRank if count == 1 => Value::Float8(0.0),
            W::PercentRank => Value::Float8((first_peer - start) as f64 / (count - 1) as f64),
            W::CumeDist => Value::Float8((end_peer - start) as f64 / count as f64),
            W::Ntile => ntile(&arg(0, start)?, at - start, count)?,
            W::Lag | W::Lead => {
                let distance = match call.args.len() {
                    1 => Value::Int4(1),
                    _ => arg(1, at)?,
                };
                let Some(distance) = distance.as_i64() else { return Ok(Value::Null) };
                let signed = if call.function == W::Lag { -distance } else { distance };
                let target = at as i64 + signed;
                if target >= start as i64 && target < partition.end as i64 {
                    arg(0, target as usize)?
                } else {
                    arg(2, at)?
                }
            }
            W::FirstValue | W::LastValue | W::NthValue | W::Aggregate(_) => {
                let (lo, hi) = ends(&call.frame, self.sizes, partition, sorted, rows, cx)?;
                match &call.function {
                    W::Aggregate(aggregate) => {
                        return self.aggregate(call, aggregate, (lo, hi), sorted, rows, cx);
                    }
                    W::FirstValue if lo < hi => arg(0, lo)?,
                    W::LastValue if lo < hi => arg(0, hi - 1)?,
                    W::NthValue => nth(&arg(1, at)?)?
                        .filter(|n| *n < hi.saturating_sub(lo))
                        .map_or(Ok(Value::Null), |n| arg(0, lo + n))?,
                    _ => Value::Null,
                }
            }
        })
    }

    /// An aggregate over the places lo..hi.
    fn aggregate(
        &mut self,
        call: &WindowCall,
        aggregate: &Aggregate,
        (lo, hi): (usize, usize),
        sorted: &Sorted,
        rows: &Batch,
        cx: &Cx<'_>,
    ) -> Result<Value> {
        let hi = hi.max(lo);
        if self.accumulator.is_some() && self.seen == (lo, hi) {
            return Ok(self.value.clone());
        }
        let eval = cx.eval();
        let load = |place: usize| -> Result<Option<Vec<Value>>> {
            if place.is_multiple_of(CHUNK) {
                cx.run.context.check()?;
            }
            let row = rows.row(sorted.row(place));
            if let Some(filter) = &call.filter
                && !filter.holds(row, &eval)?
            {
                return Ok(None);
            }
            Ok(Some(call.args.iter().map(|arg| arg.eval(row, &eval)).collect::<Result<_>>()?))
        };
        let mut accumulator = self.accumulator.take();
        let (from, to) = self.seen;
        let mut goes_on = lo >= from && lo <= to && hi >= to;
        if let Some(running) = &mut accumulator {
            for place in from..lo {
                if !goes_on {
                    break;
                }
                if let Some(args) = load(place)? {
                    goes_on = running.remove(&args);
                }
            }
        }
        let mut next = to;
        let mut running = match accumulator {
            Some(running) if goes_on => running,
            _ => {
                next = lo;
                aggregate.start()
            }
        };
        for place in next..hi {
            if let Some(args) = load(place)? {
                running.add(&args)?;
            }
        }
        self.seen = (lo, hi);
        self.value = running.finish()?;
        self.accumulator = Some(running);
        Ok(self.value.clone())
    }
}

/// The first parts are one row longer, if the rows do not divide.
fn ntile(parts: &Value, at: usize, count: usize) -> Result<Value> {
    let Some(parts) = parts.as_i64() else { return Ok(Value::Null) };
    let Some(parts) = usize::try_from(parts).ok().filter(|n| *n > 0) else {
        return Err(SqlError::new(
            sqlstate::INVALID_ARGUMENT_FOR_NTILE_FUNCTION,
            "argument of ntile must be greater than zero",
        ));
    };
    let (size, longer) = (count / parts, count % parts);
    let part =
        if at < longer * (size + 1) { at / (size + 1) } else { longer + (at - longer * (size + 1)) / size };
    Ok(Value::Int4(part as i32 + 1))
}

/// nth_value's number, counted from 0.
fn nth(number: &Value) -> Result<Option<usize>> {
    match number.as_i64() {
        None => Ok(None),
        Some(n) if n > 0 => Ok(usize::try_from(n - 1).ok()),
        Some(_) => Err(SqlError::new(
            sqlstate::INVALID_ARGUMENT_FOR_NTH_VALUE_FUNCTION,
            "argument of nth_value must be greater than zero",
        )),
    }
}
