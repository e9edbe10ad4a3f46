//! Grouping, sorting, duplicates and set operations: operators that must see rows before they give any.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use gemini_shadow_ops::{Key, Value, value::key};

use super::Batch;
use super::operators::{State, Step, count};
use super::run::{CHUNK, Cx};
use crate::bind::{AggregateCall, SetOp, SortKey};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::expr::aggregate::Accumulator;
use crate::plan::Node;

/// GROUP BY.
pub struct AggregateState {
    input: State,
    batch: Batch,
    base: Vec<Value>,
    done: bool,
    groups: Vec<Group>,
    places: HashMap<Key, usize>,
    at: usize,
}

struct Group {
    /// A row of the group, standing for what is the same in all.
    row: Vec<Value>,
    states: Vec<Running>,
}

struct Running {
    accumulator: Box<dyn Accumulator>,
    /// DISTINCT: what has been added.
    seen: Option<HashSet<Key>>,
    /// ORDER BY: what is to be added, with its sort keys.
    held: Vec<(Vec<Value>, Vec<Value>)>,
}

impl AggregateState {
    /// Not open yet.
    pub fn new(input: State, width: usize) -> AggregateState {
        AggregateState {
            input,
            batch: Batch::new(width),
            base: Vec::new(),
            done: false,
            groups: Vec::new(),
            places: HashMap::new(),
            at: 0,
        }
    }

    /// To the start.
    pub fn open(&mut self, input: &Node, cx: &Cx<'_>, base: &[Value]) -> Result<()> {
        self.batch.clear();
        self.base = base.to_vec();
        self.base.resize(self.batch.width(), Value::Null);
        self.done = false;
        self.groups.clear();
        self.places.clear();
        self.at = 0;
        self.input.open(input, cx, base)
    }

    /// Appends groups, in the order of their first rows.
    pub fn next(
        &mut self,
        input: &Node,
        keys: &[Expr],
        aggregates: &[AggregateCall],
        cx: &Cx<'_>,
        out: &mut Batch,
    ) -> Result<Step> {
        if !self.done {
            let step = self.input.next(input, cx, &mut self.batch)?;
            if step == Step::Mint {
                return Ok(step);
            }
            for i in 0..self.batch.len() {
                self.add(i, keys, aggregates, cx)?;
            }
            self.batch.clear();
            if step == Step::Done {
                self.done = true;
                if keys.is_empty() && self.groups.is_empty() {
                    let row = self.base.clone();
                    self.groups.push(Group { row, states: running(aggregates, cx) });
                }
            }
            return Ok(Step::More);
        }
        let end = self.groups.len().min(self.at + CHUNK);
        for group in &mut self.groups[self.at..end] {
            for (state, call) in group.states.iter_mut().zip(aggregates) {
                group.row[call.slot] = state.finish(call)?;
            }
            out.push(&group.row);
        }
        self.at = end;
        Ok(if end == self.groups.len() { Step::Done } else { Step::More })
    }

    fn add(&mut self, i: usize, keys: &[Expr], aggregates: &[AggregateCall], cx: &Cx<'_>) -> Result<()> {
        let eval = cx.eval();
        let row = self.batch.row(i);
        let place = if keys.is_empty() {
            if self.groups.is_empty() {
                self.groups.push(Group { row: row.to_vec(), states: running(aggregates, cx) });
            }
            0
        } else {
            let values: Vec<Value> = keys.iter().map(|k| k.eval(row, &eval)).collect::<Result<_>>()?;
            let key = key::encode_key(&values);
            match self.places.get(&key) {
                Some(place) => *place,
                None => {
                    cx.run.charge(row)?;
                    self.groups.push(Group { row: row.to_vec(), states: running(aggregates, cx) });
                    self.places.insert(key, self.groups.len() - 1);
                    self.groups.len() - 1
                }
            }
        };
        let mut args = Vec::new();
        for (state, call) in self.groups[place].states.iter_mut().zip(aggregates) {
            if let Some(filter) = &call.filter
                && !filter.holds(row, &eval)?
            {
                continue;
            }
            args.clear();
            for arg in &call.args {
                args.push(arg.eval(row, &eval)?);
            }
            if let Some(seen) = &mut state.seen {
                if !seen.insert(key::encode_key(&args)) {
                    continue;
                }
                cx.run.charge(&args)?;
            }
            if call.order.is_empty() {
                state.accumulator.add(&args)?;
            } else {
                let by: Vec<Value> =
                    call.order.iter().map(|(e, ..)| e.eval(row, &eval)).collect::<Result<_>>()?;
                cx.run.charge(&args)?;
                state.held.push((by, args.clone()));
            }
        }
        Ok(())
    }
}

