//! Arithmetic operators on numbers.
//!
//! Integers are computed in 128 bits and brought to the result's type (22003 if they do not fit); floats fail on overflow
//! to infinity and underflow to zero, as in PostgreSQL; NUMERIC is exact but for division.

use gemini_shadow_ops::{DataType, Numeric, Value};

use super::super::cast::out_of_range;
use super::super::function::{Arg, Call, Function, pure};
use super::super::numeric;
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

macro_rules! operators {
    ($($symbol:literal ($($arg:ident),+) $result:ident $eval:ident;)*) => {
        pub(in super::super) static OPERATORS: &[Function] =
            &[$(pure($symbol, &[$(Arg::$arg),+], Arg::$result, $eval)),*];
    };
}

operators! {
    "+" (Int2, Int2) Int2 arithmetic; "+" (Int4, Int4) Int4 arithmetic; "+" (Int8, Int8) Int8 arithmetic;
    "+" (Int2, Int4) Int4 arithmetic; "+" (Int4, Int2) Int4 arithmetic; "+" (Int2, Int8) Int8 arithmetic;
    "+" (Int8, Int2) Int8 arithmetic; "+" (Int4, Int8) Int8 arithmetic; "+" (Int8, Int4) Int8 arithmetic;
    "+" (Float4, Float4) Float4 arithmetic; "+" (Float8, Float8) Float8 arithmetic;
    "+" (Float4, Float8) Float8 arithmetic; "+" (Float8, Float4) Float8 arithmetic;
    "+" (Numeric, Numeric) Numeric arithmetic;
    "-" (Int2, Int2) Int2 arithmetic; "-" (Int4, Int4) Int4 arithmetic; "-" (Int8, Int8) Int8 arithmetic;
    "-" (Int2, Int4) Int4 arithmetic; "-" (Int4, Int2) Int4 arithmetic; "-" (Int2, Int8) Int8 arithmetic;
    "-" (Int8, Int2) Int8 arithmetic; "-" (Int4, Int8) Int8 arithmetic; "-" (Int8, Int4) Int8 arithmetic;
    "-" (Float4, Float4) Float4 arithmetic; "-" (Float8, Float8) Float8 arithmetic;
    "-" (Float4, Float8) Float8 arithmetic; "-" (Float8, Float4) Float8 arithmetic;
    "-" (Numeric, Numeric) Numeric arithmetic;
    "*" (Int2, Int2) Int2 arithmetic; "*" (Int4, Int4) Int4 arithmetic; "*" (Int8, Int8) Int8 arithmetic;
    "*" (Int2, Int4) Int4 arithmetic; "*" (Int4, Int2) Int4 arithmetic; "*" (Int2, Int8) Int8 arithmetic;
    "*" (Int8, Int2) Int8 arithmetic; "*" (Int4, Int8) Int8 arithmetic; "*" (Int8, Int4) Int8 arithmetic;
    "*" (Float4, Float4) Float4 arithmetic; "*" (Float8, Float8) Float8 arithmetic;
    "*" (Float4, Float8) Float8 arithmetic; "*" (Float8, Float4) Float8 arithmetic;
    "*" (Numeric, Numeric) Numeric arithmetic;
    "/" (Int2, Int2) Int2 arithmetic; "/" (Int4, Int4) Int4 arithmetic; "/" (Int8, Int8) Int8 arithmetic;
    "/" (Int2, Int4) Int4 arithmetic; "/" (Int4, Int2) Int4 arithmetic; "/" (Int2, Int8) Int8 arithmetic;
    "/" (Int8, Int2) Int8 arithmetic; "/" (Int4, Int8) Int8 arithmetic; "/" (Int8, Int4) Int8 arithmetic;
    "/" (Float4, Float4) Float4 arithmetic; "/" (Float8, Float8) Float8 arithmetic;
    "/" (Float4, Float8) Float8 arithmetic; "/" (Float8, Float4) Float8 arithmetic;
    "/" (Numeric, Numeric) Numeric arithmetic;
    "%" (Int2, Int2) Int2 arithmetic; "%" (Int4, Int4) Int4 arithmetic; "%" (Int8, Int8) Int8 arithmetic;
    "%" (Numeric, Numeric) Numeric arithmetic;
    "^" (Float8, Float8) Float8 power; "^" (Numeric, Numeric) Numeric power;
    "+" (Int2) Int2 same; "+" (Int4) Int4 same; "+" (Int8) Int8 same; "+" (Float4) Float4 same;
    "+" (Float8) Float8 same; "+" (Numeric) Numeric same;
    "-" (Int2) Int2 negate; "-" (Int4) Int4 negate; "-" (Int8) Int8 negate; "-" (Float4) Float4 negate;
    "-" (Float8) Float8 negate; "-" (Numeric) Numeric negate;
    "@" (Int2) Int2 abs; "@" (Int4) Int4 abs; "@" (Int8) Int8 abs; "@" (Float4) Float4 abs;
    "@" (Float8) Float8 abs; "@" (Numeric) Numeric abs;
    "|/" (Float8) Float8 sqrt; "||/" (Float8) Float8 cbrt;
    "&" (Int2, Int2) Int2 bits; "&" (Int4, Int4) Int4 bits; "&" (Int8, Int8) Int8 bits;
    "|" (Int2, Int2) Int2 bits; "|" (Int4, Int4) Int4 bits; "|" (Int8, Int8) Int8 bits;
    "#" (Int2, Int2) Int2 bits; "#" (Int4, Int4) Int4 bits; "#" (Int8, Int8) Int8 bits;
    "~" (Int2) Int2 complement; "~" (Int4) Int4 complement; "~" (Int8) Int8 complement;
    "<<" (Int2, Int4) Int2 shift; "<<" (Int4, Int4) Int4 shift; "<<" (Int8, Int4) Int8 shift;
    ">>" (Int2, Int4) Int2 shift; ">>" (Int4, Int4) Int4 shift; ">>" (Int8, Int4) Int8 shift;
}

