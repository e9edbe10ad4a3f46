//! The network between simulated sites: links that delay, lose, double and reorder frames, and that can be cut or slowed, each
//! direction with chance of its own.

use std::collections::BTreeMap;

use crate::random::Random;

/// How badly a link behaves, in thousandths of its frames.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Weather {
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
}

/// One direction between two sites.
#[derive(Clone, Debug)]
struct Direction {
    /// One way, µs.
    delay: u64,
    /// How many faults cut it at the moment.
    cuts: u32,
    /// How many times as long it takes.
    slow: u64,
    /// When the last frame arrives: without reordering none overtakes it.
    last: u64,
    random: Random,
}

/// All links.
#[derive(Clone, Debug)]
pub struct Network {
    directions: BTreeMap<(usize, usize), Direction>,
    weather: Weather,
}

impl Network {
    /// Links between `sites` sites; each pair's one-way delay is drawn between `least` and `most`, µs, and one direction of
    /// some pairs takes longer than the other.
    pub fn new(sites: usize, least: u64, most: u64, weather: Weather, random: &mut Random) -> Network {
        let mut directions = BTreeMap::new();
        for a in 0..sites {
            for b in a + 1..sites {
                let delay = random.between(least, most);
                let back = if random.chance(300) { random.between(least, most) } else { delay };
                for (pair, delay) in [((a, b), delay), ((b, a), back)] {
                    let random = random.fork();
                    directions.insert(pair, Direction { delay, cuts: 0, slow: 1, last: 0, random });
                }
            }
        }
        Network { directions, weather }
    }

    /// Cuts one direction until it is mended.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.change(from, to, |direction| direction.cuts += 1);
    }

    /// Takes one cut back.
    pub fn mend(&mut self, from: usize, to: usize) {
        self.change(from, to, |direction| direction.cuts = direction.cuts.saturating_sub(1));
    }

    /// Makes frames of one direction take so many times as long.
    pub fn slow(&mut self, from: usize, to: usize, times: u64) {
        self.change(from, to, |direction| direction.slow = times);
    }

    fn change(&mut self, from: usize, to: usize, change: impl FnOnce(&mut Direction)) {
        if let Some(direction) = self.directions.get_mut(&(from, to)) {
            change(direction);
        }
    }

    /// Frames are no longer lost, doubled or reordered.
    pub fn clear_up(&mut self) {
        self.weather = Weather::default();
    }

    /// Whether frames pass both ways.
    pub fn open(&self, a: usize, b: usize) -> bool {
        [(a, b), (b, a)].iter().all(|pair| self.directions.get(pair).is_some_and(|d| d.cuts == 0))
    }

    /// When a frame sent now arrives: never, once or twice.
    pub fn arrivals(&mut self, now: u64, from: usize, to: usize) -> Vec<u64> {
        let weather = self.weather;
        let Some(direction) = self.directions.get_mut(&(from, to)) else { return Vec::new() };
        let random = &mut direction.random;
        if direction.cuts > 0 || random.chance(weather.lost) {
            return Vec::new();
        }
        let delay = direction.delay * direction.slow;
        let jitter = random.below(delay / 20 + 1);
        let mut arrives = now + delay + jitter;
        if random.chance(weather.reordered) {
            arrives += random.below(delay + 1);
        } else {
            arrives = arrives.max(direction.last + 1);
            direction.last = arrives;
        }
        let mut arrivals = vec![arrives];
        if random.chance(weather.doubled) {
            arrivals.push(arrives + random.below(delay + 1));
        }
        arrivals
    }
}
