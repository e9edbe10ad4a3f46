//! Gemini, put together: the pure site in [`site`], and around it what makes it a program.
//!
//! ```text
//!   cli ──► driver ──► site::Site::step        one site thread, one log thread, tokio for sockets
//!             │  ├───► sql sessions             PostgreSQL protocol
//!             │  ├───► replication::quic        other sites
//!             │  └───► http                     /status, /metrics, /healthz
//!             └─ config (sites.toml)
//! ```
//!
//! `init` creates a cluster, `backup` keeps and restores its contents, `shell` is a small client, `relay` emulates an ocean,
//! `demo` shows it all, `advise` says what to annotate.

mod advise;
pub mod backup;
pub mod cli;
pub mod config;
pub mod demo;
pub mod driver;
pub mod host;
pub mod http;
pub mod init;
pub mod relay;
pub mod shell;
pub mod site;
