//! The native edge: one profile's messenger, its ways out, and its local API.
//!
//! In: a claimed home and its settings. Out: [`Daemon`]: calls in, answers and events out. `engine` is the one loop
//! around core; `ways` hands errands to the courier; `readers` answers queries; `api` is who may talk, over what.
//! See ARCHITECTURE.md.

pub mod config;
pub mod home;
pub mod log;
pub mod rpc;

pub mod api;

mod alarm;
mod engine;
mod events;
mod lab;
mod link;
mod machine;
mod near;
mod network;
mod random;
mod readers;
mod ways;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stonechat_core::api::{Command, Connection, Fault, Query};
use stonechat_core::query::{Live, locked_status};
use tokio::sync::watch;

/// The types that calls and answers are made of.
pub use stonechat_core::api as types;
/// Relays, and the numbers at which they answer.
pub use stonechat_transport::Reached;
/// The shape of files that people carry.
pub use stonechat_wire::bundle;
/// A relay that a device runs for the network it is on.
pub use stonechat_wire::exchange::NearRelay;

use stonechat_transport::carrier::dialer::Dialer;

use crate::api::Caller;
use crate::api::dialer::Tickets;
use crate::api::launch::Launch;
use crate::config::Config;
use crate::engine::{Control, Engine, Shared};
use crate::events::Events;
use crate::home::Home;
use crate::near::NearLine;
pub use crate::near::NearWish;
use crate::readers::Readers;
use crate::rpc::{Call, Failure, Secret};

/// One running profile.
#[derive(Debug)]
pub struct Daemon {
    home: Arc<Home>,
    config: Config,
    engine: Engine,
    shared: Shared,
    launch: Launch,
    tickets: Tickets,
    address: OnceLock<String>,
    version: String,
    ending: watch::Sender<bool>,
}

/// A call that was begun; its answer comes when it is polled to its end.
pub type Pending = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

impl Daemon {
    /// Opens a profile (makes it where there is none) and starts it, inside a tokio runtime.
    ///
    /// A profile that does not open is no error here: see [`Daemon::closed_by`]. Errors: the system's own.
    pub fn start(home: Home, config: Config, passphrase: Option<Secret>, version: &str) -> io::Result<Arc<Self>> {
        let home = Arc::new(home);
        let launch = Launch::new(home.profile_id()?, home.launch_file(), home.sessions_file());
        let live = Live {
            version: version.to_owned(),
            locked: false,
            has_passphrase: false,
            connection: Connection::NoRelay,
            connected: Vec::new(),
            through: Vec::new(),
            ways: Vec::new(),
            tried: BTreeMap::new(),
        };
        let shared = Shared {
            events: Events::new(engine::now().0),
            readers: Readers::closed(Fault::Locked),
            live: Arc::new(Mutex::new(live)),
            unconfirmed: watch::Sender::new(0),
            near: NearLine::default(),
            means: config.means(home.dir()),
        };
        shared.near.lends.send_replace(home.lends().unwrap_or(config.lend));
        let engine = Engine::start(
            Arc::clone(&home),
            passphrase,
            shared.clone(),
            tokio::runtime::Handle::current(),
        )?;
        Ok(Arc::new(Self {
            home,
            config,
            engine,
            shared,
            launch,
            tickets: Tickets::default(),
            address: OnceLock::new(),
            version: version.to_owned(),
            ending: watch::Sender::new(false),
        }))
    }

    /// Why the profile is not open, if it is not: locked, newer, damaged, disk full.
    pub fn closed_by(&self) -> Option<Fault> {
        self.shared.readers.closed_by()
    }

    /// The home it runs in.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The settings it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Launch tokens and browser sessions.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Names the address under which the interface is served. Only the first call counts.
    pub fn set_address(&self, base_url: String) {
        let _ = self.address.set(base_url);
    }

    /// A fresh one-time address of the interface; `None` where it is not served.
    pub fn open_url(&self) -> Option<String> {
        let base = self.address.get()?;
        Some(format!("{base}#launch={}", self.launch.mint(Instant::now())))
    }

    /// A fresh one-time address of the dialer's page; `None` where the interface is not served (DIAL-2).
    pub fn dialer_url(&self) -> Option<String> {
        let port = self.address.get()?.trim_end_matches('/').rsplit_once(':')?.1;
        let host = api::dialer::host(port.parse().ok()?);
        Some(format!("http://{host}/#{}", self.tickets.mint(Instant::now())))
    }

    /// Tickets of the dialer's page.
    pub(crate) fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// The pages that dial.
    pub(crate) fn dialer(&self) -> &Dialer {
        &self.shared.means.dialer
    }

    pub(crate) fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    /// Begins a call. Changes are queued when this returns, so callers keep their order; the answer comes later.
    pub async fn begin(self: &Arc<Self>, call: Call, caller: Caller) -> Pending {
        match call {
            Call::Command(command) => self.command(command).await,
            Call::PassphraseSet { old, new } => self.control(Control::PassphraseSet { old, new }).await,
            Call::Lock if !machine::has_passphrase(self.home.dir()) => ready(Err(Failure::new(
                Fault::BadParams,
                "there is no passphrase to lock with; set one first",
            ))),
            Call::Lock => self.control(Control::Lock).await,
            Call::Unlock { passphrase } => self.control(Control::Unlock(passphrase)).await,
            Call::Wipe => self.control(Control::Wipe).await,
            Call::Lend { on } if caller == Caller::Program => ready(self.lend(on)),
            Call::Query(query) => self.query(query),
            Call::Open if caller == Caller::Program => ready(self.open()),
            // A page that could mint addresses could hand its rights on; events are the connection's own job.
            Call::Open | Call::Lend { .. } | Call::Subscribe { .. } => ready(Err(Fault::NoMethod.into())),
            Call::Dialer => ready(self.dialer_page()),
            Call::Version => ready(Ok(json!({ "version": self.version }))),
        }
    }

