//! Clusters of real processes under real faults. The harness and what it promises: `gemini_tests::cluster`.
//!
//! Each test is a story as somebody who runs a cluster would live it. Nothing here is timed; every wait ends.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

mod alone;
mod backup;
mod bad_data;
mod bad_input;
mod divergence;
mod faults;
mod filling;
mod full;
mod histories;
mod members;
mod moving;
mod release;
mod shop;

use gemini_tests::cluster::{Client, Cluster};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_gemini-under-test");

/// The sites of most tests; the first leads the red order when it is there.
const THREE: [&str; 3] = ["us-east", "us-west", "ireland"];

/// A running cluster of three with the tables of the loads.
fn three(test: &str) -> Cluster {
    let cluster = Cluster::start(PROGRAM, test, &THREE);
    cluster.connect(0).run(gemini_tests::cluster::load::TABLES);
    for site in 0..3 {
        cluster.wait_for_value(site, "SELECT count(*) FROM total", "2");
    }
    cluster
}

/// A session that refuses to be red.
fn blue(cluster: &Cluster, site: usize) -> Client {
    let client = cluster.connect(site);
    client.run("SET gemini.color = 'blue'");
    client
}
