//! Array functions and operators. Arrays start at 1; NULL elements are elements.

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Value};

use super::super::function::{Arg, Call, Function, pure};
use super::super::text;
use super::mistyped;
use crate::error::{Result, SqlError};
use crate::sqlstate;

use Arg::{AnyArray, AnyElement, Bool, Int4, Text, TextArray};

pub(in super::super) static OPERATORS: &[Function] = &[
    pure("||", &[AnyArray, AnyArray], AnyArray, array_cat).lenient(),
    pure("||", &[AnyArray, AnyElement], AnyArray, array_append).lenient(),
    pure("||", &[AnyElement, AnyArray], AnyArray, array_prepend).lenient(),
    pure("@>", &[AnyArray, AnyArray], Bool, contains),
    pure("<@", &[AnyArray, AnyArray], Bool, contained),
    pure("&&", &[AnyArray, AnyArray], Bool, overlaps),
];

pub(super) static FUNCTIONS: &[Function] = &[
    pure("array_length", &[AnyArray, Int4], Int4, array_length),
    pure("array_upper", &[AnyArray, Int4], Int4, array_length),
    pure("array_lower", &[AnyArray, Int4], Int4, array_lower),
    pure("array_ndims", &[AnyArray], Int4, array_ndims),
    pure("cardinality", &[AnyArray], Int4, cardinality),
    pure("array_append", &[AnyArray, AnyElement], AnyArray, array_append).lenient(),
    pure("array_prepend", &[AnyElement, AnyArray], AnyArray, array_prepend).lenient(),
    pure("array_cat", &[AnyArray, AnyArray], AnyArray, array_cat).lenient(),
    pure("array_remove", &[AnyArray, AnyElement], AnyArray, array_remove).lenient(),
    pure("array_replace", &[AnyArray, AnyElement, AnyElement], AnyArray, array_replace).lenient(),
    pure("array_position", &[AnyArray, AnyElement], Int4, array_position).lenient(),
    pure("array_to_string", &[AnyArray, Text], Text, array_to_string).lenient().stable(),
    pure("array_to_string", &[AnyArray, Text, Text], Text, array_to_string).lenient().stable(),
    pure("string_to_array", &[Text, Text], TextArray, string_to_array).lenient(),
    pure("string_to_array", &[Text, Text, Text], TextArray, string_to_array).lenient(),
];

fn list<'v>(value: &'v Value, call: &Call<'_>) -> Result<&'v [Value]> {
    match value {
        Value::Array(list) => Ok(list),
        Value::Null => Ok(&[]),
        _ => Err(mistyped(call)),
    }
}

fn array(list: Vec<Value>) -> Result<Value> {
    Ok(Value::Array(Arc::new(list)))
}

fn dimensions(value: &Value) -> usize {
    match value {
        Value::Array(list) if list.is_empty() => 0,
        Value::Array(list) => 1 + list.first().map_or(0, dimensions),
        _ => 0,
    }
}

fn int4(n: usize) -> Value {
    i32::try_from(n).map_or(Value::Null, Value::Int4)
}

/// array_length, array_upper: NULL for a dimension that is not there.
fn array_length(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let dimension = args[1].as_i64().unwrap_or(0);
    let mut value = &args[0];
    for _ in 1..dimension.clamp(1, 7) {
        match list(value, call)?.first() {
            Some(inner @ Value::Array(_)) => value = inner,
            _ => return Ok(Value::Null),
        }
    }
    match list(value, call)?.len() {
        0 => Ok(Value::Null),
        _ if dimension < 1 => Ok(Value::Null),
        n => Ok(int4(n)),
    }
}

fn array_lower(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(if array_length(args, call)?.is_null() { Value::Null } else { Value::Int4(1) })
}

fn array_ndims(args: &[Value], _call: &Call<'_>) -> Result<Value> {
    Ok(match dimensions(&args[0]) {
        0 => Value::Null,
        n => int4(n),
    })
}

fn count(list: &[Value]) -> usize {
    list.iter().map(|v| if let Value::Array(inner) = v { count(inner) } else { 1 }).sum()
}

fn cardinality(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(int4(count(list(&args[0], call)?)))
}

fn array_append(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let mut all = list(&args[0], call)?.to_vec();
    all.push(args[1].clone());
    array(all)
}

