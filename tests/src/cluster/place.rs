//! Where a cluster under test lives: loopback ports and a folder, and its sites.toml.
//!
//! Ports are taken from below the range that systems give to outgoing connections, so that a site which is down does
//! not find its port taken when it comes back.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 12_000;
const COUNT: u32 = 18_000;

/// A loopback port that nobody uses for TCP or UDP.
pub fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // Test processes that run at the same time begin in different places.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let offset = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let Ok(port) = u16::try_from(FIRST + offset) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no loopback port is free");
}

/// A new folder for a test.
pub fn folder(test: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("gemini-{test}-{}-{number}", std::process::id()));
    // Left by an earlier process of this number.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("cannot create {}: {e}", folder.display()));
    folder
}

/// The addresses of one site.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Ports {
    pub sql: u16,
    pub peer: u16,
    pub http: u16,
}

/// Gives a fresh sites.toml of `gemini init` its own ports, a relay between each two sites, and a round trip in ms.
pub fn settle(file: &Path, names: &[String], round_trip: u32) -> Vec<Ports> {
    let mut text = read(file);
    let ports: Vec<Ports> =
        names.iter().map(|_| Ports { sql: free_port(), peer: free_port(), http: free_port() }).collect();
    for (i, ports) in ports.iter().enumerate() {
        for (base, port) in [(5441, ports.sql), (7441, ports.peer), (8441, ports.http)] {
            text = replaced(&text, &format!("127.0.0.1:{}\"", base + i), &format!("127.0.0.1:{port}\""));
        }
    }
    let links = text.find("\n# Round trips").unwrap_or(text.len());
    text.truncate(links);
    let mut distances = String::new();
    for (i, a) in names.iter().enumerate() {
        for b in &names[i + 1..] {
            let relay = format!("\"127.0.0.1:{}\"", free_port());
            for (here, there) in [(a, b), (b, a)] {
                let key = format!("key = \"certs/{here}.key\"\n");
                text = replaced(&text, &key, &format!("{key}via.{there} = {relay}\n"));
            }
            distances.push_str(&format!("{a}.{b} = {round_trip}\n"));
        }
    }
    if !distances.is_empty() {
        text.push_str(&format!("\n[links]\n{distances}"));
    }
    write(file, &text);
    ports
}

/// Replaces what must be there.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "sites.toml has no {from:?}:\n{text}");
    text.replacen(from, to, 1)
}

/// A file's text.
pub fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()))
}

/// Writes a file.
pub fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
}
