//! Expressions against PostgreSQL 15's own answers.
//!
//! Each line of `cases/*.txt` is an expression, a tab, and what PostgreSQL 15 answered (TimeZone UTC, locale C): its type and
//! its text, or `!` with the SQLSTATE and the message. Lines marked `@@` are ours on purpose: what we refuse or do
//! otherwise, with the reason after the last tab.

use gemini_shadow_ops::{DataType, Schema, Value};
use sqlparser::ast;

use super::{EvalContext, SessionInfo, context, text, types};
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
    let bound = Binder::new(env).top(query)?;
    let Body::Select(select) = bound.body else { return Err(SqlError::internal("not a SELECT")) };
    let expr = &select.outputs[0];
    let environment = environment();
    let value = expr.eval(&[], &EvalContext::new(&[], &environment))?;
    Ok((expr.ty.clone(), value))
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
