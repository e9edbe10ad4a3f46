//! From reasons to annotations: what could make an effect blue, the most natural first.

use std::collections::{BTreeMap, BTreeSet};

use gemini_shadow_ops::{Column, ColumnId, DataType, MergeRule, Reason, RowRule, Rule, Schema, Table};

use super::trial::Trial;

/// What an annotation is about: a column, or (no column) a table's rows. By name: every trial has a schema of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub table: String,
    pub column: Option<String>,
}

/// What is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Choice {
    Merge(MergeRule),
    Rows { rule: RowRule, trusted: bool },
}

/// A set of annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations(pub BTreeMap<Place, Choice>);

impl Annotations {
    /// As they can be declared: columns, then what only grows, then what relies on both.
    pub fn in_order(&self) -> Vec<(&Place, Choice)> {
        let mut all: Vec<_> = self.0.iter().map(|(place, choice)| (place, *choice)).collect();
        all.sort_by_key(|(_, choice)| match choice {
            Choice::Merge(_) => 0,
            Choice::Rows { rule: RowRule::AppendOnly, trusted: false } => 1,
            Choice::Rows { .. } => 2,
        });
        all
    }
}

impl Choice {
    /// The statement that declares it.
    pub fn statement(self, place: &Place) -> String {
        let table = quoted(&place.table);
        match (self, &place.column) {
            (Choice::Merge(rule), Some(column)) => {
                format!("ALTER TABLE {table} ALTER COLUMN {} SET {rule}", quoted(column))
            }
            (Choice::Merge(rule), None) => format!("ALTER TABLE {table} SET {rule}"),
            (Choice::Rows { rule, trusted }, _) => {
                format!("ALTER TABLE {table} SET {rule}{}", if trusted { ", KEYS TRUSTED" } else { "" })
            }
        }
    }

    /// What the application promises with it.
    pub fn price(self) -> String {
        let rows = |rule| match rule {
            RowRule::AppendOnly => "no row is ever deleted, no key ever changed",
            RowRule::AddWins => "a row that is deleted here and updated there at the same moment stays",
            RowRule::RemoveWins => "an update made at the same moment as a delete is lost",
            RowRule::Strict => "inserts and deletes are ordered",
        };
        match self {
            Choice::Merge(MergeRule::Lww) => {
                "of two values set at the same moment the later stands".to_owned()
            }
            Choice::Merge(MergeRule::Delta) => "x = x ± e adds up; x = e stays red".to_owned(),
            Choice::Merge(MergeRule::Max) => "a value is never lowered".to_owned(),
            Choice::Merge(MergeRule::Min) => "a value is never raised".to_owned(),
            Choice::Merge(MergeRule::AddWinsSet) => {
                "an element that is added here and removed there at the same moment stays; elements are sorted, each once".to_owned()
            }
            Choice::Merge(MergeRule::EnableWins) => "of true and false set at the same moment true stands".to_owned(),
            Choice::Merge(MergeRule::DisableWins) => "of true and false set at the same moment false stands".to_owned(),
            Choice::Merge(MergeRule::Strict) => "writes are ordered".to_owned(),
            Choice::Rows { rule, trusted: false } => rows(rule).to_owned(),
            Choice::Rows { rule, trusted: true } => {
                format!("{}; two inserts of one key mean the same row", rows(rule))
            }
        }
    }
}

fn quoted(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// What was tried and does not do.
pub(super) type Rejected = BTreeSet<(Place, String)>;

/// What the trial's reasons ask for and `annotations` does not say yet.
pub(super) fn proposals(
    trial: &Trial,
    annotations: &Annotations,
    rejected: &Rejected,
) -> Vec<(Place, Choice)> {
    let mut wanted = Wanted { trial, annotations, rejected, found: BTreeMap::new() };
    for reason in trial.reasons.iter().flatten() {
        wanted.reason(reason);
    }
    wanted.found.into_iter().collect()
}

/// The next best choice for a place whose choice was refused; None: nothing else is left.
pub(super) fn instead(trial: &Trial, place: &Place, refused: Choice, rejected: &Rejected) -> Option<Choice> {
    let table = trial.schema.tables.values().find(|table| table.name == place.table)?;
    let options = match (&place.column, refused) {
        (Some(name), _) => merges(trial, table, table.columns.iter().find(|column| column.name == *name)?),
        (None, Choice::Rows { trusted, .. }) => rows(trial, table, trusted),
        (None, Choice::Merge(_)) => return None,
    };
    first(place, options, rejected)
}

fn first(place: &Place, options: Vec<Choice>, rejected: &Rejected) -> Option<Choice> {
    options.into_iter().find(|choice| !rejected.contains(&(place.clone(), choice.statement(place))))
}

struct Wanted<'a> {
    trial: &'a Trial,
    annotations: &'a Annotations,
    rejected: &'a Rejected,
    found: BTreeMap<Place, Choice>,
}

