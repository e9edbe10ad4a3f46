//! Certification: accepted or refused, a pure function of the red order.
//!
//! Every site feeds the same entries in the same order into its own [`Window`] and gets the same verdicts; nobody is asked. The
//! window remembers, of the last W red indices, who wrote what, and which ids came by.
//!
//! ```text
//!    R (base: what the entry's statements had seen)        r (where it is ordered)
//!    │                                                     │
//!  ──┼──── r1 ──── r2 ──── r3 ──── … ──────────────────────┼──►
//!    └──── did any accepted one of these write an item     ┘
//!          that a statement read at or before R?  yes: refused
//! ```
//!
//! An entry at r is, in this order:
//!
//! 1. *void* if it is a VOID, or its id was used before (also by an entry that was refused, or by a VOID); *void* or refused
//!    if the members say so ([`crate::members`]);
//! 2. refused if its base is older than the window (of such an entry, and of a VOID of one, no id is remembered: it may have
//!    been used before the window began);
//! 3. refused if the version of a table it touches is not the schema's at r, or it names a table it did not vouch for;
//! 4. refused if an accepted entry after a read's own red index wrote what it read;
//! 5. accepted: its writes are remembered at r.
//!
//! Bounds of delta columns are no business of the order's: an entry that spends has put its rights aside before it was proposed
//! ([`crate::rights`]).
//!
//! A second copy of an entry whose id has left the window is refused by rule 2: its base is older still.
//!
//! The window's state is its list of recent entries; the indexes over it are rebuilt when it is read from a checkpoint.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, planted};
use crate::footprint::Item;
use crate::ids::{EntryId, SiteId, TableId};
use crate::members::Ruling;
use crate::op::{Entry, Op, RedTransaction, SchemaChange, ShadowOp};
use crate::schema::Schema;

mod written;

use written::Written;

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
    Conflict {
        item: Item,
        at: u64,
    },
    StaleTable {
        table: TableId,
    },
    BaseTooOld {
        base: u64,
    },
    /// It depends on transactions of a site that was removed, and they may be void, or are.
    Removed {
        site: SiteId,
    },
}

/// How an id was used, as far as the window remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryStatus {
    /// Accepted at this red index.
    Accepted(u64),
    /// Refused at this red index.
    Refused(u64),
    /// Ended by a VOID ordered at this red index before it came.
    Void(u64),
    /// Not within the window.
    Unknown,
}

/// One red index of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Recent {
    /// None for a second copy or a VOID that came too late: the id's first use says all.
    id: Option<(EntryId, EntryStatus)>,
    /// Accepted entries only.
    writes: Vec<Item>,
}

impl Recent {
    /// No effect and no id: a second copy, or a VOID that came too late.
    fn nothing() -> Recent {
        Recent { id: None, writes: Vec::new() }
    }

    fn ended(id: EntryId, status: EntryStatus) -> Recent {
        Recent { id: Some((id, status)), ..Recent::nothing() }
    }

    fn accepted(r: u64, red: &RedTransaction) -> Recent {
        Recent { id: Some((red.id, EntryStatus::Accepted(r))), writes: red.footprint.writes.clone() }
    }
}

/// The certification window: footprints, ids and verdicts of the last W red indices.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "State", into = "State")]
pub struct Window {
    capacity: u64,
    /// The last red index decided.
    last: u64,
    /// Those up to `last`, oldest first.
    recent: VecDeque<Recent>,
    written: Written,
    ids: std::collections::BTreeMap<EntryId, EntryStatus>,
}

/// What travels: the indexes are made of it.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    capacity: u64,
    last: u64,
    recent: VecDeque<Recent>,
}

impl From<Window> for State {
    fn from(window: Window) -> State {
        State { capacity: window.capacity, last: window.last, recent: window.recent }
    }
}

impl From<State> for Window {
    fn from(state: State) -> Window {
        let mut window = Window::new(state.capacity);
        // A damaged state may claim more entries than red indices.
        window.last = state.last.max(state.recent.len() as u64);
        let first = window.last - state.recent.len() as u64 + 1;
        for (r, recent) in (first..).zip(&state.recent) {
            if planted(Fault::WindowNotRebuilt) {
                break;
            }
            window.index(r, recent);
        }
        window.recent = state.recent;
        window
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Window) -> bool {
        (self.capacity, self.last, &self.recent) == (other.capacity, other.last, &other.recent)
    }
}

