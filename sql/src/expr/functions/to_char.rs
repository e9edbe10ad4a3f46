//! to_char, to_date, to_timestamp: PostgreSQL's template patterns for times.
//!
//! Known are years, months, days, weeks, hours to µs, names, Q, J and the zone, with FM, TH and quoted text. What reads a
//! time knows fewer; such a pattern is refused, not skipped.

use gemini_shadow_ops::Value;

use super::super::datetime::{
    self, DAYS, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MONTHS,
};
use super::super::function::{Arg, Call, Function, pure};
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{Date, Text, Timestamp, Timestamptz};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("to_char", &[Timestamp, Text], Text, time_to_char),
    pure("to_char", &[Timestamptz, Text], Text, time_to_char).stable(),
    pure("to_char", &[Arg::Interval, Text], Text, time_to_char),
    pure("to_date", &[Text, Text], Date, to_date),
    pure("to_timestamp", &[Text, Text], Timestamptz, to_timestamp).stable(),
];

/// The patterns of times, longest first where one begins another.
const KEYS: &[&str] = &[
    "SSSSS", "SSSS", "Y,YYY", "YYYY", "IYYY", "MONTH", "Month", "month", "HH24", "HH12", "A.D.", "B.C.",
    "a.d.", "b.c.", "A.M.", "P.M.", "a.m.", "p.m.", "YYY", "IYY", "MON", "Mon", "mon", "DAY", "Day", "day",
    "DDD", "IDDD", "TZH", "TZM", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "YY", "IY", "MM", "DD", "DY",
    "Dy", "dy", "ID", "WW", "IW", "CC", "HH", "MI", "SS", "MS", "US", "TZ", "tz", "OF", "AM", "PM", "am",
    "pm", "AD", "BC", "ad", "bc", "RM", "rm", "Y", "I", "D", "W", "J", "Q",
];

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Key { name: &'static str, fill: bool, ordinal: Option<bool> },
    Literal(String),
}

fn pieces(template: &str) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut rest = template;
    let mut fill = true;
    fn literal(out: &mut Vec<Piece>, text: &str) {
        match out.last_mut() {
            Some(Piece::Literal(have)) => have.push_str(text),
            _ => out.push(Piece::Literal(text.to_owned())),
        }
    }
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            fill = false;
            rest = after;
            continue;
        }
        if let Some(after) = ["FX", "fx", "TM", "tm"].iter().find_map(|p| rest.strip_prefix(p)) {
            rest = after;
            continue;
        }
        if c == '"' {
            let end = rest[1..].find('"').map_or(rest.len(), |i| i + 1);
            literal(&mut out, &rest[1..end]);
            rest = rest.get(end + 1..).unwrap_or("");
            continue;
        }
        let found = KEYS.iter().find(|k| rest.starts_with(**k)).or_else(|| {
            let lower_is_same = |k: &&&str| !k.bytes().any(|b| b.is_ascii_lowercase()) && !is_name(k);
            KEYS.iter()
                .filter(lower_is_same)
                .find(|k| rest.get(..k.len()).is_some_and(|head| head.eq_ignore_ascii_case(k)))
        });
        match found {
            Some(key) => {
                rest = &rest[key.len()..];
                let ordinal = match rest.get(..2) {
                    Some("TH") => Some(true),
                    Some("th") => Some(false),
                    _ => None,
                };
                if ordinal.is_some() {
                    rest = &rest[2..];
                }
                out.push(Piece::Key { name: key, fill, ordinal });
                fill = true;
            }
            None => {
                let end = c.len_utf8();
                literal(&mut out, &rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    out
}

/// Patterns whose case is that of what they print.
fn is_name(key: &str) -> bool {
    matches!(
        key,
        "MONTH"
            | "MON"
            | "DAY"
            | "DY"
            | "A.D."
            | "B.C."
            | "A.M."
            | "P.M."
            | "AM"
            | "PM"
            | "AD"
            | "BC"
            | "RM"
            | "TZ"
    )
}

/// What the patterns of times read.
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    days: i64,
    /// µs of the day; an interval's may exceed a day.
    time: i64,
    offset: Option<i32>,
    /// The zone's abbreviation.
    zone: String,
    interval: bool,
}

fn fields(value: &Value, call: &Call<'_>) -> Result<Option<Fields>> {
    let mut zone = String::new();
    let (local, offset) = match value {
        Value::Timestamp(t) => (*t, None),
        Value::Timestamptz(t) => {
            let own = &call.context.session().time_zone;
            zone = own.abbreviation_at(*t);
            (own.to_local(*t)?, Some(own.offset_at(*t)))
        }
        Value::Interval(span) => {
            return Ok(Some(Fields {
                year: i64::from(span.months / 12),
                month: i64::from(span.months % 12),
                day: i64::from(span.days),
                days: i64::from(span.days),
                time: span.micros,
                offset: None,
                zone: String::new(),
                interval: true,
            }));
        }
        _ => return Err(mistyped(call)),
    };
    if datetime::is_infinite(local) {
        return Ok(None);
    }
    let days = local.div_euclid(MICROS_PER_DAY);
    let civil = datetime::civil_from_days(days);
    Ok(Some(Fields {
        year: civil.year,
        month: civil.month,
        day: civil.day,
        days,
        time: local.rem_euclid(MICROS_PER_DAY),
        offset,
        zone,
        interval: false,
    }))
}

fn time_to_char(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let template = args[1].as_text().ok_or_else(|| mistyped(call))?;
    let Some(fields) = fields(&args[0], call)? else { return Ok(Value::text("")) };
    let mut out = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Literal(text) => out.push_str(&text),
            Piece::Key { name, fill, ordinal } => {
                let text = print_key(name, fill, &fields)?;
                out.push_str(&text);
                if let (Some(upper), Ok(n)) = (ordinal, text.trim().parse::<i64>()) {
                    out.push_str(suffix(n, upper));
                }
            }
        }
    }
    Ok(Value::text(out))
}

