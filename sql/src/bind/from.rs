//! FROM: tables, subqueries, CTEs, functions and joins.

use std::sync::Arc;

use gemini_shadow_ops::{ColumnId, DataType};
use sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor};

use super::scope::{Visible, What};
use super::{Binder, From, JoinKind, SourceColumn, SourceKind, TableFunction};
use super::{no_table, user_sequence, user_table};
use crate::catalog::sequence::SequenceState;
use crate::error::{Result, SqlError};
use crate::expr::{CastKind, Expr};
use crate::parse;
use crate::plan::VirtualTable;
use crate::sqlstate;

/// A bound FROM item: the join tree, what is visible, and the sources in it.
struct Item {
    from: From,
    visible: Vec<Visible>,
    sources: Vec<usize>,
}

impl Binder<'_> {
    /// Binds a FROM list into the innermost block.
    pub(super) fn bind_from(&mut self, list: &[ast::TableWithJoins]) -> Result<()> {
        for entry in list {
            let item = self.joined(entry)?;
            self.publish(item)?;
        }
        Ok(())
    }

    /// Makes an item's names visible in the block.
    fn publish(&mut self, item: Item) -> Result<()> {
        let block = self.block();
        for &source in &item.sources {
            if !block.named.contains(&source) {
                let alias = block.sources[source].alias.clone();
                if block.named.iter().any(|&s| block.sources[s].alias == alias) {
                    return Err(SqlError::new(
                        sqlstate::DUPLICATE_ALIAS,
                        format!("table name \"{alias}\" specified more than once"),
                    ));
                }
                block.named.push(source);
            }
        }
        block.visible.extend(item.visible);
        block.from.push(item.from);
        Ok(())
    }

    fn joined(&mut self, entry: &ast::TableWithJoins) -> Result<Item> {
        let before = self.self_references();
        let mut left = self.factor(&entry.relation, None)?;
        for join in &entry.joins {
            left = self.join(left, join, before)?;
        }
        Ok(left)
    }

    /// `before`: how often a recursive query had been named before the left side.
    fn join(&mut self, left: Item, join: &ast::Join, before: usize) -> Result<Item> {
        let (kind, swap, constraint) = match &join.join_operator {
            JoinOperator::Join(c) | JoinOperator::Inner(c) => (JoinKind::Inner, false, c),
            JoinOperator::CrossJoin(c) => (JoinKind::Inner, false, c),
            JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (JoinKind::Left, false, c),
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (JoinKind::Left, true, c),
            JoinOperator::FullOuter(c) => (JoinKind::Full, false, c),
            other => {
                let name = format!("{other:?}");
                let name = name.split('(').next().unwrap_or("this");
                return Err(SqlError::unsupported(format!("{name} join"), "Use JOIN or LEFT JOIN with ON."));
            }
        };
        let between = self.self_references();
        let right = self.factor(&join.relation, Some(&left))?;
        // Rows that a later round gives must not take back what the absence of rows has given.
        match (kind, swap) {
            (JoinKind::Inner, _) => {}
            (JoinKind::Left, true) if between == before => {}
            (JoinKind::Left, false) => self.no_self_reference(between, "within an outer join")?,
            (JoinKind::Left, true) | (JoinKind::Full, _) => {
                self.no_self_reference(before, "within an outer join")?;
            }
        }
        for &source in &right.sources {
            let block = self.block();
            let alias = block.sources[source].alias.clone();
            if left.sources.iter().any(|&s| block.sources[s].alias == alias) {
                return Err(SqlError::new(
                    sqlstate::DUPLICATE_ALIAS,
                    format!("table name \"{alias}\" specified more than once"),
                ));
            }
        }
        let mut on = Vec::new();
        let mut visible;
        match constraint {
            JoinConstraint::None => visible = concat(&left.visible, &right.visible),
            JoinConstraint::On(condition) => {
                visible = concat(&left.visible, &right.visible);
                on = self.on_condition(&left, &right, condition)?;
            }
            JoinConstraint::Using(names) => {
                let names: Result<Vec<String>> =
                    names.iter().map(|n| Ok(parse::object_name(self.env.text, n)?.name)).collect();
                (on, visible) = self.using(&left, &right, &names?, kind, swap)?;
            }
            JoinConstraint::Natural => {
                let names: Vec<String> = left
                    .visible
                    .iter()
                    .filter(|v| !v.hidden && right.visible.iter().any(|r| !r.hidden && r.name == v.name))
                    .map(|v| v.name.clone())
                    .collect();
                (on, visible) = self.using(&left, &right, &names, kind, swap)?;
            }
        }
        visible.shrink_to_fit();
        let sources = left.sources.iter().chain(&right.sources).copied().collect();
        let (first, second) = if swap { (right.from, left.from) } else { (left.from, right.from) };
        Ok(Item {
            from: From::Join { kind, left: Box::new(first), right: Box::new(second), on },
            visible,
            sources,
        })
    }

    /// An ON condition sees the two sides (and what encloses the block).
    fn on_condition(&mut self, left: &Item, right: &Item, condition: &ast::Expr) -> Result<Vec<Expr>> {
        let block = self.block();
        let saved = (std::mem::take(&mut block.visible), std::mem::take(&mut block.named));
        block.visible = concat(&left.visible, &right.visible);
        block.named = left.sources.iter().chain(&right.sources).copied().collect();
        let before = block.no_aggregates.replace("JOIN conditions");
        let bound = self.expr(condition);
        let bound = bound.and_then(|e| self.builder.condition("JOIN/ON", e));
        let block = self.block();
        block.no_aggregates = before;
        (block.visible, block.named) = saved;
        Ok(bound?.conjuncts())
    }

    /// USING: equalities, and the merged columns first.
    fn using(
        &mut self,
        left: &Item,
        right: &Item,
        names: &[String],
        kind: JoinKind,
        swap: bool,
    ) -> Result<(Vec<Expr>, Vec<Visible>)> {
        let mut on = Vec::new();
        let mut visible = Vec::new();
        for name in names {
            let a = self.using_side(&left.visible, name, "left")?;
            let b = self.using_side(&right.visible, name, "right")?;
            on.push(self.builder.operator("=", a.clone(), b.clone())?);
            let merged = match kind {
                JoinKind::Full => self.builder.coalesce(vec![a, b])?,
                JoinKind::Left if swap => b,
                _ => a,
            };
            visible.push(Visible { name: name.clone(), what: What::Merged(merged), hidden: false });
        }
        let rest = |v: &&Visible| !names.contains(&v.name);
        visible.extend(left.visible.iter().filter(rest).cloned());
        visible.extend(right.visible.iter().filter(rest).cloned());
        Ok((on, visible))
    }

    fn using_side(&mut self, visible: &[Visible], name: &str, side: &str) -> Result<Expr> {
        let mut found = visible.iter().filter(|v| v.name == name);
        let Some(first) = found.next() else {
            return Err(SqlError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{name}\" specified in USING clause does not exist in {side} table"),
            ));
        };
        if found.next().is_some() {
            return Err(SqlError::new(
                sqlstate::AMBIGUOUS_COLUMN,
                format!("common column name \"{name}\" appears more than once in {side} table"),
            ));
        }
        let what = first.what.clone();
        Ok(self.block().expr(&what))
    }

    fn factor(&mut self, factor: &TableFactor, left: Option<&Item>) -> Result<Item> {
        match factor {
            // Left unread, these would change the answer in silence.
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                Err(SqlError::unsupported("TABLESAMPLE", "Use ORDER BY random() LIMIT n."))
            }
            TableFactor::Table { name, alias, args: None, .. } => self.table(name, alias.as_ref()),
            TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } => {
                self.function(name, &args.args, *with_ordinality, alias.as_ref(), left)
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                self.function(name, args, *with_ordinality, alias.as_ref(), left)
            }
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
                let [array] = array_exprs.as_slice() else {
                    return Err(SqlError::unsupported("unnest of several arrays", "Unnest them one by one."));
                };
                let saved = self.see_left(left);
                let bound = self.expr(array);
                self.unsee(saved);
                self.function_source(
                    TableFunction::Unnest,
                    vec![bound?],
                    *with_ordinality,
                    "unnest",
                    alias.as_ref(),
                )
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                self.derived(subquery, *lateral, alias.as_ref(), left)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                if alias.is_some() {
                    return Err(SqlError::unsupported(
                        "an alias for a join in parentheses",
                        "Name its tables.",
                    ));
                }
                self.joined(table_with_joins)
            }
            other => Err(SqlError::unsupported(format!("FROM {other}"), "Use tables, subqueries and joins.")),
        }
    }

    fn table(&mut self, name: &ast::ObjectName, alias: Option<&ast::TableAlias>) -> Result<Item> {
        let resolved = parse::object_name(self.env.text, name)?;
        if resolved.schema.is_none()
            && let Some(position) = self.ctes.iter().rposition(|c| c.name == resolved.name)
        {
            return self.cte(position, alias);
        }
        let schema = resolved.schema.as_deref();
        // pg_catalog comes before public for unqualified names, as in PostgreSQL.
        if let Some(table) = self.env.virtuals.table(schema, &resolved.name) {
            return self.virtual_table(table, resolved.name, alias);
        }
        if let Some(sequence) = user_sequence(&self.env, &resolved) {
            let table: Arc<dyn VirtualTable> = Arc::new(SequenceState(sequence.clone()));
            return self.virtual_table(table, resolved.name, alias);
        }
        let table = user_table(&self.env, &resolved).ok_or_else(|| no_table(&resolved))?.clone();
        let columns = table_columns(&table);
        self.item(SourceKind::Table(table), resolved.name, columns, alias)
    }

    fn virtual_table(
        &mut self,
        table: Arc<dyn VirtualTable>,
        name: String,
        alias: Option<&ast::TableAlias>,
    ) -> Result<Item> {
        let columns = table.columns().iter().enumerate();
        let columns = columns.map(|(i, (name, ty))| source_column(name, ty.clone(), i)).collect();
        self.item(SourceKind::Virtual(table), name, columns, alias)
    }

    /// A source with its alias applied, visible whole.
    fn item(
        &mut self,
        kind: SourceKind,
        name: String,
        mut columns: Vec<SourceColumn>,
        alias: Option<&ast::TableAlias>,
    ) -> Result<Item> {
        let mut name = name;
        if let Some(alias) = alias {
            name = parse::ident(&alias.name);
            let shown = columns.iter().filter(|c| !c.hidden).count();
            if alias.columns.len() > shown {
                return Err(SqlError::new(
                    sqlstate::INVALID_COLUMN_REFERENCE,
                    format!(
                        "table \"{name}\" has {shown} columns available but {} columns specified",
                        alias.columns.len()
                    ),
                ));
            }
            for (column, alias) in columns.iter_mut().filter(|c| !c.hidden).zip(&alias.columns) {
                column.name = parse::ident(&alias.name);
            }
        }
        let block = self.block();
        let source = block.add(kind, name, columns);
        let visible = block.visible_of(source);
        Ok(Item { from: From::Source(source), visible, sources: vec![source] })
    }

    fn cte(&mut self, position: usize, alias: Option<&ast::TableAlias>) -> Result<Item> {
        let cte = self.ctes[position].clone();
        if let Some((kind, columns)) = self.self_reference(cte.id)? {
            return self.item(kind, cte.name, columns, alias);
        }
        let hidden = self.ctes.split_off(cte.scope);
        // A CTE sees the queries around its WITH, and nothing of those that use it.
        let inside = &mut self.blocks[cte.blocks..];
        let flags: Vec<bool> = inside.iter_mut().map(|b| std::mem::replace(&mut b.hidden, true)).collect();
        let query = if cte.recursive { self.recursive_cte(&cte) } else { self.query(&cte.query) };
        for (block, flag) in self.blocks[cte.blocks..].iter_mut().zip(flags) {
            block.hidden = flag;
        }
        self.ctes.extend(hidden);
        let query = query?;
        let mut columns = output_columns(&query);
        rename(&mut columns, &cte)?;
        let kind =
            SourceKind::Query { query: Box::new(query), lateral: false, reads: Vec::new(), distinct: false };
        self.item(kind, cte.name, columns, alias)
    }

    fn derived(
        &mut self,
        subquery: &ast::Query,
        lateral: bool,
        alias: Option<&ast::TableAlias>,
        left: Option<&Item>,
    ) -> Result<Item> {
        let mut reads = Vec::new();
        let query = if lateral {
            let saved = self.see_left(left);
            let base = self.blocks.len();
            self.frames.push(super::Frame { base, ..Default::default() });
            let query = self.query(subquery);
            if let Some(frame) = self.frames.pop() {
                reads = frame.reads;
            }
            self.unsee(saved);
            query?
        } else {
            let level = self.blocks.len() - 1;
            let before = std::mem::replace(&mut self.blocks[level].hidden, true);
            let query = self.query(subquery);
            self.blocks[level].hidden = before;
            query?
        };
        let columns = output_columns(&query);
        let kind = SourceKind::Query { query: Box::new(query), lateral, reads, distinct: false };
        // PostgreSQL 16 and later allow a subquery in FROM without an alias.
        self.item(kind, "?subquery?".to_owned(), columns, alias)
    }

    fn function(
        &mut self,
        name: &ast::ObjectName,
        args: &[ast::FunctionArg],
        ordinality: bool,
        alias: Option<&ast::TableAlias>,
        left: Option<&Item>,
    ) -> Result<Item> {
        let resolved = parse::object_name(self.env.text, name)?;
        // The options of foreign objects: there are none, but pg_dump lists them.
        if resolved.name == "pg_options_to_table"
            && let Some(table) = self.env.virtuals.table(Some("pg_catalog"), &resolved.name)
        {
            return self.virtual_table(table, resolved.name, alias);
        }
        let saved = self.see_left(left);
        let bound = self.function_args(args);
        self.unsee(saved);
        let args = bound?;
        let function = match (super::expr::table_function(&resolved.name), resolved.name.as_str()) {
            (Some(function), _) => function,
            (None, other) => {
                let call =
                    self.builder.function(other, args).map_err(|e| self.located(e, ident_span(name)))?;
                return self.function_source(TableFunction::Scalar, vec![call], ordinality, other, alias);
            }
        };
        self.function_source(function, args, ordinality, &resolved.name, alias)
    }

    fn function_source(
        &mut self,
        function: TableFunction,
        args: Vec<Expr>,
        ordinality: bool,
        name: &str,
        alias: Option<&ast::TableAlias>,
    ) -> Result<Item> {
        let (args, ty) = self.function_types(function, args)?;
        // The one column is called like the alias, if there is one.
        let column = alias.map_or(name.to_owned(), |a| parse::ident(&a.name));
        let mut columns = vec![source_column(&column, ty, 0)];
        if ordinality {
            columns.push(source_column("ordinality", DataType::Int8, 1));
        }
        let calls = vec![(function, args)];
        self.item(SourceKind::Function { calls, ordinality }, name.to_owned(), columns, alias)
    }

    /// A set-returning function in a SELECT list: rows of the FROM list times its own. All those of one list run side by side.
    pub(super) fn set_in_list(
        &mut self,
        function: TableFunction,
        args: Vec<Expr>,
        name: &str,
    ) -> Result<Expr> {
        let (args, ty) = self.function_types(function, args)?;
        let block = self.block();
        let source = match block.sets {
            Some(source) => source,
            None => {
                let kind = SourceKind::Function { calls: Vec::new(), ordinality: false };
                let source = block.add(kind, "?sets?".to_owned(), Vec::new());
                block.from.push(From::Source(source));
                block.sets = Some(source);
                source
            }
        };
        let entry = &mut block.sources[source];
        let column = entry.columns.len();
        entry.columns.push(source_column(name, ty, column));
        if let SourceKind::Function { calls, .. } = &mut entry.kind {
            calls.push((function, args));
        }
        Ok(block.expr(&super::scope::What::Column { source, column }))
    }

    /// The arguments cast to what the function takes, and the type of its rows.
    pub(super) fn function_types(
        &self,
        function: TableFunction,
        args: Vec<Expr>,
    ) -> Result<(Vec<Expr>, DataType)> {
        let wrong = |name: &str| {
            Err(SqlError::new(
                sqlstate::UNDEFINED_FUNCTION,
                format!("function {name} does not exist with these arguments"),
            ))
        };
        match function {
            TableFunction::Scalar => {
                let ty = args.first().map_or(DataType::Text, |a| a.ty.clone());
                Ok((args, ty))
            }
            TableFunction::Unnest => match args.as_slice() {
                [array] => match array.ty.element().cloned() {
                    Some(ty) => Ok((args, ty)),
                    None => wrong("unnest"),
                },
                _ => wrong("unnest"),
            },
            TableFunction::GenerateSubscripts => {
                if args.len() != 2 || args[0].ty.element().is_none() {
                    return wrong("generate_subscripts");
                }
                Ok((args, DataType::Int4))
            }
            TableFunction::GenerateSeries => {
                if args.len() < 2 || args.len() > 3 {
                    return wrong("generate_series");
                }
                let types: Vec<DataType> = args.iter().map(|a| a.ty.clone()).collect();
                let ty = series_type(&types);
                let Some(ty) = ty else { return wrong("generate_series") };
                let step = if matches!(ty, DataType::Timestamp | DataType::Timestamptz) {
                    DataType::Interval
                } else {
                    ty.clone()
                };
                let cast = |(i, arg): (usize, Expr)| {
                    self.builder.cast(arg, if i == 2 { &step } else { &ty }, CastKind::Implicit)
                };
                let args: Result<Vec<Expr>> = args.into_iter().enumerate().map(cast).collect();
                Ok((args?, ty))
            }
        }
    }

    /// Lets functions and LATERAL subqueries see the left side of the join they stand in.
    fn see_left(&mut self, left: Option<&Item>) -> Option<(usize, usize)> {
        let left = left?;
        let block = self.block();
        let saved = (block.visible.len(), block.named.len());
        block.visible.extend(left.visible.iter().cloned());
        block.named.extend(left.sources.iter().copied());
        Some(saved)
    }

    fn unsee(&mut self, saved: Option<(usize, usize)>) {
        if let Some((visible, named)) = saved {
            let block = self.block();
            block.visible.truncate(visible);
            block.named.truncate(named);
        }
    }
}