impl Wanted<'_> {
    fn reason(&mut self, reason: &Reason) {
        let schema = &self.trial.schema;
        let Some(table) = schema.table(reason.table).map(|table| &**table) else { return };
        match (reason.rule, reason.column) {
            (Rule::StrictColumn, Some(column)) => self.column(table, column),
            (Rule::DeltaAssigned, Some(column)) => self.not_a_counter(table, column),
            (Rule::StrictRows, _) => self.rows(table, false),
            (Rule::KeyNotUniqueByConstruction, _) => self.rows(table, true),
            (Rule::ForeignKey, _) => {
                if let Some(parent) = parent(schema, reason) {
                    self.rows(parent, false);
                }
            }
            (Rule::CheckAcrossColumns, column) => {
                for column in tied(table, reason, column) {
                    self.column(table, column);
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, place: Place, options: Vec<Choice>) {
        if let Some(choice) = first(&place, options, self.rejected) {
            self.found.insert(place, choice);
        }
    }

    fn column(&mut self, table: &Table, column: ColumnId) {
        let Some(column) = table.column(column) else { return };
        let place = Place { table: table.name.clone(), column: Some(column.name.clone()) };
        if column.merge == MergeRule::Strict && !table.is_primary(column.id) && !self.has(&place) {
            self.put(place, merges(self.trial, table, column));
        }
    }

    /// A column that was taken for a counter, and that no transaction adds to.
    fn not_a_counter(&mut self, table: &Table, column: ColumnId) {
        let Some(declared) = table.column(column) else { return };
        let place = Place { table: table.name.clone(), column: Some(declared.name.clone()) };
        if self.annotations.0.get(&place) != Some(&Choice::Merge(MergeRule::Delta)) {
            return;
        }
        let assigned = |why: &BTreeSet<Reason>| {
            why.iter()
                .any(|r| r.rule == Rule::DeltaAssigned && (r.table, r.column) == (table.id, Some(column)))
        };
        let adds = (self.trial.sets.iter().zip(&self.trial.reasons))
            .any(|(sets, why)| sets.contains(&(table.id, column)) && !assigned(why));
        if !adds {
            let options = merges(self.trial, table, declared)
                .into_iter()
                .filter(|c| *c != Choice::Merge(MergeRule::Delta));
            self.put(place, options.collect());
        }
    }

    fn rows(&mut self, table: &Table, trusted: bool) {
        let place = Place { table: table.name.clone(), column: None };
        match self.annotations.0.get(&place) {
            Some(Choice::Rows { trusted: before, .. }) if *before || !trusted => return,
            _ => {}
        }
        let trusted = trusted || matches!(self.found.get(&place), Some(Choice::Rows { trusted: true, .. }));
        self.put(place, rows(self.trial, table, trusted));
        if trusted {
            // KEYS TRUSTED merges two inserts of one key: each of their cells needs a rule.
            for column in &table.columns {
                self.column(table, column.id);
            }
        }
    }

    fn has(&self, place: &Place) -> bool {
        self.annotations.0.contains_key(place)
    }
}

/// What a column's writes may mean, the most natural first: a number without NULL is taken for a counter until it is seen to
/// be assigned, an array for a set if the workload adds to it or removes from it.
fn merges(trial: &Trial, table: &Table, column: &Column) -> Vec<Choice> {
    let numeric = column.ty.is_integer() || matches!(column.ty, DataType::Numeric(_));
    let says = |word: &str| column.name.split('_').any(|part| part.eq_ignore_ascii_case(word));
    let mut options = Vec::new();
    if numeric && column.not_null && column.minting.is_none() {
        options.push(MergeRule::Delta);
    }
    if says("max") || says("highest") {
        options.push(MergeRule::Max);
    }
    if says("min") || says("lowest") {
        options.push(MergeRule::Min);
    }
    if column.not_null && trial.elements.contains(&(table.id, column.id)) {
        options.push(MergeRule::AddWinsSet);
    }
    options.push(MergeRule::Lww);
    if column.not_null && column.ty == DataType::Bool {
        options.extend([MergeRule::EnableWins, MergeRule::DisableWins]);
    }
    options.into_iter().map(Choice::Merge).collect()
}

fn rows(trial: &Trial, table: &Table, trusted: bool) -> Vec<Choice> {
    let rules: &[RowRule] = if trial.deletes.contains(&table.id) {
        &[RowRule::AddWins, RowRule::RemoveWins]
    } else {
        &[RowRule::AppendOnly]
    };
    let with = |trusted| rules.iter().map(move |rule| Choice::Rows { rule: *rule, trusted });
    if trusted { with(true).chain(with(false)).collect() } else { with(false).collect() }
}

fn parent<'a>(schema: &'a Schema, reason: &Reason) -> Option<&'a Table> {
    let id = reason.constraint?;
    let foreign_key = schema.constraint_table(id)?.foreign_key(id)?;
    schema.table(foreign_key.parent).map(|table| &**table)
}

/// The columns that a CHECK, a composite FOREIGN KEY or a generated column ties together.
fn tied(table: &Table, reason: &Reason, column: Option<ColumnId>) -> Vec<ColumnId> {
    if let Some(generated) = column.and_then(|c| table.column(c)).and_then(|c| c.generated.as_ref()) {
        return generated.1.iter().copied().chain(column).collect();
    }
    let Some(id) = reason.constraint else { return Vec::new() };
    match (table.check(id), table.foreign_key(id)) {
        (Some(check), _) => check.columns.clone(),
        (None, Some(foreign_key)) => foreign_key.columns.clone(),
        (None, None) => Vec::new(),
    }
}

/// The tables and columns of a reason, as it is printed.
pub(super) fn shown(schema: &Schema, reasons: &BTreeSet<Reason>) -> Vec<String> {
    let mut lines: Vec<String> = reasons.iter().map(|reason| reason.describe(schema).why).collect();
    lines.dedup();
    lines
}
