//! CREATE, DROP, TRUNCATE with Gemini's annotations.

use gemini_shadow_ops::{DataType, MergeRule, ReferentialAction, RowRule};
use sqlparser::tokenizer::Token;

use super::ast::*;
use super::shell::Shell;
use super::tokens::{at, syntax};
use super::types;
use crate::error::SqlError;

/// Binds tighter than AND, OR, NOT, IS: a DEFAULT ends before `NOT NULL`.
const ABOVE_IS: u8 = 40;

impl Shell<'_> {
    pub(super) fn ddl(&mut self) -> Result<(Body, &'static str), SqlError> {
        let (ddl, tag) = if self.word("CREATE") {
            self.create()?
        } else if self.word("ALTER") {
            self.alter()?
        } else if self.word("DROP") {
            self.drop_objects()?
        } else {
            self.expect_word("TRUNCATE")?;
            (self.truncate()?, "TRUNCATE TABLE")
        };
        Ok((Body::Ddl(Box::new(ddl)), tag))
    }

    fn create(&mut self) -> Result<(Ddl, &'static str), SqlError> {
        let replace = self.words(&["OR", "REPLACE"]);
        if self.word("UNIQUE") {
            self.expect_word("INDEX")?;
            return Ok((self.create_index(true)?, "CREATE INDEX"));
        }
        if self.word("INDEX") {
            return Ok((self.create_index(false)?, "CREATE INDEX"));
        }
        if self.word("TABLE") {
            return Ok((self.create_table()?, "CREATE TABLE"));
        }
        if self.word("SEQUENCE") {
            return Ok((self.create_sequence()?, "CREATE SEQUENCE"));
        }
        let _ = replace;
        Err(self.refuse_object("CREATE"))
    }

    /// 0A000 for the kinds of object Gemini does not have.
    pub(super) fn refuse_object(&mut self, verb: &str) -> SqlError {
        let kinds: [(&[&str], &str); 22] = [
            (&["TEMPORARY", "TEMP", "UNLOGGED"], "Use an ordinary table and drop it when done."),
            (&["GLOBAL", "LOCAL"], "Use an ordinary table and drop it when done."),
            (&["MATERIALIZED"], "Use a table and fill it with INSERT … SELECT."),
            (&["VIEW", "RECURSIVE"], "Write the query out, or keep it as a prepared statement."),
            (&["FUNCTION", "PROCEDURE", "ROUTINE"], "Put the logic into the application."),
            (&["AGGREGATE", "OPERATOR", "CAST", "TRANSFORM"], "Use the built-in ones."),
            (&["TRIGGER", "EVENT", "RULE"], "Put the logic into the application's transaction."),
            (&["SCHEMA"], "All tables live in the schema public."),
            (&["EXTENSION"], "gen_random_uuid() and the usual functions are built in."),
            (&["TYPE"], "Use text with a CHECK."),
            (&["DOMAIN"], "Use the base type with a CHECK."),
            (&["ROLE", "USER", "GROUP"], "There are no roles yet; sites listen on loopback only."),
            (&["DATABASE"], "A cluster holds one database."),
            (&["TABLESPACE"], "A site has one data directory, given to it at its start."),
            (&["POLICY"], "Filter in the query."),
            (&["PUBLICATION", "SUBSCRIPTION"], "Sites replicate by themselves."),
            (&["FOREIGN", "SERVER"], "Load the data with COPY."),
            (&["STATISTICS"], "Plans are chosen without statistics."),
            (
                &["COLLATION", "CONVERSION"],
                "Text is ordered by its bytes (collation \"C\"), alike at every site.",
            ),
            (&["LANGUAGE", "ACCESS"], "There are no extensions."),
            (&["DEFAULT", "LARGE"], "There are no roles and no large objects."),
            (&["SYSTEM"], "Use SET, or sites.toml."),
        ];
        for (words, instead) in kinds {
            for word in words {
                if self.is_word(0, word) {
                    return self.unsupported(&format!("{verb} {word}"), instead);
                }
            }
        }
        self.unexpected("TABLE, INDEX or SEQUENCE")
    }

    fn if_not_exists(&mut self) -> bool {
        self.words(&["IF", "NOT", "EXISTS"])
    }

    pub(super) fn if_exists(&mut self) -> bool {
        self.words(&["IF", "EXISTS"])
    }

    fn create_table(&mut self) -> Result<Ddl, SqlError> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        if self.is_word(0, "AS") {
            return Err(self.unsupported("CREATE TABLE AS", "Create the table, then INSERT … SELECT."));
        }
        if self.is_word(0, "PARTITION") || self.is_word(0, "OF") {
            return Err(self.unsupported("partitioning", "Use one table: it may be larger than memory."));
        }
        self.expect(&Token::LParen)?;
        let (mut columns, mut constraints) = (Vec::new(), Vec::new());
        if self.p.peek_token_ref().token != Token::RParen {
            loop {
                if self.is_word(0, "LIKE") {
                    return Err(self.unsupported("CREATE TABLE (LIKE …)", "Write the columns out."));
                }
                if self.at_table_constraint() {
                    constraints.push(self.table_constraint()?);
                } else {
                    columns.push(self.column_definition()?);
                }
                if !self.token(&Token::Comma) {
                    break;
                }
            }
        }
        self.expect(&Token::RParen)?;
        let mut annotations = Annotations::default();
        loop {
            if self.word("ROWS") {
                annotations = self.row_rule(true)?;
            } else if self.is_word(0, "INHERITS") {
                return Err(self.unsupported("INHERITS", "Write the columns out in each table."));
            } else if self.is_word(0, "PARTITION") {
                return Err(self.unsupported("partitioning", "Use one table: it may be larger than memory."));
            } else if self.is_word(0, "AS") {
                return Err(self.unsupported("CREATE TABLE AS", "Create the table, then INSERT … SELECT."));
            } else if self.is_word(0, "WITH") || self.is_word(0, "TABLESPACE") || self.is_word(0, "USING") {
                return Err(self.unsupported("a storage option", "Leave it out: there is one storage."));
            } else {
                break;
            }
        }
        Ok(Ddl::CreateTable(CreateTable { name, if_not_exists, columns, constraints, annotations }))
    }

    /// After ROWS: the rule, then `, KEYS TRUSTED` if `trusted` and it is there.
    pub(super) fn row_rule(&mut self, trusted: bool) -> Result<Annotations, SqlError> {
        let rows = if self.word("STRICT") {
            RowRule::Strict
        } else if self.words(&["APPEND", "ONLY"]) {
            RowRule::AppendOnly
        } else if self.words(&["ADD", "WINS"]) {
            RowRule::AddWins
        } else if self.words(&["REMOVE", "WINS"]) {
            RowRule::RemoveWins
        } else {
            return Err(self.unexpected("STRICT, APPEND ONLY, ADD WINS or REMOVE WINS"));
        };
        let mut keys_trusted = false;
        if trusted && self.p.peek_token_ref().token == Token::Comma && self.is_word(1, "KEYS") {
            self.p.advance_token();
            self.p.advance_token();
            self.expect_word("TRUSTED")?;
            keys_trusted = true;
        }
        Ok(Annotations { rows: Some(rows), keys_trusted })
    }

    pub(super) fn merge_rule(&mut self) -> Result<MergeRule, SqlError> {
        for (words, rule) in [
            (&["STRICT"][..], MergeRule::Strict),
            (&["LWW"], MergeRule::Lww),
            (&["DELTA"], MergeRule::Delta),
            (&["MAX"], MergeRule::Max),
            (&["MIN"], MergeRule::Min),
            (&["ADD", "WINS", "SET"], MergeRule::AddWinsSet),
            (&["ENABLE", "WINS"], MergeRule::EnableWins),
            (&["DISABLE", "WINS"], MergeRule::DisableWins),
        ] {
            if self.words(words) {
                return Ok(rule);
            }
        }
        Err(self.unexpected("STRICT, LWW, DELTA, MAX, MIN, ADD WINS SET, ENABLE WINS or DISABLE WINS"))
    }

    fn at_table_constraint(&self) -> bool {
        let opens = |n| self.p.peek_nth_token_ref(n).token == Token::LParen;
        (self.is_word(0, "CONSTRAINT"))
            || (self.is_word(0, "PRIMARY") && self.is_word(1, "KEY"))
            || (self.is_word(0, "UNIQUE")
                && (opens(1) || self.is_word(1, "NULLS") || self.is_word(1, "USING")))
            || (self.is_word(0, "CHECK") && opens(1))
            || (self.is_word(0, "FOREIGN") && self.is_word(1, "KEY"))
            || (self.is_word(0, "EXCLUDE"))
    }

    fn constraint_name(&mut self) -> Result<Option<String>, SqlError> {
        if self.word("CONSTRAINT") { Ok(Some(self.ident()?)) } else { Ok(None) }
    }

    pub(super) fn table_constraint(&mut self) -> Result<ConstraintDefinition, SqlError> {
        let place = self.place().unwrap_or(0);
        let name = self.constraint_name()?;
        let kind = if self.words(&["PRIMARY", "KEY"]) {
            self.refuse_using_index()?;
            ConstraintKind::PrimaryKey(self.column_list()?)
        } else if self.word("UNIQUE") {
            let nulls_not_distinct = self.nulls_not_distinct()?;
            self.refuse_using_index()?;
            ConstraintKind::Unique { columns: self.column_list()?, nulls_not_distinct }
        } else if self.word("CHECK") {
            self.check()?
        } else if self.words(&["FOREIGN", "KEY"]) {
            let columns = self.column_list()?;
            ConstraintKind::ForeignKey { columns, references: self.references()? }
        } else if self.is_word(0, "EXCLUDE") {
            return Err(self.unsupported("EXCLUDE", "Use UNIQUE or CHECK."));
        } else {
            return Err(self.unexpected("a constraint"));
        };
        self.constraint_attributes()?;
        Ok(ConstraintDefinition { name, position: place, kind })
    }

    fn refuse_using_index(&mut self) -> Result<(), SqlError> {
        if self.is_word(0, "USING") {
            return Err(
                self.unsupported("USING INDEX", "Name the columns; the constraint makes its own index.")
            );
        }
        Ok(())
    }

    fn nulls_not_distinct(&mut self) -> Result<bool, SqlError> {
        if !self.word("NULLS") {
            return Ok(false);
        }
        let not = self.word("NOT");
        self.expect_word("DISTINCT")?;
        Ok(not)
    }

    fn check(&mut self) -> Result<ConstraintKind, SqlError> {
        self.expect(&Token::LParen)?;
        let expr = self.expr()?;
        self.expect(&Token::RParen)?;
        Ok(ConstraintKind::Check(Box::new(expr)))
    }

    /// REFERENCES parent [(columns)] [MATCH SIMPLE] [ON DELETE …] [ON UPDATE …]
    fn references(&mut self) -> Result<References, SqlError> {
        self.expect_word("REFERENCES")?;
        let parent = self.name()?;
        let columns =
            if self.p.peek_token_ref().token == Token::LParen { self.column_list()? } else { Vec::new() };
        let mut references = References {
            parent,
            columns,
            on_delete: ReferentialAction::NoAction,
            on_update: ReferentialAction::NoAction,
        };
        loop {
            if self.word("MATCH") {
                if !self.word("SIMPLE") {
                    return Err(
                        self.unsupported("MATCH FULL", "Declare the columns NOT NULL, or add a CHECK.")
                    );
                }
            } else if self.words(&["ON", "DELETE"]) {
                references.on_delete = self.action()?;
            } else if self.words(&["ON", "UPDATE"]) {
                references.on_update = self.action()?;
            } else {
                return Ok(references);
            }
        }
    }

    fn action(&mut self) -> Result<ReferentialAction, SqlError> {
        let action = if self.words(&["NO", "ACTION"]) {
            ReferentialAction::NoAction
        } else if self.word("RESTRICT") {
            ReferentialAction::Restrict
        } else if self.word("CASCADE") {
            ReferentialAction::Cascade
        } else if self.words(&["SET", "NULL"]) {
            ReferentialAction::SetNull
        } else if self.words(&["SET", "DEFAULT"]) {
            ReferentialAction::SetDefault
        } else {
            return Err(self.unexpected("NO ACTION, RESTRICT, CASCADE, SET NULL or SET DEFAULT"));
        };
        if self.p.peek_token_ref().token == Token::LParen {
            return Err(self.unsupported("an action on some of the columns", "Leave the column list out."));
        }
        Ok(action)
    }

    /// [NOT] DEFERRABLE, INITIALLY …, NOT VALID, NO INHERIT, [NOT] ENFORCED.
    fn constraint_attributes(&mut self) -> Result<(), SqlError> {
        loop {
            if self.words(&["NOT", "DEFERRABLE"])
                || self.words(&["INITIALLY", "IMMEDIATE"])
                || self.words(&["NO", "INHERIT"])
                || self.word("ENFORCED")
            {
                continue;
            }
            if self.is_word(0, "DEFERRABLE") || self.is_word(0, "INITIALLY") {
                return Err(self.unsupported(
                    "a deferrable constraint",
                    "Constraints are checked at the end of each statement; insert parents before children.",
                ));
            }
            if self.is_word(0, "NOT") && (self.is_word(1, "VALID") || self.is_word(1, "ENFORCED")) {
                return Err(self.unsupported("a constraint that does not hold", "Repair the rows first."));
            }
            if self.is_word(0, "USING") || self.is_word(0, "WITH") || self.is_word(0, "INCLUDE") {
                return Err(self.unsupported("an index option", "Leave it out: there is one kind of index."));
            }
            return Ok(());
        }
    }

    /// `name TYPE [options]`
    pub(super) fn column_definition(&mut self) -> Result<ColumnDefinition, SqlError> {
        let place = self.place();
        let name = self.ident()?;
        let ty_place = self.place();
        let ty = self.p.parse_data_type();
        let ty = self.map(ty)?;
        let (ty, serial) = match types::serial(&ty) {
            Some(ty) => (ty, true),
            None => (types::data_type(&ty).map_err(|e| at(e, ty_place))?, false),
        };
        self.refuse_column_type(&ty, ty_place)?;
        let mut column = ColumnDefinition {
            name,
            position: place.unwrap_or(0),
            ty,
            serial,
            not_null: false,
            null: false,
            default: None,
            generated: None,
            identity: None,
            merge: None,
            constraints: Vec::new(),
        };
        while self.column_option(&mut column)? {}
        if column.null && (column.not_null || column.serial || column.identity.is_some()) {
            let message = format!("conflicting NULL/NOT NULL declarations for column \"{}\"", column.name);
            return Err(at(syntax(message), place));
        }
        Ok(column)
    }

    pub(super) fn refuse_column_type(&self, ty: &DataType, place: Option<u32>) -> Result<(), SqlError> {
        let name = match ty {
            DataType::Array(element) => return self.refuse_column_type(element, place),
            DataType::Oid
            | DataType::Name
            | DataType::InternalChar
            | DataType::Int2Vector
            | DataType::OidVector => "a catalogue type as a column",
            DataType::Regclass | DataType::Regtype | DataType::Regproc => "a catalogue type as a column",
            DataType::Json => "a JSON column",
            DataType::Unknown | DataType::Void => "a pseudo-type as a column",
            _ => return Ok(()),
        };
        Err(at(SqlError::unsupported(name, "Use a child table for lists, integer or text for names."), place))
    }

    /// One option of a column; false when none is left.
    fn column_option(&mut self, column: &mut ColumnDefinition) -> Result<bool, SqlError> {
        let place = self.place();
        let name = self.constraint_name()?;
        let constraint =
            |kind| ConstraintDefinition { name: name.clone(), position: place.unwrap_or(0), kind };
        if self.words(&["NOT", "NULL"]) {
            column.not_null = true;
        } else if self.word("NULL") {
            column.null = true;
        } else if self.word("DEFAULT") {
            if column.default.is_some() {
                let message = format!("multiple default values specified for column \"{}\"", column.name);
                return Err(at(syntax(message), place));
            }
            let expr = self.p.parse_subexpr(ABOVE_IS);
            column.default = Some(self.map(expr)?);
        } else if self.word("GENERATED") {
            self.generated(column)?;
        } else if self.words(&["PRIMARY", "KEY"]) {
            column.constraints.push(constraint(ConstraintKind::PrimaryKey(vec![column.name.clone()])));
            self.constraint_attributes()?;
        } else if self.word("UNIQUE") {
            let nulls_not_distinct = self.nulls_not_distinct()?;
            let columns = vec![column.name.clone()];
            column.constraints.push(constraint(ConstraintKind::Unique { columns, nulls_not_distinct }));
            self.constraint_attributes()?;
        } else if self.word("CHECK") {
            let kind = self.check()?;
            column.constraints.push(constraint(kind));
            self.constraint_attributes()?;
        } else if self.is_word(0, "REFERENCES") {
            let references = self.references()?;
            let columns = vec![column.name.clone()];
            column.constraints.push(constraint(ConstraintKind::ForeignKey { columns, references }));
            self.constraint_attributes()?;
        } else if self.word("MERGE") {
            column.merge = Some(self.merge_rule()?);
        } else if self.word("COLLATE") {
            let collation = self.name()?;
            if !matches!(collation.name.as_str(), "c" | "C" | "posix" | "POSIX" | "default" | "ucs_basic") {
                return Err(at(
                    SqlError::unsupported(
                        format!("collation \"{}\"", collation.name),
                        "Text is ordered by its bytes (collation \"C\"), alike at every site.",
                    ),
                    place,
                ));
            }
        } else if name.is_some() {
            return Err(self.unexpected("a constraint"));
        } else if self.is_word(0, "STORAGE") || self.is_word(0, "COMPRESSION") {
            return Err(self.unsupported("a storage option", "Leave it out: there is one storage."));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// After GENERATED: ALWAYS AS (…) STORED, ALWAYS AS IDENTITY, BY DEFAULT AS IDENTITY.
    fn generated(&mut self, column: &mut ColumnDefinition) -> Result<(), SqlError> {
        let always = self.word("ALWAYS");
        if !always && !self.words(&["BY", "DEFAULT"]) {
            return Err(self.unexpected("ALWAYS or BY DEFAULT"));
        }
        self.expect_word("AS")?;
        if self.word("IDENTITY") {
            column.identity = Some(self.identity(always)?);
            return Ok(());
        }
        self.expect(&Token::LParen)?;
        column.generated = Some(self.expr()?);
        self.expect(&Token::RParen)?;
        if !self.word("STORED") {
            return Err(self.unsupported("a virtual generated column", "Write STORED."));
        }
        Ok(())
    }

    /// After IDENTITY: `[(sequence options)]`.
    pub(super) fn identity(&mut self, always: bool) -> Result<IdentityOptions, SqlError> {
        let mut sequence = SequenceOptions::default();
        if self.token(&Token::LParen) {
            while self.sequence_option(&mut sequence)? {}
            self.expect(&Token::RParen)?;
        }
        Ok(IdentityOptions { always, sequence })
    }

    /// One option of a sequence; false when none is left.
    pub(super) fn sequence_option(&mut self, options: &mut SequenceOptions) -> Result<bool, SqlError> {
        if self.words(&["SEQUENCE", "NAME"]) {
            options.name = Some(self.name()?.name);
        } else if self.word("START") {
            self.word("WITH");
            options.start = Some(self.integer()?);
        } else if self.word("INCREMENT") {
            self.word("BY");
            options.increment = Some(self.integer()?);
        } else if self.word("MINVALUE") {
            options.min = Some(Some(self.integer()?));
        } else if self.word("MAXVALUE") {
            options.max = Some(Some(self.integer()?));
        } else if self.words(&["NO", "MINVALUE"]) {
            options.min = Some(None);
        } else if self.words(&["NO", "MAXVALUE"]) {
            options.max = Some(None);
        } else if self.word("CYCLE") {
            options.cycle = Some(true);
        } else if self.words(&["NO", "CYCLE"]) {
            options.cycle = Some(false);
        } else if self.word("CACHE") {
            // Sites mint from their own ranges, durably and without a round trip: there is nothing to cache.
            self.integer()?;
        } else if self.word("AS") {
            let place = self.place();
            let ty = self.p.parse_data_type();
            let limit = match types::data_type(&self.map(ty)?)? {
                DataType::Int2 => i64::from(i16::MAX),
                DataType::Int4 => i64::from(i32::MAX),
                DataType::Int8 => i64::MAX,
                _ => return Err(at(syntax("sequence type must be smallint, integer, or bigint"), place)),
            };
            if options.max.is_none() {
                options.max = Some(Some(limit));
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn create_sequence(&mut self) -> Result<Ddl, SqlError> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        let mut options = SequenceOptions::default();
        let mut owned_by = None;
        loop {
            if self.words(&["OWNED", "BY"]) {
                owned_by = self.owner()?;
            } else if !self.sequence_option(&mut options)? {
                break;
            }
        }
        Ok(Ddl::CreateSequence { name, if_not_exists, options, owned_by })
    }

    /// `NONE` or `table.column`.
    pub(super) fn owner(&mut self) -> Result<Option<(String, String)>, SqlError> {
        if self.word("NONE") {
            return Ok(None);
        }
        let name = self.name()?;
        match name.schema {
            Some(table) => Ok(Some((table, name.name))),
            None => Err(syntax("OWNED BY takes table.column").at(name.position)),
        }
    }

    fn create_index(&mut self, unique: bool) -> Result<Ddl, SqlError> {
        // CONCURRENTLY changes nothing: readers and blue commits never wait for an index.
        self.word("CONCURRENTLY");
        let if_not_exists = self.if_not_exists();
        let name = if self.is_word(0, "ON") { None } else { Some(self.name()?.name) };
        self.expect_word("ON")?;
        self.word("ONLY");
        let table = self.name()?;
        if self.word("USING") && !self.word("BTREE") {
            return Err(self.unsupported("this kind of index", "Use USING btree, or leave it out."));
        }
        self.expect(&Token::LParen)?;
        let mut keys = vec![self.index_key()?];
        while self.token(&Token::Comma) {
            keys.push(self.index_key()?);
        }
        self.expect(&Token::RParen)?;
        let nulls_not_distinct = self.nulls_not_distinct()?;
        if self.is_word(0, "WHERE") {
            return Err(self.unsupported(
                "a partial index",
                "Index the columns themselves; to restrict uniqueness, keep such rows in a table of their own.",
            ));
        }
        if self.is_word(0, "INCLUDE") {
            return Err(self.unsupported("INCLUDE", "Put the columns into the key, after the others."));
        }
        if self.is_word(0, "WITH") || self.is_word(0, "TABLESPACE") {
            return Err(self.unsupported("an index option", "Leave it out: there is one kind of index."));
        }
        Ok(Ddl::CreateIndex(CreateIndex { name, if_not_exists, table, unique, nulls_not_distinct, keys }))
    }

    fn index_key(&mut self) -> Result<IndexKey, SqlError> {
        let place = self.place();
        let expression = || {
            SqlError::unsupported(
                "an index over an expression",
                "Add a column GENERATED ALWAYS AS (…) STORED and index that.",
            )
        };
        if self.p.peek_token_ref().token == Token::LParen
            || self.p.peek_nth_token_ref(1).token == Token::LParen
        {
            return Err(at(expression(), place));
        }
        let column = self.ident()?;
        if self.word("COLLATE") {
            let collation = self.name()?;
            if !matches!(collation.name.as_str(), "c" | "C" | "posix" | "POSIX" | "default") {
                return Err(at(
                    SqlError::unsupported("this collation", "Text is ordered by its bytes (\"C\")."),
                    place,
                ));
            }
        }
        if let Token::Word(w) = &self.p.peek_token_ref().token
            && w.value.to_ascii_lowercase().ends_with("_ops")
        {
            self.p.advance_token();
        }
        let descending = self.word("DESC");
        if !descending {
            self.word("ASC");
        }
        let mut nulls_first = descending;
        if self.word("NULLS") {
            nulls_first = self.word("FIRST");
            if !nulls_first {
                self.expect_word("LAST")?;
            }
        }
        match self.p.peek_token_ref().token {
            Token::Comma | Token::RParen => {}
            _ => return Err(at(expression(), place)),
        }
        Ok(IndexKey { column, position: place.unwrap_or(0), descending, nulls_first })
    }

    fn drop_objects(&mut self) -> Result<(Ddl, &'static str), SqlError> {
        let (kind, tag) = if self.word("TABLE") {
            (DropKind::Table, "DROP TABLE")
        } else if self.word("INDEX") {
            self.word("CONCURRENTLY");
            (DropKind::Index, "DROP INDEX")
        } else if self.word("SEQUENCE") {
            (DropKind::Sequence, "DROP SEQUENCE")
        } else {
            return Err(self.refuse_object("DROP"));
        };
        let if_exists = self.if_exists();
        let names = self.names()?;
        let cascade = self.cascade();
        Ok((Ddl::Drop { kind, names, if_exists, cascade }, tag))
    }

    pub(super) fn cascade(&mut self) -> bool {
        if self.word("CASCADE") {
            return true;
        }
        self.word("RESTRICT");
        false
    }

    fn truncate(&mut self) -> Result<Ddl, SqlError> {
        self.word("TABLE");
        self.word("ONLY");
        let mut tables = Vec::new();
        loop {
            tables.push(self.name()?);
            self.token(&Token::Mul);
            if !self.token(&Token::Comma) {
                break;
            }
        }
        let restart_identity = self.words(&["RESTART", "IDENTITY"]);
        self.words(&["CONTINUE", "IDENTITY"]);
        Ok(Ddl::Truncate { tables, restart_identity, cascade: self.cascade() })
    }
}
