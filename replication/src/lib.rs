//! Replication: blue transactions to every site in causal order, red ones in one order, over links that fail.
//!
//! # What
//!
//! Sites run the same code and are all equal. A blue transaction is committed by one site alone and must reach all others,
//! after everything it depends on, once. A red transaction must get one position, the same at every site, and keep it when any
//! minority of sites is lost. Nothing that a site says may rest on what a crash can take back. This crate decides *what to
//! log, apply and say, and when*; it owns no thread, socket, file or clock ([`quic`] apart, which carries frames).
//!
//! ```text
//!                    ┌────────────────────────────── Replica ───────────────────────────────┐
//!   frames of peers ─► Hello, Relay, Heartbeat ── routes: who is reached, through whom       │
//!                    │                                                                      │
//!                    │ Blue, Acks, Fetch ───────► causal ◄── Committed r ──── sequencer ◄── Append, Vote, Propose
//!                    │                            streams,    ── held ──────► raft, parking, │
//!   local commits ───► committed ───────────────► admission,  ◄─ Want deps ── proposals      │
//!   local red ───────► propose ─────────────────────────────────────────────►               │
//!   fsyncs ──────────► durable(mark) ───────────► gaps                                       │
//!                    └───────┬──────────────────────────────────────────────────────┬───────┘
//!                            ▼                                                      ▼
//!              for the engine: Log, Admit, AdmitRed, Persist          for the links: Send
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`replica`] | the one state machine that a site drives: the border, and what it promises about durability |
//! | [`causal`] | logs of all origins, admission, streams with windows, acknowledgements, gaps |
//! | [`sequencer`] | the red order: raft behind a checked border, no-wedge parking, proposals with ids and VOIDs |
//! | [`routes`] | relaying through a third site when a direct link is down |
//! | [`clock`] | the hybrid logical clock that stamps writes |
//! | [`bootstrap`] | filling a site with a copy of another one's tables |
//! | [`wire`] | every message and its frame |
//! | [`quic`] | frames over QUIC: the only part with sockets |
//!
//! # Why like this
//!
//! - **Pure.** The simulator and the real program run the same code; one seed repeats a run of whole clusters byte for byte. Found
//!   that way: an acknowledgement lost at the wrong moment, a Hello overtaken by a relay, an entry behind a conflict.
//! - **One rule of durability.** Outputs are carried out at once and in order; what rests on a sync waits inside until the site reports
//!   it. So the site cannot get it wrong, and the simulation checks every message against what is on disk.
//! - **Receiving is not applying.** What is received is logged at once; what it waits for does not hold up a stream, and what a
//!   site *holds* survives the site that made it.
//! - **The order never waits for the dead.** An entry is written to a sequencer log only where what it depends on is held. A majority
//!   that has the entry has its causes too.
//! - **Everything may be lost, nothing may be said twice with effect.** Every message is repeated until what it was for has happened;
//!   receivers drop what they have; a second copy of an entry is void by the order itself.
//!
//! # Example: one blue and one red transaction, three sites, site 0 leads
//!
//! ```text
//!   site 1                             site 0 (leader)                     site 2
//!   commits 1.1, logs, fsync
//!     ── Blue 1.1 ────────────────────► Log 1.1, Admit 1.1
//!     ── Blue 1.1 ──────────────────────────────────────(slow)──────────────►  …
//!   propose e, deps (1:1)
//!   Persist open(e), fsync
//!     ── Propose e ───────────────────► holds (1:1): proposes
//!                                         ── Append e ─────────────────────► lacks 1.1: parked; fetched if it stays away
//!     ◄─ Append e ─────────────────────
//!   Persist e, fsync
//!     ── AppendReply ─────────────────► own fsync done: committed, r = 1
//!                                       AdmitRed 1
//!     ◄─ Append (commit) ──────────────  ── Append (commit) ───────────────►
//!   AdmitRed 1 → the client                                                 1.1 comes: Log, Admit; e is written; AdmitRed 1
//! ```
//!
//! # What it does not do
//!
//! It decides no verdict and applies nothing. Who the members are is a pure function of the
//! order ([`gemini_shadow_ops::members`]); when to add or remove one is the operator's. Rights and barriers are not here; a site without its disk cannot come back under its name (it is refused at its Hello). It does
//! not encrypt or authenticate: the link has proved who speaks. It defends against broken, stale and reordered messages
//! without a panic, not against a member that lies with care.

pub mod bootstrap;
pub mod causal;
pub mod clock;
pub mod freshness;
pub mod quic;
pub mod replica;
pub mod rights;
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
