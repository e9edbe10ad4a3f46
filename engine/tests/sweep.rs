//! The crash sweep: one workload, stopped at every write and every sync of the log's disk and at every write and flush of
//! the store, in several ways each. Whatever was not synced is kept, lost, torn or reordered; then the engine opens
//! again and must hold exactly what was acknowledged and perhaps whole transactions more.
//!
//! ```text
//!   record   one undisturbed run: the steps (transactions, admissions, red entries, schema changes, group commits,
//!            folds, checkpoints, cuts of the log) and what the tables are worth at every frontier
//!   sweep    for n = 1, 2, …: the same steps until operation n fails; the power goes; open; compare; go on
//! ```
//!
//! A failure names the cut and the variant, and both repeat.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use gemini_engine::disk::Fault;
use gemini_engine::log::LogOptions;
use gemini_engine::store::{Changes, Pair, Span};
use gemini_engine::{Digest, Engine, Error, KeyRange, MemDisk, MemStore, Options, Record, Snapshot, Store};
use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{
    Dot, Entry, EntryId, Hlc, IndexId, Key, Op, SchemaChange, ShadowTransaction, SiteId, Stamp, TableId,
    TxnId, Value, Verdict,
};

/// Another site, whose transactions are received.
const PEER: SiteId = SiteId(2);

/// How often each cut is made, with another fate for what was not synced.
const VARIANTS: u64 = 3;

fn tight() -> Options {
    let log =
        LogOptions { segment_bytes: 8192, create: true, identity: 7, spares: 1, ..LogOptions::default() };
    Options { log, memory: 8_000, ..options() }
}

/// What the workload does next.
#[derive(Clone)]
enum Step {
    Commit(Dot, Arc<ShadowTransaction>),
    Receive(Dot, Arc<ShadowTransaction>),
    Admit(Dot, Arc<ShadowTransaction>),
    Red(u64, Arc<Entry>, Verdict),
    /// A record of the site's own, which the next checkpoint's state stands for.
    Note(u64),
    /// One group commit, and the housekeeping that was due.
    Sync,
    Checkpoint,
    Fold,
    /// The log goes as far as a finished checkpoint allows.
    Cut,
}

/// The undisturbed run.
#[derive(Default)]
struct Recording {
    steps: Vec<Step>,
    /// What the tables are worth, by frontier.
    digests: BTreeMap<String, Digest>,
    /// Every frontier, in order.
    order: Vec<String>,
}

/// Makes the workload while running it.
struct Recorder {
    site: Site,
    recording: Recording,
    notes: u64,
}

impl Recorder {
    fn new() -> Recorder {
        let site = Site::open(tight(), MemDisk::new(), Arc::new(MemStore::new())).expect("open");
        let mut recorder = Recorder { site, recording: Recording::default(), notes: 0 };
        recorder.remember();
        recorder
    }

    /// Every transaction is synced at once here, so that each frontier is seen; the sweep groups as [`Step::Sync`] says.
    fn remember(&mut self) {
        self.site.sync();
        let snapshot = self.site.snapshot();
        let frontier = snapshot.frontier().to_string();
        self.recording.digests.insert(frontier.clone(), snapshot.digest().expect("digest"));
        self.recording.order.push(frontier);
    }

    fn blue(&mut self, ops: Vec<Op>) {
        let transaction = self.site.transaction(ops);
        let dot = Dot { site: SITE, n: self.site.engine.applied().blue(SITE) + 1 };
        self.site.engine.commit_blue(dot, transaction.clone()).expect("commits");
        self.recording.steps.push(Step::Commit(dot, transaction));
        self.remember();
    }

    /// What the peer committed having seen what is here, received and not yet admitted.
    fn receive(&mut self, n: u64, ops: Vec<Op>) -> (Dot, Arc<ShadowTransaction>) {
        let mine = self.site.transaction(ops);
        let stamp = Stamp { hlc: Hlc { micros: self.site.time, count: 1 }, site: PEER };
        let theirs = Arc::new(ShadowTransaction { origin: PEER, stamp, ..(*mine).clone() });
        let dot = Dot { site: PEER, n };
        let record = Record::Blue { dot, transaction: theirs.clone(), local: false };
        self.site.engine.append(record).expect("appends");
        self.recording.steps.push(Step::Receive(dot, theirs.clone()));
        (dot, theirs)
    }

