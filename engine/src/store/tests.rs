use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gemini_shadow_ops::row::{Additions, CellStamp};
use gemini_shadow_ops::{
    BoundSide, ColumnId, Dot, EntryId, Frontier, Hlc, Incarnation, Interval, Reservation, Rights, RowState,
    Share, SiteId, Stamp, TxnId, Value,
};
use proptest::prelude::*;

use super::*;
use crate::Lsn;

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i16>().prop_map(Value::Int2),
        any::<i32>().prop_map(Value::Int4),
        any::<i64>().prop_map(Value::Int8),
        (-1e9f64..1e9).prop_map(Value::Float8),
        ".{0,12}".prop_map(|s| Value::Text(s.as_str().into())),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|b| Value::Bytea(b.as_slice().into())),
        any::<i32>().prop_map(Value::Date),
        any::<i64>().prop_map(Value::Timestamptz),
        (any::<i32>(), any::<i32>(), any::<i64>())
            .prop_map(|(months, days, micros)| Value::Interval(Interval { months, days, micros })),
        any::<[u8; 16]>().prop_map(Value::Uuid),
    ]
}

fn stamps() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), any::<u32>(), any::<u16>())
        .prop_map(|(micros, count, site)| Stamp { hlc: Hlc { micros, count }, site: SiteId(site) })
}

fn ids() -> impl Strategy<Value = TxnId> {
    prop_oneof![
        (any::<u16>(), any::<u64>()).prop_map(|(s, n)| TxnId::Blue(Dot { site: SiteId(s), n })),
        any::<u64>().prop_map(TxnId::Red),
    ]
}

fn frontiers() -> impl Strategy<Value = Frontier> {
    (prop::collection::vec((any::<u16>(), 1u64..), 0..4), any::<u64>()).prop_map(|(blue, red)| {
        let mut frontier = Frontier::default();
        blue.into_iter().for_each(|(site, n)| frontier.set_blue(SiteId(site), n));
        frontier.red = red;
        frontier
    })
}

fn rights() -> impl Strategy<Value = Rights> {
    let share = (any::<u16>(), any::<u16>(), any::<i64>(), any::<i64>(), any::<i64>());
    let shares = prop::collection::vec(share, 0..3);
    (shares, prop::collection::vec((any::<u16>(), any::<u64>(), any::<i64>()), 0..2)).prop_map(
        |(shares, reserved)| Rights {
            shares: shares
                .into_iter()
                .map(|(column, site, added, at_least, at_most)| Share {
                    column: ColumnId(column),
                    site: SiteId(site),
                    added: Value::Int8(added),
                    at_least: Value::Int8(at_least),
                    at_most: Value::Int8(at_most),
                })
                .collect(),
            reserved: reserved
                .into_iter()
                .map(|(site, counter, amount)| Reservation {
                    entry: EntryId { site: SiteId(site), start: 1, counter },
                    column: ColumnId(1),
                    side: BoundSide::AtMost,
                    amount: Value::Int8(amount),
                })
                .collect(),
        },
    )
}

prop_compose! {
    fn incarnations()(
        id in ids(),
        born in stamps(),
        values in prop::collection::vec(values(), 0..20),
        stamps in prop::collection::vec((any::<u16>(), stamps(), ids()), 0..4),
        died in prop::option::of(frontiers()),
        touched in frontiers(),
        fingerprint in any::<u64>(),
        rights in rights(),
        additions in prop::collection::vec((any::<u16>(), prop::collection::vec(frontiers(), 0..3)), 0..3),
    ) -> Incarnation {
        let additions =
            additions.into_iter().map(|(c, by)| Additions { column: ColumnId(c), by }).collect();
        let stamps =
            stamps.into_iter().map(|(c, stamp, by)| CellStamp { column: ColumnId(c), stamp, by }).collect();
        Incarnation { id, born, values: values.into(), stamps, died, touched, fingerprint, rights, additions }
    }
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were(lsn in any::<u64>(), rows in prop::collection::vec(incarnations(), 0..3)) {
        let state = RowState { incarnations: rows };
        let bytes = row::encode(Lsn(lsn), &state).expect("encodes");
        prop_assert_eq!(row::decode(&bytes), Ok((Lsn(lsn), state)));
    }

    #[test]
    fn damaged_rows_are_errors_and_never_panics(
        rows in prop::collection::vec(incarnations(), 0..2),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = row::encode(Lsn(1), &RowState { incarnations: rows }).expect("encodes");
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(row::decode(&bytes).is_err());
        } else {
            bytes[at] = byte;
            // It may still be a row, but of nothing more than these bytes.
            let _ = row::decode(&bytes);
        }
    }
}

