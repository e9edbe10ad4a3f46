//! The manifest of a checkpoint.

use std::sync::Arc;

use gemini_shadow_ops::{Frontier, Schema};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::store::{Changes, MANIFEST, Store};
use crate::{Error, Lsn};

/// The first byte of a manifest.
const FORMAT: u8 = 1;

/// What a store holds, as a whole: everything that was applied below `replay_from`, and maybe more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) replay_from: Lsn,
    pub(crate) schema: Arc<Schema>,
    pub(crate) frontier: Frontier,
    /// The site's own.
    pub(crate) state: Vec<u8>,
}

impl Manifest {
    /// The store's manifest. None: there is none. An error: it is damaged.
    pub(crate) fn load(store: &dyn Store) -> Result<Option<Manifest>, Error> {
        let Some(bytes) = store.get(MANIFEST)? else { return Ok(None) };
        let damaged = || Error::store("the checkpoint's manifest is damaged");
        let (format, rest) = bytes.split_first().ok_or_else(damaged)?;
        if *format != FORMAT {
            return Err(Error::store(format_args!("the checkpoint has format {format}, which is not known")));
        }
        let (sum, body) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        if u64::from_le_bytes(*sum) != xxh3_64(body) {
            return Err(damaged());
        }
        postcard::from_bytes(body).map(Some).map_err(|_| damaged())
    }

    /// Writes it, durably. Everything it speaks for must have been flushed before.
    pub(crate) fn save(&self, store: &dyn Store) -> Result<(), Error> {
        let body = postcard::to_stdvec(self)
            .map_err(|e| Error::Internal { message: format!("a manifest cannot be encoded: {e}") })?;
        let mut bytes = Vec::with_capacity(body.len() + 9);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&xxh3_64(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        let mut changes = Changes::default();
        changes.put(MANIFEST.to_vec(), bytes);
        store.apply(changes)?;
        store.flush()
    }
}
