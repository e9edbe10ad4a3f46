//! Colours against brute force, from both sides.
//!
//! *Sound*: in every history of three statements of every [`Case`], generated on any snapshot that the history allows, coloured by
//! the classifier, the red ones put through the [`Window`], no site ever reaches a state that breaks what is declared. A red
//! order is the order of generation (see [`crate::history`]).
//!
//! *Needed*: a red statement is tried as if it were blue, on the first snapshot, at every site that runs it, with the others as they
//! are. If nothing breaks in any history, the verdict was *needless* as far as this small world can tell. Some always will be:
//! a verdict looks at a declaration and one statement, brute force at all the statements that there are here, and a
//! larger world may hold the one that hurts. The number is a measure of how much the classifier gives away, and a ratchet.

use std::collections::{BTreeMap, BTreeSet};

use gemini_shadow_ops::classify::classify;
use gemini_shadow_ops::*;

use crate::declared::{broken, strict_pair};
use crate::family::Case;
use crate::generator::{Act, Statement, generate, holds};
use crate::history::{History, State, Txn};

/// What was tried.
#[derive(Default)]
pub struct Counts {
    pub histories: u64,
    pub states: u64,
    pub blue: u64,
    pub accepted: u64,
    pub refused: u64,
}

/// A walk over a case's histories.
struct Walk<'c> {
    case: &'c Case,
    /// The statement that is blue on the first snapshot whatever the classifier says.
    forced: Option<usize>,
    counts: Counts,
}

/// What broke, and how it came to that.
type Breach = String;

/// The first breach within `depth` statements, if any.
pub fn breach(case: &Case, forced: Option<usize>, depth: usize, counts: &mut Counts) -> Option<Breach> {
    let mut walk = Walk { case, forced, counts: std::mem::take(counts) };
    let mut history = History::new(&case.schema, base(case));
    assert_eq!(broken(&case.schema, history.state(0)), None, "the base of {}", case.name);
    let found = walk.extend(&mut history, &Window::new(16), forced.is_none(), depth);
    *counts = walk.counts;
    found
}

/// The first rows, as effects.
fn base(case: &Case) -> Vec<Op> {
    let empty = History::new(&case.schema, vec![]);
    let ops = case.base.iter().flat_map(|act| {
        let Act::Insert(table, _) = act else { panic!("the base inserts: {act:?}") };
        let table = case.schema.table(*table).expect("declared");
        let draft = generate(&case.schema, empty.state(0), &vec![act.clone()], 0, &Frontier::default());
        draft.unwrap_or_else(|| panic!("{}: {act:?} into {}", case.name, table.name)).ops
    });
    let mut ops: Vec<Op> = ops.map(|op| op.op).collect();
    ops.extend(gifts(case));
    ops
}

/// Of the first row's rights, which are all its creator's, those of the second transaction's site towards `x >= c`, and those of
/// the first's and the third's towards `x <= c`.
fn gifts(case: &Case) -> Vec<Op> {
    use BoundSide::{AtLeast, AtMost};
    let mut ops = Vec::new();
    for table in case.schema.tables.values().filter(|t| t.is_bounded(ColumnId(1))) {
        let gift =
            |(side, to)| Move::Gift { column: ColumnId(1), side, to: SiteId(to), amount: Value::Int4(1) };
        let bounds = [(AtLeast, 2), (AtMost, 1), (AtMost, 3)];
        let moves: Vec<Move> = bounds
            .into_iter()
            .filter(|(side, _)| table.bound(ColumnId(1), *side).is_some())
            .map(gift)
            .collect();
        let key = Key(gemini_shadow_ops::value::key::encode_key(&[Value::Int4(1)]).0);
        ops.push(Op::Rights { table: table.id, key, of: None, moves });
    }
    ops
}

/// Whether the site that runs it has the rights for what it spends, on its own snapshot.
fn covered(schema: &Schema, state: &State, spends: &[Spend], site: SiteId) -> bool {
    spends.iter().all(|spend| {
        let table = schema.table(spend.table).expect("declared");
        let row = &state.rows[&(spend.table, spend.key.clone())];
        let row = row.incarnation(spend.incarnation).expect("what it saw");
        let has = row.rights_of(table, spend.column, spend.side, site).expect("a bound");
        has.compare(&spend.amount).is_ge()
    })
}

