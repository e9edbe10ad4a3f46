//! Real clients: tokio-postgres (binary, pipelined) and, where it is installed, psql with its catalogue queries.

#![allow(clippy::unwrap_used)] // a test that cannot go on may panic

use std::process::Command;

use gemini_sql::pg::{Limits, serve};
use gemini_sql::testing::LocalHost;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

struct Server {
    port: u16,
    _stop: tokio::sync::watch::Sender<bool>,
}

async fn server() -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, closing) = tokio::sync::watch::channel(false);
    tokio::spawn(serve(listener, LocalHost::ticking(), Limits::default(), closing));
    Server { port, _stop: stop }
}

async fn connect(server: &Server) -> Client {
    let config = format!("host=127.0.0.1 port={} user=u dbname=d", server.port);
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn values_of_every_plain_type_come_back() {
    let server = server().await;
    let client = connect(&server).await;
    client
        .batch_execute(
            "CREATE TABLE v (k int8 PRIMARY KEY, a bool, b int2, c int4, d float4, e float8, f text, g varchar(9), h bytea)",
        )
        .await
        .unwrap();
    let insert = client.prepare("INSERT INTO v VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)").await.unwrap();
    assert_eq!(insert.params()[1], Type::BOOL);
    assert_eq!(insert.params()[7], Type::VARCHAR);
    let none: Option<&[u8]> = None;
    for (k, h) in [(1i64, Some(&[0u8, 255][..])), (2, none)] {
        let done = client
            .execute(&insert, &[&k, &true, &-2i16, &3i32, &1.5f32, &-0.25f64, &"é", &"nine", &h])
            .await
            .unwrap();
        assert_eq!(done, 1);
    }
    let rows = client.query("SELECT * FROM v ORDER BY k", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    let row = &rows[0];
    assert_eq!((row.get::<_, bool>("a"), row.get::<_, i16>("b"), row.get::<_, i32>("c")), (true, -2, 3));
    assert_eq!((row.get::<_, f32>("d"), row.get::<_, f64>("e")), (1.5, -0.25));
    assert_eq!((row.get::<_, &str>("f"), row.get::<_, &str>("g")), ("é", "nine"));
    assert_eq!(row.get::<_, Option<&[u8]>>("h"), Some(&[0u8, 255][..]));
    assert_eq!(rows[1].get::<_, Option<&[u8]>>("h"), None);
    let lists =
        client.query_one("SELECT ARRAY[1, 2], ARRAY['a', 'b'], $1::int[]", &[&vec![3i32, 4]]).await.unwrap();
    assert_eq!(lists.get::<_, Vec<i32>>(0), [1, 2]);
    assert_eq!(lists.get::<_, Vec<String>>(1), ["a", "b"]);
    assert_eq!(lists.get::<_, Vec<i32>>(2), [3, 4]);
    let any = client.query("SELECT k FROM v WHERE k = ANY($1)", &[&vec![2i64, 5]]).await.unwrap();
    assert_eq!(any.len(), 1);
}

#[tokio::test]
async fn array_columns_and_sets() {
    let server = server().await;
    let client = connect(&server).await;
    client
        .batch_execute(
            "CREATE TABLE v (k int8 PRIMARY KEY, a text[], b int8[] NOT NULL MERGE ADD WINS SET, c int4[] NOT NULL)",
        )
        .await
        .unwrap();
    let insert = client.prepare("INSERT INTO v VALUES ($1, $2, $3, $4)").await.unwrap();
    assert_eq!(insert.params()[1..], [Type::TEXT_ARRAY, Type::INT8_ARRAY, Type::INT4_ARRAY]);
    let a = vec![Some("x,y"), None];
    client.execute(&insert, &[&1i64, &a, &vec![3i64, -1, 3], &vec![2i32, 1, 2]]).await.unwrap();
    let row = client.query_one("SELECT * FROM v", &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<Option<String>>>("a"), [Some("x,y".to_owned()), None]);
    assert_eq!(row.get::<_, Vec<i64>>("b"), [-1, 3]);
    assert_eq!(row.get::<_, Vec<i32>>("c"), [2, 1, 2]);
    let change = "UPDATE v SET b = array_remove(b || $1::int8[], $2) RETURNING b";
    let row = client.query_one(change, &[&vec![7i64, 8], &-1i64]).await.unwrap();
    assert_eq!(row.get::<_, Vec<i64>>(0), [3, 7, 8]);
    let found = client.query("SELECT k FROM v WHERE $1 = ANY (b) AND a @> $2", &[&7i64, &vec!["x,y"]]).await;
    assert_eq!(found.unwrap().len(), 1);
}

#[tokio::test]
async fn transactions_portals_and_pipelines() {
    let server = server().await;
    let mut client = connect(&server).await;
    client.batch_execute("CREATE TABLE t (a int PRIMARY KEY)").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    for i in 0..10 {
        transaction.execute("INSERT INTO t VALUES ($1)", &[&i]).await.unwrap();
    }
    let statement = transaction.prepare("SELECT a FROM t ORDER BY a").await.unwrap();
    let portal = transaction.bind(&statement, &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 3).await.unwrap().len(), 3);
    let next = transaction.query_portal(&portal, 3).await.unwrap();
    assert_eq!(next[0].get::<_, i32>(0), 3);
    let nested = transaction_savepoint(transaction).await;
    nested.commit().await.unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 10);
    // Sent together, answered in order.
    let (a, b) = tokio::join!(
        client.query_one("SELECT 1 + $1::int", &[&1i32]),
        client.query_one("SELECT 2 + $1::int", &[&1i32])
    );
    assert_eq!((a.unwrap().get::<_, i32>(0), b.unwrap().get::<_, i32>(0)), (2, 3));
    let error = client.execute("INSERT INTO t VALUES (3)", &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "23505");
    assert_eq!((error.table(), error.constraint()), (Some("t"), Some("t_pkey")));
}

