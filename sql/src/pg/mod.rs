//! The PostgreSQL protocol: a site's front door.
//!
//! ```text
//!   TcpStream ─► message.rs: decode ─► connection.rs: the loop ─► Session
//!             ◄─ answer.rs:  encode ◄─ wire.rs: Client         ◄─
//! ```
//!
//! Messages are decoded without trust and answers gathered until the client waits for them, so that a prepared point query
//! costs one read and one write. Everything about SQL is the session's business.
//!
//! What it does not do: TLS (an SSLRequest is answered with 'N'; sites listen on loopback only), passwords, the function-call
//! and replication protocols.

mod answer;
mod connection;
mod message;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::error::{Result, SqlError};
use crate::host::Host;
use crate::session::Shared;
use crate::sqlstate;

/// The stack that the threads which run sessions must have. Parsing, planning and evaluating walk trees, whose depth
/// [`crate::parse::LIMITS`] bounds; this is what the deepest ones need, with room to spare in a debug build.
pub const STACK: usize = 32 << 20;

/// Bounds of the front door.
#[derive(Clone, Debug)]
pub struct Limits {
    /// More clients than this are turned away with 53300.
    pub connections: usize,
    /// A client must have started up within this time.
    pub startup: Duration,
    /// Settings of every session before its client's own: (name, value).
    pub settings: Vec<(String, String)>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 500, startup: Duration::from_secs(30), settings: Vec::new() }
    }
}

/// Who is connected: for cancel requests, the limit, and shutting down.
struct Registry {
    limit: usize,
    next: AtomicI32,
    host: Arc<dyn Host>,
    clients: Mutex<HashMap<i32, (i32, Arc<AtomicBool>)>>,
    closing: watch::Receiver<bool>,
}

/// A client's place in the registry, left when its connection ends.
struct Guard {
    registry: Arc<Registry>,
    pid: i32,
    key: i32,
}

impl Guard {
    /// What a cancel request sets.
    fn cancels(&self, canceler: Arc<AtomicBool>) {
        self.registry.clients.lock().insert(self.pid, (self.key, canceler));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.registry.clients.lock().remove(&self.pid);
    }
}

impl Registry {
    fn new(host: Arc<dyn Host>, limit: usize, closing: watch::Receiver<bool>) -> Registry {
        Registry { limit, next: AtomicI32::new(1), host, clients: Mutex::default(), closing }
    }

    /// A place for a new client, with its process id and cancel key; 53300 if there are too many.
    fn enter(self: &Arc<Registry>) -> Result<Guard> {
        if let Some(reason) = self.host.closed() {
            return Err(SqlError::new(sqlstate::CANNOT_CONNECT_NOW, reason)
                .hint("It serves clients again when it has its tables; the other sites serve them now."));
        }
        let mut clients = self.clients.lock();
        if clients.len() >= self.limit {
            return Err(SqlError::new(sqlstate::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
                .hint("Close connections that are not needed, or use a connection pool."));
        }
        let pid = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let key = self.host.random() as i32;
        clients.insert(pid, (key, Arc::default()));
        Ok(Guard { registry: self.clone(), pid, key })
    }

    /// A wrong key changes nothing and is not answered, as PostgreSQL has it.
    fn cancel(&self, pid: i32, key: i32) {
        if let Some((expected, canceler)) = self.clients.lock().get(&pid)
            && *expected == key
        {
            canceler.store(true, Ordering::Relaxed);
        }
    }

    /// Resolves when the site shuts down.
    async fn closing(&self) {
        let mut closing = self.closing.clone();
        // An error means that the server is gone, which is the same.
        drop(closing.wait_for(|closing| *closing).await);
    }
}

/// The runtime's threads must have [`STACK`]. Accepts clients until `closing` turns true; then idle ones are sent away, and those in a transaction after it. Returns when
/// nobody new is accepted any more.
pub async fn serve(
    listener: TcpListener,
    host: Arc<dyn Host>,
    limits: Limits,
    closing: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let registry = Arc::new(Registry::new(host.clone(), limits.connections, closing.clone()));
    let shared = Shared::new(host);
    let limits = Arc::new(limits);
    let mut stop = closing;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|closing| *closing) => return Ok(()),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, say: those who are connected go on.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let (shared, registry, limits) = (shared.clone(), registry.clone(), limits.clone());
        tokio::spawn(async move {
            if let Err(error) = connection::serve(stream, shared, registry, &limits).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
}

/// Serves one client over any stream to its end, as [`serve`] does over a socket: for a client in this process. The thread must
/// have [`STACK`], and the runtime its time enabled. An error is why the connection ended.
pub async fn serve_stream<S>(stream: S, host: Arc<dyn Host>, limits: &Limits) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (_open, closing) = watch::channel(false);
    let registry = Arc::new(Registry::new(host.clone(), limits.connections, closing));
    connection::serve(stream, Shared::new(host), registry, limits).await
}
