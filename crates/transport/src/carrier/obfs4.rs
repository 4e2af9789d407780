//! Debian's obfs4proxy as Tor would run it: one process that dials all bridges (PRX-6).
//!
//! In: a bridge. Out: a connection through obfs4 to it. The program is started when a bridge is first dialled, and again when one
//! is dialled and it has ended, with pauses that grow; it ends with the last handle, and, whatever becomes of this process,
//! with its standard input. What it is told it is told through the environment and by SOCKS, on this machine.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use stonechat_wire::bridge::Bridge;
use stonechat_wire::pt::{LINE_BYTES_MAX, OBFS4, Said};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::dial::{Unled, found};
use super::socks::{Login, Proxy, SocksError, ask};

/// Debian's name for it.
pub const PROGRAM: &str = "obfs4proxy";
/// How long it may take to say where it listens.
pub const START_MAX: Duration = Duration::from_secs(10);
/// Pause after it has failed to start; twice as long after each further time.
pub const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Most lines that it may say before it is up.
pub const LINES_MAX: usize = 64;

/// The program for bridges. Clones share the one process.
#[derive(Clone)]
pub struct Obfs4(Arc<Inner>);

struct Inner {
    program: PathBuf,
    /// A folder of its own.
    state: PathBuf,
    /// The proxy that it goes through itself.
    proxy: Option<Proxy>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    running: Option<Running>,
    failures: u32,
    not_before: Option<Instant>,
}

struct Running {
    /// Killed when this is dropped.
    child: Child,
    socks: SocketAddr,
}

impl fmt::Debug for Obfs4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Obfs4(..)")
    }
}

impl Obfs4 {
    /// This program, with a folder of its own for its state. It dials through the proxy, where one is given.
    pub fn new(program: PathBuf, state: PathBuf, proxy: Option<Proxy>) -> Self {
        let held = Mutex::default();
        Self(Arc::new(Inner {
            program,
            state,
            proxy,
            held,
        }))
    }

    /// The same, with a process of its own.
    #[must_use]
    pub fn anew(&self) -> Self {
        let Inner {
            program, state, proxy, ..
        } = &*self.0;
        Self::new(program.clone(), state.clone(), proxy.clone())
    }

    /// A connection to a bridge, on which its relay speaks.
    pub(super) async fn dial(&self, bridge: &Bridge<'_>) -> io::Result<TcpStream> {
        let socks = self.0.socks().await?;
        let mut stream = TcpStream::connect(socks).await.map_err(|_| Unled::Program.error())?;
        // As pluggable transports have it: in the place of a name and a password.
        let arguments = format!("cert={};iat-mode=0", bridge.cert);
        let login = Login::new(arguments.as_bytes(), &[0]).ok_or(io::ErrorKind::InvalidInput)?;
        ask(&mut stream, bridge.place, Some(&login)).await.map_err(refused)?;
        Ok(stream)
    }
}

/// Its no to a bridge: most of all that nobody answers there, or somebody who does not know the certificate.
fn refused(error: SocksError) -> io::Error {
    match error {
        SocksError::Refused(5) => io::ErrorKind::ConnectionRefused.into(),
        SocksError::Refused(_) => io::ErrorKind::HostUnreachable.into(),
        // It dies, or hangs up on a bridge that does.
        SocksError::Io(error) => error,
        SocksError::NotSocks | SocksError::Denied | SocksError::TooLong => Unled::Program.error(),
    }
}

