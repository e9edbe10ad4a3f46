//! What goes into a replica and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::{Dot, Entry, EntryId, Frontier, Members, ShadowTransaction, SiteId};

use crate::sequencer::SequencerRecovery;
use crate::wire::{PeerMessage, Removed, Want};

/// What a replica is told when it is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// This site.
    pub me: SiteId,
    /// Sites that this one talks to before it is a member, by its sites.toml.
    pub contacts: Vec<SiteId>,
    /// Where leadership of the sequencer belongs when that site is there.
    pub preferred: Option<SiteId>,
    /// Peers of another cluster are refused.
    pub cluster: u128,
    /// Drawn once, when the data directory was made.
    pub incarnation: u64,
    /// This process's number, durably counted (the `Record::Start` of this start stands in the log before anything
    /// that the replica outputs).
    pub start: u64,
    /// How long everything takes.
    pub timing: Timing,
    /// The site is being filled from another one: it logs, votes and hands over what it has, and applies nothing.
    pub filling: bool,
}

/// How long everything takes, in microseconds.
#[derive(Clone, Debug)]
pub struct Timing {
    /// One tick of the sequencer. An election begins after 10 to 10 + 4 × (sites - 1) ticks of silence.
    pub tick: u64,
    /// Between heartbeats on a direct link.
    pub heartbeat: u64,
    /// A direct link is taken for broken after this much silence; messages are relayed then.
    pub silence: u64,
    /// A blue stream without acknowledgement starts again after this long.
    pub resend: u64,
    /// A gap is fetched after this long.
    pub fetch: u64,
    /// A proposal of which nothing is heard is sent again after this long.
    pub propose: u64,
    /// A leader that lacks what an entry depends on refuses it after this long.
    pub commit: u64,
    /// How far ahead a proposed entry's stamp may be of the leader's clock.
    pub offset: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            tick: 100_000,
            heartbeat: 150_000,
            silence: 700_000,
            resend: 2_000_000,
            fetch: 300_000,
            propose: 1_000_000,
            commit: 5_000_000,
            offset: 500_000,
        }
    }
}

/// What the log held when the process started. All of it is durable.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Per origin, how many of its blue transactions stand in the log, applied or not (at least `applied`).
    pub logged: Frontier,
    /// What the engine has applied.
    pub applied: Frontier,
    /// Every `Record::Sequencer` of the log, in order, fed to [`SequencerRecovery::record`].
    pub sequencer: SequencerRecovery,
    /// The peers' incarnations, as noted on [`Output::Learned`].
    pub incarnations: BTreeMap<SiteId, u64>,
    /// The members after `applied.red`.
    pub members: Members,
}

/// Where a replica finds what it has handed over before: the engine, whose answers change only between its calls.
pub trait Shelf {
    /// A blue transaction that stands in the log. None: not there (or the disk has failed, which is the site's to handle).
    fn blue(&self, dot: Dot) -> Option<Arc<ShadowTransaction>>;
    /// A red entry that was applied here.
    fn red(&self, r: u64) -> Option<Arc<Entry>>;
    /// Whether blue transactions had better wait in the log, because what was applied takes too much memory already.
    fn crowded(&self) -> bool {
        false
    }
}

