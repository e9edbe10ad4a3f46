//! Latencies, counted in buckets: exact below 128 µs, within 1 % above, in a few kilobytes however many there are.
//!
//! A bucket is (power of two, one of 64 equal parts of it). Histograms add, so each client keeps its own.

use std::time::Duration;

const PARTS: u64 = 64;
const BITS: u32 = PARTS.trailing_zeros();

/// Counted durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    /// Microseconds.
    sum: u64,
    greatest: u64,
}

fn bucket(micros: u64) -> usize {
    if micros < 2 * PARTS {
        return micros as usize;
    }
    let shift = micros.ilog2() - BITS;
    (u64::from(shift) * PARTS + (micros >> shift)) as usize
}

/// The greatest value in a bucket.
fn ceiling(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    ((bucket % PARTS + PARTS + 1) << shift) - 1
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 4).min(1 << 40);
        let bucket = bucket(micros);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum += micros;
        self.greatest = self.greatest.max(micros);
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Histogram) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, its) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += its;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.greatest = self.greatest.max(other.greatest);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value that a share `q` of all do not exceed; zero if there are none.
    pub fn quantile(&self, q: f64) -> Duration {
        let wanted = ((self.count as f64 * q).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= wanted {
                return Duration::from_micros(ceiling(i).min(self.greatest));
            }
        }
        Duration::ZERO
    }

    /// The mean; zero if there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_micros(self.sum.checked_div(self.count).unwrap_or(0))
    }
}

/// Milliseconds as people read them: three digits that matter.
pub fn millis(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    match ms {
        ms if ms < 9.995 => format!("{ms:.2}"),
        ms if ms < 99.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        micros.into_iter().for_each(|m| histogram.add(Duration::from_micros(m)));
        histogram
    }

    #[test]
    fn every_value_falls_into_a_bucket_that_holds_it_closely() {
        let mut last = 0;
        for micros in (0..5000).chain((13..40).map(|shift| (1u64 << shift) + 77)) {
            let b = bucket(micros);
            assert!(b >= last, "buckets are in order");
            last = b;
            assert!(ceiling(b) >= micros, "{micros}");
            assert!(ceiling(b) - micros <= micros / 64, "{micros} in a bucket up to {}", ceiling(b));
            assert_eq!(bucket(ceiling(b)), b);
        }
    }

    #[test]
    fn quantiles() {
        assert_eq!(of([]).quantile(0.5), Duration::ZERO);
        let hundred = of(1..=100);
        for (q, expected) in [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)] {
            assert_eq!(hundred.quantile(q), Duration::from_micros(expected), "{q}");
        }
        assert_eq!(hundred.mean(), Duration::from_micros(50));
        assert_eq!(of([1_000_000]).quantile(0.5), Duration::from_secs(1));
    }

    #[test]
    fn merging_is_adding() {
        let mut halves = of((1..1000).step_by(2));
        halves.merge(&of((2..1000).step_by(2)));
        assert_eq!(halves, of(1..1000));
    }

    #[test]
    fn milliseconds_read_well() {
        let shown = [1, 999, 9_990, 12_340, 99_990, 1_234_567].map(|us| millis(Duration::from_micros(us)));
        assert_eq!(shown, ["0.00", "1.00", "9.99", "12.3", "100", "1235"]);
    }
}
