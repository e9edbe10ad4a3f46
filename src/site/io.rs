//! What goes into [`super::Site::step`] and what comes out.

use std::fmt;

use bytes::Bytes;
use gemini_engine::log::Upkeep;
use gemini_engine::{Batch, Lsn};
use gemini_shadow_ops::{SequenceId, SiteId};
use gemini_sql::host::{CommitError, Committed, Submission};
use tokio::sync::oneshot;

use super::fill::{FillWork, Filled};
use super::image::Moment;
use super::members::{MemberAnswer, MemberRequest};

/// Where the answer to an input goes. A session that stopped waiting has dropped the other end; that is no error.
pub struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// An answer's two ends.
    pub fn new() -> (Reply<T>, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(sender), receiver)
    }

    /// Delivers the answer.
    pub fn send(self, answer: T) {
        drop(self.0.send(answer));
    }

    /// Nobody waits any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

/// The outcome of a submission.
pub type Outcome = Result<Committed, CommitError>;

/// Everything that can happen to a site.
#[derive(Debug)]
pub enum Input {
    /// Time has passed: at least every 20 ms.
    Tick,
    /// A session's transaction.
    Submit {
        /// The transaction.
        submission: Box<Submission>,
        /// Who waits.
        reply: Reply<Outcome>,
    },
    /// A session's reserve of minted values is low; with a reply, empty.
    Mint {
        /// The sequence.
        sequence: SequenceId,
        /// Answered once more values are reserved durably.
        reply: Option<Reply<Result<(), CommitError>>>,
    },
    /// A link to a peer is up: both ends have proved who they are.
    PeerUp(SiteId),
    /// It is gone.
    PeerDown {
        /// The peer.
        site: SiteId,
        /// For people.
        reason: String,
    },
    /// A frame from a peer, not yet looked at.
    Frame {
        /// The peer at the other end of the link.
        from: SiteId,
        /// One frame.
        bytes: Bytes,
    },
    /// A batch handed out by [`Output::Write`] is on disk, the log durable up to here.
    Durable(Lsn),
    /// The log could not be written. The site stops; nothing after this is acknowledged.
    LogFailed(String),
    /// Compare everything with every peer, without pauses; the answer is the number that [`super::Verification::rounds`] has
    /// when that is done.
    Verify(Reply<u64>),
    /// Give the next moment at which what is applied is durable, to make an image of. Not answered if the site stops.
    Image(Reply<Moment>),
    /// An operator's request to change the members.
    Member {
        /// What.
        request: MemberRequest,
        /// Answered when it has happened, or will not.
        reply: Reply<MemberAnswer>,
    },
    /// Work of [`Output::Fill`] is done, or cannot be.
    Filled(Filled),
    /// Stop taking transactions; [`Output::Drained`] follows when those in flight have ended.
    Drain,
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Output {
    /// Send one frame. Lost frames are sent again by the protocol, so a full link may drop it.
    Send {
        /// To this peer.
        to: SiteId,
        /// One frame.
        frame: Bytes,
    },
    /// Write and sync on the log thread, then [`Input::Durable`]. At most one is under way.
    Write(Batch),
    /// Run on any thread but the site's: the log's files are prepared and recycled.
    Upkeep(Upkeep),
    /// Tell a session how its transaction ended.
    Reply(Reply<Outcome>, Outcome),
    /// Tell a session that it can mint again.
    Minted(Reply<Result<(), CommitError>>, Result<(), CommitError>),
    /// A newer version is visible to readers.
    Visible,
    /// Close the link to a peer that broke the protocol or whose clock is too far off; it may come back.
    Disconnect {
        /// The peer.
        site: SiteId,
        /// For both logs.
        reason: String,
    },
    /// The members have changed: [`super::Status::members`] says who there is to be linked with.
    Members,
    /// Do this beside the site, in order; what becomes of it is [`Input::Filled`]. May be left undone: it comes again.
    Fill(FillWork),
    /// Let go of this site and open it anew on the same disk and store.
    Reopen(String),
    /// Everything in flight has ended and is durable.
    Drained,
    /// Stop the process: going on could lose or invent data.
    Stop(String),
}
