//! Order-preserving, self-delimiting encoding of keys.
//!
//! The bytes of two encoded keys compare as their values do in SQL, column by column; no encoding of a value is a prefix
//! of another's, so columns are just written one after the other and a key's prefix is the range of all keys that begin
//! with it. Each column starts with a marker:
//!
//! ```text
//! 00        NULL, first          7f bytes  a value, descending: every byte of it inverted
//! ff        NULL, last           80 bytes  a value, ascending
//!
//! integer   one byte 80 ± its length in bytes, then its significant bytes (inverted if negative): 5 is 81 05
//! float     eight bytes, sign flipped (all bits if negative); -0.0 as 0.0, one NaN, greatest
//! numeric   class (02 negative, 03 zero, 04 positive, 05 NaN), exponent as an integer, pairs of digits + 1, 00;
//!           exponent and pairs inverted if negative. 1.0 and 1.00 encode alike
//! text,     the bytes, 00 as 01 01 and 01 as 01 02, then 00
//! bytea
//! time      eight bytes, sign flipped           date, oid, bool: as integers
//! interval  its length in µs, sixteen bytes     uuid: its bytes
//! array     each element as a column, then 00
//! ```
//!
//! Integers of every width encode alike, so a key found by an int8 is the key stored by an int4. An encoding is
//! canonical, hence lossy where SQL's equality is: `decode` gives back an equal value, not the same bytes.
//! Keys serve grouping and hash joins as well: equal keys are equal values.

use std::sync::Arc;

use bigdecimal::num_bigint::{BigInt, Sign};

use super::compare::canonical_float;
use super::{DataType, Interval, Numeric, Value};
use crate::op::Key;
use crate::schema::{Index, Table};

const NULL_FIRST: u8 = 0x00;
const DESCENDING: u8 = 0x7f;
const ASCENDING: u8 = 0x80;
const NULL_LAST: u8 = 0xff;

const NEGATIVE: u8 = 2;
const ZERO: u8 = 3;
const POSITIVE: u8 = 4;
const NAN: u8 = 5;

/// Bytes that are no key, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed key at byte {at}: {what}")]
pub struct KeyError {
    /// Offset.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Appends one column.
pub fn encode_value(out: &mut Vec<u8>, value: &Value, descending: bool, nulls_first: bool) {
    if value.is_null() {
        out.push(if nulls_first { NULL_FIRST } else { NULL_LAST });
        return;
    }
    out.push(if descending { DESCENDING } else { ASCENDING });
    let start = out.len();
    encode_payload(out, value);
    if descending {
        out[start..].iter_mut().for_each(|b| *b = !*b);
    }
}

fn encode_payload(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(b) => encode_integer(out, i128::from(*b)),
        Value::Int2(_) | Value::Int4(_) | Value::Int8(_) | Value::Oid(_) => {
            encode_integer(out, value.as_i64().map_or(0, i128::from));
        }
        Value::Date(days) => encode_integer(out, i128::from(*days)),
        Value::Float4(f) => encode_float(out, f64::from(*f)),
        Value::Float8(f) => encode_float(out, *f),
        Value::Numeric(n) => encode_numeric(out, n),
        Value::Text(text) => encode_bytes(out, text.as_bytes()),
        Value::Bytea(bytes) => encode_bytes(out, bytes),
        Value::Timestamp(micros) | Value::Timestamptz(micros) => {
            out.extend(((*micros as u64) ^ (1 << 63)).to_be_bytes());
        }
        Value::Interval(interval) => {
            out.extend(((interval.comparable() as u128) ^ (1 << 127)).to_be_bytes());
        }
        Value::Uuid(bytes) => out.extend(bytes),
        Value::Array(list) => {
            for element in list.iter() {
                encode_value(out, element, false, false);
            }
            out.push(0);
        }
    }
}

fn encode_integer(out: &mut Vec<u8>, n: i128) {
    let bytes = n.to_be_bytes();
    if n >= 0 {
        let zeros = (n.leading_zeros() / 8) as usize;
        out.push(0x80 + (16 - zeros) as u8);
        out.extend(&bytes[zeros..]);
    } else {
        let ones = (n.leading_ones() / 8) as usize;
        out.push(0x7f - (16 - ones) as u8);
        out.extend(&bytes[ones..]);
    }
}

