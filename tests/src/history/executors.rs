//! Databases of a page, each just as weak as its name: the judge must pass what their promise allows, and find the rest.
//!
//! Clients take turns at random, one operation at a time; every value is new. What each level does on purpose:
//!
//! | level | a transaction | so the judge must find |
//! |---|---|---|
//! | serial | runs at one moment of its life | nothing |
//! | stale | runs so; if it only reads, on a snapshot as old as its session allows | real time broken, nothing else |
//! | snapshot | reads the snapshot of its beginning; the first of two writers wins | write skew, G2 |
//! | read committed | reads what is newest at each operation, writes at its end | lost updates, read skew |
//! | uncommitted | reads and writes in place, and is sometimes taken back | G0, G1a, G1b, G1c |
//! | causal | runs at its own replica; whole transactions travel, in causal order | long forks, write skew |
//! | eventual | the same, but single writes travel, in any order | G-single: what it depends on is missing |

use std::collections::BTreeMap;

use super::{History, Key, Kind, Op, Outcome, Recorder};
use crate::random::Random;

/// How weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Serial,
    Stale,
    Snapshot,
    ReadCommitted,
    Uncommitted,
    Causal,
    Eventual,
}

/// How many sessions, each at a replica of its own.
const SESSIONS: usize = 5;

/// What each key holds: a list's or set's values in order of arrival, a register's last.
type State = BTreeMap<Key, Vec<(Stamp, i64)>>;

/// Decides between replicas' writes of a register; where there is one order it is always 0, and the last to commit wins.
type Stamp = (u64, usize);

#[derive(Clone, Debug)]
struct Write {
    key: Key,
    stamp: Stamp,
    value: i64,
}

/// A committed transaction on its way to the other replicas.
#[derive(Clone, Debug)]
struct Message {
    /// How many of each session's transactions it has seen.
    seen: [usize; SESSIONS],
    writes: Vec<Write>,
}

struct Open {
    transaction: usize,
    left: Vec<(Key, bool)>,
    /// What it reads, at levels that read a snapshot; and the count of commits then.
    snapshot: State,
    began: usize,
    writes: Vec<Write>,
}

struct Session {
    open: Option<Open>,
    /// Its replica, at levels that have them.
    replica: State,
    applied: [usize; SESSIONS],
    /// For [`Level::Stale`]: the oldest state it may still read.
    floor: usize,
    /// For [`Level::Eventual`]: what has not arrived.
    coming: Vec<Write>,
}

struct Database {
    level: Level,
    random: Random,
    recorder: Recorder,
    sessions: Vec<Session>,
    /// All committed states, the newest last.
    states: Vec<State>,
    /// For each session, what it has committed.
    sent: Vec<Vec<Message>>,
    /// The commit that last wrote a key.
    newest: BTreeMap<Key, usize>,
    clock: u64,
}

/// A history of some `transactions` transactions.
pub fn run(level: Level, seed: u64, transactions: usize) -> History {
    let session = || Session {
        open: None,
        replica: State::new(),
        applied: [0; SESSIONS],
        floor: 0,
        coming: Vec::new(),
    };
    let mut database = Database {
        level,
        random: Random::new(seed),
        recorder: Recorder::default(),
        sessions: (0..SESSIONS).map(|_| session()).collect(),
        states: vec![State::new()],
        sent: vec![Vec::new(); SESSIONS],
        newest: BTreeMap::new(),
        clock: 0,
    };
    let mut begun = 0;
    while begun < transactions || database.sessions.iter().any(|session| session.open.is_some()) {
        let at = database.random.below(SESSIONS as u64) as usize;
        match database.sessions[at].open.take() {
            None if begun < transactions => {
                begun += 1;
                database.begin(at);
            }
            None => {}
            Some(open) if open.left.is_empty() => database.end(at, open),
            Some(open) => database.go_on(at, open),
        }
    }
    database.recorder.history()
}

impl Database {
    fn replicated(&self) -> bool {
        matches!(self.level, Level::Causal | Level::Eventual)
    }

    fn begin(&mut self, at: usize) {
        let transaction = self.recorder.begin(at as u64, &format!("replica-{at}"));
        if self.replicated() {
            self.receive(at);
        }
        let writes = self.random.chance(600);
        let ops = self.random.between(1, 4);
        let left = (0..ops).map(|_| (self.key(), writes && self.random.chance(500))).collect();
        let newest = self.states.len() - 1;
        let began = match self.level {
            Level::Stale if !writes => {
                self.random.between(self.sessions[at].floor as u64, newest as u64) as usize
            }
            _ => newest,
        };
        let replica = self.sessions[at].replica.clone();
        let snapshot = if self.replicated() { replica } else { self.states[began].clone() };
        self.sessions[at].open = Some(Open { transaction, left, snapshot, began, writes: Vec::new() });
        if matches!(self.level, Level::Serial | Level::Stale) {
            self.at_once(at);
        }
    }

    fn key(&mut self) -> Key {
        let id = self.random.below(3);
        // A list has an order, which replicas that do not speak to each other cannot give it.
        let kinds =
            if self.replicated() { [Kind::Set, Kind::Register] } else { [Kind::List, Kind::Register] };
        Key { kind: kinds[self.random.below(2) as usize], id: id + self.clock / 60 * 3 }
    }

