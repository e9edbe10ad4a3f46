//! Where a link hands over what it received: bounded, so that a slow receiver slows the sender and not the memory.
//!
//! The driver implements [`Inbox`] over the site thread's own queue, so that a frame goes from the socket's task to
//! the site thread with one wake. [`channel`] is the plain form for tests and tools.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use gemini_shadow_ops::SiteId;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

/// One life of the connection to a peer. Counted by this process; only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The room a received frame takes in its peer's budget, given back when this is dropped.
#[derive(Debug, Default)]
pub struct Credit(#[allow(dead_code)] pub(super) Option<OwnedSemaphorePermit>);

/// What a transport tells. For one peer: `Up`, then its frames and requests in order, then `Down`; a `Down` without
/// an `Up` before it says why a peer cannot be reached, once per reason.
#[derive(Debug)]
pub enum Event {
    /// The first round trip is made: both sides have authenticated each other.
    Up {
        /// The peer.
        site: SiteId,
        /// Names this life of the connection; `send` wants it.
        link: LinkId,
    },
    /// The link ended (`link`), or could not be made (`None`).
    Down {
        /// The peer.
        site: SiteId,
        /// The link that ended.
        link: Option<LinkId>,
        /// For people: which side, which name, what to do.
        reason: String,
    },
    /// A frame, in the order the peer sent them.
    Frame {
        /// The peer.
        site: SiteId,
        /// The link it came by.
        link: LinkId,
        /// What the peer gave to `send`.
        bytes: Bytes,
        /// Keep it until the frame is handled.
        credit: Credit,
    },
    /// A request on a stream of its own, in no order with the frames.
    Request {
        /// The peer.
        site: SiteId,
        /// What the peer gave to `request`.
        bytes: Bytes,
        /// Answers it; dropping it refuses the request.
        reply: Reply,
    },
}

/// The way back for one request.
#[derive(Debug)]
pub struct Reply(pub(super) oneshot::Sender<Result<Bytes, String>>);

impl Reply {
    /// Answers.
    pub fn send(self, bytes: Bytes) {
        // The peer may have given up: then there is nobody to tell.
        let _ = self.0.send(Ok(bytes));
    }

    /// Refuses, with a reason for people.
    pub fn refuse(self, reason: impl Into<String>) {
        let _ = self.0.send(Err(reason.into()));
    }
}

/// A bounded queue of events with one reader.
pub trait Inbox: Send + Sync + 'static {
    /// Takes the event, or gives it back when there is no room. A closed inbox takes and drops it.
    fn offer(&self, event: Event) -> Result<(), Box<Event>>;
    /// Resolves when there may be room again; spurious wakes are allowed.
    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Waits for room as long as it takes.
pub(super) async fn deliver(inbox: &dyn Inbox, event: Event) {
    let mut event = event;
    loop {
        match inbox.offer(event) {
            Ok(()) => return,
            Err(back) => {
                event = *back;
                inbox.room().await;
            }
        }
    }
}

struct Channel {
    state: Mutex<ChannelState>,
    arrived: Notify,
    room: Notify,
    capacity: usize,
}

struct ChannelState {
    events: VecDeque<Event>,
    closed: bool,
}

/// The reading end of [`channel`].
pub struct Events(Arc<Channel>);

/// An inbox of at most `capacity` events and its reader.
pub fn channel(capacity: usize) -> (Arc<dyn Inbox>, Events) {
    let state = Mutex::new(ChannelState { events: VecDeque::new(), closed: false });
    let channel = Arc::new(Channel { state, arrived: Notify::new(), room: Notify::new(), capacity });
    (channel.clone(), Events(channel))
}

impl Inbox for Channel {
    fn offer(&self, event: Event) -> Result<(), Box<Event>> {
        let mut state = self.state.lock();
        if state.closed {
            return Ok(());
        }
        if state.events.len() >= self.capacity {
            return Err(Box::new(event));
        }
        state.events.push_back(event);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let notified = self.room.notified();
            tokio::pin!(notified);
            // Registered before the look, so that a reader in between is not missed.
            notified.as_mut().enable();
            let full = {
                let state = self.state.lock();
                !state.closed && state.events.len() >= self.capacity
            };
            if full {
                notified.await;
            }
        })
    }
}

impl Events {
    /// The next event.
    pub async fn recv(&mut self) -> Event {
        loop {
            let popped = self.0.state.lock().events.pop_front();
            if let Some(event) = popped {
                self.0.room.notify_waiters();
                return event;
            }
            // One permit is kept by `notify_one`, so an offer between the look and the wait is not missed.
            self.0.arrived.notified().await;
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        state.events.clear();
        drop(state);
        self.0.room.notify_waiters();
    }
}
