//! SQL by scripts, on a site of one ([`crate::testing::LocalHost`]).
//!
//! A script is a file of blocks separated by empty lines:
//!
//! ```text
//! exec                     several statements that must succeed; output is not looked at
//! <sql>
//!
//! file <path>              a file of statements, its path counted from the top of the repository
//!
//! query [sort]             a statement and its rows, values separated by |, NULL as NULL
//! <sql>
//! ----
//! <rows>
//!
//! count <n>                a statement that affects n rows
//! <sql>
//!
//! error <sqlstate> [text]  a statement that must fail so (and whose message, detail or hint contains the text)
//! <sql>
//!
//! color <blue|red>         a statement whose transaction has this colour
//! <sql>
//!
//! plan                     a statement's EXPLAIN
//! <sql>
//! ----
//! <lines>
//! ```
//!
//! Lines that begin with # are comments. A block `session <name>` switches to another session.

use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_shadow_ops::{Color, Value};

use crate::error::SqlError;
use crate::session::{Collected, Session, Shared};
use crate::testing::{LocalHost, block_on};

/// Sessions on one site.
pub struct Bench {
    /// The site.
    pub host: Arc<LocalHost>,
    shared: Shared,
    sessions: BTreeMap<String, Session>,
    current: String,
}

impl Bench {
    /// An empty site with one session.
    pub fn new() -> Bench {
        let host = LocalHost::new();
        let shared = Shared::new(host.clone());
        let mut bench = Bench { host, shared, sessions: BTreeMap::new(), current: String::new() };
        bench.switch("main");
        bench
    }

    fn switch(&mut self, name: &str) {
        self.current = name.to_owned();
        if !self.sessions.contains_key(name) {
            let pid = self.sessions.len() as i32 + 1;
            let mut session = Session::new(self.shared.clone(), "gemini", "gemini", pid);
            session.started();
            self.sessions.insert(name.to_owned(), session);
        }
    }

    /// Runs a text in the current session.
    pub fn run(&mut self, sql: &str) -> Result<Collected, SqlError> {
        let mut client = Collected::default();
        let session = self.sessions.get_mut(&self.current).expect("switch makes the session");
        block_on(session.simple(sql, &mut client))?;
        Ok(client)
    }

    /// Runs a script; panics at the first difference, naming file and line.
    pub fn script(&mut self, name: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let mut at = 0;
        while at < lines.len() {
            if lines[at].trim().is_empty() || lines[at].starts_with('#') {
                at += 1;
                continue;
            }
            let start = at;
            while at < lines.len() && !lines[at].trim().is_empty() {
                at += 1;
            }
            let block: Vec<&str> = lines[start..at].iter().copied().filter(|l| !l.starts_with('#')).collect();
            if let Err(difference) = self.block(&block) {
                panic!("{name}:{}: {difference}\n{}", start + 1, block.join("\n"));
            }
        }
    }

    fn block(&mut self, block: &[&str]) -> Result<(), String> {
        let mut head = block[0].split_whitespace();
        let kind = head.next().unwrap_or_default();
        let rest: Vec<&str> = head.collect();
        let split = block.iter().position(|l| *l == "----").unwrap_or(block.len());
        let sql = block[1..split].join("\n");
        let expected: Vec<String> =
            block.get(split + 1..).unwrap_or(&[]).iter().map(|l| l.trim_end().to_owned()).collect();
        let failed = |e: SqlError| format!("{e:?}");
        match kind {
            "session" => self.switch(rest.first().copied().unwrap_or("main")),
            "file" => {
                let name = rest.first().copied().unwrap_or_default();
                let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
                let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
                self.run(&text).map_err(failed)?;
            }
            "exec" => drop(self.run(&sql).map_err(failed)?),
            "query" | "plan" => {
                let text = if kind == "plan" { format!("EXPLAIN {sql}") } else { sql };
                let result = self.run(&text).map_err(failed)?;
                let mut rows: Vec<String> = shown(&result);
                if rest.contains(&"sort") {
                    rows.sort();
                }
                let rows: Vec<String> = rows.iter().map(|r| r.trim_end().to_owned()).collect();
                if rows != expected {
                    return Err(format!("expected\n{}\ngot\n{}", expected.join("\n"), rows.join("\n")));
                }
            }
            "count" => {
                let result = self.run(&sql).map_err(failed)?;
                let tag = result.tags.last().cloned().unwrap_or_default();
                let count = tag.rsplit(' ').next().unwrap_or_default();
                if Some(&count) != rest.first() {
                    return Err(format!("the tag is {tag}"));
                }
            }
            "error" => match self.run(&sql) {
                Ok(_) => return Err("it succeeded".to_owned()),
                Err(error) => {
                    let text = rest[1..].join(" ");
                    let all = format!(
                        "{} {} {}",
                        error.message,
                        error.detail.as_deref().unwrap_or_default(),
                        error.hint.as_deref().unwrap_or_default()
                    );
                    if error.sqlstate != rest[0] || !all.contains(&text) {
                        return Err(format!("got {error:?}"));
                    }
                }
            },
            "color" => {
                self.host.last_color();
                self.run(&sql).map_err(failed)?;
                let color = match self.host.last_color() {
                    Some(Color::Blue) => "blue",
                    Some(Color::Red) => "red",
                    None => "none",
                };
                if Some(&color) != rest.first() {
                    return Err(format!("it was {color}"));
                }
            }
            other => return Err(format!("unknown kind of block: {other}")),
        }
        Ok(())
    }
}

/// Rows as text.
fn shown(result: &Collected) -> Vec<String> {
    let session = crate::expr::SessionInfo { extra_float_digits: 1, ..Default::default() };
    result
        .rows
        .iter()
        .map(|row| {
            let values: Vec<String> = row
                .iter()
                .zip(&result.columns)
                .map(|(value, column)| match value {
                    Value::Null => "NULL".to_owned(),
                    value => crate::expr::text::output(value, &column.ty, &session),
                })
                .collect();
            values.join("|")
        })
        .collect()
}

macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let name = concat!(stringify!($name), ".slt");
                let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
                let text = std::fs::read_to_string(&path).expect("the script is there");
                Bench::new().script(name, &text);
            }
        )*
    };
}

scripts!(
    select, joins, subqueries, access, insert, update, foreign, colors, errors, minting, tpcw, rubis,
    windows, recursive, zones
);
