//! The sites under test: three processes, a relay between them, and what can be done to them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::plan::Fault;
use crate::Error;
use crate::micro::servers::{answers, beside, complete, end, free_port, place, spawn};
use crate::tpcw::Target;

/// As far apart as is worth waiting for.
const ROUND_TRIP_MS: u64 = 20;
/// The size of the small disk, if one can be mounted: its log and store must fit many times.
const SMALL_DISK: u64 = 3 << 30;
/// What a full disk still has: less than a site needs to go on writing.
const LEFT_FREE: u64 = 24 << 20;
/// Every site's memory: small, so that rows are folded all the time.
const BUDGET: &str = "256MiB";
/// A site drains for up to 10 s, and has then some time left.
const DRAIN: Duration = Duration::from_secs(20);

/// All processes; they end with it.
pub struct Sites {
    program: PathBuf,
    home: PathBuf,
    names: Vec<&'static str>,
    /// One per site.
    pub targets: Vec<Target>,
    children: Vec<Option<Child>>,
    /// Told to drain: they may end, in good order.
    draining: BTreeSet<usize>,
    relay: Child,
    control: u16,
    /// The site whose data folder is a disk of its own.
    small: Option<Small>,
}

/// A file system in memory, mounted where a site keeps its data.
struct Small {
    at: PathBuf,
}