    /// All operations in one moment; the acknowledgement comes later.
    fn at_once(&mut self, at: usize) {
        while let Some(open) = self.sessions[at].open.take_if(|open| !open.left.is_empty()) {
            self.go_on(at, open);
        }
        if let Some(mut open) = self.sessions[at].open.take() {
            if !open.writes.is_empty() {
                self.commit(&open.writes);
                open.began = self.states.len() - 1;
                open.writes.clear();
            }
            self.sessions[at].floor = self.sessions[at].floor.max(open.began);
            self.sessions[at].open = Some(open);
        }
    }

    fn go_on(&mut self, at: usize, mut open: Open) {
        let Some((key, writes)) = open.left.pop() else { return };
        if writes {
            self.clock += 1;
            // Stamped anew when it is sent; until then it wins in its own transaction.
            let stamp = if self.replicated() { (u64::MAX, at) } else { (0, 0) };
            let write = Write { key, stamp, value: self.clock as i64 };
            self.recorder.note(open.transaction, Op::Write(key, write.value));
            if self.level == Level::Uncommitted {
                self.states.push(self.states[self.states.len() - 1].clone());
                let last = self.states.len() - 1;
                apply(&mut self.states[last], &write);
            }
            open.writes.push(write);
        } else {
            let newest = &self.states[self.states.len() - 1];
            let mut state = match self.level {
                Level::ReadCommitted | Level::Uncommitted => newest.clone(),
                _ => open.snapshot.clone(),
            };
            if self.level != Level::Uncommitted {
                open.writes.iter().for_each(|write| apply(&mut state, write));
            }
            self.recorder.note(open.transaction, Op::Read(key, read(&state, key)));
        }
        self.sessions[at].open = Some(open);
    }

    fn end(&mut self, at: usize, open: Open) {
        let outcome = match self.level {
            Level::Snapshot if open.writes.iter().any(|w| self.newest.get(&w.key) > Some(&open.began)) => {
                Outcome::Failed
            }
            Level::Uncommitted if self.random.chance(150) => {
                let last = self.states.len() - 1;
                let own = |value: &i64| open.writes.iter().any(|write| write.value == *value);
                self.states[last].values_mut().for_each(|values| values.retain(|(_, value)| !own(value)));
                Outcome::Failed
            }
            Level::Uncommitted => Outcome::Ok,
            Level::Causal | Level::Eventual => {
                self.send(at, open.writes.clone());
                Outcome::Ok
            }
            _ => {
                self.commit(&open.writes);
                Outcome::Ok
            }
        };
        // Sometimes the client never hears.
        if outcome == Outcome::Failed || !self.random.chance(30) {
            self.recorder.end(open.transaction, outcome);
        }
    }

    fn commit(&mut self, writes: &[Write]) {
        if writes.is_empty() {
            return;
        }
        let mut state = self.states[self.states.len() - 1].clone();
        for write in writes {
            apply(&mut state, write);
            self.newest.insert(write.key, self.states.len());
        }
        self.states.push(state);
    }

    fn send(&mut self, at: usize, mut writes: Vec<Write>) {
        self.clock += 1;
        writes.iter_mut().for_each(|write| write.stamp = (self.clock, at));
        let session = &mut self.sessions[at];
        writes.iter().for_each(|write| apply(&mut session.replica, write));
        session.applied[at] += 1;
        self.sent[at].push(Message { seen: session.applied, writes: writes.clone() });
        for (_, session) in self.sessions.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            session.coming.extend(writes.iter().cloned());
        }
    }

    fn receive(&mut self, at: usize) {
        let Database { sessions, sent, random, level, .. } = self;
        let session = &mut sessions[at];
        if *level == Level::Eventual {
            let coming = std::mem::take(&mut session.coming);
            for write in coming {
                if random.chance(300) {
                    apply(&mut session.replica, &write)
                } else {
                    session.coming.push(write)
                }
            }
            return;
        }
        for _ in 0..random.below(12) {
            let from = random.below(SESSIONS as u64) as usize;
            let Some(message) = sent[from].get(session.applied[from]) else { continue };
            let ready = (0..SESSIONS).all(|i| i == from || message.seen[i] <= session.applied[i]);
            if from != at && ready {
                message.writes.iter().for_each(|write| apply(&mut session.replica, write));
                session.applied[from] += 1;
            }
        }
    }
}

fn apply(state: &mut State, write: &Write) {
    let values = state.entry(write.key).or_default();
    if write.key.kind == Kind::Register {
        if values.last().is_some_and(|(stamp, _)| *stamp > write.stamp) {
            return;
        }
        values.clear();
    }
    values.push((write.stamp, write.value));
}

fn read(state: &State, key: Key) -> Vec<i64> {
    let mut values: Vec<i64> =
        state.get(&key).map_or(Vec::new(), |values| values.iter().map(|(_, value)| *value).collect());
    if key.kind == Kind::Set {
        values.sort_unstable();
    }
    values
}
