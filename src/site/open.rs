//! Opening a site: what the log held becomes the state again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gemini_engine::{Disk, Engine, Record, Replay, Store};
use gemini_replication::bootstrap::Receiver;
use gemini_replication::wire::{Offer, Removed};
use gemini_replication::{Clock, Recovered, Replica, SequencerRecovery, replica};
use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Entry, Frontier, Hlc, Members, SequenceId, SiteId, TxnId, Verdict, Window};
use serde::{Deserialize, Serialize};

use super::divergence::Patrol;
use super::fill::{Fills, Standing};
use super::image::Images;
use super::maintain::Upkeep;
use super::shared::Shared;
use super::{Counts, Minter, Options, Output, Site};

/// [`Record::Note`] kinds. Numbers on disk: never change or reuse one.
pub(super) const NOTE_IDENTITY: u8 = 1;
pub(super) const NOTE_PEER: u8 = 2;
pub(super) const NOTE_FIRST: u8 = 3;
pub(super) const NOTE_REMOVED: u8 = 4;
/// [`Standing`].
pub(super) const NOTE_STANDING: u8 = 5;
/// The site is to be filled: (source, image) once one comes. Counts as long as no checkpoint lies behind it.
pub(super) const NOTE_FILLING: u8 = 6;

/// Whose data directory it is; written once, at its first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub cluster: u128,
    pub site: SiteId,
    /// Drawn once: a copy or a successor of the directory shows.
    pub incarnation: u64,
    pub class: u32,
    pub classes: u32,
    /// W is a constant of the cluster.
    pub window: u64,
    /// The checksum of the image that the cluster was restored from; 0: it began empty.
    pub lineage: u128,
}

impl Identity {
    /// As the options have it.
    pub fn asked(options: &Options) -> Identity {
        Identity {
            cluster: options.cluster,
            site: options.id,
            incarnation: options.random,
            class: options.minting.class,
            classes: options.minting.classes,
            window: options.window,
            lineage: 0,
        }
    }
}

/// Why a site cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk, the log or the store.
    #[error(transparent)]
    Engine(#[from] gemini_engine::Error),
    /// The sequencer's records.
    #[error("the sequencer's records in the log: {0}")]
    Replica(#[from] gemini_replication::ReplicaError),
    /// The clock of this machine.
    #[error("the clock: {0}")]
    Clock(#[from] gemini_replication::ClockError),
    /// Another cluster's or site's directory, or a constant of the cluster was changed.
    #[error("this data directory belongs to another site or cluster: {0}")]
    Identity(String),
    /// Something of the site's own that a newer version of the program wrote.
    #[error("{0}, which this version does not know: start the version that wrote it, or a later one")]
    Newer(String),
    /// A record of the site's own.
    #[error("a record of this site in the log is damaged: {0}")]
    Record(String),
}

/// The first byte of a checkpoint's part of the site's.
const KEPT_FORMAT: u8 = 3;

/// What a checkpoint keeps for the site beside the engine's tables: the same facts that [`Gathered`] collects from the log,
/// as of the position from which the log is replayed.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub own: Own,
    pub common: Common,
}

/// What is this site's alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Own {
    pub start: u64,
    pub identity: Identity,
    pub logged: Frontier,
    pub minted: BTreeMap<SequenceId, u64>,
    pub incarnations: BTreeMap<SiteId, u64>,
    pub removed: Option<Removed>,
}

/// What every site at the same frontier could have kept: images carry it.
#[derive(Serialize, Deserialize)]
pub(super) struct Common {
    /// The greatest stamp of anything logged.
    pub greatest: Hlc,
    pub window: Window,
    pub members: Members,
}

/// What the retained log says, record by record.
#[derive(Default)]
struct Gathered {
    start: u64,
    identity: Option<Identity>,
    greatest: Hlc,
    logged: Frontier,
    sequencer: SequencerRecovery,
    minted: BTreeMap<SequenceId, u64>,
    incarnations: BTreeMap<SiteId, u64>,
    /// The first members, or those of the checkpoint.
    members: Option<Members>,
    removed: Option<Removed>,
    /// After the checkpoint, in order.
    reds: Vec<(u64, Arc<Entry>, Verdict)>,
    /// What the records say is applied.
    applied: Frontier,
    /// The site is to be filled, perhaps with an image that was begun.
    filling: Option<Option<(SiteId, Offer)>>,
    /// There are no tables to bring up to date.
    bare: bool,
}

