//! Window functions: calls with OVER, WINDOW, and frames.
//!
//! A call becomes a column, as an aggregate does. Calls over the same partitions in the same order share one [`Window`],
//! so that the rows are sorted once for all of them; each has its own frame.

use gemini_shadow_ops::DataType;
use sqlparser::ast::{self, Spanned};

use super::Binder;
use crate::error::{Result, SqlError};
use crate::expr::window::{WindowFunction, is_window, resolve_window};
use crate::expr::{CastKind, Expr};
use crate::parse;
use crate::sqlstate;

/// Calls that share their partitions and order.
#[derive(Clone, Debug)]
pub struct Window {
    /// PARTITION BY.
    pub partition: Vec<Expr>,
    /// ORDER BY: (key, descending, nulls first).
    pub order: Vec<(Expr, bool, bool)>,
    /// What is computed.
    pub calls: Vec<WindowCall>,
}

/// One call and the slot of its result.
#[derive(Clone, Debug)]
pub struct WindowCall {
    /// What is computed.
    pub function: WindowFunction,
    /// Its name, for EXPLAIN.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// FILTER (WHERE …), of an aggregate.
    pub filter: Option<Expr>,
    /// Over which rows.
    pub frame: WindowFrame,
    /// Where its result goes.
    pub slot: usize,
}

/// Which rows around the current one a call sees.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowFrame {
    /// How bounds count.
    pub unit: FrameUnit,
    /// The first row.
    pub start: FrameBound,
    /// The last row.
    pub end: FrameBound,
}

/// ROWS, RANGE, GROUPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnit {
    /// Rows.
    Rows,
    /// Distances of the one ORDER BY key; CURRENT ROW is all its peers.
    Range,
    /// Groups of peers.
    Groups,
}

/// One end of a frame.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(Distance),
    CurrentRow,
    Following(Distance),
    UnboundedFollowing,
}

/// How far a bound is away.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// Rows or groups (int8); or what is added to the key.
    pub size: Expr,
    /// RANGE: (the key, the key moved by the size), of the same type.
    pub range: Option<(Expr, Expr)>,
}

/// What follows OVER, or stands in WINDOW.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    partition: Vec<Expr>,
    order: Vec<(Expr, bool, bool)>,
    /// None: the default.
    frame: Option<WindowFrame>,
}

/// While a call's arguments are bound.
const NESTED: &str = "window function calls cannot be nested";
/// While PARTITION BY, ORDER BY or a frame are bound.
const IN_DEFINITION: &str = "window functions are not allowed in window definitions";

fn wrong(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::WINDOWING_ERROR, message)
}

