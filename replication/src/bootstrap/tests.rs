//! Both ends, with files that are byte strings, and links that lose what they are told to lose.

use std::collections::BTreeMap;

use bytes::Bytes;
use gemini_shadow_ops::{Dot, Frontier, SiteId, TxnId};

use super::*;

const ME: SiteId = SiteId(1);
const A: SiteId = SiteId(2);
const B: SiteId = SiteId(3);

fn at(n: u64) -> Frontier {
    let mut frontier = Frontier::default();
    frontier.add(TxnId::Blue(Dot { site: ME, n }));
    frontier
}

fn content(seed: u64, bytes: u64) -> Vec<u8> {
    (0..bytes).map(|i| (i.wrapping_mul(31) ^ seed) as u8).collect()
}

struct Peer {
    source: Source,
    applied: Frontier,
    file: Option<(u64, Vec<u8>)>,
    made: u64,
}

/// One receiver, two sources, and a clock.
struct Bench {
    now: u64,
    receiver: Receiver,
    file: Vec<u8>,
    begun: Option<(SiteId, Offer)>,
    whole: Option<Offer>,
    peers: BTreeMap<SiteId, Peer>,
    down: Vec<SiteId>,
    /// Messages to lose, counted from now.
    lose: u64,
    /// Bytes of pieces that were sent.
    sent: u64,
    most: u64,
}

impl Bench {
    fn new(covers: u64, applied: [u64; 2]) -> Bench {
        let peer = |n| Peer { source: Source::default(), applied: at(n), file: None, made: 0 };
        Bench {
            now: 1_000_000,
            receiver: Receiver::new(1_000_000, vec![A, B], at(covers), None),
            file: Vec::new(),
            begun: None,
            whole: None,
            peers: [(A, peer(applied[0])), (B, peer(applied[1]))].into(),
            down: Vec::new(),
            lose: 0,
            sent: 0,
            most: 0,
        }
    }

    fn lost(&mut self, peer: SiteId) -> bool {
        let lost = self.lose > 0 || self.down.contains(&peer);
        self.lose = self.lose.saturating_sub(1);
        lost
    }

    /// Lets so many ticks of 100 ms pass, or until the image is whole.
    fn run(&mut self, ticks: usize) -> bool {
        for _ in 0..ticks {
            self.now += 100_000;
            let mut out = Vec::new();
            let down = self.down.clone();
            self.receiver.tick(self.now, &|peer| !down.contains(&peer), &mut out);
            self.carry_out(out);
            if self.whole.is_some() {
                return true;
            }
        }
        false
    }

    fn carry_out(&mut self, todo: Vec<Do>) {
        let mut todo: std::collections::VecDeque<Do> = todo.into();
        while let Some(next) = todo.pop_front() {
            let mut out = Vec::new();
            match next {
                Do::Say { to, fill } if !self.lost(to) => {
                    for said in self.ask(to, fill) {
                        if !self.lost(to) {
                            if let Fill::Piece { bytes, .. } = &said {
                                self.sent += bytes.0.len() as u64;
                            }
                            self.receiver.receive(self.now, to, said, &mut out);
                        }
                    }
                }
                Do::Begin { source, offer } => {
                    self.file.clear();
                    self.begun = Some((source, offer));
                }
                Do::Write { offset, bytes } => {
                    assert_eq!(offset, self.file.len() as u64, "pieces are written in order");
                    self.file.extend_from_slice(&bytes);
                    self.receiver.written(self.file.len() as u64, &mut out);
                }
                Do::Install { offer } => self.whole = Some(offer),
                _ => {}
            }
            let taken = out.iter().filter(|o| matches!(o, Do::Say { fill: Fill::Take { .. }, .. })).count();
            self.most = self.most.max(taken as u64);
            todo.extend(out);
        }
    }

    /// What a source answers.
    fn ask(&mut self, to: SiteId, fill: Fill) -> Vec<Fill> {
        let peer = self.peers.get_mut(&to).expect("a source");
        let mut out = Vec::new();
        match fill {
            Fill::Ask { covers } => {
                peer.source.ask(self.now, ME, &covers, &peer.applied, &|_| true, &mut out);
            }
            Fill::Take { image, offset, length } => {
                peer.source.take(self.now, ME, image, offset, length, &mut out);
            }
            other => panic!("a receiver says {other}"),
        }
        let mut said = Vec::new();
        for done in out {
            match done {
                Do::Say { fill, .. } => said.push(fill),
                Do::Make => {
                    peer.made += 1;
                    let (image, bytes) = (u64::from(to.0) * 100 + peer.made, 3_000_000);
                    peer.file = Some((image, content(image, bytes)));
                    let frontier = peer.applied.clone();
                    peer.source.made(self.now, Some(Offer { image, bytes, frontier }));
                }
                Do::Read { image, offset, length, .. } => {
                    let (at, end) = (offset as usize, offset as usize + length as usize);
                    let file = peer.file.as_ref().filter(|(name, _)| *name == image);
                    let bytes = file.map(|(_, content)| Bytes::copy_from_slice(&content[at..end]));
                    let mut more = Vec::new();
                    peer.source.read(ME, image, offset, bytes, &mut more);
                    said.extend(more.into_iter().filter_map(|d| match d {
                        Do::Say { fill, .. } => Some(fill),
                        _ => None,
                    }));
                }
                Do::Remove { .. } => peer.file = None,
                other => panic!("a source does {other:?}"),
            }
        }
        said
    }

