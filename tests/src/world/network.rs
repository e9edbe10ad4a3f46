//! The network between simulated sites: links that delay, lose, double and reorder frames, and that can be cut.

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
    cut: bool,
    /// When the last frame arrives: without reordering none overtakes it.
    last: u64,
}

/// All links.
#[derive(Clone, Debug)]
pub struct Network {
    directions: BTreeMap<(usize, usize), Direction>,
    /// How badly they all behave.
    pub weather: Weather,
}

impl Network {
    /// Links between `sites` sites; each pair's one-way delay is drawn between `least` and `most`, µs.
    pub fn new(sites: usize, least: u64, most: u64, weather: Weather, random: &mut Random) -> Network {
        let mut directions = BTreeMap::new();
        for a in 0..sites {
            for b in a + 1..sites {
                let delay = random.between(least, most);
                for pair in [(a, b), (b, a)] {
                    directions.insert(pair, Direction { delay, cut: false, last: 0 });
                }
            }
        }
        Network { directions, weather }
    }

    /// Cuts or heals one direction.
    pub fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        if let Some(direction) = self.directions.get_mut(&(from, to)) {
            direction.cut = cut;
        }
    }

    /// Heals everything, and lets the weather clear up.
    pub fn heal(&mut self) {
        self.weather = Weather::default();
        for direction in self.directions.values_mut() {
            direction.cut = false;
        }
    }

    /// Whether frames pass both ways.
    pub fn open(&self, a: usize, b: usize) -> bool {
        [(a, b), (b, a)].iter().all(|pair| self.directions.get(pair).is_some_and(|d| !d.cut))
    }

    /// Whether frames pass in this direction.
    pub fn passes(&self, from: usize, to: usize) -> bool {
        self.directions.get(&(from, to)).is_some_and(|d| !d.cut)
    }

    /// When a frame sent now arrives: never, once or twice.
    pub fn arrivals(&mut self, now: u64, from: usize, to: usize, random: &mut Random) -> Vec<u64> {
        let weather = self.weather;
        let Some(direction) = self.directions.get_mut(&(from, to)) else { return Vec::new() };
        if direction.cut || random.chance(weather.lost) {
            return Vec::new();
        }
        let jitter = random.below(direction.delay / 20 + 1);
        let mut arrives = now + direction.delay + jitter;
        if random.chance(weather.reordered) {
            arrives += random.below(direction.delay + 1);
        } else {
            arrives = arrives.max(direction.last + 1);
            direction.last = arrives;
        }
        let mut arrivals = vec![arrives];
        if random.chance(weather.doubled) {
            arrivals.push(arrives + random.below(direction.delay + 1));
        }
        arrivals
    }
}
