//! Golden scripts: a few replicas moved by hand, and everything they say and do as text, compared to a file.
//!
//! Messages wait in a queue, in order, until the script delivers them; syncs happen when it says so. `UPDATE_GOLDEN=1` rewrites
//! the files: a change of the protocol is then a readable difference.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use gemini_shadow_ops::{Dot, Entry, EntryId, Frontier, MemberChange, Members, SiteId};

use crate::replica::Output;
use crate::simulation::site::{Record, Site, entry, transaction};
use crate::wire::{PeerMessage, Short};

pub struct Script {
    pub now: u64,
    pub sites: Vec<Option<Site>>,
    queue: VecDeque<(u16, u16, PeerMessage)>,
    /// Links whose messages are swallowed.
    pub cut: BTreeSet<(u16, u16)>,
    /// Whether chatter (heartbeats and answers to them, acknowledgements) is written down.
    pub chatter: bool,
    pub text: String,
}

impl Script {
    /// So many sites, linked, with site 0 as leader and everything quiet.
    pub fn new(sites: u16) -> Script {
        let mut script = Script {
            now: 1_000_000_000_000,
            sites: Vec::new(),
            queue: VecDeque::new(),
            cut: BTreeSet::new(),
            chatter: false,
            text: String::new(),
        };
        for id in 0..sites {
            script.sites.push(Some(Site::open(script.now, SiteId(id), sites, Vec::new(), 0)));
        }
        for id in 0..sites {
            script.at(id, |site, now, out| site.replica.start(now, &site.maps, out));
            script.connect(id);
        }
        script.pass(2_000);
        script.text.clear();
        script
    }

    /// A title in the text.
    pub fn title(&mut self, title: &str) {
        let _ = writeln!(self.text, "\n# {title}");
    }

    /// Runs something at a site.
    pub fn at(&mut self, id: u16, run: impl FnOnce(&mut Site, u64, &mut Vec<Output>)) {
        let Some(mut site) = self.sites[usize::from(id)].take() else { return };
        let mut out = Vec::new();
        run(&mut site, self.now, &mut out);
        for output in out {
            self.write(id, &output);
            if let Some(Output::Send { to, message }) = site.carry_out(output) {
                self.queue.push_back((id, to.0, message));
            }
        }
        self.sites[usize::from(id)] = Some(site);
    }

    fn write(&mut self, id: u16, output: &Output) {
        let line = match output {
            Output::Log { dot, .. } => format!("log {dot}"),
            Output::Admit { dot, .. } => format!("apply {dot}"),
            Output::AdmitRed { r, entry } => format!("apply r{r} = {}", Short(entry)),
            Output::Persist(bytes) => format!("persist {}", crate::sequencer::describe(bytes)),
            Output::Send { to, message } => {
                if !self.chatter && chatter(message) {
                    return;
                }
                format!("→ {to}  {message}")
            }
            other => format!("{other:?}"),
        };
        let _ = writeln!(self.text, "{id}: {line}");
    }

    /// Everything that a site has appended is on disk.
    pub fn sync(&mut self, id: u16) {
        let text = self.text.len();
        self.at(id, |site, now, out| {
            let (upto, mark) = (site.log.len(), site.replica.seal());
            site.sync(upto);
            site.replica.durable(now, mark, &site.maps, out);
        });
        if self.text.len() > text {
            self.text.insert_str(text, &format!("{id}: (synced)\n"));
        }
    }

    /// Delivers the first `n` messages between these two, or all.
    pub fn deliver(&mut self, from: u16, to: u16) {
        let (these, others) =
            std::mem::take(&mut self.queue).into_iter().partition(|(f, t, _)| (*f, *t) == (from, to));
        self.queue = others;
        let these: VecDeque<_> = these;
        for (from, to, message) in these {
            self.give(from, to, message);
        }
    }

    fn give(&mut self, from: u16, to: u16, message: PeerMessage) {
        if !self.cut.contains(&(from.min(to), from.max(to))) {
            self.at(to, |site, now, out| site.replica.receive(now, SiteId(from), message, &site.maps, out));
        }
    }

    /// Delivers and syncs until nobody has anything more to say.
    pub fn settle(&mut self) {
        for _ in 0..200 {
            for id in 0..self.sites.len() as u16 {
                self.sync(id);
            }
            let Some((from, to, message)) = self.queue.pop_front() else { break };
            self.give(from, to, message);
        }
    }

