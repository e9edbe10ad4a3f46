//! Who asks whom for how many rights, and how many are given: the policy of DESIGN §6, as pure functions.
//!
//! Any policy is safe: a gift only moves rights, and a giver gives what it has. This one is meant to make sites wait rarely:
//!
//! 1. *Short*: a site that lacks rights for a spend asks those whom it believes to have them, the richest first, each for
//!    as much as it may have, until the shortage is covered ([`ask`]). What it believes is its own copy of the row; it may be stale, so
//!    whoever has less gives what it can, and the site asks again with what it knows then.
//! 2. *Low*: a site whose rights have sunk to where the next spends may not be covered asks the richest site before it is
//!    short ([`hope`]): up to a fair share, that is the slack divided by the number of sites.
//! 3. *Shared out*: a row's creator that has everything gives those who have nothing a fair share ([`spread`]), for rows that were
//!    there before their column counted. (What is created later is divided as it is created.)
//! 4. A giver that is short itself gives only its surplus. What is needed is given whole, what is hoped for only out of half
//!    of the surplus ([`grant`]): so two sites never hand the same rights to and fro.

use gemini_shadow_ops::classify::sign;
use gemini_shadow_ops::rights::whole;
use gemini_shadow_ops::value::arith;
use gemini_shadow_ops::{DataType, SiteId, Value};

/// Whom to ask, and for how much each, so that together they cover what is lacking; fewer if they have not that much. `holders`: what
/// others are believed to have.
pub fn ask(ty: &DataType, holders: &[(SiteId, Value)], lacking: &Value) -> Vec<(SiteId, Value)> {
    let mut richest: Vec<&(SiteId, Value)> = holders.iter().filter(|(_, has)| positive(has)).collect();
    richest.sort_by(|a, b| b.1.canonical(&a.1).then(a.0.cmp(&b.0)));
    let mut left = lacking.clone();
    let mut asked = Vec::new();
    for (site, has) in richest {
        if !positive(&left) {
            break;
        }
        let part = least(has, &left);
        left = arith::sub(ty, &left, &part);
        asked.push((*site, part));
    }
    asked
}

/// How many rights a site that has spent `last` and has `own` left would like to have more; zero if it is not low. `slack`: of the
/// bound, divided among so many `sites`.
pub fn hope(own: &Value, last: &Value, slack: &Value, sites: usize) -> i128 {
    let (own, last) = (whole(own), whole(last));
    let fair = whole(slack) / (sites.max(1) as i128);
    let low = own < fair && (own.saturating_mul(2) < fair || own < last.saturating_mul(2));
    if low { fair - own } else { 0 }
}

/// How much of its surplus a site gives to one that needs some and hopes for more.
pub fn grant(ty: &DataType, surplus: &Value, need: &Value, hope: &Value) -> Option<Value> {
    if !positive(surplus) {
        return None;
    }
    let needed = if positive(need) { least(surplus, need) } else { arith::integer_value(ty, 0) };
    let half = arith::integer_value(ty, whole(surplus) / 2);
    let extra = least(&half, hope);
    let given = if positive(&arith::sub(ty, &extra, &needed)) { extra } else { needed };
    positive(&given).then_some(given)
}

/// What a row's creator gives to each of those who have nothing: a fair share, as long as it keeps one itself.
pub fn spread(own: &Value, others: &[(SiteId, Value)], slack: &Value) -> Vec<(SiteId, i128)> {
    let fair = whole(slack) / (others.len() as i128 + 1);
    let mut left = whole(own);
    let mut gifts = Vec::new();
    for (site, has) in others {
        if fair > 0 && !positive(has) && left >= 2 * fair {
            left -= fair;
            gifts.push((*site, fair));
        }
    }
    gifts
}

/// Above zero?
pub fn positive(value: &Value) -> bool {
    sign(value) == Some(1)
}

