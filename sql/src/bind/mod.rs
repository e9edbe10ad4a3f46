//! Binding: names to slots, expressions to types, clauses to one flat row per query block.
//!
//! Every SELECT is a *block* with one flat row. A column gets a slot of that row when it is first named, so rows are as
//! narrow as the statement and no expression changes when the planner orders the joins: every operator of a block
//! fills its own slots and passes the others on. Aggregates and window functions get slots too, and grouping passes on one row of each
//! group as its representative; so an expression over grouped columns needs no rewriting either.
//!
//! ```text
//!   SELECT c.name, count(*) FROM customer c, orders o WHERE o.c_id = c.id GROUP BY c.id
//!          slot 0   slot 4                          slot 2    slot 1            1
//! ```
//!
//! A name is looked up in the innermost block first and then outwards; one found further out becomes an
//! [`crate::expr::ExprKind::Outer`], and the subquery it stands in remembers that it reads that slot of that block.
//!
//! What is not here: access paths, join order (see [`crate::plan`]), and what a stored expression means for a row that is
//! written (see [`crate::exec`]).

mod aggregate;
mod dml;
mod expr;
mod from;
mod program;
mod query;
mod recursive;
mod scope;
mod select;
mod set;
mod subquery;
mod window;

use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, DataType, Table};
use sqlparser::ast;
use sqlparser::tokenizer::{Location, Span};

use crate::error::{Result, SqlError};
use crate::expr::aggregate::Aggregate;
use crate::expr::{Builder, Expr};
use crate::parse;
use crate::plan::{OutputColumn, PlanEnv, VirtualTable};

pub use dml::{
    BoundDelete, BoundInsert, BoundUpdate, ConflictAction, Given, InsertSource, OnConflict, SetColumn,
    SetKind,
};
pub use program::Program;
pub(crate) use scope::Block;
pub use window::{Distance, FrameBound, FrameUnit, Window, WindowCall, WindowFrame};

/// A query: what FROM, INSERT, subqueries and the top level are made of.
#[derive(Debug)]
pub struct Query {
    /// What gives rows.
    pub body: Body,
    /// Over the body's outputs.
    pub order: Vec<SortKey>,
    /// LIMIT.
    pub limit: Option<Expr>,
    /// OFFSET.
    pub offset: Option<Expr>,
    /// What a reader sees. The body may have more outputs after these: sort keys and keys of rows to lock.
    pub columns: Vec<OutputColumn>,
    /// FOR UPDATE, FOR SHARE: (table, output that holds the row's key).
    pub locks: Vec<(Arc<Table>, usize)>,
}

/// What gives a query's rows.
#[derive(Debug)]
pub enum Body {
    /// SELECT.
    Select(Box<Select>),
    /// VALUES.
    Values(Vec<Vec<Expr>>),
    /// UNION, INTERSECT, EXCEPT.
    Set {
        /// Which.
        op: SetOp,
        /// Duplicates count.
        all: bool,
        /// First.
        left: Box<Query>,
        /// Second.
        right: Box<Query>,
        /// Casts of the left's outputs to the common types; empty if none is needed.
        left_casts: Vec<Expr>,
        /// The right's.
        right_casts: Vec<Expr>,
    },
    /// WITH RECURSIVE: the base's rows, then the step's over those of the round before, until it gives none.
    Recursive {
        /// What [`SourceKind::Working`] names.
        id: usize,
        /// Its name in the statement.
        name: String,
        /// Duplicates count.
        all: bool,
        /// The first round.
        base: Box<Query>,
        /// Every other.
        step: Box<Query>,
        /// Casts of the step's outputs to the base's types; empty if none is needed.
        step_casts: Vec<Expr>,
    },
}

/// The set operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SetOp {
    Union,
    Intersect,
    Except,
}

impl SetOp {
    /// In SQL.
    pub fn name(self) -> &'static str {
        match self {
            SetOp::Union => "UNION",
            SetOp::Intersect => "INTERSECT",
            SetOp::Except => "EXCEPT",
        }
    }
}

/// One key of an ORDER BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// An output.
    pub column: usize,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// A bound SELECT.
