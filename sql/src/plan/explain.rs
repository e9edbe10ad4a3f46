//! `EXPLAIN`: the plan as PostgreSQL prints its own, and expressions as SQL.

use gemini_shadow_ops::{DataType, Value};

use super::node::{KeyPart, Node, Plan, RangeSpec, Scan, SetCall};
use super::{InsertRows, Prepared, PreparedBody};
use crate::bind::{JoinKind, SetOp, SortKey, TableFunction, Window};
use crate::expr::{Expr, ExprKind, SubqueryTest};

/// The lines of a statement.
pub fn lines(prepared: &Prepared) -> Vec<String> {
    let mut out = Printer { lines: Vec::new(), prepared };
    match &prepared.body {
        PreparedBody::Select(plan) => out.plan(plan, 0),
        PreparedBody::Insert(insert) => {
            out.line(0, format!("Insert on {}", insert.table.name));
            if insert.conflict.is_some() {
                out.detail(0, "Conflict Resolution".to_owned(), conflict(insert));
            }
            match &insert.source {
                InsertRows::Values(rows) if rows.len() == 1 => out.line(1, "Result".to_owned()),
                InsertRows::Values(_) => out.line(1, "Values Scan on \"*VALUES*\"".to_owned()),
                InsertRows::Query(plan, _) => out.plan(plan, 1),
                InsertRows::Defaults => out.line(1, "Result".to_owned()),
            }
        }
        PreparedBody::Update(update) => {
            out.line(0, format!("Update on {}", update.table.name));
            out.node(&update.source.node, &update.source.names, 1);
        }
        PreparedBody::Delete(delete) => {
            out.line(0, format!("Delete on {}", delete.table.name));
            out.node(&delete.source.node, &delete.source.names, 1);
        }
    }
    for (i, sub) in prepared.subplans.iter().enumerate() {
        let kind = if sub.correlated { "SubPlan" } else { "InitPlan" };
        out.lines.push(format!("  {kind} {}", i + 1));
        out.plan(&sub.plan, 2);
    }
    out.lines
}

fn conflict(insert: &super::InsertPlan) -> String {
    match insert.conflict.as_ref().map(|c| &c.action) {
        Some(crate::bind::ConflictAction::Update { .. }) => "UPDATE".to_owned(),
        _ => "NOTHING".to_owned(),
    }
}

struct Printer<'a> {
    lines: Vec<String>,
    prepared: &'a Prepared,
}

