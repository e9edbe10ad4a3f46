//! A stored row's bytes.
//!
//! ```text
//!   format  1 byte (3; 2 is the same without flag 16, and is read)
//!   lsn     varint: the admission last applied to the row. Local: not part of a digest
//!   count   varint: incarnations
//!   each incarnation, by id:
//!     id, born                     the transaction that started it, its stamp
//!     flags                        1 died, 2 touched, 4 stamps, 8 rights, 16 additions
//!     fingerprint                  8 bytes
//!     columns                      varint: slots this row has (a row stored before ADD COLUMN has fewer)
//!     null bitmap                  ⌈columns / 8⌉ bytes, bit i of byte i/8 set: slot i is NULL
//!     values                       of slots that are not NULL, each with its type
//!     stamps                       only with flag 4: varint count, (column, stamp, writer) where it is not the birth's
//!     died, touched                only with their flags: frontiers
//!     rights                       only with flag 8: shares (column, site, added, given towards either bound), then
//!                                  reservations (entry, column, side, amount)
//!     additions                    only with flag 16: of sets and flags, columns with a frontier for each element
//! ```
//!
//! Parts in words are in postcard's form. A value carries its type, so that a row can be read without a schema (by
//! `gemini check`, or under an older version during replay).

use gemini_shadow_ops::row::CellStamp;
use gemini_shadow_ops::{Frontier, Incarnation, Rights, RowState, Stamp, TxnId, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Lsn};

const FORMAT: u8 = 3;
const WITHOUT_ADDITIONS: u8 = 2;
const DIED: u8 = 1;
const TOUCHED: u8 = 2;
const STAMPS: u8 = 4;
const RIGHTS: u8 = 8;
const ADDITIONS: u8 = 16;

/// Encodes a row. Fails only on a value that the encoder refuses, which none is known to.
pub(crate) fn encode(lsn: Lsn, state: &RowState) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(64 + 32 * state.incarnations.len());
    out.push(FORMAT);
    write(&mut out, &lsn.0)?;
    write(&mut out, &(state.incarnations.len() as u64))?;
    for incarnation in &state.incarnations {
        encode_incarnation(&mut out, incarnation)?;
    }
    Ok(out)
}

fn encode_incarnation(out: &mut Vec<u8>, incarnation: &Incarnation) -> Result<(), Error> {
    write(out, &incarnation.id)?;
    write(out, &incarnation.born)?;
    let touched = incarnation.touched != Frontier::default();
    let mut flags = 0;
    flags |= if incarnation.died.is_some() { DIED } else { 0 };
    flags |= if touched { TOUCHED } else { 0 };
    flags |= if incarnation.stamps.is_empty() { 0 } else { STAMPS };
    flags |= if incarnation.rights.is_empty() { 0 } else { RIGHTS };
    flags |= if incarnation.additions.is_empty() { 0 } else { ADDITIONS };
    out.push(flags);
    out.extend_from_slice(&incarnation.fingerprint.to_le_bytes());
    write(out, &(incarnation.values.len() as u64))?;
    let bitmap = out.len();
    out.resize(bitmap + incarnation.values.len().div_ceil(8), 0);
    for (slot, value) in incarnation.values.iter().enumerate() {
        if *value == Value::Null {
            out[bitmap + slot / 8] |= 1 << (slot % 8);
        } else {
            write(out, value)?;
        }
    }
    if flags & STAMPS != 0 {
        write(out, &incarnation.stamps)?;
    }
    if let Some(died) = &incarnation.died {
        write(out, died)?;
    }
    if touched {
        write(out, &incarnation.touched)?;
    }
    if flags & RIGHTS != 0 {
        write(out, &incarnation.rights)?;
    }
    if flags & ADDITIONS != 0 {
        write(out, &incarnation.additions)?;
    }
    Ok(())
}

fn write<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    // `to_extend` takes the vector by value and hands it back.
    *out = postcard::to_extend(value, std::mem::take(out))
        .map_err(|e| Error::Internal { message: format!("a row cannot be encoded: {e}") })?;
    Ok(())
}

/// Decodes a row; every byte must be used.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Lsn, RowState), Error> {
    let mut input = Input { bytes };
    let format = input.byte()?;
    if format > FORMAT {
        return Err(Error::Newer {
            what: format!("a row has format {format}, this program writes {FORMAT}"),
        });
    }
    if format != FORMAT && format != WITHOUT_ADDITIONS {
        return Err(damaged(format_args!("row format {format} is of no release")));
    }
    let lsn = Lsn(input.read()?);
    let count: u64 = input.read()?;
    // Each incarnation takes more than one byte, so a count above the bytes left is damage, not a reason to allocate.
    if count > input.bytes.len() as u64 {
        return Err(damaged("more incarnations than bytes"));
    }
    let mut state = RowState::default();
    state.incarnations.reserve_exact(count as usize);
    for _ in 0..count {
        state.incarnations.push(decode_incarnation(&mut input)?);
    }
    if !input.bytes.is_empty() {
        return Err(damaged(format_args!("{} bytes after the row", input.bytes.len())));
    }
    Ok((lsn, state))
}

fn decode_incarnation(input: &mut Input<'_>) -> Result<Incarnation, Error> {
    let id: TxnId = input.read()?;
    let born: Stamp = input.read()?;
    let flags = input.byte()?;
    if flags & !(DIED | TOUCHED | STAMPS | RIGHTS | ADDITIONS) != 0 {
        return Err(damaged(format_args!("row flags {flags} are not known")));
    }
    let mut fingerprint = [0; 8];
    fingerprint.copy_from_slice(input.take(8)?);
    let columns: u64 = input.read()?;
    let bitmap = input.take(usize::try_from(columns.div_ceil(8)).map_err(damaged)?)?;
    let mut values = Vec::with_capacity(columns as usize);
    for slot in 0..columns as usize {
        let null = bitmap[slot / 8] & (1 << (slot % 8)) != 0;
        values.push(if null { Value::Null } else { input.read()? });
    }
    let stamps: Vec<CellStamp> = if flags & STAMPS != 0 { input.read()? } else { Vec::new() };
    let died = if flags & DIED != 0 { Some(input.read()?) } else { None };
    let touched = if flags & TOUCHED != 0 { input.read()? } else { Frontier::default() };
    let rights = if flags & RIGHTS != 0 { input.read()? } else { Rights::default() };
    let additions = if flags & ADDITIONS != 0 { input.read()? } else { Vec::new() };
    let (values, fingerprint) = (values.into(), u64::from_le_bytes(fingerprint));
    Ok(Incarnation { id, born, values, stamps, died, touched, fingerprint, rights, additions })
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        if n > self.bytes.len() {
            return Err(damaged("the row ends early"));
        }
        let (head, rest) = self.bytes.split_at(n);
        self.bytes = rest;
        Ok(head)
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let (value, rest) = postcard::take_from_bytes(self.bytes).map_err(damaged)?;
        self.bytes = rest;
        Ok(value)
    }
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::store(format_args!(
        "a stored row is damaged ({what}): stop the site, remove its store folder, and start it: the store is built \
         again from the log"
    ))
}
