//! Joins.

use std::collections::HashMap;

use gemini_shadow_ops::{Key, Value, value::key};

use super::Batch;
use super::operators::{State, Step, full, holds};
use super::run::{CHUNK, Cx};
use crate::bind::JoinKind;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::Node;

/// The right side is run for every row of the left.
pub struct LoopState {
    left: State,
    right: State,
    rows: Batch,
    at: usize,
    left_done: bool,
    /// The right side is open for the row at `at`, and has given rows for it or not.
    open: Option<bool>,
}

impl LoopState {
    /// Not open yet.
    pub fn new(left: State, right: State, width: usize) -> LoopState {
        LoopState { left, right, rows: Batch::new(width), at: 0, left_done: false, open: None }
    }

    /// To the start.
    pub fn open(&mut self, left: &Node, cx: &Cx<'_>, base: &[Value]) -> Result<()> {
        self.rows.clear();
        self.at = 0;
        self.left_done = false;
        self.open = None;
        self.left.open(left, cx, base)
    }

    /// Appends joined rows.
    pub fn next(
        &mut self,
        left: &Node,
        right: &Node,
        kind: JoinKind,
        cx: &Cx<'_>,
        out: &mut Batch,
    ) -> Result<Step> {
        let start = out.len();
        for _ in 0..CHUNK {
            if self.at >= self.rows.len() {
                if self.left_done {
                    return Ok(Step::Done);
                }
                self.rows.clear();
                self.at = 0;
                match self.left.next(left, cx, &mut self.rows)? {
                    Step::Done => self.left_done = true,
                    Step::Mint => return Ok(Step::Mint),
                    Step::More => {}
                }
                if self.rows.is_empty() {
                    if self.left_done {
                        return Ok(Step::Done);
                    }
                    return Ok(Step::More);
                }
            }
            let row = self.rows.row(self.at);
            let found = match self.open {
                Some(found) => found,
                None => {
                    self.right.open(right, cx, row)?;
                    false
                }
            };
            let before = out.len();
            let step = self.right.next(right, cx, out)?;
            let found = found || out.len() > before;
            match step {
                Step::Mint => return Ok(Step::Mint),
                Step::More => {
                    self.open = Some(found);
                    return Ok(Step::More);
                }
                Step::Done => {}
            }
            self.open = None;
            if !found && kind == JoinKind::Left {
                out.push(self.rows.row(self.at));
            }
            self.at += 1;
            if full(out) && out.len() > start {
                break;
            }
        }
        let done = self.left_done && self.at >= self.rows.len();
        Ok(if done { Step::Done } else { Step::More })
    }
}

/// The right side is read once into a hash table.
pub struct HashState {
    left: State,
    right: State,
    base: Vec<Value>,
    phase: Phase,
    built: Batch,
    table: HashMap<Key, Vec<u32>>,
    matched: Vec<bool>,
    rows: Batch,
    at: usize,
    left_done: bool,
    emitted: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Build,
    Probe,
    Rest,
}

impl HashState {
    /// Not open yet.
    pub fn new(left: State, right: State, width: usize) -> HashState {
        HashState {
            left,
            right,
            base: Vec::new(),
            phase: Phase::Start,
            built: Batch::new(width),
            table: HashMap::new(),
            matched: Vec::new(),
            rows: Batch::new(width),
            at: 0,
            left_done: false,
            emitted: 0,
        }
    }

    /// To the start. The hash table is built anew: the right side may depend on enclosing rows.
    pub fn open(&mut self, left: &Node, cx: &Cx<'_>, base: &[Value]) -> Result<()> {
        self.base.clear();
        self.base.extend_from_slice(base);
        self.phase = Phase::Start;
        self.built.clear();
        self.table.clear();
        self.matched.clear();
        self.rows.clear();
        self.at = 0;
        self.left_done = false;
        self.emitted = 0;
        self.left.open(left, cx, base)
    }

