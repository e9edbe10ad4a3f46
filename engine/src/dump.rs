//! `gemini dump`: a stopped site's data in readable form. Nothing of it is changed: the log is read as it lies
//! ([`crate::log::inspect`]), the tables from copies, opened as a start would open them.
//!
//! ```text
//! table 3 item: 2 rows
//!   [15…01] 1 | Snark | 9.50           b1.4 born 1700000000000000+0@1 fingerprint 01ab…
//! ```

use std::path::Path;

use gemini_shadow_ops::{Incarnation, Table};

use crate::log::inspect::Lines;
use crate::scratch::Scratch;
use crate::snapshot::Snapshot;
use crate::versions::BATCH;
use crate::{Error, KeyRange};

/// Shows the tables (or the one of this name or number), a line for each incarnation, ended ones too.
pub fn tables(
    log: &Path,
    store: &Path,
    scratch: &Path,
    only: Option<&str>,
    out: &mut Lines<'_>,
) -> Result<(), Error> {
    let engine = Scratch::copy(log, store, scratch).and_then(|copy| Ok((copy.open("store")?, copy)))?;
    let snapshot = engine.0.reader().snapshot();
    if !out(&format!("frontier {}", snapshot.frontier())) {
        return Ok(());
    }
    for table in snapshot.schema().tables.values() {
        let asked = only.is_none_or(|name| name == table.name || name == table.id.to_string());
        if asked && !rows(&snapshot, table, out)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Gives whether anybody reads on.
fn rows(snapshot: &Snapshot, table: &Table, out: &mut Lines<'_>) -> Result<bool, Error> {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    if !out(&format!("table {} {} ({})", table.id, table.name, columns.join(", "))) {
        return Ok(false);
    }
    let mut rest = KeyRange::all();
    loop {
        let found = snapshot.scan_states(table.id, &rest, false, BATCH)?;
        for (key, state) in &found {
            for incarnation in &state.incarnations {
                if !out(&format!("  [{key}] {}", describe(table, incarnation))) {
                    return Ok(false);
                }
            }
        }
        match found.last() {
            Some((last, _)) if found.len() == BATCH => rest = rest.after(last, false),
            _ => return Ok(true),
        }
    }
}

fn describe(table: &Table, incarnation: &Incarnation) -> String {
    let cells: Vec<String> = table
        .columns
        .iter()
        .map(|column| incarnation.values.get(usize::from(column.id.0)).unwrap_or(&column.missing))
        .map(|value| gemini_shadow_ops::text::Shown(value).to_string())
        .collect();
    let Incarnation { id, born, died, fingerprint, .. } = incarnation;
    let ended = died.as_ref().map_or_else(String::new, |died| format!(" ended by {died}"));
    format!("{} | {id} born {born}{ended} fingerprint {fingerprint:016x}", cells.join(", "))
}
