//! Schema changes: which take effect how, and which need the barrier that is not built yet.
//!
//! A change is *plain red* if every effect that was blue stays blue and applies in the same way; anything else would need a
//! barrier (DESIGN §7) and is refused until there is one. [`Schema::check_change`] says which, and refuses what is no valid
//! declaration at all. [`Schema::apply`] never fails: certification has made sure that the schema is the one the
//! change was checked on, and a change of something that is not there is no effect.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Column, ForeignKey, Index, Minting, RowRule, Schema, Sequence, Table};
use crate::ids::{ColumnId, ConstraintId, IndexId, TableId};
use crate::op::SchemaChange;

/// How a change takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// By being ordered.
    PlainRed,
    /// Only behind a barrier: what was blue would be red, or apply differently. Says why.
    Barrier(String),
}

/// What is wrong with a change, by what the user can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaErrorKind {
    /// The declarations contradict each other or a rule (42P16).
    Invalid,
    /// The table is not there (42P01).
    UndefinedTable,
    /// The column is not there (42703).
    UndefinedColumn,
    /// The index, constraint or sequence is not there (42704).
    UndefinedObject,
    /// The name of a table, index or sequence is taken (42P07).
    DuplicateTable,
    /// The name of a column is taken (42701).
    DuplicateColumn,
    /// The name of a constraint is taken (42710).
    DuplicateObject,
    /// Something else depends on it (2BP01).
    Dependent,
    /// Not built (0A000).
    Unsupported,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SchemaError {
    /// By remedy.
    pub kind: SchemaErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
}

