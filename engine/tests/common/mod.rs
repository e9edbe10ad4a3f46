//! What the engine's tests share: a small schema, transactions on it, and a site's thread in miniature.
#![allow(dead_code)]

use std::sync::Arc;

use gemini_engine::log::LogOptions;
use gemini_engine::{Engine, Error, MemDisk, MemStore, Options, Retention, Snapshot, Store};
use gemini_shadow_ops::value::key;
use gemini_shadow_ops::{
    Column, ColumnId, DataType, Dot, Entry, EntryId, Footprint, Hlc, Index, IndexColumn, IndexId, Key,
    MergeRule, Op, RedTransaction, RowRule, SchemaChange, ShadowOp, ShadowTransaction, SiteId, Stamp, Table,
    TableId, TxnId, Value, Verdict, Write,
};

pub const SITE: SiteId = SiteId(1);
pub const TABLE: TableId = TableId(1);
pub const BY_NAME: IndexId = IndexId(3);
pub const BY_SUM: IndexId = IndexId(4);

pub fn column(id: u16, name: &str, ty: DataType, merge: MergeRule) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        ty,
        not_null: false,
        default: None,
        generated: None,
        identity: None,
        minting: None,
        merge,
        missing: Value::Null,
        hidden: false,
    }
}

pub fn index(id: IndexId, columns: &[u16]) -> Index {
    let columns = columns
        .iter()
        .map(|c| IndexColumn { column: ColumnId(*c), descending: false, nulls_first: false })
        .collect();
    Index {
        id,
        name: format!("i{}", id.0),
        columns,
        unique: false,
        nulls_not_distinct: false,
        constraint: None,
    }
}

/// t (id int8 primary key, name text lww, total int8 delta), with an index by name.
pub fn table(id: TableId, first_index: u32) -> Table {
    let primary = Index { unique: true, ..index(IndexId(first_index), &[0]) };
    Table {
        id,
        name: format!("t{}", id.0),
        version: 0,
        columns: vec![
            column(0, "id", DataType::Int8, MergeRule::Strict),
            column(1, "name", DataType::Text, MergeRule::Lww),
            column(2, "total", DataType::Int8, MergeRule::Delta),
        ],
        slots: 3,
        rows: RowRule::RemoveWins,
        keys_trusted: true,
        indexes: vec![primary, index(IndexId(first_index + 1), &[1])],
        foreign_keys: vec![],
        checks: vec![],
        add_wins_since: None,
    }
}

pub fn pk(id: i64) -> Key {
    key::encode_key(&[Value::Int8(id)])
}

pub fn insert(table: TableId, id: i64, name: &str) -> Op {
    let values = vec![Value::Int8(id), Value::Text(name.into()), Value::Int8(0)];
    Op::Insert { table, key: pk(id), values: values.into() }
}

/// What an update or delete of the row in this snapshot names.
pub fn live(snapshot: &Snapshot, table: TableId, id: i64) -> Vec<TxnId> {
    let Some(declared) = snapshot.schema().tables.get(&table).cloned() else { return vec![] };
    let state = snapshot.state(table, &pk(id)).expect("state");
    state.map_or_else(Vec::new, |state| state.live(&declared))
}

pub fn rename(snapshot: &Snapshot, table: TableId, id: i64, name: &str) -> Op {
    let cells = vec![(ColumnId(1), Write::Set(Value::Text(name.into())))];
    Op::Update { table, key: pk(id), of: live(snapshot, table, id), cells }
}

pub fn add(snapshot: &Snapshot, table: TableId, id: i64, n: i64) -> Op {
    let cells = vec![(ColumnId(2), Write::Add(Value::Int8(n)))];
    Op::Update { table, key: pk(id), of: live(snapshot, table, id), cells }
}

pub fn delete(snapshot: &Snapshot, table: TableId, id: i64) -> Op {
    Op::Delete { table, key: pk(id), of: live(snapshot, table, id) }
}

pub fn options() -> Options {
    Options {
        log: LogOptions {
            segment_bytes: 64 * 1024,
            create: true,
            identity: 7,
            spares: 1,
            ..LogOptions::default()
        },
        memory: 64 * 1024 * 1024,
        checkpoint_every: 1 << 20,
        conflicts: Retention { bytes: 1 << 20, age: u64::MAX },
        ..Options::default()
    }
}

/// One site, driven by hand.
pub struct Site {
    pub engine: Engine,
    pub disk: MemDisk,
    pub store: Arc<dyn Store>,
    pub time: u64,
}

impl Site {
    pub fn new() -> Site {
        Site::open(options(), MemDisk::new(), Arc::new(MemStore::new())).expect("a new site opens")
    }

    pub fn open(options: Options, disk: MemDisk, store: Arc<dyn Store>) -> Result<Site, Error> {
        let engine = Engine::open(options, Arc::new(disk.clone()), store.clone(), &mut |_| {})?;
        let time = engine.seq().0 + 1_000_000;
        Ok(Site { engine, disk, store, time })
    }

    /// Stops without warning and opens again on the same disk and store.
    pub fn reopen(self, options: Options) -> Result<Site, Error> {
        let Site { engine, disk, store, .. } = self;
        drop(engine);
        Site::open(options, disk, store)
    }

    pub fn transaction(&mut self, ops: Vec<Op>) -> Arc<ShadowTransaction> {
        self.time += 1;
        Arc::new(ShadowTransaction {
            origin: SITE,
            statements: vec![self.engine.applied().clone()],
            deps: self.engine.applied().clone(),
            stamp: Stamp { hlc: Hlc { micros: self.time, count: 0 }, site: SITE },
            schema_version: self.engine.schema().version,
            ops: ops.into_iter().map(|op| ShadowOp { statement: 0, op }).collect(),
        })
    }

    /// Commits blue; not yet durable.
    pub fn blue(&mut self, ops: Vec<Op>) -> Dot {
        let transaction = self.transaction(ops);
        let dot = Dot { site: SITE, n: self.engine.applied().blue(SITE) + 1 };
        self.engine.commit_blue(dot, transaction).expect("blue commits");
        dot
    }

    /// Orders and applies red; not yet durable.
    pub fn red(&mut self, ops: Vec<Op>) -> u64 {
        let transaction = self.transaction(ops);
        let r = self.engine.applied().red + 1;
        let entry = Entry::Transaction(RedTransaction {
            id: EntryId { site: SITE, start: 1, counter: r },
            transaction,
            footprint: Footprint::default(),
            tables: vec![],
        });
        self.engine.admit_red(r, Arc::new(entry), &Verdict::Accepted).expect("red applies");
        r
    }

    pub fn ddl(&mut self, change: SchemaChange) {
        self.red(vec![Op::Schema(change)]);
        self.sync();
    }

    /// One group commit.
    pub fn sync(&mut self) {
        while let Some(mut batch) = self.engine.take_batch() {
            let end = batch.write(&self.disk).expect("the batch is written");
            self.engine.durable(end);
        }
        if let Some(upkeep) = self.engine.take_upkeep() {
            upkeep.run(&self.disk).expect("upkeep");
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        self.engine.reader().snapshot()
    }

    pub fn fold_all(&mut self) {
        while self.engine.fold(100).expect("fold").more {}
    }

    /// A whole checkpoint, and the log cut.
    pub fn checkpoint(&mut self) {
        self.sync();
        assert!(self.engine.checkpoint(b"site".to_vec()));
        self.fold_all();
        let from = self.engine.checkpointed().expect("log").expect("the checkpoint is finished");
        self.engine.cut(from);
        self.sync();
    }
}

impl Default for Site {
    fn default() -> Site {
        Site::new()
    }
}
