//! Frontiers only grow (DESIGN §3, §9): what a site has applied never goes back while it runs, what it shows never goes back at
//! all, and what it shows is on its disk.

use gemini::site::Site;
use gemini_shadow_ops::Frontier;

#[derive(Debug)]
pub(super) struct Frontiers {
    pub applied: Vec<Frontier>,
    pub shown: Vec<Frontier>,
}

impl Frontiers {
    pub fn new(sites: usize) -> Frontiers {
        Frontiers { applied: vec![Frontier::default(); sites], shown: vec![Frontier::default(); sites] }
    }

    /// After a crash the applied frontier may have gone back to what was durable; what was shown was durable.
    pub fn started(&mut self, node: usize, site: &Site) {
        let applied = site.engine().applied().clone();
        assert!(
            applied.includes(&self.shown[node]),
            "durability: site {} showed {} before its crash and has only {applied} after it",
            site.id(),
            self.shown[node]
        );
        self.applied[node] = applied;
    }

    pub fn check(&mut self, node: usize, site: &Site, shown: &Frontier) {
        let applied = site.engine().applied();
        assert!(
            applied.includes(&self.applied[node]),
            "frontier: site {} went back from {} to {applied}",
            site.id(),
            self.applied[node]
        );
        assert!(shown.includes(&self.shown[node]), "frontier: what site {} shows went back", site.id());
        assert!(
            applied.includes(shown),
            "frontier: site {} shows {shown} and has applied {applied}",
            site.id()
        );
        self.applied[node] = applied.clone();
        self.shown[node] = shown.clone();
    }
}
