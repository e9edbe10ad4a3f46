//! One simulation from a seed: set up, trouble with clients at work, then all heals and must converge within a bound.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use gemini_sql::session::Shared;
use parking_lot::Mutex;

use crate::world::effects::{self, Client, Told};
use crate::world::shop::{self, Books, Shopper};
use crate::world::{Options, Task, World};

/// What a run came to. `T`: what its clients were told.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Report<T = Told> {
    pub seed: u64,
    pub steps: u64,
    /// Simulated, µs.
    pub elapsed: u64,
    pub told: T,
    pub fingerprint: u64,
}

/// After everything has healed, all sites must be equal within this time, µs.
const CONVERGE: u64 = 60_000_000;

/// Who works at the sites, and what they promise.
pub(crate) trait Work {
    /// Prepares the tables from one site.
    fn set_up(&self, world: &mut World, node: usize) -> Task;
    /// One more client of a site.
    fn client(&self, world: &mut World, node: usize, until: u64) -> Task;
    /// Looks at a site in the end.
    fn audit(&self, world: &World, node: usize);
}

/// Runs a seed of the swarm with clients that make effects by hand; a failure prints how to repeat it and the last events.
pub fn run(seed: u64) -> Report {
    let told = Arc::new(Mutex::new(Told::default()));
    let world = simulate(World::new(Options::swarm(seed)), &Effects(told.clone()), "simulation");
    report(&world, std::mem::take(&mut *told.lock()))
}

/// Runs a seed of the swarm with SQL sessions.
pub fn run_shop(seed: u64) -> Report<Books> {
    let mut options = Options::swarm(seed);
    options.trouble /= 2;
    let mut world = World::new(options);
    world.checks.promise = Some(shop::look);
    let books = Arc::new(Mutex::new(Books::default()));
    let world = simulate(world, &Shop(books.clone()), "simulated_sql");
    report(&world, std::mem::take(&mut *books.lock()))
}

pub(crate) fn report<T>(world: &World, told: T) -> Report<T> {
    Report {
        seed: world.options().seed,
        steps: world.steps,
        elapsed: world.elapsed(),
        told,
        fingerprint: world.fingerprint,
    }
}

pub(crate) fn simulate(mut world: World, work: &dyn Work, test: &str) -> World {
    let result = catch_unwind(AssertUnwindSafe(|| troubled_times(&mut world, work)));
    if let Err(panic) = result {
        let seed = world.options().seed;
        println!("{}", world.trace());
        println!("{:?}", world.options());
        println!(
            "the last events stand above; repeat with: SEED={seed} cargo test -p gemini-tests --test {test} repeat"
        );
        resume_unwind(panic)
    }
    world
}

fn troubled_times(world: &mut World, work: &dyn Work) {
    for node in 0..world.nodes.len() {
        world.start(node);
    }
    let set_up = work.set_up(world, 0);
    world.connect(0, set_up);
    assert!(
        world.run(20_000_000, |world| world.busy_clients() == 0),
        "liveness: the tables are not there in time"
    );

    world.trouble();
    let until = world.time.now() + world.options().trouble;
    while world.time.now() < until {
        staff(world, work, until);
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
    for node in 0..world.nodes.len() {
        work.audit(world, node);
    }
}

/// Every running site has three clients.
fn staff(world: &mut World, work: &dyn Work, until: u64) {
    for node in 0..world.nodes.len() {
        if world.nodes[node].process.is_none() {
            continue;
        }
        for _ in world.clients_of(node)..3 {
            let client = work.client(world, node, until);
            world.connect(node, client);
        }
    }
}

/// Clients of [`effects`].
struct Effects(Arc<Mutex<Told>>);

impl Effects {
    fn new_client(&self, world: &mut World, node: usize) -> Client {
        let random = world.fork_random();
        Client { host: world.host(node), time: world.time.clone(), random, told: self.0.clone() }
    }
}

impl Work for Effects {
    fn set_up(&self, world: &mut World, node: usize) -> Task {
        Box::pin(self.new_client(world, node).set_up())
    }

    fn client(&self, world: &mut World, node: usize, until: u64) -> Task {
        Box::pin(self.new_client(world, node).work(until))
    }

    fn audit(&self, world: &World, node: usize) {
        effects::audit(&*world.host(node), &self.0.lock());
    }
}

/// Clients of [`shop`].
struct Shop(Arc<Mutex<Books>>);

impl Shop {
    fn shopper(&self, world: &mut World, node: usize) -> Shopper {
        let random = world.fork_random();
        Shopper::new(Shared::new(world.host(node)), world.time.clone(), random, self.0.clone())
    }
}

impl Work for Shop {
    fn set_up(&self, world: &mut World, node: usize) -> Task {
        Box::pin(self.shopper(world, node).set_up())
    }

    fn client(&self, world: &mut World, node: usize, until: u64) -> Task {
        Box::pin(self.shopper(world, node).work(until))
    }

    fn audit(&self, world: &World, node: usize) {
        shop::audit(&world.host(node).snapshot(), &self.0.lock());
    }
}
