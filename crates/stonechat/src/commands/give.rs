//! `give`: the program itself and an invitation, for whoever is on the same network (LAN-10).
//!
//! In: how long. Out: the page's address and what to compare, on standard output; the page, until the time is over or the
//! person ends it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use stonechat_daemon::api::{Gift, Giving};
use stonechat_daemon::types::{Fault, How, Invite, Who};
use stonechat_relay::listen::local_address;
use tokio::time::{Instant, sleep, timeout};

use super::meeting::{door_state, note_reach};
use crate::client::{Client, PATIENCE};
use crate::failure::CommandError;
use crate::grammar::Give;
use crate::show;

/// Gives until the time is over.
pub(super) async fn run(client: &mut Client, wish: &Give) -> Result<(), CommandError> {
    if client.is_own() {
        return Err(CommandError::NotRunning);
    }
    let at: IpAddr = local_address().ok_or(CommandError::NoNetwork)?.into();
    let program = std::env::current_exe().and_then(std::fs::read);
    let program = program.context("this program's own file cannot be read")?;
    let invitation = invitation(client).await?;
    let giving = Giving::bind(at, Gift { program, invitation }).await?;
    show::line(&giving.url()?)?;
    show::line(&format!("sha256: {}", giving.check))?;
    show::note("whoever opens this address gets the program; who takes up the invitation waits for your approval");
    tokio::select! {
        // Nothing more to give is the wished end.
        over = timeout(Duration::from_secs(wish.minutes.saturating_mul(60)), giving.serve()) => over.unwrap_or(Ok(()))?,
        ended = tokio::signal::ctrl_c() => ended?,
    }
    Ok(())
}

/// Waits a little for a relay: the near one of a program that has just started is not there yet.
async fn made(client: &mut Client) -> Result<Invite, CommandError> {
    let end = Instant::now() + PATIENCE;
    let wish = json!({ "who": Who::Family, "how": How::Plain });
    loop {
        match client.call("invite.create", wish.clone()).await {
            Err(CommandError::Refused(why)) if why.kind == Fault::NoRelay && Instant::now() < end => {
                sleep(Duration::from_millis(250)).await;
            }
            made => return made,
        }
    }
}

/// For family and friends: each is approved. One whose door is a dead drop's would give away the drop's password.
async fn invitation(client: &mut Client) -> Result<String, CommandError> {
    client.subscribe().await?;
    let made = made(client).await?;
    if !made.link.starts_with("http") {
        return Err(CommandError::NoGift);
    }
    let state = door_state(client, &made).await?;
    note_reach(state, made.reach);
    Ok(made.link)
}
