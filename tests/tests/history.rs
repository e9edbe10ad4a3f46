//! The judge of client histories, judged: anomalies made by hand, and histories of databases that are as weak as they say.
//!
//! Each anomaly has a neighbour that differs in one word or two and is innocent. The databases are those of
//! `history::executors`.

#![allow(clippy::unwrap_used)] // what is written here by hand can be read

use std::collections::BTreeSet;

use gemini_tests::history::executors::{self, Level};
use gemini_tests::history::{Class, History, Model, judge, notation};

/// The class, a history that has it (and nothing else), and a neighbour that has nothing.
const BY_HAND: &[(Class, &str, &str)] = &[
    (
        Class::G0,
        // Two writers, interleaved differently in two lists.
        "1@a ok: append l1 1; append l2 1
         2@b ok: append l1 2; append l2 2
         3@c ok: read l1 [1 2]; read l2 [2 1]",
        "1@a ok: append l1 1; append l2 1
         2@b ok: append l1 2; append l2 2
         3@c ok: read l1 [1 2]; read l2 [1 2]",
    ),
    (
        Class::G1a,
        "1@a failed: append l1 1
         2@b ok: read l1 [1]",
        "1@a unknown: append l1 1
         2@b ok: read l1 [1]",
    ),
    (
        Class::G1a,
        "1@a failed: add s1 1
         2@b ok: read s1 {1}",
        "1@a failed: add s1 1
         2@b ok: read s1 {}",
    ),
    (
        Class::G1b,
        "1@a ok: append l1 1; append l1 2
         2@b ok: read l1 [1]",
        "1@a ok: append l1 1; append l1 2
         2@b ok: read l1 [1 2]",
    ),
    (
        Class::G1b,
        "1@a ok: write r1 1; write r1 2
         2@b ok: read r1 1",
        "1@a ok: write r1 1; write r1 2
         2@b ok: read r1 2",
    ),
    (
        Class::G1c,
        "1@a ok: append l1 1; read l2 [2]
         2@b ok: append l2 2; read l1 [1]",
        "1@a ok: append l1 1; read l2 []
         2@b ok: append l2 2; read l1 [1]",
    ),
    (
        Class::G1c,
        "1@a ok: write r1 1; read r2 2
         2@b ok: write r2 2; read r1 1",
        "1@a ok: write r1 1; read r2 nil
         2@b ok: write r2 2; read r1 1",
    ),
    (
        Class::LostUpdate,
        "1@a ok: read l1 []; append l1 1
         2@b ok: read l1 []; append l1 2
         3@c ok: read l1 [1 2]",
        "1@a ok: read l1 []; append l1 1
         2@b ok: read l1 [1]; append l1 2
         3@c ok: read l1 [1 2]",
    ),
    (
        Class::LostUpdate,
        "1@a ok: write r1 1
         2@a ok: read r1 1; write r1 2
         3@b ok: read r1 1; write r1 3",
        "1@a ok: write r1 1
         2@a ok: read r1 1; write r1 2
         3@b ok: read r1 2; write r1 3",
    ),
    (
        Class::GSingle,
        "1@a ok: append l1 1; append l2 1
         2@b ok: read l1 [1]; read l2 []",
        "1@a ok: append l1 1; append l2 1
         2@b ok: read l1 []; read l2 []",
    ),
    (
        Class::GSingle,
        "1@a ok: add s1 1; add s2 1
         2@b ok: read s1 {1}; read s2 {}",
        "1@a ok: add s1 1; add s2 1
         2@b ok: read s1 {1}; read s2 {1}",
    ),
    (
        Class::GSingle,
        // Three steps: what T1 saw is not there for T2, who saw T1.
        "1@a ok: add s1 1
         2@b ok: read s1 {1}; add s2 2
         3@c ok: read s2 {2}; read s1 {}",
        "1@a ok: add s1 1
         2@b ok: read s1 {}; add s2 2
         3@c ok: read s2 {2}; read s1 {}",
    ),
    (
        Class::WriteSkew,
        "1@a ok: read l1 []; append l2 1
         2@b ok: read l2 []; append l1 2",
        "1@a ok: read l1 []; append l2 1
         2@b ok: read l2 [1]; append l1 2",
    ),
    (
        Class::WriteSkew,
        "1@a ok: read r1 nil; write r2 1
         2@b ok: read r2 nil; write r1 2",
        "1@a ok: read r1 nil; write r2 1
         2@b ok: read r2 1; write r1 2",
    ),
    (
        Class::G2,
        // A ring of three, each of whom missed the next one's write.
        "1@a ok: read l1 []; append l2 1
         2@b ok: read l3 []; append l1 2
         3@c ok: read l2 []; append l3 3",
        "1@a ok: read l1 []; append l2 1
         2@b ok: read l3 []; append l1 2
         3@c ok: read l2 [1]; append l3 3",
    ),
    (
        Class::LongFork,
        "1@a ok: append l1 1
         2@b ok: append l2 2
         3@c ok: read l1 [1]; read l2 []
         4@d ok: read l1 []; read l2 [2]",
        "1@a ok: append l1 1
         2@b ok: append l2 2
         3@c ok: read l1 [1]; read l2 []
         4@d ok: read l1 [1]; read l2 [2]",
    ),
    (
        Class::LongFork,
        "1@a ok: add s1 1
         2@b ok: add s1 2
         3@c ok: read s1 {1}
         4@d ok: read s1 {2}",
        "1@a ok: add s1 1
         2@b ok: add s1 2
         3@c ok: read s1 {1}
         4@d ok: read s1 {1 2}",
    ),
    (Class::Internal, "1@a ok: append l1 1; read l1 []", "1@a ok: append l1 1; read l1 [1]"),
    (Class::Internal, "1@a ok: read r1 1; write r1 1", "1@a ok: read r1 nil; write r1 1"),
    (
        Class::ThinAir,
        "1@a ok: append l1 1
         2@b ok: read l1 [1 2]",
        "1@a ok: append l1 1
         2@b ok: read l1 [1]",
    ),
    (
        Class::Duplicate,
        "1@a ok: append l1 1
         2@b ok: read l1 [1 1]",
        "1@a ok: append l1 1
         2@b ok: read l1 [1]",
    ),
    (
        Class::Incompatible,
        "1@a ok: append l1 1
         2@b ok: append l1 2
         3@c ok: read l1 [1]
         4@d ok: read l1 [2 1]",
        "1@a ok: append l1 1
         2@b ok: append l1 2
         3@c ok: read l1 [2]
         4@d ok: read l1 [2 1]",
    ),
];

