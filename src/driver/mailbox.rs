//! How everything reaches the site: sessions, links, signals and the driver's threads, by one bounded queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use gemini_engine::Disk;
use gemini_replication::quic::{Event, Inbox};
use gemini_sql::host::Wait;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};

use super::queue::Refused;
use super::turns::Turns;
use super::wall::wall;
use crate::host::{Mailbox, MailboxError};
use crate::site::{Input, Steady};

/// What waits for the site.
pub(super) enum Message {
    /// For [`crate::site::Site::step`].
    Input(Input),
    /// From the transport; the stepper knows which link of a peer is the current one.
    Link(Event),
    /// Leave; nothing after this is done.
    Stop,
}

/// The site's address.
#[derive(Clone)]
pub(super) struct Courier {
    pub turns: Arc<Turns>,
    random: SystemRandom,
}

impl Courier {
    pub fn new(capacity: usize, disk: Arc<dyn Disk>) -> Courier {
        Courier { turns: Arc::new(Turns::new(capacity, disk)), random: SystemRandom::new() }
    }

    /// From the driver itself.
    pub fn insist(&self, input: Input) {
        self.turns.queue.insist(Message::Input(input));
    }
}

/// The machine's clock, made steady.
static CLOCK: LazyLock<(Instant, Mutex<Steady>)> =
    LazyLock::new(|| (Instant::now(), Mutex::new(Steady::new(wall(), 0))));

/// Microseconds since 1970-01-01 UTC. It never goes back or stands still.
pub(crate) fn now() -> u64 {
    let (begin, steady) = &*CLOCK;
    let mut steady = steady.lock();
    let passed = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
    steady.read(wall(), passed)
}

/// Random bits for what must not repeat anywhere: uuids, a directory's incarnation.
pub(super) fn random(source: &SystemRandom) -> u64 {
    let mut bytes = [0; 8];
    source
        .fill(&mut bytes)
        .expect("the operating system's random source answers once it has answered at start");
    u64::from_le_bytes(bytes)
}

/// Random bits for a data folder's incarnation; None if the operating system gives none.
pub(crate) fn draw() -> Option<u64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(u64::from_le_bytes(bytes))
}

impl Mailbox for Courier {
    fn deliver(&self, input: Input) -> Result<(), MailboxError> {
        self.turns.deliver(Message::Input(input)).map_err(|refused| match refused {
            Refused::Full(_) => MailboxError::Full,
            Refused::Stopped => MailboxError::Stopped,
        })
    }

    fn now(&self) -> u64 {
        now()
    }

    fn random(&self) -> u64 {
        random(&self.random)
    }

    fn pause(&self, micros: u64) -> Wait<()> {
        Box::pin(tokio::time::sleep(Duration::from_micros(micros)))
    }
}

impl Inbox for Courier {
    fn offer(&self, event: Event) -> Result<(), Box<Event>> {
        match self.turns.queue.offer(Message::Link(event)) {
            Ok(()) | Err(Refused::Stopped) => Ok(()),
            Err(Refused::Full(Message::Link(event))) => Err(Box::new(event)),
            Err(Refused::Full(_)) => Ok(()),
        }
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.turns.queue.room())
    }
}
