//! Submissions: local validation, blue commits, acknowledgements, minted values.

use std::sync::Arc;

use gemini_engine::{Lsn, Record, Seq};
use gemini_replication::wire::{MAX_TRANSACTION, transaction_size};
use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::rights::shared_out;
use gemini_shadow_ops::{Color, Dot, Hlc, Item, SequenceId, ShadowTransaction, SiteId, Stamp, TxnId};
use gemini_sql::host::{CommitError, Committed, Durability, Submission};

use super::shared::RecentRed;
use super::{Outcome, Output, Reply, Site};

/// An answer that waits for its log position to be on disk.
#[derive(Debug)]
pub(super) struct Acknowledgement {
    pub position: Lsn,
    pub reply: Reply<Outcome>,
    pub outcome: Outcome,
    /// Then wait for a majority to have this dot, until then.
    pub quorum: Option<(u64, u64)>,
    /// A red transaction's story, told once it is on disk; its `applied` is the moment when it came.
    pub recent: Option<Box<RecentRed>>,
}

/// A blue commit, durable here, that waits for a majority's disks.
#[derive(Debug)]
pub(super) struct Quorum {
    pub n: u64,
    pub deadline: u64,
    pub reply: Reply<Outcome>,
    pub outcome: Outcome,
}

/// Minted values on their way to the disk.
#[derive(Debug)]
pub(super) struct Reservation {
    pub position: Lsn,
    pub sequence: SequenceId,
    pub bound: u64,
    pub waiting: Vec<Reply<Result<(), CommitError>>>,
}

impl Site {
    pub(super) fn submit(
        &mut self,
        mut submission: Submission,
        reply: Reply<Outcome>,
        out: &mut Vec<Output>,
    ) {
        let members: Vec<SiteId> = self.members.current().keys().copied().collect();
        let ops = &mut submission.transaction.ops;
        ops.extend(shared_out(&self.engine.schema(), ops, self.options.id, &members));
        self.attempt(submission, reply, None, out);
    }

    /// Takes a transaction, or takes it again after it has waited for rights (until then, asked when).
    pub(super) fn attempt(
        &mut self,
        submission: Submission,
        reply: Reply<Outcome>,
        earlier: Option<(u64, u64)>,
        out: &mut Vec<Output>,
    ) {
        if reply.is_closed() {
            return; // the session was cancelled or its connection is gone: nothing has happened yet
        }
        if let Err(error) = self.admissible(&submission) {
            if matches!(error, CommitError::Conflict { .. }) {
                self.counts.conflicts += 1;
            }
            out.push(Output::Reply(reply, Err(error)));
            return;
        }
        let Some((submission, reply)) = self.covered(submission, reply, earlier, out) else { return };
        match submission.classification.color {
            Color::Blue => self.commit_blue(submission, reply, out),
            Color::Red => self.propose(submission, reply, out),
        }
    }

