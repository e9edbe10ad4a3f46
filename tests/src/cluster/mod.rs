//! Clusters of real processes on this machine: `gemini` itself, with its certificates, sockets, disks and signals.
//!
//! ```text
//!   test ──SQL, HTTP──► gemini start --site us-east ─┐
//!     │  ──SQL, HTTP──► gemini start --site us-west ─┼─UDP─► gemini relay (links that can be cut)
//!     │  ──SQL, HTTP──► gemini start --site ireland ─┘           ▲
//!     └──────────────── cut, heal, isolate (TCP lines) ──────────┘
//! ```
//!
//! The simulator (`world`) searches the protocol's state space; this looks at what the simulator leaves out: threads,
//! QUIC, the real disk, sessions, the command line, and what a person sees when something is wrong.
//!
//! Promises of the harness:
//! 1. No child outlives its test ([`Process`]).
//! 2. Clusters run one at a time in a test process: two cores are shared fairly by one cluster, not by eight.
//! 3. Nothing waits for ever. When a test fails, each site's status and the end of its log are printed and the folder
//!    is kept; else it is removed.
//! 4. A cluster whose log speaks of a panic fails its test, whatever else it did.
//!
//! It measures nothing: a test that depends on speed does not belong here.

pub mod client;
pub mod load;
mod place;
mod process;
mod wait;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

pub use client::{Client, Failed};
pub use place::{Ports, folder, free_port, read, replaced, write};
pub use process::Process;
pub use wait::{PATIENCE, patiently};

/// Lines of a site's log that a failed test prints.
const TAIL: usize = 40;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A site of a cluster under test.
#[derive(Debug)]
pub struct Site {
    /// As in sites.toml.
    pub name: String,
    /// Its addresses.
    pub ports: Ports,
    /// None: it is down.
    process: Option<Process>,
    log: PathBuf,
}

/// A cluster under test. Its sites are numbered from 0, in the order of their ids.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    /// Holds sites.toml, certs, data and logs.
    pub folder: PathBuf,
    /// In order of their ids; the first is the preferred leader.
    pub sites: Vec<Site>,
    relay: Option<Relay>,
    _turn: MutexGuard<'static, ()>,
}

#[derive(Debug)]
struct Relay {
    _process: Process,
    control: u16,
}

impl Cluster {
    /// `gemini init` and, between several sites, `gemini relay`; no site runs yet. `test` names the folder.
    pub fn create(program: &str, test: &str, names: &[&str]) -> Cluster {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = folder(test);
        let made = Command::new(program)
            .args(["init", "--sites", &names.join(","), "--name", test])
            .arg(&folder)
            .output()
            .unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
        assert!(made.status.success(), "gemini init failed: {made:?}");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let ports = place::settle(&folder.join("sites.toml"), &names, 10);
        let site = |(name, ports): (&String, Ports)| Site {
            name: name.clone(),
            ports,
            process: None,
            log: folder.join(format!("{name}.log")),
        };
        let sites = names.iter().zip(ports).map(site).collect();
        let mut cluster =
            Cluster { program: PathBuf::from(program), folder, sites, relay: None, _turn: turn };
        if names.len() > 1 {
            cluster.start_relay();
        }
        cluster
    }

    /// Creates a cluster, starts every site and waits until the first leads the red order.
    pub fn start(program: &str, test: &str, names: &[&str]) -> Cluster {
        let mut cluster = Cluster::create(program, test, names);
        cluster.launch_all();
        cluster.wait_for_leader(0);
        cluster
    }

    fn start_relay(&mut self) {
        let control = free_port();
        let config = self.config();
        let at = format!("127.0.0.1:{control}");
        let arguments = ["relay", "--config", &config, "--control", &at];
        let process = Process::start(&self.program, &arguments, &self.folder.join("relay.log"));
        self.relay = Some(Relay { _process: process, control });
        self.wait("the relay", || TcpStream::connect(("127.0.0.1", control)).ok());
    }

