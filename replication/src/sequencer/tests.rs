//! Scripts of the sequencer's life, the checks at the border, and a peer that says anything at all.

use std::sync::Arc;

use bytes::Bytes;
use gemini_shadow_ops::{Entry, EntryId, Frontier, ShadowTransaction, SiteId};

use super::*;
use crate::script::Script;
use crate::wire::{Acks, Propose, Rejected, Stored};

#[test]
fn a_red_commit() {
    let mut s = Script::new(3);
    s.title("site 1 proposes; site 0 leads");
    s.propose(1, 3_000);
    s.sync(1);
    s.deliver(1, 0);
    s.title("the leader's own sync and one follower make a majority");
    s.sync(0);
    s.deliver(0, 1);
    s.sync(1);
    s.deliver(1, 0);
    s.settle();
    s.check("red_commit");
}

#[test]
fn no_wedge() {
    let mut s = Script::new(3);
    s.title("site 1 commits blue and proposes what depends on it; nothing from 1 reaches 2");
    s.cut.insert((1, 2));
    s.commit(1);
    s.propose(1, 3_000);
    s.sync(1);
    s.deliver(1, 0);
    s.sync(0);
    s.title("site 2 parks the append, and fetches from the leader");
    s.deliver(0, 2);
    s.sync(2);
    let parked = |s: &Script| s.sites[2].as_ref().expect("alive").replica.status(s.now).parked;
    assert_eq!(parked(&s), 1);
    s.pass(400);
    assert_eq!(parked(&s), 0);
    s.title("site 1 dies; the entry is committed all the same");
    s.crash(1);
    s.pass(400);
    assert_eq!(s.applied(2).red, 1);
    s.check("no_wedge");
}

#[test]
fn a_dead_origins_blue_never_blocks_the_order() {
    let mut s = Script::new(3);
    // 1.1 reaches nobody but 1. The proposal that depends on it reaches the leader, which must not propose it.
    s.commit(1);
    s.propose(1, 3_000);
    s.at(1, |site, now, out| {
        let (upto, mark) = (site.log.len(), site.replica.seal());
        site.sync(upto);
        let mut said = Vec::new();
        site.replica.durable(now, mark, &site.maps, &mut said);
        said.retain(|o| !matches!(o, Output::Send { message: PeerMessage::Blue(_), .. }));
        out.extend(said);
    });
    s.deliver(1, 0);
    s.crash(1);
    s.propose(2, 3_000);
    s.pass(1_000);
    assert_eq!((s.applied(0).red, s.applied(2).red), (1, 1), "{}", s.text);
}

#[test]
fn an_unknown_outcome_ends_with_a_void() {
    let mut s = Script::new(3);
    s.title("the proposal is lost on its way, and the deadline passes while site 1 is cut off");
    let id = s.propose(1, 500);
    s.cut.extend([(0, 1), (1, 2)]);
    s.pass(3_000);
    assert!(s.text.contains("Unknown"), "{}", s.text);
    s.title("the network heals");
    s.cut.clear();
    s.pass(3_000);
    assert!(s.text.contains(&format!("apply r1 = void({id})")), "{}", s.text);
    assert_eq!(s.sites[1].as_ref().expect("alive").replica.status(s.now).open, 0);
}

#[test]
fn a_restart_voids_what_was_open() {
    let mut s = Script::new(3);
    let id = s.propose(1, 5_000);
    s.cut.extend([(0, 1), (1, 2)]);
    s.sync(1);
    let log = s.crash(1);
    s.cut.clear();
    s.text.clear();
    s.open(1, log);
    s.pass(2_000);
    s.title("done");
    assert_eq!(s.applied(0).red, 1);
    assert!(s.text.contains(&format!("apply r1 = void({id})")), "{}", s.text);
}

#[test]
fn an_election_and_the_way_back() {
    let mut s = Script::new(3);
    s.title("the leader dies");
    let log = s.crash(0);
    s.pass(4_000);
    s.title("it comes back, and leads again");
    s.open(0, log);
    s.pass(5_000);
    let leader = |id: usize| s.sites[id].as_ref().expect("alive").replica.status(s.now).leader;
    assert_eq!([leader(0), leader(1), leader(2)], [Some(SiteId(0)); 3]);
    s.check("election");
}

