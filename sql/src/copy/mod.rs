//! COPY's text and CSV forms: bytes to fields and back. Pure; [`crate::session`] moves the rows.
//!
//! Data comes in pieces of any length. A [`Reader`] keeps what does not end a record yet, up to a limit, and counts
//! lines, so that an error names the line. Text form: one line a record, backslash escapes, `\.` alone ends the data.
//! CSV: a quoted field may hold delimiters, quotes (escaped) and line ends; an unquoted field equal to the NULL string is
//! NULL, a quoted one never is.

use crate::error::{Result, SqlError};
use crate::parse::CopyFormat;
use crate::sqlstate;

/// Bytes of one record.
const MAX_RECORD: usize = 64 << 20;

/// One record's fields; None: NULL.
pub type Fields = Vec<Option<String>>;

/// Splits COPY data into records.
#[derive(Debug)]
pub struct Reader {
    format: CopyFormat,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that are done with.
    start: usize,
    /// Bytes looked at already for the end of the record (CSV: and whether within quotes there).
    seen: usize,
    quoted: bool,
    line: u64,
    header: bool,
    ended: bool,
}

impl Reader {
    /// For a format.
    pub fn new(format: CopyFormat) -> Reader {
        let header = format.header;
        Reader { format, buffer: Vec::new(), start: 0, seen: 0, quoted: false, line: 0, header, ended: false }
    }

    /// The line of the record last given, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Takes a piece of data.
    pub fn push(&mut self, data: &[u8]) -> Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.seen -= self.start;
            self.start = 0;
        }
        if self.buffer.len() + data.len() > MAX_RECORD && self.buffer.len() > MAX_RECORD / 2 {
            return Err(SqlError::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!("a COPY record is longer than {MAX_RECORD} bytes"),
            )
            .hint("Is a quote missing?"));
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    /// The next record, if a whole one is there (`end`: no more data will come).
    pub fn next(&mut self, end: bool) -> Result<Option<Fields>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let Some(record) = self.record(end)? else { return Ok(None) };
            self.line += 1;
            if self.header {
                self.header = false;
                continue;
            }
            let text = std::str::from_utf8(&self.buffer[record.0..record.1]).map_err(|_| {
                SqlError::new(
                    sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
                    "invalid byte sequence for encoding \"UTF8\"",
                )
            })?;
            if text == "\\." {
                self.ended = true;
                return Ok(None);
            }
            if text.contains('\0') {
                return Err(SqlError::new(
                    sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
                    "invalid byte sequence for encoding \"UTF8\": 0x00",
                ));
            }
            let fields = if self.format.csv { self.csv_fields(text)? } else { self.text_fields(text)? };
            return Ok(Some(fields));
        }
    }

    /// The bounds of the next record, its line end taken off.
    fn record(&mut self, end: bool) -> Result<Option<(usize, usize)>> {
        let format = &self.format;
        while self.seen < self.buffer.len() {
            let byte = self.buffer[self.seen];
            if format.csv && byte == format.quote {
                self.quoted = !self.quoted;
            } else if format.csv && self.quoted && byte == format.escape && format.escape != format.quote {
                // The escaped byte never ends a record; if it is not here yet, look again later.
                if self.seen + 1 >= self.buffer.len() {
                    break;
                }
                self.seen += 1;
            } else if byte == b'\n' && !self.quoted {
                let (from, mut to) = (self.start, self.seen);
                self.seen += 1;
                self.start = self.seen;
                if to > from && self.buffer[to - 1] == b'\r' {
                    to -= 1;
                }
                return Ok(Some((from, to)));
            } else if byte == b'\\' && !format.csv {
                if self.seen + 1 >= self.buffer.len() {
                    break;
                }
                self.seen += 1;
            }
            self.seen += 1;
        }
        if !end || self.start >= self.buffer.len() {
            return Ok(None);
        }
        if self.quoted {
            return Err(SqlError::new(sqlstate::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
        }
        let (from, mut to) = (self.start, self.buffer.len());
        self.start = to;
        self.seen = to;
        if to > from && self.buffer[to - 1] == b'\r' {
            to -= 1;
        }
        Ok(Some((from, to)))
    }

    fn text_fields(&self, line: &str) -> Result<Fields> {
        let delimiter = self.format.delimiter;
        let mut fields = Vec::new();
        let (mut from, mut i) = (0, 0);
        let bytes = line.as_bytes();
        loop {
            if i >= bytes.len() || bytes[i] == delimiter {
                let raw = &line[from..i.min(bytes.len())];
                fields.push(if raw == self.format.null { None } else { Some(unescape(raw)?) });
                if i >= bytes.len() {
                    return Ok(fields);
                }
                from = i + 1;
            } else if bytes[i] == b'\\' && i + 1 < bytes.len() {
                i += 1;
            }
            i += 1;
        }
    }

    fn csv_fields(&self, record: &str) -> Result<Fields> {
        let format = &self.format;
        let bytes = record.as_bytes();
        let mut fields = Vec::new();
        let mut i = 0;
        loop {
            let mut field: Vec<u8> = Vec::new();
            let (mut quoted, mut was_quoted) = (false, false);
            while i < bytes.len() {
                let byte = bytes[i];
                if quoted {
                    let next = bytes.get(i + 1).copied();
                    if byte == format.escape && next.is_some_and(|n| n == format.quote || n == format.escape)
                    {
                        field.extend(next);
                        i += 1;
                    } else if byte == format.quote {
                        quoted = false;
                    } else {
                        field.push(byte);
                    }
                } else if byte == format.quote {
                    quoted = true;
                    was_quoted = true;
                } else if byte == format.delimiter {
                    break;
                } else {
                    field.push(byte);
                }
                i += 1;
            }
            let text = String::from_utf8(field).map_err(|_| {
                SqlError::new(sqlstate::BAD_COPY_FILE_FORMAT, "a CSV quote or escape splits a character")
            })?;
            fields.push(if !was_quoted && text == format.null { None } else { Some(text) });
            if i >= bytes.len() {
                return Ok(fields);
            }
            i += 1;
        }
    }
}

fn unescape(raw: &str) -> Result<String> {
    if !raw.contains('\\') {
        return Ok(raw.to_string());
    }
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] != b'\\' || i + 1 >= bytes.len() {
            out.push(bytes[i]);
            i += 1;
            continue;
        }
        i += 1;
        let byte = bytes[i];
        i += 1;
        match byte {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'x' => {
                let digits = bytes[i..].iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count();
                if digits == 0 {
                    out.push(b'x');
                } else {
                    let value = u8::from_str_radix(&raw[i..i + digits], 16).unwrap_or(b'?');
                    out.push(value);
                    i += digits;
                }
            }
            b'0'..=b'7' => {
                let digits = bytes[i - 1..].iter().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let value = u32::from_str_radix(&raw[i - 1..i - 1 + digits], 8).unwrap_or(0);
                out.push((value & 0xff) as u8);
                i += digits - 1;
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok().filter(|s| !s.contains('\0')).ok_or_else(|| {
        SqlError::new(sqlstate::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"")
    })
}

/// Appends one record with its line end.
pub fn write_record(out: &mut Vec<u8>, format: &CopyFormat, fields: &[Option<&str>]) {
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push(format.delimiter);
        }
        match field {
            None => out.extend_from_slice(format.null.as_bytes()),
            Some(text) if format.csv => write_csv(out, format, text, fields.len() == 1),
            Some(text) => write_text(out, format, text),
        }
    }
    out.push(b'\n');
}

