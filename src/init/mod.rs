//! `gemini init`: the cluster's authority, a key and certificate per site, and a commented sites.toml.
//!
//! ```text
//! DIR/sites.toml
//! DIR/certs/ca.crt  ca.key          the authority; ca.key is needed again only to add a site (`addition`): keep it apart
//! DIR/certs/SITE.crt  SITE.key      one pair per site; copy to each site ca.crt and its own pair
//! DIR/data/SITE                     made at the first start
//! ```
//!
//! Nothing is overwritten without `--force`, and data folders never are: a cluster's data belongs to its id, so a
//! new cluster over old data is refused. Certificates are made in a folder of their own, which is renamed when it is
//! whole; sites.toml comes last, so a folder with a sites.toml is complete.

mod addition;
mod certificates;
mod template;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gemini_replication::quic::ClusterId;
use gemini_shadow_ops::SiteId;

use crate::config::site_name_problem;

pub use addition::{Addition, add, mark_removed};
pub use template::render;

/// Why a cluster could not be created.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum InitError {
    #[error("{} exists already; --force replaces sites.toml and certs (never data), and makes all sites' certificates anew", .0.display())]
    Exists(PathBuf),
    #[error("{} holds data of an earlier cluster; move it away first, a new cluster cannot take it over", .0.display())]
    OldData(PathBuf),
    #[error("{0}")]
    Plan(String),
    #[error("cannot {what} {}: {cause}", path.display())]
    Io { what: &'static str, path: PathBuf, cause: io::Error },
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the operating system gives no random bytes")]
    Random,
}

/// The cluster to create.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For people.
    pub name: String,
    /// The sites, in order of their ids.
    pub sites: Vec<SitePlan>,
    /// Emulated round trips: two site names.
    pub links: Vec<(String, String, Duration)>,
    /// The preferred leader's name; the first site if none.
    pub sequencer: Option<String>,
}

/// One site to create.
#[derive(Clone, Debug)]
pub struct SitePlan {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: SiteId,
    /// PostgreSQL protocol.
    pub sql: SocketAddr,
    /// QUIC.
    pub peer: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// Relays in front of other sites, by their names.
    pub via: Vec<(String, SocketAddr)>,
}

/// The example: three sites of the paper and their distances.
pub const EXAMPLE_SITES: [&str; 3] = ["us-east", "us-west", "ireland"];
const EXAMPLE_LINKS: [(&str, &str, u64); 10] = [
    ("us-east", "us-west", 85),
    ("us-east", "ireland", 92),
    ("us-east", "brazil", 150),
    ("us-east", "singapore", 252),
    ("us-west", "ireland", 155),
    ("us-west", "brazil", 207),
    ("us-west", "singapore", 181),
    ("ireland", "brazil", 235),
    ("ireland", "singapore", 350),
    ("brazil", "singapore", 380),
];

impl Plan {
    /// Sites on this machine: SQL from port 5441 up, QUIC from 7441, HTTP from 8441; the paper's distances between
    /// those of its sites that are named.
    pub fn local(name: &str, sites: &[String]) -> Plan {
        let at = |port: usize| {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), u16::try_from(port).unwrap_or(u16::MAX))
        };
        let planned = sites.iter().enumerate().map(|(i, name)| SitePlan {
            name: name.clone(),
            id: SiteId(u16::try_from(i + 1).unwrap_or(u16::MAX)),
            sql: at(5441 + i),
            peer: at(7441 + i),
            http: at(8441 + i),
            via: Vec::new(),
        });
        let known = |name: &str| sites.iter().any(|site| site == name);
        let links = EXAMPLE_LINKS.iter().filter(|(a, b, _)| known(a) && known(b));
        Plan {
            name: name.to_owned(),
            sites: planned.collect(),
            links: links
                .map(|(a, b, ms)| ((*a).to_owned(), (*b).to_owned(), Duration::from_millis(*ms)))
                .collect(),
            sequencer: None,
        }
    }

    fn check(&self) -> Result<(), InitError> {
        if self.sites.is_empty() {
            return Err(InitError::Plan("a cluster needs at least one site: --sites NAME[,NAME…]".into()));
        }
        if self.sites.len() > 32 {
            return Err(InitError::Plan(
                "at most 32 sites can mint values in one cluster (minting_classes)".into(),
            ));
        }
        for (i, site) in self.sites.iter().enumerate() {
            if let Some(problem) = site_name_problem(&site.name) {
                return Err(InitError::Plan(problem));
            }
            if self.sites[..i].iter().any(|other| other.name == site.name) {
                return Err(InitError::Plan(format!("site {} is named twice", site.name)));
            }
        }
        Ok(())
    }
}

