//! Backups of a running cluster, the clusters made of them, and what an archive adds.

use std::fs;
use std::path::{Path, PathBuf};

use gemini_tests::cluster::load::{self, Load};
use gemini_tests::cluster::{Cluster, files, folder, patiently, read, replaced, write};

use crate::{PROGRAM, THREE, three};

const TABLES: &str = "CREATE TABLE ticket (id BIGSERIAL PRIMARY KEY, what TEXT MERGE LWW) ROWS ADD WINS;
    CREATE INDEX ticket_what ON ticket (what)";

fn arguments<'a>(words: &'a [&'a str], path: &'a str) -> Vec<&'a str> {
    [words, &[path]].concat()
}

/// What a command says when all goes well.
fn said(cluster: &Cluster, words: &[&str]) -> String {
    let output = cluster.command(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A backup of a site, taken while clients write at two of them.
fn backup_under_load(cluster: &Cluster, to: &Path) -> PathBuf {
    (0..3).for_each(|site| cluster.wait_for_value(site, "SELECT count(*) FROM ticket", "0"));
    for site in 0..3 {
        let client = cluster.connect(site);
        (0..40).for_each(|n| drop(client.run(&format!("INSERT INTO ticket (what) VALUES ('{site}-{n}')"))));
        client.run(&format!("DELETE FROM ticket WHERE what = '{site}-7'"));
    }
    let blue = Load::start("blue", cluster.sites[1].ports.sql, 2, false);
    let red = Load::start("red", cluster.sites[0].ports.sql, 2, true);
    cluster.wait("some load", || (blue.acknowledged() > 50 && red.acknowledged() > 20).then_some(()));
    let create = ["backup", "create", "--config", &cluster.config(), "--site", "us-west", "--to"];
    let printed = said(cluster, &arguments(&create, &text(to)));
    let during = (blue.acknowledged(), red.acknowledged());
    cluster.wait("commits after it", || {
        (blue.acknowledged() > during.0 && red.acknowledged() > during.1).then_some(())
    });
    let told = [blue.stop(), red.stop()];
    assert!(told.iter().all(|told| told.refused.is_empty()), "{told:?}");
    for line in ["frontier  (", "red index ", "checksum  ", "digest    "] {
        assert!(printed.contains(line), "no {line:?} in\n{printed}");
    }
    let backup = PathBuf::from(printed.lines().next().unwrap_or_default());
    assert_eq!(files(to, ""), std::slice::from_ref(&backup), "nothing half done is left");
    let verified = said(cluster, &arguments(&["backup", "verify"], &text(&backup)));
    assert_eq!(verified, format!("{printed}all is well\n"));
    backup
}

/// Sums and keys are whole, whatever part of the loads is there.
fn sound(cluster: &Cluster, site: usize) {
    let client = cluster.connect(site);
    for (table, total) in [("entry", "blue"), ("red_entry", "red")] {
        let rows = client.value(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(client.value(&format!("SELECT n FROM total WHERE name = '{total}'")), rows, "{table}");
        assert_ne!(rows, "0");
    }
}

#[test]
fn a_backup_under_load_becomes_another_cluster_that_goes_on() {
    let kept = folder("backups");
    let cluster = three("backed-up");
    cluster.connect(0).run(TABLES);
    let backup = backup_under_load(&cluster, &kept);
    let greatest = cluster.connect(0).value("SELECT max(id) FROM ticket");
    drop(cluster);

    let mut cluster = Cluster::create(PROGRAM, "restored", &THREE);
    let restored = said(&cluster, &["restore", "--from", &text(&kept), "--config", &cluster.config()]);
    assert!(restored.contains(&text(&backup)) && restored.contains("ireland"), "{restored}");
    let again = cluster.fails(&["restore", "--from", &text(&kept), "--config", &cluster.config()], 2);
    assert!(again.contains("holds data"), "{again}");
    cluster.launch_all();
    cluster.wait_for_leader(0);
    (0..3).for_each(|site| sound(&cluster, site));
    cluster.converged();
    assert_eq!(cluster.connect(2).value("SELECT max(id) FROM ticket"), greatest);

    // Every site goes on: blue with minted values that nobody has, red, deletes of restored rows.
    for site in 0..3 {
        let client = cluster.connect(site);
        for n in 0..70 {
            client.run(&format!("INSERT INTO ticket (what) VALUES ('new {site}-{n}')"));
        }
        client.run(&format!("DELETE FROM ticket WHERE what = '{site}-11'"));
        client.run(&format!("INSERT INTO red_entry VALUES ('restored {site}', 'red')"));
        client.run("UPDATE total SET n = n + 1 WHERE name = 'red'");
    }
    cluster.converged();
    for site in 0..3 {
        sound(&cluster, site);
        let client = cluster.connect(site);
        assert_eq!(client.value("SELECT count(*) FROM ticket"), (3 * (40 - 2 + 70)).to_string());
        assert_eq!(client.value("SELECT count(DISTINCT id) FROM ticket"), (3 * (40 - 2 + 70)).to_string());
    }
    // And after a start, on its own log.
    cluster.kill(1);
    cluster.restart(1);
    let told = Load::start("after", cluster.sites[1].ports.sql, 1, false);
    cluster.wait("more", || (told.acknowledged() > 20).then_some(()));
    told.stop();
    cluster.converged();
    said(&cluster, &["verify", "--config", &cluster.config()]);

    // A site that begins empty, or from elsewhere, is not one of them.
    assert!(cluster.terminate(2).success());
    let checked = said(&cluster, &arguments(&["check"], &text(&cluster.data(2))));
    assert!(checked.contains("all is well"), "{checked}");
    fs::rename(cluster.data(2), cluster.folder.join("aside")).unwrap();
    cluster.restart(2);
    cluster.wait("its refusal", || {
        cluster
            .log(0)
            .contains("the sites of a restored cluster are all restored from the same")
            .then_some(())
    });
    fs::remove_dir_all(kept).unwrap();
}

#[test]
fn a_damaged_backup_is_named_and_not_restored() {
    let kept = folder("damaged-backups");
    let cluster = three("damaged-backup");
    cluster.connect(0).run(TABLES);
    let backup = backup_under_load(&cluster, &kept);
    let bytes = fs::read(&backup).unwrap();
    drop(cluster);

    let cluster = Cluster::create(PROGRAM, "not-restored", &THREE);
    let mut flipped = bytes.clone();
    let at = bytes.len() / 2;
    flipped[at] ^= 4;
    let cut = bytes[..bytes.len() - 9].to_vec();
    for (spoilt, problem) in [(flipped, "the image is damaged at byte "), (cut, "before it is complete")] {
        fs::write(&backup, &spoilt).unwrap();
        let said = cluster.fails(&arguments(&["backup", "verify"], &text(&backup)), 3);
        assert!(said.contains(problem), "{said}");
        let restore = ["restore", "--config", &cluster.config(), "--from"];
        let said = cluster.fails(&arguments(&restore, &text(&backup)), 3);
        assert!(said.contains(problem), "{said}");
        assert!(files(&cluster.folder.join("data"), "").is_empty(), "something half restored is left");
    }
    let nothing = cluster.fails(&arguments(&["backup", "verify"], &text(&cluster.folder.join("certs"))), 2);
    assert!(nothing.contains("there is no backup in"), "{nothing}");
    fs::remove_dir_all(kept).unwrap();
}

/// The red index that a site has applied, once it has as many rows as it should.
fn red_index(cluster: &Cluster, rows: usize) -> String {
    cluster.wait_for_value(0, "SELECT count(*) FROM red_entry", &rows.to_string());
    cluster.digest(0).unwrap()["frontier"]["red"].to_string()
}

/// Rolls a backup forward, once the archive reaches so far; what is printed.
fn rolled(cluster: &Cluster, kept: &Path, archive: &Path, until: [&str; 2], to: &Path) -> String {
    let (kept, archive, to) = (text(kept), text(archive), text(to));
    let words = ["backup", "roll", "--from", &kept, "--archive", &archive, until[0], until[1], "--to", &to];
    let mut last = None;
    let done = patiently(std::time::Duration::from_secs(30), || {
        let output = cluster.command(&words);
        let well = output.status.success();
        last = Some(output);
        well.then_some(())
    });
    assert!(done.is_some(), "{words:?}: {last:?}");
    String::from_utf8_lossy(&last.unwrap().stdout).into_owned()
}

#[test]
fn a_backup_is_rolled_forward_to_a_moment_before_the_mistake() {
    let (kept, later) = (folder("early-backups"), folder("later-backups"));
    let mut cluster = Cluster::create(PROGRAM, "archived", &THREE);
    let toml = cluster.folder.join("sites.toml");
    // Small segments, so that several are full within the test.
    let archiving = "[archive]\ndir = \"archive\"\nevery = \"1s\"\n";
    let small = replaced(&read(&toml), "checkpoint = \"64MiB\"", "checkpoint = \"1MiB\"");
    write(
        &toml,
        &format!(
            "{small}
{archiving}"
        ),
    );
    cluster.launch_all();
    cluster.wait_for_leader(0);
    let client = cluster.connect(0);
    client.run(load::TABLES);
    client.run(
        "INSERT INTO entry SELECT 'before ' || n, repeat('x', 500) FROM generate_series(1, 1000) AS g(n)",
    );
    let create = ["backup", "create", "--config", &cluster.config(), "--site", "us-east", "--to"];
    said(&cluster, &arguments(&create, &text(&kept)));

    // More than a segment or two of good work at all sites, then the mistake.
    for n in 0..5 {
        client.run(&format!("INSERT INTO red_entry VALUES ('good {n}', 'red')"));
        let many = "SELECT 'wave {n} ' || i, repeat('y', 500) FROM generate_series(1, 800) AS g(i)";
        client.run(&format!("INSERT INTO entry {}", many.replace("{n}", &n.to_string())));
    }
    cluster.connect(2).run("INSERT INTO entry VALUES ('from ireland', 'blue')");
    cluster.wait_for_value(0, "SELECT count(*) FROM entry", "5001");
    client.run("INSERT INTO red_entry VALUES ('the last good one', 'red')");
    let good = red_index(&cluster, 6);
    let time = client.value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    client.run("DELETE FROM red_entry");
    client.run("UPDATE entry SET note = 'oops'");
    client.run("INSERT INTO red_entry VALUES ('after', 'red')");

    let archive = cluster.folder.join("archive").join("us-east");
    let by_red = rolled(&cluster, &kept, &archive, ["--until-red", &good], &later);
    assert!(by_red.contains(&format!("red index {good}\n")), "{by_red}");
    let by_time = rolled(&cluster, &kept, &archive, ["--until", &time], &later);
    assert!(by_time.contains(&format!("red index {good}\n")), "{by_time}");
    let digest = |printed: &str| printed.lines().find(|line| line.starts_with("digest")).map(str::to_owned);
    assert_eq!(digest(&by_red), digest(&by_time), "{by_red}\n{by_time}");
    assert!(files(&archive, "log-").len() >= 3, "full segments are archived");
    assert_eq!(cluster.status(0).unwrap()["archive"]["error"], serde_json::Value::Null);

    let beyond =
        ["backup", "roll", "--until-red", "9999", "--from", &text(&kept), "--to", &text(&later), "--archive"];
    let lacking = cluster.fails(&arguments(&beyond, &text(&archive)), 1);
    assert!(lacking.contains("the archive lacks red index 9999"), "{lacking}");
    let second = files(&archive, "log-").remove(1);
    fs::rename(&second, archive.join("aside")).unwrap();
    let holed = cluster.fails(&arguments(&beyond, &text(&archive)), 1);
    assert!(holed.contains(&text(&second)), "{holed}");
    drop(cluster);

    let mut cluster = Cluster::create(PROGRAM, "rolled", &THREE);
    said(&cluster, &["restore", "--from", &text(&later), "--config", &cluster.config()]);
    cluster.launch_all();
    cluster.wait_for_leader(0);
    for site in 0..3 {
        let client = cluster.connect(site);
        assert_eq!(client.value("SELECT count(*) FROM red_entry WHERE key NOT LIKE 'onward%'"), "6");
        assert_eq!(client.value("SELECT count(*) FROM entry WHERE note <> 'oops'"), "5001");
        client.run(&format!("INSERT INTO red_entry VALUES ('onward {site}', 'red')"));
    }
    cluster.converged();
    [kept, later].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
}
