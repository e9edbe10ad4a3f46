//! One simulated machine: its disk, its clock, and the process, if one runs.

use std::collections::VecDeque;
use std::sync::Arc;

use gemini::host::{Mailbox, MailboxError, SiteHost};
use gemini::site::{Input, MintingClass, Moment, OpenError, Output, Site, Steady};
use gemini_engine::disk::Fault as DiskFault;
use gemini_engine::log::LogOptions;
use gemini_engine::{Batch, MemDisk, MemStore, Seq};
use gemini_replication::Timing;
use gemini_shadow_ops::{Member, SiteId};
use gemini_sql::host::{Host, Wait};
use parking_lot::Mutex;
use tokio::sync::oneshot::Receiver;
use tokio::sync::watch;

use super::time::Time;
use super::{Event, Options};
use crate::random::Random;

/// How long a red commit waits for the order, µs.
pub const COMMIT_TIMEOUT: u64 = 3_000_000;

/// A machine's clock: wrong by some, set forward and back, and made steady as the program's is.
#[derive(Clone, Debug)]
pub struct MachineClock {
    time: Time,
    inner: Arc<Mutex<(i64, Steady)>>,
}

impl MachineClock {
    fn new(time: &Time, skew: i64) -> MachineClock {
        let steady = Steady::new(time.now().saturating_add_signed(skew), time.now());
        MachineClock { time: time.clone(), inner: Arc::new(Mutex::new((skew, steady))) }
    }

    /// Sets it by so many µs.
    pub fn set(&self, by: i64) {
        self.inner.lock().0 += by;
    }

    /// Microseconds since 1970, as the machine has it.
    pub fn now(&self) -> u64 {
        let (skew, steady) = &mut *self.inner.lock();
        let now = self.time.now();
        steady.read(now.saturating_add_signed(*skew), now)
    }

    /// A new process trusts the wall clock again.
    fn restart(&self) {
        let (skew, steady) = &mut *self.inner.lock();
        *steady = Steady::new(self.time.now().saturating_add_signed(*skew), self.time.now());
    }
}

/// Inputs of a site's sessions, until the world takes them.
#[derive(Debug)]
pub struct Letters {
    clock: MachineClock,
    queue: Mutex<VecDeque<Input>>,
    random: Mutex<Random>,
}

impl Mailbox for Letters {
    fn deliver(&self, input: Input) -> Result<(), MailboxError> {
        self.queue.lock().push_back(input);
        Ok(())
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn random(&self) -> u64 {
        self.random.lock().bits()
    }

    fn pause(&self, micros: u64) -> Wait<()> {
        Box::pin(self.clock.time.sleep(micros))
    }
}

impl Letters {
    /// The oldest input not taken yet.
    pub fn take(&self) -> Option<Input> {
        self.queue.lock().pop_front()
    }
}

/// A process: gone after a crash.
pub struct Process {
    /// The real thing.
    pub site: Site,
    /// What sessions connect to.
    pub host: Arc<dyn Host>,
    /// Its sessions' inputs.
    pub letters: Arc<Letters>,
    /// The batch under way to the disk.
    pub batch: Option<Batch>,
    visible: watch::Sender<Seq>,
}

/// What the order knows of a site.
pub fn member(site: u16) -> Member {
    Member { name: format!("s{site}"), peer: format!("10.0.0.{site}:7441"), class: u32::from(site) - 1 }
}

/// A site's machine: what survives its processes, and the process, if one runs.
pub struct Node {
    /// Which.
    pub id: SiteId,
    /// Survives.
    pub disk: MemDisk,
    /// Survives, but for what was not flushed.
    pub store: Arc<MemStore>,
    /// The image that comes from another site, as far as it has come: survives.
    pub coming: Vec<u8>,
    /// The image made for others.
    pub made: Option<(u64, Vec<u8>)>,
    /// How often a crash takes the store with it, in thousandths.
    pub loses_store: u64,
    /// It may go now: enough others have their tables.
    pub may_lose: bool,
    /// It has gone, and the site is not filled yet.
    pub lost: bool,
    /// None while it is down.
    pub process: Option<Process>,
    /// How many processes there have been: what was meant for an earlier one is dropped.
    pub life: u64,
    /// Its clock.
    pub clock: MachineClock,
    /// How many faults make the process stand still.
    pub paused: u32,
    /// What happens to it when it goes on.
    pub(super) deferred: Vec<Event>,
    /// A slow disk's syncs take between these, µs.
    pub sync: Option<(u64, u64)>,
    /// The disk has little room left.
    pub full: bool,
    /// The disk is about to fail, or has.
    pub broken: bool,
    /// Somebody waits for a moment of this process.
    pub image: Option<Receiver<Moment>>,
    /// Ticks of all its processes.
    pub ticks: u64,
    /// It does not start.
    pub away: bool,
    /// Not (yet, or any more) one of those that must have everything in the end.
    pub outside: bool,
    /// Chance of its own.
    pub random: Random,
    preferred: SiteId,
}

impl Node {
    /// A machine with an empty disk.
    pub fn new(id: SiteId, preferred: SiteId, skew: i64, time: &Time, random: Random) -> Node {
        Node {
            id,
            disk: MemDisk::new(),
            store: Arc::new(MemStore::crashing()),
            coming: Vec::new(),
            made: None,
            loses_store: 0,
            may_lose: false,
            lost: false,
            process: None,
            life: 0,
            clock: MachineClock::new(time, skew),
            paused: 0,
            deferred: Vec::new(),
            sync: None,
            full: false,
            broken: false,
            image: None,
            ticks: 0,
            away: false,
            outside: false,
            random,
            preferred,
        }
    }

