//! The relay on the network: a TCP listener, and what stands behind it.
//!
//! In: a [`Config`]. Out: a running relay and its route. HTTP/1.1, plain or inside TLS. What is
//! answered is the service's job; here are sockets, limits on them, and the end.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stonechat_wire::face::{FaceRelay, RelaySecret};
use stonechat_wire::frame::FORWARDS;
use stonechat_wire::ids::DoorPath;
use stonechat_wire::route::{RelayRoute, near_path, relay_path};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::acme::{Acme, Keeper, RootsError, Subject, Word};
use crate::home::{Home, HomeError, dice};
use crate::limits::Limits;
use crate::operate::metrics::Metrics;
use crate::route::inside_tls;
use crate::service::{Access, ConnectionId, Service, Source};
use crate::store::StoreError;
use crate::store::import::import;
use crate::store::log::SegmentLog;

pub mod bridge;
mod connection;
mod cover;
mod doors;
mod engine;
mod entrance;
mod ext_port;
mod figures;
mod forward;
mod front;
pub mod http;
mod poll;
mod sessions;
mod site;
mod tls;

use bridge::{BridgeConfig, BridgeError, Kept};
pub use connection::EndReason;
use connection::{Seat, serve};
use cover::Cover;
pub use cover::CoverChoice;
use engine::Engine;
use entrance::{Entrance, ShownOut, Ticket};
use ext_port::{Cookie, ExtPortError};
use forward::Forwarding;
use front::FrontError;
pub use front::{Front, NoTelling, Telling};
use sessions::Sessions;
pub use site::SiteError;
use tls::{Outer, Stream};
pub(crate) use tls::{Proof, Shown};
pub use tls::{TlsError, TlsFiles};

/// Pause after a failed accept, for instance when the process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepted connections that wait to be taken over.
const ACCEPTED_WAITING: usize = 16;

/// How long connections may take to hear that the relay ends, and when to come back.
const PARTING: Duration = Duration::from_secs(2);
/// How long those may take to end that did not hear it.
const GOODBYES: Duration = Duration::from_secs(3);

/// How a relay is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any.
    pub listen: SocketAddr,
    /// Where else to listen: another port, for whom this one is closed to.
    pub also_listen: Vec<SocketAddr>,
    /// The data folder: keys, secret, mailboxes.
    pub data: PathBuf,
    /// The address that goes into the route (RTE-5); else the one listened on.
    pub advertise: Option<String>,
    /// Certificate and key: the relay speaks TLS, and its route says so.
    pub tls: Option<TlsFiles>,
    /// Where it gets a certificate by itself, for whom `advertise` names: the same as with `tls`, once it has one (ACM-1).
    pub acme: Option<Acme>,
    /// Who holds the certificate in the relay's place: then it listens in plain, for that one only (RLY-46).
    pub front: Option<Front>,
    /// What stands there for everybody else.
    pub cover: CoverChoice,
    /// Who may use it.
    pub access: AccessChoice,
    /// Where the address listened on is "any", the route names this machine's address on the local network; without
    /// it, loopback.
    pub lan: bool,
    /// A near relay's nonce: it stands at a path of its own as long as it announces itself with this one (LAN-5).
    pub near: Option<[u8; 8]>,
    /// The relays that clients may have bytes passed on to.
    pub forward: Vec<RelayRoute>,
    /// An obfs4 bridge to it.
    pub bridge: Option<BridgeConfig>,
    /// Where to tell figures, on loopback.
    pub metrics: Option<SocketAddr>,
    /// How far it lets things grow.
    pub limits: Limits,
}

impl Config {
    /// A near relay that passes on, to relays that it is told of while it runs (FWD-12).
    const fn lends(&self) -> bool {
        self.near.is_some() && self.limits.forwards > 0
    }
}

