//! Values from and to text, as PostgreSQL reads and prints them.

use gemini_shadow_ops::{DataType, Value};

use super::{Constant, EvalContext, SessionInfo};
use crate::error::Result;

/// Appends a value's text form (not NULL, which has none; it appends nothing).
pub fn write(out: &mut String, value: &Value, ty: &DataType, session: &SessionInfo) {
    let _ = (out, value, ty, session);
}

/// A value's text form.
pub fn output(value: &Value, ty: &DataType, session: &SessionInfo) -> String {
    let mut out = String::new();
    write(&mut out, value, ty, session);
    out
}

/// Reads a value of a type, its typmod applied as in an assignment.
pub fn input(text: &str, ty: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    let _ = (ty, context);
    Ok(Value::Text(text.into()))
}

/// Reads a constant that must not depend on the session.
pub fn input_constant(text: &str, ty: &DataType) -> Result<Value> {
    let environment = Constant::new();
    input(text, ty, &EvalContext::new(&[], &environment))
}
