//! Is there what a change names, is its name free, and does nothing depend on what it drops?

use super::{Minting, Schema, SchemaError, SchemaErrorKind, Table};
use crate::ids::{ColumnId, IndexId, SequenceId, TableId};
use crate::op::SchemaChange;

impl Schema {
    pub(super) fn presence(&self, change: &SchemaChange) -> Result<(), SchemaError> {
        match change {
            SchemaChange::CreateTable(table) => {
                self.free_name(&table.name)?;
                table.indexes.iter().try_for_each(|i| self.free_name(&i.name))
            }
            SchemaChange::CreateSequence(sequence) => self.free_name(&sequence.name),
            SchemaChange::AlterSequence(sequence) => {
                let old = self.present_sequence(sequence.id)?;
                if old.base != sequence.base {
                    return Err(SchemaError::invalid(format!(
                        "the base of sequence {} is fixed by its opening",
                        old.name
                    )));
                }
                if old.name == sequence.name { Ok(()) } else { self.free_name(&sequence.name) }
            }
            SchemaChange::OpenSequence { sequence, .. } => self.present_sequence(*sequence).map(drop),
            SchemaChange::DropSequence(id) => self.drop_sequence(*id),
            SchemaChange::DropTable(id) => self.drop_table(*id),
            _ => {
                let id = change.table().unwrap_or(TableId(0));
                self.presence_in(self.present_table(id)?, change)
            }
        }
    }

    fn presence_in(&self, table: &Table, change: &SchemaChange) -> Result<(), SchemaError> {
        match change {
            SchemaChange::RenameTable { name, .. } => self.free_name(name),
            SchemaChange::AddColumn { column, .. } => {
                if column.id.0 < table.slots {
                    return Err(SchemaError::invalid(format!(
                        "slot {} of table {} was used before",
                        column.id, table.name
                    )));
                }
                free_column(table, &column.name)
            }
            SchemaChange::RenameColumn { column, name, .. } => {
                present_column(table, *column)?;
                free_column(table, name)
            }
            SchemaChange::AlterColumn { column, .. } => {
                let old = present_column(table, column.id)?;
                if old.ty != column.ty {
                    let message =
                        format!("the type of column {} of table {} cannot be changed", old.name, table.name);
                    let hint = "add a column of the new type, copy the values, drop the old one and rename";
                    return Err(SchemaError::new(SchemaErrorKind::Unsupported, message).hint(hint));
                }
                if old.name == column.name { Ok(()) } else { free_column(table, &column.name) }
            }
            SchemaChange::SetMerge { column, .. } => present_column(table, *column).map(drop),
            SchemaChange::DropColumn { column, .. } => self.drop_column(table, *column),
            SchemaChange::AddIndex { index, .. } => self.free_name(&index.name),
            SchemaChange::RenameIndex { index, name, .. } => {
                present_index(table, *index)?;
                self.free_name(name)
            }
            SchemaChange::DropIndex { index, .. } => self.drop_index(table, *index),
            SchemaChange::AddCheck { check, .. } => free_constraint(table, &check.name),
            SchemaChange::AddForeignKey { foreign_key, .. } => free_constraint(table, &foreign_key.name),
            SchemaChange::DropConstraint { constraint, .. } => match table.constraint_name(*constraint) {
                None => Err(SchemaError::new(
                    SchemaErrorKind::UndefinedObject,
                    format!("table {} has no such constraint", table.name),
                )),
                Some(_) => match table.indexes.iter().find(|i| i.constraint == Some(*constraint)) {
                    Some(index) => self.drop_index(table, index.id),
                    None => Ok(()),
                },
            },
            _ => Ok(()),
        }
    }

    fn present_table(&self, id: TableId) -> Result<&Table, SchemaError> {
        self.table(id).map(|t| t.as_ref()).ok_or_else(|| {
            SchemaError::new(SchemaErrorKind::UndefinedTable, format!("table #{id} does not exist"))
        })
    }

    fn present_sequence(&self, id: SequenceId) -> Result<&super::Sequence, SchemaError> {
        self.sequence(id).map(|s| s.as_ref()).ok_or_else(|| {
            SchemaError::new(SchemaErrorKind::UndefinedObject, format!("sequence #{id} does not exist"))
        })
    }

    /// Tables, indexes and sequences share one space of names.
    fn free_name(&self, name: &str) -> Result<(), SchemaError> {
        let taken = self.table_by_name(name).is_some()
            || self.sequence_by_name(name).is_some()
            || self.index_by_name(name).is_some();
        if taken {
            return Err(SchemaError::new(
                SchemaErrorKind::DuplicateTable,
                format!("relation \"{name}\" already exists"),
            ));
        }
        Ok(())
    }

