//! Clients that are real SQL sessions at a small shop, polled by the world as any other future.
//!
//! | table | declared | what must hold |
//! |---|---|---|
//! | item | append only; stock delta >= 0, price lww, hits max | stock is what was acknowledged, as far as outcomes are known |
//! | seat | remove wins; free delta between 0 and 9, deleted and made anew | nobody sits twice, nobody without a seat |
//! | orders, order_line | append only, minted ids, foreign keys | an order is never seen without all its lines |
//! | parcel | append only, filled by COPY | a batch is seen whole |
//! | ticket | append only; minted and explicit ids | an acknowledged id is one row's, for ever |
//! | account | strict | the balances' sum never changes |
//! | nickname | strict, UNIQUE name | never twice |
//! | parent, child, pet | strict, FOREIGN KEY (pet: CASCADE, UNIQUE) | never an orphan |
//! | cart, memo | add wins, remove wins | they converge |
//! | span | lww group under `lo <= hi` | it holds |
//!
//! The checks of single snapshots ([`look`]) run on every site, between steps, with nothing of SQL in between; [`audit`]
//! compares the end with what clients were told. An error whose SQLSTATE is not one that the statement may meet fails
//! the run. Tables, columns and indexes come and go meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gemini_engine::{KeyRange, Snapshot};
use gemini_shadow_ops::{Row, Table, Value};
use gemini_sql::error::Result;
use gemini_sql::session::{Collected, CopyInput, Session, Shared};
use parking_lot::Mutex;

use super::desk::Desk;
use super::time::Time;
use crate::random::Random;

/// How many items there are.
pub const ITEMS: usize = 4;
/// Each item's first stock.
const STOCK: i64 = 60;
const ACCOUNTS: i64 = 5;
const BALANCE: i64 = 100;
/// Rows in a COPY.
const BATCH: i64 = 5;

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS item (i_id INT PRIMARY KEY, i_stock INT NOT NULL MERGE DELTA CHECK (i_stock >= 0), \
     price NUMERIC(10,2) NOT NULL MERGE LWW, hits BIGINT NOT NULL MERGE MAX) ROWS APPEND ONLY",
    "CREATE TABLE IF NOT EXISTS orders (o_id BIGSERIAL PRIMARY KEY, lines INT NOT NULL, who TEXT MERGE LWW) \
     ROWS APPEND ONLY",
    "CREATE TABLE IF NOT EXISTS order_line (o_id BIGINT REFERENCES orders, n INT, i_id INT REFERENCES item, \
     quantity INT NOT NULL, PRIMARY KEY (o_id, n)) ROWS APPEND ONLY",
    "CREATE TABLE IF NOT EXISTS parcel (p_id BIGSERIAL PRIMARY KEY, batch TEXT NOT NULL, size INT NOT NULL) \
     ROWS APPEND ONLY",
    "CREATE TABLE IF NOT EXISTS ticket (t_id BIGSERIAL PRIMARY KEY, tag TEXT NOT NULL) ROWS APPEND ONLY",
    "CREATE TABLE IF NOT EXISTS account (id INT PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS nickname (id BIGSERIAL PRIMARY KEY, name TEXT UNIQUE)",
    "CREATE TABLE IF NOT EXISTS parent (id INT PRIMARY KEY, what TEXT)",
    "CREATE TABLE IF NOT EXISTS child (id BIGSERIAL PRIMARY KEY, parent INT REFERENCES parent, what TEXT)",
    "CREATE TABLE IF NOT EXISTS pet (id BIGSERIAL PRIMARY KEY, owner INT REFERENCES parent ON DELETE CASCADE, \
     name TEXT UNIQUE)",
    "CREATE TABLE IF NOT EXISTS cart (who INT, i_id INT REFERENCES item, quantity INT MERGE LWW, \
     PRIMARY KEY (who, i_id)) ROWS ADD WINS, KEYS TRUSTED",
    "CREATE TABLE IF NOT EXISTS memo (id INT PRIMARY KEY, body TEXT MERGE LWW, later TEXT) ROWS REMOVE WINS",
    "CREATE TABLE IF NOT EXISTS span (id INT PRIMARY KEY, lo INT NOT NULL MERGE LWW, hi INT NOT NULL MERGE LWW, \
     CHECK (lo <= hi)) ROWS APPEND ONLY",
    "CREATE TABLE IF NOT EXISTS seat (id INT PRIMARY KEY, free INT NOT NULL CHECK (free >= 0 AND free <= 9)) \
     ROWS REMOVE WINS",
];

