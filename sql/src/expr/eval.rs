//! Evaluation: one recursive walk per row, no look-ups.
//!
//! Three-valued logic: a boolean NULL is "unknown". AND is false as soon as a part is false, OR true as soon as one is
//! true, whatever the rest is; a quantified comparison with a NULL among the values is unknown unless it is decided by
//! another. Constant parts are evaluated once, by [`Expr::fold`]; what fails there is left for the row that reaches it,
//! as in `CASE WHEN x <> 0 THEN 1 / x END`.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use gemini_shadow_ops::{DataType, Value};

use super::function::Call;
use super::functions::pattern;
use super::{CompareOp, Constant, EvalContext, Expr, ExprKind, Outer, SubqueryTest, Volatility, cast};
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// Arguments of most calls fit here without an allocation.
const FEW: usize = 3;

fn truth(value: Option<bool>) -> Value {
    value.map_or(Value::Null, Value::Bool)
}

fn as_truth(value: Value) -> Result<Option<bool>> {
    match value {
        Value::Bool(b) => Ok(Some(b)),
        Value::Null => Ok(None),
        other => Err(SqlError::internal(format!("a condition evaluated to {:?}", other.data_type()))),
    }
}

/// Three-valued comparison.
pub fn compare(op: CompareOp, left: &Value, right: &Value) -> Option<bool> {
    if left.is_null() || right.is_null() { None } else { Some(op.holds(left.compare(right))) }
}

impl Expr {
    /// The value for a row.
    pub fn eval(&self, row: &[Value], context: &EvalContext<'_>) -> Result<Value> {
        match &self.kind {
            ExprKind::Const(value) => Ok(value.clone()),
            ExprKind::Column(slot) => row.get(*slot).cloned().ok_or_else(|| missing("column", *slot)),
            ExprKind::Outer { depth, slot } => {
                let outer = context.outer.and_then(|o| o.at(*depth));
                outer.and_then(|r| r.get(*slot)).cloned().ok_or_else(|| missing("outer column", *slot))
            }
            ExprKind::Param(n) => match context.params.get(*n) {
                Some(value) => Ok(value.clone()),
                None => Err(SqlError::new(
                    sqlstate::UNDEFINED_PARAMETER,
                    format!("there is no parameter ${}", n + 1),
                )),
            },
            ExprKind::Call { .. } => self.eval_call(row, context),
            ExprKind::Compare { op, left, right } => {
                let left = left.eval(row, context)?;
                if left.is_null() {
                    return Ok(Value::Null);
                }
                Ok(truth(compare(*op, &left, &right.eval(row, context)?)))
            }
            ExprKind::And(list) => eval_and(list, row, context),
            ExprKind::Or(list) => eval_or(list, row, context),
            ExprKind::Not(arg) => Ok(truth(as_truth(arg.eval(row, context)?)?.map(|b| !b))),
            ExprKind::IsNull { arg, negated } => {
                Ok(Value::Bool(arg.eval(row, context)?.is_null() != *negated))
            }
            ExprKind::IsBool { arg, truth, negated } => {
                Ok(Value::Bool((as_truth(arg.eval(row, context)?)? == *truth) != *negated))
            }
            ExprKind::IsDistinct { left, right, negated } => {
                let (left, right) = (left.eval(row, context)?, right.eval(row, context)?);
                Ok(Value::Bool(left.compare(&right).is_ne() != *negated))
            }
            _ => self.eval_special(row, context),
        }
    }

