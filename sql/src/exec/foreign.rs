//! FOREIGN KEYs: parents of written rows, children of deleted and moved ones, and what becomes of those.
//!
//! All of it happens when the statement's own rows are written. Actions write rows too, and so may have actions
//! themselves: they are worked off in order. What NO ACTION and RESTRICT forbid, and the parents of every written row, are
//! looked at after that.

use std::sync::Arc;

use gemini_engine::KeyRange;
use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{ForeignKey, Key, ReferentialAction, Row, Table, Value};

use super::write::{Event, NewCell, Writer, program_of, slot};
use crate::bind::SetKind;
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// More rows than this are not cascaded to by one statement.
const MAX_EVENTS: usize = 10_000_000;

impl Writer<'_> {
    /// Ends a statement: actions, then checks.
    pub fn finish(&mut self) -> Result<()> {
        let schema = self.run.schema.clone();
        let mut at = 0;
        let mut kept = Vec::new();
        while at < self.events.len() {
            let (table, before, after) = match &self.events[at] {
                Event::Inserted { .. } => {
                    at += 1;
                    continue;
                }
                Event::Updated { table, before, after } => {
                    (table.clone(), before.clone(), Some(after.clone()))
                }
                Event::Deleted { table, row } => (table.clone(), row.clone(), None),
            };
            at += 1;
            if self.events.len() > MAX_EVENTS {
                return Err(SqlError::new(
                    sqlstate::PROGRAM_LIMIT_EXCEEDED,
                    "a statement's foreign key actions reach too many rows",
                ));
            }
            for (child, foreign) in schema.references(table.id) {
                let same = after.as_ref().is_some_and(|after| {
                    foreign.parent_columns.iter().all(|c| slot(&before, *c) == slot(after, *c))
                });
                let null = foreign.parent_columns.iter().any(|c| slot(&before, *c).is_null());
                if same || null {
                    continue;
                }
                let action = if after.is_some() { foreign.on_update } else { foreign.on_delete };
                let quiet = matches!(action, ReferentialAction::NoAction | ReferentialAction::Restrict);
                // The default may be the very key that is going.
                if quiet || action == ReferentialAction::SetDefault {
                    kept.push((table.clone(), child.clone(), foreign.clone(), before.clone()));
                }
                if !quiet {
                    self.act(child, foreign, action, &before, after.as_ref())?;
                }
            }
        }
        for (parent, child, foreign, row) in kept {
            self.check_children(&parent, &child, &foreign, &row)?;
        }
        self.check_parents()
    }

    /// The keys of the rows that reference a row.
    fn children(&self, child: &Table, foreign: &ForeignKey, parent: &Row, limit: usize) -> Result<Vec<Key>> {
        let Some(index) = child.index(foreign.child_index) else {
            return Err(SqlError::internal("a foreign key without its index"));
        };
        let mut prefix = Vec::new();
        for column in &index.columns {
            let Some(at) = foreign.columns.iter().position(|c| *c == column.column) else { break };
            let value = slot(parent, foreign.parent_columns[at]);
            key::encode_column(&mut prefix, child, column, value);
        }
        let reading = self.reading()?;
        let mut rest = Some(KeyRange::prefix(&Key(prefix.into())));
        let primary = child.primary().is_some_and(|p| p.id == index.id);
        let mut found = Vec::new();
        while let Some(range) = rest {
            let next;
            let keys: Vec<Key>;
            if primary {
                let (rows, more) = reading.rows(child, &range, false, 256)?;
                keys = rows.into_iter().map(|(key, _)| key).collect();
                next = more;
            } else {
                let (entries, more) = reading.entries(child, index.id, &range, false, 256)?;
                keys = entries.into_iter().map(|(_, key)| key).collect();
                next = more;
            }
            for key in keys {
                // The index may hold fewer columns than the key, or more.
                let Some(row) = reading.get(child, &key)? else { continue };
                let same = foreign
                    .columns
                    .iter()
                    .zip(&foreign.parent_columns)
                    .all(|(c, p)| slot(&row, *c).compare(slot(parent, *p)).is_eq());
                if same {
                    found.push(key);
                    if found.len() >= limit {
                        return Ok(found);
                    }
                }
            }
            rest = next;
        }
        Ok(found)
    }

    /// Whether a row of the parent has these values in the referenced columns.
    fn has_parent(
        &self,
        parent: &Table,
        foreign: &ForeignKey,
        value_of: &dyn Fn(usize) -> Value,
    ) -> Result<bool> {
        let Some(index) = parent.index(foreign.parent_index) else {
            return Err(SqlError::internal("a foreign key without its parent's index"));
        };
        let mut bytes = Vec::new();
        for column in &index.columns {
            let at = foreign.parent_columns.iter().position(|c| *c == column.column);
            let Some(at) = at else {
                return Err(SqlError::internal("a foreign key that its parent's index does not cover"));
            };
            key::encode_column(&mut bytes, parent, column, &value_of(at));
        }
        let wanted = Key(bytes.into());
        let reading = self.reading()?;
        if parent.primary().is_some_and(|p| p.id == index.id) {
            return Ok(reading.get(parent, &wanted)?.is_some());
        }
        let mut rest = Some(KeyRange::prefix(&wanted));
        while let Some(range) = rest {
            let (entries, next) = reading.entries(parent, index.id, &range, false, 2)?;
            if !entries.is_empty() {
                return Ok(true);
            }
            rest = next;
        }
        Ok(false)
    }

    /// CASCADE, SET NULL, SET DEFAULT.
    fn act(
        &mut self,
        child: &Arc<Table>,
        foreign: &ForeignKey,
        action: ReferentialAction,
        before: &Row,
        after: Option<&Row>,
    ) -> Result<()> {
        let keys = self.children(child, foreign, before, usize::MAX)?;
        if keys.is_empty() {
            return Ok(());
        }
        let program = program_of(self.programs, child.id)?;
        for at in keys {
            if action == ReferentialAction::Cascade && after.is_none() {
                self.delete(child, &at)?;
                continue;
            }
            let mut cells = Vec::with_capacity(foreign.columns.len());
            for (column, referenced) in foreign.columns.iter().zip(&foreign.parent_columns) {
                let value = match (action, after) {
                    (ReferentialAction::Cascade, Some(after)) => Some(slot(after, *referenced).clone()),
                    (ReferentialAction::SetDefault, _) => None,
                    _ => Some(Value::Null),
                };
                cells.push(NewCell { column: *column, value, kind: SetKind::Assign, computed: false });
            }
            self.update(&program, at, cells)?;
        }
        Ok(())
    }

    /// NO ACTION and RESTRICT: nothing may reference the row any more, unless another one has its key now.
    fn check_children(&self, parent: &Table, child: &Table, foreign: &ForeignKey, row: &Row) -> Result<()> {
        if self.children(child, foreign, row, 1)?.is_empty() {
            return Ok(());
        }
        if self.has_parent(parent, foreign, &|i| slot(row, foreign.parent_columns[i]).clone())? {
            return Ok(());
        }
        Err(SqlError::new(
            sqlstate::FOREIGN_KEY_VIOLATION,
            format!(
                "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
                parent.name, foreign.name, child.name
            ),
        )
        .detail(format!(
            "{} is still referenced from table \"{}\".",
            self.columns_text(parent, &foreign.parent_columns, row, &foreign.parent_columns),
            child.name
        ))
        .table(&child.name)
        .constraint(&foreign.name))
    }

    /// Every row written must have its parents.
    fn check_parents(&self) -> Result<()> {
        for event in &self.events {
            let (table, row, before) = match event {
                Event::Inserted { table, row } => (table, row, None),
                Event::Updated { table, before, after } => (table, after, Some(before)),
                Event::Deleted { .. } => continue,
            };
            let judged = |foreign: &ForeignKey| {
                let same = before
                    .is_some_and(|before| foreign.columns.iter().all(|c| slot(before, *c) == slot(row, *c)));
                !same && !foreign.columns.iter().any(|c| slot(row, *c).is_null())
            };
            if !table.foreign_keys.iter().any(judged) {
                continue;
            }
            // It may have been changed again, or be gone, by an action.
            let now = self.reading()?.get(table, &key::primary_key(table, row))?;
            if now.as_ref() != Some(row) {
                continue;
            }
            for foreign in table.foreign_keys.iter().filter(|f| judged(f)) {
                let Some(parent) = self.run.schema.table(foreign.parent) else {
                    return Err(SqlError::internal("a foreign key whose parent is gone"));
                };
                if !self.has_parent(parent, foreign, &|i| slot(row, foreign.columns[i]).clone())? {
                    return Err(SqlError::new(
                        sqlstate::FOREIGN_KEY_VIOLATION,
                        format!(
                            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                            table.name, foreign.name
                        ),
                    )
                    .detail(format!(
                        "{} is not present in table \"{}\".",
                        self.columns_text(table, &foreign.columns, row, &foreign.columns),
                        parent.name
                    ))
                    .table(&table.name)
                    .constraint(&foreign.name));
                }
            }
        }
        Ok(())
    }
}
