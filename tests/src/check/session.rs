//! Read your own writes, and never go back (Terry et al.: Session Guarantees for Weakly Consistent Replicated Data, PDIS 1994;
//! DESIGN §1.5): when a client is told that its transaction is committed, the next snapshot at its site shows it. What
//! a site shows never goes back (`frontier.rs`), so neither do the reads of a session, nor of one that comes after it.

use gemini::site::Site;
use gemini_sql::host::Committed;

pub(super) fn told(site: &Site, committed: &Committed) {
    let reader = site.engine().reader();
    let snapshot = reader.snapshot();
    assert!(
        snapshot.frontier().covers(committed.id) && snapshot.seq() >= committed.seq,
        "session: site {} tells its client that {} is committed, and shows only {}",
        site.id(),
        committed.id,
        snapshot.frontier()
    );
}
