//! Sequences: the opening red entry, and setval.
//!
//! A sequence is closed until its first nextval anywhere. Closed, it mints nothing: explicit values and setval are plain
//! red, so a dump loads like into any PostgreSQL. The first nextval orders one red entry that fixes the base, above
//! every value of every column it mints for; from then on each site mints from its own residue class without asking
//! anybody, and setval would need every site to stop minting, so it is refused.

use std::sync::Arc;

use gemini_engine::KeyRange;
use gemini_shadow_ops::{Item, Schema, SchemaChange, Sequence, SequenceId};

use super::{Failure, Session};
use crate::catalog::sequence::{PAGE, above};
use crate::error::{Result, SqlError};
use crate::host::{Durability, Host};
use crate::sqlstate;
use crate::txn::{Options, Transaction, engine_error};

/// Opening competes with other sites' openings and with inserts: each refusal means that somebody else got through.
const ATTEMPTS: u32 = 25;

impl Session {
    /// Opens a sequence unless it is open, by a red transaction of its own.
    pub(super) async fn open_sequence(&mut self, id: SequenceId) -> Result<()> {
        let host = self.shared.host.clone();
        let started = host.now();
        let mut attempt = 0;
        loop {
            let mut transaction = Transaction::new(Options::default());
            transaction.begin_statement(&*host);
            let schema = transaction.schema(&*host);
            let Some(sequence) = schema.sequences.get(&id) else {
                return Err(SqlError::new(sqlstate::UNDEFINED_TABLE, "the sequence has been dropped"));
            };
            if sequence.base.is_some() {
                return Ok(());
            }
            let base = base(&schema, sequence, &mut transaction, &*host).await?;
            let change = SchemaChange::OpenSequence { sequence: id, base };
            change_schema(&mut transaction, &schema, change)?;
            let timeout = self.state.settings.lock().typed.statement_timeout;
            let Some(submission) = transaction.submission(&*host, Durability::Local, timeout)? else {
                return Err(SqlError::internal("the opening of a sequence has no effect"));
            };
            match host.submit(submission).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    let failure = Failure::from_commit(error, &schema);
                    attempt += 1;
                    if attempt >= ATTEMPTS {
                        return Err(failure.error);
                    }
                    Box::pin(self.again(failure, attempt, started)).await?;
                }
            }
        }
    }

    /// setval: plain red while the sequence is closed, refused once it is open.
    pub(super) fn set_sequence(&mut self, name: &str, value: i64, called: bool) -> Result<i64> {
        let host = self.shared.host.clone();
        let active = self.active()?;
        let schema = active.transaction.schema(&*host);
        let Some(sequence) = crate::catalog::names::sequence(&schema, name) else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("relation \"{name}\" does not exist"),
            ));
        };
        if !(sequence.min..=sequence.max).contains(&value) {
            return Err(SqlError::new(
                sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                format!(
                    "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                    sequence.name, sequence.min, sequence.max
                ),
            ));
        }
        if sequence.base.is_some() {
            return Err(SqlError::unsupported(
                format!("setval of the open sequence \"{}\"", sequence.name),
                "Sites already mint from it without asking each other: no value is ever minted twice, so there is nothing to set. \
                 setval works before the first nextval.",
            ));
        }
        let start = if called { value.saturating_add(sequence.increment) } else { value };
        let id = sequence.id;
        let mut changed = (**sequence).clone();
        changed.start = start.clamp(changed.min, changed.max);
        change_schema(&mut active.transaction, &schema, SchemaChange::AlterSequence(changed))?;
        active.changed_schema = true;
        if called {
            self.state.sequences.lock().set(id, value, false);
        }
        Ok(value)
    }
}

/// Checks a change, applies it to what the transaction sees, and records it. A barrier is refused.
pub(crate) fn change_schema(
    transaction: &mut Transaction,
    schema: &Arc<Schema>,
    change: SchemaChange,
) -> Result<Arc<Schema>> {
    crate::ddl::check(schema, &change)?;
    let mut changed = (**schema).clone();
    changed.apply(&change, schema.version);
    let changed = Arc::new(changed);
    transaction.change_schema(change, changed.clone())?;
    Ok(changed)
}

/// max(START, greatest value in any column it mints for + increment); for a descending sequence the other way round.
async fn base(
    schema: &Schema,
    sequence: &Sequence,
    transaction: &mut Transaction,
    host: &dyn Host,
) -> Result<i64> {
    let mut base = sequence.start;
    let minted: Vec<_> = schema.minted_by(sequence.id).map(|(t, c)| (t.clone(), c.clone())).collect();
    let snapshot = transaction.snapshot(host).clone();
    for (table, column) in minted {
        transaction.read(Item::Table { table: table.id })?;
        let mut range = KeyRange::all();
        loop {
            let states = snapshot.scan_states(table.id, &range, false, PAGE).map_err(engine_error)?;
            let full = states.len() == PAGE;
            base = states.iter().fold(base, |base, (_, state)| above(state, column.id.0, sequence, base));
            match states.last() {
                Some((key, _)) if full => range = range.after(key, false),
                _ => break,
            }
            crate::exec::yield_now().await;
        }
    }
    if !(sequence.min..=sequence.max).contains(&base) {
        return Err(SqlError::new(
            sqlstate::SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
            format!("nextval: reached the limit of sequence \"{}\"", sequence.name),
        ));
    }
    Ok(base)
}