impl Gathered {
    fn take(&mut self, replay: &Replay<'_>) -> Result<(), OpenError> {
        if replay.begins {
            *self = Gathered { bare: self.bare, ..Gathered::default() };
        }
        match replay.record {
            Record::Start { count } => self.start = self.start.max(*count),
            Record::Blue { dot, transaction, local } => {
                if *local {
                    self.applied.add(TxnId::Blue(*dot));
                }
                self.logged.add(TxnId::Blue(*dot));
                self.greatest = self.greatest.max(transaction.stamp.hlc);
            }
            Record::Red { r, entry, verdict } => {
                self.logged.add(TxnId::Red(*r));
                self.applied.add(TxnId::Red(*r));
                if let Entry::Transaction(red) = &**entry {
                    self.greatest = self.greatest.max(red.transaction.stamp.hlc);
                }
                if self.bare {
                    self.follow_members(*r, entry);
                } else if !replay.applied_before {
                    self.reds.push((*r, entry.clone(), verdict.clone()));
                }
            }
            Record::Sequencer(body) => self.sequencer.record(body)?,
            Record::Minted { sequence, upto } => self.minted(*sequence, u64::try_from(*upto).unwrap_or(0)),
            Record::Note { kind: NOTE_IDENTITY, body } => self.identity = Some(decode("identity", body)?),
            Record::Note { kind: NOTE_PEER, body } => {
                let (site, incarnation) = decode("peer", body)?;
                self.incarnations.insert(site, incarnation);
            }
            Record::Note { kind: NOTE_FIRST, body } => self.members = Some(decode("first members", body)?),
            Record::Note { kind: NOTE_REMOVED, body } => self.removed = Some(decode("removal", body)?),
            Record::Note { kind: NOTE_STANDING, body } => self.stand(decode("standing", body)?),
            Record::Note { kind: NOTE_FILLING, body } => {
                self.filling = (!replay.applied_before).then_some(decode("filling", body)?);
            }
            Record::Note { kind, .. } => {
                return Err(OpenError::Newer(format!("the log holds a note of kind {kind}")));
            }
            Record::Admit { dot } => self.applied.add(TxnId::Blue(*dot)),
            Record::Checkpoint { .. } => {}
        }
        Ok(())
    }

    /// What the log says of the site beside its tables. With tables it is known from them, and better.
    fn stand(&mut self, standing: Standing) {
        if self.bare {
            let Standing { applied, own, members } = standing;
            self.applied.join(&applied);
            self.members = Some(members);
            self.join_own(own);
        }
    }

    /// Without tables the members are followed from record to record.
    fn follow_members(&mut self, r: u64, entry: &Entry) {
        if let Some(members) = self.members.as_mut().filter(|members| members.last() + 1 == r) {
            members.decide(r, entry);
        }
    }

    fn minted(&mut self, sequence: SequenceId, bound: u64) {
        let known = self.minted.entry(sequence).or_default();
        *known = bound.max(*known);
    }

    /// Adds what the checkpoint kept of records that are gone.
    fn join(&mut self, kept: Kept) -> Window {
        let Kept { own, common } = kept;
        self.join_own(own);
        self.greatest = self.greatest.max(common.greatest);
        self.members = Some(common.members);
        common.window
    }

    fn join_own(&mut self, own: Own) {
        self.start = self.start.max(own.start);
        self.identity.get_or_insert(own.identity);
        self.logged.join(&own.logged);
        for (sequence, bound) in own.minted {
            self.minted(sequence, bound);
        }
        for (site, incarnation) in own.incarnations {
            self.incarnations.entry(site).or_insert(incarnation);
        }
        self.removed = self.removed.or(own.removed);
    }
}

