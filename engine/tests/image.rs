//! Images: written while a site works and folds, installed elsewhere, and damaged in every way.
//!
//! A failure prints its seed: `SEED=n cargo test -p gemini-engine --test image`.

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use gemini_engine::image::{self, Header, ImageError, ImageReader, Origin, Place, Summary};
use gemini_engine::log::BEGINNING;
use gemini_engine::{Engine, Error, KeyRange, Lsn, MemDisk, MemStore, Options, Record, Snapshot, Store};
use gemini_shadow_ops::{
    Dot, Entry, EntryId, Footprint, IndexId, Op, RedTransaction, SchemaChange, ShadowTransaction, TableId,
    Verdict,
};

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % n
    }
}

/// What a site did, to be done again elsewhere.
enum Event {
    Blue(Dot, Arc<ShadowTransaction>),
    Red(u64, Arc<Entry>),
}

/// A site with two tables under random transactions.
struct Source {
    site: Site,
    random: Random,
    events: Vec<Event>,
    next_id: u32,
}

const OTHER: TableId = TableId(20);

impl Source {
    fn new(seed: u64, memory: u64) -> Source {
        let options = Options { memory, ..options() };
        let site = Site::open(options, MemDisk::new(), Arc::new(MemStore::new())).expect("open");
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut source = Source { site, random, events: Vec::new(), next_id: 100 };
        source.red(vec![Op::Schema(SchemaChange::CreateTable(table(TABLE, 2)))]);
        source.red(vec![Op::Schema(SchemaChange::CreateTable(table(OTHER, 21)))]);
        source
    }

    fn blue(&mut self, ops: Vec<Op>) {
        let transaction = self.site.transaction(ops);
        let dot = Dot { site: SITE, n: self.site.engine.applied().blue(SITE) + 1 };
        self.site.engine.commit_blue(dot, transaction.clone()).expect("blue commits");
        self.events.push(Event::Blue(dot, transaction));
        self.site.sync();
    }

    fn red(&mut self, ops: Vec<Op>) {
        let r = self.site.engine.applied().red + 1;
        let entry = Arc::new(Entry::Transaction(RedTransaction {
            id: EntryId { site: SITE, start: 1, counter: r },
            transaction: self.site.transaction(ops),
            footprint: Footprint::default(),
            tables: vec![],
        }));
        self.site.engine.admit_red(r, entry.clone(), &Verdict::Accepted).expect("red applies");
        self.events.push(Event::Red(r, entry));
        self.site.sync();
    }

    fn step(&mut self) {
        let snapshot = self.site.snapshot();
        let table = if self.random.below(3) == 0 { OTHER } else { TABLE };
        let id = self.random.below(60) as i64;
        let there = snapshot.get(table, &pk(id)).expect("get").is_some();
        let text = "x".repeat(self.random.below(40) as usize);
        match self.random.below(20) {
            0 => {
                let of = Op::Schema(SchemaChange::AddIndex {
                    table,
                    index: index(IndexId(self.next_id), &[2, 1]),
                });
                self.next_id += 1;
                self.red(vec![of]);
            }
            1..4 => drop(self.site.engine.fold(200).expect("fold")),
            4 => {
                self.site.engine.checkpoint(Vec::new());
            }
            _ if !there => self.blue(vec![insert(table, id, &text)]),
            5..10 => self.blue(vec![rename(&snapshot, table, id, &text)]),
            10..15 => self.red(vec![add(&snapshot, table, id, 3)]),
            15 => self.blue(vec![delete(&snapshot, table, id), insert(table, id, "again")]),
            _ => self.blue(vec![delete(&snapshot, table, id)]),
        }
    }
}

fn origin() -> Origin {
    Origin { cluster: 77, site: SITE, taken: 1_234, state: b"the site's own".to_vec() }
}

fn written(snapshot: &Snapshot) -> (Vec<u8>, Summary) {
    try_written(snapshot).expect("write")
}

fn try_written(snapshot: &Snapshot) -> Result<(Vec<u8>, Summary), ImageError> {
    let mut bytes = Vec::new();
    let summary = image::write(snapshot, origin(), &mut bytes, &mut |_| ControlFlow::Continue(()))?;
    assert_eq!(summary.bytes, bytes.len() as u64);
    Ok((bytes, summary))
}

fn verify(bytes: &[u8]) -> Result<(Header, Summary), ImageError> {
    image::verify(bytes, &mut |_| ControlFlow::Continue(()))
}

