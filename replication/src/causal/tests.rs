//! Scripts of causal delivery, and its edges by hand.

use std::cell::RefCell;

use super::*;
use crate::script::Script;
use crate::simulation::site::transaction;
use crate::wire::{Blue, Fetch, FetchReply, PeerMessage};

#[test]
fn effects_wait_for_their_causes() {
    let mut s = Script::new(3);
    s.title("1.1 is committed; its way to site 2 is slow");
    s.commit(1);
    s.sync(1);
    s.deliver(1, 0);
    s.title("site 0 has seen it and commits 0.1");
    s.commit(0);
    s.sync(0);
    s.title("site 2 hears of 0.1 first");
    s.deliver(0, 2);
    assert_eq!(s.applied(2), Frontier::default());
    s.deliver(1, 2);
    s.title("acknowledgements");
    s.chatter = true;
    s.now += 10_000;
    s.settle();
    s.check("causes");
}

#[test]
fn a_third_site_relays_and_the_rest_is_fetched() {
    let mut s = Script::new(3);
    s.title("the link 0-2 swallows everything; 0.1 is lost on it");
    s.cut.insert((0, 2));
    s.commit(0);
    s.settle();
    s.title("after a while both ends go through site 1, and the stream starts again");
    s.pass(1_500);
    assert_eq!(s.applied(2).blue(SiteId(0)), 1);
    s.title("0.2 goes the new way at once");
    s.commit(0);
    s.settle();
    assert_eq!(s.applied(2).blue(SiteId(0)), 2);
    s.title("site 0 commits 0.3, which reaches 1 only, and dies");
    s.cut.insert((1, 2));
    s.commit(0);
    s.settle();
    s.cut.remove(&(1, 2));
    s.crash(0);
    s.title("site 2 fetches it from site 1");
    s.pass(2_000);
    assert_eq!(s.applied(2).blue(SiteId(0)), 3);
    s.check("relay");
}

/// Every transaction that was ever handed out.
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

impl Kept {
    fn keep(&self, out: &[Output]) {
        for output in out {
            if let Output::Log { dot, transaction } = output {
                self.0.borrow_mut().insert(*dot, transaction.clone());
            }
        }
    }
}

fn causal() -> Causal {
    let mut causal = Causal::new(SiteId(0), Timing::default(), Frontier::default(), Frontier::default(), 0);
    let nothing = Frontier::default();
    causal.follow(&crate::simulation::site::first(3), &[], &nothing, &Kept::default(), &mut Vec::new());
    causal
}

fn frontier(blue: &[(u16, u64)], red: u64) -> Frontier {
    let mut f = Frontier::default();
    f.red = red;
    for (site, n) in blue {
        f.set_blue(SiteId(*site), *n);
    }
    f
}

fn blue(origin: u16, first: u64, deps: &[Frontier]) -> Blue {
    let transactions = deps.iter().map(|d| transaction(SiteId(origin), 0, d.clone())).collect();
    Blue { origin: SiteId(origin), first, transactions, awaited: false }
}

#[test]
fn what_waits_is_read_back() {
    // Far more than is kept in memory waits for one red index.
    let (mut c, shelf, n) = (causal(), Kept::default(), 3 * WAITING as u64);
    let mut out = Vec::new();
    for i in 1..=n {
        let deps = frontier(&[(1, i - 1)], u64::from(i == 1));
        c.blue(i, SiteId(1), blue(1, i, &[deps]), &shelf, &mut out).expect("plausible");
        shelf.keep(&out);
    }
    assert_eq!((c.logged().blue(SiteId(1)), c.applied().blue(SiteId(1)), c.waiting()), (n, 0, n));
    assert_eq!(c.held().blue(SiteId(1)), n, "held whatever red it waits for");
    assert!(c.origins[&SiteId(1)].waiting.len() <= WAITING);
    out.clear();
    let void = Arc::new(Entry::Void {
        id: gemini_shadow_ops::EntryId { site: SiteId(1), start: 1, counter: 1 },
        base: 0,
        deps: Frontier::default(),
        reserved: Vec::new(),
    });
    c.ordered(0, 1, void, true, &shelf, &mut out);
    let applied: Vec<u64> = out
        .iter()
        .filter_map(|o| if let Output::Admit { dot, .. } = o { Some(dot.n) } else { None })
        .collect();
    assert_eq!(applied, (1..=n).collect::<Vec<u64>>());
}