impl Printer<'_> {
    fn line(&mut self, depth: usize, text: String) {
        if depth == 0 {
            self.lines.push(text);
        } else {
            self.lines.push(format!("{}->  {text}", " ".repeat(depth * 6 - 4)));
        }
    }

    fn detail(&mut self, depth: usize, name: String, text: String) {
        self.lines.push(format!("{}{name}: {text}", " ".repeat(depth * 6 + 2)));
    }

    fn plan(&mut self, plan: &Plan, depth: usize) {
        self.node(&plan.node, &plan.names, depth);
    }

    fn filter(&mut self, depth: usize, filter: &[Expr], names: &[String]) {
        if !filter.is_empty() {
            self.detail(depth, "Filter".to_owned(), conjunction(filter, names));
        }
    }

    fn node(&mut self, node: &Node, names: &[String], depth: usize) {
        match node {
            Node::Empty => self.line(depth, "Result".to_owned()),
            Node::Scan(scan) => self.scan(scan, names, depth),
            Node::Virtual { table, alias, filter, .. } => {
                self.line(depth, format!("Virtual Scan on {}", named(table.name(), alias)));
                self.filter(depth, filter, names);
            }
            Node::Function { calls, alias, filter, .. } => {
                let name = |call: &SetCall| match call.function {
                    TableFunction::GenerateSeries => "generate_series".to_owned(),
                    TableFunction::Unnest => "unnest".to_owned(),
                    TableFunction::GenerateSubscripts => "generate_subscripts".to_owned(),
                    TableFunction::Scalar => alias.clone(),
                };
                match calls.as_slice() {
                    [call] if alias != "?sets?" => {
                        self.line(depth, format!("Function Scan on {}", named(&name(call), alias)));
                    }
                    _ => self.line(depth, "ProjectSet".to_owned()),
                }
                for call in calls.iter().filter(|c| c.function != TableFunction::Scalar) {
                    let args: Vec<String> = call.args.iter().map(|a| expression(a, names)).collect();
                    let text = format!("{}({})", name(call), args.join(", "));
                    self.detail(depth, "Function Call".to_owned(), text);
                }
                self.filter(depth, filter, names);
            }
            Node::Derived { plan, alias, filter, .. } => {
                self.line(depth, format!("Subquery Scan on {alias}"));
                self.filter(depth, filter, names);
                self.plan(plan, depth + 1);
            }
            Node::Filter { input, predicate } => {
                if matches!(**input, Node::Aggregate { .. }) {
                    self.node(input, names, depth);
                    let at = self.lines.len();
                    let text = conjunction(predicate, names);
                    self.lines.insert(at, format!("{}Having: {text}", " ".repeat(depth * 6 + 2)));
                } else {
                    self.line(depth, "Result".to_owned());
                    self.filter(depth, predicate, names);
                    self.node(input, names, depth + 1);
                }
            }
            Node::Loop { left, right, kind, .. } => {
                let kind = if *kind == JoinKind::Left { "Nested Loop Left Join" } else { "Nested Loop" };
                self.line(depth, kind.to_owned());
                self.node(left, names, depth + 1);
                self.node(right, names, depth + 1);
            }
            Node::Hash { left, right, kind, keys, on, .. } => {
                self.hash(*kind, keys, on, names, depth);
                self.node(left, names, depth + 1);
                if keys.is_empty() {
                    self.line(depth + 1, "Materialize".to_owned());
                } else {
                    self.line(depth + 1, "Hash".to_owned());
                }
                self.node(right, names, depth + 2);
            }
            Node::Aggregate { input, keys, .. } => {
                if keys.is_empty() {
                    self.line(depth, "Aggregate".to_owned());
                } else {
                    self.line(depth, "HashAggregate".to_owned());
                    let keys: Vec<String> = keys.iter().map(|k| expression(k, names)).collect();
                    self.detail(depth, "Group Key".to_owned(), keys.join(", "));
                }
                self.node(input, names, depth + 1);
            }
            Node::Window { input, windows } => {
                // The last is computed last: it stands on top.
                for (i, window) in windows.iter().rev().enumerate() {
                    self.line(depth + i, "WindowAgg".to_owned());
                    self.window(window, names, depth + i);
                }
                self.node(input, names, depth + windows.len());
            }
            Node::Project { input, .. } => self.node(input, names, depth),
            Node::Sort { input, keys, top } => {
                self.line(depth, "Sort".to_owned());
                self.detail(depth, "Sort Key".to_owned(), sort_keys(input, keys, names));
                if top.is_some() {
                    self.detail(depth, "Sort Method".to_owned(), "top-N heapsort".to_owned());
                }
                self.node(input, names, depth + 1);
            }
            Node::Distinct { input, .. } => {
                self.line(depth, "HashAggregate".to_owned());
                self.node(input, names, depth + 1);
            }
            Node::Limit { input, .. } => {
                self.line(depth, "Limit".to_owned());
                self.node(input, names, depth + 1);
            }
            Node::Values { rows } => {
                let text = if rows.len() == 1 { "Result" } else { "Values Scan on \"*VALUES*\"" };
                self.line(depth, text.to_owned());
            }
            Node::Set { op, all, left, right, .. } => {
                let text = match (op, all) {
                    (SetOp::Union, true) => "Append",
                    (SetOp::Union, false) => "HashAggregate",
                    (SetOp::Intersect, false) => "HashSetOp Intersect",
                    (SetOp::Intersect, true) => "HashSetOp Intersect All",
                    (SetOp::Except, false) => "HashSetOp Except",
                    (SetOp::Except, true) => "HashSetOp Except All",
                };
                self.line(depth, text.to_owned());
                self.plan(left, depth + 1);
                self.plan(right, depth + 1);
            }
            Node::Recursive { base, step, .. } => {
                self.line(depth, "Recursive Union".to_owned());
                self.plan(base, depth + 1);
                self.plan(step, depth + 1);
            }
            Node::Working { alias, filter, .. } => {
                self.line(depth, format!("WorkTable Scan on {alias}"));
                self.filter(depth, filter, names);
            }
            Node::Lock { input, .. } => {
                self.line(depth, "LockRows".to_owned());
                self.node(input, names, depth + 1);
            }
            Node::Trim { input, .. } => self.node(input, names, depth),
        }
    }

    fn window(&mut self, window: &Window, names: &[String], depth: usize) {
        let partition = window.partition.iter().map(|key| expression(key, names));
        let order = window.order.iter().map(|(key, descending, nulls_first)| {
            expression(key, names) + direction(*descending, *nulls_first)
        });
        let keys: Vec<String> = partition.chain(order).collect();
        if !keys.is_empty() {
            self.detail(depth, "Sort Key".to_owned(), keys.join(", "));
        }
    }

    fn hash(&mut self, kind: JoinKind, keys: &[(Expr, Expr)], on: &[Expr], names: &[String], depth: usize) {
        let what = match (kind, keys.is_empty()) {
            (JoinKind::Inner, false) => "Hash Join",
            (JoinKind::Left, false) => "Hash Left Join",
            (JoinKind::Full, false) => "Hash Full Join",
            (JoinKind::Inner, true) => "Nested Loop",
            (JoinKind::Left, true) => "Nested Loop Left Join",
            (JoinKind::Full, true) => "Nested Loop Full Join",
        };
        self.line(depth, what.to_owned());
        if !keys.is_empty() {
            let keys: Vec<String> = keys
                .iter()
                .map(|(a, b)| format!("({} = {})", expression(a, names), expression(b, names)))
                .collect();
            let text = if keys.len() == 1 { keys[0].clone() } else { format!("({})", keys.join(" AND ")) };
            self.detail(depth, "Hash Cond".to_owned(), text);
        }
        if !on.is_empty() {
            self.detail(depth, "Join Filter".to_owned(), conjunction(on, names));
        }
    }

    fn scan(&mut self, scan: &Scan, names: &[String], depth: usize) {
        let on = named(&scan.table.name, &scan.alias);
        let whole = scan.range.prefix.is_empty() && scan.range.lower.is_none() && scan.range.upper.is_none();
        let backward = if scan.reverse { " Backward" } else { "" };
        let primary = scan.table.primary().map_or("", |p| p.name.as_str());
        let index = scan.index.and_then(|id| scan.table.index(id)).map_or(primary, |i| i.name.as_str());
        let text = if whole && scan.index.is_none() && !scan.reverse {
            format!("Seq Scan on {on}")
        } else {
            format!("Index Scan{backward} using {index} on {on}")
        };
        self.line(depth, text);
        if !scan.conditions.is_empty() {
            self.detail(depth, "Index Cond".to_owned(), conjunction(&scan.conditions, names));
        }
        self.filter(depth, &scan.filter, names);
        let _ = (&self.prepared, range_parts(&scan.range));
    }
}

