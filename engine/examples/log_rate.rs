//! The bare log: how many commits a second this disk makes durable, and how long one takes.
//!
//! `log_rate [--dir DIR] [--committers N] [--bytes N] [--seconds N]`: N threads each append a record of that size and
//! wait until it is durable; one log thread writes whatever has gathered with one fdatasync. Without `--committers`
//! and `--bytes` it goes through 1 and 16 committers with 150 and 500 bytes.
//!
//! Each row carries what it must be judged by: the time of a bare write and fdatasync over a preallocated file, before
//! and after the row (what one commit costs at the least), and that of the log thread's own writes. A row whose two
//! bare times differ or have a long tail, or whose commits come faster than its syncs allow, was measured on a disturbed machine and is
//! marked; do not compare rows unless their bare times agree.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use gemini_engine::Lsn;
use gemini_engine::disk::{Disk, DiskFile, RealDisk};
use gemini_engine::log::{Log, LogError, LogOptions, Record};
use parking_lot::{Condvar, Mutex};

struct Settings {
    dir: PathBuf,
    committers: Vec<usize>,
    bytes: Vec<usize>,
    seconds: u64,
}

fn main() -> Result<(), String> {
    let settings = settings()?;
    let disk = RealDisk::open(settings.dir.join("gemini-log-rate")).map_err(|e| e.to_string())?;
    for &committers in &settings.committers {
        for &bytes in &settings.bytes {
            clear(&disk).map_err(|e| e.to_string())?;
            let seconds = Duration::from_secs(settings.seconds);
            println!("{}", measure(&disk, committers, bytes, seconds).map_err(|e| e.to_string())?);
        }
    }
    std::fs::remove_dir_all(disk.directory()).map_err(|e| e.to_string())
}

fn settings() -> Result<Settings, String> {
    let mut settings =
        Settings { dir: std::env::temp_dir(), committers: vec![1, 16], bytes: vec![150, 500], seconds: 5 };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<usize>().map_err(|e| format!("{name} {value}: {e}"));
        match name.as_str() {
            "--dir" => settings.dir = PathBuf::from(&value),
            "--committers" => settings.committers = vec![number()?.max(1)],
            "--bytes" => settings.bytes = vec![number()?.max(32)],
            "--seconds" => settings.seconds = number()? as u64,
            _ => {
                return Err(format!(
                    "{name} is not known; there are --dir, --committers, --bytes, --seconds"
                ));
            }
        }
    }
    Ok(settings)
}

fn clear(disk: &RealDisk) -> Result<(), LogError> {
    for name in disk.list()? {
        disk.remove(&name)?;
    }
    Ok(disk.sync_dir()?)
}

/// Latencies in microseconds, counted.
#[derive(Default)]
struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    fn add(&mut self, took: Duration) {
        *self.0.entry(took.as_micros() as u64).or_default() += 1;
    }

    fn merge(&mut self, other: Histogram) {
        for (micros, n) in other.0 {
            *self.0.entry(micros).or_default() += n;
        }
    }

    fn count(&self) -> u64 {
        self.0.values().sum()
    }

    fn quantile(&self, q: f64) -> u64 {
        let mut left = (self.count() as f64 * q) as u64;
        for (micros, n) in &self.0 {
            if left < *n {
                return *micros;
            }
            left -= n;
        }
        self.0.keys().next_back().copied().unwrap_or(0)
    }

    fn show(&self) -> String {
        format!(
            "p50 {} µs, p95 {} µs, p99 {} µs",
            self.quantile(0.5),
            self.quantile(0.95),
            self.quantile(0.99)
        )
    }
}

/// Writes 4 KiB and syncs, one after the other.
fn bare_sync(disk: &RealDisk) -> Result<Histogram, LogError> {
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

fn measure(disk: &RealDisk, committers: usize, bytes: usize, time: Duration) -> Result<String, LogError> {
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
    let fill = commits.count() as f64 / syncs.count().max(1) as f64;
    let (quiet, noisy) =
        (before.quantile(0.5).min(after.quantile(0.5)), before.quantile(0.5).max(after.quantile(0.5)));
    // Waiting for a processor shows in the tail long before it shows in the middle.
    let waits = [&before, &after].iter().any(|h| h.quantile(0.95) > 4 * h.quantile(0.5));
    let disturbed = waits || noisy * 2 > quiet * 3 || commits.quantile(0.5) < syncs.quantile(0.05);
    Ok(format!(
        "{committers:>3} committers, {bytes} bytes: {rate:>7.0} durable commits/s{}\n      a commit     {}\n      \
         write + sync {}, {fill:.1} commits each\n      bare sync    before {}; after {}",
        if disturbed { "  ** disturbed, do not use **" } else { "" },
        commits.show(),
        syncs.show(),
        before.show(),
        after.show()
    ))
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
