use super::*;
use std::io::{BufRead, BufReader, Write};

use crate::config::Cluster;
use crate::init;
use gemini_replication::quic::{Event, Events, LinkId, Transport, channel};

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn end(site: &str, address: SocketAddr) -> End {
    End { site: site.to_owned(), address }
}

fn receive_one(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2048];
    socket.recv_from(&mut buffer).ok().map(|(n, from)| (buffer[..n].to_vec(), from))
}

#[test]
fn both_directions_are_delayed_and_keep_their_order_under_jitter() {
    let ((a, at_a), (b, at_b)) = (socket(), socket());
    let mut spec = LinkSpec::new(end("a", at_a), end("b", at_b), Duration::from_millis(40));
    spec.weather.jitter = Duration::from_millis(5);
    let relays = Relays::start(vec![spec]).unwrap();
    let via = relays.address("b", "a").unwrap();
    let started = Instant::now();
    for i in 0..50u8 {
        a.send_to(&[i], via).unwrap();
    }
    for i in 0..50u8 {
        assert_eq!(receive_one(&b), Some((vec![i], via)));
    }
    assert!(started.elapsed() >= Duration::from_millis(20));
    let started = Instant::now();
    b.send_to(b"back", via).unwrap();
    assert_eq!(receive_one(&a), Some((b"back".to_vec(), via)));
    assert!(started.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_cut_loses_what_is_under_way_and_strangers_are_not_relayed() {
    let ((a, at_a), (b, at_b)) = (socket(), socket());
    let relays =
        Relays::start(vec![LinkSpec::new(end("a", at_a), end("b", at_b), Duration::from_millis(60))])
            .unwrap();
    let via = relays.address("a", "b").unwrap();
    a.send_to(b"lost", via).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    relays.cut("a", "b").unwrap();
    relays.heal("b", "a").unwrap();
    let (stranger, _) = socket();
    stranger.send_to(b"stranger", via).unwrap();
    a.send_to(b"kept", via).unwrap();
    assert_eq!(receive_one(&b).map(|(bytes, _)| bytes), Some(b"kept".to_vec()));
    assert_eq!(receive_one(&b), None);
    assert_eq!(relays.status()[0].lost, 1);
    assert!(relays.cut("a", "c").is_err());
}

#[test]
fn commands_come_as_lines() {
    let ((a, at_a), (b, at_b)) = (socket(), socket());
    let relays = Relays::start(vec![LinkSpec::new(end("a", at_a), end("b", at_b), Duration::ZERO)]).unwrap();
    let control = relays.control("127.0.0.1:0".parse().unwrap()).unwrap();
    let stream = std::net::TcpStream::connect(control.address()).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut tell = |command: &str| {
        (&stream).write_all(format!("{command}\n").as_bytes()).unwrap();
        answers.next().unwrap().unwrap()
    };
    let via = relays.address("a", "b").unwrap();
    assert_eq!(tell("isolate a"), "ok");
    a.send_to(b"x", via).unwrap();
    assert_eq!(receive_one(&b), None);
    assert_eq!(tell("heal all"), "ok");
    assert_eq!(tell("delay a b 1.5"), "ok");
    a.send_to(b"y", via).unwrap();
    assert!(receive_one(&b).is_some());
    assert!(tell("list").starts_with(&format!("a b {via} up delay 1.5")));
    assert_eq!(tell("loss a b 101"), "ok", "the end of the list");
    assert!(relays.control("192.0.2.1:1".parse().unwrap()).is_err());
}

/// Two sites of a fresh cluster, joined through a relay as the demo joins them.
struct Pair {
    relays: Relays,
    folder: std::path::PathBuf,
    one: Transport,
    one_events: Events,
    two: Transport,
    two_events: Events,
}

fn pair(name: &str, round_trip: Duration) -> Pair {
    let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (at_a, at_b) = (free(), free());
    let relays = Relays::start(vec![LinkSpec::new(end("a", at_a), end("b", at_b), round_trip)]).unwrap();
    let via = relays.address("a", "b").unwrap();
    let mut plan = init::Plan::local(name, &["a".to_owned(), "b".to_owned()]);
    (plan.sites[0].peer, plan.sites[1].peer) = (at_a, at_b);
    plan.sites[0].via = vec![("b".to_owned(), via)];
    plan.sites[1].via = vec![("a".to_owned(), via)];
    let folder = std::env::temp_dir().join(format!("gemini-{name}-{}", std::process::id()));
    let cluster = Cluster::load(&init::create(&folder, &plan, true).unwrap()).unwrap();
    let start = |i: usize| {
        let (inbox, events) = channel(64);
        (Transport::start(cluster.transport(&cluster.sites[i]).unwrap(), inbox).unwrap(), events)
    };
    let ((one, one_events), (two, two_events)) = (start(0), start(1));
    Pair { relays, folder, one, one_events, two, two_events }
}

async fn link(events: &mut Events) -> LinkId {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap();
        if let Event::Up { link, .. } = event {
            return link;
        }
    }
}

/// What a long catch-up gets through a relay: `cargo test -p gemini --release --lib -- --ignored --nocapture far`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints measurements"]
async fn far_throughput() {
    for round_trip in [0, 85, 350] {
        let mut pair = pair("far", Duration::from_millis(round_trip));
        let up = link(&mut pair.one_events).await;
        let since = Instant::now();
        let sender = pair.one.clone();
        tokio::spawn(async move {
            for _ in 0..1000 {
                while sender.peers()[0].queued_bytes > 16 << 20 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                sender.send(gemini_shadow_ops::SiteId(2), up, vec![7; 64 << 10].into()).unwrap();
            }
        });
        let mut received = 0;
        while received < 1000 {
            received += usize::from(matches!(pair.two_events.recv().await, Event::Frame { .. }));
        }
        let rate = 62.5 / since.elapsed().as_secs_f64();
        println!("{round_trip} ms: {rate:.1} MiB/s, {:?}", pair.relays.status()[0]);
        pair.one.close().await;
        pair.two.close().await;
        std::fs::remove_dir_all(&pair.folder).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_meet_through_a_relay_and_the_round_trip_is_the_emulated_one() {
    let wanted = Duration::from_millis(30);
    let Pair { relays, folder, one, mut one_events, two, mut two_events } = pair("relay", wanted);
    tokio::spawn(async move {
        loop {
            if let Event::Request { bytes, reply, .. } = two_events.recv().await {
                reply.send(bytes);
            }
        }
    });
    let patience = Duration::from_secs(20);
    link(&mut one_events).await;
    let peer = gemini_shadow_ops::SiteId(2);
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let since = Instant::now();
        one.request(peer, bytes::Bytes::from_static(b"ping")).await.unwrap();
        best = best.min(since.elapsed());
    }
    println!("round trip {best:?}, wanted {wanted:?}");
    assert!(best >= wanted, "{best:?}");
    assert!(best < wanted + Duration::from_millis(10), "{best:?}");

    relays.isolate("b").unwrap();
    let down = async {
        loop {
            if let Event::Down { reason, .. } = one_events.recv().await {
                return reason;
            }
        }
    };
    let reason = tokio::time::timeout(patience, down).await.unwrap();
    assert!(reason.contains("b does not answer"), "{reason}");
    relays.heal_all();
    link(&mut one_events).await;
    one.close().await;
    two.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
