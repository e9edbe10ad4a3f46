//! Pulled plugs: killed sites, a killed leader, cut links, a site cut off.

use gemini_tests::cluster::load::{self, Load};
use gemini_tests::cluster::{Cluster, Failed};

use crate::{blue, three};

/// Waits until a load has got so many more acknowledgements: it goes on.
fn goes_on(cluster: &Cluster, load: &Load, what: &str) {
    let wanted = load.acknowledged() + 10;
    cluster.wait(what, || (load.acknowledged() >= wanted).then_some(()));
}

fn linked(cluster: &Cluster, site: usize, peer: usize) -> Option<(bool, bool)> {
    let status = cluster.status(site)?;
    let peers = status["peers"].as_array()?.clone();
    let peer = peers.into_iter().find(|p| p["site"] == cluster.sites[peer].name.as_str())?;
    Some((peer["link"] == "up", peer["reachable"].as_bool()?))
}

#[test]
fn a_site_killed_under_load_comes_back_with_everything_it_acknowledged() {
    let mut cluster = three("killed");
    let port = |site: usize| cluster.sites[site].ports.sql;
    let home = Load::start("home", port(0), 2, false);
    let lost = Load::start("lost", port(1), 2, false);
    let red = Load::start("red", port(1), 1, true);
    for round in 0..2 {
        goes_on(&cluster, &lost, "blue commits at us-west");
        goes_on(&cluster, &red, "red commits at us-west");
        cluster.kill(1);
        goes_on(&cluster, &home, "blue commits at us-east while us-west is down");
        if round == 1 {
            cluster.connect(0).run("INSERT INTO red_entry VALUES ('meanwhile', 'x')");
            cluster.connect(0).run("UPDATE total SET n = n + 1 WHERE name = 'red'");
        }
        cluster.restart(1);
    }
    goes_on(&cluster, &lost, "blue commits at us-west, which is back");
    goes_on(&cluster, &red, "red commits at us-west, which is back");
    let (home, lost, mut red) = (home.stop(), lost.stop(), red.stop());
    red.acknowledged.insert("meanwhile".to_owned());
    cluster.converged();
    for site in 0..3 {
        let client = cluster.connect(site);
        load::check(&client, &[&home, &lost], false);
        load::check(&client, &[&red], true);
    }
    assert!(home.unknown.is_empty() && home.refused.is_empty(), "{home:?}");
}

#[test]
fn the_leader_killed_is_replaced_and_leads_again_when_it_is_back() {
    let mut cluster = three("leader");
    let red = Load::start("red", cluster.sites[1].ports.sql, 2, true);
    goes_on(&cluster, &red, "red commits");
    cluster.kill(0);
    let next = cluster.wait_for_another_leader(0);
    goes_on(&cluster, &red, "red commits under the new leader");
    assert_ne!(next, "us-east");
    cluster.restart(0);
    cluster.wait_for_leader(0);
    goes_on(&cluster, &red, "red commits under the old leader");
    cluster.connect(0).run("CREATE TABLE later (a INT PRIMARY KEY)");
    let red = red.stop();
    cluster.converged();
    for site in 0..3 {
        let client = cluster.connect(site);
        client.run("SELECT * FROM later");
        load::check(&client, &[&red], true);
    }
}

