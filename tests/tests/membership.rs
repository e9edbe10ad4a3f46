//! Simulations of whole clusters whose members come and go.

use gemini_tests::simulate::{Members, Space};
use gemini_tests::world::Options;

const SPACE: Space<Members> = Space { options: Options::members, work: Members::default };

/// Seeds that run with every test run.
const FIXED: std::ops::Range<u64> = 1..61;

#[test]
fn fixed_seeds_keep_every_promise() {
    SPACE.all(FIXED);
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
