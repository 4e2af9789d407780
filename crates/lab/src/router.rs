//! The router: every packet between the lab's hosts passes through our hands. One network namespace and one TUN a host.
//!
//! In: hosts with their addresses, a [`Link`], names, and a [`Machine`] at the border. Out: hosts in which threads and
//! programs can be run ([`Host::run`]), and what crossed. Nothing outside of the namespaces made here is touched: they
//! have no way to the machine's own network, and are gone with this process.
//! No `unsafe`: `nix` and `tun-rs` hold it. Namespaces want root, or `unshare --map-root-user`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fmt, io};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tempfile::NamedTempFile;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::censor::machine::{Deeds, Machine, Verdict, Way, resets};
use crate::censor::people::{Place, Present, Source};
use crate::censor::probe::{Probe, Sign, Suspect};
use crate::censor::sight::{answer, question};
use crate::censor::{Net, ZONES};
use crate::packet::{Kind, Packet, datagram};

/// Name of the TUN in each host.
const DEVICE: &str = "way0";
/// Largest packet, as on an ordinary line.
const MTU: &str = "1500";
/// Addresses at which the router itself answers DNS: the provider's resolver, and one abroad.
pub const RESOLVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 1, 53), Ipv4Addr::new(8, 8, 8, 8)];

/// What a line does to packets, each way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Time on the way.
    pub delay: Duration,
    /// Up to so much more, by dice: packets overtake one another.
    pub jitter: Duration,
    /// Of a hundred packets, so many are lost.
    pub loss_percent: f64,
    /// Bytes in a second that a host may send; 0: any.
    pub bytes_per_s: u64,
}

impl Default for Link {
    /// 40 ms there and back, no loss.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss_percent: 0.0,
            bytes_per_s: 0,
        }
    }
}

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// The system makes no namespace.
    #[error("network namespaces cannot be made here ({0}); the lab wants root, or `unshare --map-root-user`")]
    Namespace(#[from] nix::Error),
    /// The system gives no TUN.
    #[error("no TUN to be had (is there /dev/net/tun?): {0}")]
    Tun(io::Error),
    /// A file that cannot be made.
    #[error("no temporary file: {0}")]
    File(io::Error),
    /// The program `ip` is missing or does not do it.
    #[error("`ip {0}` did not work")]
    Ip(String),
    /// A thread ended early.
    #[error("a thread of the lab ended early")]
    Thread,
}

/// What the lab is made of.
#[derive(Debug)]
pub struct Plan {
    /// Hosts by name, each with its address.
    pub hosts: Vec<(&'static str, Ipv4Addr)>,
    /// The line.
    pub link: Link,
    /// What the resolvers answer.
    pub names: BTreeMap<String, Ipv4Addr>,
    /// Who stands at the border.
    pub machine: Machine,
    /// For loss and jitter.
    pub seed: u64,
}

/// A running router and its hosts.
#[derive(Debug)]
pub struct Router {
    hosts: BTreeMap<&'static str, Host>,
    names: BTreeMap<String, Ipv4Addr>,
    shared: Arc<Mutex<Shared>>,
    started: Instant,
    events: Sender<Event>,
    loops: Vec<JoinHandle<()>>,
}

/// What crossed the border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of packets that clients and servers sent over it, headers included.
    pub wire_bytes: u64,
    /// Connections that clients began.
    pub openings: u64,
    /// Connections that were cut.
    pub cuts: u64,
    /// What the censor did.
    pub deeds: Deeds,
}

#[derive(Debug)]
struct Shared {
    machine: Machine,
    wire_bytes: u64,
    /// Client and server of every connection that began.
    openings: HashSet<(SocketAddrV4, SocketAddrV4)>,
    /// Those that are to be cut.
    cut: HashSet<(SocketAddrV4, SocketAddrV4)>,
    /// Those that were.
    reset: HashSet<(SocketAddrV4, SocketAddrV4)>,
    /// Where a relay of the censor's stands.
    honeypot: Option<Ipv4Addr>,
}

enum Event {
    Packet(Vec<u8>),
    End,
}

/// One host: a network namespace of its own.
#[derive(Clone)]
pub struct Host {
    /// Its address.
    pub address: Ipv4Addr,
    namespace: Arc<File>,
    /// Stands in the place of `/etc/resolv.conf`.
    resolver: Arc<NamedTempFile>,
    device: Arc<SyncDevice>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", self.address)
    }
}

impl Host {
    fn make(address: Ipv4Addr) -> Result<Self, RouterError> {
        // A thread of its own, so that nobody else is moved.
        std::thread::spawn(move || Self::make_here(address))
            .join()
            .map_err(|_| RouterError::Thread)?
    }

