//! Writing rows: what UPDATE and DELETE do, and what every written row must satisfy.
//!
//! A statement first finds its rows and evaluates its expressions on the view it started with; then it writes, row by
//! row, checking NOT NULL, CHECK and UNIQUE; FOREIGN KEYs and their actions come last, when all rows are written
//! (see [`super::foreign`]). An error anywhere leaves the transaction as it was: the cursor rolls back to where the
//! statement began.
//!
//! Lowering of one cell, by its merge rule:
//!
//! | rule | `x = e` | `x = x ± e` |
//! |---|---|---|
//! | strict, lww | set e (an lww group whole) | the same, computed from the old value |
//! | delta | add the difference; it read x | add ± e |
//! | max, min | raise to e, lower to e; the row keeps the greater, the lesser | the same |
//! | set | see [`elements`] | |
//! | flag | enable, or disable; the row keeps e | the same |

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{
    Column, ColumnId, DataType, Key, MergeRule, Minting, Row, RowRule, Table, TableId, Value, Write,
};

use super::operators::{State, Step};
use super::run::{Cx, Run};
use super::scan::fill;
use super::view::Reading;
use super::{Batch, Cursor, delta, elements, yield_now};
use crate::bind::{Given, Program, SetColumn, SetKind};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::{DeletePlan, Plan, PreparedBody, UpdatePlan};
use crate::sqlstate;
use crate::txn::{Cell, Transaction};

/// What has been written, for FOREIGN KEYs.
pub enum Event {
    Inserted { table: Arc<Table>, row: Row },
    Updated { table: Arc<Table>, before: Row, after: Row },
    Deleted { table: Arc<Table>, row: Row },
}

/// A cell to write: None is DEFAULT.
pub struct NewCell {
    pub column: ColumnId,
    pub value: Option<Value>,
    pub kind: SetKind,
    pub computed: bool,
}

/// Writes rows into a transaction.
pub struct Writer<'a> {
    pub run: &'a Run,
    pub tx: &'a mut Transaction,
    pub programs: &'a BTreeMap<TableId, Arc<Program>>,
    pub events: Vec<Event>,
}

/// A row that UPDATE has found.
struct Found {
    key: Key,
    flat: Vec<Value>,
    cells: Vec<NewCell>,
}

impl Cursor {
    /// Carries out a DML statement: the number of rows.
    pub(super) async fn write(&mut self, transaction: &mut Transaction) -> Result<u64> {
        let prepared = self.run.prepared.clone();
        match &prepared.body {
            PreparedBody::Select(_) => Ok(0),
            PreparedBody::Insert(plan) => self.insert(plan, transaction).await,
            PreparedBody::Update(plan) => {
                let found = self.find(&plan.source, plan.key_slot, &plan.set, transaction).await?;
                self.forget_view(!plan.returning.is_empty());
                self.update(plan, found, transaction)
            }
            PreparedBody::Delete(plan) => {
                let found = self.find(&plan.source, plan.key_slot, &[], transaction).await?;
                self.forget_view(!plan.returning.is_empty());
                self.delete(plan, found, transaction)
            }
        }
    }

    /// Lets go of the overlay that the statement read, so that writing does not copy it; a subquery may still need it.
    pub(super) fn forget_view(&mut self, evaluates: bool) {
        if !evaluates || self.run.prepared.subplans.is_empty() {
            self.run.view.overlay = Arc::default();
        }
    }

    /// Runs a query to its end.
    pub(super) async fn collect(
        &mut self,
        plan: &Plan,
        transaction: &mut Transaction,
        take: &mut (dyn FnMut(&Run, &Batch) -> Result<()> + Send),
    ) -> Result<()> {
        let mut state = State::of(plan);
        state.open(&plan.node, &Cx { run: &self.run, outer: None }, &[])?;
        let mut batch = Batch::new(plan.width);
        let mut steps = 0u32;
        loop {
            let step = state.next(&plan.node, &Cx { run: &self.run, outer: None }, &mut batch)?;
            take(&self.run, &batch)?;
            batch.clear();
            self.note(transaction)?;
            match step {
                Step::Done => return Ok(()),
                Step::Mint => self.mint(transaction).await?,
                Step::More => {
                    self.run.context.check()?;
                    steps += 1;
                    if steps > 2 {
                        yield_now().await;
                    }
                }
            }
        }
    }

