//! Values from and to text, as PostgreSQL reads and prints them.
//!
//! [`write()`] is the output function of every type, [`input`] the input function; `input(write(v)) == v`. Dates and times
//! are in [`super::datetime`], arrays below.

use std::fmt::Write as _;
use std::sync::Arc;

use gemini_shadow_ops::{DataType, Numeric, Value};

use super::cast::{CastKind, apply_typmod};
use super::{Constant, EvalContext, SessionInfo, datetime, types};
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// Appends a value's text form (not NULL, which has none; it appends nothing).
pub fn write(out: &mut String, value: &Value, ty: &DataType, session: &SessionInfo) {
    // Writing to a String cannot fail, hence the ignored results.
    match value {
        Value::Null => {}
        Value::Bool(b) => out.push(if *b { 't' } else { 'f' }),
        Value::Int2(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Int4(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Int8(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Oid(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Numeric(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Float4(f) => write_float(out, f64::from(*f), true, session.extra_float_digits),
        Value::Float8(f) => write_float(out, *f, false, session.extra_float_digits),
        Value::Text(text) => {
            out.push_str(text);
            if let DataType::Char(n) = ty {
                let have = text.chars().count();
                out.extend(std::iter::repeat_n(' ', (*n as usize).saturating_sub(have)));
            }
        }
        Value::Bytea(bytes) => {
            out.push_str("\\x");
            for b in bytes.iter() {
                let _ = write!(out, "{b:02x}");
            }
        }
        Value::Date(days) => datetime::write_date(out, *days),
        Value::Timestamp(micros) => datetime::write_timestamp(out, *micros),
        Value::Timestamptz(micros) => {
            datetime::write_timestamptz(out, *micros, session.time_zone.offset_at(*micros));
        }
        Value::Interval(interval) => datetime::write_interval(out, interval),
        Value::Uuid(bytes) => write_uuid(out, bytes),
        Value::Array(list) if matches!(ty, DataType::Int2Vector | DataType::OidVector) => {
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                write(out, item, &DataType::Oid, session);
            }
        }
        Value::Array(list) => write_array(out, list, ty.element().unwrap_or(&DataType::Unknown), session),
    }
}

/// A value's text form. Names of reg* types need the catalogue: see [`output_in`].
pub fn output(value: &Value, ty: &DataType, session: &SessionInfo) -> String {
    let mut out = String::new();
    write(&mut out, value, ty, session);
    out
}

/// A value's text form, with the names of reg* types looked up.
pub fn output_in(value: &Value, ty: &DataType, context: &EvalContext<'_>) -> String {
    if let (Value::Oid(oid), DataType::Regclass | DataType::Regtype | DataType::Regproc) = (value, ty) {
        return reg_name(*oid, ty, context);
    }
    output(value, ty, context.session())
}

/// The name behind an oid; `-` for 0, the number if there is none.
fn reg_name(oid: u32, ty: &DataType, context: &EvalContext<'_>) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let known = match ty {
        DataType::Regtype => types::from_oid(oid, -1).map(|t| types::display(&t)),
        _ => None,
    };
    known.or_else(|| context.environment.oid_name(ty, oid)).unwrap_or_else(|| oid.to_string())
}

fn write_uuid(out: &mut String, bytes: &[u8; 16]) {
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{b:02x}");
    }
}

/// The shortest digits that read back; of two equally near ones the even.
fn shortest_even<F: std::fmt::LowerExp + std::str::FromStr + PartialEq>(f: F) -> String {
    let text = format!("{f:e}");
    let digits = text.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    // Fewer digits leave no room for a tie.
    if digits < 8 {
        return text;
    }
    let exact = format!("{f:.*e}", digits - 1);
    if exact != text && exact.parse::<F>().is_ok_and(|back| back == f) { exact } else { text }
}

/// A float: shortest digits that read back (extra_float_digits > 0), or rounded.
fn write_float(out: &mut String, f: f64, single: bool, extra_digits: i32) {
    if f.is_nan() {
        return out.push_str("NaN");
    }
    if f.is_infinite() {
        return out.push_str(if f > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let shortest = extra_digits > 0;
    let (text, most) = match (shortest, single) {
        (true, true) => (shortest_even(f as f32), 6),
        (true, false) => (shortest_even(f), 15),
        (false, single) => {
            let digits = (if single { 6 } else { 15 } + extra_digits).max(1) as usize;
            (format!("{f:.*e}", digits - 1), digits as i32)
        }
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let trimmed = digits.trim_end_matches('0');
    let digits = if trimmed.is_empty() { "0" } else { trimmed };
    out.push_str(sign);
    if (-4..most).contains(&exponent) {
        write_fixed(out, digits, exponent);
    } else {
        out.push_str(&digits[..1]);
        if digits.len() > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        let _ = write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
}

fn write_fixed(out: &mut String, digits: &str, exponent: i32) {
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        return out.push_str(digits);
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.push_str(digits);
        out.extend(std::iter::repeat_n('0', whole - digits.len()));
    } else {
        out.push_str(&digits[..whole]);
        out.push('.');
        out.push_str(&digits[whole..]);
    }
}

fn write_array(out: &mut String, list: &[Value], element: &DataType, session: &SessionInfo) {
    out.push('{');
    for (i, value) in list.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match value {
            Value::Null => out.push_str("NULL"),
            Value::Array(inner) => write_array(out, inner, element, session),
            other => {
                let text = output(other, element, session);
                if needs_quotes(&text) {
                    out.push('"');
                    for c in text.chars() {
                        if matches!(c, '"' | '\\') {
                            out.push('\\');
                        }
                        out.push(c);
                    }
                    out.push('"');
                } else {
                    out.push_str(&text);
                }
            }
        }
    }
    out.push('}');
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.bytes().any(|b| matches!(b, b'{' | b'}' | b',' | b'"' | b'\\') || is_space(b))
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// 22P02 with PostgreSQL's words.
pub fn invalid_input(text: &str, ty: &DataType) -> SqlError {
    SqlError::new(
        sqlstate::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {}: \"{text}\"", types::display(&types::bare(ty))),
    )
}

fn out_of_range(text: &str, ty: &DataType) -> SqlError {
    SqlError::new(
        sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value \"{text}\" is out of range for type {}", types::display(&types::bare(ty))),
    )
}

/// Reads a value of a type, its typmod applied as in an assignment.
pub fn input(text: &str, ty: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    if text.contains('\0') {
        return Err(SqlError::new(
            sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    let trimmed = text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
    let value = match ty {
        DataType::Bool => Value::Bool(parse_bool(trimmed).ok_or_else(|| invalid_input(text, ty))?),
        DataType::Int2 | DataType::Int4 | DataType::Int8 => parse_integer(text, trimmed, ty)?,
        DataType::Float4 | DataType::Float8 => parse_float(text, trimmed, ty)?,
        DataType::Numeric(_) => Value::Numeric(parse_numeric(text, trimmed, ty)?),
        DataType::Text | DataType::Varchar(_) | DataType::Char(_) | DataType::Unknown => Value::text(text),
        DataType::Name => Value::text(super::cast::truncate_name(text)),
        DataType::InternalChar => Value::text(text.chars().next().map_or(String::new(), String::from)),
        DataType::Bytea => Value::Bytea(parse_bytea(text)?.into()),
        DataType::Date => Value::Date(datetime::parse_date(trimmed, context)?),
        DataType::Timestamp => Value::Timestamp(datetime::parse_timestamp(trimmed, context)?),
        DataType::Timestamptz => Value::Timestamptz(datetime::parse_timestamptz(trimmed, context)?),
        DataType::Interval => Value::Interval(datetime::parse_interval(trimmed)?),
        DataType::Uuid => Value::Uuid(parse_uuid(text).ok_or_else(|| invalid_input(text, ty))?),
        DataType::Oid => parse_oid(text, trimmed, ty)?,
        DataType::Regclass | DataType::Regtype | DataType::Regproc => parse_reg(trimmed, ty, context)?,
        DataType::Array(element) => parse_array(trimmed, element, context)?,
        DataType::Int2Vector => parse_vector(text, &DataType::Int2, context)?,
        DataType::OidVector => parse_vector(text, &DataType::Oid, context)?,
        DataType::Json => Value::text(text),
        DataType::Void => Value::Null,
    };
    apply_typmod(value, ty, CastKind::Assignment)
}

fn parse_vector(text: &str, element: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    let items: Result<Vec<Value>> =
        text.split_ascii_whitespace().map(|item| input(item, element, context)).collect();
    Ok(Value::Array(std::sync::Arc::new(items?)))
}

/// Reads a constant that must not depend on the session.
pub fn input_constant(text: &str, ty: &DataType) -> Result<Value> {
    let environment = Constant::new();
    input(text, ty, &EvalContext::new(&[], &environment))
}

/// Whether a literal means the same in every session and at every moment: not 'now', not a time without its zone, not a name.
pub fn is_constant(text: &str, ty: &DataType) -> bool {
    match ty {
        DataType::Date | DataType::Timestamp => !datetime::is_relative(text),
        DataType::Timestamptz => !datetime::is_relative(text) && datetime::has_zone(text),
        DataType::Regclass | DataType::Regtype | DataType::Regproc => false,
        DataType::Array(element) => !matches!(
            **element,
            DataType::Date | DataType::Timestamp | DataType::Timestamptz | DataType::Regclass
        ),
        _ => true,
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let prefix_of = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    if lower == "1" || prefix_of("true", 1) || prefix_of("yes", 1) || lower == "on" {
        Some(true)
    } else if lower == "0" || prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) {
        Some(false)
    } else {
        None
    }
}

fn parse_integer(text: &str, trimmed: &str, ty: &DataType) -> Result<Value> {
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid_input(text, ty));
    }
    let n: i128 = trimmed.parse().map_err(|_| out_of_range(text, ty))?;
    match gemini_shadow_ops::value::arith::integer_value(ty, n) {
        Value::Numeric(_) => Err(out_of_range(text, ty)),
        value => Ok(value),
    }
}

fn parse_oid(text: &str, trimmed: &str, ty: &DataType) -> Result<Value> {
    let n: i64 = trimmed.parse().map_err(|_| invalid_input(text, ty))?;
    let oid = u32::try_from(n).or_else(|_| i32::try_from(n).map(|n| n as u32));
    oid.map(Value::Oid).map_err(|_| out_of_range(text, ty))
}

fn parse_float(text: &str, trimmed: &str, ty: &DataType) -> Result<Value> {
    let single = *ty == DataType::Float4;
    let lower = trimmed.to_ascii_lowercase();
    let special = match lower.as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" | "+inf" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    };
    let wrap = |f: f64| if single { Value::Float4(f as f32) } else { Value::Float8(f) };
    if let Some(f) = special {
        return Ok(wrap(f));
    }
    if !lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-')) {
        return Err(invalid_input(text, ty));
    }
    let too_far = || {
        SqlError::new(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("\"{trimmed}\" is out of range for type {}", types::display(ty)),
        )
    };
    let nonzero = lower.split('e').next().is_some_and(|m| m.bytes().any(|b| (b'1'..=b'9').contains(&b)));
    let (value, infinite, zero) = if single {
        let f: f32 = lower.parse().map_err(|_| invalid_input(text, ty))?;
        (Value::Float4(f), f.is_infinite(), f == 0.0)
    } else {
        let f: f64 = lower.parse().map_err(|_| invalid_input(text, ty))?;
        (Value::Float8(f), f.is_infinite(), f == 0.0)
    };
    if infinite || (zero && nonzero) { Err(too_far()) } else { Ok(value) }
}

fn parse_numeric(text: &str, trimmed: &str, ty: &DataType) -> Result<Numeric> {
    if let Some(n) = Numeric::parse(trimmed) {
        return Ok(n);
    }
    let lower = trimmed.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if matches!(lower.as_str(), "inf" | "infinity") {
        return Err(SqlError::unsupported("infinite numeric", "Use double precision for infinities."));
    }
    if lower.parse::<f64>().is_ok() {
        return Err(SqlError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format"));
    }
    Err(invalid_input(text, ty))
}

fn hex_digit(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).map(|d| d as u8)
}

/// Pairs of hexadecimal digits, blanks between pairs allowed.
pub fn parse_hex(text: &str) -> Result<Vec<u8>> {
    let invalid = |message: String| SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut high: Option<u8> = None;
    for (i, b) in text.bytes().enumerate() {
        if is_space(b) && high.is_none() {
            continue;
        }
        let Some(digit) = hex_digit(b) else {
            let shown = text.get(i..).and_then(|t| t.chars().next()).unwrap_or('?');
            return Err(invalid(format!("invalid hexadecimal digit: \"{shown}\"")));
        };
        match high.take() {
            None => high = Some(digit),
            Some(h) => out.push(h * 16 + digit),
        }
    }
    match high {
        None => Ok(out),
        Some(_) => Err(invalid("invalid hexadecimal data: odd number of digits".to_owned())),
    }
}

/// `\x…` or the escape format.
fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return parse_hex(hex);
    }
    let invalid =
        || SqlError::new(sqlstate::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea");
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] != b'\\' {
            out.push(bytes[i]);
            i += 1;
        } else if bytes.get(i + 1) == Some(&b'\\') {
            out.push(b'\\');
            i += 2;
        } else {
            let octal = bytes.get(i + 1..i + 4).ok_or_else(invalid)?;
            if !(b'0'..=b'3').contains(&octal[0]) || !octal.iter().all(|b| (b'0'..=b'7').contains(b)) {
                return Err(invalid());
            }
            out.push((octal[0] - b'0') * 64 + (octal[1] - b'0') * 8 + (octal[2] - b'0'));
            i += 4;
        }
    }
    Ok(out)
}