    fn eval_special(&self, row: &[Value], context: &EvalContext<'_>) -> Result<Value> {
        match &self.kind {
            ExprKind::Case { branches, otherwise } => {
                for (condition, result) in branches {
                    if condition.holds(row, context)? {
                        return result.eval(row, context);
                    }
                }
                otherwise.as_ref().map_or(Ok(Value::Null), |e| e.eval(row, context))
            }
            ExprKind::InList { arg, list, negated } => {
                let found = eval_in(arg, list, row, context)?;
                Ok(truth(found.map(|b| b != *negated)))
            }
            ExprKind::Between { arg, low, high, negated } => {
                let arg = arg.eval(row, context)?;
                let above = compare(CompareOp::GtEq, &arg, &low.eval(row, context)?);
                let below = compare(CompareOp::LtEq, &arg, &high.eval(row, context)?);
                Ok(truth(and(above, below).map(|b| b != *negated)))
            }
            ExprKind::Like { .. } => self.eval_like(row, context),
            ExprKind::Coalesce(list) => {
                for arg in list {
                    let value = arg.eval(row, context)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            ExprKind::NullIf(left, right) => {
                let left = left.eval(row, context)?;
                let equal = compare(CompareOp::Eq, &left, &right.eval(row, context)?) == Some(true);
                Ok(if equal { Value::Null } else { left })
            }
            ExprKind::Greatest(list) => extreme(list, row, context, Ordering::Greater),
            ExprKind::Least(list) => extreme(list, row, context, Ordering::Less),
            ExprKind::Cast { arg, kind } => cast(&arg.eval(row, context)?, &arg.ty, &self.ty, *kind, context),
            ExprKind::Array(list) => {
                let values: Result<Vec<Value>> = list.iter().map(|e| e.eval(row, context)).collect();
                let values = values?;
                if !super::text::rectangular(&values) {
                    return Err(SqlError::new(
                        sqlstate::ARRAY_SUBSCRIPT_ERROR,
                        "multidimensional arrays must have array expressions with matching dimensions",
                    ));
                }
                Ok(Value::Array(Arc::new(values)))
            }
            ExprKind::Index { array, index } => {
                Ok(subscript(&array.eval(row, context)?, &index.eval(row, context)?))
            }
            ExprKind::Quantified { left, op, array, all } => {
                let left = left.eval(row, context)?;
                let array = array.eval(row, context)?;
                Ok(truth(quantified(&left, *op, &array, *all)))
            }
            ExprKind::Subquery { id, test } => eval_subquery(*id, test, row, context),
            other => Err(SqlError::internal(format!("no evaluation for {other:?}"))),
        }
    }

    fn eval_call(&self, row: &[Value], context: &EvalContext<'_>) -> Result<Value> {
        let ExprKind::Call { function, args } = &self.kind else { return Ok(Value::Null) };
        let call = Call { context, name: function.name, args, ty: &self.ty };
        if args.len() <= FEW {
            let mut few = [const { Value::Null }; FEW];
            for (place, arg) in few.iter_mut().zip(args) {
                *place = arg.eval(row, context)?;
                if function.strict && place.is_null() {
                    return Ok(Value::Null);
                }
            }
            return (function.eval)(&few[..args.len()], &call);
        }
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            let value = arg.eval(row, context)?;
            if function.strict && value.is_null() {
                return Ok(Value::Null);
            }
            values.push(value);
        }
        (function.eval)(&values, &call)
    }

    fn eval_like(&self, row: &[Value], context: &EvalContext<'_>) -> Result<Value> {
        let ExprKind::Like { arg, pattern, escape, insensitive, negated } = &self.kind else {
            return Ok(Value::Null);
        };
        let text = arg.eval(row, context)?;
        let pattern = pattern.eval(row, context)?;
        let escape = match escape {
            None => Value::text("\\"),
            Some(escape) => escape.eval(row, context)?,
        };
        let (Value::Text(text), Value::Text(pattern), Value::Text(escape)) = (&text, &pattern, &escape)
        else {
            return Ok(Value::Null);
        };
        // A char(n) is matched with its padding.
        let padded = match &arg.ty {
            DataType::Char(n) if *n > 0 => {
                Some(super::text::output(&Value::Text(text.clone()), &arg.ty, context.session()))
            }
            _ => None,
        };
        let matched = pattern::like(padded.as_deref().unwrap_or(text), pattern, escape, *insensitive)?;
        Ok(Value::Bool(matched != *negated))
    }

    /// Whether a condition holds: true, and neither false nor NULL.
    pub fn holds(&self, row: &[Value], context: &EvalContext<'_>) -> Result<bool> {
        Ok(as_truth(self.eval(row, context)?)? == Some(true))
    }

    /// Replaces what needs no row by constants: immutable parts, and with a context (at the start of an execution) stable parts,
    /// parameters and outer rows too; never subqueries. What fails to evaluate is left as it is, to fail if it is reached.
    pub fn fold(&mut self, context: Option<&EvalContext<'_>>) {
        let constant = Constant::new();
        let none = EvalContext::new(&[], &constant);
        let most = if context.is_some() { Volatility::Stable } else { Volatility::Immutable };
        self.fold_in(context.unwrap_or(&none), most);
    }

    /// Folds this node alone, whose children are folded already.
    pub(super) fn fold_top(&mut self) {
        let constant = Constant::new();
        self.fold_node(&EvalContext::new(&[], &constant), Volatility::Immutable);
    }

    fn fold_in(&mut self, context: &EvalContext<'_>, most: Volatility) {
        for child in self.children_mut() {
            child.fold_in(context, most);
        }
        self.fold_node(context, most);
    }

    fn fold_node(&mut self, context: &EvalContext<'_>, most: Volatility) {
        self.simplify();
        if matches!(self.kind, ExprKind::Const(_)) || !self.foldable(most) {
            return;
        }
        if let Ok(value) = self.eval(&[], context) {
            self.kind = ExprKind::Const(value);
        }
    }

    /// Children are constants and the node itself is stable enough.
    fn foldable(&self, most: Volatility) -> bool {
        let own = match &self.kind {
            ExprKind::Const(_) => return false,
            ExprKind::Column(_) | ExprKind::Subquery { .. } => return false,
            ExprKind::Param(_) | ExprKind::Outer { .. } => Volatility::Stable,
            ExprKind::Call { function, .. } => function.volatility,
            ExprKind::Cast { arg, .. } => match arg.as_const() {
                Some(Value::Text(t)) if super::text::is_constant(t, &self.ty) => Volatility::Immutable,
                _ => cast::volatility(&arg.ty, &self.ty),
            },
            _ => Volatility::Immutable,
        };
        own <= most && self.children().iter().all(|c| c.as_const().is_some())
    }

    /// Drops what cannot matter: true in AND, false in OR, branches that are never taken.
    fn simplify(&mut self) {
        let is = |e: &Expr, b: bool| e.as_const() == Some(&Value::Bool(b));
        match &mut self.kind {
            ExprKind::And(list) => {
                list.retain(|e| !is(e, true));
                match list.len() {
                    0 => self.kind = ExprKind::Const(Value::Bool(true)),
                    1 => *self = list.remove(0),
                    _ if list.iter().any(|e| is(e, false)) => self.kind = ExprKind::Const(Value::Bool(false)),
                    _ => {}
                }
            }
            ExprKind::Or(list) => {
                list.retain(|e| !is(e, false));
                match list.len() {
                    0 => self.kind = ExprKind::Const(Value::Bool(false)),
                    1 => *self = list.remove(0),
                    _ if list.iter().any(|e| is(e, true)) => self.kind = ExprKind::Const(Value::Bool(true)),
                    _ => {}
                }
            }
            ExprKind::Case { branches, otherwise } => {
                branches.retain(|(c, _)| !is(c, false) && c.as_const() != Some(&Value::Null));
                if let Some(at) = branches.iter().position(|(c, _)| is(c, true)) {
                    let (_, result) = branches.remove(at);
                    branches.truncate(at);
                    *otherwise = Some(Box::new(result));
                }
                if branches.is_empty() {
                    let ty = self.ty.clone();
                    *self = match otherwise.take() {
                        Some(e) => *e,
                        None => Expr::constant(Value::Null, ty),
                    };
                }
            }
            _ => {}
        }
    }
}

fn missing(what: &str, slot: usize) -> SqlError {
    SqlError::internal(format!("{what} {slot} is not in the row"))
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn eval_and(list: &[Expr], row: &[Value], context: &EvalContext<'_>) -> Result<Value> {
    let mut known = true;
    for arg in list {
        match as_truth(arg.eval(row, context)?)? {
            Some(false) => return Ok(Value::Bool(false)),
            Some(true) => {}
            None => known = false,
        }
    }
    Ok(truth(known.then_some(true)))
}

fn eval_or(list: &[Expr], row: &[Value], context: &EvalContext<'_>) -> Result<Value> {
    let mut known = true;
    for arg in list {
        match as_truth(arg.eval(row, context)?)? {
            Some(true) => return Ok(Value::Bool(true)),
            Some(false) => {}
            None => known = false,
        }
    }
    Ok(truth(known.then_some(false)))
}

fn eval_in(arg: &Expr, list: &[Expr], row: &[Value], context: &EvalContext<'_>) -> Result<Option<bool>> {
    let arg = arg.eval(row, context)?;
    let mut known = true;
    for item in list {
        // Constants are compared in place.
        let equal = match &item.kind {
            ExprKind::Const(value) => compare(CompareOp::Eq, &arg, value),
            _ => compare(CompareOp::Eq, &arg, &item.eval(row, context)?),
        };
        match equal {
            Some(true) => return Ok(Some(true)),
            Some(false) => {}
            None => known = false,
        }
    }
    Ok(known.then_some(false))
}

fn extreme(list: &[Expr], row: &[Value], context: &EvalContext<'_>, wanted: Ordering) -> Result<Value> {
    let mut best = Value::Null;
    for arg in list {
        let value = arg.eval(row, context)?;
        if !value.is_null() && (best.is_null() || value.compare(&best) == wanted) {
            best = value;
        }
    }
    Ok(best)
}

/// `a[i]`; NULL outside.
pub fn subscript(array: &Value, index: &Value) -> Value {
    match (array, index.as_i64()) {
        (Value::Array(list), Some(i)) if i >= 1 => list.get((i - 1) as usize).cloned().unwrap_or(Value::Null),
        _ => Value::Null,
    }
}

/// Every scalar of an array, however nested.
fn flatten<'v>(list: &'v [Value], f: &mut dyn FnMut(&'v Value)) {
    for value in list {
        match value {
            Value::Array(inner) => flatten(inner, f),
            other => f(other),
        }
    }
}

fn quantified(left: &Value, op: CompareOp, array: &Value, all: bool) -> Option<bool> {
    let Value::Array(list) = array else { return None };
    let (mut decided, mut unknown) = (false, false);
    flatten(list, &mut |value| match compare(op, left, value) {
        Some(b) if b != all => decided = true,
        Some(_) => {}
        None => unknown = true,
    });
    if decided {
        Some(!all)
    } else if unknown {
        None
    } else {
        Some(all)
    }
}

fn eval_subquery(id: usize, test: &SubqueryTest, row: &[Value], context: &EvalContext<'_>) -> Result<Value> {
    let outer = Outer { row, parent: context.outer };
    let environment = context.environment;
    match test {
        SubqueryTest::Exists => {
            let mut found = false;
            environment.subquery(id, &outer, &mut |_| {
                found = true;
                Ok(ControlFlow::Break(()))
            })?;
            Ok(Value::Bool(found))
        }
        SubqueryTest::Scalar => {
            let mut result: Option<Value> = None;
            environment.subquery(id, &outer, &mut |row| {
                let value = row.first().cloned().unwrap_or(Value::Null);
                if result.replace(value).is_some() {
                    return Err(SqlError::new(
                        sqlstate::CARDINALITY_VIOLATION,
                        "more than one row returned by a subquery used as an expression",
                    ));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(result.unwrap_or(Value::Null))
        }
        SubqueryTest::Array => {
            let mut list = Vec::new();
            environment.subquery(id, &outer, &mut |row| {
                list.push(row.first().cloned().unwrap_or(Value::Null));
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(Value::Array(Arc::new(list)))
        }
        SubqueryTest::Quantified { left, op, all } => {
            let needle: Result<Vec<Value>> = left.iter().map(|e| e.eval(row, context)).collect();
            eval_quantified_subquery(id, &needle?, *op, *all, &outer, context)
        }
    }
}

fn eval_quantified_subquery(
    id: usize,
    needle: &[Value],
    op: CompareOp,
    all: bool,
    outer: &Outer<'_>,
    context: &EvalContext<'_>,
) -> Result<Value> {
    // IN and NOT IN may be answered by a hash table.
    let hashable = matches!((op, all), (CompareOp::Eq, false) | (CompareOp::NotEq, true));
    if hashable && let Some(found) = context.environment.subquery_contains(id, outer, needle)? {
        return Ok(truth(found.map(|b| b != all)));
    }
    let mut unknown = false;
    let mut decided = false;
    context.environment.subquery(id, outer, &mut |row| {
        let result = if needle.len() == 1 {
            compare(op, &needle[0], row.first().unwrap_or(&Value::Null))
        } else {
            let equal = rows_equal(needle, row);
            if op == CompareOp::NotEq { equal.map(|b| !b) } else { equal }
        };
        match result {
            Some(b) if b != all => {
                decided = true;
                return Ok(ControlFlow::Break(()));
            }
            Some(_) => {}
            None => unknown = true,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(truth(match (decided, unknown) {
        (true, _) => Some(!all),
        (false, true) => None,
        (false, false) => Some(all),
    }))
}

fn rows_equal(a: &[Value], b: &[Value]) -> Option<bool> {
    let pairs = a.iter().zip(b).map(|(x, y)| compare(CompareOp::Eq, x, y));
    pairs.fold(Some(true), and)
}
