//! From sites.toml to what the site is told.

use std::time::Duration;

use gemini_engine::log::LogOptions;
use gemini_replication::Timing;

use crate::config::{Cluster, Site};
use crate::site::{MintingClass, Options};

/// W, the certification window: a constant of every cluster of this release.
const WINDOW: u64 = 10_000;
/// How far ahead of ours a peer's clock may be.
const CLOCK_OFFSET: Duration = Duration::from_millis(500);
/// An election begins after at least so many ticks of silence.
const TICKS_PER_ELECTION: u64 = 10;

pub(crate) fn site_options(cluster: &Cluster, site: &Site, random: u64, found: u64) -> Options {
    let times = &cluster.timeouts;
    let defaults = gemini_engine::Options::default();
    let identity = u64::from_be_bytes(first_half(&cluster.id.0)) ^ u64::from(site.id.0);
    let engine = gemini_engine::Options {
        memory: cluster.shares().versions,
        conflicts: cluster.conflicts,
        log: LogOptions {
            identity,
            segment_bytes: segment(cluster.log.checkpoint as u64),
            archive: cluster.archive.is_some(),
            ..defaults.log
        },
        checkpoint_every: cluster.log.checkpoint as u64,
        watch: super::progress::watch(),
    };
    Options {
        id: site.id,
        first: cluster.first(),
        names: cluster.sites.iter().map(|site| (site.id, site.name.clone())).collect(),
        cluster: u128::from_be_bytes(cluster.id.0),
        preferred: Some(cluster.sequencer),
        minting: MintingClass { class: site.minting_class, classes: cluster.minting_classes },
        window: WINDOW,
        commit_timeout: micros(times.commit),
        clock_offset: micros(CLOCK_OFFSET),
        timing: Timing {
            tick: micros(times.election) / TICKS_PER_ELECTION,
            heartbeat: micros(times.heartbeat),
            silence: micros(times.peer_dead) / 2,
            commit: micros(times.commit),
            offset: micros(CLOCK_OFFSET),
            ..Timing::default()
        },
        random,
        found,
        log_keep: cluster.log.keep as u64,
        engine,
    }
}

/// A segment's length: a checkpoint should let go of some.
fn segment(checkpoint: u64) -> u64 {
    (checkpoint / 2).clamp(512 << 10, LogOptions::default().segment_bytes)
}

fn first_half(id: &[u8; 16]) -> [u8; 8] {
    let mut half = [0; 8];
    half.copy_from_slice(&id[..8]);
    half
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