/// Hexadecimal digits with hyphens after any group of four, maybe in braces.
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut out = [0u8; 16];
    let mut digits = 0;
    for b in inner.bytes() {
        if b == b'-' && digits % 4 == 0 && digits > 0 && digits < 32 {
            continue;
        }
        let digit = hex_digit(b)?;
        *out.get_mut(digits / 2)? |= if digits % 2 == 0 { digit << 4 } else { digit };
        digits += 1;
    }
    (digits == 32 && !inner.ends_with('-') && !inner.contains("--")).then_some(out)
}

fn parse_reg(text: &str, ty: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    if text == "-" {
        return Ok(Value::Oid(0));
    }
    if let Ok(oid) = text.parse::<u32>() {
        return Ok(Value::Oid(oid));
    }
    let own = match ty {
        DataType::Regtype => types::by_name(&text.to_ascii_lowercase()).map(|t| types::oid(&t)),
        _ => None,
    };
    let (what, state) = match ty {
        DataType::Regclass => ("relation", sqlstate::UNDEFINED_TABLE),
        DataType::Regtype => ("type", sqlstate::UNDEFINED_OBJECT),
        _ => ("function", sqlstate::UNDEFINED_FUNCTION),
    };
    own.or_else(|| context.environment.to_oid(ty, text))
        .map(Value::Oid)
        .ok_or_else(|| SqlError::new(state, format!("{what} \"{}\" does not exist", text.replace('"', ""))))
}

