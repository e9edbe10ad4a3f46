//! SELECT: its list, WHERE, GROUP BY, ORDER BY, DISTINCT and FOR UPDATE.

use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, DataType, Table, TableId};
use sqlparser::ast::{self, SelectItem, SetExpr, Spanned};

use super::aggregate::position_literal;
use super::query::{direction, output_position};
use super::scope::What;
use super::{Binder, Block, Body, Grouping, Query, Select, SortKey, SourceKind};
use crate::error::{Result, SqlError};
use crate::expr::{CastKind, Expr, ExprKind};
use crate::parse;
use crate::plan::OutputColumn;
use crate::sqlstate;

/// An output while a SELECT is bound.
struct Output {
    name: String,
    expr: Expr,
    origin: Option<(TableId, ColumnId)>,
}

impl Binder<'_> {
    pub(super) fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        locks: &[ast::LockClause],
    ) -> Result<Query> {
        if select.into.is_some() {
            return Err(SqlError::unsupported("SELECT INTO", "Use CREATE TABLE and INSERT … SELECT."));
        }
        if select.qualify.is_some() {
            return Err(SqlError::unsupported("QUALIFY", "Filter the window function in an outer query."));
        }
        if select.top.is_some() || !select.lateral_views.is_empty() || select.prewhere.is_some() {
            return Err(SqlError::unsupported("this form of SELECT", "Use LIMIT and joins."));
        }
        let expected = self.expected.take().unwrap_or_default();
        self.open();
        let bound = self.select_inner(select, order, locks, &expected);
        let block = self.close();
        let (parts, mut query) = bound?;
        query.body = Body::Select(Box::new(Select {
            block: block.id,
            width: block.width,
            sources: block.sources,
            from: block.from,
            filter: parts.filter,
            grouping: parts.grouping,
            having: parts.having,
            windows: block.windows,
            outputs: parts.outputs,
            distinct: parts.distinct,
        }));
        Ok(query)
    }

    fn select_inner(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        locks: &[ast::LockClause],
        expected: &[DataType],
    ) -> Result<(Parts, Query)> {
        self.bind_from(&select.from)?;
        let filter = match &select.selection {
            Some(selection) => self.where_clause(selection)?,
            None => Vec::new(),
        };
        self.named_windows(&select.named_window)?;
        self.block().in_list = true;
        self.block().windows_allowed = true;
        let outputs = self.select_list(&select.projection);
        self.block().in_list = false;
        let mut outputs = outputs?;
        let keys = self.group_keys(&select.group_by, &outputs)?;
        let having = self.having(select.having.as_ref())?;
        let visible = outputs.len();
        let order = self.order_by(order, &mut outputs, visible)?;
        let distinct = self.distinct(select.distinct.as_ref(), &mut outputs, visible, &order)?;
        for (i, output) in outputs.iter_mut().enumerate() {
            let expr = std::mem::replace(&mut output.expr, self.builder.null());
            output.expr = match expected.get(i) {
                Some(ty) if expr.ty == DataType::Unknown && i < visible => {
                    self.builder.cast(expr, ty, CastKind::Assignment)?
                }
                _ => self.builder.finish(expr)?,
            };
        }
        let grouped = !keys.is_empty() || !having.is_empty() || !self.block().aggregates.is_empty();
        let windowed = !self.block().windows.is_empty();
        if (grouped || windowed) && self.block().sets.is_some() {
            return Err(SqlError::unsupported(
                "a set-returning function in the SELECT list of a query with aggregates or window functions",
                "Group in a subquery in FROM.",
            ));
        }
        let block = self.blocks.last().expect("a block is open while a query is bound");
        let rounds = block.sources.iter().any(|s| matches!(s.kind, SourceKind::Working { .. }));
        if rounds && !block.aggregates.is_empty() {
            return Err(SqlError::new(
                sqlstate::INVALID_RECURSION,
                "aggregate functions are not allowed in a recursive query's recursive term",
            ));
        }
        let mut grouping = None;
        if grouped {
            let aggregates = self.block().aggregates.clone();
            let own = Grouping { keys, aggregates };
            let block = self.blocks.last().expect("a block is open while a query is bound");
            let windows = block.windows.iter().flat_map(super::Window::exprs);
            let exprs = having.iter().chain(outputs.iter().map(|o| &o.expr)).chain(windows);
            self.check_grouped(block, &own, exprs)?;
            grouping = Some(own);
        }
        let locks = self.locks(locks, grouped || windowed || distinct.is_some(), &mut outputs)?;
        let columns = outputs[..visible]
            .iter()
            .map(|o| OutputColumn { name: o.name.clone(), ty: o.expr.ty.clone(), origin: o.origin })
            .collect();
        let outputs = outputs.into_iter().map(|o| o.expr).collect();
        let query =
            Query { body: Body::Values(Vec::new()), order, limit: None, offset: None, columns, locks };
        Ok((Parts { filter, grouping, having, outputs, distinct }, query))
    }

    fn having(&mut self, having: Option<&ast::Expr>) -> Result<Vec<Expr>> {
        let Some(having) = having else { return Ok(Vec::new()) };
        self.block().clause = Some("HAVING");
        self.block().windows_allowed = false;
        let bound = self.expr(having);
        self.block().windows_allowed = true;
        Ok(self.builder.condition("HAVING", bound?)?.conjuncts())
    }

    /// WHERE, as conjuncts. `x IN (subquery)` that reads nothing of the block becomes a join with the subquery's distinct rows.
    pub(super) fn where_clause(&mut self, selection: &ast::Expr) -> Result<Vec<Expr>> {
        self.block().no_aggregates = Some("WHERE");
        let mut conjuncts = Vec::new();
        for part in ast_conjuncts(selection) {
            let bound = match self.in_join(part)? {
                Some(bound) => bound,
                None => self.expr(part)?,
            };
            conjuncts.extend(self.builder.condition("WHERE", bound)?.conjuncts());
        }
        self.block().no_aggregates = None;
        Ok(conjuncts)
    }

    fn in_join(&mut self, ast: &ast::Expr) -> Result<Option<Expr>> {
        let ast::Expr::InSubquery { expr, negated: false, .. } = super::expr::unnest(ast) else {
            return Ok(None);
        };
        // Without a FROM there is nothing to join with.
        if matches!(super::expr::unnest(expr), ast::Expr::Tuple(_)) || self.block().from.is_empty() {
            return Ok(None);
        }
        let bound = self.expr(ast)?;
        let ExprKind::Subquery { id, test } = &bound.kind else { return Ok(Some(bound)) };
        let crate::expr::SubqueryTest::Quantified { left, .. } = &**test else { return Ok(Some(bound)) };
        let last = *id + 1 == self.subqueries.len();
        if !last || self.subqueries[*id].correlated || left.len() != 1 || left[0].has_subquery() {
            return Ok(Some(bound));
        }
        let left = left[0].clone();
        let Some(sub) = self.subqueries.pop() else { return Ok(Some(bound)) };
        let columns = super::from::output_columns(&sub.query);
        let kind = SourceKind::Query {
            query: Box::new(sub.query),
            lateral: false,
            reads: Vec::new(),
            distinct: true,
        };
        let block = self.block();
        let source = block.add(kind, "?in?".to_owned(), columns);
        block.from.push(super::From::Source(source));
        let right = block.expr(&What::Column { source, column: 0 });
        Ok(Some(self.builder.operator("=", left, right)?))
    }

    fn select_list(&mut self, items: &[SelectItem]) -> Result<Vec<Output>> {
        let mut outputs = Vec::with_capacity(items.len());
        for item in items {
            match item {
                SelectItem::UnnamedExpr(ast) => {
                    let expr = self.expr(ast)?;
                    outputs.push(self.output(output_name(ast), expr));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let expr = self.expr(expr)?;
                    outputs.push(self.output(parse::ident(alias), expr));
                }
                SelectItem::Wildcard(_) => {
                    if self.block().named.is_empty() {
                        return Err(SqlError::new(
                            sqlstate::SYNTAX_ERROR,
                            "SELECT * with no tables specified is not valid",
                        ));
                    }
                    let visible: Vec<_> =
                        self.block().visible.iter().filter(|v| !v.hidden).cloned().collect();
                    for column in visible {
                        let expr = self.block().expr(&column.what);
                        outputs.push(self.output(column.name, expr));
                    }
                }
                SelectItem::QualifiedWildcard(kind, _) => self.qualified_star(kind, &mut outputs)?,
                other => {
                    return Err(SqlError::unsupported(
                        format!("{other} in a SELECT list"),
                        "Use expressions.",
                    ));
                }
            }
        }
        if outputs.is_empty() && !items.is_empty() {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "the SELECT list is empty"));
        }
        Ok(outputs)
    }

    fn qualified_star(
        &mut self,
        kind: &ast::SelectItemQualifiedWildcardKind,
        outputs: &mut Vec<Output>,
    ) -> Result<()> {
        let ast::SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
            return Err(SqlError::unsupported("(expression).*", "There are no composite types."));
        };
        let resolved = parse::object_name(self.env.text, name)?;
        let Some(source) = self.alias(&resolved.name) else {
            let error = SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("missing FROM-clause entry for table \"{}\"", resolved.name),
            );
            return Err(self.located(error, name.span()));
        };
        let columns: Vec<_> = self.block().visible_of(source);
        for column in columns.into_iter().filter(|c| !c.hidden) {
            let expr = self.block().expr(&column.what);
            outputs.push(self.output(column.name, expr));
        }
        Ok(())
    }

    fn output(&mut self, name: String, expr: Expr) -> Output {
        let origin = match expr.kind {
            ExprKind::Column(slot) => origin(self.block(), slot),
            _ => None,
        };
        Output { name, expr, origin }
    }

    /// RETURNING: a SELECT list over the block that is open.
    pub(super) fn returning(&mut self, items: &[SelectItem]) -> Result<(Vec<Expr>, Vec<OutputColumn>)> {
        self.block().no_aggregates = Some("RETURNING");
        let outputs = self.select_list(items)?;
        self.block().no_aggregates = None;
        let mut exprs = Vec::with_capacity(outputs.len());
        let mut columns = Vec::with_capacity(outputs.len());
        for output in outputs {
            let expr = self.builder.finish(output.expr)?;
            columns.push(OutputColumn { name: output.name, ty: expr.ty.clone(), origin: output.origin });
            exprs.push(expr);
        }
        Ok((exprs, columns))
    }

    fn group_keys(&mut self, group_by: &ast::GroupByExpr, outputs: &[Output]) -> Result<Vec<Expr>> {
        let ast::GroupByExpr::Expressions(list, modifiers) = group_by else {
            return Err(SqlError::unsupported("GROUP BY ALL", "Name the columns."));
        };
        if !modifiers.is_empty() {
            return Err(SqlError::unsupported("ROLLUP, CUBE and GROUPING SETS", "Use UNION ALL."));
        }
        let mut keys: Vec<Expr> = Vec::with_capacity(list.len());
        let before = self.block().no_aggregates.replace("GROUP BY");
        for item in list {
            let item = super::expr::unnest(item);
            if matches!(item, ast::Expr::Rollup(_) | ast::Expr::Cube(_) | ast::Expr::GroupingSets(_)) {
                return Err(SqlError::unsupported("ROLLUP, CUBE and GROUPING SETS", "Use UNION ALL."));
            }
            let key = if let Some(n) = position_literal(item) {
                outputs[output_position("GROUP BY", n, outputs.len())?].expr.clone()
            } else {
                self.group_key(item, outputs)?
            };
            let aggregate =
                key.columns().iter().any(|s| self.block().aggregates.iter().any(|a| a.slot == *s));
            if aggregate {
                return Err(SqlError::new(
                    sqlstate::GROUPING_ERROR,
                    "aggregate functions are not allowed in GROUP BY",
                ));
            }
            let block = self.block();
            if key.columns().iter().any(|s| block.windows.iter().flat_map(|w| &w.calls).any(|c| c.slot == *s))
            {
                return Err(SqlError::new(
                    sqlstate::WINDOWING_ERROR,
                    "window functions are not allowed in GROUP BY",
                ));
            }
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        self.block().no_aggregates = before;
        Ok(keys)
    }

    fn group_key(&mut self, item: &ast::Expr, outputs: &[Output]) -> Result<Expr> {
        let ast::Expr::Identifier(ident) = item else { return self.expr(item) };
        let name = parse::ident(ident);
        // An input column goes before an output of the same name, unlike in ORDER BY.
        if self.block().visible.iter().any(|v| v.name == name) {
            return self.expr(item);
        }
        match outputs.iter().find(|o| o.name == name) {
            Some(output) => Ok(output.expr.clone()),
            None => self.expr(item),
        }
    }

    fn order_by(
        &mut self,
        keys: &[ast::OrderByExpr],
        outputs: &mut Vec<Output>,
        visible: usize,
    ) -> Result<Vec<SortKey>> {
        let mut order: Vec<SortKey> = Vec::with_capacity(keys.len());
        for key in keys {
            let (descending, nulls_first) = direction(&key.options)?;
            let named = match &key.expr {
                ast::Expr::Identifier(ident) => {
                    let name = parse::ident(ident);
                    let mut found = (0..visible).filter(|&i| outputs[i].name == name);
                    match (found.next(), found.next()) {
                        (Some(a), Some(b)) if outputs[a].expr != outputs[b].expr => {
                            return Err(self.located(
                                SqlError::new(
                                    sqlstate::AMBIGUOUS_COLUMN,
                                    format!("ORDER BY \"{name}\" is ambiguous"),
                                ),
                                ident.span,
                            ));
                        }
                        (found, _) => found,
                    }
                }
                _ => None,
            };
            let column = if let Some(n) = position_literal(&key.expr) {
                output_position("ORDER BY", n, visible)?
            } else if let Some(column) = named {
                column
            } else {
                let expr = self.expr(&key.expr)?;
                match outputs.iter().position(|o| o.expr == expr) {
                    Some(column) => column,
                    None => {
                        outputs.push(Output { name: String::new(), expr, origin: None });
                        outputs.len() - 1
                    }
                }
            };
            // A constant orders nothing, and a second key on the same output neither.
            if !order.iter().any(|k| k.column == column) {
                order.push(SortKey { column, descending, nulls_first });
            }
        }
        Ok(order)
    }

    fn distinct(
        &mut self,
        distinct: Option<&ast::Distinct>,
        outputs: &mut Vec<Output>,
        visible: usize,
        order: &[SortKey],
    ) -> Result<Option<Vec<usize>>> {
        match distinct {
            None | Some(ast::Distinct::All) => Ok(None),
            Some(ast::Distinct::Distinct) => {
                if order.iter().any(|k| k.column >= visible) {
                    return Err(SqlError::new(
                        sqlstate::INVALID_COLUMN_REFERENCE,
                        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                    ));
                }
                Ok(Some((0..visible).collect()))
            }
            Some(ast::Distinct::On(list)) => {
                let mut on = Vec::with_capacity(list.len());
                for item in list {
                    let column = if let Some(n) = position_literal(item) {
                        output_position("SELECT DISTINCT ON", n, visible)?
                    } else {
                        let expr = self.expr(item)?;
                        match outputs.iter().position(|o| o.expr == expr) {
                            Some(column) => column,
                            None => {
                                outputs.push(Output { name: String::new(), expr, origin: None });
                                outputs.len() - 1
                            }
                        }
                    };
                    on.push(column);
                }
                if order.iter().take(on.len()).any(|k| !on.contains(&k.column)) {
                    return Err(SqlError::new(
                        sqlstate::INVALID_COLUMN_REFERENCE,
                        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                    ));
                }
                Ok(Some(on))
            }
        }
    }

    fn locks(
        &mut self,
        clauses: &[ast::LockClause],
        grouped: bool,
        outputs: &mut Vec<Output>,
    ) -> Result<Vec<(Arc<Table>, usize)>> {
        let mut locks = Vec::new();
        for clause in clauses {
            if grouped {
                return Err(SqlError::unsupported(
                    "FOR UPDATE with GROUP BY, DISTINCT, aggregates or window functions",
                    "Lock the rows with a SELECT of their own.",
                ));
            }
            let only = match &clause.of {
                Some(name) => Some(parse::object_name(self.env.text, name)?.name),
                None => None,
            };
            let block = self.block();
            let mut found = false;
            for source in 0..block.sources.len() {
                let SourceKind::Table(table) = &block.sources[source].kind else { continue };
                if only.as_ref().is_some_and(|name| *name != block.sources[source].alias) {
                    continue;
                }
                found = true;
                let table = table.clone();
                let slot = block.key_slot(source);
                outputs.push(Output {
                    name: String::new(),
                    expr: Expr::column(slot, DataType::Bytea),
                    origin: None,
                });
                locks.push((table, outputs.len() - 1));
            }
            if let (false, Some(name)) = (found, only) {
                return Err(SqlError::new(
                    sqlstate::UNDEFINED_TABLE,
                    format!("relation \"{name}\" in FOR UPDATE clause not found in FROM clause"),
                ));
            }
        }
        Ok(locks)
    }
}

