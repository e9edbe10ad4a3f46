//! Frames between sites over QUIC with mutual TLS.
//!
//! ```text
//!            send(site, link, bytes)                                Inbox::offer(Event)
//!  caller ────────► outbox ──► writer ──► uni stream ═══► reader ────────► caller
//!                  (bounded)   (batches)                 (credit)         (bounded)
//! ```
//!
//! One connection joins two sites; the site with the lesser id dials, again and again with a jittered backoff. On it
//! each side keeps **one long-lived ordered stream** for its frames, and opens a fresh stream for each request, so
//! that a large answer does not stand in the way of a commit. The bytes of a frame are the caller's own.
//!
//! What a caller may rely on:
//!
//! 1. Frames of one link arrive whole, once, and in order; `Down` says that some at the end may be missing.
//! 2. `Up` comes after a first round trip: a connection whose certificate the other side refuses never is up.
//! 3. A frame is sent only on the link it was meant for ([`LinkId`]): what was said before a break is never heard
//!    after it.
//! 4. Nothing grows: what waits to be sent is bounded per peer (a peer that does not drain loses its link), what was
//!    received and is not handled is bounded per peer by [`Credit`], and then QUIC's flow control holds the sender.
//! 5. A peer that is dead or cut off is `Down` within [`Limits::dead_after`]; a restarted one at once.
//!
//! It does not resend over a new link, compress, route, or know what a frame says: that is `causal`'s and the site's.

mod frame;
mod inbox;
mod link;
mod outbox;
mod peer;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gemini_shadow_ops::SiteId;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

pub use inbox::{Credit, Event, Events, Inbox, LinkId, Reply, channel};
pub use tls::{Identity, server_name};

use peer::Peer;

/// Names a cluster; drawn at random by `gemini init`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a transport may hold and how long it waits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest frame, request or answer, in bytes. Below 4 GiB.
    pub frame: usize,
    /// Bytes queued for one peer; over it the link is dropped.
    pub outbox: usize,
    /// Bytes received from one peer and not handled yet.
    pub inbox: usize,
    /// QUIC's flow-control window for a stream: the bytes in flight.
    pub window: usize,
    /// Requests of one peer at a time.
    pub requests: u32,
    /// A quiet link is probed this often.
    pub heartbeat: Duration,
    /// A peer not heard of for so long is down.
    pub dead_after: Duration,
    /// A peer that takes nothing for so long, though alive, loses its link.
    pub stalled_after: Duration,
    /// Certificate exchange and first round trip.
    pub handshake: Duration,
    /// The longest pause between two attempts to connect.
    pub retry: Duration,
    /// A request not answered for so long has failed.
    pub request: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame: crate::wire::MAX_FRAME + crate::wire::HEADER,
            outbox: 128 << 20,
            inbox: 32 << 20,
            window: 16 << 20,
            requests: 64,
            heartbeat: Duration::from_millis(300),
            dead_after: Duration::from_millis(1500),
            stalled_after: Duration::from_secs(10),
            handshake: Duration::from_millis(2500),
            retry: Duration::from_secs(1),
            request: Duration::from_secs(10),
        }
    }
}

/// Another site.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Its id.
    pub site: SiteId,
    /// Its name; its certificate must carry it.
    pub name: String,
    /// Where to reach it: its own address, or that of a relay before it.
    pub address: SocketAddr,
}

/// How to start a transport.
#[derive(Clone, Debug)]
pub struct Config {
    /// Peers of another cluster are refused.
    pub cluster: ClusterId,
    /// This site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// The UDP address to listen on, and to dial from.
    pub listen: SocketAddr,
    /// This site's certificate and key, and the cluster's authority.
    pub identity: Identity,
    /// The other sites.
    pub peers: Vec<PeerConfig>,
    /// Bounds.
    pub limits: Limits,
}

/// Why a transport cannot start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("cannot read the {what} {}: {cause}; `gemini init` makes it", path.display())]
    Identity { what: &'static str, path: PathBuf, cause: String },
    #[error("{0}")]
    Tls(String),
    #[error(
        "cannot listen for other sites on {address} (UDP): {cause}; is another process there, or this site already running?"
    )]
    Bind { address: SocketAddr, cause: std::io::Error },
    #[error("the transport needs a tokio runtime around it")]
    NoRuntime,
    #[error("site {0} is listed twice, or is this site")]
    Peers(SiteId),
}

/// Why a frame was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum SendError {
    /// `Down` for this link has been told, or will be.
    #[error("the link is down")]
    Down,
    /// The peer does not drain; the link is being dropped.
    #[error("the peer does not take what is sent: {queued} bytes wait")]
    Backlogged { queued: usize },
    #[error("a frame of {length} bytes is longer than the limit of {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("no such peer: site {0}")]
    NoSuchPeer(SiteId),
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum RequestError {
    #[error("{0}")]
    Send(#[from] SendError),
    #[error("the link broke before the answer: {0}")]
    Broken(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("the peer refuses the request: {0}")]
    Refused(String),
}

/// How a peer is, for status pages.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PeerStatus {
    pub site: SiteId,
    pub name: String,
    pub address: SocketAddr,
    /// The link, if it is up.
    pub link: Option<LinkId>,
    /// The smoothed round trip, if the link is up.
    pub round_trip: Option<Duration>,
    /// Why it is, or last was, down.
    pub last_error: Option<String>,
    pub queued_bytes: usize,
    pub frames_sent: u64,
    pub frames_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Links made since the start.
    pub links: u64,
}