/// Who may use a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessChoice {
    /// Whoever has the route: its secret lies in the data folder.
    Secret,
    /// Everybody.
    Open,
}

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The mailboxes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificate and key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The authorities of the certificate's directory.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// A certificate of whom?
    #[error(
        "a certificate is asked for, but `public` names nobody that a directory can look at: a name with a dot, or an IP"
    )]
    NoSubject,
    /// The site that covers it.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Its bridge.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// The address to listen on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The system gives no thread.
    #[error("cannot start the store's thread: {0}")]
    Thread(io::Error),
}

/// A relay that is about to run.
#[derive(Debug)]
pub struct Relay;

impl Relay {
    /// Opens the data folder, listens, and serves until [`Running::stop`]. Wants a tokio runtime with time and I/O.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let cover = Cover::new(&config.cover)?;
        let home = Home::open(&config.data)?;
        let (outer, keeper) = outer(&config)?;
        let mut store = SegmentLog::open(&home.mailboxes, dice()?)?;
        import(&home.old_mailboxes, &mut store)?;
        let (listener, local_addr) = bind(config.listen).await?;
        let mut others = Vec::new();
        for address in &config.also_listen {
            others.push(bind(*address).await?);
        }
        let route = route(&config, &home, local_addr);
        let (gate, cookie) = gate(&config).await?;
        let bridge = bridge(&config, gate.as_ref().zip(cookie.as_ref()), &route).await?;
        let (bridge, bridge_route) = bridge.unzip();
        let access = match config.access {
            AccessChoice::Secret => Access::Secrets(home.secrets.clone()),
            AccessChoice::Open => Access::Open,
        };
        let mut service = Service::new(store, access, config.limits);
        if !config.forward.is_empty() || config.lends() {
            service.announce(FORWARDS);
        }
        let metrics = Metrics::default();
        let certificate = keeper.as_ref().map(Keeper::telling);
        if let Some(word) = &certificate {
            metrics.certificate(word.clone());
        }
        let figures = figures::bind(config.metrics).await;
        let figures = figures.map_err(|error| StartError::Listen(config.metrics.unwrap_or(local_addr), error))?;
        let (engine, ended) = Engine::start(service, metrics.clone()).map_err(StartError::Thread)?;
        let metrics_addr = figures.as_ref().and_then(|listener| listener.local_addr().ok());
        let telling = figures.map(|listener| tokio::spawn(figures::tell(listener, metrics)));
        let (stop, asked_to_stop) = watch::channel(false);
        let paths = paths(config.access, config.near, &home);
        let forwarding = Arc::new(Forwarding::new(&config.forward, config.limits));
        let hall = Arc::new(Hall::new(
            engine,
            home.keys.clone(),
            (outer, config.front, cookie, paths, cover),
            Arc::clone(&forwarding),
            config.limits,
            config.near.is_some(),
        ));
        let also_at = others.iter().map(|(_, address)| *address).collect();
        let listeners = std::iter::once(listener).chain(others.into_iter().map(|(listener, _)| listener));
        let listeners = listeners.map(|listener| (listener, Gate::Main));
        let listeners = listeners.chain(gate.map(|(listener, _)| (listener, Gate::Bridge)));
        let accepting = tokio::spawn(accept_all(listeners.collect(), hall, asked_to_stop));
        // Only from here on can it prove who it is.
        let keeping = keeper.map(|keeper| tokio::spawn(keeper.keep()));
        tracing::info!("relay is up");
        Ok(Running {
            local_addr,
            also_at,
            metrics_addr,
            telling,
            certificate,
            keeping,
            route,
            bridge,
            bridge_route,
            forwarding,
            stop,
            accepting,
            ended,
            _home: home,
        })
    }
}

/// Runs a relay until Ctrl-C or SIGTERM; `started` is told once it listens.
pub async fn run(config: Config, started: impl FnOnce(&Running)) -> Result<(), StartError> {
    let running = Relay::start(config).await?;
    started(&running);
    asked_to_end().await;
    running.stop().await;
    Ok(())
}

