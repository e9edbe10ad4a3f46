//! Building the operators of a chosen join order.

use std::collections::BTreeSet;

use gemini_shadow_ops::{ColumnId, DataType};

use super::access::{Path, TABLE_ROWS};
use super::join::{How, Item, Joined, Joins, Step, stored_columns};
use super::node::{Node, Plan, Scan, SetCall};

use crate::bind::{From, JoinKind, SourceKind};
use crate::expr::{CompareOp, Expr, ExprKind};

type Sources = BTreeSet<usize>;

impl Joins<'_> {
    pub(super) fn take(
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
                let mut path = self.best_path(at, &list, &none).unwrap_or(*path);
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
        let given: Vec<(Option<usize>, DataType)> =
            self.sources[at].columns.iter().map(|c| (c.slot, c.ty.clone())).collect();
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
            SourceKind::Function { calls, .. } => Node::Function {
                ordinality: given.get(calls.len()).and_then(|(slot, _)| *slot),
                calls: calls
                    .into_iter()
                    .zip(given)
                    .map(|((function, args), (value, ty))| SetCall { function, args, value, ty })
                    .collect(),
                alias,
                filter: conjuncts,
            },
            SourceKind::Working { id } => Node::Working { id, alias, columns, filter: conjuncts },
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
