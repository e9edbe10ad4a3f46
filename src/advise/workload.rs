//! A workload file: transactions with names and weights.
//!
//! ```sql
//! -- buy confirm: 20
//! BEGIN;
//! INSERT INTO orders …;
//! UPDATE item SET i_stock = i_stock - 1 WHERE i_id = 7;
//! COMMIT;
//!
//! -- price: 2
//! UPDATE item SET i_cost = 12.50 WHERE i_id = 5;
//! ```

use std::sync::Arc;

use gemini_sql::parse::{self, Body, Statement};

use super::AdviseError;

/// One transaction of the sample.
#[derive(Debug)]
pub(super) struct Transaction {
    pub name: String,
    /// How often it runs, compared with the others.
    pub weight: u64,
    /// Without BEGIN and COMMIT.
    pub statements: Vec<Statement>,
    /// The file, into which the statements' places point.
    pub text: Arc<str>,
    /// The file's name and line, for errors.
    pub place: String,
}

/// Reads a file; errors name file and line.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Transaction>, AdviseError> {
    let statements = parse::parse(text).map_err(|e| AdviseError::Sql {
        place: e.position.map_or_else(|| file.to_owned(), |at| place(file, text, at as usize)),
        message: e.to_string(),
    })?;
    let shared: Arc<str> = text.into();
    let mut found: Vec<Transaction> = Vec::new();
    let (mut open, mut before) = (false, 0);
    for statement in statements {
        let range = statement.range.clone();
        let wrong = |message: &str| {
            Err(AdviseError::Sql { place: place(file, text, range.start), message: message.to_owned() })
        };
        match &statement.body {
            Body::Begin(_) if open => return wrong("BEGIN within a transaction"),
            Body::Commit { .. } if !open => return wrong("COMMIT without BEGIN"),
            Body::Commit { .. } => open = false,
            Body::Rollback { .. } | Body::Savepoint(_) | Body::Release(_) | Body::RollbackTo(_) => {
                return wrong("a workload is what commits: leave ROLLBACK and savepoints out");
            }
            Body::Begin(_) | Body::Dml(_) => {
                let begins = matches!(statement.body, Body::Begin(_));
                if !open {
                    let (name, weight) = heading(text.get(before..range.start).unwrap_or(""));
                    let place = place(file, text, range.start);
                    let name = name.unwrap_or_else(|| first_words(&text[range.clone()]));
                    let text = shared.clone();
                    found.push(Transaction { name, weight, statements: Vec::new(), text, place });
                }
                open |= begins;
                if let (false, Some(last)) = (begins, found.last_mut()) {
                    last.statements.push(statement);
                }
            }
            _ => return wrong("a workload holds SELECT, INSERT, UPDATE, DELETE, BEGIN and COMMIT"),
        }
        before = range.end;
    }
    if open {
        return Err(AdviseError::Sql {
            place: file.to_owned(),
            message: "the last BEGIN has no COMMIT".into(),
        });
    }
    found.retain(|transaction| !transaction.statements.is_empty());
    Ok(found)
}

/// `-- name: weight`, the last such line of the comments before a transaction.
fn heading(comments: &str) -> (Option<String>, u64) {
    let lines = comments.lines().rev().filter_map(|line| line.trim().strip_prefix("--"));
    for line in lines {
        match line.rsplit_once(':').map(|(name, weight)| (name.trim(), weight.trim().parse::<u64>())) {
            Some((name, Ok(weight))) if !name.is_empty() => return (Some(name.to_owned()), weight),
            _ => {}
        }
    }
    (None, 1)
}

fn first_words(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().take(3).collect();
    words.join(" ")
}

fn place(file: &str, text: &str, at: usize) -> String {
    let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    format!("{file}, line {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_have_names_weights_and_places() {
        let text = "-- what follows\n-- buy: 20\nBEGIN; INSERT INTO t VALUES (1);\nUPDATE t SET a = ';' ; COMMIT;\n\nDELETE FROM t;";
        let found = parse("w.sql", text).expect("it parses");
        let seen: Vec<_> =
            found.iter().map(|t| (t.name.as_str(), t.weight, t.statements.len(), t.place.as_str())).collect();
        assert_eq!(seen, [("buy", 20, 2, "w.sql, line 3"), ("DELETE FROM t", 1, 1, "w.sql, line 6")]);
    }

    #[test]
    fn what_is_no_workload_is_refused_with_its_line() {
        for (text, expected) in [
            ("SELECT 1;\nCOMMIT", "w.sql, line 2: COMMIT without BEGIN"),
            ("BEGIN; BEGIN", "w.sql, line 1: BEGIN within a transaction"),
            ("BEGIN; SELECT 1", "w.sql: the last BEGIN has no COMMIT"),
            (
                "\nDROP TABLE t",
                "w.sql, line 2: a workload holds SELECT, INSERT, UPDATE, DELETE, BEGIN and COMMIT",
            ),
        ] {
            assert_eq!(parse("w.sql", text).expect_err(text).to_string(), expected);
        }
    }
}
