//! A bridge to the relay: Debian's obfs4proxy as Tor would run it, before a listener of the relay's on this machine (PRX-8).
//!
//! In: where it shall listen. Out: its certificate, and connections of its clients at the listener. The program is started again
//! when it ends, after pauses that grow; it ends with the relay, and, whatever becomes of this process, with its standard
//! input. Its keys lie in a folder of the relay's data: with other ones nobody would find it any more.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use stonechat_wire::bridge::Bridge;
use stonechat_wire::pt::{LINE_BYTES_MAX, OBFS4, Said};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::ext_port::Cookie;
use crate::home::write_durably;
use crate::store::disk::make_folder;

/// Debian's name for the program.
pub const PROGRAM: &str = "obfs4proxy";
/// How long it may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(10);
/// Pause before it is started again; twice as long after each further time that it ends soon.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// It has run well that has run for so long.
const WELL: Duration = Duration::from_secs(60);
/// Most lines that it may say before it is up.
const LINES_MAX: usize = 64;
const FOLDER: &str = "obfs4";
const COOKIE: &str = "cookie";
/// Where the program writes what its clients must know.
const LINE_FILE: &str = "obfs4_bridgeline.txt";

/// Files of the folder, and what they are.
pub const FILES: &[(&str, &str)] = &[
    ("obfs4/obfs4_state.json", "the keys of the obfs4 bridge"),
    (
        "obfs4/obfs4_bridgeline.txt",
        "what clients of the obfs4 bridge must know",
    ),
    (
        "obfs4/cookie",
        "by what the relay knows the bridge's program; another one after each start",
    ),
];

/// How a relay has a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeConfig {
    /// Where obfs4 listens.
    pub listen: SocketAddr,
    /// `HOST:PORT` that goes into the bridge's route; else the host of the relay's own one, or where it listens.
    pub advertise: Option<String>,
    /// The program.
    pub program: PathBuf,
}

/// Why there is no bridge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The program is not there.
    #[error("{0} is not installed (Debian: apt install obfs4proxy)")]
    NoProgram(String),
    /// It says that it cannot, or nothing.
    #[error("obfs4proxy does not start: is its address free?")]
    NotStarted,
    /// Its folder, or the listener for it.
    #[error("the bridge: {0}")]
    Io(#[from] io::Error),
    /// The address that would go into the route.
    #[error("{0} is no address of a bridge: HOST:PORT of at most 25 characters is wanted (obfs4_public)")]
    NoAddress(String),
}

/// A bridge's program, kept running. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Kept {
    /// Where it listens.
    pub(super) at: SocketAddr,
    /// What its clients must know.
    pub(super) cert: String,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The program is killed with its handle, which lies in the task.
        self.task.abort();
    }
}

/// Starts the program, which leads its clients to `gate`.
pub(super) async fn start(
    config: &BridgeConfig,
    data: &Path,
    gate: SocketAddr,
    cookie: &Cookie,
) -> Result<Kept, BridgeError> {
    let folder = data.join(FOLDER);
    make_folder(&folder)?;
    write_durably(&folder, &folder.join(COOKIE), &cookie.file())?;
    let mut wanted = Wanted {
        program: config.program.clone(),
        folder: std::path::absolute(folder)?,
        listen: config.listen,
        gate,
    };
    let (child, at, cert) = wanted.start().await?;
    // Should it be started again it is where it was.
    wanted.listen = at;
    let task = tokio::spawn(keep(wanted, child, cert.clone()));
    Ok(Kept { at, cert, task })
}

struct Wanted {
    program: PathBuf,
    folder: PathBuf,
    listen: SocketAddr,
    gate: SocketAddr,
}

impl Wanted {
    async fn start(&self) -> Result<(Child, SocketAddr, String), BridgeError> {
        let starting = timeout(START_MAX, self.begin()).await;
        starting.map_err(|_| BridgeError::NotStarted)?
    }

