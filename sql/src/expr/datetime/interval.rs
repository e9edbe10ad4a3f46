//! Intervals: reading, printing ('postgres' style), arithmetic.
//!
//! Months, days and µs are kept apart, since a month has no fixed length and neither has a day; only multiplication and
//! fractions cascade downwards, a month as 30 days, a day as 24 hours.

use std::fmt::Write as _;

use gemini_shadow_ops::Interval;

use super::{
    MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, checked_timestamp,
    civil_from_days, days_from_civil, days_in_month, interval_out_of_range, is_infinite,
};
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// `1 year 2 mons -3 days +04:05:06.789`.
pub fn write_interval(out: &mut String, interval: &Interval) {
    let start = out.len();
    let mut before_negative = false;
    let parts = [
        (i64::from(interval.months / 12), "year"),
        (i64::from(interval.months % 12), "mon"),
        (i64::from(interval.days), "day"),
    ];
    for (n, unit) in parts {
        if n != 0 {
            let space = if out.len() > start { " " } else { "" };
            let sign = if before_negative && n > 0 { "+" } else { "" };
            let plural = if n == 1 { "" } else { "s" };
            let _ = write!(out, "{space}{sign}{n} {unit}{plural}");
            before_negative = n < 0;
        }
    }
    if interval.micros != 0 || out.len() == start {
        let space = if out.len() > start { " " } else { "" };
        let sign = match (interval.micros < 0, before_negative) {
            (true, _) => "-",
            (false, true) => "+",
            _ => "",
        };
        let _ = write!(out, "{space}{sign}");
        let micros = interval.micros.unsigned_abs();
        let (hours, rest) = (micros / MICROS_PER_HOUR as u64, micros % MICROS_PER_HOUR as u64);
        let _ = write!(out, "{hours:02}:{:02}", rest / MICROS_PER_MINUTE as u64);
        let rest = (rest % MICROS_PER_MINUTE as u64) as i64;
        let _ = write!(out, ":{:02}", rest / MICROS_PER_SECOND);
        super::write_fraction(out, rest % MICROS_PER_SECOND);
    }
}

/// Sums up what is read, wide enough that only the end needs a check.
#[derive(Default)]
struct Sum {
    months: f64,
    days: f64,
    micros: f64,
    exact_micros: i128,
}

impl Sum {
    /// `whole.fraction` of a unit; a fraction goes down to the next smaller units.
    fn add(&mut self, whole: i64, fraction: f64, unit: Unit) {
        let n = whole as f64;
        match unit {
            Unit::Months(k) => {
                self.months += n * k;
                if k >= 12.0 {
                    self.months += (fraction * k).round_ties_even();
                } else {
                    self.fraction_of_days(fraction * 30.0);
                }
            }
            Unit::Days(k) => {
                self.days += n * k;
                self.fraction_of_days(fraction * k);
            }
            Unit::Micros(k) => {
                self.exact_micros += i128::from(whole) * k as i128;
                self.micros += fraction * k;
            }
        }
    }

    fn fraction_of_days(&mut self, days: f64) {
        self.days += days.trunc();
        self.micros += days.fract() * MICROS_PER_DAY as f64;
    }

    fn finish(self) -> Option<Interval> {
        let int =
            |f: f64| (f.abs() < 2_147_483_648.5).then_some(f as i64).and_then(|n| i32::try_from(n).ok());
        let micros = self.exact_micros + self.micros.round_ties_even() as i128;
        Some(Interval {
            months: int(self.months)?,
            days: int(self.days)?,
            micros: i64::try_from(micros).ok()?,
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Months(f64),
    Days(f64),
    Micros(f64),
}

fn unit(word: &str) -> Option<Unit> {
    Some(match word.to_ascii_lowercase().as_str() {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" => {
            Unit::Micros(1.0)
        }
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" => {
            Unit::Micros(1000.0)
        }
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(MICROS_PER_SECOND as f64),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(MICROS_PER_MINUTE as f64),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(MICROS_PER_HOUR as f64),
        "d" | "day" | "days" => Unit::Days(1.0),
        "w" | "week" | "weeks" => Unit::Days(7.0),
        "mon" | "mons" | "month" | "months" => Unit::Months(1.0),
        "qtr" | "quarter" => Unit::Months(3.0),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12.0),
        "dec" | "decs" | "decade" | "decades" => Unit::Months(120.0),
        "c" | "cent" | "century" | "centuries" => Unit::Months(1200.0),
        "mil" | "mils" | "millennium" | "millennia" => Unit::Months(12000.0),
        _ => return None,
    })
}

