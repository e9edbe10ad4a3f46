//! Joins: their order and how each is done.
//!
//! Inner joins and commas are taken apart into items that may stand in any order; a LEFT JOIN's right side is an
//! item that may stand anywhere after what its ON condition names. Starting with the item that gives the fewest rows,
//! the cheapest next one is taken: by its key for every row so far (a loop), or read once and hashed. A plan is
//! left-deep, and every way of joining keeps the order of its left side; so an order that the first table's
//! key gives is the order of the result.

use std::collections::BTreeSet;

use gemini_shadow_ops::{ColumnId, MergeRule, Table};

use super::access::{Own, Path, TABLE_ROWS};
use super::node::Node;
use super::select::Planner;
use crate::bind::{From, JoinKind, Select, Source, SourceKind};
use crate::expr::{Expr, ExprKind};

type Sources = BTreeSet<usize>;

/// An order as columns: (source, column, descending, nulls first).
pub type Wanted = Vec<(usize, ColumnId, bool, bool)>;

/// Planning the joins of one block.
pub struct Joins<'a> {
    pub(super) planner: &'a Planner<'a>,
    pub(super) block: usize,
    pub(super) sources: Vec<Source>,
    from: Vec<From>,
    /// Which source fills a slot.
    owner: Vec<Option<usize>>,
    /// WHERE.
    filter: Vec<Expr>,
    pub(super) wanted: Option<(Wanted, bool)>,
    pub(super) sorted: bool,
}

/// Something to be joined.
pub(super) enum Item {
    Source(usize),
    /// The right side of a LEFT JOIN.
    Outer {
        right: From,
        on: Vec<Expr>,
        sources: Sources,
        requires: Sources,
    },
    /// A FULL JOIN: planned as it is written.
    Full {
        left: From,
        right: From,
        on: Vec<Expr>,
        sources: Sources,
    },
}

/// What has been joined so far.
pub(super) struct Joined {
    pub(super) node: Node,
    pub(super) rows: f64,
    pub(super) placed: Sources,
}

/// A way to join an item.
pub(super) struct Step {
    pub(super) item: usize,
    pub(super) cost: f64,
    pub(super) rows: f64,
    pub(super) how: How,
}

pub(super) enum How {
    /// A table by a path that may read what is placed.
    Path(Box<Path>),
    /// Anything else: read once, or run for every row if it reads what is placed.
    Other,
}

