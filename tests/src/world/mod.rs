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

pub mod desk;
pub mod effects;
pub mod faults;
mod filling;
pub mod histories;
pub mod keep;
pub mod network;
pub mod node;
pub mod operator;
pub mod options;
mod run;
pub mod shop;
pub mod time;
pub mod trace;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};

use bytes::Bytes;
use gemini::site::{Input, Installation, Output, Reply};
use gemini_shadow_ops::SiteId;
use gemini_sql::host::Host;

use crate::check::Checks;
use crate::random::Random;
use desk::Desk;
use faults::{Over, Planned};
use keep::Keep;
use network::Network;
use node::Node;
use operator::Operator;
pub use options::Options;
use time::Time;
use trace::{Happened, Trace};

/// When every simulation begins: 2026-01-01, in microseconds since 1970.
const BEGIN: u64 = 1_767_225_600_000_000;

#[derive(Debug)]
enum Event {
    Tick { node: usize, life: u64 },
    Arrive { to: usize, life: u64, from: usize, bytes: Bytes },
    Synced { node: usize, life: u64 },
    Link { node: usize, life: u64, input: Input },
    Links,
    Fault { number: usize, planned: Planned },
    Over { which: usize },
    Operator,
    Start { node: usize },
    Install { node: usize, life: u64, installation: Box<Installation> },
}

/// A client's life as a future.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Client {
    node: usize,
    life: u64,
    desk: Option<usize>,
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
    /// Turns begun at each desk.
    turns: BTreeMap<usize, Arc<AtomicU64>>,
    keep: Arc<Keep>,
    /// How faults end.
    ends: Vec<Over>,
    /// Since when.
    troubled: Option<u64>,
    healed: bool,
    operator: Operator,
    operator_random: Random,
    /// The promises.
    pub checks: Checks,
    /// Site steps so far.
    pub steps: u64,
    /// How often a site was filled.
    pub filled: u64,
    trace: Trace,
}

impl World {
    /// With all sites down.
    pub fn new(options: Options) -> World {
        let options = options.calmed();
        let mut random = Random::new(options.seed);
        let (least, most) = options.delay;
        let machines = options.sites + options.spare;
        let network = Network::new(machines, least, most, options.weather, &mut random);
        let preferred = SiteId(random.between(1, options.sites as u64) as u16);
        let time = Time::default();
        time.advance(BEGIN);
        let node = |id| {
            let skew = random.below(2 * options.skew + 1) as i64 - options.skew as i64;
            Node::new(SiteId(id), preferred, skew, &time, random.fork())
        };
        let mut nodes: Vec<Node> = (1..=machines as u16).map(node).collect();
        nodes.iter_mut().for_each(|node| node.loses_store = options.loses_store);
        for spare in &mut nodes[options.sites..] {
            (spare.away, spare.outside) = (true, true);
        }
        let checks = Checks::new(&options);
        let keep = Arc::new(options.keep.clone());
        let (options_seed, sites, spare, trouble) =
            (options.seed, options.sites, options.spare, options.trouble);
        let operates = spare > 0;
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
            turns: BTreeMap::new(),
            keep,
            ends: Vec::new(),
            troubled: None,
            healed: false,
            operator: Operator::plan(options_seed, sites, spare, trouble),
            operator_random: Random::new(options_seed ^ 0x00a5_4ed0).fork(),
            checks,
            steps: 0,
            filled: 0,
            trace: Trace::default(),
        };
        world.schedule(10_000, Event::Links);
        if operates {
            world.schedule(10_000, Event::Operator);
        }
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

    /// How long trouble has lasted, µs; None before it began.
    pub fn troubled_for(&self) -> Option<u64> {
        self.troubled.map(|since| self.time.now() - since)
    }

    /// What sessions of a running site speak to.
    pub fn host(&self, node: usize) -> Arc<dyn Host> {
        self.nodes[node].process.as_ref().expect("the site runs").host.clone()
    }

    /// Adds a client to a running site. Its future is dropped when the site's process ends.
    pub fn connect(&mut self, node: usize, task: Task) {
        self.add_client(node, None, task);
    }

    fn add_client(&mut self, node: usize, desk: Option<usize>, task: Task) {
        let life = self.nodes[node].life;
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        self.clients.push(Client { node, life, desk, task: Some(task), woken });
    }

    /// The `place`-th desk of a running site, if nobody sits there and it is kept.
    pub fn free_desk(&mut self, node: usize, place: usize, until: u64) -> Option<Desk> {
        let id = place * self.nodes.len() + node;
        let taken = self.clients.iter().any(|client| client.desk == Some(id) && client.task.is_some());
        let serves = self.nodes[node].process.as_ref().is_some_and(|process| !process.site.filling());
        let closed = !serves || self.nodes[node].outside;
        if taken || closed || !self.keep.desk(id) {
            return None;
        }
        Some(Desk {
            id,
            node,
            until,
            seed: Random::new(self.options.seed ^ ((id as u64 + 1) << 32)).bits(),
            turns: self.turns.entry(id).or_default().clone(),
            time: self.time.clone(),
            keep: self.keep.clone(),
        })
    }

    /// Turns begun so far, by desk.
    pub fn turns(&self) -> BTreeMap<usize, u64> {
        self.turns.iter().map(|(desk, turns)| (*desk, turns.load(Ordering::Relaxed))).collect()
    }

    /// Adds a client at a desk of a running site.
    pub fn seat(&mut self, node: usize, desk: usize, task: Task) {
        self.add_client(node, Some(desk), task);
    }

