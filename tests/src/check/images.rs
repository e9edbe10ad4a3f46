//! An image is its moment (DESIGN §8, §9): written while the site works, and restored into a fresh cluster's site, it has the tables,
//! indexes and frontier of the snapshot, and a state of the same moment.

use std::ops::ControlFlow;
use std::sync::Arc;

use gemini::site::{Moment, Options, Site, restore};
use gemini_engine::image::{self, ImageError, ImageReader};
use gemini_engine::{Error, MemDisk, MemStore};

use super::{converge, indexes};

/// Panics if what is restored is not what the snapshot shows. `options`: of a site of the fresh cluster.
pub(super) fn check(converge: &mut converge::Converge, now: u64, moment: Moment, options: Options) {
    let Moment { snapshot, origin } = moment;
    let mut bytes = Vec::new();
    let summary = match image::write(&snapshot, origin, &mut bytes, &mut |_| ControlFlow::Continue(())) {
        // It held more than the little memory of some seeds.
        Err(ImageError::Engine(Error::SnapshotTooOld)) => return,
        written => written.expect("a snapshot of the simulated store can be written"),
    };
    let (disk, store) = (MemDisk::new(), MemStore::new());
    let mut reader = ImageReader::open(&bytes[..]).expect("what was written begins with a header");
    let restored = restore(now, &options, &mut reader, &disk, &store, &mut |_| ControlFlow::Continue(()));
    let restored = restored.unwrap_or_else(|error| panic!("images: an image cannot be restored: {error}"));
    assert_eq!(restored, summary, "images: what is read is not what was written");
    let site = Site::open(now, options, Arc::new(disk), Arc::new(store), &mut Vec::new());
    let site = site.unwrap_or_else(|error| panic!("images: a restored site does not open: {error}"));
    let again = site.engine().reader().snapshot();
    assert_eq!(again.frontier(), snapshot.frontier(), "images: a restored site is at another moment");
    converge.check(&snapshot);
    converge.check(&again);
    indexes::check(&again);
}
