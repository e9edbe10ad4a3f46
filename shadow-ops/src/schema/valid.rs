//! Are declarations valid? The restrictions of DESIGN §4 on merge rules, row rules and KEYS TRUSTED, each with what to do instead.

use super::{Column, ForeignKey, MergeRule, Minting, ReferentialAction, RowRule, Schema, SchemaError, Table};
use crate::footprint::ColumnSet;
use crate::ids::ColumnId;
use crate::op::SchemaChange;
use crate::value::DataType;

impl Schema {
    /// Validates the changed table, and those whose restrictions depend on it (they refer to it).
    pub(super) fn validate_around(&self, change: &SchemaChange) -> Result<(), SchemaError> {
        let Some(id) = change.table() else { return Ok(()) };
        if let Some(table) = self.table(id) {
            self.validate(table)?;
        }
        self.references(id)
            .filter(|(child, _)| child.id != id)
            .try_for_each(|(child, _)| self.validate(child))
    }

    fn validate(&self, table: &Table) -> Result<(), SchemaError> {
        self.shape(table)?;
        for column in &table.columns {
            self.column_rules(table, column)?;
        }
        for foreign_key in &table.foreign_keys {
            self.foreign_key_rules(table, foreign_key)?;
        }
        if table.rows == RowRule::AddWins {
            self.mergeable(table, "ROWS ADD WINS")?;
        }
        if table.keys_trusted {
            self.keys_trusted(table)?;
        }
        Ok(())
    }

    /// What the rest of the system takes for granted.
    fn shape(&self, table: &Table) -> Result<(), SchemaError> {
        let fault = |what: String| Err(SchemaError::invalid(format!("table {}: {what}", table.name)));
        let mut names = std::collections::BTreeSet::new();
        for column in &table.columns {
            if column.id.0 >= table.slots {
                return fault(format!("column {} has no slot", column.name));
            }
            if !names.insert(column.name.as_str()) {
                return Err(SchemaError::new(
                    super::SchemaErrorKind::DuplicateColumn,
                    format!("column \"{}\" specified more than once", column.name),
                ));
            }
            if self.dangling_sequence(column) {
                return fault(format!("column {} mints from a sequence that does not exist", column.name));
            }
        }
        let Some(primary) = table.primary() else { return fault("no primary key".to_owned()) };
        if !primary.unique || primary.columns.is_empty() {
            return fault("its primary key is not unique".to_owned());
        }
        if let Some(column) = table.primary_columns().find(|c| table.column(*c).is_some_and(|c| !c.not_null))
        {
            return fault(format!("primary key column {} is not NOT NULL", table.column_name(column)));
        }
        let columns = table.indexes.iter().flat_map(|i| i.columns.iter().map(|c| c.column));
        let columns = columns.chain(table.checks.iter().flat_map(|c| c.columns.iter().copied()));
        match columns.into_iter().find(|c| table.column(*c).is_none()) {
            Some(column) => fault(format!("an index or CHECK uses column #{column}, which does not exist")),
            None => Ok(()),
        }
    }

    fn column_rules(&self, table: &Table, column: &Column) -> Result<(), SchemaError> {
        let name = format!("{}.{}", table.name, column.name);
        let fault = |what: &str| SchemaError::invalid(format!("{name} {what}"));
        let monotone = matches!(column.merge, MergeRule::Max | MergeRule::Min);
        let plain = matches!(column.merge, MergeRule::Strict | MergeRule::Lww);
        if column.merge != MergeRule::Strict && table.is_primary(column.id) {
            return Err(fault("is part of the primary key and has no merge rule"));
        }
        if column.generated.is_some() && !plain {
            return Err(fault("is generated: it can only be strict or MERGE LWW"));
        }
        match column.minting {
            Some(Minting::Sequence(_)) if !column.ty.is_integer() => {
                return Err(fault("mints from a sequence but is no integer"));
            }
            Some(Minting::Uuid) if column.ty != DataType::Uuid => {
                return Err(fault("mints uuids but is no uuid"));
            }
            _ => {}
        }
        if column.merge == MergeRule::Delta {
            self.delta_rules(table, column).map_err(|(what, hint)| fault(what).hint(hint))?;
        }
        if let Some(fault) = self.elements_fault(table, column) {
            return Err(fault);
        }
        if monotone {
            for foreign_key in table.foreign_keys.iter().filter(|f| f.columns.contains(&column.id)) {
                if foreign_key.columns.len() > 1 || !self.parent_stays(foreign_key) {
                    return Err(fault("is MERGE MAX or MIN and in a FOREIGN KEY")
                        .hint("only a FOREIGN KEY of this one column to an append-only table is possible"));
                }
            }
        }
        Ok(())
    }

