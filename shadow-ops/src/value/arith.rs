//! The arithmetic of delta columns: exact, and total.
//!
//! Applying a shadow operation never fails, so a sum that leaves its column's type is kept, as NUMERIC, and comes back to
//! the type when later sums do; SQL answers 22003 to whoever reads it meanwhile ([`fits`]). Addition is exact, so it is
//! commutative and associative, which is why deltas need no order. NULL and values that are not numbers count as zero
//! (a delta column is NOT NULL and numeric; this only keeps damaged input from stopping a site).

use super::numeric::pow10;
use super::{DataType, Numeric, Value};

/// An integer, whether kept in the type or as NUMERIC beyond it.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Numeric(n) => n.to_i128(),
        Value::Null => Some(0),
        other => other.as_i64().map(i128::from),
    }
}

/// An integer in the column's type; NUMERIC if it does not fit.
pub fn integer_value(ty: &DataType, n: i128) -> Value {
    let narrow = match ty {
        DataType::Int2 => i16::try_from(n).ok().map(Value::Int2),
        DataType::Int4 => i32::try_from(n).ok().map(Value::Int4),
        DataType::Int8 => i64::try_from(n).ok().map(Value::Int8),
        _ => None,
    };
    narrow.unwrap_or_else(|| Value::Numeric(Numeric::from(n)))
}

fn combine(
    ty: &DataType,
    a: &Value,
    b: &Value,
    small: fn(i128, i128) -> Option<i128>,
    exact: fn(&Numeric, &Numeric) -> Numeric,
) -> Value {
    if ty.is_integer()
        && let (Some(x), Some(y)) = (integer(a), integer(b))
        && let Some(n) = small(x, y)
    {
        return integer_value(ty, n);
    }
    let number = |v: &Value| v.exact().unwrap_or_else(|| Numeric::from(0i64));
    let result = exact(&number(a), &number(b));
    match result.to_i128() {
        Some(n) if ty.is_integer() => integer_value(ty, n),
        _ => Value::Numeric(result),
    }
}

/// a + b in a column of a type.
pub fn add(ty: &DataType, a: &Value, b: &Value) -> Value {
    combine(ty, a, b, i128::checked_add, Numeric::add)
}

/// a - b in a column of a type.
pub fn sub(ty: &DataType, a: &Value, b: &Value) -> Value {
    combine(ty, a, b, i128::checked_sub, Numeric::sub)
}

/// -a in a column of a type.
pub fn neg(ty: &DataType, a: &Value) -> Value {
    match a {
        Value::Numeric(n) if !ty.is_integer() => Value::Numeric(n.neg()),
        _ => sub(ty, &integer_value(ty, 0), a),
    }
}

/// The sum of several, starting from zero.
pub fn sum<'v>(ty: &DataType, values: impl IntoIterator<Item = &'v Value>) -> Value {
    let zero = integer_value(ty, 0);
    values.into_iter().fold(zero, |sum, v| add(ty, &sum, v))
}

/// Zero, of any kind of number?
pub fn is_zero(value: &Value) -> bool {
    value.exact().is_some_and(|n| n.is_zero())
}

/// Whether a number is within its column's type: an integer that has its width, a NUMERIC(p,s) of at most p - s digits before
/// the point. NULL and other kinds of values fit.
pub fn fits(ty: &DataType, value: &Value) -> bool {
    match (ty, value) {
        (DataType::Int2 | DataType::Int4 | DataType::Int8, _) => {
            value.is_null()
                || integer(value).is_some_and(|n| !matches!(integer_value(ty, n), Value::Numeric(_)))
        }
        (DataType::Numeric(Some((precision, scale))), Value::Numeric(n)) => {
            n.decimal().is_none_or(|d| d.abs() < power(i64::from(*precision) - i64::from(*scale)))
        }
        (DataType::Numeric(None), Value::Numeric(n)) => n.in_limits(),
        _ => true,
    }
}

/// 10^n, also for negative n.
fn power(n: i64) -> bigdecimal::BigDecimal {
    if n >= 0 { bigdecimal::BigDecimal::new(pow10(n), 0) } else { bigdecimal::BigDecimal::new(1.into(), -n) }
}

/// Whether a number lies past half of its column's range: an add that takes the value seen there is red.
pub fn past_half(ty: &DataType, value: &Value) -> bool {
    let half = match ty {
        DataType::Int2 => i128::from(i16::MAX) / 2,
        DataType::Int4 => i128::from(i32::MAX) / 2,
        DataType::Int8 => i128::from(i64::MAX) / 2,
        DataType::Numeric(Some((precision, scale))) => {
            let Some(d) = value.exact().and_then(|n| n.decimal().map(|d| d.abs())) else { return true };
            return d * 2u8 >= power(i64::from(*precision) - i64::from(*scale));
        }
        _ => return value.exact().is_some_and(|n| n.is_nan()),
    };
    integer(value).is_none_or(|n| n.unsigned_abs() > half as u128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numeric(text: &str) -> Value {
        Value::Numeric(Numeric::parse(text).unwrap())
    }

    #[test]
    fn a_sum_leaves_its_type_and_comes_back() {
        let ty = DataType::Int4;
        let over = add(&ty, &Value::Int4(i32::MAX), &Value::Int4(1));
        assert_eq!(over, numeric("2147483648"));
        assert!(!fits(&ty, &over));
        assert_eq!(add(&ty, &over, &Value::Int4(-1)), Value::Int4(i32::MAX));
        assert_eq!(neg(&DataType::Int2, &Value::Int2(i16::MIN)), numeric("32768"));
        assert_eq!(sub(&DataType::Int8, &Value::Int8(1), &Value::Int4(3)), Value::Int8(-2));
    }

    #[test]
    fn numeric_ranges() {
        let ty = DataType::Numeric(Some((4, 2)));
        assert!(fits(&ty, &numeric("99.99")) && !fits(&ty, &numeric("100.00")) && fits(&ty, &numeric("NaN")));
        assert!(past_half(&ty, &numeric("50")) && !past_half(&ty, &numeric("-49.99")));
        assert!(past_half(&ty, &numeric("-50")));
        assert!(fits(&DataType::Numeric(None), &numeric("1e100")));
        assert!(
            past_half(&DataType::Int2, &Value::Int2(16384))
                && !past_half(&DataType::Int2, &Value::Int2(-16383))
        );
    }

    proptest! {
        #[test]
        fn addition_needs_no_order(mut list in proptest::collection::vec(any::<i32>(), 0..8)) {
            let ty = DataType::Int4;
            let values: Vec<Value> = list.iter().map(|n| Value::Int4(*n)).collect();
            let forward = sum(&ty, &values);
            let exact: i128 = list.iter().map(|n| i128::from(*n)).sum();
            prop_assert_eq!(&forward, &integer_value(&ty, exact));
            list.reverse();
            let values: Vec<Value> = list.iter().map(|n| Value::Int4(*n)).collect();
            prop_assert_eq!(sum(&ty, &values), forward);
        }
    }
}
