//! Members that come and go (DESIGN §8): what a removed site left with a member reaches all of them, what only it had is applied
//! nowhere else, and a site that leaves in good order loses nothing.
//!
//! Who is a member at which red index is taken from the order itself; what sites have applied, from their engines.

use std::collections::BTreeSet;

use gemini::site::Site;
use gemini_shadow_ops::{Entry, Frontier, Members, SiteId, Verdict};

#[derive(Debug, Default)]
pub(super) struct Removals {
    /// Sites that were asked to leave in good order.
    left: BTreeSet<SiteId>,
}

impl Removals {
    /// This site is about to leave in good order.
    pub fn leaves(&mut self, site: SiteId) {
        self.left.insert(site);
    }

    /// The next red index. What is ordered of a site that is no member at that index has no effect.
    pub fn ordered(entry: &Entry, verdict: &Verdict, members: &Members) {
        if let (Entry::Transaction(red), Verdict::Accepted) = (entry, verdict) {
            assert!(
                members.contains(red.id.site),
                "members: {} is accepted, and its site is none at its index",
                red.id
            );
        }
    }

    /// A site has stepped. `members`: at the newest red index that any site has applied.
    pub fn check(&self, site: &Site, members: &Members) {
        if members.removed(site.id()) {
            return;
        }
        for (removed, closed) in members.closed() {
            let applied = site.engine().applied().blue(*removed);
            assert!(
                applied <= closed.count,
                "members: site {} applied b{removed}.{applied}, which is void from {} on",
                site.id(),
                closed.count + 1
            );
        }
    }

    /// Of what was acknowledged by a site's clients, what must be at every member in the end.
    pub fn kept(&self, site: SiteId, acknowledged: &Frontier, members: &Members) -> Frontier {
        let mut kept = acknowledged.clone();
        if let Some(closed) = members.closed().get(&site) {
            let own = kept.blue(site);
            assert!(
                own <= closed.count || !self.left.contains(&site),
                "members: site {site} left in good order, and of its {own} acknowledged transactions {} count",
                closed.count
            );
            kept.set_blue(site, own.min(closed.count));
        }
        kept
    }
}
