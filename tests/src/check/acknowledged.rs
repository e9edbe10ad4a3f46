//! No acknowledged transaction is lost: it is there when its site comes back, and in the end everywhere.

use std::collections::BTreeSet;

use gemini::site::Site;
use gemini_shadow_ops::TxnId;

#[derive(Debug)]
pub(super) struct Acknowledged {
    by_site: Vec<BTreeSet<TxnId>>,
}

impl Acknowledged {
    pub fn new(sites: usize) -> Acknowledged {
        Acknowledged { by_site: vec![BTreeSet::new(); sites] }
    }

    pub fn note(&mut self, node: usize, id: TxnId) {
        self.by_site[node].insert(id);
    }

    pub fn started(&self, node: usize, site: &Site) {
        check(&self.by_site[node], site);
    }

    pub fn everywhere(&self, site: &Site) {
        self.by_site.iter().for_each(|acknowledged| check(acknowledged, site));
    }
}

fn check(acknowledged: &BTreeSet<TxnId>, site: &Site) {
    let applied = site.engine().applied();
    for id in acknowledged {
        assert!(
            applied.covers(*id),
            "durability: {id} was acknowledged, and site {} at {applied} lacks it",
            site.id()
        );
    }
}
