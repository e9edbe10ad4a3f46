//! Histories as text: what tests are written in, and what a failure prints.
//!
//! One transaction a line, in the order in which they began:
//!
//! ```text
//! 3@us-west ok 4..9: append l1 5; read l2 [1 2]
//! 4@us-east unknown: add s1 7; read s1 {7}; write r1 8; read r1 nil
//! ```
//!
//! Process and site, outcome (ok, failed, unknown), when it began and ended (may be left out: then real time says
//! nothing of it), what it did.

use std::fmt;

use super::{History, Key, Kind, Op, Outcome, Transaction};

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Write(key, value) => {
                let verb = match key.kind {
                    Kind::List => "append",
                    Kind::Set => "add",
                    Kind::Register => "write",
                };
                write!(f, "{verb} {key} {value}")
            }
            Op::Read(key, seen) => write!(f, "read {key} {}", Seen(*key, seen)),
        }
    }
}

/// What a read saw.
pub(super) struct Seen<'a>(pub Key, pub &'a [i64]);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen(key, seen) = self;
        let values = seen.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
        match key.kind {
            Kind::List => write!(f, "[{values}]"),
            Kind::Set => write!(f, "{{{values}}}"),
            Kind::Register if seen.is_empty() => write!(f, "nil"),
            Kind::Register => write!(f, "{values}"),
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
        };
        write!(f, "{}@{} {outcome}", self.process, self.site)?;
        if let Some(ended) = self.ended {
            write!(f, " {}..{ended}", self.begun)?;
        }
        let ops: Vec<String> = self.ops.iter().map(Op::to_string).collect();
        write!(f, ": {}", ops.join("; "))
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transactions.iter().try_for_each(|transaction| writeln!(f, "{transaction}"))
    }
}

/// Reads a history; empty lines are skipped. `Err` names the line that cannot be read.
pub fn parse(text: &str) -> Result<History, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let transactions = lines.map(|line| transaction(line).ok_or_else(|| format!("cannot read: {line}")));
    Ok(History { transactions: transactions.collect::<Result<_, _>>()? })
}

fn transaction(line: &str) -> Option<Transaction> {
    let (head, body) = line.split_once(':')?;
    let mut words = head.split_whitespace();
    let (process, site) = words.next()?.split_once('@')?;
    let outcome = match words.next()? {
        "ok" => Outcome::Ok,
        "failed" => Outcome::Failed,
        "unknown" => Outcome::Unknown,
        _ => return None,
    };
    let (begun, ended) = match words.next() {
        Some(times) => {
            let (begun, ended) = times.split_once("..")?;
            (begun.parse().ok()?, Some(ended.parse().ok()?))
        }
        None => (0, None),
    };
    Some(Transaction {
        process: process.parse().ok()?,
        site: site.to_owned(),
        ops: body.split(';').map(op).collect::<Option<_>>()?,
        begun,
        ended,
        outcome,
    })
}

fn op(text: &str) -> Option<Op> {
    let mut words = text.trim().splitn(3, ' ');
    let (verb, key, rest) = (words.next()?, key(words.next()?)?, words.next()?);
    match (verb, key.kind) {
        ("append", Kind::List) | ("add", Kind::Set) | ("write", Kind::Register) => {
            Some(Op::Write(key, rest.parse().ok()?))
        }
        ("read", _) => {
            let values = rest.trim_matches(|c| "[]{}".contains(c));
            let values = if values == "nil" { "" } else { values };
            let values = values.split_whitespace().map(|value| value.parse().ok());
            Some(Op::Read(key, values.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn key(text: &str) -> Option<Key> {
    let kind = match text.chars().next()? {
        'l' => Kind::List,
        's' => Kind::Set,
        'r' => Kind::Register,
        _ => return None,
    };
    Some(Key { kind, id: text[1..].parse().ok()? })
}
