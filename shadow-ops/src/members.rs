//! Who the cluster's sites are: a pure function of the red order, like the verdicts (DESIGN §8).
//!
//! sites.toml names the *first* members. From then on the order rules: an entry that adds or removes a site has a red index like
//! any other, and "every member" means the members at the index of the entry that asks for it. So all sites agree on whom they
//! mean, whatever each has heard.
//!
//! ```text
//!              JOIN             VOTER                    FENCE            CLOSE
//!   (unknown) ──────► learner ─────────► voter ─────────────────► fenced ────────► closed, for ever
//!                        │                                          ▲ │
//!                        └──────────────── FENCE ───────────────────┘ └─ each remaining member: REPORT
//! ```
//!
//! # Removing a site
//!
//! What the removed site `f` committed and nobody else has is lost; what any remaining member has must reach all of them, and
//! nothing beyond it may ever be applied anywhere. Hence the steps:
//!
//! 1. **FENCE(f)** at r. `f` is no member any more; its entries after r are void. It opens a *round*, named r, in which every
//!    remaining member must report. A further FENCE opens a new round, in which all report anew: what a member had from another
//!    one that is fenced now must be counted by somebody who stays.
//! 2. **REPORT(round, held)** of a member: how many transactions of each fenced site it *holds*, on disk. It may report more
//!    later, never less. Until CLOSE a member applies no more of a fenced site than some ordered REPORT of the round (or its own)
//!    counts, see [`Members::may_apply`].
//! 3. **CLOSE(round, counts, heir)**: accepted iff every member has reported in the round and `counts` are the greatest of the
//!    reports. It depends on them. Later dots are void.
//!
//! A report is closed under dependency (what is *held* is), hence so is the greatest of several: no count covers a transaction
//! whose causes are lost.
//!
//! An entry of a member that has reported, and that depends on more than its report, is refused. One that has not reported in this
//! round may be ordered in between: its order alone says that what it depends on is held by a majority, and CLOSE must cover
//! that too (`floor`).
//!
//! # Example: site 3 dies with 3.9 on its disk alone; 1 has up to 3.8, 2 up to 3.7
//!
//! ```text
//!   r20  FENCE(3)                         members 1, 2; round 20
//!   r21  REPORT(20, 3:7) of 2             3.8 may not be applied at 2
//!   r22  REPORT(20, 3:8) of 1             now it may: 2 fetches it from 1
//!   r23  CLOSE(20, 3:8, heir 1)           3.9 is void, wherever it turns up
//! ```
//!
//! # What it does not do
//! It does not say when to propose what (`gemini-replication`), and knows no addresses but as text.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, planted};
use crate::ids::{EntryId, Frontier, SiteId};
use crate::op::Entry;
use crate::verdict::Refusal;

/// A cluster has at most so many members at a time.
pub const MOST: usize = 7;

/// What a member entry changes. The first three change who votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// A new site, as a learner: it is counted in every "each member" rule from here on.
    Join {
        /// Its id, never used before.
        site: SiteId,
        /// Who it is.
        member: Member,
    },
    /// A learner that holds what the log names votes from now on.
    Voter(SiteId),
    /// A site is removed: see the module.
    Fence(SiteId),
    /// What a member holds of the fenced sites, on its disk.
    Report {
        /// The round: the red index of the newest FENCE.
        round: u64,
        /// Counts of fenced sites; `red` is 0.
        held: Frontier,
    },
    /// The final counts of all fenced sites.
    Close {
        /// The round.
        round: u64,
        /// Counts of all fenced sites; `red` is 0. The entry depends on them.
        counts: Frontier,
        /// A remaining member, to whom the removed sites' rights fall.
        heir: SiteId,
    },
}

/// A change of the members, on its way to the order or in it. Its effect depends on the members alone and happens once, so a copy
/// does no harm: no VOID ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEntry {
    /// First, so that its kind shows in the entry's first bytes ([`reconfigures`]).
    pub change: MemberChange,
    /// Who proposes it.
    pub id: EntryId,
}

/// A site that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name, also in its certificate. Never used again.
    pub name: String,
    /// Where other sites reach it, as sites.toml would say it: for those whose file does not name the site.
    pub peer: String,
    /// Its minting class. Never used again.
    pub class: u32,
}

/// A site that was removed, and whose final count is not ordered yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// Who it was.
    pub member: Member,
    /// The red index of its FENCE.
    pub since: u64,
    /// What standing entries depend on: CLOSE must cover it.
    floor: u64,
}

/// A site that is gone for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Who it was.
    pub member: Member,
    /// The red index of its FENCE.
    pub fenced: u64,
    /// The red index of its CLOSE.
    pub closed: u64,
    /// Its transactions up to this one count; later ones are void.
    pub count: u64,
    /// To whom its rights fall: always a member.
    pub heir: SiteId,
}

