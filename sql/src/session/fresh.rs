//! Statements that ask for more than this site's newest state: `gemini.wait_for` and `gemini.max_staleness`.
//!
//! A local read may be stale: what another site has acknowledged may not have come here yet. Two settings say how much of that
//! a session takes.
//!
//! ```text
//!   at us-east   INSERT …;  SHOW gemini.frontier          →  (1:14 2:8; 82)
//!   at ireland   SET gemini.wait_for = '(1:14 2:8; 82)'   the next statements see the insert, or fail after gemini.wait_timeout
//!   anywhere     SET gemini.max_staleness = '2s'          statements see all that any site had applied 2 seconds ago
//! ```
//!
//! The wait is before the statement's snapshot, so it delays nobody else. A snapshot that a REPEATABLE READ or SERIALIZABLE
//! transaction has taken already is not renewed: asking it for more than it has is an error, and a bound on staleness holds for
//! the moment when it was taken. What neither setting gives is the newest state of all: that is a linearizable read,
//! `SET gemini.color = 'red'`.

use std::sync::atomic::Ordering;

use gemini_shadow_ops::Frontier;

use super::Session;
use crate::error::{Result, SqlError};
use crate::host::Host;
use crate::sqlstate;

/// Between two looks at what has come, µs.
const LOOK_EVERY: u64 = 2_000;

impl Session {
    /// Waits until a snapshot of this site covers what the session asks for. 57P03 after `gemini.wait_timeout`, 57014 if cancelled
    /// or after `statement_timeout`.
    pub(super) async fn wait_until_fresh(&mut self) -> Result<()> {
        let (wait_for, max_staleness, patience, statement) = {
            let typed = &self.state.settings.lock().typed;
            if typed.wait_for.is_none() && typed.max_staleness.is_none() {
                return Ok(());
            }
            let (patience, statement) = (typed.wait_timeout, typed.statement_timeout);
            (typed.wait_for.clone(), typed.max_staleness, patience, statement)
        };
        if let Some(fixed) = self.fixed_frontier()? {
            return wait_for.map_or(Ok(()), |wanted| covers(&fixed, &wanted));
        }
        let host = self.shared.host.clone();
        let started = host.now();
        loop {
            let Some(short) = short_of(&*host, wait_for.as_ref(), max_staleness) else { return Ok(()) };
            if self.cancel.load(Ordering::Relaxed) {
                return Err(SqlError::new(
                    sqlstate::QUERY_CANCELED,
                    "canceling statement due to user request",
                ));
            }
            let waited = u64::try_from(host.now().saturating_sub(started)).unwrap_or(0);
            if statement.is_some_and(|limit| waited >= limit) {
                let error =
                    SqlError::new(sqlstate::QUERY_CANCELED, "canceling statement due to statement timeout");
                return Err(error.detail(short));
            }
            if patience.is_some_and(|limit| waited >= limit) {
                let error = SqlError::new(sqlstate::CANNOT_CONNECT_NOW, short);
                return Err(error.hint(
                    "Wait longer (gemini.wait_timeout), ask for less, or read at another site; gemini.sites shows who \
                     is connected.",
                ));
            }
            host.pause(LOOK_EVERY).await;
        }
    }

    /// The frontier of a snapshot that the transaction keeps.
    fn fixed_frontier(&mut self) -> Result<Option<Frontier>> {
        let transaction = &self.active()?.transaction;
        if transaction.options().isolation == crate::txn::Isolation::ReadCommitted {
            return Ok(None);
        }
        Ok(transaction.current().map(|snapshot| snapshot.frontier().clone()))
    }
}

fn covers(fixed: &Frontier, wanted: &Frontier) -> Result<()> {
    if fixed.includes(wanted) {
        return Ok(());
    }
    let message = format!("the transaction's snapshot covers {fixed}, not the {wanted} of gemini.wait_for");
    let error = SqlError::new(sqlstate::ACTIVE_SQL_TRANSACTION, message);
    Err(error.hint("SET gemini.wait_for before the transaction's first statement."))
}

/// What this site's newest state lacks of what is asked for; None: nothing.
fn short_of(host: &dyn Host, wait_for: Option<&Frontier>, max_staleness: Option<u64>) -> Option<String> {
    if let Some(wanted) = wait_for {
        let applied = host.frontier();
        if !applied.includes(wanted) {
            return Some(format!("this site has applied {applied}, not yet the {wanted} of gemini.wait_for"));
        }
    }
    let limit = i64::try_from(max_staleness?).unwrap_or(i64::MAX);
    let fresh = host.freshness();
    let age = host.now().saturating_sub(fresh.as_of);
    if age <= limit {
        return None;
    }
    let from = fresh.oldest.map_or_else(String::new, |site| format!(" (the oldest news are from {site})"));
    Some(format!(
        "this site's state may be {} ms old{from}, more than the {} ms of gemini.max_staleness",
        age / 1_000,
        limit / 1_000
    ))
}
