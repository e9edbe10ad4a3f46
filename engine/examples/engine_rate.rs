//! How long the engine's short paths take, on a disk in memory: `cargo run --release -p gemini-engine --example engine_rate`.
//!
//! A commit here is what the site thread does for one blue update of one cell (encode into the log's buffer, new version,
//! index upkeep); the group's write and sync are the log's (see log_rate).

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{BY_NAME, Site, TABLE, add, insert, options, pk, rename, table};
use gemini_engine::{KeyRange, LocalRead, MemDisk, MemStore, Options};
use gemini_shadow_ops::{Dot, Item, Op, SchemaChange};

const ROWS: i64 = 200_000;

fn site() -> Site {
    let log = gemini_engine::log::LogOptions { segment_bytes: 32 << 20, ..options().log };
    let options = Options { memory: 1 << 30, log, ..options() };
    let mut site = Site::open(options, MemDisk::new(), Arc::new(MemStore::new())).expect("open");
    site.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    for start in (0..ROWS).step_by(1000) {
        site.blue((start..start + 1000).map(|id| insert(TABLE, id, &format!("name {id}"))).collect());
        site.sync();
    }
    site
}

fn report(what: &str, count: u64, time: Duration) {
    println!("{what:<44} {:>9.0} ns", time.as_nanos() as f64 / count as f64);
}

fn commits(site: &mut Site, what: &str, op: impl Fn(&Site, i64) -> Op) {
    const COUNT: u64 = 100_000;
    let mut time = Duration::ZERO;
    for batch in 0..COUNT / 16 {
        let transactions: Vec<_> = (0..16)
            .map(|n| {
                let id = ((batch * 16 + n) * 7919) as i64 % ROWS;
                let op = op(site, id);
                site.transaction(vec![op])
            })
            .collect();
        let first = site.engine.applied().blue(common::SITE);
        let start = Instant::now();
        for (n, transaction) in transactions.into_iter().enumerate() {
            let dot = Dot { site: common::SITE, n: first + 1 + n as u64 };
            site.engine.commit_blue(dot, transaction).expect("commits");
        }
        time += start.elapsed();
        site.sync();
    }
    report(what, COUNT, time);
}

fn readers(site: &Site, threads: u64) {
    const COUNT: u64 = 1_000_000;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let reader = site.engine.reader();
            scope.spawn(move || (0..COUNT / threads).for_each(|_| drop(black_box(reader.snapshot()))));
        }
    });
    report(&format!("snapshot taken and dropped, {threads} threads"), COUNT, start.elapsed());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let reader = site.engine.reader();
            scope.spawn(move || {
                let snapshot = reader.snapshot();
                for n in 0..COUNT / threads {
                    let key = pk(((n * 7919 + thread * 104_729) as i64) % ROWS);
                    black_box(snapshot.get(TABLE, &key).expect("get"));
                }
            });
        }
    });
    report(&format!("get by key (encoded each time), {threads} threads"), COUNT, start.elapsed());
}

fn main() {
    let mut site = site();
    commits(&mut site, "commit: delta of own rows", |site, id| add(&site.snapshot(), TABLE, id, 1));
    commits(&mut site, "commit: delta of one hot row", |site, _| add(&site.snapshot(), TABLE, 5, 1));
    commits(&mut site, "commit: lww cell with an index", |site, id| {
        rename(&site.snapshot(), TABLE, id, &format!("other {id}"))
    });
    for threads in [1, 2, 16] {
        readers(&site, threads);
    }
    let snapshot = site.snapshot();
    let start = Instant::now();
    let (mut rest, mut rows) = (KeyRange::all(), 0);
    loop {
        let batch = snapshot.scan(TABLE, &rest, false, 1024).expect("scan");
        rows += batch.len() as u64;
        match batch.last() {
            Some((last, _)) if batch.len() == 1024 => rest = rest.after(last, false),
            _ => break,
        }
    }
    report("scan, per row", rows, start.elapsed());
    let start = Instant::now();
    for n in 0..100_000i64 {
        let range =
            KeyRange::prefix(&gemini_shadow_ops::value::key::encode_key(&[gemini_shadow_ops::Value::Text(
                format!("name {}", n * 2 % ROWS).as_str().into(),
            )]));
        black_box(snapshot.index_scan(TABLE, BY_NAME, &range, false, 10).expect("index scan"));
    }
    report("look-up by index (encoded each time)", 100_000, start.elapsed());
    let seq = snapshot.seq();
    let reads: Vec<_> =
        (0..100_000i64).map(|id| LocalRead { item: Item::Row { table: TABLE, key: pk(id) }, seq }).collect();
    let start = Instant::now();
    black_box(site.engine.validate(&reads).expect("validate").is_ok());
    report("validation of a row", 100_000, start.elapsed());
    let start = Instant::now();
    site.checkpoint();
    report("folding, per row (store in memory)", ROWS as u64, start.elapsed());
}
