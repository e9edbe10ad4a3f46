//! Who votes: the members' changes, carried out as the order decides them.
//!
//! JOIN, VOTER and FENCE stand in the sequencer's own log like every entry, and change its configuration when they are committed
//! (not before: the library's rule). One at a time is on its way (`border::raft_entry`); the leader lets the next one into the log
//! only when the last one is applied, so the library, which would drop it in silence, never has to.
//!
//! | what | when |
//! |---|---|
//! | JOIN | the site is a learner: it gets the log and counts in no majority |
//! | VOTER | the leader lets it in when the learner has what is committed |
//! | FENCE of another | the site leaves; the leader sends it nothing more |
//! | FENCE of the leader | it hands leadership over first and does not propose it: the library would go on leading |
//! | FENCE of this site, committed | it retires: no more sequencer messages, ever |
//!
//! A site may learn of committed entries from a peer before its own log has them (`Fetch`). Its configuration is then ahead of its
//! log. That is safe: a majority of each configuration meets a majority of the one before, which has the entry that changed it,
//! so nobody whose log lacks that entry is elected in either.

use std::sync::Arc;

use gemini_shadow_ops::{Entry, MemberChange, Members, Ruling, SiteId};
use raft::eraftpb::{ConfChange, ConfChangeType};

use super::border::raft_id;
use super::{ELECTION_TICKS, Event, RANK_TICKS, Sequencer};

/// Voters and learners as the library names them.
pub(super) fn seats(members: &Members) -> (Vec<u64>, Vec<u64>) {
    let learners = members.current().keys().copied().filter(|site| !members.votes(*site));
    (members.voters().map(raft_id).collect(), learners.map(raft_id).collect())
}

/// Ticks of silence before this site's election: by its rank among those who vote, the preferred site first.
pub(super) fn ticks(members: &Members, preferred: Option<SiteId>, me: SiteId) -> usize {
    let mut ranked: Vec<SiteId> = members.voters().collect();
    ranked.sort_by_key(|site| (Some(*site) != preferred, *site));
    let rank = ranked.iter().position(|site| *site == me).unwrap_or(ranked.len());
    ELECTION_TICKS + RANK_TICKS * rank
}

impl Sequencer {
    /// The members after the last red index handed out.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Whether this site has been removed, as far as it knows.
    pub fn retired(&self) -> bool {
        self.retired
    }

    /// Somebody who knows says that this site has been removed.
    pub fn retire(&mut self) {
        self.retired = true;
        if self.leads() {
            let term = self.node.raft.term;
            self.node.raft.become_follower(term, 0);
        }
    }

    /// The next red index is decided: by the sequencer's own log, or by a peer that was asked.
    pub(super) fn hand_out(&mut self, r: u64, entry: Arc<Entry>, out: &mut Vec<Event>) {
        assert_eq!(r, self.handed + 1, "the red order has no gaps");
        self.handed = r;
        let ruling = self.members.decide(r, &entry);
        if let (Entry::Member(member), Ruling::Stands) = (&*entry, &ruling) {
            self.reconfigure(&member.change);
        }
        out.push(Event::Committed { r, entry, waits: ruling == Ruling::Stands });
    }

    /// What peers that were asked say, for the red indices that are not known yet.
    pub fn learned(&mut self, now: u64, found: Vec<(u64, Arc<Entry>)>, out: &mut Vec<Event>) {
        for (r, entry) in found {
            if r == self.handed + 1 {
                self.decided(&entry, out);
                self.hand_out(r, entry, out);
            }
        }
        self.drive(now, out);
    }

    fn reconfigure(&mut self, change: &MemberChange) {
        let (kind, site) = match change {
            MemberChange::Join { site, .. } => (ConfChangeType::AddLearnerNode, *site),
            MemberChange::Voter(site) => (ConfChangeType::AddNode, *site),
            MemberChange::Fence(site) => (ConfChangeType::RemoveNode, *site),
            MemberChange::Report { .. } | MemberChange::Close { .. } => return,
        };
        let mut change = ConfChange::default();
        change.set_change_type(kind);
        change.node_id = raft_id(site);
        self.node
            .apply_conf_change(&change)
            .expect("the members refuse what would leave nobody to vote, and one site changes at a time");
        self.words.forget();
        if site == self.me && kind == ConfChangeType::RemoveNode {
            self.retire();
        }
    }

    /// Whose election is not waited for: the preferred site's if it votes, else the least voter's.
    pub(super) fn first_seat(&self) -> Option<SiteId> {
        let preferred = self.preferred.filter(|site| self.members.votes(*site));
        preferred.or_else(|| self.members.voters().next())
    }

    /// Whether leadership could go to this voter now: it is there and has what is committed.
    pub(super) fn could_lead(&self, site: SiteId) -> bool {
        let raft = &self.node.raft;
        let progress = raft.prs().get(raft_id(site));
        let caught_up = progress.is_some_and(|p| p.recent_active && p.matched >= raft.raft_log.committed);
        caught_up && self.members.votes(site) && self.reachable.contains(&site)
    }

    /// Whether the leader may let this change into its log now.
    pub(super) fn timely(&mut self, change: &MemberChange) -> bool {
        let raft = &self.node.raft;
        let free = !raft.has_pending_conf() && raft.commit_to_current_term();
        match change {
            MemberChange::Report { .. } | MemberChange::Close { .. } => true,
            MemberChange::Join { .. } => free,
            MemberChange::Voter(site) => {
                let matched = raft.prs().get(raft_id(*site)).map_or(0, |progress| progress.matched);
                free && matched >= raft.raft_log.committed
            }
            MemberChange::Fence(site) if *site == self.me => {
                let heirs: Vec<SiteId> = self.members.voters().filter(|voter| *voter != self.me).collect();
                if let Some(heir) = heirs.into_iter().find(|heir| self.could_lead(*heir)) {
                    self.node.transfer_leader(raft_id(heir));
                }
                false
            }
            MemberChange::Fence(_) => free,
        }
    }

    /// The library draws the ticks of its next election anew at every change of its state.
    pub(super) fn keep_rank(&mut self) {
        let ticks = ticks(&self.members, self.preferred, self.me);
        if self.node.raft.randomized_election_timeout() != ticks {
            self.node.raft.set_randomized_election_timeout(ticks);
        }
    }
}
