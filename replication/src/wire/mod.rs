//! What sites say to each other.
//!
//! A message travels in one frame, on whatever ordered or unordered carrier there is:
//!
//! ```text
//!   0        1             5             9       10
//!   ├────────┼─────────────┼─────────────┼────────┼──────────────── ─ ─
//!   │ format │ length (LE) │ crc32c (LE) │  kind  │ body: postcard
//!   └────────┴─────────────┴─────────────┴────────┴──────────────── ─ ─
//!             length = bytes of body; the checksum covers kind and body
//! ```
//!
//! Rules:
//! 1. A length is checked against [`MAX_FRAME`] before anything is allocated for it ([`Header::parse`]).
//! 2. Bytes of a peer never cause a panic: they decode, or they are an error that names what is wrong.
//! 3. Kinds and layouts are fixed by golden tests. A change of a layout is a new kind or a new format.
//! 4. Bodies do not nest: a relayed message travels as bytes and is decoded where it is addressed to, so a
//!    peer cannot make a decoder recurse.
//! 5. Nothing here says that a message is *true*: [`crate::sequencer`] and [`crate::causal`] check what they are told
//!    before they believe it.

mod display;
mod frame;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gemini_shadow_ops::{
    BoundSide, ColumnId, Entry, EntryId, Frontier, Hlc, Key, ShadowTransaction, SiteId, TableId, TxnId, Value,
};
use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use display::Short;
pub use frame::{Blob, HEADER, Header, MAX_FRAME, MAX_TRANSACTION, WireError};

/// The version of everything in this module. Peers of another version are refused at the first frame.
pub const PROTOCOL: u16 = 7;

/// How often a message may change hands before it is dropped; also the longest route.
pub const MAX_HOPS: u8 = 4;

/// One message between sites.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerMessage {
    /// The first message in each direction on a new link.
    Hello(Hello),
    /// Blue transactions of one origin, in its order. Sent by the origin, after its fsync.
    Blue(Blue),
    /// What the sender has, after its fsync.
    Acks(Acks),
    /// Asks for blue transactions of any origin, or for red entries.
    Fetch(Fetch),
    /// The answer: perhaps less than asked for, never out of order.
    FetchReply(FetchReply),
    /// The sequencer's own.
    Sequencer(RaftMessage),
    /// An entry on its way to the leader. May be sent again: a second copy in the log is void.
    Propose(Propose),
    /// What the leader did with it. Only advice: the log alone decides.
    Proposal(Proposal),
    /// A message that cannot go the direct way.
    Relay(Relay),
    /// Sent on every direct link several times a second.
    Heartbeat(Heartbeat),
    /// What a voter has stored of the sequencer's log, for everybody.
    Stored(Stored),
    /// Asks whether some rows are the same at both sites.
    Look(Look),
    /// The answer.
    Looked(Looked),
    /// Filling a site with a copy of another one's tables.
    Fill(Fill),
    /// Said to a site that is no member any more.
    Removed(Removed),
    /// Asks for rights. Answered, if at all, by a blue transaction that gives some.
    Wants(Wants),
}

/// The first message in each direction on a new link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Peers of another cluster are refused.
    pub cluster: u128,
    /// [`PROTOCOL`].
    pub protocol: u16,
    /// Who speaks.
    pub site: SiteId,
    /// Drawn once, when the data directory was made: a copy or a successor of it shows.
    pub incarnation: u64,
    /// The newest schema version applied there.
    pub schema_version: u64,
    /// [`gemini_shadow_ops::Members::genesis`].
    pub genesis: u64,
    /// Whether the receiver's own Hello has been accepted: if not, it is to say it (again).
    pub heard: bool,
    /// The sender's own last blue transaction on its disk.
    pub own: Tail,
    /// The last transaction of the *receiver* on the sender's disk: a site whose peers have more of it than itself, or
    /// other, stops committing.
    pub yours: Tail,
    /// What it has.
    pub acks: Acks,
    /// Its clock.
    pub clock: Reading,
}

/// What a removed site is told: which of its transactions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The cluster that it was removed from.
    pub cluster: u128,
    /// Who.
    pub site: SiteId,
    /// The red index of its FENCE.
    pub fenced: u64,
    /// Its final count, once that is ordered: its later transactions are void.
    pub count: Option<u64>,
}

/// The end of one origin's transactions: how many, and a hash of the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// How many.
    pub count: u64,
    /// [`transaction_hash`] of the last, 0 if there is none or its bytes are no longer kept.
    pub hash: u64,
}

/// A clock as its owner reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Always 0: another one is refused (it would freeze our clock in that epoch).
    pub epoch: u32,
    /// The time.
    pub hlc: Hlc,
}

/// Blue transactions of one origin: n = `first`, `first + 1`, …
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Blue {
    pub origin: SiteId,
    pub first: u64,
    pub transactions: Vec<Arc<ShadowTransaction>>,
    /// A client waits until a majority has them on disk: acknowledge them as soon as they are.
    pub awaited: bool,
}

