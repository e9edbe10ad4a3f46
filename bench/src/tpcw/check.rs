//! What must be true after a run, of every site: pure functions of what the sites hold and what clients were told.
//!
//! 1. Sites with equal frontiers have equal digests (and, whatever the digests say, equal contents).
//! 2. No stock is below zero.
//! 3. Ids are unique: in every table, and no two clients were given the same.
//! 4. Every order has its lines, numbered from 1 without gaps, and its payment; no line or payment is without an order.
//! 5. Stock sold = stock decreased: for each item, stock before + 21 × restocks - copies in new orders = stock now.
//! 6. Totals: total = sub-total + tax + shipping of the copies, and the payment is the total.
//! 7. What was acknowledged is there, everywhere.
//!
//! A restock leaves no row behind: how often an item was restocked is known from the ledger, exactly if no outcome is
//! unknown; if some are, an item's difference must still be a whole number of restocks, and no fewer than acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::buy::{RESTOCK, shipping};
use super::facts::{Digest, Facts, Order};
use super::run::{Ledger, SiteResult};

/// One check and how it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What must be true.
    pub name: &'static str,
    /// What was looked at; or what is wrong, the first few.
    pub verdict: Result<String, Vec<String>>,
}

impl Check {
    /// It held if nothing is wrong; `seen` is then what is told.
    pub fn of(name: &'static str, seen: String, wrong: Vec<String>) -> Check {
        Check { name, verdict: if wrong.is_empty() { Ok(seen) } else { Err(wrong) } }
    }

    /// Whether it held.
    pub fn passed(&self) -> bool {
        self.verdict.is_ok()
    }
}

/// A site after the run.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Site {
    pub name: String,
    pub facts: Facts,
    /// None: the server has no digests.
    pub digest: Option<Digest>,
}

/// SQLSTATEs that a healthy run may end with: a transaction refused too often, an outcome not learned, sites out of
/// reach. Anything else is a mistake, here or in the server.
const EXPECTED: [&str; 6] = ["40001", "40003", "40P01", "57P03", "23505", "23514"];

/// 8. No client met an error that a shop does not expect.
pub fn errors(results: &[SiteResult]) -> Check {
    errors_but(results, &[])
}

/// As [`errors`], where clients may be told these too.
pub fn errors_but(results: &[SiteResult], also: &[&str]) -> Check {
    let mut wrong = Vec::new();
    let expected = |state: &str| EXPECTED.contains(&state) || also.contains(&state);
    for result in results {
        let unexpected = result.errors.iter().filter(|(state, _)| !expected(state));
        wrong
            .extend(unexpected.map(|(state, (n, words))| format!("{}: {n} × {state}: {words}", result.name)));
    }
    let refused: u64 = results.iter().flat_map(|result| result.errors.values().map(|(n, _)| *n)).sum();
    Check::of("no unexpected errors", format!("{refused} transactions given up"), wrong)
}

/// All checks of contents. `before` is what the first site held before the run.
pub fn judge(before: &Facts, sites: &[Site], ledger: &Ledger) -> Vec<Check> {
    vec![
        converged(sites),
        stock_not_negative(sites),
        ids_unique(sites, ledger),
        orders_whole(sites),
        stock_adds_up(before, sites, ledger),
        totals(before, sites),
        acknowledged(sites, ledger),
    ]
}

fn converged(sites: &[Site]) -> Check {
    let mut wrong = Vec::new();
    let Some(first) = sites.first() else { return Check::of("equal contents", "no sites".into(), wrong) };
    for site in &sites[1..] {
        match (&first.digest, &site.digest) {
            (Some(a), Some(b)) if a.frontier != b.frontier => {
                wrong.push(format!("{} is at {}, {} at {}", first.name, a.frontier, site.name, b.frontier));
            }
            (Some(a), Some(b)) if a.digest != b.digest => {
                wrong.push(format!(
                    "at {} the digest of {} is {}, of {} {}",
                    a.frontier, first.name, a.digest, site.name, b.digest
                ));
            }
            _ => {}
        }
        if first.facts != site.facts {
            wrong.push(format!("{} and {} hold different rows", first.name, site.name));
        }
    }
    let seen = match &first.digest {
        Some(digest) => format!("{} at frontier {}, {} sites", digest.digest, digest.frontier, sites.len()),
        None => format!("no digests; rows compared at all {}", sites.len()),
    };
    Check::of("equal digests at equal frontiers", seen, wrong)
}

