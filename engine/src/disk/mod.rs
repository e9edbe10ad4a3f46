//! The disk as the engine sees it: files by name in one directory.
//!
//! Everything durable goes through [`Disk`], so that a simulator can put [`MemDisk`] in its place, lose what was
//! not synced, fill it, or let it fail, and repeat that from a seed. [`RealDisk`] is one directory of the
//! operating system.
//!
//! What callers may rely on, and what both implementations keep:
//!
//! 1. A write is durable only after [`DiskFile::sync`] of its file returned. Before that a crash may keep it, lose
//!    it, tear it, or keep a later one without it.
//! 2. A name (created, renamed, removed) is durable only after [`Disk::sync_dir`]. Unsynced changes of names are
//!    kept as a prefix, in order: journalling file systems do that, and a rename is never half done.
//! 3. A file handle stays with its file when that is renamed or removed.
//! 4. [`Disk::create`] gives a file of the asked length whose every byte is a *written* zero, already synced:
//!    overwriting such a file needs no allocation, which halves the cost of a later sync and keeps a full disk
//!    from being found out in the middle of a commit.
//!
//! It does not cache, order or retry anything, and it has no notion of records.

mod mem;
mod real;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub use mem::{Fault, MemDisk};
pub use real::RealDisk;

/// What to do about a [`DiskError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No space (or quota) left: free some and try again. Nothing that was durable is lost.
    Full,
    /// There is no file of that name.
    NotFound,
    /// Another process holds the directory.
    Locked,
    /// Permissions or a read-only file system: the operator's mistake.
    Denied,
    /// The device or the file system failed. What was written since the last sync is in doubt: stop.
    Io,
}

/// A failed operation on a disk, with the file it was about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {file}: {message}")]
pub struct DiskError {
    /// What to do about it.
    pub kind: DiskErrorKind,
    /// What was tried.
    pub operation: &'static str,
    /// The file's name, with its directory where there is one.
    pub file: String,
    /// What the system said.
    pub message: String,
}

/// The result of a disk operation.
pub type DiskResult<T> = Result<T, DiskError>;

/// Held as long as a directory is in use by one process; dropping it lets go.
pub struct DirLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl DirLock {
    fn new(held: impl Any + Send + Sync) -> DirLock {
        DirLock { _held: Box::new(held) }
    }
}

impl fmt::Debug for DirLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirLock")
    }
}

/// Files by name in one directory. Names hold no path separators.
pub trait Disk: Send + Sync {
    /// Makes sure that no other process uses the directory until the lock is dropped.
    fn lock(&self) -> DiskResult<DirLock>;

    /// Creates a file of `len` written and synced zeros, in place of any file of that name. Its name is durable
    /// after [`Disk::sync_dir`]. A file that could not be completed is removed.
    fn create(&self, name: &str, len: u64) -> DiskResult<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>>;

    /// Renames a file, in place of any file called `to`.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> DiskResult<()>;

    /// The names of all files, sorted.
    fn list(&self) -> DiskResult<Vec<String>>;

    /// Makes all changes of names durable.
    fn sync_dir(&self) -> DiskResult<()>;

    /// What to call a file in messages to an operator.
    fn describe(&self, name: &str) -> String;
}

/// An open file. Safe to use from several threads; reads and writes name their place.
pub trait DiskFile: Send + Sync {
    /// Reads up to `into.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> DiskResult<usize>;

    /// Writes all bytes at `offset`, extending the file if need be.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> DiskResult<()>;

    /// Makes everything written to this file durable (fdatasync).
    fn sync(&self) -> DiskResult<()>;

    /// The length in bytes.
    fn len(&self) -> DiskResult<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> DiskResult<bool> {
        Ok(self.len()? == 0)
    }
}

/// Zeros to write from: long enough to be quick, short enough not to matter.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Writes zeros over `from..to`.
pub(crate) fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> DiskResult<()> {
    let mut at = from;
    while at < to {
        let n = (to - at).min(ZEROS.len() as u64) as usize;
        file.write_at(at, &ZEROS[..n])?;
        at += n as u64;
    }
    Ok(())
}

/// Reads exactly `into.len()` bytes, or as many as the file has; returns how many.
pub(crate) fn read_full(file: &dyn DiskFile, offset: u64, into: &mut [u8]) -> DiskResult<usize> {
    let mut done = 0;
    while done < into.len() {
        let n = file.read_at(offset + done as u64, &mut into[done..])?;
        if n == 0 {
            break;
        }
        done += n;
    }
    Ok(done)
}

#[cfg(test)]
mod tests;
