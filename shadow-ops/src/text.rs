//! Everything as text: one formatter for golden scripts, the dump tool and logs.
//!
//! Ids stand for names (a dump needs no catalogue), keys are hex. One line per transaction:
//!
//! ```text
//! site 1 seen (1:3; 7) deps (1:3; 7) stamp 250+0@1 v7 { 0 insert t5[8101] (1, 'oak', NULL); 0 update t5[8102] of b1.3 c1:=7, c2+=-3 }
//! ```

use std::fmt::{self, Display, Formatter, Write as _};

use crate::classify::Reason;
use crate::footprint::{ColumnSet, Footprint, Item, Read};
use crate::ids::{Hlc, Stamp, TxnId};
use crate::members::{MemberChange, MemberEntry};
use crate::op::{Entry, Key, Op, RedTransaction, SchemaChange, ShadowOp, ShadowTransaction, Write};
use crate::rights::{Move, Spend};
use crate::row::Displaced;
use crate::value::Value;
use crate::verdict::{EntryStatus, Refusal, Verdict};

/// A value as a script shows it: close to a SQL literal, without its type.
pub struct Shown<'a>(pub &'a Value);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("NULL"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int2(n) => write!(f, "{n}"),
            Value::Int4(n) => write!(f, "{n}"),
            Value::Int8(n) => write!(f, "{n}"),
            Value::Float4(x) => write!(f, "{x:?}"),
            Value::Float8(x) => write!(f, "{x:?}"),
            Value::Numeric(n) => match n.decimal() {
                Some(d) => f.write_str(&d.to_plain_string()),
                None => f.write_str("NaN"),
            },
            Value::Text(t) => {
                f.write_char('\'')?;
                t.chars().try_for_each(|c| match c {
                    '\'' => f.write_str("''"),
                    c if c.is_control() => write!(f, "{}", c.escape_default()),
                    c => f.write_char(c),
                })?;
                f.write_char('\'')
            }
            Value::Bytea(b) => {
                f.write_str("\\x")?;
                hex(f, b)
            }
            Value::Date(d) => write!(f, "date {d}"),
            Value::Timestamp(t) => write!(f, "time {t}"),
            Value::Timestamptz(t) => write!(f, "timetz {t}"),
            Value::Interval(i) => write!(f, "{}mo{}d{}us", i.months, i.days, i.micros),
            Value::Uuid(u) => hex(f, u),
            Value::Oid(n) => write!(f, "oid {n}"),
            Value::Array(list) => {
                f.write_str("{")?;
                join(f, ", ", list.iter().map(Shown))?;
                f.write_str("}")
            }
        }
    }
}

fn hex(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn join<T: Display>(f: &mut Formatter<'_>, by: &str, items: impl IntoIterator<Item = T>) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(by)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// As SQL spells it: `ROWS ADD WINS`.
impl Display for crate::schema::RowRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "ROWS STRICT",
            Self::AppendOnly => "ROWS APPEND ONLY",
            Self::AddWins => "ROWS ADD WINS",
            Self::RemoveWins => "ROWS REMOVE WINS",
        })
    }
}

/// As SQL spells it: `MERGE ADD WINS SET`.
impl Display for crate::schema::MergeRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "MERGE STRICT",
            Self::Lww => "MERGE LWW",
            Self::Delta => "MERGE DELTA",
            Self::Max => "MERGE MAX",
            Self::Min => "MERGE MIN",
            Self::AddWinsSet => "MERGE ADD WINS SET",
            Self::EnableWins => "MERGE ENABLE WINS",
            Self::DisableWins => "MERGE DISABLE WINS",
        })
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl Display for Hlc {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.micros, self.count)
    }
}

impl Display for Stamp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.hlc, self.site)
    }
}

impl Display for Write {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Write::Set(v) => write!(f, ":={}", Shown(v)),
            Write::Add(v) => write!(f, "+={}", Shown(v)),
            Write::Bounded(v) => write!(f, "±={}", Shown(v)),
            Write::Max(v) => write!(f, " max= {}", Shown(v)),
            Write::Min(v) => write!(f, " min= {}", Shown(v)),
            Write::Elements { remove, add } => {
                let list = |v: &[Value]| Shown(&Value::Array(std::sync::Arc::new(v.to_vec()))).to_string();
                write!(f, " -{} +{}", list(remove), list(add))
            }
            Write::EnableWins(v) => write!(f, " enable= {v}"),
            Write::DisableWins(v) => write!(f, " disable= {v}"),
        }
    }
}