#[derive(Debug)]
pub struct Select {
    /// Names it among all blocks of the statement.
    pub block: usize,
    /// The width of its flat row.
    pub width: usize,
    /// What FROM names, in order.
    pub sources: Vec<Source>,
    /// How they are joined.
    pub from: Vec<From>,
    /// WHERE, as conjuncts.
    pub filter: Vec<Expr>,
    /// GROUP BY and aggregates.
    pub grouping: Option<Grouping>,
    /// HAVING, as conjuncts.
    pub having: Vec<Expr>,
    /// Window functions, computed after grouping and HAVING.
    pub windows: Vec<Window>,
    /// Visible outputs, then hidden ones.
    pub outputs: Vec<Expr>,
    /// DISTINCT over these outputs.
    pub distinct: Option<Vec<usize>>,
}

/// GROUP BY.
#[derive(Debug)]
pub struct Grouping {
    /// The keys. None at all: one group, also of no rows.
    pub keys: Vec<Expr>,
    /// The aggregates.
    pub aggregates: Vec<AggregateCall>,
}

/// One aggregate and the slot of its result.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    /// What is computed.
    pub aggregate: Aggregate,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// DISTINCT.
    pub distinct: bool,
    /// FILTER (WHERE …).
    pub filter: Option<Expr>,
    /// ORDER BY within the call.
    pub order: Vec<(Expr, bool, bool)>,
    /// Where its result goes.
    pub slot: usize,
}

/// Something FROM names.
#[derive(Debug)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// Its name in the statement.
    pub alias: String,
    /// Its columns, in order.
    pub columns: Vec<SourceColumn>,
    /// Where the row's encoded primary key goes, if it is needed.
    pub key_slot: Option<usize>,
}

/// A column of a source.
#[derive(Clone, Debug)]
pub struct SourceColumn {
    /// Its name in the statement.
    pub name: String,
    /// Its type.
    pub ty: DataType,
    /// In a table.
    pub id: ColumnId,
    /// Where it goes in the flat row, once it is named.
    pub slot: Option<usize>,
    /// Not part of `*`.
    pub hidden: bool,
}

/// The kinds of sources.
#[derive(Debug)]
pub enum SourceKind {
    /// A user's table.
    Table(Arc<Table>),
    /// A computed table.
    Virtual(Arc<dyn VirtualTable>),
    /// A subquery, CTE or VALUES list.
    Query {
        /// It.
        query: Box<Query>,
        /// It reads columns of the sources before it.
        lateral: bool,
        /// (block, slot) of what a lateral one reads.
        reads: Vec<(usize, usize)>,
        /// Duplicates are dropped: it stands for `IN (subquery)`.
        distinct: bool,
    },
    /// generate_series, unnest, generate_subscripts; several run side by side, the shorter ones filled up with NULLs. Each
    /// gives one column.
    Function {
        /// Which, with their arguments.
        calls: Vec<(TableFunction, Vec<Expr>)>,
        /// WITH ORDINALITY.
        ordinality: bool,
    },
    /// The last round of the recursive query that it stands in.
    Working {
        /// Of [`Body::Recursive`].
        id: usize,
    },
    /// Filled by the executor: the row of an INSERT … RETURNING, EXCLUDED.
    Given,
}

/// The functions that return sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TableFunction {
    GenerateSeries,
    Unnest,
    GenerateSubscripts,
    /// A scalar function in FROM: one row. The argument is the call.
    Scalar,
}

/// How sources are joined.
#[derive(Debug)]
pub enum From {
    /// An index into [`Select::sources`].
    Source(usize),
    /// A join.
    Join {
        /// Which.
        kind: JoinKind,
        /// Left.
        left: Box<From>,
        /// Right.
        right: Box<From>,
        /// ON or USING, as conjuncts.
        on: Vec<Expr>,
    },
}

/// The joins that are left after RIGHT has been turned around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum JoinKind {
    Inner,
    Left,
    Full,
}

/// A subquery within an expression.
#[derive(Debug)]
pub struct SubQuery {
    /// It.
    pub query: Query,
    /// It reads rows of enclosing queries, so it is run for each of them; otherwise once.
    pub correlated: bool,
    /// (block, slot) of what it reads of enclosing queries.
    pub reads: Vec<(usize, usize)>,
}

/// The binder of one statement.
pub(crate) struct Binder<'a> {
    pub env: PlanEnv<'a>,
    pub builder: Builder,
    /// Open blocks, outermost first.
    blocks: Vec<Block>,
    next_block: usize,
    /// Finished subqueries, by id.
    pub subqueries: Vec<SubQuery>,
    /// Outer reads of the subqueries being bound, innermost last.
    frames: Vec<Frame>,
    /// CTEs in scope, innermost last.
    ctes: Vec<Cte>,
    next_cte: usize,
    /// Recursive CTEs being bound, innermost last.
    recursions: Vec<recursive::Recursion>,
    next_recursion: usize,
    /// The columns that the next query's outputs are for: what is untyped takes their types.
    expected: Option<Vec<DataType>>,
    /// Nested queries are bound recursively; the parser limits nesting, this is a second fence.
    depth: usize,
}

