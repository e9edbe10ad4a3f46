//! Planted faults are in no program but the one that looks for them: see `gemini_shadow_ops::fault`.

use std::fs;
use std::path::{Path, PathBuf};

use gemini_shadow_ops::fault::{CAN_BE_PLANTED, Fault, planted};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sites of the cluster tests are built with this test, from the same packages with the same features.
#[test]
fn no_fault_can_be_planted_in_an_ordinary_build() {
    assert_eq!(CAN_BE_PLANTED, cfg!(feature = "planted-faults"), "another package turns the feature on");
    assert!(Fault::ALL.iter().all(|fault| !planted(*fault)), "nobody has asked for a fault");
}

/// Cargo builds a package with what any package of the same build asks of it.
#[test]
fn no_package_turns_faults_on_for_others() {
    for package in ["", "shadow-ops", "engine", "replication", "sql", "bench", "tests"] {
        let manifest = read(&root().join(package).join("Cargo.toml"));
        let lines: Vec<&str> = manifest
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains("planted-faults"))
            .collect();
        let expected: &[&str] = match package {
            "shadow-ops" => &["planted-faults = []"],
            "tests" => &[
                "name = \"planted-faults\"",
                "required-features = [\"planted-faults\"]",
                "planted-faults = [\"gemini-shadow-ops/planted-faults\"]",
            ],
            _ => &[],
        };
        assert_eq!(lines, expected, "{package}/Cargo.toml");
    }
}

fn sources(folder: &Path, text: &mut String) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&read(&path));
        }
    }
}

#[test]
fn each_fault_is_made_in_one_place() {
    let mut text = String::new();
    for folder in ["shadow-ops/src", "engine/src", "replication/src", "sql/src", "src"] {
        sources(&root().join(folder), &mut text);
    }
    for fault in Fault::ALL {
        let places = text.matches(&format!("planted(Fault::{fault:?})")).count();
        // The essay's example is one of its own.
        let places = places - usize::from(*fault == Fault::AdmitBySeen);
        assert_eq!(places, 1, "{fault:?}");
    }
}
