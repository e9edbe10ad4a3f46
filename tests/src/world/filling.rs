//! What the program's thread beside the site does with the files of images, here with byte strings; and how a site is opened anew.

use std::ops::ControlFlow;

use bytes::Bytes;
use gemini::site::{FillWork, Filled, Input, Installation, Moment};
use gemini_engine::image;
use gemini_replication::wire::Offer;

use super::node::Node;
use super::{Event, World};

/// How long work on a piece takes, on an image, µs.
const PIECE: u64 = 300;
const IMAGE: u64 = 30_000;

impl World {
    pub(super) fn fill_work(&mut self, node: usize, work: FillWork) {
        let life = self.nodes[node].life;
        let (takes, filled) = match work {
            FillWork::Make(moment) => {
                let offer = self.make_image(node, &moment);
                self.say("▣", format!("s{} makes an image: {offer:?}", node + 1));
                (IMAGE, Filled::Made(Some(offer)))
            }
            FillWork::Read { to, image, offset, length } => {
                let (at, end) = (offset as usize, offset as usize + length as usize);
                let made = self.nodes[node].made.as_ref().filter(|(made, _)| *made == image);
                let bytes = made.map(|(_, file)| Bytes::copy_from_slice(&file[at..end]));
                (PIECE, Filled::Read { to, image, offset, bytes })
            }
            FillWork::Remove(image) => {
                self.nodes[node].made.take_if(|(made, _)| *made == image);
                return;
            }
            FillWork::Begin => return self.nodes[node].coming.clear(),
            FillWork::Write { offset, bytes } => {
                let file = &mut self.nodes[node].coming;
                assert!(offset as usize <= file.len(), "filling: a gap in the image that comes");
                file.truncate(offset as usize);
                file.extend_from_slice(&bytes);
                (PIECE, Filled::Written(file.len() as u64))
            }
            FillWork::Install(installation) => {
                // The power may go while the store is half filled.
                let mut chunks = self.nodes[node].random.below(3);
                let half = self.install(node, &installation, &mut || {
                    chunks = chunks.saturating_sub(1);
                    chunks == 0
                });
                self.say("▣", format!("s{} begins to install an image: {half:?}", node + 1));
                return self.schedule(IMAGE, Event::Install { node, life, installation });
            }
        };
        self.schedule(takes, Event::Link { node, life, input: Input::Filled(filled) });
    }

    /// Whether a site may lose its tables: with it, no more than a minority has none. What a majority loses, nobody gives back.
    pub(super) fn tables_to_spare(&self, node: usize) -> bool {
        let bare = |other: &Node| other.lost || other.process.as_ref().is_some_and(|p| p.site.filling());
        let bare = (0..self.nodes.len()).filter(|other| *other != node && bare(&self.nodes[*other])).count();
        bare < (self.nodes.len() - 1) / 2
    }

    /// Every site that runs has its tables.
    pub fn nobody_is_filled(&self) -> bool {
        let processes = self.nodes.iter().filter(|node| !node.away).map(|node| &node.process);
        processes.into_iter().all(|process| process.as_ref().is_some_and(|process| !process.site.filling()))
    }

    fn make_image(&mut self, node: usize, moment: &Moment) -> Offer {
        let mut file = Vec::new();
        let mut watch = |_| ControlFlow::Continue(());
        let summary = image::write(&moment.snapshot, moment.origin.clone(), &mut file, &mut watch)
            .expect("the simulated store can be read");
        let image = summary.checksum as u64;
        let offer = Offer { image, bytes: summary.bytes, frontier: moment.snapshot.frontier().clone() };
        self.nodes[node].made = Some((image, file));
        offer
    }

    /// Installs what has come, or gives up when `cut` says so.
    fn install(
        &mut self,
        node: usize,
        installation: &Installation,
        cut: &mut dyn FnMut() -> bool,
    ) -> Result<(), String> {
        let machine = &self.nodes[node];
        let mut watch = |_| if cut() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        installation.run(machine.coming.as_slice(), &*machine.store, &mut watch)
    }

    pub(super) fn installs(&mut self, node: usize, life: u64, installation: &Installation) {
        if self.nodes[node].life != life {
            return;
        }
        assert!(
            self.options.log_keep != u64::MAX || self.options.loses_store > 0,
            "kept: s{} has its store and is filled, although everybody keeps the log for it",
            node + 1
        );
        let filled = match self.install(node, installation, &mut || false) {
            Ok(()) => {
                self.filled += 1;
                Filled::Installed
            }
            Err(reason) => Filled::Failed(reason),
        };
        self.say("▣", format!("s{}: {filled:?}", node + 1));
        self.nodes[node].coming.clear();
        self.happen(Event::Link { node, life, input: Input::Filled(filled) });
    }

    /// A site is let go of and opened anew: the batch under way is written, its clients are sent away.
    pub(super) fn reopen(&mut self, node: usize, reason: &str) {
        self.say("▼", format!("s{} is opened anew: {reason}", node + 1));
        let disk = self.nodes[node].disk.clone();
        let batch = self.nodes[node].process.as_mut().and_then(|process| process.batch.take());
        if let Some(mut batch) = batch {
            match batch.write(&disk) {
                Ok(end) => self.checks.synced(node, end),
                // Then it was not written, as by a crash.
                Err(error) => _ = self.disk_error(node, &error),
            }
        }
        let life = self.nodes[node].life;
        self.clients.retain(|client| client.node != node || client.life != life);
        self.checks.crashed(node);
        self.nodes[node].leave();
        let others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != node).collect();
        for other in others {
            self.unlink(node.min(other), node.max(other), "the site is opened anew");
        }
        self.schedule(PIECE, Event::Start { node });
    }
}
