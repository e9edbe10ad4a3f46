//! One connection to a server: statements prepared when first used, transactions, and the colour of the last one.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use super::sql::Sql;
use crate::Error;

/// A server to drive.
#[derive(Clone, Debug)]
pub struct Target {
    /// In tables.
    pub name: String,
    /// How to connect.
    pub config: Config,
}

impl Target {
    /// From a URL (`postgres://user@host:port/database`) or libpq's key-value form.
    pub fn parse(url: &str) -> Result<Target, Error> {
        let mut config: Config =
            url.parse().map_err(Error::during(format!("{url} is not a connection string")))?;
        if config.get_user().is_none() {
            config.user("gemini");
        }
        config.application_name("gemini-bench");
        Ok(Target { name: address(&config), config })
    }

    /// At a host and port.
    pub fn at(name: &str, host: &str, port: u16) -> Target {
        let mut config = Config::new();
        config.host(host).port(port).user("gemini").dbname("gemini").application_name("gemini-bench");
        Target { name: name.to_owned(), config }
    }

    /// Connects; the connection's own task ends with the client.
    pub async fn connect(&self) -> Result<Client, Error> {
        let doing = || format!("cannot connect to {} ({})", self.name, address(&self.config));
        let (client, connection) = self.config.connect(NoTls).await.map_err(Error::during(doing()))?;
        tokio::spawn(async move {
            // The client's next call says why the connection ended.
            let _ = connection.await;
        });
        Ok(client)
    }
}

fn address(config: &Config) -> String {
    use tokio_postgres::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    format!("{host}:{}", config.get_ports().first().copied().unwrap_or(5432))
}

/// What a transaction turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Color {
    /// It only read.
    Read,
    /// It committed at its own site.
    Blue,
    /// It was ordered over all sites.
    Red,
    /// It wrote, at a server that has no colours.
    Write,
}

impl Color {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Color::Read => "read",
            Color::Blue => "blue",
            Color::Red => "red",
            Color::Write => "write",
        }
    }
}

/// A client's connection.
pub struct Connection {
    client: Client,
    statements: BTreeMap<Sql, Statement>,
    colors: bool,
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];
type Result<T, E = tokio_postgres::Error> = std::result::Result<T, E>;

impl Connection {
    /// Connects, and finds out whether the server has colours.
    pub async fn open(target: &Target) -> Result<Connection, Error> {
        let client = target.connect().await?;
        let colors = client.simple_query("SHOW gemini.last_color").await.is_ok();
        Ok(Connection { client, statements: BTreeMap::new(), colors })
    }

    /// Whether it can still be used.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn statement(&mut self, sql: Sql) -> Result<Statement> {
        if let Some(statement) = self.statements.get(&sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql.text()).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// A statement's rows.
    pub async fn rows(&mut self, sql: Sql, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, params).await
    }

    /// Its first row, if there is one.
    pub async fn first(&mut self, sql: Sql, params: Params<'_>) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Its one row; an error if there is not exactly one.
    pub async fn one(&mut self, sql: Sql, params: Params<'_>) -> Result<Row> {
        let statement = self.statement(sql).await?;
        self.client.query_one(&statement, params).await
    }

    /// Runs it; the number of rows it changed.
    pub async fn execute(&mut self, sql: Sql, params: Params<'_>) -> Result<u64> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, params).await
    }

    /// BEGIN, on one snapshot for all statements if wanted.
    pub async fn begin(&self, one_snapshot: bool) -> Result<()> {
        let text = if one_snapshot { "BEGIN ISOLATION LEVEL REPEATABLE READ" } else { "BEGIN" };
        self.client.batch_execute(text).await
    }

    /// COMMIT.
    pub async fn commit(&self) -> Result<()> {
        self.client.batch_execute("COMMIT").await
    }

    /// ROLLBACK; whether it worked does not matter to anybody.
    pub async fn rollback(&self) {
        let _ = self.client.batch_execute("ROLLBACK").await;
    }

    /// The colour of the writing transaction that has just committed here.
    pub async fn last_color(&self) -> Color {
        if !self.colors {
            return Color::Write;
        }
        let answer = self.client.simple_query("SHOW gemini.last_color").await;
        let word = answer.ok().and_then(|messages| {
            messages.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
        });
        match word.as_deref() {
            Some("blue") => Color::Blue,
            Some("red") => Color::Red,
            _ => Color::Write,
        }
    }
}
