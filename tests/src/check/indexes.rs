//! Indexes tell the same as their tables: one entry for each row, and no other (DESIGN §9: a row and its index rows are one).

use std::collections::BTreeSet;

use gemini_engine::{KeyRange, Snapshot};
use gemini_shadow_ops::value::key::index_key;
use gemini_shadow_ops::{Key, Row};

/// Panics naming the first secondary index that does not agree with its table.
pub(super) fn check(snapshot: &Snapshot) {
    let all = KeyRange::all();
    for table in snapshot.schema().tables.values().filter(|table| table.indexes.len() > 1) {
        let rows = snapshot.scan(table.id, &all, false, usize::MAX).expect("the simulated store can be read");
        for index in &table.indexes[1..] {
            let entry = |(key, row): &(Key, Row)| {
                let columns = index_key(table, index, row);
                (Key([&columns.0[..], &key.0[..]].concat().into()), key.clone())
            };
            let expected: BTreeSet<(Key, Key)> = rows.iter().map(entry).collect();
            let found = snapshot.index_scan(table.id, index.id, &all, false, usize::MAX);
            let found: BTreeSet<(Key, Key)> =
                found.expect("the simulated store can be read").into_iter().collect();
            assert_eq!(found, expected, "indexes: {} and its table {} differ", index.name, table.name);
        }
    }
}
