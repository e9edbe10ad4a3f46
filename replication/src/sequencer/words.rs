//! The voters' own words: a site learns that an entry is committed without waiting for the leader to say so.
//!
//! In raft an entry of the leader's term that a majority has on disk is committed, whether the leader knows it yet or not. So
//! every voter that has stored an append tells all sites, not the leader alone; whoever hears a majority knows the commit. An origin
//! that is not the leader saves the way back and forth between the leader and its nearest follower:
//!
//! ```text
//!   round trips: O–L 85 ms, L–F 92 ms, O–F 155 ms
//!
//!   O: Propose ──► L: Append ──► O, F                          O has it on disk      at  85 ms
//!                  L: own fsync ── Stored ──► O                L's word              at  85 ms    O commits: 2 of 3
//!                  (F's reply at 134 ms; L commits; its next append tells O at 177 ms)
//! ```
//!
//! # A word, and when it counts
//!
//! A word is (term T, index i, configuration). It is said after the voter's fsync for an append of its current term T; the
//! leader's own, after its own fsync, included. It means: my log up to i is that of T's leader, and on my disk.
//!
//! Words of a majority for T make the site commit index j, and all before it, iff
//!
//! 1. the site follows in term T itself, and its own entry at j has term T: then (raft's log matching) its log up to j is that
//!    of T's leader, hence the voters', and a leader may count copies of an entry of its own term only (raft §5.4.2);
//! 2. each word counts for j ≤ i only, the site's own (what of its log is on disk) as well;
//! 3. the configuration (the red index of the last change of who votes) is the site's own, and no change lies unapplied at or
//!    before j: among whom a majority is counted at j is then known. Changes themselves are never committed by words.
//!
//! The commit index so derived goes to the log before the entries that are applied by it (`Sequencer::drive` hands out a `Hard`
//! record before `Committed` events), so a restart never finds an entry applied that its own log does not call committed.
//!
//! Words may be lost: then the leader's commit comes as before. They say nothing that an `AppendReply` would not.

use std::collections::BTreeMap;

use gemini_shadow_ops::SiteId;
use raft::StateRole;

use super::border::MAX;
use super::{Event, Sequencer};
use crate::replica::Output;
use crate::wire::{PeerMessage, Stored};

/// What voters have said.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The newest word of each in this configuration, as (term, index).
    heard: BTreeMap<SiteId, (u64, u64)>,
    /// Our own newest one.
    said: (u64, u64),
}

impl Words {
    /// Another configuration: words of the old one do not count in it.
    pub(super) fn forget(&mut self) {
        self.heard.clear();
        self.said = (0, 0);
    }
}

impl Sequencer {
    /// A peer's word.
    pub fn stored(&mut self, now: u64, from: SiteId, word: Stored, out: &mut Vec<Event>) {
        let Stored { term, index, configuration } = word;
        let stranger = !self.members.knows(from) && self.members.contains(self.me);
        if from == self.me || stranger || term >= MAX || index >= MAX {
            return self.suspect(from, format!("a word that cannot be: {index} in term {term}"), out);
        }
        if configuration != self.members.configuration() || !self.members.votes(from) {
            return;
        }
        let known = self.words.heard.entry(from).or_default();
        *known = (*known).max((term, index));
        self.drive(now, out);
    }

    /// Our log up to `index` is that of the leader of `term`, and on our disk: says so to all but the leader, whom its own
    /// message tells.
    pub(super) fn tell_stored(&mut self, leader: SiteId, term: u64, index: u64, out: &mut Vec<Event>) {
        if index == 0 || (term, index) <= self.words.said || !self.members.votes(self.me) || self.retired {
            return;
        }
        self.words.said = (term, index);
        let word = Stored { term, index, configuration: self.members.configuration() };
        let others = self.members.current().keys().copied();
        for to in others.filter(|site| *site != self.me && *site != leader) {
            out.push(Event::Out(Output::Send { to, message: PeerMessage::Stored(word) }));
        }
    }

    /// The leader's own word, after its fsync.
    pub(super) fn tell_led(&mut self, out: &mut Vec<Event>) {
        if self.leads() {
            let (term, index) = (self.node.raft.term, self.node.raft.raft_log.persisted);
            self.tell_stored(self.me, term, index, out);
        }
    }

