//! From what was read to what came before what.
//!
//! A *version* of a key is its state after a write. A transaction's own writes are taken off what it read after them, so that each read tells a version of the others.
//!
//! - **List.** The longest version read holds the order of its writes; every other read must be a prefix of it. What
//!   was acknowledged and is not in it comes after it.
//! - **Set.** Who read a value comes after its writer; who did not, before.
//! - **Register.** Who read a value comes after its writer; who then wrote, wrote a newer version. Who
//!   read nothing comes before every writer. The rest is inferred to a fixed point, from transactions T that read
//!   the value of W, and another writer V of the same key:
//!
//! ```text
//!     V ─► … ─► T  and T read W's value:    V's version is older, so V ─ww─► W
//!     W ─► … ─► V                      :    V's version is newer, so T ─rw─► V
//! ```
//!
//! Over which paths this holds depends on the promise. If all of it is one serial order: over all
//! edges. In causal snapshots: over what makes visible (wr, sessions, the order of lists), and V ─ww─► W only says how stamps
//! have decided. That all these are acyclic is the convergent causal consistency of Bouajjani, Enea, Guerraoui and Hamza (*On
//! Verifying Causal Consistency*, POPL 2017), whose bad patterns are CyclicCO, WriteCOInitRead, ThinAirRead, WriteCORead
//! and CyclicCF: here G1c, G-single, thin air, G-single, and G0 or G1c.

use std::collections::{BTreeMap, BTreeSet};

use super::classes::{Anomaly, Class, Layer};
use super::graph::{Graph, Link};
use super::{History, Key, Kind, Op, Outcome};

/// How far the order of a register's versions is inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inference {
    /// Not at all.
    Nothing,
    /// Over what makes visible: transactions see whole snapshots.
    Visible,
    /// The same, and concurrent writes are decided by stamps.
    LastWriterWins,
    /// Over everything: there is one serial order.
    Serial,
}

/// A read of what others wrote.
#[derive(Clone, Debug)]
struct Read {
    by: usize,
    seen: Vec<i64>,
}

/// What a history says of each key.
#[derive(Debug)]
pub struct Versions<'a> {
    history: &'a History,
    inference: Inference,
    /// Whether a transaction happened: acknowledged, or unknown and seen.
    happened: Vec<bool>,
    writers: BTreeMap<(Key, i64), usize>,
    /// Of those who happened.
    reads: BTreeMap<Key, Vec<Read>>,
    anomalies: Vec<Anomaly>,
}

impl<'a> Versions<'a> {
    /// The graph of what is certain, and what is wrong in single reads.
    pub fn of(history: &'a History, inference: Inference) -> (Versions<'a>, Graph, Vec<Anomaly>) {
        let mut versions = Versions {
            history,
            inference,
            happened: Vec::new(),
            writers: writers(history),
            reads: BTreeMap::new(),
            anomalies: Vec::new(),
        };
        versions.happened = versions.who_happened();
        for by in 0..history.transactions.len() {
            if versions.happened[by] {
                versions.take_reads(by);
            }
        }
        let mut graph = Graph::new(history.transactions.len());
        sessions(history, &versions.happened, &mut graph);
        real_time(history, &versions.happened, &mut graph);
        for (key, reads) in std::mem::take(&mut versions.reads) {
            match key.kind {
                Kind::List => versions.list(key, &reads, &mut graph),
                Kind::Set => versions.set(key, &reads, &mut graph),
                Kind::Register => versions.register(key, &reads, &mut graph),
            }
            versions.reads.insert(key, reads);
        }
        let anomalies = std::mem::take(&mut versions.anomalies);
        (versions, graph, anomalies)
    }

