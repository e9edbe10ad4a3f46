//! Golden bytes of every kind of message, and bytes that are not messages.

use std::sync::Arc;

use bytes::Bytes;
use gemini_shadow_ops::{
    Dot, Entry, EntryId, Footprint, Frontier, Hlc, Key, Member, MemberChange, MemberEntry, RedTransaction,
    ShadowTransaction, SiteId, Stamp, TableId, TxnId,
};
use proptest::prelude::*;

use super::*;

fn frontier() -> Frontier {
    let mut f = Frontier::default();
    f.red = 7;
    f.add(TxnId::Blue(Dot { site: SiteId(1), n: 300 }));
    f
}

fn transaction() -> Arc<ShadowTransaction> {
    Arc::new(ShadowTransaction {
        origin: SiteId(1),
        statements: vec![frontier()],
        deps: frontier(),
        stamp: Stamp { hlc: Hlc { micros: 1_000_000, count: 2 }, site: SiteId(1) },
        schema_version: 4,
        ops: Vec::new(),
    })
}

fn entry() -> Arc<Entry> {
    let id = EntryId { site: SiteId(1), start: 2, counter: 3 };
    let (transaction, footprint) = (transaction(), Footprint::default());
    Arc::new(Entry::Transaction(RedTransaction { id, transaction, footprint, tables: Vec::new() }))
}

fn acks() -> Acks {
    Acks { durable: frontier(), applied: Frontier::default(), ordered: 6 }
}