pub(super) fn suffix(n: i64, upper: bool) -> &'static str {
    let n = n.abs();
    let pair = match (n % 100, n % 10) {
        (11..=13, _) => ["th", "TH"],
        (_, 1) => ["st", "ST"],
        (_, 2) => ["nd", "ND"],
        (_, 3) => ["rd", "RD"],
        _ => ["th", "TH"],
    };
    pair[usize::from(upper)]
}

fn padded(n: i64, width: usize, fill: bool) -> String {
    if !fill {
        return n.to_string();
    }
    let sign = if n < 0 { "-" } else { "" };
    format!("{sign}{:0width$}", n.abs())
}

/// A name in the case of its pattern, blank-filled to nine characters if it is in full.
fn named(name: &str, key: &str, full: bool, fill: bool) -> String {
    let cased = if key.chars().all(|c| c.is_ascii_uppercase()) {
        name.to_uppercase()
    } else if key.starts_with(|c: char| c.is_ascii_uppercase()) {
        name.to_owned()
    } else {
        name.to_lowercase()
    };
    if full && fill { format!("{cased:<9}") } else { cased }
}

fn print_key(key: &'static str, fill: bool, f: &Fields) -> Result<String> {
    let shown_year = if f.year > 0 || f.interval { f.year } else { 1 - f.year };
    let weekday = (f.days + 6).rem_euclid(7);
    let of_year = || f.days - datetime::days_from_civil(f.year, 1, 1) + 1;
    let (iso_year, iso_week) = datetime::iso_week(f.days);
    let hour = f.time / MICROS_PER_HOUR;
    let second = f.time / MICROS_PER_SECOND % 60;
    let micros = f.time % MICROS_PER_SECOND;
    if f.interval
        && matches!(
            key,
            "MONTH"
                | "Month"
                | "month"
                | "MON"
                | "Mon"
                | "mon"
                | "DAY"
                | "Day"
                | "day"
                | "DY"
                | "Dy"
                | "dy"
                | "D"
                | "ID"
                | "AD"
                | "BC"
                | "ad"
                | "bc"
                | "A.D."
                | "B.C."
                | "TZ"
                | "tz"
                | "OF"
        )
    {
        return Err(SqlError::new(
            sqlstate::INVALID_DATETIME_FORMAT,
            "invalid format specification for an interval value",
        )
        .hint("Intervals are not tied to specific calendar dates."));
    }
    let month_name = MONTHS[(f.month - 1).clamp(0, 11) as usize];
    let day_name = DAYS[weekday as usize];
    Ok(match key {
        "YYYY" => padded(shown_year, 4, fill),
        "Y,YYY" => format!("{},{:03}", shown_year / 1000, shown_year % 1000),
        "YYY" => padded(shown_year % 1000, 3, fill),
        "YY" => padded(shown_year % 100, 2, fill),
        "Y" => padded(shown_year % 10, 1, fill),
        "IYYY" => padded(iso_year, 4, fill),
        "IYY" => padded(iso_year % 1000, 3, fill),
        "IY" => padded(iso_year % 100, 2, fill),
        "I" => padded(iso_year % 10, 1, fill),
        "MM" => padded(f.month, 2, fill),
        "MONTH" | "Month" | "month" => named(month_name, key, true, fill),
        "MON" | "Mon" | "mon" => named(&month_name[..3], key, false, fill),
        "RM" | "rm" => {
            const ROMAN: [&str; 12] =
                ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
            let roman = named(ROMAN[(f.month - 1).clamp(0, 11) as usize], key, false, fill);
            if fill { format!("{roman:<4}") } else { roman }
        }
        "DD" => padded(f.day, 2, fill),
        "DDD" => padded(of_year(), 3, fill),
        "IDDD" => padded((iso_week - 1) * 7 + (f.days + 5).rem_euclid(7) + 1, 3, fill),
        "DAY" | "Day" | "day" => named(day_name, key, true, fill),
        "DY" | "Dy" | "dy" => named(&day_name[..3], key, false, fill),
        "D" => (weekday + 1).to_string(),
        "ID" => ((f.days + 5).rem_euclid(7) + 1).to_string(),
        "W" => ((f.day - 1) / 7 + 1).to_string(),
        "WW" => padded((of_year() - 1) / 7 + 1, 2, fill),
        "IW" => padded(iso_week, 2, fill),
        "CC" => padded((shown_year + 99) / 100, 2, fill),
        "J" => (f.days + 2_451_545).to_string(),
        "Q" => ((f.month - 1) / 3 + 1).to_string(),
        "HH24" => padded(hour, 2, fill),
        "HH" | "HH12" if f.interval => padded(hour % 12, 2, fill),
        "HH" | "HH12" => padded(if hour % 12 == 0 { 12 } else { hour % 12 }, 2, fill),
        "MI" => padded(f.time / MICROS_PER_MINUTE % 60, 2, fill),
        "SS" => padded(second, 2, fill),
        "SSSS" | "SSSSS" => (f.time / MICROS_PER_SECOND).to_string(),
        "MS" => format!("{:03}", micros / 1000),
        "US" => format!("{micros:06}"),
        "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let digits = usize::from(key.as_bytes()[2] - b'0');
            format!("{micros:06}")[..digits].to_owned()
        }
        "AM" | "PM" => (if hour % 24 >= 12 { "PM" } else { "AM" }).to_owned(),
        "am" | "pm" => (if hour % 24 >= 12 { "pm" } else { "am" }).to_owned(),
        "A.M." | "P.M." => (if hour % 24 >= 12 { "P.M." } else { "A.M." }).to_owned(),
        "a.m." | "p.m." => (if hour % 24 >= 12 { "p.m." } else { "a.m." }).to_owned(),
        "AD" | "BC" => (if f.year > 0 { "AD" } else { "BC" }).to_owned(),
        "ad" | "bc" => (if f.year > 0 { "ad" } else { "bc" }).to_owned(),
        "A.D." | "B.C." => (if f.year > 0 { "A.D." } else { "B.C." }).to_owned(),
        "a.d." | "b.c." => (if f.year > 0 { "a.d." } else { "b.c." }).to_owned(),
        "TZ" => f.zone.clone(),
        "tz" => f.zone.to_lowercase(),
        "OF" => f.offset.map_or("+00".to_owned(), offset_text),
        "TZH" => {
            let offset = f.offset.unwrap_or(0);
            format!("{}{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600)
        }
        "TZM" => format!("{:02}", f.offset.unwrap_or(0).abs() / 60 % 60),
        other => {
            return Err(SqlError::unsupported(
                format!("to_char pattern \"{other}\""),
                "Use another pattern.",
            ));
        }
    })
}

