//! Rows are what their transactions say: the final tables, computed anew from the whole history.
//!
//! Sites that make the same mistake agree with each other, so equal tables prove little of the rules by which they were
//! merged. Here the rules are written a second time, as definitions over sets instead of as steps: every transaction that
//! was ever applied is kept, and in the end, with all of it known at once,
//!
//! ```text
//!   an incarnation lives    no delete named it; or, ADD WINS, an update named it that no delete which named it had seen
//!   a strict or lww cell    the write of the greatest stamp
//!   a delta cell            the insert's value and every addition to its incarnation
//!   a max, min cell         the greatest, the least written
//!   an element of a set     inserted, or added by an update that named the incarnation, and not removed by anybody who had
//!                           seen that
//!   a flag                  enable wins: the same of true; disable wins: of false
//! ```
//!
//! (DESIGN §4.) Three promises about single writes are judged on the way: a stamp is above that of every cell which its
//! transaction had applied before (§3), the first committer at a site wins (§3), and what was lost to a concurrent write can be
//! queried (§1.7).

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;

use gemini::site::Site;
use gemini_engine::{KeyRange, Snapshot};
use gemini_shadow_ops::value::arith;
use gemini_shadow_ops::{
    Column, ColumnId, Dot, Entry, Frontier, Key, MergeRule, Op, Row, RowRule, ShadowTransaction, SiteId,
    Stamp, Table, TableId, TxnId, Value, Verdict, Write,
};

use super::history::History;

/// How many conflicts the simulated sites keep.
const CONFLICTS: usize = 1_000;

/// Rows by their keys.
type Lives<'a> = BTreeMap<Key, Life<'a>>;

/// Compares a quiet site's tables, and its conflict log, with what the history comes to.
/// `filled`: the site was filled from another one; its own log of what was displaced begins there.
pub(super) fn check(site: &Site, history: &History, filled: bool) {
    let reader = site.engine().reader();
    let snapshot = reader.snapshot();
    let tables = lives(site, history);
    let nothing = Lives::new();
    for table in snapshot.schema().tables.values() {
        compare(site.id(), &snapshot, table, tables.get(&table.id).unwrap_or(&nothing));
    }
    for (key, life) in tables.values().flatten() {
        life.stamps(key);
        life.first_committer(key);
    }
    let conflicts = reader.conflicts();
    let logged: Vec<_> =
        conflicts.iter().map(|c| &c.displaced).map(|d| (&d.key, d.column, d.lost_stamp)).collect();
    // It is bounded: once something was dropped, nothing can be said of it.
    for table in snapshot.schema().tables.values().filter(|_| logged.len() < CONFLICTS && !filled) {
        for (key, life) in
            tables.get(&table.id).filter(|_| table.rows == RowRule::AppendOnly).into_iter().flatten()
        {
            life.displaced(site.id(), key, &logged);
        }
    }
}

/// Every row's life, by table. A dot that a crash has taken back is not covered by what the site has applied.
fn lives<'a>(site: &Site, history: &'a History) -> BTreeMap<TableId, Lives<'a>> {
    let blue = history.blue.iter().map(|(dot, transaction)| (TxnId::Blue(*dot), &**transaction));
    let red = (1..).zip(&history.red).filter_map(|(r, (entry, verdict))| match (&**entry, verdict) {
        (Entry::Transaction(red), Verdict::Accepted) => Some((TxnId::Red(r), &*red.transaction)),
        _ => None,
    });
    let mut tables = BTreeMap::new();
    for (id, transaction) in blue.chain(red).filter(|(id, _)| site.engine().applied().covers(*id)) {
        live(&mut tables, id, transaction);
    }
    tables
}

