//! The thread beside the site that has the files of images: one that was made for others, one that comes from another site.
//!
//! ```text
//!   data/images/made.image       what this site has made, as long as it offers it
//!   data/images/coming.image     what comes from another site; its length says how far it is
//! ```
//!
//! Neither is precious: a start removes the first, and whatever is wrong with the second is found by its checksums when it is
//! installed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gemini_engine::Store;
use gemini_engine::image::{self, Progress};
use gemini_replication::wire::Offer;

use super::DriverError;
use super::mailbox::Courier;
use super::threads::spawn;
use crate::site::{FillWork, Filled, Input, Installation, Moment};

/// Work that waits: a window's pieces for every peer, and more.
const QUEUE: usize = 256;
/// Between two lines about a long job.
const EVERY: Duration = Duration::from_secs(1);

/// The way to the thread. When it is dropped the thread ends, and gives up what it is at.
pub(super) struct ImageSender {
    queue: SyncSender<FillWork>,
    ended: Arc<AtomicBool>,
}

impl ImageSender {
    /// Hands over work. When too much waits it is left undone, and will be asked for again.
    pub fn hand(&self, work: FillWork) {
        if let Err(error) = self.queue.try_send(work) {
            tracing::debug!(%error, "work on an image is left undone");
        }
    }
}

impl Drop for ImageSender {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Bytes of an image that an earlier process had begun to take over; what it had made for others is removed.
pub(super) fn found(data: &Path) -> u64 {
    let folder = data.join("images");
    // Not there: nothing was made.
    let _ = fs::remove_file(folder.join("made.image"));
    fs::metadata(folder.join("coming.image")).map_or(0, |file| file.len())
}

/// Starts the thread.
pub(super) fn start(
    data: &Path,
    store: Arc<dyn Store>,
    courier: &Courier,
) -> Result<(ImageSender, JoinHandle<()>), DriverError> {
    let folder = data.join("images");
    fs::create_dir_all(&folder).map_err(|cause| DriverError::Folder { path: folder.clone(), cause })?;
    let (queue, works) = sync_channel(QUEUE);
    let ended = Arc::new(AtomicBool::new(false));
    let images = Images { folder, store, ended: ended.clone(), made: None };
    let courier = courier.clone();
    let handle = spawn("gemini-images", move || images.keep(&works, &courier))?;
    Ok((ImageSender { queue, ended }, handle))
}

struct Images {
    folder: PathBuf,
    store: Arc<dyn Store>,
    ended: Arc<AtomicBool>,
    /// The image that there is, open.
    made: Option<(u64, File)>,
}

impl Images {
    fn keep(mut self, works: &Receiver<FillWork>, courier: &Courier) {
        while let Ok(work) = works.recv() {
            if let Some(filled) = self.work(work) {
                courier.insist(Input::Filled(filled));
            }
        }
    }

    fn work(&mut self, work: FillWork) -> Option<Filled> {
        match work {
            FillWork::Make(moment) => {
                let made = self.make(*moment);
                Some(Filled::Made(made.map_err(|e| tracing::error!("an image cannot be made: {e}")).ok()))
            }
            FillWork::Read { to, image, offset, length } => {
                let bytes = self.read(image, offset, length);
                let bytes = bytes.map_err(|e| tracing::error!("an image cannot be read: {e}")).ok();
                Some(Filled::Read { to, image, offset, bytes })
            }
            FillWork::Remove(image) => {
                if self.made.take_if(|(made, _)| *made == image).is_some() {
                    // A start removes what is left.
                    let _ = fs::remove_file(self.folder.join("made.image"));
                }
                None
            }
            FillWork::Begin => {
                let begun = File::create(self.coming());
                begun.err().map(|e| Filled::Failed(format!("its file cannot be made: {e}")))
            }
            FillWork::Write { offset, bytes } => Some(match self.write(offset, &bytes) {
                Ok(upto) => Filled::Written(upto),
                Err(e) => Filled::Failed(format!("its file cannot be written: {e}")),
            }),
            FillWork::Install(installation) => Some(self.install(&installation)),
        }
    }

    fn coming(&self) -> PathBuf {
        self.folder.join("coming.image")
    }

    fn make(&mut self, moment: Moment) -> Result<Offer, String> {
        self.made = None;
        let path = self.folder.join("made.image");
        let text = |e: io::Error| e.to_string();
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(text)?;
        let Moment { snapshot, origin } = moment;
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        let mut watch = self.watch("an image is written");
        let summary = image::write(&snapshot, origin, &mut out, &mut watch).map_err(|e| e.to_string())?;
        out.flush().map_err(text)?;
        drop(out);
        let image = summary.checksum as u64;
        let frontier = snapshot.frontier().clone();
        tracing::info!(rows = summary.rows, bytes = summary.bytes, %frontier, "an image is made");
        self.made = Some((image, file));
        Ok(Offer { image, bytes: summary.bytes, frontier })
    }

    fn read(&self, image: u64, offset: u64, length: u32) -> Result<Bytes, String> {
        let Some((_, file)) = self.made.as_ref().filter(|(made, _)| *made == image) else {
            return Err("there is no such image any more".into());
        };
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, offset).map_err(|e| e.to_string())?;
        Ok(bytes.into())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        let file = OpenOptions::new().write(true).open(self.coming())?;
        if file.metadata()?.len() < offset {
            return Err(io::Error::other("something before it is missing"));
        }
        file.write_all_at(bytes, offset)?;
        Ok(offset + bytes.len() as u64)
    }

    fn install(&self, installation: &Installation) -> Filled {
        let mut watch = self.watch("an image is installed");
        let installed = File::open(self.coming()).map_err(|e| e.to_string()).and_then(|file| {
            installation.run(BufReader::with_capacity(1 << 20, file), &*self.store, &mut watch)
        });
        // Done with, or of no use.
        let _ = fs::remove_file(self.coming());
        match installed {
            Ok(()) => Filled::Installed,
            Err(reason) => Filled::Failed(reason),
        }
    }

    /// Tells once a second how far a job is, and gives it up when the site ends.
    fn watch(&self, what: &'static str) -> impl FnMut(Progress) -> ControlFlow<()> + use<> {
        let (ended, mut told) = (self.ended.clone(), Instant::now());
        move |Progress { rows, bytes }| {
            if told.elapsed() >= EVERY {
                told = Instant::now();
                tracing::info!(rows, mib = bytes >> 20, "{what}");
            }
            if ended.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
}
