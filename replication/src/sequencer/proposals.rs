//! Entries on their way into the log.
//!
//! At the origin, from [`Sequencer::propose`] on:
//!
//! ```text
//!            ┌────────┐ id noted on disk ┌───────┐ to the leader  ┌──────┐ ordered
//!   propose ►│ noting ├─────────────────►│ ready ├───────────────►│ sent ├──────────► closed: Committed
//!            └───┬────┘                  └───┬───┘  again if lost └──┬───┘
//!                │ deadline, or no majority  │                       │ deadline
//!                ▼                           ▼                       ▼
//!        closed: Failed(Unavailable)  closed: Failed(Unavailable)  Failed(Unknown), then VOID(id) is proposed until either
//!                                                                  the entry or the VOID is ordered: whichever comes first counts
//! ```
//!
//! After a restart every id that is noted and not closed starts at the VOID. So does, at its failure, an entry for which rights
//! were put aside, sent or not: only the order gives them back, because then every site does at the same red index.
//!
//! At the leader: an entry whose dependencies are held is proposed to raft at once. One that lacks some waits in
//! the inbox (they are wanted) and is refused after the commit timeout; so is one whose stamp is too far ahead, at once.
//! A copy of an entry that stands in the log already is acknowledged again, not proposed again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Entry, EntryId, Ruling, SiteId};

use super::records::Record;
use super::{Event, Sequencer};
use crate::replica::{Failure, Output, Unavailable};
use crate::wire::{Answer, PeerMessage, Proposal, Propose};

/// Entries waiting at the leader, at most.
const INBOX: usize = 4096;

/// Entries of this site under way, at most.
const OPEN: usize = 65_536;

/// An entry's name: of the transaction, or of its VOID.
pub(super) type Ticket = (EntryId, bool);

pub(super) fn ticket(entry: &Entry) -> Ticket {
    match entry {
        Entry::Transaction(t) => (t.id, false),
        Entry::Void { id, .. } => (*id, true),
        Entry::Member(member) => (member.id, false),
    }
}

/// One of this site's entries whose end is not known.
#[derive(Debug)]
struct Open {
    entry: Arc<Entry>,
    /// Can be sent once this record is on disk.
    noted: u64,
    /// Fails then. None for a VOID.
    deadline: Option<u64>,
    /// To whom, in which term, when.
    sent: Option<(SiteId, u64, u64)>,
    /// Whether it has ever left here, or entered our own log as leader: from then on only the log knows its end.
    left: bool,
    /// Stands in the log of the leader of this term.
    accepted: Option<u64>,
    /// What the leader said against it.
    reason: Option<String>,
}

impl Open {
    fn new(entry: Arc<Entry>, noted: u64, deadline: Option<u64>) -> Open {
        Open { entry, noted, deadline, sent: None, left: false, accepted: None, reason: None }
    }

    /// From now on its VOID is proposed.
    fn give_up(&mut self) {
        self.entry = Arc::new(self.entry.void());
        (self.deadline, self.sent, self.accepted) = (None, None, None);
    }
}

/// An entry at the leader that cannot be proposed yet.
#[derive(Debug)]
struct Waiting {
    entry: Arc<Entry>,
    from: SiteId,
    since: u64,
}

/// Entries on their way.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    open: BTreeMap<EntryId, Open>,
    inbox: VecDeque<Waiting>,
    /// Where entries stand in the log, for the last of them.
    placed: BTreeMap<Ticket, u64>,
    counter: u64,
}