/// An integer in a type, or 22003.
pub(super) fn integer(n: i128, ty: &DataType) -> Result<Value> {
    match gemini_shadow_ops::value::arith::integer_value(ty, n) {
        Value::Numeric(_) => Err(out_of_range(ty)),
        value => Ok(value),
    }
}

/// A float in a type; overflow and underflow are errors unless an input was already infinite (zero).
pub(super) fn float(result: f64, ty: &DataType, may_be_infinite: bool, may_be_zero: bool) -> Result<Value> {
    let error = |what: &str| {
        SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("value out of range: {what}"))
    };
    let (value, result) = match ty {
        DataType::Float4 => (Value::Float4(result as f32), f64::from(result as f32)),
        _ => (Value::Float8(result), result),
    };
    if result.is_infinite() && !may_be_infinite {
        return Err(error("overflow"));
    }
    if result == 0.0 && !may_be_zero {
        return Err(error("underflow"));
    }
    Ok(value)
}

fn arithmetic(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if let (Some(a), Some(b)) = (args[0].as_i64(), args[1].as_i64()) {
        let (a, b) = (i128::from(a), i128::from(b));
        let n = match call.name {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            _ if b == 0 => return Err(numeric::division_by_zero()),
            "/" => a / b,
            _ => a % b,
        };
        return integer(n, call.ty);
    }
    if let (Value::Numeric(a), Value::Numeric(b)) = (&args[0], &args[1]) {
        let n = match call.name {
            "+" => a.add(b),
            "-" => a.sub(b),
            "*" => a.mul(b),
            "/" => numeric::divide(a, b)?,
            _ => numeric::remainder(a, b)?,
        };
        return numeric::checked(n).map(Value::Numeric);
    }
    let (Some(a), Some(b)) = (args[0].as_f64(), args[1].as_f64()) else { return Err(mistyped(call)) };
    let infinite = a.is_infinite() || b.is_infinite();
    match call.name {
        "+" => float(a + b, call.ty, infinite, true),
        "-" => float(a - b, call.ty, infinite, true),
        "*" => float(a * b, call.ty, infinite, a == 0.0 || b == 0.0),
        _ if b == 0.0 && !a.is_nan() => Err(numeric::division_by_zero()),
        _ => float(a / b, call.ty, a.is_infinite(), a == 0.0 || b.is_infinite()),
    }
}