    fn drop_table(&self, id: TableId) -> Result<(), SchemaError> {
        let table = self.present_table(id)?;
        match self.references(id).find(|(child, _)| child.id != id) {
            Some((child, foreign_key)) => Err(dependent(
                format!("cannot drop table {} because other objects depend on it", table.name),
                format!(
                    "constraint {} on table {} refers to it: drop that first, or use CASCADE",
                    foreign_key.name, child.name
                ),
            )),
            None => Ok(()),
        }
    }

    fn drop_sequence(&self, id: SequenceId) -> Result<(), SchemaError> {
        let sequence = self.present_sequence(id)?;
        let Some((table, column)) = self.minted_by(id).next() else { return Ok(()) };
        Err(dependent(
            format!("cannot drop sequence {} because other objects depend on it", sequence.name),
            format!("the default of column {} of table {} uses it", column.name, table.name),
        ))
    }

    fn drop_column(&self, table: &Table, column: ColumnId) -> Result<(), SchemaError> {
        let old = present_column(table, column)?;
        if table.is_primary(column) {
            let message = format!("column {} is part of the primary key of {}", old.name, table.name);
            let hint = "create a table with the other key and copy the rows";
            return Err(SchemaError::new(SchemaErrorKind::Unsupported, message).hint(hint));
        }
        let message = || {
            format!(
                "cannot drop column {} of table {} because other objects depend on it",
                old.name, table.name
            )
        };
        if let Some((child, foreign_key)) =
            self.references(table.id).find(|(_, f)| f.parent_columns.contains(&column))
        {
            let hint = format!("constraint {} on table {} refers to it", foreign_key.name, child.name);
            return Err(dependent(message(), hint));
        }
        let input =
            |c: &&super::Column| c.generated.as_ref().is_some_and(|(_, inputs)| inputs.contains(&column));
        match table.columns.iter().find(input) {
            Some(generated) => {
                Err(dependent(message(), format!("generated column {} is computed from it", generated.name)))
            }
            None => Ok(()),
        }
    }

    fn drop_index(&self, table: &Table, index: IndexId) -> Result<(), SchemaError> {
        let old = present_index(table, index)?;
        if table.primary().is_some_and(|p| p.id == index) {
            let message = format!("the primary key of {} cannot be dropped", table.name);
            let hint = "create a table with the other key and copy the rows";
            return Err(SchemaError::new(SchemaErrorKind::Unsupported, message).hint(hint));
        }
        let message = || format!("cannot drop index {} because other objects depend on it", old.name);
        if let Some((child, foreign_key)) = self.references(table.id).find(|(_, f)| f.parent_index == index) {
            let hint = format!("constraint {} on table {} refers to it", foreign_key.name, child.name);
            return Err(dependent(message(), hint));
        }
        match table.child_index_of(index) {
            Some(foreign_key) => Err(dependent(
                message(),
                format!("constraint {} finds the children of a row by it", foreign_key.name),
            )),
            None => Ok(()),
        }
    }

    /// Whether the column mints from a sequence that is not there.
    pub(super) fn dangling_sequence(&self, column: &super::Column) -> bool {
        matches!(column.minting, Some(Minting::Sequence(id)) if self.sequence(id).is_none())
    }
}

fn dependent(message: String, hint: String) -> SchemaError {
    SchemaError::new(SchemaErrorKind::Dependent, message).hint(hint)
}

fn present_column(table: &Table, id: ColumnId) -> Result<&super::Column, SchemaError> {
    table.column(id).ok_or_else(|| {
        SchemaError::new(
            SchemaErrorKind::UndefinedColumn,
            format!("table {} has no column #{id}", table.name),
        )
    })
}

fn present_index(table: &Table, id: IndexId) -> Result<&super::Index, SchemaError> {
    table.index(id).ok_or_else(|| {
        SchemaError::new(SchemaErrorKind::UndefinedObject, format!("table {} has no index #{id}", table.name))
    })
}

fn free_column(table: &Table, name: &str) -> Result<(), SchemaError> {
    match table.column_by_name(name) {
        Some(_) => Err(SchemaError::new(
            SchemaErrorKind::DuplicateColumn,
            format!("column \"{name}\" of relation \"{}\" already exists", table.name),
        )),
        None => Ok(()),
    }
}

fn free_constraint(table: &Table, name: &str) -> Result<(), SchemaError> {
    let taken =
        table.checks.iter().any(|c| c.name == name) || table.foreign_keys.iter().any(|f| f.name == name);
    if taken {
        return Err(SchemaError::new(
            SchemaErrorKind::DuplicateObject,
            format!("constraint \"{name}\" for relation \"{}\" already exists", table.name),
        ));
    }
    Ok(())
}
