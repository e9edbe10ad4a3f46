//! Window functions: which there are, and what they take and give.
//!
//! Every aggregate is one too. What a function computes from its frame is the executor's ([`crate::exec`]).

use gemini_shadow_ops::DataType;

use super::aggregate::{Aggregate, is_aggregate, resolve_aggregate};
use super::function::common_type;
use crate::error::Result;

/// A resolved window function.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowFunction {
    /// An aggregate over the frame.
    Aggregate(Aggregate),
    /// The row's number in its partition, from 1.
    RowNumber,
    /// The number of the first of the row's peers.
    Rank,
    /// The number of the row's peer group.
    DenseRank,
    /// (rank - 1) / (rows - 1).
    PercentRank,
    /// The share of rows up to the row's last peer.
    CumeDist,
    /// Which of n parts, as equal as can be, the row is in.
    Ntile,
    /// The value so many rows before.
    Lag,
    /// The value so many rows after.
    Lead,
    /// The value of the frame's first row.
    FirstValue,
    /// The value of the frame's last row.
    LastValue,
    /// The value of the frame's n-th row.
    NthValue,
}

/// A window function with the types its arguments must be cast to.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedWindow {
    /// What is computed.
    pub function: WindowFunction,
    /// The type each argument must be cast to.
    pub args: Vec<DataType>,
    /// The result's type.
    pub ty: DataType,
}

const NAMES: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// The names of those that are not aggregates: for the catalogue (pg_proc).
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// Whether a name is that of a function that needs a window.
pub fn is_window_only(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether OVER may follow.
pub fn is_window(name: &str) -> bool {
    is_window_only(name) || is_aggregate(name)
}

/// Resolves a window function by its arguments' types; no arguments is `count(*)`, `rank()`.
pub fn resolve_window(name: &str, args: &[DataType]) -> Result<ResolvedWindow> {
    use DataType as T;
    use WindowFunction as W;
    if is_aggregate(name) {
        let aggregate = resolve_aggregate(name, args)?;
        let (args, ty) = (aggregate.args.clone(), aggregate.ty.clone());
        return Ok(ResolvedWindow { function: W::Aggregate(aggregate), args, ty });
    }
    let made = |function, args: Vec<DataType>, ty| Ok(ResolvedWindow { function, args, ty });
    match (name, args) {
        ("row_number", []) => made(W::RowNumber, Vec::new(), T::Int8),
        ("rank", []) => made(W::Rank, Vec::new(), T::Int8),
        ("dense_rank", []) => made(W::DenseRank, Vec::new(), T::Int8),
        ("percent_rank", []) => made(W::PercentRank, Vec::new(), T::Float8),
        ("cume_dist", []) => made(W::CumeDist, Vec::new(), T::Float8),
        ("ntile", [_]) => made(W::Ntile, vec![T::Int4], T::Int4),
        ("first_value", [ty]) => made(W::FirstValue, vec![known(ty)], known(ty)),
        ("last_value", [ty]) => made(W::LastValue, vec![known(ty)], known(ty)),
        ("nth_value", [ty, _]) => made(W::NthValue, vec![known(ty), T::Int4], known(ty)),
        ("lag" | "lead", [value, rest @ ..]) if rest.len() <= 2 => {
            let function = if name == "lag" { W::Lag } else { W::Lead };
            let ty = match rest {
                [_, default] => common_type(name, &[value.clone(), default.clone()])?,
                _ => known(value),
            };
            let types = [ty.clone(), T::Int4, ty.clone()];
            made(function, types[..args.len()].to_vec(), ty)
        }
        _ => Err(super::resolve::no_function(name, args)),
    }
}

fn known(ty: &DataType) -> DataType {
    if *ty == DataType::Unknown { DataType::Text } else { ty.clone() }
}
