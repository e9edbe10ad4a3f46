//! Members that come and go: whose transactions are taken, whose are applied, and who counts.
//!
//! A removed site is no peer any more: it streams nothing, is asked nothing and counts in no quorum. What the others have of it
//! they go on giving to each other. How much of that may be *applied* the order says ([`Members::may_apply`]); logged and held may
//! be more, so that a sequencer entry that depends on it can be written. When its final count is ordered, what lies beyond is
//! forgotten: it stays in the log's file, as what it is, and is never looked at again.

use std::collections::{BTreeMap, BTreeSet};

use gemini_shadow_ops::{Frontier, Members, SiteId};

use super::stream::Peer;
use super::{Causal, Origin};
use crate::replica::{Output, Shelf};

impl Causal {
    /// Who the members are now; `contacts` are others to talk to (a site that is not a member yet knows some by its sites.toml).
    /// `reported`: what this site has counted of removed ones in its own REPORT, ordered or not.
    pub fn follow(
        &mut self,
        members: &Members,
        contacts: &[SiteId],
        reported: &Frontier,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        let me = self.me;
        for (site, _) in members.everyone() {
            self.origins.entry(site).or_default();
        }
        let others: BTreeSet<SiteId> =
            members.current().keys().chain(contacts).copied().filter(|site| *site != me).collect();
        let mut before = std::mem::take(&mut self.peers);
        for (site, peer) in before.iter().filter(|(site, _)| members.removed(**site)) {
            self.parted.insert(*site, peer.has(*site));
        }
        self.peers =
            others.into_iter().map(|site| (site, before.remove(&site).unwrap_or_default())).collect();
        for site in self.peers.keys() {
            self.origins.entry(*site).or_default();
        }
        self.voters = members.voters().collect();
        self.limits = BTreeMap::new();
        for (site, _) in members.everyone() {
            if let Some(ordered) = members.may_apply(site) {
                let had = reported.blue(site).max(self.applied.blue(site));
                let closed = members.closed().contains_key(&site);
                self.limits.insert(site, if closed { ordered } else { ordered.max(had) });
            }
        }
        self.finals = members.closed().iter().map(|(site, closed)| (*site, closed.count)).collect();
        self.trim();
        self.count(out);
        self.advance(shelf, out);
    }

    /// Forgets what lies beyond final counts.
    pub(super) fn trim(&mut self) {
        for (&site, &last) in &self.finals {
            let frontiers =
                [&mut self.logged, &mut self.held, &mut self.held_durably, &mut self.durable.durable];
            for frontier in frontiers {
                if frontier.blue(site) > last {
                    frontier.set_blue(site, last);
                }
            }
            if let Some(origin) = self.origins.get_mut(&site) {
                origin.forget_after(last);
            }
        }
    }

    /// Per origin, what was held here at the last fsync: what a REPORT may count.
    pub fn held_durably(&self) -> &Frontier {
        &self.held_durably
    }

    /// What a removed site said last that it has of its own.
    pub fn parted(&self, site: SiteId) -> u64 {
        self.parted.get(&site).copied().unwrap_or(0)
    }

    /// Whether every other member has on disk all that this site has committed.
    pub fn handed_out(&self) -> bool {
        let own = self.logged.blue(self.me);
        self.peers.values().all(|peer: &Peer| peer.has(self.me) >= own)
    }
}

impl Origin {
    fn forget_after(&mut self, last: u64) {
        self.waiting.retain(|n, _| *n <= last);
        self.stash.retain(|n, _| *n <= last);
        if self.next_held.as_ref().is_some_and(|(n, _)| *n > last) {
            self.next_held = None;
        }
        if self.next_applied.as_ref().is_some_and(|(n, _)| *n > last) {
            self.next_applied = None;
        }
    }
}
