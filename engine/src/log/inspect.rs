//! Looking at a log from outside: a readable dump, and a check. Neither changes anything or takes the lock.

use gemini_shadow_ops::{Entry, ShadowTransaction, TableId};

use super::LogError;
use super::error::LogResult;
use super::frame::{END_OF_SEGMENT, FRAME_HEADER, FrameKind, NOTHING, OLDER, SEGMENT_HEADER, segment_epoch};
use super::open::{SegmentFile, Torn, Window, frames_from, read_header, survey, walk};
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

/// Gives every record of a whole log, in order, with its position.
pub fn each(disk: &dyn Disk, take: &mut dyn FnMut(Lsn, &Record)) -> LogResult<()> {
    let segments = survey(disk)?;
    walk(&segments, &mut |segment, offset, kind, body| {
        let record = Record::decode(kind, body).map_err(|e| segment.damaged(offset, codec(kind, e)))?;
        take(Lsn(segment.header.base + offset), &record);
        Ok(())
    })?;
    Ok(())
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

/// Which records a dump shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// From this position on.
    pub from: Lsn,
    /// Up to, and without, this one.
    pub to: Lsn,
    /// Of these kinds; none named: of all.
    pub kinds: Vec<Kind>,
    /// Only transactions with an effect on this table.
    pub table: Option<TableId>,
    /// Each effect of a transaction on a line of its own below it.
    pub effects: bool,
}

impl Default for Select {
    fn default() -> Select {
        Select { from: Lsn(0), to: Lsn(u64::MAX), kinds: Vec::new(), table: None, effects: false }
    }
}

impl Select {
    fn shows(&self, lsn: Lsn, record: &Record) -> bool {
        let on_table = |table| match transaction(record) {
            Some(t) => t.ops.iter().any(|op| op.op.table() == Some(table)),
            None => false,
        };
        self.from <= lsn
            && lsn < self.to
            && (self.kinds.is_empty() || self.kinds.contains(&record.kind()))
            && self.table.is_none_or(on_table)
    }
}

/// Takes one line, without its end; false: nobody reads on.
pub type Lines<'a> = dyn FnMut(&str) -> bool + 'a;

/// Shows records in readable form, one a line, with their positions, and as much of a damaged log as can be read: a place
/// that cannot is named on a line that begins with `!`, and what follows it is shown. The last line says with what a
/// start would stop, if it would. Gives how many lines begin with `!`.
pub fn dump(disk: &dyn Disk, select: &Select, out: &mut Lines<'_>) -> LogResult<u64> {
    let mut epochs: Vec<u32> = disk.list()?.iter().filter_map(|name| segment_epoch(name)).collect();
    epochs.sort_unstable();
    let mut bad = 0;
    let mut previous: Option<SegmentFile> = None;
    for epoch in epochs {
        // A segment that does not follow the one before it is shown all the same, as far as it explains itself.
        let segment = match read_header(disk, epoch, previous.as_ref().map(|s| &s.header)) {
            Ok(segment) => Some(segment),
            Err(error @ LogError::Disk(_)) => return Err(error),
            Err(error) => {
                bad += 1;
                if !out(&format!("! {error}")) {
                    return Ok(bad);
                }
                read_header(disk, epoch, None).ok()
            }
        };
        let Some(segment) = segment else { continue };
        let (from, to) = (segment.header.base, segment.header.end());
        if select.from.0 < to && from < select.to.0 {
            let (found, more) = dump_segment(&segment, select, out)?;
            bad += found;
            if !more {
                return Ok(bad);
            }
        }
        previous = Some(segment);
    }
    if let Some(damage) = verify(disk)?.damage {
        bad += 1;
        out(&format!("! a start stops with this: {damage}"));
    }
    Ok(bad)
}

