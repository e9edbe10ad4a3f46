//! Small histories, and every state that a site can reach in them.
//!
//! A history is a base that everybody has, and a few transactions, each generated on a snapshot: a *causally closed* part of the
//! earlier ones (with a transaction, all that it had seen; with a red one, all earlier red ones). A site has applied, at any
//! moment, a closed part of the history, in some order that respects causality. So the reachable states are the closed
//! sets, and the orders are the paths through them:
//!
//! ```text
//!                 ┌──► {a} ──┐
//!        base ────┤          ├──► {a,b} ──► {a,b,c}        c had seen a and b
//!                 └──► {b} ──┘
//! ```
//!
//! [`History::push`] adds a transaction and reaches every set that contains it along *each* of its last steps; all must give one
//! state, byte for byte. By induction then every order does: 12 steps stand for the 6 orders of three concurrent
//! transactions, and nothing is left out.
//!
//! A state is the rows and the index entries. The entries are kept as a site keeps them, step by step from what a row
//! looked like before and after, so that their equality is a finding and not a consequence of equal rows.
//!
//! WLOG: transactions are generated in the order of their red indices. A red order and what each had seen never contradict each
//! other (a red transaction has seen nothing that rests on a later one), so every history can be listed like that.

use std::collections::{BTreeMap, BTreeSet};

use gemini_shadow_ops::value::key::index_key;
use gemini_shadow_ops::*;

/// The most transactions of a history: sets of them are bits.
pub const MOST: usize = 5;

/// One transaction of one statement.
#[derive(Clone, Debug)]
pub struct Txn {
    pub id: TxnId,
    pub stamp: Stamp,
    pub seen: Frontier,
    pub ops: Vec<Op>,
}

/// What a site holds: rows, and the entries of the indexes besides the primary keys'.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub rows: BTreeMap<(TableId, Key), RowState>,
    pub entries: BTreeSet<(IndexId, Key, Key)>,
}

impl State {
    /// Applies a transaction, all at once.
    pub fn apply(&mut self, schema: &Schema, txn: &Txn) {
        for op in &txn.ops {
            let (Some(table), Some(key)) = (op.table().and_then(|id| schema.table(id)), op.key()) else {
                panic!("an effect on a table that is not there: {op:?}");
            };
            let context = Context { id: txn.id, stamp: txn.stamp, seen: &txn.seen, schema_version: 1 };
            let row = self.rows.entry((table.id, key.clone())).or_default();
            let before = row.view(table);
            row.apply(table, op, context, &mut Vec::new());
            let after = row.view(table);
            for index in table.indexes.iter().skip(1) {
                let entry = |row: &Row| (index.id, index_key(table, index, row), key.clone());
                if let Some(before) = &before {
                    self.entries.remove(&entry(before));
                }
                if let Some(after) = &after {
                    self.entries.insert(entry(after));
                }
            }
        }
    }

    /// The row that a reader sees.
    pub fn view(&self, table: &Table, key: &Key) -> Option<Row> {
        self.rows.get(&(table.id, key.clone()))?.view(table)
    }

    /// The rows that a reader sees in a table.
    pub fn views<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (&'a Key, Row)> + 'a {
        let of_table = self.rows.iter().filter(|((id, _), _)| *id == table.id);
        of_table.filter_map(|((_, key), row)| Some((key, row.view(table)?)))
    }

    /// The latest time on any cell.
    fn latest(&self) -> u64 {
        let incarnations = self.rows.values().flat_map(|row| &row.incarnations);
        let stamps = incarnations.flat_map(|i| i.stamps.iter().map(|s| s.stamp).chain([i.born]));
        stamps.map(|stamp| stamp.hlc.micros).max().unwrap_or(0)
    }
}

/// A history under construction: `push` and `pop` walk a tree of them.
pub struct History<'s> {
    pub schema: &'s Schema,
    base: Frontier,
    pub txns: Vec<Txn>,
    /// Per transaction, as bits: what must have been applied before it.
    before: Vec<usize>,
    /// By set of transactions; None: not closed.
    states: Vec<Option<State>>,
    /// By set of transactions: the number of orders that lead there.
    orders: Vec<u64>,
}

