//! Measuring the bare log: also used, as a source file, by the micro-benchmark, so that both mean the same by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use gemini_engine::Lsn;
use gemini_engine::disk::{Disk, DiskFile, RealDisk};
use gemini_engine::log::{Log, LogError, LogOptions, Record};
use parking_lot::{Condvar, Mutex};

/// Latencies in microseconds, counted.
#[derive(Default)]
pub struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    pub fn add(&mut self, took: Duration) {
        *self.0.entry(took.as_micros() as u64).or_default() += 1;
    }

    fn merge(&mut self, other: Histogram) {
        for (micros, n) in other.0 {
            *self.0.entry(micros).or_default() += n;
        }
    }

    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn quantile(&self, q: f64) -> u64 {
        let mut left = (self.count() as f64 * q) as u64;
        for (micros, n) in &self.0 {
            if left < *n {
                return *micros;
            }
            left -= n;
        }
        self.0.keys().next_back().copied().unwrap_or(0)
    }

    pub fn show(&self) -> String {
        format!(
            "p50 {} µs, p95 {} µs, p99 {} µs",
            self.quantile(0.5),
            self.quantile(0.95),
            self.quantile(0.99)
        )
    }
}

/// Writes 4 KiB and syncs, one after the other.
pub fn bare_sync(disk: &RealDisk) -> Result<Histogram, LogError> {
    let file: Arc<dyn DiskFile> = disk.create("sync", 8 * 1024 * 1024)?;
    let mut histogram = Histogram::default();
    for i in 0..2000 {
        let start = Instant::now();
        file.write_at(i * 4096, &[i as u8; 4096])?;
        file.sync()?;
        histogram.add(start.elapsed());
    }
    disk.remove("sync")?;
    Ok(histogram)
}

/// What the committers and the log thread share.
struct Group {
    log: Mutex<Inner>,
    work: Condvar,
    /// What happens counts.
    measuring: AtomicBool,
    stop: AtomicBool,
}

struct Inner {
    log: Log,
    /// Who waits for which position.
    waiting: Vec<(Lsn, Waiter)>,
    /// The log thread sleeps.
    idle: bool,
}

type Waiter = (Thread, Arc<AtomicU64>);

impl Group {
    /// Appends and waits until it is durable.
    fn commit(&self, record: &Record, durable: &Arc<AtomicU64>) -> Result<(), LogError> {
        let lsn = {
            let mut inner = self.log.lock();
            let lsn = inner.log.append(record)?;
            inner.waiting.push((lsn, (thread::current(), durable.clone())));
            if inner.idle {
                inner.idle = false;
                self.work.notify_one();
            }
            lsn
        };
        while durable.load(Ordering::Acquire) <= lsn.0 {
            thread::park();
        }
        Ok(())
    }

