//! (essay)

pub mod config;
pub mod host;
pub mod init;
pub mod relay;
pub mod site;
