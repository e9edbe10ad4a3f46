//! `gemini site`: adding, removing and listing the cluster's sites. Each asks a running site over HTTP, as `gemini status` does;
//! what changes is ordered like a red transaction, so a majority of the sites must run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use gemini_shadow_ops::SiteId;
use serde_json::Value;

use super::CliError;
use crate::config::{Cluster, Site};
use crate::http;
use crate::init::{self, Addition};
use crate::site::MemberRequest;

/// After a site has left, the others settle its final count.
const SETTLED: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(super) struct SiteArgs {
    #[command(subcommand)]
    command: SiteCommand,
    /// The cluster's sites.toml
    #[arg(long, default_value = "sites.toml", value_name = "FILE", global = true)]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum SiteCommand {
    /// Show who is and was a member
    List,
    /// Add a site: to sites.toml, with a certificate of its own (needs certs/ca.key), and to the running cluster
    Add(AddArgs),
    /// Remove a site: in good order, or by force if it is dead
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its name
    name: String,
    /// Where it speaks the PostgreSQL protocol
    #[arg(long, value_name = "IP:PORT")]
    sql: SocketAddr,
    /// Where other sites reach it
    #[arg(long, value_name = "IP:PORT")]
    peer: SocketAddr,
    /// Its page for operators
    #[arg(long, value_name = "IP:PORT")]
    http: SocketAddr,
    /// Its data folder; data/NAME beside sites.toml if not given
    #[arg(long, value_name = "FOLDER")]
    data: Option<String>,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Which
    name: String,
    /// It is dead: what only it has is lost
    #[arg(long)]
    force: bool,
    /// Remove it by force although it answers
    #[arg(long, requires = "force")]
    though_alive: bool,
}

pub(super) async fn run(args: &SiteArgs) -> Result<(), CliError> {
    let cluster = Cluster::load(&args.config)?;
    match &args.command {
        SiteCommand::List => list(&cluster).await,
        SiteCommand::Add(args) => add(&cluster, args).await,
        SiteCommand::Remove(args) => remove(&cluster, args).await,
    }
}

/// The members, as the first site says that answers (and is not itself removed).
async fn members(cluster: &Cluster) -> Result<Vec<Value>, CliError> {
    for site in &cluster.sites {
        if let Ok((200, body)) = http::get(site.http, "/status").await
            && let Ok(status) = serde_json::from_str::<Value>(&body)
            && let Some(members) = status["members"].as_array()
            && members.iter().any(|m| m["id"] == site.id.0 && m["standing"] == "voter")
        {
            return Ok(members.clone());
        }
    }
    Err(CliError::Unwell("no member that votes answers: is the cluster running?".into()))
}

async fn list(cluster: &Cluster) -> Result<(), CliError> {
    for member in members(cluster).await? {
        let text = |field: &str| member[field].as_str().unwrap_or("-").to_owned();
        let id = member["id"].as_u64().unwrap_or(0);
        println!(
            "{id:<4} {:<16} {:<9} {:<24} {}",
            text("name"),
            text("standing"),
            text("peer"),
            text("says")
        );
    }
    Ok(())
}

/// Asks these sites, one after the other, until one takes the request.
async fn ask(sites: &[&Site], request: &MemberRequest) -> Result<String, CliError> {
    let mut silent = Vec::new();
    for site in sites {
        match http::ask_members(site.http, request).await {
            Ok((200, answer)) => return Ok(answer.trim_end().to_owned()),
            Ok((_, reason)) => {
                return Err(CliError::Failed(format!("{} says: {}", site.name, reason.trim_end())));
            }
            Err(_) => silent.push(site.name.clone()),
        }
    }
    Err(CliError::Unwell(format!("no answer from {}", silent.join(", "))))
}

async fn add(cluster: &Cluster, args: &AddArgs) -> Result<(), CliError> {
    let known = cluster.sites.iter().find(|site| site.name == args.name);
    let site = match known {
        // It stands in the file already: an earlier attempt got so far.
        Some(site) if site.joined && site.peer == args.peer => site.clone(),
        Some(_) => return Err(CliError::Usage(format!("{} is a site already", args.name))),
        None => {
            let members = members(cluster).await?;
            let used = |field: &str| members.iter().filter_map(|m| m[field].as_u64()).max().unwrap_or(0);
            let all = || cluster.sites.iter().chain(&cluster.former);
            let id = all().map(|s| u64::from(s.id.0)).max().unwrap_or(0).max(used("id")) + 1;
            let class = all().map(|s| u64::from(s.minting_class)).max().unwrap_or(0).max(used("class")) + 1;
            let too_many = || CliError::Usage("every site id or minting class has been used".into());
            let class = u32::try_from(class).ok().filter(|class| *class < cluster.minting_classes);
            let addition = Addition {
                name: args.name.clone(),
                id: SiteId(u16::try_from(id).map_err(|_| too_many())?),
                minting_class: class.ok_or_else(too_many)?,
                sql: args.sql,
                peer: args.peer,
                http: args.http,
                data: args.data.clone().unwrap_or_else(|| format!("data/{}", args.name)),
            };
            init::add(cluster, &addition)?;
            let cluster = Cluster::load(&cluster.path)?;
            cluster.site(Some(&args.name))?.clone()
        }
    };
    let others: Vec<&Site> = cluster.sites.iter().filter(|other| other.id != site.id).collect();
    let request = MemberRequest::Add { site: site.id, member: site.member() };
    let answer = ask(&others, &request).await?;
    println!("{answer}");
    println!("it joins, catches up and votes by itself when it is started:");
    println!("  gemini start --site {} --config {}", site.name, cluster.path.display());
    println!("its machine needs {}, certs/ca.crt and its own certificate and key", cluster.path.display());
    Ok(())
}

async fn remove(cluster: &Cluster, args: &RemoveArgs) -> Result<(), CliError> {
    let site = cluster.site(Some(&args.name))?;
    let others: Vec<&Site> = cluster.sites.iter().filter(|other| other.id != site.id).collect();
    let alive = http::get(site.http, "/status").await.is_ok();
    if !args.force {
        if !alive {
            let message = format!(
                "{} does not answer at {}: start it, or remove it with --force if it is dead for ever (what only it has is lost)",
                site.name, site.http
            );
            return Err(CliError::Unwell(message));
        }
        println!("{}", ask(&[site], &MemberRequest::Leave).await?);
        println!("{}", settled(cluster, site).await?);
    } else {
        if alive && !args.though_alive {
            let message = format!(
                "{0} answers: remove it in good order (without --force), or add --though-alive; what it commits until it hears of its \
                 removal, and what the others do not have yet, is lost",
                site.name
            );
            return Err(CliError::Usage(message));
        }
        println!("{}", ask(&others, &MemberRequest::Expel(site.id)).await?);
    }
    init::mark_removed(cluster, &site.name)?;
    println!("{} is marked as removed in {}", site.name, cluster.path.display());
    Ok(())
}

/// Waits until the others have settled which transactions of a site count.
async fn settled(cluster: &Cluster, site: &Site) -> Result<String, CliError> {
    let end = Instant::now() + SETTLED;
    loop {
        let members = members(cluster).await?;
        let found = members.iter().find(|m| m["id"] == site.id.0);
        if let Some(member) = found.filter(|m| m["standing"] == "closed") {
            return Ok(format!("{}: {}", site.name, member["says"].as_str().unwrap_or_default()));
        }
        if Instant::now() > end {
            let message = format!(
                "{} is fenced, but not every member has reported what it has of it: look at gemini site list",
                site.name
            );
            return Err(CliError::Unwell(message));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
