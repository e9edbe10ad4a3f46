//! Names as text: quoting, and the reg* types' look-ups both ways.

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Schema, Sequence};

use super::{computed, index_oid, sequence_oid, table_oid};
use crate::expr::types;

/// Words that must be quoted as names: PostgreSQL's reserved ones.
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
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "char",
    "character",
    "coalesce",
    "collation",
    "concurrently",
    "cross",
    "current_schema",
    "dec",
    "decimal",
    "exists",
    "extract",
    "float",
    "freeze",
    "full",
    "greatest",
    "grouping",
    "ilike",
    "inner",
    "inout",
    "int",
    "integer",
    "interval",
    "is",
    "isnull",
    "join",
    "least",
    "left",
    "like",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "notnull",
    "nullif",
    "numeric",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "position",
    "precision",
    "real",
    "right",
    "row",
    "setof",
    "similar",
    "smallint",
    "substring",
    "tablesample",
    "time",
    "timestamp",
    "treat",
    "trim",
    "values",
    "varchar",
    "verbose",
];

/// A name as it must be written to mean itself.
pub fn quote(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// `schema.name` or `name` as text, quoted parts as they are and others folded. None if it is not one.
pub fn split(text: &str) -> Option<(Option<String>, String)> {
    let mut parts: Vec<String> = Vec::new();
    let mut chars = text.trim().chars().peekable();
    loop {
        let mut part = String::new();
        if chars.peek() == Some(&'"') {
            chars.next();
            loop {
                match chars.next()? {
                    '"' if chars.peek() == Some(&'"') => {
                        chars.next();
                        part.push('"');
                    }
                    '"' => break,
                    c => part.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != '.') {
                part.extend(c.to_lowercase());
            }
        }
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match chars.next() {
            None => break,
            Some('.') => {}
            Some(_) => return None,
        }
    }
    let name = parts.pop()?;
    (parts.len() <= 2).then(|| (parts.pop(), name))
}

/// A sequence by its name as text.
pub fn sequence<'s>(schema: &'s Schema, text: &str) -> Option<&'s Arc<Sequence>> {
    let (namespace, name) = split(text)?;
    if namespace.as_deref().is_some_and(|n| n != "public") {
        return None;
    }
    schema.sequence_by_name(&name)
}

/// The oid behind a reg* type's text.
pub fn to_oid(schema: &Schema, kind: &DataType, text: &str) -> Option<u32> {
    match kind {
        DataType::Regtype => types::by_name(&text.trim().to_ascii_lowercase()).map(|ty| types::oid(&ty)),
        DataType::Regproc => super::system::function_oid(split(text)?.1.as_str()),
        _ => {
            let (namespace, name) = split(text)?;
            let wanted = namespace.as_deref();
            if wanted.is_none() || wanted == Some("public") {
                let found = schema
                    .table_by_name(&name)
                    .map(|t| table_oid(t.id))
                    .or_else(|| schema.sequence_by_name(&name).map(|s| sequence_oid(s.id)))
                    .or_else(|| schema.index_by_name(&name).map(|(_, i)| index_oid(i.id)));
                if found.is_some() {
                    return found;
                }
            }
            let namespace = wanted.unwrap_or("pg_catalog");
            computed().iter().find(|((s, n), _)| *s == namespace && *n == name).map(|(_, t)| t.oid)
        }
    }
}

/// The text of a reg* type.
pub fn oid_name(schema: &Schema, kind: &DataType, oid: u32, path: &[String]) -> Option<String> {
    match kind {
        DataType::Regtype => types::from_oid(oid, -1).map(|ty| types::display(&ty)),
        DataType::Regproc => super::system::function_name(oid).map(str::to_string),
        _ => {
            let name = schema
                .tables
                .values()
                .find(|t| table_oid(t.id) == oid)
                .map(|t| t.name.as_str())
                .or_else(|| {
                    schema.sequences.values().find(|s| sequence_oid(s.id) == oid).map(|s| s.name.as_str())
                })
                .or_else(|| {
                    let mut indexes = schema.tables.values().flat_map(|t| &t.indexes);
                    indexes.find(|i| index_oid(i.id) == oid).map(|i| i.name.as_str())
                });
            if let Some(name) = name {
                let public = path.is_empty() || path.iter().any(|s| s == "public");
                return Some(if public { quote(name) } else { format!("public.{}", quote(name)) });
            }
            computed().values().find(|t| t.oid == oid).map(|t| match t.schema {
                "pg_catalog" => t.name.to_string(),
                schema => format!("{schema}.{}", t.name),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_and_quoted() {
        assert_eq!(split("Public.\"My \"\"T\"\"\""), Some((Some("public".into()), "My \"T\"".into())));
        assert_eq!(split("t"), Some((None, "t".into())));
        assert_eq!(split("\"open"), None);
        assert_eq!(split("a..b"), None);
        assert_eq!(quote("order"), "\"order\"");
        assert_eq!(quote("i_id"), "i_id");
        assert_eq!(quote("Größe"), "\"Größe\"");
    }
}
