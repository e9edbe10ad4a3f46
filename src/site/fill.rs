//! Filling: a site gets its tables from another one's.
//!
//! [`gemini_replication::bootstrap`] says who says what to whom; here is what it means for the site.
//!
//! ```text
//!   running ── a peer's log no longer has what comes next ─► note it ─► Reopen ─┐
//!   start ──── the store is lost, the log does not reach back ─────────────────┤
//!                                                                               ▼
//!              without tables: logs, votes, hands over its own; applies nothing, takes no transaction (57P03)
//!                │ Begin, Write …            the image comes, piece by piece, into a file
//!                │ Install                   the store is emptied and filled; its manifest comes last
//!                ▼
//!              Reopen ─► running: rows from the image, and the log goes on from where it was when the image was installed
//! ```
//!
//! A crash anywhere in between is followed by the same start: the note stands in the log behind the position from which the store's
//! checkpoint is replayed, or the store has no checkpoint. Only the manifest, written last, ends it.
//!
//! What the log says of the site beside its tables (which values it may have minted, how often it has started, what it has applied)
//! would be gone with the store, so it is noted in the log itself with every checkpoint and at every start ([`Standing`]).

use std::io::Read;

use gemini_engine::image::{self, ImageReader, Place, Watch};
use gemini_engine::{Lsn, Store};
use gemini_replication::bootstrap::{Do, Progress, Receiver, Source};
use gemini_replication::wire::{Fill, Offer, PeerMessage};
use gemini_shadow_ops::{Frontier, Members, SiteId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::image::{Carried, Moment};
use super::open::{Kept, NOTE_FILLING, Own, encode, write_kept};
use super::{Output, Reply, Site};

/// So long it must be clear that nobody has in its log what comes next, µs.
const CUT_OFF_FOR: u64 = 2_000_000;

/// Work on the files of images, for a thread beside the site's; in order.
#[derive(Debug)]
pub enum FillWork {
    /// Write an image, then [`Filled::Made`].
    Make(Box<Moment>),
    /// Read from the image that was made, then [`Filled::Read`].
    Read {
        /// For whom.
        to: SiteId,
        /// Which image.
        image: u64,
        /// From here.
        offset: u64,
        /// So much.
        length: u32,
    },
    /// Remove it.
    Remove(u64),
    /// Begin the file of an image that comes; whatever is there goes.
    Begin,
    /// Write at its end, then [`Filled::Written`].
    Write {
        /// Where its end is.
        offset: u64,
        /// What.
        bytes: bytes::Bytes,
    },
    /// Install what has come ([`Installation::run`]), remove its file, then [`Filled::Installed`].
    Install(Box<Installation>),
}

/// What became of it.
#[derive(Debug)]
pub enum Filled {
    /// The image, if one could be written.
    Made(Option<Offer>),
    /// What was read, if it could be.
    Read {
        /// For whom.
        to: SiteId,
        /// Of which image.
        image: u64,
        /// From where.
        offset: u64,
        /// The bytes.
        bytes: Option<bytes::Bytes>,
    },
    /// The file has so many bytes.
    Written(u64),
    /// The site has tables again.
    Installed,
    /// The image that came could not be written, was damaged, or did not fit.
    Failed(String),
}

/// Everything that installing an image takes.
#[derive(Debug)]
pub struct Installation {
    offer: Offer,
    place: Place,
    covers: Frontier,
    cluster: u128,
    own: Own,
}

impl Installation {
    /// Checks the image and fills the store with it. An error leaves a store that the next start does not trust.
    pub fn run<R: Read>(&self, file: R, store: &dyn Store, watch: &mut Watch<'_>) -> Result<(), String> {
        let mut image = ImageReader::open(file).map_err(|e| e.to_string())?;
        let header = image.header();
        if header.origin.cluster != self.cluster {
            return Err("it is another cluster's".into());
        }
        if header.frontier != self.offer.frontier {
            return Err(format!("it holds {}, and {} was offered", header.frontier, self.offer.frontier));
        }
        if !header.frontier.includes(&self.covers) {
            return Err(format!("it holds {}, this site had applied {}", header.frontier, self.covers));
        }
        let common = Carried::read(&header.origin.state).map_err(|e| e.to_string())?.common;
        if common.window.last() != header.frontier.red || common.members.last() != header.frontier.red {
            return Err("its tables and its certification window are of different moments".into());
        }
        let mut own = self.own.clone();
        own.logged.join(&header.frontier);
        own.logged.red = 0;
        let state = write_kept(&Kept { own, common });
        image::install(&mut image, store, self.place, state, watch).map_err(|e| e.to_string())?;
        Ok(())
    }
}

/// What the log says of a site, should its store be lost.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Standing {
    /// What it had applied.
    pub applied: Frontier,
    pub own: Own,
    /// As of what it had applied of the red order.
    pub members: Members,
}

