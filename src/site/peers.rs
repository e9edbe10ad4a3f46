//! Peers: frames in and out, and carrying out what the replica decides.

use std::sync::Arc;

use bytes::Bytes;
use gemini_engine::{Engine, Record};
use gemini_replication::wire::PeerMessage;
use gemini_replication::{Replica, Shelf, replica};
use gemini_shadow_ops::{Dot, Entry, ShadowTransaction, SiteId};

use super::open::{NOTE_PEER, note_peer};
use super::{Output, Site};

/// The engine, as the place where the replica finds again what it has handed over.
pub(super) struct EngineShelf<'a>(pub &'a Engine);

impl Shelf for EngineShelf<'_> {
    fn blue(&self, dot: Dot) -> Option<Arc<ShadowTransaction>> {
        self.0.blue(dot).unwrap_or_else(|error| {
            tracing::error!(%dot, %error, "a logged transaction cannot be read");
            None
        })
    }

    fn red(&self, r: u64) -> Option<Arc<Entry>> {
        self.0.red(r).map(|found| found.map(|(entry, _)| entry)).unwrap_or_else(|error| {
            tracing::error!(r, %error, "a logged red entry cannot be read");
            None
        })
    }

    fn crowded(&self) -> bool {
        self.0.pressure().over
    }
}

impl Site {
    pub(super) fn peer_up(&mut self, peer: SiteId, out: &mut Vec<Output>) {
        tracing::info!(peer = self.name(peer), "linked");
        self.shared.update(|status| {
            let peer = status.peers.entry(peer).or_default();
            peer.linked = true;
            peer.reason.clear();
        });
        self.with_replica(out, |replica, now, shelf, outputs| replica.connected(now, peer, shelf, outputs));
    }

    pub(super) fn peer_down(&mut self, peer: SiteId, reason: String, out: &mut Vec<Output>) {
        tracing::info!(peer = self.name(peer), reason, "link lost");
        self.shared.update(|status| {
            let peer = status.peers.entry(peer).or_default();
            peer.linked = false;
            peer.reason = reason;
        });
        self.with_replica(out, |replica, now, shelf, outputs| {
            replica.disconnected(now, peer, shelf, outputs)
        });
    }

    pub(super) fn frame(&mut self, from: SiteId, bytes: &Bytes, out: &mut Vec<Output>) {
        match PeerMessage::decode(bytes) {
            Ok(message) => self.with_replica(out, |replica, now, shelf, outputs| {
                replica.receive(now, from, message, shelf, outputs);
            }),
            Err(error) => {
                self.counts.bad_frames += 1;
                let reason = format!("a frame from {} cannot be read: {error}", self.name(from));
                out.push(Output::Disconnect { site: from, reason });
            }
        }
    }

    /// Asks the replica and carries out what it answers, in order, before anything else is asked of it.
    pub(super) fn with_replica(
        &mut self,
        out: &mut Vec<Output>,
        ask: impl FnOnce(&mut Replica, u64, &dyn Shelf, &mut Vec<replica::Output>),
    ) {
        let mut outputs = std::mem::take(&mut self.outputs);
        ask(&mut self.replica, self.now, &EngineShelf(&self.engine), &mut outputs);
        for output in outputs.drain(..) {
            self.carry_out(output, out);
        }
        self.outputs = outputs;
    }

    fn carry_out(&mut self, output: replica::Output, out: &mut Vec<Output>) {
        match output {
            replica::Output::Log { dot, transaction } => {
                self.greatest = self.greatest.max(transaction.stamp.hlc);
                self.append(Record::Blue { dot, transaction, local: false });
            }
            replica::Output::Admit { dot, transaction } => {
                self.counts.received += 1;
                let admitted = self.engine.admit_blue(dot, &transaction);
                self.must(admitted);
                self.rights.touched(&transaction.ops);
            }
            replica::Output::AdmitRed { r, entry } => self.admit_red(r, entry, out),
            replica::Output::Persist(bytes) => {
                self.append(Record::Sequencer(bytes));
            }
            replica::Output::Send { to, message } => match message.encode() {
                Ok(frame) => out.push(Output::Send { to, frame: frame.into() }),
                Err(error) => {
                    tracing::error!(to = self.name(to), %error, "a message is too large to be sent")
                }
            },
            replica::Output::Heard { from, message: PeerMessage::Fill(fill) } => {
                self.fill_heard(from, fill, out)
            }
            // Without tables there is nothing to compare.
            replica::Output::Heard { .. } if self.filling() => {}
            replica::Output::Heard { from, message } => self.patrol.receive(self.now, from, message),
            replica::Output::Wanted { from, wants } => self.rights.asked_by(from, wants),
            replica::Output::Replicated { n } => self.replicated(n, out),
            replica::Output::Failed { id, failure } => self.failed(id, failure, out),
            replica::Output::Leader { leader, term } => {
                let name = leader.map_or("none".to_string(), |site| self.name(site));
                tracing::info!(leader = name, term, "the red order's leader");
                let me = self.options.id;
                self.shared.update(|status| {
                    status.leader = leader.map(|site| (site, term));
                    status.leading = leader == Some(me);
                });
            }
            replica::Output::Learned { site, incarnation } => {
                let body = note_peer(site, incarnation);
                self.incarnations.insert(site, incarnation);
                self.note(NOTE_PEER, body);
            }
            replica::Output::Disconnect { peer, reason } => {
                tracing::error!(peer = self.name(peer), reason, "link closed");
                out.push(Output::Disconnect { site: peer, reason });
            }
            replica::Output::Halt { reason } => {
                tracing::error!(reason, "this site commits no more");
                self.halt(reason);
            }
            replica::Output::Removed(removed) => self.was_removed(removed),
            replica::Output::Suspect { peer, reason } => {
                self.counts.bad_frames += 1;
                tracing::warn!(peer = self.name(peer), reason, "a peer's message was ignored");
            }
        }
    }
}
