//! A disk in memory that crashes, fills up and fails on demand, and repeats all of it from its caller's seed.
//!
//! Each file keeps two images: what a running process reads, and what is durable, with the writes in between. A
//! crash decides for every such write, by the caller's random numbers, whether it is kept, lost, torn at a byte, kept
//! in some of its sectors only, or damaged; and in which order overlapping ones landed. Changes of names since the last
//! [`Disk::sync_dir`] are kept as a prefix.
//!
//! Handles opened before a crash are dead after it: a process that did not notice gets errors, never the new
//! process's files.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{DirLock, Disk, DiskError, DiskErrorKind, DiskFile, DiskResult};

/// The unit in which a device writes: what is not covered by a sync may be kept sector by sector.
const SECTOR: u64 = 512;

/// An I/O error to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th write or sync from now (counted from 1) fails; later ones succeed.
    Once(u64),
    /// The n-th write or sync from now (counted from 1) and everything after it fails: a dead device, or, followed
    /// by [`MemDisk::crash`], the moment the power went.
    From(u64),
}

/// A directory in memory. Clones are the same directory.
#[derive(Clone, Default)]
pub struct MemDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// By number, which is never used again.
    files: BTreeMap<u64, FileState>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    /// Raised by a crash; handles carry the one they were opened under.
    generation: u64,
    locked: Option<u64>,
    next_lock: u64,
    writes: u64,
    syncs: u64,
    fault: Option<Fault>,
    capacity: Option<u64>,
}

#[derive(Default)]
struct FileState {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

enum NameChange {
    Link(String, u64),
    Unlink(String),
    Rename(String, String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Link(name, file) => {
                names.insert(name.clone(), *file);
            }
            NameChange::Unlink(name) => {
                names.remove(name);
            }
            NameChange::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

impl MemDisk {
    /// An empty directory.
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// The power goes: what was not synced is kept, lost or torn as `random` has it, and handles and locks die.
    /// Faults end with the process that met them; the capacity stays.
    pub fn crash(&self, random: &mut dyn FnMut() -> u64) {
        let inner = &mut *self.inner.lock();
        inner.generation += 1;
        inner.locked = None;
        inner.fault = None;
        let changes = std::mem::take(&mut inner.unsynced_names);
        let kept = (random() % (changes.len() as u64 + 1)) as usize;
        for change in &changes[..kept] {
            change.apply(&mut inner.durable_names);
        }
        inner.names = inner.durable_names.clone();
        inner.forget_unnamed();
        for file in inner.files.values_mut() {
            file.crash(random);
        }
    }

    /// Injects I/O errors.
    pub fn fail(&self, fault: Fault) {
        self.inner.lock().fault = Some(fault);
    }

    /// Takes back [`MemDisk::fail`].
    pub fn heal(&self) {
        self.inner.lock().fault = None;
    }

    /// Limits the total length of all files; `None` for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner.lock().capacity = bytes;
    }

    /// The total length of all files.
    pub fn used(&self) -> u64 {
        self.inner.lock().used()
    }

    /// How many syncs (of files and of the directory) were tried.
    pub fn syncs(&self) -> u64 {
        self.inner.lock().syncs
    }

    /// How many writes were tried (creations and changes of names count too).
    pub fn writes(&self) -> u64 {
        self.inner.lock().writes
    }

    /// Changes durable bytes behind everybody's back: damage. Returns whether the file is that long.
    pub fn damage(&self, name: &str, offset: u64, change: &mut dyn FnMut(u8) -> u8) -> bool {
        let inner = &mut *self.inner.lock();
        let Some(file) = inner.names.get(name).and_then(|id| inner.files.get_mut(id)) else { return false };
        let at = offset as usize;
        for image in [&mut file.current, &mut file.durable] {
            match image.get_mut(at) {
                Some(byte) => *byte = change(*byte),
                None => return false,
            }
        }
        true
    }

    /// A copy of a file's current bytes.
    pub fn read_all(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        inner.names.get(name).and_then(|id| inner.files.get(id)).map(|f| f.current.clone())
    }

    /// Replaces or adds a whole file, durably, behind everybody's back.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let inner = &mut *self.inner.lock();
        let id = inner.next_file;
        inner.next_file += 1;
        inner.files.insert(id, FileState { current: bytes.clone(), durable: bytes, unsynced: Vec::new() });
        inner.names.insert(name.to_string(), id);
        inner.durable_names.insert(name.to_string(), id);
    }

