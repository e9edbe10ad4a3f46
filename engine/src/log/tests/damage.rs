//! Damage: whatever happens to the bytes, the log either opens with exactly the records before the damage, and that
//! only if the damage is in the last batch, or refuses with the file and the place.

use super::super::frame::{SEGMENT_HEADER, SegmentHeader, segment_name};
use super::*;
use crate::disk::Disk;

/// A log of several segments, closed; with its records and where its last batch begins.
fn sample() -> (MemDisk, Vec<(Lsn, Record)>, Lsn) {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let mut records = Vec::new();
    let mut last = Lsn(0);
    let mut next = random(5);
    while log.end().0 < 3 * 8192 + 4096 + 3000 {
        last = log.end();
        for _ in 0..2 {
            let record = note(next(), (next() % 700) as usize);
            records.push((log.append(&record).unwrap(), record));
        }
        for record in samples() {
            if next().is_multiple_of(8) {
                records.push((log.append(&record).unwrap(), record));
            }
        }
        commit(&mut log, &disk);
    }
    // Damage in the last segment, yet before the last batch, must be among what the tests can do.
    assert!(last.0 > 3 * 8192 + 4096 + 1000 && log.end().0 < 4 * 8192, "{last:?}");
    (disk, records, last)
}

/// Opens a damaged log. `lsn` is where the damage is, if it is in a place that counts.
fn judge(disk: &MemDisk, records: &[(Lsn, Record)], last: Lsn, lsn: Lsn, how: &str) {
    let report = inspect::verify(disk).unwrap();
    dump_shows_what_is_whole(disk, records, report.damage.is_some(), how);
    match open(disk) {
        Ok((log, _)) => {
            let found = all(&log);
            assert_eq!(report.damage, None, "{how}");
            assert_eq!(found, records[..found.len()], "{how}");
            if found.len() < records.len() {
                let lost = records[found.len()].0;
                assert!(lost >= last && lsn >= last, "{how}: lost {lost:?}, durable up to {last:?}");
            }
        }
        Err(e) => {
            assert_eq!(e.remedy(), LogRemedy::Corrupt, "{how}: {e}");
            let text = e.to_string();
            assert!(text.contains("log-0000"), "{how}: {text}");
            assert_eq!(report.damage.as_ref(), Some(&e), "{how}");
            if let LogError::Damaged { file, offset, lsn: at, .. } = e {
                assert!(at <= lsn, "{how}: damage at {lsn:?} named after it, {at:?}");
                assert!(text.contains(&file) && text.contains(&offset.to_string()), "{text}");
            }
        }
    }
}

/// The dump shows every record that the log opens with, names damage, and shows nothing that never was.
fn dump_shows_what_is_whole(disk: &MemDisk, records: &[(Lsn, Record)], damaged: bool, how: &str) {
    let known: std::collections::BTreeSet<String> =
        records.iter().map(|(lsn, record)| inspect::describe(*lsn, record, false)).collect();
    let mut shown = 0;
    let mut named = 0;
    let bad = inspect::dump(disk, &inspect::Select::default(), &mut |line| {
        if line.starts_with('!') {
            assert!(line.contains("log-0000"), "{how}: {line}");
            named += 1;
        } else if !line.starts_with("segment") && !line.ends_with("end of segment") {
            assert!(known.contains(line), "{how}: {line}");
            shown += 1;
        }
        true
    });
    assert_eq!(bad, Ok(named), "{how}");
    assert!(!damaged || named > 0, "{how}: damage that the dump passes over");
    let whole = open(&disk.fork()).map_or(0, |(_, opened)| opened.records);
    assert!(shown >= whole, "{how}: {shown} shown, {whole} whole");
}

fn segments(disk: &MemDisk) -> Vec<(String, SegmentHeader)> {
    let names = disk.list().unwrap().into_iter().filter(|n| n.starts_with("log-"));
    names.map(|n| (n.clone(), SegmentHeader::decode(&disk.read_all(&n).unwrap()).unwrap())).collect()
}

