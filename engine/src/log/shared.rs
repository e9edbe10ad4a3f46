//! What the writer, the batches, the upkeep and the readers of a log share, and the append itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{LogError, LogResult};
use super::frame::{END, FRAME_HEADER, FrameHeader, SEGMENT_HEADER, SegmentHeader};
use super::record::{CodecError, MAX_RECORD, Record};
use crate::Lsn;
use crate::disk::{DiskError, DiskErrorKind, DiskFile};

/// More than this in the buffer and appends are refused: the disk is far behind.
const MAX_BACKLOG: usize = 1024 * 1024 * 1024;

/// Lock order: `keeper`, then `state`. `keeper` is held over disk operations, `state` never is.
pub(super) struct Shared {
    pub identity: u64,
    pub segment_bytes: u64,
    pub keeper: Mutex<Keeper>,
    pub state: Mutex<State>,
}

/// Who may create, rename and remove segment files.
pub(super) struct Keeper {
    /// Names of files to recycle.
    pub spares: Vec<String>,
    /// How many to keep.
    pub limit: usize,
}

pub(super) struct State {
    /// By base: retained ones, the current one, and those that appends have planned already.
    pub segments: BTreeMap<u64, Segment>,
    /// The segment after the last of `segments`, on disk and not yet used.
    pub ready: Option<Segment>,
    /// Where the next frame goes, if it fits.
    pub next: u64,
    /// Everything before is on disk.
    pub durable: u64,
    /// What was appended since the last batch was taken.
    pub open: Chunk,
    /// Batches taken and not yet written, in order.
    pub in_flight: VecDeque<Arc<Chunk>>,
    /// Buffers to use again.
    pub pool: Vec<Vec<u8>>,
    pub cut_below: u64,
    /// Segments before are in the archive; `u64::MAX` without one.
    pub archived: u64,
    pub upkeep_out: bool,
    pub full: bool,
    pub failed: Option<String>,
}

#[derive(Clone)]
pub(super) struct Segment {
    pub header: SegmentHeader,
    pub seed: u32,
    /// None while it is only planned.
    pub file: Option<Arc<dyn DiskFile>>,
}

impl Segment {
    pub fn new(header: SegmentHeader, file: Option<Arc<dyn DiskFile>>) -> Segment {
        Segment { header, seed: header.seed(), file }
    }
}

/// Frames in the order of their positions: a batch, or one in the making.
#[derive(Default)]
pub(super) struct Chunk {
    /// The position of its first frame.
    pub start: u64,
    /// The position after its last frame.
    pub end: u64,
    pub bytes: Vec<u8>,
    /// One per segment it touches, in order.
    pub parts: Vec<Part>,
}

/// The bytes of a chunk from `from` up to the next part: they go to `offset` in the segment at `base`.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub base: u64,
    pub offset: u64,
    pub from: usize,
}

impl Chunk {
    pub fn part_bytes(&self, i: usize) -> &[u8] {
        let to = self.parts.get(i + 1).map_or(self.bytes.len(), |next| next.from);
        &self.bytes[self.parts[i].from..to]
    }

    /// The bytes from `lsn` to the end of its part, with the base of its segment.
    pub fn at(&self, lsn: u64) -> Option<(u64, &[u8])> {
        let i = self.parts.partition_point(|p| p.base <= lsn).checked_sub(1)?;
        let within = lsn.checked_sub(self.parts[i].base + self.parts[i].offset)?;
        let bytes = self.part_bytes(i).get(within as usize..)?;
        (!bytes.is_empty()).then_some((self.parts[i].base, bytes))
    }
}

impl State {
    /// The segment that appends go to.
    fn current(&self) -> &Segment {
        self.segments
            .values()
            .next_back()
            .expect("a log has a segment from its opening on, and cuts spare the last")
    }

    pub fn first(&self) -> u64 {
        self.segments.keys().next().map_or(0, |base| base + SEGMENT_HEADER)
    }

    /// Segments that end here or before may be used again.
    pub fn cuttable(&self) -> u64 {
        self.cut_below.min(self.durable).min(self.archived.saturating_add(SEGMENT_HEADER))
    }

