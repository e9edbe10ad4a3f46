//! What a person, a client or a stranger may get wrong: each gets an error that names place and remedy, and nobody else notices.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gemini_tests::cluster::{Cluster, folder, free_port, patiently, read, replaced, write};

use crate::{PROGRAM, THREE, blue, three};

/// What is written instead of what, and words of the error.
const WRONG: [(&str, &str, &[&str]); 12] = [
    ("[cluster]", "[cluster", &["sites.toml, line 4"]),
    ("\n[memory]", "\n[memory]\nversion = \"1MiB\"", &["line", "version"]),
    ("commit = \"5s\"", "commit = \"5\"", &["line", "5"]),
    ("commit = \"5s\"", "commit = 5", &["line"]),
    ("sequencer = \"us-east\"", "sequencer = \"mars\"", &["mars", "us-east"]),
    ("id = 2 ", "id = 1 ", &["line", "1"]),
    ("id = 3 ", "id = 70000 ", &["line"]),
    ("durability = \"local\"", "durability = \"none\"", &["quorum"]),
    ("data = \"data/ireland\"", "data = \"data/us-west\"", &["line", "data"]),
    ("key = \"certs/ireland.key\"", "", &["line", "key"]),
    ("[site.ireland]", "[site.Ireland]", &["Ireland", "a-z"]),
    ("sql = \"127.0.0.1", "sql = \"0.0.0.0", &["loopback"]),
];

#[test]
fn a_wrong_sites_toml_is_refused_with_its_line() {
    let cluster = Cluster::create(PROGRAM, "config", &THREE);
    let file = cluster.folder.join("sites.toml");
    let good = read(&file);
    for (from, to, words) in WRONG {
        write(&file, &replaced(&good, from, to));
        let said = cluster.refuses_to_start(0, 2);
        for word in words.iter().chain(&["sites.toml"]) {
            assert!(said.contains(word), "{to:?}: {said}");
        }
        let config = cluster.config();
        assert_eq!(cluster.fails(&["status", "--config", &config], 2), said);
        assert_eq!(cluster.fails(&["relay", "--config", &config], 2), said);
        assert_eq!(cluster.fails(&["shell", "--site", "us-east", "--config", &config], 2), said);
    }
    write(&file, &good);
    let none = cluster.fails(&["start", "--config", "/nowhere/sites.toml"], 2);
    assert!(none.contains("/nowhere/sites.toml") && none.contains("gemini init"), "{none}");
    let which = cluster.fails(&["start", "--config", &cluster.config()], 2);
    assert!(which.contains("--site"), "{which}");
    let again = cluster.fails(&["init", &cluster.folder.display().to_string()], 2);
    assert!(again.contains("--force"), "{again}");
    let down = cluster.fails(&["shell", "--site", "us-east", "--config", &cluster.config()], 1);
    assert!(down.contains("is the site running"), "{down}");
    let down = cluster.fails(&["status", "--config", &cluster.config()], 3);
    assert!(down.contains("us-east") && down.contains("ireland"), "{down}");
    assert!(!cluster.folder.join("data").exists(), "a refused start has written data");
}

#[test]
fn a_second_start_of_a_running_site_is_refused() {
    let cluster = Cluster::start(PROGRAM, "twice", &["solo"]);
    cluster.shell(0, "CREATE TABLE t (a INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    let same = cluster.refuses_to_start(0, 1);
    assert!(same.contains("already running"), "{same}");
    // The same data folder under other addresses.
    let mut text = read(&cluster.folder.join("sites.toml"));
    let ports = &cluster.sites[0].ports;
    for port in [ports.sql, ports.http, ports.peer] {
        text = replaced(&text, &format!(":{port}\""), &format!(":{}\"", free_port()));
    }
    let other = cluster.folder.join("other.toml");
    write(&other, &text);
    let said = cluster.fails(&["start", "--config", &other.display().to_string()], 1);
    assert!(said.contains("data") && said.contains("another process"), "{said}");
    cluster.wait_for_value(0, "SELECT a FROM t", "1");
}

#[test]
fn a_wrong_certificate_lets_nobody_in() {
    let mut cluster = three("certificate");
    cluster.kill(2);
    let certs = cluster.folder.join("certs");
    let mine = ["ireland.crt", "ireland.key", "ca.crt"].map(|name| (name, read(&certs.join(name))));
    // Another site's certificate: this start finds it out by itself.
    write(&certs.join("ireland.crt"), &read(&certs.join("us-west.crt")));
    write(&certs.join("ireland.key"), &read(&certs.join("us-west.key")));
    let said = cluster.refuses_to_start(2, 2);
    assert!(said.contains("ireland") && said.contains(".crt"), "{said}");
    // Not a certificate at all, and a key of another certificate.
    write(&certs.join("ireland.crt"), "-----BEGIN CERTIFICATE-----\nnonsense\n");
    assert!(cluster.refuses_to_start(2, 2).contains("ireland.crt"));
    write(&certs.join("ireland.crt"), &mine[0].1);
    let said = cluster.refuses_to_start(2, 2);
    assert!(said.contains(".key") || said.contains("key"), "{said}");
    // A whole identity of another cluster: the others refuse the link and say so, and go on.
    let foreign = folder("foreign");
    let made = Command::new(PROGRAM).args(["init", "--sites", &THREE.join(",")]).arg(&foreign).status();
    assert!(made.is_ok_and(|status| status.success()));
    for (name, _) in &mine {
        write(&certs.join(name), &read(&foreign.join("certs").join(name)));
    }
    remove(&foreign);
    cluster.restart(2);
    // Ireland is called by the sites with lesser ids and never calls them: it tells of refused connections.
    let reason = cluster.wait("a reason at the stranger", || {
        cluster.status(2)?["last_refused_connection"].as_str().map(str::to_owned)
    });
    assert!(reason.contains("certificate") || reason.contains("authority"), "{reason}");
    cluster.connect(0).run("INSERT INTO red_entry VALUES ('without ireland', 'x')");
    let (stranger, count) = (cluster.connect(2), "SELECT count(*) FROM red_entry");
    assert_eq!(stranger.value(count), "0");
    assert!(stranger.refused("INSERT INTO red_entry VALUES ('stranger', 'x')").is("57P03"));
    // Back with its own.
    cluster.kill(2);
    for (name, text) in &mine {
        write(&certs.join(name), text);
    }
    cluster.restart(2);
    cluster.wait_for_value(2, count, "1");
    cluster.converged();
}

fn remove(folder: &Path) {
    // What stays behind harms no test.
    let _ = std::fs::remove_dir_all(folder);
}

/// What strangers send to a TCP port; none of it is PostgreSQL or HTTP.
fn garbage() -> Vec<Vec<u8>> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 32) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    let startup = b"\x00\x00\x00\x0f\x00\x03\x00\x00user\x00x\x00\x00".to_vec();
    let after = |tail: &[u8]| [&startup[..], tail].concat();
    let mut all = vec![
        Vec::new(),
        vec![0],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        b"\x7f\xff\xff\xff\x00\x03\x00\x00".to_vec(),
        b"\x00\x00\x00\x00\x00\x03\x00\x00".to_vec(),
        after(b"Q\xff\xff\xff\xff"),
        after(b"Q\x7f\xff\xff\xffSELECT 1"),
        after(b"Q\x00\x00\x00\x03"),
        after(b"Q\x00\x00\x00\x06\xc3\x28"),
        after(b"B\x00\x00\x00\x0e\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"),
        after(b"P\x00\x00\x00\x09a\x00b\x00\xff\xff"),
        after(b"\x00\x00\x00\x00\x04"),
        after(b"d\x00\x00\x00\x08abcd"),
    ];
    for length in [1, 9, 100, 5000, 100_000] {
        all.push(noise(length));
        all.push(after(&noise(length)));
    }
    all
}

