//! Emulated wide-area links: user-space UDP relays between sites, with a delay in each direction, that can be cut
//! and healed while they run. No kernel module, no root.
//!
//! ```text
//!   us-east ◄──────► relay socket of the pair ◄──────► us-west
//!   (its own UDP       one address, used by            (its own UDP
//!    address)          both as "the other"              address)
//!
//!   receiving thread per pair ──► heap of (deadline, packet) ──► one sending thread
//! ```
//!
//! Each pair of sites has one socket. A datagram from one end leaves for the other after the one-way delay, so each
//! site sees its peer at the relay's address, in both directions, and neither address ever changes (QUIC takes no
//! migration for it). Datagrams from anybody else are dropped.
//!
//! **Invariants.** A direction keeps its order, also under jitter: a deadline is never before the one ahead of it.
//! What is in flight when a link is cut is lost. A queue is bounded; what does not fit is lost, as in a router.
//!
//! Deadlines are kept by a thread that waits on a condition variable, not by tokio, whose timer rounds up to whole
//! milliseconds: that would add up to 2 ms to a round trip. Bandwidth is not emulated.

mod control;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

pub use control::Control;

/// What may wait in one link, in bytes; more is lost.
const QUEUE_BYTES: usize = 64 << 20;
/// A receiving thread looks this often whether it is to stop.
const LOOK: Duration = Duration::from_millis(250);

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The site's name.
    pub site: String,
    /// The UDP address it sends from and receives on.
    pub address: SocketAddr,
}

/// A link to emulate.
#[derive(Clone, Debug)]
pub struct LinkSpec {
    /// One end.
    pub a: End,
    /// The other.
    pub b: End,
    /// Where the relay listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What travels on it.
    pub weather: Weather,
}

/// How a link behaves, the same in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// Half the round trip.
    pub one_way: Duration,
    /// Up to so much more, at random.
    pub jitter: Duration,
    /// The share of datagrams lost, 0 to 1.
    pub loss: f64,
}

impl LinkSpec {
    /// A link with a given round trip on a free loopback port.
    pub fn new(a: End, b: End, round_trip: Duration) -> LinkSpec {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        LinkSpec { a, b, listen, weather: Weather { one_way: round_trip / 2, ..Weather::default() } }
    }
}

/// Why a relay cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RelayError {
    #[error("cannot open the relay between {a} and {b} on {address}: {cause}")]
    Bind { a: String, b: String, address: SocketAddr, cause: io::Error },
    #[error("cannot start a thread for the relays: {0}")]
    Thread(io::Error),
    #[error("there is no link between {0} and {1}")]
    NoSuchLink(String, String),
    #[error("no link has an end called {0}")]
    NoSuchSite(String),
    #[error("cannot listen for relay commands on {0}: {1}")]
    Control(SocketAddr, io::Error),
}

/// How a link is.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LinkStatus {
    pub a: String,
    pub b: String,
    /// Where both ends send to.
    pub address: SocketAddr,
    pub cut: bool,
    pub weather: Weather,
    /// Datagrams passed on, in both directions.
    pub passed: u64,
    /// Datagrams lost: cut, weather, or a full queue.
    pub lost: u64,
}

struct Link {
    a: End,
    b: End,
    address: SocketAddr,
    socket: UdpSocket,
    state: Mutex<LinkState>,
    passed: AtomicU64,
    lost: AtomicU64,
}

struct LinkState {
    weather: Weather,
    cut: bool,
    /// What was in flight in an earlier life is lost.
    life: u64,
    /// No later datagram leaves before these: towards a, towards b.
    latest: [Option<Instant>; 2],
    queued: usize,
    random: u64,
}