/// Where the image belongs in a log of which nothing is written.
const BEGIN: Place = Place { replay_from: Lsn(BEGINNING), needs: Lsn(BEGINNING) };

fn install(bytes: &[u8], store: &dyn Store) -> Result<Summary, ImageError> {
    let mut image = ImageReader::open(bytes)?;
    let state = image.header().origin.state.clone();
    image::install(&mut image, store, BEGIN, state, &mut |_| ControlFlow::Continue(()))
}

/// Tables, digest and every index are equal.
fn same(a: &Snapshot, b: &Snapshot) {
    assert_eq!(a.frontier(), b.frontier());
    assert_eq!(a.schema(), b.schema());
    assert_eq!(a.digest().expect("digest"), b.digest().expect("digest"));
    for table in a.schema().tables.values() {
        for index in &table.indexes {
            let entries = |s: &Snapshot| {
                s.index_scan(table.id, index.id, &KeyRange::all(), false, 10_000).expect("scan")
            };
            assert_eq!(entries(a), entries(b), "index {} of {}", index.name, table.name);
            let rows = b.scan(table.id, &KeyRange::all(), false, 10_000).expect("scan");
            assert_eq!(rows.len(), entries(b).len());
        }
    }
}

/// As a site that receives what the source does from an event on.
fn catch_up(receiver: &mut Site, events: &[Event]) {
    for event in events {
        match event {
            Event::Blue(dot, transaction) => {
                let record = Record::Blue { dot: *dot, transaction: transaction.clone(), local: false };
                receiver.engine.append(record).expect("append");
                receiver.engine.admit_blue(*dot, transaction).expect("admit");
            }
            Event::Red(r, entry) => {
                receiver.engine.admit_red(*r, entry.clone(), &Verdict::Accepted).expect("admit");
            }
        }
    }
    receiver.sync();
}

fn one_history(seed: u64) {
    let memory = [2_000, 10_000, 1 << 30][seed as usize % 3];
    let mut source = Source::new(seed, memory);
    let steps = 20 + source.random.below(300);
    for _ in 0..steps {
        source.step();
    }
    let (mut snapshot, mut done) = (source.site.snapshot(), source.events.len());
    // What is committed and folded meanwhile is not in the image.
    for _ in 0..source.random.below(60) {
        source.step();
    }
    let (bytes, summary) = match try_written(&snapshot) {
        // It held more than the little memory of some seeds.
        Err(ImageError::Engine(Error::SnapshotTooOld)) => {
            (snapshot, done) = (source.site.snapshot(), source.events.len());
            written(&snapshot)
        }
        written => written.expect("write"),
    };
    assert_eq!(summary.digest, snapshot.digest().expect("digest"));
    let (header, again) = verify(&bytes).expect("verify");
    assert_eq!(
        (&header.frontier, &header.schema, &again),
        (snapshot.frontier(), snapshot.schema(), &summary)
    );

    // Over a store that holds something else.
    let store = MemStore::new();
    let mut before = Site::open(options(), MemDisk::new(), Arc::new(store.clone())).expect("open");
    before.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    before.blue(vec![insert(TABLE, 1_000, "gone")]);
    before.checkpoint();
    drop(before);
    assert_eq!(install(&bytes, &store).expect("install"), summary);
    let mut receiver = Site::open(options(), MemDisk::new(), Arc::new(store.clone())).expect("open");
    assert_eq!(receiver.engine.recovered_state(), Some(&b"the site's own"[..]));
    same(&snapshot, &receiver.snapshot());
    let ended = |s: &Snapshot| s.scan_states(TABLE, &KeyRange::all(), false, 10_000).expect("scan");
    assert_eq!(ended(&snapshot).len(), ended(&receiver.snapshot()).len());

    catch_up(&mut receiver, &source.events[done..]);
    same(&source.site.snapshot(), &receiver.snapshot());
    // And again after a start.
    if source.random.below(2) == 0 {
        receiver.fold_all();
    }
    let receiver = receiver.reopen(options()).expect("reopen");
    same(&source.site.snapshot(), &receiver.snapshot());
}

#[test]
fn an_image_is_its_moment_and_the_rest_follows() {
    if let Ok(seed) = std::env::var("SEED") {
        return one_history(seed.parse().expect("SEED is a number"));
    }
    for seed in 1..=40 {
        println!("SEED={seed}");
        one_history(seed);
    }
}

