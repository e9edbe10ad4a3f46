//! What expressions may know of the session: settings, sequences, names in the catalogue.
//!
//! One environment serves one statement at a time. It is rebuilt in place when nothing else holds it, so that a prepared
//! point query allocates nothing for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::{Color, DataType, Schema, SequenceId, Value};
use parking_lot::Mutex;

use super::settings::Settings;
use crate::catalog;
use crate::error::{Result, SqlError};
use crate::expr::context::EachRow;
use crate::expr::{Environment, Outer, SessionInfo};
use crate::host::Host;
use crate::sqlstate;

/// Values that nextval has given in this session.
#[derive(Debug, Default)]
pub struct Sequences {
    values: BTreeMap<SequenceId, i64>,
    last: Option<SequenceId>,
}

impl Sequences {
    /// DISCARD SEQUENCES.
    pub fn forget(&mut self) {
        *self = Sequences::default();
    }

    /// What currval answers from now on; `last`: lastval too.
    pub fn set(&mut self, sequence: SequenceId, value: i64, last: bool) {
        self.values.insert(sequence, value);
        if last {
            self.last = Some(sequence);
        }
    }
}

/// What the session shares with the environments of its statements.
#[derive(Debug)]
pub struct SharedState {
    /// Settings; set_config changes them from within a statement.
    pub settings: Mutex<Settings>,
    /// currval, lastval.
    pub sequences: Mutex<Sequences>,
    /// Of the newest committed transaction that wrote.
    pub last_color: Mutex<Option<Color>>,
}

impl SharedState {
    /// As `gemini.last_color` shows it; empty if nothing was written yet.
    pub fn last_color(&self) -> &'static str {
        match *self.last_color.lock() {
            Some(Color::Blue) => "blue",
            Some(Color::Red) => "red",
            None => "",
        }
    }
}

/// The environment of one statement.
#[derive(Clone)]
pub struct SessionEnvironment {
    /// Facts that stay fixed while a statement runs.
    pub info: SessionInfo,
    /// What the statement's transaction sees.
    pub schema: Arc<Schema>,
    /// The site.
    pub host: Arc<dyn Host>,
    /// The session's state.
    pub state: Arc<SharedState>,
    /// [`Settings::changes`] that `info` was made from.
    pub changes: u64,
}

impl SessionEnvironment {
    /// For a new session.
    pub fn new(
        host: Arc<dyn Host>,
        state: Arc<SharedState>,
        user: &str,
        database: &str,
        pid: i32,
    ) -> SessionEnvironment {
        let info = SessionInfo {
            user: user.to_string(),
            database: database.to_string(),
            backend_pid: pid,
            version: super::version(),
            ..SessionInfo::default()
        };
        let mut environment =
            SessionEnvironment { info, schema: Arc::new(Schema::default()), host, state, changes: 0 };
        environment.refresh();
        environment
    }

    /// Takes over settings that have changed.
    pub fn refresh(&mut self) {
        let settings = self.state.settings.lock();
        if settings.changes == self.changes {
            return;
        }
        self.changes = settings.changes;
        self.info.time_zone = settings.typed.time_zone.clone();
        self.info.extra_float_digits = settings.typed.extra_float_digits;
        self.info.search_path = settings.typed.search_path.clone();
    }

    fn sequence(&self, name: &str) -> Result<SequenceId> {
        catalog::names::sequence(&self.schema, name).map(|s| s.id).ok_or_else(|| {
            SqlError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
        })
    }

    fn site_setting(&self, name: &str) -> Option<String> {
        match name {
            "gemini.site" => Some(self.host.site_name()),
            "gemini.frontier" => Some(self.host.frontier().to_string()),
            "gemini.last_color" => Some(self.state.last_color().to_string()),
            _ => None,
        }
    }
}

impl Environment for SessionEnvironment {
    fn session(&self) -> &SessionInfo {
        &self.info
    }

    fn clock(&self) -> i64 {
        self.host.now()
    }

    fn random(&self) -> u64 {
        self.host.random()
    }

    fn subquery(&self, _id: usize, _outer: &Outer<'_>, _each: EachRow<'_>) -> Result<()> {
        Err(SqlError::internal("a subquery outside a plan"))
    }

    fn minted(&self, sequence: SequenceId, value: i64) {
        self.state.sequences.lock().set(sequence, value, true);
    }

    fn currval(&self, sequence: &str) -> Result<i64> {
        let id = self.sequence(sequence)?;
        self.state.sequences.lock().values.get(&id).copied().ok_or_else(|| {
            SqlError::new(
                sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("currval of sequence \"{sequence}\" is not yet defined in this session"),
            )
        })
    }

    fn lastval(&self) -> Result<i64> {
        let sequences = self.state.sequences.lock();
        sequences.last.and_then(|id| sequences.values.get(&id).copied()).ok_or_else(|| {
            SqlError::new(
                sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "lastval is not yet defined in this session",
            )
        })
    }

    fn setval(&self, sequence: &str, _value: i64, _called: bool) -> Result<i64> {
        Err(SqlError::unsupported(
            format!("setval(\"{sequence}\") within an expression"),
            "Call it alone: SELECT setval('sequence', value).",
        ))
    }

    fn setting(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        self.site_setting(&name).or_else(|| self.state.settings.lock().get(&name).map(str::to_string))
    }

    fn set_setting(&self, name: &str, value: &str, local: bool) -> Result<String> {
        let mut settings = self.state.settings.lock();
        settings.set(name, Some(value), local)?;
        Ok(settings.get(name).unwrap_or("").to_string())
    }

    fn to_oid(&self, kind: &DataType, name: &str) -> Option<u32> {
        catalog::names::to_oid(&self.schema, kind, name)
    }

    fn oid_name(&self, kind: &DataType, oid: u32) -> Option<String> {
        catalog::names::oid_name(&self.schema, kind, oid, &self.info.search_path)
    }

    fn host_function(&self, name: &str, args: &[Value]) -> Option<Result<Value>> {
        catalog::functions::call(name, args, self)
    }
}
