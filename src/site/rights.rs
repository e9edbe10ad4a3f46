//! Rights at this site: the gate at the commit, transactions that wait for rights, gifts, and reservations.
//!
//! ```text
//!   Submit ── covered? ──yes──► blue: commit        red: reserve in a blue transaction, then propose
//!                │ no
//!                ├─ the slack itself is short here ─────► Conflict: the generator runs again and says 23514
//!                ├─ nobody in reach has enough ─────────► Short (57P03), naming who has the rights
//!                └─ wait; ask those who have them ──► their gifts (or other effects on the row) arrive: submitted again
//!                        └── the deadline ──────────► Short (57P03)
//! ```
//!
//! 1. The gate reads the row's newest state, in the step that commits: whatever else was committed here is in it, and what the
//!    spend relies on is among its dependencies.
//! 2. A transaction that waits has no name and no effect; it is submitted anew, validation included.
//! 3. A site that lacks rights for what waits gives only what is left over ([`gemini_replication::rights`]); but of two that are short
//!    of the same rights the one with the lesser id is served, so that they do not wait for each other.
//! 4. Only the order gives a reservation back.
//!
//! Requests and what is asked of us are kept until the end of the step, because the answers are transactions of their own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gemini_engine::{Error, KeyRange};
use gemini_replication::rights::{ask, grant, hope, positive, spread};
use gemini_replication::wire::{MAX_WANTS, PeerMessage, Want, Wants};
use gemini_shadow_ops::classify::sign;
use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::rights::{Move, SIDES, Spend, exact};
use gemini_shadow_ops::value::arith;
use gemini_shadow_ops::{
    BoundSide, ColumnId, DataType, EntryId, Hlc, Incarnation, Item, Key, Op, Schema, ShadowOp,
    ShadowTransaction, SiteId, Stamp, Table, TableId, TxnId, Value,
};
use gemini_sql::host::{CommitError, Submission};

use super::{Outcome, Output, Reply, Site};
use crate::host::shown_key;

/// Transactions that may wait for rights at once.
const WAITING: usize = 4_096;
/// How long after a request the next one for the same transaction, or in the background for the same row, µs.
const ASK_AGAIN: u64 = 500_000;
/// Rows whose last background request is remembered.
const REMEMBERED: usize = 20_000;
/// Rows looked at in one tick to be shared out.
const SHARED_AT_ONCE: usize = 200;
/// Messages of peers that ask, kept until the end of the step.
const ASKED: usize = 64;

/// A bounded cell of one row, towards one side.
type Account = (TableId, Key, ColumnId, BoundSide);

/// A transaction that waits for rights.
#[derive(Debug)]
struct Waiting {
    submission: Submission,
    reply: Reply<Outcome>,
    deadline: u64,
    /// When others were last asked.
    asked: u64,
}

/// Everything of a site about rights that is not in the rows.
#[derive(Debug, Default)]
pub(super) struct Rights {
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    /// Which of them wait for which row.
    rows: BTreeMap<(TableId, Key), BTreeSet<u64>>,
    /// Those whose rows have changed.
    due: BTreeSet<u64>,
    /// To be asked of peers at the end of the step.
    wants: BTreeMap<SiteId, Vec<Want>>,
    /// When more rights were last hoped for.
    hoped: BTreeMap<Account, u64>,
    /// Tables whose rows are being shared out, each with the last key that was looked at.
    surveys: VecDeque<(TableId, Option<Key>)>,
    /// What peers ask of us.
    asked: VecDeque<(SiteId, Vec<Want>)>,
}

impl Rights {
    /// Nothing waits, nobody is to be answered.
    pub fn idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A peer asks. What does not fit is asked again.
    pub fn asked_by(&mut self, from: SiteId, wants: Vec<Want>) {
        if self.asked.len() < ASKED {
            self.asked.push_back((from, wants));
        }
    }

