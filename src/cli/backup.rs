//! `gemini backup` and `gemini restore`: what they print. The work is in [`crate::backup`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gemini_engine::image::{Header, Summary};

use super::{CliError, Where};
use crate::backup::{self, BackupError};
use crate::config::Cluster;
use crate::site::Until;

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Write what a running site has applied to a new file; commits go on meanwhile
    Create(CreateArgs),
    /// Read a backup wholly and check it
    Verify(VerifyArgs),
    /// Make the backup of a later moment, from one and the archived log of a site
    Roll(RollArgs),
    /// Show the backups of a folder
    List(ListArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    place: Where,
    /// The folder of backups
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// A backup; of a folder, the newest in it
    path: PathBuf,
}

#[derive(Debug, Args)]
struct RollArgs {
    /// A backup; of a folder, the newest in it
    #[arg(long, value_name = "PATH")]
    from: PathBuf,
    /// A site's archive; also the log folder of a stopped site. Several are read one after the other
    #[arg(long, value_name = "FOLDER", required = true)]
    archive: Vec<PathBuf>,
    /// Up to this red index, with all that the archive's site had applied when it applied it
    #[arg(long, value_name = "R", required_unless_present = "until", conflicts_with = "until")]
    until_red: Option<u64>,
    /// Up to this time (2026-11-28T22:45:00Z), by the stamps of transactions
    #[arg(long, value_name = "TIME", value_parser = backup::parse_time)]
    until: Option<u64>,
    /// The folder of backups
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The folder of backups
    folder: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// A backup; of a folder, the newest in it
    #[arg(long, value_name = "PATH")]
    from: PathBuf,
    /// The fresh cluster's sites.toml (`gemini init` makes one)
    #[arg(long, default_value = "sites.toml", value_name = "FILE")]
    config: PathBuf,
    /// Only this site; else every site of the file
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
}

impl From<BackupError> for CliError {
    fn from(e: BackupError) -> Self {
        match e {
            BackupError::Config(_)
            | BackupError::HoldsData(_)
            | BackupError::NoBackup(_)
            | BackupError::NoArchive(_) => CliError::Usage(e.to_string()),
            e if e.is_damage() => CliError::Unwell(e.to_string()),
            e => CliError::Failed(e.to_string()),
        }
    }
}

pub(super) fn run(args: &BackupArgs) -> Result<(), CliError> {
    match &args.command {
        BackupCommand::Create(args) => {
            let (_, site) = args.place.load()?;
            let made = backup::create(&site, &args.to)?;
            println!("{}", made.path.display());
            print(&made.header, &made.summary);
        }
        BackupCommand::Verify(args) => {
            let path = backup::find(&args.path)?;
            let (header, summary) = backup::verify(&path)?;
            println!("{}", path.display());
            print(&header, &summary);
            println!("all is well");
        }
        BackupCommand::Roll(args) => {
            let until = match (args.until_red, args.until) {
                (Some(r), _) => Until::Red(r),
                (None, Some(time)) => Until::Time(time),
                (None, None) => return Err(CliError::Usage("--until-red or --until is needed".into())),
            };
            let made = backup::roll(&backup::find(&args.from)?, &args.archive, until, &args.to)?;
            println!("{}", made.path.display());
            print(&made.header, &made.summary);
        }
        BackupCommand::List(args) => {
            for path in backup::list(&args.folder)? {
                let header = backup::header(&path)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                println!("{name}  {}", header.frontier);
            }
        }
    }
    Ok(())
}

fn print(header: &Header, summary: &Summary) {
    println!("cluster   {:032x}, site {}", header.origin.cluster, header.origin.site);
    println!("time      {}", backup::time(header.origin.taken));
    println!("frontier  {}", header.frontier);
    println!("red index {}", header.frontier.red);
    println!("tables    {}", header.schema.tables.len());
    println!("rows      {}", summary.rows);
    println!("bytes     {}", summary.bytes);
    println!("digest    {}", summary.digest);
    println!("checksum  {:032x}", summary.checksum);
}

pub(super) fn restore(args: &RestoreArgs) -> Result<(), CliError> {
    let cluster = Cluster::load(&args.config)?;
    let image = backup::find(&args.from)?;
    let header = backup::header(&image)?;
    println!("{} of {}, frontier {}", image.display(), backup::time(header.origin.taken), header.frontier);
    let sites = match &args.site {
        Some(name) => vec![cluster.site(Some(name))?],
        None => cluster.sites.iter().collect(),
    };
    for site in sites {
        let restored = backup::restore(&image, &cluster, site)?;
        println!("{:<16}{} rows in {}", site.name, restored.summary.rows, restored.data.display());
    }
    println!("start the sites; a site that is not restored from this backup is refused by the others");
    Ok(())
}
