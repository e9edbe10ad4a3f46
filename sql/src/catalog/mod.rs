//! The catalogue as clients read it: pg_catalog and information_schema over the schema that a transaction sees, and
//! gemini's own views over what the site knows.
//!
//! Every table is computed when it is read. Objects keep their numbers: the oid of a table, index, constraint or sequence
//! is 16384 plus its id, which is never used again; types have PostgreSQL's oids.
//!
//! It serves what psql, drivers and ORMs ask at their start and for introspection. What Gemini does not have (triggers,
//! views, policies …) is an empty table, not an error, because clients join them all.

mod code;
pub mod functions;
mod information;
pub mod names;
mod relations;
pub(crate) mod sequence;
mod system;
mod tables;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use gemini_shadow_ops::{ConstraintId, DataType, IndexId, Schema, SequenceId, TableId, Value};

use crate::error::Result;
use crate::exec::ExecContext;
use crate::host::Host;
use crate::plan::{VirtualCatalog, VirtualTable};

/// The first oid of objects that are not PostgreSQL's own.
const FIRST_OID: u32 = 16384;
/// Schemas.
pub const PG_CATALOG: u32 = 11;
/// The schema of user tables.
pub const PUBLIC: u32 = 2200;
/// information_schema.
pub const INFORMATION_SCHEMA: u32 = 13_000;
/// gemini.
pub const GEMINI: u32 = 13_001;
/// The one role.
pub const OWNER: u32 = 10;
/// PostgreSQL's role that owns public: pg_dump leaves out what it owns there.
pub const DATABASE_OWNER: u32 = 6171;
/// The extension that the schema gemini and its functions belong to: built in, so pg_dump leaves them out.
pub const EXTENSION: u32 = 13_002;
/// The one database.
pub const DATABASE: u32 = 5;

/// pg_class.oid of a table.
pub fn table_oid(id: TableId) -> u32 {
    FIRST_OID.wrapping_add(id.0)
}

/// pg_class.oid of an index.
pub fn index_oid(id: IndexId) -> u32 {
    FIRST_OID.wrapping_add(id.0)
}

/// pg_class.oid of a sequence.
pub fn sequence_oid(id: SequenceId) -> u32 {
    FIRST_OID.wrapping_add(id.0)
}

/// pg_constraint.oid.
pub fn constraint_oid(id: ConstraintId) -> u32 {
    FIRST_OID.wrapping_add(id.0)
}

/// pg_namespace.oid of a schema.
pub(crate) fn schema_oid(name: &str) -> Option<u32> {
    system::SCHEMAS.iter().find(|(_, n)| *n == name).map(|(oid, _)| *oid)
}

/// What the tables are computed from.
pub(crate) struct View<'a> {
    pub schema: &'a Schema,
    pub context: &'a ExecContext,
}

impl View<'_> {
    pub(crate) fn database(&self) -> &str {
        &self.context.environment.session().database
    }

    pub(crate) fn user(&self) -> &str {
        &self.context.environment.session().user
    }
}

/// Rows of a table.
pub(crate) type Rows = Vec<Vec<Value>>;

/// A computed table.
pub(crate) struct Computed {
    pub schema: &'static str,
    pub name: &'static str,
    pub oid: u32,
    pub columns: Vec<(String, DataType)>,
    pub rows: fn(&View<'_>) -> Rows,
}

impl VirtualTable for Computed {
    fn name(&self) -> &str {
        self.name
    }

    fn columns(&self) -> &[(String, DataType)] {
        &self.columns
    }

    fn oid(&self) -> u32 {
        self.oid
    }

    fn rows(&self, schema: &Schema, context: &ExecContext) -> Result<Vec<Vec<Value>>> {
        Ok((self.rows)(&View { schema, context }))
    }
}

/// Every computed table, by (schema, name).
pub(crate) fn computed() -> &'static BTreeMap<(&'static str, &'static str), Arc<Computed>> {
    static TABLES: OnceLock<BTreeMap<(&'static str, &'static str), Arc<Computed>>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let all = tables::all();
        all.into_iter().map(|table| ((table.schema, table.name), Arc::new(table))).collect()
    })
}

/// A `gemini.*` view of the site's.
struct SiteView {
    name: String,
    columns: Vec<(String, DataType)>,
}

impl VirtualTable for SiteView {
    fn name(&self) -> &str {
        &self.name
    }

    fn columns(&self) -> &[(String, DataType)] {
        &self.columns
    }

    fn oid(&self) -> u32 {
        // Not in pg_class: the number only has to be nobody else's.
        GEMINI + 1 + self.name.len() as u32
    }

    fn rows(&self, _schema: &Schema, context: &ExecContext) -> Result<Vec<Vec<Value>>> {
        Ok(context.host.view(&self.name).map(|(_, rows)| rows).unwrap_or_default())
    }
}

/// A session's catalogue.
#[derive(Clone)]
pub struct Catalog {
    host: Arc<dyn Host>,
}

impl Catalog {
    /// Over a site.
    pub fn new(host: Arc<dyn Host>) -> Catalog {
        Catalog { host }
    }
}

impl VirtualCatalog for Catalog {
    fn table(&self, schema: Option<&str>, name: &str) -> Option<Arc<dyn VirtualTable>> {
        match schema {
            Some("gemini") => {
                let (columns, _) = self.host.view(name)?;
                let columns = columns.into_iter().map(|(n, ty)| (n.to_string(), ty)).collect();
                Some(Arc::new(SiteView { name: name.to_string(), columns }))
            }
            schema => {
                let schema = schema.unwrap_or("pg_catalog");
                computed().get(&(schema, name)).map(|t| t.clone() as Arc<dyn VirtualTable>)
            }
        }
    }
}
