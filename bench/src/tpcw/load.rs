//! Creating the shop at one server: schema, annotations (at Gemini), rows; then waiting until every site has them.
//!
//! Rows go in by COPY, a few hundred per transaction, in an order in which foreign keys find their parents. Items are loaded
//! without their related items, which are filled in afterwards: they may refer to items that come later.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::Client;

use super::connection::Target;
use super::facts;
use super::population::{Scale, Table, related, rows};
use super::sql::{ANNOTATIONS, SCHEMA, Sql, split};
use crate::Error;

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// The shop's size.
    pub scale: Scale,
    /// Also tell Gemini how concurrent effects combine.
    pub annotate: bool,
    /// Numbers of the population (an order with its lines is one) per transaction.
    pub chunk: i32,
}

/// What is being done, and how much of the whole is.
pub type LoadProgress<'a> = &'a mut (dyn FnMut(f64, &str) + Send);

/// A share of the whole, for the bar.
const SCHEMA_SHARE: f64 = 0.25;
const ROWS_SHARE: f64 = 0.6;

/// Creates and fills the shop at the first target; returns when all have it.
pub async fn load(
    targets: &[Target],
    options: &LoadOptions,
    progress: LoadProgress<'_>,
) -> Result<(), Error> {
    let Some(target) = targets.first() else { return Ok(()) };
    let client = target.connect().await?;
    let gemini = facts::site_name(target).await?.is_some();
    create(&client, gemini && options.annotate, progress).await?;
    fill(&client, options, progress).await?;
    relate(&client, options, progress).await?;
    if !gemini {
        for (table, key) in MINTING {
            let sql = format!("SELECT setval('{table}_{key}_seq', (SELECT MAX({key}) FROM {table}))");
            client.batch_execute(&sql).await.map_err(Error::during(sql.clone()))?;
        }
        // PostgreSQL plans by statistics; Gemini has none.
        client.batch_execute("ANALYZE").await.map_err(Error::during("ANALYZE"))?;
    }
    settled(targets, Duration::from_secs(60), &mut |note| progress(0.98, note)).await
}

/// Where the application mints ids after the population gave explicit ones: PostgreSQL must be told, Gemini sees it.
const MINTING: [(&str, &str); 3] = [("orders", "o_id"), ("customer", "c_id"), ("address", "addr_id")];

async fn create(client: &Client, annotate: bool, progress: LoadProgress<'_>) -> Result<(), Error> {
    let mut statements = split(SCHEMA);
    if annotate {
        statements.extend(split(ANNOTATIONS));
    }
    for (i, statement) in statements.iter().enumerate() {
        let first = statement.lines().next().unwrap_or_default();
        progress(SCHEMA_SHARE * i as f64 / statements.len() as f64, first.trim_end_matches([' ', '(']));
        client.batch_execute(statement).await.map_err(Error::during(statement.clone()))?;
    }
    Ok(())
}

async fn fill(client: &Client, options: &LoadOptions, progress: LoadProgress<'_>) -> Result<(), Error> {
    let all: i64 = Table::ALL.iter().map(|table| i64::from(options.scale.rows(*table))).sum();
    let mut done = 0i64;
    for table in Table::ALL {
        let (name, _) = table.columns();
        let last = options.scale.rows(table);
        let mut next = 1;
        while next <= last {
            let end = last.min(next + options.chunk.max(1) - 1);
            copy(client, &options.scale, table, next..=end).await?;
            done += i64::from(end - next + 1);
            progress(
                SCHEMA_SHARE + ROWS_SHARE * done as f64 / all as f64,
                &format!("{name} {end} of {last}"),
            );
            next = end + 1;
        }
    }
    Ok(())
}

/// One COPY, one transaction.
async fn copy(
    client: &Client,
    scale: &Scale,
    table: Table,
    numbers: std::ops::RangeInclusive<i32>,
) -> Result<(), Error> {
    let (name, columns) = table.columns();
    let sql = format!("COPY {name} ({columns}) FROM STDIN");
    let sink = client.copy_in::<_, Bytes>(&sql).await.map_err(Error::during(sql.clone()))?;
    tokio::pin!(sink);
    let mut text = String::new();
    for n in numbers {
        for row in rows(scale, table, n) {
            put_row(&mut text, &row);
        }
        if text.len() > 32 << 10 {
            let part = Bytes::from(std::mem::take(&mut text));
            sink.send(part).await.map_err(Error::during(sql.clone()))?;
        }
    }
    if !text.is_empty() {
        sink.send(Bytes::from(text)).await.map_err(Error::during(sql.clone()))?;
    }
    sink.finish().await.map(drop).map_err(Error::during(sql))
}

/// COPY's text form. The population has no NULL.
fn put_row(out: &mut String, row: &[String]) {
    for (i, value) in row.iter().enumerate() {
        if i > 0 {
            out.push('\t');
        }
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                c => out.push(c),
            }
        }
    }
    out.push('\n');
}

/// Fills in related items, a few hundred per transaction, without waiting for one answer before the next statement.
async fn relate(client: &Client, options: &LoadOptions, progress: LoadProgress<'_>) -> Result<(), Error> {
    let doing = || Error::during("related items");
    let statement = client.prepare(Sql::SetRelated.text()).await.map_err(doing())?;
    let items: Vec<i32> = (1..=options.scale.items).collect();
    for chunk in items.chunks(options.chunk.max(1) as usize) {
        client.batch_execute("BEGIN").await.map_err(doing())?;
        let updates = chunk.iter().map(|item| {
            let (statement, of) = (&statement, related(&options.scale, *item));
            async move {
                let [a, b, c, d, e] = &of;
                client.execute(statement, &[item, a, b, c, d, e]).await
            }
        });
        for changed in futures_util::future::join_all(updates).await {
            changed.map_err(doing())?;
        }
        client.batch_execute("COMMIT").await.map_err(doing())?;
        let done = f64::from(*chunk.last().unwrap_or(&0)) / f64::from(options.scale.items);
        progress(SCHEMA_SHARE + ROWS_SHARE + (0.98 - SCHEMA_SHARE - ROWS_SHARE) * done, "related items");
    }
    Ok(())
}

/// Waits until every site has applied what any has: equal frontiers, twice in a row. Servers without frontiers are not
/// waited for.
pub async fn settled(
    targets: &[Target],
    patience: Duration,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Error> {
    let Some(first) = targets.first() else { return Ok(()) };
    if facts::site_name(first).await?.is_none() {
        return Ok(());
    }
    let end = Instant::now() + patience;
    let mut last = String::new();
    loop {
        let mut frontiers = Vec::new();
        for target in targets {
            frontiers.push(facts::frontier(target).await?);
        }
        let equal = frontiers.windows(2).all(|two| two[0] == two[1]);
        if equal && frontiers[0] == last {
            return Ok(());
        }
        last = if equal { frontiers[0].clone() } else { String::new() };
        if Instant::now() > end {
            let where_: Vec<String> =
                targets.iter().zip(&frontiers).map(|(target, f)| format!("{} {f}", target.name)).collect();
            let seconds = patience.as_secs();
            return Err(Error::Failed(format!(
                "the sites have not come to equal frontiers within {seconds} s: {}",
                where_.join(", ")
            )));
        }
        progress("waiting until every site has it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_escapes_what_it_must() {
        let mut out = String::new();
        put_row(&mut out, &["1".into(), "a\tb\\c\nd".into()]);
        assert_eq!(out, "1\ta\\tb\\\\c\\nd\n");
    }
}
