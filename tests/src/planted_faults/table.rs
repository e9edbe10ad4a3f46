//! What was found, for people: a line as it happens, and the page in docs/.

use std::fs;
use std::path::Path;

use super::Tried;
use super::cases::Case;

/// As much of a complaint as tells which promise was broken.
fn short(complaint: &str) -> String {
    let mut short: String = complaint.chars().take(90).collect();
    if short.len() < complaint.len() {
        short.push('…');
    }
    short
}

/// One line of progress.
pub fn line(case: &Case, tried: &Tried) -> String {
    let Case { fault, scenario, within } = case;
    match &tried.found {
        Some((seed, complaint)) => {
            let complaint = short(complaint);
            format!("{fault:?}: seed {seed} of {within}, {scenario}, {:.1} s: {complaint}", tried.seconds)
        }
        None => format!("{fault:?}: NOT FOUND in {within} seeds, {scenario}, {:.1} s", tried.seconds),
    }
}

const HEAD: &str = "\
# Planted faults

The tests can fail: each mistake below (`shadow-ops/src/fault.rs`) was made in every site of a simulated cluster, and a checker
complained at the seed given, of at most so many as its bound. Without a fault the same seeds pass. `.ci/run` checks all of it. This page is written by

```
cargo run -p gemini-tests --features planted-faults --bin planted-faults -- --write
```

Ordinary builds hold none of this: without the cargo feature the question whether a fault is planted is the constant `false`, no
package has the feature on by default, and `tests/tests/faultless.rs` sees to it.

| fault | what is done wrongly | clients | seeds | bound | the complaint |
|---|---|---|---|---|---|
";

/// Writes docs/planted-faults.md.
pub fn write(cases: &[&Case], tried: &[Tried]) {
    let mut text = HEAD.to_string();
    for (case, tried) in cases.iter().zip(tried) {
        let Some((seed, complaint)) = &tried.found else { continue };
        let Case { fault, scenario, within } = case;
        let (what, complaint) = (fault.what(), short(complaint).replace('|', "\\|"));
        text += &format!("| `{fault:?}` | {what} | {scenario} | {seed} | {within} | {complaint} |\n");
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/planted-faults.md");
    fs::write(&page, text).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
}
