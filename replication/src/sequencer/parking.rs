//! No wedge: an entry is written only where everything blue that it depends on is held.
//!
//! ```text
//!   leader                      follower
//!     │  Append [17, 18]           │   17 depends on (1:41), held here; 18 on (1:42), not here yet
//!     ├───────────────────────────►│   17 goes to the library          18 is parked; Want (1:42)
//!     │◄───────────── reply 17 ────┤
//!     │  Append [19]               │
//!     ├───────────────────────────►│   follows 18: parked behind it
//!     │  Heartbeat                 │
//!     ├───────────────────────────►│   goes to the library: the leader is well and so are we
//!     │                            │   1.42 comes (stream or fetch), is logged: held
//!     │◄───────────── reply 19 ────┤   18 and 19 go to the library, after 1.42 in the same log
//! ```
//!
//! To the library a parked append has not been received. So a majority that has an entry also has what the entry depends on,
//! and a committed entry never waits for a transaction that died with its site. What overflows the park is
//! dropped: the leader sends it again, as it would after a loss.

use std::collections::VecDeque;
use std::sync::Arc;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Entry, Frontier, SiteId};

use super::Sequencer;
use super::border::to_raft;
use crate::replica::Output;
use crate::sequencer::Event;
use crate::wire::{LogEntry, RaftMessage};

/// Appends parked at most.
const PARKED: usize = 256;

/// Bytes parked at most.
const PARKED_BYTES: usize = 32 << 20;

/// An append, or what is left of it.
#[derive(Debug)]
struct Parked {
    from: SiteId,
    term: u64,
    index: u64,
    log_term: u64,
    commit: u64,
    entries: Vec<LogEntry>,
}

impl Parked {
    fn bytes(&self) -> usize {
        self.entries.iter().map(|e| e.body.0.len() + 16).sum()
    }
}

/// Appends that wait.
#[derive(Debug, Default)]
pub(super) struct Park {
    queue: VecDeque<Parked>,
    bytes: usize,
}

impl Park {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    fn push(&mut self, parked: Parked) {
        let same = |p: &Parked| {
            p.term == parked.term && p.index == parked.index && p.entries.len() >= parked.entries.len()
        };
        if self.queue.len() < PARKED
            && self.bytes + parked.bytes() <= PARKED_BYTES
            && !self.queue.iter().any(same)
        {
            self.bytes += parked.bytes();
            self.queue.push_back(parked);
        }
    }

    fn pop(&mut self) -> Option<Parked> {
        let parked = self.queue.pop_front()?;
        self.bytes -= parked.bytes();
        Some(parked)
    }
}

impl Sequencer {
    /// What an entry waits for, if anything. What is void counts as present: nobody will ever have it.
    pub(super) fn missing<'a>(&self, entry: &'a Entry) -> Option<&'a Frontier> {
        let present = |(site, n)| self.held.blue(site) >= n || self.members.is_void(site, n);
        entry.deps().filter(|deps| !deps.blues().all(present))
    }

    /// An append that has passed the checks of the border.
    pub(super) fn append(&mut self, from: SiteId, message: RaftMessage, out: &mut Vec<Event>) {
        let RaftMessage::Append { term, index, log_term, commit, entries } = message else { return };
        if term > self.node.raft.term || self.park.queue.front().is_some_and(|p| p.term < term) {
            // A new leader: what the old one sent may no longer be so.
            self.park = Park::default();
        }
        let parked = Parked { from, term, index, log_term, commit, entries };
        if self.park.len() > 0 && index > self.node.raft.raft_log.last_index() {
            if !parked.entries.is_empty() {
                self.park.push(parked);
            }
            return;
        }
        if let Some(rest) = self.write(parked, true, out) {
            self.park.push(rest);
        }
    }

    /// More is held than before: on with what was parked for it.
    pub(super) fn unpark(&mut self, out: &mut Vec<Event>) {
        while let Some(parked) = self.park.pop() {
            if parked.term < self.node.raft.term {
                continue;
            }
            let before = parked.entries.len();
            if let Some(rest) = self.write(parked, false, out) {
                let moved = rest.entries.len() < before;
                self.park.bytes += rest.bytes();
                self.park.queue.push_front(rest);
                if !moved {
                    break;
                }
            }
        }
    }

    /// Gives the library the entries whose dependencies are held, up to the first that lacks one. Returns the rest.
    fn write(&mut self, mut append: Parked, first: bool, out: &mut Vec<Event>) -> Option<Parked> {
        let Parked { from, term, index, commit, log_term, .. } = append;
        let mut keep = append.entries.len();
        // What our log has already was read when it came. From the first difference on, all is new.
        let mut known = true;
        for (i, e) in append.entries.iter().enumerate() {
            let at = index + 1 + i as u64;
            known &= self.node.raft.raft_log.term(at).is_ok_and(|term| term == e.term);
            if known || e.body.0.is_empty() {
                continue;
            }
            let entry: Arc<Entry> = match self.decoded(at, e.term, &e.body.0) {
                Ok(entry) => entry,
                Err(reason) => {
                    let reason = format!("entry {at}: {reason}");
                    out.push(Event::Out(Output::Suspect { peer: from, reason }));
                    return None;
                }
            };
            if let Some(deps) = self.missing(&entry).filter(|_| !planted(Fault::WrittenBeforeDeps)) {
                keep = i;
                if first {
                    out.push(Event::Want { deps: deps.clone(), hint: from });
                }
                break;
            }
        }
        let rest = append.entries.split_off(keep);
        if first || keep > 0 {
            let before = append.entries.last().map(|e| e.term);
            let message = RaftMessage::Append { term, index, log_term, commit, entries: append.entries };
            self.step(to_raft(self.me, from, message));
            self.forget_decoded_after(index);
            if rest.is_empty() {
                return None;
            }
            let log_term = before.unwrap_or(log_term);
            return Some(Parked {
                index: index + keep as u64,
                log_term,
                entries: rest,
                ..append_like(from, term, commit)
            });
        }
        Some(Parked { index, log_term, entries: rest, ..append_like(from, term, commit) })
    }
}

fn append_like(from: SiteId, term: u64, commit: u64) -> Parked {
    Parked { from, term, index: 0, log_term: 0, commit, entries: Vec::new() }
}
