//! Statements that add to a set or remove from it, told from those that assign it.
//!
//! `SET tags = array_remove(tags || 'a', 'b')` says which elements it adds and which it removes, in order. That is kept: the
//! expression becomes one whose value is the list of these steps, each `[true, added]` or `[false, removed]` with an array.
//! No function of SQL has the names used here.

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Value};

use super::function::{Arg, Call, Function, pure};
use super::{Builder, CastKind, Expr, ExprKind};
use crate::error::Result;

static ADD: Function = pure("elements added", &[Arg::AnyArray, Arg::AnyArray], Arg::AnyArray, add).lenient();
static REMOVE: Function =
    pure("elements removed", &[Arg::AnyArray, Arg::AnyArray], Arg::AnyArray, remove).lenient();

fn step(args: &[Value], adds: bool) -> Result<Value> {
    let mut steps = match &args[0] {
        Value::Array(steps) => steps.to_vec(),
        _ => Vec::new(),
    };
    // A NULL array adds nothing, as in PostgreSQL.
    if !args[1].is_null() {
        steps.push(Value::Array(Arc::new(vec![Value::Bool(adds), args[1].clone()])));
    }
    Ok(Value::Array(Arc::new(steps)))
}

fn add(args: &[Value], _: &Call<'_>) -> Result<Value> {
    step(args, true)
}

fn remove(args: &[Value], _: &Call<'_>) -> Result<Value> {
    step(args, false)
}

/// The steps that an expression makes of the column in a slot, whose type is an array; None: it is none such.
pub fn steps(builder: &Builder, expr: &Expr, slot: usize, ty: &DataType) -> Result<Option<Expr>> {
    match &expr.kind {
        ExprKind::Column(s) if *s == slot => {
            Ok(Some(Expr::constant(Value::Array(Arc::new(Vec::new())), ty.clone())))
        }
        // An explicit cast may change elements.
        ExprKind::Cast { arg, kind } if *kind != CastKind::Explicit => steps(builder, arg, slot, ty),
        ExprKind::Call { function, args } => {
            let [left, right] = args.as_slice() else { return Ok(None) };
            // Where the array may stand, and where what is added or removed.
            let either = [(left, right), (right, left)];
            let (sides, adds) = match function.name {
                "array_append" => (&either[..1], true),
                "array_cat" | "||" => (&either[..], true),
                "array_prepend" => (&either[1..], true),
                "array_remove" => (&either[..1], false),
                _ => return Ok(None),
            };
            for &(base, operand) in sides {
                if let Some(base) = steps(builder, base, slot, ty)? {
                    let operand = array(builder, operand, ty)?;
                    let function = if adds { &ADD } else { &REMOVE };
                    let kind = ExprKind::Call { function, args: vec![base, operand] };
                    return Ok(Some(Expr::new(kind, ty.clone())));
                }
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// What is added or removed, as an array of the column's type.
fn array(builder: &Builder, operand: &Expr, ty: &DataType) -> Result<Expr> {
    let operand = match operand.ty.element() {
        Some(_) => operand.clone(),
        None => {
            let element = DataType::Array(Box::new(operand.ty.clone()));
            Expr::new(ExprKind::Array(vec![operand.clone()]), element)
        }
    };
    builder.cast(operand, ty, CastKind::Assignment)
}
