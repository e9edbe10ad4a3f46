//! A PostgreSQL client without `async`, so that tests read as scripts. Everything is text, as in psql.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// No statement takes so long; one that does is reported as an error of its own.
const LIMIT: Duration = Duration::from_secs(60);

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        built.unwrap_or_else(|e| panic!("cannot start the clients' runtime: {e}"))
    })
}

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// None: the connection is gone.
    pub sqlstate: Option<String>,
    /// What the server said, with detail and hint.
    pub message: String,
}

impl Failed {
    /// Whether it is this SQLSTATE.
    pub fn is(&self, sqlstate: &str) -> bool {
        self.sqlstate.as_deref() == Some(sqlstate)
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Failed {
        match error.as_db_error() {
            Some(told) => {
                let mut message = told.message().to_owned();
                for (label, more) in [("DETAIL", told.detail()), ("HINT", told.hint())] {
                    if let Some(more) = more {
                        message.push_str(&format!("\n{label}: {more}"));
                    }
                }
                Failed { sqlstate: Some(told.code().code().to_owned()), message }
            }
            None => Failed { sqlstate: None, message: format!("{error:?}") },
        }
    }
}

/// A connection.
pub struct Client {
    client: tokio_postgres::Client,
}

impl Client {
    /// Connects to a loopback port.
    pub fn connect(port: u16) -> Result<Client, Failed> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(port).user("gemini").dbname("gemini");
        config.connect_timeout(Duration::from_secs(10));
        let (client, connection) = block_on(async move { config.connect(NoTls).await })?;
        runtime().spawn(connection);
        Ok(Client { client })
    }

    /// Runs statements; the rows of all of them, NULL as `NULL`.
    pub fn query(&self, sql: &str) -> Result<Vec<Vec<String>>, Failed> {
        let messages = block_on(self.client.simple_query(sql))?;
        let row = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect())
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// What must work.
    pub fn run(&self, sql: &str) -> Vec<Vec<String>> {
        self.query(sql).unwrap_or_else(|failed| panic!("{sql}\n{failed:?}"))
    }

    /// The one value of what must work.
    pub fn value(&self, sql: &str) -> String {
        match self.run(sql).as_slice() {
            [row] if row.len() == 1 => row[0].clone(),
            rows => panic!("{sql}\nis not one value: {rows:?}"),
        }
    }

    /// What must fail.
    pub fn refused(&self, sql: &str) -> Failed {
        match self.query(sql) {
            Err(failed) => failed,
            Ok(rows) => panic!("{sql}\nought to be refused and answers {rows:?}"),
        }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failed> {
    let limited = async { tokio::time::timeout(LIMIT, work).await };
    match runtime().block_on(limited) {
        Ok(outcome) => outcome.map_err(Failed::from),
        Err(_) => Err(Failed { sqlstate: None, message: format!("no answer within {LIMIT:?}") }),
    }
}