impl Binder<'_> {
    /// Binds `name(…) OVER …`: a column with its result.
    pub(super) fn window_call(
        &mut self,
        name: &str,
        function: &ast::Function,
        over: &ast::WindowType,
    ) -> Result<Expr> {
        self.windows_allowed()?;
        if !is_window(name) {
            return Err(SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("OVER specified, but {name} is not a window function nor an aggregate function"),
            ));
        }
        self.block().in_window = Some(NESTED);
        let call = self.call_parts(name, function);
        self.block().in_window = Some(IN_DEFINITION);
        let spec = call.is_ok().then(|| self.over(over)).transpose();
        self.block().in_window = None;
        let ((mut call, ty), Some(spec)) = (call?, spec?) else {
            return Err(SqlError::internal("a window call without its window"));
        };
        call.frame = spec.frame.unwrap_or(call.frame);
        let block = self.block();
        let shared =
            block.windows.iter().position(|w| w.partition == spec.partition && w.order == spec.order);
        let at = shared.unwrap_or_else(|| {
            block.windows.push(Window { partition: spec.partition, order: spec.order, calls: Vec::new() });
            block.windows.len() - 1
        });
        let same = |c: &&WindowCall| {
            c.function == call.function
                && c.args == call.args
                && c.filter == call.filter
                && c.frame == call.frame
        };
        if let Some(existing) = block.windows[at].calls.iter().find(same) {
            return Ok(Expr::column(existing.slot, ty));
        }
        call.slot = block.slot();
        let slot = call.slot;
        block.windows[at].calls.push(call);
        Ok(Expr::column(slot, ty))
    }

    fn windows_allowed(&mut self) -> Result<()> {
        let block = self.block();
        if block.in_aggregate {
            return Err(SqlError::new(
                sqlstate::GROUPING_ERROR,
                "aggregate function calls cannot contain window function calls",
            ));
        }
        if let Some(message) = block.in_window {
            return Err(wrong(message));
        }
        if block.windows_allowed && block.no_aggregates.is_none() {
            return Ok(());
        }
        let clause = block.no_aggregates.or(block.clause).unwrap_or("this clause");
        Err(wrong(format!("window functions are not allowed in {clause}")))
    }

    /// The call, with the default frame and without its slot, and its type.
    fn call_parts(&mut self, name: &str, function: &ast::Function) -> Result<(WindowCall, DataType)> {
        let ast::FunctionArguments::List(list) = &function.args else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_FUNCTION,
                format!("{name}() must be called with arguments"),
            ));
        };
        if function.null_treatment.is_some() {
            return Err(SqlError::unsupported(
                "RESPECT NULLS and IGNORE NULLS",
                "NULLs are respected; leave them out in a subquery.",
            ));
        }
        if matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct)) {
            return Err(SqlError::unsupported(
                "DISTINCT for window functions",
                "Drop the duplicates in a subquery.",
            ));
        }
        if let Some(clause) = list.clauses.first() {
            return Err(match clause {
                ast::FunctionArgumentClause::OrderBy(_) => SqlError::unsupported(
                    "aggregate ORDER BY for window functions",
                    "Write ORDER BY into OVER (…).",
                ),
                other => SqlError::unsupported(format!("{other} in {name}"), "Leave it out."),
            });
        }
        let star =
            matches!(list.args.as_slice(), [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)]);
        let args = if star { Vec::new() } else { self.function_args(&list.args)? };
        if !star && args.is_empty() && !crate::expr::window::is_window_only(name) {
            return Err(SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("{name}(*) must be used to call a parameterless aggregate function"),
            ));
        }
        let types: Vec<DataType> = args.iter().map(|a| a.ty.clone()).collect();
        let resolved = resolve_window(name, &types)?;
        let mut cast = Vec::with_capacity(args.len());
        for (arg, ty) in args.into_iter().zip(&resolved.args) {
            cast.push(self.builder.cast(arg, ty, CastKind::Implicit)?);
        }
        let filter = match &function.filter {
            None => None,
            Some(_) if !matches!(resolved.function, WindowFunction::Aggregate(_)) => {
                return Err(SqlError::unsupported(
                    "FILTER for window functions that are no aggregates",
                    "Use CASE in its argument.",
                ));
            }
            Some(filter) => {
                let filter = self.expr(filter)?;
                Some(self.builder.condition("FILTER", filter)?)
            }
        };
        let frame = WindowFrame {
            unit: FrameUnit::Range,
            start: FrameBound::UnboundedPreceding,
            end: FrameBound::CurrentRow,
        };
        let name = name.to_owned();
        let call = WindowCall { function: resolved.function, name, args: cast, filter, frame, slot: 0 };
        Ok((call, resolved.ty))
    }

    fn over(&mut self, over: &ast::WindowType) -> Result<Spec> {
        match over {
            ast::WindowType::NamedWindow(name) => self.named_window(name),
            ast::WindowType::WindowSpec(spec) => self.window_spec(spec),
        }
    }

    /// WINDOW: each may build on those before it.
    pub(super) fn named_windows(&mut self, list: &[ast::NamedWindowDefinition]) -> Result<()> {
        for ast::NamedWindowDefinition(ident, definition) in list {
            let name = parse::ident(ident);
            if self.block().named_windows.iter().any(|(other, _)| *other == name) {
                return Err(self.located(wrong(format!("window \"{name}\" is already defined")), ident.span));
            }
            let ast::NamedWindowExpr::WindowSpec(spec) = definition else {
                return Err(SqlError::new(
                    sqlstate::SYNTAX_ERROR,
                    "a window's definition stands in parentheses",
                ));
            };
            self.block().in_window = Some(IN_DEFINITION);
            let spec = self.window_spec(spec);
            self.block().in_window = None;
            let spec = spec?;
            self.block().named_windows.push((name, spec));
        }
        Ok(())
    }

    fn named_window(&mut self, ident: &ast::Ident) -> Result<Spec> {
        let name = parse::ident(ident);
        let found = self.block().named_windows.iter().find(|(other, _)| *other == name);
        found.map(|(_, spec)| spec.clone()).ok_or_else(|| {
            let error =
                SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("window \"{name}\" does not exist"));
            self.located(error, ident.span)
        })
    }

    fn window_spec(&mut self, spec: &ast::WindowSpec) -> Result<Spec> {
        let mut base = match &spec.window_name {
            Some(ident) => self.base_window(ident, spec)?,
            None => Spec { partition: Vec::new(), order: Vec::new(), frame: None },
        };
        for item in &spec.partition_by {
            let key = self.expr(item)?;
            base.partition.push(self.builder.finish(key)?);
        }
        for item in &spec.order_by {
            let (descending, nulls_first) = super::query::direction(&item.options)?;
            let key = self.expr(&item.expr)?;
            base.order.push((self.builder.finish(key)?, descending, nulls_first));
        }
        base.frame = spec.window_frame.as_ref().map(|f| self.frame(f, &base.order)).transpose()?;
        Ok(base)
    }

    /// `OVER (name …)`: the named window's partitions, and its order or one's own.
    fn base_window(&mut self, ident: &ast::Ident, spec: &ast::WindowSpec) -> Result<Spec> {
        let base = self.named_window(ident)?;
        let name = parse::ident(ident);
        let mut error = None;
        if !spec.partition_by.is_empty() {
            error = Some(wrong(format!("cannot override PARTITION BY clause of window \"{name}\"")));
        } else if !spec.order_by.is_empty() && !base.order.is_empty() {
            error = Some(wrong(format!("cannot override ORDER BY clause of window \"{name}\"")));
        } else if base.frame.is_some() {
            let copied = wrong(format!("cannot copy window \"{name}\" because it has a frame clause"));
            let plain = spec.order_by.is_empty() && spec.window_frame.is_none();
            error =
                Some(if plain { copied.hint("Omit the parentheses in this OVER clause.") } else { copied });
        }
        match error {
            Some(error) => Err(self.located(error, ident.span)),
            None => Ok(base),
        }
    }

    fn frame(&mut self, frame: &ast::WindowFrame, order: &[(Expr, bool, bool)]) -> Result<WindowFrame> {
        let unit = match frame.units {
            ast::WindowFrameUnits::Rows => FrameUnit::Rows,
            ast::WindowFrameUnits::Range => FrameUnit::Range,
            ast::WindowFrameUnits::Groups => FrameUnit::Groups,
        };
        check_ends(frame)?;
        if unit == FrameUnit::Groups && order.is_empty() {
            return Err(wrong("GROUPS mode requires an ORDER BY clause"));
        }
        let start = self.frame_bound(unit, &frame.start_bound, order)?;
        let end = match &frame.end_bound {
            Some(end) => self.frame_bound(unit, end, order)?,
            None => FrameBound::CurrentRow,
        };
        Ok(WindowFrame { unit, start, end })
    }

    fn frame_bound(
        &mut self,
        unit: FrameUnit,
        bound: &ast::WindowFrameBound,
        order: &[(Expr, bool, bool)],
    ) -> Result<FrameBound> {
        use ast::WindowFrameBound as B;
        Ok(match bound {
            B::CurrentRow => FrameBound::CurrentRow,
            B::Preceding(None) => FrameBound::UnboundedPreceding,
            B::Following(None) => FrameBound::UnboundedFollowing,
            B::Preceding(Some(size)) => FrameBound::Preceding(self.distance(unit, size, order, true)?),
            B::Following(Some(size)) => FrameBound::Following(self.distance(unit, size, order, false)?),
        })
    }

    fn distance(
        &mut self,
        unit: FrameUnit,
        ast: &ast::Expr,
        order: &[(Expr, bool, bool)],
        preceding: bool,
    ) -> Result<Distance> {
        let name = match unit {
            FrameUnit::Rows => "ROWS",
            FrameUnit::Groups => "GROUPS",
            FrameUnit::Range => "RANGE",
        };
        let size = self.expr(ast)?;
        if !size.columns().is_empty() {
            let error = SqlError::new(
                sqlstate::INVALID_COLUMN_REFERENCE,
                format!("argument of {name} must not contain variables"),
            );
            return Err(self.located(error, ast.span()));
        }
        if unit != FrameUnit::Range {
            let size = self.builder.cast(size, &DataType::Int8, CastKind::Assignment)?;
            return Ok(Distance { size, range: None });
        }
        let [(key, descending, _)] = order else {
            return Err(wrong("RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column"));
        };
        let (key_type, size_type) = range_types(&key.ty, &size.ty)?;
        let key = self.builder.cast(key.clone(), &key_type, CastKind::Implicit)?;
        let size = self.builder.cast(size, &size_type, CastKind::Implicit)?;
        let symbol = if preceding == *descending { "+" } else { "-" };
        let moved = self.builder.operator(symbol, key.clone(), size.clone())?;
        Ok(Distance { size, range: Some((key, moved)) })
    }
}

