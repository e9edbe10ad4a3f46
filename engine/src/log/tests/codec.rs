//! Encoding and decoding: whatever the bytes, an answer and never a panic; whatever the record, itself again.

use proptest::prelude::*;

use super::super::frame::{SEGMENT_HEADER, SegmentHeader, check, peek};
use super::super::open::survey;
use super::*;

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn every_kind_comes_back() {
    for record in samples() {
        assert_eq!(Record::decode(record.kind(), &encoded(&record)).unwrap(), record);
        assert_eq!(Kind::from_byte(record.kind() as u8), Some(record.kind()));
    }
    assert_eq!(Kind::from_byte(0), None);
    assert_eq!(Kind::from_byte(9), None);
}

#[test]
fn a_body_must_be_used_up() {
    for record in samples() {
        let mut bytes = encoded(&record);
        bytes.push(0);
        assert!(Record::decode(record.kind(), &bytes).is_err(), "{record:?}");
        bytes.truncate(bytes.len() - 2);
        assert!(Record::decode(record.kind(), &bytes).is_err(), "{record:?}");
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    // A vector of 2^63 bytes, says the varint; there are none.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for kind in Kind::ALL {
        assert!(Record::decode(kind, &huge).is_err() || kind == Kind::Start, "{kind:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bodies_do_not_panic(kind in 0usize..8, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let kind = Kind::ALL[kind];
        if let Ok(record) = Record::decode(kind, &body) {
            prop_assert_eq!(record.kind(), kind);
        }
    }

    #[test]
    fn changed_bodies_do_not_panic(which in 0usize..8, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let record = &samples()[which];
        let mut body = encoded(record);
        let at = at.index(body.len());
        body[at] = byte;
        let _ = Record::decode(record.kind(), &body);
    }

    #[test]
    fn bytes_come_back(body in prop::collection::vec(any::<u8>(), 0..3000), kind in any::<u8>(), n in any::<u64>()) {
        let records = [
            Record::Note { kind, body: body.clone() },
            Record::Sequencer(body.clone()),
            Record::Checkpoint { replay_from: Lsn(n), state: body },
            Record::Start { count: n },
            Record::Minted { sequence: SequenceId(n as u32), upto: n as i64 },
        ];
        for record in records {
            prop_assert_eq!(Record::decode(record.kind(), &encoded(&record)).unwrap(), record);
        }
    }

    #[test]
    fn arbitrary_frames_are_none(bytes in prop::collection::vec(any::<u8>(), 0..200), room in any::<u64>()) {
        let header = SegmentHeader { epoch: 1, identity: 0, base: 0, capacity: 8192 };
        let _ = peek(&header, &bytes, room);
        prop_assert!(check(&header, header.seed(), SEGMENT_HEADER, &bytes).is_err());
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
    }

    #[test]
    fn arbitrary_files_are_no_log(bytes in prop::collection::vec(any::<u8>(), 0..10_000)) {
        let disk = MemDisk::new();
        disk.put("log-0000000001", bytes);
        prop_assert!(survey(&disk).is_err());
        prop_assert!(open(&disk).is_err());
        prop_assert!(inspect::verify(&disk).unwrap().damage.is_some());
    }
}
