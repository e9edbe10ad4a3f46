//! The table of DESIGN §5: each row from both sides.

mod common;

use common::*;
use gemini_shadow_ops::classify::{classify, explicit, ordinary_reasons, reasons};
use gemini_shadow_ops::*;

#[track_caller]
fn rules(schema: &Schema, draft: &Draft) -> Vec<Rule> {
    let classified = classify(schema, draft);
    assert_eq!(classified.color == Color::Red, !classified.reasons.is_empty());
    for reason in &classified.reasons {
        assert!(
            !reason.describe(schema).why.contains('#'),
            "names what is there: {}",
            reason.describe(schema).why
        );
    }
    let mut rules: Vec<Rule> = classified.reasons.iter().map(|r| r.rule).collect();
    rules.sort();
    rules.dedup();
    rules
}

fn blue() -> Vec<Rule> {
    Vec::new()
}

#[test]
fn strict_columns_and_rows() {
    let t = table(10, "t").minted().col("s", MergeRule::Strict).col("l", MergeRule::Lww);
    let open = table(20, "u").rows(RowRule::RemoveWins).minted().col("s", MergeRule::Strict);
    let schema = schema(&[&t, &open]);
    let (t, u) = (&t.table, &open.table);
    let before = row(&[1, 2, 3]);
    assert_eq!(rules(&schema, &draft(vec![update(t, &before, vec![(1, set(5))])])), [Rule::StrictColumn]);
    assert_eq!(rules(&schema, &draft(vec![update(t, &before, vec![(2, set(5))])])), blue());
    assert_eq!(rules(&schema, &minted(draft(vec![insert(t, &before)]), t, 0, 1)), [Rule::StrictRows]);
    assert_eq!(rules(&schema, &draft(vec![delete(t, &before)])), [Rule::StrictRows]);
    assert_eq!(rules(&schema, &minted(draft(vec![insert(u, &row(&[1, 2]))]), u, 0, 1)), blue());
    assert_eq!(rules(&schema, &draft(vec![delete(u, &row(&[1, 2]))])), blue());
}

#[test]
fn primary_keys() {
    let t = table(10, "t").rows(RowRule::AppendOnly).minted();
    let plain = table(20, "u").rows(RowRule::AppendOnly);
    let trusted = table(30, "v").rows(RowRule::AddWins).trusted().col("l", MergeRule::Lww);
    let schema = schema(&[&t, &plain, &trusted]);
    let (t, u, v) = (&t.table, &plain.table, &trusted.table);
    assert_eq!(rules(&schema, &minted(draft(vec![insert(t, &row(&[7]))]), t, 0, 7)), blue());
    // Explicit, or minted for another column or another value.
    let not_minted = [Rule::KeyNotUniqueByConstruction, Rule::ExplicitSequenceValue];
    assert_eq!(rules(&schema, &draft(vec![insert(t, &row(&[7]))])), not_minted);
    assert_eq!(rules(&schema, &minted(draft(vec![insert(t, &row(&[7]))]), t, 0, 8)), not_minted);
    assert_eq!(rules(&schema, &minted(draft(vec![insert(t, &row(&[7]))]), u, 0, 7)), not_minted);
    assert_eq!(
        rules(&schema, &minted(draft(vec![insert(u, &row(&[7]))]), u, 0, 7)),
        [Rule::KeyNotUniqueByConstruction],
        "a value put into a column that does not mint"
    );
    assert_eq!(rules(&schema, &draft(vec![insert(v, &row(&[7, 1]))])), blue());
}

