//! Parsed statements and their plans, shared by all sessions of a site.
//!
//! Keyed by (text, declared parameter types, whether `public` is in the search path). A plan is good for the schema
//! version it was made under and is made anew when that has moved; a statement of a transaction that has changed the
//! schema itself never uses or fills the cache.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use gemini_shadow_ops::{DataType, Schema};
use parking_lot::RwLock;

use crate::error::Result;
use crate::parse::{self, Body, Statement};
use crate::plan::{PlanEnv, Prepared, VirtualCatalog, plan};

/// Texts longer than this are not kept (a multi-row INSERT is hardly sent twice).
const MAX_TEXT: usize = 16 << 10;
/// Texts kept; when there are more, all are dropped: the working set is back after one round. A short statement with its plan takes
/// some ten KiB.
const MAX_ENTRIES: usize = 1024;
/// Bytes of all texts kept: a long statement takes a hundred times its text, and more.
const MAX_TEXTS: usize = 256 << 10;

/// A parsed statement with its plan.
#[derive(Debug)]
pub struct Cached {
    /// The whole text it stands in: places count from its start.
    pub text: Arc<str>,
    /// What it says.
    pub statement: Statement,
    /// Declared parameter types; Unknown: not declared.
    pub types: Vec<DataType>,
    public_in_path: bool,
    plan: RwLock<Option<Arc<Prepared>>>,
}

impl Cached {
    /// A statement by itself (EXECUTE, COPY, internal queries).
    pub fn new(text: Arc<str>, statement: Statement, types: Vec<DataType>, public_in_path: bool) -> Cached {
        Cached { text, statement, types, public_in_path, plan: RwLock::new(None) }
    }

    /// Its text without its values.
    pub fn shape(&self) -> String {
        crate::parse::shape(self.text.get(self.statement.range.clone()).unwrap_or_default())
    }

    /// The plan for a schema. `own`: the transaction has changed the schema itself.
    pub fn plan(
        &self,
        schema: &Arc<Schema>,
        own: bool,
        virtuals: &dyn VirtualCatalog,
    ) -> Result<Arc<Prepared>> {
        if !own
            && let Some(prepared) = self.plan.read().as_ref()
            && prepared.schema_version == schema.version
        {
            return Ok(prepared.clone());
        }
        let Body::Dml(statement) = &self.statement.body else {
            return Err(crate::SqlError::internal("a plan is asked of a statement that has none"));
        };
        let environment = PlanEnv {
            schema,
            virtuals,
            parameter_types: &self.types,
            text: &self.text,
            public_in_path: self.public_in_path,
        };
        let prepared = Arc::new(plan(statement, &environment)?);
        if !own {
            *self.plan.write() = Some(prepared.clone());
        }
        Ok(prepared)
    }
}

type Entry = (Arc<str>, Vec<DataType>, bool, Arc<[Arc<Cached>]>);

#[derive(Debug, Default)]
struct Entries {
    by_hash: HashMap<u64, Vec<Entry>>,
    /// Bytes of all texts.
    texts: usize,
}

/// The site's cache.
#[derive(Debug, Default)]
pub struct PlanCache {
    entries: RwLock<Entries>,
}

impl PlanCache {
    /// The statements of a text.
    pub fn parse(&self, text: &str, types: &[DataType], public_in_path: bool) -> Result<Arc<[Arc<Cached>]>> {
        let mut hasher = DefaultHasher::new();
        (text, types, public_in_path).hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(entries) = self.entries.read().by_hash.get(&hash) {
            for (t, ty, p, statements) in entries {
                if **t == *text && ty == types && *p == public_in_path {
                    return Ok(statements.clone());
                }
            }
        }
        let shared: Arc<str> = text.into();
        let statements: Arc<[Arc<Cached>]> = parse::parse(text)?
            .into_iter()
            .map(|s| Arc::new(Cached::new(shared.clone(), s, types.to_vec(), public_in_path)))
            .collect();
        if text.len() <= MAX_TEXT {
            let mut entries = self.entries.write();
            if entries.by_hash.len() >= MAX_ENTRIES || entries.texts + text.len() > MAX_TEXTS {
                *entries = Entries::default();
            }
            entries.texts += text.len();
            entries.by_hash.entry(hash).or_default().push((
                shared,
                types.to_vec(),
                public_in_path,
                statements.clone(),
            ));
        }
        Ok(statements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_in_entries_and_in_bytes() {
        let cache = PlanCache::default();
        let long = "x".repeat(MAX_TEXT / 2);
        for n in 0..2 * MAX_ENTRIES {
            let text = if n % 3 == 0 { format!("SELECT {n}, '{long}'") } else { format!("SELECT {n}") };
            let first = cache.parse(&text, &[], true).expect("parses");
            assert!(Arc::ptr_eq(&first, &cache.parse(&text, &[], true).expect("parses")), "{n} is kept");
            let entries = cache.entries.read();
            assert!(entries.by_hash.len() <= MAX_ENTRIES && entries.texts <= MAX_TEXTS);
        }
    }
}
