//! The near relay: a small relay that `serve` runs for the network it is on, while no other relay is reached (LAN-6), or
//! always, where the connection is lent (FWD-12).
//!
//! In: what the daemon wants of it. Out: a relay that listens and announces itself, and the daemon's knowledge of it. Its
//! keys and mailboxes lie in the home's folder `near` and go with the home. Its port is another one each time `serve`
//! starts: one that it kept would tell a network that it was here before.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use stonechat_daemon::{Daemon, NearRelay, NearWish, Reached};
use stonechat_relay::home::Home;
use stonechat_relay::listen::{Running, local_address, public_addresses};
use stonechat_relay::{AccessChoice, Config, CoverChoice, Limits, Relay};
use stonechat_transport::lan;
use stonechat_wire::ids::RelayId;
use stonechat_wire::route::RelayRoute;
use tokio::sync::watch;

/// How often the computer's address is looked at while a near relay is wanted.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs it whenever it is wanted, until it is dropped.
pub(crate) async fn run(daemon: Arc<Daemon>) {
    let mut wishes = Wishes {
        near: daemon.near_wish(),
        lends: daemon.lends(),
        lent: daemon.lent(),
    };
    let mut host = Host {
        folder: daemon.home().dir().join("near"),
        daemon,
        port: 0,
    };
    while wishes.near.wait_for(|wish| *wish != NearWish::Closed).await.is_ok() {
        if let Err(error) = host.follow(&mut wishes).await {
            tracing::warn!(%error, "the near relay does not run");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What is wanted of it.
struct Wishes {
    near: watch::Receiver<NearWish>,
    lends: watch::Receiver<bool>,
    lent: watch::Receiver<Reached>,
}

impl Wishes {
    fn is_closed(&self) -> bool {
        *self.near.borrow() == NearWish::Closed
    }

    fn lends(&self) -> bool {
        *self.lends.borrow()
    }

    /// Whether no other relay is reached, so that it is to be used by this device too.
    fn is_alone(&self) -> bool {
        *self.near.borrow() == NearWish::Run
    }

    /// Whether it is to run.
    fn runs(&self) -> bool {
        !self.is_closed() && (self.is_alone() || self.lends())
    }

    /// A while, or until something else is wanted.
    async fn change(&mut self) {
        let change = async {
            tokio::select! {
                _ = self.near.changed() => {}
                _ = self.lends.changed() => {}
                _ = self.lent.changed() => {}
            }
        };
        let _ = tokio::time::timeout(LOOK_EVERY, change).await;
    }
}

struct Host {
    daemon: Arc<Daemon>,
    folder: PathBuf,
    /// The port of the last time; 0 at first: any.
    port: u16,
}

impl Host {
    /// An open profile: names the relay, and runs it once that is wanted and there is a network.
    async fn follow(&mut self, wishes: &mut Wishes) -> anyhow::Result<()> {
        let near = named(&self.folder)?;
        self.daemon.near_is(near.clone()).await;
        while !wishes.is_closed() {
            if wishes.runs() && local_address().is_some() {
                return self.serve(&near, wishes).await;
            }
            wishes.change().await;
        }
        Ok(())
    }

    /// Runs it until it is not wanted any more, or the network is gone.
    async fn serve(&mut self, near: &NearRelay, wishes: &mut Wishes) -> anyhow::Result<()> {
        self.daemon.near_runs(true);
        let ran = self.announced(near, wishes).await;
        self.daemon.near_runs(false);
        ran
    }

    async fn announced(&mut self, near: &NearRelay, wishes: &mut Wishes) -> anyhow::Result<()> {
        let mut dice = [0; 16];
        getrandom::fill(&mut dice).context("no dice")?;
        let lends = wishes.lends();
        let running = Relay::start(config(&self.folder, self.port, &dice, lends)).await?;
        self.port = running.local_addr.port();
        let announced = lan::announce(&near.relay, self.port, dice, &public_addresses());
        let announced = announced.inspect_err(|error| tracing::warn!(%error, "the near relay is not announced"));
        self.attend(near, &running, wishes, lends).await;
        // Channels end at once, whatever else takes its time.
        running.forward_to(&[]);
        if !wishes.is_closed() {
            self.daemon.near_is(near.clone()).await;
        }
        drop(announced);
        running.stop().await;
        Ok(())
    }

    /// Tells where it is while this device is to use it, and it where it may pass on to, as long as it is somewhere and wanted.
    async fn attend(&self, near: &NearRelay, running: &Running, wishes: &mut Wishes, lends: bool) {
        let mut told = None;
        while wishes.runs() && wishes.lends() == lends {
            let Some(ip) = local_address() else { return };
            if lends {
                running.forward_to(&routes(&wishes.lent.borrow()));
            }
            let place = wishes.is_alone().then(|| format!("{ip}:{}", self.port));
            if told != place {
                told.clone_from(&place);
                self.daemon.near_is(NearRelay { place, ..near.clone() }).await;
            }
            wishes.change().await;
        }
    }
}

/// As the relay is told where to pass on to: by number, so no name leads elsewhere meanwhile.
fn routes(lent: &Reached) -> Vec<RelayRoute> {
    let route = |(relay, place): (&RelayId, &SocketAddr)| RelayRoute {
        address: place.to_string(),
        relay: *relay,
        secret: None,
        lan: false,
    };
    lent.iter().map(route).collect()
}

/// Which it is; its keys are made where there are none.
fn named(folder: &Path) -> anyhow::Result<NearRelay> {
    let home = Home::open(folder)?;
    let keys = home.keys.keys().clone();
    Ok(NearRelay {
        relay: keys.id(),
        secret: home.secret,
        keys,
        place: None,
        mine: true,
    })
}

/// `dice`: as for [`lan::announce`], whose beacon begins with the nonce.
fn config(folder: &Path, port: u16, dice: &[u8; 16], lends: bool) -> Config {
    Config {
        listen: (Ipv4Addr::UNSPECIFIED, port).into(),
        also_listen: Vec::new(),
        data: folder.to_path_buf(),
        advertise: None,
        tls: None,
        acme: None,
        front: None,
        cover: CoverChoice::None,
        access: AccessChoice::Secret,
        lan: true,
        bridge: None,
        near: dice.first_chunk().copied(),
        forward: Vec::new(),
        metrics: None,
        limits: if lends { Limits::lending() } else { Limits::near() },
    }
}
