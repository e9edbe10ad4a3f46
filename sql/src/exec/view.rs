//! What a statement reads: a snapshot with the transaction's own writes laid over it.
//!
//! Invariant: a row that the transaction has touched is read from the overlay alone, by primary key and by index.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use gemini_engine::{KeyRange, Snapshot};
use gemini_shadow_ops::{IndexId, Item, Key, Row, Table};

use crate::error::Result;
use crate::txn::{Overlay, engine_error, index_entry};

/// What was read of a range, and what is left of it.
pub type Part<T> = (Vec<(Key, T)>, Option<KeyRange>);

/// A snapshot under an overlay.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Committed.
    pub snapshot: &'a Snapshot,
    /// Own.
    pub overlay: &'a Overlay,
}

/// What a cursor holds on to.
pub struct View {
    /// Committed.
    pub snapshot: Snapshot,
    /// Own.
    pub overlay: Arc<Overlay>,
    /// What is read, if it is to be recorded.
    pub reads: Option<RefCell<Vec<Item>>>,
}

impl View {
    /// Borrowed.
    pub fn reading(&self) -> Reading<'_> {
        Reading { snapshot: &self.snapshot, overlay: &self.overlay }
    }

    /// Notes a read, if reads are recorded.
    pub fn note(&self, item: impl FnOnce() -> Item) {
        if let Some(reads) = &self.reads {
            reads.borrow_mut().push(item());
        }
    }

    /// Notes the read of a row.
    pub fn note_row(&self, table: &Table, key: &Key) {
        if let Some(reads) = &self.reads {
            reads.borrow_mut().extend(Item::whole_row(table, key));
        }
    }
}

impl Reading<'_> {
    /// Whether the snapshot knows the table (it does not know one created in this transaction).
    fn has(&self, table: &Table) -> bool {
        self.snapshot.schema().tables.contains_key(&table.id)
    }

    /// The row under a key.
    pub fn get(&self, table: &Table, key: &Key) -> Result<Option<Row>> {
        if let Some(touched) = self.overlay.touched(table.id, key) {
            return Ok(touched.current.clone());
        }
        if !self.has(table) {
            return Ok(None);
        }
        self.snapshot.get(table.id, key).map_err(engine_error)
    }

    /// About `limit` rows of a range, and what is left of it.
    pub fn rows(&self, table: &Table, range: &KeyRange, reverse: bool, limit: usize) -> Result<Part<Row>> {
        if range.is_empty() {
            return Ok((Vec::new(), None));
        }
        let base = match self.has(table) {
            true => self.snapshot.scan(table.id, range, reverse, limit).map_err(engine_error)?,
            false => Vec::new(),
        };
        let rest = match base.last() {
            Some((last, _)) if base.len() >= limit => Some(range.after(last, reverse)),
            _ => None,
        };
        let Some(own) = self.overlay.table(table.id).filter(|t| !t.rows.is_empty()) else {
            return Ok((base, rest));
        };
        let window = window(range, base.last().map(|(k, _)| k), rest.is_some(), reverse);
        let mut merged: BTreeMap<Key, Row> =
            base.into_iter().filter(|(k, _)| !own.rows.contains_key(k)).collect();
        for (key, touched) in between(&own.rows, &window) {
            if let Some(row) = &touched.current {
                merged.insert(key.clone(), row.clone());
            }
        }
        let rows = match reverse {
            false => merged.into_iter().collect(),
            true => merged.into_iter().rev().collect(),
        };
        Ok((rows, rest))
    }

    /// About `limit` entries of an index, (entry, primary key), and what is left of the range.
    pub fn entries(
        &self,
        table: &Table,
        index: IndexId,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Part<Key>> {
        if range.is_empty() {
            return Ok((Vec::new(), None));
        }
        let known = self.snapshot.schema().tables.get(&table.id);
        let base = match known {
            None => Vec::new(),
            Some(old) if old.index(index).is_some() => {
                self.snapshot.index_scan(table.id, index, range, reverse, limit).map_err(engine_error)?
            }
            // The index was made in this transaction: its entries are what the rows say.
            Some(_) => return self.entries_of_rows(table, index, range, reverse),
        };
        let rest = match base.last() {
            Some((last, _)) if base.len() >= limit => Some(range.after(last, reverse)),
            _ => None,
        };
        let Some(own) = self.overlay.table(table.id).filter(|t| !t.rows.is_empty()) else {
            return Ok((base, rest));
        };
        let window = window(range, base.last().map(|(k, _)| k), rest.is_some(), reverse);
        let mut merged: BTreeMap<Key, Key> =
            base.into_iter().filter(|(_, primary)| !own.rows.contains_key(primary)).collect();
        if let Some(entries) = own.entries.get(&index) {
            merged.extend(between(entries, &window).map(|(k, v)| (k.clone(), v.clone())));
        }
        let entries = match reverse {
            false => merged.into_iter().collect(),
            true => merged.into_iter().rev().collect(),
        };
        Ok((entries, rest))
    }

    fn entries_of_rows(
        &self,
        table: &Table,
        index: IndexId,
        range: &KeyRange,
        reverse: bool,
    ) -> Result<Part<Key>> {
        let Some(index) = table.index(index) else { return Ok((Vec::new(), None)) };
        let mut found = BTreeMap::new();
        let mut rest = Some(KeyRange::all());
        while let Some(part) = rest {
            let (rows, next) = self.rows(table, &part, false, 1024)?;
            for (key, row) in rows {
                let entry = index_entry(table, index, &row, &key);
                if range.contains(&entry) {
                    found.insert(entry, key);
                }
            }
            rest = next;
        }
        let entries = match reverse {
            false => found.into_iter().collect(),
            true => found.into_iter().rev().collect(),
        };
        Ok((entries, None))
    }
}

/// The part of a range that has been read: all of it, or up to the last key.
fn window(range: &KeyRange, last: Option<&Key>, more: bool, reverse: bool) -> KeyRange {
    let mut window = range.clone();
    if let (Some(last), true) = (last, more) {
        if reverse {
            window.from = Bound::Included(last.clone());
        } else {
            window.to = Bound::Included(last.clone());
        }
    }
    window
}

fn between<'m, V>(map: &'m BTreeMap<Key, V>, range: &KeyRange) -> impl Iterator<Item = (&'m Key, &'m V)> {
    // An inverted range would panic; it is empty.
    let bounds = (!range.is_empty()).then(|| (range.from.clone(), range.to.clone()));
    bounds.into_iter().flat_map(|bounds| map.range(bounds))
}
