//! The wire protocol with raw messages over a socket: what is answered, byte for byte where it matters.

#![allow(clippy::unwrap_used)] // a test that cannot go on may panic

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gemini_sql::pg::{Limits, STACK, serve};
use gemini_sql::testing::LocalHost;

/// A server for one test, stopped when it is dropped.
struct Server {
    address: std::net::SocketAddr,
    _stop: tokio::sync::watch::Sender<bool>,
    _runtime: tokio::runtime::Runtime,
}

fn server(limits: Limits) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, closing) = tokio::sync::watch::channel(false);
    runtime.spawn(serve(listener, LocalHost::ticking(), limits, closing));
    Server { address, _stop: stop, _runtime: runtime }
}

/// A client that speaks in raw messages.
struct Raw {
    stream: TcpStream,
    pid: i32,
    key: i32,
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

/// Text parameters and results of one format.
fn bind(portal: &str, statement: &str, params: &[&str], results: i16) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0").into_bytes();
    body.extend_from_slice(&0i16.to_be_bytes());
    body.extend_from_slice(&(params.len() as i16).to_be_bytes());
    for param in params {
        body.extend_from_slice(&(param.len() as i32).to_be_bytes());
        body.extend_from_slice(param.as_bytes());
    }
    body.extend_from_slice(&1i16.to_be_bytes());
    body.extend_from_slice(&results.to_be_bytes());
    message(b'B', &body)
}

fn describe(kind: char, name: &str) -> Vec<u8> {
    message(b'D', format!("{kind}{name}\0").as_bytes())
}

fn execute(portal: &str, limit: i32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend_from_slice(&limit.to_be_bytes());
    message(b'E', &body)
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn flush() -> Vec<u8> {
    message(b'H', b"")
}

impl Raw {
    fn connect(server: &Server) -> Raw {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // libpq asks for TLS first and must be told no.
        stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"N");
        let mut body = 196_608i32.to_be_bytes().to_vec();
        body.extend_from_slice(
            b"user\0u\0database\0d\0application_name\0raw\0client_min_messages\0warning\0\0",
        );
        stream.write_all(&(body.len() as i32 + 4).to_be_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut raw = Raw { stream, pid: 0, key: 0 };
        loop {
            let (kind, body) = raw.next();
            match kind {
                b'K' => {
                    raw.pid = i32::from_be_bytes(body[..4].try_into().unwrap());
                    raw.key = i32::from_be_bytes(body[4..8].try_into().unwrap());
                }
                b'Z' => return raw,
                b'E' => panic!("refused: {}", show(b'E', &body)),
                _ => {}
            }
        }
    }

    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).unwrap();
        let length = i32::from_be_bytes(head[1..5].try_into().unwrap()) as usize - 4;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (head[0], body)
    }

    fn send(&mut self, messages: &[Vec<u8>]) {
        self.stream.write_all(&messages.concat()).unwrap();
    }

    /// What is answered up to and with the n-th ReadyForQuery.
    fn until_ready(&mut self, n: usize) -> String {
        let (mut out, mut seen) = (String::new(), 0);
        while seen < n {
            let (kind, body) = self.next();
            let _ = writeln!(out, "{}", show(kind, &body));
            seen += usize::from(kind == b'Z');
        }
        out
    }

    fn say(&mut self, messages: &[Vec<u8>]) -> String {
        self.send(messages);
        let ready = messages.iter().filter(|m| matches!(m[0], b'S' | b'Q')).count();
        self.until_ready(ready)
    }
}

fn text(body: &[u8]) -> String {
    body.split(|b| *b == 0).next().map(|t| String::from_utf8_lossy(t).into_owned()).unwrap_or_default()
}

