//! Peers that say one text of a kilobyte at a time to a server and wait for its echo, over one connection that they
//! open again, a second later, when it has failed.
//!
//! Whoever serves a censor does to them what is done to Stonechat: the one server's place is handed over as an invitation is, every
//! member knows it, and where the censor runs a relay it runs that server.
//!
//! In: the host they run in. Out: what came back. They stand for what messengers with one kind of connection do; one of them
//! ([`Kind::Adaptive`]) changes connections before a count is full, and begins few of them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::tunnel::{OBFS4_PORT, SHADOWSOCKS_PORT, Tunnel};
use super::{BLOCKED_ADDRESS, HOME_ADDRESS, OWN_ADDRESS, Outcome, STORAGE_ADDRESS, TEXT_BYTES, Work};
use crate::censor::people::{Present, Source};
use crate::router::{RESOLVERS, Router};

/// How long one step may take.
pub(super) const STEP_MAX: Duration = Duration::from_secs(5);
/// Where the server of what has no port of its own listens.
pub(super) const ECHO_PORT: u16 = 7000;
/// Pause before a new connection.
const PAUSE: Duration = Duration::from_secs(1);
/// Name of the blocked messenger.
pub const BLOCKED_NAME: &str = "chat.blocked.example";
/// Name of a server that is on no list.
pub const OWN_NAME: &str = "garden.example";
/// Name, on the list of those let through, of a server that keeps people's files.
pub const STORAGE_NAME: &str = "mail.example";
/// Name of a relay that is on the list too.
pub const LISTED_NAME: &str = "talk.blocked.example";
/// Name of a relay that somebody has at home.
pub const HOME_NAME: &str = "orchard.example";

/// Texts on one connection of the adaptive peer.
const ADAPTIVE_TEXTS: usize = 8;
/// Handshakes that it begins within [`ADAPTIVE_WINDOW`].
const ADAPTIVE_HELLOS: usize = 3;
/// See [`ADAPTIVE_HELLOS`].
const ADAPTIVE_WINDOW: Duration = Duration::from_millis(10_500);

/// What connections are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TLS to the name that is on the list.
    TlsBlocked,
    /// TLS to a name that is on none.
    TlsOwn,
    /// The same, over many connections.
    Adaptive,
    /// A plain WebSocket.
    WebSocket,
    /// Bytes that look random.
    Random,
    /// Through shadowsocks-libev.
    Shadowsocks,
    /// Through obfs4proxy.
    Obfs4,
}

/// Runs one of the simple peers.
pub fn run(router: &Router, peer: Kind, work: Work) -> Outcome {
    let is_over = Arc::new(AtomicBool::new(false));
    let means = Means::make(router, peer);
    let owner = Owner::of(router.present());
    let server = serve(router, peer, &means, (Arc::clone(&is_over), owner.clone()));
    tell_all(router, peer);
    let mut outcome = router
        .host("ana")
        .run(move || say_all(peer, &means, work))
        .join()
        .unwrap();
    is_over.store(true, Ordering::Relaxed);
    server.join().unwrap();
    outcome.read = (owner.read_bytes.load(Ordering::Relaxed) / TEXT_BYTES).min(work.texts);
    outcome
}

/// Who reads what is handed over, and who is a member, hears of the one server; and the censor's server is that one.
fn tell_all(router: &Router, peer: Kind) {
    let at = if peer == Kind::TlsBlocked {
        BLOCKED_ADDRESS
    } else {
        OWN_ADDRESS
    };
    let place = match peer {
        Kind::TlsBlocked => format!("https://{BLOCKED_NAME}:443"),
        Kind::TlsOwn | Kind::Adaptive => format!("https://{OWN_NAME}:443"),
        Kind::WebSocket | Kind::Random => format!("{at}:{}", port(peer)),
        Kind::Shadowsocks => format!("{at}:{SHADOWSOCKS_PORT}"),
        Kind::Obfs4 => format!("{at}:{OBFS4_PORT}"),
    };
    router.told(Source::Invitation, &place);
    router.told(Source::Member, &place);
    if router.present().honeypot.is_some() {
        router.watch(at);
    }
}

/// Whose the server is.
#[derive(Clone)]
struct Owner {
    /// The censor's keeps what comes from here on.
    turns: Option<Instant>,
    /// What it could read.
    read_bytes: Arc<AtomicUsize>,
}

impl Owner {
    fn of(present: Present) -> Self {
        Self {
            turns: present.honeypot.map(|honeypot| Instant::now() + honeypot.turns),
            read_bytes: Arc::default(),
        }
    }

