//! The bytes on disk, spelled out: a difference here means that older data directories can no longer be read.

use super::super::frame::{END, FRAME_HEADER, FrameHeader, SEGMENT_HEADER, SegmentHeader};
use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn segment_header() {
    let header = SegmentHeader { epoch: 3, identity: 0x0102_0304_0506_0708, base: 16384, capacity: 8192 };
    assert_eq!(
        hex(&header.encode()),
        "47454d494e494c47010000000300000008070605040302010040000000000000002000000000000009440fc6"
    );
    assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
}

#[test]
fn frames_of_every_kind() {
    let expected = [
        ("Start", "0201020000000100000000000000b99771ecac02"),
        (
            "Blue",
            "020232000000010000001400000024fd9a790104010101010305010103058080f9c0c1c48203020109020002020315010201000103000102031501020101050101000001",
        ),
        ("Admit", "0203020000000100000058000000419b4bb70104"),
        (
            "Red",
            "02043e000000010000006c00000057987db10600010203010101010305010103058080f9c0c1c48203020109020002020315010201000103000102031501020101050101000001000402010501020100",
        ),
        ("Sequencer", "02050500000001000000bc000000310c82df0472616674"),
        ("Minted", "02060200000001000000d300000099a4d9c10303"),
        ("Note", "02070600000001000000e7000000cca128e301046e6f7465"),
        ("Checkpoint", "02080800000001000000ff000000b0482bfe8020057374617465"),
    ];
    assert_eq!(samples().iter().map(Record::kind).collect::<Vec<_>>(), Kind::ALL);
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let lsns: Vec<Lsn> = samples().iter().map(|r| log.append(r).unwrap()).collect();
    let end = commit(&mut log, &disk);
    let bytes = disk.read_all("log-0000000001").unwrap();
    let mut bad = Vec::new();
    for (i, (name, hex_bytes)) in expected.iter().enumerate() {
        let to = lsns.get(i + 1).unwrap_or(&end).0 as usize;
        let found = hex(&bytes[lsns[i].0 as usize..to]);
        if found != *hex_bytes {
            bad.push(format!("{name} {found}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert_eq!(lsns[0], Lsn(SEGMENT_HEADER));
    assert!(bytes[end.0 as usize..].iter().all(|b| *b == 0));
}

#[test]
fn the_frame_that_ends_a_segment() {
    let mut frame = [0; FRAME_HEADER];
    FrameHeader::seal(END, 3, 100, 0xdead_beef, 20000, &mut frame);
    assert_eq!(hex(&frame), "02ff000000000300000064000000b72b5890");
}

#[test]
fn dump_shows_every_kind() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for record in samples() {
        log.append(&record).unwrap();
    }
    commit(&mut log, &disk);
    let dump = |select: inspect::Select| {
        let mut text = String::new();
        let bad = inspect::dump(&disk, &select, &mut |line| {
            text.push_str(line);
            text.push('\n');
            true
        });
        assert_eq!(bad, Ok(0));
        text
    };
    let text = dump(inspect::Select { effects: true, ..inspect::Select::default() });
    let expected = include_str!("dump.txt");
    assert_eq!(text, expected, "\n{text}");
    let lines = dump(inspect::Select::default());
    assert_eq!(
        lines.lines().filter(|line| !line.starts_with("segment")).count(),
        8,
        "one line each:\n{lines}"
    );
    let some = inspect::Select {
        from: Lsn(4184),
        to: Lsn(4300),
        kinds: vec![Kind::Admit, Kind::Sequencer],
        ..inspect::Select::default()
    };
    assert_eq!(
        dump(some).lines().skip(1).collect::<Vec<_>>(),
        ["      4184 admit 1.4", "      4284 sequencer 4 bytes"]
    );
    let table = |id| {
        dump(inspect::Select { table: Some(TableId(id)), ..inspect::Select::default() })
            .matches("effects 2")
            .count()
    };
    assert_eq!((table(2), table(3)), (2, 0));
    let report = inspect::verify(&disk).unwrap();
    assert_eq!((report.segments, report.records, report.damage), (2, 8, None));
    assert_eq!((report.first, report.end), (log.first(), log.end()));
}
