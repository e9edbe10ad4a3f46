//! Running plans: a batch pull executor, and the lowering of INSERT, UPDATE and DELETE to effects.
//!
//! ```text
//!   Prepared (immutable, shared) ─ Cursor::open ─► tree of operator states ─ next ─► batches of ≤ 1,024 rows
//!                                                        │ reads: snapshot merged with the overlay
//!                                                        └ DML: checks, then Transaction::insert/update/delete
//! ```
//!
//! Operators are synchronous and never block: one step does a bounded amount of work and says whether there is more.
//! Between steps the cursor looks for cancellation and the deadline and yields to other tasks. What must be awaited
//! (minting) is asked for by a step and fetched by the cursor, which then runs the step again.

pub mod color;
pub mod delta;
pub mod elements;
mod foreign;
mod frame;
mod group;
mod insert;
mod join;
mod operators;
mod recursive;
mod run;
mod scan;
mod unique;
mod view;
mod window;
mod write;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use gemini_shadow_ops::{SequenceId, Value};

use crate::error::{Result, SqlError};
use crate::expr::Environment;
use crate::host::{CommitError, Host};
use crate::plan::{Prepared, PreparedBody};
use crate::sqlstate;
use crate::txn::Transaction;

use operators::{State, Step};
use run::{Cx, Run};
use view::View;

/// Rows in a batch, and rows of work between two looks for cancellation.
pub const BATCH: usize = 1024;

/// What an execution needs around it.
#[derive(Clone)]
pub struct ExecContext {
    /// The site.
    pub host: Arc<dyn Host>,
    /// The session: settings, currval, catalogue functions. Subqueries and nextval are the executor's own.
    pub environment: Arc<dyn Environment + Send + Sync>,
    /// Set to end the statement with 57014.
    pub cancel: Arc<AtomicBool>,
    /// Ends the statement with 57014 (statement_timeout) at this time, µs since 2000-01-01 UTC.
    pub deadline: Option<i64>,
}

impl ExecContext {
    /// 57014 if the statement has been cancelled or has run out of time.
    pub fn check(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(SqlError::new(sqlstate::QUERY_CANCELED, "canceling statement due to user request"));
        }
        if self.deadline.is_some_and(|deadline| self.host.now() >= deadline) {
            return Err(SqlError::new(
                sqlstate::QUERY_CANCELED,
                "canceling statement due to statement timeout",
            ));
        }
        Ok(())
    }
}

/// Rows of one width, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    width: usize,
    rows: usize,
    values: Vec<Value>,
}

impl Batch {
    /// Empty.
    pub fn new(width: usize) -> Batch {
        Batch { width, rows: 0, values: Vec::new() }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row.
    pub fn row(&self, i: usize) -> &[Value] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    /// One row, to fill its slots.
    pub(crate) fn row_mut(&mut self, i: usize) -> &mut [Value] {
        &mut self.values[i * self.width..(i + 1) * self.width]
    }

    /// Every row.
    pub fn iter(&self) -> impl Iterator<Item = &[Value]> {
        (0..self.rows).map(|i| self.row(i))
    }

    /// Drops every row.
    pub fn clear(&mut self) {
        self.values.clear();
        self.rows = 0;
    }

    /// Appends a row of the batch's width.
    pub fn push(&mut self, row: &[Value]) {
        assert_eq!(row.len(), self.width, "a row of another width");
        self.values.extend_from_slice(row);
        self.rows += 1;
    }

    /// Appends a base row: NULLs after what it gives.
    pub(crate) fn push_base(&mut self, base: &[Value]) {
        self.values.extend_from_slice(base);
        self.rows += 1;
        self.values.resize(self.rows * self.width, Value::Null);
    }

    /// Appends a value of the row that [`Batch::close_row`] ends.
    pub(crate) fn push_value(&mut self, value: Value) {
        self.values.push(value);
    }

    /// Ends a row whose values have been appended.
    pub(crate) fn close_row(&mut self) {
        self.rows += 1;
        debug_assert_eq!(self.values.len(), self.rows * self.width, "a row of another width");
    }

    /// The last row.
    pub(crate) fn last(&self) -> &[Value] {
        self.row(self.rows - 1)
    }

    /// The last row, to fill its slots.
    pub(crate) fn last_mut(&mut self) -> &mut [Value] {
        let start = (self.rows - 1) * self.width;
        &mut self.values[start..]
    }

    /// Keeps the first rows (and drops the beginning of one that was not ended).
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows * self.width);
        self.rows = self.rows.min(rows);
    }

    /// Removes rows from..to.
    pub(crate) fn remove(&mut self, from: usize, to: usize) {
        self.values.drain(from * self.width..to * self.width);
        self.rows -= to - from;
    }

    /// Keeps, from row `start` on, the rows that are wanted.
    pub(crate) fn retain_from(
        &mut self,
        start: usize,
        mut wanted: impl FnMut(&[Value]) -> Result<bool>,
    ) -> Result<()> {
        let mut kept = start;
        for i in start..self.rows {
            if wanted(self.row(i))? {
                if kept < i {
                    for j in 0..self.width {
                        self.values.swap(kept * self.width + j, i * self.width + j);
                    }
                }
                kept += 1;
            }
        }
        self.truncate(kept);
        Ok(())
    }
}

