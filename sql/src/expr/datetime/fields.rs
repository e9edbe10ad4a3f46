//! The fields of a time: extract, date_trunc, age.

use gemini_shadow_ops::{Interval, Numeric};

use super::{
    Civil, EPOCH_DAYS, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND,
    checked_timestamp, civil_from_days, days_from_civil, days_in_month, is_infinite,
};
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// What a field is taken from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A date, in days.
    Date(i32),
    /// A timestamp.
    Timestamp(i64),
    /// A timestamptz and the session's offset in seconds.
    Timestamptz(i64, i32),
    /// An interval.
    Interval(Interval),
}

impl Source {
    fn type_name(&self) -> &'static str {
        match self {
            Source::Date(_) => "date",
            Source::Timestamp(_) => "timestamp without time zone",
            Source::Timestamptz(..) => "timestamp with time zone",
            Source::Interval(_) => "interval",
        }
    }

    /// Local µs, the infinities kept.
    fn local(&self) -> i64 {
        match *self {
            Source::Date(i32::MIN) => i64::MIN,
            Source::Date(i32::MAX) => i64::MAX,
            Source::Date(days) => i64::from(days).saturating_mul(MICROS_PER_DAY),
            Source::Timestamp(micros) => micros,
            Source::Timestamptz(micros, _) if is_infinite(micros) => micros,
            Source::Timestamptz(micros, offset) => {
                micros.saturating_add(i64::from(offset) * MICROS_PER_SECOND)
            }
            Source::Interval(_) => 0,
        }
    }
}

/// Singular lower-case spelling of a field's name.
fn canonical(field: &str) -> String {
    let lower = field.trim().to_ascii_lowercase();
    match lower.as_str() {
        "us" | "usec" | "usecs" | "microsecond" => "microseconds".to_owned(),
        "ms" | "msec" | "msecs" | "millisecond" => "milliseconds".to_owned(),
        "s" | "sec" | "secs" | "seconds" => "second".to_owned(),
        "m" | "min" | "mins" | "minutes" => "minute".to_owned(),
        "h" | "hr" | "hrs" | "hours" => "hour".to_owned(),
        "d" | "days" => "day".to_owned(),
        "w" | "weeks" => "week".to_owned(),
        "mon" | "mons" | "months" => "month".to_owned(),
        "qtr" => "quarter".to_owned(),
        "y" | "yr" | "yrs" | "years" => "year".to_owned(),
        "dec" | "decs" | "decades" => "decade".to_owned(),
        "c" | "cent" | "centuries" => "century".to_owned(),
        "mil" | "mils" | "millennia" => "millennium".to_owned(),
        _ => lower,
    }
}

fn unsupported(field: &str, ty: &str) -> SqlError {
    SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, format!("unit \"{field}\" not supported for type {ty}"))
}

fn unrecognized(field: &str, ty: &str) -> SqlError {
    SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("unit \"{field}\" not recognized for type {ty}"))
}