/// Order lines: unique because their key contains the order's minted id, and the order is inserted with them.
#[test]
fn keys_handed_down() {
    let orders = table(10, "orders").rows(RowRule::AppendOnly).minted();
    let line = |not_null: bool| {
        let mut line = table(20, "line").rows(RowRule::AppendOnly).col("o_id", MergeRule::Strict);
        line.table.columns[1].not_null = true;
        line.table.indexes[0].columns.push(IndexColumn {
            column: ColumnId(1),
            descending: false,
            nulls_first: false,
        });
        line = line.references(&orders.table, &[1]);
        line.table.columns[1].not_null = not_null;
        line
    };
    let lines = line(true);
    let schema = schema(&[&orders, &lines]);
    let (o, l) = (&orders.table, &lines.table);
    let both = |ids: (i32, i32)| vec![insert(o, &row(&[ids.0])), insert(l, &row(&[1, ids.1]))];
    assert_eq!(rules(&schema, &minted(draft(both((5, 5))), o, 0, 5)), blue());
    assert_eq!(
        rules(&schema, &minted(draft(both((5, 6))), o, 0, 5)),
        [Rule::KeyNotUniqueByConstruction],
        "the line of another order"
    );
    assert_eq!(
        rules(&schema, &minted(draft(vec![insert(l, &row(&[1, 5]))]), o, 0, 5)),
        [Rule::KeyNotUniqueByConstruction],
        "the order is not inserted here"
    );
    let nullable = line(false);
    assert!(!schema.hands_down_minted(&nullable.table, &nullable.table.foreign_keys[0], ColumnId(1)));
}

#[test]
fn other_unique_keys() {
    let t = table(10, "t")
        .rows(RowRule::AppendOnly)
        .minted()
        .col("a", MergeRule::Lww)
        .col("b", MergeRule::Lww)
        .index(&[1], true)
        .index(&[1, 2], true)
        .index(&[0, 2], true);
    let strict_nulls = table(30, "n")
        .rows(RowRule::AppendOnly)
        .minted()
        .col("a", MergeRule::Lww)
        .index(&[1], true)
        .nulls_not_distinct();
    let schema = schema(&[&t, &strict_nulls]);
    let (t, n) = (&t.table, &strict_nulls.table);
    let fresh =
        |table: &Table, values: &[i32]| minted(draft(vec![insert(table, &nullable(values))]), table, 0, 1);
    assert_eq!(rules(&schema, &fresh(t, &[1, 2, 3])), [Rule::UniqueKey]);
    assert_eq!(
        rules(&schema, &fresh(t, &[1, NULL, 3])),
        blue(),
        "NULL counts nowhere; (id, b) has a minted value"
    );
    assert_eq!(rules(&schema, &fresh(n, &[1, NULL])), [Rule::UniqueKey], "NULLS NOT DISTINCT");

    let before = row(&[1, 2, 3]);
    let change = |cells| rules(&schema, &draft(vec![update(t, &before, cells)]));
    assert_eq!(change(vec![(1, set(9))]), [Rule::UniqueKey]);
    assert_eq!(change(vec![(1, set(NULL))]), blue());
    assert_eq!(change(vec![(1, set(NULL)), (2, set(NULL))]), blue());
    assert_eq!(
        change(vec![(1, set(NULL)), (2, set(4))]),
        [Rule::UniqueKey],
        "b = 4 may meet another site's a: each cell is merged by itself"
    );
    let update = draft(vec![update(n, &row(&[1, 2]), vec![(1, set(NULL))])]);
    assert_eq!(rules(&schema, &update), [Rule::UniqueKey]);
}

#[test]
fn a_minted_value_in_a_unique_column() {
    let mut t =
        table(10, "t").rows(RowRule::AppendOnly).minted().col("code", MergeRule::Lww).index(&[1], true);
    t.table.columns[1].minting = Some(Minting::Sequence(SequenceId(900)));
    let schema = schema(&[&t]);
    let change = draft(vec![update(&t.table, &row(&[1, 2]), vec![(1, set(77))])]);
    assert_eq!(rules(&schema, &change), [Rule::UniqueKey, Rule::ExplicitSequenceValue]);
    assert_eq!(rules(&schema, &minted(change, &t.table, 1, 77)), blue());
}