/// A statement being executed: also what a portal holds between two Executes.
pub struct Cursor {
    run: Run,
    /// A query's operators; None once they are through, and for DML.
    state: Option<State>,
    /// DML that has not been carried out yet.
    waiting: bool,
    /// Rows not handed out yet, from `at` on.
    pending: Batch,
    at: usize,
    affected: u64,
    /// A rehearsal mints nothing: how many values of each sequence it has looked at.
    rehearsal: Option<BTreeMap<SequenceId, u64>>,
}

impl Cursor {
    /// Starts a statement in `transaction`, which takes its snapshot. `params` are of [`Prepared::parameters`]' types.
    pub fn open(
        prepared: Arc<Prepared>,
        params: Vec<Value>,
        context: &ExecContext,
        transaction: &mut Transaction,
    ) -> Result<Cursor> {
        if transaction.options().read_only && prepared.writes() {
            let name = prepared.kind.tag(0);
            let name = name.split(' ').next().unwrap_or_default();
            return Err(SqlError::new(
                sqlstate::READ_ONLY_SQL_TRANSACTION,
                format!("cannot execute {name} in a read-only transaction"),
            ));
        }
        if params.len() < prepared.parameters.len() {
            return Err(SqlError::new(
                sqlstate::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but the statement requires {}",
                    params.len(),
                    prepared.parameters.len()
                ),
            ));
        }
        transaction.begin_statement(&*context.host);
        let view = View {
            snapshot: transaction.snapshot(&*context.host).clone(),
            overlay: transaction.overlay().clone(),
            reads: transaction.records_reads().then(RefCell::default),
        };
        let schema = transaction.schema(&*context.host);
        let run = Run::new(prepared.clone(), params, context.clone(), view, schema);
        let (mut state, mut waiting, mut width) = (None, true, prepared.columns.len());
        if let PreparedBody::Select(plan) = &prepared.body {
            let mut operators = State::of(plan);
            operators.open(&plan.node, &Cx { run: &run, outer: None }, &[])?;
            state = Some(operators);
            waiting = false;
            width = plan.width;
        }
        let pending = Batch::new(width);
        Ok(Cursor { run, state, waiting, pending, at: 0, affected: 0, rehearsal: None })
    }

    /// Makes the run a rehearsal: it takes the values that would be minted next, and leaves them there.
    pub fn rehearse(&mut self) {
        self.rehearsal = Some(BTreeMap::new());
    }

    /// The next rows, at most `limit` (0: as many as come at once); None at the end. The first call of a DML statement carries
    /// it out whole, or leaves the transaction as it was before it.
    pub async fn next(
        &mut self,
        context: &ExecContext,
        transaction: &mut Transaction,
        limit: usize,
    ) -> Result<Option<Batch>> {
        self.run.context = context.clone();
        if std::mem::take(&mut self.waiting) {
            let savepoint = transaction.savepoint();
            let written = self.write(transaction).await;
            self.run.view.overlay = Arc::default();
            match written {
                Ok(affected) => self.affected = affected,
                Err(error) => {
                    transaction.rollback_to(&savepoint);
                    return Err(error);
                }
            }
        }
        let mut steps = 0u32;
        while self.state.is_some() {
            let ready = self.pending.len() - self.at;
            if ready >= BATCH || (limit > 0 && ready >= limit) {
                break;
            }
            context.check()?;
            self.compact();
            match self.step()? {
                Step::Done => self.state = None,
                Step::Mint => self.mint(transaction).await?,
                Step::More => {}
            }
            self.note(transaction)?;
            steps += 1;
            if steps > 2 {
                yield_now().await;
            }
        }
        Ok(self.hand_out(limit))
    }

    /// Rows inserted, updated, deleted or, by a query, returned so far.
    pub fn affected(&self) -> u64 {
        self.affected
    }

    /// Whether nothing is left: known only once the last row has been handed out.
    pub fn is_done(&self) -> bool {
        self.state.is_none() && !self.waiting && self.at >= self.pending.len()
    }

    /// One step of a query's operators.
    fn step(&mut self) -> Result<Step> {
        let prepared = self.run.prepared.clone();
        let PreparedBody::Select(plan) = &prepared.body else { return Ok(Step::Done) };
        let Some(state) = &mut self.state else { return Ok(Step::Done) };
        state.next(&plan.node, &Cx { run: &self.run, outer: None }, &mut self.pending)
    }

    /// Hands what was read and locked to the transaction.
    fn note(&mut self, transaction: &mut Transaction) -> Result<()> {
        if let Some(reads) = &self.run.view.reads {
            for item in reads.take() {
                transaction.read(item)?;
            }
        }
        for (table, key) in self.run.locks.take() {
            transaction.lock(&table, &key)?;
        }
        Ok(())
    }

    /// Mints what an evaluation has asked for.
    async fn mint(&mut self, transaction: &mut Transaction) -> Result<()> {
        let Some(sequence) = self.run.wanted() else { return Ok(()) };
        let value = self.mint_one(sequence, transaction).await?;
        self.run.supply(sequence, value);
        Ok(())
    }

    /// Mints a value of a sequence and tells whoever must know.
    async fn mint_one(&mut self, sequence: SequenceId, transaction: &mut Transaction) -> Result<i64> {
        let schema = self.run.schema.clone();
        let Some(declared) = schema.sequence(sequence) else {
            return Err(SqlError::internal("a sequence that is not in the schema"));
        };
        if let Some(value) = transaction.count_up(declared)? {
            if self.rehearsal.is_none() {
                self.run.context.environment.minted(sequence, value);
            }
            return Ok(value);
        }
        if !declared.is_open() {
            return Err(SqlError::closed_sequence(sequence, &declared.name));
        }
        let host = self.run.context.host.clone();
        if let Some(looked_at) = &mut self.rehearsal {
            let ahead = looked_at.entry(sequence).or_insert(0);
            let value = host.would_mint(&schema, sequence, *ahead).map_err(mint_error)?;
            *ahead += 1;
            transaction.minted_value(sequence, value);
            return Ok(value);
        }
        let value = host.mint(&schema, sequence).await.map_err(mint_error)?;
        transaction.minted_value(sequence, value);
        self.run.context.environment.minted(sequence, value);
        Ok(value)
    }

    /// Forgets rows that have been handed out.
    fn compact(&mut self) {
        if self.at > 0 && self.at >= self.pending.len() {
            self.pending.clear();
            self.at = 0;
        }
    }

    fn hand_out(&mut self, limit: usize) -> Option<Batch> {
        let ready = self.pending.len() - self.at;
        if ready == 0 {
            return None;
        }
        let count = if limit == 0 { ready } else { ready.min(limit) };
        if self.state.is_some() || matches!(self.run.prepared.body, PreparedBody::Select(_)) {
            self.affected += count as u64;
        }
        if self.at == 0 && count == ready {
            let width = self.pending.width();
            return Some(std::mem::replace(&mut self.pending, Batch::new(width)));
        }
        let mut batch = Batch::new(self.pending.width());
        for i in self.at..self.at + count {
            batch.push(self.pending.row(i));
        }
        self.at += count;
        Some(batch)
    }
}

/// Why a value could not be minted.
fn mint_error(error: CommitError) -> SqlError {
    match error {
        CommitError::Rejected { sqlstate, message } => SqlError::new(sqlstate, message),
        CommitError::Unavailable { message } | CommitError::Short { message } => {
            SqlError::new(sqlstate::CANNOT_CONNECT_NOW, message)
        }
        CommitError::Unknown { message, .. } => {
            SqlError::new(sqlstate::STATEMENT_COMPLETION_UNKNOWN, message)
        }
        CommitError::Refused { message, .. } => SqlError::new(sqlstate::SERIALIZATION_FAILURE, message),
        CommitError::Conflict { .. } => {
            SqlError::new(sqlstate::SERIALIZATION_FAILURE, "could not mint a value: the sequence has changed")
        }
    }
}

/// Lets other tasks run.
pub fn yield_now() -> impl Future<Output = ()> + Send {
    Yield(false)
}

struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
