//! One total order of values for merging, and exact sums for delta cells.
//!
//! SQL comparison calls some values equal that differ in bytes: 1.0 and 1.00, -0.0 and 0.0, '1 month' and '30 days'.
//! A merge must not care which of them came first, so ties of the SQL order are broken by what tells the values
//! apart (the scale, the sign bit, the fields). NaN is greatest, text is ordered by bytes. The order also covers values
//! of different types, so that a merge never fails; their relative order has no meaning.
//!
//! Sums are exact whatever the order of the additions: integers in 128 bits and beyond, decimals with the greatest scale
//! of all terms (`BigDecimal`'s own `+` drops a zero's scale and would make the result depend on the order). A sum
//! that leaves the integer type of its column is kept as a NUMERIC of scale 0 and returns to the type when it fits again.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;

use crate::value::{DataType, Interval, Numeric, Value};

/// The total order by which max and min cells and ties are decided. NULL is least.
pub fn total(a: &Value, b: &Value) -> Ordering {
    if let (Some(x), Some(y)) = (integer(a), integer(b)) {
        return x.cmp(&y).then_with(|| rank(a).cmp(&rank(b)));
    }
    match (a, b) {
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::Float4(x), Value::Float4(y)) => float(f64::from(*x), f64::from(*y)),
        (Value::Float8(x), Value::Float8(y)) => float(*x, *y),
        (Value::Numeric(x), Value::Numeric(y)) => numeric(x, y),
        (Value::Text(x), Value::Text(y)) => x.as_bytes().cmp(y.as_bytes()),
        (Value::Bytea(x), Value::Bytea(y)) => x.cmp(y),
        (Value::Date(x), Value::Date(y)) => x.cmp(y),
        (Value::Timestamp(x), Value::Timestamp(y)) | (Value::Timestamptz(x), Value::Timestamptz(y)) => {
            x.cmp(y)
        }
        (Value::Interval(x), Value::Interval(y)) => span(x)
            .cmp(&span(y))
            .then_with(|| (x.months, x.days, x.micros).cmp(&(y.months, y.days, y.micros))),
        (Value::Uuid(x), Value::Uuid(y)) => x.cmp(y),
        (Value::Oid(x), Value::Oid(y)) => x.cmp(y),
        (Value::Array(x), Value::Array(y)) => {
            let first = x.iter().zip(y.iter()).map(|(i, j)| total(i, j)).find(|o| o.is_ne());
            first.unwrap_or_else(|| x.len().cmp(&y.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
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

fn float(a: f64, b: f64) -> Ordering {
    let class = a.is_nan().cmp(&b.is_nan());
    class.then_with(|| a.partial_cmp(&b).unwrap_or(Ordering::Equal)).then_with(|| a.total_cmp(&b))
}

fn numeric(a: &Numeric, b: &Numeric) -> Ordering {
    match (&a.0, &b.0) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(x), Some(y)) => {
            x.cmp(y).then_with(|| x.fractional_digit_count().cmp(&y.fractional_digit_count()))
        }
    }
}

fn span(interval: &Interval) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * 86_400_000_000 + i128::from(interval.micros)
}

/// The value as an integer, if it is of an integer type.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int2(n) => Some(i64::from(*n)),
        Value::Int4(n) => Some(i64::from(*n)),
        Value::Int8(n) => Some(*n),
        _ => None,
    }
}

/// The greater; NULL gives way to anything.
pub(crate) fn max(a: &Value, b: &Value) -> Value {
    if total(a, b).is_ge() { a.clone() } else { b.clone() }
}

/// The lesser; NULL gives way to anything.
pub(crate) fn min(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Null, _) => b.clone(),
        (_, Value::Null) => a.clone(),
        _ if total(a, b).is_le() => a.clone(),
        _ => b.clone(),
    }
}

/// What a delta cell of type `ty` holds after adding `b` to `a`: exact, independent of the order of additions.
///
/// `ty` is None for a column that was dropped; the type is then what the values say. NULL counts as nothing; NaN stays.
pub fn add(a: &Value, b: &Value, ty: Option<&DataType>) -> Value {
    match (a, b) {
        (Value::Null, other) | (other, Value::Null) => return other.clone(),
        _ => {}
    }
    if let (Some(x), Some(y)) = (integer(a), integer(b)) {
        let sum = i128::from(x) + i128::from(y);
        let width = width(ty).or_else(|| width_of(a).max(width_of(b)));
        return match width {
            Some(width) => narrow(sum, width),
            None => decimal(BigInt::from(sum), 0),
        };
    }
    let (Some(x), Some(y)) = (exact(a), exact(b)) else { return not_a_number(a, b) };
    let (digits, scale) = sum(x, y);
    match width(ty) {
        Some(width) if scale == 0 => match i128::try_from(&digits) {
            Ok(n) => narrow(n, width),
            Err(_) => decimal(digits, 0),
        },
        _ => decimal(digits, scale),
    }
}

/// `-a`, in the same type where it fits.
pub fn negate(a: &Value) -> Value {
    match a {
        Value::Int2(n) => n.checked_neg().map_or_else(|| wide(-i128::from(*n)), Value::Int2),
        Value::Int4(n) => n.checked_neg().map_or_else(|| wide(-i128::from(*n)), Value::Int4),
        Value::Int8(n) => n.checked_neg().map_or_else(|| wide(-i128::from(*n)), Value::Int8),
        Value::Numeric(Numeric(Some(d))) => {
            let (digits, scale) = d.as_bigint_and_scale();
            decimal(-digits.into_owned(), scale)
        }
        other => other.clone(),
    }
}

