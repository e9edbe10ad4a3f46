//! The members, as the whole replica follows them; what this site owes the others when one is removed.
//!
//! Whatever a site should propose, it proposes again until the order shows it: a leader may lose an entry, and lets no second change
//! of who votes into its log while one is on its way.
//!
//! | who | proposes | when |
//! |---|---|---|
//! | a learner | VOTER of itself | it is a member and has applied what it knows to be ordered |
//! | each member | REPORT | a round is open, and of the fenced sites it holds all that it has logged (or has waited for what that depends on for the commit timeout); again when it holds more |
//! | the leader | CLOSE | every member has reported |
//!
//! JOIN and FENCE are the operator's.

use gemini_shadow_ops::{
    Entry, Frontier, MemberChange, MemberEntry, Members, SiteId,
    fault::{Fault, planted},
};

use super::{Event, Output, Queue, Replica, Shelf, Unavailable};
use crate::wire::{PeerMessage, Removed};

/// Between looks at what is to be proposed, µs.
const LOOK: u64 = 50_000;

/// What this site has to propose, and has reported.
#[derive(Debug, Default)]
pub(super) struct Duties {
    looked: u64,
    /// The round that is open, and since when this site knows it.
    round: Option<(u64, u64)>,
    /// What this site has counted in its REPORTs of the round, ordered or not.
    reported: Frontier,
}

impl Replica {
    /// The members after the last red index known here (what is applied may be less).
    pub fn members(&self) -> &Members {
        self.sequencer.members()
    }

    /// Everyone this site talks to.
    pub(super) fn peers(&self) -> Vec<SiteId> {
        let (members, me) = (self.members(), self.options.me);
        let contacts = if members.knows(me) { &[][..] } else { &self.options.contacts };
        let mut peers: Vec<SiteId> = members.current().keys().chain(contacts).copied().collect();
        peers.sort_unstable();
        peers.dedup();
        peers.retain(|site| *site != me && !members.removed(*site));
        peers
    }

    pub(super) fn is_peer(&self, site: SiteId) -> bool {
        self.peers().contains(&site)
    }

    /// Takes up the members as they are at the start.
    pub(super) fn follow_members(&mut self, now: u64, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        let (mut raw, mut events) = (Vec::new(), Vec::new());
        self.members_changed(now, shelf, &mut raw, &mut events);
        self.settle(now, raw, events.into(), shelf, out);
    }

    /// The members have changed.
    pub(super) fn members_changed(
        &mut self,
        now: u64,
        shelf: &dyn Shelf,
        raw: &mut Vec<Output>,
        events: &mut Vec<Event>,
    ) {
        let round = self.members().round();
        if self.duties.round.map(|(round, _)| round) != round {
            self.duties.round = round.map(|round| (round, now));
            self.duties.reported = Frontier::default();
        }
        let peers = self.peers();
        let gone: Vec<SiteId> = self.greeted.iter().copied().filter(|site| !peers.contains(site)).collect();
        self.greeted.retain(|site| peers.contains(site));
        self.saluted.retain(|site, _| peers.contains(site));
        self.routes.follow(peers.iter().copied());
        self.causal.follow(self.sequencer.members(), &peers, &self.duties.reported, shelf, raw);
        let mut told = Vec::new();
        let members = self.members();
        let settled = members.closed().iter().filter(|(_, closed)| closed.closed == members.last());
        let gone: Vec<SiteId> = gone.into_iter().chain(settled.map(|(site, _)| *site)).collect();
        gone.into_iter().for_each(|site| self.stranger(site, &mut told));
        events.extend(told.into_iter().map(Event::Direct));
        if self.routes.refresh(now) {
            self.sequencer.reach(now, self.routes.reachable(), &[], events);
        }
        if self.members().removed(self.options.me)
            && let Some(removed) = self.removed(self.options.me)
        {
            self.farewell(removed, raw);
        }
    }

    /// What a removed site is to know.
    fn removed(&self, site: SiteId) -> Option<Removed> {
        let (cluster, members) = (self.options.cluster, self.members());
        let fenced = || members.fenced().get(&site).map(|f| (f.since, None));
        let closed = || members.closed().get(&site).map(|c| (c.fenced, Some(c.count)));
        let (fenced, count) = fenced().or_else(closed)?;
        Some(Removed { cluster, site, fenced, count })
    }

