//! Reading dates and times, as generously as PostgreSQL (DateStyle ISO, MDY).
//!
//! The text is cut into fields (numbers, words, dates with delimiters, times, signed zones), each of which fills a part
//! of [`Parts`]; at the end the parts must make a date. A part given twice, a word that is none, a day that is not in
//! its month are errors.

use super::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MONTHS};
use super::{TimeZone, checked_timestamp, days_from_civil, days_in_month};
use crate::error::{Result, SqlError};
use crate::expr::EvalContext;
use crate::sqlstate;

/// What a text may be relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Epoch,
    Infinity,
    MinusInfinity,
}

#[derive(Debug, Default)]
struct Parts {
    year: Option<i64>,
    /// The year was written with two digits or fewer.
    short_year: bool,
    month: Option<i64>,
    day: Option<i64>,
    /// µs of the day.
    time: Option<i64>,
    hour: i64,
    afternoon: Option<bool>,
    before_christ: bool,
    zone: Option<TimeZone>,
    special: Option<Special>,
    day_of_year: Option<i64>,
}

enum Failure {
    Syntax,
    Range,
    Zone(String),
}

type Parse<T> = std::result::Result<T, Failure>;

/// Months by full name or at least three letters (`sept` too).
pub fn month_by_name(word: &str) -> Option<i64> {
    let lower = word.to_ascii_lowercase();
    let found = MONTHS.iter().position(|m| {
        let full = m.to_ascii_lowercase();
        lower == full || lower == full[..3] || (lower == "sept" && full == "september")
    });
    found.map(|i| i as i64 + 1)
}

fn is_day_name(lower: &str) -> bool {
    let abbreviations = ["tues", "wednes", "weds", "thur", "thurs"];
    super::DAYS.iter().any(|d| {
        let full = d.to_ascii_lowercase();
        lower == full || lower == &full[..3]
    }) || abbreviations.contains(&lower)
}

fn special(lower: &str) -> Option<Special> {
    Some(match lower {
        "now" => Special::Now,
        "today" => Special::Today,
        "tomorrow" => Special::Tomorrow,
        "yesterday" => Special::Yesterday,
        "epoch" => Special::Epoch,
        "infinity" | "inf" => Special::Infinity,
        _ => return None,
    })
}

/// The offset of a zone abbreviation whose meaning never changes; None for anything else.
fn abbreviation(lower: &str) -> Option<i32> {
    let hours = match lower {
        "utc" | "gmt" | "z" | "zulu" | "ut" | "uct" | "wet" => 0,
        "est" => -5,
        "edt" => -4,
        "cst" => -6,
        "cdt" => -5,
        "mst" => -7,
        "mdt" => -6,
        "pst" => -8,
        "pdt" => -7,
        "cet" | "bst" | "west" | "met" => 1,
        "cest" | "eet" | "mest" => 2,
        "eest" | "msk" => 3,
        "jst" | "kst" => 9,
        _ => return None,
    };
    Some(hours * 3600)
}

/// A zone as AT TIME ZONE takes it: an abbreviation, or a name ([`TimeZone::named`]).
pub fn zone(name: &str) -> Result<TimeZone> {
    let found = match abbreviation(&name.trim().to_ascii_lowercase()) {
        Some(offset) => Some(TimeZone::fixed(offset)),
        None => TimeZone::named(name),
    };
    found.ok_or_else(|| unknown_zone(name))
}

fn unknown_zone(name: &str) -> SqlError {
    SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized"))
}

