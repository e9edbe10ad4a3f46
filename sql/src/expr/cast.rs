//! Casts between types: which there are (PostgreSQL's pg_cast, as far as we have the types), and how they work.
//!
//! Every type casts to text by its output function (assignment) and from text by its input function (explicit); the
//! others stand in [`castable`]. A typmod is applied last, by [`apply_typmod`]: an explicit cast to varchar(n) cuts, any
//! other answers 22001.

use gemini_shadow_ops::{DataType, Numeric, Value};

use super::datetime::{self, MICROS_PER_DAY};
use super::types::{self, bare};
use super::{EvalContext, Volatility, text};
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// How a cast came about; each allows what the one before it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastKind {
    /// To make an operator or function fit.
    Implicit,
    /// To store into a column.
    Assignment,
    /// CAST, `::`.
    Explicit,
}

/// Whether there is such a cast.
pub fn castable(from: &DataType, to: &DataType, kind: CastKind) -> bool {
    least_kind(&bare(from), &bare(to)).is_some_and(|least| kind >= least)
}

/// The least kind of cast that gets from one type to another; None if none does.
pub fn least_kind(from: &DataType, to: &DataType) -> Option<CastKind> {
    use CastKind::*;
    use DataType as T;
    if from == to || *from == T::Unknown {
        return Some(Implicit);
    }
    let kind = match (from, to) {
        (T::Array(a), T::Array(b)) => return least_kind(a, b),
        (T::Int2Vector, T::Array(b)) => return least_kind(&T::Int2, b),
        (T::OidVector, T::Array(b)) => return least_kind(&T::Oid, b),
        (_, T::Unknown | T::Void) | (T::Void, _) => return None,
        (T::Int2, T::Int4 | T::Int8 | T::Float4 | T::Float8 | T::Numeric(_)) => Implicit,
        (T::Int4, T::Int8 | T::Float4 | T::Float8 | T::Numeric(_)) => Implicit,
        (T::Int8, T::Float4 | T::Float8 | T::Numeric(_)) => Implicit,
        (T::Numeric(_), T::Float4 | T::Float8) | (T::Float4, T::Float8) => Implicit,
        (T::Int4 | T::Int8 | T::Numeric(_) | T::Float4 | T::Float8, T::Int2 | T::Int4 | T::Int8) => {
            Assignment
        }
        (T::Float4 | T::Float8, T::Numeric(_)) | (T::Float8, T::Float4) => Assignment,
        (T::Int2 | T::Int4 | T::Int8, T::Oid | T::Regclass | T::Regtype | T::Regproc) => Implicit,
        (T::Regclass | T::Regtype | T::Regproc, T::Oid) => Implicit,
        (T::Oid, T::Regclass | T::Regtype | T::Regproc) => Implicit,
        (T::Oid | T::Regclass | T::Regtype | T::Regproc, T::Int4 | T::Int8) => Assignment,
        (T::Int4, T::Bool) | (T::Bool, T::Int4) => Explicit,
        (T::Int4, T::InternalChar) | (T::InternalChar, T::Int4) => Explicit,
        (T::Text | T::Varchar(_) | T::Char(_), T::Text | T::Varchar(_) | T::Char(_) | T::Name) => Implicit,
        (T::Name | T::InternalChar, T::Text) => Implicit,
        (T::Name | T::InternalChar, T::Varchar(_) | T::Char(_)) => Assignment,
        (T::Text | T::Varchar(_) | T::Char(_), T::InternalChar) => Assignment,
        (T::Text | T::Varchar(_), T::Regclass) => Implicit,
        (T::Date, T::Timestamp | T::Timestamptz) | (T::Timestamp, T::Timestamptz) => Implicit,
        (T::Timestamp, T::Date) | (T::Timestamptz, T::Date | T::Timestamp) => Assignment,
        (_, T::Text | T::Varchar(_) | T::Char(_)) => Assignment,
        (T::Text | T::Varchar(_) | T::Char(_), _) => Explicit,
        (T::Name | T::InternalChar, T::Name) => Explicit,
        _ => return None,
    };
    Some(kind)
}