fn of(f: &mut Formatter<'_>, ids: &[TxnId]) -> fmt::Result {
    f.write_str(" of ")?;
    join(f, ",", ids)
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::Insert { table, key, values } => {
                write!(f, "insert t{table}[{key}] (")?;
                join(f, ", ", values.iter().map(Shown))?;
                f.write_str(")")
            }
            Op::Update { table, key, of: ids, cells } => {
                write!(f, "update t{table}[{key}]")?;
                of(f, ids)?;
                for (i, (column, write)) in cells.iter().enumerate() {
                    write!(f, "{} c{column}{write}", if i > 0 { "," } else { "" })?;
                }
                Ok(())
            }
            Op::Delete { table, key, of: ids } => {
                write!(f, "delete t{table}[{key}]")?;
                of(f, ids)
            }
            Op::Schema(change) => write!(f, "schema {change}"),
            Op::Rights { table, key, of: id, moves } => {
                write!(f, "rights t{table}[{key}]")?;
                if id.is_some() {
                    of(f, id.as_slice())?;
                }
                f.write_str(" ")?;
                join(f, ", ", moves)
            }
        }
    }
}

impl Display for SchemaChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use SchemaChange::*;
        match self {
            CreateTable(table) => write!(f, "create table t{} {}", table.id, table.name),
            DropTable(table) => write!(f, "drop table t{table}"),
            RenameTable { table, name } => write!(f, "rename t{table} to {name}"),
            AddColumn { table, column } => write!(f, "add t{table}.c{} {}", column.id, column.name),
            DropColumn { table, column } => write!(f, "drop t{table}.c{column}"),
            RenameColumn { table, column, name } => write!(f, "rename t{table}.c{column} to {name}"),
            AlterColumn { table, column } => write!(f, "alter t{table}.c{} {}", column.id, column.name),
            SetMerge { table, column, merge } => write!(f, "merge t{table}.c{column} {merge:?}"),
            SetRows { table, rows, keys_trusted } => {
                write!(f, "rows t{table} {rows:?}{}", if *keys_trusted { " keys trusted" } else { "" })
            }
            AddIndex { table, index } => write!(f, "add index i{} {} on t{table}", index.id, index.name),
            DropIndex { table, index } => write!(f, "drop index i{index} on t{table}"),
            RenameIndex { table, index, name } => write!(f, "rename index i{index} on t{table} to {name}"),
            AddCheck { table, check } => write!(f, "add check {} {} on t{table}", check.id, check.name),
            AddForeignKey { table, foreign_key } => write!(
                f,
                "add foreign key {} {} on t{table} to t{}",
                foreign_key.id, foreign_key.name, foreign_key.parent
            ),
            DropConstraint { table, constraint } => write!(f, "drop constraint {constraint} on t{table}"),
            CreateSequence(sequence) => write!(f, "create sequence s{} {}", sequence.id, sequence.name),
            DropSequence(sequence) => write!(f, "drop sequence s{sequence}"),
            AlterSequence(sequence) => write!(f, "alter sequence s{} {}", sequence.id, sequence.name),
            OpenSequence { sequence, base } => write!(f, "open sequence s{sequence} at {base}"),
        }
    }
}

impl Display for ShadowOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.statement, self.op)
    }
}

impl Display for ShadowTransaction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "site {} seen ", self.origin)?;
        join(f, ", ", &self.statements)?;
        write!(f, " deps {} stamp {} v{} {{ ", self.deps, self.stamp, self.schema_version)?;
        join(f, "; ", &self.ops)?;
        f.write_str(" }")
    }
}

fn columns(f: &mut Formatter<'_>, columns: &ColumnSet) -> fmt::Result {
    f.write_str(".c")?;
    join(f, ",", columns)
}

