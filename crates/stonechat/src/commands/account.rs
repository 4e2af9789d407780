//! `init`, `words`, `status`.

use serde_json::{Value, json};
use stonechat_daemon::types::{self, Acceptance, AcceptanceState, Connection, Invite, Me, Status, Words};
use tokio::time::Instant;

use super::{drops, relays};
use crate::client::{Client, PATIENCE, Place};
use crate::failure::CommandError;
use crate::grammar::{self, Init, Listing};
use crate::show;

/// Makes the account and prints its id.
pub(super) async fn init(client: &mut Client, init: &Init, place: &Place) -> Result<(), CommandError> {
    let wish = wish_of(init)?;
    if let Some(url) = &init.drop {
        drops::note_what_is_seen(url);
    }
    let me: Me = client.call("init", &wish).await?;
    protect(client, place).await?;
    show::line(&me.id)?;
    if wish.words.is_some() {
        show::note("the account is back, without its contacts: `restore` brings them too");
    }
    Ok(())
}

/// Refuses what can be no account, before anything is made for one.
pub(super) fn check(init: &Init) -> Result<(), CommandError> {
    let checked = wish_of(init)?.check();
    checked.map_err(|fault| CommandError::Refused(fault.into()))
}

fn wish_of(init: &Init) -> Result<types::Init, CommandError> {
    let drop = init.drop.as_deref().map(drops::new_route).transpose()?;
    Ok(types::Init {
        name: init.name.clone(),
        relays: init.relay.iter().cloned().chain(drop).collect(),
        words: init.words_file.as_deref().map(crate::read_file).transpose()?,
    })
}

/// A daemon that ran already made the profile without a passphrase: set the one given.
pub(super) async fn protect(client: &mut Client, place: &Place) -> Result<(), CommandError> {
    let Some(passphrase) = &place.passphrase else {
        return Ok(());
    };
    let status: Status = client.call("status", json!({})).await?;
    if !status.has_passphrase {
        client
            .call::<Value>("passphrase.set", json!({ "new": passphrase.expose() }))
            .await?;
    }
    Ok(())
}

/// Prints the 24 recovery words on one line, or the entrances to keep with them.
pub(super) async fn words(client: &mut Client, wish: &grammar::Words) -> Result<(), CommandError> {
    let words: Words = client.call("words", json!({})).await?;
    if wish.doors {
        return words.doors.iter().try_for_each(|door| show::line(door));
    }
    show::line(&words.words.join(" "))
}

/// Prints who this is and how it is connected.
pub(super) async fn status(client: &mut Client, listing: &Listing) -> Result<(), CommandError> {
    if client.is_own() {
        client.connected_before(Instant::now() + PATIENCE).await?;
    }
    let status: Status = client.call("status", json!({})).await?;
    if listing.json {
        return show::json_line(&status);
    }
    print(&status)?;
    print_invitations(client).await
}

fn print(status: &Status) -> Result<(), CommandError> {
    match &status.me {
        Some(me) => show::line(&format!("{}  {}", show::tame(&me.name), me.id))?,
        None if status.locked => show::line("locked")?,
        None => show::line("no account yet")?,
    }
    if status.revoked {
        show::line("revoked: this device is not part of the account any more; it only shows what it has")?;
    }
    if let Some(restoring) = &status.restoring {
        super::restoring::print(restoring)?;
    }
    show::line(&format!("connection: {}", connection_word(status.connection)))?;
    if let Some(clock) = clock_words(status.clock_offset_ms) {
        show::line(&clock)?;
    }
    for relay in &status.relays {
        show::line(&format!("relay: {}", relays::words(relay)))?;
        relays::tries(relay).iter().try_for_each(|line| show::line(line))?;
    }
    show::line(&format!(
        "queued: {}  unread: {}  requests: {}",
        status.queued, status.unread, status.requests
    ))?;
    show::line(&format!(
        "passphrase: {}",
        if status.has_passphrase { "set" } else { "none" }
    ))?;
    show::line(&format!("version: {}", status.version))?;
    Ok(())
}

/// Invitations taken up here that are not finished, and alarms about those made here.
async fn print_invitations(client: &mut Client) -> Result<(), CommandError> {
    let taken: Vec<Acceptance> = client.call("acceptances", json!({})).await?;
    for acceptance in taken
        .iter()
        .filter(|one| !matches!(one.state, AcceptanceState::Accepted | AcceptanceState::Dealt))
    {
        show::line(&format!("invitation: {}", super::meeting::plainly(acceptance)))?;
    }
    let made: Vec<Invite> = client.call("invites", json!({})).await?;
    if made.iter().any(|invite| invite.used_twice) {
        show::line("alarm: an invitation was taken up again after it was used: another person holds the link")?;
    }
    Ok(())
}

/// That the device's clock is off (MBX-7): `offset_ms` is the relays' minus this one's, 0 where that is less than a day.
fn clock_words(offset_ms: i64) -> Option<String> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let days = (offset_ms.unsigned_abs() + DAY_MS / 2) / DAY_MS;
    let side = if offset_ms > 0 { "behind" } else { "ahead of" };
    let unit = if days == 1 { "day" } else { "days" };
    (offset_ms != 0).then(|| {
        format!(
            "clock: about {days} {unit} {side} what the relays say; messages still arrive; set this device's date and time"
        )
    })
}

fn connection_word(connection: Connection) -> &'static str {
    match connection {
        Connection::NoRelay => "no relay yet",
        Connection::Connected => "connected",
        Connection::Connecting => "connecting",
        Connection::Offline => "offline",
        Connection::Nearby => "local network only: who is not on it is not reached",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_mbx_7() {
        const HOUR: i64 = 3_600_000;
        assert_eq!(clock_words(0), None);
        let said = |offset| clock_words(offset).unwrap();
        assert!(said(25 * HOUR).starts_with("clock: about 1 day behind what the relays say"));
        assert!(said(-47 * HOUR).starts_with("clock: about 2 days ahead of what the relays say"));
        assert!(said(i64::MIN).contains("days ahead of"));
    }
}