#[test]
fn with_one_direct_link_cut_frames_are_relayed() {
    let cluster = three("relayed");
    let writes = |tag: &str| {
        for site in 1..3 {
            let name = format!("{tag}-{site}");
            blue(&cluster, site).run(&format!("INSERT INTO entry VALUES ('{name}', 'x')"));
            cluster.connect(site).run(&format!("INSERT INTO red_entry VALUES ('{name}', 'x')"));
            for other in 0..3 {
                for table in ["entry", "red_entry"] {
                    let count = format!("SELECT count(*) FROM {table} WHERE key = '{name}'");
                    cluster.wait_for_value(other, &count, "1");
                }
            }
        }
    };
    // First between two followers, then between a follower and the leader.
    for (a, b) in [(1, 2), (0, 1)] {
        cluster.cut(a, b);
        for (here, there) in [(a, b), (b, a)] {
            cluster.wait("a cut link, with the peer still reached", || {
                (linked(&cluster, here, there) == Some((false, true))).then_some(())
            });
        }
        writes(&format!("cut-{a}-{b}"));
        assert_eq!(cluster.leader(1).as_deref(), Some("us-east"));
        cluster.converged();
        cluster.heal();
        for (here, there) in [(a, b), (b, a)] {
            cluster.wait("a healed link", || {
                (linked(&cluster, here, there) == Some((true, true))).then_some(())
            });
        }
        writes(&format!("healed-{a}-{b}"));
    }
    cluster.converged();
}

/// The id that an error 40003 speaks of.
fn id_in(failed: &Failed) -> String {
    let (_, rest) = failed.message.split_once("gemini.transaction_status('").unwrap();
    rest.split_once('\'').unwrap().0.to_owned()
}

#[test]
fn a_site_cut_off_goes_on_blue_and_says_what_became_of_red() {
    let cluster = three("cutoff");
    // The leader first: the others elect another one; then a follower.
    for site in [0, 2] {
        let (name, away) = (cluster.sites[site].name.as_str(), cluster.connect(site));
        let insert = |n: u32| format!("INSERT INTO red_entry VALUES ('{name}-{n}', 'x') RETURNING key");
        cluster.isolate(site);
        // Sent before anybody has noticed: the outcome is unknown, or the site has noticed and sent nothing.
        let first = away.refused(&insert(1));
        assert!(first.is("40003") || first.is("57P03"), "{first:?}");
        let local = blue(&cluster, site);
        for n in 0..20 {
            local.run(&format!("INSERT INTO entry VALUES ('{name}-{n}', 'cut off')"));
        }
        cluster.wait("the site to notice", || {
            (0..3)
                .filter(|peer| *peer != site)
                .all(|peer| linked(&cluster, site, peer) == Some((false, false)))
                .then_some(())
        });
        let second = cluster.wait("57P03", || {
            let failed = away.refused(&insert(2));
            assert!(failed.is("40003") || failed.is("57P03"), "{failed:?}");
            failed.is("57P03").then_some(failed)
        });
        let others: Vec<usize> = (0..3).filter(|other| *other != site).collect();
        assert!(others.iter().all(|o| second.message.contains(&cluster.sites[*o].name)), "{second:?}");
        // The majority goes on in both colours.
        cluster.wait("a leader of the majority", || {
            let leaders = others.iter().map(|other| cluster.leader(*other)).collect::<Option<Vec<_>>>()?;
            (leaders[0] == leaders[1] && leaders[0] != name).then_some(())
        });
        cluster.connect(others[0]).run(&insert(3));
        blue(&cluster, others[1]).run(&format!("INSERT INTO entry VALUES ('{name}-others', 'x')"));
        let kept = format!("SELECT count(*) FROM entry WHERE note = 'cut off' AND key LIKE '{name}-%'");
        assert_eq!(local.value(&kept), "20");
        cluster.heal();
        if first.is("40003") {
            let ask = format!("SELECT gemini.transaction_status('{}')", id_in(&first));
            let outcome = cluster.wait("an outcome", || {
                let said = away.value(&ask);
                (said == "void" || said.starts_with("committed")).then_some(said)
            });
            let there = away.value(&format!("SELECT count(*) FROM red_entry WHERE key = '{name}-1'"));
            assert_eq!(there == "1", outcome.starts_with("committed"), "{outcome}, {there} rows");
        }
        cluster.wait_for_leader(0);
        away.run(&insert(4));
        for site in 0..3 {
            let like = format!("SELECT count(*) FROM entry WHERE key LIKE '{name}-%'");
            cluster.wait_for_value(site, &like, "21");
        }
        cluster.converged();
    }
}
