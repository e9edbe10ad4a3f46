//! Cells whose removals take only what they have seen: sets, and flags.
//!
//! A cell of a `MERGE ADD WINS SET` column is an array of elements, sorted, each once. Behind each stands *who added it*: the last
//! addition of each site and the last red one, those that no removal has seen (a [`Frontier`]: whoever has seen a site's
//! later transaction has seen its earlier ones). A removal takes from the additions of an element those within its `seen`; the
//! element goes with the last of them:
//!
//! ```text
//!   Ireland  b1.7   add 'x'                        x ← {b1.7}
//!   Brazil   b2.4   remove 'x', has seen b1.7      x ← {}              gone
//!   Tokyo    b3.2   add 'x', has not seen b2.4     x ← {b3.2}          there at every site, whichever came first
//! ```
//!
//! Nothing is kept of what has been removed: a transaction arrives after everything that it had seen (DESIGN §3, Admission), so no
//! addition comes after a removal that saw it. What is kept is bounded by the elements that are there, times sites and one.
//!
//! A removal takes what it has seen wherever it stands, in the incarnations that it names and in any other under the key: an
//! addition reaches every incarnation its writer saw, and one of them may come back into view later (ADD WINS). An addition goes
//! to the incarnations that it names.
//!
//! A flag is such a cell with one possible element. Under `MERGE ENABLE WINS` that element is true: writing true adds it, writing
//! false removes what was seen of it. `MERGE DISABLE WINS` is the same for false.
//!
//! An incarnation keeps no [`Additions`] of a column while its birth alone stands behind every element, as it does from the insert
//! on, and behind what stood there before the column had this rule.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Context, Displaced, Incarnation};
use crate::fault::{Fault, planted};
use crate::ids::{ColumnId, Frontier, TxnId};
use crate::op::{Key, Write};
use crate::schema::{MergeRule, Table};
use crate::value::{Row, Value, set};

/// Who stands behind the elements of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Additions {
    /// The cell.
    pub column: ColumnId,
    /// Of each element, in the cell's order: the additions that no removal has seen, never none. Of a flag: one, or none if
    /// it does not stand.
    pub by: Vec<Frontier>,
}

/// A write of a set or a flag, as what it does to elements. Both sorted, each element once.
pub(super) struct Elements<'a> {
    /// The value of a flag that stands; None: a set.
    winning: Option<bool>,
    /// Takes what was seen of these.
    pub remove: &'a [Value],
    /// Stands behind these.
    pub add: &'a [Value],
}

const TRUE: &[Value] = &[Value::Bool(true)];
const FALSE: &[Value] = &[Value::Bool(false)];

impl<'a> Elements<'a> {
    /// None: a write of another kind.
    pub fn of(write: &'a Write) -> Option<Elements<'a>> {
        let flag = |winning: bool, value: bool| {
            let element = if winning { TRUE } else { FALSE };
            let (remove, add) = if value == winning { (&[][..], element) } else { (element, &[][..]) };
            Elements { winning: Some(winning), remove, add }
        };
        match write {
            Write::Elements { remove, add } => Some(Elements { winning: None, remove, add }),
            Write::EnableWins(value) => Some(flag(true, *value)),
            Write::DisableWins(value) => Some(flag(false, *value)),
            Write::Set(_) | Write::Add(_) | Write::Bounded(_) | Write::Max(_) | Write::Min(_) => None,
        }
    }

    /// The elements of a value.
    fn elements(&self, value: &Value) -> Vec<Value> {
        match (self.winning, value) {
            (Some(winning), Value::Bool(value)) if *value == winning => vec![Value::Bool(winning)],
            (Some(_), _) => Vec::new(),
            (None, Value::Array(list)) => set::of(list),
            (None, _) => Vec::new(),
        }
    }

    /// The value of these elements.
    fn value(&self, elements: Vec<Value>) -> Value {
        match self.winning {
            Some(winning) => Value::Bool(winning != elements.is_empty()),
            None => Value::Array(Arc::new(elements)),
        }
    }
}

impl Incarnation {
    /// A write of a set or a flag. `named`: the write names this incarnation.
    pub(super) fn change(
        &mut self,
        table: &Table,
        column: ColumnId,
        change: &Elements<'_>,
        context: &Context<'_>,
        named: bool,
    ) {
        if change.winning.is_some() && planted(Fault::FlagByStamp) {
            if named && self.cell(column).0 < context.stamp {
                self.cells_mut(table)[usize::from(column.0)] = change.value(change.add.to_vec());
            }
            return;
        }
        if !named && (!context.seen.covers(self.id) || planted(Fault::RemoveNamedOnly)) {
            return;
        }
        let (mut elements, mut by) = self.standing(table, column, change);
        let before = elements.len();
        let mut taken = false;
        for element in change.remove {
            let Ok(at) = set::find(&elements, element) else { continue };
            let left =
                if planted(Fault::RemoveUnseen) { Frontier::default() } else { by[at].beyond(context.seen) };
            taken |= left != by[at];
            by[at] = left;
            if by[at] == Frontier::default() {
                elements.remove(at);
                by.remove(at);
            }
        }
        if !named && !taken && elements.len() == before {
            return;
        }
        if named {
            for element in change.add {
                let at = set::find(&elements, element).unwrap_or_else(|at| {
                    elements.insert(at, element.clone());
                    by.insert(at, Frontier::default());
                    at
                });
                by[at].add(context.id);
            }
        }
        let value = change.value(elements);
        if let Some(cell) = self.cells_mut(table).get_mut(usize::from(column.0)) {
            *cell = value;
        }
        self.set_additions(column, by);
    }

