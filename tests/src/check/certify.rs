//! Certification (DESIGN §3 "Certification", "Bounded deltas", "Once"): every verdict, worked out once more by somebody who
//! remembers all entries for ever and compares footprints item by item, with no index and no window to forget with.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::verdict::Refusal;
use gemini_shadow_ops::{
    Entry, EntryId, Item, Key, Members, Op, RedTransaction, Ruling, Schema, SchemaChange, Verdict,
};

use super::history::News;
use super::members::Removals;

#[derive(Debug)]
pub(super) struct Certify {
    window: u64,
    /// Who the members are has checkers of its own (`members.rs`).
    members: Members,
    schema: Schema,
    accepted: BTreeMap<u64, Arc<Entry>>,
    /// Where each id was first used, by itself or by a VOID.
    used: BTreeMap<EntryId, u64>,
    decided: u64,
}

impl Certify {
    pub fn new(window: u64, members: Members) -> Certify {
        let schema = Schema::default();
        Certify { window, members, schema, accepted: BTreeMap::new(), used: BTreeMap::new(), decided: 0 }
    }

    /// The members at the newest red index.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The first site to reach a red index is compared; the others must agree with it anyway.
    pub fn check(&mut self, news: &News) {
        for (r, entry, verdict) in &news.red {
            if *r != self.decided + 1 {
                continue;
            }
            self.decided = *r;
            Removals::ordered(entry, verdict, &self.members);
            let ruling = self.members.decide(*r, entry);
            let expected = self.expect(*r, entry, &ruling);
            let found = name(verdict);
            assert_eq!(found, expected, "certification: r{r} {}: {verdict:?}", entry.id());
            // What rests on more than the window may have been used before: nobody remembers it anew.
            let member = matches!(&**entry, Entry::Member(_));
            if !self.too_old(*r, entry) && !member {
                self.used.entry(entry.id()).or_insert(*r);
            }
            if *verdict == Verdict::Accepted {
                self.accept(*r, entry);
            }
        }
    }

    fn accept(&mut self, r: u64, entry: &Arc<Entry>) {
        self.accepted.insert(r, entry.clone());
        let Entry::Transaction(red) = &**entry else { return };
        for op in &red.transaction.ops {
            if let Op::Schema(change) = &op.op {
                self.schema.apply(change, r);
            }
        }
    }

    /// Everything in (base, r) must be remembered by everybody.
    fn too_old(&self, r: u64, entry: &Entry) -> bool {
        entry.base() + 1 < r.saturating_sub(self.window)
    }

    fn expect(&self, r: u64, entry: &Entry, ruling: &Ruling) -> &'static str {
        if let Entry::Member(_) = entry {
            return if *ruling == Ruling::Stands { "accepted" } else { "void" };
        }
        let Entry::Transaction(red) = entry else {
            return if *ruling == Ruling::Stands { "void" } else { "removed" };
        };
        let (base, too_old) = (entry.base(), self.too_old(r, entry));
        match self.used.get(&red.id) {
            Some(first) if *first + self.window >= r => return "void",
            Some(_) => {
                assert!(too_old, "certification: {} is used again at r{r} with a base of {base}", red.id);
                return "too old";
            }
            None => {}
        }
        let seen_at =
            |statement: u16| red.transaction.statements.get(usize::from(statement)).map_or(base, |s| s.red);
        if too_old && *ruling == Ruling::Stands {
            "too old"
        } else if too_old || *ruling == Ruling::Void {
            "void"
        } else if *ruling != Ruling::Stands {
            "removed"
        } else if self.stale(red) {
            "stale table"
        } else if red.footprint.reads.iter().any(|read| self.written(&read.item, seen_at(read.statement))) {
            "conflict"
        } else {
            "accepted"
        }
    }

    fn stale(&self, red: &RedTransaction) -> bool {
        let moved = red.tables.iter().any(|(table, version)| {
            *version != self.schema.tables.get(table).map_or(0, |table| table.version)
        });
        let vouched = |op: &Op| {
            let Some(table) = op.table() else { return true };
            let makes = |op: &Op| matches!(op, Op::Schema(SchemaChange::CreateTable(t)) if t.id == table);
            red.tables.iter().any(|(id, _)| *id == table)
                || red.transaction.ops.iter().any(|op| makes(&op.op))
        };
        moved || !red.transaction.ops.iter().all(|op| vouched(&op.op))
    }

    /// Whether somebody accepted after `seen` wrote it.
    fn written(&self, read: &Item, seen: u64) -> bool {
        self.after(seen).any(|(_, red)| red.footprint.writes.iter().any(|write| meets(read, write)))
    }

    fn after(&self, r: u64) -> impl Iterator<Item = (u64, &RedTransaction)> {
        self.accepted.range(r + 1..).filter_map(|(r, entry)| match &**entry {
            Entry::Transaction(red) => Some((*r, red)),
            Entry::Void { .. } | Entry::Member(_) => None,
        })
    }
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Void => "void",
        Verdict::Refused(Refusal::Conflict { .. }) => "conflict",
        Verdict::Refused(Refusal::StaleTable { .. }) => "stale table",
        Verdict::Refused(Refusal::BaseTooOld { .. }) => "too old",
        Verdict::Refused(Refusal::Removed { .. }) => "removed",
    }
}

/// Whether a write of `write` disappoints who read `read`.
fn meets(read: &Item, write: &Item) -> bool {
    use Item::{Cells, IndexKey, Range, Row, Table};
    let within = |from: &Key, to: &Key, key: &Key| from <= key && (to.0.is_empty() || key < to);
    if let (Table { table }, other) | (other, Table { table }) = (read, write) {
        return other.table() == Some(*table);
    }
    match (read, write) {
        (Cells { table, key, columns }, Cells { table: t, key: k, columns: c }) => {
            (table, key) == (t, k) && !columns.is_disjoint(c)
        }
        (Range { index, from, to, .. }, IndexKey { index: i, key, .. })
        | (IndexKey { index: i, key, .. }, Range { index, from, to, .. }) => {
            index == i && within(from, to, key)
        }
        (Range { index, from, to, .. }, Range { index: i, from: f, to: t, .. }) => {
            index == i && (to.0.is_empty() || f < to) && (t.0.is_empty() || from < t)
        }
        (Row { .. } | IndexKey { .. } | Item::Catalogue | Item::Sequence { .. }, _) => read == write,
        _ => false,
    }
}