    fn admit(&mut self, (dot, transaction): (Dot, Arc<ShadowTransaction>)) {
        self.site.engine.admit_blue(dot, &transaction).expect("admits");
        self.recording.steps.push(Step::Admit(dot, transaction));
        self.remember();
    }

    fn red(&mut self, ops: Vec<Op>, verdict: Verdict) {
        let transaction = self.site.transaction(ops);
        let r = self.site.engine.applied().red + 1;
        let id = EntryId { site: SITE, start: 1, counter: r };
        let entry = Arc::new(Entry::Transaction(gemini_shadow_ops::RedTransaction {
            id,
            transaction,
            footprint: gemini_shadow_ops::Footprint::default(),
            tables: vec![],
        }));
        self.site.engine.admit_red(r, entry.clone(), &verdict).expect("applies");
        self.recording.steps.push(Step::Red(r, entry, verdict));
        self.remember();
    }

    fn note(&mut self) {
        self.notes += 1;
        self.step(Step::Note(self.notes));
    }

    fn step(&mut self, step: Step) {
        self.recording.steps.push(step);
    }

    fn change(&self, n: i64) -> Op {
        let visible = self.site.snapshot();
        match live(&visible, TABLE, n).is_empty() {
            true => insert(TABLE, n, &format!("name {n} {}", "x".repeat(70 * (n as usize % 9)))),
            false if n % 3 == 0 => delete(&visible, TABLE, n),
            false if n % 3 == 1 => add(&visible, TABLE, n, n + 1),
            false => rename(&visible, TABLE, n, "again"),
        }
    }
}

/// Some hundred transactions over several segments, checkpoints and schemas.
fn record() -> Recording {
    let other = TableId(10);
    let mut run = Recorder::new();
    let schema = |change| vec![Op::Schema(change)];
    run.red(schema(SchemaChange::CreateTable(table(TABLE, 2))), Verdict::Accepted);
    run.step(Step::Sync);
    for round in 0..7i64 {
        for n in 0..9 {
            let op = run.change(round * 5 + n);
            run.blue(vec![op]);
            if n % 3 == 1 {
                run.note();
            }
            if n % 2 == 1 {
                run.step(Step::Sync);
            }
        }
        let waiting = run.receive(round as u64 + 1, vec![insert(TABLE, 1000 + round, "from afar")]);
        match round {
            1 => run.red(
                schema(SchemaChange::AddIndex { table: TABLE, index: index(BY_SUM, &[2]) }),
                Verdict::Accepted,
            ),
            2 => run.red(schema(SchemaChange::CreateTable(table(other, 12))), Verdict::Accepted),
            3 => run.red(vec![insert(other, 1, "one"), insert(other, 2, "two")], Verdict::Accepted),
            4 => run.red(schema(SchemaChange::DropIndex { table: TABLE, index: BY_SUM }), Verdict::Accepted),
            5 => run.red(schema(SchemaChange::DropTable(other)), Verdict::Accepted),
            _ => run.red(vec![insert(TABLE, 2000 + round, "never")], Verdict::Void),
        }
        run.step(Step::Checkpoint);
        run.step(Step::Sync);
        run.step(Step::Fold);
        run.admit(waiting);
        run.step(Step::Fold);
        run.step(Step::Sync);
        run.step(Step::Cut);
        run.step(Step::Sync);
    }
    run.recording
}

/// How far a run came before it was stopped.
#[derive(Default)]
struct Reached {
    /// Transactions appended, and of them those that a sync has acknowledged (as places in [`Recording::order`]).
    appended: usize,
    acknowledged: usize,
    /// Notes, the same.
    noted: u64,
    noted_durably: u64,
}

fn run(
    recording: &Recording,
    engine: &mut Engine,
    disk: &MemDisk,
    reached: &mut Reached,
) -> Result<(), Error> {
    for step in &recording.steps {
        match step {
            Step::Commit(dot, transaction) => _ = engine.commit_blue(*dot, transaction.clone())?,
            Step::Receive(dot, transaction) => {
                engine.append(Record::Blue { dot: *dot, transaction: transaction.clone(), local: false })?;
            }
            Step::Admit(dot, transaction) => _ = engine.admit_blue(*dot, transaction)?,
            Step::Red(r, entry, verdict) => _ = engine.admit_red(*r, entry.clone(), verdict)?,
            Step::Note(n) => {
                engine.append(Record::Note { kind: 1, body: n.to_le_bytes().to_vec() })?;
                reached.noted = *n;
            }
            Step::Sync => {
                sync(engine, disk)?;
                reached.acknowledged = reached.appended;
                reached.noted_durably = reached.noted;
            }
            Step::Checkpoint => _ = engine.checkpoint(reached.noted.to_le_bytes().to_vec()),
            Step::Fold => while engine.fold(40)?.more {},
            Step::Cut => {
                if let Some(from) = engine.checkpointed()? {
                    engine.cut(from);
                }
            }
        }
        if matches!(step, Step::Commit(..) | Step::Admit(..) | Step::Red(..)) {
            reached.appended += 1;
        }
    }
    Ok(())
}

