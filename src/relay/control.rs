//! Commands for relays as lines of text on a loopback TCP port, so that a test or an operator can pull a plug from
//! another process:
//!
//! ```text
//! cut A B            everything between A and B is lost          ok
//! heal A B           ends it; `heal all` ends every cut          ok
//! isolate A          cuts A off from all others                  ok
//! delay A B MS       the one-way delay from now on               ok
//! loss A B PERCENT   lost at random                              ok
//! jitter A B MS      up to so much later, in order               ok
//! list               one line per link, then `ok`
//! ```
//!
//! An answer that does not begin with `ok` begins with `error:`.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{RelayError, Shared};

/// A longer line is no command.
const MAX_LINE: u64 = 256;

/// The listener for commands; it stops when this is dropped.
pub struct Control {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    pub(super) fn start(shared: Arc<Shared>, listen: SocketAddr) -> Result<Control, RelayError> {
        let failed = |e| RelayError::Control(listen, e);
        if !listen.ip().is_loopback() {
            return Err(failed(io::Error::other("only loopback addresses are allowed")));
        }
        let listener = TcpListener::bind(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = std::thread::Builder::new()
            .name("relay-control".into())
            .spawn(move || {
                for stream in listener.incoming() {
                    if stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    let (Ok(stream), shared) = (stream, shared.clone()) else { continue };
                    std::thread::spawn(move || {
                        // A client that goes away in the middle of a command harms nobody.
                        let _ = converse(&shared, &stream);
                    });
                }
            })
            .map_err(RelayError::Thread)?;
        Ok(Control { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // A connection of our own ends the accept; if it cannot be made, the thread ends with the process.
        if TcpStream::connect_timeout(&self.address, Duration::from_millis(500)).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A thread that panicked has nothing left to stop.
            let _ = thread.join();
        }
    }
}

fn converse(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(600)))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = match obey(shared, &line) {
            Ok(text) => format!("{text}ok\n"),
            Err(reason) => format!("error: {reason}\n"),
        };
        (&mut &*stream).write_all(answer.as_bytes())?;
    }
}

fn obey(shared: &Shared, line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let link = |x: &str, y: &str| shared.find(x, y).map_err(|e| e.to_string());
    match words.as_slice() {
        ["cut", x, y] => link(x, y)?.set_cut(true),
        ["heal", "all"] => shared.heal_all(),
        ["heal", x, y] => link(x, y)?.set_cut(false),
        ["isolate", site] => shared.isolate(site).map_err(|e| e.to_string())?,
        ["delay", x, y, ms] => link(x, y)?.state.lock().weather.one_way = millis(ms)?,
        ["jitter", x, y, ms] => link(x, y)?.state.lock().weather.jitter = millis(ms)?,
        ["loss", x, y, percent] => {
            let share = number(percent, 100.0)? / 100.0;
            link(x, y)?.state.lock().weather.loss = share;
        }
        ["list"] => return Ok(list(shared)),
        _ => return Err("commands: cut A B, heal A B, heal all, isolate A, delay A B MS, jitter A B MS, loss A B PERCENT, list".into()),
    }
    Ok(String::new())
}

fn number(text: &str, most: f64) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|n| (0.0..=most).contains(n))
        .ok_or_else(|| format!("{text:?} is not a number from 0 to {most}"))
}

fn millis(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_secs_f64(number(text, 60_000.0)? / 1000.0))
}

fn list(shared: &Shared) -> String {
    let mut out = String::new();
    for link in &shared.links {
        let s = link.status();
        let state = if s.cut { "cut" } else { "up" };
        let ms = |d: Duration| d.as_secs_f64() * 1000.0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} {} {} {state} delay {} jitter {} loss {} passed {} lost {}",
            s.a,
            s.b,
            s.address,
            ms(s.weather.one_way),
            ms(s.weather.jitter),
            s.weather.loss * 100.0,
            s.passed,
            s.lost
        );
    }
    out
}