#[test]
fn a_site_cut_off_fails_at_once_with_the_cause() {
    let mut s = Script::new(3);
    s.cut.extend([(0, 1), (1, 2)]);
    s.pass(1_000);
    s.at(1, |site, now, out| {
        let entry = crate::simulation::site::entry(site, now);
        let error = site.replica.propose(now, entry, now + 5_000_000, &site.maps, out);
        let unreachable = vec![SiteId(0), SiteId(2)];
        assert_eq!(error, Err(crate::replica::Unavailable { unreachable, majority: false }));
    });
}

/// A sequencer that leads alone in a cluster of three, for messages by hand.
pub(super) fn bench(me: u16) -> Sequencer {
    let seats =
        Seats { me: SiteId(me), members: crate::simulation::site::first(3), preferred: None, start: 1 };
    Sequencer::new(0, seats, Timing::default(), SequencerRecovery::default(), 0)
        .expect("nothing to contradict")
}

fn body(counter: u64, deps: Frontier) -> Blob {
    let id = EntryId { site: SiteId(1), start: 1, counter };
    let transaction: Arc<ShadowTransaction> = crate::simulation::site::transaction(SiteId(1), 0, deps);
    let entry = Entry::Transaction(gemini_shadow_ops::RedTransaction {
        id,
        transaction,
        footprint: Default::default(),
        tables: Vec::new(),
    });
    Blob(Bytes::from(postcard::to_allocvec(&entry).expect("fits")))
}

pub(super) fn log_entry(term: u64) -> LogEntry {
    LogEntry { term, body: body(term, Frontier::default()) }
}

#[test]
fn what_breaks_the_contract_is_refused() {
    let append = |term, index, log_term, commit, terms: &[u64]| RaftMessage::Append {
        term,
        index,
        log_term,
        commit,
        entries: terms.iter().map(|t| log_entry(*t)).collect(),
    };
    let cases = [
        ("no term", append(0, 0, 0, 0, &[])),
        ("term out of range", append(1 << 60, 0, 0, 0, &[])),
        ("index out of range", append(3, u64::MAX, 3, 0, &[])),
        ("commit out of range", append(3, 0, 0, u64::MAX, &[])),
        ("a missing entry of term 0", append(3, 7, 0, 0, &[3])),
        ("a term at index 0", append(3, 0, 2, 0, &[3])),
        ("terms fall", append(3, 0, 0, 0, &[2, 1])),
        ("an entry of a later term", append(3, 0, 0, 0, &[4])),
        ("an entry without a term", append(3, 0, 0, 0, &[0])),
        ("contradicts what is committed", append(3, 0, 0, 0, &[3, 3])),
        ("another leader in our term", append(2, 2, 2, 0, &[2])),
        ("commit beyond the log", RaftMessage::Heartbeat { term: 3, commit: 9 }),
        (
            "hint out of range",
            RaftMessage::AppendReply {
                term: 2,
                index: 0,
                commit: 0,
                rejected: Some(Rejected { hint: u64::MAX, hint_term: 1 }),
            },
        ),
    ];
    for (name, message) in cases {
        let mut s = bench(0);
        let mut out = Vec::new();
        // Two entries of term 2, committed.
        s.receive(0, SiteId(1), append(2, 0, 0, 2, &[2, 2]), &mut out);
        s.durable(0, s.seal(), &mut out);
        assert_eq!(s.handed, 2);
        out.clear();
        s.receive(0, SiteId(2), message, &mut out);
        assert!(matches!(&out[..], [Event::Out(Output::Suspect { .. })]), "{name}: {out:?}");
    }
}