/// How many places of the segment cannot be read, and whether anybody reads on.
fn dump_segment(segment: &SegmentFile, select: &Select, out: &mut Lines<'_>) -> LogResult<(u64, bool)> {
    let SegmentFile { header, file_name, file, seed } = segment;
    let title = format!(
        "segment {} of log {:016x}: positions {}..{}",
        header.epoch,
        header.identity,
        header.base,
        header.end()
    );
    if !out(&title) {
        return Ok((0, false));
    }
    let mut bad = 0;
    let mut window = Window::default();
    let mut offset = SEGMENT_HEADER;
    loop {
        let (valid, frame) = match window.frame(header, *seed, &**file, offset, header.capacity)? {
            Ok(found) => found,
            Err(why) => match next_frame(segment, offset + 1)? {
                // The unused rest of the last segment is no damage.
                None if matches!(why, NOTHING | OLDER | END_OF_SEGMENT) => return Ok((bad, true)),
                next => {
                    let to = next.unwrap_or(header.capacity);
                    let more = out(&format!("! {file_name}: no record from offset {offset} to {to}: {why}"));
                    bad += 1;
                    offset = to;
                    match next {
                        Some(_) if more => continue,
                        _ => return Ok((bad, more)),
                    }
                }
            },
        };
        let lsn = Lsn(header.base + offset);
        let line = match valid.what {
            FrameKind::End => return Ok((bad, out(&format!("{:>10} end of segment", lsn.0)))),
            FrameKind::Newer { format, kind } => {
                Err(format!("a record of a newer version, format {format}, kind {kind}"))
            }
            FrameKind::Record(kind) => {
                Record::decode(kind, &frame[FRAME_HEADER..]).map_err(|e| codec(kind, e))
            }
        };
        let more = match line {
            Ok(record) => !select.shows(lsn, &record) || out(&describe(lsn, &record, select.effects)),
            Err(why) => {
                bad += 1;
                out(&format!("! {file_name}: at offset {offset}: {why}"))
            }
        };
        if !more {
            return Ok((bad, false));
        }
        offset += frame.len() as u64;
    }
}

/// Where the next whole frame of the segment begins.
fn next_frame(segment: &SegmentFile, from: u64) -> LogResult<Option<u64>> {
    let mut found = None;
    frames_from(segment, from, &mut |at, _, _| {
        found = Some(at);
        false
    })?;
    Ok(found)
}

fn transaction(record: &Record) -> Option<&ShadowTransaction> {
    match record {
        Record::Blue { transaction, .. } => Some(transaction),
        Record::Red { entry, .. } => match &**entry {
            Entry::Transaction(red) => Some(&red.transaction),
            Entry::Void { .. } | Entry::Member(_) => None,
        },
        _ => None,
    }
}

/// One record as one line; with `effects`, a transaction's operations on lines of their own below it.
pub fn describe(lsn: Lsn, record: &Record, effects: bool) -> String {
    let what = match record {
        Record::Start { count } => format!("start {count}"),
        Record::Blue { dot, local, .. } => {
            format!("blue {dot} {}", if *local { "local" } else { "received" })
        }
        Record::Admit { dot } => format!("admit {dot}"),
        Record::Red { r, entry, verdict } => match &**entry {
            Entry::Void { id, .. } => format!("red {r} {verdict} ends {id}"),
            Entry::Transaction(red) => format!("red {r} {verdict} {}", red.id),
            Entry::Member(member) => format!("red {r} {verdict} {member}"),
        },
        Record::Sequencer(body) => format!("sequencer {} bytes", body.len()),
        Record::Minted { sequence, upto } => format!("minted sequence {sequence} up to {upto}"),
        Record::Note { kind, body } => format!("note {kind} {} bytes", body.len()),
        Record::Checkpoint { replay_from, state } => {
            format!("checkpoint replay from {} state {} bytes", replay_from.0, state.len())
        }
    };
    let mut text = format!("{:>10} {what}", lsn.0);
    if let Some(t) = transaction(record) {
        describe_transaction(&mut text, t, effects);
    }
    text
}

fn describe_transaction(text: &mut String, t: &ShadowTransaction, effects: bool) {
    let seen: Vec<String> = t.statements.iter().map(ToString::to_string).collect();
    let head = format!(
        " from {} deps {} stamp {} schema {} seen {} effects {}",
        t.origin,
        t.deps,
        t.stamp,
        t.schema_version,
        seen.join(" "),
        t.ops.len()
    );
    text.push_str(&head);
    if effects {
        for op in &t.ops {
            text.push_str(&format!("\n           {op}"));
        }
    }
}
