use super::*;
use std::io::{BufRead, BufReader, Write};

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
