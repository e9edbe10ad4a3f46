//! One site's part in replication, put together: causal delivery, the sequencer, routes between sites.
//!
//! A [`Replica`] is a pure state machine. The site calls it with what happened (a message came, time has passed, the log was
//! synced, a transaction was committed here) and carries out the [`Output`]s **in order, at once, before
//! its next call**: each assumes that those before it have been carried out.
//!
//! # Durability
//!
//! No output waits for a sync. Whatever must not be said before something is on disk is held back *inside* until the site
//! reports the sync:
//!
//! ```text
//!   call ──► outputs: Log, Admit, AdmitRed, Persist ──► site appends them to the log, in order
//!   site takes the batch:     mark = replica.seal()        everything output so far is in this batch
//!   the batch is on disk:     replica.durable(mark, …)     what rested on it goes out now: Send, AdmitRed, Replicated …
//! ```
//!
//! Seal whenever a batch is taken, report marks in the order they were taken (skipping one is fine: a mark covers those before
//! it). A `seal` without a batch is harmless and so is one too many.
//!
//! # Time
//!
//! `now` is in microseconds since 1970-01-01 UTC and must not go back (the site clamps it).
//! Call [`Replica::tick`] at least every 20 ms; it knows by itself what is due.
//!
//! # A blue commit at this site
//!
//! ```text
//!   dot = (me, replica.own() + 1), deps = engine.applied()
//!   engine.commit_blue(dot, t); replica.committed(now, dot, &t, shelf, out)
//!   … seal, sync, durable ──► Send(Blue) to every peer;  peers' acks ──► Replicated { n }: a majority has our n first
//! ```
//!
//! # A red commit
//!
//! ```text
//!   id = replica.next_entry_id();  replica.propose(now, entry, deadline, shelf, out)
//!     Err(Unavailable)                      no majority in reach: nothing was sent, nothing will come: 57P03
//!     Output::AdmitRed { r, entry }         later, here and everywhere, in the order of r. Compare the entry's id with those that
//!                                           sessions wait for; the verdict is the caller's (Window::decide)
//!     Output::Failed { id, Unavailable }    the deadline passed and it was never sent; it will never come: 57P03
//!     Output::Failed { id, Unknown }        the deadline passed and it may still come; a VOID is on its way: 40003
//! ```
//!
//! A VOID of an id of ours that was given up is proposed without further calls, also after a restart; it comes out as an
//! [`Output::AdmitRed`] of [`Entry::Void`] like every other entry.

mod hello;
mod members;
#[cfg(test)]
mod members_tests;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use gemini_shadow_ops::{Dot, Entry, EntryId, Frontier, Hlc, ShadowTransaction, SiteId};

pub use types::{
    Failure, Options, Output, PeerStatus, Recovered, ReplicaError, Shelf, Status, Timing, Unavailable,
};

use crate::causal::{self, Causal};
use crate::clock::Clock;
use crate::freshness::Freshness;
use crate::routes::{Passed, Routes};
use crate::sequencer::{self, Event, Sequencer};
use crate::wire::{Heartbeat, MAX_WANTS, PeerMessage, Propose, Relay, Wants};

/// What a batch covers; see the module's notes on durability.
#[derive(Clone, Debug)]
pub struct Mark {
    causal: causal::Mark,
    sequencer: u64,
}

/// One site's part in replication. See the module.
#[derive(Debug)]
pub struct Replica {
    options: Options,
    clock: Clock,
    routes: Routes,
    freshness: Freshness,
    causal: Causal,
    sequencer: Sequencer,
    incarnations: BTreeMap<SiteId, u64>,
    /// Links whose Hello has been accepted.
    greeted: BTreeSet<SiteId>,
    /// Links on which we have said Hello, when, and have not accepted the peer's.
    saluted: BTreeMap<SiteId, u64>,
    schema_version: u64,
    /// The last heartbeats.
    beaten: u64,
    /// Peers have more of this site's transactions, or other; or it was removed.
    halted: bool,
    duties: members::Duties,
}

/// Events of the two state machines that the other has not seen yet.
type Queue = VecDeque<Event>;

