//! Sites, links and faults.

use std::collections::BTreeMap;

use gemini_shadow_ops::{Dot, SiteId};

use super::checks::Checks;
use super::site::{Record, Site, entry, transaction};
use crate::replica::{Failure, Output};
use crate::wire::PeerMessage;

/// What a run is like.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub sites: u16,
    /// No faults.
    pub calm: bool,
    /// How many sites, the last ones, die for ever in the middle.
    pub dead: u16,
    /// A link that never heals.
    pub cut: Option<(u16, u16)>,
    /// Messages are lost, doubled and reordered even on links that are up.
    pub datagrams: bool,
    /// The last site is away for most of the run.
    pub absence: bool,
    /// So many red entries at most stay in the sequencers' logs, whoever lacks them.
    pub bound: Option<u64>,
}

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Up,
    /// Swallows everything without a word.
    Silent,
    /// Both ends know.
    Down,
}

enum Event {
    Message { from: u16, to: u16, life: u64, frame: Vec<u8> },
    Tick(u16, u64),
    Synced(u16, u64),
    Restart(u16),
    Heal(u16, u16),
    Fault,
    Load(u16),
    Checkpoint(u16),
}

const MS: u64 = 1_000;
const SECOND: u64 = 1_000 * MS;
const BEGIN: u64 = 1_000_000 * SECOND;
const CHAOS: u64 = 25 * SECOND;
const PEACE: u64 = 25 * SECOND;

pub struct World {
    plan: Plan,
    now: u64,
    seed: u64,
    serial: u64,
    queue: BTreeMap<(u64, u64), Event>,
    sites: Vec<Option<Site>>,
    disks: Vec<Vec<Record>>,
    epochs: Vec<u64>,
    links: BTreeMap<(u16, u16), Link>,
    /// Which life of a link messages belong to, and when its last message arrives (links keep order).
    lives: BTreeMap<(u16, u16), u64>,
    arrivals: BTreeMap<(u16, u16), u64>,
    halted: bool,
    peace: bool,
    pub checks: Checks,
    pub trace: Vec<String>,
    pub digest: u64,
}

fn pair(a: u16, b: u16) -> (u16, u16) {
    (a.min(b), a.max(b))
}

impl World {
    pub fn new(seed: u64, plan: Plan) -> World {
        let n = usize::from(plan.sites);
        World {
            now: BEGIN,
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678,
            serial: 0,
            queue: BTreeMap::new(),
            sites: (0..n).map(|_| None).collect(),
            disks: vec![Vec::new(); n],
            epochs: vec![0; n],
            links: BTreeMap::new(),
            lives: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            halted: false,
            peace: false,
            checks: Checks::default(),
            trace: Vec::new(),
            digest: 0,
            plan,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn note(&mut self, what: String) {
        let line = format!("{:>9.3} ms  {what}", (self.now - BEGIN) as f64 / 1000.0);
        self.digest = xxhash_rust::xxh3::xxh3_64_with_seed(line.as_bytes(), self.digest);
        self.trace.push(line);
        if self.trace.len() > 20_000 {
            self.trace.drain(..10_000);
        }
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.serial += 1;
        self.queue.insert((self.now + delay, self.serial), event);
    }

    pub fn run(&mut self) {
        for a in 0..self.plan.sites {
            for b in a + 1..self.plan.sites {
                let down = self.plan.cut == Some((a, b));
                self.links.insert((a, b), if down { Link::Down } else { Link::Up });
            }
        }
        for site in 0..self.plan.sites {
            self.open(site);
            self.after(500 * MS, Event::Load(site));
            self.after(2 * SECOND, Event::Checkpoint(site));
        }
        if !self.plan.calm && self.plan.sites > 1 {
            self.after(3 * SECOND, Event::Fault);
        }
        if self.plan.absence {
            self.until(BEGIN + 4 * SECOND);
            self.crash(self.plan.sites - 1);
        }
        self.until(BEGIN + CHAOS / 2);
        for dead in 0..self.plan.dead {
            let site = self.plan.sites - 1 - dead;
            self.crash(site);
            self.note(format!("site {site} is dead for ever"));
        }
        self.until(BEGIN + CHAOS);
        self.make_peace();
        self.until(BEGIN + CHAOS + PEACE);
        self.finish();
    }

    fn until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handle(event);
            assert!(!self.halted, "nobody's directory is an old copy");
        }
        self.now = end;
    }

