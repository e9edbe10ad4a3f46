//! Writing an image of a snapshot.

use std::io::Write;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Key, RowState};
use serde::Serialize;

use super::frame::{Kind, Sink};
use super::{End, Header, ImageError, Origin, Progress, Summary, Watch, told};
use crate::digest::{self, TableSum};
use crate::store::row;
use crate::versions::TableEntry;
use crate::{Digest, Error, KeyRange, Lsn, Snapshot};

/// A chunk is full with so many bytes; a row that is larger has one to itself.
const CHUNK: usize = 256 * 1024;

/// The most rows read at once.
const ROWS: usize = 1024;

/// Writes the database as `snapshot` shows it. The snapshot should be let go of soon: it holds row versions in memory, and if
/// they become too many it ends with [`Error::SnapshotTooOld`]. Nothing is flushed or synced: that is the caller's.
pub fn write(
    snapshot: &Snapshot,
    origin: Origin,
    out: &mut dyn Write,
    watch: &mut Watch<'_>,
) -> Result<Summary, ImageError> {
    let schema = snapshot.schema().clone();
    let mut sink = Sink::begin(out)?;
    let header = Header { origin, frontier: snapshot.frontier().clone(), schema: schema.clone() };
    sink.frame(Kind::Header, &encode(&header)?)?;
    let mut writer = Writer { sink, chunk: Vec::new(), count: 0, rows: 0 };
    let mut digest = Digest::default();
    for id in schema.tables.keys() {
        let Some(entry) = snapshot.table(*id) else { continue };
        digest.tables.insert(*id, writer.table(snapshot, entry, watch)?);
    }
    digest::total(&schema, &mut digest)?;
    let Writer { mut sink, rows, .. } = writer;
    let checksum = sink.checksum();
    let end = End { rows, digest, checksum };
    sink.frame(Kind::End, &encode(&end)?)?;
    told(watch, Progress { rows, bytes: sink.bytes })?;
    Ok(Summary { rows, bytes: sink.bytes, digest: end.digest, checksum })
}

struct Writer<'a> {
    sink: Sink<'a>,
    /// The body of the chunk in the making.
    chunk: Vec<u8>,
    /// Its rows.
    count: u32,
    rows: u64,
}

impl Writer<'_> {
    /// All rows of a table; gives its digest.
    fn table(
        &mut self,
        snapshot: &Snapshot,
        entry: &TableEntry,
        watch: &mut Watch<'_>,
    ) -> Result<u64, ImageError> {
        let mut sum = TableSum::default();
        let mut rest = KeyRange::all();
        // Few at first: nobody knows yet how large they are.
        let mut limit = 16;
        loop {
            let found = snapshot.scan_states(entry.table.id, &rest, false, limit)?;
            let before = self.sink.bytes + self.chunk.len() as u64;
            for (key, state) in &found {
                let ended = state.incarnations.iter().all(|incarnation| incarnation.died.is_some());
                if ended && planted(Fault::ImageLosesEnded) {
                    continue;
                }
                if !sum.add(&entry.table, key, state)? {
                    continue;
                }
                self.row(entry, key, state)?;
                if self.chunk.len() >= CHUNK {
                    self.chunk(watch)?;
                }
            }
            let written = self.sink.bytes + self.chunk.len() as u64 - before;
            match found.last() {
                Some((last, _)) if found.len() == limit => rest = rest.after(last, false),
                _ => break,
            }
            let row = (written as usize / found.len()).max(1);
            limit = (CHUNK / row).clamp(1, ROWS);
        }
        self.chunk(watch)?;
        Ok(sum.digest()?)
    }

    fn row(&mut self, entry: &TableEntry, key: &Key, state: &RowState) -> Result<(), ImageError> {
        if self.count == 0 {
            self.chunk.extend_from_slice(&entry.table.id.0.to_le_bytes());
            self.chunk.extend_from_slice(&[0; 4]);
        }
        for part in [&*key.0, &row::encode(Lsn(0), state)?] {
            let length = u32::try_from(part.len()).map_err(|_| {
                Error::store(format_args!("a row of table {} is too large for an image", entry.table.name))
            })?;
            self.chunk.extend_from_slice(&length.to_le_bytes());
            self.chunk.extend_from_slice(part);
        }
        self.count += 1;
        self.rows += 1;
        Ok(())
    }

    /// Ends the chunk, if one is begun.
    fn chunk(&mut self, watch: &mut Watch<'_>) -> Result<(), ImageError> {
        if self.count == 0 {
            return Ok(());
        }
        self.chunk[4..8].copy_from_slice(&self.count.to_le_bytes());
        self.sink.frame(Kind::Rows, &self.chunk)?;
        self.chunk.clear();
        self.count = 0;
        told(watch, Progress { rows: self.rows, bytes: self.sink.bytes })
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    postcard::to_stdvec(value)
        .map_err(|e| Error::Internal { message: format!("an image's frame cannot be encoded: {e}") })
}
