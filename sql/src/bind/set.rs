//! SET: what an UPDATE, or ON CONFLICT DO UPDATE, writes, and how each column's write is lowered.

use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, DataType, MergeRule, Table};
use sqlparser::ast::{self, AssignmentTarget};

use super::dml::{Given, SetColumn, SetKind};
use super::expr::unnest;
use super::from::output_columns;
use super::{Binder, Body, Query, assign};
use crate::error::{Result, SqlError};
use crate::expr::elements::steps;
use crate::expr::{Expr, ExprKind, SubqueryTest};
use crate::parse;
use crate::sqlstate;

impl Binder<'_> {
    /// SET, over the block whose source 0 is the table.
    pub(super) fn set_list(
        &mut self,
        table: &Arc<Table>,
        list: &[ast::Assignment],
    ) -> Result<Vec<SetColumn>> {
        self.block().no_aggregates = Some("UPDATE");
        let mut set: Vec<SetColumn> = Vec::with_capacity(list.len());
        for assignment in list {
            match &assignment.target {
                AssignmentTarget::ColumnName(name) => {
                    let id = self.set_target(table, name)?;
                    let column = self.set_column(table, id, &assignment.value)?;
                    set.push(column);
                }
                AssignmentTarget::Tuple(names) => {
                    let mut ids = Vec::with_capacity(names.len());
                    for name in names {
                        ids.push(self.set_target(table, name)?);
                    }
                    self.set_tuple(table, &ids, &assignment.value, &mut set)?;
                }
            }
        }
        for (i, column) in set.iter().enumerate() {
            if set[..i].iter().any(|other| other.column == column.column) {
                return Err(SqlError::new(
                    sqlstate::SYNTAX_ERROR,
                    format!("multiple assignments to same column \"{}\"", table.column_name(column.column)),
                ));
            }
        }
        self.block().no_aggregates = None;
        Ok(set)
    }

    fn set_target(&mut self, table: &Table, name: &ast::ObjectName) -> Result<ColumnId> {
        let [ast::ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
            )
            .hint("SET target columns cannot be qualified with the relation name."));
        };
        self.target_column(table, ident)
    }

    fn set_tuple(
        &mut self,
        table: &Arc<Table>,
        ids: &[ColumnId],
        value: &ast::Expr,
        set: &mut Vec<SetColumn>,
    ) -> Result<()> {
        let wrong =
            || SqlError::new(sqlstate::SYNTAX_ERROR, "number of columns does not match number of values");
        let items = match unnest(value) {
            ast::Expr::Tuple(items) => items,
            ast::Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("row") => {
                return Err(SqlError::unsupported("ROW(…) here", "Write (a, b) = (x, y)."));
            }
            ast::Expr::Subquery(query) => {
                // The subquery is bound once per column, each time with that column alone.
                for (i, id) in ids.iter().enumerate() {
                    let column =
                        table.column(*id).ok_or_else(|| SqlError::internal("a column without a table"))?;
                    let (sub, types) = self.subquery(query)?;
                    if types.len() != ids.len() {
                        return Err(wrong());
                    }
                    keep_output(&mut self.subqueries[sub].query, i);
                    let test = SubqueryTest::Scalar.into();
                    let expr = Expr::new(ExprKind::Subquery { id: sub, test }, types[i].clone());
                    let expr = assign(&self.builder, expr, &column.name, &column.ty)?;
                    let computed = self.computed(table, *id, &expr);
                    set.push(SetColumn {
                        column: *id,
                        value: Given::Expr(expr),
                        kind: SetKind::Assign,
                        computed,
                        elements: false,
                    });
                }
                return Ok(());
            }
            // (a) = (x): the parentheses of one value are not a row.
            single if ids.len() == 1 => std::slice::from_ref(single),
            _ => return Err(wrong()),
        };
        if items.len() != ids.len() {
            return Err(wrong());
        }
        for (id, item) in ids.iter().zip(items) {
            let column = self.set_column(table, *id, item)?;
            set.push(column);
        }
        Ok(())
    }

    fn set_column(&mut self, table: &Arc<Table>, id: ColumnId, ast: &ast::Expr) -> Result<SetColumn> {
        let column = table.column(id).ok_or_else(|| SqlError::internal("a column without a table"))?;
        let mut value = self.given(table, id, ast)?;
        if let Given::Expr(_) = &value {
            let what = if column.identity == Some(true) {
                Some(format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name))
            } else if column.generated.is_some() {
                Some(format!("Column \"{}\" is a generated column.", column.name))
            } else {
                None
            };
            if let Some(what) = what {
                return Err(SqlError::new(
                    sqlstate::GENERATED_ALWAYS,
                    format!("column \"{}\" can only be updated to DEFAULT", column.name),
                )
                .detail(what));
            }
        }
        let mut kind = SetKind::Assign;
        let (mut computed, mut elements) = (false, false);
        if let Given::Expr(expr) = &value {
            computed = self.computed(table, id, expr);
            if column.merge == MergeRule::Delta && self.is_increment(table, column, ast, expr) {
                kind = SetKind::Add;
            }
            if column.ty.element().is_some()
                && let Some(slot) = self.target_slot(id)
                && let Some(steps) = steps(&self.builder, expr, slot, &column.ty)?
            {
                elements = true;
                if column.merge == MergeRule::AddWinsSet {
                    kind = SetKind::Elements;
                    value = Given::Expr(steps);
                }
            }
        }
        Ok(SetColumn { column: id, value, kind, computed, elements })
    }

    /// Whether the expression reads the column, or its lww group, of the row that is updated.
    fn computed(&self, table: &Table, id: ColumnId, expr: &Expr) -> bool {
        let group = table.group(id);
        let Some(block) = self.blocks.last() else { return false };
        let slots: Vec<usize> = block.sources[0]
            .columns
            .iter()
            .filter(|c| c.id == id || group.contains(&c.id))
            .filter_map(|c| c.slot)
            .collect();
        let mut found = expr.columns().iter().any(|s| slots.contains(s));
        expr.visit(&mut |e| {
            if let ExprKind::Subquery { id, .. } = e.kind {
                let reads = &self.subqueries[id].reads;
                found |= reads.iter().any(|(b, slot)| *b == block.id && slots.contains(slot));
            }
        });
        found
    }

    /// Where a column of the row that is updated stands.
    fn target_slot(&self, column: ColumnId) -> Option<usize> {
        self.blocks.last()?.sources[0].columns.iter().find(|c| c.id == column).and_then(|c| c.slot)
    }

    /// `x = x ± e` where e does not read x.
    fn is_increment(
        &self,
        table: &Table,
        column: &gemini_shadow_ops::Column,
        ast: &ast::Expr,
        bound: &Expr,
    ) -> bool {
        let Some(block) = self.blocks.last() else { return false };
        let alias = &block.sources[0].alias;
        if !increments(ast, alias, &column.name) {
            return false;
        }
        let Some(slot) = self.target_slot(column.id) else { return false };
        let mut uses = 0;
        let mut whole = true;
        bound.visit(&mut |e| match &e.kind {
            ExprKind::Column(s) if *s == slot => uses += 1,
            ExprKind::Subquery { id, .. } if self.subqueries[*id].reads.contains(&(block.id, slot)) => {
                uses += 1;
            }
            // A sum in a wider kind is rounded on its way back, and how depends on x.
            ExprKind::Cast { arg, .. } if integer(&column.ty) => whole &= integer(&arg.ty) || integer(&e.ty),
            _ => {}
        });
        let same = !integer(&column.ty) || integer(&outermost(bound).ty);
        let _ = table;
        uses == 1 && whole && same
    }
}