    fn alive(&self, site: u16) -> bool {
        site < self.plan.sites - if self.now >= BEGIN + CHAOS / 2 { self.plan.dead } else { 0 }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message { from, to, life, frame } => {
                let known = self.lives.get(&pair(from, to)).copied().unwrap_or(0);
                if self.links.get(&pair(from, to)) != Some(&Link::Up)
                    || (life != known && !self.plan.datagrams)
                {
                    return;
                }
                let message = PeerMessage::decode(&frame).expect("what was sent");
                self.step(to, |site, now, out| {
                    site.replica.receive(now, SiteId(from), message, &site.maps, out);
                });
            }
            Event::Tick(site, epoch) if self.epochs[usize::from(site)] == epoch => {
                self.step(site, |site, now, out| site.replica.tick(now, &site.maps, out));
                if self.sites[usize::from(site)].is_some() {
                    self.after(20 * MS, Event::Tick(site, epoch));
                }
            }
            Event::Synced(site, epoch) if self.epochs[usize::from(site)] == epoch => {
                self.step(site, |site, now, out| {
                    if site.marks.is_empty() {
                        return;
                    }
                    let (upto, mark) = site.marks.remove(0);
                    site.sync(upto);
                    site.replica.durable(now, mark, &site.maps, out);
                });
            }
            Event::Restart(site) => {
                if self.sites[usize::from(site)].is_none() && self.alive(site) {
                    self.open(site);
                }
            }
            Event::Heal(a, b) => self.link(a, b, Link::Up),
            Event::Fault => self.fault(),
            Event::Load(site) => self.load(site),
            Event::Checkpoint(site) => {
                let bound = self.plan.bound;
                self.step(site, |site, _, _| {
                    let gone = bound.map_or(0, |keep| site.durable.red.saturating_sub(keep));
                    let whole = site.replica.compact(gone);
                    site.log.push(Record::Sequencer(whole));
                });
                let pause = 500 * MS + self.random(3 * SECOND);
                self.after(pause, Event::Checkpoint(site));
            }
            Event::Tick(..) | Event::Synced(..) => {}
        }
    }

    /// Runs something at a site and carries out what comes of it.
    fn step(&mut self, id: u16, run: impl FnOnce(&mut Site, u64, &mut Vec<Output>)) {
        let Some(mut site) = self.sites[usize::from(id)].take() else { return };
        let mut out = Vec::new();
        run(&mut site, self.now, &mut out);
        for output in out {
            let Some(output) = site.carry_out(output) else { continue };
            match output {
                Output::AdmitRed { r, entry } => {
                    self.note(format!("{id} applies r{r}"));
                    self.checks.red(self.now, site.id, r, &entry);
                }
                Output::Send { to, message } => {
                    self.checks.said(&site, &message);
                    self.send(id, to.0, &message);
                }
                Output::Leader { leader, term } => {
                    self.note(format!("{id} follows {leader:?} in term {term}"));
                    if let Some(leader) = leader {
                        self.checks.leads(term, leader);
                    }
                }
                Output::Failed { id: entry, failure } => {
                    self.note(format!("{id}: {entry} failed: {failure:?}"));
                    match failure {
                        Failure::Unavailable(_) => self.checks.unavailable(entry),
                        Failure::Unknown { .. } => self.checks.unknown(entry),
                    }
                }
                Output::Suspect { peer, reason } => {
                    panic!("{id} suspects {peer} of what it did not do: {reason}")
                }
                Output::Halt { reason } => {
                    self.note(format!("{id} halts: {reason}"));
                    self.halted = true;
                }
                Output::Disconnect { peer, reason } => panic!("{id} disconnects {peer}: {reason}"),
                _ => {}
            }
        }
        if site.log.len() > site.marks.last().map_or(site.synced, |(upto, _)| *upto) && site.marks.len() < 2 {
            let mark = site.replica.seal();
            site.marks.push((site.log.len(), mark));
            // Batches are synced one after the other; now and then the disk is slow.
            let slow = if self.plan.calm || self.random(40) > 0 { 1 } else { 50 };
            let at = (self.now + MS / 10 + self.random(2 * MS) * slow).max(site.next_sync + MS / 10);
            site.next_sync = at;
            self.after(at - self.now, Event::Synced(id, site.epoch));
        }
        self.sites[usize::from(id)] = Some(site);
    }

    fn send(&mut self, from: u16, to: u16, message: &PeerMessage) {
        if self.links.get(&pair(from, to)) != Some(&Link::Up) {
            return;
        }
        let frame = message.encode().expect("fits");
        let life = self.lives.get(&pair(from, to)).copied().unwrap_or(0);
        let base = 40 * MS + u64::from(from + to) * 7 * MS
            - if self.plan.calm { u64::from(from + to) * 7 * MS } else { 0 };
        let copies = match self.random(100) {
            _ if !self.plan.datagrams => 1,
            0..=9 if !self.peace => 0,
            90..=99 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let mut at = self.now + base;
            if self.plan.datagrams {
                at += self.random(80 * MS);
            } else {
                let last = self.arrivals.entry((from, to)).or_default();
                at = at.max(*last);
                *last = at;
            }
            let delay = at - self.now;
            self.after(delay, Event::Message { from, to, life, frame: frame.clone() });
        }
    }

    fn open(&mut self, site: u16) {
        let i = usize::from(site);
        self.epochs[i] += 1;
        let epoch = self.epochs[i];
        let log = std::mem::take(&mut self.disks[i]);
        self.note(format!("{site} starts on {} records", log.len()));
        self.sites[i] = Some(Site::open(self.now, SiteId(site), self.plan.sites, log, epoch));
        self.step(site, |site, now, out| site.replica.start(now, &site.maps, out));
        self.after(20 * MS, Event::Tick(site, epoch));
        for other in 0..self.plan.sites {
            if other != site && self.sites[usize::from(other)].is_some() {
                self.connect(site, other);
            }
        }
    }

    /// Both ends get a new link, if it is up.
    fn connect(&mut self, a: u16, b: u16) {
        if self.links.get(&pair(a, b)) != Some(&Link::Up) {
            return;
        }
        *self.lives.entry(pair(a, b)).or_default() += 1;
        for (here, there) in [(a, b), (b, a)] {
            self.step(here, |site, now, out| site.replica.connected(now, SiteId(there), &site.maps, out));
        }
    }

    fn disconnect(&mut self, a: u16, b: u16) {
        *self.lives.entry(pair(a, b)).or_default() += 1;
        for (here, there) in [(a, b), (b, a)] {
            self.step(here, |site, now, out| site.replica.disconnected(now, SiteId(there), &site.maps, out));
        }
    }

    fn crash(&mut self, site: u16) {
        let i = usize::from(site);
        let Some(mut dying) = self.sites[i].take() else { return };
        self.epochs[i] += 1;
        // Some of what was not synced may be on disk all the same: any prefix.
        let unsynced = dying.log.len() - dying.synced;
        let lucky = self.random(unsynced as u64 + 1) as usize;
        dying.log.truncate(dying.synced + lucky);
        self.note(format!("{site} crashes, loses {} records", unsynced - lucky));
        self.disks[i] = dying.log;
        for other in 0..self.plan.sites {
            if other != site {
                *self.lives.entry(pair(site, other)).or_default() += 1;
                self.step(other, |at, now, out| at.replica.disconnected(now, SiteId(site), &at.maps, out));
            }
        }
    }

    fn link(&mut self, a: u16, b: u16, to: Link) {
        if self.plan.cut == Some(pair(a, b)) {
            return;
        }
        let from = self.links.insert(pair(a, b), to);
        self.note(format!("link {a}-{b}: {from:?} to {to:?}"));
        match to {
            Link::Up if from != Some(Link::Up) => self.connect(a, b),
            Link::Down => self.disconnect(a, b),
            _ => {}
        }
    }

    fn fault(&mut self) {
        if self.peace {
            return;
        }
        let n = u64::from(self.plan.sites);
        let (a, b) = (self.random(n) as u16, self.random(n) as u16);
        let lasts = 200 * MS + self.random(5 * SECOND);
        match self.random(6) {
            0 | 1 if !(self.plan.absence && a == self.plan.sites - 1) => {
                self.crash(a);
                self.after(lasts, Event::Restart(a));
            }
            2 | 3 if a != b => {
                self.link(a, b, Link::Silent);
                self.after(lasts, Event::Heal(a, b));
            }
            4 if a != b => {
                self.link(a, b, Link::Down);
                self.after(lasts, Event::Heal(a, b));
            }
            5 => {
                // One site is cut off.
                for other in 0..self.plan.sites {
                    if other != a {
                        let how = if self.random(2) == 0 { Link::Silent } else { Link::Down };
                        self.link(a, other, how);
                        self.after(lasts, Event::Heal(a, other));
                    }
                }
            }
            _ => {}
        }
        let next = 100 * MS + self.random(2 * SECOND);
        self.after(next, Event::Fault);
    }

    fn load(&mut self, id: u16) {
        if self.now < BEGIN + CHAOS + PEACE - 12 * SECOND {
            let pause = 10 * MS + self.random(150 * MS);
            self.after(pause, Event::Load(id));
        }
        let red = self.random(3) == 0;
        let timeout = SECOND + self.random(3 * SECOND);
        let (mut proposed, mut committed) = (None, false);
        self.step(id, |site, now, out| {
            if red {
                let entry = entry(site, now);
                let gemini_shadow_ops::Entry::Transaction(t) = &*entry else { return };
                let name = t.id;
                let result = site.replica.propose(now, entry, now + timeout, &site.maps, out);
                proposed = Some((name, result.is_ok()));
            } else {
                let dot = Dot { site: site.id, n: site.replica.own() + 1 };
                let t = transaction(site.id, now, site.replica.applied().clone());
                site.carry_out(Output::Log { dot, transaction: t.clone() });
                let Some(Record::Blue { local, .. }) = site.log.last_mut() else { return };
                *local = true;
                site.applied.set_blue(dot.site, dot.n);
                site.replica.committed(now, dot, &t, &site.maps, out);
                committed = true;
            }
        });
        self.checks.blue += u64::from(committed);
        if let Some((name, sent)) = proposed {
            self.checks.propose(self.now, name);
            if !sent {
                self.checks.unavailable(name);
            }
        }
    }

    fn make_peace(&mut self) {
        self.peace = true;
        self.note("peace".into());
        let links: Vec<(u16, u16)> = self.links.keys().copied().collect();
        for (a, b) in links {
            self.link(a, b, Link::Up);
        }
        for site in 0..self.plan.sites {
            if self.alive(site) && self.sites[usize::from(site)].is_none() {
                self.open(site);
            }
        }
    }

    fn finish(&mut self) {
        let living: Vec<u16> = (0..self.plan.sites).filter(|site| self.alive(*site)).collect();
        let first = self.sites[usize::from(living[0])].as_ref().expect("alive").applied.clone();
        for &id in &living {
            let site = self.sites[usize::from(id)].as_ref().expect("alive");
            let status = site.replica.status(self.now);
            assert_eq!(site.applied, first, "site {id} has not converged: {status:?}");
            assert_eq!(status.leader, Some(SiteId(0)), "leadership has not come back: {status:?}");
            assert_eq!((status.open, status.parked, status.waiting), (0, 0, 0), "{id}: {status:?}");
        }
        let dangling = self.checks.dangling(&living);
        assert!(dangling.is_empty(), "without an end: {dangling:?}");
        let since = BEGIN + CHAOS + 6 * SECOND;
        let late = self.checks.late(since);
        assert!(
            late.0 > 5 * living.len() && late.1 * 50 <= late.0,
            "of {} entries proposed in peace {} failed",
            late.0,
            late.1
        );
    }
}
