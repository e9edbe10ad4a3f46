//! Scalar expressions: bound trees, evaluated over one row.
//!
//! The planner turns the parser's names into an [`Expr`] through [`Builder`], which resolves functions and operators
//! by PostgreSQL's overload and coercion rules, inserts the casts, gives untyped parameters their types, and folds
//! constants. After that nothing is looked up by name: a call holds a pointer to its function, a column is a slot,
//! every node knows its type.
//!
//! ```text
//!   text ─ parser ─► AST ─ planner, Builder ─► Expr ─ eval(row, context) ─► Value
//! ```
//!
//! Invariants: the value of a node is NULL or of the node's type; evaluation is a pure function of row, context and
//! environment; AND, OR, CASE, COALESCE evaluate left to right and stop early, as PostgreSQL does for what it does
//! not fold. A `char(n)` value is kept without its padding: it is padded when it is printed or sent.
//!
//! What it does not do: aggregates and window functions are not expressions (see [`aggregate`], [`window`]; the binder
//! replaces them by columns), set-returning functions are plan nodes.

pub mod aggregate;
pub mod binary;
pub mod build;
pub mod cast;
pub mod context;
pub mod datetime;
pub mod elements;
pub mod eval;
pub mod function;
pub mod functions;
mod md5;
pub mod numeric;
pub mod resolve;
#[cfg(test)]
mod tests;
pub mod text;
pub mod types;
pub mod window;

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Value};

pub use build::Builder;
pub use cast::{CastKind, cast};
pub use context::{Constant, Environment, EvalContext, Outer, SessionInfo};
pub use datetime::TimeZone;
pub use function::{Function, Resolved, Volatility, common_type, resolve_function, resolve_operator};

/// A bound expression with its type.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// The type of its value.
    pub ty: DataType,
}

/// The six comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum CompareOp {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// What is asked of a subquery.
#[derive(Clone, Debug)]
pub enum SubqueryTest {
    /// EXISTS (subquery).
    Exists,
    /// A scalar subquery: its one value, NULL without a row, 21000 with several.
    Scalar,
    /// ARRAY(subquery).
    Array,
    /// `left op ANY (subquery)`, `left op ALL (subquery)`. IN is `= ANY`, NOT IN is `<> ALL`. Several columns compare as rows
    /// (only Eq and NotEq). The left sides are cast to the subquery's column types by the planner.
    Quantified {
        /// The left sides.
        left: Vec<Expr>,
        /// The comparison.
        op: CompareOp,
        /// ALL rather than ANY.
        all: bool,
    },
}

