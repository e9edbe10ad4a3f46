//! The laws of merging: every history of three transactions over a small domain, in every delivery order.
//!
//! | | |
//! |---|---|
//! | tables | every row rule; KEYS TRUSTED where it may be; columns strict, lww, delta, max, min, and an lww group under a CHECK; secondary indexes, and a UNIQUE one where it may be |
//! | values | 1.0 and 1.00, -0.0 and 0.0, NaN, NULL: equal or alike, and different in bytes |
//! | effects | inserts, writes of each kind of cell and of all at once, deletes, a delete and insert of the same key, and transactions over both rows |
//! | colours | every effect as blue and as red: convergence does not rest on the classifier |
//! | stamps | the later of concurrent writers the greater, and the earlier |
//!
//! Rows, fingerprints (they are part of the rows) and index entries must be the same along every order ([`History::push`] compares
//! them); the index must say what the rows say; and rows live as their rule promises, said without incarnations.

use std::collections::BTreeSet;

use gemini_shadow_ops::value::key::{index_key, primary_key};
use gemini_shadow_ops::*;

use crate::common::{column, schema, table};
use crate::history::{History, State, Txn};

const T: TableId = TableId(10);

/// id, lww, delta, max, min, a group of two; strict and UNIQUE where the rules allow them.
fn declare(rows: RowRule, trusted: bool) -> Schema {
    let numeric = DataType::Numeric(None);
    let mut build = table(T.0, "t")
        .rows(rows)
        .typed("l", numeric.clone(), MergeRule::Lww)
        .typed("d", numeric.clone(), MergeRule::Delta)
        .typed("hi", DataType::Float8, MergeRule::Max)
        .typed("lo", numeric.clone(), MergeRule::Min)
        .typed("g", numeric.clone(), MergeRule::Lww)
        .col("h", MergeRule::Lww)
        .check(&[5, 6])
        .index(&[1], false)
        .index(&[3, 4], false);
    if trusted {
        build = build.trusted();
    } else {
        build.table.columns.push(Column { merge: MergeRule::Strict, ..column(7, "s", numeric) });
        build.table.slots = 8;
    }
    if !trusted && rows != RowRule::AddWins {
        build = build.index(&[1, 7], true);
    }
    schema(&[&build])
}

fn decimal(text: &str) -> Value {
    Value::Numeric(value::Numeric::parse(text).expect("a number"))
}

/// The values that the n-th transaction of a history writes, by slot. The base has the fourth: what others displace.
fn values(table: &Table, key: i32, n: usize) -> Row {
    let lww = [decimal("1.0"), decimal("1.00"), Value::Null, decimal("NaN")][n].clone();
    let delta = decimal(["1.0", "-1.00", "0.5", "2"][n]);
    let max = Value::Float8([-0.0, 0.0, f64::NAN, -1.0][n]);
    let min = decimal(["1.00", "1.0", "NaN", "9"][n]);
    let mut row = vec![Value::Int4(key), lww.clone(), delta, max, min, lww.clone(), Value::Int4(n as i32)];
    if table.slots == 8 {
        row.push(decimal(["2.0", "2.00", "NaN", "2"][n]));
    }
    row.into()
}

/// What a transaction does; the last three are over both rows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Insert,
    Lww,
    Delta,
    Max,
    Min,
    Group,
    Strict,
    Everything,
    Delete,
    Replace,
    InsertOther,
    Move,
    WriteBoth,
}

const ACTIONS: [Action; 13] = {
    use Action::*;
    [Insert, Lww, Delta, Max, Min, Group, Strict, Everything, Delete, Replace, InsertOther, Move, WriteBoth]
};

/// What a generator that sees `state` makes of an action; None if there is nothing to do.
fn generate(table: &Table, state: &State, action: Action, n: usize) -> Option<Vec<Op>> {
    let row = |key: i32| values(table, key, n);
    let at = |key: i32| primary_key(table, &row(key));
    let live = |key: i32| {
        let of = state.rows.get(&(T, at(key))).map(|row| row.live(table)).unwrap_or_default();
        (!of.is_empty()).then_some(of)
    };
    let insert = |key: i32| Op::Insert { table: T, key: at(key), values: row(key) };
    let delete = |key: i32| Some(Op::Delete { table: T, key: at(key), of: live(key)? });
    let write = |key: i32, columns: &[u16]| {
        let cells: Vec<_> =
            columns.iter().filter(|c| **c < table.slots).map(|c| cell(&row(key), *c)).collect();
        (!cells.is_empty()).then_some(())?;
        Some(Op::Update { table: T, key: at(key), of: live(key)?, cells })
    };
    Some(match action {
        Action::Insert if live(1).is_none() => vec![insert(1)],
        Action::InsertOther if live(2).is_none() => vec![insert(2)],
        Action::Insert | Action::InsertOther => return None,
        Action::Lww => vec![write(1, &[1])?],
        Action::Delta => vec![write(1, &[2])?],
        Action::Max => vec![write(1, &[3])?],
        Action::Min => vec![write(1, &[4])?],
        Action::Group => vec![write(1, &[5, 6])?],
        Action::Strict => vec![write(1, &[7])?],
        Action::Everything => vec![write(1, &[1, 2, 3, 4, 5, 6, 7])?],
        Action::Delete => vec![delete(1)?],
        Action::Replace => vec![delete(1)?, insert(1)],
        Action::Move if live(2).is_none() => vec![delete(1)?, insert(2)],
        Action::Move => vec![delete(1)?, delete(2)?],
        Action::WriteBoth => vec![write(1, &[1, 2])?, write(2, &[1, 2])?],
    })
}

