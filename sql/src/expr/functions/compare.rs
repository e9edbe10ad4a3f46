//! The six comparisons for every pair of types that has them.
//!
//! One implementation serves all: [`Value::compare`]. Integers of different widths, floats, and dates with timestamps
//! compare without casts, so that an indexed column stays as it is in the tree.

use std::sync::LazyLock;

use gemini_shadow_ops::Value;

use super::super::CompareOp;
use super::super::function::{Arg, Call, Function, pure};
use crate::error::Result;

static PAIRS: &[[Arg; 2]] = &[
    [Arg::Bool, Arg::Bool],
    [Arg::Int2, Arg::Int2],
    [Arg::Int4, Arg::Int4],
    [Arg::Int8, Arg::Int8],
    [Arg::Int2, Arg::Int4],
    [Arg::Int4, Arg::Int2],
    [Arg::Int2, Arg::Int8],
    [Arg::Int8, Arg::Int2],
    [Arg::Int4, Arg::Int8],
    [Arg::Int8, Arg::Int4],
    [Arg::Float4, Arg::Float4],
    [Arg::Float8, Arg::Float8],
    [Arg::Float4, Arg::Float8],
    [Arg::Float8, Arg::Float4],
    [Arg::Numeric, Arg::Numeric],
    [Arg::Text, Arg::Text],
    [Arg::Bpchar, Arg::Bpchar],
    [Arg::Name, Arg::Name],
    [Arg::Name, Arg::Text],
    [Arg::Text, Arg::Name],
    [Arg::InternalChar, Arg::InternalChar],
    [Arg::Bytea, Arg::Bytea],
    [Arg::Date, Arg::Date],
    [Arg::Timestamp, Arg::Timestamp],
    [Arg::Timestamptz, Arg::Timestamptz],
    [Arg::Date, Arg::Timestamp],
    [Arg::Timestamp, Arg::Date],
    [Arg::Interval, Arg::Interval],
    [Arg::Uuid, Arg::Uuid],
    [Arg::Oid, Arg::Oid],
    [Arg::AnyArray, Arg::AnyArray],
];

fn eval(args: &[Value], call: &Call<'_>) -> Result<Value> {
    let op = CompareOp::from_symbol(call.name).unwrap_or(CompareOp::Eq);
    Ok(Value::Bool(op.holds(args[0].compare(&args[1]))))
}

/// All of them.
pub(in super::super) fn operators() -> &'static [Function] {
    static ALL: LazyLock<Vec<Function>> = LazyLock::new(|| {
        let symbols = ["=", "<>", "<", "<=", ">", ">="];
        let of_pair = |pair: &'static [Arg; 2]| symbols.map(|s| pure(s, pair, Arg::Bool, eval));
        PAIRS.iter().flat_map(of_pair).collect()
    });
    &ALL
}