/// 42P20 for ends in the wrong order.
fn check_ends(frame: &ast::WindowFrame) -> Result<()> {
    use ast::WindowFrameBound as B;
    Err(wrong(match (&frame.start_bound, &frame.end_bound) {
        (B::Following(None), _) => "frame start cannot be UNBOUNDED FOLLOWING",
        (_, Some(B::Preceding(None))) => "frame end cannot be UNBOUNDED PRECEDING",
        (B::CurrentRow, Some(B::Preceding(_))) => {
            "frame starting from current row cannot have preceding rows"
        }
        (B::Following(_), None) => "frame starting from following row cannot end with current row",
        (B::Following(_), Some(B::CurrentRow | B::Preceding(_))) => {
            "frame starting from following row cannot have preceding rows"
        }
        _ => return Ok(()),
    }))
}

/// The types in which a RANGE distance is added to the key: exact ones for integers, so that nothing overflows.
fn range_types(key: &DataType, size: &DataType) -> Result<(DataType, DataType)> {
    use DataType as T;
    let unknown = *size == T::Unknown;
    let types = match key {
        T::Int2 | T::Int4 | T::Int8 if unknown || size.is_integer() => (T::Numeric(None), T::Numeric(None)),
        T::Numeric(_) if unknown || size.is_integer() || matches!(size, T::Numeric(_)) => {
            (T::Numeric(None), T::Numeric(None))
        }
        T::Float4 | T::Float8 if unknown || size.is_integer() || is_number(size) => (T::Float8, T::Float8),
        T::Date | T::Timestamp if unknown || *size == T::Interval => (T::Timestamp, T::Interval),
        T::Timestamptz | T::Interval if unknown || *size == T::Interval => (key.clone(), T::Interval),
        T::Int2
        | T::Int4
        | T::Int8
        | T::Numeric(_)
        | T::Float4
        | T::Float8
        | T::Date
        | T::Timestamp
        | T::Timestamptz
        | T::Interval => {
            return Err(SqlError::new(
                sqlstate::FEATURE_NOT_SUPPORTED,
                format!(
                    "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {} and offset type {}",
                    crate::expr::types::display(key),
                    crate::expr::types::display(size)
                ),
            )
            .hint("Cast the offset value to an appropriate type."));
        }
        other => {
            return Err(SqlError::new(
                sqlstate::FEATURE_NOT_SUPPORTED,
                format!(
                    "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {}",
                    crate::expr::types::display(other)
                ),
            )
            .hint("Use ROWS or GROUPS, or order by a number or time."));
        }
    };
    Ok(types)
}

fn is_number(ty: &DataType) -> bool {
    matches!(ty, DataType::Numeric(_) | DataType::Float4 | DataType::Float8)
}

impl Window {
    /// Every expression that is evaluated on the rows.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let calls = self.calls.iter().flat_map(|c| {
            let ends = [&c.frame.start, &c.frame.end].into_iter().flat_map(FrameBound::exprs);
            c.args.iter().chain(&c.filter).chain(ends)
        });
        self.partition.iter().chain(self.order.iter().map(|(key, ..)| key)).chain(calls)
    }
}

impl FrameBound {
    fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let distance = match self {
            FrameBound::Preceding(distance) | FrameBound::Following(distance) => Some(distance),
            _ => None,
        };
        // The size is part of the moved key.
        distance.into_iter().flat_map(|d| match &d.range {
            Some((key, moved)) => vec![key, moved],
            None => vec![&d.size],
        })
    }
}
