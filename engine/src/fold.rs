//! Folding: row versions go from memory to the store, late and in bulk.
//!
//! ```text
//!   oldest moment in use: F
//!   chain of a dirty row:   v3   v8   v12        F = 9: v8 is the newest that every snapshot sees
//!                                │
//!        read lock: gather ──► encode, compare index entries ──► store: one batch ──► write lock: mark, drop v3
//! ```
//!
//! Folding runs on any thread, a bounded piece per call, and holds no lock of the tables while it encodes or while the
//! store works; the writer goes on. It is lazy: only a checkpoint or a lack of memory starts it, so a hot row is written
//! once per checkpoint and not once per commit.
//!
//! Invariants:
//! 1. Only versions at or below F are written: they are durable in the log, and no snapshot needs an older one.
//! 2. A row and its index entries are one batch. The entries follow from what the store held before (`Stored`) and what
//!    it holds now, not from what happened in between.
//! 3. Store first, memory second: a reader that no longer finds a row in memory finds it in the store.
//! 4. A checkpoint is finished when everything that was dirty at its moment S has been folded with F ≥ S, and the store
//!    flushed; only then is its manifest written.
//! 5. A store without room is not written to: nothing is taken off a list of what is to be folded that may not be written.
//! 6. The store's keys of a dropped table or index are swept only after a checkpoint beyond the drop: until then replay
//!    may want them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Key, Row, RowState, TableId};

use crate::checkpoint::Pending;
use crate::snapshot::Shared;
use crate::store::{Changes, Space, row};
use crate::versions::{Catalogue, Held, IndexData, Rows, Stored, TableEntry};
use crate::view::{index_entry, widen};
use crate::{Error, Lsn, Seq};

/// Rows per batch of the store.
const BATCH: usize = 256;

/// Rows looked at under one lock: some ten microseconds.
const LOCKED: usize = 64;

/// A piece of work: keys of one table or one index, in order.
#[derive(Debug)]
enum Work {
    Rows(TableId, VecDeque<Key>),
    Built(TableId, Arc<IndexData>, VecDeque<(Key, Key)>),
}

/// What is being folded. One thread at a time works on it.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    work: VecDeque<Work>,
    /// The checkpoint that the work will finish.
    checkpoint: Option<Pending>,
    /// The oldest moment at the last call: changes are remembered for validation from there on, so that a reader who let
    /// go of its snapshot a moment before its commit still gets a sharp answer.
    last_oldest: Seq,
}

/// What a call of fold did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Rows and index entries written to the store, or out of memory.
    pub done: usize,
    /// There is more to do now: call again soon.
    pub more: bool,
}

/// A version to be written.
struct Fold {
    key: Key,
    seq: Seq,
    lsn: Lsn,
    state: Arc<RowState>,
    row: Option<Row>,
    /// What the store shows under the key, and since when: younger indexes may lack its entries.
    before: (Option<Row>, Seq),
}

/// An index entry that comes or goes with a row.
struct Turn {
    index: Arc<IndexData>,
    entry: Key,
    present: bool,
}

/// Folds on any thread. Clones work on the same data.
#[derive(Clone, Debug)]
pub struct FoldHandle {
    pub(crate) shared: Arc<Shared>,
}

impl FoldHandle {
    /// Does what is due, up to about `budget` rows. Cheap if nothing is due.
    pub fn fold(&self, budget: usize) -> Result<Folded, Error> {
        self.shared.fold(budget)
    }
}

impl Shared {
    /// Does what is due, up to about `budget` rows. On a full disk nothing is begun: what is due stays due.
    pub(crate) fn fold(&self, budget: usize) -> Result<Folded, Error> {
        let mut folder = self.folder.lock();
        let room = self.store.room();
        self.store_full.store(room == Err(Error::Full), Ordering::Relaxed);
        room?;
        let mut done = 0;
        let oldest = self.pins.oldest();
        if folder.work.is_empty() && folder.checkpoint.is_none() {
            let pending = self.checkpoints.lock().start(oldest, Lsn(self.durable.load(Ordering::SeqCst)));
            if pending.is_some() || self.crowded(1) {
                folder.checkpoint = pending;
                self.collect(&mut folder);
            }
        }
        let mut batches = 0;
        while batches * BATCH < budget.max(1) && !folder.work.is_empty() {
            done += self.fold_batch(&mut folder)?;
            batches += 1;
        }
        if (folder.work.is_empty() || planted(Fault::CheckpointTooSoon))
            && let Some(pending) = folder.checkpoint.take()
        {
            self.finish_checkpoint(pending)?;
        }
        let catalogue = self.pins.current().catalogue.clone();
        done += self.sweep_garbage(budget)?;
        if self.crowded(1) {
            done += self.evict(&catalogue, budget);
        }
        folder.last_oldest = oldest;
        if self.crowded(2) && done == 0 && self.pins.current_seq() > oldest && self.pins.end_oldest() {
            tracing::warn!(seq = oldest.0, "a snapshot held too many old row versions and was ended");
            done += 1;
        }
        Ok(Folded { done, more: !folder.work.is_empty() || (done > 0 && self.crowded(1)) })
    }

