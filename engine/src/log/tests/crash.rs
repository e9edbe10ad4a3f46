//! Crash sweep: a workload is cut at every one of its writes and syncs, what was not synced is lost or torn, and the
//! log opens again with everything that was acknowledged and perhaps whole records more, in order; it goes on from
//! there, and is cut again.

use super::*;
use crate::disk::{Disk, Fault};

/// What must, and what may, be found again.
#[derive(Default)]
struct Model {
    records: Vec<(Lsn, Record)>,
    acknowledged: Lsn,
    cut: Lsn,
}

impl Model {
    /// Compares with what is there after a restart, and forgets what did not survive.
    fn check(&mut self, log: &Log, opened: &Opened) {
        let found = all(log);
        assert_eq!(opened.records, found.len() as u64);
        let first = log.first();
        assert!(first <= Lsn(self.cut.0.max(4096)), "cut at {:?}, found from {first:?}", self.cut);
        self.records.retain(|(lsn, _)| *lsn >= first);
        let kept = found.len();
        assert!(kept <= self.records.len(), "{kept} records of {}", self.records.len());
        assert_eq!(found, self.records[..kept]);
        let lost = self.records.split_off(kept);
        assert!(
            lost.iter().all(|(lsn, _)| *lsn >= self.acknowledged),
            "lost an acknowledged record: {lost:?}"
        );
        assert!(log.end() >= self.acknowledged);
    }
}

/// Appends, commits, prepares and cuts until something fails; returns how far it got (None: all done).
fn work(
    log: &mut Log,
    disk: &MemDisk,
    model: &mut Model,
    rounds: u64,
    next: &mut dyn FnMut() -> u64,
) -> LogResult<()> {
    for round in 0..rounds {
        for _ in 0..1 + next() % 4 {
            let len = match next() % 12 {
                0 => 10_000,
                1 | 2 => 2_000 + next() % 2_000,
                _ => next() % 300,
            };
            let record = if next().is_multiple_of(8) {
                Record::Start { count: next() }
            } else {
                note(next(), len as usize)
            };
            let lsn = log.append(&record)?;
            model.records.push((lsn, record));
        }
        let mut batch = log.take_batch().expect("something was appended");
        if next().is_multiple_of(3) {
            // The next batch fills while this one is written.
            let record = note(next(), 20);
            let lsn = log.append(&record)?;
            model.records.push((lsn, record));
        }
        model.acknowledged = batch.write(disk)?;
        if round % 3 == 2 {
            let at = (next() % model.records.len() as u64) as usize;
            model.cut = model.cut.max(model.records[at].0.min(model.acknowledged));
            log.cut(model.cut);
        }
        if !next().is_multiple_of(3)
            && let Some(upkeep) = log.take_upkeep()
        {
            upkeep.run(disk)?;
        }
        let some = model.records.last().expect("something was appended");
        assert_eq!(log.reader().read(some.0)?, some.1);
    }
    Ok(())
}

/// Runs until the fault at operation `cut` of each life, for several lives; returns whether the fault was met.
fn lives(seed: u64, cut: u64, again: u64) -> bool {
    let mut next = random(seed);
    let disk = MemDisk::new();
    let mut model = Model::default();
    let mut met = false;
    for life in 0..3 {
        disk.fail(Fault::From(cut + life * again));
        if let Ok((mut log, opened)) = open(&disk) {
            model.check(&log, &opened);
            let result = work(&mut log, &disk, &mut model, 10, &mut next);
            if let Err(e) = &result {
                assert_eq!(e.remedy(), LogRemedy::FailStop, "{e}");
                assert!(
                    log.append(&note(0, 0)).is_err()
                        || log.take_batch().is_none_or(|mut b| b.write(&disk).is_err())
                );
            }
            met |= result.is_err();
        } else {
            met = true;
        }
        disk.crash(&mut next);
    }
    let (mut log, opened) = open(&disk).unwrap_or_else(|e| panic!("seed {seed} cut {cut}: {e}"));
    model.check(&log, &opened);
    let end = log.end();
    // What was found once is found again, and the end takes new records.
    let record = note(1, 50);
    let lsn = log.append(&record).unwrap();
    assert!(lsn >= end);
    commit(&mut log, &disk);
    model.records.push((lsn, record));
    drop(log);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(opened.torn, None);
    assert_eq!(all(&log), model.records);
    assert_eq!(inspect::verify(&disk).unwrap().damage, None);
    met
}

