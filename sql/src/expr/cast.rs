//! Casts between types.

use gemini_shadow_ops::{DataType, Value};

use super::{EvalContext, Volatility};
use crate::error::Result;

/// How a cast came about; each allows what the one before it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastKind {
    /// To make an operator or function fit.
    Implicit,
    /// To store into a column.
    Assignment,
    /// CAST, `::`.
    Explicit,
}

/// Whether there is such a cast.
pub fn castable(from: &DataType, to: &DataType, kind: CastKind) -> bool {
    let _ = kind;
    from == to
}

/// Casts a value. 42846 if there is no such cast of that kind.
pub fn cast(
    value: &Value,
    from: &DataType,
    to: &DataType,
    kind: CastKind,
    context: &EvalContext<'_>,
) -> Result<Value> {
    let _ = (from, to, kind, context);
    Ok(value.clone())
}

/// Whether the cast depends on the session (time zone, 'now', catalogue).
pub fn volatility(from: &DataType, to: &DataType) -> Volatility {
    let _ = (from, to);
    Volatility::Immutable
}
