//! A PostgreSQL-compatible server over a database in memory: `cargo run -p gemini-sql --example server -- 127.0.0.1:5499`,
//! then `psql -h 127.0.0.1 -p 5499`. For trying SQL and clients without a cluster; everything is forgotten at the end.

use gemini_sql::pg::{Limits, serve};
use gemini_sql::testing::LocalHost;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5499".to_string());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(gemini_sql::pg::STACK)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&address).await?;
        println!("listening on {address}");
        let (_stop, closing) = tokio::sync::watch::channel(false);
        serve(listener, LocalHost::ticking(), Limits::default(), closing).await
    })
}
