//! Segment files: how one comes to be, and how it is cut and used again.
//!
//! A segment is prepared under another name, from zeros or from the file of a cut one, synced, renamed and its name
//! synced; only then may the frame that ends its predecessor be written.

use std::fmt;
use std::sync::Arc;

use super::error::LogResult;
use super::frame::{SEGMENT_HEADER, SegmentHeader, segment_name};
use super::shared::{Keeper, Segment, Shared};
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskFile, DiskResult};

/// A segment in the making.
pub(super) const UNFINISHED: &str = "segment.new";
/// Files of cut segments begin with this.
pub(super) const SPARE: &str = "spare-";

/// Makes the file of a segment, durably; the keeper says from which spares.
pub(super) fn prepare(
    disk: &dyn Disk,
    keeper: &mut Keeper,
    header: &SegmentHeader,
) -> DiskResult<Arc<dyn DiskFile>> {
    let name = segment_name(header.epoch);
    let mut page = vec![0; SEGMENT_HEADER as usize];
    let bytes = header.encode();
    page[..bytes.len()].copy_from_slice(&bytes);
    while let Some(spare) = keeper.spares.pop() {
        let file = disk.open(&spare)?;
        if file.len()? == header.capacity {
            file.write_at(0, &page)?;
            file.sync()?;
            disk.rename(&spare, &name)?;
            disk.sync_dir()?;
            return Ok(file);
        }
        disk.remove(&spare)?;
    }
    let file = disk.create(UNFINISHED, header.capacity)?;
    file.write_at(0, &page)?;
    file.sync()?;
    disk.rename(UNFINISHED, &name)?;
    disk.sync_dir()?;
    Ok(file)
}

impl Shared {
    /// The file of a planned segment, prepared here and now if upkeep was not there in time.
    pub fn ensure(&self, disk: &dyn Disk, base: u64) -> LogResult<Arc<dyn DiskFile>> {
        if let Some(file) = self.file_of(base) {
            return Ok(file);
        }
        let keeper = &mut *self.keeper.lock();
        if let Some(file) = self.file_of(base) {
            return Ok(file);
        }
        let header = self.state.lock().segments.get(&base).map(|s| s.header);
        let Some(header) = header else {
            let e = DiskError {
                kind: DiskErrorKind::NotFound,
                operation: "write to",
                file: format!("the log segment at position {base}"),
                message: "it was cut".to_string(),
            };
            return Err(self.stop_unless_full(e));
        };
        let file = prepare(disk, keeper, &header).map_err(|e| self.stop_unless_full(e))?;
        if let Some(segment) = self.state.lock().segments.get_mut(&base) {
            segment.file = Some(file.clone());
        }
        Ok(file)
    }

    fn file_of(&self, base: u64) -> Option<Arc<dyn DiskFile>> {
        self.state.lock().segments.get(&base).and_then(|s| s.file.clone())
    }

    /// The next segment to prepare: one that appends have planned already (a hole would be left otherwise), or the
    /// one after all of them.
    fn next_to_prepare(&self) -> Option<SegmentHeader> {
        let state = self.state.lock();
        if let Some(planned) = state.segments.values().find(|s| s.file.is_none()) {
            return Some(planned.header);
        }
        let last = state.segments.values().next_back()?.header;
        if state.ready.is_some() {
            return None;
        }
        let epoch = last.epoch.checked_add(1)?;
        let capacity = self.segment_bytes;
        Some(SegmentHeader { epoch, identity: self.identity, base: last.end(), capacity })
    }

    /// Takes note of a prepared file. Appends may have planned the same segment in another size meanwhile; then the
    /// file is not used, and replaced when that one is prepared.
    fn prepared(&self, header: SegmentHeader, file: Arc<dyn DiskFile>) {
        let state = &mut *self.state.lock();
        match state.segments.get_mut(&header.base) {
            Some(planned) if planned.header == header => planned.file = Some(file),
            Some(_) => {}
            None => state.ready = Some(Segment::new(header, Some(file))),
        }
    }

    /// Takes the oldest segment out of the readers' sight, if all of it may be cut and is durable.
    fn detach_oldest(&self) -> Option<SegmentHeader> {
        let state = &mut *self.state.lock();
        let below = state.cuttable();
        let mut bases = state.segments.keys();
        let (oldest, next) = (*bases.next()?, *bases.next()?);
        if next + SEGMENT_HEADER > below {
            return None;
        }
        state.segments.remove(&oldest).map(|s| s.header)
    }

    fn recycle(&self, disk: &dyn Disk, keeper: &mut Keeper, header: &SegmentHeader) -> DiskResult<()> {
        let name = segment_name(header.epoch);
        if header.capacity == self.segment_bytes && keeper.spares.len() < keeper.limit {
            let spare = format!("{SPARE}{:010}", header.epoch);
            disk.rename(&name, &spare)?;
            keeper.spares.push(spare);
        } else {
            disk.remove(&name)?;
        }
        disk.sync_dir()
    }
}

/// Housekeeping of the log, apart from commits; runs on any thread.
pub struct Upkeep {
    shared: Arc<Shared>,
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upkeep")
    }
}

impl Upkeep {
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Upkeep> {
        let state = &mut *shared.state.lock();
        if state.upkeep_out || state.failed.is_some() {
            return None;
        }
        let below = state.cuttable();
        let cuts = state.segments.keys().nth(1).is_some_and(|next| next + SEGMENT_HEADER <= below);
        let prepares = !state.full && state.ready.is_none();
        if !cuts && !prepares {
            return None;
        }
        state.upkeep_out = true;
        Some(Upkeep { shared: shared.clone() })
    }

    /// Does what is due. A full disk is an error to retry ([`super::Log::full`] tells); any other stops the log.
    pub fn run(self, disk: &dyn Disk) -> LogResult<()> {
        let shared = &self.shared;
        let keeper = &mut *shared.keeper.lock();
        shared.state.lock().check_running()?;
        while let Some(header) = shared.detach_oldest() {
            // After a failure the next cut would leave a hole behind this segment.
            shared.recycle(disk, keeper, &header).inspect_err(|e| shared.stop(e.to_string()))?;
        }
        while let Some(header) = shared.next_to_prepare() {
            match prepare(disk, keeper, &header) {
                Ok(file) => shared.prepared(header, file),
                Err(e) => {
                    shared.state.lock().full |= e.kind == DiskErrorKind::Full;
                    return Err(shared.stop_unless_full(e));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.shared.state.lock().upkeep_out = false;
    }
}
