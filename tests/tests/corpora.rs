//! Every input of the fuzzers' corpora, and seeded mutations of each: a short run of what `fuzz/` does for hours.
//!
//! An input that ever broke something is in its corpus and so stays mended. Mutations are the same on every machine.

use std::fs;
use std::path::{Path, PathBuf};

use gemini_sql::pg::STACK;
use gemini_tests::fuzz::{TARGETS, Target};
use gemini_tests::random::Random;

/// Mutations of each input.
const MUTATIONS: usize = 400;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(&path).expect("a file of the corpus"));
    files.into_iter().map(read).collect()
}

/// One to four small changes, as a fuzzer makes them; the other input is for splices.
fn mutate(random: &mut Random, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.between(1, 4) {
        let length = bytes.len() as u64;
        let at = random.below(length + 1) as usize;
        let to = (at + random.below(9) as usize).min(bytes.len());
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
            2 => drop(bytes.drain(at..to)),
            3 => bytes.insert(at, random.bits() as u8),
            4 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let from = random.below(other.len() as u64 + 1) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// Runs a target over its corpus and its mutations; the number of inputs.
fn run(target: &str, call: Target) -> usize {
    let files = corpus(target);
    assert!(files.len() >= 10, "{target} has {} inputs", files.len());
    let mut ran = 0;
    for (i, (path, bytes)) in files.iter().enumerate() {
        attempt(path, None, call, bytes);
        let mut random = Random::new(i as u64);
        for n in 0..MUTATIONS {
            let other = random.below(files.len() as u64) as usize;
            attempt(path, Some(n), call, &mutate(&mut random, bytes, &files[other].1));
        }
        ran += 1 + MUTATIONS;
    }
    ran
}

/// Calls the target; a panic says which input it was.
fn attempt(path: &Path, mutation: Option<usize>, call: Target, bytes: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| call(bytes)) {
        let which = mutation.map_or("itself".to_owned(), |n| format!("mutation {n}"));
        eprintln!("{}, {which}: {}", path.display(), bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn corpora() {
    for (target, call) in TARGETS {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            let began = std::time::Instant::now();
            println!("{target}: {} inputs in {:?}", run(target, call), began.elapsed());
        });
        let joined = thread.expect("a thread").join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}
