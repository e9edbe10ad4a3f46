//! Running statements: the implicit transaction with its re-runs, and one statement within a transaction.

use std::sync::Arc;

use gemini_shadow_ops::Value;
use sqlparser::ast;

use super::commit::Failure;
use super::{Cached, Client, Mode, Portal, PortalState, Session, failed_block};
use crate::error::{Result, SqlError};
use crate::exec::{Cursor, ExecContext};
use crate::expr::EvalContext;
use crate::parse::{Body, Ddl};
use crate::plan::{OutputColumn, Prepared};
use crate::sqlstate;
use crate::txn::{ColorSetting, Isolation, Options, Transaction};

/// How a statement's execution ended.
pub(super) enum Outcome {
    /// With this command tag.
    Complete(String),
    /// At the row limit.
    Suspended,
}

impl Session {
    /// Runs every statement of a text as the simple protocol does: in one implicit transaction, unless they control
    /// transactions themselves. Errors have been cleaned up after when this returns.
    pub async fn simple<C: Client>(&mut self, text: &str, client: &mut C) -> Result<()> {
        let result = self.simple_inner(text, client).await;
        self.give_notices(client);
        if result.is_err() {
            self.fail(client);
        }
        result
    }

    async fn simple_inner<C: Client>(&mut self, text: &str, client: &mut C) -> Result<()> {
        let public = self.state.settings.lock().typed.public_in_path;
        let statements = self.shared.cache.parse(text, &[], public)?;
        if statements.is_empty() {
            client.empty();
            return Ok(());
        }
        // The unnamed portal and statement do not survive a simple query.
        self.portals.remove("");
        if self.mode == Mode::Idle && !statements.iter().any(|s| controls(&s.statement.body)) {
            return self.implicit(&statements, client).await;
        }
        for statement in statements.iter() {
            self.allowed(&statement.statement.body)?;
            if self.mode == Mode::Idle && !controls(&statement.statement.body) {
                let options = self.options();
                self.begin(Mode::Implicit, options);
            }
            let mut portal = Portal::ready(statement.clone(), Vec::new(), Vec::new());
            match self.execute_portal(&mut portal, 0, client).await.map_err(|f| f.error)? {
                Outcome::Complete(tag) => {
                    self.give_notices(client);
                    client.complete(&tag);
                }
                Outcome::Suspended => {}
            }
        }
        if self.mode == Mode::Implicit {
            self.commit(client).await.map_err(|f| f.error)?;
        }
        Ok(())
    }

    /// Runs statements in one implicit transaction, anew if its commit is refused and nothing has been sent.
    async fn implicit<C: Client>(&mut self, statements: &[Arc<Cached>], client: &mut C) -> Result<()> {
        let mut portals: Vec<Portal> =
            statements.iter().map(|s| Portal::ready(s.clone(), Vec::new(), Vec::new())).collect();
        self.run_implicit(&mut portals, client).await
    }

