//! Schema changes: which declarations are refused, which are plain red, which would need a barrier, and whose versions move.

mod common;

use common::*;
use gemini_shadow_ops::*;

const T: TableId = TableId(10);

fn rows(rows: RowRule, keys_trusted: bool) -> SchemaChange {
    SchemaChange::SetRows { table: T, rows, keys_trusted }
}

fn merge(column: u16, merge: MergeRule) -> SchemaChange {
    SchemaChange::SetMerge { table: T, column: ColumnId(column), merge }
}

#[track_caller]
fn plain(schema: &Schema, change: SchemaChange) -> Schema {
    assert_eq!(schema.check_change(&change), Ok(ChangeKind::PlainRed), "{change}");
    let mut after = schema.clone();
    after.apply(&change, schema.version + 1);
    after
}

#[track_caller]
fn barrier(schema: &Schema, change: SchemaChange) {
    let kind = schema.check_change(&change);
    assert!(matches!(kind, Ok(ChangeKind::Barrier(_))), "{change}: {kind:?}");
}

#[track_caller]
fn refused(schema: &Schema, change: SchemaChange, kind: SchemaErrorKind, words: &str) {
    let error = schema.check_change(&change).expect_err("is refused");
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(words), "{error}");
}

const INVALID: SchemaErrorKind = SchemaErrorKind::Invalid;

#[test]
fn delta_columns() {
    let t = table(10, "t")
        .col("n", MergeRule::Strict)
        .typed("text", DataType::Text, MergeRule::Strict)
        .col("u", MergeRule::Strict)
        .not_null()
        .col("ok", MergeRule::Strict)
        .not_null()
        .index(&[3], true);
    let schema = schema(&[&t]);
    refused(&schema, merge(0, MergeRule::Delta), INVALID, "primary key");
    refused(&schema, merge(1, MergeRule::Delta), INVALID, "NULL");
    refused(&schema, merge(2, MergeRule::Delta), INVALID, "cannot be MERGE DELTA");
    refused(&schema, merge(3, MergeRule::Delta), INVALID, "UNIQUE");
    refused(&schema, merge(99, MergeRule::Delta), SchemaErrorKind::UndefinedColumn, "no column");
    let after = plain(&schema, merge(4, MergeRule::Delta));
    barrier(&after, merge(4, MergeRule::Lww));
    plain(&after, merge(4, MergeRule::Delta));
    plain(&schema, merge(1, MergeRule::Max));
}

#[test]
fn set_and_flag_columns() {
    let array = |ty| DataType::Array(Box::new(ty));
    let t = table(10, "t")
        .typed("tags", array(DataType::Text), MergeRule::Strict)
        .typed("u", array(DataType::Int8), MergeRule::Strict)
        .not_null()
        .typed("n", array(DataType::Numeric(None)), MergeRule::Strict)
        .not_null()
        .typed("ok", array(DataType::Uuid), MergeRule::Strict)
        .not_null()
        .typed("b", DataType::Bool, MergeRule::Strict)
        .not_null()
        .index(&[2], false);
    let schema = schema(&[&t]);
    refused(&schema, merge(1, MergeRule::AddWinsSet), INVALID, "allows NULL");
    refused(&schema, merge(2, MergeRule::AddWinsSet), INVALID, "in the index");
    refused(&schema, merge(3, MergeRule::AddWinsSet), INVALID, "cannot be MERGE ADD WINS SET");
    refused(&schema, merge(5, MergeRule::AddWinsSet), INVALID, "cannot be MERGE ADD WINS SET");
    refused(&schema, merge(4, MergeRule::EnableWins), INVALID, "cannot be MERGE ENABLE WINS");
    let after = plain(&schema, merge(4, MergeRule::AddWinsSet));
    barrier(&after, merge(4, MergeRule::Lww));
    let after = plain(&after, merge(5, MergeRule::DisableWins));
    barrier(&after, merge(5, MergeRule::EnableWins));
}

#[test]
fn max_and_foreign_keys() {
    let stays = table(50, "stays").rows(RowRule::AppendOnly);
    let goes = table(70, "goes");
    let t = |parent: &Build| table(10, "t").col("p", MergeRule::Strict).references(&parent.table, &[1]);
    plain(&schema(&[&stays, &t(&stays)]), merge(1, MergeRule::Max));
    refused(&schema(&[&goes, &t(&goes)]), merge(1, MergeRule::Max), INVALID, "FOREIGN KEY");
}

