//! PostgreSQL's own objects: types, schemas, the one role and database, settings, functions named by types.

use gemini_shadow_ops::{DataType, Value};

use super::{DATABASE, DATABASE_OWNER, EXTENSION, GEMINI, INFORMATION_SCHEMA, OWNER, PG_CATALOG, PUBLIC};
use super::{Rows, View, code};
use crate::expr::types;

/// Functions that drivers look for by way of pg_type, and that casts to regproc name.
pub(super) static FUNCTIONS: &[(u32, &str)] = &[
    (31, "byteaout"),
    (33, "charout"),
    (34, "namein"),
    (35, "nameout"),
    (38, "int2in"),
    (39, "int2out"),
    (40, "int2vectorin"),
    (42, "int4in"),
    (54, "oidvectorin"),
    (321, "json_in"),
    (323, "json_recv"),
    (2410, "int2vectorrecv"),
    (2420, "oidvectorrecv"),
    (43, "int4out"),
    (44, "regprocin"),
    (46, "textin"),
    (47, "textout"),
    (109, "unknownin"),
    (200, "float4in"),
    (201, "float4out"),
    (214, "float8in"),
    (215, "float8out"),
    (460, "int8in"),
    (461, "int8out"),
    (750, "array_in"),
    (751, "array_out"),
    (1044, "bpcharin"),
    (1046, "varcharin"),
    (1084, "date_in"),
    (1150, "timestamptz_in"),
    (1160, "interval_in"),
    (1242, "boolin"),
    (1243, "boolout"),
    (1244, "byteain"),
    (1245, "charin"),
    (1312, "timestamp_in"),
    (1701, "numeric_in"),
    (1798, "oidin"),
    (2218, "regclassin"),
    (2220, "regtypein"),
    (2298, "void_in"),
    (2400, "array_recv"),
    (2404, "int2recv"),
    (2406, "int4recv"),
    (2408, "int8recv"),
    (2412, "bytearecv"),
    (2414, "textrecv"),
    (2418, "oidrecv"),
    (2422, "namerecv"),
    (2424, "float4recv"),
    (2426, "float8recv"),
    (2430, "bpcharrecv"),
    (2432, "varcharrecv"),
    (2434, "charrecv"),
    (2436, "boolrecv"),
    (2444, "regprocrecv"),
    (2452, "regclassrecv"),
    (2454, "regtyperecv"),
    (2460, "numeric_recv"),
    (2468, "date_recv"),
    (2474, "timestamp_recv"),
    (2476, "timestamptz_recv"),
    (2478, "interval_recv"),
    (2952, "uuid_in"),
    (2961, "uuid_recv"),
    (3120, "void_recv"),
    (3504, "unknownrecv"),
];

/// The oid behind a regproc's text.
pub(super) fn function_oid(name: &str) -> Option<u32> {
    support_oid(name).or_else(|| code::by_name(name).map(|f| f.oid))
}

fn support_oid(name: &str) -> Option<u32> {
    FUNCTIONS.iter().find(|(_, n)| *n == name).map(|(oid, _)| *oid)
}

/// A regproc's text.
pub(super) fn function_name(oid: u32) -> Option<&'static str> {
    if oid == 0 {
        return Some("-");
    }
    let own = FUNCTIONS.iter().find(|(o, _)| *o == oid).map(|(_, name)| *name);
    own.or_else(|| code::by_oid(oid).map(|f| f.name))
}

pub(super) fn text(value: &str) -> Value {
    Value::text(value)
}

/// "char".
pub(super) fn char(value: &str) -> Value {
    Value::text(value)
}

fn oid(value: u32) -> Value {
    Value::Oid(value)
}

const TRUE: Value = Value::Bool(true);
const FALSE: Value = Value::Bool(false);

/// Where typcollation stands in pg_type.
const COLLATION: usize = 28;

/// Schemas: (oid, name).
pub(super) const SCHEMAS: [(u32, &str); 4] = [
    (PG_CATALOG, "pg_catalog"),
    (PUBLIC, "public"),
    (INFORMATION_SCHEMA, "information_schema"),
    (GEMINI, "gemini"),
];

