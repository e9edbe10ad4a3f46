//! SQL values and their types, as far as the algebra needs them: order ([`compare`]), keys ([`key`]), the arithmetic of
//! delta columns ([`arith`]), NUMERIC ([`numeric`]), sets ([`set`]). Text forms, casts and functions are SQL's.
//!
//! A value does not carry its type: varchar(5) and text are both [`Value::Text`], and a `char(n)` is kept without its
//! padding, so that order, keys and equality need no type.

pub mod arith;
pub mod compare;
pub mod key;
mod nesting;
pub mod numeric;
pub mod set;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use numeric::Numeric;

/// A type of a column or expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum DataType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// (precision, scale); None: any.
    Numeric(Option<(u16, i16)>),
    Text,
    Varchar(Option<u32>),
    /// Blank padded.
    Char(u32),
    Bytea,
    Date,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    /// The types of PostgreSQL's catalogue; not for user tables.
    Oid,
    Name,
    InternalChar,
    Regclass,
    Regtype,
    Regproc,
    #[serde(deserialize_with = "nesting::deserialize")]
    Array(Box<DataType>),
    /// A literal or parameter whose type is not known yet.
    Unknown,
    Void,
    /// Arrays of the catalogue that count from 0 and print as `1 2`.
    Int2Vector,
    OidVector,
    /// JSON text that functions of the catalogue return.
    Json,
}

/// INTERVAL, as PostgreSQL keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

/// One SQL value: at most 24 bytes. Equality (`==`) is of bytes: 1.0 and 1.00 differ; SQL comparison is
/// [`Value::compare`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Value {
    Null,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float4(f32),
    Float8(f64),
    Numeric(Numeric),
    /// text, varchar, char, name.
    Text(Arc<str>),
    Bytea(Arc<[u8]>),
    /// Days since 2000-01-01.
    Date(i32),
    /// Microseconds since 2000-01-01, no zone.
    Timestamp(i64),
    /// Microseconds since 2000-01-01 UTC.
    Timestamptz(i64),
    Interval(Interval),
    Uuid([u8; 16]),
    /// oid and the reg* types.
    Oid(u32),
    #[serde(deserialize_with = "nesting::deserialize")]
    Array(Arc<Vec<Value>>),
}

/// A full row, by slot ([`crate::ColumnId`]).
pub type Row = Arc<[Value]>;

const _: () = assert!(std::mem::size_of::<Value>() <= 24);

impl DataType {
    /// int2, int4, int8.
    pub fn is_integer(&self) -> bool {
        matches!(self, DataType::Int2 | DataType::Int4 | DataType::Int8)
    }

    /// Integers, NUMERIC, floats.
    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, DataType::Numeric(_) | DataType::Float4 | DataType::Float8)
    }

    /// text, varchar, char, name.
    pub fn is_text(&self) -> bool {
        matches!(self, DataType::Text | DataType::Varchar(_) | DataType::Char(_) | DataType::Name)
    }

    /// What its values are made of, if it is an array.
    pub fn element(&self) -> Option<&DataType> {
        match self {
            DataType::Array(element) => Some(element),
            DataType::Int2Vector => Some(&DataType::Int2),
            DataType::OidVector => Some(&DataType::Oid),
            _ => None,
        }
    }
}

