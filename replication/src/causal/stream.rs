//! Streams of our own transactions to the others, and what they acknowledge.
//!
//! ```text
//!   our dots:   1 2 3 4 5 6 7 8 9 10 11 12 13 14
//!                     ▲           ▲        ▲
//!                acknowledged    next    durable          sent and not acknowledged: at most a window
//! ```
//!
//! A stream begins where the peer says it is (Hello or Acks), goes on as acknowledgements come, and goes back
//! to what is acknowledged when the way to the peer has changed or nothing was acknowledged for long. The receiver drops what
//! it has. Nothing is queued here: transactions are taken from a small cache, or read back, when the window has room.

use std::collections::VecDeque;
use std::sync::Arc;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Dot, ShadowTransaction, SiteId};

use super::{Causal, Mark};
use crate::replica::{Output, Shelf};
use crate::wire::{Acks, Blue, PeerMessage, transaction_size};

/// Bytes sent to one peer and not acknowledged.
const WINDOW_BYTES: usize = 8 << 20;

/// Transactions sent to one peer and not acknowledged.
const WINDOW: u64 = 32_768;

/// Bytes and transactions of one message.
const MESSAGE_BYTES: usize = 256 << 10;
const MESSAGE: usize = 512;

/// Bytes of our own last transactions kept in memory.
const RECENT_BYTES: usize = 8 << 20;

/// Acknowledgements closer together than this wait for the next tick.
const ACK_GAP: u64 = 2_000;

/// Our own last transactions.
#[derive(Debug, Default)]
pub(super) struct Recent {
    first: u64,
    transactions: VecDeque<(Arc<ShadowTransaction>, usize)>,
    bytes: usize,
}

impl Recent {
    pub(super) fn push(&mut self, n: u64, t: &Arc<ShadowTransaction>) {
        if self.transactions.is_empty() {
            self.first = n;
        }
        let size = transaction_size(t);
        self.bytes += size;
        self.transactions.push_back((t.clone(), size));
        while self.bytes > RECENT_BYTES && self.transactions.len() > 1 {
            let (_, size) = self.transactions.pop_front().expect("not empty");
            self.bytes -= size;
            self.first += 1;
        }
    }

    fn get(&self, dot: Dot, shelf: &dyn Shelf) -> Option<(Arc<ShadowTransaction>, usize)> {
        let cached =
            dot.n.checked_sub(self.first).and_then(|i| self.transactions.get(usize::try_from(i).ok()?));
        cached.cloned().or_else(|| shelf.blue(dot).map(|t| (t.clone(), transaction_size(&t))))
    }
}

/// What is kept for each other site.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Through whom it is reached.
    pub(super) via: Option<SiteId>,
    /// What it says it has; None before it has said anything.
    pub(super) acks: Option<Acks>,
    /// The next of our transactions to send.
    next: u64,
    /// Sent and not acknowledged: up to which n, how many bytes.
    flight: VecDeque<(u64, usize)>,
    flight_bytes: usize,
    /// When the stream last moved, and how often it has started again since.
    moved: u64,
    tries: u32,
    /// When we last told it what we have, and whether it is owed more.
    told: u64,
    owed: bool,
    /// Of its transactions: up to which one its clients wait for us, and up to which one we have told it.
    awaited: u64,
    confirmed: u64,
}

impl Peer {
    pub(super) fn has(&self, site: SiteId) -> u64 {
        self.acks.as_ref().map_or(0, |a| a.durable.blue(site))
    }

    fn go_back(&mut self, now: u64, me: SiteId) {
        self.next = self.has(me) + 1;
        self.flight.clear();
        self.flight_bytes = 0;
        self.moved = now;
    }
}

impl Causal {
    /// Through whom `peer` is reached from now on.
    pub fn route(
        &mut self,
        now: u64,
        peer: SiteId,
        via: Option<SiteId>,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        let me = self.me;
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if state.via == via {
            return;
        }
        state.via = via;
        state.tries = 0;
        state.go_back(now, me);
        if via.is_some() {
            self.tell(now, peer, out);
            self.pump(now, peer, shelf, out);
        }
    }

    /// What a peer says it has. An error is a peer that has more of our transactions than we do: we are an old copy of
    /// ourselves and must stop committing.
    pub fn acked(
        &mut self,
        now: u64,
        from: SiteId,
        acks: &Acks,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        let me = self.me;
        let (theirs, ours) = (acks.durable.blue(me), self.durable.durable.blue(me));
        if theirs > ours {
            return Err(format!(
                "site {from} has {theirs} transactions of this site, which has {ours} on its own disk"
            ));
        }
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        let known = match &mut peer.acks {
            Some(known) => {
                known.durable.join(&acks.durable);
                known.applied.join(&acks.applied);
                known.ordered = known.ordered.max(acks.ordered);
                known.durable.blue(me)
            }
            none => {
                *none = Some(acks.clone());
                peer.go_back(now, me);
                theirs
            }
        };
        while peer.flight.front().is_some_and(|(n, _)| *n <= known) {
            let (_, bytes) = peer.flight.pop_front().expect("the loop has just seen it");
            peer.flight_bytes -= bytes;
            peer.moved = now;
            peer.tries = 0;
        }
        peer.next = peer.next.max(known + 1);
        self.count(out);
        self.pump(now, from, shelf, out);
        Ok(())
    }