fn range_parts(range: &RangeSpec) -> usize {
    range.prefix.iter().filter(|p| !matches!(p, KeyPart::One(_))).count()
}

fn named(name: &str, alias: &str) -> String {
    if name == alias { name.to_owned() } else { format!("{name} {alias}") }
}

fn sort_keys(input: &Node, keys: &[SortKey], names: &[String]) -> String {
    let mut at = input;
    let exprs = loop {
        match at {
            Node::Project { exprs, .. } => break Some(exprs),
            Node::Distinct { input, .. } | Node::Limit { input, .. } | Node::Sort { input, .. } => at = input,
            _ => break None,
        }
    };
    let keys: Vec<String> = keys
        .iter()
        .map(|key| {
            let mut text = match exprs.and_then(|e| e.get(key.column)) {
                Some(expr) => expression(expr, names),
                None => names.get(key.column).cloned().unwrap_or_else(|| format!("${}", key.column + 1)),
            };
            text.push_str(direction(key.descending, key.nulls_first));
            text
        })
        .collect();
    keys.join(", ")
}

/// What follows a sort key.
fn direction(descending: bool, nulls_first: bool) -> &'static str {
    match (descending, nulls_first) {
        (false, false) => "",
        (false, true) => " NULLS FIRST",
        (true, true) => " DESC",
        (true, false) => " DESC NULLS LAST",
    }
}

fn conjunction(list: &[Expr], names: &[String]) -> String {
    match list {
        [one] => expression(one, names),
        _ => {
            let parts: Vec<String> = list.iter().map(|e| expression(e, names)).collect();
            format!("({})", parts.join(" AND "))
        }
    }
}