#[test]
fn add_wins_needs_rows_that_may_come_back() {
    let plain_table = || table(10, "t").minted().col("a", MergeRule::Lww).col("b", MergeRule::Lww);
    let add_wins = || rows(RowRule::AddWins, false);
    plain(&schema(&[&plain_table()]), add_wins());
    plain(&schema(&[&plain_table().check(&[0, 1, 2])]), add_wins());
    refused(&schema(&[&plain_table().index(&[1], true)]), add_wins(), INVALID, "unique index");
    let strict = plain_table().col("s", MergeRule::Strict).check(&[1, 3]);
    refused(&schema(&[&strict]), add_wins(), INVALID, "one lww group");
    let bounded = plain_table().col("d", MergeRule::Delta).bound(3, BoundSide::AtLeast, 0);
    refused(&schema(&[&bounded]), add_wins(), INVALID, "bounds a delta");
    plain(&schema(&[&bounded]), rows(RowRule::RemoveWins, false));
    let goes = table(50, "goes");
    let child = plain_table().references(&goes.table, &[1]);
    refused(&schema(&[&goes, &child]), add_wins(), INVALID, "not append only");
    let stays = table(50, "stays").rows(RowRule::AppendOnly);
    plain(&schema(&[&stays, &plain_table().references(&stays.table, &[1])]), add_wins());
}

#[test]
fn trusted_keys() {
    let t = table(10, "t").col("l", MergeRule::Lww);
    refused(&schema(&[&t]), rows(RowRule::Strict, true), INVALID, "rows are strict");
    let after = plain(&schema(&[&t]), rows(RowRule::AppendOnly, true));
    barrier(&after, rows(RowRule::AppendOnly, false));
    let strict = table(10, "t").col("s", MergeRule::Strict);
    refused(&schema(&[&strict]), rows(RowRule::AppendOnly, true), INVALID, "s is strict");
    refused(&schema(&[&table(10, "t").minted()]), rows(RowRule::AppendOnly, true), INVALID, "mints integers");
    let added = SchemaChange::AddColumn { table: T, column: column(2, "s", DataType::Int4) };
    refused(&after, added, INVALID, "s is strict");
}

#[test]
fn append_only_children() {
    let parent = table(50, "p");
    let mut t = table(10, "t").col("p", MergeRule::Strict).references(&parent.table, &[1]);
    t.table.foreign_keys[0].on_delete = ReferentialAction::Cascade;
    refused(&schema(&[&parent, &t]), rows(RowRule::AppendOnly, false), INVALID, "ON DELETE");
    plain(&schema(&[&parent, &t]), rows(RowRule::RemoveWins, false));
}

#[test]
fn row_rules_change_once() {
    let strict = schema(&[&table(10, "t").minted()]);
    let mut kept = None;
    for rule in [RowRule::AppendOnly, RowRule::AddWins, RowRule::RemoveWins] {
        let after = plain(&strict, rows(rule, false));
        let since = after.table(T).unwrap().add_wins_since;
        assert_eq!(since, (rule == RowRule::AddWins).then_some(after.version));
        plain(&after, rows(rule, false));
        for other in [RowRule::Strict, RowRule::AppendOnly, RowRule::AddWins, RowRule::RemoveWins] {
            if other != rule {
                barrier(&after, rows(other, false));
            }
        }
        kept = Some(after);
    }
    assert!(kept.is_some());
}

