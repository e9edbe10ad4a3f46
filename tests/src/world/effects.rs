//! Clients that speak to the site in effects rather than SQL: the same generator state, classifier and host as SQL's, with
//! hand-made tables. What they promise each other is simple enough to be checked to the last unit.
//!
//! | table | rows | columns |
//! |---|---|---|
//! | stock | append only | id, n (delta, n >= 0), note (lww), strict (strict), high (max) |
//! | cart | add wins, keys trusted | id, quantity (lww), tags (add wins set), gift (enable wins), open (disable wins) |

use std::sync::Arc;

use gemini_shadow_ops::value::{key, set};
use gemini_shadow_ops::{
    Bound, BoundSide, Check, Color, Column, ColumnId, ConstraintId, DataType, Index, IndexColumn, IndexId,
    Key, MergeRule, Row, RowRule, SchemaChange, Table, TableId, Value, Write,
};
use gemini_sql::host::{CommitError, Durability, Host};
use gemini_sql::txn::{Cell, Options, Transaction};
use parking_lot::Mutex;

use super::desk::Desk;
use super::time::Time;
use crate::random::Random;

/// How many rows of stock there are.
pub const STOCK: i64 = 4;

/// Each row's first n.
pub const FIRST: i64 = 14;

const N: ColumnId = ColumnId(1);
const NOTE: ColumnId = ColumnId(2);
const STRICT: ColumnId = ColumnId(3);
const HIGH: ColumnId = ColumnId(4);
const TAGS: ColumnId = ColumnId(2);
const GIFT: ColumnId = ColumnId(3);
const OPEN: ColumnId = ColumnId(4);

/// What clients were told, summed up.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Told {
    pub blue: u64,
    pub red: u64,
    pub conflicts: u64,
    pub refused: u64,
    pub unavailable: u64,
    pub unknown: u64,
    /// For want of rights.
    pub short: u64,
    /// Per stock row: the sum of acknowledged changes of n, and how far unknown outcomes may move it down and up.
    pub n: [i64; STOCK as usize],
    pub n_down: [i64; STOCK as usize],
    pub n_up: [i64; STOCK as usize],
    /// Acknowledged increments of `strict`, and unknown ones.
    pub strict: [i64; STOCK as usize],
    pub strict_unknown: [i64; STOCK as usize],
    /// The greatest acknowledged `high`.
    pub high: [i64; STOCK as usize],
}

fn column(id: u16, name: &str, merge: MergeRule) -> Column {
    Column {
        id: ColumnId(id),
        name: name.into(),
        ty: DataType::Int8,
        not_null: true,
        default: None,
        generated: None,
        identity: None,
        minting: None,
        merge,
        missing: Value::Null,
        hidden: false,
    }
}

fn table(id: u32, name: &str, columns: Vec<Column>, rows: RowRule, keys_trusted: bool) -> Table {
    Table {
        id: TableId(id),
        name: name.into(),
        version: 0,
        slots: columns.len() as u16,
        columns,
        rows,
        keys_trusted,
        indexes: vec![Index {
            id: IndexId(id + 1),
            name: format!("{name}_pkey"),
            columns: vec![IndexColumn { column: ColumnId(0), descending: false, nulls_first: false }],
            unique: true,
            nulls_not_distinct: false,
            constraint: Some(ConstraintId(id + 2)),
        }],
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        add_wins_since: (rows == RowRule::AddWins).then_some(0),
    }
}

fn stock() -> Table {
    let columns = vec![
        column(0, "id", MergeRule::Strict),
        column(1, "n", MergeRule::Delta),
        column(2, "note", MergeRule::Lww),
        column(3, "strict", MergeRule::Strict),
        column(4, "high", MergeRule::Max),
    ];
    let mut stock = table(1, "stock", columns, RowRule::AppendOnly, false);
    stock.checks.push(Check {
        id: ConstraintId(4),
        name: "stock_n_check".into(),
        sql: "n >= 0".into(),
        columns: vec![N],
        bounds: vec![Bound { column: N, side: BoundSide::AtLeast, limit: Value::Int8(0) }],
    });
    stock
}

fn cart() -> Table {
    let columns = vec![
        column(0, "id", MergeRule::Strict),
        column(1, "quantity", MergeRule::Lww),
        Column {
            ty: DataType::Array(Box::new(DataType::Int8)),
            ..column(TAGS.0, "tags", MergeRule::AddWinsSet)
        },
        Column { ty: DataType::Bool, ..column(GIFT.0, "gift", MergeRule::EnableWins) },
        Column { ty: DataType::Bool, ..column(OPEN.0, "open", MergeRule::DisableWins) },
    ];
    table(10, "cart", columns, RowRule::AddWins, true)
}