/// The kinds of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A constant.
    Const(Value),
    /// A slot of the row.
    Column(usize),
    /// A slot of the row of an enclosing query; depth 1 is the nearest.
    Outer {
        /// Levels up, from 1.
        depth: usize,
        /// Its slot.
        slot: usize,
    },
    /// A parameter, counted from 0.
    Param(usize),
    /// A function or an operator that is not a comparison.
    Call {
        /// What is called.
        function: &'static Function,
        /// Already cast to the function's argument types.
        args: Vec<Expr>,
    },
    /// A comparison of two values of one type (or two integer types).
    Compare {
        /// The operator.
        op: CompareOp,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
    },
    /// True if all are.
    And(Vec<Expr>),
    /// True if any is.
    Or(Vec<Expr>),
    /// NOT.
    Not(Box<Expr>),
    /// `IS [NOT] NULL`.
    IsNull {
        /// Tested.
        arg: Box<Expr>,
        /// IS NOT NULL.
        negated: bool,
    },
    /// `IS [NOT] TRUE`, FALSE, UNKNOWN (None).
    IsBool {
        /// Tested.
        arg: Box<Expr>,
        /// What for.
        truth: Option<bool>,
        /// IS NOT.
        negated: bool,
    },
    /// `IS [NOT] DISTINCT FROM`.
    IsDistinct {
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
        /// IS NOT DISTINCT FROM.
        negated: bool,
    },
    /// CASE WHEN. (A simple CASE is bound to comparisons with its operand.)
    Case {
        /// (condition, result).
        branches: Vec<(Expr, Expr)>,
        /// ELSE.
        otherwise: Option<Box<Expr>>,
    },
    /// `[NOT] IN` (list).
    InList {
        /// Left.
        arg: Box<Expr>,
        /// The list, of the left's type.
        list: Vec<Expr>,
        /// NOT IN.
        negated: bool,
    },
    /// `[NOT] BETWEEN`.
    Between {
        /// Tested.
        arg: Box<Expr>,
        /// At least.
        low: Box<Expr>,
        /// At most.
        high: Box<Expr>,
        /// NOT BETWEEN.
        negated: bool,
    },
    /// `[NOT] LIKE`, ILIKE.
    Like {
        /// Tested.
        arg: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// ESCAPE; backslash if None.
        escape: Option<Box<Expr>>,
        /// ILIKE.
        insensitive: bool,
        /// NOT.
        negated: bool,
    },
    /// COALESCE.
    Coalesce(Vec<Expr>),
    /// NULLIF.
    NullIf(Box<Expr>, Box<Expr>),
    /// GREATEST.
    Greatest(Vec<Expr>),
    /// LEAST.
    Least(Vec<Expr>),
    /// A cast to the node's type.
    Cast {
        /// What is cast.
        arg: Box<Expr>,
        /// How it came about.
        kind: CastKind,
    },
    /// ARRAY[…].
    Array(Vec<Expr>),
    /// `a[i]`, counted from 1.
    Index {
        /// The array.
        array: Box<Expr>,
        /// The subscript.
        index: Box<Expr>,
    },
    /// `left op ANY (array)`, `left op ALL (array)`.
    Quantified {
        /// Left.
        left: Box<Expr>,
        /// The comparison.
        op: CompareOp,
        /// The array.
        array: Box<Expr>,
        /// ALL rather than ANY.
        all: bool,
    },
    /// A subquery, run by the environment.
    Subquery {
        /// The planner's name for it.
        id: usize,
        /// What is asked of it.
        test: Arc<SubqueryTest>,
    },
}

impl CompareOp {
    /// The operator's spelling.
    pub fn symbol(self) -> &'static str {
        match self {
            CompareOp::Eq => "=",
            CompareOp::NotEq => "<>",
            CompareOp::Lt => "<",
            CompareOp::LtEq => "<=",
            CompareOp::Gt => ">",
            CompareOp::GtEq => ">=",
        }
    }

    /// By its spelling.
    pub fn from_symbol(symbol: &str) -> Option<CompareOp> {
        Some(match symbol {
            "=" => CompareOp::Eq,
            "<>" | "!=" => CompareOp::NotEq,
            "<" => CompareOp::Lt,
            "<=" => CompareOp::LtEq,
            ">" => CompareOp::Gt,
            ">=" => CompareOp::GtEq,
            _ => return None,
        })
    }

    /// `a op b` is `b op.commuted() a`.
    pub fn commuted(self) -> CompareOp {
        match self {
            CompareOp::Lt => CompareOp::Gt,
            CompareOp::LtEq => CompareOp::GtEq,
            CompareOp::Gt => CompareOp::Lt,
            CompareOp::GtEq => CompareOp::LtEq,
            same => same,
        }
    }

    /// `NOT (a op b)` is `a op.negated() b`.
    pub fn negated(self) -> CompareOp {
        match self {
            CompareOp::Eq => CompareOp::NotEq,
            CompareOp::NotEq => CompareOp::Eq,
            CompareOp::Lt => CompareOp::GtEq,
            CompareOp::LtEq => CompareOp::Gt,
            CompareOp::Gt => CompareOp::LtEq,
            CompareOp::GtEq => CompareOp::Lt,
        }
    }

    /// Whether an ordering satisfies it.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            CompareOp::Eq => ordering.is_eq(),
            CompareOp::NotEq => ordering.is_ne(),
            CompareOp::Lt => ordering.is_lt(),
            CompareOp::LtEq => ordering.is_le(),
            CompareOp::Gt => ordering.is_gt(),
            CompareOp::GtEq => ordering.is_ge(),
        }
    }
}

