use super::*;

fn one(text: &str) -> Body {
    let mut all = parse(text).unwrap();
    assert_eq!(all.len(), 1, "{text}");
    all.pop().unwrap().body
}

fn fails(text: &str) -> String {
    let e = parse(text).unwrap_err();
    let place = e.position.map_or(String::new(), |p| format!(" @{p}"));
    format!("{} {}{place}", e.sqlstate, e.message)
}

#[test]
fn statements_are_cut_at_semicolons() {
    let text = "SELECT 1; ; -- a; comment\n SELECT ';' ;";
    let all = parse(text).unwrap();
    let texts: Vec<_> = all.iter().map(|s| &text[s.range.clone()]).collect();
    assert_eq!(texts, ["SELECT 1", "SELECT ';'"]);
    assert!(parse("  /* nothing */ ; ").unwrap().is_empty());
}

#[test]
fn annotations_stand_where_options_stand() {
    let Body::Ddl(ddl) = one(
        "CREATE TABLE item (i_id INT PRIMARY KEY, i_stock INT DEFAULT 0 NOT NULL MERGE DELTA CHECK (i_stock >= 0),
         \"Cost\" NUMERIC(15,2) MERGE LWW, UNIQUE (i_id, i_stock)) ROWS ADD WINS, KEYS TRUSTED",
    ) else {
        panic!()
    };
    let Ddl::CreateTable(table) = *ddl else { panic!() };
    assert_eq!(table.columns[1].merge, Some(gemini_shadow_ops::MergeRule::Delta));
    assert!(table.columns[1].not_null && table.columns[1].default.is_some());
    assert_eq!(table.columns[2].name, "Cost");
    assert_eq!(table.annotations.rows, Some(gemini_shadow_ops::RowRule::AddWins));
    assert!(table.annotations.keys_trusted);
    assert_eq!(table.constraints.len(), 1);
    assert!(matches!(
        one("ALTER TABLE t ALTER COLUMN c SET MERGE MAX, SET ROWS APPEND ONLY, KEYS TRUSTED, ADD COLUMN d INT"),
        Body::Ddl(ddl) if matches!(&*ddl, Ddl::AlterTable { actions, .. } if actions.len() == 3)
    ));
}

#[test]
fn errors_name_their_place() {
    assert_eq!(fails("SELEC 1"), "42601 syntax error at or near \"SELEC\" @1");
    assert_eq!(fails("SELECT 1;\n  FOO bar"), "42601 syntax error at or near \"FOO\" @13");
    assert_eq!(fails("CREATE TABLE t (a INT,)"), "42601 syntax error at or near \")\" @23");
    assert_eq!(fails("SELECT 'abc"), "42601 Unterminated string literal @8");
    assert_eq!(fails("BEGIN foo"), "42601 syntax error at or near \"foo\" @7");
    assert_eq!(fails("SELECT ("), "42601 syntax error at end of input @9");
}

#[test]
fn what_is_not_supported_says_what_to_use() {
    for text in [
        "CREATE TABLE t (LIKE u)",
        "CREATE INDEX ON t (lower(a))",
        "CREATE INDEX ON t (a) WHERE a > 0",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTENSION pgcrypto",
        "GRANT ALL ON t TO u",
        "VACUUM",
        "LOCK TABLE t",
        "CREATE TABLE t (a json)",
        "CREATE TABLE t (a json[])",
        "COPY t FROM '/tmp/x'",
        "ALTER TABLE t ADD UNIQUE USING INDEX i",
    ] {
        let e = parse(text).unwrap_err();
        assert_eq!(e.sqlstate, "0A000", "{text}: {e}");
        assert!(e.hint.is_some(), "{text}");
    }
}

#[test]
fn depth_is_bounded_and_lists_are_not() {
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(fails(&deep).starts_with("54001"));
    let chain = format!("SELECT 1{}", " + 1".repeat(100_000));
    assert!(fails(&chain).starts_with("54001"));
    let unions = format!("SELECT 1{}", " UNION SELECT 1".repeat(10_000));
    assert!(fails(&unions).starts_with("54001"));
    let list = format!("SELECT 1 WHERE 1 IN ({}1)", "1,".repeat(20_000));
    assert_eq!(parse(&list).unwrap().len(), 1);
    let rows = format!("INSERT INTO t VALUES {}(1, -2)", "(1, -2),".repeat(5_000));
    assert_eq!(parse(&rows).unwrap().len(), 1);
}

#[test]
fn session_statements() {
    assert_eq!(
        one("SET gemini.color = 'blue'"),
        Body::Set {
            scope: Scope::Session,
            name: "gemini.color".into(),
            value: SetValue::Text("blue".into())
        }
    );
    assert_eq!(
        one("set local search_path to a, \"B\""),
        Body::Set { scope: Scope::Local, name: "search_path".into(), value: SetValue::Text("a, B".into()) }
    );
    assert_eq!(
        one("SET TIME ZONE 'UTC'"),
        Body::Set { scope: Scope::Session, name: "timezone".into(), value: SetValue::Text("UTC".into()) }
    );
    let Body::Begin(begin) = one("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY") else {
        panic!()
    };
    assert_eq!(begin.modes.isolation, Some(Isolation::Serializable));
    assert_eq!(begin.modes.read_only, Some(true));
    assert!(matches!(
        one("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"),
        Body::SetTransaction { session: true, .. }
    ));
    assert_eq!(one("ROLLBACK TO SAVEPOINT s"), Body::RollbackTo("s".into()));
    assert_eq!(one("COMMIT AND NO CHAIN"), Body::Commit { chain: false });
    assert_eq!(one("SHOW TRANSACTION ISOLATION LEVEL"), Body::Show(Some("transaction_isolation".into())));
    assert!(matches!(one("PREPARE p (int, text) AS SELECT $1, $2"), Body::Prepare(p) if p.types.len() == 2));
    assert!(matches!(one("EXPLAIN (COLOR) UPDATE t SET a = 1"), Body::Explain(e) if e.color));
    assert!(matches!(one("EXPLAIN ANALYZE SELECT 1"), Body::Explain(e) if e.analyze && !e.color));
    assert!(matches!(one("FETCH FORWARD 10 FROM c"), Body::Fetch { count: Some(10), .. }));
}

#[test]
fn copy_in_both_spellings() {
    let Body::Copy(c) = one("COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';', NULL 'x')")
    else {
        panic!()
    };
    assert_eq!(
        (c.format.csv, c.format.header, c.format.delimiter, c.format.null.as_str()),
        (true, true, b';', "x")
    );
    let Body::Copy(c) = one("copy t from stdin csv header delimiter as '|'") else { panic!() };
    assert_eq!((c.format.csv, c.format.header, c.format.delimiter), (true, true, b'|'));
    let Body::Copy(c) = one("COPY (SELECT 1) TO STDOUT") else { panic!() };
    assert_eq!(c.format.delimiter, b'\t');
}
