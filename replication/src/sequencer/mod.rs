//! The sequencer: one order of red entries over all sites, which survives the loss of a minority.
//!
//! The order is a replicated log, kept by raft 0.7.0 as a pure state machine: this module gives it messages and ticks and carries out
//! what it says, in one place (`Sequencer::drive`). What is ours is around it:
//!
//! ```text
//!   propose ──► proposals ──────────► leader's inbox ──► ┌──────┐ ──► committed ──► r = 1, 2, 3, …
//!               (noted, sent, again,   (waits for deps)  │ raft │
//!                deadline, VOID)                         │      │ ──► records ──► the site's log ──► durable(mark)
//!   messages ─► border ─► parking ─────────────────────► └──────┘ ──► messages (held back until the records are on disk)
//!               (checks)  (waits for deps)
//! ```
//!
//! # Invariants
//! 1. At most one leader per term; what is committed at an index never changes; every site hands out the same entry for r. (raft's)
//! 2. Red index r counts our entries in log order: a new leader's empty entry has none. The count survives
//!    truncation and compaction (`storage`).
//! 3. An entry is written here only when all the blue that it depends on is held here (`parking`), and what
//!    it depends on of the red order stands before it.
//! 4. A vote, an acknowledgement, a proposal leaves only after the records that it rests on are on disk: messages wait in
//!    `Release`s, in order. The leader's appends do not wait; its own vote for them does.
//! 5. No peer's message reaches raft that could break its contract (`border`).
//! 6. An id of ours is on disk before its entry leaves, so that a restart can end it with a VOID (`proposals`).
//! 7. The same calls give the same outputs: election ticks are fixed and distinct per site
//!    (10, 14, 18, … by rank among those who vote, the preferred site first); what raft draws at random is never looked at.
//!
//! # A red commit, seen from the leader L and a follower F (three sites, O proposes)
//!
//! ```text
//!   O: Persist Open(id) … durable ── Propose ──► L
//!   L: proposes at once; Persist Entries; Send Append ──► F, O        (before its own fsync)
//!   F: Persist Entries … durable ── AppendReply ──► L
//!   L: (own fsync done) Stored ──► O, F;  commit: Committed r; Append with the new commit at once ──► F, O
//!   F:                  Stored ──► O
//!   O: Committed r, when words or the leader's commit have made it so
//! ```
//!
//! With three sites one round trip from O to L (`words`); no tick is waited for anywhere.
//!
//! # What it does not do
//! It does not decide verdicts (a pure function of the order, elsewhere). Bodies that are applied are left to the engine, and what the
//! engine no longer has is forgotten (`upkeep`).

mod border;
mod members;
mod parking;
mod proposals;
mod records;
mod storage;
#[cfg(test)]
mod tests;
mod upkeep;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::members::{MOST, reconfigures};
use gemini_shadow_ops::{Entry, Frontier, Members, SiteId};
use raft::eraftpb::{ConfState, Entry as RaftEntry, Message, MessageType};
use raft::{Config, RawNode, SnapshotStatus, StateRole};

use crate::replica::{Output, ReplicaError, Timing};
use crate::wire::{Blob, LogEntry, PeerMessage, RaftMessage};
use border::{body_of, check, from_raft, raft_entry, raft_id, site_of, to_raft};
use parking::Park;
use proposals::Proposals;
use records::Record;
pub use records::{SequencerRecovery, beginning};
#[cfg(test)]
pub use records::{describe, entries_written};
use storage::{Body, Hard, Storage, base_of, body};
use words::Words;

type Node = RawNode<Storage>;

/// Ticks of silence before the first site's election; each further one waits `RANK_TICKS` longer.
const ELECTION_TICKS: usize = 10;
const RANK_TICKS: usize = 4;

/// Ticks between attempts to hand leadership to the preferred site.
const HAND_OVER_TICKS: u64 = 20;

/// Entries whose bodies are kept in memory although they are applied: for followers a little behind.
const KEEP_BODIES: u64 = if cfg!(test) { 8 } else { 4096 };

/// Entries that a site takes while it is filled.
const FROZEN: u64 = 16_384;

/// Bytes of one append, and appends under way to one follower.
const APPEND_BYTES: u64 = 256 << 10;
const APPENDS: usize = 128;

/// What comes out of a sequencer, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// For the site (or, a `Send`, for the peer that it names, direct or not).
    Out(Output),
    /// The next entry of the one order.
    Committed {
        /// 1, 2, 3, … without gaps.
        r: u64,
        /// The entry.
        entry: Arc<Entry>,
        /// Whether it waits for what it depends on: what the members do not let stand does not.
        waits: bool,
    },
    /// For the site, on the direct link that it names: a removed site has no other way.
    Direct(Output),
    /// This must be held before the sequencer can go on; `hint` has it.
    Want {
        /// A frontier.
        deps: Frontier,
        /// A peer, or this site itself (which has it, then).
        hint: SiteId,
    },
}