impl Value {
    /// NULL?
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// A text value.
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Text(text.into())
    }

    /// The plainest type with such values (text for every text, NUMERIC without a typmod); Unknown for NULL.
    pub fn data_type(&self) -> DataType {
        match self {
            Value::Null => DataType::Unknown,
            Value::Bool(_) => DataType::Bool,
            Value::Int2(_) => DataType::Int2,
            Value::Int4(_) => DataType::Int4,
            Value::Int8(_) => DataType::Int8,
            Value::Float4(_) => DataType::Float4,
            Value::Float8(_) => DataType::Float8,
            Value::Numeric(_) => DataType::Numeric(None),
            Value::Text(_) => DataType::Text,
            Value::Bytea(_) => DataType::Bytea,
            Value::Date(_) => DataType::Date,
            Value::Timestamp(_) => DataType::Timestamp,
            Value::Timestamptz(_) => DataType::Timestamptz,
            Value::Interval(_) => DataType::Interval,
            Value::Uuid(_) => DataType::Uuid,
            Value::Oid(_) => DataType::Oid,
            Value::Array(list) => {
                let element = list.iter().find(|v| !v.is_null()).map_or(DataType::Unknown, Value::data_type);
                DataType::Array(Box::new(element))
            }
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// Roughly the bytes it holds on the heap, for memory bounds.
    pub fn heap_size(&self) -> usize {
        match self {
            Value::Text(text) => text.len() + 16,
            Value::Bytea(bytes) => bytes.len() + 16,
            Value::Numeric(n) => n.decimal().map_or(0, |d| 64 + d.digits() as usize / 2),
            Value::Array(list) => {
                40 + list.iter().map(|v| std::mem::size_of::<Value>() + v.heap_size()).sum::<usize>()
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A few values of every kind, the awkward ones among them.
    pub(crate) fn samples() -> Vec<Value> {
        let mut all = vec![Value::Null, Value::Bool(false), Value::Bool(true)];
        all.extend([i16::MIN, -1, 0, 1, i16::MAX].map(Value::Int2));
        all.extend([i32::MIN, -256, 0, 255, 256, i32::MAX].map(Value::Int4));
        all.extend([i64::MIN, -(1 << 40), 0, (1 << 53) + 1, i64::MAX].map(Value::Int8));
        all.extend([f32::NEG_INFINITY, -0.0, 0.0, 1.5, f32::NAN].map(Value::Float4));
        all.extend(
            [f64::NEG_INFINITY, -1e300, -0.0, 0.0, 1e-300, 9007199254740992.0, f64::NAN].map(Value::Float8),
        );
        for text in
            ["-1e30", "-1.05", "-1", "0", "0.00", "0.001", "1.0", "1.00", "9007199254740993", "1e40", "NaN"]
        {
            all.push(Value::Numeric(Numeric::parse(text).unwrap()));
        }
        all.extend(["", "a", "a ", "ab", "b", "\u{1}", "é"].map(Value::text));
        all.extend([&b""[..], b"\0", b"\0\0", b"\0\x01", b"\x01", b"\xff"].map(|b| Value::Bytea(b.into())));
        all.extend([i32::MIN, -1, 0, 1, i32::MAX].map(Value::Date));
        all.extend([i64::MIN, -1, 0, 86_400_000_000, i64::MAX].map(Value::Timestamp));
        all.extend([i64::MIN, 0, 5].map(Value::Timestamptz));
        for (months, days, micros) in [(0, 0, 0), (1, 0, 0), (0, 30, 0), (0, 29, 86_400_000_000), (-1, 1, -5)]
        {
            all.push(Value::Interval(Interval { months, days, micros }));
        }
        all.extend([[0; 16], [255; 16]].map(Value::Uuid));
        all.extend([0, u32::MAX].map(Value::Oid));
        let array = |list: Vec<Value>| Value::Array(Arc::new(list));
        all.extend([array(vec![]), array(vec![Value::Int4(1)]), array(vec![Value::Int4(1), Value::Null])]);
        all.push(array(vec![Value::Null]));
        all
    }

    pub(crate) fn any_numeric() -> impl Strategy<Value = Value> {
        (any::<i128>(), 0u16..30, 0u32..127)
            .prop_map(|(m, scale, shift)| Value::Numeric(Numeric::from_parts(m >> shift, scale)))
    }

    /// Values of one kind: what a column holds.
    pub(crate) fn any_of_kind(kind: usize) -> BoxedStrategy<Value> {
        match kind % 12 {
            0 => any::<bool>().prop_map(Value::Bool).boxed(),
            1 => (any::<i64>(), 0u32..63).prop_map(|(n, s)| Value::Int8(n >> s)).boxed(),
            2 => any::<i32>().prop_map(Value::Int4).boxed(),
            3 => any::<f64>().prop_map(Value::Float8).boxed(),
            4 => any_numeric().boxed(),
            5 => proptest::collection::vec(0u8..4, 0..6)
                .prop_map(|v| Value::text(String::from_utf8(v).unwrap()))
                .boxed(),
            6 => proptest::collection::vec(prop_oneof![0u8..3, Just(255u8)], 0..6)
                .prop_map(|v| Value::Bytea(v.into()))
                .boxed(),
            7 => any::<i32>().prop_map(Value::Date).boxed(),
            8 => any::<i64>().prop_map(Value::Timestamp).boxed(),
            9 => (-50i32..50, -50i32..50, any::<i32>())
                .prop_map(|(months, days, m)| {
                    Value::Interval(Interval { months, days, micros: i64::from(m) })
                })
                .boxed(),
            10 => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
            _ => proptest::collection::vec(
                prop_oneof![Just(Value::Null), any::<i16>().prop_map(Value::Int2)],
                0..4,
            )
            .prop_map(|v| Value::Array(Arc::new(v)))
            .boxed(),
        }
    }

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        (0usize..12).prop_flat_map(any_of_kind)
    }

    proptest! {
        #[test]
        fn serialisation_round_trips(value in any_value()) {
            let bytes = postcard::to_allocvec(&value).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Value>(&bytes).unwrap(), value);
        }
    }
}
