//! Two sites that commit, receive and compare in random order, with lost and late messages. Without damage nothing is ever
//! found; with it, it always is.

use super::*;

const TABLE: TableId = TableId(3);
const A: SiteId = SiteId(1);
const B: SiteId = SiteId(2);

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below
    }
}

fn mix(a: u64, b: u64) -> u64 {
    (a ^ 0x51_7cc1_b727_220a).wrapping_mul(b.wrapping_add(7).wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ (a >> 7)
}

fn key(n: u64) -> Key {
    Key(n.to_be_bytes().as_slice().into())
}

/// A site that holds only counts of effects, and damage.
#[derive(Clone, Default)]
struct Held {
    frontier: Frontier,
    /// Sum of effects by row.
    rows: BTreeMap<u64, u64>,
    /// Added to what a row shows.
    spoilt: BTreeMap<u64, u64>,
    schema_version: u64,
}

impl Moment for Held {
    fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    fn schema_version(&self) -> u64 {
        self.schema_version
    }

    fn next_table(&self, last: Option<TableId>) -> Option<TableId> {
        last.is_none().then_some(TABLE)
    }

    fn rows(&self, _: TableId, range: &KeyRange, limit: usize) -> Result<Vec<RowSum>, Error> {
        let rows = self.rows.iter().map(|(n, sum)| (key(*n), *sum, self.spoilt.get(n).copied().unwrap_or(0)));
        let within = rows.filter(|(key, _, _)| range.contains(key)).take(limit);
        let sum = |(key, fingerprint, spoilt)| RowSum {
            key,
            fingerprint,
            contents: mix(fingerprint, self.schema_version).wrapping_add(spoilt),
        };
        Ok(within.map(sum).collect())
    }
}

/// What each site has committed: which row each effect is on.
struct World {
    held: [Held; 2],
    patrols: [Patrol; 2],
    commits: [Vec<u64>; 2],
    /// To whom, when at the earliest, what.
    messages: Vec<(usize, u64, PeerMessage)>,
    now: u64,
    next: Box<dyn FnMut(u64) -> u64>,
}

const SITES: [SiteId; 2] = [A, B];

impl World {
    fn new(seed: u64) -> World {
        World {
            held: [Held::default(), Held::default()],
            patrols: [Patrol::new(0, vec![B]), Patrol::new(0, vec![A])],
            commits: [Vec::new(), Vec::new()],
            messages: Vec::new(),
            now: 0,
            next: Box::new(random(seed)),
        }
    }

    fn apply(&mut self, site: usize, origin: usize, n: usize) {
        let row = self.commits[origin][n - 1];
        let sum = self.held[site].rows.entry(row).or_default();
        *sum = sum.wrapping_add(mix(origin as u64 + 1, n as u64));
        self.held[site].frontier.set_blue(SITES[origin], n as u64);
    }

    fn commit(&mut self, site: usize, row: u64) {
        self.commits[site].push(row);
        self.apply(site, site, self.commits[site].len());
    }

    /// The next effect of the other site, if there is one.
    fn receive(&mut self, site: usize) -> bool {
        let origin = 1 - site;
        let n = self.held[site].frontier.blue(SITES[origin]) as usize + 1;
        let there = n <= self.commits[origin].len();
        if there {
            self.apply(site, origin, n);
        }
        there
    }

    /// A moment; `busy` of 100 steps are commits.
    fn step(&mut self, busy: u64) {
        self.now += (self.next)(400_000);
        let site = (self.next)(2) as usize;
        if (self.next)(100) < busy {
            let row = (self.next)(40) * (self.next)(30);
            self.commit(site, row);
        }
        if (self.next)(3) > 0 {
            let receiver = (self.next)(2) as usize;
            self.receive(receiver);
        }
        let said = self.patrols[site].tick(self.now, &self.held[site], &|_| true).unwrap();
        for (to, message) in said {
            if (self.next)(20) > 0 {
                self.messages.push((usize::from(to == B), self.now + (self.next)(3_000_000), message));
            }
        }
        if !self.messages.is_empty() {
            let at = (self.next)(self.messages.len() as u64) as usize;
            if self.messages[at].1 <= self.now {
                let (to, _, message) = self.messages.swap_remove(at);
                self.patrols[to].receive(self.now, SITES[1 - to], message);
            }
        }
    }

    fn findings(&self) -> Vec<Finding> {
        self.patrols.iter().flat_map(|patrol| patrol.verification().findings.keys().cloned()).collect()
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let (mut rounds, mut undecided) = (0, 0);
    for seed in 0..60 {
        let mut world = World::new(seed);
        for n in 0..4_000 {
            world.step([0, 5, 60][(n / 500) % 3]);
            if n % 700 == 699 {
                // A change of the schema reaches one site before the other.
                world.held[n % 2].schema_version += 1;
            }
        }
        assert_eq!(world.findings(), [], "seed {seed}");
        rounds += world.patrols[0].verification().rounds;
        undecided += world.patrols[0].verification().undecided;
    }
    assert!(rounds > 1_000 && undecided > 0, "{rounds} rounds, {undecided} undecided");
}

#[test]
fn whatever_is_spoilt_is_found() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        (0..300).for_each(|_| world.step(70));
        while (0..2).any(|site| world.receive(site)) {}
        let damaged = (seed % 2) as usize;
        let rows: Vec<u64> = world.held[damaged].rows.keys().copied().collect();
        let row = rows[(world.next)(rows.len() as u64) as usize];
        let held = &mut world.held[damaged];
        let difference = match seed % 4 {
            0 => {
                held.spoilt.insert(row, 5);
                Difference::Contents
            }
            1 => {
                held.rows.remove(&row);
                Difference::Effects
            }
            2 => {
                held.rows.insert(1_000_000, 17);
                Difference::Effects
            }
            _ => {
                *held.rows.entry(row).or_default() ^= 1;
                Difference::Effects
            }
        };
        let row = if seed % 4 == 2 { 1_000_000 } else { row };
        // Busy or at rest.
        let busy = if seed % 3 == 0 { 3 } else { 0 };
        let mut steps = 0;
        while world.findings().is_empty() {
            world.step(busy);
            steps += 1;
            assert!(steps < 20_000, "seed {seed}: row {row} is never found");
        }
        for finding in world.findings() {
            assert_eq!(
                (finding.table, finding.key, finding.difference),
                (TABLE, key(row), difference),
                "seed {seed}"
            );
        }
    }
}

/// More rows than a range holds: every one is looked at, at both sites, and an asked round ends.
#[test]
fn a_round_covers_everything() {
    let mut world = World::new(7);
    for row in 0..3 * ROWS as u64 + 5 {
        world.commit(0, row);
    }
    while world.receive(1) {}
    world.held[1].spoilt.insert(3 * ROWS as u64 + 4, 1);
    world.held[1].rows.insert(9_999_999, 3);
    let asked = world.patrols[0].hurry(world.now);
    while world.patrols[0].verification().rounds < asked {
        world.step(0);
    }
    let found: Vec<Key> = world.patrols[0].verification().findings.keys().map(|f| f.key.clone()).collect();
    assert_eq!(found, [key(3 * ROWS as u64 + 4), key(9_999_999)]);
    assert!(world.patrols[0].verification().compared >= 3 * ROWS as u64);
}

#[test]
fn a_peer_that_is_not_there_is_named() {
    let mut patrol = Patrol::new(0, vec![B]);
    let asked = patrol.hurry(0);
    for now in 0..4 {
        assert_eq!(patrol.tick(now, &Held::default(), &|_| false).unwrap(), []);
    }
    assert!(patrol.verification().rounds >= asked);
    assert_eq!(patrol.verification().missed, [B]);
}
