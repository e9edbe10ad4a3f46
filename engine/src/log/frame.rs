//! The bytes of a segment: its header, and the frames in it.
//!
//! ```text
//! segment   0 ┌ magic 8 │ version u32 │ epoch u32 │ identity u64 │ base u64 │ capacity u64 │ crc32c u32 ┐ 44 bytes
//!             └ zeros up to 4096: no commit ever rewrites the header's page                             ┘
//!        4096 ┌ frame ┐┌ frame ┐ …                                  (little endian everywhere)
//! frame     0   format u8 │ kind u8 │ length u32 │ epoch u32 │ back u32 │ crc32c u32 │ body
//! ```
//!
//! * The segment's **epoch** is its number, used once. A segment's file may be an older segment's, overwritten from
//!   the start: frames left over from that life carry an older epoch and are no frames at all.
//! * **back** is the distance from the frame to the start of the batch it was appended to. A batch is written only
//!   after the one before is durable; so a frame is proof that everything before `position - back` once was. This
//!   tells a torn end (later frames of the same, unfinished batch may have reached the disk) from damage.
//! * The **checksum** covers the segment header's checksum, the frame's log position, its header and its body: a
//!   frame copied to another place, segment or site is not a frame there.
//! * The last frame of a segment that has a successor has the kind [`END`] and no body.

use super::record::{Kind, MAX_RECORD};

/// The format of segments and frames that this program writes.
pub(crate) const VERSION: u32 = 1;
/// The format byte of a frame.
pub(crate) const FORMAT: u8 = 2;
/// A frame's bytes before its body.
pub(crate) const FRAME_HEADER: usize = 18;
/// Where the first frame of a segment begins.
pub(crate) const SEGMENT_HEADER: u64 = 4096;
/// The kind of the frame that ends a segment.
pub(crate) const END: u8 = 255;

const MAGIC: [u8; 8] = *b"GEMINILG";
const HEADER_BYTES: usize = 44;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Its number.
    pub epoch: u32,
    /// The same in all segments of one log.
    pub identity: u64,
    /// The log position of the file's first byte.
    pub base: u64,
    /// The file's length.
    pub capacity: u64,
}

/// Why bytes are no segment header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Damaged(&'static str),
    Newer(u32),
}

impl SegmentHeader {
    /// The bytes at the start of the file.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.identity.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.capacity.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..40]);
        bytes[40..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in a file's first bytes. Every version keeps the magic, the version and the checksum in place,
    /// so that a newer one can be told from damage.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else {
            return Err(HeaderError::Damaged("the file is shorter than a segment header"));
        };
        if bytes[..8] != MAGIC {
            return Err(HeaderError::Damaged("the file does not begin with a segment header"));
        }
        if u32_at(bytes, 40) != crc32c::crc32c(&bytes[..40]) {
            return Err(HeaderError::Damaged("the segment header's checksum does not match"));
        }
        match u32_at(bytes, 8) {
            VERSION => {}
            newer if newer > VERSION => return Err(HeaderError::Newer(newer)),
            _ => return Err(HeaderError::Damaged("the segment header has a version that never was")),
        }
        let header = SegmentHeader {
            epoch: u32_at(bytes, 12),
            identity: u64_at(bytes, 16),
            base: u64_at(bytes, 24),
            capacity: u64_at(bytes, 32),
        };
        if header.base.checked_add(header.capacity).is_none() || header.capacity < SEGMENT_HEADER {
            return Err(HeaderError::Damaged("the segment header's positions make no sense"));
        }
        Ok(header)
    }

    /// What the checksums of its frames start from.
    pub fn seed(&self) -> u32 {
        u32_at(&self.encode(), 40)
    }

    /// The position where the next segment begins.
    pub fn end(&self) -> u64 {
        self.base + self.capacity
    }
}

/// The file name of the segment with that number.
pub(crate) fn segment_name(epoch: u32) -> String {
    format!("log-{epoch:010}")
}

