//! The engine against a model: random transactions, schema changes, snapshots, folds, checkpoints and crashes; at every
//! step each snapshot must show exactly what a plain map held at its moment, and every index exactly its table.
//!
//! A failure prints its seed: `SEED=n cargo test -p gemini-engine --test model`.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::*;
use gemini_engine::{Digest, KeyRange, MemDisk, MemStore, Options, Retention, Snapshot};
use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{Frontier, IndexId, Key, Op, SchemaChange, TableId, Value};

/// Small and good enough: the same seed gives the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    tables: BTreeMap<TableId, BTreeMap<i64, (String, i64)>>,
    /// Whether the table has the index by sum, and its id.
    by_sum: BTreeMap<TableId, IndexId>,
}

struct Run {
    random: Random,
    site: Option<Site>,
    store: MemStore,
    options: Options,
    now: Model,
    next_id: u32,
    /// Rows written since the last sync: a generator sees only what is visible.
    touched: BTreeSet<(TableId, i64)>,
    /// What a crash may leave: everything since the last sync.
    possible: Vec<(Frontier, Model)>,
    snapshots: Vec<(Snapshot, Model)>,
    digests: BTreeMap<String, Digest>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let memory = [4_000, 20_000, 1 << 30][random.below(3) as usize];
        let options = Options { memory, conflicts: Retention { bytes: 1_100, age: u64::MAX }, ..options() };
        let store = MemStore::crashing();
        let site = Site::open(options.clone(), MemDisk::new(), Arc::new(store.clone())).expect("open");
        let possible = vec![(Frontier::default(), Model::default())];
        Run {
            random,
            site: Some(site),
            store,
            options,
            now: Model::default(),
            next_id: 1,
            touched: BTreeSet::new(),
            possible,
            snapshots: Vec::new(),
            digests: BTreeMap::new(),
        }
    }

    fn site(&mut self) -> &mut Site {
        self.site.as_mut().expect("the site is open")
    }

    fn remember(&mut self) {
        let frontier = self.site().engine.applied().clone();
        let now = self.now.clone();
        self.possible.push((frontier, now));
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..60 => self.transaction(),
            60..75 => self.sync(),
            75..80 => self.snapshot(),
            80..84 => self.check_snapshots(),
            84..88 => self.drop_snapshot(),
            88..93 => {
                let budget = self.random.below(600) as usize;
                self.site().engine.fold(budget).expect("fold");
            }
            93..95 => self.checkpoint(),
            95..98 => self.schema_change(),
            _ => self.restart(),
        }
    }

    fn transaction(&mut self) {
        let tables: Vec<TableId> = self.now.tables.keys().copied().collect();
        if tables.is_empty() {
            return self.schema_change();
        }
        let visible = self.site().snapshot();
        let mut ops: Vec<Op> = Vec::new();
        for _ in 0..=self.random.below(4) {
            let table = tables[self.random.below(tables.len() as u64) as usize];
            let id = self.random.below(80) as i64;
            if !self.touched.insert((table, id)) {
                continue;
            }
            let name = format!("n{}", self.random.below(12));
            let rows = self.now.tables.get_mut(&table).expect("known");
            let Some(row) = rows.get_mut(&id) else {
                ops.push(insert(table, id, &name));
                rows.insert(id, (name, 0));
                continue;
            };
            match self.random.below(10) {
                0..4 => {
                    ops.push(rename(&visible, table, id, &name));
                    row.0 = name;
                }
                4..8 => {
                    let n = self.random.below(7) as i64 - 3;
                    ops.push(add(&visible, table, id, n));
                    row.1 += n;
                }
                _ => {
                    ops.push(delete(&visible, table, id));
                    rows.remove(&id);
                    // Sometimes another life at once, in the same transaction.
                    if self.random.one_in(2) {
                        ops.push(insert(table, id, &name));
                        rows.insert(id, (name, 0));
                    }
                }
            }
        }
        self.site().blue(ops);
        self.remember();
    }

    fn schema_change(&mut self) {
        self.sync();
        let tables: Vec<TableId> = self.now.tables.keys().copied().collect();
        let pick = |random: &mut Random| tables[random.below(tables.len() as u64) as usize];
        match self.random.below(8) {
            _ if tables.is_empty() => self.create_table(),
            0 if tables.len() < 3 => self.create_table(),
            1 if tables.len() > 1 => {
                let table = pick(&mut self.random);
                self.now.tables.remove(&table);
                self.now.by_sum.remove(&table);
                self.site().ddl(SchemaChange::DropTable(table));
            }
            2..5 => {
                let table = pick(&mut self.random);
                if !self.now.by_sum.contains_key(&table) {
                    let id = IndexId(self.next_id);
                    self.next_id += 1;
                    self.now.by_sum.insert(table, id);
                    self.site().ddl(SchemaChange::AddIndex { table, index: index(id, &[2, 1]) });
                }
            }
            _ => {
                let table = pick(&mut self.random);
                if let Some(index) = self.now.by_sum.remove(&table) {
                    self.site().ddl(SchemaChange::DropIndex { table, index });
                }
            }
        }
        self.possible.clear();
        self.remember();
    }

    fn create_table(&mut self) {
        let id = TableId(self.next_id);
        self.site().ddl(SchemaChange::CreateTable(table(id, id.0 + 1)));
        self.next_id += 3;
        self.now.tables.insert(id, BTreeMap::new());
    }

    fn sync(&mut self) {
        self.site().sync();
        self.touched.clear();
        self.possible.clear();
        self.remember();
        if self.random.one_in(6) {
            self.digest();
        }
    }

    /// The same frontier has the same digest, before and after whatever happened.
    fn digest(&mut self) {
        let snapshot = self.site().snapshot();
        let digest = snapshot.digest().expect("digest");
        let known = self.digests.entry(snapshot.frontier().to_string()).or_insert_with(|| digest.clone());
        assert_eq!(*known, digest, "digest at {}", snapshot.frontier());
    }

    fn snapshot(&mut self) {
        self.sync();
        if self.snapshots.len() < 4 {
            let snapshot = self.site().snapshot();
            self.snapshots.push((snapshot, self.now.clone()));
        }
    }

    fn drop_snapshot(&mut self) {
        if !self.snapshots.is_empty() {
            let at = self.random.below(self.snapshots.len() as u64) as usize;
            self.snapshots.swap_remove(at);
        }
    }

    fn check_snapshots(&mut self) {
        let snapshots = std::mem::take(&mut self.snapshots);
        let kept = snapshots.into_iter().filter(|(snapshot, model)| {
            // A snapshot that held too much is ended: an error, never a wrong answer.
            let ended = snapshot.get(TableId(0), &pk(0)).is_ok() && {
                let any = model.tables.keys().next().copied().unwrap_or(TABLE);
                snapshot.get(any, &pk(0)) == Err(gemini_engine::Error::SnapshotTooOld)
            };
            if !ended {
                check(snapshot, model, &mut self.random);
            }
            !ended
        });
        self.snapshots = kept.collect();
    }

    fn checkpoint(&mut self) {
        let state = self.random.next().to_le_bytes().to_vec();
        let site = self.site();
        site.engine.checkpoint(state);
        site.engine.fold(10_000).expect("fold");
        if let Some(from) = site.engine.checkpointed().expect("log") {
            site.engine.cut(from);
        }
    }

    /// A crash, or a plain stop; disk and store lose what they may.
    fn restart(&mut self) {
        self.snapshots.clear();
        let Some(site) = self.site.take() else { return };
        let disk = site.disk.clone();
        let time = site.time;
        drop(site);
        if self.random.one_in(2) {
            disk.crash(&mut || self.random.next());
            let kept = self.random.below(self.store.unflushed() as u64 + 1) as usize;
            self.store.crash(kept);
        }
        let mut site = Site::open(self.options.clone(), disk, Arc::new(self.store.clone())).expect("reopen");
        site.time = time;
        let frontier = site.engine.applied().clone();
        let found = self.possible.iter().find(|(f, _)| *f == frontier);
        let (_, model) = found.unwrap_or_else(|| panic!("restarted at {frontier}, which no sync explains"));
        self.now = model.clone();
        self.touched.clear();
        self.site = Some(site);
        self.possible.clear();
        self.remember();
        let snapshot = self.site().snapshot();
        assert_eq!(*snapshot.frontier(), frontier);
        check(&snapshot, &self.now.clone(), &mut self.random);
        self.digest();
    }
}

