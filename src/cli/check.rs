//! `gemini check DIR`: reads a site's whole log, every record, and says what it finds. It changes nothing and needs
//! no sites.toml; best run while the site is down, or the end of the log is a moving target.

use std::path::PathBuf;

use clap::Args;
use gemini_engine::RealDisk;
use gemini_engine::log::inspect;

use super::CliError;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A site's data folder (the one that holds `log` and `store`)
    folder: PathBuf,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), CliError> {
    let folder = args.folder.join("log");
    if !folder.is_dir() {
        let message = format!(
            "there is no {}: name a site's data folder, `data` in its table of sites.toml",
            folder.display()
        );
        return Err(CliError::Usage(message));
    }
    let failed =
        |e: &dyn std::fmt::Display| CliError::Failed(format!("cannot read {}: {e}", folder.display()));
    let disk = RealDisk::open(&folder).map_err(|e| failed(&e))?;
    let report = inspect::verify(&disk).map_err(|e| failed(&e))?;
    println!("log       {} records, {} bytes, in {} segments", report.records, report.bytes, report.segments);
    println!("positions {} to {}", report.first.0, report.end.0);
    if let Some(torn) = &report.torn {
        println!(
            "torn end  {} at offset {}: {}; the next start cuts it, nothing in it was acknowledged",
            torn.file, torn.offset, torn.what
        );
    }
    match report.damage {
        Some(damage) => Err(CliError::Unwell(damage.to_string())),
        None => {
            println!("the log is whole");
            Ok(())
        }
    }
}
