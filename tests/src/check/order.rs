//! One red order: every site applies the same entry with the same verdict at the same red index, without gaps.

use gemini::site::Site;
use gemini_shadow_ops::{Entry, Verdict};

#[derive(Debug)]
pub(super) struct Order {
    /// What the first site to get there found at r = 1, 2, …
    known: Vec<(u64, Verdict)>,
    reached: Vec<u64>,
}

impl Order {
    pub fn new(sites: usize) -> Order {
        Order { known: Vec::new(), reached: vec![0; sites] }
    }

    /// A restart may have to decide the newest ones again: they are compared again.
    pub fn started(&mut self, node: usize, site: &Site) {
        self.reached[node] = site.engine().applied().red.min(self.reached[node]);
    }

    pub fn check(&mut self, node: usize, site: &Site) {
        for r in self.reached[node] + 1..=site.engine().applied().red {
            let found = site.engine().red(r).expect("the simulated log can be read");
            let (entry, verdict) =
                found.unwrap_or_else(|| panic!("order: site {} passed r{r} without logging it", site.id()));
            let fingerprint = fingerprint(&entry);
            match self.known.get(r as usize - 1) {
                Some(known) => assert_eq!(
                    *known,
                    (fingerprint, verdict),
                    "order: site {} has another entry or verdict at r{r} than the first site there",
                    site.id()
                ),
                None => {
                    assert_eq!(self.known.len() as u64 + 1, r, "order: r{r} came before its predecessors");
                    self.known.push((fingerprint, verdict));
                }
            }
            self.reached[node] = r;
        }
    }
}

fn fingerprint(entry: &Entry) -> u64 {
    format!("{entry:?}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
