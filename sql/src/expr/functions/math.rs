//! Numeric functions.

use gemini_shadow_ops::{DataType, Numeric, Value};

use super::super::function::{Arg, Call, Function, pure};
use super::super::numeric;
use super::arith::{abs, cbrt, float, integer, power, sqrt};
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{Float4, Float8, Int2, Int4, Int8};

const N: Arg = Arg::Numeric;

pub(super) static FUNCTIONS: &[Function] = &[
    pure("abs", &[Int2], Int2, abs),
    pure("abs", &[Int4], Int4, abs),
    pure("abs", &[Int8], Int8, abs),
    pure("abs", &[Float4], Float4, abs),
    pure("abs", &[Float8], Float8, abs),
    pure("abs", &[N], N, abs),
    pure("ceil", &[Float8], Float8, rounding),
    pure("ceil", &[N], N, rounding),
    pure("ceiling", &[Float8], Float8, rounding),
    pure("ceiling", &[N], N, rounding),
    pure("floor", &[Float8], Float8, rounding),
    pure("floor", &[N], N, rounding),
    pure("round", &[Float8], Float8, rounding),
    pure("round", &[N], N, rounding),
    pure("round", &[N, Int4], N, rounding),
    pure("trunc", &[Float8], Float8, rounding),
    pure("trunc", &[N], N, rounding),
    pure("trunc", &[N, Int4], N, rounding),
    pure("sign", &[Float8], Float8, sign),
    pure("sign", &[N], N, sign),
    pure("mod", &[Int2, Int2], Int2, modulo),
    pure("mod", &[Int4, Int4], Int4, modulo),
    pure("mod", &[Int8, Int8], Int8, modulo),
    pure("mod", &[N, N], N, modulo),
    pure("div", &[N, N], N, div),
    pure("gcd", &[Int4, Int4], Int4, gcd),
    pure("gcd", &[Int8, Int8], Int8, gcd),
    pure("gcd", &[N, N], N, gcd),
    pure("lcm", &[Int4, Int4], Int4, lcm),
    pure("lcm", &[Int8, Int8], Int8, lcm),
    pure("power", &[Float8, Float8], Float8, power),
    pure("power", &[N, N], N, power),
    pure("pow", &[Float8, Float8], Float8, power),
    pure("pow", &[N, N], N, power),
    pure("sqrt", &[Float8], Float8, sqrt),
    pure("sqrt", &[N], N, sqrt),
    pure("cbrt", &[Float8], Float8, cbrt),
    pure("exp", &[Float8], Float8, exp),
    pure("exp", &[N], N, exp),
    pure("ln", &[Float8], Float8, logarithm),
    pure("ln", &[N], N, logarithm),
    pure("log", &[Float8], Float8, logarithm),
    pure("log", &[N], N, logarithm),
    pure("log10", &[Float8], Float8, logarithm),
    pure("log10", &[N], N, logarithm),
    pure("log", &[N, N], N, logarithm),
    pure("pi", &[], Float8, pi),
    pure("degrees", &[Float8], Float8, trigonometry),
    pure("radians", &[Float8], Float8, trigonometry),
    pure("sin", &[Float8], Float8, trigonometry),
    pure("cos", &[Float8], Float8, trigonometry),
    pure("tan", &[Float8], Float8, trigonometry),
    pure("cot", &[Float8], Float8, trigonometry),
    pure("asin", &[Float8], Float8, trigonometry),
    pure("acos", &[Float8], Float8, trigonometry),
    pure("atan", &[Float8], Float8, trigonometry),
    pure("sinh", &[Float8], Float8, trigonometry),
    pure("cosh", &[Float8], Float8, trigonometry),
    pure("tanh", &[Float8], Float8, trigonometry),
    pure("atan2", &[Float8, Float8], Float8, atan2),
    pure("random", &[], Float8, random).volatile(),
    pure("setseed", &[Float8], Arg::Void, setseed).volatile(),
    pure("scale", &[N], Int4, scale),
    pure("min_scale", &[N], Int4, scale),
    pure("trim_scale", &[N], N, trim_scale),
    pure("width_bucket", &[N, N, N, Int4], Int4, width_bucket),
    pure("width_bucket", &[Float8, Float8, Float8, Int4], Int4, width_bucket),
];

