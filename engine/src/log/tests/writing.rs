//! Appending, reading and cutting, at once and by turns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::disk::{Disk, RealDisk};

#[test]
fn a_batch_costs_one_write_and_one_sync() {
    let disk = MemDisk::new();
    let (mut log, opened) = open(&disk).unwrap();
    assert!(opened.created);
    log.take_upkeep().unwrap().run(&disk).unwrap();
    let (writes, syncs) = (disk.writes(), disk.syncs());
    for n in 0..10 {
        log.append(&note(n, 100)).unwrap();
    }
    let mut batch = log.take_batch().unwrap();
    assert!(log.take_batch().is_none());
    assert_eq!(batch.write(&disk).unwrap(), log.end());
    assert_eq!((disk.writes() - writes, disk.syncs() - syncs), (1, 1));
    // Into the next segment, which was prepared: one more of each.
    for n in 0..10 {
        log.append(&note(n, 400)).unwrap();
    }
    log.take_batch().unwrap().write(&disk).unwrap();
    assert_eq!((disk.writes() - writes, disk.syncs() - syncs), (3, 3));
}

#[test]
fn records_are_read_before_and_after_they_are_durable() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let reader = log.reader();
    let mut records = Vec::new();
    let mut iter = reader.iter(reader.first());
    for n in 0..40u64 {
        let len = if n % 13 == 12 { 20_000 } else { (n * 37 % 900) as usize };
        let record = note(n, len);
        records.push((log.append(&record).unwrap(), record));
        match n % 3 {
            0 => {}
            1 => {
                let mut batch = log.take_batch().unwrap();
                for (lsn, record) in &records {
                    assert_eq!(reader.read(*lsn).unwrap(), *record);
                }
                batch.write(&disk).unwrap();
            }
            _ => {
                let entry = iter.next().unwrap().unwrap();
                assert_eq!((entry.lsn, entry.record), records[(n / 3) as usize]);
            }
        }
        assert_eq!(all(&log), records);
    }
    let rest: Vec<_> = iter.map(|e| e.map(|e| (e.lsn, e.record)).unwrap()).collect();
    assert_eq!(rest, records[13..]);
    // Every other position is no record: an error, never a wrong one.
    let starts: Vec<u64> = records.iter().map(|(lsn, _)| lsn.0).collect();
    for lsn in (0..log.end().0 + 100).step_by(7) {
        assert_eq!(reader.read(Lsn(lsn)).is_ok(), starts.contains(&lsn), "{lsn}");
    }
    // And after a restart from the file alone.
    if let Some(mut batch) = log.take_batch() {
        batch.write(&disk).unwrap();
    }
    drop(log);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(opened.records, 40);
    assert_eq!(all(&log), records);
}

#[test]
fn cut_segments_are_used_again() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let mut lsns = Vec::new();
    for n in 0..300 {
        lsns.push(log.append(&note(n, 200)).unwrap());
        commit(&mut log, &disk);
        if n % 10 == 9 {
            log.cut(lsns[n as usize - 5]);
        }
        assert!(disk.used() <= 7 * 8192, "{}", disk.used());
    }
    let reader = log.reader();
    assert!(log.first() <= lsns[294]);
    for lsn in &lsns {
        match reader.read(*lsn) {
            Ok(_) => assert!(*lsn >= log.first()),
            Err(e) => assert!(*lsn < log.first() && matches!(e, LogError::Gone { .. }), "{e}"),
        }
    }
    // The end is never cut, whatever is asked.
    log.cut(Lsn(u64::MAX));
    if let Some(upkeep) = log.take_upkeep() {
        upkeep.run(&disk).unwrap();
    }
    assert_eq!(log.durable(), log.end());
    assert!(reader.read(lsns[299]).is_ok());
}

#[test]
fn an_undurable_record_is_not_cut() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let first = log.append(&note(0, 5000)).unwrap();
    for n in 1..10 {
        log.append(&note(n, 5000)).unwrap();
    }
    log.cut(log.end());
    if let Some(upkeep) = log.take_upkeep() {
        upkeep.run(&disk).unwrap();
    }
    assert_eq!(log.reader().read(first).unwrap(), note(0, 5000));
}

#[test]
fn a_record_too_long_is_refused_and_leaves_no_trace() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let end = log.end();
    let record = Record::Sequencer(vec![0; MAX_RECORD as usize]);
    assert_eq!(log.append(&record).unwrap_err(), LogError::TooLarge { limit: MAX_RECORD });
    assert_eq!(log.end(), end);
    assert!(!log.has_batch());
    let lsn = log.append(&note(1, 1)).unwrap();
    assert_eq!(lsn, end);
    commit(&mut log, &disk);
    assert_eq!(all(&log), [(lsn, note(1, 1))]);
}

#[test]
fn a_dropped_batch_stops_the_log() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&note(1, 1)).unwrap();
    drop(log.take_batch());
    assert!(matches!(log.append(&note(2, 1)), Err(LogError::Stopped { .. })));
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&note(1, 1)).unwrap();
    let _first = log.take_batch().unwrap();
    log.append(&note(2, 1)).unwrap();
    let error = log.take_batch().unwrap().write(&disk).unwrap_err();
    assert!(error.to_string().contains("in the order they were taken"), "{error}");
}

#[test]
fn one_seed_one_disk() {
    let run = || {
        let disk = MemDisk::new();
        let (mut log, _) = open(&disk).unwrap();
        for n in 0..50 {
            log.append(&note(n, 150)).unwrap();
            if n % 4 == 3 {
                commit(&mut log, &disk);
            }
        }
        log.take_batch().unwrap();
        disk.crash(&mut random(9));
        let names = disk.list().unwrap();
        names.into_iter().map(|n| (n.clone(), disk.read_all(&n).unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn readers_and_upkeep_run_beside_the_writer() {
    let path = std::env::temp_dir().join(format!("gemini-log-{}", std::process::id()));
    let disk = RealDisk::open(&path).unwrap();
    let (mut log, _) = Log::open(&LogOptions { segment_bytes: 64 * 1024, ..options() }, &disk).unwrap();
    let reader = log.reader();
    let (done, newest) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (reader, done, newest) = (reader.clone(), &done, &newest);
            scope.spawn(move || {
                let mut next = random(seed);
                while !done.load(Ordering::Relaxed) {
                    let from = Lsn(newest.load(Ordering::Acquire));
                    if from.0 > 0 {
                        match reader.read(from) {
                            Ok(Record::Note { kind: 7, .. }) | Err(LogError::Gone { .. }) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                    for entry in reader.iter(reader.first()).take((next() % 100) as usize) {
                        match entry {
                            Ok(LogEntry { record: Record::Note { kind: 7, .. }, .. })
                            | Err(LogError::Gone { .. }) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
        }
        for n in 0..600u64 {
            let lsn = (0..5).map(|i| log.append(&note(n, 100 * i)).unwrap()).last().unwrap();
            newest.store(lsn.0, Ordering::Release);
            let upkeep = log.take_upkeep();
            let (disk, batch) = (&disk, log.take_batch());
            let housekeeping = upkeep.map(|u| scope.spawn(move || u.run(disk).unwrap()));
            batch.unwrap().write(disk).unwrap();
            if n % 20 == 0 {
                log.cut(Lsn(log.durable().0.saturating_sub(100_000)));
            }
            if let Some(housekeeping) = housekeeping {
                housekeeping.join().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    drop(log);
    assert_eq!(inspect::verify(&disk).unwrap().damage, None);
    assert!(disk.list().unwrap().len() < 12);
    std::fs::remove_dir_all(path).unwrap();
}