    /// What sets and flags need.
    fn elements_fault(&self, table: &Table, column: &Column) -> Option<SchemaError> {
        let is_set = column.merge == MergeRule::AddWinsSet;
        if !is_set && !matches!(column.merge, MergeRule::EnableWins | MergeRule::DisableWins) {
            return None;
        }
        let fault = |what: &str, hint: &str| {
            let message = format!("{}.{} cannot be {}{what}", table.name, column.name, column.merge);
            Some(SchemaError::invalid(message).hint(hint))
        };
        let fits =
            if is_set { column.ty.element().is_some_and(is_element) } else { column.ty == DataType::Bool };
        if is_set && !fits {
            return fault("", "it needs an array of integers, text, varchar, uuid, date or timestamps");
        }
        if !fits {
            return fault("", "it needs a boolean column");
        }
        if !column.not_null {
            return fault(" while it allows NULL", "SET NOT NULL first");
        }
        let indexed = |i: &&super::Index| i.columns.iter().any(|c| c.column == column.id);
        if let Some(index) = table.indexes.iter().filter(indexed).find(|i| is_set || i.unique) {
            return fault(
                &format!(": it is in the index {}", index.name),
                "drop the index, or choose another rule",
            );
        }
        if table.foreign_keys.iter().any(|f| f.columns.contains(&column.id)) {
            return fault(": it is in a FOREIGN KEY", "use another column");
        }
        None
    }

    fn delta_rules(&self, table: &Table, column: &Column) -> Result<(), (&'static str, &'static str)> {
        if !column.ty.is_integer() && !matches!(column.ty, DataType::Numeric(_)) {
            return Err(("cannot be MERGE DELTA", "MERGE DELTA needs an integer or NUMERIC column"));
        }
        if !column.not_null {
            return Err(("cannot be MERGE DELTA while it allows NULL", "SET NOT NULL first"));
        }
        if column.minting.is_some() || column.identity.is_some() {
            return Err(("mints its values and cannot be MERGE DELTA", "use another column to count"));
        }
        let unique = table.indexes.iter().filter(|i| i.unique);
        if unique.flat_map(|i| &i.columns).any(|c| c.column == column.id) {
            return Err(("is in a UNIQUE key and cannot be MERGE DELTA", "use another column to count"));
        }
        if table.foreign_keys.iter().any(|f| f.columns.contains(&column.id)) {
            return Err(("is in a FOREIGN KEY and cannot be MERGE DELTA", "use another column to count"));
        }
        Ok(())
    }

    fn foreign_key_rules(&self, table: &Table, foreign_key: &ForeignKey) -> Result<(), SchemaError> {
        let fault = |what: String| SchemaError::invalid(format!("constraint {}: {what}", foreign_key.name));
        let Some(parent) = self.table(foreign_key.parent) else {
            return Err(fault("the referenced table does not exist".to_owned()));
        };
        let pairs = || foreign_key.columns.iter().zip(&foreign_key.parent_columns);
        if foreign_key.columns.is_empty() || foreign_key.columns.len() != foreign_key.parent_columns.len() {
            return Err(fault("numbers of referencing and referenced columns differ".to_owned()));
        }
        for (column, parent_column) in pairs() {
            let (Some(ours), Some(theirs)) = (table.column(*column), parent.column(*parent_column)) else {
                return Err(fault("a column does not exist".to_owned()));
            };
            if !comparable(&ours.ty, &theirs.ty) {
                return Err(fault(format!("{} and {} have different types", ours.name, theirs.name))
                    .hint("give both columns the same type"));
            }
        }
        let referenced: ColumnSet = foreign_key.parent_columns.iter().copied().collect();
        let matches = |i: &super::Index| {
            i.unique && i.columns.iter().map(|c| c.column).collect::<ColumnSet>() == referenced
        };
        if !parent.index(foreign_key.parent_index).is_some_and(matches) {
            return Err(fault(format!(
                "there is no unique constraint matching the columns in table {}",
                parent.name
            )));
        }
        let own: ColumnSet = foreign_key.columns.iter().copied().collect();
        let begins = |i: &super::Index| {
            i.columns.iter().take(own.len()).map(|c| c.column).collect::<ColumnSet>() == own
        };
        if !table.index(foreign_key.child_index).is_some_and(begins) {
            return Err(fault("no index begins with its columns".to_owned()));
        }
        if table.rows == RowRule::AppendOnly {
            self.append_only_child(table, foreign_key)?;
        }
        Ok(())
    }

