//! Names and types as sqlparser has them, in our words.

use gemini_shadow_ops::DataType;
use sqlparser::ast;

use super::Name;
use super::tokens::{at, position};
use crate::error::SqlError;
use crate::sqlstate;

/// Unquoted names are lower case; names are cut to 63 bytes, both as in PostgreSQL.
pub fn fold(value: &str, quoted: bool) -> String {
    let mut name = if quoted { value.to_string() } else { value.to_ascii_lowercase() };
    if name.len() > 63 {
        let mut end = 63;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
    }
    name
}

/// An identifier, folded.
pub fn ident(ident: &ast::Ident) -> String {
    fold(&ident.value, ident.quote_style.is_some())
}

/// `name`, `schema.name` or `database.schema.name` (the database is not looked at).
pub fn object_name(text: &str, name: &ast::ObjectName) -> Result<Name, SqlError> {
    let mut parts = Vec::new();
    let mut place = None;
    for part in &name.0 {
        match part {
            ast::ObjectNamePart::Identifier(i) => {
                place = place.or_else(|| position(text, i.span.start));
                parts.push(ident(i));
            }
            ast::ObjectNamePart::Function(_) => return Err(improper(name)),
        }
    }
    let Some(last) = parts.pop() else { return Err(improper(name)) };
    if parts.len() > 2 {
        return Err(at(improper(name), place));
    }
    Ok(Name { schema: parts.pop(), name: last, position: place.unwrap_or(0) })
}

fn improper(name: &ast::ObjectName) -> SqlError {
    SqlError::new(sqlstate::SYNTAX_ERROR, format!("improper qualified name (too many dotted names): {name}"))
}

/// A type as written. The SERIAL types are no types, and are looked for before.
pub fn data_type(ty: &ast::DataType) -> Result<DataType, SqlError> {
    use ast::DataType as T;
    Ok(match ty {
        T::Bool | T::Boolean => DataType::Bool,
        T::SmallInt(None) | T::Int2(None) => DataType::Int2,
        T::Int(None) | T::Integer(None) | T::Int4(None) => DataType::Int4,
        T::BigInt(None) | T::Int8(None) => DataType::Int8,
        T::Real | T::Float4 => DataType::Float4,
        T::DoublePrecision | T::Float8 | T::Float64 | T::Double(ast::ExactNumberInfo::None) => {
            DataType::Float8
        }
        T::Float(ast::ExactNumberInfo::None) => DataType::Float8,
        T::Float(ast::ExactNumberInfo::Precision(p)) if (1..=24).contains(p) => DataType::Float4,
        T::Float(ast::ExactNumberInfo::Precision(p)) if (25..=53).contains(p) => DataType::Float8,
        T::Numeric(i) | T::Decimal(i) | T::Dec(i) => numeric(i)?,
        T::Text => DataType::Text,
        T::Varchar(l) | T::CharacterVarying(l) | T::CharVarying(l) => DataType::Varchar(length(l.as_ref())?),
        T::Char(l) | T::Character(l) => DataType::Char(length(l.as_ref())?.unwrap_or(1)),
        T::Bytea => DataType::Bytea,
        T::Date => DataType::Date,
        T::Timestamp(p, zone) => timestamp(*p, *zone)?,
        T::TimestampNtz(p) => timestamp(*p, ast::TimezoneInfo::None)?,
        T::Interval { fields: None, .. } => DataType::Interval,
        T::Uuid => DataType::Uuid,
        T::Regclass => DataType::Regclass,
        T::Array(ast::ArrayElemTypeDef::SquareBracket(inner, _))
        | T::Array(ast::ArrayElemTypeDef::AngleBracket(inner)) => {
            match data_type(inner)? {
                array @ DataType::Array(_) => array, // int[][] is int[]: dimensions are the value's
                element => DataType::Array(Box::new(element)),
            }
        }
        T::Custom(name, modifiers) => return custom(name, modifiers),
        other => return Err(unknown(&other.to_string())),
    })
}

