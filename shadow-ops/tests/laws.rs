//! The laws of rows: the same effects in any order that respects what each had seen give the same rows, byte for byte.
//!
//! `tests/exhaustive` tries every small history. Here are longer ones: `clusters` is a property test of three sites, blue and red
//! effects, deletes, re-inserts, a change of the row rule in between.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::collections::BTreeMap;

use common::*;
use gemini_shadow_ops::row::Context;
use gemini_shadow_ops::value::key::primary_key;
use gemini_shadow_ops::value::set;
use gemini_shadow_ops::*;
use proptest::prelude::*;

/// id, lww, delta, max, min, a group of two, a set, a flag that enables and one that disables.
fn merging(rows: RowRule) -> Table {
    let build = table(10, "t")
        .rows(rows)
        .col("l", MergeRule::Lww)
        .col("d", MergeRule::Delta)
        .col("hi", MergeRule::Max)
        .col("lo", MergeRule::Min)
        .col("g", MergeRule::Lww)
        .col("h", MergeRule::Lww)
        .check(&[5, 6])
        .elements();
    let build = if rows == RowRule::Strict { build } else { build.trusted() };
    let schema = schema(&[&build]);
    let declared = schema.table(TableId(10)).unwrap();
    declared.as_ref().clone()
}

type Rows = BTreeMap<Key, RowState>;

#[derive(Clone, Debug)]
struct Effect {
    id: TxnId,
    stamp: Stamp,
    seen: Frontier,
    version: u64,
    op: Option<Op>,
}

fn apply(rows: &mut Rows, table: &Table, effect: &Effect) {
    let Some(op) = &effect.op else { return };
    let (Some(key), Some(_)) = (op.key(), op.table()) else { return };
    let context =
        Context { id: effect.id, stamp: effect.stamp, seen: &effect.seen, schema_version: effect.version };
    rows.entry(key.clone()).or_default().apply(table, op, context, &mut Vec::new());
}

const ACTIONS: u8 = 12;

/// A row of the table with these numbers; two elements and two flags come from the first of them.
fn whole(numbers: &[i32]) -> Row {
    let n = numbers.get(1).copied().unwrap_or(0);
    let elements = set::of(&ints(&[n & 3, n >> 2 & 3]));
    let rest = [Value::Array(elements.into()), Value::Bool(n & 1 == 0), Value::Bool(n & 2 == 0)];
    row(numbers).iter().cloned().chain(rest).collect()
}

/// The elements that a reader sees.
fn tags(row: &Row) -> Vec<Value> {
    match &row[7] {
        Value::Array(list) => list.to_vec(),
        other => panic!("{other:?} is no set"),
    }
}

/// What a generator that sees `rows` makes of an action: None if there is nothing to do.
fn generate(table: &Table, rows: &Rows, action: u8, key: i32, n: i32) -> Option<Op> {
    let fresh = whole(&[key, n, n, n, n, n, n + 1]);
    let at = primary_key(table, &fresh);
    let state = rows.get(&at).filter(|s| s.is_live(table));
    let Some(state) = state else {
        return (action == 0).then_some(Op::Insert { table: table.id, key: at, values: fresh });
    };
    let of = state.live(table);
    let cell = |column: u16, write| (ColumnId(column), write);
    let cells = match action {
        1 => vec![cell(1, set(n))],
        2 => vec![cell(2, add(n))],
        3 => vec![cell(3, Write::Max(Value::Int4(n)))],
        4 => vec![cell(4, Write::Min(Value::Int4(n)))],
        5 => vec![cell(5, set(n)), cell(6, set(n + 1))],
        6 => vec![cell(1, set(n)), cell(2, add(-n)), cell(3, Write::Max(Value::Int4(n)))],
        7 => return Some(Op::Delete { table: table.id, key: at, of }),
        8..=10 => {
            let seen = tags(&state.view(table)?);
            let (remove, add) = match action {
                8 => (set::intersection(&seen, &ints(&[n & 3])), ints(&[n & 3])),
                9 => (set::intersection(&seen, &ints(&[n & 3])), vec![]),
                _ => (seen, set::of(&ints(&[n & 3, n >> 2 & 3]))),
            };
            vec![cell(7, Write::Elements { remove, add })]
        }
        11 => vec![cell(8, Write::EnableWins(n & 1 == 0)), cell(9, Write::DisableWins(n & 2 == 0))],
        _ => return None,
    };
    Some(Op::Update { table: table.id, key: at, of, cells })
}

