//! INSERT, UPDATE, DELETE.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, IndexId, Minting, Table, TableId};
use sqlparser::ast::{self, SetExpr};

use super::expr::unnest;
use super::from::table_columns;
use super::{Binder, From, Program, Query, Select, SourceKind, assign, no_table, user_table};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::parse;
use crate::plan::OutputColumn;
use crate::sqlstate;

/// What a column is given.
#[derive(Clone, Debug)]
pub enum Given {
    /// A value of the column's type.
    Expr(Expr),
    /// DEFAULT.
    Default,
}

/// Where an INSERT's rows come from.
#[derive(Debug)]
pub enum InsertSource {
    /// VALUES, a row each.
    Values(Vec<Vec<Given>>),
    /// A query, with the casts of its outputs.
    Query(Box<Query>, Vec<Expr>),
    /// DEFAULT VALUES.
    Defaults,
}

/// INSERT.
#[derive(Debug)]
pub struct BoundInsert {
    /// Into which table.
    pub table: Arc<Table>,
    /// Its name in the statement.
    pub alias: String,
    /// Rows.
    pub source: InsertSource,
    /// The columns that the rows give, in their order.
    pub columns: Vec<ColumnId>,
    /// ON CONFLICT.
    pub conflict: Option<OnConflict>,
    /// RETURNING, over the flat row.
    pub returning: Vec<Expr>,
    /// Its names and types.
    pub returning_columns: Vec<OutputColumn>,
    /// The flat row of RETURNING and ON CONFLICT.
    pub width: usize,
    /// Where the table's columns go in it.
    pub target: Vec<(ColumnId, usize)>,
    /// Where EXCLUDED's go.
    pub excluded: Vec<(ColumnId, usize)>,
    /// Declarations of every table it may write.
    pub programs: BTreeMap<TableId, Arc<Program>>,
}

/// ON CONFLICT.
#[derive(Debug)]
pub struct OnConflict {
    /// The unique indexes it answers for; None: all.
    pub indexes: Option<Vec<IndexId>>,
    /// What is done.
    pub action: ConflictAction,
}

/// What ON CONFLICT does.
#[derive(Debug)]
pub enum ConflictAction {
    /// DO NOTHING.
    Nothing,
    /// DO UPDATE.
    Update {
        /// SET.
        set: Vec<SetColumn>,
        /// WHERE.
        filter: Vec<Expr>,
    },
}

/// One column of a SET.
#[derive(Clone, Debug)]
pub struct SetColumn {
    /// Which.
    pub column: ColumnId,
    /// To what.
    pub value: Given,
    /// How it is lowered.
    pub kind: SetKind,
    /// lww: computed from the old value (of its group).
    pub computed: bool,
    /// Nothing but adds elements to an array or removes some.
    pub elements: bool,
}

/// How a SET is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// `x = e`.
    Assign,
    /// `x = x ± e` on a delta column.
    Add,
    /// `x = array_append(x, e)` and the like on a set: the value is the list of steps ([`crate::expr::elements`]).
    Elements,
}

/// UPDATE.
#[derive(Debug)]
pub struct BoundUpdate {
    /// The block over the table (source 0) and FROM.
    pub select: Select,
    /// The table.
    pub table: Arc<Table>,
    /// SET.
    pub set: Vec<SetColumn>,
    /// RETURNING.
    pub returning: Vec<Expr>,
    /// Its names and types.
    pub returning_columns: Vec<OutputColumn>,
    /// Declarations of every table it may write.
    pub programs: BTreeMap<TableId, Arc<Program>>,
}

/// DELETE.
#[derive(Debug)]
pub struct BoundDelete {
    /// The block over the table (source 0) and USING.
    pub select: Select,
    /// The table.
    pub table: Arc<Table>,
    /// RETURNING.
    pub returning: Vec<Expr>,
    /// Its names and types.
    pub returning_columns: Vec<OutputColumn>,
    /// Declarations of every table it may write.
    pub programs: BTreeMap<TableId, Arc<Program>>,
}