    /// Of a site in the place of this one in another cluster.
    pub fn elsewhere(&self, world: &Options) -> gemini::site::Options {
        let options = self.options(world, 1);
        let first = options.names.keys().map(|id| (*id, member(id.0))).collect();
        gemini::site::Options { cluster: 8, first, ..options }
    }

    fn options(&self, world: &Options, random: u64) -> gemini::site::Options {
        let (segment_bytes, checkpoint_every, memory) = world.engine;
        gemini::site::Options {
            id: self.id,
            first: (1..=world.sites as u16).map(|n| (SiteId(n), member(n))).collect(),
            names: (1..=self.id.0.max(world.sites as u16)).map(|n| (SiteId(n), format!("s{n}"))).collect(),
            cluster: 7,
            preferred: Some(self.preferred),
            minting: MintingClass { class: u32::from(self.id.0) - 1, classes: 32 },
            window: world.window,
            commit_timeout: COMMIT_TIMEOUT,
            clock_offset: 500_000,
            timing: Timing::default(),
            log_keep: world.log_keep,
            found: self.coming.len() as u64,
            random,
            engine: gemini_engine::Options {
                log: LogOptions { segment_bytes, ..LogOptions::default() },
                memory,
                checkpoint_every,
                conflicts: gemini_engine::Retention { bytes: 1 << 20, age: u64::MAX },
                ..gemini_engine::Options::default()
            },
        }
    }

    /// Starts a process on what the disk holds.
    pub fn start(&mut self, world: &Options, out: &mut Vec<Output>) -> Result<(), OpenError> {
        assert!(self.process.is_none(), "one process at a time");
        self.life += 1;
        self.made = None;
        self.clock.restart();
        let random = self.random.bits();
        let options = self.options(world, random);
        let names = options.names.iter().map(|(id, name)| (*id, name.clone())).collect();
        let disk = Arc::new(self.disk.clone());
        let site = Site::open(self.clock.now(), options, disk, self.store.clone(), out)?;
        let letters = Arc::new(Letters {
            clock: self.clock.clone(),
            queue: Mutex::default(),
            random: Mutex::new(self.random.fork()),
        });
        let (visible, receiver) = watch::channel(site.shared().reader.visible());
        let host = SiteHost::new(self.id, names, site.shared().clone(), letters.clone(), receiver);
        self.process = Some(Process { site, host: Arc::new(host), letters, batch: None, visible });
        Ok(())
    }

    /// The power goes: the process is gone. The batch under way has got as far as chance has it, and of what was not synced
    /// chance keeps, loses, tears and garbles what it likes; so it does with what the store has not flushed.
    pub fn crash(&mut self) {
        let random = &mut self.random;
        if let Some(mut batch) = self.process.as_mut().and_then(|process| process.batch.take()) {
            self.disk.fail(DiskFault::From(random.between(1, 6)));
            // Whether it came to its end is the disk's secret.
            let _ = batch.write(&self.disk);
        }
        self.process = None;
        self.image = None;
        self.life += 1;
        self.paused = 0;
        self.deferred.clear();
        self.disk.crash(&mut || random.bits());
        self.broken = false;
        let kept = random.below(self.store.unflushed() as u64 + 1);
        self.store.crash(kept as usize);
        if self.loses_store > 0 && self.random.chance(self.loses_store) && self.may_lose {
            self.lost = true;
            self.store = Arc::new(MemStore::crashing());
        }
    }

    /// The process lets go of its site; what it had under way is written.
    pub fn leave(&mut self) {
        self.process = None;
        self.life += 1;
        self.paused = 0;
        self.deferred.clear();
    }

    /// How long its next sync takes, µs, where a sound disk takes between these.
    pub fn sync_takes(&mut self, sound: (u64, u64)) -> u64 {
        let (least, most) = self.sync.unwrap_or(sound);
        self.random.between(least, most)
    }
}

impl Process {
    /// Tells waiting sessions what readers see now.
    pub fn publish(&self) {
        self.visible.send_replace(self.site.shared().reader.visible());
    }
}
