//! What clients say: the frontend messages of PostgreSQL's protocol 3, decoded without trust.
//!
//! Lengths are checked before anything is allocated, every read before it is made, and text must be UTF-8. (The decoders
//! of the `pgwire` crate panic on a Bind or Parse that is shorter than it claims; see docs/decisions.)

use bytes::{Buf, Bytes, BytesMut};

/// The most bytes one message may have.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// The most bytes a start-up packet may have (PostgreSQL's own limit).
pub const MAX_STARTUP: usize = 10_000;

/// What cannot be understood. The connection ends: the next message's beginning is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(what.into()))
}

/// A connection's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Startup {
    Ssl,
    Gss,
    Cancel { pid: i32, key: i32 },
    Start { minor: u16, parameters: Vec<(String, String)> },
}

/// What Describe and Close are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Target {
    Statement,
    Portal,
}

/// A message after the start-up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Message {
    Query(String),
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target, String),
    Execute {
        portal: String,
        limit: usize,
    },
    Close(Target, String),
    Flush,
    Sync,
    Terminate,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    /// A password, though none was asked for; or a function call.
    Other(u8),
}

/// Bind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Bind {
    pub portal: String,
    pub statement: String,
    /// None or one for all, or one each: 0 text, 1 binary.
    pub formats: Vec<i16>,
    pub values: Vec<Option<Bytes>>,
    pub results: Vec<i16>,
}

