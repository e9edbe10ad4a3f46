//! A transaction as its generator sees it: snapshots, own writes, and what will be handed to the site.
//!
//! ```text
//!   statement 1 ── snapshot 1 ─┐                      ┌─► Draft (net effect per row, reads, minted values)
//!   statement 2 ── snapshot 2 ─┼─► Overlay (own rows) ┤        └─► classify ─► Submission
//!   …                          ┘    + journal (undo)  └─► every later scan merges it
//! ```
//!
//! Nothing here has a side effect outside the session: a transaction that is dropped has never happened.
//!
//! Invariants:
//! 1. The overlay holds, for every row this transaction has touched, what the snapshot held at the first touch
//!    (with its incarnations) and what it is now. A row once touched is always read from here, so later
//!    snapshots of READ COMMITTED never mix with it.
//! 2. Every touched row and every recorded read names the statement whose snapshot it was first seen on.
//! 3. [`Transaction::rollback_to`] restores the overlay exactly. Recorded reads and minted values stay: the client has
//!    seen them.
//!
//! It does not decide colours, and does not know how a transaction commits.

mod draft;
mod overlay;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gemini_engine::{LocalRead, Seq, Snapshot};
use gemini_shadow_ops::{
    Classification, Color, ColumnId, Draft, Frontier, Hlc, Item, Key, Minted, Read, Row, Schema,
    SchemaChange, Sequence, SequenceId, ShadowOp, ShadowTransaction, SiteId, Stamp, Table, TableId, Value,
};

pub use overlay::{Base, Cell, Overlay, TableOverlay, Touched, index_entry};

use crate::error::{Result, SqlError};
use crate::host::{Durability, Host, Submission};
use crate::sqlstate;

/// Isolation within a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// A snapshot per statement (default).
    #[default]
    ReadCommitted,
    /// One snapshot; first committer wins.
    RepeatableRead,
    /// As before, and reads are validated.
    Serializable,
}

/// `SET gemini.color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorSetting {
    /// As the classifier says.
    #[default]
    Auto,
    /// Always ordered, with its reads.
    Red,
    /// An assertion: what would be red fails.
    Blue,
}

/// What a transaction is begun with.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Options {
    pub isolation: Isolation,
    pub color: ColorSetting,
    /// Writes are refused with 25006.
    pub read_only: bool,
}

/// A statement whose snapshot something was read or written on.
#[derive(Clone, Debug)]
struct StatementAt {
    frontier: Frontier,
    seq: Seq,
    /// Keeps the versions its reads are validated against.
    pin: Snapshot,
}

/// A point to roll back to.
#[derive(Clone, Debug)]
pub struct Savepoint {
    journal: usize,
    schema_changes: usize,
    schema: Option<Arc<Schema>>,
}

/// The generator's state.
#[derive(Debug)]
pub struct Transaction {
    options: Options,
    /// The current statement's snapshot; None before the first.
    snapshot: Option<Snapshot>,
    statements: Vec<StatementAt>,
    /// The current statement's index, once it has touched something.
    registered: Option<u16>,
    overlay: Arc<Overlay>,
    journal: Vec<Undo>,
    minted: Vec<Minted>,
    /// Values of sequences minted in this transaction, wherever they end up.
    minted_values: BTreeSet<(SequenceId, i64)>,
    /// Explicit values of this site's minting class given for columns of open sequences.
    explicit_values: BTreeSet<(SequenceId, i64)>,
    reads: BTreeSet<(u16, Item)>,
    locks: BTreeSet<(u16, Item)>,
    schema_changes: Vec<(u16, SchemaChange)>,
    /// The last value of each sequence created in this transaction: nobody else knows it, so it is counted here.
    counted: BTreeMap<SequenceId, i64>,
    /// The schema with this transaction's own changes.
    schema: Option<Arc<Schema>>,
    /// [`Schema::version`] of the first registered statement.
    schema_version: Option<u64>,
}

#[derive(Debug)]
struct Undo {
    table: Arc<Table>,
    key: Key,
    previous: Option<Touched>,
}

/// More statements than this in one transaction cannot be told apart any more.
const MAX_STATEMENTS: usize = u16::MAX as usize;

/// What a transaction has minted; see [`Transaction::minted_so_far`].
#[derive(Debug)]
pub struct MintedSoFar {
    columns: usize,
    values: BTreeSet<(SequenceId, i64)>,
    explicit: BTreeSet<(SequenceId, i64)>,
    counted: BTreeMap<SequenceId, i64>,
}

