//! Functions of the session and the catalogue.
//!
//! What only the session can answer goes through [`super::super::Environment`]; here are the types. A catalogue function
//! without an answer reads as NULL.

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Value};

use super::super::function::{Arg, Call, Function, pure};
use super::super::{text, types};
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{Any, Bool, Int2, Int4, Int8, Name, NameArray, Oid, Regclass, Regtype, Text, Timestamptz, Uuid};

pub(super) static FUNCTIONS: &[Function] = &[
    pure("current_user", &[], Name, user).stable(),
    pure("session_user", &[], Name, user).stable(),
    pure("user", &[], Name, user).stable(),
    pure("current_role", &[], Name, user).stable(),
    pure("current_database", &[], Name, database).stable(),
    pure("current_catalog", &[], Name, database).stable(),
    pure("current_schema", &[], Name, current_schema).stable(),
    pure("current_schemas", &[Bool], NameArray, current_schemas).stable(),
    pure("version", &[], Text, version).stable(),
    pure("pg_backend_pid", &[], Int4, backend_pid).stable(),
    pure("current_setting", &[Text], Text, current_setting).stable(),
    pure("current_setting", &[Text, Bool], Text, current_setting).stable(),
    pure("set_config", &[Text, Text, Bool], Text, set_config).volatile().lenient(),
    pure("nextval", &[Regclass], Int8, nextval).volatile(),
    pure("currval", &[Regclass], Int8, currval).volatile(),
    pure("lastval", &[], Int8, lastval).volatile(),
    pure("setval", &[Regclass, Int8], Int8, setval).volatile(),
    pure("setval", &[Regclass, Int8, Bool], Int8, setval).volatile(),
    pure("gen_random_uuid", &[], Uuid, random_uuid).volatile(),
    pure("json_build_object", &[Any], Arg::Json, json_build_object).stable().lenient().repeated(),
    pure("pg_typeof", &[Any], Regtype, pg_typeof).lenient(),
    pure("format_type", &[Oid, Int4], Text, format_type).stable().lenient(),
    pure("num_nonnulls", &[Any], Int4, count_nulls).lenient().repeated(),
    pure("num_nulls", &[Any], Int4, count_nulls).lenient().repeated(),
    pure("pg_advisory_unlock_all", &[], Arg::Void, void).volatile(),
    pure("acldefault", &[Arg::InternalChar, Oid], Arg::TextArray, no_privileges).stable(),
    pure("pg_is_in_recovery", &[], Bool, falsehood).stable(),
    pure("pg_encoding_to_char", &[Int4], Name, encoding).stable(),
    pure("pg_get_userbyid", &[Oid], Name, role).stable(),
    pure("to_regclass", &[Text], Regclass, to_reg).stable(),
    pure("to_regtype", &[Text], Regtype, to_reg).stable(),
    pure("pg_table_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_type_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_function_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_opclass_is_visible", &[Oid], Bool, visible).stable(),
    pure("has_table_privilege", &[Oid, Text], Bool, truth).stable(),
    pure("has_table_privilege", &[Text, Text], Bool, truth).stable(),
    pure("has_table_privilege", &[Name, Text, Text], Bool, truth).stable(),
    pure("has_schema_privilege", &[Oid, Text], Bool, truth).stable(),
    pure("has_schema_privilege", &[Text, Text], Bool, truth).stable(),
    pure("has_database_privilege", &[Text, Text], Bool, truth).stable(),
    pure("pg_get_indexdef", &[Oid], Text, host).stable(),
    pure("pg_get_indexdef", &[Oid, Int4, Bool], Text, host).stable(),
    pure("pg_get_constraintdef", &[Oid], Text, host).stable(),
    pure("pg_get_constraintdef", &[Oid, Bool], Text, host).stable(),
    pure("pg_get_expr", &[Text, Oid], Text, expression_text).stable(),
    pure("pg_get_expr", &[Text, Oid, Bool], Text, expression_text).stable(),
    pure("pg_get_viewdef", &[Oid], Text, host).stable(),
    pure("pg_get_viewdef", &[Oid, Bool], Text, host).stable(),
    pure("pg_get_serial_sequence", &[Text, Text], Text, host).stable(),
    pure("pg_get_statisticsobjdef_columns", &[Oid], Text, host).stable(),
    pure("pg_get_ruledef", &[Oid], Text, host).stable(),
    pure("pg_get_triggerdef", &[Oid], Text, host).stable(),
    pure("pg_get_triggerdef", &[Oid, Bool], Text, host).stable(),
    pure("pg_get_ruledef", &[Oid, Bool], Text, host).stable(),
    pure("pg_get_function_result", &[Oid], Text, host).stable(),
    pure("pg_get_function_arguments", &[Oid], Text, host).stable(),
    pure("pg_get_function_identity_arguments", &[Oid], Text, host).stable(),
    pure("pg_get_partkeydef", &[Oid], Text, host).stable(),
    pure("obj_description", &[Oid], Text, host).stable(),
    pure("obj_description", &[Oid, Name], Text, host).stable(),
    pure("col_description", &[Oid, Int4], Text, host).stable(),
    pure("shobj_description", &[Oid, Name], Text, host).stable(),
    pure("pg_relation_size", &[Regclass], Int8, host).stable(),
    pure("pg_table_size", &[Regclass], Int8, host).stable(),
    pure("pg_total_relation_size", &[Regclass], Int8, host).stable(),
    pure("pg_indexes_size", &[Regclass], Int8, host).stable(),
    pure("pg_database_size", &[Name], Int8, host).stable(),
    pure("pg_tablespace_location", &[Oid], Text, host).stable(),
    pure("pg_size_pretty", &[Int8], Text, size_pretty),
    pure("pg_relation_is_publishable", &[Regclass], Bool, falsehood).stable(),
    // No table is a partition; psql asks as an element of IN, where NULL adds nothing.
    pure("pg_partition_ancestors", &[Regclass], Regclass, host).stable(),
    pure("pg_my_temp_schema", &[], Oid, no_oid).stable(),
    pure("pg_is_other_temp_schema", &[Oid], Bool, falsehood).stable(),
    pure("pg_char_to_encoding", &[Name], Int4, encoding_number).stable(),
    pure("pg_column_is_updatable", &[Regclass, Int2, Bool], Bool, truth).stable(),
    pure("pg_operator_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_opfamily_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_collation_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_conversion_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_statistics_obj_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_ts_config_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_ts_dict_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_ts_parser_is_visible", &[Oid], Bool, visible).stable(),
    pure("pg_ts_template_is_visible", &[Oid], Bool, visible).stable(),
    pure("has_any_column_privilege", &[Oid, Text], Bool, truth).stable(),
    pure("has_any_column_privilege", &[Text, Text], Bool, truth).stable(),
    pure("has_column_privilege", &[Oid, Text, Text], Bool, truth).stable(),
    pure("has_column_privilege", &[Oid, Int2, Text], Bool, truth).stable(),
    pure("has_column_privilege", &[Text, Text, Text], Bool, truth).stable(),
    pure("has_sequence_privilege", &[Oid, Text], Bool, truth).stable(),
    pure("has_sequence_privilege", &[Text, Text], Bool, truth).stable(),
    pure("has_function_privilege", &[Oid, Text], Bool, truth).stable(),
    pure("has_type_privilege", &[Oid, Text], Bool, truth).stable(),
    pure("has_table_privilege", &[Name, Oid, Text], Bool, truth).stable(),
    pure("has_schema_privilege", &[Name, Oid, Text], Bool, truth).stable(),
    pure("has_schema_privilege", &[Name, Text, Text], Bool, truth).stable(),
    pure("has_database_privilege", &[Oid, Text], Bool, truth).stable(),
    pure("has_database_privilege", &[Name, Oid, Text], Bool, truth).stable(),
    pure("has_database_privilege", &[Name, Text, Text], Bool, truth).stable(),
    pure("has_tablespace_privilege", &[Oid, Text], Bool, truth).stable(),
    pure("has_tablespace_privilege", &[Text, Text], Bool, truth).stable(),
    pure("pg_has_role", &[Oid, Text], Bool, truth).stable(),
    pure("pg_has_role", &[Name, Text], Bool, truth).stable(),
    pure("pg_has_role", &[Name, Oid, Text], Bool, truth).stable(),
    pure("pg_has_role", &[Name, Name, Text], Bool, truth).stable(),
    pure("row_security_active", &[Oid], Bool, falsehood).stable(),
    pure("pg_get_function_sqlbody", &[Oid], Text, host).stable(),
    pure("pg_get_function_arg_default", &[Oid, Int4], Text, host).stable(),
    pure("pg_get_functiondef", &[Oid], Text, refused).stable(),
    pure("pg_get_partition_constraintdef", &[Oid], Text, host).stable(),
    pure("pg_get_statisticsobjdef", &[Oid], Text, host).stable(),
    pure("pg_tablespace_location", &[Oid], Text, nothing_there).stable(),
    pure("pg_tablespace_size", &[Oid], Int8, host).stable(),
    pure("pg_database_size", &[Oid], Int8, host).stable(),
    pure("pg_relation_size", &[Regclass, Text], Int8, host).stable(),
    pure("pg_relation_filenode", &[Regclass], Oid, host).stable(),
    pure("pg_sequence_last_value", &[Regclass], Int8, host).stable(),
    pure("getdatabaseencoding", &[], Name, encoding).stable(),
    pure("pg_client_encoding", &[], Name, encoding).stable(),
    pure("pg_encoding_max_length", &[Int4], Int4, encoding_width).stable(),
    pure("pg_index_column_has_property", &[Regclass, Int4, Text], Bool, host).stable(),
    pure("inet_server_addr", &[], Text, host).stable(),
    pure("inet_server_port", &[], Int4, host).stable(),
    pure("inet_client_addr", &[], Text, host).stable(),
    pure("inet_client_port", &[], Int4, host).stable(),
    pure("pg_postmaster_start_time", &[], Timestamptz, host).stable(),
    pure("pg_advisory_lock", &[Int8], Arg::Void, refused).volatile(),
    pure("pg_advisory_lock", &[Int4, Int4], Arg::Void, refused).volatile(),
    pure("pg_advisory_xact_lock", &[Int8], Arg::Void, refused).volatile(),
    pure("pg_advisory_xact_lock", &[Int4, Int4], Arg::Void, refused).volatile(),
    pure("pg_try_advisory_lock", &[Int8], Bool, refused).volatile(),
    pure("pg_try_advisory_lock", &[Int4, Int4], Bool, refused).volatile(),
    pure("pg_try_advisory_xact_lock", &[Int8], Bool, refused).volatile(),
    pure("pg_advisory_unlock", &[Int8], Bool, refused).volatile(),
    pure("pg_cancel_backend", &[Int4], Bool, refused).volatile(),
    pure("pg_terminate_backend", &[Int4], Bool, refused).volatile(),
    pure("txid_current", &[], Int8, refused).stable(),
    pure("pg_current_xact_id", &[], Int8, refused).stable(),
    pure("txid_current_if_assigned", &[], Int8, host).stable(),
    pure("gemini.transaction_status", &[Text], Text, host).volatile(),
    pure("gemini.site", &[], Text, host).stable(),
];

