//! One red order (DESIGN §1.2, §3 "The order"): every site applies the same entry with the same verdict at the same red index,
//! without gaps; what is committed there never changes, whatever crashes.

use std::collections::BTreeMap;

use gemini::site::Site;
use gemini_shadow_ops::Verdict;

use super::history::{News, hash};

#[derive(Debug, Default)]
pub(super) struct Order {
    /// What the first site to get there found.
    known: BTreeMap<u64, (u64, Verdict)>,
}

impl Order {
    pub fn check(&mut self, site: &Site, news: &News) {
        for (r, entry, verdict) in &news.red {
            let found = (hash(&**entry), verdict.clone());
            let next = self.known.len() as u64 + 1;
            assert!(*r <= next, "order: r{r} came before r{next} was anywhere");
            let known = self.known.entry(*r).or_insert_with(|| found.clone());
            assert_eq!(
                *known,
                found,
                "order: site {} has another entry or verdict at r{r} than the first site there",
                site.id()
            );
        }
    }
}
