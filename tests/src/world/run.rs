//! Running the world: taking events in order, processes, disks, links, clients.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use gemini::site::{Input, Reply};
use gemini_engine::log::{LogError, LogRemedy};

use super::trace::Happened;
use super::{Event, World, poll};

/// How often a site ticks, µs.
const TICK: u64 = 20_000;

/// Ticks between two images of a site.
const IMAGES: u64 = 50;

/// How often links are looked at, µs.
const LINKS: u64 = 50_000;

/// A link over which nothing comes is given up after this long, µs.
const GIVE_UP: u64 = 1_000_000;

/// How often a batch that a full disk refused is tried again, and a process that could not start is, µs.
const RETRY: u64 = 200_000;

impl World {
    /// Starts a site's process, if it is down and not away.
    pub fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() || self.nodes[node].away {
            return;
        }
        let mut out = Vec::new();
        if let Err(error) = self.nodes[node].start(&self.options, &mut out) {
            let bad = self.nodes[node].broken || self.nodes[node].full;
            assert!(bad, "recovery: site s{} cannot open what its own disk kept: {error}", node + 1);
            self.say("▼", format!("s{} cannot start: {error}", node + 1));
            self.schedule(RETRY, Event::Start { node });
            return;
        }
        self.say("▲", format!("s{}", node + 1));
        let filling = self.nodes[node].process.as_ref().is_some_and(|process| process.site.filling());
        self.nodes[node].lost &= filling;
        let life = self.nodes[node].life;
        if let Some(process) = &self.nodes[node].process {
            self.checks.started(node, &process.site);
        }
        self.carry_out(node, out);
        self.schedule(self.options.seed % TICK, Event::Tick { node, life });
    }

    /// The power goes at a site.
    pub fn crash(&mut self, node: usize) {
        if self.nodes[node].process.is_none() {
            return;
        }
        self.say("▼", format!("s{}", node + 1));
        let life = self.nodes[node].life;
        self.clients.retain(|client| client.node != node || client.life != life);
        self.checks.crashed(node);
        self.nodes[node].may_lose = self.tables_to_spare(node);
        self.nodes[node].crash();
        let others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != node).collect();
        for other in others {
            self.unlink(node.min(other), node.max(other), "the peer has crashed");
        }
    }

    /// Lets a paused process go on; it finds everything that happened meanwhile.
    pub(super) fn resume(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        machine.paused = machine.paused.saturating_sub(1);
        if machine.paused == 0 {
            self.checks.stalled(node, self.time.now());
            let deferred = std::mem::take(&mut self.nodes[node].deferred);
            deferred.into_iter().for_each(|event| self.happen(event));
        }
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
                let runs = self.nodes[client.node].paused == 0;
                if runs && client.woken.0.load(Ordering::Relaxed) && client.task.is_some() {
                    poll(client);
                    moved = true;
                }
            }
            clients.append(&mut self.clients);
            clients.retain(|client| client.task.is_some());
            self.clients = clients;
            for node in 0..self.nodes.len() {
                while let Some(letter) = self.letter(node) {
                    self.step(node, letter);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn letter(&self, node: usize) -> Option<Input> {
        let node = &self.nodes[node];
        node.process.as_ref().filter(|_| node.paused == 0)?.letters.take()
    }

    pub(super) fn happen(&mut self, event: Event) {
        let at = match &event {
            Event::Tick { node, .. }
            | Event::Synced { node, .. }
            | Event::Link { node, .. }
            | Event::Install { node, .. } => Some(*node),
            Event::Arrive { to, .. } => Some(*to),
            _ => None,
        };
        if let Some(node) = at.filter(|node| self.nodes[*node].paused > 0) {
            return self.nodes[node].deferred.push(event);
        }
        match event {
            Event::Tick { node, life } => self.tick(node, life),
            Event::Arrive { to, life, from, bytes } => {
                let pair = (from.min(to), from.max(to));
                if self.nodes[to].life == life && self.linked.contains_key(&pair) {
                    self.note(Happened::Frame { from, to, bytes: bytes.clone() });
                    let from = self.nodes[from].id;
                    self.step(to, Input::Frame { from, bytes });
                }
            }
            Event::Synced { node, life } => self.synced(node, life),
            Event::Link { node, life, input } => {
                if self.nodes[node].life == life {
                    self.step(node, input);
                }
            }
            Event::Links => {
                self.look_at_links();
                self.schedule(LINKS, Event::Links);
            }
            Event::Fault { number, planned } => self.fault(number, planned),
            Event::Over { which } => self.over(which),
            Event::Operator => self.operate(),
            Event::Start { node } => self.start(node),
            Event::Install { node, life, installation } => self.installs(node, life, &installation),
        }
    }

    fn tick(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life {
            return;
        }
        self.step(node, Input::Tick);
        self.nodes[node].ticks += 1;
        if (self.nodes[node].ticks + 7 * node as u64).is_multiple_of(IMAGES) {
            let (reply, moment) = Reply::new();
            self.nodes[node].image = Some(moment);
            self.step(node, Input::Image(reply));
        }
        self.look_at_image(node);
        if let Some(process) = &self.nodes[node].process {
            process.site.fold_handle().fold(64).expect("the simulated store does not fail");
        }
        self.schedule(TICK, Event::Tick { node, life });
        self.checks.waits(node, self.time.now());
    }

    fn synced(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life {
            return;
        }
        let disk = self.nodes[node].disk.clone();
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        let Some(mut batch) = process.batch.take() else { return };
        match batch.write(&disk) {
            Ok(end) => {
                self.note(Happened::Synced { node, end: end.0 });
                self.checks.synced(node, end);
                self.step(node, Input::Durable(end));
                self.look_at_image(node);
            }
            Err(error) if error.remedy() == LogRemedy::Retry => {
                process.batch = Some(batch);
                self.disk_error(node, &error);
                self.checks.stalled(node, self.time.now());
                self.schedule(RETRY, Event::Synced { node, life });
            }
            Err(error) => {
                let input = self.disk_error(node, &error);
                input.into_iter().for_each(|input| self.step(node, input));
            }
        }
    }

    /// A moment that a site has given is checked before the site goes on.
    fn look_at_image(&mut self, node: usize) {
        let given = self.nodes[node].image.as_mut().and_then(|moment| moment.try_recv().ok());
        if let Some(moment) = given {
            self.nodes[node].image = None;
            let options = self.nodes[node].elsewhere(&self.options);
            self.checks.image(self.nodes[node].clock.now(), moment, options);
        }
    }

    /// What the program's log and keeper threads do about an error: a full disk is waited for, of any other the site is told.
    pub(super) fn disk_error(&mut self, node: usize, error: &LogError) -> Option<Input> {
        self.say("⚡", format!("s{}: {error}", node + 1));
        if error.remedy() == LogRemedy::Retry {
            assert!(self.nodes[node].full, "disk: site s{} finds a disk full that is not: {error}", node + 1);
            return None;
        }
        Some(Input::LogFailed(error.to_string()))
    }

    fn look_at_links(&mut self) {
        let now = self.time.now();
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                let runs = |node: usize| self.nodes[node].process.is_some() && self.nodes[node].paused == 0;
                let open = runs(a) && runs(b) && self.network.open(a, b);
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
        self.say(" ", format!("s{} = s{} linked", a + 1, b + 1));
        self.linked.insert((a, b), None);
        let (first, second) = (self.nodes[a].id, self.nodes[b].id);
        self.tell(a, Input::PeerUp(second));
        self.tell(b, Input::PeerUp(first));
    }

    pub(super) fn unlink(&mut self, a: usize, b: usize, reason: &str) {
        if self.linked.remove(&(a, b)).is_none() {
            return;
        }
        self.say(" ", format!("s{} x s{} {reason}", a + 1, b + 1));
        let (first, second) = (self.nodes[a].id, self.nodes[b].id);
        self.tell(a, Input::PeerDown { site: second, reason: reason.to_string() });
        self.tell(b, Input::PeerDown { site: first, reason: reason.to_string() });
    }

    /// A site hears of a link: at once, or when it goes on.
    fn tell(&mut self, node: usize, input: Input) {
        let life = self.nodes[node].life;
        self.happen(Event::Link { node, life, input });
    }
}
