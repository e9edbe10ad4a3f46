//! Opening: from checkpoint and log to exactly what was durable.
//!
//! ```text
//!   store   [ manifest: replay_from = 400, schema, frontier, site state ]   rows, each with its LSN
//!   log     120 ......... 400 ........................ 910 (end)
//!           │  look-ups,   │  the same, and every admission is applied to the rows
//!           │  site state  │  whose LSN is below its own
//! ```
//!
//! Every retained record is handed to the visitor, in order: the site and replication rebuild what they keep from it. A
//! store without a (readable) manifest, or one that turns out to be damaged while the log is replayed, holds nothing that
//! can be trusted: it is emptied and everything is replayed, if the log reaches back to its beginning. If it does
//! not, the log can be opened alone, and the site is filled from another one: the rows come with an image, and the log goes on
//! from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use gemini_shadow_ops::{Frontier, Schema, TxnId};
use parking_lot::Mutex;

use crate::catalogue;
use crate::checkpoint::{Checkpoints, Manifest};
use crate::conflicts::Conflicts;
use crate::disk::Disk;
use crate::engine::Engine;
use crate::fold::Folder;
use crate::image::Place;
use crate::log::{Log, Opened, Record};
use crate::snapshot::Shared;
use crate::store::{Changes, MemStore, Space, Span, Store};
use crate::versions::{Epoch, Pins};
use crate::{Error, Lsn, Options, Replayed, Seq};

/// Records between two words about how far a start is.
const TELL_EVERY: usize = 256;

/// A retained record, as it is met at a start.
#[derive(Debug)]
pub struct Replay<'a> {
    /// Where it stands.
    pub lsn: Lsn,
    /// What it says.
    pub record: &'a Record,
    /// Whether it lies before the checkpoint: what follows from it is in the site state the checkpoint carries.
    pub applied_before: bool,
    /// The site state of the checkpoint, with every record the same; None without a checkpoint.
    pub state: Option<&'a [u8]>,
    /// The first record of a reading. A reading that meets a damaged store is given up and begun anew without it: forget
    /// what was gathered before.
    pub begins: bool,
}

