//! Members at this site: what operators ask for, what this site may do as one, and what it shows.
//!
//! The replica follows the members as the order is known here; the site follows them as far as it has *applied* the order, which is
//! what its verdicts, its checkpoints and its own commits go by.
//!
//! ```text
//!   gemini site add     ──► Input::Member(Add)      proposes JOIN until it shows       ──► answer
//!   gemini site remove  ──► Input::Member(Leave)    at the site itself: commits nothing more, waits until all others have what
//!                                                   it committed, proposes its own FENCE; is told that it was removed ──► answer
//!   … --force           ──► Input::Member(Expel)    at any other: proposes FENCE, waits for CLOSE ──► answer: what was lost
//! ```
//!
//! One request at a time; each ends with an answer, at the latest after [`PATIENCE`].

use gemini_replication::wire::Removed;
use gemini_shadow_ops::{Entry, EntryId, Member, MemberChange, MemberEntry, Ruling, SiteId};

use super::open::{NOTE_REMOVED, note_removed};
use super::{Output, Reply, Site};

/// A request that has not come to its end by then is given up, µs. What was proposed may still happen.
const PATIENCE: u64 = 30_000_000;

/// Between proposals of the same change, µs.
const AGAIN: u64 = 500_000;

/// What an operator asks of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberRequest {
    /// A new site is to join. Its process joins by itself when it starts.
    Add {
        /// Its id, never used before.
        site: SiteId,
        /// Who it is.
        member: Member,
    },
    /// This site is to leave in good order.
    Leave,
    /// Another site, dead for ever, is to be removed. What only it has is lost.
    Expel(SiteId),
}

/// The answer: what has happened, or why nothing will (or may not yet have).
pub type MemberAnswer = Result<String, String>;

/// A request under way.
#[derive(Debug)]
pub(super) struct Wanted {
    request: MemberRequest,
    reply: Reply<MemberAnswer>,
    deadline: u64,
    asked: u64,
}

/// A member, or a former one, as a site sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MemberStatus {
    pub site: SiteId,
    pub name: String,
    pub peer: String,
    pub class: u32,
    pub standing: Standing,
}

/// What a site is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has joined and does not vote yet.
    Learner,
    /// It votes.
    Voter,
    /// It is removed; what of it counts is not settled.
    Fenced,
    /// It is gone: its transactions up to this one count.
    Closed {
        /// How many.
        count: u64,
        /// How many it is known to have had.
        said: u64,
    },
}

impl Site {
    /// An operator's request.
    pub(super) fn member_request(&mut self, request: MemberRequest, reply: Reply<MemberAnswer>) {
        let problem = if self.wanted.is_some() {
            Some("another change of the members is under way here; try again when it is done".to_string())
        } else {
            self.objection(&request)
        };
        match problem {
            Some(problem) => reply.send(Err(problem)),
            None => {
                let deadline = self.now + PATIENCE;
                self.wanted = Some(Wanted { request, reply, deadline, asked: 0 });
            }
        }
    }

    fn change(&self, request: &MemberRequest) -> MemberChange {
        match request {
            MemberRequest::Add { site, member } => MemberChange::Join { site: *site, member: member.clone() },
            MemberRequest::Leave => MemberChange::Fence(self.options.id),
            MemberRequest::Expel(site) => MemberChange::Fence(*site),
        }
    }

    /// What can be said against a request at once.
    fn objection(&self, request: &MemberRequest) -> Option<String> {
        let me = self.options.id;
        if self.done(request) {
            return None;
        }
        if !self.members.contains(me) {
            return Some("this site is not a member itself: ask another one".into());
        }
        if *request == MemberRequest::Expel(me) {
            return Some("a site is not removed by force through itself: ask another one".into());
        }
        let id = EntryId { site: me, start: self.start, counter: 0 };
        let entry = Entry::Member(MemberEntry { change: self.change(request), id });
        if self.members.foresee(&entry) == Ruling::Stands {
            return None;
        }
        Some(match request {
            MemberRequest::Add { .. } if self.members.round().is_some() => {
                "a site is being removed: wait until its final count is settled (gemini site list)".into()
            }
            MemberRequest::Add { site, member } => format!(
                "site {site} ({}) cannot join: its id, name or minting class is or was another's, or there are {} members already",
                member.name,
                self.members.current().len()
            ),
            MemberRequest::Leave | MemberRequest::Expel(_) => {
                "the site is not a member, or the last one that votes".into()
            }
        })
    }

    fn done(&self, request: &MemberRequest) -> bool {
        match request {
            MemberRequest::Add { site, member } => self.members.current().get(site) == Some(member),
            MemberRequest::Leave => self.removed.is_some(),
            MemberRequest::Expel(site) => self.members.closed().contains_key(site),
        }
    }

