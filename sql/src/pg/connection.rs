//! One connection: its start-up, and the loop that turns messages into calls of its session.
//!
//! ```text
//!   start-up:   SSLRequest? 'N' … StartupMessage ─► AuthenticationOk, ParameterStatus …, BackendKeyData, ReadyForQuery
//!   simple:     Query ─► session.simple ─► rows …, CommandComplete, ReadyForQuery
//!   extended:   Parse, Bind, Describe, Execute … Sync     answers are written at Sync or Flush
//!               an error skips everything up to the next Sync
//! ```

use std::sync::Arc;

use gemini_shadow_ops::{DataType, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::message::{self, Bind, Message, Startup, Target};
use super::wire::{Wire, protocol_error};
use super::{Guard, Limits, Registry};
use crate::error::{Result, SqlError};
use crate::expr::{EvalContext, binary, text, types};
use crate::session::{Client, Session, Shared};
use crate::sqlstate;

/// What a start-up came to.
enum Started {
    Session(Box<Session>, Guard),
    /// Nothing more to do: a cancel request, or the client left.
    Over,
}

/// Serves one connection to its end.
pub(super) async fn serve<S>(
    stream: S,
    shared: Shared,
    registry: Arc<Registry>,
    limits: &Limits,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut wire = Wire::new(stream);
    let started =
        tokio::time::timeout(limits.startup, start(&mut wire, shared, &registry, &limits.settings)).await;
    let started = started.unwrap_or_else(|_| Err(protocol_error("the client took too long to start up")));
    let (mut session, _guard) = match started {
        Ok(Started::Session(session, guard)) => (session, guard),
        Ok(Started::Over) => return Ok(()),
        Err(error) => return farewell(&mut wire, error).await,
    };
    match converse(&mut wire, &mut session, &registry).await {
        Ok(()) => Ok(()),
        Err(error) => farewell(&mut wire, error).await,
    }
}

/// The connection cannot go on; its client is told why, if it is still there.
async fn farewell<S>(wire: &mut Wire<S>, error: SqlError) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    wire.answers.error(&error, true);
    // The error that ended the connection says more than a failure to tell it.
    drop(wire.flush().await);
    Err(error)
}

async fn start<S>(
    wire: &mut Wire<S>,
    shared: Shared,
    registry: &Arc<Registry>,
    settings: &[(String, String)],
) -> Result<Started>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (minor, parameters) = loop {
        match message::startup(&mut wire.inbox).map_err(|m| protocol_error(m.0))? {
            Some(Startup::Ssl | Startup::Gss) => wire.byte(b'N').await?,
            Some(Startup::Cancel { pid, key }) => {
                registry.cancel(pid, key);
                return Ok(Started::Over);
            }
            Some(Startup::Start { minor, parameters }) => break (minor, parameters),
            None => {
                if !wire.read().await? {
                    return Ok(Started::Over);
                }
            }
        }
    };
    let find = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let Some(user) = find("user").filter(|user| !user.is_empty()) else {
        return Err(SqlError::new(
            sqlstate::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        ));
    };
    let database = find("database").filter(|d| !d.is_empty()).unwrap_or(user);
    let guard = registry.enter()?;
    let mut session = Session::new(shared, user, database, guard.pid);
    guard.cancels(session.canceler());
    for (name, value) in settings {
        session.start_setting(name, value)?;
    }
    let mut unknown = Vec::new();
    for (name, value) in &parameters {
        match name.as_str() {
            "user" | "database" => {}
            "replication" => {
                return Err(SqlError::unsupported(
                    "the replication protocol",
                    "Sites replicate by themselves; see gemini.sites.",
                ));
            }
            "options" => command_line(&mut session, value)?,
            name if name.starts_with("_pq_.") => unknown.push(name.to_string()),
            name => session.start_setting(name, value)?,
        }
    }
    session.started();
    if minor > 0 || !unknown.is_empty() {
        wire.answers.negotiate(&unknown);
    }
    wire.answers.welcome();
    for (name, value) in session.settings().reported() {
        wire.answers.parameter(name, &value);
    }
    wire.answers.key(guard.pid, guard.key);
    wire.answers.ready(session.status());
    wire.flush().await?;
    Ok(Started::Session(Box::new(session), guard))
}

/// PGOPTIONS: `-c name=value` and `--name=value`.
fn command_line(session: &mut Session, options: &str) -> Result<()> {
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--") {
            Some(setting) => Some(setting),
            None if word == "-c" => words.next(),
            None => word.strip_prefix("-c"),
        };
        let Some((name, value)) = setting.and_then(|s| s.split_once('=')) else {
            return Err(protocol_error(format!("invalid command-line argument for server process: {word}")));
        };
        session.start_setting(&name.replace('-', "_"), value)?;
    }
    Ok(())
}

