//! Functions and operators: what one is, and how a name with argument types is resolved to it.

use gemini_shadow_ops::{DataType, Value};

use super::{EvalContext, Expr};
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// How stable a function's answer is, for folding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// A function of its arguments alone.
    Immutable,
    /// Fixed within a statement.
    Stable,
    /// May differ at every call.
    Volatile,
}

/// What a function is called with besides its arguments.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Parameters, session.
    pub context: &'a EvalContext<'a>,
    /// The argument expressions, for their types.
    pub args: &'a [Expr],
    /// The type of the result.
    pub ty: &'a DataType,
}

/// What evaluates a call. A strict function never sees NULL.
pub type Eval = fn(&[Value], &Call<'_>) -> Result<Value>;

/// A declared argument or result type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Arg {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    Bpchar,
    Bytea,
    Date,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Oid,
    Name,
    Regclass,
    TextArray,
    Void,
    /// Any type at all, each argument its own.
    Any,
    /// One type, the same wherever it stands; `AnyArray` is its array.
    AnyElement,
    AnyArray,
}

/// A function or an operator (named by its symbol).
pub struct Function {
    /// Its name or symbol.
    pub name: &'static str,
    /// Declared arguments.
    pub args: &'static [Arg],
    /// The last argument may repeat.
    pub variadic: bool,
    /// Declared result.
    pub result: Arg,
    /// NULL if any argument is.
    pub strict: bool,
    /// For folding.
    pub volatility: Volatility,
    /// What runs.
    pub eval: Eval,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?}", self.name, self.args)
    }
}

/// A resolved call.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What to call.
    pub function: &'static Function,
    /// The type each argument must be cast to (implicitly); what an untyped parameter or literal takes.
    pub args: Vec<DataType>,
    /// The result's type.
    pub ty: DataType,
}

/// Finds the function that PostgreSQL would call; 42883 or 42725 with its message otherwise.
pub fn resolve_function(name: &str, args: &[DataType]) -> Result<Resolved> {
    let _ = args;
    Err(SqlError::new(sqlstate::UNDEFINED_FUNCTION, format!("function {name} does not exist")))
}

/// Finds an operator; `left` is None for a prefix operator.
pub fn resolve_operator(symbol: &str, left: Option<&DataType>, right: &DataType) -> Result<Resolved> {
    let _ = (left, right);
    Err(SqlError::new(sqlstate::UNDEFINED_FUNCTION, format!("operator does not exist: {symbol}")))
}

/// The type that CASE, COALESCE, UNION, VALUES, ARRAY and IN bring their inputs to; `what` names the construct
/// in the error (42804). All Unknown gives Text.
pub fn common_type(what: &str, types: &[DataType]) -> Result<DataType> {
    let _ = what;
    Ok(types.iter().find(|t| **t != DataType::Unknown).cloned().unwrap_or(DataType::Text))
}
