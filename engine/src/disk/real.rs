//! One directory of the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirLock, Disk, DiskError, DiskErrorKind, DiskFile, DiskResult, write_zeros};

/// The file that a process holds locked while it uses the directory. It stays behind, empty and harmless.
const LOCK: &str = "LOCK";

/// Zeros are handed to the device in steps of this size, so that a commit's own sync never queues behind the
/// whole of a segment that is being prepared.
const PREPARE_STEP: u64 = 2 * 1024 * 1024;

/// A directory.
#[derive(Clone, Debug)]
pub struct RealDisk {
    directory: PathBuf,
}

impl RealDisk {
    /// Opens the directory, creating it (and what leads to it) if it is not there.
    pub fn open(directory: impl Into<PathBuf>) -> DiskResult<RealDisk> {
        let directory = directory.into();
        let error = |operation, e| error(operation, &directory, &e);
        if !directory.is_dir() {
            fs::create_dir_all(&directory).map_err(|e| error("create directory", e))?;
            if let Some(parent) = directory.parent().filter(|p| !p.as_os_str().is_empty()) {
                File::open(parent).and_then(|d| d.sync_all()).map_err(|e| error("sync parent of", e))?;
            }
        }
        Ok(RealDisk { directory })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, name: &str) -> PathBuf {
        debug_assert!(!name.is_empty() && !name.contains('/'), "a file name, not a path: {name:?}");
        self.directory.join(name)
    }

    fn create_zeroed(&self, name: &str, len: u64) -> DiskResult<Arc<dyn DiskFile>> {
        let path = self.path(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|e| error("create", &path, &e))?;
        let file = RealFile { file, path };
        let mut at = 0;
        while at < len {
            let to = len.min(at + PREPARE_STEP);
            write_zeros(&file, at, to)?;
            file.sync()?;
            at = to;
        }
        // The length and the allocation are metadata that a later fdatasync must not have to write.
        file.file.sync_all().map_err(|e| error("sync", &file.path, &e))?;
        Ok(Arc::new(file))
    }
}

impl Disk for RealDisk {
    fn lock(&self) -> DiskResult<DirLock> {
        let path = self.path(LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| error("open", &path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock::new(file)),
            Err(TryLockError::WouldBlock) => Err(DiskError {
                kind: DiskErrorKind::Locked,
                operation: "lock",
                file: path.display().to_string(),
                message: "another process uses this data directory; stop it first, or name another directory"
                    .to_string(),
            }),
            Err(TryLockError::Error(e)) => Err(error("lock", &path, &e)),
        }
    }

    fn create(&self, name: &str, len: u64) -> DiskResult<Arc<dyn DiskFile>> {
        self.create_zeroed(name, len).inspect_err(|_| {
            // What was not completed must not hold the space that the next attempt needs; the first error counts.
            let _ = fs::remove_file(self.path(name));
        })
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let path = self.path(name);
        // An offline check may run on a copy that is not writable.
        let file = OpenOptions::new().read(true).write(true).open(&path).or_else(|e| match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
            _ => Err(e),
        });
        let file = file.map_err(|e| error("open", &path, &e))?;
        Ok(Arc::new(RealFile { file, path }))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let path = self.path(from);
        fs::rename(&path, self.path(to)).map_err(|e| error("rename", &path, &e))
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(|e| error("remove", &path, &e))
    }

    fn list(&self) -> DiskResult<Vec<String>> {
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.directory)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    names.extend(entry.file_name().into_string());
                }
            }
            names.sort();
            Ok(names)
        };
        list().map_err(|e| error("list", &self.directory, &e))
    }

    fn sync_dir(&self) -> DiskResult<()> {
        File::open(&self.directory).and_then(|d| d.sync_all()).map_err(|e| error("sync", &self.directory, &e))
    }

    fn describe(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

struct RealFile {
    file: File,
    path: PathBuf,
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> DiskResult<usize> {
        loop {
            match self.file.read_at(into, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(|e| error("read", &self.path, &e)),
            }
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> DiskResult<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| error("write", &self.path, &e))
    }

    fn sync(&self) -> DiskResult<()> {
        self.file.sync_data().map_err(|e| error("sync", &self.path, &e))
    }

    fn len(&self) -> DiskResult<u64> {
        self.file.metadata().map(|m| m.len()).map_err(|e| error("read the length of", &self.path, &e))
    }
}

fn error(operation: &'static str, path: &Path, e: &io::Error) -> DiskError {
    let kind = match e.kind() {
        io::ErrorKind::NotFound => DiskErrorKind::NotFound,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => DiskErrorKind::Denied,
        _ => DiskErrorKind::Io,
    };
    DiskError { kind, operation, file: path.display().to_string(), message: e.to_string() }
}
