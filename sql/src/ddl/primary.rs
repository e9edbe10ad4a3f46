//! ADD PRIMARY KEY: dumps declare it after the table.
//!
//! Rows are addressed by their primary key, so the table is made anew under new ids, with its rows, and takes the old
//! one's name. That is possible while nothing refers to the table and no blue transaction can be on its way to it.

use std::sync::Arc;

use gemini_shadow_ops::{
    Column, ConstraintId, ForeignKey, Index, IndexId, MergeRule, Minting, RowRule, SchemaChange, Sequence,
    Table, TableId,
};

use super::Change;
use super::create::{index_columns, is_referenced};
use crate::catalog::names::quote;
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// Rows that are copied.
const MAX_ROWS: i64 = 100_000;

impl Change<'_> {
    /// Answers the table's new id.
    pub(super) async fn add_primary_key(
        &mut self,
        old: &Arc<Table>,
        columns: &[String],
        name: Option<&str>,
        position: u32,
    ) -> Result<TableId> {
        if !old.columns.iter().any(|c| c.hidden) {
            return Err(SqlError::new(
                sqlstate::INVALID_TABLE_DEFINITION,
                format!("multiple primary keys for table \"{}\" are not allowed", old.name),
            )
            .at(position.max(1)));
        }
        let schema = self.schema()?;
        let loose = old.rows != RowRule::Strict || old.columns.iter().any(|c| c.merge != MergeRule::Strict);
        if loose || is_referenced(&schema, old.id) {
            return Err(SqlError::unsupported(
                format!("adding a primary key to \"{}\", which is annotated or referenced", old.name),
                "Add the PRIMARY KEY first, then the annotations and FOREIGN KEYs; or declare it in CREATE TABLE.",
            ));
        }
        for column in columns {
            self.check_not_null(old, column).await?;
        }
        let t = quote(&old.name);
        let count = self.session.query(&format!("SELECT count(*) FROM public.{t}"), Vec::new()).await?;
        let count = count.first().and_then(|r| r.first()).and_then(|v| v.as_i64()).unwrap_or(0);
        if count > MAX_ROWS {
            return Err(SqlError::unsupported(
                format!("adding a primary key to a table of {count} rows"),
                "Add the PRIMARY KEY before loading the rows.",
            ));
        }
        let new = self.copy_of(old, columns, name)?;
        let primary = new.indexes[0].clone();
        self.check_unique(old, &primary).await?;
        self.replace(old, new, count > 0).await
    }

    /// The same table under new ids, with the declared key instead of the hidden one.
    fn copy_of(&mut self, old: &Arc<Table>, columns: &[String], name: Option<&str>) -> Result<Table> {
        let mut new = (**old).clone();
        new.id = TableId(self.id()?);
        new.columns.retain(|c| !c.hidden);
        let taken = Vec::new();
        let key_name = match name {
            Some(name) => name.to_string(),
            None => self.free_name(&format!("{}_pkey", super::cut(&old.name, 58)), &taken)?,
        };
        let parts = index_columns(&new, columns)?;
        for part in &parts {
            if let Some(column) = new.columns.iter_mut().find(|c| c.id == part.column) {
                column.not_null = true;
            }
        }
        let mut indexes = vec![Index {
            id: IndexId(self.id()?),
            name: key_name,
            columns: parts,
            unique: true,
            nulls_not_distinct: false,
            constraint: Some(ConstraintId(self.id()?)),
        }];
        let mut renamed = Vec::new();
        for index in old.indexes.iter().skip(1) {
            let id = IndexId(self.id()?);
            renamed.push((index.id, id));
            let constraint = match index.constraint {
                Some(_) => Some(ConstraintId(self.id()?)),
                None => None,
            };
            indexes.push(Index { id, constraint, ..index.clone() });
        }
        new.indexes = indexes;
        for check in &mut new.checks {
            check.id = ConstraintId(self.id()?);
        }
        let mut keys: Vec<ForeignKey> = Vec::new();
        for key in &old.foreign_keys {
            let moved = |id: IndexId| renamed.iter().find(|(o, _)| *o == id).map_or(id, |(_, n)| *n);
            let own = key.parent == old.id;
            keys.push(ForeignKey {
                id: ConstraintId(self.id()?),
                child_index: moved(key.child_index),
                parent: if own { new.id } else { key.parent },
                parent_index: if own { moved(key.parent_index) } else { key.parent_index },
                ..key.clone()
            });
        }
        new.foreign_keys = keys;
        Ok(new)
    }

    async fn replace(&mut self, old: &Arc<Table>, new: Table, rows: bool) -> Result<TableId> {
        let (id, name) = (new.id, new.name.clone());
        let schema = self.schema()?;
        // Sequences would be dropped with the old table: they are handed over.
        let owned: Vec<Arc<Sequence>> = schema
            .sequences
            .values()
            .filter(|s| s.owner.is_some_and(|(t, _)| t == old.id))
            .cloned()
            .collect();
        for sequence in &owned {
            let mut moved = (**sequence).clone();
            moved.owner = moved.owner.map(|(_, column)| (id, column));
            self.apply(SchemaChange::AlterSequence(moved))?;
        }
        if !rows {
            self.apply(SchemaChange::DropTable(old.id))?;
            self.apply(SchemaChange::CreateTable(new))?;
            return Ok(id);
        }
        let aside = self.free_name(&format!("{}_old", super::cut(&name, 59)), &[])?;
        self.apply(SchemaChange::RenameTable { table: old.id, name: aside.clone() })?;
        for index in &old.indexes {
            let free = self.free_name(&format!("{}_old", super::cut(&index.name, 59)), &[])?;
            self.apply(SchemaChange::RenameIndex { table: old.id, index: index.id, name: free })?;
        }
        let plain: Vec<&Column> = new.columns.iter().filter(|c| c.generated.is_none()).collect();
        let list: Vec<String> = plain.iter().map(|c| quote(&c.name)).collect();
        let list = list.join(", ");
        let always =
            plain.iter().any(|c| c.identity == Some(true) || matches!(c.minting, Some(Minting::Uuid)));
        let overriding = if always { "OVERRIDING SYSTEM VALUE " } else { "" };
        self.apply(SchemaChange::CreateTable(new))?;
        let query = format!(
            "INSERT INTO public.{} ({list}) {overriding}SELECT {list} FROM public.{}",
            quote(&name),
            quote(&aside)
        );
        self.session.query(&query, Vec::new()).await?;
        self.apply(SchemaChange::DropTable(old.id))?;
        Ok(id)
    }
}