fn row_key(id: i64) -> Key {
    key::encode_key(&[Value::Int8(id)])
}

/// Writes one cell of a row that is there.
fn change(
    transaction: &mut Transaction,
    table: &Arc<Table>,
    key: Key,
    row: Row,
    cell: (ColumnId, Cell),
) -> gemini_sql::Result<()> {
    let touched = transaction.touch(table, &key)?;
    transaction.update(table, key, touched, row, vec![cell])
}

fn integer(row: &Row, column: ColumnId) -> i64 {
    match &row[usize::from(column.0)] {
        Value::Int8(v) => *v,
        other => panic!("the tables hold bigints, not {other:?}"),
    }
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Done(Color),
    Nothing,
    Again,
    Unknown,
    Not,
}

/// A client of one site.
pub struct Client {
    /// The site.
    pub host: Arc<dyn Host>,
    /// The clock.
    pub time: Time,
    /// Chance, of its own in each turn.
    random: Random,
    /// What all clients were told.
    pub told: Arc<Mutex<Told>>,
}

impl Client {
    /// At a site.
    pub fn new(host: Arc<dyn Host>, time: Time, told: Arc<Mutex<Told>>) -> Client {
        Client { host, time, random: Random::new(0), told }
    }

    /// Declares the tables and fills them; tries until it has worked.
    pub async fn set_up(self) {
        loop {
            let mut transaction = Transaction::new(Options::default());
            transaction.begin_statement(&*self.host);
            let mut schema = (*transaction.schema(&*self.host)).clone();
            if schema.tables.is_empty() {
                for table in [stock(), cart()] {
                    let change = SchemaChange::CreateTable(table);
                    schema.apply(&change, 0);
                    transaction.change_schema(change, Arc::new(schema.clone())).expect("the first statement");
                }
            } else if let Some(table) = schema.tables.get(&TableId(1)).cloned() {
                if transaction.get(&table, &row_key(0)).expect("it can be read").is_some() {
                    return;
                }
                for id in 0..STOCK {
                    let values = [id, FIRST, 0, 0, 0].map(Value::Int8);
                    transaction.insert(&table, row_key(id), Row::from(values.as_slice())).expect("a new row");
                }
            }
            self.commit(&transaction).await;
            self.time.sleep(50_000).await;
        }
    }

    /// Works at a desk until it closes.
    pub async fn work(mut self, desk: Desk) {
        while desk.is_open() {
            let Some(random) = desk.turn() else {
                self.time.sleep(20_000).await;
                continue;
            };
            self.random = random;
            match self.random.below(10) {
                0..=2 => self.sell().await,
                3 | 4 => self.restock().await,
                5 => {
                    let takes = self.random.chance(600);
                    self.count(takes).await;
                }
                6 => self.write(NOTE).await,
                7 => self.write(HIGH).await,
                _ => self.put_in_cart().await,
            }
            let pause = self.random.below(20_000);
            self.time.sleep(pause).await;
        }
    }

    /// Commits blue and red, when all is well.
    pub async fn probe(mut self) {
        while self.add(1).await != End::Done(Color::Blue) {
            self.time.sleep(50_000).await;
        }
        while !self.count(false).await {
            self.time.sleep(50_000).await;
        }
    }

    async fn commit(&self, transaction: &Transaction) -> End {
        let submission = match transaction.submission(&*self.host, Durability::Local, None) {
            Ok(Some(submission)) => submission,
            Ok(None) => return End::Nothing,
            Err(error) => panic!("a draft that cannot be classified: {error:?}"),
        };
        let color = submission.classification.color;
        let spends = !submission.classification.spends.is_empty();
        let outcome = self.host.submit(submission).await;
        let mut told = self.told.lock();
        match outcome {
            Ok(committed) => {
                match committed.color {
                    Color::Blue => told.blue += 1,
                    Color::Red => told.red += 1,
                }
                End::Done(committed.color)
            }
            Err(CommitError::Conflict { .. }) => {
                told.conflicts += 1;
                End::Again
            }
            Err(CommitError::Refused { .. }) => {
                assert_eq!(color, Color::Red, "blue is never refused by another site");
                told.refused += 1;
                End::Not
            }
            Err(CommitError::Unavailable { .. }) => {
                assert_eq!(color, Color::Red, "blue waits for nobody");
                told.unavailable += 1;
                End::Not
            }
            Err(CommitError::Short { .. }) => {
                assert!(spends, "only a spend can lack rights");
                told.short += 1;
                End::Not
            }
            Err(CommitError::Unknown { .. }) => {
                assert_eq!(color, Color::Red, "a blue outcome is known");
                told.unknown += 1;
                End::Unknown
            }
            Err(CommitError::Rejected { sqlstate, message }) => {
                // Out of memory or room; or the site joins, leaves, or was removed.
                let known = ["53200", "53100", "57P01", "57P03"].contains(&sqlstate)
                    || message.starts_with("this site was removed");
                assert!(known, "rejected: {sqlstate} {message}");
                End::Not
            }
        }
    }