fn offset_text(offset: i32) -> String {
    let mut out = String::new();
    datetime::write_offset(&mut out, offset);
    out
}

#[derive(Default)]
struct Read {
    year: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    twelve: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    day_seconds: Option<i64>,
    zone: Option<i32>,
}

fn bad_value(value: &str, key: &str) -> SqlError {
    SqlError::new(sqlstate::INVALID_DATETIME_FORMAT, format!("invalid value \"{value}\" for \"{key}\""))
}

/// The digits at the start of a text, at most `most` of them, after blanks and an optional sign.
fn digits<'t>(text: &mut &'t str, most: usize, key: &str) -> Result<(i64, &'t str)> {
    *text = text.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let count = text[sign..].bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (head, rest) = text.split_at(sign + count);
    let shown: String = text.chars().take(most.min(12)).collect();
    let n = head.parse().map_err(|_| bad_value(&shown, key).detail("Value must be an integer."))?;
    *text = rest;
    Ok((n, head))
}

fn word<'t>(text: &mut &'t str) -> &'t str {
    *text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphabetic() && c != '.').unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    *text = rest;
    head
}

fn read(text: &str, template: &str) -> Result<Read> {
    let mut read = Read::default();
    let mut rest = text;
    let all = pieces(template);
    for (i, piece) in all.iter().enumerate() {
        let key = match piece {
            Piece::Literal(literal) => {
                skip_literal(&mut rest, literal);
                continue;
            }
            Piece::Key { name, .. } => *name,
        };
        if rest.trim_start().is_empty() {
            break;
        }
        // Digits run on unless another number follows at once.
        let runs_on = !matches!(all.get(i + 1), Some(Piece::Key { .. }));
        read_key(&mut read, &mut rest, key, runs_on)?;
    }
    Ok(read)
}

