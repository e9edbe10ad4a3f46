//! A small workload with folds and a checkpoint, stopped at every point at which something reaches the disk or the store.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use gemini_engine::store::{Changes, Pair, Span};
use gemini_engine::{Digest, Error, MemDisk, MemStore, Options, Store, StoreKind};
use gemini_shadow_ops::SchemaChange;
use parking_lot::Mutex;

/// What both disk and store hold at some point.
type Moment = (MemDisk, MemStore);

/// A store that keeps a copy of everything before each of its writes and flushes.
struct Watching {
    inner: MemStore,
    disk: MemDisk,
    moments: Mutex<Vec<Moment>>,
}

impl Watching {
    fn keep(&self) {
        self.moments.lock().push((self.disk.fork(), self.inner.fork()));
    }
}

impl Store for Watching {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.inner.get(key)
    }
    fn range(&self, span: &Span, reverse: bool, limit: usize) -> Result<Vec<Pair>, Error> {
        self.inner.range(span, reverse, limit)
    }
    fn apply(&self, changes: Changes) -> Result<(), Error> {
        self.keep();
        self.inner.apply(changes)
    }
    fn flush(&self) -> Result<(), Error> {
        self.keep();
        self.inner.flush()
    }
    fn size(&self) -> Result<u64, Error> {
        self.inner.size()
    }
}

fn small() -> Options {
    Options { memory: 10_000, ..options() }
}

/// Commits, folds and makes checkpoints; calls `at` after every group commit.
fn workload(site: &mut Site, mut at: impl FnMut(&Site)) {
    site.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    at(site);
    for round in 0..6i64 {
        for n in 0..25 {
            let id = round * 20 + n;
            let visible = site.snapshot();
            let op = match live(&visible, TABLE, id).is_empty() {
                true => insert(TABLE, id, &format!("name {id}")),
                false if n % 2 == 0 => delete(&visible, TABLE, id),
                false => rename(&visible, TABLE, id, "again"),
            };
            site.blue(vec![op]);
            site.sync();
            at(site);
        }
        if round == 1 {
            site.ddl(SchemaChange::AddIndex { table: TABLE, index: index(BY_SUM, &[2]) });
            at(site);
        }
        if round == 4 {
            site.ddl(SchemaChange::DropIndex { table: TABLE, index: BY_SUM });
            at(site);
        }
        site.engine.checkpoint(vec![]);
        site.fold_all();
        if let Some(from) = site.engine.checkpointed().expect("log") {
            site.engine.cut(from);
        }
    }
    site.sync();
    at(site);
}

#[test]
fn every_point_at_which_the_store_changes_is_a_good_one_to_stop_at() {
    let disk = MemDisk::new();
    let watching = Arc::new(Watching {
        inner: MemStore::crashing(),
        disk: disk.clone(),
        moments: Mutex::new(Vec::new()),
    });
    let mut site = Site::open(small(), disk, watching.clone()).expect("open");
    let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
    workload(&mut site, |site| {
        let snapshot = site.snapshot();
        digests.insert(snapshot.frontier().to_string(), snapshot.digest().expect("digest"));
    });
    drop(site);
    let moments = std::mem::take(&mut *watching.moments.lock());
    assert!(moments.len() > 15, "the workload makes the store work");
    for (number, (disk, store)) in moments.into_iter().enumerate() {
        // Of what the store was not asked to make durable: nothing, half, everything.
        for kept in [0, store.unflushed() / 2, store.unflushed()] {
            let (disk, store) = (disk.fork(), store.fork());
            let mut toss = number as u64;
            disk.crash(&mut || {
                toss = toss.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                toss >> 33
            });
            store.crash(kept);
            let site = Site::open(small(), disk, Arc::new(store));
            let site = site.unwrap_or_else(|e| panic!("stopped at {number}, {kept} kept: {e}"));
            let snapshot = site.snapshot();
            let known = digests.get(&snapshot.frontier().to_string());
            let digest = snapshot.digest().expect("digest");
            assert_eq!(known, Some(&digest), "stopped at {number}, {kept} kept, at {}", snapshot.frontier());
        }
    }
}

/// A folder of its own, removed when dropped.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(std::env::temp_dir().join(format!("gemini-engine-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn stores_on_disk_hold_what_the_memory_store_holds_over_several_starts() {
    let mut twin = Site::open(small(), MemDisk::new(), Arc::new(MemStore::new())).expect("open");
    workload(&mut twin, |_| {});
    let expected = twin.snapshot().digest().expect("digest");
    for kind in [StoreKind::Fjall, StoreKind::Sled] {
        let folder = Folder::new(kind.name());
        let disk = MemDisk::new();
        for start in 0..3 {
            let store = kind.open(&folder.0, 1 << 20).expect("the store opens");
            let mut site = Site::open(small(), disk.clone(), store).expect("open");
            if start == 0 {
                workload(&mut site, |_| {});
            }
            assert_eq!(site.snapshot().digest().expect("digest"), expected, "{kind:?}, start {start}");
        }
    }
}

