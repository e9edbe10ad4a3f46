//! Reading tables and indexes at one moment: memory first, then the store.
//!
//! [`View`] is what snapshots, the digest, the check and the building of an index have in common. It pins nothing by
//! itself: a snapshot's epoch does, and the writer needs no pin.

use std::ops::Bound;
use std::sync::Arc;

use gemini_shadow_ops::{IndexId, Key, Row, RowState, Table, Value};

use crate::range::end_of_prefix;
use crate::store::{SPACE_PREFIX, Space, Span, Store, row};
use crate::versions::merge::{Batch, Layers, Stretch, walk};
use crate::versions::{IndexData, TableEntry, Version};
use crate::{Error, KeyRange, Lsn, Seq};

/// A row as found: whatever is under its key, and what a reader sees of it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) lsn: Lsn,
    pub(crate) state: Arc<RowState>,
    pub(crate) row: Option<Row>,
}

/// The database at one moment.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) seq: Seq,
}

impl<'a> View<'a> {
    /// The newest state, durable or not: the writer's.
    pub(crate) fn newest(store: &'a dyn Store) -> View<'a> {
        View { store, seq: Seq(u64::MAX) }
    }

    /// The merged row, full width.
    pub(crate) fn get(&self, entry: &TableEntry, key: &Key) -> Result<Option<Row>, Error> {
        {
            let rows = entry.data.rows.read();
            if let Some(chain) = rows.map.get(key) {
                chain.touch();
                if let Some(version) = chain.at(self.seq) {
                    return Ok(version.row.as_ref().map(|row| widen(row, &entry.table)));
                }
            }
            if rows.complete {
                return Ok(None);
            }
        }
        Ok(load(self.store, entry, key)?.and_then(|found| found.row))
    }

    /// Everything under the key.
    pub(crate) fn find(&self, entry: &TableEntry, key: &Key) -> Result<Option<Found>, Error> {
        {
            let rows = entry.data.rows.read();
            if let Some(chain) = rows.map.get(key) {
                chain.touch();
                if let Some(version) = chain.at(self.seq) {
                    return Ok(Some(found(version, &entry.table)));
                }
            }
            if rows.complete {
                return Ok(None);
            }
        }
        load(self.store, entry, key)
    }

    /// Up to `limit` rows in key order. With `all`, keys without a live incarnation too.
    pub(crate) fn scan(
        &self,
        entry: &TableEntry,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
        all: bool,
    ) -> Result<Vec<(Key, Found)>, Error> {
        walk(&RowLayers { view: *self, entry, all }, range, reverse, limit)
    }

    /// Up to `limit` entries of a secondary index.
    pub(crate) fn entries(
        &self,
        index: &IndexData,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Key, Key)>, Error> {
        walk(&IndexLayers { view: *self, index }, range, reverse, limit)
    }
}

fn found(version: &Version, table: &Table) -> Found {
    Found {
        lsn: version.lsn,
        state: version.state.clone(),
        row: version.row.as_ref().map(|row| widen(row, table)),
    }
}

/// What the store holds under a row's key.
pub(crate) fn load(store: &dyn Store, entry: &TableEntry, key: &Key) -> Result<Option<Found>, Error> {
    match store.get(&Space::Rows(entry.data.id).key(key))? {
        Some(bytes) => decode(&bytes, &entry.table).map(Some),
        None => Ok(None),
    }
}

/// A stored row and its merged view under `table`.
pub(crate) fn decode(bytes: &[u8], table: &Table) -> Result<Found, Error> {
    let (lsn, state) = row::decode(bytes)?;
    let row = state.view(table);
    Ok(Found { lsn, state: Arc::new(state), row })
}

/// The row as `table` declares it, with a value in every slot: one stored before ADD COLUMN is shorter.
pub(crate) fn widen(row: &Row, table: &Table) -> Row {
    let slots = usize::from(table.slots);
    if row.len() >= slots {
        return table.with_sets(row.clone());
    }
    let missing = |slot: usize| {
        let column = table.columns.iter().find(|c| usize::from(c.id.0) == slot);
        column.map_or(Value::Null, |c| c.missing.clone())
    };
    table.with_sets(row.iter().cloned().chain((row.len()..slots).map(missing)).collect())
}

/// The store's span of a range of keys in a space.
pub(crate) fn span(space: Space, range: &KeyRange) -> Span {
    let prefix = space.prefix();
    let with = |key: &Key, next: bool| {
        let mut bytes = space.key(key);
        if next {
            bytes.push(0);
        }
        bytes
    };
    Span {
        from: match &range.from {
            Bound::Unbounded => prefix.to_vec(),
            Bound::Included(key) => with(key, false),
            Bound::Excluded(key) => with(key, true),
        },
        to: match &range.to {
            Bound::Unbounded => end_of_prefix(&prefix),
            Bound::Included(key) => Some(with(key, true)),
            Bound::Excluded(key) => Some(with(key, false)),
        },
    }
}

/// A range's bounds as standard maps take them.
pub(crate) fn bounds(range: &KeyRange) -> (Bound<&Key>, Bound<&Key>) {
    (range.from.as_ref(), range.to.as_ref())
}

struct RowLayers<'a> {
    view: View<'a>,
    entry: &'a TableEntry,
    all: bool,
}

