//! Histories from the simulator: SQL sessions at every simulated site, with its faults, judged in the end.
//!
//! A seed runs two promises, each with sessions at every site. A session's number outlives crashes of its site: what it
//! was told before, its successor at the same site must still see. When all has healed, every session reads everything.

use gemini_shadow_ops::Value;
use gemini_sql::session::{Collected, Session, Shared};

use super::desk::Desk;
use super::time::Time;
use super::{Options, Task, World};
use crate::history::workload::{Connection, PROMISES, READY, TABLES, Trouble, Worker, Workload};
use crate::random::Random;
use crate::simulate::{Report, Work, simulate};

/// Which promise each of a site's three clients works for: 0 or 1.
const SLOTS: [usize; 3] = [0, 0, 1];

/// How long after the trouble everything is read, µs.
const REST: u64 = 3_000_000;

/// Runs a seed; the two workloads with what they have recorded and nobody has judged.
pub fn run(seed: u64) -> Report<Vec<Workload>> {
    let options = Options { desks: SLOTS.len(), ..Options::shop(seed) };
    let count = PROMISES.len() as u64;
    let (first, step) = (seed % count, 1 + seed / count % (count - 1));
    let workloads = [first, (first + step) % count].map(|at| Workload::new(&PROMISES[at as usize])).to_vec();
    simulate(options, &Clients { workloads }).unwrap_or_else(|failure| panic!("{failure}"))
}

struct Clients {
    workloads: Vec<Workload>,
}

impl Work for Clients {
    type Told = Vec<Workload>;

    fn test(&self) -> &'static str {
        "simulated_histories"
    }

    fn set_up(&self, world: &mut World, node: usize) -> Task {
        let (mut connection, time) = (Simulated::new(world, node, &[]), world.time.clone());
        Box::pin(async move {
            for text in TABLES {
                insist(&mut connection, &time, text).await;
            }
        })
    }

    fn client(&self, world: &mut World, desk: Desk) -> Task {
        let workload = self.workloads[SLOTS[desk.id / world.nodes.len()]].clone();
        let site = format!("s{}", desk.node + 1);
        let worker = Worker { process: desk.id as u64, site, random: Random::new(0) };
        let may = if workload.promise.blue { &BLUE[..] } else { &ANY[..] };
        let (connection, time) = (Simulated::new(world, desk.node, may), world.time.clone());
        Box::pin(work(workload, connection, worker, time, desk))
    }

    fn audit(&self, _: &World, _: usize) {}

    fn told(&self) -> Vec<Workload> {
        self.workloads.clone()
    }
}

async fn insist(connection: &mut Simulated, time: &Time, text: &str) {
    while connection.query(text).await.is_err() {
        time.sleep(50_000).await;
    }
}

async fn work(workload: Workload, mut connection: Simulated, mut worker: Worker, time: Time, desk: Desk) {
    // The tables are there when the clients begin, but perhaps not at this site.
    connection.may_lack_tables = true;
    insist(&mut connection, &time, READY).await;
    connection.may_lack_tables = false;
    workload.prepare(&mut connection).await.unwrap_or_else(|trouble| panic!("SET fails: {trouble:?}"));
    while desk.is_open() {
        let Some(random) = desk.turn() else {
            time.sleep(40_000).await;
            continue;
        };
        worker.random = random;
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
const ANY: [&str; 6] = ["40001", "40003", "57P03", "53300", "53200", "53100"];

/// What a blue one may: nothing of other sites.
const BLUE: [&str; 4] = ["40001", "53300", "53200", "53100"];

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
