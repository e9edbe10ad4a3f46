//! One site: commit, visibility, restart, checkpoint, indexes, schema changes.

mod common;

use std::sync::Arc;

use common::*;
use gemini_engine::{KeyRange, LocalRead, MemStore};
use gemini_shadow_ops::{Item, SchemaChange, TableId, Value};

fn seeded() -> Site {
    let mut site = Site::new();
    site.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    site.blue(vec![insert(TABLE, 1, "one"), insert(TABLE, 2, "two")]);
    site.sync();
    site
}

fn names(site: &Site) -> Vec<String> {
    let rows = site.snapshot().scan(TABLE, &KeyRange::all(), false, 100).expect("scan");
    rows.iter().map(|(_, row)| format!("{:?}", row[1])).collect()
}

#[test]
fn a_commit_is_visible_when_it_is_durable_and_not_before() {
    let mut site = seeded();
    let before = site.snapshot();
    let op = rename(&before, TABLE, 1, "uno");
    site.blue(vec![op]);
    let row = |s: &gemini_engine::Snapshot| s.get(TABLE, &pk(1)).expect("get").map(|r| r[1].clone());
    assert_eq!(row(&site.snapshot()), Some(Value::Text("one".into())));
    site.sync();
    assert_eq!(row(&site.snapshot()), Some(Value::Text("uno".into())));
    assert_eq!(row(&before), Some(Value::Text("one".into())));
    assert!(before.frontier() != site.snapshot().frontier());
}

#[test]
fn a_restart_replays_to_the_same_digest_and_loses_only_what_was_not_durable() {
    let mut site = seeded();
    let snapshot = site.snapshot();
    site.blue(vec![add(&snapshot, TABLE, 1, 5), delete(&snapshot, TABLE, 2)]);
    site.sync();
    let digest = site.snapshot().digest().expect("digest");
    let frontier = site.snapshot().frontier().clone();
    let snapshot = site.snapshot();
    site.blue(vec![add(&snapshot, TABLE, 1, 7)]);
    site.disk.crash(&mut || 3);
    let site = site.reopen(options()).expect("reopen");
    assert_eq!(site.snapshot().digest().expect("digest"), digest);
    assert_eq!(*site.snapshot().frontier(), frontier);
    assert_eq!(*site.engine.applied(), frontier);
}

#[test]
fn a_checkpoint_moves_the_start_of_replay_and_the_log_is_cut() {
    let mut site = seeded();
    for n in 10..2000 {
        site.blue(vec![insert(TABLE, n, &format!("name {n}"))]);
        if n % 100 == 0 {
            site.sync();
        }
    }
    site.checkpoint();
    let snapshot = site.snapshot();
    site.blue(vec![add(&snapshot, TABLE, 1, 5), rename(&snapshot, TABLE, 11, "eleven")]);
    site.sync();
    let digest = site.snapshot().digest().expect("digest");
    assert!(site.engine.log_reader().first().0 > 4096, "the log was cut");
    let mut before = 0;
    let (disk, store) = (site.disk.clone(), site.store.clone());
    drop(site);
    let engine = gemini_engine::Engine::open(options(), Arc::new(disk.clone()), store, &mut |replay| {
        assert_eq!(replay.state, Some(&b"site"[..]));
        before += usize::from(replay.applied_before);
    })
    .expect("reopen");
    assert_eq!(engine.reader().snapshot().digest().expect("digest"), digest);
    assert_eq!(engine.recovered_state(), Some(&b"site"[..]));
    drop(engine);
    // Without the store the log no longer reaches back: an error that says so, and nothing is changed.
    let lost = Site::open(options(), disk, Arc::new(MemStore::new())).err().map(|e| e.to_string());
    assert!(lost.is_some_and(|e| e.contains("no longer reaches back")));
}

#[test]
fn a_lost_store_is_built_again_from_a_whole_log() {
    let mut site = seeded();
    assert!(site.engine.checkpoint(vec![]));
    site.fold_all();
    site.sync();
    let digest = site.snapshot().digest().expect("digest");
    let disk = site.disk.clone();
    drop(site);
    let site = Site::open(options(), disk, Arc::new(MemStore::new())).expect("rebuilt");
    assert_eq!(site.snapshot().digest().expect("digest"), digest);
}

