//! Subqueries in expressions, and what is compared with their rows.

use gemini_shadow_ops::DataType;
use sqlparser::ast::{self, BinaryOperator, Expr as Ast};

use super::Binder;
use super::expr::{compare_op, operator_symbol, row_items, unnest};
use crate::error::{Result, SqlError};
use crate::expr::{CompareOp, Expr, ExprKind, SubqueryTest};
use crate::sqlstate;

impl Binder<'_> {
    pub(super) fn any_all(
        &mut self,
        left: &Ast,
        op: &BinaryOperator,
        right: &Ast,
        all: bool,
    ) -> Result<Expr> {
        match unnest(right) {
            Ast::Subquery(query) => {
                let items = row_items(left);
                let op = compare_op(op)?;
                self.quantified_subquery(&items, op, query, all)
            }
            array => {
                let symbol = operator_symbol(op)?;
                let (left, array) = (self.expr(left)?, self.expr(array)?);
                self.builder.quantified(left, &symbol, array, all)
            }
        }
    }

    /// `left op ANY|ALL (subquery)`; IN and NOT IN are = ANY and <> ALL.
    pub(super) fn quantified_subquery(
        &mut self,
        left: &[&Ast],
        op: CompareOp,
        query: &ast::Query,
        all: bool,
    ) -> Result<Expr> {
        let left: Result<Vec<Expr>> = left.iter().map(|e| self.expr(e)).collect();
        let left = left?;
        let (id, types) = self.subquery(query)?;
        if types.len() != left.len() {
            let what = if types.len() > left.len() { "too many" } else { "too few" };
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, format!("subquery has {what} columns")));
        }
        let mut sides = Vec::with_capacity(left.len());
        for (i, (side, ty)) in left.into_iter().zip(&types).enumerate() {
            sides.push(self.meet(side, ty, id, i)?);
        }
        let test = SubqueryTest::Quantified { left: sides, op, all };
        Ok(Expr::new(ExprKind::Subquery { id, test: test.into() }, DataType::Bool))
    }

    /// Brings the left side and output `i` of subquery `id` to one type, as the operator would.
    fn meet(&mut self, side: Expr, ty: &DataType, id: usize, i: usize) -> Result<Expr> {
        let output = Expr::column(0, ty.clone());
        let probe = self.builder.operator("=", side, output)?;
        let ExprKind::Compare { left, right, .. } = probe.kind else {
            return Err(SqlError::unsupported(
                "this comparison with a subquery",
                "Cast both sides to one type.",
            ));
        };
        if right.ty != *ty {
            let to = right.ty.clone();
            super::query::cast_output(&self.builder, &mut self.subqueries[id].query, i, &to)?;
        }
        Ok(*left)
    }

    /// Binds a subquery: its id and output types.
    pub(super) fn subquery(&mut self, query: &ast::Query) -> Result<(usize, Vec<DataType>)> {
        let base = self.blocks.len();
        self.frames.push(super::Frame { base, ..Default::default() });
        let in_aggregate = self.blocks.last_mut().map(|b| std::mem::take(&mut b.in_aggregate));
        let bound = self.query(query);
        if let (Some(block), Some(flag)) = (self.blocks.last_mut(), in_aggregate) {
            block.in_aggregate = flag;
        }
        let frame = self.frames.pop().unwrap_or_default();
        let query = bound?;
        let types = query.columns.iter().map(|c| c.ty.clone()).collect();
        self.subqueries.push(super::SubQuery { query, correlated: frame.correlated, reads: frame.reads });
        Ok((self.subqueries.len() - 1, types))
    }
}