    /// Of the elements that a write removes, those that stay because of additions it has not seen.
    pub(super) fn kept_from(
        &self,
        table: &Table,
        column: ColumnId,
        change: &Elements<'_>,
        seen: &Frontier,
    ) -> Vec<Value> {
        let (elements, by) = self.standing(table, column, change);
        let stays = |element: &&Value| {
            set::find(&elements, element).is_ok_and(|at| by[at].beyond(seen) != Frontier::default())
        };
        change.remove.iter().filter(stays).cloned().collect()
    }

    /// A cell's elements and who stands behind each.
    fn standing(
        &self,
        table: &Table,
        column: ColumnId,
        change: &Elements<'_>,
    ) -> (Vec<Value>, Vec<Frontier>) {
        let elements = change.elements(self.value(table, column));
        let mut by = match self.additions.binary_search_by_key(&column, |a| a.column) {
            Ok(at) => self.additions[at].by.clone(),
            Err(_) => Vec::new(),
        };
        by.resize(elements.len(), self.birth());
        (elements, by)
    }

    /// What stands behind an element of which nothing else is known.
    fn birth(&self) -> Frontier {
        let mut birth = Frontier::default();
        birth.add(self.id);
        birth
    }

    fn set_additions(&mut self, column: ColumnId, by: Vec<Frontier>) {
        let birth = self.birth();
        let told = by.iter().any(|additions| *additions != birth);
        match (self.additions.binary_search_by_key(&column, |a| a.column), told) {
            (Ok(at), true) => self.additions[at].by = by,
            (Ok(at), false) => {
                self.additions.remove(at);
            }
            (Err(at), true) => self.additions.insert(at, Additions { column, by }),
            (Err(_), false) => {}
        }
    }

    /// A set or flag without somebody behind each of its elements, or with more; there is none such, but for damage.
    pub fn unfounded(&self, table: &Table) -> Option<ColumnId> {
        let fits = |a: &&Additions| {
            let elements = match (table.merge(a.column), self.value(table, a.column)) {
                (MergeRule::AddWinsSet, Value::Array(list)) => list.len(),
                (MergeRule::EnableWins, value) => usize::from(*value == Value::Bool(true)),
                (MergeRule::DisableWins, value) => usize::from(*value == Value::Bool(false)),
                _ => return true, // of a rule that it had before, or dropped
            };
            a.by.len() == elements && !a.by.contains(&Frontier::default())
        };
        self.additions.iter().find(|a| !fits(a)).map(|a| a.column)
    }

