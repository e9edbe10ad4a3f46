//! What runs, as the catalogue shows it: functions, aggregates, operators, casts, and the orders of indexes.
//!
//! The rows are made of the registries that expressions are resolved by, so the catalogue never claims more than runs. The
//! functions of PostgreSQL that types are read and written by (`int4in` …) stand beside them with PostgreSQL's numbers,
//! because drivers look for those; all others are numbered here, in an order that a new function may change: no client keeps
//! such a number beyond its session.

use std::sync::{Arc, LazyLock};

use gemini_shadow_ops::{DataType, Value};

use super::system::{self, char, text};
use super::{GEMINI, OWNER, PG_CATALOG, Rows, View};
use crate::expr::function::{Arg, all_functions, all_operators};
use crate::expr::{CastKind, Function, Volatility, aggregate, cast, types};

/// Functions and aggregates are numbered from here on, operators from the second.
const FIRST_FUNCTION: u32 = 14_000;
const FIRST_OPERATOR: u32 = 15_500;

/// The pseudo-types of polymorphic functions.
const ANY: u32 = 2276;
const ANY_ELEMENT: u32 = 2283;
const ANY_ARRAY: u32 = 2277;
const ANY_NON_ARRAY: u32 = 2776;

/// A function as pg_proc has it.
pub(super) struct Procedure {
    pub oid: u32,
    pub name: &'static str,
    namespace: u32,
    kind: &'static str,
    args: Vec<u32>,
    result: u32,
    variadic: u32,
    strict: bool,
    set: bool,
    volatility: &'static str,
}

fn arg_oid(arg: Arg) -> u32 {
    match arg {
        Arg::Any => ANY,
        Arg::AnyElement => ANY_ELEMENT,
        Arg::AnyNonArray => ANY_NON_ARRAY,
        Arg::AnyArray => ANY_ARRAY,
        other => other.data_type().map_or(0, |ty| types::oid(&ty)),
    }
}

fn procedure(function: &'static Function) -> Procedure {
    let (namespace, name) = match function.name.split_once('.') {
        Some((_, name)) => (GEMINI, name),
        None => (PG_CATALOG, function.name),
    };
    Procedure {
        oid: 0,
        name,
        namespace,
        kind: "f",
        args: function.args.iter().map(|a| arg_oid(*a)).collect(),
        result: arg_oid(function.result),
        variadic: if function.variadic { function.args.last().map_or(0, |a| arg_oid(*a)) } else { 0 },
        strict: function.strict,
        set: false,
        volatility: match function.volatility {
            Volatility::Immutable => "i",
            Volatility::Stable => "s",
            Volatility::Volatile => "v",
        },
    }
}

/// Aggregates with the types that they are resolved for; `count(*)` has no argument.
fn aggregates() -> Vec<Procedure> {
    let mut found: Vec<Procedure> = Vec::new();
    for name in aggregate::names() {
        let scalars = types::SCALARS.iter().map(|(ty, _)| vec![ty.clone()]);
        let texts = [vec![], vec![DataType::Text, DataType::Text], vec![DataType::Bytea, DataType::Bytea]];
        for args in scalars.chain(texts) {
            let Ok(resolved) = aggregate::resolve_aggregate(name, &args) else { continue };
            let args: Vec<u32> = resolved.args.iter().map(types::oid).collect();
            if found.iter().any(|f| f.name == *name && f.args == args) {
                continue;
            }
            found.push(Procedure {
                oid: 0,
                name: resolved.name,
                namespace: PG_CATALOG,
                kind: "a",
                args,
                result: types::oid(&resolved.ty),
                variadic: 0,
                strict: false,
                set: false,
                volatility: "i",
            });
        }
    }
    found
}

