//! The site that is filled.

use gemini_shadow_ops::{Frontier, SiteId};

use super::{Do, PIECE, WINDOW};
use crate::wire::{Blob, Fill, Offer};

/// A question is repeated after this long, µs.
const AGAIN: u64 = 1_000_000;

/// Between one source that has nothing and the next, µs.
const BETWEEN: u64 = 100_000;

/// A source that says nothing for so long is given up, µs.
const SILENCE: u64 = 5_000_000;

/// A source that has nothing to offer for so long is given up for the next one, µs.
const PATIENCE: u64 = 60_000_000;

/// How far the filling is, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// From whom; None while nobody is there.
    pub source: Option<SiteId>,
    /// Bytes of the image that are here.
    pub done: u64,
    /// Its bytes; 0 before there is an offer.
    pub all: u64,
    /// What it waits for, if it does.
    pub waits: Option<String>,
}

#[derive(Debug)]
enum State {
    /// Nobody has offered an image yet.
    Seeking {
        /// Whom we ask, since when.
        source: Option<(SiteId, u64)>,
        /// When it was asked last, and when it said something last.
        asked: u64,
        heard: u64,
        waits: Option<String>,
    },
    Taking {
        source: SiteId,
        offer: Offer,
        /// Bytes in the file.
        written: u64,
        /// Bytes that have come; what comes must begin here.
        got: u64,
        /// Bytes that were asked for.
        taken: u64,
        /// When something came last.
        heard: u64,
        /// When the last question without an answer was repeated.
        asked: u64,
    },
    Installing {
        source: SiteId,
        offer: Offer,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Receiver {
    /// Possible sources, in the order in which they are asked.
    peers: Vec<SiteId>,
    /// What an image must cover: what this site has applied.
    covers: Frontier,
    /// Which peer is next.
    turn: usize,
    state: State,
}

impl Receiver {
    /// `found`: an image that an earlier process had begun, and how many bytes of it are in the file.
    pub fn new(
        now: u64,
        peers: Vec<SiteId>,
        covers: Frontier,
        found: Option<(SiteId, Offer, u64)>,
    ) -> Receiver {
        let fits = |offer: &Offer, bytes: u64| bytes <= offer.bytes && offer.frontier.includes(&covers);
        let state = match found {
            Some((source, offer, bytes)) if bytes > 0 && fits(&offer, bytes) => State::Taking {
                source,
                offer,
                written: bytes,
                got: bytes,
                taken: bytes,
                heard: now,
                asked: now,
            },
            _ => seeking(),
        };
        Receiver { peers, covers, turn: 0, state }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64, reaches: &dyn Fn(SiteId) -> bool, out: &mut Vec<Do>) {
        match &mut self.state {
            State::Seeking { source, asked, heard, waits } => {
                if let Some((peer, since)) = *source
                    && (!reaches(peer) || now >= *heard + SILENCE || now >= since + PATIENCE)
                {
                    self.turn += 1;
                    (*source, *waits) = (None, None);
                }
                if source.is_none() && now >= *asked + BETWEEN {
                    let peers = self.peers.len().max(1);
                    let next = (0..self.peers.len())
                        .map(|i| self.peers[(self.turn + i) % peers])
                        .find(|p| reaches(*p));
                    let Some(peer) = next else { return };
                    *source = Some((peer, now));
                    (*asked, *heard) = (0, now);
                }
                if let Some((to, _)) = *source
                    && now >= *asked + AGAIN
                {
                    *asked = now;
                    out.push(Do::Say { to, fill: Fill::Ask { covers: self.covers.clone() } });
                }
            }
            State::Taking { offer, written, got, taken, heard, asked, .. } => {
                if *written == offer.bytes {
                    return self.whole(out); // found whole
                }
                if now >= *heard + PATIENCE {
                    self.turn += 1;
                    self.state = seeking();
                } else if now >= (*heard).max(*asked) + AGAIN {
                    (*taken, *asked) = (*got, now);
                    self.take(out);
                }
            }
            State::Installing { .. } => {}
        }
    }

    /// A peer has said something.
    pub fn receive(&mut self, now: u64, from: SiteId, fill: Fill, out: &mut Vec<Do>) {
        match (&mut self.state, fill) {
            (
                State::Seeking { source: Some((peer, since)), heard, waits, .. },
                Fill::Wait { making, reason },
            ) if *peer == from => {
                *heard = now;
                *waits = Some(reason);
                if making {
                    *since = now; // a large image takes long
                }
            }
            (State::Seeking { source, asked, waits, .. }, Fill::Gone { image: 0 })
                if source.is_some_and(|(peer, _)| peer == from) =>
            {
                self.turn += 1;
                (*source, *asked, *waits) = (None, now, None);
            }
            (State::Seeking { source: Some((peer, _)), .. }, Fill::Offer(offer)) if *peer == from => {
                let covers = offer.frontier.includes(&self.covers);
                if !covers || offer.bytes == 0 {
                    return; // it is asked again, and given up after a while
                }
                out.push(Do::Begin { source: from, offer: offer.clone() });
                self.state = State::Taking {
                    source: from,
                    offer,
                    written: 0,
                    got: 0,
                    taken: 0,
                    heard: now,
                    asked: now,
                };
                self.take(out);
            }
            (State::Taking { source, offer, got, heard, .. }, Fill::Piece { image, offset, bytes })
                if *source == from && image == offer.image && offset == *got =>
            {
                let length = bytes.0.len() as u64;
                if length == 0 || length > u64::from(PIECE) || offset + length > offer.bytes {
                    return;
                }
                *heard = now;
                *got += length;
                out.push(Do::Write { offset, bytes: bytes.0 });
            }
            (State::Taking { source, offer, .. }, Fill::Gone { image })
                if *source == from && image == offer.image =>
            {
                self.state = seeking();
            }
            _ => {}
        }
    }

    /// The file has so many bytes now.
    pub fn written(&mut self, upto: u64, out: &mut Vec<Do>) {
        let State::Taking { offer, written, got, .. } = &mut self.state else { return };
        *written = upto.min(*got);
        if *written == offer.bytes { self.whole(out) } else { self.take(out) }
    }

    /// The image could not be written, was damaged or did not fit: another one.
    pub fn failed(&mut self) {
        self.turn += 1;
        self.state = seeking();
    }

    /// For people.
    pub fn progress(&self) -> Progress {
        match &self.state {
            State::Seeking { source, waits, .. } => {
                Progress { source: source.map(|(peer, _)| peer), waits: waits.clone(), ..Progress::default() }
            }
            State::Taking { source, offer, written, .. } => {
                Progress { source: Some(*source), done: *written, all: offer.bytes, waits: None }
            }
            State::Installing { source, offer } => {
                let waits = Some("the image is being installed".to_string());
                Progress { source: Some(*source), done: offer.bytes, all: offer.bytes, waits }
            }
        }
    }

    fn whole(&mut self, out: &mut Vec<Do>) {
        if let State::Taking { source, offer, .. } = &self.state {
            let (source, offer) = (*source, offer.clone());
            out.push(Do::Install { offer: offer.clone() });
            self.state = State::Installing { source, offer };
        }
    }

    /// Takes as much as the window has room for.
    fn take(&mut self, out: &mut Vec<Do>) {
        let State::Taking { source, offer, written, taken, .. } = &mut self.state else { return };
        while *taken < offer.bytes && *taken - *written < WINDOW {
            let length = u64::from(PIECE).min(offer.bytes - *taken) as u32;
            let fill = Fill::Take { image: offer.image, offset: *taken, length };
            *taken += u64::from(length);
            out.push(Do::Say { to: *source, fill });
        }
    }
}

fn seeking() -> State {
    State::Seeking { source: None, asked: 0, heard: 0, waits: None }
}

/// Bytes of a piece as they travel.
pub(super) fn piece(image: u64, offset: u64, bytes: bytes::Bytes) -> Fill {
    Fill::Piece { image, offset, bytes: Blob(bytes) }
}
