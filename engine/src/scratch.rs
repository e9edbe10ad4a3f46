//! Copies of a stopped site's log and store, to be opened as a start would open them without touching the originals.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::disk::RealDisk;
use crate::engine::Engine;
use crate::log::LogOptions;
use crate::store::StoreKind;
use crate::{Error, Options};

/// The cache of a store that is read once.
const CACHE: u64 = 32 * 1024 * 1024;

/// A folder of copies, removed when dropped.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Copies both folders into a new one in `parent`. A store that is not there is none.
    pub(crate) fn copy(log: &Path, store: &Path, parent: &Path) -> Result<Scratch, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("gemini-check-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| copying(&path, &e))?;
        let scratch = Scratch { path };
        scratch.folder(log, "log")?;
        if store.is_dir() {
            scratch.folder(store, "store")?;
        }
        Ok(scratch)
    }

    /// Opens the copied log over the store of this name: the copied one is `store`, any other begins empty.
    pub(crate) fn open(&self, store: &str) -> Result<Engine, Error> {
        let folder = self.path.join(store);
        let store = StoreKind::found(&folder).unwrap_or_default().open(&folder, CACHE)?;
        let disk = RealDisk::open(self.path.join("log")).map_err(Error::disk)?;
        let log = LogOptions { create: false, spares: 0, ..LogOptions::default() };
        Engine::open(Options { log, ..Options::default() }, Arc::new(disk), store, &mut |_| {})
    }

    /// Copies the files of a folder, and of folders in it.
    fn folder(&self, from: &Path, name: &str) -> Result<(), Error> {
        copy_folder(from, &self.path.join(name)).map_err(|e| copying(from, &e))
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        let target = to.join(file.file_name());
        if file.file_type()?.is_dir() {
            copy_folder(&file.path(), &target)?;
        } else {
            std::fs::copy(file.path(), target)?;
        }
    }
    Ok(())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "the copies of a check could not be removed");
        }
    }
}

fn copying(path: &Path, error: &std::io::Error) -> Error {
    Error::store(format_args!("cannot copy {}: {error}; name a scratch folder with room", path.display()))
}