/// A relay that serves.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub local_addr: SocketAddr,
    /// Where else.
    pub also_at: Vec<SocketAddr>,
    /// Where it tells its figures.
    pub metrics_addr: Option<SocketAddr>,
    telling: Option<JoinHandle<()>>,
    /// How its certificate stands, where it gets one by itself.
    pub certificate: Option<watch::Receiver<Word>>,
    keeping: Option<JoinHandle<()>>,
    /// How to reach it. Whoever has it may use the relay.
    pub route: RelayRoute,
    bridge: Option<Kept>,
    /// How to reach it by its bridge.
    pub bridge_route: Option<RelayRoute>,
    forwarding: Arc<Forwarding>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
    _home: Home,
}

impl Running {
    /// The route as text, `stone:r...`.
    pub fn route_text(&self) -> String {
        self.route.to_text()
    }

    /// From now on bytes are passed on to these relays alone; channels to others, or to where these were, end.
    pub fn forward_to(&self, routes: &[RelayRoute]) {
        self.forwarding.lead_to(routes);
    }

    /// Takes no more connections, ends those there are, finishes what is in hand, closes the store.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if let Some(keeping) = self.keeping {
            keeping.abort();
        }
        drop(self.bridge);
        let _ = self.accepting.await;
        let _ = self.ended.await;
        if let Some(telling) = self.telling {
            telling.abort();
        }
        tracing::info!("relay is down");
    }
}

/// What all connections share.
#[derive(Debug)]
struct Hall {
    engine: Engine,
    keys: RelaySecret,
    outer: Outer,
    front: Option<Front>,
    /// What the bridge's program proves itself with.
    cookie: Option<Cookie>,
    paths: Arc<HashSet<DoorPath>>,
    cover: Arc<Cover>,
    closing: watch::Sender<bool>,
    next_id: AtomicU64,
    entrance: Entrance,
    sessions: Sessions,
    forwarding: Arc<Forwarding>,
    limits: Limits,
    /// It is for the networks that this machine is on, and answers nobody else.
    is_near: bool,
}

impl Hall {
    fn new(
        engine: Engine,
        keys: RelaySecret,
        (outer, front, cookie, paths, cover): (Outer, Option<Front>, Option<Cookie>, HashSet<DoorPath>, Cover),
        forwarding: Arc<Forwarding>,
        limits: Limits,
        is_near: bool,
    ) -> Self {
        let (closing, _) = watch::channel(false);
        let (next_id, entrance) = (AtomicU64::new(1), Entrance::new(limits));
        Self {
            engine,
            keys,
            outer,
            front,
            cookie,
            paths: Arc::new(paths),
            cover: Arc::new(cover),
            closing,
            next_id,
            entrance,
            sessions: Sessions::default(),
            forwarding,
            limits,
            is_near,
        }
    }

    /// A place for a connection from there, if there is one: the address it comes from, or its front or bridge for now.
    fn enter(&self, gate: Gate, from: IpAddr) -> Option<(Ticket, ShownOut)> {
        match &self.front {
            _ if gate == Gate::Bridge => Some(self.entrance.enter_unknown()),
            None => self.entrance.enter(from),
            Some(front) if front.is_at(from) => Some(self.entrance.enter_unknown()),
            Some(_) => None,
        }
    }

