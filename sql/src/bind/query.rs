//! Queries: VALUES, set operations, LIMIT, WITH, and ORDER BY over outputs.

use std::sync::Arc;

use gemini_shadow_ops::DataType;
use sqlparser::ast::{self, SetExpr};

use super::aggregate::{is_null, position_literal};
use super::{Binder, Body, Cte, Query, Select, SetOp, SortKey, SourceKind};
use crate::error::{Result, SqlError};
use crate::expr::{Builder, CastKind, Expr, common_type};
use crate::parse;
use crate::plan::OutputColumn;
use crate::sqlstate;

/// Queries nest this deep at most.
const MAX_DEPTH: usize = 64;

impl Binder<'_> {
    /// Binds a query into the scope that is open.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Query> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "queries are nested too deeply"));
        }
        let ctes = self.ctes.len();
        let bound = self.query_inner(query);
        self.ctes.truncate(ctes);
        self.depth -= 1;
        bound
    }

    fn query_inner(&mut self, query: &ast::Query) -> Result<Query> {
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
            return Err(SqlError::unsupported("this clause", "Leave it out."));
        }
        match &*query.body {
            SetExpr::Select(select) => {
                let bound = self.select(select, sort_keys(query)?, &query.locks)?;
                self.limited(bound, query)
            }
            body => {
                let bound = self.body(body)?;
                self.ordered(bound, query)
            }
        }
    }

    /// ORDER BY, LIMIT and OFFSET of a query that is no plain SELECT.
    pub(super) fn ordered(&mut self, mut bound: Query, query: &ast::Query) -> Result<Query> {
        if !query.locks.is_empty() {
            return Err(SqlError::unsupported(
                "FOR UPDATE with UNION, INTERSECT, EXCEPT or VALUES",
                "Lock the rows of one SELECT.",
            ));
        }
        bound.order = self.order_outputs(&bound.columns, sort_keys(query)?)?;
        self.limited(bound, query)
    }

    fn limited(&mut self, mut bound: Query, query: &ast::Query) -> Result<Query> {
        let (limit, offset) = self.limits(query)?;
        if limit.is_some() || offset.is_some() {
            if bound.limit.is_some() || bound.offset.is_some() {
                bound = wrap(bound);
            }
            bound.limit = limit;
            bound.offset = offset;
        }
        Ok(bound)
    }

    pub(super) fn with(&mut self, with: &ast::With) -> Result<()> {
        // RECURSIVE lets each item name every other, itself included.
        let whole = self.ctes.len() + with.cte_tables.len();
        for cte in &with.cte_tables {
            let scope = if with.recursive { whole } else { self.ctes.len() };
            let id = self.next_cte;
            self.next_cte += 1;
            self.ctes.push(Cte {
                id,
                name: parse::ident(&cte.alias.name),
                columns: cte.alias.columns.iter().map(|c| parse::ident(&c.name)).collect(),
                query: Arc::new((*cte.query).clone()),
                scope,
                blocks: self.blocks.len(),
                recursive: with.recursive,
            });
        }
        Ok(())
    }

    fn limits(&mut self, query: &ast::Query) -> Result<(Option<Expr>, Option<Expr>)> {
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by }) => {
                if !limit_by.is_empty() {
                    return Err(SqlError::unsupported("LIMIT BY", "Use DISTINCT ON or a subquery."));
                }
                (limit.as_ref(), offset.as_ref().map(|o| &o.value))
            }
            Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        };
        let fetch = match &query.fetch {
            None => None,
            Some(fetch) if fetch.with_ties || fetch.percent => {
                return Err(SqlError::unsupported("FETCH … WITH TIES or PERCENT", "Use LIMIT."));
            }
            Some(fetch) => match &fetch.quantity {
                Some(quantity) => Some(self.count("FETCH", quantity)?),
                None => Some(Expr::constant(gemini_shadow_ops::Value::Int8(1), DataType::Int8)),
            },
        };
        let limit = match limit {
            Some(limit) => Some(self.count("LIMIT", limit)?),
            None => fetch,
        };
        let offset = offset.map(|o| self.count("OFFSET", o)).transpose()?;
        // LIMIT NULL (LIMIT ALL) is no limit.
        Ok((limit.filter(|l| !is_null(l)), offset.filter(|o| !is_null(o))))
    }

    fn count(&mut self, what: &'static str, ast: &ast::Expr) -> Result<Expr> {
        self.open();
        self.block().no_aggregates = Some(what);
        let bound = self.expr(ast);
        self.close();
        let bound = bound.map_err(|e| {
            if e.sqlstate == sqlstate::UNDEFINED_COLUMN {
                SqlError::new(
                    sqlstate::INVALID_COLUMN_REFERENCE,
                    format!("argument of {what} must not contain variables"),
                )
            } else {
                e
            }
        })?;
        self.builder.cast(bound, &DataType::Int8, CastKind::Assignment)
    }

    pub(super) fn body(&mut self, body: &SetExpr) -> Result<Query> {
        match body {
            SetExpr::Select(select) => self.select(select, &[], &[]),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.set_operation(left, *op, *set_quantifier, right)
            }
            SetExpr::Table(table) => {
                let name = table.table_name.clone().unwrap_or_default();
                Err(SqlError::unsupported(format!("TABLE {name}"), format!("Use SELECT * FROM {name}.")))
            }
            _ => Err(SqlError::unsupported(
                "INSERT, UPDATE or DELETE within a query",
                "Run it as a statement of its own.",
            )),
        }
    }

    fn values(&mut self, values: &ast::Values) -> Result<Query> {
        self.open();
        let bound = self.value_rows(&values.rows);
        self.close();
        let mut rows = bound?;
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|r| r.len() != width) {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "VALUES lists must all be the same length"));
        }
        let mut columns = Vec::with_capacity(width);
        for i in 0..width {
            let types: Vec<DataType> = rows.iter().map(|r| r[i].ty.clone()).collect();
            let ty = common_type("VALUES", &types)?;
            for row in &mut rows {
                let value = std::mem::replace(&mut row[i], self.builder.null());
                row[i] = self.builder.cast(value, &ty, CastKind::Implicit)?;
            }
            columns.push(OutputColumn { name: format!("column{}", i + 1), ty, origin: None });
        }
        Ok(plain(Body::Values(rows), columns))
    }

    fn value_rows(&mut self, rows: &[ast::Parens<Vec<ast::Expr>>]) -> Result<Vec<Vec<Expr>>> {
        self.block().no_aggregates = Some("VALUES");
        rows.iter().map(|row| row.content.iter().map(|e| self.expr(e)).collect()).collect()
    }

    fn set_operation(
        &mut self,
        left: &SetExpr,
        op: ast::SetOperator,
        quantifier: ast::SetQuantifier,
        right: &SetExpr,
    ) -> Result<Query> {
        let all = keeps_duplicates(quantifier)?;
        let op = match op {
            ast::SetOperator::Union => SetOp::Union,
            ast::SetOperator::Intersect => SetOp::Intersect,
            ast::SetOperator::Except | ast::SetOperator::Minus => SetOp::Except,
        };
        let before = self.self_references();
        let left = self.body(left)?;
        let right = self.body(right)?;
        if op != SetOp::Union {
            self.no_self_reference(before, &format!("within {}", op.name()))?;
        }
        combine(&self.builder, op, all, left, right)
    }

    /// ORDER BY over outputs only: by position or name.
    fn order_outputs(&self, columns: &[OutputColumn], keys: &[ast::OrderByExpr]) -> Result<Vec<SortKey>> {
        let mut order = Vec::with_capacity(keys.len());
        for key in keys {
            let (descending, nulls_first) = direction(&key.options)?;
            let column = if let Some(n) = position_literal(&key.expr) {
                output_position("ORDER BY", n, columns.len())?
            } else if let ast::Expr::Identifier(ident) = &key.expr {
                let name = parse::ident(ident);
                columns.iter().position(|c| c.name == name).ok_or_else(|| {
                    self.located(
                        SqlError::new(
                            sqlstate::UNDEFINED_COLUMN,
                            format!("column \"{name}\" does not exist"),
                        ),
                        ident.span,
                    )
                })?
            } else {
                return Err(SqlError::new(
                    sqlstate::FEATURE_NOT_SUPPORTED,
                    "invalid UNION/INTERSECT/EXCEPT ORDER BY clause",
                )
                .detail("Only result column names can be used, not expressions or functions.")
                .hint("Add the expression/function to every SELECT, or move the UNION into a FROM clause."));
            };
            order.push(SortKey { column, descending, nulls_first });
        }
        Ok(order)
    }
}

