//! The site thread: takes what has arrived, steps the site, carries out what it says. It never blocks but to sleep.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use gemini_engine::{Reader, Seq};
use gemini_replication::quic::{Credit, Event, LinkId, SendError, Transport};
use gemini_shadow_ops::SiteId;
use tokio::sync::{oneshot, watch};

use super::mailbox::{Courier, Message, now};
use super::threads::Threads;
use crate::site::{Input, Output, Site};

/// The site asks for a tick at least every 20 ms.
const TICK: Duration = Duration::from_millis(20);

/// How the site thread ended.
pub(super) type Ended = Result<(), String>;

/// What the rest of the driver hears from it.
pub(super) struct Signals {
    pub visible: watch::Sender<Seq>,
    /// Everything in flight has ended and the last checkpoint is made.
    pub drained: watch::Sender<bool>,
    /// Dropped without a word if the thread panics.
    pub ended: oneshot::Sender<Ended>,
}

pub(super) struct SiteThread {
    pub site: Site,
    pub reader: Reader,
    pub courier: Courier,
    pub threads: Threads,
    pub transport: Transport,
    pub signals: Signals,
    /// The link of each peer that the site has been told is up: what it says is sent on that one and no later one.
    pub links: BTreeMap<SiteId, LinkId>,
    /// The site has drained and makes its last checkpoint.
    pub leaving: bool,
}

/// Closes the queue however the thread ends, so that sessions are told instead of waiting.
struct Closing(Courier);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.queue.stop();
    }
}

impl SiteThread {
    /// Runs until [`Message::Stop`] or until the site stops. `first` are the outputs of opening it.
    pub fn run(mut self, mut first: Vec<Output>) {
        let _closing = Closing(self.courier.clone());
        let ended = self.work(&mut first);
        let Threads { batches, upkeep, handles } = self.threads;
        // The threads end with their queues; a batch under way is finished first.
        drop((batches, upkeep));
        for handle in handles {
            // A thread that panicked is reported by the panic itself.
            let _ = handle.join();
        }
        // The driver may have given up waiting.
        let _ = self.signals.ended.send(ended);
    }

    fn work(&mut self, out: &mut Vec<Output>) -> Ended {
        let mut messages = VecDeque::new();
        let mut next_tick = Instant::now();
        self.carry_out(out)?;
        loop {
            self.courier.queue.drain(&mut messages, next_tick);
            let time = now();
            while let Some(message) = messages.pop_front() {
                // The credit is held until the frame is handled: that is what holds a fast peer back.
                let (input, _credit) = match message {
                    Message::Stop => return Ok(()),
                    Message::Input(input) => (Some(input), Credit::default()),
                    Message::Link(event) => self.translate(event),
                };
                if let Some(input) = input {
                    self.site.step(time, input, out);
                    self.carry_out(out)?;
                }
            }
            if Instant::now() >= next_tick {
                self.site.step(now(), Input::Tick, out);
                self.carry_out(out)?;
                next_tick = Instant::now() + TICK;
                if self.leaving && self.site.at_rest() {
                    self.signals.drained.send_replace(true);
                }
            }
        }
    }

    fn translate(&mut self, event: Event) -> (Option<Input>, Credit) {
        match event {
            Event::Up { site, link } => {
                self.links.insert(site, link);
                (Some(Input::PeerUp(site)), Credit::default())
            }
            Event::Down { site, reason, .. } => {
                self.links.remove(&site);
                (Some(Input::PeerDown { site, reason }), Credit::default())
            }
            Event::Frame { site, link, bytes, credit } => {
                let current = self.links.get(&site) == Some(&link);
                (current.then_some(Input::Frame { from: site, bytes }), credit)
            }
            Event::Request { reply, .. } => {
                reply.refuse("this site answers on its message stream");
                (None, Credit::default())
            }
        }
    }

    fn carry_out(&mut self, outputs: &mut Vec<Output>) -> Ended {
        let mut visible = false;
        for output in outputs.drain(..) {
            match output {
                Output::Send { to, frame } => {
                    if let Some(link) = self.links.get(&to)
                        && let Err(e @ (SendError::TooLong { .. } | SendError::NoSuchPeer(_))) =
                            self.transport.send(to, *link, frame)
                    {
                        // Down and backlogged links tell so themselves.
                        tracing::error!(peer = to.0, "a frame was not sent: {e}");
                    }
                }
                Output::Write(batch) => {
                    if self.threads.batches.try_send(batch).is_err() {
                        return Err("the log thread has ended".into());
                    }
                }
                Output::Upkeep(upkeep) => {
                    if self.threads.upkeep.try_send(upkeep).is_err() {
                        return Err("the thread that keeps the log's files has ended".into());
                    }
                }
                Output::Reply(reply, outcome) => {
                    self.show(&mut visible);
                    reply.send(outcome);
                }
                Output::Minted(reply, outcome) => reply.send(outcome),
                Output::Visible => visible = true,
                Output::Disconnect { site, reason } => self.transport.disconnect(site, &reason),
                Output::Drained => {
                    self.site.checkpoint_now();
                    self.leaving = true;
                }
                Output::Stop(reason) => return Err(reason),
            }
        }
        self.show(&mut visible);
        Ok(())
    }

    /// Moves the newest visible version on, once per step and before a client hears of it.
    fn show(&self, pending: &mut bool) {
        if std::mem::take(pending) {
            let newest = self.reader.visible();
            self.signals.visible.send_if_modified(|seq| {
                let moved = *seq < newest;
                *seq = newest;
                moved
            });
        }
    }
}
