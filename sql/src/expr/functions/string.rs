//! Text and bytea functions. Lengths and positions count characters, from 1.
//!
//! Case mapping and classes are Unicode's simple ones for lower and upper (collation "C" orders bytes, it does not limit
//! letters to ASCII).

use gemini_shadow_ops::{DataType, Value};

use super::super::function::{Arg, Call, Function, pure};
use super::super::text;
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{AnyNonArray, Bool, Bpchar, Bytea, Int4, Int8, Text};

/// No text grows beyond this by a function.
pub(super) const MAX_TEXT: usize = 1 << 28;

pub(in super::super) static OPERATORS: &[Function] = &[
    pure("||", &[Text, Text], Text, concatenate),
    pure("||", &[AnyNonArray, Text], Text, concatenate).stable(),
    pure("||", &[Text, AnyNonArray], Text, concatenate).stable(),
    pure("||", &[Bytea, Bytea], Bytea, concatenate_bytes),
    pure("^@", &[Text, Text], Bool, starts_with),
];

pub(super) static FUNCTIONS: &[Function] = &[
    pure("textcat", &[Text, Text], Text, concatenate),
    pure("length", &[Text], Int4, length),
    pure("length", &[Bpchar], Int4, length),
    pure("length", &[Bytea], Int4, octet_length),
    pure("char_length", &[Text], Int4, length),
    pure("char_length", &[Bpchar], Int4, length),
    pure("character_length", &[Text], Int4, length),
    pure("character_length", &[Bpchar], Int4, length),
    pure("octet_length", &[Text], Int4, octet_length),
    pure("octet_length", &[Bpchar], Int4, octet_length),
    pure("octet_length", &[Bytea], Int4, octet_length),
    pure("bit_length", &[Text], Int4, octet_length),
    pure("bit_length", &[Bytea], Int4, octet_length),
    pure("lower", &[Text], Text, case),
    pure("upper", &[Text], Text, case),
    pure("initcap", &[Text], Text, initcap),
    pure("substr", &[Text, Int4], Text, substring),
    pure("substr", &[Text, Int4, Int4], Text, substring),
    pure("substring", &[Text, Int4], Text, substring),
    pure("substring", &[Text, Int4, Int4], Text, substring),
    pure("substr", &[Bytea, Int4], Bytea, substring_bytes),
    pure("substr", &[Bytea, Int4, Int4], Bytea, substring_bytes),
    pure("substring", &[Bytea, Int4], Bytea, substring_bytes),
    pure("substring", &[Bytea, Int4, Int4], Bytea, substring_bytes),
    pure("overlay", &[Text, Text, Int4], Text, overlay),
    pure("overlay", &[Text, Text, Int4, Int4], Text, overlay),
    pure("btrim", &[Text], Text, trim),
    pure("btrim", &[Text, Text], Text, trim),
    pure("ltrim", &[Text], Text, trim),
    pure("ltrim", &[Text, Text], Text, trim),
    pure("rtrim", &[Text], Text, trim),
    pure("rtrim", &[Text, Text], Text, trim),
    pure("replace", &[Text, Text, Text], Text, replace),
    pure("translate", &[Text, Text, Text], Text, translate),
    pure("position", &[Text, Text], Int4, strpos),
    pure("strpos", &[Text, Text], Int4, strpos),
    pure("left", &[Text, Int4], Text, left),
    pure("right", &[Text, Int4], Text, right),
    pure("lpad", &[Text, Int4], Text, pad),
    pure("lpad", &[Text, Int4, Text], Text, pad),
    pure("rpad", &[Text, Int4], Text, pad),
    pure("rpad", &[Text, Int4, Text], Text, pad),
    pure("repeat", &[Text, Int4], Text, repeat),
    pure("reverse", &[Text], Text, reverse),
    pure("split_part", &[Text, Text, Int4], Text, split_part),
    pure("starts_with", &[Text, Text], Bool, starts_with),
    pure("ascii", &[Text], Int4, ascii),
    pure("chr", &[Int4], Text, chr),
    pure("md5", &[Text], Text, md5),
    pure("md5", &[Bytea], Text, md5),
    pure("to_hex", &[Int4], Text, to_hex),
    pure("to_hex", &[Int8], Text, to_hex),
    pure("encode", &[Bytea, Text], Text, encode),
    pure("decode", &[Text, Text], Bytea, decode),
    pure("convert_from", &[Bytea, Text], Text, convert_from),
    pure("convert_to", &[Text, Text], Bytea, convert_to),
    pure("get_byte", &[Bytea, Int4], Int4, get_byte),
];

