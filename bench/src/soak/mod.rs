//! `gemini-bench soak`: three sites as real processes, TPC-W at each of them, and for as long as is asked one fault after
//! the other: kill -9, SIGSTOP, drains, cut links, sites cut off, jumping clocks, and (as root, which can mount a small disk) a disk
//! that is full.
//!
//! ```text
//!   load ─► clients at every site ────────────────────────────────► heal ─► equal frontiers ─► checks
//!             └─ faults as planned from the seed (plan.rs): ▁█▁▁██▁█▁▁▁█▁   on processes and links (sites.rs)
//! ```
//!
//! The checks at the end are those of TPC-W (nothing acknowledged is lost, ids are unique, stock adds up, equal digests at
//! equal frontiers), `gemini verify` over the running sites, a drain of each, `gemini check` of each data folder, and no panic in any
//! log. A site that ends by itself ends the run at once.
//!
//! The faults repeat from the seed; what the sites and the operating system make of them does not.

mod plan;
mod sites;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::watch;

use self::plan::{KINDS, Planned};
use self::sites::Sites;
use crate::Error;
use crate::progress::Bar;
use crate::table::{Table, thousands};
use crate::tpcw::{self, Check, Ids, LoadOptions, Mix, Options, Scale, Stock, check, facts, load, report};

/// How long, and from which seed.
#[derive(Clone, Debug, Args)]
pub struct SoakArgs {
    /// For so long: a number of s, m or h
    #[arg(long = "for", default_value = "10m", value_name = "TIME", value_parser = time)]
    time: Duration,
    /// Of the faults and of the load
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients at each site
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Books in the shop
    #[arg(long, default_value_t = 1000)]
    items: i32,
    /// The program to start the sites with; else the one beside this program
    #[arg(long, value_name = "PATH")]
    gemini: Option<PathBuf>,
    /// Where everything is written, and kept if a check fails; else a temporary folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

const SITES: [&str; 3] = ["us-east", "us-west", "ireland"];
/// Until equal frontiers, once everything is healed.
const PATIENCE: Duration = Duration::from_secs(120);
/// The load's transactions a client makes per second at most: the checks at the end read all of them.
const THINK: Duration = Duration::from_millis(20);

/// What clients may be told while sites come and go, beside what a shop expects: no connection, a site that starts, drains or stops, a
/// full disk, no memory for the moment, no answer in time.
const EXPECTED: [&str; 10] =
    ["connection", "57P01", "57P02", "08006", "08007", "53100", "53200", "57014", "58030", "25006"];

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write a whole number and s, m or h, as in 10m");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds)).map(Duration::from_secs).ok_or_else(wrong)
}