fn samples() -> Vec<(&'static str, PeerMessage)> {
    let raft = PeerMessage::Sequencer;
    let id = EntryId { site: SiteId(1), start: 2, counter: 3 };
    let clock = Reading { epoch: 0, hlc: Hlc { micros: 1_000_000, count: 2 } };
    let log_entry = LogEntry { term: 2, body: Blob(Bytes::from_static(b"abc")) };
    let hello = Hello {
        cluster: 0x0102_0304,
        protocol: PROTOCOL,
        site: SiteId(1),
        incarnation: 9,
        schema_version: 4,
        genesis: 6,
        heard: true,
        own: Tail { count: 300, hash: 5 },
        yours: Tail::default(),
        acks: acks(),
        clock,
    };
    let heartbeat = Heartbeat {
        clock,
        acks: acks(),
        reach: vec![(SiteId(2), 1)],
        schema_version: 4,
        leader: Some((SiteId(0), 3)),
        sent: 1_000_007,
        echo: 999_000,
    };
    let relay = Relay {
        from: SiteId(0),
        to: SiteId(2),
        hops: 1,
        kind: 3,
        body: PeerMessage::Acks(acks()).body().expect("fits"),
    };
    let row = RowSum { key: Key(vec![0x15, 1].into()), fingerprint: 300, contents: 7 };
    let look = Look {
        id: 5,
        table: TableId(2),
        after: None,
        upto: Some(row.key.clone()),
        schema_version: 4,
        frontier: frontier(),
        sum: RangeSum::of(std::slice::from_ref(&row)),
    };
    let looked = Looked {
        id: 5,
        frontier: frontier(),
        schema_version: 4,
        rows: Some(vec![row.clone()]),
        upto: Some(row.key),
    };
    let want = Want {
        table: TableId(7),
        key: Key([1, 2].into()),
        incarnation: gemini_shadow_ops::TxnId::Red(4),
        column: gemini_shadow_ops::ColumnId(3),
        side: gemini_shadow_ops::BoundSide::AtLeast,
        need: gemini_shadow_ops::Value::Int8(2),
        hope: gemini_shadow_ops::Value::Int8(5),
    };
    let vote = RaftMessage::Vote {
        pre: true,
        term: 3,
        index: 5,
        log_term: 2,
        commit: 4,
        commit_term: 2,
        transfer: false,
    };
    let member = Member { name: "s4".into(), peer: "10.0.0.4:7441".into(), class: 3 };
    let join = Entry::Member(MemberEntry { change: MemberChange::Join { site: SiteId(4), member }, id });
    vec![
        ("hello", PeerMessage::Hello(hello)),
        (
            "blue",
            PeerMessage::Blue(Blue {
                origin: SiteId(1),
                first: 300,
                transactions: vec![transaction()],
                awaited: true,
            }),
        ),
        ("acks", PeerMessage::Acks(acks())),
        ("fetch blue", PeerMessage::Fetch(Fetch::Blue { origin: SiteId(1), from: 3, upto: 9 })),
        ("fetch red", PeerMessage::Fetch(Fetch::Red { from: 3, upto: 9 })),
        (
            "reply blue",
            PeerMessage::FetchReply(FetchReply::Blue(Blue {
                origin: SiteId(1),
                first: 3,
                transactions: vec![],
                awaited: false,
            })),
        ),
        (
            "reply red",
            PeerMessage::FetchReply(FetchReply::Red {
                first: 3,
                entries: vec![Arc::new(Entry::Void {
                    id,
                    base: 9,
                    deps: frontier(),
                    reserved: vec![(TableId(7), Key([1, 2].into()))],
                })],
            }),
        ),
        ("cut", PeerMessage::FetchReply(FetchReply::Cut(Fetch::Red { from: 3, upto: 9 }))),
        (
            "append",
            raft(RaftMessage::Append { term: 2, index: 4, log_term: 1, commit: 3, entries: vec![log_entry] }),
        ),
        (
            "append reply",
            raft(RaftMessage::AppendReply {
                term: 2,
                index: 4,
                commit: 3,
                rejected: Some(Rejected { hint: 2, hint_term: 1 }),
            }),
        ),
        ("vote", raft(vote)),
        (
            "vote reply",
            raft(RaftMessage::VoteReply { pre: false, term: 3, granted: true, commit: 4, commit_term: 2 }),
        ),
        ("raft heartbeat", raft(RaftMessage::Heartbeat { term: 2, commit: 3 })),
        ("raft heartbeat reply", raft(RaftMessage::HeartbeatReply { term: 2, commit: 3 })),
        ("timeout now", raft(RaftMessage::TimeoutNow { term: 2 })),
        ("base", raft(RaftMessage::Base { term: 2, index: 300, log_term: 1, r: 280 })),
        ("propose", PeerMessage::Propose(Propose { entry: entry() })),
        (
            "accepted",
            PeerMessage::Proposal(Proposal { id, void: false, answer: Answer::Accepted { term: 2 } }),
        ),
        (
            "not leader",
            PeerMessage::Proposal(Proposal {
                id,
                void: true,
                answer: Answer::NotLeader { leader: Some(SiteId(0)) },
            }),
        ),
        (
            "refused",
            PeerMessage::Proposal(Proposal {
                id,
                void: false,
                answer: Answer::Refused { reason: "no".into() },
            }),
        ),
        ("relay", PeerMessage::Relay(relay)),
        ("heartbeat", PeerMessage::Heartbeat(heartbeat)),
        ("look", PeerMessage::Look(look)),
        ("fill ask", PeerMessage::Fill(Fill::Ask { covers: frontier() })),
        ("fill wait", PeerMessage::Fill(Fill::Wait { making: true, reason: "no".into() })),
        ("fill offer", PeerMessage::Fill(Fill::Offer(Offer { image: 5, bytes: 900, frontier: frontier() }))),
        ("fill take", PeerMessage::Fill(Fill::Take { image: 5, offset: 300, length: 600 })),
        (
            "fill piece",
            PeerMessage::Fill(Fill::Piece { image: 5, offset: 300, bytes: Blob(Bytes::from_static(b"abc")) }),
        ),
        ("fill gone", PeerMessage::Fill(Fill::Gone { image: 5 })),
        ("looked, same", PeerMessage::Looked(Looked { rows: None, ..looked.clone() })),
        ("looked, other", PeerMessage::Looked(looked)),
        ("propose a change", PeerMessage::Propose(Propose { entry: Arc::new(join) })),
        (
            "removed",
            PeerMessage::Removed(Removed { cluster: 9, site: SiteId(3), fenced: 17, count: Some(300) }),
        ),
        ("wants", PeerMessage::Wants(Wants { wants: vec![want] })),
        ("stored", PeerMessage::Stored(Stored { term: 2, index: 300, configuration: 0 })),
    ]
}

