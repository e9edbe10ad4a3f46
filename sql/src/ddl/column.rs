//! Columns: types, defaults, minting, generated expressions; CHECKs and what they read.

use std::collections::BTreeSet;

use gemini_shadow_ops::{
    Bound, Check, Column, ColumnId, ConstraintId, DataType, Default, MergeRule, Minting, Sequence,
    SequenceId, Table, TableId, Value,
};
use sqlparser::ast::{self, Expr};

use super::Change;
use crate::catalog::names::quote;
use crate::error::{Result, SqlError};
use crate::expr::{text, types};
use crate::parse::{ColumnDefinition, SequenceOptions, bounds_of, ident};
use crate::sqlstate;

/// What a DEFAULT says besides its text.
pub(super) struct DefaultOf {
    pub default: Default,
    pub minting: Option<Minting>,
    /// Its value differs from row to row (nextval, random): rows that are there cannot all get one constant.
    pub volatile: bool,
}

impl Change<'_> {
    /// A column as declared; the sequence of a SERIAL or IDENTITY comes along, to be created first.
    pub(super) fn column(
        &mut self,
        table: TableId,
        table_name: &str,
        id: ColumnId,
        definition: &ColumnDefinition,
        taken: &mut Vec<String>,
    ) -> Result<(Column, Option<Sequence>)> {
        let mut column = Column {
            id,
            name: definition.name.clone(),
            ty: definition.ty.clone(),
            not_null: definition.not_null,
            default: None,
            generated: None,
            identity: None,
            minting: None,
            merge: definition.merge.unwrap_or(MergeRule::Strict),
            missing: Value::Null,
            hidden: false,
        };
        let options = match (&definition.identity, definition.serial) {
            (Some(identity), _) => {
                column.identity = Some(identity.always);
                Some(identity.sequence.clone())
            }
            (None, true) => Some(SequenceOptions::default()),
            (None, false) => None,
        };
        if let Some(options) = options {
            if definition.default.is_some() || definition.generated.is_some() {
                return Err(SqlError::new(
                    sqlstate::SYNTAX_ERROR,
                    format!("multiple default values specified for column \"{}\"", column.name),
                )
                .at(definition.position.max(1)));
            }
            let sequence = self.owned_sequence(table, table_name, &column, &options, taken)?;
            column.not_null = true;
            column.minting = Some(Minting::Sequence(sequence.id));
            if definition.identity.is_none() {
                column.default = Some(Default { sql: nextval(&sequence.name) });
            }
            return Ok((column, Some(sequence)));
        }
        if let Some(default) = &definition.default {
            let default = self.default(&column, default)?;
            column.default = default.as_ref().map(|d| d.default.clone());
            column.minting = default.and_then(|d| d.minting);
        }
        Ok((column, None))
    }

    fn owned_sequence(
        &mut self,
        table: TableId,
        table_name: &str,
        column: &Column,
        options: &SequenceOptions,
        taken: &mut Vec<String>,
    ) -> Result<Sequence> {
        let top = match column.ty {
            DataType::Int2 => i64::from(i16::MAX),
            DataType::Int4 => i64::from(i32::MAX),
            DataType::Int8 => i64::MAX,
            _ => {
                return Err(SqlError::new(
                    sqlstate::INVALID_PARAMETER_VALUE,
                    "identity column type must be smallint, integer, or bigint",
                ));
            }
        };
        let wish = match &options.name {
            Some(name) => name.clone(),
            None => format!("{}_{}_seq", super::cut(table_name, 29), super::cut(&column.name, 29)),
        };
        let name = self.free_name(&wish, taken)?;
        taken.push(name.clone());
        let id = SequenceId(self.id()?);
        new_sequence(id, name, options, top, Some((table, column.id)))
    }

    /// A DEFAULT; None for DEFAULT NULL.
    pub(super) fn default(&mut self, column: &Column, expr: &Expr) -> Result<Option<DefaultOf>> {
        if matches!(unnested(expr), Expr::Value(v) if v.value == ast::Value::Null) {
            return Ok(None);
        }
        if let Some(call) = function_call(expr) {
            match call.0.as_str() {
                "nextval" => return self.nextval_default(column, expr, call.1).map(Some),
                "gen_random_uuid" | "uuid_generate_v4" => {
                    let minting = (column.ty == DataType::Uuid).then_some(Minting::Uuid);
                    let sql = "gen_random_uuid()".to_string();
                    return Ok(Some(DefaultOf { default: Default { sql }, minting, volatile: true }));
                }
                _ => {}
            }
        }
        if let Some(column) = columns_of(expr).into_iter().next() {
            return Err(SqlError::new(
                sqlstate::FEATURE_NOT_SUPPORTED,
                format!("cannot use column reference in DEFAULT expression (column \"{column}\")"),
            ));
        }
        refuse_subquery(expr, "DEFAULT")?;
        let volatile = calls(expr).iter().any(|f| VOLATILE.contains(&f.as_str()));
        let sql = match unnested(expr) {
            Expr::Value(v) if matches!(v.value, ast::Value::SingleQuotedString(_)) => {
                format!("{expr}::{}", types::display(&types::bare(&column.ty)))
            }
            _ => expr.to_string(),
        };
        Ok(Some(DefaultOf { default: Default { sql }, minting: None, volatile }))
    }

    fn nextval_default(&mut self, column: &Column, expr: &Expr, args: Vec<&Expr>) -> Result<DefaultOf> {
        let name = args.first().and_then(|arg| literal(arg)).ok_or_else(|| {
            SqlError::unsupported(
                format!("DEFAULT {expr}"),
                "Write nextval('sequence'), with the sequence's name as a constant.",
            )
        })?;
        let schema = self.schema()?;
        let Some(sequence) = crate::catalog::names::sequence(&schema, &name) else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("relation \"{name}\" does not exist"),
            ));
        };
        if !column.ty.is_integer() {
            return Err(SqlError::unsupported(
                "DEFAULT nextval on a column that is no integer",
                "Use an integer or bigint column.",
            ));
        }
        let minting = Some(Minting::Sequence(sequence.id));
        Ok(DefaultOf { default: Default { sql: nextval(&sequence.name) }, minting, volatile: true })
    }

    /// GENERATED ALWAYS AS (…) STORED, with the columns it reads.
    pub(super) fn generated(&self, table: &Table, expr: &Expr) -> Result<(String, Vec<ColumnId>)> {
        immutable(expr, "generation expression")?;
        let columns = self.read_columns(table, expr)?;
        if let Some(column) = table.columns.iter().find(|c| columns.contains(&c.id) && c.generated.is_some())
        {
            return Err(SqlError::new(
                sqlstate::INVALID_OBJECT_DEFINITION,
                format!("cannot use generated column \"{}\" in column generation expression", column.name),
            ));
        }
        Ok((unnested(expr).to_string(), columns))
    }

    /// A CHECK with the columns it reads and, if it is nothing else, its bounds.
    pub(super) fn check_constraint(
        &self,
        table: &Table,
        id: ConstraintId,
        name: String,
        expr: &Expr,
    ) -> Result<Check> {
        immutable(expr, "check constraint")?;
        let columns = self.read_columns(table, expr)?;
        let bounds = bounds(table, expr).unwrap_or_default();
        Ok(Check { id, name, sql: unnested(expr).to_string(), columns, bounds })
    }

    /// The columns of the table that an expression names. Sorted.
    fn read_columns(&self, table: &Table, expr: &Expr) -> Result<Vec<ColumnId>> {
        let mut ids = BTreeSet::new();
        for name in columns_of(expr) {
            let column = table.column_by_name(&name).filter(|c| !c.hidden).ok_or_else(|| {
                SqlError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
            })?;
            ids.insert(column.id);
        }
        Ok(ids.into_iter().collect())
    }

    /// Plans a query over an expression of the table's, so that a wrong one is refused now and not at the first INSERT.
    pub(super) fn bind_check(&mut self, table: &str, sql: &str, ty: Option<&DataType>) -> Result<()> {
        let query = match ty {
            None => format!("SELECT 1 FROM public.{} WHERE ({sql})", quote(table)),
            Some(ty) => {
                format!("SELECT CAST(({sql}) AS {}) FROM public.{}", types::display(ty), quote(table))
            }
        };
        self.session.plan_text(&query)
    }

    /// Plans `SELECT CAST(default AS type)`.
    pub(super) fn bind_default(&mut self, column: &Column) -> Result<()> {
        match (&column.default, column.minting) {
            (Some(default), None) => {
                let query = format!("SELECT CAST(({}) AS {})", default.sql, types::display(&column.ty));
                self.session.plan_text(&query)
            }
            _ => Ok(()),
        }
    }

    /// The constant that rows already there read as.
    pub(super) async fn constant(&mut self, column: &Column) -> Result<Value> {
        let Some(default) = &column.default else { return Ok(Value::Null) };
        let query = format!("SELECT CAST(({}) AS {})", default.sql, types::display(&column.ty));
        let rows = self.session.query(&query, Vec::new()).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).unwrap_or(Value::Null))
    }
}