    /// A fresh transaction, the table, and a row of stock in it.
    fn stock_row(&mut self) -> Option<(Transaction, Arc<Table>, i64, Row)> {
        let id = self.random.below(STOCK as u64) as i64;
        let mut transaction = Transaction::new(Options::default());
        transaction.begin_statement(&*self.host);
        let table = transaction.schema(&*self.host).tables.get(&TableId(1))?.clone();
        let row = transaction.get(&table, &row_key(id)).expect("it can be read")?;
        Some((transaction, table, id, row))
    }

    async fn add(&mut self, by: i64) -> End {
        let Some((mut transaction, table, id, row)) = self.stock_row() else { return End::Nothing };
        let n = integer(&row, N) + by;
        if n < 0 {
            return End::Nothing; // the generator refuses it: 23514
        }
        let write = Write::delta(&table, N, Value::Int8(by));
        let cell = Cell { write, assigned: false, computed: false };
        let mut after = row.to_vec();
        after[usize::from(N.0)] = Value::Int8(n);
        change(&mut transaction, &table, row_key(id), after.into(), (N, cell)).expect("a row that is there");
        // Until it is known, it may have happened: also if this client's site crashes now.
        let at = id as usize;
        self.may_have(at, by, 1);
        let end = self.commit(&transaction).await;
        if end != End::Unknown {
            self.may_have(at, by, -1);
        }
        if let End::Done(color) = end {
            assert_eq!(
                color,
                Color::Blue,
                "away from the bound nobody minds, and towards it there are rights"
            );
            self.told.lock().n[at] += by;
        }
        end
    }

    /// Notes (times = 1) or takes back (-1) that a change of n may have happened.
    fn may_have(&self, at: usize, by: i64, times: i64) {
        let mut told = self.told.lock();
        let side = if by > 0 { &mut told.n_up[at] } else { &mut told.n_down[at] };
        *side += by * times;
    }

    async fn sell(&mut self) {
        let by = self.random.between(1, 5) as i64;
        self.add(-by).await;
    }

    async fn restock(&mut self) {
        let by = self.random.between(1, 4) as i64;
        self.add(by).await;
    }

    /// Reads `strict` and writes it back plus one: increments must never be lost. Now and then it takes one from `n` as well, so
    /// that the order must decide over rights that are put aside. Whether it has worked.
    async fn count(&mut self, takes: bool) -> bool {
        for _ in 0..5 {
            let Some((mut transaction, table, id, row)) = self.stock_row() else { return false };
            let value = Value::Int8(integer(&row, STRICT) + 1);
            let mut after = row.to_vec();
            after[usize::from(STRICT.0)] = value.clone();
            let cell = Cell { write: Write::Set(value), assigned: false, computed: false };
            let by = if takes && integer(&row, N) > 0 { -1 } else { 0 };
            if by < 0 {
                after[usize::from(N.0)] = Value::Int8(integer(&row, N) + by);
                let write = Write::delta(&table, N, Value::Int8(by));
                let taken = Cell { write, assigned: false, computed: false };
                change(&mut transaction, &table, row_key(id), after.clone().into(), (N, taken))
                    .expect("a row that is there");
            }
            change(&mut transaction, &table, row_key(id), after.into(), (STRICT, cell))
                .expect("a row that is there");
            let at = id as usize;
            self.told.lock().strict_unknown[at] += 1;
            self.may_have(at, by, 1);
            let end = self.commit(&transaction).await;
            if end != End::Unknown {
                self.told.lock().strict_unknown[at] -= 1;
                self.may_have(at, by, -1);
            }
            match end {
                End::Done(color) => {
                    assert_eq!(color, Color::Red, "a strict column is red");
                    self.told.lock().n[at] += by;
                    self.told.lock().strict[at] += 1;
                    return true;
                }
                End::Unknown => return false,
                _ => self.time.sleep(10_000).await,
            }
        }
        false
    }

