use super::*;
use crate::tpcw::facts::Line;
use crate::values::Cents;

fn order(copies: i64) -> Order {
    Order { sub_total: Cents(1_000), tax: Cents(83), total: Cents(1_083 + shipping(copies)) }
}

fn line(number: i32, item: i32, copies: i32) -> Line {
    Line { number, item, copies }
}

fn before() -> Facts {
    Facts {
        stock: vec![(1, 20), (2, 11)],
        orders: vec![(1, order(7))],
        lines: BTreeMap::from([(1, vec![line(1, 1, 7)])]),
        payments: vec![(1, order(7).total)],
        customers: vec![1],
        addresses: vec![1],
        ..Facts::default()
    }
}

/// Order 33 sold 3 of item 1 and 4 of item 2, which was restocked.
fn after() -> (Vec<Site>, Ledger) {
    let mut facts = before();
    facts.stock = vec![(1, 17), (2, 11 - 4 + 21)];
    facts.orders.push((33, order(7)));
    facts.lines.insert(33, vec![line(1, 1, 3), line(2, 2, 4)]);
    facts.payments.push((33, order(7).total));
    facts.customers.push(34);
    facts.carts.push(1);
    let digest = Some(Digest { frontier: "(1:2; 3)".into(), digest: "aa".into() });
    let site = |name: &str| Site { name: name.into(), facts: facts.clone(), digest: digest.clone() };
    let ledger = Ledger {
        orders: BTreeMap::from([(33, 2)]),
        restocks: BTreeMap::from([(2, 1)]),
        customers: vec![34],
        carts: vec![1],
        ..Ledger::default()
    };
    (vec![site("a"), site("b")], ledger)
}

/// The names of the checks that fail after `damage`.
fn failing(damage: impl FnOnce(&mut Vec<Site>, &mut Ledger)) -> Vec<&'static str> {
    let (mut sites, mut ledger) = after();
    damage(&mut sites, &mut ledger);
    judge(&before(), &sites, &ledger).iter().filter(|check| !check.passed()).map(|check| check.name).collect()
}

fn both(sites: &mut [Site], damage: impl Fn(&mut Facts)) {
    sites.iter_mut().for_each(|site| damage(&mut site.facts));
}

#[test]
fn unexpected_errors_fail() {
    let result = |state: &str| SiteResult {
        errors: BTreeMap::from([(state.to_owned(), (3, "words".to_owned()))]),
        ..SiteResult::default()
    };
    assert!(errors(&[result("40001"), SiteResult::default()]).passed());
    assert!(!errors(&[result("40001"), result("0A000")]).passed());
    assert!(!errors(&[result("connection")]).passed());
}

#[test]
fn good_data_pass() {
    assert_eq!(failing(|_, _| {}), [""; 0]);
}

#[test]
fn sites_that_differ_fail() {
    const NAME: &str = "equal digests at equal frontiers";
    assert_eq!(failing(|sites, _| sites[1].digest.as_mut().unwrap().digest = "ab".into()), [NAME]);
    assert_eq!(failing(|sites, _| sites[1].digest.as_mut().unwrap().frontier = "(1:1; 3)".into()), [NAME]);
    assert_eq!(failing(|sites, _| sites[1].facts.addresses.push(99)), [NAME]);
}

#[test]
fn negative_stock_fails() {
    let failed = failing(|sites, _| both(sites, |facts| facts.stock[0].1 = -1));
    assert_eq!(failed, ["no stock below 0", "stock sold = stock decreased"]);
}

#[test]
fn an_id_used_twice_fails() {
    assert_eq!(failing(|sites, _| both(sites, |facts| facts.customers.push(34))), ["ids unique"]);
    assert_eq!(failing(|_, ledger| ledger.twice.push("order 33".into())), ["ids unique"]);
    assert_eq!(
        failing(|sites, _| both(sites, |facts| facts.cart_lines = vec![(1, 2), (1, 2)])),
        ["ids unique"]
    );
}

#[test]
fn an_order_that_is_not_whole_fails() {
    let lost = failing(|sites, _| {
        both(sites, |facts| {
            facts.lines.get_mut(&33).unwrap().remove(0);
        });
    });
    let expected = [
        "every order has its lines and payment",
        "stock sold = stock decreased",
        "order totals",
        "everything acknowledged is there",
    ];
    assert_eq!(lost, expected);
    let unpaid = failing(|sites, _| {
        both(sites, |facts| {
            facts.payments.pop();
        });
    });
    assert_eq!(unpaid, ["every order has its lines and payment"]);
    let orphan = failing(|sites, _| {
        both(sites, |facts| {
            facts.lines.insert(50, vec![line(1, 1, 0)]);
        });
    });
    assert_eq!(orphan, ["every order has its lines and payment"]);
}

#[test]
fn stock_that_was_lost_or_found_fails() {
    const NAME: &str = "stock sold = stock decreased";
    // An update was lost: item 1 still has what it had.
    assert_eq!(failing(|sites, _| both(sites, |facts| facts.stock[0].1 = 20)), [NAME]);
    // A restock nobody made, and one that was made and is not there.
    assert_eq!(failing(|sites, _| both(sites, |facts| facts.stock[0].1 += 21)), [NAME]);
    assert_eq!(failing(|sites, _| both(sites, |facts| facts.stock[1].1 -= 21)), [NAME]);
}

#[test]
fn unknown_outcomes_leave_room_for_whole_restocks_only() {
    let unknown = |by: i32| {
        failing(move |sites, ledger| {
            ledger.unknown = 1;
            both(sites, |facts| facts.stock[0].1 += by);
        })
    };
    assert_eq!(unknown(21), [""; 0]);
    assert_eq!(unknown(20), ["stock sold = stock decreased"]);
    assert_eq!(unknown(-21), ["no stock below 0", "stock sold = stock decreased"]);
}

#[test]
fn totals_that_do_not_add_up_fail() {
    let failed = failing(|sites, _| both(sites, |facts| facts.orders[1].1.total.0 += 1));
    assert_eq!(failed, ["order totals"]);
    let failed = failing(|sites, _| both(sites, |facts| facts.payments[1].1.0 += 1));
    assert_eq!(failed, ["order totals"]);
}

#[test]
fn something_acknowledged_that_is_gone_fails() {
    const NAME: &str = "everything acknowledged is there";
    assert_eq!(failing(|_, ledger| _ = ledger.orders.insert(65, 1)), [NAME]);
    assert_eq!(failing(|_, ledger| ledger.customers.push(66)), [NAME]);
    assert_eq!(failing(|_, ledger| ledger.carts.push(66)), [NAME]);
}
