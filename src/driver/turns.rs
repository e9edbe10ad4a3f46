//! Who steps the site: whoever brings something, one at a time.
//!
//! ```text
//!   session ── deliver ─► queue ─┬─ nobody steps: this thread takes the turn ── a batch? writes and syncs it here,
//!                                │                                              then one more turn: Durable, its answer
//!                                └─ somebody does: they find it before they leave
//!   links ───── offer ──► queue ──► the site thread takes the turn; it has the ticks, too
//!   log thread ─ batch on disk ───► takes the turn itself: Durable, the answers, and the next batch
//! ```
//!
//! A commit that crosses threads pays for each wake of a sleeping core, as much as half an fdatasync. So a lonely session
//! does everything itself, as a PostgreSQL backend does: it steps the site, writes its batch, steps again, and finds its
//! answer there. When others commit meanwhile, the next batch is theirs, and goes to the log thread, which keeps
//! the turn going without a single wake for as long as there is something to write (group commit). In a crowd (the last
//! batch answered several sessions) it gets the first batch too: a tokio worker that waits for a disk serves nobody.
//!
//! Invariants:
//! 1. The site is stepped by one thread at a time, and messages are taken from the queue only by the one that steps: they
//!    are handled in the order in which they came.
//! 2. Nothing is left behind: whoever has had the turn looks at the queue after giving it up, and whoever put something in
//!    tries for the turn after that; one of them sees the other.
//! 3. A session writes at most one batch, and never waits for room on a disk: a full one is the log thread's to wait for.
//! 4. A step that panics ends the site: it is dropped, the queue stops, nobody is told anything after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gemini_engine::{Batch, Disk};
use parking_lot::Mutex;

use super::mailbox::Message;
use super::queue::{Queue, Refused};
use super::stepper::{Ended, Stepper};
use super::threads::{Written, write};
use crate::site::Input;

/// The site asks for a tick at least every 20 ms.
const TICK: Duration = Duration::from_millis(20);

/// A session takes so many more turns for others before it leaves the rest to the site thread.
const ROUNDS: usize = 4;

/// See the module.
pub(super) struct Turns {
    pub queue: Queue<Message>,
    disk: Arc<dyn Disk>,
    /// None before the site is there, and once it has ended.
    stepper: Mutex<Option<Box<Stepper>>>,
    ended: Mutex<Option<Ended>>,
}

/// Stops the queue if a step panics.
struct Guard<'a>(&'a Queue<Message>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl Turns {
    pub fn new(capacity: usize, disk: Arc<dyn Disk>) -> Turns {
        Turns { queue: Queue::new(capacity), disk, stepper: Mutex::new(None), ended: Mutex::new(None) }
    }

    /// From now on there is a site to step.
    pub fn begin(&self, stepper: Stepper) {
        *self.stepper.lock() = Some(Box::new(stepper));
    }

    /// A session's message. Returns when somebody has seen it, or is about to.
    pub fn deliver(&self, message: Message) -> Result<(), Refused<Message>> {
        self.queue.offer_quietly(message)?;
        let Some(mut slot) = self.stepper.try_lock() else { return Ok(()) };
        let mut batch = self.turn(&mut slot, None);
        if slot.as_ref().is_some_and(|stepper| stepper.crowded) {
            self.hand_over(&mut slot, batch.take());
        }
        drop(slot);
        if let Some(batch) = batch {
            match write(&*self.disk, batch) {
                Written::Done(input) => self.say(Some(input)),
                Written::Full(batch, _) => self.hand_over(&mut self.stepper.lock(), Some(batch)),
            }
        }
        for _ in 0..ROUNDS {
            if self.queue.is_empty() {
                return Ok(());
            }
            let Some(mut slot) = self.stepper.try_lock() else { return Ok(()) };
            let batch = self.turn(&mut slot, None);
            self.hand_over(&mut slot, batch);
        }
        self.queue.wake();
        Ok(())
    }

    /// The log thread's: its batch is on disk (or the log has failed); gives the next one.
    pub fn written(&self, input: Input) -> Option<Batch> {
        self.turn(&mut self.stepper.lock(), Some(input))
    }

    /// The site thread's: ticks, and whatever nobody else took. Returns how the site ended.
    pub fn keep(&self) -> Ended {
        let mut next_tick = Instant::now();
        while self.queue.wait(next_tick) {
            let due = Instant::now() >= next_tick;
            self.say(due.then_some(Input::Tick));
            if due {
                next_tick = Instant::now() + TICK;
            }
        }
        let ended = self.ended.lock().take();
        ended.unwrap_or_else(|| {
            Err("a step of the site panicked; restart the site, what was acknowledged is durable".into())
        })
    }

    /// One turn whose batch is the log thread's to write.
    fn say(&self, last: Option<Input>) {
        let mut slot = self.stepper.lock();
        let batch = self.turn(&mut slot, last);
        self.hand_over(&mut slot, batch);
    }

    /// One turn. None: nothing is to be written, or the site has ended.
    fn turn(&self, slot: &mut Option<Box<Stepper>>, last: Option<Input>) -> Option<Batch> {
        let mut stepper = slot.take()?;
        let guard = Guard(&self.queue);
        let outcome = stepper.work(&self.queue, last);
        drop(guard);
        match outcome {
            Ok(batch) => {
                *slot = Some(stepper);
                batch
            }
            Err(ended) => {
                self.end(ended);
                None
            }
        }
    }

    fn hand_over(&self, slot: &mut Option<Box<Stepper>>, batch: Option<Batch>) {
        if let (Some(stepper), Some(batch)) = (&slot, batch)
            && stepper.senders.batches.try_send(batch).is_err()
        {
            *slot = None;
            self.end(Err("the log thread has ended".into()));
        }
    }

    fn end(&self, ended: Ended) {
        self.ended.lock().get_or_insert(ended);
        self.queue.stop();
    }
}
