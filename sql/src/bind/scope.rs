//! Blocks and the names that are visible in them.

use std::collections::BTreeMap;

use gemini_shadow_ops::DataType;
use sqlparser::ast::Ident;

use super::window::Spec;
use super::{AggregateCall, Binder, From, Source, SourceColumn, SourceKind, Window};
use crate::error::{Result, SqlError};
use crate::expr::{Expr, ExprKind};
use crate::parse;
use crate::sqlstate;

/// A query block being bound.
#[derive(Debug)]
pub(crate) struct Block {
    /// Names it among all blocks of the statement.
    pub id: usize,
    /// Slots given so far.
    pub width: usize,
    pub sources: Vec<Source>,
    pub from: Vec<From>,
    /// What unqualified names and `*` see, in order.
    pub visible: Vec<Visible>,
    pub aggregates: Vec<AggregateCall>,
    pub windows: Vec<Window>,
    /// WINDOW.
    pub named_windows: Vec<(String, Spec)>,
    /// Set while the SELECT list or ORDER BY is bound.
    pub windows_allowed: bool,
    /// The clause being bound, if window functions are not allowed in it and aggregates are.
    pub clause: Option<&'static str>,
    /// Set while a window function's arguments or window are bound: why there must be none in them.
    pub in_window: Option<&'static str>,
    /// Where each slot was last named outside of an aggregate.
    pub named_at: BTreeMap<usize, u32>,
    /// Set while a FROM subquery is bound that must not see this block.
    pub hidden: bool,
    /// Set while an aggregate's arguments are bound.
    pub in_aggregate: bool,
    /// Set while the SELECT list is bound: set-returning functions may stand there.
    pub in_list: bool,
    /// The source of the set-returning functions in the SELECT list.
    pub sets: Option<usize>,
    /// The clause being bound, if aggregates are not allowed in it.
    pub no_aggregates: Option<&'static str>,
    /// Sources that qualified names may use: LATERAL and ON see fewer than all.
    pub named: Vec<usize>,
}

/// A column as unqualified names and `*` see it.
#[derive(Clone, Debug)]
pub(crate) struct Visible {
    pub name: String,
    pub what: What,
    /// Not part of `*`.
    pub hidden: bool,
}

/// Where a visible column comes from.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A source's column.
    Column { source: usize, column: usize },
    /// Merged by USING: the expression over the block's row.
    Merged(Expr),
}

impl Block {
    pub fn new(id: usize) -> Block {
        Block {
            id,
            width: 0,
            sources: Vec::new(),
            from: Vec::new(),
            visible: Vec::new(),
            aggregates: Vec::new(),
            windows: Vec::new(),
            named_windows: Vec::new(),
            windows_allowed: false,
            clause: None,
            in_window: None,
            named_at: BTreeMap::new(),
            hidden: false,
            in_aggregate: false,
            in_list: false,
            sets: None,
            no_aggregates: None,
            named: Vec::new(),
        }
    }

    /// A fresh slot.
    pub fn slot(&mut self) -> usize {
        self.width += 1;
        self.width - 1
    }

    /// The slot of a source's column, given at its first use.
    pub fn column_slot(&mut self, source: usize, column: usize) -> (usize, DataType) {
        let width = self.width;
        let column = &mut self.sources[source].columns[column];
        let slot = *column.slot.get_or_insert(width);
        let ty = column.ty.clone();
        if slot == width {
            self.width += 1;
        }
        (slot, ty)
    }

    /// The slot that holds a table source's encoded primary key.
    pub fn key_slot(&mut self, source: usize) -> usize {
        match self.sources[source].key_slot {
            Some(slot) => slot,
            None => {
                let slot = self.slot();
                self.sources[source].key_slot = Some(slot);
                slot
            }
        }
    }

    /// Adds a source; its columns become visible by the caller.
    pub fn add(&mut self, kind: SourceKind, alias: String, columns: Vec<SourceColumn>) -> usize {
        self.sources.push(Source { kind, alias, columns, key_slot: None });
        self.sources.len() - 1
    }

    /// A source's columns as visible ones.
    pub fn visible_of(&self, source: usize) -> Vec<Visible> {
        self.sources[source]
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| Visible {
                name: c.name.clone(),
                what: What::Column { source, column: i },
                hidden: c.hidden,
            })
            .collect()
    }

    /// A visible column as an expression over the block's row.
    pub fn expr(&mut self, what: &What) -> Expr {
        match what {
            What::Column { source, column } => {
                let (slot, ty) = self.column_slot(*source, *column);
                Expr::column(slot, ty)
            }
            What::Merged(expr) => expr.clone(),
        }
    }

    /// A named source by its alias.
    fn source_by_alias(&self, alias: &str) -> Option<usize> {
        self.named.iter().copied().find(|&s| self.sources[s].alias == alias)
    }
}

