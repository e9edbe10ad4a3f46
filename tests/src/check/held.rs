//! No wedge (DESIGN §3): a site writes a sequencer entry only when it holds all the blue that the entry depends on. So an entry
//! that a majority has written never waits for a transaction that died with its site.
//!
//! Looked at where a site says that it has written: a leader by its Append, a follower by its answer, which means that its log is
//! the leader's up to there. Two logs with an entry of the same index and term are equal up to it (Ongaro and Ousterhout: In
//! Search of an Understandable Consensus Algorithm, USENIX ATC 2014, §5.3: Log Matching), so only what is new is looked at.

use std::collections::BTreeMap;

use gemini::site::Site;
use gemini_replication::wire::{LogEntry, PeerMessage, RaftMessage};
use gemini_shadow_ops::{Dot, Entry, Frontier, Members, SiteId};

/// An entry's term, and what it depends on.
type Written = (u64, Frontier);

#[derive(Debug)]
pub(super) struct Held {
    /// What each site has said that it has written, by index.
    logs: Vec<BTreeMap<u64, Written>>,
}

impl Held {
    pub fn new(sites: usize) -> Held {
        Held { logs: vec![BTreeMap::new(); sites] }
    }

    /// A site says something to another.
    pub fn says(&mut self, from: usize, site: &Site, to: usize, frame: &[u8], members: &Members) {
        // What cannot be read is `honest.rs`'s to complain of.
        if let Ok(message) = PeerMessage::decode(frame) {
            self.message(from, site, to, &message, members);
        }
    }

    fn message(&mut self, from: usize, site: &Site, to: usize, message: &PeerMessage, members: &Members) {
        match message {
            // What a site hands on is another's word.
            PeerMessage::Relay(relay) if relay.from == site.id() => {
                if let Ok(inner) = PeerMessage::relayed(relay.kind, &relay.body.0) {
                    self.message(from, site, usize::from(relay.to.0) - 1, &inner, members);
                }
            }
            PeerMessage::Sequencer(RaftMessage::Append { index, entries, .. }) => {
                for (at, entry) in (index + 1..).zip(entries) {
                    self.write(from, site, at, written(entry), members);
                }
            }
            PeerMessage::Sequencer(RaftMessage::AppendReply { index, rejected: None, .. }) => {
                let news: Vec<(u64, Written)> = (1..=*index)
                    .rev()
                    .map_while(|at| Some((at, self.logs[to].get(&at)?.clone())))
                    .take_while(|(at, (term, _))| self.term(from, *at) != Some(*term))
                    .collect();
                news.into_iter().for_each(|(at, written)| self.write(from, site, at, written, members));
            }
            _ => {}
        }
    }

    fn term(&self, node: usize, at: u64) -> Option<u64> {
        self.logs[node].get(&at).map(|(term, _)| *term)
    }

    fn write(&mut self, node: usize, site: &Site, at: u64, (term, deps): Written, members: &Members) {
        if self.term(node, at) == Some(term) {
            return;
        }
        let applied = site.engine().applied();
        // What is void counts as present.
        let absent =
            |(origin, n): &(SiteId, u64)| applied.blue(*origin) < *n && !members.is_void(*origin, *n);
        for (origin, n) in deps.blues().filter(absent) {
            let dot = Dot { site: origin, n };
            let there = site.engine().blue(dot).expect("the simulated log can be read").is_some();
            assert!(
                there,
                "held: {} wrote sequencer entry {at}, which depends on {dot}, without it",
                site.id()
            );
        }
        self.logs[node].insert(at, (term, deps));
    }
}

fn written(entry: &LogEntry) -> Written {
    // A new leader's own first entry is empty.
    let read = postcard::from_bytes::<Entry>(&entry.body.0).ok();
    (entry.term, read.and_then(|read| read.deps().cloned()).unwrap_or_default())
}
