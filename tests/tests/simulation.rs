//! Simulations of whole clusters.

use gemini_tests::simulate::run;

/// Seeds that run with every test run.
const FIXED: std::ops::Range<u64> = 1..21;

/// Seeds that have found something once.
const FOUND: &[u64] = &[3, 302];

#[test]
fn fixed_seeds_keep_every_promise() {
    for seed in FIXED.chain(FOUND.iter().copied()) {
        let report = run(seed);
        println!("{report:?}");
    }
}

#[test]
fn two_runs_of_a_seed_are_equal() {
    for seed in [1, 7] {
        assert_eq!(run(seed).fingerprint, run(seed).fingerprint, "seed {seed} is not deterministic");
    }
}

/// Repeats `SEED`, or searches `SEEDS` seeds from there.
#[test]
fn repeat() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(seed) = number("SEED") else { return };
    for seed in seed..seed + number("SEEDS").unwrap_or(1) {
        println!("{:?}", run(seed));
    }
}
