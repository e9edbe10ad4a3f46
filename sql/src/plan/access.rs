//! Access paths: which of a table's keys the conjuncts on it make use of.
//!
//! A path is a prefix of key columns with values to equal (one, a list, an array) and perhaps bounds of the column
//! after them. Without statistics its rows are guessed from what it fixes: a whole unique key gives one row, each
//! further column of another key divides by a hundred, bounds divide by five.

use std::collections::BTreeSet;

use gemini_shadow_ops::{ColumnId, DataType, Index, Table};

use super::node::{KeyPart, RangeSpec};
use crate::expr::{CompareOp, Expr, ExprKind};

/// Rows of a table of which nothing is known.
pub const TABLE_ROWS: f64 = 10_000.0;

/// A path.
#[derive(Clone, Debug)]
pub struct Path {
    /// Index into [`Table::indexes`]; 0 is the primary key.
    pub index: usize,
    /// Where to look.
    pub range: RangeSpec,
    /// The conjuncts it is made of, by their place in the list.
    pub used: Vec<usize>,
    /// How many rows it gives, by guess.
    pub rows: f64,
    /// Columns that equal one value each.
    pub fixed: Vec<ColumnId>,
    /// It is one range, so its rows come in the index's order.
    pub ordered: bool,
}

/// An own column compared with something that does not depend on the table.
enum Condition {
    Equal(KeyPart, f64),
    Bound { expr: Expr, inclusive: bool, upper: bool },
    Between { low: Expr, high: Expr },
}

/// What the planner knows of the table in the statement.
pub struct Own<'a> {
    /// The table.
    pub table: &'a Table,
    /// (column, slot) of its named columns.
    pub slots: &'a [(ColumnId, usize)],
    /// Slots that are known before the table is read, and those that are not but belong to others.
    pub is_available: &'a dyn Fn(&Expr) -> bool,
}

impl Own<'_> {
    fn column(&self, expr: &Expr) -> Option<ColumnId> {
        let slot = match &expr.kind {
            ExprKind::Column(slot) => *slot,
            ExprKind::Cast { arg, .. } if same_family(&arg.ty, &expr.ty) => match arg.kind {
                ExprKind::Column(slot) => slot,
                _ => return None,
            },
            _ => return None,
        };
        self.slots.iter().find(|(_, s)| *s == slot).map(|(id, _)| *id)
    }

    fn type_of(&self, column: ColumnId) -> Option<&DataType> {
        self.table.column(column).map(|c| &c.ty)
    }

    /// Whether the expression's values are encoded as the column's are.
    fn fits(&self, column: ColumnId, expr: &Expr) -> bool {
        self.type_of(column).is_some_and(|ty| same_family(ty, &expr.ty)) && (self.is_available)(expr)
    }

    /// What a conjunct says of one of the table's columns.
    fn condition(&self, conjunct: &Expr) -> Option<(ColumnId, Condition)> {
        match &conjunct.kind {
            ExprKind::Compare { op, left, right } => {
                let (column, op, value) = match (self.column(left), self.column(right)) {
                    (Some(column), _) if self.fits(column, right) => (column, *op, right),
                    (_, Some(column)) if self.fits(column, left) => (column, op.commuted(), left),
                    _ => return None,
                };
                let bound = |inclusive, upper| Condition::Bound { expr: (**value).clone(), inclusive, upper };
                let condition = match op {
                    CompareOp::Eq => Condition::Equal(KeyPart::One((**value).clone()), 1.0),
                    CompareOp::NotEq => return None,
                    CompareOp::Lt => bound(false, true),
                    CompareOp::LtEq => bound(true, true),
                    CompareOp::Gt => bound(false, false),
                    CompareOp::GtEq => bound(true, false),
                };
                Some((column, condition))
            }
            ExprKind::InList { arg, list, negated: false } => {
                let column = self.column(arg)?;
                if !list.iter().all(|e| self.fits(column, e)) {
                    return None;
                }
                Some((column, Condition::Equal(KeyPart::List(list.clone()), list.len() as f64)))
            }
            ExprKind::Quantified { left, op: CompareOp::Eq, array, all: false } => {
                let column = self.column(left)?;
                let DataType::Array(element) = &array.ty else { return None };
                let fits = same_family(self.type_of(column)?, element) && (self.is_available)(array);
                fits.then(|| (column, Condition::Equal(KeyPart::Array((**array).clone()), 10.0)))
            }
            ExprKind::Between { arg, low, high, negated: false } => {
                let column = self.column(arg)?;
                let fits = self.fits(column, low) && self.fits(column, high);
                fits.then(|| (column, Condition::Between { low: (**low).clone(), high: (**high).clone() }))
            }
            ExprKind::IsNull { arg, negated: false } => {
                Some((self.column(arg)?, Condition::Equal(KeyPart::Null, 1.0)))
            }
            // a = 1 OR a = 2, as a list.
            ExprKind::Or(list) => {
                let mut values = Vec::new();
                let mut column = None;
                for part in list {
                    let (own, condition) = self.condition(part)?;
                    if *column.get_or_insert(own) != own {
                        return None;
                    }
                    match condition {
                        Condition::Equal(KeyPart::One(e), _) => values.push(e),
                        Condition::Equal(KeyPart::List(l), _) => values.extend(l),
                        _ => return None,
                    }
                }
                let count = values.len() as f64;
                Some((column?, Condition::Equal(KeyPart::List(values), count)))
            }
            _ => None,
        }
    }

    /// Every path worth a look: one per index that any conjunct helps with, and the whole table by primary key.
    pub fn paths(&self, conjuncts: &[&Expr]) -> Vec<Path> {
        let conditions: Vec<(usize, ColumnId, Condition)> = conjuncts
            .iter()
            .enumerate()
            .filter_map(|(i, c)| self.condition(c).map(|(column, condition)| (i, column, condition)))
            .collect();
        self.table.indexes.iter().enumerate().map(|(at, index)| self.path(at, index, &conditions)).collect()
    }

    fn path(&self, at: usize, index: &Index, conditions: &[(usize, ColumnId, Condition)]) -> Path {
        let mut path = Path {
            index: at,
            range: RangeSpec::default(),
            used: Vec::new(),
            rows: TABLE_ROWS,
            fixed: Vec::new(),
            ordered: true,
        };
        for column in &index.columns {
            // One value is better than several.
            let equal = conditions
                .iter()
                .filter(|(_, id, c)| *id == column.column && matches!(c, Condition::Equal(..)))
                .min_by(|a, b| count(&a.2).total_cmp(&count(&b.2)));
            let Some((place, id, Condition::Equal(part, values))) = equal else {
                self.bounds(&mut path, column.column, conditions);
                break;
            };
            if at == 0 && matches!(part, KeyPart::Null) {
                break;
            }
            match part {
                KeyPart::One(_) | KeyPart::Null => path.fixed.push(*id),
                _ => path.ordered = false,
            }
            path.range.prefix.push(part.clone());
            path.used.push(*place);
            path.rows = (path.rows / 100.0).max(1.0) * values;
            if path.range.prefix.len() == index.columns.len() && index.unique {
                let all: f64 = path.range.prefix.iter().map(part_count).product();
                path.rows = all;
            }
        }
        path
    }

    fn bounds(&self, path: &mut Path, column: ColumnId, conditions: &[(usize, ColumnId, Condition)]) {
        for (place, id, condition) in conditions {
            if *id != column {
                continue;
            }
            match condition {
                Condition::Bound { expr, inclusive, upper: true } if path.range.upper.is_none() => {
                    path.range.upper = Some((expr.clone(), *inclusive));
                }
                Condition::Bound { expr, inclusive, upper: false } if path.range.lower.is_none() => {
                    path.range.lower = Some((expr.clone(), *inclusive));
                }
                Condition::Between { low, high }
                    if path.range.lower.is_none() && path.range.upper.is_none() =>
                {
                    path.range.lower = Some((low.clone(), true));
                    path.range.upper = Some((high.clone(), true));
                }
                _ => continue,
            }
            path.used.push(*place);
            path.rows = (path.rows / 5.0).max(1.0);
        }
    }
}