    async fn write(&mut self, column: ColumnId) {
        let Some((mut transaction, table, id, row)) = self.stock_row() else { return };
        let number = self.random.below(1_000_000) as i64;
        let value = Value::Int8(if column == HIGH { number.max(integer(&row, HIGH)) } else { number });
        let mut after = row.to_vec();
        after[usize::from(column.0)] = value.clone();
        let write = if column == HIGH { Write::Max(value) } else { Write::Set(value) };
        let cell = Cell { write, assigned: false, computed: false };
        change(&mut transaction, &table, row_key(id), after.into(), (column, cell))
            .expect("a row that is there");
        if let End::Done(color) = self.commit(&transaction).await {
            assert_eq!(color, Color::Blue, "lww and max are blue");
            if column == HIGH {
                let high = &mut self.told.lock().high[id as usize];
                *high = number.max(*high);
            }
        }
    }

    /// Inserts, changes or removes a row of the cart.
    async fn put_in_cart(&mut self) {
        let id = self.random.below(6) as i64;
        let mut transaction = Transaction::new(Options::default());
        transaction.begin_statement(&*self.host);
        let Some(table) = transaction.schema(&*self.host).tables.get(&TableId(10)).cloned() else { return };
        // From a source of their own: seeds that have found something stay what they were.
        let mut aside = Random::new(self.random.clone().bits() ^ 0x7a65).fork();
        let quantity = Value::Int8(self.random.below(100) as i64);
        let (gift, open) = (Value::Bool(aside.chance(500)), Value::Bool(aside.chance(500)));
        let tags: Vec<Value> = (0..aside.below(3)).map(|_| tag(&mut aside)).collect();
        let row = [Value::Int8(id), quantity, Value::Array(set::of(&tags).into()), gift, open];
        let there = transaction.get(&table, &row_key(id)).expect("it can be read");
        let done = match there {
            None => transaction.insert(&table, row_key(id), row.as_slice().into()),
            Some(_) if self.random.chance(400) => transaction.delete(&table, row_key(id), false),
            Some(before) => {
                let (column, value, write) = cart_write(&mut aside, &before, row);
                let mut after = before.to_vec();
                after[usize::from(column.0)] = value;
                let cell = Cell { write, assigned: false, computed: false };
                change(&mut transaction, &table, row_key(id), after.into(), (column, cell))
            }
        };
        done.expect("the row is as it was read");
        if let End::Done(color) = self.commit(&transaction).await {
            assert_eq!(color, Color::Blue, "carts are blue");
        }
    }
}

/// Few elements: sites meet at them.
fn tag(random: &mut Random) -> Value {
    Value::Int8(random.below(3) as i64)
}

/// A write of one cell of the cart: the column, its value after it, and the write. `wanted`: values that it might have.
fn cart_write(random: &mut Random, before: &Row, wanted: [Value; 5]) -> (ColumnId, Value, Write) {
    let [_, quantity, tags, gift, open] = wanted;
    match random.below(7) {
        0 => (ColumnId(1), quantity.clone(), Write::Set(quantity)),
        1 => (GIFT, gift.clone(), Write::EnableWins(gift == Value::Bool(true))),
        2 => (OPEN, open.clone(), Write::DisableWins(open == Value::Bool(true))),
        action => {
            let Value::Array(seen) = &before[usize::from(TAGS.0)] else { panic!("tags are a set") };
            let (one, Value::Array(all)) = ([tag(random)], tags) else { panic!("tags are a set") };
            let (remove, add) = match action {
                3 => (seen.to_vec(), all.to_vec()),
                4 => (set::intersection(&one, seen), vec![]),
                _ => (set::intersection(&one, seen), one.to_vec()),
            };
            let after = set::union(&set::difference(seen, &remove), &add);
            (TAGS, Value::Array(after.into()), Write::Elements { remove, add })
        }
    }
}

/// Compares what a quiet site holds with what clients were told.
pub fn audit(host: &dyn Host, told: &Told) {
    let snapshot = host.snapshot();
    for id in 0..STOCK {
        let at = id as usize;
        let row =
            snapshot.get(TableId(1), &row_key(id)).expect("it can be read").expect("stock is never deleted");
        let n = integer(&row, N) - FIRST;
        let (least, most) = (told.n[at] + told.n_down[at], told.n[at] + told.n_up[at]);
        assert!((least..=most).contains(&n), "deltas of row {id}: {n}, clients were told {least} to {most}");
        let strict = integer(&row, STRICT);
        let most = told.strict[at] + told.strict_unknown[at];
        assert!(
            (told.strict[at]..=most).contains(&strict),
            "increments of row {id}: {strict}, told {} to {most}",
            told.strict[at]
        );
        assert!(integer(&row, HIGH) >= told.high[at], "the greatest acknowledged value of row {id} is lost");
    }
}
