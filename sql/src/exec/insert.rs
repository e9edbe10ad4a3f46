//! INSERT: rows from VALUES or a query, defaults, minted values, ON CONFLICT.

use std::collections::HashSet;

use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{Key, Minting, Row, SequenceId, Value};

use super::run::{Cx, Run};
use super::scan::fill;
use super::unique::Taken;
use super::write::{NewCell, Writer, integer_of, program_of, returned};
use super::{Batch, Cursor};
use crate::bind::{ConflictAction, Given, OnConflict, Program};
use crate::error::{Result, SqlError};
use crate::plan::{InsertPlan, InsertRows};
use crate::sqlstate;
use crate::txn::Transaction;

/// A row to insert, by slot; None: not given.
type GivenRow = Vec<Option<Value>>;

impl Cursor {
    /// Carries out an INSERT.
    pub(super) async fn insert(&mut self, plan: &InsertPlan, transaction: &mut Transaction) -> Result<u64> {
        let mut rows = self.given_rows(plan, transaction).await?;
        let minted = self.mint_columns(plan, &mut rows, transaction).await?;
        let evaluates = !plan.returning.is_empty() || plan.conflict.is_some();
        self.forget_view(evaluates);
        let Cursor { run, pending, .. } = self;
        let mut writer = Writer { run, tx: transaction, programs: &plan.programs, events: Vec::new() };
        let program = program_of(&plan.programs, plan.table.id)?;
        let mut touched = HashSet::new();
        let mut count = 0;
        for row in rows {
            let written = writer.insert(plan, &program, row, &minted, &mut touched)?;
            let Some(row) = written else { continue };
            count += 1;
            if !plan.returning.is_empty() {
                let mut flat = vec![Value::Null; plan.width];
                fill(&plan.table, &plan.target, &row, &mut flat)?;
                returned(&plan.returning, &flat, run, pending)?;
            }
        }
        writer.finish()?;
        Ok(count)
    }

    async fn given_rows(
        &mut self,
        plan: &InsertPlan,
        transaction: &mut Transaction,
    ) -> Result<Vec<GivenRow>> {
        let slots = usize::from(plan.table.slots);
        match &plan.source {
            InsertRows::Defaults => Ok(vec![vec![None; slots]]),
            InsertRows::Values(rows) => loop {
                if let Some(rows) = evaluate(&self.run, plan, rows)? {
                    self.note(transaction)?;
                    return Ok(rows);
                }
                self.mint(transaction).await?;
            },
            InsertRows::Query(query, casts) => {
                let mut given = Vec::new();
                self.collect(query, transaction, &mut |run: &Run, batch: &Batch| {
                    let eval = Cx { run, outer: None }.eval();
                    for row in batch.iter() {
                        run.charge(row)?;
                        let mut values = vec![None; slots];
                        for (column, cast) in plan.columns.iter().zip(casts) {
                            values[usize::from(column.0)] = Some(cast.eval(row, &eval)?);
                        }
                        given.push(values);
                    }
                    Ok(())
                })
                .await?;
                Ok(given)
            }
        }
    }

    /// Mints what rows leave out: the columns that were filled so.
    async fn mint_columns(
        &mut self,
        plan: &InsertPlan,
        rows: &mut [GivenRow],
        transaction: &mut Transaction,
    ) -> Result<HashSet<(usize, i64)>> {
        let columns: Vec<(usize, SequenceId, gemini_shadow_ops::DataType)> = plan
            .table
            .columns
            .iter()
            .filter_map(|c| match c.minting {
                Some(Minting::Sequence(id)) => Some((usize::from(c.id.0), id, c.ty.clone())),
                _ => None,
            })
            .collect();
        let mut minted = HashSet::new();
        for row in rows {
            for (place, sequence, ty) in &columns {
                if row[*place].is_some() {
                    continue;
                }
                let value = self.mint_one(*sequence, transaction).await?;
                let given = integer_of(ty, value);
                if !gemini_shadow_ops::value::arith::fits(ty, &given) {
                    return Err(super::scan::out_of_range(ty));
                }
                row[*place] = Some(given);
                // A value counted up by the transaction itself is as if it had been given.
                if transaction.is_minted(*sequence, value) {
                    minted.insert((*place, value));
                }
            }
        }
        Ok(minted)
    }
}

