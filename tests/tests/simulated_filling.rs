//! Simulations in which next to no log is kept for sites that are away, and crashes take stores with them: sites are filled from
//! others again and again.

use gemini_tests::simulate::{CutOff, Space, simulate};
use gemini_tests::world::Options;

const SPACE: Space<CutOff> = Space { options: Options::cut_off, work: CutOff::default };

/// Seeds that run with every test run.
const FIXED: std::ops::Range<u64> = 1..41;

#[test]
fn fixed_seeds_keep_every_promise_and_fill_sites() {
    let mut filled = 0;
    for seed in FIXED {
        let report = simulate(Options::cut_off(seed), &CutOff::default());
        filled += report.unwrap_or_else(|failure| panic!("{failure}")).filled;
    }
    println!("{filled} times a site was filled");
    assert!(filled >= FIXED.count() as u64 / 2, "only {filled} times a site was filled");
}

#[test]
fn two_runs_of_a_seed_are_equal() {
    let run =
        || simulate(Options::cut_off(2), &CutOff::default()).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(run().fingerprint, run().fingerprint, "seed 2 is not deterministic");
}

/// Repeats `SEED`, or runs `SEEDS` seeds from there; `KEEP` leaves parts out, `SHRINK=1` makes a failure smaller.
#[test]
fn repeat() {
    SPACE.repeat();
}

/// Tries new seeds for `SECONDS`.
#[test]
#[ignore = "it searches for as long as it is asked to"]
fn search() {
    SPACE.search();
}