/// A folder of one's own, removed when everything held.
fn folder(args: &SoakArgs) -> Result<PathBuf, Error> {
    let base = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = base.join(format!("gemini-soak-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|e| Error::Failed(format!("cannot create {}: {e}", folder.display())))?;
    Ok(folder)
}

/// Whether every check held.
pub async fn run(args: &SoakArgs) -> Result<bool, Error> {
    let folder = folder(args)?;
    let held = soak(args, &folder.join("cluster")).await;
    match &held {
        // What cannot be removed is only in the way of nobody.
        Ok(true) => drop(std::fs::remove_dir_all(&folder)),
        _ => eprintln!("logs and data are kept in {}", folder.display()),
    }
    held
}

async fn soak(args: &SoakArgs, home: &std::path::Path) -> Result<bool, Error> {
    let mut sites = Sites::start(home, args.gemini.as_deref(), &SITES).await?;
    if !sites.has_small_disk() {
        eprintln!("no disk will be full: mounting a small one takes root");
    }
    let targets = sites.targets.clone();
    ordered(&targets).await?;
    let scale = Scale { seed: args.seed, ..Scale::of_items(args.items) };
    let mut bar = Bar::new("loading");
    let population = LoadOptions { scale, annotate: true, chunk: 500 };
    load(&targets, &population, &mut |share, note| bar.set(share, note)).await?;
    bar.finish(&format!("{} items", thousands(scale.items as u64)));
    let first = targets.first().ok_or_else(|| Error::Failed("there are no sites".into()))?;
    let before = facts::Facts::read(first).await?;

    let options = Options {
        clients: args.clients,
        time: args.time,
        warm_up: Duration::ZERO,
        mix: Mix::Ordering,
        ids: Ids::Minted,
        stock: Stock::Delta,
        think: THINK,
        seed: args.seed,
        run: tpcw::run::mark(),
        scale,
        retries: 20,
    };
    let planned = plan::plan(args.seed, SITES.len(), args.time, sites.has_small_disk());
    let (note, told) = watch::channel(String::new());
    let mut bar = Bar::new("soaking");
    let mut progress = |passed: Duration, n: u64| {
        let share = passed.as_secs_f64() / args.time.as_secs_f64().max(0.001);
        bar.set(share, &format!("{} transactions; {}", thousands(n), told.borrow().as_str()));
    };
    let work = tpcw::run(&targets, &options, &mut progress);
    // A site that falls ends the run at once; clients are cut off with it.
    let (outcome, counts) = tokio::try_join!(work, torment(&mut sites, &planned, args.time, &note))?;
    bar.finish("everything is healed");

    let mut bar = Bar::new("checking");
    let step = |bar: &mut Bar, n: u32, what: &str| bar.set(f64::from(n) / 5.0, what);
    step(&mut bar, 1, "waiting for equal frontiers");
    for site in 0..SITES.len() {
        sites.answers(site).await?;
    }
    load::settled(&targets, PATIENCE, &mut |_| {}).await?;
    step(&mut bar, 2, "reading every site");
    let mut found = Vec::new();
    for target in &targets {
        let (facts, digest) = (facts::Facts::read(target).await?, facts::digest(target).await?);
        found.push(check::Site { name: target.name.clone(), facts, digest: Some(digest) });
    }
    let mut checks = tpcw::judge(&before, &found, &outcome.ledger);
    checks.push(check::errors_but(&outcome.sites, &EXPECTED));
    step(&mut bar, 3, "gemini verify");
    checks.push(verified(&sites)?);
    step(&mut bar, 4, "draining and checking the data folders");
    let wrong = sites.check_folders().await?;
    checks.push(Check::of("gemini check of every data folder", "log, store and indexes agree".into(), wrong));
    checks.push(Check::of("no panic and no divergence in any log", "read to the end".into(), sites.panics()));
    bar.finish("");
    println!("\n{}\n{}\n{}", report::outcome(&outcome), survived(&counts), report::checks(&checks));
    Ok(checks.iter().all(Check::passed))
}

/// Until something red is ordered from every site.
async fn ordered(targets: &[tpcw::Target]) -> Result<(), Error> {
    let end = Instant::now() + PATIENCE;
    for (site, target) in targets.iter().enumerate() {
        let client = target.connect().await?;
        let red = format!("CREATE TABLE IF NOT EXISTS soak_{site} (id INT PRIMARY KEY)");
        while let Err(error) = client.batch_execute(&red).await {
            if Instant::now() > end {
                return Err(Error::during("waiting for the sites to meet")(error));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

/// Carries the plan out, and heals what is left of it; how often each kind of fault was done.
async fn torment(
    sites: &mut Sites,
    planned: &[Planned],
    time: Duration,
    note: &watch::Sender<String>,
) -> Result<Vec<u64>, Error> {
    let start = Instant::now();
    let mut steps: Vec<(Duration, bool, plan::Fault)> =
        planned.iter().flat_map(|p| [(p.begins, true, p.fault), (p.ends, false, p.fault)]).collect();
    steps.sort_by_key(|(at, ..)| *at);
    let mut counts = vec![0; KINDS.len()];
    for (at, begins, fault) in steps {
        while start.elapsed() < at {
            tokio::time::sleep((at.saturating_sub(start.elapsed())).min(Duration::from_millis(100))).await;
            if let Some(words) = sites.fallen() {
                return Err(Error::Failed(words));
            }
        }
        if begins {
            sites.begin(fault)?;
            counts[fault.kind()] += 1;
            note.send_replace(fault.tell(&SITES));
        } else {
            sites.end(fault).await?;
            note.send_replace("all is well".into());
        }
    }
    while start.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(words) = sites.fallen() {
            return Err(Error::Failed(words));
        }
    }
    Ok(counts)
}

fn verified(sites: &Sites) -> Result<Check, Error> {
    let output = sites.command(&["verify"])?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    let wrong = if output.status.success() { Vec::new() } else { vec![said.clone()] };
    Ok(Check::of("gemini verify", said.lines().last().unwrap_or_default().to_owned(), wrong))
}

fn survived(counts: &[u64]) -> String {
    let mut table = Table::new(&["survived", "times"]);
    for (name, count) in KINDS.iter().zip(counts) {
        table.row(vec![(*name).to_owned(), count.to_string()]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_a_unit() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["", "10", "m", "1d", "18446744073709551615h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
