//! `gemini export-void DIR`: the transactions of a removed site that count nowhere, in readable form. Like `dump` it reads a
//! stopped site's log and changes nothing.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use gemini_engine::RealDisk;
use gemini_engine::log::{Record, inspect};
use gemini_shadow_ops::Dot;

use super::CliError;
use crate::site::removal_in;

#[derive(Debug, Args)]
pub(super) struct ExportVoidArgs {
    /// The removed site's data folder (the one that holds `log` and `store`)
    folder: PathBuf,
    /// Write here, to a new file; else to standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &ExportVoidArgs) -> Result<(), CliError> {
    let log = super::check::log_folder(&args.folder)?;
    let failed = |e: &dyn std::fmt::Display| CliError::Failed(e.to_string());
    let disk = RealDisk::open(&log).map_err(|e| failed(&e))?;
    let mut removal = None;
    inspect::each(&disk, &mut |_, record| removal = removal_in(record).or(removal))
        .map_err(|e| failed(&e))?;
    let Some(removed) = removal else {
        let message = "this site has not been told that it was removed: start it once while other sites run";
        return Err(CliError::Usage(message.into()));
    };
    let Some(count) = removed.count else {
        let message = "which of this site's transactions count was not settled when it last heard of the others: start it once more";
        return Err(CliError::Usage(message.into()));
    };
    let mut out: Box<dyn Write> = match &args.to {
        Some(path) => Box::new(BufWriter::new(File::create_new(path).map_err(|e| failed(&e))?)),
        None => Box::new(std::io::stdout().lock()),
    };
    let (mut written, mut problem) = (0u64, None);
    inspect::each(&disk, &mut |lsn, record| {
        let Record::Blue { dot: Dot { site, n }, .. } = record else { return };
        if *site == removed.site && *n > count && problem.is_none() {
            problem = writeln!(out, "{}", inspect::describe(lsn, record, true)).err();
            written += 1;
        }
    })
    .map_err(|e| failed(&e))?;
    let flushed = out.flush();
    problem.map_or(flushed, Err).map_err(|e| failed(&e))?;
    eprintln!(
        "{written} void transactions after b{}.{count}; the site was removed at r{}",
        removed.site, removed.fenced
    );
    Ok(())
}
