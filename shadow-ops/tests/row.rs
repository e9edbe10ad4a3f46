//! What rows report and keep: displaced values, ADD WINS by the statement's own frontier and version, sums beyond their type.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::*;
use gemini_shadow_ops::*;

fn blue(site: u16, n: u64) -> TxnId {
    TxnId::Blue(Dot { site: SiteId(site), n })
}

fn seen(ids: &[TxnId]) -> Frontier {
    let mut frontier = Frontier::default();
    ids.iter().for_each(|id| frontier.add(*id));
    frontier
}

/// A row under test: id, lww, delta, max, set, enable wins, disable wins.
struct Row1 {
    table: Table,
    state: RowState,
    displaced: Vec<Displaced>,
}

impl Row1 {
    fn new(rows: RowRule) -> Row1 {
        let build = table(10, "t")
            .rows(rows)
            .minted()
            .col("l", MergeRule::Lww)
            .col("d", MergeRule::Delta)
            .col("m", MergeRule::Max)
            .elements();
        let table = schema(&[&build]).table(TableId(10)).unwrap().as_ref().clone();
        let mut row1 = Row1 { table, state: RowState::default(), displaced: Vec::new() };
        let (tags, flags) = (list(&[1, 2]), [Value::Bool(false), Value::Bool(true)]);
        let values = row(&[1, 0, 0, 0]).iter().cloned().chain([tags]).chain(flags).collect();
        row1.apply(blue(1, 1), 1, &[], Op::Insert { table: TableId(10), key: key(), values });
        row1
    }

    fn apply(&mut self, id: TxnId, micros: u64, saw: &[TxnId], op: Op) -> Vec<String> {
        self.apply_at(id, micros, saw, 1, op)
    }

    fn apply_at(&mut self, id: TxnId, micros: u64, saw: &[TxnId], version: u64, op: Op) -> Vec<String> {
        let site = match id {
            TxnId::Blue(dot) => dot.site.0,
            TxnId::Red(_) => 9,
        };
        let seen = seen(saw);
        let context = Context { id, stamp: stamp(micros, site), seen: &seen, schema_version: version };
        self.displaced.clear();
        self.state.apply(&self.table, &op, context, &mut self.displaced);
        self.displaced.iter().map(|d| d.to_string()).collect()
    }

    fn update(&self, cells: Vec<(u16, Write)>) -> Op {
        let cells = cells.into_iter().map(|(c, w)| (ColumnId(c), w)).collect();
        Op::Update { table: TableId(10), key: key(), of: vec![blue(1, 1)], cells }
    }

    fn delete(&self) -> Op {
        Op::Delete { table: TableId(10), key: key(), of: vec![blue(1, 1)] }
    }

    fn cell(&self, column: usize) -> Option<Value> {
        self.state.view(&self.table).map(|row| row[column].clone())
    }
}

fn key() -> Key {
    Key([1].into())
}

fn list(elements: &[i32]) -> Value {
    Value::Array(ints(elements).into())
}

fn elements(remove: &[i32], add: &[i32]) -> Vec<(u16, Write)> {
    vec![(4, Write::Elements { remove: ints(remove), add: ints(add) })]
}

const NOTHING: [String; 0] = [];

#[test]
fn a_loser_is_displaced_whichever_comes_first() {
    let born = blue(1, 1);
    // The later stamp comes second, and had not seen the first.
    let mut t = Row1::new(RowRule::RemoveWins);
    assert_eq!(t.apply(blue(2, 1), 10, &[born], t.update(vec![(1, set(5))])), NOTHING);
    let lost = ["t10[01].c1 lost 5 of 10+0@2 to 6 of 11+0@3"];
    assert_eq!(t.apply(blue(3, 1), 11, &[born], t.update(vec![(1, set(6))])), lost);
    // The other way round.
    let mut t = Row1::new(RowRule::RemoveWins);
    assert_eq!(t.apply(blue(3, 1), 11, &[born], t.update(vec![(1, set(6))])), NOTHING);
    assert_eq!(t.apply(blue(2, 1), 10, &[born], t.update(vec![(1, set(5))])), lost);
    assert_eq!(t.cell(1), Some(Value::Int4(6)));
    // Seen: overwritten knowingly.
    let all = [born, blue(2, 1), blue(3, 1)];
    assert_eq!(t.apply(blue(1, 2), 12, &all, t.update(vec![(1, set(7))])), NOTHING);
    // The same value: nothing is lost.
    assert_eq!(t.apply(blue(2, 2), 13, &[born], t.update(vec![(1, set(7))])), NOTHING);
    // Additions and max bypass stamps and displace nothing.
    assert_eq!(
        t.apply(blue(3, 2), 2, &[born], t.update(vec![(2, add(4)), (3, Write::Max(Value::Int4(4)))])),
        NOTHING
    );
    assert_eq!((t.cell(2), t.cell(3)), (Some(Value::Int4(4)), Some(Value::Int4(4))));
}

