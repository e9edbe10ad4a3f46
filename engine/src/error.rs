//! What can go wrong in the engine, sorted by what the caller does about it.

use crate::log::{LogError, LogRemedy};

/// The remedy an error calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Run the transaction again on a newer snapshot.
    Retry,
    /// Free space on the disk, or wait for it to keep up; nothing was written half.
    Space,
    /// The caller's mistake, or the operator's (a transaction too large, a wrong directory).
    User,
    /// Data on disk is damaged: the site stops, and the message names the place and what to do.
    Corrupt,
    /// The site stops: what the disk holds is no longer known.
    FailStop,
}

/// An error of the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The snapshot held more old versions than the memory bound allows and was ended (SQLSTATE 72000).
    #[error(
        "snapshot too old: it held more row versions than the memory limit allows; run the transaction again"
    )]
    SnapshotTooOld,
    /// The log refused or failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store's disk is full (SQLSTATE 53100).
    #[error("there is no room left on the disk for the store; free some")]
    Full,
    /// The key-value store failed, or holds something that cannot be a row. It is never the truth: the remedy is to remove
    /// it and let it be rebuilt.
    #[error("store: {message}")]
    Store {
        /// What happened, and the remedy.
        message: String,
    },
    /// The store was written by a newer version of the program. It is left as it is.
    #[error(
        "the store was written by a newer version: {what}. Start that version or a later one; or remove the store \
         folder, and this version builds it again from the log"
    )]
    Newer {
        /// What stands there.
        what: String,
    },
    /// The store is missing or damaged, and the log does not reach back to the beginning, or goes on from an image. The log
    /// itself is whole: with it the site can be filled again ([`crate::Engine::open_unfilled`]).
    #[error("{message}")]
    Unfilled {
        /// What is missing, and the remedy.
        message: String,
    },
    /// Log and store do not belong together, or the log has lost its end.
    #[error("{message}")]
    Unrecoverable {
        /// What is missing, and the remedy.
        message: String,
    },
    /// The program broke a rule of its own (a gap in the red order, say); nothing was applied.
    #[error("internal error: {message}")]
    Internal {
        /// What was broken.
        message: String,
    },
}

impl Error {
    /// What the caller does about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Error::SnapshotTooOld => Remedy::Retry,
            Error::Full => Remedy::Space,
            Error::Log(error) => match error.remedy() {
                LogRemedy::Retry => Remedy::Space,
                LogRemedy::User => Remedy::User,
                LogRemedy::Corrupt => Remedy::Corrupt,
                LogRemedy::FailStop => Remedy::FailStop,
            },
            Error::Newer { .. } => Remedy::User,
            Error::Store { .. } | Error::Unfilled { .. } | Error::Unrecoverable { .. } => Remedy::Corrupt,
            Error::Internal { .. } => Remedy::FailStop,
        }
    }

    /// A failure of the log's disk.
    pub(crate) fn disk(error: crate::disk::DiskError) -> Error {
        Error::Log(error.into())
    }

    /// A failure of the store.
    pub fn store(message: impl std::fmt::Display) -> Error {
        Error::Store { message: message.to_string() }
    }
}