    /// An independent disk with the same durable and current content.
    pub fn fork(&self) -> MemDisk {
        let inner = self.inner.lock();
        let files = inner.files.iter().map(|(id, f)| (*id, f.synced_copy())).collect();
        let copy = Inner {
            files,
            next_file: inner.next_file,
            names: inner.names.clone(),
            durable_names: inner.names.clone(),
            ..Inner::default()
        };
        MemDisk { inner: Arc::new(Mutex::new(copy)) }
    }

    fn handle(&self, inner: &Inner, id: u64, name: &str) -> Arc<dyn DiskFile> {
        Arc::new(MemFile {
            disk: self.inner.clone(),
            id,
            generation: inner.generation,
            name: name.to_string(),
        })
    }
}

impl Inner {
    fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.files.get(id)).map(|f| f.current.len() as u64).sum()
    }

    fn forget_unnamed(&mut self) {
        let named: std::collections::BTreeSet<u64> =
            self.names.values().chain(self.durable_names.values()).copied().collect();
        self.files.retain(|id, _| named.contains(id));
    }

    /// Counts one write or sync and says whether it is the one to fail.
    fn faulted(&mut self) -> bool {
        match &mut self.fault {
            None => false,
            Some(Fault::Once(n)) => {
                *n = n.saturating_sub(1);
                let fails = *n == 0;
                if fails {
                    self.fault = None;
                }
                fails
            }
            Some(Fault::From(n)) => {
                *n = n.saturating_sub(1);
                *n == 0
            }
        }
    }

    fn before_write(&mut self, operation: &'static str, name: &str) -> DiskResult<()> {
        self.writes += 1;
        if self.faulted() { Err(io(operation, name)) } else { Ok(()) }
    }

    fn before_sync(&mut self, name: &str) -> DiskResult<()> {
        self.syncs += 1;
        if self.faulted() { Err(io("sync", name)) } else { Ok(()) }
    }

    fn room(&self, more: u64, operation: &'static str, name: &str) -> DiskResult<()> {
        match self.capacity {
            Some(capacity) if more > 0 && self.used().saturating_add(more) > capacity => Err(DiskError {
                kind: DiskErrorKind::Full,
                operation,
                file: name.to_string(),
                message: format!("no space left on device (simulated, {capacity} bytes)"),
            }),
            _ => Ok(()),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }
}

impl FileState {
    fn synced_copy(&self) -> FileState {
        FileState { current: self.current.clone(), durable: self.current.clone(), unsynced: Vec::new() }
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            put(&mut self.durable, offset, &bytes);
        }
    }

    fn crash(&mut self, random: &mut dyn FnMut() -> u64) {
        let mut writes = std::mem::take(&mut self.unsynced);
        for i in (1..writes.len()).rev() {
            let j = (random() % (i as u64 + 1)) as usize;
            writes.swap(i, j);
        }
        for (offset, bytes) in writes {
            match random() % 5 {
                0 => {}
                4 => garble(&mut self.durable, offset, &bytes, random),
                1 => put(&mut self.durable, offset, &bytes),
                2 => {
                    let torn = (random() % (bytes.len() as u64 + 1)) as usize;
                    put(&mut self.durable, offset, &bytes[..torn]);
                }
                _ => keep_sectors(&mut self.durable, offset, &bytes, random),
            }
        }
        self.current = self.durable.clone();
    }
}

/// Damages what a write covers: the device was in the middle of it.
fn garble(image: &mut Vec<u8>, offset: u64, bytes: &[u8], random: &mut dyn FnMut() -> u64) {
    let mut garbled = bytes.to_vec();
    for _ in 0..=random() % 4 {
        let at = (random() % garbled.len().max(1) as u64) as usize;
        if let Some(byte) = garbled.get_mut(at) {
            *byte ^= (random() % 255) as u8 + 1;
        }
    }
    put(image, offset, &garbled);
}

/// Keeps some of the sectors that a write covers, each with even odds.
fn keep_sectors(image: &mut Vec<u8>, offset: u64, bytes: &[u8], random: &mut dyn FnMut() -> u64) {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        let end = bytes.len().min(done + (SECTOR - at % SECTOR) as usize);
        if random().is_multiple_of(2) {
            put(image, at, &bytes[done..end]);
        }
        done = end;
    }
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = offset as usize;
    let end = offset + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(bytes);
}

fn io(operation: &'static str, name: &str) -> DiskError {
    DiskError {
        kind: DiskErrorKind::Io,
        operation,
        file: name.to_string(),
        message: "input/output error (simulated)".to_string(),
    }
}

