//! What readers hold: a [`Reader`] to take snapshots from, and [`Snapshot`]s to read.
//!
//! A snapshot is two counted references: the engine's shared part and the epoch it sees. Taking one, cloning one and
//! dropping one never wait for the writer or for another session. See [`crate::versions`] for what makes reading sound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use gemini_shadow_ops::{Frontier, IndexId, Key, Row, RowState, Schema, TableId};
use parking_lot::Mutex;

use crate::checkpoint::{Checkpoints, Pressure};
use crate::conflicts::{Conflict, Conflicts};
use crate::fold::Folder;
use crate::store::{Space, Store};
use crate::versions::{Epoch, Pins, TableEntry};
use crate::view::View;
use crate::{Digest, Error, KeyRange, RowSum, Seq};

/// What the writer, the readers and the folding thread share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) pins: Pins,
    pub(crate) conflicts: Mutex<Conflicts>,
    /// Bytes of versions in memory, roughly.
    pub(crate) bytes: AtomicI64,
    /// The log is durable before this position.
    pub(crate) durable: AtomicU64,
    /// The position from which a restart would replay.
    pub(crate) replay_from: AtomicU64,
    /// The oldest record that the checkpoint's replay reads: the log is not cut above it.
    pub(crate) needs: AtomicU64,
    /// The moment of the newest checkpoint.
    pub(crate) checkpointed: AtomicU64,
    /// The store had no room when folding last looked.
    pub(crate) store_full: AtomicBool,
    /// Bytes that versions may take.
    pub(crate) memory: u64,
    pub(crate) folder: Mutex<Folder>,
    pub(crate) checkpoints: Mutex<Checkpoints>,
    /// Keys of the store that go once no snapshot sees them, and the moment they were dropped.
    pub(crate) garbage: Mutex<Vec<(Seq, Space)>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("bytes", &self.bytes.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

/// Hands out snapshots of what is durable and visible. Cheap to clone; shared by all sessions.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

impl Reader {
    /// The newest visible snapshot.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { epoch: self.shared.pins.current(), shared: self.shared.clone() }
    }

    /// How much memory row versions take.
    pub fn pressure(&self) -> Pressure {
        self.shared.pressure()
    }

    /// The newest visible sequence number.
    pub fn visible(&self) -> Seq {
        self.shared.pins.current_seq()
    }

    /// Forgets displaced values that are too old at `now` (µs since 1970).
    pub fn expire_conflicts(&self, now: u64) {
        self.shared.conflicts.lock().expire(now);
    }

    /// The newest displaced values that are visible here, oldest first. The log is local and bounded.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let visible = self.visible();
        self.shared.conflicts.lock().visible(visible)
    }
}

/// A consistent view of the database at one moment. It pins what it sees until the last clone is dropped, and never
/// blocks the writer.
#[derive(Clone, Debug)]
pub struct Snapshot {
    shared: Arc<Shared>,
    epoch: Arc<Epoch>,
}

impl Snapshot {
    /// Its moment.
    pub fn seq(&self) -> Seq {
        self.epoch.seq
    }

    /// What had been applied.
    pub fn frontier(&self) -> &Frontier {
        &self.epoch.frontier
    }

    /// What was declared.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.epoch.schema
    }

    /// The row under `key` as a reader sees it, full width. None also for a table that does not exist.
    pub fn get(&self, table: TableId, key: &Key) -> Result<Option<Row>, Error> {
        let Some(entry) = self.table(table) else { return Ok(None) };
        let found = self.view().get(entry, key);
        self.sound(found)
    }

    /// Every incarnation under `key`, ended ones included.
    pub fn state(&self, table: TableId, key: &Key) -> Result<Option<Arc<RowState>>, Error> {
        let Some(entry) = self.table(table) else { return Ok(None) };
        let found = self.view().find(entry, key);
        Ok(self.sound(found)?.map(|found| found.state))
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
        let Some(entry) = self.table(table) else { return Ok(Vec::new()) };
        let found = self.view().scan(entry, range, reverse, limit, false);
        let rows = self.sound(found)?;
        Ok(rows.into_iter().filter_map(|(key, found)| found.row.map(|row| (key, row))).collect())
    }

    /// As [`Snapshot::scan`], over everything under each key: rows without a live incarnation too.
    pub fn scan_states(
        &self,
        table: TableId,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Key, Arc<RowState>)>, Error> {
        let Some(entry) = self.table(table) else { return Ok(Vec::new()) };
        let found = self.view().scan(entry, range, reverse, limit, true);
        Ok(self.sound(found)?.into_iter().map(|(key, found)| (key, found.state)).collect())
    }

    /// Up to `limit` entries of an index in its order: (entry, primary key). An entry is the index columns' encoding
    /// followed by the primary key, so a prefix of columns is a prefix of the entry. The primary key's index has the rows'
    /// keys as entries.
    pub fn index_scan(
        &self,
        table: TableId,
        index: IndexId,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Key, Key)>, Error> {
        let Some(entry) = self.table(table) else { return Ok(Vec::new()) };
        if entry.is_primary(index) {
            let found = self.view().scan(entry, range, reverse, limit, false);
            return Ok(self.sound(found)?.into_iter().map(|(key, _)| (key.clone(), key)).collect());
        }
        let Some(index) = entry.index(index) else { return Ok(Vec::new()) };
        let found = self.view().entries(index, range, reverse, limit);
        self.sound(found)
    }

    /// What the tables hold, to compare with other sites at the same frontier. Reads everything.
    pub fn digest(&self) -> Result<Digest, Error> {
        let found = crate::digest::of(&self.view(), &self.epoch);
        self.sound(found)
    }

    /// Up to `limit` rows of a range in a few bytes each, ended ones too; continue as with [`Snapshot::scan`].
    pub fn row_sums(&self, table: TableId, range: &KeyRange, limit: usize) -> Result<Vec<RowSum>, Error> {
        let Some(entry) = self.table(table) else { return Ok(Vec::new()) };
        let found = crate::digest::rows(&self.view(), entry, range, limit);
        self.sound(found)
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { store: &*self.shared.store, seq: self.epoch.seq }
    }

    pub(crate) fn table(&self, table: TableId) -> Option<&TableEntry> {
        self.epoch.catalogue.tables.get(&table)
    }

    /// An answer counts only if the snapshot had not been ended before it was complete: its versions may be gone.
    fn sound<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if self.epoch.ended() { Err(Error::SnapshotTooOld) } else { answer }
    }
}