impl Inner {
    /// Where it takes connections. It is started where it does not run.
    async fn socks(&self) -> io::Result<SocketAddr> {
        let mut held = self.held.lock().await;
        if let Some(running) = &mut held.running
            && let Ok(None) = running.child.try_wait()
        {
            return Ok(running.socks);
        }
        held.running = None;
        if held.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(Unled::Program.error());
        }
        // Should the dial be given up meanwhile, the next one waits too.
        held.failed();
        let running = self.start().await?;
        let socks = running.socks;
        *held = Held {
            running: Some(running),
            failures: 0,
            not_before: Some(Instant::now() + PAUSE),
        };
        Ok(socks)
    }

    async fn start(&self) -> io::Result<Running> {
        let starting = timeout(START_MAX, self.begin()).await;
        let started = starting.map_err(|_| Unled::Program.error()).flatten();
        started.inspect_err(|error| tracing::debug!(%error, "the program for bridges did not start"))
    }

    async fn begin(&self) -> io::Result<Running> {
        let mut command = self.command();
        if let Some(proxy) = &self.proxy {
            // It looks up no name for this.
            let found = found(proxy.place()).await.map_err(|_| Unled::Proxy.error())?;
            let at = found.first().ok_or(io::ErrorKind::NotFound)?;
            command.env("TOR_PT_PROXY", proxy.url_at(*at).as_str());
        }
        let mut child = command.spawn().map_err(|_| Unled::Program.error())?;
        let told = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut told = BufReader::new(told);
        let socks = hear(&mut told, self.proxy.is_some()).await?;
        tokio::spawn(hear_out(told));
        Ok(Running { child, socks })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("TOR_PT_MANAGED_TRANSPORT_VER", "1")
            .env("TOR_PT_STATE_LOCATION", &self.state)
            .env("TOR_PT_EXIT_ON_STDIN_CLOSE", "1")
            .env("TOR_PT_CLIENT_TRANSPORTS", OBFS4)
            .env_remove("TOR_PT_PROXY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

impl Held {
    fn failed(&mut self) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
    }
}

/// Where it listens, by what it says. Errors: it cannot, or goes around the proxy.
async fn hear(told: &mut (impl AsyncBufReadExt + Unpin), has_proxy: bool) -> io::Result<SocketAddr> {
    let (mut socks, mut is_by_proxy) = (None, false);
    for _ in 0..LINES_MAX {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or_default();
        if (&mut *told).take(limit).read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        match std::str::from_utf8(&line).map(Said::read) {
            Ok(Said::Client(at)) => socks = Some(at),
            Ok(Said::ProxyDone) => is_by_proxy = true,
            Ok(Said::Done) if is_by_proxy || !has_proxy => return socks.ok_or_else(|| Unled::Program.error()),
            Ok(Said::Done | Said::Failed) => break,
            Ok(Said::Server { .. } | Said::Other) | Err(_) => {}
        }
    }
    Err(Unled::Program.error())
}

/// It ends where nobody hears it out.
async fn hear_out(mut told: BufReader<ChildStdout>) {
    let mut chunk = [0; 1024];
    while read_some(&mut told, &mut chunk).await {}
}

async fn read_some(told: &mut (impl AsyncRead + Unpin), chunk: &mut [u8]) -> bool {
    told.read(chunk).await.is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::carrier::outer::missed;
    use crate::courier::Missed;

    async fn heard(text: &str, has_proxy: bool) -> Option<u16> {
        let heard = hear(&mut BufReader::new(text.as_bytes()), has_proxy).await;
        heard.ok().map(|at| at.port())
    }

    #[tokio::test]
    async fn it_says_where_it_listens_and_that_it_goes_by_the_proxy_prx_6_prx_7() {
        let up = "VERSION 1\nCMETHOD obfs4 socks5 127.0.0.1:5\nCMETHODS DONE\n";
        assert_eq!(heard(up, false).await, Some(5));
        assert_eq!(heard(up, true).await, None, "it goes around the proxy");
        assert_eq!(heard(&format!("PROXY DONE\n{up}"), true).await, Some(5));
        for bad in [
            "",
            "VERSION 1\n",
            "CMETHODS DONE\n",
            "CMETHOD obfs4 socks5 192.0.2.7:5\nCMETHODS DONE\n",
            "CMETHOD-ERROR obfs4 no\nCMETHOD obfs4 socks5 127.0.0.1:5\nCMETHODS DONE\n",
        ] {
            assert_eq!(heard(bad, false).await, None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_talks_without_end_is_none_prx_6() {
        let talk = format!(
            "{}{}",
            "LOG x\n".repeat(LINES_MAX),
            "CMETHOD obfs4 socks5 127.0.0.1:5\nCMETHODS DONE\n"
        );
        assert_eq!(heard(&talk, false).await, None);
        // A line that is too long is cut, and its rest is another one.
        let long = format!("{}\n", "x".repeat(LINE_BYTES_MAX * LINES_MAX));
        let talk = format!("{long}CMETHOD obfs4 socks5 127.0.0.1:5\nCMETHODS DONE\n");
        assert_eq!(heard(&talk, false).await, None);
    }

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("program");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    fn at(program: PathBuf, folder: &Path) -> Obfs4 {
        Obfs4::new(program, folder.join("state"), None)
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_said_so_in_a_word_way_4() {
        let folder = tempfile::tempdir().unwrap();
        let error = at(folder.path().join("nowhere"), folder.path())
            .0
            .socks()
            .await
            .unwrap_err();
        assert_eq!(missed(&error), Missed::NoProgram);
    }

    #[tokio::test]
    async fn one_that_does_not_start_is_not_started_again_at_once_prx_6() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let program = script(folder.path(), &format!("echo x >> {}; exit 1", count.display()));
        let obfs4 = at(program, folder.path());
        for _ in 0..20 {
            assert!(obfs4.0.socks().await.is_err());
        }
        assert_eq!(fs::read_to_string(&count).unwrap().lines().count(), 1);
        tokio::time::sleep(PAUSE).await;
        assert!(obfs4.0.socks().await.is_err());
        tokio::time::sleep(PAUSE).await;
        assert!(obfs4.0.socks().await.is_err());
        assert_eq!(
            fs::read_to_string(&count).unwrap().lines().count(),
            2,
            "the pause grows"
        );
    }

    #[tokio::test]
    async fn there_is_one_process_and_it_ends_with_the_last_handle_prx_6() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let up = "echo CMETHOD obfs4 socks5 127.0.0.1:5; echo CMETHODS DONE";
        let program = script(
            folder.path(),
            &format!("echo $$ >> {}; {up}; exec sleep 60", pids.display()),
        );
        let obfs4 = at(program, folder.path());
        let again = obfs4.clone();
        for of in [&obfs4, &again, &obfs4] {
            assert_eq!(of.0.socks().await.unwrap().port(), 5);
        }
        let pid = fs::read_to_string(&pids).unwrap();
        assert_eq!(pid.lines().count(), 1);
        let process = Path::new("/proc").join(pid.trim());
        drop(obfs4);
        assert!(process.join("exe").exists());
        drop(again);
        let gone = async {
            while fs::read_link(process.join("exe")).is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.expect("it is killed");
    }
}