/// Separators match any separators; other characters of the template skip one character each.
fn skip_literal(rest: &mut &str, literal: &str) {
    for c in literal.chars() {
        if c.is_alphanumeric() {
            let mut chars = rest.chars();
            chars.next();
            *rest = chars.as_str();
        } else {
            *rest = rest.trim_start_matches(' ');
            let separator =
                rest.chars().next().filter(|s| !s.is_alphanumeric() && (c != ' ' || !matches!(s, '-' | '+')));
            if let Some(s) = separator {
                *rest = &rest[s.len_utf8()..];
            }
        }
    }
}

fn read_key(read: &mut Read, rest: &mut &str, key: &'static str, runs_on: bool) -> Result<()> {
    let width = |n: usize| if runs_on { 9 } else { n };
    match key {
        "YYYY" | "IYYY" => read.year = Some(digits(rest, width(4), key)?.0),
        "YYY" | "YY" | "Y" => {
            let (n, head) = digits(rest, width(key.len()), key)?;
            let century = match head.len() {
                1 | 2 => {
                    if n < 70 {
                        2000
                    } else {
                        1900
                    }
                }
                3 => {
                    if n < 520 {
                        2000
                    } else {
                        1000
                    }
                }
                _ => 0,
            };
            read.year = Some(n + century);
        }
        "Y,YYY" => {
            let (thousands, _) = digits(rest, 9, key)?;
            *rest = rest.strip_prefix(',').unwrap_or(rest);
            read.year = Some(thousands * 1000 + digits(rest, 3, key)?.0);
        }
        "MM" => read.month = Some(digits(rest, 2, key)?.0),
        "MONTH" | "Month" | "month" | "MON" | "Mon" | "mon" => {
            let name = word(rest);
            let full = datetime::month_by_name(name);
            let abbreviated = || datetime::month_by_name(name.get(..3)?);
            let month = full.or_else(|| if key.len() == 3 { abbreviated() } else { None });
            read.month = Some(month.ok_or_else(|| {
                bad_value(name, key)
                    .detail("The given value did not match any of the allowed values for this field.")
            })?);
        }
        "DAY" | "Day" | "day" | "DY" | "Dy" | "dy" => drop(word(rest)),
        "DD" => read.day = Some(digits(rest, 2, key)?.0),
        "DDD" => read.day_of_year = Some(digits(rest, 3, key)?.0),
        "J" => read.julian = Some(digits(rest, 9, key)?.0),
        "HH24" => read.hour = digits(rest, 2, key)?.0,
        "HH" | "HH12" => {
            read.hour = digits(rest, 2, key)?.0;
            read.twelve = true;
        }
        "MI" => read.minute = digits(rest, 2, key)?.0,
        "SS" => read.second = digits(rest, 2, key)?.0,
        "SSSS" | "SSSSS" => read.day_seconds = Some(digits(rest, 5, key)?.0),
        "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let most = match key {
                "MS" => 3,
                "US" => 6,
                other => usize::from(other.as_bytes()[2] - b'0'),
            };
            let (n, head) = digits(rest, most, key)?;
            read.micros += n * 10i64.pow(6 - head.len().min(6) as u32);
        }
        "AM" | "PM" | "am" | "pm" | "A.M." | "P.M." | "a.m." | "p.m." => {
            let name = word(rest).replace('.', "").to_ascii_lowercase();
            read.afternoon = Some(match name.as_str() {
                "am" => false,
                "pm" => true,
                other => return Err(bad_value(other, key)),
            });
        }
        "AD" | "BC" | "ad" | "bc" | "A.D." | "B.C." | "a.d." | "b.c." => {
            read.before_christ = word(rest).to_ascii_lowercase().starts_with('b');
        }
        "Q" | "D" | "ID" | "W" | "WW" | "CC" => drop(digits(rest, 2, key)?),
        "TZH" => read.zone = Some(digits(rest, 3, key)?.0 as i32 * 3600 + read.zone.unwrap_or(0)),
        "TZM" => {
            let minutes = digits(rest, 2, key)?.0 as i32 * 60;
            let hours = read.zone.unwrap_or(0);
            read.zone = Some(if hours < 0 { hours - minutes } else { hours + minutes });
        }
        other => {
            return Err(SqlError::unsupported(
                format!("formatting field \"{other}\" in to_date and to_timestamp"),
                "Use a calendar date's fields.",
            ));
        }
    }
    Ok(())
}

