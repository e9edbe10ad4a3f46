//! A site's life as a process: open, serve, drain, leave.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gemini_engine::{Disk, RealDisk, Store};
use gemini_replication::quic::{Inbox, Transport, released};
use gemini_sql::host::Durability;
use gemini_sql::pg;
use ring::rand::SystemRandom;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::archive;
use super::mailbox::{Courier, Message, now, random};
use super::options::site_options;
use super::report::Report;
use super::stepper::{Ended, Left, Signals, Stepper};
use super::{images, threads, wall};
use crate::config::{Cluster, ConfigError, Site as SiteConfig};
use crate::host::SiteHost;
use crate::http;
use crate::site::{Input, OpenError, Site};

/// What may wait for the site thread.
const QUEUE: usize = 8192;
/// How long a site that is opened anew waits for the address that it listened on before.
const RELEASE: Duration = Duration::from_secs(10);

/// Why a site does not run, or no longer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DriverError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot create the data folder {}: {cause}", path.display())]
    Folder { path: PathBuf, cause: io::Error },
    #[error("cannot open the data in {}: {cause}", path.display())]
    Open { path: PathBuf, cause: Box<OpenError> },
    #[error("cannot use {what} in {}: {cause}", path.display())]
    Storage { what: &'static str, path: PathBuf, cause: String },
    #[error(
        "cannot listen for {what} on {address}: {cause}; is another process there, or this site already running?"
    )]
    Listen { what: &'static str, address: SocketAddr, cause: io::Error },
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error("{0}")]
    Stopped(String),
    /// Not a failure: it is to be opened again.
    #[error("the site opens its data anew: {0}")]
    Reopen(String),
}

/// A site's data: what outlives the opening of the site in one process.
#[derive(Clone)]
struct Data {
    disk: Arc<dyn Disk>,
    store: Arc<dyn Store>,
}

impl Data {
    fn open(cluster: &Cluster, config: &SiteConfig) -> Result<Data, DriverError> {
        let disk = open_disk(&config.data)?;
        let store = open_store(config, cluster.shares().store)?;
        Ok(Data { disk, store })
    }
}

/// A site that runs in this process.
pub struct Running {
    /// What sessions use.
    pub host: Arc<SiteHost>,
    courier: Courier,
    transport: Transport,
    drained: watch::Receiver<bool>,
    ended: oneshot::Receiver<Ended>,
    /// SQL and HTTP; ended by dropping.
    servers: JoinSet<()>,
    /// Tells the SQL front door to send its clients away.
    closing: watch::Sender<bool>,
    drain: Duration,
}

impl Running {
    /// Opens the data, joins the other sites, and serves. Call it within a multi-threaded tokio runtime.
    pub async fn start(cluster: &Cluster, config: &SiteConfig) -> Result<Running, DriverError> {
        Running::start_on(cluster, config, &mut None).await
    }

    /// The same on data that may be open already.
    async fn start_on(
        cluster: &Cluster,
        config: &SiteConfig,
        data: &mut Option<Data>,
    ) -> Result<Running, DriverError> {
        wall::follow_test()?;
        // Bound first: a second start of the same site must fail before it touches anything.
        let http = listen("HTTP", config.http).await?;
        let sql = listen("SQL", config.sql).await?;
        let transport_config = cluster.transport(config)?;
        let Data { disk, store } = match data {
            Some(data) => data.clone(),
            None => data.insert(Data::open(cluster, config)?).clone(),
        };
        let courier = Courier::new(QUEUE, disk.clone());

        let mut first = Vec::new();
        let options =
            site_options(cluster, config, random(&SystemRandom::new()), images::found(&config.data));
        let opened = tokio::task::block_in_place(|| {
            Site::open(now(), options, disk.clone(), store.clone(), &mut first)
        });
        let path = &config.data;
        let site =
            opened.map_err(|cause| DriverError::Open { path: path.clone(), cause: Box::new(cause) })?;
        let shared = site.shared().clone();

        let inbox: Arc<dyn Inbox> = Arc::new(courier.clone());
        let transport = Transport::start(transport_config, inbox).map_err(ConfigError::from)?;
        let (senders, mut handles) = threads::start(&disk, site.fold_handle(), &courier)?;
        let (image_sender, handle) = images::start(&config.data, store, &courier)?;
        handles.push(handle);
        let archive = Arc::new(archive::Standing::default());
        let (archiving, stop) = std::sync::mpsc::channel();
        if let Some(to) = &cluster.archive {
            handles.push(archive::start(to, config, site.engine().archiver(), archive.clone(), stop)?);
        }
        let (visible_sender, visible) = watch::channel(shared.reader.visible());
        let (drained_sender, drained) = watch::channel(false);
        let (ended_sender, ended) = oneshot::channel();
        let signals = Signals { visible: visible_sender, drained: drained_sender };
        let turns = courier.turns.clone();
        let stepper = Stepper::new(site, senders, image_sender, transport.clone(), signals, first);
        stepper.meet();
        turns.begin(stepper);
        threads::spawn("gemini-site", move || {
            let ended = turns.keep();
            drop(archiving);
            // The others end with their queues; a batch under way is finished first.
            for handle in handles {
                // A thread that panicked is reported by the panic itself.
                let _ = handle.join();
            }
            // The driver may have given up waiting.
            let _ = ended_sender.send(ended);
        })?;

        let names: Vec<_> = cluster.sites.iter().map(|site| (site.id, site.name.clone())).collect();
        let mailbox = Arc::new(courier.clone());
        let host = Arc::new(SiteHost::new(config.id, names.clone(), shared.clone(), mailbox, visible));
        let report = Report {
            name: config.name.clone(),
            id: config.id,
            names,
            shared,
            transport: transport.clone(),
            courier: courier.clone(),
            archive: cluster.archive.is_some().then_some(archive),
        };
        let mut servers = JoinSet::new();
        servers.spawn(http::serve(http, Arc::new(report)));
        let (closing, closed) = watch::channel(false);
        let durability = match cluster.durability {
            Durability::Local => "local",
            Durability::Quorum => "quorum",
        };
        let limits = pg::Limits {
            connections: cluster.memory.connections,
            settings: vec![("gemini.durability".to_owned(), durability.to_owned())],
            ..pg::Limits::default()
        };
        let front = pg::serve(sql, host.clone(), limits, closed);
        servers.spawn(async move {
            if let Err(e) = front.await {
                tracing::error!("SQL clients can no longer connect: {e}");
            }
        });
        tracing::info!(site = %config.name, sql = %config.sql, http = %config.http, peer = %config.peer, "running");
        Ok(Running {
            host,
            courier,
            transport,
            drained,
            ended,
            servers,
            closing,
            drain: cluster.timeouts.drain,
        })
    }

