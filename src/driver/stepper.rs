//! The site with everything around it: takes what has arrived, steps, carries out what the site says. It never blocks.

use std::collections::{BTreeMap, VecDeque};

use gemini_engine::{Batch, Reader, Seq};
use gemini_replication::quic::{Credit, Event, LinkId, PeerConfig, SendError, Transport};
use gemini_shadow_ops::SiteId;
use tokio::sync::watch;

use super::images::ImageSender;
use super::mailbox::{Message, now};
use super::queue::Queue;
use super::threads::Senders;
use crate::site::{Input, MemberStatus, Output, Site};

/// How a site came to its end.
pub(super) type Ended = Result<Left, String>;

/// Why a site left that has not failed.
#[derive(Debug)]
pub(super) enum Left {
    /// It was told to.
    Stopped,
    /// It is to be opened anew.
    Reopen(String),
}

/// What the rest of the driver hears from it.
pub(super) struct Signals {
    pub visible: watch::Sender<Seq>,
    /// Everything in flight has ended and the last checkpoint is made.
    pub drained: watch::Sender<bool>,
}

pub(super) struct Stepper {
    pub site: Site,
    pub reader: Reader,
    pub senders: Senders,
    pub transport: Transport,
    pub signals: Signals,
    /// The link of each peer that the site has been told is up: what it says is sent on that one and no later one.
    pub links: BTreeMap<SiteId, LinkId>,
    pub images: ImageSender,
    /// The site has drained and makes its last checkpoint.
    pub leaving: bool,
    /// The site is to be opened anew.
    reopen: Option<String>,
    /// A batch that the site has handed out; at most one is under way.
    batch: Option<Batch>,
    /// The last answers went to several sessions at once: they commit faster than the disk syncs.
    pub crowded: bool,
    /// Kept for their capacity.
    messages: VecDeque<Message>,
    outputs: Vec<Output>,
}

impl Stepper {
    pub fn new(
        site: Site,
        senders: Senders,
        images: ImageSender,
        transport: Transport,
        signals: Signals,
        first: Vec<Output>,
    ) -> Stepper {
        Stepper {
            reader: site.shared().reader.clone(),
            site,
            senders,
            transport,
            signals,
            links: BTreeMap::new(),
            images,
            leaving: false,
            reopen: None,
            batch: None,
            crowded: false,
            messages: VecDeque::new(),
            outputs: first,
        }
    }

    /// Steps the site with all that waits, then with `last`: what was committed while a batch was being synced is in the
    /// log's buffer before the word that it is durable hands out the next one. Gives the batch that is to be written, if
    /// there is one. Err: the site has ended.
    pub fn work(&mut self, queue: &Queue<Message>, last: Option<Input>) -> Result<Option<Batch>, Ended> {
        self.carry_out().map_err(Err)?;
        let mut messages = std::mem::take(&mut self.messages);
        queue.drain(&mut messages);
        let time = now();
        for message in messages.drain(..) {
            // The credit is held until the frame is handled: that is what holds a fast peer back.
            let (input, _credit) = match message {
                Message::Stop => return Err(Ok(Left::Stopped)),
                Message::Input(input) => (Some(input), Credit::default()),
                Message::Link(event) => self.translate(event),
            };
            if let Some(input) = input {
                self.step(time, input).map_err(Err)?;
            }
        }
        self.messages = messages;
        if let Some(input) = last {
            let tick = matches!(input, Input::Tick);
            self.step(time, input).map_err(Err)?;
            if tick && self.leaving && self.site.at_rest() {
                self.signals.drained.send_replace(true);
            }
        }
        match self.reopen.take() {
            Some(reason) => Err(Ok(Left::Reopen(reason))),
            None => Ok(self.batch.take()),
        }
    }

    fn step(&mut self, time: u64, input: Input) -> Result<(), String> {
        self.site.step(time, input, &mut self.outputs);
        self.carry_out()
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

    fn carry_out(&mut self) -> Result<(), String> {
        let mut visible = false;
        let mut answers = 0;
        let mut outputs = std::mem::take(&mut self.outputs);
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
                Output::Write(batch) => self.batch = Some(batch),
                Output::Upkeep(upkeep) => {
                    if self.senders.upkeep.try_send(upkeep).is_err() {
                        return Err("the thread that keeps the log's files has ended".into());
                    }
                }
                Output::Reply(reply, outcome) => {
                    self.show(&mut visible);
                    answers += 1;
                    reply.send(outcome);
                }
                Output::Minted(reply, outcome) => reply.send(outcome),
                Output::Visible => visible = true,
                Output::Disconnect { site, reason } => self.transport.disconnect(site, &reason),
                Output::Members => self.meet(),
                Output::Fill(work) => self.images.hand(work),
                Output::Reopen(reason) => self.reopen = Some(reason),
                Output::Drained => {
                    self.site.checkpoint_now();
                    self.leaving = true;
                }
                Output::Stop(reason) => return Err(reason),
            }
        }
        if answers > 0 {
            self.crowded = answers > 1;
        }
        self.outputs = outputs;
        self.show(&mut visible);
        Ok(())
    }

    /// Whoever is or was a member is linked with: those that sites.toml does not name are reached as their JOIN says. One that was
    /// removed is to be told so when it comes back.
    pub fn meet(&self) {
        for member in self.site.shared().status().members {
            let MemberStatus { site, name, peer, .. } = member;
            match peer.parse() {
                Ok(address) => _ = self.transport.meet(PeerConfig { site, name, address }),
                Err(_) => tracing::error!(site = name, peer, "a member's peer address is not one"),
            }
        }
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
