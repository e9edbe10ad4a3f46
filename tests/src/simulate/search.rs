//! Commands over seeds, for tests: run a list of them, repeat one, search for a given time. Each prints how fast it was.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::{Failure, Report, Work, shrink, simulate};
use crate::world::Options;

/// Where options come from, and who works: what a search is over.
pub struct Space<W> {
    /// Options of a seed.
    pub options: fn(u64) -> Options,
    /// The clients of one run.
    pub work: fn() -> W,
}

/// How much was simulated in which time.
#[derive(Debug, Default)]
struct Rates {
    seeds: AtomicU64,
    steps: AtomicU64,
    micros: AtomicU64,
}

impl Rates {
    fn add<T>(&self, report: &Report<T>) {
        self.seeds.fetch_add(1, Ordering::Relaxed);
        self.steps.fetch_add(report.steps, Ordering::Relaxed);
        self.micros.fetch_add(report.elapsed, Ordering::Relaxed);
    }

    fn print(&self, took: Duration) {
        let [seeds, steps, micros] =
            [&self.seeds, &self.steps, &self.micros].map(|n| n.load(Ordering::Relaxed) as f64);
        let seconds = took.as_secs_f64().max(0.001);
        println!(
            "{seeds} seeds, {steps} site steps in {seconds:.1} s: {:.0} seeds a minute, {:.1} simulated seconds a second, \
             {:.2} million steps a minute",
            seeds * 60.0 / seconds,
            micros / 1e6 / seconds,
            steps * 60.0 / seconds / 1e6
        );
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

impl<W: Work> Space<W> {
    fn run(&self, options: Options) -> Result<Report<W::Told>, Box<Failure>> {
        simulate(options, &(self.work)())
    }

    /// Runs these seeds on two threads; the first failure is printed, and panics.
    pub fn all(&self, seeds: impl IntoIterator<Item = u64>) {
        let seeds: Vec<u64> = seeds.into_iter().collect();
        let next = AtomicU64::new(0);
        self.on_threads(|| {
            let at = next.fetch_add(1, Ordering::Relaxed) as usize;
            seeds.get(at).copied()
        });
    }

    /// Runs what `SEED` and perhaps `KEEP` say; with `SEEDS`, so many seeds from there; with `SHRINK`, makes a failure smaller.
    /// Without `SEED`, nothing.
    pub fn repeat(&self)
    where
        W::Told: std::fmt::Debug,
    {
        let Some(first) = number("SEED") else { return };
        let keep = std::env::var("KEEP").unwrap_or_default();
        let keep: crate::world::keep::Keep = keep.parse().unwrap_or_else(|error| panic!("KEEP: {error}"));
        let (rates, begin) = (Rates::default(), Instant::now());
        for seed in first..first + number("SEEDS").unwrap_or(1) {
            match self.run(Options { keep: keep.clone(), ..(self.options)(seed) }) {
                Ok(report) => {
                    rates.add(&report);
                    println!("{report:?}");
                }
                Err(failure) if number("SHRINK").is_some() => {
                    println!("{failure:?}");
                    panic!("{}", shrink(failure, &self.work))
                }
                Err(failure) => panic!("{failure}"),
            }
        }
        rates.print(begin.elapsed());
    }

    /// Runs seeds nobody has tried, for `SECONDS` on `THREADS` threads; the first failure is made smaller and printed, and panics.
    pub fn search(&self) {
        let seconds = number("SECONDS").unwrap_or(60);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = number("SEED").unwrap_or(now.as_secs() * 1_000);
        println!("searching from seed {first} on, for {seconds} s");
        let (next, end) = (AtomicU64::new(first), Instant::now() + Duration::from_secs(seconds));
        self.on_threads(|| (Instant::now() < end).then(|| next.fetch_add(1, Ordering::Relaxed)));
    }

    fn on_threads(&self, next: impl Fn() -> Option<u64> + Sync) {
        let threads = number("THREADS").unwrap_or(2);
        let (rates, begin, failed) = (Rates::default(), Instant::now(), Mutex::new(None));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(seed) = next().filter(|_| !over.load(Ordering::Relaxed)) {
                        match self.run((self.options)(seed)) {
                            Ok(report) => rates.add(&report),
                            Err(failure) => {
                                over.store(true, Ordering::Relaxed);
                                failed.lock().get_or_insert(failure);
                            }
                        }
                    }
                });
            }
        });
        rates.print(begin.elapsed());
        if let Some(failure) = failed.into_inner() {
            println!("{failure:?}\nmaking it smaller …");
            panic!("{}", shrink(failure, &self.work))
        }
    }
}