#[test]
fn a_rows_bytes_never_change() {
    let stamp = |micros| Stamp { hlc: Hlc { micros, count: 2 }, site: SiteId(3) };
    let mut seen = Frontier::default();
    seen.red = 9;
    seen.set_blue(SiteId(3), 4);
    let state = RowState {
        incarnations: vec![
            Incarnation {
                id: TxnId::Blue(Dot { site: SiteId(3), n: 4 }),
                born: stamp(300),
                values: vec![Value::Int8(-2), Value::Null, Value::Text("ä".into())].into(),
                stamps: vec![CellStamp { column: ColumnId(2), stamp: stamp(301), by: TxnId::Red(7) }],
                died: None,
                touched: seen.clone(),
                fingerprint: 0x0102_0304_0506_0708,
                rights: Rights::default(),
                additions: vec![Additions { column: ColumnId(2), by: vec![seen.clone()] }],
            },
            Incarnation {
                id: TxnId::Red(6),
                born: stamp(200),
                values: vec![].into(),
                stamps: vec![],
                died: Some(seen),
                touched: Frontier::default(),
                fingerprint: 0,
                rights: Rights {
                    shares: vec![Share {
                        column: ColumnId(1),
                        site: SiteId(2),
                        added: Value::Int8(-3),
                        at_least: Value::Int8(4),
                        at_most: Value::Int8(0),
                    }],
                    reserved: vec![Reservation {
                        entry: EntryId { site: SiteId(2), start: 1, counter: 5 },
                        column: ColumnId(1),
                        side: BoundSide::AtLeast,
                        amount: Value::Int8(1),
                    }],
                },
                additions: vec![],
            },
        ],
    };
    let bytes = row::encode(Lsn(1000), &state).expect("encodes");
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let golden = concat!(
        "03",
        "e807",
        "02", // format, LSN, incarnations
        "000304",
        "ac020203",
        "16",
        "0807060504030201",
        "03",
        "02", // id, born, flags, fingerprint, columns, nulls
        "0403",
        "0802c3a4", // values
        "0102ad02020301",
        "07",
        "01030409",       // stamps, touched
        "01020101030409", // additions
        "0106",
        "c8010203",
        "09",
        "0000000000000000",
        "00",
        "01030409", // ended by a delete
        "010102040504080400",
        "0102010501000402", // rights: a share, a reservation
    );
    assert_eq!(hex, golden);
    assert_eq!(row::decode(&bytes), Ok((Lsn(1000), state.clone())));
    assert!(row::decode(&[4, 0, 0]).is_err_and(|e| e.to_string().contains("format 4")));
    // The format before had no additions.
    let without = RowState { incarnations: state.incarnations[1..].to_vec() };
    let mut before = row::encode(Lsn(1000), &without).expect("encodes");
    before[0] = 2;
    assert_eq!(row::decode(&before), Ok((Lsn(1000), without)));
}

/// A folder of its own, removed when dropped.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Folder(std::env::temp_dir().join(format!("gemini-store-{}-{number}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const KINDS: [StoreKind; 2] = [StoreKind::Fjall, StoreKind::Sled];

#[test]
fn all_stores_answer_alike() {
    let folders = [Folder::new(), Folder::new()];
    let memory = MemStore::new();
    let mut changes = Changes::default();
    for n in 0..100u8 {
        changes.put(vec![n % 3, n], vec![n; 3]);
    }
    changes.remove(vec![1, 4]);
    changes.put(vec![1, 7], b"again".to_vec());
    changes.put(vec![1; 100_000], b"long".to_vec());
    memory.apply(changes.clone()).expect("applies");
    for (kind, folder) in KINDS.into_iter().zip(&folders) {
        let store = kind.open(&folder.0, 1 << 20).expect("opens");
        store.apply(changes.clone()).expect("applies");
        store.flush().expect("flushes");
        assert_answers(&*store, &memory);
        assert!(store.room().is_ok());
        drop(store);
        assert_eq!(StoreKind::found(&folder.0), Some(kind));
        assert_answers(&*kind.open(&folder.0, 1 << 20).expect("opens again"), &memory);
    }
}