/// EXTRACT(field FROM source); None for a field that an infinite time does not have. Numbers of seconds have PostgreSQL's scale.
pub fn extract(field: &str, source: Source) -> Result<Option<Numeric>> {
    let field = canonical(field);
    if let Source::Interval(interval) = source {
        return extract_interval(&field, &interval).map(Some);
    }
    let local = source.local();
    if is_infinite(local) {
        return extract_infinite(&field, local, source.type_name());
    }
    let days = local.div_euclid(MICROS_PER_DAY);
    let time = local.rem_euclid(MICROS_PER_DAY);
    let is_date = matches!(source, Source::Date(_));
    let civil = civil_from_days(days);
    let whole = match field.as_str() {
        "day" => civil.day,
        "month" => civil.month,
        "quarter" => (civil.month - 1) / 3 + 1,
        "year" => shown_year(civil.year),
        "decade" => civil.year.div_euclid(10),
        "century" => century(civil.year, 100),
        "millennium" => century(civil.year, 1000),
        "dow" => (days + 6).rem_euclid(7),
        "isodow" => (days + 5).rem_euclid(7) + 1,
        "doy" => days - days_from_civil(civil.year, 1, 1) + 1,
        "week" => iso_week(days).1,
        "isoyear" => shown_year(iso_week(days).0),
        "epoch" if is_date => (days + EPOCH_DAYS) * 86_400,
        "julian" if is_date => days + 2_451_545,
        "microseconds" | "milliseconds" | "second" | "minute" | "hour" | "timezone" | "timezone_hour"
        | "timezone_minute"
            if is_date =>
        {
            return Err(unsupported(&field, "date"));
        }
        "minute" => time / MICROS_PER_MINUTE % 60,
        "hour" => time / MICROS_PER_HOUR,
        "microseconds" => time % MICROS_PER_MINUTE,
        "milliseconds" => return scaled(time % MICROS_PER_MINUTE, 3),
        "second" => return scaled(time % MICROS_PER_MINUTE, 6),
        "epoch" => {
            let utc = match source {
                Source::Timestamptz(micros, _) => micros,
                _ => local,
            };
            let micros = i128::from(utc) + i128::from(EPOCH_DAYS) * i128::from(MICROS_PER_DAY);
            return Ok(Some(Numeric::from_parts(micros, 6)));
        }
        "julian" => {
            let day = Numeric::from(days + 2_451_545);
            let part = crate::expr::numeric::divide(&Numeric::from(time), &Numeric::from(MICROS_PER_DAY))?;
            return Ok(Some(day.add(&part)));
        }
        "timezone" | "timezone_hour" | "timezone_minute" => {
            let Source::Timestamptz(_, offset) = source else {
                return Err(unsupported(&field, source.type_name()));
            };
            i64::from(match field.as_str() {
                "timezone" => offset,
                "timezone_hour" => offset / 3600,
                _ => offset / 60 % 60,
            })
        }
        _ => return Err(unrecognized(&field, source.type_name())),
    };
    Ok(Some(Numeric::from(whole)))
}

fn scaled(micros: i64, scale: u16) -> Result<Option<Numeric>> {
    Ok(Some(Numeric::from_parts(micros, scale)))
}

/// There is no year 0: 1 BC is -1.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// Centuries (millennia) count from year 1; before it, backwards from -1.
fn century(year: i64, length: i64) -> i64 {
    if year > 0 { (year + length - 1) / length } else { -((length - 1 - (year - 1)) / length) }
}

/// ISO 8601 (year, week): week 1 holds the first Thursday.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (days + 5).rem_euclid(7) + 3;
    let year = civil_from_days(thursday).year;
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

fn extract_infinite(field: &str, local: i64, ty: &str) -> Result<Option<Numeric>> {
    match field {
        "day" | "month" | "quarter" | "week" | "dow" | "isodow" | "doy" | "microseconds" | "milliseconds"
        | "second" | "minute" | "hour" | "timezone" | "timezone_hour" | "timezone_minute" => Ok(None),
        "year" | "decade" | "century" | "millennium" | "isoyear" | "julian" | "epoch" => {
            let _ = local;
            Err(SqlError::unsupported("infinite numeric", "Test with isfinite() first."))
        }
        _ => Err(unrecognized(field, ty)),
    }
}

fn extract_interval(field: &str, interval: &Interval) -> Result<Numeric> {
    let (years, months) = (i64::from(interval.months / 12), i64::from(interval.months % 12));
    let time = interval.micros;
    let whole = match field {
        "microseconds" => time % MICROS_PER_MINUTE,
        "milliseconds" => return Ok(Numeric::from_parts(time % MICROS_PER_MINUTE, 3)),
        "second" => return Ok(Numeric::from_parts(time % MICROS_PER_MINUTE, 6)),
        "minute" => time / MICROS_PER_MINUTE % 60,
        "hour" => time / MICROS_PER_HOUR,
        "day" => i64::from(interval.days),
        "month" => months,
        "quarter" => months / 3 + 1,
        "year" => years,
        "decade" => years / 10,
        "century" => years / 100,
        "millennium" => years / 1000,
        "epoch" => {
            // A year is 365.25 days, a month beyond whole years 30.
            let quarter_days = years * 1461 + months * 120 + i64::from(interval.days) * 4;
            let micros = i128::from(quarter_days) * i128::from(MICROS_PER_DAY / 4) + i128::from(time);
            return Ok(Numeric::from_parts(micros, 6));
        }
        "week" | "dow" | "isodow" | "doy" | "isoyear" | "julian" | "timezone" | "timezone_hour"
        | "timezone_minute" => return Err(unsupported(field, "interval")),
        _ => return Err(unrecognized(field, "interval")),
    };
    Ok(Numeric::from(whole))
}