    pub(super) async fn run_implicit<C: Client>(
        &mut self,
        portals: &mut [Portal],
        client: &mut C,
    ) -> Result<()> {
        let mark = client.mark();
        let started = self.host().now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let options = self.options();
            self.begin(Mode::Implicit, options);
            let outcome = self.run_all(portals, client).await;
            let failure = match outcome {
                Ok(last) => match self.commit(client).await {
                    Ok(()) => {
                        self.give_notices(client);
                        if let Some(tag) = last {
                            client.complete(&tag);
                        }
                        return Ok(());
                    }
                    Err(failure) => failure,
                },
                Err(failure) => {
                    self.abort(client);
                    failure
                }
            };
            let error = failure.error.clone();
            let anew =
                options.isolation == Isolation::ReadCommitted || failure.error.closed_sequence.is_some();
            if !anew {
                return Err(error);
            }
            self.again(failure, attempt, started).await?;
            if !client.rewind(mark) {
                return Err(error);
            }
            self.notices.clear();
            for portal in portals.iter_mut() {
                portal.state = PortalState::Ready;
            }
        }
    }

    /// Runs each; the last one's tag is left to be said after the commit.
    async fn run_all<C: Client>(
        &mut self,
        portals: &mut [Portal],
        client: &mut C,
    ) -> Result<Option<String>, Failure> {
        let last = portals.len().saturating_sub(1);
        for (i, portal) in portals.iter_mut().enumerate() {
            match self.execute_portal(portal, 0, client).await? {
                Outcome::Complete(tag) if i == last => return Ok(Some(tag)),
                Outcome::Complete(tag) => {
                    self.give_notices(client);
                    client.complete(&tag);
                }
                Outcome::Suspended => {}
            }
        }
        Ok(None)
    }

    /// 25P02 for everything but the end of a failed block.
    pub(super) fn allowed(&self, body: &Body) -> Result<()> {
        let ends = matches!(body, Body::Commit { .. } | Body::Rollback { .. } | Body::RollbackTo(_));
        if self.mode == Mode::Failed && !ends { Err(failed_block()) } else { Ok(()) }
    }

    /// Runs a portal until `limit` rows (0: all) in the transaction under way.
    pub(super) async fn execute_portal<C: Client>(
        &mut self,
        portal: &mut Portal,
        limit: usize,
        client: &mut C,
    ) -> Result<Outcome, Failure> {
        let Some(cached) = portal.statement.clone() else {
            return Ok(Outcome::Complete(String::new()));
        };
        match std::mem::replace(&mut portal.state, PortalState::Done) {
            PortalState::Running(cursor, prepared) => {
                let context = self.context()?;
                self.pull(portal, *cursor, prepared, context, limit, client).await
            }
            PortalState::Rows(columns, rows, tag) => {
                Ok(self.give_rows(portal, columns, rows, tag, limit, client)?)
            }
            PortalState::Done => {
                let tag = if matches!(cached.statement.body, Body::Dml(_)) {
                    crate::plan::StatementKind::Select.tag(0)
                } else {
                    cached.statement.tag.to_string()
                };
                Ok(Outcome::Complete(tag))
            }
            PortalState::Ready => match &cached.statement.body {
                Body::Dml(statement) => match setval_call(statement) {
                    Some(call) => Ok(self.setval(portal, &cached, call, limit, client).await?),
                    None => self.run_dml(portal, &cached, limit, client).await,
                },
                _ => self.utility(portal, &cached, limit, client).await,
            },
        }
    }

    /// Plans and runs a SELECT, INSERT, UPDATE or DELETE.
    async fn run_dml<C: Client>(
        &mut self,
        portal: &mut Portal,
        cached: &Arc<Cached>,
        limit: usize,
        client: &mut C,
    ) -> Result<Outcome, Failure> {
        self.wait_until_fresh().await?;
        let mark = client.mark();
        let mut opened = 0;
        loop {
            let (cursor, prepared, context) = self.open(cached, portal.params.clone())?;
            if let Some(bound) = &portal.bound
                && bound.parameters != prepared.parameters
            {
                let error = SqlError::unsupported(
                    "a change of parameter types between Bind and Execute",
                    "Prepare the statement again: the schema has changed.",
                );
                return Err(error.into());
            }
            let result = self.pull(portal, cursor, prepared, context, limit, client).await;
            let Err(failure) = &result else { return result };
            // A sequence is opened by a transaction of its own; then the statement runs again, in a block too.
            let Some(sequence) = failure.error.closed_sequence else { return result };
            opened += 1;
            if self.mode != Mode::Block || opened > 8 || !client.rewind(mark) {
                return result;
            }
            self.open_sequence(sequence).await?;
            let active = self.active()?;
            if active.transaction.options().isolation != Isolation::ReadCommitted
                && !active.transaction.renew()
            {
                let error = SqlError::new(
                    sqlstate::SERIALIZATION_FAILURE,
                    "the transaction's snapshot is older than the opening of a sequence it uses",
                );
                return Err(error.hint("Run the transaction again: the sequence is open now.").into());
            }
        }
    }

    /// Opens a cursor on the statement's own snapshot, with a plan for that snapshot's schema.
    pub(super) fn open(
        &mut self,
        cached: &Arc<Cached>,
        params: Vec<Value>,
    ) -> Result<(Cursor, Arc<Prepared>, ExecContext)> {
        let host = self.shared.host.clone();
        self.apply_options()?;
        for _ in 0..8 {
            self.active()?.transaction.begin_statement(&*host);
            let prepared = self.plan(cached)?;
            let context = self.context()?;
            let active = self.active()?;
            if prepared.writes() && active.transaction.options().read_only {
                return Err(SqlError::new(
                    sqlstate::READ_ONLY_SQL_TRANSACTION,
                    format!("cannot execute {} in a read-only transaction", cached.statement.tag),
                ));
            }
            let cursor = Cursor::open(prepared.clone(), params.clone(), &context, &mut active.transaction)?;
            // The cursor may have taken a newer snapshot, with another schema.
            if active.transaction.schema(&*host).version == prepared.schema_version {
                if prepared.writes() {
                    active.wrote = Some(cached.clone());
                }
                return Ok((cursor, prepared, context));
            }
        }
        Err(SqlError::new(
            sqlstate::SERIALIZATION_FAILURE,
            "the schema keeps changing while the statement is planned",
        )
        .hint("Run the transaction again."))
    }

    /// The plan of a statement for the schema that the transaction sees.
    pub(super) fn plan(&mut self, cached: &Cached) -> Result<Arc<Prepared>> {
        let host = self.shared.host.clone();
        let Some(active) = self.active.as_mut() else {
            return Err(SqlError::internal("a plan is asked for outside a transaction"));
        };
        let schema = active.transaction.schema(&*host);
        cached.plan(&schema, active.changed_schema, &self.catalog)
    }

    /// SET gemini.color takes effect at the next statement of the transaction.
    fn apply_options(&mut self) -> Result<()> {
        let color = self.state.settings.lock().typed.color;
        let active = self.active()?;
        let options = active.transaction.options();
        if options.color != color {
            active.transaction.set_options(Options { color, ..options })?;
        }
        Ok(())
    }

    /// Rows from a cursor to the client.
    async fn pull<C: Client>(
        &mut self,
        portal: &mut Portal,
        mut cursor: Cursor,
        prepared: Arc<Prepared>,
        context: ExecContext,
        limit: usize,
        client: &mut C,
    ) -> Result<Outcome, Failure> {
        let mode = self.mode;
        let active = self.active()?;
        // Results of what may still be refused wait for the commit.
        let releases = mode == Mode::Block
            || (!prepared.writes()
                && !active.transaction.records_reads()
                && !active.transaction.has_effects());
        let returns = prepared.returns_rows();
        if returns {
            client.columns(&prepared.columns);
        }
        let mut sent = 0usize;
        portal.rows = 0;
        loop {
            let want = if limit == 0 { 0 } else { limit - sent };
            let batch = cursor.next(&context, &mut active.transaction, want).await?;
            let Some(batch) = batch else { break };
            if returns {
                let values = EvalContext::new(&[], &*context.environment);
                for row in batch.iter() {
                    client.row(&prepared.columns, row, &values)?;
                }
                sent += batch.len();
                portal.rows = sent;
            }
            if releases {
                client.flush_if_full().await?;
            }
            if limit > 0 && sent >= limit {
                portal.state = PortalState::Running(Box::new(cursor), prepared);
                return Ok(Outcome::Suspended);
            }
        }
        self.assert_blue()?;
        let tag = prepared.kind.tag(cursor.affected());
        drop(cursor);
        Ok(Outcome::Complete(tag))
    }

    /// Under `gemini.color = 'blue'` a statement that makes the transaction red fails at once.
    pub(super) fn assert_blue(&mut self) -> Result<()> {
        let host = self.shared.host.clone();
        let active = self.active()?;
        if active.transaction.options().color == ColorSetting::Blue && active.transaction.has_effects() {
            let schema = active.transaction.schema(&*host);
            let draft = active.transaction.draft(&*host);
            active.transaction.classify(&schema, &draft)?;
        }
        Ok(())
    }

    /// Rows that are there already (SHOW, EXPLAIN).
    pub(super) fn give_rows<C: Client>(
        &mut self,
        portal: &mut Portal,
        columns: Vec<OutputColumn>,
        mut rows: std::vec::IntoIter<Vec<Value>>,
        tag: String,
        limit: usize,
        client: &mut C,
    ) -> Result<Outcome> {
        client.columns(&columns);
        let environment = self.environment();
        let values = EvalContext::new(&[], &*environment);
        let mut sent = 0;
        while let Some(row) = rows.next() {
            client.row(&columns, &row, &values)?;
            sent += 1;
            portal.rows = sent;
            if limit > 0 && sent >= limit && !rows.as_slice().is_empty() {
                portal.state = PortalState::Rows(columns, rows, tag);
                return Ok(Outcome::Suspended);
            }
        }
        Ok(Outcome::Complete(tag))
    }

    /// Runs a query of our own in the transaction under way and answers its rows.
    pub(crate) async fn query(&mut self, text: &str, params: Vec<Value>) -> Result<Vec<Vec<Value>>> {
        let statement = crate::parse::parse(text)?
            .into_iter()
            .next()
            .ok_or_else(|| SqlError::internal("an internal query is empty"))?;
        self.query_statement(text.into(), statement, params).await
    }

    pub(crate) async fn query_statement(
        &mut self,
        text: Arc<str>,
        statement: crate::parse::Statement,
        params: Vec<Value>,
    ) -> Result<Vec<Vec<Value>>> {
        let cached = Arc::new(Cached::new(text, statement, Vec::new(), true));
        let (mut cursor, _prepared, context) = self.open(&cached, params)?;
        let active = self.active()?;
        let mut rows = Vec::new();
        while let Some(batch) = cursor.next(&context, &mut active.transaction, 0).await? {
            rows.extend(batch.iter().map(<[Value]>::to_vec));
        }
        Ok(rows)
    }

    /// Carries out a schema change in the transaction under way.
    pub(super) async fn run_ddl(&mut self, ddl: &Ddl) -> Result<()> {
        let host = self.shared.host.clone();
        self.apply_options()?;
        let active = self.active()?;
        if active.transaction.options().read_only {
            return Err(SqlError::new(
                sqlstate::READ_ONLY_SQL_TRANSACTION,
                "cannot change the schema in a read-only transaction",
            ));
        }
        active.transaction.begin_statement(&*host);
        let savepoint = active.transaction.savepoint();
        let changed_before = active.changed_schema;
        let result = crate::ddl::run(self, ddl).await;
        if result.is_err()
            && let Some(active) = self.active.as_mut()
        {
            active.transaction.rollback_to(&savepoint);
            active.changed_schema = changed_before;
        }
        result?;
        self.assert_blue()
    }

    /// The transaction under way, for schema changes.
    pub(crate) fn transaction(&mut self) -> Result<&mut Transaction> {
        Ok(&mut self.active()?.transaction)
    }

    /// From now on the transaction's plans are its own.
    pub(crate) fn schema_changed(&mut self) -> Result<()> {
        self.active()?.changed_schema = true;
        Ok(())
    }

    /// The site.
    pub(crate) fn site(&self) -> Arc<dyn crate::host::Host> {
        self.shared.host.clone()
    }

    /// A message beside the result.
    pub(crate) fn tell(&mut self, notice: super::Notice) {
        self.notify(notice);
    }

    /// `SELECT setval(…)`: its arguments are computed by a query, the change is ours.
    async fn setval<C: Client>(
        &mut self,
        portal: &mut Portal,
        cached: &Arc<Cached>,
        call: SetvalCall,
        limit: usize,
        client: &mut C,
    ) -> Result<Outcome> {
        let host = self.shared.host.clone();
        self.apply_options()?;
        self.active()?.transaction.begin_statement(&*host);
        let statement = crate::parse::Statement {
            body: Body::Dml(Box::new(call.arguments)),
            range: cached.statement.range.clone(),
            tag: "SELECT",
        };
        let rows = self.query_statement(cached.text.clone(), statement, portal.params.clone()).await?;
        let mut set = Vec::new();
        for row in rows {
            let name = row.first().and_then(|v| v.as_text().map(str::to_string));
            let value = row.get(1).and_then(Value::as_i64);
            let called = row.get(2).is_none_or(|v| v.as_bool() != Some(false));
            let answer = match (name, value) {
                (Some(name), Some(value)) => Value::Int8(self.set_sequence(&name, value, called)?),
                _ => Value::Null,
            };
            set.push(vec![answer]);
        }
        self.assert_blue()?;
        let columns =
            vec![OutputColumn { name: call.name, ty: gemini_shadow_ops::DataType::Int8, origin: None }];
        let tag = format!("SELECT {}", set.len());
        self.give_rows(portal, columns, set.into_iter(), tag, limit, client)
    }
}

