//! One peer's life: dial it or wait for it, run a link, say why it ended, try again.
//!
//! The site with the lesser id dials, so two sites never race for two connections. A newer connection from a peer
//! replaces an older one: a peer dials again only when its own end is gone. One task runs a peer's links one after
//! the other, hence the order of events that `Event` promises.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gemini_shadow_ops::SiteId;
use parking_lot::Mutex;
use quinn::{Connection, Incoming};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::inbox::{Event, LinkId, deliver};
use super::link::{self, Role};
use super::outbox::Outbox;
use super::tls::{explain, identify, server_name};
use super::{PeerConfig, PeerStatus, Shared};

const FIRST_RETRY: Duration = Duration::from_millis(50);
/// A link that lasted so long was a good one.
const STEADY: Duration = Duration::from_secs(3);

/// Counters of one peer since the start.
#[derive(Default)]
pub(super) struct Counters {
    pub frames_sent: AtomicU64,
    pub frames_received: AtomicU64,
    pub bytes_sent: AtomicU64,
    pub bytes_received: AtomicU64,
    pub links: AtomicU64,
}

/// What is known of one peer.
pub(super) struct Peer {
    pub site: SiteId,
    pub name: String,
    pub address: SocketAddr,
    pub outbox: Outbox,
    /// Bytes that may be received and not handled.
    pub credit: Arc<Semaphore>,
    pub counters: Counters,
    state: Mutex<State>,
    /// Connections accepted from it, for its task.
    knock: mpsc::Sender<Connection>,
}

#[derive(Default)]
struct State {
    up: Option<(LinkId, Connection)>,
    last_error: Option<String>,
}

impl Peer {
    pub fn new(config: PeerConfig, outbox: usize, inbox: usize) -> (Arc<Peer>, mpsc::Receiver<Connection>) {
        let (knock, knocks) = mpsc::channel(1);
        let peer = Peer {
            site: config.site,
            name: config.name,
            address: config.address,
            outbox: Outbox::new(outbox),
            credit: Arc::new(Semaphore::new(inbox.clamp(1, u32::MAX as usize))),
            counters: Counters::default(),
            state: Mutex::default(),
            knock,
        };
        (Arc::new(peer), knocks)
    }

    pub fn connection(&self) -> Option<Connection> {
        self.state.lock().up.as_ref().map(|(_, connection)| connection.clone())
    }

    pub fn set_up(&self, link: LinkId, connection: Connection) {
        self.counters.links.fetch_add(1, Ordering::Relaxed);
        self.outbox.open(link);
        self.state.lock().up = Some((link, connection));
    }

    /// Whether the reason is news.
    pub fn set_down(&self, reason: &str) -> bool {
        self.outbox.close();
        let mut state = self.state.lock();
        let news = state.up.is_some() || state.last_error.as_deref() != Some(reason);
        *state = State { up: None, last_error: Some(reason.to_owned()) };
        news
    }

    pub fn status(&self) -> PeerStatus {
        let (up, last_error) = {
            let state = self.state.lock();
            (state.up.clone(), state.last_error.clone())
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PeerStatus {
            site: self.site,
            name: self.name.clone(),
            address: self.address,
            link: up.as_ref().map(|(link, _)| *link),
            round_trip: up.map(|(_, connection)| connection.rtt()),
            last_error,
            queued_bytes: self.outbox.queued(),
            frames_sent: count(&self.counters.frames_sent),
            frames_received: count(&self.counters.frames_received),
            bytes_sent: count(&self.counters.bytes_sent),
            bytes_received: count(&self.counters.bytes_received),
            links: count(&self.counters.links),
        }
    }
}

/// The peer's task.
pub(super) async fn run(shared: Arc<Shared>, peer: Arc<Peer>, mut knocks: mpsc::Receiver<Connection>) {
    let mut closing = shared.closing.subscribe();
    let life = async {
        if shared.site < peer.site {
            dial_forever(&shared, &peer).await;
        } else {
            accept_forever(&shared, &peer, &mut knocks).await;
        }
    };
    tokio::select! {
        () = life => {}
        _ = closing.wait_for(|closing| *closing) => {
            peer.set_down("this site shuts down");
        }
    }
}

async fn dial_forever(shared: &Arc<Shared>, peer: &Arc<Peer>) {
    let mut pause = FIRST_RETRY;
    loop {
        match dial(shared, peer).await {
            Ok(connection) => {
                let since = Instant::now();
                // A link that ends at once will end at once again: that is no reason to hurry.
                if link::run(shared, peer, connection, Role::Dials).await && since.elapsed() > STEADY {
                    pause = FIRST_RETRY;
                }
            }
            Err(reason) => down(shared, peer, None, reason).await,
        }
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(shared.limits.retry);
    }
}

async fn dial(shared: &Arc<Shared>, peer: &Arc<Peer>) -> Result<Connection, String> {
    let connecting = shared
        .endpoint
        .connect(peer.address, &server_name(&peer.name))
        .map_err(|e| format!("cannot dial {} at {}: {e}", peer.name, peer.address))?;
    match timeout(shared.limits.handshake, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(e)) => Err(format!("{} (at {})", explain(&e, &shared.name, &peer.name), peer.address)),
        Err(_) => Err(format!("{} does not answer (at {})", peer.name, peer.address)),
    }
}