/// What clients were told, summed up.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Books {
    pub done: BTreeMap<&'static str, u64>,
    pub errors: BTreeMap<&'static str, u64>,
    /// Per item: the sum of acknowledged changes of stock, and how far unknown outcomes may move it down and up.
    pub stock: [i64; ITEMS],
    pub down: [i64; ITEMS],
    pub up: [i64; ITEMS],
    pub hits: [i64; ITEMS],
    /// Acknowledged orders and their number of lines.
    pub orders: BTreeMap<i64, i64>,
    /// Every order id that was ever minted, whatever became of it.
    pub minted: BTreeSet<i64>,
    pub tickets: BTreeMap<i64, String>,
    pub batches: BTreeSet<String>,
    pub tags: u64,
}

/// A customer, a clerk and an administrator in one, at one site.
pub struct Shopper {
    session: Session,
    time: Time,
    random: Random,
    books: Arc<Mutex<Books>>,
}

type Rows = Vec<Vec<Value>>;

/// What any write may meet: a concurrent change, an unknown outcome, unreachable sites, full queues.
const ANY: &[&str] = &["40001", "40003", "57P03", "53300", "53200", "53100"];

impl Shopper {
    /// At a site.
    pub fn new(shared: Shared, time: Time, books: Arc<Mutex<Books>>) -> Shopper {
        let session = Session::new(shared, "shopper", "shop", 1);
        Shopper { session, time, random: Random::new(0), books }
    }