/// A site's part in filling itself or others.
#[derive(Debug, Default)]
pub(super) struct Fills {
    source: Source,
    /// The moment that an image is to be made of.
    moment: Option<oneshot::Receiver<Moment>>,
    /// This site has no tables.
    receiver: Option<Receiver>,
    /// Since when nobody has in its log what comes next here.
    cut_off: Option<u64>,
    /// The site is to be opened anew once this is durable.
    leaving: Option<(Lsn, String)>,
}

impl Fills {
    pub fn new(receiver: Option<Receiver>) -> Fills {
        Fills { receiver, ..Fills::default() }
    }
}

impl Site {
    /// Whether this site has no tables: it is being filled.
    pub fn filling(&self) -> bool {
        self.fills.receiver.is_some()
    }

    /// Why transactions cannot be taken, if it is for that.
    pub(super) fn filling_refusal(&self) -> Option<String> {
        match (&self.fills.receiver, &self.fills.leaving) {
            (Some(receiver), _) => Some(self.shown_progress(receiver.progress())),
            (None, Some((_, reason))) => Some(reason.clone()),
            (None, None) => None,
        }
    }

    fn shown_progress(&self, progress: Progress) -> String {
        let Progress { source, done, all, waits } = progress;
        let from = source.map_or("another site, and reaches none".to_string(), |site| self.name(site));
        let percent = done.checked_mul(100).and_then(|part| part.checked_div(all));
        match (percent, waits) {
            (_, Some(waits)) => format!("this site is being filled from {from}: {waits}"),
            (Some(percent), None) => format!("this site is being filled from {from}: {percent} %"),
            (None, None) => format!("this site is being filled from {from}"),
        }
    }

    /// The log's word on this site, should the store be lost.
    pub(super) fn standing(&self) -> Vec<u8> {
        let applied = self.engine.applied().clone();
        encode(&Standing { applied, own: self.own(), members: self.members.clone() })
    }

    /// From here on a site that is filled from this one needs the log.
    pub(super) fn fill_needs(&self) -> Option<Lsn> {
        self.fills.source.frontier().and_then(|frontier| self.engine.oldest_beyond(frontier))
    }

    pub(super) fn fill_tick(&mut self, out: &mut Vec<Output>) {
        let mut todo = Vec::new();
        if let Some(moment) = &mut self.fills.moment {
            match moment.try_recv() {
                Ok(moment) => {
                    self.fills.moment = None;
                    out.push(Output::Fill(FillWork::Make(Box::new(moment))));
                }
                Err(oneshot::error::TryRecvError::Empty) => {}
                Err(oneshot::error::TryRecvError::Closed) => {
                    self.fills.moment = None;
                    self.fills.source.made(self.now, None);
                }
            }
        }
        self.fills.source.tick(self.now, &mut todo);
        let replica = &self.replica;
        match &mut self.fills.receiver {
            Some(receiver) => receiver.tick(self.now, &|peer| replica.reaches(peer), &mut todo),
            None => self.notice_cut_off(),
        }
        self.fill_do(todo, out);
    }

    /// What comes next here is in no log any more: the tables must come from another site.
    fn notice_cut_off(&mut self) {
        let Some(lacks) = self.replica.cut_off().filter(|_| self.fills.leaving.is_none() && !self.draining)
        else {
            self.fills.cut_off = None;
            return;
        };
        let since = *self.fills.cut_off.get_or_insert(self.now);
        if self.now < since + CUT_OFF_FOR {
            return;
        }
        let reason =
            format!("{lacks} is in no site's log any more: this site is filled with another one's tables");
        tracing::warn!("{reason}");
        let noted = self.append(gemini_engine::Record::Note { kind: NOTE_FILLING, body: note_filling(None) });
        if let Some(noted) = noted {
            self.fills.leaving = Some((noted, reason));
        }
    }

