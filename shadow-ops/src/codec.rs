//! Versioned bytes of transactions and entries, for files and exports that stand by themselves.
//!
//! ```text
//!   format 1 B │ length 4 B │ crc32c 4 B │ kind 1 B │ body: postcard, `length` bytes
//! ```
//!
//! Numbers are little-endian; the checksum covers kind and body. The length is checked against a limit before anything is
//! allocated, the checksum before anything is parsed, and a body must be used up by what it says. Transactions are checked for
//! shape as they are parsed ([`crate::ShadowTransaction`]), whoever parses them, so that applying them cannot fail.
//!
//! Log records and peer messages have frames of their own kind with the same bodies. A change of a body's layout is a
//! new format; the golden tests here notice one.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::op::{Entry, ShadowTransaction};

/// The format these functions write and read.
pub const FORMAT: u8 = 2;
/// Bytes before the body.
pub const HEADER: usize = 10;
/// The longest body that is written or read.
pub const MAX_BODY: usize = 64 << 20;

const TRANSACTION: u8 = 1;
const ENTRY: u8 = 2;

/// Why bytes are no transaction or entry, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum CodecError {
    #[error("a frame of {0} bytes is shorter than its header of {HEADER}")]
    Short(usize),
    #[error("frame format {0} is not {FORMAT}: written by another version")]
    Format(u8),
    #[error("a body of {0} bytes is over the limit of {MAX_BODY}")]
    TooLong(usize),
    #[error("a frame has {found} bytes of body where its header says {expected}")]
    Length { expected: usize, found: usize },
    #[error("the checksum does not match: the bytes are damaged")]
    Checksum,
    #[error("frame kind {found} where {expected} was expected")]
    Kind { expected: u8, found: u8 },
    #[error("malformed body: {0}")]
    Body(String),
}

/// A transaction as bytes.
pub fn encode_transaction(transaction: &ShadowTransaction) -> Result<Vec<u8>, CodecError> {
    encode(TRANSACTION, transaction)
}

/// The transaction that the whole of `bytes` stands for.
pub fn decode_transaction(bytes: &[u8]) -> Result<ShadowTransaction, CodecError> {
    decode(TRANSACTION, bytes)
}

/// An entry as bytes.
pub fn encode_entry(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    encode(ENTRY, entry)
}

/// The entry that the whole of `bytes` stands for.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    decode(ENTRY, bytes)
}

fn encode<T: Serialize>(kind: u8, value: &T) -> Result<Vec<u8>, CodecError> {
    let frame = postcard::to_extend(value, vec![0; HEADER]).map_err(|e| CodecError::Body(e.to_string()))?;
    let length = frame.len() - HEADER;
    if length > MAX_BODY {
        return Err(CodecError::TooLong(length));
    }
    let mut frame = frame;
    frame[HEADER - 1] = kind;
    let crc = crc32c::crc32c(&frame[HEADER - 1..]);
    frame[0] = FORMAT;
    frame[1..5].copy_from_slice(&(length as u32).to_le_bytes());
    frame[5..9].copy_from_slice(&crc.to_le_bytes());
    Ok(frame)
}

fn decode<T: DeserializeOwned>(kind: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(CodecError::Short(bytes.len()));
    };
    let [format, l0, l1, l2, l3, c0, c1, c2, c3, found] = *header;
    if format != FORMAT {
        return Err(CodecError::Format(format));
    }
    let expected = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if expected > MAX_BODY {
        return Err(CodecError::TooLong(expected));
    }
    if expected != body.len() {
        return Err(CodecError::Length { expected, found: body.len() });
    }
    if crc32c::crc32c(&bytes[HEADER - 1..]) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(CodecError::Checksum);
    }
    if found != kind {
        return Err(CodecError::Kind { expected: kind, found });
    }
    let (value, rest) = postcard::take_from_bytes(body).map_err(|e| CodecError::Body(e.to_string()))?;
    match rest.len() {
        0 => Ok(value),
        n => Err(CodecError::Body(format!("{n} bytes are left over"))),
    }
}
