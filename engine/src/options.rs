//! How an engine is kept.

use std::fmt;
use std::sync::Arc;

use crate::Lsn;
use crate::log::LogOptions;

/// How far a start is with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Where the log begins.
    pub first: Lsn,
    /// From here on what it says is applied to the rows; before, it is only read.
    pub replay_from: Lsn,
    /// Read up to here.
    pub at: Lsn,
    /// Where it ends.
    pub end: Lsn,
}

/// Hears how far a start is, every few hundred records and at the end: for people who wait.
#[derive(Clone, Default)]
pub struct ReplayWatch(pub Option<Arc<dyn Fn(Replayed) + Send + Sync>>);

impl ReplayWatch {
    pub(crate) fn tell(&self, replayed: Replayed) {
        if let Some(watch) = &self.0 {
            watch(replayed);
        }
    }
}

impl fmt::Debug for ReplayWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ReplayWatch" } else { "ReplayWatch(nobody)" })
    }
}

/// How an engine is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log: segment length, identity, whether to create one.
    pub log: LogOptions,
    /// Bytes of row versions in memory, roughly: above it, folded rows leave memory; above twice as much with nothing left
    /// to fold, the oldest snapshots are ended.
    pub memory: u64,
    /// Bytes of log written since the last checkpoint after which [`crate::Engine::wants_checkpoint`] says so.
    pub checkpoint_every: u64,
    /// How much of the conflict log is kept.
    pub conflicts: Retention,
    /// Who hears how far a start is.
    pub watch: ReplayWatch,
}

/// How long displaced values are kept: whichever bound is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bytes, roughly, in memory and in the store alike.
    pub bytes: u64,
    /// Microseconds since the later of the two writes.
    pub age: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            log: LogOptions::default(),
            memory: 256 * 1024 * 1024,
            checkpoint_every: 64 * 1024 * 1024,
            conflicts: Retention { bytes: 16 * 1024 * 1024, age: 30 * 24 * 3_600 * 1_000_000 },
            watch: ReplayWatch::default(),
        }
    }
}
