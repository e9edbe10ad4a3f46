//! Dates and times: calendar, printing, and arithmetic that keeps PostgreSQL's limits.
//!
//! A date is days, a timestamp µs, since 2000-01-01, in the proleptic Gregorian calendar; `i32::MIN`/`MAX` and
//! `i64::MIN`/`MAX` are -infinity and infinity. A timestamptz is UTC; the session's zone only matters when it is
//! read, printed, or cut into fields ([`TimeZone`]).

mod fields;
mod interval;
mod parse;
mod zone;

use std::fmt::Write as _;

use crate::error::{Result, SqlError};
use crate::sqlstate;

pub(crate) use fields::iso_week;
pub use fields::{Source, age, extract, trunc, trunc_interval};
pub use interval::{
    add_interval, add_intervals, divide, justify_days, justify_hours, justify_interval, multiply, negate,
    parse_interval, subtract_intervals, write_interval,
};
pub use parse::{has_zone, is_relative, month_by_name, parse_date, parse_timestamp, parse_timestamptz, zone};
pub use zone::TimeZone;

/// µs in a day.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;
/// µs in an hour.
pub const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// µs in a minute.
pub const MICROS_PER_MINUTE: i64 = 60_000_000;
/// µs in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Days from 1970-01-01 to 2000-01-01.
pub const EPOCH_DAYS: i64 = 10957;

/// 4714-11-24 BC.
const MIN_DATE: i64 = -2_451_545;
/// The day after 5874897-12-31.
const END_DATE: i64 = 2_147_483_494 - 2_451_545;
/// 4714-11-24 BC.
const MIN_TIMESTAMP: i64 = -211_813_488_000_000_000;
/// 294277-01-01.
const END_TIMESTAMP: i64 = 9_223_371_331_200_000_000;

/// Full month names.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Full day names, from Sunday.
pub const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// 22008: timestamp out of range.
pub fn timestamp_out_of_range() -> SqlError {
    SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

/// 22008: date out of range.
pub fn date_out_of_range() -> SqlError {
    SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, "date out of range")
}

/// 22008: interval out of range.
pub fn interval_out_of_range() -> SqlError {
    SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

/// A date of the calendar. Year 0 is 1 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Civil {
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
}

/// Days since 2000-01-01 (any day beyond the month's end counts on).
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + day_of_era - 719_468 - EPOCH_DAYS
}

/// The calendar date of days since 2000-01-01.
pub fn civil_from_days(days: i64) -> Civil {
    let z = days + EPOCH_DAYS + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    Civil { year, month, day: doy - (153 * mp + 2) / 5 + 1 }
}

/// Leap year?
pub fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

/// Days in a month.
pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A date within the type's limits.
pub fn checked_date(days: i64) -> Result<i32> {
    if (MIN_DATE..END_DATE).contains(&days) { Ok(days as i32) } else { Err(date_out_of_range()) }
}

/// A timestamp within the type's limits.
pub fn checked_timestamp(micros: i128) -> Result<i64> {
    if (i128::from(MIN_TIMESTAMP)..i128::from(END_TIMESTAMP)).contains(&micros) {
        Ok(micros as i64)
    } else {
        Err(timestamp_out_of_range())
    }
}

/// Infinite?
pub fn is_infinite(micros: i64) -> bool {
    micros == i64::MIN || micros == i64::MAX
}

/// Moves a timestamp; infinities stay.
pub fn shift(micros: i64, by: i64) -> Result<i64> {
    if is_infinite(micros) { Ok(micros) } else { checked_timestamp(i128::from(micros) + i128::from(by)) }
}

/// Midnight of a date.
pub fn date_to_timestamp(days: i32) -> Result<i64> {
    match days {
        i32::MIN => Ok(i64::MIN),
        i32::MAX => Ok(i64::MAX),
        days => checked_timestamp(i128::from(days) * i128::from(MICROS_PER_DAY))
            .map_err(|_| SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, "date out of range for timestamp")),
    }
}

fn write_civil(out: &mut String, days: i64) -> bool {
    let Civil { year, month, day } = civil_from_days(days);
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
    year <= 0
}

/// `2020-01-31`, `0044-03-15 BC`, `infinity`.
pub fn write_date(out: &mut String, days: i32) {
    match days {
        i32::MIN => out.push_str("-infinity"),
        i32::MAX => out.push_str("infinity"),
        days => {
            if write_civil(out, i64::from(days)) {
                out.push_str(" BC");
            }
        }
    }
}

/// `04:05:06.789`, without trailing zeros.
pub(super) fn write_time(out: &mut String, micros: i64) {
    let (hour, rest) = (micros / MICROS_PER_HOUR, micros % MICROS_PER_HOUR);
    let (minute, rest) = (rest / MICROS_PER_MINUTE, rest % MICROS_PER_MINUTE);
    let (second, fraction) = (rest / MICROS_PER_SECOND, rest % MICROS_PER_SECOND);
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}");
    write_fraction(out, fraction);
}

fn write_fraction(out: &mut String, fraction: i64) {
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// `2020-01-31 04:05:06.789`.
pub fn write_timestamp(out: &mut String, micros: i64) {
    write_with_zone(out, micros, None);
}

/// `2020-01-31 04:05:06.789+00`, at an offset in seconds.
pub fn write_timestamptz(out: &mut String, micros: i64, offset: i32) {
    write_with_zone(out, micros, Some(offset));
}

fn write_with_zone(out: &mut String, micros: i64, offset: Option<i32>) {
    if is_infinite(micros) {
        return out.push_str(if micros < 0 { "-infinity" } else { "infinity" });
    }
    let local = i128::from(micros) + i128::from(offset.unwrap_or(0)) * i128::from(MICROS_PER_SECOND);
    let days = local.div_euclid(i128::from(MICROS_PER_DAY)) as i64;
    let time = local.rem_euclid(i128::from(MICROS_PER_DAY)) as i64;
    let before_christ = write_civil(out, days);
    out.push(' ');
    write_time(out, time);
    if let Some(offset) = offset {
        write_offset(out, offset);
    }
    if before_christ {
        out.push_str(" BC");
    }
}

/// `+00`, `-03:30`.
pub fn write_offset(out: &mut String, offset: i32) {
    let seconds = offset.unsigned_abs();
    let _ = write!(out, "{}{:02}", if offset < 0 { '-' } else { '+' }, seconds / 3600);
    if !seconds.is_multiple_of(3600) {
        let _ = write!(out, ":{:02}", seconds / 60 % 60);
    }
    if !seconds.is_multiple_of(60) {
        let _ = write!(out, ":{:02}", seconds % 60);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_round_trips() {
        for days in (MIN_DATE..END_DATE).step_by(99_991).chain(-800..800) {
            let c = civil_from_days(days);
            assert_eq!(days_from_civil(c.year, c.month, c.day), days);
            assert!(c.day <= days_in_month(c.year, c.month));
        }
        assert_eq!(days_from_civil(2000, 1, 1), 0);
        assert_eq!(days_from_civil(1970, 1, 1), -EPOCH_DAYS);
    }

    #[test]
    fn prints_as_postgresql() {
        let date = |days: i32| {
            let mut out = String::new();
            write_date(&mut out, days);
            out
        };
        assert_eq!(date(-2_451_545), "4714-11-24 BC");
        assert_eq!(date(i32::MAX), "infinity");
        let mut out = String::new();
        write_timestamptz(&mut out, 1_500_000, -12_600);
        assert_eq!(out, "1999-12-31 20:30:01.5-03:30");
    }
}