    /// Effects on these rows are applied: who waits for their rights tries again.
    pub fn touched<'a>(&mut self, ops: impl IntoIterator<Item = &'a ShadowOp>) {
        if self.rows.is_empty() {
            return;
        }
        for op in ops {
            if let (Some(table), Some(key)) = (op.op.table(), op.op.key())
                && let Some(waiting) = self.rows.get(&(table, key.clone()))
            {
                self.due.extend(waiting);
            }
        }
    }

    /// The same, for rows in which an entry's reservation was returned.
    pub fn returned(&mut self, rows: Vec<(TableId, Key)>) {
        for row in rows {
            if let Some(waiting) = self.rows.get(&row) {
                self.due.extend(waiting);
            }
        }
    }

    fn park(&mut self, waiting: Waiting) {
        let number = self.next;
        self.next += 1;
        for spend in &waiting.submission.classification.spends {
            self.rows.entry((spend.table, spend.key.clone())).or_default().insert(number);
        }
        self.waiting.insert(number, waiting);
    }

    fn take(&mut self, number: u64) -> Option<Waiting> {
        self.due.remove(&number);
        let waiting = self.waiting.remove(&number)?;
        for spend in &waiting.submission.classification.spends {
            let row = (spend.table, spend.key.clone());
            if let Some(numbers) = self.rows.get_mut(&row) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.rows.remove(&row);
                }
            }
        }
        Some(waiting)
    }

    /// What those that wait need of an account, together.
    fn needed(&self, want: &Want, ty: &DataType) -> Value {
        let numbers = self.rows.get(&(want.table, want.key.clone())).into_iter().flatten();
        let spends =
            numbers.filter_map(|n| self.waiting.get(n)).flat_map(|w| &w.submission.classification.spends);
        let of = spends.filter(|s| {
            (s.table, &s.key, s.column, s.side) == (want.table, &want.key, want.column, want.side)
        });
        arith::sum(ty, of.map(|s| &s.amount))
    }
}

/// What a spend lacks.
struct Lack {
    spend: Spend,
    ty: DataType,
    /// This site's rights.
    has: Value,
    lacking: Value,
    /// What others are believed to have.
    holders: Vec<(SiteId, Value)>,
    /// Put aside for entries that are not decided.
    reserved: Value,
}

/// What the gate says.
enum Gate {
    Open,
    /// The slack itself is short, or the row is gone: the generator is to look again.
    Stale(Item),
    Short(Vec<Lack>),
}

impl Site {
    /// Whose rights are this site's to spend: its own, and those of removed sites whose heir it is.
    fn mine(&self) -> Vec<SiteId> {
        let heirs = self.members.closed().iter().filter(|(_, closed)| closed.heir == self.options.id);
        [self.options.id].into_iter().chain(heirs.map(|(site, _)| *site)).collect()
    }

