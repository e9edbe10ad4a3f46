//! Every submission and how it was answered. Three promises are looked at here because they are all about one list:
//!
//! - **Blue waits for nobody and is never aborted by another site** (DESIGN §1.1, §1.6): it is answered within [`SYNCS`] syncs of
//!   its own site's disk, whatever the network does, and only with what its own site can decide. One acknowledged by a
//!   quorum is excepted: it asked to wait. So is one that spends of a bounded counter: it may wait for rights.
//! - **Nothing waits for ever** (DESIGN §1.6): a red one is answered within its timeout, give or take what its site stood still.
//! - **An answer is the truth**: committed under a name that has these effects; refused or unavailable, and then never ordered.

use std::collections::BTreeMap;

use gemini::site::{Outcome, Reply};
use gemini_shadow_ops::{Color, Entry, Frontier, Hlc, Op, ShadowTransaction, SiteId, Stamp, TxnId, Verdict};
use gemini_sql::host::{CommitError, Durability, Submission};
use tokio::sync::oneshot::Receiver;

use super::history::{History, News, hash};

/// The batch under way, the one that has it, and one for good measure.
const SYNCS: u64 = 3;

/// Red is answered within this, µs: twice the commit timeout (a clock set back runs at half speed), and a second.
const RED_WAITS: u64 = 2 * crate::world::node::COMMIT_TIMEOUT + 1_000_000;

/// An answer on its way to the session that waits for it.
pub struct Answer {
    /// Where it goes.
    pub reply: Reply<Outcome>,
    /// What it says.
    pub outcome: Outcome,
}

struct Open {
    color: Color,
    content: u64,
    quorum: bool,
    /// May wait for rights, and fail for want of them.
    spends: bool,
    since: u64,
    syncs: u64,
    timeout: u64,
    reply: Reply<Outcome>,
    answer: Receiver<Outcome>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} since {}", self.color, self.since)
    }
}

/// How often effects may have been ordered, and how often they were.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    may: u64,
    ordered: u64,
}

#[derive(Debug)]
pub(super) struct Ledger {
    open: Vec<Vec<Open>>,
    /// Syncs of each site's disk.
    syncs: Vec<u64>,
    /// When each site last stood still or waited for room on its disk.
    stalled: Vec<u64>,
    /// Red transactions by content.
    red: BTreeMap<u64, Tally>,
    known: u64,
}

impl Ledger {
    pub fn new(sites: usize) -> Ledger {
        Ledger {
            open: (0..sites).map(|_| Vec::new()).collect(),
            syncs: vec![0; sites],
            stalled: vec![0; sites],
            red: BTreeMap::new(),
            known: 0,
        }
    }

    pub fn submitted(
        &mut self,
        node: usize,
        now: u64,
        submission: &Submission,
        reply: Reply<Outcome>,
        answer: Receiver<Outcome>,
    ) -> String {
        let color = submission.classification.color;
        let content = content(SiteId(node as u16 + 1), &submission.transaction);
        if color == Color::Red {
            self.red.entry(content).or_default().may += 1;
        }
        let quorum = submission.durability == Durability::Quorum;
        let spends = !submission.classification.spends.is_empty();
        let timeout = submission.timeout.unwrap_or(0).saturating_mul(2);
        let syncs = self.syncs[node];
        self.open[node].push(Open {
            color,
            content,
            quorum,
            spends,
            since: now,
            syncs,
            timeout,
            reply,
            answer,
        });
        let ops: Vec<String> = submission.transaction.ops.iter().map(|op| brief(&op.op)).collect();
        format!("{color:?} {}", ops.join(", "))
    }

    /// Those of a site that have their answer by now. `under_way`: a batch is on its way to the disk.
    pub fn answers(&mut self, node: usize, under_way: bool, history: &History) -> Vec<(String, Answer)> {
        let mut answered = Vec::new();
        for mut open in std::mem::take(&mut self.open[node]) {
            let Ok(outcome) = open.answer.try_recv() else {
                let waits = self.syncs[node] - open.syncs;
                let bounded = open.color == Color::Blue && !open.quorum && !open.spends;
                assert!(
                    !bounded || (waits <= SYNCS && under_way),
                    "blue: a transaction of site {} has no answer after {waits} syncs, {}",
                    node + 1,
                    if under_way { "and waits on" } else { "and nothing is on its way to the disk" }
                );
                self.open[node].push(open);
                continue;
            };
            self.answered(&open, &outcome);
            if let Ok(committed) = &outcome {
                let found = named(committed.id, history).map(|(origin, found)| content(origin, found));
                assert_eq!(found, Some(open.content), "outcome: {} is not what was submitted", committed.id);
            }
            let told = match &outcome {
                Ok(committed) => format!("{} committed", committed.id),
                Err(error) => format!("{:?}: {error:?}", open.color),
            };
            answered.push((told, Answer { reply: open.reply, outcome }));
        }
        answered
    }

