//! What must hold at every step, and what has been seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gemini_shadow_ops::{Entry, EntryId, SiteId};

use super::site::Site;
use crate::wire::{Acks, PeerMessage, RaftMessage, Stored};

#[derive(Debug, Default)]
pub struct Checks {
    /// The one red order.
    order: BTreeMap<u64, Arc<Entry>>,
    /// Who led each term.
    leaders: BTreeMap<u64, SiteId>,
    /// When entries were proposed; and how long it took.
    proposed: BTreeMap<EntryId, u64>,
    /// Ids that were said never to have been sent.
    unavailable: BTreeSet<EntryId>,
    /// Ids of which the log has spoken.
    decided: BTreeMap<EntryId, bool>,
    unknown: BTreeSet<EntryId>,
    /// Ids whose entries have left their origin.
    left: BTreeSet<EntryId>,
    pub blue: u64,
    fastest: Option<u64>,
}

impl Checks {
    pub fn ordered(&self) -> usize {
        self.order.len()
    }

    pub fn committed(&self) -> u64 {
        self.blue
    }

    pub fn failed(&self) -> usize {
        self.unavailable.len() + self.unknown.len()
    }

    pub fn fastest(&self) -> u64 {
        self.fastest.unwrap_or(u64::MAX)
    }

    pub fn propose(&mut self, now: u64, id: EntryId) {
        assert!(self.proposed.insert(id, now).is_none(), "an id is used once: {id}");
    }

    /// Entries proposed after this time: how many, and how many of them were not ordered.
    pub fn late(&self, since: u64) -> (usize, usize) {
        let late: Vec<EntryId> =
            self.proposed.iter().filter(|(_, at)| **at >= since).map(|(id, _)| *id).collect();
        let failed = late.iter().filter(|id| self.decided.get(id) != Some(&true)).count();
        (late.len(), failed)
    }

    /// Promise: one red order, the same at every site, which never changes.
    pub fn red(&mut self, now: u64, site: SiteId, r: u64, entry: &Arc<Entry>) {
        let known = self.order.entry(r).or_insert_with(|| entry.clone());
        assert_eq!(known, entry, "site {site} has another entry at r{r}");
        let (id, void) = match &**entry {
            Entry::Transaction(t) => (t.id, false),
            Entry::Void { id, .. } => (*id, true),
            Entry::Member(member) => (member.id, false),
        };
        self.decided.entry(id).or_insert(!void);
        if !void {
            assert!(!self.unavailable.contains(&id), "{id} was said never to have been sent");
            if id.site == site
                && let Some(at) = self.proposed.get(&id)
            {
                let took = now - at;
                self.fastest = Some(self.fastest.map_or(took, |f| f.min(took)));
            }
        }
    }

    /// Entries of these sites that left them, and of which the log has not spoken.
    pub fn dangling(&self, living: &[u16]) -> Vec<EntryId> {
        let of_living = |id: &&EntryId| living.contains(&id.site.0);
        self.left.iter().filter(of_living).filter(|id| !self.decided.contains_key(id)).copied().collect()
    }

    /// Promise: at most one leader per term.
    pub fn leads(&mut self, term: u64, site: SiteId) {
        let known = *self.leaders.entry(term).or_insert(site);
        assert_eq!(known, site, "two leaders in term {term}");
    }

    pub fn unavailable(&mut self, id: EntryId) {
        let ordered = self.order.values().any(|e| matches!(&**e, Entry::Transaction(t) if t.id == id));
        assert!(!ordered, "{id} is ordered and said never to have been sent");
        self.unavailable.insert(id);
    }

    pub fn unknown(&mut self, id: EntryId) {
        self.unknown.insert(id);
    }

    /// Promise: nothing a site says of itself runs ahead of its last fsync.
    pub fn said(&mut self, site: &Site, message: &PeerMessage) {
        let acks = |acks: &Acks| {
            assert!(
                site.durable.includes(&acks.applied),
                "says {} applied, has {}",
                acks.applied,
                site.durable
            );
            for (origin, n) in acks.durable.blues() {
                assert!(n <= site.logged_durably(origin), "says {origin}.{n} is on disk");
            }
        };
        match message {
            PeerMessage::Hello(m) => acks(&m.acks),
            PeerMessage::Acks(m) => acks(m),
            PeerMessage::Heartbeat(m) => acks(&m.acks),
            PeerMessage::Blue(m) if m.origin == site.id => {
                let last = m.first + m.transactions.len() as u64 - 1;
                assert!(last <= site.durable_own, "streams {last} of {}", site.durable_own);
            }
            PeerMessage::Relay(relay) if relay.from == site.id => {
                let message = PeerMessage::relayed(relay.kind, &relay.body.0).expect("our own");
                self.said(site, &message);
            }
            PeerMessage::Sequencer(RaftMessage::AppendReply { term, index, rejected: None, .. })
            | PeerMessage::Stored(Stored { term, index, .. }) => {
                let (last, known, _) = site.disk.on_disk();
                assert!(
                    *index <= last && *term <= known,
                    "acknowledges {index} in term {term}, has {last} in {known}"
                );
            }
            PeerMessage::Sequencer(RaftMessage::VoteReply { pre: false, granted: true, term, .. })
            | PeerMessage::Sequencer(RaftMessage::Vote { pre: false, term, .. }) => {
                let (_, known, vote) = site.disk.on_disk();
                assert!(
                    known > *term || (known == *term && vote != 0),
                    "votes in term {term}, has noted {known}"
                );
            }
            PeerMessage::Propose(m) => {
                if let Entry::Transaction(t) = &*m.entry {
                    self.left.insert(t.id);
                    assert!(
                        site.durable.includes(&t.transaction.deps),
                        "proposes what rests on unsynced records"
                    );
                }
            }
            _ => {}
        }
    }
}
