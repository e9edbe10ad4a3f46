//! NUMERIC: a decimal of any size with its display scale, or NaN.
//!
//! A [`Numeric`] keeps the scale it was written with (1.00 is not the bytes of 1.0), as PostgreSQL prints it; order and
//! canonical keys ignore it. The scale is never negative and never above [`MAX_SCALE`], and there are never more than
//! [`MAX_DIGITS`] digits before the point: whatever makes a Numeric from outside checks that, so a damaged or hostile
//! exponent cannot make us allocate. Infinity is not supported.
//!
//! Serialised as `Option<(scale, big-endian two's complement mantissa)>`: 1.25 takes four bytes in postcard.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, ToPrimitive, Zero};
use serde::{Deserialize, Serialize};

/// Digits after the point, at most (PostgreSQL's limit).
pub const MAX_SCALE: i64 = 16383;
/// Digits before the point, at most (PostgreSQL's limit).
pub const MAX_DIGITS: i64 = 131072;

/// NUMERIC: a decimal with its display scale, or NaN (None).
#[derive(Clone, Debug)]
pub struct Numeric(pub Option<Arc<BigDecimal>>);

impl Numeric {
    /// Not a number.
    pub const NAN: Numeric = Numeric(None);

    /// From a decimal; a negative scale is brought to 0.
    pub fn new(decimal: BigDecimal) -> Numeric {
        let decimal = if decimal.fractional_digit_count() < 0 { decimal.with_scale(0) } else { decimal };
        Numeric(Some(Arc::new(decimal)))
    }

    /// mantissa × 10^-scale; the scale is not negative.
    pub fn from_parts(mantissa: impl Into<BigInt>, scale: u16) -> Numeric {
        Numeric(Some(Arc::new(BigDecimal::new(mantissa.into(), i64::from(scale)))))
    }

    /// NaN?
    pub fn is_nan(&self) -> bool {
        self.0.is_none()
    }

    /// The decimal; None for NaN.
    pub fn decimal(&self) -> Option<&BigDecimal> {
        self.0.as_deref()
    }

    /// Digits after the point; 0 for NaN.
    pub fn scale(&self) -> u16 {
        self.decimal().map_or(0, |d| d.fractional_digit_count().clamp(0, MAX_SCALE) as u16)
    }

    /// The digits and the scale; None for NaN.
    pub fn parts(&self) -> Option<(BigInt, u16)> {
        self.decimal().map(|d| (d.as_bigint_and_scale().0.into_owned(), self.scale()))
    }

    /// Reads `-12.50`, `1e-3`, `NaN`; None if it is not a number, or beyond the limits of NUMERIC.
    pub fn parse(text: &str) -> Option<Numeric> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("nan") {
            return Some(Numeric::NAN);
        }
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(i) => (&text[..i], parse_exponent(&text[i + 1..])?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        if whole.len() + fraction.len() > (MAX_DIGITS + MAX_SCALE) as usize {
            return None;
        }
        let scale = fraction.len() as i64 - exponent;
        let joined = format!("{whole}{fraction}");
        let significant = joined.trim_start_matches('0').len() as i64;
        if scale > MAX_SCALE || (significant > 0 && significant - scale > MAX_DIGITS) {
            return None;
        }
        let mut value = BigInt::parse_bytes(joined.as_bytes(), 10)?;
        if negative {
            value = -value;
        }
        if significant == 0 {
            return Some(Numeric::from_parts(0, scale.max(0) as u16));
        }
        Some(Numeric::new(BigDecimal::new(value, scale)))
    }

    /// Whether the number is within the limits of the type itself.
    pub fn in_limits(&self) -> bool {
        self.decimal().is_none_or(|d| {
            let scale = d.fractional_digit_count();
            (0..=MAX_SCALE).contains(&scale) && (d.is_zero() || d.digits() as i64 - scale <= MAX_DIGITS)
        })
    }

    /// Digits before the point, without leading zeros (0 for 0.5).
    pub fn whole_digits(&self) -> i64 {
        match self.decimal() {
            Some(d) if !d.is_zero() => (d.digits() as i64 - d.fractional_digit_count()).max(0),
            _ => 0,
        }
    }

    /// Rounded half away from zero to `scale` digits after the point (before it, if negative); the result's display scale
    /// is `max(scale, 0)`.
    pub fn round(&self, scale: i64) -> Numeric {
        self.rescale(scale, true)
    }

