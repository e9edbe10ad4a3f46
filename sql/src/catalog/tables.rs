//! The list of computed tables: their columns in short form, and which function makes the rows.
//!
//! A column is `name:type`; the types are o oid, n name, c "char", b bool, i2 i4 i8 integers, f4 real, t text, z timestamptz,
//! r regproc, y regtype, v interval, iv int2vector, ov oidvector, f8 double precision, and with a trailing `*` an array of them. What is there because
//! clients join it, and empty because Gemini has no such objects, is in `absent.txt`: `schema name oid columns`, a line each.

use gemini_shadow_ops::DataType;

use super::{Computed, Rows, View, code, information, relations, system};

type Row = (&'static str, u32, &'static str, fn(&View<'_>) -> Rows);

/// Sorted by use: (name, oid, columns, rows). The oids are PostgreSQL's where it fixes them.
static PG_CATALOG: &[Row] = &[
    (
        "pg_class",
        1259,
        "oid:o relname:n relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o reltablespace:o relpages:i4 \
         reltuples:f4 relallvisible:i4 reltoastrelid:o relhasindex:b relisshared:b relpersistence:c relkind:c relnatts:i2 \
         relchecks:i2 relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b relforcerowsecurity:b \
         relispopulated:b relreplident:c relispartition:b relrewrite:o relfrozenxid:o relminmxid:o relacl:t* reloptions:t* \
         relpartbound:t",
        relations::pg_class,
    ),
    (
        "pg_attribute",
        1249,
        "attrelid:o attname:n atttypid:o attstattarget:i4 attlen:i2 attnum:i2 attndims:i4 attcacheoff:i4 atttypmod:i4 \
         attbyval:b attalign:c attstorage:c attcompression:c attnotnull:b atthasdef:b atthasmissing:b attidentity:c \
         attgenerated:c attisdropped:b attislocal:b attinhcount:i4 attcollation:o attacl:t* attoptions:t* attfdwoptions:t* \
         attmissingval:t",
        relations::pg_attribute,
    ),
    (
        "pg_index",
        2610,
        "indexrelid:o indrelid:o indnatts:i2 indnkeyatts:i2 indisunique:b indnullsnotdistinct:b indisprimary:b \
         indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b \
         indisreplident:b indkey:iv indcollation:ov indclass:ov indoption:iv indexprs:t indpred:t",
        relations::pg_index,
    ),
    (
        "pg_constraint",
        2606,
        "oid:o conname:n connamespace:o contype:c condeferrable:b condeferred:b convalidated:b conrelid:o contypid:o \
         conindid:o conparentid:o confrelid:o confupdtype:c confdeltype:c confmatchtype:c conislocal:b coninhcount:i4 \
         connoinherit:b conkey:i2* confkey:i2* conpfeqop:o* conppeqop:o* conffeqop:o* confdelsetcols:i2* conexclop:o* conbin:t",
        relations::pg_constraint,
    ),
    ("pg_attrdef", 2604, "oid:o adrelid:o adnum:i2 adbin:t", relations::pg_attrdef),
    (
        "pg_sequence",
        2224,
        "seqrelid:o seqtypid:o seqstart:i8 seqincrement:i8 seqmax:i8 seqmin:i8 seqcache:i8 seqcycle:b",
        relations::pg_sequence,
    ),
    (
        "pg_depend",
        2608,
        "classid:o objid:o objsubid:i4 refclassid:o refobjid:o refobjsubid:i4 deptype:c",
        relations::pg_depend,
    ),
    ("pg_namespace", 2615, "oid:o nspname:n nspowner:o nspacl:t*", system::pg_namespace),
    (
        "pg_type",
        1247,
        "oid:o typname:n typnamespace:o typowner:o typlen:i2 typbyval:b typtype:c typcategory:c typispreferred:b \
         typisdefined:b typdelim:c typrelid:o typsubscript:r typelem:o typarray:o typinput:r typoutput:r typreceive:r \
         typsend:r typmodin:r typmodout:r typanalyze:r typalign:c typstorage:c typnotnull:b typbasetype:o typtypmod:i4 \
         typndims:i4 typcollation:o typdefaultbin:t typdefault:t typacl:t*",
        system::pg_type,
    ),
    ("pg_am", 2601, "oid:o amname:n amhandler:r amtype:c", system::pg_am),
    (
        "pg_database",
        1262,
        "oid:o datname:n datdba:o encoding:i4 datlocprovider:c datistemplate:b datallowconn:b datconnlimit:i4 \
         datfrozenxid:o datminmxid:o dattablespace:o datcollate:t datctype:t daticulocale:t datcollversion:t datacl:t*",
        system::pg_database,
    ),
    (
        "pg_roles",
        12000,
        "rolname:n rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b rolconnlimit:i4 \
         rolpassword:t rolvaliduntil:z rolbypassrls:b rolconfig:t* oid:o",
        system::pg_roles,
    ),
    (
        "pg_user",
        12014,
        "usename:n usesysid:o usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:z useconfig:t*",
        system::pg_user,
    ),
    (
        "pg_collation",
        3456,
        "oid:o collname:n collnamespace:o collowner:o collprovider:c collisdeterministic:b collencoding:i4 collcollate:t \
         collctype:t colliculocale:t collversion:t",
        system::pg_collation,
    ),
    (
        "pg_proc",
        1255,
        "oid:o proname:n pronamespace:o proowner:o prolang:o procost:f4 prorows:f4 provariadic:o prosupport:r prokind:c \
         prosecdef:b proleakproof:b proisstrict:b proretset:b provolatile:c proparallel:c pronargs:i2 pronargdefaults:i2 \
         prorettype:o proargtypes:ov proallargtypes:o* proargmodes:c* proargnames:t* proargdefaults:t protrftypes:o* prosrc:t \
         probin:t prosqlbody:t proconfig:t* proacl:t*",
        code::pg_proc,
    ),
    (
        "pg_settings",
        12104,
        "name:t setting:t unit:t category:t short_desc:t extra_desc:t context:t vartype:t source:t min_val:t max_val:t \
         enumvals:t* boot_val:t reset_val:t sourcefile:t sourceline:i4 pending_restart:b",
        system::pg_settings,
    ),
    ("pg_tablespace", 1213, "oid:o spcname:n spcowner:o spcacl:t* spcoptions:t*", system::pg_tablespace),
    (
        "pg_language",
        2612,
        "oid:o lanname:n lanowner:o lanispl:b lanpltrusted:b lanplcallfoid:o laninline:o lanvalidator:o lanacl:t*",
        system::pg_language,
    ),
    (
        "pg_tables",
        12033,
        "schemaname:n tablename:n tableowner:n tablespace:n hasindexes:b hasrules:b hastriggers:b rowsecurity:b",
        relations::pg_tables,
    ),
    (
        "pg_indexes",
        12043,
        "schemaname:n tablename:n indexname:n tablespace:n indexdef:t",
        relations::pg_indexes,
    ),
    (
        "pg_sequences",
        12048,
        "schemaname:n sequencename:n sequenceowner:n data_type:y start_value:i8 min_value:i8 max_value:i8 increment_by:i8 \
         cycle:b cache_size:i8 last_value:i8",
        relations::pg_sequences,
    ),
    (
        "pg_authid",
        1260,
        "oid:o rolname:n rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b \
         rolbypassrls:b rolconnlimit:i4 rolpassword:t rolvaliduntil:z",
        system::pg_authid,
    ),
    (
        "pg_shadow",
        12005,
        "usename:n usesysid:o usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:z \
         useconfig:t*",
        system::pg_user,
    ),
    (
        "pg_opclass",
        2616,
        "oid:o opcmethod:o opcname:n opcnamespace:o opcowner:o opcfamily:o opcintype:o opcdefault:b \
         opckeytype:o",
        code::pg_opclass,
    ),
    ("pg_opfamily", 2753, "oid:o opfmethod:o opfname:n opfnamespace:o opfowner:o", code::pg_opfamily),
    (
        "pg_operator",
        2617,
        "oid:o oprname:n oprnamespace:o oprowner:o oprkind:c oprcanmerge:b oprcanhash:b oprleft:o oprright:o \
         oprresult:o oprcom:o oprnegate:o oprcode:r oprrest:r oprjoin:r",
        code::pg_operator,
    ),
    ("pg_cast", 2605, "oid:o castsource:o casttarget:o castfunc:o castcontext:c castmethod:c", code::pg_cast),
    (
        "pg_stat_activity",
        12222,
        "datid:o datname:n pid:i4 leader_pid:i4 usesysid:o usename:n application_name:t client_addr:t \
         client_hostname:t client_port:i4 backend_start:z xact_start:z query_start:z state_change:z \
         wait_event_type:t wait_event:t state:t backend_xid:o backend_xmin:o query_id:i8 query:t \
         backend_type:t",
        system::pg_stat_activity,
    ),
    (
        "pg_extension",
        3079,
        "oid:o extname:n extowner:o extnamespace:o extrelocatable:b extversion:t extconfig:o* extcondition:t*",
        system::pg_extension,
    ),
    ("pg_description", 2609, "objoid:o classoid:o objsubid:i4 description:t", relations::pg_description),
];

static INFORMATION_SCHEMA: &[Row] = &[
    (
        "tables",
        13_100,
        "table_catalog:n table_schema:n table_name:n table_type:t self_referencing_column_name:n reference_generation:t \
         user_defined_type_catalog:n user_defined_type_schema:n user_defined_type_name:n is_insertable_into:t is_typed:t \
         commit_action:t",
        information::tables,
    ),
    (
        "columns",
        13_101,
        "table_catalog:n table_schema:n table_name:n column_name:n ordinal_position:i4 column_default:t is_nullable:t \
         data_type:t character_maximum_length:i4 character_octet_length:i4 numeric_precision:i4 numeric_precision_radix:i4 \
         numeric_scale:i4 datetime_precision:i4 interval_type:t interval_precision:i4 character_set_catalog:n \
         character_set_schema:n character_set_name:n collation_catalog:n collation_schema:n collation_name:n \
         domain_catalog:n domain_schema:n domain_name:n udt_catalog:n udt_schema:n udt_name:n scope_catalog:n scope_schema:n \
         scope_name:n maximum_cardinality:i4 dtd_identifier:n is_self_referencing:t is_identity:t identity_generation:t \
         identity_start:t identity_increment:t identity_maximum:t identity_minimum:t identity_cycle:t is_generated:t \
         generation_expression:t is_updatable:t",
        information::columns,
    ),
    (
        "schemata",
        13_102,
        "catalog_name:n schema_name:n schema_owner:n default_character_set_catalog:n default_character_set_schema:n \
         default_character_set_name:n sql_path:t",
        information::schemata,
    ),
    (
        "table_constraints",
        13_103,
        "constraint_catalog:n constraint_schema:n constraint_name:n table_catalog:n table_schema:n table_name:n \
         constraint_type:t is_deferrable:t initially_deferred:t enforced:t nulls_distinct:t",
        information::table_constraints,
    ),
    (
        "key_column_usage",
        13_104,
        "constraint_catalog:n constraint_schema:n constraint_name:n table_catalog:n table_schema:n table_name:n column_name:n \
         ordinal_position:i4 position_in_unique_constraint:i4",
        information::key_column_usage,
    ),
    (
        "constraint_column_usage",
        13_105,
        "table_catalog:n table_schema:n table_name:n column_name:n constraint_catalog:n constraint_schema:n constraint_name:n",
        information::constraint_column_usage,
    ),
    (
        "referential_constraints",
        13_106,
        "constraint_catalog:n constraint_schema:n constraint_name:n unique_constraint_catalog:n unique_constraint_schema:n \
         unique_constraint_name:n match_option:t update_rule:t delete_rule:t",
        information::referential_constraints,
    ),
    (
        "check_constraints",
        13_107,
        "constraint_catalog:n constraint_schema:n constraint_name:n check_clause:t",
        information::check_constraints,
    ),
    (
        "sequences",
        13_108,
        "sequence_catalog:n sequence_schema:n sequence_name:n data_type:t numeric_precision:i4 numeric_precision_radix:i4 \
         numeric_scale:i4 start_value:t minimum_value:t maximum_value:t increment:t cycle_option:t",
        information::sequences,
    ),
];

/// What is always empty.
static ABSENT: &str = include_str!("absent.txt");

fn none(_view: &View<'_>) -> Rows {
    Vec::new()
}

/// Every table.
pub(super) fn all() -> Vec<Computed> {
    let table = |schema, rows: &'static [Row]| {
        rows.iter().map(move |(name, oid, columns, rows)| Computed {
            schema,
            name,
            oid: *oid,
            columns: columns.split_whitespace().map(column).collect(),
            rows: *rows,
        })
    };
    let absent = ABSENT.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(Computed {
            schema: words.next()?,
            name: words.next()?,
            oid: words.next()?.parse().ok()?,
            columns: words.map(column).collect(),
            rows: none,
        })
    });
    table("pg_catalog", PG_CATALOG)
        .chain(table("information_schema", INFORMATION_SCHEMA))
        .chain(absent)
        .collect()
}