    /// Whether this goes on to whom it is for.
    fn lets_through(&self, bytes: usize) -> bool {
        let Some(turns) = self.turns else { return true };
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
        Instant::now() < turns
    }
}

pub(super) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

#[derive(Clone)]
pub(super) struct Means {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    tunnel: Option<Arc<Tunnel>>,
}

impl Means {
    /// A certificate authority of an hour's life, both sides of it, and the programs that a peer needs.
    pub(super) fn make(router: &Router, peer: Kind) -> Self {
        let names = vec![BLOCKED_NAME.to_owned(), OWN_NAME.to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key);
        // A hello that fits one packet, as those of most messengers do: a censor that puts nothing together reads it.
        let small = CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let client = ClientConfig::builder_with_provider(small.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            server: Arc::new(server.unwrap()),
            client: Arc::new(client),
            tunnel: Tunnel::start(router, peer).map(Arc::new),
        }
    }
}

const fn port(peer: Kind) -> u16 {
    match peer {
        Kind::TlsBlocked | Kind::TlsOwn | Kind::Adaptive => 443,
        Kind::WebSocket => 80,
        Kind::Random | Kind::Shadowsocks | Kind::Obfs4 => ECHO_PORT,
    }
}

/// Echoes what comes, until it is over.
fn serve(router: &Router, peer: Kind, means: &Means, (is_over, owner): (Arc<AtomicBool>, Owner)) -> JoinHandle<()> {
    let means = means.clone();
    listen(router, peer, is_over, move |stream| {
        echo_all(stream, peer, &means, &owner)
    })
}

/// Takes every connection of a client, each on a thread of its own.
pub(super) fn listen(
    router: &Router,
    peer: Kind,
    is_over: Arc<AtomicBool>,
    answer: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> JoinHandle<()> {
    let host = if peer == Kind::TlsBlocked {
        "messenger"
    } else {
        "hosting"
    };
    let (ready, is_ready) = std::sync::mpsc::channel();
    let serving = router.host(host).run(move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port(peer))).unwrap();
        listener.set_nonblocking(true).unwrap();
        ready.send(()).unwrap();
        while !is_over.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    let answer = answer.clone();
                    std::thread::spawn(move || answer(stream));
                }
                Err(_) => sleep(Duration::from_millis(10)),
            }
        }
    });
    is_ready.recv().unwrap();
    serving
}

fn echo_all(stream: TcpStream, peer: Kind, means: &Means, owner: &Owner) -> io::Result<()> {
    let mut stream = accept(stream, peer, means)?;
    let mut some = [0; 16 << 10];
    loop {
        let count = stream.read(&mut some)?;
        if count == 0 {
            return Ok(());
        }
        if owner.lets_through(count) {
            stream.write_all(&some[..count])?;
            stream.flush()?;
        }
    }
}

/// The server's end of a connection.
pub(super) fn accept(stream: TcpStream, peer: Kind, means: &Means) -> io::Result<Box<dyn Stream>> {
    prepare(&stream, Duration::from_secs(30))?;
    Ok(match peer {
        Kind::TlsBlocked | Kind::TlsOwn | Kind::Adaptive => {
            let session = ServerConnection::new(Arc::clone(&means.server)).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(session, stream))
        }
        Kind::WebSocket => {
            let mut stream = stream;
            read_head(&mut stream)?;
            stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
            Box::new(stream)
        }
        Kind::Random | Kind::Shadowsocks | Kind::Obfs4 => Box::new(stream),
    })
}

pub(super) fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))
}

fn read_head(stream: &mut impl Read) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(())
}

fn say_all(peer: Kind, means: &Means, work: Work) -> Outcome {
    let (started, mut held, mut outcome) = (Instant::now(), Held::default(), Outcome::default());
    for n in 0..work.texts {
        let due = work.due(started, n);
        sleep(due.saturating_duration_since(Instant::now()));
        let text = text(n, work.load.bytes(n));
        let mut came = None;
        while came.is_none() && Instant::now() < work.end(started) {
            match say(peer, means, &mut held, &text) {
                Ok(()) => came = Some(due.elapsed()),
                Err(_) => held.lost(peer),
            }
        }
        outcome.texts.push((due - started, came));
    }
    outcome
}

/// Random-looking, and another for each number.
fn text(n: usize, bytes: usize) -> Vec<u8> {
    use rand_core::{Rng, SeedableRng};
    let mut text = vec![0; bytes];
    rand_chacha::ChaCha20Rng::seed_from_u64(n as u64 + 1).fill_bytes(&mut text);
    text
}

