//! Schema changes: from the parsed statement to [`SchemaChange`]s in the transaction.
//!
//! ```text
//!   CREATE, ALTER, DROP ─► names to ids, constants filled ─► SchemaChange ─► Schema::check_change ─► the transaction
//!                                    │                                          └ barrier: 0A000
//!                                    └ rows that are there: checked by queries, their tables read
//! ```
//!
//! A change fixes every id and constant, so that applying it needs nothing but the order. It reads the catalogue, and
//! every table whose rows it has checked: certification refuses it if either has changed, and what blue transactions
//! could still do to the rows is the algebra's to refuse (a barrier, which is not built: 0A000 says what to do instead).
//!
//! After the change NOTICEs say which ordinary statements are red now, and which annotation would make them blue.
//!
//! It does not change rows, but for TRUNCATE and ADD PRIMARY KEY.

mod alter;
mod column;
mod create;
mod drop;
mod notice;
mod primary;
mod validate;

use std::sync::Arc;

use gemini_shadow_ops::schema::{ChangeKind, SchemaError, SchemaErrorKind};
use gemini_shadow_ops::{Schema, SchemaChange, Table};

use crate::error::{Result, SqlError};
use crate::parse::{Ddl, Name};
use crate::session::{Notice, Session};
use crate::sqlstate;

/// Carries out a schema change in the session's transaction.
pub(crate) async fn run(session: &mut Session, ddl: &Ddl) -> Result<()> {
    let mut change = Change { session, next: None };
    match ddl {
        Ddl::CreateTable(table) => change.create_table(table).await,
        Ddl::CreateIndex(index) => change.create_index(index).await,
        Ddl::CreateSequence { name, if_not_exists, options, owned_by } => {
            change.create_sequence(name, *if_not_exists, options, owned_by.as_ref())
        }
        Ddl::AlterSequence { .. } => change.alter_sequence(ddl),
        Ddl::AlterTable { name, if_exists, actions } => change.alter_table(name, *if_exists, actions).await,
        Ddl::RenameIndex { name, if_exists, to } => change.rename_index(name, *if_exists, to),
        Ddl::Drop { kind, names, if_exists, cascade } => {
            change.drop_objects(*kind, names, *if_exists, *cascade)
        }
        Ddl::Truncate { tables, restart_identity, cascade } => {
            change.truncate(tables, *restart_identity, *cascade).await
        }
    }
}

/// A statement's changes as they are made.
pub(super) struct Change<'s> {
    session: &'s mut Session,
    /// The next id to give, past the schema's own counter.
    next: Option<u32>,
}

