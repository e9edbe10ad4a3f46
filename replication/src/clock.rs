//! The clock that stamps writes: a hybrid logical clock.
//!
//! lww cells are decided by (HLC, site), so a stamp must be above that of every cell its transaction overwrites,
//! and no site may be able to drag everyone's clock into the future. hybrid-clocks does the arithmetic; this wrapper adds
//! what its users need around it:
//!
//! - **Time is an argument** (`at`, microseconds since 1970), read from the site's own input, never from the machine.
//! - **Readings of peers** ([`Clock::observe`]) are taken only within an offset of our own time, only in epoch 0 (a
//!   reading with another epoch would freeze the clock there), and only with a count below 2³¹ (the count wraps silently).
//! - **Committed stamps** ([`Clock::above`]) are never refused: what is acknowledged stays acknowledged. A stamp
//!   is drawn above them even if they lie in the future.
//! - **After a restart** the clock starts above the greatest stamp of the log ([`Clock::new`]).
//!
//! ```text
//!   at = 100            now() = 100.0    now() = 100.1
//!   above(500.7)        500.8            a cell written by a site whose clock is ahead
//!   at = 101, now()     500.9            never back
//!   at = 600, now()     600.0            physical time has caught up
//! ```
//!
//! It does not measure offsets over time and does not correct the machine's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gemini_shadow_ops::Hlc;
use hybrid_clocks::{ClockSource, OffsetLimiter, Timestamp};

use crate::wire::Reading;

/// Counts at or above this are refused, and never drawn.
const MAX_COUNT: u32 = 1 << 31;

/// Stamps at or above this (the year 142,000 or so) are refused: additions to them could overflow.
const MAX_MICROS: u64 = 1 << 62;

/// Why a reading was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ClockError {
    #[error(
        "the clock is {ahead} µs ahead of ours, over the limit of {limit} µs: set the time of one of the two sites"
    )]
    Offset { ahead: u64, limit: u64 },
    #[error("clock epoch {0} is not 0: the peer runs another version")]
    Epoch(u32),
    #[error("a clock count of {0} is out of range")]
    Count(u32),
    #[error("a clock time of {0} µs is out of range")]
    Range(u64),
}

/// Physical time, as the site was last told. Shared with the clock that owns its source and does not lend it.
#[derive(Clone, Debug, Default)]
struct Told(Arc<AtomicU64>);

impl ClockSource for Told {
    type Time = u64;
    type Delta = u64;

    fn now(&mut self) -> hybrid_clocks::Result<u64> {
        Ok(self.0.load(Ordering::Relaxed))
    }
}

/// A site's clock. Every stamp it draws is above every one it has drawn or been shown.
#[derive(Debug)]
pub struct Clock {
    told: Told,
    clock: OffsetLimiter<Told>,
    limit: u64,
    /// The greatest time drawn or shown: the library does not lend its own.
    last: Hlc,
}

impl Clock {
    /// A clock that starts above `greatest`, the greatest stamp in the log, and takes readings of peers up to `limit`
    /// microseconds ahead of our own time.
    pub fn new(at: u64, limit: u64, greatest: Hlc) -> Result<Clock, ClockError> {
        let told = Told(Arc::new(AtomicU64::new(at.min(MAX_MICROS - 1))));
        let clock =
            hybrid_clocks::Clock::new(told.clone()).expect("reading the time it was told cannot fail");
        let last = Hlc { micros: at.min(MAX_MICROS - 1), count: 0 };
        let mut clock = Clock { told, clock: clock.with_max_diff(limit), limit, last };
        clock.raise(greatest)?;
        Ok(clock)
    }

    /// The next stamp.
    pub fn now(&mut self, at: u64) -> Hlc {
        self.told.0.store(at.min(MAX_MICROS - 1), Ordering::Relaxed);
        if self.last.count >= MAX_COUNT - 1 {
            self.step(Hlc { micros: self.last.micros + 1, count: 0 });
        }
        let drawn = self.clock.now().expect("reading the time it was told cannot fail");
        let drawn = Hlc { micros: drawn.time, count: drawn.count };
        assert!(
            drawn > self.last,
            "a stamp must be above every earlier one: {drawn:?} after {:?}",
            self.last
        );
        self.last = drawn;
        drawn
    }

    /// The next stamp above `shown` (the greatest stamp of the cells that the transaction overwrites), however far in the
    /// future that is. Fails only if `shown` is beyond any time there will be.
    pub fn above(&mut self, at: u64, shown: Hlc) -> Result<Hlc, ClockError> {
        self.raise(shown)?;
        Ok(self.now(at))
    }

    /// Takes a peer's reading, or refuses it (the peer is to be paused, with an error in both logs).
    pub fn observe(&mut self, at: u64, reading: Reading) -> Result<(), ClockError> {
        self.check(at, reading)?;
        let Hlc { micros, count } = reading.hlc;
        self.clock
            .observe(&Timestamp { epoch: 0, time: micros, count })
            .map_err(|_| ClockError::Offset { ahead: micros.saturating_sub(at), limit: self.limit })?;
        // Equal times: the library counts on from the greater of the two.
        if micros == self.last.micros {
            self.last.count = self.last.count.max(count) + 1;
        } else if micros < self.last.micros {
            self.last.count += 1;
        } else {
            self.last = reading.hlc;
        }
        Ok(())
    }

