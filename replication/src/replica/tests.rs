//! First words on a link: who is let in, and who stops.

use std::cell::RefCell;
use std::sync::Arc;

use gemini_shadow_ops::TxnId;

use super::*;
use crate::simulation::site::transaction;
use crate::wire::{Acks, Hello, Tail, transaction_hash};

const NOW: u64 = 1_000_000_000_000;

#[derive(Default)]
struct Kept(RefCell<BTreeMap<Dot, Arc<ShadowTransaction>>>);

impl Shelf for Kept {
    fn blue(&self, dot: Dot) -> Option<Arc<ShadowTransaction>> {
        self.0.borrow().get(&dot).cloned()
    }
    fn red(&self, _: u64) -> Option<Arc<Entry>> {
        None
    }
}

fn dot(site: u16, n: u64) -> Dot {
    Dot { site: SiteId(site), n }
}

/// Site 0 of three, with 0.1, 0.2 and 1.1 on its disk.
fn site() -> (Replica, Kept) {
    let kept = Kept::default();
    let mut applied = Frontier::default();
    for d in [dot(0, 1), dot(0, 2), dot(1, 1)] {
        kept.0.borrow_mut().insert(d, transaction(d.site, d.n, Frontier::default()));
        applied.add(TxnId::Blue(d));
    }
    let options = crate::simulation::site::options(SiteId(0), 3, 1);
    let incarnations = BTreeMap::from([(SiteId(1), 1001)]);
    let recovered = Recovered {
        logged: applied.clone(),
        applied,
        incarnations,
        members: crate::simulation::site::first(3),
        ..Recovered::default()
    };
    let mut replica = Replica::new(NOW, options, recovered).expect("sound");
    replica.start(NOW, &kept, &mut Vec::new());
    (replica, kept)
}

/// What site 1 says when all is well.
fn hello(kept: &Kept) -> Hello {
    let hash = |d: Dot| kept.blue(d).map_or(0, |t| transaction_hash(&t));
    let mut durable = Frontier::default();
    durable.add(TxnId::Blue(dot(0, 2)));
    durable.add(TxnId::Blue(dot(1, 1)));
    Hello {
        cluster: 77,
        protocol: crate::wire::PROTOCOL,
        site: SiteId(1),
        incarnation: 1001,
        schema_version: 0,
        genesis: crate::simulation::site::first(3).genesis(),
        heard: false,
        own: Tail { count: 1, hash: hash(dot(1, 1)) },
        yours: Tail { count: 2, hash: hash(dot(0, 2)) },
        acks: Acks { durable, ..Acks::default() },
        clock: crate::wire::Reading { epoch: 0, hlc: Hlc { micros: NOW, count: 0 } },
    }
}

fn says(change: impl FnOnce(&mut Hello)) -> Vec<Output> {
    let (mut replica, kept) = site();
    let mut hello = hello(&kept);
    change(&mut hello);
    let mut out = Vec::new();
    replica.connected(NOW, SiteId(1), &kept, &mut out);
    out.clear();
    replica.receive(NOW, SiteId(1), PeerMessage::Hello(hello), &kept, &mut out);
    out
}

#[test]
fn a_peer_of_ours_is_let_in_and_answered() {
    let out = says(|_| {});
    assert!(matches!(&out[0], Output::Send { message: PeerMessage::Hello(h), .. } if h.heard), "{out:?}");
    assert!(!out.iter().any(|o| matches!(o, Output::Disconnect { .. } | Output::Halt { .. })), "{out:?}");
}

#[test]
fn strangers_are_turned_away() {
    type Change = fn(&mut Hello);
    let cases: [(&str, Change); 6] = [
        ("cluster", |h| h.cluster = 78),
        ("protocol", |h| h.protocol += 1),
        ("site", |h| h.site = SiteId(2)),
        ("data directory", |h| h.incarnation = 5),
        ("clock", |h| h.clock.hlc.micros += 10_000_000),
        ("epoch", |h| h.clock.epoch = 1),
    ];
    for (word, change) in cases {
        let out = says(change);
        let turned = |o: &Output| matches!(o, Output::Disconnect { reason, .. } if reason.contains(word));
        assert!(out.iter().any(turned), "{word}: {out:?}");
    }
}

