mod codec;
mod crash;
mod damage;
mod golden;
mod writing;

use std::sync::Arc;

use gemini_shadow_ops::{
    ColumnId, Dot, Entry, EntryId, Footprint, Frontier, Hlc, Item, Key, Op, Read, RedTransaction, SequenceId,
    ShadowOp, ShadowTransaction, SiteId, Stamp, TableId, TxnId, Value, Verdict, Write,
};

use super::*;
use crate::disk::MemDisk;

/// Random numbers from a seed (splitmix64).
pub(super) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub(super) fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 8192,
        create: true,
        identity: 0x1122_3344_5566_7788,
        spares: 2,
        ..LogOptions::default()
    }
}

pub(super) fn open(disk: &MemDisk) -> LogResult<(Log, Opened)> {
    Log::open(&options(), disk)
}

pub(super) fn note(n: u64, len: usize) -> Record {
    let mut body = vec![n as u8; len];
    body.extend_from_slice(&n.to_le_bytes());
    Record::Note { kind: 7, body }
}

pub(super) fn commit(log: &mut Log, disk: &MemDisk) -> Lsn {
    let lsn = log.take_batch().unwrap().write(disk).unwrap();
    if let Some(upkeep) = log.take_upkeep() {
        upkeep.run(disk).unwrap();
    }
    lsn
}

pub(super) fn all(log: &Log) -> Vec<(Lsn, Record)> {
    let reader = log.reader();
    reader.iter(reader.first()).map(|e| e.map(|e| (e.lsn, e.record)).unwrap()).collect()
}

pub(super) fn transaction() -> ShadowTransaction {
    let site = SiteId(1);
    let key = Key(vec![0x15, 1, 2].into());
    let mut seen = Frontier::default();
    seen.set_blue(site, 3);
    seen.red = 5;
    let op = |op| ShadowOp { statement: 0, op };
    ShadowTransaction {
        origin: site,
        statements: vec![seen.clone()],
        deps: seen,
        stamp: Stamp { hlc: Hlc { micros: 1_700_000_000_000_000, count: 2 }, site },
        schema_version: 9,
        ops: vec![
            op(Op::Delete { table: TableId(2), key: key.clone(), of: vec![TxnId::Blue(Dot { site, n: 3 })] }),
            op(Op::Update {
                table: TableId(2),
                key,
                of: vec![TxnId::Red(5)],
                cells: vec![(ColumnId(1), Write::Set(Value::Null))],
            }),
        ],
    }
}

/// One record of each kind.
pub(super) fn samples() -> Vec<Record> {
    let dot = Dot { site: SiteId(1), n: 4 };
    let red = RedTransaction {
        id: EntryId { site: SiteId(1), start: 2, counter: 3 },
        transaction: Arc::new(transaction()),
        footprint: Footprint {
            reads: vec![Read { statement: 0, item: Item::Table { table: TableId(2) } }],
            writes: vec![Item::Catalogue],
        },
        tables: vec![(TableId(2), 1)],
    };
    vec![
        Record::Start { count: 300 },
        Record::Blue { dot, transaction: Arc::new(transaction()), local: true },
        Record::Admit { dot },
        Record::Red { r: 6, entry: Arc::new(Entry::Transaction(red)), verdict: Verdict::Accepted },
        Record::Sequencer(b"raft".to_vec()),
        Record::Minted { sequence: SequenceId(3), upto: -2 },
        Record::Note { kind: 1, body: b"note".to_vec() },
        Record::Checkpoint { replay_from: Lsn(4096), state: b"state".to_vec() },
    ]
}
