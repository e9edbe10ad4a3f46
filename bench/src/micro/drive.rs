//! The statements, driven: each client one connection, one prepared statement, one at a time.

use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;

use crate::Error;
use crate::histogram::{Histogram, millis};
use crate::table::thousands;
use crate::tpcw::{Target, facts};

/// Rows that belong to one client.
const OWN: i32 = 100;
/// Runs unmeasured before each row of the table.
const WARM_UP: Duration = Duration::from_millis(500);

/// A statement to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Work {
    Select1,
    PointRead,
    OwnRows,
    HotRow,
    Red,
    /// [`Work::OwnRows`], acknowledged once a majority of the sites has it on disk: Gemini's alone.
    Quorum,
}

impl Work {
    /// What every server can be asked for.
    pub const ALL: [Work; 5] = [Work::Select1, Work::PointRead, Work::OwnRows, Work::HotRow, Work::Red];

    pub fn name(self) -> &'static str {
        match self {
            Work::Select1 => "select 1",
            Work::PointRead => "point read",
            Work::OwnRows => "update, own rows",
            Work::HotRow => "update, one hot row",
            Work::Red => "update, strict (red)",
            Work::Quorum => "update, own rows, quorum",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Work::Select1 => "SELECT 1",
            Work::PointRead => "SELECT v FROM bench WHERE id = $1",
            Work::OwnRows | Work::HotRow | Work::Quorum => "UPDATE bench SET v = v + 1 WHERE id = $1",
            Work::Red => "UPDATE bench SET s = s + 1 WHERE id = $1",
        }
    }

    /// What a session is told first.
    fn setting(self) -> Option<&'static str> {
        (self == Work::Quorum).then_some("SET gemini.durability = 'quorum'")
    }

    /// Which row is next.
    fn row(self, client: usize, i: i32) -> Option<i32> {
        match self {
            Work::Select1 => None,
            Work::HotRow => Some(0),
            Work::PointRead | Work::OwnRows | Work::Red | Work::Quorum => {
                Some(1 + client as i32 * OWN + i % OWN)
            }
        }
    }
}

/// A row of the table.
pub struct Cell {
    pub work: Work,
    pub clients: usize,
    took: Duration,
    latencies: Histogram,
}

impl Cell {
    /// Statements a second.
    pub fn rate(&self) -> f64 {
        self.latencies.count() as f64 / self.took.as_secs_f64().max(0.001)
    }

    pub fn p50(&self) -> Duration {
        self.latencies.quantile(0.5)
    }

    /// Rate and quantiles.
    pub fn shown(&self) -> [String; 4] {
        let q = |q| millis(self.latencies.quantile(q));
        [thousands(self.rate().round() as u64), q(0.5), q(0.95), q(0.99)]
    }
}

/// Creates and fills the table; what was there of an earlier run goes.
pub async fn prepare(target: &Target, clients: usize) -> Result<(), Error> {
    let client = target.connect().await?;
    let run = async |sql: &str| client.batch_execute(sql).await.map_err(Error::during(sql));
    run("DROP TABLE IF EXISTS bench").await?;
    run("CREATE TABLE bench (id INT PRIMARY KEY, v INT NOT NULL, s INT NOT NULL)").await?;
    if facts::site_name(target).await?.is_some() {
        run("ALTER TABLE bench ALTER COLUMN v SET MERGE DELTA").await?;
    }
    let rows = clients as i32 * OWN + 1;
    for first in (0..rows).step_by(500) {
        let values: Vec<String> = (first..rows.min(first + 500)).map(|id| format!("({id}, 0, 0)")).collect();
        run(&format!("INSERT INTO bench (id, v, s) VALUES {}", values.join(", "))).await?;
    }
    Ok(())
}

/// One row of the table.
pub async fn measure(target: &Target, work: Work, clients: usize, time: Duration) -> Result<Cell, Error> {
    let mut tasks = Vec::new();
    let start = Instant::now() + WARM_UP;
    for number in 0..clients {
        let client = target.connect().await?;
        if let Some(setting) = work.setting() {
            client.batch_execute(setting).await.map_err(Error::during(setting))?;
        }
        let statement = client.prepare(work.text()).await.map_err(Error::during(work.text()))?;
        tasks.push(tokio::spawn(async move {
            let mut latencies = Histogram::default();
            let mut i = 0;
            loop {
                let begun = Instant::now();
                if begun >= start + time {
                    return Ok(latencies);
                }
                let row = work.row(number, i);
                let params: &[&(dyn ToSql + Sync)] = match &row {
                    Some(row) => &[row],
                    None => &[],
                };
                client.query(&statement, params).await.map_err(Error::during(work.text()))?;
                if begun >= start {
                    latencies.add(begun.elapsed());
                }
                i = i.wrapping_add(1) & 0xffff;
            }
        }));
    }
    let mut latencies = Histogram::default();
    for task in tasks {
        let measured: Result<Histogram, Error> =
            task.await.map_err(|e| Error::Failed(format!("a client stopped: {e}")))?;
        latencies.merge(&measured?);
    }
    Ok(Cell { work, clients, took: time, latencies })
}
