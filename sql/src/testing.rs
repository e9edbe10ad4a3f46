//! A site of one, in memory, for tests of SQL: an engine with its log on a disk that is none, and a red order that nobody else
//! writes. It certifies with the real window, so that refusals and re-runs can be tried.
//!
//! `gemini advise` tries schemas out on it. It serves nobody: it has no threads, and commits while the caller waits.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use gemini_engine::log::LogOptions;
use gemini_engine::{Engine, LocalRead, MemDisk, MemStore, Options, Reader, Seq, Snapshot};
use gemini_shadow_ops::{
    Color, DataType, Dot, Entry, EntryId, Frontier, Hlc, Item, Op, RedTransaction, Schema, SequenceId,
    ShadowTransaction, SiteId, Stamp, TableId, TxnId, Value, Verdict, Window,
};
use parking_lot::Mutex;

use crate::host::{CommitError, Committed, Freshness, Host, Submission, TransactionStatus, Wait};

const SITE: SiteId = SiteId(1);
/// Minting class and number of classes.
const CLASS: (u32, u32) = (0, 32);

/// A site of one.
pub struct LocalHost {
    inner: Mutex<Inner>,
    reader: Reader,
    disk: MemDisk,
    /// µs since 2000; moves by one with every look, so that tests repeat.
    now: AtomicI64,
    /// Set: time passes as it does outside too.
    began: Option<std::time::Instant>,
    random: AtomicU64,
    /// How old the news from elsewhere are, µs.
    age: AtomicI64,
}

struct Inner {
    engine: Engine,
    window: Window,
    n: u64,
    r: u64,
    stamp: u64,
    minted: BTreeMap<SequenceId, i64>,
    statuses: BTreeMap<EntryId, TxnId>,
    last: Option<Color>,
    /// Refuse this many commits as if another one had come first: to see re-runs.
    interfere: u32,
    /// Refuse this many as certification does.
    refuse: u32,
    /// Pauses asked for, µs.
    pauses: Vec<u64>,
}

impl LocalHost {
    /// An empty database.
    pub fn new() -> Arc<LocalHost> {
        Arc::new(LocalHost::make(None))
    }

    /// An empty database in which time passes: for timeouts.
    pub fn ticking() -> Arc<LocalHost> {
        Arc::new(LocalHost::make(Some(std::time::Instant::now())))
    }

    fn make(began: Option<std::time::Instant>) -> LocalHost {
        let disk = MemDisk::new();
        // Short segments: a new one is filled with zeros, and a database for one test never fills it.
        let log = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
        let options = Options { log, ..Options::default() };
        let engine = Engine::open(options, Arc::new(disk.clone()), Arc::new(MemStore::new()), &mut |_| {})
            .expect("an empty engine in memory opens");
        let reader = engine.reader();
        let inner = Inner {
            engine,
            window: Window::new(10_000),
            n: 0,
            r: 0,
            stamp: 0,
            minted: BTreeMap::new(),
            statuses: BTreeMap::new(),
            last: None,
            interfere: 0,
            refuse: 0,
            pauses: Vec::new(),
        };
        LocalHost {
            inner: Mutex::new(inner),
            reader,
            disk,
            began,
            // 2026-01-01.
            now: AtomicI64::new(820_540_800_000_000),
            random: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
            age: AtomicI64::new(0),
        }
    }

    /// From now on the news from elsewhere are so old, in microseconds.
    pub fn set_age(&self, micros: i64) {
        self.age.store(micros, Ordering::Relaxed);
    }

    /// The colour of the last commit since this was asked.
    pub fn last_color(&self) -> Option<Color> {
        self.inner.lock().last.take()
    }

    /// Refuses the next `n` commits with a conflict.
    pub fn interfere(&self, n: u32) {
        self.inner.lock().interfere = n;
    }

    /// Refuses the next `n` commits as certification does.
    pub fn refuse(&self, n: u32) {
        self.inner.lock().refuse = n;
    }

    /// The pauses asked for so far, µs.
    pub fn pauses(&self) -> Vec<u64> {
        self.inner.lock().pauses.clone()
    }