/// 42846: no such cast, of that kind.
pub fn no_cast(from: &DataType, to: &DataType) -> SqlError {
    SqlError::new(
        sqlstate::CANNOT_COERCE,
        format!("cannot cast type {} to {}", types::display(&bare(from)), types::display(&bare(to))),
    )
}

/// Whether the cast depends on the session (time zone, 'now', catalogue).
pub fn volatility(from: &DataType, to: &DataType) -> Volatility {
    use DataType as T;
    let from_text = from.is_text() || *from == T::Unknown;
    let stable = match (from, to) {
        (T::Array(a), T::Array(b)) => return volatility(a, b),
        (T::Array(a), to) if to.is_text() => return volatility(a, to),
        (from, T::Array(b)) if from.is_text() || *from == T::Unknown => return volatility(from, b),
        (T::Timestamptz, T::Timestamptz) => false,
        (T::Timestamptz, _) => true,
        (T::Date | T::Timestamp, T::Timestamptz) => true,
        (_, T::Date | T::Timestamp | T::Timestamptz) => from_text,
        (_, T::Regclass | T::Regtype | T::Regproc) => from_text,
        (T::Regclass | T::Regtype | T::Regproc, to) => to.is_text(),
        (T::Float4 | T::Float8, to) => to.is_text(), // extra_float_digits
        _ => false,
    };
    if stable { Volatility::Stable } else { Volatility::Immutable }
}

/// Casts a value. 42846 if there is no such cast of that kind.
pub fn cast(
    value: &Value,
    from: &DataType,
    to: &DataType,
    kind: CastKind,
    context: &EvalContext<'_>,
) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if from == to {
        return Ok(value.clone());
    }
    let converted = convert(value, from, to, kind, context)?;
    apply_typmod(converted, to, kind)
}

fn convert(
    value: &Value,
    from: &DataType,
    to: &DataType,
    kind: CastKind,
    context: &EvalContext<'_>,
) -> Result<Value> {
    use DataType as T;
    let zone = || &context.session().time_zone;
    if to.is_text() {
        return to_text(value, from, to, context);
    }
    Ok(match (value, to) {
        (Value::Text(s), T::InternalChar) => Value::text(first_byte(s)),
        (Value::Text(s), T::Int4) if *from == T::InternalChar => {
            Value::Int4(s.chars().next().map_or(0, |c| c as i32))
        }
        (Value::Text(s), T::Array(_)) | (Value::Text(s), _) => return text::input(s, to, context),
        (Value::Array(list), T::Array(element)) => {
            let from = from.element().cloned().unwrap_or(T::Unknown);
            let cast_all = |list: &[Value]| cast_elements(list, &from, element, kind, context);
            Value::Array(std::sync::Arc::new(cast_all(list)?))
        }
        (Value::Int4(n), T::Bool) => Value::Bool(*n != 0),
        (Value::Bool(b), T::Int4) => Value::Int4(i32::from(*b)),
        (Value::Int4(n), T::InternalChar) => Value::text(if *n == 0 { String::new() } else { char_of(*n)? }),
        (_, T::Int2 | T::Int4 | T::Int8) => to_integer(value, to)?,
        (_, T::Oid | T::Regclass | T::Regtype | T::Regproc) => {
            let n = value.as_i64().ok_or_else(|| no_cast(from, to))?;
            Value::Oid(
                u32::try_from(n)
                    .or_else(|_| i32::try_from(n).map(|n| n as u32))
                    .map_err(|_| SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "OID out of range"))?,
            )
        }
        (_, T::Float8) => Value::Float8(to_float(value, from, to)?),
        (_, T::Float4) => to_float4(value, from, to)?,
        (Value::Float4(_) | Value::Float8(_), T::Numeric(_)) => float_to_numeric(value)?,
        (_, T::Numeric(_)) => Value::Numeric(value.exact().ok_or_else(|| no_cast(from, to))?),
        (Value::Date(d), T::Timestamp) => Value::Timestamp(datetime::date_to_timestamp(*d)?),
        (Value::Date(d), T::Timestamptz) => {
            Value::Timestamptz(zone().to_utc(datetime::date_to_timestamp(*d)?)?)
        }
        (Value::Timestamp(t), T::Timestamptz) => Value::Timestamptz(zone().to_utc(*t)?),
        (Value::Timestamptz(t), T::Timestamp) => Value::Timestamp(zone().to_local(*t)?),
        (Value::Timestamp(t), T::Date) => Value::Date(timestamp_to_date(*t)),
        (Value::Timestamptz(t), T::Date) => Value::Date(timestamp_to_date(zone().to_local(*t)?)),
        _ if bare(from) == bare(to) => value.clone(),
        _ => return Err(no_cast(from, to)),
    })
}