fn role(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if args[0] == Value::Oid(crate::catalog::DATABASE_OWNER) {
        return Ok(Value::text("pg_database_owner"));
    }
    user(args, call)
}

fn user(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(call.context.session().user.as_str()))
}

fn database(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(call.context.session().database.as_str()))
}

fn current_schema(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    let path = &call.context.session().search_path;
    let first = path.iter().find(|s| !s.starts_with('"') && *s != "pg_catalog");
    Ok(first.map_or(Value::text("public"), |s| Value::text(s.as_str())))
}

fn current_schemas(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let path = &call.context.session().search_path;
    let mut names: Vec<Value> = Vec::new();
    if args[0] == Value::Bool(true) && !path.iter().any(|s| s == "pg_catalog") {
        names.push(Value::text("pg_catalog"));
    }
    names.extend(path.iter().filter(|s| !s.starts_with('"')).map(|s| Value::text(s.as_str())));
    Ok(Value::Array(Arc::new(names)))
}

fn version(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(call.context.session().version.as_str()))
}

fn backend_pid(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Int4(call.context.session().backend_pid))
}

fn current_setting(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let name = args[0].as_text().ok_or_else(|| mistyped(call))?;
    match call.context.environment.setting(name) {
        Some(value) => Ok(Value::text(value)),
        None if args.get(1) == Some(&Value::Bool(true)) => Ok(Value::Null),
        None => Err(SqlError::new(
            sqlstate::UNDEFINED_OBJECT,
            format!("unrecognized configuration parameter \"{name}\""),
        )),
    }
}