#[test]
fn foreign_keys() {
    let stays = table(10, "stays").rows(RowRule::AppendOnly).minted();
    let goes = table(20, "goes").minted();
    let t = table(30, "t")
        .rows(RowRule::RemoveWins)
        .minted()
        .col("a", MergeRule::Lww)
        .col("b", MergeRule::Lww)
        .references(&stays.table, &[1])
        .references(&goes.table, &[2]);
    let schema = schema(&[&stays, &goes, &t]);
    let (goes, t) = (&goes.table, &t.table);
    let fresh = |values: &[i32]| minted(draft(vec![insert(t, &nullable(values))]), t, 0, 1);
    assert_eq!(rules(&schema, &fresh(&[1, 5, NULL])), blue());
    assert_eq!(rules(&schema, &fresh(&[1, 5, 6])), [Rule::ForeignKey]);
    let before = row(&[1, 5, 6]);
    let change = |cells| draft(vec![update(t, &before, cells)]);
    assert_eq!(rules(&schema, &change(vec![(1, set(7))])), blue());
    assert_eq!(rules(&schema, &change(vec![(2, set(7))])), [Rule::ForeignKey]);
    assert_eq!(rules(&schema, &change(vec![(2, set(NULL))])), blue());
    // The parent is inserted in the same transaction (red for its own strict rows, not for the FOREIGN KEY).
    let mut with_parent = change(vec![(2, set(7))]);
    with_parent.ops.insert(0, insert(goes, &row(&[7])));
    assert_eq!(rules(&schema, &minted(with_parent, goes, 0, 7)), [Rule::StrictRows]);
    let each = reasons(&schema, &change(vec![(2, set(7))]));
    assert!(
        each.len() == 1 && each[0][0].describe(&schema).hint.unwrap().contains("goes SET ROWS APPEND ONLY")
    );
}

#[test]
fn referenced_rows_and_keys() {
    let parent = table(10, "parent").rows(RowRule::RemoveWins).minted().col("l", MergeRule::Lww);
    let child = table(20, "child").minted().col("p", MergeRule::Strict).references(&parent.table, &[1]);
    let mut schema = Schema::default();
    schema.apply(&SchemaChange::CreateTable(parent.table.clone()), 1);
    let alone = schema.clone();
    schema.apply(&SchemaChange::CreateTable(child.table.clone()), 1);
    let p = &parent.table;
    let gone = draft(vec![delete(p, &row(&[1, 2]))]);
    assert_eq!(rules(&alone, &gone), blue());
    assert_eq!(rules(&schema, &gone), [Rule::ReferencedRow]);
    assert_eq!(rules(&schema, &draft(vec![update(p, &row(&[1, 2]), vec![(1, set(3))])])), blue());
    let mut moved = draft(vec![delete(p, &row(&[1, 2])), insert(p, &row(&[3, 2]))]);
    moved.ops.iter_mut().for_each(|op| op.facts.key_update = true);
    assert!(rules(&alone, &minted(moved, p, 0, 3)).contains(&Rule::KeyUpdate));
    let direct = draft(vec![update(p, &row(&[1, 2]), vec![(0, set(3))])]);
    assert!(rules(&alone, &direct).contains(&Rule::KeyUpdate));
}

#[test]
fn checks() {
    let t = table(10, "t")
        .rows(RowRule::AppendOnly)
        .minted()
        .col("lww", MergeRule::Lww)
        .col("max", MergeRule::Max)
        .col("from", MergeRule::Lww)
        .col("to", MergeRule::Lww)
        .col("a", MergeRule::Lww)
        .col("b", MergeRule::Max)
        .col("d", MergeRule::Delta)
        .check(&[1])
        .check(&[2])
        .check(&[3, 4])
        .check(&[5, 6])
        .check(&[7]);
    let schema = schema(&[&t]);
    let t = &t.table;
    let before = row(&[1, 1, 1, 1, 1, 1, 1, 1]);
    let change = |cells| rules(&schema, &draft(vec![update(t, &before, cells)]));
    assert_eq!(change(vec![(1, set(2))]), blue(), "within its column");
    assert_eq!(change(vec![(2, Write::Max(Value::Int4(2)))]), blue());
    assert_eq!(change(vec![(3, set(2)), (4, set(3))]), blue(), "within its group");
    assert_eq!(change(vec![(3, set(2))]), [Rule::Unknown], "a group not shipped whole");
    assert_eq!(change(vec![(5, set(2))]), [Rule::CheckAcrossColumns]);
    assert_eq!(change(vec![(6, Write::Max(Value::Int4(2)))]), [Rule::CheckAcrossColumns]);
    assert_eq!(
        change(vec![(7, add(2))]),
        [Rule::CheckAcrossColumns],
        "a delta under a CHECK that is no bound"
    );
    assert_eq!(
        rules(&schema, &minted(draft(vec![insert(t, &before)]), t, 0, 1)),
        blue(),
        "the row itself satisfies it"
    );
}

