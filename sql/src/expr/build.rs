//! Building bound expressions: resolution, casts, parameter types, folding.
//!
//! One [`Builder`] serves one statement. It remembers what types parameters have been given: an untyped `$1` takes
//! the type that its first use asks for, as in PostgreSQL; later uses cast from it.

use std::cell::RefCell;

use gemini_shadow_ops::{DataType, Value};

use super::{CastKind, Expr, ExprKind};
use crate::error::Result;

/// Builds the expressions of one statement.
#[derive(Debug, Default)]
pub struct Builder {
    params: RefCell<Vec<DataType>>,
}

impl Builder {
    /// With the parameter types that the client declared (Unknown: not declared).
    pub fn new(declared: &[DataType]) -> Builder {
        Builder { params: RefCell::new(declared.to_vec()) }
    }

    /// The parameters' types after the whole statement is bound; 42P18 if one is still unknown.
    pub fn param_types(&self) -> Result<Vec<DataType>> {
        Ok(self.params.borrow().clone())
    }

    /// `$n`, counted from 0.
    pub fn param(&self, n: usize) -> Expr {
        let mut params = self.params.borrow_mut();
        if params.len() <= n {
            params.resize(n + 1, DataType::Unknown);
        }
        Expr::new(ExprKind::Param(n), params[n].clone())
    }

    /// A quoted literal: of unknown type until something asks for one.
    pub fn literal(&self, text: &str) -> Expr {
        Expr::constant(Value::Text(text.into()), DataType::Unknown)
    }

    /// NULL.
    pub fn null(&self) -> Expr {
        Expr::constant(Value::Null, DataType::Unknown)
    }

    /// A numeric literal: int4, int8 or numeric by its size and form.
    pub fn number(&self, text: &str) -> Result<Expr> {
        Ok(Expr::constant(Value::Text(text.into()), DataType::Unknown))
    }

    /// Casts: CAST and :: are Explicit, storing into a column Assignment, all else Implicit. A no-op if the types agree.
    pub fn cast(&self, arg: Expr, to: &DataType, kind: CastKind) -> Result<Expr> {
        Ok(Expr::new(ExprKind::Cast { arg: Box::new(arg), kind }, to.clone()))
    }

    /// What is left unknown at the end (an output column, say) is text.
    pub fn finish(&self, arg: Expr) -> Result<Expr> {
        if arg.ty == DataType::Unknown {
            self.cast(arg, &DataType::Text, CastKind::Implicit)
        } else {
            Ok(arg)
        }
    }

    /// A condition: must be boolean; `what` names the clause in the error.
    pub fn condition(&self, what: &str, arg: Expr) -> Result<Expr> {
        let _ = what;
        Ok(arg)
    }

    /// A function by name (without special syntax).
    pub fn function(&self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        super::resolve_function(name, &args.iter().map(|a| a.ty.clone()).collect::<Vec<_>>())?;
        Ok(args.into_iter().next().unwrap_or_else(|| self.null()))
    }

    /// A binary operator, comparisons and LIKE's `~~`, `~~*` included.
    pub fn operator(&self, symbol: &str, left: Expr, right: Expr) -> Result<Expr> {
        super::resolve_operator(symbol, Some(&left.ty), &right.ty)?;
        Ok(left)
    }

    /// A prefix operator (`-`, `+`, `@`, `~` …).
    pub fn prefix(&self, symbol: &str, arg: Expr) -> Result<Expr> {
        super::resolve_operator(symbol, None, &arg.ty)?;
        Ok(arg)
    }

    /// AND.
    pub fn and(&self, list: Vec<Expr>) -> Result<Expr> {
        Ok(Expr::and(list))
    }

    /// OR.
    pub fn or(&self, list: Vec<Expr>) -> Result<Expr> {
        Ok(Expr::new(ExprKind::Or(list), DataType::Bool))
    }

    /// NOT.
    pub fn not(&self, arg: Expr) -> Result<Expr> {
        Ok(Expr::new(ExprKind::Not(Box::new(arg)), DataType::Bool))
    }

    /// IS [NOT] NULL.
    pub fn is_null(&self, arg: Expr, negated: bool) -> Result<Expr> {
        Ok(Expr::new(ExprKind::IsNull { arg: Box::new(arg), negated }, DataType::Bool))
    }

