//! The first words on a link: whether both ends belong together, and whether either is an old copy of itself.
//!
//! | found | then |
//! |---|---|
//! | another cluster, protocol version, first members, or another name than the certificate's | the link is closed |
//! | a site that was removed | it is told so, stops, and says so |
//! | a clock too far ahead | the link is closed, and tried again later |
//! | the peer's incarnation is not the one noted | the link is closed: its directory is a new one under an old name |
//! | the peer has more of *our* transactions than we, or other | we stop committing: our directory is an old copy |
//! | we have other transactions of the *peer* than it has | the link is closed; it finds out the same, and whether we have more, from our Hello |
//!
//! "Other" is found by comparing a hash of the last transaction that both have under one number, where its bytes are still kept.

use gemini_shadow_ops::{Dot, Frontier, SiteId};

use super::{Output, Replica, Shelf};
use crate::wire::{Hello, PROTOCOL, PeerMessage, Tail, transaction_hash};

impl Replica {
    /// Says Hello.
    pub(super) fn salute(&mut self, now: u64, peer: SiteId, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        if !self.greeted.contains(&peer) {
            self.saluted.insert(peer, now);
        }
        let hello = self.hello(now, peer, shelf);
        out.push(Output::Send { to: peer, message: PeerMessage::Hello(hello) });
    }

    /// Links on which the peer has not answered: says Hello again, for the case that it was lost.
    pub(super) fn salute_again(&mut self, now: u64, shelf: &dyn Shelf, out: &mut Vec<Output>) {
        let waited = |at: &u64| now.saturating_sub(*at) > self.options.timing.propose;
        let peers: Vec<SiteId> =
            self.saluted.iter().filter(|(_, at)| waited(at)).map(|(peer, _)| *peer).collect();
        for peer in peers {
            self.salute(now, peer, shelf, out);
        }
    }

    /// What we say first.
    fn hello(&self, now: u64, peer: SiteId, shelf: &dyn Shelf) -> Hello {
        let acks = self.causal.acks().clone();
        Hello {
            cluster: self.options.cluster,
            protocol: PROTOCOL,
            site: self.options.me,
            incarnation: self.options.incarnation,
            schema_version: self.schema_version,
            genesis: self.members().genesis(),
            heard: self.greeted.contains(&peer),
            own: tail(&acks.durable, self.options.me, shelf),
            yours: tail(&acks.durable, peer, shelf),
            acks,
            clock: self.clock.reading(now),
        }
    }

    /// What the peer says first.
    pub(super) fn greet(
        &mut self,
        now: u64,
        from: SiteId,
        hello: Hello,
        shelf: &dyn Shelf,
        out: &mut Vec<Output>,
    ) {
        if self.greeted.contains(&from) {
            // Said again: ours was lost.
            if !hello.heard {
                self.salute(now, from, shelf, out);
            }
            return;
        }
        if let Err(reason) = self.belongs(now, from, &hello) {
            return self.cut(now, from, reason, shelf, out);
        }
        if let Err(reason) = self.is_ours(&hello, shelf) {
            return self.halt(reason, out);
        }
        if let Err(reason) = self.is_theirs(from, &hello, shelf) {
            return self.cut(now, from, reason, shelf, out);
        }
        if self.incarnations.insert(from, hello.incarnation).is_none() {
            out.push(Output::Learned { site: from, incarnation: hello.incarnation });
        }
        self.greeted.insert(from);
        self.freshness.greet(from);
        self.saluted.remove(&from);
        self.routes.connected(now, from);
        if !hello.heard {
            self.salute(now, from, shelf, out);
        }
        // A new life of the link: the stream begins where the peer says it is.
        self.causal.forget(from);
        self.reroute(now, shelf, out);
        self.take(now, from, PeerMessage::Acks(hello.acks), shelf, out);
    }

    fn belongs(&mut self, now: u64, from: SiteId, hello: &Hello) -> Result<(), String> {
        if hello.protocol != PROTOCOL {
            return Err(format!(
                "it speaks protocol {}, this site {PROTOCOL}: run the same release at every site",
                hello.protocol
            ));
        }
        if hello.cluster != self.options.cluster {
            return Err(format!(
                "it belongs to cluster {:032x}, this site to {:032x} (the sites of a restored cluster are all restored from the \
                 same backup)",
                hello.cluster, self.options.cluster
            ));
        }
        if hello.genesis != self.members().genesis() {
            return Err("it was started with other first members (sites without `joined = true`): use one sites.toml at every site".into());
        }
        if hello.site != from {
            return Err(format!("it says that it is site {}", hello.site));
        }
        match self.incarnations.get(&from) {
            Some(known) if *known != hello.incarnation => {
                return Err(
                    "its data directory is not the one that this site knows: a site without its disk, or \
                            restored from a copy, joins as a new site"
                        .into(),
                );
            }
            _ => {}
        }
        self.clock.check(now, hello.clock).map_err(|e| e.to_string())
    }

    /// Whether what the peer has of us is what we have.
    fn is_ours(&self, hello: &Hello, shelf: &dyn Shelf) -> Result<(), String> {
        let me = self.options.me;
        let ours = self.causal.acks().durable.blue(me);
        compare(hello.yours, ours, me, shelf).map_err(|how| {
            format!(
                "site {} {how} of this site's transactions: this directory is an old copy of itself",
                hello.site
            )
        })
    }

    /// Whether what we have of the peer is what it has. Only bytes are compared: more than it says may have come by a faster way
    /// than its Hello.
    fn is_theirs(&self, from: SiteId, hello: &Hello, shelf: &dyn Shelf) -> Result<(), String> {
        let Tail { count, hash } = hello.own;
        if count == 0 || count > self.causal.acks().durable.blue(from) {
            return Ok(());
        }
        match shelf.blue(Dot { site: from, n: count }) {
            Some(t) if differ(hash, transaction_hash(&t)) => {
                Err(format!("its transaction {from}.{count} is not the one that this site has"))
            }
            _ => Ok(()),
        }
    }
}

/// The end of `site`'s transactions on our disk.
fn tail(durable: &Frontier, site: SiteId, shelf: &dyn Shelf) -> Tail {
    let count = durable.blue(site);
    let last = (count > 0).then(|| shelf.blue(Dot { site, n: count })).flatten();
    Tail { count, hash: last.map_or(0, |t| transaction_hash(&t)) }
}

/// A peer's end of our transactions against our own.
fn compare(theirs: Tail, ours: u64, me: SiteId, shelf: &dyn Shelf) -> Result<(), String> {
    if theirs.count > ours {
        return Err(format!("has {} instead of {ours}", theirs.count));
    }
    let same = (theirs.count > 0).then(|| shelf.blue(Dot { site: me, n: theirs.count })).flatten();
    match same {
        Some(t) if differ(theirs.hash, transaction_hash(&t)) => {
            Err(format!("has another number {}", theirs.count))
        }
        _ => Ok(()),
    }
}

/// 0: the bytes are no longer kept.
fn differ(a: u64, b: u64) -> bool {
    a != 0 && b != 0 && a != b
}