    fn make_here(address: Ipv4Addr) -> Result<Self, RouterError> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let namespace = File::open("/proc/thread-self/ns/net").map_err(RouterError::Tun)?;
        let device = DeviceBuilder::new()
            .name(DEVICE)
            .layer(Layer::L3)
            .build_sync()
            .map_err(RouterError::Tun)?;
        let address_and_size = format!("{address}/32");
        for words in [
            ["link", "set", "lo", "up"].as_slice(),
            &["addr", "add", &address_and_size, "dev", DEVICE],
            &["link", "set", DEVICE, "mtu", MTU, "up"],
            &["route", "add", "default", "dev", DEVICE],
        ] {
            ip(words)?;
        }
        let resolver = NamedTempFile::new().map_err(RouterError::File)?;
        std::fs::write(resolver.path(), format!("nameserver {}\n", RESOLVERS[0])).map_err(RouterError::File)?;
        Ok(Self {
            address,
            namespace: Arc::new(namespace),
            resolver: Arc::new(resolver),
            device: Arc::new(device),
        })
    }

    /// Runs this on a thread that lives in the host; programs that it starts live there too.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let (namespace, resolver) = (Arc::clone(&self.namespace), Arc::clone(&self.resolver));
        std::thread::spawn(move || {
            setns(&*namespace, CloneFlags::CLONE_NEWNET).expect("a namespace of our own");
            ask_this_resolver(resolver.path()).expect("a mount of our own");
            work()
        })
    }
}

/// Programs of this thread find the lab's resolver in the usual place; nobody else sees the change.
fn ask_this_resolver(file: &Path) -> nix::Result<()> {
    const NOTHING: Option<&Path> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?;
    mount(Some(file), "/etc/resolv.conf", NOTHING, MsFlags::MS_BIND, NOTHING)
}

fn ip(words: &[&str]) -> Result<(), RouterError> {
    let status = Command::new("ip").args(words).status();
    if status.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(RouterError::Ip(words.join(" ")))
    }
}

impl Router {
    /// Makes the hosts and carries packets between them until it is dropped.
    pub fn start(plan: Plan) -> Result<Self, RouterError> {
        let started = Instant::now();
        let (events, packets) = channel();
        let shared = Arc::new(Mutex::new(Shared {
            machine: plan.machine,
            wire_bytes: 0,
            openings: HashSet::new(),
            cut: HashSet::new(),
            reset: HashSet::new(),
            honeypot: None,
        }));
        let (mut hosts, mut loops) = (BTreeMap::new(), Vec::new());
        for (name, address) in plan.hosts {
            let host = Host::make(address)?;
            loops.push(read_all(Arc::clone(&host.device), events.clone()));
            hosts.insert(name, host);
        }
        let carrier = Carrier {
            started,
            devices: hosts
                .values()
                .map(|host| (host.address, Arc::clone(&host.device)))
                .collect(),
            link: plan.link,
            names: plan.names.clone(),
            shared: Arc::clone(&shared),
            dice: ChaCha20Rng::seed_from_u64(plan.seed),
            due: BinaryHeap::new(),
            order: 0,
            busy_until: BTreeMap::new(),
        };
        loops.push(std::thread::spawn(move || carrier.run(&packets)));
        Ok(Self {
            hosts,
            names: plan.names,
            shared,
            started,
            events,
            loops,
        })
    }

    /// A host by its name in the plan.
    pub fn host(&self, name: &str) -> &Host {
        &self.hosts[name]
    }

    /// The censor begins.
    pub fn begin(&self) {
        let now = self.started.elapsed();
        self.with(|shared| shared.machine.begin(now));
    }

    /// Cuts every connection over the border that has begun: with its next packet both ends are reset.
    pub fn cut(&self) {
        self.with(|shared| shared.cut = shared.openings.clone());
    }

    /// Who of the censor's people is there.
    pub fn present(&self) -> Present {
        self.with(|shared| shared.machine.present())
    }

    /// Somebody hears of the places that this address (RTE-5) says.
    pub fn told(&self, source: Source, address: &str) {
        let now = self.started.elapsed();
        let place = Place::of(address, |name| self.names.get(name).copied());
        self.with(|shared| shared.machine.told(now, source, &place));
    }

    /// At this address stands a relay of the censor's.
    pub fn watch(&self, honeypot: Ipv4Addr) {
        self.with(|shared| shared.honeypot = Some(honeypot));
    }

    /// How many clients the censor's relay has seen.
    pub fn seen(&self) -> usize {
        self.with(|shared| shared.seen())
    }

    /// Servers to be probed, each once.
    pub fn suspects(&self) -> Vec<(Suspect, Probe)> {
        self.with(|shared| shared.machine.suspects())
    }

    /// A server was taken for a proxy.
    pub fn convict(&self, suspect: &Suspect, sign: Sign) {
        let now = self.started.elapsed();
        self.with(|shared| shared.machine.convict(now, suspect, sign));
    }