    /// How many clients have not come to their end.
    pub fn busy_clients(&self) -> usize {
        self.clients.iter().filter(|client| client.task.is_some()).count()
    }

    /// The last events, with a legend.
    pub fn trace(&self) -> String {
        self.trace.text()
    }

    /// A hash of every event so far: two runs of a plan must agree.
    pub fn fingerprint(&self) -> u64 {
        self.trace.fingerprint
    }

    fn schedule(&mut self, after: u64, event: Event) {
        self.schedule_at(self.time.now() + after, event);
    }

    fn schedule_at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled)));
        self.pending.insert(self.scheduled, event);
    }

    fn note(&mut self, happened: Happened) {
        self.trace.add(self.elapsed(), happened);
    }

    fn say(&mut self, mark: &'static str, text: String) {
        self.note(Happened::Said { mark, text });
    }

    /// Gives one input to a running site, and carries out what it answers.
    fn step(&mut self, node: usize, input: Input) {
        let now = self.nodes[node].clock.now();
        let input = self.watched(node, input);
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let mut out = Vec::new();
        process.site.step(now, input, &mut out);
        self.steps += 1;
        self.carry_out(node, out);
        let Some(process) = &self.nodes[node].process else { return };
        if self.checks.after_step(node, &process.site) {
            let applied = process.site.engine().applied().clone();
            let shown = self.checks.shown(node).clone();
            self.note(Happened::Applied { node, applied, shown });
        }
        let under_way = self.nodes[node].process.as_ref().is_some_and(|process| process.batch.is_some());
        for (told, answer) in self.checks.answers(node, under_way) {
            self.say("!", format!("s{} {told}", node + 1));
            let process = self.nodes[node].process.as_ref();
            self.checks.told(node, &process.expect("it has just stepped").site, &answer.outcome);
            answer.reply.send(answer.outcome);
        }
    }

    /// Has the checkers hear the answer to a submission before its session does.
    fn watched(&mut self, node: usize, input: Input) -> Input {
        match input {
            Input::Submit { submission, reply } if !reply.is_closed() => {
                let (ours, answer) = Reply::new();
                let what = self.checks.submitted(node, self.time.now(), &submission, reply, answer);
                self.say("?", format!("s{} {what}", node + 1));
                Input::Submit { submission, reply: ours }
            }
            other => other,
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
            Output::Send { to, frame } => self.send(node, usize::from(to.0) - 1, frame),
            Output::Write(batch) => {
                let takes = self.nodes[node].sync_takes(self.options.sync);
                let Some(process) = self.nodes[node].process.as_mut() else { return };
                self.checks.writes(node, &process.site, batch.end);
                process.batch = Some(batch);
                self.schedule(takes, Event::Synced { node, life });
            }
            Output::Upkeep(upkeep) => {
                let disk = self.nodes[node].disk.clone();
                if let Some(input) = upkeep.run(&disk).err().and_then(|error| self.disk_error(node, &error)) {
                    self.schedule(0, Event::Link { node, life, input });
                }
            }
            Output::Reply(reply, outcome) => reply.send(outcome),
            Output::Minted(reply, outcome) => reply.send(outcome),
            Output::Visible => {
                if let Some(process) = &self.nodes[node].process {
                    process.publish();
                }
            }
            Output::Disconnect { site, reason } => {
                let other = usize::from(site.0) - 1;
                self.say(" ", format!("s{} disconnects s{}: {reason}", node + 1, other + 1));
                self.unlink(node.min(other), node.max(other), "closed");
            }
            Output::Fill(work) => self.fill_work(node, work),
            Output::Reopen(reason) => self.reopen(node, &reason),
            Output::Members | Output::Drained => {}
            Output::Stop(reason) => {
                let broken = self.nodes[node].broken;
                assert!(broken, "stop: site s{} stops although its disk is sound: {reason}", node + 1);
                self.crash(node);
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, frame: Bytes) {
        let site = self.nodes[from].process.as_ref().map(|process| &process.site);
        self.checks.says(from, site, to, &frame);
        let life = self.nodes[to].life;
        for at in self.network.arrivals(self.time.now(), from, to) {
            self.schedule_at(at, Event::Arrive { to, life, from, bytes: frame.clone() });
        }
    }

    /// Whether nothing is under way and all sites are at one frontier, on disk.
    pub fn quiet(&self) -> bool {
        let running = self.nodes.iter().filter(|node| !node.away && !node.outside);
        let mut frontiers = running.map(|node| {
            let process = node.process.as_ref()?;
            let visible = process.site.engine().reader().snapshot().frontier().clone();
            (visible == *process.site.engine().applied()).then_some(visible)
        });
        let Some(Some(first)) = frontiers.next() else { return false };
        self.busy_clients() == 0
            && self.operator.rests()
            && self.removed_know()
            && frontiers.all(|other| other.as_ref() == Some(&first))
    }

    /// Some sites, fewer than half, to be lost.
    pub fn minority(&mut self) -> Vec<usize> {
        let sites = self.nodes.len() as u64;
        let (first, many) = (self.random.below(sites), self.random.between(1, (sites - 1) / 2));
        (first..first + many).map(|node| (node % sites) as usize).collect()
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

fn poll(client: &mut Client) {
    let Some(task) = client.task.as_mut() else { return };
    client.woken.0.store(false, Ordering::Relaxed);
    let waker = Waker::from(client.woken.clone());
    if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
        client.task = None;
    }
}
