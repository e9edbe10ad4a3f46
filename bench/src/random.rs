//! Random numbers that are the same in every run from the same seed: splitmix64. A row of the population, or a client
//! of a run, has a generator of its own, so that neither the order of rows nor the number of clients matters.

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// One of many independent streams of a seed.
    pub fn new(seed: u64, stream: u64, number: u64) -> Random {
        let mut random = Random(seed);
        for part in [stream, number] {
            random.0 = random.next().wrapping_add(part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        }
        random
    }

    /// 64 random bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both possible.
    pub fn within(&mut self, least: i64, most: i64) -> i64 {
        let span = most.saturating_sub(least).max(0) as u64 + 1;
        // The bias is below 2^-32 for every span used here.
        least + ((u128::from(self.next()) * u128::from(span)) >> 64) as i64
    }

    /// As [`Random::within`], for ids.
    pub fn id(&mut self, most: i32) -> i32 {
        self.within(1, i64::from(most.max(1))) as i32
    }

    /// The specification's NURand: some ids of 1 to `most` are asked for more often than others.
    pub fn skewed_id(&mut self, most: i32) -> i32 {
        let most = i64::from(most.max(1));
        // The specification's constants: the least 2^k - 1 that is about a twentieth of the ids.
        let a = (most / 20).max(1).ilog2();
        let a = (1i64 << (a + 1)) - 1;
        (((self.within(0, a) | self.within(1, most)) % most) + 1) as i32
    }

    /// True in so many of 100 cases.
    pub fn percent(&mut self, share: i64) -> bool {
        self.within(1, 100) <= share
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.within(0, of.len() as i64 - 1) as usize]
    }

    /// Letters and digits, this long.
    pub fn text(&mut self, least: i64, most: i64) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let length = self.within(least, most);
        let mut text: String = (0..length).map(|_| char::from(self.pick(LETTERS))).collect();
        // No space at an end: CHAR and people would lose it.
        if text.starts_with(' ') {
            text.replace_range(..1, "x");
        }
        if text.ends_with(' ') {
            text.replace_range(text.len() - 1.., "x");
        }
        text
    }

    /// Digits, this many.
    pub fn digits(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'0' + self.within(0, 9) as u8)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_streams_differ() {
        let draw = |stream, number| {
            let mut random = Random::new(7, stream, number);
            (0..5).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 1));
        assert_ne!(draw(1, 2), draw(1, 3));
    }

    #[test]
    fn ranges_are_met_at_both_ends() {
        let mut random = Random::new(1, 1, 1);
        let drawn: std::collections::BTreeSet<i64> = (0..1000).map(|_| random.within(-2, 2)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
        assert!((0..1000).all(|_| (1..=10).contains(&random.skewed_id(10))));
        assert!((0..1000).all(|_| random.skewed_id(1) == 1));
        assert_eq!(random.text(0, 0), "");
    }
}