#[test]
fn an_unreadable_entry_is_refused() {
    let mut s = bench(0);
    let mut out = Vec::new();
    let entries = vec![log_entry(2), LogEntry { term: 2, body: Blob(Bytes::from_static(&[250, 250])) }];
    s.receive(
        0,
        SiteId(1),
        RaftMessage::Append { term: 2, index: 0, log_term: 0, commit: 0, entries },
        &mut out,
    );
    assert!(out.iter().any(|e| matches!(e, Event::Out(Output::Suspect { .. }))), "{out:?}");
    assert_eq!(s.node.raft.raft_log.last_index(), 0, "all or nothing of a bad append");
}

#[test]
fn votes_that_were_not_asked_for_do_not_make_a_leader() {
    let mut s = bench(0);
    let mut out = Vec::new();
    let yes = |pre, term| RaftMessage::VoteReply { pre, term, granted: true, commit: 0, commit_term: 0 };
    let reachable: BTreeSet<SiteId> = [SiteId(1), SiteId(2)].into();
    s.reach(0, reachable, &[], &mut out);
    s.tick(200_000, &mut out);
    s.receive(0, SiteId(1), yes(true, 1), &mut out);
    // It campaigns now, but its own vote is not on disk and nobody has been asked.
    s.receive(0, SiteId(1), yes(false, 1), &mut out);
    assert!(!s.leads());
    s.durable(0, s.seal(), &mut out);
    s.receive(0, SiteId(1), yes(false, 1), &mut out);
    assert!(s.leads());
}

#[test]
fn a_stamp_too_far_ahead_is_refused_by_the_leader() {
    let mut s = Script::new(1);
    s.at(0, |site, now, out| {
        let future = crate::simulation::site::transaction(SiteId(0), now + 10_000_000, Frontier::default());
        let Entry::Transaction(mut t) = Entry::clone(&crate::simulation::site::entry(site, now)) else {
            return;
        };
        t.transaction = future;
        site.replica
            .propose(now, Arc::new(Entry::Transaction(t)), now + 400_000, &site.maps, out)
            .expect("a majority");
    });
    s.pass(600);
    assert!(s.text.contains("never sent") || s.text.contains("Unavailable"), "{}", s.text);
    assert_eq!(s.applied(0).red, 0);
}

