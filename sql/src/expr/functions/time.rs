//! Date and time functions and operators.
//!
//! What is local (a field, a midnight) is taken in the session's zone; hence functions of a timestamptz
//! are stable, those of a timestamp immutable.

use gemini_shadow_ops::{DataType, Interval, Numeric, Value};

use super::super::datetime::{self, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_SECOND, Source, TimeZone};
use super::super::function::{Arg, Call, Function, pure};
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{Bool, Date, Float8, Int4, Text, Timestamp, Timestamptz};

const I: Arg = Arg::Interval;
const N: Arg = Arg::Numeric;

pub(in super::super) static OPERATORS: &[Function] = &[
    pure("+", &[Date, Int4], Date, date_plus),
    pure("+", &[Int4, Date], Date, date_plus),
    pure("-", &[Date, Int4], Date, date_minus),
    pure("-", &[Date, Date], Int4, date_difference),
    pure("+", &[Date, I], Timestamp, plus_interval),
    pure("+", &[I, Date], Timestamp, plus_interval),
    pure("-", &[Date, I], Timestamp, minus_interval),
    pure("+", &[Timestamp, I], Timestamp, plus_interval),
    pure("+", &[I, Timestamp], Timestamp, plus_interval),
    pure("-", &[Timestamp, I], Timestamp, minus_interval),
    pure("+", &[Timestamptz, I], Timestamptz, plus_interval).stable(),
    pure("+", &[I, Timestamptz], Timestamptz, plus_interval).stable(),
    pure("-", &[Timestamptz, I], Timestamptz, minus_interval).stable(),
    pure("-", &[Timestamp, Timestamp], I, difference),
    pure("-", &[Timestamptz, Timestamptz], I, difference),
    pure("+", &[I, I], I, interval_sum),
    pure("-", &[I, I], I, interval_sum),
    pure("-", &[I], I, interval_negate),
    pure("*", &[I, Float8], I, interval_scale),
    pure("*", &[Float8, I], I, interval_scale),
    pure("/", &[I, Float8], I, interval_scale),
];

pub(super) static FUNCTIONS: &[Function] = &[
    pure("now", &[], Timestamptz, transaction_time).stable(),
    pure("transaction_timestamp", &[], Timestamptz, transaction_time).stable(),
    pure("current_timestamp", &[], Timestamptz, transaction_time).stable(),
    pure("current_timestamp", &[Int4], Timestamptz, transaction_time).stable(),
    pure("statement_timestamp", &[], Timestamptz, statement_time).stable(),
    pure("clock_timestamp", &[], Timestamptz, clock_time).volatile(),
    pure("localtimestamp", &[], Timestamp, local_time).stable(),
    pure("localtimestamp", &[Int4], Timestamp, local_time).stable(),
    pure("current_date", &[], Date, current_date).stable(),
    pure("timeofday", &[], Text, time_of_day).volatile(),
    pure("age", &[Timestamp], I, age_today).stable(),
    pure("age", &[Timestamptz], I, age_today).stable(),
    pure("age", &[Timestamp, Timestamp], I, age),
    pure("age", &[Timestamptz, Timestamptz], I, age).stable(),
    pure("extract", &[Text, Date], N, extract),
    pure("extract", &[Text, Timestamp], N, extract),
    pure("extract", &[Text, Timestamptz], N, extract).stable(),
    pure("extract", &[Text, I], N, extract),
    pure("date_part", &[Text, Date], Float8, extract),
    pure("date_part", &[Text, Timestamp], Float8, extract),
    pure("date_part", &[Text, Timestamptz], Float8, extract).stable(),
    pure("date_part", &[Text, I], Float8, extract),
    pure("date_trunc", &[Text, Timestamp], Timestamp, trunc),
    pure("date_trunc", &[Text, Timestamptz], Timestamptz, trunc).stable(),
    pure("date_trunc", &[Text, Timestamptz, Text], Timestamptz, trunc).stable(),
    pure("date_trunc", &[Text, I], I, trunc),
    pure("make_date", &[Int4, Int4, Int4], Date, make_date),
    pure("make_timestamp", &[Int4, Int4, Int4, Int4, Int4, Float8], Timestamp, make_timestamp),
    pure("make_timestamptz", &[Int4, Int4, Int4, Int4, Int4, Float8], Timestamptz, make_timestamp).stable(),
    pure("make_interval", &[], I, make_interval),
    pure("make_interval", &[Int4], I, make_interval),
    pure("make_interval", &[Int4, Int4], I, make_interval),
    pure("make_interval", &[Int4, Int4, Int4], I, make_interval),
    pure("make_interval", &[Int4, Int4, Int4, Int4], I, make_interval),
    pure("make_interval", &[Int4, Int4, Int4, Int4, Int4], I, make_interval),
    pure("make_interval", &[Int4, Int4, Int4, Int4, Int4, Int4], I, make_interval),
    pure("make_interval", &[Int4, Int4, Int4, Int4, Int4, Int4, Float8], I, make_interval),
    pure("justify_days", &[I], I, justify),
    pure("justify_hours", &[I], I, justify),
    pure("justify_interval", &[I], I, justify),
    pure("isfinite", &[Date], Bool, is_finite),
    pure("isfinite", &[Timestamp], Bool, is_finite),
    pure("isfinite", &[Timestamptz], Bool, is_finite),
    pure("isfinite", &[I], Bool, is_finite),
    pure("to_timestamp", &[Float8], Timestamptz, from_epoch),
    pure("timezone", &[Text, Timestamptz], Timestamp, at_time_zone),
    pure("timezone", &[Text, Timestamp], Timestamptz, at_time_zone),
    pure("timezone", &[I, Timestamptz], Timestamp, at_time_zone),
    pure("timezone", &[I, Timestamp], Timestamptz, at_time_zone),
    pure("date", &[Timestamp], Date, to_date),
    pure("date", &[Timestamptz], Date, to_date).stable(),
];

