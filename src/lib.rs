//! (essay)

pub mod config;
pub mod init;
