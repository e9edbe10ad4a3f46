//! The members as a pure function of the order: rules one by one, and a small world tried exhaustively.

use std::collections::BTreeMap;

use gemini_shadow_ops::members::{MOST, reconfigures};
use gemini_shadow_ops::{
    Entry, EntryId, Footprint, Frontier, Hlc, Member, MemberChange, MemberEntry, Members, RedTransaction,
    Refusal, Ruling, ShadowTransaction, SiteId, Stamp,
};

fn member(n: u16) -> Member {
    Member { name: format!("s{n}"), peer: format!("10.0.0.{n}:1"), class: u32::from(n) }
}

fn first(sites: u16) -> Members {
    Members::first((1..=sites).map(|n| (SiteId(n), member(n))).collect())
}

fn by(site: u16, change: MemberChange) -> Entry {
    Entry::Member(MemberEntry { change, id: EntryId { site: SiteId(site), start: 1, counter: 1 } })
}

fn join(site: u16) -> MemberChange {
    MemberChange::Join { site: SiteId(site), member: member(site) }
}

fn fence(site: u16) -> MemberChange {
    MemberChange::Fence(SiteId(site))
}

fn counts(of: &[(u16, u64)]) -> Frontier {
    let mut frontier = Frontier::default();
    of.iter().for_each(|(site, n)| frontier.set_blue(SiteId(*site), *n));
    frontier
}

fn report(round: u64, held: &[(u16, u64)]) -> MemberChange {
    MemberChange::Report { round, held: counts(held) }
}

fn transaction(site: u16, deps: &[(u16, u64)]) -> Entry {
    let stamp = Stamp { hlc: Hlc::default(), site: SiteId(site) };
    let transaction = ShadowTransaction {
        origin: SiteId(site),
        statements: vec![Frontier::default()],
        deps: counts(deps),
        stamp,
        schema_version: 0,
        ops: vec![],
    };
    Entry::Transaction(RedTransaction {
        id: EntryId { site: SiteId(site), start: 1, counter: 2 },
        transaction: transaction.into(),
        footprint: Footprint::default(),
        tables: vec![],
    })
}

/// Orders the next entry.
fn order(members: &mut Members, entry: &Entry) -> Ruling {
    members.decide(members.last() + 1, entry)
}

fn stands(members: &mut Members, entry: &Entry) {
    assert_eq!(order(members, entry), Ruling::Stands, "{entry}");
}

fn void(members: &mut Members, entry: &Entry) {
    assert_eq!(order(members, entry), Ruling::Void, "{entry}");
}

fn close(members: &Members) -> Entry {
    by(1, members.closing().expect("all have reported"))
}

#[test]
fn a_site_joins_as_a_learner_and_votes_later() {
    let mut members = first(3);
    void(&mut members, &transaction(4, &[]));
    stands(&mut members, &by(2, join(4)));
    assert!(members.contains(SiteId(4)) && !members.votes(SiteId(4)));
    assert_eq!(members.configuration(), 2);
    void(&mut members, &by(2, join(4)));
    stands(&mut members, &transaction(4, &[]));
    stands(&mut members, &by(4, MemberChange::Voter(SiteId(4))));
    void(&mut members, &by(4, MemberChange::Voter(SiteId(4))));
    assert_eq!(members.voters().count(), 4);
    assert_eq!(members.configuration(), 5);
}

#[test]
fn ids_names_and_classes_are_never_used_again() {
    let mut members = first(3);
    stands(&mut members, &by(1, fence(3)));
    let round = members.last();
    stands(&mut members, &by(1, report(round, &[])));
    stands(&mut members, &by(2, report(round, &[])));
    let last = close(&members);
    stands(&mut members, &last);
    void(&mut members, &by(1, join(3)));
    for taken in [Member { name: "s3".into(), ..member(9) }, Member { class: 3, ..member(9) }] {
        void(&mut members, &by(1, MemberChange::Join { site: SiteId(9), member: taken }));
    }
    stands(&mut members, &by(1, join(9)));
}

#[test]
fn seven_are_the_most_and_one_voter_the_least() {
    let mut members = first(MOST as u16);
    void(&mut members, &by(1, join(20)));
    let mut members = first(1);
    void(&mut members, &by(1, fence(1)));
    stands(&mut members, &by(1, join(2)));
    void(&mut members, &by(1, fence(1)));
    stands(&mut members, &by(2, MemberChange::Voter(SiteId(2))));
    stands(&mut members, &by(1, fence(1)));
}

