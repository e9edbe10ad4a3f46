//! How an engine is kept.

use crate::log::LogOptions;

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
        }
    }
}
