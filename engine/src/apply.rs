//! Applying a transaction: new versions of its rows, its index entries, its changes of the schema.
//!
//! An effect on a table or column that is gone does nothing. An effect that the stored row has already (its LSN is not
//! below the admission's) does nothing either; only replay meets such rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::row::Context;
use gemini_shadow_ops::{
    ColumnId, Entry, Frontier, Hlc, Key, Move, Op, Refusal, Row, RowState, ShadowTransaction, Stamp, TableId,
    TxnId, Verdict,
};

use crate::engine::Engine;
use crate::versions::{Chain, Rows, Stored, TableEntry, Version};
use crate::view::{index_entry, load, widen};
use crate::{Error, Lsn, Seq};

/// Where and when an effect is applied.
struct Place<'a> {
    id: TxnId,
    lsn: Lsn,
    seq: Seq,
    /// Which of the transaction's effects it is.
    number: usize,
    context: Context<'a>,
}

/// The row an effect addresses; None for a change of the schema.
pub(crate) fn address(op: &Op) -> Option<(TableId, &Key)> {
    match op {
        Op::Insert { table, key, .. }
        | Op::Update { table, key, .. }
        | Op::Delete { table, key, .. }
        | Op::Rights { table, key, .. } => Some((*table, key)),
        Op::Schema(_) => None,
    }
}

/// Whether a decision returns what was put aside for the entry.
fn returns(entry: &Entry, verdict: &Verdict) -> bool {
    match (entry, verdict) {
        (Entry::Transaction(_), Verdict::Void) | (_, Verdict::Refused(Refusal::Removed { .. })) => false,
        (Entry::Transaction(_) | Entry::Void { .. }, _) => true,
        (Entry::Member(_), _) => false,
    }
}

impl Engine {
    /// Applies everything at the next moment.
    pub(crate) fn apply(
        &mut self,
        id: TxnId,
        lsn: Lsn,
        transaction: &ShadowTransaction,
    ) -> Result<Seq, Error> {
        self.seq.0 += 1;
        self.apply_now(id, lsn, transaction)
    }

    /// What was put aside for an entry is its origin's again, in every row that the entry names; then, if it was accepted, its
    /// effects, at the same moment. Nothing comes back where an entry had not to wait for what it depends on: a second copy
    /// finds nothing, and what a removed site had put aside is its heir's.
    pub(crate) fn apply_entry(
        &mut self,
        r: u64,
        lsn: Lsn,
        entry: &Entry,
        verdict: &Verdict,
    ) -> Result<Seq, Error> {
        self.seq.0 += 1;
        let accepted = *verdict == Verdict::Accepted || planted(Fault::RefusedApplied);
        let origin = entry.id().site;
        let reserved = if returns(entry, verdict) { entry.reserved() } else { Vec::new() };
        for (number, (table, key)) in reserved.into_iter().enumerate() {
            let Some(state) = self.newest(table, &key)? else { continue };
            let catalogue = self.catalogue.clone();
            let Some(declared) = catalogue.tables.get(&table) else { continue };
            let held = state.incarnations.iter().filter(|i| i.rights.holds(entry.id())).map(|i| i.id);
            for of in held {
                let moves = vec![Move::Return { entry: entry.id() }];
                let op = Op::Rights { table, key: key.clone(), of: Some(of), moves };
                let stamp = Stamp { hlc: Hlc::default(), site: origin };
                let context =
                    Context { id: TxnId::Red(r), stamp, seen: &Frontier::default(), schema_version: 0 };
                let place = Place { id: TxnId::Red(r), lsn, seq: self.seq, number, context };
                self.apply_row(declared, &key, &op, place)?;
            }
        }
        if let (true, Entry::Transaction(red)) = (accepted, entry) {
            return self.apply_now(TxnId::Red(r), lsn, &red.transaction);
        }
        self.applied.add(TxnId::Red(r));
        Ok(self.seq)
    }

    /// Everything under a key at the newest moment, visible or not; None if there is nothing.
    pub fn newest(&self, table: TableId, key: &Key) -> Result<Option<Arc<RowState>>, Error> {
        let Some(entry) = self.catalogue.tables.get(&table) else { return Ok(None) };
        let rows = entry.data.rows.read();
        if let Some(chain) = rows.map.get(key) {
            return Ok(Some(chain.newest.state.clone()));
        }
        if rows.complete {
            return Ok(None);
        }
        drop(rows);
        Ok(load(&*self.shared.store, entry, key)?.map(|found| found.state))
    }

    fn apply_now(&mut self, id: TxnId, lsn: Lsn, transaction: &ShadowTransaction) -> Result<Seq, Error> {
        let seq = self.seq;
        for (number, op) in transaction.ops.iter().enumerate() {
            if let Op::Schema(change) = &op.op {
                self.change_schema(change, id)?;
                continue;
            }
            let Some((table, key)) = address(&op.op) else { continue };
            let catalogue = self.catalogue.clone();
            let Some(entry) = catalogue.tables.get(&table) else { continue };
            let Some(seen) = transaction.statements.get(usize::from(op.statement)) else {
                let message =
                    format!("{id}: effect {number} names statement {}, which it has not", op.statement);
                return Err(Error::Internal { message });
            };
            let seen = if planted(Fault::ConcurrencyByDeps) { &transaction.deps } else { seen };
            let seq = if planted(Fault::HalfVisible) && number > 0 { Seq(seq.0 + 1) } else { seq };
            let context =
                Context { id, stamp: transaction.stamp, seen, schema_version: transaction.schema_version };
            self.apply_row(entry, key, &op.op, Place { id, lsn, seq, number, context })?;
        }
        self.applied.add(id);
        Ok(seq)
    }

