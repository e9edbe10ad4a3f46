//! `gemini relay`: the emulated wide area of a sites.toml whose sites reach each other `via` relays.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::config::{Cluster, Site};
use crate::relay::{End, LinkSpec, Relays};

#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    /// The cluster's sites.toml
    #[arg(long, default_value = "sites.toml", value_name = "FILE")]
    config: PathBuf,
    /// Take commands here (cut A B, heal A B, isolate A, delay A B MS, list): a loopback TCP address
    #[arg(long, value_name = "IP:PORT")]
    control: Option<SocketAddr>,
}

/// One link per pair of sites that reach each other by the same relay address.
fn links(cluster: &Cluster) -> Result<Vec<LinkSpec>, CliError> {
    let via = |site: &Site, peer: &Site| {
        site.via.iter().find(|(id, _)| *id == peer.id).map(|(_, address)| *address)
    };
    let mut specs = Vec::new();
    for (i, a) in cluster.sites.iter().enumerate() {
        for b in &cluster.sites[i + 1..] {
            match (via(a, b), via(b, a)) {
                (None, None) => {}
                (Some(there), Some(back)) if there == back => {
                    let end = |site: &Site| End { site: site.name.clone(), address: site.peer };
                    let round_trip = cluster.round_trip(a.id, b.id);
                    specs.push(LinkSpec { listen: there, ..LinkSpec::new(end(a), end(b), round_trip) });
                }
                _ => {
                    let message = format!(
                        "{} and {} must reach each other via one and the same relay address",
                        a.name, b.name
                    );
                    return Err(CliError::Usage(message));
                }
            }
        }
    }
    if specs.is_empty() {
        let message = "no site reaches another through a relay: write via.PEER = \"127.0.0.1:PORT\" into the tables of both";
        return Err(CliError::Usage(message.into()));
    }
    Ok(specs)
}

pub(super) fn run(args: &RelayArgs) -> Result<(), CliError> {
    let cluster = Cluster::load(&args.config)?;
    let failed = |e: crate::relay::RelayError| CliError::Failed(e.to_string());
    let relays = Relays::start(links(&cluster)?).map_err(failed)?;
    let _control = args.control.map(|address| relays.control(address)).transpose().map_err(failed)?;
    for link in relays.status() {
        println!("{} - {} at {}, {:?} each way", link.a, link.b, link.address, link.weather.one_way);
    }
    super::runtime()?.block_on(async { crate::driver::stop_signal().await });
    Ok(())
}
