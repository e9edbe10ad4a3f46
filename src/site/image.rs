//! Images: the site's part in a file with the whole database at one causal cut.
//!
//! An image is made in two moves. Inside one [`Site::step`] the site pairs a snapshot of the tables with its own state **at the same
//! frontier**; that takes no longer than a checkpoint's request. Then another thread writes it
//! ([`gemini_engine::image::write`]), and nothing here waits for that.
//!
//! ```text
//!   Input::Image ─► asked ── a batch is taken: the state as of its end ─► sealed ── it is on disk, published ─► Moment
//!                       └─── nothing is under way: what is applied is what readers see ────────────────────►
//! ```
//!
//! What belongs to the cluster goes along ([`Carried`]); what belongs to one site (its identity, what it has received and not
//! applied, what it knows of its peers' folders) does not. The minted bounds of the site that makes the image do: nobody else
//! knows them, and a cluster restored from it must not mint those values again.

use std::collections::BTreeMap;

use gemini_engine::image::Origin;
use gemini_engine::{Lsn, Snapshot};
use gemini_shadow_ops::SequenceId;
use gemini_shadow_ops::fault::{Fault, planted};
use serde::{Deserialize, Serialize};

use super::open::{Common, OpenError, decode, encode};
use super::{Reply, Site};

/// Everything an image is made of: to be written by another thread, which lets go of it as soon as it can.
#[derive(Debug)]
pub struct Moment {
    /// The tables.
    pub snapshot: Snapshot,
    /// Where they come from, with the site's state at the same frontier.
    pub origin: Origin,
}

/// Who waits for a moment.
#[derive(Debug, Default)]
pub(super) struct Images {
    asked: Vec<Reply<Moment>>,
    /// The state as of a batch under way, the batch's end, and who waits for it.
    sealed: Option<(Lsn, Vec<u8>, Vec<Reply<Moment>>)>,
}

/// The first byte of what an image carries of the site.
const CARRIED_FORMAT: u8 = 1;

/// What an image carries beside the tables.
#[derive(Serialize, Deserialize)]
pub(super) struct Carried {
    pub common: Common,
    /// The start count of the process that made it: entry ids up to it are used.
    pub start: u64,
    /// The minting class of the site that made it.
    pub class: u32,
    /// Of so many.
    pub classes: u32,
    /// What that class may have minted, by sequence.
    pub minted: BTreeMap<SequenceId, u64>,
}

impl Carried {
    /// For an image's header.
    pub fn write(&self) -> Vec<u8> {
        [&[CARRIED_FORMAT], encode(self).as_slice()].concat()
    }

    /// From an image's header.
    pub fn read(state: &[u8]) -> Result<Carried, OpenError> {
        match state.split_first() {
            Some((&CARRIED_FORMAT, body)) => decode("image", body),
            Some((format, _)) if *format > CARRIED_FORMAT => {
                Err(OpenError::Newer(format!("the image's part of the site has format {format}")))
            }
            _ => Err(OpenError::Record("image: its part of the site has no format that ever was".into())),
        }
    }
}

impl Site {
    /// Somebody wants a moment.
    pub(super) fn ask_image(&mut self, reply: Reply<Moment>) {
        self.images.asked.push(reply);
    }

    /// Nothing is under way and nothing waits to be written: what is applied is what readers see.
    pub(super) fn image_at_rest(&mut self) {
        if !self.images.asked.is_empty() {
            let state = self.carried();
            let asked = std::mem::take(&mut self.images.asked);
            self.give_image(&state, asked);
        }
    }

    /// A batch is being taken that ends at `end`: once it is published, readers see what is applied now.
    pub(super) fn seal_image(&mut self, end: Lsn) {
        if !self.images.asked.is_empty() {
            let state = self.carried();
            self.images.sealed = Some((end, state, std::mem::take(&mut self.images.asked)));
        }
    }

    /// A batch is on disk and published, and nothing was applied to what readers see since.
    pub(super) fn image_durable(&mut self, end: Lsn) {
        if let Some((_, state, waiting)) = self.images.sealed.take_if(|(sealed, ..)| *sealed <= end) {
            let state = if planted(Fault::ImageStateLate) { self.carried() } else { state };
            self.give_image(&state, waiting);
        }
    }

    fn give_image(&self, state: &[u8], waiting: Vec<Reply<Moment>>) {
        let snapshot = self.shared.reader.snapshot();
        for reply in waiting {
            let origin = Origin {
                cluster: self.options.cluster,
                site: self.options.id,
                taken: self.now,
                state: state.to_vec(),
            };
            reply.send(Moment { snapshot: snapshot.clone(), origin });
        }
    }

    fn carried(&self) -> Vec<u8> {
        let carried = Carried {
            common: self.common(),
            start: self.start,
            class: self.options.minting.class,
            classes: self.options.minting.classes,
            minted: self.shared.minter.bounds(),
        };
        carried.write()
    }
}
