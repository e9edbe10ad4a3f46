//! Digests: do two sites hold the same?
//!
//! ```text
//!   row      hash(primary key, its incarnations: id, birth, cells, stamps, death, touches, fingerprint, rights, additions)
//!   table    sum of its rows' hashes (wrapping), with their number: order and layout do not matter
//!   total    hash of the schema and all tables' digests
//! ```
//!
//! Ended incarnations count: they decide what later effects do. What is local does not: LSNs, what is folded, how wide a
//! row was when it was stored (missing cells are filled in as readers see them, dropped columns left out).

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::{Incarnation, Key, RowState, Schema, Table, TableId, Value};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::versions::{BATCH, Epoch, TableEntry};
use crate::view::{View, widen};
use crate::{Error, KeyRange};

/// What a snapshot's tables hold, in a form that two sites compare: it does not depend on the order in which effects were
/// applied, on what is in memory and what in the store, nor on anything local.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Digest {
    /// Of the whole database, its schema included.
    pub total: u64,
    /// Of each table.
    pub tables: BTreeMap<TableId, u64>,
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.total)
    }
}

/// The digest at an epoch.
pub(crate) fn of(view: &View<'_>, epoch: &Epoch) -> Result<Digest, Error> {
    let mut digest = Digest::default();
    for (id, entry) in &epoch.catalogue.tables {
        digest.tables.insert(*id, table(view, entry)?);
    }
    total(&epoch.schema, &mut digest)?;
    Ok(digest)
}

/// Sets the total, once all tables are there.
pub(crate) fn total(schema: &Schema, digest: &mut Digest) -> Result<(), Error> {
    digest.total = hash(&(schema, &digest.tables))?;
    Ok(())
}

/// A table's digest in the making.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableSum {
    sum: u64,
    count: u64,
}

impl TableSum {
    /// Adds what is under a key; false if that is nothing.
    pub(crate) fn add(&mut self, table: &Table, key: &Key, state: &RowState) -> Result<bool, Error> {
        let row = row(table, key, state)?;
        self.sum = self.sum.wrapping_add(row.unwrap_or(0));
        self.count += u64::from(row.is_some());
        Ok(row.is_some())
    }

    pub(crate) fn digest(&self) -> Result<u64, Error> {
        hash(&(self.sum, self.count))
    }
}

fn table(view: &View<'_>, entry: &TableEntry) -> Result<u64, Error> {
    let mut sum = TableSum::default();
    let mut rest = KeyRange::all();
    loop {
        let rows = view.scan(entry, &rest, false, BATCH, true)?;
        for (key, found) in &rows {
            sum.add(&entry.table, key, &found.state)?;
        }
        match rows.last() {
            Some((last, _)) if rows.len() == BATCH => rest = rest.after(last, false),
            _ => return sum.digest(),
        }
    }
}

/// One row in a few bytes, to compare it with another site's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSum {
    /// Its primary key.
    pub key: Key,
    /// Which effects made it: equal fingerprints are equal sets of effects.
    pub fingerprint: u64,
    /// A hash of everything under the key, the fingerprint included.
    pub contents: u64,
}

/// Up to `limit` rows of a range, in order of their keys.
pub(crate) fn rows(
    view: &View<'_>,
    entry: &TableEntry,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<RowSum>, Error> {
    let mut sums = Vec::new();
    let mut rest = range.clone();
    while sums.len() < limit && !rest.is_empty() {
        let wanted = limit - sums.len();
        let found = view.scan(entry, &rest, false, wanted, true)?;
        for (key, found) in &found {
            if let Some(contents) = row(&entry.table, key, &found.state)? {
                let made: Vec<_> = found.state.incarnations.iter().map(|i| (i.id, i.fingerprint)).collect();
                sums.push(RowSum { key: key.clone(), fingerprint: hash(&made)?, contents });
            }
        }
        match found.last() {
            Some((last, _)) if found.len() == wanted => rest = rest.after(last, false),
            _ => break,
        }
    }
    Ok(sums)
}

/// The hash of everything under a key; None if that is nothing.
pub(crate) fn row(table: &Table, key: &Key, state: &RowState) -> Result<Option<u64>, Error> {
    if state.incarnations.is_empty() {
        return Ok(None);
    }
    let mut hashes = Vec::with_capacity(state.incarnations.len());
    for incarnation in &state.incarnations {
        hashes.push(hash(&canonical(table, incarnation))?);
    }
    Ok(Some(hash(&(key, hashes))?))
}

/// The incarnation as every site holds it: one value for each declared column, stamps only where they are not the birth's.
fn canonical(table: &Table, incarnation: &Incarnation) -> Incarnation {
    let values: Arc<[Value]> = incarnation.values.to_vec().into();
    let wide = widen(&values, table);
    let cells: Vec<Value> =
        table.columns.iter().map(|c| wide.get(usize::from(c.id.0)).cloned().unwrap_or(Value::Null)).collect();
    let mut canonical = Incarnation { values: cells.into(), ..incarnation.clone() };
    let declared = |column| table.columns.iter().any(|c| c.id == column);
    canonical.stamps.retain(|s| s.stamp != incarnation.born && declared(s.column));
    canonical.rights.shares.retain(|s| declared(s.column));
    canonical.rights.reserved.retain(|r| declared(r.column));
    canonical.additions.retain(|a| declared(a.column));
    canonical
}

fn hash<T: Serialize>(value: &T) -> Result<u64, Error> {
    let bytes = postcard::to_stdvec(value)
        .map_err(|e| Error::Internal { message: format!("a row cannot be encoded for its digest: {e}") })?;
    Ok(xxh3_64(&bytes))
}
