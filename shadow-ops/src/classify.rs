//! Blue or red, and why.
//!
//! An effect is *blue* if it may commit at its own site without asking anyone, because no concurrent effect anywhere can make
//! it break a declared invariant or combine differently at two sites. Everything else is *red* and goes through the one
//! order. A transaction is red if any of its effects is. The colour follows from the declarations and from what the effect
//! does; nobody states it, and nobody can force an unsafe blue.
//!
//! Worked example: TPC-W's buy-confirm inserts an order whose id was minted here (blue: no other site can mint it), order lines
//! whose keys contain that id and whose parent is inserted with them (blue), and takes three items from the stock:
//!
//! ```text
//!   UPDATE item SET i_stock = i_stock - 3     i_stock is MERGE DELTA: additions commute …
//!                                             CHECK (i_stock >= 0): … and towards the bound they spend rights: blue, as far
//!                                             as the site has them; what it lacks it asks of others before it commits
//!   UPDATE item SET i_stock = i_stock + 21    away from the bound: blue
//! ```
//!
//! [`classify`] gives the colour of a whole draft with the union of its reasons; [`reasons`] gives them per effect, for EXPLAIN
//! (COLOR); [`ordinary_reasons`] tells of a table what ordinary statements on it would be red for, for the NOTICEs of DDL.
//! The rules themselves are in `rules`, one function per kind of effect, in the order of DESIGN §5.
//!
//! The classifier decides no validity: a CHECK that the row itself breaks, a key that is there already, a NULL are the generator's
//! (23xxx). What generators must refuse beyond that (deleting from an append-only table, explicit values that a site may
//! mint) is in [`explicit`].

use serde::{Deserialize, Serialize};

use crate::draft::Draft;
use crate::footprint::{Footprint, derive};
use crate::ids::{ColumnId, ConstraintId, TableId};
use crate::rights::Spend;
use crate::schema::Schema;

mod describe;
pub mod explicit;
mod rules;
pub(crate) mod scope;

pub use describe::Description;
use rules::Verdicts;
pub use rules::ordinary_reasons;
pub use rules::sign;
use scope::Scope;

/// A transaction's colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Color {
    Blue,
    Red,
}

/// Why an effect is red.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Reason {
    /// The table of the effect (the parent, for [`Rule::ReferencedRow`]); 0 where there is none.
    pub table: TableId,
    pub column: Option<ColumnId>,
    pub constraint: Option<ConstraintId>,
    /// The rule of DESIGN §5 that decided.
    pub rule: Rule,
}

/// The rules of DESIGN §5, one per way of being red.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Rule {
    StrictColumn,
    StrictRows,
    KeyNotUniqueByConstruction,
    UniqueKey,
    ForeignKey,
    ReferencedRow,
    KeyUpdate,
    CheckAcrossColumns,
    DeltaAssigned,
    DeltaNearRange,
    ExplicitSequenceValue,
    SchemaChange,
    Forced,
    Unknown,
}

/// A draft with its colour and what ordering it would need.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// Red if any reason stands.
    pub color: Color,
    /// Why red; empty when blue. Sorted, without repeats.
    pub reasons: Vec<Reason>,
    /// For certification, should it be red or be forced to.
    pub footprint: Footprint,
    /// What it takes of the slack of bounded deltas: the site must have the rights when it commits.
    pub spends: Vec<Spend>,
}

impl Classification {
    /// `gemini.color = red`: ordered whatever it does. The generator has put every read into [`Draft::reads`].
    pub fn force_red(&mut self) {
        self.color = Color::Red;
        let forced = Reason { table: TableId(0), column: None, constraint: None, rule: Rule::Forced };
        if let Err(at) = self.reasons.binary_search(&forced) {
            self.reasons.insert(at, forced);
        }
    }
}

/// Colours a draft. Pure: the same draft on the same schema gives the same answer at every site.
pub fn classify(schema: &Schema, draft: &Draft) -> Classification {
    let scope = Scope::new(schema, draft);
    let mut verdicts = Verdicts::new(&scope);
    for op in &draft.ops {
        verdicts.op(op);
    }
    let (reasons, spends) = verdicts.finish();
    let color = if reasons.is_empty() { Color::Blue } else { Color::Red };
    Classification { color, reasons, footprint: derive::footprint(&scope, draft), spends }
}

/// The reasons of each effect, in the order of [`Draft::ops`]: an effect without any is blue.
pub fn reasons(schema: &Schema, draft: &Draft) -> Vec<Vec<Reason>> {
    let scope = Scope::new(schema, draft);
    let each = draft.ops.iter().map(|op| {
        let mut verdicts = Verdicts::new(&scope);
        verdicts.op(op);
        verdicts.finish().0
    });
    each.collect()
}
