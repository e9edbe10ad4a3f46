//! One simulation from a plan: set up, trouble with clients at work, then all heals and must converge within a bound.
//!
//! ```text
//!   set up ──► safety phase: faults as planned, clients at work, checkers after every step
//!                 │
//!                 ▼
//!          (some seeds) a minority is lost: the others must order red transactions all the same
//!                 │
//!                 ▼
//!              all heals ──► liveness phase: every site commits blue and red, and all come to one frontier, in time
//! ```
//!
//! [`run`] and [`run_shop`] run a seed with everything drawn from it. Whoever has clients of their own implements [`Work`]
//! and calls [`simulate`]; a failure comes back as a value that prints its trace and the command that repeats it, and [`shrink`]
//! makes it smaller. [`Space`] runs many seeds.

mod failure;
pub mod found;
mod search;
mod shrink;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gemini_engine::Snapshot;
use gemini_sql::session::Shared;
use parking_lot::Mutex;

pub use failure::Failure;
pub use search::Space;
pub use shrink::shrink;

use crate::world::desk::Desk;
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
    /// How often a site was filled from another one.
    pub filled: u64,
    pub told: T,
    /// A hash of every event: equal for two runs of a plan.
    pub fingerprint: u64,
}

/// After everything has healed, all sites must be equal within this time, µs.
const CONVERGE: u64 = 60_000_000;

/// The tables must be there within this time, µs.
const SET_UP: u64 = 20_000_000;

/// With a minority lost, the others must order red transactions within this time, µs.
const UNWEDGE: u64 = 30_000_000;

/// Who works at the sites, and what they promise.
pub trait Work {
    /// What its clients were told, for the report.
    type Told;
    /// The test (`--test …`) whose `repeat` repeats a seed of it.
    fn test(&self) -> &'static str;
    /// Prepares the tables from one site; tries until it has worked.
    fn set_up(&self, world: &mut World, node: usize) -> Task;
    /// A client at a desk, until the desk closes.
    fn client(&self, world: &mut World, desk: Desk) -> Task;
    /// Commits something red and something blue at a site; tries until it has worked. None: the workload has no such client.
    fn probe(&self, _world: &mut World, _node: usize) -> Option<Task> {
        None
    }
    /// What must hold in every snapshot of every site, beyond what the schema declares.
    fn promise(&self) -> Option<fn(&Snapshot)> {
        None
    }
    /// Looks at a quiet site in the end.
    fn audit(&self, world: &World, node: usize);
    /// What the clients were told, when all is over.
    fn told(&self) -> Self::Told;
}

