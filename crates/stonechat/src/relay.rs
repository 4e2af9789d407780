//! `relay`: runs a relay in the foreground.
//!
//! In: where to listen and where its data lies. Out: its route on standard output, then service until told to end.

use std::path::Path;

use stonechat_daemon::config::Wishes;
use stonechat_daemon::log;
use stonechat_relay::{AccessChoice, Config, Limits, Relay};

use crate::client::settle;
use crate::failure::CommandError;
use crate::grammar::RelayRun;
use crate::serve::told_to_end;
use crate::show;

/// Runs until told to end. Its data lies in the home's folder `relay` where no other is given.
pub(crate) async fn run(run: RelayRun, home: &Path) -> Result<(), CommandError> {
    let data = run.data.unwrap_or_else(|| home.join("relay"));
    let access = if run.open {
        AccessChoice::Open
    } else {
        AccessChoice::Secret
    };
    log::start(&data.join("log"), settle(&data, Wishes::default())?.log)?;
    let config = Config {
        listen: run.listen,
        data,
        advertise: run.public,
        access,
        lan: run.lan,
        limits: Limits::default(),
    };
    let running = Relay::start(config).await.map_err(anyhow::Error::from)?;
    show::line(&format!("route: {}", running.route_text()))?;
    told_to_end(run.while_stdin).await;
    running.stop().await;
    Ok(())
}