fn assert_answers(store: &dyn Store, memory: &dyn Store) {
    let spans = [
        Span { from: vec![], to: None },
        Span::prefix(vec![1]),
        Span { from: vec![0, 9], to: Some(vec![1, 9]) },
        Span { from: vec![5], to: Some(vec![2]) },
    ];
    for span in &spans {
        for (reverse, limit) in [(false, 1000), (true, 1000), (false, 3), (true, 3)] {
            assert_eq!(store.range(span, reverse, limit), memory.range(span, reverse, limit), "{span:?}");
        }
    }
    assert_eq!(store.get(&[1, 7]), Ok(Some(b"again".to_vec())));
    assert_eq!(store.get(&[1, 4]), Ok(None));
    assert_eq!(store.get(&[1; 100_000]), Ok(Some(b"long".to_vec())));
}

/// More than all memtables may hold, so that they are written out and merged under way.
#[test]
fn a_store_larger_than_its_memory_keeps_everything() {
    for kind in KINDS {
        let folder = Folder::new();
        let store = kind.open(&folder.0, 1 << 20).expect("opens");
        let key = |n: u32| n.to_be_bytes().to_vec();
        for round in 0..2u8 {
            for batch in 0..64u32 {
                let mut changes = Changes::default();
                for n in 0..64 {
                    let n = n * 64 + batch;
                    changes.put(key(n), vec![round ^ n as u8; 1000]);
                }
                store.apply(changes).expect("applies");
            }
        }
        store.flush().expect("flushes");
        drop(store);
        let store = kind.open(&folder.0, 1 << 20).expect("opens again");
        let all = store.range(&Span { from: vec![], to: None }, false, 1 << 20).expect("reads");
        assert_eq!(all.len(), 64 * 64);
        for (n, (found, value)) in (0..).zip(all) {
            assert_eq!((found, value), (key(n), vec![1 ^ n as u8; 1000]));
        }
    }
}

/// A file of each kind whose loss or damage it cannot open with.
fn spoil(kind: StoreKind, folder: &std::path::Path) {
    let file = match kind {
        StoreKind::Fjall => "version",
        StoreKind::Sled => "conf",
    };
    std::fs::write(folder.join(file), b"not what was written").expect("writes");
}

#[test]
fn a_damaged_folder_is_moved_aside_and_one_in_use_is_not() {
    for kind in KINDS {
        let folder = Folder::new();
        let store = kind.open(&folder.0, 1 << 20).expect("opens");
        let taken = kind.open_or_replace(&folder.0, 1 << 20).err().expect("it is in use");
        assert!(taken.to_string().contains("could not acquire lock"), "{taken}");
        let mut changes = Changes::default();
        changes.put(b"k".to_vec(), vec![7; 100]);
        store.apply(changes).expect("applies");
        store.flush().expect("flushes");
        drop(store);
        spoil(kind, &folder.0);
        let store = kind.open_or_replace(&folder.0, 1 << 20).expect("replaced");
        assert_eq!(store.get(b"k"), Ok(None));
        drop(store);
        let moved = Folder(folder.0.with_extension("damaged-1"));
        assert!(moved.0.is_dir(), "the old folder is kept");
    }
}

#[test]
fn a_store_of_the_other_kind_is_refused_and_left_alone() {
    for (kind, other) in [(StoreKind::Fjall, StoreKind::Sled), (StoreKind::Sled, StoreKind::Fjall)] {
        let folder = Folder::new();
        drop(kind.open(&folder.0, 1 << 20).expect("opens"));
        let error =
            other.open_or_replace(&folder.0, 1 << 20).err().expect("it is of another kind").to_string();
        assert!(error.contains(&format!("store = \"{}\"", kind.name())), "{error}");
        assert!(kind.open(&folder.0, 1 << 20).is_ok());
    }
}

#[test]
fn a_crashed_memory_store_keeps_a_prefix_of_what_was_not_flushed() {
    let store = MemStore::crashing();
    let put = |n: u8| {
        let mut changes = Changes::default();
        changes.put(vec![n], vec![n]);
        store.apply(changes).expect("applies");
    };
    put(1);
    store.flush().expect("flushes");
    put(2);
    put(3);
    assert_eq!(store.unflushed(), 2);
    store.crash(1);
    assert_eq!(store.get(&[2]), Ok(Some(vec![2])));
    assert_eq!(store.get(&[3]), Ok(None));
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    store.crash(0);
    assert_eq!(shared.get(&[2]), Ok(Some(vec![2])), "what a crash kept is there for good");
}
