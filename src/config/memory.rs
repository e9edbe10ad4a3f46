//! A site's memory: one number in sites.toml, and what becomes of it.
//!
//! ```text
//!   budget   ┬─ a fifth      row versions above the store; while the keeper falls behind, up to twice as much
//!            ├─ a quarter    the store: half of it its cache of folded rows, the rest what it has not written out
//!            ├─ an eighth    what waits to be sent, over all peers
//!            ├─ a sixteenth  what was received and is not handled yet, over all peers
//!            └─ the rest     sessions, their plans and results, indexes over the log, the program itself
//! ```
//!
//! What is measured for each part is what it holds; allocators and libraries add to it.

/// The least that a site can work with.
pub(super) const LEAST: usize = 128 << 20;
/// What is taken where the machine does not say how much memory it has.
const UNKNOWN: u64 = 4 << 30;
/// The greatest frame and some more must fit into what waits for a peer.
const OUTBOX: (u64, u64) = (20 << 20, 128 << 20);
const INBOX: (u64, u64) = (4 << 20, 32 << 20);

/// What may be held in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that the site may take, roughly; None: a quarter of what the machine (or its control group) has.
    pub budget: Option<usize>,
    /// SQL connections at a time.
    pub connections: usize,
}

/// The parts of a budget, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Row versions above the store.
    pub versions: u64,
    /// The store's cache and buffers.
    pub store: u64,
    /// What waits to be sent to one peer; over it the link is dropped and resumed.
    pub outbox: u64,
    /// What one peer has sent and is not handled yet; then it is held back.
    pub inbox: u64,
}

impl Memory {
    /// The budget in bytes.
    pub fn budget(&self) -> u64 {
        self.budget.map_or_else(|| (available() / 4).max(LEAST as u64), |bytes| bytes as u64)
    }

    /// The parts of the budget of a site with so many peers.
    pub fn shares(&self, peers: usize) -> Shares {
        let (budget, peers) = (self.budget(), peers.max(1) as u64);
        Shares {
            versions: budget / 5,
            store: budget / 4,
            outbox: (budget / 8 / peers).clamp(OUTBOX.0, OUTBOX.1),
            inbox: (budget / 16 / peers).clamp(INBOX.0, INBOX.1),
        }
    }
}

/// Bytes of memory that this process could have: the machine's, or less if a control group says so.
fn available() -> u64 {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    limit_files(&groups)
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
        .chain(total)
        .min()
        .unwrap_or(UNKNOWN)
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Where limits of the groups in /proc/self/cgroup stand: each group's and those of the groups around it.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            c if c.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut group = group.trim_end_matches('/');
        loop {
            files.push(format!("{root}{group}/{file}"));
            let Some(end) = group.rfind('/') else { break };
            group = &group[..end];
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_within_the_budget() {
        for (budget, most) in [(256 << 20, 2), (1 << 30, 6), (16usize << 30, 6)] {
            for peers in 0..=most {
                let shares = Memory { budget: Some(budget), connections: 1 }.shares(peers);
                let whole = shares.versions + shares.store + (shares.outbox + shares.inbox) * peers as u64;
                assert!(whole < budget as u64, "{shares:?} of {budget} with {peers} peers");
            }
        }
        assert!(Memory { budget: None, connections: 1 }.budget() >= LEAST as u64);
    }

    #[test]
    fn the_machine_and_its_control_groups_say_what_there_is() {
        assert_eq!(total("MemTotal:       24606612 kB\nMemFree: 1 kB\n"), Some(24_606_612 * 1024));
        assert_eq!(total("nothing"), None);
        assert_eq!(
            limit_files("0::/user.slice/a.service\n"),
            [
                "/sys/fs/cgroup/user.slice/a.service/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            limit_files("4:cpu,cpuacct:/x\n5:memory:/\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
    }
}