    /// Somebody who is no peer is there: one that was removed is told, and the link left open for it to hear that.
    pub(super) fn stranger(&mut self, site: SiteId, out: &mut Vec<Output>) {
        match self.removed(site) {
            Some(removed) => {
                out.push(Output::Send { to: site, message: PeerMessage::Removed(removed) });
            }
            // One that was removed itself does not know who joined later: they may have something to tell it.
            None if self.sequencer.retired() => {}
            None => {
                let reason = format!("site {site} is not among the members of this cluster");
                out.push(Output::Disconnect { peer: site, reason });
            }
        }
    }

    /// A peer says that this site was removed.
    pub(super) fn told_removed(&mut self, from: SiteId, removed: &Removed, out: &mut Vec<Output>) {
        let Removed { cluster, site, .. } = *removed;
        if cluster == self.options.cluster && site == self.options.me && from != site {
            self.farewell(*removed, out);
        }
    }

    /// This site was removed: it says nothing more in the sequencer's name, and commits nothing more.
    pub fn farewell(&mut self, removed: Removed, out: &mut Vec<Output>) {
        if !planted(Fault::FencedGoesOn) {
            self.sequencer.retire();
            self.halted = true;
            out.push(Output::Removed(removed));
        }
    }

    /// How many transactions a site that was removed has said, while this site still listened, that it has on its disk.
    pub fn parted(&self, site: SiteId) -> u64 {
        self.causal.parted(site)
    }

    /// Whether every other member has on its disk all that this site has committed.
    pub fn handed_out(&self) -> bool {
        self.causal.handed_out()
    }

    /// Proposes a change of the members. Whoever wants it proposes it again until [`Replica::members`] shows it: nothing else tells.
    pub fn propose_change(
        &mut self,
        now: u64,
        change: MemberChange,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) -> Result<(), Unavailable> {
        let id = self.next_entry_id();
        let entry = Entry::Member(MemberEntry { change, id });
        let deadline = now + self.options.timing.propose.saturating_mul(3);
        self.propose(now, entry.into(), deadline, shelf, out)
    }

    /// Proposes what is due.
    pub(super) fn do_duties(&mut self, now: u64, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        let me = self.options.me;
        if now < self.duties.looked + LOOK || self.halted || !self.members().contains(me) {
            return;
        }
        self.duties.looked = now;
        if self.sequencer.changing() {
            return;
        }
        let change = self.report_due(now).or_else(|| {
            let members = self.members();
            let closes = if self.sequencer.leads() { members.closing() } else { None };
            let rested = self.applied().red == members.last() && self.sequencer.leader().is_some();
            closes.or_else(|| (rested && !members.votes(me)).then_some(MemberChange::Voter(me)))
        });
        let Some(change) = change else { return };
        if let MemberChange::Report { held, .. } = &change {
            self.duties.reported.join(held);
            let mut raw = Vec::new();
            let peers = self.peers();
            self.causal.follow(self.sequencer.members(), &peers, &self.duties.reported, shelf, &mut raw);
            self.settle(now, raw, Queue::new(), shelf, out);
        }
        // Without a majority in reach it is tried again at the next look.
        let _ = self.propose_change(now, change, shelf, out);
    }

    /// The REPORT that this site owes the open round.
    fn report_due(&self, now: u64) -> Option<MemberChange> {
        let (round, since) = self.duties.round?;
        let members = self.members();
        let (holds, logged) = (self.causal.held_durably(), self.causal.logged());
        let mut held = Frontier::default();
        let mut whole = true;
        for site in members.fenced().keys() {
            held.set_blue(*site, holds.blue(*site));
            whole &= holds.blue(*site) == logged.blue(*site);
        }
        let patient = now.saturating_sub(since) < self.options.timing.commit;
        if !whole && patient {
            return None;
        }
        let news = |before: &Frontier| held.blues().any(|(site, n)| n > before.blue(site));
        let due = members.report(self.options.me).is_none_or(news);
        due.then_some(MemberChange::Report { round, held })
    }
}