#[test]
fn indexes_follow_their_rows() {
    let mut site = seeded();
    let old = site.snapshot();
    site.blue(vec![rename(&old, TABLE, 1, "zwei"), insert(TABLE, 3, "two")]);
    site.sync();
    let entries = |s: &gemini_engine::Snapshot| {
        let found = s.index_scan(TABLE, BY_NAME, &KeyRange::all(), false, 10).expect("index scan");
        found.into_iter().map(|(_, primary)| primary).collect::<Vec<_>>()
    };
    assert_eq!(entries(&site.snapshot()), [pk(2), pk(3), pk(1)]);
    assert_eq!(entries(&old), [pk(1), pk(2)]);
    drop(old);
    site.checkpoint();
    assert_eq!(entries(&site.snapshot()), [pk(2), pk(3), pk(1)]);
    let site = site.reopen(options()).expect("reopen");
    assert_eq!(entries(&site.snapshot()), [pk(2), pk(3), pk(1)]);
}

#[test]
fn an_index_on_an_existing_table_covers_its_rows_and_goes_when_dropped() {
    let mut site = seeded();
    site.checkpoint();
    site.ddl(SchemaChange::AddIndex { table: TABLE, index: index(BY_SUM, &[2]) });
    let snapshot = site.snapshot();
    site.blue(vec![add(&snapshot, TABLE, 1, 9)]);
    site.sync();
    let entries = |site: &Site| {
        let found =
            site.snapshot().index_scan(TABLE, BY_SUM, &KeyRange::all(), false, 10).expect("index scan");
        found.into_iter().map(|(_, primary)| primary).collect::<Vec<_>>()
    };
    assert_eq!(entries(&site), [pk(2), pk(1)]);
    let mut site = site.reopen(options()).expect("reopen");
    assert_eq!(entries(&site), [pk(2), pk(1)]);
    site.checkpoint();
    let mut site = site.reopen(options()).expect("reopen");
    assert_eq!(entries(&site), [pk(2), pk(1)]);
    site.ddl(SchemaChange::DropIndex { table: TABLE, index: BY_SUM });
    assert!(entries(&site).is_empty());
    site.checkpoint();
    site.fold_all();
    let site = site.reopen(options()).expect("reopen");
    assert!(entries(&site).is_empty());
}

#[test]
fn a_dropped_table_stays_for_those_who_see_it() {
    let mut site = seeded();
    let old = site.snapshot();
    site.ddl(SchemaChange::DropTable(TABLE));
    assert_eq!(names(&site).len(), 0);
    assert_eq!(old.scan(TABLE, &KeyRange::all(), true, 10).expect("scan").len(), 2);
    site.blue(vec![insert(TABLE, 9, "nobody")]);
    site.ddl(SchemaChange::CreateTable(table(TableId(9), 20)));
    drop(old);
    site.checkpoint();
    let site = site.reopen(options()).expect("reopen");
    assert_eq!(site.engine.schema().tables.len(), 1);
}

#[test]
fn validation_sees_what_changed_and_nothing_else() {
    let mut site = seeded();
    let snapshot = site.snapshot();
    let seq = snapshot.seq();
    let cells = |column| Item::Cells {
        table: TABLE,
        key: pk(1),
        columns: [gemini_shadow_ops::ColumnId(column)].into(),
    };
    let row = Item::Row { table: TABLE, key: pk(1) };
    site.blue(vec![add(&snapshot, TABLE, 1, 1)]);
    let conflict = |site: &Site, item: Item| {
        site.engine.validate(&[LocalRead { item, seq }]).expect("validate").is_err()
    };
    assert!(!conflict(&site, row.clone()) && !conflict(&site, cells(1)) && conflict(&site, cells(2)));
    site.blue(vec![rename(&snapshot, TABLE, 1, "uno")]);
    let index_key = |name: &str| Item::IndexKey {
        table: TABLE,
        index: BY_NAME,
        key: gemini_shadow_ops::value::key::encode_key(&[Value::Text(name.into())]),
    };
    assert!(
        conflict(&site, cells(1)) && conflict(&site, index_key("uno")) && conflict(&site, index_key("one"))
    );
    assert!(!conflict(&site, index_key("two")) && !conflict(&site, row.clone()));
    let range = |from: i64, to: i64| Item::Range {
        table: TABLE,
        index: gemini_shadow_ops::IndexId(2),
        from: pk(from),
        to: pk(to),
    };
    site.blue(vec![insert(TABLE, 5, "five")]);
    assert!(conflict(&site, range(3, 9)) && !conflict(&site, range(6, 9)) && !conflict(&site, range(1, 5)));
    site.blue(vec![delete(&snapshot, TABLE, 1)]);
    assert!(conflict(&site, row) && !conflict(&site, Item::Catalogue));
    assert!(conflict(&site, Item::Table { table: TABLE }));
}

