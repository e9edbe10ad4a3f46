//! The thread that copies the log to its archive, and what operators see of it.
//!
//! It looks once a second for full segments, and now and then copies what is not full yet (`[archive] every`). Nothing waits for it
//! but the reuse of segments: when the archive's disk is full or gone the site goes on, its log grows, and
//! `archive.behind` in `/status`, `gemini_archive_behind` in `/metrics` and an error in the log tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gemini_engine::disk::DiskResult;
use gemini_engine::log::archive::Archiver;
use gemini_engine::{Disk, RealDisk};
use parking_lot::Mutex;

use super::DriverError;
use super::threads::spawn;
use crate::config::{Archive, Site};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// How the archive stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Full segments that are not copied yet.
    pub behind: AtomicU64,
    /// Why the last copy failed.
    pub error: Mutex<Option<String>>,
}

/// Starts the thread; it ends when the other end of `stop` is dropped.
pub(super) fn start(
    archive: &Archive,
    site: &Site,
    archiver: Archiver,
    standing: Arc<Standing>,
    stop: Receiver<()>,
) -> Result<JoinHandle<()>, DriverError> {
    let path = archive.dir.join(&site.name);
    let disk = RealDisk::open(&path).map_err(|e| DriverError::Storage {
        what: "the archive",
        path,
        cause: e.to_string(),
    })?;
    let every = archive.every;
    spawn("gemini-archive", move || keep(&disk, every, &archiver, &standing, &stop))
}

fn keep(disk: &dyn Disk, every: Duration, archiver: &Archiver, standing: &Standing, stop: &Receiver<()>) {
    let mut tail = Instant::now();
    loop {
        let stopped = stop.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout);
        // The last look of a drained site takes everything along.
        let due = stopped || tail.elapsed() >= every;
        if due {
            tail = Instant::now();
        }
        let outcome = copy(disk, archiver, due, standing);
        let failed = outcome.err().map(|e| e.to_string());
        let mut known = standing.error.lock();
        match &failed {
            Some(error) if known.is_none() => {
                tracing::error!(error, "the log is not archived; it is kept until it is")
            }
            None if known.is_some() => tracing::info!("the log is archived again"),
            _ => {}
        }
        *known = failed;
        drop(known);
        if stopped {
            return;
        }
    }
}

fn copy(disk: &dyn Disk, archiver: &Archiver, tail: bool, standing: &Standing) -> DiskResult<()> {
    let told = || standing.behind.store(archiver.behind(), Ordering::Relaxed);
    told();
    while let Some(segment) = archiver.copy_next(disk)? {
        told();
        tracing::info!(segment, "archived");
    }
    if tail {
        archiver.copy_tail(disk)?;
    }
    Ok(())
}
