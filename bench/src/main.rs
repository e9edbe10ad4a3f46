//! `gemini-bench`: workloads against any server that speaks the PostgreSQL protocol. See `gemini-bench --help`.
//!
//! Exit codes: 0 done and every check held; 1 it could not be run; 2 the command line is wrong; 3 a check failed.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use gemini_bench::progress::Bar;
use gemini_bench::table::thousands;
use gemini_bench::tpcw::{self, Ids, LoadOptions, Mix, Options, Scale, Stock, Target, check, facts, report};
use gemini_bench::{Error, micro, soak};

#[derive(Debug, Parser)]
#[command(name = "gemini-bench", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Workloads with checks, over the PostgreSQL protocol
#[derive(Debug, Subcommand)]
enum Command {
    /// TPC-W: load a shop, buy in it from all sites, check what is left
    Tpcw(TpcwArgs),
    /// One statement at a time, beside one fdatasync, the bare log, and PostgreSQL in the same folder and run
    Micro(micro::MicroArgs),
    /// Three sites near to each other and far apart: what distance costs blue and red commits
    Distance(micro::DistanceArgs),
    /// TPC-W at three sites of its own while they are killed, stopped, cut off, filled up; then every check
    Soak(soak::SoakArgs),
}

#[derive(Debug, Args)]
struct TpcwArgs {
    /// A server: postgres://user@host:port/database; once for each site. The first one is loaded
    #[arg(long, required = true, value_name = "URL")]
    url: Vec<String>,
    /// Clients at each server
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Measured time
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Time before that which is not measured
    #[arg(long, default_value_t = 2, value_name = "SECONDS")]
    warm_up: u64,
    /// Books in the shop
    #[arg(long, default_value_t = 1000)]
    items: i32,
    /// Which interactions how often
    #[arg(long, value_enum, default_value_t = Mix::Ordering)]
    mix: Mix,
    /// Where new ids come from
    #[arg(long, value_enum, default_value_t = Ids::Minted)]
    ids: Ids,
    /// How a sale takes stock
    #[arg(long, value_enum, default_value_t = Stock::Delta)]
    stock: Stock,
    /// Mean think time of a client
    #[arg(long, default_value_t = 0, value_name = "MS")]
    think: u64,
    /// How often a refused transaction is run again
    #[arg(long, default_value_t = 20)]
    retries: u32,
    /// Of everything that is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The shop is there already, of as many items
    #[arg(long)]
    no_load: bool,
    /// Load only
    #[arg(long, conflicts_with = "no_load")]
    load_only: bool,
    /// Do not tell Gemini how concurrent effects combine: everything is red
    #[arg(long)]
    no_annotations: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("gemini-bench: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let outcome = match cli.command {
        Command::Tpcw(args) => runtime.block_on(tpcw(&args)),
        Command::Micro(args) => runtime.block_on(micro::run(&args)).map(|()| true),
        Command::Soak(args) => runtime.block_on(soak::run(&args)),
        Command::Distance(args) => runtime.block_on(micro::distance(&args)).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("gemini-bench: {error}");
            ExitCode::from(1)
        }
    }
}

/// Whether every check held.
async fn tpcw(args: &TpcwArgs) -> Result<bool, Error> {
    let mut targets = args.url.iter().map(|url| Target::parse(url)).collect::<Result<Vec<_>, _>>()?;
    for target in &mut targets {
        if let Some(name) = facts::site_name(target).await? {
            target.name = name;
        }
    }
    let scale = Scale { seed: args.seed, ..Scale::of_items(args.items) };
    if !args.no_load {
        let load = LoadOptions { scale, annotate: !args.no_annotations, chunk: 500 };
        let mut bar = Bar::new("loading");
        tpcw::load(&targets, &load, &mut |share, note| bar.set(share, note)).await?;
        bar.finish(&format!("{} items, {} customers", thousands(scale.items as u64), scale.customers));
    }
    if args.load_only {
        return Ok(true);
    }
    let options = Options {
        clients: args.clients,
        time: Duration::from_secs(args.seconds),
        warm_up: Duration::from_secs(args.warm_up),
        mix: args.mix,
        ids: args.ids,
        stock: args.stock,
        think: Duration::from_millis(args.think),
        seed: args.seed,
        run: tpcw::run::mark(),
        scale,
        retries: args.retries,
    };
    let mut bar = Bar::new(options.mix.name());
    let report = tpcw::measure_and_check(&targets, &options, &mut |passed, n| {
        let share = passed.as_secs_f64() / options.time.as_secs_f64().max(0.001);
        bar.set(share, &format!("{} transactions", thousands(n)));
    })
    .await?;
    bar.finish("");
    println!("\n{}\n{}", report::outcome(&report.outcome), report::checks(&report.checks));
    Ok(report.checks.iter().all(check::Check::passed))
}