    /// The log thread: as long as there is something, write it, and wake who waited for it.
    fn write(&self, disk: &dyn Disk) -> Result<Histogram, LogError> {
        let mut syncs = Histogram::default();
        let mut inner = self.log.lock();
        loop {
            let Some(mut batch) = inner.log.take_batch() else {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(syncs);
                }
                inner.idle = true;
                self.work.wait(&mut inner);
                continue;
            };
            let waiting = std::mem::take(&mut inner.waiting);
            drop(inner);
            let start = Instant::now();
            let end = batch.write(disk)?;
            if self.measuring.load(Ordering::Relaxed) {
                syncs.add(start.elapsed());
            }
            for (_, (thread, durable)) in waiting {
                durable.store(end.0, Ordering::Release);
                thread.unpark();
            }
            inner = self.log.lock();
        }
    }

    /// Prepares segments and cuts what is old, off the log thread.
    fn keep(&self, disk: &dyn Disk) -> Result<(), LogError> {
        while !self.stop.load(Ordering::Relaxed) {
            let upkeep = {
                let mut inner = self.log.lock();
                let keep = Lsn(inner.log.durable().0.saturating_sub(64 * 1024 * 1024));
                inner.log.cut(keep);
                inner.log.take_upkeep()
            };
            match upkeep {
                Some(upkeep) => upkeep.run(disk)?,
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
        Ok(())
    }
}

/// What a row was measured as, and what it must be judged by.
pub struct Measured {
    pub committers: usize,
    pub bytes: usize,
    /// Durable commits a second.
    pub rate: f64,
    pub commits: Histogram,
    /// The log thread's writes.
    pub syncs: Histogram,
    pub before: Histogram,
    pub after: Histogram,
}

impl Measured {
    /// Waiting for a processor shows in the tail long before it shows in the middle.
    pub fn disturbed(&self) -> bool {
        disturbed(&self.before, &self.after) || self.commits.quantile(0.5) < self.syncs.quantile(0.05)
    }
}

/// Whether two bare times tell of a machine that others use too.
pub fn disturbed(before: &Histogram, after: &Histogram) -> bool {
    let (a, b) = (before.quantile(0.5), after.quantile(0.5));
    let waits = |h: &Histogram| {
        h.quantile(0.95) > 4 * h.quantile(0.5).max(1) || h.quantile(0.5) > 4 * h.quantile(0.05).max(1)
    };
    let waits = waits(before) || waits(after);
    waits || a.max(b) * 2 > a.min(b) * 3
}

/// So many committers of records of this size, over an empty folder.
pub fn measure(
    disk: &RealDisk,
    committers: usize,
    bytes: usize,
    time: Duration,
) -> Result<Measured, LogError> {
    clear(disk)?;
    let before = bare_sync(disk)?;
    let (log, _) = Log::open(&LogOptions::default(), disk)?;
    let group = Group {
        log: Mutex::new(Inner { log, waiting: Vec::new(), idle: false }),
        work: Condvar::new(),
        measuring: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    };
    let (commits, syncs, took) = run(&group, disk, committers, bytes, time)?;
    drop(group);
    let after = bare_sync(disk)?;
    let rate = commits.count() as f64 / took.as_secs_f64();
    Ok(Measured { committers, bytes, rate, commits, syncs, before, after })
}

fn clear(disk: &RealDisk) -> Result<(), LogError> {
    for name in disk.list()? {
        disk.remove(&name)?;
    }
    Ok(disk.sync_dir()?)
}

/// Latencies of commits and of the log thread's writes, and the time they were counted in.
fn run(
    group: &Group,
    disk: &RealDisk,
    committers: usize,
    bytes: usize,
    time: Duration,
) -> Result<(Histogram, Histogram, Duration), LogError> {
    thread::scope(|scope| {
        let writer = scope.spawn(|| group.write(disk));
        let keeper = scope.spawn(|| group.keep(disk));
        let threads: Vec<_> = (0..committers).map(|_| scope.spawn(|| committer(group, bytes))).collect();
        thread::sleep(Duration::from_millis(500));
        group.measuring.store(true, Ordering::Relaxed);
        let start = Instant::now();
        thread::sleep(time);
        group.measuring.store(false, Ordering::Relaxed);
        let took = start.elapsed();
        group.stop.store(true, Ordering::Relaxed);
        let mut commits = Histogram::default();
        for thread in threads {
            commits.merge(thread.join().expect("a committer does not panic")?);
        }
        group.work.notify_one();
        keeper.join().expect("the keeper does not panic")?;
        Ok((commits, writer.join().expect("the log thread does not panic")?, took))
    })
}

/// Commits one record after the other.
fn committer(group: &Group, bytes: usize) -> Result<Histogram, LogError> {
    let durable = Arc::new(AtomicU64::new(0));
    // The frame's header and the body's length are part of the size.
    let record = Record::Sequencer(vec![7; bytes - 20]);
    let mut histogram = Histogram::default();
    while !group.stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        group.commit(&record, &durable)?;
        if group.measuring.load(Ordering::Relaxed) {
            histogram.add(start.elapsed());
        }
    }
    Ok(histogram)
}
