//! The log thread and the keeper: what blocks on the disk, apart from the site thread.
//!
//! The **log thread** writes one batch at a time and says so; nothing else ever stands between a commit and its sync.
//! (Writing a lonely commit's batch on the site thread itself, to spare two changes of thread, was measured: one client
//! gained 5 of 165 µs, sixteen lost a third of their throughput.)
//! The **keeper** does what may take long and is not waited for: it prepares and recycles the log's segments and
//! folds row versions into the store.
//!
//! A failed write or sync is the end of the process: what is on disk is known only after a restart. A full disk is
//! not: the batch is whole and is tried again until there is room.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gemini_engine::log::{LogRemedy, Upkeep};
use gemini_engine::{Batch, Disk, FoldHandle};

use super::DriverError;
use super::mailbox::Courier;
use crate::site::Input;

/// A full disk is tried again this often.
const RETRY_FULL: Duration = Duration::from_secs(1);
/// The keeper looks this often whether there is something to fold.
const LOOK: Duration = Duration::from_millis(50);
/// Rows per piece of folding: a few milliseconds.
const FOLD: usize = 2048;

pub(super) struct Threads {
    pub batches: SyncSender<Batch>,
    pub upkeep: SyncSender<Upkeep>,
    pub handles: Vec<JoinHandle<()>>,
}

/// Starts both; they end when their senders are dropped.
pub(super) fn start(
    disk: &Arc<dyn Disk>,
    fold: FoldHandle,
    courier: &Courier,
) -> Result<Threads, DriverError> {
    // At most one batch and one upkeep are under way, so neither send ever waits.
    let (batches, batch_queue) = sync_channel(2);
    let (upkeep, upkeep_queue) = sync_channel(2);
    let (log_disk, log_courier) = (disk.clone(), courier.clone());
    let log = spawn("gemini-log", move || write_batches(&*log_disk, &log_courier, &batch_queue))?;
    let (keeper_disk, keeper_courier) = (disk.clone(), courier.clone());
    let keeper = spawn("gemini-keeper", move || keep(&*keeper_disk, &fold, &keeper_courier, &upkeep_queue))?;
    Ok(Threads { batches, upkeep, handles: vec![log, keeper] })
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DriverError> {
    thread::Builder::new().name(name.into()).spawn(work).map_err(DriverError::Thread)
}

fn write_batches(disk: &dyn Disk, courier: &Courier, batches: &Receiver<Batch>) {
    while let Ok(mut batch) = batches.recv() {
        match write(disk, &mut batch) {
            Ok(input) => courier.insist(input),
            Err(reason) => {
                courier.insist(Input::LogFailed(reason));
                return;
            }
        }
    }
}

/// Writes and syncs, waiting for room on a full disk.
fn write(disk: &dyn Disk, batch: &mut Batch) -> Result<Input, String> {
    let mut told = false;
    loop {
        match batch.write(disk) {
            Ok(end) => return Ok(Input::Durable(end)),
            Err(e) if e.remedy() == LogRemedy::Retry => {
                if !told {
                    tracing::error!("{e}; commits wait until there is room");
                    told = true;
                }
                thread::sleep(RETRY_FULL);
            }
            Err(e) => return Err(e.to_string()),
        }
    }
}

fn keep(disk: &dyn Disk, fold: &FoldHandle, courier: &Courier, upkeep: &Receiver<Upkeep>) {
    let mut pause = LOOK;
    loop {
        match upkeep.recv_timeout(pause) {
            Ok(upkeep) => match upkeep.run(disk) {
                Ok(()) => {}
                Err(e) if e.remedy() == LogRemedy::Retry => tracing::error!("{e}; new writes are refused"),
                Err(e) => return courier.insist(Input::LogFailed(e.to_string())),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        pause = match fold.fold(FOLD) {
            Ok(folded) if folded.more => Duration::ZERO,
            Ok(_) => LOOK,
            Err(e) => return courier.insist(Input::LogFailed(format!("the store failed: {e}"))),
        };
    }
}
