//! Whole sites in this process: real disks, threads and sockets, no SQL.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gemini_shadow_ops::{Classification, Color, Footprint, Frontier, Hlc, ShadowTransaction, SiteId, Stamp};
use gemini_sql::host::{Durability, Host, Submission};

use super::{DriverError, Running};
use crate::config::{Cluster, Site as SiteConfig};
use crate::host::SiteHost;
use crate::init::{self, Plan};

fn tcp() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn cluster(name: &str, sites: &[&str]) -> (PathBuf, Cluster) {
    let folder = std::env::temp_dir().join(format!("gemini-driver-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let mut plan = Plan::local(name, &sites.iter().map(|site| (*site).to_owned()).collect::<Vec<_>>());
    for site in &mut plan.sites {
        (site.sql, site.http, site.peer) = (tcp(), tcp(), udp());
    }
    let file = init::create(&folder, &plan, false).unwrap();
    (folder, Cluster::load(&file).unwrap())
}

/// Waits until every site follows `leader`.
async fn led_by(sites: &[Running], leader: u16) {
    let led = async {
        while !sites
            .iter()
            .all(|site| site.host.shared().status().leader.is_some_and(|(found, _)| found == SiteId(leader)))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), led).await.expect("a leader in time");
}

/// Starts a site that has just been stopped: what ends behind it (the socket's task, an answered page) may hold its
/// store or its port for another moment.
async fn started(cluster: &Cluster, config: &SiteConfig) -> Result<Running, DriverError> {
    for _ in 0..200 {
        match Running::start(cluster, config).await {
            Err(e) if ["lock", "Address already in use"].iter().any(|busy| e.to_string().contains(busy)) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
    panic!("{} stays taken", config.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_site_starts_stops_and_starts_again() {
    let (folder, cluster) = cluster("solo", &["solo"]);
    for _ in 0..2 {
        let site = started(&cluster, &cluster.sites[0]).await.unwrap();
        let (code, page) = crate::http::get(cluster.sites[0].http, "/healthz").await.unwrap();
        assert_eq!((code, page.as_str()), (200, "ok\n"));
        let sites = [site];
        led_by(&sites, 1).await;
        let again = Running::start(&cluster, &cluster.sites[0]).await.err().expect("it is running already");
        assert!(again.to_string().contains("already running"), "{again}");
        for site in sites {
            site.stop().await.unwrap();
        }
    }
    let mut other = cluster.clone();
    other.id = gemini_replication::quic::ClusterId([3; 16]);
    let refused = started(&other, &other.sites[0]).await.err().expect("another cluster's data");
    assert!(refused.to_string().contains("cluster"), "{refused}");
    fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sites_agree_on_the_preferred_leader_and_on_another_without_it() {
    let (folder, cluster) = cluster("three", &["a", "b", "c"]);
    let mut sites = Vec::new();
    for config in &cluster.sites {
        sites.push(Running::start(&cluster, config).await.unwrap());
    }
    led_by(&sites, 1).await;
    sites.remove(0).stop().await.unwrap();
    let next = async {
        loop {
            let leaders: Vec<_> = sites.iter().map(|site| site.host.shared().status().leader).collect();
            if leaders[0] == leaders[1] && leaders[0].is_some_and(|(site, _)| site != SiteId(1)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), next).await.expect("a new leader in time");
    sites.push(started(&cluster, &cluster.sites[0]).await.unwrap());
    led_by(&sites, 1).await;
    for site in sites {
        site.stop().await.unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
}

/// Not a test of speed, a way to see it: `cargo test -p gemini --release --lib -- --ignored --nocapture commit_speed`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints measurements"]
async fn commit_speed() {
    let (folder, cluster) = cluster("speed", &["solo"]);
    let site = Running::start(&cluster, &cluster.sites[0]).await.unwrap();
    let file = fs::File::create(folder.join("sync")).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, &[1; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut syncs: Vec<Duration> = (0..1000u64)
        .map(|n| {
            let since = Instant::now();
            std::os::unix::fs::FileExt::write_at(&file, &[n as u8; 200], n * 200).unwrap();
            file.sync_data().unwrap();
            since.elapsed()
        })
        .collect();
    syncs.sort();
    println!("one fdatasync: p50 {:?} p99 {:?}", syncs[500], syncs[990]);
    for clients in [1, 4, 16] {
        let since = Instant::now();
        let tasks: Vec<_> =
            (0..clients).map(|_| tokio::spawn(commits(site.host.clone(), 3000 / clients))).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        let rate = times.len() as f64 / since.elapsed().as_secs_f64();
        times.sort();
        println!(
            "{clients} clients: p50 {:?} p99 {:?}, {rate:.0}/s",
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
    }
    site.stop().await.unwrap();
    fs::remove_dir_all(&folder).unwrap();
}

/// Blue transactions without effects, one after the other.
async fn commits(host: Arc<SiteHost>, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let since = Instant::now();
        let snapshot = host.snapshot();
        let transaction = ShadowTransaction {
            origin: host.site(),
            statements: vec![snapshot.frontier().clone()],
            deps: Frontier::default(),
            stamp: Stamp { hlc: Hlc::default(), site: host.site() },
            schema_version: snapshot.schema().version,
            ops: Vec::new(),
        };
        let classification = Classification {
            color: Color::Blue,
            reasons: Vec::new(),
            footprint: Footprint::default(),
            spends: Vec::new(),
        };
        let submission = Submission {
            transaction,
            classification,
            local_reads: Vec::new(),
            minted: Vec::new(),
            explicit: Vec::new(),
            asserted_blue: false,
            durability: Durability::Local,
            timeout: None,
            about: None,
        };
        host.submit(submission).await.unwrap();
        times.push(since.elapsed());
    }
    times
}
