//! A store in memory, for simulation and tests: like a disk, it forgets what was not flushed when asked to crash.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{Change, Changes, Pair, Span, Store};
use crate::Error;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Default)]
struct Inner {
    now: Map,
    /// What the last flush left, and the batches since: a crash keeps any number of the first of them.
    flushed: Map,
    since: Vec<Changes>,
    /// Batches are kept for [`MemStore::crash`] only when asked for, so that plain use costs no memory.
    crashes: bool,
    full: bool,
}

/// A store in memory. Clones share their contents, so a "restarted" site finds what the last one left.
#[derive(Clone, Debug, Default)]
pub struct MemStore {
    inner: Arc<RwLock<Inner>>,
}

impl MemStore {
    /// An empty store. It cannot crash.
    pub fn new() -> MemStore {
        MemStore::default()
    }

    /// An empty store that remembers what was not flushed, for [`MemStore::crash`].
    pub fn crashing() -> MemStore {
        let store = MemStore::default();
        store.inner.write().crashes = true;
        store
    }

    /// How many batches have been applied since the last flush.
    pub fn unflushed(&self) -> usize {
        self.inner.read().since.len()
    }

    /// Loses all but the first `kept` batches since the last flush: what a crash may do.
    pub fn crash(&self, kept: usize) {
        let mut inner = self.inner.write();
        let mut map = inner.flushed.clone();
        for changes in inner.since.iter().take(kept) {
            apply(&mut map, changes);
        }
        inner.now = map.clone();
        inner.flushed = map;
        inner.since.clear();
    }

    /// An independent copy, of what is not flushed too.
    pub fn fork(&self) -> MemStore {
        let inner = self.inner.read();
        let copy = Inner {
            now: inner.now.clone(),
            flushed: inner.flushed.clone(),
            since: inner.since.clone(),
            crashes: inner.crashes,
            full: false,
        };
        MemStore { inner: Arc::new(RwLock::new(copy)) }
    }

    /// Takes away the room for more, or gives it back.
    pub fn set_full(&self, full: bool) {
        self.inner.write().full = full;
    }

    /// Forgets everything, as if the folder had been removed.
    pub fn wipe(&self) {
        let mut inner = self.inner.write();
        let crashes = inner.crashes;
        *inner = Inner { crashes, ..Inner::default() };
    }
}

fn apply(map: &mut Map, changes: &Changes) {
    for change in &changes.list {
        match change {
            Change::Put { key, value } => {
                map.insert(key.clone(), value.clone());
            }
            Change::Remove { key } => {
                map.remove(key);
            }
        }
    }
}

impl Store for MemStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner.read().now.get(key).cloned())
    }

    fn range(&self, span: &Span, reverse: bool, limit: usize) -> Result<Vec<Pair>, Error> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        let inner = self.inner.read();
        let to = span.to.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let pairs = inner.now.range::<Vec<u8>, _>((Bound::Included(&span.from), to));
        let copy = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        Ok(if reverse {
            pairs.rev().take(limit).map(copy).collect()
        } else {
            pairs.take(limit).map(copy).collect()
        })
    }

    fn apply(&self, changes: Changes) -> Result<(), Error> {
        let mut inner = self.inner.write();
        apply(&mut inner.now, &changes);
        if inner.crashes {
            inner.since.push(changes);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Error> {
        let mut inner = self.inner.write();
        if inner.crashes {
            let since = std::mem::take(&mut inner.since);
            for changes in &since {
                apply(&mut inner.flushed, changes);
            }
        }
        Ok(())
    }

    fn room(&self) -> Result<(), Error> {
        if self.inner.read().full { Err(Error::Full) } else { Ok(()) }
    }

    fn size(&self) -> Result<u64, Error> {
        Ok(self.inner.read().now.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum())
    }
}
