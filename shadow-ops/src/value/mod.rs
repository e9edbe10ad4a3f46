//! SQL values and their types.

pub mod key;

use std::sync::Arc;

use bigdecimal::BigDecimal;
use serde::{Deserialize, Serialize};

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
    Array(Box<DataType>),
    /// A literal or parameter whose type is not known yet.
    Unknown,
    Void,
}

/// NUMERIC: a decimal with its display scale, or NaN (None).
#[derive(Clone, Debug)]
pub struct Numeric(pub Option<Arc<BigDecimal>>);

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    Array(Arc<Vec<Value>>),
}

/// A full row, by slot ([`crate::ColumnId`]).
pub type Row = Arc<[Value]>;

const _: () = assert!(std::mem::size_of::<Value>() <= 24);

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => a.as_bigint_and_exponent() == b.as_bigint_and_exponent(),
            _ => false,
        }
    }
}

impl Serialize for Numeric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().map(|d| d.to_string()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Numeric {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Numeric, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        match text {
            None => Ok(Numeric(None)),
            Some(t) => t.parse().map(|d| Numeric(Some(Arc::new(d)))).map_err(serde::de::Error::custom),
        }
    }
}