    /// Appends joined rows.
    pub fn next(&mut self, node: &Node, cx: &Cx<'_>, out: &mut Batch) -> Result<Step> {
        let Node::Hash { left, right, kind, keys, on, right_slots } = node else {
            return Err(SqlError::internal("not a hash join"));
        };
        match self.phase {
            Phase::Start => {
                self.right.open(right, cx, &self.base.clone())?;
                self.phase = Phase::Build;
                Ok(Step::More)
            }
            Phase::Build => {
                let from = self.built.len();
                let step = self.right.next(right, cx, &mut self.built)?;
                if step == Step::Mint {
                    return Ok(step);
                }
                for i in from..self.built.len() {
                    cx.run.charge(self.built.row(i))?;
                    if let Some(key) = join_key(keys.iter().map(|k| &k.1), self.built.row(i), cx)? {
                        self.table.entry(key).or_default().push(i as u32);
                    }
                }
                if step == Step::Done {
                    self.matched = vec![false; self.built.len()];
                    self.phase = Phase::Probe;
                }
                Ok(Step::More)
            }
            Phase::Probe => {
                if self.at >= self.rows.len() {
                    if self.left_done {
                        self.phase = Phase::Rest;
                        return Ok(if *kind == JoinKind::Full { Step::More } else { Step::Done });
                    }
                    self.rows.clear();
                    self.at = 0;
                    // Nothing on the right, nothing to join with.
                    if self.built.is_empty() && *kind == JoinKind::Inner {
                        return Ok(Step::Done);
                    }
                    match self.left.next(left, cx, &mut self.rows)? {
                        Step::Done => self.left_done = true,
                        Step::Mint => return Ok(Step::Mint),
                        Step::More => {}
                    }
                }
                self.probe(*kind, keys, on, right_slots, cx, out)?;
                let done = self.left_done && self.at >= self.rows.len() && *kind != JoinKind::Full;
                Ok(if done { Step::Done } else { Step::More })
            }
            Phase::Rest => {
                let end = self.built.len().min(self.emitted + CHUNK);
                for i in self.emitted..end {
                    if !self.matched[i] && *kind == JoinKind::Full {
                        out.push(self.built.row(i));
                    }
                }
                self.emitted = end;
                Ok(if end == self.built.len() { Step::Done } else { Step::More })
            }
        }
    }

    fn probe(
        &mut self,
        kind: JoinKind,
        keys: &[(Expr, Expr)],
        on: &[Expr],
        right_slots: &[usize],
        cx: &Cx<'_>,
        out: &mut Batch,
    ) -> Result<()> {
        let eval = cx.eval();
        let start = out.len();
        while self.at < self.rows.len() {
            let row = self.rows.row(self.at);
            let mut found = false;
            if let Some(key) = join_key(keys.iter().map(|k| &k.0), row, cx)?
                && let Some(places) = self.table.get(&key)
            {
                for &place in places {
                    let place = place as usize;
                    out.push(row);
                    let target = out.last_mut();
                    let other = self.built.row(place);
                    for &slot in right_slots {
                        target[slot] = other[slot].clone();
                    }
                    if holds(on, out.last(), &eval)? {
                        found = true;
                        self.matched[place] = true;
                    } else {
                        out.truncate(out.len() - 1);
                    }
                }
            }
            if !found && kind != JoinKind::Inner {
                out.push(row);
            }
            self.at += 1;
            if full(out) && out.len() > start {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The encoded values; None if one is NULL, which equals nothing.
fn join_key<'e>(exprs: impl Iterator<Item = &'e Expr>, row: &[Value], cx: &Cx<'_>) -> Result<Option<Key>> {
    let eval = cx.eval();
    let mut values = Vec::new();
    for expr in exprs {
        let value = expr.eval(row, &eval)?;
        if value.is_null() {
            return Ok(None);
        }
        values.push(value);
    }
    Ok(Some(key::encode_key(&values)))
}
