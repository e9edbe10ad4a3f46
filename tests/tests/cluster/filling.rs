//! Sites whose log no longer joins on to the others', and sites without their store: they are filled from another site.

use std::fs;

use gemini_tests::cluster::Cluster;

use crate::{PROGRAM, THREE};

/// Of one row.
const ROW: usize = 120_000;

/// What a site keeps of its own last transactions in memory, whatever its log has let go of, and something more.
const IN_MEMORY: usize = 16 << 20;

/// Writes until the sites that run say that ireland lacks what they no longer have.
fn write_until_cut_off(cluster: &Cluster, round: u32) {
    let client = cluster.connect(0);
    let cut_off = |site: usize| {
        let status = cluster.status(site).unwrap_or_default();
        let peers = status["peers"].as_array().cloned().unwrap_or_default();
        peers.iter().any(|peer| peer["site"] == "ireland" && peer["cut_off"] == true)
    };
    let mut n = 0;
    cluster.wait("ireland to be cut off", || {
        n += 1;
        client.run(&format!("INSERT INTO entry VALUES ('{round} {n}', repeat('xy', {}))", ROW / 2));
        (n * ROW > IN_MEMORY && cut_off(0) && cut_off(1)).then_some(())
    });
}

#[test]
fn a_site_away_for_too_long_or_without_its_store_is_filled() {
    let mut cluster = Cluster::create(PROGRAM, "filling", &THREE);
    let config = cluster.config();
    let text = fs::read_to_string(&config).unwrap();
    let little = text
        .replace("checkpoint = \"64MiB\"", "checkpoint = \"1MiB\"")
        .replace("keep = \"2GiB\"", "keep = \"1MiB\"");
    assert_ne!(text, little);
    fs::write(&config, little).unwrap();
    cluster.launch_all();
    cluster.wait_for_leader(0);
    cluster.connect(0).run(gemini_tests::cluster::load::TABLES);
    cluster.wait_for_value(2, "SELECT count(*) FROM total", "2");
    cluster.connect(2).run("INSERT INTO entry VALUES ('of ireland', 'kept')");
    cluster.converged();

    // Away until its next transaction is in no log any more; killed again while it is filled.
    cluster.kill(2);
    write_until_cut_off(&cluster, 1);
    cluster.launch(2);
    cluster.wait("an image to come", || cluster.log(2).contains("an image comes").then_some(()));
    cluster.kill(2);
    cluster.connect(1).run("INSERT INTO entry VALUES ('meanwhile', 'others go on')");
    cluster.restart(2);
    cluster.wait_for_value(2, "SELECT note FROM entry WHERE key = 'meanwhile'", "others go on");
    cluster.converged();
    cluster.connect(2).run("INSERT INTO entry VALUES ('again', 'ireland commits')");
    cluster.converged();

    // Its store gone, and the log begins long after the first transaction.
    write_own(&cluster);
    cluster.kill(2);
    fs::remove_dir_all(cluster.data(2).join("store")).unwrap();
    cluster.restart(2);
    cluster.wait_for_value(2, "SELECT note FROM entry WHERE key = 'of ireland'", "kept");
    cluster.wait_for_value(0, "SELECT count(*) FROM entry WHERE key LIKE 'own %'", "40");
    cluster.converged();
    let log = cluster.log(2);
    assert!(log.contains("it is filled with another site's tables"), "{log}");
    assert!(log.contains("its tables are filled, and the log goes on"), "{log}");
}

/// So much at ireland that its own log is cut.
fn write_own(cluster: &Cluster) {
    let client = cluster.connect(2);
    for n in 0..40 {
        client.run(&format!("INSERT INTO entry VALUES ('own {n}', repeat('y{n}', 60000))"));
    }
    cluster.converged();
}
