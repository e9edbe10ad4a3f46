//! Sessions over a site of one in memory: transactions, schema changes, settings, sequences.

use gemini_sql::session::{Session, Shared};
use gemini_sql::testing::{LocalHost, run};

fn session() -> Session {
    Session::new(Shared::new(LocalHost::new()), "tester", "test", 1)
}

/// Runs each line; every answer must be what follows it.
fn script(session: &mut Session, steps: &[(&str, &str)]) {
    for (text, expected) in steps {
        let answer = run(session, text);
        let answer: Vec<&str> = answer.lines().filter(|l| !l.starts_with("Notice:")).collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let trimmed: Vec<&str> = answer.iter().map(|l| l.trim()).collect();
        assert_eq!(trimmed, expected, "after: {text}");
    }
}

#[test]
fn tables_are_created_changed_and_dropped() {
    let mut s = session();
    script(
        &mut s,
        &[
            (
                "CREATE TABLE a (id serial PRIMARY KEY, n int NOT NULL DEFAULT 0 CHECK (n >= 0), t text)",
                "CREATE TABLE",
            ),
            ("CREATE TABLE a (x int)", "42P07 relation \"a\" already exists"),
            ("CREATE TABLE IF NOT EXISTS a (x int)", "CREATE TABLE"),
            ("CREATE TABLE b (a_id int REFERENCES a ON DELETE CASCADE, x int)", "CREATE TABLE"),
            (
                "DROP TABLE a",
                "2BP01 cannot drop table a because other objects depend on it
                detail: constraint b_a_id_fkey on table b depends on table a
                hint: Use DROP ... CASCADE to drop the dependent objects too.",
            ),
            ("ALTER TABLE a RENAME COLUMN t TO txt", "ALTER TABLE"),
            ("ALTER TABLE a ALTER COLUMN n SET MERGE DELTA", "ALTER TABLE"),
            ("ALTER TABLE a ALTER COLUMN txt SET MERGE LWW, SET ROWS APPEND ONLY", "ALTER TABLE"),
            ("CREATE INDEX ON a (txt, n DESC)", "CREATE INDEX"),
            ("ALTER INDEX a_txt_n_idx RENAME TO i", "ALTER INDEX"),
            ("DROP INDEX i", "DROP INDEX"),
            ("DROP INDEX i", "42704 index \"i\" does not exist"),
            (
                "DROP SEQUENCE a_id_seq",
                "2BP01 cannot drop sequence a_id_seq because other objects depend on it
                detail: default value for column id of table a depends on sequence a_id_seq
                hint: Use DROP ... CASCADE to drop the dependent objects too.",
            ),
            ("DROP TABLE a, b", "DROP TABLE"),
            ("DROP TABLE IF EXISTS a", "DROP TABLE"),
        ],
    );
}

#[test]
fn a_block_fails_as_a_whole_and_savepoints_bring_it_back() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("BEGIN", "BEGIN"),
            ("CREATE TABLE t (a int PRIMARY KEY)", "CREATE TABLE"),
            ("SAVEPOINT s", "SAVEPOINT"),
            ("CREATE TABLE t (a int)", "42P07 relation \"t\" already exists"),
            (
                "CREATE TABLE u (a int)",
                "25P02 current transaction is aborted, commands ignored until end of transaction block",
            ),
            ("ROLLBACK TO s", "ROLLBACK"),
            ("CREATE TABLE u (a int)", "CREATE TABLE"),
            ("COMMIT", "COMMIT"),
            ("DROP TABLE t, u", "DROP TABLE"),
            ("BEGIN; CREATE TABLE t (a int); ROLLBACK", "BEGIN\nCREATE TABLE\nROLLBACK"),
            ("DROP TABLE t", "42P01 table \"t\" does not exist"),
            ("COMMIT", "Warning: there is no transaction in progress\nCOMMIT"),
        ],
    );
}

