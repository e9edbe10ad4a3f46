//! ALTER TABLE, ALTER SEQUENCE, ALTER INDEX.

use sqlparser::tokenizer::Token;

use super::ast::*;
use super::shell::Shell;
use super::types;
use crate::error::SqlError;

impl Shell<'_> {
    pub(super) fn alter(&mut self) -> Result<(Ddl, &'static str), SqlError> {
        if self.word("TABLE") {
            return Ok((self.alter_table()?, "ALTER TABLE"));
        }
        if self.word("SEQUENCE") {
            return Ok((self.alter_sequence()?, "ALTER SEQUENCE"));
        }
        if self.word("INDEX") {
            let if_exists = self.if_exists();
            let name = self.name()?;
            if !self.words(&["RENAME", "TO"]) {
                return Err(
                    self.unsupported("this ALTER INDEX", "Use RENAME TO, or drop and create the index.")
                );
            }
            let to = self.ident()?;
            return Ok((Ddl::RenameIndex { name, if_exists, to }, "ALTER INDEX"));
        }
        Err(self.refuse_object("ALTER"))
    }

    fn alter_table(&mut self) -> Result<Ddl, SqlError> {
        let if_exists = self.if_exists();
        self.word("ONLY");
        let name = self.name()?;
        self.token(&Token::Mul);
        let mut actions = vec![self.alter_action()?];
        while self.token(&Token::Comma) {
            actions.push(self.alter_action()?);
        }
        Ok(Ddl::AlterTable { name, if_exists, actions })
    }

    fn alter_action(&mut self) -> Result<AlterAction, SqlError> {
        if self.word("ADD") {
            return self.add_action();
        }
        if self.word("DROP") {
            return self.drop_action();
        }
        if self.word("RENAME") {
            return self.rename_action();
        }
        if self.word("ALTER") {
            self.word("COLUMN");
            let column = self.ident()?;
            return self.alter_column(column);
        }
        if self.words(&["SET", "ROWS"]) {
            return Ok(AlterAction::SetRows(self.row_rule(true)?));
        }
        if self.words(&["OWNER", "TO"]) {
            self.ident()?;
            return Ok(AlterAction::Owner);
        }
        let refused: [(&str, &str); 9] = [
            ("VALIDATE", "Constraints always hold: nothing needs validation."),
            ("ENABLE", "There are no triggers, rules or policies."),
            ("DISABLE", "There are no triggers, rules or policies."),
            ("ATTACH", "There is no partitioning."),
            ("DETACH", "There is no partitioning."),
            ("INHERIT", "There is no inheritance."),
            ("CLUSTER", "Rows are kept in the order of their primary key."),
            ("REPLICA", "Sites replicate by primary key."),
            ("SET", "Supported: ALTER COLUMN … SET …, SET ROWS …."),
        ];
        for (word, instead) in refused {
            if self.is_word(0, word) {
                return Err(self.unsupported(&format!("ALTER TABLE … {word}"), instead));
            }
        }
        Err(self.unexpected("ADD, DROP, RENAME, ALTER, SET ROWS or OWNER TO"))
    }

    fn add_action(&mut self) -> Result<AlterAction, SqlError> {
        let constraint = (self.is_word(0, "PRIMARY") && self.is_word(1, "KEY"))
            || (self.is_word(0, "FOREIGN") && self.is_word(1, "KEY"))
            || ["CONSTRAINT", "UNIQUE", "CHECK", "EXCLUDE"].iter().any(|w| self.is_word(0, w));
        if constraint {
            return Ok(AlterAction::AddConstraint(self.table_constraint()?));
        }
        self.word("COLUMN");
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        Ok(AlterAction::AddColumn { column: Box::new(self.column_definition()?), if_not_exists })
    }

    fn drop_action(&mut self) -> Result<AlterAction, SqlError> {
        if self.word("CONSTRAINT") {
            let if_exists = self.if_exists();
            let name = self.ident()?;
            return Ok(AlterAction::DropConstraint { name, if_exists, cascade: self.cascade() });
        }
        self.word("COLUMN");
        let if_exists = self.if_exists();
        let name = self.ident()?;
        Ok(AlterAction::DropColumn { name, if_exists, cascade: self.cascade() })
    }

    fn rename_action(&mut self) -> Result<AlterAction, SqlError> {
        if self.word("TO") {
            return Ok(AlterAction::RenameTable(self.ident()?));
        }
        let constraint = self.word("CONSTRAINT");
        if !constraint {
            self.word("COLUMN");
        }
        let from = self.ident()?;
        self.expect_word("TO")?;
        let to = self.ident()?;
        Ok(if constraint {
            AlterAction::RenameConstraint { from, to }
        } else {
            AlterAction::RenameColumn { from, to }
        })
    }

    fn alter_column(&mut self, column: String) -> Result<AlterAction, SqlError> {
        if self.words(&["SET", "DEFAULT"]) {
            return Ok(AlterAction::SetDefault { column, default: self.expr()? });
        }
        if self.words(&["DROP", "DEFAULT"]) {
            return Ok(AlterAction::DropDefault { column });
        }
        if self.words(&["SET", "NOT", "NULL"]) {
            return Ok(AlterAction::SetNotNull { column });
        }
        if self.words(&["DROP", "NOT", "NULL"]) {
            return Ok(AlterAction::DropNotNull { column });
        }
        if self.words(&["SET", "MERGE"]) {
            return Ok(AlterAction::SetMerge { column, merge: self.merge_rule()? });
        }
        if self.words(&["DROP", "IDENTITY"]) {
            return Ok(AlterAction::DropIdentity { column, if_exists: self.if_exists() });
        }
        if self.words(&["ADD", "GENERATED"]) {
            let always = self.word("ALWAYS");
            if !always && !self.words(&["BY", "DEFAULT"]) {
                return Err(self.unexpected("ALWAYS or BY DEFAULT"));
            }
            self.expect_word("AS")?;
            self.expect_word("IDENTITY")?;
            return Ok(AlterAction::AddIdentity { column, identity: self.identity(always)? });
        }
        if self.words(&["SET", "DATA", "TYPE"]) || self.word("TYPE") {
            let ty = self.p.parse_data_type();
            let ty = types::data_type(&self.map(ty)?)?;
            if self.is_word(0, "USING") || self.is_word(0, "COLLATE") {
                return Err(self.unsupported(
                    "rewriting a column",
                    "Add a column of the new type, fill it with UPDATE, drop the old one, rename.",
                ));
            }
            return Ok(AlterAction::SetType { column, ty });
        }
        for word in ["SET", "RESET", "DROP"] {
            if self.is_word(0, word) {
                return Err(self.unsupported(
                    "this ALTER COLUMN",
                    "Supported: SET/DROP DEFAULT, SET/DROP NOT NULL, SET MERGE, ADD GENERATED, DROP IDENTITY.",
                ));
            }
        }
        Err(self.unexpected("SET, DROP, ADD GENERATED or TYPE"))
    }

    fn alter_sequence(&mut self) -> Result<Ddl, SqlError> {
        let if_exists = self.if_exists();
        let name = self.name()?;
        let mut options = SequenceOptions::default();
        let (mut restart, mut rename, mut owned_by) = (None, None, None);
        loop {
            if self.word("RESTART") {
                self.word("WITH");
                let number =
                    matches!(self.p.peek_token_ref().token, Token::Number(..) | Token::Minus | Token::Plus);
                restart = Some(if number { Some(self.integer()?) } else { None });
            } else if self.words(&["RENAME", "TO"]) {
                rename = Some(self.ident()?);
            } else if self.words(&["OWNER", "TO"]) {
                self.ident()?;
            } else if self.words(&["OWNED", "BY"]) {
                owned_by = Some(self.owner()?);
            } else if !self.sequence_option(&mut options)? {
                break;
            }
        }
        Ok(Ddl::AlterSequence { name, if_exists, options, restart, rename, owned_by })
    }
}