fn custom(name: &ast::ObjectName, modifiers: &[String]) -> Result<DataType, SqlError> {
    let last = match name.0.last() {
        Some(ast::ObjectNamePart::Identifier(i)) => ident(i),
        _ => return Err(unknown(&name.to_string())),
    };
    let number = |i: usize| modifiers.get(i).and_then(|m| m.parse::<u32>().ok());
    Ok(match last.as_str() {
        "oid" | "xid" | "regnamespace" | "regrole" => DataType::Oid,
        "name" => DataType::Name,
        "char" => DataType::InternalChar,
        "regclass" => DataType::Regclass,
        "regtype" => DataType::Regtype,
        "regproc" | "regprocedure" => DataType::Regproc,
        "bpchar" => DataType::Char(number(0).unwrap_or(1)),
        "varchar" => DataType::Varchar(number(0)),
        "timestamptz" => DataType::Timestamptz,
        "timestamp" => DataType::Timestamp,
        "int2" => DataType::Int2,
        "int4" | "int" | "integer" => DataType::Int4,
        "int8" => DataType::Int8,
        "float4" => DataType::Float4,
        "float8" => DataType::Float8,
        "bool" => DataType::Bool,
        "text" => DataType::Text,
        "bytea" => DataType::Bytea,
        "date" => DataType::Date,
        "interval" => DataType::Interval,
        "uuid" => DataType::Uuid,
        "numeric" => DataType::Numeric(None),
        _ => return Err(unknown(&last)),
    })
}

fn unknown(name: &str) -> SqlError {
    let lower = name.to_ascii_lowercase();
    let base = lower.split(['(', '[', ' ']).next().unwrap_or("");
    let instead = match base {
        "json" | "jsonb" | "xml" => "text",
        "time" | "timetz" => "timestamp, interval, or text",
        "money" => "numeric(12,2)",
        "bit" | "varbit" => "bytea or text",
        "inet" | "cidr" | "macaddr" | "point" | "box" | "tsvector" => "text",
        _ => {
            return SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"));
        }
    };
    SqlError::unsupported(format!("type {name}"), format!("Use {instead}."))
}

fn numeric(info: &ast::ExactNumberInfo) -> Result<DataType, SqlError> {
    let (precision, scale) = match info {
        ast::ExactNumberInfo::None => return Ok(DataType::Numeric(None)),
        ast::ExactNumberInfo::Precision(p) => (*p, 0),
        ast::ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
    };
    let checked = u16::try_from(precision).ok().filter(|p| (1..=1000).contains(p));
    let Some(precision) = checked else {
        return Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("NUMERIC precision {precision} must be between 1 and 1000"),
        ));
    };
    let Some(scale) = i16::try_from(scale).ok().filter(|s| (-1000..=1000).contains(s)) else {
        return Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("NUMERIC scale {scale} must be between -1000 and 1000"),
        ));
    };
    Ok(DataType::Numeric(Some((precision, scale))))
}

fn length(length: Option<&ast::CharacterLength>) -> Result<Option<u32>, SqlError> {
    match length {
        None | Some(ast::CharacterLength::Max) => Ok(None),
        Some(ast::CharacterLength::IntegerLength { length, .. }) => {
            match u32::try_from(*length).ok().filter(|l| (1..=10_485_760).contains(l)) {
                Some(l) => Ok(Some(l)),
                None => Err(SqlError::new(
                    sqlstate::INVALID_PARAMETER_VALUE,
                    format!("length {length} of a character type must be between 1 and 10485760"),
                )),
            }
        }
    }
}

fn timestamp(precision: Option<u64>, zone: ast::TimezoneInfo) -> Result<DataType, SqlError> {
    match precision {
        None | Some(6) => {}
        Some(p) => {
            return Err(SqlError::unsupported(
                format!("timestamp({p})"),
                "Times are kept in microseconds: use timestamp, and date_trunc when reading.",
            ));
        }
    }
    Ok(match zone {
        ast::TimezoneInfo::Tz | ast::TimezoneInfo::WithTimeZone => DataType::Timestamptz,
        ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone => DataType::Timestamp,
    })
}

/// SMALLSERIAL, SERIAL, BIGSERIAL and their other names: the integer type below.
pub fn serial(ty: &ast::DataType) -> Option<DataType> {
    let ast::DataType::Custom(name, _) = ty else { return None };
    let ast::ObjectNamePart::Identifier(last) = name.0.last()? else { return None };
    match ident(last).as_str() {
        "smallserial" | "serial2" => Some(DataType::Int2),
        "serial" | "serial4" => Some(DataType::Int4),
        "bigserial" | "serial8" => Some(DataType::Int8),
        _ => None,
    }
}
