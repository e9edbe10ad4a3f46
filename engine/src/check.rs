//! `gemini check`: is a stopped site's data what it should be? Nothing of it is changed.
//!
//! The log is read as it lies. Then log and store are copied to a scratch folder and opened there as a start would open
//! them (which writes), so the check sees exactly what a start would make of them: every record and row decodes, sets have
//! somebody behind each of their elements, every index holds the entries that its table's rows ask for and no others, and
//! the digest is printed to be compared with other sites at the same frontier. If the log reaches back to its beginning,
//! the tables are also built from it alone, and both must agree.
//!
//! It takes no lock: run it while the site is down, or copy a moving target.

use std::path::Path;

use gemini_shadow_ops::{Frontier, IndexId, TableId};

use crate::digest::Digest;
use crate::disk::RealDisk;
use crate::log::inspect;
use crate::scratch::Scratch;
use crate::snapshot::Snapshot;
use crate::versions::{BATCH, TableEntry};
use crate::view::index_entry;
use crate::{Error, KeyRange};

/// Problems named before the check stops counting them.
const NAMED: usize = 20;

/// What a check found in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TableReport {
    pub id: TableId,
    pub name: String,
    /// Rows that readers see.
    pub rows: u64,
    /// Rows whose every incarnation has ended.
    pub ended: u64,
    /// Entries of all its indexes but the primary key's.
    pub entries: u64,
    pub digest: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The log, record by record.
    pub log: inspect::Report,
    /// What a start would have applied.
    pub frontier: Frontier,
    /// Of all tables at that frontier. None if they could not be opened.
    pub digest: Option<Digest>,
    /// By id.
    pub tables: Vec<TableReport>,
    /// Whether the tables were also built from the log alone, for comparison.
    pub rebuilt: bool,
    /// What is wrong, for people; empty if all is well.
    pub problems: Vec<String>,
}

impl Report {
    fn problem(&mut self, what: String) {
        if self.problems.len() < NAMED {
            self.problems.push(what);
        } else if self.problems.len() == NAMED {
            self.problems.push("and more".to_owned());
        }
    }
}

/// Checks a site's data: `log` and `store` are its folders (a store that is not there is no problem: it would be built).
/// Copies go to a new folder in `scratch`, which is removed afterwards.
pub fn check(log: &Path, store: &Path, scratch: &Path) -> Result<Report, Error> {
    let mut report =
        Report { log: inspect::verify(&RealDisk::open(log).map_err(Error::disk)?)?, ..Report::default() };
    if let Some(damage) = report.log.damage.clone() {
        report.problem(format!("log: {damage}"));
        return Ok(report);
    }
    let copy = Scratch::copy(log, store, scratch)?;
    let digest = match copy.open("store") {
        Ok(engine) => {
            let snapshot = engine.reader().snapshot();
            report.frontier = snapshot.frontier().clone();
            let digest = tables(&snapshot, &mut report)?;
            report.digest = Some(digest.clone());
            digest
        }
        Err(error) => {
            report.problem(format!("a start would fail, or build its store anew: {error}"));
            return Ok(report);
        }
    };
    if report.log.first.0 == crate::log::BEGINNING {
        let rebuilt = copy.open("rebuilt")?.reader().snapshot().digest()?;
        report.rebuilt = true;
        for (table, known) in &digest.tables {
            if rebuilt.tables.get(table) != Some(known) {
                report.problem(format!(
                    "table {table}: the store and the log disagree; remove the store folder"
                ));
            }
        }
        if rebuilt != digest && report.problems.is_empty() {
            report.problem("the schema: the store and the log disagree; remove the store folder".to_owned());
        }
    }
    Ok(report)
}

/// Every table with its indexes.
fn tables(snapshot: &Snapshot, report: &mut Report) -> Result<Digest, Error> {
    let digest = snapshot.digest()?;
    for id in snapshot.schema().tables.keys() {
        let Some(entry) = snapshot.table(*id) else { continue };
        let mut table = TableReport {
            id: *id,
            name: entry.table.name.clone(),
            rows: 0,
            ended: 0,
            entries: 0,
            digest: digest.tables.get(id).copied().unwrap_or_default(),
        };
        rows(snapshot, entry, &mut table, report)?;
        for index in &entry.indexes {
            let entries = count_entries(snapshot, *id, index.id)?;
            table.entries += entries;
            if entries != table.rows {
                let (name, rows) = (&table.name, table.rows);
                report.problem(format!(
                    "index {} of table {name}: {entries} entries for {rows} rows",
                    index.id
                ));
            }
        }
        report.tables.push(table);
    }
    Ok(digest)
}

/// Counts a table's rows, and looks up each one's index entries.
fn rows(
    snapshot: &Snapshot,
    entry: &TableEntry,
    table: &mut TableReport,
    report: &mut Report,
) -> Result<(), Error> {
    let mut rest = KeyRange::all();
    loop {
        let found = snapshot.view().scan(entry, &rest, false, BATCH, true)?;
        for (key, found) in &found {
            for incarnation in &found.state.incarnations {
                if let Some(column) = incarnation.unfounded(&entry.table) {
                    let (name, column) = (&table.name, entry.table.column_name(column));
                    report.problem(format!(
                        "row {key:?} of table {name}: {column} has other elements than additions; remove the store folder"
                    ));
                }
            }
            let Some(row) = &found.row else {
                table.ended += 1;
                continue;
            };
            table.rows += 1;
            for index in &entry.indexes {
                let Some(wanted) = index_entry(&entry.table, index.id, row, key) else { continue };
                let range = KeyRange::one(wanted);
                let there = snapshot.index_scan(table.id, index.id, &range, false, 1)?;
                if there.first().is_none_or(|(_, primary)| primary != key) {
                    let name = &table.name;
                    report.problem(format!("index {} of table {name} lacks the row {key:?}", index.id));
                }
            }
        }
        match found.last() {
            Some((last, _)) if found.len() == BATCH => rest = rest.after(last, false),
            _ => return Ok(()),
        }
    }
}

fn count_entries(snapshot: &Snapshot, table: TableId, index: IndexId) -> Result<u64, Error> {
    let (mut count, mut rest) = (0, KeyRange::all());
    loop {
        let entries = snapshot.index_scan(table, index, &rest, false, BATCH)?;
        count += entries.len() as u64;
        match entries.last() {
            Some((last, _)) if entries.len() == BATCH => rest = rest.after(last, false),
            _ => return Ok(count),
        }
    }
}