fn part_count(part: &KeyPart) -> f64 {
    match part {
        KeyPart::One(_) | KeyPart::Null => 1.0,
        KeyPart::List(list) => list.len() as f64,
        KeyPart::Array(_) => 10.0,
    }
}

fn count(condition: &Condition) -> f64 {
    match condition {
        Condition::Equal(_, n) => *n,
        _ => f64::MAX,
    }
}

impl Path {
    /// Rows that are looked at one by one, plus what a secondary index costs for fetching each.
    pub fn cost(&self) -> f64 {
        if self.index == 0 { self.rows } else { self.rows * 2.0 + 1.0 }
    }

    /// Whether nothing narrows it.
    pub fn is_full(&self) -> bool {
        self.range.prefix.is_empty() && self.range.lower.is_none() && self.range.upper.is_none()
    }

    /// Whether scanning it gives rows ordered by the keys: Some(reverse).
    pub fn order(&self, table: &Table, keys: &[(ColumnId, bool, bool)]) -> Option<bool> {
        if !self.ordered {
            return None;
        }
        let index = table.indexes.get(self.index)?;
        let primary = table.primary()?;
        let mut rest = index.columns[self.range.prefix.len()..].to_vec();
        if self.index != 0 {
            // Entries end with the primary key.
            rest.extend(primary.columns.iter().cloned());
        }
        let mut seen: BTreeSet<ColumnId> = self.fixed.iter().copied().collect();
        let mut reverse = None;
        let mut next = rest.into_iter();
        for (column, descending, nulls_first) in keys {
            if seen.contains(column) {
                continue;
            }
            let entry = next.by_ref().find(|c| !seen.contains(&c.column));
            let Some(entry) = entry else {
                // The whole key is used up: rows are distinct in it, further keys order nothing.
                return Some(reverse.unwrap_or(false));
            };
            if entry.column != *column {
                return None;
            }
            let backwards = entry.descending != *descending;
            let nullable = table.column(*column).is_none_or(|c| !c.not_null) && !table.is_primary(*column);
            if nullable && (entry.nulls_first != backwards) != *nulls_first {
                return None;
            }
            if *reverse.get_or_insert(backwards) != backwards {
                return None;
            }
            seen.insert(*column);
        }
        Some(reverse.unwrap_or(false))
    }
}

/// Whether values of the two types are encoded alike and compare alike.
pub fn same_family(a: &DataType, b: &DataType) -> bool {
    let integer = |t: &DataType| matches!(t, DataType::Int2 | DataType::Int4 | DataType::Int8);
    let text = |t: &DataType| {
        matches!(t, DataType::Text | DataType::Varchar(_) | DataType::Char(_) | DataType::Name)
    };
    if integer(a) && integer(b) || text(a) && text(b) {
        return true;
    }
    match (a, b) {
        (DataType::Numeric(_), DataType::Numeric(_)) => true,
        _ => a == b,
    }
}