    fn who_happened(&self) -> Vec<bool> {
        let mut happened: Vec<bool> =
            self.history.transactions.iter().map(|t| t.outcome == Outcome::Ok).collect();
        for (by, transaction) in self.history.transactions.iter().enumerate() {
            for op in &transaction.ops {
                let Op::Read(key, seen) = op else { continue };
                let writers = seen.iter().filter_map(|value| self.writers.get(&(*key, *value)));
                for writer in writers.filter(|writer| **writer != by) {
                    happened[*writer] |= self.history.transactions[*writer].outcome == Outcome::Unknown;
                }
            }
        }
        happened
    }

    fn report(&mut self, class: Class, by: usize, what: &str) {
        self.anomalies.push(Anomaly::seen(class, self.history, by, what));
    }

    /// Takes a transaction's own writes off what it read, and looks for what no transaction may see.
    fn take_reads(&mut self, by: usize) {
        let mut own: BTreeMap<Key, Vec<i64>> = BTreeMap::new();
        let mut before: BTreeMap<Key, Vec<i64>> = BTreeMap::new();
        for op in &self.history.transactions[by].ops {
            let (key, seen) = match op {
                Op::Write(key, value) => {
                    own.entry(*key).or_default().push(*value);
                    continue;
                }
                Op::Read(key, seen) => (*key, seen),
            };
            let own = own.get(&key).map_or(&[][..], Vec::as_slice);
            let Some(others) = others(key.kind, seen, own) else {
                self.report(Class::Internal, by, &format!("does not see what it wrote to {key} itself"));
                continue;
            };
            if key.kind == Kind::Register && !own.is_empty() {
                continue;
            }
            if self.nonsense(by, key, &others) {
                continue;
            }
            match before.insert(key, others.clone()) {
                Some(before) if before != others => {
                    self.report(Class::Internal, by, &format!("reads two versions of {key}"));
                }
                Some(_) => continue,
                None => {}
            }
            self.reads.entry(key).or_default().push(Read { by, seen: others });
        }
    }

    /// Whether a read cannot be placed in any order.
    fn nonsense(&mut self, by: usize, key: Key, seen: &[i64]) -> bool {
        if seen.iter().collect::<BTreeSet<_>>().len() < seen.len() {
            self.report(Class::Duplicate, by, &format!("reads a value twice in {key}"));
            return true;
        }
        for value in seen {
            let Some(writer) = self.writers.get(&(key, *value)).copied() else {
                self.report(Class::ThinAir, by, &format!("reads {value} in {key}, which nobody wrote"));
                return true;
            };
            if writer == by {
                self.report(Class::Internal, by, &format!("reads {value} in {key} before it wrote it"));
                return true;
            }
            if self.history.transactions[writer].outcome == Outcome::Failed {
                self.report(
                    Class::G1a,
                    by,
                    &format!("reads {value} in {key}, which T{writer} wrote and took back"),
                );
                return true;
            }
        }
        if let (Some(last), true) = (seen.last(), key.kind != Kind::Set) {
            let writer = self.writers[&(key, *last)];
            if self.history.transactions[writer].writes(key).last() != Some(*last) {
                let what = format!("reads {last} in {key} as the newest, which T{writer} itself wrote over");
                self.report(Class::G1b, by, &what);
            }
        }
        false
    }

    /// The newest value that each transaction that happened wrote to a key.
    fn newest(&self, key: Key) -> BTreeMap<usize, i64> {
        let of_key = self.writers.range((key, i64::MIN)..=(key, i64::MAX));
        let happened = of_key.map(|(_, writer)| *writer).filter(|writer| self.happened[*writer]);
        happened.filter_map(|w| Some((w, self.history.transactions[w].writes(key).last()?))).collect()
    }