fn parse_array(text: &str, element: &DataType, context: &EvalContext<'_>) -> Result<Value> {
    let malformed = |detail: &str| {
        SqlError::new(sqlstate::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\""))
            .detail(detail)
    };
    if !text.starts_with('{') {
        return Err(malformed("Array value must start with \"{\" or dimension information."));
    }
    let mut parser = ArrayParser { bytes: text.as_bytes(), text, at: 1, element, context, depth: 1 };
    let list = parser.list().map_err(|e| match e {
        Failure::Malformed(detail) => malformed(detail),
        Failure::Element(error) => error,
    })?;
    parser.spaces();
    if parser.at != text.len() {
        return Err(malformed("Junk after closing right brace."));
    }
    if !rectangular(&list) {
        return Err(malformed("Multidimensional arrays must have sub-arrays with matching dimensions."));
    }
    Ok(Value::Array(Arc::new(list)))
}

/// Whether sub-arrays, if any, are of one shape.
pub fn rectangular(list: &[Value]) -> bool {
    fn shape(value: &Value) -> Option<Vec<usize>> {
        let Value::Array(list) = value else { return Some(Vec::new()) };
        let mut shapes = list.iter().map(shape);
        let first = shapes.next().unwrap_or(Some(Vec::new()))?;
        if shapes.any(|s| s.as_ref() != Some(&first)) {
            return None;
        }
        Some(std::iter::once(list.len()).chain(first).collect())
    }
    shape(&Value::Array(Arc::new(list.to_vec()))).is_some()
}