/// Everything a snapshot shows, by every way of reading.
fn check(snapshot: &Snapshot, model: &Model, random: &mut Random) {
    assert_eq!(snapshot.schema().tables.len(), model.tables.len());
    for (table, rows) in &model.tables {
        let expected: Vec<(Key, (String, i64))> =
            rows.iter().map(|(id, row)| (pk(*id), row.clone())).collect();
        for reverse in [false, true] {
            let limit = 1 + random.below(100) as usize;
            let mut found = scan(snapshot, *table, reverse, limit);
            if reverse {
                found.reverse();
            }
            assert_eq!(found, expected, "scan of {table} at {:?}", snapshot.seq());
        }
        for id in 0..80 {
            let row = snapshot.get(*table, &pk(id)).expect("get").map(|row| show(&row));
            assert_eq!(row.as_ref(), rows.get(&id), "row {id} of {table} at {:?}", snapshot.seq());
        }
        let by_name = rows.iter().map(|(id, (name, _))| entry(&[Value::Text(name.as_str().into())], *id));
        check_index(snapshot, *table, IndexId(table.0 + 2), by_name.collect(), random);
        if let Some(index) = model.by_sum.get(table) {
            let by_sum = rows
                .iter()
                .map(|(id, (name, sum))| entry(&[Value::Int8(*sum), Value::Text(name.as_str().into())], *id));
            check_index(snapshot, *table, *index, by_sum.collect(), random);
        }
    }
}