    /// What is on the censor's lists.
    pub fn listed(&self) -> Vec<String> {
        self.with(|shared| shared.machine.listed())
    }

    /// What crossed the border so far.
    pub fn traffic(&self) -> Traffic {
        self.with(|shared| Traffic {
            wire_bytes: shared.wire_bytes,
            openings: shared.openings.len() as u64,
            cuts: shared.reset.len() as u64,
            deeds: shared.machine.deeds(),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.events.send(Event::End);
        // A device that is gone ends who reads it.
        let endings: Vec<_> = self
            .hosts
            .values()
            .map(|host| host.run(|| ip(&["link", "del", DEVICE])))
            .collect();
        for ending in endings {
            let _ = ending.join();
        }
        for each in self.loops.drain(..) {
            let _ = each.join();
        }
    }
}

fn read_all(device: Arc<SyncDevice>, events: Sender<Event>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(size) = device.recv(&mut buffer) {
            if events.send(Event::Packet(buffer[..size].to_vec())).is_err() {
                return;
            }
        }
    })
}

/// When it arrives, its order, where, what.
type OnTheWay = (Duration, u64, Ipv4Addr, Vec<u8>);

/// The loop that carries packets.
struct Carrier {
    started: Instant,
    devices: BTreeMap<Ipv4Addr, Arc<SyncDevice>>,
    link: Link,
    names: BTreeMap<String, Ipv4Addr>,
    shared: Arc<Mutex<Shared>>,
    dice: ChaCha20Rng,
    due: BinaryHeap<Reverse<OnTheWay>>,
    order: u64,
    busy_until: BTreeMap<Ipv4Addr, Duration>,
}

