//! Rows that are there must satisfy a new constraint. They are checked by queries on the transaction's snapshot, and the
//! tables are read: whatever changes them before the change is ordered makes certification refuse it.

use std::sync::Arc;

use gemini_shadow_ops::{ForeignKey, Index, Item, Table, TableId};

use super::Change;
use crate::catalog::names::quote;
use crate::error::{Result, SqlError};
use crate::sqlstate;

impl Change<'_> {
    /// Puts the whole table into the footprint.
    pub(super) fn read_table(&mut self, table: TableId) -> Result<()> {
        self.session.transaction()?.read(Item::Table { table })
    }

    /// Whether a query of ours has a row.
    async fn any(&mut self, query: &str) -> Result<bool> {
        Ok(!self.session.query(query, Vec::new()).await?.is_empty())
    }

    /// Whether the table has no rows; it is read.
    pub(super) async fn is_empty(&mut self, table: &Table) -> Result<bool> {
        self.read_table(table.id)?;
        Ok(!self.any(&format!("SELECT 1 FROM public.{} LIMIT 1", quote(&table.name))).await?)
    }

    pub(super) async fn check_not_null(&mut self, table: &Table, column: &str) -> Result<()> {
        self.read_table(table.id)?;
        let (t, c) = (quote(&table.name), quote(column));
        if self.any(&format!("SELECT 1 FROM public.{t} WHERE {c} IS NULL LIMIT 1")).await? {
            return Err(SqlError::new(
                sqlstate::NOT_NULL_VIOLATION,
                format!("column \"{column}\" of relation \"{}\" contains null values", table.name),
            )
            .table(table.name.clone())
            .column(column));
        }
        Ok(())
    }

    pub(super) async fn check_check(&mut self, table: &Table, name: &str, sql: &str) -> Result<()> {
        self.read_table(table.id)?;
        let t = quote(&table.name);
        if self.any(&format!("SELECT 1 FROM public.{t} WHERE NOT ({sql}) LIMIT 1")).await? {
            return Err(SqlError::new(
                sqlstate::CHECK_VIOLATION,
                format!("check constraint \"{name}\" of relation \"{}\" is violated by some row", table.name),
            )
            .table(table.name.clone())
            .constraint(name));
        }
        Ok(())
    }

    pub(super) async fn check_unique(&mut self, table: &Table, index: &Index) -> Result<()> {
        self.read_table(table.id)?;
        let columns: Vec<String> =
            index.columns.iter().map(|c| quote(&table.column_name(c.column))).collect();
        let list = columns.join(", ");
        let present: Vec<String> = columns.iter().map(|c| format!("{c} IS NOT NULL")).collect();
        let filter = if index.nulls_not_distinct {
            String::new()
        } else {
            format!(" WHERE {}", present.join(" AND "))
        };
        let query = format!(
            "SELECT 1 FROM public.{}{filter} GROUP BY {list} HAVING count(*) > 1 LIMIT 1",
            quote(&table.name)
        );
        if self.any(&query).await? {
            return Err(SqlError::new(
                sqlstate::UNIQUE_VIOLATION,
                format!("could not create unique index \"{}\"", index.name),
            )
            .detail(format!("Key ({list}) is duplicated."))
            .table(table.name.clone())
            .constraint(index.name.clone()));
        }
        Ok(())
    }

    pub(super) async fn check_foreign_key(
        &mut self,
        table: &Table,
        parent: &Arc<Table>,
        key: &ForeignKey,
    ) -> Result<()> {
        self.read_table(table.id)?;
        self.read_table(parent.id)?;
        let child: Vec<String> =
            key.columns.iter().map(|c| format!("c.{}", quote(&table.column_name(*c)))).collect();
        let pairs: Vec<String> = child
            .iter()
            .zip(&key.parent_columns)
            .map(|(c, p)| format!("p.{} = {c}", quote(&parent.column_name(*p))))
            .collect();
        let present: Vec<String> = child.iter().map(|c| format!("{c} IS NOT NULL")).collect();
        let query = format!(
            "SELECT 1 FROM public.{} c WHERE {} AND NOT EXISTS (SELECT 1 FROM public.{} p WHERE {}) LIMIT 1",
            quote(&table.name),
            present.join(" AND "),
            quote(&parent.name),
            pairs.join(" AND ")
        );
        if self.any(&query).await? {
            return Err(SqlError::new(
                sqlstate::FOREIGN_KEY_VIOLATION,
                format!(
                    "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                    table.name, key.name
                ),
            )
            .detail(format!("Some row has no row in table \"{}\".", parent.name))
            .table(table.name.clone())
            .constraint(key.name.clone()));
        }
        Ok(())
    }
}