#[test]
fn groups_are_judged_whole() {
    let parent = table(50, "p").minted();
    let t = table(10, "t")
        .rows(RowRule::RemoveWins)
        .minted()
        .col("x", MergeRule::Lww)
        .col("y", MergeRule::Lww)
        .check(&[1, 2])
        .references(&parent.table, &[2]);
    let schema = schema(&[&parent, &t]);
    let whole = |x, y| draft(vec![update(&t.table, &row(&[1, 1, 1]), vec![(1, set(x)), (2, set(y))])]);
    assert_eq!(rules(&schema, &whole(2, NULL)), [Rule::ForeignKey], "a NULL does not help in a group");
    let mut with_parent = whole(2, 9);
    with_parent.ops.insert(0, insert(&parent.table, &row(&[9])));
    let with_parent = minted(with_parent, &parent.table, 0, 9);
    assert_eq!(
        rules(&schema, &with_parent),
        [Rule::StrictRows, Rule::ForeignKey],
        "nor a parent inserted here"
    );
}

#[test]
fn generated_columns_tie_their_inputs() {
    let mut t = table(10, "t")
        .rows(RowRule::AppendOnly)
        .minted()
        .col("a", MergeRule::Lww)
        .col("g", MergeRule::Strict);
    t.table.columns[2].generated = Some(("a + 1".to_owned(), vec![ColumnId(1)]));
    let schema = schema(&[&t]);
    let change = draft(vec![update(&t.table, &row(&[1, 1, 2]), vec![(1, set(2)), (2, set(3))])]);
    assert_eq!(rules(&schema, &change), [Rule::StrictColumn, Rule::CheckAcrossColumns]);
    t.table.columns[2].merge = MergeRule::Lww;
    let mut schema = schema.clone();
    schema.apply(&SchemaChange::CreateTable(t.table.clone()), 2);
    assert_eq!(rules(&schema, &change), blue());
}

#[test]
fn deltas_and_bounds() {
    let t = table(10, "t")
        .rows(RowRule::AppendOnly)
        .minted()
        .col("stock", MergeRule::Delta)
        .col("seats", MergeRule::Delta)
        .col("free", MergeRule::Delta)
        .bound(1, BoundSide::AtLeast, 0)
        .bound(2, BoundSide::AtMost, 100);
    let schema = schema(&[&t]);
    let t = &t.table;
    let before = row(&[1, 10, 90, 0]);
    let change = |cells| draft(vec![update(t, &before, cells)]);
    for cells in [vec![(1, bounded(-3))], vec![(1, bounded(3))], vec![(2, bounded(3))], vec![(3, add(-3))]] {
        assert_eq!(rules(&schema, &change(cells)), blue(), "a bound is a matter of rights");
    }
    assert_eq!(rules(&schema, &change(vec![(1, add(-3))])), [Rule::Unknown], "it would not be accounted");

    let spends = |cells| -> Vec<(i64, BoundSide)> {
        let spends = classify(&schema, &change(cells)).spends;
        spends.iter().map(|spend| (spend.amount.as_i64().unwrap(), spend.side)).collect()
    };
    assert_eq!(spends(vec![(1, bounded(-3))]), [(3, BoundSide::AtLeast)]);
    assert_eq!(spends(vec![(1, bounded(4))]), [], "away from the bound");
    assert_eq!(spends(vec![(1, bounded(0))]), []);
    assert_eq!(spends(vec![(2, bounded(3))]), [(3, BoundSide::AtMost)]);

    let mut assigned = change(vec![(3, add(5))]);
    assigned.ops[0].facts.assigned.push(ColumnId(3));
    assert_eq!(rules(&schema, &assigned), [Rule::DeltaAssigned]);
    let far = i32::MAX / 2;
    assert_eq!(rules(&schema, &change(vec![(3, add(far))])), blue());
    assert_eq!(rules(&schema, &change(vec![(3, add(far + 1))])), [Rule::DeltaNearRange]);
    let back = draft(vec![update(t, &row(&[1, 10, 90, far + 9]), vec![(3, add(-1))])]);
    assert_eq!(rules(&schema, &back), blue(), "on the way back");
}

