//! How much of the log is kept for peers that lack it.
//!
//! A peer that was away is given what it lacks from the logs of the others. One that stays away must not fill their disks, so there is
//! a bound ([`super::Options::log_keep`]), and a peer that lacks more than that is *cut off*: its next transaction is in no log any
//! more, and it comes back by being filled with a copy of the tables.
//!
//! ```text
//!             peer 3 has      peer 2 has         checkpoint      end
//!   ├──────────────┼───────────────┼──────────────────┼───────────┤
//!                  │               │◄──── keep ───────────────────┤     within the bound everything is kept that any peer lacks
//!                  │       ◄───────┼──── keep ────────────────────┤     cut up to here: peer 3 is cut off
//!                  │               │        ◄──── keep ───────────┤     cut up to what peer 2 has, no further
//! ```
//!
//! Whatever the bound says, the log keeps what only a minority has: with this site, peers that have it must be a majority of the
//! members. So a site that is alone for a week keeps all that it commits (and refuses writes with 53100 when its disk is full)
//! instead of cutting off everybody else; and whatever is cut can be had as tables from most of the sites.

use gemini_engine::Lsn;
use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Frontier, SiteId};

use super::Site;

impl Site {
    /// Lets go of the log that a checkpoint has made needless here, as far as it is not kept for peers.
    pub(super) fn cut(&mut self, replay_from: Lsn) {
        let cut = self.engine.cut(self.kept_from(replay_from));
        tracing::info!(replay_from = replay_from.0, cut = cut.0, "checkpoint");
        let cut_off: Vec<String> = self.cut_off().map(|peer| self.name(peer)).collect();
        if !cut_off.is_empty() {
            tracing::warn!(
                sites = cut_off.join(", "),
                "away for longer than the log is kept: they will be filled with a copy of the tables when they are back"
            );
        }
    }

    /// Peers that can no longer be given from the log here what they lack.
    pub(super) fn cut_off(&self) -> impl Iterator<Item = SiteId> {
        let lacks = |peer: &SiteId| self.has(*peer).is_some_and(|has| !self.engine.serves(&has));
        self.peers().filter(lacks)
    }

    fn peers(&self) -> impl Iterator<Item = SiteId> {
        let me = self.options.id;
        self.members.current().keys().copied().filter(move |site| *site != me)
    }

    /// What a peer has, or does not need: nobody asks for what a removed site committed in vain.
    fn has(&self, peer: SiteId) -> Option<Frontier> {
        let mut has = self.replica.has(peer)?;
        for (site, closed) in self.members.closed() {
            if has.blue(*site) >= closed.count {
                has.set_blue(*site, u64::MAX);
            }
        }
        Some(has)
    }

    /// The position from which on the log is kept; at most `replay_from`, which this site itself needs.
    fn kept_from(&self, replay_from: Lsn) -> Lsn {
        if planted(Fault::CutBeyondPeers) {
            return replay_from;
        }
        // From where on each peer may ask; a peer that has said nothing yet, for everything.
        let asks = |peer| self.engine.oldest_beyond(&self.has(peer).unwrap_or_default());
        let mut needed: Vec<Lsn> = self.peers().map(|peer| asks(peer).unwrap_or(replay_from)).collect();
        needed.sort_unstable();
        let all = needed.first().copied().unwrap_or(replay_from);
        let bound = Lsn(self.engine.log_end().0.saturating_sub(self.options.log_keep));
        // So many peers and this site are more than half.
        let many = self.members.current().len() / 2;
        let majority = match needed.len().checked_sub(many) {
            Some(place) if many > 0 => needed[place],
            _ => replay_from,
        };
        let filled = self.fill_needs().unwrap_or(replay_from);
        all.max(bound.min(majority)).min(filled).min(replay_from)
    }
}
