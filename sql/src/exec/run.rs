//! One execution: parameters, view, subqueries, minted values; what expressions see of it.
//!
//! An uncorrelated subquery runs once and is kept, with a hash table of its rows if it is asked whether it contains
//! something. nextval takes from a pool that the cursor fills: an empty pool makes the expression fail with a mark, the
//! operator keeps its input, and is run again once the value has been minted.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{DataType, Key, Schema, SequenceId, Table, Value};

use super::operators::{State, Step};
use super::view::View;
use super::{BATCH, Batch, ExecContext};
use crate::error::{Result, SqlError};
use crate::expr::context::EachRow;
use crate::expr::{Environment, EvalContext, Outer, SessionInfo};
use crate::plan::Prepared;
use crate::sqlstate;

/// Bytes that sorts, hash tables and kept subqueries of one statement may hold.
const MEMORY: usize = 512 << 20;

/// One execution of a statement.
pub struct Run {
    pub prepared: Arc<Prepared>,
    pub params: Vec<Value>,
    pub context: ExecContext,
    pub view: View,
    pub schema: Arc<Schema>,
    /// Rows to lock, on their way to the transaction.
    pub locks: RefCell<Vec<(Arc<Table>, Key)>>,
    cache: RefCell<Vec<Kept>>,
    pool: RefCell<Pool>,
    memory: Cell<usize>,
    /// The last round of each recursive query that is running.
    rounds: RefCell<HashMap<usize, Arc<Batch>>>,
}

/// A subquery's rows, and the hash table over them.
#[derive(Clone, Default)]
struct Kept {
    rows: Option<Arc<Batch>>,
    set: Option<Arc<Set>>,
}

struct Set {
    keys: HashSet<Key>,
    has_null: bool,
}

#[derive(Default)]
struct Pool {
    values: VecDeque<(SequenceId, i64)>,
    /// How many of them the evaluation in progress has taken.
    taken: usize,
    wanted: Option<SequenceId>,
}

/// What operators evaluate in.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub run: &'a Run,
    pub outer: Option<&'a Outer<'a>>,
}

impl<'a> Cx<'a> {
    /// For expressions.
    pub fn eval(&self) -> EvalContext<'a> {
        EvalContext { params: &self.run.params, outer: self.outer, environment: self.run }
    }
}

impl Run {
    pub fn new(
        prepared: Arc<Prepared>,
        params: Vec<Value>,
        context: ExecContext,
        view: View,
        schema: Arc<Schema>,
    ) -> Run {
        let subplans = prepared.subplans.len();
        Run {
            prepared,
            params,
            context,
            view,
            schema,
            locks: RefCell::default(),
            cache: RefCell::new(vec![Kept::default(); subplans]),
            pool: RefCell::default(),
            memory: Cell::new(0),
            rounds: RefCell::default(),
        }
    }

    /// Counts what is held; 53200 past the limit.
    pub fn charge(&self, row: &[Value]) -> Result<()> {
        let total = self.memory.get() + size(row);
        self.memory.set(total);
        if total > MEMORY {
            return Err(SqlError::new(
                sqlstate::OUT_OF_MEMORY,
                format!("the statement would hold more than {} MiB in memory", MEMORY >> 20),
            )
            .hint("Narrow it with WHERE, or read in parts by key."));
        }
        Ok(())
    }

    /// Counts what is held no longer.
    pub fn release(&self, rows: &Batch) {
        let bytes: usize = rows.iter().map(size).sum();
        self.memory.set(self.memory.get().saturating_sub(bytes));
    }

    /// The last round of a recursive query.
    pub fn round(&self, id: usize) -> Arc<Batch> {
        self.rounds.borrow().get(&id).cloned().unwrap_or_default()
    }

    /// Replaces it.
    pub fn set_round(&self, id: usize, rows: Batch) {
        if let Some(before) = self.rounds.borrow_mut().insert(id, Arc::new(rows)) {
            self.release(&before);
        }
    }

    /// Starts an evaluation that may be run again: nextval takes from the pool's start.
    pub fn rewind(&self) {
        self.pool.borrow_mut().taken = 0;
    }

    /// The evaluation has succeeded: what it took is used.
    pub fn settle(&self) {
        let mut pool = self.pool.borrow_mut();
        let taken = std::mem::take(&mut pool.taken);
        pool.values.drain(..taken);
    }

    /// The sequence whose empty pool made an evaluation fail.
    pub fn wanted(&self) -> Option<SequenceId> {
        self.pool.borrow_mut().wanted.take()
    }

    /// Whether an evaluation failed for want of a minted value.
    pub fn peek_wanted(&self) -> bool {
        self.pool.borrow().wanted.is_some()
    }

    /// Adds a minted value to the pool.
    pub fn supply(&self, sequence: SequenceId, value: i64) {
        self.pool.borrow_mut().values.push_back((sequence, value));
    }

