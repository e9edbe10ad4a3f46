//! Who wrote an item last: an index from items to red indices, ranges included.
//!
//! Items overlap: a cell is in its table, an index key in ranges and in its table. So each write notes the item itself and its
//! table, and a read looks at everything that could contain it or lie within it:
//!
//! | read | conflicts with writes of |
//! |---|---|
//! | row, cells | the same row or column; the whole table |
//! | index key | the same key; a range around it; the whole table |
//! | range | any key within; a range that meets it; the whole table |
//! | table | anything in it |

use std::collections::BTreeMap;

use crate::footprint::Item;
use crate::ids::{ColumnId, IndexId, SequenceId, TableId};
use crate::op::Key;

/// The last red index that wrote each item of the window.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    rows: BTreeMap<(TableId, Key), RowWrites>,
    index_keys: BTreeMap<IndexId, BTreeMap<Key, u64>>,
    /// Few: no effect writes a range, only a lock may.
    ranges: Vec<(IndexId, Key, Key, u64)>,
    tables: BTreeMap<TableId, TableWrites>,
    sequences: BTreeMap<SequenceId, u64>,
    catalogue: u64,
}

/// Zero: not within the window.
#[derive(Clone, Debug, Default)]
struct RowWrites {
    existence: u64,
    cells: Vec<(ColumnId, u64)>,
}

#[derive(Clone, Debug, Default)]
struct TableWrites {
    /// Anything in it.
    any: u64,
    /// The table as a whole.
    whole: u64,
}

impl Written {
    /// Notes that `r`, later than all noted before, wrote an item.
    pub fn note(&mut self, item: &Item, r: u64) {
        if let Some(table) = item.table() {
            self.tables.entry(table).or_default().any = r;
        }
        match item {
            Item::Row { table, key } => self.row(*table, key).existence = r,
            Item::Cells { table, key, columns } => {
                let row = self.row(*table, key);
                for column in columns {
                    match row.cells.binary_search_by_key(column, |(c, _)| *c) {
                        Ok(i) => row.cells[i].1 = r,
                        Err(i) => row.cells.insert(i, (*column, r)),
                    }
                }
            }
            Item::IndexKey { index, key, .. } => {
                self.index_keys.entry(*index).or_default().insert(key.clone(), r);
            }
            Item::Range { index, from, to, .. } => self.ranges.push((*index, from.clone(), to.clone(), r)),
            Item::Table { table } => self.tables.entry(*table).or_default().whole = r,
            Item::Catalogue => self.catalogue = r,
            Item::Sequence { sequence } => {
                self.sequences.insert(*sequence, r);
            }
        }
    }

    /// Drops what `r`, the oldest of the window, wrote and nobody wrote since.
    pub fn forget(&mut self, item: &Item, r: u64) {
        if let Some(table) = item.table()
            && self.tables.get(&table).is_some_and(|t| t.any == r)
        {
            self.tables.remove(&table);
        }
        match item {
            Item::Row { table, key } | Item::Cells { table, key, .. } => {
                let at = (*table, key.clone());
                if let Some(row) = self.rows.get_mut(&at) {
                    if row.existence == r {
                        row.existence = 0;
                    }
                    row.cells.retain(|(_, last)| *last != r);
                    if row.existence == 0 && row.cells.is_empty() {
                        self.rows.remove(&at);
                    }
                }
            }
            Item::IndexKey { index, key, .. } => {
                if let Some(keys) = self.index_keys.get_mut(index) {
                    if keys.get(key) == Some(&r) {
                        keys.remove(key);
                    }
                    if keys.is_empty() {
                        self.index_keys.remove(index);
                    }
                }
            }
            Item::Range { .. } => self.ranges.retain(|(.., last)| *last != r),
            Item::Table { table } => {
                if let Some(writes) = self.tables.get_mut(table)
                    && writes.whole == r
                {
                    writes.whole = 0;
                }
            }
            Item::Catalogue if self.catalogue == r => self.catalogue = 0,
            Item::Catalogue => {}
            Item::Sequence { sequence } => {
                if self.sequences.get(sequence) == Some(&r) {
                    self.sequences.remove(sequence);
                }
            }
        }
    }

    /// The last red index that wrote something of an item.
    pub fn last(&self, item: &Item) -> Option<u64> {
        let within = match item {
            Item::Row { table, key } => self.rows.get(&(*table, key.clone())).map_or(0, |r| r.existence),
            Item::Cells { table, key, columns } => {
                let cells = self.rows.get(&(*table, key.clone())).map_or(&[][..], |r| &r.cells);
                cells.iter().filter(|(c, _)| columns.contains(c)).map(|(_, r)| *r).max().unwrap_or(0)
            }
            Item::IndexKey { index, key, .. } => {
                let same = self.index_keys.get(index).and_then(|keys| keys.get(key)).copied();
                let around =
                    self.ranges.iter().filter(|(i, from, to, _)| i == index && contains(from, to, key));
                around.map(|(.., r)| *r).chain(same).max().unwrap_or(0)
            }
            Item::Range { index, from, to, .. } => self.last_in_range(*index, from, to),
            Item::Table { table } => self.tables.get(table).map_or(0, |t| t.any),
            Item::Catalogue => self.catalogue,
            Item::Sequence { sequence } => self.sequences.get(sequence).copied().unwrap_or(0),
        };
        let whole = item.table().and_then(|t| self.tables.get(&t)).map_or(0, |t| t.whole);
        Some(within.max(whole)).filter(|r| *r > 0)
    }

    fn last_in_range(&self, index: IndexId, from: &Key, to: &Key) -> u64 {
        let keys = self.index_keys.get(&index).into_iter().flat_map(|keys| {
            keys.range::<Key, _>(from..).take_while(|(key, _)| contains(from, to, key)).map(|(_, r)| *r)
        });
        let meets = |a: &Key, b: &Key| {
            // [from, to) and [a, b), each without an end if `to` or `b` is empty.
            (to.0.is_empty() || a < to) && (b.0.is_empty() || from < b)
        };
        let ranges = self.ranges.iter().filter(|(i, a, b, _)| *i == index && meets(a, b)).map(|(.., r)| *r);
        keys.chain(ranges).max().unwrap_or(0)
    }

    fn row(&mut self, table: TableId, key: &Key) -> &mut RowWrites {
        self.rows.entry((table, key.clone())).or_default()
    }
}

fn contains(from: &Key, to: &Key, key: &Key) -> bool {
    from <= key && (to.0.is_empty() || key < to)
}
