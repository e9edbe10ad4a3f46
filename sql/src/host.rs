//! The border between SQL and the site that runs it. SQL knows nothing of replication: it hands a generated
//! transaction over and waits for the outcome.

use std::future::Future;
use std::pin::Pin;

use gemini_engine::{LocalRead, Seq, Snapshot};
use gemini_shadow_ops::{
    Classification, Color, DataType, EntryId, Frontier, Item, Schema, SequenceId, ShadowTransaction, SiteId,
    TxnId, Value,
};

/// A future of the host's, not bound to any runtime.
pub type Wait<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A `gemini.*` view: its columns, and its rows.
pub type View = (Vec<(&'static str, DataType)>, Vec<Vec<Value>>);

/// When a blue commit is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On this site's disk.
    #[default]
    Local,
    /// On the disks of a majority of sites.
    Quorum,
}

/// A generated, classified transaction on its way to the site. `deps` and `stamp` are the site's to set.
#[derive(Debug)]
pub struct Submission {
    /// Effects; `deps` and `stamp` are placeholders until the commit.
    pub transaction: ShadowTransaction,
    /// Colour, reasons, footprint, spends.
    pub classification: Classification,
    /// Validated against the newest local state: refused with [`CommitError::Conflict`] if changed.
    pub local_reads: Vec<LocalRead>,
    /// Values minted in this transaction, wherever they ended up: the site refuses one that another transaction in flight
    /// uses explicitly.
    pub minted: Vec<(SequenceId, i64)>,
    /// Explicit values, at or above the base and of this site's own class, given for minting columns of open sequences: the
    /// site mints above them and lets nobody else use them until the outcome is known.
    pub explicit: Vec<(SequenceId, i64)>,
    /// Asserted to be blue (`gemini.color = 'blue'`): it fails at once where it would have to ask other sites for rights.
    pub asserted_blue: bool,
    /// When a blue commit is acknowledged.
    pub durability: Durability,
    /// Give up waiting after this many microseconds (statement_timeout, or the site's commit timeout if None).
    pub timeout: Option<u64>,
    /// For those who look at red transactions: which statement, and how long it took to generate. None: blue.
    pub about: Option<About>,
}

/// What a transaction was made by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The shape of its last statement that wrote: `?` for values.
    pub statement: String,
    /// From the transaction's begin to its submission, µs; the client's pauses within a block are in it.
    pub generated: u64,
}

/// A committed transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// Its name.
    pub id: TxnId,
    /// Its colour.
    pub color: Color,
    /// Visible from here on.
    pub seq: Seq,
}

/// Why a transaction did not commit, by what the caller can do.
#[derive(Clone, Debug, PartialEq)]
pub enum CommitError {
    /// Something it read or writes changed here since its snapshot: run the generator anew on a snapshot at or after `seq`
    /// (an autocommitted READ COMMITTED statement is run again by the session), else 40001.
    Conflict {
        /// What changed.
        item: Item,
        /// Wait until this is visible.
        seq: Seq,
    },
    /// Refused by certification or a stale schema: 40001 naming table and key, or run anew as above.
    Refused {
        /// For people.
        message: String,
        /// Set when a table and key are known.
        item: Option<Item>,
    },
    /// The site lacks rights, and those who have them did not give them: 57P03. Nothing has happened.
    Short {
        /// Names the constraint, the row, and the sites that hold the rights.
        message: String,
    },
    /// Never sent: 57P03.
    Unavailable {
        /// Names the unreachable sites.
        message: String,
    },
    /// Sent, and the outcome is not known yet: 40003.
    Unknown {
        /// For `gemini.transaction_status(id)`.
        id: EntryId,
        /// For people.
        message: String,
    },
    /// The disk is full: 53100; a queue is full: 53300; shutting down: 57P01.
    Rejected {
        /// The SQLSTATE.
        sqlstate: &'static str,
        /// For people.
        message: String,
    },
}

/// How an entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TransactionStatus {
    Committed(TxnId),
    Refused,
    Void,
    InProgress,
    /// Older than the certification window, or never seen here.
    Unknown,
}

/// How old a site's state may be, compared with all others'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Everything that any site had applied at this moment, by this site's clock, is visible here. µs since 2000-01-01 UTC.
    pub as_of: i64,
    /// Whose news are the oldest; none where there is no other site.
    pub oldest: Option<String>,
}

/// What SQL needs of the site around it.
pub trait Host: Send + Sync + 'static {
    /// The newest visible snapshot.
    fn snapshot(&self) -> Snapshot;
    /// Resolves when the local version `seq` is visible (at once if it is).
    fn visible(&self, seq: Seq) -> Wait<()>;
    /// Commits blue here, or orders red; resolves after the local apply.
    fn submit(&self, submission: Submission) -> Wait<Result<Committed, CommitError>>;
    /// Mints the next value of an open sequence: never twice, also after a restart. 55000-like refusal if closed or exhausted.
    fn mint(&self, schema: &Schema, sequence: SequenceId) -> Wait<Result<i64, CommitError>>;
    /// The value that [`Host::mint`] would give after `ahead` others, without using it up.
    fn would_mint(&self, schema: &Schema, sequence: SequenceId, ahead: u64) -> Result<i64, CommitError>;
    /// Resolves after so many microseconds.
    fn pause(&self, micros: u64) -> Wait<()>;
    /// Microseconds since 2000-01-01 UTC.
    fn now(&self) -> i64;
    /// Random bits (uuids, random()).
    fn random(&self) -> u64;
    /// This site.
    fn site(&self) -> SiteId;
    /// Its name in sites.toml.
    fn site_name(&self) -> String;
    /// (this site's minting class, number of classes).
    fn minting_class(&self) -> (u32, u32);
    /// How an entry ended, as far as this site knows.
    fn transaction_status(&self, id: EntryId) -> TransactionStatus;
    /// What this site has applied.
    fn frontier(&self) -> Frontier;
    /// How old this site's state may be.
    fn freshness(&self) -> Freshness;
    /// Why no client is served now (57P03), if it is so.
    fn closed(&self) -> Option<String> {
        None
    }
    /// Rows of a `gemini.*` view (`sites`, `status`, `conflicts`, `transactions`): column names and rows; None if there is no such view.
    fn view(&self, name: &str) -> Option<View>;
}
