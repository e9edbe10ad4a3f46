//! Rows spoilt behind a site's back, in its store while it is down: the sites find them by themselves, and `gemini verify`
//! names them.

use std::path::Path;
use std::sync::Arc;

use gemini_engine::store::{Changes, Pair, Span};
use gemini_engine::{Store, StoreKind};
use gemini_tests::cluster::{Cluster, PATIENCE, http, patiently};

use crate::three;

/// A stopped site's store. The lock of whoever had it open before, this test included, may last for another moment.
fn opened(store: &Path) -> Arc<dyn Store> {
    let open = || StoreKind::default().open(store, 1 << 20).map_err(|e| e.to_string());
    let mut last = String::new();
    let opened = patiently(PATIENCE, || open().map_err(|e| last = e).ok());
    opened.unwrap_or_else(|| panic!("{}: {last}", store.display()))
}

/// The rows of a stopped site's store whose bytes hold this text.
fn rows(store: &Path, holds: &str) -> Vec<Pair> {
    let store = opened(store);
    let all = store.range(&Span::prefix(vec![b'r']), false, 10_000).unwrap();
    let within = |bytes: &[u8]| bytes.windows(holds.len()).any(|part| part == holds.as_bytes());
    all.into_iter().filter(|(_, value)| within(value)).collect()
}

fn put(store: &Path, (key, value): Pair) {
    let store = opened(store);
    let mut changes = Changes::default();
    changes.put(key, value);
    store.apply(changes).unwrap();
    store.flush().unwrap();
}

fn verified(cluster: &Cluster) -> String {
    let output = cluster.command(&["verify", "--config", &cluster.config()]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a site has a direct link with every other.
fn linked(cluster: &Cluster, site: usize) -> bool {
    let status = cluster.status(site).unwrap_or_default();
    let peers = status["peers"].as_array().cloned().unwrap_or_default();
    peers.len() == 2 && peers.iter().all(|peer| peer["link"] == "up" && peer["reachable"] == true)
}

#[test]
fn spoilt_rows_are_found_and_named() {
    let mut cluster = three("divergence");
    let client = cluster.connect(1);
    for n in 0..600 {
        client.run(&format!("INSERT INTO entry VALUES ('key {n}', 'note {n}')"));
    }
    cluster.converged();
    assert!(verified(&cluster).contains("all sites hold the same"));

    // Other contents under the same effects: a byte of the row's text.
    let store = cluster.data(2).join("store");
    assert!(cluster.terminate(2).success());
    let (key, mut value) = rows(&store, "note 314").pop().expect("the row is in the store");
    let at = value.windows(8).position(|part| part == b"note 314").unwrap();
    value[at] = b'N';
    put(&store, (key, value));
    // What is to become a lost effect: a row as it is before its update.
    let before = rows(&store, "note 42").into_iter().find(|(_, value)| value.ends_with(b"note 42")).unwrap();
    cluster.restart(2);
    client.run("UPDATE entry SET note = 'changed' WHERE key = 'key 42'");
    cluster.level();
    assert!(cluster.terminate(2).success());
    put(&store, before);
    cluster.restart(2);
    cluster.wait_for_value(2, "SELECT note FROM entry WHERE key = 'key 42'", "note 42");

    cluster.wait("all links", || (0..3).all(|site| linked(&cluster, site)).then_some(()));
    let said = cluster.fails(&["verify", "--config", &cluster.config()], 3);
    for line in [
        "table entry, key (key 314), us-east and ireland: the same effects, other contents",
        "table entry, key (key 42), ireland and us-west: an effect is lost or doubled",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
    assert!(!said.contains("us-east and us-west"), "{said}");
    // The sites say so themselves, wherever an operator looks.
    cluster.wait_for_value(2, "SELECT count(DISTINCT key) FROM gemini.divergence", "2");
    let (_, metrics) = http(cluster.sites[2].ports.http, "/metrics").unwrap();
    assert!(metrics.contains("gemini_divergent_rows 4\n"), "{metrics}");
    assert!(cluster.log(2).contains("DIVERGENCE"));
}