impl SchemaError {
    pub(super) fn new(kind: SchemaErrorKind, message: impl Into<String>) -> SchemaError {
        SchemaError { kind, message: message.into(), hint: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> SchemaError {
        SchemaError::new(SchemaErrorKind::Invalid, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> SchemaError {
        self.hint = Some(hint.into());
        self
    }
}

impl std::default::Default for Schema {
    /// Nothing declared; ids start at 1.
    fn default() -> Schema {
        Schema { version: 0, tables: Default::default(), sequences: Default::default(), next_id: 1 }
    }
}

use std::default::Default;

impl Schema {
    /// Applies a change at a red index, which becomes the schema's version. Never fails.
    pub fn apply(&mut self, change: &SchemaChange, version: u64) {
        let before = self.connected(change);
        self.apply_one(change, version);
        self.raise_next_id(change);
        self.version = version;
        // What the change connects or disconnects is judged anew: colours and footprints of all of these may differ.
        let mut changed = before;
        changed.extend(self.connected(change));
        for id in changed {
            if let Some(table) = self.tables.get_mut(&id) {
                Arc::make_mut(table).version = version;
            }
        }
    }

    fn apply_one(&mut self, change: &SchemaChange, version: u64) {
        match change {
            SchemaChange::CreateTable(table) => {
                let mut table = table.clone();
                table.version = version;
                table.add_wins_since = (table.rows == RowRule::AddWins).then_some(version);
                self.tables.insert(table.id, Arc::new(table));
            }
            SchemaChange::DropTable(id) => {
                self.tables.remove(id);
                self.sequences.retain(|_, s| s.owner.is_none_or(|(table, _)| table != *id));
                // Children whose FOREIGN KEY was to be dropped first (CASCADE) may not be left pointing at nothing.
                for table in self.tables.values_mut() {
                    if table.foreign_keys.iter().any(|f| f.parent == *id) {
                        Arc::make_mut(table).foreign_keys.retain(|f| f.parent != *id);
                    }
                }
            }
            SchemaChange::CreateSequence(sequence) | SchemaChange::AlterSequence(sequence) => {
                self.sequences.insert(sequence.id, Arc::new(sequence.clone()));
            }
            SchemaChange::DropSequence(id) => {
                self.sequences.remove(id);
                for table in self.tables.values_mut() {
                    if table.columns.iter().any(|c| c.minting == Some(Minting::Sequence(*id))) {
                        forget_minting(Arc::make_mut(table), |m| *m == Minting::Sequence(*id));
                    }
                }
            }
            SchemaChange::OpenSequence { sequence, base } => {
                if let Some(s) = self.sequences.get_mut(sequence)
                    && s.base.is_none()
                {
                    Arc::make_mut(s).base = Some(*base);
                }
            }
            _ => self.apply_to_table(change, version),
        }
    }

    fn apply_to_table(&mut self, change: &SchemaChange, version: u64) {
        let Some(table) = change.table().and_then(|id| self.tables.get_mut(&id)) else { return };
        let table = Arc::make_mut(table);
        match change {
            SchemaChange::RenameTable { name, .. } => table.name.clone_from(name),
            SchemaChange::AddColumn { column, .. } => table.add_column(column),
            SchemaChange::DropColumn { column, .. } => {
                table.drop_column(*column);
                let owner = Some((table.id, *column));
                self.sequences.retain(|_, s| s.owner != owner);
            }
            SchemaChange::RenameColumn { column, name, .. } => {
                if let Some(c) = table.column_mut(*column) {
                    c.name.clone_from(name);
                }
            }
            SchemaChange::AlterColumn { column, .. } => {
                if let Some(c) = table.column_mut(column.id) {
                    let (ty, missing) = (c.ty.clone(), c.missing.clone());
                    *c = Column { ty, missing, ..column.clone() };
                }
            }
            SchemaChange::SetMerge { column, merge, .. } => {
                if let Some(c) = table.column_mut(*column) {
                    c.merge = *merge;
                }
            }
            SchemaChange::SetRows { rows, keys_trusted, .. } => {
                table.rows = *rows;
                table.keys_trusted = *keys_trusted;
                table.add_wins_since = match rows {
                    RowRule::AddWins => table.add_wins_since.or(Some(version)),
                    _ => None,
                };
            }
            SchemaChange::AddIndex { index, .. } => table.indexes.push(index.clone()),
            SchemaChange::DropIndex { index, .. } => table.indexes.retain(|i| i.id != *index),
            SchemaChange::RenameIndex { index, name, .. } => {
                if let Some(i) = table.indexes.iter_mut().find(|i| i.id == *index) {
                    i.name.clone_from(name);
                }
            }
            SchemaChange::AddCheck { check, .. } => table.checks.push(check.clone()),
            SchemaChange::AddForeignKey { foreign_key, .. } => table.foreign_keys.push(foreign_key.clone()),
            SchemaChange::DropConstraint { constraint, .. } => table.drop_constraint(*constraint),
            SchemaChange::CreateTable(_)
            | SchemaChange::DropTable(_)
            | SchemaChange::CreateSequence(_)
            | SchemaChange::DropSequence(_)
            | SchemaChange::AlterSequence(_)
            | SchemaChange::OpenSequence { .. } => {}
        }
    }

    /// Tables whose colours or footprints a change can touch: its own, those below it by FOREIGN KEYs however far (an
    /// append-only parent, a minting column handed down), and the parents of its own FOREIGN KEYs (their deletes look for children).
    fn connected(&self, change: &SchemaChange) -> BTreeSet<TableId> {
        let mut found = BTreeSet::new();
        if change.only_renames() {
            return found;
        }
        match change {
            SchemaChange::DropSequence(id) => found.extend(self.minted_by(*id).map(|(t, _)| t.id)),
            _ => found.extend(change.table()),
        }
        let parents: Vec<TableId> = found.iter().flat_map(|id| self.parents(*id)).collect();
        let mut open: Vec<TableId> = found.iter().copied().collect();
        while let Some(id) = open.pop() {
            for (child, _) in self.references(id) {
                if found.insert(child.id) {
                    open.push(child.id);
                }
            }
        }
        found.extend(parents);
        found
    }

    fn parents(&self, id: TableId) -> Vec<TableId> {
        self.table(id).map_or(Vec::new(), |t| t.foreign_keys.iter().map(|f| f.parent).collect())
    }

    fn raise_next_id(&mut self, change: &SchemaChange) {
        let index = |i: &Index| i.id.0.max(i.constraint.map_or(0, |c| c.0));
        let greatest = match change {
            SchemaChange::CreateTable(t) => {
                let indexes = t.indexes.iter().map(index);
                let checks = t.checks.iter().map(|c| c.id.0);
                indexes.chain(checks).chain(t.foreign_keys.iter().map(|f| f.id.0)).fold(t.id.0, u32::max)
            }
            SchemaChange::AddIndex { index: i, .. } => index(i),
            SchemaChange::AddCheck { check, .. } => check.id.0,
            SchemaChange::AddForeignKey { foreign_key, .. } => foreign_key.id.0,
            SchemaChange::CreateSequence(s) => s.id.0,
            _ => 0,
        };
        self.next_id = self.next_id.max(greatest.saturating_add(1));
    }
}

impl SchemaChange {
    /// The table that it changes, creates or drops; none for sequences.
    pub fn table(&self) -> Option<TableId> {
        match self {
            SchemaChange::CreateTable(table) => Some(table.id),
            SchemaChange::DropTable(table)
            | SchemaChange::RenameTable { table, .. }
            | SchemaChange::AddColumn { table, .. }
            | SchemaChange::DropColumn { table, .. }
            | SchemaChange::RenameColumn { table, .. }
            | SchemaChange::AlterColumn { table, .. }
            | SchemaChange::SetMerge { table, .. }
            | SchemaChange::SetRows { table, .. }
            | SchemaChange::AddIndex { table, .. }
            | SchemaChange::DropIndex { table, .. }
            | SchemaChange::RenameIndex { table, .. }
            | SchemaChange::AddCheck { table, .. }
            | SchemaChange::AddForeignKey { table, .. }
            | SchemaChange::DropConstraint { table, .. } => Some(*table),
            SchemaChange::CreateSequence(_)
            | SchemaChange::DropSequence(_)
            | SchemaChange::AlterSequence(_)
            | SchemaChange::OpenSequence { .. } => None,
        }
    }

    /// Whether it changes nothing but a name, by which nothing inside the system refers to anything.
    pub fn only_renames(&self) -> bool {
        matches!(
            self,
            SchemaChange::RenameTable { .. }
                | SchemaChange::RenameColumn { .. }
                | SchemaChange::RenameIndex { .. }
        )
    }
}

impl Table {
    fn column_mut(&mut self, id: ColumnId) -> Option<&mut Column> {
        self.columns.iter_mut().find(|c| c.id == id)
    }

    fn add_column(&mut self, column: &Column) {
        self.columns.push(column.clone());
        self.slots = self.slots.max(column.id.0.saturating_add(1));
    }

    /// The column with all that is declared over it.
    fn drop_column(&mut self, id: ColumnId) {
        self.columns.retain(|c| c.id != id);
        self.indexes.retain(|i| i.columns.iter().all(|c| c.column != id));
        self.checks.retain(|c| !c.columns.contains(&id));
        self.foreign_keys.retain(|f| !f.columns.contains(&id));
    }

    fn drop_constraint(&mut self, id: ConstraintId) {
        self.checks.retain(|c| c.id != id);
        self.foreign_keys.retain(|f| f.id != id);
        let primary = self.primary().map(|i| i.id);
        self.indexes.retain(|i: &Index| Some(i.id) == primary || i.constraint != Some(id));
    }

    /// The FOREIGN KEYs (its own) that use an index of this table for finding children.
    pub(super) fn child_index_of(&self, index: IndexId) -> Option<&ForeignKey> {
        self.foreign_keys.iter().find(|f| f.child_index == index)
    }
}

fn forget_minting(table: &mut Table, mints: impl Fn(&Minting) -> bool) {
    for column in &mut table.columns {
        if column.minting.as_ref().is_some_and(&mints) {
            column.minting = None;
            column.default = None;
        }
    }
}

impl Sequence {
    /// Whether values are minted.
    pub fn is_open(&self) -> bool {
        self.base.is_some()
    }
}
