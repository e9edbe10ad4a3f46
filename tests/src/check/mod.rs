//! One checker per promise. They look at a site after each of its steps, at what it says and at what its clients are told, and
//! panic with the promise's name.
//!
//! | file | promise |
//! |---|---|
//! | `causal.rs` | nothing is applied before what it depends on; dots come without gaps or repeats |
//! | `order.rs` | one gap-free red order with the same verdicts everywhere; what is committed never changes |
//! | `certify.rs` | every verdict is the one that somebody finds who remembers everything |
//! | `dots.rs` | blue is never revoked: a dot on disk names one transaction for ever |
//! | `frontier.rs` | what a site has applied and shows never goes back |
//! | `held.rs` | no sequencer entry is written before the blue transactions that it depends on |
//! | `honest.rs` | nothing that a site says or shows runs ahead of its last fsync; one vote per term |
//! | `members.rs` | what a removed site left with anyone reaches all, what only it had is applied nowhere else |
//! | `sequencer.rs` | one leader per term |
//! | `ledger.rs` | blue waits for nobody but its own disk; nothing waits for ever; answers are true |
//! | `unknown.rs` | entry ids are used once; unknown outcomes are resolved |
//! | `acknowledged.rs` | what a client was told is committed is there after any crash, and in the end at every site |
//! | `session.rs` | a client reads its own writes and never goes back |
//! | `atomic.rs` | a snapshot shows all effects of what its frontier covers, once, and no others (by fingerprints) |
//! | `invariants.rs` | every declared invariant holds at every site at every moment |
//! | `rights.rs` | rights are conserved, nobody's are below zero, and with what is put aside they are the slack |
//! | `converge.rs` | equal frontiers mean equal tables |
//! | `rows.rs` | rows are what their transactions say; stamps lie above what they overwrite; nothing is lost in silence |
//! | `images.rs` | an image, restored, is its snapshot and a state of the same moment |
//! | `indexes.rs` | an index holds its table's rows and nothing else |
//!
//! `history.rs` keeps what they draw on. No checker believes what another part of the site says about the thing it checks:
//! transactions come from the log, frontiers from the engine, frames from the wire.

mod acknowledged;
mod atomic;
mod causal;
mod certify;
mod converge;
mod dots;
mod frontier;
mod held;
mod history;
mod honest;
mod images;
mod indexes;
mod invariants;
mod ledger;
mod members;
mod order;
mod rights;
mod rows;
mod sequencer;
mod session;
mod unknown;

use bytes::Bytes;
use gemini::site::{Moment, Outcome, Reply, Site};
use gemini_engine::{Lsn, Snapshot};
use gemini_shadow_ops::{Frontier, Members, SiteId};
use gemini_sql::host::Submission;
use tokio::sync::oneshot::Receiver;

use crate::world::Options;
use crate::world::node::member;
use history::{History, News};
pub use invariants::Invariants;
pub use ledger::Answer;

/// All of them, over the whole world.
#[derive(Debug)]
pub struct Checks {
    history: History,
    order: order::Order,
    certify: certify::Certify,
    dots: dots::Dots,
    frontiers: frontier::Frontiers,
    held: held::Held,
    honest: honest::Honest,
    leaders: sequencer::Leaders,
    removals: members::Removals,
    ledger: ledger::Ledger,
    unknown: unknown::Unknown,
    acknowledged: acknowledged::Acknowledged,
    atomic: Vec<atomic::Atomic>,
    invariants: Vec<Invariants>,
    rights: Vec<rights::Rights>,
    converge: converge::Converge,
    /// How many steps lie between two looks at whole tables.
    pub every: u64,
    /// What a workload promises of every snapshot beyond what its schema declares.
    pub promise: Option<fn(&Snapshot)>,
    window: u64,
    /// Which sites have been filled from others.
    filled: Vec<bool>,
    steps: u64,
}

impl Checks {
    /// For a world of these options.
    pub fn new(options: &Options) -> Checks {
        let sites = options.sites + options.spare;
        let first = (1..=options.sites as u16).map(|n| (SiteId(n), member(n))).collect();
        Checks {
            history: History::default(),
            order: order::Order::default(),
            certify: certify::Certify::new(options.window, Members::first(first)),
            dots: dots::Dots::default(),
            frontiers: frontier::Frontiers::new(sites),
            held: held::Held::new(sites),
            honest: honest::Honest::new(sites),
            leaders: sequencer::Leaders::default(),
            removals: members::Removals::default(),
            ledger: ledger::Ledger::new(sites),
            unknown: unknown::Unknown::default(),
            acknowledged: acknowledged::Acknowledged::new(sites),
            atomic: (0..sites).map(|_| atomic::Atomic::default()).collect(),
            invariants: (0..sites).map(|_| Invariants::default()).collect(),
            rights: (0..sites).map(|_| rights::Rights::default()).collect(),
            converge: converge::Converge::default(),
            every: 97,
            promise: None,
            window: options.window,
            filled: vec![false; sites],
            steps: 0,
        }
    }

    /// A process has started at this site.
    pub fn started(&mut self, node: usize, site: &Site) {
        self.honest.started(node, site);
        self.frontiers.started(node, site);
        if site.filling() {
            self.filled[node] = true;
            return; // it has no tables, and shows nothing
        }
        self.acknowledged.started(node, site);
        let snapshot = site.engine().reader().snapshot();
        let news = News::of(site, &self.frontiers.shown[node], site.engine().applied(), &self.history);
        self.learn(site, &news);
        self.atomic[node].started(site.id().0, &news, &snapshot);
        self.invariants[node] = Invariants::of(&snapshot);
        self.rights[node].started(site, self.certify.members(), &self.history);
        self.frontiers.check(node, site, snapshot.frontier());
        self.whole(node, site);
    }