fn out_of_range(text: &str) -> SqlError {
    SqlError::new(
        sqlstate::DATETIME_FIELD_OVERFLOW,
        format!("date/time field value out of range: \"{text}\""),
    )
}

fn date_of(read: &Read, text: &str) -> Result<i64> {
    if let Some(julian) = read.julian {
        return Ok(julian - 2_451_545);
    }
    let year = match read.year.unwrap_or(if read.before_christ { 1 } else { 0 }) {
        y if read.before_christ => 1 - y,
        y if y < 0 => y + 1,
        0 => 0, // no year is 1 BC
        y => y,
    };
    if let Some(day) = read.day_of_year {
        return Ok(datetime::days_from_civil(year, 1, day));
    }
    let (month, day) = (read.month.unwrap_or(1), read.day.unwrap_or(1));
    if !(1..=12).contains(&month) || day < 1 || day > datetime::days_in_month(year, month) {
        return Err(out_of_range(text));
    }
    Ok(datetime::days_from_civil(year, month, day))
}

fn to_date(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (Some(text), Some(template)) = (args[0].as_text(), args[1].as_text()) else {
        return Err(mistyped(call));
    };
    datetime::checked_date(date_of(&read(text, template)?, text)?).map(Value::Date)
}

fn to_timestamp(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (Some(text), Some(template)) = (args[0].as_text(), args[1].as_text()) else {
        return Err(mistyped(call));
    };
    let read = read(text, template)?;
    let mut hour = read.hour;
    if read.twelve && !(1..=12).contains(&hour) {
        return Err(SqlError::new(
            sqlstate::INVALID_DATETIME_FORMAT,
            format!("hour \"{hour}\" is invalid for the 12-hour clock"),
        )
        .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
    }
    match read.afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    let valid = (0..=24).contains(&hour) && (0..60).contains(&read.minute) && (0..=60).contains(&read.second);
    if !valid {
        return Err(out_of_range(text));
    }
    let seconds = read.day_seconds.unwrap_or(hour * 3600 + read.minute * 60 + read.second);
    let local = i128::from(date_of(&read, text)?) * i128::from(MICROS_PER_DAY)
        + i128::from(seconds) * i128::from(MICROS_PER_SECOND)
        + i128::from(read.micros);
    let local = datetime::checked_timestamp(local)?;
    let zone = match read.zone {
        Some(seconds) => &datetime::TimeZone::fixed(seconds),
        None => &call.context.session().time_zone,
    };
    zone.to_utc(local).map(Value::Timestamptz)
}
