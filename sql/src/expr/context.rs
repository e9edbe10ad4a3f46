//! What an expression may know besides its row: parameters, the rows of enclosing queries, and the session.
//!
//! Everything that is not a function of the row comes through here, so that evaluation itself reads no clock,
//! no randomness and no catalogue. The executor implements [`Environment`]; [`Constant`] is the environment of
//! constant folding, which refuses whatever is not immutable.

use std::ops::ControlFlow;

use gemini_shadow_ops::Value;

use super::datetime::TimeZone;
use crate::error::{Result, SqlError};

/// The rows of the enclosing queries, innermost first.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'a> {
    /// The row of the query one level up.
    pub row: &'a [Value],
    /// The levels above it.
    pub parent: Option<&'a Outer<'a>>,
}

impl<'a> Outer<'a> {
    /// The row `depth` levels up; 1 is the query that encloses the expression's own.
    pub fn at(&self, depth: usize) -> Option<&'a [Value]> {
        if depth <= 1 { Some(self.row) } else { self.parent.and_then(|p| p.at(depth - 1)) }
    }
}

/// Session-dependent facts that stay fixed while a statement runs. Times are µs since 2000-01-01 UTC.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct SessionInfo {
    pub transaction_time: i64,
    pub statement_time: i64,
    pub user: String,
    pub database: String,
    pub search_path: Vec<String>,
    pub time_zone: TimeZone,
    /// extra_float_digits: floats print shortest if > 0 (the default, 1), else rounded to 15 (6) digits plus it.
    pub extra_float_digits: i32,
    pub backend_pid: i32,
    pub version: String,
}

/// Takes a subquery's rows until it answers Break.
pub type EachRow<'a> = &'a mut dyn FnMut(&[Value]) -> Result<ControlFlow<()>>;

/// What the executor and the session provide. Methods that change or look up something outside the row have
/// defaults that refuse, so that a simple environment stays short.
pub trait Environment {
    /// The session's facts.
    fn session(&self) -> &SessionInfo;

    /// The clock, now: µs since 2000-01-01 UTC (clock_timestamp()).
    fn clock(&self) -> i64;

    /// Random bits.
    fn random(&self) -> u64;

    /// Runs subquery `id` for the enclosing rows `outer` and hands its rows to `each` until that breaks.
    fn subquery(&self, id: usize, outer: &Outer<'_>, each: EachRow<'_>) -> Result<()>;

    /// `needle IN (subquery)` by a hash table, if the executor keeps one: Some(three-valued answer); None: evaluate row by row.
    fn subquery_contains(
        &self,
        _id: usize,
        _outer: &Outer<'_>,
        _needle: &[Value],
    ) -> Result<Option<Option<bool>>> {
        Ok(None)
    }

    /// nextval by the sequence's name.
    fn nextval(&self, sequence: &str) -> Result<i64> {
        Err(SqlError::unsupported(format!("nextval(\"{sequence}\") here"), "Call it in INSERT or SELECT."))
    }

    /// Tells the session what nextval has given, for currval and lastval. The executor calls it for every value minted.
    fn minted(&self, _sequence: gemini_shadow_ops::SequenceId, _value: i64) {}

    /// currval by the sequence's name.
    fn currval(&self, sequence: &str) -> Result<i64> {
        Err(SqlError::unsupported(format!("currval(\"{sequence}\") here"), "Call it in INSERT or SELECT."))
    }

    /// lastval.
    fn lastval(&self) -> Result<i64> {
        Err(SqlError::unsupported("lastval() here", "Call it in INSERT or SELECT."))
    }

    /// setval(sequence, value, is_called).
    fn setval(&self, sequence: &str, _value: i64, _called: bool) -> Result<i64> {
        Err(SqlError::unsupported(format!("setval(\"{sequence}\") here"), "Call it as SELECT setval(…)."))
    }

    /// current_setting: None if there is no such setting.
    fn setting(&self, _name: &str) -> Option<String> {
        None
    }

    /// set_config(name, value, is_local): the value as set.
    fn set_setting(&self, name: &str, _value: &str, _local: bool) -> Result<String> {
        Err(SqlError::unsupported(format!("set_config('{name}') here"), "Use SET."))
    }

    /// A reg* type's name (as written, maybe qualified) to its oid: regclass, regtype, regproc. None: unknown name.
    fn to_oid(&self, _kind: &gemini_shadow_ops::DataType, _name: &str) -> Option<u32> {
        None
    }

    /// An oid of a reg* type to its name.
    fn oid_name(&self, _kind: &gemini_shadow_ops::DataType, _oid: u32) -> Option<String> {
        None
    }

    /// Catalogue functions whose types this module declares and whose answer only the session knows
    /// (pg_get_indexdef, obj_description, pg_table_is_visible …), by name. None: no answer, which reads as NULL.
    fn host_function(&self, _name: &str, _args: &[Value]) -> Option<Result<Value>> {
        None
    }
}

/// Parameters, enclosing rows, environment.
#[derive(Clone, Copy)]
pub struct EvalContext<'a> {
    /// $1 is `params[0]`; already of the type the statement gave them.
    pub params: &'a [Value],
    /// None at the top level.
    pub outer: Option<&'a Outer<'a>>,
    /// The executor.
    pub environment: &'a dyn Environment,
}

impl<'a> EvalContext<'a> {
    /// A context at the top level of a statement.
    pub fn new(params: &'a [Value], environment: &'a dyn Environment) -> EvalContext<'a> {
        EvalContext { params, outer: None, environment }
    }

    /// The session's facts.
    pub fn session(&self) -> &'a SessionInfo {
        self.environment.session()
    }
}

/// The environment of constant folding: time zero, no randomness, no subqueries. Only immutable expressions are
/// ever evaluated in it.
#[derive(Debug, Default)]
pub struct Constant {
    session: SessionInfo,
}

impl Constant {
    /// With a default session.
    pub fn new() -> Constant {
        Constant { session: SessionInfo { extra_float_digits: 1, ..SessionInfo::default() } }
    }
}

impl Environment for Constant {
    fn session(&self) -> &SessionInfo {
        &self.session
    }

    fn clock(&self) -> i64 {
        0
    }

    fn random(&self) -> u64 {
        0
    }

    fn subquery(&self, _id: usize, _outer: &Outer<'_>, _each: EachRow<'_>) -> Result<()> {
        Err(SqlError::internal("a subquery in a constant expression"))
    }
}
