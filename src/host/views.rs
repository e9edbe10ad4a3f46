//! The `gemini.*` views: what a site knows of itself and of the others, as tables.

use std::collections::{BTreeMap, BTreeSet};

use gemini_engine::{Conflict, KeyRange};
use gemini_shadow_ops::rights::SIDES;
use gemini_shadow_ops::value::arith;
use gemini_shadow_ops::{
    ColumnId, DataType, Displaced, Frontier, Incarnation, Key, MergeRule, Row, RowRule, SiteId, Stamp, Table,
    TableId, Value,
};
use gemini_sql::expr::{SessionInfo, text};
use gemini_sql::host::{Host, TransactionStatus, View};
use gemini_sql::session::item_name;

use super::SiteHost;

pub(super) fn view(host: &SiteHost, name: &str) -> Option<View> {
    match name {
        "sites" => Some(sites(host)),
        "status" => Some(status(host)),
        "digest" => Some(digest(host)),
        "transactions" => Some(transactions(host)),
        "conflicts" => Some(conflicts(host)),
        "conflict_summary" => Some(conflict_summary(host)),
        "divergence" => Some(divergence(host)),
        "rights" => Some(rights(host)),
        _ => None,
    }
}

fn words(value: impl Into<String>) -> Value {
    Value::Text(value.into().into())
}

