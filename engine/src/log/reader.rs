//! Reading: one record by its position, or all from a position on, while others append.
//!
//! What is not yet written is read from the buffers, everything else from the files. Readers never block a batch:
//! the lock is held to find out where a record is, never while the disk is read.

use std::fmt;
use std::sync::Arc;

use super::error::{LogError, LogResult};
use super::frame::{FRAME_HEADER, FrameKind, Peek, SEGMENT_HEADER, Valid, check, peek, segment_name};
use super::open::Window;
use super::record::{CodecError, Record};
use super::shared::{Segment, Shared};
use crate::Lsn;
use crate::disk::read_full;

/// Read at once when a single record is asked for; most are shorter.
const GUESS: usize = 2048;

/// Reads the log. Clones are cheap.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogReader")
    }
}

/// A record and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Its position.
    pub lsn: Lsn,
    /// The record.
    pub record: Record,
    /// The bytes it takes in the log.
    pub bytes: u64,
}

/// Where the bytes of a frame are.
enum Place {
    /// All of them, from memory.
    Memory(Vec<u8>),
    /// In the file, up to that offset.
    File { end: u64 },
}

/// What was at a position.
enum Found {
    Entry(LogEntry),
    /// The end of a segment: go on there.
    Next(u64),
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> LogReader {
        LogReader { shared }
    }

    /// The position of the first retained record.
    pub fn first(&self) -> Lsn {
        Lsn(self.shared.state.lock().first())
    }

    /// The position after the last appended record.
    pub fn end(&self) -> Lsn {
        Lsn(self.shared.state.lock().next)
    }

    /// Everything before is durable.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.state.lock().durable)
    }

    /// The record at a position, durable or not.
    pub fn read(&self, lsn: Lsn) -> LogResult<Record> {
        let (segment, place) = self.locate(lsn.0)?;
        let found = match place {
            Place::Memory(bytes) => self.judge(&segment, lsn.0, &bytes)?,
            Place::File { end } => self.read_file(&segment, lsn.0, end)?,
        };
        match found {
            Found::Entry(entry) => Ok(entry.record),
            Found::Next(_) => Err(LogError::NoRecord { lsn, what: "a segment ends there".to_string() }),
        }
    }

    /// All records from `from` (the position of one, or [`LogReader::first`]) to the end, appended ones included;
    /// at the end it gives `None` and goes on once there is more.
    pub fn iter(&self, from: Lsn) -> LogIter {
        LogIter {
            reader: self.clone(),
            next: from.0,
            base: u64::MAX,
            window: Window::default(),
            failed: false,
        }
    }

    fn locate(&self, lsn: u64) -> LogResult<(Segment, Place)> {
        let state = self.shared.state.lock();
        if lsn < state.first() {
            return Err(LogError::Gone { lsn: Lsn(lsn), first: Lsn(state.first()) });
        }
        let no_record = |what: &str| Err(LogError::NoRecord { lsn: Lsn(lsn), what: what.to_string() });
        if lsn >= state.next {
            return no_record("the log ends before");
        }
        let Some(segment) = state.segments.range(..=lsn).next_back().map(|(_, s)| s.clone()) else {
            return no_record("no segment has it");
        };
        let base = segment.header.base;
        if lsn < base + SEGMENT_HEADER {
            return no_record("a segment's header is there");
        }
        if lsn < state.durable {
            // Beyond what is durable the file holds nothing that may be looked at.
            let end = segment.header.capacity.min(state.durable - base);
            return Ok((segment, Place::File { end }));
        }
        let chunks = state.in_flight.iter().map(|c| &**c).chain([&state.open]);
        let Some((found, bytes)) = chunks.filter(|c| c.start <= lsn && lsn < c.end).find_map(|c| c.at(lsn))
        else {
            return no_record("it is between segments");
        };
        debug_assert_eq!(found, base, "buffers and segments agree");
        let Peek::Maybe { length } = peek(&segment.header, bytes, segment.header.end() - lsn) else {
            return no_record("other bytes are there");
        };
        match bytes.get(..FRAME_HEADER + length) {
            Some(frame) => Ok((segment, Place::Memory(frame.to_vec()))),
            None => no_record("other bytes are there"),
        }
    }

    fn read_file(&self, segment: &Segment, lsn: u64, end: u64) -> LogResult<Found> {
        let offset = lsn - segment.header.base;
        let mut bytes = vec![0; GUESS.min((end - offset) as usize)];
        self.fill(segment, offset, &mut bytes, 0)?;
        let length = match peek(&segment.header, &bytes, segment.header.capacity - offset) {
            Peek::Maybe { length } => FRAME_HEADER + length,
            Peek::None(why) => return Err(self.bad(segment, lsn, why)),
        };
        if length as u64 > end - offset {
            return Err(self.bad(segment, lsn, "a frame longer than what was written"));
        }
        let have = bytes.len();
        bytes.resize(length, 0);
        if have < length {
            self.fill(segment, offset, &mut bytes, have)?;
        }
        self.judge(segment, lsn, &bytes)
    }

    fn fill(&self, segment: &Segment, offset: u64, bytes: &mut Vec<u8>, have: usize) -> LogResult<()> {
        let Some(file) = &segment.file else {
            return Err(self.bad(segment, segment.header.base + offset, "the segment has no file"));
        };
        let n = read_full(&**file, offset + have as u64, &mut bytes[have..])?;
        bytes.truncate(have + n);
        Ok(())
    }

    /// What the whole bytes of a frame say.
    fn judge(&self, segment: &Segment, lsn: u64, frame: &[u8]) -> LogResult<Found> {
        match check(&segment.header, segment.seed, lsn, frame) {
            Err(why) => Err(self.bad(segment, lsn, why)),
            Ok(valid) => self.decode(segment, lsn, valid, frame),
        }
    }

    fn decode(&self, segment: &Segment, lsn: u64, valid: Valid, frame: &[u8]) -> LogResult<Found> {
        match valid.what {
            FrameKind::End => Ok(Found::Next(segment.header.end() + SEGMENT_HEADER)),
            FrameKind::Newer { format, kind } => Err(LogError::Newer {
                file: segment_name(segment.header.epoch),
                what: format!("the record at log position {lsn} has format {format} and kind {kind}"),
            }),
            FrameKind::Record(kind) => match Record::decode(kind, &frame[FRAME_HEADER..]) {
                Ok(record) => Ok(Found::Entry(LogEntry { lsn: Lsn(lsn), record, bytes: frame.len() as u64 })),
                Err(CodecError::Bad(why)) => Err(self.bad(segment, lsn, &undecodable(kind, &why))),
                Err(CodecError::TooLarge) => Err(self.bad(segment, lsn, "the record is too large")),
            },
        }
    }

    /// The segment may have been cut, and its file overwritten, since it was looked up.
    fn bad(&self, segment: &Segment, lsn: u64, what: &str) -> LogError {
        let first = self.first();
        if lsn < first.0 {
            return LogError::Gone { lsn: Lsn(lsn), first };
        }
        LogError::Damaged {
            file: segment_name(segment.header.epoch),
            offset: lsn - segment.header.base,
            lsn: Lsn(lsn),
            what: what.to_string(),
        }
    }
}