    fn check(&self) {
        let offer = self.whole.as_ref().expect("whole");
        assert_eq!(self.file, content(offer.image, offer.bytes));
        assert!(offer.frontier.includes(&at(7)));
    }
}

#[test]
fn an_image_is_made_and_taken_piece_by_piece() {
    let mut bench = Bench::new(7, [9, 9]);
    assert!(bench.run(30));
    bench.check();
    assert_eq!(bench.sent, 3_000_000, "each byte once");
    assert!(bench.most * u64::from(PIECE) <= WINDOW);
    let progress = bench.receiver.progress();
    assert_eq!((progress.source, progress.done, progress.all), (Some(A), 3_000_000, 3_000_000));
}

/// DESIGN §8: only an image that covers the receiver's own frontier, after its own dots are handed over.
#[test]
fn a_source_waits_for_what_the_receiver_hands_over() {
    let mut bench = Bench::new(7, [6, 6]);
    assert!(!bench.run(50));
    assert!(bench.receiver.progress().waits.is_some_and(|why| why.contains("waits until")));
    assert_eq!(bench.peers[&A].made, 0);
    bench.peers.get_mut(&A).expect("A").applied = at(8);
    assert!(bench.run(50));
    bench.check();
}

#[test]
fn an_image_that_does_not_cover_is_not_taken() {
    let mut receiver = Receiver::new(0, vec![A], at(7), None);
    let mut out = Vec::new();
    receiver.tick(1_000_000, &|_| true, &mut out);
    out.clear();
    let offer = Offer { image: 1, bytes: 5, frontier: at(6) };
    receiver.receive(1_000_000, A, Fill::Offer(offer), &mut out);
    assert_eq!(out, vec![]);
}

#[test]
fn it_goes_on_where_it_was_after_losses_and_restarts() {
    let mut bench = Bench::new(7, [9, 9]);
    assert!(bench.run(30));
    // A process that ended in the middle: the next one finds its file, and its note of whose it is.
    let half = 1_000_000;
    let offer = bench.begun.clone().expect("begun").1;
    bench.file = content(offer.image, offer.bytes)[..half].to_vec();
    bench.whole = None;
    bench.sent = 0;
    bench.lose = 3;
    bench.receiver = Receiver::new(bench.now, vec![A, B], at(7), Some((A, offer, half as u64)));
    assert!(bench.run(60));
    bench.check();
    assert!((2_000_000..2_000_000 + WINDOW).contains(&bench.sent), "the rest: {}", bench.sent);
}

#[test]
fn another_source_takes_over_when_one_is_gone() {
    let mut bench = Bench::new(7, [9, 9]);
    bench.down.push(A);
    assert!(bench.run(50));
    bench.check();
    assert_eq!(bench.begun.as_ref().map(|(source, _)| *source), Some(B));
    // And when a source has forgotten its image.
    let offer = Offer { image: 555, bytes: 3_000_000, frontier: at(9) };
    bench.down.clear();
    (bench.whole, bench.file) = (None, vec![0; 10]);
    bench.receiver = Receiver::new(bench.now, vec![A, B], at(7), Some((A, offer, 10)));
    assert!(bench.run(60));
    bench.check();
}

#[test]
fn an_image_goes_when_nobody_takes_from_it() {
    let mut source = Source::default();
    let mut out = Vec::new();
    source.made(0, Some(Offer { image: 1, bytes: 5, frontier: at(6) }));
    source.tick(599_000_000, &mut out);
    assert_eq!(out, vec![]);
    assert_eq!(source.frontier(), Some(&at(6)));
    source.tick(601_000_000, &mut out);
    assert_eq!(out, vec![Do::Remove { image: 1 }]);
    source.take(601_000_000, ME, 1, 0, 5, &mut out);
    assert_eq!(out[1], Do::Say { to: ME, fill: Fill::Gone { image: 1 } });
}
