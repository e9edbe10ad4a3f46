//! Simulations of whole clusters whose clients make effects by hand.

use gemini_tests::simulate::{Effects, Space, found, run, shrink, simulate};
use gemini_tests::world::Options;

const SPACE: Space<Effects> = Space { options: Options::swarm, work: Effects::default };

/// Seeds that run with every test run, beside those that have found something.
const FIXED: std::ops::Range<u64> = 1..81;

#[test]
fn fixed_seeds_keep_every_promise() {
    SPACE.all(FIXED.chain(found::EFFECTS.iter().copied()));
}

#[test]
fn two_runs_of_a_seed_are_equal() {
    for seed in 1..6 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed} is not deterministic");
        let (first, second) = (format!("{:?}", first.told), format!("{:?}", second.told));
        assert_eq!(first, second, "seed {seed} is not deterministic in what clients are told");
    }
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

/// A promise that cannot be kept, so that there is a failure to make smaller.
mod planted {
    use gemini_engine::{KeyRange, Snapshot};
    use gemini_shadow_ops::TableId;
    use gemini_tests::simulate::{Effects, Work};
    use gemini_tests::world::desk::Desk;
    use gemini_tests::world::{Task, World};

    #[derive(Default)]
    pub struct Full(Effects);

    /// Row 3 of the cart never comes with row 4.
    fn never_both(snapshot: &Snapshot) {
        let rows = snapshot.scan(TableId(10), &KeyRange::all(), false, usize::MAX).expect("it can be read");
        assert!(rows.len() < 4, "planted: {} rows in the cart", rows.len());
    }

    impl Work for Full {
        type Told = ();

        fn test(&self) -> &'static str {
            "simulation"
        }

        fn set_up(&self, world: &mut World, node: usize) -> Task {
            self.0.set_up(world, node)
        }

        fn client(&self, world: &mut World, desk: Desk) -> Task {
            self.0.client(world, desk)
        }

        fn promise(&self) -> Option<fn(&Snapshot)> {
            Some(never_both)
        }

        fn audit(&self, world: &World, node: usize) {
            self.0.audit(world, node);
        }

        fn told(&self) {}
    }
}

/// Four rows in a cart take four turns; what comes out must be little more, and repeat from its printed form.
#[test]
fn a_failing_run_is_made_smaller() {
    let failure = simulate(Options::swarm(1), &planted::Full::default()).expect_err("the cart fills up");
    assert_eq!(failure.promise, "planted");
    let less = shrink(failure.clone(), &planted::Full::default);
    let turns = less.options.keep.turns.as_ref().expect("turns were left out");
    assert!(turns.len() <= 8, "{} turns are left: {}", turns.len(), less.repeat);
    assert!(less.steps < failure.steps, "{less:?}");
    let keep = less.options.keep.to_string().parse().expect("what is printed can be read");
    let options = Options { keep, ..Options::swarm(1) };
    let again = simulate(options, &planted::Full::default()).expect_err("it repeats");
    assert_eq!((again.message, again.steps), (less.message, less.steps));
}
