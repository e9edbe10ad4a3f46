//! A site more, or less, in the files of a cluster that is there already: its table in sites.toml, and its certificate.
//!
//! Tables of removed sites stay in the file: their ids, names and minting classes are never used again, and the first members are
//! known for ever. The file is changed as text, so that its comments stay.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use gemini_shadow_ops::SiteId;

use super::{InitError, certificates, io_error, template, write_new};
use crate::config::{Cluster, site_name_problem};

/// A site to be added.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Addition {
    pub name: String,
    pub id: SiteId,
    pub minting_class: u32,
    pub sql: SocketAddr,
    pub peer: SocketAddr,
    pub http: SocketAddr,
    /// As sites.toml has it: relative to the file.
    pub data: String,
}

/// Makes the site's certificate with the cluster's authority, and adds its table to sites.toml.
pub fn add(cluster: &Cluster, site: &Addition) -> Result<(), InitError> {
    if let Some(problem) = site_name_problem(&site.name) {
        return Err(InitError::Plan(problem));
    }
    if cluster.former.iter().any(|former| former.name == site.name) {
        return Err(InitError::Plan(format!("{} was a site once: names are never used again", site.name)));
    }
    let text = read(&cluster.path)?;
    let changed = format!("{text}{}", table(site));
    // Nothing is written that could not be read again.
    Cluster::parse(&changed, &cluster.path).map_err(|e| InitError::Plan(e.to_string()))?;
    let certs = cluster.authority.parent().unwrap_or(Path::new("."));
    let key = certs.join("ca.key");
    let authority = fs::read_to_string(&key)
        .map_err(io_error("read the authority's key (it signs the new site's certificate)", &key))?;
    for (name, pem, secret) in certificates::one(&cluster.name, &cluster.id, &authority, &site.name)? {
        let path = certs.join(name);
        // Left by an attempt that did not get as far as sites.toml.
        let _ = fs::remove_file(&path);
        write_new(&path, &pem, secret)?;
    }
    replace(&cluster.path, &changed)
}

/// Says in sites.toml that a site was removed.
pub fn mark_removed(cluster: &Cluster, name: &str) -> Result<(), InitError> {
    let text = read(&cluster.path)?;
    let head = format!("[site.{name}]");
    let mut changed = String::new();
    for line in text.lines() {
        let _ = writeln!(changed, "{line}");
        if line.trim_start().starts_with(&head) {
            changed.push_str(
                "removed = true   # no member any more; id, name and minting class are never used again\n",
            );
        }
    }
    match Cluster::parse(&changed, &cluster.path) {
        Ok(now) if now.former.iter().any(|site| site.name == name) => replace(&cluster.path, &changed),
        _ => Err(InitError::Plan(format!(
            "{} cannot be changed by itself: write `removed = true` into the table of {name}",
            cluster.path.display()
        ))),
    }
}

fn table(site: &Addition) -> String {
    let Addition { name, id, minting_class, sql, peer, http, data } = site;
    let data = template::quoted(data);
    format!(
        "\n[site.{name}]\n\
         id = {id}   # never used again, also after the site is gone\n\
         joined = true   # added later: not one of the first members\n\
         minting_class = {minting_class}\n\
         sql = \"{sql}\"   # PostgreSQL protocol; loopback only\n\
         peer = \"{peer}\"   # other sites, QUIC over UDP\n\
         http = \"{http}\"   # /status, /metrics, /healthz; loopback only\n\
         data = {data}\n\
         certificate = \"certs/{name}.crt\"\n\
         key = \"certs/{name}.key\"\n"
    )
}

fn read(path: &Path) -> Result<String, InitError> {
    fs::read_to_string(path).map_err(io_error("read", path))
}

fn replace(path: &Path, text: &str) -> Result<(), InitError> {
    let draft = path.with_extension("toml.new");
    let _ = fs::remove_file(&draft);
    write_new(&draft, text, false)?;
    fs::rename(&draft, path).map_err(io_error("write", path))
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, create};
    use super::*;

    #[test]
    fn a_site_more_and_a_site_less_stand_in_the_file() {
        let folder = std::env::temp_dir().join(format!("gemini-addition-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let file = create(&folder, &Plan::local("x", &["a", "b"].map(str::to_owned)), false).unwrap();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let addition = Addition {
            name: "c".into(),
            id: SiteId(3),
            minting_class: 2,
            sql: at(6001),
            peer: at(6002),
            http: at(6003),
            data: "data/c".into(),
        };
        add(&Cluster::load(&file).unwrap(), &addition).unwrap();
        let cluster = Cluster::load(&file).unwrap();
        assert_eq!(cluster.first().keys().copied().collect::<Vec<_>>(), [SiteId(1), SiteId(2)]);
        let added = cluster.site(Some("c")).unwrap();
        assert!(added.joined);
        cluster.transport(added).unwrap();
        assert!(matches!(add(&cluster, &addition), Err(InitError::Plan(_))), "twice");
        mark_removed(&cluster, "a").unwrap();
        let cluster = Cluster::load(&file).unwrap();
        assert_eq!(cluster.sites.len(), 2);
        assert_eq!(cluster.first().len(), 2, "the first members are known for ever");
        let again = Addition { name: "a".into(), id: SiteId(4), minting_class: 3, ..addition };
        assert!(matches!(add(&cluster, &again), Err(InitError::Plan(_))));
        fs::remove_dir_all(&folder).unwrap();
    }
}
