//! How red entries changed bounded cells, and whether a slack still suffices.
//!
//! Worked example: a stock of 10 with CHECK (stock >= 0). Two sites each sell 6 on snapshots at R = 4. The first, ordered at 5, has slack
//! 10 and spends 6. The second, at 6, saw slack 10 as well; since R the cell lost 6, so 4 are left and 6 do not fit: refused. Had
//! it sold 4 it would have been accepted, though both wrote the same cell: spends do not conflict otherwise.
//!
//! Blue changes away from the bound are not in the order and not counted; they only make the real slack greater.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::classify::sign;
use crate::fault::{Fault, planted};
use crate::footprint::Slack;
use crate::ids::{ColumnId, TableId, TxnId};
use crate::op::Key;
use crate::schema::BoundSide;
use crate::value::{DataType, Value, arith};

/// A bounded cell of one incarnation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Cell {
    table: TableId,
    key: Key,
    incarnation: TxnId,
    column: ColumnId,
}

/// What an accepted entry added to a bounded cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellChange {
    cell: Cell,
    /// Signed: what was added to the value.
    added: Value,
}

impl CellChange {
    /// The changes an entry's slacks stand for: two bounds of one cell are one change.
    pub(super) fn of(slacks: &[Slack]) -> Vec<CellChange> {
        let mut changes: Vec<CellChange> = Vec::new();
        for slack in slacks {
            let cell = cell(slack);
            if changes.iter().all(|c| c.cell != cell) {
                let added = match slack.side {
                    BoundSide::AtLeast => arith::neg(&EXACT, &slack.spend),
                    BoundSide::AtMost => slack.spend.clone(),
                };
                changes.push(CellChange { cell, added });
            }
        }
        changes
    }
}

/// Beyond every type's range, and decimals.
const EXACT: DataType = DataType::Numeric(None);

fn cell(slack: &Slack) -> Cell {
    Cell { table: slack.table, key: slack.key.clone(), incarnation: slack.incarnation, column: slack.column }
}

/// The changes within the window, by cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    cells: BTreeMap<Cell, VecDeque<(u64, Value)>>,
}

impl Changes {
    pub fn note(&mut self, change: &CellChange, r: u64) {
        self.cells.entry(change.cell.clone()).or_default().push_back((r, change.added.clone()));
    }

    pub fn forget(&mut self, change: &CellChange, r: u64) {
        if let Some(changes) = self.cells.get_mut(&change.cell) {
            changes.retain(|(at, _)| *at != r);
            if changes.is_empty() {
                self.cells.remove(&change.cell);
            }
        }
    }

    /// Whether a spend fits: the slack seen, less what was taken after `base`, plus what was given after `seen_at`, suffices.
    /// A move away from the bound always fits.
    pub fn suffices(&self, slack: &Slack, base: u64, seen_at: u64) -> bool {
        match sign(&slack.spend) {
            Some(1) => {}
            Some(_) => return true,
            None => return false,
        }
        let mut left = arith::sub(&EXACT, &slack.slack, &slack.spend);
        for (at, added) in self.cells.get(&cell(slack)).into_iter().flatten() {
            let given = match slack.side {
                BoundSide::AtLeast => added.clone(),
                BoundSide::AtMost => arith::neg(&EXACT, added),
            };
            let counts = match sign(&given) {
                Some(1) => *at > seen_at,
                Some(_) => *at > base,
                None => return false,
            };
            if counts && planted(Fault::SlackNotSummed) {
                left = arith::add(&EXACT, &arith::sub(&EXACT, &slack.slack, &slack.spend), &given);
            } else if counts {
                left = arith::add(&EXACT, &left, &given);
            }
        }
        sign(&left).is_some_and(|s| s >= 0)
    }
}