fn stock_not_negative(sites: &[Site]) -> Check {
    let below = |site: &Site| {
        let name = site.name.clone();
        let low: Vec<_> = site.facts.stock.iter().filter(|(_, stock)| *stock < 0).copied().collect();
        low.into_iter().map(move |(item, stock)| format!("{name}: item {item} has {stock}"))
    };
    let least = sites.iter().flat_map(|site| site.facts.stock.iter().map(|(_, stock)| *stock)).min();
    let seen = least.map_or("no items".to_owned(), |least| format!("the least is {least}"));
    Check::of("no stock below 0", seen, sites.iter().flat_map(below).collect())
}

fn repeated<T: Ord + Copy>(ids: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    ids.into_iter().filter(|id| !seen.insert(*id)).collect()
}

fn ids_unique(sites: &[Site], ledger: &Ledger) -> Check {
    let mut wrong: Vec<String> =
        ledger.twice.iter().map(|what| format!("two clients were given {what}")).collect();
    let mut count = 0;
    for Site { name, facts, .. } in sites {
        let tables: [(&str, Vec<i32>); 6] = [
            ("item", facts.stock.iter().map(|(id, _)| *id).collect()),
            ("orders", facts.orders.iter().map(|(id, _)| *id).collect()),
            ("cc_xacts", facts.payments.iter().map(|(id, _)| *id).collect()),
            ("customer", facts.customers.clone()),
            ("address", facts.addresses.clone()),
            ("shopping_cart", facts.carts.clone()),
        ];
        for (table, ids) in tables {
            count += ids.len();
            wrong.extend(repeated(ids).into_iter().map(|id| format!("{name}: {table} has {id} twice")));
        }
        let twice = repeated(facts.cart_lines.iter().copied());
        wrong.extend(
            twice.into_iter().map(|(cart, item)| format!("{name}: cart {cart} has item {item} twice")),
        );
    }
    Check::of("ids unique", format!("{count} of all sites"), wrong)
}

fn orders_whole(sites: &[Site]) -> Check {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for Site { name, facts, .. } in sites {
        let orders: BTreeSet<i32> = facts.orders.iter().map(|(id, _)| *id).collect();
        let paid: BTreeSet<i32> = facts.payments.iter().map(|(id, _)| *id).collect();
        for order in &orders {
            let numbers: Vec<i32> =
                facts.lines.get(order).into_iter().flatten().map(|line| line.number).collect();
            lines += numbers.len();
            if numbers.is_empty() || !numbers.iter().copied().eq(1..=numbers.len() as i32) {
                wrong.push(format!("{name}: order {order} has the lines {numbers:?}"));
            }
        }
        wrong.extend(orders.difference(&paid).map(|order| format!("{name}: order {order} is not paid")));
        wrong.extend(paid.difference(&orders).map(|order| format!("{name}: a payment of no order {order}")));
        let orphans = facts.lines.keys().filter(|order| !orders.contains(order));
        wrong.extend(orphans.map(|order| format!("{name}: lines of no order {order}")));
    }
    Check::of("every order has its lines and payment", format!("{lines} lines of all sites"), wrong)
}

/// Copies of each item in orders that were not there before.
fn sold(before: &Facts, facts: &Facts) -> BTreeMap<i32, i64> {
    let old: BTreeSet<i32> = before.orders.iter().map(|(id, _)| *id).collect();
    let mut sold = BTreeMap::new();
    for (order, lines) in &facts.lines {
        if !old.contains(order) {
            for line in lines {
                *sold.entry(line.item).or_default() += i64::from(line.copies);
            }
        }
    }
    sold
}