/// What the members make of an entry at its index.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruling {
    /// A member's transaction, which waits for what it depends on; certification says the rest. Or an accepted member entry.
    Stands,
    /// No effect and no dependencies.
    Void,
    /// Refused; nothing is waited for.
    Refused(Refusal),
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The last red index decided.
    last: u64,
    /// The members, and since when each votes.
    current: BTreeMap<SiteId, Member>,
    learners: BTreeSet<SiteId>,
    /// The red index of the last change of who votes.
    configuration: u64,
    fenced: BTreeMap<SiteId, Fenced>,
    /// The red index of the newest FENCE that is not closed; 0: none.
    round: u64,
    /// Of the round, by member.
    reports: BTreeMap<SiteId, Frontier>,
    closed: BTreeMap<SiteId, Closed>,
    /// Of the first members.
    genesis: u64,
}

/// Whether an entry's bytes (its postcard form) are of a change of who votes.
pub fn reconfigures(entry: &[u8]) -> bool {
    matches!(entry, [2, 0..=2, ..])
}

impl Members {
    /// The first members: all vote.
    pub fn first(sites: BTreeMap<SiteId, Member>) -> Members {
        let known: Vec<(u16, &str, u32)> = sites.iter().map(|(id, m)| (id.0, &*m.name, m.class)).collect();
        let bytes = postcard::to_stdvec(&known).unwrap_or_default();
        let genesis = xxhash_rust::xxh3::xxh3_64(&bytes).max(1);
        Members { current: sites, genesis, ..Members::default() }
    }

    /// The first members of a cluster whose order goes on after red index `r`: one restored from a backup.
    pub fn since(self, r: u64) -> Members {
        Members { last: r, ..self }
    }

    /// A hash of the first members: sites that disagree on them would disagree on everything.
    pub fn genesis(&self) -> u64 {
        self.genesis
    }

    /// The last red index decided.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The members, learners included, in order of their ids.
    pub fn current(&self) -> &BTreeMap<SiteId, Member> {
        &self.current
    }

    /// Whether this site is a member.
    pub fn contains(&self, site: SiteId) -> bool {
        self.current.contains_key(&site)
    }

    /// Whether this member votes.
    pub fn votes(&self, site: SiteId) -> bool {
        self.contains(site) && !self.learners.contains(&site)
    }

