//! Expressions: the parser's trees to bound ones.

use gemini_shadow_ops::{DataType, Value};
use sqlparser::ast::{self, BinaryOperator, Expr as Ast, Spanned, UnaryOperator};

use super::{Binder, TableFunction};
use crate::error::{Result, SqlError};
use crate::expr::{CastKind, CompareOp, Expr, ExprKind, SubqueryTest};
use crate::parse;
use crate::sqlstate;

impl Binder<'_> {
    /// Binds an expression; errors carry the place of the innermost part that has one.
    pub(super) fn expr(&mut self, ast: &Ast) -> Result<Expr> {
        self.unplaced(ast)
            .map_err(|error| if error.position.is_some() { error } else { self.located(error, ast.span()) })
    }

    fn unplaced(&mut self, ast: &Ast) -> Result<Expr> {
        match ast {
            Ast::Identifier(ident) => self.identifier(ident),
            Ast::CompoundIdentifier(parts) => self.qualified(parts),
            Ast::Nested(inner) => self.expr(inner),
            Ast::Value(value) => self.literal(&value.value),
            Ast::BinaryOp { left, op, right } => self.binary(left, op, right),
            Ast::UnaryOp { op, expr } => self.unary(op, expr),
            Ast::Cast { expr, data_type, kind, .. } => {
                if !matches!(kind, ast::CastKind::Cast | ast::CastKind::DoubleColon) {
                    return Err(SqlError::unsupported("TRY_CAST", "Use CAST."));
                }
                if let Some(oid) = namespace_oid(expr, data_type) {
                    return Ok(Expr::constant(Value::Oid(oid), DataType::Oid));
                }
                let to = parse::data_type(data_type)?;
                let arg = self.expr(expr)?;
                self.builder.cast(arg, &to, CastKind::Explicit)
            }
            Ast::TypedString(typed) => {
                let to = parse::data_type(&typed.data_type)?;
                let arg = self.literal(&typed.value.value)?;
                self.builder.cast(arg, &to, CastKind::Explicit)
            }
            Ast::Interval(interval) => self.interval(interval),
            Ast::IsNull(e) => self.is_null(e, false),
            Ast::IsNotNull(e) => self.is_null(e, true),
            Ast::IsTrue(e) => self.is_bool(e, Some(true), false),
            Ast::IsNotTrue(e) => self.is_bool(e, Some(true), true),
            Ast::IsFalse(e) => self.is_bool(e, Some(false), false),
            Ast::IsNotFalse(e) => self.is_bool(e, Some(false), true),
            Ast::IsUnknown(e) => self.is_bool(e, None, false),
            Ast::IsNotUnknown(e) => self.is_bool(e, None, true),
            Ast::IsDistinctFrom(a, b) => self.is_distinct(a, b, false),
            Ast::IsNotDistinctFrom(a, b) => self.is_distinct(a, b, true),
            Ast::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Ast::InSubquery { expr, subquery, negated } => {
                let left = row_items(expr);
                let op = if *negated { CompareOp::NotEq } else { CompareOp::Eq };
                self.quantified_subquery(&left, op, subquery, *negated)
            }
            Ast::Between { expr, negated, low, high } => {
                let (arg, low, high) = (self.expr(expr)?, self.expr(low)?, self.expr(high)?);
                self.builder.between(arg, low, high, *negated)
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), false, *negated)
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), true, *negated)
            }
            Ast::AnyOp { left, compare_op, right, .. } => self.any_all(left, compare_op, right, false),
            Ast::AllOp { left, compare_op, right } => self.any_all(left, compare_op, right, true),
            Ast::AtTimeZone { timestamp, time_zone } => {
                let (arg, zone) = (self.expr(timestamp)?, self.expr(time_zone)?);
                self.builder.at_time_zone(arg, zone)
            }
            Ast::Extract { field, expr, .. } => {
                let field = field.to_string().to_ascii_lowercase();
                let field = self.builder.literal(field.trim_matches(['\'', '"']));
                let arg = self.expr(expr)?;
                self.builder.function("extract", vec![field, arg])
            }
            Ast::Ceil { expr, .. } => self.call("ceil", &[expr]),
            Ast::Floor { expr, .. } => self.call("floor", &[expr]),
            Ast::Position { expr, r#in } => self.call("position", &[r#in, expr]),
            Ast::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.expr(expr)?];
                args.push(match substring_from {
                    Some(from) => self.expr(from)?,
                    None => self.builder.number("1")?,
                });
                if let Some(length) = substring_for {
                    args.push(self.expr(length)?);
                }
                self.builder.function("substring", args)
            }
            Ast::Trim { expr, trim_where, trim_what, trim_characters } => {
                let name = match trim_where {
                    None | Some(ast::TrimWhereField::Both) => "btrim",
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                };
                let mut args = vec![self.expr(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.expr(what)?);
                }
                for what in trim_characters.iter().flatten() {
                    args.push(self.expr(what)?);
                }
                self.builder.function(name, args)
            }
            Ast::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args = vec![self.expr(expr)?, self.expr(overlay_what)?, self.expr(overlay_from)?];
                if let Some(length) = overlay_for {
                    args.push(self.expr(length)?);
                }
                self.builder.function("overlay", args)
            }
            Ast::Collate { expr, collation } => {
                let name = parse::object_name(self.env.text, collation)?.name;
                if !matches!(name.as_str(), "default" | "C" | "POSIX" | "ucs_basic") {
                    return Err(SqlError::unsupported(
                        format!("collation \"{name}\""),
                        "Text is ordered by its bytes: the only collation is \"C\".",
                    ));
                }
                self.expr(expr)
            }
            Ast::Function(function) => self.function_call(function),
            Ast::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_deref().map(|e| self.expr(e)).transpose()?;
                let mut branches = Vec::with_capacity(conditions.len());
                for when in conditions {
                    branches.push((self.expr(&when.condition)?, self.expr(&when.result)?));
                }
                let otherwise = else_result.as_deref().map(|e| self.expr(e)).transpose()?;
                self.builder.case(operand, branches, otherwise)
            }
            Ast::Exists { subquery, negated } => {
                let (id, _) = self.subquery(subquery)?;
                let kind = ExprKind::Subquery { id, test: SubqueryTest::Exists.into() };
                let exists = Expr::new(kind, DataType::Bool);
                if *negated { self.builder.not(exists) } else { Ok(exists) }
            }
            Ast::Subquery(query) => {
                let (id, types) = self.subquery(query)?;
                let [ty] = types.as_slice() else { return Err(one_column()) };
                Ok(Expr::new(ExprKind::Subquery { id, test: SubqueryTest::Scalar.into() }, ty.clone()))
            }
            Ast::Array(array) => {
                let list: Result<Vec<Expr>> = array.elem.iter().map(|e| self.expr(e)).collect();
                self.builder.array(list?)
            }
            Ast::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Ast::Prefixed { value, .. } => self.expr(value),
            Ast::Tuple(_) => Err(SqlError::unsupported(
                "a row value here",
                "Compare rows with =, <>, IN, or their columns one by one.",
            )),
            Ast::SimilarTo { .. } => Err(SqlError::unsupported("SIMILAR TO", "Use LIKE or ~.")),
            other => Err(SqlError::unsupported(format!("the expression {other}"), "Write it another way.")),
        }
    }

    fn identifier(&mut self, ident: &ast::Ident) -> Result<Expr> {
        if ident.quote_style.is_none() {
            let name = ident.value.to_ascii_lowercase();
            // Keywords that are functions without parentheses: a column of that name must be quoted in PostgreSQL.
            if matches!(
                name.as_str(),
                "current_date"
                    | "current_time"
                    | "current_timestamp"
                    | "localtime"
                    | "localtimestamp"
                    | "current_user"
                    | "session_user"
                    | "user"
                    | "current_role"
                    | "current_catalog"
                    | "current_schema"
            ) {
                return self.builder.function(&name, Vec::new());
            }
        }
        self.column(ident)
    }

    fn literal(&mut self, value: &ast::Value) -> Result<Expr> {
        use ast::Value as V;
        match value {
            V::Number(text, _) => self.builder.number(&text.to_string()),
            V::SingleQuotedString(text)
            | V::EscapedStringLiteral(text)
            | V::UnicodeStringLiteral(text)
            | V::NationalStringLiteral(text) => Ok(self.builder.literal(text)),
            V::DollarQuotedString(quoted) => Ok(self.builder.literal(&quoted.value)),
            V::Boolean(value) => Ok(Expr::constant(Value::Bool(*value), DataType::Bool)),
            V::Null => Ok(self.builder.null()),
            V::Placeholder(name) => {
                let n = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| *n > 0);
                match n {
                    Some(n) if n <= 65_535 => Ok(self.builder.param(n - 1)),
                    _ => Err(SqlError::new(
                        sqlstate::UNDEFINED_PARAMETER,
                        format!("there is no parameter {name}"),
                    )),
                }
            }
            V::HexStringLiteral(_) => {
                Err(SqlError::unsupported("a bit string literal", "Use '\\x…'::bytea or an integer."))
            }
            other => Err(SqlError::unsupported(format!("the literal {other}"), "Use a quoted literal.")),
        }
    }

    fn interval(&mut self, interval: &ast::Interval) -> Result<Expr> {
        let value = self.expr(&interval.value)?;
        let Some(field) = &interval.leading_field else {
            return self.builder.cast(value, &DataType::Interval, CastKind::Explicit);
        };
        // INTERVAL '2' HOUR: the unit is part of the text.
        let unit = field.to_string().to_ascii_lowercase();
        let text = match value.as_const() {
            Some(Value::Text(text)) if text.bytes().all(|b| b.is_ascii_digit() || b"-+. ".contains(&b)) => {
                format!("{text} {unit}")
            }
            Some(Value::Text(text)) => text.to_string(),
            _ => {
                return Err(SqlError::unsupported(
                    "an interval with a unit and no literal",
                    "Multiply: n * INTERVAL '1 day'.",
                ));
            }
        };
        let literal = self.builder.literal(&text);
        self.builder.cast(literal, &DataType::Interval, CastKind::Explicit)
    }

    fn is_null(&mut self, arg: &Ast, negated: bool) -> Result<Expr> {
        let arg = self.expr(arg)?;
        self.builder.is_null(arg, negated)
    }

    fn is_bool(&mut self, arg: &Ast, truth: Option<bool>, negated: bool) -> Result<Expr> {
        let arg = self.expr(arg)?;
        self.builder.is_bool(arg, truth, negated)
    }

    fn is_distinct(&mut self, left: &Ast, right: &Ast, negated: bool) -> Result<Expr> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        self.builder.is_distinct(left, right, negated)
    }

    fn call(&mut self, name: &str, args: &[&Ast]) -> Result<Expr> {
        let args: Result<Vec<Expr>> = args.iter().map(|a| self.expr(a)).collect();
        self.builder.function(name, args?)
    }

    fn like(
        &mut self,
        arg: &Ast,
        pattern: &Ast,
        escape: Option<&Ast>,
        insensitive: bool,
        negated: bool,
    ) -> Result<Expr> {
        let (arg, pattern) = (self.expr(arg)?, self.expr(pattern)?);
        let escape = escape.map(|e| self.expr(e)).transpose()?;
        self.builder.like(arg, pattern, escape, insensitive, negated)
    }

    fn binary(&mut self, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Expr> {
        match op {
            BinaryOperator::And | BinaryOperator::Or => return self.logical(left, op, right),
            _ => {}
        }
        if let (Ast::Tuple(a), Ast::Tuple(b)) = (unnest(left), unnest(right)) {
            return self.row_compare(a, op, b);
        }
        if let (Ast::Tuple(a), Ast::Subquery(query)) = (unnest(left), unnest(right)) {
            let op = compare_op(op)?;
            let items: Vec<&Ast> = a.iter().collect();
            return self.quantified_subquery(&items, op, query, false);
        }
        let symbol = operator_symbol(op)?;
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        self.builder.operator(&symbol, left, right)
    }

    /// AND and OR, without recursion along a long chain.
    fn logical(&mut self, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Expr> {
        let mut parts = vec![right];
        let mut rest = left;
        while let Ast::BinaryOp { left, op: inner, right } = rest
            && inner == op
        {
            parts.push(right);
            rest = left;
        }
        parts.push(rest);
        let name = if *op == BinaryOperator::And { "AND" } else { "OR" };
        let mut bound = Vec::with_capacity(parts.len());
        for part in parts.into_iter().rev() {
            let part = self.expr(part)?;
            bound.push(self.builder.condition(name, part)?);
        }
        if *op == BinaryOperator::And { self.builder.and(bound) } else { self.builder.or(bound) }
    }

    /// (a, b) = (c, d), and the orderings, by columns.
    fn row_compare(&mut self, left: &[Ast], op: &BinaryOperator, right: &[Ast]) -> Result<Expr> {
        if left.len() != right.len() {
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                "unequal number of entries in row expressions",
            ));
        }
        let op = compare_op(op)?;
        let mut pairs = Vec::with_capacity(left.len());
        for (l, r) in left.iter().zip(right) {
            pairs.push((self.expr(l)?, self.expr(r)?));
        }
        let b = &self.builder;
        match op {
            CompareOp::Eq | CompareOp::NotEq => {
                let parts: Result<Vec<Expr>> =
                    pairs.into_iter().map(|(l, r)| b.operator(op.symbol(), l, r)).collect();
                if op == CompareOp::Eq { b.and(parts?) } else { b.or(parts?) }
            }
            _ => {
                // (a, b) < (c, d)  is  a < c OR (a = c AND b < d)
                let strict = if matches!(op, CompareOp::Lt | CompareOp::LtEq) { "<" } else { ">" };
                let last = pairs.len() - 1;
                let mut result: Option<Expr> = None;
                for (i, (l, r)) in pairs.into_iter().enumerate().rev() {
                    let symbol = if i == last { op.symbol() } else { strict };
                    let first = b.operator(symbol, l.clone(), r.clone())?;
                    result = Some(match result {
                        None => first,
                        Some(rest) => {
                            let equal = b.operator("=", l, r)?;
                            let both = b.and(vec![equal, rest])?;
                            b.or(vec![first, both])?
                        }
                    });
                }
                result.ok_or_else(|| SqlError::new(sqlstate::SYNTAX_ERROR, "empty row expressions"))
            }
        }
    }

    fn unary(&mut self, op: &UnaryOperator, arg: &Ast) -> Result<Expr> {
        // -9223372036854775808 is an int8, though 9223372036854775808 is not.
        if *op == UnaryOperator::Minus
            && let Ast::Value(value) = arg
            && let ast::Value::Number(text, _) = &value.value
        {
            return self.builder.number(&format!("-{text}"));
        }
        let arg = self.expr(arg)?;
        let symbol = match op {
            UnaryOperator::Not => {
                let arg = self.builder.condition("NOT", arg)?;
                return self.builder.not(arg);
            }
            UnaryOperator::Minus => "-",
            UnaryOperator::Plus => "+",
            UnaryOperator::BitwiseNot => "~",
            UnaryOperator::PGAbs => "@",
            UnaryOperator::PGSquareRoot => "|/",
            UnaryOperator::PGCubeRoot => "||/",
            other => {
                return Err(SqlError::unsupported(format!("the operator {other}"), "Use a function."));
            }
        };
        self.builder.prefix(symbol, arg)
    }

    fn in_list(&mut self, arg: &Ast, list: &[Ast], negated: bool) -> Result<Expr> {
        if let Ast::Tuple(left) = unnest(arg) {
            let mut rows = Vec::with_capacity(list.len());
            for item in list {
                let Ast::Tuple(right) = unnest(item) else {
                    return Err(SqlError::new(
                        sqlstate::SYNTAX_ERROR,
                        "unequal number of entries in row expressions",
                    ));
                };
                rows.push(self.row_compare(left, &BinaryOperator::Eq, right)?);
            }
            let any = self.builder.or(rows)?;
            return if negated { self.builder.not(any) } else { Ok(any) };
        }
        let arg = self.expr(arg)?;
        let list: Result<Vec<Expr>> = list.iter().map(|e| self.expr(e)).collect();
        self.builder.in_list(arg, list?, negated)
    }

    fn access(&mut self, root: &Ast, chain: &[ast::AccessExpr]) -> Result<Expr> {
        // alias.column[…] arrives as a chain as well.
        let mut bound;
        let mut rest = chain;
        let mut names: Vec<ast::Ident> = Vec::new();
        if let Ast::Identifier(first) = root {
            names.push(first.clone());
            while let Some(ast::AccessExpr::Dot(Ast::Identifier(ident))) = rest.first() {
                names.push(ident.clone());
                rest = &rest[1..];
            }
        }
        bound = match names.len() {
            0 | 1 => self.expr(root)?,
            _ => self.qualified(&names)?,
        };
        for access in rest {
            match access {
                ast::AccessExpr::Subscript(ast::Subscript::Index { index }) => {
                    let index = self.expr(index)?;
                    bound = self.builder.index(bound, index)?;
                }
                ast::AccessExpr::Subscript(ast::Subscript::Slice { .. }) => {
                    return Err(SqlError::unsupported("an array slice", "Name the elements one by one."));
                }
                ast::AccessExpr::Dot(field) => {
                    return Err(SqlError::unsupported(
                        format!("the field selection .{field}"),
                        "There are no composite types.",
                    ));
                }
            }
        }
        Ok(bound)
    }

    pub(super) fn function_args(&mut self, args: &[ast::FunctionArg]) -> Result<Vec<Expr>> {
        let mut bound = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) => bound.push(self.expr(e)?),
                other => {
                    return Err(SqlError::unsupported(
                        format!("the argument {other}"),
                        "Give plain positional arguments.",
                    ));
                }
            }
        }
        Ok(bound)
    }

    fn function_call(&mut self, function: &ast::Function) -> Result<Expr> {
        let resolved = parse::object_name(self.env.text, &function.name)?;
        // Gemini's own functions are known by their full names; all others are PostgreSQL's.
        let name = match resolved.schema.as_deref() {
            Some("gemini") => format!("gemini.{}", resolved.name),
            _ => resolved.name,
        };
        let name = name.as_str();
        if !function.within_group.is_empty() {
            return Err(SqlError::unsupported("WITHIN GROUP", "Compute it in the application."));
        }
        if let Some(over) = &function.over {
            return self.window_call(name, function, over);
        }
        if crate::expr::window::is_window_only(name) {
            return Err(SqlError::new(
                sqlstate::WRONG_OBJECT_TYPE,
                format!("window function {name} requires an OVER clause"),
            ));
        }
        if crate::expr::aggregate::is_aggregate(name) {
            return self.aggregate_call(name, function);
        }
        if let Some(set) = table_function(name) {
            let block = self.block();
            if !block.in_list || block.in_aggregate || block.in_window.is_some() {
                return Err(SqlError::unsupported(
                    format!("{name} outside of FROM and SELECT lists"),
                    "Put it into FROM.",
                ));
            }
            let ast::FunctionArguments::List(list) = &function.args else {
                return Err(SqlError::new(sqlstate::SYNTAX_ERROR, format!("{name} takes arguments")));
            };
            let args = self.function_args(&list.args)?;
            return self.set_in_list(set, args, name);
        }
        let args = match &function.args {
            ast::FunctionArguments::None => Vec::new(),
            ast::FunctionArguments::Subquery(query) if name == "array" => {
                let (id, types) = self.subquery(query)?;
                let [ty] = types.as_slice() else { return Err(one_column()) };
                let ty = DataType::Array(Box::new(ty.clone()));
                return Ok(Expr::new(ExprKind::Subquery { id, test: SubqueryTest::Array.into() }, ty));
            }
            ast::FunctionArguments::Subquery(query) => {
                let (id, types) = self.subquery(query)?;
                let [ty] = types.as_slice() else { return Err(one_column()) };
                vec![Expr::new(ExprKind::Subquery { id, test: SubqueryTest::Scalar.into() }, ty.clone())]
            }
            ast::FunctionArguments::List(list) => {
                if list.duplicate_treatment.is_some() || function.filter.is_some() {
                    return Err(SqlError::new(
                        sqlstate::WRONG_OBJECT_TYPE,
                        format!("DISTINCT or FILTER specified, but {name} is not an aggregate function"),
                    ));
                }
                self.function_args(&list.args)?
            }
        };
        match name {
            "coalesce" => self.builder.coalesce(args),
            "greatest" => self.builder.greatest(args, false),
            "least" => self.builder.greatest(args, true),
            "nullif" => {
                let [a, b]: [Expr; 2] = args
                    .try_into()
                    .map_err(|_| SqlError::new(sqlstate::SYNTAX_ERROR, "NULLIF takes two arguments"))?;
                self.builder.null_if(a, b)
            }
            _ => self.builder.function(name, args),
        }
    }
}

