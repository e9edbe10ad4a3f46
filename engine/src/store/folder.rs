//! Stores in a folder: which library keeps one, and what happens to a folder that does not open.
//!
//! Libraries that keep data on disk have bugs of their own, and damaged files make them panic. The store is never the truth, so
//! nothing here trusts them: every call runs behind a guard that turns a panic into an error, and a folder that does not
//! open is moved aside and an empty one made in its place, which the engine then fills from the log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::long_keys::LongKeys;
use super::{FjallStore, SledStore, Store};
use crate::Error;

/// Which library keeps a site's store. Both do the same; `docs/decisions/0003-store.md` has their rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// A log-structured merge tree: what it takes of memory does not grow with the rows.
    #[default]
    Fjall,
    /// A tree that holds some 40 bytes of memory for each row beside its cache.
    Sled,
}

/// What opening a folder came to, short of a store.
pub(super) struct Failed {
    pub(super) error: Error,
    /// Whether an empty store in its place would cure it. A lock held by another process or a missing permission is no damage.
    pub(super) damaged: bool,
}

impl StoreKind {
    /// The word for it in sites.toml.
    pub fn name(self) -> &'static str {
        match self {
            StoreKind::Fjall => "fjall",
            StoreKind::Sled => "sled",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<StoreKind> {
        [StoreKind::Fjall, StoreKind::Sled].into_iter().find(|kind| kind.name() == name)
    }

    /// Whose files a folder holds; None if it is empty, absent, or too damaged to say.
    pub fn found(folder: &Path) -> Option<StoreKind> {
        let has = |name: &str| folder.join(name).exists();
        if has("keyspaces") {
            return Some(StoreKind::Fjall);
        }
        (has("conf") || has("db")).then_some(StoreKind::Sled)
    }

    /// Opens the store in `folder`, made if absent, with about `memory` bytes of cache and buffers.
    pub fn open(self, folder: &Path, memory: u64) -> Result<Arc<dyn Store>, Error> {
        self.try_open(folder, memory).map_err(|failed| failed.error)
    }

    /// As [`StoreKind::open`]; a folder that does not open is moved aside and an empty store made in its place.
    pub fn open_or_replace(self, folder: &Path, memory: u64) -> Result<Arc<dyn Store>, Error> {
        let error = match self.try_open(folder, memory) {
            Ok(store) => return Ok(store),
            Err(Failed { error, damaged: false }) => return Err(error),
            Err(Failed { error, damaged: true }) => error,
        };
        let aside = move_aside(folder).map_err(|e| {
            Error::store(format_args!(
                "{error}; and it cannot be moved aside ({e}): remove the folder by hand"
            ))
        })?;
        tracing::warn!(store = %folder.display(), aside = %aside.display(), %error, "the store did not open and is moved aside");
        self.open(folder, memory)
    }

    fn try_open(self, folder: &Path, memory: u64) -> Result<Arc<dyn Store>, Failed> {
        if let Some(found) = StoreKind::found(folder)
            && found != self
        {
            let error = Error::store(format_args!(
                "{} holds a store of {}, not of {}: write store = \"{}\" for this site in sites.toml; or stop the site, remove \
                 the folder, and start it: the store is built again from the log",
                folder.display(),
                found.name(),
                self.name(),
                found.name(),
            ));
            return Err(Failed { error, damaged: false });
        }
        let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Arc<dyn Store>, Failed> {
            Ok(match self {
                StoreKind::Fjall => {
                    Arc::new(LongKeys::new(FjallStore::try_open(folder, memory)?, FjallStore::LONGEST_KEY))
                }
                StoreKind::Sled => Arc::new(SledStore::try_open(folder, memory)?),
            })
        }));
        opened.unwrap_or_else(|_| {
            let error =
                Error::store(format_args!("{}: it is damaged: opening it panicked", folder.display()));
            Err(Failed { error, damaged: true })
        })
    }
}

/// Renames a folder to the first free name beside it.
fn move_aside(folder: &Path) -> std::io::Result<PathBuf> {
    let aside = (1..)
        .map(|n| folder.with_extension(format!("damaged-{n}")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| folder.with_extension("damaged"));
    std::fs::rename(folder, &aside)?;
    Ok(aside)
}

/// Runs an operation of a library; a panic in it, as damaged files can cause, becomes an error that names the remedy.
pub(super) fn guarded<T>(operation: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(operation)).unwrap_or_else(|_| {
        Err(Error::store(
            "its library panicked: the store is damaged. Stop the site, remove its store folder, and start it: the store \
             is built again from the log",
        ))
    })
}

/// Whether `reserve` bytes are free where `folder` lies.
pub(super) fn room(folder: &Path, reserve: u64) -> Result<(), Error> {
    let free = fs2::available_space(folder)
        .map_err(|e| Error::store(format_args!("cannot ask {} for its room: {e}", folder.display())))?;
    if free < reserve { Err(Error::Full) } else { Ok(()) }
}

/// What an error says when another process has the folder.
pub(super) fn taken(folder: &Path) -> Failed {
    let error =
        Error::store(format_args!("{}: could not acquire lock: another process has it", folder.display()));
    Failed { error, damaged: false }
}
