//! Types as PostgreSQL's catalogue and protocol know them: oids, names, lengths, typmods, categories.

use gemini_shadow_ops::DataType;

/// PostgreSQL's numbers for a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TypeInfo {
    pub oid: u32,
    /// The oid of its array type; 0 if it has none.
    pub array: u32,
    pub name: &'static str,
    /// typlen: -1 variable.
    pub length: i16,
    /// typcategory.
    pub category: char,
    pub preferred: bool,
}

const fn info(
    oid: u32,
    array: u32,
    name: &'static str,
    length: i16,
    category: char,
    preferred: bool,
) -> TypeInfo {
    TypeInfo { oid, array, name, length, category, preferred }
}

/// Every scalar type with a bare (no typmod) representative, by oid.
pub static SCALARS: &[(DataType, TypeInfo)] = &[
    (DataType::Bool, info(16, 1000, "bool", 1, 'B', true)),
    (DataType::Bytea, info(17, 1001, "bytea", -1, 'U', false)),
    (DataType::InternalChar, info(18, 1002, "char", 1, 'Z', false)),
    (DataType::Name, info(19, 1003, "name", 64, 'S', false)),
    (DataType::Int8, info(20, 1016, "int8", 8, 'N', false)),
    (DataType::Int2, info(21, 1005, "int2", 2, 'N', false)),
    (DataType::Int2Vector, info(22, 1006, "int2vector", -1, 'A', false)),
    (DataType::Int4, info(23, 1007, "int4", 4, 'N', false)),
    (DataType::Regproc, info(24, 1008, "regproc", 4, 'N', false)),
    (DataType::Text, info(25, 1009, "text", -1, 'S', true)),
    (DataType::Oid, info(26, 1028, "oid", 4, 'N', true)),
    (DataType::OidVector, info(30, 1013, "oidvector", -1, 'A', false)),
    (DataType::Json, info(114, 199, "json", -1, 'U', false)),
    (DataType::Float4, info(700, 1021, "float4", 4, 'N', false)),
    (DataType::Float8, info(701, 1022, "float8", 8, 'N', true)),
    (DataType::Unknown, info(705, 0, "unknown", -2, 'X', false)),
    (DataType::Char(0), info(1042, 1014, "bpchar", -1, 'S', false)),
    (DataType::Varchar(None), info(1043, 1015, "varchar", -1, 'S', false)),
    (DataType::Date, info(1082, 1182, "date", 4, 'D', false)),
    (DataType::Timestamp, info(1114, 1115, "timestamp", 8, 'D', false)),
    (DataType::Timestamptz, info(1184, 1185, "timestamptz", 8, 'D', true)),
    (DataType::Interval, info(1186, 1187, "interval", 16, 'T', true)),
    (DataType::Numeric(None), info(1700, 1231, "numeric", -1, 'N', false)),
    (DataType::Regclass, info(2205, 2210, "regclass", 4, 'N', false)),
    (DataType::Regtype, info(2206, 2211, "regtype", 4, 'N', false)),
    (DataType::Void, info(2278, 0, "void", 4, 'P', false)),
    (DataType::Uuid, info(2950, 2951, "uuid", 16, 'U', false)),
];

/// The type without its typmod: varchar(5) as varchar, numeric(10,2) as numeric, char(3) as char of no length.
pub fn bare(ty: &DataType) -> DataType {
    match ty {
        DataType::Numeric(_) => DataType::Numeric(None),
        DataType::Varchar(_) => DataType::Varchar(None),
        DataType::Char(_) => DataType::Char(0),
        DataType::Array(element) => DataType::Array(Box::new(bare(element))),
        other => other.clone(),
    }
}

/// The numbers of a scalar type (of the element's, for an array).
pub fn scalar_info(ty: &DataType) -> &'static TypeInfo {
    let ty = match ty {
        DataType::Array(element) => return scalar_info(element),
        other => bare(other),
    };
    SCALARS.iter().find(|(t, _)| *t == ty).map(|(_, i)| i).expect("every scalar type is in the table")
}

/// pg_type.oid.
pub fn oid(ty: &DataType) -> u32 {
    let info = scalar_info(ty);
    if matches!(ty, DataType::Array(_)) { info.array } else { info.oid }
}

