//! Three sites, nothing wrong: what each colour promises, and that all sites come to the same tables.

use std::collections::BTreeSet;

use gemini_tests::cluster::{Client, Cluster, Failed, http};

use crate::{PROGRAM, THREE, blue};

const SCHEMA: &str = "
    CREATE TABLE item (
        id INT PRIMARY KEY,
        title TEXT MERGE LWW,
        price NUMERIC(10,2),
        stock INT NOT NULL MERGE DELTA CHECK (stock >= 0)
    ) ROWS APPEND ONLY;
    CREATE TABLE orders (
        id BIGSERIAL PRIMARY KEY,
        item INT NOT NULL REFERENCES item (id),
        quantity INT NOT NULL,
        place TEXT
    ) ROWS APPEND ONLY;
    CREATE TABLE account (name TEXT PRIMARY KEY, email TEXT UNIQUE, balance INT NOT NULL);
    INSERT INTO item VALUES (1, 'first', 10.00, 100), (2, 'second', 5.50, 3);
    INSERT INTO orders (item, quantity, place) VALUES (1, 1, 'opening');";

#[test]
fn a_shop_on_three_sites() {
    let mut cluster = Cluster::start(PROGRAM, "shop", &THREE);
    cluster.shell(0, SCHEMA);
    for site in 0..3 {
        cluster.wait_for_value(site, "SELECT count(*) FROM orders", "1");
    }
    blue_commits_show_everywhere(&cluster);
    red_commits_are_one_order(&cluster);
    the_last_items_are_sold_once(&cluster);
    let page = cluster.converged();
    assert_eq!(page["tables"].as_object().map(|tables| tables.len()), Some(3), "{page}");
    operators_see_it(&cluster);
    let total = page["total"].as_str().unwrap().to_owned();
    for site in 0..3 {
        let ended = cluster.terminate(site);
        assert!(ended.success(), "{ended}");
    }
    the_data_folders_are_sound(&cluster, &total);
}

fn blue_commits_show_everywhere(cluster: &Cluster) {
    let mut ids = BTreeSet::new();
    for (site, name) in THREE.iter().enumerate() {
        let client = blue(cluster, site);
        for _ in 0..5 {
            let order =
                format!("INSERT INTO orders (item, quantity, place) VALUES (2, 1, '{}') RETURNING id", name);
            assert!(ids.insert(client.value(&order)), "an id was minted twice");
        }
        client.run("UPDATE item SET stock = stock + 10 WHERE id = 1");
        client.run(&format!("UPDATE item SET title = 'named by {}' WHERE id = 1", THREE[site]));
        // Its own commit is there at once.
        assert_eq!(client.value("SELECT title FROM item WHERE id = 1"), format!("named by {}", THREE[site]));
    }
    for site in 0..3 {
        cluster.wait_for_value(site, "SELECT count(*) FROM orders", "16");
        cluster.wait_for_value(site, "SELECT stock FROM item WHERE id = 1", "130");
    }
    let strict = blue(cluster, 1).refused("UPDATE item SET price = 11 WHERE id = 1");
    assert!(strict.message.contains("price"), "{strict:?}");
}

fn red_commits_are_one_order(cluster: &Cluster) {
    for site in 0..3 {
        let client = cluster.connect(site);
        client.run("UPDATE item SET price = price + 1 WHERE id = 1");
    }
    for site in 0..3 {
        cluster.wait_for_value(site, "SELECT price FROM item WHERE id = 1", "13.00");
    }
    // The same address at two sites at the same time: one gets it.
    let insert = |client: Client, name: &'static str| {
        std::thread::spawn(move || {
            client.query(&format!("INSERT INTO account VALUES ('{name}', 'me@example.org', 0)"))
        })
    };
    let race = [insert(cluster.connect(1), "ann"), insert(cluster.connect(2), "bob")];
    let outcomes: Vec<Result<_, Failed>> = race.into_iter().map(|one| one.join().unwrap()).collect();
    let lost: Vec<&Failed> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(lost.len() == 1 && lost[0].is("23505"), "{outcomes:?}");
    // A schema change made at one site holds at all.
    cluster.connect(2).run("ALTER TABLE account ADD COLUMN note TEXT MERGE LWW");
    for site in 0..3 {
        cluster.wait_for_value(site, "SELECT count(note) FROM account", "0");
    }
}

fn the_last_items_are_sold_once(cluster: &Cluster) {
    let buy = "BEGIN; UPDATE item SET stock = stock - 1 WHERE id = 2; \
               INSERT INTO orders (item, quantity, place) VALUES (2, 1, 'sold'); COMMIT";
    let buyers: Vec<_> = (0..6)
        .map(|n| {
            let client = cluster.connect(n % 3);
            std::thread::spawn(move || client.query(buy))
        })
        .collect();
    let outcomes: Vec<_> = buyers.into_iter().map(|buyer| buyer.join().unwrap()).collect();
    let sold = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused =
        outcomes.iter().filter_map(|o| o.as_ref().err()).filter(|e| e.is("23514") || e.is("40001")).count();
    assert_eq!((sold, refused), (3, 3), "{outcomes:?}");
    for site in 0..3 {
        cluster.wait_for_value(site, "SELECT stock FROM item WHERE id = 2", "0");
        cluster.wait_for_value(site, "SELECT count(*) FROM orders WHERE place = 'sold'", "3");
    }
    assert!(cluster.connect(1).refused(buy).is("23514"));
}

fn operators_see_it(cluster: &Cluster) {
    let status = cluster.command(&["status", "--json", "--config", &cluster.config()]);
    assert!(status.status.success(), "{status:?}");
    let all: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    for (site, name) in THREE.iter().enumerate() {
        assert_eq!(all[name]["leader"], "us-east");
        assert!(all[name]["transactions"]["blue"].as_u64().is_some_and(|n| n >= 7), "{}", all[name]);
        let (code, metrics) = http(cluster.sites[site].ports.http, "/metrics").unwrap();
        assert_eq!(code, 200);
        assert!(metrics.contains("gemini_commits_total{color=\"blue\"}"), "{metrics}");
        let client = cluster.connect(site);
        let sites = client.run("SELECT site FROM gemini.sites ORDER BY id");
        assert_eq!(sites, THREE.map(|name| vec![name.to_owned()]));
        // A link may be lost for a moment on a busy machine.
        cluster.wait_for_value(site, "SELECT count(*) FROM gemini.sites WHERE linked AND reachable", "3");
        assert_eq!(client.value("SELECT site FROM gemini.status"), *name);
    }
}

fn the_data_folders_are_sound(cluster: &Cluster, total: &str) {
    for site in 0..3 {
        let data = cluster.data(site).display().to_string();
        let check = cluster.command(&["check", &data]);
        let text = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.success(), "{check:?}");
        assert!(text.contains("all is well") && text.contains(total), "{text}");
    }
}
