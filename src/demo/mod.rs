//! `gemini demo`: a cluster of its own, a shop on it, customers at every site, and the bill checked afterwards.
//!
//! ```text
//!   init (certificates, sites.toml) ─► relays (user-space UDP, round trips of [links])
//!     ─► one process per site: `current_exe() start --site NAME` ─► healthy, linked, led
//!       ─► TPC-W: schema, annotations, rows ─► clients at every site ─► tables ─► checks
//!         ─► processes stopped, folder removed (unless --keep)
//! ```
//!
//! It drives the sites as anybody would: real processes, QUIC between them, the PostgreSQL protocol to them. The workload
//! and its checks are `gemini_bench`'s, which knows nothing of Gemini's inside.
//!
//! Invariants: the sites never outlive this process's own ending, whether it returns, fails, panics or is interrupted;
//! only folders made here are removed.

mod sites;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use gemini_bench::progress::Bar;
use gemini_bench::table::thousands;
use gemini_bench::tpcw::{self, Check, Ids, LoadOptions, Mix, Options, Report, Scale, Stock, Target, report};

use crate::driver::stop_signal;
use crate::init::InitError;
use crate::relay::RelayError;
use sites::Sites;

/// What to show.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Clients at each site
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// How long they shop
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Books in the shop
    #[arg(long, default_value_t = 1000)]
    items: i32,
    /// TPC-W's mix of interactions
    #[arg(long, value_enum, default_value_t = Mix::Ordering)]
    mix: Mix,
    /// How many sites: us-east, us-west, ireland, brazil, singapore
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    sites: u8,
    /// The same round trip between all sites, in ms, instead of the paper's
    #[arg(long, value_name = "MS")]
    round_trip: Option<u64>,
    /// Where new ids come from
    #[arg(long, value_enum, default_value_t = Ids::Minted)]
    ids: Ids,
    /// How a sale takes stock
    #[arg(long, value_enum, default_value_t = Stock::Delta)]
    stock: Stock,
    /// Leave the sites running until Ctrl-C, and their folder afterwards
    #[arg(long)]
    keep: bool,
    /// Where to create the cluster, an empty or new folder; else a temporary one
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Why a demonstration did not come to its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DemoError {
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error(transparent)]
    Bench(#[from] gemini_bench::Error),
    #[error("cannot {what}: {cause}")]
    Io { what: String, cause: std::io::Error },
    #[error("{0}")]
    Site(String),
    #[error("stopped by {0}")]
    Interrupted(&'static str),
    #[error("{0} of {1} checks failed")]
    Unsound(usize, usize),
}

/// Shows it; an error if a check failed.
pub async fn run(args: &DemoArgs) -> Result<(), DemoError> {
    let begun = Instant::now();
    let mut sites = Sites::create(args)?;
    let outcome = tokio::select! {
        outcome = show(args, &mut sites, begun) => outcome,
        signal = stop_signal() => Err(DemoError::Interrupted(signal)),
    };
    let outcome = outcome.map_err(|error| sites.explain(error));
    if args.keep && !matches!(outcome, Err(DemoError::Interrupted(_))) {
        if let Err(error) = &outcome {
            eprintln!("gemini: {error}");
        }
        println!("\nThe sites go on until Ctrl-C.\n{}", sites.connect_lines());
        stop_signal().await;
    }
    sites.stop().await;
    outcome
}

async fn show(args: &DemoArgs, sites: &mut Sites, begun: Instant) -> Result<(), DemoError> {
    println!("A cluster in {}\n{}", sites.folder().display(), sites.distances());
    sites.start().await?;
    println!("While it runs, look in:\n{}", sites.connect_lines());

    let targets = sites.targets();
    let scale = Scale::of_items(args.items);
    let mut bar = Bar::new("loading");
    let load = LoadOptions { scale, annotate: true, chunk: 500 };
    tpcw::load(&targets, &load, &mut |share, note| bar.set(share, note)).await?;
    let size =
        format!("{} items, {} customers", thousands(scale.items as u64), thousands(scale.customers as u64));
    bar.finish(&format!("{size}, at every site after {:.0} s", begun.elapsed().as_secs_f64()));

    let report = shop(args, &targets, scale).await?;
    println!("\n{}", report::outcome(&report.outcome));
    println!("After the run, at every site:\n{}", report::checks(&report.checks));
    println!("{}", sites.resident());
    if !args.keep {
        println!("Connect (with --keep the sites stay):\n{}", sites.connect_lines());
    }
    let passed = report.checks.iter().filter(|check| Check::passed(check)).count();
    match report.checks.len() - passed {
        0 => Ok(()),
        failed => Err(DemoError::Unsound(failed, report.checks.len())),
    }
}

async fn shop(args: &DemoArgs, targets: &[Target], scale: Scale) -> Result<Report, DemoError> {
    let options = Options {
        clients: args.clients,
        time: Duration::from_secs(args.seconds.max(1)),
        warm_up: Duration::from_secs(1),
        mix: args.mix,
        ids: args.ids,
        stock: args.stock,
        think: Duration::ZERO,
        seed: 1,
        run: tpcw::run::mark(),
        scale,
        retries: 20,
    };
    println!(
        "TPC-W, {} mix: {} clients at each of {} sites, ids {:?}, stock {:?}",
        options.mix.name(),
        options.clients,
        targets.len(),
        options.ids,
        options.stock
    );
    let mut bar = Bar::new(options.mix.name());
    let report = tpcw::measure_and_check(targets, &options, &mut |passed, n| {
        let rate = n as f64 / passed.as_secs_f64().max(0.001);
        let note = format!("{} transactions, {} per s", thousands(n), thousands(rate as u64));
        bar.set(passed.as_secs_f64() / options.time.as_secs_f64(), &note);
    })
    .await?;
    let n: u64 = report.outcome.sites.iter().map(tpcw::run::SiteResult::committed).sum();
    bar.finish(&format!("{} transactions", thousands(n)));
    Ok(report)
}
