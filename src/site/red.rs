//! Red transactions: proposing them, and deciding and applying what the order brings.

use std::sync::Arc;

use gemini_engine::Lsn;
use gemini_replication::{Failure, Unavailable};
use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{
    Color, Entry, EntryId, Item, RedTransaction, Ruling, TableId, TxnId, Verdict,
    verdict::{EntryStatus, Refusal},
};
use gemini_sql::host::{About, CommitError, Committed, Submission, TransactionStatus};

use super::commit::{Acknowledgement, Reservation};
use super::shared::{RecentRed, committed};
use super::{Outcome, Output, Reply, Site};

/// A session's red transaction on its way through the order.
#[derive(Debug)]
pub(super) struct Proposal {
    pub reply: Reply<Outcome>,
    pub reasons: String,
    pub about: About,
    pub submitted: u64,
    pub deadline: u64,
}

impl Proposal {
    /// For `gemini.transactions`, as of `now`.
    fn story(&self, id: EntryId, outcome: TransactionStatus, now: u64) -> RecentRed {
        RecentRed {
            id,
            color: Color::Red,
            reasons: self.reasons.clone(),
            outcome,
            statement: self.about.statement.clone(),
            generated: self.about.generated,
            ordered: now.saturating_sub(self.submitted),
            applied: now,
            conflict: None,
        }
    }
}

impl Site {
    pub(super) fn propose(&mut self, submission: Submission, reply: Reply<Outcome>, out: &mut Vec<Output>) {
        let id = self.replica.next_entry_id();
        let schema = self.engine.schema();
        let reasons = submission.classification.reasons.iter().map(|reason| reason.describe(&schema).why);
        let reasons: std::collections::BTreeSet<String> = reasons.collect();
        let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
        let rules: std::collections::BTreeSet<_> =
            submission.classification.reasons.iter().map(|reason| reason.rule).collect();
        self.shared.count_rules(rules.into_iter());
        let about = submission.about.clone().unwrap_or_default();
        let deadline = self.now + submission.timeout.unwrap_or(self.options.commit_timeout);
        self.claim(&submission, id);
        let transaction = match self.stamped(submission.transaction) {
            Ok(transaction) => transaction,
            Err(error) => {
                self.release(id);
                return out.push(Output::Reply(reply, Err(error)));
            }
        };
        let red = RedTransaction::new(id, transaction, &submission.classification, &schema);
        let mut entry = Entry::Transaction(red);
        // What the order would refuse already need not cross the ocean to hear it.
        let foreseen = match self.members.foresee(&entry) {
            Ruling::Refused(refusal) => Verdict::Refused(refusal),
            Ruling::Stands | Ruling::Void => self.window.foresee(&entry, &schema),
        };
        if let Verdict::Refused(refusal) = foreseen {
            self.release(id);
            self.counts.refused += 1;
            let refused = self.refused(&refusal);
            return out.push(Output::Reply(reply, Err(refused)));
        }
        if let Err(unavailable) = self.replica.may_propose() {
            return self.not_sent(id, &unavailable, reply, out);
        }
        let spends = &submission.classification.spends;
        if let (Entry::Transaction(red), false) =
            (&mut entry, spends.is_empty() || planted(Fault::SpendNotReserved))
        {
            self.put_aside(id, spends, out);
            Arc::make_mut(&mut red.transaction).deps = self.engine.applied().clone();
        }
        let entry = Arc::new(entry);
        let mut refused = None;
        self.with_replica(out, |replica, now, shelf, outputs| {
            refused = replica.propose(now, entry, deadline, shelf, outputs).err();
        });
        if let Some(unavailable) = refused {
            return self.not_sent(id, &unavailable, reply, out);
        }
        self.shared.record(id, TransactionStatus::InProgress);
        self.proposals.insert(id, Proposal { reply, reasons, about, submitted: self.now, deadline });
    }

    fn not_sent(&mut self, id: EntryId, why: &Unavailable, reply: Reply<Outcome>, out: &mut Vec<Output>) {
        self.release(id);
        self.counts.unavailable += 1;
        let message = self.unreachable(why);
        out.push(Output::Reply(reply, Err(CommitError::Unavailable { message })));
    }

