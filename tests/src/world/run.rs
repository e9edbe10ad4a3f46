//! Running the world: taking events in order, faults, links, clients.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use gemini::site::Input;

use super::{Event, World, poll};

/// How often a site ticks, µs.
const TICK: u64 = 20_000;

/// How often links are looked at, µs.
const LINKS: u64 = 50_000;

/// A link over which nothing comes is given up after this long, µs.
const GIVE_UP: u64 = 1_000_000;

impl World {
    /// Starts a site's process.
    pub fn start(&mut self, node: usize) {
        let mut out = Vec::new();
        let time = self.time.clone();
        let mut random = self.random.fork();
        self.nodes[node].start(&time, &mut random, &mut out);
        self.note(format!("s{} starts", node + 1));
        let life = self.nodes[node].life;
        if let Some(process) = &self.nodes[node].process {
            self.checks.started(node, &process.site);
        }
        self.carry_out(node, out);
        self.schedule(self.options.seed % TICK, Event::Tick { node, life });
    }

    /// The power goes at a site.
    pub fn crash(&mut self, node: usize) {
        self.note(format!("s{} crashes", node + 1));
        let mut random = self.random.fork();
        let life = self.nodes[node].life;
        self.clients.retain(|client| client.node != node || client.life != life);
        self.nodes[node].crash(&mut random);
        let others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != node).collect();
        for other in others {
            self.unlink(node.min(other), node.max(other), "the peer has crashed");
        }
    }

    /// Begins the time of trouble.
    pub fn trouble(&mut self) {
        self.troubled = true;
        self.schedule(100_000, Event::Fault);
    }

    /// Ends it: links heal, sites come back.
    pub fn heal(&mut self) {
        self.troubled = false;
        self.note("all heals".to_string());
        self.network.heal();
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_none() {
                self.start(node);
            }
        }
    }

    /// Cuts or heals both directions between two sites.
    pub fn set_cut(&mut self, a: usize, b: usize, cut: bool) {
        self.note(format!("s{} - s{} {}", a + 1, b + 1, if cut { "cut" } else { "healed" }));
        self.network.set_cut(a, b, cut);
        self.network.set_cut(b, a, cut);
    }

    /// Runs for so long, µs, or until `done`.
    pub fn run(&mut self, micros: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.time.now() + micros;
        self.settle();
        loop {
            if done(self) {
                return true;
            }
            let event = self.events.peek().map(|Reverse((at, _))| *at);
            let sleeper = self.time.next();
            let next = event.into_iter().chain(sleeper).min().unwrap_or(end);
            if next > end {
                self.time.advance(end);
                return false;
            }
            self.time.advance(next);
            if event == Some(next)
                && let Some(Reverse((_, id))) = self.events.pop()
                && let Some(event) = self.pending.remove(&id)
            {
                self.happen(event);
            }
            self.settle();
        }
    }

    /// Lets clients and sessions' letters run until nothing moves.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            let mut clients = std::mem::take(&mut self.clients);
            for client in &mut clients {
                if client.woken.0.load(Ordering::Relaxed) && client.task.is_some() {
                    poll(client);
                    moved = true;
                }
            }
            clients.append(&mut self.clients);
            clients.retain(|client| client.task.is_some());
            self.clients = clients;
            for node in 0..self.nodes.len() {
                while let Some(letter) = self.nodes[node].process.as_ref().and_then(|p| p.letters.take()) {
                    self.step(node, letter);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { node, life } => self.tick(node, life),
            Event::Arrive { to, life, from, bytes } => {
                let pair = (from.min(to), from.max(to));
                if self.nodes[to].life == life && self.linked.contains_key(&pair) {
                    self.note(format!("s{} -> s{} {} bytes", from + 1, to + 1, bytes.len()));
                    let from = self.nodes[from].id;
                    self.step(to, Input::Frame { from, bytes });
                }
            }
            Event::Synced { node, life } => self.synced(node, life),
            Event::Links => {
                self.look_at_links();
                self.schedule(LINKS, Event::Links);
            }
            Event::Fault => self.fault(),
            Event::Start { node } => {
                if self.nodes[node].process.is_none() {
                    self.start(node);
                }
            }
            Event::Heal { from, to } => self.network.set_cut(from, to, false),
        }
    }

    fn tick(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life {
            return;
        }
        self.step(node, Input::Tick);
        if let Some(process) = &self.nodes[node].process {
            process.site.fold_handle().fold(64).expect("the simulated store does not fail");
        }
        self.schedule(TICK, Event::Tick { node, life });
    }

    fn synced(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life {
            return;
        }
        let disk = self.nodes[node].disk.clone();
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let Some(mut batch) = process.batch.take() else { return };
        let end = batch.write(&disk).expect("the simulated disk does not fail");
        self.step(node, Input::Durable(end));
    }

    fn look_at_links(&mut self) {
        let now = self.time.now();
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                let alive = self.nodes[a].process.is_some() && self.nodes[b].process.is_some();
                let open = alive && self.network.open(a, b);
                match self.linked.get(&(a, b)).copied() {
                    None if open => self.link(a, b),
                    Some(_) if open => {
                        self.linked.insert((a, b), None);
                    }
                    Some(None) => {
                        self.linked.insert((a, b), Some(now));
                    }
                    Some(Some(since)) if now >= since + GIVE_UP => self.unlink(a, b, "silence"),
                    _ => {}
                }
            }
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        self.note(format!("s{} = s{} linked", a + 1, b + 1));
        self.linked.insert((a, b), None);
        let (first, second) = (self.nodes[a].id, self.nodes[b].id);
        self.step(a, Input::PeerUp(second));
        self.step(b, Input::PeerUp(first));
    }

    pub(super) fn unlink(&mut self, a: usize, b: usize, reason: &str) {
        if self.linked.remove(&(a, b)).is_none() {
            return;
        }
        self.note(format!("s{} x s{} {reason}", a + 1, b + 1));
        let (first, second) = (self.nodes[a].id, self.nodes[b].id);
        self.step(a, Input::PeerDown { site: second, reason: reason.to_string() });
        self.step(b, Input::PeerDown { site: first, reason: reason.to_string() });
    }

    /// Something goes wrong, now and then.
    fn fault(&mut self) {
        if !self.troubled {
            return;
        }
        self.schedule(100_000, Event::Fault);
        if !self.random.chance(self.options.faults / 10) {
            return;
        }
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let other = (node + 1 + self.random.below(self.nodes.len() as u64 - 1) as usize) % self.nodes.len();
        let lasts = self.random.between(200_000, 4_000_000);
        match self.random.below(4) {
            0 | 1 if self.nodes[node].process.is_some() => {
                self.crash(node);
                self.schedule(lasts, Event::Start { node });
            }
            2 => self.cut_for(&[(node, other), (other, node)], lasts),
            3 if self.random.chance(500) => self.cut_for(&[(node, other)], lasts),
            3 => {
                let all: Vec<(usize, usize)> = (0..self.nodes.len())
                    .filter(|peer| *peer != node)
                    .flat_map(|peer| [(node, peer), (peer, node)])
                    .collect();
                self.cut_for(&all, lasts);
            }
            _ => {}
        }
    }

    fn cut_for(&mut self, directions: &[(usize, usize)], lasts: u64) {
        for (from, to) in directions {
            self.note(format!("s{} -> s{} cut for {lasts} µs", from + 1, to + 1));
            self.network.set_cut(*from, *to, true);
            self.schedule(lasts, Event::Heal { from: *from, to: *to });
        }
    }
}