impl Transaction {
    /// Begins.
    pub fn new(options: Options) -> Transaction {
        Transaction {
            options,
            snapshot: None,
            statements: Vec::new(),
            registered: None,
            overlay: Arc::default(),
            journal: Vec::new(),
            minted: Vec::new(),
            minted_values: BTreeSet::new(),
            explicit_values: BTreeSet::new(),
            reads: BTreeSet::new(),
            locks: BTreeSet::new(),
            schema_changes: Vec::new(),
            counted: BTreeMap::new(),
            schema: None,
            schema_version: None,
        }
    }

    /// What it was begun with.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Changes isolation, colour or access before the first statement (SET TRANSACTION); 25001 after it, except for the colour.
    pub fn set_options(&mut self, options: Options) -> Result<()> {
        let moved = options.isolation != self.options.isolation;
        if moved && self.snapshot.is_some() {
            return Err(SqlError::new(
                sqlstate::ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION ISOLATION LEVEL must be called before any query",
            ));
        }
        self.options = options;
        Ok(())
    }

    /// Starts a statement: takes its snapshot as the isolation asks.
    pub fn begin_statement(&mut self, host: &dyn Host) {
        let fresh = match self.options.isolation {
            Isolation::ReadCommitted => true,
            Isolation::RepeatableRead | Isolation::Serializable => self.snapshot.is_none(),
        };
        if fresh {
            let snapshot = host.snapshot();
            if self.snapshot.as_ref().is_none_or(|old| old.seq() != snapshot.seq()) {
                self.registered = None;
            }
            self.snapshot = Some(snapshot);
        }
    }

    /// Forgets the snapshot of a transaction that has neither read nor written anything on record, so that the next statement
    /// takes a newer one under any isolation. False if it has.
    pub fn renew(&mut self) -> bool {
        if !self.statements.is_empty() {
            return false;
        }
        self.snapshot = None;
        self.registered = None;
        true
    }

    /// The current statement's snapshot; one is taken if there is none yet.
    pub fn snapshot(&mut self, host: &dyn Host) -> &Snapshot {
        self.snapshot.get_or_insert_with(|| host.snapshot())
    }

    /// The current statement's snapshot, if one has been taken.
    pub fn current(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The schema as this transaction sees it, its own changes included.
    pub fn schema(&mut self, host: &dyn Host) -> Arc<Schema> {
        match &self.schema {
            Some(schema) => schema.clone(),
            None => self.snapshot(host).schema().clone(),
        }
    }

    /// Own writes.
    pub fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }

    /// Whether there is anything to commit.
    pub fn has_effects(&self) -> bool {
        !self.schema_changes.is_empty() || self.overlay.has_effects()
    }

    /// Whether scans record what they read (SERIALIZABLE, `color = red`).
    pub fn records_reads(&self) -> bool {
        self.options.isolation == Isolation::Serializable || self.options.color == ColorSetting::Red
    }

    /// Records a read of the current statement beyond those that effects imply.
    pub fn read(&mut self, item: Item) -> Result<()> {
        let statement = self.statement()?;
        self.reads.insert((statement, item));
        Ok(())
    }

    /// Locks a row (SELECT … FOR UPDATE): read and written by the footprint though no effect changes it.
    pub fn lock(&mut self, table: &Table, key: &Key) -> Result<()> {
        let statement = self.statement()?;
        self.locks.insert((statement, Item::Row { table: table.id, key: key.clone() }));
        let columns = table.columns.iter().map(|c| c.id).collect();
        self.locks.insert((statement, Item::Cells { table: table.id, key: key.clone(), columns }));
        Ok(())
    }

    /// Records a value minted in this transaction for a column.
    pub fn minted(&mut self, table: TableId, column: ColumnId, value: Value) {
        self.minted.push(Minted { table, column, value });
    }

    /// nextval of a sequence that this transaction has created: None for any other. Nobody else can use it before the
    /// commit, so its values count up from START, as explicit values do while a sequence is closed.
    pub fn count_up(&mut self, sequence: &Sequence) -> Result<Option<i64>> {
        let known = self.snapshot.as_ref().is_none_or(|s| s.schema().sequence(sequence.id).is_some());
        if known || sequence.is_open() {
            return Ok(None);
        }
        let next = match self.counted.get(&sequence.id) {
            Some(last) => last.checked_add(sequence.increment),
            None => Some(sequence.start),
        };
        match next.filter(|n| (sequence.min..=sequence.max).contains(n)) {
            Some(next) => {
                self.counted.insert(sequence.id, next);
                Ok(Some(next))
            }
            None => Err(SqlError::new(
                sqlstate::SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
                format!("nextval: reached the limit of sequence \"{}\"", sequence.name),
            )),
        }
    }