    fn commit(&self, submission: Submission) -> Result<Committed, CommitError> {
        let inner = &mut *self.inner.lock();
        let schema = inner.engine.schema();
        if inner.interfere > 0 {
            inner.interfere -= 1;
            return Err(CommitError::Conflict { item: Item::Catalogue, seq: inner.engine.seq() });
        }
        if inner.refuse > 0 {
            inner.refuse -= 1;
            let message = "could not serialize access due to a concurrent change".to_owned();
            return Err(CommitError::Refused { message, item: None });
        }
        if submission.transaction.schema_version != schema.version {
            return Err(CommitError::Conflict { item: Item::Catalogue, seq: inner.engine.seq() });
        }
        inner.validate(&submission.local_reads)?;
        let mut transaction = submission.transaction;
        inner.stamp += 1;
        transaction.deps = inner.engine.applied().clone();
        transaction.stamp = Stamp { hlc: Hlc { micros: inner.stamp, count: 0 }, site: SITE };
        let transaction = Arc::new(transaction);
        let (id, color, seq) = match submission.classification.color {
            Color::Blue => {
                inner.n += 1;
                let dot = Dot { site: SITE, n: inner.n };
                let (_, seq) = inner.engine.commit_blue(dot, transaction).map_err(failed)?;
                (TxnId::Blue(dot), Color::Blue, seq)
            }
            Color::Red => {
                inner.r += 1;
                let id = EntryId { site: SITE, start: 1, counter: inner.r };
                let entry = Arc::new(Entry::Transaction(RedTransaction {
                    id,
                    tables: touched(&transaction, &submission.classification.footprint.reads, &schema),
                    transaction,
                    footprint: submission.classification.footprint,
                }));
                let verdict = inner.window.decide(inner.r, &entry, &schema);
                let (_, seq) = inner.engine.admit_red(inner.r, entry, &verdict).map_err(failed)?;
                if let Verdict::Refused(refusal) = &verdict {
                    self.sync(inner)?;
                    return Err(CommitError::Refused {
                        message: format!("could not serialize access: {refusal:?}"),
                        item: None,
                    });
                }
                inner.statuses.insert(id, TxnId::Red(inner.r));
                (TxnId::Red(inner.r), Color::Red, seq)
            }
        };
        self.sync(inner)?;
        inner.last = Some(color);
        Ok(Committed { id, color, seq })
    }

    fn sync(&self, inner: &mut Inner) -> Result<(), CommitError> {
        if let Some(mut batch) = inner.engine.take_batch() {
            let end = batch.write(&self.disk).map_err(failed)?;
            inner.engine.durable(end);
        }
        Ok(())
    }
}