fn running(aggregates: &[AggregateCall], cx: &Cx<'_>) -> Vec<Running> {
    let eval = cx.eval();
    aggregates
        .iter()
        .map(|call| Running {
            accumulator: call.aggregate.accumulator(&eval),
            seen: call.distinct.then(HashSet::new),
            held: Vec::new(),
        })
        .collect()
}

impl Running {
    fn finish(&mut self, call: &AggregateCall) -> Result<Value> {
        let mut held = std::mem::take(&mut self.held);
        held.sort_by(|a, b| {
            for (i, (_, descending, nulls_first)) in call.order.iter().enumerate() {
                let order = compare(&a.0[i], &b.0[i], *descending, *nulls_first);
                if order.is_ne() {
                    return order;
                }
            }
            Ordering::Equal
        });
        for (_, args) in held {
            self.accumulator.add(&args)?;
        }
        self.accumulator.finish()
    }
}

/// Two values by a sort key's direction.
pub fn compare(a: &Value, b: &Value, descending: bool, nulls_first: bool) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, false) => {
            let order = a.compare(b);
            if descending { order.reverse() } else { order }
        }
    }
}

fn compare_rows(a: &[Value], b: &[Value], keys: &[SortKey]) -> Ordering {
    for key in keys {
        let order = compare(&a[key.column], &b[key.column], key.descending, key.nulls_first);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// ORDER BY.
pub struct SortState {
    input: State,
    rows: Batch,
    order: Vec<u32>,
    done: bool,
    at: usize,
    top: Option<usize>,
}

impl SortState {
    /// Not open yet.
    pub fn new(input: State, width: usize) -> SortState {
        SortState { input, rows: Batch::new(width), order: Vec::new(), done: false, at: 0, top: None }
    }

    /// To the start.
    pub fn open(&mut self, input: &Node, cx: &Cx<'_>, base: &[Value]) -> Result<()> {
        self.rows.clear();
        self.order.clear();
        self.done = false;
        self.at = 0;
        self.top = None;
        self.input.open(input, cx, base)
    }

    /// Appends rows in order.
    pub fn next(
        &mut self,
        input: &Node,
        keys: &[SortKey],
        top: Option<&(Expr, Option<Expr>)>,
        cx: &Cx<'_>,
        out: &mut Batch,
    ) -> Result<Step> {
        if !self.done {
            if let (None, Some((limit, offset))) = (self.top, top) {
                let limit = count(limit, cx, "LIMIT")?;
                let offset = match offset {
                    Some(offset) => count(offset, cx, "OFFSET")?.unwrap_or(0),
                    None => 0,
                };
                self.top = limit.map(|l| usize::try_from(l.saturating_add(offset)).unwrap_or(usize::MAX));
            }
            let from = self.rows.len();
            let step = self.input.next(input, cx, &mut self.rows)?;
            if step == Step::Mint {
                return Ok(step);
            }
            match self.top {
                Some(top) if top < 1 << 16 => {
                    if self.rows.len() > top * 2 + CHUNK {
                        self.shrink(keys, top);
                    }
                }
                _ => {
                    for i in from..self.rows.len() {
                        cx.run.charge(self.rows.row(i))?;
                    }
                }
            }
            if step == Step::Done {
                self.done = true;
                self.sort(keys);
            }
            return Ok(Step::More);
        }
        let end = self.order.len().min(self.at + CHUNK);
        for &place in &self.order[self.at..end] {
            out.push(self.rows.row(place as usize));
        }
        self.at = end;
        Ok(if end == self.order.len() { Step::Done } else { Step::More })
    }

    fn sort(&mut self, keys: &[SortKey]) {
        let rows = &self.rows;
        self.order = (0..rows.len() as u32).collect();
        self.order.sort_by(|a, b| compare_rows(rows.row(*a as usize), rows.row(*b as usize), keys));
    }

    /// Keeps the first `top` rows: no later row can bring back a dropped one.
    fn shrink(&mut self, keys: &[SortKey], top: usize) {
        self.sort(keys);
        let mut kept = Batch::new(self.rows.width());
        for &place in self.order.iter().take(top) {
            kept.push(self.rows.row(place as usize));
        }
        self.rows = kept;
        self.order.clear();
    }
}

/// DISTINCT.
pub struct DistinctState {
    input: State,
    seen: HashSet<Key>,
}

impl DistinctState {
    /// Not open yet.
    pub fn new(input: State) -> DistinctState {
        DistinctState { input, seen: HashSet::new() }
    }

    /// To the start.
    pub fn open(&mut self, input: &Node, cx: &Cx<'_>, base: &[Value]) -> Result<()> {
        self.seen.clear();
        self.input.open(input, cx, base)
    }

    /// Appends rows that have not been seen.
    pub fn next(&mut self, input: &Node, on: &[usize], cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        let start = out.len();
        let step = self.input.next(input, cx, out)?;
        let seen = &mut self.seen;
        out.retain_from(start, |row| {
            let values: Vec<Value> = on.iter().map(|&i| row[i].clone()).collect();
            let new = seen.insert(key::encode_key(&values));
            if new {
                cx.run.charge(&values)?;
            }
            Ok(new)
        })?;
        Ok(step)
    }
}

/// UNION, INTERSECT, EXCEPT.
pub struct SetState {
    left: State,
    right: State,
    left_batch: Batch,
    right_batch: Batch,
    /// The right side's rows and how often each.
    counts: HashMap<Key, u64>,
    seen: HashSet<Key>,
    phase: u8,
}

impl SetState {
    /// Not open yet.
    pub fn new(left: State, right: State, left_width: usize, right_width: usize) -> SetState {
        SetState {
            left,
            right,
            left_batch: Batch::new(left_width),
            right_batch: Batch::new(right_width),
            counts: HashMap::new(),
            seen: HashSet::new(),
            phase: 0,
        }
    }

    /// To the start.
    pub fn open(&mut self, left: &crate::plan::Plan, right: &crate::plan::Plan, cx: &Cx<'_>) -> Result<()> {
        self.left_batch.clear();
        self.right_batch.clear();
        self.counts.clear();
        self.seen.clear();
        self.phase = 0;
        self.left.open(&left.node, cx, &[])?;
        self.right.open(&right.node, cx, &[])
    }

    /// Appends rows.
    pub fn next(&mut self, node: &Node, cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        let Node::Set { op, all, left, right, left_casts, right_casts } = node else {
            return Err(SqlError::internal("not a set operation"));
        };
        // INTERSECT and EXCEPT count the right side first; UNION passes it on last.
        if *op != SetOp::Union && self.phase == 0 {
            let step = self.right.next(&right.node, cx, &mut self.right_batch)?;
            for row in self.right_batch.iter() {
                let row = casted(row, right_casts, cx)?;
                cx.run.charge(&row)?;
                *self.counts.entry(key::encode_key(&row)).or_default() += 1;
            }
            self.right_batch.clear();
            match step {
                Step::Done => self.phase = 1,
                Step::Mint => return Ok(step),
                Step::More => {}
            }
            return Ok(Step::More);
        }
        let from_right = *op == SetOp::Union && self.phase == 1;
        let (step, batch, casts) = if from_right {
            (self.right.next(&right.node, cx, &mut self.right_batch)?, &mut self.right_batch, right_casts)
        } else {
            (self.left.next(&left.node, cx, &mut self.left_batch)?, &mut self.left_batch, left_casts)
        };
        if step == Step::Mint {
            return Ok(step);
        }
        for row in batch.iter() {
            let row = casted(row, casts, cx)?;
            let keep = match (op, all) {
                (SetOp::Union, true) => true,
                (SetOp::Union, false) => {
                    let new = self.seen.insert(key::encode_key(&row));
                    if new {
                        cx.run.charge(&row)?;
                    }
                    new
                }
                (SetOp::Intersect, all) => {
                    let key = key::encode_key(&row);
                    match self.counts.get_mut(&key) {
                        Some(n) if *n > 0 => {
                            *n = if *all { *n - 1 } else { 0 };
                            true
                        }
                        _ => false,
                    }
                }
                (SetOp::Except, true) => match self.counts.get_mut(&key::encode_key(&row)) {
                    Some(n) if *n > 0 => {
                        *n -= 1;
                        false
                    }
                    _ => true,
                },
                (SetOp::Except, false) => {
                    let key = key::encode_key(&row);
                    !self.counts.contains_key(&key) && self.seen.insert(key)
                }
            };
            if keep {
                out.push(&row);
            }
        }
        batch.clear();
        match (step, op, from_right) {
            (Step::Done, SetOp::Union, false) => {
                self.phase = 1;
                Ok(Step::More)
            }
            (step, ..) => Ok(step),
        }
    }
}

/// A row after the casts, if there are any.
pub fn casted(row: &[Value], casts: &[Expr], cx: &Cx<'_>) -> Result<Vec<Value>> {
    if casts.is_empty() {
        return Ok(row.to_vec());
    }
    let eval = cx.eval();
    casts.iter().map(|c| c.eval(row, &eval)).collect()
}