    /// Cut towards zero.
    pub fn truncate(&self, scale: i64) -> Numeric {
        self.rescale(scale, false)
    }

    fn rescale(&self, scale: i64, round: bool) -> Numeric {
        let Some(decimal) = self.decimal() else { return Numeric::NAN };
        let have = decimal.fractional_digit_count();
        let (mantissa, _) = decimal.as_bigint_and_scale();
        if scale >= have {
            let scale = scale.min(MAX_SCALE).max(have);
            return Numeric::new(BigDecimal::new(mantissa.into_owned() * pow10(scale - have), scale));
        }
        if have - scale > mantissa.bits() as i64 + 2 {
            return Numeric::from_parts(0, scale.max(0) as u16); // far below the last digit kept
        }
        let divisor = pow10(have - scale);
        let mut quotient = &*mantissa / &divisor;
        let rest = &*mantissa - &quotient * &divisor;
        if round && rest.magnitude() * 2u8 >= *divisor.magnitude() {
            quotient += if mantissa.sign() == Sign::Minus { -1 } else { 1 };
        }
        Numeric::new(BigDecimal::new(quotient, scale))
    }

    /// The integer it is; None if it has a fraction, is NaN or does not fit.
    pub fn to_i128(&self) -> Option<i128> {
        let decimal = self.decimal()?;
        let (mantissa, scale) = decimal.as_bigint_and_scale();
        if scale == 0 {
            return mantissa.to_i128();
        }
        let truncated = self.truncate(0);
        (truncated.compare(self) == Ordering::Equal).then(|| truncated.to_i128()).flatten()
    }

    /// The nearest double (NaN for NaN; infinite if too large).
    pub fn to_f64(&self) -> f64 {
        match self.decimal() {
            None => f64::NAN,
            // Through text, which rounds correctly.
            Some(_) => self.to_string().parse().unwrap_or(f64::NAN),
        }
    }

    /// SQL order: by value, NaN equal to itself and greatest.
    pub fn compare(&self, other: &Numeric) -> Ordering {
        match (self.decimal(), other.decimal()) {
            (None, None) => Ordering::Equal,
            (None, _) => Ordering::Greater,
            (_, None) => Ordering::Less,
            (Some(a), Some(b)) => {
                let ((a, a_scale), (b, b_scale)) = (a.as_bigint_and_scale(), b.as_bigint_and_scale());
                if a_scale == b_scale {
                    return a.cmp(&b);
                }
                if a.sign() != b.sign() {
                    return a.sign().cmp(&b.sign());
                }
                let scale = a_scale.max(b_scale);
                (&*a * pow10(scale - a_scale)).cmp(&(&*b * pow10(scale - b_scale)))
            }
        }
    }

    /// The sum; its scale is the greater one.
    pub fn add(&self, other: &Numeric) -> Numeric {
        self.combine(other, |a, b| a + b)
    }

    /// The difference; its scale is the greater one.
    pub fn sub(&self, other: &Numeric) -> Numeric {
        self.combine(other, |a, b| a - b)
    }

    fn combine(&self, other: &Numeric, f: impl Fn(BigInt, BigInt) -> BigInt) -> Numeric {
        let (Some((a, a_scale)), Some((b, b_scale))) = (self.parts(), other.parts()) else {
            return Numeric::NAN;
        };
        let scale = a_scale.max(b_scale);
        let a = if a_scale == scale { a } else { a * pow10(i64::from(scale - a_scale)) };
        let b = if b_scale == scale { b } else { b * pow10(i64::from(scale - b_scale)) };
        Numeric::from_parts(f(a, b), scale)
    }

    /// The product; its scale is the sum of the scales, cut to the limit.
    pub fn mul(&self, other: &Numeric) -> Numeric {
        let (Some((a, a_scale)), Some((b, b_scale))) = (self.parts(), other.parts()) else {
            return Numeric::NAN;
        };
        let scale = i64::from(a_scale) + i64::from(b_scale);
        let product = Numeric::new(BigDecimal::new(a * b, scale));
        if scale > MAX_SCALE { product.round(MAX_SCALE) } else { product }
    }

    /// The negation.
    pub fn neg(&self) -> Numeric {
        self.parts().map_or(Numeric::NAN, |(mantissa, scale)| Numeric::from_parts(-mantissa, scale))
    }

    /// Below zero?
    pub fn is_negative(&self) -> bool {
        self.decimal().is_some_and(|d| d.sign() == Sign::Minus)
    }

