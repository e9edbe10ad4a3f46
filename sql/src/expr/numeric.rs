//! NUMERIC beyond addition: division, roots, logarithms, powers, with the result scales that PostgreSQL chooses.
//!
//! PostgreSQL aims at 16 significant digits and never fewer than the inputs' scales. Its estimates count in digits of base
//! 10,000; `weight` reproduces them, since they decide how many digits are printed. The functions themselves are
//! computed on integers scaled by a power of ten, with guard digits, and rounded once.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{Signed, ToPrimitive, Zero};

use gemini_shadow_ops::Numeric;
use gemini_shadow_ops::value::numeric::pow10;

use crate::error::{Result, SqlError};
use crate::sqlstate;

/// The significant digits PostgreSQL aims at.
const MIN_DIGITS: i64 = 16;
/// The greatest scale it chooses by itself.
const MAX_DISPLAY_SCALE: i64 = 1000;
/// Digits before the point of a result, at most.
const MAX_WHOLE: i64 = 131_072;

/// 22012.
pub fn division_by_zero() -> SqlError {
    SqlError::new(sqlstate::DIVISION_BY_ZERO, "division by zero")
}

/// 22003.
pub fn overflow() -> SqlError {
    SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

/// Within the type's limits, or 22003.
pub fn checked(n: Numeric) -> Result<Numeric> {
    if n.in_limits() { Ok(n) } else { Err(overflow()) }
}

/// (weight, first digit) in base 10,000: the number is about first × 10000^weight. Zero is (0, 0).
fn weight(n: &Numeric) -> (i64, i64) {
    let Some((mantissa, scale)) = n.parts() else { return (0, 0) };
    if mantissa.is_zero() {
        return (0, 0);
    }
    let digits = mantissa.magnitude().to_string();
    let top = digits.len() as i64 - i64::from(scale) - 1;
    let weight = top.div_euclid(4);
    let take = (top.rem_euclid(4) + 1) as usize;
    let head: String = digits.chars().chain("0000".chars()).take(take).collect();
    (weight, head.parse().unwrap_or(0))
}

fn clamp_scale(scale: i64, inputs: &[&Numeric]) -> i64 {
    let least = inputs.iter().map(|n| i64::from(n.scale())).max().unwrap_or(0);
    scale.max(least).clamp(0, MAX_DISPLAY_SCALE)
}

/// The scale of a quotient.
pub fn division_scale(a: &Numeric, b: &Numeric) -> i64 {
    let ((weight_a, first_a), (weight_b, first_b)) = (weight(a), weight(b));
    let mut quotient = weight_a - weight_b;
    if first_a <= first_b {
        quotient -= 1;
    }
    clamp_scale(MIN_DIGITS - quotient * 4, &[a, b])
}

/// a ÷ b rounded to a scale.
pub fn divide_to(a: &Numeric, b: &Numeric, scale: i64) -> Result<Numeric> {
    let (Some((x, x_scale)), Some((y, y_scale))) = (a.parts(), b.parts()) else { return Ok(Numeric::NAN) };
    if y.is_zero() {
        return Err(division_by_zero());
    }
    // x / 10^xs ÷ (y / 10^ys) × 10^scale
    let shift = scale + i64::from(y_scale) - i64::from(x_scale);
    let (numerator, denominator) = if shift >= 0 { (x * pow10(shift), y) } else { (x, y * pow10(-shift)) };
    Ok(Numeric::from_parts(divide_rounded(&numerator, &denominator), scale as u16))
}

/// Half away from zero.
fn divide_rounded(a: &BigInt, b: &BigInt) -> BigInt {
    let quotient = a / b;
    let rest: BigInt = a - &quotient * b;
    if rest.abs() * 2 >= b.abs() {
        let up = if a.is_negative() == b.is_negative() { 1 } else { -1 };
        quotient + up
    } else {
        quotient
    }
}

/// a / b.
pub fn divide(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    if a.is_nan() || b.is_nan() {
        return Ok(Numeric::NAN);
    }
    divide_to(a, b, division_scale(a, b))
}

/// Integer quotient.
pub fn div(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Some((x, x_scale)), Some((y, y_scale))) = (a.parts(), b.parts()) else { return Ok(Numeric::NAN) };
    if y.is_zero() {
        return Err(division_by_zero());
    }
    let scale = x_scale.max(y_scale);
    let x = x * pow10(i64::from(scale - x_scale));
    let y = y * pow10(i64::from(scale - y_scale));
    Ok(Numeric::from_parts(x / y, 0))
}

