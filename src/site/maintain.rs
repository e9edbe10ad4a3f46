//! What is done as time passes: the replica's timers, deadlines, the published status, checkpoints and the log's upkeep.

use std::collections::{BTreeMap, BTreeSet};

use gemini_engine::Record;

use super::open::NOTE_STANDING;
use super::{Output, PeerStatus, Site};

/// How often the published status is renewed, µs.
const STATUS_EVERY: u64 = 100_000;

/// How often old displaced values are let go of, µs.
const EXPIRE_EVERY: u64 = 10_000_000;

/// How often a full disk is looked at again, µs.
const RETRY_FULL_EVERY: u64 = 1_000_000;

/// When what was last done.
#[derive(Debug)]
pub(super) struct Upkeep {
    status: u64,
    full: u64,
    expired: u64,
}

impl Upkeep {
    pub fn new(now: u64) -> Upkeep {
        Upkeep { status: 0, full: now, expired: 0 }
    }
}

impl Site {
    pub(super) fn tick(&mut self, out: &mut Vec<Output>) {
        self.with_replica(out, |replica, now, shelf, outputs| replica.tick(now, shelf, outputs));
        self.expire_proposals(out);
        self.expire_quorum(out);
        self.pursue(out);
        self.expire_rights(out);
        self.share_some(out);
        if self.now >= self.upkeep.status + STATUS_EVERY {
            self.upkeep.status = self.now;
            self.publish_status();
        }
        if self.engine.full() && self.now >= self.upkeep.full + RETRY_FULL_EVERY {
            self.upkeep.full = self.now;
            self.engine.retry_full();
        }
        if self.now >= self.upkeep.expired + EXPIRE_EVERY {
            self.upkeep.expired = self.now;
            self.shared.reader.expire_conflicts(self.now);
        }
        self.fill_tick(out);
        if !self.filling() {
            self.compare(out);
            self.checkpoint(false);
        }
        if let Some(upkeep) = self.engine.take_upkeep() {
            out.push(Output::Upkeep(upkeep));
        }
    }

    /// One step of the comparison with the peers.
    fn compare(&mut self, out: &mut Vec<Output>) {
        let snapshot = self.shared.reader.snapshot();
        let replica = &self.replica;
        let said = match self.patrol.tick(self.now, &snapshot, &|peer| replica.reaches(peer)) {
            Ok(said) => said,
            Err(error) => {
                tracing::error!(%error, "rows cannot be read to be compared with other sites");
                return;
            }
        };
        for finding in self.patrol.take_findings() {
            let table = snapshot.schema().tables.get(&finding.table);
            let table = table.map_or_else(|| finding.table.to_string(), |table| table.name.clone());
            let (peer, difference) = (self.name(finding.peer), finding.difference);
            tracing::error!(peer, table, key = %finding.key, %difference, "DIVERGENCE: two sites do not hold the same");
            self.publish_verification();
        }
        for (to, message) in said {
            self.with_replica(out, |replica, _, _, outputs| replica.say(to, message, outputs));
        }
    }

    pub(super) fn publish_verification(&mut self) {
        let verification = self.patrol.verification().clone();
        self.shared.update(|status| status.verification = verification);
    }

    /// The last thing a drained site does: a checkpoint, so that the next start has little to replay.
    pub fn checkpoint_now(&mut self) {
        if !self.filling() {
            self.checkpoint(true);
        }
    }

    /// Nothing is being made or written any more (of use once the site has drained).
    pub fn at_rest(&self) -> bool {
        !self.engine.checkpointing() && !self.engine.has_batch() && !self.writing
    }

    /// Asks for a checkpoint when enough was logged (or at once), and lets go of the log that a finished one has made
    /// needless, as far as [`super::retain`] has it.
    pub(super) fn checkpoint(&mut self, at_once: bool) {
        if (at_once || self.engine.wants_checkpoint()) && self.engine.can_checkpoint() {
            let (kept, from) = (self.kept(), self.engine.log_end());
            // What stands for earlier records stands behind the position from which the log is replayed.
            let standing = self.standing();
            self.note(NOTE_STANDING, standing);
            let compacted = self.replica.compact(self.engine.red_gone());
            self.append(Record::Sequencer(compacted));
            self.engine.checkpoint_from(from, kept);
        }
        let finished = self.engine.checkpointed();
        if let Some(Some(replay_from)) = self.must(finished) {
            self.cut(replay_from);
        }
    }

    /// Renews what `gemini status` and the views show.
    pub(super) fn publish_status(&mut self) {
        let replica = self.replica.status(self.now);
        let own = self.replica.own();
        let frontier = self.engine.applied().clone();
        let (counts, schema_version) = (self.counts, self.engine.schema().version);
        let me = self.options.id;
        let cut_off: BTreeSet<_> = self.cut_off().collect();
        let filling = self.filling_refusal();
        self.shared.update(|status| {
            let reasons: BTreeMap<_, _> =
                status.peers.iter().map(|(site, peer)| (*site, peer.reason.clone())).collect();
            status.peers = replica
                .peers
                .iter()
                .map(|peer| {
                    let shown = PeerStatus {
                        linked: peer.direct,
                        reachable: peer.via.is_some(),
                        unacknowledged: own.saturating_sub(peer.durable.blue(me)),
                        behind: behind(&frontier, &peer.applied),
                        as_of: peer.as_of,
                        cut_off: cut_off.contains(&peer.site),
                        reason: reasons.get(&peer.site).cloned().unwrap_or_default(),
                    };
                    (peer.site, shown)
                })
                .collect();
            if filling.is_some() {
                status.refusing.clone_from(&filling);
            }
            status.filling = filling;
            status.leader = replica.leader.map(|leader| (leader, replica.term));
            status.leading = replica.leader == Some(me);
            status.waiting = replica.waiting;
            status.frontier = frontier;
            status.counts = counts;
            status.schema_version = schema_version;
        });
        self.publish_verification();
    }
}

/// How many transactions that are applied here the peer has not said it has applied.
fn behind(here: &gemini_shadow_ops::Frontier, there: &gemini_shadow_ops::Frontier) -> u64 {
    let blue: u64 = here.blues().map(|(site, n)| n.saturating_sub(there.blue(site))).sum();
    blue + here.red.saturating_sub(there.red)
}
