//! A site as simple as can be around a replica: a log of which a prefix is synced, and maps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::{
    Dot, Entry, Footprint, Frontier, Hlc, Member, Members, RedTransaction, Ruling, ShadowTransaction, SiteId,
    Stamp, TxnId,
};

use crate::replica::{Mark, Options, Output, Recovered, Replica, Shelf, Timing};
use crate::sequencer::{SequencerRecovery, entries_written};

/// One record of the log.
#[derive(Clone, Debug)]
pub enum Record {
    Blue { dot: Dot, t: Arc<ShadowTransaction>, local: bool },
    Admit(Dot),
    Red { r: u64, entry: Arc<Entry> },
    Sequencer(Vec<u8>),
    Learned(SiteId, u64),
    Start,
}

/// What stands in the log, by name.
#[derive(Default)]
pub struct Maps {
    blue: RefCell<BTreeMap<Dot, Arc<ShadowTransaction>>>,
    red: RefCell<BTreeMap<u64, Arc<Entry>>>,
}

impl Shelf for Maps {
    fn blue(&self, dot: Dot) -> Option<Arc<ShadowTransaction>> {
        self.blue.borrow().get(&dot).cloned()
    }
    fn red(&self, r: u64) -> Option<Arc<Entry>> {
        self.red.borrow().get(&r).cloned()
    }
}

pub struct Site {
    pub id: SiteId,
    pub replica: Replica,
    pub log: Vec<Record>,
    pub synced: usize,
    pub maps: Maps,
    /// What the log proves to be applied.
    pub applied: Frontier,
    /// The members there.
    pub members: Members,
    /// The same of its synced prefix.
    pub durable: Frontier,
    pub durable_own: u64,
    /// The sequencer as the synced log proves it.
    pub disk: SequencerRecovery,
    pub marks: Vec<(usize, Mark)>,
    pub epoch: u64,
    /// When the last batch under way will be on disk.
    pub next_sync: u64,
}

pub fn options(id: SiteId, sites: u16, start: u64) -> Options {
    Options {
        me: id,
        contacts: (0..sites).map(SiteId).filter(|site| *site != id).collect(),
        preferred: Some(SiteId(0)),
        cluster: 77,
        incarnation: 1000 + u64::from(id.0),
        start,
        timing: Timing::default(),
        filling: false,
    }
}

/// The first members of a cluster.
pub fn first(sites: u16) -> Members {
    let member = |n: u16| Member { name: format!("s{n}"), peer: String::new(), class: u32::from(n) };
    Members::first((0..sites).map(|n| (SiteId(n), member(n))).collect())
}

impl Site {
    /// Starts on what is left of a log.
    pub fn open(now: u64, id: SiteId, sites: u16, mut log: Vec<Record>, epoch: u64) -> Site {
        let maps = Maps::default();
        let (mut logged, mut applied) = (Frontier::default(), Frontier::default());
        let mut sequencer = SequencerRecovery::default();
        let mut incarnations = BTreeMap::new();
        let mut start = 1;
        let mut members = first(sites);
        for record in &log {
            match record {
                Record::Blue { dot, t, local } => {
                    assert_eq!(dot.n, logged.blue(dot.site) + 1, "the log holds each origin in order");
                    maps.blue.borrow_mut().insert(*dot, t.clone());
                    logged.set_blue(dot.site, dot.n);
                    if *local {
                        applied.add(TxnId::Blue(*dot));
                    }
                }
                Record::Admit(dot) => applied.add(TxnId::Blue(*dot)),
                Record::Red { r, entry } => {
                    maps.red.borrow_mut().insert(*r, entry.clone());
                    members.decide(*r, entry);
                    applied.red = *r;
                }
                Record::Sequencer(bytes) => sequencer.record(bytes).expect("our own record"),
                Record::Learned(site, incarnation) => _ = incarnations.insert(*site, *incarnation),
                Record::Start => start += 1,
            }
        }
        let durable = applied.clone();
        let recovered = Recovered {
            logged: logged.clone(),
            applied: applied.clone(),
            sequencer,
            incarnations,
            members: members.clone(),
        };
        let replica = Replica::new(now, options(id, sites, start), recovered).expect("our own log");
        let synced = log.len();
        let mut disk = SequencerRecovery::default();
        for record in &log {
            if let Record::Sequencer(bytes) = record {
                disk.record(bytes).expect("our own record");
            }
        }
        log.push(Record::Start);
        let durable_own = logged.blue(id);
        Site {
            id,
            replica,
            log,
            synced,
            maps,
            applied,
            members,
            durable,
            durable_own,
            disk,
            next_sync: now,
            marks: Vec::new(),
            epoch,
        }
    }