impl Site {
    /// Opens the data directory and brings everything to the state that the log proves. `out` gets the first outputs.
    pub fn open(
        now: u64,
        options: Options,
        disk: Arc<dyn Disk>,
        store: Arc<dyn Store>,
        out: &mut Vec<Output>,
    ) -> Result<Site, OpenError> {
        let (engine, mut gathered) = open_engine(&options, disk, store)?;
        let mut window = match engine.recovered_state() {
            Some(state) => gathered.join(read_kept(state)?),
            None => Window::new(options.window),
        };
        let first = gathered.members.take().unwrap_or_else(|| Members::first(options.first.clone()));
        let mut members = first.clone();
        for (r, entry, verdict) in &gathered.reds {
            members.decide(*r, entry);
            window.replay(*r, entry, verdict);
        }
        let fresh = gathered.identity.is_none();
        let identity = identify(&options, gathered.identity)?;
        let start = if planted(Fault::EntryIdsRepeat) { 1 } else { gathered.start + 1 };
        let recovered = Recovered {
            logged: gathered.logged,
            applied: engine.applied().clone(),
            sequencer: gathered.sequencer,
            incarnations: gathered.incarnations.clone(),
            members: members.clone(),
        };
        let peers: Vec<SiteId> =
            members.current().keys().copied().filter(|site| *site != options.id).collect();
        let receiver = gathered.bare.then(|| {
            let found = gathered.filling.take().flatten();
            let found = found.map(|(source, offer)| (source, offer, options.found));
            Receiver::new(now, peers.clone(), engine.applied().clone(), found)
        });
        let filling = receiver.is_some();
        let replica = Replica::new(now, replica_options(&options, identity, start, filling), recovered)?;
        if planted(Fault::ClockBelowLog) {
            gathered.greatest = Hlc::default();
        }
        if planted(Fault::MintFromZero) {
            gathered.minted.clear();
        }
        let clock = Clock::new(now, options.clock_offset, gathered.greatest)?;
        let minter = Minter::new(options.minting, gathered.minted);
        let shared = Arc::new(Shared::new(engine.reader(), minter));
        shared.remember(window.statuses());
        let mut site = Site {
            patrol: Patrol::new(now, peers),
            options,
            engine,
            replica,
            clock,
            window,
            members,
            removed: None,
            wanted: None,
            shared,
            greatest: gathered.greatest,
            now,
            identity,
            start,
            incarnations: gathered.incarnations,
            writing: false,
            marks: VecDeque::new(),
            acknowledgements: VecDeque::new(),
            quorum: VecDeque::new(),
            proposals: BTreeMap::new(),
            rights: Default::default(),
            reservations: VecDeque::new(),
            claimed: BTreeMap::new(),
            halted: None,
            draining: false,
            drained: false,
            stopped: None,
            counts: Counts::default(),
            upkeep: Upkeep::new(now),
            images: Images::default(),
            fills: Fills::new(receiver),
            outputs: Vec::new(),
        };
        if fresh {
            site.note(NOTE_IDENTITY, encode(&identity));
            site.note(NOTE_FIRST, encode(&first));
        }
        site.publish_members();
        site.append(Record::Start { count: start });
        let standing = site.standing();
        site.note(NOTE_STANDING, standing);
        if let Some(removed) = gathered.removed {
            site.with_replica(out, |replica, _, _, outputs| replica.farewell(removed, outputs));
        }
        site.with_replica(out, |replica, now, shelf, outputs| replica.start(now, shelf, outputs));
        site.flush(out);
        site.publish_status();
        Ok(site)
    }

    /// The site's part of a checkpoint.
    pub(super) fn kept(&self) -> Vec<u8> {
        write_kept(&Kept { own: self.own(), common: self.common() })
    }

    /// What is this site's alone.
    pub(super) fn own(&self) -> Own {
        Own {
            start: self.start,
            identity: self.identity,
            logged: self.replica.logged().clone(),
            minted: self.shared.minter.bounds(),
            incarnations: self.incarnations.clone(),
            removed: self.removed,
        }
    }

    /// The cluster's part of a checkpoint, and of an image.
    pub(super) fn common(&self) -> Common {
        Common { greatest: self.greatest, window: self.window.clone(), members: self.members.clone() }
    }
}

