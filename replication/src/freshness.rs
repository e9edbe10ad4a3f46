//! How old this site's state may be: what each peer had applied at which moment of *our* clock.
//!
//! A bound on staleness that compared two machines' clocks would be as good as those clocks. This one asks only ours:
//!
//! ```text
//!   here                                   peer
//!    │ heartbeat { sent: 100 } ─────────────► │ remembers 100
//!    │                                        │
//!    │ ◄──── heartbeat { echo: 100, applied: F }   said after our 100, so F holds all that the peer had applied then
//!    │
//!    │ … we have applied F: we hold all that the peer had applied at 100
//! ```
//!
//! A site's state is as old as its oldest news. Clients were told of a transaction only after its origin had applied it, so what
//! anybody was told of before that moment is here.
//!
//! It does not follow relays: heartbeats are said on direct links only, so behind a broken link the news grow old.

use std::collections::{BTreeMap, VecDeque};

use gemini_shadow_ops::{Frontier, SiteId};

/// Statements of a peer that wait until this site has applied what they name: the oldest, and the newest.
const WAITING: usize = 2;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Freshness {
    peers: BTreeMap<SiteId, Peer>,
}

#[derive(Clone, Debug, Default)]
struct Peer {
    /// The peer's `sent`, to be echoed.
    heard: u64,
    /// We hold what it had applied then.
    as_of: u64,
    /// (our moment, what it had applied), oldest first.
    waiting: VecDeque<(u64, Frontier)>,
}

impl Freshness {
    /// A link with the peer begins: what an earlier life of it or of ours said of our clock means nothing any more.
    pub fn greet(&mut self, peer: SiteId) {
        let peer = self.peers.entry(peer).or_default();
        peer.heard = 0;
        peer.waiting.clear();
    }

    /// A heartbeat of the peer: its moment, our moment that it has heard of (0: none), what it has applied.
    pub fn heard(&mut self, now: u64, peer: SiteId, sent: u64, echo: u64, applied: &Frontier) {
        let peer = self.peers.entry(peer).or_default();
        peer.heard = sent;
        // An echo from the future was said by a clock that has been set back since.
        if echo == 0 || echo > now {
            return;
        }
        if peer.waiting.len() == WAITING {
            peer.waiting.pop_back();
        }
        peer.waiting.push_back((echo, applied.clone()));
    }

    /// This site has applied so much, visible to its readers.
    pub fn applied(&mut self, ours: &Frontier) {
        for peer in self.peers.values_mut() {
            while peer.waiting.front().is_some_and(|(_, applied)| ours.includes(applied)) {
                if let Some((at, _)) = peer.waiting.pop_front() {
                    peer.as_of = peer.as_of.max(at);
                }
            }
        }
    }

    /// What to echo to the peer.
    pub fn echo(&self, peer: SiteId) -> u64 {
        self.peers.get(&peer).map_or(0, |peer| peer.heard)
    }

    /// The moment of our clock as of which everything that the peer had applied is here; 0: never.
    pub fn as_of(&self, peer: SiteId) -> u64 {
        self.peers.get(&peer).map_or(0, |peer| peer.as_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SiteId = SiteId(2);

    fn applied(red: u64) -> Frontier {
        let mut frontier = Frontier::default();
        frontier.red = red;
        frontier
    }

    #[test]
    fn a_peers_word_counts_from_our_own_moment_once_it_is_applied_here() {
        let mut f = Freshness::default();
        assert_eq!((f.echo(PEER), f.as_of(PEER)), (0, 0));
        f.heard(100, PEER, 7_000, 0, &applied(3));
        f.applied(&applied(9));
        assert_eq!((f.echo(PEER), f.as_of(PEER)), (7_000, 0), "it has not heard of us yet");
        f.heard(200, PEER, 7_100, 110, &applied(5));
        f.applied(&applied(4));
        assert_eq!(f.as_of(PEER), 0, "5 is not applied here");
        f.applied(&applied(5));
        assert_eq!(f.as_of(PEER), 110);
    }

    #[test]
    fn a_site_that_is_always_a_little_behind_still_gets_fresher() {
        let mut f = Freshness::default();
        for beat in 1..100 {
            f.heard(beat * 100 + 50, PEER, beat, beat * 100, &applied(beat * 10));
            f.applied(&applied((beat * 10).saturating_sub(15)));
        }
        assert!(f.as_of(PEER) >= 9_600, "{}", f.as_of(PEER));
    }

    #[test]
    fn an_echo_of_another_life_is_not_believed() {
        let mut f = Freshness::default();
        f.heard(100, PEER, 1, 5_000, &applied(0));
        f.applied(&applied(0));
        assert_eq!(f.as_of(PEER), 0, "our clock was set back since");
        f.greet(PEER);
        assert_eq!(f.echo(PEER), 0);
    }
}