/// The functions that return sets, by name.
pub(super) fn table_function(name: &str) -> Option<TableFunction> {
    match name {
        "generate_series" => Some(TableFunction::GenerateSeries),
        "unnest" => Some(TableFunction::Unnest),
        "generate_subscripts" => Some(TableFunction::GenerateSubscripts),
        _ => None,
    }
}

/// `'pg_catalog'::regnamespace`: the type is read as oid, and the schemas are always the same.
fn namespace_oid(expr: &Ast, ty: &ast::DataType) -> Option<u32> {
    let ast::DataType::Custom(name, _) = ty else { return None };
    let Some(ast::ObjectNamePart::Identifier(ident)) = name.0.last() else { return None };
    if parse::ident(ident) != "regnamespace" {
        return None;
    }
    let Ast::Value(value) = unnest(expr) else { return None };
    let ast::Value::SingleQuotedString(schema) = &value.value else { return None };
    crate::catalog::schema_oid(schema)
}

/// 42601.
fn one_column() -> SqlError {
    SqlError::new(sqlstate::SYNTAX_ERROR, "subquery must return only one column")
}

/// Without parentheses.
pub(super) fn unnest(mut ast: &Ast) -> &Ast {
    while let Ast::Nested(inner) = ast {
        ast = inner;
    }
    ast
}

