//! Changes of the schema, as far as data follows from them.
//!
//! The new catalogue is made from the difference between the old schema and the new one, so every change that creates or
//! drops a table or an index is covered, however it is written. Data of what stays is shared. The data of what goes stays
//! with the snapshots that still see it; its keys in the store are swept when none does.

use std::sync::Arc;

use gemini_shadow_ops::{Schema, SchemaChange, Table, TxnId};

use crate::engine::Engine;
use crate::store::{Space, Store};
use crate::versions::{BATCH, Catalogue, Held, IndexData, TableData, TableEntry};
use crate::view::{View, index_entry};
use crate::{Error, KeyRange, Seq};

/// Whether the store holds no key of the space.
fn is_empty(store: &dyn Store, space: Space) -> Result<bool, Error> {
    Ok(store.range(&space.span(), false, 1)?.is_empty())
}

/// The catalogue of a schema over what the store holds: at a start.
pub(crate) fn load(store: &dyn Store, schema: &Schema) -> Result<Catalogue, Error> {
    let mut catalogue = Catalogue::default();
    for (id, table) in &schema.tables {
        let data = Arc::new(TableData::new(*id, is_empty(store, Space::Rows(*id))?));
        let mut indexes = Vec::new();
        for index in table.indexes.iter().skip(1) {
            let complete = is_empty(store, Space::Entries(index.id))?;
            indexes.push(Arc::new(IndexData::new(index.id, Seq(0), complete)));
        }
        catalogue.tables.insert(*id, TableEntry { table: table.clone(), data, indexes });
    }
    Ok(catalogue)
}

impl Engine {
    /// Applies one change at the moment being applied.
    pub(crate) fn change_schema(&mut self, change: &SchemaChange, id: TxnId) -> Result<(), Error> {
        let TxnId::Red(r) = id else {
            return Err(Error::Internal { message: format!("{id} changes the schema, but is not red") });
        };
        let mut schema = (*self.schema).clone();
        schema.apply(change, r);
        let schema = Arc::new(schema);
        let old = self.catalogue.clone();
        let mut catalogue = Catalogue::default();
        for (id, table) in &schema.tables {
            let entry = match old.tables.get(id) {
                Some(entry) if Arc::ptr_eq(&entry.table, table) => entry.clone(),
                known => self.table_entry(known, table)?,
            };
            catalogue.tables.insert(*id, entry);
        }
        self.discard_dropped(&old, &catalogue);
        self.schema = schema;
        self.catalogue = Arc::new(catalogue);
        self.schema_changed = self.seq;
        Ok(())
    }

    /// The data of a table that is new or declared anew.
    fn table_entry(&self, known: Option<&TableEntry>, table: &Arc<Table>) -> Result<TableEntry, Error> {
        let store = &*self.shared.store;
        let data = match known {
            Some(entry) => entry.data.clone(),
            None => Arc::new(TableData::new(table.id, is_empty(store, Space::Rows(table.id))?)),
        };
        let mut entry = TableEntry { table: table.clone(), data, indexes: Vec::new() };
        for index in table.indexes.iter().skip(1) {
            let data = match known.and_then(|k| k.index(index.id)) {
                Some(data) => data.clone(),
                None => {
                    let complete = is_empty(store, Space::Entries(index.id))?;
                    let data = Arc::new(IndexData::new(index.id, self.seq, complete));
                    self.build(&entry, &data)?;
                    data
                }
            };
            entry.indexes.push(data);
        }
        Ok(entry)
    }

    /// Fills a new index from the rows that are there.
    fn build(&self, entry: &TableEntry, index: &IndexData) -> Result<(), Error> {
        let view = View::newest(&*self.shared.store);
        let mut rest = KeyRange::all();
        loop {
            let rows = view.scan(entry, &rest, false, BATCH, false)?;
            let mut entries = index.entries.write();
            for (key, found) in &rows {
                let Some(row) = &found.row else { continue };
                if let Some(new) = index_entry(&entry.table, index.id, row, key) {
                    entries.built.push((new.clone(), key.clone()));
                    entries.set(new.clone(), key, self.seq, true, &self.needed);
                    // In a replay the store may have the entry from before the restart.
                    if !entries.complete
                        && let Some(chain) = entries.map.get_mut(&new)
                    {
                        chain.held = Held::Perhaps;
                    }
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == BATCH => rest = rest.after(last, false),
                _ => return Ok(()),
            }
        }
    }

    /// Lets the store's keys of what is gone be swept once no snapshot sees them.
    fn discard_dropped(&self, old: &Catalogue, new: &Catalogue) {
        let mut folder = self.shared.garbage.lock();
        for (id, entry) in &old.tables {
            let kept = new.tables.get(id);
            if kept.is_none() {
                folder.push((self.seq, Space::Rows(*id)));
                let bytes = std::mem::take(&mut entry.data.rows.write().bytes);
                self.shared.bytes.fetch_sub(bytes, std::sync::atomic::Ordering::Relaxed);
            }
            for index in &entry.indexes {
                if kept.is_none_or(|k| k.index(index.id).is_none()) {
                    folder.push((self.seq, Space::Entries(index.id)));
                }
            }
        }
    }
}
