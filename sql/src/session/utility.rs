//! Statements that are neither planned nor change the schema: transactions, settings, PREPARE, cursors, EXPLAIN.

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Value};

use super::commit::Failure;
use super::extended::{PreparedStatement, no_portal};
use super::run::Outcome;
use super::settings::{isolation, isolation_name};
use super::{Cached, Client, Collected, Mode, Notice, Portal, PortalState, Session, Settings, report};
use crate::error::{Result, SqlError};
use crate::exec::Cursor;
use crate::exec::color::explain_color;
use crate::expr::types;
use crate::parse::{Begin, Body, Explain, Name, Scope, SetValue, Statement, TransactionModes};
use crate::plan::OutputColumn;
use crate::sqlstate;
use crate::txn::Options;

impl Session {
    pub(super) async fn utility<C: Client>(
        &mut self,
        portal: &mut Portal,
        cached: &Arc<Cached>,
        limit: usize,
        client: &mut C,
    ) -> Result<Outcome, Failure> {
        let tag = cached.statement.tag;
        match &cached.statement.body {
            Body::Begin(begin) => self.begin_block(*begin)?,
            Body::Commit { chain } => return self.commit_block(*chain, client).await,
            Body::Rollback { chain } => self.rollback_block(*chain, client)?,
            Body::Savepoint(name) => self.savepoint(name)?,
            Body::Release(name) => self.release(name)?,
            Body::RollbackTo(name) => self.rollback_to(name, client)?,
            Body::Set { scope, name, value } => self.set(*scope, name, value, client)?,
            Body::SetTransaction { session, modes } => self.set_transaction(*session, *modes, client)?,
            Body::Show(name) => return Ok(self.show(portal, name.as_deref(), limit, client)?),
            Body::Reset(name) => self.reset(name.as_deref(), client)?,
            Body::Discard(what) => self.discard(what, client)?,
            Body::Lock(tables) => self.lock(tables)?,
            Body::Comment => self.notify(
                Notice::info("comments are not kept")
                    .hint("What a dump says of MERGE and ROWS is declared by ALTER TABLE, after the load."),
            ),
            Body::Prepare(prepare) => {
                let types = prepare.types.clone();
                let inner = Cached::new(cached.text.clone(), prepare.statement.clone(), types, self.public());
                self.prepare_statement(&prepare.name, inner)?;
            }
            Body::Execute { name, arguments } => {
                let (inner, params) = self.arguments(name, arguments).await?;
                *portal =
                    Portal { formats: portal.formats.clone(), ..Portal::ready(inner, params, Vec::new()) };
                return Box::pin(self.execute_portal(portal, limit, client)).await;
            }
            Body::Deallocate(None) => self.statements.clear(),
            Body::Deallocate(Some(name)) => {
                self.statement(name)?;
                self.statements.remove(name);
            }
            Body::Explain(explain) => return self.explain(portal, cached, explain, limit, client).await,
            Body::Copy(copy) => {
                let tag = self.copy(copy, &cached.text, client).await?;
                return Ok(Outcome::Complete(tag));
            }
            Body::DeclareCursor { name, hold, query } => {
                let statement = Statement {
                    body: Body::Dml(query.clone()),
                    range: cached.statement.range.clone(),
                    tag: "SELECT",
                };
                let inner = Cached::new(cached.text.clone(), statement, Vec::new(), self.public());
                self.declare(name, *hold, inner)?;
            }
            Body::Fetch { name, count, moves } => return self.fetch(name, *count, *moves, client).await,
            Body::CloseCursor(None) => self.portals.clear(),
            Body::CloseCursor(Some(name)) => {
                if self.portals.remove(name).is_none() {
                    return Err(no_portal(name).into());
                }
            }
            Body::Unlisten => {}
            Body::Ddl(ddl) => {
                self.run_ddl(ddl).await?;
                self.active()?.wrote = Some(cached.clone());
            }
            Body::Dml(_) => return Err(SqlError::internal("a query among the utilities").into()),
        }
        Ok(Outcome::Complete(tag.to_string()))
    }

    pub(super) fn public(&self) -> bool {
        self.state.settings.lock().typed.public_in_path
    }

