//! Who can be reached, and through whom.
//!
//! A direct link may be down while both of its ends are well. Then messages go through a third site:
//!
//! ```text
//!      A ──── B            A's heartbeats say: I reach B in 1 hop.      B to C: "I reach A in 1"
//!       ╳    ╱             C hears that from B: A is 2 hops away, via B.
//!      C ───┘              C gives Relay { to: A, … } to B, which hands it on.
//! ```
//!
//! Every site tells its neighbours in each heartbeat whom it reaches and in how many hops, except what it
//! reaches through that very neighbour. A route is one neighbour and a number of hops; the shortest wins, then the lesser
//! id. Routes longer than [`MAX_HOPS`] do not exist, so that bad news ends by counting, and a relayed message is
//! dropped after as many hops, so that a passing loop ends by itself.
//!
//! It does not deliver anything: everything that may be dropped is repeated by those who need it.

use std::collections::{BTreeMap, BTreeSet};

use gemini_shadow_ops::SiteId;

use crate::wire::{Blob, MAX_HOPS, PeerMessage, Relay, WireError};

/// What is known of a site with which there was a direct link.
#[derive(Clone, Debug, Default)]
struct Neighbour {
    connected: bool,
    heard: u64,
    reach: BTreeMap<SiteId, u8>,
}

/// The routes of one site.
#[derive(Clone, Debug)]
pub struct Routes {
    me: SiteId,
    members: BTreeSet<SiteId>,
    silence: u64,
    neighbours: BTreeMap<SiteId, Neighbour>,
    /// To whom: through whom, in how many hops.
    table: BTreeMap<SiteId, (SiteId, u8)>,
}

/// What is to be done with a relayed message.
#[derive(Debug, PartialEq)]
pub enum Passed {
    /// It is for this site.
    Mine(SiteId, PeerMessage),
    /// Hand it on.
    On(SiteId, Relay),
    /// No way on, or too many hops.
    Dropped,
}

impl Routes {
    /// Without any link yet. A link is broken after `silence` microseconds without a word.
    pub fn new(me: SiteId, silence: u64) -> Routes {
        Routes { me, members: BTreeSet::new(), silence, neighbours: BTreeMap::new(), table: BTreeMap::new() }
    }

    /// Whom there are ways to: nobody else is reached, or relays.
    pub fn follow(&mut self, members: impl IntoIterator<Item = SiteId>) {
        self.members = members.into_iter().collect();
        let members = &self.members;
        self.neighbours.retain(|site, _| members.contains(site));
        self.neighbours.values_mut().for_each(|n| n.reach.retain(|site, _| members.contains(site)));
    }

    /// A direct link is up.
    pub fn connected(&mut self, now: u64, peer: SiteId) {
        let neighbour = self.neighbours.entry(peer).or_default();
        *neighbour = Neighbour { connected: true, heard: now, reach: BTreeMap::new() };
    }