fn history(text: &str) -> History {
    notation::parse(text).unwrap()
}

fn classes(text: &str, model: Model) -> BTreeSet<Class> {
    judge(&history(text), model).classes()
}

#[test]
fn each_anomaly_is_found_and_named_and_its_neighbour_is_innocent() {
    for (class, guilty, innocent) in BY_HAND {
        let verdict = judge(&history(guilty), Model::SERIALIZABLE);
        assert_eq!(verdict.classes(), BTreeSet::from([*class]), "{guilty}\n{verdict}");
        assert!(!verdict.holds());
        let verdict = judge(&history(innocent), Model::SERIALIZABLE);
        assert_eq!(verdict.classes(), BTreeSet::new(), "{innocent}\n{verdict}");
    }
}

#[test]
fn every_model_forbids_just_what_its_name_says() {
    let models = [
        Model::SERIALIZABLE,
        Model::SNAPSHOT,
        Model::READ_COMMITTED,
        Model::CAUSAL,
        Model::STRICT_SERIALIZABLE,
    ];
    for (class, guilty, _) in BY_HAND {
        let holds = models.map(|model| judge(&history(guilty), model).holds());
        let expected = match class {
            Class::WriteSkew | Class::G2 => [false, true, true, true, false],
            Class::LongFork => [false, false, true, true, false],
            // Causal: concurrent writes of an lww register may lose one; a list's order is one that all see.
            Class::LostUpdate => [false, false, true, guilty.contains("r1"), false],
            Class::GSingle | Class::Internal => [false, false, true, false, false],
            _ => [false; 5],
        };
        assert_eq!(holds, expected, "{class}:\n{guilty}");
    }
}