impl Inner {
    fn validate(&self, reads: &[LocalRead]) -> Result<(), CommitError> {
        match self.engine.validate(reads).map_err(failed)? {
            Ok(()) => Ok(()),
            Err(conflict) => Err(CommitError::Conflict { item: conflict.item, seq: conflict.seq }),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> CommitError {
    CommitError::Rejected { sqlstate: crate::sqlstate::IO_ERROR, message: error.to_string() }
}

/// The versions of the tables that a transaction touches.
fn touched(
    transaction: &ShadowTransaction,
    reads: &[gemini_shadow_ops::Read],
    schema: &Schema,
) -> Vec<(TableId, u64)> {
    let mut tables: BTreeSet<TableId> = BTreeSet::new();
    for op in &transaction.ops {
        if let Op::Insert { table, .. } | Op::Update { table, .. } | Op::Delete { table, .. } = &op.op {
            tables.insert(*table);
        }
    }
    for read in reads {
        match &read.item {
            Item::Row { table, .. }
            | Item::Cells { table, .. }
            | Item::IndexKey { table, .. }
            | Item::Range { table, .. }
            | Item::Table { table } => {
                tables.insert(*table);
            }
            Item::Catalogue | Item::Sequence { .. } => {}
        }
    }
    tables.into_iter().filter_map(|t| Some((t, schema.tables.get(&t)?.version))).collect()
}

impl Host for LocalHost {
    fn snapshot(&self) -> Snapshot {
        self.reader.snapshot()
    }

    fn visible(&self, _seq: Seq) -> Wait<()> {
        Box::pin(std::future::ready(()))
    }

    fn submit(&self, submission: Submission) -> Wait<Result<Committed, CommitError>> {
        Box::pin(std::future::ready(self.commit(submission)))
    }

    fn mint(&self, schema: &Schema, sequence: SequenceId) -> Wait<Result<i64, CommitError>> {
        let result = self.would_mint(schema, sequence, 0);
        if result.is_ok() {
            *self.inner.lock().minted.entry(sequence).or_insert(0) += 1;
        }
        Box::pin(std::future::ready(result))
    }

    fn would_mint(&self, schema: &Schema, sequence: SequenceId, ahead: u64) -> Result<i64, CommitError> {
        let rejected = |message: &str| {
            Err(CommitError::Rejected {
                sqlstate: crate::sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
                message: message.into(),
            })
        };
        match schema.sequences.get(&sequence).map(|s| (s.base, s)) {
            Some((Some(base), sequence)) => {
                let used = self.inner.lock().minted.get(&sequence.id).copied().unwrap_or(0);
                let k = used + i64::try_from(ahead).unwrap_or(i64::MAX);
                let step = i64::from(CLASS.0) + k * i64::from(CLASS.1);
                match base.checked_add(sequence.increment * step) {
                    Some(value) if (sequence.min..=sequence.max).contains(&value) => Ok(value),
                    _ => Err(CommitError::Rejected {
                        sqlstate: crate::sqlstate::SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
                        message: format!("nextval: reached the limit of sequence \"{}\"", sequence.name),
                    }),
                }
            }
            Some((None, _)) => rejected("the sequence is closed"),
            None => rejected("there is no such sequence"),
        }
    }

    /// Time is the clock's that [`Host::now`] shows: nobody waits.
    fn pause(&self, micros: u64) -> Wait<()> {
        self.inner.lock().pauses.push(micros);
        self.now.fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }

    fn now(&self) -> i64 {
        let passed = self.began.map_or(0, |began| i64::try_from(began.elapsed().as_micros()).unwrap_or(0));
        self.now.fetch_add(1, Ordering::Relaxed) + passed
    }

    fn random(&self) -> u64 {
        // SplitMix64: tests repeat.
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn site(&self) -> SiteId {
        SITE
    }

    fn site_name(&self) -> String {
        "local".into()
    }

    fn minting_class(&self) -> (u32, u32) {
        CLASS
    }

    fn transaction_status(&self, id: EntryId) -> TransactionStatus {
        self.inner
            .lock()
            .statuses
            .get(&id)
            .map_or(TransactionStatus::Unknown, |id| TransactionStatus::Committed(*id))
    }

    fn frontier(&self) -> Frontier {
        self.reader.snapshot().frontier().clone()
    }

    fn freshness(&self) -> Freshness {
        let age = self.age.load(Ordering::Relaxed);
        Freshness { as_of: self.now().saturating_sub(age), oldest: Some("elsewhere".to_owned()) }
    }

    fn view(&self, name: &str) -> Option<(Vec<(&'static str, DataType)>, Vec<Vec<Value>>)> {
        match name {
            "sites" => Some((vec![("name", DataType::Text)], vec![vec![Value::text("local")]])),
            _ => None,
        }
    }
}

/// Polls a future to its end on this thread. The host's futures here are ready at once, so a future that is not has only
/// yielded.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// Runs a text in a session and prints what it says, a line each: notices, rows, tags, the error.
pub fn run(session: &mut crate::session::Session, text: &str) -> String {
    use std::fmt::Write;
    let mut client = crate::session::Collected::default();
    let result = block_on(session.simple(text, &mut client));
    let environment = session.environment();
    let mut out = String::new();
    for notice in &client.notices {
        let _ = writeln!(out, "{:?}: {}", notice.severity, notice.fields.message);
    }
    for row in &client.rows {
        let texts: Vec<String> = row
            .iter()
            .zip(&client.columns)
            .map(|(value, column)| match value {
                Value::Null => "NULL".to_string(),
                value => {
                    let context = crate::expr::EvalContext::new(&[], &*environment);
                    crate::expr::text::output_in(value, &column.ty, &context)
                }
            })
            .collect();
        let _ = writeln!(out, "{}", texts.join("|"));
    }
    out.push_str(&String::from_utf8_lossy(&client.copied));
    for tag in &client.tags {
        let _ = writeln!(out, "{tag}");
    }
    if let Err(error) = result {
        let _ = writeln!(out, "{} {}", error.sqlstate, error.message);
        for (name, text) in [("detail", &error.detail), ("hint", &error.hint)] {
            if let Some(text) = text {
                let _ = writeln!(out, "  {name}: {text}");
            }
        }
    }
    out
}
