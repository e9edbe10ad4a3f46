//! Opening: which segments there are, where the log ends, and whether all before that is whole.
//!
//! [`survey`] reads the segments' headers, [`walk`] their frames; both change nothing and also serve the offline
//! check. [`open`] then makes the end fit to append to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::LogOptions;
use super::error::{LogError, LogResult};
use super::frame::{
    END_OF_SEGMENT, FRAME_HEADER, FrameKind, HeaderError, NOTHING, OLDER, Peek, SEGMENT_HEADER,
    SegmentHeader, Valid, check, peek, segment_epoch, segment_name,
};
use super::record::Kind;
use super::segments::{SPARE, UNFINISHED, prepare};
use super::shared::{Chunk, Keeper, Segment, Shared, State};
use crate::Lsn;
use crate::disk::{Disk, DiskFile, DiskResult, read_full, write_zeros};

/// How much is read at once.
const WINDOW: u64 = 256 * 1024;

/// What was found at the opening of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whether the log was created.
    pub created: bool,
    /// Where the first retained record is.
    pub first: Lsn,
    /// The position after the last record.
    pub end: Lsn,
    /// Whole records.
    pub records: u64,
    /// The torn end that was cut, if there was one.
    pub torn: Option<Torn>,
}

impl Opened {
    /// Whether nothing was ever cut: the first retained record is the first there was.
    pub fn from_the_beginning(&self) -> bool {
        self.first.0 == SEGMENT_HEADER
    }
}

/// Bytes after the last whole record that a crash left behind: parts of a batch that was never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub file: String,
    /// Where the log ends in it.
    pub offset: u64,
    /// How many whole frames of the unfinished batch stood behind the tear.
    pub frames_after: u64,
    /// What stands at the offset.
    pub what: &'static str,
}

/// A segment file whose header makes sense where it stands.
#[derive(Clone)]
pub(super) struct SegmentFile {
    pub header: SegmentHeader,
    pub seed: u32,
    /// For messages.
    pub file_name: String,
    pub file: Arc<dyn DiskFile>,
}

impl SegmentFile {
    pub fn damaged(&self, offset: u64, what: impl Into<String>) -> LogError {
        LogError::Damaged {
            file: self.file_name.clone(),
            offset,
            lsn: Lsn(self.header.base + offset),
            what: what.into(),
        }
    }

    fn newer(&self, offset: u64, format: u8, kind: u8) -> LogError {
        let what = format!("at offset {offset} stands a record of format {format} and kind {kind}");
        LogError::Newer { file: self.file_name.clone(), what }
    }
}

/// Part of a file in memory, for reading forward through it.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    from: u64,
}

impl Window {
    /// `len` bytes at `offset`, fewer only at `end`; reads ahead up to `end`.
    pub fn slice(&mut self, file: &dyn DiskFile, offset: u64, len: u64, end: u64) -> DiskResult<&[u8]> {
        let len = len.min(end.saturating_sub(offset));
        let have = self.from + self.bytes.len() as u64;
        if offset < self.from || offset + len > have {
            let want = len.max(WINDOW).min(end.saturating_sub(offset));
            self.bytes.clear();
            self.bytes.resize(want as usize, 0);
            let n = read_full(file, offset, &mut self.bytes)?;
            self.bytes.truncate(n);
            self.from = offset;
        }
        let at = (offset - self.from) as usize;
        Ok(&self.bytes[at..self.bytes.len().min(at + len as usize)])
    }

    /// The valid frame at `offset`, or why there is none.
    pub fn frame(
        &mut self,
        segment: &SegmentHeader,
        seed: u32,
        file: &dyn DiskFile,
        offset: u64,
        end: u64,
    ) -> DiskResult<Result<(Valid, &[u8]), &'static str>> {
        let head = self.slice(file, offset, FRAME_HEADER as u64, end)?;
        let length = match peek(segment, head, segment.capacity - offset) {
            Peek::None(why) => return Ok(Err(why)),
            Peek::Maybe { length } => length,
        };
        let frame = self.slice(file, offset, (FRAME_HEADER + length) as u64, end)?;
        Ok(check(segment, seed, segment.base + offset, frame).map(|valid| (valid, frame)))
    }
}

