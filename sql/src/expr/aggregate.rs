//! Aggregate functions: accumulators fed one row's arguments at a time.
//!
//! Sums of integers are kept in 128 bits and sums of NUMERIC exactly, so their order does not matter; sums of floats are
//! in the order of the rows. Result types are PostgreSQL's: sum of int2 and int4 is int8, of int8 numeric; averages and
//! deviations of exact numbers are numeric, with the scale of a division.

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Interval, Numeric, Value};

use super::cast::{CastKind, castable};
use super::types::{bare, display};
use super::{EvalContext, datetime, numeric};
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
    /// Takes back the oldest row's arguments, as a window's frame moves on. False: it cannot, start anew.
    fn remove(&mut self, _args: &[Value]) -> bool {
        false
    }
    /// The result of what has been added so far; more may follow.
    fn finish(&mut self) -> Result<Value>;
}

const NAMES: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "max",
    "min",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// Every aggregate's name: for the catalogue (pg_proc).
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// Whether a name is an aggregate's.
pub fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Resolves an aggregate; no arguments is count(*).
pub fn resolve_aggregate(name: &str, args: &[DataType]) -> Result<Aggregate> {
    use DataType as T;
    let unknown = || super::resolve::no_function(name, args);
    let name = NAMES.iter().copied().find(|n| *n == name).ok_or_else(unknown)?;
    let first = args.first().map(bare);
    let made = |args: Vec<DataType>, ty: DataType| Ok(Aggregate { name, args, ty });
    match (name, args.len(), first) {
        ("count", 0, _) => made(Vec::new(), T::Int8),
        ("count", 1, Some(ty)) => made(vec![known(ty)], T::Int8),
        ("sum", 1, Some(ty)) => match ty {
            T::Int2 | T::Int4 => made(vec![ty], T::Int8),
            T::Int8 | T::Numeric(_) => made(vec![ty], T::Numeric(None)),
            T::Float4 | T::Float8 | T::Interval => made(vec![ty.clone()], ty),
            T::Unknown => Err(ambiguous(name, args)),
            _ => Err(unknown()),
        },
        ("avg", 1, Some(ty)) => match ty {
            T::Int2 | T::Int4 | T::Int8 | T::Numeric(_) => made(vec![ty], T::Numeric(None)),
            T::Float4 | T::Float8 => made(vec![T::Float8], T::Float8),
            T::Interval => made(vec![T::Interval], T::Interval),
            T::Unknown => Err(ambiguous(name, args)),
            _ => Err(unknown()),
        },
        ("min" | "max", 1, Some(ty)) => match ty {
            T::Bool | T::Uuid | T::Bytea | T::Void => Err(unknown()),
            T::Varchar(_) | T::Unknown | T::Name => made(vec![T::Text], T::Text),
            ty => made(vec![ty.clone()], ty),
        },
        ("bool_and" | "bool_or" | "every", 1, Some(T::Bool | T::Unknown)) => made(vec![T::Bool], T::Bool),
        ("bit_and" | "bit_or", 1, Some(ty)) if ty.is_integer() => made(vec![ty.clone()], ty),
        ("string_agg", 2, Some(T::Bytea)) => made(vec![T::Bytea, T::Bytea], T::Bytea),
        ("string_agg", 2, Some(ty)) => {
            let text = |t: &DataType| castable(t, &T::Text, CastKind::Implicit);
            if !text(&ty) || !text(&args[1]) {
                return Err(unknown());
            }
            made(vec![T::Text, T::Text], T::Text)
        }
        ("array_agg", 1, Some(T::Array(element))) => made(vec![T::Array(element.clone())], T::Array(element)),
        ("array_agg", 1, Some(ty)) => {
            let ty = known(ty);
            made(vec![ty.clone()], T::Array(Box::new(ty)))
        }
        ("stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop", 1, Some(ty)) => {
            match ty {
                T::Int2 | T::Int4 | T::Int8 | T::Numeric(_) => made(vec![T::Numeric(None)], T::Numeric(None)),
                T::Float4 | T::Float8 | T::Unknown => made(vec![T::Float8], T::Float8),
                _ => Err(unknown()),
            }
        }
        _ => Err(unknown()),
    }
}

