//! Checkpoints: from where a restart has to replay.
//!
//! ```text
//!   Engine::checkpoint(site state)      notes the moment S, the schema, the frontier, and the log's end
//!        │  folding: everything dirty at S goes to the store      (background, see fold.rs)
//!        │  flush
//!        │  manifest { replay_from, schema, frontier, site state }
//!        │  flush
//!   Engine::checkpointed()              logs a Checkpoint record; the log may now be cut
//! ```
//!
//! The manifest is the checkpoint; the record in the log only tells readers of the log about it. What the manifest does
//! not speak for (rows folded since) is told apart by each row's LSN, so nothing stops while a checkpoint is made.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gemini_shadow_ops::{Frontier, Schema};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::Engine;
use crate::fold::{FoldHandle, Folded};
use crate::log::Record;
use crate::snapshot::Shared;
use crate::store::{Changes, MANIFEST, Store};
use crate::{Error, Lsn, Seq};

/// The first byte of a manifest. It speaks for the whole store: a change of what stands under its keys (rows have a format
/// of their own, too) is a new number here.
const FORMAT: u8 = 2;

/// What a store holds, as a whole: everything that was applied below `replay_from`, and maybe more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) replay_from: Lsn,
    /// The oldest record that replay reads: at most `replay_from`. Below it stand received transactions that were not yet
    /// applied at the checkpoint; an admission after `replay_from` applies them.
    pub(crate) needs: Lsn,
    pub(crate) schema: Arc<Schema>,
    pub(crate) frontier: Frontier,
    /// The site's own.
    pub(crate) state: Vec<u8>,
}

/// A checkpoint in the making.
#[derive(Debug)]
pub(crate) struct Pending {
    seq: Seq,
    manifest: Manifest,
    /// The log must be durable up to here: what the site logged with the request stands for records that may now go.
    logged: Lsn,
}

/// Where checkpoints stand.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    requested: Option<Pending>,
    /// Asked for or being made.
    busy: bool,
    /// Made, and not yet logged.
    finished: Option<Lsn>,
}

impl Checkpoints {
    /// The requested checkpoint, once every snapshot in use sees its moment and the log is durable up to its end.
    pub(crate) fn start(&mut self, oldest: Seq, durable: Lsn) -> Option<Pending> {
        let ready = |p: &Pending| p.seq <= oldest && p.logged <= durable;
        if self.requested.as_ref().is_some_and(ready) { self.requested.take() } else { None }
    }
}

/// How much memory row versions take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Bytes, roughly.
    pub bytes: u64,
    /// The bound asked for.
    pub limit: u64,
    /// Twice the bound is exceeded: let clients wait until folding has caught up.
    pub over: bool,
}

impl Engine {
    /// Whether enough log was written since the last checkpoint to make another one.
    pub fn wants_checkpoint(&self) -> bool {
        let since = self.shared.replay_from.load(Ordering::SeqCst);
        self.log.end().0.saturating_sub(since) > self.options.checkpoint_every
            && !self.shared.checkpoints.lock().busy
    }

    /// Whether one can be asked for: none is being made.
    pub fn can_checkpoint(&self) -> bool {
        !self.shared.checkpoints.lock().busy && self.check_running().is_ok()
    }

    /// Asks for a checkpoint of this moment, with the site's own state as of now; false if one is being made. Folding
    /// makes it; see [`Engine::checkpointed`].
    pub fn checkpoint(&mut self, state: Vec<u8>) -> bool {
        self.checkpoint_from(self.log.end(), state)
    }

    /// The same, from a position after which only records were appended that apply nothing: they stand for earlier ones, and the
    /// checkpoint counts once they are durable.
    pub fn checkpoint_from(&mut self, end: Lsn, state: Vec<u8>) -> bool {
        let mut checkpoints = self.shared.checkpoints.lock();
        if checkpoints.busy || self.check_running().is_err() {
            return false;
        }
        let manifest = Manifest {
            replay_from: end,
            needs: self.dots.oldest_waiting().map_or(end, |waiting| waiting.min(end)),
            schema: self.schema.clone(),
            frontier: self.applied.clone(),
            state,
        };
        checkpoints.busy = true;
        checkpoints.requested = Some(Pending { seq: self.seq, manifest, logged: self.log.end() });
        true
    }

    /// If a checkpoint was finished since the last call: logs it and gives the position from which a restart would replay,
    /// below which the log may be cut.
    pub fn checkpointed(&mut self) -> Result<Option<Lsn>, Error> {
        let finished = self.shared.checkpoints.lock().finished.take();
        let Some(replay_from) = finished else { return Ok(None) };
        self.append(Record::Checkpoint { replay_from, state: Vec::new() })?;
        Ok(Some(replay_from))
    }

