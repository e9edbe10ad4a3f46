//! A site as a pure state machine: the engine, replication and commits, put together.
//!
//! # Why
//!
//! Everything that decides what is durable, what is visible, what is said to whom and what a client is told goes through
//! [`Site::step`]. It has no thread, no socket, no clock and no disk of its own: time, messages, finished syncs and sessions'
//! transactions come in as [`Input`]s; messages, batches for the log and answers go out as [`Output`]s. The program drives it
//! with real threads; the simulator drives the very same code with a seed.
//!
//! ```text
//!   sessions ──Submit──►┌───────────────────────────────────────────────┐──Reply──► sessions
//!   peers ─────Frame──► │ Site::step                                    │──Send───► peers
//!   log thread─Durable─►│   commit.rs  blue: validate, log, apply       │──Write──► log thread
//!   clock ─────Tick───► │   red.rs     propose; decide and apply in order│──Visible► readers
//!                       │   replica ── what to log, admit, send          │
//!                       │   engine ─── log buffer, versions, catalogue   │
//!                       └───────────────────────────────────────────────┘
//! ```
//!
//! # A blue commit, step by step
//!
//! 1. `Submit`: the schema version is the newest, nothing that the transaction read has changed here since its snapshot.
//!    It gets the next dot, a stamp above everything applied, and the site's frontier as `deps`; it is put into the log's
//!    buffer and applied to the versions, invisible yet. If no batch is under way, one goes out: `Write`.
//! 2. `Durable`: the versions become visible (`Visible`), the client is told (`Reply`), and the peers are sent it (`Send`).
//!
//! While a batch is being synced, other commits gather in the next one: group commit without a timer.
//!
//! # Invariants
//!
//! 1. Nothing is said to a peer or a client that rests on bytes which are not on disk: replies wait in `acknowledgements`
//!    for their log position, messages wait inside the replica for its mark.
//! 2. At most one batch is under way; batches and marks are reported in order.
//! 3. Replica outputs are carried out in order before anything else is asked of the replica.
//! 4. A transaction submitted is answered exactly once: committed, refused, unavailable or unknown.
//!
//! # What it does not do
//!
//! It runs no SQL and resolves no names (sessions do, on snapshots); it opens no connection; it never waits.

mod commit;
mod divergence;
mod fill;
mod image;
mod io;
mod maintain;
mod members;
mod mint;
mod open;
mod peers;
mod red;
mod restore;
mod retain;
mod rights;
mod roll;
mod shared;
mod steady;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gemini_engine::{Engine, Lsn, Record};
use gemini_replication::wire::Removed;
use gemini_replication::{Clock, Mark, Replica, Timing};
use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{EntryId, Hlc, Member, Members, SiteId, Window};
use gemini_sql::host::CommitError;

pub use divergence::{Difference, Finding, Verification};
pub use fill::{FillWork, Filled, Installation};
pub use image::Moment;
pub use io::{Input, Outcome, Output, Reply};
pub use members::{MemberAnswer, MemberRequest, MemberStatus, Standing};
pub use mint::{Minted, Minter, MintingClass};
pub use open::{OpenError, removal_in};
pub use restore::{RestoreError, restore};
pub use roll::{Roll, Until};
pub use shared::{Counts, PeerStatus, RecentRed, Shared, Status};
pub use steady::Steady;

/// What a site is told when it is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// This site.
    pub id: SiteId,
    /// The first members, with which the red order began: what a new data directory is told.
    pub first: BTreeMap<SiteId, Member>,
    /// Every site that sites.toml names, this one included: whom to talk to before this site is a member.
    pub names: BTreeMap<SiteId, String>,
    /// The cluster's id.
    pub cluster: u128,
    /// Where the sequencer's leader belongs.
    pub preferred: Option<SiteId>,
    /// Which values this site mints.
    pub minting: MintingClass,
    /// W: how many red indices back certification looks. The same at every site.
    pub window: u64,
    /// How long a red commit waits for the order, µs, unless its session says otherwise.
    pub commit_timeout: u64,
    /// How far ahead of ours a peer's clock may be, µs.
    pub clock_offset: u64,
    /// The replication protocol's times.
    pub timing: Timing,
    /// Bytes of log kept for peers that lack it.
    pub log_keep: u64,
    /// Bytes of an image that an earlier process had begun to take over, in its file.
    pub found: u64,
    /// Random bits for a new data directory's incarnation.
    pub random: u64,
    /// The engine's own.
    pub engine: gemini_engine::Options,
}