    /// Whether the value was minted in this transaction, for whatever column.
    pub fn has_minted(&self, value: &Value) -> bool {
        self.minted.iter().any(|m| m.value == *value)
    }

    /// Records a value of a sequence minted in this transaction (nextval), before it is known where it goes.
    pub fn minted_value(&mut self, sequence: SequenceId, value: i64) {
        self.minted_values.insert((sequence, value));
    }

    /// Records an explicit value of this site's own class, given for a minting column of an open sequence.
    pub fn explicit_value(&mut self, sequence: SequenceId, value: i64) {
        self.explicit_values.insert((sequence, value));
    }

    /// Whether the value was minted in this transaction.
    pub fn is_minted(&self, sequence: SequenceId, value: i64) -> bool {
        self.minted_values.contains(&(sequence, value))
    }

    /// Records a schema change and makes `schema` (with the change applied) what later statements see.
    pub fn change_schema(&mut self, change: SchemaChange, schema: Arc<Schema>) -> Result<()> {
        let statement = self.statement()?;
        if let SchemaChange::AddIndex { table, index } = &change
            && let Some(table) = schema.table(*table)
        {
            Arc::make_mut(&mut self.overlay).reindex(table, index);
        }
        self.schema_changes.push((statement, change));
        self.schema = Some(schema);
        Ok(())
    }