#[test]
fn settings_follow_their_transactions() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("SHOW gemini.color", "auto\nSHOW"),
            ("SET gemini.color = red", "SET"),
            ("BEGIN; SET LOCAL gemini.color = 'blue'; SHOW gemini.color", "blue\nBEGIN\nSET\nSHOW"),
            ("COMMIT; SHOW gemini.color", "red\nCOMMIT\nSHOW"),
            ("BEGIN; SET gemini.color = auto; ROLLBACK", "BEGIN\nSET\nROLLBACK"),
            ("SHOW gemini.color", "red\nSHOW"),
            ("RESET ALL", "RESET"),
            ("SHOW gemini.color", "auto\nSHOW"),
            ("SHOW gemini.site", "local\nSHOW"),
            ("SET no.such = 1", "42704 unrecognized configuration parameter \"no.such\""),
            (
                "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SHOW transaction_isolation",
                "serializable\nBEGIN\nSHOW",
            ),
            ("CREATE TABLE t (a int)", "25006 cannot change the schema in a read-only transaction"),
            ("ROLLBACK", "ROLLBACK"),
        ],
    );
}

#[test]
fn a_refusal_by_certification_is_tried_again_after_growing_pauses() {
    let host = LocalHost::new();
    let mut s = Session::new(Shared::new(host.clone()), "tester", "test", 1);
    run(&mut s, "CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 1)");
    host.refuse(12);
    assert_eq!(run(&mut s, "UPDATE t SET b = b + 1"), "UPDATE 1\n");
    assert_eq!(run(&mut s, "SELECT b FROM t"), "2\nSELECT 1\n");
    let pauses = host.pauses();
    let mut most = 2_000;
    for pause in &pauses {
        assert!((most / 2..=most).contains(pause), "{pauses:?}");
        most = (most * 2).min(200_000);
    }
    assert_eq!(pauses.len(), 12);
    assert!(pauses[8..].windows(2).any(|p| p[0] != p[1]), "no chance in {pauses:?}");

    // In the end the client is told, within the time that the statement has.
    host.refuse(u32::MAX);
    assert!(run(&mut s, "UPDATE t SET b = b + 1").starts_with("40001 "));
    run(&mut s, "SET statement_timeout = 50");
    let before = host.pauses().len();
    assert!(run(&mut s, "UPDATE t SET b = b + 1").starts_with("40001 "));
    let spent: u64 = host.pauses()[before..].iter().sum();
    assert!(spent <= 50_000, "{spent}");
}

#[test]
fn a_commit_that_was_interfered_with_is_run_anew() {
    let host = LocalHost::new();
    let mut s = Session::new(Shared::new(host.clone()), "tester", "test", 1);
    host.interfere(3);
    assert_eq!(
        run(&mut s, "CREATE TABLE t (a int PRIMARY KEY MERGE STRICT)").lines().last(),
        Some("CREATE TABLE")
    );
    host.interfere(1);
    script(
        &mut s,
        &[
            ("BEGIN", "BEGIN"),
            ("DROP TABLE t", "DROP TABLE"),
            (
                "COMMIT",
                "40001 could not serialize access due to a concurrent change
                detail: Changed since it was read: the schema.
                hint: Run the transaction again.",
            ),
            ("DROP TABLE t", "DROP TABLE"),
        ],
    );
}

#[test]
fn declarations_say_what_they_make_red() {
    let mut s = session();
    let answer = run(&mut s, "CREATE TABLE t (a int PRIMARY KEY, n int NOT NULL, u text UNIQUE)");
    let notices: Vec<&str> = answer.lines().filter(|l| l.starts_with("Notice:")).collect();
    assert_eq!(
        notices,
        [
            "Notice: inserts into and deletes from \"t\" are red: its rows are strict",
            "Notice: updates of \"t\".\"n\" are red: the column is strict",
            "Notice: updates of \"t\".\"u\" are red: the column is strict",
            "Notice: inserts into \"t\" and updates of its unique key \"t_u_key\" are red: another site might take the same value",
        ]
    );
    let answer = run(
        &mut s,
        "CREATE TABLE b (a bigserial PRIMARY KEY, n int NOT NULL MERGE DELTA, t text MERGE LWW) ROWS APPEND ONLY",
    );
    assert_eq!(answer, "CREATE TABLE\n", "nothing ordinary is red");
}

