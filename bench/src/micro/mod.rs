//! One statement at a time: what a commit costs, beside what it must cost at the least.
//!
//! In one folder and one run: a bare write and fdatasync, before and after everything; Gemini as one site; the bare log
//! with records of the size Gemini wrote and as many committers; PostgreSQL with the same statements through the same client. Ratios
//! within a run say something; figures of different runs or machines do not.
//!
//! | name | statement | at Gemini |
//! |---|---|---|
//! | select 1 | `SELECT 1` | nothing but the protocol |
//! | point read | `SELECT v FROM bench WHERE id = $1` | a snapshot |
//! | own rows | `UPDATE bench SET v = v + 1 WHERE id = $1`, each client its own rows | blue |
//! | hot row | the same, all clients the same row | blue: additions do not conflict |
//! | red | `UPDATE bench SET s = s + 1 WHERE id = $1`, own rows of a strict column | red |
//!
//! A machine that others use gives no figures worth keeping: the bare syncs before and after say whether it was quiet.

mod distance;
mod drive;
#[path = "../../../engine/examples/log_rate/measure.rs"]
#[allow(dead_code, missing_docs)]
mod log_rate;
pub(crate) mod servers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use gemini_engine::RealDisk;

use crate::Error;
use crate::histogram::millis;
use crate::progress::Bar;
use crate::table::{Table, thousands};
use crate::tpcw::Target;
pub use distance::{DistanceArgs, run as distance};
use drive::{Cell, Work};
use servers::{Gemini, Postgres};

/// What to measure.
#[derive(Clone, Debug, Args)]
pub struct MicroArgs {
    /// A server that runs already, instead of a site of our own; its disk may not be the folder's
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The program to start the site with; else the one beside this program
    #[arg(long, value_name = "PATH")]
    gemini: Option<PathBuf>,
    /// Where everything is written; else a temporary folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// For each row of the table
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// At so many clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    clients: Vec<usize>,
    /// Only these statements
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Work::ALL)]
    only: Vec<Work>,
    /// PostgreSQL's programs; else the newest under /usr/lib/postgresql, or those in PATH
    #[arg(long, value_name = "DIR")]
    postgres: Option<PathBuf>,
    /// Leave PostgreSQL out
    #[arg(long)]
    no_postgres: bool,
    /// Record size of the bare log; else what Gemini wrote per record
    #[arg(long)]
    bytes: Option<usize>,
}

/// Record size of the bare log where Gemini's is not known.
const USUAL_BYTES: usize = 150;

struct Results {
    gemini: Vec<Cell>,
    postgres: Vec<Cell>,
    log: Vec<log_rate::Measured>,
    before: log_rate::Histogram,
    after: log_rate::Histogram,
}

/// Measures and prints.
pub async fn run(args: &MicroArgs) -> Result<(), Error> {
    let scratch = Scratch::new(args.folder.as_deref())?;
    let mut bar = Bar::new("measuring");
    let rows = args.only.len() * args.clients.len();
    let steps = (rows * if args.no_postgres { 1 } else { 2 } + args.clients.len() + 2) as f64;
    let mut done = 0.0;
    let mut step = |note: &str| {
        bar.set(done / steps, note);
        done += 1.0;
    };
    step("bare syncs");
    let before = bare_sync(&scratch.0)?;
    let time = Duration::from_secs(args.seconds.max(1));
    let (gemini, bytes) = measure_gemini(args, &scratch.0, time, &mut step).await?;
    let bytes = args.bytes.or(bytes).unwrap_or(USUAL_BYTES).max(32);
    let mut log = Vec::new();
    for clients in &args.clients {
        step(&format!("bare log, {clients} committers"));
        log.push(bare_log(&scratch.0, *clients, bytes, time)?);
    }
    let mut postgres = Vec::new();
    if !args.no_postgres {
        let server = Postgres::start(&scratch.0, args.postgres.as_deref()).await?;
        postgres = measure(&server.target, "postgresql", args, time, &mut step).await?;
    }
    step("bare syncs");
    let after = bare_sync(&scratch.0)?;
    bar.finish("");
    print(&Results { gemini, postgres, log, before, after }, args, bytes);
    Ok(())
}

