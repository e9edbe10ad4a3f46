//! The border to the library: our messages to raft's and back, and the checks that keep its contract.
//!
//! raft 0.7.0 panics when its contract is broken, and a peer's message can break it. So no message reaches it unless:
//!
//! | message | checked | or else the library would |
//! |---|---|---|
//! | all | sender is another member; 0 < term < 2⁶⁰; indexes < 2⁶⁰ | overflow `term + 1`, `index + 1` |
//! | Append | `log_term` is 0 only at index 0 | match a missing entry and append beyond the log's end |
//! | Append | terms do not fall, start at `log_term`, end at `term` | keep a log that no leader can have written |
//! | Append | agrees with what is committed here | panic: conflict with a committed entry |
//! | Append | bodies are entries that can be read (in `parking`) | commit what cannot be applied |
//! | Append, Heartbeat | not from another than this term's leader, not to it | follow two leaders in one term |
//! | Heartbeat | `commit` within our log | panic: commit out of range |
//! | AppendReply | at our term as leader: `index` within our log | send entries that do not exist |
//! | AppendReply | not refusing what it has acknowledged (a late copy) | go back to before what is compacted, for ever |
//! | VoteReply | granted votes only for the term whose requests have left here | become leader before its own log is on disk, and panic |
//! | Base | agrees with what is committed here | restore over a committed entry |
//! | TimeoutNow | from the leader, at our term | campaign for a stranger |
//!
//! Old terms pass: the library answers or ignores them. Proposals, reads and local messages
//! cannot be expressed in [`RaftMessage`] at all.

use bytes::Bytes;
use gemini_shadow_ops::SiteId;
use gemini_shadow_ops::members::reconfigures;
use raft::StateRole;
use raft::eraftpb::{Entry as RaftEntry, EntryType, Message, MessageType};

use super::Node;
use super::storage::{Base, base_of, snapshot};
use crate::wire::{Blob, LogEntry, RaftMessage, Rejected};

/// Terms and indexes from here on are refused.
pub const MAX: u64 = 1 << 60;

/// Marks the campaign of a leader's chosen successor.
const TRANSFER: &[u8] = b"CampaignTransfer";

/// The library's name of a site (0 means nobody there).
pub fn raft_id(site: SiteId) -> u64 {
    u64::from(site.0) + 1
}

/// The site of a library's name.
pub fn site_of(id: u64) -> Option<SiteId> {
    u16::try_from(id.checked_sub(1)?).ok().map(SiteId)
}

/// A message of ours as the library takes it.
#[allow(clippy::field_reassign_with_default)] // the generated messages have hidden fields
pub fn to_raft(me: SiteId, from: SiteId, message: RaftMessage) -> Message {
    let mut m = Message::default();
    m.to = raft_id(me);
    m.from = raft_id(from);
    match message {
        RaftMessage::Append { term, index, log_term, commit, entries } => {
            m.set_msg_type(MessageType::MsgAppend);
            (m.term, m.index, m.log_term, m.commit) = (term, index, log_term, commit);
            let entries: Vec<RaftEntry> =
                (index + 1..).zip(entries).map(|(index, e)| raft_entry(index, e.term, e.body.0)).collect();
            m.set_entries(entries.into());
        }
        RaftMessage::AppendReply { term, index, commit, rejected } => {
            m.set_msg_type(MessageType::MsgAppendResponse);
            (m.term, m.index, m.commit) = (term, index, commit);
            if let Some(Rejected { hint, hint_term }) = rejected {
                (m.reject, m.reject_hint, m.log_term) = (true, hint, hint_term);
            }
        }
        RaftMessage::Vote { pre, term, index, log_term, commit, commit_term, transfer } => {
            m.set_msg_type(if pre { MessageType::MsgRequestPreVote } else { MessageType::MsgRequestVote });
            (m.term, m.index, m.log_term, m.commit, m.commit_term) =
                (term, index, log_term, commit, commit_term);
            if transfer {
                m.context = Bytes::from_static(TRANSFER);
            }
        }
        RaftMessage::VoteReply { pre, term, granted, commit, commit_term } => {
            m.set_msg_type(if pre {
                MessageType::MsgRequestPreVoteResponse
            } else {
                MessageType::MsgRequestVoteResponse
            });
            (m.term, m.reject, m.commit, m.commit_term) = (term, !granted, commit, commit_term);
        }
        RaftMessage::Heartbeat { term, commit } => {
            m.set_msg_type(MessageType::MsgHeartbeat);
            (m.term, m.commit) = (term, commit);
        }
        RaftMessage::HeartbeatReply { term, commit } => {
            m.set_msg_type(MessageType::MsgHeartbeatResponse);
            (m.term, m.commit) = (term, commit);
        }
        RaftMessage::Base { term, index, log_term, r } => {
            m.set_msg_type(MessageType::MsgSnapshot);
            m.term = term;
            let base = Base { index, term: log_term, r };
            m.set_snapshot(snapshot(base));
        }
        RaftMessage::TimeoutNow { term } => {
            m.set_msg_type(MessageType::MsgTimeoutNow);
            m.term = term;
        }
    }
    m
}