    /// Declares the tables and fills them; tries until it has worked.
    pub async fn set_up(mut self) {
        for text in TABLES {
            self.insist(text).await;
        }
        for id in 0..ITEMS {
            let text = format!("INSERT INTO item VALUES ({id}, {STOCK}, 9.99, 0) ON CONFLICT DO NOTHING");
            self.insist(&text).await;
            let text = format!("INSERT INTO span VALUES ({id}, 0, 10) ON CONFLICT DO NOTHING");
            self.insist(&text).await;
        }
        self.insist("INSERT INTO seat VALUES (0, 6), (1, 5), (2, 1) ON CONFLICT DO NOTHING").await;
        self.insist("ALTER TABLE seat ALTER COLUMN free SET MERGE DELTA").await;
        let values: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, {BALANCE})")).collect();
        let text = format!("INSERT INTO account VALUES {} ON CONFLICT DO NOTHING", values.join(", "));
        self.insist(&text).await;
    }

    async fn insist(&mut self, text: &str) {
        while self.run(text, &[]).await.is_err() {
            self.time.sleep(50_000).await;
        }
    }

    /// Commits blue and red, when all is well.
    pub async fn probe(mut self) {
        self.insist("UPDATE item SET hits = GREATEST(hits, 0) WHERE i_id = 0").await;
        self.insist("UPDATE account SET balance = balance WHERE id = 0").await;
    }

    /// Works at a desk until it closes.
    pub async fn work(mut self, desk: Desk) {
        self.wait_for_tables(&desk).await;
        while desk.is_open() {
            let Some(random) = desk.turn() else {
                self.time.sleep(30_000).await;
                continue;
            };
            self.random = random;
            let (name, result) = match self.random.below(44) {
                0..=5 => ("order", self.order().await),
                6..=9 => ("restock", self.restock().await),
                10..=12 => ("price", self.price().await),
                13..=16 => ("cart", self.cart().await),
                17..=20 => ("transfer", self.transfer().await),
                21..=23 => ("nickname", self.nickname().await),
                24..=27 => ("family", self.family().await),
                28..=30 => ("memo", self.memo().await),
                31..=32 => ("span", self.span().await),
                33..=34 => ("ticket", self.ticket().await),
                35..=36 => ("parcel", self.parcel().await),
                37 => ("look", self.look().await),
                38..=41 => ("seat", self.seat().await),
                _ => ("change", self.change().await),
            };
            if result.is_ok() {
                *self.books.lock().done.entry(name).or_default() += 1;
            }
            let pause = self.random.below(30_000);
            self.time.sleep(pause).await;
        }
    }

    /// The accounts are filled last, and all that set-up writes is red: who sees them sees everything.
    async fn wait_for_tables(&mut self, desk: &Desk) {
        while desk.is_open() {
            match self.run("SELECT id FROM account", &["42P01"]).await {
                Ok(rows) if !rows.is_empty() => return,
                _ => self.time.sleep(20_000).await,
            }
        }
    }

    /// Runs a text; an error must be one of `may` or of those any write may meet.
    async fn run(&mut self, text: &str, may: &[&str]) -> Result<Rows> {
        self.feed(text, may, &[]).await
    }

    async fn feed(&mut self, text: &str, may: &[&str], input: &[String]) -> Result<Rows> {
        let mut said = Collected::default();
        said.input.extend(input.iter().map(|line| CopyInput::Data(line.clone().into_bytes())));
        match self.session.simple(text, &mut said).await {
            Ok(()) => Ok(said.rows),
            Err(error) => {
                let state = error.sqlstate;
                assert!(
                    ANY.contains(&state) || may.contains(&state),
                    "an error that cannot be: {error:?}, after: {text}"
                );
                *self.books.lock().errors.entry(state).or_default() += 1;
                Err(error)
            }
        }
    }

    /// Ends a block that has failed.
    async fn roll_back(&mut self) {
        let mut said = Collected::default();
        self.session.simple("ROLLBACK", &mut said).await.expect("ROLLBACK is always possible");
    }

    /// Runs statements in a block; all rows.
    async fn block(&mut self, begin: &str, texts: &[String], may: &[&str]) -> Result<Vec<Rows>> {
        self.run(begin, &[]).await?;
        let mut rows = Vec::new();
        for text in texts {
            match self.run(text, may).await {
                Ok(some) => rows.push(some),
                Err(error) => {
                    self.roll_back().await;
                    return Err(error);
                }
            }
            if self.random.chance(200) {
                let pause = self.random.below(20_000);
                self.time.sleep(pause).await;
            }
        }
        self.run("COMMIT", may).await?;
        Ok(rows)
    }

    fn item(&mut self) -> usize {
        self.random.below(ITEMS as u64) as usize
    }

    /// Notes that a change of stock may have happened: also if this client's site crashes now.
    fn may_have(&self, changes: &[(usize, i64)], times: i64) {
        let mut books = self.books.lock();
        for (item, by) in changes {
            let side = if *by > 0 { &mut books.up } else { &mut books.down };
            side[*item] += by * times;
        }
    }

    fn settle<T>(&self, changes: &[(usize, i64)], result: &Result<T>) {
        match result {
            Err(error) if error.sqlstate == "40003" => return,
            Err(_) => {}
            Ok(_) => changes.iter().for_each(|(item, by)| self.books.lock().stock[*item] += by),
        }
        self.may_have(changes, -1);
    }

    async fn order(&mut self) -> Result<()> {
        let lines = self.random.between(1, 3) as i64;
        let tag = self.tag("o");
        let rows = match self.run("BEGIN", &[]).await {
            Ok(_) => {
                self.run(
                    &format!("INSERT INTO orders (lines, who) VALUES ({lines}, '{tag}') RETURNING o_id"),
                    &[],
                )
                .await
            }
            Err(error) => Err(error),
        };
        let id = match rows {
            Ok(rows) => integer(&rows[0][0]),
            Err(error) => {
                self.roll_back().await;
                return Err(error);
            }
        };
        assert!(self.books.lock().minted.insert(id), "minted twice: order {id}");
        let mut changes = Vec::new();
        let mut texts = Vec::new();
        for n in 0..lines {
            let (item, quantity) = (self.item(), self.random.between(1, 3) as i64);
            changes.push((item, -quantity));
            texts.push(format!("INSERT INTO order_line VALUES ({id}, {n}, {item}, {quantity})"));
            texts.push(format!("UPDATE item SET i_stock = i_stock - {quantity} WHERE i_id = {item}"));
        }
        self.may_have(&changes, 1);
        let mut result = Ok(Rows::new());
        for text in &texts {
            result = self.run(text, &["23514"]).await;
            if result.is_err() {
                self.roll_back().await;
                break;
            }
        }
        if result.is_ok() {
            result = self.run("COMMIT", &["23514"]).await;
        }
        self.settle(&changes, &result);
        result?;
        self.books.lock().orders.insert(id, lines);
        Ok(())
    }

    async fn restock(&mut self) -> Result<()> {
        let changes = [(self.item(), self.random.between(1, 4) as i64)];
        let (item, by) = changes[0];
        self.may_have(&changes, 1);
        let text = format!("UPDATE item SET i_stock = i_stock + {by} WHERE i_id = {item}");
        let result = self.run(&text, &[]).await;
        self.settle(&changes, &result);
        result.map(drop)
    }

    async fn price(&mut self) -> Result<()> {
        let (item, number) = (self.item(), self.random.below(100_000) as i64);
        if self.random.chance(500) {
            let text = format!("UPDATE item SET price = {number} / 100.0 WHERE i_id = {item}");
            return self.run(&text, &[]).await.map(drop);
        }
        self.run(&format!("UPDATE item SET hits = GREATEST(hits, {number}) WHERE i_id = {item}"), &[])
            .await?;
        let hits = &mut self.books.lock().hits[item];
        *hits = number.max(*hits);
        Ok(())
    }

    async fn cart(&mut self) -> Result<()> {
        let (who, item, quantity) = (self.random.below(3), self.item(), self.random.below(9));
        let text = match self.random.below(4) {
            0 => format!("DELETE FROM cart WHERE who = {who}"),
            1 => format!("UPDATE cart SET quantity = quantity + 1 WHERE who = {who}"),
            2 => format!("INSERT INTO cart VALUES ({who}, {item}, {quantity}) ON CONFLICT DO NOTHING"),
            _ => format!(
                "INSERT INTO cart VALUES ({who}, {item}, {quantity}) \
                 ON CONFLICT (who, i_id) DO UPDATE SET quantity = excluded.quantity"
            ),
        };
        self.run(&text, &[]).await.map(drop)
    }

    async fn transfer(&mut self) -> Result<()> {
        let from = self.random.below(ACCOUNTS as u64) as i64;
        let to = (from + 1 + self.random.below(ACCOUNTS as u64 - 1) as i64) % ACCOUNTS;
        let by = self.random.between(1, 20);
        let texts = [
            format!("UPDATE account SET balance = balance - {by} WHERE id = {from}"),
            format!("UPDATE account SET balance = balance + {by} WHERE id = {to}"),
        ];
        if self.random.chance(300) {
            let text = format!("{}; {}", texts[0], texts[1]);
            return self.run(&text, &[]).await.map(drop);
        }
        let forced = self.random.chance(300);
        if forced {
            self.run("SET gemini.color = 'red'", &[]).await?;
        }
        if self.random.chance(200) {
            return self.carefully(from, to, by as i64).await;
        }
        let begin = ["BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN"];
        let begin = begin[self.random.below(3) as usize];
        let result = self.block(begin, &texts, &[]).await;
        if forced {
            self.run("SET gemini.color = 'auto'", &[]).await?;
        }
        result.map(drop)
    }

    /// Reads with FOR UPDATE, takes a wrong step back, and writes what it computed itself.
    async fn carefully(&mut self, from: i64, to: i64, by: i64) -> Result<()> {
        self.run("BEGIN", &[]).await?;
        let result = async {
            let text =
                format!("SELECT id, balance FROM account WHERE id IN ({from}, {to}) ORDER BY id FOR UPDATE");
            let rows = self.run(&text, &[]).await?;
            assert_eq!(rows.len(), 2, "accounts are never deleted");
            self.run("SAVEPOINT wrong", &[]).await?;
            self.run("UPDATE account SET balance = 0", &[]).await?;
            self.run("ROLLBACK TO wrong", &[]).await?;
            for row in &rows {
                let (id, balance) = (integer(&row[0]), integer(&row[1]));
                let balance = if id == from { balance - by } else { balance + by };
                self.run(&format!("UPDATE account SET balance = {balance} WHERE id = {id}"), &[]).await?;
            }
            Ok(())
        };
        if let Err(error) = result.await {
            self.roll_back().await;
            return Err(error);
        }
        self.run("COMMIT", &[]).await.map(drop)
    }

    async fn nickname(&mut self) -> Result<()> {
        let (name, other) = (self.random.below(5), self.random.below(5));
        let text = match self.random.below(5) {
            0 => format!("DELETE FROM nickname WHERE name = 'n{name}'"),
            1 => format!("UPDATE nickname SET name = 'n{other}' WHERE name = 'n{name}'"),
            2 => format!("INSERT INTO nickname (name) VALUES ('n{name}') ON CONFLICT DO NOTHING"),
            3 => format!("INSERT INTO nickname (name) VALUES ('n{name}') ON CONFLICT (name) DO NOTHING"),
            _ => format!("INSERT INTO nickname (name) VALUES ('n{name}')"),
        };
        self.run(&text, &["23505"]).await.map(drop)
    }

    async fn family(&mut self) -> Result<()> {
        let parent = self.random.below(4);
        let text = match self.random.below(9) {
            6 => format!("INSERT INTO pet (owner, name) VALUES ({parent}, 'q{}')", self.random.below(4)),
            7 => format!(
                "INSERT INTO pet (owner, name) VALUES ({parent}, 'q{}') \
                 ON CONFLICT (name) DO UPDATE SET owner = excluded.owner",
                self.random.below(4)
            ),
            8 => format!("UPDATE parent SET id = {} WHERE id = {parent}", self.random.below(4)),
            0 | 1 => format!("INSERT INTO parent VALUES ({parent}, 'p') ON CONFLICT DO NOTHING"),
            2 => format!("DELETE FROM parent WHERE id = {parent}"),
            3 => format!("DELETE FROM child WHERE parent = {parent}"),
            4 => format!("UPDATE child SET parent = {parent} WHERE parent = {}", self.random.below(4)),
            _ => format!("INSERT INTO child (parent, what) VALUES ({parent}, 'c')"),
        };
        self.run(&text, &["23503", "23505"]).await.map(drop)
    }

    async fn memo(&mut self) -> Result<()> {
        let (id, number) = (self.random.below(5), self.random.below(1000));
        let text = match self.random.below(5) {
            0 => format!("DELETE FROM memo WHERE id = {id}"),
            1 => format!("INSERT INTO memo VALUES ({id}, 'm{number}') ON CONFLICT DO NOTHING"),
            2 => format!("INSERT INTO memo VALUES ({id}, 'm{number}')"),
            3 => format!("UPDATE memo SET later = 'l{number}' WHERE id = {id}"),
            _ => format!("UPDATE memo SET body = 'm{number}' WHERE id >= {id}"),
        };
        self.run(&text, &["23505"]).await.map(drop)
    }

    async fn span(&mut self) -> Result<()> {
        let (id, lo, hi) = (self.item(), self.random.below(30), self.random.below(40));
        let text = match self.random.below(3) {
            0 => format!("UPDATE span SET lo = {lo} WHERE id = {id}"),
            1 => format!("UPDATE span SET hi = {hi} WHERE id = {id}"),
            _ => format!("UPDATE span SET lo = {lo}, hi = {hi} WHERE id = {id}"),
        };
        self.run(&text, &["23514"]).await.map(drop)
    }

    /// Takes and frees seats; now and then all are taken away, and made anew.
    async fn seat(&mut self) -> Result<()> {
        let (id, n) = (self.random.below(3), self.random.between(1, 3));
        let text = match self.random.below(12) {
            0 => format!("DELETE FROM seat WHERE id = {id}"),
            1 => format!("UPDATE seat SET free = {n} WHERE id = {id}"),
            2 | 3 => format!("INSERT INTO seat VALUES ({id}, {}) ON CONFLICT DO NOTHING", 3 * n),
            4..=6 => format!("UPDATE seat SET free = free + {n} WHERE id = {id}"),
            _ => format!("UPDATE seat SET free = free - {n} WHERE id = {id}"),
        };
        self.run(&text, &["23514"]).await.map(drop)
    }

    fn tag(&mut self, kind: &str) -> String {
        let mut books = self.books.lock();
        books.tags += 1;
        format!("{kind}{}", books.tags)
    }

    /// Minted ids and explicit ones near them.
    async fn ticket(&mut self) -> Result<()> {
        let tag = self.tag("t");
        let text = if self.random.chance(600) {
            format!("INSERT INTO ticket (tag) VALUES ('{tag}') RETURNING t_id")
        } else {
            let newest = self.books.lock().tickets.last_key_value().map_or(1, |(id, _)| *id);
            let step = if self.random.chance(700) { 32 } else { 7 };
            let id = newest + step * self.random.below(4) as i64;
            format!("INSERT INTO ticket VALUES ({id}, '{tag}') RETURNING t_id")
        };
        // A value of another site's class is refused: 55000.
        let rows = self.run(&text, &["23505", "55000"]).await?;
        let id = integer(&rows[0][0]);
        let before = self.books.lock().tickets.insert(id, tag);
        assert!(before.is_none(), "two acknowledged tickets have the id {id}");
        Ok(())
    }

    async fn parcel(&mut self) -> Result<()> {
        let tag = self.tag("p");
        let lines: Vec<String> = (0..BATCH).map(|_| format!("{tag}\t{BATCH}\n")).collect();
        self.feed("COPY parcel (batch, size) FROM STDIN", &[], &lines).await?;
        self.books.lock().batches.insert(tag);
        Ok(())
    }

    /// Looks through SQL: joins, aggregates and indexes must tell the same.
    async fn look(&mut self) -> Result<()> {
        let rows = self.run("SELECT sum(balance) = 500 FROM account", &[]).await?;
        assert_eq!(rows, [[Value::Bool(true)]], "the sum of balances, read in SQL");
        let text = "SELECT o.o_id FROM orders o LEFT JOIN order_line l ON l.o_id = o.o_id \
                    GROUP BY o.o_id, o.lines HAVING count(l.n) <> o.lines";
        assert_eq!(self.run(text, &[]).await?, Rows::new(), "orders without all their lines, read in SQL");
        let text = "SELECT c.id FROM child c WHERE NOT EXISTS (SELECT 1 FROM parent p WHERE p.id = c.parent)";
        assert_eq!(self.run(text, &[]).await?, Rows::new(), "orphans, read in SQL");
        Ok(())
    }

    /// Changes the schema under the others' hands.
    async fn change(&mut self) -> Result<()> {
        let n = self.random.below(3);
        let table = ["item", "orders", "memo", "account"][self.random.below(4) as usize];
        let text = match self.random.below(9) {
            0 => format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS extra{n} INT DEFAULT 7"),
            1 => format!("CREATE INDEX IF NOT EXISTS by_who{n} ON orders (who)"),
            2 => format!("CREATE INDEX IF NOT EXISTS by_stock{n} ON item (i_stock, price)"),
            3 => "ALTER TABLE memo ALTER COLUMN later SET MERGE LWW".to_string(),
            4 | 5 => format!("CREATE TABLE IF NOT EXISTS passing{n} (id INT PRIMARY KEY, x INT DEFAULT 1)"),
            6 => format!("INSERT INTO passing{n} VALUES ({}) ON CONFLICT DO NOTHING", self.random.below(9)),
            7 => format!("DROP TABLE IF EXISTS passing{n}"),
            _ => format!("DROP INDEX IF EXISTS by_who{n}"),
        };
        // Two may create the same at once; a table may be gone.
        self.run(&text, &["42P01", "42P07", "42701"]).await.map(drop)
    }
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Int4(v) => i64::from(*v),
        Value::Int8(v) => *v,
        other => panic!("the shop counts in integers, not {other:?}"),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(v) => v.to_string(),
        other => panic!("not text: {other:?}"),
    }
}

