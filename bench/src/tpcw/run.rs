//! A run: clients at every site, for a time; what they measured, and what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, Effect, Ended, Troubles, reconnect};
use super::connection::{Color, Connection, Target};
use super::mix::{Interaction, Mix};
use super::population::Scale;
use crate::Error;
use crate::histogram::Histogram;

/// Where new ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ids {
    /// The server mints them, and tells with RETURNING
    Minted,
    /// MAX(id) + 1, as the original application does
    Max,
}

/// How a sale takes stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stock {
    /// i_stock = i_stock - q
    Delta,
    /// Read, then assign the new value, as the original application does
    Assign,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Per site.
    pub clients: usize,
    /// Measured.
    pub time: Duration,
    /// Before that, not measured (but checked all the same).
    pub warm_up: Duration,
    /// Which interactions.
    pub mix: Mix,
    /// Where new ids come from.
    pub ids: Ids,
    /// How a sale takes stock.
    pub stock: Stock,
    /// Mean think time.
    pub think: Duration,
    /// Of what is drawn.
    pub seed: u64,
    /// Distinguishes what this run registers from what earlier runs did.
    pub run: u64,
    /// The shop's size.
    pub scale: Scale,
    /// How often a refused transaction is run again.
    pub retries: u32,
}

/// What clients were told, by all of them together.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Orders acknowledged, with the number of their lines.
    pub orders: BTreeMap<i32, usize>,
    /// Item: how often acknowledged orders restocked it.
    pub restocks: BTreeMap<i32, i64>,
    /// Customers and carts acknowledged.
    pub customers: Vec<i32>,
    /// See `customers`.
    pub carts: Vec<i32>,
    /// Ids that two clients were given: orders, customers, carts.
    pub twice: Vec<String>,
    /// Transactions whose outcome nobody learned.
    pub unknown: u64,
}

impl Ledger {
    fn note(&mut self, effect: &Effect) {
        match effect {
            Effect::Nothing | Effect::Customer { new: false, .. } | Effect::Customer { id: None, .. } => {}
            Effect::Cart { id, new } => self.carts.extend(new.then_some(*id)),
            Effect::Customer { id: Some(id), new: true } => self.customers.push(*id),
            Effect::Placed { placed, new_cart } => {
                self.carts.extend(new_cart.then_some(placed.cart));
                if self.orders.insert(placed.order, placed.lines.len()).is_some() {
                    self.twice.push(format!("order {}", placed.order));
                }
                for (item, times) in &placed.restocks {
                    *self.restocks.entry(*item).or_default() += times;
                }
            }
        }
    }

    /// Adds another client's.
    pub fn merge(&mut self, other: Ledger) {
        for (order, lines) in other.orders {
            if self.orders.insert(order, lines).is_some() {
                self.twice.push(format!("order {order}"));
            }
        }
        for (item, times) in other.restocks {
            *self.restocks.entry(item).or_default() += times;
        }
        self.customers.extend(other.customers);
        self.carts.extend(other.carts);
        self.twice.extend(other.twice);
        self.unknown += other.unknown;
    }

    fn find_twice(&mut self) {
        for (what, ids) in [("customer", &mut self.customers), ("cart", &mut self.carts)] {
            ids.sort_unstable();
            self.twice.extend(
                ids.windows(2).filter(|two| two[0] == two[1]).map(|two| format!("{what} {}", two[0])),
            );
        }
    }
}

/// What the clients of one site measured.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct SiteResult {
    pub name: String,
    pub clients: usize,
    pub by_color: BTreeMap<Color, Histogram>,
    pub by_interaction: BTreeMap<Interaction, Histogram>,
    /// Refusals after which the transaction was run again, by SQLSTATE.
    pub aborts: BTreeMap<String, u64>,
    /// What was not run again, by SQLSTATE, with the first one's words.
    pub errors: BTreeMap<String, (u64, String)>,
}

impl SiteResult {
    fn merge(&mut self, other: SiteResult) {
        self.clients += other.clients;
        for (color, histogram) in &other.by_color {
            self.by_color.entry(*color).or_default().merge(histogram);
        }
        for (interaction, histogram) in &other.by_interaction {
            self.by_interaction.entry(*interaction).or_default().merge(histogram);
        }
        for (state, n) in other.aborts {
            *self.aborts.entry(state).or_default() += n;
        }
        for (state, (n, words)) in other.errors {
            self.errors.entry(state).or_insert((0, words)).0 += n;
        }
    }

    fn trouble(&mut self, troubles: &mut Troubles) {
        for state in troubles.aborts.drain(..) {
            *self.aborts.entry(state).or_default() += 1;
        }
        for (state, words) in troubles.errors.drain(..) {
            self.errors.entry(state).or_insert((0, words)).0 += 1;
        }
    }

