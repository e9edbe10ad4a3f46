//! SQL text through parser and planner, and whole connections of the PostgreSQL protocol.

use std::cell::LazyCell;
use std::sync::{Arc, LazyLock};

use gemini_shadow_ops::Schema;
use gemini_sql::catalog::Catalog;
use gemini_sql::host::Host;
use gemini_sql::parse::{Body, parse};
use gemini_sql::pg::{Limits, serve_stream};
use gemini_sql::plan::{PlanEnv, plan};
use gemini_sql::session::{Session, Shared};
use gemini_sql::testing::{LocalHost, run};

/// A site of one with TPC-W's tables and their annotations.
fn shop() -> Arc<LocalHost> {
    let host = LocalHost::new();
    let mut session = Session::new(Shared::new(host.clone()), "gemini", "gemini", 1);
    for text in [
        include_str!("../../../bench/sql/tpcw-schema.sql"),
        include_str!("../../../bench/sql/tpcw-annotations.sql"),
    ] {
        run(&mut session, text);
    }
    host
}

/// TPC-W's schema.
pub(super) fn schema() -> &'static Arc<Schema> {
    static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
        let schema = shop().snapshot().schema().clone();
        assert_eq!(schema.tables.len(), 10, "TPC-W has ten tables");
        schema
    });
    &SCHEMA
}

/// Parses a text, plans each of its statements on TPC-W's tables, and explains the plans. The thread must have
/// [`gemini_sql::pg::STACK`].
pub fn fuzz_sql(bytes: &[u8]) {
    thread_local! {
        static CATALOG: LazyCell<Catalog> = LazyCell::new(|| Catalog::new(shop()));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let statements = match parse(text) {
        Ok(statements) => statements,
        Err(error) => return assert_eq!(error.sqlstate.to_string().len(), 5),
    };
    CATALOG.with(|catalog| {
        for statement in &statements {
            assert!(text.get(statement.range.clone()).is_some(), "a statement has its place in the text");
            let Body::Dml(dml) = &statement.body else { continue };
            let virtuals = &**catalog;
            let env =
                PlanEnv { schema: schema(), virtuals, parameter_types: &[], text, public_in_path: true };
            match plan(dml, &env) {
                Ok(prepared) => assert!(!prepared.explain().is_empty()),
                Err(error) => assert_eq!(error.sqlstate.to_string().len(), 5),
            }
        }
    });
}

/// One client who says these bytes and leaves, at an empty database. The thread must have [`gemini_sql::pg::STACK`].
pub fn fuzz_protocol(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let limits =
        Limits { settings: vec![("statement_timeout".to_owned(), "500ms".to_owned())], ..Limits::default() };
    let client = tokio::io::join(bytes, tokio::io::sink());
    // How the connection ended is the client's to know; that it does is the point.
    let _ = runtime.block_on(serve_stream(client, LocalHost::ticking(), &limits));
}
