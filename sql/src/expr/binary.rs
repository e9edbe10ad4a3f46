//! Values from and to PostgreSQL's binary wire format.
//!
//! All numbers are big-endian. NUMERIC is digits of base 10,000 with weight, sign and display scale; times are µs since
//! 2000; an array carries dimensions and its element's oid. Whatever a client sends is checked: 22P03 for bytes that are
//! no value, 22021 for text that is not UTF-8. The context only serves NAME-like types that need none today.

use std::sync::Arc;

use bigdecimal::num_bigint::{BigInt, Sign};
use gemini_shadow_ops::{DataType, Interval, Numeric, Value};

use super::cast::{CastKind, apply_typmod};
use super::{EvalContext, datetime, text, types};
use crate::error::{Result, SqlError};
use crate::sqlstate;

const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_NAN: u16 = 0xc000;

/// Appends a value's binary form, without its length (not NULL).
pub fn send(out: &mut Vec<u8>, value: &Value, ty: &DataType, context: &EvalContext<'_>) -> Result<()> {
    match (value, ty) {
        (Value::Null, _) => {}
        (Value::Bool(b), _) => out.push(u8::from(*b)),
        (Value::Text(t), DataType::InternalChar) => out.push(t.as_bytes().first().copied().unwrap_or(0)),
        (Value::Text(_), DataType::Char(_)) => {
            out.extend(text::output(value, ty, context.session()).as_bytes());
        }
        (Value::Text(t), _) => out.extend(t.as_bytes()),
        (Value::Int2(n), _) => out.extend(n.to_be_bytes()),
        (Value::Int4(n), _) => out.extend(n.to_be_bytes()),
        (Value::Int8(n), _) => out.extend(n.to_be_bytes()),
        (Value::Oid(n), _) => out.extend(n.to_be_bytes()),
        (Value::Float4(f), _) => out.extend(f.to_be_bytes()),
        (Value::Float8(f), _) => out.extend(f.to_be_bytes()),
        (Value::Numeric(n), _) => send_numeric(out, n),
        (Value::Bytea(bytes), _) => out.extend(bytes.iter()),
        (Value::Date(days), _) => out.extend(days.to_be_bytes()),
        (Value::Timestamp(micros) | Value::Timestamptz(micros), _) => out.extend(micros.to_be_bytes()),
        (Value::Interval(span), _) => {
            out.extend(span.micros.to_be_bytes());
            out.extend(span.days.to_be_bytes());
            out.extend(span.months.to_be_bytes());
        }
        (Value::Uuid(bytes), _) => out.extend(bytes),
        (Value::Array(list), _) => {
            let element = ty.element().cloned().unwrap_or(DataType::Text);
            let first = if matches!(ty, DataType::Array(_)) { 1 } else { 0 };
            send_array(out, list, &element, first, context)?;
        }
    }
    Ok(())
}