impl Display for Item {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Item::Row { table, key } => write!(f, "row t{table}[{key}]"),
            Item::Cells { table, key, columns: set } => {
                write!(f, "cells t{table}[{key}]")?;
                columns(f, set)
            }
            Item::IndexKey { table, index, key } => write!(f, "key t{table}.i{index}[{key}]"),
            Item::Range { table, index, from, to } => write!(f, "range t{table}.i{index}[{from}..{to}]"),
            Item::Table { table } => write!(f, "table t{table}"),
            Item::Catalogue => f.write_str("catalogue"),
            Item::Sequence { sequence } => write!(f, "sequence s{sequence}"),
        }
    }
}

impl Display for Read {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.statement, self.item)
    }
}

impl Display for Footprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("reads { ")?;
        join(f, "; ", &self.reads)?;
        f.write_str(" } writes { ")?;
        join(f, "; ", &self.writes)?;
        f.write_str(" }")
    }
}

impl Display for Spend {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Spend { constraint, table, key, incarnation, column, side, amount } = self;
        write!(f, "t{table}[{key}].c{column} of {incarnation} {side:?} by {constraint}: {}", Shown(amount))
    }
}

impl Display for Move {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Move::Gift { column, side, to, amount } => {
                write!(f, "gift c{column} {side:?} {} to {to}", Shown(amount))
            }
            Move::Reserve { column, side, entry, amount } => {
                write!(f, "reserve c{column} {side:?} {} for {entry}", Shown(amount))
            }
            Move::Return { entry } => write!(f, "return of {entry}"),
        }
    }
}

impl Display for RedTransaction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} tables ", self.id, self.transaction, self.footprint)?;
        join(f, ",", self.tables.iter().map(|(table, version)| format!("t{table}v{version}")))
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Transaction(red) => write!(f, "red {red}"),
            Entry::Void { id, .. } => write!(f, "void {id}"),
            Entry::Member(member) => member.fmt(f),
        }
    }
}

impl Display for MemberEntry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.id)?;
        match &self.change {
            MemberChange::Join { site, member } => {
                write!(f, "join {site} {} at {}", member.name, member.peer)
            }
            MemberChange::Voter(site) => write!(f, "voter {site}"),
            MemberChange::Fence(site) => write!(f, "fence {site}"),
            MemberChange::Report { round, held } => write!(f, "report {held} for r{round}"),
            MemberChange::Close { round, counts, heir } => {
                write!(f, "close {counts} for r{round} heir {heir}")
            }
        }
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rule = String::new();
        for c in format!("{:?}", self.rule).chars() {
            if c.is_uppercase() && !rule.is_empty() {
                rule.push(' ');
            }
            rule.push(c.to_ascii_lowercase());
        }
        f.write_str(&rule)?;
        write!(f, " t{}", self.table)?;
        if let Some(column) = self.column {
            write!(f, ".c{column}")?;
        }
        match self.constraint {
            Some(constraint) => write!(f, " by {constraint}"),
            None => Ok(()),
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Conflict { item, at } => write!(f, "{item} was written at r{at}"),
            Refusal::StaleTable { table } => write!(f, "t{table} was redeclared"),
            Refusal::BaseTooOld { base } => write!(f, "base r{base} is older than the window"),
            Refusal::Removed { site } => {
                write!(f, "it depends on transactions of site {site}, which was removed")
            }
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accepted => f.write_str("accepted"),
            Verdict::Refused(refusal) => write!(f, "refused: {refusal}"),
            Verdict::Void => f.write_str("void"),
        }
    }
}

impl Display for EntryStatus {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            EntryStatus::Accepted(r) => write!(f, "accepted at r{r}"),
            EntryStatus::Refused(r) => write!(f, "refused at r{r}"),
            EntryStatus::Void(r) => write!(f, "void since r{r}"),
            EntryStatus::Unknown => f.write_str("unknown"),
        }
    }
}

impl Display for Displaced {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut place = format!("t{}[{}]", self.table, self.key);
        if let Some(column) = self.column {
            write!(place, ".c{column}")?;
        }
        write!(f, "{place} lost {} of {}", Shown(&self.lost), self.lost_stamp)?;
        match self.kept_stamp {
            Some(stamp) => write!(f, " to {} of {stamp}", Shown(&self.kept)),
            None => f.write_str(" with its row"),
        }
    }
}