async fn transaction_savepoint(
    mut transaction: tokio_postgres::Transaction<'_>,
) -> tokio_postgres::Transaction<'_> {
    let inner = transaction.savepoint("s").await.unwrap();
    inner.execute("INSERT INTO t VALUES (100)", &[]).await.unwrap();
    assert!(inner.execute("INSERT INTO t VALUES (1)", &[]).await.is_err());
    inner.rollback().await.unwrap();
    transaction
}

#[tokio::test]
async fn cancel_and_unknown_types() {
    let server = server().await;
    let client = connect(&server).await;
    let token = client.cancel_token();
    let (result, cancelled) = tokio::join!(
        client.query(
            "SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b",
            &[]
        ),
        async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            token.cancel_query(NoTls).await
        }
    );
    cancelled.unwrap();
    assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
    // A type the driver does not know by its oid is looked up in pg_type.
    let row = client.query_one("SELECT 'pg_class'::regclass, 5::oid", &[]).await.unwrap();
    assert_eq!(row.columns()[0].type_().name(), "regclass");
}

/// psql's own questions; nothing to do where it is not installed.
#[tokio::test(flavor = "multi_thread")]
async fn psql_describes_everything() {
    let server = server().await;
    let psql = |commands: &'static [&'static str]| {
        let port = server.port.to_string();
        tokio::task::spawn_blocking(move || {
            let mut psql = Command::new("psql");
            psql.args(["-X", "-h", "127.0.0.1", "-p", &port, "-U", "u", "-d", "d", "-v", "ON_ERROR_STOP=1"]);
            psql.env("PGOPTIONS", "-c client_min_messages=warning").env("LC_ALL", "C");
            commands.iter().for_each(|c| {
                psql.args(["-c", c]);
            });
            psql.output().map(|o| {
                (
                    o.status.success(),
                    String::from_utf8_lossy(&o.stdout).into_owned(),
                    String::from_utf8_lossy(&o.stderr).into_owned(),
                )
            })
        })
    };
    let Ok((ok, _, errors)) = psql(&[
        "CREATE TABLE p (id serial PRIMARY KEY, name text MERGE LWW) ROWS APPEND ONLY",
        "CREATE TABLE c (id int PRIMARY KEY, p_id int REFERENCES p ON DELETE NO ACTION, n int NOT NULL DEFAULT 0 CHECK (n >= 0))",
        "CREATE INDEX c_n ON c (n DESC)",
        "INSERT INTO p (name) VALUES ('a')",
    ])
    .await
    .unwrap() else {
        return;
    };
    assert!(ok, "{errors}");
    let (ok, out, errors) = psql(&[
        "\\d",
        "\\d p",
        "\\d c",
        "\\d+ p",
        "\\d c_n",
        "\\d p_id_seq",
        "\\dt+",
        "\\di",
        "\\ds",
        "\\l",
        "\\dn",
        "\\du",
        "\\df",
        "\\dx",
        "\\dT",
        "\\dp",
        "\\db",
        "\\dC",
        "\\conninfo",
        "\\copy p TO STDOUT CSV HEADER",
    ])
    .await
    .unwrap()
    .unwrap();
    assert!(ok, "{errors}");
    for expected in [
        "nextval('p_id_seq'::regclass)",
        "\"c_pkey\" PRIMARY KEY, btree (id)",
        "\"c_n\" btree (n DESC)",
        "\"c_n_check\" CHECK (n >= 0)",
        "\"c_p_id_fkey\" FOREIGN KEY (p_id) REFERENCES p(id)",
        "TABLE \"c\" CONSTRAINT \"c_p_id_fkey\" FOREIGN KEY (p_id) REFERENCES p(id)",
        "MERGE LWW",
        "ROWS APPEND ONLY",
        "Owned by: public.p.id",
        "id,name\n1,a",
    ] {
        assert!(out.contains(expected), "{expected} is not in:\n{out}");
    }
}

