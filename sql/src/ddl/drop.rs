//! DROP TABLE, INDEX, SEQUENCE; TRUNCATE.

use std::sync::Arc;

use gemini_shadow_ops::{RowRule, SchemaChange, Table};

use super::{Change, find_table, in_public};
use crate::catalog::names::quote;
use crate::error::{Result, SqlError};
use crate::parse::{DropKind, Name};
use crate::session::Notice;
use crate::sqlstate;

impl Change<'_> {
    pub(super) fn drop_objects(
        &mut self,
        kind: DropKind,
        names: &[Name],
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        match kind {
            DropKind::Table => {
                let mut tables = Vec::new();
                for name in names {
                    match self.drop_table_named(name, if_exists)? {
                        Some(table) => tables.push(table),
                        None => continue,
                    }
                }
                self.drop_tables(&tables, cascade)
            }
            DropKind::Index => names.iter().try_for_each(|name| self.drop_index(name, if_exists)),
            DropKind::Sequence => {
                names.iter().try_for_each(|name| self.drop_sequence(name, if_exists, cascade))
            }
        }
    }

    fn drop_table_named(&mut self, name: &Name, if_exists: bool) -> Result<Option<Arc<Table>>> {
        let schema = self.schema()?;
        in_public(name)?;
        match find_table(&schema, name) {
            Ok(table) => Ok(Some(table.clone())),
            Err(_) if schema.sequence_by_name(&name.name).is_some() => {
                Err(SqlError::new(sqlstate::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", name.name))
                    .hint("Use DROP SEQUENCE."))
            }
            Err(_) if if_exists => {
                self.session.tell(Notice::info(format!("table \"{}\" does not exist, skipping", name.name)));
                Ok(None)
            }
            Err(_) => Err(SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("table \"{}\" does not exist", name.name),
            )),
        }
    }

    /// Drops tables together: FOREIGN KEYs among them are no hindrance, others need CASCADE.
    fn drop_tables(&mut self, tables: &[Arc<Table>], cascade: bool) -> Result<()> {
        for table in tables {
            let schema = self.schema()?;
            let references: Vec<_> = schema
                .references(table.id)
                .filter(|(child, _)| child.id != table.id)
                .map(|(child, key)| (child.clone(), key.clone()))
                .collect();
            for (child, key) in references {
                let together = tables.iter().any(|t| t.id == child.id);
                if !cascade && !together {
                    return Err(SqlError::new(
                        sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                        format!("cannot drop table {} because other objects depend on it", table.name),
                    )
                    .detail(format!(
                        "constraint {} on table {} depends on table {}",
                        key.name, child.name, table.name
                    ))
                    .hint("Use DROP ... CASCADE to drop the dependent objects too."));
                }
                if !together {
                    self.session.tell(Notice::info(format!(
                        "drop cascades to constraint {} on table {}",
                        key.name, child.name
                    )));
                }
                self.apply(SchemaChange::DropConstraint { table: child.id, constraint: key.id })?;
            }
        }
        for table in tables {
            self.apply(SchemaChange::DropTable(table.id))?;
        }
        Ok(())
    }

    fn drop_index(&mut self, name: &Name, if_exists: bool) -> Result<()> {
        in_public(name)?;
        let schema = self.schema()?;
        let Some((table, index)) = schema.index_by_name(&name.name) else {
            if if_exists {
                self.session.tell(Notice::info(format!("index \"{}\" does not exist, skipping", name.name)));
                return Ok(());
            }
            return Err(SqlError::new(
                sqlstate::UNDEFINED_OBJECT,
                format!("index \"{}\" does not exist", name.name),
            ));
        };
        let backs = index.constraint.is_some() || table.primary().is_some_and(|p| p.id == index.id);
        if backs {
            return Err(SqlError::new(
                sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop index {} because a constraint on table {} requires it",
                    name.name, table.name
                ),
            )
            .hint(format!("ALTER TABLE {} DROP CONSTRAINT … drops both.", table.name)));
        }
        if let Some(key) = table.foreign_keys.iter().find(|f| f.child_index == index.id) {
            return Err(SqlError::new(
                sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop index {} because foreign key {} finds its rows by it",
                    name.name, key.name
                ),
            )
            .hint("Drop the foreign key first."));
        }
        let change = SchemaChange::DropIndex { table: table.id, index: index.id };
        self.apply(change)?;
        Ok(())
    }

    fn drop_sequence(&mut self, name: &Name, if_exists: bool, cascade: bool) -> Result<()> {
        in_public(name)?;
        let schema = self.schema()?;
        let Some(sequence) = schema.sequence_by_name(&name.name) else {
            if if_exists {
                self.session
                    .tell(Notice::info(format!("sequence \"{}\" does not exist, skipping", name.name)));
                return Ok(());
            }
            return Err(SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("sequence \"{}\" does not exist", name.name),
            ));
        };
        let user = schema.minted_by(sequence.id).next().map(|(t, c)| (t.name.clone(), c.name.clone()));
        if let Some((table, column)) = user
            && !cascade
        {
            return Err(SqlError::new(
                sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop sequence {} because other objects depend on it", sequence.name),
            )
            .detail(format!(
                "default value for column {column} of table {table} depends on sequence {}",
                sequence.name
            ))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let id = sequence.id;
        self.apply(SchemaChange::DropSequence(id))?;
        Ok(())
    }

    /// TRUNCATE deletes every row: there is no cheaper way that concurrent transactions could be judged against.
    pub(super) async fn truncate(&mut self, names: &[Name], restart: bool, cascade: bool) -> Result<()> {
        let mut tables: Vec<Arc<Table>> = Vec::new();
        for name in names {
            let table = self.table(name)?;
            if !tables.iter().any(|t| t.id == table.id) {
                tables.push(table);
            }
        }
        let schema = self.schema()?;
        let mut at = 0;
        while at < tables.len() {
            let parent = tables[at].clone();
            for (child, _) in schema.references(parent.id) {
                if tables.iter().any(|t| t.id == child.id) {
                    continue;
                }
                if !cascade {
                    return Err(SqlError::new(
                        sqlstate::FEATURE_NOT_SUPPORTED,
                        "cannot truncate a table referenced in a foreign key constraint",
                    )
                    .detail(format!("Table \"{}\" references \"{}\".", child.name, parent.name))
                    .hint(format!(
                        "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                        child.name
                    )));
                }
                self.session.tell(Notice::info(format!("truncate cascades to table \"{}\"", child.name)));
                tables.push(child.clone());
            }
            at += 1;
        }
        if let Some(table) = tables.iter().find(|t| t.rows == RowRule::AppendOnly) {
            return Err(SqlError::unsupported(
                format!("TRUNCATE of \"{}\", which is append only", table.name),
                "DROP TABLE and create it again.",
            ));
        }
        if restart {
            self.restart_owned(&tables)?;
        }
        // Children before their parents; tables that refer to each other in a circle fail at the first.
        while !tables.is_empty() {
            let refers = |p: &Arc<Table>| {
                schema.references(p.id).any(|(c, _)| c.id != p.id && tables.iter().any(|t| t.id == c.id))
            };
            let next = tables.iter().position(|t| !refers(t)).unwrap_or(0);
            let table = tables.swap_remove(next);
            self.session.query(&format!("DELETE FROM public.{}", quote(&table.name)), Vec::new()).await?;
        }
        Ok(())
    }

    fn restart_owned(&mut self, tables: &[Arc<Table>]) -> Result<()> {
        let schema = self.schema()?;
        let owned = schema
            .sequences
            .values()
            .filter(|s| s.owner.is_some_and(|(t, _)| tables.iter().any(|x| x.id == t)));
        match owned.into_iter().find(|s| s.is_open()) {
            Some(sequence) => Err(SqlError::unsupported(
                format!("RESTART IDENTITY: sequence \"{}\" is open", sequence.name),
                "Leave RESTART IDENTITY out: no value is ever minted twice.",
            )),
            // A closed sequence has minted nothing: it stands at its start.
            None => Ok(()),
        }
    }
}