/// Functions whose value differs from row to row.
const VOLATILE: &[&str] =
    &["random", "gen_random_uuid", "uuid_generate_v4", "nextval", "clock_timestamp", "timeofday"];
/// Functions whose value differs from statement to statement.
const STABLE: &[&str] = &[
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtimestamp",
    "localtime",
    "statement_timestamp",
    "transaction_timestamp",
    "current_user",
    "session_user",
    "user",
    "current_setting",
    "set_config",
    "currval",
    "lastval",
    "setval",
    "current_database",
    "current_schema",
    "version",
    "pg_backend_pid",
    "age",
    "to_char",
];

/// CHECKs and generated columns must say the same at every site and time.
fn immutable(expr: &Expr, what: &str) -> Result<()> {
    refuse_subquery(expr, what)?;
    let called = calls(expr);
    if let Some(name) = called.iter().find(|f| VOLATILE.contains(&f.as_str()) || STABLE.contains(&f.as_str()))
    {
        return Err(SqlError::new(
            sqlstate::INVALID_OBJECT_DEFINITION,
            format!("functions in a {what} must be immutable: {name} is not"),
        ));
    }
    Ok(())
}

fn refuse_subquery(expr: &Expr, what: &str) -> Result<()> {
    let mut found = false;
    walk(expr, &mut |e| {
        found |= matches!(e, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. });
    });
    if found {
        return Err(SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, format!("cannot use subquery in {what}")));
    }
    Ok(())
}

