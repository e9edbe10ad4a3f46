//! Handing a transaction to the site, and what its refusals mean for the client.

use gemini_engine::Seq;
use gemini_shadow_ops::{Color, Item, Schema, SequenceId, TableId};

use super::{Client, Mode, Session, report};
use crate::error::SqlError;
use crate::host::{About, CommitError};
use crate::sqlstate;

/// How often a statement is run in all before its client is told of the conflict.
const MAX_ATTEMPTS: u32 = 25;
/// And for how long, in µs, if statement_timeout does not say.
const MAX_TIME: i64 = 10_000_000;
/// The first pause after a refusal by certification and the longest, in µs. Each is up to twice the one before; its
/// length within that is random, so that transactions that met do not meet again.
const PAUSE: (u64, u64) = (2_000, 200_000);

/// Why a statement or commit did not work, and whether running it anew may.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the client is told if it is not run anew.
    pub error: SqlError,
    retry: Option<Retry>,
}

#[derive(Clone, Copy, Debug)]
enum Retry {
    /// On a snapshot at or after this.
    After(Seq),
    /// On a newer snapshot, after a pause.
    Later,
    /// Once the sequence is open.
    Open(SequenceId),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Failure {
        let retry = error.closed_sequence.map(Retry::Open);
        Failure { error, retry }
    }
}

impl Failure {
    /// From the site's refusal.
    pub fn from_commit(error: CommitError, schema: &Schema) -> Failure {
        match error {
            CommitError::Conflict { item, seq } => {
                let error = SqlError::new(
                    sqlstate::SERIALIZATION_FAILURE,
                    "could not serialize access due to a concurrent change",
                )
                .detail(format!("Changed since it was read: {}.", item_name(schema, &item)))
                .hint("Run the transaction again.");
                Failure { error: named(error, schema, &item), retry: Some(Retry::After(seq)) }
            }
            CommitError::Refused { message, item } => {
                let mut error = SqlError::new(sqlstate::SERIALIZATION_FAILURE, message)
                    .hint("Run the transaction again.");
                if let Some(item) = &item {
                    error = error.detail(format!("Changed since it was read: {}.", item_name(schema, item)));
                    error = named(error, schema, item);
                }
                Failure { error, retry: Some(Retry::Later) }
            }
            CommitError::Unavailable { message } => Failure {
                error: SqlError::new(sqlstate::CANNOT_CONNECT_NOW, message)
                    .detail("The transaction was not sent and has no effect.")
                    .hint("Blue transactions still commit; try the red ones again when the sites are reachable."),
                retry: None,
            },
            CommitError::Short { message } => Failure {
                error: SqlError::new(sqlstate::CANNOT_CONNECT_NOW, message)
                    .detail("The transaction has no effect.")
                    .hint("A bounded counter is as available as its rights: gemini.rights shows which site has them."),
                retry: None,
            },
            CommitError::Unknown { id, message } => Failure {
                error: SqlError::new(sqlstate::STATEMENT_COMPLETION_UNKNOWN, message)
                    .detail(format!("The transaction's id is {id}."))
                    .hint(format!("SELECT gemini.transaction_status('{id}') tells how it ended.")),
                retry: None,
            },
            CommitError::Rejected { sqlstate, message } => {
                Failure { error: SqlError::new(sqlstate, message), retry: None }
            }
        }
    }
}

fn named(error: SqlError, schema: &Schema, item: &Item) -> SqlError {
    match item_table(item).and_then(|id| schema.tables.get(&id)) {
        Some(table) => error.table(table.name.clone()),
        None => error,
    }
}

fn item_table(item: &Item) -> Option<TableId> {
    match item {
        Item::Row { table, .. }
        | Item::Cells { table, .. }
        | Item::IndexKey { table, .. }
        | Item::Range { table, .. }
        | Item::Table { table } => Some(*table),
        Item::Catalogue | Item::Sequence { .. } => None,
    }
}

/// An item for people: `table item, key (42)`.
pub fn item_name(schema: &Schema, item: &Item) -> String {
    let table_name = |id: &TableId| schema.tables.get(id).map_or("?", |t| t.name.as_str());
    match item {
        Item::Row { table, key } | Item::Cells { table, key, .. } => {
            let values = schema.tables.get(table).map(|t| key_text(t, key)).unwrap_or_default();
            format!("table \"{}\", key ({values})", table_name(table))
        }
        Item::IndexKey { table, index, .. } | Item::Range { table, index, .. } => {
            let name = schema
                .tables
                .get(table)
                .and_then(|t| t.indexes.iter().find(|i| i.id == *index))
                .map_or("?", |i| i.name.as_str());
            format!("table \"{}\", a key of index \"{name}\"", table_name(table))
        }
        Item::Table { table } => format!("table \"{}\"", table_name(table)),
        Item::Catalogue => "the schema".to_string(),
        Item::Sequence { sequence } => {
            let name = schema.sequences.get(sequence).map_or("?", |s| s.name.as_str());
            format!("sequence \"{name}\"")
        }
    }
}

