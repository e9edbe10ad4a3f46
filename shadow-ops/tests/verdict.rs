//! Certification against an oracle that remembers everything and compares item with item; footprints that meet.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use gemini_shadow_ops::classify::classify;
use gemini_shadow_ops::*;
use proptest::prelude::*;

fn key(n: u8) -> Key {
    Key(Arc::from([n]))
}

fn id(counter: u64) -> EntryId {
    EntryId { site: SiteId(1), start: 1, counter }
}

fn frontier(red: u64) -> Frontier {
    let mut frontier = Frontier::default();
    frontier.red = red;
    frontier
}

fn entry(counter: u64, bases: &[u64], reads: Vec<(u16, Item)>, writes: Vec<Item>) -> Entry {
    let reads = reads.into_iter().map(|(statement, item)| Read { statement, item }).collect();
    Entry::Transaction(RedTransaction {
        id: id(counter),
        transaction: transaction(bases.iter().map(|r| frontier(*r)).collect(), vec![]),
        footprint: Footprint { reads, writes },
        tables: vec![],
    })
}

fn void(counter: u64, base: u64) -> Entry {
    Entry::Void { id: id(counter), base, deps: Frontier::default(), reserved: vec![] }
}

fn row_item(n: u8) -> Item {
    Item::Row { table: TableId(1), key: key(n) }
}

#[test]
fn first_committer_wins() {
    let (mut window, schema) = (Window::new(10), Schema::default());
    assert_eq!(window.decide(1, &entry(1, &[0], vec![], vec![row_item(1)]), &schema), Verdict::Accepted);
    let late = entry(2, &[0], vec![(0, row_item(1))], vec![]);
    let refused = Verdict::Refused(Refusal::Conflict { item: row_item(1), at: 1 });
    assert_eq!(window.foresee(&late, &schema), refused);
    assert_eq!(window.decide(2, &late, &schema), refused);
    assert_eq!(window.decide(3, &entry(3, &[1], vec![(0, row_item(1))], vec![]), &schema), Verdict::Accepted);
    // What a refused entry would have written does not count.
    let writes = entry(4, &[0], vec![(0, row_item(1))], vec![row_item(2)]);
    assert!(matches!(window.decide(4, &writes, &schema), Verdict::Refused(_)));
    assert_eq!(window.decide(5, &entry(5, &[0], vec![(0, row_item(2))], vec![]), &schema), Verdict::Accepted);
    assert_eq!(window.status(id(2)), EntryStatus::Refused(2));
    assert_eq!(window.status(id(5)), EntryStatus::Accepted(5));
}

#[test]
fn a_statement_is_judged_from_its_own_index() {
    let (mut window, schema) = (Window::new(10), Schema::default());
    window.decide(1, &entry(1, &[0], vec![], vec![row_item(1)]), &schema);
    let second = entry(2, &[0, 1], vec![(1, row_item(1))], vec![]);
    assert_eq!(window.decide(2, &second, &schema), Verdict::Accepted);
    let first = entry(3, &[0, 1], vec![(0, row_item(1))], vec![]);
    assert!(matches!(window.decide(3, &first, &schema), Verdict::Refused(_)));
}

#[test]
fn ids_count_once() {
    let (mut window, schema) = (Window::new(4), Schema::default());
    let one = entry(1, &[0], vec![], vec![row_item(1)]);
    assert_eq!(window.decide(1, &one, &schema), Verdict::Accepted);
    assert_eq!(window.decide(2, &one, &schema), Verdict::Void);
    assert_eq!(window.decide(3, &void(1, 0), &schema), Verdict::Void);
    assert_eq!(window.status(id(1)), EntryStatus::Accepted(1), "a VOID that comes too late changes nothing");
    assert_eq!(window.decide(4, &void(2, 2), &schema), Verdict::Void);
    assert_eq!(window.decide(5, &entry(2, &[3], vec![], vec![]), &schema), Verdict::Void);
    assert_eq!(window.status(id(2)), EntryStatus::Void(4));
    assert_eq!(window.status(id(1)), EntryStatus::Unknown, "left the window with index 1");
    // A VOID of it that comes now may not pretend that it was never used.
    let mut late = window.clone();
    assert_eq!(late.decide(6, &void(1, 0), &schema), Verdict::Void);
    assert_eq!(late.status(id(1)), EntryStatus::Unknown);
    // The same copy again: its base is too old by now, and it is not remembered as refused either.
    assert_eq!(window.decide(6, &one, &schema), Verdict::Refused(Refusal::BaseTooOld { base: 0 }));
}