fn cast_elements(
    list: &[Value],
    from: &DataType,
    to: &DataType,
    kind: CastKind,
    context: &EvalContext<'_>,
) -> Result<Vec<Value>> {
    let one = |v: &Value| match v {
        Value::Array(inner) => {
            Ok(Value::Array(std::sync::Arc::new(cast_elements(inner, from, to, kind, context)?)))
        }
        other => cast(other, from, to, kind, context),
    };
    list.iter().map(one).collect()
}

fn to_text(value: &Value, from: &DataType, to: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    let text = match value {
        Value::Text(text) => text.clone(),
        // Unlike its output, a boolean casts to text in full.
        Value::Bool(b) => (if *b { "true" } else { "false" }).into(),
        other => text::output_in(other, from, context).into(),
    };
    Ok(Value::Text(match to {
        DataType::Name => truncate_name(&text).into(),
        DataType::Char(_) => text.trim_end_matches(' ').into(),
        _ => text,
    }))
}

/// The longest prefix of at most 63 bytes.
pub fn truncate_name(text: &str) -> &str {
    let mut end = text.len().min(63);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn first_byte(text: &str) -> String {
    text.chars().next().map_or(String::new(), String::from)
}

fn char_of(n: i32) -> Result<String> {
    match u8::try_from(n) {
        Ok(byte) if byte < 128 => Ok(char::from(byte).to_string()),
        _ => Err(SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "\"char\" out of range")),
    }
}

fn timestamp_to_date(micros: i64) -> i32 {
    match micros {
        i64::MIN => i32::MIN,
        i64::MAX => i32::MAX,
        finite => finite.div_euclid(MICROS_PER_DAY) as i32,
    }
}

/// 22003 as PostgreSQL words it.
pub fn out_of_range(ty: &DataType) -> SqlError {
    let name = match ty {
        DataType::Float4 | DataType::Float8 => "value".to_owned(),
        other => types::display(&bare(other)),
    };
    SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
}

fn integer_of(n: i128, ty: &DataType) -> Result<Value> {
    match gemini_shadow_ops::value::arith::integer_value(ty, n) {
        Value::Numeric(_) => Err(out_of_range(ty)),
        fits => Ok(fits),
    }
}

fn to_integer(value: &Value, ty: &DataType) -> Result<Value> {
    match value {
        Value::Float4(_) | Value::Float8(_) => {
            let f = value.as_f64().unwrap_or(f64::NAN).round_ties_even();
            // 2^63 itself is out of range; -2^63 is not.
            if f.is_nan() || !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&f) {
                return Err(out_of_range(ty));
            }
            integer_of(f as i128, ty)
        }
        Value::Numeric(n) if n.is_nan() => Err(SqlError::new(
            sqlstate::FEATURE_NOT_SUPPORTED,
            format!("cannot convert NaN to {}", types::display(ty)),
        )),
        Value::Numeric(n) => match n.round(0).to_i128() {
            Some(n) => integer_of(n, ty),
            None => Err(out_of_range(ty)),
        },
        other => match other.as_i64() {
            Some(n) => integer_of(i128::from(n), ty),
            None => Err(no_cast(&other.data_type(), ty)),
        },
    }
}

fn to_float(value: &Value, from: &DataType, to: &DataType) -> Result<f64> {
    let f = value.as_f64().ok_or_else(|| no_cast(from, to))?;
    if f.is_infinite() && matches!(value, Value::Numeric(_)) {
        return Err(SqlError::new(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!(
                "\"{}\" is out of range for type double precision",
                value.exact().unwrap_or(Numeric::NAN)
            ),
        ));
    }
    Ok(f)
}