    /// Explicit values of this site's own class: minting goes on above them (durably, before the proposal: the replica
    /// sends nothing before the sync), and nobody else here uses them until the outcome is known.
    fn claim(&mut self, submission: &Submission, id: EntryId) {
        let schema = self.engine.schema();
        for (sequence, value) in &submission.explicit {
            self.claimed.insert((*sequence, *value), id);
            let Some(declared) = schema.sequences.get(sequence) else { continue };
            let Some(k) = self.options.minting.counter(declared, *value) else { continue };
            if let Some(bound) = self.shared.minter.raise(*sequence, k) {
                let Some(position) = self.log_bound(*sequence, bound) else { return };
                self.reservations.push_back(Reservation {
                    position,
                    sequence: *sequence,
                    bound,
                    waiting: Vec::new(),
                });
            }
        }
    }

    fn release(&mut self, id: EntryId) {
        self.claimed.retain(|_, owner| *owner != id);
    }

    /// The next red index: decided here as everywhere, logged, and applied if accepted.
    pub(super) fn admit_red(&mut self, r: u64, entry: Arc<Entry>, out: &mut Vec<Output>) {
        let before = self.engine.schema();
        let ruling = self.members.decide(r, &entry);
        let verdict = self.window.decide_under(r, &entry, &before, &ruling);
        self.counts.ordered += 1;
        if let Entry::Transaction(red) = &*entry {
            self.greatest = self.greatest.max(red.transaction.stamp.hlc);
        }
        let admitted = self.engine.admit_red(r, entry.clone(), &verdict);
        let Some((position, seq)) = self.must(admitted) else { return };
        self.rights.returned(entry.reserved());
        if let (Entry::Transaction(red), Verdict::Accepted) = (&*entry, &verdict) {
            self.rights.touched(&red.transaction.ops);
        }
        let version = self.engine.schema().version;
        if version != before.version {
            self.replica.schema_version(version);
            self.survey(&before);
        }
        if let Entry::Member(member) = &*entry {
            tracing::info!(r, %member, %verdict, "the members");
            if verdict == Verdict::Accepted {
                self.members_changed(out);
            }
            return;
        }
        let (id, status) = match (&*entry, &verdict) {
            (Entry::Transaction(red), Verdict::Accepted) => (red.id, committed(r)),
            (Entry::Transaction(red), Verdict::Refused(_)) => {
                (red.id, self.decided(red.id, TransactionStatus::Refused))
            }
            (Entry::Transaction(red), Verdict::Void) => {
                (red.id, self.decided(red.id, TransactionStatus::Void))
            }
            (Entry::Void { .. } | Entry::Member(_), _) => {
                (entry.id(), self.decided(entry.id(), TransactionStatus::Void))
            }
        };
        self.shared.record(id, status);
        self.release(id);
        let Some(proposal) = self.proposals.remove(&id) else { return };
        let outcome = match &verdict {
            Verdict::Accepted => {
                self.counts.red += 1;
                Ok(Committed { id: TxnId::Red(r), color: Color::Red, seq })
            }
            Verdict::Refused(refusal) => {
                self.counts.refused += 1;
                Err(self.refused(refusal))
            }
            Verdict::Void => Err(CommitError::Unavailable {
                message: format!(
                    "the transaction {id} was ended before it was ordered; it has had no effect"
                ),
            }),
        };
        let conflict = match &outcome {
            Err(CommitError::Refused { item, .. }) => item.clone(),
            _ => None,
        };
        let recent = RecentRed { conflict, ..proposal.story(id, status, self.now) };
        self.acknowledgements.push_back(Acknowledgement {
            position: if planted(Fault::RedBeforeSync) { Lsn(0) } else { position },
            reply: proposal.reply,
            outcome,
            quorum: None,
            recent: Some(Box::new(recent)),
        });
    }

    /// What was decided of an id earlier stands; a later copy or VOID changes nothing. Of one whose base has left the window
    /// the window remembers nothing: then only a process that has seen the whole order since it proposed the entry knows that
    /// there was no earlier one.
    fn decided(&self, id: EntryId, otherwise: TransactionStatus) -> TransactionStatus {
        match (self.shared.outcome(id), self.window.status(id)) {
            (TransactionStatus::Unknown, EntryStatus::Unknown) => TransactionStatus::Unknown,
            (TransactionStatus::InProgress | TransactionStatus::Unknown, _) => otherwise,
            (earlier, _) => earlier,
        }
    }