enum Failure {
    Syntax,
    Range,
}

/// Reads `1 day 02:03:04`, `-1.5 months`, `2 hours ago`, `P1Y2M3DT4H`, `1-2`.
pub fn parse_interval(text: &str) -> Result<Interval> {
    let parsed =
        if text.starts_with(['P', 'p']) && text.len() > 1 { parse_iso(text) } else { parse_words(text) };
    parsed.and_then(|sum| sum.finish().ok_or(Failure::Range)).map_err(|failure| match failure {
        Failure::Syntax => SqlError::new(
            sqlstate::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type interval: \"{text}\""),
        ),
        Failure::Range => SqlError::new(
            sqlstate::INTERVAL_FIELD_OVERFLOW,
            format!("interval field value out of range: \"{text}\""),
        ),
    })
}

/// A number's whole part and signed fraction.
fn number(text: &str) -> Result<(i64, f64), Failure> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits_only = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits_only(whole) || !digits_only(fraction) {
        return Err(Failure::Syntax);
    }
    let n: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| Failure::Range)? };
    let f: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().unwrap_or(0.0) };
    Ok(if negative { (-n, -f) } else { (n, f) })
}

fn parse_words(text: &str) -> Result<Sum, Failure> {
    let tokens = tokens(text)?;
    let mut sum = Sum::default();
    let mut ago = false;
    let mut i = 0;
    if tokens.is_empty() {
        return Err(Failure::Syntax);
    }
    while i < tokens.len() {
        let token = tokens[i];
        i += 1;
        if token == "@" {
            continue;
        }
        if token.eq_ignore_ascii_case("ago") {
            ago = true;
        } else if token.contains(':') {
            add_clock(&mut sum, token)?;
        } else if let Some((years, months)) = split_years(token) {
            let sign = if token.starts_with('-') { -1 } else { 1 };
            sum.add(sign * number(years)?.0, 0.0, Unit::Months(12.0));
            sum.add(sign * number(months)?.0, 0.0, Unit::Months(1.0));
        } else {
            let (whole, fraction) = number(token)?;
            let next = tokens.get(i).copied();
            match next.and_then(unit) {
                Some(unit) => {
                    i += 1;
                    sum.add(whole, fraction, unit);
                }
                // A number before a clock is days; the last of all is seconds.
                None if next.is_some_and(|t| t.contains(':')) => sum.add(whole, fraction, Unit::Days(1.0)),
                None if next.is_none() => {
                    sum.add(whole, fraction, Unit::Micros(MICROS_PER_SECOND as f64));
                }
                None => return Err(Failure::Syntax),
            }
        }
    }
    if ago {
        sum.months = -sum.months;
        sum.days = -sum.days;
        sum.micros = -sum.micros;
        sum.exact_micros = -sum.exact_micros;
    }
    Ok(sum)
}

/// `1-2` (years-months).
fn split_years(token: &str) -> Option<(&str, &str)> {
    token.trim_start_matches(['+', '-']).split_once('-')
}

fn tokens(text: &str) -> Result<Vec<&str>, Failure> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let b = bytes[at];
        let start = at;
        if b.is_ascii_whitespace() || b == b',' {
            at += 1;
            continue;
        } else if b.is_ascii_alphabetic() {
            while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
                at += 1;
            }
        } else if b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.') {
            at += 1;
            while at < bytes.len() && (bytes[at].is_ascii_digit() || matches!(bytes[at], b'.' | b':' | b'-'))
            {
                at += 1;
            }
        } else if b == b'@' {
            at += 1;
        } else {
            return Err(Failure::Syntax);
        }
        out.push(&text[start..at]);
    }
    Ok(out)
}