    /// Zero, of any scale?
    pub fn is_zero(&self) -> bool {
        self.decimal().is_some_and(Zero::is_zero)
    }
}

/// 10^n for n ≥ 0.
pub fn pow10(n: i64) -> BigInt {
    const SMALL: u32 = 38;
    let n = n.max(0) as u32;
    if n <= SMALL { BigInt::from(10i128.pow(n)) } else { BigInt::from(10).pow(n) }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((mantissa, scale)) = self.parts() else { return f.write_str("NaN") };
        let digits = mantissa.magnitude().to_string();
        if mantissa.sign() == Sign::Minus {
            f.write_str("-")?;
        }
        let scale = usize::from(scale);
        if scale == 0 {
            return f.write_str(&digits);
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{whole}.{fraction}")
    }
}

impl From<i64> for Numeric {
    fn from(n: i64) -> Numeric {
        Numeric::from_parts(n, 0)
    }
}

impl From<i128> for Numeric {
    fn from(n: i128) -> Numeric {
        Numeric::from_parts(n, 0)
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => a.as_bigint_and_scale() == b.as_bigint_and_scale(),
            _ => false,
        }
    }
}

impl Eq for Numeric {}

impl Serialize for Numeric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts().map(|(m, scale)| (scale, m.to_signed_bytes_be())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Numeric {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Numeric, D::Error> {
        let Some((scale, bytes)) = Option::<(u16, Vec<u8>)>::deserialize(deserializer)? else {
            return Ok(Numeric::NAN);
        };
        // log10(2) < 0.302: a cheap bound before anything is computed from the bytes.
        let most = (MAX_DIGITS + MAX_SCALE) as usize;
        if i64::from(scale) > MAX_SCALE || bytes.len() > most / 2 {
            return Err(serde::de::Error::custom("NUMERIC beyond its limits"));
        }
        Ok(Numeric::from_parts(BigInt::from_signed_bytes_be(&bytes), scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Numeric {
        Numeric::parse(text).unwrap_or_else(|| panic!("not numeric: {text}"))
    }

    #[test]
    fn text_round_trip() {
        for text in ["0", "0.00", "1.50", "-1.5", "-0.001", "12345678901234567890.123", "NaN"] {
            assert_eq!(n(text).to_string(), text);
        }
        for (text, canonical) in
            [("1e3", "1000"), ("1.5e-3", "0.0015"), (".5", "0.5"), ("5.", "5"), ("-0.0", "0.0")]
        {
            assert_eq!(n(text).to_string(), canonical, "{text}");
        }
        for bad in
            ["", "-", ".", "1e", "e5", "1e9999999999", "1e131073", "1e-16384", "0x1", "1_0", "1.2.3", "--1"]
        {
            assert!(Numeric::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        for (text, scale, want) in [
            ("2.5", 0, "3"),
            ("-2.5", 0, "-3"),
            ("2.449", 1, "2.4"),
            ("2.45", 1, "2.5"),
            ("1250", -2, "1300"),
            ("49", -2, "0"),
            ("50", -2, "100"),
            ("1", 3, "1.000"),
            ("0.0004", 2, "0.00"),
        ] {
            assert_eq!(n(text).round(scale).to_string(), want, "round({text}, {scale})");
        }
        assert_eq!(n("-2.9").truncate(0).to_string(), "-2");
    }

    #[test]
    fn arithmetic_keeps_scales() {
        assert_eq!(n("1.50").add(&n("1")).to_string(), "2.50");
        assert_eq!(n("1.5").sub(&n("1.50")).to_string(), "0.00");
        assert_eq!(n("1.5").mul(&n("2.00")).to_string(), "3.000");
        assert_eq!(n("1.00").compare(&n("1")), Ordering::Equal);
        assert_ne!(n("1.00"), n("1"));
        assert_eq!(n("NaN").compare(&n("1e100")), Ordering::Greater);
    }

    #[test]
    fn bytes_are_compact_and_checked() {
        let bytes = postcard::to_allocvec(&n("1.25")).unwrap();
        assert_eq!(bytes, [1, 2, 1, 125]);
        for text in ["0", "-1.5", "123456789012345678901234567890.5", "NaN"] {
            let bytes = postcard::to_allocvec(&n(text)).unwrap();
            assert_eq!(postcard::from_bytes::<Numeric>(&bytes).unwrap(), n(text));
        }
        assert!(postcard::from_bytes::<Numeric>(&[1, 0xff, 0xff, 3, 1, 1]).is_err());
    }
}
