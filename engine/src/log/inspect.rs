//! Looking at a log from outside: a readable dump, and a check. Neither changes anything or takes the lock.

use std::fmt::{self, Write};

use gemini_shadow_ops::{Entry, Verdict};

use super::LogError;
use super::error::LogResult;
use super::frame::{FRAME_HEADER, FrameKind, SEGMENT_HEADER, segment_epoch, segment_name};
use super::open::{SegmentFile, Torn, Window, survey, walk};
use super::reader::undecodable;
use super::record::{CodecError, Kind, Record};
use crate::Lsn;
use crate::disk::Disk;

/// What a check of a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segment files.
    pub segments: u64,
    /// Whole records that can be decoded.
    pub records: u64,
    /// The bytes of their frames.
    pub bytes: u64,
    /// The first retained record's position.
    pub first: Lsn,
    /// The position after the last whole record.
    pub end: Lsn,
    /// A torn end, which the next start will cut.
    pub torn: Option<Torn>,
    /// The first damage; records were counted up to it.
    pub damage: Option<LogError>,
}

/// Checks every segment and every record. Damage is in the report; an error means that the disk could not be read.
pub fn verify(disk: &dyn Disk) -> LogResult<Report> {
    let mut report = Report {
        segments: disk.list()?.iter().filter(|n| segment_epoch(n).is_some()).count() as u64,
        ..Report::default()
    };
    let outcome = survey(disk).and_then(|segments| {
        report.first = Lsn(segments.first().map_or(0, |s| s.header.base + SEGMENT_HEADER));
        report.end = report.first;
        walk(&segments, &mut |segment, offset, kind, body| {
            Record::decode(kind, body).map_err(|e| segment.damaged(offset, codec(kind, e)))?;
            report.records += 1;
            report.bytes += (body.len() + FRAME_HEADER) as u64;
            report.end = Lsn(segment.header.base + offset + (body.len() + FRAME_HEADER) as u64);
            Ok(())
        })
    });
    match outcome {
        Ok(tail) => report.torn = tail.torn,
        Err(e @ LogError::Disk(_)) => return Err(e),
        Err(LogError::NoLog { .. }) => report.damage = Some(LogError::NoLog { directory: disk.describe("") }),
        Err(damage) => report.damage = Some(damage),
    }
    Ok(report)
}

fn codec(kind: Kind, e: CodecError) -> String {
    match e {
        CodecError::Bad(why) => undecodable(kind, &why),
        CodecError::TooLarge => "the record is too large".to_string(),
    }
}

/// The record that a frame of this kind has in its body, or why it has none. The frame's checksum has been seen to by whoever
/// cut the body out of it; a body may still be of another version, or made to deceive.
pub fn record(kind: Kind, body: &[u8]) -> Result<Record, String> {
    Record::decode(kind, body).map_err(|e| codec(kind, e))
}

/// A record's body: what [`record`] reads.
pub fn body(record: &Record) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    record.encode(&mut body).map_err(|e| codec(record.kind(), e))?;
    Ok(body)
}

/// Writes the records of one segment in readable form, one a line, with their positions. Shows as much as it can:
/// damaged places are named, and what can be read behind them is shown.
pub fn dump(disk: &dyn Disk, epoch: u32, out: &mut dyn Write) -> LogResult<()> {
    let segments = survey(disk)?;
    let Some(segment) = segments.iter().find(|s| s.header.epoch == epoch) else {
        return Err(LogError::Missing {
            file: disk.describe(&segment_name(epoch)),
            what: "no segment of that number".to_string(),
        });
    };
    let written = dump_segment(segment, out)?;
    // Writing to a string does not fail; whatever else the caller writes to tells it itself.
    written.or(Ok(()))
}

fn dump_segment(segment: &SegmentFile, out: &mut dyn Write) -> LogResult<fmt::Result> {
    let header = &segment.header;
    let mut text = || -> LogResult<fmt::Result> {
        let first = writeln!(
            out,
            "segment {} log {:016x} positions {}..{}",
            header.epoch,
            header.identity,
            header.base,
            header.end()
        );
        if first.is_err() {
            return Ok(first);
        }
        let mut window = Window::default();
        let mut offset = SEGMENT_HEADER;
        let mut bad_from = None;
        while offset < header.capacity {
            let found = window.frame(header, segment.seed, &*segment.file, offset, header.capacity)?;
            let Ok((valid, frame)) = found else {
                bad_from.get_or_insert(offset);
                offset += 1;
                continue;
            };
            if let Some(from) = bad_from.take()
                && let e @ Err(_) = writeln!(out, "         ! no record from offset {from} to {offset}")
            {
                return Ok(e);
            }
            let lsn = header.base + offset;
            let line = match valid.what {
                FrameKind::End => format!("{lsn:>10} end of segment"),
                FrameKind::Newer { format, kind } => format!("{lsn:>10} format {format} kind {kind}"),
                FrameKind::Record(kind) => match Record::decode(kind, &frame[FRAME_HEADER..]) {
                    Ok(record) => describe(Lsn(lsn), &record),
                    Err(e) => format!("{lsn:>10} ! {}", codec(kind, e)),
                },
            };
            if let e @ Err(_) = writeln!(out, "{line}") {
                return Ok(e);
            }
            if valid.what == FrameKind::End {
                return Ok(Ok(()));
            }
            offset += frame.len() as u64;
        }
        Ok(Ok(()))
    };
    text()
}

/// One record as one line (transactions have their operations on lines of their own below).
pub fn describe(lsn: Lsn, record: &Record) -> String {
    let mut text = format!("{:>10} ", lsn.0);
    // Writing to a string cannot fail.
    let _ = match record {
        Record::Start { count } => write!(text, "start {count}"),
        Record::Blue { dot, transaction, local } => {
            let how = if *local { "local" } else { "received" };
            write!(text, "blue {dot} {how} ").and_then(|()| describe_transaction(&mut text, transaction))
        }
        Record::Admit { dot } => write!(text, "admit {dot}"),
        Record::Red { r, entry, verdict } => {
            let outcome = match verdict {
                Verdict::Accepted => "accepted".to_string(),
                Verdict::Refused(refusal) => format!("refused {refusal:?}"),
                Verdict::Void => "void".to_string(),
            };
            write!(text, "red {r} {outcome} ").and_then(|()| match &**entry {
                Entry::Void(id) => write!(text, "ends {id}"),
                Entry::Transaction(t) => {
                    write!(text, "{} ", t.id).and_then(|()| describe_transaction(&mut text, &t.transaction))
                }
            })
        }
        Record::Sequencer(body) => write!(text, "sequencer {} bytes", body.len()),
        Record::Minted { sequence, upto } => write!(text, "minted sequence {sequence} up to {upto}"),
        Record::Note { kind, body } => write!(text, "note {kind} {} bytes", body.len()),
        Record::Checkpoint { replay_from, state } => {
            write!(text, "checkpoint replay from {} state {} bytes", replay_from.0, state.len())
        }
    };
    text
}

fn describe_transaction(text: &mut String, t: &gemini_shadow_ops::ShadowTransaction) -> fmt::Result {
    let stamp = &t.stamp;
    write!(text, "from {} deps {} ", t.origin, t.deps)?;
    write!(text, "stamp {}.{}@{} ", stamp.hlc.micros, stamp.hlc.count, stamp.site)?;
    write!(text, "schema {} seen", t.schema_version)?;
    for seen in &t.statements {
        write!(text, " {seen}")?;
    }
    for op in &t.ops {
        write!(text, "\n           {} {:?}", op.statement, op.op)?;
    }
    Ok(())
}
