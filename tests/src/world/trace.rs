//! What has happened, one line per event, and a hash of all of it.
//!
//! Events are kept as they are and put into words only when somebody reads the trace: a run that keeps its promises pays for a
//! ring of the last events, not for their text.

use std::collections::VecDeque;
use std::fmt::Write;

use bytes::Bytes;
use gemini_replication::wire::PeerMessage;
use gemini_shadow_ops::Frontier;

/// How many events are kept, unless `TRACE` asks for another number.
const KEPT: usize = 600;

const LEGEND: &str = "\
legend: milliseconds since the world began, then
   s1 → s2  a frame arrives (raft's messages as t<term>, entries as site-start-counter, blue as site.n)
   s1 ▲     the site's process starts        s1 ▼  it ends        s1 =  what it has applied and shows
   s1 ↧     a batch is on its disk           s1 ?  a client submits        s1 !  what a client is told
   ⚡        a fault                          ☀  a fault is over";

/// Something that happened.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Happened {
    Frame {
        from: usize,
        to: usize,
        bytes: Bytes,
    },
    Synced {
        node: usize,
        end: u64,
    },
    Applied {
        node: usize,
        applied: Frontier,
        shown: Frontier,
    },
    /// In words, with a mark of the legend.
    Said {
        mark: &'static str,
        text: String,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Trace {
    kept: usize,
    last: VecDeque<(u64, Happened)>,
    /// A hash of every event so far: two runs of a plan must agree.
    pub fingerprint: u64,
}

impl Default for Trace {
    fn default() -> Trace {
        let asked = std::env::var("TRACE").ok().and_then(|text| text.parse().ok());
        Trace { kept: asked.unwrap_or(KEPT).max(1), last: VecDeque::new(), fingerprint: 0 }
    }
}

impl Trace {
    /// Adds an event, `at` µs since the world began.
    pub fn add(&mut self, at: u64, happened: Happened) {
        self.mix(at);
        match &happened {
            Happened::Frame { from, to, bytes } => {
                self.mix((*from * 64 + *to) as u64);
                // The frame's own checksum stands for its body.
                let sum = bytes.get(5..9).map_or(0, |sum| sum.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
                self.mix(sum ^ (bytes.len() as u64) << 32);
            }
            Happened::Synced { node, end } => self.mix(*node as u64 ^ end << 8),
            Happened::Applied { node, applied, .. } => {
                self.mix(*node as u64);
                self.mix(
                    applied.blues().fold(applied.red, |sum, (site, n)| sum * 31 + n * u64::from(site.0)),
                );
            }
            Happened::Said { text, .. } => text.bytes().for_each(|byte| self.mix(u64::from(byte))),
        }
        if self.last.len() == self.kept {
            self.last.pop_front();
        }
        self.last.push_back((at, happened));
    }

    fn mix(&mut self, n: u64) {
        self.fingerprint = (self.fingerprint ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }

    /// The last events and what their marks mean.
    pub fn text(&self) -> String {
        let mut text = String::from(LEGEND);
        for (at, happened) in &self.last {
            let _ = write!(text, "\n{:>8}.{:03} ", at / 1_000, at % 1_000);
            let _ = match happened {
                Happened::Frame { from, to, bytes } => match PeerMessage::decode(bytes) {
                    Ok(message) => write!(text, "s{} → s{}  {message}", from + 1, to + 1),
                    Err(error) => write!(text, "s{} → s{}  {error}", from + 1, to + 1),
                },
                Happened::Synced { node, end } => write!(text, "s{} ↧ up to {end}", node + 1),
                Happened::Applied { node, applied, shown } if applied == shown => {
                    write!(text, "s{} = {applied}", node + 1)
                }
                Happened::Applied { node, applied, shown } => {
                    write!(text, "s{} = {applied}, shows {shown}", node + 1)
                }
                Happened::Said { mark, text: said } => write!(text, "{mark} {said}"),
            };
        }
        text
    }
}