/// The connection that is held, and what it has carried.
#[derive(Default)]
struct Held {
    stream: Option<Box<dyn Stream>>,
    said: usize,
    hellos: VecDeque<Instant>,
}

impl Held {
    /// A connection that may carry another text.
    fn stream(&mut self, peer: Kind, means: &Means) -> io::Result<&mut Box<dyn Stream>> {
        if peer == Kind::Adaptive && self.said >= ADAPTIVE_TEXTS {
            self.stream = None;
        }
        if self.stream.is_none() {
            if peer == Kind::Adaptive {
                self.wait_for_hello();
            }
            self.said = 0;
            self.stream = Some(connect(peer, means)?.0);
        }
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn wait_for_hello(&mut self) {
        self.hellos.retain(|began| began.elapsed() < ADAPTIVE_WINDOW);
        if self.hellos.len() >= ADAPTIVE_HELLOS
            && let Some(first) = self.hellos.pop_front()
        {
            sleep(ADAPTIVE_WINDOW.saturating_sub(first.elapsed()));
        }
        self.hellos.push_back(Instant::now());
    }

    /// It has failed: the next one after a pause, which the adaptive one counts in another way.
    fn lost(&mut self, peer: Kind) {
        self.stream = None;
        if peer != Kind::Adaptive {
            sleep(PAUSE);
        }
    }
}

fn say(peer: Kind, means: &Means, held: &mut Held, text: &[u8]) -> io::Result<()> {
    let stream = held.stream(peer, means)?;
    stream.write_all(text)?;
    stream.flush()?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    held.said += 1;
    if back == text {
        Ok(())
    } else {
        Err(io::Error::other("another text came back"))
    }
}

/// A connection, and the socket that it goes over.
pub(super) fn connect(peer: Kind, means: &Means) -> io::Result<(Box<dyn Stream>, TcpStream)> {
    if let Some(tunnel) = &means.tunnel {
        let stream = tunnel.connect()?;
        let socket = stream.try_clone()?;
        return Ok((Box::new(stream), socket));
    }
    let name = if peer == Kind::TlsBlocked {
        BLOCKED_NAME
    } else {
        OWN_NAME
    };
    let address = match peer {
        Kind::TlsBlocked | Kind::TlsOwn | Kind::Adaptive => lookup(name)?,
        Kind::WebSocket | Kind::Random | Kind::Shadowsocks | Kind::Obfs4 => OWN_ADDRESS,
    };
    let mut stream = TcpStream::connect_timeout(&SocketAddrV4::new(address, port(peer)).into(), STEP_MAX)?;
    prepare(&stream, STEP_MAX)?;
    let socket = stream.try_clone()?;
    let stream: Box<dyn Stream> = match peer {
        Kind::TlsBlocked | Kind::TlsOwn | Kind::Adaptive => {
            let name = ServerName::try_from(name).map_err(io::Error::other)?;
            let session = ClientConnection::new(Arc::clone(&means.client), name).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(session, stream))
        }
        Kind::WebSocket => {
            stream.write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
            read_head(&mut stream)?;
            Box::new(stream)
        }
        Kind::Random | Kind::Shadowsocks | Kind::Obfs4 => Box::new(stream),
    };
    Ok((stream, socket))
}

/// Asks the provider's resolver, and believes the first answer: what programs do.
fn lookup(name: &str) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(STEP_MAX))?;
    let labels: Vec<u8> = name
        .split('.')
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    let query = [
        &[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        labels.as_slice(),
        &[0, 0, 1, 0, 1],
    ]
    .concat();
    socket.send_to(&query, (RESOLVERS[0], 53))?;
    let mut reply = [0; 512];
    let size = socket.recv(&mut reply)?;
    if reply[7] == 0 || size < 4 {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Ipv4Addr::from(<[u8; 4]>::try_from(&reply[size - 4..size]).unwrap()))
}

/// What the resolvers know.
pub fn names() -> std::collections::BTreeMap<String, Ipv4Addr> {
    let names = [
        (BLOCKED_NAME, BLOCKED_ADDRESS),
        (OWN_NAME, OWN_ADDRESS),
        (LISTED_NAME, OWN_ADDRESS),
        (HOME_NAME, HOME_ADDRESS),
        (STORAGE_NAME, STORAGE_ADDRESS),
    ];
    names.map(|(name, at)| (name.to_owned(), at)).into()
}
