//! Simulations of whole clusters whose clients are SQL sessions.

use gemini_tests::simulate::{Shop, Space, found, run_shop};
use gemini_tests::world::Options;

const SPACE: Space<Shop> = Space { options: Options::shop, work: Shop::default };

/// Seeds that run with every test run, beside those that have found something.
const FIXED: std::ops::Range<u64> = 1..25;

#[test]
fn fixed_seeds_of_the_shop_keep_every_promise() {
    SPACE.all(FIXED.chain(found::SHOP.iter().copied()));
}

#[test]
fn two_runs_of_a_seed_of_the_shop_are_equal() {
    let (first, second) = (run_shop(3), run_shop(3));
    assert_eq!(first.fingerprint, second.fingerprint, "seed 3 is not deterministic");
    assert_eq!(first.told.done, second.told.done, "seed 3 is not deterministic in what clients are told");
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
