//! From text to statements.
//!
//! `sqlparser` tokenizes the text and parses what the planner understands (SELECT, INSERT, UPDATE, DELETE, every
//! expression and type). The shells around it — DDL with Gemini's annotations, transactions, settings, COPY,
//! EXPLAIN, PREPARE — are parsed here, on the same token stream, so that an annotation may stand exactly where
//! PostgreSQL would have a column or table option, and every error names its place in the text.
//!
//! ```text
//!  text ─► tokens (once, with places) ─► cut at `;` ─► each: shell by first word ─► Statement
//!                 │                                        └► sqlparser: expressions, types, DML
//!                 └► limits: length, nesting, length of operator chains
//! ```
//!
//! Invariants: a statement's places count from the start of the whole text, as PostgreSQL's do; unquoted names
//! are folded to lower case here and nowhere else; whatever is not understood is refused with 42601 (the grammar
//! does not have it) or 0A000 (PostgreSQL has it and Gemini does not), the latter with what to use instead.
//! The limits keep the recursive parts below (parser, planner, destructors) within their stacks.
//!
//! It resolves no names and looks at no schema.

mod alter;
mod ast;
mod bound;
mod ddl;
mod shape;
mod shell;
mod tokens;
mod types;

pub use ast::{
    AlterAction, Annotations, Begin, Body, ColumnDefinition, ConstraintDefinition, ConstraintKind,
    CopyDirection, CopyFormat, CopySource, CopyStatement, CreateIndex, CreateTable, Ddl, DropKind, Explain,
    IdentityOptions, IndexKey, Isolation, Name, Prepare, References, Scope, SequenceOptions, SetValue,
    Statement, TransactionModes,
};
pub use bound::bounds_of;
pub use shape::shape;
pub use tokens::{LIMITS, Limits, position};
pub use types::{data_type, fold, ident, object_name};

use crate::error::SqlError;

/// Parses every statement of a text. An empty text has none.
pub fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    let mut statements = Vec::new();
    for piece in tokens::pieces(text)? {
        statements.push(shell::statement(text, piece)?);
    }
    Ok(statements)
}

/// Parses one expression, as stored for a DEFAULT or CHECK.
pub fn parse_expression(text: &str) -> Result<sqlparser::ast::Expr, SqlError> {
    let pieces = tokens::pieces(text)?;
    let Some(piece) = pieces.into_iter().next() else {
        return Err(tokens::syntax("an expression is expected"));
    };
    let mut parser = tokens::parser(piece.tokens);
    let expression = parser.parse_expr().map_err(|e| tokens::parser_error(text, &e))?;
    tokens::end(&parser, text)?;
    Ok(expression)
}

#[cfg(test)]
mod tests;
