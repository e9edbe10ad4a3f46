//! Frames of peers, one after the other, heard by a replica among three.
//!
//! ```text
//!   input:  [how] [kind] [length, 2 bytes] [body …]   [how] [kind] …
//!            │ bit 0: from site 2 or 3; bits 1 to 3: how many ticks of 100 ms pass before it
//! ```
//!
//! The replica has greeted both peers. Around it is a site that does what it is told and checks that it is told sense: blue
//! of each origin in order and once, red in order and once, nothing before the blue that it depends on. That an entry has
//! seen no red index at or after its own is what an honest leader checks before it proposes; a leader is believed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use gemini_replication::replica::{Options, Output, Recovered, Replica, Shelf, Timing};
use gemini_replication::wire::{Acks, Hello, PROTOCOL, PeerMessage, Reading, Tail};
use gemini_shadow_ops::{
    Dot, Entry, Frontier, Hlc, Member, Members, Ruling, ShadowTransaction, SiteId, TxnId,
};

use super::records::{apply, judge};

const ME: SiteId = SiteId(1);
const CLUSTER: u128 = 77;
/// 2026-01-01, µs since 1970.
const BEGIN: u64 = 1_767_225_600_000_000;

/// Hears a row of frames.
pub fn fuzz_peer_frames(bytes: &[u8]) {
    let mut site = Site::new();
    let mut rest = bytes;
    while let Some(([how, kind, l0, l1], after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([*l0, *l1])).min(after.len());
        let (body, next) = after.split_at(length);
        rest = next;
        for _ in 0..(how >> 1) & 7 {
            site.pass();
        }
        let frame = PeerMessage::framed(*kind, body);
        let Ok(message) = PeerMessage::decode(&frame) else { continue };
        shown(&message);
        site.hear(SiteId(2 + u16::from(how & 1)), message);
    }
    for _ in 0..20 {
        site.pass();
    }
}

/// What is decoded encodes to what decodes to it, and can be shown.
fn shown(message: &PeerMessage) {
    let again = message.encode().expect("it was short enough to come");
    assert_eq!(PeerMessage::decode(&again).as_ref(), Ok(message));
    assert!(!message.to_string().is_empty());
}

/// What stands in the log.
#[derive(Default)]
struct Log {
    blue: RefCell<BTreeMap<Dot, Arc<ShadowTransaction>>>,
    red: RefCell<BTreeMap<u64, Arc<Entry>>>,
}

impl Shelf for Log {
    fn blue(&self, dot: Dot) -> Option<Arc<ShadowTransaction>> {
        self.blue.borrow().get(&dot).cloned()
    }

    fn red(&self, r: u64) -> Option<Arc<Entry>> {
        self.red.borrow().get(&r).cloned()
    }
}

struct Site {
    now: u64,
    replica: Replica,
    log: Log,
    applied: Frontier,
    members: Members,
    halted: bool,
}

impl Site {
    fn new() -> Site {
        let options = Options {
            me: ME,
            contacts: Vec::new(),
            preferred: Some(ME),
            cluster: CLUSTER,
            incarnation: 1001,
            start: 1,
            timing: Timing::default(),
            filling: false,
        };
        let member =
            |site: SiteId| Member { name: format!("s{site}"), peer: String::new(), class: u32::from(site.0) };
        let members =
            Members::first([1, 2, 3].map(SiteId).into_iter().map(|site| (site, member(site))).collect());
        let recovered = Recovered { members: members.clone(), ..Recovered::default() };
        let replica = Replica::new(BEGIN, options, recovered).expect("well configured");
        let mut site = Site {
            now: BEGIN,
            replica,
            log: Log::default(),
            applied: Frontier::default(),
            members,
            halted: false,
        };
        site.step(|replica, now, log, out| replica.start(now, log, out));
        for peer in [2, 3].map(SiteId) {
            site.step(|replica, now, log, out| replica.connected(now, peer, log, out));
            let hello = hello(peer, site.members.genesis(), site.now);
            site.hear(peer, PeerMessage::Hello(hello));
        }
        site
    }

    fn pass(&mut self) {
        self.now += 100_000;
        self.step(|replica, now, log, out| replica.tick(now, log, out));
    }

    fn hear(&mut self, from: SiteId, message: PeerMessage) {
        self.step(|replica, now, log, out| replica.receive(now, from, message, log, out));
    }

    /// One call, what comes of it, and its sync.
    fn step(&mut self, call: impl FnOnce(&mut Replica, u64, &Log, &mut Vec<Output>)) {
        if self.halted {
            return;
        }
        let mut out = Vec::new();
        call(&mut self.replica, self.now, &self.log, &mut out);
        self.carry_out(out);
        let mark = self.replica.seal();
        let mut out = Vec::new();
        self.replica.durable(self.now, mark, &self.log, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Log { dot, transaction } => {
                    let next =
                        self.log.blue.borrow().keys().filter(|d| d.site == dot.site).count() as u64 + 1;
                    assert_eq!(dot.n, next, "the log holds each origin in order");
                    self.log.blue.borrow_mut().insert(dot, transaction);
                }
                Output::Admit { dot, transaction } => {
                    assert!(self.applied.includes(&transaction.deps), "{dot} before what it depends on");
                    assert_eq!(dot.n, self.applied.blue(dot.site) + 1, "each origin in order, once");
                    apply(TxnId::Blue(dot), &transaction);
                    self.applied.add(TxnId::Blue(dot));
                }
                Output::AdmitRed { r, entry } => {
                    assert_eq!(r, self.applied.red + 1, "red in order, once");
                    let covered = |(site, n)| self.applied.blue(site) >= n;
                    let stands = self.members.decide(r, &entry) == Ruling::Stands;
                    let blue = !stands || entry.deps().is_none_or(|deps| deps.blues().all(covered));
                    assert!(blue, "r{r} before the blue that it depends on");
                    judge(r, &entry);
                    self.applied.add(TxnId::Red(r));
                    self.log.red.borrow_mut().insert(r, entry);
                }
                Output::Send { message, .. } => shown(&message),
                Output::Halt { .. } | Output::Removed(_) => self.halted = true,
                _ => {}
            }
        }
    }
}

fn hello(site: SiteId, genesis: u64, now: u64) -> Hello {
    Hello {
        cluster: CLUSTER,
        protocol: PROTOCOL,
        site,
        incarnation: 1000 + u64::from(site.0),
        schema_version: 0,
        genesis,
        heard: true,
        own: Tail::default(),
        yours: Tail::default(),
        acks: Acks::default(),
        clock: Reading { epoch: 0, hlc: Hlc { micros: now, count: 0 } },
    }
}