    /// A point to roll back to: a SAVEPOINT, or the start of a statement.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            journal: self.journal.len(),
            schema_changes: self.schema_changes.len(),
            schema: self.schema.clone(),
        }
    }

    /// What a rehearsal (EXPLAIN) must not leave behind besides writes.
    pub fn minted_so_far(&self) -> MintedSoFar {
        MintedSoFar {
            columns: self.minted.len(),
            values: self.minted_values.clone(),
            explicit: self.explicit_values.clone(),
            counted: self.counted.clone(),
        }
    }

    /// Forgets what was minted after that: nobody was given it.
    pub fn forget_minted(&mut self, before: MintedSoFar) {
        self.minted.truncate(before.columns);
        self.minted_values = before.values;
        self.explicit_values = before.explicit;
        self.counted = before.counted;
    }

    /// Undoes every write since the savepoint.
    pub fn rollback_to(&mut self, savepoint: &Savepoint) {
        if self.journal.len() > savepoint.journal {
            let overlay = Arc::make_mut(&mut self.overlay);
            while self.journal.len() > savepoint.journal {
                if let Some(undo) = self.journal.pop() {
                    overlay.restore(&undo.table, &undo.key, undo.previous);
                }
            }
        }
        self.schema_changes.truncate(savepoint.schema_changes);
        self.schema = savepoint.schema.clone();
    }

    /// The index of the current statement in the draft, registered at its first use.
    pub fn statement(&mut self) -> Result<u16> {
        if let Some(index) = self.registered {
            return Ok(index);
        }
        let Some(snapshot) = self.snapshot.clone() else {
            return Err(SqlError::internal("a transaction reads before its first statement"));
        };
        if self.statements.len() >= MAX_STATEMENTS {
            return Err(SqlError::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!("a transaction cannot write in more than {MAX_STATEMENTS} statements"),
            )
            .hint("Commit in between, or use REPEATABLE READ, which needs one snapshot only."));
        }
        let index = self.statements.len() as u16;
        self.follow_schema(snapshot.schema());
        self.statements.push(StatementAt {
            frontier: snapshot.frontier().clone(),
            seq: snapshot.seq(),
            pin: snapshot,
        });
        self.registered = Some(index);
        Ok(index)
    }

    /// The version the transaction counts as generated on: the newest statement's, as long as no table that it has touched
    /// was declared otherwise in between. So opening a sequence on the way does not end the transaction.
    fn follow_schema(&mut self, new: &Schema) {
        let (Some(version), Some(last)) = (self.schema_version, self.statements.last()) else {
            self.schema_version = Some(new.version);
            return;
        };
        let old = last.pin.schema();
        if self.schema.is_some() || old.version != version || new.version == version {
            return;
        }
        let same = |id: TableId| matches!((old.table(id), new.table(id)), (Some(a), Some(b)) if a.version == b.version);
        let read = self.reads.iter().filter_map(|(_, item)| match item {
            Item::Row { table, .. }
            | Item::Cells { table, .. }
            | Item::IndexKey { table, .. }
            | Item::Range { table, .. }
            | Item::Table { table } => Some(*table),
            Item::Catalogue | Item::Sequence { .. } => None,
        });
        if self.overlay.tables().map(|(id, _)| id).chain(read).all(same) {
            self.schema_version = Some(new.version);
        }
    }

    /// The row under `key` as this transaction sees it.
    pub fn get(&self, table: &Table, key: &Key) -> Result<Option<Row>> {
        if let Some(touched) = self.overlay.touched(table.id, key) {
            return Ok(touched.current.clone());
        }
        match &self.snapshot {
            Some(snapshot) if snapshot.schema().tables.contains_key(&table.id) => {
                snapshot.get(table.id, key).map_err(engine_error)
            }
            _ => Ok(None),
        }
    }

    /// Inserts a row whose key is not there (the caller has checked).
    pub fn insert(&mut self, table: &Arc<Table>, key: Key, row: Row) -> Result<()> {
        let mut touched = self.touch(table, &key)?;
        if touched.base.is_some() && touched.current.is_none() {
            touched.reborn = true;
        }
        touched.written = self.statement()?;
        touched.current = Some(row);
        self.put(table, key, touched);
        Ok(())
    }

    /// Writes cells of a row that is there, as [`Transaction::touch`] has found it; `row` is the row after them.
    pub fn update(
        &mut self,
        table: &Arc<Table>,
        key: Key,
        mut touched: Touched,
        row: Row,
        cells: Vec<(ColumnId, Cell)>,
    ) -> Result<()> {
        if touched.base.is_some() && !touched.reborn {
            for (column, cell) in cells {
                touched.write(column, cell);
            }
        }
        touched.current = Some(row);
        self.put(table, key, touched);
        Ok(())
    }

    /// Deletes a row that is there.
    pub fn delete(&mut self, table: &Arc<Table>, key: Key, key_update: bool) -> Result<()> {
        let mut touched = self.touch(table, &key)?;
        touched.current = None;
        touched.key_update |= key_update;
        self.put(table, key, touched);
        Ok(())
    }

    /// Marks a row's insert as part of a PRIMARY KEY update.
    pub fn mark_key_update(&mut self, table: &Arc<Table>, key: Key) -> Result<()> {
        let mut touched = self.touch(table, &key)?;
        touched.key_update = true;
        self.put(table, key, touched);
        Ok(())
    }

    /// A row as it is for this transaction: from the overlay, or from the snapshot with its incarnations. Nothing is written.
    pub fn touch(&mut self, table: &Arc<Table>, key: &Key) -> Result<Touched> {
        let statement = self.statement()?;
        if let Some(touched) = self.overlay.touched(table.id, key) {
            return Ok(touched.clone());
        }
        let mut base = None;
        if let Some(snapshot) = self.snapshot.as_ref().filter(|s| s.schema().tables.contains_key(&table.id))
            && let Some(state) = snapshot.state(table.id, key).map_err(engine_error)?
            && let Some(row) = state.view(table)
        {
            base = Some(Base { row, of: state.live(table) });
        }
        Ok(Touched::new(base, statement))
    }

    fn put(&mut self, table: &Arc<Table>, key: Key, touched: Touched) {
        let previous = Arc::make_mut(&mut self.overlay).put(table, &key, touched);
        self.journal.push(Undo { table: table.clone(), key, previous });
    }

    /// The net effect, with everything the classifier needs.
    pub fn draft(&self, host: &dyn Host) -> Draft {
        let schema = match (&self.schema, &self.snapshot) {
            (Some(schema), _) => schema.clone(),
            (None, Some(snapshot)) => snapshot.schema().clone(),
            (None, None) => host.snapshot().schema().clone(),
        };
        let mut statements: Vec<Frontier> = self.statements.iter().map(|s| s.frontier.clone()).collect();
        if statements.is_empty() {
            statements.push(match &self.snapshot {
                Some(snapshot) => snapshot.frontier().clone(),
                None => host.frontier(),
            });
        }
        let mut ops = draft::schema_ops(&self.schema_changes);
        ops.extend(draft::row_ops(&schema, &self.overlay));
        Draft {
            statements,
            schema_version: self.schema_version.unwrap_or(schema.version),
            ops,
            minted: self.minted.clone(),
            reads: to_reads(&self.reads),
            locks: to_reads(&self.locks),
        }
    }

    /// The draft's colour, the `gemini.color` setting applied: forced red, or refused because it is asserted to be blue.
    pub fn classify(&self, schema: &Schema, draft: &Draft) -> Result<Classification> {
        let mut classification = gemini_shadow_ops::classify::classify(schema, draft);
        match self.options.color {
            ColorSetting::Auto => {}
            ColorSetting::Red => classification.force_red(),
            ColorSetting::Blue if classification.color == Color::Red => {
                let reasons: Vec<String> =
                    classification.reasons.iter().map(|r| crate::exec::color::reason(schema, r)).collect();
                return Err(SqlError::new(
                    sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    "the transaction is red, but gemini.color is \"blue\"",
                )
                .detail(reasons.join("\n"))
                .hint("EXPLAIN (COLOR) names the annotation that would make each statement blue."));
            }
            ColorSetting::Blue => {}
        }
        Ok(classification)
    }

    /// What is handed to the site; None if there is nothing to commit (and, under `color = red`, nothing was read).
    pub fn submission(
        &self,
        host: &dyn Host,
        durability: Durability,
        timeout: Option<u64>,
    ) -> Result<Option<Submission>> {
        let forced = self.options.color == ColorSetting::Red && !self.reads.is_empty();
        if !self.has_effects() && !forced {
            return Ok(None);
        }
        let draft = self.draft(host);
        let schema = match (&self.schema, &self.snapshot) {
            (Some(schema), _) => schema.clone(),
            (None, Some(snapshot)) => snapshot.schema().clone(),
            (None, None) => host.snapshot().schema().clone(),
        };
        let classification = self.classify(&schema, &draft)?;
        // Less than certification reads: plain lww writes, deltas, max and min never conflict at home.
        let local_reads = self.local_reads(&gemini_shadow_ops::local_items(&draft, &schema));
        Ok(Some(Submission {
            transaction: shadow_transaction(host.site(), draft),
            classification,
            local_reads,
            minted: self.minted_values.iter().copied().collect(),
            explicit: self.explicit_values.iter().copied().collect(),
            asserted_blue: self.options.color == ColorSetting::Blue,
            durability,
            timeout,
            about: None,
        }))
    }

    fn local_reads(&self, reads: &[Read]) -> Vec<LocalRead> {
        reads
            .iter()
            .filter_map(|read| {
                let at = self.statements.get(usize::from(read.statement))?;
                // What the transaction has declared itself nobody else can have changed.
                if self.schema.is_some() && !known(at.pin.schema(), &read.item) {
                    return None;
                }
                Some(LocalRead { item: read.item.clone(), seq: at.seq })
            })
            .collect()
    }
}

