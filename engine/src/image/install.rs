//! Installing an image: an engine that is opened afterwards finds a checkpoint of the image's moment.

use std::io::Read;

use super::{Chunk, Header, ImageError, ImageReader, Progress, Summary, Watch, told};
use crate::checkpoint::Manifest;
use crate::store::{Changes, MANIFEST, Space, Span, Store, row};
use crate::view::index_entry;
use crate::{Error, Lsn};

/// Where in the receiver's own log the image belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The log is replayed onto the image from here on: what stands before is in the image or waits for its admission. Rows
    /// carry the position just before.
    pub replay_from: Lsn,
    /// The oldest received transaction that is beyond the image's frontier; `replay_from` if there is none.
    pub needs: Lsn,
}

/// Makes the store hold the image and nothing else (the local conflict log is left), as a checkpoint with the receiver's
/// own `state`. The store must not be in use. A crash, an error and a cancel leave a store without a manifest, which a start
/// does not trust: install again. Returns when everything is durable.
pub fn install<R: Read>(
    image: &mut ImageReader<R>,
    store: &dyn Store,
    place: Place,
    state: Vec<u8>,
    watch: &mut Watch<'_>,
) -> Result<Summary, ImageError> {
    let installer = Installer::begin(store, place, watch)?;
    while let Some(chunk) = image.next_chunk()? {
        installer.put(image.header(), &chunk)?;
        told(watch, image.progress())?;
    }
    installer.finish(image, state)
}

/// [`install`] in steps, for those who want to see the rows, or know their own state only at the end.
pub struct Installer<'a> {
    store: &'a dyn Store,
    place: Place,
}

impl<'a> Installer<'a> {
    /// Empties the store.
    pub fn begin(
        store: &'a dyn Store,
        place: Place,
        watch: &mut Watch<'_>,
    ) -> Result<Installer<'a>, ImageError> {
        empty(store, watch)?;
        Ok(Installer { store, place })
    }

    /// Writes a chunk's rows and their index entries.
    pub fn put(&self, header: &Header, chunk: &Chunk) -> Result<(), ImageError> {
        self.store.room()?;
        let lsn = Lsn(self.place.replay_from.0.saturating_sub(1));
        Ok(self.store.apply(changes(header, chunk, lsn)?)?)
    }

    /// After the last chunk: makes the store whole, durably.
    pub fn finish<R: Read>(self, image: &ImageReader<R>, state: Vec<u8>) -> Result<Summary, ImageError> {
        let Some(summary) = image.summary().cloned() else {
            return Err(
                Error::Internal { message: "an image is to be finished before its end".into() }.into()
            );
        };
        self.store.flush()?;
        let Header { schema, frontier, .. } = image.header().clone();
        let Place { replay_from, needs } = self.place;
        Manifest { replay_from, needs, schema, frontier, state }.save(self.store)?;
        Ok(summary)
    }
}

/// A chunk's rows and their index entries.
fn changes(header: &Header, chunk: &Chunk, lsn: Lsn) -> Result<Changes, Error> {
    let mut changes = Changes::default();
    let Some(table) = header.schema.tables.get(&chunk.table) else {
        let message = format!("a chunk of table {}, which is not declared", chunk.table);
        return Err(Error::Internal { message });
    };
    for (key, state) in &chunk.rows {
        changes.put(Space::Rows(table.id).key(key), row::encode(lsn, state)?);
        let Some(seen) = state.view(table) else { continue };
        for index in table.indexes.iter().skip(1) {
            if let Some(entry) = index_entry(table, index.id, &seen, key) {
                changes.put(Space::Entries(index.id).key(&entry), key.0.to_vec());
            }
        }
    }
    Ok(changes)
}

/// First of all what makes the store trusted, then rows and entries.
fn empty(store: &dyn Store, watch: &mut Watch<'_>) -> Result<(), ImageError> {
    let mut changes = Changes::default();
    changes.remove(MANIFEST.to_vec());
    store.apply(changes)?;
    store.flush()?;
    for tag in [b'r', b'x'] {
        let span = Span::prefix(vec![tag]);
        loop {
            let pairs = store.range(&span, false, 1024)?;
            if pairs.is_empty() {
                break;
            }
            let mut changes = Changes::default();
            pairs.into_iter().for_each(|(key, _)| changes.remove(key));
            store.apply(changes)?;
            told(watch, Progress::default())?;
        }
    }
    Ok(())
}
