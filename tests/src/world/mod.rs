//! The world: sites, machines, links and clients in one thread, from one seed.
//!
//! ```text
//!        clients (futures of real SQL sessions)
//!           │ Submit, Mint            ▲ Reply
//!           ▼                         │
//!      ┌─ Site::step ─┐   Send   ┌────┴─────────┐
//!      │   node 1     │ ───────► │ network      │ ──► Frame ──► Site::step of node 2 …
//!      └──────┬───────┘          └──────────────┘
//!             │ Write                 delay, loss, doubling, reordering, cuts
//!             ▼
//!          MemDisk ── later ──► Durable        crash: what was not synced is kept, lost or torn
//! ```
//!
//! Everything that happens is an event with a time; ties are broken by the order of scheduling. The same options give
//! the same run, event for event. After every step the checkers of [`crate::check`] look at the site that stepped.
//!
//! What is not simulated: QUIC and the PostgreSQL protocol's bytes (the cluster tests with real processes do that), and
//! scheduling within a process.

pub mod effects;
pub mod histories;
pub mod network;
pub mod node;
mod run;
pub mod shop;
pub mod time;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use bytes::Bytes;
use gemini::site::{Input, Output};
use gemini_shadow_ops::SiteId;
use gemini_sql::host::Host;

use crate::check::Checks;
use crate::random::Random;
use network::{Network, Weather};
use node::Node;
use time::Time;

/// When every simulation begins: 2026-01-01, in microseconds since 1970.
const BEGIN: u64 = 1_767_225_600_000_000;

/// What a world is made of. All of it can be drawn from a seed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// How many sites.
    pub sites: usize,
    /// One-way delays lie between these, µs.
    pub delay: (u64, u64),
    /// How badly links behave.
    pub weather: Weather,
    /// A sync takes between these, µs.
    pub sync: (u64, u64),
    /// How far clocks are off, µs.
    pub skew: u64,
    /// Crashes, cuts and pauses, per simulated second, in thousandths.
    pub faults: u64,
    /// How long faults go on, µs.
    pub trouble: u64,
}

impl Options {
    /// Draws everything but the seed from the seed: no two seeds stress the same things.
    pub fn swarm(seed: u64) -> Options {
        let mut random = Random::new(seed).fork();
        let far = if random.chance(500) { 3_000 } else { 90_000 };
        Options {
            seed,
            sites: if random.chance(200) { 5 } else { 3 },
            delay: (200, far),
            weather: Weather {
                lost: if random.chance(500) { random.below(30) } else { 0 },
                doubled: if random.chance(500) { random.below(30) } else { 0 },
                reordered: if random.chance(500) { random.below(60) } else { 0 },
            },
            sync: if random.chance(200) { (1_000, 40_000) } else { (50, 400) },
            skew: if random.chance(300) { 200_000 } else { 5_000 },
            faults: if random.chance(150) { 0 } else { random.between(100, 800) },
            trouble: random.between(4, 12) * 1_000_000,
        }
    }
}

#[derive(Debug)]
enum Event {
    Tick { node: usize, life: u64 },
    Arrive { to: usize, life: u64, from: usize, bytes: Bytes },
    Synced { node: usize, life: u64 },
    Links,
    Fault,
    Start { node: usize },
    Heal { from: usize, to: usize },
}

/// A client's life as a future.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Client {
    node: usize,
    life: u64,
    task: Option<Task>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sites, machines, links, clients.
pub struct World {
    options: Options,
    random: Random,
    /// The clock.
    pub time: Time,
    /// The machines.
    pub nodes: Vec<Node>,
    network: Network,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    pending: BTreeMap<u64, Event>,
    scheduled: u64,
    /// Which pairs are linked (least first), and since when one of them has not been heard.
    linked: BTreeMap<(usize, usize), Option<u64>>,
    clients: Vec<Client>,
    /// The promises.
    pub checks: Checks,
    /// Site steps so far.
    pub steps: u64,
    /// The last events, for people.
    trace: VecDeque<String>,
    /// A hash of every event so far: two runs of a seed must agree.
    pub fingerprint: u64,
    troubled: bool,
}

impl World {
    /// With all sites down.
    pub fn new(options: Options) -> World {
        let mut random = Random::new(options.seed);
        let network =
            Network::new(options.sites, options.delay.0, options.delay.1, options.weather, &mut random);
        let preferred = SiteId(random.between(1, options.sites as u64) as u16);
        let nodes = (1..=options.sites as u16)
            .map(|id| {
                let skew = random.below(2 * options.skew + 1) as i64 - options.skew as i64;
                Node::new(SiteId(id), options.sites as u16, preferred, skew)
            })
            .collect();
        let time = Time::default();
        time.advance(BEGIN);
        let sites = options.sites;
        let mut world = World {
            options,
            random,
            time,
            nodes,
            network,
            events: BinaryHeap::new(),
            pending: BTreeMap::new(),
            scheduled: 0,
            linked: BTreeMap::new(),
            clients: Vec::new(),
            checks: Checks::new(sites),
            steps: 0,
            trace: VecDeque::new(),
            fingerprint: 0,
            troubled: false,
        };
        world.schedule(10_000, Event::Links);
        world
    }