/// `[-]H:M[:S[.f]]`; two fields with a fraction are minutes and seconds.
fn add_clock(sum: &mut Sum, token: &str) -> Result<(), Failure> {
    let negative = token.starts_with('-');
    let fields: Vec<&str> = token.trim_start_matches(['+', '-']).split(':').collect();
    let sign = if negative { -1 } else { 1 };
    let units: &[f64] = match fields.as_slice() {
        [_, last] if last.contains('.') => &[MICROS_PER_MINUTE as f64, MICROS_PER_SECOND as f64],
        [_, _] => &[MICROS_PER_HOUR as f64, MICROS_PER_MINUTE as f64],
        [_, _, _] => &[MICROS_PER_HOUR as f64, MICROS_PER_MINUTE as f64, MICROS_PER_SECOND as f64],
        _ => return Err(Failure::Syntax),
    };
    for (i, (field, unit)) in fields.iter().zip(units).enumerate() {
        let (whole, fraction) = number(field)?;
        if i > 0 && whole > 59 {
            return Err(Failure::Range);
        }
        sum.add(sign * whole, sign as f64 * fraction, Unit::Micros(*unit));
    }
    Ok(())
}

fn parse_iso(text: &str) -> Result<Sum, Failure> {
    let mut sum = Sum::default();
    let mut in_time = false;
    let mut rest = &text[1..];
    let mut any = false;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(['T', 't']) {
            in_time = true;
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or(Failure::Syntax)?;
        let (whole, fraction) = number(&rest[..end])?;
        let unit = match (rest.as_bytes()[end].to_ascii_uppercase(), in_time) {
            (b'Y', false) => Unit::Months(12.0),
            (b'M', false) => Unit::Months(1.0),
            (b'W', false) => Unit::Days(7.0),
            (b'D', false) => Unit::Days(1.0),
            (b'H', true) => Unit::Micros(MICROS_PER_HOUR as f64),
            (b'M', true) => Unit::Micros(MICROS_PER_MINUTE as f64),
            (b'S', true) => Unit::Micros(MICROS_PER_SECOND as f64),
            _ => return Err(Failure::Syntax),
        };
        sum.add(whole, fraction, unit);
        any = true;
        rest = &rest[end + 1..];
    }
    if any { Ok(sum) } else { Err(Failure::Syntax) }
}

fn combine(
    a: &Interval,
    b: &Interval,
    small: fn(i32, i32) -> Option<i32>,
    large: fn(i64, i64) -> Option<i64>,
) -> Result<Interval> {
    let sum = || {
        Some(Interval {
            months: small(a.months, b.months)?,
            days: small(a.days, b.days)?,
            micros: large(a.micros, b.micros)?,
        })
    };
    sum().ok_or_else(interval_out_of_range)
}

/// a + b.
pub fn add_intervals(a: &Interval, b: &Interval) -> Result<Interval> {
    combine(a, b, i32::checked_add, i64::checked_add)
}

/// a - b.
pub fn subtract_intervals(a: &Interval, b: &Interval) -> Result<Interval> {
    combine(a, b, i32::checked_sub, i64::checked_sub)
}

/// -a.
pub fn negate(a: &Interval) -> Result<Interval> {
    subtract_intervals(&Interval::default(), a)
}

/// Half a µs up or down, as PostgreSQL's TSROUND.
fn to_micros(seconds: f64) -> f64 {
    (seconds * 1e6).round_ties_even() / 1e6
}

/// a × factor.
pub fn multiply(a: &Interval, factor: f64) -> Result<Interval> {
    scale(a, &|x| x * factor)
}

