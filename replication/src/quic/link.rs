//! One link, from the connection's birth to its end.
//!
//! ```text
//!  dials                                accepts
//!    │ ── uni stream: hello ───────────► │  checks cluster and names
//!    │ ◄─────────── uni stream: hello ── │
//!  Up│ ── ready ───────────────────────► │Up
//!    │ ◄═══════════ frames ════════════► │      reader, writer and requests run until one of them ends
//! ```
//!
//! The dialling side is up on the other's hello, the accepting side on `ready`: each has seen its own words answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream, VarInt, WriteError};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info};

use super::frame::{HELLO_LEN, Hello, Kind, Malformed, put_header, take};
use super::inbox::{Credit, Event, LinkId, Reply, deliver};
use super::outbox::Batch;
use super::peer::{Peer, down};
use super::tls::explain;
use super::{RequestError, Shared};

/// Close codes; the reason travels with them as text.
pub(super) const CODE_CLOSED: u32 = 0;
pub(super) const CODE_REFUSED: u32 = 1;
pub(super) const CODE_MALFORMED: u32 = 2;
pub(super) const CODE_BACKLOGGED: u32 = 3;
pub(super) const CODE_REPLACED: u32 = 4;
pub(super) const CODE_DISCONNECTED: u32 = 5;

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Dials,
    Accepts,
}

/// Why a link ends from this side: a close code and words for both logs.
struct End {
    code: u32,
    reason: String,
}

impl End {
    fn new(code: u32, reason: impl Into<String>) -> End {
        End { code, reason: reason.into() }
    }
}

/// Runs the link to its end; true if it was up.
pub(super) async fn run(shared: &Arc<Shared>, peer: &Arc<Peer>, connection: Connection, role: Role) -> bool {
    let streams = match timeout(shared.limits.handshake, open(shared, peer, &connection, role)).await {
        Ok(Ok(streams)) => Ok(streams),
        Ok(Err(end)) => Err(end),
        Err(_) => Err(End::new(CODE_REFUSED, format!("{} did not finish opening the link", peer.name))),
    };
    match streams {
        Ok((send, recv, buffer)) => {
            let link = shared.new_link();
            peer.set_up(link, connection.clone());
            info!(peer = %peer.name, link = link.0, round_trip = ?connection.rtt(), "link up");
            deliver(&*shared.inbox, Event::Up { site: peer.site, link }).await;
            let reason = live(shared, peer, link, &connection, send, recv, buffer).await;
            down(shared, peer, Some(link), reason).await;
            true
        }
        Err(end) => {
            let reason = finish(shared, peer, &connection, end);
            down(shared, peer, None, reason).await;
            false
        }
    }
}

/// Closes the connection; the words of whoever ended it first win.
fn finish(shared: &Shared, peer: &Peer, connection: &Connection, end: End) -> String {
    match connection.close_reason() {
        Some(first) => explain(&first, &shared.name, &peer.name),
        None => {
            connection.close(VarInt::from_u32(end.code), end.reason.as_bytes());
            end.reason
        }
    }
}

async fn open(
    shared: &Shared,
    peer: &Peer,
    connection: &Connection,
    role: Role,
) -> Result<(SendStream, RecvStream, BytesMut), End> {
    let broken =
        |e: String| End::new(CODE_REFUSED, format!("the link to {} broke while opening: {e}", peer.name));
    let hello = Hello { cluster: shared.cluster, from: shared.site, to: peer.site };
    let mut buffer = BytesMut::new();
    let mut send = connection.open_uni().await.map_err(|e| broken(e.to_string()))?;
    if role == Role::Dials {
        send.write_chunk(hello.encode()).await.map_err(|e| broken(e.to_string()))?;
    }
    let mut recv = connection.accept_uni().await.map_err(|e| broken(e.to_string()))?;
    let mut theirs = [0; HELLO_LEN];
    recv.read_exact(&mut theirs).await.map_err(|e| broken(e.to_string()))?;
    check_hello(shared, peer, &theirs)?;
    match role {
        Role::Dials => {
            let mut ready = BytesMut::new();
            put_header(&mut ready, Kind::Ready, 0);
            send.write_chunk(ready.freeze()).await.map_err(|e| broken(e.to_string()))?;
        }
        Role::Accepts => {
            send.write_chunk(hello.encode()).await.map_err(|e| broken(e.to_string()))?;
            loop {
                match take(&mut buffer, 0).map_err(|e| malformed(peer, &e))? {
                    Some((Kind::Ready, _)) => break,
                    Some((kind, _)) => return Err(malformed(peer, &Malformed::Unexpected(kind))),
                    None => {}
                }
                match recv.read_chunk(1024, true).await.map_err(|e| broken(e.to_string()))? {
                    Some(chunk) => buffer.extend_from_slice(&chunk.bytes),
                    None => return Err(malformed(peer, &Malformed::Cut)),
                }
            }
        }
    }
    Ok((send, recv, buffer))
}

