//! Histories from the simulator: SQL sessions at every simulated site, with its faults, judged in the end.
//!
//! A seed runs two promises, each with sessions at every site. A session's number outlives crashes of its site: what it
//! was told before, its successor at the same site must still see. When all has healed, every session reads everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::Value;
use gemini_sql::session::{Collected, Session, Shared};
use parking_lot::Mutex;

use super::time::Time;
use super::{Options, Task, World};
use crate::history::workload::{Connection, PROMISES, READY, TABLES, Trouble, Worker, Workload};
use crate::simulate::{Report, Work, report, simulate};

/// Which promise each of a site's three clients works for: 0 or 1.
const SLOTS: [usize; 3] = [0, 0, 1];

/// How long after the trouble everything is read, µs.
const REST: u64 = 3_000_000;

/// Runs a seed; the two workloads with what they have recorded and nobody has judged.
pub fn run(seed: u64) -> Report<Vec<Workload>> {
    let mut options = Options::swarm(seed);
    options.trouble /= 2;
    let count = PROMISES.len() as u64;
    let (first, step) = (seed % count, 1 + seed / count % (count - 1));
    let workloads = [first, (first + step) % count].map(|at| Workload::new(&PROMISES[at as usize])).to_vec();
    let clients = Clients { workloads, slots: Mutex::default() };
    let world = simulate(World::new(options), &clients, "simulated_histories");
    report(&world, clients.workloads)
}

struct Clients {
    workloads: Vec<Workload>,
    /// Who works at each place: the place is free when its client has gone.
    slots: Mutex<BTreeMap<(usize, usize), Arc<()>>>,
}

impl Clients {
    /// A free place at a site.
    fn place(&self, node: usize) -> (usize, Arc<()>) {
        let mut slots = self.slots.lock();
        let free = (0..SLOTS.len())
            .find(|slot| slots.get(&(node, *slot)).is_none_or(|place| Arc::strong_count(place) == 1));
        let slot = free.unwrap_or_else(|| panic!("site {node} has more clients than places"));
        let place = Arc::new(());
        slots.insert((node, slot), place.clone());
        (slot, place)
    }
}

impl Work for Clients {
    fn set_up(&self, world: &mut World, node: usize) -> Task {
        let (mut connection, time) = (Simulated::new(world, node, &[]), world.time.clone());
        Box::pin(async move {
            for text in TABLES {
                insist(&mut connection, &time, text).await;
            }
        })
    }

    fn client(&self, world: &mut World, node: usize, until: u64) -> Task {
        let (slot, place) = self.place(node);
        let workload = self.workloads[SLOTS[slot]].clone();
        let worker = Worker {
            process: (node * SLOTS.len() + slot) as u64,
            site: format!("s{}", node + 1),
            random: world.fork_random(),
        };
        let may = if workload.promise.blue { &BLUE[..] } else { &ANY[..] };
        let (connection, time) = (Simulated::new(world, node, may), world.time.clone());
        Box::pin(async move {
            work(workload, connection, worker, time, until).await;
            drop(place);
        })
    }

    fn audit(&self, _: &World, _: usize) {}
}

async fn insist(connection: &mut Simulated, time: &Time, text: &str) {
    while connection.query(text).await.is_err() {
        time.sleep(50_000).await;
    }
}

async fn work(workload: Workload, mut connection: Simulated, mut worker: Worker, time: Time, until: u64) {
    // The tables are there when the clients begin, but perhaps not at this site.
    connection.may_lack_tables = true;
    insist(&mut connection, &time, READY).await;
    connection.may_lack_tables = false;
    workload.prepare(&mut connection).await.unwrap_or_else(|trouble| panic!("SET fails: {trouble:?}"));
    while time.now() < until {
        // What failed is written down.
        let _ = workload.transact(&mut connection, &mut worker).await;
        let pause = worker.random.below(40_000);
        time.sleep(pause).await;
    }
    time.sleep(REST).await;
    for _ in 0..5 {
        if workload.read_all(&mut connection, &mut worker).await.is_ok() {
            return;
        }
        time.sleep(100_000).await;
    }
}

/// What any statement may meet.
const ANY: [&str; 5] = ["40001", "40003", "57P03", "53300", "53200"];

/// What a blue one may: nothing of other sites.
const BLUE: [&str; 3] = ["40001", "53300", "53200"];

/// A session in the simulator. An error that cannot be fails the run.
struct Simulated {
    session: Session,
    time: Time,
    may: &'static [&'static str],
    may_lack_tables: bool,
}

impl Simulated {
    fn new(world: &World, node: usize, may: &'static [&'static str]) -> Simulated {
        let session = Session::new(Shared::new(world.host(node)), "historian", "history", 1);
        let may = if may.is_empty() { &ANY[..] } else { may };
        Simulated { session, time: world.time.clone(), may, may_lack_tables: false }
    }
}

impl Connection for Simulated {
    async fn query(&mut self, text: &str) -> Result<Vec<Vec<String>>, Trouble> {
        let mut said = Collected::default();
        match self.session.simple(text, &mut said).await {
            Ok(()) => Ok(said.rows.iter().map(|row| row.iter().map(text_of).collect()).collect()),
            Err(error) => {
                let state = error.sqlstate;
                assert!(
                    self.may.contains(&state) || self.may_lack_tables && state == "42P01",
                    "an error that cannot be: {error:?}, after: {text}"
                );
                Err(Trouble(Some(state.to_owned())))
            }
        }
    }

    async fn rest(&mut self, micros: u64) {
        self.time.sleep(micros).await;
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Text(v) => v.to_string(),
        Value::Int4(v) => v.to_string(),
        Value::Int8(v) => v.to_string(),
        other => panic!("histories hold texts and integers, not {other:?}"),
    }
}