/// Remainder, with the sign of a.
pub fn remainder(a: &Numeric, b: &Numeric) -> Result<Numeric> {
    let (Some((x, x_scale)), Some((y, y_scale))) = (a.parts(), b.parts()) else { return Ok(Numeric::NAN) };
    if y.is_zero() {
        return Err(division_by_zero());
    }
    let scale = x_scale.max(y_scale);
    let x = x * pow10(i64::from(scale - x_scale));
    let y = y * pow10(i64::from(scale - y_scale));
    Ok(Numeric::from_parts(x % y, scale))
}

/// Greatest common divisor.
pub fn gcd(a: &Numeric, b: &Numeric) -> Numeric {
    let (Some((x, x_scale)), Some((y, y_scale))) = (a.parts(), b.parts()) else { return Numeric::NAN };
    let scale = x_scale.max(y_scale);
    let mut x = (x * pow10(i64::from(scale - x_scale))).abs();
    let mut y = (y * pow10(i64::from(scale - y_scale))).abs();
    while !y.is_zero() {
        (x, y) = (y.clone(), x % y);
    }
    Numeric::from_parts(x, scale)
}

/// floor, ceil.
pub fn floor(n: &Numeric, up: bool) -> Numeric {
    let cut = n.truncate(0);
    let (rounded_down, rounded_up) = (n.compare(&cut).is_lt(), n.compare(&cut).is_gt());
    match (up, rounded_down, rounded_up) {
        (false, true, _) => cut.sub(&Numeric::from(1i64)),
        (true, _, true) => cut.add(&Numeric::from(1i64)),
        _ => cut,
    }
}

/// Square root.
pub fn sqrt(n: &Numeric) -> Result<Numeric> {
    let Some((mantissa, have)) = n.parts() else { return Ok(Numeric::NAN) };
    if mantissa.is_negative() {
        return Err(SqlError::new(
            sqlstate::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            "cannot take square root of a negative number",
        ));
    }
    let (w, _) = weight(n);
    let half = if w >= 0 { w * 2 + 1 } else { 1 - ((-w) * 4).div_euclid(2) };
    let scale = clamp_scale(MIN_DIGITS - half, &[n]);
    Ok(sqrt_to(&mantissa, i64::from(have), scale))
}

/// Square root of mantissa / 10^have, to a scale.
pub fn sqrt_to(mantissa: &BigInt, have: i64, scale: i64) -> Numeric {
    // One more digit than asked for, then rounded.
    let shift = 2 * (scale + 1) - have;
    let scaled = if shift >= 0 { mantissa * pow10(shift) } else { mantissa / pow10(-shift) };
    Numeric::from_parts(scaled.sqrt(), (scale + 1) as u16).round(scale)
}

/// A fixed-point number: an integer over 10^scale.
struct Fixed {
    scale: i64,
    one: BigInt,
}

impl Fixed {
    fn new(scale: i64) -> Fixed {
        Fixed { scale, one: pow10(scale) }
    }

    fn of(&self, n: &Numeric) -> BigInt {
        let (mantissa, have) = n.parts().unwrap_or_default();
        let shift = self.scale - i64::from(have);
        if shift >= 0 { mantissa * pow10(shift) } else { divide_rounded(&mantissa, &pow10(-shift)) }
    }

    fn mul(&self, a: &BigInt, b: &BigInt) -> BigInt {
        a * b / &self.one
    }

    fn div(&self, a: &BigInt, b: &BigInt) -> BigInt {
        a * &self.one / b
    }

    fn back(&self, a: BigInt, scale: i64) -> Numeric {
        let shift = self.scale - scale;
        let rounded = if shift >= 0 { divide_rounded(&a, &pow10(shift)) } else { a * pow10(-shift) };
        Numeric::from_parts(rounded, scale.max(0) as u16)
    }

    /// e^x, by halving x until the series is quick, then squaring.
    fn exp(&self, x: &BigInt) -> BigInt {
        // Terms and squarings in balance: about the root of the precision of each.
        let bits = (x.abs() / &self.one).bits() + 8 + self.one.bits().isqrt();
        let small = x >> bits;
        let mut term = self.one.clone();
        let mut sum = self.one.clone();
        let mut n = 1u32;
        while !term.is_zero() {
            term = self.mul(&term, &small) / n;
            sum += &term;
            n += 1;
        }
        for _ in 0..bits {
            sum = self.mul(&sum, &sum);
        }
        sum
    }

    /// ln x for x > 0: square roots until x is near 1, then the series of 2 artanh((x-1)/(x+1)).
    fn ln(&self, x: &BigInt) -> BigInt {
        let mut x = x.clone();
        let mut doublings = 0u32;
        let near = |x: &BigInt| (x - &self.one).abs() * 64 < self.one;
        while !near(&x) {
            x = (x * &self.one).sqrt();
            doublings += 1;
        }
        let z = self.div(&(&x - &self.one), &(&x + &self.one));
        let square = self.mul(&z, &z);
        let mut power = z.clone();
        let mut sum = BigInt::zero();
        let mut n = 1u32;
        while !power.is_zero() {
            sum += &power / n;
            power = self.mul(&power, &square);
            n += 2;
        }
        (sum * 2) << doublings
    }
}