impl Replica {
    /// A replica with what the log held. Call [`Replica::start`] next.
    pub fn new(now: u64, options: Options, recovered: Recovered) -> Result<Replica, ReplicaError> {
        let Options { me, preferred, timing, start, .. } = &options;
        let Recovered { logged, applied, sequencer, incarnations, members } = recovered;
        if members.current().keys().chain([me]).any(|site| site.0 == u16::MAX) {
            return Err(ReplicaError::Options(format!("site id {} is reserved", u16::MAX)));
        }
        if members.last() != applied.red {
            let at = members.last();
            let problem = format!("the members are those at r{at}, but r{} is applied", applied.red);
            return Err(ReplicaError::Inconsistent(problem));
        }
        let seats = sequencer::Seats { me: *me, members, preferred: *preferred, start: *start };
        let mut sequencer = Sequencer::new(now, seats, timing.clone(), sequencer, applied.red)?;
        let ordered = sequencer.ordered();
        let mut causal = Causal::new(*me, timing.clone(), logged, applied, ordered);
        if options.filling {
            causal.freeze();
            sequencer.freeze();
        }
        let clock = Clock::new(now, timing.offset, Hlc::default())
            .map_err(|e| ReplicaError::Options(format!("the clock of this machine: {e}")))?;
        let routes = Routes::new(*me, timing.silence);
        let duties = members::Duties::default();
        Ok(Replica {
            options,
            clock,
            routes,
            freshness: Freshness::default(),
            causal,
            sequencer,
            incarnations,
            greeted: BTreeSet::new(),
            saluted: BTreeMap::new(),
            schema_version: 0,
            beaten: 0,
            halted: false,
            duties,
        })
    }

    /// Once, when the engine is open: admits what the log holds and has not applied, and begins.
    pub fn start(&mut self, now: u64, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        self.follow_members(now, shelf, out);
        self.tick(now, shelf, out);
    }

    /// A direct link with `peer` is up (both ways, after a first round trip). Sends the Hello.
    pub fn connected(&mut self, now: u64, peer: SiteId, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        if !self.is_peer(peer) {
            return self.stranger(peer, out);
        }
        self.disconnected(now, peer, shelf, out);
        self.salute(now, peer, shelf, out);
    }

    /// The direct link with `peer` is gone.
    pub fn disconnected(&mut self, now: u64, peer: SiteId, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        self.greeted.remove(&peer);
        self.saluted.remove(&peer);
        self.routes.disconnected(peer);
        self.reroute(now, shelf, out);
    }

    /// `from` has said something on the direct link.
    pub fn receive(
        &mut self,
        now: u64,
        from: SiteId,
        message: PeerMessage,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        if let PeerMessage::Removed(removed) = message {
            return self.told_removed(from, &removed, out);
        }
        if !self.is_peer(from) {
            if let PeerMessage::Hello(_) = message {
                self.stranger(from, out);
            }
            return;
        }
        match message {
            PeerMessage::Hello(hello) => self.greet(now, from, hello, shelf, out),
            // Nothing is believed before the Hello: it may be another cluster.
            _ if !self.greeted.contains(&from) => {}
            PeerMessage::Relay(relay) => {
                self.routes.heard(now, from);
                self.relayed(now, from, relay, shelf, out);
            }
            PeerMessage::Heartbeat(heartbeat) => {
                self.routes.heard(now, from);
                self.heartbeat(now, from, heartbeat, shelf, out);
            }
            message => {
                self.routes.heard(now, from);
                self.take(now, from, message, shelf, out);
            }
        }
    }

    /// A message that was relayed: for us, or to be handed on.
    fn relayed(&mut self, now: u64, from: SiteId, relay: Relay, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        match self.routes.pass(from, relay) {
            Ok(Passed::Mine(origin, message)) if self.is_peer(origin) => {
                self.take(now, origin, message, shelf, out);
            }
            Ok(Passed::On(to, relay)) => out.push(Output::Send { to, message: PeerMessage::Relay(relay) }),
            Ok(Passed::Mine(..) | Passed::Dropped) => {}
            Err(error) => {
                out.push(Output::Suspect { peer: from, reason: format!("a relayed message: {error}") })
            }
        }
    }