impl Binder<'_> {
    fn target_table(&self, name: &ast::ObjectName) -> Result<Arc<Table>> {
        let resolved = parse::object_name(self.env.text, name)?;
        if let Some(table) = user_table(&self.env, &resolved) {
            return Ok(table.clone());
        }
        if self.env.virtuals.table(resolved.schema.as_deref(), &resolved.name).is_some() {
            return Err(SqlError::new(
                sqlstate::INSUFFICIENT_PRIVILEGE,
                format!("cannot change the view \"{}\"", resolved.name),
            ));
        }
        Err(no_table(&resolved))
    }

    /// A column of the table that a statement writes.
    pub(super) fn target_column(&self, table: &Table, ident: &ast::Ident) -> Result<ColumnId> {
        let name = parse::ident(ident);
        match table.column_by_name(&name) {
            Some(column) => Ok(column.id),
            None => Err(self.located(
                SqlError::new(
                    sqlstate::UNDEFINED_COLUMN,
                    format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
                ),
                ident.span,
            )),
        }
    }

    /// Opens a block whose source 0 is the table.
    fn open_target(&mut self, table: &Arc<Table>, alias: &str, given: bool) {
        self.open();
        let block = self.block();
        let kind = if given { SourceKind::Given } else { SourceKind::Table(table.clone()) };
        let source = block.add(kind, alias.to_owned(), table_columns(table));
        block.visible = block.visible_of(source);
        block.named.push(source);
        if !given {
            block.from.push(From::Source(source));
            block.key_slot(source);
        }
    }

    fn slots(&mut self, source: usize) -> Vec<(ColumnId, usize)> {
        self.block().sources[source].columns.iter().filter_map(|c| Some((c.id, c.slot?))).collect()
    }

    /// Binds an INSERT.
    pub fn insert(&mut self, insert: &ast::Insert) -> Result<BoundInsert> {
        let ast::TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::unsupported("INSERT into this", "Insert into a table."));
        };
        if insert.overwrite || insert.ignore || insert.replace_into || insert.or.is_some() {
            return Err(SqlError::unsupported("this form of INSERT", "Use ON CONFLICT."));
        }
        let table = self.target_table(name)?;
        let alias = insert.table_alias.as_ref().map_or(table.name.clone(), |a| parse::ident(&a.alias));
        let mut columns = Vec::new();
        for column in &insert.columns {
            let Some(ast::ObjectNamePart::Identifier(ident)) = column.0.last() else { continue };
            let id = self.target_column(&table, ident)?;
            if columns.contains(&id) {
                return Err(self.located(
                    SqlError::new(
                        sqlstate::DUPLICATE_COLUMN,
                        format!("column \"{}\" specified more than once", parse::ident(ident)),
                    ),
                    ident.span,
                ));
            }
            columns.push(id);
        }
        let listed = !columns.is_empty();
        if !listed {
            columns = table.columns.iter().filter(|c| !c.hidden).map(|c| c.id).collect();
        }
        let source = self.insert_source(&table, insert.source.as_deref(), &mut columns, listed)?;
        // The shell has put OVERRIDING SYSTEM VALUE there.
        self.refuse_generated(&table, &columns, &source, insert.has_table_keyword)?;
        self.open_target(&table, &alias, true);
        let rest = self.insert_rest(&table, insert);
        let (target, excluded) = match self.block().sources.len() {
            1 => (self.slots(0), Vec::new()),
            _ => (self.slots(0), self.slots(1)),
        };
        let width = self.close().width;
        let (conflict, (returning, returning_columns)) = rest?;
        let programs = Program::closure(&self.env, &table)?;
        Ok(BoundInsert {
            table,
            alias,
            source,
            columns,
            conflict,
            returning,
            returning_columns,
            width,
            target,
            excluded,
            programs,
        })
    }

    #[allow(clippy::type_complexity)] // a pair of what two clauses give
    fn insert_rest(
        &mut self,
        table: &Arc<Table>,
        insert: &ast::Insert,
    ) -> Result<(Option<OnConflict>, (Vec<Expr>, Vec<OutputColumn>))> {
        let conflict = match &insert.on {
            None => None,
            Some(ast::OnInsert::OnConflict(on)) => Some(self.on_conflict(table, on)?),
            Some(_) => {
                return Err(SqlError::unsupported("ON DUPLICATE KEY UPDATE", "Use ON CONFLICT … DO UPDATE."));
            }
        };
        // EXCLUDED is not visible in RETURNING.
        self.block().named.truncate(1);
        let returning = match &insert.returning {
            Some(items) => self.returning(items)?,
            None => (Vec::new(), Vec::new()),
        };
        Ok((conflict, returning))
    }

    fn insert_source(
        &mut self,
        table: &Arc<Table>,
        source: Option<&ast::Query>,
        columns: &mut Vec<ColumnId>,
        listed: bool,
    ) -> Result<InsertSource> {
        let Some(query) = source else {
            columns.clear();
            return Ok(InsertSource::Defaults);
        };
        let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
        if let (SetExpr::Values(values), true) = (&*query.body, plain) {
            self.open();
            let rows = self.insert_rows(table, &values.rows, columns, listed);
            self.close();
            return Ok(InsertSource::Values(rows?));
        }
        self.expected =
            Some(columns.iter().filter_map(|id| table.column(*id)).map(|c| c.ty.clone()).collect());
        let bound = self.query(query);
        self.expected = None;
        let bound = bound?;
        let count = bound.columns.len();
        fit(columns, count, listed)?;
        let mut casts = Vec::with_capacity(count);
        for (i, (id, output)) in columns.iter().zip(&bound.columns).enumerate() {
            let column = table.column(*id).ok_or_else(|| SqlError::internal("a column without a table"))?;
            casts.push(assign(&self.builder, Expr::column(i, output.ty.clone()), &column.name, &column.ty)?);
        }
        Ok(InsertSource::Query(Box::new(bound), casts))
    }

    fn insert_rows(
        &mut self,
        table: &Arc<Table>,
        rows: &[ast::Parens<Vec<ast::Expr>>],
        columns: &mut Vec<ColumnId>,
        listed: bool,
    ) -> Result<Vec<Vec<Given>>> {
        self.block().no_aggregates = Some("VALUES");
        let width = rows.first().map_or(0, |r| r.content.len());
        if rows.iter().any(|r| r.content.len() != width) {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "VALUES lists must all be the same length"));
        }
        fit(columns, width, listed)?;
        let mut bound = Vec::with_capacity(rows.len());
        for row in rows {
            let mut given = Vec::with_capacity(width);
            for (ast, id) in row.content.iter().zip(columns.iter()) {
                given.push(self.given(table, *id, ast)?);
            }
            bound.push(given);
        }
        Ok(bound)
    }

    /// A value for a column, or DEFAULT.
    pub(super) fn given(&mut self, table: &Table, id: ColumnId, ast: &ast::Expr) -> Result<Given> {
        let column = table.column(id).ok_or_else(|| SqlError::internal("a column without a table"))?;
        if is_default(ast) || (column.minting == Some(Minting::Uuid) && is_uuid_call(ast)) {
            return Ok(Given::Default);
        }
        let bound = self.expr(ast)?;
        let place = sqlparser::ast::Spanned::span(ast);
        assign(&self.builder, bound, &column.name, &column.ty)
            .map(Given::Expr)
            .map_err(|e| self.located(e, place))
    }

    /// 428C9 for a value given to a generated column.
    fn refuse_generated(
        &self,
        table: &Table,
        columns: &[ColumnId],
        source: &InsertSource,
        overriding: bool,
    ) -> Result<()> {
        for (i, id) in columns.iter().enumerate() {
            let Some(column) = table.column(*id) else { continue };
            let always = column.identity == Some(true) && !overriding;
            if column.generated.is_none() && !always {
                continue;
            }
            let given = match source {
                InsertSource::Values(rows) => rows.iter().any(|r| matches!(r[i], Given::Expr(_))),
                InsertSource::Query(..) => true,
                InsertSource::Defaults => false,
            };
            if given {
                let what = if always {
                    format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name)
                } else {
                    format!("Column \"{}\" is a generated column.", column.name)
                };
                return Err(SqlError::new(
                    sqlstate::GENERATED_ALWAYS,
                    format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name),
                )
                .detail(what));
            }
        }
        Ok(())
    }

    fn on_conflict(&mut self, table: &Arc<Table>, on: &ast::OnConflict) -> Result<OnConflict> {
        let indexes = match &on.conflict_target {
            None => None,
            Some(ast::ConflictTarget::Columns(idents)) => {
                let mut ids = Vec::with_capacity(idents.len());
                for ident in idents {
                    ids.push(self.target_column(table, ident)?);
                }
                ids.sort_unstable();
                ids.dedup();
                let matching: Vec<IndexId> = table
                    .indexes
                    .iter()
                    .filter(|index| index.unique)
                    .filter(|index| {
                        let mut own: Vec<ColumnId> = index.columns.iter().map(|c| c.column).collect();
                        own.sort_unstable();
                        own == ids
                    })
                    .map(|index| index.id)
                    .collect();
                if matching.is_empty() {
                    return Err(SqlError::new(
                        sqlstate::INVALID_COLUMN_REFERENCE,
                        "there is no unique or exclusion constraint matching the ON CONFLICT specification",
                    ));
                }
                Some(matching)
            }
            Some(ast::ConflictTarget::OnConstraint(name)) => {
                let name = parse::object_name(self.env.text, name)?.name;
                let found =
                    table.indexes.iter().find(|i| i.unique && i.name == name && i.constraint.is_some());
                let Some(index) = found else {
                    return Err(SqlError::new(
                        sqlstate::UNDEFINED_OBJECT,
                        format!("constraint \"{name}\" for table \"{}\" does not exist", table.name),
                    ));
                };
                Some(vec![index.id])
            }
        };
        let update = match &on.action {
            ast::OnConflictAction::DoNothing => {
                return Ok(OnConflict { indexes, action: ConflictAction::Nothing });
            }
            ast::OnConflictAction::DoUpdate(update) => update,
        };
        if indexes.is_none() {
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .hint("For example, ON CONFLICT (column_name)."));
        }
        let block = self.block();
        let excluded = block.add(SourceKind::Given, "excluded".to_owned(), table_columns(table));
        block.named.push(excluded);
        let set = self.set_list(table, &update.assignments)?;
        let filter = match &update.selection {
            Some(selection) => {
                self.block().no_aggregates = Some("WHERE");
                let bound = self.expr(selection)?;
                self.builder.condition("WHERE", bound)?.conjuncts()
            }
            None => Vec::new(),
        };
        Ok(OnConflict { indexes, action: ConflictAction::Update { set, filter } })
    }

    /// Binds an UPDATE.
    pub fn update(&mut self, update: &ast::Update) -> Result<BoundUpdate> {
        if !update.order_by.is_empty() || update.limit.is_some() || update.or.is_some() {
            return Err(SqlError::unsupported(
                "ORDER BY and LIMIT in UPDATE",
                "Use WHERE key IN (SELECT … ORDER BY … LIMIT …).",
            ));
        }
        let (table, alias) = self.dml_target(&update.table)?;
        self.open_target(&table, &alias, false);
        let bound = self.update_parts(&table, update);
        let block = self.close();
        let (set, filter, (returning, returning_columns)) = bound?;
        let programs = Program::closure(&self.env, &table)?;
        Ok(BoundUpdate { select: over(block, filter), table, set, returning, returning_columns, programs })
    }

    #[allow(clippy::type_complexity)] // what three clauses give
    fn update_parts(
        &mut self,
        table: &Arc<Table>,
        update: &ast::Update,
    ) -> Result<(Vec<SetColumn>, Vec<Expr>, (Vec<Expr>, Vec<OutputColumn>))> {
        match &update.from {
            None => {}
            Some(ast::UpdateTableFromKind::AfterSet(list) | ast::UpdateTableFromKind::BeforeSet(list)) => {
                self.bind_from(list)?;
            }
        }
        let set = self.set_list(table, &update.assignments)?;
        let filter = match &update.selection {
            Some(selection) => self.where_clause(selection)?,
            None => Vec::new(),
        };
        let returning = match &update.returning {
            Some(items) => self.returning(items)?,
            None => (Vec::new(), Vec::new()),
        };
        Ok((set, filter, returning))
    }

    /// Binds a DELETE.
    pub fn delete(&mut self, delete: &ast::Delete) -> Result<BoundDelete> {
        if !delete.order_by.is_empty() || delete.limit.is_some() || !delete.tables.is_empty() {
            return Err(SqlError::unsupported(
                "this form of DELETE",
                "Use DELETE FROM … WHERE key IN (SELECT … ORDER BY … LIMIT …).",
            ));
        }
        let from = match &delete.from {
            ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from) => from,
        };
        let [target] = from.as_slice() else {
            return Err(SqlError::unsupported("DELETE from several tables", "Use USING."));
        };
        let (table, alias) = self.dml_target(target)?;
        self.open_target(&table, &alias, false);
        let bound = self.delete_parts(delete);
        let block = self.close();
        let (filter, (returning, returning_columns)) = bound?;
        let programs = Program::closure(&self.env, &table)?;
        Ok(BoundDelete { select: over(block, filter), table, returning, returning_columns, programs })
    }

    #[allow(clippy::type_complexity)] // what two clauses give
    fn delete_parts(&mut self, delete: &ast::Delete) -> Result<(Vec<Expr>, (Vec<Expr>, Vec<OutputColumn>))> {
        if let Some(using) = &delete.using {
            self.bind_from(using)?;
        }
        let filter = match &delete.selection {
            Some(selection) => self.where_clause(selection)?,
            None => Vec::new(),
        };
        let returning = match &delete.returning {
            Some(items) => self.returning(items)?,
            None => (Vec::new(), Vec::new()),
        };
        Ok((filter, returning))
    }

    fn dml_target(&self, target: &ast::TableWithJoins) -> Result<(Arc<Table>, String)> {
        let ast::TableFactor::Table { name, alias, .. } = &target.relation else {
            return Err(SqlError::unsupported("changing this", "Name a table."));
        };
        if !target.joins.is_empty() {
            return Err(SqlError::unsupported("a join as target", "Use FROM or USING."));
        }
        let table = self.target_table(name)?;
        let alias = alias.as_ref().map_or(table.name.clone(), |a| parse::ident(&a.name));
        Ok((table, alias))
    }
}

/// The SELECT that finds the rows.
fn over(block: super::Block, filter: Vec<Expr>) -> Select {
    Select {
        block: block.id,
        width: block.width,
        sources: block.sources,
        from: block.from,
        filter,
        grouping: None,
        having: Vec::new(),
        windows: Vec::new(),
        outputs: Vec::new(),
        distinct: None,
    }
}

/// The columns that rows of `count` values fill: without a list, the first ones.
fn fit(columns: &mut Vec<ColumnId>, count: usize, listed: bool) -> Result<()> {
    if count > columns.len() {
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "INSERT has more expressions than target columns"));
    }
    if count < columns.len() {
        if listed {
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                "INSERT has more target columns than expressions",
            ));
        }
        columns.truncate(count);
    }
    Ok(())
}

fn is_default(ast: &ast::Expr) -> bool {
    matches!(ast, ast::Expr::Identifier(i) if i.quote_style.is_none() && i.value.eq_ignore_ascii_case("default"))
}

fn is_uuid_call(ast: &ast::Expr) -> bool {
    matches!(unnest(ast), ast::Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("gen_random_uuid"))
}
