//! What stands on the wire between two sites before anything of the database does: the hello that opens a link and
//! the header of each frame.
//!
//! ```text
//! hello   "GMNI" | version u16 | from u16 | to u16 | cluster 16 bytes          26 bytes, once, first in each direction
//! frame   kind u8 | length u32 | body                                           all integers little endian
//! ```
//!
//! QUIC authenticates and orders the bytes, so a frame here has no checksum; what it carries (a log record, a
//! sequencer message) has its own, because it will also stand on a disk. A length is compared with the limit before
//! a byte is allocated for it, and the buffer grows with what arrives, not with what a header claims.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use gemini_shadow_ops::SiteId;

use super::ClusterId;

/// Version of hello, header and link opening; not of what frames carry.
pub(super) const VERSION: u16 = 1;
pub(super) const HELLO_LEN: usize = 26;
pub(super) const HEADER_LEN: usize = 5;
const MAGIC: &[u8; 4] = b"GMNI";

/// What a frame is to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The caller's bytes.
    Data = 1,
    /// The dialling site has seen the other's hello: the link has made a round trip.
    Ready = 2,
    /// A request on a stream of its own.
    Request = 3,
    /// The answer to it.
    Reply = 4,
    /// The request was refused; the body says why.
    Refused = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Data, Kind::Ready, Kind::Request, Kind::Reply, Kind::Refused]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Why bytes are not a frame or a hello.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub(super) enum Malformed {
    #[error("a frame of {length} bytes is longer than the limit of {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    #[error("frame kind {0:?} is not expected here")]
    Unexpected(Kind),
    #[error("it does not speak Gemini's site protocol")]
    NotGemini,
    #[error(
        "it speaks version {theirs} of the site protocol, we speak {VERSION}: run the same release at every site"
    )]
    Version { theirs: u16 },
    #[error("the stream ended within a frame")]
    Cut,
}

/// Opens a link in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub cluster: ClusterId,
    pub from: SiteId,
    pub to: SiteId,
}

impl Hello {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HELLO_LEN);
        out.put_slice(MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(self.from.0);
        out.put_u16_le(self.to.0);
        out.put_slice(&self.cluster.0);
        out.freeze()
    }

    pub fn decode(bytes: &[u8; HELLO_LEN]) -> Result<Hello, Malformed> {
        let mut rest = &bytes[..];
        if rest.get(..4) != Some(MAGIC.as_slice()) {
            return Err(Malformed::NotGemini);
        }
        rest.advance(4);
        let theirs = rest.get_u16_le();
        if theirs != VERSION {
            return Err(Malformed::Version { theirs });
        }
        let (from, to) = (SiteId(rest.get_u16_le()), SiteId(rest.get_u16_le()));
        let mut cluster = [0; 16];
        rest.copy_to_slice(&mut cluster);
        Ok(Hello { cluster: ClusterId(cluster), from, to })
    }
}

/// Appends a frame's header; the body follows.
pub(super) fn put_header(out: &mut BytesMut, kind: Kind, length: usize) {
    out.put_u8(kind as u8);
    out.put_u32_le(
        u32::try_from(length).expect("a frame is checked against the limit, a u32, before it is queued"),
    );
}

/// Takes the next whole frame out of `buffer`; `None` if more bytes are needed.
pub(super) fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<(Kind, Bytes)>, Malformed> {
    let Some(header) = buffer.get(..HEADER_LEN) else { return Ok(None) };
    let kind = Kind::from_byte(header[0]).ok_or(Malformed::UnknownKind(header[0]))?;
    let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if length > limit {
        return Err(Malformed::TooLong { length, limit });
    }
    if buffer.len() < HEADER_LEN + length {
        return Ok(None);
    }
    buffer.advance(HEADER_LEN);
    Ok(Some((kind, buffer.split_to(length).freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_bytes_are_fixed() {
        let hello = Hello { cluster: ClusterId([7; 16]), from: SiteId(1), to: SiteId(0x0203) };
        let bytes = hello.encode();
        let mut golden = b"GMNI\x01\x00\x01\x00\x03\x02".to_vec();
        golden.extend([7; 16]);
        assert_eq!(bytes.as_ref(), golden.as_slice());
        let array: [u8; HELLO_LEN] = golden.try_into().unwrap();
        assert_eq!(Hello::decode(&array), Ok(hello));
    }

    #[test]
    fn hello_of_another_protocol_or_version_is_refused() {
        let mut bytes = [0; HELLO_LEN];
        assert_eq!(Hello::decode(&bytes), Err(Malformed::NotGemini));
        bytes[..4].copy_from_slice(b"GMNI");
        bytes[4] = 9;
        assert_eq!(Hello::decode(&bytes), Err(Malformed::Version { theirs: 9 }));
    }

    #[test]
    fn frames_are_taken_whole_and_in_order() {
        let mut buffer = BytesMut::new();
        put_header(&mut buffer, Kind::Data, 3);
        buffer.put_slice(b"abc");
        put_header(&mut buffer, Kind::Ready, 0);
        assert_eq!(buffer.as_ref(), b"\x01\x03\0\0\0abc\x02\0\0\0\0");
        let whole = buffer.clone();
        for cut in 0..8 {
            let mut part = BytesMut::from(&whole[..cut]);
            assert_eq!(take(&mut part, 10), Ok(None), "cut at {cut}");
        }
        assert_eq!(take(&mut buffer, 10), Ok(Some((Kind::Data, Bytes::from_static(b"abc")))));
        assert_eq!(take(&mut buffer, 10), Ok(Some((Kind::Ready, Bytes::new()))));
        assert_eq!(take(&mut buffer, 10), Ok(None));
    }

    #[test]
    fn a_claimed_length_over_the_limit_is_refused_by_its_header() {
        let mut buffer = BytesMut::new();
        put_header(&mut buffer, Kind::Data, 11);
        assert_eq!(take(&mut buffer, 10), Err(Malformed::TooLong { length: 11, limit: 10 }));
        let mut junk = BytesMut::from(&b"\xff\0\0\0\0"[..]);
        assert_eq!(take(&mut junk, 10), Err(Malformed::UnknownKind(255)));
    }
}
