//! Building bound expressions: resolution, casts, parameter types, folding.
//!
//! One [`Builder`] serves one statement. It remembers what types parameters have been given: an untyped `$1` takes
//! the type that its first use asks for, as in PostgreSQL; later uses cast from it. A literal of unknown type is read by
//! the input function of the type it is asked to be, here, so that its syntax errors are the statement's; unless it
//! depends on the session ('now'), when the cast stays in the tree.

use std::cell::RefCell;

use gemini_shadow_ops::{DataType, Numeric, Value};

use super::cast::{castable, no_cast};
use super::function::functions;
use super::types::{self, bare, display};
use super::{CastKind, CompareOp, Constant, EvalContext, Expr, ExprKind, Resolved, cast};
use super::{common_type, resolve_function, resolve_operator, text};
use crate::error::{Result, SqlError};
use crate::sqlstate;

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
        let params = self.params.borrow();
        match params.iter().position(|t| *t == DataType::Unknown) {
            None => Ok(params.clone()),
            Some(i) => Err(SqlError::new(
                sqlstate::INDETERMINATE_DATATYPE,
                format!("could not determine data type of parameter ${}", i + 1),
            )),
        }
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
        Expr::constant(Value::text(text), DataType::Unknown)
    }

    /// NULL.
    pub fn null(&self) -> Expr {
        Expr::constant(Value::Null, DataType::Unknown)
    }

    /// TRUE, FALSE.
    pub fn boolean(&self, b: bool) -> Expr {
        Expr::constant(Value::Bool(b), DataType::Bool)
    }

    /// A numeric literal: int4, int8 or numeric by its size and form.
    pub fn number(&self, text: &str) -> Result<Expr> {
        if let Ok(n) = text.parse::<i32>() {
            return Ok(Expr::constant(Value::Int4(n), DataType::Int4));
        }
        if let Ok(n) = text.parse::<i64>() {
            return Ok(Expr::constant(Value::Int8(n), DataType::Int8));
        }
        match Numeric::parse(text) {
            Some(n) if !n.is_nan() => Ok(Expr::constant(Value::Numeric(n), DataType::Numeric(None))),
            _ => Err(SqlError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{text}\""))),
        }
    }

    /// Casts: CAST and :: are Explicit, storing into a column Assignment, all else Implicit. A no-op if the types agree.
    pub fn cast(&self, mut arg: Expr, to: &DataType, kind: CastKind) -> Result<Expr> {
        if arg.ty == DataType::Unknown {
            if *to == DataType::Unknown {
                return Ok(arg);
            }
            if let Some(settled) = self.settle(&mut arg, to, kind)? {
                return Ok(settled);
            }
        }
        if arg.ty == *to || (kind == CastKind::Implicit && bare(&arg.ty) == bare(to) && types::typmod(to) < 0)
        {
            return Ok(arg);
        }
        if !castable(&arg.ty, to, kind) {
            return Err(no_cast(&arg.ty, to));
        }
        let mut expr = Expr::new(ExprKind::Cast { arg: Box::new(arg), kind }, to.clone());
        // A constant that does not fit its type is the statement's mistake, to be told at once.
        if let ExprKind::Cast { arg, .. } = &expr.kind
            && let Some(value) = arg.as_const()
            && cast::volatility(&arg.ty, to) == super::Volatility::Immutable
        {
            let constant = Constant::new();
            let value = cast(value, &arg.ty, to, kind, &EvalContext::new(&[], &constant))?;
            expr.kind = ExprKind::Const(value);
        }
        Ok(expr)
    }

    /// An expression of unknown type that is asked to be of one: a literal is read, NULL typed, a parameter given the type
    /// (or, if it has got another meanwhile, that one: then the caller casts). None: still to be cast.
    fn settle(&self, arg: &mut Expr, to: &DataType, kind: CastKind) -> Result<Option<Expr>> {
        match &arg.kind {
            ExprKind::Const(Value::Null) => Ok(Some(Expr::constant(Value::Null, to.clone()))),
            ExprKind::Const(Value::Text(literal)) if text::is_constant(literal, to) => {
                let constant = Constant::new();
                let context = EvalContext::new(&[], &constant);
                let value = cast(&Value::Text(literal.clone()), &DataType::Unknown, to, kind, &context)?;
                Ok(Some(Expr::constant(value, to.clone())))
            }
            ExprKind::Const(Value::Text(literal))
                if matches!(to, DataType::Date | DataType::Timestamp | DataType::Timestamptz) =>
            {
                // Its value depends on the session, whether it is well formed does not.
                text::input_constant(literal, to)?;
                Ok(None)
            }
            ExprKind::Param(n) => {
                let n = *n;
                let mut params = self.params.borrow_mut();
                if let Some(ty) = params.get_mut(n)
                    && *ty == DataType::Unknown
                {
                    *ty = bare(to);
                }
                arg.ty = params.get(n).cloned().unwrap_or_else(|| to.clone());
                Ok(None)
            }
            _ => Ok(None),
        }
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
        if !castable(&arg.ty, &DataType::Bool, CastKind::Implicit) {
            return Err(SqlError::new(
                sqlstate::DATATYPE_MISMATCH,
                format!("argument of {what} must be type boolean, not type {}", display(&bare(&arg.ty))),
            ));
        }
        self.cast(arg, &DataType::Bool, CastKind::Implicit)
    }

    fn folded(&self, kind: ExprKind, ty: DataType) -> Expr {
        let mut expr = Expr::new(kind, ty);
        // Children were folded when they were built: only the top can have become constant.
        expr.fold_top();
        expr
    }

    fn call(&self, resolved: Resolved, args: Vec<Expr>) -> Result<Expr> {
        let args: Result<Vec<Expr>> =
            args.into_iter().zip(&resolved.args).map(|(a, t)| self.cast(a, t, CastKind::Implicit)).collect();
        Ok(self.folded(ExprKind::Call { function: resolved.function, args: args? }, resolved.ty))
    }

    fn types(list: &[Expr]) -> Vec<DataType> {
        list.iter().map(|e| e.ty.clone()).collect()
    }

    /// A function by name (without special syntax). The name of a type with one argument is a cast, if no function is so
    /// called; so are coalesce and the like their special forms, for callers that saw them as functions.
    pub fn function(&self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        match (name, args.len()) {
            ("coalesce", 1..) => return self.coalesce(args),
            ("greatest", 1..) => return self.greatest(args, false),
            ("least", 1..) => return self.greatest(args, true),
            ("nullif", 2) => {
                let [left, right] = <[Expr; 2]>::try_from(args).map_err(|_| SqlError::internal("nullif"))?;
                return self.null_if(left, right);
            }
            _ => {}
        }
        let given = Self::types(&args);
        let resolved = match resolve_function(name, &given) {
            Ok(resolved) => resolved,
            Err(error) => {
                let ty = types::by_name(name).filter(|t| *t != DataType::Unknown);
                let [arg] = given.as_slice() else { return Err(error) };
                let Some(ty) = ty.filter(|ty| castable(arg, ty, CastKind::Explicit)) else {
                    return Err(error);
                };
                let Some(arg) = args.into_iter().next() else { return Err(error) };
                return self.cast(arg, &ty, CastKind::Explicit);
            }
        };
        // date('now') is the literal's type, not a cast of a text.
        if given == [DataType::Unknown]
            && functions(name).len() > 1
            && let Some(ty) = types::by_name(name)
            && let Some(arg) = args.first()
        {
            return self.cast(arg.clone(), &ty, CastKind::Explicit);
        }
        self.call(resolved, args)
    }

    /// A binary operator, comparisons and LIKE's `~~`, `~~*` included.
    pub fn operator(&self, symbol: &str, left: Expr, mut right: Expr) -> Result<Expr> {
        // PostgreSQL calls date + $1 ambiguous (days or an interval?); applications mean days, and drivers say so.
        if symbol == "+"
            && left.ty == DataType::Date
            && right.ty == DataType::Unknown
            && matches!(right.kind, ExprKind::Param(_))
        {
            right = self.cast(right, &DataType::Int4, CastKind::Implicit)?;
        }
        let resolved = resolve_operator(symbol, Some(&left.ty), &right.ty)?;
        let Some(op) = CompareOp::from_symbol(symbol) else {
            return match symbol {
                "~~" => self.like(left, right, None, false, false),
                "!~~" => self.like(left, right, None, false, true),
                "~~*" => self.like(left, right, None, true, false),
                "!~~*" => self.like(left, right, None, true, true),
                _ => self.call(resolved, vec![left, right]),
            };
        };
        let left = self.cast(left, &resolved.args[0], CastKind::Implicit)?;
        let right = self.cast(right, &resolved.args[1], CastKind::Implicit)?;
        let kind = ExprKind::Compare { op, left: Box::new(left), right: Box::new(right) };
        Ok(self.folded(kind, DataType::Bool))
    }

    /// A prefix operator (`-`, `+`, `@`, `~` …).
    pub fn prefix(&self, symbol: &str, arg: Expr) -> Result<Expr> {
        // -2147483648 is an int4 though 2147483648 is none.
        if symbol == "-" {
            match arg.as_const() {
                Some(Value::Int8(n)) if *n == 1 << 31 => {
                    return Ok(Expr::constant(Value::Int4(i32::MIN), DataType::Int4));
                }
                Some(Value::Numeric(n)) if n.scale() == 0 && n.to_i128() == Some(1 << 63) => {
                    return Ok(Expr::constant(Value::Int8(i64::MIN), DataType::Int8));
                }
                _ => {}
            }
        }
        let resolved = resolve_operator(symbol, None, &arg.ty)?;
        self.call(resolved, vec![arg])
    }

    fn conditions(&self, what: &str, list: Vec<Expr>) -> Result<Vec<Expr>> {
        list.into_iter().map(|e| self.condition(what, e)).collect()
    }

    /// AND.
    pub fn and(&self, list: Vec<Expr>) -> Result<Expr> {
        Ok(self.folded(ExprKind::And(self.conditions("AND", list)?), DataType::Bool))
    }

    /// OR.
    pub fn or(&self, list: Vec<Expr>) -> Result<Expr> {
        Ok(self.folded(ExprKind::Or(self.conditions("OR", list)?), DataType::Bool))
    }

    /// NOT.
    pub fn not(&self, arg: Expr) -> Result<Expr> {
        let arg = self.condition("NOT", arg)?;
        Ok(self.folded(ExprKind::Not(Box::new(arg)), DataType::Bool))
    }

    /// `IS [NOT] NULL`.
    pub fn is_null(&self, arg: Expr, negated: bool) -> Result<Expr> {
        let arg = self.finish(arg)?;
        Ok(self.folded(ExprKind::IsNull { arg: Box::new(arg), negated }, DataType::Bool))
    }

    /// `IS [NOT] TRUE`, FALSE, UNKNOWN.
    pub fn is_bool(&self, arg: Expr, truth: Option<bool>, negated: bool) -> Result<Expr> {
        let word = truth.map_or("UNKNOWN", |t| if t { "TRUE" } else { "FALSE" });
        let arg = self.condition(&format!("IS {}{word}", if negated { "NOT " } else { "" }), arg)?;
        Ok(self.folded(ExprKind::IsBool { arg: Box::new(arg), truth, negated }, DataType::Bool))
    }

    /// Casts two sides so that they can be compared by `=`.
    fn comparable(&self, symbol: &str, left: Expr, right: Expr) -> Result<(Expr, Expr)> {
        let resolved = resolve_operator(symbol, Some(&left.ty), &right.ty)?;
        Ok((
            self.cast(left, &resolved.args[0], CastKind::Implicit)?,
            self.cast(right, &resolved.args[1], CastKind::Implicit)?,
        ))
    }

    /// `IS [NOT] DISTINCT FROM`.
    pub fn is_distinct(&self, left: Expr, right: Expr, negated: bool) -> Result<Expr> {
        let (left, right) = self.comparable("=", left, right)?;
        let kind = ExprKind::IsDistinct { left: Box::new(left), right: Box::new(right), negated };
        Ok(self.folded(kind, DataType::Bool))
    }

    /// Casts several to their common type.
    fn unify(&self, what: &str, list: Vec<Expr>) -> Result<(Vec<Expr>, DataType)> {
        let ty = common_type(what, &Self::types(&list))?;
        let list: Result<Vec<Expr>> =
            list.into_iter().map(|e| self.cast(e, &ty, CastKind::Implicit)).collect();
        Ok((list?, ty))
    }

    /// CASE; with an operand the conditions are what it is compared with.
    pub fn case(
        &self,
        operand: Option<Expr>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Expr>,
    ) -> Result<Expr> {
        let mut conditions = Vec::with_capacity(branches.len());
        let mut results = Vec::with_capacity(branches.len());
        for (condition, result) in branches {
            conditions.push(match &operand {
                Some(operand) => self.operator("=", operand.clone(), condition)?,
                None => self.condition("CASE/WHEN", condition)?,
            });
            results.push(result);
        }
        // ELSE counts first for the common type, as in PostgreSQL.
        let types: Vec<DataType> = otherwise.iter().chain(&results).map(|e| e.ty.clone()).collect();
        let ty = common_type("CASE", &types)?;
        let cast = |e: Expr| self.cast(e, &ty, CastKind::Implicit);
        let otherwise = otherwise.map(cast).transpose()?.map(Box::new);
        let results: Result<Vec<Expr>> = results.into_iter().map(cast).collect();
        let results = results?;
        let branches = conditions.into_iter().zip(results).collect();
        Ok(self.folded(ExprKind::Case { branches, otherwise }, ty))
    }

    /// `[NOT] IN` (list).
    pub fn in_list(&self, arg: Expr, list: Vec<Expr>, negated: bool) -> Result<Expr> {
        // One type for all if there is one; else each item is compared by its own operator.
        let all: Vec<DataType> = std::iter::once(&arg).chain(&list).map(|e| e.ty.clone()).collect();
        let operators = || list.iter().all(|e| resolve_operator("=", Some(&arg.ty), &e.ty).is_ok());
        if let Ok(ty) = common_type("IN", &all)
            && operators()
        {
            // A column stays as it is among integers: compared by value, and open to its index.
            let integers = all.iter().all(|t| t.is_integer() || *t == DataType::Unknown);
            let keep = integers && arg.ty.is_integer();
            let arg = if keep { arg } else { self.cast(arg, &ty, CastKind::Implicit)? };
            let list: Result<Vec<Expr>> = list
                .into_iter()
                .map(
                    |e| if keep && e.ty.is_integer() { Ok(e) } else { self.cast(e, &ty, CastKind::Implicit) },
                )
                .collect();
            let kind = ExprKind::InList { arg: Box::new(arg), list: list?, negated };
            return Ok(self.folded(kind, DataType::Bool));
        }
        let tests: Result<Vec<Expr>> = list.into_iter().map(|e| self.operator("=", arg.clone(), e)).collect();
        let any = self.or(tests?)?;
        if negated { self.not(any) } else { Ok(any) }
    }

    /// `[NOT] BETWEEN`.
    pub fn between(&self, arg: Expr, low: Expr, high: Expr, negated: bool) -> Result<Expr> {
        let (left, low) = self.comparable(">=", arg.clone(), low)?;
        let (right, high) = self.comparable("<=", arg, high)?;
        if left != right {
            let above = self.operator(">=", left, low)?;
            let below = self.operator("<=", right, high)?;
            let both = self.and(vec![above, below])?;
            return if negated { self.not(both) } else { Ok(both) };
        }
        let kind =
            ExprKind::Between { arg: Box::new(left), low: Box::new(low), high: Box::new(high), negated };
        Ok(self.folded(kind, DataType::Bool))
    }

    /// `[NOT] LIKE`, ILIKE.
    pub fn like(
        &self,
        arg: Expr,
        pattern: Expr,
        escape: Option<Expr>,
        insensitive: bool,
        negated: bool,
    ) -> Result<Expr> {
        let symbol = match (insensitive, negated) {
            (false, false) => "~~",
            (false, true) => "!~~",
            (true, false) => "~~*",
            (true, true) => "!~~*",
        };
        let resolved = resolve_operator(symbol, Some(&arg.ty), &pattern.ty)?;
        // A char(n) keeps its type: it is matched with its padding.
        let arg = match arg.ty {
            DataType::Char(_) => arg,
            _ => self.cast(arg, &resolved.args[0], CastKind::Implicit)?,
        };
        let pattern = self.cast(pattern, &DataType::Text, CastKind::Implicit)?;
        let escape = escape.map(|e| self.cast(e, &DataType::Text, CastKind::Implicit)).transpose()?;
        let kind = ExprKind::Like {
            arg: Box::new(arg),
            pattern: Box::new(pattern),
            escape: escape.map(Box::new),
            insensitive,
            negated,
        };
        Ok(self.folded(kind, DataType::Bool))
    }

    /// COALESCE.
    pub fn coalesce(&self, list: Vec<Expr>) -> Result<Expr> {
        let (list, ty) = self.unify("COALESCE", list)?;
        Ok(self.folded(ExprKind::Coalesce(list), ty))
    }

    /// NULLIF.
    pub fn null_if(&self, left: Expr, right: Expr) -> Result<Expr> {
        let ty = if left.ty == DataType::Unknown { DataType::Text } else { left.ty.clone() };
        let (left, right) = self.comparable("=", left, right)?;
        let kind = ExprKind::NullIf(Box::new(left.clone()), Box::new(right));
        // The result is of the first argument's type, whatever it was compared as.
        let compared = self.folded(kind, left.ty);
        if compared.ty == ty { Ok(compared) } else { self.cast(compared, &ty, CastKind::Explicit) }
    }

    /// GREATEST (`least`: LEAST).
    pub fn greatest(&self, list: Vec<Expr>, least: bool) -> Result<Expr> {
        let (list, ty) = self.unify(if least { "LEAST" } else { "GREATEST" }, list)?;
        Ok(self.folded(if least { ExprKind::Least(list) } else { ExprKind::Greatest(list) }, ty))
    }

    /// ARRAY[…].
    pub fn array(&self, list: Vec<Expr>) -> Result<Expr> {
        let (list, ty) = self.unify("ARRAY", list)?;
        let ty = match ty {
            DataType::Array(_) => ty, // nested: arrays have one element type whatever their dimensions
            scalar => DataType::Array(Box::new(scalar)),
        };
        Ok(self.folded(ExprKind::Array(list), ty))
    }

    /// `a[i]`.
    pub fn index(&self, array: Expr, index: Expr) -> Result<Expr> {
        if array.ty == DataType::Name {
            // A name is an array of its bytes, from 0: pg_dump looks for the _ of array types.
            let text = self.cast(array, &DataType::Text, CastKind::Implicit)?;
            let one = Expr::constant(Value::Int4(1), DataType::Int4);
            let from = self.operator("+", index, one.clone())?;
            let letter = self.function("substr", vec![text, from, one])?;
            return self.cast(letter, &DataType::InternalChar, CastKind::Explicit);
        }
        let Some(ty) = array.ty.element().cloned() else {
            return Err(SqlError::new(
                sqlstate::DATATYPE_MISMATCH,
                format!(
                    "cannot subscript type {} because it does not support subscripting",
                    display(&array.ty)
                ),
            ));
        };
        let mut index = self.cast(index, &DataType::Int4, CastKind::Assignment)?;
        if matches!(array.ty, DataType::Int2Vector | DataType::OidVector) {
            // They count from 0.
            let one = Expr::constant(gemini_shadow_ops::Value::Int4(1), DataType::Int4);
            index = self.operator("+", index, one)?;
        }
        Ok(self.folded(ExprKind::Index { array: Box::new(array), index: Box::new(index) }, ty))
    }

    /// `left op ANY (array)`, `left op ALL (array)`.
    pub fn quantified(&self, left: Expr, symbol: &str, array: Expr, all: bool) -> Result<Expr> {
        let word = if all { "ALL" } else { "ANY" };
        let Some(op) = CompareOp::from_symbol(symbol) else {
            return Err(SqlError::unsupported(
                format!("{symbol} {word} (array)"),
                "Use a comparison operator, or unnest the array.",
            ));
        };
        let array = match &array.ty {
            DataType::Unknown => {
                let element = if left.ty == DataType::Unknown { DataType::Text } else { bare(&left.ty) };
                self.cast(array, &DataType::Array(Box::new(element)), CastKind::Implicit)?
            }
            _ => array,
        };
        let Some(element) = array.ty.element().cloned() else {
            return Err(SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("op {word}/ALL (array) requires array on right side"),
            ));
        };
        let resolved = resolve_operator(symbol, Some(&left.ty), &element)?;
        let left = self.cast(left, &resolved.args[0], CastKind::Implicit)?;
        let array =
            self.cast(array, &DataType::Array(Box::new(resolved.args[1].clone())), CastKind::Implicit)?;
        let kind = ExprKind::Quantified { left: Box::new(left), op, array: Box::new(array), all };
        Ok(self.folded(kind, DataType::Bool))
    }

    /// AT TIME ZONE.
    pub fn at_time_zone(&self, arg: Expr, zone: Expr) -> Result<Expr> {
        self.function("timezone", vec![zone, arg])
    }
}