#[test]
fn beyond_a_gap_little_is_kept_and_the_gap_is_fetched() {
    let (mut c, shelf) = (causal(), Kept::default());
    let mut out = Vec::new();
    c.route(0, SiteId(1), Some(SiteId(1)), &shelf, &mut out);
    for i in 2..=2 * STASH as u64 {
        c.blue(0, SiteId(1), blue(1, i, &[frontier(&[(1, i - 1)], 0)]), &shelf, &mut out).expect("plausible");
    }
    assert_eq!(c.origins[&SiteId(1)].stash.len(), STASH);
    out.clear();
    c.tick(1, &shelf, &mut out);
    c.tick(200_000, &shelf, &mut out);
    let asked = Fetch::Blue { origin: SiteId(1), from: 1, upto: 1 };
    assert!(out.contains(&Output::Send { to: SiteId(1), message: PeerMessage::Fetch(asked) }), "{out:?}");
    out.clear();
    let reply = FetchReply::Blue(blue(1, 1, &[Frontier::default()]));
    c.answered(200_000, SiteId(1), reply, &shelf, &mut out).expect("plausible");
    assert_eq!(c.applied().blue(SiteId(1)), STASH as u64 + 1, "the gap and what was kept beyond it");
}

#[test]
fn nonsense_is_refused() {
    let (mut c, shelf) = (causal(), Kept::default());
    let mut out = Vec::new();
    let itself = blue(1, 1, &[frontier(&[(1, 1)], 0)]);
    assert!(c.blue(0, SiteId(1), itself, &shelf, &mut out).is_err(), "depends on itself");
    let other = blue(2, 1, &[Frontier::default()]);
    assert!(c.blue(0, SiteId(1), other, &shelf, &mut out).is_err(), "another's stream");
    let mut named = blue(1, 1, &[Frontier::default()]);
    named.transactions = vec![transaction(SiteId(2), 0, Frontier::default())];
    assert!(c.blue(0, SiteId(1), named, &shelf, &mut out).is_err(), "another origin");
    let end = Blue { first: u64::MAX, ..blue(1, 1, &[Frontier::default(), Frontier::default()]) };
    assert!(c.blue(0, SiteId(1), end, &shelf, &mut out).is_err(), "out of range");
    c.answer(SiteId(1), &Fetch::Blue { origin: SiteId(9), from: 0, upto: u64::MAX }, &shelf, &mut out);
    c.answer(SiteId(1), &Fetch::Red { from: u64::MAX, upto: u64::MAX }, &shelf, &mut out);
    assert!(out.iter().all(|o| matches!(o, Output::Send { .. })), "{out:?}");
    let more = Acks { durable: frontier(&[(0, 1)], 0), ..Acks::default() };
    assert!(c.acked(0, SiteId(1), &more, &shelf, &mut out).is_err(), "it has more of ours than we do");
}

