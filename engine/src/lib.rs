//! The engine.

/// A position in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// A local sequence number: one per applied transaction.
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

/// A consistent snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {}
