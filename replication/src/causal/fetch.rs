//! Gaps: noticing what is missing, and asking whoever has it.
//!
//! Usually an origin's own stream brings everything. It does not when the origin is gone, when a relay dropped a message, or
//! when the sequencer waits for a transaction that has reached others first. What is missing is known from
//! three places: transactions beyond a gap, peers' acknowledgements, and what the sequencer wants. If the stream
//! brings nothing for a while, one peer that has it is asked, then the next one. One question per origin is under way at a
//! time; an answer that helps is followed by the next question at once.
//!
//! A peer may have let go of what is asked for: its log is bounded. When everybody in reach who has had it says so, this site is
//! *cut off* from the log ([`Causal::cut_off`]) and must be filled in another way.

use std::collections::BTreeSet;
use std::sync::Arc;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Dot, Entry, Frontier, SiteId};

use super::Causal;
use crate::replica::{Output, Shelf};
use crate::wire::{Blue, Fetch, FetchReply, PeerMessage, transaction_size};

/// The most that one answer carries.
const REPLY_BYTES: usize = 1 << 20;
const REPLY: u64 = 4096;

/// What is known to be missing of one origin, or of the red order.
#[derive(Debug, Default)]
pub(super) struct Gap {
    /// The sequencer waits for everything up to here.
    wanted: u64,
    /// Who has it.
    hint: Option<SiteId>,
    /// When it was first noticed, or last moved.
    since: Option<u64>,
    /// Who was asked, and when.
    asked: Option<(SiteId, u64)>,
    /// How many have been asked in vain.
    tries: usize,
    /// Who no longer has the next one in its log.
    cut: BTreeSet<SiteId>,
    /// Everybody who has had it.
    lost: bool,
}

impl Gap {
    pub(super) fn progress(&mut self, now: u64) {
        self.tries = 0;
        self.cut.clear();
        self.lost = false;
        if self.since.is_some() {
            self.since = Some(now);
        }
    }
}

impl Causal {
    /// The sequencer needs this frontier held; `hint` has it.
    pub fn want(&mut self, now: u64, deps: &Frontier, hint: SiteId, out: &mut Vec<Output>) {
        for (site, n) in deps.blues() {
            if site == self.me || n <= self.logged.blue(site) {
                continue;
            }
            if let Some(origin) = self.origins.get_mut(&site) {
                origin.gap.wanted = origin.gap.wanted.max(n);
                origin.gap.hint = Some(hint);
            }
        }
        self.fetch(now, out);
    }

    /// Asks for what has been missing for too long.
    pub(super) fn fetch(&mut self, now: u64, out: &mut Vec<Output>) {
        if planted(Fault::GapNotFetched) {
            return;
        }
        let sites: Vec<SiteId> = self.origins.keys().copied().filter(|site| *site != self.me).collect();
        for site in sites {
            self.fetch_blue(now, site, out);
        }
        if !self.frozen {
            self.fetch_red(now, out);
        }
    }

    fn fetch_blue(&mut self, now: u64, site: SiteId, out: &mut Vec<Output>) {
        let logged = self.logged.blue(site);
        let told = self.peers.values().map(|p| p.has(site)).max().unwrap_or(0);
        let way = self.peers.get(&site).and_then(|p| p.via);
        let Some(origin) = self.origins.get_mut(&site) else { return };
        let stashed = origin.stash.first_key_value().map(|(n, _)| *n);
        let gap = &mut origin.gap;
        let last = self.finals.get(&site).copied().unwrap_or(u64::MAX);
        let target = told.max(gap.wanted).max(stashed.map_or(0, |n| n - 1)).min(last);
        if target <= logged {
            *gap = Gap::default();
            return;
        }
        // How long the stream is given: it may be on its way.
        let patience = match way {
            Some(via) if via == site && gap.wanted > logged => self.timing.fetch / 3,
            _ if gap.wanted > logged => 0,
            Some(_) if stashed.is_some() => self.timing.fetch / 3,
            Some(_) => self.timing.fetch.saturating_mul(3),
            None => self.timing.fetch,
        };
        let hint = gap.hint.filter(|_| gap.wanted > logged);
        let has = |peer: SiteId, p: &super::Peer| {
            p.via.is_some() && (p.has(site) > logged || peer == site || Some(peer) == hint)
        };
        let mut candidates: Vec<SiteId> =
            self.peers.iter().filter(|(peer, p)| has(**peer, p)).map(|(peer, _)| *peer).collect();
        // Who the sequencer heard of it from, then the origin, then the others.
        candidates.sort_by_key(|peer| (Some(*peer) != hint, *peer != site, *peer));
        let Some(origin) = self.origins.get_mut(&site) else { return };
        let upto = stashed.map_or(target, |n| n - 1).min(logged + REPLY);
        let message = Fetch::Blue { origin: site, from: logged + 1, upto };
        ask(now, &mut origin.gap, &candidates, patience, self.timing.fetch, message, out);
    }

    fn fetch_red(&mut self, now: u64, out: &mut Vec<Output>) {
        let next = self.next_red();
        let has = |p: &super::Peer| p.acks.as_ref().map_or(0, |a| a.applied.red);
        let target = self.peers.values().map(has).max().unwrap_or(0);
        if target < next {
            self.red_gap = Gap::default();
            return;
        }
        let candidates: Vec<SiteId> = self
            .peers
            .iter()
            .filter(|(_, p)| p.via.is_some() && has(p) >= next)
            .map(|(peer, _)| *peer)
            .collect();
        let message = Fetch::Red { from: next, upto: target.min(next + REPLY) };
        // The sequencer's own log brings it, unless there is no leader.
        let patience = self.timing.fetch.saturating_mul(5);
        ask(now, &mut self.red_gap, &candidates, patience, self.timing.fetch, message, out);
    }

