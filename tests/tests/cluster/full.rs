//! A disk that fills up under a running site: a file system of its own, in memory. Mounting one takes root; without it the
//! test says so and does nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gemini_tests::cluster::{Client, Cluster, patiently};

use crate::{PROGRAM, THREE};

/// Room for the log's first segments and some of the store, not for much more.
const SIZE: &str = "190m";

/// A mounted file system; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Small> {
        fs::create_dir_all(at).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "gemini-test"])
            .arg(at)
            .output();
        match done {
            Ok(output) if output.status.success() => Some(Small(at.to_owned())),
            other => {
                eprintln!("skipped: a file system cannot be mounted here (it takes root): {other:?}");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process of a failed test may still be about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until it is refused; the SQLSTATE.
fn fill(client: &Client, from: u64) -> (u64, String) {
    for n in from..from + 3_000 {
        // Random enough not to be compressed by anybody.
        let sql = format!(
            "INSERT INTO entry SELECT '{n}', string_agg(md5({n}::text || x::text), '') FROM generate_series(1, 1500) AS g(x)"
        );
        if let Err(failed) = client.query(&sql) {
            return (n, failed.sqlstate.unwrap_or_default());
        }
    }
    panic!("the disk does not fill up");
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let mut cluster = Cluster::create(PROGRAM, "full", &THREE);
    let Some(_mounted) = Small::mount(&cluster.data(2)) else { return };
    cluster.launch_all();
    cluster.wait_for_leader(0);
    cluster.connect(0).run(gemini_tests::cluster::load::TABLES);
    cluster.wait_for_value(2, "SELECT count(*) FROM total", "2");
    // Somebody else takes what is there, all but a reserve that is too small to write to.
    let hog = cluster.data(2).join("hog");
    let there = cluster.connect(2);
    there.run("INSERT INTO entry VALUES ('before', 'x')");
    fs::write(&hog, vec![7; 40 << 20]).unwrap();
    let (written, sqlstate) = fill(&there, 0);
    assert_eq!(sqlstate, "53100");
    // Reads go on, and what the others commit arrives.
    assert_eq!(there.value("SELECT count(*) FROM entry"), (written + 1).to_string());
    cluster.connect(0).run("INSERT INTO entry VALUES ('elsewhere', 'x')");
    cluster.connect(0).run("INSERT INTO red_entry VALUES ('red', 'x')");
    cluster.wait_for_value(2, "SELECT count(*) FROM entry WHERE key = 'elsewhere'", "1");
    cluster.wait_for_value(2, "SELECT count(*) FROM red_entry", "1");
    assert_eq!(
        there.query("INSERT INTO entry VALUES ('refused', 'x')").unwrap_err().sqlstate.as_deref(),
        Some("53100")
    );
    // Room again: the site takes writes by itself, and nothing is missing anywhere.
    fs::remove_file(&hog).unwrap();
    let taken = patiently(gemini_tests::cluster::PATIENCE, || {
        there.query("INSERT INTO entry VALUES ('after', 'x')").ok()
    });
    assert!(taken.is_some(), "writes are still refused");
    cluster.converged();
    cluster.kill(2);
    cluster.restart(2);
    cluster.wait_for_value(2, "SELECT count(*) FROM entry", &(written + 3).to_string());
    cluster.converged();
    assert!(cluster.terminate(2).success());
}
