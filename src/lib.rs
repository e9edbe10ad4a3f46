//! (essay)

pub mod config;
pub mod init;
pub mod relay;