/// What the tasks of one transport share.
struct Shared {
    cluster: ClusterId,
    site: SiteId,
    name: String,
    limits: Limits,
    endpoint: quinn::Endpoint,
    inbox: Arc<dyn Inbox>,
    /// They only come, see [`Transport::meet`].
    peers: RwLock<BTreeMap<SiteId, Arc<Peer>>>,
    runtime: tokio::runtime::Handle,
    next_link: AtomicU64,
    /// The last connection refused before it had a name.
    refused: Mutex<Option<String>>,
    closing: watch::Sender<bool>,
}

/// The handle: cheap to clone, the transport lives until [`Transport::close`].
#[derive(Clone)]
pub struct Transport(Arc<Shared>);

impl Transport {
    /// Listens and dials. Call it within a tokio runtime.
    pub fn start(config: Config, inbox: Arc<dyn Inbox>) -> Result<Transport, Error> {
        let runtime = quinn::default_runtime().ok_or(Error::NoRuntime)?;
        let configs = tls::configs(&config.identity, &config.limits)?;
        let address = config.listen;
        let socket = UdpSocket::bind(address).map_err(|cause| Error::Bind { address, cause })?;
        let mut endpoint = quinn::Endpoint::new(configs.endpoint, Some(configs.server), socket, runtime)
            .map_err(|cause| Error::Bind { address, cause })?;
        endpoint.set_default_client_config(configs.client);

        let shared = Arc::new(Shared {
            cluster: config.cluster,
            site: config.site,
            name: config.name,
            limits: config.limits,
            endpoint,
            inbox,
            peers: RwLock::default(),
            runtime: tokio::runtime::Handle::current(),
            next_link: AtomicU64::new(1),
            refused: Mutex::default(),
            closing: watch::Sender::new(false),
        });
        let transport = Transport(shared);
        for peer in config.peers {
            let site = peer.site;
            if !transport.meet(peer) {
                return Err(Error::Peers(site));
            }
        }
        tokio::spawn(peer::accept(transport.0.clone()));
        Ok(transport)
    }

    /// Another site to be linked with, from now on. False: it is known already, or is this one.
    pub fn meet(&self, peer: PeerConfig) -> bool {
        let shared = &self.0;
        let site = peer.site;
        let (peer, knock) = Peer::new(peer, shared.limits.outbox, shared.limits.inbox);
        let mut peers = shared.peers.write();
        if site == shared.site || peers.contains_key(&site) {
            return false;
        }
        peers.insert(site, peer.clone());
        shared.runtime.spawn(peer::run(shared.clone(), peer, knock));
        true
    }

    /// Where this transport listens (of use when the port was 0).
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.0.endpoint.local_addr()
    }

    /// Queues a frame on the link that `Up` named. Never waits; frames of one link arrive in order.
    pub fn send(&self, site: SiteId, link: LinkId, frame: Bytes) -> Result<(), SendError> {
        self.check(site, frame.len())?.outbox.push(link, frame)
    }

    /// Sends a request on a stream of its own and waits for the answer.
    pub async fn request(&self, site: SiteId, body: Bytes) -> Result<Bytes, RequestError> {
        let peer = self.check(site, body.len())?;
        let connection = peer.connection().ok_or(SendError::Down)?;
        let exchange = link::request(&self.0, &peer.name, connection, body);
        match tokio::time::timeout(self.0.limits.request, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::TimedOut),
        }
    }

    fn check(&self, site: SiteId, length: usize) -> Result<Arc<Peer>, SendError> {
        let limit = self.0.limits.frame;
        if length > limit {
            return Err(SendError::TooLong { length, limit });
        }
        self.0.peers.read().get(&site).cloned().ok_or(SendError::NoSuchPeer(site))
    }

    /// Ends a link because of what the peer said on it; both logs get the reason. The dialling side tries again, less
    /// and less often while links are short-lived.
    pub fn disconnect(&self, site: SiteId, reason: &str) {
        let connection = self.0.peers.read().get(&site).and_then(|peer| peer.connection());
        if let Some(connection) = connection {
            connection.close(link::CODE_DISCONNECTED.into(), reason.as_bytes());
        }
    }

    /// How the peers are, in order of their ids.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.0.peers.read().values().map(|peer| peer.status()).collect()
    }

    /// The last connection that was refused before it could be named: a foreign certificate, say.
    pub fn last_refused(&self) -> Option<String> {
        self.0.refused.lock().clone()
    }

    /// Ends all links and waits until the peers know, for at most a second. The address is free again when the last
    /// handle is dropped and the library's own task has ended: see [`released`].
    pub async fn close(&self) {
        self.0.endpoint.close(link::CODE_CLOSED.into(), b"it shuts down");
        // After the close, or the peers would see streams end without a reason.
        self.0.closing.send_replace(true);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.endpoint.wait_idle()).await;
    }
}

/// Waits until a new transport can listen on the address of one that was closed and whose handles were dropped: the
/// library lets go of its socket in a task of its own. False if something still holds it after so long.
pub async fn released(address: SocketAddr, within: Duration) -> bool {
    let probe = async {
        while let Err(cause) = UdpSocket::bind(address) {
            tracing::debug!(%address, %cause, "waiting until the address is free");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(within, probe).await.is_ok()
}

impl Shared {
    fn new_link(&self) -> LinkId {
        LinkId(self.next_link.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
