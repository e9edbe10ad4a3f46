//! Frames: bytes to messages and back.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::PeerMessage;

/// The first byte of every frame.
const FORMAT: u8 = 1;

/// Bytes before the body.
pub const HEADER: usize = 10;

/// The longest body that is read or written.
pub const MAX_FRAME: usize = 64 << 20;

/// The largest transaction that a site commits (see [`super::transaction_size`]); a footprint may be as large again.
pub const MAX_TRANSACTION: usize = 24 << 20;

/// Why bytes are not a message, or a message cannot become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum WireError {
    #[error(
        "frame format {0} is not {FORMAT}: the peer runs another version (run the same release at every site), or is not a Gemini site"
    )]
    Format(u8),
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME}")]
    TooLong(usize),
    #[error(
        "message kind {0} is not known: the peer runs another version; run the same release at every site"
    )]
    Kind(u8),
    #[error("checksum of a message of kind {0} does not match: damaged on the way")]
    Checksum(u8),
    #[error("a frame has {found} bytes of body where its header says {expected}")]
    Length { expected: usize, found: usize },
    #[error("body of a message of kind {kind} is malformed: {reason}")]
    Body { kind: u8, reason: String },
    #[error("a relayed message must not be a relay")]
    Nested,
}

/// The part of a frame that is read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of body, at most [`MAX_FRAME`].
    pub length: usize,
    crc: u32,
    kind: u8,
}

impl Header {
    /// Reads and checks a header, before anything is allocated for the body.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Header, WireError> {
        let [format, l0, l1, l2, l3, c0, c1, c2, c3, kind] = *bytes;
        if format != FORMAT {
            return Err(WireError::Format(format));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_FRAME {
            return Err(WireError::TooLong(length));
        }
        if !(kind::FIRST..=kind::LAST).contains(&kind) {
            return Err(WireError::Kind(kind));
        }
        Ok(Header { length, crc: u32::from_le_bytes([c0, c1, c2, c3]), kind })
    }

    /// The message, once the body has been read.
    pub fn decode(&self, body: &[u8]) -> Result<PeerMessage, WireError> {
        if body.len() != self.length {
            return Err(WireError::Length { expected: self.length, found: body.len() });
        }
        if checksum(self.kind, body) != self.crc {
            return Err(WireError::Checksum(self.kind));
        }
        PeerMessage::from_body(self.kind, body)
    }
}

/// Fills in the header of a frame whose body is there.
fn seal(frame: &mut [u8], kind: u8) {
    let length = frame.len() - HEADER;
    let crc = checksum(kind, &frame[HEADER..]);
    frame[0] = FORMAT;
    frame[1..5].copy_from_slice(&(length as u32).to_le_bytes());
    frame[5..9].copy_from_slice(&crc.to_le_bytes());
    frame[9] = kind;
}

fn checksum(kind: u8, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[kind]), body)
}

mod kind {
    pub const FIRST: u8 = HELLO;
    pub const HELLO: u8 = 1;
    pub const BLUE: u8 = 2;
    pub const ACKS: u8 = 3;
    pub const FETCH: u8 = 4;
    pub const FETCH_REPLY: u8 = 5;
    pub const SEQUENCER: u8 = 6;
    pub const PROPOSE: u8 = 7;
    pub const PROPOSAL: u8 = 8;
    pub const RELAY: u8 = 9;
    pub const HEARTBEAT: u8 = 10;
    pub const STORED: u8 = 11;
    pub const LOOK: u8 = 12;
    pub const LOOKED: u8 = 13;
    pub const FILL: u8 = 14;
    pub const REMOVED: u8 = 15;
    pub const WANTS: u8 = 16;
    pub const LAST: u8 = WANTS;
}

impl PeerMessage {
    /// The kind byte.
    pub fn kind(&self) -> u8 {
        match self {
            PeerMessage::Hello(_) => kind::HELLO,
            PeerMessage::Blue(_) => kind::BLUE,
            PeerMessage::Acks(_) => kind::ACKS,
            PeerMessage::Fetch(_) => kind::FETCH,
            PeerMessage::FetchReply(_) => kind::FETCH_REPLY,
            PeerMessage::Sequencer(_) => kind::SEQUENCER,
            PeerMessage::Propose(_) => kind::PROPOSE,
            PeerMessage::Proposal(_) => kind::PROPOSAL,
            PeerMessage::Relay(_) => kind::RELAY,
            PeerMessage::Heartbeat(_) => kind::HEARTBEAT,
            PeerMessage::Stored(_) => kind::STORED,
            PeerMessage::Look(_) => kind::LOOK,
            PeerMessage::Looked(_) => kind::LOOKED,
            PeerMessage::Fill(_) => kind::FILL,
            PeerMessage::Removed(_) => kind::REMOVED,
            PeerMessage::Wants(_) => kind::WANTS,
        }
    }

