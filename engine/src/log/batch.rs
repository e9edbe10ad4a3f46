//! A batch: what one group commit writes.

use std::fmt;
use std::sync::Arc;

use gemini_shadow_ops::fault::{Fault, planted};

use super::error::{LogError, LogResult};
use super::shared::{Chunk, Shared};
use crate::Lsn;
use crate::disk::Disk;

/// Buffers larger than this are given back to the system rather than used again.
const MAX_POOLED: usize = 8 * 1024 * 1024;

/// Records to be made durable together. Dropping it unwritten stops the log: later batches rest on it.
pub struct Batch {
    shared: Arc<Shared>,
    /// None only while dropping.
    chunk: Option<Arc<Chunk>>,
    written: bool,
    /// The position after its last record: everything before is durable once it is written.
    pub end: Lsn,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("end", &self.end).field("bytes", &self.bytes()).finish()
    }
}

impl Batch {
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Batch> {
        let state = &mut *shared.state.lock();
        if state.open.bytes.is_empty() || state.failed.is_some() {
            return None;
        }
        let fresh = Chunk { bytes: state.pool.pop().unwrap_or_default(), ..Chunk::default() };
        let chunk = Arc::new(std::mem::replace(&mut state.open, fresh));
        state.in_flight.push_back(chunk.clone());
        let end = Lsn(chunk.end);
        Some(Batch { shared: shared.clone(), chunk: Some(chunk), written: false, end })
    }

    /// How much there is to write.
    pub fn bytes(&self) -> usize {
        self.chunk.as_ref().map_or(0, |c| c.bytes.len())
    }

    /// Writes everything and syncs it: one write and one fdatasync per segment touched, almost always one. After
    /// `Ok` it is durable. After an error whose remedy is to retry (a full disk) it may be called again; after any
    /// other the log has stopped.
    pub fn write(&mut self, disk: &dyn Disk) -> LogResult<Lsn> {
        let Some(chunk) = self.chunk.clone().filter(|_| !self.written) else { return Ok(self.end) };
        {
            let state = self.shared.state.lock();
            state.check_running()?;
            if !state.in_flight.front().is_some_and(|front| Arc::ptr_eq(front, &chunk)) {
                drop(state);
                let cause = "batches were not written in the order they were taken".to_string();
                self.shared.stop(cause.clone());
                return Err(LogError::Stopped { cause });
            }
        }
        let mut files = Vec::with_capacity(chunk.parts.len());
        for part in &chunk.parts {
            files.push(self.shared.ensure(disk, part.base)?);
        }
        for (i, (part, file)) in chunk.parts.iter().zip(&files).enumerate() {
            file.write_at(part.offset, chunk.part_bytes(i)).map_err(|e| self.shared.stop_unless_full(e))?;
            // After a failed sync nobody knows what the device holds, whatever the reason given.
            if planted(Fault::SyncSkipped) {
                continue;
            }
            file.sync().map_err(|e| {
                self.shared.stop(e.to_string());
                LogError::Disk(e)
            })?;
        }
        let state = &mut *self.shared.state.lock();
        state.durable = chunk.end;
        state.in_flight.pop_front();
        self.written = true;
        Ok(self.end)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.written {
            self.shared.stop("a batch was dropped before it was written".to_string());
            return;
        }
        // A reader may still hold the chunk; then its buffer is freed with it.
        let chunk = self.chunk.take().and_then(Arc::into_inner);
        if let Some(mut chunk) = chunk.filter(|c| c.bytes.capacity() <= MAX_POOLED) {
            chunk.bytes.clear();
            let state = &mut *self.shared.state.lock();
            if state.pool.len() < 2 {
                state.pool.push(chunk.bytes);
            }
        }
    }
}