    /// Answers a peer's question with what there is, perhaps nothing. Our own transactions are given only once they
    /// are durable.
    pub fn answer(&self, asker: SiteId, fetch: &Fetch, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        let reply = match *fetch {
            Fetch::Blue { origin, from, upto } => {
                let have = if origin == self.me { &self.durable.durable } else { &self.logged };
                let upto = upto.min(have.blue(origin)).min(from.saturating_add(REPLY));
                let from = from.max(1);
                if from <= upto && shelf.blue(Dot { site: origin, n: from }).is_none() {
                    return out.push(cut(asker, fetch));
                }
                let (mut transactions, mut bytes) = (Vec::new(), 0);
                for n in from..=upto {
                    let Some(t) = shelf.blue(Dot { site: origin, n }) else { break };
                    bytes += transaction_size(&t);
                    transactions.push(t);
                    if bytes >= REPLY_BYTES {
                        break;
                    }
                }
                FetchReply::Blue(Blue { origin, first: from, transactions, awaited: false })
            }
            Fetch::Red { from, upto } => {
                let from = from.max(1);
                let upto = upto.min(self.durable.applied.red).min(from.saturating_add(REPLY));
                if from <= upto && shelf.red(from).is_none() {
                    return out.push(cut(asker, fetch));
                }
                let (mut entries, mut bytes) = (Vec::new(), 0);
                for r in from..=upto {
                    let Some(entry) = shelf.red(r) else { break };
                    bytes += postcard::experimental::serialized_size(&*entry).unwrap_or(REPLY_BYTES);
                    entries.push(entry);
                    if bytes >= REPLY_BYTES {
                        break;
                    }
                }
                FetchReply::Red { first: from, entries }
            }
        };
        out.push(Output::Send { to: asker, message: PeerMessage::FetchReply(reply) });
    }

    /// What this site lacks and no peer in reach has in its log any more, for people.
    pub fn cut_off(&self) -> Option<String> {
        let blue = self.origins.iter().find(|(_, origin)| origin.gap.lost);
        let blue = blue.map(|(site, _)| format!("transaction {site}.{}", self.logged.blue(*site) + 1));
        blue.or_else(|| self.red_gap.lost.then(|| format!("red entry {}", self.next_red())))
    }

    /// A peer's answer. Returns red entries by red index, for the sequencer to look at: it has its own ways to know them.
    pub fn answered(
        &mut self,
        now: u64,
        from: SiteId,
        reply: FetchReply,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) -> Result<Vec<(u64, Arc<Entry>)>, String> {
        let mut found = Vec::new();
        match reply {
            FetchReply::Blue(Blue { origin, first, transactions, .. }) => {
                let before = self.logged.blue(origin);
                self.accept(now, origin, first, transactions, shelf, out)?;
                let helped = self.logged.blue(origin) > before;
                if let Some(state) = self.origins.get_mut(&origin) {
                    state.gap.answered(from, helped);
                }
            }
            FetchReply::Red { first, entries } => {
                super::in_range(first, entries.len())?;
                let next = self.next_red();
                found.extend((first..).zip(entries).filter(|(r, _)| *r >= next));
                let helped = found.first().is_some_and(|(r, _)| *r == next);
                self.red_gap.answered(from, helped);
            }
            FetchReply::Cut(Fetch::Blue { origin, from: n, .. }) => {
                let next = self.logged.blue(origin) + 1;
                if let Some(state) = self.origins.get_mut(&origin).filter(|_| n == next) {
                    state.gap.cut.insert(from);
                    state.gap.answered(from, false);
                }
            }
            FetchReply::Cut(Fetch::Red { from: r, .. }) => {
                if r == self.next_red() {
                    self.red_gap.cut.insert(from);
                    self.red_gap.answered(from, false);
                }
            }
        }
        if found.is_empty() {
            self.fetch(now, out);
        }
        Ok(found)
    }
}

impl Gap {
    fn answered(&mut self, from: SiteId, helped: bool) {
        if self.asked.is_some_and(|(peer, _)| peer == from) {
            self.asked = None;
            if helped {
                // The same peer goes on at once.
                self.since = Some(0);
            } else {
                self.tries += 1;
            }
        }
    }
}

fn cut(asker: SiteId, fetch: &Fetch) -> Output {
    Output::Send { to: asker, message: PeerMessage::FetchReply(FetchReply::Cut(fetch.clone())) }
}

/// Asks one of the candidates, if the gap is old enough and nobody is being asked.
fn ask(
    now: u64,
    gap: &mut Gap,
    candidates: &[SiteId],
    patience: u64,
    unit: u64,
    message: Fetch,
    out: &mut Vec<Output>,
) {
    gap.lost = !candidates.is_empty() && candidates.iter().all(|peer| gap.cut.contains(peer));
    let since = *gap.since.get_or_insert(now);
    match gap.asked {
        Some((_, at)) if now.saturating_sub(at) < unit.saturating_mul(5) => return,
        Some(_) => gap.tries += 1,
        None => {}
    }
    // In vain once by everybody: wait before the next round.
    let rounds = gap.tries / candidates.len().max(1);
    let patience = patience.saturating_add(unit.saturating_mul(rounds.min(10) as u64));
    if candidates.is_empty() || now.saturating_sub(since) < patience {
        gap.asked = None;
        return;
    }
    let peer = candidates[gap.tries % candidates.len()];
    gap.asked = Some((peer, now));
    if gap.tries > 0 && rounds > 0 {
        gap.since = Some(now);
    }
    out.push(Output::Send { to: peer, message: PeerMessage::Fetch(message) });
}
