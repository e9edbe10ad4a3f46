//! SQL.

pub mod host;
