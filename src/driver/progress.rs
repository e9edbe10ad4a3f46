//! How far a start is, for people who wait for it: a line a second in the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gemini_engine::{ReplayWatch, Replayed};
use parking_lot::Mutex;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// Tells how far the replay is, once a second; and how long it took, if that was worth a line.
pub(super) fn watch() -> ReplayWatch {
    let begun = Instant::now();
    let told = Mutex::new(begun);
    ReplayWatch(Some(Arc::new(move |replayed: Replayed| {
        let mut told = told.lock();
        let done = replayed.at == replayed.end;
        if done && *told > begun {
            tracing::info!(seconds = begun.elapsed().as_secs(), "the log is replayed");
        } else if !done && told.elapsed() >= EVERY {
            *told = Instant::now();
            tracing::info!("{}", line(replayed, begun.elapsed()));
        }
    })))
}

/// "replaying the log: 41 % of 380 MiB, 52 MiB/s, about 4 s left".
fn line(replayed: Replayed, elapsed: Duration) -> String {
    let Replayed { first, at, end, .. } = replayed;
    let (done, all) = (at.0.saturating_sub(first.0), end.0.saturating_sub(first.0).max(1));
    let rate = (done as f64 / elapsed.as_secs_f64().max(0.001)).max(1.0);
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    format!(
        "replaying the log: {} % of {:.0} MiB, {:.0} MiB/s, about {:.0} s left",
        done * 100 / all,
        mib(all as f64),
        mib(rate),
        (all - done) as f64 / rate
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use gemini_engine::Lsn;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let mib = |n: u64| Lsn(n << 20);
        let replayed = Replayed { first: mib(100), replay_from: mib(100), at: mib(200), end: mib(500) };
        let text = line(replayed, Duration::from_secs(2));
        assert_eq!(text, "replaying the log: 25 % of 400 MiB, 50 MiB/s, about 6 s left");
    }
}