    async fn command(&self, command: Command) -> Pending {
        let answer = self.engine.command(self.with_relays(command)).await;
        Box::pin(async move {
            let reply = answer.await.unwrap_or(Err(Fault::Internal))?;
            serde_json::to_value(reply).map_err(|_| Fault::Internal.into())
        })
    }

    /// An account made without relays gets those of the settings.
    fn with_relays(&self, command: Command) -> Command {
        match command {
            Command::Init(mut init) if init.relays.is_empty() => {
                init.relays.clone_from(&self.config.relays);
                Command::Init(init)
            }
            other => other,
        }
    }

    async fn control(&self, control: Control) -> Pending {
        let answer = self.engine.control(control).await;
        Box::pin(async move {
            answer.await.unwrap_or(Err(Fault::Internal))?;
            Ok(json!({}))
        })
    }

    fn query(self: &Arc<Self>, query: Query) -> Pending {
        let this = Arc::clone(self);
        Box::pin(async move {
            match (this.closed_by(), &query) {
                (Some(Fault::Locked | Fault::WrongPassphrase), Query::Status) => {
                    serde_json::to_value(locked_status(&Live {
                        locked: true,
                        ..this.live()
                    }))
                    .map_err(|_| Fault::Internal.into())
                }
                (Some(fault), _) => Err(fault.into()),
                (None, _) => Ok(this.shared.readers.query(query, this.live()).await?),
            }
        })
    }

    fn live(&self) -> Live {
        Live {
            has_passphrase: machine::has_passphrase(self.home.dir()),
            ..self.shared.live()
        }
    }

    /// Lends the connection from now on, or does not: kept in the home, for the next start.
    fn lend(&self, on: bool) -> Result<Value, Failure> {
        // Off is off at once, whatever can be written.
        self.shared
            .near
            .lends
            .send_if_modified(|lends| std::mem::replace(lends, *lends && on) && !on);
        self.home.keep_lending(on).map_err(|_| Fault::Internal)?;
        self.shared
            .near
            .lends
            .send_if_modified(|lends| std::mem::replace(lends, on) != on);
        Ok(json!({}))
    }

    fn open(&self) -> Result<Value, Failure> {
        let url = self
            .open_url()
            .ok_or_else(|| Failure::new(Fault::BadParams, "no interface is served here"))?;
        Ok(json!({ "url": url }))
    }

    fn dialer_page(&self) -> Result<Value, Failure> {
        let url = self
            .dialer_url()
            .ok_or_else(|| Failure::new(Fault::BadParams, "no interface is served here"))?;
        Ok(json!({ "url": url }))
    }

    /// Waits until relays have confirmed what is on its way, if there is a relay to do so; at most so long.
    pub async fn settle(&self, patience: Duration) {
        if self.shared.live().connection == Connection::Connected {
            let mut unconfirmed = self.shared.unconfirmed.subscribe();
            let _ = tokio::time::timeout(patience, unconfirmed.wait_for(|count| *count == 0)).await;
        }
    }

    /// What is wanted of the near relay; changes are seen on it.
    pub fn near_wish(&self) -> watch::Receiver<NearWish> {
        self.shared.near.wish.subscribe()
    }

    /// The relays that the device may lend (FWD-12), and where they are; changes are seen on it.
    pub fn lent(&self) -> watch::Receiver<Reached> {
        self.shared.near.lent.subscribe()
    }

    /// Whether the device lends its connection; changes are seen on it.
    pub fn lends(&self) -> watch::Receiver<bool> {
        self.shared.near.lends.subscribe()
    }

    /// The near relay runs from now on, or does not: a profile that is destroyed waits for its end.
    pub fn near_runs(&self, runs: bool) {
        self.shared.near.runs.send_replace(runs);
    }

    /// Waits until the near relay has ended; at most so long.
    pub async fn near_ended(&self, patience: Duration) {
        let mut runs = self.shared.near.runs.subscribe();
        let _ = tokio::time::timeout(patience, runs.wait_for(|runs| !runs)).await;
    }

    /// Names the near relay, and where it is reached at the moment, if it runs.
    pub async fn near_is(&self, near: NearRelay) {
        let answer = self.engine.control(Control::Near(Box::new(near))).await;
        // A loop that has ended needs no near relay.
        let _ = answer.await;
    }

    /// Waits until the engine's loop has ended, by [`Daemon::stop`] or by a mistake of the program.
    pub async fn ended(&self) {
        self.engine.ended().await;
    }

    /// Set once the daemon is about to end.
    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Ends all conversations, then the loop: the database is closed when this returns.
    pub async fn stop(&self) {
        self.ending.send_replace(true);
        self.engine.stop().await;
    }
}

/// Whether there is a profile in this folder: its key, or what is left of one.
pub fn has_profile(dir: &Path) -> bool {
    [stonechat_core::store::keys::KEY_FILE, stonechat_core::store::DATABASE]
        .iter()
        .any(|name| dir.join(name).exists())
}

/// Destroys a home's profile: its key first, then its database, then everything else that lies there.
///
/// Errors: the first file that could not be removed; the key is tried before all, and all are tried.
pub fn wipe(home: &Home) -> io::Result<()> {
    let profile = stonechat_core::store::wipe(home.dir());
    let rest = home.empty();
    profile.and(rest)
}

fn ready(answer: Result<Value, Failure>) -> Pending {
    Box::pin(std::future::ready(answer))
}