/// Adds a transaction's effects to the lives of its rows.
fn live<'a>(tables: &mut BTreeMap<TableId, Lives<'a>>, id: TxnId, transaction: &'a ShadowTransaction) {
    for op in &transaction.ops {
        let seen = &transaction.statements[usize::from(op.statement)];
        let by = By { id, stamp: transaction.stamp, seen, deps: &transaction.deps };
        let mut of_row = |table: &TableId, key: &Key, add: &dyn Fn(&mut Life<'a>)| {
            add(tables.entry(*table).or_default().entry(key.clone()).or_default());
        };
        match &op.op {
            Op::Insert { table, key, values } => of_row(table, key, &|life| life.inserts.push((by, values))),
            Op::Update { table, key, of, cells } => {
                of_row(table, key, &|life| life.updates.push((by, of, cells)));
            }
            Op::Delete { table, key, of } => of_row(table, key, &|life| life.deletes.push((by, of))),
            Op::Rights { .. } | Op::Schema(_) => {}
        }
    }
}

fn compare(site: SiteId, snapshot: &Snapshot, table: &Table, lives: &Lives<'_>) {
    let held = snapshot.scan(table.id, &KeyRange::all(), false, usize::MAX);
    let held: BTreeMap<Key, Row> = held.expect("the simulated store can be read").into_iter().collect();
    for (key, life) in lives {
        let expected = life.view(table);
        let found = held.get(key).map(|row| {
            table.columns.iter().map(|c| (c.id, row[usize::from(c.id.0)].clone())).collect::<BTreeMap<_, _>>()
        });
        assert!(
            format!("{found:?}") == format!("{expected:?}"),
            "rows: {key:?} of {} at site {site} is {found:?}, by what was done to it {expected:?}",
            table.name
        );
    }
    for key in held.keys() {
        assert!(lives.contains_key(key), "rows: nobody inserted {key:?} of {}", table.name);
    }
}

/// Whose effect it is.
#[derive(Clone, Copy, Debug)]
struct By<'a> {
    id: TxnId,
    stamp: Stamp,
    seen: &'a Frontier,
    deps: &'a Frontier,
}

/// Whose, of which incarnations, what.
type Update<'a> = (By<'a>, &'a Vec<TxnId>, &'a Vec<(ColumnId, Write)>);

/// All that was ever done under one key.
#[derive(Debug, Default)]
struct Life<'a> {
    inserts: Vec<(By<'a>, &'a Row)>,
    updates: Vec<Update<'a>>,
    deletes: Vec<(By<'a>, &'a Vec<TxnId>)>,
}

