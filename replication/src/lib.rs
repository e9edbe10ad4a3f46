//! (essay)

pub mod causal;
pub mod clock;
pub mod quic;
pub mod replica;
pub mod routes;
#[cfg(test)]
mod script;
pub mod sequencer;
#[cfg(test)]
mod simulation;
pub mod wire;

pub use clock::{Clock, ClockError};
pub use replica::{
    Failure, Mark, Options, Output, PeerStatus, Recovered, Replica, ReplicaError, Shelf, Status, Timing,
    Unavailable,
};
pub use sequencer::SequencerRecovery;