/// `+2`, `-0330`, `+05:30`, `+01:02:03`.
fn parse_offset(text: &str) -> Parse<i32> {
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        _ => return Err(Failure::Syntax),
    };
    let fields: Vec<&str> = rest.split(':').collect();
    let number = |s: &str| -> Parse<i32> {
        let ok = !s.is_empty() && s.len() <= 4 && s.bytes().all(|b| b.is_ascii_digit());
        if ok { s.parse().map_err(|_| Failure::Syntax) } else { Err(Failure::Syntax) }
    };
    let (hours, minutes, seconds) = match fields.as_slice() {
        [one] if one.len() > 2 => (number(one)? / 100, number(one)? % 100, 0),
        [h] => (number(h)?, 0, 0),
        [h, m] => (number(h)?, number(m)?, 0),
        [h, m, s] => (number(h)?, number(m)?, number(s)?),
        _ => return Err(Failure::Syntax),
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Failure::Range);
    }
    Ok(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// Whether a text means another moment tomorrow.
pub fn is_relative(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["now", "today", "tomorrow", "yesterday"].iter().any(|w| lower.contains(w))
}

/// Whether a text names its zone, so that it does not depend on the session's.
pub fn has_zone(text: &str) -> bool {
    let mut parts = Parts::default();
    scan(text, &mut parts).is_ok()
        && (parts.zone.is_some()
            || matches!(parts.special, Some(Special::Epoch | Special::Infinity | Special::MinusInfinity)))
}

fn scan(text: &str, parts: &mut Parts) -> Parse<()> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut any = false;
    while at < bytes.len() {
        let b = bytes[at];
        if b.is_ascii_whitespace() || b == b',' {
            at += 1;
            continue;
        }
        any = true;
        if b.is_ascii_digit() {
            at = number_field(text, at, parts)?;
        } else if b.is_ascii_alphabetic() {
            at = word_field(text, at, parts)?;
        } else if matches!(b, b'+' | b'-') {
            at = signed_field(text, at, parts)?;
        } else {
            return Err(Failure::Syntax);
        }
    }
    if any { Ok(()) } else { Err(Failure::Syntax) }
}

fn run(bytes: &[u8], at: usize, f: impl Fn(u8) -> bool) -> usize {
    at + bytes[at..].iter().take_while(|b| f(**b)).count()
}

fn signed_field(text: &str, at: usize, parts: &mut Parts) -> Parse<usize> {
    let bytes = text.as_bytes();
    let mut start = at + 1;
    start = run(bytes, start, |b| b == b' ');
    if bytes.get(start).is_some_and(u8::is_ascii_alphabetic) {
        let end = run(bytes, start, |b| b.is_ascii_alphabetic());
        let word = text[start..end].to_ascii_lowercase();
        if special(&word) == Some(Special::Infinity) && parts.special.is_none() {
            let minus = bytes[at] == b'-';
            parts.special = Some(if minus { Special::MinusInfinity } else { Special::Infinity });
            return Ok(end);
        }
        return Err(Failure::Syntax);
    }
    let end = run(bytes, start, |b| b.is_ascii_digit() || b == b':');
    if parts.zone.is_some() || start != at + 1 {
        return Err(Failure::Syntax);
    }
    parts.zone = Some(TimeZone::fixed(parse_offset(&text[at..end])?));
    Ok(end)
}

fn word_field(text: &str, at: usize, parts: &mut Parts) -> Parse<usize> {
    let bytes = text.as_bytes();
    let end = run(bytes, at, |b| b.is_ascii_alphabetic());
    let word = text[at..end].to_ascii_lowercase();
    if let Some(month) = month_by_name(&word) {
        if bytes.get(end).is_some_and(|b| matches!(b, b'-' | b'/' | b'.'))
            && bytes.get(end + 1).is_some_and(u8::is_ascii_digit)
        {
            // Jan-08-1999
            let stop = run(bytes, end + 1, |b| b.is_ascii_digit() || matches!(b, b'-' | b'/' | b'.'));
            set(&mut parts.month, month)?;
            for field in text[end + 1..stop].split(['-', '/', '.']) {
                plain_number(field, parts)?;
            }
            return Ok(stop);
        }
        set(&mut parts.month, month)?;
        return Ok(end);
    }
    match word.as_str() {
        "t" if bytes.get(end).is_some_and(u8::is_ascii_digit) => {}
        "am" => set(&mut parts.afternoon, false)?,
        "pm" => set(&mut parts.afternoon, true)?,
        "bc" => parts.before_christ = true,
        "ad" | "at" | "on" => {}
        "allballs" => {
            set(&mut parts.time, 0)?;
            set(&mut parts.zone, TimeZone::default())?;
        }
        day if is_day_name(day) => {}
        word => match (special(word), abbreviation(word)) {
            (Some(special), _) => set(&mut parts.special, special)?,
            (None, Some(offset)) => {
                // UTC+2 and the like carry their offset behind.
                if bytes.get(end).is_some_and(|b| matches!(b, b'+' | b'-')) {
                    return Ok(end);
                }
                set(&mut parts.zone, TimeZone::fixed(offset))?;
            }
            (None, None) => {
                let stop =
                    run(bytes, end, |b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
                let name = &text[at..stop];
                return match TimeZone::named(name) {
                    Some(zone) => set(&mut parts.zone, zone).map(|()| stop),
                    None if name.contains('/') => Err(Failure::Zone(name.to_ascii_lowercase())),
                    None => Err(Failure::Syntax),
                };
            }
        },
    }
    Ok(end)
}

fn set<T>(place: &mut Option<T>, value: T) -> Parse<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Failure::Syntax),
    }
}

