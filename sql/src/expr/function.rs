//! Functions and operators: what one is, and the registry of all of them.
//!
//! A function is a name, declared types and a pointer. An operator is a function named by its symbol, with one argument
//! (prefix) or two. The tables stand with their implementations, in [`super::functions`]; the registry only indexes
//! them by name. How a name is resolved is [`super::resolve`]'s.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gemini_shadow_ops::{DataType, Value};

use super::{EvalContext, Expr};
use crate::error::Result;

pub use super::resolve::{common_type, resolve_function, resolve_operator};

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
    /// The function's own name (some share an implementation).
    pub name: &'static str,
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
    Name,
    InternalChar,
    Bytea,
    Date,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Oid,
    Regclass,
    Regtype,
    TextArray,
    NameArray,
    Void,
    Json,
    /// Any type at all, each argument its own.
    Any,
    /// One type, the same wherever it stands; `AnyArray` is its array.
    AnyElement,
    /// Like `AnyElement`, but no array.
    AnyNonArray,
    AnyArray,
}

impl Arg {
    /// The type; None if it depends on the call.
    pub fn data_type(self) -> Option<DataType> {
        Some(match self {
            Arg::Bool => DataType::Bool,
            Arg::Int2 => DataType::Int2,
            Arg::Int4 => DataType::Int4,
            Arg::Int8 => DataType::Int8,
            Arg::Float4 => DataType::Float4,
            Arg::Float8 => DataType::Float8,
            Arg::Numeric => DataType::Numeric(None),
            Arg::Text => DataType::Text,
            Arg::Varchar => DataType::Varchar(None),
            Arg::Bpchar => DataType::Char(0),
            Arg::Name => DataType::Name,
            Arg::InternalChar => DataType::InternalChar,
            Arg::Bytea => DataType::Bytea,
            Arg::Date => DataType::Date,
            Arg::Timestamp => DataType::Timestamp,
            Arg::Timestamptz => DataType::Timestamptz,
            Arg::Interval => DataType::Interval,
            Arg::Uuid => DataType::Uuid,
            Arg::Oid => DataType::Oid,
            Arg::Regclass => DataType::Regclass,
            Arg::Regtype => DataType::Regtype,
            Arg::TextArray => DataType::Array(Box::new(DataType::Text)),
            Arg::NameArray => DataType::Array(Box::new(DataType::Name)),
            Arg::Void => DataType::Void,
            Arg::Json => DataType::Json,
            Arg::Any | Arg::AnyElement | Arg::AnyNonArray | Arg::AnyArray => return None,
        })
    }
}

/// A function or an operator (named by its symbol).
#[derive(Clone, Copy)]
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

/// A strict, immutable function: what most are.
pub(super) const fn pure(name: &'static str, args: &'static [Arg], result: Arg, eval: Eval) -> Function {
    Function { name, args, variadic: false, result, strict: true, volatility: Volatility::Immutable, eval }
}

impl Function {
    /// Sees NULLs.
    pub(super) const fn lenient(mut self) -> Function {
        self.strict = false;
        self
    }

    /// Fixed within a statement only.
    pub(super) const fn stable(mut self) -> Function {
        self.volatility = Volatility::Stable;
        self
    }

    /// Never folded.
    pub(super) const fn volatile(mut self) -> Function {
        self.volatility = Volatility::Volatile;
        self
    }

    /// The last argument repeats.
    pub(super) const fn repeated(mut self) -> Function {
        self.variadic = true;
        self
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

type Index = BTreeMap<&'static str, Vec<&'static Function>>;

fn index(tables: &[&'static [Function]]) -> Index {
    let mut index = Index::new();
    for function in tables.iter().flat_map(|t| t.iter()) {
        index.entry(function.name).or_default().push(function);
    }
    index
}

/// The functions of a name; empty if there is none.
pub fn functions(name: &str) -> &'static [&'static Function] {
    static INDEX: LazyLock<Index> = LazyLock::new(|| index(super::functions::FUNCTIONS));
    INDEX.get(name).map_or(&[], Vec::as_slice)
}

/// The operators of a symbol; empty if there is none.
pub fn operators(symbol: &str) -> &'static [&'static Function] {
    static INDEX: LazyLock<Index> = LazyLock::new(|| {
        let mut all = index(super::functions::OPERATORS);
        for function in super::functions::compare::operators() {
            all.entry(function.name).or_default().push(function);
        }
        all
    });
    INDEX.get(symbol).map_or(&[], Vec::as_slice)
}

/// Every function, by name: for the catalogue (pg_proc).
pub fn all_functions() -> impl Iterator<Item = &'static Function> {
    super::functions::FUNCTIONS.iter().flat_map(|t| t.iter())
}

/// Every operator: for the catalogue (pg_operator).
pub fn all_operators() -> impl Iterator<Item = &'static Function> {
    let tables = super::functions::OPERATORS.iter().flat_map(|t| t.iter());
    tables.chain(super::functions::compare::operators())
}