fn set_config(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let Some(name) = args[0].as_text() else {
        return Err(SqlError::new(sqlstate::NULL_VALUE_NOT_ALLOWED, "SET requires parameter name"));
    };
    let value = args[1].as_text().unwrap_or("");
    let local = args[2] == Value::Bool(true);
    call.context.environment.set_setting(name, value, local).map(Value::text)
}

/// The sequence's name behind a regclass.
fn sequence(value: &Value, call: &Call<'_>) -> Result<String> {
    let oid = match value {
        Value::Oid(oid) => *oid,
        _ => return Err(mistyped(call)),
    };
    call.context.environment.oid_name(&DataType::Regclass, oid).ok_or_else(|| {
        SqlError::new(sqlstate::UNDEFINED_TABLE, format!("relation with OID {oid} does not exist"))
    })
}

fn nextval(args: &[Value], call: &Call<'_>) -> Result<Value> {
    call.context.environment.nextval(&sequence(&args[0], call)?).map(Value::Int8)
}

fn currval(args: &[Value], call: &Call<'_>) -> Result<Value> {
    call.context.environment.currval(&sequence(&args[0], call)?).map(Value::Int8)
}

fn lastval(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    call.context.environment.lastval().map(Value::Int8)
}

fn setval(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let value = args[1].as_i64().ok_or_else(|| mistyped(call))?;
    let called = args.get(2).is_none_or(|v| *v == Value::Bool(true));
    call.context.environment.setval(&sequence(&args[0], call)?, value, called).map(Value::Int8)
}