async fn accept_forever(shared: &Arc<Shared>, peer: &Arc<Peer>, knocks: &mut mpsc::Receiver<Connection>) {
    let mut next = None;
    loop {
        let connection = match next.take() {
            Some(connection) => connection,
            None => match knocks.recv().await {
                Some(connection) => connection,
                None => return,
            },
        };
        let closer = connection.clone();
        let current = link::run(shared, peer, connection, Role::Accepts);
        tokio::pin!(current);
        tokio::select! {
            _ = &mut current => {}
            newer = knocks.recv() => {
                closer.close(link::CODE_REPLACED.into(), b"a newer connection has replaced it");
                // It ends by the close, and tells `Down` before the next one can be `Up`.
                current.await;
                next = newer;
            }
        }
    }
}

/// Tells that a peer is down, once per reason.
pub(super) async fn down(shared: &Shared, peer: &Peer, link: Option<LinkId>, reason: String) {
    if peer.set_down(&reason) || link.is_some() {
        warn!(peer = %peer.name, "link down: {reason}");
        deliver(&*shared.inbox, Event::Down { site: peer.site, link, reason }).await;
    }
}

/// Accepts connections, finds out whose they are, and gives them to their peer's task.
pub(super) async fn accept(shared: Arc<Shared>) {
    let handshakes = Arc::new(Semaphore::new(32));
    while let Some(incoming) = shared.endpoint.accept().await {
        let Ok(permit) = handshakes.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let address = incoming.remote_address();
            if let Err(reason) = greet(&shared, incoming).await {
                let reason = format!("refused a connection from {address}: {reason}");
                let news = shared.refused.lock().replace(reason.clone()).as_deref() != Some(&reason);
                if news {
                    warn!("{reason}");
                }
            }
            drop(permit);
        });
    }
    debug!("no longer accepting links");
}

async fn greet(shared: &Arc<Shared>, incoming: Incoming) -> Result<(), String> {
    let accepting = incoming.accept().map_err(|e| e.to_string())?;
    let connection = match timeout(shared.limits.handshake, accepting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(e)) => return Err(explain(&e, &shared.name, "the caller")),
        Err(_) => return Err("the handshake took too long".into()),
    };
    let known: Vec<Arc<Peer>> = shared.peers.read().values().cloned().collect();
    let named = identify(&connection, known.iter().map(|peer| peer.name.as_str())).map(str::to_owned);
    let peer = named.and_then(|name| known.iter().find(|peer| peer.name == name));
    match peer {
        Some(peer) if peer.site < shared.site => {
            info!(peer = %peer.name, address = %connection.remote_address(), "accepted");
            peer.knock.send(connection).await.map_err(|_| "this site shuts down".to_owned())
        }
        Some(peer) => {
            let reason = format!(
                "by their ids {} dials {}, not the other way round: are the two sites.toml alike?",
                shared.name, peer.name
            );
            connection.close(link::CODE_REFUSED.into(), reason.as_bytes());
            Err(reason)
        }
        None => {
            let reason = format!("its certificate names no other site that {} knows", shared.name);
            connection.close(link::CODE_REFUSED.into(), reason.as_bytes());
            Err(reason)
        }
    }
}

/// Between half and the whole of `pause`, so that sites restarted together do not dial in step.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let share = (random % 1024) as u32;
    pause / 2 + pause * share / 2048
}
