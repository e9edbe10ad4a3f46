//! The algebra of RedBlue consistency: values, the schema as signature, shadow operations, and the pure
//! functions over them.

pub mod classify;
pub mod codec;
pub mod draft;
pub mod footprint;
pub mod ids;
pub mod op;
pub mod row;
pub mod schema;
pub mod text;
pub mod value;
pub mod verdict;

pub use classify::{Classification, Color, Description, Reason, Rule};
pub use draft::{Draft, DraftOp, Facts, Minted};
pub use footprint::{ColumnSet, Footprint, Item, Read, Slack, local_items};
pub use ids::{
    ColumnId, ConstraintId, Dot, EntryId, Frontier, Hlc, IndexId, SequenceId, SiteId, Stamp, TableId, TxnId,
};
pub use op::{Entry, Key, Op, RedTransaction, SchemaChange, ShadowOp, ShadowTransaction, Write};
pub use row::{CellStamp, Context, Displaced, Incarnation, RowState};
pub use schema::{
    Bound, BoundSide, ChangeKind, Check, Column, Default, ForeignKey, Index, IndexColumn, MergeRule, Minting,
    ReferentialAction, RowRule, Schema, SchemaError, SchemaErrorKind, Sequence, Table,
};
pub use value::{DataType, Interval, Numeric, Row, Value};
pub use verdict::{EntryStatus, Refusal, Verdict, Window};
