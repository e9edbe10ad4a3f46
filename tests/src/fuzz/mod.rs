//! What fuzzers call: plain functions of bytes, one for each door through which bytes from outside come in.
//!
//! | function | door | must hold beyond not panicking |
//! |---|---|---|
//! | [`fuzz_log_records`] | a record of the log | what is decoded encodes to what decodes to it; it can be shown, judged and applied |
//! | [`fuzz_peer_frames`] | frames of peers, in a row | the same; a replica that hears them keeps its promises to the site around it |
//! | [`fuzz_protocol`] | bytes of a PostgreSQL client | the connection ends |
//! | [`fuzz_sql`] | SQL text | what is parsed is planned or refused; plans can be explained |
//! | [`fuzz_sites`] | sites.toml | what is accepted answers every question that the program asks it |
//!
//! `fuzz/` wraps them for cargo-fuzz, which looks for inputs that reach new code; `tests/corpora.rs` runs them over the corpora in
//! `fuzz/corpus/` and over mutations of these, on the stable toolchain and in seconds. An input that ever broke something
//! stays in its corpus.
//!
//! Checksums are not guessed: the two functions behind one take bodies and seal them.

mod peer;
mod records;
mod sql;

use std::path::Path;

use gemini::config::Cluster;

pub use peer::fuzz_peer_frames;
pub use records::fuzz_log_records;
pub use sql::{fuzz_protocol, fuzz_sql};

/// What a fuzzer calls.
pub type Target = fn(&[u8]);

/// All of them, by the name of their corpus.
pub const TARGETS: [(&str, Target); 5] = [
    ("log_records", fuzz_log_records),
    ("peer_frames", fuzz_peer_frames),
    ("protocol", fuzz_protocol),
    ("sql", fuzz_sql),
    ("sites", fuzz_sites),
];

/// sites.toml: read, and asked for every site, its transport and every distance.
pub fn fuzz_sites(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let cluster = match Cluster::parse(text, Path::new("/etc/gemini/sites.toml")) {
        Ok(cluster) => cluster,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for site in &cluster.sites {
        assert_eq!(cluster.site_by_id(site.id), Some(site));
        assert!(cluster.site(Some(&site.name)).is_ok());
        for other in &cluster.sites {
            assert_eq!(cluster.round_trip(site.id, other.id), cluster.round_trip(other.id, site.id));
        }
    }
}
