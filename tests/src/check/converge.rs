//! Convergence (DESIGN §1.4): two sites, or one site twice, at the same frontier hold the same rows; and the sites, which compare
//! their rows all the while, find nothing.

use std::collections::{BTreeMap, VecDeque};

use gemini::site::Site;
use gemini_engine::{Digest, Snapshot};

/// How many frontiers are remembered.
const REMEMBERED: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Converge {
    digests: BTreeMap<String, Digest>,
    oldest: VecDeque<String>,
}

impl Converge {
    pub fn check(&mut self, snapshot: &Snapshot) {
        let digest = snapshot.digest().expect("the simulated store can be read");
        let frontier = snapshot.frontier().to_string();
        if let Some(known) = self.digests.get(&frontier) {
            assert_eq!(*known, digest, "convergence: two digests at frontier {frontier}");
            return;
        }
        if self.oldest.len() >= REMEMBERED
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.digests.remove(&oldest);
        }
        self.oldest.push_back(frontier.clone());
        self.digests.insert(frontier, digest);
    }
}

/// The site's own comparison with its peers.
pub(super) fn nothing_found(site: &Site) {
    let findings = site.shared().status().verification.findings;
    assert!(findings.is_empty(), "convergence: site {} finds {findings:?}", site.id());
}