fn cell(row: &Row, column: u16) -> (ColumnId, Write) {
    let value = row[usize::from(column)].clone();
    let write = match column {
        2 => Write::Add(value),
        3 => Write::Max(value),
        4 => Write::Min(value),
        _ => Write::Set(value),
    };
    (ColumnId(column), write)
}

/// What was tried.
#[derive(Default)]
pub struct Counts {
    pub histories: u64,
    pub orders: u64,
}

/// Every history of `more` further transactions.
fn extend(history: &mut History<'_>, early: bool, more: usize, counts: &mut Counts) {
    if more == 0 {
        return;
    }
    let schema = history.schema;
    let table = schema.table(T).expect("declared");
    let n = history.txns.len();
    for set in history.snapshots() {
        let lead = if early { 10 - 3 * n as u64 } else { 0 };
        let (seen, stamp) = (history.frontier(set), history.stamp(set, lead));
        for action in ACTIONS {
            let Some(ops) = generate(table, history.state(set), action, n) else { continue };
            for color in [Color::Blue, Color::Red] {
                let id = history.next_id(color);
                for reached in history.push(Txn { id, stamp, seen: seen.clone(), ops: ops.clone() }) {
                    promises(history, table, reached);
                }
                counts.histories += 1;
                counts.orders += history.all_orders();
                extend(history, early, more - 1, counts);
                history.pop();
            }
        }
    }
}

/// A row stays while an insert of it, or under ADD WINS any write of it, was seen by no delete of it; and the index says
/// what the rows say.
fn promises(history: &History<'_>, table: &Table, set: usize) {
    let state = history.state(set);
    let applied = || history.txns.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0).map(|(_, txn)| txn);
    let mut entries = BTreeSet::new();
    for ((_, key), row) in &state.rows {
        let of_row = || {
            applied()
                .flat_map(|t| t.ops.iter().map(move |op| (t, op)))
                .filter(|(_, op)| op.key() == Some(key))
        };
        let deletes = || of_row().filter(|(_, op)| matches!(op, Op::Delete { .. })).map(|(t, _)| t);
        let unseen = |id: TxnId| deletes().all(|delete| !delete.seen.covers(id));
        let kept = |(txn, op): (&Txn, &Op)| match op {
            Op::Insert { .. } => unseen(txn.id),
            Op::Update { .. } => table.rows == RowRule::AddWins && unseen(txn.id),
            Op::Delete { .. } | Op::Rights { .. } | Op::Schema(_) => false,
        };
        let base = row.incarnations.iter().map(|i| i.id).find(|id| applied().all(|t| t.id != *id));
        let survives = base.is_some_and(unseen) || of_row().any(kept);
        assert_eq!(row.is_live(table), survives, "{:?} {:#?}", table.rows, history.txns);
        if let Some(view) = row.view(table) {
            let of_view =
                table.indexes.iter().skip(1).map(|i| (i.id, index_key(table, i, &view), key.clone()));
            entries.extend(of_view);
        }
    }
    assert_eq!(state.entries, entries, "{:#?}", history.txns);
}

/// All tables, to a depth.
pub fn sweep(depth: usize) -> Counts {
    use RowRule::*;
    let mut counts = Counts::default();
    let plain = [Strict, AppendOnly, AddWins, RemoveWins].map(|rows| (rows, false));
    for (rows, trusted) in plain.into_iter().chain([AppendOnly, AddWins, RemoveWins].map(|rows| (rows, true)))
    {
        let schema = declare(rows, trusted);
        let table = schema.table(T).expect("declared");
        let first = values(table, 1, 3);
        let base = vec![Op::Insert { table: T, key: primary_key(table, &first), values: first }];
        for early in [false, true] {
            extend(&mut History::new(&schema, base.clone()), early, depth, &mut counts);
        }
    }
    counts
}