impl Small {
    /// None where it cannot be mounted: it takes root.
    fn mount(at: &Path) -> Option<Small> {
        fs::create_dir_all(at).ok()?;
        let size = format!("size={SMALL_DISK}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "gemini-soak"]).arg(at).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Small { at: at.to_owned() })
    }

    fn hog(&self) -> PathBuf {
        self.at.join("hog")
    }

    /// Takes what is free, all but a little.
    fn fill(&self) -> Result<(), Error> {
        let failed = |e: std::io::Error| Error::Failed(format!("cannot fill {}: {e}", self.at.display()));
        let output =
            Command::new("df").args(["--output=avail", "-B1"]).arg(&self.at).output().map_err(failed)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let free: u64 = text.lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or(0);
        let mut hog = File::create(self.hog()).map_err(failed)?;
        let block = vec![7; 1 << 20];
        for _ in 0..free.saturating_sub(LEFT_FREE) >> 20 {
            hog.write_all(&block).map_err(failed)?;
        }
        Ok(())
    }

    fn empty(&self) -> Result<(), Error> {
        fs::remove_file(self.hog()).map_err(|e| Error::Failed(format!("cannot make room: {e}")))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process may still be about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

impl Sites {
    /// Makes the cluster in a new folder and starts every site.
    pub async fn start(home: &Path, program: Option<&Path>, names: &[&'static str]) -> Result<Sites, Error> {
        let program = program.map_or_else(beside, |program| Ok(program.to_owned()))?;
        complete(Command::new(&program).arg("init").arg(home).args(["--sites", &names.join(",")]))?;
        let config = home.join("sites.toml");
        let failed = |e| Error::Failed(format!("cannot change {}: {e}", config.display()));
        let text = fs::read_to_string(&config).map_err(failed)?;
        let (text, ports) = place(text, names, ROUND_TRIP_MS)?;
        let text = text.replace("[memory]\n", &format!("[memory]\nbudget = \"{BUDGET}\"\n"));
        fs::write(&config, text).map_err(failed)?;
        let control = free_port()?;
        let mut relay = Command::new(&program);
        relay.args(["relay", "--control", &format!("127.0.0.1:{control}"), "--config"]).arg(&config);
        let relay = spawn(&mut relay, &home.join("relay.log"))?;
        let last = names.len() - 1;
        let mut sites = Sites {
            small: Small::mount(&home.join("data").join(names[last])),
            program,
            home: home.to_owned(),
            names: names.to_vec(),
            targets: names
                .iter()
                .zip(ports)
                .map(|(name, port)| Target::at(name, "127.0.0.1", port))
                .collect(),
            children: names.iter().map(|_| None).collect(),
            draining: BTreeSet::new(),
            relay,
            control,
        };
        for site in 0..names.len() {
            sites.launch(site)?;
            sites.answers(site).await?;
        }
        Ok(sites)
    }

    /// Whether one of them has a disk that can be filled.
    pub fn has_small_disk(&self) -> bool {
        self.small.is_some()
    }

    fn config(&self) -> PathBuf {
        self.home.join("sites.toml")
    }

    /// What a site has said since its first start.
    pub fn log(&self, site: usize) -> PathBuf {
        self.home.join(format!("{}.log", self.names[site]))
    }

    fn clock(&self, site: usize) -> PathBuf {
        self.home.join(format!("{}.clock", self.names[site]))
    }

    fn launch(&mut self, site: usize) -> Result<(), Error> {
        let log = self.log(site);
        let failed = |e: std::io::Error| Error::Failed(format!("cannot start {}: {e}", self.names[site]));
        let file = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.args(["start", "--site", self.names[site], "--config"]).arg(self.config());
        command.env("GEMINI_TEST_CLOCK", self.clock(site));
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().map_err(failed)?;
        self.children[site] = Some(child);
        Ok(())
    }

    /// Until the site takes a connection; an error if it ends instead.
    pub async fn answers(&mut self, site: usize) -> Result<(), Error> {
        let log = self.log(site);
        match &mut self.children[site] {
            Some(child) => answers(&self.targets[site], child, &log).await,
            None => Err(Error::Failed(format!("{} does not run", self.names[site]))),
        }
    }

    /// A site that has ended by itself.
    pub fn fallen(&mut self) -> Option<String> {
        for (site, child) in self.children.iter_mut().enumerate() {
            if let Some(Ok(Some(status))) = child.as_mut().map(Child::try_wait) {
                if status.success() && self.draining.contains(&site) {
                    continue;
                }
                let log = self.home.join(format!("{}.log", self.names[site]));
                let words = fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = words.lines().collect();
                let tail = lines[lines.len().saturating_sub(12)..].join("\n");
                return Some(format!("{} has ended by itself ({status}):\n{tail}", self.names[site]));
            }
        }
        None
    }

    /// Lets a fault begin.
    pub fn begin(&mut self, fault: Fault) -> Result<(), Error> {
        match fault {
            Fault::Killed(site) => {
                if let Some(mut child) = self.children[site].take() {
                    // An error means that it has ended, which `fallen` would have told.
                    let _ = child.kill();
                    let _ = child.wait();
                }
                Ok(())
            }
            Fault::Restarted(site) => {
                self.draining.insert(site);
                self.signal(site, "-TERM");
                Ok(())
            }
            Fault::Stopped(site) => {
                self.signal(site, "-STOP");
                Ok(())
            }
            Fault::Cut(a, b) => self.relay(&format!("cut {} {}", self.names[a], self.names[b])),
            Fault::Isolated(site) => self.relay(&format!("isolate {}", self.names[site])),
            Fault::Clock(site, ms) => self.shift(site, ms),
            Fault::Full => self.small.as_ref().map_or(Ok(()), Small::fill),
        }
    }

    /// Ends a fault.
    pub async fn end(&mut self, fault: Fault) -> Result<(), Error> {
        match fault {
            Fault::Killed(site) => self.launch(site),
            Fault::Restarted(site) => {
                self.drained(site).await?;
                self.launch(site)
            }
            Fault::Stopped(site) => {
                self.signal(site, "-CONT");
                Ok(())
            }
            Fault::Cut(a, b) => self.relay(&format!("heal {} {}", self.names[a], self.names[b])),
            Fault::Isolated(_) => self.relay("heal all"),
            Fault::Clock(site, _) => self.shift(site, 0),
            Fault::Full => self.small.as_ref().map_or(Ok(()), Small::empty),
        }
    }

    fn signal(&self, site: usize, signal: &str) {
        if let Some(child) = &self.children[site] {
            // It fails only for a process that has ended, and `fallen` tells that.
            let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
        }
    }

    /// Waits for a site that was told to stop.
    async fn drained(&mut self, site: usize) -> Result<(), Error> {
        let name = self.names[site];
        self.draining.remove(&site);
        let Some(mut child) = self.children[site].take() else { return Ok(()) };
        let patience = Instant::now() + DRAIN;
        while Instant::now() < patience {
            match child.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(Some(status)) if status.success() => return Ok(()),
                ended => {
                    return Err(Error::Failed(format!("{name} was told to drain and ended with {ended:?}")));
                }
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(Error::Failed(format!("{name} has not drained within {} s", DRAIN.as_secs())))
    }

    fn shift(&self, site: usize, ms: i64) -> Result<(), Error> {
        fs::write(self.clock(site), ms.to_string())
            .map_err(|e| Error::Failed(format!("cannot set the clock of {}: {e}", self.names[site])))
    }

    fn relay(&self, command: &str) -> Result<(), Error> {
        let talk = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.control))?;
            writeln!(stream, "{command}")?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer)?;
            Ok(answer)
        };
        match talk() {
            Ok(answer) if answer == "ok\n" => Ok(()),
            other => Err(Error::Failed(format!("the relay was told to {command} and said {other:?}"))),
        }
    }

    /// Runs a command of the program over the cluster.
    pub fn command(&self, arguments: &[&str]) -> Result<Output, Error> {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--config"]).arg(self.config());
        command.output().map_err(|e| Error::Failed(format!("cannot run {command:?}: {e}")))
    }

    /// Drains every site, then lets each data folder be checked; what was wrong.
    pub async fn check_folders(&mut self) -> Result<Vec<String>, Error> {
        let mut wrong = Vec::new();
        for site in 0..self.names.len() {
            self.signal(site, "-TERM");
            self.drained(site).await?;
        }
        for name in &self.names {
            let data = self.home.join("data").join(name);
            let output = Command::new(&self.program)
                .arg("check")
                .arg(&data)
                .args(["--scratch"])
                .arg(&self.home)
                .output()
                .map_err(|e| Error::Failed(format!("cannot run gemini check: {e}")))?;
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                wrong.push(format!("{name}: {}", String::from_utf8_lossy(&said).trim()));
            }
        }
        Ok(wrong)
    }

    /// Lines of the sites' logs that speak of a panic.
    pub fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for site in 0..self.names.len() {
            let text = fs::read_to_string(self.log(site)).unwrap_or_default();
            let lines = text.lines().filter(|line| line.contains("panicked") || line.contains("DIVERGENCE"));
            found.extend(lines.map(|line| format!("{}: {line}", self.names[site])));
        }
        found
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        for site in 0..self.names.len() {
            // One that stands still would not hear the end.
            self.signal(site, "-CONT");
            if let Some(child) = &mut self.children[site] {
                end(child, "-TERM");
            }
        }
        end(&mut self.relay, "-TERM");
    }
}