    /// Commits what a majority's words allow. True: there is news for [`Sequencer::drive`].
    pub(super) fn learn(&mut self) -> bool {
        let (raft, term) = (&self.node.raft, self.node.raft.term);
        if raft.state != StateRole::Follower {
            return false;
        }
        let log = &raft.raft_log;
        // Asked at every turn of `drive`, each blue commit's included: mostly there is nothing to learn.
        if log.committed >= log.last_index() {
            return false;
        }
        let stored = |site: &SiteId| match self.words.heard.get(site) {
            _ if *site == self.me => log.persisted,
            Some((in_term, index)) if *in_term == term => *index,
            _ => 0,
        };
        let mut indexes: Vec<u64> = self.members.voters().map(|site| stored(&site)).collect();
        indexes.sort_unstable();
        // As many have at least this much as make a majority.
        let Some(majority) = indexes.get(indexes.len().saturating_sub(1) / 2) else { return false };
        let before_change = match self.changes.first() {
            Some(change) => change - 1,
            None => u64::MAX,
        };
        let index = (*majority).min(log.last_index()).min(before_change);
        if index <= log.committed || !log.term(index).is_ok_and(|of| of == term) {
            return false;
        }
        self.node.raft.raft_log.commit_to(index);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bench, log_entry};
    use super::*;
    use crate::script::Script;
    use crate::wire::RaftMessage;

    fn append(s: &mut Sequencer, from: u16, term: u64, after: (u64, u64), terms: &[u64]) {
        let entries = terms.iter().map(|term| log_entry(*term)).collect();
        let message = RaftMessage::Append { term, index: after.0, log_term: after.1, commit: 0, entries };
        s.receive(0, SiteId(from), message, &mut Vec::new());
    }

    fn word(s: &mut Sequencer, from: u16, term: u64, index: u64) {
        s.stored(0, SiteId(from), Stored { term, index, configuration: 0 }, &mut Vec::new());
    }

    fn sync(s: &mut Sequencer) {
        s.durable(0, s.seal(), &mut Vec::new());
    }

    /// Site 0 of three, with two entries of term 2 from leader 1.
    fn follower(synced: bool) -> Sequencer {
        let mut s = bench(0);
        append(&mut s, 1, 2, (0, 0), &[2, 2]);
        if synced {
            sync(&mut s);
        }
        s
    }

    #[test]
    fn two_of_three_commit_what_both_have() {
        let mut s = follower(true);
        word(&mut s, 2, 2, 1);
        assert_eq!(s.handed, 1);
        // Beyond our own log nothing is known.
        word(&mut s, 1, 2, 7);
        assert_eq!(s.handed, 2);
    }

    #[test]
    fn our_own_word_counts_once_it_is_on_disk_and_nothing_is_handed_out_before() {
        let mut s = follower(false);
        word(&mut s, 2, 2, 2);
        assert_eq!((s.handed, s.node.raft.raft_log.committed), (0, 0));
        word(&mut s, 1, 2, 2);
        assert_eq!((s.handed, s.node.raft.raft_log.committed), (0, 2), "the others are a majority");
        sync(&mut s);
        assert_eq!(s.handed, 2);
    }

    #[test]
    fn words_of_other_terms_and_configurations_do_not_count() {
        let mut s = follower(true);
        word(&mut s, 2, 1, 2);
        word(&mut s, 1, 3, 2);
        let elsewhere = Stored { term: 2, index: 2, configuration: 9 };
        s.stored(0, SiteId(1), elsewhere, &mut Vec::new());
        assert_eq!(s.handed, 0);
    }

    /// Raft's figure 8: copies of an older term's entry do not commit it, whoever has them.
    #[test]
    fn entries_of_an_older_term_wait_for_one_of_the_newest() {
        let mut s = follower(true);
        append(&mut s, 2, 3, (2, 2), &[]);
        sync(&mut s);
        word(&mut s, 1, 3, 2);
        word(&mut s, 2, 3, 2);
        assert_eq!(s.handed, 0);
        append(&mut s, 2, 3, (2, 2), &[3]);
        sync(&mut s);
        assert_eq!(s.handed, 0);
        word(&mut s, 1, 3, 3);
        assert_eq!(s.handed, 3);
    }

    #[test]
    fn a_word_that_cannot_be_is_suspect() {
        let mut s = follower(true);
        for (from, index) in [(0, 1), (7, 1), (1, u64::MAX)] {
            let mut out = Vec::new();
            s.stored(0, SiteId(from), Stored { term: 2, index, configuration: 0 }, &mut out);
            assert!(matches!(&out[..], [Event::Out(Output::Suspect { .. })]), "{out:?}");
        }
        assert_eq!(s.handed, 0);
    }

    #[test]
    fn the_origin_goes_on_though_the_leader_dies_after_its_word() {
        let mut s = Script::new(3);
        s.propose(1, 3_000);
        s.sync(1);
        s.deliver(1, 0);
        s.title("the leader's append and word reach site 1, and nothing ever again");
        s.sync(0);
        s.deliver(0, 1);
        let log = s.crash(0);
        s.sync(1);
        assert_eq!(s.applied(1).red, 1, "{}", s.text);
        s.title("the survivors, and then all, have the same");
        s.pass(4_000);
        assert_eq!(s.applied(2).red, 1, "{}", s.text);
        s.open(0, log);
        s.pass(4_000);
        assert_eq!(s.applied(0).red, 1, "{}", s.text);
    }
}
