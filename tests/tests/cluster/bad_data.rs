//! Damaged data folders: a site says what is damaged and where, changes nothing, and the others go on.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gemini_tests::cluster::load::{self, Load};
use gemini_tests::cluster::{Cluster, files};

use crate::{PROGRAM, three};

/// A stopped cluster of one with some hundred records in its log, killed so that its log has to be replayed.
fn killed(test: &str) -> Cluster {
    let mut cluster = Cluster::start(PROGRAM, test, &["solo"]);
    cluster.shell(0, load::TABLES);
    let client = cluster.connect(0);
    for n in 0..50 {
        client.run(&format!("INSERT INTO entry VALUES ('{n}', '{}')", "x".repeat(200)));
    }
    cluster.kill(0);
    cluster
}

fn first_segment(cluster: &Cluster, site: usize) -> PathBuf {
    let log = cluster.data(site).join("log");
    files(&log, "").into_iter().find(|path| fs::metadata(path).is_ok_and(|m| m.len() > 4096)).unwrap()
}

/// Turns bytes of a file over.
fn damage(file: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, offset).unwrap();
    file.write_all_at(&bytes.map(|byte| byte ^ 0x5a), offset).unwrap();
}

/// Where the last record of a segment is: the last byte that is not zero.
fn end_of_data(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64
}

#[test]
fn a_damaged_record_stops_the_start_and_is_named() {
    let cluster = killed("damaged");
    let segment = first_segment(&cluster, 0);
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    damage(&segment, end_of_data(&segment) / 2);
    let before = fs::read(&segment).unwrap();
    for _ in 0..2 {
        let said = cluster.refuses_to_start(0, 1);
        for word in ["damaged at offset", name.as_str(), "Keep the files"] {
            assert!(said.contains(word), "{said}");
        }
    }
    assert!(fs::read(&segment).unwrap() == before, "a refused start has changed the log");
    let data = cluster.data(0).display().to_string();
    let said = cluster.fails(&["check", &data], 3);
    assert!(said.contains(&name), "{said}");
    assert!(fs::read(&segment).unwrap() == before, "a check has changed the log");
}

#[test]
fn a_torn_end_is_cut_and_the_site_starts() {
    let mut cluster = killed("torn");
    let segment = first_segment(&cluster, 0);
    // As if the last record had been under way when the power went.
    damage(&segment, end_of_data(&segment) - 3);
    let check = cluster.command(&["check", &cluster.data(0).display().to_string()]);
    assert!(String::from_utf8_lossy(&check.stdout).contains("torn end"), "{check:?}");
    cluster.restart(0);
    let client = cluster.connect(0);
    let rows: u64 = client.value("SELECT count(*) FROM entry").parse().unwrap();
    assert!((49..=50).contains(&rows), "{rows} rows");
    client.run("INSERT INTO entry VALUES ('after', 'x')");
    cluster.kill(0);
    cluster.restart(0);
    cluster.wait_for_value(0, "SELECT count(*) FROM entry WHERE key = 'after'", "1");
}

#[test]
fn a_damaged_store_is_rebuilt_from_the_log() {
    let mut cluster = killed("store");
    cluster.restart(0);
    assert!(cluster.terminate(0).success());
    let store = cluster.data(0).join("store");
    for file in files(&store, "") {
        if file.is_file() {
            fs::write(&file, b"this is no store").unwrap();
        }
    }
    cluster.restart(0);
    cluster.wait_for_value(0, "SELECT count(*) FROM entry", "50");
    assert!(cluster.log(0).contains("rebuilt from the log"), "{}", cluster.log(0));
}

#[test]
fn a_log_that_is_gone_or_of_another_cluster_is_refused() {
    let cluster = killed("foreign");
    let data = cluster.data(0);
    let file = cluster.folder.join("sites.toml");
    let text = gemini_tests::cluster::read(&file);
    let at = text.find("id = \"").unwrap() + 6;
    let other = format!("{}{}{}", &text[..at], "0".repeat(32), &text[at + 32..]);
    gemini_tests::cluster::write(&file, &other);
    let said = cluster.refuses_to_start(0, 1);
    assert!(said.contains("cluster"), "{said}");
    gemini_tests::cluster::write(&file, &text);
    // A file where the data folder should be.
    fs::rename(&data, cluster.folder.join("away")).unwrap();
    fs::write(&data, b"").unwrap();
    let said = cluster.refuses_to_start(0, 1);
    assert!(said.contains(&data.display().to_string()), "{said}");
    fs::remove_file(&data).unwrap();
    fs::rename(cluster.folder.join("away"), &data).unwrap();
    // The log is gone, the store is not: a site that began anew would give its dots away twice.
    fs::remove_dir_all(data.join("log")).unwrap();
    let said = cluster.refuses_to_start(0, 1);
    assert!(said.contains("log"), "{said}");
}

#[test]
fn the_others_go_on_without_a_damaged_site() {
    let mut cluster = three("others");
    let load = Load::start("home", cluster.sites[0].ports.sql, 2, false);
    cluster.wait("commits", || (load.acknowledged() >= 30).then_some(()));
    cluster.kill(2);
    let segment = first_segment(&cluster, 2);
    let whole = fs::read(&segment).unwrap();
    damage(&segment, end_of_data(&segment) / 2);
    assert!(cluster.refuses_to_start(2, 1).contains("damaged"));
    cluster.connect(1).run("INSERT INTO red_entry VALUES ('two are enough', 'x')");
    // The segment restored from a copy of this very directory, as the error says.
    fs::write(&segment, whole).unwrap();
    cluster.restart(2);
    cluster.wait_for_value(2, "SELECT count(*) FROM red_entry", "1");
    let told = load.stop();
    cluster.converged();
    load::check(&cluster.connect(2), &[&told], false);
}

/// Every file of a folder with its bytes and when it was last changed.
fn picture(folder: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut found = Vec::new();
    for path in files(folder, "") {
        if path.is_dir() {
            found.extend(picture(&path));
        } else {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes, changed));
        }
    }
    found
}

#[test]
fn looking_changes_nothing() {
    let mut cluster = killed("looking");
    cluster.restart(0);
    cluster.connect(0).run("DELETE FROM red_entry");
    assert!(cluster.terminate(0).success());
    let data = cluster.data(0);
    let folder = data.display().to_string();
    let look = |code: i32| {
        let before = picture(&data);
        let mut said = String::new();
        for rest in [&["check"][..], &["dump"], &["dump", "--effects", "--kind", "blue"], &["dump", "--rows"]]
        {
            let output = cluster.command(&[rest, &[folder.as_str()]].concat());
            // Tables are shown only if a start would succeed.
            let expected = if code != 0 && rest.contains(&"--rows") { 1 } else { code };
            assert_eq!(output.status.code(), Some(expected), "{rest:?}: {output:?}");
            said += &String::from_utf8_lossy(&output.stdout);
        }
        assert!(picture(&data) == before, "the data folder has changed");
        said
    };
    let said = look(0);
    for words in
        ["all is well", "start 2", "blue 1.50 local", "checkpoint replay from", "entry (key, note)", "'49'"]
    {
        assert!(said.contains(words), "no {words} in\n{said}");
    }
    let segment = first_segment(&cluster, 0);
    damage(&segment, end_of_data(&segment) / 2);
    let said = look(3);
    for words in
        ["blue 1.1 local", "blue 1.50 local", "! ", "no record from offset", "a start stops with this"]
    {
        assert!(said.contains(words), "no {words} in\n{said}");
    }
}