impl Expr {
    /// A node.
    pub fn new(kind: ExprKind, ty: DataType) -> Expr {
        Expr { kind, ty }
    }

    /// A constant.
    pub fn constant(value: Value, ty: DataType) -> Expr {
        Expr::new(ExprKind::Const(value), ty)
    }

    /// A slot of the row.
    pub fn column(slot: usize, ty: DataType) -> Expr {
        Expr::new(ExprKind::Column(slot), ty)
    }

    /// The constant's value, if it is one.
    pub fn as_const(&self) -> Option<&Value> {
        match &self.kind {
            ExprKind::Const(value) => Some(value),
            _ => None,
        }
    }

    /// The direct children, in order of evaluation.
    pub fn children(&self) -> Vec<&Expr> {
        use ExprKind::*;
        match &self.kind {
            Const(_) | Column(_) | Outer { .. } | Param(_) => Vec::new(),
            Call { args, .. } => args.iter().collect(),
            And(list) | Or(list) | Coalesce(list) | Greatest(list) | Least(list) | Array(list) => {
                list.iter().collect()
            }
            Not(arg) | IsNull { arg, .. } | IsBool { arg, .. } | Cast { arg, .. } => vec![arg],
            Compare { left, right, .. } | IsDistinct { left, right, .. } | NullIf(left, right) => {
                vec![left, right]
            }
            Index { array, index } => vec![array, index],
            Quantified { left, array, .. } => vec![left, array],
            Case { branches, otherwise } => {
                branches.iter().flat_map(|(c, r)| [c, r]).chain(otherwise.as_deref()).collect()
            }
            InList { arg, list, .. } => std::iter::once(&**arg).chain(list).collect(),
            Between { arg, low, high, .. } => vec![arg, low, high],
            Like { arg, pattern, escape, .. } => {
                [&**arg, &**pattern].into_iter().chain(escape.as_deref()).collect()
            }
            Subquery { test, .. } => match &**test {
                SubqueryTest::Quantified { left, .. } => left.iter().collect(),
                _ => Vec::new(),
            },
        }
    }

