//! The wall clock, and how a test moves it.
//!
//! `GEMINI_TEST_CLOCK=FILE` at the start of a site names a file with a whole number of milliseconds, negative ones too: the wall clock is
//! read that much later. It is looked at ten times a second, so a test sets the clock of one process among several on one
//! machine forward and back while it runs. Without the variable nothing is read.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::DriverError;
use super::threads::spawn;

const VARIABLE: &str = "GEMINI_TEST_CLOCK";
const LOOK: Duration = Duration::from_millis(100);

/// In microseconds.
static SHIFT: AtomicI64 = AtomicI64::new(0);

/// Microseconds since 1970-01-01 UTC. A wall clock before 1970 is 0.
pub(super) fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    now.saturating_add_signed(SHIFT.load(Ordering::Relaxed))
}

/// Follows the file that a test names, if one does.
pub(super) fn follow_test() -> Result<(), DriverError> {
    let Some(file) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return Ok(()) };
    tracing::warn!(file = %file.display(), "{VARIABLE} moves this site's clock: a test does that, nothing else should");
    look(&file);
    spawn("gemini-clock", move || {
        loop {
            std::thread::sleep(LOOK);
            look(&file);
        }
    })?;
    Ok(())
}

/// A file that is not there, or is being written, changes nothing.
fn look(file: &std::path::Path) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    if let Ok(milliseconds) = text.trim().parse::<i64>() {
        SHIFT.store(milliseconds.saturating_mul(1000), Ordering::Relaxed);
    }
}