/// The engine with what the log says beside the tables; without tables if the site is to be filled.
fn open_engine(
    options: &Options,
    disk: Arc<dyn Disk>,
    store: Arc<dyn Store>,
) -> Result<(Engine, Gathered), OpenError> {
    let mut gathered = Gathered::default();
    let mut failed = None;
    let opened = Engine::open(options.engine.clone(), disk.clone(), store, &mut |replay| {
        if failed.is_none() {
            failed = gathered.take(&replay).err();
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    match opened {
        Ok(engine) if gathered.filling.is_none() => Ok((engine, gathered)),
        Ok(engine) => {
            drop(engine); // it holds the log's lock
            open_unfilled(options, &*disk)
        }
        Err(gemini_engine::Error::Unfilled { message }) if options.names.len() > 1 => {
            tracing::warn!("{message}; it is filled with another site's tables");
            open_unfilled(options, &*disk)
        }
        Err(error) => Err(error.into()),
    }
}

/// The log alone: see [`super::fill`].
fn open_unfilled(options: &Options, disk: &dyn Disk) -> Result<(Engine, Gathered), OpenError> {
    let mut gathered = Gathered { bare: true, ..Gathered::default() };
    let mut failed = None;
    let mut engine = Engine::open_unfilled(&options.engine, disk, &mut |replay| {
        if failed.is_none() {
            failed = gathered.take(&replay).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let applied = gathered.applied.clone();
    gathered.logged.join(&applied);
    engine.stand_at(applied);
    Ok((engine, gathered))
}

pub(super) fn write_kept(kept: &Kept) -> Vec<u8> {
    [&[KEPT_FORMAT], encode(kept).as_slice()].concat()
}

fn read_kept(state: &[u8]) -> Result<Kept, OpenError> {
    match state.split_first() {
        Some((&KEPT_FORMAT, body)) => decode("checkpoint", body),
        Some((format, _)) if *format > KEPT_FORMAT => {
            Err(OpenError::Newer(format!("the checkpoint's part of the site has format {format}")))
        }
        _ => Err(OpenError::Record("checkpoint: it has no format that ever was".into())),
    }
}

/// Whose directory it is: the one in the log, which must fit the options, or a new one.
fn identify(options: &Options, found: Option<Identity>) -> Result<Identity, OpenError> {
    let asked = Identity::asked(options);
    let Some(found) = found else { return Ok(asked) };
    let differs = |what: &str, found: String, asked: String| {
        Err(OpenError::Identity(format!("its {what} is {found}, but sites.toml says {asked}")))
    };
    if found.cluster != asked.cluster {
        return differs("cluster", format!("{:032x}", found.cluster), format!("{:032x}", asked.cluster));
    }
    if found.site != asked.site {
        return differs("site id", found.site.to_string(), asked.site.to_string());
    }
    if (found.class, found.classes) != (asked.class, asked.classes) {
        let text = |i: &Identity| format!("{} of {}", i.class, i.classes);
        return differs("minting class", text(&found), text(&asked));
    }
    if found.window != asked.window {
        return differs("certification window", found.window.to_string(), asked.window.to_string());
    }
    Ok(found)
}

fn replica_options(options: &Options, identity: Identity, start: u64, filling: bool) -> replica::Options {
    replica::Options {
        me: options.id,
        contacts: options.names.keys().copied().filter(|site| *site != options.id).collect(),
        preferred: options.preferred,
        // Sites with other beginnings must not meet.
        cluster: options.cluster ^ identity.lineage,
        incarnation: identity.incarnation,
        start,
        timing: options.timing.clone(),
        filling,
    }
}

/// What a record of a site's log says of its removal, if it says something.
pub fn removal_in(record: &Record) -> Option<Removed> {
    match record {
        Record::Note { kind: NOTE_REMOVED, body } => decode("removal", body).ok(),
        Record::Checkpoint { state, .. } => read_kept(state).ok()?.own.removed,
        _ => None,
    }
}

pub(super) fn note_removed(removed: &Removed) -> Vec<u8> {
    encode(removed)
}

pub(super) fn note_peer(site: SiteId, incarnation: u64) -> Vec<u8> {
    encode(&(site, incarnation))
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data always has a postcard form")
}

pub(super) fn decode<'a, T: Deserialize<'a>>(what: &str, body: &'a [u8]) -> Result<T, OpenError> {
    postcard::from_bytes(body).map_err(|error| OpenError::Record(format!("{what}: {error}")))
}
