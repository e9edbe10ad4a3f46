//! Two orders of values.
//!
//! * [`Value::compare`] is SQL's: 1.0 = 1.00, -0.0 = 0.0, NaN greatest and equal to itself, '1 month' = '30 days', text by
//!   bytes (collation "C"), arrays element by element and then by length. It is total: NULL is equal to itself and
//!   greatest, so it serves sorting and grouping too; operators deal with NULL before they ask.
//! * [`Value::canonical`] refines it to a total order of bytes: values that SQL holds equal are told apart by their
//!   representation. Merge rules break ties by it, so that two sites choose the same one.
//!
//! Integers of different widths compare with each other, as do floats, and dates with timestamps; other kinds never
//! meet in a well-typed statement and are ordered by kind, so that the order is total whatever is stored.

use std::cmp::Ordering;

use bigdecimal::BigDecimal;

use super::{Interval, Numeric, Value};

const MICROS_PER_DAY: i128 = 86_400_000_000;

impl Interval {
    /// Its length as SQL compares it: a month is 30 days, a day 24 hours.
    pub fn comparable(&self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * MICROS_PER_DAY + i128::from(self.micros)
    }
}

/// -0.0 as 0.0, every NaN as one.
pub(super) fn canonical_float(f: f64) -> f64 {
    if f.is_nan() {
        f64::NAN
    } else if f == 0.0 {
        0.0
    } else {
        f
    }
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// A float with an integer or NUMERIC, exactly: rounding either side would make the order intransitive.
fn compare_float_exact(float: f64, exact: &Value) -> Ordering {
    let exact = exact.exact().unwrap_or(Numeric::NAN);
    if float.is_nan() || exact.is_nan() {
        return float.is_nan().cmp(&exact.is_nan());
    }
    match BigDecimal::try_from(float) {
        Ok(decimal) => Numeric::new(decimal).compare(&exact),
        Err(_) if float < 0.0 => Ordering::Less,
        Err(_) => Ordering::Greater,
    }
}

/// A date in µs; the infinities are those of timestamps.
fn date_micros(days: i32) -> i128 {
    match days {
        i32::MIN => i128::from(i64::MIN),
        i32::MAX => i128::from(i64::MAX),
        days => i128::from(days) * MICROS_PER_DAY,
    }
}

impl Value {
    /// SQL's order, NULL greatest.
    pub fn compare(&self, other: &Value) -> Ordering {
        use Value::*;
        if let (Some(a), Some(b)) = (self.as_i64(), other.as_i64()) {
            return a.cmp(&b);
        }
        match (self, other) {
            (Text(a), Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Bool(a), Bool(b)) => a.cmp(b),
            (Numeric(a), Numeric(b)) => a.compare(b),
            (Bytea(a), Bytea(b)) => a.cmp(b),
            (Date(a), Date(b)) => a.cmp(b),
            (Timestamp(a) | Timestamptz(a), Timestamp(b) | Timestamptz(b)) => a.cmp(b),
            (Date(a), Timestamp(b) | Timestamptz(b)) => date_micros(*a).cmp(&i128::from(*b)),
            (Timestamp(a) | Timestamptz(a), Date(b)) => i128::from(*a).cmp(&date_micros(*b)),
            (Interval(a), Interval(b)) => a.comparable().cmp(&b.comparable()),
            (Uuid(a), Uuid(b)) => a.cmp(b),
            (Array(a), Array(b)) => {
                let unequal = a.iter().zip(b.iter()).map(|(a, b)| a.compare(b)).find(|o| o.is_ne());
                unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            _ => self.compare_mixed(other),
        }
    }

    /// Numbers of different kinds, and values that do not belong together.
    fn compare_mixed(&self, other: &Value) -> Ordering {
        if let (Some(a), Some(b)) = (self.exact(), other.exact()) {
            return a.compare(&b);
        }
        match (self.float(), other.float()) {
            (Some(a), Some(b)) => compare_floats(a, b),
            (Some(a), None) if other.rank() == self.rank() => compare_float_exact(a, other),
            (None, Some(b)) if other.rank() == self.rank() => compare_float_exact(b, self).reverse(),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Value::Float4(f) => Some(f64::from(*f)),
            Value::Float8(f) => Some(*f),
            _ => None,
        }
    }

    /// Kinds that compare with each other share a rank; NULL is last.
    fn rank(&self) -> u8 {
        match self {
            Value::Bool(_) => 0,
            Value::Int2(_) | Value::Int4(_) | Value::Int8(_) | Value::Oid(_) => 1,
            Value::Float4(_) | Value::Float8(_) | Value::Numeric(_) => 1,
            Value::Text(_) => 2,
            Value::Bytea(_) => 3,
            Value::Date(_) | Value::Timestamp(_) | Value::Timestamptz(_) => 4,
            Value::Interval(_) => 5,
            Value::Uuid(_) => 6,
            Value::Array(_) => 7,
            Value::Null => 8,
        }
    }

    /// A total order in which only identical values are equal: SQL's, then the representation.
    pub fn canonical(&self, other: &Value) -> Ordering {
        self.compare(other).then_with(|| self.representation(other))
    }

    fn representation(&self, other: &Value) -> Ordering {
        use Value::*;
        match (self, other) {
            (Numeric(a), Numeric(b)) => a.scale().cmp(&b.scale()),
            (Float4(a), Float4(b)) => a.to_bits().cmp(&b.to_bits()),
            (Float8(a), Float8(b)) => a.to_bits().cmp(&b.to_bits()),
            (Interval(a), Interval(b)) => (a.months, a.days, a.micros).cmp(&(b.months, b.days, b.micros)),
            (Array(a), Array(b)) => a
                .iter()
                .zip(b.iter())
                .map(|(a, b)| a.canonical(b))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal),
            _ => self.kind().cmp(&other.kind()),
        }
    }

    /// The variant's number.
    fn kind(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int2(_) => 2,
            Value::Int4(_) => 3,
            Value::Int8(_) => 4,
            Value::Float4(_) => 5,
            Value::Float8(_) => 6,
            Value::Numeric(_) => 7,
            Value::Text(_) => 8,
            Value::Bytea(_) => 9,
            Value::Date(_) => 10,
            Value::Timestamp(_) => 11,
            Value::Timestamptz(_) => 12,
            Value::Interval(_) => 13,
            Value::Uuid(_) => 14,
            Value::Oid(_) => 15,
            Value::Array(_) => 16,
        }
    }

    /// An integer (or oid) of any width.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int2(n) => Some(i64::from(*n)),
            Value::Int4(n) => Some(i64::from(*n)),
            Value::Int8(n) => Some(*n),
            Value::Oid(n) => Some(i64::from(*n)),
            _ => None,
        }
    }

    /// An integer or NUMERIC as NUMERIC.
    pub fn exact(&self) -> Option<Numeric> {
        match self {
            Value::Numeric(n) => Some(n.clone()),
            other => other.as_i64().map(Numeric::from),
        }
    }

    /// Any number as a double.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float4(f) => Some(f64::from(*f)),
            Value::Float8(f) => Some(*f),
            Value::Numeric(n) => Some(n.to_f64()),
            other => other.as_i64().map(|n| n as f64),
        }
    }
}