impl Proposals {
    /// After a restart: a VOID for every id without an end.
    pub(super) fn recovered(voids: impl IntoIterator<Item = Entry>) -> Proposals {
        let open = |void: Entry| (void.id(), Open::new(Arc::new(void), 0, None));
        Proposals { open: voids.into_iter().map(open).collect(), ..Proposals::default() }
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// The VOIDs that would end them.
    pub(super) fn open_voids(&self) -> Vec<Entry> {
        self.open.values().map(|open| open.entry.void()).collect()
    }

    /// An entry stands at this index of our log.
    pub(super) fn place(&mut self, entry: &Entry, index: u64) {
        self.placed.insert(ticket(entry), index);
    }

    /// The log was cut before this index, or those up to `done` are long decided.
    pub(super) fn displace(&mut self, cut: u64, done: u64) {
        self.placed.retain(|_, index| *index < cut && *index > done);
    }

    pub(super) fn placed(&self) -> usize {
        self.placed.len()
    }
}

impl Sequencer {
    /// A new entry id, used once.
    pub fn next_entry_id(&mut self) -> EntryId {
        self.proposals.counter += 1;
        EntryId { site: self.me, start: self.start, counter: self.proposals.counter }
    }

    /// Who cannot be reached, if that matters.
    pub fn unavailable(&self) -> Option<Unavailable> {
        let majority = self.majority_in_reach();
        let others = self.members.current().keys().copied().filter(|site| *site != self.me);
        let unreachable: Vec<SiteId> = others.filter(|site| !self.reachable.contains(site)).collect();
        (!majority).then_some(Unavailable { unreachable, majority })
    }

    /// Whether an entry could be sent on its way now.
    pub fn may_propose(&self) -> Result<(), Unavailable> {
        if let Some(why) = self.unavailable() {
            return Err(why);
        }
        if self.retired {
            return Err(Unavailable { unreachable: Vec::new(), majority: false });
        }
        if self.proposals.open.len() >= OPEN {
            return Err(Unavailable { unreachable: Vec::new(), majority: true });
        }
        Ok(())
    }

    /// Begins to have an entry of this site ordered. See the module for what follows.
    pub fn propose(
        &mut self,
        now: u64,
        entry: Arc<Entry>,
        deadline: u64,
        out: &mut Vec<Event>,
    ) -> Result<(), Unavailable> {
        self.may_propose()?;
        let (id, _) = ticket(&entry);
        assert_eq!(
            (id.site, id.start),
            (self.me, self.start),
            "an entry is proposed by the process that named it"
        );
        // A change of the members needs no end: a copy of it does no harm (`MemberEntry`).
        let noted = match &*entry {
            Entry::Member(_) => 0,
            _ => {
                self.persist(&Record::Open(entry.void()), out);
                self.appended
            }
        };
        let deadline = Some(deadline);
        self.proposals.open.insert(id, Open::new(entry, noted, deadline));
        self.send_open(now, out);
        self.drive(now, out);
        Ok(())
    }

    /// The log has decided this entry (or a VOID of it).
    pub fn decided(&mut self, entry: &Entry, out: &mut Vec<Event>) {
        let (id, _) = ticket(entry);
        if let Some(open) = self.proposals.open.remove(&id)
            && !matches!(&*open.entry, Entry::Member(_))
        {
            self.persist(&Record::Closed(id), out);
        }
    }

    /// Sends what can be sent, and ends what has lasted too long.
    pub(super) fn send_open(&mut self, now: u64, out: &mut Vec<Event>) {
        self.expire(now, out);
        let Some((leader, term)) = self.leader() else { return };
        let (again, synced, me) = (self.timing.propose, self.synced, self.me);
        let reached = leader == me || self.reachable.contains(&leader);
        let mut due = Vec::new();
        for open in self.proposals.open.values_mut().filter(|open| reached && open.noted <= synced) {
            let wait = if open.accepted == Some(term) { again.saturating_mul(5) } else { again };
            let fresh = open.sent.is_some_and(|(to, in_term, at)| {
                to == leader && in_term == term && now.saturating_sub(at) < wait
            });
            if !fresh {
                open.sent = Some((leader, term, now));
                open.left |= leader != me;
                due.push(open.entry.clone());
            }
        }
        for entry in due {
            if leader == me {
                self.order(now, me, entry, out);
            } else {
                let message = PeerMessage::Propose(Propose { entry });
                out.push(Event::Out(Output::Send { to: leader, message }));
            }
        }
    }