/// The number in a segment's file name.
pub(crate) fn segment_epoch(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("log-")?;
    (digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A frame's bytes before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub format: u8,
    pub kind: u8,
    pub length: u32,
    pub epoch: u32,
    pub back: u32,
    pub crc: u32,
}

impl FrameHeader {
    /// Writes the header of the frame at `lsn` in front of its body: `frame` begins with room for it.
    pub fn seal(kind: u8, epoch: u32, back: u32, seed: u32, lsn: u64, frame: &mut [u8]) {
        let length = (frame.len() - FRAME_HEADER) as u32;
        frame[0] = FORMAT;
        frame[1] = kind;
        frame[2..6].copy_from_slice(&length.to_le_bytes());
        frame[6..10].copy_from_slice(&epoch.to_le_bytes());
        frame[10..14].copy_from_slice(&back.to_le_bytes());
        let crc = checksum(seed, lsn, &frame[..14], &frame[FRAME_HEADER..]);
        frame[14..18].copy_from_slice(&crc.to_le_bytes());
    }

    fn parse(bytes: &[u8]) -> FrameHeader {
        FrameHeader {
            format: bytes[0],
            kind: bytes[1],
            length: u32_at(bytes, 2),
            epoch: u32_at(bytes, 6),
            back: u32_at(bytes, 10),
            crc: u32_at(bytes, 14),
        }
    }
}

fn checksum(seed: u32, lsn: u64, header: &[u8], body: &[u8]) -> u32 {
    let mut head = [0; 22];
    head[..8].copy_from_slice(&lsn.to_le_bytes());
    head[8..].copy_from_slice(header);
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &head), body)
}

/// What stands at the unused end of a whole log: why there is no frame.
pub(crate) const NOTHING: &str = "nothing";
/// See [`NOTHING`].
pub(crate) const OLDER: &str = "an older segment's bytes";
/// See [`NOTHING`].
pub(crate) const END_OF_SEGMENT: &str = "the segment ends here";

/// What stands at a place in a segment, judged by the first bytes of a would-be frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    /// A frame of this epoch may begin here; its body has this many bytes.
    Maybe { length: usize },
    /// None does, and why.
    None(&'static str),
}

/// Looks at a frame's header before its body is read: `room` is what the segment has left, the header included.
pub(crate) fn peek(header: &SegmentHeader, bytes: &[u8], room: u64) -> Peek {
    if room < FRAME_HEADER as u64 || bytes.len() < FRAME_HEADER {
        return Peek::None(END_OF_SEGMENT);
    }
    let frame = FrameHeader::parse(bytes);
    let length = u64::from(frame.length);
    if frame.epoch != header.epoch {
        Peek::None(if frame.format == 0 && frame.epoch == 0 { NOTHING } else { OLDER })
    } else if frame.format == 0 {
        Peek::None("a frame without a format")
    } else if length > MAX_RECORD || length > room - FRAME_HEADER as u64 {
        Peek::None("a frame longer than its segment")
    } else {
        Peek::Maybe { length: length as usize }
    }
}

/// A frame whose checksum matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Valid {
    pub what: FrameKind,
    pub back: u32,
}

/// What a valid frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Record(Kind),
    /// The segment's last.
    End,
    /// Of a format or kind that this version does not know.
    Newer {
        format: u8,
        kind: u8,
    },
}

/// Checks the frame at `lsn`, all of whose bytes are given.
pub(crate) fn check(
    header: &SegmentHeader,
    seed: u32,
    lsn: u64,
    frame: &[u8],
) -> Result<Valid, &'static str> {
    let Peek::Maybe { length } = peek(header, frame, frame.len() as u64) else { return Err("no frame") };
    if length + FRAME_HEADER != frame.len() {
        return Err("a frame of another length");
    }
    let parsed = FrameHeader::parse(frame);
    if parsed.crc != checksum(seed, lsn, &frame[..14], &frame[FRAME_HEADER..]) {
        return Err("the frame's checksum does not match");
    }
    let what = match (parsed.format, parsed.kind, Kind::from_byte(parsed.kind)) {
        (FORMAT, END, _) => FrameKind::End,
        (FORMAT, _, Some(kind)) => FrameKind::Record(kind),
        (format, kind, _) => FrameKind::Newer { format, kind },
    };
    Ok(Valid { what, back: parsed.back })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}
