//! From a parsed statement to a plan.
//!
//! ```text
//!   AST ─ bind: names, types, slots ─► query blocks ─ plan: access paths, join order ─► Prepared
//! ```
//!
//! A [`Prepared`] is immutable and holds no data: it is shared by all executions and sessions, keyed by (text,
//! parameter types, search path, schema version). It is a plan of the schema version it was made under and of no other.

mod access;
mod build;
mod explain;
mod join;
pub mod node;
mod select;

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, DataType, Schema, Table, TableId, Value};
use sqlparser::ast::Statement;

use crate::bind::{
    Binder, BoundDelete, BoundInsert, BoundUpdate, Given, InsertSource, OnConflict, Program, Query, Select,
    SetColumn,
};
use crate::error::{Result, SqlError};
use crate::exec::ExecContext;
use crate::expr::Expr;
pub use join::stored_columns;
pub use node::{KeyPart, Node, Plan, RangeSpec, Scan, SetCall, SubPlan};
use select::Planner;

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

impl std::fmt::Debug for dyn VirtualTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
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
    pub(crate) body: PreparedBody,
    pub(crate) subplans: Vec<SubPlan>,
}

/// What a statement does.
#[derive(Debug)]
pub(crate) enum PreparedBody {
    Select(Plan),
    Insert(Box<InsertPlan>),
    Update(Box<UpdatePlan>),
    Delete(Box<DeletePlan>),
}

/// INSERT.
#[derive(Debug)]
pub(crate) struct InsertPlan {
    pub table: Arc<Table>,
    pub source: InsertRows,
    pub columns: Vec<ColumnId>,
    pub conflict: Option<OnConflict>,
    pub returning: Vec<Expr>,
    pub width: usize,
    pub target: Vec<(usize, usize, Option<DataType>)>,
    pub excluded: Vec<(usize, usize, Option<DataType>)>,
    pub programs: BTreeMap<TableId, Arc<Program>>,
}

/// Where an INSERT's rows come from.
#[derive(Debug)]
pub(crate) enum InsertRows {
    Values(Vec<Vec<Given>>),
    Query(Plan, Vec<Expr>),
    Defaults,
}

/// UPDATE.
#[derive(Debug)]
pub(crate) struct UpdatePlan {
    pub table: Arc<Table>,
    pub source: Plan,
    pub key_slot: usize,
    pub set: Vec<SetColumn>,
    pub returning: Vec<Expr>,
    pub target: Vec<(usize, usize, Option<DataType>)>,
    pub programs: BTreeMap<TableId, Arc<Program>>,
}

/// DELETE.
#[derive(Debug)]
pub(crate) struct DeletePlan {
    pub table: Arc<Table>,
    pub source: Plan,
    pub key_slot: usize,
    pub returning: Vec<Expr>,
    pub programs: BTreeMap<TableId, Arc<Program>>,
}

impl Prepared {
    /// Whether it returns rows.
    pub fn returns_rows(&self) -> bool {
        !self.columns.is_empty() || self.kind == StatementKind::Select
    }

    /// Whether it writes, or locks rows (FOR UPDATE): refused in a read-only transaction.
    pub fn writes(&self) -> bool {
        match &self.body {
            PreparedBody::Select(plan) => locks(&plan.node),
            _ => true,
        }
    }

    /// `EXPLAIN`: PostgreSQL's tree, a line each.
    pub fn explain(&self) -> Vec<String> {
        explain::lines(self)
    }
}

fn locks(node: &Node) -> bool {
    match node {
        Node::Lock { .. } => true,
        Node::Trim { input, .. } | Node::Limit { input, .. } => locks(input),
        _ => false,
    }
}