    /// The whole frame.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut frame = self.write_body(vec![0; HEADER])?;
        let length = frame.len() - HEADER;
        if length > MAX_FRAME {
            return Err(WireError::TooLong(length));
        }
        seal(&mut frame, self.kind());
        Ok(frame)
    }

    /// A frame around any body of at most [`MAX_FRAME`] bytes, be it a message or not: what a peer that errs or lies could send.
    pub fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; HEADER];
        frame.extend_from_slice(body);
        seal(&mut frame, kind);
        frame
    }

    /// The body alone, as a relay carries it.
    pub fn body(&self) -> Result<Blob, WireError> {
        Ok(Blob(Bytes::from(self.write_body(Vec::new())?)))
    }

    /// A message from one whole frame, as it is on a carrier that keeps boundaries.
    pub fn decode(frame: &[u8]) -> Result<PeerMessage, WireError> {
        match frame.split_first_chunk::<HEADER>() {
            Some((header, body)) => Header::parse(header)?.decode(body),
            None => Err(WireError::Length { expected: HEADER, found: frame.len() }),
        }
    }

    /// The message inside a relay. A relay inside a relay is refused.
    pub fn relayed(kind: u8, body: &[u8]) -> Result<PeerMessage, WireError> {
        if kind == kind::RELAY {
            return Err(WireError::Nested);
        }
        PeerMessage::from_body(kind, body)
    }

    fn write_body(&self, into: Vec<u8>) -> Result<Vec<u8>, WireError> {
        fn write<T: Serialize>(kind: u8, value: &T, into: Vec<u8>) -> Result<Vec<u8>, WireError> {
            postcard::to_extend(value, into)
                .map_err(|e| WireError::Body { kind, reason: format!("cannot be written: {e}") })
        }
        let kind = self.kind();
        match self {
            PeerMessage::Hello(m) => write(kind, m, into),
            PeerMessage::Blue(m) => write(kind, m, into),
            PeerMessage::Acks(m) => write(kind, m, into),
            PeerMessage::Fetch(m) => write(kind, m, into),
            PeerMessage::FetchReply(m) => write(kind, m, into),
            PeerMessage::Sequencer(m) => write(kind, m, into),
            PeerMessage::Propose(m) => write(kind, m, into),
            PeerMessage::Proposal(m) => write(kind, m, into),
            PeerMessage::Relay(m) => write(kind, m, into),
            PeerMessage::Heartbeat(m) => write(kind, m, into),
            PeerMessage::Stored(m) => write(kind, m, into),
            PeerMessage::Look(m) => write(kind, m, into),
            PeerMessage::Looked(m) => write(kind, m, into),
            PeerMessage::Fill(m) => write(kind, m, into),
            PeerMessage::Removed(m) => write(kind, m, into),
            PeerMessage::Wants(m) => write(kind, m, into),
        }
    }

    fn from_body(kind: u8, body: &[u8]) -> Result<PeerMessage, WireError> {
        fn read<'a, T: Deserialize<'a>>(kind: u8, body: &'a [u8]) -> Result<T, WireError> {
            let malformed = |reason| WireError::Body { kind, reason };
            let (value, rest) = postcard::take_from_bytes(body).map_err(|e| malformed(e.to_string()))?;
            if !rest.is_empty() {
                return Err(malformed(format!("{} bytes too many", rest.len())));
            }
            Ok(value)
        }
        Ok(match kind {
            kind::HELLO => PeerMessage::Hello(read(kind, body)?),
            kind::BLUE => PeerMessage::Blue(read(kind, body)?),
            kind::ACKS => PeerMessage::Acks(read(kind, body)?),
            kind::FETCH => PeerMessage::Fetch(read(kind, body)?),
            kind::FETCH_REPLY => PeerMessage::FetchReply(read(kind, body)?),
            kind::SEQUENCER => PeerMessage::Sequencer(read(kind, body)?),
            kind::PROPOSE => PeerMessage::Propose(read(kind, body)?),
            kind::PROPOSAL => PeerMessage::Proposal(read(kind, body)?),
            kind::RELAY => PeerMessage::Relay(read(kind, body)?),
            kind::HEARTBEAT => PeerMessage::Heartbeat(read(kind, body)?),
            kind::STORED => PeerMessage::Stored(read(kind, body)?),
            kind::LOOK => PeerMessage::Look(read(kind, body)?),
            kind::LOOKED => PeerMessage::Looked(read(kind, body)?),
            kind::FILL => PeerMessage::Fill(read(kind, body)?),
            kind::REMOVED => PeerMessage::Removed(read(kind, body)?),
            kind::WANTS => PeerMessage::Wants(read(kind, body)?),
            other => return Err(WireError::Kind(other)),
        })
    }
}

/// Bytes that are written as bytes, not as a sequence of numbers, and cloned by reference.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Bytes);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blob, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(Bytes::copy_from_slice(bytes)))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(Bytes::from(bytes)))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