/// An entry as the library takes it. One that changes who votes is of a kind of its own, of which the library lets only one at a time
/// be on its way, and under which nobody campaigns before it is applied. The library would read such an entry's `data` as its
/// own description of the change (it never acts on it; empty data are a well-formed one): so ours travels in `context`.
pub fn raft_entry(index: u64, term: u64, body: Bytes) -> RaftEntry {
    let mut e = RaftEntry::default();
    (e.index, e.term) = (index, term);
    if reconfigures(&body) {
        e.set_entry_type(EntryType::EntryConfChange);
        e.context = body;
    } else {
        e.data = body;
    }
    e
}

/// What [`raft_entry`] was given.
pub fn body_of(entry: &mut RaftEntry) -> Bytes {
    std::mem::take(if entry.data.is_empty() { &mut entry.context } else { &mut entry.data })
}

/// A message of the library's as it travels. None for what we never use.
pub fn from_raft(mut m: Message) -> Option<(SiteId, RaftMessage)> {
    let to = site_of(m.to)?;
    let term = m.term;
    let message = match m.get_msg_type() {
        MessageType::MsgAppend => {
            let entries: Vec<RaftEntry> = m.take_entries().into();
            let log_entry = |mut e: RaftEntry| LogEntry { term: e.term, body: Blob(body_of(&mut e)) };
            let entries = entries.into_iter().map(log_entry).collect();
            RaftMessage::Append { term, index: m.index, log_term: m.log_term, commit: m.commit, entries }
        }
        MessageType::MsgAppendResponse => {
            let rejected = m.reject.then_some(Rejected { hint: m.reject_hint, hint_term: m.log_term });
            RaftMessage::AppendReply { term, index: m.index, commit: m.commit, rejected }
        }
        kind @ (MessageType::MsgRequestVote | MessageType::MsgRequestPreVote) => RaftMessage::Vote {
            pre: kind == MessageType::MsgRequestPreVote,
            term,
            index: m.index,
            log_term: m.log_term,
            commit: m.commit,
            commit_term: m.commit_term,
            transfer: m.context == TRANSFER,
        },
        kind @ (MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse) => {
            RaftMessage::VoteReply {
                pre: kind == MessageType::MsgRequestPreVoteResponse,
                term,
                granted: !m.reject,
                commit: m.commit,
                commit_term: m.commit_term,
            }
        }
        MessageType::MsgHeartbeat => RaftMessage::Heartbeat { term, commit: m.commit },
        MessageType::MsgHeartbeatResponse => RaftMessage::HeartbeatReply { term, commit: m.commit },
        MessageType::MsgSnapshot => {
            let Base { index, term: log_term, r } = base_of(m.get_snapshot())?;
            RaftMessage::Base { term, index, log_term, r }
        }
        MessageType::MsgTimeoutNow => RaftMessage::TimeoutNow { term },
        _ => return None,
    };
    Some((to, message))
}

/// The term of any message.
pub fn term_of(message: &RaftMessage) -> u64 {
    match message {
        RaftMessage::Append { term, .. }
        | RaftMessage::AppendReply { term, .. }
        | RaftMessage::Vote { term, .. }
        | RaftMessage::VoteReply { term, .. }
        | RaftMessage::Heartbeat { term, .. }
        | RaftMessage::HeartbeatReply { term, .. }
        | RaftMessage::Base { term, .. }
        | RaftMessage::TimeoutNow { term } => *term,
    }
}

