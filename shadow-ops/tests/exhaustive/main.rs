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
//! `LAWS=deep` looks one transaction further (minutes, in release).

#![allow(clippy::unwrap_used)] // helpers of tests

#[path = "../common/mod.rs"]
mod common;

mod colors;
mod declared;
mod family;
mod generator;
mod history;
mod laws;

/// How many transactions a history has.
fn depth() -> usize {
    3 + usize::from(std::env::var("LAWS").is_ok_and(|deep| deep == "deep"))
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
    let mut failed = 0;
    for case in &family {
        if let Some(breach) = colors::breach(case, None, depth(), &mut counts) {
            failed += 1;
            println!("{}: {breach}", case.name);
        }
    }
    println!(
        "colours: {} schemas, {} histories, {} states; {} blue, {} red accepted, {} refused",
        family.len(),
        counts.histories,
        counts.states,
        counts.blue,
        counts.accepted,
        counts.refused
    );
    assert_eq!(failed, 0);
}

#[test]
fn needless_red() {
    let mut table = colors::Table::new();
    for case in &family::family() {
        colors::needless(case, 3, &mut table);
    }
    for (rule, (all, needless)) in &table {
        println!("needless: {rule:?} {needless} of {all}");
    }
}
