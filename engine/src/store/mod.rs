//! The ordered key-value store below the versions: where folded rows live when memory has no room for them.
//!
//! The store is **never the truth**. Everything in it follows from the log, so a store that is lost or damaged is
//! removed and built again. What the engine needs of it is little, and [`Store`] says it all: look up, walk a range,
//! write a batch that is there wholly or not at all, and make sure that all batches so far are durable.
//!
//! ```text
//!   key                                            value
//!   'm' name                                       checkpoint manifest
//!   'c' lsn number                                 one displaced value (the conflict log)
//!   'r' table(u32, big end first) primary key      row: all incarnations, with the LSN last applied (see row.rs)
//!   'x' index(u32, big end first) entry            primary key; the entry is index columns ++ primary key
//! ```
//!
//! Invariants: (1) a row and its index entries change in one batch; (2) a row carries the LSN of the admission last
//! applied to it, so a batch may hold rows of different moments and replay skips, row by row, what is there already;
//! (3) only what is durable in the log is ever written; (4) the manifest is written after a flush of all it speaks for.
//!
//! It knows nothing of snapshots, of versions, or of what its values mean.

mod fjall_store;
mod folder;
mod long_keys;
mod memory;
pub(crate) mod row;
mod sled_store;

use gemini_shadow_ops::{IndexId, Key, TableId};

use fjall_store::FjallStore;
pub use folder::StoreKind;
pub use memory::MemStore;
use sled_store::SledStore;

use crate::Error;
use crate::range::end_of_prefix;

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    Put { key: Vec<u8>, value: Vec<u8> },
    Remove { key: Vec<u8> },
}

/// Changes that become visible, and survive a crash, all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In order; of several for one key the last counts.
    pub list: Vec<Change>,
}

impl Changes {
    /// Adds a put.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.list.push(Change::Put { key, value });
    }

    /// Adds a removal; removing what is not there is no error.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.list.push(Change::Remove { key });
    }
}

/// A bound of a store range: half open, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Included.
    pub from: Vec<u8>,
    /// Excluded; None: no end.
    pub to: Option<Vec<u8>>,
}

impl Span {
    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: Vec<u8>) -> Span {
        let to = end_of_prefix(&prefix);
        Span { from: prefix, to }
    }

    /// Whether no key can lie within.
    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// An ordered key-value store. All methods may be called from several threads at once.
pub trait Store: Send + Sync {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Up to `limit` pairs of the span in key order, or from its end downwards.
    fn range(&self, span: &Span, reverse: bool, limit: usize) -> Result<Vec<Pair>, Error>;

    /// Applies a batch: readers and crashes see all of it or none. Not durable before [`Store::flush`].
    fn apply(&self, changes: Changes) -> Result<(), Error>;

    /// Returns when every batch applied before is durable.
    fn flush(&self) -> Result<(), Error>;

    /// Whether there is room for some batches more: `Err(Error::Full)` if not. Asked before work is begun, because a store that
    /// runs into the end of its disk may be of no use afterwards, not even to read from.
    fn room(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Bytes on disk, roughly; for status.
    fn size(&self) -> Result<u64, Error>;
}

/// Whose keys: rows of a table or entries of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Rows(TableId),
    Entries(IndexId),
}

/// `tag` and id: what keys of this space begin with.
pub(crate) const SPACE_PREFIX: usize = 5;

impl Space {
    /// The first bytes of every key in the space.
    pub(crate) fn prefix(self) -> [u8; SPACE_PREFIX] {
        let (tag, id) = match self {
            Space::Rows(table) => (b'r', table.0),
            Space::Entries(index) => (b'x', index.0),
        };
        let id = id.to_be_bytes();
        [tag, id[0], id[1], id[2], id[3]]
    }

    /// The store key of `key`.
    pub(crate) fn key(self, key: &Key) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SPACE_PREFIX + key.0.len());
        bytes.extend_from_slice(&self.prefix());
        bytes.extend_from_slice(&key.0);
        bytes
    }

    /// The whole space.
    pub(crate) fn span(self) -> Span {
        Span::prefix(self.prefix().to_vec())
    }

    /// The space and the rest of a store key; None for keys of other kinds.
    pub(crate) fn split(bytes: &[u8]) -> Option<(Space, &[u8])> {
        let (head, rest) = bytes.split_first_chunk::<SPACE_PREFIX>()?;
        let id = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        match head[0] {
            b'r' => Some((Space::Rows(TableId(id)), rest)),
            b'x' => Some((Space::Entries(IndexId(id)), rest)),
            _ => None,
        }
    }
}

/// The manifest of the newest checkpoint.
pub(crate) const MANIFEST: &[u8] = b"mcheckpoint";

/// The key of the conflict log's entry `number` of the admission at `lsn`.
pub(crate) fn conflict_key(lsn: crate::Lsn, number: u64) -> Vec<u8> {
    let mut key = vec![b'c'];
    key.extend_from_slice(&lsn.0.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests;
