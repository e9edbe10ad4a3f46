//! Three endpoints on loopback, real sockets.

use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use super::*;

const CLUSTER: ClusterId = ClusterId([9; 16]);
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority that signs for whoever asks.
struct Authority(Issuer<'static, KeyPair>, rustls::pki_types::CertificateDer<'static>);

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().clone();
        Authority(Issuer::new(params, key), der)
    }

    fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![server_name(name)]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            authorities: vec![self.1.clone()],
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

fn name(id: u16) -> String {
    format!("site-{id}")
}

/// Free loopback ports; the sockets are closed again, so a race is possible and harmless (the test fails to bind).
fn ports(count: usize) -> Vec<SocketAddr> {
    let sockets: Vec<UdpSocket> = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
}

fn config(id: u16, addresses: &[SocketAddr], identity: Identity) -> Config {
    let peer = |(i, address): (usize, &SocketAddr)| {
        let other = u16::try_from(i + 1).unwrap();
        (other != id).then(|| PeerConfig { site: SiteId(other), name: name(other), address: *address })
    };
    Config {
        cluster: CLUSTER,
        site: SiteId(id),
        name: name(id),
        listen: addresses[usize::from(id) - 1],
        identity,
        peers: addresses.iter().enumerate().filter_map(peer).collect(),
        limits: Limits { retry: Duration::from_millis(200), ..Limits::default() },
    }
}

struct End {
    transport: Transport,
    events: Events,
}

fn start(config: Config) -> End {
    let (inbox, events) = channel(64);
    // A closed transport's socket goes when its last task has ended: soon, not at once.
    for _ in 0..200 {
        match Transport::start(config.clone(), inbox.clone()) {
            Err(Error::Bind { .. }) => std::thread::sleep(Duration::from_millis(10)),
            other => return End { transport: other.unwrap(), events },
        }
    }
    panic!("{} stays taken", config.listen)
}