impl Walk<'_> {
    /// Walks all histories that go on from here; `forced_in`: the forced statement is in it, or there is none.
    fn extend(
        &mut self,
        history: &mut History<'_>,
        window: &Window,
        forced_in: bool,
        more: usize,
    ) -> Option<Breach> {
        if more == 0 {
            return None;
        }
        for set in history.snapshots() {
            for (i, statement) in self.case.statements.iter().enumerate() {
                let forced = self.forced == Some(i) && set == 0;
                // The last chance for the forced statement to come in.
                if more == 1 && !forced_in && !forced {
                    continue;
                }
                let mut window = window.clone();
                let Some(txn) = self.submit(history, &mut window, set, statement, forced) else { continue };
                let found = self
                    .judge(history, txn)
                    .or_else(|| self.extend(history, &window, forced_in || forced, more - 1));
                let found = found.map(|breach| format!("{statement:?} on {set:b}\n{breach}"));
                history.pop();
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// Generates, colours and certifies a statement; None if it comes to nothing.
    fn submit(
        &mut self,
        history: &History<'_>,
        window: &mut Window,
        set: usize,
        statement: &Statement,
        forced: bool,
    ) -> Option<Txn> {
        let (schema, state) = (&self.case.schema, history.state(set));
        let seen = history.frontier(set);
        let class = history.txns.len() as u32;
        let draft = generate(schema, state, statement, class, &seen)?;
        let classified = classify(schema, &draft);
        let color = if forced { Color::Blue } else { classified.color };
        let ops = draft.ops.into_iter().map(|op| op.op).collect();
        let txn = Txn { id: history.next_id(color), stamp: history.stamp(set, 0), seen, ops };
        if !holds(schema, state, &txn) {
            return None;
        }
        // It asks others, and nobody answers. (With one transaction a site, a red one need not put its rights aside.)
        if !forced && !covered(schema, state, &classified.spends, txn.stamp.site) {
            return None;
        }
        if color == Color::Blue {
            self.counts.blue += 1;
            return Some(txn);
        }
        let id = EntryId { site: SiteId(1), start: 1, counter: window.last() + 1 };
        let red = RedTransaction::new(id, shadow(&txn), &classified, schema);
        let accepted =
            window.decide(window.last() + 1, &Entry::Transaction(red), schema) == Verdict::Accepted;
        *(if accepted { &mut self.counts.accepted } else { &mut self.counts.refused }) += 1;
        accepted.then_some(txn)
    }

    /// Adds a transaction and looks at every state that it leads to.
    fn judge(&mut self, history: &mut History<'_>, txn: Txn) -> Option<Breach> {
        let schema = &self.case.schema;
        let strict = history.txns.iter().find_map(|earlier| strict_pair(schema, earlier, &txn));
        let reached = history.push(txn);
        self.counts.histories += 1;
        self.counts.states += reached.len() as u64;
        strict.or_else(|| {
            reached
                .iter()
                .find_map(|set| Some(format!("{} in {set:b}", broken(schema, history.state(*set))?)))
        })
    }
}

fn shadow(txn: &Txn) -> std::sync::Arc<ShadowTransaction> {
    std::sync::Arc::new(ShadowTransaction {
        origin: txn.stamp.site,
        statements: vec![txn.seen.clone()],
        deps: txn.seen.clone(),
        stamp: txn.stamp,
        schema_version: 1,
        ops: txn.ops.iter().map(|op| ShadowOp { statement: 0, op: op.clone() }).collect(),
    })
}

/// Red verdicts by rule, and how many of them nothing needs.
pub type Table = BTreeMap<Rule, (usize, usize)>;

/// Tries every red verdict of a case as blue; `show` prints the needless ones.
pub fn needless(case: &Case, depth: usize, show: bool, table: &mut Table) {
    let history = History::new(&case.schema, base(case));
    for (i, statement) in case.statements.iter().enumerate() {
        let Some(draft) = generate(&case.schema, history.state(0), statement, 0, &history.frontier(0)) else {
            continue;
        };
        let classified = classify(&case.schema, &draft);
        let ops = draft.ops.iter().map(|op| op.op.clone()).collect();
        let txn = Txn {
            id: history.next_id(Color::Red),
            stamp: history.stamp(0, 0),
            seen: history.frontier(0),
            ops,
        };
        if classified.color == Color::Blue || !holds(&case.schema, history.state(0), &txn) {
            continue;
        }
        // Most breaches need two statements only.
        let mut found = (2..=depth).map(|depth| breach(case, Some(i), depth, &mut Counts::default()));
        let needed = found.any(|breach| breach.is_some());
        let rules: BTreeSet<Rule> = classified.reasons.iter().map(|r| r.rule).collect();
        if show && !needed {
            println!("needless: {}: {statement:?} {rules:?}", case.name);
        }
        for rule in rules {
            let entry = table.entry(rule).or_default();
            entry.0 += 1;
            entry.1 += usize::from(!needed);
        }
    }
}