#[derive(Debug, Default)]
struct Frame {
    reads: Vec<(usize, usize)>,
    correlated: bool,
    /// How many blocks were open around it.
    base: usize,
}

#[derive(Clone)]
struct Cte {
    /// Names it among all CTEs of the statement.
    id: usize,
    name: String,
    columns: Vec<String>,
    query: Arc<ast::Query>,
    /// How many CTEs it sees.
    scope: usize,
    /// How many blocks were open where it was defined.
    blocks: usize,
    /// It stands in WITH RECURSIVE: it may name itself.
    recursive: bool,
}

impl<'a> Binder<'a> {
    pub fn new(env: PlanEnv<'a>) -> Binder<'a> {
        Binder {
            env,
            builder: Builder::new(env.parameter_types),
            blocks: Vec::new(),
            next_block: 0,
            subqueries: Vec::new(),
            frames: Vec::new(),
            ctes: Vec::new(),
            next_cte: 0,
            recursions: Vec::new(),
            next_recursion: 0,
            expected: None,
            depth: 0,
        }
    }

    /// A query at the top level.
    pub fn top(&mut self, query: &ast::Query) -> Result<Query> {
        self.query(query)
    }

    /// A position for errors; 0 (which [`SqlError::at`] must not be given) never results.
    fn place(&self, span: Span) -> Option<u32> {
        self.at_location(span.start)
    }

    fn at_location(&self, location: Location) -> Option<u32> {
        if location.line == 0 { None } else { parse::position(self.env.text, location) }
    }

    fn located(&self, error: SqlError, span: Span) -> SqlError {
        match self.place(span) {
            Some(position) => error.at(position),
            None => error,
        }
    }

    /// Opens a block.
    fn open(&mut self) {
        let id = self.next_block;
        self.next_block += 1;
        self.blocks.push(Block::new(id));
    }

    /// Closes the innermost block.
    fn close(&mut self) -> Block {
        self.blocks.pop().expect("every close has its open")
    }

    fn block(&mut self) -> &mut Block {
        self.blocks.last_mut().expect("a block is open while a query is bound")
    }
}

/// A table of the schema, by a possibly qualified name; user tables are all in `public`.
pub(crate) fn user_table<'s>(env: &PlanEnv<'s>, name: &parse::Name) -> Option<&'s Arc<Table>> {
    match name.schema.as_deref() {
        None if env.public_in_path => env.schema.table_by_name(&name.name),
        Some("public") => env.schema.table_by_name(&name.name),
        _ => None,
    }
}

/// A sequence of the schema, by a possibly qualified name.
pub(crate) fn user_sequence<'s>(
    env: &PlanEnv<'s>,
    name: &parse::Name,
) -> Option<&'s Arc<gemini_shadow_ops::Sequence>> {
    match name.schema.as_deref() {
        None if env.public_in_path => env.schema.sequence_by_name(&name.name),
        Some("public") => env.schema.sequence_by_name(&name.name),
        _ => None,
    }
}

/// 42P01.
pub(crate) fn no_table(name: &parse::Name) -> SqlError {
    let shown = match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.clone(),
    };
    let error =
        SqlError::new(crate::sqlstate::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"));
    if name.position > 0 { error.at(name.position) } else { error }
}

/// Casts for storing: errors name the column as PostgreSQL does.
pub(crate) fn assign(builder: &Builder, expr: Expr, column: &str, ty: &DataType) -> Result<Expr> {
    let from = expr.ty.clone();
    builder.cast(expr, ty, crate::expr::CastKind::Assignment).map_err(|error| {
        if error.sqlstate == crate::sqlstate::CANNOT_COERCE
            || error.sqlstate == crate::sqlstate::DATATYPE_MISMATCH
        {
            SqlError::new(
                crate::sqlstate::DATATYPE_MISMATCH,
                format!(
                    "column \"{column}\" is of type {} but expression is of type {}",
                    crate::expr::types::display(ty),
                    crate::expr::types::display(&from)
                ),
            )
            .hint("You will need to rewrite or cast the expression.")
        } else {
            error
        }
    })
}