    /// Those who vote, in order of their ids.
    pub fn voters(&self) -> impl Iterator<Item = SiteId> + '_ {
        self.current.keys().copied().filter(|site| !self.learners.contains(site))
    }

    /// Names the set of voters and learners: the red index of its last change.
    pub fn configuration(&self) -> u64 {
        self.configuration
    }

    /// Sites removed whose final counts are not ordered.
    pub fn fenced(&self) -> &BTreeMap<SiteId, Fenced> {
        &self.fenced
    }

    /// Sites gone for ever.
    pub fn closed(&self) -> &BTreeMap<SiteId, Closed> {
        &self.closed
    }

    /// The open round, if a site is fenced and not closed.
    pub fn round(&self) -> Option<u64> {
        (self.round > 0).then_some(self.round)
    }

    /// What a member has reported in the open round.
    pub fn report(&self, member: SiteId) -> Option<&Frontier> {
        self.reports.get(&member)
    }

    /// Whether this site was a member and is none any more.
    pub fn removed(&self, site: SiteId) -> bool {
        self.fenced.contains_key(&site) || self.closed.contains_key(&site)
    }

    /// Whether this id has ever been a site's.
    pub fn knows(&self, site: SiteId) -> bool {
        self.contains(site) || self.removed(site)
    }

    /// Who a site is, or was.
    pub fn member(&self, site: SiteId) -> Option<&Member> {
        let fenced = || self.fenced.get(&site).map(|f| &f.member);
        let closed = || self.closed.get(&site).map(|c| &c.member);
        self.current.get(&site).or_else(fenced).or_else(closed)
    }

    /// Every site that has ever been a member.
    pub fn everyone(&self) -> impl Iterator<Item = (SiteId, &Member)> {
        let current = self.current.iter().map(|(site, m)| (*site, m));
        let fenced = self.fenced.iter().map(|(site, f)| (*site, &f.member));
        let closed = self.closed.iter().map(|(site, c)| (*site, &c.member));
        current.chain(fenced).chain(closed)
    }

    /// How many of `site`'s transactions may be applied, as far as the order says; None: any. (A member may apply what it has applied
    /// or reported, too.)
    pub fn may_apply(&self, site: SiteId) -> Option<u64> {
        if let Some(closed) = self.closed.get(&site) {
            return Some(closed.count);
        }
        self.fenced.contains_key(&site).then(|| self.count(site))
    }

    /// The final count that CLOSE must name for a fenced site.
    fn count(&self, site: SiteId) -> u64 {
        let floor = self.fenced.get(&site).map_or(0, |fenced| fenced.floor);
        self.reports.values().map(|held| held.blue(site)).max().unwrap_or(0).max(floor)
    }

    /// What CLOSE must say, once every member has reported.
    pub fn closing(&self) -> Option<MemberChange> {
        let complete = self.round > 0
            && (self.current.keys().all(|member| self.reports.contains_key(member))
                || planted(Fault::CloseWithoutReports));
        let heir = *self.current.keys().next()?;
        complete.then(|| {
            let mut counts = Frontier::default();
            self.fenced.keys().for_each(|site| counts.set_blue(*site, self.count(*site)));
            MemberChange::Close { round: self.round, counts, heir }
        })
    }

    /// Whether a dot is void: beyond the final count of a closed site.
    pub fn is_void(&self, site: SiteId, n: u64) -> bool {
        self.closed.get(&site).is_some_and(|closed| n > closed.count)
    }

    /// Rules on the entry at red index `r` (the next one) and remembers it.
    ///
    /// # Panics
    /// If r is not the next red index: the order has a gap, and going on would make this site differ from the others.
    pub fn decide(&mut self, r: u64, entry: &Entry) -> Ruling {
        assert_eq!(r, self.last + 1, "red indices are ruled on one after the other");
        let ruling = self.foresee(entry);
        self.last = r;
        match entry {
            Entry::Member(member) if ruling == Ruling::Stands => self.change(r, member),
            Entry::Transaction(red) if ruling == Ruling::Stands => {
                for (site, fenced) in &mut self.fenced {
                    fenced.floor = fenced.floor.max(red.transaction.deps.blue(*site));
                }
            }
            _ => {}
        }
        ruling
    }

    /// What the ruling would be at the next red index.
    pub fn foresee(&self, entry: &Entry) -> Ruling {
        match entry {
            // What it depends on may be lost; what it would return is the heir's.
            Entry::Void { id, .. } if !self.contains(id.site) && self.knows(id.site) => Ruling::Void,
            Entry::Void { .. } => Ruling::Stands,
            Entry::Member(member) if self.acceptable(member) => Ruling::Stands,
            Entry::Member(_) => Ruling::Void,
            Entry::Transaction(red) if !self.contains(red.id.site) => {
                if planted(Fault::FencedEntriesStand) {
                    Ruling::Stands
                } else {
                    Ruling::Void
                }
            }
            Entry::Transaction(red) => match self.lost(red.id.site, &red.transaction.deps) {
                Some(site) => Ruling::Refused(Refusal::Removed { site }),
                None => Ruling::Stands,
            },
        }
    }

    /// A removed site of which a member's entry depends on more than it may.
    fn lost(&self, member: SiteId, deps: &Frontier) -> Option<SiteId> {
        let reported = self.reports.get(&member);
        deps.blues().map(|(site, _)| site).find(|site| {
            let n = deps.blue(*site);
            let beyond = self.fenced.contains_key(site) && reported.is_some_and(|held| n > held.blue(*site));
            self.is_void(*site, n) || beyond
        })
    }

    fn acceptable(&self, MemberEntry { change, id }: &MemberEntry) -> bool {
        if !self.contains(id.site) {
            return false;
        }
        match change {
            MemberChange::Join { site, member } => {
                let taken = |m: &Member| m.name == member.name || m.class == member.class;
                self.round == 0
                    && self.current.len() < MOST
                    && !self.knows(*site)
                    && !self.everyone().any(|(_, known)| taken(known))
            }
            MemberChange::Voter(site) => self.learners.contains(site),
            MemberChange::Fence(site) => self.contains(*site) && self.voters().any(|voter| voter != *site),
            MemberChange::Report { round, held } => {
                self.round == *round
                    && self.round > 0
                    && held.blues().all(|(s, _)| self.fenced.contains_key(&s))
            }
            MemberChange::Close { .. } => self.closing().is_some_and(|expected| expected == *change),
        }
    }

    fn change(&mut self, r: u64, MemberEntry { change, id }: &MemberEntry) {
        match change {
            MemberChange::Join { site, member } => {
                self.current.insert(*site, member.clone());
                self.learners.insert(*site);
                self.configuration = r;
            }
            MemberChange::Voter(site) => {
                self.learners.remove(site);
                self.configuration = r;
            }
            MemberChange::Fence(site) => self.fence(r, *site),
            MemberChange::Report { held, .. } => self.reports.entry(id.site).or_default().join(held),
            MemberChange::Close { counts, heir, .. } => self.close(r, counts, *heir),
        }
    }

    fn fence(&mut self, r: u64, site: SiteId) {
        let Some(member) = self.current.remove(&site) else { return };
        self.learners.remove(&site);
        self.fenced.insert(site, Fenced { member, since: r, floor: 0 });
        self.configuration = r;
        self.round = r;
        self.reports.clear();
    }

    fn close(&mut self, r: u64, counts: &Frontier, heir: SiteId) {
        for (site, Fenced { member, since, .. }) in std::mem::take(&mut self.fenced) {
            // Whatever was to fall to it falls to its own heir.
            self.closed.values_mut().filter(|c| c.heir == site).for_each(|c| c.heir = heir);
            let count = counts.blue(site);
            self.closed.insert(site, Closed { member, fenced: since, closed: r, count, heir });
        }
        self.round = 0;
        self.reports.clear();
    }
}
