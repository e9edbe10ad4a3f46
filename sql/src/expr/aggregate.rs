//! Aggregate functions: accumulators fed one row's arguments at a time.

use gemini_shadow_ops::{DataType, Value};

use super::EvalContext;
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// A resolved aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Its name.
    pub name: &'static str,
    /// The type each argument must be cast to. Empty for count(*).
    pub args: Vec<DataType>,
    /// The result's type.
    pub ty: DataType,
}

/// The running state of one aggregate over one group. The executor removes duplicates for DISTINCT, sorts for ORDER BY and
/// filters for FILTER before feeding it.
pub trait Accumulator: Send {
    /// Takes one row's arguments.
    fn add(&mut self, args: &[Value]) -> Result<()>;
    /// The result.
    fn finish(&mut self) -> Result<Value>;
}

/// Whether a name is an aggregate's.
pub fn is_aggregate(name: &str) -> bool {
    let _ = name;
    false
}

/// Resolves an aggregate; no arguments is count(*).
pub fn resolve_aggregate(name: &str, args: &[DataType]) -> Result<Aggregate> {
    let _ = args;
    Err(SqlError::new(sqlstate::UNDEFINED_FUNCTION, format!("function {name} does not exist")))
}

impl Aggregate {
    /// A fresh accumulator.
    pub fn accumulator(&self, context: &EvalContext<'_>) -> Box<dyn Accumulator> {
        let _ = context;
        Box::new(CountRows(0))
    }
}

struct CountRows(i64);

impl Accumulator for CountRows {
    fn add(&mut self, _args: &[Value]) -> Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(Value::Int8(self.0))
    }
}
