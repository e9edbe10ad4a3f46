//! The client's view: histories of transactions as clients saw them, and an independent judge of their consistency.
//!
//! Nothing here knows the product. Clients write down what they asked and what they were told; the judge decides whether
//! a database that keeps its promise could have told them so. It follows Kingsbury and Alvaro (*Elle: Inferring Isolation
//! Anomalies from Experimental Observations*, VLDB 2020): objects are chosen such that a read tells which writes came
//! before it, every pair of reads and writes becomes an edge of a graph over transactions, and a cycle is an anomaly of
//! Adya's (*Weak Consistency*, MIT 1999), named by the edges it is made of.
//!
//! ```text
//!   recorder ──► History ──► versions ──► Graph ──► cycles ──► Verdict
//!   (clients)    T0 T1 …     what came    ww wr rw  classes    against what a Model forbids,
//!                            before what  so rt                as readable cycles
//! ```
//!
//! **Objects.** Every value is written at most once to a key, so a value names its writer.
//!
//! | kind | a write | a read tells | in SQL |
//! |---|---|---|---|
//! | list | appends | the whole order of writes so far | strict text (`v = v \|\| ',7'`), or rows numbered by `max(n) + 1` |
//! | set | adds | which writes are seen, no order | one row for each element, append only, keys trusted: blue |
//! | register | replaces | the one write that won | a strict column, or an lww column: blue |
//!
//! A list needs an order, and order is what red is for: there is no blue list. What blue promises (whole transactions, in
//! causal order, none seen before what it depends on) is told by sets in full: the judge of grow-only sets is complete for
//! causal consistency. Registers hide what was overwritten; the order of their versions is inferred as far as it
//! follows from what was seen (`versions.rs`), so a register's verdict is sound and not complete.
//!
//! **Edges.** *ww*: its write comes right after the other's in the order of versions. *wr*: it saw the other's write.
//! *rw*: it did not see the other's write. *so*: it is later in the same session. *rt*: it began after the
//! other was acknowledged.
//!
//! **Outcomes.** *Ok* happened. *Failed* did not: whoever sees its writes has found G1a. *Unknown* (the connection was
//! lost, or the database said so) may have happened: it did if anybody saw a write of it, and is left out
//! otherwise. Nothing is later than an unknown transaction in its session, for it may take effect at any time.
//!
//! **Models** say which classes a promise forbids, and whether sessions or real time count ([`judge::Model`]). What is
//! found and not forbidden is told as well: a test can demand that blue histories do show long forks.
//!
//! What it does not do: predicates (except as lists kept in rows), deletes, counters.

pub mod classes;
mod cycles;
pub mod executors;
mod graph;
pub mod judge;
pub mod notation;
mod record;
mod versions;
pub mod workload;

use std::fmt;

pub use classes::{Anomaly, Class};
pub use judge::{Model, Verdict, judge};
pub use record::Recorder;
pub use versions::Inference;

/// What kind of object a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Appended to; read in order.
    List,
    /// Added to; read without order.
    Set,
    /// Overwritten.
    Register,
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Of what kind.
    pub kind: Kind,
    /// Which of them.
    pub id: u64,
}

/// A part of a transaction, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Appends, adds or writes a value that nobody else writes to this key.
    Write(Key, i64),
    /// Saw these values: a list's in order, a set's ascending, a register's one or none.
    Read(Key, Vec<i64>),
}

/// What a client knows of a transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Ok,
    /// Refused: it must have no effect.
    Failed,
    /// Anything.
    Unknown,
}

/// A transaction as its client saw it.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// A session: one transaction after the other, at one site.
    pub process: u64,
    /// Where.
    pub site: String,
    /// What was asked and answered, in order. A write that failed to be answered is there, a read is not.
    pub ops: Vec<Op>,
    /// When it began, on the recorder's clock.
    pub begun: u64,
    /// When the client knew its outcome; none: never, or nobody measured.
    pub ended: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Transactions in the order in which they began; T7 is the one at index 7.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// All of them, of every outcome.
    pub transactions: Vec<Transaction>,
}

impl Op {
    /// The object it reads or writes.
    pub fn key(&self) -> Key {
        match self {
            Op::Write(key, _) | Op::Read(key, _) => *key,
        }
    }
}

impl Transaction {
    /// What it wrote to a key, in order.
    pub fn writes(&self, key: Key) -> impl Iterator<Item = i64> + '_ {
        self.ops.iter().filter_map(move |op| match op {
            Op::Write(at, value) if *at == key => Some(*value),
            _ => None,
        })
    }

    /// Whether it wrote to a key.
    pub fn wrote(&self, key: Key) -> bool {
        self.writes(key).next().is_some()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            Kind::List => 'l',
            Kind::Set => 's',
            Kind::Register => 'r',
        };
        write!(f, "{letter}{}", self.id)
    }
}
