//! The writer's end: what the site thread owns.
//!
//! ```text
//!   commit_blue / admit_blue / admit_red        site thread
//!        │ 1. the record into the log's buffer      (nothing is applied if it is refused)
//!        │ 2. new versions at the next Seq          (no snapshot sees them)
//!        ▼
//!   take_batch ── mark(end, Seq, frontier) ──► batch.write: one write, one fdatasync      log thread
//!        ▲                                          │
//!        └──────────── durable(end) ◄───────────────┘
//!                      publishes the mark's moment: snapshots taken from now on see it
//! ```
//!
//! Invariants:
//! 1. A version's effects are appended to the log before they are in memory, in the same order.
//! 2. What is visible is durable: a moment is published only by [`Engine::durable`] of a batch that holds all of it.
//! 3. Blue (i, n) is applied after (i, n-1), red r after r-1; anything else is refused as an internal error.
//! 4. After an error that leaves versions behind the log (the store could not be read) the engine refuses everything:
//!    a restart replays.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Dot, Entry, Frontier, Schema, ShadowTransaction, TxnId, Verdict};

use crate::digest::Digest;
use crate::dots::Dots;
use crate::log::{Batch, Log, LogReader, Record, Upkeep};
use crate::snapshot::{Reader, Shared, Snapshot};
use crate::versions::{Catalogue, Epoch};
use crate::{Error, Lsn, Options, Seq};

/// A moment that becomes visible when the log is durable up to `end`.
struct Mark {
    end: Lsn,
    seq: Seq,
    frontier: Frontier,
    schema: Arc<Schema>,
    catalogue: Arc<Catalogue>,
}

