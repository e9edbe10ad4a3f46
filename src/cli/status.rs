//! `gemini status`: what each site says of itself, over HTTP.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::CliError;
use crate::config::{Cluster, Site};
use crate::http;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The cluster's sites.toml
    #[arg(long, default_value = "sites.toml", value_name = "FILE")]
    config: std::path::PathBuf,
    /// Only this site; else all of them
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Print what the sites answered, as one JSON object by site
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &StatusArgs) -> Result<(), CliError> {
    let cluster = Cluster::load(&args.config)?;
    let asked: Vec<&Site> = match &args.site {
        Some(name) => vec![cluster.site(Some(name))?],
        None => cluster.sites.iter().collect(),
    };
    let mut all = serde_json::Map::new();
    let mut down = Vec::new();
    for site in asked {
        let status = match ask(site).await {
            Ok(status) => status,
            Err(reason) => {
                down.push(site.name.clone());
                json!({ "site": site.name, "error": reason })
            }
        };
        if !args.json {
            print!("{}", render(&site.name, &status));
        }
        all.insert(site.name.clone(), status);
    }
    if args.json {
        println!("{:#}", Value::Object(all));
    }
    match down.as_slice() {
        [] => Ok(()),
        names => Err(CliError::Unwell(format!("no answer from {}", names.join(", ")))),
    }
}

async fn ask(site: &Site) -> Result<Value, String> {
    match http::get(site.http, "/status").await {
        Ok((200, body)) => serde_json::from_str(&body).map_err(|e| format!("its answer is not JSON: {e}")),
        Ok((code, body)) => Err(format!("HTTP {code}: {}", body.trim())),
        Err(e) => Err(format!("not running, or not at {}: {e}", site.http)),
    }
}

/// Every field of the answer, nested ones indented, lists of objects as lines.
fn render(name: &str, status: &Value) -> String {
    let mut out = format!("{name}\n");
    if let Value::Object(fields) = status {
        for (field, value) in fields.iter().filter(|(field, _)| *field != "site") {
            put(&mut out, 1, field, value);
        }
    }
    out
}

fn put(out: &mut String, depth: usize, field: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Object(fields) => {
            let _ = writeln!(out, "{indent}{field}");
            fields.iter().for_each(|(field, value)| put(out, depth + 1, field, value));
            Ok(())
        }
        Value::Array(items) => {
            let _ = writeln!(out, "{indent}{field}");
            items.iter().try_for_each(|item| writeln!(out, "{indent}  {}", line(item)))
        }
        scalar => writeln!(out, "{indent}{field:<24}{}", line(scalar)),
    };
}

fn line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        Value::Object(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|(field, value)| format!("{field} {}", line(value))).collect();
            parts.join("  ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_as_lines() {
        let status = json!({
            "site": "us-east", "frontier": "(1:5; 2)", "leader": null,
            "transactions": { "blue": 5, "red": 2 },
            "peers": [{ "site": "us-west", "link": "up" }],
        });
        let text = render("us-east", &status);
        let expected = "us-east\n  frontier                (1:5; 2)\n  leader                  -\n  peers\n    link up  site us-west\n  transactions\n    blue                    5\n    red                     2\n";
        assert_eq!(text, expected);
    }
}
