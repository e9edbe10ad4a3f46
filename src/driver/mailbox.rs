//! How everything reaches the site thread: sessions, links, the log thread and signals, by one bounded queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use gemini_replication::quic::{Event, Inbox};
use ring::rand::{SecureRandom, SystemRandom};

use super::queue::{Queue, Refused};
use crate::host::{Mailbox, MailboxError};
use crate::site::Input;

/// What the site thread is told.
pub(super) enum Message {
    /// For [`crate::site::Site::step`].
    Input(Input),
    /// From the transport; the site thread knows which link of a peer is the current one.
    Link(Event),
    /// Leave; nothing after this is done.
    Stop,
}

/// The site thread's address.
#[derive(Clone)]
pub(super) struct Courier {
    pub queue: Arc<Queue<Message>>,
    random: SystemRandom,
}

impl Courier {
    pub fn new(capacity: usize) -> Courier {
        Courier { queue: Arc::new(Queue::new(capacity)), random: SystemRandom::new() }
    }

    /// From the driver's own threads.
    pub fn insist(&self, input: Input) {
        self.queue.insist(Message::Input(input));
    }
}

/// Microseconds since 1970-01-01 UTC. A clock before that is 0; the site never lets time go back.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Random bits for what must not repeat anywhere: uuids, a directory's incarnation.
pub(super) fn random(source: &SystemRandom) -> u64 {
    let mut bytes = [0; 8];
    source
        .fill(&mut bytes)
        .expect("the operating system's random source answers once it has answered at start");
    u64::from_le_bytes(bytes)
}

impl Mailbox for Courier {
    fn deliver(&self, input: Input) -> Result<(), MailboxError> {
        self.queue.offer(Message::Input(input)).map_err(|refused| match refused {
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
}

impl Inbox for Courier {
    fn offer(&self, event: Event) -> Result<(), Box<Event>> {
        match self.queue.offer(Message::Link(event)) {
            Ok(()) | Err(Refused::Stopped) => Ok(()),
            Err(Refused::Full(Message::Link(event))) => Err(Box::new(event)),
            Err(Refused::Full(_)) => Ok(()),
        }
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.queue.room())
    }
}