    /// Whether versions take more than `times` the bytes they may.
    pub(crate) fn crowded(&self, times: u64) -> bool {
        self.bytes.load(Ordering::Relaxed)
            > i64::try_from(self.memory.saturating_mul(times)).unwrap_or(i64::MAX)
    }

    /// Folds everything and makes room: during replay, when nobody reads.
    pub(crate) fn fold_all(&self) -> Result<(), Error> {
        while self.fold(1 << 20)?.more {}
        Ok(())
    }

    /// Takes over everything that is dirty.
    fn collect(&self, folder: &mut Folder) {
        let catalogue = self.pins.current().catalogue.clone();
        for entry in catalogue.tables.values() {
            let mut keys = {
                let mut rows = entry.data.rows.write();
                rows.changes.forget(folder.last_oldest);
                std::mem::take(&mut rows.dirty)
            };
            keys.sort_unstable();
            keys.dedup();
            if !keys.is_empty() {
                folder.work.push_back(Work::Rows(entry.data.id, keys.into()));
            }
            for index in &entry.indexes {
                let mut built = {
                    let mut entries = index.entries.write();
                    entries.changes.forget(folder.last_oldest);
                    std::mem::take(&mut entries.built)
                };
                self.drop_gone(index);
                built.sort_unstable();
                if !built.is_empty() {
                    folder.work.push_back(Work::Built(entry.data.id, index.clone(), built.into()));
                }
            }
        }
    }

    /// Forgets index entries that came and went without ever being in the store.
    fn drop_gone(&self, index: &IndexData) {
        let oldest = self.pins.oldest();
        let mut gone = std::mem::take(&mut index.entries.write().gone);
        gone.sort_unstable();
        gone.dedup();
        for keys in gone.chunks(LOCKED) {
            let mut entries = index.entries.write();
            for key in keys {
                let Some(chain) = entries.map.get_mut(key) else { continue };
                chain.drop_below(oldest);
                if chain.present || chain.held != Held::No {
                    continue;
                }
                if chain.seq <= oldest {
                    entries.map.remove(key);
                } else {
                    entries.gone.push(key.clone());
                }
            }
        }
    }

    /// One batch of the store.
    fn fold_batch(&self, folder: &mut Folder) -> Result<usize, Error> {
        let last_oldest = folder.last_oldest;
        let Some(work) = folder.work.front_mut() else { return Ok(0) };
        let mut changes = Changes::default();
        // Conflicts first: a row's must not be missing where the row is.
        let oldest = self.pins.oldest();
        let current = self.pins.current_seq();
        self.conflicts.lock().fold(current, &mut changes)?;
        let (done, left) = match work {
            Work::Rows(table, keys) => {
                let batch: Vec<Key> = keys.drain(..keys.len().min(BATCH)).collect();
                // The catalogue of now: an index may have come since the work was collected, or the table gone.
                let catalogue = self.pins.current().catalogue.clone();
                let done = match catalogue.tables.get(table) {
                    Some(entry) => self.fold_rows(entry, &batch, oldest, last_oldest, changes)?,
                    None => 0,
                };
                (done, keys.len())
            }
            Work::Built(table, index, keys) => {
                let batch: Vec<_> = keys.drain(..keys.len().min(BATCH)).collect();
                let catalogue = self.pins.current().catalogue.clone();
                let done = match catalogue.tables.get(table) {
                    Some(entry) => {
                        let changed = self.fold_built(entry, index, &batch, oldest, changes)?;
                        self.fold_rows(entry, &changed, oldest, last_oldest, Changes::default())?;
                        batch.len()
                    }
                    None => 0,
                };
                (done, keys.len())
            }
        };
        if left == 0 {
            folder.work.pop_front();
        }
        Ok(done)
    }