/// An expression as SQL.
pub fn expression(expr: &Expr, names: &[String]) -> String {
    use ExprKind as K;
    let show = |e: &Expr| expression(e, names);
    let list = |l: &[Expr]| l.iter().map(show).collect::<Vec<_>>().join(", ");
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match &expr.kind {
        K::Const(value) => constant(value, &expr.ty),
        K::Column(slot) => names.get(*slot).cloned().unwrap_or_else(|| format!("column {slot}")),
        K::Outer { depth, slot } => {
            format!("outer{}.{slot}", if *depth > 1 { depth.to_string() } else { String::new() })
        }
        K::Param(n) => format!("${}", n + 1),
        K::Call { function, args } => match args.as_slice() {
            [a, b] if !function.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                format!("({} {} {})", show(a), function.name, show(b))
            }
            [a] if !function.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                format!("({} {})", function.name, show(a))
            }
            args => format!("{}({})", function.name, list(args)),
        },
        K::Compare { op, left, right } => format!("({} {} {})", show(left), op.symbol(), show(right)),
        K::And(l) => format!("({})", l.iter().map(show).collect::<Vec<_>>().join(" AND ")),
        K::Or(l) => format!("({})", l.iter().map(show).collect::<Vec<_>>().join(" OR ")),
        K::Not(arg) => format!("(NOT {})", show(arg)),
        K::IsNull { arg, negated } => format!("({} IS {}NULL)", show(arg), not(*negated)),
        K::IsBool { arg, truth, negated } => {
            let what = match truth {
                Some(true) => "TRUE",
                Some(false) => "FALSE",
                None => "UNKNOWN",
            };
            format!("({} IS {}{what})", show(arg), not(*negated))
        }
        K::IsDistinct { left, right, negated } => {
            format!("({} IS {}DISTINCT FROM {})", show(left), not(*negated), show(right))
        }
        K::Case { branches, otherwise } => {
            let mut text = "CASE".to_owned();
            for (when, then) in branches {
                text.push_str(&format!(" WHEN {} THEN {}", show(when), show(then)));
            }
            if let Some(otherwise) = otherwise {
                text.push_str(&format!(" ELSE {}", show(otherwise)));
            }
            text + " END"
        }
        K::InList { arg, list: l, negated } => {
            let op = if *negated { "<> ALL" } else { "= ANY" };
            format!("({} {op} ({}))", show(arg), list(l))
        }
        K::Between { arg, low, high, negated } => {
            format!("({} {}BETWEEN {} AND {})", show(arg), not(*negated), show(low), show(high))
        }
        K::Like { arg, pattern, insensitive, negated, .. } => {
            let op = match (insensitive, negated) {
                (false, false) => "~~",
                (false, true) => "!~~",
                (true, false) => "~~*",
                (true, true) => "!~~*",
            };
            format!("({} {op} {})", show(arg), show(pattern))
        }
        K::Coalesce(l) => format!("COALESCE({})", list(l)),
        K::NullIf(a, b) => format!("NULLIF({}, {})", show(a), show(b)),
        K::Greatest(l) => format!("GREATEST({})", list(l)),
        K::Least(l) => format!("LEAST({})", list(l)),
        K::Cast { arg, kind } => match kind {
            crate::expr::CastKind::Implicit if super::access::same_family(&arg.ty, &expr.ty) => show(arg),
            _ => format!("({})::{}", show(arg), crate::expr::types::display(&expr.ty)),
        },
        K::Array(l) => format!("ARRAY[{}]", list(l)),
        K::Index { array, index } => format!("({})[{}]", show(array), show(index)),
        K::Quantified { left, op, array, all } => {
            format!("({} {} {} ({}))", show(left), op.symbol(), if *all { "ALL" } else { "ANY" }, show(array))
        }
        K::Subquery { id, test } => match &**test {
            SubqueryTest::Exists => format!("EXISTS(SubPlan {})", id + 1),
            SubqueryTest::Scalar => format!("(SubPlan {})", id + 1),
            SubqueryTest::Array => format!("ARRAY(SubPlan {})", id + 1),
            SubqueryTest::Quantified { left, op, all } => format!(
                "({} {} {} (SubPlan {}))",
                list(left),
                op.symbol(),
                if *all { "ALL" } else { "ANY" },
                id + 1
            ),
        },
    }
}

fn constant(value: &Value, ty: &DataType) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    let text = crate::expr::text::output(value, ty, &crate::expr::SessionInfo::default());
    match ty {
        DataType::Int2 | DataType::Int4 | DataType::Int8 | DataType::Bool => text,
        other => format!(
            "'{}'::{}",
            text.replace('\'', "''"),
            crate::expr::types::display(&super::node_bare(other))
        ),
    }
}
