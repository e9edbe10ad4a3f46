//! Histories of SQL sessions at simulated sites, judged from the client's view.

use std::collections::{BTreeMap, BTreeSet};

use gemini_tests::history::workload::{Counts, PROMISES};
use gemini_tests::history::{Class, Model, judge};
use gemini_tests::world::histories;

/// Seeds that run with every test run: each promise several times, with different neighbours.
const FIXED: std::ops::Range<u64> = 0..16;

/// Seeds that have found something once.
const FOUND: &[u64] = &[];

fn repeat_with(seed: u64) -> String {
    format!("repeat with: SEED={seed} cargo test -p gemini-tests --test simulated_histories repeat")
}

#[test]
fn fixed_seeds_keep_what_clients_are_promised() {
    let mut found: BTreeMap<&str, BTreeSet<Class>> = BTreeMap::new();
    let mut acknowledged: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in FIXED.chain(FOUND.iter().copied()) {
        let report = histories::run(seed);
        for workload in &report.told {
            let name = workload.promise.name;
            let verdict = workload.judge(&repeat_with(seed));
            let counts = Counts::of(&workload.history());
            println!("{seed} {name}: {counts}; allowed and found: {:?}", verdict.classes());
            found.entry(name).or_default().extend(verdict.classes());
            *acknowledged.entry(name).or_default() += counts.ok;
        }
    }
    for promise in &PROMISES {
        assert!(acknowledged[promise.name] > 200, "too little is acknowledged: {acknowledged:?}");
    }
    // What is not promised does happen, and the judge sees it: it is not blind, and no stronger promise would be true.
    assert!(found["blue"].contains(&Class::LongFork), "{found:?}");
    assert!(found["snapshot"].contains(&Class::WriteSkew), "{found:?}");
    assert!(found["committed"].contains(&Class::GSingle), "{found:?}");
}

#[test]
fn a_local_read_may_be_stale() {
    // The second promise of seed 0 is "serializable": without the order of real time.
    let report = histories::run(0);
    let history = report.told[1].history();
    assert_eq!(report.told[1].promise.name, "serializable");
    assert!(judge(&history, Model::SERIALIZABLE).holds());
    assert!(judge(&history, Model::STRICT_SERIALIZABLE).classes().contains(&Class::GSingle));
}

#[test]
fn two_runs_of_a_seed_tell_clients_the_same() {
    let told = || histories::run(4).told.iter().map(|w| w.history().to_string()).collect::<Vec<_>>();
    assert_eq!(told(), told());
}

/// Repeats `SEED`, or searches `SEEDS` seeds from there.
#[test]
fn repeat() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(seed) = number("SEED") else { return };
    for seed in seed..seed + number("SEEDS").unwrap_or(1) {
        for workload in &histories::run(seed).told {
            let verdict = workload.judge(&repeat_with(seed));
            let counts = Counts::of(&workload.history());
            println!(
                "{seed} {}: {counts}; allowed and found: {:?}",
                workload.promise.name,
                verdict.classes()
            );
        }
    }
}