    /// What it was made of.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Numbers of its own for a part of the test.
    pub fn fork_random(&mut self) -> Random {
        self.random.fork()
    }

    /// Microseconds since the world began.
    pub fn elapsed(&self) -> u64 {
        self.time.now() - BEGIN
    }

    /// What sessions of a running site speak to.
    pub fn host(&self, node: usize) -> Arc<dyn Host> {
        self.nodes[node].process.as_ref().expect("the site runs").host.clone()
    }

    /// Adds a client to a running site. Its future is dropped when the site's process ends.
    pub fn connect(&mut self, node: usize, task: Task) {
        let life = self.nodes[node].life;
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.clients.push(Client { node, life, task: Some(task), woken });
    }

    /// How many clients have not come to their end.
    pub fn busy_clients(&self) -> usize {
        self.clients.iter().filter(|client| client.task.is_some()).count()
    }

    /// The last events.
    pub fn trace(&self) -> String {
        self.trace.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn schedule(&mut self, after: u64, event: Event) {
        self.schedule_at(self.time.now() + after, event);
    }

    fn schedule_at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled)));
        self.pending.insert(self.scheduled, event);
    }

    fn note(&mut self, line: String) {
        let line = format!("{:>10} {line}", self.elapsed());
        for byte in line.bytes() {
            self.fingerprint = (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.trace.len() == 400 {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    /// Gives one input to a running site, and carries out what it answers.
    fn step(&mut self, node: usize, input: Input) {
        let now = self.nodes[node].clock(self.time.now());
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let mut out = Vec::new();
        process.site.step(now, input, &mut out);
        self.steps += 1;
        self.carry_out(node, out);
        if let Some(process) = &self.nodes[node].process {
            self.checks.after_step(node, &process.site);
        }
    }

    fn carry_out(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            self.carry_out_one(node, output);
        }
    }

    fn carry_out_one(&mut self, node: usize, output: Output) {
        let life = self.nodes[node].life;
        match output {
            Output::Send { to, frame } => {
                let to = usize::from(to.0) - 1;
                let receiver = self.nodes[to].life;
                for at in self.network.arrivals(self.time.now(), node, to, &mut self.random) {
                    let event = Event::Arrive { to, life: receiver, from: node, bytes: frame.clone() };
                    self.schedule_at(at, event);
                }
            }
            Output::Write(batch) => {
                let (least, most) = self.options.sync;
                let takes = self.random.between(least, most);
                self.nodes[node].process.as_mut().expect("it has just stepped").batch = Some(batch);
                self.schedule(takes, Event::Synced { node, life });
            }
            Output::Upkeep(upkeep) => {
                let disk = self.nodes[node].disk.clone();
                upkeep.run(&disk).expect("the simulated disk has room");
            }
            Output::Reply(reply, outcome) => {
                if let Ok(committed) = &outcome {
                    self.checks.acknowledged(node, committed.id);
                }
                reply.send(outcome);
            }
            Output::Minted(reply, outcome) => reply.send(outcome),
            Output::Visible => {
                if let Some(process) = &self.nodes[node].process {
                    process.publish();
                }
            }
            Output::Disconnect { site, reason } => {
                let other = usize::from(site.0) - 1;
                self.note(format!("s{} disconnects s{}: {reason}", node + 1, other + 1));
                self.unlink(node.min(other), node.max(other), "closed");
            }
            Output::Drained => {}
            Output::Stop(reason) => panic!("site s{} stops: {reason}", node + 1),
        }
    }
}

fn poll(client: &mut Client) {
    let Some(task) = client.task.as_mut() else { return };
    client.woken.0.store(false, Ordering::Relaxed);
    let waker = Waker::from(client.woken.clone());
    if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
        client.task = None;
    }
}

impl World {
    /// How many clients a site's process has.
    pub fn clients_of(&self, node: usize) -> usize {
        let life = self.nodes[node].life;
        self.clients.iter().filter(|c| c.node == node && c.life == life && c.task.is_some()).count()
    }

    /// Whether nothing is under way and all sites are at one frontier, on disk.
    pub fn quiet(&self) -> bool {
        let mut frontiers = self.nodes.iter().map(|node| {
            let process = node.process.as_ref()?;
            let visible = process.site.engine().reader().snapshot().frontier().clone();
            (visible == *process.site.engine().applied()).then_some(visible)
        });
        let Some(Some(first)) = frontiers.next() else { return false };
        self.busy_clients() == 0 && frontiers.all(|other| other.as_ref() == Some(&first))
    }

    /// Where everyone is, for people.
    pub fn frontiers(&self) -> String {
        let line = |node: &Node| match &node.process {
            Some(process) => format!(
                "{}: {} {:?}",
                node.id,
                process.site.engine().applied(),
                process.site.shared().status()
            ),
            None => format!("{}: down", node.id),
        };
        self.nodes.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
