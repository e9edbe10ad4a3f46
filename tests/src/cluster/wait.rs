//! Waiting for what must come to pass, with an end.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: far more than it takes on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer, or the time is over.
pub fn patiently<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}
