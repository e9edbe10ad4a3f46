//! Prepared statements and portals, as the extended protocol and PREPARE, EXECUTE use them.

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Schema, Value};

use super::run::{Outcome, controls};
use super::{Cached, Client, Mode, Portal, PortalState, Session};
use crate::error::{Result, SqlError};
use crate::parse::{Body, Statement};
use crate::plan::{OutputColumn, Prepared};
use crate::sqlstate;

/// Statements and portals a client may keep, each.
const MAX_NAMES: usize = 10_000;

/// A named (or the unnamed) prepared statement.
#[derive(Debug)]
pub struct PreparedStatement {
    /// None: the empty statement.
    pub cached: Option<Arc<Cached>>,
    /// The types of $1, $2 ….
    pub parameters: Vec<DataType>,
}

/// What Describe says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// The types of $1, $2 …; empty for a portal.
    pub parameters: Vec<DataType>,
    /// None: it returns no rows.
    pub columns: Option<Vec<OutputColumn>>,
}

impl Session {
    /// Parse: prepares one statement under a name ("" for the unnamed one).
    pub fn prepare(&mut self, name: &str, text: &str, declared: &[DataType]) -> Result<()> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if self.statements.len() >= MAX_NAMES {
            return Err(SqlError::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!("more than {MAX_NAMES} prepared statements in one session"),
            )
            .hint("Close or DEALLOCATE those that are not needed."));
        }
        let public = self.state.settings.lock().typed.public_in_path;
        let statements = self.shared.cache.parse(text, declared, public)?;
        if statements.len() > 1 {
            return Err(SqlError::new(
                sqlstate::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let cached = statements.first().cloned();
        if let Some(cached) = &cached {
            self.allowed(&cached.statement.body)?;
        }
        let parameters = match &cached {
            Some(cached) => self.plan_now(cached)?.map_or_else(Vec::new, |p| p.parameters.clone()),
            None => Vec::new(),
        };
        self.statements.insert(name.to_string(), Arc::new(PreparedStatement { cached, parameters }));
        Ok(())
    }

    /// What the transaction under way sees, or what the next would.
    fn schema_now(&mut self) -> (Arc<Schema>, bool) {
        let host = self.shared.host.clone();
        match self.active.as_mut() {
            Some(active) => (active.transaction.schema(&*host), active.changed_schema),
            None => (host.snapshot().schema().clone(), false),
        }
    }

    /// The plan of a statement that has one (of the explained one, for EXPLAIN).
    pub(super) fn plan_now(&mut self, cached: &Arc<Cached>) -> Result<Option<Arc<Prepared>>> {
        let Some(target) = plannable(cached) else { return Ok(None) };
        let (schema, own) = self.schema_now();
        target.plan(&schema, own, &self.catalog).map(Some)
    }

    /// A prepared statement by its name.
    pub fn statement(&self, name: &str) -> Result<Arc<PreparedStatement>> {
        self.statements.get(name).cloned().ok_or_else(|| {
            SqlError::new(
                sqlstate::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            )
        })
    }

    /// Describe of a statement.
    pub fn describe_statement(&mut self, name: &str) -> Result<Described> {
        let statement = self.statement(name)?;
        let columns = match &statement.cached {
            Some(cached) => self.columns_of(&cached.clone())?,
            None => None,
        };
        Ok(Described { parameters: statement.parameters.clone(), columns })
    }

    /// Describe of a portal.
    pub fn describe_portal(&mut self, name: &str) -> Result<Described> {
        let Some(portal) = self.portals.get(name) else { return Err(no_portal(name)) };
        let columns = match portal.statement.clone() {
            Some(cached) => self.columns_of(&cached)?,
            None => None,
        };
        Ok(Described { parameters: Vec::new(), columns })
    }

    /// The columns that a statement returns.
    fn columns_of(&mut self, cached: &Arc<Cached>) -> Result<Option<Vec<OutputColumn>>> {
        let text = |name: &str| OutputColumn { name: name.to_string(), ty: DataType::Text, origin: None };
        Ok(match &cached.statement.body {
            Body::Dml(statement) => {
                if let Some(name) = super::run::setval_name(statement) {
                    return Ok(Some(vec![OutputColumn { name, ty: DataType::Int8, origin: None }]));
                }
                let prepared = self.plan_now(cached)?;
                prepared.filter(|p| p.returns_rows()).map(|p| p.columns.clone())
            }
            Body::Explain(_) => Some(vec![text("QUERY PLAN")]),
            Body::Show(Some(name)) => Some(vec![text(super::Settings::canonical(name)?)]),
            Body::Show(None) => Some(vec![text("name"), text("setting"), text("description")]),
            Body::Execute { name, .. } => match self.statement(name)?.cached.clone() {
                Some(inner) if matches!(inner.statement.body, Body::Dml(_)) => self.columns_of(&inner)?,
                _ => None,
            },
            Body::Fetch { name, moves: false, .. } => {
                let Some(portal) = self.portals.get(name) else { return Err(no_portal(name)) };
                match portal.statement.clone() {
                    Some(inner) => self.columns_of(&inner)?,
                    None => None,
                }
            }
            _ => None,
        })
    }

    /// Bind: a portal with its parameters. The result formats are the protocol's and are only kept.
    pub fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        params: Vec<Value>,
        formats: Vec<i16>,
    ) -> Result<()> {
        let prepared = self.statement(statement)?;
        if let Some(cached) = &prepared.cached {
            self.allowed(&cached.statement.body)?;
        }
        if !portal.is_empty() && self.portals.contains_key(portal) {
            return Err(SqlError::new(
                sqlstate::DUPLICATE_CURSOR,
                format!("portal \"{portal}\" already exists"),
            ));
        }
        if self.portals.len() >= MAX_NAMES {
            return Err(SqlError::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!("more than {MAX_NAMES} portals in one session"),
            ));
        }
        if params.len() != prepared.parameters.len() {
            return Err(SqlError::new(
                sqlstate::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                    params.len(),
                    prepared.parameters.len()
                ),
            ));
        }
        let bound = match &prepared.cached {
            Some(cached) => self.plan_now(cached)?,
            None => None,
        };
        if bound.as_ref().is_some_and(|b| b.parameters != prepared.parameters) {
            return Err(SqlError::unsupported(
                "a change of parameter types after Parse",
                "Prepare the statement again: the schema has changed.",
            ));
        }
        let made = match &prepared.cached {
            Some(cached) => Portal { bound, ..Portal::ready(cached.clone(), params, formats) },
            None => Portal { statement: None, params, formats, bound, rows: 0, state: PortalState::Ready },
        };
        self.portals.insert(portal.to_string(), made);
        Ok(())
    }

    /// The result formats that a portal was bound with.
    pub fn portal_formats(&self, name: &str) -> Result<Vec<i16>> {
        self.portals.get(name).map(|p| p.formats.clone()).ok_or_else(|| no_portal(name))
    }

    /// Execute. `last`: Sync follows, so that the statement is the whole transaction if none is open, and is run anew if its
    /// commit is refused. Errors have been cleaned up after when this returns.
    pub async fn execute<C: Client>(
        &mut self,
        name: &str,
        limit: usize,
        last: bool,
        client: &mut C,
    ) -> Result<()> {
        let Some(mut portal) = self.portals.remove(name) else {
            self.fail(client);
            return Err(no_portal(name));
        };
        let result = self.execute_taken(&mut portal, limit, last, client).await;
        self.give_notices(client);
        match result {
            Ok(()) => {
                // A commit has ended every portal; otherwise it may go on.
                if self.mode != Mode::Idle {
                    self.portals.insert(name.to_string(), portal);
                }
                Ok(())
            }
            Err(error) => {
                self.fail(client);
                Err(error)
            }
        }
    }

    async fn execute_taken<C: Client>(
        &mut self,
        portal: &mut Portal,
        limit: usize,
        last: bool,
        client: &mut C,
    ) -> Result<()> {
        let Some(cached) = portal.statement.clone() else {
            client.empty();
            return Ok(());
        };
        let body = &cached.statement.body;
        self.allowed(body)?;
        if self.mode == Mode::Idle && !controls(body) {
            if last && limit == 0 {
                return self.run_implicit(std::slice::from_mut(portal), client).await;
            }
            let options = self.options();
            self.begin(Mode::Implicit, options);
        }
        match self.execute_portal(portal, limit, client).await.map_err(|f| f.error)? {
            Outcome::Complete(tag) => {
                self.give_notices(client);
                client.complete(&tag);
            }
            Outcome::Suspended => client.suspended(),
        }
        Ok(())
    }

    /// Sync: an implicit transaction ends here, and with it its portals.
    pub async fn sync<C: Client>(&mut self, client: &mut C) -> Result<()> {
        let result = match self.mode {
            Mode::Implicit => self.commit(client).await.map_err(|f| f.error),
            _ => Ok(()),
        };
        if self.mode == Mode::Idle {
            self.portals.clear();
        }
        result
    }

    /// An error outside execution (a malformed Bind, say): the transaction fails.
    pub fn protocol_error<C: Client>(&mut self, client: &mut C) {
        self.fail(client);
    }

    /// Close of a statement; one that is not there is no error.
    pub fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
    }

    /// Close of a portal.
    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }
}

/// What of a statement is planned: itself, or what it explains.
fn plannable(cached: &Arc<Cached>) -> Option<Arc<Cached>> {
    match &cached.statement.body {
        Body::Dml(_) => Some(cached.clone()),
        Body::Explain(explain) => match &explain.statement {
            body @ Body::Dml(_) => {
                let statement =
                    Statement { body: body.clone(), range: explain.range.clone(), tag: "EXPLAIN" };
                Some(Arc::new(Cached::new(cached.text.clone(), statement, cached.types.clone(), true)))
            }
            _ => None,
        },
        _ => None,
    }
}

/// 34000.
pub(super) fn no_portal(name: &str) -> SqlError {
    let what = if name.is_empty() { "the unnamed portal".to_string() } else { format!("cursor \"{name}\"") };
    SqlError::new(sqlstate::INVALID_CURSOR_NAME, format!("{what} does not exist"))
}