fn sync(engine: &mut Engine, disk: &MemDisk) -> Result<(), Error> {
    while let Some(mut batch) = engine.take_batch() {
        let end = batch.write(disk)?;
        engine.durable(end);
    }
    if let Some(upkeep) = engine.take_upkeep() {
        upkeep.run(disk)?;
    }
    Ok(())
}

/// A store whose n-th write or flush fails, and every one after it.
#[derive(Clone)]
struct Failing {
    inner: MemStore,
    left: Arc<AtomicU64>,
}

impl Failing {
    fn at(n: u64) -> Failing {
        Failing { inner: MemStore::crashing(), left: Arc::new(AtomicU64::new(n)) }
    }

    fn operation(&self) -> Result<(), Error> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1).max(1), Ordering::Relaxed);
        if left == 1 { Err(Error::store("the device is gone (simulated)")) } else { Ok(()) }
    }
}

impl Store for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.inner.get(key)
    }
    fn range(&self, span: &Span, reverse: bool, limit: usize) -> Result<Vec<Pair>, Error> {
        self.inner.range(span, reverse, limit)
    }
    fn apply(&self, changes: Changes) -> Result<(), Error> {
        self.operation().and_then(|()| self.inner.apply(changes))
    }
    fn flush(&self) -> Result<(), Error> {
        self.operation().and_then(|()| self.inner.flush())
    }
    fn size(&self) -> Result<u64, Error> {
        self.inner.size()
    }
}

