//! A store kept by fjall 3.1.13: one keyspace of a log-structured merge tree.
//!
//! ```text
//!   apply ─► journal (not synced) ─► memtable ── rotate ──► sealed memtables ──► tables on disk, merged in the background
//!   flush ─► journal synced           │◄───── no more than BUFFERS shares: apply waits ─────►│
//! ```
//!
//! A crash keeps the batches up to some point after the last flush and nothing behind it, which is what the engine asks for.
//! What fjall takes of memory is its cache and the memtables. The memtables are bounded here: left to itself it goes on
//! filling the newest one while its workers merge tables, and takes six times the cache under a steady load.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fjall::compaction::Leveled;
use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::folder::{Failed, guarded, room, taken};
use super::{Change, Changes, Pair, Span, Store};
use crate::Error;

/// The memory given is cut into so many shares: half of them are the cache's, one is a memtable's.
const SHARES: u64 = 8;
/// Memtables, the one being written included, take no more than so many shares.
const BUFFERS: u64 = 3;
/// One worker merges tables while the other writes memtables out.
const WORKERS: usize = 2;
/// Bytes of a table. A merge takes a dozen of them at a time, and as much room on the disk until it is done.
const TABLE: u64 = 16 * 1024 * 1024;
/// The least that fjall takes: its journals are this long.
const JOURNAL: u64 = 64 * 1024 * 1024;
/// What must be free on the file system before more is written: fjall stops for good, reads included, when it meets the end of
/// its disk. A journal, a segment of the log, which may be prepared meanwhile, and a reserve for what other sites send.
const RESERVE: u64 = 64 * 1024 * 1024;
/// Merging takes at most so much room more, and no more than what is there already.
const MERGE: u64 = 12 * TABLE;
/// Memtables that have not been written out after so long never will be: its workers have died.
const STUCK: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(1);

/// A fjall keyspace in a folder of its own.
pub(super) struct FjallStore {
    db: Database,
    rows: Keyspace,
    folder: PathBuf,
    /// Bytes of one memtable.
    memtable: u64,
    /// Bytes written to the newest memtable.
    filled: AtomicU64,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl FjallStore {
    /// Keys are given to fjall as long as this, and one byte more; it takes 65,535.
    pub(super) const LONGEST_KEY: usize = 32 * 1024;

    pub(super) fn try_open(folder: &Path, memory: u64) -> Result<FjallStore, Failed> {
        let share = memory / SHARES;
        let open = || -> Result<(Database, Keyspace), fjall::Error> {
            let db = Database::builder(folder)
                .cache_size(share * SHARES / 2)
                .worker_threads(WORKERS)
                .max_journaling_size(JOURNAL)
                // Flushes are asked for at checkpoints only: the log is what makes a commit durable.
                .manual_journal_persist(true)
                .open()?;
            let rows = db.keyspace("rows", || {
                KeyspaceCreateOptions::default()
                    .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE)))
                    .expect_point_read_hits(true)
            })?;
            Ok((db, rows))
        };
        let (db, rows) = open().map_err(|error| match error {
            fjall::Error::Locked => taken(folder),
            error => {
                let damaged = match &error {
                    fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => is_damage(e),
                    _ => true,
                };
                Failed { error: Error::store(format_args!("{}: {error}", folder.display())), damaged }
            }
        })?;
        Ok(FjallStore { db, rows, folder: folder.to_owned(), memtable: share, filled: AtomicU64::new(0) })
    }

    /// Seals a memtable that is full, and waits for older ones to be written out while all of them take too much.
    fn make_room(&self, written: u64) -> Result<(), Error> {
        let filled = self.filled.fetch_add(written, Ordering::Relaxed) + written;
        let over = || self.db.write_buffer_size() > self.memtable * BUFFERS;
        if filled < self.memtable && !over() {
            return Ok(());
        }
        self.filled.store(0, Ordering::Relaxed);
        self.rows.rotate_memtable().map_err(failed)?;
        let since = Instant::now();
        while over() {
            if since.elapsed() > STUCK {
                return Err(Error::store("memtables are not written out any more; restart the site"));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// Whether files are missing or do not read, as against a disk or a permission that fails.
fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof)
}

fn failed(error: fjall::Error) -> Error {
    match error {
        fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e))
            if e.kind() == std::io::ErrorKind::StorageFull =>
        {
            Error::Full
        }
        other => Error::store(other),
    }
}

fn copy(pair: Guard) -> Result<Pair, Error> {
    let (key, value) = pair.into_inner().map_err(failed)?;
    Ok((key.to_vec(), value.to_vec()))
}

impl Store for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        guarded(|| Ok(self.rows.get(key).map_err(failed)?.map(|value| value.to_vec())))
    }

    fn range(&self, span: &Span, reverse: bool, limit: usize) -> Result<Vec<Pair>, Error> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        guarded(|| {
            let from = Bound::Included(span.from.as_slice());
            let to = span.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let pairs = self.rows.range::<&[u8], _>((from, to));
            if reverse {
                pairs.rev().take(limit).map(copy).collect()
            } else {
                pairs.take(limit).map(copy).collect()
            }
        })
    }

    fn apply(&self, changes: Changes) -> Result<(), Error> {
        let mut batch = self.db.batch();
        let mut written = 0;
        for change in changes.list {
            match change {
                Change::Put { key, value } => {
                    written += key.len() + value.len();
                    batch.insert(&self.rows, key, value);
                }
                Change::Remove { key } => {
                    written += key.len();
                    batch.remove(&self.rows, key);
                }
            }
        }
        guarded(|| {
            batch.commit().map_err(failed)?;
            self.make_room(written as u64)
        })
    }

    fn flush(&self) -> Result<(), Error> {
        guarded(|| self.db.persist(PersistMode::SyncData).map_err(failed))
    }

    fn room(&self) -> Result<(), Error> {
        room(&self.folder, RESERVE + self.size()?.min(MERGE))
    }

    fn size(&self) -> Result<u64, Error> {
        Ok(self.rows.disk_space())
    }
}