/// A folder of our own, removed afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(under: Option<&Path>) -> Result<Scratch, Error> {
        let base = under.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = base.join(format!("gemini-micro-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|e| Error::Failed(format!("cannot create {}: {e}", folder.display())))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is only in the way of nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn failed(what: &str) -> impl Fn(gemini_engine::log::LogError) -> Error + '_ {
    move |e| Error::Failed(format!("{what}: {e}"))
}

fn disk(folder: &Path, name: &str) -> Result<RealDisk, Error> {
    RealDisk::open(folder.join(name))
        .map_err(|e| Error::Failed(format!("cannot use {}: {e}", folder.display())))
}

fn bare_sync(folder: &Path) -> Result<log_rate::Histogram, Error> {
    log_rate::bare_sync(&disk(folder, "sync")?).map_err(failed("bare syncs"))
}

fn bare_log(
    folder: &Path,
    committers: usize,
    bytes: usize,
    time: Duration,
) -> Result<log_rate::Measured, Error> {
    log_rate::measure(&disk(folder, "log")?, committers, bytes, time).map_err(failed("the bare log"))
}

/// Gemini's rows, and the size of the records it wrote if the site was our own.
async fn measure_gemini(
    args: &MicroArgs,
    folder: &Path,
    time: Duration,
    step: &mut impl FnMut(&str),
) -> Result<(Vec<Cell>, Option<usize>), Error> {
    if let Some(url) = &args.url {
        let target = Target::parse(url)?;
        return Ok((measure(&target, "gemini", args, time, step).await?, None));
    }
    let site = Gemini::alone(folder, args.gemini.as_deref()).await?;
    let cells = measure(&site.targets[0], "gemini", args, time, step).await?;
    let data = site.data("solo");
    drop(site);
    let log = disk(&data, "log")?;
    let report = gemini_engine::log::inspect::verify(&log).map_err(failed("the site's log"))?;
    Ok((cells, report.bytes.checked_div(report.records).map(|bytes| bytes as usize)))
}

async fn measure(
    target: &Target,
    name: &str,
    args: &MicroArgs,
    time: Duration,
    step: &mut impl FnMut(&str),
) -> Result<Vec<Cell>, Error> {
    drive::prepare(target, args.clients.iter().copied().max().unwrap_or(1)).await?;
    let mut cells = Vec::new();
    for clients in &args.clients {
        for &work in &args.only {
            step(&format!("{name}: {}, {clients} clients", work.name()));
            cells.push(drive::measure(target, work, *clients, time).await?);
        }
    }
    Ok(cells)
}

fn find(cells: &[Cell], work: Work, clients: usize) -> Option<&Cell> {
    cells.iter().find(|cell| cell.work == work && cell.clients == clients)
}

fn print(results: &Results, args: &MicroArgs, bytes: usize) {
    let mut table = Table::new(&[
        "",
        "clients",
        "gemini /s",
        "p50 ms",
        "p95",
        "p99",
        "postgresql /s",
        "p50 ms",
        "p95",
        "p99",
    ]);
    for clients in &args.clients {
        for &work in &args.only {
            let mut row = vec![work.name().to_owned(), clients.to_string()];
            for cells in [&results.gemini, &results.postgres] {
                match find(cells, work, *clients) {
                    Some(cell) => row.extend(cell.shown()),
                    None => row.extend(["-", "-", "-", "-"].map(String::from)),
                }
            }
            table.row(row);
        }
    }
    println!("\n{}", table.render());
    for log in &results.log {
        println!(
            "  bare log, {} committers of {bytes} bytes: {} durable commits/s, {}{}",
            log.committers,
            thousands(log.rate as u64),
            log.commits.show(),
            if log.disturbed() { "  ** disturbed **" } else { "" }
        );
    }
    println!("  one write and fdatasync: before {}; after {}", results.before.show(), results.after.show());
    if log_rate::disturbed(&results.before, &results.after) {
        println!("  ** the machine was disturbed: keep none of these figures **");
    }
    println!("\n{}", bars(results).render());
}

/// The ratios that are promised, within this run.
fn bars(results: &Results) -> Table {
    let mut table = Table::new(&["ratio", "measured", "wanted", ""]);
    let mut add = |name: String, measured: Option<f64>, wanted: f64, most: bool| {
        let Some(measured) = measured.filter(|ratio| ratio.is_finite()) else { return };
        let held = if most { measured <= wanted } else { measured >= wanted };
        let sign = if most { "≤" } else { "≥" };
        let verdict = if held { "held" } else { "MISSED" };
        table.row(vec![name, format!("{measured:.2}"), format!("{sign} {wanted}"), verdict.into()]);
    };
    let gemini = |work, clients| find(&results.gemini, work, clients);
    let postgres = |work, clients| find(&results.postgres, work, clients);
    let rate = |cell: Option<&Cell>| cell.map(Cell::rate);
    let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
    if let (Some(commit), Some(trip)) = (gemini(Work::OwnRows, 1), gemini(Work::Select1, 1)) {
        let sync = Duration::from_micros((results.before.quantile(0.5) + results.after.quantile(0.5)) / 2);
        let floor = sync + trip.p50();
        let name =
            format!("blue p50 {} ms ÷ (fdatasync + SELECT 1) {} ms", millis(commit.p50()), millis(floor));
        add(name, Some(commit.p50().as_secs_f64() / floor.as_secs_f64()), 1.5, true);
    }
    let own = rate(gemini(Work::OwnRows, 16));
    let log = results.log.iter().find(|log| log.committers == 16).map(|log| log.rate);
    let hot = rate(gemini(Work::HotRow, 16));
    add(
        "16 clients, own rows: gemini ÷ postgresql".into(),
        ratio(own, rate(postgres(Work::OwnRows, 16))),
        1.0,
        false,
    );
    add("16 clients, own rows: gemini ÷ bare log".into(), ratio(own, log), 0.7, false);
    add("16 clients: hot row ÷ own rows".into(), ratio(hot, own), 0.8, false);
    add(
        "16 clients, hot row: gemini ÷ postgresql".into(),
        ratio(hot, rate(postgres(Work::HotRow, 16))),
        4.0,
        false,
    );
    let reads = ratio(rate(gemini(Work::PointRead, 16)), rate(postgres(Work::PointRead, 16)));
    add("16 clients, point read: gemini ÷ postgresql".into(), reads, 0.8, false);
    table
}