/// ALL, or not.
pub(super) fn keeps_duplicates(quantifier: ast::SetQuantifier) -> Result<bool> {
    use ast::SetQuantifier as Q;
    match quantifier {
        Q::All => Ok(true),
        Q::Distinct | Q::None => Ok(false),
        _ => Err(SqlError::unsupported("BY NAME", "Put the columns in the same order.")),
    }
}

fn sort_keys(query: &ast::Query) -> Result<&[ast::OrderByExpr]> {
    match query.order_by.as_ref().map(|o| &o.kind) {
        None => Ok(&[]),
        Some(ast::OrderByKind::Expressions(keys)) => Ok(keys),
        Some(ast::OrderByKind::All(_)) => Err(SqlError::unsupported("ORDER BY ALL", "Name the columns.")),
    }
}

/// 42601 unless both give as many columns.
pub(super) fn same_width(name: &str, left: &Query, right: &Query) -> Result<()> {
    if left.columns.len() == right.columns.len() {
        return Ok(());
    }
    Err(SqlError::new(
        sqlstate::SYNTAX_ERROR,
        format!("each {name} query must have the same number of columns"),
    ))
}

/// UNION, INTERSECT, EXCEPT of two bound queries, brought to common types.
pub(super) fn combine(builder: &Builder, op: SetOp, all: bool, left: Query, right: Query) -> Result<Query> {
    same_width(op.name(), &left, &right)?;
    let mut columns = Vec::new();
    for (a, b) in left.columns.iter().zip(&right.columns) {
        let ty = common_type(op.name(), &[a.ty.clone(), b.ty.clone()])?;
        columns.push(OutputColumn { name: a.name.clone(), ty, origin: None });
    }
    let left_casts = casts(builder, &left.columns, &columns)?;
    let right_casts = casts(builder, &right.columns, &columns)?;
    let body = Body::Set { op, all, left: Box::new(left), right: Box::new(right), left_casts, right_casts };
    Ok(plain(body, columns))
}

