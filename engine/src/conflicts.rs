//! The conflict log: values that were written, and overwritten by a concurrent write that had not seen them.
//!
//! It is local (sites see conflicts in different orders, so it is outside "equal tables" and the digest) and bounded in bytes
//! and in age ([`Retention`]). It survives a restart: entries go to the store with, or before, the rows they belong to, under the log position of the
//! admission that displaced them; replaying that admission writes the same entries again.

use std::collections::BTreeMap;

use gemini_shadow_ops::{Displaced, TxnId};
use serde::{Deserialize, Serialize};

use crate::options::Retention;
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

/// What an entry takes beside its values and key, roughly.
const OVERHEAD: u64 = 200;

#[derive(Debug)]
struct Held {
    /// Visible from here on.
    from: Seq,
    by: TxnId,
    displaced: Displaced,
}

impl Held {
    fn bytes(&self) -> u64 {
        let Displaced { key, lost, kept, .. } = &self.displaced;
        OVERHEAD + (key.0.len() + lost.heap_size() + kept.heap_size()) as u64
    }

    /// When it was displaced, µs since 1970: by the later of the two writes.
    fn at(&self) -> u64 {
        let kept = self.displaced.kept_stamp.map_or(0, |stamp| stamp.hlc.micros);
        self.displaced.lost_stamp.hlc.micros.max(kept)
    }
}

/// The newest conflicts.
#[derive(Debug)]
pub(crate) struct Conflicts {
    keep: Retention,
    entries: BTreeMap<Place, Held>,
    /// Of all entries.
    bytes: u64,
    /// Not yet in the store.
    fresh: Vec<Place>,
    /// In the store, and to go from there.
    surplus: Vec<Place>,
}

impl Conflicts {
    /// What the store holds, up to the bound in bytes.
    pub(crate) fn load(store: &dyn Store, keep: Retention) -> Result<Conflicts, Error> {
        let mut conflicts =
            Conflicts { keep, entries: BTreeMap::new(), bytes: 0, fresh: Vec::new(), surplus: Vec::new() };
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
                conflicts.put(place, Held { from: Seq(0), by: stored.by, displaced: stored.displaced });
            }
            conflicts.trim();
        }
        Ok(conflicts)
    }

    /// Notes what effect number `op` of an admission displaced.
    pub(crate) fn note(&mut self, lsn: Lsn, op: usize, seq: Seq, by: TxnId, displaced: Vec<Displaced>) {
        for (number, displaced) in displaced.into_iter().enumerate() {
            let place = (lsn, (op as u64) << 16 | number as u64);
            if self.put(place, Held { from: seq, by, displaced }) {
                self.fresh.push(place);
            }
        }
        self.trim();
    }

    /// True if it is new.
    fn put(&mut self, place: Place, held: Held) -> bool {
        self.bytes += held.bytes();
        match self.entries.insert(place, held) {
            Some(before) => {
                self.bytes -= before.bytes();
                false
            }
            None => true,
        }
    }

    fn trim(&mut self) {
        while self.bytes > self.keep.bytes && self.drop_oldest() {}
    }

    /// Forgets what is too old at `now` (µs since 1970).
    pub(crate) fn expire(&mut self, now: u64) {
        let before = now.saturating_sub(self.keep.age);
        while self.entries.first_key_value().is_some_and(|(_, oldest)| oldest.at() < before) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((place, held)) = self.entries.pop_first() else { return false };
        self.bytes -= held.bytes();
        self.surplus.push(place);
        true
    }

    /// Those visible at `seq`, oldest first.
    pub(crate) fn visible(&self, seq: Seq) -> Vec<Conflict> {
        self.entries
            .iter()
            .filter(|(_, held)| held.from <= seq)
            .map(|((lsn, _), held)| Conflict { lsn: *lsn, by: held.by, displaced: held.displaced.clone() })
            .collect()
    }

    /// Adds to a batch what the store lacks of the entries visible at `seq`, and what it holds in excess.
    pub(crate) fn fold(&mut self, seq: Seq, changes: &mut Changes) -> Result<(), Error> {
        let entries = &self.entries;
        let mut failed = None;
        self.fresh.retain(|place| match entries.get(place) {
            Some(held) if held.from <= seq => {
                let stored = Stored { by: held.by, displaced: held.displaced.clone() };
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