/// Window functions that are no aggregates, of any type where the type does not matter.
fn windows() -> Vec<Procedure> {
    let any = || vec![ANY_ELEMENT];
    let with = |more: &[u32]| [&[ANY_ELEMENT], more].concat();
    let int4 = types::oid(&DataType::Int4);
    let mut found = Vec::new();
    for &name in crate::expr::window::names() {
        let (args, result) = match name {
            "ntile" => (vec![vec![int4]], int4),
            "percent_rank" | "cume_dist" => (vec![Vec::new()], types::oid(&DataType::Float8)),
            "lag" | "lead" => (vec![any(), with(&[int4]), with(&[int4, ANY_ELEMENT])], ANY_ELEMENT),
            "nth_value" => (vec![with(&[int4])], ANY_ELEMENT),
            "first_value" | "last_value" => (vec![any()], ANY_ELEMENT),
            _ => (vec![Vec::new()], types::oid(&DataType::Int8)),
        };
        found.extend(args.into_iter().map(|args| Procedure {
            oid: 0,
            name,
            namespace: PG_CATALOG,
            kind: "w",
            args,
            result,
            variadic: 0,
            strict: true,
            set: false,
            volatility: "i",
        }));
    }
    found
}

fn returning_sets() -> Vec<Procedure> {
    let set = |name, args: &[DataType], result| Procedure {
        oid: 0,
        name,
        namespace: PG_CATALOG,
        kind: "f",
        args: args.iter().map(types::oid).collect(),
        result,
        variadic: 0,
        strict: true,
        set: true,
        volatility: "i",
    };
    let mut all = Vec::new();
    for ty in [DataType::Int4, DataType::Int8, DataType::Numeric(None)] {
        all.push(set("generate_series", &[ty.clone(), ty.clone()], types::oid(&ty)));
        all.push(set("generate_series", &[ty.clone(), ty.clone(), ty.clone()], types::oid(&ty)));
    }
    for ty in [DataType::Timestamp, DataType::Timestamptz] {
        all.push(set("generate_series", &[ty.clone(), ty.clone(), DataType::Interval], types::oid(&ty)));
    }
    let mut unnest = set("unnest", &[], ANY_ELEMENT);
    unnest.args = vec![ANY_ARRAY];
    let mut subscripts = set("generate_subscripts", &[], types::oid(&DataType::Int4));
    subscripts.args = vec![ANY_ARRAY, types::oid(&DataType::Int4)];
    all.extend([unnest, subscripts]);
    all
}

static PROCEDURES: LazyLock<Vec<Procedure>> = LazyLock::new(|| {
    let mut all: Vec<Procedure> = all_functions().map(procedure).collect();
    all.extend(aggregates());
    all.extend(windows());
    all.extend(returning_sets());
    all.sort_by(|a, b| (a.name, &a.args).cmp(&(b.name, &b.args)));
    for (i, function) in all.iter_mut().enumerate() {
        function.oid = FIRST_FUNCTION + i as u32;
    }
    all
});

/// The numbers of a schema's functions.
pub(super) fn of_namespace(namespace: u32) -> impl Iterator<Item = u32> {
    PROCEDURES.iter().filter(move |f| f.namespace == namespace).map(|f| f.oid)
}

/// The first function of a name.
pub(super) fn by_name(name: &str) -> Option<&'static Procedure> {
    PROCEDURES.iter().find(|f| f.name == name)
}

/// The function of a number.
pub(super) fn by_oid(oid: u32) -> Option<&'static Procedure> {
    PROCEDURES.get(usize::try_from(oid.checked_sub(FIRST_FUNCTION)?).ok()?)
}

/// A type's name, the pseudo-types' included.
fn type_name(oid: u32) -> String {
    match oid {
        ANY => "\"any\"".to_string(),
        ANY_ELEMENT => "anyelement".to_string(),
        ANY_ARRAY => "anyarray".to_string(),
        ANY_NON_ARRAY => "anynonarray".to_string(),
        oid => types::from_oid(oid, -1).map_or("-".to_string(), |ty| types::display(&types::bare(&ty))),
    }
}