/// ceil, floor, round, trunc.
fn rounding(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if let Value::Numeric(n) = &args[0] {
        let scale = args.get(1).and_then(Value::as_i64).unwrap_or(0).clamp(-150_000, 16_383);
        return Ok(Value::Numeric(match call.name {
            "ceil" | "ceiling" => numeric::floor(n, true),
            "floor" => numeric::floor(n, false),
            "round" => numeric::checked(n.round(scale))?,
            _ => n.truncate(scale),
        }));
    }
    let f = args[0].as_f64().ok_or_else(|| mistyped(call))?;
    Ok(Value::Float8(match call.name {
        "ceil" | "ceiling" => f.ceil(),
        "floor" => f.floor(),
        "round" => f.round_ties_even(),
        _ => f.trunc(),
    }))
}

fn sign(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if let Value::Numeric(n) = &args[0] {
        let sign = if n.is_nan() {
            return Ok(args[0].clone());
        } else if n.is_zero() {
            0i64
        } else if n.is_negative() {
            -1
        } else {
            1
        };
        return Ok(Value::Numeric(Numeric::from(sign)));
    }
    let f = args[0].as_f64().ok_or_else(|| mistyped(call))?;
    Ok(Value::Float8(if f > 0.0 {
        1.0
    } else if f < 0.0 {
        -1.0
    } else if f.is_nan() {
        f
    } else {
        0.0
    }))
}

fn modulo(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if let (Value::Numeric(a), Value::Numeric(b)) = (&args[0], &args[1]) {
        return numeric::remainder(a, b).map(Value::Numeric);
    }
    let (a, b) = two(args, call)?;
    if b == 0 {
        return Err(numeric::division_by_zero());
    }
    integer(a % b, call.ty)
}

fn two(args: &[Value], call: &Call<'_>) -> Result<(i128, i128)> {
    match (args[0].as_i64(), args[1].as_i64()) {
        (Some(a), Some(b)) => Ok((i128::from(a), i128::from(b))),
        _ => Err(mistyped(call)),
    }
}

fn div(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (Value::Numeric(a), Value::Numeric(b)) = (&args[0], &args[1]) else { return Err(mistyped(call)) };
    numeric::div(a, b).map(Value::Numeric)
}

fn gcd_of(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs()
}

fn gcd(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if let (Value::Numeric(a), Value::Numeric(b)) = (&args[0], &args[1]) {
        return Ok(Value::Numeric(numeric::gcd(a, b)));
    }
    let (a, b) = two(args, call)?;
    integer(gcd_of(a, b), call.ty)
}

fn lcm(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (a, b) = two(args, call)?;
    let divisor = gcd_of(a, b);
    integer(if divisor == 0 { 0 } else { (a / divisor * b).abs() }, call.ty)
}

fn exp(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if let Value::Numeric(n) = &args[0] {
        return numeric::exp(n).map(Value::Numeric);
    }
    let f = args[0].as_f64().ok_or_else(|| mistyped(call))?;
    float(f.exp(), call.ty, f.is_infinite(), f.is_infinite())
}

/// ln; log and log10 of one argument; log(base, x).
fn logarithm(args: &[Value], call: &Call<'_>) -> Result<Value> {
    match args {
        [Value::Numeric(base), Value::Numeric(n)] => return numeric::log(base, n).map(Value::Numeric),
        [Value::Numeric(n)] if call.name == "ln" => return numeric::ln(n).map(Value::Numeric),
        [Value::Numeric(n)] => return numeric::log(&Numeric::from(10i64), n).map(Value::Numeric),
        _ => {}
    }
    let f = args[0].as_f64().ok_or_else(|| mistyped(call))?;
    let invalid = |m: &str| Err(SqlError::new(sqlstate::INVALID_ARGUMENT_FOR_LOGARITHM, m));
    if f == 0.0 {
        return invalid("cannot take logarithm of zero");
    }
    if f < 0.0 {
        return invalid("cannot take logarithm of a negative number");
    }
    Ok(Value::Float8(if call.name == "ln" { f.ln() } else { f.log10() }))
}