fn to_float4(value: &Value, from: &DataType, to: &DataType) -> Result<Value> {
    if let Value::Numeric(n) = value {
        let narrow: f32 = n.to_string().parse().unwrap_or(f32::NAN);
        if narrow.is_infinite() || (narrow == 0.0 && !n.is_zero()) {
            return Err(SqlError::new(
                sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("\"{n}\" is out of range for type real"),
            ));
        }
        return Ok(Value::Float4(narrow));
    }
    let wide = to_float(value, from, to)?;
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() {
        return Err(SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
    }
    if narrow == 0.0 && wide != 0.0 {
        return Err(SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow"));
    }
    Ok(Value::Float4(narrow))
}

/// By 15 (6) significant digits, as PostgreSQL does.
fn float_to_numeric(value: &Value) -> Result<Value> {
    let (f, digits) = match value {
        Value::Float4(f) => (f64::from(*f), 6),
        other => (other.as_f64().unwrap_or(f64::NAN), 15),
    };
    if f.is_nan() {
        return Ok(Value::Numeric(Numeric::NAN));
    }
    if f.is_infinite() {
        return Err(SqlError::unsupported("infinite numeric", "Use double precision for infinities."));
    }
    let text = format!("{f:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    Numeric::parse(&format!("{mantissa}e{exponent}"))
        .map(Value::Numeric)
        .ok_or_else(|| out_of_range(&DataType::Numeric(None)))
}

/// Brings a value to the typmod of its type: the length of varchar and char, precision and scale of NUMERIC.
pub fn apply_typmod(value: Value, ty: &DataType, kind: CastKind) -> Result<Value> {
    match (&value, ty) {
        (Value::Text(text), DataType::Varchar(Some(n))) => {
            fit_length(text, *n as usize, ty, kind).map(|cut| cut.map_or(value.clone(), Value::text))
        }
        (Value::Text(text), DataType::Char(n)) => {
            let trimmed = text.trim_end_matches(' ');
            if *n == 0 {
                return Ok(Value::text(trimmed));
            }
            let cut = fit_length(trimmed, *n as usize, ty, kind)?;
            Ok(Value::text(cut.as_deref().unwrap_or(trimmed).trim_end_matches(' ')))
        }
        (Value::Numeric(n), DataType::Numeric(Some((precision, scale)))) => {
            fit_numeric(n, *precision, *scale).map(Value::Numeric)
        }
        (Value::Array(list), DataType::Array(element)) if types::typmod(element) >= 0 => {
            let fitted: Result<Vec<Value>> =
                list.iter().map(|v| apply_typmod(v.clone(), element, kind)).collect();
            Ok(Value::Array(std::sync::Arc::new(fitted?)))
        }
        _ => Ok(value),
    }
}

/// None: it fits. Too long by blanks only, or cast explicitly: cut. Else 22001.
fn fit_length(text: &str, n: usize, ty: &DataType, kind: CastKind) -> Result<Option<String>> {
    if text.len() <= n {
        return Ok(None);
    }
    let Some((end, _)) = text.char_indices().nth(n) else { return Ok(None) };
    if kind != CastKind::Explicit && text[end..].bytes().any(|b| b != b' ') {
        return Err(SqlError::new(
            sqlstate::STRING_DATA_RIGHT_TRUNCATION,
            format!("value too long for type {}", types::display(ty)),
        ));
    }
    Ok(Some(text[..end].to_owned()))
}

fn fit_numeric(n: &Numeric, precision: u16, scale: i16) -> Result<Numeric> {
    let rounded = n.round(i64::from(scale));
    let whole = i64::from(precision) - i64::from(scale);
    let ty = DataType::Numeric(Some((precision, scale)));
    if gemini_shadow_ops::value::arith::fits(&ty, &Value::Numeric(rounded.clone())) {
        return Ok(rounded);
    }
    let limit = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
    Err(SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {limit}."
    )))
}