#[test]
fn garbage_on_any_port_disturbs_nobody() {
    let cluster = three("garbage");
    let watcher = blue(&cluster, 0);
    let ports = cluster.sites[0].ports.clone();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (n, bytes) in garbage().iter().enumerate() {
        for port in [ports.sql, ports.http] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            // The site may close before it has heard everything.
            let _ = stream.write_all(bytes);
            let _ = stream.read(&mut [0; 4096]);
        }
        for datagram in bytes.chunks(1400) {
            for byte in [0x00, 0x40, 0x80, 0xc0, 0xff] {
                let mut datagram = datagram.to_vec();
                datagram.iter_mut().take(1).for_each(|first| *first ^= byte);
                stranger.send_to(&datagram, ("127.0.0.1", ports.peer)).unwrap();
            }
        }
        watcher.run(&format!("INSERT INTO entry VALUES ('{n}', 'all the while')"));
    }
    // Connections that never say anything are given up, not collected.
    let silent: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(("127.0.0.1", ports.sql)).unwrap()).collect();
    watcher.run("INSERT INTO entry VALUES ('last', 'all the while')");
    cluster.connect(0).run("INSERT INTO red_entry VALUES ('last', 'x')");
    drop(silent);
    cluster.converged();
    let status = cluster.status(0).unwrap();
    assert!(status["peers"].as_array().unwrap().iter().all(|peer| peer["links_made"] == 1), "{status:#}");
}

#[test]
fn a_statement_that_cannot_be_says_why_and_the_session_goes_on() {
    let cluster = Cluster::start(PROGRAM, "statements", &["solo"]);
    let client = cluster.connect(0);
    client.run("CREATE TABLE t (a INT PRIMARY KEY, b INT NOT NULL MERGE DELTA CHECK (b >= 0))");
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    let long = format!("SELECT '{}", "x".repeat(3_000_000));
    for (sql, sqlstate) in [
        ("SELEKT 1", "42601"),
        ("SELECT nothing FROM t", "42703"),
        ("SELECT * FROM nowhere", "42P01"),
        ("INSERT INTO t VALUES (1, -1)", "23514"),
        ("INSERT INTO t VALUES (1)", "23502"),
        ("SELECT 1/0", "22012"),
        ("CREATE TABLE u (a INT PRIMARY KEY) ROWS SOMETIMES", "42601"),
        ("ALTER TABLE t ALTER COLUMN a SET MERGE DELTA", ""),
        ("CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()", "0A000"),
        ("SET gemini.color = 'green'", "22023"),
        ("SELECT gemini.transaction_status('nonsense')", ""),
        (&deep, ""),
        (&long, "42601"),
    ] {
        let failed = client.refused(sql);
        let shown: String = sql.chars().take(80).collect();
        assert!(
            failed.sqlstate.is_some() && (sqlstate.is_empty() || failed.is(sqlstate)),
            "{shown}: {failed:?}"
        );
        assert_ne!(failed.sqlstate.as_deref(), Some("XX000"), "{shown}: {failed:?}");
        assert_eq!(client.value("SELECT count(*) FROM t"), "0");
    }
    let heard = patiently(Duration::from_secs(5), || cluster.log(0).contains("running").then_some(()));
    assert!(heard.is_some());
}
