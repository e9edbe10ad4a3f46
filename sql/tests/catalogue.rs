//! The catalogue as clients ask for it: their own queries, each with the rows that they must get.
//!
//! A file of `tests/catalogue` is a list of statements, each followed by `----` and its answer. `setup.sql` makes the
//! objects. psql.sql is what psql 15 sends for its backslash commands (a comment names the command), sqlalchemy.sql what
//! SQLAlchemy sends to reflect a table, drivers.sql what drivers and ORMs send. With `GEMINI_WRITE_ANSWERS` set the answers
//! are written anew, to be read in the diff.

#![allow(clippy::unwrap_used)] // a test that cannot go on may panic

use std::path::{Path, PathBuf};

use gemini_sql::session::{Session, Shared};
use gemini_sql::testing::{LocalHost, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue")
}

fn session() -> Session {
    let mut session = Session::new(Shared::new(LocalHost::new()), "gemini", "test", 1);
    let setup = std::fs::read_to_string(folder().join("setup.sql")).unwrap();
    let answer = run(&mut session, &setup);
    assert!(answer.ends_with("CREATE SEQUENCE\n"), "{answer}");
    session
}

/// Answers every statement of a file; the file as it should be.
fn answered(text: &str) -> String {
    let mut session = session();
    let mut out = String::new();
    let mut statement = String::new();
    let mut in_answer = false;
    for line in text.lines() {
        if line == "----" {
            let answer = run(&mut session, &statement);
            out.push_str(&format!("{}\n----\n{answer}\n", statement.trim()));
            statement.clear();
            in_answer = true;
        } else if in_answer {
            in_answer = !line.is_empty();
        } else {
            statement.push_str(line);
            statement.push('\n');
        }
    }
    out.trim_end().to_string() + "\n"
}

fn check(name: &str) {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let answered = answered(&text);
    if std::env::var_os("GEMINI_WRITE_ANSWERS").is_some() {
        std::fs::write(&path, answered).unwrap();
        return;
    }
    for (n, (expected, found)) in text.lines().zip(answered.lines()).enumerate() {
        assert_eq!(found, expected, "{name}, line {}", n + 1);
    }
    assert_eq!(answered.lines().count(), text.lines().count(), "{name}");
}

#[test]
fn psql_shows_what_there_is() {
    check("psql.sql");
}

#[test]
fn sqlalchemy_reflects_tables() {
    check("sqlalchemy.sql");
}

#[test]
fn drivers_and_mappers_find_types_tables_and_keys() {
    check("drivers.sql");
}
