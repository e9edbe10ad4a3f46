//! Which moments are in use, and so which versions must stay.
//!
//! The writer publishes an [`Epoch`] after each group fsync. A snapshot *is* a counted reference to an epoch: taking one
//! is a read lock and an increment, dropping it a decrement, and no session ever waits for another or for the writer.
//! The writer keeps every epoch that may still be referenced in a list; one that only the list refers to is over.
//!
//! ```text
//!   list:   epoch 7     epoch 12    epoch 13 (current)        applied, not durable: 14 15 | 16 17 | 18
//!           2 sessions  over        1 session                            marks:        15      17   18 (open batch)
//!   needed: 7, 13, and 15, 17, 18, which will be published
//! ```
//!
//! Invariants: (1) only the current epoch can get new references (others only clones of existing ones), so an epoch
//! found over stays over and the least needed moment never goes back; (2) an epoch ended for holding too much counts as
//! over, and its snapshots answer every later read with an error, decided *after* the read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gemini_shadow_ops::{Frontier, Schema};
use parking_lot::{Mutex, RwLock};

use crate::Seq;
use crate::versions::Catalogue;

/// A durable moment.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) seq: Seq,
    pub(crate) frontier: Frontier,
    pub(crate) schema: Arc<Schema>,
    pub(crate) catalogue: Arc<Catalogue>,
    ended: AtomicBool,
}

impl Epoch {
    pub(crate) fn new(seq: Seq, frontier: Frontier, schema: Arc<Schema>, catalogue: Arc<Catalogue>) -> Epoch {
        Epoch { seq, frontier, schema, catalogue, ended: AtomicBool::new(false) }
    }

    /// Whether it was ended for holding too much.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

/// The moments in use.
#[derive(Debug)]
pub(crate) struct Pins {
    current: RwLock<Arc<Epoch>>,
    /// Oldest first; the last is the current one.
    open: Mutex<VecDeque<Arc<Epoch>>>,
}

impl Pins {
    pub(crate) fn new(epoch: Epoch) -> Pins {
        let epoch = Arc::new(epoch);
        Pins { current: RwLock::new(epoch.clone()), open: Mutex::new(VecDeque::from([epoch])) }
    }

    /// The newest durable moment.
    pub(crate) fn current(&self) -> Arc<Epoch> {
        self.current.read().clone()
    }

    /// Its sequence number, without taking a reference.
    pub(crate) fn current_seq(&self) -> Seq {
        self.current.read().seq
    }

    /// Makes a moment the current one, and writes the moments in use into `needed`, oldest first.
    pub(crate) fn publish(&self, epoch: Epoch, needed: &mut Vec<Seq>) {
        let epoch = Arc::new(epoch);
        let mut open = self.open.lock();
        debug_assert!(open.back().is_some_and(|last| last.seq <= epoch.seq), "moments only grow");
        open.push_back(epoch.clone());
        *self.current.write() = epoch;
        drop_over(&mut open);
        needed.clear();
        needed.extend(open.iter().map(|e| e.seq));
    }

    /// The oldest moment in use. What is not newer, and newest of its key up to it, may go to the store.
    pub(crate) fn oldest(&self) -> Seq {
        let mut open = self.open.lock();
        drop_over(&mut open);
        open.front().expect("the current epoch is always in the list").seq
    }

    /// Ends the oldest moment's snapshots if it is not the current one; whether it did.
    pub(crate) fn end_oldest(&self) -> bool {
        let mut open = self.open.lock();
        drop_over(&mut open);
        if open.len() < 2 {
            return false;
        }
        if let Some(epoch) = open.pop_front() {
            epoch.ended.store(true, Ordering::SeqCst);
        }
        true
    }
}

/// Forgets epochs that nothing but the list refers to. `current` holds a second reference to the last.
fn drop_over(open: &mut VecDeque<Arc<Epoch>>) {
    let last = open.len() - 1;
    let mut at = 0;
    open.retain(|epoch| {
        at += 1;
        at > last || Arc::strong_count(epoch) > 1
    });
}