#[test]
fn a_removal_takes_what_it_has_seen() {
    let (born, added) = (blue(1, 1), blue(2, 1));
    let lost = ["t10[01].c4 lost {2} of 11+0@3 to {1, 2} of 10+0@2"];
    // 1 is added again while it is removed: it stays, whichever comes first.
    let mut t = Row1::new(RowRule::RemoveWins);
    assert_eq!(t.apply(added, 10, &[born], t.update(elements(&[1], &[1]))), NOTHING);
    assert_eq!(t.apply(blue(3, 1), 11, &[born], t.update(elements(&[1], &[]))), lost);
    assert_eq!(t.cell(4), Some(list(&[1, 2])));
    let one = t.state.clone();
    let mut t = Row1::new(RowRule::RemoveWins);
    assert_eq!(t.apply(blue(3, 1), 11, &[born], t.update(elements(&[1], &[]))), NOTHING);
    assert_eq!(t.cell(4), Some(list(&[2])));
    let lost = ["t10[01].c4 lost {2} of 11+0@3 to {1, 2} of 10+0@2"];
    assert_eq!(t.apply(added, 10, &[born], t.update(elements(&[1], &[1]))), lost);
    assert_eq!(t.state, one);
    // Who has seen the addition takes it.
    assert_eq!(t.apply(blue(3, 2), 12, &[born, added], t.update(elements(&[1, 2], &[7]))), NOTHING);
    assert_eq!(t.cell(4), Some(list(&[7])));
    // An assignment takes only what it has seen, too.
    assert_eq!(t.apply(blue(2, 2), 13, &[born, added], t.update(elements(&[1, 2], &[8]))), NOTHING);
    assert_eq!(t.cell(4), Some(list(&[7, 8])));
}

#[test]
fn flags_stand_against_what_had_not_seen_them() {
    let born = blue(1, 1);
    let both = |on, off| vec![(5, Write::EnableWins(on)), (6, Write::DisableWins(off))];
    // The earlier stamps are of what wins.
    let mut t = Row1::new(RowRule::RemoveWins);
    let up = t.update(both(true, false));
    let down = t.update(both(false, true));
    assert_eq!(t.apply(blue(2, 1), 10, &[born], up.clone()), NOTHING);
    let lost = [
        "t10[01].c5 lost false of 11+0@3 to true of 10+0@2",
        "t10[01].c6 lost true of 11+0@3 to false of 10+0@2",
    ];
    assert_eq!(t.apply(blue(3, 1), 11, &[born], down.clone()), lost);
    assert_eq!((t.cell(5), t.cell(6)), (Some(Value::Bool(true)), Some(Value::Bool(false))));
    let one = t.state.clone();
    let mut t = Row1::new(RowRule::RemoveWins);
    t.apply(blue(3, 1), 11, &[born], down.clone());
    assert_eq!(t.apply(blue(2, 1), 10, &[born], up), lost);
    assert_eq!(t.state, one);
    // Seen, they give way.
    assert_eq!(t.apply(blue(3, 2), 12, &[born, blue(2, 1)], down), NOTHING);
    assert_eq!((t.cell(5), t.cell(6)), (Some(Value::Bool(false)), Some(Value::Bool(true))));
}

#[test]
fn writes_that_a_delete_ends_are_displaced() {
    let born = blue(1, 1);
    let lost = ["t10[01].c1 lost 5 of 10+0@2 with its row"];
    let mut t = Row1::new(RowRule::RemoveWins);
    t.apply(blue(2, 1), 10, &[born], t.update(vec![(1, set(5))]));
    assert_eq!(t.apply(blue(3, 1), 11, &[born], t.delete()), lost);
    assert_eq!(t.cell(1), None);
    let mut t = Row1::new(RowRule::RemoveWins);
    assert_eq!(t.apply(blue(3, 1), 11, &[born], t.delete()), NOTHING);
    assert_eq!(t.apply(blue(2, 1), 10, &[born], t.update(vec![(1, set(5))])), lost);
    // A delete that had seen it loses nothing.
    let mut t = Row1::new(RowRule::RemoveWins);
    t.apply(blue(2, 1), 10, &[born], t.update(vec![(1, set(5))]));
    assert_eq!(t.apply(blue(3, 1), 11, &[born, blue(2, 1)], t.delete()), NOTHING);
}

#[test]
fn add_wins() {
    let born = blue(1, 1);
    let mut t = Row1::new(RowRule::AddWins);
    t.apply(blue(3, 1), 11, &[born], t.delete());
    assert!(!t.state.is_live(&t.table));
    assert_eq!(t.apply(blue(2, 1), 10, &[born], t.update(vec![(1, set(5))])), NOTHING, "comes back with it");
    assert_eq!(t.cell(1), Some(Value::Int4(5)));
    t.apply(blue(3, 2), 12, &[born, blue(2, 1), blue(3, 1)], t.delete());
    assert!(!t.state.is_live(&t.table));
}