    async fn begin(&self) -> Result<(Child, SocketAddr, String), BridgeError> {
        let mut child = self.command().spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BridgeError::NoProgram(self.program.display().to_string()),
            _other => BridgeError::Io(error),
        })?;
        let told = child.stdout.take().ok_or(BridgeError::NotStarted)?;
        let mut told = BufReader::new(told);
        let (at, cert) = hear(&mut told).await?.ok_or(BridgeError::NotStarted)?;
        // It ends where nobody hears it out.
        tokio::spawn(async move {
            let mut chunk = [0; 1024];
            while told.read(&mut chunk).await.is_ok_and(|count| count > 0) {}
        });
        Ok((child, at, cert))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("TOR_PT_MANAGED_TRANSPORT_VER", "1")
            .env("TOR_PT_STATE_LOCATION", &self.folder)
            .env("TOR_PT_EXIT_ON_STDIN_CLOSE", "1")
            .env("TOR_PT_SERVER_TRANSPORTS", OBFS4)
            .env("TOR_PT_SERVER_BINDADDR", format!("{OBFS4}-{}", self.listen))
            .env("TOR_PT_EXTENDED_SERVER_PORT", self.gate.to_string())
            .env("TOR_PT_AUTH_COOKIE_FILE", self.folder.join(COOKIE))
            .env_remove("TOR_PT_ORPORT")
            .env_remove("TOR_PT_SERVER_TRANSPORT_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// Where it listens and with which certificate, by what it says; nothing where it cannot.
async fn hear(told: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> io::Result<Option<(SocketAddr, String)>> {
    let mut server = None;
    for _ in 0..LINES_MAX {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or_default();
        if (&mut *told).take(limit).read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        match std::str::from_utf8(&line).map(Said::read) {
            Ok(Said::Server { at, cert }) => server = Some((at, cert.to_owned())),
            Ok(Said::Done) => return Ok(server),
            Ok(Said::Failed) => break,
            Ok(Said::Client(_) | Said::ProxyDone | Said::Other) | Err(_) => {}
        }
    }
    Ok(None)
}

/// Starts it again whenever it has ended, until this is dropped.
async fn keep(wanted: Wanted, mut child: Child, cert: String) {
    let mut ended_soon = 0_u32;
    loop {
        let began = Instant::now();
        // Held open: waiting would close it, and with it the program ends.
        let held = child.stdin.take();
        let _status = child.wait().await;
        drop(held);
        tracing::warn!("the bridge's program has ended; it is started again");
        loop {
            ended_soon = if began.elapsed() >= WELL { 0 } else { ended_soon };
            sleep(PAUSE.saturating_mul(1 << ended_soon.min(10)).min(PAUSE_MAX)).await;
            ended_soon = ended_soon.saturating_add(1);
            match wanted.start().await {
                Ok((next, _, found)) => {
                    if found != cert {
                        tracing::error!(
                            "the bridge has other keys than before: its route leads nowhere until a restart"
                        );
                    }
                    child = next;
                    break;
                }
                Err(error) => tracing::warn!(%error, "the bridge's program does not start"),
            }
        }
    }
}

/// The certificate of a bridge that has run here, whether it runs now or not.
pub fn known_cert(data: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data.join(FOLDER).join(LINE_FILE)).ok()?;
    let line = text.lines().find(|line| line.starts_with("Bridge obfs4 "))?;
    let cert = line
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("cert="))?;
    Some(cert.to_owned())
}

/// The address that goes into a bridge's route: as the operator says, else at the host of the relay's own address.
///
/// Errors: it would be none, or too long for a route.
pub fn address(advertise: Option<&str>, own: &str, at: SocketAddr, cert: &str) -> Result<String, BridgeError> {
    let (_, own) = stonechat_wire::address::split(own);
    let host = own.rsplit_once(':').map_or(own, |(host, _)| host);
    let beside = format!("{host}:{}", at.port());
    let place = advertise.unwrap_or(&beside);
    let bridge = Bridge { place, cert };
    bridge.address().ok_or_else(|| BridgeError::NoAddress(place.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERT: &str = "ssH+9rP8dG2NLDN2XuFw63hIO/9MNNinLmxQDpVa+7kTOa9/m+tGWT1SmSYpQ9uTBGa6Hw";

    #[tokio::test]
    async fn it_says_where_it_listens_prx_8() {
        let up = format!("VERSION 1\nSMETHOD obfs4 127.0.0.1:5 ARGS:cert={CERT},iat-mode=0\nSMETHODS DONE\n");
        let (at, cert) = hear(&mut up.as_bytes()).await.unwrap().unwrap();
        assert_eq!((at.port(), cert.as_str()), (5, CERT));
        let endless = "LOG x\n".repeat(LINES_MAX) + &up;
        for bad in ["", "SMETHODS DONE\n", "SMETHOD-ERROR obfs4 no\n", &endless] {
            assert_eq!(hear(&mut bad.as_bytes()).await.unwrap(), None);
        }
    }

    #[test]
    fn a_bridge_stands_at_the_relays_host_or_where_the_operator_says_prx_8() {
        let at = "0.0.0.0:9443".parse().unwrap();
        let of = |advertise, own| address(advertise, own, at, CERT);
        assert_eq!(
            of(None, "https://a.example:443,192.0.2.7:443").unwrap(),
            format!("obfs4://a.example:9443/{CERT}")
        );
        assert_eq!(
            of(Some("192.0.2.7:80"), "a:1").unwrap(),
            format!("obfs4://192.0.2.7:80/{CERT}")
        );
        for bad in ["a", "a.name.that.is.much.too.long:443"] {
            assert!(matches!(of(Some(bad), "a:1"), Err(BridgeError::NoAddress(_))), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_said_so_prx_8() {
        let folder = tempfile::tempdir().unwrap();
        let config = BridgeConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            program: folder.path().join("nowhere"),
        };
        let gate = "127.0.0.1:1".parse().unwrap();
        let error = start(&config, folder.path(), gate, &Cookie::new([1; 32]))
            .await
            .unwrap_err();
        assert!(matches!(error, BridgeError::NoProgram(_)), "{error}");
    }
}
