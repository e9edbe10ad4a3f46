//! Expressions against PostgreSQL 15's own answers.
//!
//! Each line of `cases/*.txt` is an expression, a tab, and what PostgreSQL 15 answered (TimeZone UTC, locale C): its type and
//! its text, or `!` with the SQLSTATE and the message. Lines marked `@@` are ours on purpose: what we refuse or do
//! otherwise, with the reason after the last tab.

use gemini_shadow_ops::{DataType, Schema, Value};
use sqlparser::ast;

use super::{EvalContext, Expr, ExprKind, SessionInfo, TimeZone, context, text, types};
use crate::bind::{Binder, Body};
use crate::error::{Result, SqlError};
use crate::plan::{PlanEnv, VirtualCatalog, VirtualTable};

struct NoCatalog;

impl VirtualCatalog for NoCatalog {
    fn table(&self, _schema: Option<&str>, _name: &str) -> Option<std::sync::Arc<dyn VirtualTable>> {
        None
    }
}

struct Fixed(SessionInfo);

impl context::Environment for Fixed {
    fn session(&self) -> &SessionInfo {
        &self.0
    }

    fn clock(&self) -> i64 {
        self.0.statement_time
    }

    fn random(&self) -> u64 {
        0x0123_4567_89ab_cdef
    }

    fn subquery(&self, _id: usize, _outer: &super::Outer<'_>, _each: context::EachRow<'_>) -> Result<()> {
        Err(SqlError::internal("no subqueries here"))
    }
}

fn environment() -> Fixed {
    Fixed(SessionInfo {
        // 2026-11-23 18:00
        transaction_time: 848_772_000_000_000,
        statement_time: 848_772_000_000_000,
        user: "postgres".to_owned(),
        database: "postgres".to_owned(),
        search_path: vec!["public".to_owned()],
        extra_float_digits: 1,
        ..SessionInfo::default()
    })
}

/// The type and the value of an expression without a row.
fn evaluate(sql: &str) -> Result<(DataType, Value)> {
    let expr = bind(sql)?.0.swap_remove(0);
    let environment = environment();
    let value = expr.eval(&[], &EvalContext::new(&[], &environment))?;
    Ok((expr.ty.clone(), value))
}

/// A list of expressions, and the parameters' types.
fn bind(sql: &str) -> Result<(Vec<Expr>, Vec<DataType>)> {
    let statement = format!("SELECT {sql}");
    let schema = std::sync::Arc::new(Schema::default());
    let env = PlanEnv {
        schema: &schema,
        virtuals: &NoCatalog,
        parameter_types: &[],
        text: &statement,
        public_in_path: true,
    };
    let dialect = sqlparser::dialect::PostgreSqlDialect {};
    let parsed = sqlparser::parser::Parser::parse_sql(&dialect, &statement)
        .map_err(|e| SqlError::new(crate::sqlstate::SYNTAX_ERROR, e.to_string()))?;
    let Some(ast::Statement::Query(query)) = parsed.first() else {
        return Err(SqlError::internal("not a query"));
    };
    let mut binder = Binder::new(env);
    let bound = binder.top(query)?;
    let Body::Select(select) = bound.body else { return Err(SqlError::internal("not a SELECT")) };
    Ok((select.outputs, binder.builder.param_types()?))
}

fn answer(sql: &str) -> String {
    let environment = environment();
    match evaluate(sql) {
        Ok((ty, value)) => {
            let shown = if value.is_null() {
                "NULL".to_owned()
            } else {
                text::output_in(&value, &ty, &EvalContext::new(&[], &environment)).replace('\n', "\\n")
            };
            format!("{}\t{shown}", types::display(&types::bare(&ty)))
        }
        Err(error) => format!("!{}\t{}", error.sqlstate, error.message),
    }
}

fn run(name: &str, cases: &str) {
    let mut failures = Vec::new();
    let mut count = 0;
    for line in cases.lines().filter(|l| !l.is_empty()) {
        let line =
            line.strip_prefix("@@ ").map_or(line, |rest| rest.rsplit_once('\t').map_or(rest, |(l, _)| l));
        let Some((sql, expected)) = line.split_once('\t') else { panic!("{name}: malformed case {line}") };
        count += 1;
        let got = answer(sql);
        if got != expected {
            failures.push(format!("{sql}\n    expected {expected}\n    got      {got}"));
        }
    }
    assert!(failures.is_empty(), "{name}: {} of {count} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn arithmetic_as_postgresql() {
    run("arithmetic", include_str!("cases/arithmetic.txt"));
}

#[test]
fn strings_as_postgresql() {
    run("string", include_str!("cases/string.txt"));
}

#[test]
fn times_as_postgresql() {
    run("time", include_str!("cases/time.txt"));
}

#[test]
fn bulk_as_postgresql() {
    run("bulk", include_str!("cases/bulk.txt"));
}

/// `type, text, hexadecimal binary form`.
#[test]
fn binary_as_postgresql() {
    let environment = environment();
    let context = EvalContext::new(&[], &environment);
    for line in include_str!("cases/binary.txt").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, shown, hex] = fields.as_slice() else { panic!("malformed case {line}") };
        let ty = types::by_name(name).unwrap_or_else(|| panic!("no type {name}"));
        let value = text::input(shown, &ty, &context).unwrap_or_else(|e| panic!("{line}: {e}"));
        let mut bytes = Vec::new();
        super::binary::send(&mut bytes, &value, &ty, &context).unwrap();
        assert_eq!(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(), *hex, "{line}");
        assert_eq!(super::binary::receive(&bytes, &ty, &context).unwrap(), value, "{line}");
        for cut in 0..bytes.len() {
            // Cut short it is an error or, for text, another value; never a panic.
            let _ = super::binary::receive(&bytes[..cut], &ty, &context);
        }
    }
}

