//! One site alone; all sites down at once; leaving in good order.

use std::collections::BTreeSet;

use gemini_tests::cluster::Cluster;
use gemini_tests::cluster::load::{self, Load};

use crate::{PROGRAM, THREE, three};

#[test]
fn one_site_is_a_whole_cluster() {
    let mut cluster = Cluster::start(PROGRAM, "alone", &["solo"]);
    cluster.shell(0, load::TABLES);
    cluster.connect(0).run("CREATE TABLE minted (id SERIAL PRIMARY KEY, note TEXT) ROWS APPEND ONLY");
    let mut ids = BTreeSet::new();
    let (mut told_blue, mut told_red) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let port = cluster.sites[0].ports.sql;
        let blue = Load::start(&format!("blue-{round}"), port, 2, false);
        let red = Load::start(&format!("red-{round}"), port, 1, true);
        let client = cluster.connect(0);
        for _ in 0..40 {
            let id = client.value("INSERT INTO minted (note) VALUES ('x') RETURNING id");
            assert!(ids.insert(id.clone()), "{id} was minted twice");
        }
        cluster.wait("commits of both colours", || {
            (blue.acknowledged() >= 20 && red.acknowledged() >= 20).then_some(())
        });
        cluster.kill(0);
        told_blue.push(blue.stop());
        told_red.push(red.stop());
        cluster.restart(0);
        cluster.wait_for_leader(0);
    }
    let client = cluster.connect(0);
    load::check(&client, &told_blue.iter().collect::<Vec<_>>(), false);
    load::check(&client, &told_red.iter().collect::<Vec<_>>(), true);
    let there: BTreeSet<String> = client.run("SELECT id FROM minted").into_iter().flatten().collect();
    assert_eq!(there, ids);
    assert!(cluster.terminate(0).success());
}

#[test]
fn all_sites_killed_at_once_come_back() {
    let mut cluster = three("all");
    let loads: Vec<(Load, bool)> = (0..3)
        .flat_map(|site| [(site, false), (site, true)])
        .map(|(site, red)| {
            (Load::start(&format!("{}-{red}", THREE[site]), cluster.sites[site].ports.sql, 1, red), red)
        })
        .collect();
    cluster.wait("commits everywhere, in both colours", || {
        loads.iter().all(|(load, _)| load.acknowledged() >= 15).then_some(())
    });
    (0..3).for_each(|site| cluster.kill(site));
    let told: Vec<_> = loads.into_iter().map(|(load, red)| (load.stop(), red)).collect();
    cluster.launch_all();
    cluster.wait_for_leader(0);
    cluster
        .connect(2)
        .run("INSERT INTO red_entry VALUES ('after', 'x'); DELETE FROM red_entry WHERE key = 'after'");
    cluster.converged();
    for site in 0..3 {
        let client = cluster.connect(site);
        for color in [false, true] {
            let of = told.iter().filter(|(_, red)| *red == color).map(|(told, _)| told);
            load::check(&client, &of.collect::<Vec<_>>(), color);
        }
    }
}

#[test]
fn sigterm_drains_and_exits_with_0() {
    let mut cluster = three("drained");
    let idle = cluster.connect(0);
    let open = cluster.connect(0);
    open.run("BEGIN; INSERT INTO entry VALUES ('never committed', 'x')");
    let port = cluster.sites[0].ports.sql;
    let (blue, red) = (Load::start("blue", port, 2, false), Load::start("red", port, 2, true));
    cluster.wait("commits of both colours", || {
        (blue.acknowledged() >= 20 && red.acknowledged() >= 20).then_some(())
    });
    let ended = cluster.terminate(0);
    assert!(ended.success(), "{ended}");
    for client in [&idle, &open] {
        let failed = client.refused("SELECT 1");
        assert!(failed.sqlstate.is_none() || failed.is("57P01"), "{failed:?}");
    }
    let (blue, red) = (blue.stop(), red.stop());
    for (key, failed) in blue.refused.iter().chain(&red.refused) {
        assert!(failed.is("57P01") || failed.is("40001"), "{key}: {failed:?}");
    }
    // What is on its disk is whole by itself.
    let check = cluster.command(&["check", &cluster.data(0).display().to_string()]);
    assert!(check.status.success(), "{check:?}");
    cluster.restart(0);
    cluster.wait_for_leader(0);
    cluster.converged();
    for site in 0..3 {
        let client = cluster.connect(site);
        load::check(&client, &[&blue], false);
        load::check(&client, &[&red], true);
    }
}