/// Version 4: 122 random bits.
fn random_uuid(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    let environment = call.context.environment;
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&environment.random().to_be_bytes());
    bytes[8..].copy_from_slice(&environment.random().to_be_bytes());
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Ok(Value::Uuid(bytes))
}

fn pg_typeof(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    let ty = call.args.first().map_or(DataType::Unknown, |e| e.ty.clone());
    Ok(Value::Oid(types::oid(&ty)))
}

fn format_type(args: &[Value], _call: &Call<'_>) -> Result<Value> {
    let Some(oid) = args[0].as_i64() else { return Ok(Value::Null) };
    let typmod = args[1].as_i64().unwrap_or(-1);
    let oid = u32::try_from(oid).unwrap_or(0);
    Ok(match types::from_oid(oid, i32::try_from(typmod).unwrap_or(-1)) {
        Some(ty) => Value::text(types::display(&ty)),
        None if oid == 0 => Value::text("-"),
        None => Value::text("???"),
    })
}

fn count_nulls(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let nulls = args.iter().filter(|v| v.is_null()).count();
    let n = if call.name == "num_nulls" { nulls } else { args.len() - nulls };
    Ok(Value::Int4(n as i32))
}

fn void(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(""))
}

fn truth(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::Bool(true))
}

/// There are no privileges to list.
fn no_privileges(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::Array(std::sync::Arc::default()))
}

