//! The sequencer has one leader per term (Ongaro and Ousterhout: In Search of an Understandable Consensus Algorithm, USENIX ATC
//! 2014, §5.2 "Election Safety"), over all sites' lives. That what is committed never changes is `order.rs`'s; that the loss
//! of a minority wedges nothing is tried in the liveness phase of [`crate::simulate`].

use std::collections::BTreeMap;

use gemini::site::Site;
use gemini_shadow_ops::SiteId;

#[derive(Debug, Default)]
pub(super) struct Leaders {
    by_term: BTreeMap<u64, SiteId>,
}

impl Leaders {
    /// Followers name their leader too, so a leader that deposed itself between two looks is still seen.
    pub fn check(&mut self, site: &Site) {
        let Some((leader, term)) = site.shared().leader() else { return };
        let known = *self.by_term.entry(term).or_insert(leader);
        assert_eq!(
            known,
            leader,
            "leaders: site {} follows {leader} in term {term}, in which {known} led",
            site.id()
        );
    }
}