/// A message in one line.
fn show(kind: u8, body: &[u8]) -> String {
    let int2 = |at: usize| i16::from_be_bytes(body[at..at + 2].try_into().unwrap());
    let int4 = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    match kind {
        b'E' | b'N' => {
            let mut fields: Vec<String> = Vec::new();
            for field in body.split(|b| *b == 0).filter(|f| !f.is_empty()) {
                // Severity is said twice; what stays is what drivers act on.
                if !matches!(field[0], b'V' | b'H' | b'D') {
                    fields.push(String::from_utf8_lossy(field).into_owned());
                }
            }
            fields.join(" ")
        }
        b'T' => {
            let mut columns = Vec::new();
            let mut at = 2;
            for _ in 0..int2(0) {
                let name = text(&body[at..]);
                at += name.len() + 1;
                columns.push(format!("{name}:{}:{}", int4(at + 6), int2(at + 16)));
                at += 18;
            }
            format!("T {}", columns.join(" "))
        }
        b't' => {
            let oids: Vec<String> = (0..int2(0) as usize).map(|i| int4(2 + i * 4).to_string()).collect();
            format!("t {}", oids.join(" "))
        }
        b'D' => {
            let mut values = Vec::new();
            let mut at = 2;
            for _ in 0..int2(0) {
                let length = int4(at);
                at += 4;
                if length < 0 {
                    values.push("NULL".to_string());
                } else {
                    let bytes = &body[at..at + length as usize];
                    let plain = bytes.iter().all(|b| (32..127).contains(b)) && !bytes.is_empty();
                    values.push(if plain {
                        String::from_utf8_lossy(bytes).into_owned()
                    } else {
                        format!("{bytes:?}")
                    });
                    at += length as usize;
                }
            }
            format!("D {}", values.join(" "))
        }
        b'C' | b'd' => {
            format!("{} {}", kind as char, String::from_utf8_lossy(body).trim_end_matches(['\0', '\n']))
        }
        b'Z' => format!("Z {}", body[0] as char),
        b'S' => format!("S {}", String::from_utf8_lossy(body).replace('\0', " ").trim()),
        b'G' | b'H' => format!("{} {} columns", kind as char, int2(1)),
        other => (other as char).to_string(),
    }
}

fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).fold(String::new(), |out, l| out + l + "\n")
}

#[test]
fn several_statements_of_one_text_are_one_transaction() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    assert_eq!(
        c.say(&[query(
            "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1); SELECT a, NULL AS n FROM t"
        )]),
        lines("C CREATE TABLE\n C INSERT 0 1\n T a:23:0 n:25:0\n D 1 NULL\n C SELECT 1\n Z I")
    );
    assert_eq!(
        c.say(&[query("INSERT INTO t VALUES (2); INSERT INTO t VALUES (1); SELECT 1")]),
        lines(
            "C INSERT 0 1\n SERROR C23505 Mduplicate key value violates unique constraint \"t_pkey\" spublic tt nt_pkey\n Z I"
        )
    );
    assert_eq!(c.say(&[query("SELECT count(*) FROM t")]), lines("T count:20:0\n D 1\n C SELECT 1\n Z I"));
    assert_eq!(c.say(&[query("  ;; ")]), lines("I\n Z I"));
    assert_eq!(
        c.say(&[query("SELECT 1; SELECT nope;")]),
        lines("T ?column?:23:0\n D 1\n C SELECT 1\n SERROR C42703 Mcolumn \"nope\" does not exist P18\n Z I")
    );
}

#[test]
fn parameters_are_inferred_and_results_can_be_binary() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    c.say(&[query("CREATE TABLE t (a int PRIMARY KEY, b text, c numeric(10,2))")]);
    assert_eq!(
        c.say(&[
            parse("s", "INSERT INTO t VALUES ($1, $2, $3) RETURNING a, b, c"),
            describe('S', "s"),
            bind("", "s", &["7", "x", "1.5"], 1),
            describe('P', ""),
            execute("", 0),
            sync(),
        ]),
        lines(
            "1\n t 23 25 1700\n T a:23:0 b:25:0 c:1700:0\n 2\n T a:23:1 b:25:1 c:1700:1\n \
             D [0, 0, 0, 7] x [0, 2, 0, 0, 0, 0, 0, 2, 0, 1, 19, 136]\n C INSERT 0 1\n Z I"
        )
    );
    assert_eq!(
        c.say(&[bind("", "s", &["8"], 0), execute("", 0), sync()]),
        lines(
            "SERROR C08P01 Mbind message supplies 1 parameters, but prepared statement \"s\" requires 3\n Z I"
        )
    );
    assert_eq!(
        c.say(&[bind("", "s", &["x", "y", "1"], 0), execute("", 0), sync()]),
        lines("SERROR C22P02 Minvalid input syntax for type integer: \"x\"\n Z I")
    );
    assert_eq!(
        c.say(&[parse("s", "SELECT 1"), sync()]),
        lines("SERROR C42P05 Mprepared statement \"s\" already exists\n Z I")
    );
}

