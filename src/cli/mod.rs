//! The command line. Each command is one function in a file of its own; this file says what there is.
//!
//! Exit codes: 0 done; 1 it failed; 2 the command line or sites.toml is wrong; 3 a check found damage, or a site
//! is not well.

mod backup;
mod check;
mod dump;
mod export_void;
mod relay;
mod site;
mod start;
mod status;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::advise::{self, AdviseArgs, AdviseError};
use crate::config::{Cluster, ConfigError, Site};
use crate::demo::{self, DemoArgs, DemoError};
use crate::init::{self, EXAMPLE_SITES, InitError, Plan};

/// A geo-replicated SQL database: blue transactions commit at home, red ones in one order everywhere.
#[derive(Debug, Parser)]
#[command(name = "gemini", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a cluster: authority, a certificate per site, a commented sites.toml
    Init(InitArgs),
    /// Run a site until SIGTERM or Ctrl-C; GEMINI_LOG=debug tells more
    Start(Where),
    /// Show a site's frontier, peers, leader and counts
    Status(status::StatusArgs),
    /// Have all running sites compare what they hold, row by row
    Verify(verify::VerifyArgs),
    /// Make, check and list backups
    Backup(backup::BackupArgs),
    /// Fill the sites of a fresh cluster from a backup
    Restore(backup::RestoreArgs),
    /// Add, remove and list sites
    Site(site::SiteArgs),
    /// Write the transactions of a removed site that count nowhere to a file; changes nothing
    ExportVoid(export_void::ExportVoidArgs),
    /// Check a site's data folder; changes nothing
    Check(check::CheckArgs),
    /// Show a site's log, or its tables, in readable form; changes nothing
    Dump(dump::DumpArgs),
    /// Say which annotations would make a workload's transactions blue, and what each of them means
    Advise(AdviseArgs),
    /// Talk SQL to a site (for history and completion use psql)
    Shell(ShellArgs),
    /// Show it: three sites on emulated wide-area links, TPC-W on all of them, and checks
    Demo(DemoArgs),
    /// Run the relays that stand between the sites of a sites.toml (`via`), with the delays of its [links]
    Relay(relay::RelayArgs),
}

/// Which cluster, which site.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The cluster's sites.toml
    #[arg(long, default_value = "sites.toml", value_name = "FILE")]
    config: PathBuf,
    /// A site of it; may be left out if there is only one
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
}

impl Where {
    pub(crate) fn load(&self) -> Result<(Cluster, Site), ConfigError> {
        let cluster = Cluster::load(&self.config)?;
        let site = cluster.site(self.site.as_deref())?.clone();
        Ok((cluster, site))
    }
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Where to create it
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The sites' names, in the order of their ids
    #[arg(long, value_delimiter = ',', default_values_t = EXAMPLE_SITES.map(str::to_owned), value_name = "NAME,…")]
    sites: Vec<String>,
    /// What people call the cluster
    #[arg(long, default_value = "gemini")]
    name: String,
    /// Replace sites.toml and certs (never data)
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct ShellArgs {
    #[command(flatten)]
    place: Where,
    /// Run this and leave
    #[arg(short, long, value_name = "SQL")]
    command: Option<String>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The operator's: the command line or sites.toml.
    #[error("{0}")]
    Usage(String),
    /// It was tried.
    #[error("{0}")]
    Failed(String),
    /// It was looked at and is not well.
    #[error("{0}")]
    Unwell(String),
}

impl From<ConfigError> for CliError {
    fn from(e: ConfigError) -> Self {
        CliError::Usage(e.to_string())
    }
}

impl From<InitError> for CliError {
    fn from(e: InitError) -> Self {
        match e {
            InitError::Plan(_) | InitError::Exists(_) | InitError::OldData(_) => {
                CliError::Usage(e.to_string())
            }
            e => CliError::Failed(e.to_string()),
        }
    }
}

impl CliError {
    fn code(&self) -> u8 {
        match self {
            CliError::Failed(_) => 1,
            CliError::Usage(_) => 2,
            CliError::Unwell(_) => 3,
        }
    }
}

/// Parses the process's arguments and runs the command.
pub fn main() -> ExitCode {
    leave_with_the_reader();
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gemini: {e}");
            ExitCode::from(e.code())
        }
    }
}

/// A reader that has seen enough (`gemini dump DIR | head`) is no mistake of anybody's: the program ends without a word, with the
/// exit code of tools that SIGPIPE ends. The standard library makes a panic of it.
fn leave_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let said = info.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") {
            std::process::exit(141);
        }
        usual(info);
    }));
}

fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Init(args) => create(&args),
        Command::Start(place) => start::run(&place),
        Command::Status(args) => runtime()?.block_on(status::run(&args)),
        Command::Verify(args) => runtime()?.block_on(verify::run(&args)),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Site(args) => runtime()?.block_on(site::run(&args)),
        Command::ExportVoid(args) => export_void::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Advise(args) => advise::run(&args).map_err(|e| match e {
            AdviseError::Unwritable { .. } => CliError::Failed(e.to_string()),
            e => CliError::Usage(e.to_string()),
        }),
        Command::Shell(args) => {
            let (_, site) = args.place.load()?;
            let shell = crate::shell::run(&site.name, site.sql, args.command.as_deref());
            let runtime = runtime()?;
            let outcome = runtime.block_on(shell);
            // The thread that reads the terminal cannot be interrupted; it ends with the process.
            runtime.shutdown_background();
            outcome.map_err(|e| CliError::Failed(e.to_string()))
        }
        Command::Demo(args) => show(&args),
        Command::Relay(args) => relay::run(&args),
    }
}

fn show(args: &DemoArgs) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    runtime.block_on(demo::run(args)).map_err(|e| match e {
        DemoError::Unsound(..) => CliError::Unwell(e.to_string()),
        DemoError::Init(e) => e.into(),
        e => CliError::Failed(e.to_string()),
    })
}

fn create(args: &InitArgs) -> Result<(), CliError> {
    let file = init::create(&args.folder, &Plan::local(&args.name, &args.sites), args.force)?;
    println!("created {} and the certificates beside it", file.display());
    for name in &args.sites {
        println!("  gemini start --site {name} --config {}", file.display());
    }
    Ok(())
}

/// A runtime for commands that only talk.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("cannot start: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
