//! What is kept of the log, and what is read back from the engine.
//!
//! Three things bound the memory that the log takes. Entries that every member has in its own log go altogether. Bodies of entries
//! that are applied, and durably so, are left to the engine, and are read back when a follower that was away needs them; their
//! places stay, a few bytes each. And what the engine has let go of, because its log is bounded, goes here too, whoever lacks it:
//!
//! ```text
//!   leader     base ├ 41 42 43        follower, long away: has 17
//!              r 38                     red entries 18 … 38: from whoever has them, or with an image of the tables
//!     ── Base (40, r 38) ──►            applied < 38: of no use yet, dropped; it comes again
//!     ── Base (40, r 38) ──►            applied ≥ 38: its log begins after 40 as well; 41 … follow as ever
//! ```
//!
//! Term and vote stay, and so does every entry past the base if the follower's log agrees with it there.
//!
//! What may go altogether is judged by what members *say* (`Acks::ordered`, as of their fsync), and at the leader by what they have
//! acknowledged to it as well: when a message was lost it starts again from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gemini_shadow_ops::Entry;

use super::parking::Park;
use super::records::Record;
use super::storage::{Base, Body, Storage};
use super::{APPEND_BYTES, Event, KEEP_BODIES, Sequencer};
use crate::replica::ReplicaError;
use crate::wire::Acks;

impl Sequencer {
    /// Whether followers wait for bodies that only the engine has: call [`Sequencer::load`].
    pub fn wants_bodies(&self) -> bool {
        self.node.store().has_wishes()
    }

    /// Reads back what followers wait for.
    pub fn load(&mut self, now: u64, red: &dyn Fn(u64) -> Option<Arc<Entry>>, out: &mut Vec<Event>) {
        for wish in self.node.mut_store().wishes() {
            let (mut bodies, mut bytes) = (BTreeMap::new(), 0);
            for index in wish.low..wish.high {
                let Some(slot) = self.node.store().slot(index) else { break };
                if slot.body != Body::Dropped {
                    continue;
                }
                let r = slot.r;
                let Some(body) = red(r).and_then(|entry| postcard::to_allocvec(&*entry).ok()) else {
                    // The engine has let go of it, as it does of what lies beyond its bound: the follower is told so.
                    self.node.mut_store().compact(index);
                    continue;
                };
                bytes += body.len() as u64;
                bodies.insert(index, Bytes::from(body));
                if bytes >= APPEND_BYTES {
                    break;
                }
            }
            self.node.mut_store().load(bodies);
            self.node.on_entries_fetched(wish.context);
        }
        self.node.mut_store().load(BTreeMap::new());
        self.drive(now, out);
    }

    /// The last index that all followers have acknowledged to this leader. It knows less than they have, and starts again from
    /// there when an acknowledgement was lost: so it must keep what follows. Others need not.
    fn acknowledged(&self) -> u64 {
        let raft = &self.node.raft;
        if !self.leads() {
            return u64::MAX;
        }
        raft.prs().iter().filter(|(id, _)| **id != raft.id).map(|(_, p)| p.matched).min().unwrap_or(u64::MAX)
    }

    /// Our log begins after `base`: what the leader no longer has is in the tables here. One record says so, which stands for all
    /// before it.
    pub(super) fn restore(&mut self, base: Base, out: &mut Vec<Event>) {
        tracing::info!(
            index = base.index,
            r = base.r,
            "the sequencer's log begins anew after what is applied here"
        );
        self.proposals.displace(0, u64::MAX);
        self.decoded.clear();
        self.changes.clear();
        self.park = Park::default();
        self.node.mut_store().restore(base);
        self.ordered = self.ordered.max(base.r);
        let record = self.whole();
        self.persist(&record, out);
    }

    /// Forgets what every member has, or the engine has no longer (`gone`: red entries up to there are applied and cut), and leaves
    /// bodies to the engine (`applied`: what it has applied, on disk). Returns one record that stands for all before it.
    pub fn compact(&mut self, everywhere: &Acks, applied: u64, gone: u64) -> Vec<u8> {
        let done = self.node.raft.raft_log.applied;
        let decided = self.handed.min(applied);
        let had = self.index_of(everywhere.ordered.min(decided)).min(self.acknowledged());
        let index = had.max(self.index_of(gone.min(decided))).min(done);
        self.node.mut_store().compact(index);
        let storage = self.node.mut_store();
        let applied = applied.min(storage.r_at(done));
        storage.drop_bodies(applied.saturating_sub(KEEP_BODIES));
        self.appended += 1;
        self.whole().encode()
    }

    /// The entry of a red index, 0 if it is not in the log. That entry itself, not an empty one after it: a member may lack that.
    fn index_of(&self, r: u64) -> u64 {
        let storage = self.node.store();
        storage.index_of(r).filter(|index| storage.r_at(*index) == r).unwrap_or(0)
    }

    /// All there is, as one record.
    fn whole(&self) -> Record {
        let storage = self.node.store();
        let slots = storage.slots().map(|(_, slot)| (slot.term, slot.body.clone())).collect();
        let (hard, base) = (storage.hard, storage.base());
        Record::Whole { hard, base, slots, open: self.proposals.open_voids() }
    }
}

/// The last index that the engine has applied, given the last red index.
pub(super) fn applied_index(storage: &Storage, applied: u64) -> Result<u64, ReplicaError> {
    let (base, commit, last) = (storage.base(), storage.hard.commit, storage.last_index());
    if commit < base.index || commit > last {
        return Err(ReplicaError::Inconsistent(format!(
            "the sequencer's commit {commit} is outside its log {}..{last}",
            base.index
        )));
    }
    if base.r > applied {
        return Err(ReplicaError::Inconsistent(format!(
            "red entries up to {} were dropped, but only {applied} are applied",
            base.r
        )));
    }
    let index = storage.index_of(applied + 1).map_or(commit, |next| commit.min(next - 1));
    if storage.slots().any(|(i, slot)| i > index && slot.body == Body::Dropped) {
        return Err(ReplicaError::Inconsistent(format!(
            "the bodies of red entries after {applied} were dropped before they were applied"
        )));
    }
    Ok(index)
}