fn known(ty: DataType) -> DataType {
    if ty == DataType::Unknown { DataType::Text } else { ty }
}

fn ambiguous(name: &str, args: &[DataType]) -> SqlError {
    let types: Vec<String> = args.iter().map(display).collect();
    SqlError::new(
        sqlstate::AMBIGUOUS_FUNCTION,
        format!("function {name}({}) is not unique", types.join(", ")),
    )
    .hint("Could not choose a best candidate function. You might need to add explicit type casts.")
}

impl Aggregate {
    /// A fresh accumulator.
    pub fn accumulator(&self, _context: &EvalContext<'_>) -> Box<dyn Accumulator> {
        self.start()
    }

    /// A fresh accumulator.
    pub fn start(&self) -> Box<dyn Accumulator> {
        let deviation = |square_root, sample| -> Box<dyn Accumulator> {
            if self.ty == DataType::Float8 {
                Box::new(FloatDeviation { n: 0.0, sum: 0.0, squares: 0.0, square_root, sample })
            } else {
                Box::new(Deviation {
                    n: 0,
                    sum: Numeric::from(0i64),
                    squares: Numeric::from(0i64),
                    square_root,
                    sample,
                })
            }
        };
        match self.name {
            "count" => Box::new(Count { n: 0, all: self.args.is_empty() }),
            "sum" | "avg" => {
                Box::new(Sum { average: self.name == "avg", ty: self.ty.clone(), n: 0, sum: Total::None })
            }
            "min" => Box::new(Extreme { best: Value::Null, wanted: std::cmp::Ordering::Less }),
            "max" => Box::new(Extreme { best: Value::Null, wanted: std::cmp::Ordering::Greater }),
            "bool_or" => Box::new(Fold { value: Value::Null, f: |a, b| or_values(a, b) }),
            "bool_and" | "every" => Box::new(Fold { value: Value::Null, f: |a, b| and_values(a, b) }),
            "bit_and" => Box::new(Fold { value: Value::Null, f: |a, b| bits(a, b, |x, y| x & y) }),
            "bit_or" => Box::new(Fold { value: Value::Null, f: |a, b| bits(a, b, |x, y| x | y) }),
            "string_agg" => Box::new(Strings { text: None, bytes: None }),
            "stddev" | "stddev_samp" => deviation(true, true),
            "stddev_pop" => deviation(true, false),
            "variance" | "var_samp" => deviation(false, true),
            "var_pop" => deviation(false, false),
            _ => Box::new(List(Vec::new())),
        }
    }
}

fn argument(args: &[Value]) -> &Value {
    static NULL: Value = Value::Null;
    args.first().unwrap_or(&NULL)
}

struct Count {
    n: i64,
    /// count(*): NULLs too.
    all: bool,
}

impl Accumulator for Count {
    fn add(&mut self, args: &[Value]) -> Result<()> {
        self.n += i64::from(self.all || !argument(args).is_null());
        Ok(())
    }

    fn remove(&mut self, args: &[Value]) -> bool {
        self.n -= i64::from(self.all || !argument(args).is_null());
        true
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(Value::Int8(self.n))
    }
}

enum Total {
    None,
    Integer(i128),
    Exact(Numeric),
    Float(f64),
    Span(Interval),
}

struct Sum {
    average: bool,
    ty: DataType,
    n: i64,
    sum: Total,
}

impl Accumulator for Sum {
    fn add(&mut self, args: &[Value]) -> Result<()> {
        let value = argument(args);
        if value.is_null() {
            return Ok(());
        }
        self.n += 1;
        let wrong = || SqlError::internal("sum of a value that is no number");
        self.sum = match (std::mem::replace(&mut self.sum, Total::None), value) {
            (Total::None, Value::Numeric(n)) => Total::Exact(n.clone()),
            (Total::Exact(sum), Value::Numeric(n)) => Total::Exact(sum.add(n)),
            (Total::None, Value::Interval(span)) => Total::Span(*span),
            (Total::Span(sum), Value::Interval(span)) => Total::Span(datetime::add_intervals(&sum, span)?),
            (Total::None, Value::Float4(_) | Value::Float8(_)) => {
                Total::Float(value.as_f64().ok_or_else(wrong)?)
            }
            (Total::Float(sum), other) => {
                let f = other.as_f64().ok_or_else(wrong)?;
                let mut next = sum + f;
                if self.ty == DataType::Float4 {
                    next = f64::from(next as f32);
                }
                if next.is_infinite() && sum.is_finite() && f.is_finite() {
                    return Err(SqlError::new(
                        sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                        "value out of range: overflow",
                    ));
                }
                Total::Float(next)
            }
            (Total::None, other) => Total::Integer(i128::from(other.as_i64().ok_or_else(wrong)?)),
            (Total::Integer(sum), other) => {
                Total::Integer(sum + i128::from(other.as_i64().ok_or_else(wrong)?))
            }
            _ => return Err(wrong()),
        };
        Ok(())
    }