fn encode_float(out: &mut Vec<u8>, f: f64) {
    let bits = canonical_float(f).to_bits() as i64;
    let ordered = if bits < 0 { !bits as u64 } else { bits as u64 ^ (1 << 63) };
    out.extend(ordered.to_be_bytes());
}

fn encode_numeric(out: &mut Vec<u8>, n: &Numeric) {
    let Some((mantissa, scale)) = n.parts() else { return out.push(NAN) };
    if mantissa.sign() == Sign::NoSign {
        return out.push(ZERO);
    }
    let negative = mantissa.sign() == Sign::Minus;
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    let digits = mantissa.magnitude().to_string();
    let exponent = digits.len() as i128 - i128::from(scale); // the number is 0.digits × 10^exponent
    encode_integer(out, exponent);
    for pair in digits.trim_end_matches('0').as_bytes().chunks(2) {
        let low = pair.get(1).map_or(0, |b| b - b'0');
        out.push((pair[0] - b'0') * 10 + low + 1);
    }
    out.push(0);
    if negative {
        out[start..].iter_mut().for_each(|b| *b = !*b);
    }
}

fn encode_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            0 => out.extend([1, 1]),
            1 => out.extend([1, 2]),
            other => out.push(other),
        }
    }
    out.push(0);
}

/// Several columns, ascending, NULLs last: a primary key, a grouping key.
pub fn encode_key(values: &[Value]) -> Key {
    let mut out = Vec::with_capacity(values.len() * 10);
    for value in values {
        encode_value(&mut out, value, false, false);
    }
    Key(out.into())
}

/// A row's value in a slot; a row stored before the column was added reads as the column's constant.
fn slot<'r>(table: &'r Table, row: &'r [Value], column: crate::ids::ColumnId) -> &'r Value {
    static NULL: Value = Value::Null;
    row.get(usize::from(column.0))
        .unwrap_or_else(|| table.columns.iter().find(|c| c.id == column).map_or(&NULL, |c| &c.missing))
}

/// Encodes the columns of an index; delta sums kept as NUMERIC beyond their integer type keep their place among integers.
fn encode_columns(table: &Table, index: &Index, row: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(index.columns.len() * 10 + 16);
    for column in &index.columns {
        let value = slot(table, row, column.column);
        encode_column(&mut out, table, column, value);
    }
    out
}

/// Appends one column of an index as a row's entry has it: what a look-up by that column must search for.
pub fn encode_column(out: &mut Vec<u8>, table: &Table, column: &crate::schema::IndexColumn, value: &Value) {
    let integer = || table.columns.iter().any(|c| c.id == column.column && c.ty.is_integer());
    match value {
        Value::Numeric(n) if integer() => {
            let descending = column.descending;
            out.push(if descending { DESCENDING } else { ASCENDING });
            let start = out.len();
            let limit = if n.is_negative() { i128::MIN } else { i128::MAX };
            encode_integer(out, n.to_i128().unwrap_or(limit));
            if descending {
                out[start..].iter_mut().for_each(|b| *b = !*b);
            }
        }
        _ => encode_value(out, value, column.descending, column.nulls_first),
    }
}

/// A row's primary key.
pub fn primary_key(table: &Table, row: &[Value]) -> Key {
    match table.indexes.first() {
        Some(index) => Key(encode_columns(table, index, row).into()),
        None => Key(Arc::from([])),
    }
}

/// A row's entry in an index, without the primary key that makes it unique.
pub fn index_key(table: &Table, index: &Index, row: &[Value]) -> Key {
    Key(encode_columns(table, index, row).into())
}

/// Whether one of the index's values is NULL: then a UNIQUE index does not count the row (unless NULLS NOT DISTINCT).
pub fn index_has_null(table: &Table, index: &Index, row: &[Value]) -> bool {
    index.columns.iter().any(|c| slot(table, row, c.column).is_null())
}

/// The end of the range of keys that begin with `key`: the least key greater than all of them; None if there is none.
pub fn successor(key: &Key) -> Option<Key> {
    let mut bytes = key.0.to_vec();
    while let Some(last) = bytes.pop() {
        if last < 0xff {
            bytes.push(last + 1);
            return Some(Key(bytes.into()));
        }
    }
    None
}

