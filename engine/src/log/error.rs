//! What can go wrong with the log, sorted by what to do about it.

use crate::Lsn;
use crate::disk::{DiskError, DiskErrorKind};

/// What to do about a [`LogError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRemedy {
    /// Nothing is lost or half done; the same call may succeed later (a full disk that was given room).
    Retry,
    /// The caller asked for what cannot be.
    User,
    /// The log is damaged, incomplete, or not this program's: stop the site, keep the files, restore or rebuild.
    Corrupt,
    /// Stop the process: what is durable is known only after a restart.
    FailStop,
}

/// An error of the log. Messages name the file, the place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum LogError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "log segment {file} is damaged at offset {offset} (log position {}): {what}. Records follow that were \
         durable, so this is not a torn end. Keep the files; let the site rebuild as a new one, or restore the \
         segment from a copy of this very directory",
        lsn.0
    )]
    Damaged { file: String, offset: u64, lsn: Lsn, what: String },
    #[error(
        "log segment {file} is missing, and the log has {what}. Put the file back; without it the log is not whole"
    )]
    Missing { file: String, what: String },
    #[error(
        "log segment {file} does not belong here: {what}. It is from another log or an older copy; put the right file back"
    )]
    Foreign { file: String, what: String },
    #[error("log segment {file} was written by a newer version: {what}. Start that version or a later one")]
    Newer { file: String, what: String },
    #[error(
        "there is no log in {directory}, though there should be one. Name the right data directory, or restore it"
    )]
    NoLog { directory: String },
    #[error("log position {} is cut; the log begins at {}", lsn.0, first.0)]
    Gone { lsn: Lsn, first: Lsn },
    #[error("no record begins at log position {}: {what}", lsn.0)]
    NoRecord { lsn: Lsn, what: String },
    #[error("a record of more than {limit} bytes does not fit in the log: make the transaction smaller")]
    TooLarge { limit: u64 },
    #[error("a record could not be encoded: {0}")]
    Encode(String),
    #[error("{bytes} bytes wait to be written to the log: the disk does not keep up")]
    Backlog { bytes: u64 },
    #[error(
        "the log has stopped after a failure: {cause}. Restart the site; what was acknowledged is durable"
    )]
    Stopped { cause: String },
}

impl LogError {
    /// What to do about it.
    pub fn remedy(&self) -> LogRemedy {
        match self {
            LogError::Disk(e) => match e.kind {
                DiskErrorKind::Full => LogRemedy::Retry,
                DiskErrorKind::Locked | DiskErrorKind::Denied => LogRemedy::User,
                DiskErrorKind::NotFound | DiskErrorKind::Io => LogRemedy::FailStop,
            },
            LogError::Damaged { .. }
            | LogError::Missing { .. }
            | LogError::Foreign { .. }
            | LogError::Newer { .. }
            | LogError::NoLog { .. }
            | LogError::Gone { .. }
            | LogError::NoRecord { .. } => LogRemedy::Corrupt,
            LogError::TooLarge { .. } | LogError::Encode(_) => LogRemedy::User,
            LogError::Backlog { .. } => LogRemedy::Retry,
            LogError::Stopped { .. } => LogRemedy::FailStop,
        }
    }
}

/// The result of a log operation.
pub type LogResult<T> = Result<T, LogError>;