/// pg_get_function_arguments.
pub(super) fn arguments(oid: u32) -> Option<String> {
    let function = by_oid(oid)?;
    let last = function.args.len().saturating_sub(1);
    let shown = function.args.iter().enumerate().map(|(i, ty)| {
        let variadic = if function.variadic != 0 && i == last { "VARIADIC " } else { "" };
        format!("{variadic}{}", type_name(*ty))
    });
    Some(shown.collect::<Vec<_>>().join(", "))
}

/// pg_get_function_result.
pub(super) fn result(oid: u32) -> Option<String> {
    let function = by_oid(oid)?;
    Some(format!("{}{}", if function.set { "SETOF " } else { "" }, type_name(function.result)))
}

fn oid(value: u32) -> Value {
    Value::Oid(value)
}

fn procedure_row(f: &Procedure) -> Vec<Value> {
    let mut row = vec![Value::Null; 30];
    row[0] = oid(f.oid);
    row[1] = text(f.name);
    row[2] = oid(f.namespace);
    row[3] = oid(OWNER);
    row[4] = oid(12);
    row[5] = Value::Float4(1.0);
    row[6] = Value::Float4(if f.set { 1000.0 } else { 0.0 });
    row[7] = oid(f.variadic);
    row[8] = oid(0);
    row[9] = char(f.kind);
    row[10] = Value::Bool(false);
    row[11] = Value::Bool(false);
    row[12] = Value::Bool(f.strict);
    row[13] = Value::Bool(f.set);
    row[14] = char(f.volatility);
    row[15] = char("s");
    row[16] = Value::Int2(f.args.len() as i16);
    row[17] = Value::Int2(0);
    row[18] = oid(f.result);
    row[19] = Value::Array(Arc::new(f.args.iter().map(|a| oid(*a)).collect()));
    row[25] = text(f.name);
    row
}

pub(super) fn pg_proc(_view: &View<'_>) -> Rows {
    let support = system::FUNCTIONS.iter().map(|(id, name)| {
        procedure_row(&Procedure {
            oid: *id,
            name,
            namespace: PG_CATALOG,
            kind: "f",
            args: vec![2281],
            result: 0,
            variadic: 0,
            strict: true,
            set: false,
            volatility: "i",
        })
    });
    support.chain(PROCEDURES.iter().map(procedure_row)).collect()
}

pub(super) fn pg_operator(_view: &View<'_>) -> Rows {
    let row = |(i, function): (usize, &'static Function)| {
        let (left, right) = match function.args {
            [right] => (0, arg_oid(*right)),
            [left, right] => (arg_oid(*left), arg_oid(*right)),
            _ => return None,
        };
        Some(vec![
            oid(FIRST_OPERATOR + i as u32),
            text(function.name),
            oid(PG_CATALOG),
            oid(OWNER),
            char(if left == 0 { "l" } else { "b" }),
            Value::Bool(function.name == "="),
            Value::Bool(function.name == "="),
            oid(left),
            oid(right),
            oid(arg_oid(function.result)),
            oid(0),
            oid(0),
            oid(0),
            oid(0),
            oid(0),
        ])
    };
    all_operators().enumerate().filter_map(row).collect()
}

pub(super) fn pg_cast(_view: &View<'_>) -> Rows {
    let scalar = |ty: &DataType| !matches!(ty, DataType::Unknown | DataType::Void);
    let mut rows = Vec::new();
    for (from, source) in types::SCALARS.iter().filter(|(ty, _)| scalar(ty)) {
        for (to, target) in types::SCALARS.iter().filter(|(ty, _)| scalar(ty)) {
            if source.oid == target.oid {
                continue;
            }
            let Some(kind) = cast::least_kind(from, to) else { continue };
            // From and to text every type goes by its printed form, which PostgreSQL does not list.
            if kind != CastKind::Implicit && (source.category == 'S') != (target.category == 'S') {
                continue;
            }
            rows.push(vec![
                oid(FIRST_FUNCTION + (rows.len() as u32)),
                oid(source.oid),
                oid(target.oid),
                oid(0),
                char(match kind {
                    CastKind::Implicit => "i",
                    CastKind::Assignment => "a",
                    CastKind::Explicit => "e",
                }),
                char("b"),
            ]);
        }
    }
    rows
}

