//! Overload resolution, by PostgreSQL's rules.
//!
//! 1. A candidate fits if every argument can be cast implicitly to its declared type; literals and parameters of unknown
//!    type fit everything. An exact match wins at once (an operator's unknown side is first tried as the other side's type).
//! 2. Of several, keep those with the most exact matches, then those with the most exact or preferred types.
//! 3. Unknown arguments: at each such place prefer a string type if a candidate has one there, else the category all
//!    candidates share, and in it the preferred type.
//! 4. Last, take the unknown arguments for the type that all known ones have.
//!
//! Whatever is then still ambiguous is an error, never a guess.

use gemini_shadow_ops::DataType;

use super::cast::{CastKind, castable};
use super::function::{Arg, Function, Resolved, functions, operators};
use super::types::{self, bare, scalar_info};
use crate::error::{Result, SqlError};
use crate::sqlstate;

/// Finds the function that PostgreSQL would call; 42883 or 42725 with its message otherwise.
pub fn resolve_function(name: &str, args: &[DataType]) -> Result<Resolved> {
    let all = functions(name);
    let types: Vec<DataType> = args.iter().map(bare).collect();
    match select(all, &types, false) {
        Selected::One(function) => complete(function, &types),
        Selected::None => Err(no_function(name, args)),
        Selected::Many => Err(SqlError::new(
            sqlstate::AMBIGUOUS_FUNCTION,
            format!("function {} is not unique", signature(name, args)),
        )
        .hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
    }
}

/// 42883 for a function.
pub fn no_function(name: &str, args: &[DataType]) -> SqlError {
    SqlError::new(sqlstate::UNDEFINED_FUNCTION, format!("function {} does not exist", signature(name, args)))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

fn signature(name: &str, args: &[DataType]) -> String {
    let types: Vec<String> = args.iter().map(|t| types::display(&bare(t))).collect();
    format!("{name}({})", types.join(", "))
}

/// Finds an operator; `left` is None for a prefix operator.
pub fn resolve_operator(symbol: &str, left: Option<&DataType>, right: &DataType) -> Result<Resolved> {
    let symbol = if symbol == "!=" { "<>" } else { symbol };
    let types: Vec<DataType> = left.into_iter().chain([right]).map(bare).collect();
    let arity = types.len();
    let all: Vec<&'static Function> =
        operators(symbol).iter().copied().filter(|f| f.args.len() == arity).collect();
    let shown = || {
        let left = left.map_or(String::new(), |t| format!("{} ", types::display(&bare(t))));
        format!("{left}{symbol} {}", types::display(&bare(right)))
    };
    match select(&all, &types, true) {
        Selected::One(function) => complete(function, &types),
        Selected::None => Err(SqlError::new(
            sqlstate::UNDEFINED_FUNCTION,
            format!("operator does not exist: {}", shown()),
        )
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")),
        Selected::Many => Err(SqlError::new(
            sqlstate::AMBIGUOUS_FUNCTION,
            format!("operator is not unique: {}", shown()),
        )
        .hint("Could not choose a best candidate operator. You might need to add explicit type casts.")),
    }
}

enum Selected {
    None,
    One(&'static Function),
    Many,
}

/// The declared type of the i-th argument, the last repeating if variadic.
fn declared(function: &Function, i: usize) -> Arg {
    let last = function.args.len().saturating_sub(1);
    function.args[i.min(last)]
}

fn fits_arity(function: &Function, n: usize) -> bool {
    if function.variadic { n >= function.args.len() } else { n == function.args.len() }
}

fn select(all: &[&'static Function], types: &[DataType], operator: bool) -> Selected {
    let all: Vec<&'static Function> = all.iter().copied().filter(|f| fits_arity(f, types.len())).collect();
    if let Some(exact) = all.iter().find(|f| exact_match(f, types)) {
        return Selected::One(exact);
    }
    if operator && types.len() == 2 && (types[0] == DataType::Unknown) != (types[1] == DataType::Unknown) {
        let known = if types[0] == DataType::Unknown { &types[1] } else { &types[0] };
        let both = [known.clone(), known.clone()];
        if let Some(exact) = all.iter().find(|f| exact_match(f, &both)) {
            return Selected::One(exact);
        }
    }
    let fitting: Vec<&'static Function> = all.into_iter().filter(|f| fits(f, types)).collect();
    narrow(fitting, types)
}

fn exact_match(function: &Function, types: &[DataType]) -> bool {
    types.iter().enumerate().all(|(i, ty)| declared(function, i).data_type().as_ref() == Some(ty))
}

fn fits(function: &Function, types: &[DataType]) -> bool {
    types.iter().enumerate().all(|(i, ty)| match declared(function, i) {
        Arg::Any | Arg::AnyElement => true,
        Arg::AnyNonArray => ty.element().is_none(),
        Arg::AnyArray => *ty == DataType::Unknown || ty.element().is_some(),
        other => other.data_type().is_some_and(|to| castable(ty, &to, CastKind::Implicit)),
    }) && polymorphic(function, types).is_ok()
}

/// Keeps the candidates with the greatest score, if any scores.
fn keep_best(
    candidates: Vec<&'static Function>,
    score: impl Fn(&Function) -> usize,
) -> Vec<&'static Function> {
    let best = candidates.iter().map(|f| score(f)).max().unwrap_or(0);
    candidates.into_iter().filter(|f| score(f) == best).collect()
}

fn narrow(candidates: Vec<&'static Function>, types: &[DataType]) -> Selected {
    let known: Vec<(usize, &DataType)> =
        types.iter().enumerate().filter(|(_, t)| **t != DataType::Unknown).collect();
    let exact = |f: &Function, i: usize, ty: &DataType| declared(f, i).data_type().as_ref() == Some(ty);
    let mut left = keep_best(candidates, |f| known.iter().filter(|(i, ty)| exact(f, *i, ty)).count());
    if left.len() > 1 {
        left = keep_best(left, |f| {
            known.iter().filter(|(i, ty)| exact(f, *i, ty) || prefers(declared(f, *i), category(ty))).count()
        });
    }
    if left.len() > 1 && known.len() < types.len() {
        left = by_category(left, types);
    }
    if left.len() > 1
        && let Some((_, first)) = known.first()
        && known.iter().all(|(_, ty)| ty == first)
    {
        let assumed: Vec<DataType> = types.iter().map(|_| (*first).clone()).collect();
        let same: Vec<&'static Function> = left.iter().copied().filter(|f| fits(f, &assumed)).collect();
        if same.len() == 1 {
            left = same;
        }
    }
    match left.as_slice() {
        [] => Selected::None,
        [one] => Selected::One(one),
        _ => Selected::Many,
    }
}

fn category(ty: &DataType) -> char {
    if ty.element().is_some() { 'A' } else { scalar_info(ty).category }
}

fn arg_category(arg: Arg) -> char {
    match arg {
        Arg::Any | Arg::AnyElement | Arg::AnyNonArray => 'P',
        Arg::AnyArray => 'A',
        other => other.data_type().map_or('P', |t| category(&t)),
    }
}

fn prefers(arg: Arg, category_wanted: char) -> bool {
    arg.data_type().is_some_and(|t| {
        t.element().is_none() && category(&t) == category_wanted && scalar_info(&t).preferred
    })
}

/// Step 3: settles a category for each unknown argument and drops what is not of it.
fn by_category(candidates: Vec<&'static Function>, types: &[DataType]) -> Vec<&'static Function> {
    let mut left = candidates.clone();
    for i in (0..types.len()).filter(|i| types[*i] == DataType::Unknown) {
        let categories: Vec<char> = candidates.iter().map(|f| arg_category(declared(f, i))).collect();
        let wanted = if categories.contains(&'S') {
            'S'
        } else if categories.iter().all(|c| *c == categories[0]) {
            categories[0]
        } else {
            return candidates;
        };
        let preferred = left.iter().any(|f| prefers(declared(f, i), wanted));
        left.retain(|f| {
            let arg = declared(f, i);
            arg_category(arg) == wanted && (!preferred || prefers(arg, wanted))
        });
    }
    if left.is_empty() { candidates } else { left }
}

/// The type that AnyElement stands for in this call; None if the function has no such argument.
fn polymorphic(function: &Function, types: &[DataType]) -> Result<Option<DataType>> {
    let mut elements: Vec<DataType> = Vec::new();
    let mut any = false;
    for (i, ty) in types.iter().enumerate() {
        match declared(function, i) {
            Arg::AnyElement | Arg::AnyNonArray => {
                any = true;
                elements.push(ty.clone());
            }
            Arg::AnyArray => {
                any = true;
                elements.push(ty.element().cloned().unwrap_or(DataType::Unknown));
            }
            _ => {}
        }
    }
    if !any {
        return Ok(None);
    }
    common_type(function.name, &elements).map(Some)
}

fn complete(function: &'static Function, types: &[DataType]) -> Result<Resolved> {
    let element = polymorphic(function, types)?.unwrap_or(DataType::Text);
    let concrete = |arg: Arg, given: Option<&DataType>| match arg {
        Arg::Any => match given {
            None | Some(DataType::Unknown) => DataType::Text,
            Some(ty) => ty.clone(),
        },
        Arg::AnyElement | Arg::AnyNonArray => element.clone(),
        Arg::AnyArray => DataType::Array(Box::new(element.clone())),
        other => other.data_type().unwrap_or(DataType::Text),
    };
    Ok(Resolved {
        function,
        args: types.iter().enumerate().map(|(i, ty)| concrete(declared(function, i), Some(ty))).collect(),
        ty: concrete(function.result, None),
    })
}

/// The type that CASE, COALESCE, UNION, VALUES, ARRAY and IN bring their inputs to; `what` names the construct
/// in the error (42804). All Unknown gives Text.
pub fn common_type(what: &str, types: &[DataType]) -> Result<DataType> {
    let Some(first) = types.first() else { return Ok(DataType::Text) };
    if types.iter().all(|t| t == first) && *first != DataType::Unknown {
        return Ok(first.clone()); // keeps a shared typmod
    }
    let mut best: Option<DataType> = None;
    for ty in types.iter().map(bare).filter(|t| *t != DataType::Unknown) {
        best = Some(match best {
            None => ty,
            Some(have) => wider(what, have, ty)?,
        });
    }
    Ok(best.unwrap_or(DataType::Text))
}

fn wider(what: &str, have: DataType, ty: DataType) -> Result<DataType> {
    let mismatch = || {
        SqlError::new(
            sqlstate::DATATYPE_MISMATCH,
            format!("{what} types {} and {} cannot be matched", types::display(&have), types::display(&ty)),
        )
    };
    if have == ty {
        return Ok(have);
    }
    if category(&have) != category(&ty) {
        return Err(mismatch());
    }
    if let (Some(a), Some(b)) = (have.element(), ty.element()) {
        return Ok(DataType::Array(Box::new(wider(what, a.clone(), b.clone())?)));
    }
    let preferred = scalar_info(&have).preferred;
    if !preferred && castable(&have, &ty, CastKind::Implicit) && !castable(&ty, &have, CastKind::Implicit) {
        Ok(ty)
    } else if castable(&ty, &have, CastKind::Implicit) {
        Ok(have)
    } else if castable(&have, &ty, CastKind::Implicit) {
        Ok(ty)
    } else {
        Err(mismatch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(name: &str) -> DataType {
        types::by_name(name).unwrap_or_else(|| panic!("{name}"))
    }

    #[test]
    fn operators_resolve_as_in_postgresql() {
        for (left, symbol, right, args, result) in [
            ("int4", "+", "int8", "int4,int8", "int8"),
            ("int2", "+", "int2", "int2,int2", "int2"),
            ("int4", "+", "numeric", "numeric,numeric", "numeric"),
            ("int4", "/", "float8", "float8,float8", "float8"),
            ("unknown", "+", "int4", "int4,int4", "int4"),
            ("date", "+", "int4", "date,int4", "date"),
            ("date", "-", "date", "date,date", "int4"),
            ("date", "-", "unknown", "date,date", "int4"),
            ("timestamp", "+", "interval", "timestamp,interval", "timestamp"),
            ("timestamp", "-", "unknown", "timestamp,timestamp", "interval"),
            ("date", "-", "timestamp", "timestamp,timestamp", "interval"),
            ("date", "<", "timestamp", "date,timestamp", "bool"),
            ("varchar", "=", "unknown", "text,text", "bool"),
            ("varchar", "=", "text", "text,text", "bool"),
            ("int4", "||", "unknown", "int4,text", "text"),
            ("unknown", "||", "unknown", "text,text", "text"),
            ("oid", "=", "int4", "oid,oid", "bool"),
            ("interval", "*", "int4", "interval,float8", "interval"),
            ("float4", "*", "numeric", "float4,float8", "float8"),
        ] {
            let found = resolve_operator(symbol, Some(&ty(left)), &ty(right));
            let found = found.unwrap_or_else(|e| panic!("{left} {symbol} {right}: {e}"));
            let shown: Vec<String> = found.args.iter().map(types::internal_name).collect();
            assert_eq!((shown.join(",").as_str(), found.ty), (args, ty(result)), "{left} {symbol} {right}");
        }
        for (left, symbol, right) in [("bool", "+", "int4"), ("text", "=", "int4"), ("text", "+", "text")] {
            let error = resolve_operator(symbol, Some(&ty(left)), &ty(right)).unwrap_err();
            assert_eq!(error.sqlstate, sqlstate::UNDEFINED_FUNCTION, "{left} {symbol} {right}");
        }
    }

    #[test]
    fn functions_resolve_as_in_postgresql() {
        for (name, given, result) in [
            ("round", "float8", "float8"),
            ("round", "int4", "float8"),
            ("round", "numeric,int4", "numeric"),
            ("abs", "int2", "int2"),
            ("length", "varchar", "int4"),
            ("lower", "unknown", "text"),
            ("power", "int4,int4", "float8"),
            ("power", "numeric,int4", "numeric"),
            ("mod", "int4,int8", "int8"),
            ("date_trunc", "unknown,timestamp", "timestamp"),
            ("date_trunc", "unknown,date", "timestamptz"),
            ("substr", "unknown,int4", "text"),
        ] {
            let args: Vec<DataType> = given.split(',').map(ty).collect();
            let found = resolve_function(name, &args).unwrap_or_else(|e| panic!("{name}({given}): {e}"));
            assert_eq!(found.ty, ty(result), "{name}({given})");
        }
        let error = resolve_function("lower", &[DataType::Int4]).unwrap_err();
        assert_eq!(error.message, "function lower(integer) does not exist");
    }

    #[test]
    fn common_types() {
        for (given, want) in [
            ("int4,int8", Some("int8")),
            ("int4,unknown", Some("int4")),
            ("unknown,unknown", Some("text")),
            ("int4,numeric,int2", Some("numeric")),
            ("float8,numeric", Some("float8")),
            ("varchar,text", Some("varchar")),
            ("date,timestamp", Some("timestamp")),
            ("int4,text", None),
            ("bool,int4", None),
        ] {
            let types: Vec<DataType> = given.split(',').map(ty).collect();
            assert_eq!(common_type("CASE", &types).ok(), want.map(ty), "{given}");
        }
    }
}