    fn heartbeat(
        &mut self,
        now: u64,
        from: SiteId,
        beat: Heartbeat,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        if let Err(error) = self.clock.check(now, beat.clock) {
            self.cut(now, from, error.to_string(), shelf, out);
            return;
        }
        self.freshness.heard(now, from, beat.sent, beat.echo, &beat.acks.applied);
        self.routes.reach(from, &beat.reach);
        self.reroute(now, shelf, out);
        self.take(now, from, PeerMessage::Acks(beat.acks), shelf, out);
    }

    /// Closes a link, and treats it as gone from now on.
    fn cut(&mut self, now: u64, peer: SiteId, reason: String, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        out.push(Output::Disconnect { peer, reason });
        self.disconnected(now, peer, shelf, out);
    }

    /// A message of `from`, on whatever way it came.
    fn take(
        &mut self,
        now: u64,
        from: SiteId,
        message: PeerMessage,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        let (mut raw, mut events) = (Vec::new(), Vec::new());
        let mut queue = Queue::new();
        let result = match message {
            PeerMessage::Blue(blue) => self.causal.blue(now, from, blue, shelf, &mut raw),
            PeerMessage::Acks(acks) => {
                if let Err(reason) = self.causal.acked(now, from, &acks, shelf, &mut raw) {
                    self.halt(reason, out);
                }
                Ok(())
            }
            PeerMessage::Fetch(fetch) => {
                self.causal.answer(from, &fetch, shelf, &mut raw);
                Ok(())
            }
            PeerMessage::FetchReply(reply) => {
                let found = self.causal.answered(now, from, reply, shelf, &mut raw);
                found.map(|found| self.sequencer.learned(now, found, &mut events))
            }
            PeerMessage::Sequencer(message) => {
                self.sequencer.receive(now, from, message, &mut events);
                Ok(())
            }
            PeerMessage::Propose(Propose { entry }) => {
                self.sequencer.proposed(now, from, entry, &mut events);
                Ok(())
            }
            PeerMessage::Proposal(proposal) => {
                self.sequencer.answered(now, from, proposal, &mut events);
                Ok(())
            }
            PeerMessage::Stored(word) => {
                self.sequencer.stored(now, from, word, &mut events);
                Ok(())
            }
            PeerMessage::Look(_) | PeerMessage::Looked(_) | PeerMessage::Fill(_) => {
                raw.push(Output::Heard { from, message });
                Ok(())
            }
            PeerMessage::Wants(Wants { wants }) if wants.len() > MAX_WANTS => {
                Err(format!("it asks for rights of {} rows at once", wants.len()))
            }
            PeerMessage::Wants(Wants { wants }) => {
                raw.push(Output::Wanted { from, wants });
                Ok(())
            }
            PeerMessage::Hello(_)
            | PeerMessage::Relay(_)
            | PeerMessage::Heartbeat(_)
            | PeerMessage::Removed(_) => Err("a message that belongs on a direct link".into()),
        };
        if let Err(reason) = result {
            out.push(Output::Suspect { peer: from, reason });
        }
        queue.extend(events);
        self.settle(now, raw, queue, shelf, out);
    }

    /// Time has passed. At least every 20 ms.
    pub fn tick(&mut self, now: u64, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        self.reroute(now, shelf, out);
        self.freshness.applied(&self.causal.acks().applied);
        let (mut raw, mut events) = (Vec::new(), Vec::new());
        if now.saturating_sub(self.beaten) >= self.options.timing.heartbeat {
            self.beaten = now;
            self.beat(now, &mut raw, out);
        }
        self.salute_again(now, shelf, out);
        self.causal.tick(now, shelf, &mut raw);
        self.sequencer.tick(now, &mut events);
        self.settle(now, raw, events.into(), shelf, out);
        self.do_duties(now, shelf, out);
    }

    /// Heartbeats on every link, silent ones too (they may be well again); what we have, to those behind a relay.
    fn beat(&mut self, now: u64, raw: &mut Vec<Output>, out: &mut Vec<Output>) {
        for &peer in &self.greeted {
            let message = PeerMessage::Heartbeat(Heartbeat {
                clock: self.clock.reading(now),
                acks: self.causal.acks().clone(),
                reach: self.routes.advertise(peer),
                schema_version: self.schema_version,
                leader: self.sequencer.leader(),
                sent: now,
                echo: self.freshness.echo(peer),
            });
            out.push(Output::Send { to: peer, message });
        }
        for peer in self.peers() {
            if !self.routes.direct(peer) {
                self.causal.tell(now, peer, raw);
            }
        }
    }