fn zone<'c>(call: &Call<'c>) -> &'c TimeZone {
    &call.context.session().time_zone
}

/// µs of a date, timestamp or timestamptz as it stands (a timestamptz in UTC).
fn micros(value: &Value, call: &Call<'_>) -> Result<i64> {
    match value {
        Value::Date(days) => datetime::date_to_timestamp(*days),
        Value::Timestamp(t) | Value::Timestamptz(t) => Ok(*t),
        _ => Err(mistyped(call)),
    }
}

/// Local µs: a timestamptz in the session's zone.
fn local(value: &Value, call: &Call<'_>) -> Result<i64> {
    match value {
        Value::Timestamptz(t) => zone(call).to_local(*t),
        other => micros(other, call),
    }
}

fn interval<'v>(value: &'v Value, call: &Call<'_>) -> Result<&'v Interval> {
    match value {
        Value::Interval(interval) => Ok(interval),
        _ => Err(mistyped(call)),
    }
}

fn wrap(micros: i64, call: &Call<'_>) -> Value {
    if *call.ty == DataType::Timestamptz { Value::Timestamptz(micros) } else { Value::Timestamp(micros) }
}

fn add_days(days: i32, n: i64) -> Result<Value> {
    if days == i32::MIN || days == i32::MAX {
        return Ok(Value::Date(days));
    }
    datetime::checked_date(i64::from(days) + n).map(Value::Date)
}

fn date_plus(args: &[Value], call: &Call<'_>) -> Result<Value> {
    match (&args[0], &args[1]) {
        (Value::Date(d), n) | (n, Value::Date(d)) => add_days(*d, n.as_i64().ok_or_else(|| mistyped(call))?),
        _ => Err(mistyped(call)),
    }
}

fn date_minus(args: &[Value], call: &Call<'_>) -> Result<Value> {
    match (&args[0], args[1].as_i64()) {
        (Value::Date(d), Some(n)) => add_days(*d, -n),
        _ => Err(mistyped(call)),
    }
}