impl End {
    async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time")
    }

    async fn up(&mut self, site: u16) -> LinkId {
        loop {
            match self.next().await {
                Event::Up { site: SiteId(s), link } if s == site => return link,
                _ => {}
            }
        }
    }

    async fn down(&mut self, site: u16) -> String {
        loop {
            match self.next().await {
                Event::Down { site: SiteId(s), reason, .. } if s == site => return reason,
                _ => {}
            }
        }
    }

    async fn refused(&self) -> String {
        let look = async {
            loop {
                if let Some(reason) = self.transport.last_refused() {
                    return reason;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("a refusal in time")
    }

    async fn frame(&mut self, site: u16) -> Bytes {
        loop {
            match self.next().await {
                Event::Frame { site: SiteId(s), bytes, .. } if s == site => return bytes,
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sites_exchange_frames_in_order_and_answer_requests() {
    let authority = Authority::new();
    let addresses = ports(3);
    let mut ends: Vec<End> =
        (1..=3).map(|id| start(config(id, &addresses, authority.identity(&name(id))))).collect();
    let mut links = vec![];
    for (i, end) in ends.iter_mut().enumerate() {
        let mut of = BTreeMap::new();
        for other in (1..=3).filter(|other| usize::from(*other) != i + 1) {
            // Events of the other peer seen on the way are ups too: ask the status for their links.
            let _ = tokio::time::timeout(PATIENCE, async {
                while end.transport.peers().iter().any(|peer| peer.link.is_none()) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            let status = end.transport.peers().into_iter().find(|peer| peer.site == SiteId(other)).unwrap();
            of.insert(other, status.link.expect("up"));
        }
        links.push(of);
    }
    for n in 0..300u32 {
        for (i, end) in ends.iter().enumerate() {
            for (other, link) in &links[i] {
                let mut body = n.to_le_bytes().to_vec();
                body.resize(if n % 50 == 0 { 100_000 } else { 4 + n as usize % 7 }, 7);
                end.transport.send(SiteId(*other), *link, body.into()).unwrap();
            }
        }
    }
    for (i, end) in ends.iter_mut().enumerate() {
        let mut expected: BTreeMap<SiteId, u32> = links[i].keys().map(|other| (SiteId(*other), 0)).collect();
        while expected.values().any(|n| *n < 300) {
            if let Event::Frame { site, bytes, .. } = end.next().await {
                let n = expected.get_mut(&site).unwrap();
                assert_eq!(bytes[..4], n.to_le_bytes(), "in order");
                *n += 1;
            }
        }
    }
    let asking = ends[0].transport.clone();
    let answer = tokio::spawn(async move { asking.request(SiteId(3), Bytes::from_static(b"fetch")).await });
    loop {
        if let Event::Request { site, bytes, reply } = ends[2].next().await {
            assert_eq!((site, bytes.as_ref()), (SiteId(1), &b"fetch"[..]));
            reply.send(Bytes::from(vec![1; 3_000_000]));
            break;
        }
    }
    assert_eq!(answer.await.unwrap().unwrap().len(), 3_000_000);
    for end in &ends {
        end.transport.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_released_when_the_last_handle_is_gone() {
    let (authority, addresses) = (Authority::new(), ports(2));
    let first = start(config(1, &addresses, authority.identity(&name(1))));
    let mut second = start(config(2, &addresses, authority.identity(&name(2))));
    second.up(1).await;
    let clone = first.transport.clone();
    first.transport.close().await;
    drop(first);
    assert!(!released(addresses[0], Duration::from_millis(100)).await, "a handle is left");
    drop(clone);
    assert!(released(addresses[0], PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_noticed_and_a_stale_link_sends_nothing() {
    let authority = Authority::new();
    let addresses = ports(2);
    let identity = authority.identity(&name(2));
    let mut one = start(config(1, &addresses, authority.identity(&name(1))));
    let mut two = start(config(2, &addresses, identity.clone()));
    let old = one.up(2).await;
    two.up(1).await;
    // A close before the handshake is confirmed (a busy machine may be there late) carries no reason: RFC 9000, section 10.2.3.
    tokio::time::sleep(Duration::from_millis(200)).await;
    two.transport.close().await;
    drop(two);
    let reason = one.down(2).await;
    assert!(reason.contains("site-2 closed the link: it shuts down"), "{reason}");
    let mut two = start(config(2, &addresses, identity));
    let new = one.up(2).await;
    two.up(1).await;
    assert!(new > old);
    assert_eq!(one.transport.send(SiteId(2), old, Bytes::from_static(b"old")), Err(SendError::Down));
    one.transport.send(SiteId(2), new, Bytes::from_static(b"new")).unwrap();
    assert_eq!(two.frame(1).await.as_ref(), b"new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_down_within_the_limit() {
    let authority = Authority::new();
    let addresses = ports(2);
    let mut one = start(config(1, &addresses, authority.identity(&name(1))));
    // The peer lives in a runtime of its own, which is shut down like a killed process: without a word.
    let peer = config(2, &addresses, authority.identity(&name(2)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let two = runtime.block_on_from(peer);
    one.up(2).await;
    let since = Instant::now();
    runtime.shutdown_background();
    let reason = one.down(2).await;
    assert!(reason.contains("does not answer") || reason.contains("closed"), "{reason}");
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    drop(two);
}

/// Starts a transport inside another runtime.
trait StartIn {
    fn block_on_from(&self, config: Config) -> (Transport, Events);
}

impl StartIn for tokio::runtime::Runtime {
    fn block_on_from(&self, config: Config) -> (Transport, Events) {
        let _guard = self.enter();
        let (inbox, events) = channel(64);
        (Transport::start(config, inbox).unwrap(), events)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_authority_is_refused_with_both_names_and_a_remedy() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let addresses = ports(2);
    let mut one = start(config(1, &addresses, ours.identity(&name(1))));
    let two = start(config(2, &addresses, theirs.identity(&name(2))));
    let reason = one.down(2).await;
    assert!(reason.contains("site-1 refuses the certificate of site-2"), "{reason}");
    assert!(reason.contains("not signed by the cluster authority"), "{reason}");
    assert!(reason.contains("gemini init"), "{reason}");
    let refused = two.refused().await;
    assert!(refused.contains("refuses the certificate of site-2"), "{refused}");
    assert!(two.transport.peers().iter().all(|peer| peer.link.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_that_the_other_side_does_not_trust_never_is_up() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let addresses = ports(2);
    // Site 1 trusts site 2, but shows a certificate that site 2 does not trust.
    let mut identity = theirs.identity(&name(1));
    identity.authorities = vec![ours.1.clone()];
    let mut one = start(config(1, &addresses, identity));
    let two = start(config(2, &addresses, ours.identity(&name(2))));
    let reason = one.down(2).await;
    assert!(reason.contains("site-2 refuses the certificate of site-1"), "{reason}");
    let refused = two.refused().await;
    assert!(refused.contains("not signed by the cluster authority"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_or_another_cluster_is_refused() {
    let authority = Authority::new();
    let addresses = ports(2);
    let mut one = start(config(1, &addresses, authority.identity(&name(1))));
    let two = start(config(2, &addresses, authority.identity("site-9")));
    let reason = one.down(2).await;
    assert!(reason.contains("it does not name site-2.gemini"), "{reason}");
    two.transport.close().await;
    drop(two);

    let mut foreign = config(2, &addresses, authority.identity(&name(2)));
    foreign.cluster = ClusterId([8; 16]);
    let _two = start(foreign);
    loop {
        let reason = one.down(2).await;
        if reason.contains("belongs to cluster") {
            assert!(reason.contains("use one sites.toml"), "{reason}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_frame_is_refused_on_both_sides() {
    let authority = Authority::new();
    let addresses = ports(2);
    let one = config(1, &addresses, authority.identity(&name(1)));
    let mut two = config(2, &addresses, authority.identity(&name(2)));
    two.limits.frame = 1000;
    let (mut one, mut two) = (start(one), start(two));
    let link = one.up(2).await;
    let back = two.up(1).await;
    let long = Bytes::from(vec![0; 1001]);
    let refused = two.transport.send(SiteId(1), back, long.clone());
    assert_eq!(refused, Err(SendError::TooLong { length: 1001, limit: 1000 }));
    one.transport.send(SiteId(2), link, long).unwrap();
    let reason = two.down(1).await;
    assert!(reason.contains("1001 bytes is longer than the limit of 1000"), "{reason}");
    let reason = one.down(2).await;
    assert!(reason.contains("site-2 closed the link") && reason.contains("limit of 1000"), "{reason}");
    one.up(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_drain_loses_its_link_and_may_come_back() {
    let authority = Authority::new();
    let addresses = ports(2);
    let mut slow = config(2, &addresses, authority.identity(&name(2)));
    slow.limits = Limits { inbox: 10_000, window: 50_000, ..slow.limits };
    let mut fast = config(1, &addresses, authority.identity(&name(1)));
    fast.limits = Limits { outbox: 100_000, window: 50_000, ..fast.limits };
    let (mut one, mut two) = (start(fast), start(slow));
    let link = one.up(2).await;
    // Kept and not handled: each holds its credit.
    let mut kept = vec![two.next().await];
    let frame = Bytes::from(vec![1; 1000]);
    let mut sent = 0;
    let refused = loop {
        match one.transport.send(SiteId(2), link, frame.clone()) {
            Ok(()) => sent += 1,
            Err(e) => break e,
        }
        assert!(sent < 10_000, "bounded");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(matches!(refused, SendError::Backlogged { .. }), "{refused}");
    let reason = one.down(2).await;
    assert!(reason.contains("site-2 does not keep up"), "{reason}");
    let mut received = 0;
    loop {
        let event = two.next().await;
        if let Event::Frame { .. } = event {
            received += 1;
            kept.push(event);
            assert!(received <= 11, "credit bounds what is not handled");
            continue;
        }
        break;
    }
    kept.clear();
    one.up(2).await;
}

/// Not a test of speed, a way to see it: `cargo test -p gemini-replication --release -- --ignored --nocapture speed`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints measurements"]
async fn speed() {
    let authority = Authority::new();
    let addresses = ports(2);
    let mut one = start(config(1, &addresses, authority.identity(&name(1))));
    let mut two = start(config(2, &addresses, authority.identity(&name(2))));
    let link = one.up(2).await;
    let back = two.up(1).await;
    let echo = two.transport.clone();
    let echoing = tokio::spawn(async move {
        let mut bytes_seen = 0usize;
        loop {
            match two.events.recv().await {
                Event::Frame { bytes, .. } if bytes.len() == 100 => {
                    echo.send(SiteId(1), back, bytes).unwrap();
                }
                Event::Frame { bytes, .. } if bytes.is_empty() => {
                    echo.send(SiteId(1), back, bytes_seen.to_le_bytes().to_vec().into()).unwrap();
                }
                Event::Frame { bytes, .. } => bytes_seen += bytes.len(),
                Event::Down { .. } => return,
                _ => {}
            }
        }
    });
    let mut times = vec![];
    for _ in 0..5000 {
        let since = Instant::now();
        one.transport.send(SiteId(2), link, Bytes::from(vec![0; 100])).unwrap();
        one.frame(2).await;
        times.push(since.elapsed());
    }
    times.sort();
    println!("there and back, 100 bytes: p50 {:?} p99 {:?}", times[2500], times[4950]);
    let since = Instant::now();
    let count = 200_000;
    for _ in 0..count {
        while one.transport.peers()[0].queued_bytes > 8 << 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        one.transport.send(SiteId(2), link, Bytes::from(vec![0; 1024])).unwrap();
    }
    one.transport.send(SiteId(2), link, Bytes::new()).unwrap();
    one.frame(2).await;
    println!("1 KiB frames one way: {:.0}/s", f64::from(count) / since.elapsed().as_secs_f64());
    one.transport.close().await;
    let _ = echoing.await;
}
