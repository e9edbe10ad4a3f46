-- tokio-postgres: a type whose oid it does not know
SELECT t.typname, t.typtype, t.typelem, r.rngsubtype, t.typbasetype, n.nspname, t.typrelid
FROM pg_catalog.pg_type t
LEFT OUTER JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
INNER JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid
WHERE t.oid = 2205;
----
regclass|b|0|NULL|0|pg_catalog|0
SELECT 1

-- tokio-postgres: an enum's labels
SELECT enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = 16384 ORDER BY enumsortorder;
----
SELECT 0

-- psycopg: TypeInfo.fetch
SELECT typname AS name, oid, typarray AS array_oid, oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t WHERE t.oid = to_regtype('numeric') ORDER BY t.oid;
----
numeric|1700|1231|numeric|,
SELECT 1

-- asyncpg: at the return of a connection to its pool
SELECT pg_advisory_unlock_all(), 1;
----
|1
SELECT 1

-- JDBC: getTables
SELECT current_database() AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME,
CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema'
WHEN true THEN CASE WHEN n.nspname = 'pg_catalog' OR n.nspname = 'information_schema' THEN CASE c.relkind WHEN 'r' THEN 'SYSTEM TABLE' WHEN 'v' THEN 'SYSTEM VIEW' WHEN 'i' THEN 'SYSTEM INDEX' ELSE NULL END ELSE NULL END
WHEN false THEN CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'i' THEN 'INDEX' WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE NULL END
ELSE NULL END AS TABLE_TYPE, d.description AS REMARKS, '' as TYPE_CAT, '' as TYPE_SCHEM, '' as TYPE_NAME, '' AS SELF_REFERENCING_COL_NAME, '' AS REF_GENERATION
FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass)
WHERE c.relnamespace = n.oid AND n.nspname LIKE 'public' AND c.relname LIKE '%'
AND (false OR ( c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ))
ORDER BY TABLE_TYPE,TABLE_SCHEM,TABLE_NAME;
----
test|public|author|TABLE|NULL|||||
test|public|item|TABLE|NULL|||||
test|public|note|TABLE|NULL|||||
test|public|pair|TABLE|NULL|||||
SELECT 4

-- JDBC: getImportedKeys' actions
SELECT con.conname, con.confupdtype, con.confdeltype, con.conkey, con.confkey, pkc.relname, fkc.relname
FROM pg_catalog.pg_constraint con
JOIN pg_catalog.pg_class pkc ON con.confrelid = pkc.oid
JOIN pg_catalog.pg_class fkc ON con.conrelid = fkc.oid
WHERE con.contype = 'f' ORDER BY con.conname;
----
item_i_a_id_fkey|a|c|{3}|{1}|author|item
pair_note|c|n|{1,2}|{2,3}|note|pair
SELECT 2

-- ORMs: columns, keys and references by the standard's views
SELECT column_name, data_type, udt_name, is_nullable, column_default, character_maximum_length, numeric_precision, numeric_scale, is_identity, is_generated
FROM information_schema.columns WHERE table_schema = 'public' AND table_name IN ('item', 'note') ORDER BY table_name, ordinal_position;
----
i_id|integer|int4|NO|NULL|NULL|32|0|NO|NEVER
i_title|character varying|varchar|NO|NULL|60|NULL|NULL|NO|NEVER
i_a_id|integer|int4|YES|NULL|NULL|32|0|NO|NEVER
i_cost|numeric|numeric|YES|0.00|NULL|15|2|NO|NEVER
i_stock|integer|int4|NO|0|NULL|32|0|NO|NEVER
i_isbn|character|bpchar|YES|NULL|13|NULL|NULL|NO|NEVER
i_total|bigint|int8|YES|NULL|NULL|64|0|NO|ALWAYS
i_pub|timestamp with time zone|timestamptz|YES|now()|NULL|NULL|NULL|NO|NEVER
Odd Name|uuid|uuid|YES|NULL|NULL|NULL|NULL|NO|NEVER
id|bigint|int8|NO|NULL|NULL|64|0|YES|NEVER
a|integer|int4|YES|NULL|NULL|32|0|NO|NEVER
b|integer|int4|YES|NULL|NULL|32|0|NO|NEVER
body|bytea|bytea|YES|NULL|NULL|NULL|NULL|NO|NEVER
x|double precision|float8|YES|NULL|NULL|53|NULL|NO|NEVER
y|real|float4|YES|NULL|NULL|24|NULL|NO|NEVER
z|smallint|int2|YES|NULL|NULL|16|0|NO|NEVER
f|boolean|bool|YES|true|NULL|NULL|NULL|NO|NEVER
ts|timestamp without time zone|timestamp|YES|NULL|NULL|NULL|NULL|NO|NEVER
iv|interval|interval|YES|NULL|NULL|NULL|NULL|NO|NEVER
SELECT 19