/// How to say that a body with a matching checksum makes no record.
pub(super) fn undecodable(kind: super::record::Kind, why: &str) -> String {
    format!("the checksum matches, but the body is no {kind:?} record ({why})")
}

/// All records from a position on.
pub struct LogIter {
    reader: LogReader,
    next: u64,
    /// The segment that `window` is of.
    base: u64,
    window: Window,
    failed: bool,
}

impl LogIter {
    /// Where it goes on.
    pub fn position(&self) -> Lsn {
        Lsn(self.next)
    }

    fn step(&mut self) -> LogResult<Found> {
        let lsn = self.next;
        let (segment, place) = self.reader.locate(lsn)?;
        let end = match place {
            Place::Memory(bytes) => return self.reader.judge(&segment, lsn, &bytes),
            Place::File { end } => end,
        };
        let header = segment.header;
        if self.base != header.base {
            self.window = Window::default();
            self.base = header.base;
        }
        let Some(file) = segment.file.clone() else {
            return Err(self.reader.bad(&segment, lsn, "the segment has no file"));
        };
        match self.window.frame(&header, segment.seed, &*file, lsn - header.base, end)? {
            Err(why) => Err(self.reader.bad(&segment, lsn, why)),
            Ok((valid, frame)) => self.reader.decode(&segment, lsn, valid, frame),
        }
    }
}

impl fmt::Debug for LogIter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogIter at {}", self.next)
    }
}

impl Iterator for LogIter {
    type Item = LogResult<LogEntry>;

    fn next(&mut self) -> Option<LogResult<LogEntry>> {
        while !self.failed && self.next < self.reader.end().0 {
            match self.step() {
                Ok(Found::Next(lsn)) => self.next = lsn,
                Ok(Found::Entry(entry)) => {
                    self.next += entry.bytes;
                    return Some(Ok(entry));
                }
                Err(e) => {
                    self.failed = true;
                    return Some(Err(e));
                }
            }
        }
        None
    }
}