/// What pg_dump says of one server loads into another: the same rows, and ids that go on above them.
#[tokio::test]
async fn pg_dump_makes_a_dump_that_loads() {
    let (from, to) = (server().await, server().await);
    let run = |program: &'static str, port: u16, more: Vec<String>| {
        tokio::task::spawn_blocking(move || {
            let mut command = Command::new(program);
            command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "u", "-d", "d"]).args(more);
            command.env("PGOPTIONS", "-c client_min_messages=warning").env("LC_ALL", "C");
            command.output().map(|o| {
                assert!(o.status.success(), "{program}: {}", String::from_utf8_lossy(&o.stderr));
                String::from_utf8_lossy(&o.stdout).into_owned()
            })
        })
    };
    let psql = |port, sql: &str| {
        run("psql", port, ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql].map(str::to_owned).to_vec())
    };
    let Ok(dump) = run("pg_dump", from.port, Vec::new()).await.unwrap() else { return };
    assert!(!dump.contains("gemini."), "nothing of the system's own: {dump}");
    psql(
        from.port,
        "CREATE TABLE p (id serial PRIMARY KEY, \"Name x\" text NOT NULL DEFAULT 'it''s', UNIQUE (\"Name x\"));
         CREATE TABLE c (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE, n numeric(9,3) CHECK (n > -5), twice numeric GENERATED ALWAYS AS (n * 2) STORED, t timestamptz);
         CREATE INDEX c_two ON c (t DESC, n);
         CREATE SEQUENCE lone START 100 INCREMENT -5 MINVALUE -1000 MAXVALUE 100",
    )
    .await
    .unwrap()
    .unwrap();
    psql(from.port, "INSERT INTO p DEFAULT VALUES; INSERT INTO p (\"Name x\") VALUES (E'tab\\tand\\nline')")
        .await
        .unwrap()
        .unwrap();
    psql(
        from.port,
        "INSERT INTO c (p, n, t) SELECT id, id * 1.5, '2026-07-01 12:00+02' FROM p; SELECT nextval('lone')",
    )
    .await
    .unwrap()
    .unwrap();
    psql(from.port, "ALTER TABLE p SET ROWS APPEND ONLY").await.unwrap().unwrap();

    let dump = run("pg_dump", from.port, Vec::new()).await.unwrap().unwrap();
    let file = std::env::temp_dir().join(format!("gemini-dump-{}-{}.sql", std::process::id(), from.port));
    std::fs::write(&file, &dump).unwrap();
    let load = ["-Xq", "-v", "ON_ERROR_STOP=1", "-f", file.to_str().unwrap()].map(str::to_owned).to_vec();
    let loaded = run("psql", to.port, load).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    loaded.unwrap();
    for look in ["SELECT * FROM p ORDER BY id", "SELECT * FROM c ORDER BY id", "\\d p", "\\d c", "\\ds"] {
        let (old, new) = (psql(from.port, look).await.unwrap(), psql(to.port, look).await.unwrap());
        // Names of types in stored expressions are printed in capitals.
        assert_eq!(old.unwrap().to_lowercase(), new.unwrap().to_lowercase(), "{look}");
    }
    let fresh =
        psql(to.port, "INSERT INTO p (\"Name x\") VALUES ('new') RETURNING id > (SELECT max(id) FROM p)");
    assert_eq!(fresh.await.unwrap().unwrap(), "t\n");
}