fn falsehood(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::Bool(false))
}

/// There is one schema of user objects, and it is always in the path, unless the session says otherwise.
fn visible(args: &[Value], call: &Call<'_>) -> Result<Value> {
    call.context.environment.host_function(call.name, args).unwrap_or(Ok(Value::Bool(true)))
}

/// Names and values in turn: clients gather the options of sequences by it. There is no JSON column.
fn json_build_object(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if !args.len().is_multiple_of(2) {
        return Err(SqlError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            "argument list must have even number of elements",
        ));
    }
    let shown = |i: usize| text::output_in(&args[i], &call.args[i].ty, call.context);
    let mut parts = Vec::with_capacity(args.len() / 2);
    for i in (0..args.len()).step_by(2) {
        let value = match &args[i + 1] {
            Value::Null => "null".to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Int2(_) | Value::Int4(_) | Value::Int8(_) => shown(i + 1),
            _ => json_string(&shown(i + 1)),
        };
        parts.push(format!("{} : {value}", json_string(&shown(i))));
    }
    Ok(Value::text(format!("{{{}}}", parts.join(", "))))
}

fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// 0A000, with what to use instead.
fn refused(_args: &[Value], call: &Call<'_>) -> Result<Value> {
    let instead = match call.name {
        "pg_get_functiondef" => "Functions are part of the program.",
        "txid_current" | "pg_current_xact_id" => {
            "A transaction is named when it commits; gemini.transaction_status tells of one whose outcome was unknown."
        }
        "pg_cancel_backend" | "pg_terminate_backend" => "Cancel from the client that runs the statement.",
        _ => "Lock a row with SELECT … FOR UPDATE, or let commits be validated.",
    };
    Err(SqlError::unsupported(format!("{}()", call.name), instead))
}

fn nothing_there(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::text(""))
}

fn encoding_width(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::Int4(4))
}

fn no_oid(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::Oid(0))
}

fn encoding(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::text("UTF8"))
}

fn encoding_number(_args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(Value::Int4(6))
}

fn to_reg(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let name = args[0].as_text().ok_or_else(|| mistyped(call))?;
    // Unlike the cast, an unknown name is no error.
    Ok(text::input(name, call.ty, call.context).unwrap_or(Value::Null))
}

/// The catalogue keeps expressions as they print where public is in the search path; where it is not (pg_dump), a sequence is
/// named in full.
fn expression_text(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let named = args[0].as_text().and_then(|sql| sql.strip_prefix("nextval('"));
    match named {
        Some(rest) if !call.context.session().search_path.iter().any(|s| s == "public") => {
            Ok(Value::text(format!("nextval('public.{rest}")))
        }
        _ => Ok(args[0].clone()),
    }
}

fn host(args: &[Value], call: &Call<'_>) -> Result<Value> {
    call.context.environment.host_function(call.name, args).unwrap_or(Ok(Value::Null))
}

/// Whole units from 10 kB on, as PostgreSQL rounds them.
fn size_pretty(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let mut size = args[0].as_i64().ok_or_else(|| mistyped(call))?;
    let mut half = false;
    for (i, unit) in ["bytes", "kB", "MB", "GB", "TB", "PB"].iter().enumerate() {
        let limit = if i == 0 { 10 * 1024 } else { 20 * 1024 - 1 };
        if size.unsigned_abs() < limit || *unit == "PB" {
            let shown = if half { (size + size.signum()) / 2 } else { size };
            return Ok(Value::text(format!("{shown} {unit}")));
        }
        // From here on sizes count halves of a unit, so that the last step rounds.
        size = if half { size >> 10 } else { size >> 9 };
        half = true;
    }
    Ok(Value::Null)
}