#[test]
fn new_constraints() {
    let strict = schema(&[&table(10, "t").minted().col("a", MergeRule::Strict)]);
    let annotated = plain(&strict, rows(RowRule::AppendOnly, false));
    let loose = plain(&strict, merge(1, MergeRule::Lww));
    let made = table(10, "t").minted().col("a", MergeRule::Strict).index(&[1], true).check(&[1]);
    let index = SchemaChange::AddIndex { table: T, index: made.table.indexes[1].clone() };
    let check = SchemaChange::AddCheck { table: T, check: made.table.checks[0].clone() };
    for change in [index, check] {
        plain(&strict, change.clone());
        barrier(&annotated, change.clone());
        barrier(&loose, change);
    }
    let mut lookup = made.table.indexes[1].clone();
    lookup.unique = false;
    plain(&annotated, SchemaChange::AddIndex { table: T, index: lookup });
    let mut tight = annotated.table(T).unwrap().columns[1].clone();
    tight.not_null = true;
    barrier(&annotated, SchemaChange::AlterColumn { table: T, column: tight.clone() });
    plain(&strict, SchemaChange::AlterColumn { table: T, column: tight });
    // Without a key that could be unique by construction all inserts are red, whatever the row rule.
    let no_mint = schema(&[&table(10, "t").rows(RowRule::AppendOnly).col("a", MergeRule::Strict)]);
    plain(&no_mint, SchemaChange::AddCheck { table: T, check: made.table.checks[0].clone() });
}

#[test]
fn new_references() {
    let parent = table(10, "p").minted();
    let child = table(50, "c").col("p", MergeRule::Strict).references(&parent.table, &[1]);
    let strict = schema(&[&parent]);
    let create = || SchemaChange::CreateTable(child.table.clone());
    let after = plain(&strict, create());
    barrier(&plain(&strict, rows(RowRule::RemoveWins, false)), create());
    plain(&plain(&strict, rows(RowRule::AppendOnly, false)), create());
    refused(&after, SchemaChange::DropTable(T), SchemaErrorKind::Dependent, "depend");
    refused(&after, create(), SchemaErrorKind::DuplicateTable, "already exists");
    let column = SchemaChange::DropColumn { table: TableId(50), column: ColumnId(1) };
    let dropped = plain(&after, column);
    assert!(dropped.table(TableId(50)).unwrap().foreign_keys.is_empty());
    let index = child.table.foreign_keys[0].child_index;
    let drop = SchemaChange::DropIndex { table: TableId(50), index };
    refused(&after, drop, SchemaErrorKind::Dependent, "depend");
}

/// A FOREIGN KEY that hands down minted values makes keys unique: it is relied upon.
#[test]
fn references_that_keys_rely_on() {
    let orders = table(10, "orders").rows(RowRule::AppendOnly).minted();
    let mut line = table(50, "line").col("o", MergeRule::Strict).not_null();
    line.table.indexes[0].columns.push(IndexColumn {
        column: ColumnId(1),
        descending: false,
        nulls_first: false,
    });
    let line = line.references(&orders.table, &[1]);
    let strict = schema(&[&orders, &line]);
    let constraint = line.table.foreign_keys[0].id;
    let drop = || SchemaChange::DropConstraint { table: TableId(50), constraint };
    plain(&strict, drop());
    let rows = SchemaChange::SetRows { table: TableId(50), rows: RowRule::AppendOnly, keys_trusted: false };
    barrier(&plain(&strict, rows), drop());
}

