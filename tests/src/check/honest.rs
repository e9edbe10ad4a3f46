//! Nothing a site says of itself runs ahead of its last fsync (DESIGN §3): what it shows, what it tells its peers it has and
//! has applied, and the transactions of its own that it sends. And nobody is promised two votes of one term.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use gemini::site::Site;
use gemini_engine::Lsn;
use gemini_replication::wire::{Acks, Blue, FetchReply, PeerMessage, RaftMessage};
use gemini_shadow_ops::{Dot, Frontier, SiteId};

/// What one site's log holds.
#[derive(Clone, Debug, Default)]
struct Holds {
    /// Transactions whose bytes stand there, applied or not.
    logged: Frontier,
    applied: Frontier,
}

#[derive(Debug, Default)]
struct Machine {
    /// In the log's buffer or on disk.
    newest: Holds,
    /// Per batch under way, where it ends and what it completes.
    batches: VecDeque<(Lsn, Holds)>,
    durable: Holds,
}

#[derive(Debug)]
pub(super) struct Honest {
    machines: Vec<Machine>,
    /// Whom a site has given its vote in a term, over all its lives.
    votes: BTreeMap<(usize, u64), usize>,
}

impl Honest {
    pub fn new(sites: usize) -> Honest {
        let machines = (0..sites).map(|_| Machine::default()).collect();
        Honest { machines, votes: BTreeMap::new() }
    }

    /// All that a process finds is durable.
    pub fn started(&mut self, node: usize, site: &Site) {
        let mut found = Holds::default();
        look(site, &mut found, self.machines.len());
        self.machines[node] = Machine { newest: found.clone(), batches: VecDeque::new(), durable: found };
    }

    /// The site has handed out a batch: all that it has done so far is in it, or in one before it.
    pub fn writes(&mut self, node: usize, site: &Site, end: Lsn) {
        let sites = self.machines.len();
        let machine = &mut self.machines[node];
        look(site, &mut machine.newest, sites);
        machine.batches.push_back((end, machine.newest.clone()));
    }

    pub fn synced(&mut self, node: usize, end: Lsn) {
        let machine = &mut self.machines[node];
        while machine.batches.front().is_some_and(|(at, _)| *at <= end) {
            machine.durable = machine.batches.pop_front().expect("there is one").1;
        }
    }

    pub fn shows(&self, node: usize, shown: &Frontier) {
        let durable = &self.machines[node].durable.applied;
        assert!(durable.includes(shown), "fsync: site {} shows {shown}, on disk is {durable}", node + 1);
    }

    /// How many of its own transactions each site has on its disk.
    pub fn own(&self) -> Frontier {
        let mut own = Frontier::default();
        for (node, machine) in self.machines.iter().enumerate() {
            let site = SiteId(node as u16 + 1);
            own.set_blue(site, machine.durable.logged.blue(site));
        }
        own
    }

    pub fn says(&mut self, from: usize, to: usize, frame: &Bytes) {
        let message = PeerMessage::decode(frame)
            .unwrap_or_else(|error| panic!("frame: site {} sends what nobody can read: {error}", from + 1));
        self.message(from, to, &message);
    }

    fn message(&mut self, from: usize, to: usize, message: &PeerMessage) {
        match message {
            PeerMessage::Hello(hello) => {
                self.acks(from, &hello.acks);
                let own = self.machines[from].durable.logged.blue(SiteId(from as u16 + 1));
                assert!(hello.own.count <= own, "fsync: {hello}, on disk are {own}");
            }
            PeerMessage::Heartbeat(beat) => self.acks(from, &beat.acks),
            PeerMessage::Acks(acks) => self.acks(from, acks),
            PeerMessage::Blue(blue) | PeerMessage::FetchReply(FetchReply::Blue(blue)) => {
                self.blue(from, blue)
            }
            PeerMessage::Sequencer(RaftMessage::VoteReply { pre: false, term, granted: true, .. }) => {
                let known = *self.votes.entry((from, *term)).or_insert(to);
                assert_eq!(known, to, "votes: site {} votes twice in term {term}", from + 1);
            }
            // What a site hands on is another's word.
            PeerMessage::Relay(relay) if relay.from.0 == from as u16 + 1 => {
                let to = usize::from(relay.to.0) - 1;
                if let Ok(inner) = PeerMessage::relayed(relay.kind, &relay.body.0) {
                    self.message(from, to, &inner);
                }
            }
            _ => {}
        }
    }

    fn acks(&self, from: usize, acks: &Acks) {
        let durable = &self.machines[from].durable;
        let mut logged = durable.logged.clone();
        logged.red = durable.applied.red;
        assert!(
            logged.includes(&acks.durable) && durable.applied.includes(&acks.applied),
            "fsync: site {} says {acks}, on disk is {logged}, applied there {}",
            from + 1,
            durable.applied
        );
    }

    /// Whoever hands a transaction on, it stands on its origin's disk.
    fn blue(&self, from: usize, blue: &Blue) {
        let last = (blue.first + blue.transactions.len() as u64).saturating_sub(1);
        let durable = self.own().blue(blue.origin);
        assert!(
            blue.transactions.is_empty() || last <= durable,
            "fsync: site {} sends {}.{last}, on its origin's disk are {durable}",
            from + 1,
            blue.origin
        );
    }
}

/// How far the log has come.
fn look(site: &Site, holds: &mut Holds, sites: usize) {
    holds.applied = site.engine().applied().clone();
    holds.logged.join(&holds.applied);
    for origin in (1..=sites as u16).map(SiteId) {
        let mut n = holds.logged.blue(origin);
        while site.engine().blue(Dot { site: origin, n: n + 1 }).is_ok_and(|found| found.is_some()) {
            n += 1;
        }
        holds.logged.set_blue(origin, n);
    }
}