#[test]
fn sessions_and_real_time_count_where_they_are_promised() {
    // The second does not see what its own session wrote.
    let forgot = "1@a ok: add s1 1
                  1@a ok: read s1 {}";
    assert_eq!(classes(forgot, Model::CAUSAL), BTreeSet::from([Class::GSingle]));
    assert_eq!(classes(forgot, Model::READ_COMMITTED), BTreeSet::new());
    // It need not, if the first's outcome was never known; nor if it is another session.
    assert_eq!(classes(&forgot.replacen("ok", "unknown", 1), Model::CAUSAL), BTreeSet::new());
    assert_eq!(classes(&forgot.replacen("1@a", "2@a", 1), Model::CAUSAL), BTreeSet::new());
    // A session goes back.
    let back = "1@a ok: add s1 1
                2@b ok: read s1 {1}
                2@b ok: read s1 {}";
    assert_eq!(classes(back, Model::CAUSAL), BTreeSet::from([Class::GSingle]));
    // Stale, by another session's clock.
    let stale = "1@a ok 1..2: append l1 1
                 2@b ok 3..4: read l1 []";
    assert_eq!(classes(stale, Model::STRICT_SERIALIZABLE), BTreeSet::from([Class::GSingle]));
    assert_eq!(classes(stale, Model::SERIALIZABLE), BTreeSet::new());
    let overlapping = stale.replace("3..4", "2..4").replace("1..2", "1..3");
    assert_eq!(classes(&overlapping, Model::STRICT_SERIALIZABLE), BTreeSet::new());
}

#[test]
fn the_order_of_a_registers_versions_is_inferred() {
    // T2 wrote after it saw 1; so who sees 2 and then, in the same session, 1 goes back.
    let back = "1@a ok: write r1 1
                2@b ok: read r1 1; write r1 2
                3@c ok: read r1 2
                3@c ok: read r1 1";
    assert_eq!(classes(back, Model::CAUSAL), BTreeSet::from([Class::GSingle]));
    // 1 and 2 are concurrent, and two sessions that have seen both disagree on which is the newer.
    let fickle = "1@a ok: write r1 1; add s1 1
                  2@b ok: write r1 2; add s1 2
                  3@c ok: read s1 {1 2}; read r1 1
                  4@d ok: read s1 {1 2}; read r1 2";
    assert_eq!(classes(fickle, Model::CAUSAL), BTreeSet::from([Class::G0]));
    // One of them has not seen the other write yet.
    let apart = fickle.replacen("{1 2}; read r1 1", "{1}; read r1 1", 1);
    assert_eq!(classes(&apart, Model::CAUSAL), BTreeSet::new());
    // Both missed the other's write: lww loses one, and says so elsewhere.
    let lost = "1@a ok: write r1 1
                2@b ok: read r1 1; write r1 2
                3@c ok: read r1 1; write r1 3";
    let verdict = judge(&history(lost), Model::CAUSAL);
    assert!(verdict.holds());
    assert_eq!(verdict.classes(), BTreeSet::from([Class::LostUpdate]));
}

#[test]
fn an_acknowledged_write_that_nobody_sees_any_more_is_found() {
    let lost = "1@a ok 1..2: append l1 1
                1@a ok 3..4: append l1 2
                2@b ok 5..6: read l1 [1]";
    assert_eq!(classes(lost, Model::STRICT_SERIALIZABLE), BTreeSet::from([Class::GSingle]));
    let refused = lost.replace("ok 3..4", "failed 3..4");
    assert_eq!(classes(&refused, Model::STRICT_SERIALIZABLE), BTreeSet::new());
    let unknown = lost.replace("ok 3..4", "unknown 3..4");
    assert_eq!(classes(&unknown, Model::STRICT_SERIALIZABLE), BTreeSet::new());
}

#[test]
fn a_finding_reads_as_a_story() {
    let verdict = judge(
        &history("3@us-west ok: append l1 5; append l2 5\n4@ireland ok: read l1 [5]; read l2 []"),
        Model::CAUSAL,
    );
    let story = "not causal:\n\
        G-single (read skew):\n  \
        T1 (process 4, ireland) read l2 = [] without 5, which T0 (process 3, us-west) appended\n  \
        T0 (process 3, us-west) appended 5 to l1; T1 (process 4, ireland) saw it\n  \
        so each of them comes before itself\n    \
        T1: 4@ireland ok: read l1 [5]; read l2 []\n    \
        T0: 3@us-west ok: append l1 5; append l2 5\n\n";
    assert_eq!(verdict.to_string(), story);
}

