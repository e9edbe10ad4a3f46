//! Clients that write without pause, and remember what they were told.
//!
//! Each transaction inserts a row with a key of its own and adds 1 to a total, so the tables tell afterwards whether
//! something acknowledged is missing, something refused is there, or something counted twice. What ended with a lost
//! connection or 40003 is unknown: it may be there or not, but whole.
//!
//! ```sql
//! CREATE TABLE entry (key TEXT PRIMARY KEY, note TEXT MERGE LWW) ROWS APPEND ONLY, KEYS TRUSTED;
//! CREATE TABLE total (name TEXT PRIMARY KEY, n BIGINT NOT NULL MERGE DELTA) ROWS APPEND ONLY;
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::client::{Client, Failed};

/// The tables that loads write to; `red_entry` is plain SQL, so every write of it is red.
pub const TABLES: &str = "
    CREATE TABLE entry (key TEXT PRIMARY KEY, note TEXT MERGE LWW) ROWS APPEND ONLY, KEYS TRUSTED;
    CREATE TABLE total (name TEXT PRIMARY KEY, n BIGINT NOT NULL MERGE DELTA) ROWS APPEND ONLY;
    CREATE TABLE red_entry (key TEXT PRIMARY KEY, note TEXT);
    INSERT INTO total VALUES ('blue', 0), ('red', 0);";

/// What the clients of a load were told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Committed for sure.
    pub acknowledged: BTreeSet<String>,
    /// Committed, or not.
    pub unknown: BTreeSet<String>,
    /// Not committed, and why.
    pub refused: Vec<(String, Failed)>,
}

/// A running load; stopped when dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Told>>,
}

impl Load {
    /// `clients` clients on a site's SQL port, blue or red; they connect again when they lose their site.
    pub fn start(name: &str, port: u16, clients: usize, red: bool) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let threads = (0..clients)
            .map(|i| {
                let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
                let name = format!("{name}-{i}");
                std::thread::spawn(move || work(&name, port, red, &stop, &acknowledged))
            })
            .collect();
        Load { stop, acknowledged, threads }
    }

    /// How many transactions are acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Stops the clients; what they were told.
    pub fn stop(mut self) -> Told {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Told::default();
        for thread in self.threads.drain(..) {
            let told = thread.join().unwrap_or_else(|_| panic!("a load's client has panicked"));
            all.acknowledged.extend(told.acknowledged);
            all.unknown.extend(told.unknown);
            all.refused.extend(told.refused);
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn work(name: &str, port: u16, red: bool, stop: &AtomicBool, acknowledged: &AtomicU64) -> Told {
    let mut told = Told::default();
    let mut client = None;
    let (table, total) = if red { ("red_entry", "red") } else { ("entry", "blue") };
    for n in 0u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let Some(connected) = client.take().or_else(|| Client::connect(port).ok()) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let key = format!("{name}-{n}");
        let sql = format!(
            "BEGIN; INSERT INTO {table} VALUES ('{key}', 'written by {name}'); \
             UPDATE total SET n = n + 1 WHERE name = '{total}'; COMMIT"
        );
        match connected.query(&sql) {
            Ok(_) => {
                told.acknowledged.insert(key);
                acknowledged.fetch_add(1, Ordering::SeqCst);
                client = Some(connected);
            }
            Err(failed) if failed.sqlstate.is_none() || failed.is("40003") || failed.is("08007") => {
                told.unknown.insert(key);
            }
            Err(failed) => {
                told.refused.push((key, failed));
                // The failed transaction is over only when the client says so; a new connection says it shortest.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    told
}

/// Compares what was told with what a site has: panics on anything lost, made up, or counted wrongly.
pub fn check(client: &Client, told: &[&Told], red: bool) {
    let (table, total) = if red { ("red_entry", "red") } else { ("entry", "blue") };
    let there: BTreeSet<String> =
        client.run(&format!("SELECT key FROM {table}")).into_iter().flatten().collect();
    for told in told {
        let lost: Vec<_> = told.acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged and missing: {lost:?}");
        let revived: Vec<_> = told.refused.iter().filter(|(key, _)| there.contains(key)).collect();
        assert!(revived.is_empty(), "refused and there all the same: {revived:?}");
    }
    let known = |key: &String| told.iter().any(|t| t.acknowledged.contains(key) || t.unknown.contains(key));
    let made_up: Vec<_> = there.iter().filter(|key| !known(key)).collect();
    assert!(made_up.is_empty(), "nobody wrote {made_up:?}");
    let n = client.value(&format!("SELECT n FROM total WHERE name = '{total}'"));
    assert_eq!(n, there.len().to_string(), "the total must be the number of rows in {table}");
}
