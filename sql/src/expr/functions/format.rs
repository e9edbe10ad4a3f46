//! concat, concat_ws, format, quote_*.

use gemini_shadow_ops::Value;

use super::super::function::{Arg, Call, Function, pure};
use super::super::text;
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{Any, AnyElement, Text};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("concat", &[Any], Text, concat).lenient().stable().repeated(),
    pure("concat_ws", &[Text, Any], Text, concat_ws).lenient().stable().repeated(),
    pure("format", &[Text], Text, format).lenient().stable(),
    pure("format", &[Text, Any], Text, format).lenient().stable().repeated(),
    pure("quote_ident", &[Text], Text, quote_ident),
    pure("quote_literal", &[Text], Text, quote_literal),
    pure("quote_literal", &[AnyElement], Text, quote_literal).stable(),
    pure("quote_nullable", &[Text], Text, quote_nullable).lenient(),
    pure("quote_nullable", &[AnyElement], Text, quote_nullable).lenient().stable(),
];

fn shown(value: &Value, i: usize, call: &Call<'_>) -> String {
    match call.args.get(i) {
        Some(arg) => text::output_in(value, &arg.ty, call.context),
        None => String::new(),
    }
}

fn concat(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let parts = args.iter().enumerate().filter(|(_, v)| !v.is_null());
    Ok(Value::text(parts.map(|(i, v)| shown(v, i, call)).collect::<String>()))
}

fn concat_ws(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let Some(separator) = args[0].as_text() else { return Ok(Value::Null) };
    let parts: Vec<String> = args
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, v)| !v.is_null())
        .map(|(i, v)| shown(v, i, call))
        .collect();
    Ok(Value::text(parts.join(separator)))
}

/// Words that an identifier must be quoted to be: PostgreSQL's reserved ones.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// An identifier as it must be written: quoted unless it is plain and not reserved.
pub fn quoted_identifier(name: &str) -> String {
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && RESERVED.binary_search(&name).is_err();
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A literal: `'it''s'`, `E'a\\b'`.
pub fn quoted_literal(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn quote_ident(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(quoted_identifier(args[0].as_text().ok_or_else(|| mistyped(call))?)))
}

fn quote_literal(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(quoted_literal(&shown(&args[0], 0, call))))
}

fn quote_nullable(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if args[0].is_null() { Ok(Value::text("NULL")) } else { quote_literal(args, call) }
}

/// One `%[position$][-][width]type` of a format.
struct Spec {
    position: Option<usize>,
    left: bool,
    width: usize,
    /// The width is the next argument.
    star: bool,
    conversion: char,
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, message)
}

fn parse_spec(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Spec> {
    let mut spec = Spec { position: None, left: false, width: 0, star: false, conversion: ' ' };
    let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        let mut n: Option<usize> = None;
        while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
            n = Some(n.unwrap_or(0).saturating_mul(10).saturating_add(d as usize));
            chars.next();
        }
        n
    };
    let first = number(chars);
    if first.is_some() && chars.peek() == Some(&'$') {
        chars.next();
        if first == Some(0) {
            return Err(invalid("format specifies argument 0, but arguments are numbered from 1"));
        }
        spec.position = first;
        if chars.peek() == Some(&'-') {
            chars.next();
            spec.left = true;
        }
        spec.width = number(chars).unwrap_or(0);
    } else if let Some(width) = first {
        spec.width = width;
    } else {
        if chars.peek() == Some(&'-') {
            chars.next();
            spec.left = true;
        }
        if chars.peek() == Some(&'*') {
            chars.next();
            spec.star = true;
        } else {
            spec.width = number(chars).unwrap_or(0);
        }
    }
    spec.conversion = chars.next().ok_or_else(|| {
        invalid("unterminated format() type specifier").hint("For a single \"%\" use \"%%\".")
    })?;
    Ok(spec)
}

fn format(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let Some(pattern) = args[0].as_text() else { return Ok(Value::Null) };
    let mut out = String::new();
    let mut next = 1;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let mut spec = parse_spec(&mut chars)?;
        let too_few = || invalid("too few arguments for format()");
        if spec.star {
            let n = args.get(next).ok_or_else(too_few)?.as_i64().unwrap_or(0);
            next += 1;
            spec.left |= n < 0;
            spec.width = n.unsigned_abs() as usize;
        }
        let at = spec.position.unwrap_or(next);
        next = at + 1;
        let value = args.get(at).ok_or_else(too_few)?;
        let text = convert(value, at, spec.conversion, call)?;
        if spec.width > super::string::MAX_TEXT {
            return Err(invalid("number is out of range"));
        }
        let padding = " ".repeat(spec.width.saturating_sub(text.chars().count()));
        if spec.left {
            out.push_str(&text);
            out.push_str(&padding);
        } else {
            out.push_str(&padding);
            out.push_str(&text);
        }
    }
    Ok(Value::text(out))
}

fn convert(value: &Value, at: usize, conversion: char, call: &Call<'_>) -> Result<String> {
    let text = || shown(value, at, call);
    match (conversion, value.is_null()) {
        ('s', true) => Ok(String::new()),
        ('s', false) => Ok(text()),
        ('I', true) => Err(SqlError::new(
            sqlstate::NULL_VALUE_NOT_ALLOWED,
            "null values cannot be formatted as an SQL identifier",
        )),
        ('I', false) => Ok(quoted_identifier(&text())),
        ('L', true) => Ok("NULL".to_owned()),
        ('L', false) => Ok(quoted_literal(&text())),
        (other, _) => Err(invalid(format!("unrecognized format() type specifier \"{other}\""))
            .hint("For a single \"%\" use \"%%\".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn quoting() {
        assert_eq!(quoted_identifier("order_line"), "order_line");
        assert_eq!(quoted_identifier("order"), "\"order\"");
        assert_eq!(quoted_identifier("A\"b"), "\"A\"\"b\"");
        assert_eq!(quoted_literal("it's"), "'it''s'");
        assert_eq!(quoted_literal("a\\b"), "E'a\\\\b'");
    }
}