#[test]
fn bases_older_than_the_window() {
    let (mut window, schema) = (Window::new(3), Schema::default());
    for r in 1..=5 {
        window.decide(r, &entry(r, &[r - 1], vec![], vec![]), &schema);
    }
    // The window holds 3, 4, 5: all of (2, 6).
    assert_eq!(window.foresee(&entry(9, &[2], vec![], vec![]), &schema), Verdict::Accepted);
    let old = Verdict::Refused(Refusal::BaseTooOld { base: 1 });
    assert_eq!(window.foresee(&entry(9, &[1], vec![], vec![]), &schema), old);
    assert_eq!(window.foresee(&entry(9, &[5, 1], vec![], vec![]), &schema), old, "the oldest statement's");
}

#[test]
fn tables_must_be_current_and_vouched_for() {
    let t = table(10, "t").rows(RowRule::AppendOnly).minted();
    let mut schema = schema(&[&t]);
    let draft = minted(draft(vec![insert(&t.table, &row(&[1]))]), &t.table, 0, 1);
    let classification = classify(&schema, &draft);
    let op = draft.ops[0].op.clone();
    let mut red =
        RedTransaction::new(id(1), transaction(vec![frontier(0)], vec![op]), &classification, &schema);
    assert_eq!(red.tables, [(TableId(10), 1)]);
    let window = Window::new(4);
    assert_eq!(window.foresee(&Entry::Transaction(red.clone()), &schema), Verdict::Accepted);
    let change = SchemaChange::AddColumn { table: TableId(10), column: column(1, "x", DataType::Text) };
    schema.apply(&change, 9);
    let stale = Verdict::Refused(Refusal::StaleTable { table: TableId(10) });
    assert_eq!(window.foresee(&Entry::Transaction(red.clone()), &schema), stale);
    red.tables.clear();
    assert_eq!(window.foresee(&Entry::Transaction(red), &schema), stale);
}

/// A footprint that certification refuses, both ways round, for each pair that must not both be accepted.
#[test]
fn footprints_meet() {
    let parent = table(10, "p").minted().col("n", MergeRule::Lww);
    let child = table(30, "c")
        .minted()
        .col("p", MergeRule::Strict)
        .col("u", MergeRule::Lww)
        .col("a", MergeRule::Lww)
        .col("b", MergeRule::Max)
        .col("d", MergeRule::Delta)
        .references(&parent.table, &[1])
        .index(&[2], true)
        .check(&[3, 4]);
    let schema = schema(&[&parent, &child]);
    let (p, c) = (&parent.table, &child.table);
    let child_row = row(&[1, 7, 1, 1, 1, 1]);
    let assign = |n| {
        let mut op = update(c, &child_row, vec![(5, add(n))]);
        op.facts.assigned.push(ColumnId(5));
        op
    };
    let max = |n| update(c, &child_row, vec![(4, Write::Max(Value::Int4(n)))]);
    let pairs: Vec<(&str, DraftOp, DraftOp, bool, bool)> = vec![
        ("same key", insert(c, &child_row), insert(c, &child_row), true, true),
        (
            "same unique key",
            insert(c, &row(&[1, 7, 5, 0, 0, 0])),
            insert(c, &row(&[2, 7, 5, 0, 0, 0])),
            true,
            true,
        ),
        ("parent and child", insert(c, &child_row), delete(p, &row(&[7, 0])), true, true),
        (
            "parent and moved child",
            update(c, &child_row, vec![(1, set(8))]),
            delete(p, &row(&[8, 0])),
            true,
            true,
        ),
        ("another parent", insert(c, &child_row), delete(p, &row(&[8, 0])), false, false),
        ("update and delete", update(c, &child_row, vec![(2, set(4))]), delete(c, &child_row), true, true),
        (
            "unique taken by update",
            update(c, &child_row, vec![(2, set(4))]),
            insert(c, &row(&[2, 7, 4, 0, 0, 0])),
            true,
            true,
        ),
        ("across a CHECK", update(c, &child_row, vec![(3, set(4))]), max(9), true, true),
        (
            "lww and lww",
            update(c, &child_row, vec![(3, set(4))]),
            update(c, &child_row, vec![(3, set(5))]),
            true,
            true,
        ),
        (
            "lww and another",
            update(c, &child_row, vec![(2, set(4))]),
            update(c, &child_row, vec![(5, add(5))]),
            false,
            false,
        ),
        (
            "adds",
            update(c, &child_row, vec![(5, add(1))]),
            update(c, &child_row, vec![(5, add(5))]),
            false,
            false,
        ),
        ("add, then assign", update(c, &child_row, vec![(5, add(1))]), assign(3), true, false),
        ("delete, then add", delete(c, &child_row), update(c, &child_row, vec![(5, add(1))]), true, false),
    ];
    for (name, a, b, then, back) in pairs {
        for (first, second, conflict) in [(&a, &b, then), (&b, &a, back)] {
            let mut window = Window::new(10);
            let red = |counter, op: &DraftOp| {
                let draft = draft(vec![op.clone()]);
                let transaction = transaction(draft.statements.clone(), vec![op.op.clone()]);
                let classified = classify(&schema, &draft);
                Entry::Transaction(RedTransaction::new(id(counter), transaction, &classified, &schema))
            };
            assert_eq!(window.decide(1, &red(1, first), &schema), Verdict::Accepted, "{name}");
            let verdict = window.decide(2, &red(2, second), &schema);
            assert_eq!(verdict != Verdict::Accepted, conflict, "{name}: {verdict}");
        }
    }
}