struct Packet {
    link: Arc<Link>,
    life: u64,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// Ordered by deadline, then by arrival.
struct Due {
    at: Instant,
    number: u64,
    packet: Packet,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
struct Heap {
    due: BinaryHeap<Reverse<Due>>,
    number: u64,
}

struct Shared {
    links: Vec<Arc<Link>>,
    heap: Mutex<Heap>,
    sooner: Condvar,
    stopping: AtomicBool,
}

/// The relays of one emulated wide area; they stop when this is dropped.
pub struct Relays {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Relays {
    /// Opens every link.
    pub fn start(specs: Vec<LinkSpec>) -> Result<Relays, RelayError> {
        let links = specs.into_iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
        let shared = Arc::new(Shared {
            links,
            heap: Mutex::default(),
            sooner: Condvar::new(),
            stopping: AtomicBool::new(false),
        });
        let mut relays = Relays { shared: shared.clone(), threads: Vec::new() };
        for link in &shared.links {
            let (shared, link) = (shared.clone(), link.clone());
            relays.spawn("relay-in", move || receive(&shared, &link))?;
        }
        relays.spawn("relay-out", move || pass_on(&shared))?;
        Ok(relays)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), RelayError> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(work).map_err(RelayError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where each of the two sends to reach the other.
    pub fn address(&self, x: &str, y: &str) -> Option<SocketAddr> {
        self.shared.find(x, y).ok().map(|link| link.address)
    }

    /// Loses everything between two sites from now on, and what is under way.
    pub fn cut(&self, x: &str, y: &str) -> Result<(), RelayError> {
        self.shared.find(x, y)?.set_cut(true);
        Ok(())
    }

    /// Ends a cut.
    pub fn heal(&self, x: &str, y: &str) -> Result<(), RelayError> {
        self.shared.find(x, y)?.set_cut(false);
        Ok(())
    }

    /// Cuts a site off from all others.
    pub fn isolate(&self, site: &str) -> Result<(), RelayError> {
        self.shared.isolate(site)
    }

    /// Ends every cut.
    pub fn heal_all(&self) {
        self.shared.heal_all();
    }

    /// Changes a link's weather; what is under way keeps its deadline.
    pub fn set_weather(&self, x: &str, y: &str, weather: Weather) -> Result<(), RelayError> {
        self.shared.find(x, y)?.state.lock().weather = weather;
        Ok(())
    }

    /// All links.
    pub fn status(&self) -> Vec<LinkStatus> {
        self.shared.links.iter().map(|link| link.status()).collect()
    }

    /// Takes commands as lines on a loopback TCP port; see [`Control`].
    pub fn control(&self, listen: SocketAddr) -> Result<Control, RelayError> {
        Control::start(self.shared.clone(), listen)
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Taken and released so that a sender about to wait has seen the flag or gets the wake.
        drop(self.shared.heap.lock());
        self.shared.sooner.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to stop.
            let _ = thread.join();
        }
    }
}

fn open((index, spec): (usize, LinkSpec)) -> Result<Arc<Link>, RelayError> {
    let bound = UdpSocket::bind(spec.listen).and_then(|socket| {
        socket.set_read_timeout(Some(LOOK))?;
        Ok((socket.local_addr()?, socket))
    });
    let (address, socket) = bound.map_err(|cause| RelayError::Bind {
        a: spec.a.site.clone(),
        b: spec.b.site.clone(),
        address: spec.listen,
        cause,
    })?;
    let state = LinkState {
        weather: spec.weather,
        cut: false,
        life: 0,
        latest: [None; 2],
        queued: 0,
        random: 0x9e37_79b9_7f4a_7c15 ^ (index as u64 + 1),
    };
    Ok(Arc::new(Link {
        a: spec.a,
        b: spec.b,
        address,
        socket,
        state: Mutex::new(state),
        passed: AtomicU64::new(0),
        lost: AtomicU64::new(0),
    }))
}

impl Shared {
    fn find(&self, x: &str, y: &str) -> Result<&Arc<Link>, RelayError> {
        let joins = |link: &&Arc<Link>| {
            (link.a.site == x && link.b.site == y) || (link.a.site == y && link.b.site == x)
        };
        self.links.iter().find(joins).ok_or_else(|| RelayError::NoSuchLink(x.to_owned(), y.to_owned()))
    }