/// Above every cell that it could overwrite.
fn above(rows: &Rows, site: u16, lead: u64) -> Stamp {
    let cells = rows
        .values()
        .flat_map(|s| &s.incarnations)
        .flat_map(|i| i.stamps.iter().map(|s| s.stamp).chain([i.born]).collect::<Vec<_>>());
    stamp(cells.map(|s| s.hlc.micros).max().unwrap_or(0) + 1 + lead, site)
}

/// Two inserts of one key merge; deltas sum, max and min by value, lww and groups by stamp.
#[test]
fn trusted_keys_merge() {
    let table = merging(RowRule::AddWins);
    let one = Effect {
        id: TxnId::Blue(Dot { site: SiteId(1), n: 1 }),
        stamp: stamp(5, 1),
        seen: Frontier::default(),
        version: 1,
        op: Some(Op::Insert {
            table: table.id,
            key: primary_key(&table, &row(&[1])),
            values: whole(&[1, 10, 1, 1, 1, 1, 2]),
        }),
    };
    let mut two = one.clone();
    two.id = TxnId::Blue(Dot { site: SiteId(2), n: 1 });
    two.stamp = stamp(4, 2);
    if let Some(Op::Insert { values, .. }) = &mut two.op {
        *values = whole(&[1, 21, 2, 3, -1, 8, 9]);
    }
    let mut rows = Rows::new();
    apply(&mut rows, &table, &one);
    apply(&mut rows, &table, &two);
    let state = rows.values().next().unwrap();
    assert_eq!(state.live(&table).len(), 2);
    let numbers = |row: Row| row[..7].to_vec();
    assert_eq!(numbers(state.view(&table).unwrap()), ints(&[1, 10, 3, 3, -1, 1, 2]));
    // {2} and {1}, on and not on, not off and off.
    let rest = [Value::Array(ints(&[1, 2]).into()), Value::Bool(true), Value::Bool(false)];
    assert_eq!(state.view(&table).unwrap()[7..], rest);
    // An update writes both; its addition goes to the least and so counts once.
    let op = generate(&table, &rows, 6, 1, 100);
    let mut seen = Frontier::default();
    seen.add(one.id);
    seen.add(two.id);
    let three = Effect { id: TxnId::Red(1), stamp: stamp(6, 1), seen, version: 1, op };
    apply(&mut rows, &table, &three);
    let state = rows.values().next().unwrap();
    assert_eq!(numbers(state.view(&table).unwrap()), ints(&[1, 100, -97, 100, -1, 1, 2]));
}

/// A set's elements by definition: added, by a birth or an update, and not removed by anybody who had seen that.
fn by_definition(history: &[Effect], incarnation: TxnId) -> Vec<Value> {
    let mut additions: Vec<(TxnId, Value)> = Vec::new();
    let mut removals: Vec<(&Effect, &[Value])> = Vec::new();
    for effect in history {
        match &effect.op {
            Some(Op::Insert { values, .. }) if effect.id == incarnation => {
                additions.extend(tags(values).into_iter().map(|e| (effect.id, e)));
            }
            Some(Op::Update { of, cells, .. }) => {
                for (_, write) in cells {
                    let Write::Elements { remove, add } = write else { continue };
                    removals.push((effect, remove));
                    if of.contains(&incarnation) {
                        additions.extend(add.iter().map(|e| (effect.id, e.clone())));
                    }
                }
            }
            _ => {}
        }
    }
    let stands = |(id, element): &&(TxnId, Value)| {
        !removals.iter().any(|(by, remove)| remove.contains(element) && by.seen.covers(*id))
    };
    set::of(&additions.iter().filter(stands).map(|(_, e)| e.clone()).collect::<Vec<_>>())
}