#[test]
fn columns_come_and_go() {
    let t =
        table(10, "t").minted().col("a", MergeRule::Strict).col("b", MergeRule::Lww).index(&[1, 2], false);
    let schema = schema(&[&t]);
    let after = plain(&schema, SchemaChange::DropColumn { table: T, column: ColumnId(1) });
    let dropped = after.table(T).unwrap();
    assert_eq!((dropped.columns.len(), dropped.slots, dropped.indexes.len()), (2, 3, 1));
    assert_eq!(dropped.column(ColumnId(2)).unwrap().name, "b");
    assert!(dropped.column(ColumnId(1)).is_none());
    let again = SchemaChange::AddColumn { table: T, column: column(1, "c", DataType::Int4) };
    refused(&after, again, INVALID, "used before");
    let added = Column { missing: Value::Int4(5), ..column(3, "a", DataType::Int4) };
    let after = plain(&after, SchemaChange::AddColumn { table: T, column: added });

    // A row stored before any of it reads as the table now says.
    let mut state = RowState::default();
    let op = Op::Insert { table: T, key: Key([1].into()), values: row(&[1, 2, 3]) };
    let seen = Frontier::default();
    let context = |id| Context { id, stamp: stamp(1, 1), seen: &seen, schema_version: 1 };
    state.apply(&t.table, &op, context(BORN), &mut vec![]);
    let now = after.table(T).unwrap();
    assert_eq!(state.view(&t.table).unwrap(), row(&[1, 2, 3]));
    assert_eq!(state.view(now).unwrap(), nullable(&[1, NULL, 3, 5]));
    // An addition to a column that the row is too short for starts from its constant.
    let cells = vec![(ColumnId(3), add(2))];
    let op = Op::Update { table: T, key: Key([1].into()), of: vec![BORN], cells };
    let id = TxnId::Red(9);
    state.apply(now, &op, Context { stamp: stamp(2, 1), ..context(id) }, &mut vec![]);
    assert_eq!(state.view(now).unwrap(), nullable(&[1, NULL, 3, 7]));

    refused(
        &schema,
        SchemaChange::DropColumn { table: T, column: ColumnId(0) },
        SchemaErrorKind::Unsupported,
        "primary key",
    );
    let rename = |name: &str| SchemaChange::RenameColumn { table: T, column: ColumnId(1), name: name.into() };
    refused(&schema, rename("b"), SchemaErrorKind::DuplicateColumn, "already exists");
    let renamed = plain(&schema, rename("z"));
    assert_eq!(
        renamed.table(T).unwrap().version,
        schema.table(T).unwrap().version,
        "nothing depends on names"
    );
    let other = Column { ty: DataType::Text, ..schema.table(T).unwrap().columns[1].clone() };
    refused(
        &schema,
        SchemaChange::AlterColumn { table: T, column: other },
        SchemaErrorKind::Unsupported,
        "type",
    );
}

#[test]
fn versions_move_along_foreign_keys() {
    let a = table(10, "a");
    let b = table(30, "b").col("a", MergeRule::Strict).references(&a.table, &[1]);
    let c = table(60, "c").col("b", MergeRule::Strict).references(&b.table, &[1]);
    let d = table(90, "d");
    let schema = schema(&[&a, &b, &c, &d]);
    let moved = |change: SchemaChange| -> Vec<u32> {
        let mut after = schema.clone();
        after.apply(&change, 7);
        assert_eq!(after.version, 7);
        after.tables.values().filter(|t| t.version == 7).map(|t| t.id.0).collect()
    };
    assert_eq!(moved(rows(RowRule::AppendOnly, false)), [10, 30, 60]);
    let table = TableId(60);
    assert_eq!(
        moved(SchemaChange::SetRows { table, rows: RowRule::AppendOnly, keys_trusted: false }),
        [30, 60]
    );
    let constraint = c.table.foreign_keys[0].id;
    assert_eq!(moved(SchemaChange::DropConstraint { table, constraint }), [30, 60]);
    assert_eq!(moved(SchemaChange::DropTable(table)), [30]);
    assert!(moved(SchemaChange::RenameTable { table, name: "e".into() }).is_empty());
}

#[test]
fn sequences() {
    let schema = schema(&[&table(10, "t").minted().col("x", MergeRule::Strict)]); // 900 is open at 1000
    let id = SequenceId(900);
    refused(&schema, SchemaChange::DropSequence(id), SchemaErrorKind::Dependent, "depend");
    barrier(&schema, SchemaChange::AlterSequence(Sequence { start: 5, ..sequence(Some(1000)) }));
    plain(&schema, SchemaChange::AlterSequence(Sequence { name: "z".into(), ..sequence(Some(1000)) }));
    refused(&schema, SchemaChange::AlterSequence(sequence(Some(2))), INVALID, "fixed");
    let attach =
        Column { minting: Some(Minting::Sequence(id)), ..schema.table(T).unwrap().columns[1].clone() };
    barrier(&schema, SchemaChange::AlterColumn { table: T, column: attach.clone() });

    let closed = Sequence { id: SequenceId(901), name: "more".into(), ..sequence(None) };
    let after = plain(&schema, SchemaChange::CreateSequence(closed));
    assert_eq!(after.next_id, 902);
    let attach = Column { minting: Some(Minting::Sequence(SequenceId(901))), ..attach };
    let after = plain(&after, SchemaChange::AlterColumn { table: T, column: attach });
    let open = SchemaChange::OpenSequence { sequence: SequenceId(901), base: 77 };
    let after = plain(&after, open);
    assert_eq!(after.sequence(SequenceId(901)).unwrap().base, Some(77));
}
