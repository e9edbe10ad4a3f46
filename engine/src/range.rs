//! Ranges of keys.

use std::ops::Bound;

use gemini_shadow_ops::Key;

/// Keys between two bounds, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Where it starts.
    pub from: Bound<Key>,
    /// Where it ends.
    pub to: Bound<Key>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> KeyRange {
        KeyRange { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    /// Exactly this key.
    pub fn one(key: Key) -> KeyRange {
        KeyRange { from: Bound::Included(key.clone()), to: Bound::Included(key) }
    }

    /// Keys k with `from <= k < to`; an empty `to` means no end (as in [`gemini_shadow_ops::Item::Range`]).
    pub fn half_open(from: Key, to: Key) -> KeyRange {
        let to = if to.0.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        KeyRange { from: Bound::Included(from), to }
    }

    /// Keys that begin with `prefix`, itself included.
    pub fn prefix(prefix: &Key) -> KeyRange {
        let to = match end_of_prefix(&prefix.0) {
            Some(end) => Bound::Excluded(Key(end.into())),
            None => Bound::Unbounded,
        };
        KeyRange { from: Bound::Included(prefix.clone()), to }
    }

    /// What is left after `key`, scanning up (or, `reverse`, down).
    pub fn after(&self, key: &Key, reverse: bool) -> KeyRange {
        let mut rest = self.clone();
        if reverse {
            rest.to = Bound::Excluded(key.clone());
        } else {
            rest.from = Bound::Excluded(key.clone());
        }
        rest
    }

    /// Whether the key lies within.
    pub fn contains(&self, key: &Key) -> bool {
        let above = match &self.from {
            Bound::Unbounded => true,
            Bound::Included(k) => key >= k,
            Bound::Excluded(k) => key > k,
        };
        let below = match &self.to {
            Bound::Unbounded => true,
            Bound::Included(k) => key <= k,
            Bound::Excluded(k) => key < k,
        };
        above && below
    }

    /// Whether no key can lie within. Standard ordered maps panic on such ranges, so they are never asked.
    pub fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a >= b,
        }
    }
}

/// The least byte string above every string that begins with `prefix`; None if there is no such string.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }

    #[test]
    fn prefixes_end_where_their_strings_end() {
        assert_eq!(end_of_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(end_of_prefix(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(end_of_prefix(&[255]), None);
        assert_eq!(end_of_prefix(&[]), None);
        let range = KeyRange::prefix(&key(&[7, 255]));
        assert!(range.contains(&key(&[7, 255])) && range.contains(&key(&[7, 255, 0])));
        assert!(!range.contains(&key(&[8])) && !range.contains(&key(&[7, 254, 255])));
    }

    #[test]
    fn what_is_left_after_a_key_leaves_it_out() {
        let range = KeyRange::half_open(key(&[1]), key(&[9]));
        assert!(!range.after(&key(&[5]), false).contains(&key(&[5])));
        assert!(range.after(&key(&[5]), false).contains(&key(&[5, 0])));
        assert!(!range.after(&key(&[5]), true).contains(&key(&[5])));
        assert!(range.after(&key(&[5]), true).contains(&key(&[4])));
        assert!(range.after(&key(&[1]), true).is_empty());
        assert!(KeyRange::half_open(key(&[1]), key(&[])).contains(&key(&[255; 4])));
    }
}