async fn converse<S>(wire: &mut Wire<S>, session: &mut Session, registry: &Registry) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // After an error of the extended protocol, up to the next Sync.
    let mut skipping = false;
    loop {
        let message = match wire.take()? {
            Some(message) => message,
            None => {
                let limit = session.idle_limit();
                let idle = async {
                    match &limit {
                        Some((limit, _)) => tokio::time::sleep(*limit).await,
                        None => std::future::pending().await,
                    }
                };
                let more = tokio::select! {
                    read = wire.read() => read?,
                    () = idle, if limit.is_some() => {
                        return Err(limit.map_or_else(|| protocol_error("idle"), |(_, error)| error));
                    }
                    () = registry.closing(), if session.status() == crate::session::Status::Idle => {
                        return Err(SqlError::new(
                            sqlstate::ADMIN_SHUTDOWN,
                            "terminating connection due to administrator command",
                        ));
                    }
                };
                if !more {
                    return Ok(());
                }
                continue;
            }
        };
        match message {
            Message::Terminate => return Ok(()),
            Message::Query(text) => {
                skipping = false;
                session.clear_cancel();
                wire.describes = true;
                wire.formats.clear();
                if let Err(error) = session.simple(&text, wire).await {
                    wire.answers.error(&error, false);
                }
                wire.answers.ready(session.status());
                wire.flush().await?;
            }
            Message::Sync => {
                skipping = false;
                wire.describes = false;
                if let Err(error) = session.sync(wire).await {
                    wire.answers.error(&error, false);
                }
                wire.answers.ready(session.status());
                wire.flush().await?;
            }
            Message::Flush => wire.flush().await?,
            // What is left of a COPY that ended early.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => {}
            Message::Other(kind) => {
                return Err(protocol_error(format!("unexpected message '{}'", char::from(kind))));
            }
            _ if skipping => {}
            message => {
                if let Err(error) = extended(wire, session, message).await {
                    wire.answers.error(&error, false);
                    skipping = true;
                }
            }
        }
    }
}

async fn extended<S>(wire: &mut Wire<S>, session: &mut Session, message: Message) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Message::Execute { portal, limit } = message else {
        let done = prepare(wire, session, message);
        if done.is_err() {
            session.protocol_error(wire);
        }
        return done;
    };
    session.clear_cancel();
    wire.describes = false;
    wire.formats = match session.portal_formats(&portal) {
        Ok(formats) => formats,
        Err(error) => {
            session.protocol_error(wire);
            return Err(error);
        }
    };
    let last = message::peek(&wire.inbox) == Some(b'S');
    session.execute(&portal, limit, last, wire).await?;
    wire.flush_if_full().await
}

/// Everything of the extended protocol that runs nothing.
fn prepare<S>(wire: &mut Wire<S>, session: &mut Session, message: Message) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    match message {
        Message::Parse { name, text, types } => {
            let declared = types.into_iter().map(declared).collect::<Result<Vec<DataType>>>()?;
            session.prepare(&name, &text, &declared)?;
            wire.answers.bare(b'1');
        }
        Message::Bind(bind) => {
            let values = values(session, &bind)?;
            session.bind(&bind.portal, &bind.statement, values, bind.results)?;
            wire.answers.bare(b'2');
        }
        Message::Describe(Target::Statement, name) => {
            let described = session.describe_statement(&name)?;
            wire.answers.parameter_types(&described.parameters);
            match described.columns {
                Some(columns) => wire.answers.columns(&columns, &[]),
                None => wire.answers.bare(b'n'),
            }
        }
        Message::Describe(Target::Portal, name) => {
            let formats = session.portal_formats(&name)?;
            match session.describe_portal(&name)?.columns {
                Some(columns) => wire.answers.columns(&columns, &formats),
                None => wire.answers.bare(b'n'),
            }
        }
        Message::Close(target, name) => {
            match target {
                Target::Statement => session.close_statement(&name),
                Target::Portal => session.close_portal(&name),
            }
            wire.answers.bare(b'3');
        }
        other => return Err(protocol_error(format!("unexpected message {other:?}"))),
    }
    Ok(())
}

/// A parameter's type as the client declares it; 0 leaves it to us.
fn declared(oid: u32) -> Result<DataType> {
    if oid == 0 {
        return Ok(DataType::Unknown);
    }
    types::from_oid(oid, -1).ok_or_else(|| {
        SqlError::new(sqlstate::UNDEFINED_OBJECT, format!("type with OID {oid} does not exist"))
    })
}

/// A Bind's parameters as values of the statement's types.
fn values(session: &mut Session, bind: &Bind) -> Result<Vec<Value>> {
    let statement = session.statement(&bind.statement)?;
    let types = &statement.parameters;
    if bind.values.len() != types.len() {
        return Err(protocol_error(format!(
            "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
            bind.values.len(),
            bind.statement,
            types.len()
        )));
    }
    if bind.formats.len() > 1 && bind.formats.len() != bind.values.len() {
        return Err(protocol_error(format!(
            "bind message has {} parameter formats but {} parameters",
            bind.formats.len(),
            bind.values.len()
        )));
    }
    let environment = session.environment();
    let context = EvalContext::new(&[], &*environment);
    let decode = |(i, (value, ty)): (usize, (&Option<bytes::Bytes>, &DataType))| {
        let Some(bytes) = value else { return Ok(Value::Null) };
        let format = match bind.formats.as_slice() {
            [] => 0,
            [all] => *all,
            each => each.get(i).copied().unwrap_or(0),
        };
        match format {
            1 => binary::receive(bytes, ty, &context),
            0 => match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => text::input(text, ty, &context),
                _ => Err(SqlError::new(
                    sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
                    "invalid byte sequence for encoding \"UTF8\"",
                )),
            },
            other => Err(protocol_error(format!("unsupported format code: {other}"))),
        }
    };
    bind.values.iter().zip(types).enumerate().map(decode).collect()
}