impl<'a> Joins<'a> {
    /// For a block.
    pub fn new(planner: &'a Planner<'a>, select: Select) -> Joins<'a> {
        let mut owner = vec![None; select.width];
        for (at, source) in select.sources.iter().enumerate() {
            for slot in source.columns.iter().filter_map(|c| c.slot).chain(source.key_slot) {
                owner[slot] = Some(at);
            }
        }
        Joins {
            planner,
            block: select.block,
            sources: select.sources,
            from: select.from,
            owner,
            filter: select.filter,
            wanted: None,
            sorted: false,
        }
    }

    /// Asks for an order; `limited`: only the first rows are needed.
    pub fn want(&mut self, wanted: Wanted, limited: bool) {
        self.wanted = Some((wanted, limited));
    }

    /// Adds a condition.
    pub fn require(&mut self, condition: Expr) {
        self.filter.push(condition);
    }

    /// The operators, and whether they give the wanted order.
    pub fn plan(mut self) -> (Node, bool) {
        let from = std::mem::take(&mut self.from);
        let mut pool = std::mem::take(&mut self.filter);
        if from.is_empty() {
            let node = match pool.is_empty() {
                true => Node::Empty,
                false => Node::Filter { input: Box::new(Node::Empty), predicate: pool },
            };
            return (node, false);
        }
        let mut items = Vec::new();
        for item in from {
            self.flatten(item, &pool_refs(&self, &pool), &mut items, &mut pool);
        }
        let joined = self.join_items(items, pool, true);
        (joined.node, self.sorted)
    }

    /// The sources that an expression reads, subqueries included.
    pub(super) fn refs(&self, expr: &Expr) -> Sources {
        let mut found = Sources::new();
        expr.visit(&mut |e| match &e.kind {
            ExprKind::Column(slot) => found.extend(self.owner.get(*slot).copied().flatten()),
            ExprKind::Subquery { id, .. } => {
                for (block, slot) in &self.planner.reads[*id] {
                    if *block == self.block {
                        found.extend(self.owner.get(*slot).copied().flatten());
                    }
                }
            }
            _ => {}
        });
        found
    }

    pub(super) fn flatten(&self, from: From, strict: &Sources, items: &mut Vec<Item>, pool: &mut Vec<Expr>) {
        match from {
            From::Source(at) => items.push(Item::Source(at)),
            From::Join { kind: JoinKind::Inner, left, right, on } => {
                self.flatten(*left, strict, items, pool);
                self.flatten(*right, strict, items, pool);
                pool.extend(on);
            }
            From::Join { kind: JoinKind::Left, left, right, on } => {
                let sources = sources_of(&right);
                if !sources.is_disjoint(strict) {
                    // WHERE drops the rows that the outer join would add: it is an inner join.
                    self.flatten(*left, strict, items, pool);
                    self.flatten(*right, strict, items, pool);
                    pool.extend(on);
                    return;
                }
                let outer = sources_of(&left);
                self.flatten(*left, strict, items, pool);
                let mut requires = Sources::new();
                for condition in &on {
                    requires.extend(self.refs(condition).difference(&sources));
                }
                if requires.is_empty() {
                    requires = outer;
                }
                items.push(Item::Outer { right: *right, on, sources, requires });
            }
            From::Join { kind: JoinKind::Full, left, right, on } => {
                let mut sources = sources_of(&left);
                sources.extend(sources_of(&right));
                items.push(Item::Full { left: *left, right: *right, on, sources });
            }
        }
    }

    /// What must be placed before a source can be read: what its arguments name.
    pub(super) fn requires(&self, at: usize) -> Sources {
        let mut found = Sources::new();
        match &self.sources[at].kind {
            SourceKind::Function { calls, .. } => {
                for arg in calls.iter().flat_map(|(_, args)| args) {
                    found.extend(self.refs(arg));
                }
            }
            SourceKind::Query { lateral: true, reads, .. } => {
                for (block, slot) in reads {
                    if *block == self.block {
                        found.extend(self.owner.get(*slot).copied().flatten());
                    }
                }
            }
            _ => {}
        }
        found.remove(&at);
        found
    }

    pub(super) fn join_items(&mut self, mut items: Vec<Item>, mut pool: Vec<Expr>, top: bool) -> Joined {
        let mut joined: Option<Joined> = None;
        while !items.is_empty() {
            let step = self.choose(&items, &pool, joined.as_ref());
            let item = items.remove(step.item);
            joined = Some(self.take(joined, item, step, &mut pool, top));
        }
        let mut joined = joined.unwrap_or(Joined { node: Node::Empty, rows: 1.0, placed: Sources::new() });
        if !pool.is_empty() {
            joined.node = Node::Filter { input: Box::new(joined.node), predicate: pool };
        }
        joined
    }

    fn choose(&self, items: &[Item], pool: &[Expr], joined: Option<&Joined>) -> Step {
        let none = Sources::new();
        let (placed, rows) = joined.map_or((&none, 1.0), |j| (&j.placed, j.rows));
        let mut best: Option<Step> = None;
        for (at, item) in items.iter().enumerate() {
            let step = match item {
                Item::Source(source) => {
                    if !self.requires(*source).is_subset(placed) {
                        continue;
                    }
                    let applicable: Vec<&Expr> = pool.iter().collect();
                    self.step(at, *source, &applicable, placed, rows, joined.is_some())
                }
                Item::Outer { right, on, requires, .. } => {
                    if !requires.is_subset(placed) || joined.is_none() {
                        continue;
                    }
                    match right {
                        From::Source(source) if self.requires(*source).is_subset(placed) => {
                            let applicable: Vec<&Expr> = on.iter().collect();
                            let mut step = self.step(at, *source, &applicable, placed, rows, true);
                            step.rows = step.rows.max(rows);
                            step
                        }
                        _ => Step { item: at, cost: rows + TABLE_ROWS, rows: rows * 2.0, how: How::Other },
                    }
                }
                Item::Full { .. } => {
                    Step { item: at, cost: rows + 2.0 * TABLE_ROWS, rows: TABLE_ROWS, how: How::Other }
                }
            };
            if best.as_ref().is_none_or(|b| step.cost + step.rows < b.cost + b.rows) {
                best = Some(step);
            }
        }
        // Every item becomes possible once what it requires is placed; a first one is always possible.
        best.unwrap_or(Step { item: 0, cost: 0.0, rows, how: How::Other })
    }

    /// The cheapest way to join one source.
    fn step(
        &self,
        item: usize,
        at: usize,
        conjuncts: &[&Expr],
        placed: &Sources,
        rows: f64,
        joins: bool,
    ) -> Step {
        let mut known = placed.clone();
        known.insert(at);
        let own: Vec<&Expr> = conjuncts.iter().copied().filter(|c| self.refs(c).is_subset(&known)).collect();
        let connected = own.iter().any(|c| self.refs(c).len() > 1 && self.refs(c).contains(&at));
        let alone = self.alone_rows(at, &own);
        let joined_rows = if !joins {
            alone
        } else if connected {
            rows.max(alone.min(TABLE_ROWS))
        } else {
            rows * alone
        };
        let once = Step { item, cost: alone + rows, rows: joined_rows, how: How::Other };
        let SourceKind::Table(_) = &self.sources[at].kind else { return once };
        let Some(path) = self.best_path(at, &own, placed) else { return once };
        let dependent = path.used.iter().any(|&i| self.refs(own[i]).len() > 1);
        if !joins || !dependent {
            let independent = Step { item, cost: path.cost() + rows, rows: joined_rows, how: How::Other };
            return if joins {
                independent
            } else {
                Step { rows: path.rows, how: How::Path(Box::new(path)), ..independent }
            };
        }
        let cost = rows * (2.0 + path.cost());
        if cost <= once.cost {
            let out = (rows * path.rows).min(joined_rows.max(rows));
            Step { item, cost, rows: out.max(1.0), how: How::Path(Box::new(path)) }
        } else {
            once
        }
    }

    /// Rows of a source by what is known without the others.
    fn alone_rows(&self, at: usize, conjuncts: &[&Expr]) -> f64 {
        match &self.sources[at].kind {
            SourceKind::Table(_) => {
                self.best_path(at, conjuncts, &Sources::new()).map_or(TABLE_ROWS, |p| p.rows)
            }
            SourceKind::Virtual(_) => 200.0,
            SourceKind::Query { query, .. } => match &query.body {
                crate::bind::Body::Values(rows) => rows.len() as f64,
                crate::bind::Body::Select(s) if s.grouping.as_ref().is_some_and(|g| g.keys.is_empty()) => 1.0,
                _ => 100.0,
            },
            SourceKind::Function { .. } | SourceKind::Working { .. } => 10.0,
            SourceKind::Given => 1.0,
        }
    }

    pub(super) fn slots(&self, at: usize) -> Vec<(ColumnId, usize)> {
        self.sources[at].columns.iter().filter_map(|c| Some((c.id, c.slot?))).collect()
    }

    /// The path that gives the fewest rows, reading nothing but `placed`. `used` counts in `conjuncts`.
    pub(super) fn best_path(&self, at: usize, conjuncts: &[&Expr], placed: &Sources) -> Option<Path> {
        self.paths(at, conjuncts, placed).into_iter().min_by(|a, b| a.cost().total_cmp(&b.cost()))
    }

    pub(super) fn paths(&self, at: usize, conjuncts: &[&Expr], placed: &Sources) -> Vec<Path> {
        let SourceKind::Table(table) = &self.sources[at].kind else { return Vec::new() };
        let slots = self.slots(at);
        let available =
            |e: &Expr| self.refs(e).is_subset(placed) && e.volatility() != crate::expr::Volatility::Volatile;
        Own { table, slots: &slots, is_available: &available }.paths(conjuncts)
    }
}

