//! The near relay: a small relay that `serve` runs for the network it is on, while no other relay is reached (LAN-6).
//!
//! In: what the daemon wants of it. Out: a relay that listens and announces itself, and the daemon's knowledge of it. Its
//! keys and mailboxes lie in the home's folder `near` and go with the home. Its port is another one each time `serve`
//! starts: one that it kept would tell a network that it was here before.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use stonechat_daemon::{Daemon, NearRelay, NearWish};
use stonechat_relay::home::Home;
use stonechat_relay::listen::{local_address, public_addresses};
use stonechat_relay::{AccessChoice, Config, CoverChoice, Limits, Relay};
use stonechat_transport::lan;
use tokio::sync::watch;

/// How often the computer's address is looked at while a near relay is wanted.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs it whenever it is wanted, until it is dropped.
pub(crate) async fn run(daemon: Arc<Daemon>) {
    let mut wish = daemon.near_wish();
    let mut host = Host {
        folder: daemon.home().dir().join("near"),
        daemon,
        port: 0,
    };
    while wish.wait_for(|wish| *wish != NearWish::Closed).await.is_ok() {
        if let Err(error) = host.follow(&mut wish).await {
            tracing::warn!(%error, "the near relay does not run");
            tokio::time::sleep(LOOK_EVERY).await;
        }
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
    async fn follow(&mut self, wish: &mut watch::Receiver<NearWish>) -> anyhow::Result<()> {
        let near = named(&self.folder)?;
        self.daemon.near_is(near.clone()).await;
        while *wish.wait_for(|wish| *wish != NearWish::Idle).await? == NearWish::Run {
            match local_address() {
                Some(_) => return self.serve(&near, wish).await,
                None => waits(wish).await,
            }
        }
        Ok(())
    }

    /// Runs it until it is not wanted any more, or the network is gone.
    async fn serve(&mut self, near: &NearRelay, wish: &mut watch::Receiver<NearWish>) -> anyhow::Result<()> {
        self.daemon.near_runs(true);
        let ran = self.announced(near, wish).await;
        self.daemon.near_runs(false);
        ran
    }

    async fn announced(&mut self, near: &NearRelay, wish: &mut watch::Receiver<NearWish>) -> anyhow::Result<()> {
        let mut dice = [0; 16];
        getrandom::fill(&mut dice).context("no dice")?;
        let running = Relay::start(config(&self.folder, self.port, &dice)).await?;
        self.port = running.local_addr.port();
        let announced = lan::announce(&near.relay, self.port, dice, &public_addresses());
        let announced = announced.inspect_err(|error| tracing::warn!(%error, "the near relay is not announced"));
        self.tell_place(near, wish).await;
        if *wish.borrow() != NearWish::Closed {
            self.daemon.near_is(near.clone()).await;
        }
        drop(announced);
        running.stop().await;
        Ok(())
    }

    /// Tells where it is, as long as it is somewhere and wanted.
    async fn tell_place(&self, near: &NearRelay, wish: &mut watch::Receiver<NearWish>) {
        let mut told = None;
        loop {
            let is_wanted = *wish.borrow_and_update() == NearWish::Run;
            let Some(ip) = local_address().filter(|_| is_wanted) else {
                return;
            };
            if told.replace(ip) != Some(ip) {
                let place = Some(format!("{ip}:{}", self.port));
                self.daemon.near_is(NearRelay { place, ..near.clone() }).await;
            }
            waits(wish).await;
        }
    }
}

/// A while, or until something else is wanted.
async fn waits(wish: &mut watch::Receiver<NearWish>) {
    let _ = tokio::time::timeout(LOOK_EVERY, wish.changed()).await;
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
fn config(folder: &Path, port: u16, dice: &[u8; 16]) -> Config {
    Config {
        listen: (Ipv4Addr::UNSPECIFIED, port).into(),
        also_listen: Vec::new(),
        data: folder.to_path_buf(),
        advertise: None,
        tls: None,
        front: None,
        cover: CoverChoice::None,
        access: AccessChoice::Secret,
        lan: true,
        near: dice.first_chunk().copied(),
        forward: Vec::new(),
        metrics: None,
        limits: Limits::near(),
    }
}
