use super::*;

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn real() -> (std::path::PathBuf, RealDisk) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("gemini-disk-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let disk = RealDisk::open(path.join("nested")).unwrap();
    (path, disk)
}

fn basics(disk: &dyn Disk) {
    let file = disk.create("a", 10_000).unwrap();
    assert_eq!(file.len().unwrap(), 10_000);
    file.write_at(9_998, b"xyz").unwrap();
    file.sync().unwrap();
    let mut bytes = [9; 8];
    assert_eq!(file.read_at(9_996, &mut bytes).unwrap(), 5);
    assert_eq!(&bytes[..5], b"\0\0xyz");
    disk.rename("a", "b").unwrap();
    disk.create("c", 0).unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.list().unwrap(), ["b", "c"]);
    assert_eq!(disk.open("a").err().unwrap().kind, DiskErrorKind::NotFound);
    // A handle stays with its file.
    file.write_at(0, b"q").unwrap();
    disk.open("b").unwrap().read_at(0, &mut bytes[..1]).unwrap();
    assert_eq!(bytes[0], b'q');
    disk.remove("c").unwrap();
    assert_eq!(disk.remove("c").unwrap_err().kind, DiskErrorKind::NotFound);
    // Creating again starts from zeros.
    let file = disk.create("b", 4).unwrap();
    assert_eq!(read_full(&*file, 0, &mut bytes).unwrap(), 4);
    assert_eq!(&bytes[..4], [0; 4]);
}

#[test]
fn both_disks_keep_the_same_promises() {
    basics(&MemDisk::new());
    let (path, disk) = real();
    basics(&disk);
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_directory_has_one_owner() {
    let (path, disk) = real();
    for disk in [&disk as &dyn Disk, &MemDisk::new()] {
        let lock = disk.lock().unwrap();
        let error = disk.lock().unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::Locked);
        assert!(error.to_string().contains("another process uses this data directory"), "{error}");
        drop(lock);
        drop(disk.lock().unwrap());
    }
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_crash_keeps_what_was_synced_and_may_tear_the_rest() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let disk = MemDisk::new();
        let file = disk.create("a", 2048).unwrap();
        disk.sync_dir().unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        file.sync().unwrap();
        file.write_at(1000, &[2; 1000]).unwrap();
        file.write_at(1100, &[3; 10]).unwrap();
        disk.crash(&mut random(seed));
        assert!(file.write_at(0, &[4]).is_err(), "handles die in a crash");
        let bytes = disk.read_all("a").unwrap();
        assert_eq!(bytes.len(), 2048);
        assert!(bytes[..1000].iter().all(|b| *b == 1));
        assert!(bytes[2000..].iter().all(|b| *b == 0));
        outcomes.insert(bytes);
    }
    assert!(outcomes.len() > 50, "{}", outcomes.len());
}

#[test]
fn unsynced_names_survive_as_a_prefix() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let disk = MemDisk::new();
        disk.create("a", 1).unwrap();
        disk.sync_dir().unwrap();
        disk.rename("a", "b").unwrap();
        disk.create("c", 1).unwrap();
        disk.remove("b").unwrap();
        disk.crash(&mut random(seed));
        outcomes.insert(disk.list().unwrap().join(" "));
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["a", "b", "b c", "c"]);
}

#[test]
fn faults_and_fullness_come_when_told() {
    let disk = MemDisk::new();
    let file = disk.create("a", 100).unwrap();
    disk.fail(Fault::Once(2));
    file.write_at(0, &[1]).unwrap();
    assert_eq!(file.sync().unwrap_err().kind, DiskErrorKind::Io);
    file.sync().unwrap();
    disk.fail(Fault::From(2));
    file.write_at(0, &[1]).unwrap();
    assert!(file.write_at(0, &[1]).is_err());
    assert!(file.sync().is_err());
    disk.heal();
    file.sync().unwrap();
    disk.set_capacity(Some(150));
    assert_eq!(disk.create("b", 60).err().unwrap().kind, DiskErrorKind::Full);
    assert_eq!(file.write_at(100, &[0; 51]).unwrap_err().kind, DiskErrorKind::Full);
    disk.create("b", 50).unwrap();
    file.write_at(0, &[2; 100]).unwrap();
}
