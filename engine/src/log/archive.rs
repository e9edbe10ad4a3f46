//! The archive: copies of the log's segments in another folder, from which a backup can be rolled forward.
//!
//! ```text
//!   log folder     7 8 9 10(current)            a cut waits: segment 8 is not used again before its copy has its name
//!   archive        … 6 7  ─ copy 8 ─►  segment.new, synced, renamed
//!                  tail   ◄─ the durable part of 10, now and then: what a lost disk would take along otherwise
//! ```
//!
//! A copy is the segment's file byte for byte, under its name. Segments are numbered without holes and numbers are used once, so
//! an archive is the log from its first segment on; files of spent segments that are used again get a new number, and the archive
//! keeps what they were. A copy that is there already (the site was stopped before it could note it) is recognised by its header
//! and length.
//!
//! The archive's disk is not the log's: its errors stop no site. The log grows instead, which is an alarm ([`Archiver::behind`]).
//!
//! [`records`] reads an archive, or a log's own folder: all records, in order.

use std::fmt;
use std::sync::Arc;

use super::error::{LogError, LogResult};
use super::frame::{FRAME_HEADER, FrameKind, SEGMENT_HEADER, SegmentHeader, segment_epoch, segment_name};
use super::inspect;
use super::open::{SegmentFile, Window, frames_from, read_header};
use super::record::Record;
use super::segments::UNFINISHED;
use super::shared::{Segment, Shared};
use crate::Lsn;
use crate::disk::{Disk, DiskError, DiskErrorKind, DiskFile, DiskResult, read_full};

/// Bytes copied at once.
const STEP: u64 = 1 << 20;

/// The copy of the current segment's durable part.
const TAIL: &str = "tail";

/// Copies segments to an archive, from any thread; one at a time.
#[derive(Clone)]
pub struct Archiver {
    shared: Arc<Shared>,
}

impl fmt::Debug for Archiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archiver")
    }
}

impl Archiver {
    pub(super) fn new(shared: Arc<Shared>) -> Archiver {
        Archiver { shared }
    }

    /// Copies the oldest full segment that is not in the archive yet; its number. None: there is none.
    pub fn copy_next(&self, archive: &dyn Disk) -> DiskResult<Option<u32>> {
        let Some(segment) = self.waiting().into_iter().next() else { return Ok(None) };
        let header = segment.header;
        let name = segment_name(header.epoch);
        if !holds(archive, &name, &header)? {
            copy(&segment, header.capacity, archive, &name)?;
        }
        self.shared.state.lock().archived = header.end();
        Ok(Some(header.epoch))
    }

    /// Copies what is durable of the segment that is being written, in place of the last such copy.
    pub fn copy_tail(&self, archive: &dyn Disk) -> DiskResult<()> {
        let (segment, length) = {
            let state = self.shared.state.lock();
            let Some((base, segment)) = state.segments.range(..state.durable).next_back() else {
                return Ok(());
            };
            (segment.clone(), state.durable.saturating_sub(*base))
        };
        copy(&segment, length, archive, TAIL)
    }

    /// Full segments that are not in the archive yet.
    pub fn behind(&self) -> u64 {
        self.waiting().len() as u64
    }

    /// Oldest first.
    fn waiting(&self) -> Vec<Segment> {
        let state = self.shared.state.lock();
        let full = |s: &&Segment| s.header.end() + SEGMENT_HEADER <= state.durable;
        state.segments.range(state.archived..).map(|(_, s)| s).take_while(full).cloned().collect()
    }
}