/// Whether a flag stands by definition: put up, by a birth or an update, and not taken down by anybody who had seen that.
fn stands_by_definition(history: &[Effect], incarnation: TxnId, slot: usize, winning: bool) -> bool {
    let (mut up, mut down): (Vec<TxnId>, Vec<&Effect>) = (Vec::new(), Vec::new());
    for effect in history {
        match &effect.op {
            Some(Op::Insert { values, .. })
                if effect.id == incarnation && values[slot] == Value::Bool(winning) =>
            {
                up.push(effect.id);
            }
            Some(Op::Update { of, cells, .. }) => {
                for (_, write) in cells.iter().filter(|(column, _)| usize::from(column.0) == slot) {
                    match write.value() == Value::Bool(winning) {
                        true if of.contains(&incarnation) => up.push(effect.id),
                        true => {}
                        false => down.push(effect),
                    }
                }
            }
            _ => {}
        }
    }
    up.iter().any(|id| !down.iter().any(|by| by.seen.covers(*id)))
}

/// One site of the property test.
#[derive(Clone)]
struct Site {
    schema: Schema,
    rows: Rows,
    applied: Frontier,
}

#[derive(Clone, Debug)]
struct Step {
    site: u8,
    kind: u8,
    action: u8,
    key: bool,
    n: i8,
    lead: u8,
}

fn step() -> impl Strategy<Value = Step> {
    (0u8..3, 0u8..10, 0u8..ACTIONS, any::<bool>(), any::<i8>(), 0u8..3)
        .prop_map(|(site, kind, action, key, n, lead)| Step { site, kind, action, key, n, lead })
}

/// Delivers what is ready at a site, one effect; whether there was one.
fn deliver(
    site: &mut Site,
    blue: &[Vec<(Effect, Frontier)>],
    red: &[(Effect, Frontier)],
    from: usize,
) -> bool {
    let next = if from < blue.len() {
        let n = site.applied.blue(SiteId(from as u16 + 1)) as usize;
        blue[from].get(n)
    } else {
        red.get(site.applied.red as usize)
    };
    let Some((effect, _)) = next.filter(|(_, deps)| site.applied.includes(deps)) else { return false };
    if let Some(Op::Schema(change)) = &effect.op {
        let TxnId::Red(r) = effect.id else { return false };
        site.schema.apply(change, r);
    } else if let Some(table) = site.schema.table(TableId(10)).cloned() {
        apply(&mut site.rows, &table, effect);
    }
    site.applied.add(effect.id);
    true
}

