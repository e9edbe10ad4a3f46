//! What can go wrong in the engine, sorted by what the caller does about it.

/// The remedy an error calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Run the transaction again on a newer snapshot.
    Retry,
    /// Free space on the disk; nothing was written half.
    Space,
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
    /// The operating system refused a read, write or sync.
    #[error("{file}: cannot {doing}: {message}")]
    Io {
        /// The file, by name within the data directory.
        file: String,
        /// What was being done: "write", "sync", …
        doing: &'static str,
        /// The system's own words.
        message: String,
    },
    /// The disk is full (SQLSTATE 53100).
    #[error("{file}: no space left on the disk; free some and try again")]
    Full {
        /// The file, by name within the data directory.
        file: String,
    },
    /// Bytes that no version of this program wrote, or that changed after they were written.
    #[error("{file} is damaged at byte {offset}: {message}")]
    Corrupt {
        /// The file, by name within the data directory.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What was expected there, and the remedy.
        message: String,
    },
    /// The key-value store failed, or holds something that cannot be a row. It is never the truth: the remedy is to remove
    /// it and let it be rebuilt.
    #[error("store: {message}")]
    Store {
        /// What happened, and the remedy.
        message: String,
    },
    /// The store is missing or damaged and the log no longer reaches back to the beginning.
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
            Error::Full { .. } => Remedy::Space,
            Error::Corrupt { .. } | Error::Store { .. } | Error::Unrecoverable { .. } => Remedy::Corrupt,
            Error::Io { .. } | Error::Internal { .. } => Remedy::FailStop,
        }
    }

    /// A failed system call on `file`.
    pub fn io(file: impl Into<String>, doing: &'static str, error: &std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Error::Full { file: file.into() };
        }
        Error::Io { file: file.into(), doing, message: error.to_string() }
    }

    /// A failure of the store.
    pub fn store(message: impl std::fmt::Display) -> Error {
        Error::Store { message: message.to_string() }
    }
}
