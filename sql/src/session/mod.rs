//! A session: one client's statements, one after the other, in transactions.
//!
//! ```text
//!            ┌────────── BEGIN ──────────► Block ── error ──► Failed
//!   Idle ────┤                               │  COMMIT, ROLLBACK  │
//!    ▲       └─ any other statement ► Implicit                    │
//!    └──────────── commit, abort ◄───────────┴────────────────────┘
//! ```
//!
//! A statement outside a block runs in an implicit transaction that commits before its result is released. If the
//! commit is refused because something changed (another local commit, certification, the schema), and nothing of the
//! result has been sent, the generator runs anew on a newer snapshot, a bounded number of times: the client sees one
//! execution. Within a block the client must do that itself, and gets 40001.
//!
//! Invariants:
//! 1. Nothing a client has been sent is ever taken back: a result leaves the buffer only when its transaction has
//!    committed, or has nothing to commit, or the client itself holds the transaction open.
//! 2. A transaction is handed to the site at most once per generator run; what the log has refused is run anew, never
//!    sent again; an unknown outcome is told as 40003 and never retried.
//! 3. Session code awaits only the host's futures and its own yields: any executor can poll it, a simulator included.
//!
//! It does not know the wire protocol ([`crate::pg`] drives it) and does not decide colours.

mod cache;
mod client;
mod commit;
mod copy;
mod environment;
mod extended;
mod fresh;
mod judge;
mod run;
mod sequence;
pub mod settings;
mod utility;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gemini_shadow_ops::Value;
use parking_lot::Mutex;

pub use cache::{Cached, PlanCache};
pub use client::{Client, Collected, CopyInput, Mark, Notice, Severity};
pub use commit::{Failure, item_name};
pub use environment::{SessionEnvironment, SharedState};
pub use extended::{Described, PreparedStatement};
pub use judge::Judgement;
pub use settings::Settings;

use crate::catalog::Catalog;
use crate::error::{Result, SqlError};
use crate::exec::{Cursor, ExecContext};
use crate::host::Host;
use crate::plan::OutputColumn;
use crate::sqlstate;
use crate::txn::{Options, Savepoint, Transaction};

/// PostgreSQL's version that clients see; what they may expect of the dialect and the catalogue.
pub const SERVER_VERSION: &str = "15.0 (Gemini 0.1.0)";

/// version().
pub fn version() -> String {
    format!("PostgreSQL {SERVER_VERSION}, geo-replicated with RedBlue consistency")
}

/// What the sessions of a site share.
#[derive(Clone)]
pub struct Shared {
    /// The site.
    pub host: Arc<dyn Host>,
    /// Parsed statements and plans.
    pub cache: Arc<PlanCache>,
}

impl Shared {
    /// For a site.
    pub fn new(host: Arc<dyn Host>) -> Shared {
        Shared { host, cache: Arc::default() }
    }
}

/// What ReadyForQuery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    Idle,
    InTransaction,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Idle,
    /// One statement, or the statements up to the next Sync.
    Implicit,
    /// After BEGIN.
    Block,
    /// After an error in a block: only its end is accepted.
    Failed,
}

/// A transaction under way.
struct Active {
    transaction: Transaction,
    savepoints: Vec<(String, Savepoint, settings::Saved)>,
    /// Settings at its begin.
    saved: settings::Saved,
    /// It has changed the schema: plans are its own.
    changed_schema: bool,
    /// µs since 2000: now().
    started: i64,
    /// Its last statement that wrote.
    wrote: Option<Arc<Cached>>,
}

/// A bound statement: the protocol's portals and SQL's cursors.
pub struct Portal {
    /// What it executes; None: the empty statement.
    pub statement: Option<Arc<Cached>>,
    params: Vec<Value>,
    /// Result formats asked for, by column (the protocol's; not looked at here).
    pub formats: Vec<i16>,
    /// The plan that the parameters were read for.
    bound: Option<Arc<crate::plan::Prepared>>,
    /// Rows given by the last run.
    rows: usize,
    state: PortalState,
}

enum PortalState {
    Ready,
    Running(Box<Cursor>, Arc<crate::plan::Prepared>),
    /// A utility's rows that are left.
    Rows(Vec<OutputColumn>, std::vec::IntoIter<Vec<Value>>, String),
    Done,
}

/// One client's session.
pub struct Session {
    shared: Shared,
    catalog: Catalog,
    state: Arc<SharedState>,
    environment: Arc<SessionEnvironment>,
    cancel: Arc<AtomicBool>,
    mode: Mode,
    active: Option<Active>,
    /// Left by a failed block: what its end must restore.
    failed: Option<FailedBlock>,
    statements: HashMap<String, Arc<PreparedStatement>>,
    portals: HashMap<String, Portal>,
    notices: Vec<Notice>,
}

/// A failed block that a ROLLBACK TO can still bring back.
struct FailedBlock {
    active: Active,
}

impl Session {
    /// A session for a user. `pid` is what cancel requests and pg_backend_pid() name it by.
    pub fn new(shared: Shared, user: &str, database: &str, pid: i32) -> Session {
        let state = Arc::new(SharedState {
            settings: Mutex::new(Settings::new(user)),
            sequences: Mutex::default(),
            last_color: Mutex::default(),
        });
        let environment = SessionEnvironment::new(shared.host.clone(), state.clone(), user, database, pid);
        Session {
            catalog: Catalog::new(shared.host.clone()),
            shared,
            state,
            environment: Arc::new(environment),
            cancel: Arc::default(),
            mode: Mode::Idle,
            active: None,
            failed: None,
            statements: HashMap::new(),
            portals: HashMap::new(),
            notices: Vec::new(),
        }
    }