/// Whether a schema has what an item is of.
fn known(schema: &Schema, item: &Item) -> bool {
    match item {
        Item::IndexKey { table, index, .. } | Item::Range { table, index, .. } => {
            schema.table(*table).is_some_and(|t| t.index(*index).is_some())
        }
        Item::Row { table, .. } | Item::Cells { table, .. } | Item::Table { table } => {
            schema.table(*table).is_some()
        }
        Item::Catalogue => true,
        Item::Sequence { sequence } => schema.sequence(*sequence).is_some(),
    }
}

fn to_reads(items: &BTreeSet<(u16, Item)>) -> Vec<Read> {
    items.iter().map(|(statement, item)| Read { statement: *statement, item: item.clone() }).collect()
}

fn shadow_transaction(origin: SiteId, draft: Draft) -> ShadowTransaction {
    ShadowTransaction {
        origin,
        statements: draft.statements,
        deps: Frontier::default(),
        stamp: Stamp { hlc: Hlc::default(), site: origin },
        schema_version: draft.schema_version,
        ops: draft.ops.into_iter().map(|op| ShadowOp { statement: op.statement, op: op.op }).collect(),
    }
}

/// An error of the engine, as a client is told.
pub fn engine_error(error: gemini_engine::Error) -> SqlError {
    let state = match error.remedy() {
        gemini_engine::Remedy::Retry => sqlstate::SNAPSHOT_TOO_OLD,
        gemini_engine::Remedy::Space => sqlstate::DISK_FULL,
        gemini_engine::Remedy::User => sqlstate::PROGRAM_LIMIT_EXCEEDED,
        gemini_engine::Remedy::Corrupt => sqlstate::DATA_CORRUPTED,
        gemini_engine::Remedy::FailStop => sqlstate::IO_ERROR,
    };
    SqlError::new(state, error.to_string())
}
