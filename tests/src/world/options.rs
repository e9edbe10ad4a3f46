//! What a world is made of, and the swarm: each seed switches features on and off and picks their rates, so that no two
//! stress the same things (Groce et al.: Swarm Testing, ISSTA 2012).

use super::keep::Keep;
use super::network::Weather;
use crate::random::Random;

/// What a world is made of. All of it can be drawn from a seed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// How many sites.
    pub sites: usize,
    /// How many machines more may become sites. Above 0 members come and go.
    pub spare: usize,
    /// One-way delays lie between these, µs.
    pub delay: (u64, u64),
    /// How badly links behave.
    pub weather: Weather,
    /// A sync takes between these, µs.
    pub sync: (u64, u64),
    /// How far clocks are off at first, µs.
    pub skew: u64,
    /// Planned faults per simulated second, in thousandths.
    pub faults: u64,
    /// How often each kind of fault is drawn.
    pub kinds: Kinds,
    /// How long faults go on, µs.
    pub trouble: u64,
    /// When trouble ends, a minority stays away until the others have ordered red transactions without it.
    pub bereft: bool,
    /// W: how many red indices certification looks back.
    pub window: u64,
    /// A log segment's bytes, bytes between checkpoints, bytes of versions in memory.
    pub engine: (u64, u64, u64),
    /// Bytes of log kept for peers that lack it.
    pub log_keep: u64,
    /// How often a crash takes the store with it, in thousandths.
    pub loses_store: u64,
    /// Clients per site.
    pub desks: usize,
    /// Less than everything, when a failing run is made smaller.
    pub keep: Keep,
}

/// How often each kind of fault is drawn, among the others.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Kinds {
    pub crash: u64,
    pub outage: u64,
    pub pause: u64,
    pub cut: u64,
    pub isolate: u64,
    pub split: u64,
    pub slow_link: u64,
    pub slow_disk: u64,
    pub full_disk: u64,
    pub broken_disk: u64,
    pub clock: u64,
    pub hang_up: u64,
}

impl Kinds {
    /// Each kind is on or off, crashes and cuts more often on than others.
    fn swarm(random: &mut Random) -> Kinds {
        let mut draw = |on: u64, most: u64| if random.chance(on) { random.between(1, most) } else { 0 };
        Kinds {
            crash: draw(700, 8),
            outage: draw(200, 2),
            pause: draw(400, 4),
            cut: draw(600, 6),
            isolate: draw(500, 4),
            split: draw(400, 3),
            slow_link: draw(300, 3),
            slow_disk: draw(300, 3),
            full_disk: draw(300, 3),
            broken_disk: draw(300, 3),
            clock: draw(400, 4),
            hang_up: draw(400, 4),
        }
    }
}

impl Options {
    /// Draws everything but the seed from the seed.
    pub fn swarm(seed: u64) -> Options {
        let mut random = Random::new(seed).fork();
        let far = if random.chance(500) { 3_000 } else { 90_000 };
        let engine = match random.below(4) {
            0 => (16 * 1024, 32 * 1024, 512 * 1024),
            1 => (256 * 1024, 1024 * 1024, 8 * 1024 * 1024),
            _ => (64 * 1024, 128 * 1024, 8 * 1024 * 1024),
        };
        // From a source of their own: seeds that have found something stay what they were.
        let mut aside = Random::new(seed ^ 0xf111).fork();
        let log_keep = if aside.chance(250) { engine.1 * aside.between(1, 3) } else { u64::MAX };
        let loses_store = if aside.chance(200) { aside.between(200, 700) } else { 0 };
        Options {
            seed,
            sites: if random.chance(200) { 5 } else { 3 },
            spare: 0,
            delay: (200, far),
            weather: Weather {
                lost: if random.chance(500) { random.below(30) } else { 0 },
                doubled: if random.chance(500) { random.below(30) } else { 0 },
                reordered: if random.chance(500) { random.below(60) } else { 0 },
            },
            sync: if random.chance(200) { (1_000, 40_000) } else { (50, 400) },
            skew: if random.chance(300) { 200_000 } else { 5_000 },
            faults: if random.chance(150) { 0 } else { random.between(300, 3_000) },
            kinds: Kinds::swarm(&mut random),
            trouble: random.between(3, 8) * 1_000_000,
            bereft: random.chance(400) && loses_store == 0,
            window: if random.chance(250) { random.between(20, 200) } else { 10_000 },
            engine,
            log_keep,
            loses_store,
            desks: random.between(1, 4) as usize,
            keep: Keep::default(),
        }
    }

    /// The same with members that come and go: the log is kept from its beginning, from which a new site learns it.
    pub fn members(seed: u64) -> Options {
        let options = Options::swarm(seed);
        let (segment_bytes, _, memory) = options.engine;
        Options { spare: 2, bereft: false, engine: (segment_bytes, 1 << 40, memory), ..options }
    }

    /// The same for sessions of SQL, which do more per simulated second.
    pub fn shop(seed: u64) -> Options {
        let options = Options::swarm(seed);
        Options { trouble: options.trouble / 2, ..options }
    }

    /// A storm at sites that keep next to no log for each other, and whose stores are lost with many a crash.
    pub fn cut_off(seed: u64) -> Options {
        let options = Options::swarm(seed);
        let engine = (16 * 1024, 24 * 1024, 512 * 1024);
        let kinds = Kinds { crash: options.kinds.crash.max(4), ..options.kinds };
        Options {
            faults: 3_000,
            kinds,
            engine,
            log_keep: engine.1,
            loses_store: 400,
            bereft: false,
            desks: 4,
            ..options
        }
    }

    /// Leaves out what is not kept.
    pub(super) fn calmed(mut self) -> Options {
        let calm = |name: &str| self.keep.calm.contains(name);
        let (lost, doubled, reordered) = (calm("lost"), calm("doubled"), calm("reordered"));
        let (skew, sync, bereft) = (calm("skew"), calm("sync"), calm("bereft"));
        let weather = &mut self.weather;
        weather.lost *= u64::from(!lost);
        weather.doubled *= u64::from(!doubled);
        weather.reordered *= u64::from(!reordered);
        self.skew *= u64::from(!skew);
        self.bereft &= !bereft;
        if sync {
            self.sync = (100, 100);
        }
        self.trouble = self.keep.until.map_or(self.trouble, |until| until.min(self.trouble));
        self
    }
}

/// What [`Keep::calm`](super::keep::Keep::calm) may name.
pub const CALM: [&str; 6] = ["lost", "doubled", "reordered", "skew", "sync", "bereft"];