enum Failure {
    Malformed(&'static str),
    Element(SqlError),
}

struct ArrayParser<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    element: &'a DataType,
    context: &'a EvalContext<'a>,
    depth: usize,
}

impl ArrayParser<'_> {
    fn spaces(&mut self) {
        while self.bytes.get(self.at).is_some_and(|b| is_space(*b)) {
            self.at += 1;
        }
    }

    /// After an opening brace, through its closing one.
    fn list(&mut self) -> Result<Vec<Value>, Failure> {
        let mut list = Vec::new();
        self.spaces();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(list);
        }
        loop {
            self.spaces();
            list.push(self.item()?);
            self.spaces();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(list);
                }
                Some(_) => return Err(Failure::Malformed("Unexpected array element.")),
                None => return Err(Failure::Malformed("Unexpected end of input.")),
            }
        }
    }

    fn item(&mut self) -> Result<Value, Failure> {
        match self.bytes.get(self.at) {
            None => Err(Failure::Malformed("Unexpected end of input.")),
            Some(b'{') if self.depth < 6 => {
                self.at += 1;
                self.depth += 1;
                let list = self.list();
                self.depth -= 1;
                Ok(Value::Array(Arc::new(list?)))
            }
            Some(b'{') => Err(Failure::Malformed("Too many dimensions.")),
            Some(b'"') => {
                self.at += 1;
                let text = self.quoted()?;
                self.value(&text)
            }
            Some(b'}' | b',') => Err(Failure::Malformed("Unexpected \"}\" or \",\" character.")),
            Some(_) => self.bare(),
        }
    }

    fn value(&self, text: &str) -> Result<Value, Failure> {
        input(text, self.element, self.context).map_err(Failure::Element)
    }

    fn quoted(&mut self) -> Result<String, Failure> {
        let mut out = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(out);
                }
                '\\' => out.extend(chars.next().map(|(_, c)| c)),
                c => out.push(c),
            }
        }
        Err(Failure::Malformed("Unexpected end of input."))
    }

    fn bare(&mut self) -> Result<Value, Failure> {
        let mut out = String::new();
        let mut escaped = false;
        let mut chars = self.text[self.at..].char_indices();
        let mut end = self.text.len();
        while let Some((i, c)) = chars.next() {
            match c {
                ',' | '}' => {
                    end = self.at + i;
                    break;
                }
                '{' | '"' => return Err(Failure::Malformed("Unexpected array element.")),
                '\\' => {
                    escaped = true;
                    out.extend(chars.next().map(|(_, c)| c));
                }
                c => out.push(c),
            }
        }
        self.at = end;
        let text = out.trim_end_matches(|c: char| c.is_ascii() && is_space(c as u8));
        if !escaped && text.eq_ignore_ascii_case("null") {
            return Ok(Value::Null);
        }
        self.value(text)
    }
}