impl Engine {
    /// Opens the log, checks it, and brings memory and store to its end. `visit` sees every retained record.
    pub fn open(
        options: Options,
        disk: Arc<dyn Disk>,
        store: Arc<dyn Store>,
        visit: &mut dyn FnMut(Replay<'_>),
    ) -> Result<Engine, Error> {
        let (log, opened) = Log::open(&options.log, &*disk)?;
        let log = match trusted(&*store, &opened)? {
            None => log,
            Some(manifest) => {
                match Engine::begin(&options, log, &opened, &store, Some(manifest), visit) {
                    // The log was let go of with what had been replayed.
                    Err(Error::Store { message }) => {
                        rebuild(&*store, &opened, &message)?;
                        Log::open(&options.log, &*disk)?.0
                    }
                    begun => return begun,
                }
            }
        };
        // A log that goes on from an image does not make sense without it.
        Engine::begin(&options, log, &opened, &store, None, visit).map_err(|error| match error {
            Error::Unrecoverable { message } => Error::Unfilled { message },
            error => error,
        })
    }

    /// Opens the log alone, without tables: for a site that is to be filled from another one. `visit` sees every retained
    /// record. Tell it where it stands ([`Engine::stand_at`]). It appends and gives back what it has logged; it is not to be
    /// given anything to apply.
    pub fn open_unfilled(
        options: &Options,
        disk: &dyn Disk,
        visit: &mut dyn FnMut(Replay<'_>),
    ) -> Result<Engine, Error> {
        let (log, opened) = Log::open(&options.log, disk)?;
        let nothing: Arc<dyn Store> = Arc::new(MemStore::new());
        let mut engine = Engine::upon(options, log, &opened, &nothing, None)?;
        for entry in engine.reader.iter(opened.first) {
            let entry = entry?;
            let begins = entry.lsn == opened.first;
            visit(Replay {
                lsn: entry.lsn,
                record: &entry.record,
                applied_before: false,
                state: None,
                begins,
            });
            engine.index_record(entry.lsn, &entry.record);
        }
        Ok(engine)
    }

    /// What a site without tables had applied: an image must cover it.
    pub fn stand_at(&mut self, frontier: Frontier) {
        self.applied = frontier;
    }

    /// Where in the log an image of this frontier belongs that is installed now. The site must apply nothing meanwhile.
    pub fn image_place(&self, frontier: &Frontier) -> Place {
        let replay_from = Lsn(self.shared.durable.load(Ordering::SeqCst));
        let needs = self.dots.oldest_beyond(frontier).map_or(replay_from, |oldest| oldest.min(replay_from));
        Place { replay_from, needs }
    }

    /// Replays from the checkpoint; without one, from the log's beginning into an empty store.
    fn begin(
        options: &Options,
        log: Log,
        opened: &Opened,
        store: &Arc<dyn Store>,
        manifest: Option<Manifest>,
        visit: &mut dyn FnMut(Replay<'_>),
    ) -> Result<Engine, Error> {
        let replay_from = manifest.as_ref().map_or(opened.first, |m| m.replay_from);
        let mut engine = Engine::upon(options, log, opened, store, manifest)?;
        engine.replay(opened.first, replay_from, visit)?;
        engine.publish_all();
        engine.find_garbage()?;
        Ok(engine)
    }

    /// An engine on a store as its checkpoint has it, or on an empty one.
    fn upon(
        options: &Options,
        log: Log,
        opened: &Opened,
        store: &Arc<dyn Store>,
        manifest: Option<Manifest>,
    ) -> Result<Engine, Error> {
        let needs = manifest.as_ref().map_or(opened.first, |m| m.needs);
        let (replay_from, schema, frontier, state) = match manifest {
            Some(m) => (m.replay_from, m.schema, m.frontier, Some(m.state)),
            None => (opened.first, Arc::new(Schema::default()), Frontier::default(), None),
        };
        let catalogue = Arc::new(catalogue::load(&**store, &schema)?);
        let epoch = Epoch::new(Seq(0), frontier.clone(), schema.clone(), catalogue.clone());
        let shared = Arc::new(Shared {
            conflicts: Mutex::new(Conflicts::load(&**store, options.conflicts)?),
            store: store.clone(),
            pins: Pins::new(epoch),
            bytes: AtomicI64::new(0),
            durable: AtomicU64::new(opened.end.0),
            replay_from: AtomicU64::new(replay_from.0),
            needs: AtomicU64::new(needs.0),
            checkpointed: AtomicU64::new(0),
            store_full: AtomicBool::new(false),
            memory: options.memory,
            folder: Mutex::new(Folder::default()),
            checkpoints: Mutex::new(Checkpoints::default()),
            garbage: Mutex::new(Vec::new()),
        });
        Ok(Engine::assemble(options.clone(), log, shared, schema, catalogue, frontier, state))
    }

    fn replay(
        &mut self,
        first: Lsn,
        replay_from: Lsn,
        visit: &mut dyn FnMut(Replay<'_>),
    ) -> Result<(), Error> {
        let state = self.recovered.clone();
        let mut replayed = Replayed { first, replay_from, at: first, end: self.log.end() };
        for (number, entry) in self.reader.iter(first).enumerate() {
            let entry = entry?;
            replayed.at = entry.lsn;
            if number % TELL_EVERY == 0 {
                self.options.watch.tell(replayed);
            }
            let applied_before = entry.lsn < replay_from;
            let begins = entry.lsn == first;
            let state = state.as_deref();
            visit(Replay { lsn: entry.lsn, record: &entry.record, applied_before, state, begins });
            self.index_record(entry.lsn, &entry.record);
            if !applied_before {
                self.replay_record(entry.lsn, &entry.record)?;
            }
            if self.shared.crowded(1) {
                // Everything read from the log is durable, and nobody looks yet: fold what is there.
                self.publish_all();
                self.shared.fold_all()?;
            }
        }
        replayed.at = replayed.end;
        self.options.watch.tell(replayed);
        Ok(())
    }

    /// Applies an admission that lies after the checkpoint. Rows that have it already are left alone.
    fn replay_record(&mut self, lsn: Lsn, record: &Record) -> Result<(), Error> {
        match record {
            Record::Blue { dot, transaction, local: true } => {
                self.check_replay(lsn, TxnId::Blue(*dot))?;
                self.apply(TxnId::Blue(*dot), lsn, transaction)?;
            }
            Record::Admit { dot } => {
                self.check_replay(lsn, TxnId::Blue(*dot))?;
                let Some(transaction) = self.blue(*dot)? else {
                    return Err(Error::Unrecoverable {
                        message: format!(
                            "log position {}: transaction {dot} is applied here, but the log no longer holds it; \
                             restore the data directory, or let the site join as a new one",
                            lsn.0
                        ),
                    });
                };
                self.apply(TxnId::Blue(*dot), lsn, &transaction)?;
            }
            Record::Red { r, entry, verdict } => {
                self.check_replay(lsn, TxnId::Red(*r))?;
                self.apply_red(*r, lsn, entry, verdict)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn check_replay(&self, lsn: Lsn, id: TxnId) -> Result<(), Error> {
        self.check_next(id).map_err(|error| Error::Unrecoverable {
            message: format!(
                "log position {}: {error}. Log and store do not belong together; restore the data directory, or \
                 let the site join as a new one",
                lsn.0
            ),
        })
    }

    /// Keys of tables and indexes that are no longer declared: dropped before the last stop, and not yet swept. They go
    /// after the next checkpoint: until then another replay may want them.
    fn find_garbage(&self) -> Result<(), Error> {
        let declared = |space: Space| match space {
            Space::Rows(table) => self.catalogue.tables.contains_key(&table),
            Space::Entries(index) => self.catalogue.tables.values().any(|entry| entry.index(index).is_some()),
        };
        let mut garbage = self.shared.garbage.lock();
        for tag in [b'r', b'x'] {
            let mut span = Span::prefix(vec![tag]);
            // From space to space: one look each.
            while let Some((key, _)) = self.shared.store.range(&span, false, 1)?.pop() {
                let Some((space, _)) = Space::split(&key) else {
                    return Err(Error::store(
                        "a key is damaged: stop the site, remove its store folder, start it",
                    ));
                };
                if !declared(space) && !garbage.iter().any(|(_, known)| *known == space) {
                    garbage.push((self.seq, space));
                }
                match space.span().to {
                    Some(next) => span.from = next,
                    None => break,
                }
            }
        }
        Ok(())
    }
}

/// The store's checkpoint, if it can be trusted; else the store is emptied, if the log can make up for it.
fn trusted(store: &dyn Store, opened: &Opened) -> Result<Option<Manifest>, Error> {
    let cause = match Manifest::load(store) {
        Ok(Some(manifest)) => {
            if manifest.replay_from > opened.end {
                return Err(Error::Unrecoverable {
                    message: format!(
                        "the store's checkpoint is of log position {}, but the log ends at {}: the log has lost its \
                         end, or the store is another site's. Restore both from the same moment",
                        manifest.replay_from.0, opened.end.0
                    ),
                });
            }
            if manifest.needs >= opened.first {
                return Ok(Some(manifest));
            }
            format!("its checkpoint needs the log from {} on", manifest.needs.0)
        }
        Ok(None) => "it has no checkpoint".to_owned(),
        // Nothing is wrong with it: it is not ours to empty.
        Err(error @ Error::Newer { .. }) => return Err(error),
        Err(error) => error.to_string(),
    };
    rebuild(store, opened, &cause)?;
    Ok(None)
}

/// Empties a store that cannot be used, if the log can make up for it.
fn rebuild(store: &dyn Store, opened: &Opened, cause: &str) -> Result<(), Error> {
    if !opened.from_the_beginning() {
        return Err(Error::Unfilled {
            message: format!(
                "the store cannot be used ({cause}), and the log begins only at {}: it no longer reaches back far \
                 enough to build the store again",
                opened.first.0
            ),
        });
    }
    if opened.records > 0 {
        tracing::warn!(cause, records = opened.records, "the store is rebuilt from the log");
    }
    empty(store)
}

fn empty(store: &dyn Store) -> Result<(), Error> {
    let all = Span { from: Vec::new(), to: None };
    loop {
        let pairs = store.range(&all, false, 4096)?;
        if pairs.is_empty() {
            return Ok(());
        }
        let mut changes = Changes::default();
        for (key, _) in pairs {
            changes.remove(key);
        }
        store.apply(changes)?;
    }
}
