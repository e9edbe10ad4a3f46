//! Minted values: what SERIAL and IDENTITY columns get without asking another site.
//!
//! An open sequence has a `base`. Site class c of C mints `base + increment * (c + k * C)` for k = 0, 1, 2 …: no two
//! classes share a value, so no two sites do. A site never mints the same k twice, not after a restart either:
//! k stays below a bound that the log holds durably (`Record::Minted`), and after a restart minting begins at that bound.
//!
//! Sessions take values straight from the reserved block under a short lock; only when the block runs low does the
//! site thread reserve more (one log record), and only when it is empty does a session wait for that.

use std::collections::BTreeMap;

use gemini_shadow_ops::{Sequence, SequenceId};
use parking_lot::Mutex;

/// The least and greatest number of values reserved by one log record. A block that is used up within the time of one
/// request doubles, so a bulk load does not wait for the log at every row.
const BLOCK: (u64, u64) = (64, 8192);

/// Which values a site may mint: its class and their number, fixed at the creation of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintingClass {
    /// This site's.
    pub class: u32,
    /// Of so many.
    pub classes: u32,
}

impl MintingClass {
    /// The k-th value of this class; None past the end of `i64` or of the sequence.
    pub fn value(self, sequence: &Sequence, k: u64) -> Option<i64> {
        let base = i128::from(sequence.base?);
        let steps = i128::from(self.class) + i128::from(k) * i128::from(self.classes);
        let value = base.checked_add(i128::from(sequence.increment).checked_mul(steps)?)?;
        let within = value >= i128::from(sequence.min) && value <= i128::from(sequence.max);
        if within { i64::try_from(value).ok() } else { None }
    }

    /// The k of a value of this class; None if the value is another class's, off the grid, or before the base.
    pub fn counter(self, sequence: &Sequence, value: i64) -> Option<u64> {
        let distance = i128::from(value) - i128::from(sequence.base?);
        let increment = i128::from(sequence.increment);
        if increment == 0 || distance % increment != 0 || distance / increment < 0 {
            return None;
        }
        let steps = distance / increment - i128::from(self.class);
        if steps < 0 || steps % i128::from(self.classes) != 0 {
            return None;
        }
        u64::try_from(steps / i128::from(self.classes)).ok()
    }
}

/// One sequence's counters at this site.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// The next k.
    next: u64,
    /// Durable: k stays below.
    bound: u64,
    /// Logged, perhaps not durable yet.
    logged: u64,
    /// How many the next reservation takes.
    size: u64,
}

/// What a session gets when it asks for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minted {
    /// A value nobody else has; `low` asks the caller to have more reserved in time.
    Value {
        /// The value.
        value: i64,
        /// Less than half of the block is left.
        low: bool,
    },
    /// The block is empty: have the site reserve more and ask again.
    Empty,
    /// The sequence has no more values for this class.
    Exhausted,
}

/// The site's minting counters, shared by its sessions and the site thread.
#[derive(Debug)]
pub struct Minter {
    class: MintingClass,
    blocks: Mutex<BTreeMap<SequenceId, Block>>,
}

impl Minter {
    /// With the durable bounds found in the log.
    pub fn new(class: MintingClass, bounds: impl IntoIterator<Item = (SequenceId, u64)>) -> Minter {
        let blocks = bounds.into_iter().map(|(id, bound)| (id, Block::starting_at(bound))).collect();
        Minter { class, blocks: Mutex::new(blocks) }
    }

    /// This site's class.
    pub fn class(&self) -> MintingClass {
        self.class
    }

    /// The next value of an open sequence.
    pub fn mint(&self, sequence: &Sequence) -> Minted {
        let mut blocks = self.blocks.lock();
        let block = blocks.entry(sequence.id).or_insert_with(|| Block::starting_at(0));
        if block.next >= block.bound {
            return if self.class.value(sequence, block.next).is_none() {
                Minted::Exhausted
            } else {
                Minted::Empty
            };
        }
        let Some(value) = self.class.value(sequence, block.next) else { return Minted::Exhausted };
        block.next += 1;
        let low = block.logged == block.bound && (block.bound - block.next) * 2 < block.size;
        Minted::Value { value, low }
    }

    /// The value that [`Minter::mint`] would give after `ahead` others; None past the sequence's end.
    pub fn peek(&self, sequence: &Sequence, ahead: u64) -> Option<i64> {
        let next = self.blocks.lock().get(&sequence.id).map_or(0, |block| block.next);
        self.class.value(sequence, next.checked_add(ahead)?)
    }

