//! The algebra of RedBlue consistency: values, the schema as signature, shadow operations, and the pure functions over them.
//!
//! # What and why
//!
//! Sites that commit without asking each other agree in the end only if what they exchange combines in one way, whatever the
//! order. SQL statements do not: "the row where qty < 3" is another row elsewhere. So a statement is run once, at its origin, on
//! a snapshot, by a *generator* without side effects; what leaves it are *shadow operations*: effects on single rows,
//! addressed by primary key, every value a constant. This crate says what those are, how they combine, which of them may
//! go without asking (*blue*) and which need the one order (*red*), and what that order answers.
//!
//! ```text
//!   generator ──► Draft { effects, before and after, minted values }
//!                   │ classify(schema)                                   classify
//!                   ▼
//!   Classification { colour, reasons, footprint, spends }
//!        blue │              │ red
//!             │              ▼
//!             │        Entry { transaction, footprint, table versions }
//!             │              │ Window::decide(r, schema)                 verdict
//!             │              ▼
//!             │        accepted │ refused │ void      the same at every site
//!             ▼              ▼
//!   RowState::apply(effect) at every site, in any causal order           row
//!        │
//!        ▼
//!   RowState::view ──► the row a reader sees
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | names of sites, transactions, tables; stamps; frontiers |
//! | [`value`] | SQL values, their canonical order, keys, exact sums |
//! | [`schema`] | tables and rules as the signature; changes, their validity and whether they are plain red |
//! | [`members`] | who the sites are: joins, fences, reports, final counts |
//! | [`op`] | shadow operations, transactions, entries, schema changes |
//! | [`draft`] | what a generator hands over |
//! | [`classify`](mod@classify) | colours with reasons as data; what generators must refuse |
//! | [`footprint`] | reads and writes implied by effects |
//! | [`verdict`] | certification |
//! | [`row`] | incarnations, merging, displaced values |
//! | [`rights`] | how the slack of a bounded delta is divided among the sites |
//! | [`fault`] | mistakes that only a test build can switch on |
//! | [`codec`], [`text`] | bytes with golden tests; one text form for scripts, dumps and logs |
//!
//! # Worked example
//!
//! `item (id SERIAL PRIMARY KEY, cost INT MERGE LWW, stock INT MERGE DELTA CHECK (stock >= 0)) ROWS APPEND ONLY`, one row (1, 50, 10).
//! While the sites cannot hear each other, Ireland reprices, Brazil reprices a moment later, both restock:
//!
//! ```text
//!   Ireland  b1.1  update item[1] cost := 60, stock += 5     blue: lww, and a delta away from its bound
//!   Brazil   b2.1  update item[1] cost := 55, stock += 7     blue
//!   Ireland  b1.2  update item[1] stock += -12               blue: towards the bound, and Ireland has the rights: the 10 it inserted, and its 5
//! ```
//!
//! After they have heard each other: cost is 55 (Brazil's stamp is later; Ireland's 60 is in the conflict log as displaced), stock
//! is 10 + 5 + 7 - 12 = 10 at both, in whichever order the effects came. Had Ireland wanted 17, it would have asked Brazil for the
//! 2 rights that it lacks ([`rights`]); Brazil has 7.
//!
//! # Invariants
//!
//! 1. Everything here is a pure function of its arguments: no clock, no randomness, no I/O, no threads; iteration orders are fixed.
//! 2. [`RowState::apply`] never fails and commutes for effects neither of which had seen the other (`tests/exhaustive/` tries them all).
//! 3. [`classify`](classify::classify) errs to red: what it does not know is red.
//! 4. [`Window::decide`] depends on the entries before it and nothing else.
//! 5. What is parsed is well formed ([`ShadowTransaction`]); what is well formed can be applied.
//!
//! # What it does not do
//!
//! It evaluates no SQL expression: whether a row satisfies its CHECKs, which rows a WHERE clause meant, what a default yields is
//! the generator's. It stores, sends and orders nothing. It does not decide whether a site's rights cover a spend: that is
//! known only at the commit. It knows no barrier yet: [`Schema::check_change`] says which changes need one, and SQL refuses those.

pub mod classify;
pub mod codec;
pub mod draft;
pub mod fault;
pub mod footprint;
pub mod ids;
pub mod members;
pub mod op;
pub mod rights;
pub mod row;
pub mod schema;
pub mod text;
pub mod value;
pub mod verdict;

pub use classify::{Classification, Color, Description, Reason, Rule};
pub use draft::{Draft, DraftOp, Facts, Minted};
pub use footprint::{ColumnSet, Footprint, Item, Read, local_items};
pub use ids::{
    ColumnId, ConstraintId, Dot, EntryId, Frontier, Hlc, IndexId, SequenceId, SiteId, Stamp, TableId, TxnId,
};
pub use members::{Member, MemberChange, MemberEntry, Members, Ruling};
pub use op::{Entry, Key, Op, RedTransaction, SchemaChange, ShadowOp, ShadowTransaction, Write};
pub use rights::{Move, Reservation, Rights, Share, Spend};
pub use row::{Additions, CellStamp, Context, Displaced, Incarnation, RowState};
pub use schema::{
    Bound, BoundSide, ChangeKind, Check, Column, Default, ForeignKey, Index, IndexColumn, MergeRule, Minting,
    ReferentialAction, RowRule, Schema, SchemaError, SchemaErrorKind, Sequence, Table,
};
pub use value::{DataType, Interval, Numeric, Row, Value};
pub use verdict::{EntryStatus, Refusal, Verdict, Window};