/// Who takes part.
#[derive(Clone, Debug)]
pub struct Seats {
    /// This site.
    pub me: SiteId,
    /// The members after the last red index that the engine has applied. This site may not be one yet, or no longer.
    pub members: Members,
    /// Where leadership belongs.
    pub preferred: Option<SiteId>,
    /// This process's number, durably counted: part of the ids that it gives.
    pub start: u64,
}

/// How a sequencer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// "leader", "follower", "candidate".
    pub role: &'static str,
    /// The greatest committed red index.
    pub committed: u64,
    /// The greatest red index in the log.
    pub last: u64,
    /// Proposals of this site without an end.
    pub open: usize,
    /// Appends that wait.
    pub parked: usize,
}

/// Messages that rest on records.
#[derive(Debug)]
struct Release {
    /// raft's number of the step.
    number: u64,
    /// Records that must be on disk.
    needs: u64,
    messages: Vec<Message>,
    /// The log begins after this index from now on; what stands before it is applied.
    restored: Option<u64>,
}

/// See the module.
pub struct Sequencer {
    me: SiteId,
    /// After the last red index handed out.
    members: Members,
    /// This site is removed: it sends nothing more.
    retired: bool,
    /// Entries in the log that change who votes and are not committed, by index.
    changes: BTreeSet<u64>,
    preferred: Option<SiteId>,
    start: u64,
    timing: Timing,
    node: Node,
    /// All blue held here.
    held: Frontier,
    park: Park,
    proposals: Proposals,
    words: Words,
    reachable: BTreeSet<SiteId>,
    releases: VecDeque<Release>,
    /// Records output so far, and how many of them are on disk.
    appended: u64,
    synced: u64,
    /// Entries read and not committed yet, by (index, term), with the bytes that they were read from.
    decoded: BTreeMap<(u64, u64), (Bytes, Arc<Entry>)>,
    /// The last red index handed out.
    handed: u64,
    /// The last one that the engine has applied; that fact stands in the log before any record to come.
    applied: u64,
    /// The site is being filled, and applies nothing. What is appended stays in memory: up to this index it is taken.
    frozen: Option<u64>,
    /// The commit of the last record on disk, as a red index; and that of the records output.
    ordered: u64,
    /// The term whose vote requests have left here.
    asked: u64,
    told: (Option<SiteId>, u64),
    ticked: u64,
    campaign_after: u64,
    hand_over_after: u64,
}

impl std::fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sequencer({}, term {}, {:?})", self.me, self.node.raft.term, self.node.raft.state)
    }
}

/// An entry from its bytes in the log.
fn decode(body: &Bytes) -> Result<Arc<Entry>, String> {
    postcard::from_bytes(body).map(Arc::new).map_err(|e| format!("not an entry: {e}"))
}