fn date_difference(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (Value::Date(a), Value::Date(b)) = (&args[0], &args[1]) else { return Err(mistyped(call)) };
    if [a, b].iter().any(|d| **d == i32::MIN || **d == i32::MAX) {
        return Err(SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite dates"));
    }
    a.checked_sub(*b).map(Value::Int4).ok_or_else(datetime::date_out_of_range)
}

/// Months and days of a timestamptz are those of the session's calendar, hours are hours: a day may have 23 of them.
fn add_to(value: &Value, by: &Interval, call: &Call<'_>) -> Result<Value> {
    let Value::Timestamptz(mut t) = *value else {
        return Ok(wrap(datetime::add_interval(local(value, call)?, by)?, call));
    };
    for part in [Interval { days: 0, micros: 0, ..*by }, Interval { months: 0, micros: 0, ..*by }] {
        if part != Interval::default() {
            t = zone(call).to_utc(datetime::add_interval(zone(call).to_local(t)?, &part)?)?;
        }
    }
    datetime::shift(t, by.micros).map(Value::Timestamptz)
}

fn plus_interval(args: &[Value], call: &Call<'_>) -> Result<Value> {
    match (&args[0], &args[1]) {
        (Value::Interval(by), value) | (value, Value::Interval(by)) => add_to(value, by, call),
        _ => Err(mistyped(call)),
    }
}

fn minus_interval(args: &[Value], call: &Call<'_>) -> Result<Value> {
    add_to(&args[0], &datetime::negate(interval(&args[1], call)?)?, call)
}

fn difference(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (a, b) = (micros(&args[0], call)?, micros(&args[1], call)?);
    if datetime::is_infinite(a) || datetime::is_infinite(b) {
        return Err(SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite timestamps"));
    }
    let span = a.checked_sub(b).ok_or_else(datetime::interval_out_of_range)?;
    let days = i32::try_from(span / MICROS_PER_DAY).map_err(|_| datetime::interval_out_of_range())?;
    Ok(Value::Interval(Interval { months: 0, days, micros: span % MICROS_PER_DAY }))
}

fn interval_sum(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (a, b) = (interval(&args[0], call)?, interval(&args[1], call)?);
    let sum =
        if call.name == "+" { datetime::add_intervals(a, b)? } else { datetime::subtract_intervals(a, b)? };
    Ok(Value::Interval(sum))
}

fn interval_negate(args: &[Value], call: &Call<'_>) -> Result<Value> {
    datetime::negate(interval(&args[0], call)?).map(Value::Interval)
}

fn interval_scale(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (span, factor) = match (&args[0], &args[1]) {
        (Value::Interval(span), Value::Float8(f)) | (Value::Float8(f), Value::Interval(span)) => (span, *f),
        _ => return Err(mistyped(call)),
    };
    let scaled =
        if call.name == "/" { datetime::divide(span, factor)? } else { datetime::multiply(span, factor)? };
    Ok(Value::Interval(scaled))
}

/// Rounded to the digits that CURRENT_TIMESTAMP(n) asks for.
fn rounded(t: i64, args: &[Value]) -> i64 {
    match args.first().and_then(Value::as_i64) {
        Some(digits) if (0..6).contains(&digits) => {
            let unit = 10i64.pow(6 - digits as u32);
            (t + unit / 2).div_euclid(unit) * unit
        }
        _ => t,
    }
}

fn transaction_time(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Timestamptz(rounded(call.context.session().transaction_time, args)))
}

fn statement_time(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Timestamptz(call.context.session().statement_time))
}

fn clock_time(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Timestamptz(call.context.environment.clock()))
}

fn local_time(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Timestamp(rounded(local_now(call)?, args)))
}

fn local_now(call: &Call<'_>) -> Result<i64> {
    zone(call).to_local(call.context.session().transaction_time)
}

fn today(call: &Call<'_>) -> Result<i64> {
    Ok(local_now(call)?.div_euclid(MICROS_PER_DAY))
}

fn current_date(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    datetime::checked_date(today(call)?).map(Value::Date)
}

