//! WITH RECURSIVE: `base UNION [ALL] step`, where the step reads what the round before has given.
//!
//! A CTE is bound where it is used. One that may name itself is bound with a [`Recursion`] open: in the base term its name is
//! refused, in the step it is a source of its own, the rows of the last round. A step that never names it makes a plain UNION.

use sqlparser::ast::{self, SetExpr};

use super::from::output_columns;
use super::query::{casts, combine, plain};
use super::{Binder, Body, Cte, Query, SetOp, SourceColumn, SourceKind};
use crate::error::{Result, SqlError};
use crate::expr::common_type;
use crate::expr::types::{bare, display};
use crate::plan::OutputColumn;
use crate::sqlstate;

/// A CTE of WITH RECURSIVE that is being bound.
#[derive(Debug)]
pub(super) struct Recursion {
    /// The CTE's.
    cte: usize,
    /// The recursion's own: a CTE used twice is computed twice.
    id: usize,
    name: String,
    term: Term,
    /// How often the step has named it.
    pub(super) uses: usize,
    /// How many subqueries were being bound around it.
    frames: usize,
}

#[derive(Debug)]
enum Term {
    /// No UNION at all.
    Other,
    Base,
    /// Its columns.
    Step(Vec<SourceColumn>),
}

fn wrong(message: String) -> SqlError {
    SqlError::new(sqlstate::INVALID_RECURSION, message)
}

fn misplaced(name: &str, place: &str) -> SqlError {
    wrong(format!("recursive reference to query \"{name}\" must not appear {place}"))
}

impl Binder<'_> {
    /// Binds a CTE that may name itself.
    pub(super) fn recursive_cte(&mut self, cte: &Cte) -> Result<Query> {
        let id = self.next_recursion;
        self.next_recursion += 1;
        self.recursions.push(Recursion {
            cte: cte.id,
            id,
            name: cte.name.clone(),
            term: Term::Other,
            uses: 0,
            frames: self.frames.len(),
        });
        let scope = self.ctes.len();
        let bound = self.recursion_parts(cte, id);
        self.ctes.truncate(scope);
        self.recursions.pop();
        bound
    }

    fn recursion_parts(&mut self, cte: &Cte, id: usize) -> Result<Query> {
        let query = &*cte.query;
        let mut body = &*query.body;
        while let SetExpr::Query(inner) = body
            && inner.with.is_none()
            && inner.order_by.is_none()
            && inner.limit_clause.is_none()
        {
            body = &inner.body;
        }
        let SetExpr::SetOperation { op: ast::SetOperator::Union, set_quantifier, left, right } = body else {
            return self.query(query);
        };
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        self.set_term(Term::Base);
        let base = self.body(left)?;
        let mut columns = output_columns(&base);
        super::from::rename(&mut columns, cte)?;
        self.set_term(Term::Step(columns));
        let step = self.body(right)?;
        let all = super::query::keeps_duplicates(*set_quantifier)?;
        let recursive = self.recursions.last().is_some_and(|r| r.uses > 0);
        if !recursive {
            let set = combine(&self.builder, SetOp::Union, all, base, step)?;
            return self.ordered(set, query);
        }
        for (clause, there) in [
            ("ORDER BY", query.order_by.is_some()),
            ("LIMIT", query.limit_clause.is_some() || query.fetch.is_some()),
            ("FOR UPDATE/SHARE", !query.locks.is_empty()),
        ] {
            if there {
                return Err(SqlError::unsupported(
                    format!("{clause} in a recursive query"),
                    "Put it into the query that uses it.",
                ));
            }
        }
        let columns = recursive_columns(&cte.name, &base, &step)?;
        let step_casts = casts(&self.builder, &step.columns, &columns)?;
        let (base, step) = (Box::new(base), Box::new(step));
        let body = Body::Recursive { id, name: cte.name.clone(), all, base, step, step_casts };
        Ok(plain(body, columns))
    }

    fn set_term(&mut self, term: Term) {
        if let Some(recursion) = self.recursions.last_mut() {
            recursion.term = term;
        }
    }

    /// The source that a CTE's own name is within it; None if it is not being bound.
    pub(super) fn self_reference(&mut self, cte: usize) -> Result<Option<(SourceKind, Vec<SourceColumn>)>> {
        let Some(at) = self.recursions.iter().rposition(|r| r.cte == cte) else { return Ok(None) };
        if at + 1 < self.recursions.len() {
            return Err(SqlError::unsupported(
                "mutual recursion between WITH items",
                "Write it as one recursive query.",
            ));
        }
        let in_subquery = self.frames.len() > self.recursions[at].frames;
        let recursion = &mut self.recursions[at];
        recursion.uses += 1;
        let name = &recursion.name;
        match &recursion.term {
            Term::Other => Err(wrong(format!(
                "recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term"
            ))),
            Term::Base => Err(misplaced(name, "within its non-recursive term")),
            Term::Step(_) if in_subquery => Err(misplaced(name, "within a subquery")),
            Term::Step(_) if recursion.uses > 1 => Err(misplaced(name, "more than once")),
            Term::Step(columns) => Ok(Some((SourceKind::Working { id: recursion.id }, columns.clone()))),
        }
    }

    /// How often the innermost recursive query has been named so far.
    pub(super) fn self_references(&self) -> usize {
        self.recursions.last().map_or(0, |r| r.uses)
    }

    /// 42P19 if the recursive query has been named since `before`.
    pub(super) fn no_self_reference(&self, before: usize, place: &str) -> Result<()> {
        match self.recursions.last() {
            Some(recursion) if recursion.uses > before => Err(misplaced(&recursion.name, place)),
            _ => Ok(()),
        }
    }
}

/// The base term's columns; 42804 if the step would need others.
fn recursive_columns(name: &str, base: &Query, step: &Query) -> Result<Vec<OutputColumn>> {
    super::query::same_width("UNION", base, step)?;
    let mut columns = Vec::with_capacity(base.columns.len());
    for (i, (a, b)) in base.columns.iter().zip(&step.columns).enumerate() {
        let overall = common_type("UNION", &[a.ty.clone(), b.ty.clone()])?;
        if bare(&overall) != bare(&a.ty) {
            return Err(SqlError::new(
                sqlstate::DATATYPE_MISMATCH,
                format!(
                    "recursive query \"{name}\" column {} has type {} in non-recursive term but type {} overall",
                    i + 1,
                    display(&a.ty),
                    display(&overall)
                ),
            )
            .hint("Cast the output of the non-recursive term to the correct type."));
        }
        columns.push(OutputColumn { name: a.name.clone(), ty: bare(&a.ty), origin: None });
    }
    Ok(columns)
}