/// Random numbers from a seed (splitmix64).
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Opens, and gives the newest note that was found: in the checkpoint's state or in a record.
fn open(disk: &MemDisk, store: &MemStore) -> Result<(Engine, u64), Error> {
    let mut noted = 0;
    let engine = Engine::open(tight(), Arc::new(disk.clone()), Arc::new(store.clone()), &mut |replay| {
        if replay.begins {
            noted = 0;
        }
        if let Record::Note { body, .. } = replay.record {
            noted = noted.max(number(body));
        }
    })?;
    let noted = noted.max(engine.recovered_state().map_or(0, number));
    Ok((engine, noted))
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

/// One cut, one fate: everything that must hold afterwards. `name` is for failures.
fn judge(recording: &Recording, reached: &Reached, disk: &MemDisk, store: &MemStore, name: &str) {
    let (mut engine, noted) = open(disk, store).unwrap_or_else(|e| panic!("{name}: {e}"));
    let snapshot = engine.reader().snapshot();
    let at = snapshot.frontier().to_string();
    let place = recording.order.iter().position(|known| *known == at);
    let place = place.unwrap_or_else(|| panic!("{name}: opened at {at}, where the workload never was"));
    assert!(
        place >= reached.acknowledged,
        "{name}: {at} was found, {} was acknowledged",
        reached.acknowledged
    );
    assert!(place <= reached.appended, "{name}: {at} was found and never appended");
    assert!(
        noted >= reached.noted_durably && noted <= reached.noted,
        "{name}: note {noted} of {}",
        reached.noted
    );
    let digest = snapshot.digest().expect("digest");
    assert_eq!(recording.digests.get(&at), Some(&digest), "{name}: the tables at {at}");
    indexes_equal_tables(&snapshot, name);

    // The store is a cache: without it the log comes to the same, or says that it cannot.
    let (bare, nothing) = (disk.fork(), MemStore::new());
    match open(&bare, &nothing) {
        Ok((rebuilt, _)) => {
            assert_eq!(rebuilt.reader().snapshot().digest(), Ok(digest.clone()), "{name}: rebuilt")
        }
        Err(Error::Unfilled { message }) => {
            assert!(engine.log_reader().first().0 > 4096, "{name}: {message}");
            assert!(message.contains("no longer reaches back"), "{name}: {message}");
        }
        Err(other) => panic!("{name}: {other}"),
    }

    // It goes on, and what it goes on with is there as well.
    let dot = Dot { site: SITE, n: engine.applied().blue(SITE) + 1 };
    let transaction = ShadowTransaction {
        origin: SITE,
        statements: vec![engine.applied().clone()],
        deps: engine.applied().clone(),
        stamp: Stamp { hlc: Hlc { micros: 9_000_000, count: 0 }, site: SITE },
        schema_version: engine.schema().version,
        ops: vec![gemini_shadow_ops::ShadowOp { statement: 0, op: insert(TABLE, 5000, "after") }],
    };
    engine.commit_blue(dot, Arc::new(transaction)).unwrap_or_else(|e| panic!("{name}: {e}"));
    sync(&mut engine, disk).unwrap_or_else(|e| panic!("{name}: {e}"));
    let after = engine.reader().snapshot().digest();
    drop((snapshot, engine));
    let (again, _) = open(disk, store).unwrap_or_else(|e| panic!("{name}, opened again: {e}"));
    assert!(again.applied().covers(TxnId::Blue(dot)), "{name}");
    assert_eq!(again.reader().snapshot().digest(), after, "{name}: opened again");
}

/// Every index holds an entry for each of its table's rows, and nothing else.
fn indexes_equal_tables(snapshot: &Snapshot, name: &str) {
    for (id, table) in &snapshot.schema().tables {
        let rows = snapshot.scan(*id, &KeyRange::all(), false, 10_000).expect("scan");
        for index in table.indexes.iter().skip(1) {
            let mut wanted: Vec<(Key, Key)> = rows
                .iter()
                .map(|(key, row)| {
                    let cells: Vec<Value> =
                        index.columns.iter().map(|c| row[usize::from(c.column.0)].clone()).collect();
                    let entry = [&key::encode_key(&cells).0[..], &key.0[..]].concat();
                    (Key(entry.into()), key.clone())
                })
                .collect();
            wanted.sort();
            let found = entries(snapshot, *id, index.id);
            assert_eq!(found, wanted, "{name}: index {} of table {id}", index.id);
        }
    }
}

fn entries(snapshot: &Snapshot, table: TableId, index: IndexId) -> Vec<(Key, Key)> {
    snapshot.index_scan(table, index, &KeyRange::all(), false, 10_000).expect("index scan")
}

/// Where a run is stopped.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// At this write or sync of the log's disk, counted from 1.
    Disk(u64),
    /// At this write or flush of the store.
    Store(u64),
    /// At this write or sync of the log's disk, and then again in the start that follows: at its first operation on the
    /// disk, or its first or second on the store, as the variant has it.
    Start(u64),
}

/// What a cut left behind.
enum Outcome {
    /// The workload has no such place.
    Done,
    /// The start that was to be stopped has no such operation.
    Undisturbed,
    Stopped(Reached, MemDisk, MemStore),
}

/// Runs until the cut.
fn stopped(recording: &Recording, cut: Cut, variant: u64) -> Outcome {
    let disk = MemDisk::new();
    let (Cut::Disk(n) | Cut::Store(n) | Cut::Start(n)) = cut;
    let store = Failing::at(if matches!(cut, Cut::Store(_)) { n } else { u64::MAX });
    let mut reached = Reached::default();
    if !matches!(cut, Cut::Store(_)) {
        disk.fail(Fault::From(n));
    }
    let opened = Engine::open(tight(), Arc::new(disk.clone()), Arc::new(store.clone()), &mut |_| {});
    let outcome = opened.and_then(|mut engine| run(recording, &mut engine, &disk, &mut reached));
    if outcome.is_ok() {
        return Outcome::Done;
    }
    let mut toss = random(variant << 32 | n);
    let mut crash = || {
        disk.crash(&mut toss);
        let kept = toss() % (store.inner.unflushed() as u64 + 1);
        store.inner.crash(kept as usize);
    };
    crash();
    if matches!(cut, Cut::Start(_)) {
        let again = Failing { left: Arc::new(AtomicU64::new(u64::MAX)), ..store.clone() };
        match variant % VARIANTS {
            0 => disk.fail(Fault::From(1)),
            v => again.left.store(v, Ordering::Relaxed),
        }
        let started = Engine::open(tight(), Arc::new(disk.clone()), Arc::new(again), &mut |_| {});
        if started.is_ok() {
            return Outcome::Undisturbed;
        }
        crash();
    }
    Outcome::Stopped(reached, disk, store.inner)
}

