//! What a site shows to its sessions and its operators: written by the site thread, read by everyone.
//!
//! Nothing here is an input of [`super::Site::step`]; it is a window on it. Locks are held for a copy at most.

use std::collections::{BTreeMap, VecDeque};

use gemini_engine::Reader;
use gemini_shadow_ops::verdict::EntryStatus;
use gemini_shadow_ops::{Color, EntryId, Frontier, Item, Rule, SiteId, TxnId};
use gemini_sql::host::TransactionStatus;
use parking_lot::{Mutex, RwLock};

use super::divergence::Verification;
use super::members::MemberStatus;
use super::mint::Minter;

/// How many red transactions `gemini.transactions` remembers.
const RECENT: usize = 1_000;

/// Read by sessions, the status command, and /metrics.
#[derive(Debug)]
pub struct Shared {
    /// Snapshots of the data.
    pub reader: Reader,
    /// Minted values.
    pub minter: Minter,
    status: RwLock<Status>,
    outcomes: Mutex<Outcomes>,
}

/// What `gemini status` prints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// What is applied here, durably.
    pub frontier: Frontier,
    /// Whom this site follows in the red order, and in which term.
    pub leader: Option<(SiteId, u64)>,
    /// This site leads.
    pub leading: bool,
    /// By peer.
    pub peers: BTreeMap<SiteId, PeerStatus>,
    /// Since the start.
    pub counts: Counts,
    /// Received blue transactions that wait for what they depend on.
    pub waiting: u64,
    /// Refused at the moment, and why (a drained, damaged or fenced site).
    pub refusing: Option<String>,
    /// This site has no tables: it is being filled, and how far that is.
    pub filling: Option<String>,
    /// The newest schema version.
    pub schema_version: u64,
    /// The comparison with the peers.
    pub verification: Verification,
    /// Everyone who is or was a member, in order of their ids.
    pub members: Vec<MemberStatus>,
}

/// A peer as this site sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// There is a direct link.
    pub linked: bool,
    /// It can be reached, directly or through another site.
    pub reachable: bool,
    /// Own blue transactions that it has not yet acknowledged as durable.
    pub unacknowledged: u64,
    /// Transactions applied here that it has not said it has applied.
    pub behind: u64,
    /// All that it had applied at this moment of this site's clock (µs since 1970) is applied here; 0: not known of any.
    pub as_of: u64,
    /// It lacks what this site no longer has in its log: it has to be filled.
    pub cut_off: bool,
    /// Why there is no link.
    pub reason: String,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blue commits of this site's sessions.
    pub blue: u64,
    /// Red commits of this site's sessions.
    pub red: u64,
    /// Submissions refused by a local conflict.
    pub conflicts: u64,
    /// Red entries of this site refused by the order.
    pub refused: u64,
    /// Red transactions that ended without being sent, or unknown.
    pub unavailable: u64,
    /// Blue transactions of other sites applied here.
    pub received: u64,
    /// Red entries applied or passed over here.
    pub ordered: u64,
    /// Transactions that spent rights which this site had.
    pub rights_local: u64,
    /// Those that had to wait until others had given it some.
    pub rights_given: u64,
    /// Those that failed for want of rights.
    pub rights_short: u64,
    /// Transactions of this site that give rights to others because they asked.
    pub gifts: u64,
    /// Frames from peers that made no sense.
    pub bad_frames: u64,
}

/// A red transaction of this site, for `gemini.transactions`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RecentRed {
    pub id: EntryId,
    pub color: Color,
    /// The reasons, readable.
    pub reasons: String,
    pub outcome: TransactionStatus,
    /// The shape of its last statement that wrote.
    pub statement: String,
    /// Microseconds from its begin to its submission, from there to its red index being here, and from there to the disk.
    pub generated: u64,
    pub ordered: u64,
    pub applied: u64,
    pub conflict: Option<Item>,
}

#[derive(Debug, Default)]
struct Outcomes {
    /// The order of arrival, for forgetting the oldest.
    order: VecDeque<EntryId>,
    by_id: BTreeMap<EntryId, TransactionStatus>,
    recent: VecDeque<RecentRed>,
    /// How many submissions were red by each rule.
    rules: BTreeMap<Rule, u64>,
}

/// Outcomes are remembered for this many entries, at the least as long as the certification window.
const OUTCOMES: usize = 100_000;

impl Shared {
    pub(super) fn new(reader: Reader, minter: Minter) -> Shared {
        Shared { reader, minter, status: RwLock::default(), outcomes: Mutex::default() }
    }

    /// A copy of the status.
    pub fn status(&self) -> Status {
        self.status.read().clone()
    }

    /// The peer whose news are the oldest, and the moment of this site's clock (µs since 1970) that they are of; None where
    /// there is no other site.
    pub fn oldest_news(&self) -> Option<(SiteId, u64)> {
        let status = self.status.read();
        status.peers.iter().map(|(site, peer)| (*site, peer.as_of)).min_by_key(|(_, as_of)| *as_of)
    }

    /// How far this site is being filled, if it is.
    pub fn filling(&self) -> Option<String> {
        self.status.read().filling.clone()
    }

    /// Whom this site follows in the red order, and in which term.
    pub fn leader(&self) -> Option<(SiteId, u64)> {
        self.status.read().leader
    }

    /// How an entry ended, as far as this site knows.
    pub fn outcome(&self, id: EntryId) -> TransactionStatus {
        self.outcomes.lock().by_id.get(&id).copied().unwrap_or(TransactionStatus::Unknown)
    }

    /// The newest red transactions of this site's sessions, oldest first.
    pub fn recent(&self) -> Vec<RecentRed> {
        self.outcomes.lock().recent.iter().cloned().collect()
    }

    /// How many red submissions of this site's sessions had which reason; one may have several.
    pub fn red_rules(&self) -> BTreeMap<Rule, u64> {
        self.outcomes.lock().rules.clone()
    }

    pub(super) fn count_rules(&self, rules: impl Iterator<Item = Rule>) {
        let mut outcomes = self.outcomes.lock();
        for rule in rules {
            *outcomes.rules.entry(rule).or_default() += 1;
        }
    }

    /// What the certification window remembers, at a start.
    pub(super) fn remember(&self, statuses: impl Iterator<Item = (EntryId, EntryStatus)>) {
        for (id, status) in statuses {
            let status = match status {
                EntryStatus::Accepted(r) => committed(r),
                EntryStatus::Refused(_) => TransactionStatus::Refused,
                EntryStatus::Void(_) => TransactionStatus::Void,
                EntryStatus::Unknown => TransactionStatus::Unknown,
            };
            self.record(id, status);
        }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.write());
    }

    pub(super) fn record(&self, id: EntryId, status: TransactionStatus) {
        let mut outcomes = self.outcomes.lock();
        if outcomes.by_id.insert(id, status).is_none() {
            outcomes.order.push_back(id);
        }
        while outcomes.order.len() > OUTCOMES {
            if let Some(oldest) = outcomes.order.pop_front() {
                outcomes.by_id.remove(&oldest);
            }
        }
    }

    pub(super) fn record_recent(&self, red: RecentRed) {
        let mut outcomes = self.outcomes.lock();
        if outcomes.recent.len() == RECENT {
            outcomes.recent.pop_front();
        }
        outcomes.recent.push_back(red);
    }
}

/// A committed transaction's status.
pub(super) fn committed(r: u64) -> TransactionStatus {
    TransactionStatus::Committed(TxnId::Red(r))
}