    /// Whether a reading or stamp is near enough to be taken. The leader asks before it proposes.
    pub fn check(&mut self, at: u64, reading: Reading) -> Result<(), ClockError> {
        let Reading { epoch, hlc: Hlc { micros, count } } = reading;
        self.told.0.store(at.min(MAX_MICROS - 1), Ordering::Relaxed);
        if epoch != 0 {
            return Err(ClockError::Epoch(epoch));
        }
        if count >= MAX_COUNT {
            return Err(ClockError::Count(count));
        }
        if micros >= MAX_MICROS {
            return Err(ClockError::Range(micros));
        }
        let ahead = micros.saturating_sub(at);
        if ahead > self.limit {
            return Err(ClockError::Offset { ahead, limit: self.limit });
        }
        Ok(())
    }

    /// What to tell a peer. Draws no stamp.
    pub fn reading(&self, at: u64) -> Reading {
        Reading { epoch: 0, hlc: self.last.max(Hlc { micros: at.min(MAX_MICROS - 1), count: 0 }) }
    }

    fn raise(&mut self, shown: Hlc) -> Result<(), ClockError> {
        if shown.micros >= MAX_MICROS {
            return Err(ClockError::Range(shown.micros));
        }
        let shown =
            if shown.count < MAX_COUNT - 1 { shown } else { Hlc { micros: shown.micros + 1, count: 0 } };
        if shown > self.last {
            self.step(shown);
        }
        Ok(())
    }

    /// Moves on to a time above the last, limit or not.
    fn step(&mut self, to: Hlc) {
        self.clock.inner_mut().observe(&Timestamp { epoch: 0, time: to.micros, count: to.count });
        if to.micros == self.last.micros {
            self.last.count = to.count + 1;
        } else {
            self.last = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64, count: u32) -> Hlc {
        Hlc { micros, count }
    }

    fn clock(now: u64) -> Clock {
        Clock::new(now, 1_000, Hlc::default()).expect("in range")
    }

    #[test]
    fn stamps_only_grow() {
        let mut c = clock(100);
        let mut last = Hlc::default();
        for now in [100, 100, 101, 50, 101, 300, 299, 300] {
            let next = c.now(now);
            assert!(next > last, "{next:?} after {last:?}");
            last = next;
        }
    }

    #[test]
    fn stamps_lie_above_what_they_overwrite_however_far_ahead() {
        let mut c = clock(100);
        for shown in
            [at(500, 7), at(500, 7), at(90, 3), at(1 << 40, 0), at(1 << 40, MAX_COUNT - 1), at(3, u32::MAX)]
        {
            let next = c.above(100, shown).expect("in range");
            assert!(next > shown, "{next:?} above {shown:?}");
            assert!(next.count < MAX_COUNT);
        }
        assert_eq!(c.above(100, at(MAX_MICROS, 0)), Err(ClockError::Range(MAX_MICROS)));
    }

    #[test]
    fn readings_are_refused_by_offset_epoch_and_count() {
        let mut c = clock(100);
        let reading = |epoch, micros, count| Reading { epoch, hlc: at(micros, count) };
        assert_eq!(c.observe(100, reading(0, 1_100, 5)), Ok(()));
        assert_eq!(
            c.observe(100, reading(0, 1_101, 0)),
            Err(ClockError::Offset { ahead: 1_001, limit: 1_000 })
        );
        assert_eq!(c.observe(100, reading(1, 100, 0)), Err(ClockError::Epoch(1)));
        assert_eq!(c.observe(100, reading(0, 100, 1 << 31)), Err(ClockError::Count(1 << 31)));
        assert_eq!(c.now(100), at(1_100, 6));
    }

    #[test]
    fn a_restarted_clock_starts_above_the_log() {
        let mut c = Clock::new(100, 1_000, at(9_000, 3)).expect("in range");
        assert!(c.now(100) > at(9_000, 3));
    }

    #[test]
    fn a_used_up_count_moves_on_to_the_next_microsecond() {
        let mut c = Clock::new(100, 1_000, at(200, MAX_COUNT - 3)).expect("in range");
        let drawn: Vec<Hlc> = (0..4).map(|_| c.now(100)).collect();
        assert!(drawn.is_sorted() && drawn.iter().all(|h| h.count < MAX_COUNT), "{drawn:?}");
        assert!(drawn[3].micros == 201);
    }

    #[test]
    fn what_we_keep_is_what_the_library_keeps() {
        // `last` mirrors a value the library does not lend; a mirror that lags would trip the assertion in `now`.
        let mut c = clock(100);
        let mut seed = 7u64;
        let mut last = Hlc::default();
        for _ in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (what, time, count) = (seed >> 62, 90 + (seed >> 40) % 40, (seed >> 20) as u32 % 5);
            match what {
                0 => _ = c.observe(time, Reading { epoch: 0, hlc: at(time, count) }),
                1 => _ = c.above(time, at(time, count)),
                _ => {}
            }
            let next = c.now(time);
            assert!(next > last);
            last = next;
        }
    }
}