fn number(value: u64) -> Value {
    Value::Int8(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Every site of the cluster, this one first.
fn sites(host: &SiteHost) -> View {
    let columns = vec![
        ("site", DataType::Text),
        ("id", DataType::Int4),
        ("here", DataType::Bool),
        ("leader", DataType::Bool),
        ("linked", DataType::Bool),
        ("reachable", DataType::Bool),
        ("unacknowledged", DataType::Int8),
        ("behind", DataType::Int8),
        ("fresh_as_of", DataType::Timestamptz),
        ("reason", DataType::Text),
    ];
    let status = host.shared.status();
    let leader = status.leader.map(|(site, _)| site);
    let row = |(site, name): &(SiteId, String)| {
        let here = *site == host.id;
        let peer = status.peers.get(site).cloned().unwrap_or_default();
        vec![
            words(name.clone()),
            Value::Int4(i32::from(site.0)),
            Value::Bool(here),
            Value::Bool(leader == Some(*site)),
            Value::Bool(here || peer.linked),
            Value::Bool(here || peer.reachable),
            number(peer.unacknowledged),
            number(peer.behind),
            if peer.as_of == 0 { Value::Null } else { micros(peer.as_of) },
            words(peer.reason),
        ]
    };
    (columns, host.names.iter().map(row).collect())
}

/// One row: this site.
fn status(host: &SiteHost) -> View {
    let columns = vec![
        ("site", DataType::Text),
        ("frontier", DataType::Text),
        ("schema_version", DataType::Int8),
        ("leader", DataType::Text),
        ("term", DataType::Int8),
        ("blue", DataType::Int8),
        ("red", DataType::Int8),
        ("conflicts", DataType::Int8),
        ("refused", DataType::Int8),
        ("unavailable", DataType::Int8),
        ("received", DataType::Int8),
        ("ordered", DataType::Int8),
        ("waiting", DataType::Int8),
        ("refusing", DataType::Text),
    ];
    let status = host.shared.status();
    let leader = status.leader.map_or(Value::Null, |(site, _)| words(host.site_label(site)));
    let row = vec![
        words(host.site_name()),
        words(frontier(&status.frontier)),
        number(status.schema_version),
        leader,
        status.leader.map_or(Value::Null, |(_, term)| number(term)),
        number(status.counts.blue),
        number(status.counts.red),
        number(status.counts.conflicts),
        number(status.counts.refused),
        number(status.counts.unavailable),
        number(status.counts.received),
        number(status.counts.ordered),
        number(status.waiting),
        status.refusing.map_or(Value::Null, words),
    ];
    (columns, vec![row])
}

fn frontier(frontier: &Frontier) -> String {
    frontier.to_string()
}

/// What the tables hold, as hashes to compare with another site's at an equal frontier: one row per table, and one without
/// a table for everything. It reads everything; what cannot be read has no digest, and the log says why.
fn digest(host: &SiteHost) -> View {
    let columns = vec![("frontier", DataType::Text), ("table", DataType::Text), ("digest", DataType::Text)];
    let snapshot = host.snapshot();
    let at = frontier(snapshot.frontier());
    let digest = match snapshot.digest() {
        Ok(digest) => digest,
        Err(error) => {
            tracing::error!("the tables cannot be read for their digest: {error}");
            return (columns, Vec::new());
        }
    };
    let row = |table: Value, hash: u64| vec![words(at.clone()), table, words(format!("{hash:016x}"))];
    let name = |id| snapshot.schema().tables.get(id).map_or_else(|| id.to_string(), |t| t.name.clone());
    let mut rows = vec![row(Value::Null, digest.total)];
    rows.extend(digest.tables.iter().map(|(id, hash)| row(words(name(id)), *hash)));
    (columns, rows)
}

/// The newest red transactions of this site's sessions.
fn transactions(host: &SiteHost) -> View {
    let columns = vec![
        ("id", DataType::Text),
        ("outcome", DataType::Text),
        ("red_index", DataType::Int8),
        ("statement", DataType::Text),
        ("reasons", DataType::Text),
        ("milliseconds", DataType::Float8),
        ("generate", DataType::Float8),
        ("order", DataType::Float8),
        ("apply", DataType::Float8),
        ("conflict", DataType::Text),
    ];
    let snapshot = host.snapshot();
    let row = |red: crate::site::RecentRed| {
        let (outcome, index) = match red.outcome {
            TransactionStatus::Committed(gemini_shadow_ops::TxnId::Red(r)) => ("committed", number(r)),
            TransactionStatus::Committed(_) => ("committed", Value::Null),
            TransactionStatus::Refused => ("refused", Value::Null),
            TransactionStatus::Void => ("void", Value::Null),
            TransactionStatus::InProgress => ("in progress", Value::Null),
            TransactionStatus::Unknown => ("unknown", Value::Null),
        };
        vec![
            words(red.id.to_string()),
            words(outcome),
            index,
            words(red.statement),
            words(red.reasons),
            milliseconds(red.generated + red.ordered + red.applied),
            milliseconds(red.generated),
            milliseconds(red.ordered),
            milliseconds(red.applied),
            red.conflict.map_or(Value::Null, |item| words(item_name(snapshot.schema(), &item))),
        ]
    };
    (columns, host.shared.recent().into_iter().map(row).collect())
}

fn milliseconds(micros: u64) -> Value {
    Value::Float8(micros as f64 / 1_000.0)
}

/// Values that concurrent writes displaced here.
fn conflicts(host: &SiteHost) -> View {
    let columns = vec![
        ("table", DataType::Text),
        ("key", DataType::Text),
        ("column", DataType::Text),
        ("lost", DataType::Text),
        ("lost_site", DataType::Text),
        ("lost_at", DataType::Timestamptz),
        ("kept", DataType::Text),
        ("kept_site", DataType::Text),
        ("kept_at", DataType::Timestamptz),
        ("rule", DataType::Text),
        ("by", DataType::Text),
    ];
    let snapshot = host.snapshot();
    let rows = host.shared.reader.conflicts().into_iter().map(|conflict| {
        let displaced = &conflict.displaced;
        let table = snapshot.schema().tables.get(&displaced.table);
        vec![
            words(table.map_or_else(|| displaced.table.to_string(), |t| t.name.clone())),
            words(key(table.map(|t| &**t), &displaced.key)),
            column(table.map(|t| &**t), displaced.column),
            shown(&displaced.lost, ty(table.map(|t| &**t), displaced.column)),
            words(host.site_label(displaced.lost_stamp.site)),
            time(displaced.lost_stamp),
            shown(&displaced.kept, ty(table.map(|t| &**t), displaced.column)),
            displaced.kept_stamp.map_or(Value::Null, |stamp| words(host.site_label(stamp.site))),
            displaced.kept_stamp.map_or(Value::Null, time),
            table.map_or(Value::Null, |table| words(rule(table, displaced))),
            words(conflict.by.to_string()),
        ]
    });
    (columns, rows.collect())
}

/// By which rule the kept value was kept, as the table is declared now.
fn rule(table: &Table, displaced: &Displaced) -> &'static str {
    let column = table.columns.iter().find(|column| Some(column.id) == displaced.column);
    match (column, displaced.kept_stamp, table.rows) {
        (Some(column), Some(_), _) => match column.merge {
            MergeRule::Strict => "the red order",
            MergeRule::Lww => "lww",
            MergeRule::Delta => "delta",
            MergeRule::Max => "max",
            MergeRule::Min => "min",
            MergeRule::AddWinsSet => "add wins",
            MergeRule::EnableWins => "enable wins",
            MergeRule::DisableWins => "disable wins",
        },
        (_, _, RowRule::RemoveWins) => "remove wins",
        (_, _, RowRule::AddWins) => "add wins",
        (_, _, RowRule::Strict | RowRule::AppendOnly) => "the row was deleted",
    }
}

/// How often values of which column and site were displaced by which site, among those that `gemini.conflicts` still has.
fn conflict_summary(host: &SiteHost) -> View {
    let columns = vec![
        ("table", DataType::Text),
        ("column", DataType::Text),
        ("lost_site", DataType::Text),
        ("kept_site", DataType::Text),
        ("values", DataType::Int8),
        ("rows", DataType::Int8),
        ("first", DataType::Timestamptz),
        ("last", DataType::Timestamptz),
    ];
    #[derive(Default)]
    struct Group {
        values: u64,
        keys: BTreeSet<Key>,
        first: Option<u64>,
        last: u64,
    }
    let mut groups: BTreeMap<_, Group> = BTreeMap::new();
    for Conflict { displaced, .. } in host.shared.reader.conflicts() {
        let (lost, kept) = (displaced.lost_stamp, displaced.kept_stamp);
        let at = lost.hlc.micros.max(kept.map_or(0, |stamp| stamp.hlc.micros));
        let by = (displaced.table, displaced.column, lost.site, kept.map(|stamp| stamp.site));
        let group = groups.entry(by).or_default();
        group.values += 1;
        group.keys.insert(displaced.key);
        group.first = Some(group.first.map_or(at, |first| first.min(at)));
        group.last = group.last.max(at);
    }
    let snapshot = host.snapshot();
    let row =
        |((table, of, lost, kept), group): ((TableId, Option<ColumnId>, SiteId, Option<SiteId>), Group)| {
            let known = snapshot.schema().tables.get(&table).map(|table| &**table);
            vec![
                words(known.map_or_else(|| table.to_string(), |known| known.name.clone())),
                column(known, of),
                words(host.site_label(lost)),
                kept.map_or(Value::Null, |site| words(host.site_label(site))),
                number(group.values),
                number(group.keys.len() as u64),
                group.first.map_or(Value::Null, micros),
                micros(group.last),
            ]
        };
    (columns, groups.into_iter().map(row).collect())
}

/// Rows that this site and another do not hold alike.
fn divergence(host: &SiteHost) -> View {
    let columns = vec![
        ("table", DataType::Text),
        ("key", DataType::Text),
        ("site", DataType::Text),
        ("difference", DataType::Text),
        ("found_at", DataType::Timestamptz),
    ];
    let snapshot = host.snapshot();
    let rows = host.shared.status().verification.findings.into_iter().map(|(finding, at)| {
        let table = snapshot.schema().tables.get(&finding.table);
        vec![
            words(table.map_or_else(|| finding.table.to_string(), |t| t.name.clone())),
            words(key(table.map(|t| &**t), &finding.key)),
            words(host.site_label(finding.peer)),
            words(finding.difference.to_string()),
            micros(at),
        ]
    });
    (columns, rows.collect())
}

/// Who may spend how much of every bound of every row. Reads every row of the tables that have such bounds; what cannot be read
/// is left out, and the log says why.
fn rights(host: &SiteHost) -> View {
    let columns = vec![
        ("constraint", DataType::Text),
        ("table", DataType::Text),
        ("key", DataType::Text),
        ("site", DataType::Text),
        ("amount", DataType::Numeric(None)),
        ("reserved", DataType::Numeric(None)),
    ];
    let snapshot = host.snapshot();
    let mut shown = Vec::new();
    for table in snapshot.schema().tables.values().filter(|t| t.columns.iter().any(|c| t.is_bounded(c.id))) {
        let mut rest = KeyRange::all();
        loop {
            let found = match snapshot.scan_states(table.id, &rest, false, 1_024) {
                Ok(found) => found,
                Err(error) => {
                    tracing::error!(table = table.name, %error, "rows cannot be read to show their rights");
                    return (columns, shown);
                }
            };
            for (at, state) in &found {
                shown.extend(state.live_incarnations(table).flat_map(|row| rights_of(host, table, at, row)));
            }
            match found.last() {
                Some((last, _)) if found.len() == 1_024 => rest = rest.after(last, false),
                _ => break,
            }
        }
    }
    (columns, shown)
}

fn rights_of(host: &SiteHost, table: &Table, at: &Key, row: &Incarnation) -> Vec<Vec<Value>> {
    let exact = |value: &Value| value.exact().map_or(Value::Null, Value::Numeric);
    let mut shown = Vec::new();
    for column in table.columns.iter().map(|c| c.id) {
        for side in SIDES {
            let Some((constraint, _)) = table.bound(column, side) else { continue };
            let name = table.constraint_name(constraint).unwrap_or_default();
            for (site, label) in &host.names {
                let own = row
                    .rights
                    .reserved
                    .iter()
                    .filter(|r| (r.column, r.side) == (column, side) && r.entry.site == *site);
                let reserved = arith::sum(&DataType::Numeric(None), own.map(|r| &r.amount));
                let amount = row.rights_of(table, column, side, *site).unwrap_or(Value::Null);
                shown.push(vec![
                    words(name),
                    words(table.name.clone()),
                    words(key(Some(table), at)),
                    words(label.clone()),
                    exact(&amount),
                    exact(&reserved),
                ]);
            }
        }
    }
    shown
}

/// A column's type; text if the column is gone, or a whole row is meant.
fn ty(table: Option<&Table>, column: Option<ColumnId>) -> DataType {
    let known = table.and_then(|t| t.columns.iter().find(|c| Some(c.id) == column));
    known.map_or(DataType::Text, |c| c.ty.clone())
}

fn shown(value: &Value, ty: DataType) -> Value {
    match value {
        Value::Null => Value::Null,
        value => words(text::output(value, &ty, &SessionInfo::default())),
    }
}

fn time(stamp: Stamp) -> Value {
    micros(stamp.hlc.micros)
}

/// From microseconds since 1970-01-01 UTC.
fn micros(since: u64) -> Value {
    Value::Timestamptz(super::since_2000(since))
}

fn column(table: Option<&Table>, column: Option<ColumnId>) -> Value {
    let Some(id) = column else { return Value::Null };
    let known = table.and_then(|t| t.columns.iter().find(|c| c.id == id));
    words(known.map_or_else(|| id.to_string(), |c| c.name.clone()))
}

/// A key as its columns' values; as bytes if its table is gone.
pub(crate) fn key(table: Option<&Table>, key: &Key) -> String {
    table.and_then(|table| key_values(table, key)).unwrap_or_else(|| format!("{key:?}"))
}

fn key_values(table: &Table, key: &Key) -> Option<String> {
    let types: Vec<DataType> = (table.indexes.first()?.columns.iter())
        .map(|c| table.columns.iter().find(|known| known.id == c.column).map(|known| known.ty.clone()))
        .collect::<Option<_>>()?;
    let values: Row = gemini_shadow_ops::value::key::decode(&key.0, &types).ok()?.into();
    let session = SessionInfo::default();
    let shown = values.iter().zip(&types).map(|(value, ty)| text::output(value, ty, &session));
    Some(shown.collect::<Vec<_>>().join(", "))
}
