//! What clients do for a history: transactions drawn at random, in SQL, for each promise that a history is judged by.
//!
//! | promise | sessions | objects | judged as |
//! |---|---|---|---|
//! | red | `gemini.color = 'red'`, any isolation level | lists, strict registers | strict serializable |
//! | serializable | SERIALIZABLE | the same | serializable, in the order of each session |
//! | snapshot | REPEATABLE READ | the same | snapshot isolation |
//! | committed | READ COMMITTED | lists | read committed |
//! | blue | `gemini.color = 'blue'`, REPEATABLE READ | sets, lww registers | causal |
//! | mixed | REPEATABLE READ | lists, sets, lww registers | causal: red and blue see each other in causal order |
//!
//! The first four use tables without annotations. *red* is DESIGN §3's linearizable read; the next three are its levels of
//! isolation, under which all writes are red and reads are local, hence whole prefixes of the red order that may be stale.
//! *blue* and *mixed* are promise 5 of §1. Keys of different promises are different. Each key is used for a while and then
//! left, so that keys are absent, new, contended and old.
//!
//! A list is a text that grows (even ids) or rows numbered by `max(n) + 1` (odd ids: a phantom would number two alike).

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{History, Key, Kind, Model, Op, Outcome, Recorder};
use crate::random::Random;

/// The tables of all promises.
pub const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS list (k INT PRIMARY KEY, v TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS element (k INT, n INT, e INT NOT NULL, PRIMARY KEY (k, n))",
    "CREATE TABLE IF NOT EXISTS strict_register (k INT PRIMARY KEY, v INT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS member (k INT, e INT, PRIMARY KEY (k, e)) ROWS APPEND ONLY, KEYS TRUSTED",
    "CREATE TABLE IF NOT EXISTS lww_register (k INT PRIMARY KEY, v INT MERGE LWW) ROWS APPEND ONLY, KEYS TRUSTED",
];

/// Works once the last of [`TABLES`] is there.
pub const READY: &str = "SELECT k FROM lww_register WHERE k = 0";

/// A promise, and how sessions ask for it.
#[derive(Debug)]
pub struct Promise {
    /// For people.
    pub name: &'static str,
    /// What is judged.
    pub model: Model,
    /// Whether everything is asserted to be blue.
    pub blue: bool,
    /// Its keys' ids begin here.
    first_key: u64,
    settings: &'static [&'static str],
    begins: &'static [&'static str],
    kinds: &'static [Kind],
    lww: bool,
}

/// All of them.
pub const PROMISES: [Promise; 6] = [
    Promise {
        name: "red",
        model: Model::STRICT_SERIALIZABLE,
        blue: false,
        first_key: 1_000_000,
        settings: &["SET gemini.color = 'red'"],
        begins: &["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"],
        kinds: &[Kind::List, Kind::List, Kind::Register],
        lww: false,
    },
    Promise {
        name: "serializable",
        model: Model::SERIALIZABLE,
        blue: false,
        first_key: 2_000_000,
        settings: &["SET default_transaction_isolation = 'serializable'"],
        begins: &["BEGIN"],
        kinds: &[Kind::List, Kind::List, Kind::Register],
        lww: false,
    },
    Promise {
        name: "snapshot",
        model: Model::SNAPSHOT,
        blue: false,
        first_key: 3_000_000,
        settings: &["SET default_transaction_isolation = 'repeatable read'"],
        begins: &["BEGIN"],
        kinds: &[Kind::List, Kind::List, Kind::Register],
        lww: false,
    },
    Promise {
        name: "committed",
        model: Model::READ_COMMITTED,
        blue: false,
        first_key: 4_000_000,
        settings: &[],
        begins: &["BEGIN"],
        kinds: &[Kind::List],
        lww: false,
    },
    Promise {
        name: "blue",
        model: Model::CAUSAL,
        blue: true,
        first_key: 5_000_000,
        settings: &["SET gemini.color = 'blue'", "SET default_transaction_isolation = 'repeatable read'"],
        begins: &["BEGIN"],
        kinds: &[Kind::Set, Kind::Set, Kind::Register],
        lww: true,
    },
    Promise {
        name: "mixed",
        model: Model::CAUSAL,
        blue: false,
        first_key: 6_000_000,
        settings: &["SET default_transaction_isolation = 'repeatable read'"],
        begins: &["BEGIN"],
        kinds: &[Kind::List, Kind::Set, Kind::Set, Kind::Register],
        lww: true,
    },
];

