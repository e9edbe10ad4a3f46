//! One simulated process and its disk.

use std::collections::VecDeque;
use std::sync::Arc;

use gemini::host::{Mailbox, MailboxError, SiteHost};
use gemini::site::{Input, MintingClass, Options, Output, Site};
use gemini_engine::log::LogOptions;
use gemini_engine::{Batch, MemDisk, MemStore, Seq};
use gemini_replication::Timing;
use gemini_shadow_ops::SiteId;
use gemini_sql::host::Host;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::time::Time;
use crate::random::Random;

/// Inputs of a site's sessions, until the world takes them.
#[derive(Debug)]
pub struct Letters {
    time: Time,
    skew: i64,
    queue: Mutex<VecDeque<Input>>,
    random: Mutex<Random>,
}

impl Mailbox for Letters {
    fn deliver(&self, input: Input) -> Result<(), MailboxError> {
        self.queue.lock().push_back(input);
        Ok(())
    }

    fn now(&self) -> u64 {
        self.time.now().saturating_add_signed(self.skew)
    }

    fn random(&self) -> u64 {
        self.random.lock().bits()
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

/// A site's machine: what survives its processes, and the process, if one runs.
pub struct Node {
    /// Which.
    pub id: SiteId,
    /// Survives.
    pub disk: MemDisk,
    /// Survives.
    pub store: Arc<MemStore>,
    /// None while it is down.
    pub process: Option<Process>,
    /// How many processes there have been: what was meant for an earlier one is dropped.
    pub life: u64,
    /// Its clock's error, µs.
    pub skew: i64,
    sites: u16,
    preferred: SiteId,
}

impl Node {
    /// A machine with an empty disk.
    pub fn new(id: SiteId, sites: u16, preferred: SiteId, skew: i64) -> Node {
        Node {
            id,
            disk: MemDisk::new(),
            store: Arc::new(MemStore::default()),
            process: None,
            life: 0,
            skew,
            sites,
            preferred,
        }
    }

    /// The machine's clock.
    pub fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.skew)
    }

    fn options(&self, random: u64) -> Options {
        Options {
            id: self.id,
            members: (1..=self.sites).map(|n| (SiteId(n), format!("s{n}"))).collect(),
            cluster: 7,
            preferred: Some(self.preferred),
            minting: MintingClass { class: u32::from(self.id.0) - 1, classes: 32 },
            window: 10_000,
            commit_timeout: 3_000_000,
            clock_offset: 500_000,
            timing: Timing::default(),
            random,
            engine: gemini_engine::Options {
                log: LogOptions { segment_bytes: 64 * 1024, ..LogOptions::default() },
                memory: 8 * 1024 * 1024,
                checkpoint_every: 128 * 1024,
                conflicts: 1_000,
            },
        }
    }

    /// Starts a process on what the disk holds.
    pub fn start(&mut self, time: &Time, random: &mut Random, out: &mut Vec<Output>) {
        assert!(self.process.is_none(), "one process at a time");
        self.life += 1;
        let options = self.options(random.bits());
        let names = options.members.iter().map(|(id, name)| (*id, name.clone())).collect();
        let now = self.clock(time.now());
        let site = Site::open(now, options, Arc::new(self.disk.clone()), self.store.clone(), out)
            .unwrap_or_else(|error| panic!("site {} cannot open what its own disk kept: {error}", self.id));
        let letters = Arc::new(Letters {
            time: time.clone(),
            skew: self.skew,
            queue: Mutex::default(),
            random: Mutex::new(random.fork()),
        });
        let (visible, receiver) = watch::channel(site.shared().reader.visible());
        let host = SiteHost::new(self.id, names, site.shared().clone(), letters.clone(), receiver);
        self.process = Some(Process { site, host: Arc::new(host), letters, batch: None, visible });
    }

    /// The power goes: the process is gone, and of what was not synced chance keeps what it likes.
    pub fn crash(&mut self, random: &mut Random) {
        self.process = None;
        self.life += 1;
        self.disk.crash(&mut || random.bits());
    }
}

impl Process {
    /// Tells waiting sessions what readers see now.
    pub fn publish(&self) {
        self.visible.send_replace(self.site.shared().reader.visible());
    }
}