    fn list(&mut self, key: Key, reads: &[Read], graph: &mut Graph) {
        let Some(longest) = reads.iter().max_by_key(|read| read.seen.len()) else { return };
        let (by, order) = (longest.by, longest.seen.clone());
        let writer = |value: i64| self.writers[&(key, value)];
        for two in order.windows(2) {
            graph.add(writer(two[0]), writer(two[1]), Link::Ww { key, first: two[0], then: two[1] });
        }
        let seen: BTreeSet<usize> = order.iter().map(|value| writer(*value)).collect();
        let mut unseen = self.newest(key);
        unseen.retain(|writer, _| !seen.contains(writer));
        for (later, then) in &unseen {
            if let Some(first) = order.last() {
                graph.add(writer(*first), *later, Link::Ww { key, first: *first, then: *then });
            }
        }
        let mut strangers = Vec::new();
        for read in reads {
            if !order.starts_with(&read.seen) {
                strangers.push(read.by);
                continue;
            }
            if let Some(last) = read.seen.last() {
                graph.add(writer(*last), read.by, Link::Wr { key, value: *last });
            }
            match order.get(read.seen.len()) {
                Some(next) => {
                    graph.add(read.by, writer(*next), Link::Rw { key, missed: *next });
                }
                None => unseen.iter().for_each(|(later, missed)| {
                    graph.add(read.by, *later, Link::Rw { key, missed: *missed });
                }),
            }
        }
        for stranger in strangers {
            let what = format!(
                "reads a {key} that is no beginning of the one T{by} reads: {}",
                self.history.transactions[by]
            );
            self.report(Class::Incompatible, stranger, &what);
        }
    }

    fn set(&mut self, key: Key, reads: &[Read], graph: &mut Graph) {
        let written: Vec<(i64, usize)> = self
            .writers
            .range((key, i64::MIN)..=(key, i64::MAX))
            .map(|((_, value), writer)| (*value, *writer))
            .filter(|(_, writer)| self.happened[*writer])
            .collect();
        for read in reads {
            for (value, writer) in &written {
                if read.seen.binary_search(value).is_ok() {
                    graph.add(*writer, read.by, Link::Wr { key, value: *value });
                } else {
                    graph.add(read.by, *writer, Link::Rw { key, missed: *value });
                }
            }
        }
    }

    fn register(&mut self, key: Key, reads: &[Read], graph: &mut Graph) {
        let newest = self.newest(key);
        let mut next: BTreeMap<Option<i64>, Vec<usize>> = BTreeMap::new();
        for read in reads {
            let value = read.seen.first().copied();
            if newest.contains_key(&read.by) {
                next.entry(value).or_default().push(read.by);
            }
            if let Some(value) = value {
                graph.add(self.writers[&(key, value)], read.by, Link::Wr { key, value });
            } else {
                newest.iter().for_each(|(later, missed)| {
                    graph.add(read.by, *later, Link::Rw { key, missed: *missed });
                });
            }
        }
        for read in reads {
            let value = read.seen.first().copied();
            for later in next.get(&value).into_iter().flatten() {
                let then = newest[later];
                graph.add(read.by, *later, Link::Rw { key, missed: then });
                if let Some(first) = value {
                    graph.add(self.writers[&(key, first)], *later, self.newer(key, first, then));
                }
            }
        }
    }

    /// That a register's version is newer than another.
    fn newer(&self, key: Key, first: i64, then: i64) -> Link {
        match self.inference {
            Inference::LastWriterWins => Link::Arbitration { key, first, then },
            _ => Link::Ww { key, first, then },
        }
    }

    /// Infers more of the order of registers from an order without forbidden cycles; whether there was more. What
    /// follows from what is visible comes first: such edges have names of their own.
    pub fn infer(&self, graph: &mut Graph, layer: Layer) -> bool {
        let visible = |link: &Link| link.layer() <= layer && link.is_visible();
        let ww = |key, first, then| self.newer(key, first, then);
        let rw = |key, _, missed| Link::Rw { key, missed };
        let before = |key, first, then| Link::Before { key, first, then };
        match self.inference {
            Inference::Nothing => false,
            Inference::Visible | Inference::LastWriterWins => self.infer_over(graph, visible, ww, rw),
            Inference::Serial => {
                self.infer_over(graph, visible, ww, rw)
                    || self.infer_over(graph, |link| link.layer() <= layer, before, before)
            }
        }
    }