    /// Deadlines. A proposal that never left here fails for good, at once if there is no majority; one that did becomes unknown.
    pub(super) fn expire(&mut self, now: u64, out: &mut Vec<Event>) {
        let why = self.unavailable();
        let due = |open: &Open| {
            open.deadline.is_some_and(|deadline| now >= deadline || (!open.left && why.is_some()))
        };
        let ids: Vec<EntryId> =
            self.proposals.open.iter().filter(|(_, o)| due(o)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(open) = self.proposals.open.get_mut(&id) else { continue };
            if let Entry::Member(_) = &*open.entry {
                self.withdraw(id);
                continue;
            }
            let none = Unavailable { unreachable: Vec::new(), majority: true };
            let failure = if open.left && !planted(Fault::UnavailableAfterSending) {
                let reason = open.reason.take();
                open.give_up();
                Failure::Unknown { reason }
            } else if !open.entry.reserved().is_empty() {
                open.give_up();
                Failure::Unavailable(why.clone().unwrap_or(none))
            } else {
                self.proposals.open.remove(&id);
                self.proposals.inbox.retain(|w| ticket(&w.entry) != (id, false));
                self.persist(&Record::Closed(id), out);
                Failure::Unavailable(why.clone().unwrap_or(none))
            };
            out.push(Event::Out(Output::Failed { id, failure }));
        }
    }

    /// Gives up a change of the members: whoever wants it proposes it again.
    fn withdraw(&mut self, id: EntryId) {
        self.proposals.open.remove(&id);
        self.proposals.inbox.retain(|waiting| ticket(&waiting.entry) != (id, false));
    }

    /// Whether a change of the members that this process has proposed is on its way.
    pub fn changing(&self) -> bool {
        self.proposals.open.values().any(|open| matches!(&*open.entry, Entry::Member(_)))
    }

    /// The leader has answered.
    pub fn answered(&mut self, now: u64, from: SiteId, proposal: Proposal, out: &mut Vec<Event>) {
        let Some(open) = self.proposals.open.get_mut(&proposal.id) else { return };
        if ticket(&open.entry) != (proposal.id, proposal.void) {
            return;
        }
        match proposal.answer {
            Answer::Accepted { term } => open.accepted = Some(term),
            Answer::Refused { .. } if matches!(&*open.entry, Entry::Member(_)) => self.withdraw(proposal.id),
            Answer::Refused { reason } => open.reason = Some(reason),
            Answer::NotLeader { .. } => {
                // Sent to the wrong one: whoever it is now gets it at once if we know better already, else when we do.
                if let Some((to, term, _)) = open.sent
                    && to == from
                    && self.leader().is_some_and(|known| known != (to, term))
                {
                    self.send_open(now, out);
                    self.drive(now, out);
                }
            }
        }
    }

    /// A peer's entry has come to be ordered here.
    pub fn proposed(&mut self, now: u64, from: SiteId, entry: Arc<Entry>, out: &mut Vec<Event>) {
        self.order(now, from, entry, out);
        self.drive(now, out);
    }

    fn order(&mut self, now: u64, from: SiteId, entry: Arc<Entry>, out: &mut Vec<Event>) {
        if !self.leads() {
            let leader = self.leader().map(|(site, _)| site).filter(|site| *site != self.me);
            self.reply(from, &entry, Answer::NotLeader { leader }, out);
            return;
        }
        if self.proposals.placed.contains_key(&ticket(&entry)) {
            let term = self.node.raft.term;
            self.reply(from, &entry, Answer::Accepted { term }, out);
            return;
        }
        if let Some(reason) = self.implausible(now, &entry) {
            self.reply(from, &entry, Answer::Refused { reason }, out);
            return;
        }
        if !self.try_order(from, &entry, out) {
            let known = ticket(&entry);
            if self.proposals.inbox.iter().any(|w| ticket(&w.entry) == known) {
                return;
            }
            if self.proposals.inbox.len() >= INBOX {
                self.reply(
                    from,
                    &entry,
                    Answer::Refused { reason: "the leader's queue is full".into() },
                    out,
                );
                return;
            }
            if let Some(deps) = self.missing(&entry) {
                out.push(Event::Want { deps: deps.clone(), hint: from });
            }
            self.proposals.inbox.push_back(Waiting { entry, from, since: now });
        }
    }

