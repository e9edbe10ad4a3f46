//! Entry ids are used once, and unknown outcomes are resolved (DESIGN §3 "Once", "Outcome"): whoever was told 40003 learns later
//! from `gemini.transaction_status`, at any site that still remembers it, and all sites say the same.

use std::collections::BTreeMap;

use gemini::site::{Outcome, Site};
use gemini_shadow_ops::{Entry, EntryId, Members, TxnId, Verdict};
use gemini_sql::host::{CommitError, TransactionStatus};

use super::history::{History, News};

#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// The outcomes that clients do not know.
    asked: Vec<EntryId>,
    /// How each id ended, by the first entry that named it, where, and on what base.
    ended: BTreeMap<EntryId, (u64, u64, TransactionStatus)>,
    known: u64,
}

impl Unknown {
    pub fn told(&mut self, outcome: &Outcome) {
        if let Err(CommitError::Unknown { id, .. }) = outcome {
            self.asked.push(*id);
        }
    }

    pub fn ordered(&mut self, news: &News) {
        for (r, entry, verdict) in &news.red {
            if *r != self.known + 1 {
                continue;
            }
            self.known = *r;
            let id = entry.id();
            let status = match (&**entry, verdict) {
                (Entry::Transaction(_), Verdict::Accepted) => TransactionStatus::Committed(TxnId::Red(*r)),
                (Entry::Transaction(_), Verdict::Refused(_)) => TransactionStatus::Refused,
                _ => TransactionStatus::Void,
            };
            if let Some((first, ..)) = self.ended.get(&id) {
                let again = matches!(status, TransactionStatus::Committed(_));
                assert!(!again, "once: {id} ended at r{first} and is accepted at r{r}");
                continue;
            }
            self.ended.insert(id, (*r, entry.base(), status));
        }
    }

    /// Whether the order has ended all of them. A removed site proposes no VOID: what of its was not ordered never will be.
    pub fn resolved(&self, members: &Members) -> bool {
        self.asked.iter().all(|id| self.ended.contains_key(id) || members.removed(id.site))
    }

    pub fn finish(&self, site: &Site, window: u64, history: &History, members: &Members) {
        for id in self.asked.iter().filter(|id| !members.removed(id.site)) {
            let Some((r, base, expected)) = self.ended.get(id) else {
                panic!("outcome: {id} is unknown to its client, and the order never ended it");
            };
            let found = site.shared().outcome(*id);
            // A restarted site remembers what the window does.
            let left = r + window <= history.red.len() as u64 || base + 1 < r.saturating_sub(window);
            let forgotten = found == TransactionStatus::Unknown && left;
            assert!(
                found == *expected || forgotten,
                "outcome: site {} says of {id} {found:?}, the order {expected:?}",
                site.id()
            );
        }
    }
}