fn check_hello(shared: &Shared, peer: &Peer, bytes: &[u8; HELLO_LEN]) -> Result<(), End> {
    let hello = Hello::decode(bytes).map_err(|e| malformed(peer, &e))?;
    let reason = if hello.cluster != shared.cluster {
        format!("{} belongs to cluster {}, {} to {}", peer.name, hello.cluster, shared.name, shared.cluster)
    } else if hello.from != peer.site {
        format!(
            "{} says that its id is {}, the sites.toml of {} says {}",
            peer.name, hello.from, shared.name, peer.site
        )
    } else if hello.to != shared.site {
        format!("{} takes {} for site {}, its id is {}", peer.name, shared.name, hello.to, shared.site)
    } else {
        return Ok(());
    };
    Err(End::new(CODE_REFUSED, format!("{reason}: use one sites.toml at every site")))
}

fn malformed(peer: &Peer, why: &Malformed) -> End {
    End::new(CODE_MALFORMED, format!("{} sent what cannot be read: {why}", peer.name))
}

async fn live(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    link: LinkId,
    connection: &Connection,
    send: SendStream,
    recv: RecvStream,
    buffer: BytesMut,
) -> String {
    let mut tasks = JoinSet::new();
    tasks.spawn(read(shared.clone(), peer.clone(), link, recv, buffer));
    tasks.spawn(write(shared.clone(), peer.clone(), send));
    tasks.spawn(serve(shared.clone(), peer.clone(), connection.clone()));
    let end = tokio::select! {
        first = tasks.join_next() => match first {
            Some(Ok(end)) => end,
            _ => End::new(CODE_CLOSED, "a task of the link failed"),
        },
        reason = connection.closed() => End::new(CODE_CLOSED, explain(&reason, &shared.name, &peer.name)),
    };
    // Closed before the tasks drop their streams: the other side is to hear the reason, not the end of a stream.
    let reason = finish(shared, peer, connection, end);
    // No frame of this link may be told after its `Down`.
    tasks.shutdown().await;
    reason
}

async fn read(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    link: LinkId,
    mut recv: RecvStream,
    mut buffer: BytesMut,
) -> End {
    loop {
        loop {
            let bytes = match take(&mut buffer, shared.limits.frame) {
                Ok(Some((Kind::Data, bytes))) => bytes,
                Ok(Some((kind, _))) => return malformed(&peer, &Malformed::Unexpected(kind)),
                Ok(None) => break,
                Err(e) => return malformed(&peer, &e),
            };
            peer.counters.frames_received.fetch_add(1, Ordering::Relaxed);
            peer.counters.bytes_received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let credit = credit(&shared, &peer, bytes.len()).await;
            deliver(&*shared.inbox, Event::Frame { site: peer.site, link, bytes, credit }).await;
        }
        match recv.read_chunk(64 * 1024, true).await {
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk.bytes),
            Ok(None) => return End::new(CODE_CLOSED, format!("{} ended its stream", peer.name)),
            Err(e) => return End::new(CODE_CLOSED, format!("cannot read from {}: {e}", peer.name)),
        }
    }
}

/// Waits until the peer's earlier frames leave room for this one. A frame over the whole budget takes all of it.
async fn credit(shared: &Shared, peer: &Peer, length: usize) -> Credit {
    let wanted = length.clamp(1, shared.limits.inbox.clamp(1, u32::MAX as usize)) as u32;
    Credit(peer.credit.clone().acquire_many_owned(wanted).await.ok())
}