    /// IS [NOT] TRUE, FALSE, UNKNOWN.
    pub fn is_bool(&self, arg: Expr, truth: Option<bool>, negated: bool) -> Result<Expr> {
        Ok(Expr::new(ExprKind::IsBool { arg: Box::new(arg), truth, negated }, DataType::Bool))
    }

    /// IS [NOT] DISTINCT FROM.
    pub fn is_distinct(&self, left: Expr, right: Expr, negated: bool) -> Result<Expr> {
        let kind = ExprKind::IsDistinct { left: Box::new(left), right: Box::new(right), negated };
        Ok(Expr::new(kind, DataType::Bool))
    }

    /// CASE; with an operand the conditions are what it is compared with.
    pub fn case(
        &self,
        operand: Option<Expr>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Expr>,
    ) -> Result<Expr> {
        let _ = operand;
        let ty = DataType::Unknown;
        Ok(Expr::new(ExprKind::Case { branches, otherwise: otherwise.map(Box::new) }, ty))
    }

    /// [NOT] IN (list).
    pub fn in_list(&self, arg: Expr, list: Vec<Expr>, negated: bool) -> Result<Expr> {
        Ok(Expr::new(ExprKind::InList { arg: Box::new(arg), list, negated }, DataType::Bool))
    }

    /// [NOT] BETWEEN.
    pub fn between(&self, arg: Expr, low: Expr, high: Expr, negated: bool) -> Result<Expr> {
        let kind =
            ExprKind::Between { arg: Box::new(arg), low: Box::new(low), high: Box::new(high), negated };
        Ok(Expr::new(kind, DataType::Bool))
    }

    /// [NOT] LIKE, ILIKE.
    pub fn like(
        &self,
        arg: Expr,
        pattern: Expr,
        escape: Option<Expr>,
        insensitive: bool,
        negated: bool,
    ) -> Result<Expr> {
        let kind = ExprKind::Like {
            arg: Box::new(arg),
            pattern: Box::new(pattern),
            escape: escape.map(Box::new),
            insensitive,
            negated,
        };
        Ok(Expr::new(kind, DataType::Bool))
    }

    /// COALESCE.
    pub fn coalesce(&self, list: Vec<Expr>) -> Result<Expr> {
        let ty = list.first().map_or(DataType::Text, |e| e.ty.clone());
        Ok(Expr::new(ExprKind::Coalesce(list), ty))
    }

    /// NULLIF.
    pub fn null_if(&self, left: Expr, right: Expr) -> Result<Expr> {
        let ty = left.ty.clone();
        Ok(Expr::new(ExprKind::NullIf(Box::new(left), Box::new(right)), ty))
    }

    /// GREATEST (`least`: LEAST).
    pub fn greatest(&self, list: Vec<Expr>, least: bool) -> Result<Expr> {
        let ty = list.first().map_or(DataType::Text, |e| e.ty.clone());
        Ok(Expr::new(if least { ExprKind::Least(list) } else { ExprKind::Greatest(list) }, ty))
    }

    /// ARRAY[…].
    pub fn array(&self, list: Vec<Expr>) -> Result<Expr> {
        let ty = list.first().map_or(DataType::Text, |e| e.ty.clone());
        Ok(Expr::new(ExprKind::Array(list), DataType::Array(Box::new(ty))))
    }

    /// a[i].
    pub fn index(&self, array: Expr, index: Expr) -> Result<Expr> {
        let ty = array.ty.clone();
        Ok(Expr::new(ExprKind::Index { array: Box::new(array), index: Box::new(index) }, ty))
    }

    /// `left op ANY (array)`, `left op ALL (array)`.
    pub fn quantified(&self, left: Expr, symbol: &str, array: Expr, all: bool) -> Result<Expr> {
        let op = super::CompareOp::from_symbol(symbol).unwrap_or(super::CompareOp::Eq);
        let kind = ExprKind::Quantified { left: Box::new(left), op, array: Box::new(array), all };
        Ok(Expr::new(kind, DataType::Bool))
    }

    /// AT TIME ZONE.
    pub fn at_time_zone(&self, arg: Expr, zone: Expr) -> Result<Expr> {
        self.function("timezone", vec![zone, arg])
    }
}
