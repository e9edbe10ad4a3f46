//! Keys of any length over a store whose keys have a greatest length.
//!
//! Nothing limits a text in a key or an index, and applying never fails, so neither may a long key. Those longer than the limit
//! are rare; all that begin with the same `limit` bytes share one *bucket*, a pair of the store below:
//!
//! ```text
//!   limit 4       abcd            an ordinary key, of four bytes
//!   abcd\0        [ e → 1, zz → 2 ]      the bucket of abcde and abcdzz
//!   abce          an ordinary key
//! ```
//!
//! A bucket's key is the only one of `limit + 1` bytes with its beginning, and sorts where its keys do.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Change, Changes, Pair, Span, Store};
use crate::Error;

/// What a bucket holds: the rest of each key, and its value.
type Bucket = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store with keys of any length, above one whose keys are no longer than `limit + 1`.
#[derive(Debug)]
pub(super) struct LongKeys<S> {
    below: S,
    limit: usize,
    /// Held while buckets are read and written again.
    writing: Mutex<()>,
}

impl<S: Store> LongKeys<S> {
    pub(super) fn new(below: S, limit: usize) -> LongKeys<S> {
        LongKeys { below, limit, writing: Mutex::new(()) }
    }

    fn is_long(&self, key: &[u8]) -> bool {
        key.len() > self.limit
    }

    /// The key of the bucket that a long key is in.
    fn bucket_key(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = key[..self.limit].to_vec();
        bytes.push(0);
        bytes
    }

    fn bucket(&self, bucket_key: &[u8]) -> Result<Bucket, Error> {
        self.below.get(bucket_key)?.map_or(Ok(Bucket::new()), |bytes| decode(&bytes))
    }

    /// The span below that holds everything in `span`, and perhaps more of the buckets at its ends.
    fn below_span(&self, span: &Span) -> Span {
        let from = if self.is_long(&span.from) { self.bucket_key(&span.from) } else { span.from.clone() };
        let to = span.to.as_ref().map(|to| {
            if self.is_long(to) {
                let mut after = self.bucket_key(to);
                after.push(0);
                after
            } else {
                to.clone()
            }
        });
        Span { from, to }
    }

    /// The pairs that a pair below stands for, those within `span`, in the order asked for.
    fn expand(&self, (key, value): Pair, span: &Span, reverse: bool) -> Result<Vec<Pair>, Error> {
        if !self.is_long(&key) {
            return Ok(vec![(key, value)]);
        }
        let whole = |rest: Vec<u8>| [&key[..self.limit], &rest].concat();
        let within = |key: &[u8]| *key >= *span.from && span.to.as_ref().is_none_or(|to| key < to.as_slice());
        let pairs = decode(&value)?.into_iter().map(|(rest, value)| (whole(rest), value));
        let mut pairs: Vec<Pair> = pairs.filter(|(key, _)| within(key)).collect();
        if reverse {
            pairs.reverse();
        }
        Ok(pairs)
    }
}

fn decode(bytes: &[u8]) -> Result<Bucket, Error> {
    postcard::from_bytes(bytes).map_err(|_| Error::store("a bucket of long keys is damaged"))
}

fn encode(bucket: &Bucket) -> Result<Vec<u8>, Error> {
    postcard::to_stdvec(bucket)
        .map_err(|e| Error::Internal { message: format!("a bucket of long keys cannot be encoded: {e}") })
}

impl<S: Store> Store for LongKeys<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if !self.is_long(key) {
            return self.below.get(key);
        }
        Ok(self.bucket(&self.bucket_key(key))?.remove(&key[self.limit..]))
    }

    fn range(&self, span: &Span, reverse: bool, limit: usize) -> Result<Vec<Pair>, Error> {
        let mut out = Vec::new();
        let mut rest = self.below_span(span);
        while out.len() < limit && !span.is_empty() && !rest.is_empty() {
            let wanted = limit - out.len();
            let found = self.below.range(&rest, reverse, wanted)?;
            let exhausted = found.len() < wanted;
            match found.last() {
                Some((last, _)) if reverse => rest.to = Some(last.clone()),
                Some((last, _)) => rest.from = [last.as_slice(), &[0]].concat(),
                None => {}
            }
            for pair in found {
                out.extend(self.expand(pair, span, reverse)?);
            }
            if exhausted {
                break;
            }
        }
        out.truncate(limit);
        Ok(out)
    }

    fn apply(&self, changes: Changes) -> Result<(), Error> {
        let is_long = |change: &Change| match change {
            Change::Put { key, .. } | Change::Remove { key } => self.is_long(key),
        };
        if !changes.list.iter().any(is_long) {
            return self.below.apply(changes);
        }
        let _writing = self.writing.lock();
        let mut buckets: BTreeMap<Vec<u8>, Bucket> = BTreeMap::new();
        let mut below = Changes::default();
        for change in changes.list {
            if !is_long(&change) {
                below.list.push(change);
                continue;
            }
            let (key, value) = match change {
                Change::Put { key, value } => (key, Some(value)),
                Change::Remove { key } => (key, None),
            };
            let bucket_key = self.bucket_key(&key);
            if !buckets.contains_key(&bucket_key) {
                buckets.insert(bucket_key.clone(), self.bucket(&bucket_key)?);
            }
            let bucket = buckets.entry(bucket_key).or_default();
            let rest = key[self.limit..].to_vec();
            match value {
                Some(value) => drop(bucket.insert(rest, value)),
                None => drop(bucket.remove(&rest)),
            }
        }
        for (key, bucket) in buckets {
            if bucket.is_empty() {
                below.remove(key);
            } else {
                below.put(key, encode(&bucket)?);
            }
        }
        self.below.apply(below)
    }

    fn flush(&self) -> Result<(), Error> {
        self.below.flush()
    }

    fn room(&self) -> Result<(), Error> {
        self.below.room()
    }

    fn size(&self) -> Result<u64, Error> {
        self.below.size()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::MemStore;

    fn keys() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0..3u8, 0..6)
    }

    proptest! {
        #[test]
        fn long_keys_are_keys_like_any_other(
            batches in prop::collection::vec(prop::collection::vec((keys(), any::<Option<u8>>()), 1..8), 1..8),
            spans in prop::collection::vec((keys(), prop::option::of(keys()), any::<bool>(), 1..9usize), 1..8),
        ) {
            let (plain, long) = (MemStore::new(), LongKeys::new(MemStore::new(), 2));
            for batch in batches {
                let mut changes = Changes::default();
                for (key, value) in batch {
                    match value {
                        Some(value) => changes.put(key, vec![value]),
                        None => changes.remove(key),
                    }
                }
                prop_assert_eq!(plain.apply(changes.clone()), Ok(()));
                prop_assert_eq!(long.apply(changes), Ok(()));
            }
            for (from, to, reverse, limit) in spans {
                prop_assert_eq!(plain.get(&from), long.get(&from));
                let span = Span { from, to };
                prop_assert_eq!(plain.range(&span, reverse, limit), long.range(&span, reverse, limit), "{:?}", span);
            }
            let mut all = long.below.range(&Span { from: vec![], to: None }, false, 1000).expect("memory reads");
            all.retain(|(key, _)| key.len() > 3);
            prop_assert!(all.is_empty(), "no key below is longer than the limit and one: {:?}", all);
        }
    }
}