/// Makes cuts of a kind until there are no more; gives how many there were.
fn sweep(recording: &Recording, variants: u64, cut: impl Fn(u64) -> Cut) -> u64 {
    let mut met = 0;
    for n in 1.. {
        for variant in 0..variants {
            match stopped(recording, cut(n), variant) {
                Outcome::Done => return met,
                Outcome::Undisturbed => {}
                Outcome::Stopped(reached, disk, store) => {
                    judge(recording, &reached, &disk, &store, &format!("{:?}, variant {variant}", cut(n)));
                    met += 1;
                }
            }
        }
    }
    met
}

#[test]
fn every_write_and_sync_of_the_log_is_a_good_one_to_stop_at() {
    let cuts = sweep(&record(), VARIANTS, Cut::Disk);
    assert!(cuts > 300, "{cuts}");
}

#[test]
fn every_write_and_flush_of_the_store_is_a_good_one_to_stop_at() {
    let cuts = sweep(&record(), VARIANTS, Cut::Store);
    assert!(cuts > 60, "{cuts}");
}

#[test]
fn every_write_and_sync_of_a_start_is_a_good_one_to_stop_at() {
    let cuts = sweep(&record(), 4 * VARIANTS, Cut::Start);
    assert!(cuts > 40, "{cuts}");
}

/// A row that cannot be read, or a store of nothing but rubbish: the log makes up for it while it reaches back.
#[test]
fn a_damaged_store_is_built_again_or_the_remedy_is_named() {
    let recording = record();
    // With the log whole and the later rounds behind the last checkpoint, or with both as the workload has them.
    let whole = |reaches_back: bool| {
        let (disk, store) = (MemDisk::new(), MemStore::new());
        let (mut engine, _) = open(&disk, &store).expect("open");
        let mut checkpoints = 0;
        let kept = |step: &&Step| match step {
            Step::Checkpoint => {
                checkpoints += 1;
                !reaches_back || checkpoints < 4
            }
            Step::Cut => !reaches_back,
            _ => true,
        };
        let steps = recording.steps.iter().filter(kept).cloned().collect();
        let recording = Recording { steps, ..Recording::default() };
        run(&recording, &mut engine, &disk, &mut Reached::default()).expect("runs");
        let digest = engine.reader().snapshot().digest().expect("digest");
        (disk, store, digest)
    };
    let spoil = |store: &MemStore, tag: u8| {
        let mut changes = Changes::default();
        for (key, _) in store.range(&Span::prefix(vec![tag]), false, 1000).expect("range") {
            changes.put(key, vec![0, 1, 2]);
        }
        assert!(!changes.list.is_empty());
        store.apply(changes).expect("apply");
    };
    for tag in [b'r', b'm'] {
        let (disk, store, digest) = whole(true);
        spoil(&store, tag);
        let (engine, _) = open(&disk, &store).unwrap_or_else(|e| panic!("{}: {e}", char::from(tag)));
        assert_eq!(engine.reader().snapshot().digest(), Ok(digest));
    }
    let (disk, store, _) = whole(false);
    spoil(&store, b'm');
    let size = store.size();
    let error = open(&disk, &store).map(|_| ()).expect_err("the log no longer reaches back");
    assert!(error.to_string().contains("no longer reaches back"), "{error}");
    assert_eq!(store.size(), size, "nothing was changed");
}

#[test]
fn the_workload_visits_what_it_is_meant_to() {
    let recording = record();
    let (disk, store) = (MemDisk::new(), MemStore::crashing());
    let (mut engine, _) = open(&disk, &store).expect("open");
    let mut reached = Reached::default();
    run(&recording, &mut engine, &disk, &mut reached).expect("nothing fails");
    assert_eq!(reached.appended + 1, recording.order.len());
    assert!(engine.log_reader().first().0 > 20_000, "segments were cut: {:?}", engine.log_reader().first());
    assert!(engine.log_reader().end().0 > 30_000, "and recycled: {:?}", engine.log_reader().end());
    let deleted = snapshot_count(&engine.reader().snapshot());
    assert!(deleted.0 > 10 && deleted.1 > 3, "{deleted:?}");
}

/// Live rows, and keys whose every incarnation has ended.
fn snapshot_count(snapshot: &Snapshot) -> (usize, usize) {
    let states = snapshot.scan_states(TABLE, &KeyRange::all(), false, 10_000).expect("scan");
    let live = snapshot.scan(TABLE, &KeyRange::all(), false, 10_000).expect("scan").len();
    (live, states.len() - live)
}
