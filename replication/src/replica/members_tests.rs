//! Members that come and go, moved by hand.

use gemini_shadow_ops::{Member, MemberChange, SiteId};

use super::Output;
use crate::script::Script;

fn join(site: u16) -> MemberChange {
    let member = Member { name: format!("s{site}"), peer: String::new(), class: u32::from(site) };
    MemberChange::Join { site: SiteId(site), member }
}

fn fence(site: u16) -> MemberChange {
    MemberChange::Fence(SiteId(site))
}

#[test]
fn a_site_joins_catches_up_and_votes() {
    let mut s = Script::new(3);
    s.commit(1);
    s.propose(1, 3_000);
    s.pass(500);
    let new = s.add(3);
    s.change(0, join(new));
    assert!(!s.members(0).votes(SiteId(new)));
    s.connect(new);
    s.pass(4_000);
    assert!(s.members(0).votes(SiteId(new)), "{}", s.text);
    assert_eq!(s.applied(new), s.applied(0));
    // It proposes, and counts: with it, two of four are no majority.
    s.propose(new, 3_000);
    s.commit(new);
    s.pass(1_000);
    assert_eq!(s.applied(0).blue(SiteId(new)), 1, "{}", s.text);
    s.crash(1);
    s.propose(2, 3_000);
    s.pass(2_000);
    let before = s.applied(0).red;
    s.crash(2);
    s.pass(2_000);
    s.at(0, |site, now, out| {
        let entry = crate::simulation::site::entry(site, now);
        assert!(site.replica.propose(now, entry, now + 1_000_000, &site.maps, out).is_err());
    });
    assert_eq!(s.applied(0).red, before);
}

#[test]
fn what_a_dead_site_left_with_anyone_reaches_all_and_nothing_else_does() {
    let mut s = Script::new(3);
    s.commit(2);
    s.settle();
    // The second reaches site 1 only, the third nobody.
    s.cut.insert((0, 2));
    s.commit(2);
    s.settle();
    s.cut.insert((1, 2));
    s.commit(2);
    s.settle();
    let log = s.crash(2);
    s.cut.clear();
    s.change(0, fence(2));
    s.pass(3_000);
    for site in [0, 1] {
        assert_eq!(s.applied(site).blue(SiteId(2)), 2, "{}", s.text);
        assert_eq!(s.members(site).closed()[&SiteId(2)].count, 2);
    }
    s.propose(1, 3_000);
    s.pass(1_000);
    // It comes back, and is told.
    s.text.clear();
    s.open(2, log);
    s.pass(1_000);
    assert!(s.text.contains("2: Removed"), "{}", s.text);
    assert!(!s.text.contains("2: →") || !s.text.contains("Vote"), "{}", s.text);
    for site in [0, 1] {
        assert_eq!(s.applied(site).blue(SiteId(2)), 2);
    }
}

#[test]
fn the_leader_hands_over_before_it_is_removed() {
    let mut s = Script::new(3);
    s.commit(0);
    s.change(1, fence(0));
    s.pass(3_000);
    assert!(s.members(1).closed().contains_key(&SiteId(0)), "{}", s.text);
    assert!(s.text.contains("0: Removed"), "{}", s.text);
    s.propose(2, 3_000);
    s.pass(1_000);
    assert_eq!(s.applied(1), s.applied(2));
    // Two are left; one more goes, and the last one rules alone.
    s.change(1, fence(2));
    s.pass(3_000);
    s.propose(1, 3_000);
    s.pass(1_000);
    assert_eq!(s.members(1).voters().collect::<Vec<_>>(), [SiteId(1)]);
}

#[test]
fn two_sites_dead_at_once_are_closed_together() {
    let mut s = Script::new(5);
    // 4's second transaction depends on 3's, which nobody else has: it dies with it.
    s.commit(4);
    s.settle();
    s.cut.extend([(0, 3), (1, 3), (2, 3)]);
    s.commit(3);
    s.settle();
    s.commit(4);
    s.settle();
    s.crash(3);
    s.crash(4);
    s.cut.clear();
    s.change(0, fence(4));
    s.change(0, fence(3));
    s.pass(9_000);
    for site in 0..3 {
        let applied = s.applied(site);
        assert_eq!((applied.blue(SiteId(3)), applied.blue(SiteId(4))), (0, 1), "{}", s.text);
        assert_eq!(s.members(site).round(), None);
    }
}

#[test]
fn a_live_site_that_is_removed_stops() {
    let mut s = Script::new(3);
    s.change(0, fence(2));
    s.pass(1_000);
    assert!(s.text.contains("2: Removed"), "{}", s.text);
    s.at(2, |site, now, out| {
        let entry = crate::simulation::site::entry(site, now);
        assert!(site.replica.propose(now, entry, now + 1_000_000, &site.maps, out).is_err());
        out.retain(|output| matches!(output, Output::Send { .. }));
        assert!(out.is_empty(), "{out:?}");
    });
}
