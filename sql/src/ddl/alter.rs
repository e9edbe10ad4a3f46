//! ALTER TABLE, ALTER SEQUENCE, renames.

use std::sync::Arc;

use gemini_shadow_ops::{
    Column, ColumnId, ConstraintId, DataType, Minting, SchemaChange, Sequence, Table, Value,
};

use super::column::{DefaultOf, new_sequence};
use super::create::Constraint;
use super::{Change, in_public, no_column, relation_exists};
use crate::error::{Result, SqlError};
use crate::parse::{
    AlterAction, Annotations, ColumnDefinition, ConstraintDefinition, ConstraintKind, Ddl, IdentityOptions,
    Name, SequenceOptions,
};
use crate::session::Notice;
use crate::sqlstate;

impl Change<'_> {
    pub(super) async fn alter_table(
        &mut self,
        name: &Name,
        if_exists: bool,
        actions: &[AlterAction],
    ) -> Result<()> {
        // psql's dumps rename sequences and indexes with ALTER TABLE too.
        if let [AlterAction::RenameTable(to)] = actions {
            let schema = self.schema()?;
            if schema.index_by_name(&name.name).is_some() {
                return self.rename_index(name, if_exists, to);
            }
            if let Some(sequence) = schema.sequence_by_name(&name.name) {
                let renamed = Sequence { name: to.clone(), ..(**sequence).clone() };
                return self.rename_sequence(renamed);
            }
        }
        if let [AlterAction::Owner] = actions
            && self.schema()?.sequence_by_name(&name.name).is_some()
        {
            return Ok(());
        }
        let Some(table) = self.table_if(name, if_exists)? else { return Ok(()) };
        let mut id = table.id;
        for action in actions {
            let Some(table) = self.schema()?.table(id).cloned() else {
                return Err(SqlError::internal("the altered table is not in the schema"));
            };
            if let AlterAction::AddConstraint(ConstraintDefinition {
                kind: ConstraintKind::PrimaryKey(columns),
                name,
                position,
            }) = action
            {
                id = self.add_primary_key(&table, columns, name.as_deref(), *position).await?;
                continue;
            }
            self.alter(&table, action).await?;
        }
        Ok(())
    }

    async fn alter(&mut self, table: &Arc<Table>, action: &AlterAction) -> Result<()> {
        match action {
            AlterAction::AddColumn { column, if_not_exists } => {
                self.add_column(table, column, *if_not_exists).await
            }
            AlterAction::DropColumn { name, if_exists, cascade } => {
                self.drop_column(table, name, *if_exists, *cascade)
            }
            AlterAction::RenameColumn { from, to } => self.rename_column(table, from, to),
            AlterAction::RenameTable(to) => {
                if relation_exists(&*self.schema()?, to) {
                    return Err(exists(to));
                }
                self.apply(SchemaChange::RenameTable { table: table.id, name: to.clone() }).map(drop)
            }
            AlterAction::RenameConstraint { from, to } => self.rename_constraint(table, from, to),
            AlterAction::AddConstraint(definition) => self.add_constraint(table, definition).await,
            AlterAction::DropConstraint { name, if_exists, cascade } => {
                self.drop_constraint(table, name, *if_exists, *cascade)
            }
            AlterAction::SetDefault { column, default } => {
                let old = find(table, column)?;
                let default = self.default(&old, default)?;
                self.set_default(table, old, default)
            }
            AlterAction::DropDefault { column } => {
                let old = find(table, column)?;
                self.set_default(table, old, None)
            }
            AlterAction::SetNotNull { column } => {
                let old = find(table, column)?;
                if old.not_null {
                    return Ok(());
                }
                self.check_not_null(table, column).await?;
                let column = Column { not_null: true, ..old };
                self.apply(SchemaChange::AlterColumn { table: table.id, column }).map(drop)
            }
            AlterAction::DropNotNull { column } => {
                let old = find(table, column)?;
                if table.is_primary(old.id) {
                    return Err(SqlError::new(
                        sqlstate::INVALID_TABLE_DEFINITION,
                        format!("column \"{column}\" is in a primary key"),
                    ));
                }
                if old.identity.is_some() {
                    return Err(SqlError::new(
                        sqlstate::SYNTAX_ERROR,
                        format!("column \"{column}\" of relation \"{}\" is an identity column", table.name),
                    ));
                }
                let column = Column { not_null: false, ..old };
                self.apply(SchemaChange::AlterColumn { table: table.id, column }).map(drop)
            }
            AlterAction::SetType { column, ty } => {
                let old = find(table, column)?;
                set_type(&old, ty)
            }
            AlterAction::SetMerge { column, merge } => {
                let old = find(table, column)?;
                let change = SchemaChange::SetMerge { table: table.id, column: old.id, merge: *merge };
                self.apply(change).map(drop)
            }
            AlterAction::AddIdentity { column, identity } => self.add_identity(table, column, identity),
            AlterAction::DropIdentity { column, if_exists } => self.drop_identity(table, column, *if_exists),
            AlterAction::SetRows(annotations) => self.set_rows(table, *annotations),
            AlterAction::Owner => Ok(()),
        }
    }

    async fn add_column(
        &mut self,
        table: &Arc<Table>,
        definition: &ColumnDefinition,
        if_not_exists: bool,
    ) -> Result<()> {
        if table.column_by_name(&definition.name).is_some() {
            let message =
                format!("column \"{}\" of relation \"{}\" already exists", definition.name, table.name);
            if if_not_exists {
                self.session.tell(Notice::info(format!("{message}, skipping")));
                return Ok(());
            }
            return Err(SqlError::new(sqlstate::DUPLICATE_COLUMN, message));
        }
        if table.slots == u16::MAX {
            return Err(SqlError::new(
                sqlstate::TOO_MANY_COLUMNS,
                format!("table \"{}\" has used up its column ids", table.name),
            ));
        }
        let volatile = match &definition.default {
            Some(expr) => {
                let probe = bare_column(definition);
                self.default(&probe, expr)?.is_some_and(|d| d.volatile)
            }
            None => false,
        };
        let mut taken = Vec::new();
        let id = ColumnId(table.slots);
        let (mut column, sequence) = self.column(table.id, &table.name, id, definition, &mut taken)?;
        let fills_rows = volatile || sequence.is_some() || definition.generated.is_some();
        if fills_rows && !self.is_empty(table).await? {
            return Err(SqlError::unsupported(
                format!(
                    "adding column \"{}\", whose value differs from row to row, to a table with rows",
                    column.name
                ),
                "Add the column without the default, fill it with UPDATE, then SET DEFAULT (and SET NOT NULL).",
            ));
        }
        if let Some(expr) = &definition.generated {
            column.generated = Some(self.generated(table, expr)?);
        }
        self.bind_default(&column)?;
        if !fills_rows {
            column.missing = self.constant(&column).await?;
        }
        let primary = definition.constraints.iter().any(|c| matches!(c.kind, ConstraintKind::PrimaryKey(_)));
        if primary {
            return Err(SqlError::unsupported(
                "adding a PRIMARY KEY column",
                "Declare the PRIMARY KEY in CREATE TABLE, or add the column first and then ADD PRIMARY KEY.",
            ));
        }
        if column.not_null && column.missing == Value::Null && !self.is_empty(table).await? {
            return Err(SqlError::new(
                sqlstate::NOT_NULL_VIOLATION,
                format!("column \"{}\" of relation \"{}\" contains null values", column.name, table.name),
            )
            .table(table.name.clone())
            .column(column.name.clone()));
        }
        if let Some(sequence) = sequence {
            self.apply(SchemaChange::CreateSequence(sequence))?;
        }
        let name = column.name.clone();
        self.apply(SchemaChange::AddColumn { table: table.id, column })?;
        for constraint in &definition.constraints {
            let Some(table) = self.schema()?.table(table.id).cloned() else { continue };
            self.add_constraint(&table, constraint).await?;
        }
        let schema = self.schema()?;
        if let Some(table) = schema.table(table.id) {
            if let Some((sql, _)) = table.column_by_name(&name).and_then(|c| c.generated.clone()) {
                self.bind_check(&table.name, &sql, table.column_by_name(&name).map(|c| &c.ty))?;
            }
            self.notice_column(table, &name);
        }
        Ok(())
    }

    fn drop_column(&mut self, table: &Arc<Table>, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let Some(column) = table.column_by_name(name).filter(|c| !c.hidden) else {
            if if_exists {
                self.session.tell(Notice::info(format!(
                    "column \"{name}\" of relation \"{}\" does not exist, skipping",
                    table.name
                )));
                return Ok(());
            }
            return Err(no_column(&table.name, name));
        };
        let id = column.id;
        if table.is_primary(id) {
            return Err(SqlError::unsupported(
                format!("dropping \"{name}\", which is in the primary key"),
                "Rows are addressed by their primary key: create a new table and copy the rows.",
            ));
        }
        let schema = self.schema()?;
        let references: Vec<_> = schema
            .references(table.id)
            .filter(|(_, f)| f.parent_columns.contains(&id))
            .map(|(child, f)| (child.id, child.name.clone(), f.id, f.name.clone()))
            .collect();
        let reads = |c: &&Column| c.generated.as_ref().is_some_and(|(_, reads)| reads.contains(&id));
        if let Some(generated) = table.columns.iter().find(reads) {
            return Err(depends(table, name, &format!("column {}", generated.name)));
        }
        for (child, child_name, constraint, constraint_name) in references {
            if !cascade {
                return Err(depends(
                    table,
                    name,
                    &format!("constraint {constraint_name} on table {child_name}"),
                ));
            }
            self.session.tell(Notice::info(format!(
                "drop cascades to constraint {constraint_name} on table {child_name}"
            )));
            self.apply(SchemaChange::DropConstraint { table: child, constraint })?;
        }
        let checks: Vec<ConstraintId> = table
            .checks
            .iter()
            .filter(|c| c.columns.contains(&id) && c.columns.len() > 1)
            .map(|c| c.id)
            .collect();
        if !cascade && let Some(check) = table.checks.iter().find(|c| checks.contains(&c.id)) {
            return Err(depends(table, name, &format!("constraint {} on table {}", check.name, table.name)));
        }
        self.apply(SchemaChange::DropColumn { table: table.id, column: id }).map(drop)
    }

    fn rename_column(&mut self, table: &Arc<Table>, from: &str, to: &str) -> Result<()> {
        let column = find(table, from)?;
        if table.column_by_name(to).is_some() {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{to}\" of relation \"{}\" already exists", table.name),
            ));
        }
        // CHECKs and generated columns keep their text: it would name what is not there any more.
        let checked = table.checks.iter().any(|c| c.columns.contains(&column.id));
        let generated =
            table.columns.iter().any(|c| c.generated.as_ref().is_some_and(|(_, r)| r.contains(&column.id)));
        if checked || generated {
            return Err(SqlError::unsupported(
                format!("renaming \"{from}\", which a CHECK or a generated column reads"),
                "Drop the constraint, rename the column, and add the constraint again.",
            ));
        }
        let change = SchemaChange::RenameColumn { table: table.id, column: column.id, name: to.to_string() };
        self.apply(change).map(drop)
    }

    fn rename_constraint(&mut self, table: &Arc<Table>, from: &str, to: &str) -> Result<()> {
        let index = table.indexes.iter().find(|i| i.name == from && i.constraint.is_some());
        let Some(index) = index.map(|i| i.id) else {
            return Err(SqlError::unsupported(
                format!("renaming constraint \"{from}\""),
                "Drop it and add it under the new name.",
            ));
        };
        if relation_exists(&*self.schema()?, to) {
            return Err(exists(to));
        }
        self.apply(SchemaChange::RenameIndex { table: table.id, index, name: to.to_string() }).map(drop)
    }

    async fn add_constraint(&mut self, table: &Arc<Table>, definition: &ConstraintDefinition) -> Result<()> {
        let mut taken = Vec::new();
        match self.constraint(table, definition, &mut taken)? {
            Constraint::Key(index) => self.add_index(table, index).await,
            Constraint::Check(check) => {
                self.bind_check(&table.name, &check.sql, None)?;
                self.check_check(table, &check.name, &check.sql).await?;
                let (id, name) = (table.id, check.name.clone());
                let schema = self.apply(SchemaChange::AddCheck { table: id, check })?;
                if let Some(table) = schema.table(id) {
                    self.notice_check(table, &name);
                }
                Ok(())
            }
            Constraint::ForeignKey(key, index) => {
                let schema = self.schema()?;
                let Some(parent) = schema.table(key.parent).cloned() else {
                    return Err(SqlError::internal("the referenced table is gone"));
                };
                self.check_foreign_key(table, &parent, &key).await?;
                if let Some(index) = index {
                    self.apply(SchemaChange::AddIndex { table: table.id, index })?;
                }
                let (id, name) = (table.id, key.name.clone());
                let schema = self.apply(SchemaChange::AddForeignKey { table: id, foreign_key: key })?;
                if let Some(table) = schema.table(id).cloned() {
                    self.notice_foreign_key(&schema, &table, &name);
                }
                Ok(())
            }
        }
    }

    fn drop_constraint(
        &mut self,
        table: &Arc<Table>,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let index = table.indexes.iter().find(|i| i.name == name && i.constraint.is_some());
        let constraint = index
            .and_then(|i| i.constraint)
            .or_else(|| table.checks.iter().find(|c| c.name == name).map(|c| c.id))
            .or_else(|| table.foreign_keys.iter().find(|f| f.name == name).map(|f| f.id));
        let Some(constraint) = constraint else {
            let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name);
            if if_exists {
                self.session.tell(Notice::info(format!("{message}, skipping")));
                return Ok(());
            }
            return Err(SqlError::new(sqlstate::UNDEFINED_OBJECT, message));
        };
        if index.is_some_and(|i| table.primary().is_some_and(|p| p.id == i.id)) {
            return Err(SqlError::unsupported(
                "dropping the primary key",
                "Rows are addressed by it: create a new table and copy the rows.",
            ));
        }
        if let Some(index) = index.map(|i| i.id) {
            let schema = self.schema()?;
            let users: Vec<_> = schema
                .references(table.id)
                .filter(|(_, f)| f.parent_index == index)
                .map(|(child, f)| (child.id, child.name.clone(), f.id, f.name.clone()))
                .collect();
            for (child, child_name, key, key_name) in users {
                if !cascade {
                    return Err(SqlError::new(
                        sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
                        format!(
                            "cannot drop constraint {name} on table {} because other objects depend on it",
                            table.name
                        ),
                    )
                    .detail(format!("constraint {key_name} on table {child_name} depends on index {name}"))
                    .hint("Use DROP ... CASCADE to drop the dependent objects too."));
                }
                self.session.tell(Notice::info(format!(
                    "drop cascades to constraint {key_name} on table {child_name}"
                )));
                self.apply(SchemaChange::DropConstraint { table: child, constraint: key })?;
            }
        }
        self.apply(SchemaChange::DropConstraint { table: table.id, constraint }).map(drop)
    }

    fn set_default(&mut self, table: &Arc<Table>, old: Column, default: Option<DefaultOf>) -> Result<()> {
        if old.identity.is_some() {
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                format!("column \"{}\" of relation \"{}\" is an identity column", old.name, table.name),
            )
            .hint("Use ALTER TABLE … ALTER COLUMN … DROP IDENTITY."));
        }
        let (default, minting) = match default {
            Some(d) => (Some(d.default), d.minting),
            None => (None, None),
        };
        let column = Column { default, minting, ..old };
        self.bind_default(&column)?;
        self.apply(SchemaChange::AlterColumn { table: table.id, column }).map(drop)
    }

    fn add_identity(&mut self, table: &Arc<Table>, column: &str, identity: &IdentityOptions) -> Result<()> {
        let old = find(table, column)?;
        if old.identity.is_some() || old.default.is_some() || old.generated.is_some() {
            return Err(SqlError::new(
                sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("column \"{column}\" of relation \"{}\" already has a default", table.name),
            ));
        }
        if !old.not_null {
            return Err(SqlError::new(
                sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "column \"{column}\" of relation \"{}\" must be declared NOT NULL before identity can be added",
                    table.name
                ),
            ));
        }
        let definition = ColumnDefinition {
            name: old.name.clone(),
            position: 0,
            ty: old.ty.clone(),
            serial: false,
            not_null: true,
            null: false,
            default: None,
            generated: None,
            identity: Some(identity.clone()),
            merge: Some(old.merge),
            constraints: Vec::new(),
        };
        let (made, sequence) = self.column(table.id, &table.name, old.id, &definition, &mut Vec::new())?;
        if let Some(sequence) = sequence {
            self.apply(SchemaChange::CreateSequence(sequence))?;
        }
        let column = Column { missing: old.missing.clone(), ..made };
        self.apply(SchemaChange::AlterColumn { table: table.id, column }).map(drop)
    }

    fn drop_identity(&mut self, table: &Arc<Table>, column: &str, if_exists: bool) -> Result<()> {
        let old = find(table, column)?;
        if old.identity.is_none() {
            let message =
                format!("column \"{column}\" of relation \"{}\" is not an identity column", table.name);
            if if_exists {
                self.session.tell(Notice::info(format!("{message}, skipping")));
                return Ok(());
            }
            return Err(SqlError::new(sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        let sequence = match old.minting {
            Some(Minting::Sequence(id)) => Some(id),
            _ => None,
        };
        let column = Column { identity: None, minting: None, default: None, ..old };
        self.apply(SchemaChange::AlterColumn { table: table.id, column })?;
        match sequence {
            Some(id) => self.apply(SchemaChange::DropSequence(id)).map(drop),
            None => Ok(()),
        }
    }

    fn set_rows(&mut self, table: &Arc<Table>, annotations: Annotations) -> Result<()> {
        let rows = annotations.rows.unwrap_or(table.rows);
        let change = SchemaChange::SetRows { table: table.id, rows, keys_trusted: annotations.keys_trusted };
        let schema = self.apply(change)?;
        if let Some(table) = schema.table(table.id).cloned() {
            self.notice_inserts(&schema, &table);
        }
        Ok(())
    }

    pub(super) fn rename_index(&mut self, name: &Name, if_exists: bool, to: &str) -> Result<()> {
        in_public(name)?;
        let schema = self.schema()?;
        let Some((table, index)) = schema.index_by_name(&name.name) else {
            let message = format!("relation \"{}\" does not exist", name.name);
            if if_exists {
                self.session.tell(Notice::info(format!("{message}, skipping")));
                return Ok(());
            }
            return Err(SqlError::new(sqlstate::UNDEFINED_TABLE, message));
        };
        if relation_exists(&schema, to) {
            return Err(exists(to));
        }
        let change = SchemaChange::RenameIndex { table: table.id, index: index.id, name: to.to_string() };
        self.apply(change).map(drop)
    }

    fn rename_sequence(&mut self, renamed: Sequence) -> Result<()> {
        if relation_exists(&*self.schema()?, &renamed.name) {
            return Err(exists(&renamed.name));
        }
        let sql = super::column::nextval(&renamed.name);
        let id = renamed.id;
        let schema = self.apply(SchemaChange::AlterSequence(renamed))?;
        // Defaults name the sequence in their text.
        let users: Vec<_> = schema.minted_by(id).map(|(t, c)| (t.id, c.clone())).collect();
        for (table, column) in users {
            if column.default.is_some() {
                let default = Some(gemini_shadow_ops::Default { sql: sql.clone() });
                self.apply(SchemaChange::AlterColumn { table, column: Column { default, ..column } })?;
            }
        }
        Ok(())
    }

    pub(super) fn alter_sequence(&mut self, ddl: &Ddl) -> Result<()> {
        let Ddl::AlterSequence { name, if_exists, options, restart, rename, owned_by } = ddl else {
            return Err(SqlError::internal("not an ALTER SEQUENCE"));
        };
        in_public(name)?;
        let schema = self.schema()?;
        let Some(old) = schema.sequence_by_name(&name.name).cloned() else {
            let message = format!("relation \"{}\" does not exist", name.name);
            if *if_exists {
                self.session.tell(Notice::info(format!("{message}, skipping")));
                return Ok(());
            }
            return Err(SqlError::new(sqlstate::UNDEFINED_TABLE, message).at(name.position.max(1)));
        };
        if let Some(to) = rename {
            return self.rename_sequence(Sequence { name: to.clone(), ..(*old).clone() });
        }
        let owner = match owned_by {
            None => old.owner,
            Some(None) => None,
            Some(Some(owner)) => Some(self.owner(owner)?),
        };
        let start = match restart {
            Some(Some(value)) => Some(*value),
            _ => options.start,
        };
        let merged = SequenceOptions {
            name: None,
            start: Some(start.unwrap_or(old.start)),
            increment: Some(options.increment.unwrap_or(old.increment)),
            min: Some(options.min.unwrap_or(Some(old.min))),
            max: Some(options.max.unwrap_or(Some(old.max))),
            cycle: options.cycle,
        };
        let mut made = new_sequence(old.id, old.name.clone(), &merged, i64::MAX, owner)?;
        made.base = old.base;
        // RESTART of an open sequence would mint values again: any change of it but the owner is a barrier.
        if old.is_open() && restart.is_some() {
            return Err(SqlError::unsupported(
                format!("RESTART of the open sequence \"{}\"", old.name),
                "No value is ever minted twice.",
            ));
        }
        if made == *old {
            return Ok(());
        }
        self.apply(SchemaChange::AlterSequence(made)).map(drop)
    }
}

fn find(table: &Table, column: &str) -> Result<Column> {
    table.column_by_name(column).filter(|c| !c.hidden).cloned().ok_or_else(|| no_column(&table.name, column))
}

fn exists(name: &str) -> SqlError {
    SqlError::new(sqlstate::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))
}

fn depends(table: &Table, column: &str, other: &str) -> SqlError {
    SqlError::new(
        sqlstate::DEPENDENT_OBJECTS_STILL_EXIST,
        format!("cannot drop column {column} of table {} because other objects depend on it", table.name),
    )
    .detail(format!("{other} depends on column {column} of table {}", table.name))
    .hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// A column of the type alone, to look at a default with.
fn bare_column(definition: &ColumnDefinition) -> Column {
    Column {
        id: ColumnId(0),
        name: definition.name.clone(),
        ty: definition.ty.clone(),
        not_null: false,
        default: None,
        generated: None,
        identity: None,
        minting: None,
        merge: gemini_shadow_ops::MergeRule::Strict,
        missing: Value::Null,
        hidden: false,
    }
}

/// Types are part of the stored form: only what changes nothing is accepted.
fn set_type(old: &Column, ty: &DataType) -> Result<()> {
    if old.ty == *ty {
        return Ok(());
    }
    Err(SqlError::unsupported(
        format!("changing the type of \"{}\"", old.name),
        "Add a column of the new type, fill it with UPDATE, drop the old one, and rename.",
    ))
}
