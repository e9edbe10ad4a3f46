//! A store kept by sled 0.34.7: one tree.
//!
//! sled is beta by its own word: abrupt stops have damaged its files. It keeps a descriptor in memory for every page, and a page
//! holds no more than sixteen rows, so what it takes grows with the rows whatever its cache is told; see
//! `docs/decisions/0003-store.md`.

use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::folder::{Failed, guarded, room, taken};
use super::{Change, Changes, Pair, Span, Store};
use crate::Error;

/// What must be free on the file system before more is written: sled stops for good, reads included, when it meets the end of
/// its disk, and it gathers writes before it hands them on. More than a segment of the log, which may be prepared meanwhile, and
/// a reserve for what other sites send.
const RESERVE: u64 = 64 * 1024 * 1024;

/// A sled tree in a folder of its own.
#[derive(Debug)]
pub(super) struct SledStore {
    db: sled::Db,
    folder: PathBuf,
}

impl SledStore {
    pub(super) fn try_open(folder: &Path, cache: u64) -> Result<SledStore, Failed> {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache)
            .mode(sled::Mode::HighThroughput)
            // Flushes are asked for at checkpoints only: the log is what makes a commit durable.
            .flush_every_ms(None);
        let db = config.open().map_err(|error| match &error {
            sled::Error::Io(e) if e.to_string().contains("could not acquire lock") => taken(folder),
            _ => {
                let damaged = match &error {
                    sled::Error::Io(e) => matches!(e.kind(), InvalidData | UnexpectedEof),
                    _ => true,
                };
                Failed { error: Error::store(format_args!("{}: {error}", folder.display())), damaged }
            }
        })?;
        Ok(SledStore { db, folder: folder.to_owned() })
    }
}

fn failed(error: sled::Error) -> Error {
    match error {
        sled::Error::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => Error::Full,
        other => Error::store(other),
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        guarded(|| Ok(self.db.get(key).map_err(failed)?.map(|value| value.to_vec())))
    }

    fn range(&self, span: &Span, reverse: bool, limit: usize) -> Result<Vec<Pair>, Error> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        guarded(|| {
            let from = Bound::Included(span.from.as_slice());
            let to = span.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let pairs = self.db.range::<&[u8], _>((from, to));
            let copy = |pair: sled::Result<(sled::IVec, sled::IVec)>| {
                pair.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(failed)
            };
            if reverse {
                pairs.rev().take(limit).map(copy).collect()
            } else {
                pairs.take(limit).map(copy).collect()
            }
        })
    }

    fn apply(&self, changes: Changes) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for change in changes.list {
            match change {
                Change::Put { key, value } => batch.insert(key, value),
                Change::Remove { key } => batch.remove(key),
            }
        }
        guarded(|| self.db.apply_batch(batch).map_err(failed))
    }

    fn flush(&self) -> Result<(), Error> {
        guarded(|| self.db.flush().map(|_| ()).map_err(failed))
    }

    fn room(&self) -> Result<(), Error> {
        room(&self.folder, RESERVE)
    }

    fn size(&self) -> Result<u64, Error> {
        self.db.size_on_disk().map_err(failed)
    }
}
