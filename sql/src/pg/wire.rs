//! A connection's two directions, and the session's [`Client`] over them.

use bytes::BytesMut;
use gemini_shadow_ops::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::answer::{Answers, FULL};
use super::message::{self, Message};
use crate::error::{Result, SqlError};
use crate::expr::EvalContext;
use crate::plan::OutputColumn;
use crate::session::{Client, CopyInput, Mark, Notice};
use crate::sqlstate;

/// Bytes in and out.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    /// Read, not understood yet.
    pub inbox: BytesMut,
    /// Said, not written yet.
    pub answers: Answers,
    /// Bytes written so far: marks count from the beginning.
    written: usize,
    /// Rows are described before they come: the simple protocol.
    pub describes: bool,
    /// How the columns of what runs now are sent.
    pub formats: Vec<i16>,
}

/// 08006: the client is gone.
fn gone(error: &std::io::Error) -> SqlError {
    SqlError::new(sqlstate::CONNECTION_FAILURE, format!("connection to client lost: {error}"))
}

/// 08P01.
pub fn protocol_error(message: impl Into<String>) -> SqlError {
    SqlError::new(sqlstate::PROTOCOL_VIOLATION, message)
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire<S> {
    /// Over a stream.
    pub fn new(stream: S) -> Wire<S> {
        Wire {
            stream,
            inbox: BytesMut::with_capacity(8 * 1024),
            answers: Answers::default(),
            written: 0,
            describes: true,
            formats: Vec::new(),
        }
    }

    /// Reads more; false at the end of the stream.
    pub async fn read(&mut self) -> Result<bool> {
        self.inbox.reserve(8 * 1024);
        let read = self.stream.read_buf(&mut self.inbox).await.map_err(|e| gone(&e))?;
        Ok(read > 0)
    }

    /// The next message, waiting for it; None at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// The next message, if it is there already.
    pub fn take(&mut self) -> Result<Option<Message>> {
        message::message(&mut self.inbox).map_err(|malformed| protocol_error(malformed.0))
    }

    /// Writes what has been said.
    pub async fn flush(&mut self) -> Result<()> {
        if self.answers.buffer.is_empty() {
            return Ok(());
        }
        self.stream.write_all(&self.answers.buffer).await.map_err(|e| gone(&e))?;
        self.written += self.answers.buffer.len();
        self.answers.buffer.clear();
        Ok(())
    }

    /// A single byte outside any message: the answer to SSLRequest.
    pub async fn byte(&mut self, byte: u8) -> Result<()> {
        self.stream.write_all(&[byte]).await.map_err(|e| gone(&e))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Client for Wire<S> {
    fn columns(&mut self, columns: &[OutputColumn]) {
        if self.describes {
            self.answers.columns(columns, &self.formats);
        }
    }

    fn row(&mut self, columns: &[OutputColumn], row: &[Value], context: &EvalContext<'_>) -> Result<()> {
        self.answers.row(columns, &self.formats, row, context)
    }

    fn complete(&mut self, tag: &str) {
        self.answers.complete(tag);
    }

    fn suspended(&mut self) {
        self.answers.bare(b's');
    }

    fn empty(&mut self) {
        self.answers.bare(b'I');
    }

    fn notice(&mut self, notice: &Notice) {
        self.answers.notice(notice);
    }

    fn parameter(&mut self, name: &str, value: &str) {
        self.answers.parameter(name, value);
    }

    fn copy_in(&mut self, columns: usize) {
        self.answers.copy_begins(b'G', columns);
    }

    fn copy_out(&mut self, columns: usize) {
        self.answers.copy_begins(b'H', columns);
    }

    fn copy_data(&mut self, data: &[u8]) {
        self.answers.copy_data(data);
    }

    fn copy_done(&mut self) {
        self.answers.bare(b'c');
    }

    async fn copy_input(&mut self) -> Result<CopyInput> {
        self.flush().await?;
        loop {
            return match self.next().await? {
                Some(Message::CopyData(data)) => Ok(CopyInput::Data(data.to_vec())),
                Some(Message::CopyDone) => Ok(CopyInput::Done),
                Some(Message::CopyFail(why)) => Ok(CopyInput::Fail(why)),
                // Clients may send these at any time; they mean nothing here.
                Some(Message::Flush | Message::Sync) => continue,
                Some(Message::Terminate) | None => {
                    Err(SqlError::new(sqlstate::CONNECTION_FAILURE, "the client left in the middle of COPY"))
                }
                Some(_) => Err(protocol_error("unexpected message during COPY from stdin")),
            };
        }
    }

    async fn flush_if_full(&mut self) -> Result<()> {
        if self.answers.buffer.len() < FULL {
            return Ok(());
        }
        self.flush().await
    }

    fn mark(&self) -> Mark {
        Mark(self.written + self.answers.buffer.len())
    }

    fn rewind(&mut self, mark: Mark) -> bool {
        if mark.0 < self.written {
            return false;
        }
        self.answers.buffer.truncate(mark.0 - self.written);
        true
    }
}
