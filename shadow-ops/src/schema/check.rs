//! Which schema changes are valid, and which are plain red.
//!
//! Three questions, in this order: is there what the change names, and is nothing in its way (`presence`); are the declarations valid
//! once it has taken effect (`valid`); and does every effect that was blue stay blue and apply in the same way (here)? The third is
//! answered from the declarations alone, never from the data: a table whose inserts could be blue may have inserts in flight that
//! nobody here has seen, and a new constraint would not have been checked for them.

use super::{ChangeKind, Column, ForeignKey, MergeRule, Minting, RowRule, Schema, SchemaError, Table};
use crate::ids::ColumnId;
use crate::op::SchemaChange;

impl Schema {
    /// Whether a change is a valid declaration, and whether it takes effect by being ordered or needs a barrier. The changes of one
    /// statement are checked one after the other, each on a copy of the schema to which the earlier ones were applied.
    pub fn check_change(&self, change: &SchemaChange) -> Result<ChangeKind, SchemaError> {
        self.presence(change)?;
        let mut after = self.clone();
        after.apply(change, self.version.saturating_add(1));
        after.validate_around(change)?;
        match self.needs_barrier(change) {
            Some(why) => Ok(ChangeKind::Barrier(why)),
            None => Ok(ChangeKind::PlainRed),
        }
    }

    /// Why a change is not plain red.
    fn needs_barrier(&self, change: &SchemaChange) -> Option<String> {
        if let SchemaChange::CreateTable(new) = change {
            let others = new.foreign_keys.iter().filter(|f| f.parent != new.id);
            return others.into_iter().find_map(|f| self.new_reference(f));
        }
        if let SchemaChange::AlterSequence(new) = change {
            let old = self.sequence(new.id)?;
            let renamed = super::Sequence { name: new.name.clone(), owner: new.owner, ..(**old).clone() };
            let open = || format!("sequence {} is open: sites mint from it", old.name);
            return (old.is_open() && renamed != *new).then(open);
        }
        let table = self.table(change.table()?)?;
        match change {
            SchemaChange::AddForeignKey { foreign_key, .. } => {
                self.new_reference(foreign_key).or_else(|| self.new_constraint(table, &foreign_key.columns))
            }
            SchemaChange::AddCheck { check, .. } => self.new_constraint(table, &check.columns),
            SchemaChange::AddIndex { index, .. } if index.unique => {
                let columns: Vec<ColumnId> = index.columns.iter().map(|c| c.column).collect();
                self.new_constraint(table, &columns)
            }
            SchemaChange::AddColumn { column, .. } => self.new_column(table, column),
            SchemaChange::AlterColumn { column, .. } => {
                let old = table.column(column.id)?;
                self.altered_column(table, old, column)
            }
            SchemaChange::SetMerge { column, merge, .. } => {
                other_merge(table, table.column(*column)?, *merge)
            }
            SchemaChange::SetRows { rows, keys_trusted, .. } => other_rows(table, *rows, *keys_trusted),
            SchemaChange::DropConstraint { constraint, .. } => {
                let foreign_key = table.foreign_key(*constraint)?;
                self.relied_upon(table, foreign_key)
            }
            SchemaChange::DropColumn { column, .. } => {
                let over = |f: &&ForeignKey| f.columns.contains(column);
                table.foreign_keys.iter().filter(over).find_map(|f| self.relied_upon(table, f))
            }
            _ => None,
        }
    }

    /// A FOREIGN KEY makes deletes and key changes of its parent red.
    fn new_reference(&self, foreign_key: &ForeignKey) -> Option<String> {
        let parent = self.table(foreign_key.parent)?;
        if self.delete_may_be_blue(parent) {
            return Some(format!("deletes from {} are blue, and would be red", parent.name));
        }
        let loose = foreign_key.parent_columns.iter().find(|c| parent.merge(**c) != MergeRule::Strict);
        loose.map(|c| {
            format!("updates of {}.{} can be blue, and would be red", parent.name, parent.column_name(*c))
        })
    }

    /// A constraint that effects in flight were not checked against.
    fn new_constraint(&self, table: &Table, columns: &[ColumnId]) -> Option<String> {
        if self.insert_may_be_blue(table) {
            return Some(format!(
                "inserts into {} can be blue: some may be in flight, unchecked",
                table.name
            ));
        }
        let loose = columns.iter().find(|c| table.merge(**c) != MergeRule::Strict);
        loose.map(|c| {
            format!(
                "updates of {}.{} can be blue: some may be in flight, unchecked",
                table.name,
                table.column_name(*c)
            )
        })
    }

    fn new_column(&self, table: &Table, column: &Column) -> Option<String> {
        if let Some((_, inputs)) = &column.generated {
            return self.new_constraint(table, inputs);
        }
        let unfilled = column.not_null && matches!(column.missing, crate::value::Value::Null);
        if (unfilled || column.minting.is_some()) && self.insert_may_be_blue(table) {
            return Some(format!(
                "inserts into {} can be blue: rows in flight have no value for {}",
                table.name, column.name
            ));
        }
        None
    }

    fn altered_column(&self, table: &Table, old: &Column, new: &Column) -> Option<String> {
        if let Some(why) = other_merge(table, old, new.merge) {
            return Some(why);
        }
        if new.not_null && !old.not_null {
            return self.new_constraint(table, &[old.id]);
        }
        if old.not_null && !new.not_null {
            let over = |f: &&ForeignKey| f.columns.contains(&old.id);
            if let Some(why) = table.foreign_keys.iter().filter(over).find_map(|f| self.relied_upon(table, f))
            {
                return Some(why);
            }
        }
        if old.generated != new.generated {
            let (_, inputs) = old.generated.as_ref().or(new.generated.as_ref())?;
            return self.new_constraint(table, inputs);
        }
        if old.minting != new.minting {
            if let Some(Minting::Sequence(id)) = new.minting
                && self.sequence(id).is_some_and(|s| s.is_open())
            {
                return Some(format!(
                    "a sequence that is open already would mint for {}.{}",
                    table.name, old.name
                ));
            }
            if self.insert_may_be_blue(table) {
                return Some(format!(
                    "keys of {} are unique because {} mints its values",
                    table.name, old.name
                ));
            }
        }
        None
    }

    /// Dropping a FOREIGN KEY by which keys are unique by construction.
    fn relied_upon(&self, table: &Table, foreign_key: &ForeignKey) -> Option<String> {
        if table.rows == RowRule::Strict {
            return None;
        }
        let primary = table.primary().map(|i| i.id);
        let unique =
            table.indexes.iter().filter(|i| i.unique && !(table.keys_trusted && Some(i.id) == primary));
        let mut columns = unique.flat_map(|i| i.columns.iter().map(|c| c.column));
        columns.any(|c| self.hands_down_minted(table, foreign_key, c)).then(|| {
            format!("keys of {} are unique because {} hands down minted values", table.name, foreign_key.name)
        })
    }
}

fn other_merge(table: &Table, column: &Column, merge: MergeRule) -> Option<String> {
    (column.merge != merge && column.merge != MergeRule::Strict).then(|| {
        format!("writes of {}.{} can be blue, and would combine differently", table.name, column.name)
    })
}

fn other_rows(table: &Table, rows: RowRule, keys_trusted: bool) -> Option<String> {
    if table.rows != RowRule::Strict && table.rows != rows {
        return Some(format!(
            "inserts and deletes of {} can be blue, and would combine differently",
            table.name
        ));
    }
    (table.keys_trusted && !keys_trusted)
        .then(|| format!("inserts into {} are blue, and would be red", table.name))
}
