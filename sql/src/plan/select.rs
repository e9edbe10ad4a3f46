//! From a bound query to operators.

use gemini_shadow_ops::{DataType, Value};

use super::join::{Joins, Wanted};
use super::node::{Node, Plan};
use crate::bind::{Body, Query, Select, SortKey, SourceKind, SubQuery};
use crate::expr::{Expr, ExprKind};

/// Plans the queries of one statement.
pub struct Planner<'a> {
    /// Its expressions' subqueries, to know what they read.
    pub reads: &'a [Vec<(usize, usize)>],
}

/// What each subquery reads of enclosing blocks.
pub fn reads_of(subqueries: &[SubQuery]) -> Vec<Vec<(usize, usize)>> {
    subqueries.iter().map(|s| s.reads.clone()).collect()
}

impl Planner<'_> {
    /// A whole query.
    pub fn query(&self, query: Query) -> Plan {
        let Query { body, order, limit, offset, columns, locks } = query;
        let visible = columns.len();
        let mut sorted = false;
        let (mut node, mut width, names);
        let mut on = None;
        match body {
            Body::Select(select) => {
                names = slot_names(&select);
                width = select.outputs.len();
                on = select.distinct.clone();
                (node, sorted) = self.select(*select, &order, limit.is_some());
            }
            Body::Values(rows) => {
                names = Vec::new();
                width = rows.first().map_or(0, Vec::len);
                node = Node::Values { rows };
            }
            Body::Set { op, all, left, right, left_casts, right_casts } => {
                names = columns.iter().map(|c| c.name.clone()).collect();
                width = visible;
                let left = Box::new(self.query(*left));
                let right = Box::new(self.query(*right));
                node = Node::Set { op, all, left, right, left_casts, right_casts };
            }
            Body::Recursive { id, name, all, base, step, step_casts } => {
                names = columns.iter().map(|c| c.name.clone()).collect();
                width = visible;
                let base = Box::new(self.query(*base));
                let step = Box::new(self.query(*step));
                node = Node::Recursive { id, name, all, base, step, step_casts };
            }
        }
        let whole = on.as_ref().is_some_and(|on| on.len() == visible && on.iter().copied().eq(0..visible));
        if whole && let Some(on) = on.take() {
            node = Node::Distinct { input: Box::new(node), on };
        }
        if !order.is_empty() && !sorted {
            let top = match (&limit, &on) {
                (Some(limit), None) => Some((limit.clone(), offset.clone())),
                _ => None,
            };
            node = Node::Sort { input: Box::new(node), keys: order, top };
        }
        if let Some(on) = on {
            node = Node::Distinct { input: Box::new(node), on };
        }
        if limit.is_some() || offset.is_some() {
            node = Node::Limit { input: Box::new(node), limit, offset };
        }
        if !locks.is_empty() {
            node = Node::Lock { input: Box::new(node), locks };
        }
        if width > visible {
            node = Node::Trim { input: Box::new(node), input_width: width, width: visible };
            width = visible;
        }
        Plan { node, width, names }
    }

    /// A SELECT up to its outputs, and whether they come in the wanted order.
    fn select(&self, select: Select, order: &[SortKey], limited: bool) -> (Node, bool) {
        let wanted = match (&select.grouping, &select.distinct) {
            (None, None) if select.windows.is_empty() => wanted_order(&select, order),
            _ => None,
        };
        let extreme = self.extreme(&select);
        let width = select.width;
        let outputs = select.outputs.clone();
        let having = select.having.clone();
        let windows = select.windows.clone();
        let mut grouping = None;
        let (mut node, sorted) = {
            let mut select = select;
            grouping = select.grouping.take().or(grouping);
            match extreme {
                Some(wanted) => {
                    let mut joins = Joins::new(self, select);
                    joins.want(wanted.0, true);
                    joins.require(wanted.1);
                    let (node, sorted) = joins.plan();
                    if sorted {
                        let one = Expr::constant(Value::Int8(1), DataType::Int8);
                        (Node::Limit { input: Box::new(node), limit: Some(one), offset: None }, false)
                    } else {
                        (node, false)
                    }
                }
                None => {
                    let mut joins = Joins::new(self, select);
                    if let Some(wanted) = wanted {
                        joins.want(wanted, limited);
                    }
                    joins.plan()
                }
            }
        };
        if let Some(grouping) = grouping {
            node = Node::Aggregate {
                input: Box::new(node),
                keys: grouping.keys,
                aggregates: grouping.aggregates,
            };
            if !having.is_empty() {
                node = Node::Filter { input: Box::new(node), predicate: having };
            }
        }
        if !windows.is_empty() {
            node = Node::Window { input: Box::new(node), windows };
        }
        (Node::Project { input: Box::new(node), exprs: outputs, input_width: width }, sorted)
    }

    /// min(c) or max(c) alone over one table: the order that makes it the first row, and `c IS NOT NULL`.
    fn extreme(&self, select: &Select) -> Option<(Wanted, Expr)> {
        let grouping = select.grouping.as_ref()?;
        let ([], [call]) = (grouping.keys.as_slice(), grouping.aggregates.as_slice()) else { return None };
        let [source] = select.sources.as_slice() else { return None };
        let SourceKind::Table(table) = &source.kind else { return None };
        let descending = match call.aggregate.name {
            "max" => true,
            "min" => false,
            _ => return None,
        };
        if call.filter.is_some() {
            return None;
        }
        let [arg] = call.args.as_slice() else { return None };
        let ExprKind::Column(slot) = arg.kind else { return None };
        let column = source.columns.iter().find(|c| c.slot == Some(slot))?;
        // Only an order that some key has helps.
        let useful = table.indexes.iter().any(|i| i.columns.iter().any(|c| c.column == column.id));
        if !useful {
            return None;
        }
        let not_null =
            Expr::new(ExprKind::IsNull { arg: Box::new(arg.clone()), negated: true }, DataType::Bool);
        Some((vec![(0, column.id, descending, descending)], not_null))
    }
}