#[test]
fn a_check_finds_all_well_and_then_what_was_spoilt() {
    let folder = Folder::new("check");
    let (log, store) = (folder.0.join("log"), folder.0.join("store"));
    let disk = Arc::new(gemini_engine::RealDisk::open(&log).expect("disk"));
    let open = || {
        let store = StoreKind::default().open(&store, 1 << 20).expect("the store opens");
        gemini_engine::Engine::open(small(), disk.clone(), store, &mut |_| {}).expect("open")
    };
    let mut engine = open();
    let mut site = Site::open(small(), MemDisk::new(), Arc::new(MemStore::new())).expect("open");
    std::mem::swap(&mut engine, &mut site.engine);
    drop(engine);
    workload_on(&mut site, &*disk);
    let digest = site.snapshot().digest().expect("digest");
    drop(site);
    let report = gemini_engine::check::check(&log, &store, &std::env::temp_dir()).expect("check");
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.digest, Some(digest));
    assert!(report.rebuilt && report.tables.len() == 1 && report.tables[0].rows == 50);
    assert_eq!(report.tables[0].entries, 50);
    // One index entry is taken from the store behind the engine's back.
    let spoilt = StoreKind::default().open(&store, 1 << 20).expect("the store opens");
    let (key, _) = spoilt.range(&Span::prefix(vec![b'x']), false, 1).expect("range").pop().expect("an entry");
    let mut changes = Changes::default();
    changes.remove(key);
    spoilt.apply(changes).expect("apply");
    spoilt.flush().expect("flush");
    drop(spoilt);
    let report = gemini_engine::check::check(&log, &store, &std::env::temp_dir()).expect("check");
    assert!(report.problems.iter().any(|p| p.contains("lacks the row")), "{:?}", report.problems);
}

/// A few rows, a checkpoint of them, and a tail behind it, on a disk of one's own.
fn workload_on(site: &mut Site, disk: &dyn gemini_engine::Disk) {
    let sync = |site: &mut Site| {
        while let Some(mut batch) = site.engine.take_batch() {
            let end = batch.write(disk).expect("the batch is written");
            site.engine.durable(end);
        }
    };
    site.red(vec![gemini_shadow_ops::Op::Schema(SchemaChange::CreateTable(table(TABLE, 2)))]);
    sync(site);
    for id in 0..50 {
        site.blue(vec![insert(TABLE, id, &format!("name {id}"))]);
    }
    sync(site);
    site.engine.checkpoint(vec![]);
    site.fold_all();
    site.engine.checkpointed().expect("log");
    let visible = site.snapshot();
    site.blue(vec![rename(&visible, TABLE, 3, "three")]);
    sync(site);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let store = MemStore::new();
    let mut site = Site::open(small(), MemDisk::new(), Arc::new(store.clone())).expect("open");
    workload(&mut site, |_| {});
    let manifest = store.range(&Span::prefix(vec![b'm']), false, 1).expect("range").pop();
    let (key, mut value) = manifest.expect("a checkpoint was made");
    value[0] += 1;
    let mut changes = Changes::default();
    changes.put(key.clone(), value.clone());
    store.apply(changes).expect("apply");
    let size = store.size();
    let error = site.reopen(small()).map(|_| ()).expect_err("it is newer");
    assert!(matches!(&error, Error::Newer { .. }), "{error}");
    assert!(error.to_string().contains("Start that version or a later one"), "{error}");
    assert_eq!((store.get(&key), store.size()), (Ok(Some(value)), size));
}

#[test]
fn a_store_without_room_is_left_alone_until_there_is_some() {
    let store = MemStore::crashing();
    let mut site = Site::open(small(), MemDisk::new(), Arc::new(store.clone())).expect("open");
    site.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    for id in 0..40 {
        site.blue(vec![insert(TABLE, id, "before")]);
    }
    site.sync();
    store.set_full(true);
    let before = store.size();
    assert!(site.engine.checkpoint(vec![1]));
    for round in 0..3 {
        assert_eq!(site.engine.fold(100), Err(Error::Full));
        assert!(site.engine.full(), "the site is to refuse its clients");
        // What other sites send, and what is read, goes on.
        site.blue(vec![insert(TABLE, 100 + round, "meanwhile")]);
        site.sync();
        assert!(site.snapshot().get(TABLE, &pk(100 + round)).expect("get").is_some());
    }
    assert_eq!(store.size(), before, "nothing was written");
    assert_eq!(site.engine.checkpointed(), Ok(None));
    store.set_full(false);
    site.fold_all();
    assert!(!site.engine.full());
    assert!(site.engine.checkpointed().expect("log").is_some());
    let digest = site.snapshot().digest();
    site.disk.crash(&mut || 0);
    store.crash(store.unflushed());
    let site = site.reopen(small()).expect("reopen");
    assert_eq!(site.snapshot().digest(), digest);
}