    fn isolate(&self, site: &str) -> Result<(), RelayError> {
        let mut found = false;
        for link in self.links.iter().filter(|link| link.a.site == site || link.b.site == site) {
            link.set_cut(true);
            found = true;
        }
        if found { Ok(()) } else { Err(RelayError::NoSuchSite(site.to_owned())) }
    }

    fn heal_all(&self) {
        self.links.iter().for_each(|link| link.set_cut(false));
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

impl Link {
    fn set_cut(&self, cut: bool) {
        let mut state = self.state.lock();
        state.cut = cut;
        if cut {
            state.life += 1;
        }
    }

    fn status(&self) -> LinkStatus {
        let state = self.state.lock();
        LinkStatus {
            a: self.a.site.clone(),
            b: self.b.site.clone(),
            address: self.address,
            cut: state.cut,
            weather: state.weather,
            passed: self.passed.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// When a datagram that arrived at `now` leaves, and in which life; `None` if it is lost.
    fn admit(&self, now: Instant, direction: usize, size: usize) -> Option<(Instant, u64)> {
        let mut state = self.state.lock();
        let weather = state.weather;
        if state.cut || state.queued + size > QUEUE_BYTES || state.chance() < weather.loss {
            return None;
        }
        let jitter = weather.jitter.mul_f64(state.chance());
        let wanted = now + weather.one_way + jitter;
        let at = state.latest[direction].map_or(wanted, |latest| latest.max(wanted));
        state.latest[direction] = Some(at);
        state.queued += size;
        Some((at, state.life))
    }

    /// The datagram leaves the queue; whether it may still be passed on.
    fn release(&self, size: usize, life: u64) -> bool {
        let mut state = self.state.lock();
        state.queued = state.queued.saturating_sub(size);
        !state.cut && state.life == life
    }
}

impl LinkState {
    /// In [0, 1): xorshift64*, seeded per link.
    fn chance(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn receive(shared: &Arc<Shared>, link: &Arc<Link>) {
    let mut buffer = vec![0; 65_536];
    while !shared.stopping() {
        let (size, from) = match link.socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            // A refusal of an earlier datagram by a site that is not there, say; never a reason to spin.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
        };
        let now = Instant::now();
        let (to, direction) = if from == link.a.address {
            (link.b.address, 1)
        } else if from == link.b.address {
            (link.a.address, 0)
        } else {
            continue;
        };
        let Some((at, life)) = link.admit(now, direction, size) else {
            link.lost.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let packet = Packet { link: link.clone(), life, to, bytes: buffer[..size].to_vec() };
        let mut heap = shared.heap.lock();
        heap.number += 1;
        let number = heap.number;
        let sooner = heap.due.peek().is_none_or(|Reverse(first)| at < first.at);
        heap.due.push(Reverse(Due { at, number, packet }));
        drop(heap);
        if sooner {
            shared.sooner.notify_one();
        }
    }
}

fn pass_on(shared: &Arc<Shared>) {
    let mut ready = Vec::new();
    while !shared.stopping() {
        {
            let mut heap = shared.heap.lock();
            let now = Instant::now();
            while heap.due.peek().is_some_and(|Reverse(first)| first.at <= now) {
                ready.extend(heap.due.pop().map(|Reverse(due)| due.packet));
            }
            if ready.is_empty() && !shared.stopping() {
                match heap.due.peek().map(|Reverse(first)| first.at) {
                    Some(at) => drop(shared.sooner.wait_until(&mut heap, at)),
                    None => shared.sooner.wait(&mut heap),
                }
            }
        }
        for packet in ready.drain(..) {
            let alive = packet.link.release(packet.bytes.len(), packet.life);
            let sent = alive && packet.link.socket.send_to(&packet.bytes, packet.to).is_ok();
            let counter = if sent { &packet.link.passed } else { &packet.link.lost };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
