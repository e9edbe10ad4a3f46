//! The plan tree: immutable, shared by all executions.
//!
//! Operators below a block's [`Node::Project`] work on the block's flat row: each fills its own slots and passes the
//! others on. Those above work on the block's outputs.

use std::sync::Arc;

use gemini_shadow_ops::{DataType, IndexId, Table};

use super::VirtualTable;
use crate::bind::{AggregateCall, JoinKind, SetOp, SortKey, TableFunction, Window};
use crate::expr::Expr;

/// A query's operators.
#[derive(Debug)]
pub struct Plan {
    /// The root.
    pub node: Node,
    /// The width of its rows.
    pub width: usize,
    /// What the flat row's slots are called, for EXPLAIN.
    pub names: Vec<String>,
}

/// A subquery of an expression.
#[derive(Debug)]
pub struct SubPlan {
    /// Its operators.
    pub plan: Plan,
    /// Run for every enclosing row; otherwise once.
    pub correlated: bool,
}

/// One of the set-returning functions that run side by side.
#[derive(Debug)]
pub struct SetCall {
    /// Which.
    pub function: TableFunction,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Where the value goes.
    pub value: Option<usize>,
    /// The value's type.
    pub ty: DataType,
}

/// An operator.
#[derive(Debug)]
pub enum Node {
    /// One row without columns.
    Empty,
    /// A table, by primary key or index.
    Scan(Box<Scan>),
    /// A computed table.
    Virtual {
        /// The table.
        table: Arc<dyn VirtualTable>,
        /// Its name in the statement.
        alias: String,
        /// (column, slot).
        columns: Vec<(usize, usize)>,
        /// Kept rows.
        filter: Vec<Expr>,
    },
    /// Functions that return sets.
    Function {
        /// Which: side by side.
        calls: Vec<SetCall>,
        /// Where the row's number goes.
        ordinality: Option<usize>,
        /// Its name in the statement.
        alias: String,
        /// Kept rows.
        filter: Vec<Expr>,
    },
    /// A query in FROM.
    Derived {
        /// Its operators.
        plan: Box<Plan>,
        /// (output, slot).
        columns: Vec<(usize, usize)>,
        /// It reads the row it is joined to.
        lateral: bool,
        /// Its name in the statement.
        alias: String,
        /// Kept rows.
        filter: Vec<Expr>,
    },
    /// Keeps rows.
    Filter {
        /// Rows.
        input: Box<Node>,
        /// All must hold.
        predicate: Vec<Expr>,
    },
    /// Runs the right side for every row of the left, which it may read.
    Loop {
        /// Left.
        left: Box<Node>,
        /// Right.
        right: Box<Node>,
        /// Inner or Left.
        kind: JoinKind,
        /// The most rows the right side gives, by guess.
        rows: f64,
    },
    /// Hashes the right side once.
    Hash {
        /// Left.
        left: Box<Node>,
        /// Right.
        right: Box<Node>,
        /// Which.
        kind: JoinKind,
        /// Equal pairs. None: every pair.
        keys: Vec<(Expr, Expr)>,
        /// What else must hold.
        on: Vec<Expr>,
        /// The slots that the right side fills.
        right_slots: Vec<usize>,
    },
    /// GROUP BY and aggregates.
    Aggregate {
        /// Rows.
        input: Box<Node>,
        /// Keys; none at all: one group, also of no rows.
        keys: Vec<Expr>,
        /// Aggregates.
        aggregates: Vec<AggregateCall>,
    },
    /// Window functions.
    Window {
        /// Rows.
        input: Box<Node>,
        /// What is computed, in this order; the last one's order is that of the rows.
        windows: Vec<Window>,
    },
    /// From the flat row to outputs.
    Project {
        /// Rows.
        input: Box<Node>,
        /// Outputs.
        exprs: Vec<Expr>,
        /// The width of the input's rows.
        input_width: usize,
    },
    /// ORDER BY.
    Sort {
        /// Rows.
        input: Box<Node>,
        /// By what.
        keys: Vec<SortKey>,
        /// Only so many are asked for (LIMIT, OFFSET).
        top: Option<(Expr, Option<Expr>)>,
    },
    /// Keeps the first of equal rows.
    Distinct {
        /// Rows.
        input: Box<Node>,
        /// Equal in these.
        on: Vec<usize>,
    },
    /// LIMIT, OFFSET.
    Limit {
        /// Rows.
        input: Box<Node>,
        /// At most.
        limit: Option<Expr>,
        /// Without the first.
        offset: Option<Expr>,
    },
    /// VALUES.
    Values {
        /// Rows.
        rows: Vec<Vec<Expr>>,
    },
    /// UNION, INTERSECT, EXCEPT.
    Set {
        /// Which.
        op: SetOp,
        /// Duplicates count.
        all: bool,
        /// First.
        left: Box<Plan>,
        /// Second.
        right: Box<Plan>,
        /// Casts of the left's rows; empty if none.
        left_casts: Vec<Expr>,
        /// Casts of the right's rows; empty if none.
        right_casts: Vec<Expr>,
    },
    /// WITH RECURSIVE.
    Recursive {
        /// Names its rounds.
        id: usize,
        /// Its name in the statement.
        name: String,
        /// Duplicates count.
        all: bool,
        /// The first round.
        base: Box<Plan>,
        /// Every other.
        step: Box<Plan>,
        /// Casts of the step's rows; empty if none.
        step_casts: Vec<Expr>,
    },
    /// The last round of the recursive query that it stands in.
    Working {
        /// Of [`Node::Recursive`].
        id: usize,
        /// Its name in the statement.
        alias: String,
        /// (output, slot).
        columns: Vec<(usize, usize)>,
        /// Kept rows.
        filter: Vec<Expr>,
    },
    /// FOR UPDATE: (table, column with the row's key).
    Lock {
        /// Rows.
        input: Box<Node>,
        /// What is locked.
        locks: Vec<(Arc<Table>, usize)>,
    },
    /// Drops hidden outputs.
    Trim {
        /// Rows.
        input: Box<Node>,
        /// The width of the input's rows.
        input_width: usize,
        /// What is left.
        width: usize,
    },
}

