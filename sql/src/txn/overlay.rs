//! A transaction's own writes, by table and key, with the index entries of the rows they left behind.
//!
//! Scans merge it with the snapshot: a touched row is never read from the snapshot, and index entries of touched
//! rows come from here alone.

use std::collections::BTreeMap;

use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{ColumnId, Index, IndexId, Key, Row, Table, TableId, TxnId, Value, Write};

/// The row a snapshot held when this transaction first touched it.
#[derive(Clone, Debug)]
pub struct Base {
    /// Merged view.
    pub row: Row,
    /// The live incarnations, sorted.
    pub of: Vec<TxnId>,
}

/// The net write of one cell.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What is shipped.
    pub write: Write,
    /// delta: written by `x = e`.
    pub assigned: bool,
    /// lww: computed from the old value.
    pub computed: bool,
}

/// A row this transaction has touched.
#[derive(Clone, Debug)]
pub struct Touched {
    /// None: there was none.
    pub base: Option<Base>,
    /// The statement that first touched it.
    pub statement: u16,
    /// The statement that last inserted it.
    pub written: u16,
    /// The row now; None: deleted (or never there).
    pub current: Option<Row>,
    /// The base was deleted and a new row inserted under its key.
    pub reborn: bool,
    /// Net writes of the base's cells.
    pub cells: BTreeMap<ColumnId, Cell>,
    /// Part of an UPDATE of PRIMARY KEY columns.
    pub key_update: bool,
}

impl Touched {
    /// Untouched so far.
    pub fn new(base: Option<Base>, statement: u16) -> Touched {
        let current = base.as_ref().map(|b| b.row.clone());
        Touched {
            base,
            statement,
            written: statement,
            current,
            reborn: false,
            cells: BTreeMap::new(),
            key_update: false,
        }
    }

    /// Folds a write into the cell's net effect.
    pub fn write(&mut self, column: ColumnId, cell: Cell) {
        let Some(old) = self.cells.get_mut(&column) else {
            self.cells.insert(column, cell);
            return;
        };
        old.assigned |= cell.assigned;
        old.computed |= cell.computed;
        old.write = match (&old.write, cell.write) {
            (Write::Add(a), Write::Add(b)) => Write::Add(crate::exec::delta::sum(a, &b)),
            (Write::Bounded(a), Write::Bounded(b)) => Write::Bounded(crate::exec::delta::sum(a, &b)),
            (Write::Max(a), Write::Max(b)) => Write::Max(if b.compare(a).is_gt() { b } else { a.clone() }),
            (Write::Min(a), Write::Min(b)) => Write::Min(if b.compare(a).is_lt() { b } else { a.clone() }),
            (old @ Write::Elements { .. }, new) => crate::exec::elements::fold(old, &new),
            (_, new) => new,
        };
    }

    /// Whether it leaves any effect.
    pub fn has_effect(&self) -> bool {
        match (&self.base, &self.current) {
            (None, None) => false,
            (None, Some(_)) | (Some(_), None) => true,
            (Some(_), Some(_)) => self.reborn || !self.cells.is_empty(),
        }
    }
}

/// One table's touched rows.
#[derive(Clone, Debug, Default)]
pub struct TableOverlay {
    /// By primary key.
    pub rows: BTreeMap<Key, Touched>,
    /// Per secondary index: entry to primary key, of the rows that are there now.
    pub entries: BTreeMap<IndexId, BTreeMap<Key, Key>>,
}

/// All touched rows.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    tables: BTreeMap<TableId, TableOverlay>,
}

impl Overlay {
    /// One table's.
    pub fn table(&self, table: TableId) -> Option<&TableOverlay> {
        self.tables.get(&table)
    }

    /// Every table's, by id.
    pub fn tables(&self) -> impl Iterator<Item = (TableId, &TableOverlay)> {
        self.tables.iter().map(|(id, t)| (*id, t))
    }

    /// A row, if this transaction has touched it.
    pub fn touched(&self, table: TableId, key: &Key) -> Option<&Touched> {
        self.tables.get(&table)?.rows.get(key)
    }

    /// Whether anything is left to commit.
    pub fn has_effects(&self) -> bool {
        self.tables.values().any(|t| t.rows.values().any(Touched::has_effect))
    }

    /// Replaces a row and its index entries; the previous state, for the journal.
    pub fn put(&mut self, table: &Table, key: &Key, touched: Touched) -> Option<Touched> {
        self.set(table, key, Some(touched))
    }

    /// Puts back what [`Overlay::put`] returned.
    pub fn restore(&mut self, table: &Table, key: &Key, previous: Option<Touched>) {
        self.set(table, key, previous);
    }

    /// Indexes the rows touched so far by an index that this transaction has just made. (One of the same number may have been
    /// rolled back before: its entries go.)
    pub fn reindex(&mut self, table: &Table, index: &Index) {
        let Some(own) = self.tables.get_mut(&table.id) else { return };
        let rows = own.rows.iter().filter_map(|(key, touched)| Some((key, touched.current.as_ref()?)));
        let entries = rows.map(|(key, row)| (index_entry(table, index, row, key), key.clone())).collect();
        own.entries.insert(index.id, entries);
    }

    fn set(&mut self, table: &Table, key: &Key, touched: Option<Touched>) -> Option<Touched> {
        let own = self.tables.entry(table.id).or_default();
        if let Some(old) = own.rows.get(key).and_then(|t| t.current.as_ref()) {
            for index in table.indexes.iter().skip(1) {
                let entry = index_entry(table, index, old, key);
                if let Some(entries) = own.entries.get_mut(&index.id) {
                    entries.remove(&entry);
                }
            }
        }
        match touched {
            None => own.rows.remove(key),
            Some(touched) => {
                if let Some(new) = &touched.current {
                    for index in table.indexes.iter().skip(1) {
                        let entry = index_entry(table, index, new, key);
                        own.entries.entry(index.id).or_default().insert(entry, key.clone());
                    }
                }
                own.rows.insert(key.clone(), touched)
            }
        }
    }
}

/// A row's whole entry in an index: the index columns' encoding, then the primary key.
pub fn index_entry(table: &Table, index: &Index, row: &[Value], primary: &Key) -> Key {
    let prefix = key::index_key(table, index, row);
    let mut entry = Vec::with_capacity(prefix.0.len() + primary.0.len());
    entry.extend_from_slice(&prefix.0);
    entry.extend_from_slice(&primary.0);
    Key(entry.into())
}