    /// The log is durable up to `end`.
    pub(super) fn fill_durable(&mut self, end: Lsn, out: &mut Vec<Output>) {
        if let Some((noted, reason)) = &self.fills.leaving
            && *noted < end
        {
            out.push(Output::Reopen(reason.clone()));
        }
    }

    /// A peer has said something about filling.
    pub(super) fn fill_heard(&mut self, from: SiteId, fill: Fill, out: &mut Vec<Output>) {
        let mut todo = Vec::new();
        match fill {
            Fill::Ask { .. } if self.filling() => {
                // It is being filled itself.
                todo.push(Do::Say { to: from, fill: Fill::Gone { image: 0 } });
            }
            Fill::Ask { covers } => {
                let snapshot = self.shared.reader.snapshot();
                let engine = &self.engine;
                let serves = |frontier: &Frontier| engine.serves(frontier);
                self.fills.source.ask(self.now, from, &covers, snapshot.frontier(), &serves, &mut todo);
            }
            Fill::Take { image, offset, length } => {
                self.fills.source.take(self.now, from, image, offset, length, &mut todo);
            }
            answer => {
                if let Some(receiver) = &mut self.fills.receiver {
                    receiver.receive(self.now, from, answer, &mut todo);
                }
            }
        }
        self.fill_do(todo, out);
    }

    /// The thread beside has done something.
    pub(super) fn fill_done(&mut self, filled: Filled, out: &mut Vec<Output>) {
        let mut todo = Vec::new();
        match (filled, &mut self.fills.receiver) {
            (Filled::Made(offer), _) => self.fills.source.made(self.now, offer),
            (Filled::Read { to, image, offset, bytes }, _) => {
                self.fills.source.read(to, image, offset, bytes, &mut todo);
            }
            (Filled::Written(upto), Some(receiver)) => receiver.written(upto, &mut todo),
            (Filled::Failed(reason), Some(receiver)) => {
                tracing::warn!(reason, "an image is of no use; another one is asked for");
                receiver.failed();
            }
            (Filled::Installed, Some(_)) => {
                out.push(Output::Reopen("its tables are filled, and the log goes on".into()));
            }
            (Filled::Written(_) | Filled::Failed(_) | Filled::Installed, None) => {}
        }
        self.fill_do(todo, out);
    }

    fn fill_do(&mut self, todo: Vec<Do>, out: &mut Vec<Output>) {
        for todo in todo {
            match todo {
                Do::Say { to, fill } => self.with_replica(out, |replica, _, _, outputs| {
                    replica.say(to, PeerMessage::Fill(fill), outputs);
                }),
                Do::Begin { source, offer } => {
                    tracing::info!(source = self.name(source), bytes = offer.bytes, "an image comes");
                    self.note(NOTE_FILLING, note_filling(Some((source, offer))));
                    out.push(Output::Fill(FillWork::Begin));
                }
                Do::Write { offset, bytes } => out.push(Output::Fill(FillWork::Write { offset, bytes })),
                Do::Install { offer } => {
                    tracing::info!(frontier = %offer.frontier, "the image is installed");
                    let covers = self.engine.applied().clone();
                    let installation = Installation {
                        place: self.engine.image_place(&offer.frontier),
                        // What is logged beyond that need not be on disk yet: the log itself says it at the next start.
                        own: Own { logged: covers.clone(), ..self.own() },
                        covers,
                        cluster: self.options.cluster,
                        offer,
                    };
                    out.push(Output::Fill(FillWork::Install(Box::new(installation))));
                }
                Do::Make => {
                    tracing::info!("an image is made, from which a site is to be filled");
                    let (reply, moment) = Reply::new();
                    self.fills.moment = Some(moment);
                    self.ask_image(reply);
                }
                Do::Read { to, image, offset, length } => {
                    out.push(Output::Fill(FillWork::Read { to, image, offset, length }));
                }
                Do::Remove { image } => out.push(Output::Fill(FillWork::Remove(image))),
            }
        }
    }
}

/// The site is to be filled; with the image whose file has been begun.
fn note_filling(begun: Option<(SiteId, Offer)>) -> Vec<u8> {
    encode(&begun)
}