fn write_text(out: &mut Vec<u8>, format: &CopyFormat, text: &str) {
    for byte in text.bytes() {
        let escaped = match byte {
            b'\\' => b'\\',
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b if b == format.delimiter => b,
            b => {
                out.push(b);
                continue;
            }
        };
        out.push(b'\\');
        out.push(escaped);
    }
}

fn write_csv(out: &mut Vec<u8>, format: &CopyFormat, text: &str, alone: bool) {
    let special = |b: u8| b == format.delimiter || b == format.quote || b == b'\n' || b == b'\r';
    let quote = format.force_quote_all
        || text == format.null
        || text.bytes().any(special)
        || (alone && text == "\\.")
        || text.starts_with(' ')
        || text.ends_with(' ');
    if !quote {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(format.quote);
    for byte in text.bytes() {
        if byte == format.quote || byte == format.escape {
            out.push(format.escape);
        }
        out.push(byte);
    }
    out.push(format.quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: CopyFormat, data: &str, piece: usize) -> Vec<Fields> {
        let mut reader = Reader::new(format);
        let mut records = Vec::new();
        for chunk in data.as_bytes().chunks(piece) {
            reader.push(chunk).unwrap();
            while let Some(fields) = reader.next(false).unwrap() {
                records.push(fields);
            }
        }
        while let Some(fields) = reader.next(true).unwrap() {
            records.push(fields);
        }
        records
    }

    fn row(fields: &[&str]) -> Fields {
        fields.iter().map(|f| if *f == "NULL" { None } else { Some(f.to_string()) }).collect()
    }

    #[test]
    fn text_in_pieces_of_any_length() {
        let data = "1\ta\\tb\n2\t\\N\r\n\\\\x\té\\\nz\n4\t\\x41\\101\n\\.\nnot read";
        for piece in [1, 2, 3, 7, 100] {
            let records = read(CopyFormat::new(false), data, piece);
            assert_eq!(
                records,
                [row(&["1", "a\tb"]), row(&["2", "NULL"]), row(&["\\x", "é\nz"]), row(&["4", "AA"])],
                "{piece}"
            );
        }
    }

    #[test]
    fn csv_in_pieces_of_any_length() {
        let mut format = CopyFormat::new(true);
        format.header = true;
        let data = "a,b\n1,\"x,\"\"y\"\"\nz\"\n,\"\"\n3,é";
        for piece in [1, 2, 5, 100] {
            let records = read(format.clone(), data, piece);
            assert_eq!(records, [row(&["1", "x,\"y\"\nz"]), row(&["NULL", ""]), row(&["3", "é"])], "{piece}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for csv in [false, true] {
            let format = CopyFormat::new(csv);
            let rows =
                [vec![Some("a\tb\n\\,\""), None, Some("")], vec![Some("\\N"), Some(" x "), Some("é\r")]];
            let mut out = Vec::new();
            for fields in &rows {
                write_record(&mut out, &format, fields);
            }
            let records = read(format, std::str::from_utf8(&out).unwrap(), 3);
            for (record, fields) in records.iter().zip(&rows) {
                let record: Vec<Option<&str>> = record.iter().map(Option::as_deref).collect();
                assert_eq!(&record, fields);
            }
        }
    }

    #[test]
    fn an_open_quote_is_an_error() {
        let mut reader = Reader::new(CopyFormat::new(true));
        reader.push(b"1,\"x\n").unwrap();
        assert!(reader.next(false).unwrap().is_none());
        assert_eq!(reader.next(true).unwrap_err().sqlstate, "22P04");
    }
}