fn key_text(table: &gemini_shadow_ops::Table, key: &gemini_shadow_ops::Key) -> String {
    let types: Vec<_> = table
        .primary_columns()
        .filter_map(|id| table.columns.iter().find(|c| c.id == id).map(|c| c.ty.clone()))
        .collect();
    let session = crate::expr::SessionInfo::default();
    match gemini_shadow_ops::value::key::decode(&key.0, &types) {
        Ok(values) => {
            let texts: Vec<String> = values
                .iter()
                .zip(&types)
                .map(|(v, ty)| crate::expr::text::output(v, ty, &session).chars().take(64).collect())
                .collect();
            texts.join(", ")
        }
        Err(_) => format!("{key:?}"),
    }
}

/// How long to wait before the attempt after this one, in µs: between half and all of what the attempts so far make of it.
fn pause(attempt: u32, random: u64) -> u64 {
    let most = PAUSE.0.checked_shl(attempt.saturating_sub(1)).map_or(PAUSE.1, |most| most.min(PAUSE.1));
    most / 2 + random % (most / 2 + 1)
}

impl Session {
    /// Commits the transaction under way. On failure it is gone.
    pub(super) async fn commit<C: Client>(&mut self, client: &mut C) -> Result<(), Failure> {
        let Some(mut active) = self.active.take() else {
            self.mode = Mode::Idle;
            return Ok(());
        };
        self.mode = Mode::Idle;
        self.portals.clear();
        let outcome = self.submit(&mut active).await;
        let mut settings = self.state.settings.lock();
        let changes = match &outcome {
            Ok(()) => settings.end_local(),
            Err(_) => settings.restore(&active.saved),
        };
        drop(settings);
        report(client, changes);
        outcome
    }

    async fn submit(&mut self, active: &mut super::Active) -> Result<(), Failure> {
        let host = self.shared.host.clone();
        let (durability, timeout) = {
            let settings = self.state.settings.lock();
            (settings.typed.durability, settings.typed.statement_timeout)
        };
        let Some(mut submission) = active.transaction.submission(&*host, durability, timeout)? else {
            return Ok(());
        };
        if submission.classification.color == Color::Red {
            let generated = host.now().saturating_sub(active.started);
            submission.about = Some(About {
                statement: active.wrote.as_ref().map_or_else(String::new, |cached| cached.shape()),
                generated: u64::try_from(generated).unwrap_or(0),
            });
        }
        match host.submit(submission).await {
            Ok(committed) => {
                *self.state.last_color.lock() = Some(committed.color);
                Ok(())
            }
            Err(error) => Err(Failure::from_commit(error, &active.transaction.schema(&*host))),
        }
    }

    /// Waits until it makes sense to run the statement anew; the error if it does not.
    pub(super) async fn again(
        &mut self,
        failure: Failure,
        attempt: u32,
        started: i64,
    ) -> Result<(), SqlError> {
        let Some(retry) = failure.retry else { return Err(failure.error) };
        let host = self.shared.host.clone();
        let timeout = self.state.settings.lock().typed.statement_timeout;
        let budget = timeout.map_or(MAX_TIME, |t| i64::try_from(t).unwrap_or(i64::MAX));
        let spent = host.now().saturating_sub(started);
        if let Retry::Open(sequence) = retry {
            return if attempt < MAX_ATTEMPTS {
                self.open_sequence(sequence).await
            } else {
                Err(failure.error)
            };
        }
        if attempt >= MAX_ATTEMPTS
            || spent >= budget
            || self.cancel.load(std::sync::atomic::Ordering::Relaxed)
        {
            return Err(failure.error);
        }
        match retry {
            Retry::After(seq) => host.visible(seq).await,
            Retry::Later => {
                let left = u64::try_from(budget.saturating_sub(spent)).unwrap_or(0);
                host.pause(pause(attempt, host.random()).min(left)).await;
            }
            Retry::Open(_) => {}
        }
        Ok(())
    }
}
