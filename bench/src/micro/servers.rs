//! Servers of our own for a measurement: a Gemini site and a PostgreSQL, in the same folder, on free loopback ports. They end with
//! the values that stand for them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::tpcw::Target;

/// A server that does not answer by then will not.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn free_port() -> Result<u16, Error> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let port = socket.and_then(|socket| socket.local_addr()).map(|address| address.port());
    port.map_err(|e| Error::Failed(format!("there is no free port: {e}")))
}

pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Child, Error> {
    let failed = |e| Error::Failed(format!("cannot start {command:?}: {e}"));
    let file = File::create(log).map_err(failed)?;
    let failed = |e| Error::Failed(format!("cannot start: {e}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().map_err(failed)
}

pub(crate) fn complete(command: &mut Command) -> Result<(), Error> {
    let shown = format!("{command:?}");
    let failed = |why: String| Error::Failed(format!("{shown}: {why}"));
    let output = command.stdin(Stdio::null()).output().map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Until it takes a connection; an error with its own words if it ends before.
pub(crate) async fn answers(target: &Target, child: &mut Child, log: &Path) -> Result<(), Error> {
    let end = Instant::now() + PATIENCE;
    loop {
        match target.connect().await {
            Ok(_) => return Ok(()),
            Err(error) => {
                let ended = child.try_wait().ok().flatten();
                if ended.is_some() || Instant::now() > end {
                    let words = fs::read_to_string(log).unwrap_or_default();
                    return Err(Error::Failed(format!("{error}\n{}", words.trim())));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks to stop, waits, insists.
pub(crate) fn end(child: &mut Child, signal: &str) {
    // Failures mean that it has ended already.
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
    let patience = Instant::now() + Duration::from_secs(10);
    while Instant::now() < patience {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Gemini sites, each a process, over emulated links if there are several.
pub struct Gemini {
    /// One per site, in order; the first one's site leads the red order.
    pub targets: Vec<Target>,
    home: PathBuf,
    /// The relay, if there is one, and the sites.
    children: Vec<Child>,
}

impl Gemini {
    /// One site.
    pub async fn alone(folder: &Path, program: Option<&Path>) -> Result<Gemini, Error> {
        Gemini::start(&folder.join("gemini"), program, &["solo"], 0).await
    }

    /// Sites of these names in a new folder, every two of them `round_trip` ms apart.
    pub async fn start(
        home: &Path,
        program: Option<&Path>,
        names: &[&str],
        round_trip: u64,
    ) -> Result<Gemini, Error> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => beside()?,
        };
        complete(Command::new(&program).arg("init").arg(home).args(["--sites", &names.join(",")]))?;
        let config = home.join("sites.toml");
        let failed = |e| Error::Failed(format!("cannot change {}: {e}", config.display()));
        let text = fs::read_to_string(&config).map_err(failed)?;
        let (text, ports) = place(text, names, round_trip)?;
        fs::write(&config, text).map_err(failed)?;

        let mut sites = Gemini { targets: Vec::new(), home: home.to_owned(), children: Vec::new() };
        if names.len() > 1 {
            let mut relay = Command::new(&program);
            relay.args(["relay", "--config"]).arg(&config);
            sites.children.push(spawn(&mut relay, &home.join("relay.log"))?);
        }
        for (name, port) in names.iter().zip(ports) {
            let log = home.join(format!("{name}.log"));
            let mut command = Command::new(&program);
            command.args(["start", "--site", name, "--config"]).arg(&config);
            let mut child = spawn(&mut command, &log)?;
            let target = Target::at(name, "127.0.0.1", port);
            let answered = answers(&target, &mut child, &log).await;
            sites.children.push(child);
            sites.targets.push(target);
            answered?;
        }
        Ok(sites)
    }

    /// A site's data folder.
    pub fn data(&self, name: &str) -> PathBuf {
        self.home.join("data").join(name)
    }
}

impl Drop for Gemini {
    fn drop(&mut self) {
        // The sites before the relay between them.
        for child in self.children.iter_mut().rev() {
            end(child, "-TERM");
        }
    }
}

/// A sites.toml with free ports, whose own may be taken, and with a relay's port between every two sites; the SQL ports.
pub(crate) fn place(text: String, names: &[&str], round_trip: u64) -> Result<(String, Vec<u16>), Error> {
    let mut text = text;
    let mut ports = Vec::new();
    // The system may offer a port twice before anybody has bound it.
    let mut given_out = BTreeSet::new();
    let mut free_port = || loop {
        let port = free_port()?;
        if given_out.insert(port) {
            return Ok::<u16, Error>(port);
        }
    };
    for (i, _) in names.iter().enumerate() {
        for (key, base) in [("sql", 5441), ("peer", 7441), ("http", 8441)] {
            let port = free_port()?;
            let given = format!("{key} = \"127.0.0.1:{}\"", base + i);
            text = text.replace(&given, &format!("{key} = \"127.0.0.1:{port}\""));
            if key == "sql" {
                ports.push(port);
            }
        }
    }
    // The links come last, and are written anew.
    if let Some(links) = text.find("\n[links]") {
        text.truncate(links);
    }
    let mut links = String::from("\n[links]\n");
    for (i, a) in names.iter().enumerate() {
        for b in &names[i + 1..] {
            let port = free_port()?;
            for (here, there) in [(a, b), (b, a)] {
                let table = format!("[site.{here}]\n");
                let via = format!("{table}via.{there} = \"127.0.0.1:{port}\"\n");
                text = text.replace(&table, &via);
            }
            links.push_str(&format!("{a}.{b} = {round_trip}\n"));
        }
    }
    if names.len() > 1 {
        text.push_str(&links);
    }
    Ok((text, ports))
}

/// The program next to this one.
pub(crate) fn beside() -> Result<PathBuf, Error> {
    let here =
        std::env::current_exe().map_err(|e| Error::Failed(format!("cannot find this program: {e}")))?;
    let program = here.with_file_name("gemini");
    if program.exists() {
        return Ok(program);
    }
    let program = program.display();
    Err(Error::Failed(format!(
        "there is no {program}: build it (cargo build --release), or name it with --gemini"
    )))
}

/// A PostgreSQL with its defaults, fsync on.
pub struct Postgres {
    pub target: Target,
    child: Child,
}

impl Postgres {
    pub async fn start(folder: &Path, programs: Option<&Path>) -> Result<Postgres, Error> {
        let programs = programs.map_or_else(installed, Path::to_owned);
        let data = folder.join("postgres");
        fs::create_dir_all(&data)
            .map_err(|e| Error::Failed(format!("cannot create {}: {e}", data.display())))?;
        // PostgreSQL refuses to run as root.
        let root = fs::metadata("/proc/self").is_ok_and(|me| owner(&me) == 0);
        if root {
            complete(Command::new("chown").arg("postgres").arg(&data))?;
            complete(Command::new("chmod").arg("a+rx").arg(folder))?;
        }
        let run = |program: &str| {
            let path = programs.join(program);
            if root {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path);
                command
            } else {
                Command::new(path)
            }
        };
        complete(
            run("initdb").args(["-A", "trust", "-U", "gemini", "--locale=C", "-E", "UTF8", "-D"]).arg(&data),
        )?;
        let port = free_port()?;
        let log = folder.join("postgres.log");
        let mut command = run("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on", "synchronous_commit=on"]
        {
            command.args(["-c", setting]);
        }
        let child = spawn(&mut command, &log)?;
        let mut target = Target::at("postgresql", "127.0.0.1", port);
        target.config.dbname("postgres");
        let mut server = Postgres { target, child };
        answers(&server.target, &mut server.child, &log).await?;
        Ok(server)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown.
        end(&mut self.child, "-INT");
    }
}

#[cfg(unix)]
fn owner(of: &fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;
    of.uid()
}

#[cfg(not(unix))]
fn owner(_: &fs::Metadata) -> u32 {
    1
}

/// Debian's newest, else whatever PATH has.
fn installed() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            let programs = entry.path().join("bin");
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            programs.join("initdb").exists().then_some((version, programs))
        })
        .max();
    newest.map(|(_, programs)| programs).unwrap_or_default()
}