/// A table's rows; None until it is there.
fn rows(snapshot: &Snapshot, name: &str) -> Option<Vec<Row>> {
    let table: &Arc<Table> = snapshot.schema().tables.values().find(|table| table.name == name)?;
    let rows = snapshot.scan(table.id, &KeyRange::all(), false, usize::MAX).expect("it can be read");
    Some(rows.into_iter().map(|(_, row)| row).collect())
}

/// What must hold in every snapshot of every site.
pub fn look(snapshot: &Snapshot) {
    let get = |name| rows(snapshot, name).unwrap_or_default();
    let accounts = get("account");
    let sum: i64 = accounts.iter().map(|row| integer(&row[1])).sum();
    assert!(accounts.is_empty() || sum == ACCOUNTS * BALANCE, "the sum of balances is {sum}");
    let mut lines: BTreeMap<i64, i64> = BTreeMap::new();
    get("order_line").iter().for_each(|row| *lines.entry(integer(&row[0])).or_default() += 1);
    for row in get("orders") {
        let (id, expected) = (integer(&row[0]), integer(&row[1]));
        assert_eq!(lines.get(&id), Some(&expected), "atomicity: the lines of order {id}");
    }
    let mut batches: BTreeMap<String, i64> = BTreeMap::new();
    get("parcel").iter().for_each(|row| *batches.entry(text(&row[1])).or_default() += 1);
    for (batch, size) in batches {
        assert_eq!(size, BATCH, "atomicity: the rows of batch {batch}");
    }
    for row in get("span") {
        assert!(integer(&row[1]) <= integer(&row[2]), "CHECK: lo <= hi of span {row:?}");
    }
}