/// Runs a seed of the swarm with clients that make effects by hand; a failure is printed, and panics.
pub fn run(seed: u64) -> Report {
    simulate(Options::swarm(seed), &Effects::default()).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Runs a seed of the swarm with members that come and go.
pub fn run_members(seed: u64) -> Report {
    simulate(Options::members(seed), &Members::default()).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Runs a seed of the swarm with SQL sessions.
pub fn run_shop(seed: u64) -> Report<Books> {
    simulate(Options::shop(seed), &Shop::default()).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Runs a world of these options with these clients.
pub fn simulate<W: Work>(options: Options, work: &W) -> Result<Report<W::Told>, Box<Failure>> {
    let drawn = options.clone();
    let mut world = World::new(options);
    world.checks.promise = work.promise();
    match catch_unwind(AssertUnwindSafe(|| live(&mut world, work))) {
        Ok(()) => Ok(Report {
            seed: world.options().seed,
            steps: world.steps,
            elapsed: world.elapsed(),
            filled: world.filled,
            told: work.told(),
            fingerprint: world.fingerprint(),
        }),
        Err(panic) => Err(Box::new(Failure::new(&world, drawn, work.test(), &*panic))),
    }
}

fn live<W: Work>(world: &mut World, work: &W) {
    for node in world.members() {
        world.start(node);
    }
    let set_up = work.set_up(world, 0);
    world.connect(0, set_up);
    let ready = world.run(SET_UP, |world| world.busy_clients() == 0);
    assert!(ready, "liveness: the tables are not there in time");

    world.trouble();
    let until = world.time.now() + world.options().trouble;
    while world.time.now() < until {
        staff(world, work, until);
        world.run(250_000, |_| false);
    }
    let away = if world.options().bereft { world.minority() } else { Vec::new() };
    world.heal(&away);
    if !away.is_empty() {
        whole(world);
        probe(world, work);
        let ordered = world.run(UNWEDGE, |world| world.busy_clients() == 0);
        assert!(ordered, "wedge: red transactions wait for {away:?} (from 0):\n{}", world.frontiers());
        world.come_back();
    }
    whole(world);
    probe(world, work);
    let converged = world.run(CONVERGE, |world| world.quiet() && world.checks.resolved());
    assert!(converged, "liveness: sites have not converged in time:\n{}", world.frontiers());
    let members = world.members();
    let sites = members.iter().filter_map(|node| world.nodes[*node].process.as_ref());
    world.checks.finish(sites.map(|process| &process.site));
    for node in members {
        work.audit(world, node);
    }
}

/// Every running site has tables.
fn whole(world: &mut World) {
    let whole = world.run(UNWEDGE, World::nobody_is_filled);
    assert!(whole, "liveness: sites are not filled in time:\n{}", world.frontiers());
}

/// Somebody commits at every running site.
fn probe<W: Work>(world: &mut World, work: &W) {
    for node in world.members() {
        if world.nodes[node].process.is_some()
            && let Some(task) = work.probe(world, node)
        {
            world.connect(node, task);
        }
    }
}

/// Every desk of a running site has a client.
fn staff<W: Work>(world: &mut World, work: &W, until: u64) {
    for node in 0..world.nodes.len() {
        for place in 0..world.options().desks {
            if let Some(desk) = world.free_desk(node, place, until) {
                let id = desk.id;
                let client = work.client(world, desk);
                world.seat(node, id, client);
            }
        }
    }
}

/// Clients of [`effects`].
#[derive(Debug, Default)]
pub struct Effects(Arc<Mutex<Told>>);

impl Work for Effects {
    type Told = Told;

    fn test(&self) -> &'static str {
        "simulation"
    }

    fn set_up(&self, world: &mut World, node: usize) -> Task {
        let client = Client::new(world.host(node), world.time.clone(), self.0.clone());
        Box::pin(client.set_up())
    }

    fn client(&self, world: &mut World, desk: Desk) -> Task {
        let client = Client::new(world.host(desk.node), world.time.clone(), self.0.clone());
        Box::pin(client.work(desk))
    }

    fn probe(&self, world: &mut World, node: usize) -> Option<Task> {
        let client = Client::new(world.host(node), world.time.clone(), self.0.clone());
        Some(Box::pin(client.probe()))
    }

    fn audit(&self, world: &World, node: usize) {
        effects::audit(&*world.host(node), &self.0.lock());
    }

    fn told(&self) -> Told {
        std::mem::take(&mut self.0.lock())
    }
}

/// The same clients, at sites that come and go.
#[derive(Default)]
pub struct Members(Effects);

impl Work for Members {
    type Told = Told;

    fn test(&self) -> &'static str {
        "membership"
    }

    fn set_up(&self, world: &mut World, node: usize) -> Task {
        self.0.set_up(world, node)
    }

    fn client(&self, world: &mut World, desk: Desk) -> Task {
        self.0.client(world, desk)
    }

    fn probe(&self, world: &mut World, node: usize) -> Option<Task> {
        self.0.probe(world, node)
    }

    /// Sums of what clients were told do not tell what was lost with a site: `check/members.rs` says which transactions must be
    /// there, and `check/rows.rs` what they come to.
    fn audit(&self, _world: &World, _node: usize) {}

    fn told(&self) -> Told {
        self.0.told()
    }
}

/// The clients of [`Effects`] at sites that are cut off.
#[derive(Debug, Default)]
pub struct CutOff(Effects);

impl Work for CutOff {
    type Told = Told;

    fn test(&self) -> &'static str {
        "simulated_filling"
    }

    fn set_up(&self, world: &mut World, node: usize) -> Task {
        self.0.set_up(world, node)
    }

    fn client(&self, world: &mut World, desk: Desk) -> Task {
        self.0.client(world, desk)
    }

    fn probe(&self, world: &mut World, node: usize) -> Option<Task> {
        self.0.probe(world, node)
    }

    fn audit(&self, world: &World, node: usize) {
        self.0.audit(world, node);
    }

    fn told(&self) -> Told {
        self.0.told()
    }
}

/// Clients of [`shop`].
#[derive(Debug, Default)]
pub struct Shop(Arc<Mutex<Books>>);

impl Shop {
    fn shopper(&self, world: &World, node: usize) -> Shopper {
        Shopper::new(Shared::new(world.host(node)), world.time.clone(), self.0.clone())
    }
}

impl Work for Shop {
    type Told = Books;

    fn test(&self) -> &'static str {
        "simulated_sql"
    }

    fn set_up(&self, world: &mut World, node: usize) -> Task {
        Box::pin(self.shopper(world, node).set_up())
    }

    fn client(&self, world: &mut World, desk: Desk) -> Task {
        Box::pin(self.shopper(world, desk.node).work(desk))
    }

    fn probe(&self, world: &mut World, node: usize) -> Option<Task> {
        Some(Box::pin(self.shopper(world, node).probe()))
    }

    fn promise(&self) -> Option<fn(&Snapshot)> {
        Some(shop::look)
    }

    fn audit(&self, world: &World, node: usize) {
        shop::audit(&world.host(node).snapshot(), &self.0.lock());
    }

    fn told(&self) -> Books {
        std::mem::take(&mut self.0.lock())
    }
}