pub(super) fn row_items(ast: &Ast) -> Vec<&Ast> {
    match unnest(ast) {
        Ast::Tuple(items) => items.iter().collect(),
        single => vec![single],
    }
}

pub(super) fn compare_op(op: &BinaryOperator) -> Result<CompareOp> {
    CompareOp::from_symbol(&op.to_string())
        .ok_or_else(|| SqlError::unsupported(format!("the operator {op} here"), "Use =, <>, <, <=, > or >=."))
}

/// An operator's symbol, `OPERATOR(pg_catalog.~)` included.
pub(super) fn operator_symbol(op: &BinaryOperator) -> Result<String> {
    Ok(match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::NotEq => "<>".to_owned(),
        BinaryOperator::PGRegexMatch => "~".to_owned(),
        BinaryOperator::PGLikeMatch => "~~".to_owned(),
        BinaryOperator::PGILikeMatch => "~~*".to_owned(),
        BinaryOperator::PGNotLikeMatch => "!~~".to_owned(),
        BinaryOperator::PGNotILikeMatch => "!~~*".to_owned(),
        BinaryOperator::Xor | BinaryOperator::DuckIntegerDivide | BinaryOperator::MyIntegerDivide => {
            return Err(SqlError::unsupported(format!("the operator {op}"), "Use a function."));
        }
        other => other.to_string(),
    })
}
