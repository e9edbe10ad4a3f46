//! Readers and a folding thread beside the writer: money moves between rows in one transaction, so every snapshot must
//! show the same sum, and every index as many entries as there are rows, whatever is on its way to the store.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::*;
use gemini_engine::{Error, KeyRange, MemDisk, MemStore, Options, Reader, Snapshot};
use gemini_shadow_ops::{SchemaChange, Value};

const ROWS: i64 = 300;

fn sum(snapshot: &Snapshot) -> Result<(i64, i64, i64), Error> {
    let (mut sum, mut rows, mut rest) = (0, 0, KeyRange::all());
    loop {
        let batch = snapshot.scan(TABLE, &rest, rows % 2 == 1, 37)?;
        for (_, row) in &batch {
            let Value::Int8(n) = row[2] else { panic!("a total is an integer") };
            sum += n;
            rows += 1;
        }
        match batch.last() {
            Some((last, _)) if batch.len() == 37 => rest = rest.after(last, rows % 2 == 0),
            _ => break,
        }
    }
    let entries = snapshot.index_scan(TABLE, BY_NAME, &KeyRange::all(), true, 10_000)?;
    Ok((sum, rows, entries.len() as i64))
}

fn read(reader: &Reader, stop: &AtomicBool, reads: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let snapshot = reader.snapshot();
        for _ in 0..2 {
            match sum(&snapshot) {
                Ok(found) => assert_eq!(found, (0, ROWS, ROWS), "at {:?}", snapshot.seq()),
                Err(Error::SnapshotTooOld) => break,
                Err(error) => panic!("{error}"),
            }
            reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn every_snapshot_shows_the_same_sum_while_rows_are_folded_and_let_go() {
    let options = Options { memory: 30_000, ..options() };
    let mut site = Site::open(options.clone(), MemDisk::new(), Arc::new(MemStore::new())).expect("open");
    site.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    site.blue((0..ROWS).map(|id| insert(TABLE, id, &format!("name {id}"))).collect());
    site.sync();
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let reader = site.engine.reader();
            let (stop, reads) = (&stop, &reads);
            scope.spawn(move || read(&reader, stop, reads));
        }
        let fold = site.engine.fold_handle();
        let folding = &stop;
        scope.spawn(move || {
            while !folding.load(Ordering::Relaxed) {
                fold.fold(64).expect("fold");
                std::thread::yield_now();
            }
        });
        let mut random = 7u64;
        let mut next = |below: i64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as i64 % below
        };
        let mut round = 0;
        while round < 1500 || reads.load(Ordering::Relaxed) < 50 {
            let (from, to) = (next(ROWS), next(ROWS));
            round += 1;
            if from == to {
                continue;
            }
            let visible = site.snapshot();
            let ops = vec![
                add(&visible, TABLE, from, -5),
                add(&visible, TABLE, to, 5),
                rename(&visible, TABLE, to, &format!("name {round}")),
            ];
            drop(visible);
            site.blue(ops);
            site.sync();
            if round % 200 == 0 {
                site.engine.checkpoint(vec![]);
                if let Some(from) = site.engine.checkpointed().expect("log") {
                    site.engine.cut(from);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let digest = site.snapshot().digest().expect("digest");
    let site = site.reopen(options).expect("reopen");
    assert_eq!(site.snapshot().digest().expect("digest"), digest);
}