#[test]
fn the_first_values_of_two_sequences_in_one_block() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("CREATE TABLE p (id serial PRIMARY KEY, n text)", "CREATE TABLE"),
            ("CREATE TABLE c (id serial PRIMARY KEY, p_id int REFERENCES p)", "CREATE TABLE"),
            ("BEGIN", "BEGIN"),
            ("INSERT INTO p (n) VALUES ('x') RETURNING id", "1\nINSERT 0 1"),
            ("INSERT INTO c (p_id) VALUES (lastval()) RETURNING id, p_id", "1|1\nINSERT 0 1"),
            ("SELECT currval('p_id_seq'), currval('c_id_seq')", "1|1\nSELECT 1"),
            ("COMMIT", "COMMIT"),
            ("SELECT p.n, c.id FROM p JOIN c ON c.p_id = p.id", "x|1\nSELECT 1"),
        ],
    );
}

#[test]
fn a_closed_sequence_loads_like_a_dump_and_opens_above_it() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("CREATE TABLE t (id serial PRIMARY KEY, n int)", "CREATE TABLE"),
            ("INSERT INTO t VALUES (10, 1), (42, 2)", "INSERT 0 2"),
            ("SELECT setval('t_id_seq', 50)", "50\nSELECT 1"),
            ("INSERT INTO t (n) VALUES (3) RETURNING id", "51\nINSERT 0 1"),
            ("SELECT setval('t_id_seq', 99)", "0A000 setval of the open sequence \"t_id_seq\" is not supported
                hint: Sites already mint from it without asking each other: no value is ever minted twice, so there is nothing to set. setval works before the first nextval."),
            ("INSERT INTO t VALUES (11, 4)", "INSERT 0 1"),
            ("SELECT nextval('nope')", "42P01 relation \"nope\" does not exist"),
            ("SELECT currval('t_id_seq'), lastval()", "51|51\nSELECT 1"),
        ],
    );
}

#[test]
fn constraints_are_checked_against_the_rows_that_are_there() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("CREATE TABLE t (a int PRIMARY KEY, b int, c int)", "CREATE TABLE"),
            ("INSERT INTO t VALUES (1, 5, NULL), (2, 5, 7)", "INSERT 0 2"),
            (
                "ALTER TABLE t ADD UNIQUE (b)",
                "23505 could not create unique index \"t_b_key\"\ndetail: Key (b) is duplicated.",
            ),
            (
                "ALTER TABLE t ALTER COLUMN c SET NOT NULL",
                "23502 column \"c\" of relation \"t\" contains null values",
            ),
            (
                "ALTER TABLE t ADD CHECK (c > 7)",
                "23514 check constraint \"t_c_check\" of relation \"t\" is violated by some row",
            ),
            (
                "ALTER TABLE t ADD FOREIGN KEY (b) REFERENCES t",
                "23503 insert or update on table \"t\" violates foreign key constraint \"t_b_fkey\"\ndetail: Some row has no row in table \"t\".",
            ),
            (
                "ALTER TABLE t ADD COLUMN d int NOT NULL",
                "23502 column \"d\" of relation \"t\" contains null values",
            ),
            ("ALTER TABLE t ADD COLUMN d int NOT NULL DEFAULT 3 + 4", "ALTER TABLE"),
            ("SELECT d FROM t WHERE a = 1", "7\nSELECT 1"),
            (
                "ALTER TABLE t ADD CHECK (d BETWEEN 1 AND 7 AND nope > 1)",
                "42703 column \"nope\" does not exist",
            ),
            (
                "ALTER TABLE t ADD CHECK (d <= random())",
                "42P17 functions in a check constraint must be immutable: random is not",
            ),
            (
                "ALTER TABLE t DROP COLUMN a",
                "0A000 dropping \"a\", which is in the primary key is not supported
                hint: Rows are addressed by their primary key: create a new table and copy the rows.",
            ),
        ],
    );
}

