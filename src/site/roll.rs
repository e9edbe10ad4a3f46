//! Rolling an image forward: an image, and the log of a site of the same cluster, make the image of a later moment.
//!
//! ```text
//!   image at (1:40 2:7; 12)          Roll: an engine with the image's tables and the image's window
//!   log of any site, in its order ─► Blue: kept until its admission │ Admit, Red: applied, if within the cut
//!                                    └► image at (1:52 2:9; 15)
//! ```
//!
//! The cut is causally closed either way. **Up to a red index**: the log is read up to that entry; what that site had applied
//! when it applied it is in. **Up to a time**: every transaction whose stamp is not later, that depends on none that is left out.
//! Stamps grow along dependencies, so of blue transactions only those are lost that depend on a red one left out; the red order is
//! cut before its first entry with a later stamp.
//!
//! Verdicts are the log's own, so nothing is decided anew. The window, the greatest stamp, start counts and minted bounds follow the
//! records, as they do when a site starts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;

use gemini_engine::image::{self, ImageReader, Origin, Place, Summary, Watch};
use gemini_engine::log::{Log, LogOptions};
use gemini_engine::{Disk, Engine, Record, Store};
use gemini_shadow_ops::{Dot, Entry, Frontier, ShadowTransaction, SiteId, TxnId, Verdict};

use super::RestoreError;
use super::image::Carried;
use super::restore::BEGIN;

/// Records between two syncs of the scratch log.
const SYNC_EVERY: u64 = 256;

/// Where to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// What the log's site had applied when it applied this red index.
    Red(u64),
    /// Before what was stamped later, in µs since 1970.
    Time(u64),
}

/// An image on its way forward. Needs a folder of its own, which is thrown away afterwards.
pub struct Roll {
    engine: Engine,
    disk: Arc<dyn Disk>,
    origin: Origin,
    carried: Carried,
    until: Until,
    /// Logged and not admitted yet.
    waiting: BTreeMap<Dot, Arc<ShadowTransaction>>,
    /// Origins of which a transaction was left out: what follows it is left out too.
    left: BTreeSet<SiteId>,
    /// No further red entry is taken.
    closed: bool,
    records: u64,
}

impl Roll {
    /// Installs the image in an empty disk and store.
    pub fn begin<R: Read>(
        image: &mut ImageReader<R>,
        until: Until,
        disk: Arc<dyn Disk>,
        store: Arc<dyn Store>,
        watch: &mut Watch<'_>,
    ) -> Result<Roll, RestoreError> {
        let origin = image.header().origin.clone();
        let begins = image.header().frontier.red;
        if matches!(until, Until::Red(r) if r < begins) {
            return Err(RestoreError::Unfit(format!(
                "the backup is of red index {begins}, which is later: take an earlier backup"
            )));
        }
        let carried = Carried::read(&origin.state)?;
        let mut options = gemini_engine::Options::default();
        options.log = LogOptions { begin: BEGIN, ..options.log };
        let replay_from = Log::open(&options.log, &*disk)?.1.end;
        image::install(image, &*store, Place { replay_from, needs: replay_from }, Vec::new(), watch)?;
        let engine = Engine::open(options, disk.clone(), store, &mut |_| {})?;
        let (waiting, left) = (BTreeMap::new(), BTreeSet::new());
        Ok(Roll { engine, disk, origin, carried, until, waiting, left, closed: false, records: 0 })
    }

    /// What has been reached.
    pub fn frontier(&self) -> &Frontier {
        self.engine.applied()
    }

    /// Takes the log's next record. False: the cut is reached, no later record counts.
    pub fn take(&mut self, record: Record) -> Result<bool, RestoreError> {
        if self.is_reached() {
            return Ok(false);
        }
        match record {
            Record::Blue { dot, transaction, local } => {
                if !self.engine.applied().covers(TxnId::Blue(dot)) {
                    self.waiting.insert(dot, transaction);
                }
                if local {
                    self.admit(dot)?;
                }
            }
            Record::Admit { dot } => self.admit(dot)?,
            Record::Red { r, entry, verdict } => {
                self.order(r, entry, &verdict)?;
            }
            Record::Minted { sequence, upto } => {
                let bound = self.carried.minted.entry(sequence).or_default();
                *bound = (*bound).max(u64::try_from(upto).unwrap_or(0));
            }
            Record::Start { count } => self.carried.start = self.carried.start.max(count),
            Record::Sequencer(_) | Record::Note { .. } | Record::Checkpoint { .. } => {}
        }
        self.records += 1;
        if self.records.is_multiple_of(SYNC_EVERY) {
            self.sync()?;
        }
        Ok(!self.is_reached())
    }