impl<'a> Life<'a> {
    fn lives(&self, table: &Table, incarnation: TxnId) -> bool {
        let mut ended = Frontier::default();
        let mut deletes = self.deletes.iter().filter(|(_, of)| of.contains(&incarnation)).peekable();
        if deletes.peek().is_none() {
            return true;
        }
        deletes.for_each(|(by, _)| ended.join(by.seen));
        let keeps =
            |(by, of, _): &(By<'_>, &Vec<TxnId>, _)| of.contains(&incarnation) && !ended.covers(by.id);
        table.rows == RowRule::AddWins && self.updates.iter().any(keeps)
    }

    /// The row; None if nothing of it lives.
    fn view(&self, table: &Table) -> Option<BTreeMap<ColumnId, Value>> {
        let live: Vec<_> = self.inserts.iter().filter(|(by, _)| self.lives(table, by.id)).collect();
        if live.is_empty() {
            return None;
        }
        let cell = |column: &Column| {
            let one = |(by, row): &&(By<'_>, &Row)| match column.merge {
                MergeRule::AddWinsSet | MergeRule::EnableWins | MergeRule::DisableWins => {
                    (by.stamp, self.elements(column, by, row))
                }
                _ => self.cell(column, by, row),
            };
            live.iter().map(one).collect::<Vec<_>>()
        };
        Some(table.columns.iter().map(|column| (column.id, merge(column, cell(column)))).collect())
    }

    /// One incarnation's cell: its last writer's stamp, and its value.
    fn cell(&self, column: &Column, born: &By<'_>, row: &Row) -> (Stamp, Value) {
        let first = row.get(usize::from(column.id.0)).unwrap_or(&column.missing).clone();
        let mut writes = vec![(born.stamp, first)];
        for (by, of, cells) in self.updates.iter().filter(|(_, of, _)| of.contains(&born.id)) {
            for (_, write) in cells.iter().filter(|(c, _)| *c == column.id) {
                match write {
                    Write::Add(_) | Write::Bounded(_) if of.first() != Some(&born.id) => {}
                    Write::Set(value)
                    | Write::Add(value)
                    | Write::Bounded(value)
                    | Write::Max(value)
                    | Write::Min(value) => {
                        writes.push((by.stamp, value.clone()));
                    }
                    Write::Elements { .. } | Write::EnableWins(_) | Write::DisableWins(_) => {}
                }
            }
        }
        let stamp = writes.iter().map(|(stamp, _)| *stamp).max().unwrap_or(born.stamp);
        (stamp, merge(column, writes))
    }

    /// One incarnation's set or flag: what somebody put there, and nobody took away who had seen that.
    fn elements(&self, column: &Column, born: &By<'_>, row: &Row) -> Value {
        let first = row.get(usize::from(column.id.0)).unwrap_or(&column.missing).clone();
        let winning = Value::Bool(column.merge == MergeRule::EnableWins);
        let mut put: Vec<(TxnId, Value)> = match &first {
            Value::Array(list) => list.iter().map(|element| (born.id, element.clone())).collect(),
            value if *value == winning => vec![(born.id, winning.clone())],
            _ => Vec::new(),
        };
        let mut taken: Vec<(&Frontier, Value)> = Vec::new();
        for (by, of, cells) in &self.updates {
            for (_, write) in cells.iter().filter(|(c, _)| *c == column.id) {
                let (remove, add) = match write {
                    Write::Elements { remove, add } => (remove.clone(), add.clone()),
                    Write::EnableWins(value) | Write::DisableWins(value)
                        if Value::Bool(*value) == winning =>
                    {
                        (vec![], vec![winning.clone()])
                    }
                    Write::EnableWins(_) | Write::DisableWins(_) => (vec![winning.clone()], vec![]),
                    _ => continue,
                };
                taken.extend(remove.into_iter().map(|element| (by.seen, element)));
                if of.contains(&born.id) {
                    put.extend(add.into_iter().map(|element| (by.id, element)));
                }
            }
        }
        put.retain(|(id, element)| !taken.iter().any(|(seen, e)| e == element && seen.covers(*id)));
        match &first {
            Value::Array(_) => {
                put.sort_by(|a, b| a.1.canonical(&b.1));
                put.dedup_by(|a, b| a.1 == b.1);
                Value::Array(Arc::new(put.into_iter().map(|(_, element)| element).collect()))
            }
            _ if put.is_empty() => Value::Bool(winning == Value::Bool(false)),
            _ => winning,
        }
    }

    /// Within a site the first committer wins: whoever addressed a row had seen every insert under its key that its own site
    /// committed before (DESIGN §3, Isolation). Not so a delete: an update that it had not seen may have kept the row.
    fn first_committer(&self, key: &Key) {
        let blue = |by: &By<'a>| match by.id {
            TxnId::Blue(dot) => Some((*by, dot)),
            TxnId::Red(_) => None,
        };
        let inserts: Vec<(By<'a>, Dot)> = self.inserts.iter().filter_map(|(by, _)| blue(by)).collect();
        let deletes = self.deletes.iter().filter_map(|(by, _)| blue(by));
        let updates = self.updates.iter().filter_map(|(by, ..)| blue(by));
        for (by, dot) in inserts.iter().copied().chain(deletes).chain(updates) {
            let before = |(_, other): &&(By<'a>, Dot)| {
                other.site == dot.site && other.n < dot.n && !by.seen.covers(TxnId::Blue(*other))
            };
            if let Some((_, other)) = inserts.iter().find(before) {
                panic!("isolation: {dot} addressed row {key:?} without having seen its own site's {other}");
            }
        }
    }

    /// Every assignment of each cell of each incarnation.
    fn assignments(&self) -> BTreeMap<(TxnId, ColumnId), Vec<(By<'a>, &'a Value)>> {
        let mut all: BTreeMap<(TxnId, ColumnId), Vec<(By<'a>, &'a Value)>> = BTreeMap::new();
        for (by, of, cells) in &self.updates {
            for (column, write) in cells.iter() {
                if let Write::Set(value) = write {
                    of.iter().for_each(|id| all.entry((*id, *column)).or_default().push((*by, value)));
                }
            }
        }
        all
    }

    /// No assignment has the lower stamp of two if its site had applied the other before.
    fn stamps(&self, key: &Key) {
        for mut writes in self.assignments().into_values() {
            writes.sort_by_key(|(by, _)| Reverse(by.stamp));
            // Of those with a greater stamp the least one of each site, and of the red order.
            let mut above: BTreeMap<Option<SiteId>, (u64, TxnId)> = BTreeMap::new();
            for (by, _) in writes {
                let older = above.values().find(|(_, id)| by.deps.covers(*id));
                let older = older.map(|(_, id)| *id);
                assert!(
                    older.is_none(),
                    "stamps: {} overwrote a cell of row {key:?} with a lower stamp than that of {older:?}, which it had applied",
                    by.id
                );
                let (site, n) = match by.id {
                    TxnId::Blue(dot) => (Some(dot.site), dot.n),
                    TxnId::Red(r) => (None, r),
                };
                let least = above.entry(site).or_insert((n, by.id));
                *least = (n, by.id).min(*least);
            }
        }
    }

    /// An assignment that nobody had seen who wrote the cell, and that is not what the cell came to, was displaced.
    fn displaced(&self, site: SiteId, key: &Key, logged: &[(&Key, Option<ColumnId>, Stamp)]) {
        for ((_, column), writes) in self.assignments() {
            let Some((last, _)) = writes.iter().max_by_key(|(by, _)| by.stamp) else { continue };
            for (by, value) in &writes {
                let silent = by.id != last.id
                    && writes.iter().all(|(other, _)| !other.seen.covers(by.id))
                    && writes.iter().filter(|(_, other)| other == value).count() == 1;
                assert!(
                    !silent || logged.contains(&(key, Some(column), by.stamp)),
                    "displaced: the value {value:?} of {} in row {key:?} was lost at site {site} in silence",
                    by.id
                );
            }
        }
    }
}

/// What is in either of two sets.
fn both(a: Value, b: Value) -> Value {
    let (Value::Array(a), Value::Array(b)) = (a, b) else { panic!("sets are arrays") };
    let mut all: Vec<Value> = a.iter().chain(b.iter()).cloned().collect();
    all.sort_by(Value::canonical);
    all.dedup();
    Value::Array(Arc::new(all))
}

/// What several values of a column, each with a stamp, come to.
fn merge(column: &Column, mut values: Vec<(Stamp, Value)>) -> Value {
    values.sort_by_key(|(stamp, _)| *stamp);
    let values = values.into_iter().map(|(_, value)| value);
    let by = |a: Value, b: Value, better: Ordering| match (&a, &b) {
        (_, Value::Null) => a,
        (Value::Null, _) => b,
        _ => {
            if b.canonical(&a) == better {
                b
            } else {
                a
            }
        }
    };
    let merged = match column.merge {
        MergeRule::Strict | MergeRule::Lww => values.last(),
        MergeRule::Delta => values.reduce(|a, b| arith::add(&column.ty, &a, &b)),
        MergeRule::Max => values.reduce(|a, b| by(a, b, Ordering::Greater)),
        MergeRule::Min => values.reduce(|a, b| by(a, b, Ordering::Less)),
        MergeRule::EnableWins => values.reduce(|a, b| by(a, b, Ordering::Greater)),
        MergeRule::DisableWins => values.reduce(|a, b| by(a, b, Ordering::Less)),
        MergeRule::AddWinsSet => values.reduce(both),
    };
    merged.unwrap_or(Value::Null)
}