    /// Applies the two rules over the paths that `keep` keeps; whether an edge is new.
    fn infer_over(
        &self,
        graph: &mut Graph,
        keep: impl Fn(&Link) -> bool,
        older: impl Fn(Key, i64, i64) -> Link,
        newer: impl Fn(Key, i64, i64) -> Link,
    ) -> bool {
        let closure = graph.closure(keep);
        let mut more = false;
        for (key, reads) in self.reads.iter().filter(|(key, _)| key.kind == Kind::Register) {
            let newest = self.newest(*key);
            for read in reads {
                let Some(value) = read.seen.first().copied() else { continue };
                let writer = self.writers[&(*key, value)];
                for (other, theirs) in newest.iter().filter(|(other, _)| ![writer, read.by].contains(other)) {
                    if closure.leads(*other, read.by) {
                        more |= graph.add(*other, writer, older(*key, *theirs, value));
                    }
                    if closure.leads(writer, *other) {
                        more |= graph.add(read.by, *other, newer(*key, value, *theirs));
                    }
                }
            }
        }
        more
    }
}

fn writers(history: &History) -> BTreeMap<(Key, i64), usize> {
    let mut writers = BTreeMap::new();
    for (by, transaction) in history.transactions.iter().enumerate() {
        for op in &transaction.ops {
            if let Op::Write(key, value) = op {
                let before = writers.insert((*key, *value), by);
                assert!(before.is_none(), "{value} is written to {key} twice: no read could tell by whom");
            }
        }
    }
    writers
}

/// What a read saw besides its transaction's own writes so far; none if it lacks one of them.
fn others(kind: Kind, seen: &[i64], own: &[i64]) -> Option<Vec<i64>> {
    match kind {
        Kind::List => seen.strip_suffix(own).map(<[i64]>::to_vec),
        Kind::Set => {
            let others: Vec<i64> = seen.iter().copied().filter(|value| !own.contains(value)).collect();
            (others.len() + own.len() == seen.len()).then_some(others)
        }
        Kind::Register => match own.last() {
            Some(last) => (seen == [*last]).then(Vec::new),
            None => Some(seen.to_vec()),
        },
    }
}

/// Each acknowledged transaction comes before the next of its session, and before the unknown ones until then.
fn sessions(history: &History, happened: &[bool], graph: &mut Graph) {
    let mut last: BTreeMap<u64, usize> = BTreeMap::new();
    for (at, transaction) in history.transactions.iter().enumerate().filter(|(at, _)| happened[*at]) {
        if let Some(before) = last.get(&transaction.process) {
            graph.add(*before, at, Link::Session);
        }
        if transaction.outcome == Outcome::Ok {
            last.insert(transaction.process, at);
        }
    }
}

/// Each acknowledged transaction comes before those that began later: the fewest edges that say so.
fn real_time(history: &History, happened: &[bool], graph: &mut Graph) {
    let mut events = Vec::new();
    for (at, transaction) in history.transactions.iter().enumerate().filter(|(at, _)| happened[*at]) {
        events.push((transaction.begun, false, at));
        if let (Outcome::Ok, Some(ended)) = (transaction.outcome, transaction.ended) {
            events.push((ended, true, at));
        }
    }
    events.sort_unstable();
    // Those after whom nobody has yet both begun and ended.
    let mut newest: Vec<usize> = Vec::new();
    let mut before: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (_, ends, at) in events {
        if ends {
            let older = &before[&at];
            newest.retain(|other| !older.contains(other));
            newest.push(at);
        } else {
            newest.iter().for_each(|other| {
                graph.add(*other, at, Link::RealTime);
            });
            before.insert(at, newest.clone());
        }
    }
}