/// Creates the cluster's files under `folder`; returns the path of its sites.toml.
pub fn create(folder: &Path, plan: &Plan, force: bool) -> Result<PathBuf, InitError> {
    plan.check()?;
    let file = folder.join("sites.toml");
    let certs = folder.join("certs");
    for path in [&file, &certs] {
        if !force && fs::symlink_metadata(path).is_ok() {
            return Err(InitError::Exists(path.clone()));
        }
    }
    for site in &plan.sites {
        let data = folder.join("data").join(&site.name);
        if fs::read_dir(&data).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(InitError::OldData(data));
        }
    }
    let id = draw_id()?;
    let made = certificates::make(&plan.name, &id, plan.sites.iter().map(|site| site.name.as_str()))?;

    fs::create_dir_all(folder).map_err(io_error("create the folder", folder))?;
    let staging = folder.join(format!(".certs-{}", std::process::id()));
    fs::create_dir(&staging).map_err(io_error("create the folder", &staging))?;
    let written =
        made.iter().try_for_each(|(name, pem, secret)| write_new(&staging.join(name), pem, *secret));
    let placed = written.and_then(|()| replace_folder(&staging, &certs, force));
    if let Err(e) = placed {
        // What was made so far is of no use to anybody; the error that matters is the first.
        let _ = fs::remove_dir_all(&staging);
        return Err(e);
    }
    let draft = folder.join(format!(".sites-{}.toml", std::process::id()));
    write_new(&draft, &render(plan, &id), false)?;
    fs::rename(&draft, &file).map_err(io_error("write", &file))?;
    Ok(file)
}

fn replace_folder(from: &Path, to: &Path, force: bool) -> Result<(), InitError> {
    if force && to.exists() {
        fs::remove_dir_all(to).map_err(io_error("replace", to))?;
    }
    fs::rename(from, to).map_err(io_error("create", to))
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> InitError + 'a {
    move |cause| InitError::Io { what, path: path.to_owned(), cause }
}

/// Creates a file that is not there; a secret is its owner's alone from the first byte.
fn write_new(path: &Path, text: &str, secret: bool) -> Result<(), InitError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if secret { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = secret;
    let mut file = options.open(path).map_err(io_error("create", path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", path))
}

fn draw_id() -> Result<ClusterId, InitError> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| InitError::Random)?;
    Ok(ClusterId(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cluster;

    fn example() -> Plan {
        Plan::local("example", &EXAMPLE_SITES.map(str::to_owned))
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gemini-init-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn a_created_cluster_loads_and_its_keys_are_private() {
        let folder = folder("whole");
        let file = create(&folder, &example(), false).unwrap();
        let cluster = Cluster::load(&file).unwrap();
        assert_eq!(cluster.sites.len(), 3);
        for site in &cluster.sites {
            let transport = cluster.transport(site).unwrap();
            assert_eq!(transport.peers.len(), 2);
        }
        #[cfg(unix)]
        for key in ["ca.key", "us-east.key", "ireland.key"] {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.join("certs").join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn nothing_is_overwritten_silently_and_data_never() {
        let folder = folder("again");
        let file = create(&folder, &example(), false).unwrap();
        let first = Cluster::load(&file).unwrap().id;
        assert!(matches!(create(&folder, &example(), false), Err(InitError::Exists(_))));
        assert_eq!(Cluster::load(&file).unwrap().id, first);
        create(&folder, &example(), true).unwrap();
        assert_ne!(Cluster::load(&file).unwrap().id, first);
        let data = folder.join("data/ireland");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("log"), "x").unwrap();
        assert!(matches!(create(&folder, &example(), true), Err(InitError::OldData(_))));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn names_that_cannot_be_are_refused_before_anything_is_written() {
        let folder = folder("names");
        for sites in [vec![], vec!["a", "a"], vec!["US"], vec!["a b"], vec![""]] {
            let sites: Vec<String> = sites.into_iter().map(str::to_owned).collect();
            assert!(matches!(create(&folder, &Plan::local("x", &sites), false), Err(InitError::Plan(_))));
        }
        assert!(!folder.exists());
    }

    #[test]
    fn the_example_at_the_root_is_what_init_writes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sites.toml");
        let rendered = render(&example(), &ClusterId([0; 16]));
        assert_eq!(fs::read_to_string(path).unwrap(), rendered);
    }
}