    /// Sums of integers only: their order does not matter, and no scale tells what they were made of.
    fn remove(&mut self, args: &[Value]) -> bool {
        let value = argument(args);
        if value.is_null() {
            return true;
        }
        match (&self.sum, value.as_i64()) {
            (Total::Integer(sum), Some(value)) => {
                self.n -= 1;
                let rest = sum - i128::from(value);
                self.sum = if self.n == 0 { Total::None } else { Total::Integer(rest) };
                true
            }
            _ => false,
        }
    }

    fn finish(&mut self) -> Result<Value> {
        let n = Numeric::from(self.n);
        let exact = |sum: &Numeric| {
            let result =
                if self.average { numeric::divide(sum, &n)? } else { numeric::checked(sum.clone())? };
            Ok(Value::Numeric(result))
        };
        match &self.sum {
            Total::None => Ok(Value::Null),
            Total::Exact(sum) => exact(sum),
            Total::Integer(sum) if self.ty == DataType::Int8 => {
                let sum = i64::try_from(*sum);
                sum.map(Value::Int8).map_err(|_| super::cast::out_of_range(&DataType::Int8))
            }
            Total::Integer(sum) => exact(&Numeric::from(*sum)),
            Total::Float(sum) if self.average => Ok(Value::Float8(sum / self.n as f64)),
            Total::Float(sum) if self.ty == DataType::Float4 => Ok(Value::Float4(*sum as f32)),
            Total::Float(sum) => Ok(Value::Float8(*sum)),
            Total::Span(sum) if self.average => datetime::divide(sum, self.n as f64).map(Value::Interval),
            Total::Span(sum) => Ok(Value::Interval(*sum)),
        }
    }
}

struct Extreme {
    best: Value,
    wanted: std::cmp::Ordering,
}

