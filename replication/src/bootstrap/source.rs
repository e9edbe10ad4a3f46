//! A site from which others are filled. It keeps one image at a time, as long as somebody takes from it.

use gemini_shadow_ops::{Frontier, SiteId};

use super::receiver::piece;
use super::{Do, PIECE};
use crate::wire::{Fill, Offer};

/// An image that nobody has taken from for so long is removed, µs.
const KEEP: u64 = 600_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Source {
    /// The image that there is, and when it was last of use.
    image: Option<(Offer, u64)>,
    /// One is being made.
    making: bool,
}

impl Source {
    /// A peer wants an image that covers its frontier. `applied`: this site's, on its disk. `serves`: whether a peer with this
    /// much could be given the rest from the log here.
    pub fn ask(
        &mut self,
        now: u64,
        from: SiteId,
        covers: &Frontier,
        applied: &Frontier,
        serves: &dyn Fn(&Frontier) -> bool,
        out: &mut Vec<Do>,
    ) {
        let wait = |making, reason| Do::Say { to: from, fill: Fill::Wait { making, reason } };
        if let Some((offer, used)) = &mut self.image
            && offer.frontier.includes(covers)
            && serves(&offer.frontier)
        {
            *used = now;
            return out.push(Do::Say { to: from, fill: Fill::Offer(offer.clone()) });
        }
        if !applied.includes(covers) {
            return out.push(wait(
                false,
                format!("it has applied {applied}, and waits until that covers {covers}"),
            ));
        }
        if !std::mem::replace(&mut self.making, true) {
            if let Some((old, _)) = self.image.take() {
                out.push(Do::Remove { image: old.image });
            }
            out.push(Do::Make);
        }
        out.push(wait(true, "it makes an image".into()));
    }

    /// An image is there, or (None) could not be made: whoever asks again has it tried again.
    pub fn made(&mut self, now: u64, offer: Option<Offer>) {
        self.making = false;
        self.image = offer.map(|offer| (offer, now));
    }

    /// A peer takes a piece.
    pub fn take(&mut self, now: u64, from: SiteId, image: u64, offset: u64, length: u32, out: &mut Vec<Do>) {
        match &mut self.image {
            Some((offer, used)) if offer.image == image && offset < offer.bytes => {
                *used = now;
                let length = u64::from(length.min(PIECE)).min(offer.bytes - offset) as u32;
                out.push(Do::Read { to: from, image, offset, length });
            }
            _ => out.push(Do::Say { to: from, fill: Fill::Gone { image } }),
        }
    }

    /// What was read; None: the file cannot be read, and is not offered any more.
    pub fn read(
        &mut self,
        to: SiteId,
        image: u64,
        offset: u64,
        bytes: Option<bytes::Bytes>,
        out: &mut Vec<Do>,
    ) {
        match bytes {
            Some(bytes) => out.push(Do::Say { to, fill: piece(image, offset, bytes) }),
            None => {
                if self.image.take_if(|(offer, _)| offer.image == image).is_some() {
                    out.push(Do::Remove { image });
                }
                out.push(Do::Say { to, fill: Fill::Gone { image } });
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Do>) {
        if let Some((offer, _)) = self.image.take_if(|(_, used)| now >= *used + KEEP) {
            out.push(Do::Remove { image: offer.image });
        }
    }

    /// From here on a site that is being filled will need the log.
    pub fn frontier(&self) -> Option<&Frontier> {
        self.image.as_ref().map(|(offer, _)| &offer.frontier)
    }
}
