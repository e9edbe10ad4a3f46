//! (essay)

pub mod clock;
pub mod quic;
pub mod replica;
pub mod wire;

pub use clock::{Clock, ClockError};
pub use replica::{
    Failure, Mark, Options, Output, PeerStatus, Recovered, Replica, ReplicaError, SequencerRecovery, Shelf,
    Status, Timing, Unavailable,
};
