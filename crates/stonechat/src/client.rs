//! The command line's end of the pipe to a profile: the running daemon's socket, or a daemon inside this process.
//!
//! In: method names and parameters. Out: typed answers and events. Both ways speak the same JSON-RPC lines, so no
//! command knows which one it has.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stonechat_daemon::api::{Caller, converse_lines};
use stonechat_daemon::config::{Config, Wishes};
use stonechat_daemon::home::{Home, HomeError};
use stonechat_daemon::rpc::{Failure, Secret};
use stonechat_daemon::types::{Connection, Event, Fault, Status};
use stonechat_daemon::{Daemon, has_profile};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, Lines, ReadHalf, WriteHalf,
};
use tokio::time::{Instant, timeout_at};

use crate::failure::CommandError;

/// How long a command waits for the profile, for a relay, for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Which profile, and how it opens.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) passphrase: Option<Secret>,
}

/// Whether a missing profile is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfMissing {
    Make,
    Refuse,
}

trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// A connection to a profile.
pub(crate) struct Client {
    write: WriteHalf<Box<dyn Pipe>>,
    lines: Lines<BufReader<ReadHalf<Box<dyn Pipe>>>>,
    last_id: u64,
    events: VecDeque<Event>,
    own: Option<Arc<Daemon>>,
}

impl Client {
    /// Reaches the profile: its daemon if one runs, else by opening it here; waits a little for whoever has it.
    ///
    /// Errors: profile in use; no account; what keeps the profile from opening.
    pub(crate) async fn open(place: &Place, missing: IfMissing) -> Result<Self, CommandError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(client) = Self::running(place).await? {
                return Ok(client);
            }
            if missing == IfMissing::Refuse && !has_profile(&place.dir) {
                return Err(CommandError::Refused(Fault::NoAccount.into()));
            }
            match Home::claim(&place.dir) {
                Ok(home) => return Self::within(home, place).await,
                Err(HomeError::InUse) if Instant::now() < give_up => {
                    tokio::time::sleep(Duration::from_millis(50)).await
                }
                Err(HomeError::InUse) => return Err(CommandError::InUse),
                Err(HomeError::Io(error)) => return Err(error.into()),
            }
        }
    }

    /// Reaches the running daemon, if there is one; unlocks it if a passphrase was given.
    pub(crate) async fn running(place: &Place) -> Result<Option<Self>, CommandError> {
        #[cfg(unix)]
        if let Ok(stream) = stonechat_daemon::api::connect(&place.dir).await {
            let mut client = Self::over(Box::new(stream), None);
            client.unlock(place).await?;
            return Ok(Some(client));
        }
        Ok(None)
    }

    async fn within(home: Home, place: &Place) -> Result<Self, CommandError> {
        let config = settle(&place.dir, Wishes::default())?;
        let _ = stonechat_daemon::log::start(&home.log_dir(), config.log);
        let daemon = Daemon::start(home, config, place.passphrase.clone(), crate::VERSION)
            .context("the profile cannot be run")?;
        let (here, there) = tokio::io::duplex(64 * 1024);
        tokio::spawn(converse_lines(Arc::clone(&daemon), Caller::Program, there));
        if let Some(fault) = daemon.closed_by() {
            return Err(CommandError::Refused(words_for(fault)));
        }
        Ok(Self::over(Box::new(here), Some(daemon)))
    }

    fn over(pipe: Box<dyn Pipe>, own: Option<Arc<Daemon>>) -> Self {
        let (read, write) = tokio::io::split(pipe);
        Self {
            write,
            lines: BufReader::new(read).lines(),
            last_id: 0,
            events: VecDeque::new(),
            own,
        }
    }

    async fn unlock(&mut self, place: &Place) -> Result<(), CommandError> {
        let Some(passphrase) = &place.passphrase else {
            return Ok(());
        };
        let status: Status = self.call("status", json!({})).await?;
        if status.locked {
            self.call::<Value>("unlock", json!({ "passphrase": passphrase.expose() }))
                .await?;
        }
        Ok(())
    }

    /// Whether the profile was opened by this process alone: nothing went on before it.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Asks for one thing. Events that come first are kept.
    pub(crate) async fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: impl Serialize,
    ) -> Result<T, CommandError> {
        self.last_id += 1;
        let id = self.last_id;
        let mut text = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        text.push('\n');
        self.write
            .write_all(text.as_bytes())
            .await
            .map_err(|_| CommandError::Gone)?;
        loop {
            let mut said = self.line().await?.ok_or(CommandError::Gone)?;
            if said.get("id").and_then(Value::as_u64) != Some(id) {
                self.keep(said);
            } else if let Some(result) = said.get_mut("result") {
                return Ok(serde_json::from_value(result.take()).context("an answer has another shape")?);
            } else {
                return Err(CommandError::Refused(failure(&said)));
            }
        }
    }

    /// Asks for events from now on.
    pub(crate) async fn subscribe(&mut self) -> Result<(), CommandError> {
        self.call::<Value>("subscribe", json!({})).await.map(drop)
    }

    /// The next event, unless none comes in time.
    pub(crate) async fn event_before(&mut self, end: Instant) -> Result<Option<Event>, CommandError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match timeout_at(end, self.line()).await {
                Err(_) => return Ok(None),
                Ok(said) => {
                    let said = said?.ok_or(CommandError::Gone)?;
                    self.keep(said);
                }
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Value>, CommandError> {
        let line = self.lines.next_line().await.map_err(|_| CommandError::Gone)?;
        line.map(|line| serde_json::from_str(&line).context("the daemon said something that is not JSON"))
            .transpose()
            .map_err(Into::into)
    }

    fn keep(&mut self, mut said: Value) {
        let event = said.pointer_mut("/params/event").map(Value::take);
        // An event of a newer daemon that is not known here is of no use here.
        self.events
            .extend(event.and_then(|event| serde_json::from_value(event).ok()));
    }

    /// Waits until a relay answers or it is plain that none does. Out: whether one does.
    pub(crate) async fn connected_before(&mut self, end: Instant) -> Result<bool, CommandError> {
        loop {
            let status: Status = self.call("status", json!({})).await?;
            match status.connection {
                Connection::Connected | Connection::Nearby => return Ok(true),
                Connection::NoRelay | Connection::Offline => return Ok(false),
                Connection::Connecting if Instant::now() >= end => return Ok(false),
                Connection::Connecting => tokio::time::sleep(Duration::from_millis(30)).await,
            }
        }
    }

    /// Ends the connection; a profile opened here is closed after what waits to leave has left (a little patience).
    pub(crate) async fn close(mut self) {
        let _ = self.write.shutdown().await;
        if let Some(daemon) = self.own.take() {
            daemon.settle(PATIENCE).await;
            daemon.stop().await;
        }
    }
}

/// The settings of a home, with what the command line says.
pub(crate) fn settle(dir: &Path, flags: Wishes) -> Result<Config, CommandError> {
    let config = Config::settle(dir, flags, |name| std::env::var(name).ok());
    Ok(config.context("the settings cannot be used")?)
}

fn words_for(fault: Fault) -> Failure {
    match fault {
        Fault::Locked => Failure::new(fault, "this profile needs its passphrase: --passphrase-file FILE"),
        // Each has its own words.
        _ => fault.into(),
    }
}

fn failure(said: &Value) -> Failure {
    let kind = said.pointer("/error/data/kind").cloned().unwrap_or_default();
    let kind = serde_json::from_value(kind).unwrap_or(Fault::Internal);
    let message = said.pointer("/error/message").and_then(Value::as_str);
    message.map_or_else(|| kind.into(), |message| Failure::new(kind, message))
}
