//! What is said to clients: backend messages, gathered in one buffer and written at once.
//!
//! The buffer is flushed when the client waits for an answer (Sync, Flush, the end of a simple query, COPY), or when it is
//! large. What has not been flushed can be taken back: a statement that is run anew leaves no trace.

use bytes::{BufMut, BytesMut};
use gemini_shadow_ops::{DataType, Value};

use crate::error::{Result, SqlError};
use crate::expr::{EvalContext, binary, text, types};
use crate::plan::OutputColumn;
use crate::session::{Notice, Severity, Status};
use crate::sqlstate;

/// How full the buffer gets before it is written though nobody waits.
pub const FULL: usize = 64 * 1024;

/// Messages on their way to a client.
#[derive(Debug, Default)]
pub struct Answers {
    /// Encoded, not written yet.
    pub buffer: BytesMut,
    /// A value's bytes before their length is known.
    scratch: Vec<u8>,
    words: String,
}

/// How a column is sent.
fn format_of(formats: &[i16], column: usize) -> i16 {
    match formats {
        [] => 0,
        [all] => *all,
        each => each.get(column).copied().unwrap_or(0),
    }
}

impl Answers {
    /// Appends one message; `body` writes its content.
    fn message(&mut self, kind: u8, body: impl FnOnce(&mut BytesMut)) {
        self.buffer.put_u8(kind);
        let at = self.buffer.len();
        self.buffer.put_i32(0);
        body(&mut self.buffer);
        let length = (self.buffer.len() - at) as i32;
        self.buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// A message without content.
    pub fn bare(&mut self, kind: u8) {
        self.message(kind, |_| {});
    }

    /// AuthenticationOk.
    pub fn welcome(&mut self) {
        self.message(b'R', |out| out.put_i32(0));
    }

    /// NegotiateProtocolVersion: 3.0, and which protocol options are not known.
    pub fn negotiate(&mut self, unknown: &[String]) {
        self.message(b'v', |out| {
            out.put_i32(0);
            out.put_i32(unknown.len() as i32);
            unknown.iter().for_each(|name| put_text(out, name));
        });
    }

    /// BackendKeyData.
    pub fn key(&mut self, pid: i32, key: i32) {
        self.message(b'K', |out| {
            out.put_i32(pid);
            out.put_i32(key);
        });
    }

    /// ParameterStatus.
    pub fn parameter(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            put_text(out, name);
            put_text(out, value);
        });
    }

    /// ReadyForQuery.
    pub fn ready(&mut self, status: Status) {
        let status = match status {
            Status::Idle => b'I',
            Status::InTransaction => b'T',
            Status::Failed => b'E',
        };
        self.message(b'Z', |out| out.put_u8(status));
    }

    /// CommandComplete.
    pub fn complete(&mut self, tag: &str) {
        self.message(b'C', |out| put_text(out, tag));
    }

    /// ParameterDescription.
    pub fn parameter_types(&mut self, parameters: &[DataType]) {
        self.message(b't', |out| {
            out.put_u16(parameters.len() as u16);
            parameters.iter().for_each(|ty| out.put_u32(types::oid(ty)));
        });
    }

    /// RowDescription.
    pub fn columns(&mut self, columns: &[OutputColumn], formats: &[i16]) {
        self.message(b'T', |out| {
            out.put_u16(columns.len() as u16);
            for (i, column) in columns.iter().enumerate() {
                put_text(out, &column.name);
                let (table, number) = column.origin.map_or((0, 0), |(table, column)| {
                    (crate::catalog::table_oid(table), column.0 as i16 + 1)
                });
                out.put_u32(table);
                out.put_i16(number);
                out.put_u32(types::oid(&column.ty));
                out.put_i16(types::length(&column.ty));
                out.put_i32(types::typmod(&column.ty));
                out.put_i16(format_of(formats, i));
            }
        });
    }

    /// DataRow.
    pub fn row(
        &mut self,
        columns: &[OutputColumn],
        formats: &[i16],
        row: &[Value],
        context: &EvalContext<'_>,
    ) -> Result<()> {
        let start = self.buffer.len();
        self.buffer.put_u8(b'D');
        self.buffer.put_i32(0);
        self.buffer.put_u16(row.len() as u16);
        for (i, (value, column)) in row.iter().zip(columns).enumerate() {
            if let Err(error) = self.value(value, &column.ty, format_of(formats, i), context) {
                self.buffer.truncate(start);
                return Err(error);
            }
        }
        let length = i32::try_from(self.buffer.len() - start - 1).map_err(|_| {
            self.buffer.truncate(start);
            SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "a row is larger than a message can be")
        })?;
        self.buffer[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn value(&mut self, value: &Value, ty: &DataType, format: i16, context: &EvalContext<'_>) -> Result<()> {
        if matches!(value, Value::Null) {
            self.buffer.put_i32(-1);
            return Ok(());
        }
        if format == 1 {
            self.scratch.clear();
            binary::send(&mut self.scratch, value, ty, context)?;
            self.buffer.put_i32(self.scratch.len() as i32);
            self.buffer.put_slice(&self.scratch);
            return Ok(());
        }
        match (value, ty) {
            (Value::Oid(_), DataType::Regclass | DataType::Regtype | DataType::Regproc)
            | (Value::Array(_), _) => {
                self.words = text::output_in(value, ty, context);
            }
            _ => {
                self.words.clear();
                text::write(&mut self.words, value, ty, context.session());
            }
        }
        self.buffer.put_i32(self.words.len() as i32);
        self.buffer.put_slice(self.words.as_bytes());
        Ok(())
    }

    /// ErrorResponse. `fatal`: the connection ends after it.
    pub fn error(&mut self, error: &SqlError, fatal: bool) {
        let severity = if fatal { "FATAL" } else { "ERROR" };
        self.message(b'E', |out| fields(out, severity, error));
    }

    /// NoticeResponse.
    pub fn notice(&mut self, notice: &Notice) {
        let severity = match notice.severity {
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
        };
        self.message(b'N', |out| fields(out, severity, &notice.fields));
    }

    /// CopyInResponse ('G') or CopyOutResponse ('H'): text.
    pub fn copy_begins(&mut self, kind: u8, columns: usize) {
        self.message(kind, |out| {
            out.put_u8(0);
            out.put_u16(columns as u16);
            (0..columns).for_each(|_| out.put_i16(0));
        });
    }

    /// CopyData.
    pub fn copy_data(&mut self, data: &[u8]) {
        self.message(b'd', |out| out.put_slice(data));
    }
}

/// A text with its end; a zero byte would end it early, and cannot stand in PostgreSQL's text either.
fn put_text(out: &mut BytesMut, text: &str) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.put_u8(0);
}

fn fields(out: &mut BytesMut, severity: &str, error: &SqlError) {
    let mut field = |kind: u8, text: &str| {
        out.put_u8(kind);
        put_text(out, text);
    };
    field(b'S', severity);
    field(b'V', severity);
    field(b'C', error.sqlstate);
    field(b'M', &error.message);
    let optional = [
        (b'D', &error.detail),
        (b'H', &error.hint),
        (b'W', &error.context),
        (b's', &error.schema),
        (b't', &error.table),
        (b'c', &error.column),
        (b'd', &error.data_type),
        (b'n', &error.constraint),
    ];
    for (kind, text) in optional {
        if let Some(text) = text {
            field(kind, text);
        }
    }
    if let Some(position) = error.position {
        field(b'P', &position.to_string());
    }
    out.put_u8(0);
}