/// All segments in order, their headers checked against their names and each other.
pub(super) fn survey(disk: &dyn Disk) -> LogResult<Vec<SegmentFile>> {
    let mut epochs: Vec<u32> = disk.list()?.iter().filter_map(|name| segment_epoch(name)).collect();
    epochs.sort_unstable();
    for pair in epochs.windows(2) {
        if pair[0].checked_add(1) != Some(pair[1]) {
            return Err(LogError::Missing {
                file: disk.describe(&segment_name(pair[0].wrapping_add(1))),
                what: format!("segments before and after it ({} and {})", pair[0], pair[1]),
            });
        }
    }
    let mut segments: Vec<SegmentFile> = Vec::with_capacity(epochs.len());
    for epoch in epochs {
        let segment = read_header(disk, epoch, segments.last().map(|s| &s.header))?;
        segments.push(segment);
    }
    Ok(segments)
}

/// One segment's header, checked against its name and, if there is one, the segment before it.
pub(super) fn read_header(
    disk: &dyn Disk,
    epoch: u32,
    previous: Option<&SegmentHeader>,
) -> LogResult<SegmentFile> {
    let name = segment_name(epoch);
    let file_name = disk.describe(&name);
    let file = disk.open(&name)?;
    let mut page = [0; 64];
    let n = read_full(&*file, 0, &mut page)?;
    let damaged = |offset, lsn, what: String| {
        Err(LogError::Damaged { file: file_name.clone(), offset, lsn: Lsn(lsn), what })
    };
    let expected_base = previous.map_or(0, SegmentHeader::end);
    let header = match SegmentHeader::decode(&page[..n]) {
        Ok(header) => header,
        Err(HeaderError::Damaged(what)) => return damaged(0, expected_base, what.to_string()),
        Err(HeaderError::Newer(version)) => {
            let what =
                format!("its segments have version {version}, this program writes {}", super::frame::VERSION);
            return Err(LogError::Newer { file: file_name, what });
        }
    };
    let foreign = |what: String| Err(LogError::Foreign { file: file_name.clone(), what });
    if header.epoch != epoch {
        return foreign(format!("its name says segment {epoch}, its header segment {}", header.epoch));
    }
    if let Some(previous) = previous {
        if header.identity != previous.identity {
            return foreign(format!(
                "it is of log {:016x}, the segment before it of log {:016x}",
                header.identity, previous.identity
            ));
        }
        if header.base != previous.end() {
            return foreign(format!(
                "it begins at log position {}, the segment before it ends at {}",
                header.base,
                previous.end()
            ));
        }
    }
    let len = file.len()?;
    if len < header.capacity {
        let what = format!("the file has {len} bytes of {}", header.capacity);
        return damaged(len, header.base + len, what);
    }
    Ok(SegmentFile { header, seed: header.seed(), file_name, file })
}

/// Where a log ends.
pub(super) struct Tail {
    /// Which segment.
    pub segment: usize,
    pub offset: u64,
    pub records: u64,
    pub torn: Option<Torn>,
    /// Where the last frame left over from the torn batch ends.
    pub leftover_end: Option<u64>,
}

/// Takes a frame's segment, offset, kind and body.
type Visit<'a> = dyn FnMut(&SegmentFile, u64, Kind, &[u8]) -> LogResult<()> + 'a;