fn run(rows: RowRule, becomes: RowRule, steps: &[Step]) -> (Vec<Site>, Vec<Effect>) {
    let mut schema = Schema { version: 0, ..Schema::default() };
    schema.apply(&SchemaChange::CreateTable(merging(rows)), 0);
    let mut sites = vec![Site { schema, rows: Rows::new(), applied: Frontier::default() }; 3];
    let mut blue: Vec<Vec<(Effect, Frontier)>> = vec![Vec::new(); 3];
    let mut red: Vec<(Effect, Frontier)> = Vec::new();
    // No site draws a stamp twice, though a red write of its own may not be in its rows yet.
    let mut drawn = [0; 3];
    for step in steps {
        let at = usize::from(step.site);
        if step.kind < 5 {
            deliver(&mut sites[at], &blue, &red, usize::from(step.kind % 4));
            continue;
        }
        let site = &sites[at];
        let Some(table) = site.schema.table(TableId(10)).cloned() else { continue };
        let change = step.kind == 9 && red.iter().all(|(e, _)| !matches!(e.op, Some(Op::Schema(_))));
        let op = if change {
            Some(Op::Schema(SchemaChange::SetRows { table: table.id, rows: becomes, keys_trusted: false }))
        } else {
            generate(&table, &site.rows, step.action, i32::from(step.key) + 1, i32::from(step.n))
        };
        let Some(op) = op else { continue };
        let (seen, mut stamp) =
            (site.applied.clone(), above(&site.rows, at as u16 + 1, u64::from(step.lead)));
        stamp.hlc.micros = stamp.hlc.micros.max(drawn[at] + 1);
        drawn[at] = stamp.hlc.micros;
        let rows_op = matches!(op, Op::Insert { .. } | Op::Delete { .. });
        let ordered = change || step.kind == 8 || (table.rows == RowRule::Strict && rows_op);
        let id = if ordered {
            TxnId::Red(red.len() as u64 + 1)
        } else {
            TxnId::Blue(Dot { site: SiteId(at as u16 + 1), n: blue[at].len() as u64 + 1 })
        };
        let effect = Effect { id, stamp, seen: seen.clone(), version: site.schema.version, op: Some(op) };
        if ordered {
            // Ordered here by the moment of its proposal; certification is not what this test is about.
            red.push((effect, seen));
        } else {
            blue[at].push((effect, seen));
            deliver(&mut sites[at], &blue, &red, at);
        }
    }
    for site in &mut sites {
        while (0..4).any(|from| deliver(site, &blue, &red, from)) {}
    }
    let history = blue.into_iter().flatten().chain(red).map(|(effect, _)| effect).collect();
    (sites, history)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Sets and flags are what their definition says, at every site, and what they keep is bounded by what is in them.
    #[test]
    fn sets(steps in proptest::collection::vec(step(), 1..60)) {
        let steps: Vec<Step> = steps
            .into_iter()
            .map(|s| Step { action: if s.action < 8 && s.action != 7 { 0 } else { s.action }, kind: s.kind.min(8), ..s })
            .collect();
        let (sites, history) = run(RowRule::AddWins, RowRule::AddWins, &steps);
        let table = sites[0].schema.table(TableId(10)).unwrap();
        for (key, state) in &sites[0].rows {
            let of_row: Vec<Effect> =
                history.iter().filter(|e| e.op.as_ref().and_then(Op::key) == Some(key)).cloned().collect();
            for incarnation in &state.incarnations {
                let Value::Array(elements) = incarnation.value(table, ColumnId(7)) else { panic!("a set") };
                prop_assert_eq!(elements.as_ref(), &by_definition(&of_row, incarnation.id));
                for (slot, winning) in [(8, true), (9, false)] {
                    let stands = stands_by_definition(&of_row, incarnation.id, slot, winning);
                    let value = incarnation.value(table, ColumnId(slot as u16));
                    prop_assert_eq!(value, &Value::Bool(stands == winning));
                }
                prop_assert_eq!(incarnation.unfounded(table), None);
                for additions in incarnation.additions.iter().filter(|a| a.column == ColumnId(7)) {
                    prop_assert_eq!(additions.by.len(), elements.len());
                }
            }
        }
    }

    #[test]
    fn clusters(rules in 0usize..5, steps in proptest::collection::vec(step(), 1..60)) {
        use RowRule::*;
        let (rows, becomes) =
            [(AddWins, AddWins), (RemoveWins, RemoveWins), (Strict, AddWins), (Strict, RemoveWins), (AppendOnly, AppendOnly)][rules];
        let (sites, _) = run(rows, becomes, &steps);
        let table = sites[0].schema.table(TableId(10)).unwrap().clone();
        for site in &sites[1..] {
            prop_assert_eq!(&site.applied, &sites[0].applied);
            prop_assert_eq!(&site.schema, &sites[0].schema);
            prop_assert_eq!(&site.rows, &sites[0].rows);
            for (key, state) in &site.rows {
                let other = &sites[0].rows[key];
                prop_assert_eq!(state.view(&table), other.view(&table));
                prop_assert_eq!(state.fingerprint(), other.fingerprint());
            }
        }
    }

    /// A delta is the sum of what was added, and the max the greatest, wherever they were written.
    #[test]
    fn monotone_cells(steps in proptest::collection::vec(step(), 1..40)) {
        // No deletes: then every addition counts.
        let steps: Vec<Step> = steps.into_iter().filter(|s| s.action != 7 && s.action != 0).collect();
        let first = Step { site: 0, kind: 5, action: 0, key: false, n: 1, lead: 0 };
        let steps: Vec<Step> = [first].into_iter().chain(steps).collect();
        let (sites, _) = run(RowRule::AppendOnly, RowRule::AppendOnly, &steps);
        let Some(state) = sites[0].rows.values().next() else { return Ok(()) };
        let [one] = state.incarnations.as_slice() else { panic!("one insert") };
        let table = sites[0].schema.table(TableId(10)).unwrap();
        prop_assert!(one.value(table, ColumnId(3)).as_i64() >= Some(1));
        prop_assert!(one.value(table, ColumnId(4)).as_i64() <= Some(1));
        prop_assert_eq!(one.value(table, ColumnId(5)).as_i64().map(|n| n + 1), one.value(table, ColumnId(6)).as_i64());
    }
}
