//! COPY FROM STDIN and TO STDOUT: rows between the client's data and plans of our own.
//!
//! COPY FROM runs `INSERT … VALUES ($1, …)` with many rows at a time, so that defaults, checks, keys and colours are the
//! same as an INSERT's. It is one transaction, bounded in bytes: a site keeps a transaction in memory until it commits.

use std::sync::Arc;

use gemini_shadow_ops::{Column, DataType, Table, Value};

use super::{Cached, Client, CopyInput, Mode, Session};
use crate::copy::{Fields, Reader, write_record};
use crate::error::{Result, SqlError};
use crate::exec::Cursor;
use crate::expr::{EvalContext, text};
use crate::parse::{Body, CopyDirection, CopySource, CopyStatement, Name};
use crate::sqlstate;

/// Bytes of data in one COPY FROM.
const MAX_BYTES: usize = 256 << 20;
/// Rows in one INSERT.
const ROWS: usize = 64;
/// Parameters in one INSERT.
const PARAMETERS: usize = 4096;

impl Session {
    pub(super) async fn copy<C: Client>(
        &mut self,
        copy: &CopyStatement,
        text: &Arc<str>,
        client: &mut C,
    ) -> Result<String> {
        self.wait_until_fresh().await?;
        let host = self.shared.host.clone();
        self.active()?.transaction.begin_statement(&*host);
        let count = match copy.direction {
            CopyDirection::FromStdin => {
                let active = self.active()?;
                let savepoint = active.transaction.savepoint();
                let result = self.copy_in(copy, client).await;
                if result.is_err()
                    && let Some(active) = self.active.as_mut()
                {
                    active.transaction.rollback_to(&savepoint);
                }
                result?
            }
            CopyDirection::ToStdout => self.copy_out(copy, text, client).await?,
        };
        Ok(format!("COPY {count}"))
    }

    /// The table and the columns that are copied.
    fn copy_target(&mut self, name: &Name, columns: &[String]) -> Result<(Arc<Table>, Vec<Column>)> {
        let host = self.shared.host.clone();
        let schema = self.active()?.transaction.schema(&*host);
        let table = crate::ddl::find_table(&schema, name)?.clone();
        let picked = if columns.is_empty() {
            table.columns.iter().filter(|c| !c.hidden && c.generated.is_none()).cloned().collect()
        } else {
            let mut picked: Vec<Column> = Vec::new();
            for column in columns {
                let found = table.column_by_name(column).filter(|c| !c.hidden).ok_or_else(|| {
                    SqlError::new(
                        sqlstate::UNDEFINED_COLUMN,
                        format!("column \"{column}\" of relation \"{}\" does not exist", table.name),
                    )
                })?;
                if picked.iter().any(|c| c.id == found.id) {
                    return Err(SqlError::new(
                        sqlstate::DUPLICATE_COLUMN,
                        format!("column \"{column}\" specified more than once"),
                    ));
                }
                picked.push(found.clone());
            }
            picked
        };
        Ok((table, picked))
    }

    async fn copy_in<C: Client>(&mut self, copy: &CopyStatement, client: &mut C) -> Result<u64> {
        let CopySource::Table { table: name, columns } = &copy.source else {
            return Err(SqlError::internal("COPY FROM a query"));
        };
        let (table, columns) = self.copy_target(name, columns)?;
        if columns.is_empty() {
            return Err(SqlError::unsupported("COPY into a table without columns", "Add a column."));
        }
        // The plan is made before the client sends anything, so that what it may not do is told at once.
        let rows_at_once = (PARAMETERS / columns.len()).clamp(1, ROWS);
        let whole = self.insert_statement(&table, &columns, rows_at_once)?;
        self.plan(&whole)?;
        client.copy_in(columns.len());
        let mut reader = Reader::new(copy.format.clone());
        let mut pending: Vec<Value> = Vec::with_capacity(rows_at_once * columns.len());
        let (mut count, mut bytes, mut done) = (0u64, 0usize, false);
        while !done {
            match client.copy_input().await? {
                CopyInput::Data(data) => {
                    bytes += data.len();
                    if bytes > MAX_BYTES {
                        return Err(SqlError::new(
                            sqlstate::PROGRAM_LIMIT_EXCEEDED,
                            format!("COPY is one transaction, of at most {MAX_BYTES} bytes"),
                        )
                        .hint("Load the data in several COPYs."));
                    }
                    reader.push(&data)?;
                }
                CopyInput::Done => done = true,
                CopyInput::Fail(message) => {
                    return Err(SqlError::new(
                        sqlstate::QUERY_CANCELED,
                        format!("COPY from stdin failed: {message}"),
                    ));
                }
            }
            loop {
                let place = |e: SqlError, line: u64| e.context(format!("COPY {}, line {line}", table.name));
                let record = reader.next(done).map_err(|e| place(e, reader.line() + 1))?;
                let Some(fields) = record else { break };
                let line = reader.line();
                self.read_fields(fields, &columns, &mut pending).map_err(|e| place(e, line))?;
                count += 1;
                if pending.len() >= rows_at_once * columns.len() {
                    let params = std::mem::take(&mut pending);
                    self.insert_rows(&whole, params).await.map_err(|e| place(e, line))?;
                }
            }
        }
        if !pending.is_empty() {
            let rest = self.insert_statement(&table, &columns, pending.len() / columns.len())?;
            let line = reader.line();
            let placed = |e: SqlError| e.context(format!("COPY {}, line {line}", table.name));
            self.insert_rows(&rest, pending).await.map_err(placed)?;
        }
        self.assert_blue()?;
        Ok(count)
    }

