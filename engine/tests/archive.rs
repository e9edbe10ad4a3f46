//! The archive of the log: every record once and in order, whatever is cut and used again; and nothing used again before.

mod common;

use std::sync::Arc;

use common::*;
use gemini_engine::log::archive::records;
use gemini_engine::log::{LogError, LogOptions};
use gemini_engine::{Disk, Lsn, MemDisk, MemStore, Options, Record};
use gemini_shadow_ops::{SchemaChange, TxnId};

fn archived() -> Options {
    let log = LogOptions { segment_bytes: 8192, archive: true, ..options().log };
    Options { log, ..options() }
}

/// What a folder says: positions and names of transactions.
fn read(disk: &MemDisk, from: Lsn) -> Vec<(Lsn, TxnId)> {
    let mut found = Vec::new();
    let name = |record| match record {
        Record::Blue { dot, .. } => Some(TxnId::Blue(dot)),
        Record::Red { r, .. } => Some(TxnId::Red(r)),
        _ => None,
    };
    records(disk, from, &mut |lsn, record| {
        found.extend(name(record).map(|id| (lsn, id)));
        true
    })
    .expect("an archive reads");
    found
}

fn segments(disk: &MemDisk) -> Vec<String> {
    let names = disk.list().expect("list");
    names.into_iter().filter(|name| name.starts_with("log-")).collect()
}

/// A site that has committed `n` transactions, each with a checkpoint that cuts what it can.
fn commit(site: &mut Site, n: i64) {
    for i in 0..n {
        let id = site.time as i64 + i;
        site.blue(vec![insert(TABLE, id, &"text".repeat(60))]);
        site.sync();
        if i % 7 == 0 {
            site.checkpoint();
        }
    }
}

#[test]
fn an_archive_holds_every_record_that_the_log_ever_held() {
    let archive = MemDisk::new();
    let mut site = Site::open(archived(), MemDisk::new(), Arc::new(MemStore::new())).expect("open");
    site.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    commit(&mut site, 60);
    let archiver = site.engine.archiver();
    let full = archiver.behind();
    assert!(full >= 2, "{full} full segments");
    assert_eq!(site.engine.log_reader().first().0, 4096, "nothing is cut before it is archived");

    while archiver.copy_next(&archive).expect("copy").is_some() {}
    assert_eq!(archiver.behind(), 0);
    commit(&mut site, 60);
    assert!(site.engine.log_reader().first().0 > 8192, "what is archived is cut");
    // The site is stopped and started: it finds what is there already, and its own segments used again are new ones.
    let mut site = site.reopen(archived()).expect("reopen");
    let archiver = site.engine.archiver();
    while archiver.copy_next(&archive).expect("copy").is_some() {}
    archiver.copy_tail(&archive).expect("tail");
    let (at_tail, durable) = (site.engine.applied().clone(), site.engine.log_reader().durable());
    commit(&mut site, 3);

    let all = read(&archive, Lsn(0));
    assert_eq!(all.len() as u64, at_tail.blue(SITE) + at_tail.red);
    let blues = all.iter().filter_map(|(_, id)| if let TxnId::Blue(dot) = id { Some(dot.n) } else { None });
    assert!(blues.eq(1..=at_tail.blue(SITE)), "each once, in order");
    assert!(all.is_sorted() && all.iter().all(|(lsn, _)| *lsn < durable));
    // The rest is in the log's own folder.
    let rest = read(&site.disk, durable);
    assert_eq!(rest.len(), 3);
    assert_eq!(read(&archive, all[40].0), all[40..]);
}

#[test]
fn a_damaged_or_foreign_archive_is_named() {
    let archive = MemDisk::new();
    let mut site = Site::open(archived(), MemDisk::new(), Arc::new(MemStore::new())).expect("open");
    site.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    commit(&mut site, 60);
    let archiver = site.engine.archiver();
    while archiver.copy_next(&archive).expect("copy").is_some() {}

    // Another log's segments have the same names.
    let log = LogOptions { identity: 99, ..archived().log };
    let mut other =
        Site::open(Options { log, ..archived() }, MemDisk::new(), Arc::new(MemStore::new())).expect("open");
    other.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    commit(&mut other, 60);
    let refused = other.engine.archiver().copy_next(&archive).expect_err("it is not overwritten");
    assert!(refused.message.contains("another log's segment"), "{refused}");

    let names = segments(&archive);
    let file = archive.open(&names[0]).expect("open");
    let mut byte = [0; 1];
    file.read_at(5000, &mut byte).expect("read");
    file.write_at(5000, &[byte[0] ^ 1]).expect("write");
    let damaged = records(&archive, Lsn(0), &mut |_, _| true);
    assert!(
        matches!(&damaged, Err(LogError::Damaged { file, .. }) if file.contains(&names[0])),
        "{damaged:?}"
    );
    archive.remove(&names[1]).expect("remove");
    file.write_at(5000, &byte).expect("write");
    let missing = records(&archive, Lsn(0), &mut |_, _| true);
    assert!(
        matches!(&missing, Err(LogError::Missing { file, .. }) if file.contains(&names[1])),
        "{missing:?}"
    );
}