fn int(text: &str) -> Parse<i64> {
    if text.is_empty() || text.len() > 9 {
        return Err(if text.is_empty() { Failure::Syntax } else { Failure::Range });
    }
    text.parse().map_err(|_| Failure::Syntax)
}

fn number_field(text: &str, at: usize, parts: &mut Parts) -> Parse<usize> {
    let bytes = text.as_bytes();
    let end = run(bytes, at, |b| b.is_ascii_digit());
    match bytes.get(end) {
        Some(b':') => {
            let stop = run(bytes, end, |b| b.is_ascii_digit() || matches!(b, b':' | b'.'));
            time_field(&text[at..stop], parts)?;
            Ok(stop)
        }
        Some(b'-' | b'/' | b'.') => {
            let stop = date_end(text, at, end);
            date_field(&text[at..stop], parts)?;
            Ok(stop)
        }
        _ => {
            compact_number(&text[at..end], parts)?;
            // Ordinals are not read: 1st is no day.
            Ok(end)
        }
    }
}

/// Where a date with delimiters ends: at the first character that no date has, or before a sign that begins a zone.
fn date_end(text: &str, at: usize, first: usize) -> usize {
    let bytes = text.as_bytes();
    let delimiter = bytes[first];
    let middle = run(bytes, first + 1, |b| b.is_ascii_digit());
    let middle =
        if middle == first + 1 { run(bytes, first + 1, |b| b.is_ascii_alphabetic()) } else { middle };
    if bytes.get(middle) != Some(&delimiter) {
        return middle.max(at);
    }
    let last = run(bytes, middle + 1, |b| b.is_ascii_digit());
    if last > middle + 1 { last } else { run(bytes, middle + 1, |b| b.is_ascii_alphabetic()) }
}

fn time_field(text: &str, parts: &mut Parts) -> Parse<()> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fields: Vec<&str> = clock.split(':').collect();
    let (hour, minute, second) = match fields.as_slice() {
        [h, m] => (int(h)?, int(m)?, 0),
        [h, m, s] => (int(h)?, int(m)?, int(s)?),
        _ => return Err(Failure::Syntax),
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Failure::Syntax);
    }
    let micros = fraction_micros(fraction);
    set_time(parts, hour, minute, second, micros)
}

/// Six digits, rounded.
fn fraction_micros(fraction: &str) -> i64 {
    if fraction.is_empty() {
        return 0;
    }
    let seconds: f64 = format!("0.{fraction}").parse().unwrap_or(0.0);
    (seconds * 1_000_000.0).round_ties_even() as i64
}

fn set_time(parts: &mut Parts, hour: i64, minute: i64, second: i64, micros: i64) -> Parse<()> {
    let last = hour == 24 && minute == 0 && second == 0 && micros == 0;
    if (hour > 23 && !last) || minute > 59 || second > 60 || (second == 60 && micros > 0) {
        return Err(Failure::Range);
    }
    parts.hour = hour;
    let total = hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + micros;
    set(&mut parts.time, total)
}

