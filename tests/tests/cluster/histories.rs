//! What real clients see of three real sites, judged: sessions of every promise at every site, through a cut link, a killed
//! site and a leader cut off.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use gemini_tests::cluster::{Client, Cluster};
use gemini_tests::history::workload::{
    Connection, Counts, PROMISES, READY, TABLES, Trouble, Worker, Workload,
};
use gemini_tests::history::{Class, Outcome};
use gemini_tests::random::Random;

use crate::{PROGRAM, THREE};

/// A session that connects again when it has lost its site.
struct Real {
    port: u16,
    client: Option<Client>,
}

impl Connection for Real {
    async fn query(&mut self, text: &str) -> Result<Vec<Vec<String>>, Trouble> {
        let client = self.client.as_ref().ok_or(Trouble(None))?;
        client.query(text).map_err(|failed| {
            if failed.sqlstate.is_none() {
                self.client = None;
            }
            Trouble(failed.sqlstate)
        })
    }

    async fn rest(&mut self, micros: u64) {
        std::thread::sleep(Duration::from_micros(micros));
    }
}

impl Real {
    /// A connection that asks for what the workload is promised; none while the site is down.
    fn connect(&mut self, workload: &Workload) -> bool {
        if self.client.is_none() {
            self.client = Client::connect(self.port).ok();
            if self.client.is_some() && now(workload.prepare(self)).is_err() {
                self.client = None;
            }
        }
        self.client.is_some()
    }
}

/// The outcome of what never waits: a [`Real`] session blocks its thread instead.
fn now<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a session of a real site never waits"),
    }
}

/// Works until it is stopped; then it waits for `settled` and reads everything.
fn work(workload: &Workload, mut worker: Worker, port: u16, stop: &AtomicBool, settled: &AtomicBool) {
    let mut session = Real { port, client: None };
    while !stop.load(Ordering::SeqCst) {
        if session.connect(workload) {
            // What failed is written down.
            let _ = now(workload.transact(&mut session, &mut worker));
        }
        std::thread::sleep(Duration::from_millis(worker.random.between(5, 25)));
    }
    while !settled.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..20 {
        if session.connect(workload) && now(workload.read_all(&mut session, &mut worker)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("a session at {} cannot read what is there", worker.site);
}

/// Waits until sessions of the promises at the sites have got `more` acknowledgements each.
fn go_on(cluster: &Cluster, workloads: &[Workload], sites: &[usize], blue: bool, more: usize) {
    let count = || {
        let mut counts = BTreeMap::new();
        for workload in workloads.iter().filter(|workload| workload.promise.blue || !blue) {
            for site in sites.iter().map(|site| THREE[*site]) {
                let history = workload.history();
                let here = history.transactions.iter().filter(|t| t.site == site && t.outcome == Outcome::Ok);
                counts.insert((workload.promise.name, site), here.count());
            }
        }
        counts
    };
    let before = count();
    cluster.wait("acknowledgements at every site that must go on", || {
        count().iter().all(|(who, now)| *now >= before[who] + more).then_some(())
    });
}

#[test]
fn histories_of_real_clients_keep_what_they_are_promised() {
    let mut cluster = Cluster::start(PROGRAM, "histories", &THREE);
    cluster.connect(0).run(&TABLES.join("; "));
    for site in 0..3 {
        let client = cluster.connect(site);
        cluster.wait("the tables", || client.query(READY).ok());
    }
    let workloads: Vec<Workload> = PROMISES.iter().map(Workload::new).collect();
    let (stop, settled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for (at, workload) in workloads.iter().enumerate() {
        for (site, name) in THREE.iter().enumerate() {
            let (workload, stop, settled) = (workload.clone(), stop.clone(), settled.clone());
            let process = (at * THREE.len() + site) as u64;
            let worker = Worker { process, site: (*name).to_owned(), random: Random::new(process) };
            let port = cluster.sites[site].ports.sql;
            threads.push(std::thread::spawn(move || work(&workload, worker, port, &stop, &settled)));
        }
    }
    go_on(&cluster, &workloads, &[0, 1, 2], false, 20);
    cluster.cut(1, 2);
    go_on(&cluster, &workloads, &[0, 1, 2], false, 10);
    cluster.heal();
    cluster.kill(2);
    go_on(&cluster, &workloads, &[0, 1], false, 10);
    cluster.restart(2);
    go_on(&cluster, &workloads, &[0, 1, 2], false, 10);
    // The leader cut off: the others elect another one; it goes on with what is blue.
    cluster.isolate(0);
    go_on(&cluster, &workloads, &[1, 2], false, 10);
    go_on(&cluster, &workloads, &[0], true, 10);
    cluster.heal();
    go_on(&cluster, &workloads, &[0, 1, 2], false, 10);
    stop.store(true, Ordering::SeqCst);
    cluster.converged();
    settled.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for workload in &workloads {
        let verdict = workload.judge("clients of real sites saw it");
        let counts = Counts::of(&workload.history());
        println!("{}: {counts}; allowed and found: {:?}", workload.promise.name, verdict.classes());
        if workload.promise.blue {
            assert!(
                verdict.classes().contains(&Class::LongFork),
                "three sites wrote apart, and nobody saw it"
            );
        }
    }
}
