use super::*;

const GOOD: &str = r#"[cluster]
id = "000102030405060708090a0b0c0d0e0f"
name = "shop"
authority = "certs/ca.crt"
sequencer = "west"

[timeouts]
commit = "3s"

[site.east]
id = 1
sql = "127.0.0.1:5441"
peer = "127.0.0.1:7441"
http = "127.0.0.1:8441"
data = "data/east"
certificate = "certs/east.crt"
key = "certs/east.key"

[site.west]
id = 2
sql = "127.0.0.1:5442"
peer = "10.0.0.2:7442"
http = "127.0.0.1:8442"
data = "data/west"
certificate = "certs/west.crt"
key = "certs/west.key"
via.east = "127.0.0.1:9001"

[links]
west.east = 85
"#;

fn parse(text: &str) -> Result<Cluster, ConfigError> {
    Cluster::parse(text, Path::new("/etc/gemini/sites.toml"))
}

/// The error of the good file with one replacement.
fn broken(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    parse(&GOOD.replacen(from, to, 1)).expect_err("it must be refused").to_string()
}

#[test]
fn a_good_file_is_read() {
    let cluster = parse(GOOD).unwrap();
    assert_eq!(cluster.id.to_string(), "000102030405060708090a0b0c0d0e0f");
    assert_eq!(cluster.sequencer, SiteId(2));
    assert_eq!(cluster.minting_classes, 32);
    assert_eq!(cluster.timeouts.commit, Duration::from_secs(3));
    assert_eq!(cluster.durability, Durability::Local);
    let west = cluster.site(Some("west")).unwrap();
    assert_eq!((west.id, west.minting_class), (SiteId(2), 1));
    assert_eq!(west.data, Path::new("/etc/gemini/data/west"));
    assert_eq!(west.via, vec![(SiteId(1), "127.0.0.1:9001".parse().unwrap())]);
    assert_eq!(cluster.round_trip(SiteId(2), SiteId(1)), Duration::from_millis(85));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_remedy() {
    let cases = [
        ("commit = \"3s\"", "comit = \"3s\"", "line 8", "unknown field `comit`"),
        ("commit = \"3s\"", "commit = \"3\"", "line 8", "as in \"300ms\""),
        ("commit = \"3s\"", "peer_dead = \"100ms\"", "line 8", "three times peer_heartbeat"),
        ("127.0.0.1:5441", "0.0.0.0:5441", "line 12", "loopback only"),
        ("127.0.0.1:8441", "10.1.1.1:8441", "line 14", "loopback only"),
        ("127.0.0.1:5441", "localhost", "line 12", "IP:PORT"),
        ("sequencer = \"west\"", "sequencer = \"mars\"", "line 5", "there are east, west"),
        ("sequencer = \"west\"", "durability = \"all\"", "line 5", "\"quorum\""),
        ("sequencer = \"west\"", "minting_classes = 1", "line 20", "minting class 1"),
        ("id = 2", "id = 1", "line 19", "never shared"),
        ("id = 2", "id = 0", "line 20", "count from 1"),
        ("[site.west]", "[site.West]", "line 19", "a-z, 0-9"),
        ("[site.west]", "[site.east]", "line 19", "duplicate key"),
        ("data/west", "data/east", "line 19", "another site's too"),
        ("127.0.0.1:8442", "127.0.0.1:5441", "line 19", "used twice"),
        ("west.east = 85", "west.mars = 85", "line 30", "no table [site.mars]"),
        ("west.east = 85", "west.west = 85", "line 30", "two different sites"),
        ("west.east = 85", "west.east = -1", "line 30", "between 0 and 10000"),
        ("via.east", "via.mars", "line 27", "no table [site.mars]"),
        ("000102030405060708090a0b0c0d0e0f", "+00102030405060708090a0b0c0d0e0f", "line 2", "32 hexadecimal"),
        ("name = \"shop\"", "name = ", "line 3", ""),
        ("name = \"shop\"\n", "", "line 1", "missing field `name`"),
        ("name = \"shop\"", "format = 2\nnew = \"setting\"", "line 3", "start the release"),
    ];
    for (from, to, line, words) in cases {
        let message = broken(from, to);
        assert!(message.starts_with("/etc/gemini/sites.toml, "), "{message}");
        assert!(message.contains(&format!("{line}:")) && message.contains(words), "{to}: {message}");
    }
}

#[test]
fn an_unknown_site_is_named_with_the_known_ones() {
    let cluster = parse(GOOD).unwrap();
    let message = cluster.site(Some("mars")).unwrap_err().to_string();
    assert!(message.contains("\"mars\"") && message.contains("east, west"), "{message}");
    assert!(cluster.site(None).unwrap_err().to_string().contains("--site"));
}
