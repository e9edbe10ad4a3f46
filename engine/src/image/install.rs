//! Installing an image: an engine that is opened afterwards finds a checkpoint of the image's moment.

use std::io::Read;

use super::{Chunk, ImageError, ImageReader, Progress, Summary, Watch, told};
use crate::checkpoint::Manifest;
use crate::store::{Changes, MANIFEST, Space, Span, Store, row};
use crate::view::{index_entry, widen};
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
    empty(store, watch)?;
    let lsn = Lsn(place.replay_from.0.saturating_sub(1));
    while let Some(chunk) = image.next_chunk()? {
        store.room()?;
        store.apply(changes(image, &chunk, lsn)?)?;
        told(watch, image.progress())?;
    }
    let Some(summary) = image.summary().cloned() else {
        return Err(Error::Internal { message: "an image ended without an end".into() }.into());
    };
    store.flush()?;
    let header = image.header();
    let (schema, frontier) = (header.schema.clone(), header.frontier.clone());
    Manifest { replay_from: place.replay_from, needs: place.needs, schema, frontier, state }.save(store)?;
    Ok(summary)
}

/// A chunk's rows and their index entries.
fn changes<R: Read>(image: &ImageReader<R>, chunk: &Chunk, lsn: Lsn) -> Result<Changes, Error> {
    let mut changes = Changes::default();
    let Some(table) = image.header().schema.tables.get(&chunk.table) else {
        return Err(Error::Internal {
            message: format!("a chunk of table {}, which is not declared", chunk.table),
        });
    };
    for (key, state) in &chunk.rows {
        changes.put(Space::Rows(table.id).key(key), row::encode(lsn, state)?);
        let Some(seen) = state.view(table).map(|seen| widen(&seen, table)) else { continue };
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