impl Carrier {
    fn run(mut self, packets: &Receiver<Event>) {
        loop {
            self.deliver();
            let wait = self.due.peek().map_or(Duration::from_secs(60), |Reverse((at, ..))| {
                at.saturating_sub(self.started.elapsed())
            });
            match packets.recv_timeout(wait) {
                Ok(Event::Packet(bytes)) => self.take(bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.started.elapsed();
        while let Some(Reverse((at, ..))) = self.due.peek()
            && *at <= now
            && let Some(Reverse((_, _, to, bytes))) = self.due.pop()
        {
            if let Some(device) = self.devices.get(&to) {
                // A host that is overrun loses packets, as hosts do.
                let _ = device.send(&bytes);
            }
        }
    }

    fn take(&mut self, bytes: Vec<u8>) {
        let Some(packet) = Packet::read(&bytes) else { return };
        let now = self.started.elapsed();
        let (to, from) = (packet.to, packet.from);
        let verdict = way(&packet).map(|way| {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.count(way, &packet);
            shared
                .cut(way, &packet)
                .unwrap_or_else(|| shared.machine.judge(now, way, &packet))
        });
        if verdict.is_none() {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.overhear(now, &packet);
        }
        let passes = verdict.as_ref().is_none_or(|verdict| verdict.passes);
        for forged in verdict.into_iter().flat_map(|verdict| verdict.forged) {
            if let Some(to) = Packet::read(&forged).map(|packet| packet.to) {
                self.order += 1;
                // From the middle of the way: a lie comes before the truth.
                self.due
                    .push(Reverse((now + self.link.delay / 2, self.order, to, forged)));
            }
        }
        if !passes || self.is_lost() {
            return;
        }
        let told = self.resolve(&packet);
        let arrives = self.arrives(now, from, bytes.len());
        self.order += 1;
        self.due.push(match told {
            Some(reply) => Reverse((arrives + self.link.delay, self.order, from, reply)),
            None => Reverse((arrives, self.order, to, bytes)),
        });
    }

    fn is_lost(&mut self) -> bool {
        let dice = f64::from(self.dice.next_u32()) / f64::from(u32::MAX);
        dice * 100.0 < self.link.loss_percent
    }

    /// When a packet is there: behind what its sender sent before, and after the way.
    fn arrives(&mut self, now: Duration, from: Ipv4Addr, size: usize) -> Duration {
        let busy = self.busy_until.entry(from).or_default();
        if self.link.bytes_per_s > 0 {
            *busy = now.max(*busy) + Duration::from_secs_f64(size as f64 / self.link.bytes_per_s as f64);
        }
        let jitter_us = u32::try_from(self.link.jitter.as_micros()).unwrap_or(u32::MAX);
        let more = Duration::from_micros(u64::from(self.dice.next_u32() % jitter_us.max(1)));
        now.max(*busy) + self.link.delay + more
    }

    /// The answer to a question to one of the resolvers.
    fn resolve(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let Kind::Udp(asked) = packet.kind else { return None };
        if asked.to != 53 || !RESOLVERS.contains(&packet.to) {
            return None;
        }
        let name = question(asked.payload)?;
        let told = answer(asked.payload, self.names.get(&name).copied());
        let (from, to) = (
            SocketAddrV4::new(packet.to, 53),
            SocketAddrV4::new(packet.from, asked.from),
        );
        Some(datagram(from, to, &told))
    }
}

impl Shared {
    /// What a packet of a connection that was cut meets.
    fn cut(&mut self, way: Way, packet: &Packet<'_>) -> Option<Verdict> {
        let Kind::Tcp(segment) = packet.kind else { return None };
        let from = SocketAddrV4::new(packet.from, segment.from);
        let to = SocketAddrV4::new(packet.to, segment.to);
        let ends = if way == Way::Out { (from, to) } else { (to, from) };
        if !self.cut.contains(&ends) {
            return None;
        }
        self.reset.insert(ends);
        Some(Verdict {
            passes: false,
            forged: resets((from, to), &segment).into(),
        })
    }

    /// Clients that have begun a connection to the censor's relay.
    fn seen(&self) -> usize {
        let all = self.openings.iter();
        let seen = all.filter(|(_, to)| self.honeypot == Some(*to.ip()));
        seen.map(|(from, _)| *from.ip()).collect::<HashSet<_>>().len()
    }

    /// To whom the censor's relay was asked to pass on, it tells.
    fn overhear(&mut self, now: Duration, packet: &Packet<'_>) {
        if let Kind::Tcp(segment) = packet.kind
            && segment.is_opening
            && self.honeypot == Some(packet.from)
        {
            let at = vec![SocketAddrV4::new(packet.to, segment.to)];
            self.machine.told(now, Source::Relay, &Place { name: None, at });
        }
    }

    fn count(&mut self, way: Way, packet: &Packet<'_>) {
        self.wire_bytes += packet.size as u64;
        if let Kind::Tcp(segment) = packet.kind
            && segment.is_opening
            && way == Way::Out
        {
            let (from, to) = (
                SocketAddrV4::new(packet.from, segment.from),
                SocketAddrV4::new(packet.to, segment.to),
            );
            self.openings.insert((from, to));
        }
    }
}

/// Which way a packet crosses the border between the clients and everybody else; nothing if it does not.
fn way(packet: &Packet<'_>) -> Option<Way> {
    let inside = Net::try_from(ZONES[0].1.to_owned()).expect("a zone of ours");
    match (inside.holds(packet.from), inside.holds(packet.to)) {
        (true, false) => Some(Way::Out),
        (false, true) => Some(Way::In),
        (true, true) | (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::censor::Censor;
    use crate::packet::{opening, segment};

    const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 10), 5000);
    const NEXT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);

    fn shared() -> Shared {
        let text = "id='x'\nabout='x'\nsource='x'\nconfidence='invented'\n\
                    [[person]]\ndoes='run-relay'\nturns_s=1.0\nlists=['port']";
        Shared {
            machine: Machine::new(Censor::parse(text, &BTreeMap::new()).unwrap(), 1, 1.0),
            wire_bytes: 0,
            openings: HashSet::new(),
            cut: HashSet::new(),
            reset: HashSet::new(),
            honeypot: None,
        }
    }

    #[test]
    fn the_censors_relay_tells_to_whom_it_passes_on_and_no_other_relay_does() {
        let mut shared = shared();
        let overhear = |shared: &mut Shared, bytes: &[u8]| {
            shared.overhear(Duration::ZERO, &Packet::read(bytes).unwrap());
            shared.machine.listed()
        };
        let dials = opening(RELAY, NEXT, 1);
        assert!(overhear(&mut shared, &dials).is_empty(), "nobody's relay");
        shared.honeypot = Some(*RELAY.ip());
        assert!(
            overhear(&mut shared, &opening(NEXT, RELAY, 1)).is_empty(),
            "who comes to it"
        );
        assert!(
            overhear(&mut shared, &segment(RELAY, NEXT, 1, b"x")).is_empty(),
            "it dials nobody"
        );
        assert_eq!(overhear(&mut shared, &dials), ["203.0.113.10:443"]);
    }

    #[test]
    fn clients_that_the_censors_relay_has_seen_are_counted_once_each() {
        let mut shared = shared();
        shared.honeypot = Some(*NEXT.ip());
        for (host, port) in [(2, 1), (2, 2), (3, 1)] {
            let from = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, host), port);
            shared.count(Way::Out, &Packet::read(&opening(from, NEXT, 1)).unwrap());
            shared.count(Way::Out, &Packet::read(&opening(from, RELAY, 1)).unwrap());
        }
        assert_eq!(shared.seen(), 2);
        shared.honeypot = None;
        assert_eq!(shared.seen(), 0);
    }
}