/// A layout is fixed once it has been released: a difference here is a new format or a new kind.
#[test]
fn golden_bytes() {
    let mut text = String::new();
    for (name, message) in samples() {
        let frame = message.encode().expect("fits");
        let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        text += &format!("{name}: {message}\n  {}\n  {}\n", &hex[..2 * HEADER], &hex[2 * HEADER..]);
        assert_eq!(PeerMessage::decode(&frame), Ok(message), "{name}");
    }
    crate::script::golden("wire", &text);
}

/// What sites of release 1 said is still understood. Unlike [`golden_bytes`] the file is of that release and never rewritten.
#[test]
fn frames_of_release_1_are_read() {
    let frames = include_str!("../../golden/release-1.txt");
    let mut kinds = std::collections::BTreeSet::new();
    for (shown, hex) in frames.lines().filter_map(|line| line.split_once(" = ")) {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let frame: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let message = PeerMessage::decode(&frame).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(message.to_string(), shown);
        assert_eq!(message.encode().expect("fits"), frame, "{shown}");
        kinds.insert(message.kind());
    }
    assert!(kinds.len() >= 16, "every kind of release 1: {kinds:?}");
}

/// `cargo test -p gemini-replication make_the_frames -- --ignored`, when a format changes before a release.
#[test]
#[ignore = "writes a file of this release"]
fn make_the_frames_of_this_release() {
    let mut text = "# Frames that sites of release 1 send: what a message shows, and its bytes. Never changed once it is released.\n\
                    # A later release adds a file of its own, once its protocol is fixed.\n"
        .to_owned();
    for (_, message) in samples() {
        let frame = message.encode().expect("fits");
        let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        text += &format!("{message} = {hex}\n");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/release-1.txt");
    std::fs::write(path, text).expect("written");
}

#[test]
fn damage_is_named() {
    let frame = PeerMessage::Acks(acks()).encode().expect("fits");
    let with = |at: usize, byte: u8| {
        let mut f = frame.clone();
        f[at] = byte;
        PeerMessage::decode(&f)
    };
    assert_eq!(with(0, 2), Err(WireError::Format(2)));
    assert_eq!(with(4, 255), Err(WireError::TooLong(0xff00_0000 + frame.len() - HEADER)));
    assert_eq!(with(9, 200), Err(WireError::Kind(200)));
    assert_eq!(with(9, 2), Err(WireError::Checksum(2)));
    assert_eq!(with(HEADER, 77), Err(WireError::Checksum(3)));
    assert!(matches!(PeerMessage::decode(&frame[..frame.len() - 1]), Err(WireError::Length { .. })));
    assert!(matches!(PeerMessage::decode(&frame[..4]), Err(WireError::Length { .. })));
    let relay = samples().into_iter().find(|(name, _)| *name == "relay").expect("a sample").1;
    let body = relay.body().expect("fits");
    assert_eq!(PeerMessage::relayed(relay.kind(), &body.0), Err(WireError::Nested));
}

#[test]
fn a_length_does_not_allocate() {
    // A body that claims a hundred million entries in five bytes.
    let mut body = vec![1, 0];
    body.extend([0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(PeerMessage::relayed(2, &body), Err(WireError::Body { kind: 2, .. })));
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(kind in 0u8..18, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = PeerMessage::relayed(kind, &body);
        let _ = PeerMessage::decode(&body);
    }

    #[test]
    fn any_change_of_a_frame_is_noticed_or_harmless(pick in 0usize..35, at in any::<usize>(), byte in any::<u8>()) {
        let samples = samples();
        let message = &samples[pick % samples.len()].1;
        let mut frame = message.encode().expect("fits");
        let at = at % frame.len();
        let same = frame[at] == byte;
        frame[at] = byte;
        let decoded = PeerMessage::decode(&frame);
        prop_assert_eq!(same, decoded.as_ref() == Ok(message));
        // Without the checksum, bytes still decode or are refused.
        let _ = PeerMessage::relayed(message.kind(), &frame[HEADER..]);
    }
}
