//! Reasons in words: why, and which annotation would make the effect blue.

use super::{Reason, Rule};
use crate::ids::{ColumnId, ConstraintId};
use crate::schema::{MergeRule, RowRule, Schema, Table};
use crate::value::DataType;

/// A reason for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Why it is red, in one sentence.
    pub why: String,
    /// What would make it blue, if anything would.
    pub hint: Option<String>,
}

impl Rule {
    /// As metrics count it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::StrictColumn => "strict column",
            Rule::StrictRows => "strict rows",
            Rule::KeyNotUniqueByConstruction => "key not unique by construction",
            Rule::UniqueKey => "unique key",
            Rule::ForeignKey => "foreign key",
            Rule::ReferencedRow => "referenced row",
            Rule::KeyUpdate => "key update",
            Rule::CheckAcrossColumns => "check across columns",
            Rule::DeltaAssigned => "delta assigned",
            Rule::DeltaNearRange => "delta near its range",
            Rule::ExplicitSequenceValue => "explicit sequence value",
            Rule::SchemaChange => "schema change",
            Rule::Forced => "forced",
            Rule::Unknown => "unknown",
        }
    }
}

impl Reason {
    /// Why it is red, and what would make it blue. What is not in this schema any more goes by its id.
    pub fn describe(&self, schema: &Schema) -> Description {
        let words = Words { schema, reason: self, table: schema.table(self.table).map(|t| t.as_ref()) };
        let (why, hint) = words.rule();
        Description { why, hint }
    }
}

struct Words<'a> {
    schema: &'a Schema,
    reason: &'a Reason,
    table: Option<&'a Table>,
}