/// A SELECT whose only output is setval.
struct SetvalCall {
    /// The same SELECT with setval's arguments as its outputs.
    arguments: ast::Statement,
    /// The output column's name.
    name: String,
}

fn setval_call(statement: &ast::Statement) -> Option<SetvalCall> {
    let ast::Statement::Query(query) = statement else { return None };
    let ast::SetExpr::Select(select) = &*query.body else { return None };
    let [item] = select.projection.as_slice() else { return None };
    let (expr, name) = match item {
        ast::SelectItem::UnnamedExpr(expr) => (expr, "setval".to_string()),
        ast::SelectItem::ExprWithAlias { expr, alias } => (expr, crate::parse::ident(alias)),
        _ => return None,
    };
    let ast::Expr::Function(function) = expr else { return None };
    let ast::ObjectNamePart::Identifier(last) = function.name.0.last()? else { return None };
    if crate::parse::ident(last) != "setval" {
        return None;
    }
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let mut projection = Vec::new();
    for (n, arg) in list.args.iter().enumerate() {
        let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) = arg else { return None };
        projection.push(ast::SelectItem::UnnamedExpr(cast_argument(arg, n)));
    }
    if !(2..=3).contains(&projection.len()) {
        return None;
    }
    let mut arguments = query.clone();
    if let ast::SetExpr::Select(select) = &mut *arguments.body {
        select.projection = projection;
    }
    Some(SetvalCall { arguments: ast::Statement::Query(arguments), name })
}

