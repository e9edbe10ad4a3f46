//! What the log records: every fact that a site must find again after a restart.
//!
//! A record's kind stands in its frame, its body is the postcard form of its fields. Kinds are numbers on disk:
//! never change or reuse one; a new shape of a body gets a new kind.

use std::fmt;
use std::sync::Arc;

use gemini_shadow_ops::{Dot, Entry, SequenceId, ShadowTransaction, Verdict};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Lsn;

/// The most bytes a record's body may have.
pub const MAX_RECORD: u64 = 256 * 1024 * 1024;

/// One fact in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The process started; `count` is how often, this time included.
    Start {
        /// Counted from 1, never used again: entry ids are made from it.
        count: u64,
    },
    /// A blue transaction: committed here, or received.
    Blue {
        /// Its name.
        dot: Dot,
        /// Its effects.
        transaction: Arc<ShadowTransaction>,
        /// Committed here: commit and admission in one. Otherwise received, and admitted by a later record.
        local: bool,
    },
    /// A received blue transaction is applied here.
    Admit {
        /// Its name.
        dot: Dot,
    },
    /// A red entry is applied here (accepted) or passed over.
    Red {
        /// Its red index.
        r: u64,
        /// The entry.
        entry: Arc<Entry>,
        /// What the order said.
        verdict: Verdict,
    },
    /// Replication's own: entries, hard state and truncations of the sequencer.
    Sequencer(Vec<u8>),
    /// Nothing above `upto` is minted from the sequence before a later such record.
    Minted {
        /// The sequence.
        sequence: SequenceId,
        /// The greatest value that may have been minted.
        upto: i64,
    },
    /// The site's own durable facts.
    Note {
        /// Which.
        kind: u8,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// What the store holds, and from where the log is replayed onto it.
    Checkpoint {
        /// The first record that replay needs.
        replay_from: Lsn,
        /// The checkpoint's own bytes.
        state: Vec<u8>,
    },
}

/// The number of a record's variant in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the variants of Record
pub enum Kind {
    Start = 1,
    Blue = 2,
    Admit = 3,
    Red = 4,
    Sequencer = 5,
    Minted = 6,
    Note = 7,
    Checkpoint = 8,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 8] = [
        Kind::Start,
        Kind::Blue,
        Kind::Admit,
        Kind::Red,
        Kind::Sequencer,
        Kind::Minted,
        Kind::Note,
        Kind::Checkpoint,
    ];

    /// The kind of that number, if this version knows it.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| *k as u8 == byte)
    }
}

/// Why bytes could not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CodecError {
    /// The body grew past [`MAX_RECORD`].
    TooLarge,
    /// The encoder or decoder gave up, and why.
    Bad(String),
}

impl Record {
    /// The kind.
    pub fn kind(&self) -> Kind {
        match self {
            Record::Start { .. } => Kind::Start,
            Record::Blue { .. } => Kind::Blue,
            Record::Admit { .. } => Kind::Admit,
            Record::Red { .. } => Kind::Red,
            Record::Sequencer(_) => Kind::Sequencer,
            Record::Minted { .. } => Kind::Minted,
            Record::Note { .. } => Kind::Note,
            Record::Checkpoint { .. } => Kind::Checkpoint,
        }
    }

    /// Appends the body to `into`. On an error `into` may hold part of it.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        match self {
            Record::Start { count } => write(into, count),
            Record::Blue { dot, transaction, local } => write(into, &(dot, transaction, local)),
            Record::Admit { dot } => write(into, dot),
            Record::Red { r, entry, verdict } => write(into, &(r, entry, verdict)),
            Record::Sequencer(body) => write(into, &Bytes(body)),
            Record::Minted { sequence, upto } => write(into, &(sequence, upto)),
            Record::Note { kind, body } => write(into, &(kind, Bytes(body))),
            Record::Checkpoint { replay_from, state } => write(into, &(replay_from.0, Bytes(state))),
        }
    }

    /// The record of a kind and a body, all of whose bytes must be used.
    pub(crate) fn decode(kind: Kind, body: &[u8]) -> Result<Record, CodecError> {
        Ok(match kind {
            Kind::Start => Record::Start { count: read(body)? },
            Kind::Blue => {
                let (dot, transaction, local) = read(body)?;
                Record::Blue { dot, transaction, local }
            }
            Kind::Admit => Record::Admit { dot: read(body)? },
            Kind::Red => {
                let (r, entry, verdict) = read(body)?;
                Record::Red { r, entry, verdict }
            }
            Kind::Sequencer => Record::Sequencer(read::<OwnedBytes>(body)?.0),
            Kind::Minted => {
                let (sequence, upto) = read(body)?;
                Record::Minted { sequence, upto }
            }
            Kind::Note => {
                let (kind, body): (u8, OwnedBytes) = read(body)?;
                Record::Note { kind, body: body.0 }
            }
            Kind::Checkpoint => {
                let (replay_from, state): (u64, OwnedBytes) = read(body)?;
                Record::Checkpoint { replay_from: Lsn(replay_from), state: state.0 }
            }
        })
    }
}

fn write<T: Serialize>(into: &mut Vec<u8>, value: &T) -> Result<(), CodecError> {
    let limit = into.len().saturating_add(MAX_RECORD as usize);
    match postcard::serialize_with_flavor(value, Appender { into, limit }) {
        Ok(()) => Ok(()),
        Err(postcard::Error::SerializeBufferFull) => Err(CodecError::TooLarge),
        Err(e) => Err(CodecError::Bad(e.to_string())),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CodecError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(CodecError::Bad(format!("{} bytes too many", rest.len()))),
        Err(e) => Err(CodecError::Bad(e.to_string())),
    }
}

/// Appends to a vector in slices (postcard's own flavour for it goes byte by byte), up to a limit.
struct Appender<'a> {
    into: &'a mut Vec<u8>,
    limit: usize,
}

impl Flavor for Appender<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        if self.into.len() + data.len() > self.limit {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.into.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        if self.into.len() >= self.limit {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.into.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Bytes as one length and one slice; a `Vec<u8>` would go element by element.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

struct OwnedBytes(Vec<u8>);

impl<'de> Deserialize<'de> for OwnedBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OwnedBytes, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = OwnedBytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<OwnedBytes, E> {
                Ok(OwnedBytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