#[test]
fn flipped_bytes() {
    let (pristine, records, last) = sample();
    let mut next = random(1);
    let mut errors = 0;
    for (name, header) in segments(&pristine) {
        let bytes = pristine.read_all(&name).unwrap();
        for offset in 0..bytes.len() as u64 {
            // All of the header and a sample of the rest, denser where there are bytes.
            let dense = if bytes[offset as usize] == 0 { 40 } else { 5 };
            if offset >= 44 && !next().is_multiple_of(dense) {
                continue;
            }
            let disk = pristine.fork();
            let mask = 1 << (next() % 8);
            assert!(disk.damage(&name, offset, &mut |b| b ^ mask));
            judge(&disk, &records, last, Lsn(header.base + offset), &format!("{name} at {offset} ^ {mask}"));
            errors += u32::from(open(&disk).is_err());
        }
    }
    assert!(errors > 200, "{errors}");
}

#[test]
fn zeroed_and_garbled_stretches() {
    let (pristine, records, last) = sample();
    let mut next = random(2);
    for round in 0..300 {
        let segments = segments(&pristine);
        let (name, header) = &segments[(next() % segments.len() as u64) as usize];
        let from = next() % header.capacity;
        let to = (from + 1 + next() % 1500).min(header.capacity);
        let disk = pristine.fork();
        for offset in from..to {
            let garbage = next() as u8;
            disk.damage(name, offset, &mut |_| if round % 2 == 0 { 0 } else { garbage });
        }
        // The damage may begin in unused bytes and reach into a record; the end is what the error may name.
        judge(&disk, &records, last, Lsn(header.base + to), &format!("round {round} {name} {from}..{to}"));
    }
}

#[test]
fn shortened_files() {
    let (pristine, records, last) = sample();
    for (name, header) in segments(&pristine) {
        let bytes = pristine.read_all(&name).unwrap();
        for len in (0..bytes.len()).step_by(97) {
            let disk = pristine.fork();
            disk.put(&name, bytes[..len].to_vec());
            judge(&disk, &records, last, Lsn(header.end()), &format!("{name} cut to {len}"));
            assert!(open(&disk).is_err());
        }
    }
}

#[test]
fn missing_segments() {
    let (pristine, _, _) = sample();
    let names: Vec<String> = segments(&pristine).into_iter().map(|(n, _)| n).collect();
    assert_eq!(names.len(), 5, "four used, one prepared");
    for missing in [1, 2, 3] {
        let disk = pristine.fork();
        disk.remove(&names[missing]).unwrap();
        let error = open(&disk).map(|_| ()).unwrap_err();
        assert!(matches!(&error, LogError::Missing { file, .. } if *file == names[missing]), "{error}");
    }
    // The end is gone: the last one that is left says that it had a successor.
    let disk = pristine.fork();
    disk.remove(&names[4]).unwrap();
    disk.remove(&names[3]).unwrap();
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(&error, LogError::Missing { file, .. } if *file == names[3]), "{error}");
    // Merely the prepared one: nothing is lost.
    let disk = pristine.fork();
    disk.remove(&names[4]).unwrap();
    open(&disk).unwrap();
    // The beginning is cut: whoever needs it is told.
    let disk = pristine.fork();
    disk.remove(&names[0]).unwrap();
    let (log, _) = open(&disk).unwrap();
    let error = log.reader().read(Lsn(SEGMENT_HEADER)).unwrap_err();
    assert!(matches!(error, LogError::Gone { .. }), "{error}");
    // Nothing left, though there must be something.
    let options = LogOptions { create: false, ..options() };
    let error = Log::open(&options, &MemDisk::new()).map(|_| ()).unwrap_err();
    assert!(matches!(error, LogError::NoLog { .. }), "{error}");
}

#[test]
fn swapped_segments() {
    let (pristine, _, _) = sample();
    // Another segment of this log under its name.
    let disk = pristine.fork();
    disk.put(&segment_name(2), pristine.read_all(&segment_name(1)).unwrap());
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(&error, LogError::Foreign { file, .. } if *file == segment_name(2)), "{error}");
    // The same segment of another log.
    let disk = pristine.fork();
    let other = SegmentHeader { epoch: 2, identity: 9, base: 8192, capacity: 8192 };
    let mut bytes = pristine.read_all(&segment_name(2)).unwrap();
    bytes[..44].copy_from_slice(&other.encode());
    disk.put(&segment_name(2), bytes.clone());
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("of log 0000000000000009"), "{error}");
    // A segment that begins elsewhere.
    let other = SegmentHeader { epoch: 2, identity: options().identity, base: 9000, capacity: 8192 };
    bytes[..44].copy_from_slice(&other.encode());
    disk.put(&segment_name(2), bytes);
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("begins at log position 9000"), "{error}");
}