fn least(a: &Value, b: &Value) -> Value {
    if a.compare(b).is_lt() { a.clone() } else { b.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TY: DataType = DataType::Int8;

    fn int(n: i64) -> Value {
        Value::Int8(n)
    }

    #[test]
    fn the_richest_are_asked_first_and_for_no_more_than_they_have() {
        let holders = [(SiteId(1), int(2)), (SiteId(2), int(5)), (SiteId(3), int(0)), (SiteId(4), int(5))];
        let asked = ask(&TY, &holders, &int(6));
        assert_eq!(asked, [(SiteId(2), int(5)), (SiteId(4), int(1))]);
        assert_eq!(ask(&TY, &holders[..1], &int(6)), [(SiteId(1), int(2))], "what there is");
        assert!(ask(&TY, &holders[2..3], &int(6)).is_empty());
    }

    #[test]
    fn what_is_needed_is_given_whole_and_what_is_hoped_for_out_of_half() {
        assert_eq!(grant(&TY, &int(10), &int(8), &int(0)), Some(int(8)));
        assert_eq!(grant(&TY, &int(10), &int(2), &int(9)), Some(int(5)));
        assert_eq!(grant(&TY, &int(10), &int(0), &int(3)), Some(int(3)));
        assert_eq!(grant(&TY, &int(1), &int(0), &int(3)), None, "half of one is none");
        assert_eq!(grant(&TY, &int(1), &int(4), &int(9)), Some(int(1)));
        assert_eq!(grant(&TY, &int(-1), &int(4), &int(9)), None);
    }

    #[test]
    fn a_site_is_low_below_half_of_its_share_or_when_the_next_spends_may_not_fit() {
        assert_eq!(hope(&int(10), &int(1), &int(30), 3), 0);
        assert_eq!(hope(&int(4), &int(1), &int(30), 3), 6);
        assert_eq!(hope(&int(7), &int(4), &int(30), 3), 3);
        assert_eq!(hope(&int(0), &int(1), &int(2), 3), 0, "too little to be divided");
    }

    #[test]
    fn a_creator_shares_with_those_who_have_nothing() {
        let others = [(SiteId(2), int(0)), (SiteId(3), int(0))];
        assert_eq!(spread(&int(10), &others, &int(10)), [(SiteId(2), 3), (SiteId(3), 3)]);
        assert_eq!(spread(&int(5), &others, &int(10)), [], "it keeps a share of its own");
        assert_eq!(spread(&int(2), &others, &int(2)), [], "too little");
        let known = [(SiteId(2), int(1)), (SiteId(3), int(0))];
        assert_eq!(spread(&int(9), &known, &int(10)), [(SiteId(3), 3)]);
    }

    proptest! {
        /// Nobody gives what it has not, and a need within the surplus is met.
        #[test]
        fn grants_are_covered(surplus in -5i64..50, need in 0i64..50, hope in 0i64..50) {
            let given = grant(&TY, &int(surplus), &int(need), &int(hope));
            let given = given.and_then(|g| g.as_i64()).unwrap_or(0);
            prop_assert!(given >= 0 && given <= surplus.max(0));
            prop_assert!(given >= need.min(surplus.max(0)) || given == surplus);
            prop_assert!(given <= need.max(hope));
        }

        /// Rights never go round: what was given out of hope is not hoped back.
        #[test]
        fn hopes_settle(a in 0i64..40, b in 0i64..40, last in 1i64..5) {
            let slack = int(a + b);
            let (mut poor, mut rich) = (a.min(b), a.max(b));
            for _ in 0..8 {
                let wish = hope(&int(poor), &int(last), &slack, 2);
                let wish = int(i64::try_from(wish).unwrap_or(0));
                let Some(given) = grant(&TY, &int(rich), &int(0), &wish).and_then(|g| g.as_i64()) else { break };
                poor += given;
                rich -= given;
                prop_assert!(rich >= poor || given == 0 || rich + 1 >= poor);
            }
        }
    }
}
