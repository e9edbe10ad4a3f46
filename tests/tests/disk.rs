//! A site on a disk that fails or is full: what it tells its clients, and when it stops. The disk is simulated, the site is not.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini::site::{Input, MintingClass, Options, Outcome, Output, Reply, Site};
use gemini_engine::disk::Fault;
use gemini_engine::log::{LogOptions, LogRemedy};
use gemini_engine::{Batch, MemDisk, MemStore};
use gemini_replication::Timing;
use gemini_shadow_ops::{
    Classification, Color, Footprint, Frontier, Hlc, Member, ShadowTransaction, SiteId, Stamp,
};
use gemini_sql::host::{CommitError, Durability, Submission};
use tokio::sync::oneshot::Receiver;

const ME: SiteId = SiteId(1);

/// A site alone, driven by hand.
struct Driven {
    site: Site,
    disk: MemDisk,
    now: u64,
    batch: Option<Batch>,
    stopped: Option<String>,
}

impl Driven {
    fn open(disk: &MemDisk, now: u64) -> Driven {
        let options = Options {
            id: ME,
            first: BTreeMap::from([(ME, Member { name: "solo".into(), peer: String::new(), class: 0 })]),
            names: BTreeMap::from([(ME, "solo".to_owned())]),
            cluster: 7,
            preferred: Some(ME),
            minting: MintingClass { class: 0, classes: 32 },
            window: 100,
            commit_timeout: 1_000_000,
            clock_offset: 500_000,
            timing: Timing::default(),
            log_keep: u64::MAX,
            found: 0,
            random: 5,
            engine: gemini_engine::Options {
                log: LogOptions { segment_bytes: 8192, ..LogOptions::default() },
                ..gemini_engine::Options::default()
            },
        };
        let mut out = Vec::new();
        let site =
            Site::open(now, options, Arc::new(disk.clone()), Arc::new(MemStore::new()), &mut out).unwrap();
        let mut driven = Driven { site, disk: disk.clone(), now, batch: None, stopped: None };
        driven.carry_out(out);
        driven
    }

    fn step(&mut self, input: Input) {
        self.now += 1_000;
        let mut out = Vec::new();
        self.site.step(self.now, input, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Write(batch) => self.batch = Some(batch),
                Output::Upkeep(upkeep) => {
                    if let Err(error) = upkeep.run(&self.disk) {
                        assert_eq!(error.remedy(), LogRemedy::Retry, "{error}");
                    }
                }
                Output::Reply(reply, outcome) => reply.send(outcome),
                Output::Stop(reason) => self.stopped = Some(reason),
                _ => {}
            }
        }
    }

    /// A blue transaction of no effect.
    fn submit(&mut self) -> Receiver<Outcome> {
        let snapshot = self.site.shared().reader.snapshot();
        let transaction = ShadowTransaction {
            origin: ME,
            statements: vec![snapshot.frontier().clone()],
            deps: Frontier::default(),
            stamp: Stamp { hlc: Hlc::default(), site: ME },
            schema_version: snapshot.schema().version,
            ops: Vec::new(),
        };
        let classification = Classification {
            color: Color::Blue,
            reasons: Vec::new(),
            footprint: Footprint::default(),
            spends: Vec::new(),
        };
        let submission = Submission {
            transaction,
            classification,
            local_reads: Vec::new(),
            minted: Vec::new(),
            explicit: Vec::new(),
            asserted_blue: false,
            durability: Durability::Local,
            timeout: None,
            about: None,
        };
        let (reply, outcome) = Reply::new();
        self.step(Input::Submit { submission: Box::new(submission), reply });
        outcome
    }

    /// Writes what there is to write, as long as the disk takes it.
    fn write_all(&mut self) {
        while let Some(mut batch) = self.batch.take() {
            match batch.write(&self.disk) {
                Ok(end) => self.step(Input::Durable(end)),
                Err(error) => {
                    assert_eq!(error.remedy(), LogRemedy::Retry, "{error}");
                    self.batch = Some(batch);
                    return;
                }
            }
        }
    }

    fn own(&self) -> u64 {
        self.site.shared().reader.snapshot().frontier().blue(ME)
    }
}

fn sqlstate(outcome: Outcome) -> &'static str {
    match outcome {
        Ok(_) => "00000",
        Err(CommitError::Rejected { sqlstate, .. }) => sqlstate,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_failed_sync_stops_the_site_and_nothing_rests_on_it() {
    for operation in [1, 2] {
        let disk = MemDisk::new();
        let mut driven = Driven::open(&disk, 1_000_000);
        driven.write_all();
        let mut told = driven.submit();
        driven.write_all();
        assert_eq!(sqlstate(told.try_recv().unwrap()), "00000");
        let mut lost = driven.submit();
        // The write, or the sync after it; the device is well again at once.
        disk.fail(Fault::Once(operation));
        let mut batch = driven.batch.take().expect("a batch is to be written");
        let error = batch.write(&disk).unwrap_err();
        assert_eq!(error.remedy(), LogRemedy::FailStop);
        let written = disk.writes();
        assert!(batch.write(&disk).is_err(), "what failed once is never tried again");
        driven.step(Input::LogFailed(error.to_string()));
        assert!(
            driven.stopped.as_ref().is_some_and(|why| why.contains("the site stops")),
            "{:?}",
            driven.stopped
        );
        // Nobody is told anything any more, and nothing is written.
        let mut later = driven.submit();
        driven.step(Input::Tick);
        assert!(lost.try_recv().is_err() && later.try_recv().is_err());
        assert!(driven.batch.is_none() && disk.writes() == written);
        assert_eq!(driven.own(), 1, "what is not on disk is not visible");
        drop(batch);
        drop(driven);
        disk.crash(&mut || 1);
        let driven = Driven::open(&disk, 9_000_000);
        assert!((1..=2).contains(&driven.own()), "acknowledged, and perhaps what was under way");
    }
}

#[test]
fn a_full_disk_refuses_clients_until_there_is_room() {
    let disk = MemDisk::new();
    disk.set_capacity(Some(3 * 8192));
    let mut driven = Driven::open(&disk, 1_000_000);
    driven.write_all();
    let mut committed = 0;
    let refused = loop {
        let mut told = driven.submit();
        driven.write_all();
        driven.step(Input::Tick);
        match told.try_recv() {
            Ok(Ok(_)) => committed += 1,
            Ok(outcome) => break sqlstate(outcome),
            Err(_) => panic!("a batch was stuck before anybody was refused, after {committed}"),
        }
    };
    assert_eq!(refused, "53100");
    assert!(committed > 20 && driven.own() == committed, "reads go on: {committed}");
    // Still full: looked at again each second, and refused each time.
    for _ in 0..3 {
        driven.now += 1_100_000;
        driven.step(Input::Tick);
        assert_eq!(sqlstate(driven.submit().try_recv().unwrap()), "53100");
    }
    disk.set_capacity(None);
    driven.now += 1_100_000;
    driven.step(Input::Tick);
    driven.step(Input::Tick);
    let mut told = driven.submit();
    driven.write_all();
    assert_eq!(sqlstate(told.try_recv().unwrap()), "00000");
    drop(driven);
    disk.crash(&mut || 0);
    assert_eq!(Driven::open(&disk, 20_000_000).own(), committed + 1);
}