/// exp and powers that are not integers are computed to this many digits before the point; beyond is refused, since one
/// call could keep a site busy for minutes.
const MAX_COMPUTED: f64 = 4_000.0;

fn too_many_digits() -> SqlError {
    SqlError::unsupported(
        format!("an exponential with more than {MAX_COMPUTED} digits before the point"),
        "Use double precision, or an integer exponent.",
    )
}

/// e^n.
pub fn exp(n: &Numeric) -> Result<Numeric> {
    if n.is_nan() {
        return Ok(Numeric::NAN);
    }
    let digits = n.to_f64() * std::f64::consts::LOG10_E;
    if digits > MAX_WHOLE as f64 {
        return Err(overflow());
    }
    if digits > MAX_COMPUTED {
        return Err(too_many_digits());
    }
    let digits = digits.max(-(MAX_DISPLAY_SCALE as f64) * 2.0) as i64;
    let scale = clamp_scale(MIN_DIGITS - digits, &[n]);
    Ok(exp_to(n, scale, digits))
}

fn exp_to(n: &Numeric, scale: i64, digits: i64) -> Numeric {
    if digits < -scale - 2 {
        return Numeric::from_parts(0, scale as u16);
    }
    // Squaring loses digits: as many as the result has before the point, and some.
    let root = ((scale + digits.abs()) * 4).isqrt();
    let fixed = Fixed::new(scale + digits.abs() + root + 40);
    fixed.back(fixed.exp(&fixed.of(n)), scale)
}

/// log10 |ln n|, as PostgreSQL estimates it.
fn ln_weight(n: &Numeric) -> i64 {
    let (Some((mantissa, scale)), false) = (n.parts(), n.is_negative() || n.is_zero()) else { return 0 };
    let f = n.to_f64();
    if (0.9..=1.1).contains(&f) {
        let x = n.sub(&Numeric::from(1i64));
        if x.is_zero() {
            return 0;
        }
        let (w, first) = weight(&x);
        return w * 4 + (first as f64).log10() as i64;
    }
    let digits = mantissa.magnitude().to_string();
    let head: f64 = digits[..digits.len().min(17)].parse().unwrap_or(1.0);
    let exponent = digits.len() as f64 - digits.len().min(17) as f64 - f64::from(scale);
    let ln = head.ln() + exponent * std::f64::consts::LN_10;
    ln.abs().log10() as i64
}

fn check_logarithm(n: &Numeric) -> Result<()> {
    if n.is_zero() {
        return Err(SqlError::new(sqlstate::INVALID_ARGUMENT_FOR_LOGARITHM, "cannot take logarithm of zero"));
    }
    if n.is_negative() {
        return Err(SqlError::new(
            sqlstate::INVALID_ARGUMENT_FOR_LOGARITHM,
            "cannot take logarithm of a negative number",
        ));
    }
    Ok(())
}

/// ln n with `scale` digits after the point and some: n is taken as m × 10^e with m below 1, so that the size of n costs nothing.
fn ln_fixed(n: &Numeric, scale: i64) -> (Fixed, BigInt) {
    let (mantissa, have) = n.parts().unwrap_or_default();
    let length = mantissa.magnitude().to_string().len() as i64;
    let exponent = length - i64::from(have);
    let fixed = Fixed::new(scale + 40);
    let shift = fixed.scale - length;
    let m = if shift >= 0 { mantissa * pow10(shift) } else { mantissa / pow10(-shift) };
    let mut ln = fixed.ln(&m);
    if exponent != 0 {
        ln += fixed.ln(&(&fixed.one * 10)) * exponent;
    }
    (fixed, ln)
}

/// Natural logarithm.
pub fn ln(n: &Numeric) -> Result<Numeric> {
    if n.is_nan() {
        return Ok(Numeric::NAN);
    }
    check_logarithm(n)?;
    let scale = clamp_scale(MIN_DIGITS - ln_weight(n), &[n]);
    let (fixed, ln) = ln_fixed(n, scale);
    Ok(fixed.back(ln, scale))
}

/// Logarithm to a base.
pub fn log(base: &Numeric, n: &Numeric) -> Result<Numeric> {
    if n.is_nan() || base.is_nan() {
        return Ok(Numeric::NAN);
    }
    check_logarithm(base)?;
    check_logarithm(n)?;
    let scale = clamp_scale(MIN_DIGITS - (ln_weight(n) - ln_weight(base)), &[base, n]);
    let (fixed_n, ln_n) = ln_fixed(n, scale + 10);
    let (fixed_base, ln_base) = ln_fixed(base, scale + 10);
    if ln_base.is_zero() {
        return Err(division_by_zero());
    }
    let fixed = Fixed::new(fixed_n.scale.max(fixed_base.scale));
    let widen = |x: BigInt, from: &Fixed| x * pow10(fixed.scale - from.scale);
    let quotient = fixed.div(&widen(ln_n, &fixed_n), &widen(ln_base, &fixed_base));
    Ok(fixed.back(quotient, scale))
}