    /// Whether a checkpoint is being made, or is finished and not yet told.
    pub fn checkpointing(&self) -> bool {
        let checkpoints = self.shared.checkpoints.lock();
        checkpoints.busy || checkpoints.finished.is_some()
    }

    /// Lets the log go below a position, as far as no restart, admission to come, or record that is not durable needs it;
    /// gives the position up to which it really goes. Whole segments are cut by the next upkeep.
    pub fn cut(&mut self, below: Lsn) -> Lsn {
        let mut below = below.min(Lsn(self.shared.needs.load(Ordering::SeqCst)));
        if let Some(waiting) = self.dots.oldest_waiting() {
            below = below.min(waiting);
        }
        self.log.cut(below);
        self.dots.cut(self.log.first());
        below
    }

    /// Copies the log's full segments to an archive, from another thread.
    pub fn archiver(&self) -> crate::log::archive::Archiver {
        self.log.archiver()
    }

    /// The position of the oldest transaction that the log still holds and `frontier` does not cover: a peer that has applied
    /// no more than that may ask for it.
    pub fn oldest_beyond(&self, frontier: &Frontier) -> Option<Lsn> {
        self.dots.oldest_beyond(frontier)
    }

    /// The position after the last record, durable or not.
    pub fn log_end(&self) -> Lsn {
        self.log.end()
    }

    /// Whether a peer that has no more than `frontier` can still be given from the log here what it lacks next.
    pub fn serves(&self, frontier: &Frontier) -> bool {
        self.dots.serves(frontier, &self.applied)
    }

    /// The red entries up to this index are applied here and no longer in the log.
    pub fn red_gone(&self) -> u64 {
        self.dots.red_gone(self.applied.red)
    }

    /// Folds what is due, up to about `budget` rows: for those who have one thread only.
    pub fn fold(&mut self, budget: usize) -> Result<Folded, Error> {
        self.shared.fold(budget)
    }

    /// Folds from another thread.
    pub fn fold_handle(&self) -> FoldHandle {
        FoldHandle { shared: self.shared.clone() }
    }

    /// How much memory row versions take.
    pub fn pressure(&self) -> Pressure {
        self.shared.pressure()
    }
}

impl Shared {
    pub(crate) fn pressure(&self) -> Pressure {
        let bytes = u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0);
        Pressure { bytes, limit: self.memory, over: self.crowded(2) }
    }

    /// Everything that was dirty at the checkpoint's moment is in the store: make it durable, then say so.
    pub(crate) fn finish_checkpoint(&self, pending: Pending) -> Result<(), Error> {
        let mut changes = Changes::default();
        self.conflicts.lock().fold(self.pins.current_seq(), &mut changes)?;
        if !changes.list.is_empty() {
            self.store.apply(changes)?;
        }
        self.store.flush()?;
        pending.manifest.save(&*self.store)?;
        self.checkpointed.store(pending.seq.0, Ordering::SeqCst);
        self.replay_from.store(pending.manifest.replay_from.0, Ordering::SeqCst);
        self.needs.store(pending.manifest.needs.0, Ordering::SeqCst);
        let mut checkpoints = self.checkpoints.lock();
        checkpoints.finished = Some(pending.manifest.replay_from);
        checkpoints.busy = false;
        Ok(())
    }
}

impl Manifest {
    /// The store's manifest. None: there is none. An error: it is damaged, or a newer version's.
    pub(crate) fn load(store: &dyn Store) -> Result<Option<Manifest>, Error> {
        let Some(bytes) = store.get(MANIFEST)? else { return Ok(None) };
        let damaged = || Error::store("the checkpoint's manifest is damaged");
        let (format, rest) = bytes.split_first().ok_or_else(damaged)?;
        if *format > FORMAT {
            let what = format!("its checkpoint has format {format}, this program writes {FORMAT}");
            return Err(Error::Newer { what });
        }
        if *format != FORMAT {
            return Err(Error::store(format_args!(
                "the checkpoint has format {format}, which is of no release"
            )));
        }
        let (sum, body) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        if u64::from_le_bytes(*sum) != xxh3_64(body) {
            return Err(damaged());
        }
        postcard::from_bytes(body).map(Some).map_err(|_| damaged())
    }

    /// Writes it, durably. Everything it speaks for must have been flushed before.
    pub(crate) fn save(&self, store: &dyn Store) -> Result<(), Error> {
        let body = postcard::to_stdvec(self)
            .map_err(|e| Error::Internal { message: format!("a manifest cannot be encoded: {e}") })?;
        let mut bytes = Vec::with_capacity(body.len() + 9);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&xxh3_64(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        let mut changes = Changes::default();
        changes.put(MANIFEST.to_vec(), bytes);
        store.apply(changes)?;
        store.flush()
    }
}