    fn fold_rows(
        &self,
        entry: &TableEntry,
        keys: &[Key],
        oldest: Seq,
        last_oldest: Seq,
        mut changes: Changes,
    ) -> Result<usize, Error> {
        let space = Space::Rows(entry.data.id);
        let mut folds = Vec::with_capacity(keys.len());
        for keys in keys.chunks(LOCKED) {
            gather(entry, keys, oldest, &mut folds);
        }
        let mut turns = Vec::new();
        for fold in &folds {
            changes.put(space.key(&fold.key), row::encode(fold.lsn, &fold.state)?);
            turn_entries(entry, fold, oldest, &mut changes, &mut turns);
        }
        if !changes.list.is_empty() {
            self.store.apply(changes)?;
        }
        for turns in turns.chunks(LOCKED) {
            mark_entries(turns, oldest);
        }
        let done = folds.len();
        let mut folded = folds.into_iter().peekable();
        for keys in keys.chunks(LOCKED) {
            let mut rows = entry.data.rows.write();
            for key in keys {
                let fold = folded.next_if(|fold| fold.key == *key);
                let freed = mark_row(&mut rows, key, fold, oldest, last_oldest);
                rows.bytes -= freed;
                self.bytes.fetch_sub(freed, Ordering::Relaxed);
            }
        }
        Ok(done)
    }