    fn begin_block(&mut self, begin: Begin) -> Result<()> {
        match self.mode {
            Mode::Idle => {
                let options = with_modes(self.options(), begin.modes);
                self.begin(Mode::Block, options);
            }
            Mode::Implicit => {
                // BEGIN among the statements of one text: what ran before it belongs to the block.
                let active = self.active()?;
                let options = with_modes(active.transaction.options(), begin.modes);
                active.transaction.set_options(options)?;
                self.mode = Mode::Block;
            }
            Mode::Block | Mode::Failed => {
                self.tell(Notice::warning(
                    sqlstate::ACTIVE_SQL_TRANSACTION,
                    "there is already a transaction in progress",
                ));
            }
        }
        Ok(())
    }

    async fn commit_block<C: Client>(&mut self, chain: bool, client: &mut C) -> Result<Outcome, Failure> {
        match self.mode {
            Mode::Failed => {
                self.rollback_block(chain, client)?;
                Ok(Outcome::Complete("ROLLBACK".into()))
            }
            Mode::Block => {
                let options = self.active()?.transaction.options();
                self.commit(client).await?;
                if chain {
                    self.begin(Mode::Block, options);
                }
                Ok(Outcome::Complete("COMMIT".into()))
            }
            Mode::Implicit | Mode::Idle => {
                self.no_block(chain)?;
                self.commit(client).await?;
                Ok(Outcome::Complete("COMMIT".into()))
            }
        }
    }

    fn no_block(&mut self, chain: bool) -> Result<()> {
        if chain {
            return Err(SqlError::new(
                sqlstate::NO_ACTIVE_SQL_TRANSACTION,
                "AND CHAIN can only be used in transaction blocks",
            ));
        }
        self.tell(Notice::warning(
            sqlstate::NO_ACTIVE_SQL_TRANSACTION,
            "there is no transaction in progress",
        ));
        Ok(())
    }

    fn rollback_block<C: Client>(&mut self, chain: bool, client: &mut C) -> Result<()> {
        let options = match (&self.active, &self.failed) {
            (Some(active), _) => Some(active.transaction.options()),
            (None, Some(failed)) => Some(failed.active.transaction.options()),
            (None, None) => None,
        };
        if matches!(self.mode, Mode::Idle | Mode::Implicit) {
            self.no_block(chain)?;
        }
        self.abort(client);
        self.failed = None;
        if let (true, Some(options)) = (chain, options) {
            self.begin(Mode::Block, options);
        }
        Ok(())
    }

    fn in_block(&self, what: &str) -> Result<()> {
        if self.mode == Mode::Block {
            return Ok(());
        }
        Err(SqlError::new(
            sqlstate::NO_ACTIVE_SQL_TRANSACTION,
            format!("{what} can only be used in transaction blocks"),
        ))
    }

    fn savepoint(&mut self, name: &str) -> Result<()> {
        self.in_block("SAVEPOINT")?;
        let saved = self.state.settings.lock().save();
        let active = self.active()?;
        let savepoint = active.transaction.savepoint();
        active.savepoints.push((name.to_string(), savepoint, saved));
        Ok(())
    }

    fn release(&mut self, name: &str) -> Result<()> {
        self.in_block("RELEASE SAVEPOINT")?;
        let active = self.active()?;
        let at = active.savepoints.iter().rposition(|(n, ..)| n == name).ok_or_else(|| no_savepoint(name))?;
        active.savepoints.truncate(at);
        Ok(())
    }

    fn rollback_to<C: Client>(&mut self, name: &str, client: &mut C) -> Result<()> {
        if !matches!(self.mode, Mode::Block | Mode::Failed) {
            self.in_block("ROLLBACK TO SAVEPOINT")?;
        }
        let failed = self.mode == Mode::Failed;
        let Some(mut active) = self.active.take().or_else(|| self.failed.take().map(|f| f.active)) else {
            return Err(SqlError::internal("a block without a transaction"));
        };
        let at = active.savepoints.iter().rposition(|(n, ..)| n == name);
        if let Some(at) = at {
            active.savepoints.truncate(at + 1);
            if let Some((_, savepoint, saved)) = active.savepoints.last() {
                active.transaction.rollback_to(savepoint);
                let changes = self.state.settings.lock().restore(saved);
                report(client, changes);
            }
            self.portals.clear();
            self.mode = Mode::Block;
        }
        if at.is_none() && failed {
            self.failed = Some(super::FailedBlock { active });
        } else {
            self.active = Some(active);
        }
        if at.is_none() { Err(no_savepoint(name)) } else { Ok(()) }
    }

