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
    /// How many displaced values the conflict log keeps.
    pub conflicts: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            log: LogOptions::default(),
            memory: 256 * 1024 * 1024,
            checkpoint_every: 64 * 1024 * 1024,
            conflicts: 10_000,
        }
    }
}
