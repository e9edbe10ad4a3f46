//! Rolling a backup forward through an archive: the backup of a later moment.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gemini_engine::image::{Header, ImageReader, Summary};
use gemini_engine::log::{LogError, archive};
use gemini_engine::store::StoreKind;
use gemini_engine::{Error, Lsn, RealDisk};

use super::{BUFFER, BackupError, Created, SUFFIX, Told, file_error, open, time};
use crate::site::{RestoreError, Roll, Until};

/// The cache of a store that is read once.
const CACHE: u64 = 64 << 20;

/// Makes a new backup in `folder` of `image` and the archives (or log folders of stopped sites), which are read one after the
/// other, each where the last one ended.
pub fn roll(image: &Path, archives: &[PathBuf], until: Until, folder: &Path) -> Result<Created, BackupError> {
    fs::create_dir_all(folder).map_err(file_error("create", folder))?;
    let scratch = folder.join(format!(".rolling-{}", std::process::id()));
    let partial = scratch.join("image");
    let failed = |cause: RestoreError| BackupError::Roll { path: image.to_owned(), cause: Box::new(cause) };
    let made =
        advance(image, archives, until, &scratch, &failed).and_then(|roll| write(roll, &partial, &failed));
    let named = made.and_then(|(header, summary)| {
        let when = time(header.origin.taken).replace(':', "-");
        let path = folder.join(format!("{when}-rolled-r{}{SUFFIX}", header.frontier.red));
        fs::rename(&partial, &path).map_err(file_error("name", &path))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error("sync", folder))?;
        Ok(Created { path, header, summary })
    });
    // Of no use to anybody; the error that matters is the first.
    let _ = fs::remove_dir_all(&scratch);
    named
}

fn advance(
    image: &Path,
    archives: &[PathBuf],
    until: Until,
    scratch: &Path,
    failed: &dyn Fn(RestoreError) -> BackupError,
) -> Result<Roll, BackupError> {
    let log = |e: LogError| failed(Error::from(e).into());
    let disk = RealDisk::open(scratch.join("log")).map_err(|e| log(e.into()))?;
    let store = StoreKind::default().open(&scratch.join("store"), CACHE).map_err(|e| failed(e.into()))?;
    let mut reader = ImageReader::open(open(image)?).map_err(|e| failed(e.into()))?;
    let mut told = Told::new("read");
    let disk = Arc::new(disk);
    let mut roll =
        Roll::begin(&mut reader, until, disk, store, &mut |progress| told.hear(progress)).map_err(failed)?;
    let (mut from, mut stopped) = (Lsn(0), Ok(true));
    for archive in archives {
        if !archive.is_dir() {
            return Err(BackupError::NoArchive(archive.clone()));
        }
        let archive = RealDisk::open(archive).map_err(|e| log(e.into()))?;
        from = archive::records(&archive, from, &mut |lsn, record| {
            stopped = roll.take(record);
            told.position(lsn.0);
            matches!(stopped, Ok(true))
        })
        .map_err(log)?;
        match stopped {
            Ok(true) => {}
            Ok(false) => return Ok(roll),
            Err(cause) => return Err(failed(cause)),
        }
    }
    Ok(roll)
}

fn write(
    roll: Roll,
    partial: &Path,
    failed: &dyn Fn(RestoreError) -> BackupError,
) -> Result<(Header, Summary), BackupError> {
    let file = File::create(partial).map_err(file_error("create", partial))?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let mut told = Told::new("written");
    roll.finish(&mut out, &mut |progress| told.hear(progress)).map_err(failed)?;
    out.flush().map_err(file_error("write", partial))?;
    out.get_ref().sync_all().map_err(file_error("sync", partial))?;
    super::verify(partial)
}
