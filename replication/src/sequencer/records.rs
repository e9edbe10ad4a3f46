//! What the sequencer keeps in the site's log, and how it is rebuilt from there.

use std::collections::BTreeMap;

use gemini_shadow_ops::fault::{Fault, planted};
use gemini_shadow_ops::{Entry, EntryId};
use serde::{Deserialize, Serialize};

use super::storage::{Base, Body, Hard, Storage};
use crate::replica::ReplicaError;
use crate::wire::LogEntry;

/// The body of one `Record::Sequencer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// Entries from `first` on, in place of what was there.
    Entries {
        /// The first one's index.
        first: u64,
        /// All.
        entries: Vec<LogEntry>,
    },
    /// Term, vote and commit.
    Hard(Hard),
    /// An entry of ours is about to be sent: the VOID that ends it, should we not know what became of it.
    Open(Entry),
    /// The log has decided it, or it was never sent.
    Closed(EntryId),
    /// Stands for all records before it.
    Whole {
        /// Term, vote and commit.
        hard: Hard,
        /// Where the log begins.
        base: Base,
        /// Its entries: term and body.
        slots: Vec<(u64, Body)>,
        /// The VOIDs of entries of ours that are not decided.
        open: Vec<Entry>,
    },
}

impl Record {
    /// Bytes for the log.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self)
            .expect("a record holds only bytes and numbers, which can always be written")
    }

    /// From the log.
    pub fn decode(bytes: &[u8]) -> Result<Record, ReplicaError> {
        postcard::from_bytes(bytes).map_err(|e| ReplicaError::Record(e.to_string()))
    }
}

/// The body of the first `Record::Sequencer` of a site that begins with a database up to red index `r`, restored from a backup: an
/// empty log whose first entry of ours gets `r + 1`. All sites of such a cluster begin alike.
pub fn beginning(r: u64) -> Vec<u8> {
    let base = Base { r, ..Base::default() };
    Record::Whole { hard: Hard::default(), base, slots: Vec::new(), open: Vec::new() }.encode()
}

/// Rebuilds the sequencer's state from its records in the log.
#[derive(Debug, Default)]
pub struct SequencerRecovery {
    storage: Storage,
    open: BTreeMap<EntryId, Entry>,
    /// Entries that do not follow what came before. A log that was cut begins anywhere: what stands before the first
    /// [`Record::Whole`] is then superseded by it, and only a log without one contradicts itself.
    gap: Option<ReplicaError>,
}

impl SequencerRecovery {
    /// The body of the next `Record::Sequencer`.
    pub fn record(&mut self, body: &[u8]) -> Result<(), ReplicaError> {
        match Record::decode(body)? {
            Record::Entries { first, entries } => {
                for (i, entry) in entries.iter().enumerate() {
                    readable(first.saturating_add(i as u64), &Body::from(entry))?;
                }
                let slots: Vec<(u64, Body)> = entries.iter().map(|e| (e.term, Body::from(e))).collect();
                if self.gap.is_none() {
                    self.gap = self.storage.append(first, slots).map_err(ReplicaError::Inconsistent).err();
                }
            }
            Record::Hard(hard) if planted(Fault::VoteForgotten) => {
                self.storage.hard = Hard { vote: 0, ..hard }
            }
            Record::Hard(hard) => self.storage.hard = hard,
            Record::Open(void) => _ = self.open.insert(void.id(), forgetful(void)),
            Record::Closed(id) => _ = self.open.remove(&id),
            Record::Whole { hard, base, slots, open } => {
                let mut storage = Storage::new(base, hard);
                if base.index >= 1 << 60 {
                    return Err(ReplicaError::Record(format!("index {} is out of range", base.index)));
                }
                for (index, (_, body)) in (base.index + 1..).zip(&slots) {
                    readable(index, body)?;
                }
                storage.append(base.index + 1, slots).map_err(ReplicaError::Inconsistent)?;
                self.storage = storage;
                self.open = open.into_iter().map(|void| (void.id(), forgetful(void))).collect();
                self.gap = None;
            }
        }
        Ok(())
    }

    /// What the records came to.
    pub(super) fn finish(self) -> Result<(Storage, Vec<Entry>), ReplicaError> {
        match self.gap {
            Some(gap) => Err(gap),
            None => Ok((self.storage, self.open.into_values().collect())),
        }
    }
}

/// A VOID as it was noted.
fn forgetful(void: Entry) -> Entry {
    match void {
        Entry::Void { id, base, deps, .. } if planted(Fault::ReservationLostAtRestart) => {
            Entry::Void { id, base, deps, reserved: Vec::new() }
        }
        void => void,
    }
}

#[cfg(test)]
impl SequencerRecovery {
    /// (last index, term, vote), for checks of what is on disk.
    pub fn on_disk(&self) -> (u64, u64, u64) {
        (self.storage.last_index(), self.storage.hard.term, self.storage.hard.vote)
    }
}

/// A record as a line of text.
#[cfg(test)]
pub fn describe(record: &[u8]) -> String {
    use crate::wire::Short;
    match Record::decode(record) {
        Ok(Record::Entries { first, entries }) => {
            let name = |e: &LogEntry| match postcard::from_bytes::<Entry>(&e.body.0) {
                Ok(entry) => format!("{}@{}", Short(&entry), e.term),
                Err(_) => format!("-@{}", e.term),
            };
            format!("entries {first}.. [{}]", entries.iter().map(name).collect::<Vec<_>>().join(" "))
        }
        Ok(Record::Hard(Hard { term, vote, commit })) => format!("term {term} vote {vote} commit {commit}"),
        Ok(Record::Open(void)) => format!("open {}", void.id()),
        Ok(Record::Closed(id)) => format!("closed {id}"),
        Ok(Record::Whole { .. }) => "whole".into(),
        Err(error) => error.to_string(),
    }
}

/// The entries that a record writes, for checks.
#[cfg(test)]
pub fn entries_written(record: &[u8]) -> Vec<Entry> {
    match Record::decode(record) {
        Ok(Record::Entries { entries, .. }) => {
            let bodies = entries.iter().filter(|e| !e.body.0.is_empty());
            bodies.map(|e| postcard::from_bytes(&e.body.0).expect("our own")).collect()
        }
        _ => Vec::new(),
    }
}

/// An entry that cannot be read could not be applied when its turn comes.
fn readable(index: u64, body: &Body) -> Result<(), ReplicaError> {
    if let Body::Kept(blob) = body {
        postcard::from_bytes::<Entry>(&blob.0)
            .map_err(|e| ReplicaError::Record(format!("entry {index} cannot be read: {e}")))?;
    }
    Ok(())
}
