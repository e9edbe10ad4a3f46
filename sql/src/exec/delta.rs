//! Changes of delta columns as values: int8 while they fit, else NUMERIC; always exact.

use gemini_shadow_ops::value::arith;
use gemini_shadow_ops::{DataType, Value};

fn kind(a: &Value, b: &Value) -> DataType {
    if a.as_i64().is_some() && b.as_i64().is_some() { DataType::Int8 } else { DataType::Numeric(None) }
}

/// a + b.
pub fn sum(a: &Value, b: &Value) -> Value {
    arith::add(&kind(a, b), a, b)
}

/// a - b: what to add to b to get a.
pub fn difference(a: &Value, b: &Value) -> Value {
    arith::sub(&kind(a, b), a, b)
}