#[test]
fn local_validation_sees_less() {
    let t = table(10, "t")
        .rows(RowRule::RemoveWins)
        .minted()
        .col("s", MergeRule::Strict)
        .col("l", MergeRule::Lww)
        .col("d", MergeRule::Delta);
    let schema = schema(&[&t]);
    let cells = |op: DraftOp| -> Vec<u16> {
        let items = local_items(&draft(vec![op]), &schema);
        assert!(items.iter().any(|r| matches!(r.item, Item::Row { .. })));
        let columns = items.iter().filter_map(|r| match &r.item {
            Item::Cells { columns, .. } => Some(columns.iter().map(|c| c.0).collect::<Vec<_>>()),
            _ => None,
        });
        columns.flatten().collect()
    };
    let before = row(&[1, 1, 1, 1]);
    let op = update(&t.table, &before, vec![(1, set(2)), (2, set(2)), (3, add(1))]);
    assert_eq!(cells(op.clone()), [1]);
    let mut computed = op;
    computed.facts.computed.push(ColumnId(2));
    assert_eq!(cells(computed), [1, 2]);
}

#[test]
fn footprints_escalate() {
    let t = table(10, "t").rows(RowRule::AppendOnly).minted();
    let schema = schema(&[&t]);
    let ops: Vec<DraftOp> = (0..5_000).map(|n| insert(&t.table, &row(&[n]))).collect();
    let footprint = classify(&schema, &draft(ops)).footprint;
    let whole = Item::Table { table: TableId(10) };
    assert_eq!(footprint.writes, std::slice::from_ref(&whole));
    assert!(footprint.reads.contains(&Read { statement: 0, item: whole }));
    assert!(footprint.reads.len() <= 2);
}

/// Whether two items overlap, said pair by pair.
fn overlap(read: &Item, write: &Item) -> bool {
    let within = |key: &Key, from: &Key, to: &Key| from <= key && (to.0.is_empty() || key < to);
    match (read, write) {
        (Item::Table { table }, other) | (other, Item::Table { table }) => other.table() == Some(*table),
        (Item::Cells { table: t, key: k, columns: c }, Item::Cells { table, key, columns }) => {
            (t, k) == (table, key) && !c.is_disjoint(columns)
        }
        (Item::Range { index: i, from, to, .. }, Item::IndexKey { index, key, .. })
        | (Item::IndexKey { index, key, .. }, Item::Range { index: i, from, to, .. }) => {
            i == index && within(key, from, to)
        }
        (Item::Range { index: i, from: f, to: t, .. }, Item::Range { index, from, to, .. }) => {
            i == index && (t.0.is_empty() || from < t) && (to.0.is_empty() || f < to)
        }
        (a, b) => a == b,
    }
}

