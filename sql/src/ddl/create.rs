//! CREATE TABLE, CREATE INDEX, CREATE SEQUENCE; constraints, shared with ALTER TABLE.

use std::sync::Arc;

use gemini_shadow_ops::{
    Check, Column, ColumnId, ConstraintId, DataType, Default, ForeignKey, Index, IndexColumn, IndexId,
    MergeRule, Minting, RowRule, Schema, SchemaChange, SequenceId, Table, TableId, Value,
};

use super::column::new_sequence;
use super::{Change, cut, find_table, in_public, no_column, relation_exists};
use crate::error::{Result, SqlError};
use crate::parse::{
    ConstraintDefinition, ConstraintKind, CreateIndex, CreateTable, Name, References, SequenceOptions,
};
use crate::session::Notice;
use crate::sqlstate;

/// PostgreSQL's limits.
const MAX_COLUMNS: usize = 1600;
const MAX_INDEX_COLUMNS: usize = 32;

/// The key of a table declared without one.
pub(super) const HIDDEN_KEY: &str = "_gemini_key";

/// What a constraint becomes.
pub(super) enum Constraint {
    Key(Index),
    Check(Check),
    ForeignKey(ForeignKey, Option<Index>),
}

impl Change<'_> {
    fn name_is_free(&mut self, name: &Name, if_not_exists: bool) -> Result<bool> {
        in_public(name)?;
        if !relation_exists(&*self.schema()?, &name.name) {
            return Ok(true);
        }
        let message = format!("relation \"{}\" already exists", name.name);
        if if_not_exists {
            self.session.tell(Notice::info(format!("{message}, skipping")));
            return Ok(false);
        }
        Err(SqlError::new(sqlstate::DUPLICATE_TABLE, message).at(name.position.max(1)))
    }

    pub(super) async fn create_table(&mut self, create: &CreateTable) -> Result<()> {
        if !self.name_is_free(&create.name, create.if_not_exists)? {
            return Ok(());
        }
        if create.columns.len() > MAX_COLUMNS {
            return Err(SqlError::new(
                sqlstate::TOO_MANY_COLUMNS,
                format!("tables can have at most {MAX_COLUMNS} columns"),
            ));
        }
        let mut table = Table {
            id: TableId(self.id()?),
            name: create.name.name.clone(),
            version: 0,
            columns: Vec::new(),
            slots: 0,
            rows: create.annotations.rows.unwrap_or(RowRule::Strict),
            add_wins_since: None,
            keys_trusted: create.annotations.keys_trusted,
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
        };
        let mut taken = vec![table.name.clone()];
        let mut sequences = Vec::new();
        for definition in &create.columns {
            if table.column_by_name(&definition.name).is_some() {
                return Err(SqlError::new(
                    sqlstate::DUPLICATE_COLUMN,
                    format!("column \"{}\" specified more than once", definition.name),
                )
                .at(definition.position.max(1)));
            }
            let id = ColumnId(table.slots);
            let (column, sequence) = self.column(table.id, &table.name, id, definition, &mut taken)?;
            sequences.extend(sequence);
            table.slots += 1;
            table.columns.push(column);
        }
        for definition in create.columns.iter().filter(|c| c.generated.is_some()) {
            if let Some(expr) = &definition.generated {
                let generated = self.generated(&table, expr)?;
                if let Some(column) = table.columns.iter_mut().find(|c| c.name == definition.name) {
                    column.generated = Some(generated);
                }
            }
        }
        let inline = create.columns.iter().flat_map(|c| &c.constraints);
        let all: Vec<&ConstraintDefinition> = inline.chain(&create.constraints).collect();
        self.keys(&mut table, &all, &mut taken)?;
        self.checks_and_references(&mut table, &all, &mut taken)?;
        for sequence in sequences {
            self.apply(SchemaChange::CreateSequence(sequence))?;
        }
        let id = table.id;
        let schema = self.apply(SchemaChange::CreateTable(table))?;
        let Some(table) = schema.table(id).cloned() else {
            return Err(SqlError::internal("the new table is not in the schema"));
        };
        self.bind_table(&table)?;
        self.notice_table(&schema, &table);
        Ok(())
    }

    /// Plans every expression of a new table once.
    fn bind_table(&mut self, table: &Table) -> Result<()> {
        for check in &table.checks {
            self.bind_check(&table.name, &check.sql, None)?;
        }
        for column in &table.columns {
            if let Some((sql, _)) = &column.generated {
                self.bind_check(&table.name, sql, Some(&column.ty))?;
            }
            self.bind_default(column)?;
        }
        Ok(())
    }

    /// The primary key first (a hidden one if none is declared), then UNIQUE.
    fn keys(
        &mut self,
        table: &mut Table,
        all: &[&ConstraintDefinition],
        taken: &mut Vec<String>,
    ) -> Result<()> {
        let mut primaries = all.iter().filter(|c| matches!(c.kind, ConstraintKind::PrimaryKey(_)));
        let primary = primaries.next();
        if let Some(second) = primaries.next() {
            return Err(SqlError::new(
                sqlstate::INVALID_TABLE_DEFINITION,
                format!("multiple primary keys for table \"{}\" are not allowed", table.name),
            )
            .at(second.position.max(1)));
        }
        match primary {
            Some(definition) => {
                if let Constraint::Key(index) = self.constraint(table, definition, taken)? {
                    for part in &index.columns {
                        if let Some(column) = table.columns.iter_mut().find(|c| c.id == part.column) {
                            column.not_null = true;
                        }
                    }
                    table.indexes.push(index);
                }
            }
            None => self.hidden_key(table, taken)?,
        }
        for definition in all.iter().filter(|c| matches!(c.kind, ConstraintKind::Unique { .. })) {
            if let Constraint::Key(index) = self.constraint(table, definition, taken)? {
                table.indexes.push(index);
            }
        }
        Ok(())
    }

    fn hidden_key(&mut self, table: &mut Table, taken: &mut Vec<String>) -> Result<()> {
        if table.column_by_name(HIDDEN_KEY).is_some() {
            return Err(SqlError::new(
                sqlstate::RESERVED_NAME,
                format!("column name \"{HIDDEN_KEY}\" is reserved"),
            ));
        }
        let id = ColumnId(table.slots);
        table.slots += 1;
        table.columns.push(Column {
            id,
            name: HIDDEN_KEY.to_string(),
            ty: DataType::Uuid,
            not_null: true,
            default: Some(Default { sql: "gen_random_uuid()".into() }),
            generated: None,
            identity: None,
            minting: Some(Minting::Uuid),
            merge: MergeRule::Strict,
            missing: Value::Null,
            hidden: true,
        });
        let name = self.free_name(&format!("{}_hidden_key", cut(&table.name, 52)), taken)?;
        taken.push(name.clone());
        let column = IndexColumn { column: id, descending: false, nulls_first: false };
        table.indexes.push(Index {
            id: IndexId(self.id()?),
            name,
            columns: vec![column],
            unique: true,
            nulls_not_distinct: false,
            constraint: None,
        });
        Ok(())
    }

    fn checks_and_references(
        &mut self,
        table: &mut Table,
        all: &[&ConstraintDefinition],
        taken: &mut Vec<String>,
    ) -> Result<()> {
        for definition in all {
            match self_kind(&definition.kind) {
                Kind::Key => continue,
                Kind::Other => {}
            }
            match self.constraint(table, definition, taken)? {
                Constraint::Check(check) => table.checks.push(check),
                Constraint::ForeignKey(foreign_key, index) => {
                    table.indexes.extend(index);
                    table.foreign_keys.push(foreign_key);
                }
                Constraint::Key(_) => {}
            }
        }
        Ok(())
    }

    /// One constraint of a table (which may not be in the schema yet). Names given are added to `taken`.
    pub(super) fn constraint(
        &mut self,
        table: &Table,
        definition: &ConstraintDefinition,
        taken: &mut Vec<String>,
    ) -> Result<Constraint> {
        let placed = |e: SqlError| e.at(definition.position.max(1));
        if let Some(name) = &definition.name
            && constraint_named(table, name)
        {
            return Err(placed(SqlError::new(
                sqlstate::DUPLICATE_OBJECT,
                format!("constraint \"{name}\" for relation \"{}\" already exists", table.name),
            )));
        }
        match &definition.kind {
            ConstraintKind::PrimaryKey(columns) => {
                let wish = format!("{}_pkey", cut(&table.name, 58));
                let index = self.key_index(table, columns, definition, wish, taken).map_err(placed)?;
                Ok(Constraint::Key(index))
            }
            ConstraintKind::Unique { columns, nulls_not_distinct } => {
                let wish = format!("{}_{}_key", cut(&table.name, 29), cut(&columns.join("_"), 29));
                let mut index = self.key_index(table, columns, definition, wish, taken).map_err(placed)?;
                index.nulls_not_distinct = *nulls_not_distinct;
                Ok(Constraint::Key(index))
            }
            ConstraintKind::Check(expr) => {
                let read = super::column::columns_of(expr);
                let wish = match (&definition.name, read.as_slice()) {
                    (Some(name), _) => name.clone(),
                    (None, [one]) => format!("{}_{}_check", cut(&table.name, 28), cut(one, 28)),
                    (None, _) => format!("{}_check", cut(&table.name, 57)),
                };
                let name = free_constraint(table, &wish, taken);
                taken.push(name.clone());
                let id = ConstraintId(self.id()?);
                Ok(Constraint::Check(self.check_constraint(table, id, name, expr).map_err(placed)?))
            }
            ConstraintKind::ForeignKey { columns, references } => {
                self.foreign_key(table, definition, columns, references, taken).map_err(placed)
            }
        }
    }

    fn key_index(
        &mut self,
        table: &Table,
        columns: &[String],
        definition: &ConstraintDefinition,
        wish: String,
        taken: &mut Vec<String>,
    ) -> Result<Index> {
        let parts = index_columns(table, columns)?;
        let name = match &definition.name {
            Some(name) => {
                if relation_exists(&*self.schema()?, name) || taken.contains(name) {
                    return Err(SqlError::new(
                        sqlstate::DUPLICATE_TABLE,
                        format!("relation \"{name}\" already exists"),
                    ));
                }
                name.clone()
            }
            None => self.free_name(&wish, taken)?,
        };
        taken.push(name.clone());
        Ok(Index {
            id: IndexId(self.id()?),
            name,
            columns: parts,
            unique: true,
            nulls_not_distinct: false,
            constraint: Some(ConstraintId(self.id()?)),
        })
    }

    fn foreign_key(
        &mut self,
        table: &Table,
        definition: &ConstraintDefinition,
        columns: &[String],
        references: &References,
        taken: &mut Vec<String>,
    ) -> Result<Constraint> {
        let schema = self.schema()?;
        let own = references.parent.name == table.name && in_public(&references.parent).is_ok();
        let parent: &Table = if own { table } else { find_table(&schema, &references.parent)? };
        let ids = column_ids(table, columns)?;
        let (parent_columns, parent_index) = referenced(parent, &references.columns, ids.len())?;
        for (id, parent_id) in ids.iter().zip(&parent_columns) {
            if let (Some(a), Some(b)) = (table.column(*id), parent.column(*parent_id))
                && !same_kind(&a.ty, &b.ty)
            {
                return Err(SqlError::new(
                    sqlstate::DATATYPE_MISMATCH,
                    format!("foreign key constraint on column \"{}\" cannot be implemented", a.name),
                )
                .detail(format!(
                    "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
                    a.name,
                    b.name,
                    crate::expr::types::display(&a.ty),
                    crate::expr::types::display(&b.ty)
                )));
            }
        }
        let wish = match &definition.name {
            Some(name) => name.clone(),
            None => format!("{}_{}_fkey", cut(&table.name, 28), cut(&columns.join("_"), 28)),
        };
        let name = free_constraint(table, &wish, taken);
        taken.push(name.clone());
        let serves = |i: &&Index| {
            i.columns.len() >= ids.len() && i.columns.iter().zip(&ids).all(|(part, id)| part.column == *id)
        };
        let (child_index, made) = match table.indexes.iter().find(serves) {
            Some(index) => (index.id, None),
            None => {
                let wish = format!("{}_{}_idx", cut(&table.name, 29), cut(&columns.join("_"), 29));
                let index_name = self.free_name(&wish, taken)?;
                taken.push(index_name.clone());
                let index = Index {
                    id: IndexId(self.id()?),
                    name: index_name,
                    columns: ids.iter().map(|id| plain(*id)).collect(),
                    unique: false,
                    nulls_not_distinct: false,
                    constraint: None,
                };
                (index.id, Some(index))
            }
        };
        let foreign_key = ForeignKey {
            id: ConstraintId(self.id()?),
            name,
            columns: ids,
            parent: parent.id,
            parent_columns,
            parent_index,
            child_index,
            on_delete: references.on_delete,
            on_update: references.on_update,
        };
        Ok(Constraint::ForeignKey(foreign_key, made))
    }

    pub(super) async fn create_index(&mut self, create: &CreateIndex) -> Result<()> {
        let table = self.table(&create.table)?;
        let name = match &create.name {
            Some(name) => {
                let name = Name { schema: None, name: name.clone(), position: create.table.position };
                if !self.name_is_free(&name, create.if_not_exists)? {
                    return Ok(());
                }
                name.name
            }
            None => {
                let columns: Vec<&str> = create.keys.iter().map(|k| k.column.as_str()).collect();
                self.free_name(&format!("{}_{}_idx", cut(&table.name, 29), cut(&columns.join("_"), 29)), &[])?
            }
        };
        if create.keys.len() > MAX_INDEX_COLUMNS {
            return Err(SqlError::new(
                sqlstate::TOO_MANY_COLUMNS,
                format!("cannot use more than {MAX_INDEX_COLUMNS} columns in an index"),
            ));
        }
        let mut columns = Vec::new();
        for key in &create.keys {
            let column = table
                .column_by_name(&key.column)
                .filter(|c| !c.hidden)
                .ok_or_else(|| no_column(&table.name, &key.column).at(key.position.max(1)))?;
            columns.push(IndexColumn {
                column: column.id,
                descending: key.descending,
                nulls_first: key.nulls_first,
            });
        }
        if let Some(made) = table.indexes.iter().find(|i| self_made(&table, i) && i.columns == columns)
            && !create.unique
        {
            // One that a FOREIGN KEY made for itself is the same: it takes the name, and rows are not indexed twice.
            self.session.tell(Notice::info(format!("index \"{}\" is the same: it is renamed", made.name)));
            let change = SchemaChange::RenameIndex { table: table.id, index: made.id, name };
            return self.apply(change).map(drop);
        }
        let index = Index {
            id: IndexId(self.id()?),
            name,
            columns,
            unique: create.unique,
            nulls_not_distinct: create.nulls_not_distinct,
            constraint: None,
        };
        self.add_index(&table, index).await
    }

    /// Adds an index; if it is unique, the rows that are there are checked first.
    pub(super) async fn add_index(&mut self, table: &Arc<Table>, index: Index) -> Result<()> {
        if index.unique {
            self.check_unique(table, &index).await?;
        }
        let unique = index.unique.then_some(index.id);
        let schema = self.apply(SchemaChange::AddIndex { table: table.id, index })?;
        if let (Some(id), Some(table)) = (unique, schema.table(table.id).cloned()) {
            self.notice_unique(&schema, &table, id);
        }
        Ok(())
    }

    pub(super) fn create_sequence(
        &mut self,
        name: &Name,
        if_not_exists: bool,
        options: &SequenceOptions,
        owned_by: Option<&(String, String)>,
    ) -> Result<()> {
        if !self.name_is_free(name, if_not_exists)? {
            return Ok(());
        }
        let owner = owned_by.map(|o| self.owner(o)).transpose()?;
        let sequence = new_sequence(SequenceId(self.id()?), name.name.clone(), options, i64::MAX, owner)?;
        self.apply(SchemaChange::CreateSequence(sequence))?;
        Ok(())
    }

    pub(super) fn owner(&mut self, (table, column): &(String, String)) -> Result<(TableId, ColumnId)> {
        let name = Name { schema: None, name: table.clone(), position: 0 };
        let table = self.table(&name)?;
        let column = table.column_by_name(column).ok_or_else(|| no_column(&table.name, column))?;
        Ok((table.id, column.id))
    }
}