    /// Reserves more: the bound to log. None if a reservation is on its way to the disk already.
    pub(super) fn reserve(&self, sequence: SequenceId) -> Option<u64> {
        let mut blocks = self.blocks.lock();
        let block = blocks.entry(sequence).or_insert_with(|| Block::starting_at(0));
        if block.logged > block.bound {
            return None;
        }
        if block.next >= block.bound && block.bound > 0 {
            block.size = (block.size * 2).min(BLOCK.1);
        }
        block.logged = block.bound.max(block.next) + block.size;
        Some(block.logged)
    }

    /// An explicit value of this site's own class is about to be used: minting goes on above it. Returns the bound to
    /// log (before the value is proposed) if the durable one does not cover it.
    pub(super) fn raise(&self, sequence: SequenceId, k: u64) -> Option<u64> {
        let mut blocks = self.blocks.lock();
        let block = blocks.entry(sequence).or_insert_with(|| Block::starting_at(0));
        block.next = block.next.max(k.saturating_add(1));
        if block.logged >= block.next {
            return None;
        }
        block.logged = block.next;
        Some(block.logged)
    }

    /// A logged bound is on disk.
    pub(super) fn durable(&self, sequence: SequenceId, bound: u64) {
        if let Some(block) = self.blocks.lock().get_mut(&sequence) {
            block.bound = block.bound.max(bound);
        }
    }

    /// Every logged bound, for a checkpoint.
    pub(super) fn bounds(&self) -> BTreeMap<SequenceId, u64> {
        self.blocks.lock().iter().map(|(id, block)| (*id, block.logged)).collect()
    }
}

impl Block {
    fn starting_at(bound: u64) -> Block {
        Block { next: bound, bound, logged: bound, size: BLOCK.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(base: i64, increment: i64, max: i64) -> Sequence {
        Sequence {
            id: SequenceId(1),
            name: "s".into(),
            start: base,
            increment,
            min: 1,
            max,
            cycle: false,
            owner: None,
            base: Some(base),
        }
    }

    #[test]
    fn classes_never_share_a_value() {
        let s = sequence(10, 3, i64::MAX);
        let mut seen = std::collections::BTreeSet::new();
        for class in 0..4 {
            let class = MintingClass { class, classes: 4 };
            for k in 0..50 {
                let value = class.value(&s, k).expect("within range");
                assert!(seen.insert(value), "{value} minted twice");
                assert_eq!(class.counter(&s, value), Some(k));
            }
        }
    }

    #[test]
    fn a_restart_begins_at_the_durable_bound() {
        let s = sequence(1, 1, i64::MAX);
        let class = MintingClass { class: 2, classes: 32 };
        let minter = Minter::new(class, []);
        assert_eq!(minter.mint(&s), Minted::Empty);
        let bound = minter.reserve(s.id).expect("nothing on its way");
        assert_eq!(minter.reserve(s.id), None);
        assert_eq!(minter.mint(&s), Minted::Empty, "not before the bound is durable");
        minter.durable(s.id, bound);
        assert_eq!(minter.peek(&s, 0), Some(3));
        let Minted::Value { value, .. } = minter.mint(&s) else { panic!("reserved") };
        assert_eq!(value, 3, "a look uses nothing up");
        assert_eq!(minter.peek(&s, 1), Some(3 + 2 * 32));
        let again = Minter::new(class, [(s.id, bound)]);
        let next = again.reserve(s.id).expect("nothing on its way");
        again.durable(s.id, next);
        let Minted::Value { value, .. } = again.mint(&s) else { panic!("reserved") };
        assert_eq!(class.counter(&s, value), Some(bound));
    }

    #[test]
    fn explicit_values_of_the_own_class_are_passed_over() {
        let s = sequence(1, 1, i64::MAX);
        let class = MintingClass { class: 0, classes: 2 };
        let minter = Minter::new(class, [(s.id, 0)]);
        let k = class.counter(&s, 7).expect("own class");
        let bound = minter.raise(s.id, k).expect("above the durable bound");
        minter.durable(s.id, bound);
        let more = minter.reserve(s.id).expect("nothing on its way");
        minter.durable(s.id, more);
        assert_eq!(minter.mint(&s), Minted::Value { value: 9, low: false });
        assert_eq!(class.counter(&s, 8), None, "the other class's");
    }

    #[test]
    fn the_end_of_a_sequence_is_an_answer_not_a_wrap() {
        let s = sequence(1, 1, 3);
        let minter = Minter::new(MintingClass { class: 0, classes: 2 }, []);
        let bound = minter.reserve(s.id).expect("nothing on its way");
        minter.durable(s.id, bound);
        assert!(matches!(minter.mint(&s), Minted::Value { value: 1, .. }));
        assert!(matches!(minter.mint(&s), Minted::Value { value: 3, .. }));
        assert_eq!(minter.mint(&s), Minted::Exhausted);
    }
}