/// What a SELECT is made of besides its block.
struct Parts {
    filter: Vec<Expr>,
    grouping: Option<Grouping>,
    having: Vec<Expr>,
    outputs: Vec<Expr>,
    distinct: Option<Vec<usize>>,
}

fn origin(block: &Block, slot: usize) -> Option<(TableId, ColumnId)> {
    for source in &block.sources {
        if let SourceKind::Table(table) = &source.kind
            && let Some(column) = source.columns.iter().find(|c| c.slot == Some(slot))
        {
            return Some((table.id, column.id));
        }
    }
    None
}
/// The name PostgreSQL gives an output without an alias.
fn output_name(ast: &ast::Expr) -> String {
    use ast::Expr as E;
    match ast {
        E::Identifier(ident) => parse::ident(ident),
        E::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, parse::ident),
        E::Nested(inner) => output_name(inner),
        E::Function(function) => match function.name.0.last() {
            Some(ast::ObjectNamePart::Identifier(ident)) => parse::ident(ident),
            _ => "?column?".to_owned(),
        },
        E::Cast { expr, data_type, .. } => match output_name(expr).as_str() {
            "?column?" => parse::data_type(data_type)
                .map_or("?column?".to_owned(), |t| crate::expr::types::internal_name(&t)),
            name => name.to_owned(),
        },
        E::TypedString(typed) => parse::data_type(&typed.data_type)
            .map_or("?column?".to_owned(), |t| crate::expr::types::internal_name(&t)),
        E::Interval(_) => "interval".to_owned(),
        E::Case { else_result, .. } => match else_result.as_deref().map(output_name) {
            Some(name) if name != "?column?" => name,
            _ => "case".to_owned(),
        },
        E::Exists { negated: false, .. } => "exists".to_owned(),
        E::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first() {
                Some(SelectItem::UnnamedExpr(e)) => output_name(e),
                Some(SelectItem::ExprWithAlias { alias, .. }) => parse::ident(alias),
                _ => "?column?".to_owned(),
            },
            _ => "?column?".to_owned(),
        },
        E::Array(_) => "array".to_owned(),
        E::Extract { .. } => "extract".to_owned(),
        E::Substring { .. } => "substring".to_owned(),
        E::Position { .. } => "position".to_owned(),
        E::Trim { trim_where: Some(ast::TrimWhereField::Leading), .. } => "ltrim".to_owned(),
        E::Trim { trim_where: Some(ast::TrimWhereField::Trailing), .. } => "rtrim".to_owned(),
        E::Trim { .. } => "btrim".to_owned(),
        E::Ceil { .. } => "ceil".to_owned(),
        E::Floor { .. } => "floor".to_owned(),
        E::Overlay { .. } => "overlay".to_owned(),
        E::AtTimeZone { .. } => "timezone".to_owned(),
        E::Value(value) if matches!(value.value, ast::Value::Boolean(_)) => "bool".to_owned(),
        E::Collate { expr, .. } => output_name(expr),
        E::CompoundFieldAccess { root, .. } => output_name(root),
        _ => "?column?".to_owned(),
    }
}

/// Conjuncts of a parsed condition.
fn ast_conjuncts(ast: &ast::Expr) -> Vec<&ast::Expr> {
    let mut parts = Vec::new();
    let mut rest = vec![ast];
    while let Some(next) = rest.pop() {
        match super::expr::unnest(next) {
            ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
                rest.push(right);
                rest.push(left);
            }
            other => parts.push(other),
        }
    }
    parts
}
