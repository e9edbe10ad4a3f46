//! What a table's declarations make of a row that is written: defaults, generated columns, CHECKs.
//!
//! Their expressions are bound over the table's own row, slot by [`ColumnId`], once per plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, ColumnSet, ReferentialAction, Table, TableId};

use super::scope::Block;
use super::{Binder, SourceKind, assign};
use crate::error::Result;
use crate::expr::Expr;
use crate::parse;
use crate::plan::PlanEnv;

/// A table with its expressions bound.
#[derive(Debug)]
pub struct Program {
    /// The table.
    pub table: Arc<Table>,
    /// DEFAULTs, of columns that do not mint from a sequence. No column is read.
    pub defaults: BTreeMap<ColumnId, Expr>,
    /// GENERATED ALWAYS AS (…) STORED.
    pub generated: Vec<(ColumnId, Expr)>,
    /// (name, condition).
    pub checks: Vec<(String, Expr)>,
    /// lww groups of more than one column.
    pub groups: Vec<ColumnSet>,
}

impl Program {
    /// Binds a table's expressions.
    pub fn new(env: &PlanEnv<'_>, table: &Arc<Table>) -> Result<Program> {
        let mut binder = Binder::new(PlanEnv { text: "", parameter_types: &[], ..*env });
        let mut defaults = BTreeMap::new();
        for column in &table.columns {
            let Some(default) = &column.default else { continue };
            if matches!(column.minting, Some(gemini_shadow_ops::Minting::Sequence(_))) {
                continue;
            }
            let bound = binder.stored(None, &default.sql)?;
            defaults.insert(column.id, assign(&binder.builder, bound, &column.name, &column.ty)?);
        }
        let mut generated = Vec::new();
        for column in &table.columns {
            let Some((sql, _)) = &column.generated else { continue };
            let bound = binder.stored(Some(table), sql)?;
            generated.push((column.id, assign(&binder.builder, bound, &column.name, &column.ty)?));
        }
        let mut checks = Vec::new();
        for check in &table.checks {
            let bound = binder.stored(Some(table), &check.sql)?;
            checks.push((check.name.clone(), binder.builder.condition("CHECK", bound)?));
        }
        Ok(Program { table: table.clone(), defaults, generated, checks, groups: table.groups() })
    }

    /// The programs of a table and of every table that a write of it may cascade to.
    pub fn closure(env: &PlanEnv<'_>, table: &Arc<Table>) -> Result<BTreeMap<TableId, Arc<Program>>> {
        let mut programs = BTreeMap::new();
        let mut open = vec![table.clone()];
        while let Some(table) = open.pop() {
            if programs.contains_key(&table.id) {
                continue;
            }
            programs.insert(table.id, Arc::new(Program::new(env, &table)?));
            for (child, key) in env.schema.references(table.id) {
                let quiet = |a: ReferentialAction| {
                    matches!(a, ReferentialAction::NoAction | ReferentialAction::Restrict)
                };
                if !(quiet(key.on_delete) && quiet(key.on_update)) {
                    open.push(child.clone());
                }
            }
        }
        Ok(programs)
    }
}

impl Binder<'_> {
    /// Binds a stored expression over a table's row; without a table it may name no column.
    pub(super) fn stored(&mut self, table: Option<&Arc<Table>>, sql: &str) -> Result<Expr> {
        let ast = parse::parse_expression(sql)?;
        self.open();
        if let Some(table) = table {
            let block = self.block();
            *block = Block::new(block.id);
            block.width = usize::from(table.slots);
            let mut columns = super::from::table_columns(table);
            for column in &mut columns {
                column.slot = Some(usize::from(column.id.0));
            }
            let source = block.add(SourceKind::Given, table.name.clone(), columns);
            block.visible = block.visible_of(source);
            block.named.push(source);
        }
        self.block().no_aggregates = Some("stored expressions");
        let bound = self.expr(&ast);
        self.close();
        bound
    }
}