/// A session of the database, whatever it runs on.
pub trait Connection: Send {
    /// Runs a text; the rows of its last statement, as text.
    fn query(&mut self, text: &str) -> impl Future<Output = Result<Vec<Vec<String>>, Trouble>> + Send;

    /// Lets so many microseconds pass, for others to do something in between.
    fn rest(&mut self, micros: u64) -> impl Future<Output = ()> + Send;
}

/// Why a statement failed; none: the connection is gone.
#[derive(Clone, Debug)]
pub struct Trouble(pub Option<String>);

impl Trouble {
    /// What became of a transaction whose last statement, or COMMIT, ended so.
    fn outcome(&self) -> Outcome {
        match self.0.as_deref() {
            None | Some("40003" | "08007" | "57P01") => Outcome::Unknown,
            Some(_) => Outcome::Failed,
        }
    }
}

/// The clients of one promise share one.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What they are promised.
    pub promise: &'static Promise,
    /// What they see.
    pub recorder: Recorder,
    /// The last value written.
    values: Arc<AtomicI64>,
}

/// Who works: a session's number and site.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Worker {
    pub process: u64,
    pub site: String,
    pub random: Random,
}

impl Workload {
    /// With nothing recorded.
    pub fn new(promise: &'static Promise) -> Workload {
        Workload { promise, recorder: Recorder::default(), values: Arc::default() }
    }

    /// Makes a new session ask for the promise.
    pub async fn prepare(&self, connection: &mut impl Connection) -> Result<(), Trouble> {
        for text in self.promise.settings {
            connection.query(text).await?;
        }
        Ok(())
    }

    /// One transaction, drawn at random. An error means that it, or its outcome, is lost.
    pub async fn transact(
        &self,
        connection: &mut impl Connection,
        worker: &mut Worker,
    ) -> Result<(), Trouble> {
        let random = &mut worker.random;
        let writes = random.chance(650);
        let ops = random.between(1, 4);
        let plan: Vec<(Key, Option<i64>)> = (0..ops)
            .map(|_| {
                let key = self.key(random);
                (key, (writes && random.chance(550)).then(|| self.values.fetch_add(1, Ordering::Relaxed) + 1))
            })
            .collect();
        let begin = self.promise.begins[random.below(self.promise.begins.len() as u64) as usize];
        let alone = plan.len() == 1 && random.chance(500);
        self.run(connection, worker, (!alone).then_some(begin), &plan).await
    }

    /// Reads every key that was used, a few at a time.
    pub async fn read_all(
        &self,
        connection: &mut impl Connection,
        worker: &mut Worker,
    ) -> Result<(), Trouble> {
        let history = self.recorder.history();
        let ops = history.transactions.iter().flat_map(|transaction| &transaction.ops);
        let keys: Vec<Key> = ops.map(Op::key).collect::<BTreeSet<_>>().into_iter().collect();
        for keys in keys.chunks(12) {
            let plan: Vec<(Key, Option<i64>)> = keys.iter().map(|key| (*key, None)).collect();
            self.run(connection, worker, Some(self.promise.begins[0]), &plan).await?;
        }
        Ok(())
    }

    /// A key of those in use now.
    fn key(&self, random: &mut Random) -> Key {
        let turn = self.values.load(Ordering::Relaxed) as u64 / 30;
        let id = self.promise.first_key + turn + random.below(4);
        Key { kind: self.promise.kinds[random.below(self.promise.kinds.len() as u64) as usize], id }
    }

