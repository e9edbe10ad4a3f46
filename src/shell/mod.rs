//! `gemini shell`: a small interactive client, so that a newcomer needs nothing but this program.
//!
//! Statements end with a semicolon; several lines make one. Results print as psql prints them, notices and errors
//! with their SQLSTATE, detail, hint and position. Ctrl-C cancels what runs. It keeps no history, edits no line and
//! formats nothing else: for that there is psql, which speaks to a site as to any PostgreSQL.
//!
//! Read from a pipe (or given `-c`), it stops at the first error and says so by its exit code.

mod catalogue;
mod split;
mod table;

use std::future::poll_fn;
use std::io::{BufRead, IsTerminal, Write};
use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

/// Why the shell ended badly.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ShellError {
    #[error(
        "cannot connect to {site} at {address}: {cause}; is the site running? `gemini start --site {site}`"
    )]
    Connect { site: String, address: SocketAddr, cause: String },
    #[error("the statement failed")]
    Statement,
    #[error("the connection is closed: {0}")]
    Closed(String),
}

/// Connects to a site and converses until the input ends or `\q`.
pub async fn run(site: &str, address: SocketAddr, command: Option<&str>) -> Result<(), ShellError> {
    let mut config = tokio_postgres::Config::new();
    config.host(address.ip().to_string()).port(address.port()).user("gemini").dbname("gemini");
    config.application_name("gemini shell");
    let connect = |e: tokio_postgres::Error| ShellError::Connect {
        site: site.to_owned(),
        address,
        cause: root_cause(&e),
    };
    let (client, mut connection) = config.connect(NoTls).await.map_err(connect)?;
    let pump = tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notice(notice)) => {
                    eprintln!("{}:  {}", notice.severity(), notice.message());
                    note("DETAIL", notice.detail());
                    note("HINT", notice.hint());
                }
                Ok(_) => {}
                Err(e) => return root_cause(&e),
            }
        }
        "the server ended it".to_owned()
    });
    let talk = converse(site, &client, command).await;
    if client.is_closed() {
        return Err(ShellError::Closed(pump.await.unwrap_or_default()));
    }
    talk
}

async fn converse(site: &str, client: &Client, command: Option<&str>) -> Result<(), ShellError> {
    let mut lines = match command {
        Some(text) => {
            let (sender, receiver) = mpsc::channel(1);
            // One line into an empty channel of one.
            let _ = sender.try_send(format!("{text}\n;"));
            receiver
        }
        None => read_lines(),
    };
    let interactive = command.is_none() && std::io::stdin().is_terminal();
    if interactive {
        println!("gemini shell, connected to {site}. Statements end with ;   \\? for help   \\q to leave");
    }
    let mut pending = String::new();
    loop {
        if interactive {
            prompt(site, &pending);
        }
        let Some(line) = lines.recv().await else { break };
        if split::is_blank(&pending) && line.trim_start().starts_with('\\') {
            pending.clear();
            match line.trim() {
                "\\q" => return Ok(()),
                "\\?" | "\\h" | "\\help" => println!("{HELP}"),
                other => backslash(client, other, interactive).await?,
            }
            continue;
        }
        pending.push_str(&line);
        pending.push('\n');
        while let Some(end) = split::statement_end(&pending) {
            let rest = pending.split_off(end);
            let statement = std::mem::replace(&mut pending, rest);
            if !split::is_blank(statement.trim_end_matches([';', ' ', '\n'])) {
                settle(execute(client, &statement).await, interactive, client)?;
            }
        }
    }
    if interactive {
        println!();
    }
    if !split::is_blank(&pending) {
        settle(execute(client, &pending).await, interactive, client)?;
    }
    Ok(())
}

const HELP: &str = "\
\\d            tables and sequences        \\d NAME   a table's columns, indexes and constraints
\\dt  \\di  \\l  tables, indexes, databases   \\q        leave
EXPLAIN (COLOR) UPDATE …   blue or red, and why
SET gemini.color = 'blue'; fails at once what would be red
More (history, completion, \\copy): psql -h 127.0.0.1 -p PORT -U gemini gemini";

fn prompt(site: &str, pending: &str) {
    let mark = if split::is_blank(pending) { "=>" } else { "->" };
    print!("{site}{mark} ");
    // A terminal that cannot be written to cannot be told so either.
    let _ = std::io::stdout().flush();
}

/// Lines of standard input, read on a thread of their own: a terminal cannot be awaited.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Interactively an error is printed and the next statement awaited; else it ends the shell.
fn settle(
    outcome: Result<(), tokio_postgres::Error>,
    interactive: bool,
    client: &Client,
) -> Result<(), ShellError> {
    let Err(error) = outcome else { return Ok(()) };
    print_error(&error);
    if client.is_closed() {
        return Err(ShellError::Closed(root_cause(&error)));
    }
    if interactive { Ok(()) } else { Err(ShellError::Statement) }
}

async fn backslash(client: &Client, command: &str, interactive: bool) -> Result<(), ShellError> {
    match catalogue::queries(command.trim_end_matches(';')) {
        Ok(queries) => {
            for (title, query) in queries {
                println!("{title}");
                settle(execute(client, &query).await, interactive, client)?;
            }
            Ok(())
        }
        Err(message) => {
            eprintln!("{message}");
            if interactive { Ok(()) } else { Err(ShellError::Statement) }
        }
    }
}

/// Runs a statement and prints its results; Ctrl-C asks the site to cancel it.
async fn execute(client: &Client, statement: &str) -> Result<(), tokio_postgres::Error> {
    let cancel = client.cancel_token();
    let running = client.simple_query(statement);
    tokio::pin!(running);
    let messages = loop {
        tokio::select! {
            outcome = &mut running => break outcome?,
            pressed = tokio::signal::ctrl_c() => {
                if pressed.is_ok() {
                    eprintln!("cancelling");
                    cancel.cancel_query(NoTls).await?;
                }
            }
        }
    };
    print_results(&messages);
    Ok(())
}

fn print_results(messages: &[SimpleQueryMessage]) {
    let mut columns: Option<Vec<String>> = None;
    let mut rows = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(description) => {
                columns = Some(description.iter().map(|column| column.name().to_owned()).collect());
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
            }
            SimpleQueryMessage::CommandComplete(count) => match columns.take() {
                Some(columns) => println!("{}", table::render(&columns, &std::mem::take(&mut rows))),
                None => println!("ok, {count} row{}", if *count == 1 { "" } else { "s" }),
            },
            _ => {}
        }
    }
}

fn note(label: &str, text: Option<&str>) {
    if let Some(text) = text {
        eprintln!("{label}:  {text}");
    }
}

fn print_error(error: &tokio_postgres::Error) {
    let Some(db) = error.as_db_error() else {
        eprintln!("ERROR:  {}", root_cause(error));
        return;
    };
    eprintln!("{}:  {}: {}", db.severity(), db.code().code(), db.message());
    note("DETAIL", db.detail());
    note("HINT", db.hint());
    if let Some(tokio_postgres::error::ErrorPosition::Original(at)) = db.position() {
        eprintln!("POSITION:  character {at}");
    }
}

fn root_cause(error: &tokio_postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