    /// The direct children, to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        use ExprKind::*;
        match &mut self.kind {
            Const(_) | Column(_) | Outer { .. } | Param(_) => Vec::new(),
            Call { args, .. } => args.iter_mut().collect(),
            And(list) | Or(list) | Coalesce(list) | Greatest(list) | Least(list) | Array(list) => {
                list.iter_mut().collect()
            }
            Not(arg) | IsNull { arg, .. } | IsBool { arg, .. } | Cast { arg, .. } => vec![arg],
            Compare { left, right, .. } | IsDistinct { left, right, .. } | NullIf(left, right) => {
                vec![left, right]
            }
            Index { array, index } => vec![array, index],
            Quantified { left, array, .. } => vec![left, array],
            Case { branches, otherwise } => {
                branches.iter_mut().flat_map(|(c, r)| [c, r]).chain(otherwise.as_deref_mut()).collect()
            }
            InList { arg, list, .. } => std::iter::once(&mut **arg).chain(list).collect(),
            Between { arg, low, high, .. } => vec![arg, low, high],
            Like { arg, pattern, escape, .. } => {
                [&mut **arg, &mut **pattern].into_iter().chain(escape.as_deref_mut()).collect()
            }
            Subquery { test, .. } => match Arc::make_mut(test) {
                SubqueryTest::Quantified { left, .. } => left.iter_mut().collect(),
                _ => Vec::new(),
            },
        }
    }

    /// Visits this node and all below it, parents first. Does not look into subqueries' plans.
    pub fn visit<'e>(&'e self, f: &mut dyn FnMut(&'e Expr)) {
        f(self);
        for child in self.children() {
            child.visit(f);
        }
    }

    /// Changes every node, children first.
    pub fn transform(&mut self, f: &mut dyn FnMut(&mut Expr)) {
        for child in self.children_mut() {
            child.transform(f);
        }
        f(self);
    }

    /// The slots of the row it reads, sorted, each once. (What a subquery reads of this row is the planner's to add.)
    pub fn columns(&self) -> Vec<usize> {
        let mut slots = Vec::new();
        self.visit(&mut |e| {
            if let ExprKind::Column(slot) = e.kind {
                slots.push(slot);
            }
        });
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Moves every slot of the row: for a row that is put together from several.
    pub fn map_columns(&mut self, f: &dyn Fn(usize) -> usize) {
        self.transform(&mut |e| {
            if let ExprKind::Column(slot) = &mut e.kind {
                *slot = f(*slot);
            }
        });
    }

    /// Whether it contains a subquery.
    pub fn has_subquery(&self) -> bool {
        let mut found = false;
        self.visit(&mut |e| found |= matches!(e.kind, ExprKind::Subquery { .. }));
        found
    }

    /// The least stable part: immutable (a constant if its inputs are), stable (fixed within a statement; parameters and
    /// outer rows count as such) or volatile. Columns do not matter; subqueries count as stable.
    pub fn volatility(&self) -> Volatility {
        let mut worst = Volatility::Immutable;
        self.visit(&mut |e| {
            let own = match &e.kind {
                ExprKind::Call { function, .. } => function.volatility,
                ExprKind::Cast { arg, .. } => cast::volatility(&arg.ty, &e.ty),
                ExprKind::Param(_) | ExprKind::Outer { .. } | ExprKind::Subquery { .. } => Volatility::Stable,
                _ => Volatility::Immutable,
            };
            worst = worst.max(own);
        });
        worst
    }

    /// Conjuncts: `a AND (b AND c)` as [a, b, c].
    pub fn conjuncts(self) -> Vec<Expr> {
        match self.kind {
            ExprKind::And(list) => list.into_iter().flat_map(Expr::conjuncts).collect(),
            _ => vec![self],
        }
    }

    /// The conjunction; true if empty.
    pub fn and(mut list: Vec<Expr>) -> Expr {
        match list.len() {
            0 => Expr::constant(Value::Bool(true), DataType::Bool),
            1 => list.remove(0),
            _ => Expr::new(ExprKind::And(list), DataType::Bool),
        }
    }
}

/// Structural equality: the same tree of the same types (constants by their bytes). GROUP BY and ORDER BY match by it.
impl PartialEq for Expr {
    fn eq(&self, other: &Expr) -> bool {
        use ExprKind::*;
        if self.ty != other.ty || std::mem::discriminant(&self.kind) != std::mem::discriminant(&other.kind) {
            return false;
        }
        let same = match (&self.kind, &other.kind) {
            (Const(a), Const(b)) => a == b,
            (Column(a), Column(b)) | (Param(a), Param(b)) => a == b,
            (Outer { depth: a, slot: b }, Outer { depth: c, slot: d }) => (a, b) == (c, d),
            (Call { function: a, .. }, Call { function: b, .. }) => std::ptr::eq(*a, *b),
            (Compare { op: a, .. }, Compare { op: b, .. }) => a == b,
            (Quantified { op: a, all: c, .. }, Quantified { op: b, all: d, .. }) => (a, c) == (b, d),
            (IsBool { truth: a, negated: c, .. }, IsBool { truth: b, negated: d, .. }) => (a, c) == (b, d),
            (IsNull { negated: a, .. }, IsNull { negated: b, .. })
            | (IsDistinct { negated: a, .. }, IsDistinct { negated: b, .. })
            | (InList { negated: a, .. }, InList { negated: b, .. })
            | (Between { negated: a, .. }, Between { negated: b, .. }) => a == b,
            (Like { insensitive: a, negated: c, .. }, Like { insensitive: b, negated: d, .. }) => {
                (a, c) == (b, d)
            }
            (Case { branches: a, .. }, Case { branches: b, .. }) => a.len() == b.len(),
            (Subquery { id: a, .. }, Subquery { id: b, .. }) => a == b,
            (Cast { kind: a, .. }, Cast { kind: b, .. }) => a == b,
            _ => true,
        };
        same && self.children() == other.children()
    }
}