/// A date with delimiters: year first if its first field has three digits or more, else month, day, year.
fn date_field(text: &str, parts: &mut Parts) -> Parse<()> {
    let fields: Vec<&str> = text.split(['-', '/', '.']).collect();
    let named = fields.iter().position(|f| f.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()));
    if let Some(i) = named {
        set(&mut parts.month, month_by_name(fields[i]).ok_or(Failure::Syntax)?)?;
        let numbers: Vec<&str> =
            fields.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, f)| *f).collect();
        for number in numbers {
            plain_number(number, parts)?;
        }
        return Ok(());
    }
    match fields.as_slice() {
        [year, day] if year.len() == 4 && day.len() == 3 => {
            set(&mut parts.year, int(year)?)?;
            set(&mut parts.day_of_year, int(day)?)
        }
        [y, m, d] if y.len() >= 3 => set_date(parts, y, m, d),
        [m, d, y] => set_date(parts, y, m, d),
        _ => Err(Failure::Syntax),
    }
}

fn set_date(parts: &mut Parts, year: &str, month: &str, day: &str) -> Parse<()> {
    set(&mut parts.year, int(year)?)?;
    parts.short_year = year.len() <= 2;
    set(&mut parts.month, int(month)?)?;
    set(&mut parts.day, int(day)?)
}

/// Digits alone: a compact date or time, or a day or year beside a month's name.
fn compact_number(text: &str, parts: &mut Parts) -> Parse<()> {
    let have_date = parts.year.is_some() && parts.day.is_some();
    match (text.len(), have_date || parts.special.is_some()) {
        (8, false) if parts.month.is_none() => set_date(parts, &text[..4], &text[4..6], &text[6..]),
        (6, false) if parts.month.is_none() => set_date(parts, &text[..2], &text[2..4], &text[4..]),
        (6, true) => set_time(parts, int(&text[..2])?, int(&text[2..4])?, int(&text[4..])?, 0),
        (4, true) => set_time(parts, int(&text[..2])?, int(&text[2..])?, 0, 0),
        (7, false) if parts.month.is_none() => {
            set(&mut parts.year, int(&text[..4])?)?;
            set(&mut parts.day_of_year, int(&text[4..])?)
        }
        _ => plain_number(text, parts),
    }
}

fn plain_number(text: &str, parts: &mut Parts) -> Parse<()> {
    let n = int(text)?;
    if text.len() <= 2 && parts.day.is_none() {
        set(&mut parts.day, n)
    } else {
        set(&mut parts.year, n)?;
        parts.short_year = text.len() <= 2;
        Ok(())
    }
}

/// The date of the parts, in days.
fn date_of(parts: &Parts) -> Parse<i64> {
    let mut year = parts.year.ok_or(Failure::Syntax)?;
    if parts.short_year && !parts.before_christ {
        year += if year < 70 { 2000 } else { 1900 };
    }
    if year == 0 {
        return Err(Failure::Range);
    }
    if parts.before_christ {
        year = 1 - year;
    }
    if let Some(day) = parts.day_of_year {
        let most = if super::is_leap(year) { 366 } else { 365 };
        return if (1..=most).contains(&day) {
            Ok(days_from_civil(year, 1, day))
        } else {
            Err(Failure::Range)
        };
    }
    let (month, day) = (parts.month.ok_or(Failure::Syntax)?, parts.day.ok_or(Failure::Syntax)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return Err(Failure::Range);
    }
    Ok(days_from_civil(year, month, day))
}

/// The time of day; am and pm applied.
fn time_of(parts: &Parts) -> Parse<i64> {
    let time = parts.time.unwrap_or(0);
    match parts.afternoon {
        None => Ok(time),
        Some(_) if parts.time.is_none() || parts.hour > 12 => Err(Failure::Range),
        Some(true) if parts.hour < 12 => Ok(time + 12 * MICROS_PER_HOUR),
        Some(false) if parts.hour == 12 => Ok(time - 12 * MICROS_PER_HOUR),
        Some(_) => Ok(time),
    }
}

