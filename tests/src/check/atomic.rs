//! Atomic visibility and fingerprints (DESIGN §1.5, §10 "Row"): whatever a snapshot's frontier covers is in its rows, with all its
//! effects, once; nothing else is. Each row's fingerprint is the sum over its effects, so the sum that it must have is known
//! without knowing a single merge rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gemini_engine::Snapshot;
use gemini_shadow_ops::{
    Entry, EntryId, Frontier, Key, Move, Op, Refusal, ShadowTransaction, TableId, TxnId, Verdict,
};

use super::history::{News, hash};

/// Rows by address.
pub(super) type Touched = BTreeSet<(TableId, Key)>;

/// One site.
#[derive(Debug, Default)]
pub(super) struct Atomic {
    /// The fingerprints of all rows that the site shows.
    sums: BTreeMap<(TableId, Key), u64>,
    /// Applied and not shown yet.
    pending: Vec<(TxnId, Arc<ShadowTransaction>)>,
    /// What puts rights aside for an entry, and the red index at which they were first returned.
    reserved: BTreeMap<EntryId, (Arc<ShadowTransaction>, Option<u64>)>,
}

impl Atomic {
    /// A new process shows all that it has found: what was pending is gone, or among `news`.
    pub fn started(&mut self, site: u16, news: &News, snapshot: &Snapshot) {
        self.pending.clear();
        self.check(site, news, snapshot);
        self.whole(site, snapshot);
    }

    /// The rows that have changed in the reader's eyes.
    pub fn check(&mut self, site: u16, news: &News, snapshot: &Snapshot) -> Touched {
        self.pending.extend(news.effective());
        self.returns(news);
        let frontier = snapshot.frontier();
        let mut touched = Touched::new();
        let pending = std::mem::take(&mut self.pending);
        for (id, transaction) in pending {
            let shown = frontier.covers(id);
            for op in &transaction.ops {
                let (Some(table), Some(key)) = (op.op.table(), op.op.key()) else { continue };
                let at = (table, key.clone());
                if shown {
                    let sum = self.sums.entry(at.clone()).or_default();
                    *sum = sum.wrapping_add(share(id, &op.op));
                }
                touched.insert(at);
            }
            if !shown {
                self.pending.push((id, transaction));
            }
        }
        touched.iter().for_each(|at| self.row(site, snapshot, at));
        touched
    }

    /// An entry's decision returns what was put aside for it: an effect of its own on each of the rows.
    fn returns(&mut self, news: &News) {
        for (_, transaction) in &news.blue {
            let moves = transaction.ops.iter().flat_map(|op| match &op.op {
                Op::Rights { moves, .. } => moves.as_slice(),
                _ => &[],
            });
            let entry = moves.into_iter().find_map(|m| match m {
                Move::Reserve { entry, .. } => Some(*entry),
                _ => None,
            });
            if let Some(entry) = entry {
                self.reserved.entry(entry).or_insert((transaction.clone(), None));
            }
        }
        for (r, entry, verdict) in &news.red {
            // Of a removed site nothing is returned; of a second copy there is nothing to return.
            let stays = matches!((&**entry, verdict), (Entry::Transaction(_), Verdict::Void))
                || matches!(verdict, Verdict::Refused(Refusal::Removed { .. }));
            if stays {
                continue;
            }
            let Some((put_aside, returned)) = self.reserved.get_mut(&entry.id()) else { continue };
            if *returned.get_or_insert(*r) != *r {
                continue;
            }
            let mut back = ShadowTransaction::clone(put_aside);
            let mut seen = BTreeSet::new();
            back.ops.retain(|op| seen.insert((op.op.table(), op.op.key().cloned())));
            for op in &mut back.ops {
                if let Op::Rights { moves, .. } = &mut op.op {
                    *moves = vec![Move::Return { entry: entry.id() }];
                }
            }
            self.pending.push((TxnId::Red(*r), Arc::new(back)));
        }
    }

    /// Looks at every row there ever was.
    pub fn whole(&self, site: u16, snapshot: &Snapshot) {
        self.sums.keys().for_each(|at| self.row(site, snapshot, at));
    }

    fn row(&self, site: u16, snapshot: &Snapshot, at: &(TableId, Key)) {
        let (table, key) = at;
        if !snapshot.schema().tables.contains_key(table) {
            return; // dropped: its rows are nobody's
        }
        let state = snapshot.state(*table, key).expect("the simulated store can be read");
        let found = state.map_or(0, |state| state.fingerprint());
        let expected = self.sums.get(at).copied().unwrap_or(0);
        let frontier: &Frontier = snapshot.frontier();
        assert_eq!(
            found, expected,
            "atomicity: at {frontier} site {site} shows a row {key:?} of table {table} with other effects than those"
        );
    }
}

/// What an effect adds to its row's fingerprint: once for each incarnation that it names.
fn share(id: TxnId, op: &Op) -> u64 {
    let times = match op {
        Op::Insert { .. } | Op::Rights { .. } => 1,
        Op::Update { of, .. } | Op::Delete { of, .. } => of.len() as u64,
        Op::Schema(_) => 0,
    };
    hash(&(id, op)).wrapping_mul(times)
}
