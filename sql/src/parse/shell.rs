//! Statements by their first word: transactions, settings, PREPARE, EXPLAIN, COPY, cursors; the rest goes to
//! [`super::ddl`] or to sqlparser.

use sqlparser::ast::{Expr, Statement as SqlStatement};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::ast::*;
use super::tokens::{self, Piece, at, position, syntax};
use super::types;
use crate::error::SqlError;

/// A parser over one statement, with the whole text for places.
pub(super) struct Shell<'a> {
    pub text: &'a str,
    pub p: Parser<'static>,
    /// The statement said OVERRIDING SYSTEM VALUE.
    pub overriding: bool,
}

/// Parses one statement.
pub(super) fn statement(text: &str, mut piece: Piece) -> Result<Statement, SqlError> {
    let range = piece.range.clone();
    let overriding = overriding(text, &mut piece.tokens)?;
    let mut shell = Shell { text, p: tokens::parser(piece.tokens), overriding };
    let (body, tag) = shell.body(range.end)?;
    tokens::end(&shell.p, text)?;
    Ok(Statement { body, range, tag })
}

/// Takes OVERRIDING SYSTEM VALUE out of an INSERT: sqlparser does not know it.
fn overriding(text: &str, tokens: &mut Vec<TokenWithSpan>) -> Result<bool, SqlError> {
    let is = |token: &TokenWithSpan, word: &str| match &token.token {
        Token::Word(w) => w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word),
        _ => false,
    };
    let here = |w: &[TokenWithSpan]| {
        is(&w[0], "OVERRIDING") && (is(&w[1], "SYSTEM") || is(&w[1], "USER")) && is(&w[2], "VALUE")
    };
    let Some(place) = tokens.windows(3).position(here) else { return Ok(false) };
    if !tokens[..place].iter().any(|t| is(t, "INSERT")) {
        return Ok(false);
    }
    if is(&tokens[place + 1], "USER") {
        let error = SqlError::unsupported("OVERRIDING USER VALUE", "Leave the column out.");
        return Err(at(error, position(text, tokens[place].span.start)));
    }
    tokens.drain(place..place + 3);
    Ok(true)
}