impl Change<'_> {
    /// What the transaction sees now, the changes so far included.
    fn schema(&mut self) -> Result<Arc<Schema>> {
        let host = self.session.site();
        Ok(self.session.transaction()?.schema(&*host))
    }

    /// A new id: of a table, index, constraint or sequence, all from one counter.
    fn id(&mut self) -> Result<u32> {
        let counter = self.schema()?.next_id;
        let id = self.next.map_or(counter, |n| n.max(counter));
        self.next = Some(id.checked_add(1).ok_or_else(|| {
            SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "the cluster has used up its object ids")
        })?);
        Ok(id)
    }

    /// Checks, applies and records one change.
    fn apply(&mut self, change: SchemaChange) -> Result<Arc<Schema>> {
        let schema = self.schema()?;
        check(&schema, &change)?;
        let mut changed = (*schema).clone();
        changed.apply(&change, schema.version);
        // An id is never given twice in one statement, also if the change that carried it is the next one.
        if let Some(next) = self.next {
            changed.next_id = changed.next_id.max(next);
        }
        let changed = Arc::new(changed);
        self.session.transaction()?.change_schema(change, changed.clone())?;
        self.session.schema_changed()?;
        Ok(changed)
    }

    fn table(&mut self, name: &Name) -> Result<Arc<Table>> {
        let schema = self.schema()?;
        find_table(&schema, name).cloned()
    }

    /// A table, or None with a NOTICE under IF EXISTS.
    fn table_if(&mut self, name: &Name, if_exists: bool) -> Result<Option<Arc<Table>>> {
        match self.table(name) {
            Ok(table) => Ok(Some(table)),
            Err(error) if if_exists && error.sqlstate == sqlstate::UNDEFINED_TABLE => {
                self.session.tell(Notice::info(format!("{}, skipping", error.message)));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A free name for a table, index or sequence: `wish`, `wish1`, `wish2` ….
    fn free_name(&mut self, wish: &str, taken: &[String]) -> Result<String> {
        let schema = self.schema()?;
        let mut name = cut(wish, 63).to_string();
        let mut n = 0;
        while relation_exists(&schema, &name) || taken.contains(&name) {
            n += 1;
            let suffix = n.to_string();
            name = format!("{}{suffix}", cut(wish, 63 - suffix.len()));
        }
        Ok(name)
    }
}

/// At most so many bytes of a name.
fn cut(name: &str, length: usize) -> &str {
    let mut end = name.len().min(length);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// Whether a table, index or sequence has the name: one space for all, as in PostgreSQL.
fn relation_exists(schema: &Schema, name: &str) -> bool {
    schema.table_by_name(name).is_some()
        || schema.sequence_by_name(name).is_some()
        || schema.index_by_name(name).is_some()
}

/// The schema part of a name: only `public` holds tables.
fn in_public(name: &Name) -> Result<()> {
    match name.schema.as_deref() {
        None | Some("public") => Ok(()),
        Some(other) if matches!(other, "pg_catalog" | "information_schema" | "gemini") => Err(SqlError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: \"{other}.{}\" is a system catalog", name.name),
        )
        .at(name.position.max(1))),
        Some(other) => {
            Err(SqlError::new(sqlstate::INVALID_SCHEMA_NAME, format!("schema \"{other}\" does not exist"))
                .hint("All tables live in the schema public.")
                .at(name.position.max(1)))
        }
    }
}

/// A table by its name; 42P01 if there is none.
pub(crate) fn find_table<'s>(schema: &'s Schema, name: &Name) -> Result<&'s Arc<Table>> {
    in_public(name)?;
    schema.table_by_name(&name.name).ok_or_else(|| {
        SqlError::new(sqlstate::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", name.name))
            .at(name.position.max(1))
    })
}

/// Refuses what is no valid change, and what would need a barrier.
pub(crate) fn check(schema: &Schema, change: &SchemaChange) -> Result<()> {
    match schema.check_change(change) {
        Ok(ChangeKind::PlainRed) => Ok(()),
        Ok(ChangeKind::Barrier(why)) => Err(SqlError::unsupported(
            "a schema change behind a barrier",
            "Declare it in CREATE TABLE, or before the annotation that makes the writes blue; else create a new table and copy the rows.",
        )
        .detail(format!("It would need every site to stop such writes for a moment: {why}."))),
        Err(error) => Err(schema_error(&error)),
    }
}

fn schema_error(error: &SchemaError) -> SqlError {
    let state = match error.kind {
        SchemaErrorKind::Invalid => sqlstate::INVALID_TABLE_DEFINITION,
        SchemaErrorKind::UndefinedTable => sqlstate::UNDEFINED_TABLE,
        SchemaErrorKind::UndefinedColumn => sqlstate::UNDEFINED_COLUMN,
        SchemaErrorKind::UndefinedObject => sqlstate::UNDEFINED_OBJECT,
        SchemaErrorKind::DuplicateTable => sqlstate::DUPLICATE_TABLE,
        SchemaErrorKind::DuplicateColumn => sqlstate::DUPLICATE_COLUMN,
        SchemaErrorKind::DuplicateObject => sqlstate::DUPLICATE_OBJECT,
        SchemaErrorKind::Dependent => sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
        SchemaErrorKind::Unsupported => sqlstate::FEATURE_NOT_SUPPORTED,
    };
    let made = SqlError::new(state, error.message.clone());
    match &error.hint {
        Some(hint) => made.hint(hint.clone()),
        None => made,
    }
}

/// 42703.
fn no_column(table: &str, column: &str) -> SqlError {
    SqlError::new(
        sqlstate::UNDEFINED_COLUMN,
        format!("column \"{column}\" of relation \"{table}\" does not exist"),
    )
}