fn series_type(types: &[DataType]) -> Option<DataType> {
    let any = |f: &dyn Fn(&DataType) -> bool| types.iter().take(2).any(f);
    if any(&|t| *t == DataType::Timestamptz) {
        Some(DataType::Timestamptz)
    } else if any(&|t| matches!(t, DataType::Timestamp | DataType::Date)) {
        Some(DataType::Timestamp)
    } else if types.iter().any(|t| matches!(t, DataType::Numeric(_))) {
        Some(DataType::Numeric(None))
    } else if types.contains(&DataType::Int8) {
        Some(DataType::Int8)
    } else if types.iter().all(|t| matches!(t, DataType::Int2 | DataType::Int4 | DataType::Unknown)) {
        Some(DataType::Int4)
    } else {
        None
    }
}

/// Gives a CTE's columns the names behind its own.
pub(super) fn rename(columns: &mut [SourceColumn], cte: &super::Cte) -> Result<()> {
    if cte.columns.len() > columns.len() {
        return Err(SqlError::new(
            sqlstate::INVALID_COLUMN_REFERENCE,
            format!(
                "WITH query \"{}\" has {} columns available but {} columns specified",
                cte.name,
                columns.len(),
                cte.columns.len()
            ),
        ));
    }
    for (column, name) in columns.iter_mut().zip(&cte.columns) {
        column.name = name.clone();
    }
    Ok(())
}