SELECT tc.constraint_name, tc.constraint_type, kcu.column_name, kcu.ordinal_position
FROM information_schema.table_constraints tc
JOIN information_schema.key_column_usage kcu ON kcu.constraint_name = tc.constraint_name AND kcu.table_name = tc.table_name
WHERE tc.table_schema = 'public' ORDER BY 1, 4;
----
author_pkey|PRIMARY KEY|a_id|1
item_i_a_id_fkey|FOREIGN KEY|i_a_id|1
item_i_isbn_key|UNIQUE|i_isbn|1
item_pkey|PRIMARY KEY|i_id|1
note_a_b_key|UNIQUE|a|1
note_a_b_key|UNIQUE|b|2
note_pkey|PRIMARY KEY|id|1
pair_note|FOREIGN KEY|p|1
pair_note|FOREIGN KEY|q|2
pair_pkey|PRIMARY KEY|p|1
pair_pkey|PRIMARY KEY|q|2
SELECT 11

SELECT rc.constraint_name, rc.unique_constraint_name, rc.update_rule, rc.delete_rule, ccu.table_name, ccu.column_name
FROM information_schema.referential_constraints rc
JOIN information_schema.constraint_column_usage ccu ON ccu.constraint_name = rc.constraint_name ORDER BY 1, 6;
----
item_i_a_id_fkey|author_pkey|NO ACTION|CASCADE|author|a_id
pair_note|note_a_b_key|CASCADE|SET NULL|note|a
pair_note|note_a_b_key|CASCADE|SET NULL|note|b
SELECT 3

SELECT constraint_name, check_clause FROM information_schema.check_constraints ORDER BY 1;
----
item_i_stock_check|((i_stock >= 0))
SELECT 1

-- names to numbers and back
SELECT 'item'::regclass, 'public.pair'::regclass::text, '"item"'::regclass = 'item'::regclass, 'int4'::regtype, 'pg_class'::regclass::oid, to_regclass('nowhere'), 'int4in'::regproc;
----
item|pair|t|integer|1259|NULL|int4in
SELECT 1

SELECT relname, tableoid::regclass FROM pg_class WHERE tableoid = 'pg_class'::regclass AND relname OPERATOR(pg_catalog.~) '^(item)$' COLLATE pg_catalog.default;
----
item|pg_class
SELECT 1

-- functions of the catalogue
SELECT pg_get_serial_sequence('author', 'a_id'), format_type(1043, 64), pg_get_userbyid(10), pg_encoding_to_char(6), pg_get_indexdef('item_title_cost'::regclass), pg_get_indexdef('item_title_cost'::regclass, 2, true), inet_server_addr(), has_table_privilege('item', 'SELECT'), pg_is_in_recovery();
----
public.author_a_id_seq|character varying(60)|gemini|UTF8|CREATE INDEX item_title_cost ON public.item USING btree (i_title, i_cost DESC)|i_cost|NULL|t|f
SELECT 1

