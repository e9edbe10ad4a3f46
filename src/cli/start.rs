//! `gemini start`: one site, until it is told to stop.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::{CliError, Where};
use crate::driver::{DriverError, run_until_stopped};

pub(super) fn run(place: &Where) -> Result<(), CliError> {
    let (cluster, site) = place.load()?;
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .thread_name("gemini-tokio")
        // Reserved, not used: only the pages that a deep statement touches become resident.
        .thread_stack_size(gemini_sql::pg::STACK)
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    let outcome = runtime.block_on(run_until_stopped(&cluster, &site));
    // What sessions still hold is cut off: the site has drained or failed.
    runtime.shutdown_background();
    outcome.map_err(|e| match e {
        DriverError::Config(e) => CliError::Usage(e.to_string()),
        e => CliError::Failed(format!("{}: {e}", site.name)),
    })
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get()).max(2)
}

/// GEMINI_LOG chooses what is told (as in `GEMINI_LOG=debug`); by default what an operator wants to know.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("GEMINI_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,sled=warn,fjall=warn,lsm_tree=warn,quinn=warn"));
    // A second subscriber in one process (tests) is no reason to fail.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