    /// What a leader does not let into the log whatever it waits for.
    fn implausible(&self, now: u64, entry: &Entry) -> Option<String> {
        if let Entry::Member(_) | Entry::Transaction(_) = entry
            && self.members.foresee(entry) != Ruling::Stands
        {
            return Some("it does not fit the cluster's members as they are now".into());
        }
        let Entry::Transaction(t) = entry else { return None };
        let transaction = &t.transaction;
        if transaction.statements.is_empty() {
            return Some("the transaction has no statement".into());
        }
        if t.id.site != transaction.origin {
            return Some(format!("entry {} names site {} as its origin", t.id, transaction.origin));
        }
        let ahead = transaction.stamp.hlc.micros.saturating_sub(now);
        let limit = self.timing.offset;
        (ahead > limit).then(|| {
            format!("its stamp is {ahead} µs ahead of the leader's clock, over the limit of {limit} µs")
        })
    }

    /// Gives an entry to raft if what it depends on is held and known. False: not now.
    fn try_order(&mut self, from: SiteId, entry: &Arc<Entry>, out: &mut Vec<Event>) -> bool {
        let known = self.red_in_log();
        let ready = match &**entry {
            Entry::Transaction(_) if planted(Fault::ProposedBeforeDeps) => true,
            Entry::Transaction(t) => self.missing(entry).is_none() && t.transaction.deps.red <= known,
            Entry::Void { .. } => self.missing(entry).is_none(),
            Entry::Member(member) => self.missing(entry).is_none() && self.timely(&member.change),
        };
        if !ready || self.node.raft.lead_transferee.is_some() || !self.offer(entry) {
            return false;
        }
        let term = self.node.raft.term;
        self.reply(from, entry, Answer::Accepted { term }, out);
        true
    }

    /// Tries the inbox again, and refuses what has waited too long.
    pub(super) fn try_inbox(&mut self, now: u64, out: &mut Vec<Event>) {
        if self.proposals.inbox.is_empty() {
            return;
        }
        let leads = self.leads();
        for waiting in std::mem::take(&mut self.proposals.inbox) {
            let Waiting { entry, from, since } = waiting;
            if !leads {
                let leader = self.leader().map(|(site, _)| site);
                self.reply(from, &entry, Answer::NotLeader { leader }, out);
            } else if self.proposals.placed.contains_key(&ticket(&entry)) || self.try_order(from, &entry, out)
            {
                continue;
            } else if now.saturating_sub(since) >= self.timing.commit {
                let reason = "the leader lacks transactions that it depends on".to_string();
                self.reply(from, &entry, Answer::Refused { reason }, out);
            } else {
                self.proposals.inbox.push_back(Waiting { entry, from, since });
            }
        }
    }

    fn reply(&mut self, to: SiteId, entry: &Entry, answer: Answer, out: &mut Vec<Event>) {
        let (id, void) = ticket(entry);
        if to != self.me {
            let message = PeerMessage::Proposal(Proposal { id, void, answer });
            out.push(Event::Out(Output::Send { to, message }));
        } else if let Some(open) = self.proposals.open.get_mut(&id) {
            match answer {
                Answer::Accepted { term } => (open.accepted, open.left) = (Some(term), true),
                Answer::Refused { .. } if matches!(&*open.entry, Entry::Member(_)) => self.withdraw(id),
                Answer::Refused { reason } => open.reason = Some(reason),
                Answer::NotLeader { .. } => open.sent = None,
            }
        }
    }
}