#[test]
fn a_primary_key_can_be_added_as_dumps_do() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("CREATE TABLE t (a int, b text)", "CREATE TABLE"),
            ("INSERT INTO t VALUES (1, 'x'), (2, 'y')", "INSERT 0 2"),
            ("ALTER TABLE ONLY t ADD CONSTRAINT t_pkey PRIMARY KEY (a)", "ALTER TABLE"),
            ("SELECT * FROM t ORDER BY a", "1|x\n2|y\nSELECT 2"),
            (
                "INSERT INTO t VALUES (1, 'z') ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *",
                "1|z\nINSERT 0 1",
            ),
            (
                "ALTER TABLE t ADD PRIMARY KEY (b)",
                "42P16 multiple primary keys for table \"t\" are not allowed",
            ),
        ],
    );
}

#[test]
fn blue_is_an_assertion() {
    let mut s = session();
    script(
        &mut s,
        &[
            (
                "CREATE TABLE t (id bigserial PRIMARY KEY, n int NOT NULL MERGE DELTA, s int) ROWS APPEND ONLY",
                "CREATE TABLE",
            ),
            ("INSERT INTO t (n) VALUES (1)", "INSERT 0 1"),
            ("SET gemini.color = 'blue'", "SET"),
            ("INSERT INTO t (n) VALUES (1)", "INSERT 0 1"),
            ("UPDATE t SET n = n + 1", "UPDATE 2"),
        ],
    );
    let refused = run(&mut s, "UPDATE t SET s = 1");
    assert!(refused.starts_with("55000 "), "{refused}");
    assert!(refused.contains("t.s"), "names the column: {refused}");
}

#[test]
fn colours_are_explained_without_effects() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("CREATE TABLE t (id bigserial PRIMARY KEY, n int NOT NULL MERGE DELTA CHECK (n >= 0), s int) ROWS APPEND ONLY", "CREATE TABLE"),
            ("EXPLAIN (COLOR) INSERT INTO t (n) VALUES (1)", "red, once
                sequence \"t_id_seq\" has not been opened yet: its first nextval anywhere is one red entry that opens it
                hint: SELECT nextval(…) once, and explain again
                EXPLAIN"),
            ("INSERT INTO t (n) VALUES (1)", "INSERT 0 1"),
            ("EXPLAIN (COLOR) INSERT INTO t (n) VALUES (1)", "blue\nEXPLAIN"),
            ("EXPLAIN (COLOR) DROP TABLE t", "red\nschema changes are ordered\nEXPLAIN"),
            ("EXPLAIN (COLOR) UPDATE t SET n = n + 1", "blue\nEXPLAIN"),
            ("SELECT n FROM t", "1\nSELECT 1"),
        ],
    );
    let red = run(&mut s, "EXPLAIN (COLOR) UPDATE t SET s = 1");
    assert!(red.starts_with("red\n") && red.contains("SET MERGE LWW"), "{red}");
}

#[test]
fn a_foreign_keys_index_is_not_made_twice() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("CREATE TABLE p (id int PRIMARY KEY)", "CREATE TABLE"),
            ("CREATE TABLE c (id int PRIMARY KEY, p_id int REFERENCES p)", "CREATE TABLE"),
            ("CREATE INDEX mine ON c (p_id)", "CREATE INDEX"),
            ("SELECT indexname FROM pg_indexes WHERE tablename = 'c' ORDER BY 1", "c_pkey\nmine\nSELECT 2"),
            (
                "DROP INDEX mine",
                "2BP01 cannot drop index mine because foreign key c_p_id_fkey finds its rows by it
                hint: Drop the foreign key first.",
            ),
        ],
    );
}