#[test]
fn commits_and_folds_go_on_while_an_image_is_written() {
    let mut source = Source::new(5, 4_000);
    for id in 0..3_000 {
        source.blue(vec![insert(TABLE, id, &format!("name {id}"))]);
    }
    let snapshot = source.site.snapshot();
    let digest = snapshot.digest().expect("digest");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let handle = source.site.engine.fold_handle();
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                handle.fold(64).expect("fold");
                std::thread::yield_now();
            }
        });
        let writer = scope.spawn(move || written(&snapshot));
        for _ in 0..200 {
            source.step();
        }
        let (bytes, summary) = writer.join().expect("the writer");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(summary.digest, digest);
        assert_eq!(verify(&bytes).expect("verify").1, summary);
    });
}

#[test]
fn rows_of_any_size_are_written_in_chunks() {
    let mut source = Source::new(1, 1 << 30);
    source.blue((0..500).map(|id| insert(TABLE, id, "small")).collect());
    for id in 500..506 {
        source.blue(vec![insert(TABLE, id, &"large".repeat(100_000))]);
    }
    let (bytes, summary) = written(&source.site.snapshot());
    assert_eq!(summary.rows, 506);
    let mut image = ImageReader::open(&bytes[..]).expect("open");
    let mut chunks = Vec::new();
    while let Some(chunk) = image.next_chunk().expect("chunk") {
        chunks.push(chunk.rows.len());
    }
    assert_eq!(chunks.iter().sum::<usize>(), 506);
    assert!(chunks.len() >= 6 && chunks.iter().filter(|rows| **rows == 1).count() >= 5, "{chunks:?}");
}