/// Evaluates VALUES; None if a value must be minted first.
fn evaluate(run: &Run, plan: &InsertPlan, rows: &[Vec<Given>]) -> Result<Option<Vec<GivenRow>>> {
    let eval = Cx { run, outer: None }.eval();
    let slots = usize::from(plan.table.slots);
    run.rewind();
    let mut given = Vec::with_capacity(rows.len());
    for row in rows {
        let mut values = vec![None; slots];
        for (column, cell) in plan.columns.iter().zip(row) {
            let Given::Expr(expr) = cell else { continue };
            match expr.eval(&[], &eval) {
                Ok(value) => values[usize::from(column.0)] = Some(value),
                Err(_) if run.peek_wanted() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        given.push(values);
    }
    run.settle();
    Ok(Some(given))
}

impl Writer<'_> {
    /// Inserts one row, or does what ON CONFLICT says: the row as it is now, None if nothing was done.
    fn insert(
        &mut self,
        plan: &InsertPlan,
        program: &Program,
        given: GivenRow,
        minted: &HashSet<(usize, i64)>,
        touched: &mut HashSet<Key>,
    ) -> Result<Option<Row>> {
        let table = &program.table;
        let mut values = vec![Value::Null; usize::from(table.slots)];
        for column in &table.columns {
            let place = usize::from(column.id.0);
            match &given[place] {
                Some(value) => {
                    let own = value.as_i64().is_some_and(|v| minted.contains(&(place, v)));
                    if own {
                        self.tx.minted(table.id, column.id, value.clone());
                    } else if column.minting.is_some() {
                        self.explicit(table, column, value)?;
                    }
                    values[place] = value.clone();
                }
                None if column.generated.is_some() => {}
                None => values[place] = self.default_of(program, column)?,
            }
        }
        self.complete(program, &mut values)?;
        let at = key::primary_key(table, &values);
        if let Some(taken) = self.taken(table, &values, &at, None)? {
            let Some(conflict) = self.answers(plan.conflict.as_ref(), &taken) else {
                return Err(self.duplicate(table, &taken, &values));
            };
            return self.resolve(plan, program, conflict, taken, &values, touched);
        }
        touched.insert(at.clone());
        self.insert_row(program, at, values).map(Some)
    }

    fn answers<'c>(&self, conflict: Option<&'c OnConflict>, taken: &Taken) -> Option<&'c OnConflict> {
        conflict.filter(|c| c.indexes.as_ref().is_none_or(|list| list.contains(&taken.index)))
    }

    fn resolve(
        &mut self,
        plan: &InsertPlan,
        program: &Program,
        conflict: &OnConflict,
        taken: Taken,
        proposed: &[Value],
        touched: &mut HashSet<Key>,
    ) -> Result<Option<Row>> {
        let ConflictAction::Update { set, filter } = &conflict.action else { return Ok(None) };
        if !touched.insert(taken.key.clone()) {
            return Err(SqlError::new(
                sqlstate::CARDINALITY_VIOLATION,
                "ON CONFLICT DO UPDATE command cannot affect row a second time",
            )
            .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values."));
        }
        let Some(row) = self.reading()?.get(&program.table, &taken.key)? else { return Ok(None) };
        let mut flat = vec![Value::Null; plan.width];
        fill(&program.table, &plan.target, &row, &mut flat)?;
        fill(&program.table, &plan.excluded, proposed, &mut flat)?;
        let eval = Cx { run: self.run, outer: None }.eval();
        for condition in filter {
            if !condition.holds(&flat, &eval)? {
                return Ok(None);
            }
        }
        let mut cells = Vec::with_capacity(set.len());
        for column in set {
            let value = match &column.value {
                Given::Expr(expr) => Some(expr.eval(&flat, &eval)?),
                Given::Default => None,
            };
            cells.push(NewCell {
                column: column.column,
                value,
                kind: column.kind,
                computed: column.computed,
            });
        }
        self.update(program, taken.key, cells)
    }
}
