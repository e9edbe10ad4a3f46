//! SQL.

pub mod catalog;
pub mod copy;
pub mod ddl;
pub mod host;
pub mod parse;
pub mod pg;
pub mod session;

pub mod error;
pub mod expr;
pub mod sqlstate;
#[doc(hidden)]
pub mod testing;

pub use error::{Result, SqlError};

pub mod bind;
pub mod exec;
pub mod plan;
pub mod txn;

#[cfg(test)]
mod scripts;
