//! Images: the whole database at one causal cut, in one file.
//!
//! A backup is an image that is kept; a site that is filled from another one is sent an image. Both are made in two moves: a
//! [`Snapshot`](crate::Snapshot) pins one durable moment (nothing else stops), and [`write()`] walks its tables in key order, in chunks. Whoever
//! installs it ([`install`]) gets a store as a checkpoint of that moment would have left it.
//!
//! ```text
//!   magic 8 │ format u32                                                        (little endian everywhere)
//!   frame   kind u8 │ number u32 │ length u32 │ crc32c of the body u32 │ crc32c of the 13 bytes before u32 │ body
//!
//!   frame 0     Header    whose database, its frontier and schema, the site's own state (opaque here)
//!   frame 1 …   Rows      table u32 │ count u32 │ { key length u32 │ key │ row length u32 │ row (store/row.rs) } …
//!   last frame  End       rows, digest, xxh3-128 of everything before this frame
//! ```
//!
//! Rows are there with every incarnation, ended ones too: they decide what later effects do. Not there, because it is local or
//! follows from the rest: positions in the log (a row takes its receiver's), index entries (they are made anew, by the rule that
//! folds use), the conflict log.
//!
//! # What damage looks like
//!
//! A frame's head has a checksum of its own, so a wrong length is told from an early end; frames are numbered, so none can be
//! missing, doubled or moved; the last one says how much there was and which digest the tables have, so one frame of another image
//! is found too. The reader gives rows out frame by frame, before it has seen the end: **what it gave counts only once
//! [`ImageReader::next_chunk`] has returned `None`**. The installer keeps to that by writing the manifest last.
//!
//! ```text
//!   install:  remove the manifest, flush │ remove rows and entries │ rows, entries │ end seen, flush │ manifest, flush
//!             ◄──────────────────────── a store without a manifest: nobody trusts it ──────────────────►  whole
//! ```
//!
//! # What it does not do
//!
//! It opens no file and no connection, knows nothing of the site's state, and decides nothing about who may install what.

mod frame;
mod install;
mod read;
mod write;

use std::ops::ControlFlow;
use std::sync::Arc;

use gemini_shadow_ops::{Frontier, Schema, SiteId};
use serde::{Deserialize, Serialize};

pub use install::{Installer, Place, install};
pub use read::{Chunk, ImageReader, verify};
pub use write::write;

use crate::Digest;

/// The format this program writes: of the frames, the header, the end. Rows carry a format of their own.
pub const FORMAT: u32 = 1;

/// Where an image comes from, as the site that makes it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The cluster's id.
    pub cluster: u128,
    /// Whose moment it is.
    pub site: SiteId,
    /// When, in µs since 1970-01-01 UTC by that site's clock.
    pub taken: u64,
    /// What the site keeps beside the tables, as of the same frontier.
    pub state: Vec<u8>,
}

/// What an image begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Where it comes from.
    pub origin: Origin,
    /// The cut: everything up to here is in the rows, nothing beyond.
    pub frontier: Frontier,
    /// What is declared there.
    pub schema: Arc<Schema>,
}

/// What an image ends with, and what is known of it as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Keys with at least one incarnation, ended ones counted.
    pub rows: u64,
    /// The image's length.
    pub bytes: u64,
    /// Of all tables, as [`Snapshot::digest`](crate::Snapshot::digest) gives it.
    pub digest: Digest,
    /// xxh3-128 of the image up to its last frame: tells one image from another.
    pub checksum: u128,
}

#[derive(Serialize, Deserialize)]
struct End {
    rows: u64,
    digest: Digest,
    checksum: u128,
}

/// How far a long job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows written, read or installed.
    pub rows: u64,
    /// Bytes of the image written or read.
    pub bytes: u64,
}

/// Hears of progress after every chunk; `Break` gives the job up with [`ImageError::Cancelled`].
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Why an image could not be written, read or installed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Reading or writing the file failed.
    #[error("the image cannot be {doing}: {error}")]
    Io {
        /// "read" or "written".
        doing: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// It does not begin like one.
    #[error("this is no image of a database")]
    NotAnImage,
    /// A newer version of the program wrote it.
    #[error(
        "the image has format {found}, this program reads {FORMAT}: use the version that wrote it, or a later one"
    )]
    Newer {
        /// Its format.
        found: u32,
    },
    /// Bytes are not what was written.
    #[error("the image is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the damaged part begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// It ends before its last frame.
    #[error("the image ends at byte {offset}, before it is complete")]
    Truncated {
        /// Its length.
        offset: u64,
    },
    /// Whoever watched gave it up.
    #[error("given up")]
    Cancelled,
    /// The snapshot could not be read, or the store not be written.
    #[error(transparent)]
    Engine(#[from] crate::Error),
}

fn damaged(offset: u64, what: impl std::fmt::Display) -> ImageError {
    ImageError::Damaged { offset, what: what.to_string() }
}

fn told(watch: &mut Watch<'_>, progress: Progress) -> Result<(), ImageError> {
    match watch(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ImageError::Cancelled),
    }
}