pub(super) fn pg_namespace(_view: &View<'_>) -> Rows {
    // As initdb leaves it: pg_dump has nothing to say of such a public.
    let items = ["pg_database_owner=UC/pg_database_owner", "=U/pg_database_owner"];
    let privileges = Value::Array(std::sync::Arc::new(items.map(text).to_vec()));
    let row = |(id, name): &(u32, &str)| {
        let (owner, privileges) = match *id {
            PUBLIC => (DATABASE_OWNER, privileges.clone()),
            _ => (OWNER, Value::Null),
        };
        vec![oid(*id), text(name), oid(owner), privileges]
    };
    SCHEMAS.iter().map(row).collect()
}

pub(super) fn pg_extension(_view: &View<'_>) -> Rows {
    let version = text(env!("CARGO_PKG_VERSION"));
    let gemini = [oid(EXTENSION), text("gemini"), oid(OWNER), oid(GEMINI), FALSE, version];
    vec![[&gemini[..], &[Value::Null, Value::Null]].concat()]
}

pub(super) fn pg_type(_view: &View<'_>) -> Rows {
    let mut rows = Vec::new();
    for (ty, info) in types::SCALARS {
        let kind = if matches!(ty, DataType::Void | DataType::Unknown) { "p" } else { "b" };
        rows.push(type_row(
            info.oid,
            info.name,
            info.length,
            kind,
            info.category,
            info.preferred,
            0,
            info.array,
        ));
        if info.array != 0 {
            let mut row = type_row(info.array, &format!("_{}", info.name), -1, "b", 'A', false, info.oid, 0);
            row[COLLATION] = oid(if info.category == 'S' { 100 } else { 0 });
            rows.push(row);
        }
    }
    rows
}

#[allow(clippy::too_many_arguments)] // one row of a wide table
fn type_row(
    id: u32,
    name: &str,
    length: i16,
    kind: &str,
    category: char,
    preferred: bool,
    element: u32,
    array: u32,
) -> Vec<Value> {
    let by_value = (1..=8).contains(&length);
    let align = match length {
        1 => "c",
        2 => "s",
        8 | 16 => "d",
        _ => "i",
    };
    let base = name.trim_start_matches('_');
    let function = |suffix: &str, array: &str| {
        let name = if element != 0 { array.to_string() } else { format!("{base}{suffix}") };
        if let Some(oid) = support_oid(&name) {
            return Value::Oid(oid);
        }
        let name = format!("{base}_{suffix}");
        Value::Oid(support_oid(&name).unwrap_or(0))
    };
    let collation = if matches!(category, 'S') { 100 } else { 0 };
    vec![
        oid(id),
        text(name),
        oid(PG_CATALOG),
        oid(OWNER),
        Value::Int2(length),
        Value::Bool(by_value),
        char(kind),
        char(&category.to_string()),
        Value::Bool(preferred),
        TRUE,
        char(","),
        oid(0),
        oid(0),
        oid(element),
        oid(array),
        function("in", "array_in"),
        function("out", "array_out"),
        function("recv", "array_recv"),
        oid(0),
        oid(0),
        oid(0),
        oid(0),
        char(align),
        char(match id {
            1700 => "m",
            _ if length < 0 => "x",
            _ => "p",
        }),
        FALSE,
        oid(0),
        Value::Int4(-1),
        Value::Int4(0),
        oid(collation),
        Value::Null,
        Value::Null,
        Value::Null,
    ]
}

pub(super) fn pg_am(_view: &View<'_>) -> Rows {
    vec![vec![oid(2), text("heap"), oid(0), char("t")], vec![oid(403), text("btree"), oid(0), char("i")]]
}

pub(super) fn pg_database(view: &View<'_>) -> Rows {
    vec![vec![
        oid(DATABASE),
        text(view.database()),
        oid(OWNER),
        Value::Int4(6),
        char("c"),
        FALSE,
        TRUE,
        Value::Int4(-1),
        oid(0),
        oid(0),
        oid(1663),
        text("C"),
        text("C.UTF-8"),
        Value::Null,
        Value::Null,
        Value::Null,
    ]]
}

