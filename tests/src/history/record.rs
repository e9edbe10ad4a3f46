//! Writing histories down while clients work.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{History, Op, Outcome, Transaction};

/// Shared by all clients of one history. Its clock counts beginnings and ends, so it is as exact as real time: a
/// transaction is begun here before anything of it is sent, and ended here after its outcome has come.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    clock: u64,
    history: History,
}

impl Inner {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

impl Recorder {
    /// A transaction begins; its number. Until it ends its outcome is unknown, whatever becomes of its client.
    pub fn begin(&self, process: u64, site: &str) -> usize {
        let mut inner = self.0.lock();
        let begun = inner.tick();
        let transactions = &mut inner.history.transactions;
        transactions.push(Transaction {
            process,
            site: site.to_owned(),
            ops: Vec::new(),
            begun,
            ended: None,
            outcome: Outcome::Unknown,
        });
        transactions.len() - 1
    }

    /// A write is about to be sent, or a read has been answered.
    pub fn note(&self, transaction: usize, op: Op) {
        self.0.lock().history.transactions[transaction].ops.push(op);
    }

    /// The client knows the outcome.
    pub fn end(&self, transaction: usize, outcome: Outcome) {
        let mut inner = self.0.lock();
        let ended = inner.tick();
        let transaction = &mut inner.history.transactions[transaction];
        transaction.outcome = outcome;
        transaction.ended = Some(ended);
    }

    /// All of it so far.
    pub fn history(&self) -> History {
        self.0.lock().history.clone()
    }
}