#[test]
fn an_old_copy_of_itself_stops_committing() {
    let more = says(|h| h.yours.count = 3);
    assert!(
        matches!(&more[..], [Output::Halt { reason }] if reason.contains("has 3 instead of 2")),
        "{more:?}"
    );
    let other = says(|h| h.yours.hash ^= 8);
    assert!(matches!(&other[..], [Output::Halt { reason }] if reason.contains("another")), "{other:?}");
    let acks = says(|h| h.acks.durable.add(TxnId::Blue(dot(0, 9))));
    assert!(acks.iter().any(|o| matches!(o, Output::Halt { .. })), "{acks:?}");
}

#[test]
fn a_peer_with_other_transactions_of_its_own_is_turned_away() {
    let out = says(|h| h.own.hash ^= 8);
    assert!(matches!(&out[..], [Output::Disconnect { .. }, ..]), "{out:?}");
    // Fewer may be a Hello that was overtaken by what it announces.
    let fewer = says(|h| h.own = Tail::default());
    assert!(!fewer.iter().any(|o| matches!(o, Output::Disconnect { .. })), "{fewer:?}");
}

#[test]
fn nothing_is_believed_before_the_hello() {
    let (mut replica, kept) = site();
    let mut out = Vec::new();
    replica.connected(NOW, SiteId(1), &kept, &mut out);
    out.clear();
    let mut acks = Acks::default();
    acks.durable.add(TxnId::Blue(dot(0, 9)));
    replica.receive(NOW, SiteId(1), PeerMessage::Acks(acks), &kept, &mut out);
    assert_eq!(out, []);
    // Said again when it is not answered.
    replica.tick(NOW + 2_000_000, &kept, &mut out);
    assert!(out.iter().any(|o| matches!(o, Output::Send { message: PeerMessage::Hello(_), .. })), "{out:?}");
}

#[test]
fn options_that_cannot_be_are_refused() {
    let with = |change: fn(&mut Options, &mut Recovered)| {
        let mut options = crate::simulation::site::options(SiteId(0), 3, 1);
        let mut recovered = Recovered { members: crate::simulation::site::first(3), ..Recovered::default() };
        change(&mut options, &mut recovered);
        Replica::new(NOW, options, recovered).err()
    };
    assert_eq!(with(|_, _| {}), None);
    assert_eq!(with(|o, _| o.me = SiteId(7)), None, "it may join");
    assert!(with(|o, _| o.me = SiteId(u16::MAX)).is_some());
    assert!(with(|_, r| r.applied.red = 1).is_some(), "the members of another moment");
}

#[test]
fn other_first_members_are_another_cluster() {
    let out = says(|hello| hello.genesis += 1);
    assert!(matches!(&out[..], [Output::Disconnect { .. }]), "{out:?}");
}

#[test]
fn a_minority_shares_the_red_it_has() {
    // r1 is ordered and reaches all but site 4. Then 3 and 4 are cut off together: no leader will ever tell 4 of r1 there.
    let mut s = crate::script::Script::new(5);
    let with_4: Vec<(u16, u16)> = (0..4).map(|site| (site, 4)).collect();
    s.cut.extend(with_4.iter().copied());
    s.propose(0, 3_000);
    s.pass(400);
    assert_eq!([s.applied(3).red, s.applied(4).red], [1, 0]);
    s.cut.extend((0..3).map(|site| (site, 3)));
    s.cut.remove(&(3, 4));
    // What site 3 commits now depends on r1.
    s.commit(3);
    s.pass(4_000);
    assert_eq!(s.applied(4).red, 1, "{}", s.text);
    assert_eq!(s.applied(4).blue(SiteId(3)), 1);
    // The sequencer's own log brings r1 once more when all is well: it is known already.
    s.cut.clear();
    s.pass(3_000);
    s.propose(4, 3_000);
    s.pass(4_000);
    assert_eq!([s.applied(0).red, s.applied(4).red], [2, 2]);
}