    /// Carries out one output that concerns the log. Returns the others.
    pub fn carry_out(&mut self, output: Output) -> Option<Output> {
        match output {
            Output::Log { dot, transaction } => {
                self.maps.blue.borrow_mut().insert(dot, transaction.clone());
                self.log.push(Record::Blue { dot, t: transaction, local: false });
            }
            Output::Admit { dot, transaction } => {
                assert!(self.applied.includes(&transaction.deps), "{dot} before what it depends on");
                assert_eq!(dot.n, self.applied.blue(dot.site) + 1, "each origin in order, once");
                self.applied.add(TxnId::Blue(dot));
                self.log.push(Record::Admit(dot));
            }
            Output::AdmitRed { r, entry } => {
                assert_eq!(r, self.applied.red + 1, "red in order, once");
                let stands = self.members.decide(r, &entry) == Ruling::Stands;
                if stands && let Entry::Transaction(t) = &*entry {
                    assert!(self.applied.includes(&t.transaction.deps), "r{r} before what it depends on");
                }
                self.applied.red = r;
                self.maps.red.borrow_mut().insert(r, entry.clone());
                self.log.push(Record::Red { r, entry: entry.clone() });
                return Some(Output::AdmitRed { r, entry });
            }
            Output::Persist(bytes) => {
                for entry in entries_written(&bytes) {
                    let Entry::Transaction(t) = &entry else { continue };
                    for (site, n) in t.transaction.deps.blues() {
                        let held = self.maps.blue.borrow().contains_key(&Dot { site, n });
                        assert!(
                            held,
                            "{} is written, which depends on {site}.{n}, which is not in this log",
                            t.id
                        );
                    }
                }
                self.log.push(Record::Sequencer(bytes));
            }
            Output::Learned { site, incarnation } => self.log.push(Record::Learned(site, incarnation)),
            other => return Some(other),
        }
        None
    }

    /// The log up to here is on disk.
    pub fn sync(&mut self, upto: usize) {
        for record in &self.log[self.synced..upto] {
            match record {
                Record::Blue { dot, local: true, .. } => {
                    self.durable.add(TxnId::Blue(*dot));
                    self.durable_own = dot.n;
                }
                Record::Admit(dot) => self.durable.add(TxnId::Blue(*dot)),
                Record::Red { r, .. } => self.durable.red = *r,
                Record::Sequencer(bytes) => self.disk.record(bytes).expect("our own record"),
                _ => {}
            }
        }
        self.synced = upto;
    }

    /// How many of `site`'s transactions stand in the synced log.
    pub fn logged_durably(&self, site: SiteId) -> u64 {
        let of = |record: &Record| match record {
            Record::Blue { dot, .. } if dot.site == site => dot.n,
            _ => 0,
        };
        self.log[..self.synced].iter().rev().map(of).find(|n| *n > 0).unwrap_or(0)
    }
}

pub fn transaction(origin: SiteId, now: u64, deps: Frontier) -> Arc<ShadowTransaction> {
    Arc::new(ShadowTransaction {
        origin,
        statements: vec![deps.clone()],
        deps,
        stamp: Stamp { hlc: Hlc { micros: now, count: 0 }, site: origin },
        schema_version: 0,
        ops: Vec::new(),
    })
}

pub fn entry(site: &mut Site, now: u64) -> Arc<Entry> {
    let id = site.replica.next_entry_id();
    let transaction = transaction(site.id, now, site.replica.applied().clone());
    let (footprint, tables) = (Footprint::default(), Vec::new());
    Arc::new(Entry::Transaction(RedTransaction { id, transaction, footprint, tables }))
}