    /// Committed transactions.
    pub fn committed(&self) -> u64 {
        self.by_color.values().map(Histogram::count).sum()
    }

    /// Of one colour.
    pub fn count(&self, color: Color) -> u64 {
        self.by_color.get(&color).map_or(0, Histogram::count)
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Outcome {
    pub sites: Vec<SiteResult>,
    pub ledger: Ledger,
    /// Measured for so long.
    pub time: Duration,
}

struct Shared {
    committed: AtomicU64,
    measuring: AtomicBool,
    stop: AtomicBool,
}

/// Runs clients at every target; `progress` is told the time passed and the transactions committed, a few times a second.
pub async fn run(
    targets: &[Target],
    options: &Options,
    progress: &mut (dyn FnMut(Duration, u64) + Send),
) -> Result<Outcome, Error> {
    let shared = Arc::new(Shared {
        committed: AtomicU64::new(0),
        measuring: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    });
    let end = Instant::now() + options.warm_up + options.time;
    let mut clients = Vec::new();
    for (site, target) in targets.iter().enumerate() {
        for i in 0..options.clients {
            let number = (site * options.clients + i) as u64;
            let connection = Connection::open(target).await?;
            let client = Client::new(number, options);
            let work = drive(client, connection, target.clone(), shared.clone(), end);
            clients.push((site, tokio::spawn(work)));
        }
    }
    let time = watch(options, &shared, progress).await;
    let mut outcome = Outcome { sites: Vec::new(), ledger: Ledger::default(), time };
    for target in targets {
        outcome.sites.push(SiteResult { name: target.name.clone(), ..SiteResult::default() });
    }
    for (site, client) in clients {
        let (result, ledger) = client.await.map_err(|e| Error::Failed(format!("a client stopped: {e}")))?;
        outcome.sites[site].merge(result);
        outcome.ledger.merge(ledger);
    }
    outcome.ledger.find_twice();
    Ok(outcome)
}

/// Lets the clients run; the time measured.
async fn watch(
    options: &Options,
    shared: &Shared,
    progress: &mut (dyn FnMut(Duration, u64) + Send),
) -> Duration {
    tokio::time::sleep(options.warm_up).await;
    let start = Instant::now();
    shared.measuring.store(true, Ordering::Relaxed);
    while start.elapsed() < options.time {
        let left = options.time.saturating_sub(start.elapsed());
        tokio::time::sleep(left.min(Duration::from_millis(200))).await;
        progress(start.elapsed(), shared.committed.load(Ordering::Relaxed));
    }
    shared.measuring.store(false, Ordering::Relaxed);
    shared.stop.store(true, Ordering::Relaxed);
    start.elapsed()
}

async fn drive(
    mut client: Client,
    connection: Connection,
    target: Target,
    shared: Arc<Shared>,
    end: Instant,
) -> (SiteResult, Ledger) {
    let mut result = SiteResult { clients: 1, ..SiteResult::default() };
    let mut ledger = Ledger::default();
    let mut troubles = Troubles::default();
    let mut connection = Some(connection);
    while !shared.stop.load(Ordering::Relaxed) {
        let think = client.think();
        if !think.is_zero() {
            tokio::time::sleep(think).await;
        }
        let open = connection.take().filter(|db| !db.is_closed());
        let mut db = match open {
            Some(db) => db,
            None => match reconnect(&target, end, &mut troubles).await {
                Some(db) => db,
                None => break,
            },
        };
        let (interaction, job) = client.draw();
        let measured = shared.measuring.load(Ordering::Relaxed);
        match client.perform(&mut db, &job, &mut troubles).await {
            Ended::Done { effect, color, took } => {
                ledger.note(&effect);
                if let (Some(user), Effect::Customer { id: Some(_), .. }) = (job.user(), &effect) {
                    client.become_user(user);
                }
                if measured {
                    shared.committed.fetch_add(1, Ordering::Relaxed);
                    result.by_color.entry(color).or_default().add(took);
                    result.by_interaction.entry(interaction).or_default().add(took);
                }
            }
            Ended::Unknown => ledger.unknown += 1,
            Ended::Failed => {}
        }
        if measured || !troubles.errors.is_empty() {
            result.trouble(&mut troubles);
        }
        troubles.aborts.clear();
        connection = Some(db);
    }
    result.trouble(&mut troubles);
    (result, ledger)
}

/// A number that no earlier run had: registrations carry it.
pub fn mark() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |time| time.as_nanos() as u64)
}