impl Accumulator for Extreme {
    fn add(&mut self, args: &[Value]) -> Result<()> {
        let value = argument(args);
        // Of equal values (1.0, 1.00) the later one is kept, as in PostgreSQL.
        if !value.is_null() && (self.best.is_null() || self.best.compare(value) != self.wanted) {
            self.best = value.clone();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(self.best.clone())
    }
}

/// Combines values two by two, NULLs left out.
struct Fold {
    value: Value,
    f: fn(&Value, &Value) -> Value,
}

fn and_values(a: &Value, b: &Value) -> Value {
    Value::Bool(a.as_bool() == Some(true) && b.as_bool() == Some(true))
}

fn or_values(a: &Value, b: &Value) -> Value {
    Value::Bool(a.as_bool() == Some(true) || b.as_bool() == Some(true))
}

fn bits(a: &Value, b: &Value, f: fn(i64, i64) -> i64) -> Value {
    match (a, b) {
        (Value::Int2(x), Value::Int2(y)) => Value::Int2(f(i64::from(*x), i64::from(*y)) as i16),
        (Value::Int4(x), Value::Int4(y)) => Value::Int4(f(i64::from(*x), i64::from(*y)) as i32),
        (Value::Int8(x), Value::Int8(y)) => Value::Int8(f(*x, *y)),
        _ => Value::Null,
    }
}

impl Accumulator for Fold {
    fn add(&mut self, args: &[Value]) -> Result<()> {
        let value = argument(args);
        if !value.is_null() {
            self.value = if self.value.is_null() { value.clone() } else { (self.f)(&self.value, value) };
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(self.value.clone())
    }
}

/// string_agg: the delimiter of a row stands before its value.
struct Strings {
    text: Option<String>,
    bytes: Option<Vec<u8>>,
}

impl Accumulator for Strings {
    fn add(&mut self, args: &[Value]) -> Result<()> {
        match (args.first(), args.get(1)) {
            (Some(Value::Text(value)), delimiter) => match &mut self.text {
                None => self.text = Some(value.to_string()),
                Some(text) => {
                    text.push_str(delimiter.and_then(Value::as_text).unwrap_or(""));
                    text.push_str(value);
                }
            },
            (Some(Value::Bytea(value)), delimiter) => match &mut self.bytes {
                None => self.bytes = Some(value.to_vec()),
                Some(bytes) => {
                    if let Some(Value::Bytea(delimiter)) = delimiter {
                        bytes.extend_from_slice(delimiter);
                    }
                    bytes.extend_from_slice(value);
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(match (&self.text, &self.bytes) {
            (Some(text), _) => Value::text(text.as_str()),
            (None, Some(bytes)) => Value::Bytea(bytes.as_slice().into()),
            (None, None) => Value::Null,
        })
    }
}

/// array_agg, NULLs and all.
struct List(Vec<Value>);

impl Accumulator for List {
    fn add(&mut self, args: &[Value]) -> Result<()> {
        self.0.push(argument(args).clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        if self.0.is_empty() {
            return Ok(Value::Null);
        }
        Ok(Value::Array(Arc::new(self.0.clone())))
    }
}

/// Variance of exact numbers: (N·Σx² − (Σx)²) / (N·(N−1)), or N·N of a whole population.
struct Deviation {
    n: i64,
    sum: Numeric,
    squares: Numeric,
    square_root: bool,
    sample: bool,
}

impl Accumulator for Deviation {
    fn add(&mut self, args: &[Value]) -> Result<()> {
        if let Some(n) = argument(args).exact() {
            self.n += 1;
            self.squares = self.squares.add(&n.mul(&n));
            self.sum = self.sum.add(&n);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        if self.n == 0 || (self.sample && self.n == 1) {
            return Ok(Value::Null);
        }
        if self.sum.is_nan() {
            return Ok(Value::Numeric(Numeric::NAN));
        }
        let n = Numeric::from(self.n);
        let divisor = n.mul(&Numeric::from(if self.sample { self.n - 1 } else { self.n }));
        let spread = n.mul(&self.squares).sub(&self.sum.mul(&self.sum));
        if spread.is_zero() || spread.is_negative() {
            return Ok(Value::Numeric(Numeric::from(0i64)));
        }
        let scale = numeric::division_scale(&spread, &divisor);
        let variance = numeric::divide_to(&spread, &divisor, scale)?;
        if !self.square_root {
            return Ok(Value::Numeric(variance));
        }
        let (mantissa, have) = variance.parts().unwrap_or_default();
        Ok(Value::Numeric(numeric::sqrt_to(&mantissa, i64::from(have), scale)))
    }
}

/// Variance of floats, updated as PostgreSQL does (Youngs and Cramer).
struct FloatDeviation {
    n: f64,
    sum: f64,
    squares: f64,
    square_root: bool,
    sample: bool,
}

impl Accumulator for FloatDeviation {
    fn add(&mut self, args: &[Value]) -> Result<()> {
        let Some(x) = argument(args).as_f64() else { return Ok(()) };
        let finite = self.sum.is_finite() && self.squares.is_finite() && x.is_finite();
        self.n += 1.0;
        self.sum += x;
        if self.n > 1.0 {
            let spread = x * self.n - self.sum;
            self.squares += spread * spread / (self.n * (self.n - 1.0));
        } else if !x.is_finite() {
            self.squares = f64::NAN;
        }
        if finite && (self.sum.is_infinite() || self.squares.is_infinite()) {
            return Err(SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        if self.n == 0.0 || (self.sample && self.n == 1.0) {
            return Ok(Value::Null);
        }
        let variance = self.squares / if self.sample { self.n - 1.0 } else { self.n };
        Ok(Value::Float8(if self.square_root { variance.sqrt() } else { variance }))
    }
}
