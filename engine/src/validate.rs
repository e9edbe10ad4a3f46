//! Local validation at commit: has what a generator read changed since?
//!
//! Chains and maps remember when they last changed, as far back as the oldest snapshot in use, so the answer takes a
//! look-up and not a comparison of old states; a delta that others add to does not count as a change of the row. Where
//! memory does not reach back far enough, the answer is "changed": the generator runs again, nothing is lost.

use gemini_shadow_ops::{ColumnSet, IndexId, Item, Key, TableId};

use crate::engine::Engine;
use crate::versions::{Changed, TableEntry};
use crate::{Error, KeyRange, LocalConflict, LocalRead, Seq};

impl Engine {
    /// Whether every item is in the newest state as it was in its snapshot; otherwise what changed, and when.
    pub fn validate(&self, reads: &[LocalRead]) -> Result<Result<(), LocalConflict>, Error> {
        self.check_running()?;
        for read in reads {
            if let Some(seq) = self.changed(&read.item, read.seq) {
                return Ok(Err(LocalConflict { item: read.item.clone(), seq }));
            }
        }
        Ok(Ok(()))
    }

    /// When the item last changed, if that is after `since`.
    fn changed(&self, item: &Item, since: Seq) -> Option<Seq> {
        let after = |seq: Seq| (seq > since).then_some(seq);
        match item {
            Item::Row { table, key } => self.row_changed(self.entry(*table)?, key, None, since),
            Item::Cells { table, key, columns } => {
                self.row_changed(self.entry(*table)?, key, Some(columns), since)
            }
            Item::IndexKey { table, index, key } => {
                let entry = self.entry(*table)?;
                if entry.is_primary(*index) {
                    self.row_changed(entry, key, None, since)
                } else {
                    self.range_changed(entry, *index, &KeyRange::prefix(key), since)
                }
            }
            Item::Range { table, index, from, to } => {
                let range = KeyRange::half_open(from.clone(), to.clone());
                self.range_changed(self.entry(*table)?, *index, &range, since)
            }
            Item::Table { table } => {
                let rows = self.entry(*table)?.data.rows.read();
                after(rows.changes.last).or_else(|| self.forgotten(rows.changes.since, since))
            }
            // A sequence's state changes with the schema only; the whole schema is the careful answer.
            Item::Catalogue | Item::Sequence { .. } => after(self.schema_changed),
        }
    }

    /// A table that is gone was dropped by a red transaction, which the gate on the schema's version sees.
    fn entry(&self, table: TableId) -> Option<&TableEntry> {
        self.catalogue.tables.get(&table)
    }

    /// The careful answer when changes after `asked` are no longer all known: "now".
    fn forgotten(&self, known_since: Seq, asked: Seq) -> Option<Seq> {
        (asked < known_since).then_some(self.seq)
    }

    fn row_changed(
        &self,
        entry: &TableEntry,
        key: &Key,
        columns: Option<&ColumnSet>,
        since: Seq,
    ) -> Option<Seq> {
        let rows = entry.data.rows.read();
        if let Some(chain) = rows.map.get(key) {
            if chain.live_changed > since {
                return Some(chain.live_changed);
            }
            let of = |column| columns.is_some_and(|set| set.contains(column));
            let newest = chain.cells_changed.iter().filter(|(c, _)| of(c)).map(|(_, seq)| *seq).max();
            if let Some(seq) = newest.filter(|seq| *seq > since) {
                return Some(seq);
            }
        }
        self.forgotten(rows.changes.since, since)
    }

    fn range_changed(&self, entry: &TableEntry, index: IndexId, range: &KeyRange, since: Seq) -> Option<Seq> {
        if range.is_empty() {
            return None;
        }
        if entry.is_primary(index) {
            let rows = entry.data.rows.read();
            return newest_in(&rows.changes, range, since, self.seq);
        }
        let Some(index) = entry.index(index) else { return Some(self.seq) };
        let entries = index.entries.read();
        newest_in(&entries.changes, range, since, self.seq)
    }
}

/// When a key within the range last changed, if that is after `since`. Walks what changed since, not what is there.
fn newest_in(changes: &Changed, range: &KeyRange, since: Seq, now: Seq) -> Option<Seq> {
    match changes.after(since) {
        Some(mut list) => list.find(|(_, key)| range.contains(key)).map(|(seq, _)| *seq),
        None => Some(now),
    }
}
