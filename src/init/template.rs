//! The text of sites.toml, with every setting explained where it stands.

use std::fmt::Write;

use gemini_replication::quic::ClusterId;

use super::Plan;

const SETTINGS: &str = r#"
# [timeouts], [memory], [conflicts] and [log] may be left out; these are the defaults.
[timeouts]
commit = "5s"            # a red transaction without an outcome for so long is refused, or reported unknown
election = "1s"          # a sequencer leader not heard of for so long is replaced (by a distant site a little later)
heartbeat = "100ms"      # how often sites tell each other that they are there and what they have
peer_heartbeat = "300ms" # a quiet link between sites is probed this often
peer_dead = "1500ms"     # a peer not heard of for so long is down
drain = "10s"            # after SIGTERM, what is in flight gets so long to finish

[memory]
# budget = "1GiB"        # of one site; left out: a quarter of what the machine has
connections = 200        # SQL connections at a time

[conflicts]
keep_for = "30d"         # values displaced by concurrent writes can be queried for so long (gemini.conflicts),
keep_bytes = "16MiB"     # as far as they fit into so much

[log]
checkpoint = "64MiB"     # log between two checkpoints: about what a restart replays
keep = "2GiB"            # log kept for a site that is away; one that lacks more is filled with a copy of the tables

# [archive]              # off unless it is there: copies of the log, to roll backups forward
# dir = "archive"        # each site has a folder of its name in it; best on another disk
# every = "60s"          # what is not a full segment yet is copied so often: what a lost disk takes along
"#;

/// The file for a plan and a drawn id.
pub fn render(plan: &Plan, id: &ClusterId) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, plan, id);
    out
}

fn write(out: &mut String, plan: &Plan, id: &ClusterId) -> std::fmt::Result {
    let first = plan.sites.first().map_or("", |site| site.name.as_str());
    let sequencer = plan.sequencer.as_deref().unwrap_or(first);
    writeln!(out, "# A Gemini cluster: the same file at every site. Paths are relative to this file.")?;
    writeln!(out, "# Start a site:  gemini start --site {first} --config sites.toml")?;
    writeln!(out, "\n[cluster]")?;
    writeln!(out, "format = 1   # of this file")?;
    writeln!(out, "id = \"{id}\"   # peers of another cluster are refused")?;
    writeln!(out, "name = {}", quoted(&plan.name))?;
    writeln!(out, "authority = \"certs/ca.crt\"   # signed the certificates of all sites")?;
    writeln!(
        out,
        "minting_classes = 32   # how many sites may ever mint values; fixed for the cluster's life"
    )?;
    writeln!(out, "sequencer = \"{sequencer}\"   # leads the red order whenever it is there")?;
    writeln!(out, "durability = \"local\"   # what sessions start with: this site's disk, or \"quorum\"")?;
    out.push_str(SETTINGS);
    for site in &plan.sites {
        let name = &site.name;
        writeln!(out, "\n[site.{name}]")?;
        writeln!(out, "id = {}   # never used again, also after the site is gone", site.id)?;
        writeln!(out, "sql = \"{}\"   # PostgreSQL protocol; loopback only", site.sql)?;
        writeln!(out, "peer = \"{}\"   # other sites, QUIC over UDP", site.peer)?;
        writeln!(out, "http = \"{}\"   # /status, /metrics, /healthz; loopback only", site.http)?;
        writeln!(out, "data = \"data/{name}\"")?;
        writeln!(out, "certificate = \"certs/{name}.crt\"")?;
        writeln!(out, "key = \"certs/{name}.key\"")?;
        for (peer, address) in &site.via {
            writeln!(out, "via.{peer} = \"{address}\"   # reached through a relay")?;
        }
    }
    if !plan.links.is_empty() {
        writeln!(out, "\n# Round trips in ms that `gemini demo` emulates between the sites.\n[links]")?;
        for (a, b, round_trip) in &plan.links {
            writeln!(out, "{a}.{b} = {}", round_trip.as_secs_f64() * 1000.0)?;
        }
    }
    Ok(())
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