/// Leaves one output of a query.
fn keep_output(query: &mut Query, i: usize) {
    let own = Query {
        body: Body::Values(Vec::new()),
        order: Vec::new(),
        limit: None,
        offset: None,
        columns: Vec::new(),
        locks: Vec::new(),
    };
    let mut wrapped = super::query::wrap(std::mem::replace(query, own));
    if let Body::Select(select) = &mut wrapped.body {
        let output = select.outputs.swap_remove(i);
        select.outputs = vec![output];
    }
    let column = wrapped.columns.swap_remove(i);
    wrapped.columns = vec![column];
    debug_assert_eq!(output_columns(&wrapped).len(), 1);
    *query = wrapped;
}

/// `x`, `x + …`, `… + x`, `x - …`, in parentheses or not.
fn increments(ast: &ast::Expr, alias: &str, column: &str) -> bool {
    match ast {
        ast::Expr::Nested(inner) => increments(inner, alias, column),
        ast::Expr::Identifier(ident) => parse::ident(ident) == column,
        ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, name] => parse::ident(table) == alias && parse::ident(name) == column,
            _ => false,
        },
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Plus, right } => {
            increments(left, alias, column) || increments(right, alias, column)
        }
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Minus, .. } => increments(left, alias, column),
        _ => false,
    }
}

fn integer(ty: &DataType) -> bool {
    matches!(ty, DataType::Int2 | DataType::Int4 | DataType::Int8)
}

/// Below the cast to the column's type.
fn outermost(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Cast { arg, .. } => outermost(arg),
        _ => expr,
    }
}