    /// A batch is on disk: say so, and send what was committed.
    pub fn synced(&mut self, now: u64, mark: Mark, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        let before = std::mem::replace(&mut self.durable, mark.acks);
        self.held_durably = mark.held;
        self.trim();
        debug_assert!(self.durable.durable.includes(&before.durable), "marks are reported in order");
        for (site, n) in self.durable.durable.blues() {
            if n > before.durable.blue(site)
                && let Some(peer) = self.peers.get_mut(&site)
            {
                peer.owed = true;
            }
        }
        self.count(out);
        self.advance(shelf, out);
        let peers: Vec<SiteId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.pump(now, peer, shelf, out);
            self.settle_up(now, peer, out);
        }
    }

    /// Sends to `peer` what its window has room for.
    fn pump(&mut self, now: u64, to: SiteId, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        let (me, durable, awaited) = (self.me, self.durable.durable.blue(self.me), self.awaited);
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.via.is_none() || peer.acks.is_none() {
            return;
        }
        let acked = peer.has(me);
        while peer.next <= durable && peer.flight_bytes < WINDOW_BYTES && peer.next - acked <= WINDOW {
            let (first, mut bytes, mut transactions) = (peer.next, 0, Vec::new());
            while peer.next <= durable && bytes < MESSAGE_BYTES && transactions.len() < MESSAGE {
                let Some((t, size)) = self.recent.get(Dot { site: me, n: peer.next }, shelf) else { break };
                transactions.push(t);
                bytes += size;
                peer.next += 1;
            }
            if transactions.is_empty() {
                break;
            }
            if peer.flight.is_empty() {
                peer.moved = now;
            }
            peer.flight.push_back((peer.next - 1, bytes));
            peer.flight_bytes += bytes;
            out.push(Output::Send {
                to,
                message: PeerMessage::Blue(Blue {
                    origin: me,
                    first,
                    transactions,
                    awaited: first <= awaited,
                }),
            });
        }
    }

    /// What could not be read back before is tried again, streams that stand still start again, acknowledgements owed go out, gaps are fetched.
    pub fn tick(&mut self, now: u64, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        self.advance(shelf, out);
        let (me, resend) = (self.me, self.timing.resend);
        let peers: Vec<SiteId> = self.peers.keys().copied().collect();
        for to in peers {
            if let Some(peer) = self.peers.get_mut(&to)
                && !peer.flight.is_empty()
                && now.saturating_sub(peer.moved) > resend << peer.tries.min(4)
            {
                peer.tries += 1;
                peer.go_back(now, me);
            }
            self.pump(now, to, shelf, out);
            self.settle_up(now, to, out);
        }
        self.fetch(now, out);
    }

    /// Tells a peer what we have if it is owed that: at once if its clients wait for it, else not too often.
    fn settle_up(&mut self, now: u64, to: SiteId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&to) else { return };
        let waits = peer.awaited > peer.confirmed && self.durable.durable.blue(to) > peer.confirmed;
        if peer.owed && (waits || now.saturating_sub(peer.told) >= ACK_GAP) {
            self.tell(now, to, out);
        }
    }

    /// A client waits until a majority has our transactions up to `n` on disk.
    pub fn awaits(&mut self, n: u64) {
        self.awaited = self.awaited.max(n);
    }

    /// Tells a peer what we have.
    pub fn tell(&mut self, now: u64, to: SiteId, out: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&to)
            && peer.via.is_some()
        {
            peer.owed = false;
            peer.told = now;
            peer.confirmed = self.durable.durable.blue(to);
            let acks = match planted(Fault::ReceiptAcknowledged) {
                true => self.seal(self.durable.ordered).acks,
                false => self.durable.clone(),
            };
            out.push(Output::Send { to, message: PeerMessage::Acks(acks) });
        }
    }

    /// Blue transactions of their origin have come.
    pub fn blue(
        &mut self,
        now: u64,
        from: SiteId,
        blue: Blue,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        if blue.origin != from {
            return Err(format!("a stream of site {}'s transactions", blue.origin));
        }
        let known = self.logged.blue(from);
        let last = blue.first.saturating_add(blue.transactions.len() as u64);
        if blue.awaited
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.awaited = peer.awaited.max(last.saturating_sub(1));
        }
        let result = self.accept(now, from, blue.first, blue.transactions, shelf, out);
        // All of it known: the sender lacks an acknowledgement.
        if last <= known + 1
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.owed = true;
        }
        result
    }

    /// Recounts how far our own transactions are on the disks of a majority of those who vote.
    pub(super) fn count(&mut self, out: &mut Vec<Output>) {
        let me = self.me;
        let has = |site: &SiteId| match self.peers.get(site) {
            Some(peer) => peer.has(me),
            None if *site == me => self.durable.durable.blue(me),
            None => 0,
        };
        let mut counts: Vec<u64> = self.voters.iter().map(has).collect();
        counts.sort_unstable();
        let Some(n) = counts.get(counts.len().saturating_sub(1) / 2).copied() else { return };
        if n > self.replicated {
            self.replicated = n;
            out.push(Output::Replicated { n });
        }
    }

    /// What every site has on disk.
    pub fn everywhere(&self) -> Acks {
        let mut all = self.durable.clone();
        for peer in self.peers.values() {
            let Some(acks) = &peer.acks else { return Acks::default() };
            all.durable.meet(&acks.durable);
            all.applied.meet(&acks.applied);
            all.ordered = all.ordered.min(acks.ordered);
        }
        all
    }

    /// What a peer says it has.
    pub fn peer(&self, site: SiteId) -> Option<&Acks> {
        self.peers.get(&site).and_then(|p| p.acks.as_ref())
    }

    /// A new life of the peer's link: forget what it said, until it says it again.
    pub fn forget(&mut self, site: SiteId) {
        if let Some(peer) = self.peers.get_mut(&site) {
            peer.acks = None;
            (peer.awaited, peer.confirmed) = (0, 0);
            peer.flight.clear();
            peer.flight_bytes = 0;
        }
    }
}