/// One site. See the module's essay.
#[derive(Debug)]
pub struct Site {
    options: Options,
    engine: Engine,
    replica: Replica,
    clock: Clock,
    window: Window,
    /// After the last red index applied.
    members: Members,
    /// This site is no member any more.
    removed: Option<Removed>,
    /// What an operator asks of it.
    wanted: Option<members::Wanted>,
    shared: Arc<Shared>,
    /// The greatest stamp of anything logged here.
    greatest: Hlc,
    /// Time never goes back inside.
    now: u64,
    identity: open::Identity,
    /// This process's number.
    start: u64,
    /// The peers' data directories.
    incarnations: BTreeMap<SiteId, u64>,
    /// A batch is being written.
    writing: bool,
    /// What each batch under way covers.
    marks: VecDeque<(Lsn, Mark)>,
    /// Answers that wait for their log position to be on disk, in order of position.
    acknowledgements: VecDeque<commit::Acknowledgement>,
    /// Blue commits that wait for a majority's disks, by n.
    quorum: VecDeque<commit::Quorum>,
    /// Red transactions of this site's sessions on their way through the order.
    proposals: BTreeMap<EntryId, red::Proposal>,
    /// Reservations of minted values on their way to the disk.
    reservations: VecDeque<commit::Reservation>,
    /// What waits for rights, and who asks for them.
    rights: rights::Rights,
    /// Explicit values of this site's minting class in flight, by the entry that uses them.
    claimed: BTreeMap<(gemini_shadow_ops::SequenceId, i64), EntryId>,
    /// Why no transaction is taken any more.
    halted: Option<String>,
    draining: bool,
    drained: bool,
    /// The engine has failed: nothing more may be done.
    stopped: Option<String>,
    counts: Counts,
    upkeep: maintain::Upkeep,
    /// Compares what this site holds with its peers.
    patrol: divergence::Patrol,
    /// Who wants an image of it.
    images: image::Images,
    /// Filling this site, or others from it.
    fills: fill::Fills,
    /// Kept for its capacity.
    outputs: Vec<gemini_replication::replica::Output>,
}

impl Site {
    /// What sessions and operators see of this site.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// This site's id.
    pub fn id(&self) -> SiteId {
        self.options.id
    }

    /// The engine, for checks and digests.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Folds row versions into the store from a thread of its own.
    pub fn fold_handle(&self) -> gemini_engine::FoldHandle {
        self.engine.fold_handle()
    }

    /// Takes one input and appends what is to be done to `out`. `now`: microseconds since 1970-01-01 UTC.
    pub fn step(&mut self, now: u64, input: Input, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        if self.stopped.is_some() {
            return; // what is not answered is unknown: the process is about to end
        }
        match input {
            Input::Tick => self.tick(out),
            Input::Submit { submission, reply } => self.submit(*submission, reply, out),
            Input::Mint { sequence, reply } => self.reserve(sequence, reply, out),
            Input::PeerUp(site) => self.peer_up(site, out),
            Input::PeerDown { site, reason } => self.peer_down(site, reason, out),
            Input::Frame { from, bytes } => self.frame(from, &bytes, out),
            Input::Durable(end) => self.durable(end, out),
            Input::LogFailed(reason) => self.log_failed(&reason),
            Input::Drain => self.draining = true,
            Input::Image(reply) => self.ask_image(reply),
            Input::Member { request, reply } => self.member_request(request, reply),
            Input::Filled(filled) => self.fill_done(filled, out),
            Input::Verify(reply) => {
                reply.send(self.patrol.hurry(self.now));
                self.publish_verification();
            }
        }
        self.serve_rights(out);
        self.flush(out);
        self.finish_drain(out);
        if let Some(reason) = &self.stopped {
            out.push(Output::Stop(reason.clone()));
        }
    }

    /// Hands out what has gathered in the log's buffer, if no batch is under way.
    fn flush(&mut self, out: &mut Vec<Output>) {
        if self.writing {
            return;
        }
        if let Some(batch) = self.engine.take_batch() {
            self.marks.push_back((batch.end, self.replica.seal()));
            self.seal_image(batch.end);
            self.writing = true;
            out.push(Output::Write(batch));
        } else {
            self.image_at_rest();
        }
    }