    /// Everything that can be said against a transaction before it gets a name.
    fn admissible(&mut self, submission: &Submission) -> Result<(), CommitError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let size = transaction_size(&submission.transaction);
        if size > MAX_TRANSACTION {
            return Err(CommitError::Rejected {
                sqlstate: "54000",
                message: format!(
                    "the transaction's effects take {size} bytes, above the limit of {MAX_TRANSACTION}: split it into smaller ones"
                ),
            });
        }
        // Its colour and footprint were judged under another schema: the generator runs again on the newest.
        if submission.transaction.schema_version != self.engine.schema().version {
            return Err(CommitError::Conflict { item: Item::Catalogue, seq: self.engine.seq() });
        }
        let reads = if planted(Fault::ValidationSkipped) { &[][..] } else { &submission.local_reads };
        match self.engine.validate(reads) {
            Ok(Ok(())) => {}
            Ok(Err(conflict)) => {
                return Err(CommitError::Conflict { item: conflict.item, seq: conflict.seq });
            }
            Err(error) => {
                return Err(CommitError::Rejected { sqlstate: "58030", message: error.to_string() });
            }
        }
        self.unclaimed(submission)
    }

    /// A value of this site's minting class that an undecided transaction uses explicitly belongs to that one.
    fn unclaimed(&self, submission: &Submission) -> Result<(), CommitError> {
        let used = submission.minted.iter().chain(&submission.explicit);
        for (sequence, value) in used {
            if self.claimed.contains_key(&(*sequence, *value)) {
                return Err(CommitError::Conflict {
                    item: Item::Sequence { sequence: *sequence },
                    seq: self.engine.seq(),
                });
            }
        }
        Ok(())
    }

    /// Sets what only the site knows: what the transaction depends on and its stamp.
    pub(super) fn stamped(
        &mut self,
        mut transaction: ShadowTransaction,
    ) -> Result<Arc<ShadowTransaction>, CommitError> {
        let hlc = self
            .clock
            .above(self.now, self.greatest)
            .map_err(|error| CommitError::Rejected { sqlstate: "58000", message: error.to_string() })?;
        let hlc = if planted(Fault::StampBelow) { Hlc { micros: self.now, count: 0 } } else { hlc };
        self.greatest = self.greatest.max(hlc);
        transaction.origin = self.options.id;
        transaction.stamp = Stamp { hlc, site: self.options.id };
        transaction.deps = self.engine.applied().clone();
        for seen in &transaction.statements {
            assert!(
                transaction.deps.includes(seen),
                "a snapshot {seen} ahead of the site {}",
                transaction.deps
            );
        }
        Ok(Arc::new(transaction))
    }

    fn commit_blue(&mut self, submission: Submission, reply: Reply<Outcome>, out: &mut Vec<Output>) {
        let durability = submission.durability;
        let timeout = submission.timeout.unwrap_or(self.options.commit_timeout);
        let transaction = match self.stamped(submission.transaction) {
            Ok(transaction) => transaction,
            Err(error) => return out.push(Output::Reply(reply, Err(error))),
        };
        let Some((dot, position, seq)) = self.append_blue(&transaction) else { return };
        self.counts.blue += 1;
        self.top_up(&submission.classification.spends);
        let acknowledgement = Acknowledgement {
            position,
            reply,
            outcome: Ok(Committed { id: TxnId::Blue(dot), color: Color::Blue, seq }),
            quorum: (durability == Durability::Quorum).then_some((dot.n, self.now + timeout)),
            recent: None,
        };
        if acknowledgement.quorum.is_some() {
            self.replica.awaits(dot.n);
        }
        match planted(Fault::BlueBeforeSync) {
            true => self.acknowledge(acknowledgement, out),
            false => self.acknowledgements.push_back(acknowledgement),
        }
        self.announce(dot, &transaction, out);
    }

    /// A blue transaction that no session waits for.
    pub(super) fn commit(&mut self, transaction: Arc<ShadowTransaction>, out: &mut Vec<Output>) {
        if let Some((dot, ..)) = self.append_blue(&transaction) {
            self.announce(dot, &transaction, out);
        }
    }

    fn append_blue(&mut self, transaction: &Arc<ShadowTransaction>) -> Option<(Dot, Lsn, Seq)> {
        let dot = Dot { site: self.options.id, n: self.replica.own() + 1 };
        let committed = self.engine.commit_blue(dot, transaction.clone());
        let (position, seq) = self.must(committed)?;
        self.rights.touched(&transaction.ops);
        Some((dot, position, seq))
    }

    fn announce(&mut self, dot: Dot, transaction: &Arc<ShadowTransaction>, out: &mut Vec<Output>) {
        self.with_replica(out, |replica, now, shelf, outputs| {
            replica.committed(now, dot, transaction, shelf, outputs);
        });
    }

    pub(super) fn acknowledge(&mut self, acknowledgement: Acknowledgement, out: &mut Vec<Output>) {
        let Acknowledgement { reply, outcome, quorum, recent, .. } = acknowledgement;
        if let Some(mut recent) = recent {
            recent.applied = self.now.saturating_sub(recent.applied);
            self.shared.record_recent(*recent);
        }
        match quorum {
            Some((n, deadline)) if self.members.current().len() > 1 => {
                self.quorum.push_back(Quorum { n, deadline, reply, outcome });
            }
            _ => out.push(Output::Reply(reply, outcome)),
        }
    }

    /// A majority has our blue transactions up to `n` on disk.
    pub(super) fn replicated(&mut self, n: u64, out: &mut Vec<Output>) {
        while self.quorum.front().is_some_and(|waiting| waiting.n <= n) {
            let Some(waiting) = self.quorum.pop_front() else { break };
            out.push(Output::Reply(waiting.reply, waiting.outcome));
        }
    }

    /// A commit that no majority has confirmed in time is not undone; its client is told what is known.
    pub(super) fn expire_quorum(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        let (late, waiting): (Vec<_>, Vec<_>) = self.quorum.drain(..).partition(|w| w.deadline <= now);
        self.quorum.extend(waiting);
        for late in late {
            let message = format!(
                "committed at this site as b{}.{}, but no majority of sites has confirmed it in time; it is not undone and reaches \
                 them when they can be reached",
                self.options.id, late.n
            );
            out.push(Output::Reply(late.reply, Err(CommitError::Rejected { sqlstate: "40003", message })));
        }
    }

    /// Reserves more minted values durably.
    pub(super) fn reserve(
        &mut self,
        sequence: SequenceId,
        reply: Option<Reply<Result<(), CommitError>>>,
        out: &mut Vec<Output>,
    ) {
        if let Some(refusal) = self.refusal() {
            out.extend(reply.map(|reply| Output::Minted(reply, Err(refusal))));
            return;
        }
        match self.shared.minter.reserve(sequence) {
            Some(bound) => {
                let Some(position) = self.log_bound(sequence, bound) else { return };
                self.reservations.push_back(Reservation {
                    position,
                    sequence,
                    bound,
                    waiting: reply.into_iter().collect(),
                });
            }
            None => {
                let Some(reply) = reply else { return };
                match self.reservations.iter_mut().find(|r| r.sequence == sequence) {
                    Some(reservation) => reservation.waiting.push(reply),
                    None => out.push(Output::Minted(reply, Ok(()))), // durable meanwhile: the session asks again
                }
            }
        }
    }

    pub(super) fn log_bound(&mut self, sequence: SequenceId, bound: u64) -> Option<Lsn> {
        let upto = i64::try_from(bound).unwrap_or(i64::MAX);
        self.append(Record::Minted { sequence, upto })
    }
}