    fn set<C: Client>(&mut self, scope: Scope, name: &str, value: &SetValue, client: &mut C) -> Result<()> {
        if name == "role" {
            return Ok(());
        }
        let local = scope == Scope::Local;
        if local && self.mode != Mode::Block {
            self.tell(Notice::warning(
                sqlstate::NO_ACTIVE_SQL_TRANSACTION,
                "SET LOCAL can only be used in transaction blocks",
            ));
        }
        let text = match value {
            SetValue::Default => None,
            SetValue::Text(text) => Some(text.as_str()),
        };
        if let (Some(text), "transaction_isolation" | "transaction_read_only") = (text, name) {
            let modes = if name == "transaction_isolation" {
                TransactionModes { isolation: Some(isolation(text)), ..TransactionModes::default() }
            } else {
                TransactionModes { read_only: super::settings::boolean(text), ..TransactionModes::default() }
            };
            return self.set_transaction(false, modes, client);
        }
        let change = self.state.settings.lock().set(name, text, local)?;
        report(client, change.into_iter().collect());
        Ok(())
    }

    fn set_transaction<C: Client>(
        &mut self,
        session: bool,
        modes: TransactionModes,
        client: &mut C,
    ) -> Result<()> {
        if session {
            let mut changes = Vec::new();
            let mut settings = self.state.settings.lock();
            if let Some(isolation) = modes.isolation {
                let name = isolation_name(isolation);
                changes.extend(settings.set("default_transaction_isolation", Some(name), false)?);
            }
            if let Some(read_only) = modes.read_only {
                let value = if read_only { "on" } else { "off" };
                changes.extend(settings.set("default_transaction_read_only", Some(value), false)?);
            }
            drop(settings);
            report(client, changes);
            return Ok(());
        }
        if self.mode != Mode::Block {
            self.tell(Notice::warning(
                sqlstate::NO_ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION can only be used in transaction blocks",
            ));
        }
        let active = self.active()?;
        let before = active.transaction.options();
        if before.read_only && modes.read_only == Some(false) && active.transaction.current().is_some() {
            return Err(SqlError::new(
                sqlstate::ACTIVE_SQL_TRANSACTION,
                "transaction read-write mode must be set before any query",
            ));
        }
        active.transaction.set_options(with_modes(before, modes))
    }

    fn setting_value(&mut self, name: &str) -> Result<String> {
        let options = self.active.as_ref().map(|a| a.transaction.options());
        let options = options.unwrap_or_else(|| self.options());
        let canonical = Settings::canonical(name)?;
        Ok(match canonical {
            "transaction_isolation" => isolation_name(options.isolation).to_string(),
            "transaction_read_only" => if options.read_only { "on" } else { "off" }.to_string(),
            "gemini.site" => self.host().site_name(),
            "gemini.frontier" => self.host().frontier().to_string(),
            "gemini.last_color" => self.state.last_color().to_string(),
            _ => self.state.settings.lock().get(name).unwrap_or("").to_string(),
        })
    }

    fn show<C: Client>(
        &mut self,
        portal: &mut Portal,
        name: Option<&str>,
        limit: usize,
        client: &mut C,
    ) -> Result<Outcome> {
        let (columns, rows) = match name {
            Some(name) => {
                let value = self.setting_value(name)?;
                (vec![text_column(Settings::canonical(name)?)], vec![vec![Value::text(value.as_str())]])
            }
            None => {
                let mut rows = Vec::new();
                for (name, _, about) in self.settings().all() {
                    let value = self.setting_value(name)?;
                    rows.push(vec![Value::text(name), Value::text(value.as_str()), Value::text(about)]);
                }
                (vec![text_column("name"), text_column("setting"), text_column("description")], rows)
            }
        };
        self.give_rows(portal, columns, rows.into_iter(), "SHOW".into(), limit, client)
    }

