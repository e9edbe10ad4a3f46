//! `gemini verify`: has every running site compare its tables with all others, row by row, and waits for the outcome.
//!
//! The sites compare all the time; this asks for a round without pauses. It goes on beside normal work: rows that change
//! while they are compared are looked at again, and said to be undecided if they never rest.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::CliError;
use crate::config::{Cluster, Site};
use crate::http;

/// Between looks at how far the sites are.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The cluster's sites.toml
    #[arg(long, default_value = "sites.toml", value_name = "FILE")]
    config: PathBuf,
    /// Give up after so long
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    timeout: u64,
}

pub(super) async fn run(args: &VerifyArgs) -> Result<(), CliError> {
    let cluster = Cluster::load(&args.config)?;
    let end = Instant::now() + Duration::from_secs(args.timeout);
    let mut rounds = Vec::new();
    for site in &cluster.sites {
        let asked = get(site, "/verify").await?;
        rounds.push((site, asked["round"].as_u64().unwrap_or(u64::MAX)));
    }
    let mut problems = Vec::new();
    for (site, round) in rounds {
        let verification = loop {
            let verification = get(site, "/status").await?["verification"].take();
            if verification["rounds"].as_u64() >= Some(round) {
                break verification;
            }
            if Instant::now() > end {
                return Err(CliError::Failed(format!("{} is not done in time", site.name)));
            }
            tokio::time::sleep(LOOK).await;
        };
        println!("{:<16}{} rows compared", site.name, verification["compared"]);
        if let Some(undecided) = verification["undecided"].as_u64().filter(|n| *n > 0) {
            println!("{:<16}{undecided} ranges of rows changed all the while and are not decided", "");
        }
        problems.extend(found(&site.name, &verification));
    }
    if problems.is_empty() {
        println!("all sites hold the same");
        return Ok(());
    }
    Err(CliError::Unwell(problems.join("\n")))
}

/// What is wrong, a line each.
fn found(site: &str, verification: &Value) -> Vec<String> {
    let list = |field: &str| verification[field].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let missed = list("missed");
    let missed = missed.iter().map(|peer| format!("{site} could not be compared with {}", text(peer)));
    let findings = list("findings");
    let findings = findings.iter().map(|row| {
        format!(
            "divergence: table {}, key ({}), {site} and {}: {}",
            text(&row["table"]),
            text(&row["key"]),
            text(&row["site"]),
            text(&row["difference"])
        )
    });
    missed.chain(findings).collect()
}

async fn get(site: &Site, path: &str) -> Result<Value, CliError> {
    let failed = |why: String| CliError::Unwell(format!("{} gives no answer: {why}", site.name));
    match http::get(site.http, path).await {
        Ok((200, body)) => serde_json::from_str(&body).map_err(|e| failed(e.to_string())),
        Ok((code, body)) => Err(failed(format!("HTTP {code}: {}", body.trim()))),
        Err(e) => Err(failed(e.to_string())),
    }
}