/// `nextval('name'::regclass)`
pub(super) fn nextval(sequence: &str) -> String {
    format!("nextval('{}'::regclass)", quote(sequence).replace('\'', "''"))
}

/// A sequence with its options checked, as CREATE SEQUENCE does.
pub(super) fn new_sequence(
    id: SequenceId,
    name: String,
    options: &SequenceOptions,
    top: i64,
    owner: Option<(TableId, ColumnId)>,
) -> Result<Sequence> {
    let invalid = |message: String| SqlError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
    let increment = options.increment.unwrap_or(1);
    if increment == 0 {
        return Err(invalid("INCREMENT must not be zero".into()));
    }
    let (low, high) = if increment > 0 { (1, top) } else { (top.saturating_neg() - 1, -1) };
    let min = options.min.flatten().unwrap_or(low);
    let max = options.max.flatten().unwrap_or(high);
    if min >= max {
        return Err(invalid(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})")));
    }
    let start = options.start.unwrap_or(if increment > 0 { min } else { max });
    if start < min {
        return Err(invalid(format!("START value ({start}) cannot be less than MINVALUE ({min})")));
    }
    if start > max {
        return Err(invalid(format!("START value ({start}) cannot be greater than MAXVALUE ({max})")));
    }
    if options.cycle == Some(true) {
        return Err(SqlError::unsupported(
            "a sequence that cycles",
            "A minted value is never given twice: leave CYCLE out.",
        ));
    }
    Ok(Sequence { id, name, start, increment, min, max, cycle: false, owner, base: None })
}

fn bounds(table: &Table, expr: &Expr) -> Option<Vec<Bound>> {
    let raw = bounds_of(expr)?;
    let column = table.column_by_name(&raw.first()?.column)?;
    let mut bounds = Vec::new();
    for bound in raw {
        let limit = text::input_constant(&bound.limit, &column.ty).ok()?;
        let limit = if bound.strict { strictly(&column.ty, limit, bound.side)? } else { limit };
        bounds.push(Bound { column: column.id, side: bound.side, limit });
    }
    Some(bounds)
}

/// `x > 3` on integers is `x >= 4`; on numeric(10,2), `x >= 3.01`.
fn strictly(ty: &DataType, limit: Value, side: gemini_shadow_ops::BoundSide) -> Option<Value> {
    let up = side == gemini_shadow_ops::BoundSide::AtLeast;
    let step = |n: i64| if up { n.checked_add(1) } else { n.checked_sub(1) };
    match limit {
        Value::Int2(n) => step(i64::from(n)).and_then(|n| i16::try_from(n).ok()).map(Value::Int2),
        Value::Int4(n) => step(i64::from(n)).and_then(|n| i32::try_from(n).ok()).map(Value::Int4),
        Value::Int8(n) => step(n).map(Value::Int8),
        Value::Numeric(n) => {
            let DataType::Numeric(Some((_, scale))) = ty else { return None };
            let scale = u16::try_from(*scale).ok()?;
            let unit = gemini_shadow_ops::Numeric::from_parts(1, scale);
            Some(Value::Numeric(if up { n.add(&unit) } else { n.sub(&unit) }))
        }
        _ => None,
    }
}