fn str_at<'v>(args: &'v [Value], i: usize, call: &Call<'_>) -> Result<&'v str> {
    args.get(i).and_then(Value::as_text).ok_or_else(|| mistyped(call))
}

fn int_at(args: &[Value], i: usize, call: &Call<'_>) -> Result<i64> {
    args.get(i).and_then(Value::as_i64).ok_or_else(|| mistyped(call))
}

fn bytes_at<'v>(args: &'v [Value], i: usize, call: &Call<'_>) -> Result<&'v [u8]> {
    match args.get(i) {
        Some(Value::Bytea(bytes)) => Ok(bytes),
        _ => Err(mistyped(call)),
    }
}

/// 54000: a text that would be too large.
fn check_size(length: usize) -> Result<()> {
    if length > MAX_TEXT {
        return Err(SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
    }
    Ok(())
}

fn concatenate(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let mut out = String::new();
    for (value, arg) in args.iter().zip(call.args) {
        match value {
            Value::Text(s) => out.push_str(s),
            // As by a cast to text, hence in full.
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            other => out.push_str(&text::output_in(other, &arg.ty, call.context)),
        }
    }
    check_size(out.len())?;
    Ok(Value::text(out))
}

fn concatenate_bytes(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let joined = [bytes_at(args, 0, call)?, bytes_at(args, 1, call)?].concat();
    check_size(joined.len())?;
    Ok(Value::Bytea(joined.into()))
}

fn int4(n: usize) -> Result<Value> {
    Ok(Value::Int4(i32::try_from(n).unwrap_or(i32::MAX)))
}

fn length(args: &[Value], call: &Call<'_>) -> Result<Value> {
    int4(str_at(args, 0, call)?.chars().count())
}

/// octet_length, bit_length; a char(n) counts its padding.
fn octet_length(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let octets = match &args[0] {
        Value::Bytea(bytes) => bytes.len(),
        value => text::output(value, &call.args[0].ty, call.context.session()).len(),
    };
    int4(if call.name == "bit_length" { octets * 8 } else { octets })
}

fn case(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let text = str_at(args, 0, call)?;
    // Character by character: a text keeps its length, as in PostgreSQL.
    let single = |mapped: &mut dyn Iterator<Item = char>, c: char| match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    };
    let out: String = if call.name == "lower" {
        text.chars().map(|c| single(&mut c.to_lowercase(), c)).collect()
    } else {
        text.chars().map(|c| single(&mut c.to_uppercase(), c)).collect()
    };
    Ok(Value::text(out))
}

fn initcap(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let mut inside = false;
    let mut out = String::new();
    for c in str_at(args, 0, call)?.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric();
    }
    Ok(Value::text(out))
}

/// The characters start .. start + length of n, cut to what is there; 22011 for a negative length.
fn window(start: i64, length: Option<i64>, n: usize) -> Result<(usize, usize)> {
    let end = match length {
        None => i64::MAX,
        Some(length) if length < 0 => {
            return Err(SqlError::new(sqlstate::SUBSTRING_ERROR, "negative substring length not allowed"));
        }
        Some(length) => start.saturating_add(length),
    };
    let from = start.max(1).min(n as i64 + 1) as usize - 1;
    let to = end.max(1).min(n as i64 + 1) as usize - 1;
    Ok((from, to.max(from)))
}

fn substring(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let text = str_at(args, 0, call)?;
    let length = args.get(2).and_then(Value::as_i64);
    let (from, to) = window(int_at(args, 1, call)?, length, text.len())?;
    if text.is_ascii() {
        return Ok(Value::text(&text[from..to]));
    }
    Ok(Value::text(text.chars().skip(from).take(to - from).collect::<String>()))
}

fn substring_bytes(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let bytes = bytes_at(args, 0, call)?;
    let length = args.get(2).and_then(Value::as_i64);
    let (from, to) = window(int_at(args, 1, call)?, length, bytes.len())?;
    Ok(Value::Bytea(bytes[from..to].into()))
}