SELECT pg_advisory_lock(1);
----
0A000 pg_advisory_lock() is not supported
  hint: Lock a row with SELECT … FOR UPDATE, or let commits be validated.

SELECT txid_current();
----
0A000 txid_current() is not supported
  hint: A transaction is named when it commits; gemini.transaction_status tells of one whose outcome was unknown.

SELECT * FROM gemini.sites;
----
local
SELECT 1

-- sets in SELECT lists, side by side
SELECT conname, unnest(conkey), generate_subscripts(conkey, 1) FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 3;
----
item_i_a_id_fkey|3|1
pair_note|1|1
pair_note|2|2
SELECT 3

-- asyncpg, for a type that it does not know
WITH RECURSIVE typeinfo_tree(
    oid, ns, name, kind, basetype, elemtype, elemdelim,
    range_subtype, attrtypoids, attrnames, depth)
AS (
    SELECT
        ti.oid, ti.ns, ti.name, ti.kind, ti.basetype,
        ti.elemtype, ti.elemdelim, ti.range_subtype,
        ti.attrtypoids, ti.attrnames, 0
    FROM
            (
        SELECT
            t.oid                           AS oid,
            ns.nspname                      AS ns,
            t.typname                       AS name,
            t.typtype                       AS kind,
            (CASE WHEN t.typtype = 'd' THEN
                (WITH RECURSIVE typebases(oid, depth) AS (
                    SELECT
                        t2.typbasetype      AS oid,
                        0                   AS depth
                    FROM
                        pg_type t2
                    WHERE
                        t2.oid = t.oid
                    UNION ALL
                    SELECT
                        t2.typbasetype      AS oid,
                        tb.depth + 1        AS depth
                    FROM
                        pg_type t2,
                        typebases tb
                    WHERE
                       tb.oid = t2.oid
                       AND t2.typbasetype != 0
               ) SELECT oid FROM typebases ORDER BY depth DESC LIMIT 1)
               ELSE NULL
            END)                            AS basetype,
            t.typelem                       AS elemtype,
            elem_t.typdelim                 AS elemdelim,
            COALESCE(
                range_t.rngsubtype,
                multirange_t.rngsubtype)    AS range_subtype,
            (CASE WHEN t.typtype = 'c' THEN
                (SELECT
                    array_agg(ia.atttypid ORDER BY ia.attnum)
                FROM
                    pg_attribute ia
                    INNER JOIN pg_class c
                        ON (ia.attrelid = c.oid)
                WHERE
                    ia.attnum > 0 AND NOT ia.attisdropped
                    AND c.reltype = t.oid)
                ELSE NULL
            END)                            AS attrtypoids,
            (CASE WHEN t.typtype = 'c' THEN
                (SELECT
                    array_agg(ia.attname::text ORDER BY ia.attnum)
                FROM
                    pg_attribute ia
                    INNER JOIN pg_class c
                        ON (ia.attrelid = c.oid)
                WHERE
                    ia.attnum > 0 AND NOT ia.attisdropped
                    AND c.reltype = t.oid)
                ELSE NULL
            END)                            AS attrnames
        FROM
            pg_catalog.pg_type AS t
            INNER JOIN pg_catalog.pg_namespace ns ON (
                ns.oid = t.typnamespace)
            LEFT JOIN pg_type elem_t ON (
                t.typlen = -1 AND
                t.typelem != 0 AND
                t.typelem = elem_t.oid
            )
            LEFT JOIN pg_range range_t ON (
                t.oid = range_t.rngtypid
            )
            LEFT JOIN pg_range multirange_t ON (
                t.oid = multirange_t.rngmultitypid
            )
    )
 AS ti
    WHERE
        ti.oid = any('{23,1007,1184}'::oid[])
    UNION ALL
    SELECT
        ti.oid, ti.ns, ti.name, ti.kind, ti.basetype,
        ti.elemtype, ti.elemdelim, ti.range_subtype,
        ti.attrtypoids, ti.attrnames, tt.depth + 1
    FROM
            (
        SELECT
            t.oid                           AS oid,
            ns.nspname                      AS ns,
            t.typname                       AS name,
            t.typtype                       AS kind,
            (CASE WHEN t.typtype = 'd' THEN
                (WITH RECURSIVE typebases(oid, depth) AS (
                    SELECT
                        t2.typbasetype      AS oid,
                        0                   AS depth
                    FROM
                        pg_type t2
                    WHERE
                        t2.oid = t.oid
                    UNION ALL
                    SELECT
                        t2.typbasetype      AS oid,
                        tb.depth + 1        AS depth
                    FROM
                        pg_type t2,
                        typebases tb
                    WHERE
                       tb.oid = t2.oid
                       AND t2.typbasetype != 0
               ) SELECT oid FROM typebases ORDER BY depth DESC LIMIT 1)
               ELSE NULL
            END)                            AS basetype,
            t.typelem                       AS elemtype,
            elem_t.typdelim                 AS elemdelim,
            COALESCE(
                range_t.rngsubtype,
                multirange_t.rngsubtype)    AS range_subtype,
            (CASE WHEN t.typtype = 'c' THEN
                (SELECT
                    array_agg(ia.atttypid ORDER BY ia.attnum)
                FROM
                    pg_attribute ia
                    INNER JOIN pg_class c
                        ON (ia.attrelid = c.oid)
                WHERE
                    ia.attnum > 0 AND NOT ia.attisdropped
                    AND c.reltype = t.oid)
                ELSE NULL
            END)                            AS attrtypoids,
            (CASE WHEN t.typtype = 'c' THEN
                (SELECT
                    array_agg(ia.attname::text ORDER BY ia.attnum)
                FROM
                    pg_attribute ia
                    INNER JOIN pg_class c
                        ON (ia.attrelid = c.oid)
                WHERE
                    ia.attnum > 0 AND NOT ia.attisdropped
                    AND c.reltype = t.oid)
                ELSE NULL
            END)                            AS attrnames
        FROM
            pg_catalog.pg_type AS t
            INNER JOIN pg_catalog.pg_namespace ns ON (
                ns.oid = t.typnamespace)
            LEFT JOIN pg_type elem_t ON (
                t.typlen = -1 AND
                t.typelem != 0 AND
                t.typelem = elem_t.oid
            )
            LEFT JOIN pg_range range_t ON (
                t.oid = range_t.rngtypid
            )
            LEFT JOIN pg_range multirange_t ON (
                t.oid = multirange_t.rngmultitypid
            )
    )
 ti,
        typeinfo_tree tt
    WHERE
        (tt.elemtype IS NOT NULL AND ti.oid = tt.elemtype)
        OR (tt.attrtypoids IS NOT NULL AND ti.oid = any(tt.attrtypoids))
        OR (tt.range_subtype IS NOT NULL AND ti.oid = tt.range_subtype)
        OR (tt.basetype IS NOT NULL AND ti.oid = tt.basetype)
)
SELECT DISTINCT
    *,
    basetype::regtype::text AS basetype_name,
    elemtype::regtype::text AS elemtype_name,
    range_subtype::regtype::text AS range_subtype_name
