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
use super::node::{Node, Plan, Scan};
use super::select::Planner;
use crate::bind::{From, JoinKind, Select, Source, SourceKind};
use crate::expr::{CompareOp, Expr, ExprKind};

type Sources = BTreeSet<usize>;

/// Planning the joins of one block.
pub struct Joins<'a> {
    planner: &'a Planner<'a>,
    block: usize,
    sources: Vec<Source>,
    from: Vec<From>,
    /// Which source fills a slot.
    owner: Vec<Option<usize>>,
    /// WHERE.
    filter: Vec<Expr>,
    wanted: Option<(Vec<(usize, ColumnId, bool, bool)>, bool)>,
    sorted: bool,
}

/// Something to be joined.
enum Item {
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
struct Joined {
    node: Node,
    rows: f64,
    placed: Sources,
}

/// A way to join an item.
struct Step {
    item: usize,
    cost: f64,
    rows: f64,
    how: How,
}

enum How {
    /// A table by a path that may read what is placed.
    Path(Path),
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
    pub fn want(&mut self, wanted: Vec<(usize, ColumnId, bool, bool)>, limited: bool) {
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
    fn refs(&self, expr: &Expr) -> Sources {
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

    fn flatten(&self, from: From, strict: &Sources, items: &mut Vec<Item>, pool: &mut Vec<Expr>) {
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
    fn requires(&self, at: usize) -> Sources {
        let mut found = Sources::new();
        match &self.sources[at].kind {
            SourceKind::Function { args, .. } => {
                for arg in args {
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

    fn join_items(&mut self, mut items: Vec<Item>, mut pool: Vec<Expr>, top: bool) -> Joined {
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
                Step { rows: path.rows, how: How::Path(path), ..independent }
            };
        }
        let cost = rows * (2.0 + path.cost());
        if cost <= once.cost {
            let out = (rows * path.rows).min(joined_rows.max(rows));
            Step { item, cost, rows: out.max(1.0), how: How::Path(path) }
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
            SourceKind::Function { .. } => 10.0,
            SourceKind::Given => 1.0,
        }
    }

    fn slots(&self, at: usize) -> Vec<(ColumnId, usize)> {
        self.sources[at].columns.iter().filter_map(|c| Some((c.id, c.slot?))).collect()
    }

    /// The path that gives the fewest rows, reading nothing but `placed`. `used` counts in `conjuncts`.
    fn best_path(&self, at: usize, conjuncts: &[&Expr], placed: &Sources) -> Option<Path> {
        self.paths(at, conjuncts, placed).into_iter().min_by(|a, b| a.cost().total_cmp(&b.cost()))
    }

    fn paths(&self, at: usize, conjuncts: &[&Expr], placed: &Sources) -> Vec<Path> {
        let SourceKind::Table(table) = &self.sources[at].kind else { return Vec::new() };
        let slots = self.slots(at);
        let available =
            |e: &Expr| self.refs(e).is_subset(placed) && e.volatility() != crate::expr::Volatility::Volatile;
        Own { table, slots: &slots, is_available: &available }.paths(conjuncts)
    }

    fn take(
        &mut self,
        joined: Option<Joined>,
        item: Item,
        step: Step,
        pool: &mut Vec<Expr>,
        top: bool,
    ) -> Joined {
        match item {
            Item::Source(at) => match joined {
                None => self.first(at, step, pool, top),
                Some(joined) => self.inner(joined, at, step, pool),
            },
            Item::Outer { right, on, sources, .. } => match joined {
                Some(joined) => self.outer(joined, right, on, sources, step, pool),
                None => {
                    let mut rest = on;
                    rest.append(pool);
                    let mut items = Vec::new();
                    self.flatten(right, &Sources::new(), &mut items, &mut rest);
                    self.join_items(items, rest, false)
                }
            },
            Item::Full { left, right, on, sources } => {
                let full = self.full(left, right, on, sources);
                match joined {
                    None => self.filtered(full, pool),
                    Some(joined) => {
                        let slots = self.filled(&full.placed);
                        let keys = self.hash_keys(pool, &joined.placed, &full.placed);
                        let mut placed = joined.placed;
                        placed.extend(&full.placed);
                        let node = Node::Hash {
                            left: Box::new(joined.node),
                            right: Box::new(full.node),
                            kind: JoinKind::Inner,
                            keys,
                            on: Vec::new(),
                            right_slots: slots,
                        };
                        self.filtered(Joined { node, rows: joined.rows.max(full.rows), placed }, pool)
                    }
                }
            }
        }
    }

    /// Applies what can be applied.
    fn filtered(&self, mut joined: Joined, pool: &mut Vec<Expr>) -> Joined {
        let predicate = self.ready(pool, &joined.placed);
        if !predicate.is_empty() {
            joined.node = Node::Filter { input: Box::new(joined.node), predicate };
        }
        joined
    }

    /// Takes the conjuncts that read nothing but these sources out of the pool; those with subqueries last.
    fn ready(&self, pool: &mut Vec<Expr>, placed: &Sources) -> Vec<Expr> {
        let (mut ready, rest): (Vec<Expr>, Vec<Expr>) =
            std::mem::take(pool).into_iter().partition(|c| self.refs(c).is_subset(placed));
        *pool = rest;
        ready.sort_by_key(Expr::has_subquery);
        ready
    }

    /// The first item: its path may give the wanted order.
    fn first(&mut self, at: usize, step: Step, pool: &mut Vec<Expr>, top: bool) -> Joined {
        let placed = Sources::from([at]);
        let mut conjuncts = self.ready(pool, &placed);
        let rows = step.rows;
        let node = match step.how {
            How::Path(path) => {
                // The path counted in a list of references; count again in what was taken out of the pool.
                let list: Vec<&Expr> = conjuncts.iter().collect();
                let none = Sources::new();
                let mut path = self.best_path(at, &list, &none).unwrap_or(path);
                let mut reverse = false;
                if top && let Some((better, backwards)) = self.ordered_path(at, &list, &path) {
                    path = better;
                    reverse = backwards;
                    self.sorted = true;
                }
                self.scan(at, path, reverse, &mut conjuncts)
            }
            How::Other => self.read(at, conjuncts),
        };
        Joined { node, rows, placed }
    }

    /// A path that gives the wanted order and is worth it.
    fn ordered_path(&self, at: usize, conjuncts: &[&Expr], best: &Path) -> Option<(Path, bool)> {
        let (wanted, limited) = self.wanted.as_ref()?;
        if wanted.iter().any(|w| w.0 != at) {
            return None;
        }
        let SourceKind::Table(table) = &self.sources[at].kind else { return None };
        let keys: Vec<(ColumnId, bool, bool)> = wanted.iter().map(|w| (w.1, w.2, w.3)).collect();
        if let Some(reverse) = best.order(table, &keys) {
            return Some((best.clone(), reverse));
        }
        self.paths(at, conjuncts, &Sources::new())
            .into_iter()
            .filter(|p| {
                let unlimited = p.cost() <= best.cost() * 1.5 + 1.0;
                unlimited || (*limited && (best.is_full() || p.range.prefix.len() >= best.range.prefix.len()))
            })
            .filter_map(|p| p.order(table, &keys).map(|reverse| (p, reverse)))
            .min_by(|a, b| a.0.cost().total_cmp(&b.0.cost()))
    }

    fn inner(&mut self, joined: Joined, at: usize, step: Step, pool: &mut Vec<Expr>) -> Joined {
        let own = Sources::from([at]);
        let mut placed = joined.placed.clone();
        placed.insert(at);
        let node = match step.how {
            How::Path(_) => {
                let mut conjuncts = self.ready(pool, &placed);
                let list: Vec<&Expr> = conjuncts.iter().collect();
                let Some(path) = self.best_path(at, &list, &joined.placed) else {
                    return self.filtered(Joined { placed, ..joined }, pool);
                };
                let rows = path.rows;
                let right = self.scan(at, path, false, &mut conjuncts);
                Node::Loop {
                    left: Box::new(joined.node),
                    right: Box::new(right),
                    kind: JoinKind::Inner,
                    rows,
                }
            }
            How::Other if !self.requires(at).is_empty() => {
                let conjuncts = self.ready(pool, &placed);
                let right = self.read(at, conjuncts);
                Node::Loop {
                    left: Box::new(joined.node),
                    right: Box::new(right),
                    kind: JoinKind::Inner,
                    rows: 10.0,
                }
            }
            How::Other => {
                let conjuncts = self.ready(pool, &own);
                let right = self.read(at, conjuncts);
                let keys = self.hash_keys(pool, &joined.placed, &own);
                let on = self.ready(pool, &placed);
                Node::Hash {
                    left: Box::new(joined.node),
                    right: Box::new(right),
                    kind: JoinKind::Inner,
                    keys,
                    on,
                    right_slots: self.filled(&own),
                }
            }
        };
        Joined { node, rows: step.rows, placed }
    }

    fn outer(
        &mut self,
        joined: Joined,
        right: From,
        mut on: Vec<Expr>,
        own: Sources,
        step: Step,
        pool: &mut Vec<Expr>,
    ) -> Joined {
        let mut placed = joined.placed.clone();
        placed.extend(&own);
        let left = Box::new(joined.node);
        let node = match (&right, step.how) {
            (From::Source(at), How::Path(_)) => {
                let list: Vec<&Expr> = on.iter().collect();
                let path = self.best_path(*at, &list, &joined.placed);
                let rows = path.as_ref().map_or(TABLE_ROWS, |p| p.rows);
                let right = match path {
                    Some(path) => self.scan(*at, path, false, &mut on),
                    None => self.read(*at, on),
                };
                Node::Loop { left, right: Box::new(right), kind: JoinKind::Left, rows }
            }
            (From::Source(at), How::Other) if !self.requires(*at).is_empty() => {
                let right = self.read(*at, on);
                Node::Loop { left, right: Box::new(right), kind: JoinKind::Left, rows: 10.0 }
            }
            _ => {
                let inside = self.ready(&mut on, &own);
                let mut items = Vec::new();
                let mut rest = inside;
                self.flatten(right, &Sources::new(), &mut items, &mut rest);
                let right = self.join_items(items, rest, false);
                let keys = self.hash_keys(&mut on, &joined.placed, &own);
                Node::Hash {
                    left,
                    right: Box::new(right.node),
                    kind: JoinKind::Left,
                    keys,
                    on,
                    right_slots: self.filled(&own),
                }
            }
        };
        self.filtered(Joined { node, rows: step.rows.max(joined.rows), placed }, pool)
    }

    fn full(&mut self, left: From, right: From, mut on: Vec<Expr>, sources: Sources) -> Joined {
        let mut sides = Vec::new();
        for side in [left, right] {
            let mut items = Vec::new();
            let mut rest = Vec::new();
            self.flatten(side, &Sources::new(), &mut items, &mut rest);
            sides.push(self.join_items(items, rest, false));
        }
        let (Some(right), Some(left)) = (sides.pop(), sides.pop()) else {
            return Joined { node: Node::Empty, rows: 1.0, placed: sources };
        };
        let keys = self.hash_keys(&mut on, &left.placed, &right.placed);
        let node = Node::Hash {
            left: Box::new(left.node),
            right: Box::new(right.node),
            kind: JoinKind::Full,
            keys,
            on,
            right_slots: self.filled(&right.placed),
        };
        Joined { node, rows: left.rows + right.rows, placed: sources }
    }

    /// Takes `l = r` with one side of each out of the pool.
    fn hash_keys(&self, pool: &mut Vec<Expr>, left: &Sources, right: &Sources) -> Vec<(Expr, Expr)> {
        let mut keys = Vec::new();
        let mut rest = Vec::new();
        for conjunct in std::mem::take(pool) {
            if let ExprKind::Compare { op: CompareOp::Eq, left: a, right: b } = &conjunct.kind
                && super::access::same_family(&a.ty, &b.ty)
            {
                let (ra, rb) = (self.refs(a), self.refs(b));
                let side = |r: &Sources, of: &Sources| !r.is_empty() && r.is_subset(of);
                if side(&ra, left) && side(&rb, right) {
                    keys.push(((**a).clone(), (**b).clone()));
                    continue;
                }
                if side(&rb, left) && side(&ra, right) {
                    keys.push(((**b).clone(), (**a).clone()));
                    continue;
                }
            }
            rest.push(conjunct);
        }
        *pool = rest;
        keys
    }

    fn filled(&self, sources: &Sources) -> Vec<usize> {
        sources
            .iter()
            .flat_map(|&at| {
                let source = &self.sources[at];
                source.columns.iter().filter_map(|c| c.slot).chain(source.key_slot).collect::<Vec<_>>()
            })
            .collect()
    }

    /// A source read by what it is itself, with these conjuncts.
    fn read(&mut self, at: usize, mut conjuncts: Vec<Expr>) -> Node {
        let columns: Vec<(usize, usize)> =
            self.sources[at].columns.iter().enumerate().filter_map(|(i, c)| Some((i, c.slot?))).collect();
        let alias = self.sources[at].alias.clone();
        let slots = (
            self.sources[at].columns.first().and_then(|c| c.slot),
            self.sources[at].columns.get(1).and_then(|c| c.slot),
        );
        let ty = self.sources[at].columns.first().map(|c| c.ty.clone());
        match std::mem::replace(&mut self.sources[at].kind, SourceKind::Given) {
            SourceKind::Table(table) => {
                self.sources[at].kind = SourceKind::Table(table);
                let list: Vec<&Expr> = conjuncts.iter().collect();
                match self.best_path(at, &list, &Sources::new()) {
                    Some(path) => self.scan(at, path, false, &mut conjuncts),
                    None => Node::Empty,
                }
            }
            SourceKind::Virtual(table) => Node::Virtual { table, alias, columns, filter: conjuncts },
            SourceKind::Query { query, lateral, distinct, .. } => {
                let mut plan: Plan = self.planner.query(*query);
                if distinct {
                    plan.node = Node::Distinct { on: (0..plan.width).collect(), input: Box::new(plan.node) };
                }
                Node::Derived { plan: Box::new(plan), columns, lateral, alias, filter: conjuncts }
            }
            SourceKind::Function { function, args, .. } => Node::Function {
                function,
                args,
                value: slots.0,
                ordinality: slots.1,
                ty: ty.unwrap_or(gemini_shadow_ops::DataType::Text),
                alias,
                filter: conjuncts,
            },
            SourceKind::Given => Node::Empty,
        }
    }

    /// A table by a path; the conjuncts that the path does not answer filter its rows.
    fn scan(&mut self, at: usize, path: Path, reverse: bool, conjuncts: &mut Vec<Expr>) -> Node {
        let SourceKind::Table(table) = &self.sources[at].kind else { return Node::Empty };
        let table = table.clone();
        let mut conditions = Vec::new();
        let mut filter = Vec::new();
        for (i, conjunct) in std::mem::take(conjuncts).into_iter().enumerate() {
            if path.used.contains(&i) {
                conditions.push(conjunct);
            } else {
                filter.push(conjunct);
            }
        }
        let index = (path.index != 0).then(|| table.indexes[path.index].id);
        Node::Scan(Box::new(Scan {
            columns: stored_columns(&table, &self.slots(at)),
            key_slot: self.sources[at].key_slot,
            alias: self.sources[at].alias.clone(),
            index,
            range: path.range,
            reverse,
            filter,
            conditions,
            rows: path.rows,
            table,
        }))
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
