//! Arithmetic on delta columns: exact, in integers where they fit, else in decimals.

use gemini_shadow_ops::{Numeric, Value};

/// An integer value as i128.
pub fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int2(v) => Some(i128::from(*v)),
        Value::Int4(v) => Some(i128::from(*v)),
        Value::Int8(v) => Some(i128::from(*v)),
        _ => None,
    }
}

/// A change of a counter as a value: int8 where it fits.
fn from_integer(value: i128) -> Value {
    match i64::try_from(value) {
        Ok(v) => Value::Int8(v),
        Err(_) => Value::Numeric(Numeric(Some(std::sync::Arc::new(bigdecimal::BigDecimal::from(value))))),
    }
}

fn decimal(value: &Value) -> Option<bigdecimal::BigDecimal> {
    match value {
        Value::Numeric(Numeric(d)) => d.as_ref().map(|d| (**d).clone()),
        other => integer(other).map(bigdecimal::BigDecimal::from),
    }
}

fn combine(a: &Value, b: &Value, negate: bool) -> Value {
    if let (Some(x), Some(y)) = (integer(a), integer(b)) {
        return from_integer(if negate { x - y } else { x + y });
    }
    match (decimal(a), decimal(b)) {
        (Some(x), Some(y)) => {
            Value::Numeric(Numeric(Some(std::sync::Arc::new(if negate { x - y } else { x + y }))))
        }
        _ => Value::Numeric(Numeric(None)),
    }
}

/// a + b.
pub fn sum(a: &Value, b: &Value) -> Value {
    combine(a, b, false)
}

/// a - b: what to add to b to get a.
pub fn difference(a: &Value, b: &Value) -> Value {
    combine(a, b, true)
}
