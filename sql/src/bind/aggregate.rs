//! Aggregates and the rules of grouping.

use std::collections::BTreeSet;

use gemini_shadow_ops::Value;
use sqlparser::ast;

use super::{AggregateCall, Binder, Block, Grouping, SourceKind};
use crate::error::{Result, SqlError};
use crate::expr::aggregate::resolve_aggregate;
use crate::expr::{CastKind, Expr, ExprKind};
use crate::sqlstate;

impl Binder<'_> {
    /// Binds an aggregate of the innermost block: a column with its result.
    pub(super) fn aggregate_call(&mut self, name: &str, function: &ast::Function) -> Result<Expr> {
        let block = self.block();
        if block.in_aggregate {
            return Err(SqlError::new(sqlstate::GROUPING_ERROR, "aggregate function calls cannot be nested"));
        }
        if let Some(clause) = block.no_aggregates {
            return Err(SqlError::new(
                sqlstate::GROUPING_ERROR,
                format!("aggregate functions are not allowed in {clause}"),
            ));
        }
        block.in_aggregate = true;
        let bound = self.aggregate_parts(name, function);
        self.block().in_aggregate = false;
        let mut call = bound?;
        let block = self.block();
        let same = |c: &&AggregateCall| {
            c.aggregate == call.aggregate
                && c.args == call.args
                && c.distinct == call.distinct
                && c.filter == call.filter
                && c.order == call.order
        };
        let ty = call.aggregate.ty.clone();
        if let Some(existing) = block.aggregates.iter().find(same) {
            return Ok(Expr::column(existing.slot, ty));
        }
        call.slot = block.slot();
        let slot = call.slot;
        block.aggregates.push(call);
        Ok(Expr::column(slot, ty))
    }

    fn aggregate_parts(&mut self, name: &str, function: &ast::Function) -> Result<AggregateCall> {
        let ast::FunctionArguments::List(list) = &function.args else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_FUNCTION,
                format!("{name}() must be called with arguments"),
            ));
        };
        let star =
            matches!(list.args.as_slice(), [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)]);
        let args = if star { Vec::new() } else { self.function_args(&list.args)? };
        if !star && args.is_empty() {
            return Err(SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("{name}(*) must be used to call a parameterless aggregate function"),
            ));
        }
        let types: Vec<_> = args.iter().map(|a| a.ty.clone()).collect();
        let aggregate = resolve_aggregate(name, &types)?;
        let mut cast = Vec::with_capacity(args.len());
        for (arg, ty) in args.into_iter().zip(&aggregate.args) {
            cast.push(self.builder.cast(arg, ty, CastKind::Implicit)?);
        }
        let filter = match &function.filter {
            None => None,
            Some(filter) => {
                let filter = self.expr(filter)?;
                Some(self.builder.condition("FILTER", filter)?)
            }
        };
        let mut order = Vec::new();
        for clause in &list.clauses {
            let ast::FunctionArgumentClause::OrderBy(keys) = clause else {
                return Err(SqlError::unsupported(format!("{clause} in {name}"), "Leave it out."));
            };
            for key in keys {
                let (descending, nulls_first) = super::query::direction(&key.options)?;
                order.push((self.expr(&key.expr)?, descending, nulls_first));
            }
        }
        let distinct = matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct));
        Ok(AggregateCall { aggregate, args: cast, distinct, filter, order, slot: 0 })
    }

    /// 42803 unless every column named outside of aggregates is grouped, or depends on a grouped PRIMARY KEY.
    pub(super) fn check_grouped<'e>(
        &self,
        block: &Block,
        grouping: &Grouping,
        exprs: impl Iterator<Item = &'e Expr>,
    ) -> Result<()> {
        let mut allowed: BTreeSet<usize> = grouping.aggregates.iter().map(|a| a.slot).collect();
        allowed.extend(block.windows.iter().flat_map(|w| &w.calls).map(|c| c.slot));
        for key in &grouping.keys {
            if let ExprKind::Column(slot) = key.kind {
                allowed.insert(slot);
            }
        }
        for source in &block.sources {
            let SourceKind::Table(table) = &source.kind else { continue };
            let mut keys = table.primary_columns().peekable();
            let visible_key = keys.peek().is_some()
                && keys.all(|id| {
                    let column = source.columns.iter().find(|c| c.id == id);
                    column.and_then(|c| c.slot).is_some_and(|slot| allowed.contains(&slot))
                });
            if visible_key {
                allowed.extend(source.columns.iter().filter_map(|c| c.slot));
                allowed.extend(source.key_slot);
            }
        }
        for expr in exprs {
            self.grouped(block, grouping, &allowed, expr)?;
        }
        Ok(())
    }

    fn grouped(
        &self,
        block: &Block,
        grouping: &Grouping,
        allowed: &BTreeSet<usize>,
        expr: &Expr,
    ) -> Result<()> {
        if grouping.keys.contains(expr) {
            return Ok(());
        }
        match &expr.kind {
            ExprKind::Column(slot) if !allowed.contains(slot) => {
                return Err(self.ungrouped(block, *slot, ""));
            }
            ExprKind::Subquery { id, .. } => {
                for (owner, slot) in &self.subqueries[*id].reads {
                    if *owner == block.id && !allowed.contains(slot) {
                        return Err(self.ungrouped(block, *slot, "subquery uses ungrouped "));
                    }
                }
            }
            _ => {}
        }
        for child in expr.children() {
            self.grouped(block, grouping, allowed, child)?;
        }
        Ok(())
    }

    fn ungrouped(&self, block: &Block, slot: usize, prefix: &str) -> SqlError {
        let mut name = "?".to_owned();
        for source in &block.sources {
            if let Some(column) = source.columns.iter().find(|c| c.slot == Some(slot)) {
                name = format!("{}.{}", source.alias, column.name);
            }
        }
        let message = if prefix.is_empty() {
            format!(
                "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
            )
        } else {
            format!("{prefix}column \"{name}\" from outer query")
        };
        let error = SqlError::new(sqlstate::GROUPING_ERROR, message);
        match block.named_at.get(&slot) {
            Some(place) if *place > 0 => error.at(*place),
            _ => error,
        }
    }
}

/// A literal integer, as GROUP BY and ORDER BY use them to name outputs.
pub(super) fn position_literal(expr: &ast::Expr) -> Option<i64> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(text, _) => text.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression is a plain NULL constant.
pub(super) fn is_null(expr: &Expr) -> bool {
    matches!(expr.as_const(), Some(Value::Null))
}