/// Visits every whole frame in order: (segment, offset, kind, body). Stops at the end of the log, or with an error
/// at damage that is not the end.
pub(super) fn walk(segments: &[SegmentFile], visit: &mut Visit<'_>) -> LogResult<Tail> {
    let mut records = 0;
    for (i, segment) in segments.iter().enumerate() {
        let mut window = Window::default();
        let mut offset = SEGMENT_HEADER;
        let why = loop {
            let end = segment.header.capacity;
            match window.frame(&segment.header, segment.seed, &*segment.file, offset, end)? {
                Err(why) => break Some(why),
                Ok((Valid { what: FrameKind::End, .. }, _)) => break None,
                Ok((Valid { what: FrameKind::Newer { format, kind }, .. }, _)) => {
                    return Err(segment.newer(offset, format, kind));
                }
                Ok((Valid { what: FrameKind::Record(kind), .. }, frame)) => {
                    visit(segment, offset, kind, &frame[FRAME_HEADER..])?;
                    records += 1;
                    offset += frame.len() as u64;
                }
            }
        };
        if let Some(why) = why {
            return tail(segments, i, offset, why, records);
        }
    }
    match segments.last() {
        None => Err(LogError::NoLog { directory: String::new() }),
        Some(last) => Err(LogError::Missing {
            file: last
                .file_name
                .replace(&segment_name(last.header.epoch), &segment_name(last.header.epoch + 1)),
            what: format!("records past segment {}", last.header.epoch),
        }),
    }
}

/// Decides whether the log may end at `offset`, where no whole frame stands.
fn tail(segments: &[SegmentFile], i: usize, offset: u64, why: &'static str, records: u64) -> LogResult<Tail> {
    let segment = &segments[i];
    let lsn = segment.header.base + offset;
    let mut leftover_end = None;
    let mut frames_after = 0;
    let mut proof = None;
    frames_from(segment, offset + 1, &mut |at, valid, len| {
        frames_after += 1;
        leftover_end = Some(at + len);
        let durable = segment.header.base + at - u64::from(valid.back);
        proof = (durable > lsn).then_some(at);
        proof.is_none()
    })?;
    if let Some(at) = proof {
        return Err(segment.damaged(offset, format!("{why}, and a later record at offset {at} is whole")));
    }
    for later in &segments[i + 1..] {
        let mut found = None;
        frames_from(later, SEGMENT_HEADER, &mut |at, _, _| {
            found = Some(at);
            false
        })?;
        if let Some(at) = found {
            let what = format!("{why}, and a record at offset {at} of {} is whole", later.file_name);
            return Err(segment.damaged(offset, what));
        }
    }
    let clean = matches!(why, NOTHING | OLDER | END_OF_SEGMENT);
    let torn = (frames_after > 0 || !clean).then(|| Torn {
        file: segment.file_name.clone(),
        offset,
        frames_after,
        what: why,
    });
    Ok(Tail { segment: i, offset, records, torn, leftover_end })
}

/// Looks for valid frames at every byte from `offset` on: (offset, frame, length) until told to stop.
pub(super) fn frames_from(
    segment: &SegmentFile,
    mut offset: u64,
    found: &mut dyn FnMut(u64, Valid, u64) -> bool,
) -> DiskResult<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let end = segment.header.capacity;
    let file = &*segment.file;
    let mut window = Window::default();
    let mut long = Window::default();
    while offset + FRAME_HEADER as u64 <= end {
        // A page and a header, so that every header that begins in the page is whole.
        let bytes = window.slice(file, offset, (ZEROS.len() + FRAME_HEADER) as u64, end)?;
        let starts = (bytes.len() + 1).saturating_sub(FRAME_HEADER);
        if starts == 0 {
            break;
        }
        if bytes.len() > ZEROS.len() && bytes[..ZEROS.len()] == ZEROS {
            offset += (ZEROS.len() - FRAME_HEADER) as u64;
            continue;
        }
        let maybe = (0..starts).find(|at| {
            let room = end - offset - *at as u64;
            bytes[*at] != 0 && matches!(peek(&segment.header, &bytes[*at..], room), Peek::Maybe { .. })
        });
        let Some(at) = maybe else {
            offset += starts as u64;
            continue;
        };
        offset += at as u64;
        match long.frame(&segment.header, segment.seed, file, offset, end)? {
            Ok((valid, frame)) => {
                let len = frame.len() as u64;
                if !found(offset, valid, len) {
                    break;
                }
                offset += len;
            }
            Err(_) => offset += 1,
        }
    }
    Ok(())
}