pub(super) fn unnested(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unnested(inner),
        other => other,
    }
}

/// A call's name and plain arguments.
fn function_call(expr: &Expr) -> Option<(String, Vec<&Expr>)> {
    let Expr::Function(function) = unnested(expr) else { return None };
    let ast::ObjectNamePart::Identifier(last) = function.name.0.last()? else { return None };
    let mut args = Vec::new();
    if let ast::FunctionArguments::List(list) = &function.args {
        for arg in &list.args {
            if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) = arg {
                args.push(e);
            }
        }
    }
    Some((ident(last), args))
}

/// A string constant under casts.
fn literal(expr: &Expr) -> Option<String> {
    match unnested(expr) {
        Expr::Cast { expr, .. } => literal(expr),
        Expr::TypedString(typed) => match &typed.value.value {
            ast::Value::SingleQuotedString(s) => Some(s.clone()),
            _ => None,
        },
        Expr::Value(v) => match &v.value {
            ast::Value::SingleQuotedString(s) | ast::Value::EscapedStringLiteral(s) => Some(s.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Names of the functions an expression calls, folded.
fn calls(expr: &Expr) -> Vec<String> {
    let mut names = Vec::new();
    walk(expr, &mut |e| {
        if let Some((name, _)) = function_call(e) {
            names.push(name);
        }
    });
    names
}

/// Names of the columns an expression reads, folded, each once.
pub(super) fn columns_of(expr: &Expr) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    walk(expr, &mut |e| {
        let name = match e {
            Expr::Identifier(i) => ident(i),
            Expr::CompoundIdentifier(parts) => match parts.last() {
                Some(last) => ident(last),
                None => return,
            },
            _ => return,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names
}

/// Every expression within, itself first. sqlparser's visitor is a feature that is not built in; these are the forms that
/// the binder knows.
pub(super) fn walk(expr: &Expr, f: &mut dyn FnMut(&Expr)) {
    f(expr);
    match expr {
        Expr::Nested(e)
        | Expr::UnaryOp { expr: e, .. }
        | Expr::Cast { expr: e, .. }
        | Expr::IsNull(e)
        | Expr::IsNotNull(e)
        | Expr::IsTrue(e)
        | Expr::IsNotTrue(e)
        | Expr::IsFalse(e)
        | Expr::IsNotFalse(e)
        | Expr::IsUnknown(e)
        | Expr::IsNotUnknown(e)
        | Expr::Collate { expr: e, .. }
        | Expr::Extract { expr: e, .. }
        | Expr::Ceil { expr: e, .. }
        | Expr::Floor { expr: e, .. } => walk(e, f),
        Expr::BinaryOp { left, right, .. }
        | Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right)
        | Expr::AnyOp { left, right, .. }
        | Expr::AllOp { left, right, .. }
        | Expr::Position { expr: left, r#in: right } => {
            walk(left, f);
            walk(right, f);
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            walk(timestamp, f);
            walk(time_zone, f);
        }
        Expr::Between { expr, low, high, .. } => {
            walk(expr, f);
            walk(low, f);
            walk(high, f);
        }
        Expr::InList { expr, list, .. } => {
            walk(expr, f);
            list.iter().for_each(|e| walk(e, f));
        }
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. } => {
            walk(expr, f);
            walk(pattern, f);
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            operand.iter().for_each(|e| walk(e, f));
            for when in conditions {
                walk(&when.condition, f);
                walk(&when.result, f);
            }
            else_result.iter().for_each(|e| walk(e, f));
        }
        Expr::Tuple(list) => list.iter().for_each(|e| walk(e, f)),
        Expr::Array(array) => array.elem.iter().for_each(|e| walk(e, f)),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            walk(expr, f);
            substring_from.iter().chain(substring_for).for_each(|e| walk(e, f));
        }
        Expr::Trim { expr, trim_what, .. } => {
            walk(expr, f);
            trim_what.iter().for_each(|e| walk(e, f));
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            walk(expr, f);
            walk(overlay_what, f);
            walk(overlay_from, f);
            overlay_for.iter().for_each(|e| walk(e, f));
        }
        Expr::Function(function) => {
            if let ast::FunctionArguments::List(list) = &function.args {
                for arg in &list.args {
                    if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) = arg {
                        walk(e, f);
                    }
                }
            }
        }
        Expr::Interval(interval) => walk(&interval.value, f),
        _ => {}
    }
}