/// The orders of indexes: (operator class, family, type, name), PostgreSQL's numbers and names.
static CLASSES: &[(u32, u32, u32, &str)] = &[
    (10003, 424, 16, "bool_ops"),
    (10004, 426, 1042, "bpchar_ops"),
    (10006, 428, 17, "bytea_ops"),
    (10007, 429, 18, "char_ops"),
    (3122, 434, 1082, "date_ops"),
    (10012, 1970, 700, "float4_ops"),
    (3123, 1970, 701, "float8_ops"),
    (1979, 1976, 21, "int2_ops"),
    (1978, 1976, 23, "int4_ops"),
    (3124, 1976, 20, "int8_ops"),
    (10022, 1982, 1186, "interval_ops"),
    (10028, 1994, 19, "name_ops"),
    (3125, 1988, 1700, "numeric_ops"),
    (1981, 1989, 26, "oid_ops"),
    (3126, 1994, 25, "text_ops"),
    (3127, 434, 1184, "timestamptz_ops"),
    (3128, 434, 1114, "timestamp_ops"),
    (10065, 2968, 2950, "uuid_ops"),
];

/// pg_index.indclass of a column's type.
pub(super) fn operator_class(ty: &DataType) -> u32 {
    let wanted = match types::oid(ty) {
        1043 => 25,
        other => other,
    };
    CLASSES.iter().find(|(_, _, ty, _)| *ty == wanted).map_or(0, |(class, ..)| *class)
}

pub(super) fn pg_opclass(_view: &View<'_>) -> Rows {
    let row = |(class, family, ty, name): &(u32, u32, u32, &str)| {
        vec![
            oid(*class),
            oid(403),
            text(name),
            oid(PG_CATALOG),
            oid(OWNER),
            oid(*family),
            oid(*ty),
            Value::Bool(true),
            oid(0),
        ]
    };
    CLASSES.iter().map(row).collect()
}

pub(super) fn pg_opfamily(_view: &View<'_>) -> Rows {
    let mut rows: Rows = Vec::new();
    for (_, family, _, name) in CLASSES {
        let name = match family {
            434 => "datetime_ops",
            1970 => "float_ops",
            1976 => "integer_ops",
            1994 => "text_ops",
            _ => name,
        };
        if rows.iter().all(|row| row[0] != oid(*family)) {
            rows.push(vec![oid(*family), oid(403), text(name), oid(PG_CATALOG), oid(OWNER)]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_meet() {
        let functions = FIRST_FUNCTION + PROCEDURES.len() as u32;
        assert!(functions <= FIRST_OPERATOR, "{functions}");
        let operators = FIRST_OPERATOR + all_operators().count() as u32;
        assert!(operators <= super::super::FIRST_OID, "{operators}");
    }

    #[test]
    fn signatures_read_as_in_postgresql() {
        let find = |name: &str, n: usize| {
            PROCEDURES.iter().find(|f| f.name == name && f.args.len() == n).map_or(0, |f| f.oid)
        };
        assert_eq!(arguments(find("lower", 1)).as_deref(), Some("text"));
        assert_eq!(result(find("now", 0)).as_deref(), Some("timestamp with time zone"));
        assert_eq!(result(find("unnest", 1)).as_deref(), Some("SETOF anyelement"));
        assert_eq!(arguments(find("count", 0)).as_deref(), Some(""));
        assert_eq!(arguments(1), None);
    }

    #[test]
    fn every_type_of_a_column_has_an_order() {
        use DataType as T;
        for ty in [T::Int4, T::Varchar(Some(3)), T::Char(3), T::Numeric(Some((4, 2))), T::Uuid, T::Interval] {
            assert_ne!(operator_class(&ty), 0, "{ty:?}");
        }
    }
}
