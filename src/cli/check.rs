//! `gemini check DIR`: reads a site's log and store, every record, row and index entry, and says what it finds. It
//! changes nothing there (it works on copies) and needs no sites.toml; run it while the site is down.

use std::path::PathBuf;

use clap::Args;
use gemini_engine::check::{Report, check};

use super::CliError;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A site's data folder (the one that holds `log` and `store`)
    folder: PathBuf,
    /// Where copies may be put for the time of the check; needs as much room as the data folder [default: the system's
    /// temporary folder]
    #[arg(long)]
    scratch: Option<PathBuf>,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), CliError> {
    let log = args.folder.join("log");
    if !log.is_dir() {
        let message = format!(
            "there is no {}: name a site's data folder, `data` in its table of sites.toml",
            log.display()
        );
        return Err(CliError::Usage(message));
    }
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let report = check(&log, &args.folder.join("store"), &scratch)
        .map_err(|e| CliError::Failed(format!("cannot check {}: {e}", args.folder.display())))?;
    print(&report);
    if report.problems.is_empty() { Ok(()) } else { Err(CliError::Unwell(report.problems.join("\n"))) }
}

fn print(report: &Report) {
    let log = &report.log;
    println!("log       {} records, {} bytes, in {} segments", log.records, log.bytes, log.segments);
    println!("positions {} to {}", log.first.0, log.end.0);
    if let Some(torn) = &log.torn {
        println!(
            "torn end  {} at offset {}: {}; the next start cuts it, nothing in it was acknowledged",
            torn.file, torn.offset, torn.what
        );
    }
    if let Some(digest) = &report.digest {
        for table in &report.tables {
            println!(
                "table     {}: {} rows ({} ended), {} index entries, digest {:016x}",
                table.name, table.rows, table.ended, table.entries, table.digest
            );
        }
        println!("frontier  {}", report.frontier);
        println!("digest    {digest}");
    }
    if report.problems.is_empty() {
        let how = if report.rebuilt { "agree, built from the log alone" } else { "are whole" };
        println!("log, rows and indexes {how}");
    }
}