impl Words<'_> {
    fn rule(&self) -> (String, Option<String>) {
        match self.reason.rule {
            Rule::StrictColumn => self.strict_column(),
            Rule::StrictRows => self.strict_rows(),
            Rule::KeyNotUniqueByConstruction => self.key(),
            Rule::UniqueKey => self.unique_key(),
            Rule::ForeignKey => self.foreign_key(),
            Rule::ReferencedRow => self.referenced_row(),
            Rule::CheckAcrossColumns => self.across_columns(),
            Rule::KeyUpdate => (format!("primary key values of {} are changed", self.name()), None),
            Rule::DeltaAssigned => (
                format!("{} is assigned a value, which depends on the value it replaces", self.column()),
                Some(format!("write it as an addition: SET {0} = {0} + …", self.bare_column())),
            ),
            Rule::DeltaNearRange => (
                format!("the addition takes {} past half of its type's range", self.column()),
                Some("use a wider type".to_owned()),
            ),
            Rule::ExplicitSequenceValue => (
                format!("{} mints its values and is given one explicitly", self.column()),
                Some("leave the column out, so that its value is minted".to_owned()),
            ),
            Rule::SchemaChange => ("a schema change is ordered everywhere".to_owned(), None),
            Rule::Forced => {
                ("gemini.color is 'red'".to_owned(), Some("SET gemini.color = 'auto'".to_owned()))
            }
            Rule::Unknown => (format!("an effect on {} that is not known to be safe", self.name()), None),
        }
    }

    fn strict_column(&self) -> (String, Option<String>) {
        let why = format!("column {} is strict: its writes are ordered", self.column());
        let Some(table) = self.table else { return (why, None) };
        let hint = self.reason.column.filter(|c| !table.is_primary(*c)).map(|c| {
            let rule = match table.column(c).map(|c| &c.ty) {
                Some(ty) if ty.is_integer() => "LWW (or DELTA, if it counts)",
                Some(DataType::Bool) => "LWW (or ENABLE WINS, DISABLE WINS)",
                Some(DataType::Array(_)) => "LWW (or ADD WINS SET, if elements are added and removed)",
                _ => "LWW",
            };
            format!("ALTER TABLE {} ALTER COLUMN {} SET MERGE {rule}", table.name, table.column_name(c))
        });
        (why, hint)
    }

    fn strict_rows(&self) -> (String, Option<String>) {
        let why = format!("rows of {} are strict: inserts and deletes are ordered", self.name());
        (why, Some(format!("ALTER TABLE {} SET ROWS APPEND ONLY (or ADD WINS, REMOVE WINS)", self.name())))
    }

    fn key(&self) -> (String, Option<String>) {
        let why = format!("another site may insert the same primary key into {}", self.name());
        let Some(table) = self.table else { return (why, None) };
        let mints = table.primary_columns().any(|c| table.column(c).is_some_and(|c| c.minting.is_some()));
        let hint = match (mints, table.rows) {
            (true, _) => "leave the key out, so that it is minted".to_owned(),
            (false, RowRule::Strict) => format!(
                "let the key be minted (SERIAL, IDENTITY, DEFAULT gen_random_uuid()), or vouch for it: ALTER TABLE {} SET ROWS APPEND ONLY (or ADD WINS, REMOVE WINS), KEYS TRUSTED",
                table.name
            ),
            (false, rule) => format!(
                "let the key be minted (SERIAL, IDENTITY, DEFAULT gen_random_uuid()), or vouch for it: ALTER TABLE {} SET {rule}, KEYS TRUSTED",
                table.name
            ),
        };
        (why, Some(hint))
    }

    fn unique_key(&self) -> (String, Option<String>) {
        let why = format!("another site may take the same value of {}", self.constraint());
        (why, None)
    }

    fn foreign_key(&self) -> (String, Option<String>) {
        let parent = self.constraint_id().and_then(|id| {
            let foreign_key = self.schema.constraint_table(id)?.foreign_key(id)?;
            self.schema.table(foreign_key.parent)
        });
        match parent {
            Some(parent) => (
                format!(
                    "another site may delete the row of {} that {} refers to",
                    parent.name,
                    self.constraint()
                ),
                Some(format!("ALTER TABLE {} SET ROWS APPEND ONLY", parent.name)),
            ),
            None => (format!("another site may delete the row that {} refers to", self.constraint()), None),
        }
    }

    fn referenced_row(&self) -> (String, Option<String>) {
        let child = self.constraint_id().and_then(|id| self.schema.constraint_table(id));
        let child = child.map_or_else(|| "a table".to_owned(), |t| t.name.clone());
        (format!("{child} refers to {} by {}", self.name(), self.constraint()), None)
    }

    fn across_columns(&self) -> (String, Option<String>) {
        let what = match self.reason.column {
            Some(_) => format!("the generated column {}", self.column()),
            None => self.constraint(),
        };
        let why = format!("{what} ties columns together that are merged one by one");
        (why, self.group_hint())
    }

    /// Making the columns one lww group helps, unless one of them is a key or counts.
    fn group_hint(&self) -> Option<String> {
        let table = self.table?;
        let columns: Vec<ColumnId> = match (self.reason.constraint, self.reason.column) {
            (Some(id), _) => match (table.check(id), table.foreign_key(id)) {
                (Some(check), _) => check.columns.clone(),
                (None, Some(foreign_key)) => foreign_key.columns.clone(),
                (None, None) => return None,
            },
            (None, Some(column)) => {
                let (_, inputs) = table.column(column)?.generated.as_ref()?;
                inputs.iter().copied().chain([column]).collect()
            }
            (None, None) => return None,
        };
        if columns.iter().any(|c| table.is_primary(*c)) {
            return None;
        }
        let others = columns.iter().filter(|c| table.merge(**c) != MergeRule::Lww);
        let each = others.map(|c| format!("ALTER COLUMN {} SET MERGE LWW", table.column_name(*c)));
        let each: Vec<String> = each.collect();
        (!each.is_empty()).then(|| format!("ALTER TABLE {} {}", table.name, each.join(", ")))
    }

    fn name(&self) -> String {
        self.table.map_or_else(|| format!("table #{}", self.reason.table), |t| t.name.clone())
    }

    fn bare_column(&self) -> String {
        match (self.table, self.reason.column) {
            (Some(table), Some(column)) => table.column_name(column),
            (None, Some(column)) => format!("#{column}"),
            (_, None) => "a column".to_owned(),
        }
    }

    fn column(&self) -> String {
        format!("{}.{}", self.name(), self.bare_column())
    }

    fn constraint_id(&self) -> Option<ConstraintId> {
        self.reason.constraint
    }

    fn constraint(&self) -> String {
        match self.constraint_id() {
            Some(id) => {
                let table = self.schema.constraint_table(id);
                let name = table.and_then(|t| t.constraint_name(id).map(str::to_owned));
                name.unwrap_or_else(|| format!("constraint #{id}"))
            }
            None => format!("a unique index of {}", self.name()),
        }
    }
}