/// The first argument as text (a regclass prints its name), the second as bigint, the third as boolean.
fn cast_argument(arg: &ast::Expr, n: usize) -> ast::Expr {
    let to = match n {
        0 => ast::DataType::Text,
        1 => ast::DataType::BigInt(None),
        _ => ast::DataType::Boolean,
    };
    ast::Expr::Cast {
        kind: ast::CastKind::DoubleColon,
        expr: Box::new(ast::Expr::Nested(Box::new(arg.clone()))),
        data_type: to,
        format: None,
    }
}

/// Statements that begin or end transactions themselves.
pub(super) fn controls(body: &Body) -> bool {
    matches!(
        body,
        Body::Begin(_)
            | Body::Commit { .. }
            | Body::Rollback { .. }
            | Body::Savepoint(_)
            | Body::Release(_)
            | Body::RollbackTo(_)
    )
}

impl Portal {
    /// A portal that has not run.
    pub fn ready(statement: Arc<Cached>, params: Vec<Value>, formats: Vec<i16>) -> Portal {
        Portal {
            statement: Some(statement),
            params,
            formats,
            bound: None,
            rows: 0,
            state: PortalState::Ready,
        }
    }
}

/// The output column of a statement that only calls setval.
pub(super) fn setval_name(statement: &ast::Statement) -> Option<String> {
    setval_call(statement).map(|call| call.name)
}

impl Session {
    /// Plans a query of our own, to see whether it is one.
    pub(crate) fn plan_text(&mut self, text: &str) -> Result<()> {
        let Some(statement) = crate::parse::parse(text)?.into_iter().next() else {
            return Err(SqlError::internal("an internal query is empty"));
        };
        let cached = Cached::new(text.into(), statement, Vec::new(), true);
        // Places in a text of ours mean nothing to the client.
        self.plan(&cached).map(drop).map_err(|mut e| {
            e.position = None;
            e
        })
    }
}