/// Opens the log in a directory that is locked already.
pub(super) fn open(options: &LogOptions, disk: &dyn Disk) -> LogResult<(Shared, Opened)> {
    let segment_bytes = options.segment_bytes.max(2 * SEGMENT_HEADER);
    let segments = survey(disk)?;
    let mut keeper = Keeper { spares: tidy(disk, segment_bytes, options.spares)?, limit: options.spares };
    if segments.is_empty() {
        if !options.create {
            return Err(LogError::NoLog { directory: disk.describe("") });
        }
        let (identity, base) = (options.identity, options.begin.0);
        let header = SegmentHeader { epoch: 1, identity, base, capacity: segment_bytes };
        let file = prepare(disk, &mut keeper, &header)?;
        let lsn = Lsn(base + SEGMENT_HEADER);
        let state = state(options.archive, vec![Segment::new(header, Some(file))], None, lsn.0);
        let opened = Opened { created: true, first: lsn, end: lsn, records: 0, torn: None };
        return Ok((shared(options.identity, segment_bytes, keeper, state), opened));
    }
    let tail = walk(&segments, &mut |_, _, _, _| Ok(()))?;
    let last = &segments[tail.segment];
    if let Some(torn) = &tail.torn {
        tracing::warn!(file = %torn.file, offset = torn.offset, what = torn.what, "cut the torn end of the log");
    }
    if let Some(end) = tail.leftover_end {
        write_zeros(&*last.file, tail.offset, end)?;
        last.file.sync()?;
    }
    // One prepared segment is of use; more are the trace of a batch that never was.
    for unused in segments.iter().skip(tail.segment + 2).rev() {
        disk.remove(&segment_name(unused.header.epoch))?;
        disk.sync_dir()?;
    }
    let identity = last.header.identity;
    let end = last.header.base + tail.offset;
    let keep = |s: &SegmentFile| Segment::new(s.header, Some(s.file.clone()));
    let ready = segments.get(tail.segment + 1).map(keep);
    let kept = segments[..=tail.segment].iter().map(keep).collect();
    let state = state(options.archive, kept, ready, end);
    let opened = Opened {
        created: false,
        first: Lsn(state.first()),
        end: Lsn(end),
        records: tail.records,
        torn: tail.torn,
    };
    Ok((shared(identity, segment_bytes, keeper, state), opened))
}

/// Removes what an interrupted preparation left, and keeps spares that fit.
fn tidy(disk: &dyn Disk, segment_bytes: u64, limit: usize) -> LogResult<Vec<String>> {
    let mut spares = Vec::new();
    for name in disk.list()? {
        if name == UNFINISHED {
            disk.remove(&name)?;
        } else if name.starts_with(SPARE) {
            if spares.len() < limit && disk.open(&name)?.len()? == segment_bytes {
                spares.push(name);
            } else {
                disk.remove(&name)?;
            }
        }
    }
    Ok(spares)
}

fn state(archive: bool, segments: Vec<Segment>, ready: Option<Segment>, end: u64) -> State {
    State {
        archived: if archive { 0 } else { u64::MAX },
        segments: segments.into_iter().map(|s| (s.header.base, s)).collect::<BTreeMap<_, _>>(),
        ready,
        next: end,
        durable: end,
        open: Chunk::default(),
        in_flight: VecDeque::new(),
        pool: Vec::new(),
        cut_below: 0,
        upkeep_out: false,
        full: false,
        failed: None,
    }
}

fn shared(identity: u64, segment_bytes: u64, keeper: Keeper, state: State) -> Shared {
    Shared { identity, segment_bytes, keeper: Mutex::new(keeper), state: Mutex::new(state) }
}