fn describe(failure: Failure, text: &str, ty: &str) -> SqlError {
    match failure {
        Failure::Syntax => SqlError::new(
            sqlstate::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type {ty}: \"{text}\""),
        ),
        Failure::Range => SqlError::new(
            sqlstate::DATETIME_FIELD_OVERFLOW,
            format!("date/time field value out of range: \"{text}\""),
        ),
        Failure::Zone(zone) => unknown_zone(&zone),
    }
}

/// The session's local time now, µs: the transaction's, as in PostgreSQL.
fn local_now(context: &EvalContext<'_>) -> i64 {
    let session = context.session();
    let now = session.transaction_time;
    now + i64::from(session.time_zone.offset_at(now)) * MICROS_PER_SECOND
}

/// Local µs (i64::MIN and MAX infinite) and the zone, if one is named; 'now' keeps its time of day, the others are midnights.
fn moment(text: &str, context: &EvalContext<'_>) -> Parse<(i128, Option<TimeZone>)> {
    let mut parts = Parts::default();
    scan(text, &mut parts)?;
    let today = local_now(context).div_euclid(MICROS_PER_DAY);
    let day = |days: i64| i128::from(days) * i128::from(MICROS_PER_DAY);
    let time = || time_of(&parts).map(i128::from);
    let local = match parts.special {
        None => day(date_of(&parts)?) + time()?,
        Some(_) if parts.year.is_some() || parts.month.is_some() => return Err(Failure::Syntax),
        Some(Special::Today) => day(today) + time()?,
        Some(Special::Tomorrow) => day(today + 1) + time()?,
        Some(Special::Yesterday) => day(today - 1) + time()?,
        Some(_) if parts.time.is_some() => return Err(Failure::Syntax),
        Some(Special::Now) => i128::from(local_now(context)),
        Some(Special::Epoch) => return Ok((day(-super::EPOCH_DAYS), Some(TimeZone::default()))),
        Some(Special::Infinity) => return Ok((i128::from(i64::MAX), Some(TimeZone::default()))),
        Some(Special::MinusInfinity) => return Ok((i128::from(i64::MIN), Some(TimeZone::default()))),
    };
    Ok((local, parts.zone))
}

fn is_infinite(local: i128) -> bool {
    local == i128::from(i64::MAX) || local == i128::from(i64::MIN)
}

/// A date.
pub fn parse_date(text: &str, context: &EvalContext<'_>) -> Result<i32> {
    let (local, _) = moment(text, context).map_err(|f| describe(f, text, "date"))?;
    if is_infinite(local) {
        return Ok(if local > 0 { i32::MAX } else { i32::MIN });
    }
    super::checked_date(local.div_euclid(i128::from(MICROS_PER_DAY)) as i64).map_err(|_| {
        SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\""))
    })
}

fn out_of_range(text: &str) -> SqlError {
    SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\""))
}

/// A timestamp: a zone in the text is ignored.
pub fn parse_timestamp(text: &str, context: &EvalContext<'_>) -> Result<i64> {
    let (local, _) = moment(text, context).map_err(|f| describe(f, text, "timestamp"))?;
    if is_infinite(local) {
        return Ok(local as i64);
    }
    checked_timestamp(local).map_err(|_| out_of_range(text))
}

/// A timestamptz: without a zone in the session's.
pub fn parse_timestamptz(text: &str, context: &EvalContext<'_>) -> Result<i64> {
    let (local, zone) = moment(text, context).map_err(|f| describe(f, text, "timestamp with time zone"))?;
    if is_infinite(local) {
        return Ok(local as i64);
    }
    let zone = zone.as_ref().unwrap_or(&context.session().time_zone);
    // A local time may lie just outside of the range whose moment is inside.
    let moment = i64::try_from(local).ok().and_then(|local| zone.to_utc(local).ok());
    moment.ok_or_else(|| out_of_range(text))
}
