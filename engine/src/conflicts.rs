//! The conflict log: values that were written, and overwritten by a concurrent write that had not seen them.
//!
//! It is local (sites see conflicts in different orders, so it is outside "equal tables" and the digest) and bounded. It
//! survives a restart: entries go to the store with, or before, the rows they belong to, under the log position of the
//! admission that displaced them; replaying that admission writes the same entries again.

use std::collections::BTreeMap;

use gemini_shadow_ops::{Displaced, TxnId};
use serde::{Deserialize, Serialize};

use crate::store::{Changes, Span, Store, conflict_key};
use crate::{Error, Lsn, Seq};

/// One displaced value.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Where in this site's log it was displaced.
    pub lsn: Lsn,
    /// By which transaction's application.
    pub by: TxnId,
    /// What was lost, and to what.
    pub displaced: Displaced,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    by: TxnId,
    displaced: Displaced,
}

/// The admission's position, and a number within it: which of its effects, and which value that displaced. It must not
/// depend on what replay skips.
type Place = (Lsn, u64);

/// The newest conflicts.
#[derive(Debug)]
pub(crate) struct Conflicts {
    limit: usize,
    /// With the moment from which they are visible.
    entries: BTreeMap<Place, (Seq, TxnId, Displaced)>,
    /// Not yet in the store.
    fresh: Vec<Place>,
    /// In the store, and over the limit.
    surplus: Vec<Place>,
}

impl Conflicts {
    /// What the store holds; at most `limit` are kept.
    pub(crate) fn load(store: &dyn Store, limit: usize) -> Result<Conflicts, Error> {
        let mut conflicts =
            Conflicts { limit, entries: BTreeMap::new(), fresh: Vec::new(), surplus: Vec::new() };
        let mut span = Span::prefix(vec![b'c']);
        loop {
            let pairs = store.range(&span, false, 1024)?;
            let Some((last, _)) = pairs.last() else { break };
            let mut next = last.clone();
            next.push(0);
            span.from = next;
            for (key, value) in &pairs {
                // A damaged entry of this log costs that entry, nothing else.
                let (Some(place), Ok(stored)) = (place(key), postcard::from_bytes::<Stored>(value)) else {
                    continue;
                };
                conflicts.entries.insert(place, (Seq(0), stored.by, stored.displaced));
            }
            conflicts.trim();
        }
        Ok(conflicts)
    }

    /// Notes what effect number `op` of an admission displaced.
    pub(crate) fn note(&mut self, lsn: Lsn, op: usize, seq: Seq, by: TxnId, displaced: Vec<Displaced>) {
        for (number, displaced) in displaced.into_iter().enumerate() {
            let place = (lsn, (op as u64) << 16 | number as u64);
            if self.entries.insert(place, (seq, by, displaced)).is_none() {
                self.fresh.push(place);
            }
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.entries.len() > self.limit {
            if let Some((place, _)) = self.entries.pop_first() {
                self.surplus.push(place);
            }
        }
    }

    /// Those visible at `seq`, oldest first.
    pub(crate) fn visible(&self, seq: Seq) -> Vec<Conflict> {
        self.entries
            .iter()
            .filter(|(_, (from, _, _))| *from <= seq)
            .map(|((lsn, _), (_, by, displaced))| Conflict {
                lsn: *lsn,
                by: *by,
                displaced: displaced.clone(),
            })
            .collect()
    }

    /// Adds to a batch what the store lacks of the entries visible at `seq`, and what it holds in excess.
    pub(crate) fn fold(&mut self, seq: Seq, changes: &mut Changes) -> Result<(), Error> {
        let entries = &self.entries;
        let mut failed = None;
        self.fresh.retain(|place| match entries.get(place) {
            Some((from, by, displaced)) if *from <= seq => {
                let stored = Stored { by: *by, displaced: displaced.clone() };
                match postcard::to_stdvec(&stored) {
                    Ok(value) => changes.put(conflict_key(place.0, place.1), value),
                    Err(e) => failed = Some(e),
                }
                false
            }
            Some(_) => true,
            None => false,
        });
        for (lsn, number) in self.surplus.drain(..) {
            changes.remove(conflict_key(lsn, number));
        }
        match failed {
            Some(e) => Err(Error::Internal { message: format!("a conflict cannot be encoded: {e}") }),
            None => Ok(()),
        }
    }
}

fn place(key: &[u8]) -> Option<Place> {
    let (lsn, number) = key.strip_prefix(b"c")?.split_first_chunk::<8>()?;
    let number: [u8; 8] = number.try_into().ok()?;
    Some((Lsn(u64::from_be_bytes(*lsn)), u64::from_be_bytes(number)))
}