    /// The other members.
    fn others(&self) -> impl Iterator<Item = SiteId> + '_ {
        self.members.current().keys().copied().filter(|site| *site != self.options.id)
    }

    /// The rights of some sites towards a bound.
    fn rights_of(
        &self,
        table: &Table,
        row: &Incarnation,
        account: (ColumnId, BoundSide),
        sites: &[SiteId],
    ) -> Value {
        let (column, side) = account;
        let of = sites.iter().filter_map(|site| row.rights_of(table, column, side, *site));
        let own = arith::sum(&exact(table, column), of.collect::<Vec<_>>().iter());
        // What a removed site has put aside, and the order has not decided, never will be.
        let left = row.rights.reserved.iter().filter(|r| {
            (r.column, r.side) == account
                && sites.contains(&r.entry.site)
                && self.members.closed().contains_key(&r.entry.site)
        });
        let left = arith::sum(&exact(table, column), left.map(|r| &r.amount));
        let own = arith::add(&exact(table, column), &own, &left);
        if planted(Fault::ReservationByTimeout) {
            let given_up =
                |entry: &EntryId| entry.site == self.options.id && !self.proposals.contains_key(entry);
            let late = row.rights.reserved.iter().filter(|r| given_up(&r.entry)).map(|r| &r.amount);
            return arith::add(&exact(table, column), &own, &arith::sum(&exact(table, column), late));
        }
        own
    }

    fn gate(&self, spends: &[Spend]) -> Result<Gate, Error> {
        let mut lacks = Vec::new();
        let schema = self.engine.schema();
        for spend in spends {
            let gone = || Gate::Stale(Item::Row { table: spend.table, key: spend.key.clone() });
            let (Some(table), Some(state)) =
                (schema.table(spend.table), self.engine.newest(spend.table, &spend.key)?)
            else {
                return Ok(gone());
            };
            let Some(row) = state.incarnation(spend.incarnation).filter(|row| row.is_live(table)) else {
                return Ok(gone());
            };
            let ty = exact(table, spend.column);
            let Some(slack) = row.slack(table, spend.column, spend.side) else { continue };
            let account = (spend.column, spend.side);
            let mut has = self.rights_of(table, row, account, &self.mine());
            if planted(Fault::EndedRightsCount) {
                let all = state.incarnations.iter().map(|i| self.rights_of(table, i, account, &self.mine()));
                has = arith::sum(&ty, all.collect::<Vec<_>>().iter());
            }
            let lacking = arith::sub(&ty, &spend.amount, &has);
            if sign(&lacking).is_some_and(|s| s <= 0) {
                continue;
            }
            if !covers(&ty, &slack, &spend.amount) {
                return Ok(gone());
            }
            let holders = self.others().map(|site| (site, self.rights_of(table, row, account, &[site])));
            let reserved = row.reserved(table, spend.column, spend.side);
            let holders = holders.collect();
            lacks.push(Lack { spend: spend.clone(), ty, has, lacking, holders, reserved });
        }
        Ok(if lacks.is_empty() { Gate::Open } else { Gate::Short(lacks) })
    }

    /// Whether this site's rights cover what the transaction spends; if not, it is dealt with. `deadline`: None at its first try.
    pub(super) fn covered(
        &mut self,
        submission: Submission,
        reply: Reply<Outcome>,
        earlier: Option<(u64, u64)>,
        out: &mut Vec<Output>,
    ) -> Option<(Submission, Reply<Outcome>)> {
        let spends = &submission.classification.spends;
        let error = match self.gate(spends) {
            Ok(Gate::Open) => {
                if earlier.is_some() {
                    self.counts.rights_given += 1;
                } else if !spends.is_empty() {
                    self.counts.rights_local += 1;
                }
                return Some((submission, reply));
            }
            Ok(Gate::Stale(item)) => CommitError::Conflict { item, seq: self.engine.seq() },
            Ok(Gate::Short(lacks)) => {
                if let Some(message) = self.hopeless(&lacks, &submission) {
                    self.counts.rights_short += 1;
                    CommitError::Short { message }
                } else {
                    self.wait_for(lacks, submission, reply, earlier);
                    return None;
                }
            }
            Err(error) => CommitError::Rejected { sqlstate: "58030", message: error.to_string() },
        };
        out.push(Output::Reply(reply, Err(error)));
        None
    }

    /// Why it is no use to wait, if it is not.
    fn hopeless(&self, lacks: &[Lack], submission: &Submission) -> Option<String> {
        if submission.asserted_blue {
            return Some(self.shortage(lacks, "gemini.color is 'blue', so no other site is asked"));
        }
        if self.rights.waiting.len() >= WAITING {
            return Some(self.shortage(lacks, "too many transactions wait for rights already"));
        }
        let out_of_reach = |lack: &&Lack| {
            let reached =
                lack.holders.iter().filter(|(site, has)| positive(has) && self.replica.reaches(*site));
            let there = arith::sum(&lack.ty, reached.map(|(_, has)| has));
            let there = arith::add(&lack.ty, &there, &lack.reserved);
            !covers(&lack.ty, &there, &lack.lacking)
        };
        let short = lacks.iter().any(|lack| out_of_reach(&lack));
        short.then(|| self.shortage(lacks, "no sites in reach have enough"))
    }

    fn wait_for(
        &mut self,
        lacks: Vec<Lack>,
        submission: Submission,
        reply: Reply<Outcome>,
        earlier: Option<(u64, u64)>,
    ) {
        let timeout = submission.timeout.unwrap_or(self.options.commit_timeout);
        let (deadline, mut asked) = earlier.unwrap_or((self.now + timeout, 0));
        if asked == 0 || self.now >= asked + ASK_AGAIN {
            asked = self.now;
            for lack in lacks {
                let reached = lack.holders.iter().filter(|(site, _)| self.replica.reaches(*site));
                let reached: Vec<_> = reached.cloned().collect();
                for (site, need) in ask(&lack.ty, &reached, &lack.lacking) {
                    let hope = need.clone();
                    self.rights.wants.entry(site).or_default().push(want(&lack.spend, need, hope));
                }
            }
        }
        self.rights.park(Waiting { submission, reply, deadline, asked });
    }

    /// "needs 3 rights of item_stock_check on item (7); this site has 1; us-west has 2, …"
    fn shortage(&self, lacks: &[Lack], why: &str) -> String {
        let schema = self.engine.schema();
        let each = lacks.iter().map(|Lack { spend, has, holders, reserved, .. }| {
            let table = schema.table(spend.table).map(|t| &**t);
            let name = table.and_then(|t| t.constraint_name(spend.constraint)).unwrap_or("a bound");
            let row = format!(
                "{} ({})",
                table.map_or("a dropped table", |t| t.name.as_str()),
                shown_key(table, &spend.key)
            );
            let mut text = format!(
                "needs {} rights of {name} on {row}; this site has {}",
                shown(&spend.amount),
                shown(has)
            );
            for (site, has) in holders.iter().filter(|(_, has)| positive(has)) {
                let reach = if self.replica.reaches(*site) { "" } else { ", and cannot be reached" };
                text += &format!("; {} has {}{reach}", self.name(*site), shown(has));
            }
            if positive(reserved) {
                text += &format!("; {} are put aside for red transactions in flight", shown(reserved));
            }
            text
        });
        format!("{}: {why}", each.collect::<Vec<_>>().join(". "))
    }

    /// The end of a step: those whose rows have changed try again, peers are answered, and peers are asked.
    pub(super) fn serve_rights(&mut self, out: &mut Vec<Output>) {
        while let Some(number) = self.rights.due.pop_first() {
            self.try_again(number, out);
        }
        while let Some((from, wants)) = self.rights.asked.pop_front() {
            self.give(from, &wants, out);
        }
        for (site, wants) in std::mem::take(&mut self.rights.wants) {
            for wants in wants.chunks(MAX_WANTS) {
                let message = PeerMessage::Wants(Wants { wants: wants.to_vec() });
                self.with_replica(out, |replica, _, _, outputs| replica.say(site, message, outputs));
            }
        }
    }

    fn try_again(&mut self, number: u64, out: &mut Vec<Output>) {
        let Some(Waiting { submission, reply, deadline, asked }) = self.rights.take(number) else { return };
        self.attempt(submission, reply, Some((deadline, asked)), out);
    }

    /// Those past their deadline, and those that have been waiting long enough to ask again.
    pub(super) fn expire_rights(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        let late = |w: &Waiting| w.deadline <= now || w.reply.is_closed();
        let over: Vec<u64> = self.rights.waiting.iter().filter(|(_, w)| late(w)).map(|(n, _)| *n).collect();
        for number in over {
            let Some(Waiting { submission, reply, .. }) = self.rights.take(number) else { continue };
            self.counts.rights_short += 1;
            let message = match self.gate(&submission.classification.spends) {
                Ok(Gate::Short(lacks)) => self.shortage(&lacks, "they were not given in time"),
                _ => "rights of a bounded counter were not given in time".to_string(),
            };
            out.push(Output::Reply(reply, Err(CommitError::Short { message })));
        }
        let again = self.rights.waiting.iter().filter(|(_, w)| now >= w.asked + ASK_AGAIN).map(|(n, _)| *n);
        let again: Vec<u64> = again.collect();
        self.rights.due.extend(again);
        self.rights.hoped.retain(|_, at| now < *at + ASK_AGAIN);
    }

    /// After a commit that spent: where the next spends may not be covered, the richest site is asked before they come.
    pub(super) fn top_up(&mut self, spends: &[Spend]) {
        let schema = self.engine.schema();
        for spend in spends {
            let account: Account = (spend.table, spend.key.clone(), spend.column, spend.side);
            if self.rights.hoped.contains_key(&account) || self.rights.hoped.len() >= REMEMBERED {
                continue;
            }
            let (Some(table), Ok(Some(state))) =
                (schema.table(spend.table), self.engine.newest(spend.table, &spend.key))
            else {
                continue;
            };
            let Some(row) = state.incarnation(spend.incarnation) else { continue };
            let Some(slack) = row.slack(table, spend.column, spend.side) else { continue };
            let at = (spend.column, spend.side);
            let own = self.rights_of(table, row, at, &self.mine());
            let wish = hope(&own, &spend.amount, &slack, self.members.current().len());
            if wish == 0 {
                continue;
            }
            let others = self.others().filter(|site| self.replica.reaches(*site));
            let richest = others
                .map(|site| (self.rights_of(table, row, at, &[site]), site))
                .max_by(|a, b| a.0.canonical(&b.0).then(b.1.cmp(&a.1)));
            let Some((_, site)) = richest.filter(|(has, _)| positive(has)) else { continue };
            let ty = exact(table, spend.column);
            let (none, wish) = (arith::integer_value(&ty, 0), arith::integer_value(&ty, wish));
            self.rights.hoped.insert(account, self.now);
            self.rights.wants.entry(site).or_default().push(want(spend, none, wish));
        }
    }

    /// After a change of the schema: the rows of tables in which more columns count under bounds than before are shared out.
    pub(super) fn survey(&mut self, before: &Schema) {
        let counting = |table: &Table| table.columns.iter().filter(|c| table.is_bounded(c.id)).count();
        for table in self.engine.schema().tables.values() {
            if before.table(table.id).is_some_and(|old| counting(old) < counting(table)) {
                self.rights.surveys.push_back((table.id, None));
            }
        }
    }

    /// Shares out some rows of this site's making in which nobody else has anything yet.
    pub(super) fn share_some(&mut self, out: &mut Vec<Output>) {
        let Some((id, last)) = self.rights.surveys.front().cloned() else { return };
        if self.refusal().is_some() {
            return;
        }
        let range = last.map_or_else(KeyRange::all, |key| KeyRange::all().after(&key, false));
        let found = self.shared.reader.snapshot().scan_states(id, &range, false, SHARED_AT_ONCE);
        let Some(found) = self.must(found) else { return };
        match found.last() {
            Some((key, _)) if found.len() == SHARED_AT_ONCE => {
                self.rights.surveys[0].1 = Some(key.clone());
            }
            _ => drop(self.rights.surveys.pop_front()),
        }
        let schema = self.engine.schema();
        let Some(table) = schema.table(id) else { return };
        let mut ops = Vec::new();
        for (key, _) in found {
            let state = self.engine.newest(id, &key);
            let Some(Some(state)) = self.must(state) else { continue };
            for row in state.live_incarnations(table).filter(|row| self.mine().contains(&row.creator())) {
                let moves = self.shares(table, row);
                if !moves.is_empty() {
                    ops.push(Op::Rights { table: id, key: key.clone(), of: Some(row.id), moves });
                }
            }
        }
        if !ops.is_empty() {
            self.commit_own(ops, out);
        }
    }

    fn shares(&self, table: &Table, row: &Incarnation) -> Vec<Move> {
        let mut moves = Vec::new();
        for column in table.columns.iter().map(|c| c.id) {
            for side in SIDES {
                let Some(slack) = row.slack(table, column, side) else { continue };
                let own = self.rights_of(table, row, (column, side), &self.mine());
                let others =
                    self.others().map(|site| (site, self.rights_of(table, row, (column, side), &[site])));
                for (to, amount) in spread(&own, &others.collect::<Vec<_>>(), &slack) {
                    let amount = arith::integer_value(&exact(table, column), amount);
                    moves.push(Move::Gift { column, side, to, amount });
                }
            }
        }
        moves
    }

    /// Gives a peer what it asks for, as far as there is something left over: one blue transaction for one message.
    fn give(&mut self, to: SiteId, wants: &[Want], out: &mut Vec<Output>) {
        if self.refusal().is_some() || !self.members.contains(to) || to == self.options.id {
            return;
        }
        let schema = self.engine.schema();
        let mut ops: BTreeMap<(TableId, Key, TxnId), Vec<Move>> = BTreeMap::new();
        for want in wants {
            let Some(table) = schema.table(want.table) else { continue };
            let state = self.engine.newest(want.table, &want.key);
            let Some(Some(state)) = self.must(state) else { continue };
            let Some(row) = state.incarnation(want.incarnation).filter(|row| row.is_live(table)) else {
                continue;
            };
            if row.slack(table, want.column, want.side).is_none() {
                continue;
            }
            let ty = exact(table, want.column);
            let own = self.rights_of(table, row, (want.column, want.side), &self.mine());
            let moves = ops.entry((want.table, want.key.clone(), want.incarnation)).or_default();
            let promised = moves.iter().filter_map(|m| match m {
                Move::Gift { column, side, amount, .. } if (*column, *side) == (want.column, want.side) => {
                    Some(amount)
                }
                _ => None,
            });
            let promised = arith::sum(&ty, promised);
            let needed = self.rights.needed(want, &ty);
            // Two that are short of the same rights would wait for each other: the lesser of them is served.
            let spoken_for = if to < self.options.id && positive(&want.need) {
                promised
            } else {
                arith::add(&ty, &promised, &needed)
            };
            let surplus = arith::sub(&ty, &own, &spoken_for);
            let given = match planted(Fault::GiftUngated) {
                true => Some(want.need.clone()).filter(positive),
                false => grant(&ty, &surplus, &want.need, &want.hope),
            };
            moves.extend(given.map(|amount| Move::Gift { column: want.column, side: want.side, to, amount }));
        }
        let ops: Vec<Op> = ops
            .into_iter()
            .filter(|(_, moves)| !moves.is_empty())
            .map(|((table, key, of), moves)| Op::Rights { table, key, of: Some(of), moves })
            .collect();
        if !ops.is_empty() {
            self.counts.gifts += 1;
            self.commit_own(ops, out);
        }
    }

    /// Puts aside what an entry will spend, in a blue transaction that the entry depends on.
    pub(super) fn put_aside(&mut self, entry: EntryId, spends: &[Spend], out: &mut Vec<Output>) {
        let op = |spend: &Spend| Op::Rights {
            table: spend.table,
            key: spend.key.clone(),
            of: Some(spend.incarnation),
            moves: vec![Move::Reserve {
                column: spend.column,
                side: spend.side,
                entry,
                amount: spend.amount.clone(),
            }],
        };
        self.commit_own(spends.iter().map(op).collect(), out);
    }

    /// Commits a blue transaction of the site's own.
    fn commit_own(&mut self, ops: Vec<Op>, out: &mut Vec<Output>) {
        let transaction = ShadowTransaction {
            origin: self.options.id,
            statements: vec![self.engine.applied().clone()],
            deps: self.engine.applied().clone(),
            stamp: Stamp { hlc: Hlc::default(), site: self.options.id },
            schema_version: self.engine.schema().version,
            ops: ops.into_iter().map(|op| ShadowOp { statement: 0, op }).collect(),
        };
        match self.stamped(transaction) {
            Ok(transaction) => {
                self.commit(transaction, out);
            }
            Err(error) => tracing::warn!(?error, "rights cannot be moved"),
        }
    }
}

fn want(spend: &Spend, need: Value, hope: Value) -> Want {
    Want {
        table: spend.table,
        key: spend.key.clone(),
        incarnation: spend.incarnation,
        column: spend.column,
        side: spend.side,
        need,
        hope,
    }
}

/// Whether `has` is at least `needs`; never, for what is no number.
fn covers(ty: &DataType, has: &Value, needs: &Value) -> bool {
    sign(&arith::sub(ty, has, needs)).is_some_and(|s| s >= 0)
}

fn shown(value: &Value) -> gemini_shadow_ops::text::Shown<'_> {
    gemini_shadow_ops::text::Shown(value)
}
