//! SQL.

pub mod host;

pub mod error;
pub mod expr;
pub mod sqlstate;

pub use error::{Result, SqlError};