/// What the site is to do, in order, before the next call.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Append `Record::Blue { dot, transaction, local: false }`.
    Log {
        /// Its name.
        dot: Dot,
        /// What was received.
        transaction: Arc<ShadowTransaction>,
    },
    /// Apply it here: `engine.admit_blue`. It stands in the log already, and what it depends on is applied.
    Admit {
        /// Its name.
        dot: Dot,
        /// What to apply.
        transaction: Arc<ShadowTransaction>,
    },
    /// Decide and apply the next red index: `Window::decide(r, …)`, `engine.admit_red`. What it depends on is applied; r comes
    /// without gaps or repeats.
    AdmitRed {
        /// The position in the red order.
        r: u64,
        /// What was ordered.
        entry: Arc<Entry>,
    },
    /// Append `Record::Sequencer(bytes)`.
    Persist(Vec<u8>),
    /// Hand it to the direct link with `to`. May be dropped if the link is down or full: everything is repeated.
    Send {
        /// A direct neighbour.
        to: SiteId,
        /// What to say.
        message: PeerMessage,
    },
    /// A [`PeerMessage::Look`], [`PeerMessage::Looked`] or [`PeerMessage::Fill`]: the site's own business, which
    /// [`super::Replica::say`] answers.
    Heard {
        /// Who said it.
        from: SiteId,
        /// What.
        message: PeerMessage,
    },
    /// A peer asks for rights: the site gives some in a blue transaction of its own.
    Wanted {
        /// Who asks.
        from: SiteId,
        /// For what.
        wants: Vec<Want>,
    },
    /// A majority of the sites have our blue transactions up to n on disk.
    Replicated {
        /// Of this site.
        n: u64,
    },
    /// A proposal of this process has passed its deadline.
    Failed {
        /// Which.
        id: EntryId,
        /// What is known.
        failure: Failure,
    },
    /// The sequencer's leader, as far as this site knows, has changed.
    Leader {
        /// None while there is none.
        leader: Option<SiteId>,
        /// Its term.
        term: u64,
    },
    /// Note durably (`Record::Note`) that this peer has this incarnation; hand it back in [`Recovered::incarnations`].
    Learned {
        /// The peer.
        site: SiteId,
        /// Its data directory's.
        incarnation: u64,
    },
    /// Close the link with `peer` and log the reason as an error; connecting again later may help.
    Disconnect {
        /// The peer.
        peer: SiteId,
        /// For people.
        reason: String,
    },
    /// Stop committing for ever and say so: peers have more of this site's transactions than itself, or other.
    Halt {
        /// For people.
        reason: String,
    },
    /// This site was removed: note it durably, stop committing for ever and say so.
    Removed(Removed),
    /// Log a warning. The peer said something that cannot be, which was ignored.
    Suspect {
        /// The peer.
        peer: SiteId,
        /// For people.
        reason: String,
    },
}

/// What is known of a proposal that passed its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was never sent and never will be.
    Unavailable(Unavailable),
    /// It was sent. Whether it is ordered, the log will say; a VOID is on its way.
    Unknown {
        /// Why the leader did not take it, if it said so.
        reason: Option<String>,
    },
}

/// Nothing can be ordered now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Sites that this one does not reach, not even through others.
    pub unreachable: Vec<SiteId>,
    /// Whether those that it reaches, itself included, are a majority (there is no leader yet, then).
    pub majority: bool,
}

/// A replica cannot be made from this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReplicaError {
    #[error("a sequencer record in the log is damaged: {0}")]
    Record(String),
    #[error("the log contradicts itself: {0}")]
    Inconsistent(String),
    #[error("the sites are not well configured: {0}")]
    Options(String),
}

/// For `gemini status`, views and metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Whom this site follows.
    pub leader: Option<SiteId>,
    /// The term.
    pub term: u64,
    /// "leader", "follower", "candidate".
    pub role: &'static str,
    /// The greatest red index known to be committed.
    pub committed: u64,
    /// The greatest red index in this site's sequencer log, committed or not.
    pub last: u64,
    /// Proposals of this site whose end is not known.
    pub open: usize,
    /// Appends parked until what they depend on is here.
    pub parked: usize,
    /// Received blue transactions that wait for what they depend on.
    pub waiting: u64,
    /// The others.
    pub peers: Vec<PeerStatus>,
}

/// What this site knows of another.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// The peer.
    pub site: SiteId,
    /// Whether a direct link is up.
    pub direct: bool,
    /// Whom messages to it are given to: itself, or a relay; None: unreachable.
    pub via: Option<SiteId>,
    /// Microseconds since it was last heard on the direct link.
    pub silence: Option<u64>,
    /// What it says it has on disk.
    pub durable: Frontier,
    /// What it says it has applied.
    pub applied: Frontier,
    /// All that it had applied at this moment of our clock (µs since 1970) is applied here; 0: not known of any.
    pub as_of: u64,
}
