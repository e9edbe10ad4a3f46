//! The store on disk: sled 0.34.7, one tree.
//!
//! sled is beta by its own word: abrupt stops have damaged its files, and damaged files have made it panic. So nothing
//! here is trusted: everything runs behind a guard that turns a panic into an error, a folder that does not open is moved
//! aside and an empty one made (the engine then rebuilds it from the log), and a checkpoint counts only when its
//! manifest, written after a flush, is found.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::{Change, Changes, Pair, Span, Store};
use crate::Error;

/// What must be free on the file system before more is written: sled stops for good, reads included, when it meets the end of
/// its disk, and it gathers writes before it hands them on. More than a segment of the log, which may be prepared meanwhile, and
/// a reserve for what other sites send.
const RESERVE: u64 = 64 * 1024 * 1024;

/// A sled tree in a folder of its own.
#[derive(Debug)]
pub struct SledStore {
    db: sled::Db,
    folder: PathBuf,
    /// Where a folder that did not open was put.
    moved: Option<PathBuf>,
}

impl SledStore {
    /// Opens the store in `folder`, made if absent, caching about `cache` bytes.
    pub fn open(folder: &Path, cache: u64) -> Result<SledStore, Error> {
        SledStore::try_open(folder, cache).map_err(|(error, _)| error)
    }

    /// With an error: whether an empty store in its place would cure it. A lock held by another process or a missing
    /// permission is no damage.
    fn try_open(folder: &Path, cache: u64) -> Result<SledStore, (Error, bool)> {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache)
            .mode(sled::Mode::HighThroughput)
            // Flushes are asked for at checkpoints only: the log is what makes a commit durable.
            .flush_every_ms(None);
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened {
            Ok(Ok(db)) => Ok(SledStore { db, folder: folder.to_owned(), moved: None }),
            Ok(Err(error)) => {
                let damaged = match &error {
                    sled::Error::Io(e) => matches!(e.kind(), InvalidData | UnexpectedEof),
                    _ => true,
                };
                Err((Error::store(format_args!("{}: {error}", folder.display())), damaged))
            }
            Err(_) => {
                let error = format_args!("{}: it is damaged: opening it panicked", folder.display());
                Err((Error::store(error), true))
            }
        }
    }

    /// As [`SledStore::open`]; a folder that does not open is moved aside and an empty store made in its place.
    pub fn open_or_replace(folder: &Path, cache: u64) -> Result<SledStore, Error> {
        let error = match SledStore::try_open(folder, cache) {
            Ok(store) => return Ok(store),
            Err((error, false)) => return Err(error),
            Err((error, true)) => error,
        };
        let aside = (1..)
            .map(|n| folder.with_extension(format!("damaged-{n}")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| folder.with_extension("damaged"));
        std::fs::rename(folder, &aside).map_err(|e| {
            Error::store(format_args!(
                "{error}; and it cannot be moved aside ({e}): remove the folder by hand"
            ))
        })?;
        tracing::warn!(store = %folder.display(), aside = %aside.display(), %error, "the store did not open and is moved aside");
        let mut store = SledStore::open(folder, cache)?;
        store.moved = Some(aside);
        Ok(store)
    }

    /// Where a damaged folder was moved when this store was made in its place.
    pub fn moved(&self) -> Option<&Path> {
        self.moved.as_deref()
    }
}

/// Runs an operation of sled's; a panic in it, as damaged files can cause, becomes an error that names the remedy.
fn guarded<T>(operation: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(operation)).unwrap_or_else(|_| {
        Err(Error::store(
            "sled panicked: the store is damaged. Stop the site, remove its store folder, and start it: the store is \
             built again from the log",
        ))
    })
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
        let free = fs2::available_space(&self.folder).map_err(|e| {
            Error::store(format_args!("cannot ask {} for its room: {e}", self.folder.display()))
        })?;
        if free < RESERVE { Err(Error::Full) } else { Ok(()) }
    }

    fn size(&self) -> Result<u64, Error> {
        self.db.size_on_disk().map_err(failed)
    }
}