    /// `gemini site add`: one site more, which does not run yet. Its number.
    pub fn add(&mut self, name: &str) -> usize {
        let ports = Ports { sql: free_port(), peer: free_port(), http: free_port() };
        let at = |port: u16| format!("127.0.0.1:{port}");
        let (sql, peer, http, config) = (at(ports.sql), at(ports.peer), at(ports.http), self.config());
        let arguments =
            ["site", "add", name, "--sql", &sql, "--peer", &peer, "--http", &http, "--config", &config];
        let output = self.command(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let log = self.folder.join(format!("{name}.log"));
        self.sites.push(Site { name: name.to_owned(), ports, process: None, log });
        self.sites.len() - 1
    }

    /// The path of sites.toml, as an argument.
    pub fn config(&self) -> String {
        self.folder.join("sites.toml").display().to_string()
    }

    /// A site's data folder.
    pub fn data(&self, site: usize) -> PathBuf {
        self.folder.join("data").join(&self.sites[site].name)
    }

    /// What a site has logged since its first start.
    pub fn log(&self, site: usize) -> String {
        fs::read_to_string(&self.sites[site].log).unwrap_or_default()
    }

    /// Starts a site without waiting for it.
    pub fn launch(&mut self, site: usize) {
        let config = self.config();
        let Site { name, process, log, .. } = &mut self.sites[site];
        assert!(process.is_none(), "{name} runs already");
        let arguments = ["start", "--site", name, "--config", &config];
        *process = Some(Process::start(&self.program, &arguments, log));
    }

    /// Starts every site and waits until all answer.
    pub fn launch_all(&mut self) {
        (0..self.sites.len()).for_each(|site| self.launch(site));
        (0..self.sites.len()).for_each(|site| self.wait_until_up(site));
    }

    /// Starts a site and waits until it answers.
    pub fn restart(&mut self, site: usize) {
        self.launch(site);
        self.wait_until_up(site);
    }

    /// Waits until a site takes SQL clients.
    pub fn wait_until_up(&mut self, site: usize) {
        let end = patiently(PATIENCE, || {
            if let Some(status) = self.sites[site].process.as_mut().and_then(Process::ended) {
                return Some(Err(format!("it has ended with {status}")));
            }
            let well = http(self.sites[site].ports.http, "/healthz").is_some_and(|(code, _)| code == 200);
            (well && Client::connect(self.sites[site].ports.sql).is_ok()).then_some(Ok(()))
        });
        match end {
            Some(Ok(())) => {}
            Some(Err(reason)) => panic!("{} is not up: {reason}", self.sites[site].name),
            None => panic!("{} is not up in time", self.sites[site].name),
        }
    }

    /// kill -9.
    pub fn kill(&mut self, site: usize) {
        self.running(site).kill();
    }

    /// SIGTERM; how the site ended.
    pub fn terminate(&mut self, site: usize) -> ExitStatus {
        self.running(site).terminate()
    }

    /// Waits for a site to end by itself.
    pub fn wait_for_end(&mut self, site: usize) -> ExitStatus {
        self.running(site).wait("its end")
    }

    fn running(&mut self, site: usize) -> Process {
        let Site { name, process, .. } = &mut self.sites[site];
        process.take().unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// A client of a site.
    pub fn connect(&self, site: usize) -> Client {
        let Site { name, ports, .. } = &self.sites[site];
        Client::connect(ports.sql).unwrap_or_else(|e| panic!("cannot connect to {name}: {e:?}"))
    }

    /// Runs a command of the program to its end, which must come.
    pub fn command(&self, arguments: &[&str]) -> Output {
        static RUN: AtomicU32 = AtomicU32::new(0);
        let base = self.folder.join(format!("command-{}", RUN.fetch_add(1, Ordering::Relaxed)));
        let (out, err) = (base.with_extension("out"), base.with_extension("err"));
        let status = Process::start_apart(&self.program, arguments, &out, &err).wait("the end of a command");
        let read = |path: &Path| fs::read(path).unwrap_or_default();
        let output = Output { status, stdout: read(&out), stderr: read(&err) };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.contains("panicked"), "{arguments:?} panicked: {errors}");
        output
    }

    /// Runs a command that must fail with this exit code; what it says.
    pub fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.command(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} said {said:?}");
        said
    }

    /// A start that must fail by itself with this exit code; what it says.
    pub fn refuses_to_start(&self, site: usize, code: i32) -> String {
        self.fails(&["start", "--site", &self.sites[site].name, "--config", &self.config()], code)
    }

    /// Runs statements through `gemini shell`; its output.
    pub fn shell(&self, site: usize, sql: &str) -> String {
        let name = &self.sites[site].name;
        let output = self.command(&["shell", "--config", &self.config(), "--site", name, "-c", sql]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn tell_relay(&self, command: &str) {
        let relay = self.relay.as_ref().unwrap_or_else(|| panic!("a cluster of one has no links"));
        let talk = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", relay.control))?;
            writeln!(stream, "{command}")?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer)?;
            Ok(answer)
        };
        let answer = talk().unwrap_or_else(|e| panic!("the relay does not answer: {e}"));
        assert_eq!(answer, "ok\n", "{command}");
    }

    /// Cuts the direct link between two sites.
    pub fn cut(&self, a: usize, b: usize) {
        self.tell_relay(&format!("cut {} {}", self.sites[a].name, self.sites[b].name));
    }

    /// Cuts a site off from all others.
    pub fn isolate(&self, site: usize) {
        self.tell_relay(&format!("isolate {}", self.sites[site].name));
    }

    /// Ends every cut.
    pub fn heal(&self) {
        self.tell_relay("heal all");
    }

    /// What a site says of itself.
    pub fn status(&self, site: usize) -> Option<Value> {
        page(self.sites[site].ports.http, "/status")
    }