/// The start-up packet at the head of `buffer`; None until all of it is there.
pub fn startup(buffer: &mut BytesMut) -> Result<Option<Startup>, Malformed> {
    let Some(length) = length_at(buffer, 0) else { return Ok(None) };
    if !(8..=MAX_STARTUP).contains(&length) {
        return malformed(format!("invalid length of startup packet: {length}"));
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let mut body = Reader(buffer.split_to(length).freeze());
    body.0.advance(4);
    let code = body.i32()?;
    match (code as u32 >> 16, code as u32 & 0xffff) {
        (1234, 5679) => Ok(Some(Startup::Ssl)),
        (1234, 5680) => Ok(Some(Startup::Gss)),
        (1234, 5678) => Ok(Some(Startup::Cancel { pid: body.i32()?, key: body.i32()? })),
        (3, minor) => {
            let mut parameters = Vec::new();
            loop {
                let name = body.text()?;
                if name.is_empty() {
                    return Ok(Some(Startup::Start { minor: minor as u16, parameters }));
                }
                parameters.push((name, body.text()?));
            }
        }
        (major, minor) => {
            malformed(format!("unsupported frontend protocol {major}.{minor}: server supports 3.0"))
        }
    }
}

/// The kind of the message at the head of `buffer`, if it is all there: a look without taking it.
pub fn peek(buffer: &BytesMut) -> Option<u8> {
    let length = length_at(buffer, 1)?;
    (buffer.len() > length).then(|| buffer[0])
}

/// The message at the head of `buffer`; None until all of it is there.
pub fn message(buffer: &mut BytesMut) -> Result<Option<Message>, Malformed> {
    let Some(length) = length_at(buffer, 1) else { return Ok(None) };
    if !(4..=MAX_MESSAGE).contains(&length) {
        return malformed(format!("invalid message length {length} (at most {MAX_MESSAGE})"));
    }
    if buffer.len() < length + 1 {
        return Ok(None);
    }
    let kind = buffer[0];
    let mut body = Reader(buffer.split_to(length + 1).freeze());
    body.0.advance(5);
    let message = body.message(kind)?;
    if !matches!(message, Message::CopyData(_) | Message::Other(_)) && body.0.has_remaining() {
        return malformed(format!("message '{}' is longer than its content", char::from(kind)));
    }
    Ok(Some(message))
}

fn length_at(buffer: &BytesMut, at: usize) -> Option<usize> {
    let bytes = buffer.get(at..at + 4)?.try_into().ok()?;
    // A negative length is out of every bound.
    Some(usize::try_from(i32::from_be_bytes(bytes)).unwrap_or(usize::MAX >> 1))
}

/// Reads a message's body, never past its end.
struct Reader(Bytes);

impl Reader {
    fn need(&self, n: usize) -> Result<(), Malformed> {
        if self.0.remaining() < n { malformed("insufficient data left in message") } else { Ok(()) }
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.need(4)?;
        Ok(self.0.get_i32())
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let Some(end) = self.0.iter().position(|byte| *byte == 0) else {
            return malformed("invalid string in message");
        };
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_string()),
            Err(_) => malformed("invalid byte sequence for encoding \"UTF8\""),
        }
    }

    fn codes(&mut self) -> Result<Vec<i16>, Malformed> {
        let count = usize::from(self.u16()?);
        self.need(count * 2)?;
        Ok((0..count).map(|_| self.0.get_i16()).collect())
    }

    fn target(&mut self) -> Result<Target, Malformed> {
        match self.u8()? {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => malformed(format!("invalid DESCRIBE or CLOSE message subtype {other}")),
        }
    }

    fn message(&mut self, kind: u8) -> Result<Message, Malformed> {
        Ok(match kind {
            b'Q' => Message::Query(self.text()?),
            b'P' => {
                let (name, text) = (self.text()?, self.text()?);
                let count = usize::from(self.u16()?);
                self.need(count * 4)?;
                Message::Parse { name, text, types: (0..count).map(|_| self.0.get_u32()).collect() }
            }
            b'B' => Message::Bind(self.bind()?),
            b'D' => Message::Describe(self.target()?, self.text()?),
            b'C' => Message::Close(self.target()?, self.text()?),
            b'E' => {
                let portal = self.text()?;
                // A limit of zero or less is none.
                Message::Execute { portal, limit: usize::try_from(self.i32()?).unwrap_or(0) }
            }
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => Message::Terminate,
            b'd' => Message::CopyData(std::mem::take(&mut self.0)),
            b'c' => Message::CopyDone,
            b'f' => Message::CopyFail(self.text()?),
            b'p' | b'F' => Message::Other(kind),
            other => return malformed(format!("invalid frontend message type {other}")),
        })
    }

    fn bind(&mut self) -> Result<Bind, Malformed> {
        let (portal, statement, formats) = (self.text()?, self.text()?, self.codes()?);
        let count = usize::from(self.u16()?);
        self.need(count * 4)?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(match self.i32()? {
                -1 => None,
                length => {
                    let length =
                        usize::try_from(length).or_else(|_| malformed("negative length of a parameter"))?;
                    self.need(length)?;
                    Some(self.0.split_to(length))
                }
            });
        }
        Ok(Bind { portal, statement, formats, values, results: self.codes()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: u8, body: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::from(&[kind][..]);
        buffer.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        buffer.extend_from_slice(body);
        buffer
    }

    #[test]
    fn messages_are_taken_whole() {
        let mut buffer = framed(b'Q', b"SELECT 1\0");
        let whole = buffer.clone();
        for cut in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..cut]);
            assert_eq!(message(&mut part), Ok(None), "at {cut}");
            assert_eq!(part.len(), cut, "nothing is taken of a part");
        }
        assert_eq!(peek(&buffer), Some(b'Q'));
        assert_eq!(message(&mut buffer), Ok(Some(Message::Query("SELECT 1".into()))));
        assert!(buffer.is_empty());
    }

    #[test]
    fn bind_reads_formats_nulls_and_bytes() {
        let body = b"p\0s\0\x00\x01\x00\x01\x00\x02\xff\xff\xff\xff\x00\x00\x00\x02ab\x00\x00";
        let expected = Bind {
            portal: "p".into(),
            statement: "s".into(),
            formats: vec![1],
            values: vec![None, Some(Bytes::from_static(b"ab"))],
            results: vec![],
        };
        assert_eq!(message(&mut framed(b'B', body)), Ok(Some(Message::Bind(expected))));
    }

    #[test]
    fn shortened_bodies_are_errors_and_not_panics() {
        let bind = b"p\0s\0\x00\x01\x00\x01\x00\x02\xff\xff\xff\xff\x00\x00\x00\x02ab\x00\x00";
        let parse = b"n\0SELECT 1\0\x00\x02\x00\x00\x00\x17\x00\x00\x00\x17";
        for (kind, body) in [(b'B', &bind[..]), (b'P', &parse[..]), (b'D', b"Sx\0"), (b'E', b"\0\0\0\0\0")] {
            for cut in 0..body.len() {
                assert!(
                    message(&mut framed(kind, &body[..cut])).is_err(),
                    "{} cut at {cut}",
                    char::from(kind)
                );
            }
        }
    }

    #[test]
    fn lengths_are_checked_before_anything_is_read() {
        for length in [0, 3, -1, i32::MIN, MAX_MESSAGE as i32 + 1] {
            let mut buffer = BytesMut::from(&b"Q"[..]);
            buffer.extend_from_slice(&length.to_be_bytes());
            assert!(message(&mut buffer).is_err(), "length {length}");
        }
        let mut buffer = BytesMut::from(&100_000i32.to_be_bytes()[..]);
        assert!(startup(&mut buffer).is_err());
    }

    #[test]
    fn startups_are_told_apart() {
        let packet = |code: i32, rest: &[u8]| {
            let mut buffer = BytesMut::from(&(8 + rest.len() as i32).to_be_bytes()[..]);
            buffer.extend_from_slice(&code.to_be_bytes());
            buffer.extend_from_slice(rest);
            startup(&mut buffer)
        };
        assert_eq!(packet(80_877_103, b""), Ok(Some(Startup::Ssl)));
        assert_eq!(packet(80_877_104, b""), Ok(Some(Startup::Gss)));
        assert_eq!(
            packet(80_877_102, &[0, 0, 0, 7, 0, 0, 0, 9]),
            Ok(Some(Startup::Cancel { pid: 7, key: 9 }))
        );
        let start = Startup::Start { minor: 0, parameters: vec![("user".into(), "u".into())] };
        assert_eq!(packet(196_608, b"user\0u\0\0"), Ok(Some(start)));
        assert!(packet(131_072, b"\0").is_err(), "protocol 2");
        assert!(packet(196_608, b"user\0u").is_err(), "no end");
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..state % 40 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.push((state >> 33) as u8);
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let kind = b"QPBDEHSXdcfp"[(state >> 40) as usize % 12];
            drop(message(&mut framed(kind, &bytes)));
            drop(startup(&mut BytesMut::from(&bytes[..])));
        }
    }
}