/// Reads the columns of `types` and nothing after them.
pub fn decode(bytes: &[u8], types: &[DataType]) -> Result<Vec<Value>, KeyError> {
    let (values, length) = decode_prefix(bytes, types)?;
    if length < bytes.len() {
        return Err(KeyError { at: length, what: "bytes after the last column" });
    }
    Ok(values)
}

/// Reads the columns of `types` from the start of a key, and where they end.
pub fn decode_prefix(bytes: &[u8], types: &[DataType]) -> Result<(Vec<Value>, usize), KeyError> {
    let mut reader = Reader { bytes, at: 0, flip: 0 };
    let values = types.iter().map(|ty| reader.column(ty)).collect::<Result<_, _>>()?;
    Ok((values, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// 0xff while within a descending column.
    flip: u8,
}

impl Reader<'_> {
    fn fail<T>(&self, what: &'static str) -> Result<T, KeyError> {
        Err(KeyError { at: self.at, what })
    }

    fn byte(&mut self) -> Result<u8, KeyError> {
        let Some(byte) = self.bytes.get(self.at) else { return self.fail("cut short") };
        self.at += 1;
        Ok(byte ^ self.flip)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let mut out = [0; N];
        for byte in &mut out {
            *byte = self.byte()?;
        }
        Ok(out)
    }

    fn column(&mut self, ty: &DataType) -> Result<Value, KeyError> {
        match self.byte()? {
            NULL_FIRST | NULL_LAST => Ok(Value::Null),
            ASCENDING => self.payload(ty),
            DESCENDING => {
                let outer = self.flip;
                self.flip = !outer;
                let value = self.payload(ty);
                self.flip = outer;
                value
            }
            _ => {
                self.at -= 1;
                self.fail("not a marker")
            }
        }
    }

    fn payload(&mut self, ty: &DataType) -> Result<Value, KeyError> {
        let value = match ty {
            DataType::Bool => Value::Bool(self.integer()? != 0),
            DataType::Int2 | DataType::Int4 | DataType::Int8 => {
                super::arith::integer_value(ty, self.integer()?)
            }
            DataType::Oid | DataType::Regclass | DataType::Regtype | DataType::Regproc => {
                Value::Oid(self.narrow()?)
            }
            DataType::Date => Value::Date(self.narrow()?),
            DataType::Float4 => Value::Float4(self.float()? as f32),
            DataType::Float8 => Value::Float8(self.float()?),
            DataType::Numeric(_) => Value::Numeric(self.numeric()?),
            DataType::Timestamp => Value::Timestamp(self.time()?),
            DataType::Timestamptz => Value::Timestamptz(self.time()?),
            DataType::Interval => Value::Interval(self.interval()?),
            DataType::Uuid => Value::Uuid(self.array()?),
            DataType::Bytea => Value::Bytea(self.escaped()?.into()),
            DataType::Array(element) => self.elements(element)?,
            DataType::Int2Vector => self.elements(&DataType::Int2)?,
            DataType::OidVector => self.elements(&DataType::Oid)?,
            DataType::Text
            | DataType::Varchar(_)
            | DataType::Char(_)
            | DataType::Name
            | DataType::InternalChar
            | DataType::Unknown
            | DataType::Json
            | DataType::Void => match String::from_utf8(self.escaped()?) {
                Ok(text) => Value::text(text),
                Err(_) => return self.fail("text that is not UTF-8"),
            },
        };
        Ok(value)
    }

    fn narrow<T: TryFrom<i128>>(&mut self) -> Result<T, KeyError> {
        let n = self.integer()?;
        T::try_from(n).or_else(|_| self.fail("integer out of range"))
    }

    fn integer(&mut self) -> Result<i128, KeyError> {
        let head = self.byte()?;
        let (negative, length) =
            if head >= 0x80 { (false, usize::from(head - 0x80)) } else { (true, usize::from(0x7f - head)) };
        if length > 16 {
            return self.fail("integer too long");
        }
        let mut n: i128 = if negative { -1 } else { 0 };
        for _ in 0..length {
            n = (n << 8) | i128::from(self.byte()?);
        }
        Ok(n)
    }

    fn float(&mut self) -> Result<f64, KeyError> {
        let ordered = u64::from_be_bytes(self.array()?);
        let bits = if ordered >> 63 == 1 { ordered ^ (1 << 63) } else { !ordered };
        Ok(f64::from_bits(bits))
    }

    fn time(&mut self) -> Result<i64, KeyError> {
        Ok((u64::from_be_bytes(self.array()?) ^ (1 << 63)) as i64)
    }

    fn interval(&mut self) -> Result<Interval, KeyError> {
        const DAY: i128 = 86_400_000_000;
        let micros = (u128::from_be_bytes(self.array()?) ^ (1 << 127)) as i128;
        // Whole months first: days alone might not fit their 32 bits.
        let Ok(months) = i32::try_from(micros / (DAY * 30)) else {
            return self.fail("interval out of range");
        };
        let rest = micros - i128::from(months) * DAY * 30;
        Ok(Interval { months, days: (rest / DAY) as i32, micros: (rest % DAY) as i64 })
    }

    fn numeric(&mut self) -> Result<Numeric, KeyError> {
        let class = self.byte()?;
        match class {
            NAN => return Ok(Numeric::NAN),
            ZERO => return Ok(Numeric::from(0i64)),
            NEGATIVE | POSITIVE => {}
            _ => return self.fail("not a class of NUMERIC"),
        }
        let outer = self.flip;
        if class == NEGATIVE {
            self.flip = !self.flip;
        }
        let exponent = self.integer();
        let digits = self.digits();
        self.flip = outer;
        let (exponent, digits) = (exponent?, digits?);
        let scale = digits.len() as i128 - exponent;
        let in_limits = exponent <= i128::from(super::numeric::MAX_DIGITS)
            && scale <= i128::from(super::numeric::MAX_SCALE) + 1;
        let Some(mantissa) = BigInt::parse_bytes(&digits, 10).filter(|_| in_limits) else {
            return self.fail("NUMERIC beyond its limits");
        };
        let mantissa = if class == NEGATIVE { -mantissa } else { mantissa };
        let whole = bigdecimal::BigDecimal::new(mantissa, scale as i64);
        Ok(Numeric::new(if scale > 0 { whole.normalized() } else { whole }))
    }

    fn digits(&mut self) -> Result<Vec<u8>, KeyError> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                0 => return Ok(digits),
                pair @ 1..=100 => digits.extend([b'0' + (pair - 1) / 10, b'0' + (pair - 1) % 10]),
                _ => return self.fail("not a pair of digits"),
            }
        }
    }

    fn escaped(&mut self) -> Result<Vec<u8>, KeyError> {
        let mut out = Vec::new();
        loop {
            match self.byte()? {
                0 => return Ok(out),
                1 => match self.byte()? {
                    1 => out.push(0),
                    2 => out.push(1),
                    _ => return self.fail("not an escape"),
                },
                other => out.push(other),
            }
        }
    }

    fn elements(&mut self, element: &DataType) -> Result<Value, KeyError> {
        let mut list = Vec::new();
        loop {
            if self.bytes.get(self.at).is_some_and(|b| b ^ self.flip == 0) {
                self.at += 1;
                return Ok(Value::Array(Arc::new(list)));
            }
            list.push(self.column(element)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_of_kind, any_value, samples};
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn encode(value: &Value, descending: bool, nulls_first: bool) -> Vec<u8> {
        let mut out = Vec::new();
        encode_value(&mut out, value, descending, nulls_first);
        out
    }

    /// Values of one column: a column never mixes integers, floats and NUMERIC.
    fn comparable(a: &Value, b: &Value) -> bool {
        let class = |v: &Value| match v.data_type() {
            DataType::Int2 | DataType::Int4 | DataType::Int8 => DataType::Int8,
            DataType::Float4 | DataType::Float8 => DataType::Float8,
            DataType::Array(_) => DataType::Array(Box::new(DataType::Int8)),
            other => other,
        };
        a.is_null() || b.is_null() || class(a) == class(b)
    }

    fn typed(value: &Value) -> DataType {
        match value.data_type() {
            DataType::Array(_) => DataType::Array(Box::new(DataType::Int8)),
            other => other,
        }
    }

    fn check_pair(a: &Value, b: &Value) {
        let order = a.compare(b);
        assert_eq!(encode(a, false, false).cmp(&encode(b, false, false)), order, "{a:?} {b:?}");
        if !a.is_null() && !b.is_null() {
            assert_eq!(
                encode(a, true, true).cmp(&encode(b, true, true)),
                order.reverse(),
                "{a:?} {b:?} DESC"
            );
        }
        for (descending, first) in [(false, false), (true, true), (true, false), (false, true)] {
            let (x, y) = (encode(a, descending, first), encode(b, descending, first));
            assert!(order == Ordering::Equal || !y.starts_with(&x), "{a:?} is a prefix of {b:?}");
        }
    }

    #[test]
    fn samples_keep_their_order() {
        let all = samples();
        for a in &all {
            for b in all.iter().filter(|b| comparable(a, b)) {
                check_pair(a, b);
            }
        }
    }

    #[test]
    fn nulls_go_where_they_are_told() {
        for value in samples().iter().filter(|v| !v.is_null()) {
            for descending in [false, true] {
                let bytes = encode(value, descending, true);
                assert!(encode(&Value::Null, descending, true) < bytes);
                assert!(encode(&Value::Null, descending, false) > bytes);
            }
        }
    }

    #[test]
    fn widths_and_forms_encode_alike() {
        assert_eq!(encode(&Value::Int2(7), false, false), encode(&Value::Int8(7), false, false));
        assert_eq!(encode(&Value::Int4(5), false, false), [0x80, 0x81, 5]);
        let n = |t: &str| encode(&Value::Numeric(Numeric::parse(t).unwrap()), false, false);
        assert_eq!(n("100"), n("100.00"));
        assert_ne!(n("100"), n("1000"));
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [&[][..], &[0x80], &[0x80, 0x91], &[0x42], &[0x80, 0x82, 1], &[0x80, 0x80, 0]] {
            assert!(decode(bytes, &[DataType::Int4]).is_err(), "{bytes:x?}");
        }
        assert!(decode(&[0x80, 0xff, 0], &[DataType::Text]).is_err());
        assert!(decode(&[0x80, 4, 0x84, 0x7f, 0, 0, 0, 2, 0], &[DataType::Numeric(None)]).is_err());
    }

    #[test]
    fn successor_ends_the_prefix() {
        let key = Key(vec![1, 0xff, 0xff].into());
        assert_eq!(successor(&key), Some(Key(vec![2].into())));
        assert_eq!(successor(&Key(vec![0xff].into())), None);
    }

    proptest! {
        #[test]
        fn pairs_keep_their_order(
            (a, b) in (0usize..12).prop_flat_map(|k| (any_of_kind(k), any_of_kind(k)))
        ) {
            check_pair(&a, &b);
        }

        #[test]
        fn tuples_keep_their_order(
            (a, b) in (0usize..12, 0usize..12).prop_flat_map(|(i, j)| (
                (any_of_kind(i), any_of_kind(j)), (any_of_kind(i), any_of_kind(j)),
            ))
        ) {
            let order = a.0.compare(&b.0).then(a.1.compare(&b.1));
            let key = |t: &(Value, Value)| encode_key(&[t.0.clone(), t.1.clone()]);
            prop_assert_eq!(key(&a).cmp(&key(&b)), order);
        }

        #[test]
        fn decoding_gives_an_equal_value(list in proptest::collection::vec((any_value(), any::<bool>()), 0..4)) {
            let mut bytes = Vec::new();
            for (value, descending) in &list {
                encode_value(&mut bytes, value, *descending, false);
            }
            let types: Vec<DataType> = list.iter().map(|(v, _)| typed(v)).collect();
            let back = decode(&bytes, &types).unwrap();
            for ((value, _), back) in list.iter().zip(&back) {
                prop_assert_eq!(value.compare(back), Ordering::Equal);
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for ty in [DataType::Int4, DataType::Numeric(None), DataType::Text, DataType::Interval,
                       DataType::Array(Box::new(DataType::Numeric(None)))] {
                let _ = decode(&bytes, &[ty]);
            }
        }
    }
}
