//! Snapshots.

use std::sync::Arc;

use gemini_shadow_ops::{Frontier, IndexId, Key, Row, RowState, Schema, TableId};

use crate::{Digest, Error, KeyRange, Seq};

/// Hands out snapshots of what is durable and visible. Cheap to clone; shared by all sessions.
#[derive(Clone, Debug)]
pub struct Reader {
    snapshot: Snapshot,
}

impl Reader {
    /// The newest visible snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// The newest visible sequence number.
    pub fn visible(&self) -> Seq {
        self.snapshot.seq()
    }
}

/// A consistent view of the database at one moment. It pins what it sees until the last clone is dropped, and never
/// blocks the writer.
#[derive(Clone, Debug)]
pub struct Snapshot {
    seq: Seq,
    frontier: Arc<Frontier>,
    schema: Arc<Schema>,
}

impl Snapshot {
    /// Its moment.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// What had been applied.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// What was declared.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The row under `key` as a reader sees it, full width.
    pub fn get(&self, table: TableId, key: &Key) -> Result<Option<Row>, Error> {
        let _ = (table, key);
        Ok(None)
    }

    /// Every incarnation under `key`, ended ones included.
    pub fn state(&self, table: TableId, key: &Key) -> Result<Option<Arc<RowState>>, Error> {
        let _ = (table, key);
        Ok(None)
    }

    /// Up to `limit` rows in key order; continue with [`KeyRange::after`] the last key. Fewer than `limit`: the range is
    /// exhausted.
    pub fn scan(
        &self,
        table: TableId,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Key, Row)>, Error> {
        let _ = (table, range, reverse, limit);
        Ok(Vec::new())
    }

    /// Up to `limit` entries of an index in its order: (entry, primary key). An entry is the index columns' encoding
    /// followed by the primary key, so a prefix of columns is a prefix of the entry.
    pub fn index_scan(
        &self,
        table: TableId,
        index: IndexId,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Key, Key)>, Error> {
        let _ = (table, index, range, reverse, limit);
        Ok(Vec::new())
    }

    /// What the tables hold, to compare with other sites at the same frontier. Reads everything.
    pub fn digest(&self) -> Result<Digest, Error> {
        Ok(Digest::default())
    }
}