fn send_numeric(out: &mut Vec<u8>, n: &Numeric) {
    let mut put = |n: u16| out.extend(n.to_be_bytes());
    let Some((mantissa, scale)) = n.parts() else {
        [0, 0, NUMERIC_NAN, 0].into_iter().for_each(put);
        return;
    };
    let digits = mantissa.magnitude().to_string();
    let scale_digits = usize::from(scale);
    // Pad so that the point falls between groups of four.
    let after = scale_digits.div_ceil(4) * 4 - scale_digits;
    let padded = format!("{digits}{}", "0".repeat(after));
    let before = (4 - padded.len() % 4) % 4;
    let padded = format!("{}{padded}", "0".repeat(before));
    let mut groups: Vec<u16> =
        padded.as_bytes().chunks(4).map(|c| c.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'))).collect();
    let mut weight = groups.len() as i32 - scale_digits.div_ceil(4) as i32 - 1;
    let leading = groups.iter().take_while(|g| **g == 0).count();
    groups.drain(..leading);
    weight -= leading as i32;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    put(groups.len() as u16);
    put(weight as i16 as u16);
    put(if mantissa.sign() == Sign::Minus { NUMERIC_NEGATIVE } else { 0 });
    put(scale);
    groups.into_iter().for_each(put);
}

/// The sizes of an array's dimensions.
fn shape(list: &[Value]) -> Vec<usize> {
    if list.is_empty() {
        return Vec::new();
    }
    let inner = match list.first() {
        Some(Value::Array(inner)) => shape(inner),
        _ => Vec::new(),
    };
    std::iter::once(list.len()).chain(inner).collect()
}

fn send_array(
    out: &mut Vec<u8>,
    list: &[Value],
    element: &DataType,
    first: i32,
    context: &EvalContext<'_>,
) -> Result<()> {
    let shape = shape(list);
    let has_null = out.len() + 4;
    out.extend((shape.len() as i32).to_be_bytes());
    out.extend(0i32.to_be_bytes());
    out.extend(types::oid(element).to_be_bytes());
    for size in &shape {
        out.extend((*size as i32).to_be_bytes());
        out.extend(first.to_be_bytes());
    }
    let mut nulls = false;
    send_elements(out, list, element, context, &mut nulls)?;
    if nulls {
        out[has_null + 3] = 1;
    }
    Ok(())
}

fn send_elements(
    out: &mut Vec<u8>,
    list: &[Value],
    element: &DataType,
    context: &EvalContext<'_>,
    nulls: &mut bool,
) -> Result<()> {
    for value in list {
        match value {
            Value::Array(inner) => send_elements(out, inner, element, context, nulls)?,
            Value::Null => {
                *nulls = true;
                out.extend((-1i32).to_be_bytes());
            }
            other => {
                let at = out.len();
                out.extend([0; 4]);
                send(out, other, element, context)?;
                let length = (out.len() - at - 4) as i32;
                out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
    }
    Ok(())
}

/// Takes big-endian numbers off the front.
struct Reader<'a> {
    bytes: &'a [u8],
    ty: &'a DataType,
}

impl<'a> Reader<'a> {
    fn invalid(&self) -> SqlError {
        SqlError::new(
            sqlstate::INVALID_BINARY_REPRESENTATION,
            format!("incorrect binary data format for type {}", types::display(&types::bare(self.ty))),
        )
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(n).ok_or_else(|| self.invalid())?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| self.invalid())
    }

    fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn end(&self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.invalid()) }
    }
}

/// Reads a value of a type; 22P03 if the bytes are not one.
pub fn receive(bytes: &[u8], ty: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    let mut reader = Reader { bytes, ty };
    let value = receive_value(&mut reader, ty, context)?;
    reader.end()?;
    apply_typmod(value, ty, CastKind::Assignment)
}

fn receive_value(reader: &mut Reader<'_>, ty: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    Ok(match ty {
        DataType::Bool => Value::Bool(reader.array::<1>()?[0] != 0),
        DataType::Int2 => Value::Int2(reader.i16()?),
        DataType::Int4 => Value::Int4(reader.i32()?),
        DataType::Int8 => Value::Int8(reader.i64()?),
        DataType::Oid | DataType::Regclass | DataType::Regtype | DataType::Regproc => {
            Value::Oid(reader.i32()? as u32)
        }
        DataType::Float4 => Value::Float4(f32::from_be_bytes(reader.array()?)),
        DataType::Float8 => Value::Float8(f64::from_be_bytes(reader.array()?)),
        DataType::Numeric(_) => Value::Numeric(receive_numeric(reader)?),
        DataType::Text
        | DataType::Varchar(_)
        | DataType::Char(_)
        | DataType::Name
        | DataType::Json
        | DataType::Unknown => {
            let bytes = reader.take(reader.bytes.len())?;
            let text = std::str::from_utf8(bytes).ok().filter(|t| !t.contains('\0'));
            Value::text(text.ok_or_else(|| {
                SqlError::new(
                    sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
                    "invalid byte sequence for encoding \"UTF8\"",
                )
            })?)
        }
        DataType::InternalChar => match reader.array::<1>()?[0] {
            0 => Value::text(""),
            b if b < 128 => Value::text(char::from(b).to_string()),
            _ => return Err(reader.invalid()),
        },
        DataType::Bytea => Value::Bytea(reader.take(reader.bytes.len())?.into()),
        DataType::Date => Value::Date(match reader.i32()? {
            infinite @ (i32::MIN | i32::MAX) => infinite,
            days => datetime::checked_date(i64::from(days))?,
        }),
        DataType::Timestamp => Value::Timestamp(receive_time(reader)?),
        DataType::Timestamptz => Value::Timestamptz(receive_time(reader)?),
        DataType::Interval => {
            let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
            Value::Interval(Interval { months, days, micros })
        }
        DataType::Uuid => Value::Uuid(reader.array()?),
        DataType::Array(element) => receive_array(reader, element, context)?,
        DataType::Int2Vector => receive_array(reader, &DataType::Int2, context)?,
        DataType::OidVector => receive_array(reader, &DataType::Oid, context)?,
        DataType::Void => Value::Null,
    })
}

