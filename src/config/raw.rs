//! The file as written, and its check into [`Cluster`]. Every value that can be wrong carries its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gemini_engine::{Retention, StoreKind};
use gemini_replication::quic::ClusterId;
use gemini_shadow_ops::SiteId;
use gemini_sql::host::Durability;
use serde::Deserialize;
use toml::Spanned;

use super::{Archive, Cluster, Link, Log, Memory, Site, Timeouts, memory, units};

/// The format of sites.toml that this program reads.
const FORMAT: u32 = 1;

type Text = Spanned<String>;
/// Byte offset and message.
type Wrong = (usize, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    cluster: Spanned<RawCluster>,
    #[serde(default)]
    timeouts: RawTimeouts,
    #[serde(default)]
    memory: RawMemory,
    #[serde(default)]
    conflicts: RawConflicts,
    #[serde(default)]
    log: RawLog,
    archive: Option<RawArchive>,
    site: BTreeMap<Text, Spanned<RawSite>>,
    #[serde(default)]
    links: BTreeMap<Text, BTreeMap<Text, Spanned<f64>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCluster {
    /// Looked at first, by [`check_format`].
    #[serde(rename = "format")]
    _format: Option<u32>,
    id: Text,
    name: Text,
    authority: Text,
    minting_classes: Option<Spanned<u32>>,
    sequencer: Option<Text>,
    durability: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTimeouts {
    commit: Option<Text>,
    election: Option<Text>,
    heartbeat: Option<Text>,
    peer_heartbeat: Option<Text>,
    peer_dead: Option<Text>,
    drain: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMemory {
    budget: Option<Text>,
    connections: Option<Spanned<usize>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConflicts {
    keep_for: Option<Text>,
    keep_bytes: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    checkpoint: Option<Text>,
    keep: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArchive {
    dir: Text,
    every: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSite {
    id: Spanned<u16>,
    minting_class: Option<Spanned<u32>>,
    sql: Text,
    peer: Text,
    http: Text,
    data: Text,
    store: Option<Text>,
    certificate: Text,
    key: Text,
    #[serde(default)]
    joined: bool,
    #[serde(default)]
    removed: bool,
    #[serde(default)]
    via: BTreeMap<Text, Text>,
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        (at, e.message().replace('\n', " "))
    })
}

/// A newer file is refused for what it is, before a setting of its own is taken for a mistake.
fn check_format(text: &str) -> Result<(), Wrong> {
    #[derive(Deserialize)]
    struct File {
        cluster: Option<Formatted>,
    }
    #[derive(Deserialize)]
    struct Formatted {
        format: Option<Spanned<u32>>,
    }
    let file: File = read(text)?;
    match file.cluster.and_then(|cluster| cluster.format) {
        Some(format) if *format.get_ref() != FORMAT => {
            let message = format!(
                "this file has format {}, and this program reads format {FORMAT}: start the release that the file was written for",
                format.get_ref()
            );
            wrong(&format, message)
        }
        _ => Ok(()),
    }
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Cluster, Wrong> {
    check_format(text)?;
    let file: RawFile = read(text)?;
    let here = path.parent().unwrap_or(Path::new(""));
    let cluster_at = file.cluster.span().start;
    let cluster = file.cluster.into_inner();

    let minting_classes = match cluster.minting_classes {
        None => 32,
        Some(n) if (1..=65_536).contains(n.get_ref()) => *n.get_ref(),
        Some(n) => {
            return wrong(
                &n,
                "minting_classes must be between 1 and 65536; it is fixed when the cluster is created",
            );
        }
    };
    let mut sites = Vec::new();
    let mut names = BTreeMap::new();
    for (name, site) in &file.site {
        let id = *site.get_ref().id.get_ref();
        check_name(name)?;
        names.insert(name.get_ref().clone(), SiteId(id));
    }
    for (name, site) in &file.site {
        sites.push((
            site.span().start,
            check_site(name.get_ref(), site.get_ref(), here, minting_classes, &names)?,
        ));
    }
    if sites.is_empty() {
        return Err((cluster_at, "there is no site: write a table [site.NAME] for each".into()));
    }
    check_distinct(&sites)?;
    let mut sites: Vec<Site> = sites.into_iter().map(|(_, site)| site).collect();
    sites.sort_by_key(|site| site.id);

    let (former, sites): (Vec<Site>, Vec<Site>) = sites.into_iter().partition(|site| site.removed);
    if sites.is_empty() {
        return Err((cluster_at, "every site of this file is removed: there is none to talk to".into()));
    }
    let sequencer = match &cluster.sequencer {
        None => sites[0].id,
        Some(name) => lookup(name, &names)?,
    };
    let durability = match &cluster.durability {
        None => Durability::Local,
        Some(word) => match word.get_ref().as_str() {
            "local" => Durability::Local,
            "quorum" => Durability::Quorum,
            _ => {
                return wrong(
                    word,
                    "durability is \"local\" (this site's disk) or \"quorum\" (a majority's disks)",
                );
            }
        },
    };
    Ok(Cluster {
        path: path.to_owned(),
        id: cluster_id(&cluster.id)?,
        name: cluster.name.into_inner(),
        authority: here.join(cluster.authority.get_ref()),
        minting_classes,
        sequencer,
        durability,
        timeouts: check_timeouts(&file.timeouts)?,
        memory: check_memory(&file.memory)?,
        conflicts: check_conflicts(&file.conflicts)?,
        log: check_log(&file.log)?,
        archive: file.archive.as_ref().map(|raw| check_archive(raw, here)).transpose()?,
        links: check_links(&file.links, &names)?,
        sites,
        former,
    })
}

fn wrong<T, X>(at: &Spanned<X>, message: impl Into<String>) -> Result<T, Wrong> {
    Err((at.span().start, message.into()))
}

fn cluster_id(text: &Text) -> Result<ClusterId, Wrong> {
    let digits = text.get_ref();
    if digits.len() == 32
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
        && let Ok(n) = u128::from_str_radix(digits, 16)
    {
        return Ok(ClusterId(n.to_be_bytes()));
    }
    wrong(text, "the cluster's id is 32 hexadecimal digits; `gemini init` draws one")
}

fn check_name(name: &Text) -> Result<(), Wrong> {
    let text = name.get_ref();
    match site_name_problem(text) {
        None => Ok(()),
        Some(problem) => wrong(name, problem),
    }
}

/// Why a name cannot be a site's: it stands in a certificate as a DNS label.
pub(crate) fn site_name_problem(name: &str) -> Option<String> {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let ends = name.starts_with('-') || name.ends_with('-');
    (!plain || ends || name.is_empty() || name.len() > 40)
        .then(|| format!("{name:?} cannot name a site: use 1 to 40 of a-z, 0-9 and -, not - at an end"))
}

fn lookup(name: &Text, names: &BTreeMap<String, SiteId>) -> Result<SiteId, Wrong> {
    match names.get(name.get_ref()) {
        Some(id) => Ok(*id),
        None => {
            let known: Vec<&str> = names.keys().map(String::as_str).collect();
            wrong(
                name,
                format!("there is no table [site.{}]; there are {}", name.get_ref(), known.join(", ")),
            )
        }
    }
}

fn check_site(
    name: &str,
    site: &RawSite,
    here: &Path,
    classes: u32,
    names: &BTreeMap<String, SiteId>,
) -> Result<Site, Wrong> {
    let id = *site.id.get_ref();
    if id == 0 {
        return wrong(&site.id, "site ids count from 1");
    }
    let minting_class = site.minting_class.as_ref().map_or(u32::from(id) - 1, |class| *class.get_ref());
    if minting_class >= classes {
        let at = site.minting_class.as_ref().map_or(site.id.span(), Spanned::span).start;
        let message = format!(
            "minting class {minting_class} (the id less 1, unless given) is not below minting_classes = {classes}"
        );
        return Err((at, message));
    }
    let mut via = Vec::new();
    for (peer, at) in &site.via {
        via.push((lookup(peer, names)?, address(at)?));
    }
    Ok(Site {
        id: SiteId(id),
        name: name.to_owned(),
        minting_class,
        sql: loopback(&site.sql, "SQL")?,
        peer: address(&site.peer)?,
        http: loopback(&site.http, "HTTP")?,
        data: here.join(site.data.get_ref()),
        store: store_kind(&site.store)?,
        certificate: here.join(site.certificate.get_ref()),
        key: here.join(site.key.get_ref()),
        joined: site.joined,
        removed: site.removed,
        via,
    })
}

fn store_kind(text: &Option<Text>) -> Result<StoreKind, Wrong> {
    let Some(text) = text else { return Ok(StoreKind::default()) };
    match StoreKind::named(text.get_ref()) {
        Some(kind) => Ok(kind),
        None => wrong(text, format!("there is no store {:?}: write \"fjall\" or \"sled\"", text.get_ref())),
    }
}

fn address(text: &Text) -> Result<SocketAddr, Wrong> {
    match text.get_ref().parse() {
        Ok(address) => Ok(address),
        Err(_) => wrong(
            text,
            format!("{:?} is not an address: write IP:PORT, as in \"127.0.0.1:5441\"", text.get_ref()),
        ),
    }
}

fn loopback(text: &Text, what: &str) -> Result<SocketAddr, Wrong> {
    let found = address(text)?;
    if found.ip().is_loopback() {
        return Ok(found);
    }
    wrong(
        text,
        format!(
            "{what} may listen on loopback only (127.0.0.1 or [::1]) as long as Gemini has no passwords; reach it from afar through a tunnel"
        ),
    )
}

fn check_distinct(sites: &[(usize, Site)]) -> Result<(), Wrong> {
    let (mut ids, mut classes) = (BTreeSet::new(), BTreeSet::new());
    let (mut tcp, mut udp, mut folders) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (at, site) in sites {
        let name = &site.name;
        let fault = if !ids.insert(site.id) {
            format!("the id {} of {name} is another site's too; ids are never shared or used again", site.id)
        } else if !classes.insert(site.minting_class) {
            format!("the minting class {} of {name} is another site's too", site.minting_class)
        } else if !tcp.insert(site.sql) || !tcp.insert(site.http) {
            format!("the sql or http address of {name} is used twice")
        } else if !udp.insert(site.peer) {
            format!("the peer address {} of {name} is used twice", site.peer)
        } else if !folders.insert(&site.data) {
            format!("the data folder {} of {name} is another site's too", site.data.display())
        } else {
            continue;
        };
        return Err((*at, fault));
    }
    Ok(())
}

fn duration(text: &Option<Text>, default: Duration, least: Duration) -> Result<Duration, Wrong> {
    let Some(text) = text else { return Ok(default) };
    match units::duration(text.get_ref()) {
        Ok(found) if found < least => {
            wrong(text, format!("{} is too short: at least {least:?}", text.get_ref()))
        }
        Ok(found) if found > Duration::from_secs(3600) => wrong(text, "more than an hour is too long"),
        Ok(found) => Ok(found),
        Err(message) => wrong(text, message),
    }
}

fn check_timeouts(raw: &RawTimeouts) -> Result<Timeouts, Wrong> {
    let ms = Duration::from_millis;
    let timeouts = Timeouts {
        commit: duration(&raw.commit, ms(5_000), ms(10))?,
        election: duration(&raw.election, ms(1_000), ms(50))?,
        heartbeat: duration(&raw.heartbeat, ms(100), ms(5))?,
        peer_heartbeat: duration(&raw.peer_heartbeat, ms(300), ms(10))?,
        peer_dead: duration(&raw.peer_dead, ms(1_500), ms(50))?,
        drain: duration(&raw.drain, ms(10_000), ms(0))?,
    };
    let at = |text: &Option<Text>| text.as_ref().map_or(0, |text| text.span().start);
    if timeouts.election < timeouts.heartbeat * 3 {
        let message = "election must be at least three times heartbeat, or one lost message deposes a leader";
        return Err((at(&raw.election).max(at(&raw.heartbeat)), message.into()));
    }
    if timeouts.peer_dead < timeouts.peer_heartbeat * 3 {
        let message = "peer_dead must be at least three times peer_heartbeat, or one lost packet cuts a link";
        return Err((at(&raw.peer_dead).max(at(&raw.peer_heartbeat)), message.into()));
    }
    Ok(timeouts)
}

fn size(text: &Option<Text>, default: usize, least: usize) -> Result<usize, Wrong> {
    let Some(text) = text else { return Ok(default) };
    match units::size(text.get_ref()) {
        Ok(found) if found < least => {
            wrong(text, format!("{} is too little: at least {least} bytes", text.get_ref()))
        }
        Ok(found) => Ok(found),
        Err(message) => wrong(text, message),
    }
}

fn check_memory(raw: &RawMemory) -> Result<Memory, Wrong> {
    let connections = match &raw.connections {
        None => 200,
        Some(n) if (1..=10_000).contains(n.get_ref()) => *n.get_ref(),
        Some(n) => return wrong(n, "connections must be between 1 and 10000"),
    };
    let budget = raw.budget.as_ref().map(|_| size(&raw.budget, 0, memory::LEAST)).transpose()?;
    Ok(Memory { budget, connections })
}

fn check_conflicts(raw: &RawConflicts) -> Result<Retention, Wrong> {
    let defaults = gemini_engine::Options::default().conflicts;
    let age = match &raw.keep_for {
        None => defaults.age,
        Some(text) => match units::duration(text.get_ref()) {
            Ok(age) => u64::try_from(age.as_micros()).unwrap_or(u64::MAX),
            Err(message) => return wrong(text, message),
        },
    };
    let bytes = match &raw.keep_bytes {
        None => defaults.bytes,
        Some(_) => size(&raw.keep_bytes, 0, 64 << 10)? as u64,
    };
    Ok(Retention { bytes, age })
}

fn check_log(raw: &RawLog) -> Result<Log, Wrong> {
    let log = Log {
        checkpoint: size(&raw.checkpoint, 64 << 20, 1 << 20)?,
        keep: size(&raw.keep, 2 << 30, 1 << 20)?,
    };
    match &raw.keep {
        Some(keep) if log.keep < log.checkpoint => {
            wrong(keep, "keep is less than checkpoint: what a restart replays is kept in any case")
        }
        _ => Ok(log),
    }
}

fn check_archive(raw: &RawArchive, here: &Path) -> Result<Archive, Wrong> {
    let every = duration(&raw.every, Duration::from_secs(60), Duration::from_secs(1))?;
    Ok(Archive { dir: here.join(raw.dir.get_ref()), every })
}

fn check_links(
    raw: &BTreeMap<Text, BTreeMap<Text, Spanned<f64>>>,
    names: &BTreeMap<String, SiteId>,
) -> Result<Vec<Link>, Wrong> {
    let mut links: Vec<Link> = Vec::new();
    for (one, others) in raw {
        for (other, ms) in others {
            let (x, y) = (lookup(one, names)?, lookup(other, names)?);
            let (a, b) = (x.min(y), x.max(y));
            if a == b {
                return wrong(other, "a link joins two different sites");
            }
            if links.iter().any(|link| link.a == a && link.b == b) {
                return wrong(
                    other,
                    format!("the link between {} and {} is given twice", one.get_ref(), other.get_ref()),
                );
            }
            if !(0.0..=10_000.0).contains(ms.get_ref()) {
                return wrong(ms, "a round trip is between 0 and 10000 ms");
            }
            links.push(Link { a, b, round_trip: Duration::from_secs_f64(ms.get_ref() / 1000.0) });
        }
    }
    links.sort_by_key(|link| (link.a, link.b));
    Ok(links)
}