/// Whether an index was made for a FOREIGN KEY and still has the name it was given then.
fn self_made(table: &Table, index: &Index) -> bool {
    let columns: Vec<String> = index.columns.iter().map(|c| table.column_name(c.column)).collect();
    let given = format!("{}_{}_idx", cut(&table.name, 29), cut(&columns.join("_"), 29));
    !index.unique
        && index.constraint.is_none()
        && index.name == given
        && table.foreign_keys.iter().any(|f| f.child_index == index.id)
}

enum Kind {
    Key,
    Other,
}

fn self_kind(kind: &ConstraintKind) -> Kind {
    match kind {
        ConstraintKind::PrimaryKey(_) | ConstraintKind::Unique { .. } => Kind::Key,
        ConstraintKind::Check(_) | ConstraintKind::ForeignKey { .. } => Kind::Other,
    }
}

pub(super) fn plain(column: ColumnId) -> IndexColumn {
    IndexColumn { column, descending: false, nulls_first: false }
}

/// Columns by name, each once.
pub(super) fn column_ids(table: &Table, columns: &[String]) -> Result<Vec<ColumnId>> {
    let mut ids = Vec::new();
    for name in columns {
        let column = table.column_by_name(name).filter(|c| !c.hidden).ok_or_else(|| {
            SqlError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{name}\" named in key does not exist"),
            )
        })?;
        if ids.contains(&column.id) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_COLUMN,
                format!("column \"{name}\" appears twice in a constraint"),
            ));
        }
        ids.push(column.id);
    }
    if ids.len() > MAX_INDEX_COLUMNS {
        return Err(SqlError::new(
            sqlstate::TOO_MANY_COLUMNS,
            format!("cannot use more than {MAX_INDEX_COLUMNS} columns in a key"),
        ));
    }
    Ok(ids)
}

