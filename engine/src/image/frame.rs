//! Frames on a stream of bytes: out with [`Sink`], in with [`Source`]. See the module above for the bytes.

use std::io::{Read, Write};

use xxhash_rust::xxh3::Xxh3;

use super::{FORMAT, ImageError, damaged};

const MAGIC: [u8; 8] = *b"GEMINIIM";
const HEAD: usize = 17;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Rows = 2,
    End = 3,
}

/// Writes frames.
pub(super) struct Sink<'a> {
    out: &'a mut dyn Write,
    sum: Xxh3,
    number: u32,
    /// Bytes written.
    pub bytes: u64,
}

impl<'a> Sink<'a> {
    pub fn begin(out: &'a mut dyn Write) -> Result<Sink<'a>, ImageError> {
        let mut sink = Sink { out, sum: Xxh3::new(), number: 0, bytes: 0 };
        sink.put(&MAGIC)?;
        sink.put(&FORMAT.to_le_bytes())?;
        Ok(sink)
    }

    pub fn frame(&mut self, kind: Kind, body: &[u8]) -> Result<(), ImageError> {
        let length = u32::try_from(body.len()).map_err(|_| ImageError::Io {
            doing: "written",
            error: std::io::Error::other(format!("a frame of {} bytes is too long", body.len())),
        })?;
        let mut head = [0; HEAD];
        head[0] = kind as u8;
        head[1..5].copy_from_slice(&self.number.to_le_bytes());
        head[5..9].copy_from_slice(&length.to_le_bytes());
        head[9..13].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        let crc = crc32c::crc32c(&head[..13]);
        head[13..].copy_from_slice(&crc.to_le_bytes());
        self.number += 1;
        self.put(&head)?;
        self.put(body)
    }

    /// The checksum of everything so far.
    pub fn checksum(&self) -> u128 {
        self.sum.digest128()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.out.write_all(bytes).map_err(|error| ImageError::Io { doing: "written", error })?;
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Reads frames.
pub(super) struct Source<R> {
    input: R,
    sum: Xxh3,
    number: u32,
    /// Bytes read.
    pub bytes: u64,
}

impl<R: Read> Source<R> {
    pub fn begin(input: R) -> Result<Source<R>, ImageError> {
        let mut source = Source { input, sum: Xxh3::new(), number: 0, bytes: 0 };
        let begin = source.take(12).map_err(|error| match error {
            ImageError::Truncated { .. } => ImageError::NotAnImage,
            other => other,
        })?;
        if begin[..8] != MAGIC {
            return Err(ImageError::NotAnImage);
        }
        match u32_at(&begin, 8) {
            FORMAT => Ok(source),
            found if found > FORMAT => Err(ImageError::Newer { found }),
            found => Err(damaged(8, format_args!("format {found} never was"))),
        }
    }

    /// The next frame, and the checksum of everything before it.
    pub fn frame(&mut self) -> Result<(Kind, Vec<u8>, u128), ImageError> {
        let (at, before) = (self.bytes, self.sum.digest128());
        let head = self.take(HEAD)?;
        if u32_at(&head, 13) != crc32c::crc32c(&head[..13]) {
            return Err(damaged(at, "the checksum of a frame's head does not match"));
        }
        let number = u32_at(&head, 1);
        if number != self.number {
            return Err(damaged(
                at,
                format_args!("frame {number} stands where frame {} belongs", self.number),
            ));
        }
        let kind = match head[0] {
            1 => Kind::Header,
            2 => Kind::Rows,
            3 => Kind::End,
            other => return Err(damaged(at, format_args!("frame kind {other} never was"))),
        };
        self.number += 1;
        let body = self.take(u32_at(&head, 5) as usize)?;
        if u32_at(&head, 9) != crc32c::crc32c(&body) {
            return Err(damaged(at, format_args!("the checksum of frame {number} does not match")));
        }
        Ok((kind, body, before))
    }

    /// Nothing may follow the last frame.
    pub fn end(&mut self) -> Result<(), ImageError> {
        let at = self.bytes;
        match self.take(1) {
            Err(ImageError::Truncated { .. }) => Ok(()),
            Ok(_) => Err(damaged(at, "bytes follow its last frame")),
            Err(other) => Err(other),
        }
    }

    /// So many bytes. Memory grows with what is really there, not with what a length claims.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        let mut part = self.input.by_ref().take(length as u64);
        part.read_to_end(&mut bytes).map_err(|error| ImageError::Io { doing: "read", error })?;
        self.bytes += bytes.len() as u64;
        if bytes.len() < length {
            return Err(ImageError::Truncated { offset: self.bytes });
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}
