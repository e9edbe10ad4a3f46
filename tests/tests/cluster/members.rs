//! Sites that join and leave while clients write.

use gemini_tests::cluster::Cluster;
use gemini_tests::cluster::load::{self, Load};

use crate::three;

/// What a command says when all goes well.
fn said(cluster: &Cluster, words: &[&str]) -> String {
    let output = cluster.command(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Commits go on in the red order.
fn goes_on(cluster: &Cluster, load: &Load) {
    let before = load.acknowledged();
    cluster.wait("red commits to go on", || (load.acknowledged() > before + 5).then_some(()));
}

/// The standing of each site, by name, as `gemini site list` has it.
fn standing(cluster: &Cluster, name: &str) -> String {
    let listed = said(cluster, &["site", "list", "--config", &cluster.config()]);
    let line = listed.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
    line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or("unknown").to_owned()
}

#[test]
fn a_site_joins_one_leaves_and_one_dies_while_clients_write() {
    let mut cluster = three("members");
    let config = cluster.config();
    let red = Load::start("red", cluster.sites[0].ports.sql, 2, true);
    let blue = Load::start("blue", cluster.sites[0].ports.sql, 1, false);
    let doomed = Load::start("doomed", cluster.sites[1].ports.sql, 1, false);
    cluster.wait("some load", || (red.acknowledged() > 20 && doomed.acknowledged() > 20).then_some(()));

    // A fourth site.
    let tokyo = cluster.add("tokyo");
    cluster.restart(tokyo);
    cluster.wait("tokyo to vote", || (standing(&cluster, "tokyo") == "voter").then_some(()));
    cluster.connect(tokyo).run("INSERT INTO red_entry VALUES ('from-tokyo', 'x')");
    cluster.connect(tokyo).run("UPDATE total SET n = n + 1 WHERE name = 'red'");
    goes_on(&cluster, &red);

    // One leaves in good order; it answers reads, and refuses to commit.
    let printed = said(&cluster, &["site", "remove", "ireland", "--config", &config]);
    assert!(printed.contains("this site has left the cluster"), "{printed}");
    assert_eq!(standing(&cluster, "ireland"), "closed");
    let refused = cluster.connect(2).query("INSERT INTO red_entry VALUES ('too-late', 'x')");
    assert!(refused.err().is_some_and(|e| format!("{e:?}").contains("removed from the cluster")));
    goes_on(&cluster, &red);
    assert!(cluster.terminate(2).success());

    // One dies, and is removed by force; alive, it would not have been.
    let said_no = cluster.fails(&["site", "remove", "us-west", "--force", "--config", &config], 2);
    assert!(said_no.contains("--though-alive"), "{said_no}");
    cluster.kill(1);
    let doomed = doomed.stop();
    let said_no = cluster.fails(&["site", "remove", "us-west", "--config", &config], 3);
    assert!(said_no.contains("--force"), "{said_no}");
    let printed = said(&cluster, &["site", "remove", "us-west", "--force", "--config", &config]);
    assert!(printed.contains("us-west is removed"), "{printed}");
    goes_on(&cluster, &red);

    // It comes back, is told, and stops; what it lost can be read.
    let told = [red.stop(), blue.stop()];
    let kept = std::fs::read_to_string(cluster.folder.join("sites.toml")).unwrap();
    std::fs::write(cluster.folder.join("sites.toml"), kept.replacen("removed = true", "removed = false", 2))
        .unwrap();
    cluster.launch(1);
    cluster
        .wait("us-west to be told", || cluster.log(1).contains("was removed from the cluster").then_some(()));
    cluster.wait("us-west to hear its final count", || {
        cluster.log(1).contains("are kept, later ones").then_some(())
    });
    assert!(cluster.terminate(1).success());
    let exported = cluster.folder.join("void.txt").display().to_string();
    let data = cluster.data(1).display().to_string();
    let output = cluster.command(&["export-void", &data, "--to", &exported]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && printed.contains("void transactions after b2."), "{printed}");

    // Nothing that the members acknowledged is missing anywhere; of what the dead one did, nothing is half there.
    cluster.converged();
    let mut lost = doomed;
    lost.unknown.append(&mut lost.acknowledged);
    let mut red = told[0].clone();
    red.unknown.insert("from-tokyo".into());
    for site in [0, tokyo] {
        load::check(&cluster.connect(site), &[&red], true);
        load::check(&cluster.connect(site), &[&told[1], &lost], false);
    }
}