fn concat(left: &[Visible], right: &[Visible]) -> Vec<Visible> {
    left.iter().chain(right).cloned().collect()
}

fn ident_span(name: &ast::ObjectName) -> sqlparser::tokenizer::Span {
    match name.0.first() {
        Some(ast::ObjectNamePart::Identifier(i)) => i.span,
        _ => sqlparser::tokenizer::Span::empty(),
    }
}

/// A column of a source that is no user table.
pub(super) fn source_column(name: &str, ty: DataType, index: usize) -> SourceColumn {
    SourceColumn { name: name.to_owned(), ty, id: ColumnId(index as u16), slot: None, hidden: false }
}

/// A table's columns.
pub(super) fn table_columns(table: &gemini_shadow_ops::Table) -> Vec<SourceColumn> {
    table
        .columns
        .iter()
        .map(|c| SourceColumn {
            name: c.name.clone(),
            ty: c.ty.clone(),
            id: c.id,
            slot: None,
            hidden: c.hidden,
        })
        .collect()
}

/// What a query offers to the block that uses it in FROM.
pub(super) fn output_columns(query: &super::Query) -> Vec<SourceColumn> {
    query.columns.iter().enumerate().map(|(i, c)| source_column(&c.name, c.ty.clone(), i)).collect()
}
