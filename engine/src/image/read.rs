//! Reading an image, and checking it.

use std::io::Read;

use gemini_shadow_ops::{Key, RowState, Table, TableId};
use serde::de::DeserializeOwned;

use super::frame::{Kind, Source, u32_at};
use super::{End, Header, ImageError, Progress, Summary, Watch, damaged, told};
use crate::digest::{self, TableSum};
use crate::store::row;
use crate::{Digest, Error};

/// Rows of one table, in order of their keys.
#[derive(Debug)]
pub struct Chunk {
    /// The table.
    pub table: TableId,
    /// Everything under each key.
    pub rows: Vec<(Key, RowState)>,
}

/// Reads an image and checks everything about it on the way.
pub struct ImageReader<R> {
    source: Source<R>,
    header: Header,
    digest: Digest,
    /// The table being read, its sum so far and its last key.
    current: Option<(TableId, TableSum, Key)>,
    rows: u64,
    summary: Option<Summary>,
}

impl<R: Read> ImageReader<R> {
    /// Reads the header.
    pub fn open(input: R) -> Result<ImageReader<R>, ImageError> {
        let mut source = Source::begin(input)?;
        let at = source.bytes;
        let (Kind::Header, body, _) = source.frame()? else {
            return Err(damaged(at, "it does not begin with a header"));
        };
        let header: Header = decode(at, "header", &body)?;
        // A table without rows has no chunk, and a digest all the same.
        let mut digest = Digest::default();
        let nothing = TableSum::default().digest()?;
        digest.tables.extend(header.schema.tables.keys().map(|id| (*id, nothing)));
        Ok(ImageReader { source, header, digest, current: None, rows: 0, summary: None })
    }

    /// What it begins with.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How far it has been read.
    pub fn progress(&self) -> Progress {
        Progress { rows: self.rows, bytes: self.source.bytes }
    }

    /// What it ends with, once [`ImageReader::next_chunk`] has said that it is whole.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// The next rows; `None` at the end, if everything was as it should be.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ImageError> {
        if self.summary.is_some() {
            return Ok(None);
        }
        let at = self.source.bytes;
        match self.source.frame()? {
            (Kind::Rows, body, _) => self.chunk(at, &body).map(Some),
            (Kind::End, body, checksum) => {
                self.end(at, &body, checksum)?;
                Ok(None)
            }
            (Kind::Header, ..) => Err(damaged(at, "a second header")),
        }
    }

    fn chunk(&mut self, at: u64, body: &[u8]) -> Result<Chunk, ImageError> {
        let mut input = Body { at, rest: body };
        let table = TableId(input.number()?);
        let Some(declared) = self.header.schema.tables.get(&table).cloned() else {
            return Err(damaged(at, format_args!("rows of table {table}, which is not declared")));
        };
        let count = input.number()?;
        let mut chunk = Chunk { table, rows: Vec::new() };
        for _ in 0..count {
            let key = Key(input.bytes()?.into());
            let (_, state) = row::decode(input.bytes()?).map_err(|error| match error {
                newer @ Error::Newer { .. } => ImageError::Engine(newer),
                other => damaged(at, format_args!("under key {key}: {other}")),
            })?;
            self.count(at, &declared, &key, &state)?;
            chunk.rows.push((key, state));
        }
        if !input.rest.is_empty() {
            return Err(damaged(at, "bytes follow a chunk's rows"));
        }
        Ok(chunk)
    }

    /// Adds a row to its table's digest; rows come in order.
    fn count(&mut self, at: u64, table: &Table, key: &Key, state: &RowState) -> Result<(), ImageError> {
        let last = self.current.as_ref().map(|(id, _, last)| (*id, last));
        if last.is_some_and(|last| last >= (table.id, key)) {
            return Err(damaged(at, format_args!("key {key} of table {} is out of order", table.name)));
        }
        let mut sum = match self.current.take() {
            Some((id, sum, _)) if id == table.id => sum,
            other => {
                self.close_table(other)?;
                TableSum::default()
            }
        };
        if !sum.add(table, key, state)? {
            return Err(damaged(at, format_args!("nothing under key {key} of table {}", table.name)));
        }
        self.rows += 1;
        self.current = Some((table.id, sum, key.clone()));
        Ok(())
    }

    fn close_table(&mut self, table: Option<(TableId, TableSum, Key)>) -> Result<(), Error> {
        if let Some((id, sum, _)) = table {
            self.digest.tables.insert(id, sum.digest()?);
        }
        Ok(())
    }

    fn end(&mut self, at: u64, body: &[u8], checksum: u128) -> Result<(), ImageError> {
        let current = self.current.take();
        self.close_table(current)?;
        digest::total(&self.header.schema, &mut self.digest)?;
        let end: End = decode(at, "end", body)?;
        if end.checksum != checksum {
            return Err(damaged(
                at,
                "the checksum of the whole does not match: frames of different images are mixed",
            ));
        }
        if end.rows != self.rows {
            return Err(damaged(at, format_args!("{} rows, and {} are there", end.rows, self.rows)));
        }
        if end.digest != self.digest {
            return Err(damaged(at, format_args!("digest {}, and the rows' is {}", end.digest, self.digest)));
        }
        self.source.end()?;
        let (rows, bytes) = (self.rows, self.source.bytes);
        self.summary = Some(Summary { rows, bytes, digest: end.digest, checksum });
        Ok(())
    }
}

/// Reads all of an image and checks it.
pub fn verify<R: Read>(input: R, watch: &mut Watch<'_>) -> Result<(Header, Summary), ImageError> {
    let mut reader = ImageReader::open(input)?;
    while reader.next_chunk()?.is_some() {
        told(watch, reader.progress())?;
    }
    let ImageReader { header, summary, .. } = reader;
    let summary =
        summary.ok_or_else(|| Error::Internal { message: "an image ended without an end".into() })?;
    Ok((header, summary))
}

/// A chunk's bytes.
struct Body<'a> {
    /// Where the frame begins, for messages.
    at: u64,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn number(&mut self) -> Result<u32, ImageError> {
        Ok(u32_at(self.take(4)?, 0))
    }

    fn bytes(&mut self) -> Result<&'a [u8], ImageError> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ImageError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(damaged(self.at, "a chunk ends within a row"));
        };
        self.rest = rest;
        Ok(taken)
    }
}

fn decode<T: DeserializeOwned>(at: u64, what: &str, body: &[u8]) -> Result<T, ImageError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(damaged(at, format_args!("{} bytes follow the {what}", rest.len()))),
        Err(error) => Err(damaged(at, format_args!("its {what} does not decode: {error}"))),
    }
}