impl<'s> History<'s> {
    /// A history of the base alone, which is one blue transaction of site 99.
    pub fn new(schema: &'s Schema, inserts: Vec<Op>) -> History<'s> {
        let id = TxnId::Blue(Dot { site: SiteId(99), n: 1 });
        let stamp = Stamp { hlc: Hlc { micros: 1, count: 0 }, site: SiteId(99) };
        let mut state = State::default();
        state.apply(schema, &Txn { id, stamp, seen: Frontier::default(), ops: inserts });
        let mut base = Frontier::default();
        base.add(id);
        History { schema, base, txns: vec![], before: vec![], states: vec![Some(state)], orders: vec![1] }
    }

    /// The snapshots that the next transaction may be generated on, as sets.
    pub fn snapshots(&self) -> Vec<usize> {
        (0..self.states.len()).filter(|set| self.states[*set].is_some()).collect()
    }

    /// What a site that has applied this closed set holds.
    pub fn state(&self, set: usize) -> &State {
        self.states[set].as_ref().expect("a closed set")
    }

    /// The frontier of a closed set.
    pub fn frontier(&self, set: usize) -> Frontier {
        let mut frontier = self.base.clone();
        for (_, txn) in self.txns.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0) {
            frontier.add(txn.id);
        }
        frontier
    }

    /// How many orders lead to the whole history.
    pub fn all_orders(&self) -> u64 {
        self.orders[self.states.len() - 1]
    }

    /// The name of the next transaction, which is of a site of its own.
    pub fn next_id(&self, color: Color) -> TxnId {
        match color {
            Color::Blue => TxnId::Blue(Dot { site: SiteId(self.txns.len() as u16 + 1), n: 1 }),
            Color::Red => TxnId::Red(self.last_red() + 1),
        }
    }

    /// The last red index.
    pub fn last_red(&self) -> u64 {
        self.txns.iter().filter(|t| matches!(t.id, TxnId::Red(_))).count() as u64
    }

    /// A stamp above every cell that the snapshot shows; `lead` puts it further ahead.
    pub fn stamp(&self, set: usize, lead: u64) -> Stamp {
        let micros = self.state(set).latest() + 1 + lead;
        Stamp { hlc: Hlc { micros, count: 0 }, site: SiteId(self.txns.len() as u16 + 1) }
    }

    /// Adds a transaction and reaches every closed set that contains it, which are returned.
    ///
    /// # Panics
    /// If two orders give different states.
    pub fn push(&mut self, txn: Txn) -> Vec<usize> {
        let at = self.txns.len();
        assert!(at < MOST, "a small history");
        let red = |id| matches!(id, TxnId::Red(_));
        let needed =
            |(_, earlier): &(usize, &Txn)| txn.seen.covers(earlier.id) || (red(txn.id) && red(earlier.id));
        let before = self.txns.iter().enumerate().filter(needed).fold(0, |set, (i, _)| set | 1 << i);
        self.before.push(before);
        self.txns.push(txn);
        self.states.resize(2 << at, None);
        self.orders.resize(2 << at, 0);
        let from = (0..1 << at).filter(|set| set & before == before && self.states[*set].is_some());
        let reached: Vec<usize> = from.map(|set| set | 1 << at).collect();
        for set in &reached {
            self.reach(*set);
        }
        reached
    }

    /// Takes the last transaction away again.
    pub fn pop(&mut self) {
        self.txns.pop();
        self.before.pop();
        self.states.truncate(1 << self.txns.len());
        self.orders.truncate(1 << self.txns.len());
    }

    /// Computes a set's state along each of its last steps.
    fn reach(&mut self, set: usize) {
        let members: Vec<usize> = (0..self.txns.len()).filter(|i| set & (1 << i) != 0).collect();
        let mut reached: Option<State> = None;
        for last in members.iter().rev() {
            let rest = set & !(1 << last);
            if members.iter().any(|m| self.before[*m] & (1 << last) != 0) {
                continue;
            }
            let mut state = self.state(rest).clone();
            state.apply(self.schema, &self.txns[*last]);
            self.orders[set] += self.orders[rest];
            match &reached {
                None => reached = Some(state),
                Some(other) => assert_eq!(&state, other, "last applied {last} of {:#?}", self.txns),
            }
        }
        self.states[set] = reached;
    }
}