    /// What a site's tables hold, with the frontier they hold it at.
    pub fn digest(&self, site: usize) -> Option<Value> {
        page(self.sites[site].ports.http, "/digest")
    }

    /// Whom a site follows in the red order.
    pub fn leader(&self, site: usize) -> Option<String> {
        self.status(site)?["leader"].as_str().map(str::to_owned)
    }

    /// The sites that run.
    pub fn up(&self) -> Vec<usize> {
        (0..self.sites.len()).filter(|site| self.sites[*site].process.is_some()).collect()
    }

    /// Waits for an answer; a test that waits in vain fails.
    pub fn wait<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        patiently(PATIENCE, ask).unwrap_or_else(|| panic!("waited in vain for {what}"))
    }

    /// Waits until every running site follows `leader`.
    pub fn wait_for_leader(&self, leader: usize) {
        let name = self.sites[leader].name.as_str();
        self.wait(&format!("{name} to lead"), || {
            self.up().iter().all(|site| self.leader(*site).as_deref() == Some(name)).then_some(())
        });
    }

    /// Waits until all running sites follow one leader that is not `but`; which.
    pub fn wait_for_another_leader(&self, but: usize) -> String {
        let but = self.sites[but].name.as_str();
        self.wait(&format!("another leader than {but}"), || {
            let leaders: Vec<_> = self.up().iter().map(|site| self.leader(*site)).collect();
            let first = leaders.first().cloned().flatten()?;
            let agreed = first != but && leaders.iter().all(|l| l.as_deref() == Some(first.as_str()));
            agreed.then_some(first)
        })
    }

    /// Waits until all running sites have applied the same, and compares what their tables hold. The digest's page.
    pub fn converged(&self) -> Value {
        let digests = self.level();
        for two in digests.windows(2) {
            assert_eq!(two[0]["tables"], two[1]["tables"], "equal frontiers, different tables");
            assert_eq!(two[0]["total"], two[1]["total"], "equal frontiers, different digests");
        }
        digests.into_iter().next().unwrap_or_else(|| panic!("no site runs"))
    }

    /// Waits until all running sites have applied the same; what their tables hold, each one's.
    pub fn level(&self) -> Vec<Value> {
        self.wait("equal frontiers", || {
            let digests: Option<Vec<Value>> = self.up().iter().map(|site| self.digest(*site)).collect();
            let digests = digests?;
            digests.windows(2).all(|two| two[0]["frontier"] == two[1]["frontier"]).then_some(digests)
        })
    }

    /// Waits until a query answers this one value at a site.
    pub fn wait_for_value(&self, site: usize, sql: &str, value: &str) {
        let client = self.connect(site);
        let mut last = String::new();
        let seen = patiently(PATIENCE, || {
            last = format!("{:?}", client.query(sql));
            (last == format!("{:?}", Ok::<_, Failed>(vec![vec![value.to_owned()]]))).then_some(())
        });
        assert!(seen.is_some(), "{} never answered {value} to {sql}, but {last}", self.sites[site].name);
    }

    fn logs(&self) -> impl Iterator<Item = (&str, String)> {
        let relay = fs::read_to_string(self.folder.join("relay.log")).unwrap_or_default();
        let sites = (0..self.sites.len()).map(|site| (self.sites[site].name.as_str(), self.log(site)));
        sites.chain([("relay", relay)])
    }

    /// What somebody needs who looks at a failed test.
    fn tell_all(&self) {
        for site in self.up() {
            match self.status(site) {
                Some(status) => eprintln!("---- status of {}\n{status:#}", self.sites[site].name),
                None => eprintln!("---- {} gives no status", self.sites[site].name),
            }
        }
        for (name, log) in self.logs() {
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("---- end of the log of {name}");
            lines[lines.len().saturating_sub(TAIL)..].iter().for_each(|line| eprintln!("{line}"));
        }
        eprintln!("---- all of it is kept in {}", self.folder.display());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return self.tell_all();
        }
        let panicked: Vec<String> = self
            .logs()
            .filter(|(_, log)| log.contains("panicked"))
            .map(|(name, _)| name.to_owned())
            .collect();
        if !panicked.is_empty() {
            self.tell_all();
            panic!("{} panicked: see the log", panicked.join(" and "));
        }
        self.sites.iter_mut().for_each(|site| drop(site.process.take()));
        self.relay = None;
        // What cannot be removed harms no test.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A page of a site; None if there is no answer.
pub fn http(port: u16, path: &str) -> Option<(u16, String)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn page(port: u16, path: &str) -> Option<Value> {
    let (code, body) = http(port, path)?;
    if code == 200 { serde_json::from_str(&body).ok() } else { None }
}

/// Whether a file exists whose name begins so.
pub fn files(folder: &Path, beginning: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()));
    let named = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(beginning));
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(named).collect();
    found.sort();
    found
}
