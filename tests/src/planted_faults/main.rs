//! Shows that the tests can fail: makes every mistake of [`gemini_shadow_ops::fault`] in a simulated cluster, one at a time,
//! until a checker complains.
//!
//! ```text
//!   cargo run -p gemini-tests --features planted-faults --bin planted-faults                 every fault
//!   … -- StampBelow VoteForgotten                                                            these only
//!   … -- --write                                                                             the table into docs/planted-faults.md
//! ```
//!
//! It fails if a fault is not found within the seeds that `cases.rs` gives it, or if a checker complains of the same seeds
//! without a fault. The feature exists in this build only: no program that is started or shipped can make these mistakes.

mod cases;
mod table;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use gemini_shadow_ops::fault::{Fault, plant};
use parking_lot::Mutex;

use cases::{CASES, Case, Scenario};

/// Cases at a time, each on a thread of its own: a fault is made by one thread only.
const WORKERS: usize = 2;

/// Sessions of SQL run deep statements.
const STACK: usize = 16 << 20;

/// What became of a case.
struct Tried {
    /// At which seed a checker complained, and of what.
    found: Option<(u64, String)>,
    seconds: f64,
}

/// What is asked for on the command line.
#[derive(Default)]
struct Asked {
    write: bool,
    only: Vec<String>,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked::default();
    for word in std::env::args().skip(1) {
        if word == "--write" {
            asked.write = true;
        } else if Fault::ALL.iter().any(|fault| format!("{fault:?}") == word) {
            asked.only.push(word);
        } else {
            return Err(format!("{word} is neither --write nor a planted fault"));
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    // A checker's complaint is what is asked for; it need not be printed each time.
    std::panic::set_hook(Box::new(|_| {}));
    assert!(CASES.iter().map(|case| case.fault).eq(Fault::ALL.iter().copied()), "each fault has its case");
    let wanted = |case: &&Case| asked.only.is_empty() || asked.only.contains(&format!("{:?}", case.fault));
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    let tried = each(&cases, |case| {
        let tried = search(Some(case.fault), case.scenario, case.within);
        println!("{}", table::line(case, &tried));
        tried
    });
    let calm = without_faults(&cases);
    let missed = tried.iter().filter(|tried| tried.found.is_none()).count();
    println!("{} faults, {missed} not found; {calm} complaints without a fault", cases.len());
    if missed + calm > 0 {
        return ExitCode::FAILURE;
    }
    if asked.write && asked.only.is_empty() {
        table::write(&cases, &tried);
    }
    ExitCode::SUCCESS
}

/// Runs the same seeds without a fault; how many scenarios had a complaint.
fn without_faults(cases: &[&Case]) -> usize {
    let most = |scenario| cases.iter().filter(|c| c.scenario == scenario).map(|c| c.within).max();
    let scenarios: Vec<(Scenario, u64)> =
        Scenario::ALL.into_iter().filter_map(|scenario| Some((scenario, most(scenario)?))).collect();
    let tried = each(&scenarios, |(scenario, seeds)| search(None, *scenario, *seeds));
    for ((scenario, seeds), tried) in scenarios.iter().zip(&tried) {
        match &tried.found {
            None => println!("no fault: {} seeds of {scenario}, {:.1} s", seeds, tried.seconds),
            Some((seed, complaint)) => {
                println!("NO FAULT, and seed {seed} of {scenario} complains: {complaint}")
            }
        }
    }
    tried.iter().filter(|tried| tried.found.is_some()).count()
}

/// Tries seeds 1, 2, … until a checker complains.
fn search(fault: Option<Fault>, scenario: Scenario, seeds: u64) -> Tried {
    let begin = Instant::now();
    plant(fault);
    let found = (1..=seeds).find_map(|seed| Some((seed, scenario.run(seed).err()?)));
    plant(None);
    Tried { found, seconds: begin.elapsed().as_secs_f64() }
}

/// Does the work on all items with a few threads; the results are in the items' order.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let worker = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(item) = items.get(at) else { break };
        *results[at].lock() = Some(work(item));
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, worker)
                .expect("a thread can be started");
        }
    });
    results.into_iter().map(|result| result.into_inner().expect("every item was worked on")).collect()
}