pub(super) fn power(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if let (Value::Numeric(a), Value::Numeric(b)) = (&args[0], &args[1]) {
        return numeric::power(a, b).map(Value::Numeric);
    }
    let (Some(a), Some(b)) = (args[0].as_f64(), args[1].as_f64()) else { return Err(mistyped(call)) };
    let invalid = |m: &str| Err(SqlError::new(sqlstate::INVALID_ARGUMENT_FOR_POWER_FUNCTION, m));
    if a == 0.0 && b < 0.0 {
        return invalid("zero raised to a negative power is undefined");
    }
    if a < 0.0 && b.is_finite() && b.fract() != 0.0 {
        return invalid("a negative number raised to a non-integer power yields a complex result");
    }
    let infinite = a.is_infinite() || b.is_infinite();
    float(a.powf(b), call.ty, infinite, infinite || a == 0.0)
}

fn same(args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(args[0].clone())
}

fn negate(args: &[Value], call: &Call<'_>) -> Result<Value> {
    match &args[0] {
        Value::Numeric(n) => Ok(Value::Numeric(n.neg())),
        Value::Float4(f) => Ok(Value::Float4(-f)),
        Value::Float8(f) => Ok(Value::Float8(-f)),
        other => integer(-i128::from(other.as_i64().ok_or_else(|| mistyped(call))?), call.ty),
    }
}

pub(super) fn abs(args: &[Value], call: &Call<'_>) -> Result<Value> {
    match &args[0] {
        Value::Numeric(n) => Ok(Value::Numeric(if n.is_negative() { n.neg() } else { Numeric::clone(n) })),
        Value::Float4(f) => Ok(Value::Float4(f.abs())),
        Value::Float8(f) => Ok(Value::Float8(f.abs())),
        other => integer(i128::from(other.as_i64().ok_or_else(|| mistyped(call))?).abs(), call.ty),
    }
}

pub(super) fn sqrt(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if let Value::Numeric(n) = &args[0] {
        return numeric::sqrt(n).map(Value::Numeric);
    }
    let f = args[0].as_f64().ok_or_else(|| mistyped(call))?;
    if f < 0.0 {
        return Err(SqlError::new(
            sqlstate::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            "cannot take square root of a negative number",
        ));
    }
    Ok(Value::Float8(f.sqrt()))
}

pub(super) fn cbrt(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Float8(args[0].as_f64().ok_or_else(|| mistyped(call))?.cbrt()))
}

fn bits(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (Some(a), Some(b)) = (args[0].as_i64(), args[1].as_i64()) else { return Err(mistyped(call)) };
    let n = match call.name {
        "&" => a & b,
        "|" => a | b,
        _ => a ^ b,
    };
    integer(i128::from(n), call.ty)
}

fn complement(args: &[Value], call: &Call<'_>) -> Result<Value> {
    integer(i128::from(!args[0].as_i64().ok_or_else(|| mistyped(call))?), call.ty)
}

fn shift(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let by = args[1].as_i64().unwrap_or(0) as u32;
    Ok(match (&args[0], call.name) {
        // An int2 is shifted as an int4 and cut.
        (Value::Int2(n), "<<") => Value::Int2(i32::from(*n).wrapping_shl(by) as i16),
        (Value::Int2(n), _) => Value::Int2(i32::from(*n).wrapping_shr(by) as i16),
        (Value::Int4(n), "<<") => Value::Int4(n.wrapping_shl(by)),
        (Value::Int4(n), _) => Value::Int4(n.wrapping_shr(by)),
        (Value::Int8(n), "<<") => Value::Int8(n.wrapping_shl(by)),
        (Value::Int8(n), _) => Value::Int8(n.wrapping_shr(by)),
        _ => return Err(mistyped(call)),
    })
}
