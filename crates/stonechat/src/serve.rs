//! `serve`: one profile and its interface, in the foreground.
//!
//! In: settings. Out: the interface's one-time address on standard output, then service until Ctrl-C, a polite
//! signal, or (for a program that started this one) the end of standard input.

use std::time::Duration;

use serde_json::json;
use stonechat_daemon::api::{Caller, HttpServer};
use stonechat_daemon::config::{ProxyUrl, Wishes};
use stonechat_daemon::home::{Home, HomeError};
use stonechat_daemon::rpc::{self, Failure};
use stonechat_daemon::types::Fault;
use stonechat_daemon::{Daemon, log};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::{PATIENCE, Place, settle};
use crate::failure::CommandError;
use crate::grammar::Serve;
use crate::{near, show};

/// Runs until told to end.
pub(crate) async fn run(serve: Serve, place: &Place) -> Result<(), CommandError> {
    let end = End::listen(serve.while_stdin);
    let relays = Some(serve.relay).filter(|relays| !relays.is_empty());
    let flags = Wishes {
        port: serve.port,
        name: serve.name,
        relays,
        log: serve.log,
        near: serve.no_near.then_some(false),
        proxy: serve.proxy.map(ProxyUrl),
        proxy_also: serve.proxy_also.then_some(true),
        ..Wishes::default()
    };
    let config = settle(&place.dir, flags)?;
    let has_near = config.near;
    let home = claim(place).await?;
    log::start(home.log_dir().as_path(), config.log)?;
    let server = HttpServer::bind(config.port, config.name.as_deref())
        .await
        .map_err(anyhow::Error::from)?;
    let daemon = Daemon::start(home, config, place.passphrase.clone(), crate::VERSION)?;
    if let Some(fault) = daemon.closed_by() {
        report_closed(&daemon, fault).await?;
    }
    daemon.set_address(server.base_url().to_owned());
    add_relays(&daemon).await;
    #[cfg(unix)]
    tokio::spawn(stonechat_daemon::api::listen(&daemon)?);
    tokio::spawn(server.serve(std::sync::Arc::clone(&daemon)));
    if !stonechat_daemon::api::interface_is_built() {
        show::note("this build is without the interface; the page says how to build it");
    }
    let near = has_near.then(|| tokio::spawn(near::run(std::sync::Arc::clone(&daemon))));
    show::line(&format!("ui: {}", daemon.open_url().unwrap_or_default()))?;
    let ended = tokio::select! {
        () = end.told() => Ok(()),
        () = daemon.ended() => Err(anyhow::anyhow!("the messenger's thread gave up").into()),
    };
    daemon.stop().await;
    daemon.near_ended(PATIENCE).await;
    near.inspect(JoinHandle::abort);
    ended
}

async fn claim(place: &Place) -> Result<Home, CommandError> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match Home::claim(&place.dir) {
            Ok(home) => return Ok(home),
            Err(HomeError::InUse) if Instant::now() < give_up => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(HomeError::InUse) => return Err(CommandError::InUse),
            Err(HomeError::Io(error)) => return Err(error.into()),
        }
    }
}

/// A profile that waits for its passphrase, or cannot be read, is still served: the interface says so. A passphrase
/// that was given and is wrong ends it, since nobody would see the mistake.
async fn report_closed(daemon: &Daemon, fault: Fault) -> Result<(), CommandError> {
    if fault == Fault::WrongPassphrase {
        daemon.stop().await;
        return Err(CommandError::Refused(Failure::from(fault)));
    }
    if fault != Fault::Locked {
        show::note(&fault.to_string());
    }
    Ok(())
}

/// Relays of the settings reach an account that is there already; a fresh one gets them when it is made.
async fn add_relays(daemon: &std::sync::Arc<Daemon>) {
    for route in &daemon.config().relays {
        let Ok(call) = rpc::call("relay.add", json!({ "route": route })) else {
            continue;
        };
        match daemon.begin(call, Caller::Program).await.await {
            Err(failure) if !matches!(failure.kind, Fault::NoAccount | Fault::Locked) => {
                show::note(&format!("a relay of the settings is not used: {failure}"));
            }
            _ => {}
        }
    }
}

/// The end that this program is told: heard from when this is made, also before anybody waits for it.
pub(crate) struct End(JoinHandle<()>);

impl End {
    pub(crate) fn listen(while_stdin: bool) -> Self {
        Self(tokio::spawn(told_to_end(while_stdin)))
    }

    pub(crate) async fn told(self) {
        // A task that was ended is an end too.
        let _ = self.0.await;
    }
}

/// Waits for Ctrl-C, SIGTERM, or (when asked) the end of standard input.
async fn told_to_end(while_stdin: bool) {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated() => {}
        () = stdin_ended(), if while_stdin => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

async fn stdin_ended() {
    let mut rest = [0; 64];
    let mut stdin = tokio::io::stdin();
    while stdin.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}