#[test]
fn portals_stop_at_their_limit_and_go_on() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    assert_eq!(
        c.say(&[
            query("BEGIN"),
            parse("", "SELECT * FROM generate_series(1, 5) AS g"),
            bind("p", "", &[], 0),
            execute("p", 2),
            execute("p", 2),
            execute("p", 2),
            execute("p", 2),
            sync(),
            query("COMMIT"),
        ]),
        lines(
            "C BEGIN\n Z T\n 1\n 2\n D 1\n D 2\n s\n D 3\n D 4\n s\n D 5\n C SELECT 5\n C SELECT 0\n Z T\n C COMMIT\n Z I"
        )
    );
    assert_eq!(
        c.say(&[execute("p", 0), sync()]),
        lines("SERROR C34000 Mcursor \"p\" does not exist\n Z I"),
        "the transaction's end closes its portals"
    );
    assert_eq!(
        c.say(&[query("BEGIN"), execute("p", 0), sync(), query("ROLLBACK")]),
        lines("C BEGIN\n Z T\n SERROR C34000 Mcursor \"p\" does not exist\n Z E\n C ROLLBACK\n Z I"),
        "such an error fails the block too"
    );
}

#[test]
fn an_error_skips_to_the_next_sync() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    c.say(&[query("CREATE TABLE t (a int PRIMARY KEY)")]);
    assert_eq!(
        c.say(&[
            parse("", "INSERT INTO t VALUES (1)"),
            bind("", "", &[], 0),
            execute("", 0),
            parse("", "SELECT 1/0"),
            bind("", "", &[], 0),
            execute("", 0),
            parse("", "INSERT INTO t VALUES (2)"),
            bind("", "", &[], 0),
            execute("", 0),
            sync(),
            query("SELECT count(*) FROM t"),
        ]),
        lines(
            "1\n 2\n C INSERT 0 1\n 1\n 2\n SERROR C22012 Mdivision by zero\n Z I\n T count:20:0\n D 0\n C SELECT 1\n Z I"
        ),
        "statements up to a Sync are one transaction"
    );
    assert_eq!(
        c.say(&[query("BEGIN"), query("SELECT 1/0"), query("SELECT 1"), query("ROLLBACK")]),
        lines(
            "C BEGIN\n Z T\n T ?column?:23:0\n SERROR C22012 Mdivision by zero\n Z E\n \
             SERROR C25P02 Mcurrent transaction is aborted, commands ignored until end of transaction block\n Z E\n C ROLLBACK\n Z I"
        )
    );
}

#[test]
fn flush_answers_without_a_sync() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    c.send(&[parse("q", "SELECT $1::int + 1"), describe('S', "q"), flush()]);
    let mut answer = String::new();
    for _ in 0..3 {
        let (kind, body) = c.next();
        let _ = writeln!(answer, "{}", show(kind, &body));
    }
    assert_eq!(answer, lines("1\n t 23\n T ?column?:23:0"));
    assert_eq!(
        c.say(&[bind("", "q", &["41"], 0), execute("", 0), sync()]),
        lines("2\n D 42\n C SELECT 1\n Z I")
    );
}

#[test]
fn copy_in_both_directions() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    c.say(&[query("CREATE TABLE t (a int PRIMARY KEY, b text)")]);
    c.send(&[
        query("COPY t FROM STDIN"),
        message(b'd', b"1\tx\n2\t"),
        message(b'd', b"\\N\n"),
        message(b'c', b""),
    ]);
    assert_eq!(c.until_ready(1), lines("G 2 columns\n C COPY 2\n Z I"));
    assert_eq!(
        c.say(&[query("COPY t TO STDOUT (FORMAT csv, HEADER)")]),
        lines("H 2 columns\n d a,b\n d 1,x\n d 2,\n c\n C COPY 2\n Z I")
    );
    c.send(&[query("COPY t FROM STDIN"), message(b'd', b"3\ty\nfour\tz\n"), message(b'c', b"")]);
    assert_eq!(
        c.until_ready(1),
        lines(
            "G 2 columns\n SERROR C22P02 Minvalid input syntax for type integer: \"four\" WCOPY t, line 2\n Z I"
        )
    );
    c.send(&[query("COPY t FROM STDIN"), message(b'f', b"no more\0")]);
    assert_eq!(c.until_ready(1), lines("G 2 columns\n SERROR C57014 MCOPY from stdin failed: no more\n Z I"));
    assert_eq!(c.say(&[query("SELECT count(*) FROM t")]), lines("T count:20:0\n D 2\n C SELECT 1\n Z I"));
}

