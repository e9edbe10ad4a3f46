//! The names of what can be wrong, and how a finding is told.

use std::fmt;

use super::graph::{Edge, Link};
use super::notation::Seen;
use super::{History, Key, Kind, Op};

/// A class of anomalies. The first group shows in single reads, the second as cycles of dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A transaction contradicts itself: it does not see its own write, or two of its reads differ.
    Internal,
    /// A value that nobody wrote.
    ThinAir,
    /// A list holds a value twice.
    Duplicate,
    /// Two reads of a list, neither a prefix of the other: a write was lost, or there is no one order.
    Incompatible,
    /// Adya's G1a, aborted read: a value of a transaction that was refused.
    G1a,
    /// Adya's G1b, intermediate read: a value that its writer itself replaced.
    G1b,
    /// Adya's G0, dirty write: a cycle of ww.
    G0,
    /// Adya's G1c, circular information flow: a cycle of ww and wr.
    G1c,
    /// Two transactions wrote a key, and one of them, which read it, did not see the other's write.
    LostUpdate,
    /// Adya's G-single, read skew: a cycle with exactly one rw.
    GSingle,
    /// A cycle with two rw or more, none next to another (Elle's G-nonadjacent): snapshots that are not of one order. With two
    /// readers and two writers it is the long fork (Sovran, Power, Aguilera, Li: Transactional Storage for Geo-Replicated
    /// Systems, SOSP 2011).
    LongFork,
    /// Two transactions, neither of which saw the other's write.
    WriteSkew,
    /// Adya's G2, anti-dependency cycle: any other cycle, also one that shows only when an order is sought in which all
    /// could have run one after the other.
    G2,
}

/// What order a cycle needs besides the data's: the fewer the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// None.
    Data,
    /// That of sessions.
    Session,
    /// That of real time.
    RealTime,
}

/// A finding.
#[derive(Clone, Debug)]
pub struct Anomaly {
    /// What it is.
    pub class: Class,
    /// What order it is against.
    pub layer: Layer,
    /// The transactions of a cycle, each before the next and the last before the first; or the one that saw it.
    pub transactions: Vec<usize>,
    /// For people.
    pub story: String,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Internal => "internal contradiction",
            Class::ThinAir => "value out of thin air",
            Class::Duplicate => "duplicate value",
            Class::Incompatible => "incompatible orders",
            Class::G1a => "G1a (aborted read)",
            Class::G1b => "G1b (intermediate read)",
            Class::G0 => "G0 (dirty write)",
            Class::G1c => "G1c (circular information flow)",
            Class::LostUpdate => "lost update",
            Class::GSingle => "G-single (read skew)",
            Class::LongFork => "long fork",
            Class::WriteSkew => "write skew",
            Class::G2 => "G2 (anti-dependency cycle)",
        })
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let against = match self.layer {
            Layer::Data => "",
            Layer::Session => ", against the order of a session",
            Layer::RealTime => ", against real time",
        };
        write!(f, "{}{against}:\n{}", self.class, self.story)
    }
}

impl Anomaly {
    /// Something that one transaction saw.
    pub(super) fn seen(class: Class, history: &History, by: usize, what: &str) -> Anomaly {
        let story = format!("  {} {what}\n    {}\n", name(history, by), history.transactions[by]);
        Anomaly { class, layer: Layer::Data, transactions: vec![by], story }
    }

    /// A cycle.
    pub(super) fn cycle(class: Class, layer: Layer, history: &History, edges: &[Edge]) -> Anomaly {
        let mut story = String::new();
        for edge in edges {
            story.push_str(&format!("  {}\n", tell(history, edge)));
        }
        story.push_str("  so each of them comes before itself\n");
        for edge in edges {
            story.push_str(&format!("    T{}: {}\n", edge.from, history.transactions[edge.from]));
        }
        Anomaly { class, layer, transactions: edges.iter().map(|edge| edge.from).collect(), story }
    }
}

/// A transaction, for people.
fn name(history: &History, at: usize) -> String {
    let transaction = &history.transactions[at];
    format!("T{at} (process {}, {})", transaction.process, transaction.site)
}

fn tell(history: &History, edge: &Edge) -> String {
    let (from, to) = (name(history, edge.from), name(history, edge.to));
    match edge.link {
        Link::Ww { key, first, then } | Link::Arbitration { key, first, then } => {
            format!("{from} {}; {to} {}, which came after it", wrote(key, first), wrote(key, then))
        }
        Link::Wr { key, value } => format!("{from} {}; {to} saw it", wrote(key, value)),
        Link::Rw { key, missed } => {
            let seen = read(history, edge.from, key, missed);
            format!("{from} read {key} = {seen} without {missed}, which {to} {}", verb(key))
        }
        Link::Before { key, first, then } => {
            format!(
                "{from} must come before {to}: in no other order do the reads of {key} ({first}, {then}) make sense"
            )
        }
        Link::Session => format!("{from} was acknowledged before {to} began in the same session"),
        Link::RealTime => format!("{from} was acknowledged before {to} began"),
    }
}

fn wrote(key: Key, value: i64) -> String {
    format!("{} {value} to {key}", verb(key))
}

fn verb(key: Key) -> &'static str {
    match key.kind {
        Kind::List => "appended",
        Kind::Set => "added",
        Kind::Register => "wrote",
    }
}

/// What a transaction saw when it missed a value.
fn read(history: &History, by: usize, key: Key, missed: i64) -> String {
    let reads = history.transactions[by].ops.iter().find_map(|op| match op {
        Op::Read(at, seen) if *at == key && !seen.contains(&missed) => Some(Seen(key, seen).to_string()),
        _ => None,
    });
    reads.unwrap_or_default()
}
