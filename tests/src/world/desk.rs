//! Where a client sits: one place of one site, kept over crashes. Each of its turns has chance of its own, so leaving one
//! out (when a failing run is made smaller) changes nothing of the others' choices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::time::Time;
use crate::random::Random;

/// A client's place, handed from each client to its successor.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Names it in traces and reduced plans.
    pub id: usize,
    /// The site, counted from 0.
    pub node: usize,
    /// When it closes, µs since 1970.
    pub until: u64,
    pub(super) seed: u64,
    /// Turns begun so far, by all its clients.
    pub(super) turns: Arc<AtomicU64>,
    pub(super) time: Time,
    pub(super) keep: Arc<super::keep::Keep>,
}

impl Desk {
    /// Whether it has not closed.
    pub fn is_open(&self) -> bool {
        self.time.now() < self.until
    }

    /// The next turn's chance, or None if this turn is left out: then sleep and ask again.
    pub fn turn(&self) -> Option<Random> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let chance = Random::new(self.seed ^ turn.wrapping_mul(0xd6e8_feb8_6659_fd93)).fork();
        self.keep.turn(self.id, turn).then_some(chance)
    }
}
