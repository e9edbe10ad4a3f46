//! What ordinary statements a declaration makes red, and what would make them blue (DESIGN §5), as NOTICEs.

use gemini_shadow_ops::{Column, DataType, IndexId, MergeRule, RowRule, Schema, Table};

use super::Change;
use crate::catalog::names::quote;
use crate::session::Notice;

impl Change<'_> {
    fn red(&mut self, message: String, hint: String) {
        self.session.tell(Notice::info(message).hint(hint));
    }

    /// Everything about a new table.
    pub(super) fn notice_table(&mut self, schema: &Schema, table: &Table) {
        self.notice_inserts(schema, table);
        let names: Vec<String> = table.columns.iter().filter(|c| !c.hidden).map(|c| c.name.clone()).collect();
        for name in names {
            self.notice_column(table, &name);
        }
        let unique: Vec<IndexId> = table.unique_indexes().map(|i| i.id).collect();
        for id in unique {
            self.notice_unique(schema, table, id);
        }
        for key in &table.foreign_keys {
            self.notice_foreign_key(schema, table, &key.name);
        }
        for check in &table.checks {
            self.notice_check(table, &check.name);
        }
    }

    /// Inserts and deletes.
    pub(super) fn notice_inserts(&mut self, schema: &Schema, table: &Table) {
        let name = quote(&table.name);
        if table.rows == RowRule::Strict {
            self.red(
                format!("inserts into and deletes from \"{}\" are red: its rows are strict", table.name),
                format!("ALTER TABLE {name} SET ROWS APPEND ONLY, ADD WINS or REMOVE WINS makes them blue where its keys and constraints allow."),
            );
            return;
        }
        if !schema.insert_may_be_blue(table) {
            self.red(
                format!(
                    "inserts into \"{}\" are red: its primary key values are not unique by construction",
                    table.name
                ),
                format!(
                    "Mint the key (SERIAL, IDENTITY, DEFAULT gen_random_uuid()), or vouch for it: ALTER TABLE {name} SET ROWS {}, KEYS TRUSTED.",
                    rule(table.rows)
                ),
            );
        }
        if let Some((child, key)) = schema.references(table.id).next()
            && table.rows != RowRule::AppendOnly
        {
            self.red(
                format!(
                    "deletes from \"{}\" are red: \"{}\" references it by constraint \"{}\"",
                    table.name, child.name, key.name
                ),
                format!("ALTER TABLE {name} SET ROWS APPEND ONLY, if its rows are never deleted."),
            );
        }
    }

    /// Updates of a column.
    pub(super) fn notice_column(&mut self, table: &Table, column: &str) {
        let Some(column) = table.column_by_name(column) else { return };
        if column.merge != MergeRule::Strict || table.is_primary(column.id) || column.hidden {
            return;
        }
        // Columns of keys have notices of their own, and minting columns are hardly updated.
        if column.minting.is_some() || column.generated.is_some() {
            return;
        }
        let counter = counts(table, column);
        self.red(
            format!("updates of \"{}\".\"{}\" are red: the column is strict", table.name, column.name),
            format!(
                "ALTER TABLE {} ALTER COLUMN {} SET MERGE {}.",
                quote(&table.name),
                quote(&column.name),
                match &column.ty {
                    _ if counter => "DELTA (a counter), or LWW (the last write wins)",
                    DataType::Array(_) =>
                        "ADD WINS SET (elements are added and removed), or LWW (the last write wins)",
                    DataType::Bool => "LWW (the last write wins), or ENABLE WINS, DISABLE WINS",
                    _ => "LWW (the last write wins)",
                }
            ),
        );
    }

    /// A UNIQUE key besides the primary one.
    pub(super) fn notice_unique(&mut self, schema: &Schema, table: &Table, index: IndexId) {
        let Some(index) = table.index(index) else { return };
        if schema.may_be_unique_by_construction(table, index) {
            return;
        }
        self.red(
            format!(
                "inserts into \"{}\" and updates of its unique key \"{}\" are red: another site might take the same value",
                table.name, index.name
            ),
            "A NULL in the key is blue, and so is a minted value; else keep it, if uniqueness is worth a round trip.".into(),
        );
    }

    /// A FOREIGN KEY.
    pub(super) fn notice_foreign_key(&mut self, schema: &Schema, table: &Table, name: &str) {
        let Some(key) = table.foreign_keys.iter().find(|f| f.name == name) else { return };
        if schema.parent_stays(key) {
            return;
        }
        let parent = schema.table(key.parent).map_or("?", |p| p.name.as_str());
        self.red(
            format!(
                "writes of \"{}\" through constraint \"{name}\" are red: a row of \"{parent}\" might be deleted at another site",
                table.name
            ),
            format!("ALTER TABLE {} SET ROWS APPEND ONLY, if its rows are never deleted.", quote(parent)),
        );
    }

    /// A CHECK.
    pub(super) fn notice_check(&mut self, table: &Table, name: &str) {
        let Some(check) = table.checks.iter().find(|c| c.name == name) else { return };
        if table.check_is_local(check) || check.columns.len() < 2 {
            return;
        }
        let columns: Vec<String> = check.columns.iter().map(|c| table.column_name(*c)).collect();
        self.red(
            format!(
                "updates of {} in \"{}\" are red: constraint \"{name}\" ties columns that are not one lww group",
                columns.join(", "),
                table.name
            ),
            "SET MERGE LWW for all of them.".into(),
        );
    }
}

fn rule(rows: RowRule) -> &'static str {
    match rows {
        RowRule::Strict => "STRICT",
        RowRule::AppendOnly => "APPEND ONLY",
        RowRule::AddWins => "ADD WINS",
        RowRule::RemoveWins => "REMOVE WINS",
    }
}

/// Whether the column could count: a number outside every key.
fn counts(table: &Table, column: &Column) -> bool {
    (column.ty.is_integer() || matches!(column.ty, gemini_shadow_ops::DataType::Numeric(_)))
        && column.not_null
        && !table.indexes.iter().any(|i| i.unique && i.columns.iter().any(|c| c.column == column.id))
        && !table.foreign_keys.iter().any(|f| f.columns.contains(&column.id))
}