    /// Time passes, with everything that belongs to it.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.now += 20_000;
            for id in 0..self.sites.len() as u16 {
                self.at(id, |site, now, out| site.replica.tick(now, &site.maps, out));
            }
            self.settle();
        }
    }

    /// Links a site with all others.
    pub fn connect(&mut self, id: u16) {
        for other in 0..self.sites.len() as u16 {
            if other < id && self.sites[usize::from(other)].is_some() {
                self.at(id, |site, now, out| site.replica.connected(now, SiteId(other), &site.maps, out));
                self.at(other, |site, now, out| site.replica.connected(now, SiteId(id), &site.maps, out));
            }
        }
    }

    /// A blue transaction at a site.
    pub fn commit(&mut self, id: u16) -> Dot {
        let mut dot = Dot { site: SiteId(id), n: 0 };
        self.at(id, |site, now, out| {
            dot.n = site.replica.own() + 1;
            let t = transaction(site.id, now, site.replica.applied().clone());
            site.carry_out(Output::Log { dot, transaction: t.clone() });
            if let Some(Record::Blue { local, .. }) = site.log.last_mut() {
                *local = true;
            }
            site.applied.set_blue(dot.site, dot.n);
            site.replica.committed(now, dot, &t, &site.maps, out);
        });
        let _ = writeln!(self.text, "{id}: commits {dot}");
        dot
    }

    /// One site more, which has not joined.
    pub fn add(&mut self, first: u16) -> u16 {
        let id = self.sites.len() as u16;
        self.sites.push(Some(Site::open(self.now, SiteId(id), first, Vec::new(), 0)));
        self.at(id, |site, now, out| site.replica.start(now, &site.maps, out));
        id
    }

    /// A change of the members, proposed by a site until it shows there.
    pub fn change(&mut self, id: u16, change: MemberChange) {
        let before = self.members(id);
        for _ in 0..40 {
            self.at(id, |site, now, out| {
                assert_eq!(site.replica.propose_change(now, change.clone(), &site.maps, out), Ok(()));
            });
            self.pass(500);
            if self.members(id) != before {
                return;
            }
        }
        panic!("no change: {}", self.text);
    }

    /// The members where a site is.
    pub fn members(&self, id: u16) -> Members {
        self.sites[usize::from(id)].as_ref().map(|site| site.members.clone()).unwrap_or_default()
    }

    /// A red entry at a site.
    pub fn propose(&mut self, id: u16, timeout_ms: u64) -> EntryId {
        let mut named = EntryId { site: SiteId(id), start: 0, counter: 0 };
        self.at(id, |site, now, out| {
            let entry: Arc<Entry> = entry(site, now);
            let Entry::Transaction(t) = &*entry else { return };
            named = t.id;
            let result = site.replica.propose(now, entry, now + timeout_ms * 1000, &site.maps, out);
            assert_eq!(result, Ok(()));
        });
        named
    }

    /// A crash: what was not synced is lost, and what was under way to it.
    pub fn crash(&mut self, id: u16) -> Vec<Record> {
        let Some(mut site) = self.sites[usize::from(id)].take() else { return Vec::new() };
        site.log.truncate(site.synced);
        self.queue.retain(|(from, to, _)| *from != id && *to != id);
        let _ = writeln!(self.text, "{id}: crashes");
        for other in 0..self.sites.len() as u16 {
            self.at(other, |at, now, out| at.replica.disconnected(now, SiteId(id), &at.maps, out));
        }
        site.log
    }

    /// A start on what is left of a log.
    pub fn open(&mut self, id: u16, log: Vec<Record>) {
        let sites = self.sites.len() as u16;
        self.sites[usize::from(id)] = Some(Site::open(self.now, SiteId(id), sites, log, 0));
        let _ = writeln!(self.text, "{id}: starts");
        self.at(id, |site, now, out| site.replica.start(now, &site.maps, out));
        for other in 0..sites {
            if other != id {
                self.at(id, |site, now, out| site.replica.connected(now, SiteId(other), &site.maps, out));
                self.at(other, |site, now, out| site.replica.connected(now, SiteId(id), &site.maps, out));
            }
        }
    }

    pub fn applied(&self, id: u16) -> Frontier {
        self.sites[usize::from(id)].as_ref().map(|s| s.applied.clone()).unwrap_or_default()
    }

    /// Compares the text with a file beside the crate's sources.
    pub fn check(&self, name: &str) {
        golden(name, self.text.trim_start());
    }
}

/// Compares a text with a file beside the crate's sources.
pub fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("can be made");
        std::fs::write(&path, text).expect("can be written");
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "{} differs; UPDATE_GOLDEN=1 rewrites it. Now:\n{text}", path.display());
}

fn chatter(message: &PeerMessage) -> bool {
    use crate::wire::RaftMessage;
    if let PeerMessage::Relay(relay) = message {
        return PeerMessage::relayed(relay.kind, &relay.body.0).is_ok_and(|inner| chatter(&inner));
    }
    matches!(
        message,
        PeerMessage::Heartbeat(_)
            | PeerMessage::Acks(_)
            | PeerMessage::Hello(_)
            | PeerMessage::Sequencer(RaftMessage::Heartbeat { .. } | RaftMessage::HeartbeatReply { .. })
    )
}