    /// A direct link is gone.
    pub fn disconnected(&mut self, peer: SiteId) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.connected = false;
        }
    }

    /// Something came over the direct link.
    pub fn heard(&mut self, now: u64, peer: SiteId) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.heard = now;
        }
    }

    /// What the neighbour says it reaches.
    pub fn reach(&mut self, peer: SiteId, reach: &[(SiteId, u8)]) {
        let members = &self.members;
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.reach = reach.iter().copied().filter(|(site, _)| members.contains(site)).collect();
        }
    }

    /// Finds the routes anew. True if any has changed.
    pub fn refresh(&mut self, now: u64) -> bool {
        let mut table: BTreeMap<SiteId, (SiteId, u8)> = BTreeMap::new();
        let alive = self
            .neighbours
            .iter()
            .filter(|(_, n)| n.connected && now.saturating_sub(n.heard) <= self.silence);
        for (&via, neighbour) in alive {
            let direct = std::iter::once((via, 1));
            let through = neighbour.reach.iter().map(|(site, hops)| (*site, hops.saturating_add(1)));
            for (to, hops) in direct.chain(through) {
                if to == self.me || hops > MAX_HOPS {
                    continue;
                }
                let best = table.entry(to).or_insert((via, hops));
                if hops < best.1 {
                    *best = (via, hops);
                }
            }
        }
        let changed = table != self.table;
        self.table = table;
        changed
    }

    /// Whom a message for `to` is given to.
    pub fn via(&self, to: SiteId) -> Option<SiteId> {
        self.table.get(&to).map(|(via, _)| *via)
    }

    /// Whether messages for `to` need no relay.
    pub fn direct(&self, to: SiteId) -> bool {
        self.via(to) == Some(to)
    }

    /// Whether there is a link with `peer`, silent or not.
    pub fn linked(&self, peer: SiteId) -> bool {
        self.neighbours.get(&peer).is_some_and(|n| n.connected)
    }

    /// Microseconds since the neighbour was last heard.
    pub fn silence_of(&self, now: u64, peer: SiteId) -> Option<u64> {
        self.neighbours.get(&peer).filter(|n| n.connected).map(|n| now.saturating_sub(n.heard))
    }

    /// Everyone who can be reached now.
    pub fn reachable(&self) -> BTreeSet<SiteId> {
        self.table.keys().copied().collect()
    }

    /// What to tell `peer`: everything but what is reached through it.
    pub fn advertise(&self, peer: SiteId) -> Vec<(SiteId, u8)> {
        self.table.iter().filter(|(_, (via, _))| *via != peer).map(|(to, (_, hops))| (*to, *hops)).collect()
    }

    /// The message as it leaves here: bare on a direct link, else in a relay. None without a route.
    pub fn wrap(&self, to: SiteId, message: PeerMessage) -> Result<Option<(SiteId, PeerMessage)>, WireError> {
        match self.via(to) {
            None => Ok(None),
            Some(via) if via == to => Ok(Some((to, message))),
            Some(via) => {
                let body: Blob = message.body()?;
                let relay = Relay { from: self.me, to, hops: 1, kind: message.kind(), body };
                Ok(Some((via, PeerMessage::Relay(relay))))
            }
        }
    }

    /// A relay that came from the neighbour `from`.
    pub fn pass(&self, from: SiteId, mut relay: Relay) -> Result<Passed, WireError> {
        if relay.to == self.me {
            let message = PeerMessage::relayed(relay.kind, &relay.body.0)?;
            return Ok(Passed::Mine(relay.from, message));
        }
        relay.hops = relay.hops.saturating_add(1);
        match self.via(relay.to) {
            Some(via) if via != from && relay.hops <= MAX_HOPS => Ok(Passed::On(via, relay)),
            _ => Ok(Passed::Dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Acks, Heartbeat};

    fn site(n: u16) -> SiteId {
        SiteId(n)
    }

    /// Lets every site tell its neighbours what it reaches, a few rounds.
    fn settle(sites: &mut [Routes], links: &[(usize, usize)], now: u64) {
        for _ in 0..6 {
            for &(a, b) in links {
                let (from_a, from_b) = (sites[a].advertise(sites[b].me), sites[b].advertise(sites[a].me));
                let (id_a, id_b) = (sites[a].me, sites[b].me);
                sites[b].heard(now, id_a);
                sites[a].heard(now, id_b);
                sites[b].reach(id_a, &from_a);
                sites[a].reach(id_b, &from_b);
            }
            for s in sites.iter_mut() {
                s.refresh(now);
            }
        }
    }

    fn line(n: u16, links: &[(usize, usize)]) -> Vec<Routes> {
        let mut sites: Vec<Routes> = (0..n).map(|i| Routes::new(site(i), 100)).collect();
        sites.iter_mut().for_each(|routes| routes.follow((0..n).map(site)));
        for &(a, b) in links {
            let (id_a, id_b) = (sites[a].me, sites[b].me);
            sites[a].connected(0, id_b);
            sites[b].connected(0, id_a);
        }
        settle(&mut sites, links, 0);
        sites
    }

    #[test]
    fn a_third_site_relays_when_the_direct_link_is_down() {
        let sites = line(3, &[(0, 1), (1, 2)]);
        assert_eq!(sites[0].via(site(2)), Some(site(1)));
        let acks = PeerMessage::Acks(Acks::default());
        let (to, relay) = sites[0].wrap(site(2), acks.clone()).expect("fits").expect("a route");
        assert_eq!(to, site(1));
        let PeerMessage::Relay(relay) = relay else { panic!("not wrapped") };
        let Passed::On(next, relay) = sites[1].pass(site(0), relay).expect("well formed") else {
            panic!("not handed on")
        };
        assert_eq!(next, site(2));
        assert_eq!(sites[2].pass(site(1), relay).expect("well formed"), Passed::Mine(site(0), acks));
    }

    #[test]
    fn routes_are_as_long_as_allowed_and_no_longer() {
        let sites = line(6, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
        assert_eq!(sites[0].via(site(4)), Some(site(1)));
        assert_eq!(sites[0].via(site(5)), None, "five hops");
    }

    #[test]
    fn bad_news_ends() {
        let links = [(0, 1), (1, 2), (0, 2), (2, 3)];
        let mut sites = line(4, &links);
        assert_eq!(sites[0].via(site(3)), Some(site(2)));
        // The only link to 3 falls silent; the others go on talking.
        for now in [200, 300, 400] {
            settle(&mut sites, &links[..3], now);
        }
        for s in &sites[..3] {
            assert_eq!(s.via(site(3)), None, "{s:?}");
        }
    }

    #[test]
    fn a_message_does_not_circle() {
        let sites = line(3, &[(0, 1), (1, 2)]);
        let body = PeerMessage::Heartbeat(Heartbeat::default()).body().expect("fits");
        let relay = Relay { from: site(0), to: site(2), hops: MAX_HOPS, kind: 10, body };
        assert_eq!(sites[1].pass(site(0), relay.clone()).expect("well formed"), Passed::Dropped);
        let back = Relay { hops: 1, ..relay };
        assert_eq!(
            sites[1].pass(site(2), back).expect("well formed"),
            Passed::Dropped,
            "back where it came from"
        );
    }
}