    /// Goes through what stands around a connection: TLS, or what a front or the bridge's program says before it.
    async fn uncover(&self, gate: Gate, mut stream: TcpStream, from: IpAddr) -> Result<Uncovered, Unsaid> {
        if let (Gate::Bridge, Some(cookie)) = (gate, &self.cookie) {
            let whose = ext_port::hear(&mut stream, cookie, dice()?).await?;
            return Ok(Uncovered {
                stream: Stream::Left(stream),
                bytes: Vec::new(),
                whose: Some(whose.unwrap_or(from)),
            });
        }
        let (stream, bytes, whose) = match self.front.as_ref().map(|front| front.telling) {
            None => (self.outer.accept(stream).await?, Vec::new(), Some(from)),
            Some(Telling::Http) => (Stream::Left(stream), Vec::new(), None),
            Some(Telling::ProxyProtocol) => {
                let (whose, bytes) = front::hear(&mut stream).await?;
                (Stream::Left(stream), bytes, Some(whose.unwrap_or(from)))
            }
        };
        Ok(Uncovered { stream, bytes, whose })
    }

    /// What a connection, or a session over requests, is given at its start.
    fn seat(self: &Arc<Self>, ticket: Ticket, source: Source, front: Option<IpAddr>) -> Result<Seat, HomeError> {
        let face = FaceRelay::new(&self.keys, dice()?);
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (engine, stopping) = (self.engine.clone(), self.closing.subscribe());
        Ok(Seat {
            id,
            source,
            front,
            hall: Arc::clone(self),
            engine,
            sessions: self.sessions.clone(),
            forwarding: Arc::clone(&self.forwarding),
            paths: Arc::clone(&self.paths),
            cover: Arc::clone(&self.cover),
            face,
            stopping,
            ticket,
            limits: self.limits,
        })
    }
}

/// Where a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Where everybody does.
    Main,
    /// From the bridge's program.
    Bridge,
}