    /// Resolves when the site stops by itself: always an error.
    pub async fn ended(&mut self) -> DriverError {
        match (&mut self.ended).await {
            Ok(Err(reason)) => DriverError::Stopped(reason),
            Ok(Ok(Left::Reopen(reason))) => DriverError::Reopen(reason),
            Ok(Ok(Left::Stopped)) => DriverError::Stopped("the site thread has left".into()),
            Err(_) => DriverError::Stopped(
                "the site thread has panicked; restart the site, what was acknowledged is durable".into(),
            ),
        }
    }

    /// Drains and leaves; what does not end within the drain time is cut off.
    pub async fn stop(mut self) -> Result<(), DriverError> {
        self.closing.send_replace(true);
        self.courier.insist(Input::Drain);
        let drained = async {
            // An error means that the site thread has ended: `ended` says how.
            let _ = self.drained.wait_for(|drained| *drained).await;
        };
        if timeout(self.drain, drained).await.is_err() {
            tracing::warn!("not everything in flight ended within {:?}; it is cut off", self.drain);
        }
        self.servers.shutdown().await;
        self.courier.turns.queue.insist(Message::Stop);
        let ended = (&mut self.ended).await;
        self.transport.close().await;
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(reason)) => Err(DriverError::Stopped(reason)),
            Err(_) => Err(DriverError::Stopped("the site thread has panicked".into())),
        }
    }

    /// Lets go of everything around a site that has left to be opened anew: its clients are sent away, and its
    /// addresses can be used again.
    async fn let_go(mut self, peer: SocketAddr) {
        self.closing.send_replace(true);
        self.servers.shutdown().await;
        self.transport.close().await;
        drop(self);
        // If something still holds it, the next start says so.
        released(peer, RELEASE).await;
    }
}

/// `gemini start`: runs until a signal or a failure.
pub async fn run_until_stopped(cluster: &Cluster, config: &SiteConfig) -> Result<(), DriverError> {
    let mut stop = std::pin::pin!(super::stop_signal());
    let mut data = None;
    loop {
        let mut running = Running::start_on(cluster, config, &mut data).await?;
        println!(
            "{} is up: psql -h {} -p {} -U gemini gemini",
            config.name,
            config.sql.ip(),
            config.sql.port()
        );
        tokio::select! {
            signal = &mut stop => {
                tracing::info!("{signal}: draining");
                return running.stop().await;
            }
            ended = running.ended() => match ended {
                DriverError::Reopen(reason) => {
                    tracing::info!(reason, "the site opens its data anew");
                    running.let_go(config.peer).await;
                }
                failure => return Err(failure),
            },
        }
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, DriverError> {
    TcpListener::bind(address).await.map_err(|cause| DriverError::Listen { what, address, cause })
}

fn open_disk(data: &Path) -> Result<Arc<dyn Disk>, DriverError> {
    let path = data.join("log");
    // The log's folder is made first, the store's after it: a store without a log has lost its log. A site that began
    // anew here would give its dots and values away a second time.
    if !path.exists() && data.join("store").exists() {
        let cause =
            "it is gone, though the store beside it is there; put it back, or let the site join as a new one";
        return Err(DriverError::Storage { what: "the log", path, cause: cause.into() });
    }
    std::fs::create_dir_all(&path).map_err(|cause| DriverError::Folder { path: path.clone(), cause })?;
    let disk = RealDisk::open(&path).map_err(|e| DriverError::Storage {
        what: "the log's folder",
        path,
        cause: e.to_string(),
    })?;
    Ok(Arc::new(disk))
}

fn open_store(config: &SiteConfig, memory: u64) -> Result<Arc<dyn Store>, DriverError> {
    let path = config.data.join("store");
    config.store.open_or_replace(&path, memory).map_err(|e| {
        let cause = e.to_string();
        // The store takes its lock before the log takes its own.
        let taken = cause.contains("could not acquire lock");
        let other = "another process uses this data folder (its lock is taken); stop it first, or name another folder";
        let cause = if taken { other.to_owned() } else { cause };
        DriverError::Storage { what: "the store", path: path.clone(), cause }
    })
}
