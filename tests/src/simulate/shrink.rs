//! Makes a failing run smaller: leaves out faults, bad weather, clients and single turns of clients, as long as the same promise
//! still breaks (Zeller and Hildebrandt: Simplifying and Isolating Failure-Inducing Input, IEEE TSE 2002).
//!
//! Every part of a run draws its chance from a source of its own, so what is left behaves much as it did. What comes out is
//! not the least run, only one from which no single part of the last kind tried could be left out.

use std::panic;

use super::{Failure, Work, simulate};
use crate::world::keep::Keep;
use crate::world::options::{CALM, Options};

/// How many runs are spent on it at the most.
const RUNS: u32 = 400;

/// The smallest failure found with the promise of `failure`, which may be itself. `work` makes the clients of one run.
pub fn shrink<W: Work>(failure: Box<Failure>, work: &dyn Fn() -> W) -> Box<Failure> {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut shrinking = Shrinking { best: failure, work, left: RUNS };
    shrinking.all();
    panic::set_hook(loud);
    shrinking.best
}

struct Shrinking<'a, W: Work> {
    best: Box<Failure>,
    work: &'a dyn Fn() -> W,
    left: u32,
}

impl<W: Work> Shrinking<'_, W> {
    fn all(&mut self) {
        self.sooner();
        for name in CALM {
            let mut keep = self.keep();
            keep.calm.insert(name.to_string());
            self.fails(keep);
        }
        let faults = crate::world::faults::plan(&self.best.options).len();
        let faults = (0..faults).filter(|i| self.keep().fault(*i)).collect();
        self.reduce(faults, |keep, faults| keep.faults = Some(faults.into_iter().collect()));
        let desks = self.best.turns.keys().copied().collect();
        self.reduce(desks, |keep, desks| keep.desks = Some(desks.into_iter().collect()));
        self.sooner();
        let turns = self.best.turns.clone();
        let turns = turns.into_iter().flat_map(|(desk, n)| (0..n).map(move |turn| (desk, turn)));
        let turns = turns.filter(|(desk, turn)| self.keep().turn(*desk, *turn)).collect();
        self.reduce(turns, |keep, turns| keep.turns = Some(turns.into_iter().collect()));
        self.sooner();
    }

    fn keep(&self) -> Keep {
        self.best.options.keep.clone()
    }

    /// Nothing after the failure is needed; perhaps half of what came before is enough.
    fn sooner(&mut self) {
        let Some(failed) = self.best.troubled_for else { return };
        for until in [failed / 2, failed * 3 / 4, failed + 1] {
            let keep = Keep { until: Some(until), ..self.keep() };
            if self.best.options.trouble > until && self.fails(keep) {
                return;
            }
        }
    }

    /// Leaves out as many as it can, in ever smaller pieces.
    fn reduce<T: Clone>(&mut self, items: Vec<T>, set: fn(&mut Keep, Vec<T>)) {
        let mut kept = items;
        let mut piece = kept.len();
        while piece > 0 {
            let mut at = 0;
            while at < kept.len() {
                let mut less = kept.clone();
                less.drain(at..kept.len().min(at + piece));
                let mut keep = self.keep();
                set(&mut keep, less.clone());
                if self.fails(keep) {
                    kept = less;
                } else {
                    at += piece;
                }
            }
            piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
        }
    }

    fn fails(&mut self, keep: Keep) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let options = Options { keep, ..self.best.drawn.clone() };
        match simulate(options, &(self.work)()) {
            Err(failure) if failure.promise == self.best.promise => {
                self.best = failure;
                true
            }
            _ => false,
        }
    }
}