pub(super) fn plain(body: Body, columns: Vec<OutputColumn>) -> Query {
    Query { body, order: Vec::new(), limit: None, offset: None, columns, locks: Vec::new() }
}

/// A query over a query: for what both LIMIT.
pub(super) fn wrap(inner: Query) -> Query {
    let columns = inner.columns.clone();
    let mut sources = super::from::output_columns(&inner);
    for (i, column) in sources.iter_mut().enumerate() {
        column.slot = Some(i);
    }
    let outputs = columns.iter().enumerate().map(|(i, c)| Expr::column(i, c.ty.clone())).collect();
    let select = Select {
        block: usize::MAX,
        width: columns.len(),
        sources: vec![super::Source {
            kind: SourceKind::Query {
                query: Box::new(inner),
                lateral: false,
                reads: Vec::new(),
                distinct: false,
            },
            alias: "?subquery?".to_owned(),
            columns: sources,
            key_slot: None,
        }],
        from: vec![super::From::Source(0)],
        filter: Vec::new(),
        grouping: None,
        having: Vec::new(),
        windows: Vec::new(),
        outputs,
        distinct: None,
    };
    plain(Body::Select(Box::new(select)), columns)
}

/// Casts one output of a query in place.
pub(super) fn cast_output(builder: &Builder, query: &mut Query, i: usize, ty: &DataType) -> Result<()> {
    let own = std::mem::replace(query, plain(Body::Values(Vec::new()), Vec::new()));
    let mut wrapped = wrap(own);
    if let Body::Select(select) = &mut wrapped.body {
        let output = std::mem::replace(&mut select.outputs[i], builder.null());
        select.outputs[i] = builder.cast(output, ty, CastKind::Implicit)?;
    }
    wrapped.columns[i].ty = ty.clone();
    *query = wrapped;
    Ok(())
}

/// Casts of a query's outputs to other types; empty if none is needed.
pub(super) fn casts(builder: &Builder, from: &[OutputColumn], to: &[OutputColumn]) -> Result<Vec<Expr>> {
    if from.iter().zip(to).all(|(a, b)| a.ty == b.ty) {
        return Ok(Vec::new());
    }
    from.iter()
        .zip(to)
        .enumerate()
        .map(|(i, (a, b))| builder.cast(Expr::column(i, a.ty.clone()), &b.ty, CastKind::Implicit))
        .collect()
}

pub(super) fn output_position(what: &str, n: i64, count: usize) -> Result<usize> {
    match usize::try_from(n) {
        Ok(n) if n >= 1 && n <= count => Ok(n - 1),
        _ => Err(SqlError::new(
            sqlstate::INVALID_COLUMN_REFERENCE,
            format!("{what} position {n} is not in select list"),
        )),
    }
}

/// (DESC, NULLS FIRST): nulls are last by default, first with DESC.
pub(super) fn direction(options: &ast::OrderByOptions) -> Result<(bool, bool)> {
    let descending = match &options.sort {
        None | Some(ast::OrderBySort::Asc) => false,
        Some(ast::OrderBySort::Desc) => true,
        Some(ast::OrderBySort::Using(operator)) => {
            return Err(SqlError::unsupported(format!("ORDER BY USING {operator}"), "Use ASC or DESC."));
        }
    };
    Ok((descending, options.nulls_first.unwrap_or(descending)))
}
