//! Causal delivery: a blue transaction is applied after all it depends on, at every site, and one site's in its order.

use gemini::site::Site;
use gemini_shadow_ops::{Dot, Frontier};

#[derive(Debug)]
pub(super) struct Causal {
    seen: Vec<Frontier>,
}

impl Causal {
    pub fn new(sites: usize) -> Causal {
        Causal { seen: vec![Frontier::default(); sites] }
    }

    pub fn started(&mut self, node: usize, site: &Site) {
        self.seen[node] = site.engine().applied().clone();
    }

    pub fn check(&mut self, node: usize, site: &Site) {
        let applied = site.engine().applied();
        if *applied == self.seen[node] {
            return;
        }
        for (origin, n) in applied.blues() {
            for n in self.seen[node].blue(origin) + 1..=n {
                let dot = Dot { site: origin, n };
                let found = site.engine().blue(dot).expect("the simulated log can be read");
                let transaction = found
                    .unwrap_or_else(|| panic!("causal: site {} applied {dot} without logging it", site.id()));
                assert_eq!(transaction.origin, origin, "causal: {dot} names another origin");
                assert!(
                    applied.includes(&transaction.deps),
                    "causal: site {} at {applied} applied {dot}, which depends on {}",
                    site.id(),
                    transaction.deps
                );
                let seen = transaction.statements.iter().all(|s| transaction.deps.includes(s));
                assert!(seen, "causal: {dot} saw what it does not depend on");
            }
        }
        self.seen[node] = applied.clone();
    }
}