#[test]
fn a_history_survives_being_written_down() {
    let histories =
        [Level::Serial, Level::Causal, Level::Uncommitted].map(|level| executors::run(level, 1, 60));
    for written in histories {
        let text = written.to_string();
        assert_eq!(notation::parse(&text).unwrap().to_string(), text);
    }
    assert!(notation::parse("1@a perhaps: read l1 []").is_err());
}

/// Runs a weak database under many seeds: `promise` must hold each time; under `more` only classes of `may` are found,
/// and all of `must`, counting all seeds together.
fn weak(level: Level, promise: Option<Model>, more: Model, may: &[Class], must: &[Class]) {
    let mut found = BTreeSet::new();
    for seed in 1..=SEEDS {
        let history = executors::run(level, seed, 150);
        if let Some(promise) = promise {
            let verdict = judge(&history, promise);
            assert!(verdict.holds(), "{level:?}, seed {seed}: {verdict}\n{history}");
        }
        let verdict = judge(&history, more);
        for class in verdict.classes() {
            assert!(
                may.contains(&class) || must.contains(&class),
                "{level:?}, seed {seed}, {class}: {verdict}"
            );
        }
        found.extend(verdict.classes());
    }
    for class in must {
        assert!(found.contains(class), "{level:?}: {class} is never found, but {found:?}");
    }
}

/// How many histories of each database.
const SEEDS: u64 = 20;

#[test]
fn serial_histories_pass() {
    weak(Level::Serial, Some(Model::STRICT_SERIALIZABLE), Model::STRICT_SERIALIZABLE, &[], &[]);
}

#[test]
fn stale_reads_are_serializable_and_not_strictly() {
    let any = [Class::LongFork, Class::WriteSkew, Class::G2, Class::G0, Class::G1c];
    weak(Level::Stale, Some(Model::SERIALIZABLE), Model::STRICT_SERIALIZABLE, &any, &[Class::GSingle]);
}

#[test]
fn snapshot_isolation_is_caught_in_write_skew() {
    weak(Level::Snapshot, Some(Model::SNAPSHOT), Model::SERIALIZABLE, &[], &[Class::WriteSkew, Class::G2]);
}

#[test]
fn read_committed_is_caught_in_lost_updates_and_read_skew() {
    let any = [Class::LongFork, Class::WriteSkew, Class::G2, Class::Internal];
    let must = [Class::LostUpdate, Class::GSingle];
    weak(Level::ReadCommitted, Some(Model::READ_COMMITTED), Model::SNAPSHOT, &any, &must);
}

#[test]
fn uncommitted_reads_are_caught_in_g0_and_g1() {
    let any = [
        Class::Internal,
        Class::Incompatible,
        Class::LostUpdate,
        Class::GSingle,
        Class::LongFork,
        Class::WriteSkew,
        Class::G2,
    ];
    let must = [Class::G0, Class::G1a, Class::G1b, Class::G1c];
    weak(Level::Uncommitted, None, Model::READ_COMMITTED, &any, &must);
}

#[test]
fn causal_replicas_are_caught_in_long_forks() {
    let any = [Class::LostUpdate, Class::WriteSkew, Class::G2, Class::GSingle, Class::G0, Class::G1c];
    weak(Level::Causal, Some(Model::CAUSAL), Model::CAUSAL, &any[..3], &[Class::LongFork]);
    weak(Level::Causal, None, Model::SNAPSHOT, &any, &[Class::LongFork]);
}

#[test]
fn eventual_replicas_are_caught_in_read_skew() {
    let any =
        [Class::LostUpdate, Class::WriteSkew, Class::G2, Class::LongFork, Class::G0, Class::G1b, Class::G1c];
    weak(Level::Eventual, None, Model::CAUSAL, &any, &[Class::GSingle]);
}
