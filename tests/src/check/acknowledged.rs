//! No acknowledged transaction is lost (DESIGN §1.1, §1.2, §9): it is there when its site comes back, and in the end everywhere;
//! and it is the transaction that the client submitted.

use gemini::site::Site;
use gemini_shadow_ops::{Frontier, SiteId, TxnId};

#[derive(Debug)]
pub(super) struct Acknowledged {
    by_site: Vec<Frontier>,
}

impl Acknowledged {
    pub fn new(sites: usize) -> Acknowledged {
        Acknowledged { by_site: vec![Frontier::default(); sites] }
    }

    /// A site applies its own and the red transactions in their order: having the last is having all.
    pub fn note(&mut self, node: usize, id: TxnId) {
        self.by_site[node].add(id);
    }

    pub fn started(&self, node: usize, site: &Site) {
        check(&self.by_site[node], site);
    }

    /// `kept`: of what a site has acknowledged, what every member must have.
    pub fn everywhere(&self, site: &Site, kept: impl Fn(SiteId, &Frontier) -> Frontier) {
        for (origin, acknowledged) in (1..).map(SiteId).zip(&self.by_site) {
            check(&kept(origin, acknowledged), site);
        }
    }
}

fn check(acknowledged: &Frontier, site: &Site) {
    let applied = site.engine().applied();
    assert!(
        applied.includes(acknowledged),
        "durability: {acknowledged} was acknowledged, and site {} has only {applied}",
        site.id()
    );
}