    fn read_fields(&mut self, fields: Fields, columns: &[Column], into: &mut Vec<Value>) -> Result<()> {
        if fields.len() > columns.len() {
            return Err(SqlError::new(
                sqlstate::BAD_COPY_FILE_FORMAT,
                "extra data after last expected column",
            ));
        }
        let environment = self.environment.clone();
        let context = EvalContext::new(&[], &*environment);
        let given = fields.len();
        for (field, column) in fields.into_iter().zip(columns) {
            into.push(match field {
                None => Value::Null,
                Some(text) => text::input(&text, &column.ty, &context)?,
            });
        }
        match columns.get(given) {
            None => Ok(()),
            Some(column) => Err(SqlError::new(
                sqlstate::BAD_COPY_FILE_FORMAT,
                format!("missing data for column \"{}\"", column.name),
            )),
        }
    }

    /// `INSERT INTO t (…) VALUES ($1, …), …`
    fn insert_statement(&mut self, table: &Table, columns: &[Column], rows: usize) -> Result<Arc<Cached>> {
        let names: Vec<String> = columns.iter().map(|c| crate::catalog::names::quote(&c.name)).collect();
        let mut sql = format!(
            "INSERT INTO public.{} ({}) ",
            crate::catalog::names::quote(&table.name),
            names.join(", ")
        );
        if columns.iter().any(|c| c.identity == Some(true)) {
            sql.push_str("OVERRIDING SYSTEM VALUE ");
        }
        sql.push_str("VALUES ");
        for row in 0..rows {
            let params: Vec<String> =
                (0..columns.len()).map(|i| format!("${}", row * columns.len() + i + 1)).collect();
            sql.push_str(if row > 0 { ", (" } else { "(" });
            sql.push_str(&params.join(", "));
            sql.push(')');
        }
        let statement = crate::parse::parse(&sql)?
            .into_iter()
            .next()
            .ok_or_else(|| SqlError::internal("COPY made an empty statement"))?;
        let types: Vec<DataType> = (0..rows).flat_map(|_| columns.iter().map(|c| c.ty.clone())).collect();
        Ok(Arc::new(Cached::new(sql.into(), statement, types, true)))
    }

    async fn insert_rows(&mut self, statement: &Arc<Cached>, params: Vec<Value>) -> Result<()> {
        let mut opened = 0;
        loop {
            let (mut cursor, _, context) = self.open(statement, params.clone())?;
            let active = self.active()?;
            let result: Result<()> = async {
                while cursor.next(&context, &mut active.transaction, 0).await?.is_some() {}
                Ok(())
            }
            .await;
            match result {
                // Opening is a transaction of its own, so it helps outside a block too: the data so far is kept here.
                Err(error) if error.closed_sequence.is_some() && opened < 8 => {
                    opened += 1;
                    if let Some(sequence) = error.closed_sequence {
                        self.open_sequence(sequence).await?;
                    }
                }
                other => return other,
            }
        }
    }

    async fn copy_out<C: Client>(
        &mut self,
        copy: &CopyStatement,
        text: &Arc<str>,
        client: &mut C,
    ) -> Result<u64> {
        let cached = match &copy.source {
            CopySource::Table { table, columns } => {
                let (table, columns) = self.copy_target(table, columns)?;
                let names: Vec<String> =
                    columns.iter().map(|c| crate::catalog::names::quote(&c.name)).collect();
                let sql = format!(
                    "SELECT {} FROM public.{}",
                    names.join(", "),
                    crate::catalog::names::quote(&table.name)
                );
                let statement = crate::parse::parse(&sql)?
                    .into_iter()
                    .next()
                    .ok_or_else(|| SqlError::internal("COPY made an empty statement"))?;
                Arc::new(Cached::new(sql.into(), statement, Vec::new(), true))
            }
            CopySource::Query(query) => {
                let statement = crate::parse::Statement {
                    body: Body::Dml(query.clone()),
                    range: 0..text.len(),
                    tag: "COPY",
                };
                let public = self.state.settings.lock().typed.public_in_path;
                Arc::new(Cached::new(text.clone(), statement, Vec::new(), public))
            }
        };
        let (mut cursor, prepared, context): (Cursor, _, _) = self.open(&cached, Vec::new())?;
        let releases = self.mode == Mode::Block || !prepared.writes();
        client.copy_out(prepared.columns.len());
        let mut line: Vec<u8> = Vec::new();
        if copy.format.header {
            let names: Vec<Option<&str>> = prepared.columns.iter().map(|c| Some(c.name.as_str())).collect();
            write_record(&mut line, &copy.format, &names);
            client.copy_data(&line);
        }
        let session = self.environment.clone();
        let active = self.active()?;
        let mut count = 0u64;
        while let Some(batch) = cursor.next(&context, &mut active.transaction, 0).await? {
            for row in batch.iter() {
                let texts: Vec<Option<String>> = row
                    .iter()
                    .zip(&prepared.columns)
                    .map(|(v, c)| (!v.is_null()).then(|| text::output(v, &c.ty, &session.info)))
                    .collect();
                let fields: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
                line.clear();
                write_record(&mut line, &copy.format, &fields);
                client.copy_data(&line);
                count += 1;
            }
            if releases {
                client.flush_if_full().await?;
            }
        }
        client.copy_done();
        Ok(count)
    }
}