    /// A batch is on disk: what rested on it is visible, acknowledged, and said to the peers.
    fn durable(&mut self, end: Lsn, out: &mut Vec<Output>) {
        self.writing = false;
        self.engine.durable(end);
        self.image_durable(end);
        self.fill_durable(end, out);
        out.push(Output::Visible);
        while self.reservations.front().is_some_and(|r| r.position < end) {
            let Some(reservation) = self.reservations.pop_front() else { break };
            self.shared.minter.durable(reservation.sequence, reservation.bound);
            out.extend(reservation.waiting.into_iter().map(|reply| Output::Minted(reply, Ok(()))));
        }
        while self.acknowledgements.front().is_some_and(|a| a.position < end) {
            let Some(acknowledgement) = self.acknowledgements.pop_front() else { break };
            self.acknowledge(acknowledgement, out);
        }
        let mut covered = None;
        while self.marks.front().is_some_and(|(position, _)| *position <= end) {
            covered = self.marks.pop_front();
        }
        if let Some((_, mark)) = covered {
            let mark = if planted(Fault::SealedLate) { self.replica.seal() } else { mark };
            self.with_replica(out, |replica, now, shelf, outputs| replica.durable(now, mark, shelf, outputs));
        }
    }

    /// The log cannot be written: nothing after its last sync counts, so nothing more may be said.
    fn log_failed(&mut self, reason: &str) {
        self.stopped = Some(format!("the log cannot be written, the site stops: {reason}"));
    }

    /// Carries on with what the engine gave, or stops the site: an engine that refuses to apply has lost its place.
    fn must<T>(&mut self, result: Result<T, gemini_engine::Error>) -> Option<T> {
        result
            .map_err(|error| self.stopped = Some(format!("the engine has failed, the site stops: {error}")))
            .ok()
    }

    /// Appends a record that applies nothing.
    fn append(&mut self, record: Record) -> Option<Lsn> {
        let appended = self.engine.append(record);
        self.must(appended)
    }

    /// A site that halts goes on reading and receiving; it commits nothing more.
    fn halt(&mut self, reason: String) {
        self.shared.update(|status| status.refusing = Some(reason.clone()));
        self.halted = Some(reason);
    }

    fn finish_drain(&mut self, out: &mut Vec<Output>) {
        let idle = self.acknowledgements.is_empty()
            && self.quorum.is_empty()
            && self.proposals.is_empty()
            && self.rights.idle()
            && self.reservations.is_empty()
            && !self.writing;
        if self.draining && !self.drained && idle {
            self.drained = true;
            out.push(Output::Drained);
        }
    }

    /// Why a transaction cannot be taken at all.
    fn refusal(&self) -> Option<CommitError> {
        if let Some(reason) = &self.halted {
            return Some(CommitError::Rejected { sqlstate: "58030", message: reason.clone() });
        }
        if !self.members.contains(self.options.id) {
            return Some(CommitError::Rejected {
                sqlstate: "57P03",
                message: "this site has not joined the cluster yet: it has to be added (gemini site add) and to catch up".into(),
            });
        }
        if self.leaving() {
            return Some(CommitError::Rejected {
                sqlstate: "57P01",
                message: "this site is leaving the cluster: use another one".to_string(),
            });
        }
        if let Some(message) = self.filling_refusal() {
            return Some(CommitError::Rejected { sqlstate: "57P03", message });
        }
        if self.engine.full() {
            return Some(CommitError::Rejected {
                sqlstate: "53100",
                message: "the disk is full: free some space; reads and replication go on".to_string(),
            });
        }
        if self.engine.pressure().over {
            return Some(CommitError::Rejected {
                sqlstate: "53200",
                message:
                    "row versions take more memory than the site may use; try again when they are folded"
                        .to_string(),
            });
        }
        self.draining.then(|| CommitError::Rejected {
            sqlstate: "57P01",
            message: "the site is shutting down".to_string(),
        })
    }

    /// Appends a record of the site's own.
    fn note(&mut self, kind: u8, body: Vec<u8>) {
        self.append(Record::Note { kind, body });
    }

    fn name(&self, site: SiteId) -> String {
        let member = || self.members.member(site).map(|member| member.name.clone());
        self.options.names.get(&site).cloned().or_else(member).unwrap_or_else(|| format!("site {site}"))
    }
}