    fn reset<C: Client>(&mut self, name: Option<&str>, client: &mut C) -> Result<()> {
        let changes = match name {
            Some(name) => self.state.settings.lock().set(name, None, false)?.into_iter().collect(),
            None => self.state.settings.lock().reset_all(),
        };
        report(client, changes);
        Ok(())
    }

    /// The tables must exist; the transaction's snapshot keeps them as they are.
    fn lock(&mut self, tables: &[Name]) -> Result<()> {
        let host = self.shared.host.clone();
        let schema = self.active()?.transaction.schema(&*host);
        tables.iter().try_for_each(|table| crate::ddl::find_table(&schema, table).map(drop))
    }

    fn discard<C: Client>(&mut self, what: &str, client: &mut C) -> Result<()> {
        match what {
            "ALL" => {
                if self.mode == Mode::Block {
                    return Err(SqlError::new(
                        sqlstate::ACTIVE_SQL_TRANSACTION,
                        "DISCARD ALL cannot run inside a transaction block",
                    ));
                }
                self.reset(None, client)?;
                self.statements.clear();
                self.portals.clear();
                self.state.sequences.lock().forget();
            }
            "SEQUENCES" => self.state.sequences.lock().forget(),
            // Plans are shared and follow the schema by themselves; there are no temporary tables.
            _ => {}
        }
        Ok(())
    }

    /// PREPARE.
    fn prepare_statement(&mut self, name: &str, inner: Cached) -> Result<()> {
        if self.statements.contains_key(name) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        let cached = Arc::new(inner);
        let parameters = self.plan_now(&cached)?.map_or_else(Vec::new, |p| p.parameters.clone());
        self.statements
            .insert(name.to_string(), Arc::new(PreparedStatement { cached: Some(cached), parameters }));
        Ok(())
    }

