//! Money and dates in the protocol's binary form, without a decimal or calendar library.

use std::error::Error;

use bytes::{Buf, BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

type Result<T> = std::result::Result<T, Box<dyn Error + Sync + Send>>;

/// A NUMERIC with two decimal places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(pub i64);

impl std::fmt::Display for Cents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100)
    }
}

const POSITIVE: u16 = 0;
const NEGATIVE: u16 = 0x4000;

/// Digits to base 10,000, the weight of the first, sign, decimal places.
impl ToSql for Cents {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull> {
        // Two decimal places become four, so that the point stands between digits to base 10,000.
        let mut rest = u128::from(self.0.unsigned_abs()) * 100;
        let mut digits = Vec::new();
        while rest > 0 {
            digits.push((rest % 10_000) as i16);
            rest /= 10_000;
        }
        let weight = digits.len() as i16 - 2;
        digits.reverse();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        out.put_i16(digits.len() as i16);
        out.put_i16(if digits.is_empty() { 0 } else { weight });
        out.put_u16(if self.0 < 0 { NEGATIVE } else { POSITIVE });
        out.put_i16(2);
        digits.into_iter().for_each(|digit| out.put_i16(digit));
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Cents {
    fn from_sql(_: &Type, mut raw: &'a [u8]) -> Result<Self> {
        if raw.len() < 8 {
            return Err("a NUMERIC is cut off".into());
        }
        let (count, weight, sign, _places) = (raw.get_i16(), raw.get_i16(), raw.get_u16(), raw.get_i16());
        if sign != POSITIVE && sign != NEGATIVE {
            return Err("a NUMERIC that is no number".into());
        }
        if count < 0 || raw.len() != count as usize * 2 {
            return Err("a NUMERIC of the wrong length".into());
        }
        let mut value = 0i128;
        for i in 0..i32::from(count) {
            // In units of 10^-4: the digit of weight -1 counts once.
            let power = i32::from(weight) - i + 1;
            let digit = i128::from(raw.get_i16());
            match u32::try_from(power) {
                Ok(power) if power <= 6 => value += digit * 10_000i128.pow(power),
                Ok(_) => return Err("a NUMERIC too large for money".into()),
                Err(_) => return Err("a NUMERIC with more than four decimal places".into()),
            }
        }
        if value % 100 != 0 {
            return Err("a NUMERIC with more than two decimal places".into());
        }
        let value = i64::try_from(value / 100)?;
        Ok(Cents(if sign == NEGATIVE { -value } else { value }))
    }

    accepts!(NUMERIC);
}

/// A DATE: days since 2000-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub i32);

impl ToSql for Date {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull> {
        out.put_i32(self.0);
        Ok(IsNull::No)
    }

    accepts!(DATE);
    to_sql_checked!();
}

/// YYYY-MM-DD.
impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Years from March, in eras of 400 years: leap days fall at their ends.
        let days = i64::from(self.0) + 730_425; // since 0000-03-01
        let era = days.div_euclid(146_097);
        let day = days.rem_euclid(146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
        write!(f, "{:04}-{month:02}-{day:02}", year + era * 400)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(cents: i64) -> Vec<u8> {
        let mut out = BytesMut::new();
        assert!(matches!(Cents(cents).to_sql(&Type::NUMERIC, &mut out).unwrap(), IsNull::No));
        out.to_vec()
    }

    #[test]
    fn money_survives_the_wire() {
        for cents in [0, 1, -1, 10, 99, 100, 12_345, 1_000_000, 99_999_999, -123_456_789_012, i64::MAX] {
            let raw = bytes(cents);
            assert_eq!(Cents::from_sql(&Type::NUMERIC, &raw).unwrap(), Cents(cents));
        }
        // 123.45 is the digits 123 and 4500.
        assert_eq!(bytes(12_345), [0, 2, 0, 0, 0, 0, 0, 2, 0, 123, 0x11, 0x94]);
        assert_eq!(bytes(0), [0, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn a_damaged_numeric_is_an_error() {
        for raw in [&[0u8, 1][..], &[0, 2, 0, 0, 0, 0, 0, 2, 0, 1], &[0, 0, 0, 0, 0xc0, 0, 0, 0]] {
            assert!(Cents::from_sql(&Type::NUMERIC, raw).is_err());
        }
    }

    #[test]
    fn dates_read_as_dates() {
        let shown = [0, 59, 60, 365, 366, -1, 9_497].map(|days| Date(days).to_string());
        let expected = [
            "2000-01-01",
            "2000-02-29",
            "2000-03-01",
            "2000-12-31",
            "2001-01-01",
            "1999-12-31",
            "2026-01-01",
        ];
        assert_eq!(shown, expected);
    }
}
