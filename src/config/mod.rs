//! sites.toml: one file that says what the cluster is, the same at every site.
//!
//! ```toml
//! [cluster]                 # id, name, authority, minting_classes, sequencer, durability
//! [timeouts]                # commit, election, heartbeat, …
//! [memory]                  # budget, connections
//! [archive]                 # dir, every
//! [conflicts]               # keep_for, keep_bytes: how long displaced values can be queried
//! [log]                     # checkpoint, keep
//! [site.us-east]            # id, sql, peer, http, data, store, certificate, key, via
//! [links]                   # round trips in ms, for the emulated wide area of `gemini demo`
//! ```
//!
//! An unknown key is an error: a misspelt timeout must not silently be the default. Every error names the file, the
//! line, and what to write instead. Paths are relative to the file, so that a folder can be moved as a whole.
//! SQL and HTTP addresses must be loopback until Gemini has passwords; the peer address need not be, since peers
//! prove themselves by certificates.

mod memory;
mod raw;
pub mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gemini_engine::{Retention, StoreKind};
use gemini_replication::quic::{self, ClusterId, Identity, PeerConfig};
use gemini_shadow_ops::{Member, SiteId};
use gemini_sql::host::Durability;

pub use memory::{Memory, Shares};
pub(crate) use raw::site_name_problem;

/// Why a sites.toml cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConfigError {
    #[error("cannot read {}: {cause}; `gemini init` writes one", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{}, line {line}: {message}", path.display())]
    At { path: PathBuf, line: usize, message: String },
    #[error("no site is called {name:?} in {}; it names {known}", path.display())]
    NoSuchSite { path: PathBuf, name: String, known: String },
    #[error("{name} was removed from the cluster, says {}: its name is never used again", path.display())]
    Removed { path: PathBuf, name: String },
    #[error("{} names several sites ({known}): say which with --site", path.display())]
    WhichSite { path: PathBuf, known: String },
    #[error(transparent)]
    Identity(#[from] quic::Error),
}

/// A whole sites.toml, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The file it was read from.
    pub path: PathBuf,
    /// Drawn at random by `gemini init`; peers of another cluster are refused.
    pub id: ClusterId,
    /// For people.
    pub name: String,
    /// The certificate that signed the sites' certificates.
    pub authority: PathBuf,
    /// How many sites may ever mint: fixed when the cluster is created.
    pub minting_classes: u32,
    /// The site that leads the red order whenever it is there.
    pub sequencer: SiteId,
    /// What sessions start with.
    pub durability: Durability,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// What may be held in memory.
    pub memory: Memory,
    /// How long displaced values are kept.
    pub conflicts: Retention,
    /// How much log is kept on disk.
    pub log: Log,
    /// Where copies of the log go, if anywhere.
    pub archive: Option<Archive>,
    /// In order of their ids, without those that were removed.
    pub sites: Vec<Site>,
    /// Those that were removed: their ids, names and minting classes are never used again.
    pub former: Vec<Site>,
    /// Round trips of the emulated wide area.
    pub links: Vec<Link>,
}

/// How long to wait for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A red transaction without an outcome for so long is refused or reported unknown.
    pub commit: Duration,
    /// A sequencer leader not heard of for so long is replaced.
    pub election: Duration,
    /// How often sites tell each other that they are there and what they have.
    pub heartbeat: Duration,
    /// A quiet link between sites is probed this often.
    pub peer_heartbeat: Duration,
    /// A peer not heard of for so long is down.
    pub peer_dead: Duration,
    /// What is in flight at SIGTERM gets so long to finish.
    pub drain: Duration,
}

/// How much log is kept on disk, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Between checkpoints: about what a restart replays.
    pub checkpoint: usize,
    /// For peers that lack it; a peer that lacks more is filled with a copy of the tables.
    pub keep: usize,
}

/// Where copies of the log go, to roll backups forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Each site has a folder of its name in it.
    pub dir: PathBuf,
    /// How often what is not a full segment yet is copied.
    pub every: Duration,
}

