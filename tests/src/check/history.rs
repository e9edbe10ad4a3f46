//! What every checker draws on: the transactions that sites have applied, as their own logs give them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini::site::Site;
use gemini_shadow_ops::{Dot, Entry, Frontier, ShadowTransaction, TxnId, Verdict};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// What a site has applied since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct News {
    pub blue: Vec<(Dot, Arc<ShadowTransaction>)>,
    pub red: Vec<(u64, Arc<Entry>, Verdict)>,
}

impl News {
    /// Everything with effects.
    pub fn effective(&self) -> impl Iterator<Item = (TxnId, Arc<ShadowTransaction>)> + '_ {
        let blue = self.blue.iter().map(|(dot, transaction)| (TxnId::Blue(*dot), transaction.clone()));
        let red = self.red.iter().filter_map(|(r, entry, verdict)| match (&**entry, verdict) {
            (Entry::Transaction(red), Verdict::Accepted) => Some((TxnId::Red(*r), red.transaction.clone())),
            _ => None,
        });
        blue.chain(red)
    }

    /// From `from` (not included) to `to`, from the site's log, or, where that has been cut, as `history` remembers it.
    pub fn of(site: &Site, from: &Frontier, to: &Frontier, history: &History) -> News {
        let mut news = News::default();
        for (origin, last) in to.blues() {
            for n in from.blue(origin) + 1..=last {
                let dot = Dot { site: origin, n };
                let found = site.engine().blue(dot).expect("the simulated log can be read");
                let known = found.or_else(|| history.blue.get(&dot).cloned());
                let transaction = known
                    .unwrap_or_else(|| panic!("causal: site {} applied {dot} without logging it", site.id()));
                news.blue.push((dot, transaction));
            }
        }
        for r in from.red + 1..=to.red {
            let found = site.engine().red(r).expect("the simulated log can be read");
            let known = found.or_else(|| history.red.get(r as usize - 1).cloned());
            let (entry, verdict) =
                known.unwrap_or_else(|| panic!("order: site {} passed r{r} without logging it", site.id()));
            news.red.push((r, entry, verdict));
        }
        news
    }
}

/// Every transaction that was ever applied somewhere, as it was seen last.
#[derive(Debug, Default)]
pub(super) struct History {
    pub blue: BTreeMap<Dot, Arc<ShadowTransaction>>,
    /// By r - 1, as the first site to get there has it.
    pub red: Vec<(Arc<Entry>, Verdict)>,
}

impl History {
    pub fn note(&mut self, news: &News) {
        self.blue.extend(news.blue.iter().cloned());
        for (r, entry, verdict) in &news.red {
            if self.red.len() as u64 + 1 == *r {
                self.red.push((entry.clone(), verdict.clone()));
            }
        }
    }
}

/// A hash of plain data.
pub(super) fn hash<T: Serialize>(value: &T) -> u64 {
    xxh3_64(&postcard::to_stdvec(value).expect("plain data always has a postcard form"))
}