async fn write(shared: Arc<Shared>, peer: Arc<Peer>, mut send: SendStream) -> End {
    // Log and sequencer before any answer to a request.
    let _ = send.set_priority(1);
    while let Some(Batch { mut chunks, frames, size }) = peer.outbox.batch().await {
        let mut left = &mut chunks[..];
        while !left.is_empty() {
            let writing = timeout(shared.limits.stalled_after, send.write_chunks(left));
            let written = tokio::select! {
                written = writing => match written {
                    Ok(Ok(written)) => written,
                    Ok(Err(e)) => return End::new(CODE_CLOSED, format!("cannot write to {}: {e}", peer.name)),
                    Err(_) => return backlogged(&peer, "it took nothing for too long"),
                },
                () = peer.outbox.overflowed() => return backlogged(&peer, "too much waits to be sent"),
            };
            left = &mut left[written.chunks..];
        }
        peer.outbox.written(size);
        peer.counters.frames_sent.fetch_add(frames, Ordering::Relaxed);
        peer.counters.bytes_sent.fetch_add(size as u64, Ordering::Relaxed);
    }
    backlogged(&peer, "too much waits to be sent")
}

fn backlogged(peer: &Peer, why: &str) -> End {
    End::new(
        CODE_BACKLOGGED,
        format!("{} does not keep up ({why}); it will resume from where it stands", peer.name),
    )
}

/// Answers the peer's requests; QUIC bounds how many are open.
async fn serve(shared: Arc<Shared>, peer: Arc<Peer>, connection: Connection) -> End {
    let mut running = JoinSet::new();
    loop {
        match connection.accept_bi().await {
            Ok((send, recv)) => {
                running.spawn(answer(shared.clone(), peer.clone(), send, recv));
            }
            Err(e) => return End::new(CODE_CLOSED, explain(&e, &shared.name, &peer.name)),
        }
        while running.try_join_next().is_some() {}
    }
}

async fn answer(shared: Arc<Shared>, peer: Arc<Peer>, mut send: SendStream, mut recv: RecvStream) {
    let limit = shared.limits.frame;
    let received = timeout(shared.limits.request, read_one(&mut recv, limit)).await;
    let bytes = match received {
        Ok(Ok((Kind::Request, bytes))) => bytes,
        other => {
            debug!(peer = %peer.name, "a request was not whole: {other:?}");
            return;
        }
    };
    let credit = credit(&shared, &peer, bytes.len()).await;
    let (reply, outcome) = oneshot::channel();
    deliver(&*shared.inbox, Event::Request { site: peer.site, bytes, reply: Reply(reply) }).await;
    let (kind, body) = match outcome.await {
        Ok(Ok(body)) if body.len() <= limit => (Kind::Reply, body),
        Ok(Ok(body)) => {
            (Kind::Refused, Bytes::from(format!("the answer of {} bytes is over the limit", body.len())))
        }
        Ok(Err(reason)) => (Kind::Refused, Bytes::from(reason)),
        Err(_) => (Kind::Refused, Bytes::from_static(b"it was not answered")),
    };
    drop(credit);
    if write_one(&mut send, kind, body).await.is_ok() {
        let _ = send.finish();
    }
}

/// Sends one request on a fresh stream and reads its answer.
pub(super) async fn request(
    shared: &Shared,
    name: &str,
    connection: Connection,
    body: Bytes,
) -> Result<Bytes, RequestError> {
    let (mut send, mut recv) =
        connection.open_bi().await.map_err(|e| RequestError::Broken(explain(&e, &shared.name, name)))?;
    write_one(&mut send, Kind::Request, body).await.map_err(|e| RequestError::Broken(e.to_string()))?;
    let _ = send.finish();
    match read_one(&mut recv, shared.limits.frame).await {
        Ok((Kind::Reply, body)) => Ok(body),
        Ok((Kind::Refused, reason)) => {
            Err(RequestError::Refused(String::from_utf8_lossy(&reason).into_owned()))
        }
        Ok((kind, _)) => Err(RequestError::Broken(Malformed::Unexpected(kind).to_string())),
        Err(reason) => Err(RequestError::Broken(reason)),
    }
}

async fn write_one(send: &mut SendStream, kind: Kind, body: Bytes) -> Result<(), WriteError> {
    let mut header = BytesMut::new();
    put_header(&mut header, kind, body.len());
    send.write_all_chunks(&mut [header.freeze(), body]).await
}

/// Reads exactly one frame; its buffer grows with what arrives.
async fn read_one(recv: &mut RecvStream, limit: usize) -> Result<(Kind, Bytes), String> {
    let mut buffer = BytesMut::new();
    loop {
        if let Some(frame) = take(&mut buffer, limit).map_err(|e| e.to_string())? {
            return Ok(frame);
        }
        match recv.read_chunk(64 * 1024, true).await {
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk.bytes),
            Ok(None) => return Err(Malformed::Cut.to_string()),
            Err(e) => return Err(e.to_string()),
        }
    }
}