fn array_prepend(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let mut all = vec![args[0].clone()];
    all.extend_from_slice(list(&args[1], call)?);
    array(all)
}

fn array_cat(args: &[Value], call: &Call<'_>) -> Result<Value> {
    match (&args[0], &args[1]) {
        (Value::Null, other) | (other, Value::Null) => return Ok(other.clone()),
        _ => {}
    }
    let (a, b) = (list(&args[0], call)?, list(&args[1], call)?);
    let incompatible =
        || SqlError::new(sqlstate::ARRAY_SUBSCRIPT_ERROR, "cannot concatenate incompatible arrays");
    let joined: Vec<Value> = match (dimensions(&args[0]), dimensions(&args[1])) {
        (0, _) => b.to_vec(),
        (_, 0) => a.to_vec(),
        (m, n) if m == n => a.iter().chain(b).cloned().collect(),
        (m, n) if m == n + 1 => a.iter().chain([&args[1]]).cloned().collect(),
        (m, n) if m + 1 == n => [&args[0]].into_iter().chain(b).cloned().collect(),
        _ => return Err(incompatible()),
    };
    if !text::rectangular(&joined) {
        return Err(incompatible());
    }
    array(joined)
}

fn same(a: &Value, b: &Value) -> bool {
    a.compare(b).is_eq()
}

fn array_remove(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if args[0].is_null() {
        return Ok(Value::Null);
    }
    array(list(&args[0], call)?.iter().filter(|v| !same(v, &args[1])).cloned().collect())
}

fn array_replace(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if args[0].is_null() {
        return Ok(Value::Null);
    }
    let replaced = |v: &Value| if same(v, &args[1]) { args[2].clone() } else { v.clone() };
    array(list(&args[0], call)?.iter().map(replaced).collect())
}

fn array_position(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let at = list(&args[0], call)?.iter().position(|v| same(v, &args[1]));
    Ok(at.map_or(Value::Null, |i| int4(i + 1)))
}

fn contains_all(a: &[Value], b: &[Value]) -> bool {
    b.iter().all(|x| !x.is_null() && a.iter().any(|y| same(x, y)))
}

fn contains(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Bool(contains_all(list(&args[0], call)?, list(&args[1], call)?)))
}

fn contained(args: &[Value], call: &Call<'_>) -> Result<Value> {
    Ok(Value::Bool(contains_all(list(&args[1], call)?, list(&args[0], call)?)))
}

fn overlaps(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let (a, b) = (list(&args[0], call)?, list(&args[1], call)?);
    Ok(Value::Bool(a.iter().any(|x| !x.is_null() && b.iter().any(|y| same(x, y)))))
}

fn array_to_string(args: &[Value], call: &Call<'_>) -> Result<Value> {
    if args[0].is_null() || args[1].is_null() {
        return Ok(Value::Null);
    }
    let delimiter = args[1].as_text().ok_or_else(|| mistyped(call))?;
    let null = args.get(2).and_then(Value::as_text);
    let element = call.args[0].ty.element().cloned().unwrap_or(DataType::Text);
    let mut parts: Vec<String> = Vec::new();
    fn walk(list: &[Value], f: &mut dyn FnMut(&Value)) {
        for value in list {
            match value {
                Value::Array(inner) => walk(inner, f),
                other => f(other),
            }
        }
    }
    walk(list(&args[0], call)?, &mut |value| match value {
        Value::Null => parts.extend(null.map(str::to_owned)),
        other => parts.push(text::output_in(other, &element, call.context)),
    });
    Ok(Value::text(parts.join(delimiter)))
}

fn string_to_array(args: &[Value], _call: &Call<'_>) -> Result<Value> {
    let Some(whole) = args[0].as_text() else { return Ok(Value::Null) };
    if whole.is_empty() {
        return array(Vec::new());
    }
    let null = args.get(2).and_then(Value::as_text);
    let value = |part: &str| if Some(part) == null { Value::Null } else { Value::text(part) };
    array(match args[1].as_text() {
        None => whole.chars().map(|c| value(&c.to_string())).collect(),
        Some("") => vec![value(whole)],
        Some(delimiter) => whole.split(delimiter).map(value).collect(),
    })
}
