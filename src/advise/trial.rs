//! One trial: the schema with some annotations, and what colours the workload has then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, Reason, Schema, TableId};
use gemini_sql::SqlError;
use gemini_sql::host::Host;
use gemini_sql::session::{Collected, Session, Shared};
use gemini_sql::testing::{LocalHost, block_on};

use super::AdviseError;
use super::propose::{Annotations, Place};
use super::workload::Transaction;

/// What came of a trial.
#[derive(Debug)]
pub(super) struct Trial {
    /// With the annotations.
    pub schema: Arc<Schema>,
    /// Of each transaction: why it is red; empty: blue.
    pub reasons: Vec<BTreeSet<Reason>>,
    /// Of each transaction: the columns that it sets in rows that are there.
    pub sets: Vec<BTreeSet<(TableId, ColumnId)>>,
    /// Array columns that some statement only adds elements to, or removes some from.
    pub elements: BTreeSet<(TableId, ColumnId)>,
    /// The tables that some transaction deletes from.
    pub deletes: BTreeSet<TableId>,
    /// Annotations that the schema does not allow, and why.
    pub refused: BTreeMap<Place, String>,
}

impl Trial {
    /// The weight of the red transactions, and how much keeps them red: fewer reasons are nearer to blue.
    pub fn cost(&self, workload: &[Transaction]) -> (u64, u64) {
        let (mut red, mut reasons) = (0, 0);
        for (transaction, why) in workload.iter().zip(&self.reasons) {
            red += if why.is_empty() { 0 } else { transaction.weight };
            reasons += transaction.weight * why.len() as u64;
        }
        (red, reasons)
    }
}

/// Loads the schema files, then the annotations, and runs the workload once.
pub(super) fn run(
    files: &[(String, String)],
    annotations: &Annotations,
    workload: &[Transaction],
) -> Result<Trial, AdviseError> {
    let host = LocalHost::new();
    let mut session = Session::new(Shared::new(host.clone()), "advise", "advise", 1);
    for (name, text) in files {
        execute(&mut session, text)
            .map_err(|e| AdviseError::Sql { place: name.clone(), message: e.to_string() })?;
    }
    let mut refused = BTreeMap::new();
    for (place, choice) in annotations.in_order() {
        if let Err(error) = execute(&mut session, &choice.statement(place)) {
            refused.insert(place.clone(), error.to_string());
        }
    }
    open_sequences(&mut session, &host)?;
    let mut trial = Trial {
        schema: host.snapshot().schema().clone(),
        reasons: Vec::new(),
        sets: Vec::new(),
        elements: BTreeSet::new(),
        deletes: BTreeSet::new(),
        refused,
    };
    for transaction in workload {
        let failed = |e: SqlError| AdviseError::Sql {
            place: format!("{} ({})", transaction.place, transaction.name),
            message: format!("{e}; does the schema file hold the rows that it works on?"),
        };
        judge(&mut session, transaction, &mut trial).map_err(failed)?;
    }
    Ok(trial)
}

/// The first nextval is red, once in a database's life: it is no transaction of the workload.
fn open_sequences(session: &mut Session, host: &LocalHost) -> Result<(), AdviseError> {
    for sequence in host.snapshot().schema().sequences.values() {
        let text = format!("SELECT nextval('{}')", sequence.name.replace('\'', "''"));
        execute(session, &text)
            .map_err(|e| AdviseError::Sql { place: sequence.name.clone(), message: e.to_string() })?;
    }
    Ok(())
}

fn judge(session: &mut Session, transaction: &Transaction, trial: &mut Trial) -> Result<(), SqlError> {
    let (mut reasons, mut sets) = (BTreeSet::new(), BTreeSet::new());
    execute(session, "BEGIN")?;
    for statement in &transaction.statements {
        if let Some(judged) = block_on(session.judge(transaction.text.clone(), statement.clone()))? {
            reasons.extend(judged.reasons);
            if let Some((table, columns)) = judged.sets {
                trial.elements.extend(judged.elements.into_iter().map(|column| (table, column)));
                sets.extend(columns.into_iter().map(|column| (table, column)));
            }
            trial.deletes.extend(judged.deletes);
        }
        let text = transaction.text.get(statement.range.clone()).unwrap_or("");
        execute(session, text)?;
    }
    execute(session, "COMMIT")?;
    trial.reasons.push(reasons);
    trial.sets.push(sets);
    Ok(())
}

fn execute(session: &mut Session, text: &str) -> Result<(), SqlError> {
    block_on(session.simple(text, &mut Collected::default()))
}