fn overlay(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, new) = (str_at(args, 0, call)?, str_at(args, 1, call)?);
    let start = int_at(args, 2, call)?;
    let length = args.get(3).and_then(Value::as_i64).unwrap_or(new.chars().count() as i64);
    if start <= 0 {
        return Err(SqlError::new(sqlstate::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    let head: String = text.chars().take((start - 1) as usize).collect();
    let tail: String = text.chars().skip(start.saturating_add(length).max(1) as usize - 1).collect();
    Ok(Value::text(format!("{head}{new}{tail}")))
}

fn trim(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let text = str_at(args, 0, call)?;
    let set: Vec<char> = args.get(1).and_then(Value::as_text).unwrap_or(" ").chars().collect();
    let set = set.as_slice();
    Ok(Value::text(match call.name {
        "ltrim" => text.trim_start_matches(set),
        "rtrim" => text.trim_end_matches(set),
        _ => text.trim_matches(set),
    }))
}

fn replace(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, from, to) = (str_at(args, 0, call)?, str_at(args, 1, call)?, str_at(args, 2, call)?);
    if from.is_empty() {
        return Ok(args[0].clone());
    }
    check_size(text.len() + text.matches(from).count().saturating_mul(to.len()))?;
    Ok(Value::text(text.replace(from, to)))
}

fn translate(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let from: Vec<char> = str_at(args, 1, call)?.chars().collect();
    let to: Vec<char> = str_at(args, 2, call)?.chars().collect();
    let mapped = str_at(args, 0, call)?.chars().filter_map(|c| match from.iter().position(|f| *f == c) {
        None => Some(c),
        Some(i) => to.get(i).copied(),
    });
    Ok(Value::text(mapped.collect::<String>()))
}

fn strpos(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, part) = (str_at(args, 0, call)?, str_at(args, 1, call)?);
    int4(text.find(part).map_or(0, |i| text[..i].chars().count() + 1))
}

/// How many characters `n` asks for; a negative number leaves out that many.
fn wanted(n: i64, have: usize) -> usize {
    if n >= 0 { (n as usize).min(have) } else { have.saturating_sub(n.unsigned_abs() as usize) }
}

fn left(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let text = str_at(args, 0, call)?;
    let n = wanted(int_at(args, 1, call)?, text.chars().count());
    Ok(Value::text(text.chars().take(n).collect::<String>()))
}

fn right(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let text = str_at(args, 0, call)?;
    let have = text.chars().count();
    let n = wanted(int_at(args, 1, call)?, have);
    Ok(Value::text(text.chars().skip(have - n).collect::<String>()))
}

fn pad(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let text = str_at(args, 0, call)?;
    let n = int_at(args, 1, call)?.max(0) as usize;
    check_size(n)?;
    let fill: Vec<char> = args.get(2).and_then(Value::as_text).unwrap_or(" ").chars().collect();
    let have = text.chars().count();
    if have >= n || fill.is_empty() {
        return Ok(Value::text(text.chars().take(n).collect::<String>()));
    }
    let padding: String = fill.iter().cycle().take(n - have).collect();
    Ok(Value::text(if call.name == "lpad" { padding + text } else { text.to_owned() + &padding }))
}

fn repeat(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let text = str_at(args, 0, call)?;
    let n = int_at(args, 1, call)?.max(0) as usize;
    check_size(text.len().saturating_mul(n))?;
    Ok(Value::text(text.repeat(n)))
}

fn reverse(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(str_at(args, 0, call)?.chars().rev().collect::<String>()))
}

fn split_part(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (text, delimiter, n) = (str_at(args, 0, call)?, str_at(args, 1, call)?, int_at(args, 2, call)?);
    if n == 0 {
        return Err(SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, "field position must not be zero"));
    }
    let parts: Vec<&str> = if delimiter.is_empty() { vec![text] } else { text.split(delimiter).collect() };
    let at = if n > 0 { n - 1 } else { parts.len() as i64 + n };
    let part = usize::try_from(at).ok().and_then(|i| parts.get(i).copied());
    Ok(Value::text(part.filter(|_| !text.is_empty()).unwrap_or("")))
}

fn starts_with(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Bool(str_at(args, 0, call)?.starts_with(str_at(args, 1, call)?)))
}

fn ascii(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Int4(str_at(args, 0, call)?.chars().next().map_or(0, |c| c as i32)))
}

fn chr(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let n = int_at(args, 0, call)?;
    let limit = |m: String| SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, m);
    if n == 0 {
        return Err(limit("null character not permitted".to_owned()));
    }
    if n < 0 {
        return Err(limit("character number must be positive".to_owned()));
    }
    let c = u32::try_from(n).ok().and_then(char::from_u32);
    let c = c.ok_or_else(|| limit(format!("requested character too large for encoding: {n}")))?;
    Ok(Value::text(c.to_string()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn md5(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let digest = match &args[0] {
        Value::Text(text) => super::super::md5::digest(text.as_bytes()),
        Value::Bytea(bytes) => super::super::md5::digest(bytes),
        _ => return Err(mistyped(call)),
    };
    Ok(Value::text(hex(&digest)))
}

fn to_hex(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(match &args[0] {
        Value::Int4(n) => format!("{n:x}"),
        Value::Int8(n) => format!("{n:x}"),
        _ => return Err(mistyped(call)),
    }))
}

fn unknown_encoding(name: &str) -> SqlError {
    SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{name}\""))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With a line break after 76 characters, as PostgreSQL writes it.
fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for (i, chunk) in bytes.chunks(3).enumerate() {
        if i > 0 && i % 19 == 0 {
            out.push('\n');
        }
        let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for k in 0..4 {
            let digit = BASE64[(word >> (18 - 6 * k)) as usize & 63];
            out.push(if k <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn unbase64(text: &str) -> Result<Vec<u8>> {
    let invalid = |m: String| SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, m);
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut word, mut digits, mut ended) = (0u32, 0, 0);
    for c in text.chars().filter(|c| !matches!(c, ' ' | '\n' | '\r' | '\t')) {
        if c == '=' {
            ended += 1;
            continue;
        }
        let digit = u8::try_from(c).ok().and_then(|b| BASE64.iter().position(|d| *d == b));
        let digit = digit.filter(|_| ended == 0);
        let digit = digit
            .ok_or_else(|| invalid(format!("invalid symbol \"{c}\" found while decoding base64 sequence")))?;
        word = word << 6 | digit as u32;
        digits += 1;
        if digits == 4 {
            out.extend(&word.to_be_bytes()[1..]);
            (word, digits) = (0, 0);
        }
    }
    match (digits, ended) {
        (0, 0) => {}
        (3, 1) => out.extend(&((word << 6).to_be_bytes())[1..3]),
        (2, 2) => out.extend(&((word << 12).to_be_bytes())[1..2]),
        _ => return Err(invalid("invalid base64 end sequence".to_owned())),
    }
    Ok(out)
}

fn encode(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let bytes = bytes_at(args, 0, call)?;
    let name = str_at(args, 1, call)?;
    Ok(Value::text(match name.to_ascii_lowercase().as_str() {
        "hex" => hex(bytes),
        "base64" => base64(bytes),
        "escape" => {
            let escaped = bytes.iter().map(|b| match b {
                b'\\' => "\\\\".to_owned(),
                1..=127 => char::from(*b).to_string(),
                other => format!("\\{other:03o}"),
            });
            escaped.collect()
        }
        _ => return Err(unknown_encoding(name)),
    }))
}

fn decode(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let data = str_at(args, 0, call)?;
    let name = str_at(args, 1, call)?;
    let bytes = match name.to_ascii_lowercase().as_str() {
        "hex" => text::parse_hex(data)?,
        "base64" => unbase64(data)?,
        "escape" => match text::input_constant(data, &DataType::Bytea)? {
            Value::Bytea(bytes) if !data.starts_with("\\x") => bytes.to_vec(),
            _ => {
                return Err(SqlError::new(
                    sqlstate::INVALID_TEXT_REPRESENTATION,
                    "invalid input syntax for type bytea",
                ));
            }
        },
        _ => return Err(unknown_encoding(name)),
    };
    Ok(Value::Bytea(bytes.into()))
}

fn check_utf8(name: &str) -> Result<()> {
    if matches!(name.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "unicode") {
        return Ok(());
    }
    Err(SqlError::unsupported(format!("encoding \"{name}\""), "Use UTF8."))
}

fn convert_from(args: &[Value], call: &Call<'_>) -> Result<Value> {
    check_utf8(str_at(args, 1, call)?)?;
    match std::str::from_utf8(bytes_at(args, 0, call)?) {
        Ok(text) if !text.contains('\0') => Ok(Value::text(text)),
        _ => Err(SqlError::new(
            sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\"",
        )),
    }
}

fn convert_to(args: &[Value], call: &Call<'_>) -> Result<Value> {
    check_utf8(str_at(args, 1, call)?)?;
    Ok(Value::Bytea(str_at(args, 0, call)?.as_bytes().into()))
}

fn get_byte(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (bytes, n) = (bytes_at(args, 0, call)?, int_at(args, 1, call)?);
    match usize::try_from(n).ok().and_then(|i| bytes.get(i)) {
        Some(b) => Ok(Value::Int4(i32::from(*b))),
        None => Err(SqlError::new(
            sqlstate::ARRAY_SUBSCRIPT_ERROR,
            format!("index {n} out of valid range, 0..{}", bytes.len() as i64 - 1),
        )),
    }
}
