//! Backups: images in a folder, and clusters made of them.
//!
//! ```text
//!   gemini backup create   site ──GET /image──► checked and written on the way ──► FOLDER/2026-11-28T22-45-00Z-us-east-r812.image
//!   gemini backup verify   reads everything again
//!   gemini backup roll     one image + archived log segments ──► the image of a later moment
//!   gemini restore         one image ──► the data folder of each site of a fresh cluster
//! ```
//!
//! A backup is what one site had applied at one moment: a causal cut, so every transaction in it has all that it depends on. It is
//! written under a name that begins with a dot and ends in `.partial`, synced, and then named: what has its name is whole.
//!
//! A restore fills `DATA.restoring` and renames it to the site's data folder when it is whole; a site is never started on half of
//! one. It never touches a folder that holds data.

mod create;
mod restore;
mod roll;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gemini_engine::image::{self, Header, ImageError, Progress, Summary};
use gemini_sql::expr::datetime::{civil_from_days, days_from_civil, days_in_month};

pub use create::{Created, create};
pub use restore::{Restored, restore};
pub use roll::roll;

use crate::config::ConfigError;
use crate::site::RestoreError;

/// What a backup's file name ends in.
const SUFFIX: &str = ".image";

/// Read and written at once.
const BUFFER: usize = 1 << 20;

/// From 1970-01-01 to 2000-01-01, where dates are counted from.
const EPOCH_DAYS: i64 = 10_957;

/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Why a backup could not be made, read or restored.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BackupError {
    #[error("cannot {doing} {}: {cause}", path.display())]
    File { doing: &'static str, path: PathBuf, cause: io::Error },
    #[error("{} gives no backup: {cause}", site)]
    Site { site: String, cause: String },
    #[error("{}: {cause}", path.display())]
    Image { path: PathBuf, cause: ImageError },
    #[error("cannot restore {site} from {}: {cause}", path.display())]
    Restore { site: String, path: PathBuf, cause: Box<RestoreError> },
    #[error("{} holds data; a restore never touches it: move it away, or name another data folder in sites.toml", .0.display())]
    HoldsData(PathBuf),
    #[error("cannot roll {} forward: {cause}", path.display())]
    Roll { path: PathBuf, cause: Box<RestoreError> },
    #[error("there is no archive {}", .0.display())]
    NoArchive(PathBuf),
    #[error("there is no backup in {}", .0.display())]
    NoBackup(PathBuf),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the operating system gives no random bytes")]
    Random,
}

impl BackupError {
    /// Whether something was read and found to be damaged.
    pub fn is_damage(&self) -> bool {
        let cause = match self {
            BackupError::Image { cause, .. } => cause,
            BackupError::Restore { cause, .. } | BackupError::Roll { cause, .. } => match &**cause {
                RestoreError::Image(cause) => cause,
                _ => return false,
            },
            _ => return false,
        };
        matches!(cause, ImageError::Damaged { .. } | ImageError::Truncated { .. } | ImageError::NotAnImage)
    }
}

fn file_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> BackupError + 'a {
    move |cause| BackupError::File { doing, path: path.to_owned(), cause }
}

/// The backup that a path means: a file is one; of a folder, the newest in it.
pub fn find(path: &Path) -> Result<PathBuf, BackupError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    list(path)?.pop().ok_or_else(|| BackupError::NoBackup(path.to_owned()))
}

/// The backups of a folder, oldest first: their names begin with their time.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(file_error("list", folder))? {
        let path = entry.map_err(file_error("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(SUFFIX) && !name.starts_with('.') {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What a backup says of itself at its beginning; the rest is not read.
pub fn header(path: &Path) -> Result<Header, BackupError> {
    let reader = image::ImageReader::open(open(path)?);
    let reader = reader.map_err(|cause| BackupError::Image { path: path.to_owned(), cause })?;
    Ok(reader.header().clone())
}

/// Reads all of a backup and checks it: every byte, every row, the digest of every table.
pub fn verify(path: &Path) -> Result<(Header, Summary), BackupError> {
    let mut told = Told::new("verified");
    image::verify(open(path)?, &mut |progress| told.hear(progress))
        .map_err(|cause| BackupError::Image { path: path.to_owned(), cause })
}

fn open(path: &Path) -> Result<BufReader<File>, BackupError> {
    let file = File::open(path).map_err(file_error("open", path))?;
    Ok(BufReader::with_capacity(BUFFER, file))
}

/// Tells people on stderr how far a long job is, once a second.
struct Told {
    what: &'static str,
    last: Instant,
}

impl Told {
    fn new(what: &'static str) -> Told {
        Told { what, last: Instant::now() }
    }

    /// In a log that is being read.
    fn position(&mut self, lsn: u64) {
        if self.last.elapsed() >= TELL_EVERY {
            self.last = Instant::now();
            eprintln!("log position {lsn}");
        }
    }

    fn hear(&mut self, progress: Progress) -> std::ops::ControlFlow<()> {
        if self.last.elapsed() >= TELL_EVERY {
            self.last = Instant::now();
            eprintln!("{} rows, {} bytes {}", progress.rows, progress.bytes, self.what);
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// A moment in µs since 1970 as `2026-11-28T22:45:00Z`.
pub fn time(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let civil = civil_from_days(i64::try_from(seconds / 86_400).unwrap_or(i64::MAX) - EPOCH_DAYS);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", civil.year, civil.month, civil.day)
}

/// A moment as [`time`] writes it (`Z`, or a space for the `T`, may be left to choice), in µs since 1970, its whole second included.
pub fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no time like 2026-11-28T22:45:00Z (UTC)");
    let (date, clock) = text.trim_end_matches('Z').split_once(['T', ' ']).ok_or_else(wrong)?;
    let numbers = |part: &str, by: char| -> Result<[i64; 3], String> {
        let found: Result<Vec<i64>, _> = part.split(by).map(str::parse).collect();
        found.ok().and_then(|found| found.try_into().ok()).ok_or_else(wrong)
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(clock, ':')?);
    let sound = (1..=12).contains(&month)
        && (1970..10_000).contains(&year)
        && (1..=days_in_month(year, month)).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    if !sound {
        return Err(wrong());
    }
    let days = days_from_civil(year, month, day) + EPOCH_DAYS;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    u64::try_from(seconds).map(|seconds| seconds * 1_000_000 + 999_999).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for micros in [0, 951_782_400_000_000, 1_795_906_495_000_000] {
            assert_eq!(parse_time(&time(micros)), Ok(micros + 999_999));
        }
        for wrong in ["", "2026-02-29T00:00:00Z", "2026-01-01", "2026-01-01T24:00:00Z", "x-1-1T0:0:0"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_400_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(time(1_795_906_495_999_999), "2026-11-28T22:54:55Z");
    }
}