fn time_of_day(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    let now = Value::Timestamptz(call.context.environment.clock());
    Ok(Value::text(super::super::text::output(&now, &DataType::Timestamptz, call.context.session())))
}

fn age(args: &[Value], call: &Call<'_>) -> Result<Value> {
    datetime::age(local(&args[0], call)?, local(&args[1], call)?).map(Value::Interval)
}

fn age_today(args: &[Value], call: &Call<'_>) -> Result<Value> {
    datetime::age(today(call)? * MICROS_PER_DAY, local(&args[0], call)?).map(Value::Interval)
}

/// extract (numeric) and date_part (float8).
fn extract(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let field = args[0].as_text().ok_or_else(|| mistyped(call))?;
    let source = match &args[1] {
        Value::Date(days) => Source::Date(*days),
        Value::Timestamp(t) => Source::Timestamp(*t),
        Value::Timestamptz(t) => Source::Timestamptz(*t, zone(call).offset_at(*t)),
        Value::Interval(span) => Source::Interval(*span),
        _ => return Err(mistyped(call)),
    };
    if call.name == "date_part"
        && let Source::Date(days) = source
        && let Ok(midnight) = datetime::date_to_timestamp(days)
    {
        // date_part takes a date as its midnight, so it has hours.
        return as_float(datetime::extract(field, Source::Timestamp(midnight))?);
    }
    let number = datetime::extract(field, source)?;
    if call.name == "date_part" { as_float(number) } else { Ok(number.map_or(Value::Null, Value::Numeric)) }
}

fn as_float(number: Option<Numeric>) -> Result<Value> {
    Ok(number.map_or(Value::Null, |n| Value::Float8(n.to_f64())))
}

fn trunc(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let field = args[0].as_text().ok_or_else(|| mistyped(call))?;
    match &args[1] {
        Value::Interval(span) => datetime::trunc_interval(field, span).map(Value::Interval),
        Value::Timestamp(t) => {
            datetime::trunc(field, *t, "timestamp without time zone").map(Value::Timestamp)
        }
        Value::Timestamptz(t) => {
            let zone = match args.get(2).and_then(Value::as_text) {
                Some(name) => &datetime::zone(name)?,
                None => zone(call),
            };
            let local = zone.to_local(*t)?;
            let cut = datetime::trunc(field, local, "timestamp with time zone")?;
            // Within an hour that comes twice the offset stays.
            if !datetime::is_infinite(*t) && cut.abs_diff(local) < MICROS_PER_HOUR as u64 {
                return datetime::shift(*t, cut - local).map(Value::Timestamptz);
            }
            zone.to_utc(cut).map(Value::Timestamptz)
        }
        _ => Err(mistyped(call)),
    }
}

fn ints<const K: usize>(args: &[Value], call: &Call<'_>) -> Result<[i64; K]> {
    let mut out = [0; K];
    for (place, value) in out.iter_mut().zip(args) {
        *place = value.as_i64().ok_or_else(|| mistyped(call))?;
    }
    Ok(out)
}

/// Days of a date that must exist; a negative year is BC.
fn civil_days(year: i64, month: i64, day: i64) -> Result<i64> {
    let shown_year = year;
    let invalid = || {
        SqlError::new(
            sqlstate::DATETIME_FIELD_OVERFLOW,
            format!("date field value out of range: {shown_year}-{month:02}-{day:02}"),
        )
    };
    let year = match year {
        0 => return Err(invalid()),
        y if y < 0 => y + 1,
        y => y,
    };
    let exists = (1..=12).contains(&month) && day >= 1 && day <= datetime::days_in_month(year, month);
    if exists { Ok(datetime::days_from_civil(year, month, day)) } else { Err(invalid()) }
}

fn make_date(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let [year, month, day] = ints(args, call)?;
    datetime::checked_date(civil_days(year, month, day)?).map(Value::Date)
}

