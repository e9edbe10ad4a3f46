//! Frontiers only grow, and what readers see is covered by what is applied.

use gemini::site::Site;
use gemini_shadow_ops::Frontier;

#[derive(Debug)]
pub(super) struct Frontiers {
    applied: Vec<Frontier>,
    visible: Vec<Frontier>,
}

impl Frontiers {
    pub fn new(sites: usize) -> Frontiers {
        Frontiers { applied: vec![Frontier::default(); sites], visible: vec![Frontier::default(); sites] }
    }

    /// After a crash the applied frontier may have gone back to what was durable; what was visible was durable.
    pub fn started(&mut self, node: usize, site: &Site) {
        let applied = site.engine().applied().clone();
        assert!(
            applied.includes(&self.visible[node]),
            "durability: site {} showed {} before its crash and has only {applied} after it",
            site.id(),
            self.visible[node]
        );
        self.applied[node] = applied;
    }

    pub fn check(&mut self, node: usize, site: &Site) {
        let applied = site.engine().applied();
        assert!(
            applied.includes(&self.applied[node]),
            "frontier: site {} went back from {} to {applied}",
            site.id(),
            self.applied[node]
        );
        self.applied[node] = applied.clone();
        let visible = site.engine().reader().snapshot().frontier().clone();
        assert!(visible.includes(&self.visible[node]), "frontier: what site {} shows went back", site.id());
        assert!(
            applied.includes(&visible),
            "frontier: site {} shows {visible} and has applied {applied}",
            site.id()
        );
        self.visible[node] = visible;
    }
}