fn receive_time(reader: &mut Reader<'_>) -> Result<i64> {
    let micros = reader.i64()?;
    if datetime::is_infinite(micros) { Ok(micros) } else { datetime::checked_timestamp(i128::from(micros)) }
}

fn receive_numeric(reader: &mut Reader<'_>) -> Result<Numeric> {
    let count = reader.i16()? as u16;
    let weight = i64::from(reader.i16()?);
    let sign = reader.i16()? as u16;
    let scale = reader.i16()? as u16;
    let groups = reader.take(usize::from(count) * 2)?;
    match sign {
        NUMERIC_NAN => return Ok(Numeric::NAN),
        0 | NUMERIC_NEGATIVE => {}
        0xd000 | 0xf000 => {
            return Err(SqlError::unsupported("infinite numeric", "Use double precision for infinities."));
        }
        _ => return Err(reader.invalid()),
    }
    if i64::from(scale) > gemini_shadow_ops::value::numeric::MAX_SCALE {
        return Err(reader.invalid());
    }
    let mut digits = String::with_capacity(groups.len() * 2);
    for group in groups.chunks_exact(2) {
        let group = u16::from_be_bytes([group[0], group[1]]);
        if group > 9999 {
            return Err(reader.invalid());
        }
        digits.push_str(&format!("{group:04}"));
    }
    let mantissa = BigInt::parse_bytes(digits.as_bytes(), 10).unwrap_or_default();
    let mantissa = if sign == NUMERIC_NEGATIVE { -mantissa } else { mantissa };
    // The last group stands for 10000^(weight - count + 1); weight is a short, so this stays small.
    let exponent = (weight - i64::from(count) + 1) * 4;
    let exact = bigdecimal::BigDecimal::new(mantissa, -exponent);
    let n = Numeric::new(exact).truncate(i64::from(scale));
    super::numeric::checked(n)
}

fn receive_array(reader: &mut Reader<'_>, element: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    let dimensions = reader.i32()?;
    let _flags = reader.i32()?;
    let oid = reader.i32()? as u32;
    if !(0..=6).contains(&dimensions) {
        return Err(reader.invalid());
    }
    let compatible = oid == types::oid(element)
        || types::from_oid(oid, -1).is_some_and(|t| t.is_text() && element.is_text());
    if !compatible {
        return Err(SqlError::new(
            sqlstate::DATATYPE_MISMATCH,
            format!("binary data has array element type {oid} instead of expected {}", types::oid(element)),
        ));
    }
    let mut shape = Vec::new();
    let mut total: usize = 1;
    for _ in 0..dimensions {
        let size = usize::try_from(reader.i32()?).map_err(|_| reader.invalid())?;
        if reader.i32()? != 1 {
            return Err(SqlError::unsupported("an array whose lower bound is not 1", "Send it from 1."));
        }
        total = total.checked_mul(size).ok_or_else(|| reader.invalid())?;
        shape.push(size);
    }
    // Every element takes at least its length: no more than the bytes can hold.
    if dimensions > 0 && total > reader.bytes.len() / 4 {
        return Err(reader.invalid());
    }
    if shape.is_empty() || total == 0 {
        return Ok(Value::Array(Arc::new(Vec::new())));
    }
    receive_elements(reader, &shape, element, context)
}

fn receive_elements(
    reader: &mut Reader<'_>,
    shape: &[usize],
    element: &DataType,
    context: &EvalContext<'_>,
) -> Result<Value> {
    let mut list = Vec::new();
    for _ in 0..shape[0] {
        if shape.len() > 1 {
            list.push(receive_elements(reader, &shape[1..], element, context)?);
            continue;
        }
        let length = reader.i32()?;
        list.push(if length < 0 {
            Value::Null
        } else {
            receive(reader.take(length as usize)?, element, context)?
        });
    }
    Ok(Value::Array(Arc::new(list)))
}
