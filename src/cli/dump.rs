//! `gemini dump DIR`: a stopped site's log, record by record, or its tables, row by row, in readable form. Like `check` it
//! changes nothing and needs no sites.toml; unlike it, it shows what it can of a damaged log, and says where it cannot.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gemini_engine::log::{Kind, inspect};
use gemini_engine::{Lsn, RealDisk, dump};
use gemini_shadow_ops::TableId;

use super::CliError;

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    /// A site's data folder (the one that holds `log` and `store`)
    folder: PathBuf,
    /// Show the tables instead of the log
    #[arg(long)]
    rows: bool,
    /// Only this table: its number (as the log has it) or, with --rows, its name
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Only records at or after this log position
    #[arg(long, value_name = "POSITION", default_value_t = 0, conflicts_with = "rows")]
    from: u64,
    /// Only records before this log position
    #[arg(long, value_name = "POSITION", default_value_t = u64::MAX, hide_default_value = true, conflicts_with = "rows")]
    to: u64,
    /// Only records of these kinds
    #[arg(long, value_delimiter = ',', value_name = "KIND,…", conflicts_with = "rows")]
    kind: Vec<Shown>,
    /// Show each effect of a transaction on a line below it
    #[arg(long, conflicts_with = "rows")]
    effects: bool,
    /// Where copies of log and store are made for the time of --rows
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// A kind of record, as the command line names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shown {
    Start,
    Blue,
    Admit,
    Red,
    Sequencer,
    Minted,
    Note,
    Checkpoint,
}

impl From<Shown> for Kind {
    fn from(shown: Shown) -> Kind {
        match shown {
            Shown::Start => Kind::Start,
            Shown::Blue => Kind::Blue,
            Shown::Admit => Kind::Admit,
            Shown::Red => Kind::Red,
            Shown::Sequencer => Kind::Sequencer,
            Shown::Minted => Kind::Minted,
            Shown::Note => Kind::Note,
            Shown::Checkpoint => Kind::Checkpoint,
        }
    }
}

pub(super) fn run(args: &DumpArgs) -> Result<(), CliError> {
    let log = super::check::log_folder(&args.folder)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut failed = None;
    let mut line = |text: &str| match writeln!(out, "{text}") {
        Ok(()) => true,
        Err(e) => {
            failed = Some(e);
            false
        }
    };
    let bad = if args.rows {
        dump::tables(&log, &args.folder.join("store"), &args.scratch, args.table.as_deref(), &mut line)
            .map(|()| 0)
            .map_err(|e| CliError::Failed(format!("the tables cannot be opened: {e}")))?
    } else {
        records(args, &log, &mut line)?
    };
    let flushed = out.flush();
    match failed.map_or(flushed, Err) {
        // Whoever read has seen enough.
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(CliError::Failed(format!("cannot write: {e}"))),
        _ if bad > 0 => Err(CliError::Unwell(format!("{bad} lines begin with `!`: the log is not whole"))),
        _ => Ok(()),
    }
}

fn records(args: &DumpArgs, log: &Path, line: &mut inspect::Lines<'_>) -> Result<u64, CliError> {
    let table = match args.table.as_deref().map(str::parse).transpose() {
        Ok(number) => number.map(TableId),
        Err(_) => {
            let message = "the log knows tables by number: `gemini dump --rows` shows each name with its own";
            return Err(CliError::Usage(message.into()));
        }
    };
    let select = inspect::Select {
        from: Lsn(args.from),
        to: Lsn(args.to),
        kinds: args.kind.iter().map(|kind| Kind::from(*kind)).collect(),
        table,
        effects: args.effects,
    };
    let failed = |e: &dyn std::fmt::Display| CliError::Failed(format!("cannot read the log: {e}"));
    let disk = RealDisk::open(log).map_err(|e| failed(&e))?;
    inspect::dump(&disk, &select, line).map_err(|e| failed(&e))
}
