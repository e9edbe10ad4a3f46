//! The engine: one site's durable log, row versions, indexes and catalogue.

mod apply;
mod catalogue;
pub mod check;
mod checkpoint;
mod conflicts;
mod digest;
pub mod disk;
mod dots;
mod engine;
mod error;
mod fold;
pub mod log;
mod options;
mod range;
mod recover;
mod snapshot;
pub mod store;
mod validate;
mod versions;
mod view;

pub use checkpoint::Pressure;
pub use conflicts::Conflict;
pub use digest::Digest;
pub use disk::{Disk, MemDisk, RealDisk};
pub use engine::Engine;
pub use error::{Error, Remedy};
pub use fold::{FoldHandle, Folded};
pub use log::{Batch, LogReader, Record};
pub use options::Options;
pub use range::KeyRange;
pub use recover::Replay;
pub use snapshot::{Reader, Snapshot};
pub use store::{MemStore, SledStore, Store};

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