pub(super) fn pg_roles(view: &View<'_>) -> Rows {
    let user = vec![
        text(view.user()),
        TRUE,
        TRUE,
        TRUE,
        TRUE,
        TRUE,
        FALSE,
        Value::Int4(-1),
        text("********"),
        Value::Null,
        TRUE,
        Value::Null,
        oid(OWNER),
    ];
    let mut database_owner = user.clone();
    database_owner[0] = text("pg_database_owner");
    database_owner[1..7].fill(FALSE);
    database_owner[2] = TRUE;
    database_owner[10] = FALSE;
    database_owner[12] = oid(DATABASE_OWNER);
    vec![user, database_owner]
}

pub(super) fn pg_authid(view: &View<'_>) -> Rows {
    let mut row = vec![oid(OWNER), text(view.user())];
    row.extend([TRUE, TRUE, TRUE, TRUE, TRUE, FALSE, TRUE, Value::Int4(-1), Value::Null, Value::Null]);
    vec![row]
}

/// The session that asks. A session knows of no other.
pub(super) fn pg_stat_activity(view: &View<'_>) -> Rows {
    let session = view.context.environment.session();
    let mut row = vec![Value::Null; 22];
    row[0] = oid(DATABASE);
    row[1] = text(view.database());
    row[2] = Value::Int4(session.backend_pid);
    row[4] = oid(OWNER);
    row[5] = text(view.user());
    row[6] = view.context.environment.setting("application_name").map_or(Value::Null, Value::text);
    row[11] = Value::Timestamptz(session.transaction_time);
    row[12] = Value::Timestamptz(session.statement_time);
    row[13] = Value::Timestamptz(session.statement_time);
    row[16] = text("active");
    row[21] = text("client backend");
    vec![row]
}

pub(super) fn pg_user(view: &View<'_>) -> Rows {
    vec![vec![
        text(view.user()),
        oid(OWNER),
        TRUE,
        TRUE,
        FALSE,
        TRUE,
        text("********"),
        Value::Null,
        Value::Null,
    ]]
}

pub(super) fn pg_collation(_view: &View<'_>) -> Rows {
    let row = |id: u32, name: &str, provider: &str, collate: Value| {
        vec![
            oid(id),
            text(name),
            oid(PG_CATALOG),
            oid(OWNER),
            char(provider),
            TRUE,
            Value::Int4(-1),
            collate.clone(),
            collate,
            Value::Null,
            Value::Null,
        ]
    };
    vec![
        row(100, "default", "d", Value::Null),
        row(950, "C", "c", text("C")),
        row(951, "POSIX", "c", text("POSIX")),
    ]
}

pub(super) fn pg_settings(view: &View<'_>) -> Rows {
    let environment = &view.context.environment;
    crate::session::settings::names()
        .map(|(name, about)| {
            let value = environment.setting(name).unwrap_or_default();
            let mut row = vec![Value::Null; 17];
            row[0] = text(name);
            row[1] = Value::text(value.as_str());
            row[3] = text(if name.starts_with("gemini.") { "Gemini" } else { "PostgreSQL" });
            row[4] = text(about);
            row[6] = text("user");
            row[7] = text("string");
            row[8] = text("session");
            row[12] = Value::text(value.as_str());
            row[13] = Value::text(value.as_str());
            row[16] = FALSE;
            row
        })
        .collect()
}

pub(super) fn pg_tablespace(_view: &View<'_>) -> Rows {
    let row = |id: u32, name: &str| vec![oid(id), text(name), oid(OWNER), Value::Null, Value::Null];
    vec![row(1663, "pg_default"), row(1664, "pg_global")]
}

pub(super) fn pg_language(_view: &View<'_>) -> Rows {
    let row = |id: u32, name: &str| {
        vec![oid(id), text(name), oid(OWNER), FALSE, FALSE, oid(0), oid(0), oid(0), Value::Null]
    };
    vec![row(12, "internal"), row(14, "sql")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_functions_where_drivers_look() {
        for (_, info) in types::SCALARS {
            let row =
                type_row(info.oid, info.name, info.length, "b", info.category, info.preferred, 0, info.array);
            assert_ne!(row[15], Value::Oid(0), "typinput of {}", info.name);
            assert_ne!(row[17], Value::Oid(0), "typreceive of {}", info.name);
        }
    }
}