#[test]
fn a_transaction_sees_the_indexes_it_makes() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("CREATE TABLE t (a int PRIMARY KEY, b int)", "CREATE TABLE"),
            ("INSERT INTO t VALUES (1, 10), (2, 20)", "INSERT 0 2"),
            ("BEGIN", "BEGIN"),
            ("INSERT INTO t VALUES (3, 30)", "INSERT 0 1"),
            ("CREATE UNIQUE INDEX tb ON t (b)", "CREATE INDEX"),
            ("SELECT a FROM t WHERE b = 30 OR b = 10 ORDER BY a", "1\n3\nSELECT 2"),
            ("SAVEPOINT s", "SAVEPOINT"),
            (
                "INSERT INTO t VALUES (4, 30)",
                "23505 duplicate key value violates unique constraint \"tb\"\ndetail: Key (b)=(30) already exists.",
            ),
            ("ROLLBACK TO s", "ROLLBACK"),
            (
                "INSERT INTO t VALUES (4, 10)",
                "23505 duplicate key value violates unique constraint \"tb\"\ndetail: Key (b)=(10) already exists.",
            ),
            ("ROLLBACK TO s", "ROLLBACK"),
            ("INSERT INTO t VALUES (4, 40)", "INSERT 0 1"),
            ("COMMIT", "COMMIT"),
            ("SELECT a FROM t WHERE b = 40", "4\nSELECT 1"),
            (
                "BEGIN; CREATE TABLE u (a int PRIMARY KEY, b int); INSERT INTO u VALUES (1, 1); CREATE INDEX ON u (b); SELECT a FROM u WHERE b = 1",
                "1\nBEGIN\nCREATE TABLE\nINSERT 0 1\nCREATE INDEX\nSELECT 1",
            ),
            ("COMMIT", "COMMIT"),
            ("SELECT a FROM u WHERE b = 1", "1\nSELECT 1"),
        ],
    );
}

#[test]
fn statements_wait_for_another_sites_frontier_and_fail_with_what_is_lacking() {
    let mut s = session();
    script(
        &mut s,
        &[
            ("CREATE TABLE t (a int PRIMARY KEY)", "CREATE TABLE"),
            ("SHOW gemini.frontier", "(; 1)\nSHOW"),
            ("SET gemini.wait_for = '(; 1)'", "SET"),
            ("SELECT count(*) FROM t", "0\nSELECT 1"),
            ("SET gemini.wait_for = '(2:1; 1)'", "SET"),
            ("SET gemini.wait_timeout = '20ms'", "SET"),
            (
                "SELECT count(*) FROM t",
                "57P03 this site has applied (; 1), not yet the (2:1; 1) of gemini.wait_for
                hint: Wait longer (gemini.wait_timeout), ask for less, or read at another site; gemini.sites shows who is connected.",
            ),
            ("INSERT INTO t VALUES (1)", "57P03 this site has applied (; 1), not yet the (2:1; 1) of gemini.wait_for
                hint: Wait longer (gemini.wait_timeout), ask for less, or read at another site; gemini.sites shows who is connected."),
            ("RESET gemini.wait_for", "RESET"),
            ("BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN"),
            ("SELECT count(*) FROM t", "0\nSELECT 1"),
            ("SET gemini.wait_for = '(2:1; 1)'", "SET"),
            (
                "SELECT count(*) FROM t",
                "25001 the transaction's snapshot covers (; 1), not the (2:1; 1) of gemini.wait_for
                hint: SET gemini.wait_for before the transaction's first statement.",
            ),
            ("ROLLBACK", "ROLLBACK"),
            ("SELECT count(*) FROM t", "0\nSELECT 1"),
            (
                "SET gemini.wait_for = 'yesterday'",
                "22023 invalid value for parameter \"gemini.wait_for\": \"yesterday\"
                hint: a frontier reads like (1:13 2:8; 82): a count of blue transactions per site, and a red index.",
            ),
            ("SET gemini.wait_for = ''", "SET"),
        ],
    );
}

#[test]
fn a_bound_on_staleness_holds_or_fails() {
    let host = LocalHost::new();
    let mut s = Session::new(Shared::new(host.clone()), "tester", "test", 1);
    host.set_age(700_000);
    script(
        &mut s,
        &[
            ("SELECT 1", "1\nSELECT 1"),
            ("SET gemini.max_staleness = '1s'", "SET"),
            ("SELECT 1", "1\nSELECT 1"),
            ("SET gemini.max_staleness = '500ms'", "SET"),
            ("SET gemini.wait_timeout = '20ms'", "SET"),
            (
                "SELECT 1",
                "57P03 this site's state may be 700 ms old (the oldest news are from elsewhere), more than the 500 ms of gemini.max_staleness
                hint: Wait longer (gemini.wait_timeout), ask for less, or read at another site; gemini.sites shows who is connected.",
            ),
        ],
    );
    host.set_age(0);
    script(&mut s, &[("SELECT 1", "1\nSELECT 1")]);
}
