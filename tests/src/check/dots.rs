//! Blue is never revoked (DESIGN §1.1): once a transaction stands on its site's disk, or has reached another site, its dot
//! names it, everywhere and for ever. Only what a crash took before its sync may be replaced.

use std::collections::BTreeMap;

use gemini::site::Site;
use gemini_shadow_ops::{Dot, Frontier, SiteId};

use super::history::{News, hash};

#[derive(Debug, Default)]
pub(super) struct Dots {
    known: BTreeMap<Dot, u64>,
}

impl Dots {
    /// `durable`: how many of its own transactions each site has on its disk.
    pub fn check(&mut self, site: &Site, news: &News, durable: &Frontier) {
        for (dot, transaction) in &news.blue {
            let found = hash(&**transaction);
            if dot.site != site.id() {
                assert!(
                    durable.blue(dot.site) >= dot.n,
                    "fsync: site {} has applied {dot}, which its origin has not on its disk",
                    site.id()
                );
            }
            let known = self.known.entry(*dot).or_insert(found);
            assert_eq!(
                *known,
                found,
                "revoked: site {} knows another {dot} than was known before",
                site.id()
            );
        }
    }

    /// What a crash takes: the origin's transactions beyond its disk.
    pub fn crashed(&mut self, origin: SiteId, durable: u64) {
        self.known.retain(|dot, _| dot.site != origin || dot.n <= durable);
    }
}
