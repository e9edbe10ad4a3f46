//! The threads beside the sessions': the site thread, the log thread and the keeper.
//!
//! The **site thread** has the ticks and the peers' frames. The **log thread** writes the batches that no session writes
//! itself (`turns.rs`), one at a time. The **keeper** does what may take long and is not waited for: it prepares and
//! recycles the log's segments and folds row versions into the store.
//!
//! A failed write or sync is the end of the process: what is on disk is known only after a restart. A full disk is
//! not: the batch is whole and is tried again until there is room.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gemini_engine::log::{LogError, LogRemedy, Upkeep};
use gemini_engine::{Batch, Disk, Error, FoldHandle};

use super::DriverError;
use super::mailbox::Courier;
use super::turns::Turns;
use crate::site::Input;

/// A full disk is tried again this often.
const RETRY_FULL: Duration = Duration::from_secs(1);
/// The keeper looks this often whether there is something to fold.
const LOOK: Duration = Duration::from_millis(50);
/// Rows per piece of folding: a few milliseconds.
const FOLD: usize = 2048;

/// The way to both; they end when it is dropped. At most one batch and one upkeep are under way, so no send ever waits.
pub(super) struct Senders {
    pub batches: SyncSender<Batch>,
    pub upkeep: SyncSender<Upkeep>,
}

/// Starts the log thread and the keeper.
pub(super) fn start(
    disk: &Arc<dyn Disk>,
    fold: FoldHandle,
    courier: &Courier,
) -> Result<(Senders, Vec<JoinHandle<()>>), DriverError> {
    let (batches, batch_queue) = sync_channel(2);
    let (upkeep, upkeep_queue) = sync_channel(2);
    let (log_disk, turns) = (disk.clone(), courier.turns.clone());
    let log = spawn("gemini-log", move || write_batches(&*log_disk, &turns, &batch_queue))?;
    let (keeper_disk, keeper_courier) = (disk.clone(), courier.clone());
    let keeper = spawn("gemini-keeper", move || keep(&*keeper_disk, &fold, &keeper_courier, &upkeep_queue))?;
    Ok((Senders { batches, upkeep }, vec![log, keeper]))
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DriverError> {
    thread::Builder::new().name(name.into()).spawn(work).map_err(DriverError::Thread)
}

/// What became of a batch.
pub(super) enum Written {
    /// What the site is to be told.
    Done(Input),
    /// There is no room; the batch is whole and may be written later.
    Full(Batch, LogError),
}

/// Writes and syncs once.
pub(super) fn write(disk: &dyn Disk, mut batch: Batch) -> Written {
    match batch.write(disk) {
        Ok(end) => Written::Done(Input::Durable(end)),
        Err(e) if e.remedy() == LogRemedy::Retry => Written::Full(batch, e),
        Err(e) => Written::Done(Input::LogFailed(e.to_string())),
    }
}

fn write_batches(disk: &dyn Disk, turns: &Turns, batches: &Receiver<Batch>) {
    while let Ok(batch) = batches.recv() {
        let mut next = Some(batch);
        while let Some(batch) = next {
            next = turns.written(write_at_last(disk, batch));
        }
    }
}

/// Writes and syncs, waiting for room on a full disk.
fn write_at_last(disk: &dyn Disk, batch: Batch) -> Input {
    let mut batch = batch;
    let mut told = false;
    loop {
        match write(disk, batch) {
            Written::Done(input) => return input,
            Written::Full(whole, e) => {
                if !told {
                    tracing::error!("{e}; commits wait until there is room");
                    told = true;
                }
                thread::sleep(RETRY_FULL);
                batch = whole;
            }
        }
    }
}

fn keep(disk: &dyn Disk, fold: &FoldHandle, courier: &Courier, upkeep: &Receiver<Upkeep>) {
    let mut pause = LOOK;
    let mut full = false;
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
        let folded = fold.fold(FOLD);
        let was_full = std::mem::replace(&mut full, folded == Err(Error::Full));
        if full && !was_full {
            tracing::error!("{}; new writes are refused until there is", Error::Full);
        } else if was_full && !full {
            tracing::info!("there is room on the disk again");
        }
        pause = match folded {
            Ok(folded) if folded.more => Duration::ZERO,
            Ok(_) => LOOK,
            Err(Error::Full) => RETRY_FULL,
            Err(e) => return courier.insist(Input::LogFailed(format!("the store failed: {e}"))),
        };
    }
}
