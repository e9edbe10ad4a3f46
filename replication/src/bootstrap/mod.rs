//! Bootstrap: a site whose log no longer joins on to the others' is filled with a copy of another site's tables.
//!
//! A member comes to that when it was away for longer than the logs are kept, or when its store is lost and its own log no longer
//! reaches back to the beginning. It keeps its log (its own transactions, its votes, what it has received), takes no transactions
//! meanwhile, and asks one peer after the other for an *image*: a file with everything at one frontier.
//!
//! ```text
//!   Receiver (the site that is filled)                  Source (any peer)
//!   Ask { covers: (1:70 2:9 3:12; r 40) } ────────────►  has applied less: waits for what the asker still hands over
//!   ◄───────────────────────────────── Wait { why }      then an image is made: snapshot, local file, at the source's leisure
//!   ◄──────────────── Offer { image, bytes, frontier }
//!   Take { image, 0 } Take { image, 262144 } … ───────►  reads the file
//!   ◄──────────────────────── Piece { image, 0, … } …    written to a file here; as pieces arrive, more are taken
//!                                                        a link breaks, either end restarts: Take goes on where the file ends
//!   whole: checked, installed, opened; the rest comes from the logs
//! ```
//!
//! # What must hold (DESIGN §8)
//!
//! 1. **The image covers the receiver's own frontier**: a source offers none that does not, and a receiver takes none. So
//!    every transaction of the receiver's own is at its source first: the receiver goes on streaming while it waits.
//! 2. Term, vote, sequencer entries and what is logged and not applied stay: they are in the receiver's log, which nobody touches.
//! 3. While it is filled a site applies nothing, so that its frontier stands still and a finished image still covers it.
//!
//! # Not starving others
//!
//! The receiver pulls: at most [`WINDOW`] bytes are under way, on the same links that the streams use. A blue transaction of
//! the source waits behind as much and no more.
//!
//! # What it does not do
//!
//! It reads and writes no file, makes no image and judges none: [`Do`] says what is to be done, and the site's driver does it.
//! An image is one source's: half of one is of no use to another.

mod receiver;
mod source;
#[cfg(test)]
mod tests;

use gemini_shadow_ops::SiteId;

pub use receiver::{Progress, Receiver};
pub use source::Source;

use crate::wire::{Fill, Offer};

/// Bytes of a piece.
pub const PIECE: u32 = 256 << 10;

/// Bytes that a receiver has taken and not got yet, at most.
pub const WINDOW: u64 = 1 << 20;

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    /// Say it to a peer, whatever the way.
    Say {
        /// To whom.
        to: SiteId,
        /// What.
        fill: Fill,
    },
    /// Receiver: begin a new file for this image, and note durably whose it is.
    Begin {
        /// Who offered it.
        source: SiteId,
        /// What.
        offer: Offer,
    },
    /// Receiver: write this at the file's end, then call [`Receiver::written`].
    Write {
        /// Where.
        offset: u64,
        /// What.
        bytes: bytes::Bytes,
    },
    /// Receiver: the file is whole. Check it and install it; if that cannot be, call [`Receiver::failed`].
    Install {
        /// What it is said to be.
        offer: Offer,
    },
    /// Source: make an image, then call [`Source::made`].
    Make,
    /// Source: read this much of the image's file, then call [`Source::read`].
    Read {
        /// For whom.
        to: SiteId,
        /// Of which image.
        image: u64,
        /// From here.
        offset: u64,
        /// So much.
        length: u32,
    },
    /// Source: nobody wants the image any more: remove its file.
    Remove {
        /// Which.
        image: u64,
    },
}