/// Compares what a quiet site holds with what clients were told.
pub fn audit(snapshot: &Snapshot, books: &Books) {
    look(snapshot);
    let get = |name| rows(snapshot, name).expect("the shop's tables are never dropped");
    for row in get("item") {
        let at = integer(&row[0]) as usize;
        let change = integer(&row[1]) - STOCK;
        let (least, most) = (books.stock[at] + books.down[at], books.stock[at] + books.up[at]);
        assert!((least..=most).contains(&change), "stock of item {at}: {change}, not {least} to {most}");
        assert!(integer(&row[3]) >= books.hits[at], "the greatest acknowledged hits of item {at} are lost");
    }
    let orders: BTreeMap<i64, i64> =
        get("orders").iter().map(|row| (integer(&row[0]), integer(&row[1]))).collect();
    for (id, lines) in &books.orders {
        assert_eq!(orders.get(id), Some(lines), "acknowledged order {id}");
    }
    for id in orders.keys() {
        assert!(books.minted.contains(id), "order {id} was never minted");
    }
    let tickets: BTreeMap<i64, String> =
        get("ticket").iter().map(|row| (integer(&row[0]), text(&row[1]))).collect();
    for (id, tag) in &books.tickets {
        assert_eq!(tickets.get(id), Some(tag), "acknowledged ticket {id}");
    }
    let batches: BTreeSet<String> = get("parcel").iter().map(|row| text(&row[1])).collect();
    assert!(books.batches.is_subset(&batches), "acknowledged batches are lost");
}