/// Whether a message keeps the library's contract. `asked` is the term whose vote requests have left here. `Ok(false)`: stale or
/// untimely, to be dropped without a word. An error: no well-behaved peer says this.
pub fn check(node: &Node, from: SiteId, message: &RaftMessage, asked: u64) -> Result<bool, String> {
    let (raft, log) = (&node.raft, &node.raft.raft_log);
    let term = term_of(message);
    let bounded = |what: &str, value: u64| {
        if value < MAX { Ok(()) } else { Err(format!("{what} {value} is out of range")) }
    };
    bounded("term", term)?;
    if term == 0 {
        return Err("a message without a term".into());
    }
    match message {
        RaftMessage::Append { index, log_term, commit, entries, .. } => {
            bounded("index", *index)?;
            bounded("commit", *commit)?;
            shape(*index, *log_term, term, entries)?;
            if term < raft.term {
                return Ok(true);
            }
            leads(node, from, term)?;
            for (i, e) in (index + 1..).zip(entries) {
                if i <= log.committed && log.term(i).is_ok_and(|known| known != 0 && known != e.term) {
                    return Err(format!("entry {i} of term {} contradicts a committed one", e.term));
                }
            }
            Ok(true)
        }
        RaftMessage::Heartbeat { commit, .. } => {
            if term < raft.term {
                return Ok(true);
            }
            leads(node, from, term)?;
            if *commit > log.last_index() {
                return Err(format!("commit {commit} is beyond our last entry {}", log.last_index()));
            }
            Ok(true)
        }
        RaftMessage::AppendReply { index, commit, rejected, .. } => {
            bounded("index", *index)?;
            bounded("commit", *commit)?;
            let leads = term == raft.term && raft.state == StateRole::Leader;
            if let Some(Rejected { hint, hint_term }) = rejected {
                bounded("hint", *hint)?;
                bounded("term", *hint_term)?;
                // A late copy: what it refuses was acknowledged since.
                let matched = raft.prs().get(raft_id(from)).map_or(0, |p| p.matched);
                return Ok(!leads || *index > matched);
            } else if leads && *index > log.last_index() {
                return Err(format!("acknowledges entry {index}, beyond our last {}", log.last_index()));
            }
            Ok(true)
        }
        RaftMessage::Vote { index, log_term, commit, commit_term, .. } => {
            for (what, value) in
                [("index", index), ("term", log_term), ("commit", commit), ("term", commit_term)]
            {
                bounded(what, *value)?;
            }
            Ok(true)
        }
        RaftMessage::VoteReply { pre, granted, commit, commit_term, .. } => {
            bounded("commit", *commit)?;
            bounded("term", *commit_term)?;
            Ok(*pre
                || !*granted
                || (raft.state == StateRole::Candidate && term == raft.term && asked == term))
        }
        RaftMessage::HeartbeatReply { commit, .. } => {
            bounded("commit", *commit)?;
            Ok(true)
        }
        RaftMessage::Base { index, log_term, r, .. } => {
            bounded("index", *index)?;
            if *index == 0 || *log_term == 0 || *log_term > term || *r > *index {
                return Err(format!(
                    "a log that begins after entry {index} of term {log_term}, red index {r}"
                ));
            }
            if term < raft.term {
                return Ok(true);
            }
            leads(node, from, term)?;
            if *index <= log.committed && log.term(*index).is_ok_and(|known| known != 0 && known != *log_term)
            {
                return Err(format!(
                    "a log that begins after entry {index} of term {log_term}, not the one committed here"
                ));
            }
            Ok(true)
        }
        RaftMessage::TimeoutNow { .. } => Ok(term == raft.term && raft.leader_id == raft_id(from)),
    }
}

/// At most one leader speaks in one term.
fn leads(node: &Node, from: SiteId, term: u64) -> Result<(), String> {
    let raft = &node.raft;
    if term == raft.term {
        if raft.state == StateRole::Leader {
            return Err(format!("claims to lead term {term}, which this site leads"));
        }
        if raft.leader_id != 0 && raft.leader_id != raft_id(from) {
            return Err(format!("claims to lead term {term}, which raft member {} leads", raft.leader_id));
        }
    }
    Ok(())
}

/// What an append must look like whatever our log holds.
fn shape(index: u64, log_term: u64, term: u64, entries: &[LogEntry]) -> Result<(), String> {
    if (log_term == 0) != (index == 0) || log_term > term {
        return Err(format!("an append after entry {index} of term {log_term}"));
    }
    let mut before = log_term;
    for e in entries {
        if e.term < before.max(1) || e.term > term {
            return Err(format!("an append with term {} after {before} in term {term}", e.term));
        }
        before = e.term;
    }
    Ok(())
}
