//! `gemini advise`: which annotations would make a workload blue, and what each of them means.
//!
//! # Why
//!
//! A schema without annotations is safe and slow: every write is red. Which of its tables only grow and which of its columns
//! count is known to whoever wrote the application, and shows in what the application does. So: show the database the schema
//! and a sample of each transaction, and let it say which sentence about the data would save how many red transactions.
//!
//! ```text
//!   schema.sql ──► a site in memory ──► workload.sql ──► colour and reasons of each transaction
//!                        ▲                                   │
//!                        └── annotations ◄── propose ◄───────┘   until nothing new is proposed
//!                                               │
//!                            leave out one at a time: what does it save?  nothing → dropped
//! ```
//!
//! The colours are those of the program itself: every trial loads the schema into a site of one and runs the workload there.
//!
//! # What it does not do
//!
//! It knows what the workload does, not what the application means. An annotation is a promise of the application's, and each
//! is printed with its price; a table that the sample never deletes from is proposed to be append only, and would refuse the
//! delete that the sample lacks. Values must be literals: a statement with `$1` has no rows to judge it by.

mod propose;
mod report;
mod search;
mod trial;
mod workload;

use std::path::PathBuf;

use clap::Args;

/// `gemini advise --schema schema.sql workload.sql`
#[derive(Debug, Args)]
pub(crate) struct AdviseArgs {
    /// The transactions: SQL with values, BEGIN … COMMIT around those of several statements; `-- buy: 20` above one names it and
    /// says how often it runs compared with the others
    #[arg(value_name = "WORKLOAD.sql")]
    workload: PathBuf,
    /// What to load before: the schema, and some rows to work on (may be repeated)
    #[arg(long, required = true, value_name = "FILE.sql")]
    schema: Vec<PathBuf>,
    /// Write the proposed annotations to this file
    #[arg(long, value_name = "ANNOTATIONS.sql")]
    apply: Option<PathBuf>,
}

/// Why there is no advice.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum AdviseError {
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("cannot write {}: {cause}", path.display())]
    Unwritable { path: PathBuf, cause: std::io::Error },
    #[error("{place}: {message}")]
    Sql { place: String, message: String },
    #[error("{} holds no transaction", .0.display())]
    Empty(PathBuf),
}

/// Reads the files, tries annotations out, and prints what was found.
pub(crate) fn run(args: &AdviseArgs) -> Result<(), AdviseError> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|cause| AdviseError::Unreadable { path: path.clone(), cause })
    };
    let mut schema = Vec::new();
    for path in &args.schema {
        schema.push((path.display().to_string(), read(path)?));
    }
    let workload = workload::parse(&args.workload.display().to_string(), &read(&args.workload)?)?;
    if workload.is_empty() {
        return Err(AdviseError::Empty(args.workload.clone()));
    }
    let advice = search::search(&schema, &workload, &mut |message| eprintln!("{message}"))?;
    print!("{}", report::text(&workload, &advice));
    if let Some(path) = &args.apply {
        std::fs::write(path, report::file(&advice))
            .map_err(|cause| AdviseError::Unwritable { path: path.clone(), cause })?;
        println!("\nwritten to {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn advice(name: &str) -> (Vec<workload::Transaction>, search::Advice) {
        let read = |kind: &str| {
            let path = format!("{}/bench/sql/{name}-{kind}.sql", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
        };
        let files = ["schema", "sample"].map(|kind| (kind.to_owned(), read(kind)));
        let workload = workload::parse("workload", &read("workload")).expect("a workload");
        let advice = search::search(&files, &workload, &mut |_| {}).expect("advice");
        (workload, advice)
    }

    /// The statements of a file of annotations, one space between words.
    fn statements(text: &str) -> BTreeSet<String> {
        let code: String = text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
        code.split(';').map(words).filter(|statement| !statement.is_empty()).collect()
    }

    /// The annotations that were written by hand for the paper's applications, but for tables that the sample does not write.
    #[track_caller]
    fn proposes_what_was_written_by_hand(name: &str, not_in_the_sample: &[&str]) {
        let (_, advice) = advice(name);
        let path = format!("{}/bench/sql/{name}-annotations.sql", env!("CARGO_MANIFEST_DIR"));
        let mut by_hand = statements(&std::fs::read_to_string(path).expect("readable"));
        for line in not_in_the_sample {
            assert!(by_hand.remove(*line), "{line}");
        }
        assert_eq!(statements(&report::file(&advice)), by_hand);
    }

    #[test]
    fn tpcw() {
        proposes_what_was_written_by_hand("tpcw", &["ALTER TABLE author SET ROWS APPEND ONLY"]);
    }

    #[test]
    fn rubis() {
        proposes_what_was_written_by_hand("rubis", &["ALTER TABLE old_items SET ROWS APPEND ONLY"]);
    }

    #[test]
    fn what_stays_red_is_said_with_its_reason() {
        let (workload, advice) = advice("rubis");
        let said = report::text(&workload, &advice);
        let after = said.split("transaction\n").nth(1).unwrap_or_default();
        assert!(
            after.contains("red    red     register user (5 %)\n                  another site may take the same value of users_nickname_key"),
            "{said}"
        );
        assert!(after.contains("red    blue    bid (53 %)"), "{said}");
    }

    #[test]
    fn a_workload_that_does_not_run_is_no_workload() {
        let workload = workload::parse("w", "INSERT INTO nowhere VALUES (1)").expect("it parses");
        let error = search::search(&[], &workload, &mut |_| {}).expect_err("no such table").to_string();
        assert!(error.contains("w, line 1 (INSERT INTO nowhere): 42P01"), "{error}");
    }
}
