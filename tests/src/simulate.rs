//! One simulation from a seed: set up, trouble with clients at work, then all heals and must converge within a bound.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::world::effects::{Client, Told, audit};
use crate::world::{Options, World};

/// What a run came to.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Report {
    pub seed: u64,
    pub steps: u64,
    /// Simulated, µs.
    pub elapsed: u64,
    pub told: Told,
    pub fingerprint: u64,
}

/// After everything has healed, all sites must be equal within this time, µs.
const CONVERGE: u64 = 60_000_000;

/// Runs a seed of the swarm; a failure prints how to repeat it and the last events.
pub fn run(seed: u64) -> Report {
    let options = Options::swarm(seed);
    let mut world = World::new(options);
    let result = catch_unwind(AssertUnwindSafe(|| simulate(&mut world)));
    result.unwrap_or_else(|panic| {
        println!("{}", world.trace());
        println!("{:?}", world.options());
        println!("the last events stand above; repeat with: SEED={seed} cargo test -p gemini-tests --test simulation repeat");
        resume_unwind(panic)
    })
}

fn simulate(world: &mut World) -> Report {
    let told = Arc::new(Mutex::new(Told::default()));
    for node in 0..world.nodes.len() {
        world.start(node);
    }
    let set_up = client(world, 0, &told);
    world.connect(0, Box::pin(set_up.set_up()));
    assert!(
        world.run(20_000_000, |world| world.busy_clients() == 0),
        "liveness: the tables are not there in time"
    );

    world.trouble();
    let until = world.time.now() + world.options().trouble;
    while world.time.now() < until {
        staff(world, &told, until);
        world.run(250_000, |_| false);
    }
    world.heal();
    assert!(
        world.run(CONVERGE, World::quiet),
        "liveness: sites have not converged in time:\n{}",
        world.frontiers()
    );
    let sites = world.nodes.iter().filter_map(|node| node.process.as_ref());
    world.checks.finish(sites.map(|process| &process.site));
    for process in world.nodes.iter().filter_map(|node| node.process.as_ref()) {
        audit(&*process.host, &told.lock());
    }
    Report {
        seed: world.options().seed,
        steps: world.steps,
        elapsed: world.elapsed(),
        told: std::mem::take(&mut *told.lock()),
        fingerprint: world.fingerprint,
    }
}

fn client(world: &mut World, node: usize, told: &Arc<Mutex<Told>>) -> Client {
    let random = world.fork_random();
    let host = world.nodes[node].process.as_ref().expect("the site runs").host.clone();
    Client { host, time: world.time.clone(), random, told: told.clone() }
}

/// Every running site has three clients.
fn staff(world: &mut World, told: &Arc<Mutex<Told>>, until: u64) {
    for node in 0..world.nodes.len() {
        if world.nodes[node].process.is_none() {
            continue;
        }
        for _ in world.clients_of(node)..3 {
            let client = client(world, node, told);
            world.connect(node, Box::pin(client.work(until)));
        }
    }
}
