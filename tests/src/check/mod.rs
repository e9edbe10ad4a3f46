//! One checker per promise. They look at a site after each of its steps, and panic with the promise's name.
//!
//! | file | promise |
//! |---|---|
//! | `causal.rs` | nothing is applied before what it depends on; dots come without gaps or repeats |
//! | `order.rs` | one gap-free red order with the same verdicts everywhere |
//! | `frontier.rs` | what a site has applied never goes back while it runs, and what is visible never runs ahead of its disk |
//! | `acknowledged.rs` | what a client was told is committed is there after any crash, and in the end at every site |
//! | `converge.rs` | equal frontiers mean equal tables |
//! | `invariants.rs` | every declared invariant holds at every site at every moment |

mod acknowledged;
mod causal;
mod converge;
mod frontier;
mod invariants;
mod order;

use gemini::site::Site;
use gemini_engine::Snapshot;
use gemini_shadow_ops::TxnId;

pub use invariants::Invariants;

/// All of them, over the whole world.
#[derive(Debug)]
pub struct Checks {
    causal: causal::Causal,
    order: order::Order,
    frontier: frontier::Frontiers,
    acknowledged: acknowledged::Acknowledged,
    /// Public: a test may compare digests of its own.
    converge: converge::Converge,
    /// How many steps lie between two looks at whole tables.
    pub every: u64,
    /// What a workload promises of every snapshot beyond what its schema declares.
    pub promise: Option<fn(&Snapshot)>,
    steps: u64,
}

impl Checks {
    /// For so many sites.
    pub fn new(sites: usize) -> Checks {
        Checks {
            causal: causal::Causal::new(sites),
            order: order::Order::new(sites),
            frontier: frontier::Frontiers::new(sites),
            acknowledged: acknowledged::Acknowledged::new(sites),
            converge: converge::Converge::default(),
            every: 97,
            promise: None,
            steps: 0,
        }
    }

    /// A process has started at this site.
    pub fn started(&mut self, node: usize, site: &Site) {
        self.frontier.started(node, site);
        self.causal.started(node, site);
        self.order.started(node, site);
        self.acknowledged.started(node, site);
        self.whole(site);
    }

    /// A site has stepped.
    pub fn after_step(&mut self, node: usize, site: &Site) {
        self.frontier.check(node, site);
        self.causal.check(node, site);
        self.order.check(node, site);
        self.steps += 1;
        if self.steps.is_multiple_of(self.every) {
            self.whole(site);
        }
    }

    /// A client was told that this transaction is committed.
    pub fn acknowledged(&mut self, node: usize, id: TxnId) {
        self.acknowledged.note(node, id);
    }

    /// Looks at all tables of a site.
    pub fn whole(&mut self, site: &Site) {
        let snapshot = site.engine().reader().snapshot();
        self.converge.check(&snapshot);
        Invariants::of(snapshot.schema()).check(&snapshot);
        if let Some(promise) = self.promise {
            promise(&snapshot);
        }
    }

    /// Everything is healed and quiet: all sites are equal, and hold all that was acknowledged.
    pub fn finish<'a>(&mut self, sites: impl Iterator<Item = &'a Site>) {
        let sites: Vec<&Site> = sites.collect();
        for site in &sites {
            self.acknowledged.everywhere(site);
            self.whole(site);
            assert_eq!(
                site.engine().applied(),
                sites[0].engine().applied(),
                "convergence: sites are quiet at different frontiers"
            );
        }
    }
}