/// One site's data: the one writer. Readers come from [`Engine::reader`].
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) reader: LogReader,
    pub(crate) dots: Dots,
    pub(crate) schema: Arc<Schema>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) applied: Frontier,
    pub(crate) seq: Seq,
    /// When the schema last changed.
    pub(crate) schema_changed: Seq,
    marks: VecDeque<Mark>,
    /// The moments whose versions must stay, oldest first: those in use and those to be published.
    pub(crate) needed: Vec<Seq>,
    /// The site's state as of the checkpoint that this process started from.
    pub(crate) recovered: Option<Vec<u8>>,
    failed: Option<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("seq", &self.seq)
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn assemble(
        options: Options,
        log: Log,
        shared: Arc<Shared>,
        schema: Arc<Schema>,
        catalogue: Arc<Catalogue>,
        applied: Frontier,
        recovered: Option<Vec<u8>>,
    ) -> Engine {
        let reader = log.reader();
        Engine {
            shared,
            options,
            log,
            reader,
            dots: Dots::default(),
            schema,
            catalogue,
            applied,
            seq: Seq(0),
            schema_changed: Seq(0),
            marks: VecDeque::new(),
            needed: Vec::new(),
            recovered,
            failed: None,
        }
    }

    /// Where sessions take their snapshots from.
    pub fn reader(&self) -> Reader {
        Reader { shared: self.shared.clone() }
    }

    /// Reads the log from any thread.
    pub fn log_reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// The newest schema; it may be ahead of what is durable.
    pub fn schema(&self) -> Arc<Schema> {
        self.schema.clone()
    }

    /// What has been applied; it may be ahead of what is durable.
    pub fn applied(&self) -> &Frontier {
        &self.applied
    }

    /// The newest moment; it may be ahead of what is durable.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The site state that the checkpoint this process started from carried; None after a start without one.
    pub fn recovered_state(&self) -> Option<&[u8]> {
        self.recovered.as_deref()
    }

    /// Appends a record that applies nothing: Start, Sequencer, Minted, Note, or a received Blue.
    pub fn append(&mut self, record: Record) -> Result<Lsn, Error> {
        self.check_running()?;
        let lsn = self.log.append(&record)?;
        self.index_record(lsn, &record);
        Ok(lsn)
    }

    /// Commits a blue transaction of this site: log and versions in one. Invisible until durable. The next dot of its site.
    pub fn commit_blue(
        &mut self,
        dot: Dot,
        transaction: Arc<ShadowTransaction>,
    ) -> Result<(Lsn, Seq), Error> {
        self.check_next(TxnId::Blue(dot))?;
        let record = Record::Blue { dot, transaction: transaction.clone(), local: true };
        let lsn = self.log.append(&record)?;
        self.dots.committed(dot, lsn);
        let seq = self.apply_all(TxnId::Blue(dot), lsn, &transaction)?;
        Ok((lsn, seq))
    }

    /// Applies a received blue transaction, which stands in the log already.
    pub fn admit_blue(
        &mut self,
        dot: Dot,
        transaction: &Arc<ShadowTransaction>,
    ) -> Result<(Lsn, Seq), Error> {
        self.check_next(TxnId::Blue(dot))?;
        let lsn = match planted(Fault::AdmitNotLogged) {
            true => self.log.end(),
            false => self.log.append(&Record::Admit { dot })?,
        };
        self.dots.admitted(dot);
        let seq = self.apply_all(TxnId::Blue(dot), lsn, transaction)?;
        Ok((lsn, seq))
    }

    /// Logs the entry at red index `r` with its verdict, and applies it if accepted, changes of the schema too.
    pub fn admit_red(&mut self, r: u64, entry: Arc<Entry>, verdict: &Verdict) -> Result<(Lsn, Seq), Error> {
        self.check_next(TxnId::Red(r))?;
        let record = Record::Red { r, entry: entry.clone(), verdict: verdict.clone() };
        let lsn = self.log.append(&record)?;
        self.dots.ordered(r, lsn);
        let seq = self.apply_red(r, lsn, &entry, verdict)?;
        Ok((lsn, seq))
    }

    /// The effects of a red entry whose record stands at `lsn`.
    pub(crate) fn apply_red(
        &mut self,
        r: u64,
        lsn: Lsn,
        entry: &Entry,
        verdict: &Verdict,
    ) -> Result<Seq, Error> {
        let applied = self.apply_entry(r, lsn, entry, verdict);
        self.carried_out(applied)
    }

    pub(crate) fn apply_all(
        &mut self,
        id: TxnId,
        lsn: Lsn,
        transaction: &ShadowTransaction,
    ) -> Result<Seq, Error> {
        let applied = self.apply(id, lsn, transaction);
        self.carried_out(applied)
    }

    /// After an error the versions are behind the log.
    fn carried_out(&mut self, applied: Result<Seq, Error>) -> Result<Seq, Error> {
        if let Err(error) = &applied {
            self.failed = Some(error.to_string());
        }
        applied
    }

    /// Everything appended since the last call. The log thread runs [`Batch::write`], then the site calls
    /// [`Engine::durable`] with its end.
    pub fn take_batch(&mut self) -> Option<Batch> {
        let batch = self.log.take_batch()?;
        self.mark(batch.end);
        Some(batch)
    }

    /// Whether [`Engine::take_batch`] would give one.
    pub fn has_batch(&self) -> bool {
        self.log.has_batch()
    }

    fn mark(&mut self, end: Lsn) {
        let marked = self.marks.back().map_or_else(|| self.shared.pins.current_seq(), |mark| mark.seq);
        if marked < self.seq {
            self.needed.push(self.seq);
            self.marks.push_back(Mark {
                end,
                seq: self.seq,
                frontier: self.applied.clone(),
                schema: self.schema.clone(),
                catalogue: self.catalogue.clone(),
            });
        }
    }

    /// The log is on disk up to `end`: what was marked there becomes visible.
    pub fn durable(&mut self, end: Lsn) {
        self.shared.durable.fetch_max(end.0, Ordering::SeqCst);
        let mut newest = None;
        while self.marks.front().is_some_and(|mark| mark.end <= end) {
            newest = self.marks.pop_front();
        }
        if let Some(mark) = newest {
            let frontier = match planted(Fault::FrontierBeforeApply) {
                true => self.applied.clone(),
                false => mark.frontier,
            };
            let epoch = Epoch::new(mark.seq, frontier, mark.schema, mark.catalogue);
            self.shared.pins.publish(epoch, &mut self.needed);
            self.needed.extend(self.marks.iter().map(|mark| mark.seq));
        }
    }

    /// Makes everything applied visible at once: after replay, when all of it is durable.
    pub(crate) fn publish_all(&mut self) {
        self.marks.clear();
        let durable = self.log.durable();
        self.shared.durable.fetch_max(durable.0, Ordering::SeqCst);
        let epoch = Epoch::new(self.seq, self.applied.clone(), self.schema.clone(), self.catalogue.clone());
        self.shared.pins.publish(epoch, &mut self.needed);
    }

    /// Housekeeping of the log's files, to be run off the path of commits; ask after each batch.
    pub fn take_upkeep(&mut self) -> Option<Upkeep> {
        self.log.take_upkeep()
    }

    /// Whether the disk had no room for more log, or has none for the store: refuse new writes of clients (53100), and call
    /// [`Engine::retry_full`] now and then. What is left is for what other sites send.
    pub fn full(&self) -> bool {
        self.log.full() || self.shared.store_full.load(Ordering::Relaxed)
    }

    /// Lets the log try again after a full disk.
    pub fn retry_full(&mut self) {
        self.log.retry_full();
    }

    /// A blue transaction that the log still holds: for resends, relays and fetches.
    pub fn blue(&self, dot: Dot) -> Result<Option<Arc<ShadowTransaction>>, Error> {
        let Some(lsn) = self.dots.blue(dot) else { return Ok(None) };
        match self.reader.read(lsn)? {
            Record::Blue { dot: found, transaction, .. } if found == dot => Ok(Some(transaction)),
            other => Err(misplaced(lsn, "the blue transaction", &other)),
        }
    }

    /// A red entry that the log still holds, with its verdict.
    pub fn red(&self, r: u64) -> Result<Option<(Arc<Entry>, Verdict)>, Error> {
        let Some(lsn) = self.dots.red(r) else { return Ok(None) };
        match self.reader.read(lsn)? {
            Record::Red { r: found, entry, verdict } if found == r => Ok(Some((entry, verdict))),
            other => Err(misplaced(lsn, "the red entry", &other)),
        }
    }

    /// What a snapshot's tables hold, to compare with other sites at the same frontier. Reads everything, so prefer
    /// [`Snapshot::digest`] on another thread.
    pub fn digest(&self, snapshot: &Snapshot) -> Result<Digest, Error> {
        snapshot.digest()
    }

    /// Notes where transactions stand.
    pub(crate) fn index_record(&mut self, lsn: Lsn, record: &Record) {
        match record {
            Record::Blue { dot, local: true, .. } => self.dots.committed(*dot, lsn),
            Record::Blue { dot, local: false, .. } => {
                if self.applied.covers(TxnId::Blue(*dot)) {
                    self.dots.committed(*dot, lsn);
                } else {
                    self.dots.received(*dot, lsn);
                }
            }
            Record::Admit { dot } => self.dots.admitted(*dot),
            Record::Red { r, .. } => self.dots.ordered(*r, lsn),
            _ => {}
        }
    }

    pub(crate) fn check_running(&self) -> Result<(), Error> {
        match &self.failed {
            Some(cause) => Err(Error::Internal { message: format!("the engine has stopped: {cause}") }),
            None => Ok(()),
        }
    }

    pub(crate) fn check_next(&self, id: TxnId) -> Result<(), Error> {
        self.check_running()?;
        let next = match id {
            TxnId::Blue(dot) => self.applied.blue(dot.site) + 1 == dot.n,
            TxnId::Red(r) => self.applied.red + 1 == r,
        };
        if next {
            return Ok(());
        }
        let message = format!("{id} does not come next after {}", self.applied);
        Err(Error::Internal { message })
    }
}

fn misplaced(lsn: Lsn, what: &str, found: &Record) -> Error {
    Error::Internal { message: format!("{what} is not at log position {}: {:?} is", lsn.0, found.kind()) }
}
