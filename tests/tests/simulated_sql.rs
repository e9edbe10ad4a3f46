//! Simulations of whole clusters whose clients are SQL sessions.

use gemini_tests::simulate::run_shop;

/// Seeds that run with every test run.
const FIXED: std::ops::Range<u64> = 1..7;

/// Seeds that have found something once.
const FOUND: &[u64] = &[];

#[test]
fn fixed_seeds_of_the_shop_keep_every_promise() {
    for seed in FIXED.chain(FOUND.iter().copied()) {
        let report = run_shop(seed);
        println!("{report:?}");
    }
}

#[test]
fn two_runs_of_a_seed_of_the_shop_are_equal() {
    let (first, second) = (run_shop(3), run_shop(3));
    assert_eq!(first.fingerprint, second.fingerprint, "seed 3 is not deterministic");
    assert_eq!(first.told.done, second.told.done, "seed 3 is not deterministic in what clients are told");
}

/// Repeats `SEED`, or searches `SEEDS` seeds from there.
#[test]
fn repeat() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(seed) = number("SEED") else { return };
    for seed in seed..seed + number("SEEDS").unwrap_or(1) {
        let report = run_shop(seed);
        println!("{seed} {} {:?} {:?}", report.steps, report.told.done, report.told.errors);
    }
}