fn make_timestamp(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let [year, month, day, hour, minute] = ints(args, call)?;
    let seconds = args[5].as_f64().unwrap_or(0.0);
    let days = civil_days(year, month, day)?;
    if !(0..=23).contains(&hour) || !(0..=59).contains(&minute) || !(0.0..=60.0).contains(&seconds) {
        return Err(SqlError::new(
            sqlstate::DATETIME_FIELD_OVERFLOW,
            format!("time field value out of range: {hour}:{minute:02}:{seconds:02}"),
        ));
    }
    let time = (hour * 60 + minute) * 60 * MICROS_PER_SECOND + (seconds * 1e6).round_ties_even() as i64;
    let local =
        datetime::checked_timestamp(i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(time))?;
    match *call.ty == DataType::Timestamptz {
        true => zone(call).to_utc(local).map(Value::Timestamptz),
        false => Ok(Value::Timestamp(local)),
    }
}

/// years, months, weeks, days, hours, minutes, seconds; those left out are 0.
fn make_interval(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let [years, months, weeks, days, hours, minutes] = ints(&args[..args.len().min(6)], call)?;
    let seconds = args.get(6).and_then(Value::as_f64).unwrap_or(0.0);
    let micros = (hours * 3600 + minutes * 60) as i128 * i128::from(MICROS_PER_SECOND)
        + (seconds * 1e6).round_ties_even() as i128;
    let made = || {
        Some(Interval {
            months: i32::try_from(years * 12 + months).ok()?,
            days: i32::try_from(weeks * 7 + days).ok()?,
            micros: i64::try_from(micros).ok()?,
        })
    };
    made().map(Value::Interval).ok_or_else(datetime::interval_out_of_range)
}

fn justify(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let span = interval(&args[0], call)?;
    let justified = match call.name {
        "justify_days" => datetime::justify_days(span)?,
        "justify_hours" => datetime::justify_hours(span)?,
        _ => datetime::justify_interval(span)?,
    };
    Ok(Value::Interval(justified))
}

fn is_finite(args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::Bool(match &args[0] {
        Value::Date(d) => *d != i32::MIN && *d != i32::MAX,
        Value::Timestamp(t) | Value::Timestamptz(t) => !datetime::is_infinite(*t),
        _ => true,
    }))
}

/// Seconds since 1970.
fn from_epoch(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let seconds = args[0].as_f64().ok_or_else(|| mistyped(call))?;
    if seconds.is_nan() {
        return Err(SqlError::new(sqlstate::DATETIME_FIELD_OVERFLOW, "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(Value::Timestamptz(if seconds > 0.0 { i64::MAX } else { i64::MIN }));
    }
    if seconds.abs() > 1e13 {
        return Err(SqlError::new(
            sqlstate::DATETIME_FIELD_OVERFLOW,
            format!("timestamp out of range: \"{seconds}\""),
        ));
    }
    let micros = ((seconds - (datetime::EPOCH_DAYS * 86_400) as f64) * 1e6).round_ties_even();
    datetime::checked_timestamp(micros as i128).map(Value::Timestamptz)
}

fn at_time_zone(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let zone = match &args[0] {
        Value::Text(name) => datetime::zone(name)?,
        Value::Interval(span) if span.months == 0 && span.days == 0 => {
            let seconds = i32::try_from(span.micros / MICROS_PER_SECOND);
            TimeZone::fixed(seconds.map_err(|_| datetime::interval_out_of_range())?)
        }
        Value::Interval(_) => {
            return Err(SqlError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                "interval time zone must not include months or days",
            ));
        }
        _ => return Err(mistyped(call)),
    };
    match &args[1] {
        Value::Timestamptz(t) => zone.to_local(*t).map(Value::Timestamp),
        Value::Timestamp(t) => zone.to_utc(*t).map(Value::Timestamptz),
        _ => Err(mistyped(call)),
    }
}

fn to_date(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let t = local(&args[0], call)?;
    if datetime::is_infinite(t) {
        return Ok(Value::Date(if t > 0 { i32::MAX } else { i32::MIN }));
    }
    datetime::checked_date(t.div_euclid(MICROS_PER_DAY)).map(Value::Date)
}