/// Plans SELECT, VALUES, WITH, INSERT, UPDATE, DELETE.
pub fn plan(statement: &Statement, env: &PlanEnv<'_>) -> Result<Prepared> {
    let mut binder = Binder::new(*env);
    let bound = match statement {
        Statement::Query(query) => {
            // INSERT and its like may stand behind WITH; sqlparser hands them over as queries.
            let query = binder.top(query)?;
            let columns = query.columns.clone();
            (StatementKind::Select, columns, Bound::Select(Box::new(query)))
        }
        Statement::Insert(insert) => {
            let mut bound = binder.insert(insert)?;
            let columns = std::mem::take(&mut bound.returning_columns);
            (StatementKind::Insert, columns, Bound::Insert(Box::new(bound)))
        }
        Statement::Update(update) => {
            let mut bound = binder.update(update)?;
            let columns = std::mem::take(&mut bound.returning_columns);
            (StatementKind::Update, columns, Bound::Update(Box::new(bound)))
        }
        Statement::Delete(delete) => {
            let mut bound = binder.delete(delete)?;
            let columns = std::mem::take(&mut bound.returning_columns);
            (StatementKind::Delete, columns, Bound::Delete(Box::new(bound)))
        }
        other => {
            return Err(SqlError::unsupported(
                other.to_string().split_whitespace().next().unwrap_or("this statement"),
                "Use SELECT, INSERT, UPDATE or DELETE.",
            ));
        }
    };
    let (kind, columns, bound) = bound;
    let parameters = binder.builder.param_types()?;
    let reads = select::reads_of(&binder.subqueries);
    let planner = Planner { reads: &reads };
    let body = bound.plan(&planner);
    let subplans = binder
        .subqueries
        .into_iter()
        .map(|sub| SubPlan { plan: planner.query(sub.query), correlated: sub.correlated })
        .collect();
    Ok(Prepared { kind, parameters, columns, schema_version: env.schema.version, body, subplans })
}

enum Bound {
    Select(Box<Query>),
    Insert(Box<BoundInsert>),
    Update(Box<BoundUpdate>),
    Delete(Box<BoundDelete>),
}

impl Bound {
    fn plan(self, planner: &Planner<'_>) -> PreparedBody {
        match self {
            Bound::Select(query) => PreparedBody::Select(planner.query(*query)),
            Bound::Insert(bound) => PreparedBody::Insert(Box::new(insert_plan(*bound, planner))),
            Bound::Update(bound) => {
                let key_slot = bound.select.sources[0].key_slot.unwrap_or(0);
                let target = stored_columns(&bound.table, &target_slots(&bound.select));
                PreparedBody::Update(Box::new(UpdatePlan {
                    source: rows(bound.select, planner),
                    table: bound.table,
                    key_slot,
                    set: bound.set,
                    returning: bound.returning,
                    target,
                    programs: bound.programs,
                }))
            }
            Bound::Delete(bound) => {
                let key_slot = bound.select.sources[0].key_slot.unwrap_or(0);
                PreparedBody::Delete(Box::new(DeletePlan {
                    source: rows(bound.select, planner),
                    table: bound.table,
                    key_slot,
                    returning: bound.returning,
                    programs: bound.programs,
                }))
            }
        }
    }
}

fn insert_plan(bound: BoundInsert, planner: &Planner<'_>) -> InsertPlan {
    InsertPlan {
        target: stored_columns(&bound.table, &bound.target),
        excluded: stored_columns(&bound.table, &bound.excluded),
        source: match bound.source {
            InsertSource::Values(rows) => InsertRows::Values(rows),
            InsertSource::Query(query, casts) => InsertRows::Query(planner.query(*query), casts),
            InsertSource::Defaults => InsertRows::Defaults,
        },
        table: bound.table,
        columns: bound.columns,
        conflict: bound.conflict,
        returning: bound.returning,
        width: bound.width,
        programs: bound.programs,
    }
}

fn target_slots(select: &Select) -> Vec<(ColumnId, usize)> {
    select.sources[0].columns.iter().filter_map(|c| Some((c.id, c.slot?))).collect()
}

/// The operators that find the rows of an UPDATE or DELETE: flat rows.
fn rows(select: Select, planner: &Planner<'_>) -> Plan {
    let width = select.width;
    let names = select::slot_names(&select);
    let (node, _) = join::Joins::new(planner, select).plan();
    Plan { node, width, names }
}

/// The type as EXPLAIN prints it: without a typmod.
fn node_bare(ty: &DataType) -> DataType {
    crate::expr::types::bare(ty)
}
