//! Workloads with invariants, over the PostgreSQL protocol: the same code drives Gemini, PostgreSQL, and whatever
//! else speaks it.
//!
//! ```text
//!   tpcw     the on-line bookshop of TPC-W: population, 14 interactions, three mixes, checks afterwards
//!   soak     tpcw at three sites of its own, which are killed, stopped, cut off, and filled up meanwhile
//!   micro    one statement at a time, beside one fdatasync, the bare log, and PostgreSQL in the same folder and run
//!
//!   population ──► load ──► run (clients at every site) ──► facts (what each site holds) ──► check ──► report
//!                             └─► ledger: what clients were told ─────────────────────────────┘
//! ```
//!
//! A run believes nothing it has not been told by a server: the checks compare what every site holds afterwards with a
//! ledger of what clients were told, and with itself. A transaction whose outcome a client never learned is *unknown*,
//! neither present nor absent.
//!
//! What it does not do: think times and the web tier of the specification (there is no browser emulation, and its
//! WIPS are not claimed), and bandwidth limits of the emulated wide area.

pub mod histogram;
pub mod micro;
pub mod progress;
pub mod random;
pub mod soak;
pub mod table;
pub mod tpcw;
pub mod values;

/// Why a workload could not go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("{doing}: {}", describe(cause))]
    Database { doing: String, cause: tokio_postgres::Error },
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// Names what was being done.
    pub fn during(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        |cause| Error::Database { doing, cause }
    }
}

/// The server's words, with SQLSTATE, detail and hint; or what happened to the connection.
pub fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.as_db_error() {
        Some(db) => {
            let mut text = format!("{} ({})", db.message(), db.code().code());
            for more in [db.detail(), db.hint()].into_iter().flatten() {
                text.push_str("; ");
                text.push_str(more);
            }
            text
        }
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