    /// Finds routes anew and lets everybody know what has changed.
    fn reroute(&mut self, now: u64, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        let before: Vec<(SiteId, Option<SiteId>)> =
            self.peers().into_iter().map(|site| (site, self.routes.via(site))).collect();
        if !self.routes.refresh(now) {
            return;
        }
        let (mut raw, mut events, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (site, via) in before {
            if self.routes.via(site) != via {
                changed.push(site);
                self.causal.route(now, site, self.routes.via(site), shelf, &mut raw);
            }
        }
        self.sequencer.reach(now, self.routes.reachable(), &changed, &mut events);
        self.settle(now, raw, events.into(), shelf, out);
    }

    /// The site has committed its next blue transaction: appended to the log and applied.
    pub fn committed(
        &mut self,
        now: u64,
        dot: Dot,
        transaction: &Arc<ShadowTransaction>,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        let mut raw = Vec::new();
        self.causal.committed(dot, transaction, shelf, &mut raw);
        self.settle(now, raw, Queue::new(), shelf, out);
    }

    /// A client waits for [`Output::Replicated`] of our transaction `n`, which is about to be committed: peers are asked to
    /// acknowledge it at once.
    pub fn awaits(&mut self, n: u64) {
        self.causal.awaits(n);
    }

    /// A new entry id of this site, used once.
    pub fn next_entry_id(&mut self) -> EntryId {
        self.sequencer.next_entry_id()
    }

    /// Whether an entry could be sent on its way now; if not, why.
    pub fn may_propose(&self) -> Result<(), Unavailable> {
        self.sequencer.may_propose()
    }

    /// Proposes an entry of this site. Its id is from [`Replica::next_entry_id`], its deps are within [`Replica::applied`]. It
    /// is sent once its id is noted on disk (and with it everything it depends on). Whatever the error says, nothing was sent.
    pub fn propose(
        &mut self,
        now: u64,
        entry: Arc<Entry>,
        deadline: u64,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) -> Result<(), Unavailable> {
        let mut events = Vec::new();
        let result = self.sequencer.propose(now, entry, deadline, &mut events);
        self.settle(now, Vec::new(), events.into(), shelf, out);
        result
    }

    /// A batch of the log is being taken: everything output so far is in it.
    pub fn seal(&mut self) -> Mark {
        Mark { causal: self.causal.seal(self.sequencer.ordered()), sequencer: self.sequencer.seal() }
    }

    /// That batch, and with it all before it, is on disk.
    pub fn durable(&mut self, now: u64, mark: Mark, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        // Blue first: a proposal that leaves now finds what it depends on before it on the same link.
        let (mut raw, mut events) = (Vec::new(), Vec::new());
        self.causal.synced(now, mark.causal, shelf, &mut raw);
        self.settle(now, raw, Queue::new(), shelf, out);
        self.sequencer.durable(now, mark.sequencer, &mut events);
        self.settle(now, Vec::new(), events.into(), shelf, out);
    }

    /// Lets each state machine see what the other one has done, until both rest; and finds the way for what is sent.
    fn settle(
        &mut self,
        now: u64,
        mut raw: Vec<Output>,
        mut events: Queue,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        loop {
            for output in raw.drain(..) {
                self.emit(output, out);
            }
            let mut more = Vec::new();
            match events.pop_front() {
                Some(Event::Out(output)) => {
                    self.emit(output, out);
                    continue;
                }
                Some(Event::Direct(output)) => {
                    out.push(output);
                    continue;
                }
                // What is not applied is not kept: after the filling it comes again.
                Some(Event::Committed { .. }) if self.options.filling => {}
                Some(Event::Committed { r, entry, waits }) => {
                    self.causal.ordered(now, r, entry.clone(), waits, shelf, &mut raw);
                    if waits && let Entry::Member(_) = &*entry {
                        self.members_changed(now, shelf, &mut raw, &mut more);
                    }
                }
                Some(Event::Want { deps, hint }) => self.causal.want(now, &deps, hint, &mut raw),
                None if self.sequencer.wants_bodies() => {
                    self.sequencer.load(now, &|r| shelf.red(r), &mut more);
                }
                None => {}
            }
            self.sequencer.applied(self.causal.applied().red);
            self.sequencer.held(now, self.causal.held(), &mut more);
            events.extend(more);
            if raw.is_empty() && events.is_empty() {
                break;
            }
        }
    }

    /// A message goes the way that there is; without one it is dropped, as the link might have done.
    fn emit(&self, output: Output, out: &mut Vec<Output>) {
        let Output::Send { to, message } = output else { return out.push(output) };
        match self.routes.wrap(to, message) {
            Ok(Some((to, message))) => out.push(Output::Send { to, message }),
            Ok(None) => {}
            Err(error) => {
                out.push(Output::Suspect { peer: to, reason: format!("a message cannot be sent: {error}") })
            }
        }
    }

    /// Says something of the site's own ([`Output::Heard`], [`Output::Wanted`]) to a peer; dropped if there is no way.
    pub fn say(&mut self, to: SiteId, message: PeerMessage, out: &mut Vec<Output>) {
        self.emit(Output::Send { to, message }, out);
    }

    /// Whether there is a way to a peer.
    pub fn reaches(&self, peer: SiteId) -> bool {
        self.routes.via(peer).is_some()
    }

    fn halt(&mut self, reason: String, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.halted, true) {
            out.push(Output::Halt { reason });
        }
    }