/// Of bytes: 1.0 and 1.00 differ, -0.0 and 0.0 differ, a NaN is itself.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        use Value::*;
        match (self, other) {
            (Null, Null) => true,
            (Bool(a), Bool(b)) => a == b,
            (Int2(a), Int2(b)) => a == b,
            (Int4(a), Int4(b)) => a == b,
            (Int8(a), Int8(b)) => a == b,
            (Float4(a), Float4(b)) => a.to_bits() == b.to_bits(),
            (Float8(a), Float8(b)) => a.to_bits() == b.to_bits(),
            (Numeric(a), Numeric(b)) => a == b,
            (Text(a), Text(b)) => a == b,
            (Bytea(a), Bytea(b)) => a == b,
            (Date(a), Date(b)) => a == b,
            (Timestamp(a), Timestamp(b)) | (Timestamptz(a), Timestamptz(b)) => a == b,
            (Interval(a), Interval(b)) => a == b,
            (Uuid(a), Uuid(b)) => a == b,
            (Oid(a), Oid(b)) => a == b,
            (Array(a), Array(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_value, samples};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_values_of_different_bytes() {
        let numeric = |t: &str| Value::Numeric(Numeric::parse(t).unwrap());
        let month = Value::Interval(Interval { months: 1, days: 0, micros: 0 });
        let days = Value::Interval(Interval { months: 0, days: 30, micros: 0 });
        for (a, b) in [
            (numeric("1.0"), numeric("1.00")),
            (Value::Float8(0.0), Value::Float8(-0.0)),
            (Value::Int2(3), Value::Int8(3)),
            (Value::Float4(1.5), Value::Float8(1.5)),
            (Value::Date(1), Value::Timestamp(86_400_000_000)),
            (month, days),
        ] {
            assert_eq!(a.compare(&b), Ordering::Equal, "{a:?} {b:?}");
            assert_ne!(a.canonical(&b), Ordering::Equal, "{a:?} {b:?}");
            assert_eq!(a.canonical(&b), b.canonical(&a).reverse());
            assert_ne!(a, b);
        }
    }

    #[test]
    fn nan_and_null_are_greatest() {
        assert_eq!(Value::Float8(f64::NAN).compare(&Value::Float8(f64::INFINITY)), Ordering::Greater);
        assert_eq!(Value::Float8(f64::NAN).compare(&Value::Float8(f64::NAN)), Ordering::Equal);
        assert_eq!(Value::Null.compare(&Value::Float8(f64::NAN)), Ordering::Greater);
    }

    #[test]
    fn both_orders_are_total_over_all_kinds() {
        let all = samples();
        for a in &all {
            for b in &all {
                assert_eq!(a.compare(b), b.compare(a).reverse(), "{a:?} {b:?}");
                assert_eq!(a.canonical(b) == Ordering::Equal, a == b, "{a:?} {b:?}");
                for c in &all {
                    if a.canonical(b).is_le() && b.canonical(c).is_le() {
                        assert!(a.canonical(c).is_le(), "{a:?} {b:?} {c:?}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn canonical_is_an_order(a in any_value(), b in any_value(), c in any_value()) {
            prop_assert_eq!(a.canonical(&b), b.canonical(&a).reverse());
            if a.canonical(&b).is_le() && b.canonical(&c).is_le() {
                prop_assert!(a.canonical(&c).is_le());
            }
            prop_assert_eq!(a.canonical(&b) == Ordering::Equal, a == b);
        }
    }
}