/// A file from an older copy of this very directory: everything in it is whole, and it ends too early.
#[test]
fn a_segment_from_an_older_copy() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let mut copies: Vec<(String, Vec<u8>, u64)> = Vec::new();
    let mut next = random(11);
    while log.end().0 < 3 * 8192 + 5000 {
        log.append(&note(next(), (next() % 700) as usize)).unwrap();
        let end = commit(&mut log, &disk);
        let name = segment_name((end.0 / 8192) as u32 + 1);
        copies.push((name.clone(), disk.read_all(&name).unwrap(), end.0 % 8192));
    }
    let last = segment_name((log.end().0 / 8192) as u32 + 1);
    drop(log);
    let mut refused = 0;
    for (name, bytes, end) in copies {
        if name == last || bytes == disk.read_all(&name).unwrap() {
            continue; // what the last segment has lost, only the store and the peers can tell
        }
        let disk = disk.fork();
        disk.put(&name, bytes);
        match open(&disk).map(|_| ()).unwrap_err() {
            LogError::Damaged { file, offset, what, .. } => {
                assert_eq!((&file, offset), (&name, end));
                assert!(what.contains("is whole"), "{what}");
            }
            other => panic!("{other}"),
        }
        refused += 1;
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn newer_versions() {
    let (pristine, _, _) = sample();
    let disk = pristine.fork();
    let mut bytes = pristine.read_all(&segment_name(1)).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    disk.put(&segment_name(1), bytes);
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(&error, LogError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("version 2"), "{error}");

    // A record of a kind to come, whole, at the end: not a torn end.
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let lsn = log.append(&note(1, 10)).unwrap();
    commit(&mut log, &disk);
    drop(log);
    let mut bytes = disk.read_all(&segment_name(1)).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    let frame = &mut bytes[lsn.0 as usize..lsn.0 as usize + 18 + 20];
    super::super::frame::FrameHeader::seal(77, 1, 0, header.seed(), lsn.0, frame);
    disk.put(&segment_name(1), bytes);
    let error = open(&disk).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("kind 77"), "{error}");
}

#[test]
fn damage_before_the_last_batch_is_never_taken_for_the_end() {
    let (pristine, records, last) = sample();
    let inside: Vec<Lsn> =
        records.iter().map(|(lsn, _)| *lsn).filter(|l| l.0 > 3 * 8192 && *l < last).collect();
    assert!(inside.len() > 2);
    for lsn in inside {
        let disk = pristine.fork();
        assert!(disk.damage(&segment_name(4), lsn.0 - 3 * 8192 + 15, &mut |b| !b));
        match open(&disk).map(|_| ()).unwrap_err() {
            LogError::Damaged { file, offset, lsn: at, .. } => {
                assert_eq!((file, offset, at), (segment_name(4), lsn.0 - 3 * 8192, lsn));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_frame_in_another_place_is_no_record() {
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let a = log.append(&note(1, 100)).unwrap().0 as usize;
    let b = log.append(&note(2, 100)).unwrap().0 as usize;
    let end = commit(&mut log, &disk).0 as usize;
    drop(log);
    assert_eq!(b - a, end - b);
    let mut bytes = disk.read_all(&segment_name(1)).unwrap();
    bytes.copy_within(a..b, b);
    disk.put(&segment_name(1), bytes);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(all(&log), [(Lsn(a as u64), note(1, 100))]);
    assert_eq!(opened.torn.unwrap().offset, b as u64);
}

#[test]
fn a_leftover_of_an_older_life_is_no_record() {
    // A recycled file is full of whole frames of its older life.
    let disk = MemDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let mut records = Vec::new();
    for n in 0..200 {
        let record = note(n, 200);
        records.push((log.append(&record).unwrap(), record));
        commit(&mut log, &disk);
        log.cut(log.end());
    }
    assert!(log.first().0 > 20_000);
    drop(log);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(opened.torn, None);
    let first = log.first();
    records.retain(|(lsn, _)| *lsn >= first);
    assert_eq!(all(&log), records);
    let name = segments(&disk).pop().unwrap().0;
    let unused = disk.read_all(&name).unwrap();
    assert!(unused[4096..].iter().any(|b| *b != 0), "the prepared segment was a cut one");
}