#[test]
fn a_cancel_request_ends_what_runs() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    c.send(&[query("SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b")]);
    std::thread::sleep(Duration::from_millis(200));
    let mut cancel = TcpStream::connect(server.address).unwrap();
    let mut body = 80_877_102i32.to_be_bytes().to_vec();
    body.extend_from_slice(&c.pid.to_be_bytes());
    body.extend_from_slice(&c.key.to_be_bytes());
    cancel.write_all(&16i32.to_be_bytes()).unwrap();
    cancel.write_all(&body).unwrap();
    assert_eq!(
        c.until_ready(1),
        lines("T count:20:0\n SERROR C57014 Mcanceling statement due to user request\n Z I")
    );
    assert_eq!(c.say(&[query("SELECT 1")]), lines("T ?column?:23:0\n D 1\n C SELECT 1\n Z I"));
    assert_eq!(
        c.say(&[
            query("SET statement_timeout = '50ms'"),
            query("SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b")
        ]),
        lines(
            "C SET\n Z I\n T count:20:0\n SERROR C57014 Mcanceling statement due to statement timeout\n Z I"
        )
    );
}

#[test]
fn too_many_clients_are_turned_away() {
    let server = server(Limits { connections: 1, ..Limits::default() });
    let _first = Raw::connect(&server);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut body = 196_608i32.to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0u\0\0");
    stream.write_all(&(body.len() as i32 + 4).to_be_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("53300"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn settings_that_clients_follow_are_reported() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    assert_eq!(
        c.say(&[query("SET application_name = 'x'"), query("BEGIN; SET TIME ZONE '+02:00'; ROLLBACK")]),
        lines(
            "S application_name x\n C SET\n Z I\n C BEGIN\n S TimeZone +02:00\n C SET\n S TimeZone UTC\n C ROLLBACK\n Z I"
        )
    );
    assert_eq!(
        c.say(&[query("DISCARD ALL"), query("SHOW application_name")]),
        lines(
            "S application_name raw\n C DISCARD ALL\n Z I\n T application_name:25:0\n D raw\n C SHOW\n Z I"
        )
    );
}

#[test]
fn who_sits_idle_in_a_transaction_is_sent_away() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    c.say(&[query("SET idle_in_transaction_session_timeout = '100ms'")]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(c.say(&[query("BEGIN")]), lines("C BEGIN\n Z T"), "outside a transaction nothing ends");
    let (kind, body) = c.next();
    assert_eq!(show(kind, &body), "SFATAL C25P03 Mterminating connection due to idle-in-transaction timeout");
}

#[test]
fn the_deepest_statements_are_answered_or_refused() {
    let server = server(Limits::default());
    let mut c = Raw::connect(&server);
    let deep: [String; 8] = [
        format!("SELECT 1{}", " + 1".repeat(499)),
        format!("SELECT 1{}", "::int".repeat(499)),
        format!("SELECT {}1", "- ".repeat(499)),
        format!("SELECT {}1{}", "(".repeat(62), ")".repeat(62)),
        format!("SELECT {}1{}", "abs(".repeat(62), ")".repeat(62)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(62), " END".repeat(62)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(499)),
        format!("SELECT {}1{}", "(SELECT ".repeat(60), ")".repeat(60)),
    ];
    for text in deep {
        let answer = c.say(&[query(&text)]);
        assert!(answer.contains("C SELECT 1") || answer.contains("C54001"), "{text:.80}: {answer}");
        assert_eq!(c.say(&[query("SELECT 1")]), lines("T ?column?:23:0\n D 1\n C SELECT 1\n Z I"));
    }
}