    fn kept(&self, id: usize) -> Result<Arc<Batch>> {
        if let Some(rows) = &self.cache.borrow()[id].rows {
            return Ok(rows.clone());
        }
        let plan = &self.prepared.subplans[id].plan;
        let mut rows = Batch::new(plan.width);
        self.each(id, None, &mut |row| {
            self.charge(row)?;
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        let rows = Arc::new(rows);
        self.cache.borrow_mut()[id].rows = Some(rows.clone());
        Ok(rows)
    }

    fn kept_set(&self, id: usize, rows: &Batch) -> Arc<Set> {
        if let Some(set) = &self.cache.borrow()[id].set {
            return set.clone();
        }
        let mut set = Set { keys: HashSet::with_capacity(rows.len()), has_null: false };
        for row in rows.iter() {
            if row.iter().any(Value::is_null) {
                set.has_null = true;
            } else {
                set.keys.insert(key::encode_key(row));
            }
        }
        let set = Arc::new(set);
        self.cache.borrow_mut()[id].set = Some(set.clone());
        set
    }

    /// Runs a subquery to its end, or until `each` breaks.
    fn each(&self, id: usize, outer: Option<&Outer<'_>>, each: EachRow<'_>) -> Result<()> {
        let prepared = self.prepared.clone();
        let plan = &prepared.subplans[id].plan;
        let cx = Cx { run: self, outer };
        let mut state = State::of(plan);
        state.open(&plan.node, &cx, &[])?;
        let mut batch = Batch::new(plan.width);
        loop {
            let step = state.next(&plan.node, &cx, &mut batch)?;
            for row in batch.iter() {
                if each(row)?.is_break() {
                    return Ok(());
                }
            }
            batch.clear();
            match step {
                Step::Done => return Ok(()),
                Step::More => self.context.check()?,
                Step::Mint => {
                    return Err(SqlError::unsupported(
                        "nextval in a subquery",
                        "Call it in the SELECT list.",
                    ));
                }
            }
        }
    }
}

impl Environment for Run {
    fn session(&self) -> &SessionInfo {
        self.context.environment.session()
    }

    fn clock(&self) -> i64 {
        self.context.environment.clock()
    }

    fn random(&self) -> u64 {
        self.context.environment.random()
    }

    fn subquery(&self, id: usize, outer: &Outer<'_>, each: EachRow<'_>) -> Result<()> {
        if self.prepared.subplans[id].correlated {
            return self.each(id, Some(outer), each);
        }
        let kept = self.kept(id)?;
        for row in kept.iter() {
            if each(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn subquery_contains(
        &self,
        id: usize,
        _outer: &Outer<'_>,
        needle: &[Value],
    ) -> Result<Option<Option<bool>>> {
        if self.prepared.subplans[id].correlated {
            return Ok(None);
        }
        let kept = self.kept(id)?;
        if kept.is_empty() {
            return Ok(Some(Some(false)));
        }
        if needle.iter().any(Value::is_null) {
            return Ok(if needle.len() == 1 { Some(None) } else { None });
        }
        if kept.len() < 4 {
            return Ok(None);
        }
        let set = self.kept_set(id, &kept);
        if set.keys.contains(&key::encode_key(needle)) {
            return Ok(Some(Some(true)));
        }
        match (set.has_null, needle.len()) {
            (false, _) => Ok(Some(Some(false))),
            (true, 1) => Ok(Some(None)),
            _ => Ok(None),
        }
    }

    fn nextval(&self, sequence: &str) -> Result<i64> {
        let name = sequence_name(sequence);
        let Some(found) = self.schema.sequence_by_name(&name) else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("relation \"{sequence}\" does not exist"),
            ));
        };
        let id = found.id;
        let mut pool = self.pool.borrow_mut();
        let taken = pool.taken;
        match pool.values.get(taken) {
            Some((other, value)) if *other == id => {
                let value = *value;
                pool.taken += 1;
                Ok(value)
            }
            Some(_) => {
                // Another sequence's value comes next: find ours behind it.
                match (taken..pool.values.len()).find(|i| pool.values[*i].0 == id) {
                    Some(at) => {
                        let entry = pool.values.remove(at).unwrap_or((id, 0));
                        pool.values.insert(taken, entry);
                        pool.taken += 1;
                        Ok(entry.1)
                    }
                    None => Err(want(&mut pool, id, &name)),
                }
            }
            None => Err(want(&mut pool, id, &name)),
        }
    }

    fn minted(&self, sequence: SequenceId, value: i64) {
        self.context.environment.minted(sequence, value);
    }

    fn currval(&self, sequence: &str) -> Result<i64> {
        self.context.environment.currval(sequence)
    }

    fn lastval(&self) -> Result<i64> {
        self.context.environment.lastval()
    }

    fn setval(&self, sequence: &str, value: i64, called: bool) -> Result<i64> {
        self.context.environment.setval(sequence, value, called)
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.context.environment.setting(name)
    }

    fn set_setting(&self, name: &str, value: &str, local: bool) -> Result<String> {
        self.context.environment.set_setting(name, value, local)
    }

    fn to_oid(&self, kind: &DataType, name: &str) -> Option<u32> {
        self.context.environment.to_oid(kind, name)
    }

    fn oid_name(&self, kind: &DataType, oid: u32) -> Option<String> {
        self.context.environment.oid_name(kind, oid)
    }

    fn host_function(&self, name: &str, args: &[Value]) -> Option<Result<Value>> {
        self.context.environment.host_function(name, args)
    }
}

/// The bytes that a kept row takes, about.
fn size(row: &[Value]) -> usize {
    row.iter().map(|v| 24 + v.heap_size()).sum::<usize>() + 32
}

fn want(pool: &mut Pool, id: SequenceId, name: &str) -> SqlError {
    pool.wanted = Some(id);
    SqlError::unsupported(format!("nextval('{name}') here"), "Call it in the SELECT list or in VALUES.")
}

/// A sequence's name without schema and quotes.
fn sequence_name(text: &str) -> String {
    let name = text.strip_prefix("public.").unwrap_or(text);
    match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.to_ascii_lowercase(),
    }
}

/// Rows of work between two looks for cancellation.
pub const CHUNK: usize = BATCH;