fn small() -> Vec<u8> {
    let mut source = Source::new(3, 1 << 30);
    for _ in 0..25 {
        source.step();
    }
    written(&source.site.snapshot()).0
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let mut bytes = small();
    for at in 0..bytes.len() {
        for bit in [0, 7] {
            bytes[at] ^= 1 << bit;
            match verify(&bytes) {
                Ok(_) => panic!("bit {bit} of byte {at} of {} goes unnoticed", bytes.len()),
                Err(ImageError::NotAnImage) => assert!(at < 8, "byte {at}"),
                Err(ImageError::Newer { .. }) => assert!((8..12).contains(&at), "byte {at}"),
                Err(ImageError::Damaged { offset, .. }) => {
                    assert!(offset <= at as u64, "byte {at}: {offset}")
                }
                Err(other) => panic!("byte {at}: {other}"),
            }
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn an_image_cut_short_says_where_it_ends() {
    let bytes = small();
    for length in 0..bytes.len() {
        match verify(&bytes[..length]) {
            Err(ImageError::NotAnImage) => assert!(length < 12),
            Err(ImageError::Truncated { offset }) => assert_eq!(offset, length as u64),
            other => panic!("cut to {length}: {other:?}"),
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(
        matches!(verify(&longer), Err(ImageError::Damaged { offset, .. }) if offset == bytes.len() as u64)
    );
}

/// Frames with sound checksums, in the wrong place.
#[test]
fn frames_of_other_images_are_not_taken() {
    let mut source = Source::new(8, 1 << 30);
    source.blue((0..10).map(|id| insert(TABLE, id, "one")).collect());
    let one = written(&source.site.snapshot()).0;
    let snapshot = source.site.snapshot();
    source.blue(vec![rename(&snapshot, TABLE, 3, "two")]);
    let two = written(&source.site.snapshot()).0;
    let frames = |bytes: &[u8]| {
        let (mut at, mut found) = (12, vec![12]);
        while at < bytes.len() {
            at += 17 + u32::from_le_bytes(bytes[at + 5..at + 9].try_into().expect("four")) as usize;
            found.push(at);
        }
        found
    };
    let (f, g) = (frames(&one), frames(&two));
    assert_eq!((f.len(), g.len()), (4, 4), "header, one chunk, end");
    let mixed = [&one[..f[1]], &two[g[1]..g[2]], &one[f[2]..]].concat();
    assert!(matches!(verify(&mixed), Err(ImageError::Damaged { .. })));
    let without = [&one[..f[1]], &one[f[2]..]].concat();
    assert!(matches!(verify(&without), Err(ImageError::Damaged { offset, .. }) if offset == f[1] as u64));
    let doubled = [&one[..f[2]], &one[f[1]..]].concat();
    assert!(matches!(verify(&doubled), Err(ImageError::Damaged { offset, .. }) if offset == f[2] as u64));
    let mut newer = one.clone();
    newer[8] = 2;
    assert!(matches!(verify(&newer), Err(ImageError::Newer { found: 2 })));
}

/// A crash after any batch of the installation, and one in the middle of a damaged image: the store is not trusted, and the
/// next installation makes it whole.
#[test]
fn half_an_installation_is_not_trusted() {
    let mut source = Source::new(11, 1 << 30);
    for id in 0..12 {
        source.blue(vec![insert(TABLE, id, &"wide".repeat(20_000))]);
    }
    let snapshot = source.site.snapshot();
    let (bytes, _) = written(&snapshot);
    let whole = MemStore::crashing();
    install(&bytes, &whole).expect("install");
    assert_eq!(whole.unflushed(), 0, "an installation is durable when it returns");

    let mut rounds = 0;
    for cancelled_at in 0.. {
        let store = MemStore::crashing();
        let mut image = ImageReader::open(&bytes[..]).expect("open");
        let mut chunks = 0;
        let installed = image::install(&mut image, &store, BEGIN, Vec::new(), &mut |_| {
            chunks += 1;
            if chunks > cancelled_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if installed.is_ok() {
            break;
        }
        assert!(matches!(installed, Err(ImageError::Cancelled)));
        store.crash(rounds % (store.unflushed() + 1));
        rounds += 1;
        let fresh = Site::open(options(), MemDisk::new(), Arc::new(store.fork())).expect("open");
        assert!(fresh.engine.recovered_state().is_none(), "half an image was taken for a checkpoint");
        assert!(fresh.snapshot().schema().tables.is_empty());
        install(&bytes, &store).expect("install again");
        same(&snapshot, &Site::open(options(), MemDisk::new(), Arc::new(store)).expect("open").snapshot());
    }
    assert!(rounds >= 3, "{rounds} rounds");

    let store = MemStore::new();
    let mut damaged = bytes.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert!(matches!(install(&damaged, &store), Err(ImageError::Damaged { .. })));
    let fresh = Site::open(options(), MemDisk::new(), Arc::new(store)).expect("open");
    assert!(fresh.snapshot().schema().tables.is_empty());
}

/// The receiver's log is behind and ahead of the image: received transactions beyond it are admitted after it.
#[test]
fn what_was_received_beyond_the_image_is_admitted_after_it() {
    let mut source = Source::new(21, 1 << 30);
    for _ in 0..80 {
        source.step();
    }
    let (bytes, done) = (written(&source.site.snapshot()).0, source.events.len());
    while source.events.len() < done + 30 {
        source.step();
    }
    let (disk, store) = (MemDisk::new(), MemStore::new());
    let mut receiver = Site::open(options(), disk, Arc::new(store.clone())).expect("open");
    let mut needs = None;
    for event in &source.events[done..] {
        if let Event::Blue(dot, transaction) = event {
            let record = Record::Blue { dot: *dot, transaction: transaction.clone(), local: false };
            let lsn = receiver.engine.append(record).expect("append");
            needs.get_or_insert(lsn);
        }
    }
    receiver.sync();
    let end = receiver.engine.log_reader().durable();
    let Site { engine, disk, .. } = receiver;
    drop(engine);
    let mut image = ImageReader::open(&bytes[..]).expect("open");
    let place = Place { replay_from: end, needs: needs.expect("blue events") };
    image::install(&mut image, &store, place, Vec::new(), &mut |_| ControlFlow::Continue(()))
        .expect("install");
    let engine =
        Engine::open(options(), Arc::new(disk.clone()), Arc::new(store.clone()), &mut |_| {}).expect("open");
    let mut receiver = Site { engine, disk, store: Arc::new(store), time: 9_000_000 };
    for event in &source.events[done..] {
        match event {
            Event::Blue(dot, transaction) => {
                assert_eq!(receiver.engine.blue(*dot).expect("read").as_ref(), Some(transaction));
                receiver.engine.admit_blue(*dot, transaction).expect("admit");
            }
            Event::Red(r, entry) => {
                receiver.engine.admit_red(*r, entry.clone(), &Verdict::Accepted).expect("admit");
            }
        }
    }
    receiver.sync();
    same(&source.site.snapshot(), &receiver.snapshot());
    same(&source.site.snapshot(), &receiver.reopen(options()).expect("reopen").snapshot());
}