fn column(short: &str) -> (String, DataType) {
    let (name, ty) = short.split_once(':').unwrap_or((short, "t"));
    let scalar = match ty.trim_end_matches('*') {
        "o" => DataType::Oid,
        "iv" => return (name.to_string(), DataType::Int2Vector),
        "ov" => return (name.to_string(), DataType::OidVector),
        "n" => DataType::Name,
        "c" => DataType::InternalChar,
        "b" => DataType::Bool,
        "i2" => DataType::Int2,
        "i4" => DataType::Int4,
        "i8" => DataType::Int8,
        "f4" => DataType::Float4,
        "z" => DataType::Timestamptz,
        "r" => DataType::Regproc,
        "y" => DataType::Regtype,
        "v" => DataType::Interval,
        "f8" => DataType::Float8,
        _ => DataType::Text,
    };
    let ty = if ty.ends_with('*') { DataType::Array(Box::new(scalar)) } else { scalar };
    (name.to_string(), ty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_number_of_its_own_and_a_name() {
        let tables = all();
        assert_eq!(
            tables.iter().filter(|t| std::ptr::fn_addr_eq(t.rows, none as fn(&View<'_>) -> Rows)).count(),
            ABSENT.lines().count()
        );
        let mut oids: Vec<u32> = tables.iter().map(|t| t.oid).collect();
        oids.sort_unstable();
        oids.dedup();
        assert_eq!(oids.len(), tables.len());
        assert_eq!(super::super::computed().len(), tables.len());
        assert!(oids.iter().all(|oid| *oid < super::super::FIRST_OID));
        assert!(tables.iter().all(|t| !t.columns.is_empty()));
    }
}