/// a ÷ divisor.
pub fn divide(a: &Interval, divisor: f64) -> Result<Interval> {
    if divisor == 0.0 {
        return Err(SqlError::new(sqlstate::DIVISION_BY_ZERO, "division by zero"));
    }
    scale(a, &|x| x / divisor)
}

fn scale(a: &Interval, f: &dyn Fn(f64) -> f64) -> Result<Interval> {
    let int = |x: f64| {
        let fits = !x.is_nan() && (-2_147_483_648.0..2_147_483_648.0).contains(&x);
        if fits { Ok(x as i32) } else { Err(interval_out_of_range()) }
    };
    let (months, days) = (f(f64::from(a.months)), f(f64::from(a.days)));
    let result_months = int(months)?;
    let mut result_days = int(days)?;
    let month_days = to_micros((months - f64::from(result_months)) * 30.0);
    let mut seconds = to_micros((days - f64::from(result_days) + month_days - month_days.trunc()) * 86_400.0);
    if seconds.abs() >= 86_400.0 {
        let carry = (seconds / 86_400.0).trunc();
        result_days = int(f64::from(result_days) + carry)?;
        seconds -= carry * 86_400.0;
    }
    result_days = int(f64::from(result_days) + month_days.trunc())?;
    let micros = (f(a.micros as f64) + seconds * 1e6).round_ties_even();
    const END: f64 = 9_223_372_036_854_775_808.0;
    if !(-END..END).contains(&micros) {
        return Err(interval_out_of_range());
    }
    Ok(Interval { months: result_months, days: result_days, micros: micros as i64 })
}

/// timestamp + interval: months first (the day held back to the month's end), then days, then µs.
pub fn add_interval(timestamp: i64, interval: &Interval) -> Result<i64> {
    if is_infinite(timestamp) {
        return Ok(timestamp);
    }
    let mut days = timestamp.div_euclid(MICROS_PER_DAY);
    let time = timestamp.rem_euclid(MICROS_PER_DAY);
    if interval.months != 0 {
        let civil = civil_from_days(days);
        let months = civil.year * 12 + civil.month - 1 + i64::from(interval.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        days = days_from_civil(year, month, civil.day.min(days_in_month(year, month)));
    }
    days += i64::from(interval.days);
    checked_timestamp(
        i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(time) + i128::from(interval.micros),
    )
}

/// Whole days out of the µs.
pub fn justify_hours(a: &Interval) -> Result<Interval> {
    let mut days = i64::from(a.days) + a.micros / MICROS_PER_DAY;
    let mut micros = a.micros % MICROS_PER_DAY;
    if days > 0 && micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    } else if days < 0 && micros > 0 {
        micros -= MICROS_PER_DAY;
        days += 1;
    }
    Ok(Interval { months: a.months, days: i32::try_from(days).map_err(|_| interval_out_of_range())?, micros })
}

/// Whole months (of 30 days) out of the days.
pub fn justify_days(a: &Interval) -> Result<Interval> {
    let mut months = a.months.checked_add(a.days / 30).ok_or_else(interval_out_of_range)?;
    let mut days = a.days % 30;
    if months > 0 && days < 0 {
        days += 30;
        months -= 1;
    } else if months < 0 && days > 0 {
        days -= 30;
        months += 1;
    }
    Ok(Interval { months, days, micros: a.micros })
}

/// Both, with one sign throughout.
pub fn justify_interval(a: &Interval) -> Result<Interval> {
    let mut days = i64::from(a.days) + a.micros / MICROS_PER_DAY;
    let mut micros = a.micros % MICROS_PER_DAY;
    let mut months = i64::from(a.months) + days / 30;
    days %= 30;
    if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
        days += 30;
        months -= 1;
    } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
        days -= 30;
        months += 1;
    }
    if days > 0 && micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    } else if days < 0 && micros > 0 {
        micros -= MICROS_PER_DAY;
        days += 1;
    }
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| interval_out_of_range())?,
        days: days as i32,
        micros,
    })
}