fn not_found(operation: &'static str, name: &str) -> DiskError {
    DiskError {
        kind: DiskErrorKind::NotFound,
        operation,
        file: name.to_string(),
        message: "no such file".to_string(),
    }
}

impl Disk for MemDisk {
    fn lock(&self) -> DiskResult<DirLock> {
        let mut inner = self.inner.lock();
        if inner.locked.is_some() {
            return Err(DiskError {
                kind: DiskErrorKind::Locked,
                operation: "lock",
                file: "LOCK".to_string(),
                message: "another process uses this data directory; stop it first, or name another directory"
                    .to_string(),
            });
        }
        inner.next_lock += 1;
        let id = inner.next_lock;
        inner.locked = Some(id);
        Ok(DirLock::new(MemLock { disk: self.inner.clone(), id }))
    }

    fn create(&self, name: &str, len: u64) -> DiskResult<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        inner.before_write("create", name)?;
        inner.room(len, "create", name)?;
        let id = inner.next_file;
        inner.next_file += 1;
        let zeros = vec![0; len as usize];
        inner.files.insert(id, FileState { current: zeros.clone(), durable: zeros, unsynced: Vec::new() });
        inner.change_name(NameChange::Link(name.to_string(), id));
        Ok(self.handle(&inner, id, name))
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let inner = self.inner.lock();
        let id = *inner.names.get(name).ok_or_else(|| not_found("open", name))?;
        Ok(self.handle(&inner, id, name))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let mut inner = self.inner.lock();
        inner.before_write("rename", from)?;
        if !inner.names.contains_key(from) {
            return Err(not_found("rename", from));
        }
        inner.change_name(NameChange::Rename(from.to_string(), to.to_string()));
        Ok(())
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        let mut inner = self.inner.lock();
        inner.before_write("remove", name)?;
        if !inner.names.contains_key(name) {
            return Err(not_found("remove", name));
        }
        inner.change_name(NameChange::Unlink(name.to_string()));
        Ok(())
    }

    fn list(&self) -> DiskResult<Vec<String>> {
        Ok(self.inner.lock().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> DiskResult<()> {
        let mut inner = self.inner.lock();
        inner.before_sync("directory")?;
        inner.unsynced_names.clear();
        inner.durable_names = inner.names.clone();
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        name.to_string()
    }
}

struct MemLock {
    disk: Arc<Mutex<Inner>>,
    id: u64,
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut inner = self.disk.lock();
        if inner.locked == Some(self.id) {
            inner.locked = None;
        }
    }
}

struct MemFile {
    disk: Arc<Mutex<Inner>>,
    id: u64,
    generation: u64,
    name: String,
}

impl MemFile {
    fn with<T>(
        &self,
        operation: &'static str,
        run: impl FnOnce(&mut Inner) -> DiskResult<T>,
    ) -> DiskResult<T> {
        let mut inner = self.disk.lock();
        if inner.generation != self.generation {
            let mut error = io(operation, &self.name);
            error.message = "this handle is from before the crash".to_string();
            return Err(error);
        }
        run(&mut inner)
    }

    fn file<'a>(&self, inner: &'a mut Inner, operation: &'static str) -> DiskResult<&'a mut FileState> {
        inner.files.get_mut(&self.id).ok_or_else(|| not_found(operation, &self.name))
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> DiskResult<usize> {
        self.with("read", |inner| {
            let file = self.file(inner, "read")?;
            let from = file.current.get(offset as usize..).unwrap_or_default();
            let n = from.len().min(into.len());
            into[..n].copy_from_slice(&from[..n]);
            Ok(n)
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> DiskResult<()> {
        self.with("write", |inner| {
            inner.before_write("write", &self.name)?;
            let len = self.file(inner, "write")?.current.len() as u64;
            inner.room((offset + bytes.len() as u64).saturating_sub(len), "write", &self.name)?;
            let file = self.file(inner, "write")?;
            put(&mut file.current, offset, bytes);
            file.unsynced.push((offset, bytes.to_vec()));
            Ok(())
        })
    }

    fn sync(&self) -> DiskResult<()> {
        self.with("sync", |inner| {
            inner.before_sync(&self.name)?;
            self.file(inner, "sync")?.sync();
            Ok(())
        })
    }

    fn len(&self) -> DiskResult<u64> {
        self.with("read the length of", |inner| {
            Ok(self.file(inner, "read the length of")?.current.len() as u64)
        })
    }
}