#[test]
fn schema_changes_and_what_is_not_known() {
    let t = table(10, "t").rows(RowRule::AppendOnly).minted().col("l", MergeRule::Lww);
    let schema = schema(&[&t]);
    let mut op = insert(&t.table, &row(&[1, 2]));
    op.op = Op::Schema(SchemaChange::DropTable(TableId(10)));
    assert_eq!(rules(&schema, &draft(vec![op])), [Rule::SchemaChange]);
    let wrong = draft(vec![update(&t.table, &row(&[1, 2]), vec![(1, add(1))])]);
    assert_eq!(rules(&schema, &wrong), [Rule::Unknown]);
    assert_eq!(rules(&schema, &draft(vec![delete(&t.table, &row(&[1, 2]))])), [Rule::Unknown]);
    let mut forced = classify(&schema, &draft(vec![]));
    assert_eq!(forced.color, Color::Blue);
    forced.force_red();
    forced.force_red();
    assert_eq!((forced.color, forced.reasons.len()), (Color::Red, 1));
}

#[test]
fn what_generators_must_refuse() {
    let t = table(10, "t").rows(RowRule::AppendOnly).minted().col("l", MergeRule::Lww);
    let schema = schema(&[&t]); // its sequence is open at 1000
    let check = |schema: &Schema, draft: &Draft| explicit::check(schema, draft, (1, 4));
    let explicit = |id: i32| draft(vec![insert(&t.table, &row(&[id, 0]))]);
    assert_eq!(check(&schema, &explicit(999)), Ok(vec![]));
    assert_eq!(check(&schema, &explicit(1001)), Ok(vec![(SequenceId(900), 1001)]), "the site's own class");
    assert_eq!(check(&schema, &explicit(1005)), Ok(vec![(SequenceId(900), 1005)]));
    let error = check(&schema, &explicit(1002)).unwrap_err();
    assert_eq!(error.kind, explicit::DraftErrorKind::ExplicitValue);
    assert!(error.hint.unwrap().contains("below 1000"));
    assert_eq!(check(&schema, &minted(explicit(1002), &t.table, 0, 1002)), Ok(vec![]));
    let gone = check(&schema, &draft(vec![delete(&t.table, &row(&[1, 2]))])).unwrap_err();
    assert_eq!(gone.kind, explicit::DraftErrorKind::AppendOnly);

    let mut closed = schema.clone();
    closed.apply(&SchemaChange::AlterSequence(sequence(None)), 2);
    assert_eq!(check(&closed, &explicit(123_456)), Ok(vec![]));
    let down = Sequence { increment: -2, ..sequence(Some(10)) };
    assert_eq!(explicit::standing(&down, 12, (0, 4)), explicit::Standing::Free);
    assert_eq!(explicit::standing(&down, 8, (1, 4)), explicit::Standing::Own);
    assert_eq!(explicit::standing(&down, 9, (1, 4)), explicit::Standing::Foreign);
    assert_eq!(explicit::standing(&down, i64::MIN, (1, 4)), explicit::Standing::Own);
}

#[test]
fn ordinary_statements() {
    let parent = table(10, "p").minted();
    let t = table(20, "t")
        .col("s", MergeRule::Strict)
        .col("d", MergeRule::Delta)
        .col("f", MergeRule::Lww)
        .bound(2, BoundSide::AtLeast, 0)
        .references(&parent.table, &[3]);
    let schema = schema(&[&parent, &t]);
    let found: Vec<Rule> = ordinary_reasons(&schema, TableId(20)).into_iter().map(|r| r.rule).collect();
    for rule in [Rule::StrictRows, Rule::KeyNotUniqueByConstruction, Rule::StrictColumn, Rule::ForeignKey] {
        assert!(found.contains(&rule), "{rule:?} in {found:?}");
    }
    assert_eq!(found.len(), 4);
}