    fn answered(&mut self, open: &Open, outcome: &Outcome) {
        match outcome {
            Ok(committed) => {
                assert_eq!(
                    committed.color, open.color,
                    "blue: committed in another colour than it was submitted in"
                );
            }
            // It may be ordered yet.
            Err(CommitError::Unknown { .. }) => {
                assert_eq!(open.color, Color::Red, "blue: an outcome that its own site does not know");
            }
            Err(error) => {
                let own = matches!(error, CommitError::Conflict { .. } | CommitError::Rejected { .. });
                let short = open.spends && matches!(error, CommitError::Short { .. });
                assert!(own || short || open.color == Color::Red, "blue: refused by others: {error:?}");
                if open.color == Color::Red {
                    let tally = self.red.entry(open.content).or_default();
                    tally.may -= 1;
                    assert!(
                        tally.ordered <= tally.may,
                        "outcome: ordered, and its client was told {error:?}"
                    );
                }
            }
        }
    }

    /// What the order accepts was submitted, and nobody was told that it was not.
    pub fn ordered(&mut self, news: &News) {
        for (r, entry, verdict) in &news.red {
            if *r != self.known + 1 {
                continue;
            }
            self.known = *r;
            if let (Entry::Transaction(red), Verdict::Accepted) = (&**entry, verdict) {
                let tally = self.red.entry(content(red.id.site, &red.transaction)).or_default();
                tally.ordered += 1;
                assert!(
                    tally.ordered <= tally.may,
                    "outcome: r{r} ({}) is accepted, and its client was told that it was not, or never submitted it",
                    red.id
                );
            }
        }
    }

    pub fn synced(&mut self, node: usize) {
        self.syncs[node] += 1;
    }

    pub fn stalled(&mut self, node: usize, now: u64) {
        self.stalled[node] = now;
    }

    /// Nobody has waited for too long.
    pub fn waits(&self, node: usize, now: u64) {
        for open in &self.open[node] {
            let since = open.since.max(self.stalled[node]);
            assert!(
                now < since + RED_WAITS.max(open.timeout + 1_000_000),
                "waits: a {:?} transaction of site {} has waited for {} ms",
                open.color,
                node + 1,
                (now - open.since) / 1_000
            );
        }
    }

    /// The site's sessions are gone; what they had submitted may have happened.
    pub fn crashed(&mut self, node: usize) {
        self.open[node].clear();
    }
}

/// What was committed under a name, and where it was submitted.
fn named(id: TxnId, history: &History) -> Option<(SiteId, &ShadowTransaction)> {
    match id {
        TxnId::Blue(dot) => history.blue.get(&dot).map(|found| (dot.site, &**found)),
        TxnId::Red(r) => match history.red.get(r as usize - 1) {
            Some((entry, Verdict::Accepted)) => match &**entry {
                Entry::Transaction(red) => Some((red.id.site, &*red.transaction)),
                Entry::Void { .. } | Entry::Member(_) => None,
            },
            _ => None,
        },
    }
}

/// A hash of what a session submits, without what the site adds.
fn content(origin: SiteId, transaction: &ShadowTransaction) -> u64 {
    let stamp = Stamp { hlc: Hlc::default(), site: origin };
    let mut content = ShadowTransaction { origin, stamp, deps: Frontier::default(), ..transaction.clone() };
    // The rights that it creates are shared out by the site.
    content.ops.retain(|op| !matches!(op.op, Op::Rights { .. }));
    hash(&content)
}

fn brief(op: &gemini_shadow_ops::Op) -> String {
    match op {
        Op::Insert { table, key, .. } => format!("+{table}:{key:?}"),
        Op::Update { table, key, cells, .. } => {
            let cells: Vec<String> =
                cells.iter().map(|(column, write)| format!("{column} {write:?}")).collect();
            format!("~{table}:{key:?} ({})", cells.join(", "))
        }
        Op::Delete { table, key, .. } => format!("-{table}:{key:?}"),
        Op::Rights { table, key, moves, .. } => format!("rights {table}:{key:?} {moves:?}"),
        Op::Schema(_) => "schema".to_string(),
    }
}