    /// A proposal has passed its deadline.
    pub(super) fn failed(&mut self, id: EntryId, failure: Failure, out: &mut Vec<Output>) {
        let Some(proposal) = self.proposals.remove(&id) else { return };
        self.counts.unavailable += 1;
        let mut told = proposal.story(id, TransactionStatus::Unknown, self.now);
        told.applied = 0;
        let error = match failure {
            Failure::Unavailable(unavailable) => {
                self.release(id);
                self.shared.record(id, TransactionStatus::Void);
                told.outcome = TransactionStatus::Void;
                CommitError::Unavailable { message: self.unreachable(&unavailable) }
            }
            // Its claims stay until the log has said how it ended: a value it may yet insert is nobody else's.
            Failure::Unknown { reason } => {
                let because = reason.map(|r| format!(": {r}")).unwrap_or_default();
                CommitError::Unknown {
                    id,
                    message: format!(
                        "the outcome of transaction {id} is not known yet{because}; ask gemini.transaction_status('{id}') later"
                    ),
                }
            }
        };
        self.shared.record_recent(told);
        out.push(Output::Reply(proposal.reply, Err(error)));
    }

    /// Those past their deadline that the replica no longer counts as open: ordered, and not applied here yet, because what they
    /// or those before them depend on is still to come. That may take as long as this site is cut off; their sessions do not wait.
    pub(super) fn expire_proposals(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        let late = self.proposals.iter().filter(|(_, proposal)| proposal.deadline <= now);
        let late: Vec<EntryId> = late.map(|(id, _)| *id).collect();
        for id in late {
            let reason = Some("it waits for transactions that have not reached this site".to_string());
            self.failed(id, Failure::Unknown { reason }, out);
        }
    }

    fn unreachable(&self, unavailable: &Unavailable) -> String {
        let names =
            unavailable.unreachable.iter().map(|site| self.name(*site)).collect::<Vec<_>>().join(", ");
        match (unavailable.majority, names.is_empty()) {
            (_, true) => "the red order has no leader at the moment; nothing was sent, try again".to_string(),
            (true, false) => format!(
                "the red order has no leader yet ({names} cannot be reached); nothing was sent, try again"
            ),
            (false, false) => {
                format!("no majority of sites can be reached: {names} cannot; nothing was sent")
            }
        }
    }

    fn refused(&self, refusal: &Refusal) -> CommitError {
        let schema = self.engine.schema();
        let table = |id: &TableId| schema.tables.get(id).map_or_else(|| id.to_string(), |t| t.name.clone());
        let (message, item) = match refusal {
            Refusal::Conflict { item, at } => (
                format!("could not serialize access: red transaction r{at} wrote {}", describe(item, &table)),
                Some(item.clone()),
            ),
            Refusal::StaleTable { table: id } => (
                format!("the declaration of table {} has changed", table(id)),
                Some(Item::Table { table: *id }),
            ),
            Refusal::Removed { site } => (
                format!(
                    "it depends on transactions of {}, which was removed from the cluster",
                    self.name(*site)
                ),
                None,
            ),
            Refusal::BaseTooOld { base } => {
                (format!("the snapshot at red index {base} is older than the certification window"), None)
            }
        };
        CommitError::Refused { message, item }
    }
}

/// An item for people: table and key.
fn describe(item: &Item, table: &dyn Fn(&TableId) -> String) -> String {
    match item {
        Item::Row { table: id, key } => format!("the existence of row {key:?} of table {}", table(id)),
        Item::Cells { table: id, key, .. } => format!("row {key:?} of table {}", table(id)),
        Item::IndexKey { table: id, key, .. } => format!("index key {key:?} of table {}", table(id)),
        Item::Range { table: id, .. } => format!("a range of table {} that was read", table(id)),
        Item::Table { table: id } => format!("table {}", table(id)),
        Item::Catalogue => "the schema".to_string(),
        Item::Sequence { sequence } => format!("sequence {sequence}"),
    }
}