#[test]
fn every_cut_is_survived() {
    let mut met = 0;
    for seed in 0..6 {
        for cut in 1.. {
            if !lives(seed * 1000 + cut, cut, seed % 3) {
                break;
            }
            met += 1;
        }
    }
    assert!(met > 300, "{met}");
}

#[test]
fn a_torn_batch_never_comes_back() {
    // The first frame of a batch is lost, a later one kept; then a frame of the very same length is appended.
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&note(1, 100)).unwrap();
    commit(&mut log, &disk);
    let a = log.append(&note(2, 100)).unwrap();
    let b = log.append(&note(3, 100)).unwrap();
    commit(&mut log, &disk);
    drop(log);
    assert!(disk.damage("log-0000000001", a.0 + 50, &mut |byte| !byte));
    let report = inspect::verify(&disk).unwrap();
    assert_eq!(report.damage, None);
    assert_eq!(report.torn.unwrap().frames_after, 1);
    let (mut log, opened) = open(&disk).unwrap();
    assert_eq!(opened.torn.unwrap().frames_after, 1);
    assert_eq!(log.append(&note(4, 100)).unwrap(), a);
    commit(&mut log, &disk);
    drop(log);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(all(&log).last().unwrap(), &(a, note(4, 100)));
    assert_eq!(log.end(), b);
    assert_eq!(opened.torn, None);
}

#[test]
fn a_failed_sync_stops_everything() {
    for fault in 1..=2 {
        let disk = MemDisk::new();
        let (mut log, _) = open(&disk).unwrap();
        log.append(&note(1, 10)).unwrap();
        let mut batch = log.take_batch().unwrap();
        log.append(&note(2, 10)).unwrap();
        disk.fail(Fault::Once(fault));
        let error = batch.write(&disk).unwrap_err();
        assert_eq!(error.remedy(), LogRemedy::FailStop);
        // The device is well again; the log is not.
        assert!(matches!(batch.write(&disk), Err(LogError::Stopped { .. })));
        assert!(matches!(log.append(&note(3, 10)), Err(LogError::Stopped { .. })));
        assert!(log.take_batch().is_none());
        assert!(log.take_upkeep().is_none());
        assert!(log.stopped().unwrap().contains("input/output error"));
        assert_eq!(log.durable(), Lsn(4096));
    }
}

#[test]
fn a_full_disk_can_be_given_room() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(20_000));
    let (mut log, _) = open(&disk).unwrap();
    log.take_upkeep().unwrap().run(&disk).unwrap();
    assert!(!log.full());
    let mut model = Vec::new();
    let mut batch = loop {
        let record = note(model.len() as u64, 500);
        model.push((log.append(&record).unwrap(), record));
        let mut batch = log.take_batch().unwrap();
        match batch.write(&disk) {
            Ok(_) => {}
            Err(e) => {
                assert_eq!(e.remedy(), LogRemedy::Retry, "{e}");
                break batch;
            }
        }
        if let Some(upkeep) = log.take_upkeep() {
            assert_eq!(upkeep.run(&disk).unwrap_err().remedy(), LogRemedy::Retry);
            assert!(log.full());
            assert!(log.take_upkeep().is_none());
        }
    };
    assert!(log.full());
    assert_eq!(batch.write(&disk).unwrap_err().remedy(), LogRemedy::Retry);
    disk.set_capacity(Some(40_000));
    batch.write(&disk).unwrap();
    log.retry_full();
    log.take_upkeep().unwrap().run(&disk).unwrap();
    assert!(!log.full());
    drop(log);
    disk.crash(&mut random(1));
    let (log, _) = open(&disk).unwrap();
    assert_eq!(all(&log), model);
}

#[test]
fn only_one_process_at_a_time() {
    let disk = MemDisk::new();
    let (log, _) = open(&disk).unwrap();
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert_eq!(error.remedy(), LogRemedy::User);
    assert!(error.to_string().contains("another process"), "{error}");
    drop(log);
    open(&disk).unwrap();
    assert!(disk.list().unwrap().contains(&"log-0000000001".to_string()));
}
