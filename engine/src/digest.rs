//! Digests.

use std::collections::BTreeMap;

use gemini_shadow_ops::TableId;

/// What a snapshot's tables hold, in a form that two sites compare: it does not depend on the order in which effects were
/// applied, on what is in memory and what in the store, nor on anything local.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digest {
    /// Of the whole database, its schema included.
    pub total: u64,
    /// Of each table.
    pub tables: BTreeMap<TableId, u64>,
}
