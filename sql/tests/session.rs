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