    fn apply_row(&mut self, entry: &TableEntry, key: &Key, op: &Op, place: Place<'_>) -> Result<(), Error> {
        let mut rows = entry.data.rows.write();
        if !rows.complete && !rows.map.contains_key(key) {
            // Readers are not held up while the store is read. Only this thread adds chains, so nothing comes between.
            drop(rows);
            let found = load(&*self.shared.store, entry, key)?;
            rows = entry.data.rows.write();
            if let Some(found) = found {
                let stored = Stored::Row { lsn: found.lsn, row: found.row.clone(), folded: Seq(0) };
                let chain = Chain::new(
                    Version::new(Seq(0), found.lsn, found.state, found.row, entry.indexes.len()),
                    stored,
                    false,
                );
                self.grow(&mut rows, chain.weight());
                rows.map.insert(key.clone(), chain);
            }
        }
        let mut displaced = Vec::new();
        let Some((before, after)) = self.apply_chain(&mut rows, entry, key, op, &place, &mut displaced)
        else {
            return Ok(());
        };
        drop(rows);
        if !displaced.is_empty() && !planted(Fault::DisplacedInSilence) {
            self.shared.conflicts.lock().note(place.lsn, place.number, place.seq, place.id, displaced);
        }
        self.apply_indexes(entry, key, before, after, place.seq);
        Ok(())
    }

    /// Adds the row's next version; gives the merged rows before and after, None if there is nothing to do.
    fn apply_chain(
        &self,
        rows: &mut Rows,
        entry: &TableEntry,
        key: &Key,
        op: &Op,
        place: &Place<'_>,
        displaced: &mut Vec<gemini_shadow_ops::Displaced>,
    ) -> Option<(Option<Row>, Option<Row>)> {
        let table = &*entry.table;
        let Some(chain) = rows.map.get_mut(key) else {
            let mut state = RowState::default();
            state.apply(table, op, place.context, displaced);
            if state.incarnations.is_empty() {
                return Some((None, None));
            }
            let row = state.view(table);
            let version =
                Version::new(place.seq, place.lsn, Arc::new(state), row.clone(), entry.indexes.len());
            let mut chain = Chain::new(version, Stored::Nothing, true);
            chain.live_changed = place.seq;
            rows.changes.note(key, place.seq);
            self.grow(rows, chain.weight());
            rows.dirty.push(key.clone());
            rows.map.insert(key.clone(), chain);
            return Some((None, row));
        };
        if let Stored::Row { lsn, .. } = &chain.stored
            && *lsn >= place.lsn
            && !planted(Fault::FoldWithoutLsn)
        {
            return None;
        }
        let mut state = (*chain.newest.state).clone();
        state.apply(table, op, place.context, displaced);
        let live_changed = !chain
            .newest
            .state
            .live_incarnations(table)
            .map(|i| i.id)
            .eq(state.live_incarnations(table).map(|i| i.id));
        let row = state.view(table);
        let before = chain.newest.row.clone();
        let version = Version::new(place.seq, place.lsn, Arc::new(state), row.clone(), entry.indexes.len());
        let grown = chain.push(version, &self.needed);
        if live_changed {
            chain.live_changed = place.seq;
        }
        if let Op::Update { cells, .. } = op {
            for (column, _) in cells {
                chain.cell_changed(*column, place.seq);
            }
        }
        if !chain.dirty {
            chain.dirty = true;
            rows.dirty.push(key.clone());
        }
        if live_changed {
            rows.changes.note(key, place.seq);
        } else {
            rows.changes.last = place.seq;
        }
        self.grow(rows, grown);
        Some((before, row))
    }

    fn grow(&self, rows: &mut Rows, bytes: i64) {
        rows.bytes += bytes;
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Brings every secondary index in line with the row.
    fn apply_indexes(
        &self,
        entry: &TableEntry,
        key: &Key,
        before: Option<Row>,
        after: Option<Row>,
        seq: Seq,
    ) {
        if entry.indexes.is_empty() {
            return;
        }
        let table = &*entry.table;
        let before = before.map(|row| widen(&row, table));
        let after = after.map(|row| widen(&row, table));
        for index in &entry.indexes {
            let Some(declared) = table.indexes.iter().find(|i| i.id == index.id) else { continue };
            if let (Some(a), Some(b)) = (&before, &after)
                && declared.columns.iter().all(|c| same(a, b, c.column))
            {
                continue;
            }
            let old = before.as_ref().and_then(|row| index_entry(table, index.id, row, key));
            let new = after.as_ref().and_then(|row| index_entry(table, index.id, row, key));
            if old == new {
                continue;
            }
            let mut entries = index.entries.write();
            if let Some(old) = old.filter(|_| !planted(Fault::IndexEntryLeft)) {
                entries.set(old, key, seq, false, &self.needed);
            }
            if let Some(new) = new {
                entries.set(new, key, seq, true, &self.needed);
            }
        }
    }
}

fn same(a: &Row, b: &Row, column: ColumnId) -> bool {
    let slot = usize::from(column.0);
    a.get(slot) == b.get(slot)
}
