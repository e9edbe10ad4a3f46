//! Restoring: one image becomes the data folders of a fresh cluster's sites.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gemini_engine::image::{ImageReader, Summary};
use gemini_engine::{Error, RealDisk};

use super::{BackupError, Told, file_error, open};
use crate::config::{Cluster, Site};
use crate::driver::{draw, now, site_options};
use crate::site::{self, RestoreError};

/// A site that can be started.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Its data folder.
    pub data: PathBuf,
    /// What the image came to.
    pub summary: Summary,
}

/// Makes the data folder of a site that is not there yet. The other sites of the cluster must be restored from the same image.
pub fn restore(image: &Path, cluster: &Cluster, site: &Site) -> Result<Restored, BackupError> {
    let data = &site.data;
    match fs::remove_dir(data) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(_) => return Err(BackupError::HoldsData(data.clone())),
        // An empty one.
        Ok(()) => {}
    }
    let unfinished = beside(data);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(file_error("remove", &unfinished))?;
    }
    let failed = |cause: RestoreError| {
        let cause = Box::new(cause);
        BackupError::Restore { site: site.name.clone(), path: image.to_owned(), cause }
    };
    let made = fill(image, cluster, site, &unfinished, &failed).and_then(|summary| {
        fs::rename(&unfinished, data).map_err(file_error("name", data))?;
        let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync(parent)?;
        Ok(Restored { data: data.clone(), summary })
    });
    if made.is_err() {
        // Of no use to anybody; the error that matters is the first.
        let _ = fs::remove_dir_all(&unfinished);
    }
    made
}

/// Where a data folder grows until it is whole.
fn beside(data: &Path) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    data.with_file_name(name)
}

fn fill(
    image: &Path,
    cluster: &Cluster,
    site: &Site,
    folder: &Path,
    failed: &dyn Fn(RestoreError) -> BackupError,
) -> Result<Summary, BackupError> {
    let options = site_options(cluster, site, draw().ok_or(BackupError::Random)?, 0);
    let engine = |error: Error| failed(error.into());
    let disk = RealDisk::open(folder.join("log"))
        .map_err(|e| engine(Error::from(gemini_engine::log::LogError::from(e))))?;
    let store = site.store.open(&folder.join("store"), cluster.shares().store).map_err(engine)?;
    let mut reader = ImageReader::open(open(image)?).map_err(|e| failed(e.into()))?;
    let mut told = Told::new("restored");
    let summary =
        site::restore(now(), &options, &mut reader, &disk, &*store, &mut |progress| told.hear(progress))
            .map_err(failed)?;
    drop(store);
    sync(folder)?;
    Ok(summary)
}

fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error("sync", folder))
}
