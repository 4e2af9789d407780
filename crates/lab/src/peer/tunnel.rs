//! Real programs that carry the simple peers' connections: shadowsocks-libev, and obfs4proxy without Tor.
//!
//! In: a running [`Router`] and which of them. Out: connections to the echo server in the hosting network, made in the
//! client's host. The programs are Debian's (`cargo xtask lab` installs one where its peer is asked for).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::OWN_ADDRESS;
use super::echo::{ECHO_PORT, Kind, STEP_MAX, prepare};
use super::ours::{Program, text};
use crate::router::Router;

/// Where shadowsocks' server listens.
pub(super) const SHADOWSOCKS_PORT: u16 = 8388;
/// Where its client does, and leads to the echo server.
const TUNNEL_PORT: u16 = 1080;
/// Where obfs4's server listens.
pub(super) const OBFS4_PORT: u16 = 9443;
/// How long a program may take to start.
const START_MAX: Duration = Duration::from_secs(20);

/// Both programs of a tunnel, running.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// Where the client's program listens, in the client's host.
    port: u16,
    /// What obfs4's is told by SOCKS: how the server is spoken to.
    arguments: Option<String>,
    _programs: [Program; 2],
    _state: TempDir,
}

impl Tunnel {
    /// Starts what a peer needs; nothing for those that need nothing.
    pub(super) fn start(router: &Router, kind: Kind) -> Option<Self> {
        match kind {
            Kind::Shadowsocks => Some(Self::shadowsocks(router)),
            Kind::Obfs4 => Some(Self::obfs4(router)),
            Kind::TlsBlocked | Kind::TlsOwn | Kind::Adaptive | Kind::WebSocket | Kind::Random => None,
        }
    }

    fn shadowsocks(router: &Router) -> Self {
        let (server, port, local) = (
            OWN_ADDRESS.to_string(),
            SHADOWSOCKS_PORT.to_string(),
            TUNNEL_PORT.to_string(),
        );
        let common = [
            "-s",
            &server,
            "-p",
            &port,
            "-k",
            "a password",
            "-m",
            "chacha20-ietf-poly1305",
        ];
        let target = format!("127.0.0.1:{ECHO_PORT}");
        let mut serving = Command::new("ss-server");
        serving.args(common);
        let mut leading = Command::new("ss-tunnel");
        leading
            .args(common)
            .args(["-b", "127.0.0.1", "-l", &local, "-L", &target]);
        let programs = [
            start(router, ("hosting", OWN_ADDRESS, SHADOWSOCKS_PORT), serving),
            start(router, ("ana", Ipv4Addr::LOCALHOST, TUNNEL_PORT), leading),
        ];
        let (arguments, state) = (None, tempfile::tempdir().unwrap());
        Self {
            port: TUNNEL_PORT,
            arguments,
            _programs: programs,
            _state: state,
        }
    }

    fn obfs4(router: &Router) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut serving = managed(state.path(), "server");
        serving
            .env("TOR_PT_SERVER_TRANSPORTS", "obfs4")
            .env("TOR_PT_SERVER_BINDADDR", format!("obfs4-{OWN_ADDRESS}:{OBFS4_PORT}"))
            .env("TOR_PT_ORPORT", format!("127.0.0.1:{ECHO_PORT}"));
        let (server, told) = managed_start(router, "hosting", serving);
        let arguments = told
            .split_once("ARGS:")
            .expect("obfs4proxy tells how it is spoken to")
            .1;
        // Its client wants them apart by semicolons.
        let arguments = Some(arguments.trim().replace(',', ";"));
        let mut leading = managed(state.path(), "client");
        leading.env("TOR_PT_CLIENT_TRANSPORTS", "obfs4");
        let (client, told) = managed_start(router, "ana", leading);
        let port = told.rsplit_once(':').and_then(|(_, port)| port.trim().parse().ok());
        let port = port.expect("obfs4proxy tells where it listens");
        Self {
            port,
            arguments,
            _programs: [server, client],
            _state: state,
        }
    }

    /// A connection to the echo server; made in the client's host.
    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        prepare(&stream, STEP_MAX)?;
        if let Some(arguments) = &self.arguments {
            ask_socks(&mut stream, arguments)?;
        }
        Ok(stream)
    }
}

/// Starts a program in a host, and waits until something listens there.
fn start(router: &Router, (host, at, port): (&str, Ipv4Addr, u16), mut command: Command) -> Program {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = router.host(host).run(move || {
        let program = Program(command.spawn().expect("shadowsocks-libev is installed"));
        let began = Instant::now();
        while TcpStream::connect((at, port)).is_err() {
            assert!(began.elapsed() < START_MAX, "shadowsocks does not start");
            sleep(Duration::from_millis(20));
        }
        program
    });
    started.join().unwrap()
}

/// obfs4proxy as Tor would run it.
fn managed(state: &Path, side: &str) -> Command {
    let mut command = Command::new("obfs4proxy");
    command
        .env("TOR_PT_MANAGED_TRANSPORT_VER", "1")
        .env("TOR_PT_STATE_LOCATION", text(&state.join(side)));
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Out: the program, and its line about obfs4.
fn managed_start(router: &Router, host: &str, mut command: Command) -> (Program, String) {
    let started = router
        .host(host)
        .run(move || command.spawn().expect("obfs4proxy is installed"));
    let mut child = started.join().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let told: Vec<String> = lines
        .by_ref()
        .take_while(|line| !line.ends_with("METHODS DONE"))
        .collect();
    // It ends where nobody hears it out.
    std::thread::spawn(move || lines.for_each(drop));
    let is_method = |line: &String| line.starts_with("SMETHOD obfs4") || line.starts_with("CMETHOD obfs4");
    let told = told.into_iter().find(is_method);
    (Program(child), told.expect("obfs4proxy tells its method"))
}

/// SOCKS 5 with what the server is spoken to by in the place of name and password, as pluggable transports have it.
fn ask_socks(stream: &mut TcpStream, arguments: &str) -> io::Result<()> {
    let (name, rest) = arguments.as_bytes().split_at(arguments.len().min(255));
    let password = if rest.is_empty() { &[0][..] } else { rest };
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).map_err(io::Error::other);
    stream.write_all(&[5, 1, 2])?;
    expect(stream, &[5, 2])?;
    stream.write_all(&[&[1, length(name)?], name, &[length(password)?], password].concat())?;
    expect(stream, &[1, 0])?;
    stream.write_all(&[&[5, 1, 0, 1], &OWN_ADDRESS.octets()[..], &OBFS4_PORT.to_be_bytes()].concat())?;
    expect(stream, &[5, 0])?;
    // Where it is bound to: nobody asks.
    stream.read_exact(&mut [0; 8])
}

fn expect(stream: &mut TcpStream, wanted: &[u8; 2]) -> io::Result<()> {
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    if answer == *wanted {
        Ok(())
    } else {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}