    /// EXECUTE's statement and the values of its arguments.
    async fn arguments(
        &mut self,
        name: &str,
        arguments: &[sqlparser::ast::Expr],
    ) -> Result<(Arc<Cached>, Vec<Value>)> {
        let statement = self.statement(name)?;
        let Some(cached) = statement.cached.clone() else {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "the prepared statement is empty"));
        };
        if arguments.len() != statement.parameters.len() {
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                format!("wrong number of parameters for prepared statement \"{name}\""),
            )
            .detail(format!(
                "Expected {} parameters but got {}.",
                statement.parameters.len(),
                arguments.len()
            )));
        }
        if arguments.is_empty() {
            return Ok((cached, Vec::new()));
        }
        let list: Vec<String> = arguments
            .iter()
            .zip(&statement.parameters)
            .map(|(expr, ty)| format!("CAST({expr} AS {})", types::display(ty)))
            .collect();
        let rows = self.query(&format!("SELECT {}", list.join(", ")), Vec::new()).await?;
        let params = rows.into_iter().next().unwrap_or_default();
        Ok((cached, params))
    }

    async fn explain<C: Client>(
        &mut self,
        portal: &mut Portal,
        cached: &Arc<Cached>,
        explain: &Explain,
        limit: usize,
        client: &mut C,
    ) -> Result<Outcome, Failure> {
        let (inner, params) = match &explain.statement {
            Body::Execute { name, arguments } => self.arguments(name, arguments).await?,
            Body::Ddl(_) => {
                let lines: &[&str] = if explain.color {
                    &["red", "  schema changes are ordered"]
                } else {
                    &["Schema change (red: ordered at every site)"]
                };
                let rows: Vec<_> = lines.iter().map(|line| vec![Value::text(*line)]).collect();
                let columns = vec![text_column("QUERY PLAN")];
                return Ok(self.give_rows(
                    portal,
                    columns,
                    rows.into_iter(),
                    "EXPLAIN".into(),
                    limit,
                    client,
                )?);
            }
            body => {
                let statement =
                    Statement { body: body.clone(), range: explain.range.clone(), tag: cached.statement.tag };
                let inner = Cached::new(cached.text.clone(), statement, cached.types.clone(), self.public());
                (Arc::new(inner), portal.params.clone())
            }
        };
        let host = self.shared.host.clone();
        self.active()?.transaction.begin_statement(&*host);
        let prepared = self.plan(&inner)?;
        let context = self.context()?;
        let missing = prepared.parameters.len() > params.len();
        if missing && (explain.color || explain.analyze) {
            return Err(SqlError::new(sqlstate::UNDEFINED_PARAMETER, "there is no parameter $1")
                .hint("PREPARE the statement and EXPLAIN EXECUTE it with values.")
                .into());
        }
        let mut lines = Vec::new();
        if explain.color {
            let active = self.active()?;
            lines = match explain_color(&prepared, params, &context, &mut active.transaction).await {
                // To explain is not to open: that would be an effect.
                Err(error) if error.closed_sequence.is_some() => vec![
                    "red, once".to_string(),
                    format!("  {}: its first nextval anywhere is one red entry that opens it", error.message),
                    "    hint: SELECT nextval(…) once, and explain again".to_string(),
                ],
                other => other?,
            };
        } else {
            lines.extend(prepared.explain());
            if explain.analyze {
                let begun = host.now();
                let active = self.active()?;
                let mut cursor = Cursor::open(prepared, params, &context, &mut active.transaction)?;
                let mut rows = 0;
                while let Some(batch) = cursor.next(&context, &mut active.transaction, 0).await? {
                    rows += batch.len();
                }
                let spent = host.now().saturating_sub(begun);
                lines.push(format!("Rows: {rows}, affected: {}", cursor.affected()));
                lines.push(format!("Execution Time: {}.{:03} ms", spent / 1000, spent % 1000));
            }
        }
        let rows: Vec<_> = lines.iter().map(|line| vec![Value::text(line.as_str())]).collect();
        let columns = vec![text_column("QUERY PLAN")];
        Ok(self.give_rows(portal, columns, rows.into_iter(), "EXPLAIN".into(), limit, client)?)
    }

    fn declare(&mut self, name: &str, hold: bool, inner: Cached) -> Result<()> {
        if hold {
            return Err(SqlError::unsupported(
                "a cursor WITH HOLD",
                "Fetch within the transaction that declares the cursor.",
            ));
        }
        self.in_block("DECLARE CURSOR")?;
        if self.portals.contains_key(name) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_CURSOR,
                format!("cursor \"{name}\" already exists"),
            ));
        }
        let inner = Arc::new(inner);
        let prepared = self.plan_now(&inner)?;
        if prepared.is_some_and(|p| p.writes()) {
            return Err(SqlError::new(sqlstate::SYNTAX_ERROR, "DECLARE CURSOR takes a SELECT"));
        }
        self.portals.insert(name.to_string(), Portal::ready(inner, Vec::new(), Vec::new()));
        Ok(())
    }

    async fn fetch<C: Client>(
        &mut self,
        name: &str,
        count: Option<u64>,
        moves: bool,
        client: &mut C,
    ) -> Result<Outcome, Failure> {
        let Some(mut portal) = self.portals.remove(name) else { return Err(no_portal(name).into()) };
        let limit = count.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let nothing = count == Some(0);
        portal.rows = 0;
        if !nothing {
            if matches!(portal.state, PortalState::Done) {
                let columns = match &portal.statement {
                    Some(cached) => self.plan_now(&cached.clone())?.map(|p| p.columns.clone()),
                    None => None,
                };
                if !moves {
                    client.columns(&columns.unwrap_or_default());
                }
            } else if moves {
                let mut nobody = Collected::default();
                Box::pin(self.execute_portal(&mut portal, limit, &mut nobody)).await?;
            } else {
                Box::pin(self.execute_portal(&mut portal, limit, client)).await?;
            }
        }
        let tag = format!("{} {}", if moves { "MOVE" } else { "FETCH" }, portal.rows);
        self.portals.insert(name.to_string(), portal);
        Ok(Outcome::Complete(tag))
    }
}

fn with_modes(options: Options, modes: TransactionModes) -> Options {
    Options {
        isolation: modes.isolation.unwrap_or(options.isolation),
        read_only: modes.read_only.unwrap_or(options.read_only),
        ..options
    }
}

fn no_savepoint(name: &str) -> SqlError {
    SqlError::new(sqlstate::INVALID_SAVEPOINT_SPECIFICATION, format!("savepoint \"{name}\" does not exist"))
}

pub(super) fn text_column(name: &str) -> OutputColumn {
    OutputColumn { name: name.to_string(), ty: DataType::Text, origin: None }
}