    /// What would delete or change rows that never are.
    fn append_only_child(&self, table: &Table, foreign_key: &ForeignKey) -> Result<(), SchemaError> {
        let acts = |action| {
            matches!(
                action,
                ReferentialAction::Cascade | ReferentialAction::SetNull | ReferentialAction::SetDefault
            )
        };
        let fixed = |c: &ColumnId| {
            table.is_primary(*c) || self.references(table.id).any(|(_, f)| f.parent_columns.contains(c))
        };
        let clause = if acts(foreign_key.on_delete) {
            "ON DELETE"
        } else if acts(foreign_key.on_update) && foreign_key.columns.iter().any(fixed) {
            "ON UPDATE"
        } else {
            return Ok(());
        };
        Err(SchemaError::invalid(format!(
            "constraint {}: an {clause} action would change rows of {}, which is append only",
            foreign_key.name, table.name
        ))
        .hint(format!("leave {clause} out (NO ACTION), or choose another row rule")))
    }

    /// What ADD WINS needs: an incarnation can come back into view, with its UNIQUE value, its parent, its bound.
    fn mergeable(&self, table: &Table, rule: &str) -> Result<(), SchemaError> {
        let refuse =
            |what: String| SchemaError::invalid(format!("{rule} is not possible on {}: {what}", table.name));
        if let Some(index) = table.unique_indexes().next() {
            return Err(refuse(format!("unique index {} besides the primary key", index.name))
                .hint("drop it, or choose ROWS REMOVE WINS"));
        }
        for foreign_key in &table.foreign_keys {
            if !self.parent_stays(foreign_key) {
                let parent = self.table(foreign_key.parent).map_or("", |p| p.name.as_str());
                return Err(refuse(format!(
                    "{} refers to {parent}, which is not append only",
                    foreign_key.name
                ))
                .hint(format!("ALTER TABLE {parent} SET ROWS APPEND ONLY first, or drop the FOREIGN KEY")));
            }
        }
        if let Some(check) = table.checks.iter().find(|c| table.is_delta_bound(c)) {
            return Err(
                refuse(format!("{} bounds a delta column", check.name)).hint("choose ROWS REMOVE WINS")
            );
        }
        let aside = |columns: &ColumnSet| -> ColumnSet {
            columns.iter().copied().filter(|c| !table.is_primary(*c)).collect()
        };
        for tie in table.ties() {
            let rest = aside(&tie);
            if !rest.is_empty() && !table.within_group(&rest) {
                let names: Vec<String> = rest.iter().map(|c| table.column_name(*c)).collect();
                return Err(refuse(format!(
                    "a constraint over {} that is not within one lww group",
                    names.join(", ")
                ))
                .hint("SET MERGE LWW for all its columns, or drop it"));
            }
        }
        Ok(())
    }

    fn keys_trusted(&self, table: &Table) -> Result<(), SchemaError> {
        let refuse = |what: String| {
            SchemaError::invalid(format!("KEYS TRUSTED is not possible on {}: {what}", table.name))
        };
        if table.rows == RowRule::Strict {
            return Err(refuse("its rows are strict".to_owned()).hint(format!(
                "ALTER TABLE {} SET ROWS APPEND ONLY (or ADD WINS, REMOVE WINS), KEYS TRUSTED",
                table.name
            )));
        }
        let strict = |c: &&Column| c.merge == MergeRule::Strict && !table.is_primary(c.id);
        if let Some(column) = table.columns.iter().find(strict) {
            return Err(refuse(format!("column {} is strict", column.name)).hint(format!(
                "ALTER TABLE {} ALTER COLUMN {} SET MERGE LWW (or another rule) first",
                table.name, column.name
            )));
        }
        if let Some(column) = table.columns.iter().find(|c| matches!(c.minting, Some(Minting::Sequence(_)))) {
            return Err(refuse(format!("column {} mints integers", column.name))
                .hint("minted keys are unique by construction: KEYS TRUSTED is not needed"));
        }
        self.mergeable(table, "KEYS TRUSTED")
    }
}

/// What sets may be made of: types whose equal values are equal in bytes.
fn is_element(ty: &DataType) -> bool {
    ty.is_integer()
        || matches!(ty, DataType::Text | DataType::Varchar(_) | DataType::Uuid)
        || matches!(ty, DataType::Date | DataType::Timestamp | DataType::Timestamptz)
}

/// Whether equal values of two types have equal keys.
fn comparable(a: &DataType, b: &DataType) -> bool {
    let text = |ty: &DataType| matches!(ty, DataType::Text | DataType::Varchar(_));
    let numeric = |ty: &DataType| matches!(ty, DataType::Numeric(_));
    a == b || (a.is_integer() && b.is_integer()) || (text(a) && text(b)) || (numeric(a) && numeric(b))
}