    pub fn check_running(&self) -> LogResult<()> {
        match &self.failed {
            None => Ok(()),
            Some(cause) => Err(LogError::Stopped { cause: cause.clone() }),
        }
    }

    /// Puts the frame in the buffer from `at` on where it belongs; ends the segment first if it is too long for it.
    fn place(&mut self, kind: u8, mut at: usize, identity: u64, segment_bytes: u64) -> LogResult<u64> {
        let len = (self.open.bytes.len() - at) as u64;
        let fresh = self.open.parts.is_empty();
        let start = if fresh { self.next } else { self.open.start };
        let header = self.current().header;
        // Room for the frame that ends the segment is kept.
        let fits = self.next + len + FRAME_HEADER as u64 <= header.end();
        let planned = if fits { None } else { Some(self.plan(len, identity, segment_bytes)?) };
        let lsn = planned.map_or(self.next, |p| p.base + SEGMENT_HEADER);
        let Ok(back) = u32::try_from(lsn - start) else { return Err(self.backlog()) };
        if fresh {
            self.open.start = start;
            self.open.parts.push(Part { base: header.base, offset: self.next - header.base, from: at });
        }
        if let Some(planned) = planned {
            let mut end = [0; FRAME_HEADER];
            let seed = self.current().seed;
            FrameHeader::seal(END, header.epoch, (self.next - start) as u32, seed, self.next, &mut end);
            self.open.bytes.splice(at..at, end);
            at += FRAME_HEADER;
            let file = self.ready.take().filter(|r| r.header == planned).and_then(|r| r.file);
            self.segments.insert(planned.base, Segment::new(planned, file));
            self.open.parts.push(Part { base: planned.base, offset: SEGMENT_HEADER, from: at });
        }
        let (seed, epoch) = (self.current().seed, self.current().header.epoch);
        FrameHeader::seal(kind, epoch, back, seed, lsn, &mut self.open.bytes[at..]);
        self.next = lsn + len;
        self.open.end = self.next;
        Ok(lsn)
    }

    /// The segment after the current one, with room for a frame of `len` bytes.
    fn plan(&self, len: u64, identity: u64, segment_bytes: u64) -> LogResult<SegmentHeader> {
        let need = SEGMENT_HEADER + len + FRAME_HEADER as u64;
        if let Some(ready) = self.ready.as_ref().filter(|r| r.header.capacity >= need) {
            return Ok(ready.header);
        }
        let last = self.current().header;
        let epoch = last.epoch.checked_add(1).ok_or_else(|| LogError::Stopped {
            cause: "all segment numbers are used up; move the site to a new data directory".to_string(),
        })?;
        Ok(SegmentHeader { epoch, identity, base: last.end(), capacity: need.max(segment_bytes) })
    }

    fn backlog(&self) -> LogError {
        LogError::Backlog { bytes: self.open.bytes.len() as u64 }
    }
}

impl Shared {
    pub fn append(&self, record: &Record) -> LogResult<Lsn> {
        let state = &mut *self.state.lock();
        state.check_running()?;
        if state.open.bytes.len() > MAX_BACKLOG {
            return Err(state.backlog());
        }
        let at = state.open.bytes.len();
        state.open.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        let placed = match record.encode(&mut state.open.bytes) {
            Ok(()) => state.place(record.kind() as u8, at, self.identity, self.segment_bytes),
            Err(CodecError::TooLarge) => Err(LogError::TooLarge { limit: MAX_RECORD }),
            Err(CodecError::Bad(why)) => Err(LogError::Encode(why)),
        };
        if placed.is_err() {
            state.open.bytes.truncate(at);
        }
        placed.map(Lsn)
    }

    /// Nothing succeeds from here on, unless the disk was merely full.
    pub fn stop_unless_full(&self, e: DiskError) -> LogError {
        if e.kind != DiskErrorKind::Full {
            self.stop(e.to_string());
        }
        LogError::Disk(e)
    }

    pub fn stop(&self, cause: String) {
        let mut state = self.state.lock();
        if state.failed.is_none() {
            tracing::error!(%cause, "the log has stopped");
            state.failed = Some(cause);
        }
    }
}