/// `aggregate, argument type, values, result type, result`.
#[test]
fn aggregates_as_postgresql() {
    let environment = environment();
    let context = EvalContext::new(&[], &environment);
    let mut failures = Vec::new();
    for line in include_str!("cases/aggregate.txt").lines() {
        let fields: Vec<&str> = line.splitn(4, '\t').collect();
        let [name, ty, values, expected] = fields.as_slice() else { panic!("malformed case {line}") };
        let got = aggregate(name, ty, values, &context)
            .unwrap_or_else(|error| format!("!{}\t{}", error.sqlstate, error.message));
        if got != *expected {
            failures.push(format!("{name} {ty} {values}\n    expected {expected}\n    got      {got}"));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

fn aggregate(name: &str, ty: &str, values: &str, context: &EvalContext<'_>) -> Result<String> {
    let ty = types::by_name(ty).expect("a type of ours");
    let mut given = vec![ty.clone()];
    if name == "string_agg" {
        given.push(DataType::Unknown);
    }
    let found = super::aggregate::resolve_aggregate(name, &given)?;
    let mut accumulator = found.accumulator(context);
    for value in values.split('|').filter(|v| !v.is_empty()) {
        let value = match value {
            "NULL" => Value::Null,
            other => text::input(other, &ty, context)?,
        };
        let argument = super::cast(&value, &ty, &found.args[0], super::CastKind::Implicit, context)?;
        accumulator.add(&[argument, Value::text(",")])?;
    }
    let result = accumulator.finish()?;
    let shown =
        if result.is_null() { "NULL".to_owned() } else { text::output_in(&result, &found.ty, context) };
    Ok(format!("{}\t{shown}", types::display(&types::bare(&found.ty))))
}

/// Untyped parameters take the types that PostgreSQL's PREPARE gives them.
#[test]
fn parameters_take_types() {
    for (sql, expected) in [
        ("now() + $1", "interval"),
        ("date('now') - $1", "date"),
        ("date('now') + $1", "int4"), // PostgreSQL: ambiguous
        ("now() - $1", "timestamptz"),
        ("interval '1 day' * $1", "float8"),
        ("1.5 * $1, 2 ^ $2, round($3, 2)", "numeric,float8,numeric"),
        ("substr($1, $2, $3), length($4), repeat('a', $5)", "text,int4,int4,text,int4"),
        (
            "case when $1 then $2 else 5 end, greatest($3, 2), nullif($4, 'x'), array[$5, 1], 1 = any($6)",
            "bool,int4,int4,text,int4,_int4",
        ),
        ("$1 || $2", "text,text"),
        ("$1 = $1 + 1", "int4"),
        ("$1::text, $1", "text"),
        ("$1::int + 1, $1 || 'a'", "int4"),
        ("$1 + 1, $1 + 1.5", "int4"),
        (
            "$1 in ('a', 'b'), lower($2) = $3, $4 is distinct from 5, not $5, $6 and true, $7 is true",
            "text,text,text,int4,bool,bool,bool",
        ),
        ("'abc' like $1, $2 between 1::int2 and 5::int8", "text,int2"),
    ] {
        let types = bind(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).1;
        let names: Vec<String> = types.iter().map(types::internal_name).collect();
        assert_eq!(names.join(","), expected, "{sql}");
    }
    for sql in ["$1 + $2", "-$1", "extract(year from $1)", "date_trunc('day', $1)"] {
        assert!(bind(sql).is_err(), "{sql}");
    }
}

#[test]
fn constants_fold_and_the_rest_stays() {
    let folded = |sql: &str| matches!(bind(sql).unwrap().0[0].kind, ExprKind::Const(_));
    for sql in [
        "1 + 2 * 3",
        "lower('ABC')",
        "case when 1 = 2 then 1 / 0 else 5 end",
        "true or 1 / 0 = 1",
        "date '2020-01-01' + 1",
        "timestamptz '2020-01-01 00:00+02'",
        "'a' like 'a%'",
        "5 in (1, 5)",
    ] {
        assert!(folded(sql), "{sql}");
    }
    for sql in [
        "now()",
        "timestamp 'now'",
        "timestamptz '2020-01-01 00:00'",
        "random()",
        "1 / 0",
        "$1 + 1",
        "current_date",
        "gen_random_uuid()",
        "case when $1 = 1 then 1 / 0 else 5 end",
    ] {
        assert!(!folded(sql), "{sql}");
    }
    // At the start of an execution, what is fixed within the statement folds too.
    let environment = environment();
    let params = [Value::Int4(2)];
    let context = EvalContext::new(&params, &environment);
    for (sql, fixed) in [
        ("now()", true),
        ("timestamp 'now' + interval '2 hours'", true),
        ("$1 + 1", true),
        ("random()", false),
    ] {
        let mut expr = bind(sql).unwrap().0.swap_remove(0);
        expr.fold(Some(&context));
        assert_eq!(expr.as_const().is_some(), fixed, "{sql}");
    }
}

#[test]
fn zones_show_and_read_times() {
    let mut environment = environment();
    environment.0.time_zone = TimeZone::fixed(19_800);
    let context = EvalContext::new(&[], &environment);
    for (sql, expected) in [
        ("timestamptz '2020-01-01 00:00+00'", "2020-01-01 05:30:00+05:30"),
        ("timestamptz '2020-01-01 00:00'", "2020-01-01 00:00:00+05:30"),
        ("timestamptz '2020-01-01 20:00+00'::date", "2020-01-02"),
        ("date_trunc('day', timestamptz '2020-01-01 20:00+00')", "2020-01-02 00:00:00+05:30"),
        ("extract(hour from timestamptz '2020-01-01 00:00+00')", "5"),
        ("date '2020-01-01' = timestamptz '2020-01-01 00:00+05:30'", "t"),
        ("now()", "2026-11-23 23:30:00+05:30"),
        ("current_date", "2026-11-23"),
        ("localtimestamp", "2026-11-23 23:30:00"),
        ("timestamp 'tomorrow'", "2026-11-24 00:00:00"),
    ] {
        let expr = bind(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).0.swap_remove(0);
        let value = expr.eval(&[], &context).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(text::output_in(&value, &expr.ty, &context), expected, "{sql}");
    }
    let error = evaluate("timestamptz '2020-01-01 00:00 Europe/Nowhere'").unwrap_err();
    assert_eq!(error.sqlstate, crate::sqlstate::INVALID_PARAMETER_VALUE);
}

/// Whatever text a client sends as whatever type, there is an answer.
#[test]
fn input_never_panics() {
    let environment = environment();
    let context = EvalContext::new(&[], &environment);
    let texts = [
        "",
        " ",
        "-",
        "+",
        ".",
        "{",
        "}",
        "{{",
        "{,}",
        "{\"",
        "\\",
        "\\x",
        "1e",
        "1e999999999",
        "-1e-99999",
        "é",
        "1é",
        "2020-",
        "2020-01-",
        "-2020",
        "1:2:3:4",
        "24:00:01",
        "99999999999999999999",
        "P",
        "P1",
        "PT",
        "P1YT",
        "1 1 1",
        "1 day ago ago",
        "+infinity",
        "- infinity",
        "2020-01-01 +",
        "2020-01-01 +99",
        "jan",
        "jan 1",
        "1 jan 20000000",
        "T",
        "t1",
        "::",
        "1::",
        "0-0-0",
        "1/1/1/1",
        "é-01-01",
        "9223372036854775808 days",
        "1e5 days",
        "1.é",
    ];
    for (ty, _) in types::SCALARS {
        for text in texts {
            let _ = text::input(text, ty, &context);
            let _ = text::input(text, &DataType::Array(Box::new(ty.clone())), &context);
            let _ = super::binary::receive(text.as_bytes(), ty, &context);
        }
    }
    for template in ["", "YYYY", "é", "\"", "FM", "DDTH", "9", "EEEE", "9.9.9", "V", "S", "PR9", "L9", "\"x"]
    {
        for sql in ["to_char(now(), '?')", "to_char(1.5, '?')", "to_date('é1', '?')", "to_number('é1', '?')"]
        {
            let _ = evaluate(&sql.replace('?', template));
        }
    }
}

/// One call must not keep a site busy: these are quick or refused.
#[test]
fn large_results_are_bounded() {
    for (sql, state) in [
        ("exp(9000.5)", None),
        ("exp(40000.0)", Some("0A000")),
        ("exp(1000000.0)", Some("22003")),
        ("exp(-100000.0)", None),
        ("1234.5 ^ 1000.5", None),
        ("1234.5 ^ 20000.5", Some("0A000")),
        ("10.0 ^ 130000.0", None),
        ("10.0 ^ 140000.0", Some("22003")),
        ("ln(1e131000)", None),
        ("log(1e131000)", None),
        ("repeat('x', 2000000000)", Some("54000")),
        ("lpad('x', 2000000000)", Some("54000")),
    ] {
        let got = evaluate(sql).err().map(|e| e.sqlstate);
        assert_eq!(got, state, "{sql}");
    }
}