#[test]
fn a_window_bounds_what_is_under_way() {
    let (mut c, shelf) = (causal(), Kept::default());
    let mut out = Vec::new();
    for n in 1..=50_000 {
        let t = transaction(SiteId(0), 0, c.applied().clone());
        let dot = Dot { site: SiteId(0), n };
        shelf.0.borrow_mut().insert(dot, t.clone());
        c.committed(dot, &t, &shelf, &mut out);
    }
    let mark = c.seal(0);
    c.synced(0, mark, &shelf, &mut out);
    c.route(0, SiteId(1), Some(SiteId(1)), &shelf, &mut out);
    assert_eq!(sent(&out), 0, "nothing before the peer has said where it is");
    c.acked(0, SiteId(1), &Acks { durable: frontier(&[(0, 10)], 0), ..Acks::default() }, &shelf, &mut out)
        .expect("fits");
    let first = sent(&out);
    assert!((10_000..34_000).contains(&first), "{first}");
    out.clear();
    let acks = Acks { durable: frontier(&[(0, 5_010)], 0), ..Acks::default() };
    c.acked(0, SiteId(1), &acks, &shelf, &mut out).expect("fits");
    assert!((4_000..=6_000).contains(&sent(&out)), "{}", sent(&out));
    out.clear();
    // Nothing acknowledged for long: from what is acknowledged on.
    c.tick(10_000_000, &shelf, &mut out);
    let again = out.iter().find_map(|o| match o {
        Output::Send { message: PeerMessage::Blue(b), .. } => Some(b.first),
        _ => None,
    });
    assert_eq!(again, Some(5_011));
}

fn sent(out: &[Output]) -> usize {
    let of = |o: &Output| match o {
        Output::Send { message: PeerMessage::Blue(b), .. } => b.transactions.len(),
        _ => 0,
    };
    out.iter().map(of).sum()
}

#[test]
fn a_majority_has_what_the_middle_one_has() {
    let (mut c, shelf) = (causal(), Kept::default());
    let mut out = Vec::new();
    for n in 1..=5 {
        let t = transaction(SiteId(0), 0, c.applied().clone());
        c.committed(Dot { site: SiteId(0), n }, &t, &shelf, &mut out);
    }
    let mark = c.seal(0);
    c.synced(0, mark, &shelf, &mut out);
    assert!(!out.iter().any(|o| matches!(o, Output::Replicated { .. })));
    let acks = Acks { durable: frontier(&[(0, 3)], 0), ..Acks::default() };
    c.acked(0, SiteId(2), &acks, &shelf, &mut out).expect("fits");
    assert!(out.contains(&Output::Replicated { n: 3 }));
}

#[test]
fn what_a_client_waits_for_is_acknowledged_at_once() {
    let (mut c, shelf) = (causal(), Kept::default());
    let acknowledgements = |out: &[Output]| {
        let of = |o: &&Output| matches!(o, Output::Send { to: SiteId(1), message: PeerMessage::Acks(_) });
        out.iter().filter(of).count()
    };
    let (mut out, mut seen) = (Vec::new(), Vec::new());
    c.route(0, SiteId(1), Some(SiteId(1)), &shelf, &mut out);
    // Ten transactions, a tenth of a millisecond apart; somebody waits for the sixth and later ones.
    for n in 1..=10 {
        let now = 1_000_000 + n * 100;
        let message = Blue { awaited: n > 5, ..blue(1, n, &[frontier(&[(1, n - 1)], 0)]) };
        out.clear();
        c.blue(now, SiteId(1), message, &shelf, &mut out).expect("plausible");
        shelf.keep(&out);
        assert_eq!(acknowledgements(&out), 0, "not before the fsync");
        out.clear();
        let mark = c.seal(0);
        c.synced(now, mark, &shelf, &mut out);
        seen.push(acknowledgements(&out));
    }
    assert_eq!(seen, [1, 0, 0, 0, 0, 1, 1, 1, 1, 1]);

    // The sender says which.
    out.clear();
    for n in 1..=3 {
        if n == 2 {
            c.awaits(n);
        }
        let t = transaction(SiteId(0), 0, c.applied().clone());
        c.committed(Dot { site: SiteId(0), n }, &t, &shelf, &mut out);
        let mark = c.seal(0);
        c.acked(0, SiteId(1), &Acks::default(), &shelf, &mut out).expect("fits");
        c.synced(0, mark, &shelf, &mut out);
    }
    let said: Vec<(u64, bool)> = out
        .iter()
        .filter_map(|o| match o {
            Output::Send { message: PeerMessage::Blue(b), .. } => Some((b.first, b.awaited)),
            _ => None,
        })
        .collect();
    assert_eq!(said, [(1, false), (2, true), (3, false)]);
}