impl Window {
    /// A window over the last `capacity` red indices (a constant of the cluster).
    pub fn new(capacity: u64) -> Window {
        Window {
            capacity: capacity.max(1),
            last: 0,
            recent: VecDeque::new(),
            written: Written::default(),
            ids: Default::default(),
        }
    }

    /// The last red index decided; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many red indices it remembers.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How an id was used.
    pub fn status(&self, id: EntryId) -> EntryStatus {
        self.ids.get(&id).copied().unwrap_or(EntryStatus::Unknown)
    }

    /// Decides the entry at red index `r` (the next one) and remembers it. `schema` is the one before r.
    ///
    /// # Panics
    /// If r is not the next red index: the order has a gap, and going on would make this site differ from the others.
    pub fn decide(&mut self, r: u64, entry: &Entry, schema: &Schema) -> Verdict {
        self.decide_under(r, entry, schema, &Ruling::Stands)
    }

    /// The same, where the members have a say: what they do not let stand is void or refused.
    ///
    /// # Panics
    /// As [`Window::decide`].
    pub fn decide_under(&mut self, r: u64, entry: &Entry, schema: &Schema, ruling: &Ruling) -> Verdict {
        assert_eq!(r, self.last + 1, "red indices are decided one after the other");
        let (verdict, recent) = self.judge(r, entry, schema, ruling);
        self.remember(r, recent);
        verdict
    }

    fn remember(&mut self, r: u64, recent: Recent) {
        self.index(r, &recent);
        self.recent.push_back(recent);
        self.last = r;
        while self.recent.len() as u64 > self.capacity {
            self.forget_oldest();
        }
    }

    /// Remembers what was decided of the entry at red index `r` by an earlier process: the schema of that moment is gone, the
    /// verdict is not.
    ///
    /// # Panics
    /// If r is not the next red index, as [`Window::decide`].
    pub fn replay(&mut self, r: u64, entry: &Entry, verdict: &Verdict) {
        assert_eq!(r, self.last + 1, "red indices are replayed one after the other");
        let recent = match (entry, verdict) {
            (Entry::Transaction(red), Verdict::Accepted) => Recent::accepted(r, red),
            (Entry::Transaction(_), Verdict::Refused(Refusal::BaseTooOld { .. })) => Recent::nothing(),
            (Entry::Transaction(red), Verdict::Refused(_)) => Recent::ended(red.id, EntryStatus::Refused(r)),
            (Entry::Void { id, base, .. }, _) if !self.ids.contains_key(id) && !self.too_old(r, *base) => {
                Recent::ended(*id, EntryStatus::Void(r))
            }
            (Entry::Transaction(red), Verdict::Void)
                if !self.ids.contains_key(&red.id) && !self.too_old(r, entry.base()) =>
            {
                Recent::ended(red.id, EntryStatus::Void(r))
            }
            (Entry::Transaction(_) | Entry::Void { .. } | Entry::Member(_), _) => Recent::nothing(),
        };
        self.remember(r, recent);
    }