    async fn run(
        &self,
        connection: &mut impl Connection,
        worker: &mut Worker,
        begin: Option<&str>,
        plan: &[(Key, Option<i64>)],
    ) -> Result<(), Trouble> {
        let transaction = self.recorder.begin(worker.process, &worker.site);
        let result = self.run_recorded(connection, &mut worker.random, transaction, begin, plan).await;
        let outcome = result.as_ref().err().map_or(Outcome::Ok, Trouble::outcome);
        if outcome != Outcome::Unknown {
            self.recorder.end(transaction, outcome);
        }
        if result.is_err() && begin.is_some() {
            // It has ended anyhow, or its connection has.
            let _ = connection.query("ROLLBACK").await;
        }
        result
    }

    async fn run_recorded(
        &self,
        connection: &mut impl Connection,
        random: &mut Random,
        transaction: usize,
        begin: Option<&str>,
        plan: &[(Key, Option<i64>)],
    ) -> Result<(), Trouble> {
        if let Some(begin) = begin {
            connection.query(begin).await?;
        }
        for (key, write) in plan {
            if let Some(value) = write {
                self.recorder.note(transaction, Op::Write(*key, *value));
                connection.query(&self.write(*key, *value)).await?;
            } else {
                let rows = connection.query(&self.read(*key)).await?;
                let values = rows.iter().flat_map(|row| row[0].split(',')).map(|value| value.parse());
                let values = values.collect::<Result<_, _>>();
                let values =
                    values.unwrap_or_else(|e| panic!("{key} holds {rows:?}, which nobody writes: {e}"));
                self.recorder.note(transaction, Op::Read(*key, values));
            }
            if begin.is_some() && random.chance(250) {
                connection.rest(random.below(30_000)).await;
            }
        }
        if begin.is_some() {
            connection.query("COMMIT").await?;
        }
        Ok(())
    }

    fn register(&self) -> &'static str {
        if self.promise.lww { "lww_register" } else { "strict_register" }
    }

    fn write(&self, Key { kind, id }: Key, value: i64) -> String {
        match kind {
            Kind::List if id.is_multiple_of(2) => format!(
                "INSERT INTO list VALUES ({id}, '{value}') ON CONFLICT (k) DO UPDATE SET v = list.v || ',{value}'"
            ),
            Kind::List => format!(
                "INSERT INTO element SELECT {id}, coalesce(max(n), 0) + 1, {value} FROM element WHERE k = {id}"
            ),
            Kind::Set => format!("INSERT INTO member VALUES ({id}, {value})"),
            Kind::Register => format!(
                "INSERT INTO {} VALUES ({id}, {value}) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
                self.register()
            ),
        }
    }

    fn read(&self, Key { kind, id }: Key) -> String {
        match kind {
            Kind::List if id.is_multiple_of(2) => format!("SELECT v FROM list WHERE k = {id}"),
            Kind::List => format!("SELECT e FROM element WHERE k = {id} ORDER BY n"),
            Kind::Set => format!("SELECT e FROM member WHERE k = {id} ORDER BY e"),
            Kind::Register => format!("SELECT v FROM {} WHERE k = {id}", self.register()),
        }
    }

    /// The history so far.
    pub fn history(&self) -> History {
        self.recorder.history()
    }

    /// Judges what was seen. Panics, with the whole history, what is wrong with it, and how to repeat it, if the promise
    /// was broken.
    pub fn judge(&self, repeat: &str) -> super::Verdict {
        let history = self.history();
        let verdict = super::judge(&history, self.promise.model);
        assert!(
            verdict.holds(),
            "the history\n{history}\nof \"{}\" is {verdict}\n{repeat}",
            self.promise.name
        );
        verdict
    }
}

/// How many transactions ended how.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Counts {
    pub ok: usize,
    pub failed: usize,
    pub unknown: usize,
}

impl Counts {
    /// Of a history.
    pub fn of(history: &History) -> Counts {
        let mut counts = Counts::default();
        for transaction in &history.transactions {
            match transaction.outcome {
                Outcome::Ok => counts.ok += 1,
                Outcome::Failed => counts.failed += 1,
                Outcome::Unknown => counts.unknown += 1,
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ok, {} failed, {} unknown", self.ok, self.failed, self.unknown)
    }
}