/// The sign of a number: -1, 0, 1; NaN, NULL and what is no number count as 0.
pub fn sign(a: &Value) -> i8 {
    if let Some(n) = integer(a) {
        return n.signum() as i8;
    }
    match a {
        Value::Numeric(Numeric(Some(d))) => match d.sign() {
            bigdecimal::num_bigint::Sign::Minus => -1,
            bigdecimal::num_bigint::Sign::NoSign => 0,
            bigdecimal::num_bigint::Sign::Plus => 1,
        },
        _ => 0,
    }
}

/// Whether the value is NUMERIC's NaN.
pub(crate) fn is_nan(a: &Value) -> bool {
    matches!(a, Value::Numeric(Numeric(None)))
}

/// The exact decimal, if the value is an integer or a NUMERIC other than NaN.
pub(crate) fn exact(value: &Value) -> Option<Cow<'_, BigDecimal>> {
    match value {
        Value::Numeric(Numeric(Some(d))) => Some(Cow::Borrowed(d.as_ref())),
        _ => integer(value).map(|n| Cow::Owned(BigDecimal::new(BigInt::from(n), 0))),
    }
}

fn sum(x: Cow<'_, BigDecimal>, y: Cow<'_, BigDecimal>) -> (BigInt, i64) {
    let (xs, ys) = (x.fractional_digit_count(), y.fractional_digit_count());
    let scale = xs.max(ys);
    let (x, _) = x.with_scale(scale).into_bigint_and_scale();
    let (y, _) = y.with_scale(scale).into_bigint_and_scale();
    (x + y, scale)
}

fn not_a_number(a: &Value, b: &Value) -> Value {
    match (is_nan(a), is_nan(b)) {
        (true, _) => a.clone(),
        (_, true) => b.clone(),
        _ => max(a, b), // no number at all: cannot happen by SQL, and must not depend on the order
    }
}

fn wide(n: i128) -> Value {
    decimal(BigInt::from(n), 0)
}

fn decimal(digits: BigInt, scale: i64) -> Value {
    Value::Numeric(Numeric(Some(Arc::new(BigDecimal::new(digits, scale)))))
}

/// Bits of an integer type.
pub(crate) fn width(ty: Option<&DataType>) -> Option<u8> {
    match ty? {
        DataType::Int2 => Some(16),
        DataType::Int4 => Some(32),
        DataType::Int8 => Some(64),
        _ => None,
    }
}

fn width_of(value: &Value) -> Option<u8> {
    match value {
        Value::Int2(_) => Some(16),
        Value::Int4(_) => Some(32),
        Value::Int8(_) => Some(64),
        _ => None,
    }
}

fn narrow(n: i128, width: u8) -> Value {
    let fits = match width {
        16 => i16::try_from(n).ok().map(Value::Int2),
        32 => i32::try_from(n).ok().map(Value::Int4),
        _ => i64::try_from(n).ok().map(Value::Int8),
    };
    fits.unwrap_or_else(|| wide(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Value {
        Value::Numeric(Numeric(Some(Arc::new(text.parse().unwrap()))))
    }

    #[test]
    fn equal_values_of_different_bytes_are_ordered() {
        assert_eq!(total(&n("1.0"), &n("1.00")), Ordering::Less);
        assert_eq!(total(&n("1.01"), &n("1.1")), Ordering::Less);
        assert_eq!(total(&Value::Float8(-0.0), &Value::Float8(0.0)), Ordering::Less);
        assert_eq!(total(&Value::Float8(f64::NAN), &Value::Float8(f64::INFINITY)), Ordering::Greater);
        assert_eq!(total(&Value::Float8(-f64::NAN), &Value::Float8(f64::INFINITY)), Ordering::Greater);
        assert_eq!(total(&Value::Numeric(Numeric(None)), &n("9e99")), Ordering::Greater);
        let month = Value::Interval(Interval { months: 1, days: 0, micros: 0 });
        let days = Value::Interval(Interval { months: 0, days: 30, micros: 0 });
        assert_eq!(total(&month, &days), Ordering::Greater);
    }

    #[test]
    fn null_gives_way() {
        assert_eq!(max(&Value::Null, &Value::Int4(-5)), Value::Int4(-5));
        assert_eq!(min(&Value::Int4(-5), &Value::Null), Value::Int4(-5));
        assert_eq!(min(&Value::Int4(-5), &Value::Int4(3)), Value::Int4(-5));
    }

    #[test]
    fn sums_do_not_depend_on_the_order() {
        let terms = [n("0.50"), n("-0.50"), n("0.000"), n("1")];
        let forward = terms.iter().fold(n("0"), |a, b| add(&a, b, Some(&DataType::Numeric(None))));
        let back = terms.iter().rev().fold(n("0"), |a, b| add(&a, b, Some(&DataType::Numeric(None))));
        assert_eq!(forward, back);
        assert_eq!(forward, n("1.000"));
    }

    #[test]
    fn a_sum_leaves_its_type_and_returns() {
        let ty = Some(DataType::Int2);
        let over = add(&Value::Int2(i16::MAX), &Value::Int2(1), ty.as_ref());
        assert_eq!(over, n("32768"));
        assert_eq!(add(&over, &Value::Int4(-1), ty.as_ref()), Value::Int2(i16::MAX));
        let far = add(&over, &Value::Int8(i64::MAX), ty.as_ref());
        assert_eq!(add(&far, &negate(&Value::Int8(i64::MAX)), ty.as_ref()), over);
        assert_eq!(negate(&Value::Int2(i16::MIN)), n("32768"));
    }
}