pub(super) fn index_columns(table: &Table, columns: &[String]) -> Result<Vec<IndexColumn>> {
    Ok(column_ids(table, columns)?.into_iter().map(plain).collect())
}

/// The parent's columns and the unique index over them; none named: its primary key.
fn referenced(parent: &Table, columns: &[String], count: usize) -> Result<(Vec<ColumnId>, IndexId)> {
    if columns.is_empty() {
        let primary =
            parent.primary().filter(|_| !parent.columns.iter().any(|c| c.hidden)).ok_or_else(|| {
                SqlError::new(
                    sqlstate::UNDEFINED_OBJECT,
                    format!("there is no primary key for referenced table \"{}\"", parent.name),
                )
            })?;
        if primary.columns.len() != count {
            return Err(SqlError::new(
                sqlstate::INVALID_FOREIGN_KEY,
                "number of referencing and referenced columns for foreign key disagree",
            ));
        }
        return Ok((primary.columns.iter().map(|c| c.column).collect(), primary.id));
    }
    if columns.len() != count {
        return Err(SqlError::new(
            sqlstate::INVALID_FOREIGN_KEY,
            "number of referencing and referenced columns for foreign key disagree",
        ));
    }
    let ids = column_ids(parent, columns)?;
    let same = |i: &&Index| {
        i.unique
            && !i.nulls_not_distinct
            && i.columns.len() == ids.len()
            && ids.iter().all(|id| i.columns.iter().any(|c| c.column == *id))
    };
    match parent.indexes.iter().find(same) {
        Some(index) => Ok((ids, index.id)),
        None => Err(SqlError::new(
            sqlstate::INVALID_FOREIGN_KEY,
            format!(
                "there is no unique constraint matching given keys for referenced table \"{}\"",
                parent.name
            ),
        )),
    }
}

