//! Memory over store: one ordered walk of both.
//!
//! ```text
//!   memory   a=1        c=gone   d=4
//!   store         b=2   c=3            e=5
//!   walk     a=1  b=2            d=4   e=5
//! ```
//!
//! Memory is read first, up to a batch of keys under its lock, then the store over the same stretch. A key that leaves
//! memory in between was in the memory batch and counts from there; a key that left before is in the store.

use gemini_shadow_ops::Key;

use crate::{Error, KeyRange};

/// What memory says of a stretch of keys.
pub(crate) struct Batch<T> {
    /// In order of the walk: keys it knows, and what is there at the moment asked for (None: nothing).
    pub(crate) known: Vec<(Key, Option<T>)>,
    /// Where the batch ends, if the range goes on behind it.
    pub(crate) end: Option<Key>,
    /// Memory knows everything: the store need not be asked.
    pub(crate) complete: bool,
}

/// Keys of the store, in order of the walk, and what is under them (None: nothing to be shown).
pub(crate) type Stretch<T> = Vec<(Key, Option<T>)>;

/// Both sources of a walk.
pub(crate) trait Layers {
    /// What is under a key.
    type Item;
    /// A batch of memory.
    fn memory(&self, range: &KeyRange, reverse: bool, limit: usize) -> Batch<Self::Item>;
    /// Up to `limit` keys of the store.
    fn store(&self, range: &KeyRange, reverse: bool, limit: usize) -> Result<Stretch<Self::Item>, Error>;
}

/// Up to `limit` items of the range; fewer only if it is exhausted.
pub(crate) fn walk<L: Layers>(
    layers: &L,
    range: &KeyRange,
    reverse: bool,
    limit: usize,
) -> Result<Vec<(Key, L::Item)>, Error> {
    let mut out = Vec::new();
    let mut rest = range.clone();
    while out.len() < limit && !rest.is_empty() {
        let batch = layers.memory(&rest, reverse, super::BATCH.min((limit - out.len()).saturating_add(16)));
        let end = if batch.complete {
            out.extend(batch.known.into_iter().filter_map(|(k, v)| v.map(|v| (k, v))));
            batch.end
        } else {
            merge(layers, &rest, reverse, batch, limit - out.len(), &mut out)?
        };
        match end {
            Some(key) => rest = rest.after(&key, reverse),
            None => break,
        }
    }
    out.truncate(limit);
    Ok(out)
}

/// Merges one memory batch with the store; returns where the stretch done ends, if the range goes on.
fn merge<L: Layers>(
    layers: &L,
    rest: &KeyRange,
    reverse: bool,
    batch: Batch<L::Item>,
    wanted: usize,
    out: &mut Vec<(Key, L::Item)>,
) -> Result<Option<Key>, Error> {
    let stretch = match &batch.end {
        Some(end) => until(rest, end, reverse),
        None => rest.clone(),
    };
    let ask = super::BATCH.min(wanted.saturating_add(1));
    let stored = layers.store(&stretch, reverse, ask)?;
    // The store's last key bounds what is known of it, unless it had no more.
    let end = if stored.len() < ask { batch.end } else { stored.last().map(|(k, _)| k.clone()) };
    let before = |a: &Key, b: &Key| if reverse { a > b } else { a < b };
    let within = |key: &Key| end.as_ref().is_none_or(|end| !before(end, key));
    let mut known = batch.known.into_iter().filter(|(key, _)| within(key)).peekable();
    let mut stored = stored.into_iter().filter(|(key, _)| within(key)).peekable();
    loop {
        let from_memory = match (known.peek(), stored.peek()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((m, _)), Some((s, _))) => {
                if m == s {
                    stored.next();
                    true
                } else {
                    before(m, s)
                }
            }
        };
        let next = if from_memory { known.next() } else { stored.next() };
        if let Some((key, Some(item))) = next {
            out.push((key, item));
        }
    }
    Ok(end)
}

/// The part of `range` up to `end`, included.
fn until(range: &KeyRange, end: &Key, reverse: bool) -> KeyRange {
    let mut part = range.clone();
    let bound = std::ops::Bound::Included(end.clone());
    if reverse {
        part.from = bound;
    } else {
        part.to = bound;
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Two {
        memory: BTreeMap<Key, Option<u32>>,
        store: BTreeMap<Key, Option<u32>>,
        complete: bool,
    }

    fn pick(
        map: &BTreeMap<Key, Option<u32>>,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
    ) -> Vec<(Key, Option<u32>)> {
        let keys = map.range((range.from.clone(), range.to.clone())).map(|(k, v)| (k.clone(), *v));
        if reverse { keys.rev().take(limit).collect() } else { keys.take(limit).collect() }
    }

    impl Layers for Two {
        type Item = u32;
        fn memory(&self, range: &KeyRange, reverse: bool, limit: usize) -> Batch<u32> {
            let known = pick(&self.memory, range, reverse, limit.min(3));
            let end = if known.len() == limit.min(3) { known.last().map(|(k, _)| k.clone()) } else { None };
            Batch { known, end, complete: self.complete }
        }
        fn store(
            &self,
            range: &KeyRange,
            reverse: bool,
            limit: usize,
        ) -> Result<Vec<(Key, Option<u32>)>, Error> {
            Ok(if range.is_empty() { Vec::new() } else { pick(&self.store, range, reverse, limit) })
        }
    }

    #[test]
    fn memory_hides_the_store_in_both_directions() {
        let key = |n: u8| Key([n].into());
        // A fixed scatter over 36 keys: some only in memory, some only below, some hidden.
        let mut two = Two { memory: BTreeMap::new(), store: BTreeMap::new(), complete: false };
        let mut expected = BTreeMap::new();
        for n in 0..36u8 {
            match n * 7 % 5 {
                0 => drop(two.store.insert(key(n), Some(u32::from(n)))),
                1 => drop(two.memory.insert(key(n), Some(u32::from(n)))),
                2 => {
                    two.store.insert(key(n), Some(999));
                    two.memory.insert(key(n), Some(u32::from(n)));
                }
                3 => {
                    two.store.insert(key(n), Some(999));
                    two.memory.insert(key(n), None);
                    continue;
                }
                _ => continue,
            }
            expected.insert(key(n), u32::from(n));
        }
        for limit in [1, 2, 3, 7, 100] {
            for reverse in [false, true] {
                let mut want: Vec<(Key, u32)> =
                    expected.range(key(3)..key(33)).map(|(k, v)| (k.clone(), *v)).collect();
                if reverse {
                    want.reverse();
                }
                want.truncate(limit);
                let range = KeyRange::half_open(key(3), key(33));
                assert_eq!(walk(&two, &range, reverse, limit), Ok(want), "limit {limit} reverse {reverse}");
            }
        }
        two.complete = true;
        let alone = walk(&two, &KeyRange::all(), false, 100);
        assert!(alone.is_ok_and(|rows| rows.iter().all(|(k, _)| two.memory[k].is_some())));
    }
}
