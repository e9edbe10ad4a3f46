//! `gemini check DIR`: reads a site's log, rows and indexes and says what it finds. It changes nothing (the engine
//! looks at copies) and needs no sites.toml; best run while the site is down, or the end of the log is a moving target.

use std::path::{Path, PathBuf};

use clap::Args;
use gemini_engine::check;

use super::CliError;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A site's data folder (the one that holds `log` and `store`)
    folder: PathBuf,
    /// Where copies of log and store are made for the time of the check
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// Where the log of a data folder is.
pub(super) fn log_folder(data: &Path) -> Result<PathBuf, CliError> {
    let log = data.join("log");
    if log.is_dir() {
        return Ok(log);
    }
    let message = format!(
        "there is no {}: name a site's data folder, `data` in its table of sites.toml",
        log.display()
    );
    Err(CliError::Usage(message))
}

pub(super) fn run(args: &CheckArgs) -> Result<(), CliError> {
    let (log, store) = (log_folder(&args.folder)?, args.folder.join("store"));
    let report = check::check(&log, &store, &args.scratch)
        .map_err(|e| CliError::Failed(format!("cannot check {}: {e}", args.folder.display())))?;
    print(&report);
    match report.problems.as_slice() {
        [] => {
            println!("all is well");
            Ok(())
        }
        problems => Err(CliError::Unwell(format!(
            "{} is damaged:\n  {}",
            args.folder.display(),
            problems.join("\n  ")
        ))),
    }
}

fn print(report: &check::Report) {
    let log = &report.log;
    println!("log       {} records, {} bytes, in {} segments", log.records, log.bytes, log.segments);
    println!("positions {} to {}", log.first.0, log.end.0);
    if let Some(torn) = &log.torn {
        println!(
            "torn end  {} at offset {}: {}; the next start cuts it, nothing in it was acknowledged",
            torn.file, torn.offset, torn.what
        );
    }
    println!("frontier  {}", report.frontier);
    for table in &report.tables {
        println!(
            "table     {}: {} rows, {} ended, {} index entries, digest {:016x}",
            table.name, table.rows, table.ended, table.entries, table.digest
        );
    }
    if let Some(digest) = &report.digest {
        println!("digest    {:016x}", digest.total);
    }
    if report.rebuilt {
        println!("the tables were also built from the log alone, for comparison");
    }
}