/// Types whose equal values have equal keys.
fn same_kind(a: &DataType, b: &DataType) -> bool {
    let text = |ty: &DataType| matches!(ty, DataType::Text | DataType::Varchar(_));
    let numeric = |ty: &DataType| matches!(ty, DataType::Numeric(_));
    a == b || (a.is_integer() && b.is_integer()) || (text(a) && text(b)) || (numeric(a) && numeric(b))
}

fn constraint_named(table: &Table, name: &str) -> bool {
    table.checks.iter().any(|c| c.name == name)
        || table.foreign_keys.iter().any(|f| f.name == name)
        || table.indexes.iter().any(|i| i.constraint.is_some() && i.name == name)
}

/// A name no other constraint of the table has.
fn free_constraint(table: &Table, wish: &str, taken: &[String]) -> String {
    let mut name = cut(wish, 63).to_string();
    let mut n = 0;
    while constraint_named(table, &name) || taken.contains(&name) {
        n += 1;
        let suffix = n.to_string();
        name = format!("{}{suffix}", cut(wish, 63 - suffix.len()));
    }
    name
}

/// Whether anything but the table itself refers to it.
pub(super) fn is_referenced(schema: &Schema, table: TableId) -> bool {
    schema.references(table).any(|(child, _)| child.id != table)
}