    /// The cell has been assigned as a whole: nothing is known of its elements but that they are there.
    pub(super) fn forget_additions(&mut self, column: ColumnId) {
        self.additions.retain(|a| a.column != column);
    }
}

impl Frontier {
    /// What of it is not within `seen`.
    fn beyond(&self, seen: &Frontier) -> Frontier {
        let mut rest = Frontier::default();
        for (site, n) in self.blues().filter(|(site, n)| seen.blue(*site) < *n) {
            rest.set_blue(site, n);
        }
        rest.red = if seen.red < self.red { self.red } else { 0 };
        rest
    }
}

/// One column of several live incarnations, of a set or a flag: every element that stands in one.
pub(super) fn merged<'v>(rule: MergeRule, mut values: impl Iterator<Item = &'v Value>) -> Value {
    let flag = |winning: bool, values: &mut dyn Iterator<Item = &'v Value>| {
        let values: Vec<bool> = values.filter_map(Value::as_bool).collect();
        if values.is_empty() { Value::Null } else { Value::Bool(values.contains(&winning) == winning) }
    };
    match rule {
        MergeRule::EnableWins => flag(true, &mut values),
        MergeRule::DisableWins => flag(false, &mut values),
        _ => {
            let lists =
                values.filter_map(|v| if let Value::Array(list) = v { Some(list.iter()) } else { None });
            let all: Vec<Value> = lists.flatten().cloned().collect();
            Value::Array(Arc::new(set::of(&all)))
        }
    }
}

impl Table {
    /// The row with sets in its set columns: an array stored before its column became one reads as a set.
    pub fn with_sets(&self, mut row: Row) -> Row {
        for column in self.columns.iter().filter(|c| c.merge == MergeRule::AddWinsSet) {
            let slot = usize::from(column.id.0);
            if let Some(Value::Array(list)) = row.get(slot)
                && !set::is_set(list)
            {
                let elements = Value::Array(Arc::new(set::of(list)));
                Arc::make_mut(&mut row)[slot] = elements;
            }
        }
        row
    }
}

impl super::RowState {
    /// A write of a set or a flag, applied to all incarnations: named ones (`of`), and those that hold what it has seen.
    pub(super) fn change_elements(
        &mut self,
        table: &Table,
        of: &[TxnId],
        cells: &[(ColumnId, Write)],
        context: &Context<'_>,
    ) {
        for (column, write) in cells {
            let Some(change) = Elements::of(write) else { continue };
            for incarnation in &mut self.incarnations {
                let named = of.binary_search(&incarnation.id).is_ok();
                incarnation.change(table, *column, &change, context, named);
            }
        }
    }

    /// What a removal could not take, because of an addition that it had not seen; or the removal that an addition undoes, which
    /// had not seen it. Of a set both values are whole: as they would have been, and as they are.
    pub(super) fn displaced_elements(
        &self,
        change: &super::Change<'_>,
        key: &Key,
        column: ColumnId,
        write: &Elements<'_>,
    ) -> Option<Displaced> {
        let super::Change { table, context, .. } = change;
        let live = || self.live_incarnations(table);
        let (stamp, by) = live().map(|i| i.cell(column)).max()?;
        let standing = set::of(&live().flat_map(|i| i.standing(table, column, write).0).collect::<Vec<_>>());
        let kept = live().flat_map(|i| i.kept_from(table, column, write, context.seen)).collect::<Vec<_>>();
        let stays = set::difference(&set::of(&kept), write.add);
        let wanted = set::union(&set::difference(&standing, write.remove), write.add);
        let after = set::union(&wanted, &stays);
        let unseen = by != context.id && !context.seen.covers(by);
        let undone = |element: &Value| {
            !set::has(&standing, element) && (write.winning.is_some() || set::has(write.remove, element))
        };
        let (lost, lost_stamp, kept_stamp) = if !stays.is_empty() {
            (wanted, context.stamp, stamp)
        } else if unseen && write.add.iter().any(undone) {
            (standing, stamp, context.stamp)
        } else {
            return None;
        };
        Some(Displaced {
            table: table.id,
            key: key.clone(),
            column: Some(column),
            lost: write.value(lost),
            lost_stamp,
            kept: write.value(after),
            kept_stamp: Some(kept_stamp),
        })
    }
}
