//! `public make`, `public list`, `public close`: invitations for whoever reads them, which deal relays.

use std::fs;

use serde_json::{Value, json};
use stonechat_daemon::types::{Event, Fault, InviteState, PublicCreate, PublicInvite};
use tokio::time::Instant;

use super::{find, meeting};
use crate::client::{Client, PATIENCE};
use crate::failure::CommandError;
use crate::grammar::{Listing, Public, PublicMake};
use crate::show;

/// Does one of them.
pub(super) async fn run(client: &mut Client, wish: Public) -> Result<(), CommandError> {
    match wish {
        Public::Make(make) => self::make(client, &make).await,
        Public::List(listing) => list(client, &listing).await,
        Public::Close { id } => close(client, &id).await,
    }
}

/// Prints the link, then the code; says for how long and what is dealt how fast.
async fn make(client: &mut Client, make: &PublicMake) -> Result<(), CommandError> {
    let file = fs::read_to_string(&make.relays)
        .map_err(|error| CommandError::File(make.relays.display().to_string(), error))?;
    let routes: Vec<String> = file.split_whitespace().map(str::to_owned).collect();
    if !(4..=64).contains(&routes.len()) {
        return Err(CommandError::NotGiven);
    }
    let wish = PublicCreate {
        days: make.days.unwrap_or_else(|| days_of(routes.len())),
        routes,
        a_day: make.a_day,
    };
    client.subscribe().await?;
    if client.is_own() {
        client.connected_before(Instant::now() + PATIENCE).await?;
    }
    let made = client.call("public.create", &wish).await;
    let mut made: PublicInvite = made.map_err(|error| match error {
        CommandError::Refused(why) if why.kind == Fault::BadParams => CommandError::NotGiven,
        other => other,
    })?;
    made.state = door_state(client, &made).await?;
    if make.json {
        return show::json_line(&made);
    }
    show::line(&made.link)?;
    show::line(&made.code)?;
    meeting::note_reach(made.state, made.reach);
    show::note(
        "whoever reads it is given two of these relays, and so is a censor: each day it learns those of that day, \
         and in the end all of them. They are not used by you. Start this device once a week: the door has the next \
         seven days' relays, and then answers nobody",
    );
    Ok(())
}

/// So many that each relay is given on one day, and 30 at most.
fn days_of(relays: usize) -> u16 {
    u16::try_from(relays / 2).unwrap_or(u16::MAX).clamp(1, 30)
}

/// Waits a little for a relay to set the door up.
async fn door_state(client: &mut Client, made: &PublicInvite) -> Result<InviteState, CommandError> {
    let end = Instant::now() + PATIENCE;
    let mut state = made.state;
    while state == InviteState::Preparing {
        match client.event_before(end).await? {
            Some(Event::PublicChanged { invite }) if invite.id == made.id => state = invite.state,
            Some(_) => {}
            None => break,
        }
    }
    Ok(state)
}

/// Prints each with its state, and which relay is dealt on which day.
async fn list(client: &mut Client, listing: &Listing) -> Result<(), CommandError> {
    for invite in all(client).await? {
        if listing.json {
            show::json_line(&invite)?;
            continue;
        }
        let (state, until) = (state_word(invite.state), show::time(invite.expires_at));
        show::line(&format!("{}  {state}  until {until}", invite.id))?;
        show::line(&format!("  {}", invite.link))?;
        for (day, relays) in invite.days.iter().enumerate() {
            let at = invite
                .created_at
                .saturating_add((day as u64).saturating_mul(24 * 3_600_000));
            let relays: Vec<String> = relays.iter().map(|relay| show::tame(relay)).collect();
            show::line(&format!("  from {}: {}", show::time(at), relays.join("  ")))?;
        }
    }
    Ok(())
}

/// Closes one by its id, or by how that begins.
async fn close(client: &mut Client, id: &str) -> Result<(), CommandError> {
    let found = all(client).await?;
    let mut found = found.iter().filter(|invite| find::begins(&invite.id, id));
    let (Some(invite), None) = (found.next(), found.next()) else {
        return Err(CommandError::NoPublic(id.to_owned()));
    };
    let _: Value = client.call("public.revoke", json!({ "id": invite.id })).await?;
    show::line(&format!("closed: {}", invite.id))
}

const fn state_word(state: InviteState) -> &'static str {
    match state {
        InviteState::Preparing => "preparing",
        InviteState::Open => "open",
        InviteState::Expired => "over",
        InviteState::Used | InviteState::Revoked | InviteState::Attacked => "closed",
    }
}

async fn all(client: &mut Client) -> Result<Vec<PublicInvite>, CommandError> {
    client.call("publics", json!({})).await
}
