//! Whole replicas in one thread, from one seed: delay, loss, duplication, reordering, cut links, crashes that lose unsynced records.
//!
//! Each run has two phases: faults and load at random (safety is checked at every step, in [`checks`]), then everything that is not
//! dead for ever is healed (liveness: new entries of every site are ordered in time, all sites end equal, nothing is
//! left open, leadership is where it belongs). A failing run prints its seed; `simulate(seed, plan)` repeats it byte for byte.

mod checks;
pub mod site;
mod world;

use checks::Checks;
use world::{Plan, World};

fn simulate(seed: u64, plan: Plan) -> Checks {
    let mut world = World::new(seed, plan.clone());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    if let Err(panic) = result {
        eprintln!("to repeat: simulate({seed}, {plan:?})");
        for line in world.trace.iter().rev().take(60).rev() {
            eprintln!("  {line}");
        }
        std::panic::resume_unwind(panic);
    }
    world.checks
}

#[test]
fn one_site_alone_needs_no_network() {
    let checks = simulate(1, Plan { sites: 1, ..Plan::default() });
    assert!(checks.ordered() > 20 && checks.committed() > 20, "{checks:?}");
}

#[test]
fn three_sites_without_faults_order_at_once() {
    let checks = simulate(1, Plan { sites: 3, calm: true, ..Plan::default() });
    assert!(checks.ordered() > 20 && checks.failed() == 0, "{checks:?}");
    // From the leader's own site: one round trip of 2 × 40 ms, and two syncs of at most 2 ms.
    assert!(checks.fastest() < 90_000, "{}", checks.fastest());
}

#[test]
fn three_sites_survive_everything() {
    for seed in 0..24 {
        let checks = simulate(seed, Plan { sites: 3, ..Plan::default() });
        assert!(checks.ordered() > 5, "seed {seed}: {checks:?}");
    }
}

#[test]
fn five_sites_survive_everything() {
    for seed in 100..110 {
        simulate(seed, Plan { sites: 5, ..Plan::default() });
    }
}

#[test]
fn a_lost_minority_takes_nothing_with_it() {
    for seed in 200..212 {
        simulate(seed, Plan { sites: 3, dead: 1, ..Plan::default() });
    }
    for seed in 220..226 {
        simulate(seed, Plan { sites: 5, dead: 2, ..Plan::default() });
    }
}

#[test]
fn one_direct_link_may_stay_cut_for_ever() {
    for seed in 300..308 {
        simulate(seed, Plan { sites: 3, cut: Some((0, 2)), ..Plan::default() });
    }
    for seed in 320..324 {
        simulate(seed, Plan { sites: 5, cut: Some((0, 1)), ..Plan::default() });
    }
}

#[test]
fn a_network_without_order_or_mercy_is_enough() {
    // The last one: an acknowledgement lost between a compaction and a step back.
    for seed in (400..408).chain([7182]) {
        simulate(seed, Plan { sites: 3, datagrams: true, ..Plan::default() });
    }
}

#[test]
fn a_long_absence_costs_memory_but_no_snapshot() {
    for seed in 500..504 {
        simulate(seed, Plan { sites: 3, absence: true, ..Plan::default() });
    }
}

/// The absent site fetches the red entries from the others' engines, and takes over where the leader's log begins.
#[test]
fn a_bounded_order_is_taken_up_again() {
    for seed in 600..606 {
        simulate(seed, Plan { sites: 3, absence: true, bound: Some(2), ..Plan::default() });
    }
    for seed in 620..626 {
        simulate(seed, Plan { sites: 5, bound: Some(0), ..Plan::default() });
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::new(7, Plan { sites: 3, ..Plan::default() });
        world.run();
        world.digest
    };
    assert_eq!(run(), run());
}