/// Why a connection came to nothing before its first request.
#[derive(Debug, thiserror::Error)]
enum Unsaid {
    #[error(transparent)]
    Front(#[from] FrontError),
    #[error("bridge: {0}")]
    Bridge(#[from] ExtPortError),
    #[error(transparent)]
    NoDice(#[from] HomeError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A connection with what stands around it gone through.
struct Uncovered {
    stream: Stream,
    /// What was read of it already.
    bytes: Vec<u8>,
    /// Whose it is; its first request tells where nobody stands here.
    whose: Option<IpAddr>,
}

/// What stands around connections, and who keeps its certificate.
fn outer(config: &Config) -> Result<(Outer, Option<Keeper>), StartError> {
    let Some(acme) = config.acme.clone() else {
        return Ok((Outer::new(config.tls.as_ref())?, None));
    };
    let subject = config.advertise.as_deref().and_then(Subject::of);
    let (subject, shown) = (subject.ok_or(StartError::NoSubject)?, Arc::new(Shown::default()));
    let keeper = Keeper::new(acme, subject, &config.data, Arc::clone(&shown))?;
    Ok((Outer::showing(shown)?, Some(keeper)))
}

/// A listener for the bridge's program, on this machine.
async fn gate(config: &Config) -> Result<(Option<(TcpListener, SocketAddr)>, Option<Cookie>), StartError> {
    if config.bridge.is_none() {
        return Ok((None, None));
    }
    let gate = bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
    Ok((Some(gate), Some(Cookie::new(dice()?))))
}

/// The bridge, and the route to it: it has the relay's own secret.
async fn bridge(
    config: &Config,
    gate: Option<(&(TcpListener, SocketAddr), &Cookie)>,
    route: &RelayRoute,
) -> Result<Option<(Kept, RelayRoute)>, StartError> {
    let Some((bridge, ((_, at), cookie))) = config.bridge.as_ref().zip(gate) else {
        return Ok(None);
    };
    let kept = bridge::start(bridge, &config.data, *at, cookie).await?;
    let own = if config.advertise.is_some() {
        route.address.clone()
    } else {
        reachable(kept.at, config.lan).to_string()
    };
    let address = bridge::address(bridge.advertise.as_deref(), &own, kept.at, &kept.cert)?;
    let route = RelayRoute {
        address,
        ..route.clone()
    };
    Ok(Some((kept, route)))
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let not_there = |error| StartError::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(not_there)?;
    let local = listener.local_addr().map_err(not_there)?;
    Ok((listener, local))
}

async fn accept_all(listeners: Vec<(TcpListener, Gate)>, hall: Arc<Hall>, mut asked_to_stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut accepting = JoinSet::new();
    let (accepted, mut accepted_in) = mpsc::channel(ACCEPTED_WAITING);
    for (listener, gate) in listeners {
        accepting.spawn(accept(listener, gate, accepted.clone()));
    }
    loop {
        tokio::select! {
            Some(accepted) = accepted_in.recv() => {
                let (stream, from, gate) = *accepted;
                connections.spawn(welcome(stream, gate, from.ip(), Arc::clone(&hall)));
            }
            Some(_) = connections.join_next() => {}
            _ = asked_to_stop.wait_for(|stop| *stop) => break,
        }
    }
    accepting.shutdown().await;
    part(&hall, &mut connections).await;
    let goodbyes = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYES, goodbyes).await.is_err() {
        connections.shutdown().await;
    }
    let _ = hall.engine.stop().await;
}

/// In a box on its way: the queue keeps what was in it until somebody else's comes to the same place.
type Accepted = (TcpStream, SocketAddr, Gate);

/// Accepts at one address, as fast as connections are taken over.
async fn accept(listener: TcpListener, gate: Gate, accepted: mpsc::Sender<Box<Accepted>>) {
    loop {
        match Box::pin(accept_one(&listener, gate)).await {
            Ok(one) => {
                if accepted.send(one).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Apart from the loop around it, whose state would keep the last address that came until the next one does.
async fn accept_one(listener: &TcpListener, gate: Gate) -> io::Result<Box<Accepted>> {
    let (stream, from) = listener.accept().await?;
    Ok(Box::new((stream, from, gate)))
}

/// Lets everybody know when to come back, and gives them a moment to hear it (RLY-38).
async fn part(hall: &Hall, connections: &mut JoinSet<()>) {
    // Without dice all would come back at once: better than never.
    let _ = hall.engine.part(dice().unwrap_or_default()).await;
    let parting = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(PARTING, parting).await;
    let _ = hall.closing.send(true);
}

/// One connection, if there is room. One that finds none is closed without a word, and so is a stranger whose place another
/// one gets.
async fn welcome(stream: TcpStream, gate: Gate, from: IpAddr, hall: Arc<Hall>) {
    if hall.is_near && !is_near(from) {
        return tracing::debug!("a near relay is not for other networks");
    }
    let Some((ticket, shown_out)) = hall.enter(gate, from) else {
        return tracing::debug!("a connection found no room");
    };
    tokio::select! {
        () = receive(stream, (gate, from), ticket, hall) => {}
        Ok(()) = shown_out => tracing::debug!("a connection made room for another one"),
    }
}

async fn receive(stream: TcpStream, (gate, from): (Gate, IpAddr), mut ticket: Ticket, hall: Arc<Hall>) {
    // Answers are small and somebody waits for each.
    let _ = stream.set_nodelay(true);
    let limit = Duration::from_millis(hall.limits.hello_ms);
    let Ok(uncovered) = tokio::time::timeout(limit, hall.uncover(gate, stream, from)).await else {
        return tracing::debug!("a connection said nothing");
    };
    let Uncovered { stream, bytes, whose } = match uncovered {
        Ok(uncovered) => uncovered,
        Err(error) => return tracing::debug!(%error, "a connection came to nothing before its first request"),
    };
    let has_room = ticket.is_somebodys() || whose.is_none_or(|whose| ticket.is_for(whose));
    if !has_room {
        return tracing::debug!("a connection found no room");
    }
    let (source, front) = (Source::of(whose.unwrap_or(from)), whose.is_none().then_some(from));
    match hall.seat(ticket, source, front) {
        Ok(seat) => {
            let why = serve(stream, bytes, seat).await;
            tracing::debug!(%why, "a connection ended");
        }
        Err(error) => tracing::error!(%error, "a connection could not be served"),
    }
}

/// Whether somebody is on a network of this machine's own (LAN-6).
const fn is_near(from: IpAddr) -> bool {
    match from {
        IpAddr::V4(ip) => ip.is_loopback() || is_local(&ip),
        IpAddr::V6(_) => false,
    }
}

/// Where the relay stands: one path for each secret (RLY-41), and for a near one another (LAN-5).
fn paths(access: AccessChoice, near: Option<[u8; 8]>, home: &Home) -> HashSet<DoorPath> {
    let id = home.keys.keys().id();
    let near = near.map(|nonce| near_path(&id, &home.secret, &nonce));
    let lasting: HashSet<DoorPath> = match access {
        AccessChoice::Secret => home
            .secrets
            .iter()
            .map(|secret| relay_path(&id, Some(secret)))
            .collect(),
        AccessChoice::Open => HashSet::from([relay_path(&id, None)]),
    };
    lasting.into_iter().chain(near).collect()
}

/// This machine's address on a local network, private or link-local, if it has one: the one towards other networks. Where that is
/// a public one, this machine is on no local network, but for those that programs on it make for themselves.
pub fn local_address() -> Option<Ipv4Addr> {
    match outward_address() {
        Some(IpAddr::V4(ip)) => Some(ip).filter(is_local),
        Some(IpAddr::V6(_)) | None => own_addresses().into_iter().filter(is_local).min(),
    }
}

/// This machine's addresses that are no local network's.
pub fn public_addresses() -> Vec<IpAddr> {
    let public = own_addresses()
        .into_iter()
        .filter(|ip| !is_local(ip) && !ip.is_loopback());
    public.map(IpAddr::V4).collect()
}

const fn is_local(ip: &Ipv4Addr) -> bool {
    ip.is_private() || ip.is_link_local()
}

fn own_addresses() -> Vec<Ipv4Addr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    let own = interfaces.filter_map(|interface| match interface.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    own.collect()
}

/// Connecting a UDP socket sends nothing.
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn route(config: &Config, home: &Home, local: SocketAddr) -> RelayRoute {
    let address = config
        .advertise
        .clone()
        .unwrap_or_else(|| reachable(local, config.lan).to_string());
    let address = if config.tls.is_some() || config.acme.is_some() || config.front.is_some() {
        inside_tls(&address)
    } else {
        address
    };
    let secret = (config.access == AccessChoice::Secret).then_some(home.secret);
    RelayRoute {
        address,
        relay: home.keys.keys().id(),
        secret,
        lan: config.lan,
    }
}

/// The address others can use: "any" becomes this machine's address on the local network, or loopback.
fn reachable(local: SocketAddr, lan: bool) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    let loopback = if local.is_ipv4() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    };
    let ip = if lan {
        lan_address().unwrap_or(loopback)
    } else {
        loopback
    };
    SocketAddr::new(ip, local.port())
}

/// This machine's address towards other networks; where there is no way to any, as on the host of a hotspot, that on its
/// own.
fn lan_address() -> Option<IpAddr> {
    outward_address().or_else(|| {
        let own = if_addrs::get_if_addrs()
            .ok()?
            .into_iter()
            .map(|interface| interface.ip());
        own.filter(|ip| matches!(ip, IpAddr::V4(ip) if ip.is_private())).min()
    })
}

#[cfg(unix)]
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn asked_to_end() {
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_relay_answers_its_own_networks_alone_lan_6() {
        for near in ["127.0.0.1", "10.1.2.3", "192.168.43.7", "169.254.1.1"] {
            assert!(is_near(near.parse().unwrap()), "{near}");
        }
        for far in ["192.0.2.7", "100.64.0.1", "8.8.8.8", "2001:db8::1"] {
            assert!(!is_near(far.parse().unwrap()), "{far}");
        }
    }
}
