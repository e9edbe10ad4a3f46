//! What the algebra promises, tried out in full over small worlds: every history, every order, every snapshot.
//!
//! | module | holds |
//! |---|---|
//! | [`history`] | small histories and every state that a site can reach in them |
//! | [`laws`] | the laws of merging over them |
//! | [`family`] | the schemas and statements that colours are tried on |
//! | [`generator`] | a model of the generator: statements lowered to effects, checked on their own snapshot |
//! | [`declared`] | what is declared, judged on a state |
//! | [`colors`] | colours against brute force: that blue and certified effects are safe, and how many red verdicts are needless |
//!
//! `LAWS=deep` looks one transaction further (long; in release); `LAWS=show` lists the needless verdicts.

#![allow(clippy::unwrap_used)] // helpers of tests

#[path = "../common/mod.rs"]
mod common;

mod colors;
mod declared;
mod family;
mod generator;
mod history;
mod laws;

use gemini_shadow_ops::Rule;

fn asked_for(what: &str) -> bool {
    std::env::var("LAWS").is_ok_and(|laws| laws == what)
}

/// How many transactions a history has.
fn depth() -> usize {
    3 + usize::from(asked_for("deep"))
}

#[test]
fn the_laws_of_merging() {
    let counts = laws::sweep(depth());
    println!("laws: {} histories, {} delivery orders", counts.histories, counts.orders);
    assert!(counts.histories > 500_000 && counts.orders > counts.histories);
}

#[test]
fn colors_are_sound() {
    let mut counts = colors::Counts::default();
    let family = family::family();
    for case in &family {
        if let Some(breach) = colors::breach(case, None, depth(), &mut counts) {
            panic!("{}: {breach}", case.name);
        }
    }
    let colors::Counts { histories, states, blue, accepted, refused } = counts;
    println!("colours: {} schemas, {histories} histories, {states} states", family.len());
    println!("colours: {blue} blue, {accepted} red and accepted, {refused} red and refused");
    assert!(family.len() > 1_000 && histories > 1_000_000 && blue > 500_000 && refused > 500_000);
}

/// Red verdicts that nothing in this world needs, by rule. A verdict with several rules counts under each.
const NEEDLESS: [(Rule, usize); 10] = [
    (Rule::StrictColumn, 0),
    (Rule::StrictRows, 229),
    (Rule::KeyNotUniqueByConstruction, 0),
    (Rule::UniqueKey, 402),
    (Rule::ForeignKey, 48),
    (Rule::ReferencedRow, 0),
    (Rule::KeyUpdate, 28),
    (Rule::CheckAcrossColumns, 577),
    (Rule::DeltaAssigned, 58),
    (Rule::ExplicitSequenceValue, 48),
];

#[test]
fn needless_red() {
    let mut table = colors::Table::new();
    for case in &family::family() {
        colors::needless(case, 3, asked_for("show"), &mut table);
    }
    for (rule, (all, needless)) in &table {
        println!("needless: {needless} of {all} by {rule:?}");
    }
    let found: Vec<(Rule, usize)> = table.into_iter().map(|(rule, (_, needless))| (rule, needless)).collect();
    for ((rule, found), (pinned, needless)) in found.iter().zip(NEEDLESS) {
        assert_eq!(*rule, pinned);
        assert!(
            *found <= needless,
            "{rule:?}: {found} needless verdicts, more than {needless}: the classifier gives away more"
        );
        assert!(
            *found >= needless,
            "{rule:?}: only {found} needless verdicts are left: lower NEEDLESS, so that it stays so"
        );
    }
    assert_eq!(found.len(), NEEDLESS.len());
}