impl Sequencer {
    /// A sequencer with what the log held; `applied` is the last red index that the engine has applied.
    pub fn new(
        now: u64,
        seats: Seats,
        timing: Timing,
        recovery: SequencerRecovery,
        applied: u64,
    ) -> Result<Sequencer, ReplicaError> {
        let Seats { me, members, preferred, start } = seats;
        let (mut storage, open) = recovery.finish()?;
        let (voters, learners) = members::seats(&members);
        storage.set_seats(voters, learners);
        let at = upkeep::applied_index(&storage, applied)?;
        let changes = storage.changes().filter(|index| *index > at).collect();
        let config = Config {
            id: raft_id(me),
            election_tick: ELECTION_TICKS,
            heartbeat_tick: 1,
            applied: at,
            max_size_per_msg: APPEND_BYTES,
            max_inflight_msgs: APPENDS,
            check_quorum: true,
            pre_vote: true,
            // Drawn by the library, and set by `keep_rank` before it is looked at.
            min_election_tick: ELECTION_TICKS,
            max_election_tick: ELECTION_TICKS + RANK_TICKS * (MOST + 1),
            ..Config::default()
        };
        let ordered = storage.r_at(storage.hard.commit);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, storage, &logger)
            .map_err(|e| ReplicaError::Inconsistent(format!("the sequencer's log is refused: {e}")))?;
        let mut sequencer = Sequencer {
            me,
            preferred,
            retired: members.removed(me),
            changes,
            members,
            start,
            timing,
            node,
            held: Frontier::default(),
            park: Park::default(),
            proposals: Proposals::recovered(open),
            words: Words::default(),
            reachable: BTreeSet::new(),
            releases: VecDeque::new(),
            appended: 0,
            synced: 0,
            decoded: BTreeMap::new(),
            handed: applied,
            applied,
            frozen: None,
            ordered,
            asked: 0,
            told: (None, 0),
            ticked: now,
            campaign_after: now,
            hand_over_after: now,
        };
        sequencer.keep_rank();
        Ok(sequencer)
    }

    /// A sequencer's message from a peer.
    pub fn receive(&mut self, now: u64, from: SiteId, message: RaftMessage, out: &mut Vec<Event>) {
        if self.retired {
            return;
        }
        match check(&self.node, from, &message, self.asked) {
            Ok(true) => {}
            Ok(false) => return,
            Err(reason) => return self.suspect(from, reason, out),
        }
        match message {
            RaftMessage::Append { index, .. } if self.frozen.is_some_and(|most| index > most) => {}
            RaftMessage::Append { .. } => self.append(from, message, out),
            // Not of use yet: the red entries that it stands for are fetched, or come with an image.
            RaftMessage::TimeoutNow { .. } if self.restoring() => {}
            RaftMessage::Base { r, .. } if r > self.applied => {}
            message @ RaftMessage::Base { .. } => {
                // The members are known here as of what is applied, which is not less.
                let mut message = to_raft(self.me, from, message);
                let seats = ConfState::from(members::seats(&self.members));
                message.mut_snapshot().mut_metadata().set_conf_state(seats);
                self.step(message);
            }
            message => self.step(to_raft(self.me, from, message)),
        }
        self.drive(now, out);
    }

    fn suspect(&self, peer: SiteId, reason: String, out: &mut Vec<Event>) {
        out.push(Event::Out(Output::Suspect { peer, reason }));
    }

    /// Time has passed. Any number of calls; a tick is done when it is due.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Event>) {
        if self.retired {
            return self.expire(now, out);
        }
        let behind = now.saturating_sub(self.ticked);
        if behind >= self.timing.tick {
            // A process that was stopped does not catch up: it would only disturb its peers by an election.
            self.ticked = if behind >= 2 * self.timing.tick { now } else { self.ticked + self.timing.tick };
            if !self.restoring() {
                self.node.tick();
            }
        }
        self.campaign(now);
        self.hand_over(now);
        self.try_inbox(now, out);
        self.send_open(now, out);
        self.drive(now, out);
    }

    /// The first in rank does not wait for silence when there is no leader: nobody else is about to lead.
    fn campaign(&mut self, now: u64) {
        let first = self.first_seat() == Some(self.me);
        let raft = &self.node.raft;
        let idle = raft.state == StateRole::Follower && raft.leader_id == 0;
        if first && idle && !self.restoring() && self.majority_in_reach() && now >= self.campaign_after {
            self.campaign_after = now + self.timing.tick * ELECTION_TICKS as u64;
            // Refused only to a site that is not a voter or has changes of members pending: there are none.
            let _ = self.node.campaign();
        }
    }

    /// Leadership belongs to the preferred site when it is there and has what is committed.
    fn hand_over(&mut self, now: u64) {
        let preferred = self.preferred.filter(|site| *site != self.me && self.leads());
        let Some(preferred) = preferred.filter(|site| self.could_lead(*site)) else { return };
        if self.node.raft.commit_to_current_term() && now >= self.hand_over_after {
            self.hand_over_after = now + self.timing.tick * HAND_OVER_TICKS;
            self.node.transfer_leader(raft_id(preferred));
        }
    }

    /// From now on nothing is applied here.
    pub fn freeze(&mut self) {
        self.frozen = Some(self.node.raft.raft_log.last_index() + FROZEN);
    }

    /// The log has begun anew, and that is not on disk yet: the library panics if it campaigns now.
    fn restoring(&self) -> bool {
        self.releases.iter().any(|release| release.restored.is_some())
    }

    /// The engine has applied the order up to `r`.
    pub fn applied(&mut self, r: u64) {
        self.applied = self.applied.max(r);
    }

    /// What is held here has grown.
    pub fn held(&mut self, now: u64, held: &Frontier, out: &mut Vec<Event>) {
        if self.held == *held {
            return;
        }
        self.held.clone_from(held);
        self.unpark(out);
        self.try_inbox(now, out);
        self.drive(now, out);
    }

    /// Whom this site reaches, on whatever way. `rerouted`: what was under way to these may be lost.
    pub fn reach(
        &mut self,
        now: u64,
        reachable: BTreeSet<SiteId>,
        rerouted: &[SiteId],
        out: &mut Vec<Event>,
    ) {
        self.reachable = reachable;
        for peer in rerouted {
            self.node.report_unreachable(raft_id(*peer));
        }
        self.send_open(now, out);
        self.drive(now, out);
    }

    /// A batch is being taken: all records so far are in it.
    pub fn seal(&self) -> u64 {
        self.appended
    }

    /// The batch with this seal is on disk.
    pub fn durable(&mut self, now: u64, seal: u64, out: &mut Vec<Event>) {
        self.synced = self.synced.max(seal);
        self.release(out);
        self.send_open(now, out);
        self.drive(now, out);
    }

    /// How far the order is committed in our own log, by its newest record: may be told once that record is on disk.
    pub fn ordered(&self) -> u64 {
        self.ordered
    }

    /// Whom this site follows, and in which term.
    pub fn leader(&self) -> Option<(SiteId, u64)> {
        site_of(self.node.raft.leader_id).map(|site| (site, self.node.raft.term))
    }

    /// Whether this site leads.
    pub fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    fn majority_in_reach(&self) -> bool {
        let reached = self.members.voters().filter(|s| *s == self.me || self.reachable.contains(s)).count();
        reached * 2 > self.members.voters().count()
    }

    fn red_in_log(&self) -> u64 {
        let storage = self.node.store();
        storage.r_at(storage.last_index())
    }

    /// raft's own answer to a message: that it was of no use. There is nothing to do about it.
    fn step(&mut self, message: Message) {
        if let Err(error) = self.node.step(message) {
            tracing::debug!(%error, "a sequencer message was not taken");
        }
    }

    /// Gives an entry to raft, as its leader. False: it was not taken.
    fn offer(&mut self, entry: &Arc<Entry>) -> bool {
        let Ok(bytes) = postcard::to_allocvec(&**entry) else { return false };
        let bytes = Bytes::from(bytes);
        let (index, term) = (self.node.raft.raft_log.last_index() + 1, self.node.raft.term);
        let mut proposal = Message::default();
        proposal.set_msg_type(MessageType::MsgPropose);
        proposal.from = raft_id(self.me);
        proposal.set_entries(vec![raft_entry(0, 0, bytes.clone())].into());
        if self.node.raft.step(proposal).is_err() {
            return false;
        }
        self.decoded.insert((index, term), (bytes, entry.clone()));
        self.proposals.place(entry, index);
        true
    }

    fn persist(&mut self, record: &Record, out: &mut Vec<Event>) {
        self.appended += 1;
        out.push(Event::Out(Output::Persist(record.encode())));
    }

    /// Carries out what raft says, until it has nothing more to say.
    fn drive(&mut self, now: u64, out: &mut Vec<Event>) {
        while self.node.has_ready() || self.learn() {
            let mut ready = self.node.ready();
            let mut told = Vec::new();
            for message in ready.take_messages() {
                if message.get_msg_type() == MessageType::MsgSnapshot {
                    told.push(message.to);
                }
                self.emit(message, out);
            }
            let restored = base_of(ready.snapshot());
            if let Some(base) = restored {
                self.restore(base, out);
            }
            let entries = ready.take_entries();
            if let Some(first) = entries.first().map(|e| e.index) {
                self.write_entries(first, entries, out);
            }
            if let Some(hard) = ready.hs() {
                let hard = Hard { term: hard.term, vote: hard.vote, commit: hard.commit };
                self.node.mut_store().hard = hard;
                self.ordered = self.ordered.max(self.node.store().r_at(hard.commit));
                self.persist(&Record::Hard(hard), out);
            }
            let waits = ready.must_sync() && !planted(Fault::SequencerUnsynced);
            let needs = if waits { self.appended } else { 0 };
            let messages = ready.take_persisted_messages();
            self.releases.push_back(Release {
                number: ready.number(),
                needs,
                messages,
                restored: restored.map(|base| base.index),
            });
            let committed = ready.take_committed_entries();
            self.node.advance_append_async(ready);
            for follower in told {
                // A base is a few bytes and may be of no use yet: it is said again with the next heartbeat.
                self.node.report_snapshot(follower, SnapshotStatus::Failure);
            }
            self.deliver(committed, out);
            self.release(out);
        }
        self.keep_rank();
        self.notice_leader(now, out);
    }

    /// Lets go what rests only on records that are on disk, in order.
    fn release(&mut self, out: &mut Vec<Event>) {
        while self.releases.front().is_some_and(|release| release.needs <= self.synced) {
            let release = self.releases.pop_front().expect("the loop has just seen it");
            self.node.on_persist_ready(release.number);
            if let Some(index) = release.restored {
                self.node.advance_apply_to(index);
            }
            for message in release.messages {
                self.emit(message, out);
            }
            self.tell_led(out);
        }
    }

    fn emit(&mut self, message: Message, out: &mut Vec<Event>) {
        let Some((to, message)) = from_raft(message).filter(|_| !self.retired) else { return };
        if let RaftMessage::Vote { pre: false, term, .. } = message {
            self.asked = term;
        }
        if let RaftMessage::AppendReply { term, index, rejected: None, .. } = message {
            self.tell_stored(to, term, index, out);
        }
        out.push(Event::Out(Output::Send { to, message: PeerMessage::Sequencer(message) }));
    }

    fn write_entries(&mut self, first: u64, entries: Vec<RaftEntry>, out: &mut Vec<Event>) {
        let cut = first <= self.node.store().last_index();
        if cut {
            self.proposals.displace(first, 0);
            self.changes.split_off(&first);
        }
        let mut log = Vec::with_capacity(entries.len());
        for mut e in entries {
            let (index, term, body) = (e.index, e.term, body_of(&mut e));
            if !body.is_empty()
                && let Ok(entry) = self.decoded(index, term, &body)
            {
                self.proposals.place(&entry, index);
            }
            if reconfigures(&body) {
                self.changes.insert(index);
            }
            log.push(LogEntry { term, body: Blob(body) });
        }
        let slots: Vec<(u64, Body)> = log.iter().map(|e| (e.term, body(&e.body.0))).collect();
        self.node.mut_store().append(first, slots).expect("raft hands out entries that follow its log");
        self.persist(&Record::Entries { first, entries: log }, out);
    }

    fn deliver(&mut self, committed: Vec<RaftEntry>, out: &mut Vec<Event>) {
        let Some(last) = committed.last().map(|e| e.index) else { return };
        for mut e in committed {
            let body = body_of(&mut e);
            if body.is_empty() {
                continue;
            }
            let entry = self
                .decoded(e.index, e.term, &body)
                .expect("an entry is read before it is written, and again before a log is taken over");
            let r = self.node.store().r_at(e.index);
            self.decided(&entry, out);
            if r > self.handed {
                self.hand_out(r, entry, out);
            }
        }
        self.node.advance_apply_to(last);
        self.changes = self.changes.split_off(&(last + 1));
        self.decoded.retain(|(index, _), _| *index > last);
        if self.proposals.placed() > 4 * KEEP_BODIES as usize {
            self.proposals.displace(u64::MAX, last.saturating_sub(KEEP_BODIES));
        }
    }

    fn notice_leader(&mut self, now: u64, out: &mut Vec<Event>) {
        let leader = self.leader().map(|(site, _)| site);
        let term = self.node.raft.term;
        if self.told == (leader, term) {
            return;
        }
        self.told = (leader, term);
        out.push(Event::Out(Output::Leader { leader, term }));
        if leader == Some(self.me) {
            self.hand_over_after = now + self.timing.tick * HAND_OVER_TICKS;
        }
        self.try_inbox(now, out);
        if leader.is_some() {
            self.send_open(now, out);
        }
        if self.node.has_ready() {
            self.drive(now, out);
        }
    }

    /// The entry at an index, read once.
    fn decoded(&mut self, index: u64, term: u64, bytes: &Bytes) -> Result<Arc<Entry>, String> {
        match self.decoded.get(&(index, term)) {
            // A well-behaved peer never gives other bytes for the same place and term.
            Some((known, entry)) if known == bytes => Ok(entry.clone()),
            _ => {
                let entry = decode(bytes)?;
                self.decoded.insert((index, term), (bytes.clone(), entry.clone()));
                Ok(entry)
            }
        }
    }

    /// Forgets what was read of an append and then not taken.
    fn forget_decoded_after(&mut self, index: u64) {
        let log = &self.node.raft.raft_log;
        self.decoded.retain(|(at, term), _| *at <= index || log.term(*at).is_ok_and(|known| known == *term));
    }

    /// For people.
    pub fn status(&self) -> Standing {
        let role = match self.node.raft.state {
            StateRole::Leader => "leader",
            StateRole::Follower => "follower",
            StateRole::Candidate | StateRole::PreCandidate => "candidate",
        };
        let committed = self.node.store().r_at(self.node.raft.raft_log.committed).max(self.handed);
        let (open, parked) = (self.proposals.open(), self.park.len());
        Standing { role, committed, last: self.red_in_log(), open, parked }
    }

    /// The current term.
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }
}
