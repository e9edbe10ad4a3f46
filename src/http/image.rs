//! `GET /image`: the whole database at one moment, as [`gemini_engine::image`] writes it, for `gemini backup create`.
//!
//! It is written straight to the socket by a thread of its own; commits go on. The image holds row versions in memory while it is
//! written, so a client that does not read is given up after a minute, and there is one image at a time. Its end is
//! marked in the image itself: when something fails on the way the connection is closed early, and the reason stands in this
//! site's log.
//!
//! Any program on this machine may ask, as it may ask by SQL. A web page in a browser on this machine may not, whatever name its
//! server gives this address: the request must name the address itself.

use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use gemini_engine::image;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{Answer, StatusSource, answer, asks};
use crate::site::Moment;

/// How long a client may not read.
const STALL: Duration = Duration::from_secs(60);

/// Whether this is a request for an image, by an address and not by a name.
pub(super) fn asked(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let host = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    });
    let by_address =
        host.and_then(|host| host.parse().ok()).is_some_and(|a: SocketAddr| a.ip().is_loopback());
    head.starts_with(b"GET ") && asks(head, "/image") && by_address
}

/// Sends an image, or says why there is none.
pub(super) async fn send(mut stream: TcpStream, source: Arc<dyn StatusSource>, one: Arc<Semaphore>) {
    let Ok(_one) = one.try_acquire() else {
        let busy = Answer::text(503, "another image is being made: wait for its end\n");
        // The client may be gone: nothing is lost.
        let _ = answer(&mut stream, &busy, false).await;
        return;
    };
    let moment = tokio::task::spawn_blocking(move || source.image()).await;
    let sent = match moment.unwrap_or_else(|e| Err(e.to_string())) {
        Ok(moment) => {
            let sent =
                stream.into_std().map(|stream| tokio::task::spawn_blocking(move || write(&stream, moment)));
            match sent {
                Ok(thread) => thread.await.unwrap_or_else(|e| Err(e.to_string())),
                Err(e) => Err(e.to_string()),
            }
        }
        Err(reason) => {
            // As above.
            let _ = answer(&mut stream, &Answer::text(503, format!("{reason}\n")), false).await;
            Err(reason)
        }
    };
    if let Err(reason) = sent {
        tracing::error!(reason, "an image could not be sent");
    }
}

fn write(stream: &std::net::TcpStream, moment: Moment) -> Result<(), String> {
    let ready = stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(STALL)));
    ready.map_err(|e| e.to_string())?;
    let mut out = BufWriter::with_capacity(1 << 20, stream);
    let Moment { snapshot, origin } = moment;
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n")
        .map_err(|e| e.to_string())?;
    let frontier = snapshot.frontier().to_string();
    let summary = image::write(&snapshot, origin, &mut out, &mut |_| ControlFlow::Continue(()))
        .map_err(|e| e.to_string())?;
    out.flush().map_err(|e| e.to_string())?;
    tracing::info!(frontier, rows = summary.rows, bytes = summary.bytes, "an image was sent");
    Ok(())
}