fn items() -> impl Strategy<Value = Item> {
    let table = (1u32..3).prop_map(TableId);
    let key = (1u8..6).prop_map(key);
    prop_oneof![
        4 => (table.clone(), key.clone()).prop_map(|(table, key)| Item::Row { table, key }),
        4 => (table.clone(), key.clone(), proptest::collection::btree_set((0u16..3).prop_map(ColumnId), 1..3))
            .prop_map(|(table, key, columns)| Item::Cells { table, key, columns }),
        4 => (table.clone(), key).prop_map(|(table, key)| Item::IndexKey { table, index: IndexId(table.0), key }),
        2 => (table.clone(), 1u8..4, 0u8..4).prop_map(|(table, from, more)| Item::Range {
            table,
            index: IndexId(table.0),
            from: common_key(from),
            to: if more == 0 { Key(Arc::from([])) } else { common_key(from + more) },
        }),
        1 => table.prop_map(|table| Item::Table { table }),
        1 => Just(Item::Catalogue),
        1 => Just(Item::Sequence { sequence: SequenceId(1) }),
    ]
}

fn common_key(n: u8) -> Key {
    key(n)
}

#[derive(Clone, Debug)]
struct Proposal {
    counter: u64,
    void: bool,
    lag: u64,
    second_lag: u64,
    reads: Vec<(u16, Item)>,
    writes: Vec<Item>,
}

fn proposals() -> impl Strategy<Value = Vec<Proposal>> {
    let items_of = || proptest::collection::vec(items(), 0..3);
    let reads = proptest::collection::vec((0u16..2, items()), 0..4);
    let one = (1u64..12, 0u8..8, 0u64..6, 0u64..6, reads, items_of()).prop_map(
        |(counter, void, lag, second_lag, reads, writes)| Proposal {
            counter,
            void: void == 0,
            lag: lag.max(second_lag),
            second_lag: second_lag.min(lag),
            reads,
            writes,
        },
    );
    proptest::collection::vec(one, 1..40)
}

impl Proposal {
    fn entry(&self, r: u64) -> Entry {
        if self.void {
            return void(self.counter, (r - 1).saturating_sub(self.lag));
        }
        let bases = [(r - 1).saturating_sub(self.lag), (r - 1).saturating_sub(self.second_lag)];
        entry(self.counter, &bases, self.reads.clone(), self.writes.clone())
    }
}

/// Remembers all of the window's entries and compares them one by one.
#[derive(Default)]
struct Oracle {
    accepted: BTreeMap<u64, RedTransaction>,
    ids: BTreeMap<u64, EntryId>,
}

impl Oracle {
    fn decide(&mut self, r: u64, entry: &Entry, capacity: u64) -> &'static str {
        self.accepted.retain(|at, _| at + capacity >= r);
        self.ids.retain(|at, _| at + capacity >= r);
        let known = self.ids.values().any(|id| *id == entry.id());
        if known {
            return "void";
        }
        let old = entry.base() + 1 + capacity < r;
        if !old {
            self.ids.insert(r, entry.id());
        }
        let Entry::Transaction(red) = entry else { return "void" };
        if old {
            return "old";
        }
        let bases: Vec<u64> = red.transaction.statements.iter().map(|s| s.red).collect();
        let conflict = red.footprint.reads.iter().any(|read| {
            let since = bases[usize::from(read.statement)] + 1;
            let mut writes = self.accepted.range(since..).flat_map(|(_, red)| &red.footprint.writes);
            writes.any(|write| overlap(&read.item, write))
        });
        if conflict {
            return "conflict";
        }
        self.accepted.insert(r, red.clone());
        "accepted"
    }
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Void => "void",
        Verdict::Refused(Refusal::Conflict { .. }) => "conflict",
        Verdict::Refused(Refusal::BaseTooOld { .. }) => "old",
        Verdict::Refused(Refusal::StaleTable { .. }) => "stale",
        Verdict::Refused(Refusal::Removed { .. }) => "removed",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The verdict is the oracle's, and the same at a site that was restored from a checkpoint on the way.
    #[test]
    fn verdicts(list in proposals(), cut in 0usize..40) {
        // Table versions are not this test's: no entry vouches for any and none has effects.
        let schema = Schema::default();
        let (mut window, mut oracle) = (Window::new(5), Oracle::default());
        let mut restored = window.clone();
        for (i, proposal) in list.iter().enumerate() {
            let r = i as u64 + 1;
            let entry = proposal.entry(r);
            let verdict = window.decide(r, &entry, &schema);
            prop_assert_eq!(name(&verdict), oracle.decide(r, &entry, 5), "at {}: {}", r, entry);
            prop_assert_eq!(&verdict, &restored.decide(r, &entry, &schema));
            if i == cut {
                let bytes = postcard::to_stdvec(&restored).unwrap();
                restored = postcard::from_bytes(&bytes).unwrap();
            }
            prop_assert_eq!(&window, &restored);
        }
    }
}