FROM
    typeinfo_tree
ORDER BY
    depth DESC
----
23|pg_catalog|int4|b|NULL|0|NULL|NULL|NULL|NULL|1|NULL|-|NULL
23|pg_catalog|int4|b|NULL|0|NULL|NULL|NULL|NULL|0|NULL|-|NULL
1007|pg_catalog|_int4|b|NULL|23|,|NULL|NULL|NULL|0|NULL|integer|NULL
1184|pg_catalog|timestamptz|b|NULL|0|NULL|NULL|NULL|NULL|0|NULL|-|NULL
SELECT 4

-- pgjdbc, DatabaseMetaData.getColumns
SELECT * FROM (SELECT n.nspname,c.relname,a.attname,a.atttypid,a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull,a.atttypmod,a.attlen,t.typtypmod,row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, nullif(a.attidentity, '') as attidentity,nullif(a.attgenerated, '') as attgenerated,pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc,dsc.description,t.typbasetype,t.typtype FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) JOIN pg_catalog.pg_attribute a ON (a.attrelid=c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid) LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid=def.adrelid AND a.attnum = def.adnum) LEFT JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) LEFT JOIN pg_catalog.pg_class dc ON (dc.oid=dsc.classoid AND dc.relname='pg_class') LEFT JOIN pg_catalog.pg_namespace dn ON (dc.relnamespace=dn.oid AND dn.nspname='pg_catalog') WHERE c.relkind in ('r','p','v','f','m') and a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'public') c WHERE true ORDER BY nspname,c.relname,attnum
----
public|author|a_id|23|t|-1|4|-1|1|NULL|NULL|nextval('author_a_id_seq'::regclass)|NULL|0|b
public|author|a_fname|1043|f|24|-1|-1|2|NULL|NULL|NULL|NULL|0|b
public|author|a_lname|1043|t|24|-1|-1|3|NULL|NULL|NULL|NULL|0|b
public|author|a_dob|1082|f|-1|4|-1|4|NULL|NULL|NULL|NULL|0|b
public|author|a_bio|25|f|-1|-1|-1|5|NULL|NULL|NULL|NULL|0|b
public|item|i_id|23|t|-1|4|-1|1|NULL|NULL|NULL|NULL|0|b
public|item|i_title|1043|t|64|-1|-1|2|NULL|NULL|NULL|NULL|0|b
public|item|i_a_id|23|f|-1|4|-1|3|NULL|NULL|NULL|NULL|0|b
public|item|i_cost|1700|f|983046|-1|-1|4|NULL|NULL|0.00|NULL|0|b
public|item|i_stock|23|t|-1|4|-1|5|NULL|NULL|0|NULL|0|b
public|item|i_isbn|1042|f|17|-1|-1|6|NULL|NULL|NULL|NULL|0|b
public|item|i_total|20|f|-1|8|-1|7|NULL|s|i_stock * 2|NULL|0|b
public|item|i_pub|1184|f|-1|8|-1|8|NULL|NULL|now()|NULL|0|b
public|item|Odd Name|2950|f|-1|16|-1|9|NULL|NULL|NULL|NULL|0|b
public|note|id|20|t|-1|8|-1|1|a|NULL|NULL|NULL|0|b
public|note|a|23|f|-1|4|-1|2|NULL|NULL|NULL|NULL|0|b
public|note|b|23|f|-1|4|-1|3|NULL|NULL|NULL|NULL|0|b
public|note|body|17|f|-1|-1|-1|4|NULL|NULL|NULL|NULL|0|b
public|note|x|701|f|-1|8|-1|5|NULL|NULL|NULL|NULL|0|b
public|note|y|700|f|-1|4|-1|6|NULL|NULL|NULL|NULL|0|b
public|note|z|21|f|-1|2|-1|7|NULL|NULL|NULL|NULL|0|b
public|note|f|16|f|-1|1|-1|8|NULL|NULL|true|NULL|0|b
public|note|ts|1114|f|-1|8|-1|9|NULL|NULL|NULL|NULL|0|b
public|note|iv|1186|f|-1|16|-1|10|NULL|NULL|NULL|NULL|0|b
public|pair|p|23|t|-1|4|-1|1|NULL|NULL|NULL|NULL|0|b
public|pair|q|23|t|-1|4|-1|2|NULL|NULL|NULL|NULL|0|b
public|pair|r|23|f|-1|4|-1|3|NULL|NULL|NULL|NULL|0|b
SELECT 27