/// ORDER BY as columns of one table: (source, column, descending, nulls first).
fn wanted_order(select: &Select, order: &[SortKey]) -> Option<Wanted> {
    if order.is_empty() {
        return None;
    }
    let mut wanted = Vec::with_capacity(order.len());
    for key in order {
        let ExprKind::Column(slot) = select.outputs.get(key.column)?.kind else { return None };
        let (at, column) = select.sources.iter().enumerate().find_map(|(at, source)| {
            let SourceKind::Table(_) = source.kind else { return None };
            Some((at, source.columns.iter().find(|c| c.slot == Some(slot))?.id))
        })?;
        wanted.push((at, column, key.descending, key.nulls_first));
    }
    let first = wanted[0].0;
    wanted.iter().all(|w| w.0 == first).then_some(wanted)
}

/// What the slots of a block are called.
pub fn slot_names(select: &Select) -> Vec<String> {
    let mut names = vec!["?".to_owned(); select.width];
    let qualified = select.sources.len() > 1;
    for source in &select.sources {
        for column in &source.columns {
            if let Some(slot) = column.slot {
                names[slot] =
                    if qualified { format!("{}.{}", source.alias, column.name) } else { column.name.clone() };
            }
        }
    }
    if let Some(grouping) = &select.grouping {
        for call in &grouping.aggregates {
            let args: Vec<String> = call.args.iter().map(|a| super::explain::expression(a, &names)).collect();
            let args = if args.is_empty() { "*".to_owned() } else { args.join(", ") };
            let distinct = if call.distinct { "DISTINCT " } else { "" };
            names[call.slot] = format!("{}({distinct}{args})", call.aggregate.name);
        }
    }
    for call in select.windows.iter().flat_map(|w| &w.calls) {
        let args: Vec<String> = call.args.iter().map(|a| super::explain::expression(a, &names)).collect();
        names[call.slot] = format!("{}({}) OVER (?)", call.name, args.join(", "));
    }
    names
}
