//! How messages read in logs, tests and traces: one short line each.

use std::fmt;

use gemini_shadow_ops::Entry;

use super::{
    Acks, Answer, Blue, Fetch, FetchReply, Fill, Heartbeat, Hello, Looked, Offer, PeerMessage, Proposal,
    RaftMessage, Rejected, Tail, Wants,
};

impl fmt::Display for PeerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerMessage::Hello(m) => m.fmt(f),
            PeerMessage::Blue(m) => m.fmt(f),
            PeerMessage::Acks(m) => write!(f, "Acks {m}"),
            PeerMessage::Fetch(m) => write!(f, "Fetch {m}"),
            PeerMessage::FetchReply(FetchReply::Cut(m)) => write!(f, "Cut {m}"),
            PeerMessage::FetchReply(FetchReply::Blue(m)) => write!(f, "Reply {m}"),
            PeerMessage::FetchReply(FetchReply::Red { first, entries }) => {
                write!(f, "Reply r{first}")?;
                entries.iter().try_for_each(|e| write!(f, " {}", Short(e)))
            }
            PeerMessage::Sequencer(m) => m.fmt(f),
            PeerMessage::Propose(m) => write!(f, "Propose {}", Short(&m.entry)),
            PeerMessage::Proposal(m) => m.fmt(f),
            PeerMessage::Relay(m) => match PeerMessage::relayed(m.kind, &m.body.0) {
                Ok(inner) => write!(f, "Relay {}→{} hop {} [{inner}]", m.from, m.to, m.hops),
                Err(error) => write!(f, "Relay {}→{} hop {} [{error}]", m.from, m.to, m.hops),
            },
            PeerMessage::Heartbeat(m) => m.fmt(f),
            PeerMessage::Stored(m) => write!(f, "Stored t{} has {}", m.term, m.index),
            PeerMessage::Fill(m) => write!(f, "Fill {m}"),
            PeerMessage::Look(m) => {
                write!(f, "Look {} at {} rows of t{} at {}", m.id, m.sum.rows, m.table, m.frontier)
            }
            PeerMessage::Wants(Wants { wants }) => write!(f, "Wants rights of {} rows", wants.len()),
            PeerMessage::Looked(Looked { id, frontier, rows: None, .. }) => {
                write!(f, "Looked {id} same at {frontier}")
            }
            PeerMessage::Looked(Looked { id, frontier, rows: Some(rows), .. }) => {
                write!(f, "Looked {id} other, {} rows at {frontier}", rows.len())
            }
            PeerMessage::Removed(m) => match m.count {
                Some(count) => write!(f, "Removed {} at r{}, {count} count", m.site, m.fenced),
                None => write!(f, "Removed {} at r{}", m.site, m.fenced),
            },
        }
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fill::Ask { covers } => write!(f, "ask {covers}"),
            Fill::Wait { reason, .. } => write!(f, "wait: {reason}"),
            Fill::Offer(Offer { image, bytes, frontier }) => {
                write!(f, "offer {image:x}, {bytes} bytes at {frontier}")
            }
            Fill::Take { image, offset, length } => write!(f, "take {image:x} {offset}+{length}"),
            Fill::Piece { image, offset, bytes } => write!(f, "piece {image:x} {offset}+{}", bytes.0.len()),
            Fill::Gone { image } => write!(f, "gone {image:x}"),
        }
    }
}

impl fmt::Display for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fetch::Blue { origin, from, upto } => write!(f, "{origin}.{from}..{upto}"),
            Fetch::Red { from, upto } => write!(f, "r{from}..{upto}"),
        }
    }
}

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hello { site, incarnation, own, yours, acks, heard, .. } = self;
        write!(
            f,
            "Hello from {site}#{incarnation} own {own} yours {yours} {acks}{}",
            if *heard { " heard" } else { "" }
        )
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "durable {} applied {} ordered {}", self.durable, self.applied, self.ordered)
    }
}

impl fmt::Display for Blue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blue {}.{}{}", self.origin, self.first, if self.awaited { " awaited" } else { "" })?;
        self.transactions.iter().try_for_each(|t| write!(f, " deps {}", t.deps))
    }
}

impl fmt::Display for RaftMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RaftMessage::Append { term, index, log_term, commit, entries } => {
                write!(f, "Append t{term} after {index}@{log_term} commit {commit} [")?;
                for (i, e) in entries.iter().enumerate() {
                    let gap = if i > 0 { " " } else { "" };
                    match postcard::from_bytes::<Entry>(&e.body.0) {
                        Ok(entry) => write!(f, "{gap}{}@{}", Short(&entry), e.term)?,
                        Err(_) if e.body.0.is_empty() => write!(f, "{gap}-@{}", e.term)?,
                        Err(_) => write!(f, "{gap}?@{}", e.term)?,
                    }
                }
                write!(f, "]")
            }
            RaftMessage::AppendReply { term, index, commit, rejected: None } => {
                write!(f, "AppendReply t{term} has {index} commit {commit}")
            }
            RaftMessage::AppendReply {
                term, index, rejected: Some(Rejected { hint, hint_term }), ..
            } => {
                write!(f, "AppendReply t{term} no {index}, try {hint}@{hint_term}")
            }
            RaftMessage::Vote { pre, term, index, log_term, transfer, .. } => {
                let (pre, transfer) =
                    (if *pre { "Pre" } else { "" }, if *transfer { " (transfer)" } else { "" });
                write!(f, "{pre}Vote t{term} has {index}@{log_term}{transfer}")
            }
            RaftMessage::VoteReply { pre, term, granted, .. } => {
                let (pre, answer) = (if *pre { "Pre" } else { "" }, if *granted { "yes" } else { "no" });
                write!(f, "{pre}VoteReply t{term} {answer}")
            }
            RaftMessage::Heartbeat { term, commit } => write!(f, "RaftHeartbeat t{term} commit {commit}"),
            RaftMessage::HeartbeatReply { term, commit } => {
                write!(f, "RaftHeartbeatReply t{term} commit {commit}")
            }
            RaftMessage::Base { term, index, log_term, r, .. } => {
                write!(f, "Base t{term} {index}@{log_term} r{r}")
            }
            RaftMessage::TimeoutNow { term } => write!(f, "TimeoutNow t{term}"),
        }
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal {}{} ", if self.void { "void " } else { "" }, self.id)?;
        match &self.answer {
            Answer::Accepted { term } => write!(f, "accepted in t{term}"),
            Answer::NotLeader { leader: Some(leader) } => write!(f, "not leader, try {leader}"),
            Answer::NotLeader { leader: None } => write!(f, "not leader"),
            Answer::Refused { reason } => write!(f, "refused: {reason}"),
        }
    }
}

impl fmt::Display for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heartbeat {} reach", self.acks)?;
        self.reach.iter().try_for_each(|(site, hops)| write!(f, " {site}:{hops}"))
    }
}

/// An entry by its name.
pub(crate) struct Short<'a>(pub &'a Entry);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Entry::Transaction(t) => write!(f, "{}", t.id),
            Entry::Void { id, .. } => write!(f, "void({id})"),
            Entry::Member(member) => write!(f, "({member})"),
        }
    }
}
