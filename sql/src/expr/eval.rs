//! Evaluation.

use gemini_shadow_ops::Value;

use super::{EvalContext, Expr};
use crate::error::Result;

impl Expr {
    /// The value for a row.
    pub fn eval(&self, row: &[Value], context: &EvalContext<'_>) -> Result<Value> {
        let _ = (row, context);
        Ok(Value::Null)
    }

    /// Whether a condition holds: true, and neither false nor NULL.
    pub fn holds(&self, row: &[Value], context: &EvalContext<'_>) -> Result<bool> {
        Ok(self.eval(row, context)? == Value::Bool(true))
    }

    /// Replaces what needs no row by constants: immutable parts, and with a context (at the start of an execution) stable parts,
    /// parameters and outer rows too; never subqueries. What fails to evaluate is left as it is, to fail if it is reached.
    pub fn fold(&mut self, context: Option<&EvalContext<'_>>) {
        let _ = context;
    }
}