/// (slot in the stored row, slot in the flat row, type of a delta column).
pub fn stored_columns(
    table: &Table,
    slots: &[(ColumnId, usize)],
) -> Vec<(usize, usize, Option<gemini_shadow_ops::DataType>)> {
    slots
        .iter()
        .map(|(id, slot)| {
            let delta = table.column(*id).filter(|c| c.merge == MergeRule::Delta).map(|c| c.ty.clone());
            (usize::from(id.0), *slot, delta)
        })
        .collect()
}

/// The sources of which WHERE drops every row of NULLs: a plain comparison of one of their columns.
fn pool_refs(joins: &Joins<'_>, pool: &[Expr]) -> Sources {
    let mut found = Sources::new();
    for conjunct in pool {
        let sides: Vec<&Expr> = match &conjunct.kind {
            ExprKind::Compare { left, right, .. } => vec![left, right],
            ExprKind::InList { arg, negated: false, .. } | ExprKind::IsNull { arg, negated: true } => {
                vec![arg]
            }
            ExprKind::Like { arg, .. } | ExprKind::Between { arg, .. } => vec![arg],
            _ => continue,
        };
        for side in sides {
            if let ExprKind::Column(slot) = side.kind {
                found.extend(joins.owner.get(slot).copied().flatten());
            }
        }
    }
    found
}

fn sources_of(from: &From) -> Sources {
    match from {
        From::Source(at) => Sources::from([*at]),
        From::Join { left, right, .. } => {
            let mut all = sources_of(left);
            all.extend(sources_of(right));
            all
        }
    }
}