fn pi(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::Float8(std::f64::consts::PI))
}

fn trigonometry(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let f = args[0].as_f64().ok_or_else(|| mistyped(call))?;
    let out_of_range = || SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range");
    let result = match call.name {
        "degrees" => f.to_degrees(),
        "radians" => f.to_radians(),
        "sinh" => f.sinh(),
        "cosh" => f.cosh(),
        "tanh" => f.tanh(),
        "atan" => f.atan(),
        "asin" | "acos" if !(-1.0..=1.0).contains(&f) && !f.is_nan() => return Err(out_of_range()),
        "asin" => f.asin(),
        "acos" => f.acos(),
        _ if f.is_infinite() => return Err(out_of_range()),
        "sin" => f.sin(),
        "cos" => f.cos(),
        "tan" => f.tan(),
        _ => 1.0 / f.tan(),
    };
    Ok(Value::Float8(result))
}

fn atan2(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (Some(y), Some(x)) = (args[0].as_f64(), args[1].as_f64()) else { return Err(mistyped(call)) };
    Ok(Value::Float8(y.atan2(x)))
}

/// In [0, 1), from 53 random bits.
fn random(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    let bits = call.context.environment.random() >> 11;
    Ok(Value::Float8(bits as f64 / (1u64 << 53) as f64))
}

/// The site's randomness is not the session's to seed.
fn setseed(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Err(SqlError::unsupported("setseed()", "Generate repeatable values in the application."))
}

fn scale(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let Value::Numeric(n) = &args[0] else { return Err(mistyped(call)) };
    if n.is_nan() {
        return Ok(Value::Null);
    }
    let n = if call.name == "min_scale" { trimmed(n) } else { n.clone() };
    Ok(Value::Int4(i32::from(n.scale())))
}

fn trimmed(n: &Numeric) -> Numeric {
    let mut scale = i64::from(n.scale());
    while scale > 0 && n.truncate(scale - 1).compare(n).is_eq() {
        scale -= 1;
    }
    n.truncate(scale)
}

fn trim_scale(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let Value::Numeric(n) = &args[0] else { return Err(mistyped(call)) };
    Ok(Value::Numeric(trimmed(n)))
}

fn width_bucket(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let invalid = |m: &str| SqlError::new(sqlstate::INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION, m);
    let count = args[3].as_i64().unwrap_or(0);
    if count <= 0 {
        return Err(invalid("count must be greater than zero"));
    }
    let (operand, low, high) = (&args[0], &args[1], &args[2]);
    let equal = low.compare(high);
    if equal.is_eq() {
        return Err(invalid("lower bound cannot equal upper bound"));
    }
    let before = if equal.is_lt() { operand.compare(low).is_lt() } else { operand.compare(low).is_gt() };
    if before {
        return Ok(Value::Int4(0));
    }
    let after = if equal.is_lt() { operand.compare(high).is_ge() } else { operand.compare(high).is_le() };
    if after {
        return integer(i128::from(count) + 1, &DataType::Int4);
    }
    let bucket = match (operand, low, high) {
        (Value::Numeric(x), Value::Numeric(a), Value::Numeric(b)) => {
            let (part, whole) = (x.sub(a), b.sub(a));
            let scaled = part.mul(&Numeric::from(count));
            numeric::div(&scaled, &whole)?.to_i128().unwrap_or(0)
        }
        _ => {
            let (Some(x), Some(a), Some(b)) = (operand.as_f64(), low.as_f64(), high.as_f64()) else {
                return Err(mistyped(call));
            };
            ((x - a) / (b - a) * count as f64) as i128
        }
    };
    integer(bucket + 1, &DataType::Int4)
}
