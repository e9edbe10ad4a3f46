//! A clock that never stands still, whatever is done to the machine's.
//!
//! Everything in a site that waits (elections, deadlines, heartbeats) waits for the time that its steps are given, and that
//! time must not go back. Clamping the machine's wall clock would do for the second, not for the first: set back by an hour, it would
//! stop every timer of the site for an hour, and a red commit would wait as long for its deadline.
//!
//! ```text
//!   wall clock     10:00:00   10:00:01   09:00:02 (set back)   09:00:03   …   11:00:01
//!   steady         10:00:00   10:00:01   10:00:01.5            10:00:02   …   11:00:01   they agree again
//! ```
//!
//! Forward it follows at once. It does not judge who is right: sites whose clocks are too far apart pause each other.

/// See the module. Pure: both clocks are read by its owner.
#[derive(Clone, Debug)]
pub struct Steady {
    /// The monotonic clock at the last reading.
    monotonic: u64,
    time: u64,
    /// Half a microsecond that has passed and is not counted yet.
    half: bool,
}

impl Steady {
    /// `wall`: microseconds since 1970-01-01 UTC. `monotonic`: microseconds since any moment; never goes back.
    pub fn new(wall: u64, monotonic: u64) -> Steady {
        Steady { monotonic, time: wall, half: false }
    }

    /// Microseconds since 1970-01-01 UTC: the wall clock, or, when that was set back, half as fast until it has caught up.
    pub fn read(&mut self, wall: u64, monotonic: u64) -> u64 {
        let passed = monotonic.saturating_sub(self.monotonic);
        self.monotonic = self.monotonic.max(monotonic);
        let halves = passed + u64::from(self.half);
        self.half = halves % 2 == 1;
        self.time = wall.max(self.time.saturating_add(halves / 2));
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_forward_and_goes_on_at_half_speed_when_set_back() {
        let mut clock = Steady::new(1_000, 0);
        assert_eq!(clock.read(1_010, 10), 1_010);
        assert_eq!(clock.read(5_000, 20), 5_000, "forward at once");
        assert_eq!(clock.read(1_030, 30), 5_005, "set back: half of the 10 that have passed");
        let single = (31..=40).map(|monotonic| clock.read(1_000 + monotonic, monotonic)).last();
        assert_eq!(single, Some(5_010), "single microseconds add up");
        assert_eq!(clock.read(9_000, 41), 9_000, "caught up");
    }
}
