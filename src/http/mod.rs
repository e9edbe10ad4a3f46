//! A site's page for operators and monitors: `/status` (JSON), `/metrics` (Prometheus text), `/healthz`,
//! `/digest` (JSON: what the tables hold, as a hash per table), `/verify` (has the tables compared with other sites), and `/image`
//! (`image.rs`: the whole database, for a backup).
//!
//! HTTP/1.1, GET and HEAD only, one answer per connection, loopback only (sites.toml refuses other addresses). Every
//! wait has a limit, so that a client that says nothing, or a megabyte of header, costs a small buffer for a few
//! seconds. It is not a web server: no bodies, no keep-alive, no TLS.

mod image;
mod members;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::site::{MemberAnswer, MemberRequest, Moment};

pub use members::ask as ask_members;

const MAX_HEAD: usize = 8 * 1024;
const MAX_CONNECTIONS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);
/// `get` reads no more than this.
const MAX_ANSWER: u64 = 16 << 20;

/// What a site says of itself. Called on each request; must not block for long.
pub trait StatusSource: Send + Sync + 'static {
    /// For `gemini status --json` and `/status`.
    fn status(&self) -> serde_json::Value;
    /// What the tables hold, to compare sites at equal frontiers. Reads everything, so it runs on a thread of its own.
    fn digest(&self) -> Result<serde_json::Value, String>;
    /// Has everything compared with the other sites, at once; the number of the round to wait for. Waits for the site.
    fn verify(&self) -> Result<serde_json::Value, String>;
    /// The next moment, to make an image of. Waits for the site.
    fn image(&self) -> Result<Moment, String>;
    /// Changes the members. Waits until that has happened, or will not.
    fn members(&self, request: MemberRequest) -> MemberAnswer;
    /// Prometheus text format.
    fn metrics(&self) -> String;
    /// Why the site cannot serve, if it cannot.
    fn health(&self) -> Result<(), String>;
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, source: Arc<dyn StatusSource>) {
    let open = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // An image holds row versions in memory: one at a time.
    let images = Arc::new(Semaphore::new(1));
    loop {
        let Ok(permit) = open.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (source, images) = (source.clone(), images.clone());
                tokio::spawn(async move {
                    // A client that goes away or dawdles is not this site's trouble.
                    if let Ok(Ok(Some(stream))) = timeout(PATIENCE * 12, converse(stream, &source)).await {
                        image::send(stream, source, images).await;
                    }
                    drop(permit);
                });
            }
            Err(e) => {
                tracing::warn!("cannot accept an HTTP connection: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers, or gives the stream of a client that wants an image: sending one takes as long as it takes.
async fn converse(mut stream: TcpStream, source: &Arc<dyn StatusSource>) -> io::Result<Option<TcpStream>> {
    let source = source.clone();
    let head = match timeout(PATIENCE, read_head(&mut stream)).await {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None)) => return Ok(None),
        Ok(Err(e)) => return Err(e),
        Err(_) => {
            answer(&mut stream, &Answer::text(408, "the request took too long\n"), false).await?;
            return Ok(None);
        }
    };
    if image::asked(&head) {
        return Ok(Some(stream));
    }
    let reply = if members::asked(&head) {
        match members::read(&head) {
            Ok(request) => change_members(move || source.members(request)).await,
            Err(answer) => answer,
        }
    } else if asks(&head, "/digest") {
        waited_for(move || source.digest()).await
    } else if asks(&head, "/verify") {
        waited_for(move || source.verify()).await
    } else {
        route(&head, &*source)
    };
    answer(&mut stream, &reply, head.starts_with(b"HEAD ")).await?;
    Ok(None)
}

/// Up to the empty line; more than [`MAX_HEAD`] without one is cut there and refused by [`route`].
async fn read_head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() <= MAX_HEAD {
        match stream.read(&mut chunk).await? {
            0 if head.is_empty() => return Ok(None),
            0 => break,
            n => head.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(Some(head))
}

struct Answer {
    code: u16,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn text(code: u16, body: impl Into<String>) -> Answer {
        Answer { code, kind: "text/plain; charset=utf-8", body: body.into() }
    }

    fn json(value: &serde_json::Value) -> Answer {
        Answer { code: 200, kind: "application/json", body: format!("{value:#}\n") }
    }
}

fn asks(head: &[u8], path: &str) -> bool {
    ["GET", "HEAD"].iter().any(|method| head.starts_with(format!("{method} {path} ").as_bytes()))
}

/// The answer to a request to change the members, on a thread of its own.
async fn change_members(ask: impl FnOnce() -> MemberAnswer + Send + 'static) -> Answer {
    match tokio::task::spawn_blocking(ask).await.unwrap_or_else(|e| Err(e.to_string())) {
        Ok(done) => Answer::text(200, format!("{done}\n")),
        Err(reason) => Answer::text(409, format!("{reason}\n")),
    }
}

/// The answer of what may take a while, on a thread of its own.
async fn waited_for(ask: impl FnOnce() -> Result<serde_json::Value, String> + Send + 'static) -> Answer {
    match tokio::task::spawn_blocking(ask).await.unwrap_or_else(|e| Err(e.to_string())) {
        Ok(value) => Answer::json(&value),
        Err(reason) => Answer::text(503, format!("{reason}\n")),
    }
}

fn route(head: &[u8], source: &dyn StatusSource) -> Answer {
    if head.len() > MAX_HEAD {
        return Answer::text(431, "the request's head is too long\n");
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words.as_slice() else {
        return Answer::text(400, "this is not an HTTP request\n");
    };
    if !version.starts_with(b"HTTP/1.") {
        return Answer::text(400, "this is not an HTTP/1 request\n");
    }
    if *method != b"GET" && *method != b"HEAD" {
        return Answer::text(405, "only GET\n");
    }
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    match path {
        b"/status" => Answer::json(&source.status()),
        b"/metrics" => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            Answer { code: 200, kind, body: source.metrics() }
        }
        b"/healthz" => match source.health() {
            Ok(()) => Answer::text(200, "ok\n"),
            Err(reason) => Answer::text(503, format!("{reason}\n")),
        },
        b"/" => Answer::text(200, "/status  /metrics  /healthz  /digest  /verify  /image\n"),
        _ => Answer::text(404, "there are /status, /metrics, /healthz, /digest, /verify and /image\n"),
    }
}

async fn answer(stream: &mut TcpStream, answer: &Answer, head_only: bool) -> io::Result<()> {
    let reason = match answer.code {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let mut out = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        answer.code,
        answer.kind,
        answer.body.len()
    );
    if !head_only {
        out.push_str(&answer.body);
    }
    stream.write_all(out.as_bytes()).await?;
    stream.shutdown().await
}

/// Asks another site's page; the status code and the body.
pub async fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n")).await
}

/// Sends a request's line and headers, and reads the answer: its code and its body.
async fn exchange(address: SocketAddr, head: &str) -> io::Result<(u16, String)> {
    let request = format!("{head}Connection: close\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut bytes).await?;
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        let (head, body) =
            text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("not an HTTP answer"))?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let code = code.ok_or_else(|| io::Error::other("not an HTTP answer"))?;
        Ok((code, body.to_owned()))
    };
    timeout(PATIENCE * 12, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Result<(), String>);

    impl StatusSource for Fixed {
        fn status(&self) -> serde_json::Value {
            serde_json::json!({ "site": "us-east" })
        }
        fn digest(&self) -> Result<serde_json::Value, String> {
            Ok(serde_json::json!({ "total": "00" }))
        }
        fn verify(&self) -> Result<serde_json::Value, String> {
            Ok(serde_json::json!({ "round": 1 }))
        }
        fn image(&self) -> Result<Moment, String> {
            Err("there is none here".into())
        }
        fn members(&self, _: MemberRequest) -> MemberAnswer {
            Err("there are none here".into())
        }
        fn metrics(&self) -> String {
            "gemini_up 1\n".into()
        }
        fn health(&self) -> Result<(), String> {
            self.0.clone()
        }
    }

    async fn served(source: Fixed) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(source)));
        address
    }

    async fn raw(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut out = Vec::new();
        stream.read_to_end(&mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn the_three_pages_answer() {
        let address = served(Fixed(Ok(()))).await;
        let (code, body) = get(address, "/status").await.unwrap();
        assert_eq!((code, body.contains("\"us-east\"")), (200, true));
        assert_eq!(get(address, "/metrics").await.unwrap(), (200, "gemini_up 1\n".into()));
        assert_eq!(get(address, "/healthz?x").await.unwrap(), (200, "ok\n".into()));
        assert!(get(address, "/digest").await.unwrap().1.contains("\"00\""));
        assert_eq!(get(address, "/image").await.unwrap(), (503, "there is none here\n".into()));
        assert_eq!(get(address, "/nothing").await.unwrap().0, 404);
        let ill = served(Fixed(Err("the log cannot be written".into()))).await;
        assert_eq!(get(ill, "/healthz").await.unwrap(), (503, "the log cannot be written\n".into()));
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        let address = served(Fixed(Ok(()))).await;
        assert!(raw(address, b"POST / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405"));
        assert!(raw(address, b"\x16\x03\x01 what\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        assert!(raw(address, b"HEAD /metrics HTTP/1.1\r\n\r\n").await.ends_with("\r\n\r\n"));
        let elsewhere = b"GET /image HTTP/1.1\r\nHost: rebound.example\r\n\r\n";
        assert!(
            raw(address, elsewhere).await.starts_with("HTTP/1.1 404"),
            "a page of the web asks for a backup"
        );
        let long = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; MAX_HEAD]].concat();
        assert!(raw(address, &long).await.starts_with("HTTP/1.1 431"));
    }
}
