//! What a store does with far more rows than it has memory for: rates, and what the process holds meanwhile.
//!
//! ```text
//! cargo run --release -p gemini-engine --example store_rate -- fjall 32 2500000 500 8
//!                                                              kind  MiB of memory, rows, bytes of a row, seconds of each phase
//! ```
//!
//! Rows are loaded in key order in batches of 256, as folding writes them, with a flush every 64 Ki rows as a checkpoint asks for.
//! Then it reads, overwrites and scans at random, ends without closing, as after kill -9, and opens again in a second process.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use gemini_engine::store::{Changes, Span};
use gemini_engine::{Error, Store, StoreKind};

const BATCH: u64 = 256;
const FLUSH: u64 = 256;

struct Run {
    kind: StoreKind,
    memory: u64,
    rows: u64,
    length: usize,
    phase: Duration,
    random: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse::<u64>().ok());
    let kind = args.first().and_then(|name| StoreKind::named(name));
    let (Some(kind), Some(memory), Some(rows), Some(length), Some(seconds)) =
        (kind, number(1), number(2), number(3), number(4))
    else {
        eprintln!("store_rate fjall|sled MEMORY_MIB ROWS BYTES SECONDS");
        return ExitCode::from(2);
    };
    let run = Run {
        kind,
        memory: memory << 20,
        rows: rows / BATCH * BATCH,
        length: length as usize,
        phase: Duration::from_secs(seconds),
        random: 0x9E37_79B9_7F4A_7C15,
    };
    let folder = std::env::temp_dir().join("gemini-store-rate");
    let done = match args.get(5).map(String::as_str) {
        Some("first") => run.first(&folder),
        Some(_) => run.again(&folder),
        None => both(&args, &folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Each half in a process of its own.
fn both(args: &[String], folder: &Path) -> Result<(), Error> {
    // What a run before may have left.
    let _ = std::fs::remove_dir_all(folder);
    let program = std::env::current_exe().map_err(Error::store)?;
    for half in ["first", "again"] {
        Command::new(&program).args(args).arg(half).status().map_err(Error::store)?;
    }
    std::fs::remove_dir_all(folder).map_err(Error::store)
}

impl Run {
    fn first(mut self, folder: &Path) -> Result<(), Error> {
        let store = self.kind.open(folder, self.memory)?;
        println!(
            "{} with {} MiB: {} rows of {} bytes",
            self.kind.name(),
            self.memory >> 20,
            self.rows,
            self.length
        );
        let since = Instant::now();
        for batch in 0..self.rows / BATCH {
            let mut changes = Changes::default();
            (batch * BATCH..(batch + 1) * BATCH).for_each(|n| changes.put(key(n), self.value()));
            store.apply(changes)?;
            if batch % FLUSH == FLUSH - 1 {
                store.flush()?;
            }
        }
        store.flush()?;
        say("load", self.rows, since);
        for phase in ["get", "update", "get", "scan", "update", "get"] {
            self.phase(&*store, phase)?;
        }
        println!(
            "disk     {:>10} MiB of {} MiB of rows",
            store.size()? >> 20,
            (self.rows * self.length as u64) >> 20
        );
        // As after kill -9: no destructor runs.
        std::process::abort();
    }

    fn again(mut self, folder: &Path) -> Result<(), Error> {
        let since = Instant::now();
        let store = self.kind.open(folder, self.memory)?;
        say("reopen", 1, since);
        self.phase(&*store, "get")?;
        self.phase(&*store, "update")
    }

    fn phase(&mut self, store: &dyn Store, phase: &str) -> Result<(), Error> {
        let since = Instant::now();
        let mut done = 0;
        while since.elapsed() < self.phase {
            match phase {
                "get" => {
                    for _ in 0..200 {
                        let n = self.next() % self.rows;
                        assert!(store.get(&key(n))?.is_some(), "row {n} is gone");
                        done += 1;
                    }
                }
                "update" => {
                    let mut keys: Vec<u64> = (0..BATCH).map(|_| self.next() % self.rows).collect();
                    keys.sort_unstable();
                    let mut changes = Changes::default();
                    keys.into_iter().for_each(|n| changes.put(key(n), self.value()));
                    store.apply(changes)?;
                    done += BATCH;
                    if done % (BATCH * FLUSH) == 0 {
                        store.flush()?;
                    }
                }
                _ => {
                    let span = Span { from: key(self.next() % self.rows), to: None };
                    done += store.range(&span, false, 1000)?.len() as u64;
                }
            }
        }
        store.flush()?;
        say(phase, done, since);
        Ok(())
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn value(&mut self) -> Vec<u8> {
        let mut value: Vec<u8> = Vec::with_capacity(self.length + 8);
        while value.len() < self.length {
            value.extend(self.next().to_le_bytes());
        }
        value.truncate(self.length);
        value
    }
}

/// A row's key as the engine makes it: the table, then the primary key.
fn key(n: u64) -> Vec<u8> {
    [b"r\0\0\0\x01\x05".as_slice(), &n.to_be_bytes()].concat()
}

fn say(what: &str, done: u64, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
            .map_or(0, |kib| kib >> 10)
    };
    println!(
        "{what:<8} {done:>10} in {seconds:>6.1} s  {:>9.0}/s  resident {:>5} MiB, most {:>5} MiB",
        done as f64 / seconds,
        mib("VmRSS:"),
        mib("VmHWM:")
    );
}