    /// The newest schema version applied here, as Hello and Heartbeat tell it.
    pub fn schema_version(&mut self, version: u64) {
        self.schema_version = version;
    }

    /// How many blue transactions this site has committed.
    pub fn own(&self) -> u64 {
        self.causal.logged().blue(self.options.me)
    }

    /// What is applied here, newest (equal to the engine's once all outputs are carried out).
    pub fn applied(&self) -> &Frontier {
        self.causal.applied()
    }

    /// Per origin, what stands in the log here, applied or not (red left at 0). Keep it with a checkpoint, for
    /// [`Recovered::logged`]: the records themselves may be cut.
    pub fn logged(&self) -> &Frontier {
        self.causal.logged()
    }

    /// What every site has on disk (blue: received; red: in its sequencer's log and applied): no site will ask for it any more.
    pub fn everywhere(&self) -> Frontier {
        let all = self.causal.everywhere();
        let mut frontier = all.durable;
        frontier.red = all.applied.red.min(all.ordered);
        frontier
    }

    /// One `Record::Sequencer` that stands for all before it: append it when a checkpoint is taken, so that older segments
    /// can go. Also drops from memory what every site has, and red entries up to `gone`, which the shelf no longer has.
    pub fn compact(&mut self, gone: u64) -> Vec<u8> {
        let applied = self.causal.acks().applied.red;
        self.sequencer.compact(&self.causal.everywhere(), applied, gone)
    }

    /// What a peer is known to have on disk (red: in its sequencer's log and applied); None: it has not said so yet.
    pub fn has(&self, peer: SiteId) -> Option<Frontier> {
        let acks = self.causal.peer(peer)?;
        let mut frontier = acks.durable.clone();
        frontier.red = acks.applied.red.min(acks.ordered);
        Some(frontier)
    }

    /// What this site lacks and no peer in reach has in its log any more, for people: it has to be filled from one of them.
    pub fn cut_off(&self) -> Option<String> {
        self.causal.cut_off()
    }

    /// For people.
    pub fn status(&self, now: u64) -> Status {
        let sequencer = self.sequencer.status();
        let peers = self.peers().into_iter().map(|site| {
            let acks = self.causal.peer(site).cloned().unwrap_or_default();
            PeerStatus {
                site,
                direct: self.routes.direct(site),
                via: self.routes.via(site),
                silence: self.routes.silence_of(now, site),
                durable: acks.durable,
                applied: acks.applied,
                as_of: self.freshness.as_of(site),
            }
        });
        Status {
            leader: self.sequencer.leader().map(|(site, _)| site),
            term: self.sequencer.term(),
            role: sequencer.role,
            committed: sequencer.committed,
            last: sequencer.last,
            open: sequencer.open,
            parked: sequencer.parked,
            waiting: self.causal.waiting(),
            peers: peers.collect(),
        }
    }
}