/// What the sender has, after its fsync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Acks {
    /// On its disk, applied or not (red: applied).
    pub durable: Frontier,
    /// Applied, and that fact on its disk.
    pub applied: Frontier,
    /// The greatest red index committed in the sender's own sequencer log, on its disk (what it has applied may be more,
    /// if it fetched entries from a peer).
    pub ordered: u64,
}

/// Asks for what the sender lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Fetch {
    /// Blue transactions of `origin` from `from` on, at most up to `upto`.
    Blue { origin: SiteId, from: u64, upto: u64 },
    /// Committed red entries from red index `from` on, at most up to `upto`.
    Red { from: u64, upto: u64 },
}

/// What was asked for, from its beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FetchReply {
    Blue(Blue),
    Red {
        first: u64,
        entries: Vec<Arc<Entry>>,
    },
    /// The first of what was asked for has been in the sender's log, and is there no longer.
    Cut(Fetch),
}

/// The sequencer's messages: raft's, in our own words. Terms and indexes are checked before raft sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RaftMessage {
    /// From the leader: entries after `index`, whose term is `log_term`.
    Append {
        /// The sender's term.
        term: u64,
        /// What the entries follow.
        index: u64,
        /// Its term.
        log_term: u64,
        /// How far the leader has committed.
        commit: u64,
        /// At index + 1, index + 2, …
        entries: Vec<LogEntry>,
    },
    /// To the leader, after the fsync.
    AppendReply {
        /// The sender's term.
        term: u64,
        /// What matches (or, refused, what was asked for).
        index: u64,
        /// How far the sender knows of the commit.
        commit: u64,
        /// Set when the append did not fit.
        rejected: Option<Rejected>,
    },
    /// From a candidate, after the fsync of its own vote.
    Vote {
        /// Asks only whether an election would succeed.
        pre: bool,
        /// The term campaigned for.
        term: u64,
        /// The candidate's last entry.
        index: u64,
        /// Its term.
        log_term: u64,
        /// How far it knows of the commit.
        commit: u64,
        /// That entry's term.
        commit_term: u64,
        /// The leader asked for it.
        transfer: bool,
    },
    /// To a candidate, after the fsync of the vote.
    VoteReply {
        /// Answers a pre-vote.
        pre: bool,
        /// The term asked for, or (refused) the sender's.
        term: u64,
        /// The vote.
        granted: bool,
        /// How far the sender knows of the commit.
        commit: u64,
        /// That entry's term.
        commit_term: u64,
    },
    /// From the leader.
    Heartbeat {
        /// The leader's term.
        term: u64,
        /// What is committed of that which the receiver has acknowledged.
        commit: u64,
    },
    /// To the leader.
    HeartbeatReply {
        /// The sender's term.
        term: u64,
        /// How far it knows of the commit.
        commit: u64,
    },
    /// The leader hands over: campaign now.
    TimeoutNow {
        /// The leader's term.
        term: u64,
    },
    /// From the leader, to a follower that lacks entries which the leader no longer has: where its log begins. Of use to whoever has
    /// applied the red entries up to there.
    Base {
        /// The leader's term.
        term: u64,
        /// The last entry that is gone.
        index: u64,
        /// Its term.
        log_term: u64,
        /// The red indices up to it.
        r: u64,
    },
}

/// Where a follower's log may agree with the leader's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Rejected {
    pub hint: u64,
    pub hint_term: u64,
}

/// One entry of the sequencer's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The term it was proposed in.
    pub term: u64,
    /// postcard of [`Entry`]; empty for a new leader's own first entry, which has no red index.
    pub body: Blob,
}

/// A voter's word, after its fsync: its log up to `index` is that of the leader of `term`, and on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The voter's term.
    pub term: u64,
    /// As an acknowledged append's.
    pub index: u64,
    /// Which members there were: words count among sites that agree on it.
    pub configuration: u64,
}

/// Asks whether a table's rows in a range of keys are the same at both sites: what the asker's are worth, at a frontier that
/// the asked site must have applied before it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Names the answer.
    pub id: u64,
    /// Whose rows.
    pub table: TableId,
    /// Keys above this one; None: from the first on.
    pub after: Option<Key>,
    /// Keys up to and with this one; None: to the last.
    pub upto: Option<Key>,
    /// Of the asker's snapshot: rows are worth the same only under one schema.
    pub schema_version: u64,
    /// Of the asker's snapshot.
    pub frontier: Frontier,
    /// All of its rows there.
    pub sum: RangeSum,
}

/// Many rows in a few bytes, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSum {
    /// How many.
    pub rows: u64,
    /// Sum (wrapping) of their fingerprints.
    pub fingerprints: u64,
    /// Sum (wrapping) of their contents' hashes.
    pub contents: u64,
}

