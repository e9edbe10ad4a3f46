//! The client as a session sees it: something that takes rows and messages, and gives COPY data.

use std::future::Future;

use crate::error::{Result, SqlError};
use crate::expr::EvalContext;
use crate::plan::OutputColumn;

/// How grave a message beside the result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Severity {
    Notice,
    Warning,
}

/// A NOTICE or WARNING.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Notice {
    pub severity: Severity,
    /// SQLSTATE, message, detail, hint: as in an error.
    pub fields: SqlError,
}

impl Notice {
    /// A NOTICE (00000).
    pub fn info(message: impl Into<String>) -> Notice {
        Notice {
            severity: Severity::Notice,
            fields: SqlError::new(crate::sqlstate::SUCCESSFUL_COMPLETION, message),
        }
    }

    /// A WARNING.
    pub fn warning(sqlstate: &'static str, message: impl Into<String>) -> Notice {
        Notice { severity: Severity::Warning, fields: SqlError::new(sqlstate, message) }
    }

    /// With a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Notice {
        self.fields = self.fields.hint(hint);
        self
    }
}

/// A place in what has been said so far, to go back to when a statement is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub usize);

/// A piece of the client's COPY data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CopyInput {
    Data(Vec<u8>),
    Done,
    /// The client gave up, and says why.
    Fail(String),
}

/// Takes a session's answers. What it is told is kept until it is flushed, so that a statement that has to be run again
/// can be taken back with [`Client::rewind`].
pub trait Client: Send {
    /// A result's columns; rows follow.
    fn columns(&mut self, columns: &[OutputColumn]);
    /// One row of those columns.
    fn row(
        &mut self,
        columns: &[OutputColumn],
        row: &[gemini_shadow_ops::Value],
        context: &EvalContext<'_>,
    ) -> Result<()>;
    /// The statement is done: its command tag.
    fn complete(&mut self, tag: &str);
    /// A portal's row limit is reached.
    fn suspended(&mut self);
    /// The text held no statement.
    fn empty(&mut self);
    /// A message beside the result.
    fn notice(&mut self, notice: &Notice);
    /// A setting that clients follow has changed.
    fn parameter(&mut self, name: &str, value: &str);
    /// COPY FROM STDIN begins: rows of so many columns are expected.
    fn copy_in(&mut self, columns: usize);
    /// COPY TO STDOUT begins.
    fn copy_out(&mut self, columns: usize);
    /// A piece of COPY TO STDOUT.
    fn copy_data(&mut self, data: &[u8]);
    /// COPY TO STDOUT ends.
    fn copy_done(&mut self);
    /// The next piece of COPY FROM STDIN.
    fn copy_input(&mut self) -> impl Future<Output = Result<CopyInput>> + Send;
    /// Sends what has been said if it is much, and waits until it is on its way. 08006 if the client is gone.
    fn flush_if_full(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// The place reached.
    fn mark(&self) -> Mark;
    /// Takes back everything said since; false if some of it has been sent.
    fn rewind(&mut self, mark: Mark) -> bool;
}

/// What a statement said, kept: for tests, the simulator and the shell.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Collected {
    pub columns: Vec<OutputColumn>,
    pub rows: Vec<Vec<gemini_shadow_ops::Value>>,
    pub tags: Vec<String>,
    pub notices: Vec<Notice>,
    pub parameters: Vec<(String, String)>,
    pub copied: Vec<u8>,
    /// COPY data to give, in order.
    pub input: std::collections::VecDeque<CopyInput>,
    said: Vec<Said>,
    /// Data has been asked for: it is gone, and what asked for it cannot be taken back.
    asked: bool,
}

#[derive(Clone, Copy, Debug)]
enum Said {
    Row,
    Tag,
    Notice,
}

impl Client for Collected {
    fn columns(&mut self, columns: &[OutputColumn]) {
        self.columns = columns.to_vec();
    }

    fn row(
        &mut self,
        _columns: &[OutputColumn],
        row: &[gemini_shadow_ops::Value],
        _context: &EvalContext<'_>,
    ) -> Result<()> {
        self.rows.push(row.to_vec());
        self.said.push(Said::Row);
        Ok(())
    }

    fn complete(&mut self, tag: &str) {
        self.tags.push(tag.to_string());
        self.said.push(Said::Tag);
    }

    fn suspended(&mut self) {}

    fn empty(&mut self) {}

    fn notice(&mut self, notice: &Notice) {
        self.notices.push(notice.clone());
        self.said.push(Said::Notice);
    }

    fn parameter(&mut self, name: &str, value: &str) {
        self.parameters.push((name.to_string(), value.to_string()));
    }

    fn copy_in(&mut self, _columns: usize) {}

    fn copy_out(&mut self, _columns: usize) {}

    fn copy_data(&mut self, data: &[u8]) {
        self.copied.extend_from_slice(data);
    }

    fn copy_done(&mut self) {}

    async fn copy_input(&mut self) -> Result<CopyInput> {
        self.asked = true;
        Ok(self.input.pop_front().unwrap_or(CopyInput::Done))
    }

    async fn flush_if_full(&mut self) -> Result<()> {
        Ok(())
    }

    fn mark(&self) -> Mark {
        Mark(self.said.len())
    }

    fn rewind(&mut self, mark: Mark) -> bool {
        if self.asked {
            return false;
        }
        while self.said.len() > mark.0 {
            match self.said.pop() {
                Some(Said::Row) => drop(self.rows.pop()),
                Some(Said::Tag) => drop(self.tags.pop()),
                Some(Said::Notice) => drop(self.notices.pop()),
                None => {}
            }
        }
        true
    }
}