fn log10_estimate(n: &Numeric) -> f64 {
    let Some((mantissa, scale)) = n.parts() else { return 0.0 };
    if mantissa.is_zero() {
        return 0.0;
    }
    let digits = mantissa.magnitude().to_string();
    let take = digits.len().min(17);
    let head: f64 = digits[..take].parse().unwrap_or(1.0);
    head.log10() + (digits.len() - take) as f64 - f64::from(scale)
}

/// base ^ exponent.
pub fn power(base: &Numeric, exponent: &Numeric) -> Result<Numeric> {
    let one = || Numeric::from(1i64);
    let is_one = |n: &Numeric| n.compare(&Numeric::from(1i64)).is_eq();
    // 1 ^ NaN and NaN ^ 0 are 1, all else with NaN is NaN.
    if base.is_nan() || exponent.is_nan() {
        let certain = (exponent.is_nan() && is_one(base)) || (base.is_nan() && exponent.is_zero());
        return Ok(if certain { one() } else { Numeric::NAN });
    }
    let invalid = |m: &str| SqlError::new(sqlstate::INVALID_ARGUMENT_FOR_POWER_FUNCTION, m);
    if base.is_zero() && exponent.is_negative() {
        return Err(invalid("zero raised to a negative power is undefined"));
    }
    let whole = exponent.to_i128();
    if base.is_negative() && whole.is_none() {
        return Err(invalid("a negative number raised to a non-integer power yields a complex result"));
    }
    if let Some(n) = whole.and_then(|n| i32::try_from(n).ok()) {
        return power_integer(base, n);
    }
    if base.is_zero() {
        return Ok(Numeric::from_parts(0, MIN_DIGITS as u16));
    }
    let negative = base.is_negative();
    let odd = whole.is_some_and(|n| n % 2 != 0);
    let base = if negative { base.neg() } else { base.clone() };
    let digits = exponent.to_f64() * log10_estimate(&base);
    if digits > MAX_WHOLE as f64 {
        return Err(overflow());
    }
    if digits > MAX_COMPUTED {
        return Err(too_many_digits());
    }
    if digits < -(MAX_DISPLAY_SCALE as f64) {
        return Ok(Numeric::from_parts(0, MAX_DISPLAY_SCALE as u16));
    }
    let scale = clamp_scale(MIN_DIGITS - digits as i64, &[&base, exponent]);
    let (weight, _) = weight(exponent);
    let (fixed, ln) = ln_fixed(&base, scale + (digits.abs() as i64) * 2 + (weight.abs() + 1) * 4 + 60);
    let product = fixed.mul(&ln, &fixed.of(exponent));
    let result = fixed.back(fixed.exp(&product), scale);
    Ok(if negative && odd { result.neg() } else { result })
}

fn power_integer(base: &Numeric, n: i32) -> Result<Numeric> {
    let scale = MIN_DIGITS.max(i64::from(base.scale())).min(MAX_DISPLAY_SCALE);
    let digits = f64::from(n) * log10_estimate(base);
    if digits > MAX_WHOLE as f64 + 4.0 {
        return Err(overflow());
    }
    if digits + 1.0 < -(MAX_DISPLAY_SCALE as f64) {
        return Ok(Numeric::from_parts(0, scale as u16));
    }
    if n == 0 {
        return Ok(Numeric::from(1i64).round(scale));
    }
    // Exact while that is small; else through the logarithm's digits: keep what can still show.
    let keep = scale + digits.abs() as i64 + 24 + i64::from(n.unsigned_abs().ilog2());
    let mut square = base.clone();
    let mut result = Numeric::from(1i64);
    let mut left = n.unsigned_abs();
    if n < 0 {
        square = divide_to(&result, base, keep)?;
    }
    while left > 0 {
        if left & 1 == 1 {
            result = result.mul(&square);
            if i64::from(result.scale()) > keep {
                result = result.round(keep);
            }
        }
        left >>= 1;
        if left > 0 {
            square = square.mul(&square);
            if i64::from(square.scale()) > keep {
                square = square.round(keep);
            }
        }
    }
    checked(result.round(scale))
}

/// From a count or sum.
pub fn from_i128(n: i128) -> Numeric {
    Numeric::from(n)
}

/// As an i64 if it is one.
pub fn to_i64(n: &Numeric) -> Option<i64> {
    n.to_i128().and_then(|n| n.to_i64())
}