#[test]
fn the_example_of_the_essay() {
    let mut members = first(3);
    stands(&mut members, &by(1, fence(3)));
    let round = members.last();
    void(&mut members, &transaction(3, &[]));
    void(&mut members, &by(3, report(round, &[(3, 9)])));
    void(&mut members, &by(1, join(4)));
    stands(&mut members, &by(2, report(round, &[(3, 7)])));
    assert_eq!(members.may_apply(SiteId(3)), Some(7));
    assert_eq!(members.closing(), None);
    let refused = Ruling::Refused(Refusal::Removed { site: SiteId(3) });
    assert_eq!(order(&mut members, &transaction(2, &[(3, 8)])), refused);
    stands(&mut members, &by(1, report(round, &[(3, 8)])));
    assert_eq!(members.may_apply(SiteId(3)), Some(8));
    let early = MemberChange::Close { round, counts: counts(&[(3, 7)]), heir: SiteId(1) };
    void(&mut members, &by(1, early));
    let last = close(&members);
    assert_eq!(last.deps(), Some(&counts(&[(3, 8)])));
    stands(&mut members, &last);
    void(&mut members, &last);
    assert!(members.is_void(SiteId(3), 9) && !members.is_void(SiteId(3), 8));
    assert_eq!(order(&mut members, &transaction(1, &[(3, 9)])), refused);
    stands(&mut members, &transaction(1, &[(3, 8)]));
    assert_eq!(members.closed()[&SiteId(3)].heir, SiteId(1));
}

#[test]
fn what_an_entry_in_between_depends_on_is_not_lost() {
    let mut members = first(3);
    stands(&mut members, &by(1, fence(3)));
    let round = members.last();
    stands(&mut members, &transaction(2, &[(3, 9)]));
    stands(&mut members, &by(1, report(round, &[(3, 7)])));
    stands(&mut members, &by(2, report(round, &[(3, 8)])));
    assert_eq!(close(&members).deps(), Some(&counts(&[(3, 9)])));
}

#[test]
fn a_second_fence_asks_everybody_again() {
    let mut members = first(4);
    stands(&mut members, &by(1, fence(4)));
    let round = members.last();
    for n in 1..=3 {
        stands(&mut members, &by(n, report(round, &[(4, u64::from(n))])));
    }
    let stale = close(&members);
    stands(&mut members, &by(1, fence(3)));
    void(&mut members, &stale);
    void(&mut members, &by(1, report(round, &[(4, 1)])));
    assert_eq!(members.may_apply(SiteId(4)), Some(0), "what 3 reported went with it");
    let round = members.last() - 2;
    stands(&mut members, &by(1, report(round, &[(4, 3), (3, 1)])));
    stands(&mut members, &by(2, report(round, &[(4, 2)])));
    let last = close(&members);
    stands(&mut members, &last);
    assert_eq!(members.closed()[&SiteId(4)].count, 3);
    assert_eq!(members.round(), None);
}

#[test]
fn rights_go_to_who_is_there() {
    let mut members = first(3);
    for gone in [3, 1] {
        stands(&mut members, &by(2, fence(gone)));
        let round = members.last();
        let remaining: Vec<SiteId> = members.current().keys().copied().collect();
        for site in remaining {
            stands(&mut members, &by(site.0, report(round, &[])));
        }
        let last = by(2, members.closing().expect("all have reported"));
        stands(&mut members, &last);
    }
    let heirs: BTreeMap<u16, u16> = members.closed().iter().map(|(site, c)| (site.0, c.heir.0)).collect();
    assert_eq!(heirs, BTreeMap::from([(1, 2), (3, 2)]));
}

#[test]
fn an_entry_shows_by_its_first_bytes_whether_it_changes_who_votes() {
    let bytes = |change| postcard::to_stdvec(&by(1, change)).expect("plain data");
    for change in [join(4), MemberChange::Voter(SiteId(4)), fence(2)] {
        assert!(reconfigures(&bytes(change)));
    }
    let closing = MemberChange::Close { round: 1, counts: counts(&[]), heir: SiteId(1) };
    for change in [report(1, &[]), closing] {
        assert!(!reconfigures(&bytes(change)));
    }
    let other = [
        transaction(1, &[]),
        Entry::Void {
            id: EntryId { site: SiteId(2), start: 1, counter: 1 },
            base: 0,
            deps: Frontier::default(),
            reserved: vec![],
        },
    ];
    assert!(other.iter().all(|e| !reconfigures(&postcard::to_stdvec(e).expect("plain data"))));
}
