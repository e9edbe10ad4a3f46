//! The demonstration's cluster: a folder, relays, and one process per site.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gemini_bench::tpcw::Target;

use super::{DemoArgs, DemoError};
use crate::http;
use crate::init::{self, Plan};
use crate::relay::{End, LinkSpec, Relays};

/// The paper's sites, in the order in which they are taken.
const NAMES: [&str; 5] = ["us-east", "us-west", "ireland", "brazil", "singapore"];
/// A site that is not healthy and linked after so long will not be.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a site in its drain gets before it is killed.
const DRAIN: Duration = Duration::from_secs(12);
/// Lines of a site's own log in an error.
const TAIL: usize = 12;

struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A cluster of processes; dropped, it is stopped.
pub(super) struct Sites {
    folder: PathBuf,
    /// Made here, to be removed at the end.
    temporary: bool,
    plan: Plan,
    config: PathBuf,
    processes: Vec<Process>,
    /// They stand between the sites as long as this lives.
    _relays: Relays,
}

fn io_error(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> DemoError {
    let what = what.into();
    |cause| DemoError::Io { what, cause }
}

impl Sites {
    /// Opens the relays and writes certificates and sites.toml; starts nothing.
    pub(super) fn create(args: &DemoArgs) -> Result<Sites, DemoError> {
        let names: Vec<String> =
            NAMES.iter().take(args.sites.into()).map(|name| (*name).to_owned()).collect();
        let mut plan = Plan::local("demo", &names);
        free_ports(&mut plan)?;
        if let Some(ms) = args.round_trip {
            plan.links.iter_mut().for_each(|link| link.2 = Duration::from_millis(ms));
        }
        let relays = Relays::start(links(&plan))?;
        for i in 0..plan.sites.len() {
            let here = plan.sites[i].name.clone();
            let others = plan.sites.iter().filter(|site| site.name != here);
            let via = others.filter_map(|peer| Some((peer.name.clone(), relays.address(&here, &peer.name)?)));
            plan.sites[i].via = via.collect();
        }
        let temporary = args.folder.is_none() && !args.keep;
        let folder = match &args.folder {
            Some(folder) => folder.clone(),
            None => fresh_folder()?,
        };
        let config = init::create(&folder, &plan, false)?;
        let folder = folder.canonicalize().map_err(io_error(format!("find {}", folder.display())))?;
        let config = folder.join(config.file_name().unwrap_or_default());
        Ok(Sites { folder, temporary, plan, config, processes: Vec::new(), _relays: relays })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The emulated wide area, in words.
    pub(super) fn distances(&self) -> String {
        let mut out = String::new();
        for (a, b, round_trip) in &self.plan.links {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {a} – {b}: {} ms round trip", round_trip.as_millis());
        }
        out
    }

    /// One line per site, to be pasted.
    pub(super) fn connect_lines(&self) -> String {
        let mut out = String::new();
        for site in &self.plan.sites {
            let (host, port) = (site.sql.ip(), site.sql.port());
            let _ = writeln!(out, "  psql -h {host} -p {port} -U gemini gemini    # {}", site.name);
        }
        out
    }

    /// Where clients connect.
    pub(super) fn targets(&self) -> Vec<Target> {
        let target =
            |site: &init::SitePlan| Target::at(&site.name, &site.sql.ip().to_string(), site.sql.port());
        self.plan.sites.iter().map(target).collect()
    }

    /// Starts every site and waits until all are healthy, linked, and led.
    pub(super) async fn start(&mut self) -> Result<(), DemoError> {
        let program = std::env::current_exe().map_err(io_error("find this program"))?;
        for site in &self.plan.sites {
            let log = self.folder.join(format!("{}.log", site.name));
            let out = File::create(&log).map_err(io_error(format!("create {}", log.display())))?;
            let child = Command::new(&program)
                .args(["start", "--site", &site.name, "--config"])
                .arg(&self.config)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(out)
                .spawn()
                .map_err(io_error(format!("start {}", program.display())))?;
            self.processes.push(Process { name: site.name.clone(), child, log });
        }
        let end = Instant::now() + PATIENCE;
        loop {
            self.all_alive()?;
            let mut waiting = None;
            for site in &self.plan.sites {
                if let Err(reason) = ready(site.http).await {
                    waiting = Some(format!("{}: {reason}", site.name));
                    break;
                }
            }
            match waiting {
                None => return Ok(()),
                Some(reason) if Instant::now() > end => {
                    let seconds = PATIENCE.as_secs();
                    return Err(DemoError::Site(format!(
                        "the sites are not ready after {seconds} s: {reason}"
                    )));
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn all_alive(&mut self) -> Result<(), DemoError> {
        for process in &mut self.processes {
            if let Ok(Some(status)) = process.child.try_wait() {
                let tail = tail(&process.log);
                return Err(DemoError::Site(format!("{} has ended ({status}):\n{tail}", process.name)));
            }
        }
        Ok(())
    }

    /// A site that has ended explains more than the client's lost connection.
    pub(super) fn explain(&mut self, error: DemoError) -> DemoError {
        match (self.all_alive(), &error) {
            (Err(ended), DemoError::Bench(_)) => DemoError::Site(format!("{error}; {ended}")),
            _ => error,
        }
    }

    /// Resident memory of the sites, where the system tells it.
    pub(super) fn resident(&self) -> String {
        let memory = |process: &Process| {
            let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(format!("{} {} MB", process.name, kib / 1024))
        };
        let parts: Vec<String> = self.processes.iter().filter_map(memory).collect();
        if parts.is_empty() { String::new() } else { format!("Resident memory: {}\n", parts.join(", ")) }
    }

    /// Lets the sites drain, then ends those that have not.
    pub(super) async fn stop(mut self) {
        for process in &self.processes {
            terminate(&process.child);
        }
        let end = Instant::now() + DRAIN;
        while Instant::now() < end && self.processes.iter_mut().any(runs) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Dropping kills what is left and removes the folder.
    }
}

fn runs(process: &mut Process) -> bool {
    matches!(process.child.try_wait(), Ok(None))
}

/// SIGTERM, where there is one; it fails for a process that has ended, which is what is wanted.
fn terminate(child: &Child) {
    #[cfg(unix)]
    let _ = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    #[cfg(not(unix))]
    let _ = child;
}

impl Drop for Sites {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // An error means that it has ended.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        if self.temporary {
            // A folder that cannot be removed is only in the way of nobody.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Healthy, linked to everybody, and somebody leads.
async fn ready(address: SocketAddr) -> Result<(), String> {
    let (code, body) = http::get(address, "/healthz").await.map_err(|e| e.to_string())?;
    if code != 200 {
        return Err(body.trim().to_owned());
    }
    let (_, body) = http::get(address, "/status").await.map_err(|e| e.to_string())?;
    let status: serde_json::Value = serde_json::from_str(&body).map_err(|e| e.to_string())?;
    let peers = status["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(peer) = peers.iter().find(|peer| peer["link"] != "up") {
        return Err(format!("no link to {}: {}", peer["site"], peer["reason"]));
    }
    if status["leader"].is_null() { Err("the red order has no leader".into()) } else { Ok(()) }
}

/// sites.toml's ports, or free ones if any of those is taken.
fn free_ports(plan: &mut Plan) -> Result<(), DemoError> {
    let free = |site: &init::SitePlan| {
        TcpListener::bind(site.sql).is_ok()
            && TcpListener::bind(site.http).is_ok()
            && UdpSocket::bind(site.peer).is_ok()
    };
    if plan.sites.iter().all(free) {
        return Ok(());
    }
    // All are held until all are chosen, so that none is chosen twice.
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (mut tcp, mut udp) = (Vec::new(), Vec::new());
    let what = || io_error("find free ports");
    for site in &mut plan.sites {
        for address in [&mut site.sql, &mut site.http] {
            let socket = TcpListener::bind(any).map_err(what())?;
            *address = socket.local_addr().map_err(what())?;
            tcp.push(socket);
        }
        let socket = UdpSocket::bind(any).map_err(what())?;
        site.peer = socket.local_addr().map_err(what())?;
        udp.push(socket);
    }
    Ok(())
}

fn links(plan: &Plan) -> Vec<LinkSpec> {
    let mut specs = Vec::new();
    for (a, b, round_trip) in &plan.links {
        let end = |name: &str| {
            let site = plan.sites.iter().find(|site| site.name == name)?;
            Some(End { site: site.name.clone(), address: site.peer })
        };
        if let (Some(a), Some(b)) = (end(a), end(b)) {
            specs.push(LinkSpec::new(a, b, *round_trip));
        }
    }
    specs
}

/// A folder that nobody has.
fn fresh_folder() -> Result<PathBuf, DemoError> {
    let base = std::env::temp_dir();
    for i in 0..1_000 {
        let folder = base.join(format!("gemini-demo-{}-{i}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(io_error(format!("create {}", folder.display()))(e)),
        }
    }
    Err(DemoError::Site(format!("no free name for a folder in {}", base.display())))
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        args: DemoArgs,
    }

    #[test]
    fn a_cluster_is_laid_out_and_cleaned_up() {
        let args = Parsed::parse_from(["demo", "--round-trip", "40"]).args;
        let sites = Sites::create(&args).unwrap();
        let folder = sites.folder().to_owned();
        let cluster = crate::config::Cluster::load(&sites.config).unwrap();
        assert_eq!(cluster.sites.len(), 3);
        for site in &cluster.sites {
            assert_eq!(site.via.len(), 2, "{} reaches both others through relays", site.name);
        }
        assert_eq!(sites.distances().matches(": 40 ms").count(), 3);
        assert_eq!(sites.connect_lines().lines().count(), 3);
        drop(sites);
        assert!(!folder.exists());
    }

    #[test]
    fn taken_ports_are_avoided() {
        let mut plan = Plan::local("x", &["a".to_owned()]);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        plan.sites[0].sql = taken.local_addr().unwrap();
        free_ports(&mut plan).unwrap();
        assert_ne!(plan.sites[0].sql, taken.local_addr().unwrap());
    }
}
