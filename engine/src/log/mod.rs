//! The log: the one place where a site's facts become durable.
//!
//! ```text
//!  site thread          log thread                      any thread        any thread
//!  append(record) ─┐                                    reader.read(lsn)  upkeep.run(disk)
//!  append(record) ─┼► buffer ─ take_batch() ► batch.write(disk)             prepares the next segment,
//!  append(record) ─┘                          = write + one fdatasync       recycles cut ones
//! ```
//!
//! A record is encoded once, into the buffer that is later written; its position ([`Lsn`]) is fixed then. Whatever
//! was appended while a batch was being synced goes into the next one: group commit without a timer. A record is
//! durable when a batch whose `end` lies beyond it was written.
//!
//! Positions only grow. A segment covers the positions from its base to its base plus the length of its file; a
//! record never spans two (one too big for a common segment gets a segment of its own size), so a few positions at
//! a segment's end may stay unused. `frame.rs` has the bytes.
//!
//! **Invariants**
//! 1. A batch is written only after the one before it is durable. A frame's `back` says where its batch began,
//!    hence what was durable when it was written.
//! 2. Within a batch that spans segments, a segment is synced before the next one is written to.
//! 3. A segment appears under its name only whole: zeros (or an older life's bytes) and header synced first, then
//!    renamed, then the directory synced; all before the frame that ends its predecessor is written. So a missing
//!    or shorter segment is never the trace of a crash.
//! 4. Segments are removed from the oldest on, and added at the end: the numbers on disk have no holes.
//! 5. After a failed write or sync nothing succeeds any more. A full disk while a segment is prepared is no failure:
//!    the batch is intact and may be written again later.
//! 6. What is left of a torn batch is overwritten with zeros before the first append, so that it can never come
//!    back to life behind new frames.
//!
//! What it does not do: it holds no index (users keep positions), replays nothing, and cannot tell a torn last batch
//! from damage to the last batch that was durable: like every log, it takes both for the end.

pub mod archive;
mod batch;
mod error;
pub(crate) mod frame;
pub mod inspect;
mod open;
mod reader;
mod record;
mod segments;
mod shared;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use batch::Batch;
pub use error::{LogError, LogRemedy, LogResult};
pub use open::{Opened, Torn};
pub use reader::{LogEntry, LogIter, LogReader};
pub use record::{Kind, MAX_RECORD, Record};
pub use segments::Upkeep;

use crate::Lsn;
use crate::disk::{DirLock, Disk};
use shared::Shared;

/// The position of the first record of a log of which nothing was ever cut.
pub const BEGINNING: u64 = frame::SEGMENT_HEADER;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The length of a segment's file. Tests and simulations use small ones; at least 8 KiB.
    pub segment_bytes: u64,
    /// Whether a directory without a log gets a new one; otherwise that is an error.
    pub create: bool,
    /// Stamped into a new log, so that segments of different logs are never mixed up.
    pub identity: u64,
    /// How many cut segments are kept for reuse.
    pub spares: usize,
    /// Whether segments are copied to an archive: then none is used again before [`archive::Archiver`] has copied it.
    pub archive: bool,
    /// Where a new log's first segment begins: 0, unless what came before is in an image. Then the log is never taken for one
    /// that reaches back to the beginning.
    pub begin: Lsn,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 32 * 1024 * 1024,
            create: true,
            identity: 0,
            spares: 2,
            archive: false,
            begin: Lsn(0),
        }
    }
}

/// The writer's end of the log. There is one; see the module for who runs what.
pub struct Log {
    shared: Arc<Shared>,
    _lock: DirLock,
}

impl Log {
    /// Locks the directory, checks every retained segment and frame, cuts a torn end, and is ready to append.
    pub fn open(options: &LogOptions, disk: &dyn Disk) -> LogResult<(Log, Opened)> {
        let lock = disk.lock()?;
        let (shared, opened) = open::open(options, disk)?;
        Ok((Log { shared: Arc::new(shared), _lock: lock }, opened))
    }

    /// Encodes the record into the buffer and gives its position. It is durable once a batch was written whose
    /// end lies beyond. On an error nothing was appended.
    pub fn append(&mut self, record: &Record) -> LogResult<Lsn> {
        self.shared.append(record)
    }

    /// Everything appended since the last call, to be written on another thread; `None` if that is nothing.
    /// Batches must be written in the order taken; best take one when the one before is written.
    pub fn take_batch(&mut self) -> Option<Batch> {
        Batch::take(&self.shared)
    }

    /// Whether [`Log::take_batch`] would give one.
    pub fn has_batch(&self) -> bool {
        !self.shared.state.lock().open.bytes.is_empty()
    }

    /// Housekeeping to be run on another thread, off the path of commits: the next segment is prepared, cut ones
    /// are recycled. Ask after each batch; `None` if there is nothing to do, or one is still out. After a full disk
    /// there is none until [`Log::cut`] or [`Log::retry_full`].
    pub fn take_upkeep(&mut self) -> Option<Upkeep> {
        Upkeep::take(&self.shared)
    }

    /// Records below are no longer needed: whole segments of them are recycled by the next upkeep. Positions in the
    /// segment that holds `below` stay readable. Nothing that is not yet durable is cut.
    pub fn cut(&mut self, below: Lsn) {
        let mut state = self.shared.state.lock();
        state.cut_below = state.cut_below.max(below.0);
        state.full = false;
    }

    /// Whether the disk had no room for another segment. What is left of the current one is a reserve for what was
    /// promised already: refuse new writes of clients (53100).
    pub fn full(&self) -> bool {
        self.shared.state.lock().full
    }

    /// Lets upkeep try again after a full disk; call it now and then.
    pub fn retry_full(&mut self) {
        self.shared.state.lock().full = false;
    }

    /// The position after the last appended record.
    pub fn end(&self) -> Lsn {
        Lsn(self.shared.state.lock().next)
    }

    /// Everything before is durable.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.state.lock().durable)
    }

    /// Where the first retained record is, or would be.
    pub fn first(&self) -> Lsn {
        Lsn(self.shared.state.lock().first())
    }

    /// Why the log has stopped, if it has.
    pub fn stopped(&self) -> Option<String> {
        self.shared.state.lock().failed.clone()
    }

    /// The length of all retained segments.
    pub fn retained_bytes(&self) -> u64 {
        self.shared.state.lock().segments.values().map(|s| s.header.capacity).sum()
    }

    /// What copies full segments to an archive, for a thread of its own.
    pub fn archiver(&self) -> archive::Archiver {
        archive::Archiver::new(self.shared.clone())
    }

    /// A reader, for any thread.
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.shared.clone())
    }
}