/// A peer that says anything: nothing it says may panic.
#[test]
fn a_peer_may_say_anything() {
    for seed in 0..300u64 {
        let mut random = Random(seed);
        let mut s = bench(random.below(3) as u16);
        let me = s.me;
        let (mut now, mut out) = (0, Vec::new());
        s.reach(0, (0..3).map(SiteId).filter(|p| *p != me).collect(), &[], &mut out);
        for _ in 0..400 {
            let from = SiteId(random.below(4) as u16);
            match random.below(9) {
                0 => {
                    now += 50_000 + random.below(400_000);
                    s.tick(now, &mut out);
                }
                1 => s.durable(now, s.seal(), &mut out),
                2 => {
                    let mut held = Frontier::default();
                    held.set_blue(SiteId(1), random.below(4));
                    s.held(now, &held, &mut out);
                }
                3 => {
                    let body = body(random.below(5), Frontier::default());
                    let entry = decode(&body.0).expect("an entry");
                    s.proposed(now, from, Propose { entry }.entry, &mut out);
                }
                4 => {
                    s.applied(s.handed);
                    let everywhere = Acks { ordered: random.below(4), ..Acks::default() };
                    _ = s.compact(&everywhere, s.handed, random.below(4));
                }
                5 => {
                    let (term, index) =
                        (random.near(s.node.raft.term), random.near(s.node.raft.raft_log.last_index()));
                    s.stored(now, from, Stored { term, index, configuration: 0 }, &mut out);
                }
                _ => s.receive(now, from, anything(&mut random, &s), &mut out),
            }
            if s.wants_bodies() {
                s.load(now, &|_| None, &mut out);
            }
            out.clear();
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// Mostly near what is so, now and then anywhere.
    fn near(&mut self, value: u64) -> u64 {
        match self.below(20) {
            0 => 0,
            1 => u64::MAX - self.below(3),
            2 => self.below(1 << 30) << 20,
            _ => value.saturating_add(self.below(5)).saturating_sub(2),
        }
    }
}

fn anything(random: &mut Random, s: &Sequencer) -> RaftMessage {
    let (raft, log) = (&s.node.raft, &s.node.raft.raft_log);
    let term = random.near(raft.term);
    let (index, commit) = (random.near(log.last_index()), random.near(log.committed));
    // Mostly the truth about our own log, so that much of it is taken.
    let true_term = log.term(index).unwrap_or(0);
    let log_term = if random.below(4) == 0 { random.near(term) } else { true_term };
    match random.below(8) {
        0..=2 => {
            let entries = (0..random.below(4))
                .map(|_| {
                    let mut deps = Frontier::default();
                    deps.set_blue(SiteId(1), random.below(4));
                    let term = if random.below(6) == 0 { random.near(term) } else { term };
                    let body = match random.below(8) {
                        0 => Blob(Bytes::from_static(&[9, 9, 9])),
                        1 => Blob::default(),
                        _ => body(random.below(50), deps),
                    };
                    LogEntry { term, body }
                })
                .collect();
            RaftMessage::Append { term, index, log_term, commit, entries }
        }
        3 => {
            let rejected = (random.below(2) == 0)
                .then(|| Rejected { hint: random.near(log.last_index()), hint_term: random.near(term) });
            RaftMessage::AppendReply { term, index, commit, rejected }
        }
        4 => RaftMessage::Vote {
            pre: random.below(2) == 0,
            term,
            index,
            log_term,
            commit,
            commit_term: random.near(term),
            transfer: random.below(2) == 0,
        },
        5 => RaftMessage::VoteReply {
            pre: random.below(2) == 0,
            term: if random.below(2) == 0 { raft.term + 1 } else { term },
            granted: random.below(4) > 0,
            commit,
            commit_term: random.near(term),
        },
        6 if random.below(2) == 0 => RaftMessage::HeartbeatReply { term, commit },
        6 => RaftMessage::TimeoutNow { term },
        7 if random.below(2) == 0 => RaftMessage::Base {
            term,
            index: random.near(log.last_index()),
            log_term: random.near(term),
            r: random.below(4),
        },
        _ => RaftMessage::Heartbeat { term, commit },
    }
}

#[test]
fn records_contradict_or_they_are_taken() {
    let entries = |first, terms: &[u64]| {
        Record::Entries { first, entries: terms.iter().map(|t| log_entry(*t)).collect() }.encode()
    };
    let mut r = SequencerRecovery::default();
    r.record(&entries(1, &[1, 1, 2])).expect("follows");
    assert!(r.record(&[77]).is_err(), "not a record");
    let bad = Record::Entries {
        first: 4,
        entries: vec![LogEntry { term: 2, body: Blob(Bytes::from_static(&[99])) }],
    };
    assert!(r.record(&bad.encode()).is_err(), "not an entry");
    let seats =
        || Seats { me: SiteId(0), members: crate::simulation::site::first(1), preferred: None, start: 1 };
    let open = |r| Sequencer::new(0, seats(), Timing::default(), r, 0);
    let mut gap = SequencerRecovery::default();
    gap.record(&entries(5, &[2])).expect("may be superseded");
    assert!(open(gap).is_err(), "a gap");
    r.record(&Record::Hard(Hard { term: 2, vote: 1, commit: 9 }).encode()).expect("a state");
    assert!(open(r).is_err(), "commit beyond the log");
}

#[test]
fn bodies_come_back_from_the_engine() {
    // A leader alone of three sites commits 20 entries with one follower, drops their bodies, and brings the other up.
    let mut s = Script::new(3);
    s.cut.extend([(0, 2), (1, 2)]);
    for _ in 0..40 {
        s.propose(0, 3_000);
        s.pass(60);
    }
    for id in [0, 1] {
        s.at(id, |site, _, _| {
            let whole = site.replica.compact(0);
            let mut again = SequencerRecovery::default();
            again.record(&whole).expect("our own record");
            site.log.push(crate::simulation::site::Record::Sequencer(whole));
        });
    }
    s.cut.clear();
    s.pass(4_000);
    assert_eq!([s.applied(0).red, s.applied(2).red], [40, 40]);
}