/// The type with an oid and a typmod (-1: none); None if we have no such type. int2vector, oidvector and "any" are not types of ours.
pub fn from_oid(oid: u32, typmod: i32) -> Option<DataType> {
    let (ty, info) = SCALARS.iter().find(|(_, i)| i.oid == oid || (i.array != 0 && i.array == oid))?;
    let ty = with_typmod(ty, typmod);
    Some(if info.oid == oid { ty } else { DataType::Array(Box::new(ty)) })
}

/// pg_attribute.atttypmod; -1 if none.
pub fn typmod(ty: &DataType) -> i32 {
    match ty {
        DataType::Varchar(Some(n)) => *n as i32 + 4,
        DataType::Char(n) if *n > 0 => *n as i32 + 4,
        DataType::Numeric(Some((precision, scale))) => {
            ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
        }
        DataType::Array(element) => typmod(element),
        _ => -1,
    }
}

fn with_typmod(ty: &DataType, typmod: i32) -> DataType {
    if typmod < 4 {
        return ty.clone();
    }
    let n = typmod - 4;
    match ty {
        DataType::Varchar(_) => DataType::Varchar(Some(n as u32)),
        DataType::Char(_) => DataType::Char(n as u32),
        DataType::Numeric(_) => {
            let scale = ((n & 0x7ff) ^ 1024) - 1024;
            DataType::Numeric(Some(((n >> 16) as u16, scale as i16)))
        }
        other => other.clone(),
    }
}

/// pg_type.typlen.
pub fn length(ty: &DataType) -> i16 {
    if matches!(ty, DataType::Array(_)) { -1 } else { scalar_info(ty).length }
}

/// pg_type.typname: `int4`, `_int4`.
pub fn internal_name(ty: &DataType) -> String {
    let name = scalar_info(ty).name;
    if matches!(ty, DataType::Array(_)) { format!("_{name}") } else { name.to_owned() }
}

/// format_type(): `integer`, `character varying(20)`, `numeric(10,2)[]`.
pub fn display(ty: &DataType) -> String {
    match ty {
        DataType::Bool => "boolean".to_owned(),
        DataType::Int2 => "smallint".to_owned(),
        DataType::Int4 => "integer".to_owned(),
        DataType::Int8 => "bigint".to_owned(),
        DataType::Float4 => "real".to_owned(),
        DataType::Float8 => "double precision".to_owned(),
        DataType::Numeric(Some((precision, scale))) => format!("numeric({precision},{scale})"),
        DataType::Varchar(None) => "character varying".to_owned(),
        DataType::Varchar(Some(n)) => format!("character varying({n})"),
        DataType::Char(0) => "character".to_owned(),
        DataType::Char(n) => format!("character({n})"),
        DataType::InternalChar => "\"char\"".to_owned(),
        DataType::Timestamp => "timestamp without time zone".to_owned(),
        DataType::Timestamptz => "timestamp with time zone".to_owned(),
        DataType::Array(element) => format!("{}[]", display(element)),
        other => scalar_info(other).name.to_owned(),
    }
}

/// A type by a name as written in SQL or a catalogue, lower case, without typmod (`int`, `bigint`, `character varying`, `_text`,
/// `text[]`); None if there is no such type.
pub fn by_name(name: &str) -> Option<DataType> {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    if let Some(element) = name.strip_suffix("[]").or_else(|| name.strip_prefix('_')) {
        return by_name(element).map(|t| DataType::Array(Box::new(t)));
    }
    Some(match name {
        "boolean" => DataType::Bool,
        "smallint" => DataType::Int2,
        "int" | "integer" => DataType::Int4,
        "bigint" => DataType::Int8,
        "real" => DataType::Float4,
        "float" | "double precision" => DataType::Float8,
        "decimal" | "dec" => DataType::Numeric(None),
        "character varying" => DataType::Varchar(None),
        "character" => DataType::Char(1),
        "char" => DataType::Char(1),
        "\"char\"" => DataType::InternalChar,
        "timestamp without time zone" => DataType::Timestamp,
        "timestamp with time zone" => DataType::Timestamptz,
        other => return SCALARS.iter().find(|(_, i)| i.name == other).map(|(t, _)| t.clone()),
    })
}