    /// Entries that came with an index, of rows that were there before. Only those of rows that the store shows as they
    /// are at `oldest`: any other row's own fold writes its entries, and knows what to remove. Gives those rows' keys.
    fn fold_built(
        &self,
        entry: &TableEntry,
        index: &Arc<IndexData>,
        keys: &[(Key, Key)],
        oldest: Seq,
        mut changes: Changes,
    ) -> Result<Vec<Key>, Error> {
        let space = Space::Entries(index.id);
        let (mut put, mut later, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for keys in keys.chunks(LOCKED) {
            let rows = entry.data.rows.read();
            let entries = index.entries.read();
            for (key, primary) in keys {
                if !rows.map.get(primary).is_none_or(|row| row.is_stored(oldest)) {
                    changed.push(primary.clone());
                    continue;
                }
                match entries.map.get(key).map(|chain| chain.at(oldest)) {
                    Some(Some(true)) => {
                        changes.put(space.key(key), primary.0.to_vec());
                        put.push(Turn { index: index.clone(), entry: key.clone(), present: true });
                    }
                    Some(None) => later.push((key.clone(), primary.clone())),
                    Some(Some(false)) | None => {}
                }
            }
        }
        if !changes.list.is_empty() {
            self.store.apply(changes)?;
        }
        for put in put.chunks(LOCKED) {
            mark_entries(put, oldest);
        }
        if !later.is_empty() {
            index.entries.write().built.append(&mut later);
        }
        changed.sort_unstable();
        changed.dedup();
        Ok(changed)
    }

    /// Removes some keys of what was dropped before the last checkpoint.
    fn sweep_garbage(&self, budget: usize) -> Result<usize, Error> {
        let reached = Seq(self.checkpointed.load(Ordering::SeqCst));
        let space = self.garbage.lock().iter().find(|(dropped, _)| *dropped <= reached).map(|(_, s)| *s);
        let Some(space) = space.filter(|_| budget > 0) else { return Ok(0) };
        let pairs = self.store.range(&space.span(), false, budget.min(1024))?;
        if pairs.is_empty() {
            self.garbage.lock().retain(|(_, known)| *known != space);
            return Ok(1);
        }
        let mut changes = Changes::default();
        let count = pairs.len();
        pairs.into_iter().for_each(|(key, _)| changes.remove(key));
        self.store.apply(changes)?;
        Ok(count)
    }

    /// Lets go of rows that are in the store and have not been read since the last sweep.
    fn evict(&self, catalogue: &Catalogue, budget: usize) -> usize {
        let mut evicted = 0;
        // A little below the bound, so that the next commit does not start the next sweep.
        let target = i64::try_from(self.memory - self.memory / 8).unwrap_or(i64::MAX);
        // A second round finds what the first one only marked as unread.
        for _ in 0..2 {
            for entry in catalogue.tables.values() {
                let mut looked = 0;
                while evicted < budget && looked < budget && self.bytes.load(Ordering::Relaxed) > target {
                    let (count, gone, end) = self.evict_some(entry);
                    looked += count;
                    evicted += gone;
                    if end {
                        break;
                    }
                }
            }
        }
        evicted
    }

    /// Sweeps a little further; gives how many rows it looked at, how many it let go, whether it came to the end.
    fn evict_some(&self, entry: &TableEntry) -> (usize, usize, bool) {
        let oldest = self.pins.oldest();
        let mut gone: Vec<(Key, Option<Row>)> = Vec::new();
        let mut guard = entry.data.rows.write();
        let rows = &mut *guard;
        let from = rows.sweep.take().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut looked = 0;
        for (key, chain) in rows.map.range::<Key, _>((from, std::ops::Bound::Unbounded)).take(LOCKED) {
            looked += 1;
            rows.sweep = Some(key.clone());
            let clean = !chain.dirty && chain.older.is_empty() && chain.newest.seq <= oldest;
            if clean && !chain.used.swap(false, Ordering::Relaxed) {
                gone.push((key.clone(), chain.newest.row.clone()));
            }
        }
        let end = looked < LOCKED;
        if end {
            rows.sweep = None;
        }
        let mut freed = 0;
        for (key, _) in &gone {
            if let Some(chain) = rows.map.remove(key) {
                freed += chain.weight();
                // When it changed is forgotten with it.
                rows.changes.since = rows.changes.since.max(chain.newest.seq);
                rows.complete = false;
            }
        }
        rows.bytes -= freed;
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
        drop(guard);
        for index in &entry.indexes {
            let mut entries = index.entries.write();
            for (key, row) in &gone {
                let Some(row) = row.as_ref().map(|row| widen(row, &entry.table)) else { continue };
                let Some(key) = index_entry(&entry.table, index.id, &row, key) else { continue };
                let clean = |c: &crate::versions::EntryChain| {
                    c.present && c.held == Held::Yes && c.older.is_empty() && c.seq <= oldest
                };
                if entries.map.get(&key).is_some_and(clean) {
                    entries.map.remove(&key);
                    entries.complete = false;
                }
            }
        }
        (looked, gone.len(), end)
    }
}

/// Picks the versions to be written: for each key the newest at or below `oldest`, unless the store has it.
fn gather(entry: &TableEntry, keys: &[Key], oldest: Seq, folds: &mut Vec<Fold>) {
    let rows = entry.data.rows.read();
    for key in keys {
        let Some(chain) = rows.map.get(key) else { continue };
        let Some(version) = chain.at(oldest) else { continue };
        let before = match &chain.stored {
            Stored::Row { lsn, .. } if *lsn == version.lsn => continue,
            Stored::Row { row, folded, .. } => (row.clone(), *folded),
            Stored::Nothing => (None, oldest),
        };
        folds.push(Fold {
            key: key.clone(),
            seq: version.seq,
            lsn: version.lsn,
            state: version.state.clone(),
            row: version.row.clone(),
            before,
        });
    }
}

/// The index entries that come and go with a row's fold.
fn turn_entries(entry: &TableEntry, fold: &Fold, oldest: Seq, changes: &mut Changes, turns: &mut Vec<Turn>) {
    let table = &*entry.table;
    let wide = |row: &Option<Row>| row.as_ref().map(|row| widen(row, table));
    let (before, after) = (wide(&fold.before.0), wide(&fold.row));
    // An index that is younger than the fold gets the row's entry from its own list.
    for index in entry.indexes.iter().filter(|index| index.since <= oldest) {
        let old = before.as_ref().and_then(|row| index_entry(table, index.id, row, &fold.key));
        let new = after.as_ref().and_then(|row| index_entry(table, index.id, row, &fold.key));
        let lacking = index.since > fold.before.1;
        if old == new && !lacking {
            continue;
        }
        let space = Space::Entries(index.id);
        if let Some(old) = old.filter(|old| new.as_ref() != Some(old)) {
            changes.remove(space.key(&old));
            turns.push(Turn { index: index.clone(), entry: old, present: false });
        }
        if let Some(new) = new {
            changes.put(space.key(&new), fold.key.0.to_vec());
            turns.push(Turn { index: index.clone(), entry: new, present: true });
        }
    }
}

/// Marks index entries as being, or no longer being, in the store.
fn mark_entries(turns: &[Turn], oldest: Seq) {
    for turn in turns {
        let mut entries = turn.index.entries.write();
        let Some(chain) = entries.map.get_mut(&turn.entry) else { continue };
        chain.held = if turn.present { Held::Yes } else { Held::No };
        chain.drop_below(oldest);
        let over = !chain.present && chain.seq <= oldest;
        if !turn.present && over {
            entries.map.remove(&turn.entry);
        } else if !turn.present && !chain.present {
            entries.gone.push(turn.entry.clone());
        }
    }
}

/// Marks a row as folded, or puts it back on the list; gives the bytes freed.
fn mark_row(rows: &mut Rows, key: &Key, fold: Option<Fold>, oldest: Seq, last_oldest: Seq) -> i64 {
    let Some(chain) = rows.map.get_mut(key) else { return 0 };
    if let Some(fold) = fold {
        chain.dirty = chain.newest.seq != fold.seq;
        chain.stored = Stored::Row { lsn: fold.lsn, row: fold.row, folded: oldest };
    }
    let freed = chain.drop_below(oldest);
    chain.forget_changes(last_oldest);
    rows.changes.since = rows.changes.since.max(last_oldest);
    if chain.dirty {
        rows.dirty.push(key.clone());
    }
    freed
}
