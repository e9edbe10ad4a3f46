//! The one error of this crate: what a client is told.
//!
//! An error is a SQLSTATE ([`crate::sqlstate`]) with a message and the fields of PostgreSQL's ErrorResponse. It is
//! boxed so that `Result<Value, SqlError>` stays small in expression evaluation. What a caller can do about it
//! follows from the SQLSTATE and is decided in one place, [`SqlError::remedy`].

use std::fmt;
use std::ops::{Deref, DerefMut};

use gemini_shadow_ops::SequenceId;

use crate::sqlstate;

/// A result with a [`SqlError`].
pub type Result<T, E = SqlError> = std::result::Result<T, E>;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Run the transaction again, from its start.
    Retry,
    /// The statement or its data must change.
    User,
    /// We do not do that (yet).
    Unsupported,
    /// Stored bytes are damaged.
    Corrupt,
    /// The site cannot go on.
    FailStop,
    /// The outcome is not known: ask for it by the id in the message.
    Unknown,
}

/// The fields of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Fields {
    pub sqlstate: &'static str,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Counted in characters of the statement, from 1.
    pub position: Option<u32>,
    pub context: Option<String>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub data_type: Option<String>,
    pub constraint: Option<String>,
    /// Set when a value was asked of a sequence that nobody has opened yet: the session opens it and runs the statement again.
    pub closed_sequence: Option<SequenceId>,
}

/// An error for the client. Its fields are reached by deref: `error.message`, `error.sqlstate`.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlError(Box<Fields>);

impl SqlError {
    /// An error with a SQLSTATE of [`crate::sqlstate`].
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> SqlError {
        SqlError(Box::new(Fields { sqlstate, message: message.into(), ..Fields::default() }))
    }

    /// 0A000: `what` is not supported; `instead` says what to use.
    pub fn unsupported(what: impl fmt::Display, instead: impl Into<String>) -> SqlError {
        SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")).hint(instead)
    }

    /// 55000: nextval of a sequence that is closed; the session opens it (one red entry) and runs the statement again.
    pub fn closed_sequence(sequence: SequenceId, name: &str) -> SqlError {
        let mut error = SqlError::new(
            sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("sequence \"{name}\" has not been opened yet"),
        );
        error.0.closed_sequence = Some(sequence);
        error
    }

    /// XX000: something we hold to be impossible.
    pub fn internal(message: impl Into<String>) -> SqlError {
        SqlError::new(sqlstate::INTERNAL_ERROR, message)
    }

    /// With a detail line.
    pub fn detail(mut self, detail: impl Into<String>) -> SqlError {
        self.0.detail = Some(detail.into());
        self
    }

    /// With a hint line.
    pub fn hint(mut self, hint: impl Into<String>) -> SqlError {
        self.0.hint = Some(hint.into());
        self
    }

    /// At a character of the statement, counted from 1; kept if one is already set.
    pub fn at(mut self, position: u32) -> SqlError {
        self.0.position.get_or_insert(position);
        self
    }

    /// Names the table.
    pub fn table(mut self, table: impl Into<String>) -> SqlError {
        self.0.schema.get_or_insert_with(|| "public".to_owned());
        self.0.table = Some(table.into());
        self
    }

    /// Names the column.
    pub fn column(mut self, column: impl Into<String>) -> SqlError {
        self.0.column = Some(column.into());
        self
    }

    /// Names the constraint.
    pub fn constraint(mut self, constraint: impl Into<String>) -> SqlError {
        self.0.constraint = Some(constraint.into());
        self
    }

    /// Says where it happened (`COPY t, line 3`).
    pub fn context(mut self, context: impl Into<String>) -> SqlError {
        self.0.context = Some(context.into());
        self
    }

    /// What can be done about it.
    pub fn remedy(&self) -> Remedy {
        match self.0.sqlstate {
            sqlstate::STATEMENT_COMPLETION_UNKNOWN => Remedy::Unknown,
            sqlstate::FEATURE_NOT_SUPPORTED => Remedy::Unsupported,
            sqlstate::DATA_CORRUPTED => Remedy::Corrupt,
            sqlstate::IO_ERROR | sqlstate::INTERNAL_ERROR => Remedy::FailStop,
            sqlstate::SNAPSHOT_TOO_OLD | sqlstate::LOCK_NOT_AVAILABLE => Remedy::Retry,
            state if state.starts_with("40") || state.starts_with("53") || state.starts_with("57P") => {
                Remedy::Retry
            }
            _ => Remedy::User,
        }
    }
}

impl Deref for SqlError {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

impl DerefMut for SqlError {
    fn deref_mut(&mut self) -> &mut Fields {
        &mut self.0
    }
}

impl fmt::Debug for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.sqlstate, self.0.message)
    }
}

impl std::error::Error for SqlError {}
