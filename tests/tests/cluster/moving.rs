//! A client that moves from site to site, and one that wants no old news: `gemini.wait_for`, `gemini.max_staleness`.

use crate::three;

#[test]
fn a_client_that_moves_reads_its_own_writes() {
    let cluster = three("moving");
    let clients: Vec<_> = (0..3).map(|site| cluster.connect(site)).collect();
    for n in 0..60 {
        let (from, to) = (&clients[n % 3], &clients[(n + 1) % 3]);
        from.run(&format!("INSERT INTO entry VALUES ('key {n}', 'note')"));
        let frontier = from.value("SHOW gemini.frontier");
        to.run(&format!("SET gemini.wait_for = '{frontier}'"));
        assert_eq!(to.value(&format!("SELECT note FROM entry WHERE key = 'key {n}'")), "note");
    }

    // What cannot come is waited for as long as was asked, and no longer.
    cluster.isolate(2);
    clients[0].run("INSERT INTO entry VALUES ('unseen', 'note')");
    let frontier = clients[0].value("SHOW gemini.frontier");
    clients[2].run(&format!("SET gemini.wait_for = '{frontier}'; SET gemini.wait_timeout = '300ms'"));
    let error = clients[2].refused("SELECT count(*) FROM entry");
    assert!(error.is("57P03"), "{error:?}");
    clients[2].run("RESET gemini.wait_for");
    assert_eq!(
        clients[2].value("SELECT count(*) FROM entry WHERE key = 'unseen'"),
        "0",
        "a local read is as it was"
    );
}

#[test]
fn a_bound_on_staleness_holds_while_sites_hear_of_each_other() {
    let cluster = three("stale");
    let (here, there) = (cluster.connect(0), cluster.connect(2));
    here.run("SET gemini.max_staleness = '2s'; SET gemini.wait_timeout = '20s'");
    assert_eq!(here.value("SELECT count(*) FROM entry"), "0");
    there.run("INSERT INTO entry VALUES ('a', 'note')");
    // Two seconds later the bound forbids not to see it.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(here.value("SELECT count(*) FROM entry"), "1");

    cluster.isolate(2);
    here.run("SET gemini.wait_timeout = '100ms'");
    let error = cluster
        .wait("the news from ireland to be too old", || here.query("SELECT count(*) FROM entry").err());
    assert!(error.is("57P03") && error.message.contains("ireland"), "{error:?}");
    here.run("SET gemini.max_staleness = 0");
    assert_eq!(here.value("SELECT count(*) FROM entry"), "1");
    here.run("SET gemini.max_staleness = '2s'; SET gemini.wait_timeout = '30s'");
    cluster.heal();
    assert_eq!(here.value("SELECT count(*) FROM entry"), "1");
}