/// date_trunc of local µs.
pub fn trunc(field: &str, local: i64, ty: &'static str) -> Result<i64> {
    let field = canonical(field);
    let days = local.div_euclid(MICROS_PER_DAY);
    let time = local.rem_euclid(MICROS_PER_DAY);
    let Civil { year, month, .. } = civil_from_days(days);
    let down = |unit: i64| (days, time - time % unit);
    let start = |year: i64, month: i64| (days_from_civil(year, month, 1), 0);
    let (days, time) = match field.as_str() {
        "microseconds" => (days, time),
        "milliseconds" => down(1000),
        "second" => down(MICROS_PER_SECOND),
        "minute" => down(MICROS_PER_MINUTE),
        "hour" => down(MICROS_PER_HOUR),
        "day" => (days, 0),
        "week" => (days - (days + 5).rem_euclid(7), 0),
        "month" => start(year, month),
        "quarter" => start(year, (month - 1) / 3 * 3 + 1),
        "year" => start(year, 1),
        "decade" => start(year.div_euclid(10) * 10, 1),
        "century" => start((year - 1).div_euclid(100) * 100 + 1, 1),
        "millennium" => start((year - 1).div_euclid(1000) * 1000 + 1, 1),
        "dow" | "isodow" | "doy" | "isoyear" | "epoch" | "julian" | "timezone" | "timezone_hour"
        | "timezone_minute" => return Err(unsupported(&field, ty)),
        _ => return Err(unrecognized(&field, ty)),
    };
    if is_infinite(local) {
        return Ok(local);
    }
    checked_timestamp(i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(time))
}

/// date_trunc of an interval.
pub fn trunc_interval(field: &str, a: &Interval) -> Result<Interval> {
    let field = canonical(field);
    let months = |unit: i32| Interval { months: a.months - a.months % unit, days: 0, micros: 0 };
    let micros = |unit: i64| Interval { micros: a.micros - a.micros % unit, ..*a };
    Ok(match field.as_str() {
        "millennium" => months(12_000),
        "century" => months(1200),
        "decade" => months(120),
        "year" => months(12),
        "quarter" => months(3),
        "month" => months(1),
        "day" => Interval { micros: 0, ..*a },
        "hour" => micros(MICROS_PER_HOUR),
        "minute" => micros(MICROS_PER_MINUTE),
        "second" => micros(MICROS_PER_SECOND),
        "milliseconds" => micros(1000),
        "microseconds" => *a,
        "week" => {
            return Err(unsupported(&field, "interval").detail("Months usually have fractional weeks."));
        }
        _ => return Err(unrecognized(&field, "interval")),
    })
}

/// age(a, b): years, months, days and time between two local timestamps, as a person would count.
pub fn age(a: i64, b: i64) -> Result<Interval> {
    if is_infinite(a) || is_infinite(b) {
        return Err(super::timestamp_out_of_range());
    }
    let (later, earlier) = if a >= b { (a, b) } else { (b, a) };
    let (x, y) = (
        civil_from_days(later.div_euclid(MICROS_PER_DAY)),
        civil_from_days(earlier.div_euclid(MICROS_PER_DAY)),
    );
    let mut micros = later.rem_euclid(MICROS_PER_DAY) - earlier.rem_euclid(MICROS_PER_DAY);
    let mut days = x.day - y.day;
    let mut months = (x.year - y.year) * 12 + x.month - y.month;
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    while days < 0 {
        days += days_in_month(y.year, y.month);
        months -= 1;
    }
    let sign = if a >= b { 1 } else { -1 };
    let months = i32::try_from(months * sign).map_err(|_| super::interval_out_of_range())?;
    Ok(Interval { months, days: (days * sign) as i32, micros: micros * sign })
}
