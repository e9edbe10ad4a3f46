//! The functions and operators, by kind. Each file has its tables beside what they point to.

use super::function::Function;

pub mod arith;
pub mod array;
pub mod compare;
pub mod format;
pub mod math;
pub mod number_format;
pub mod pattern;
pub mod session;
pub mod string;
pub mod time;
pub mod to_char;

/// Every table of functions.
pub(super) static FUNCTIONS: &[&[Function]] = &[
    array::FUNCTIONS,
    format::FUNCTIONS,
    math::FUNCTIONS,
    number_format::FUNCTIONS,
    pattern::FUNCTIONS,
    session::FUNCTIONS,
    string::FUNCTIONS,
    time::FUNCTIONS,
    to_char::FUNCTIONS,
];

/// Every table of operators, comparisons aside.
pub(super) static OPERATORS: &[&[Function]] =
    &[arith::OPERATORS, array::OPERATORS, pattern::OPERATORS, string::OPERATORS, time::OPERATORS];

/// What a function may rely on: resolution has cast its arguments.
pub(super) fn mistyped(call: &super::function::Call<'_>) -> crate::error::SqlError {
    crate::error::SqlError::internal(format!("arguments of {} are not of their declared types", call.name))
}