    /// Set to true to cancel what runs now.
    pub fn canceler(&self) -> Arc<AtomicBool> {
        self.cancel.clone()
    }

    /// What ReadyForQuery says.
    pub fn status(&self) -> Status {
        match self.mode {
            Mode::Idle | Mode::Implicit => Status::Idle,
            Mode::Block => Status::InTransaction,
            Mode::Failed => Status::Failed,
        }
    }

    /// How long the client may leave the session idle as it is now, and what it is told then.
    pub fn idle_limit(&self) -> Option<(std::time::Duration, SqlError)> {
        let settings = self.state.settings.lock();
        let (limit, state, what) = match self.mode {
            Mode::Idle | Mode::Implicit => {
                (settings.typed.idle_timeout, sqlstate::IDLE_SESSION_TIMEOUT, "idle-session timeout")
            }
            Mode::Block | Mode::Failed => (
                settings.typed.idle_in_transaction_timeout,
                sqlstate::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "idle-in-transaction timeout",
            ),
        };
        let micros = limit?;
        let error = SqlError::new(state, format!("terminating connection due to {what}"));
        Some((std::time::Duration::from_micros(micros), error))
    }

    /// Settings as they are.
    pub fn settings(&self) -> Settings {
        self.state.settings.lock().clone()
    }

    /// Takes a setting of the start-up packet.
    pub fn start_setting(&mut self, name: &str, value: &str) -> Result<()> {
        self.state.settings.lock().set(name, Some(value), false)?;
        Ok(())
    }

    /// The start-up is over: RESET goes back to the settings as they are now.
    pub fn started(&mut self) {
        self.state.settings.lock().start_here();
    }

    /// The environment that values are printed in.
    pub fn environment(&mut self) -> Arc<SessionEnvironment> {
        self.refresh_environment();
        self.environment.clone()
    }

    fn refresh_environment(&mut self) {
        if self.environment.changes != self.state.settings.lock().changes {
            Arc::make_mut(&mut self.environment).refresh();
        }
    }

    fn host(&self) -> &dyn Host {
        &*self.shared.host
    }

    fn options(&self) -> Options {
        let settings = self.state.settings.lock();
        Options {
            isolation: settings.typed.isolation,
            color: settings.typed.color,
            read_only: settings.typed.read_only,
        }
    }

    /// Begins a transaction.
    fn begin(&mut self, mode: Mode, options: Options) {
        let started = self.host().now();
        self.active = Some(Active {
            transaction: Transaction::new(options),
            savepoints: Vec::new(),
            saved: self.state.settings.lock().save(),
            changed_schema: false,
            started,
            wrote: None,
        });
        self.mode = mode;
    }

    fn active(&mut self) -> Result<&mut Active> {
        self.active.as_mut().ok_or_else(|| SqlError::internal("no transaction is under way"))
    }

    /// Forgets the transaction: nothing of it has happened.
    fn abort<C: Client>(&mut self, client: &mut C) {
        let active = self.active.take().or_else(|| self.failed.take().map(|f| f.active));
        self.mode = Mode::Idle;
        self.portals.clear();
        if let Some(active) = active {
            let changes = self.state.settings.lock().restore(&active.saved);
            report(client, changes);
        }
    }

    /// After an error: an implicit transaction is gone, a block has failed.
    fn fail<C: Client>(&mut self, client: &mut C) {
        match self.mode {
            Mode::Idle => {}
            Mode::Implicit => self.abort(client),
            Mode::Block | Mode::Failed => {
                if let Some(active) = self.active.take() {
                    self.failed = Some(FailedBlock { active });
                }
                self.mode = Mode::Failed;
                self.portals.clear();
            }
        }
    }

    /// The context of a statement's execution; its time is now, its schema the transaction's.
    fn context(&mut self) -> Result<ExecContext> {
        self.refresh_environment();
        let host = self.shared.host.clone();
        let now = host.now();
        let timeout = self.state.settings.lock().typed.statement_timeout;
        let active = self.active()?;
        let (schema, started) = (active.transaction.schema(&*host), active.started);
        let environment = Arc::make_mut(&mut self.environment);
        environment.info.transaction_time = started;
        environment.info.statement_time = now;
        environment.schema = schema;
        Ok(ExecContext {
            host,
            environment: self.environment.clone(),
            cancel: self.cancel.clone(),
            deadline: timeout.map(|t| now.saturating_add(i64::try_from(t).unwrap_or(i64::MAX))),
        })
    }

    /// A new statement of the client: an old cancel request does not reach it.
    pub fn clear_cancel(&self) {
        self.cancel.store(false, Ordering::Relaxed);
    }

    fn notify(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn give_notices<C: Client>(&mut self, client: &mut C) {
        if self.notices.is_empty() {
            return;
        }
        let quiet = self.state.settings.lock().typed.quiet;
        for notice in std::mem::take(&mut self.notices) {
            let grave = if notice.severity == Severity::Warning { 2 } else { 1 };
            if grave >= quiet {
                client.notice(&notice);
            }
        }
    }
}

fn report<C: Client>(client: &mut C, changes: Vec<(&'static str, String)>) {
    for (name, value) in changes {
        client.parameter(name, &value);
    }
}

/// 25P02.
fn failed_block() -> SqlError {
    SqlError::new(
        sqlstate::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}