/// One site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Never used again.
    pub id: SiteId,
    /// Also the name in its certificate.
    pub name: String,
    /// Its residue class for minted values; never used again.
    pub minting_class: u32,
    /// PostgreSQL protocol (TCP, loopback).
    pub sql: SocketAddr,
    /// Other sites (UDP).
    pub peer: SocketAddr,
    /// /metrics, /healthz, /status (TCP, loopback).
    pub http: SocketAddr,
    /// Log and store.
    pub data: PathBuf,
    /// What keeps the store.
    pub store: StoreKind,
    /// Its certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// It was added later: the others are the first members, with whom the red order began.
    pub joined: bool,
    /// It was removed.
    pub removed: bool,
    /// Where it reaches a peer, if not at the peer's own address: relays.
    pub via: Vec<(SiteId, SocketAddr)>,
}

impl Site {
    /// What the red order knows of it.
    pub fn member(&self) -> Member {
        Member { name: self.name.clone(), peer: self.peer.to_string(), class: self.minting_class }
    }
}

/// The round trip between two sites.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The lesser id.
    pub a: SiteId,
    /// The greater id.
    pub b: SiteId,
    /// There and back.
    pub round_trip: Duration,
}

impl Cluster {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Cluster, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Cluster::parse(&text, path)
    }

    /// Checks a text; `path` is for errors and for what is relative to it.
    pub fn parse(text: &str, path: &Path) -> Result<Cluster, ConfigError> {
        raw::parse(text, path).map_err(|(at, message)| {
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            ConfigError::At { path: path.to_owned(), line, message }
        })
    }

    /// The site of this name; without a name, the only one.
    pub fn site(&self, name: Option<&str>) -> Result<&Site, ConfigError> {
        let path = self.path.clone();
        match (name, self.sites.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(ConfigError::WhichSite { path, known: self.names() }),
            (Some(name), _) if self.former.iter().any(|site| site.name == name) => {
                Err(ConfigError::Removed { path, name: name.to_owned() })
            }
            (Some(name), sites) => sites
                .iter()
                .find(|site| site.name == name)
                .ok_or_else(|| ConfigError::NoSuchSite { path, name: name.to_owned(), known: self.names() }),
        }
    }

    /// The site of this id.
    pub fn site_by_id(&self, id: SiteId) -> Option<&Site> {
        self.sites.iter().find(|site| site.id == id)
    }

    /// The first members, whether they are still there or not: the same at every site, for ever.
    pub fn first(&self) -> BTreeMap<SiteId, Member> {
        let all = self.sites.iter().chain(&self.former);
        all.filter(|site| !site.joined).map(|site| (site.id, site.member())).collect()
    }

    fn names(&self) -> String {
        self.sites.iter().map(|site| site.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// What a site's parts may take of its memory.
    pub fn shares(&self) -> Shares {
        self.memory.shares(self.sites.len().saturating_sub(1))
    }

    /// The emulated round trip between two sites; zero if none is given.
    pub fn round_trip(&self, x: SiteId, y: SiteId) -> Duration {
        let (a, b) = (x.min(y), x.max(y));
        self.links
            .iter()
            .find(|link| link.a == a && link.b == b)
            .map_or(Duration::ZERO, |link| link.round_trip)
    }

    /// How `site` meets the others over QUIC; reads its certificate and key.
    pub fn transport(&self, site: &Site) -> Result<quic::Config, ConfigError> {
        let identity = Identity::load(&self.authority, &site.certificate, &site.key)?;
        if !identity.names(&site.name) {
            let cause = format!(
                "it does not carry the name {}; name the certificate that `gemini init` made for this site",
                site.name
            );
            return Err(quic::Error::Identity {
                what: "site certificate",
                path: site.certificate.clone(),
                cause,
            }
            .into());
        }
        let reach = |peer: &Site| {
            let via = site.via.iter().find(|(id, _)| *id == peer.id);
            via.map_or(peer.peer, |(_, address)| *address)
        };
        let peers = self.sites.iter().filter(|peer| peer.id != site.id);
        let shares = self.shares();
        let bytes = |share| usize::try_from(share).unwrap_or(usize::MAX);
        Ok(quic::Config {
            cluster: self.id,
            site: site.id,
            name: site.name.clone(),
            listen: site.peer,
            identity,
            peers: peers
                .map(|peer| PeerConfig { site: peer.id, name: peer.name.clone(), address: reach(peer) })
                .collect(),
            limits: quic::Limits {
                outbox: bytes(shares.outbox),
                inbox: bytes(shares.inbox),
                heartbeat: self.timeouts.peer_heartbeat,
                dead_after: self.timeouts.peer_dead,
                ..quic::Limits::default()
            },
        })
    }
}

#[cfg(test)]
mod tests;
