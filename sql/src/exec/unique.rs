//! PRIMARY KEY and UNIQUE, checked row by row on what the transaction sees.

use gemini_engine::KeyRange;
use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{Index, IndexId, Key, Row, Table, Value};

use super::write::{Writer, slot};
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// A unique key that another row has.
pub struct Taken {
    /// Which.
    pub index: IndexId,
    /// The row that has it.
    pub key: Key,
}

impl Writer<'_> {
    /// The first unique key of the values that another row has. `from`: the row that is updated.
    pub fn taken(
        &self,
        table: &Table,
        values: &[Value],
        at: &Key,
        from: Option<(&Key, &Row)>,
    ) -> Result<Option<Taken>> {
        let reading = self.reading()?;
        let moved = from.is_none_or(|(key, _)| key != at);
        if moved
            && reading.get(table, at)?.is_some()
            && let Some(primary) = table.primary()
        {
            return Ok(Some(Taken { index: primary.id, key: at.clone() }));
        }
        for index in table.indexes.iter().skip(1).filter(|i| i.unique) {
            let same =
                |row: &Row| index.columns.iter().all(|c| slot(row, c.column) == slot(values, c.column));
            if from.is_some_and(|(_, before)| same(before)) && !moved {
                continue;
            }
            if !index.nulls_not_distinct && key::index_has_null(table, index, values) {
                continue;
            }
            let range = KeyRange::prefix(&key::index_key(table, index, values));
            let mut rest = Some(range);
            while let Some(part) = rest {
                let (entries, next) = reading.entries(table, index.id, &part, false, 4)?;
                let other = entries.into_iter().find(|(_, key)| from.is_none_or(|(own, _)| own != key));
                if let Some((_, key)) = other {
                    return Ok(Some(Taken { index: index.id, key }));
                }
                rest = next;
            }
        }
        Ok(None)
    }

    /// 23505 if another row has one of the values' unique keys.
    pub fn check_unique(&self, table: &Table, after: &Row, from: Option<(&Key, &Row)>) -> Result<()> {
        let at = key::primary_key(table, after);
        match self.taken(table, after, &at, from)? {
            Some(taken) => Err(self.duplicate(table, &taken, after)),
            None => Ok(()),
        }
    }

    /// 23505.
    pub fn duplicate(&self, table: &Table, taken: &Taken, values: &[Value]) -> SqlError {
        let Some(index) = table.index(taken.index) else {
            return SqlError::internal("a unique index that is gone");
        };
        SqlError::new(
            sqlstate::UNIQUE_VIOLATION,
            format!("duplicate key value violates unique constraint \"{}\"", index.name),
        )
        .detail(format!("{} already exists.", self.key_text(table, index, values)))
        .table(&table.name)
        .constraint(&index.name)
    }

    fn key_text(&self, table: &Table, index: &Index, values: &[Value]) -> String {
        let columns: Vec<_> = index.columns.iter().map(|c| c.column).collect();
        self.columns_text(table, &columns, values, &columns)
    }

    /// `Key (a, b)=(1, 2)`: `named` of the table, values from `of` in a row.
    pub fn columns_text(
        &self,
        table: &Table,
        named: &[gemini_shadow_ops::ColumnId],
        values: &[Value],
        of: &[gemini_shadow_ops::ColumnId],
    ) -> String {
        let names: Vec<String> = named.iter().map(|id| table.column_name(*id)).collect();
        let texts: Vec<String> = named
            .iter()
            .zip(of)
            .map(|(name, from)| {
                let ty = table.column(*name).map_or(gemini_shadow_ops::DataType::Text, |c| c.ty.clone());
                self.text(slot(values, *from), &ty)
            })
            .collect();
        format!("Key ({})=({})", names.join(", "), texts.join(", "))
    }
}