/// One row in a few bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSum {
    /// Its primary key.
    pub key: Key,
    /// Which effects made it: equal fingerprints are equal sets of effects.
    pub fingerprint: u64,
    /// A hash of everything under the key.
    pub contents: u64,
}

/// The answer to a [`Look`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// The look's.
    pub id: u64,
    /// Of the snapshot that was looked at; it covers the look's.
    pub frontier: Frontier,
    /// Of the same.
    pub schema_version: u64,
    /// None: the sums are equal. Else the rows there, in order.
    pub rows: Option<Vec<RowSum>>,
    /// How far the rows go, if not all fitted: up to and with this key.
    pub upto: Option<Key>,
}

/// Filling a site with a copy of another one's tables (see [`crate::bootstrap`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fill {
    /// From the site that is to be filled: an image that covers what it has applied, please.
    Ask {
        /// What it has applied.
        covers: Frontier,
    },
    /// Not yet.
    Wait {
        /// An image is being made: that takes as long as it takes.
        making: bool,
        /// For people.
        reason: String,
    },
    /// There is one.
    Offer(Offer),
    /// A piece of it, please.
    Take {
        /// Which image.
        image: u64,
        /// From this byte on.
        offset: u64,
        /// So many bytes.
        length: u32,
    },
    /// What was asked for.
    Piece {
        /// Of this image.
        image: u64,
        /// From this byte on.
        offset: u64,
        /// The bytes.
        bytes: Blob,
    },
    /// There is no such image (any more): ask again.
    Gone {
        /// Which; 0: none can be had here.
        image: u64,
    },
}

/// An image that a site has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Tells one image from another: of its bytes.
    pub image: u64,
    /// Its length.
    pub bytes: u64,
    /// What is in it.
    pub frontier: Frontier,
}

impl RangeSum {
    /// Of these rows.
    pub fn of(rows: &[RowSum]) -> RangeSum {
        let mut sum = RangeSum { rows: rows.len() as u64, ..RangeSum::default() };
        for row in rows {
            sum.fingerprints = sum.fingerprints.wrapping_add(row.fingerprint);
            sum.contents = sum.contents.wrapping_add(row.contents);
        }
        sum
    }
}

/// Asks for rights of some rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wants {
    /// At most [`MAX_WANTS`].
    pub wants: Vec<Want>,
}

/// Of so many rows may one message ask for rights.
pub const MAX_WANTS: usize = 256;

/// Rights of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Want {
    pub table: TableId,
    pub key: Key,
    pub incarnation: TxnId,
    pub column: ColumnId,
    pub side: BoundSide,
    /// A spend waits for so many.
    pub need: Value,
    /// So many would keep the next ones from waiting.
    pub hope: Value,
}

/// An entry on its way to the leader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Propose {
    pub entry: Arc<Entry>,
}

/// What the leader did with an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The entry.
    pub id: EntryId,
    /// Whether it was a VOID of that id.
    pub void: bool,
    /// What became of it.
    pub answer: Answer,
}

/// What the leader did with an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It stands in the leader's log of this term; it may still be lost with the leader.
    Accepted {
        /// The leader's term.
        term: u64,
    },
    /// Not the leader; perhaps this one is.
    NotLeader {
        /// Whom the sender follows.
        leader: Option<SiteId>,
    },
    /// Not proposed, with the reason for people.
    Refused {
        /// For people.
        reason: String,
    },
}

/// A message that cannot go the direct way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Who said it.
    pub from: SiteId,
    /// Who is to hear it.
    pub to: SiteId,
    /// How often it has changed hands.
    pub hops: u8,
    /// The kind of the message inside.
    pub kind: u8,
    /// Its body.
    pub body: Blob,
}

/// Sent on every direct link several times a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's clock.
    pub clock: Reading,
    /// As in [`Acks`].
    pub acks: Acks,
    /// Whom the sender reaches, and in how many hops (itself not named).
    pub reach: Vec<(SiteId, u8)>,
    /// The newest schema version applied there.
    pub schema_version: u64,
    /// The leader it follows, with the term.
    pub leader: Option<(SiteId, u64)>,
    /// The sender's time, for the receiver to echo. Nothing is concluded from it.
    pub sent: u64,
    /// The receiver's `sent` of the last heartbeat that came from there; 0: none.
    pub echo: u64,
}

/// What identifies a transaction's bytes, to notice that two sites have different ones under the same dot.
pub fn transaction_hash(transaction: &ShadowTransaction) -> u64 {
    match postcard::to_allocvec(transaction) {
        Ok(bytes) => xxhash_rust::xxh3::xxh3_64(&bytes).max(1),
        Err(_) => 0,
    }
}

/// Bytes of a transaction on the wire. Transactions above [`MAX_TRANSACTION`] are refused at their commit: no frame
/// could carry them.
pub fn transaction_size(transaction: &ShadowTransaction) -> usize {
    postcard::experimental::serialized_size(transaction).unwrap_or(usize::MAX)
}