fn show(row: &[Value]) -> (String, i64) {
    match (&row[1], &row[2]) {
        (Value::Text(name), Value::Int8(sum)) => (name.to_string(), *sum),
        other => panic!("a row of other types: {other:?}"),
    }
}

fn entry(values: &[Value], id: i64) -> (Key, Key) {
    let mut bytes = key::encode_key(values).0.to_vec();
    bytes.extend_from_slice(&pk(id).0);
    (Key(bytes.into()), pk(id))
}

fn scan(snapshot: &Snapshot, table: TableId, reverse: bool, limit: usize) -> Vec<(Key, (String, i64))> {
    let mut all = Vec::new();
    let mut range = KeyRange::all();
    loop {
        let rows = snapshot.scan(table, &range, reverse, limit).expect("scan");
        all.extend(rows.iter().map(|(key, row)| (key.clone(), show(row))));
        match rows.last() {
            Some((last, _)) if rows.len() == limit => range = range.after(last, reverse),
            _ => return all,
        }
    }
}

fn check_index(
    snapshot: &Snapshot,
    table: TableId,
    index: IndexId,
    mut expected: Vec<(Key, Key)>,
    random: &mut Random,
) {
    expected.sort();
    let limit = 1 + random.below(100) as usize;
    for reverse in [false, true] {
        let mut found = Vec::new();
        let mut range = KeyRange::all();
        loop {
            let part = snapshot.index_scan(table, index, &range, reverse, limit).expect("index scan");
            found.extend(part.iter().cloned());
            match part.last() {
                Some((last, _)) if part.len() == limit => range = range.after(last, reverse),
                _ => break,
            }
        }
        if reverse {
            found.reverse();
        }
        assert!(found.is_sorted(), "index {index} of {table} is not in order");
        let (found, expected): (BTreeSet<_>, BTreeSet<_>) =
            (found.iter().cloned().collect(), expected.iter().cloned().collect());
        let surplus: Vec<_> = found.difference(&expected).collect();
        let lacking: Vec<_> = expected.difference(&found).collect();
        assert!(
            surplus.is_empty() && lacking.is_empty(),
            "index {index} of {table} at {:?}: surplus {surplus:?}, lacking {lacking:?}",
            snapshot.seq()
        );
    }
}

fn run(seed: u64) {
    let outcome = std::panic::catch_unwind(|| {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step();
        }
        run.sync();
        run.check_snapshots();
        let snapshot = run.site().snapshot();
        check(&snapshot, &run.now.clone(), &mut run.random);
        run.restart();
    });
    if let Err(panic) = outcome {
        eprintln!("repeat with: SEED={seed} cargo test -p gemini-engine --test model");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn snapshots_show_what_the_model_holds_through_folds_and_crashes() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|s| s.parse().ok()) {
        return run(seed);
    }
    let rounds = std::env::var("ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    for seed in 0..rounds {
        run(seed);
    }
}