fn stock_adds_up(before: &Facts, sites: &[Site], ledger: &Ledger) -> Check {
    let mut wrong = Vec::new();
    let mut seen = String::new();
    let initial: BTreeMap<i32, i32> = before.stock.iter().copied().collect();
    for Site { name, facts, .. } in sites {
        let sold = sold(before, facts);
        let mut restocked = 0;
        for (item, stock) in &facts.stock {
            let initial = i64::from(initial.get(item).copied().unwrap_or(0));
            let gone = sold.get(item).copied().unwrap_or(0);
            let added = i64::from(*stock) - initial + gone;
            let told = ledger.restocks.get(item).copied().unwrap_or(0) * RESTOCK;
            let fits =
                if ledger.unknown == 0 { added == told } else { added >= told && added % RESTOCK == 0 };
            restocked += added;
            if !fits {
                wrong.push(format!(
                    "{name}: item {item} had {initial}, {gone} were sold, {told} restocked, and it has {stock}"
                ));
            }
        }
        let total: i64 = sold.values().sum();
        seen = format!("{total} copies sold, {restocked} restocked");
    }
    Check::of("stock sold = stock decreased", seen, wrong)
}

fn totals(before: &Facts, sites: &[Site]) -> Check {
    let mut wrong = Vec::new();
    let mut sum = 0;
    let old: BTreeSet<i32> = before.orders.iter().map(|(id, _)| *id).collect();
    for Site { name, facts, .. } in sites {
        let paid: BTreeMap<i32, i64> = facts.payments.iter().map(|(id, amount)| (*id, amount.0)).collect();
        for (id, Order { sub_total, tax, total }) in &facts.orders {
            let copies = facts.lines.get(id).into_iter().flatten().map(|line| i64::from(line.copies)).sum();
            let expected = sub_total.0 + tax.0 + shipping(copies);
            if total.0 != expected {
                wrong.push(format!("{name}: order {id} comes to {expected} cents and its total is {total}"));
            }
            if paid.get(id).is_some_and(|amount| *amount != total.0) {
                wrong.push(format!("{name}: order {id} of {total} was paid with {} cents", paid[id]));
            }
        }
        sum = facts.orders.iter().filter(|(id, _)| !old.contains(id)).map(|(_, order)| order.total.0).sum();
    }
    Check::of("order totals", format!("new orders of {}", crate::values::Cents(sum)), wrong)
}

fn acknowledged(sites: &[Site], ledger: &Ledger) -> Check {
    let mut wrong = Vec::new();
    for Site { name, facts, .. } in sites {
        let orders: BTreeSet<i32> = facts.orders.iter().map(|(id, _)| *id).collect();
        for (order, lines) in &ledger.orders {
            let found = facts.lines.get(order).map_or(0, Vec::len);
            if !orders.contains(order) || found != *lines {
                wrong.push(format!(
                    "{name}: order {order} was acknowledged with {lines} lines, {found} are there"
                ));
            }
        }
        for (what, told, here) in
            [("customer", &ledger.customers, &facts.customers), ("cart", &ledger.carts, &facts.carts)]
        {
            let here: BTreeSet<&i32> = here.iter().collect();
            let lost = told.iter().filter(|id| !here.contains(id));
            wrong.extend(lost.map(|id| format!("{name}: {what} {id} was acknowledged and is not there")));
        }
    }
    let unknown =
        if ledger.unknown > 0 { format!(", {} outcomes unknown", ledger.unknown) } else { String::new() };
    let seen = format!(
        "{} orders, {} customers, {} carts{unknown}",
        ledger.orders.len(),
        ledger.customers.len(),
        ledger.carts.len()
    );
    Check::of("everything acknowledged is there", seen, wrong)
}

#[cfg(test)]
mod tests;
