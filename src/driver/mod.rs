//! The program around the pure site: threads, sockets, signals.
//!
//! ```text
//!   sessions (tokio) ───── each steps the site itself, and writes a lonely batch ──┐
//!   links    (tokio) ─► queue ─► site thread: frames, ticks, signals ──────────────┼─► Stepper: Site::step
//!   log thread: the other batches: write + fdatasync, then steps with Durable ─────┘      │ outputs, in order
//!                                                                                         ▼
//!                                            transport, oneshots, `visible`, keeper (segments, folding)
//! ```
//!
//! Invariants:
//! 1. One thread at a time touches the site, and only through `step`: what happens here could happen in the simulator
//!    (`turns.rs` says who it is).
//! 2. Outputs are carried out in order. A peer's frames go on the link that the site was told of, or not at all.
//! 3. The queue is bounded: sessions are refused (53300), links wait. The driver's own messages always get in.
//! 4. Any failure of the log, the store or a thread ends the process; no client is told anything after it.
//!
//! A stop (SIGTERM, SIGINT): no new connections, the site drains (what is in flight ends, new transactions get
//! 57P01), links close with a reason, exit 0. Killing the process instead loses nothing that was acknowledged.

mod archive;
mod images;
mod mailbox;
mod options;
mod progress;
pub mod queue;
mod report;
mod run;
mod stepper;
mod threads;
mod turns;
mod wall;

pub(crate) use mailbox::{draw, now};
pub(crate) use options::site_options;
pub use run::{DriverError, Running, run_until_stopped};

/// Resolves at the first SIGTERM or SIGINT from this call on, whenever it is awaited: a signal that comes while a site starts
/// is not lost. Call it within a tokio runtime.
pub fn stop_signal() -> impl Future<Output = &'static str> {
    #[cfg(unix)]
    let handlers = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).and_then(|t| Ok((t, signal(SignalKind::interrupt())?))).ok()
    };
    async move {
        #[cfg(unix)]
        if let Some((mut terminate, mut interrupt)) = handlers {
            return tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
        }
        // Without signal handlers the process ends the hard way, which the log is made for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "an interrupt"
    }
}

#[cfg(test)]
mod tests;