    /// Goes on with what is asked for.
    pub(super) fn pursue(&mut self, out: &mut Vec<Output>) {
        let Some(wanted) = &self.wanted else { return };
        if self.done(&wanted.request) {
            let answer = self.report(&wanted.request.clone());
            return self.answer(Ok(answer));
        }
        if self.now >= wanted.deadline {
            let why = self.unfinished(&wanted.request.clone());
            return self.answer(Err(why));
        }
        let leaves = wanted.request == MemberRequest::Leave;
        if leaves && !(self.replica.handed_out() && self.proposals.is_empty()) {
            return;
        }
        if self.now < wanted.asked + AGAIN {
            return;
        }
        let change = self.change(&wanted.request.clone());
        if let Some(wanted) = &mut self.wanted {
            wanted.asked = self.now;
        }
        if matches!(change, MemberChange::Fence(site) if self.members.removed(site)) {
            return; // its CLOSE is the members' own business
        }
        self.with_replica(out, |replica, now, shelf, outputs| {
            // Without a majority in reach it is tried again until the deadline.
            let _ = replica.propose_change(now, change, shelf, outputs);
        });
    }

    /// It commits nothing more, so that the others can have it all.
    pub(super) fn leaving(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.request == MemberRequest::Leave)
    }

    fn answer(&mut self, answer: MemberAnswer) {
        if let Some(wanted) = self.wanted.take() {
            wanted.reply.send(answer);
        }
    }

    fn report(&self, request: &MemberRequest) -> String {
        match request {
            MemberRequest::Add { site, member } => {
                format!("{} is site {site} of the cluster now", member.name)
            }
            MemberRequest::Leave => "this site has left the cluster".into(),
            MemberRequest::Expel(site) => match self.members.closed().get(site) {
                Some(closed) => self.losses(*site, closed.count),
                None => String::new(),
            },
        }
    }

    /// What was lost with a site that was removed by force.
    fn losses(&self, site: SiteId, count: u64) -> String {
        let name = self.name(site);
        let said = self.replica.parted(site);
        if said > count {
            format!(
                "{name} is removed. It is known to have committed {said} transactions, of which {count} are kept; lost are {} \
                 (b{site}.{} to b{site}.{said}), and any later ones",
                said - count,
                count + 1
            )
        } else {
            format!(
                "{name} is removed. All {count} transactions that it is known to have committed are kept; later ones, if there were \
                 any, are lost"
            )
        }
    }

    fn unfinished(&self, request: &MemberRequest) -> String {
        let missing: Vec<String> = self
            .members
            .current()
            .keys()
            .filter(|site| **site != self.options.id && !self.replica.reaches(**site))
            .map(|site| self.name(*site))
            .collect();
        let cut = if missing.is_empty() {
            String::new()
        } else {
            format!("; this site does not reach {}", missing.join(", "))
        };
        let what = match request {
            MemberRequest::Add { .. } => "the new site is not ordered in time",
            MemberRequest::Leave if !self.replica.handed_out() => {
                "other members do not have all that this site has committed"
            }
            MemberRequest::Expel(site) if self.members.removed(*site) => {
                "the site is fenced, but not every member has reported what it holds of it (a dead member must be removed, too)"
            }
            MemberRequest::Leave | MemberRequest::Expel(_) => "its removal is not ordered in time",
        };
        format!("{what}{cut}. It may still happen: look at gemini site list, and ask again")
    }

    /// The members have changed at the red index just applied.
    pub(super) fn members_changed(&mut self, out: &mut Vec<Output>) {
        let me = self.options.id;
        let peers = self.members.current().keys().copied().filter(|site| *site != me).collect();
        self.patrol.follow(self.now, peers);
        self.publish_members();
        out.push(Output::Members);
    }

    pub(super) fn publish_members(&self) {
        let members = &self.members;
        let standing = |site: SiteId| match members.closed().get(&site) {
            Some(closed) => Standing::Closed { count: closed.count, said: self.replica.parted(site) },
            None if members.removed(site) => Standing::Fenced,
            None if members.votes(site) => Standing::Voter,
            None => Standing::Learner,
        };
        let shown = |(site, member): (SiteId, &Member)| MemberStatus {
            site,
            name: member.name.clone(),
            peer: member.peer.clone(),
            class: member.class,
            standing: standing(site),
        };
        let mut shown: Vec<MemberStatus> = members.everyone().map(shown).collect();
        shown.sort_by_key(|member| member.site);
        self.shared.update(|status| status.members = shown);
    }

    /// This site was removed: by its own log, or as a member says.
    pub(super) fn was_removed(&mut self, removed: Removed) {
        if self.removed.is_some_and(|known| known.count.is_some() || removed.count.is_none()) {
            return;
        }
        self.removed = Some(removed);
        let body = note_removed(&removed);
        self.note(NOTE_REMOVED, body);
        let reason = removal(&removed);
        tracing::error!(reason, "this site commits no more");
        self.halt(reason);
    }
}

/// Why a removed site commits no more, for people.
pub(super) fn removal(removed: &Removed) -> String {
    let Removed { site, fenced, count, .. } = removed;
    let kept = match count {
        Some(count) => format!(
            "; its transactions up to b{site}.{count} are kept, later ones are void (gemini export-void writes them to a file)"
        ),
        None => "; which of its transactions are kept is being settled".to_string(),
    };
    format!("this site was removed from the cluster at r{fenced}{kept}; it cannot come back under its id")
}