#[test]
fn transactions_are_found_again_by_dot_and_red_index() {
    let mut site = seeded();
    let transaction = site.transaction(vec![insert(TABLE, 7, "seven")]);
    let dot = gemini_shadow_ops::Dot { site: gemini_shadow_ops::SiteId(2), n: 1 };
    let received = gemini_engine::Record::Blue { dot, transaction: transaction.clone(), local: false };
    site.engine.append(received).expect("append");
    assert_eq!(site.engine.blue(dot), Ok(Some(transaction.clone())));
    site.engine.admit_blue(dot, &transaction).expect("admit");
    site.sync();
    assert!(site.snapshot().get(TABLE, &pk(7)).expect("get").is_some());
    let mut site = site.reopen(options()).expect("reopen");
    assert_eq!(site.engine.blue(dot), Ok(Some(transaction)));
    assert!(site.engine.red(1).expect("read").is_some());
    assert_eq!(site.engine.red(2), Ok(None));
    let late = site.transaction(vec![]);
    assert!(site.engine.admit_blue(gemini_shadow_ops::Dot { n: 3, ..dot }, &late).is_err());
}

#[test]
fn a_displaced_value_can_be_read_and_survives_restarts_once() {
    let mut site = seeded();
    let visible = site.snapshot();
    let ours = rename(&visible, TABLE, 1, "ours");
    site.blue(vec![ours]);
    // Another site wrote the same cell without having seen ours, and earlier.
    let mut theirs = (*site.transaction(vec![rename(&visible, TABLE, 1, "theirs")])).clone();
    theirs.origin = gemini_shadow_ops::SiteId(2);
    theirs.statements = vec![visible.frontier().clone()];
    theirs.stamp.hlc.micros -= 2;
    theirs.stamp.site = theirs.origin;
    drop(visible);
    let theirs = Arc::new(theirs);
    let dot = gemini_shadow_ops::Dot { site: theirs.origin, n: 1 };
    let received = gemini_engine::Record::Blue { dot, transaction: theirs.clone(), local: false };
    site.engine.append(received).expect("append");
    site.engine.admit_blue(dot, &theirs).expect("admit");
    assert!(site.engine.reader().conflicts().is_empty(), "not before it is durable");
    site.sync();
    let lost = |site: &Site| {
        let all = site.engine.reader().conflicts();
        all.into_iter().map(|c| (c.by, c.displaced.lost)).collect::<Vec<_>>()
    };
    let expected = [(gemini_shadow_ops::TxnId::Blue(dot), Value::Text("theirs".into()))];
    assert_eq!(lost(&site), expected);
    let mut site = site.reopen(options()).expect("reopen");
    assert_eq!(lost(&site), expected, "replayed");
    site.checkpoint();
    let site = site.reopen(options()).expect("reopen");
    assert_eq!(lost(&site), expected, "from the store");
}

#[test]
fn a_snapshot_that_holds_too_much_is_ended_with_an_error() {
    let small = gemini_engine::Options { memory: 20_000, ..options() };
    let mut site = Site::open(small, gemini_engine::MemDisk::new(), Arc::new(MemStore::new())).expect("open");
    site.ddl(SchemaChange::CreateTable(table(TABLE, 2)));
    site.blue((0..50).map(|id| insert(TABLE, id, "first")).collect());
    site.sync();
    let held = site.snapshot();
    assert!(held.get(TABLE, &pk(1)).is_ok());
    let mut round = 0;
    while held.get(TABLE, &pk(1)).is_ok() {
        round += 1;
        assert!(round < 100, "memory is bounded");
        let visible = site.snapshot();
        let ops = (0..50).map(|id| rename(&visible, TABLE, id, &format!("again {round}"))).collect();
        drop(visible);
        site.blue(ops);
        site.blue((0..50).map(|id| insert(TABLE, 1000 * round + id, "new")).collect());
        site.sync();
        site.fold_all();
    }
    assert_eq!(held.get(TABLE, &pk(1)), Err(gemini_engine::Error::SnapshotTooOld));
    site.fold_all();
    assert!(!site.engine.pressure().over);
    let row = site.snapshot().get(TABLE, &pk(1)).expect("get").map(|row| row[1].clone());
    assert_eq!(row, Some(Value::Text(format!("again {round}").as_str().into())));
}