    /// Every id that the window remembers, with how it ended.
    pub fn statuses(&self) -> impl Iterator<Item = (EntryId, EntryStatus)> + '_ {
        self.ids.iter().map(|(id, status)| (*id, *status))
    }

    /// What the verdict would be at the next red index; remembers nothing. The origin asks before it proposes: an entry
    /// that is refused already need not cross the ocean.
    pub fn foresee(&self, entry: &Entry, schema: &Schema) -> Verdict {
        self.judge(self.last + 1, entry, schema, &Ruling::Stands).0
    }

    fn judge(&self, r: u64, entry: &Entry, schema: &Schema, ruling: &Ruling) -> (Verdict, Recent) {
        if let Entry::Member(_) = entry {
            let verdict = if *ruling == Ruling::Stands { Verdict::Accepted } else { Verdict::Void };
            return (verdict, Recent::nothing());
        }
        let id = entry.id();
        // Whatever it is a VOID of: nobody has waited for what it depends on, so it returns nothing.
        if let (Entry::Void { .. }, Ruling::Void | Ruling::Refused(_)) = (entry, ruling) {
            let known = self.ids.contains_key(&id) || self.too_old(r, entry.base());
            let recent = if known { Recent::nothing() } else { Recent::ended(id, EntryStatus::Void(r)) };
            return (Verdict::Refused(Refusal::Removed { site: id.site }), recent);
        }
        if self.ids.contains_key(&id) && !planted(Fault::CopyAccepted) {
            return (Verdict::Void, Recent::nothing());
        }
        // What left the window may have ended long ago, in whatever way: nothing new is remembered of it.
        let Entry::Transaction(red) = entry else {
            let stale = self.too_old(r, entry.base());
            let recent = if stale { Recent::nothing() } else { Recent::ended(id, EntryStatus::Void(r)) };
            return (Verdict::Void, recent);
        };
        match ruling {
            Ruling::Stands => {}
            _ if self.too_old(r, entry.base()) => return (Verdict::Void, Recent::nothing()),
            Ruling::Void => return (Verdict::Void, Recent::ended(id, EntryStatus::Void(r))),
            Ruling::Refused(refusal) => {
                let recent = Recent::ended(id, EntryStatus::Refused(r));
                return (Verdict::Refused(refusal.clone()), recent);
            }
        }
        match self.refusal(r, red, entry.base(), schema) {
            Some(refusal @ Refusal::BaseTooOld { .. }) => (Verdict::Refused(refusal), Recent::nothing()),
            Some(refusal) => (Verdict::Refused(refusal), Recent::ended(id, EntryStatus::Refused(r))),
            None => (Verdict::Accepted, Recent::accepted(r, red)),
        }
    }

    /// The window holds the last `recent.len()` indices before r; all of (base, r) must be among them.
    fn too_old(&self, r: u64, base: u64) -> bool {
        base.saturating_add(1) < r - self.recent.len() as u64 && !planted(Fault::StaleBase)
    }

    fn refusal(&self, r: u64, red: &RedTransaction, base: u64, schema: &Schema) -> Option<Refusal> {
        if self.too_old(r, base) {
            return Some(Refusal::BaseTooOld { base });
        }
        if let Some(table) = stale_table(red, schema) {
            return Some(Refusal::StaleTable { table });
        }
        let seen_at = |statement: u16| {
            red.transaction.statements.get(usize::from(statement)).map_or(base, |frontier| frontier.red)
        };
        for read in &red.footprint.reads {
            if let Some(at) = self.written.last(&read.item)
                && at > seen_at(read.statement)
            {
                return Some(Refusal::Conflict { item: read.item.clone(), at });
            }
        }
        None
    }

    fn index(&mut self, r: u64, recent: &Recent) {
        for item in &recent.writes {
            self.written.note(item, r);
        }
        if let Some((id, status)) = recent.id {
            self.ids.insert(id, status);
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.last - self.recent.len() as u64 + 1;
        let Some(recent) = self.recent.pop_front() else { return };
        for item in &recent.writes {
            self.written.forget(item, oldest);
        }
        if let Some((id, _)) = recent.id {
            self.ids.remove(&id);
        }
    }
}

/// A table whose version is not current, or that the entry changes without having vouched for its version.
fn stale_table(red: &RedTransaction, schema: &Schema) -> Option<TableId> {
    let current = |id: TableId| schema.table(id).map_or(0, |t| t.version);
    if let Some((id, _)) = red.tables.iter().find(|(id, version)| current(*id) != *version) {
        return Some(*id);
    }
    let touched = red.transaction.ops.iter().filter_map(|op| match &op.op {
        Op::Insert { table, .. } | Op::Update { table, .. } | Op::Delete { table, .. } => Some(*table),
        Op::Schema(_) | Op::Rights { .. } => None,
    });
    // A table that the transaction creates itself has no version to vouch for: nobody else knows it.
    let creates = |table: &TableId| {
        let made =
            |op: &ShadowOp| matches!(&op.op, Op::Schema(SchemaChange::CreateTable(t)) if t.id == *table);
        red.transaction.ops.iter().any(made)
    };
    touched
        .into_iter()
        .find(|table| red.tables.binary_search_by_key(table, |(id, _)| *id).is_err() && !creates(table))
}