/// An update of a version in which the table was not ADD WINS keeps no row alive, at no site.
#[test]
fn add_wins_counts_from_its_version() {
    let born = blue(1, 1);
    for first in [true, false] {
        let mut t = Row1::new(RowRule::AddWins);
        t.table.add_wins_since = Some(5);
        let old = t.update(vec![(1, set(5))]);
        if first {
            t.apply_at(blue(2, 1), 10, &[born], 4, old.clone());
        }
        t.apply_at(blue(3, 1), 11, &[born], 5, t.delete());
        if !first {
            t.apply_at(blue(2, 1), 10, &[born], 4, old);
        }
        assert!(!t.state.is_live(&t.table));
        t.apply_at(blue(2, 2), 12, &[born, blue(2, 1)], 5, t.update(vec![(2, add(1))]));
        assert!(t.state.is_live(&t.table));
    }
}

#[test]
fn sums_leave_their_type_and_come_back() {
    let mut t = Row1::new(RowRule::AppendOnly);
    t.apply(blue(2, 1), 10, &[blue(1, 1)], t.update(vec![(2, add(i32::MAX))]));
    t.apply(blue(3, 1), 10, &[blue(1, 1)], t.update(vec![(2, add(i32::MAX))]));
    assert_eq!(t.cell(2), Some(Value::Numeric(Numeric::from(i64::from(i32::MAX) * 2))));
    t.apply(blue(3, 2), 11, &[blue(1, 1)], t.update(vec![(2, add(-i32::MAX))]));
    assert_eq!(t.cell(2), Some(Value::Int4(i32::MAX)));
}

/// 1.0 and 1.00 are equal in SQL; max keeps the same one wherever it comes from.
#[test]
fn equal_values_of_different_bytes() {
    let build = table(10, "t")
        .rows(RowRule::AppendOnly)
        .minted()
        .typed("hi", DataType::Numeric(None), MergeRule::Max)
        .typed("f", DataType::Float8, MergeRule::Min);
    let table = schema(&[&build]).table(TableId(10)).unwrap().clone();
    let number = |text| Value::Numeric(Numeric::parse(text).unwrap());
    let writes = [(number("1.0"), Value::Float8(0.0)), (number("1.00"), Value::Float8(-0.0))];
    let ends: Vec<RowState> = [[0, 1], [1, 0]]
        .into_iter()
        .map(|order| {
            let mut state = RowState::default();
            let values: Row = [Value::Int4(1), number("0"), Value::Float8(9.0)].into();
            let saw = seen(&[blue(1, 1)]);
            let context = |id, at| Context { id, stamp: stamp(at, 1), seen: &saw, schema_version: 1 };
            let insert = Op::Insert { table: TableId(10), key: key(), values };
            state.apply(&table, &insert, context(blue(1, 1), 1), &mut vec![]);
            for i in order {
                let (hi, f) = writes[i].clone();
                let cells = vec![(ColumnId(1), Write::Max(hi)), (ColumnId(2), Write::Min(f))];
                let op = Op::Update { table: TableId(10), key: key(), of: vec![blue(1, 1)], cells };
                state.apply(&table, &op, context(blue(2 + i as u16, 1), 2 + i as u64), &mut vec![]);
            }
            state
        })
        .collect();
    let bits = |state: &RowState| postcard::to_stdvec(state).unwrap();
    assert_eq!(bits(&ends[0]), bits(&ends[1]));
}

/// A view of one incarnation copies nothing, and writing a copied state leaves the original alone.
#[test]
fn rows_are_shared_until_written() {
    let mut t = Row1::new(RowRule::AppendOnly);
    let view = t.state.view(&t.table).unwrap();
    assert!(std::sync::Arc::ptr_eq(&view, &t.state.incarnations[0].values));
    let old = t.state.clone();
    t.apply(blue(2, 1), 10, &[blue(1, 1)], t.update(vec![(1, set(5))]));
    assert_eq!(old.view(&t.table).unwrap()[..4], row(&[1, 0, 0, 0])[..]);
    assert_eq!(t.cell(1), Some(Value::Int4(5)));
}

/// The digest of the effects is stable: sites of different builds compare it.
#[test]
fn fingerprints_are_golden() {
    let mut t = Row1::new(RowRule::AppendOnly);
    t.state = RowState::default();
    let values = row(&[1, 0, 0, 0]);
    t.apply(blue(1, 1), 1, &[], Op::Insert { table: TableId(10), key: key(), values });
    t.apply(TxnId::Red(4), 10, &[blue(1, 1)], t.update(vec![(1, set(5))]));
    assert_eq!(format!("{:016x}", t.state.fingerprint()), "44fd3663bf09cb3c");
}