    fn is_reached(&self) -> bool {
        self.until == Until::Red(self.engine.applied().red)
    }

    fn admit(&mut self, dot: Dot) -> Result<(), RestoreError> {
        let applied = self.engine.applied();
        if applied.covers(TxnId::Blue(dot)) || self.left.contains(&dot.site) {
            self.waiting.remove(&dot);
            return Ok(());
        }
        let Some(transaction) = self.waiting.remove(&dot) else {
            return Err(lacks(applied, &format!("the transaction b{dot}")));
        };
        if applied.blue(dot.site) + 1 != dot.n {
            return Err(lacks(applied, &format!("what comes before b{dot}")));
        }
        if self.late(&transaction) || self.rests_on_left(&transaction) {
            self.left.insert(dot.site);
            return Ok(());
        }
        self.engine.admit_blue(dot, &transaction)?;
        self.saw(&transaction);
        Ok(())
    }

    fn order(&mut self, r: u64, entry: Arc<Entry>, verdict: &Verdict) -> Result<(), RestoreError> {
        let applied = self.engine.applied();
        if self.closed || r <= applied.red {
            return Ok(());
        }
        if applied.red + 1 != r {
            return Err(lacks(applied, &format!("what comes before red index {r}")));
        }
        if let Entry::Transaction(red) = &*entry {
            if self.late(&red.transaction) || self.rests_on_left(&red.transaction) {
                self.closed = true;
                return Ok(());
            }
            self.saw(&red.transaction);
        }
        self.carried.common.members.decide(r, &entry);
        self.carried.common.window.replay(r, &entry, verdict);
        self.engine.admit_red(r, entry, verdict)?;
        Ok(())
    }

    fn late(&self, transaction: &ShadowTransaction) -> bool {
        matches!(self.until, Until::Time(time) if transaction.stamp.hlc.micros > time)
    }

    /// The log's own order is an order of dependencies, as long as nothing is left out.
    fn rests_on_left(&self, transaction: &ShadowTransaction) -> bool {
        (self.closed || !self.left.is_empty()) && !self.engine.applied().includes(&transaction.deps)
    }

    fn saw(&mut self, transaction: &ShadowTransaction) {
        let greatest = &mut self.carried.common.greatest;
        *greatest = (*greatest).max(transaction.stamp.hlc);
    }

    fn sync(&mut self) -> Result<(), RestoreError> {
        while let Some(mut batch) = self.engine.take_batch() {
            let end = batch.write(&*self.disk)?;
            self.engine.durable(end);
        }
        if let Some(upkeep) = self.engine.take_upkeep() {
            upkeep.run(&*self.disk)?;
        }
        while self.engine.pressure().over && self.engine.fold(4096)?.more {}
        self.engine.fold(4096)?;
        Ok(())
    }

    /// Writes the image of what has been reached. It bears the time of its last transaction.
    pub fn finish(mut self, out: &mut dyn Write, watch: &mut Watch<'_>) -> Result<Summary, RestoreError> {
        if let Until::Red(r) = self.until
            && !self.is_reached()
        {
            return Err(lacks(self.engine.applied(), &format!("red index {r}")));
        }
        self.sync()?;
        let taken = self.carried.common.greatest.micros;
        let origin = Origin { taken, state: self.carried.write(), ..self.origin };
        Ok(image::write(&self.engine.reader().snapshot(), origin, out, watch)?)
    }
}

fn lacks(reached: &Frontier, what: &str) -> RestoreError {
    RestoreError::Unfit(format!(
        "the archive lacks {what}; the backup and what is archived come to {reached}. Take an archive that begins before the \
         backup and goes on without a gap"
    ))
}
