//! The engine: one site's durable log, row versions, indexes and catalogue.
//!
//! A site is a replica of the whole database. Transactions reach it in three ways: a blue one committed here, a blue one
//! received and admitted, a red one whose turn has come. For the engine they are the same: shadow operations to be
//! **logged, applied and made visible, in that order and all at once**. Around this it keeps the promises that everything
//! above relies on: what was acknowledged survives any crash, a reader sees one moment and never waits, a restart finds
//! exactly what was durable, and data may be larger than memory.
//!
//! ```text
//!                  site thread (one writer)                      sessions (any number)
//!        commit_blue  admit_blue  admit_red                 Reader ──► Snapshot ──► get, scan, index_scan
//!              │           │          │                                   │ memory first, then the store
//!              ▼           ▼          ▼                                   ▼
//!        ┌───────────── log ──────────────┐   apply   ┌──── versions ───────────────┐
//!        │ buffer → one write, one sync   │──────────►│ table: key → v3 v8 v12      │  the newest ahead of the sync,
//!        │ (log thread), segments         │  durable  │ index: entry → there, gone  │  invisible until it is durable
//!        └────────────────────────────────┘──────────►│ epochs: who sees which      │
//!              ▲ replay from the checkpoint           └──────────────┬──────────────┘
//!              │                                                     │ fold: lazily, in key order, in bulk (keeper thread)
//!        ┌─────┴──────────────── store (on disk, or memory)──────────▼──┐
//!        │ rows, each with the LSN last applied to it │ index entries │ manifest │ conflicts │
//!        └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! # The four ideas
//!
//! 1. **The log is the database** ([`log`]). Commits, received transactions, admissions, the sequencer's entries, minted
//!    bounds: one file sequence, one group sync for all. Everything else is a cache of it.
//! 2. **Versions above it** (`versions`). A row is a chain of full images, one per moment that somebody may still see. The
//!    merged view that SQL reads is computed once, when a transaction is applied. A snapshot is a counted reference to a
//!    durable moment: taking one costs some tens of nanoseconds and no session waits for another.
//! 3. **The store below it** ([`store`]). Rows go there late, when a checkpoint or memory asks for it, and carry the
//!    position of the admission last applied to them. So batches may be small and fuzzy: replay skips, row by row, what is
//!    there already, and a delta is never counted twice. The store is never the truth; lost or damaged, it is built again.
//! 4. **Validation by moments** (`validate`). Chains remember when a row, a cell, an index key last changed, so "has
//!    what this transaction read changed since?" is a look-up.
//!
//! # A worked example
//!
//! Row 7 of `item` has `i_stock = 10`, folded at LSN 400; the checkpoint says "replay from 380".
//!
//! 1. A blue `i_stock = i_stock - 3` is committed: `Blue {dot 1.42, …}` goes to the log's buffer at LSN 910, the chain gets
//!    a version (Seq 51, LSN 910, 7 left). Readers hold the epoch of Seq 50 and see 10.
//! 2. The group's batch is on disk: Seq 51 is published. New snapshots see 7; one taken before still sees 10.
//! 3. The next checkpoint folds the row once nobody sees Seq 50 any more: the store has 7 left at LSN 910.
//! 4. kill -9 before the checkpoint is finished. The start replays from 380: for row 7 all admissions up to 910 are skipped,
//!    for its neighbour, folded at 400, those from 401 on are applied. Both are as they were.
//!
//! # Images
//!
//! [`image`] writes a snapshot to one file and makes a store of such a file: backups, and sites that are filled from others.
//!
//! # What it does not do
//!
//! It knows no clock, no thread of its own, no network, no SQL. It decides neither colours nor verdicts, and takes
//! admissions in the order it is given them (it refuses one that does not come next). It does not check constraints: an
//! index, unique or not, holds what its table holds. It does not purge ended incarnations.

mod apply;
mod catalogue;
pub mod check;
mod checkpoint;
mod conflicts;
mod digest;
pub mod disk;
mod dots;
pub mod dump;
mod engine;
mod error;
mod fold;
pub mod image;
pub mod log;
mod options;
mod range;
mod recover;
mod scratch;
mod snapshot;
pub mod store;
mod validate;
mod versions;
mod view;

pub use checkpoint::Pressure;
pub use conflicts::Conflict;
pub use digest::{Digest, RowSum};
pub use disk::{Disk, MemDisk, RealDisk};
pub use engine::Engine;
pub use error::{Error, Remedy};
pub use fold::{FoldHandle, Folded};
pub use log::{Batch, LogReader, Record};
pub use options::{Options, ReplayWatch, Replayed, Retention};
pub use range::KeyRange;
pub use recover::Replay;
pub use snapshot::{Reader, Snapshot};
pub use store::{MemStore, Store, StoreKind};

/// A position in the log. It only grows, across segments and restarts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Lsn(pub u64);

/// A local sequence number: one per applied transaction since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// An item read by a generator, with the snapshot it was read on.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalRead {
    /// What was read.
    pub item: gemini_shadow_ops::Item,
    /// The snapshot.
    pub seq: Seq,
}

/// Something a generator read has changed since.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalConflict {
    /// What changed.
    pub item: gemini_shadow_ops::Item,
    /// Run the generator again once this is visible.
    pub seq: Seq,
}