impl Shell<'_> {
    /// Takes the next token if it is this word, unquoted, whatever its case.
    pub fn word(&mut self, word: &str) -> bool {
        let hit = self.is_word(0, word);
        if hit {
            self.p.advance_token();
        }
        hit
    }

    /// Whether the n-th next token is this word.
    pub fn is_word(&self, n: usize, word: &str) -> bool {
        match &self.p.peek_nth_token_ref(n).token {
            Token::Word(w) => w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word),
            _ => false,
        }
    }

    /// Takes these words, all or none.
    pub fn words(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(n, w)| self.is_word(n, w));
        if all {
            for _ in words {
                self.p.advance_token();
            }
        }
        all
    }

    pub fn expect_word(&mut self, word: &str) -> Result<(), SqlError> {
        if self.word(word) { Ok(()) } else { Err(self.unexpected(&word.to_uppercase())) }
    }

    pub fn token(&mut self, token: &Token) -> bool {
        self.p.consume_token(token)
    }

    pub fn expect(&mut self, token: &Token) -> Result<(), SqlError> {
        if self.token(token) { Ok(()) } else { Err(self.unexpected(&format!("\"{token}\""))) }
    }

    /// 42601 at the next token.
    pub fn unexpected(&self, expected: &str) -> SqlError {
        let error = tokens::near(self.text, self.p.peek_token_ref());
        if expected.is_empty() { error } else { error.detail(format!("Expected {expected}.")) }
    }

    /// 0A000 at the next token.
    pub fn unsupported(&self, what: &str, instead: &str) -> SqlError {
        at(SqlError::unsupported(what, instead), self.place())
    }

    /// The place of the next token.
    pub fn place(&self) -> Option<u32> {
        position(self.text, self.p.peek_token_ref().span.start)
    }

    pub fn map<T>(&self, result: Result<T, ParserError>) -> Result<T, SqlError> {
        result.map_err(|e| tokens::parser_error(self.text, &e))
    }

    pub fn name(&mut self) -> Result<Name, SqlError> {
        let name = self.p.parse_object_name(false);
        let name = self.map(name)?;
        types::object_name(self.text, &name)
    }

    pub fn names(&mut self) -> Result<Vec<Name>, SqlError> {
        let mut names = vec![self.name()?];
        while self.token(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    pub fn ident(&mut self) -> Result<String, SqlError> {
        match &self.p.peek_token_ref().token {
            Token::Word(w) => {
                let name = types::fold(&w.value, w.quote_style.is_some());
                self.p.advance_token();
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// `(a, b, c)`
    pub fn column_list(&mut self) -> Result<Vec<String>, SqlError> {
        self.expect(&Token::LParen)?;
        let mut columns = vec![self.ident()?];
        while self.token(&Token::Comma) {
            columns.push(self.ident()?);
        }
        self.expect(&Token::RParen)?;
        Ok(columns)
    }

    pub fn expr(&mut self) -> Result<Expr, SqlError> {
        let expr = self.p.parse_expr();
        self.map(expr)
    }

    pub fn integer(&mut self) -> Result<i64, SqlError> {
        let negative = self.token(&Token::Minus);
        if !negative {
            self.token(&Token::Plus);
        }
        let place = self.place();
        let next = self.p.next_token();
        let Token::Number(digits, _) = &next.token else {
            return Err(tokens::near(self.text, &next).detail("Expected an integer."));
        };
        let signed = if negative { format!("-{digits}") } else { digits.clone() };
        signed.parse().map_err(|_| at(syntax(format!("{signed} is out of range for an integer")), place))
    }

    pub fn string(&mut self) -> Result<String, SqlError> {
        let next = self.p.next_token();
        match next.token {
            Token::SingleQuotedString(s) | Token::EscapedStringLiteral(s) => Ok(s),
            _ => Err(tokens::near(self.text, &next).detail("Expected a string.")),
        }
    }

    fn dml(&mut self) -> Result<Box<SqlStatement>, SqlError> {
        let statement = self.p.parse_statement();
        let mut statement = self.map(statement)?;
        if let SqlStatement::Insert(insert) = &mut statement {
            // Hive's INSERT INTO TABLE means nothing here: its field carries what sqlparser has no field for.
            insert.has_table_keyword = self.overriding;
        }
        Ok(Box::new(statement))
    }

    /// The first word decides. `end` is the statement's last byte in the text.
    fn body(&mut self, end: usize) -> Result<(Body, &'static str), SqlError> {
        let first = self.p.peek_token_ref();
        let keyword = match &first.token {
            Token::LParen => Keyword::SELECT,
            Token::Word(w) if w.quote_style.is_none() => w.keyword,
            _ => return Err(self.unexpected("a statement")),
        };
        match keyword {
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES => {
                let statement = self.dml()?;
                let tag = dml_tag(&statement);
                Ok((Body::Dml(statement), tag))
            }
            Keyword::TABLE => Err(self.unsupported("TABLE name", "Use SELECT * FROM name.")),
            Keyword::INSERT => Ok((Body::Dml(self.dml()?), "INSERT")),
            Keyword::UPDATE => Ok((Body::Dml(self.dml()?), "UPDATE")),
            Keyword::DELETE => Ok((Body::Dml(self.dml()?), "DELETE")),
            Keyword::CREATE | Keyword::ALTER | Keyword::DROP | Keyword::TRUNCATE => self.ddl(),
            _ => self.session_statement(end),
        }
    }

    fn session_statement(&mut self, end: usize) -> Result<(Body, &'static str), SqlError> {
        let word = match &self.p.peek_token_ref().token {
            Token::Word(w) => w.value.to_ascii_uppercase(),
            _ => String::new(),
        };
        self.p.advance_token();
        Ok(match word.as_str() {
            "EXPLAIN" => (self.explain(end)?, "EXPLAIN"),
            "BEGIN" => {
                self.transaction_noise();
                (Body::Begin(Begin { modes: self.modes()?, start: false }), "BEGIN")
            }
            "START" => {
                self.expect_word("TRANSACTION")?;
                (Body::Begin(Begin { modes: self.modes()?, start: true }), "START TRANSACTION")
            }
            "COMMIT" | "END" => {
                if self.is_word(0, "PREPARED") {
                    return Err(self.unsupported("COMMIT PREPARED", "Use COMMIT."));
                }
                self.transaction_noise();
                (Body::Commit { chain: self.chain()? }, "COMMIT")
            }
            "ROLLBACK" | "ABORT" => self.rollback()?,
            "PREPARE" if self.is_word(0, "TRANSACTION") => {
                return Err(self.unsupported("PREPARE TRANSACTION", "Use COMMIT."));
            }
            "PREPARE" => (self.prepare()?, "PREPARE"),
            "SAVEPOINT" => (Body::Savepoint(self.ident()?), "SAVEPOINT"),
            "RELEASE" => {
                self.word("SAVEPOINT");
                (Body::Release(self.ident()?), "RELEASE")
            }
            "SET" => (self.set()?, "SET"),
            "SHOW" => (Body::Show(self.show_name()?), "SHOW"),
            "RESET" => (Body::Reset(self.show_name()?), "RESET"),
            "DISCARD" => self.discard()?,
            "EXECUTE" => (self.execute()?, "EXECUTE"),
            "DEALLOCATE" => {
                self.word("PREPARE");
                let name = if self.word("ALL") { None } else { Some(self.ident()?) };
                let tag = if name.is_none() { "DEALLOCATE ALL" } else { "DEALLOCATE" };
                (Body::Deallocate(name), tag)
            }
            "COPY" => (self.copy()?, "COPY"),
            "DECLARE" => (self.declare()?, "DECLARE CURSOR"),
            "FETCH" => (self.fetch(false)?, "FETCH"),
            "MOVE" => (self.fetch(true)?, "MOVE"),
            "CLOSE" => {
                let name = if self.word("ALL") { None } else { Some(self.ident()?) };
                let tag = if name.is_none() { "CLOSE CURSOR ALL" } else { "CLOSE CURSOR" };
                (Body::CloseCursor(name), tag)
            }
            "UNLISTEN" => {
                if !self.token(&Token::Mul) {
                    self.ident()?;
                }
                (Body::Unlisten, "UNLISTEN")
            }
            "LOCK" => (self.lock()?, "LOCK TABLE"),
            "COMMENT" => {
                self.expect_word("ON")?;
                while !self.is_word(0, "IS") && self.p.peek_token_ref().token != Token::EOF {
                    self.p.advance_token();
                }
                self.expect_word("IS")?;
                self.p.advance_token();
                (Body::Comment, "COMMENT")
            }
            other => return Err(self.refuse(other)),
        })
    }

    /// `LOCK TABLE t, … IN ACCESS SHARE MODE`, which pg_dump says so that the tables stay: a snapshot keeps them.
    fn lock(&mut self) -> Result<Body, SqlError> {
        self.word("TABLE");
        let mut tables = Vec::new();
        loop {
            self.word("ONLY");
            tables.push(self.name()?);
            if !self.token(&Token::Comma) {
                break;
            }
        }
        if !self.words(&["IN", "ACCESS", "SHARE", "MODE"]) {
            return Err(self.refuse("LOCK"));
        }
        self.word("NOWAIT");
        Ok(Body::Lock(tables))
    }

    /// What PostgreSQL has and Gemini does not.
    fn refuse(&mut self, word: &str) -> SqlError {
        let instead = match word {
            "VACUUM" => "Nothing needs it: old versions are folded away as snapshots end.",
            "ANALYZE" => "Nothing needs it: plans are chosen by keys and indexes, without statistics.",
            "LOCK" => {
                "Use SELECT … FOR UPDATE, or SET gemini.color = 'red' for a transaction ordered at every site."
            }
            "GRANT" | "REVOKE" | "REASSIGN" => "There are no roles yet; sites listen on loopback only.",
            "LISTEN" | "NOTIFY" => "Poll a table instead.",
            "CALL" | "DO" => "Send the statements one by one.",
            "MERGE" => "Use INSERT … ON CONFLICT.",
            "CLUSTER" | "REINDEX" | "REFRESH" | "CHECKPOINT" => "The engine does it by itself.",
            "IMPORT" | "SECURITY" | "LOAD" => "There are no extensions.",
            _ => {
                self.p.prev_token();
                return self.unexpected("a statement");
            }
        };
        self.p.prev_token();
        let error = self.unsupported(word, instead);
        while self.p.peek_token_ref().token != Token::EOF {
            self.p.advance_token();
        }
        error
    }

    fn transaction_noise(&mut self) {
        if !self.word("TRANSACTION") {
            self.word("WORK");
        }
    }

    fn chain(&mut self) -> Result<bool, SqlError> {
        if !self.word("AND") {
            return Ok(false);
        }
        let no = self.word("NO");
        self.expect_word("CHAIN")?;
        Ok(!no)
    }

    fn rollback(&mut self) -> Result<(Body, &'static str), SqlError> {
        if self.is_word(0, "PREPARED") {
            return Err(self.unsupported("ROLLBACK PREPARED", "Use ROLLBACK."));
        }
        self.transaction_noise();
        if self.word("TO") {
            self.word("SAVEPOINT");
            return Ok((Body::RollbackTo(self.ident()?), "ROLLBACK"));
        }
        Ok((Body::Rollback { chain: self.chain()? }, "ROLLBACK"))
    }

    /// ISOLATION LEVEL …, READ ONLY, READ WRITE, [NOT] DEFERRABLE, with or without commas.
    fn modes(&mut self) -> Result<TransactionModes, SqlError> {
        let mut modes = TransactionModes::default();
        loop {
            if self.words(&["ISOLATION", "LEVEL"]) {
                modes.isolation =
                    Some(if self.words(&["READ", "COMMITTED"]) || self.words(&["READ", "UNCOMMITTED"]) {
                        Isolation::ReadCommitted
                    } else if self.words(&["REPEATABLE", "READ"]) {
                        Isolation::RepeatableRead
                    } else if self.word("SERIALIZABLE") {
                        Isolation::Serializable
                    } else {
                        return Err(self.unexpected("an isolation level"));
                    });
            } else if self.words(&["READ", "ONLY"]) {
                modes.read_only = Some(true);
            } else if self.words(&["READ", "WRITE"]) {
                modes.read_only = Some(false);
            } else if self.words(&["NOT", "DEFERRABLE"]) {
                modes.deferrable = Some(false);
            } else if self.word("DEFERRABLE") {
                modes.deferrable = Some(true);
            } else {
                return Ok(modes);
            }
            self.token(&Token::Comma);
        }
    }

    fn explain(&mut self, end: usize) -> Result<Body, SqlError> {
        let (mut color, mut analyze, mut verbose) = (false, false, false);
        if self.p.peek_token_ref().token == Token::LParen && !self.is_word(1, "SELECT") {
            self.expect(&Token::LParen)?;
            loop {
                let place = self.place();
                let option = self.ident()?;
                let on = self.option_switch()?;
                match option.as_str() {
                    "color" => color = on,
                    "analyze" => analyze = on,
                    "verbose" => verbose = on,
                    "costs" | "timing" | "buffers" | "summary" | "settings" | "wal" => {}
                    "format" => {
                        if !self.word("TEXT") {
                            return Err(self.unsupported("this EXPLAIN format", "Use FORMAT TEXT."));
                        }
                    }
                    _ => return Err(at(syntax(format!("unrecognized EXPLAIN option \"{option}\"")), place)),
                }
                if !self.token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        } else {
            analyze = self.word("ANALYZE");
            verbose = self.word("VERBOSE");
        }
        let start = {
            let token: &TokenWithSpan = self.p.peek_token_ref();
            tokens::byte(self.text, token.span.start)
        };
        let (statement, _) = self.body(end)?;
        if !matches!(statement, Body::Dml(_) | Body::Ddl(_) | Body::Execute { .. }) {
            return Err(syntax("EXPLAIN takes a SELECT, INSERT, UPDATE, DELETE, EXECUTE or a schema change"));
        }
        Ok(Body::Explain(Box::new(Explain { color, analyze, verbose, statement, range: start..end })))
    }

    /// An option's value: nothing, ON, OFF, TRUE, FALSE, 1, 0. (FORMAT's is taken by its caller.)
    fn option_switch(&mut self) -> Result<bool, SqlError> {
        if self.word("ON") || self.word("TRUE") {
            return Ok(true);
        }
        if self.word("OFF") || self.word("FALSE") {
            return Ok(false);
        }
        if let Token::Number(digits, _) = &self.p.peek_token_ref().token {
            let on = digits != "0";
            self.p.advance_token();
            return Ok(on);
        }
        Ok(true)
    }

    fn prepare(&mut self) -> Result<Body, SqlError> {
        let name = self.ident()?;
        let mut types = Vec::new();
        if self.token(&Token::LParen) {
            loop {
                let ty = self.p.parse_data_type();
                types.push(types::data_type(&self.map(ty)?)?);
                if !self.token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        }
        self.expect_word("AS")?;
        let start = tokens::byte(self.text, self.p.peek_token_ref().span.start);
        let statement = self.dml()?;
        let end = tokens::byte(self.text, self.p.get_current_token().span.end);
        let tag = dml_tag(&statement);
        let statement = Statement { body: Body::Dml(statement), range: start..end.max(start), tag };
        Ok(Body::Prepare(Box::new(Prepare { name, types, statement })))
    }

    fn execute(&mut self) -> Result<Body, SqlError> {
        let name = self.ident()?;
        let mut arguments = Vec::new();
        if self.token(&Token::LParen) && !self.token(&Token::RParen) {
            arguments.push(self.expr()?);
            while self.token(&Token::Comma) {
                arguments.push(self.expr()?);
            }
            self.expect(&Token::RParen)?;
        }
        Ok(Body::Execute { name, arguments })
    }

    fn discard(&mut self) -> Result<(Body, &'static str), SqlError> {
        for (word, tag) in [
            ("ALL", "DISCARD ALL"),
            ("PLANS", "DISCARD PLANS"),
            ("SEQUENCES", "DISCARD SEQUENCES"),
            ("TEMP", "DISCARD TEMP"),
            ("TEMPORARY", "DISCARD TEMP"),
        ] {
            if self.word(word) {
                return Ok((Body::Discard(&tag["DISCARD ".len()..]), tag));
            }
        }
        Err(self.unexpected("ALL, PLANS, SEQUENCES or TEMP"))
    }

    /// A setting's name: `a`, `a.b`; TIME ZONE, TRANSACTION ISOLATION LEVEL, SESSION AUTHORIZATION; None: ALL.
    fn show_name(&mut self) -> Result<Option<String>, SqlError> {
        if self.word("ALL") {
            return Ok(None);
        }
        if self.words(&["TIME", "ZONE"]) {
            return Ok(Some("timezone".into()));
        }
        if self.words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
            return Ok(Some("transaction_isolation".into()));
        }
        if self.words(&["SESSION", "AUTHORIZATION"]) {
            return Ok(Some("session_authorization".into()));
        }
        Ok(Some(self.setting()?))
    }

    fn setting(&mut self) -> Result<String, SqlError> {
        let mut name = self.ident()?.to_ascii_lowercase();
        while self.token(&Token::Period) {
            name.push('.');
            name.push_str(&self.ident()?.to_ascii_lowercase());
        }
        Ok(name)
    }

    fn set(&mut self) -> Result<Body, SqlError> {
        if self.words(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
            return Ok(Body::SetTransaction { session: true, modes: self.modes()? });
        }
        if self.is_word(0, "TRANSACTION") && !matches!(self.p.peek_nth_token_ref(1).token, Token::Eq) {
            self.p.advance_token();
            if self.is_word(0, "SNAPSHOT") {
                return Err(
                    self.unsupported("SET TRANSACTION SNAPSHOT", "Use REPEATABLE READ in one session.")
                );
            }
            return Ok(Body::SetTransaction { session: false, modes: self.modes()? });
        }
        if self.is_word(0, "CONSTRAINTS") {
            return Err(
                self.unsupported("SET CONSTRAINTS", "Constraints are checked by the end of each statement.")
            );
        }
        let scope = if self.word("LOCAL") {
            Scope::Local
        } else {
            if self.is_word(0, "SESSION") && !self.is_word(1, "AUTHORIZATION") {
                self.p.advance_token();
            }
            Scope::Session
        };
        if self.is_word(0, "ROLE") || self.words(&["SESSION", "AUTHORIZATION"]) {
            if self.word("ROLE") && self.word("NONE") || self.word("DEFAULT") {
                return Ok(Body::Set { scope, name: "role".into(), value: SetValue::Default });
            }
            return Err(self.unsupported("SET ROLE", "There are no roles yet."));
        }
        if self.words(&["TIME", "ZONE"]) {
            let value = self.set_value()?;
            let value = match value {
                SetValue::Text(t) if t.eq_ignore_ascii_case("local") => SetValue::Default,
                other => other,
            };
            return Ok(Body::Set { scope, name: "timezone".into(), value });
        }
        if self.word("NAMES") {
            let value = self.set_value()?;
            return Ok(Body::Set { scope, name: "client_encoding".into(), value });
        }
        let name = self.setting()?;
        if !self.token(&Token::Eq) && !self.word("TO") {
            return Err(self.unexpected("TO or ="));
        }
        let value = self.set_value()?;
        Ok(Body::Set { scope, name, value })
    }

    fn set_value(&mut self) -> Result<SetValue, SqlError> {
        if self.word("DEFAULT") {
            return Ok(SetValue::Default);
        }
        let mut items = vec![self.set_item()?];
        while self.token(&Token::Comma) {
            items.push(self.set_item()?);
        }
        Ok(SetValue::Text(items.join(", ")))
    }

    fn set_item(&mut self) -> Result<String, SqlError> {
        let negative = self.token(&Token::Minus);
        let next = self.p.next_token();
        let text = match next.token {
            Token::Number(n, _) => n,
            Token::SingleQuotedString(s) | Token::EscapedStringLiteral(s) if !negative => s,
            Token::Word(w) if !negative => {
                if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("interval") {
                    return Err(self.unsupported("SET … INTERVAL", "Write the offset as a string: '+02:00'."));
                }
                w.value
            }
            _ => return Err(tokens::near(self.text, &next)),
        };
        Ok(if negative { format!("-{text}") } else { text })
    }

    fn declare(&mut self) -> Result<Body, SqlError> {
        let name = self.ident()?;
        for word in ["BINARY", "INSENSITIVE", "ASENSITIVE"] {
            if self.is_word(0, word) && word == "BINARY" {
                return Err(self.unsupported("a BINARY cursor", "Bind with binary result formats."));
            }
            self.word(word);
        }
        if self.is_word(0, "SCROLL") {
            return Err(self.unsupported("a SCROLL cursor", "Declare it NO SCROLL and fetch forward."));
        }
        self.words(&["NO", "SCROLL"]);
        self.expect_word("CURSOR")?;
        let hold = self.words(&["WITH", "HOLD"]);
        self.words(&["WITHOUT", "HOLD"]);
        self.expect_word("FOR")?;
        Ok(Body::DeclareCursor { name, hold, query: self.dml()? })
    }

    fn fetch(&mut self, moves: bool) -> Result<Body, SqlError> {
        let mut count = Some(1);
        if self.word("NEXT") {
        } else if self.word("ALL") {
            count = None;
        } else if self.word("FORWARD") {
            if self.word("ALL") {
                count = None;
            } else if matches!(self.p.peek_token_ref().token, Token::Number(..)) {
                count = Some(self.forward_count()?);
            }
        } else if matches!(self.p.peek_token_ref().token, Token::Number(..)) {
            count = Some(self.forward_count()?);
        } else if ["PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "BACKWARD"]
            .iter()
            .any(|w| self.is_word(0, w))
        {
            return Err(self.unsupported("fetching backward", "Cursors only go forward."));
        }
        if !self.word("FROM") {
            self.word("IN");
        }
        Ok(Body::Fetch { name: self.ident()?, count, moves })
    }

    fn forward_count(&mut self) -> Result<u64, SqlError> {
        let place = self.place();
        u64::try_from(self.integer()?).map_err(|_| at(syntax("a cursor only goes forward"), place))
    }

    fn copy(&mut self) -> Result<Body, SqlError> {
        let source = if self.token(&Token::LParen) {
            let query = self.dml()?;
            self.expect(&Token::RParen)?;
            CopySource::Query(query)
        } else {
            let table = self.name()?;
            let columns =
                if self.p.peek_token_ref().token == Token::LParen { self.column_list()? } else { Vec::new() };
            CopySource::Table { table, columns }
        };
        let direction = if self.word("FROM") {
            if matches!(source, CopySource::Query(_)) {
                return Err(syntax("COPY (query) goes TO, not FROM"));
            }
            CopyDirection::FromStdin
        } else if self.word("TO") {
            CopyDirection::ToStdout
        } else {
            return Err(self.unexpected("FROM or TO"));
        };
        let end = if direction == CopyDirection::FromStdin { "STDIN" } else { "STDOUT" };
        if !self.word(end) {
            return Err(self.unsupported(
                "COPY with a file or program on the server",
                "Use \\copy in psql, or COPY … FROM STDIN and TO STDOUT.",
            ));
        }
        let format = self.copy_options()?;
        if self.word("WHERE") {
            return Err(self.unsupported("COPY … WHERE", "Load into a table and INSERT … SELECT … WHERE."));
        }
        Ok(Body::Copy(Box::new(CopyStatement { source, direction, format })))
    }

    /// `WITH (FORMAT csv, HEADER …)` and the older `WITH CSV HEADER DELIMITER ','`.
    fn copy_options(&mut self) -> Result<CopyFormat, SqlError> {
        self.word("WITH");
        let parenthesized = self.token(&Token::LParen);
        let mut said: Vec<(String, Option<String>)> = Vec::new();
        loop {
            match &self.p.peek_token_ref().token {
                Token::RParen | Token::EOF => break,
                Token::Comma if parenthesized => {
                    self.p.advance_token();
                    continue;
                }
                _ if !parenthesized && self.is_word(0, "WHERE") => break,
                _ => {}
            }
            let option = self.ident()?;
            self.word("AS");
            let value = match &self.p.peek_token_ref().token {
                Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) => Some(self.string()?),
                Token::Word(_) if parenthesized => Some(self.ident()?),
                Token::Word(_) if option == "force" => Some(self.ident()?),
                Token::Mul => {
                    self.p.advance_token();
                    Some("*".to_string())
                }
                _ => None,
            };
            said.push((option, value));
        }
        if parenthesized {
            self.expect(&Token::RParen)?;
        }
        let csv = said.iter().any(|(o, v)| {
            o == "csv" || o == "format" && v.as_deref().is_some_and(|v| v.eq_ignore_ascii_case("csv"))
        });
        let mut format = CopyFormat::new(csv);
        for (option, value) in said {
            self.copy_option(&mut format, &option, value)?;
        }
        if format.delimiter == format.quote && csv {
            return Err(syntax("COPY delimiter and quote must be different"));
        }
        if format.null.as_bytes().contains(&format.delimiter) {
            return Err(syntax("COPY delimiter character must not appear in the NULL specification"));
        }
        Ok(format)
    }

    fn copy_option(
        &self,
        format: &mut CopyFormat,
        option: &str,
        value: Option<String>,
    ) -> Result<(), SqlError> {
        let byte = |value: Option<String>| -> Result<u8, SqlError> {
            match value.as_deref().map(str::as_bytes) {
                Some([b]) if !matches!(b, b'\n' | b'\r') => Ok(*b),
                _ => Err(syntax(format!("COPY {option} must be a single one-byte character"))),
            }
        };
        match option {
            "csv" => {}
            "format" => match value.as_deref().map(str::to_ascii_lowercase).as_deref() {
                Some("csv" | "text") => {}
                Some("binary") => {
                    return Err(SqlError::unsupported("COPY in binary format", "Use FORMAT text or csv."));
                }
                other => {
                    return Err(syntax(format!("COPY format \"{}\" not recognized", other.unwrap_or(""))));
                }
            },
            "binary" => {
                return Err(SqlError::unsupported("COPY in binary format", "Use FORMAT text or csv."));
            }
            "header" => format.header = !matches!(value.as_deref(), Some("false" | "off" | "0")),
            "delimiter" => format.delimiter = byte(value)?,
            "null" => format.null = value.unwrap_or_default(),
            "quote" if format.csv => format.quote = byte(value)?,
            "escape" if format.csv => format.escape = byte(value)?,
            "force_quote" if format.csv && value.as_deref() == Some("*") => format.force_quote_all = true,
            "encoding" => {
                let name = value.unwrap_or_default().to_ascii_lowercase().replace('-', "");
                if name != "utf8" && name != "unicode" {
                    return Err(SqlError::unsupported(format!("COPY encoding {name}"), "Use UTF8."));
                }
            }
            "freeze" => {}
            other => {
                return Err(SqlError::unsupported(
                    format!("COPY option {other}"),
                    "Use FORMAT, HEADER, DELIMITER, NULL, QUOTE, ESCAPE.",
                ));
            }
        }
        Ok(())
    }
}

fn dml_tag(statement: &SqlStatement) -> &'static str {
    match statement {
        SqlStatement::Insert(_) => "INSERT",
        SqlStatement::Update(_) => "UPDATE",
        SqlStatement::Delete(_) => "DELETE",
        _ => "SELECT",
    }
}