impl Layers for RowLayers<'_> {
    type Item = Found;

    fn memory(&self, range: &KeyRange, reverse: bool, limit: usize) -> Batch<Found> {
        let rows = self.entry.data.rows.read();
        let mut known = Vec::new();
        let mut visited = 0;
        let mut last = None;
        let mut chains = rows.map.range::<Key, _>(bounds(range));
        while visited < limit {
            let Some((key, chain)) = (if reverse { chains.next_back() } else { chains.next() }) else {
                break;
            };
            if let Some(version) = chain.at(self.view.seq) {
                let shown = self.all || version.row.is_some();
                known.push((key.clone(), shown.then(|| found(version, &self.entry.table))));
            }
            visited += 1;
            last = Some(key);
        }
        let end = if visited == limit { last.cloned() } else { None };
        Batch { known, end, complete: rows.complete }
    }

    fn store(&self, range: &KeyRange, reverse: bool, limit: usize) -> Result<Stretch<Found>, Error> {
        let pairs = self.view.store.range(&span(Space::Rows(self.entry.data.id), range), reverse, limit)?;
        pairs
            .into_iter()
            .map(|(key, value)| {
                let found = decode(&value, &self.entry.table)?;
                let shown = self.all || found.row.is_some();
                Ok((Key(key[SPACE_PREFIX..].into()), shown.then_some(found)))
            })
            .collect()
    }
}

struct IndexLayers<'a> {
    view: View<'a>,
    index: &'a IndexData,
}

impl Layers for IndexLayers<'_> {
    type Item = Key;

    fn memory(&self, range: &KeyRange, reverse: bool, limit: usize) -> Batch<Key> {
        let entries = self.index.entries.read();
        let mut known = Vec::new();
        let mut visited = 0;
        let mut last = None;
        let mut chains = entries.map.range::<Key, _>(bounds(range));
        while visited < limit {
            let Some((key, chain)) = (if reverse { chains.next_back() } else { chains.next() }) else {
                break;
            };
            if let Some(present) = chain.at(self.view.seq) {
                known.push((key.clone(), present.then(|| chain.primary.clone())));
            }
            visited += 1;
            last = Some(key);
        }
        let end = if visited == limit { last.cloned() } else { None };
        Batch { known, end, complete: entries.complete }
    }

    fn store(&self, range: &KeyRange, reverse: bool, limit: usize) -> Result<Stretch<Key>, Error> {
        let pairs = self.view.store.range(&span(Space::Entries(self.index.id), range), reverse, limit)?;
        let entry = |(key, value): (Vec<u8>, Vec<u8>)| {
            (Key(key[SPACE_PREFIX..].into()), Some(Key(value.as_slice().into())))
        };
        Ok(pairs.into_iter().map(entry).collect())
    }
}

/// An index entry: the index columns' encoding followed by the primary key.
pub(crate) fn index_entry(table: &Table, index: IndexId, row: &Row, primary: &Key) -> Option<Key> {
    let index = table.indexes.iter().find(|i| i.id == index)?;
    let prefix = gemini_shadow_ops::value::key::index_key(table, index, row);
    let mut bytes = Vec::with_capacity(prefix.0.len() + primary.0.len());
    bytes.extend_from_slice(&prefix.0);
    bytes.extend_from_slice(&primary.0);
    Some(Key(bytes.into()))
}