impl Binder<'_> {
    /// An unqualified column name.
    pub(super) fn column(&mut self, ident: &Ident) -> Result<Expr> {
        let name = parse::ident(ident);
        match self.find_column(ident, &name)? {
            Some(expr) => Ok(expr),
            None => {
                if let Some(expr) = self.whole_row(&name) {
                    return expr;
                }
                let top = self.blocks.len() - 1;
                let mut sources = self.blocks[top].named.iter().copied();
                if let Some(expr) = sources.find_map(|source| self.table_oid(&name, top, source)) {
                    return Ok(expr);
                }
                Err(self.located(
                    SqlError::new(sqlstate::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")),
                    ident.span,
                ))
            }
        }
    }

    /// An unqualified column name, None if nothing is called so.
    pub(super) fn find_column(&mut self, ident: &Ident, name: &str) -> Result<Option<Expr>> {
        for level in (0..self.blocks.len()).rev() {
            let block = &self.blocks[level];
            if block.hidden {
                continue;
            }
            let mut found: Option<&What> = None;
            for visible in block.visible.iter().filter(|v| v.name == name) {
                if found.is_some() {
                    return Err(self.located(
                        SqlError::new(
                            sqlstate::AMBIGUOUS_COLUMN,
                            format!("column reference \"{name}\" is ambiguous"),
                        ),
                        ident.span,
                    ));
                }
                found = Some(&visible.what);
            }
            if let Some(what) = found.cloned() {
                return Ok(Some(self.reference(level, &what, ident)));
            }
        }
        Ok(None)
    }

    /// `alias.column` (or `schema.table.column`, by its last two parts).
    pub(super) fn qualified(&mut self, parts: &[Ident]) -> Result<Expr> {
        let [.., qualifier, column] = parts else {
            return Err(SqlError::internal("a qualified name of one part"));
        };
        let alias = parse::ident(qualifier);
        let name = parse::ident(column);
        for level in (0..self.blocks.len()).rev() {
            if self.blocks[level].hidden {
                continue;
            }
            let Some(source) = self.blocks[level].source_by_alias(&alias) else { continue };
            let found = self.blocks[level].sources[source].columns.iter().position(|c| c.name == name);
            let Some(index) = found else {
                if let Some(expr) = self.table_oid(&name, level, source) {
                    return Ok(expr);
                }
                return Err(self.located(
                    SqlError::new(
                        sqlstate::UNDEFINED_COLUMN,
                        format!("column {alias}.{name} does not exist"),
                    ),
                    qualifier.span,
                ));
            };
            return Ok(self.reference(level, &What::Column { source, column: index }, qualifier));
        }
        Err(self.no_alias(&alias, qualifier))
    }

    /// The system column `tableoid`: the same for every row of a table, as there is no inheritance.
    fn table_oid(&self, name: &str, level: usize, source: usize) -> Option<Expr> {
        let oid = match &self.blocks[level].sources[source].kind {
            SourceKind::Table(table) => crate::catalog::table_oid(table.id),
            SourceKind::Virtual(table) => table.oid(),
            _ => return None,
        };
        (name == "tableoid").then(|| Expr::constant(gemini_shadow_ops::Value::Oid(oid), DataType::Oid))
    }

    /// 42P01 for a qualifier.
    pub(super) fn no_alias(&self, alias: &str, ident: &Ident) -> SqlError {
        let elsewhere = self.blocks.iter().rev().any(|b| b.sources.iter().any(|s| s.alias == alias));
        let renamed = self.blocks.iter().rev().flat_map(|b| &b.named).next().is_some().then(|| {
            self.blocks.iter().rev().filter(|b| !b.hidden).find_map(|b| {
                b.named.iter().map(|s| &b.sources[*s]).find(|s| match &s.kind {
                    SourceKind::Table(table) => table.name == alias,
                    SourceKind::Virtual(table) => table.name() == alias,
                    _ => false,
                })
            })
        });
        let error = if let Some(Some(source)) = renamed {
            SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("invalid reference to FROM-clause entry for table \"{alias}\""),
            )
            .hint(format!("Perhaps you meant to reference the table alias \"{}\".", source.alias))
        } else if elsewhere {
            SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("invalid reference to FROM-clause entry for table \"{alias}\""),
            )
            .hint(format!(
                "There is an entry for table \"{alias}\", but it cannot be referenced from this part of the query."
            ))
        } else {
            SqlError::new(
                sqlstate::UNDEFINED_TABLE,
                format!("missing FROM-clause entry for table \"{alias}\""),
            )
        };
        self.located(error, ident.span)
    }

    /// A source by its alias in the innermost block that has it.
    pub(super) fn alias(&self, alias: &str) -> Option<usize> {
        self.blocks.last()?.source_by_alias(alias)
    }

    /// A column of the block at `level`, as seen from the innermost block.
    fn reference(&mut self, level: usize, what: &What, ident: &Ident) -> Expr {
        let place = self.place(ident.span);
        let top = self.blocks.len() - 1;
        let expr = self.blocks[level].expr(what);
        if level == top {
            let block = &mut self.blocks[level];
            if !block.in_aggregate {
                for slot in expr.columns() {
                    block.named_at.insert(slot, place.unwrap_or(0));
                }
            }
            return expr;
        }
        let depth = self.blocks[level + 1..].iter().filter(|b| !b.hidden).count();
        let block = self.blocks[level].id;
        for frame in self.frames.iter_mut().filter(|f| f.base > level) {
            frame.correlated = true;
            frame.reads.extend(expr.columns().into_iter().map(|slot| (block, slot)));
        }
        let mut expr = expr;
        expr.transform(&mut |e| {
            if let ExprKind::Column(slot) = e.kind {
                e.kind = ExprKind::Outer { depth, slot };
            }
        });
        expr
    }

    /// A table's name used as a value (`count(t)`, `t IS NULL`): only a single-column source has a plain meaning.
    fn whole_row(&mut self, name: &str) -> Option<Result<Expr>> {
        let source = self.alias(name)?;
        let block = self.block();
        let columns = &block.sources[source].columns;
        if columns.len() == 1 {
            let expr = block.expr(&What::Column { source, column: 0 });
            return Some(Ok(expr));
        }
        Some(Err(SqlError::unsupported(format!("the whole-row value \"{name}\""), "Name the columns.")))
    }
}