/// Reading a table.
#[derive(Debug)]
pub struct Scan {
    /// The table.
    pub table: Arc<Table>,
    /// Its name in the statement.
    pub alias: String,
    /// None: by primary key.
    pub index: Option<IndexId>,
    /// Where to look. No prefix and no bounds: everywhere.
    pub range: RangeSpec,
    /// Downwards.
    pub reverse: bool,
    /// (slot in the stored row, slot in the flat row, type of a delta column, to be checked).
    pub columns: Vec<(usize, usize, Option<DataType>)>,
    /// Where the encoded primary key goes.
    pub key_slot: Option<usize>,
    /// Kept rows.
    pub filter: Vec<Expr>,
    /// What the range was made of, for EXPLAIN.
    pub conditions: Vec<Expr>,
    /// How many rows, by guess.
    pub rows: f64,
}

/// A range, or several, of a key.
#[derive(Debug, Default, Clone)]
pub struct RangeSpec {
    /// Values of the first columns.
    pub prefix: Vec<KeyPart>,
    /// Of the next column: (value, included).
    pub lower: Option<(Expr, bool)>,
    /// Of the next column: (value, included).
    pub upper: Option<(Expr, bool)>,
}

/// What one column of a key equals.
#[derive(Debug, Clone)]
pub enum KeyPart {
    /// A value. NULL finds nothing.
    One(Expr),
    /// Any of these.
    List(Vec<Expr>),
    /// Any of an array's.
    Array(Expr),
    /// NULL (IS NULL).
    Null,
}

impl Scan {
    /// Whether it looks up single rows by their whole primary key.
    pub fn is_point(&self) -> bool {
        self.index.is_none()
            && !self.range.prefix.is_empty()
            && self.table.primary().is_some_and(|p| p.columns.len() == self.range.prefix.len())
    }
}