/// Whether the archive has this segment already.
fn holds(archive: &dyn Disk, name: &str, header: &SegmentHeader) -> DiskResult<bool> {
    let file = match archive.open(name) {
        Ok(file) => file,
        Err(e) if e.kind == DiskErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let mut page = [0; 64];
    let n = read_full(&*file, 0, &mut page)?;
    if SegmentHeader::decode(&page[..n]).as_ref() == Ok(header) && file.len()? == header.capacity {
        return Ok(true);
    }
    // Never overwritten: it may be all that is left of another site's log.
    Err(DiskError {
        kind: DiskErrorKind::Denied,
        operation: "archive to",
        file: archive.describe(name),
        message: "another log's segment is there; give each site an archive of its own".to_owned(),
    })
}

fn copy(segment: &Segment, length: u64, archive: &dyn Disk, name: &str) -> DiskResult<()> {
    let Some(from) = &segment.file else {
        return Err(DiskError {
            kind: DiskErrorKind::NotFound,
            operation: "archive",
            file: segment_name(segment.header.epoch),
            message: "it is durable and has no file".to_owned(),
        });
    };
    let to = archive.create(UNFINISHED, length)?;
    let mut bytes = vec![0; STEP as usize];
    let mut at = 0;
    while at < length {
        let part = &mut bytes[..STEP.min(length - at) as usize];
        let n = read_full(&**from, at, part)?;
        if n == 0 {
            break;
        }
        to.write_at(at, &part[..n])?;
        at += n as u64;
    }
    to.sync()?;
    archive.rename(UNFINISHED, name)?;
    archive.sync_dir()
}

/// Takes a record and where it stood; false: nobody reads on.
pub type Visit<'a> = dyn FnMut(Lsn, Record) -> bool + 'a;

/// Every record of an archive, or of a stopped site's log folder, at `from` or behind it, in order. Gives the position after the
/// last one read. Damage is an error with file and offset; a last segment that is not full, or a tail, may end anywhere.
pub fn records(disk: &dyn Disk, from: Lsn, visit: &mut Visit<'_>) -> LogResult<Lsn> {
    let mut epochs: Vec<u32> = disk.list()?.iter().filter_map(|name| segment_epoch(name)).collect();
    epochs.sort_unstable();
    let mut segments: Vec<SegmentFile> = Vec::with_capacity(epochs.len());
    for epoch in epochs {
        let previous = segments.last().map(|s| s.header);
        if let Some(previous) = previous.filter(|previous| previous.epoch + 1 != epoch) {
            return Err(LogError::Missing {
                file: disk.describe(&segment_name(previous.epoch + 1)),
                what: format!("segments before and after it ({} and {epoch})", previous.epoch),
            });
        }
        segments.push(read_header(disk, epoch, previous.as_ref())?);
    }
    let mut end = from;
    for (i, segment) in segments.iter().enumerate().filter(|(_, s)| s.header.end() > from.0) {
        let (reached, how) = read_segment(segment, segment.header.capacity, from, visit)?;
        end = end.max(reached);
        match how {
            Stop::Full => {}
            Stop::Enough => return Ok(end),
            // In a log's folder a prepared segment may follow: one without records.
            Stop::End(why) => {
                for later in &segments[i + 1..] {
                    if holds_records(later)? {
                        return Err(segment.damaged(reached.0 - segment.header.base, why));
                    }
                }
                return Ok(end);
            }
        }
    }
    if let Some((tail, length)) = open_tail(disk, segments.last().map(|s| &s.header))? {
        let (reached, _) = read_segment(&tail, length, from, visit)?;
        end = end.max(reached);
    }
    Ok(end)
}

/// Why a segment is not read on.
enum Stop {
    /// Another one follows.
    Full,
    /// No record stands there, and none behind it.
    End(&'static str),
    /// Nobody reads on.
    Enough,
}

fn holds_records(segment: &SegmentFile) -> LogResult<bool> {
    let mut found = false;
    frames_from(segment, SEGMENT_HEADER, &mut |_, _, _| {
        found = true;
        false
    })?;
    Ok(found)
}

/// The tail, if it is of the segment after the last whole one.
fn open_tail(disk: &dyn Disk, previous: Option<&SegmentHeader>) -> LogResult<Option<(SegmentFile, u64)>> {
    let file: Arc<dyn DiskFile> = match disk.open(TAIL) {
        Ok(file) => file,
        Err(e) if e.kind == DiskErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let mut page = [0; 64];
    let n = read_full(&*file, 0, &mut page)?;
    let Ok(header) = SegmentHeader::decode(&page[..n]) else {
        let what = "it does not begin with a segment header".to_owned();
        return Err(LogError::Damaged { file: disk.describe(TAIL), offset: 0, lsn: Lsn(0), what });
    };
    let follows = previous.is_none_or(|p| header.base == p.end() && header.identity == p.identity);
    let length = file.len()?;
    let segment = SegmentFile { header, seed: header.seed(), file_name: disk.describe(TAIL), file };
    Ok(follows.then_some((segment, length)))
}

/// Where its records end, and how.
fn read_segment(
    segment: &SegmentFile,
    length: u64,
    from: Lsn,
    visit: &mut Visit<'_>,
) -> LogResult<(Lsn, Stop)> {
    let SegmentFile { header, seed, file, .. } = segment;
    let mut window = Window::default();
    let mut offset = SEGMENT_HEADER;
    loop {
        let lsn = Lsn(header.base + offset);
        let (valid, frame) = match window.frame(header, *seed, &**file, offset, length)? {
            Ok(found) => found,
            Err(why) if goes_on(segment, offset, lsn)? => return Err(segment.damaged(offset, why)),
            Err(why) => return Ok((lsn, Stop::End(why))),
        };
        let kind = match valid.what {
            FrameKind::End => return Ok((Lsn(header.end()), Stop::Full)),
            FrameKind::Record(kind) => kind,
            FrameKind::Newer { format, kind } => {
                let what = format!("at offset {offset} stands a record of format {format} and kind {kind}");
                return Err(LogError::Newer { file: segment.file_name.clone(), what });
            }
        };
        if lsn >= from {
            let record =
                inspect::record(kind, &frame[FRAME_HEADER..]).map_err(|e| segment.damaged(offset, e))?;
            if !visit(lsn, record) {
                return Ok((lsn, Stop::Enough));
            }
        }
        offset += frame.len() as u64;
    }
}

/// Whether a whole record behind the offset proves that what stands there was durable once: then it is no torn end.
fn goes_on(segment: &SegmentFile, offset: u64, lsn: Lsn) -> LogResult<bool> {
    let mut proof = false;
    frames_from(segment, offset + 1, &mut |at, valid, _| {
        proof = segment.header.base + at - u64::from(valid.back) > lsn.0;
        !proof
    })?;
    Ok(proof)
}
