//! House rules that no compiler enforces. They only ratchet: a number here may go down, never up.

use std::fs;
use std::path::{Path, PathBuf};

/// No file of ours is longer, tests excepted. Lower it when the longest has been split.
const LONGEST: usize = 950;

/// How many production files may be longer than can be read in a sitting (600 lines).
const LONG_FILES: usize = 12;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_path_buf()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["shadow-ops", "engine", "replication", "sql", "src", "bench", "tests", "fuzz"] {
        sources(&root().join(folder), &mut found);
    }
    assert!(found.len() > 100, "the sources are where this test looks for them");
    found.sort();
    found
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).expect("sources are text")))
        .collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

#[test]
fn files_can_be_read_in_a_sitting() {
    let mut long = Vec::new();
    for (path, text) in all().into_iter().filter(|(path, _)| !is_test(path)) {
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines: split it", path.display());
        if lines > 600 {
            long.push(path);
        }
    }
    assert!(long.len() <= LONG_FILES, "more long files than before: {long:#?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    // Split, so that this file does not find itself.
    let unwritten = concat!("//! ", "(essay)");
    for (path, text) in all() {
        assert!(text.starts_with("//!") || is_test(&path), "{} has no opening comment", path.display());
        assert!(!text.contains(unwritten), "{} has no essay yet", path.display());
    }
}

#[test]
fn nothing_is_left_unfinished() {
    // Split, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X "),
        concat!("unimplemented", "!("),
        concat!("todo", "!("),
    ];
    for (path, text) in all() {
        for word in words {
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
    }
}

#[test]
fn no_unbounded_channel() {
    let word = concat!("unbounded", "_channel");
    for (path, text) in all().into_iter().filter(|(path, _)| !is_test(path)) {
        assert!(!text.contains(word), "{}: every queue has a bound", path.display());
    }
}
