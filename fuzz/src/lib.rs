//! What fuzz targets share.

use gemini_sql::pg::STACK;
use gemini_tests::fuzz::Target;

/// Calls a target on a thread with the stack that sessions have, four times as much: the sanitizer makes frames larger.
pub fn deep(bytes: &[u8], target: Target) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(4 * STACK).spawn_scoped(scope, || target(bytes));
        // A panic has ended the process already.
        thread.expect("a thread").join().expect("no panic");
    });
}