    /// The rows of an UPDATE or DELETE, each once, with what they are set to.
    async fn find(
        &mut self,
        plan: &Plan,
        key_slot: usize,
        set: &[SetColumn],
        transaction: &mut Transaction,
    ) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = Vec::new();
        let mut seen: HashSet<Key> = HashSet::new();
        self.collect(plan, transaction, &mut |run, batch| {
            let eval = Cx { run, outer: None }.eval();
            for row in batch.iter() {
                let Value::Bytea(bytes) = &row[key_slot] else { continue };
                let key = Key(bytes.clone());
                if (!found.is_empty() || batch.len() > 1) && !seen.insert(key.clone()) {
                    continue;
                }
                run.charge(row)?;
                let mut cells = Vec::with_capacity(set.len());
                for column in set {
                    let value = match &column.value {
                        Given::Expr(expr) => Some(expr.eval(row, &eval)?),
                        Given::Default => None,
                    };
                    let (kind, computed) = (column.kind, column.computed);
                    cells.push(NewCell { column: column.column, value, kind, computed });
                }
                found.push(Found { key, flat: row.to_vec(), cells });
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    fn update(&mut self, plan: &UpdatePlan, found: Vec<Found>, tx: &mut Transaction) -> Result<u64> {
        let Cursor { run, pending, .. } = self;
        let mut writer = Writer { run, tx, programs: &plan.programs, events: Vec::new() };
        let program = program_of(&plan.programs, plan.table.id)?;
        let mut count = 0;
        for mut row in found {
            let Some(after) = writer.update(&program, row.key, row.cells)? else { continue };
            count += 1;
            if !plan.returning.is_empty() {
                fill(&plan.table, &plan.target, &after, &mut row.flat)?;
                returned(&plan.returning, &row.flat, run, pending)?;
            }
        }
        writer.finish()?;
        Ok(count)
    }

    fn delete(&mut self, plan: &DeletePlan, found: Vec<Found>, tx: &mut Transaction) -> Result<u64> {
        let Cursor { run, pending, .. } = self;
        let mut writer = Writer { run, tx, programs: &plan.programs, events: Vec::new() };
        let mut count = 0;
        for row in found {
            if !writer.delete(&plan.table, &row.key)? {
                continue;
            }
            count += 1;
            if !plan.returning.is_empty() {
                returned(&plan.returning, &row.flat, run, pending)?;
            }
        }
        writer.finish()?;
        Ok(count)
    }
}

/// Evaluates RETURNING.
pub fn returned(exprs: &[Expr], row: &[Value], run: &Run, out: &mut Batch) -> Result<()> {
    let eval = Cx { run, outer: None }.eval();
    for expr in exprs {
        out.push_value(expr.eval(row, &eval)?);
    }
    out.close_row();
    Ok(())
}

/// A table's program.
pub fn program_of(programs: &BTreeMap<TableId, Arc<Program>>, table: TableId) -> Result<Arc<Program>> {
    programs.get(&table).cloned().ok_or_else(|| SqlError::internal("a write of a table that was not planned"))
}

impl Writer<'_> {
    /// What the transaction sees now.
    pub fn reading(&self) -> Result<Reading<'_>> {
        match self.tx.current() {
            Some(snapshot) => Ok(Reading { snapshot, overlay: self.tx.overlay() }),
            None => Err(SqlError::internal("a statement writes without a snapshot")),
        }
    }

    /// Fills generated columns, makes sets of what is to be one, and checks NOT NULL and CHECK.
    pub fn complete(&self, program: &Program, values: &mut [Value]) -> Result<()> {
        let eval = Cx { run: self.run, outer: None }.eval();
        for (column, expr) in &program.generated {
            values[usize::from(column.0)] = expr.eval(values, &eval)?;
        }
        let table = &program.table;
        for column in table.columns.iter().filter(|c| c.merge == MergeRule::AddWinsSet) {
            let cell = &mut values[usize::from(column.id.0)];
            *cell = elements::stored(column, cell)?;
        }
        for column in &table.columns {
            let required = column.not_null || table.is_primary(column.id);
            if required && values[usize::from(column.id.0)].is_null() {
                return Err(SqlError::new(
                    sqlstate::NOT_NULL_VIOLATION,
                    format!(
                        "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                        column.name, table.name
                    ),
                )
                .detail(format!("Failing row contains {}.", self.shown(table, values)))
                .table(&table.name)
                .column(&column.name));
            }
        }
        for (name, check) in &program.checks {
            if check.eval(values, &eval)? == Value::Bool(false) {
                return Err(SqlError::new(
                    sqlstate::CHECK_VIOLATION,
                    format!("new row for relation \"{}\" violates check constraint \"{name}\"", table.name),
                )
                .detail(format!("Failing row contains {}.", self.shown(table, values)))
                .table(&table.name)
                .constraint(name.clone()));
            }
        }
        Ok(())
    }

    fn shown(&self, table: &Table, values: &[Value]) -> String {
        let parts: Vec<String> = table
            .columns
            .iter()
            .filter(|c| !c.hidden)
            .map(|c| {
                let text = self.text(&values[usize::from(c.id.0)], &c.ty);
                if text.chars().count() > 64 {
                    format!("{}...", text.chars().take(64).collect::<String>())
                } else {
                    text
                }
            })
            .collect();
        format!("({})", parts.join(", "))
    }

    /// A value in an error.
    pub fn text(&self, value: &Value, ty: &DataType) -> String {
        if value.is_null() {
            return "null".to_owned();
        }
        crate::expr::text::output(value, ty, self.run.context.environment.session())
    }

    /// Inserts a row whose values are complete and whose keys are free.
    pub fn insert_row(&mut self, program: &Program, at: Key, values: Vec<Value>) -> Result<Row> {
        let row: Row = values.into();
        self.tx.insert(&program.table, at, row.clone())?;
        self.events.push(Event::Inserted { table: program.table.clone(), row: row.clone() });
        Ok(row)
    }

    /// Updates a row: the row after, None if it is gone.
    pub fn update(&mut self, program: &Program, at: Key, cells: Vec<NewCell>) -> Result<Option<Row>> {
        let table = program.table.clone();
        let touched = self.tx.touch(&table, &at)?;
        let Some(before) = touched.current.clone() else { return Ok(None) };
        let mut values = widened(&table, &before);
        let mut writes: BTreeMap<ColumnId, Cell> = BTreeMap::new();
        for cell in cells {
            let column = table.column(cell.column).ok_or_else(|| SqlError::internal("a column is gone"))?;
            self.set(program, column, cell, &mut values, &mut writes)?;
        }
        self.complete(program, &mut values)?;
        for (column, _) in &program.generated {
            let place = usize::from(column.0);
            let inputs = table.column(*column).and_then(|c| c.generated.as_ref());
            let touched = inputs.is_some_and(|(_, inputs)| inputs.iter().any(|i| writes.contains_key(i)));
            if touched && !table.is_primary(*column) {
                let cell = Cell { write: Write::Set(values[place].clone()), assigned: false, computed: true };
                writes.insert(*column, cell);
            }
        }
        for group in &program.groups {
            if group.iter().any(|c| writes.contains_key(c)) {
                for column in group {
                    let value = &values[usize::from(column.0)];
                    writes.entry(*column).or_insert_with(|| Cell {
                        write: Write::Set(value.clone()),
                        assigned: false,
                        computed: true,
                    });
                }
            }
        }
        let after: Row = values.into();
        let to = key::primary_key(&table, &after);
        if table.rows == RowRule::AppendOnly {
            self.refuse_append_only(&table, &before, &after, to != at)?;
        }
        self.check_unique(&table, &after, Some((&at, &before)))?;
        if to == at {
            self.tx.update(&table, at, touched, after.clone(), writes.into_iter().collect())?;
        } else {
            self.tx.delete(&table, at, true)?;
            self.tx.insert(&table, to.clone(), after.clone())?;
            self.tx.mark_key_update(&table, to)?;
        }
        self.events.push(Event::Updated { table, before, after: after.clone() });
        Ok(Some(after))
    }

    /// One cell of an update.
    fn set(
        &mut self,
        program: &Program,
        column: &Column,
        cell: NewCell,
        values: &mut [Value],
        writes: &mut BTreeMap<ColumnId, Cell>,
    ) -> Result<()> {
        let place = usize::from(column.id.0);
        let value = match cell.value {
            Some(value) => {
                if column.minting.is_some() && value != values[place] {
                    self.explicit(&program.table, column, &value)?;
                }
                value
            }
            None => self.default_of(program, column)?,
        };
        if column.generated.is_some() {
            return Ok(());
        }
        if program.table.is_primary(column.id) {
            values[place] = value;
            return Ok(());
        }
        let old = std::mem::replace(&mut values[place], Value::Null);
        let (new, write) = match column.merge {
            MergeRule::Strict | MergeRule::Lww => (value.clone(), Write::Set(value)),
            MergeRule::Delta => {
                let change = delta::difference(&value, &old);
                (value, Write::delta(&program.table, column.id, change))
            }
            MergeRule::Max => (extreme(&old, &value, false), Write::Max(value)),
            MergeRule::Min => (extreme(&old, &value, true), Write::Min(value)),
            MergeRule::AddWinsSet if cell.kind == SetKind::Elements => elements::apply(column, &old, &value)?,
            MergeRule::AddWinsSet => elements::assign(column, &old, &value)?,
            MergeRule::EnableWins => {
                let write = Write::EnableWins(value == Value::Bool(true));
                (value, write)
            }
            MergeRule::DisableWins => {
                let write = Write::DisableWins(value == Value::Bool(true));
                (value, write)
            }
        };
        values[place] = new;
        let assigned = column.merge == MergeRule::Delta && cell.kind == SetKind::Assign;
        writes.insert(column.id, Cell { write, assigned, computed: cell.computed });
        Ok(())
    }

    /// DEFAULT in an UPDATE, or of ON DELETE SET DEFAULT.
    pub fn default_of(&mut self, program: &Program, column: &Column) -> Result<Value> {
        if matches!(column.minting, Some(Minting::Sequence(_))) {
            return Err(SqlError::unsupported(
                format!("SET {} = DEFAULT for a column that mints its values", column.name),
                "Insert a new row instead.",
            ));
        }
        let Some(default) = program.defaults.get(&column.id) else { return Ok(Value::Null) };
        let value = default.eval(&[], &Cx { run: self.run, outer: None }.eval())?;
        if column.minting == Some(Minting::Uuid) {
            self.tx.minted(program.table.id, column.id, value.clone());
        }
        Ok(value)
    }

    /// Deletes a row; false if it is gone.
    pub fn delete(&mut self, table: &Arc<Table>, at: &Key) -> Result<bool> {
        let Some(row) = self.reading()?.get(table, at)? else { return Ok(false) };
        if table.rows == RowRule::AppendOnly {
            return Err(SqlError::new(
                sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("rows of \"{}\" are never deleted: it is ROWS APPEND ONLY", table.name),
            )
            .hint("Mark rows as gone in a column, or declare another row rule.")
            .table(&table.name));
        }
        self.tx.delete(table, at.clone(), false)?;
        self.events.push(Event::Deleted { table: table.clone(), row });
        Ok(true)
    }

    /// Append-only tables keep their keys and the columns that FOREIGN KEYs reference.
    fn refuse_append_only(&self, table: &Table, before: &Row, after: &Row, moved: bool) -> Result<()> {
        let mut changed = moved;
        for (_, foreign) in self.run.schema.references(table.id) {
            changed |= foreign.parent_columns.iter().any(|c| slot(before, *c) != slot(after, *c));
        }
        if changed {
            return Err(SqlError::new(
                sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("keys of \"{}\" never change: it is ROWS APPEND ONLY", table.name),
            )
            .hint("Insert a new row, or declare another row rule.")
            .table(&table.name));
        }
        Ok(())
    }

    /// Judges a value given for a minting column (DESIGN's *Minted values*).
    pub fn explicit(&mut self, table: &Table, column: &Column, value: &Value) -> Result<()> {
        match &column.minting {
            None => Ok(()),
            Some(Minting::Uuid) => {
                let trusted = table.rows == RowRule::Strict || table.keys_trusted;
                if value.is_null() || trusted || self.tx.has_minted(value) {
                    return Ok(());
                }
                Err(SqlError::new(
                    sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    format!("column \"{}\" mints its values: an explicit uuid is refused", column.name),
                )
                .hint("Leave the column out, or declare the table KEYS TRUSTED.")
                .table(&table.name)
                .column(&column.name))
            }
            Some(Minting::Sequence(id)) => {
                let Some(value) = value.as_i64() else { return Ok(()) };
                if self.tx.is_minted(*id, value) {
                    let given = integer_of(&column.ty, value);
                    self.tx.minted(table.id, column.id, given);
                    return Ok(());
                }
                let Some(sequence) = self.run.schema.sequence(*id).cloned() else { return Ok(()) };
                let Some(base) = sequence.base else { return Ok(()) };
                let (class, classes) = self.run.context.host.minting_class();
                let distance = i128::from(value) - i128::from(base);
                let below = if sequence.increment > 0 { distance < 0 } else { distance > 0 };
                if below {
                    return Ok(());
                }
                let increment = i128::from(sequence.increment);
                let own = increment != 0
                    && distance % increment == 0
                    && (distance / increment) % i128::from(classes.max(1)) == i128::from(class);
                if own {
                    self.tx.explicit_value(*id, value);
                    return Ok(());
                }
                Err(SqlError::new(
                    sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    format!(
                        "{value} cannot be given for column \"{}\": another site may mint it",
                        column.name
                    ),
                )
                .hint(format!(
                    "Leave the column out, or use a value below {base}, where the sequence \"{}\" began.",
                    sequence.name
                ))
                .table(&table.name)
                .column(&column.name))
            }
        }
    }
}

/// An integer of a column's type (it fits: it came from there).
pub fn integer_of(ty: &DataType, value: i64) -> Value {
    gemini_shadow_ops::value::arith::integer_value(ty, i128::from(value))
}

/// max and min: never lowered, never raised; NULL gives way.
fn extreme(old: &Value, new: &Value, least: bool) -> Value {
    match (old.is_null(), new.is_null()) {
        (true, _) => new.clone(),
        (_, true) => old.clone(),
        _ => {
            let order = new.compare(old);
            let better = if least { order.is_lt() } else { order.is_gt() };
            if better { new.clone() } else { old.clone() }
        }
    }
}

/// A row's values at full width.
fn widened(table: &Table, row: &Row) -> Vec<Value> {
    let mut values = row.to_vec();
    if values.len() < usize::from(table.slots) {
        let from = values.len();
        values.resize(usize::from(table.slots), Value::Null);
        for column in &table.columns {
            let place = usize::from(column.id.0);
            if place >= from {
                values[place] = column.missing.clone();
            }
        }
    }
    values
}

/// A column of a row.
pub fn slot(row: &[Value], column: ColumnId) -> &Value {
    row.get(usize::from(column.0)).unwrap_or(&Value::Null)
}