    fn learn(&mut self, site: &Site, news: &News) {
        causal::check(site, news);
        self.dots.check(site, news, &self.honest.own());
        self.order.check(site, news);
        self.certify.check(news);
        self.ledger.ordered(news);
        self.unknown.ordered(news);
        self.history.note(news);
    }

    /// A site has stepped. Whether it has applied something, or shows more.
    pub fn after_step(&mut self, node: usize, site: &Site) -> bool {
        self.leaders.check(site);
        if site.filling() {
            return false;
        }
        let snapshot = site.engine().reader().snapshot();
        let (applied, shown) = (&self.frontiers.applied[node], &self.frontiers.shown[node]);
        let moved = site.engine().applied() != applied || snapshot.frontier() != shown;
        if moved {
            let news = News::of(site, applied, site.engine().applied(), &self.history);
            self.frontiers.check(node, site, snapshot.frontier());
            self.honest.shows(node, snapshot.frontier());
            self.learn(site, &news);
            self.removals.check(site, self.certify.members());
            self.rights[node].check(site, self.certify.members(), &news);
            let touched = self.atomic[node].check(site.id().0, &news, &snapshot);
            self.invariants[node].follow(&snapshot, &touched);
        }
        self.steps += 1;
        if self.steps.is_multiple_of(self.every) {
            self.whole(node, site);
        }
        moved
    }

    /// What a site showed when it was last looked at.
    pub fn shown(&self, node: usize) -> &Frontier {
        &self.frontiers.shown[node]
    }

    /// A session submits; `answer` is where the site's answer comes, `reply` where it goes. In words.
    pub fn submitted(
        &mut self,
        node: usize,
        now: u64,
        submission: &Submission,
        reply: Reply<Outcome>,
        answer: Receiver<Outcome>,
    ) -> String {
        self.ledger.submitted(node, now, submission, reply, answer)
    }

    /// What a site has answered, each in words. `under_way`: a batch is on its way to its disk.
    pub fn answers(&mut self, node: usize, under_way: bool) -> Vec<(String, Answer)> {
        self.ledger.answers(node, under_way, &self.history)
    }

    /// A site is about to leave in good order.
    pub fn leaves(&mut self, site: SiteId) {
        self.removals.leaves(site);
    }

    /// A session is about to hear this.
    pub fn told(&mut self, node: usize, site: &Site, outcome: &Outcome) {
        self.unknown.told(outcome);
        if let Ok(committed) = outcome {
            session::told(site, committed);
            self.acknowledged.note(node, committed.id);
        }
    }

    /// A site hands out a batch.
    pub fn writes(&mut self, node: usize, site: &Site, end: Lsn) {
        self.honest.writes(node, site, end);
    }

    /// A batch is on disk.
    pub fn synced(&mut self, node: usize, end: Lsn) {
        self.honest.synced(node, end);
        self.ledger.synced(node);
    }

    /// A site says something to another.
    pub fn says(&mut self, from: usize, site: Option<&Site>, to: usize, frame: &Bytes) {
        self.honest.says(from, to, frame);
        if let Some(site) = site {
            self.held.says(from, site, to, frame, self.certify.members());
        }
    }

    /// A site's process is about to lose its memory.
    pub fn crashed(&mut self, node: usize) {
        self.ledger.crashed(node);
        let site = SiteId(node as u16 + 1);
        self.dots.crashed(site, self.honest.own().blue(site));
    }

    /// A site stood still, or its disk had no room, until now.
    pub fn stalled(&mut self, node: usize, now: u64) {
        self.ledger.stalled(node, now);
    }

    /// Time has passed at a site.
    pub fn waits(&self, node: usize, now: u64) {
        self.ledger.waits(node, now);
    }

    /// Whether every outcome that clients do not know is known to the order.
    pub fn resolved(&self) -> bool {
        self.unknown.resolved(self.certify.members())
    }

    /// A site has given a moment: it is made an image, and restored as a site of another cluster.
    pub fn image(&mut self, now: u64, moment: Moment, options: gemini::site::Options) {
        images::check(&mut self.converge, now, moment, options);
    }

    /// Looks at all tables of a site.
    fn whole(&mut self, node: usize, site: &Site) {
        let snapshot = site.engine().reader().snapshot();
        self.converge.check(&snapshot);
        indexes::check(&snapshot);
        converge::nothing_found(site);
        self.atomic[node].whole(site.id().0, &snapshot);
        self.invariants[node].whole(&snapshot);
        if let Some(promise) = self.promise {
            promise(&snapshot);
        }
    }

    /// Everything is healed and quiet: all sites are equal, and hold all that was acknowledged.
    pub fn finish<'a>(&mut self, sites: impl Iterator<Item = &'a Site>) {
        let sites: Vec<&Site> = sites.collect();
        for site in &sites {
            let node = usize::from(site.id().0) - 1;
            let members = self.certify.members();
            self.acknowledged.everywhere(site, |origin, all| self.removals.kept(origin, all, members));
            self.unknown.finish(site, self.window, &self.history, members);
            self.whole(node, site);
            rows::check(site, &self.history, self.filled[node]);
            assert_eq!(
                site.engine().applied(),
                sites[0].engine().applied(),
                "convergence: sites are quiet at different frontiers"
            );
        }
    }
}
