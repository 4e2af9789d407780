//! `invite`, `accept`, `requests`, `approve`, `decline`.

use serde_json::{Value, json};
use stonechat_daemon::types::{Acceptance, AcceptanceState, Contact, Event, How, InviteState, Reach, Request, Who};
use tokio::time::Instant;

use super::{drops, find};
use crate::client::{Client, PATIENCE};
use crate::failure::{CommandError, refusal_of};
use crate::grammar::{Accept, ById, Invite, Listing};
use crate::show;

/// Prints the link, then (with `--spoken`) the three words. Waits a little for the relay to set the door up.
pub(super) async fn invite(client: &mut Client, invite: &Invite) -> Result<(), CommandError> {
    client.subscribe().await?;
    let who = if invite.family { Who::Family } else { Who::One };
    let how = if invite.spoken { How::Spoken } else { How::Plain };
    let made: stonechat_daemon::types::Invite = client.call("invite.create", json!({ "who": who, "how": how })).await?;
    let state = door_state(client, &made).await?;
    drops::note_password(&made.link);
    show::line(&made.link)?;
    if let Some(words) = &made.spoken_words {
        show::line(words)?;
    }
    note_reach(state, made.reach);
    Ok(())
}

/// Says where an invitation does not work, or not yet.
pub(super) fn note_reach(state: InviteState, reach: Reach) {
    if state == InviteState::Preparing {
        show::note("no relay has set this invitation up yet; it works once one is reached");
    }
    match reach {
        Reach::ThisComputer => show::note("this invitation works only on this computer"),
        Reach::LocalNetwork => show::note("this invitation works only in this network"),
        Reach::Internet => {}
    }
}

/// Waits a little for the relay to set the door up.
pub(super) async fn door_state(
    client: &mut Client,
    made: &stonechat_daemon::types::Invite,
) -> Result<InviteState, CommandError> {
    let end = Instant::now() + PATIENCE;
    let mut state = made.state;
    while state == InviteState::Preparing {
        match client.event_before(end).await? {
            Some(Event::InviteChanged { invite }) if invite.id == made.id => state = invite.state,
            Some(_) => {}
            None => break,
        }
    }
    Ok(state)
}

/// Takes up a link and says how far that got within a few seconds.
pub(super) async fn accept(client: &mut Client, accept: &Accept) -> Result<(), CommandError> {
    client.subscribe().await?;
    let first: Acceptance = client
        .call("accept", json!({ "link": accept.link, "spokenWords": accept.spoken }))
        .await?;
    let acceptance = outcome(client, first).await?;
    if let Some(refusal) = refusal_of(acceptance.state) {
        return Err(CommandError::Link(refusal.to_owned()));
    }
    show::line(&plainly(&acceptance))
}

/// Follows the acceptance until it says something final, or until patience ends.
async fn outcome(client: &mut Client, mut acceptance: Acceptance) -> Result<Acceptance, CommandError> {
    let end = Instant::now() + PATIENCE;
    while matches!(acceptance.state, AcceptanceState::Saved | AcceptanceState::Claimed) {
        match client.event_before(end).await? {
            Some(Event::AcceptanceChanged { acceptance: next }) if next.id == acceptance.id => acceptance = next,
            Some(_) => {}
            None => break,
        }
    }
    Ok(acceptance)
}

/// Where an acceptance stands, in one line.
pub(super) fn plainly(acceptance: &Acceptance) -> String {
    let name = acceptance
        .name
        .as_deref()
        .map_or_else(|| "the inviter".to_owned(), show::tame);
    match acceptance.state {
        AcceptanceState::Saved => "saved: this is finished as soon as there is any connection".to_owned(),
        AcceptanceState::Claimed => format!("claimed: {name} has not answered yet; you can already write"),
        AcceptanceState::Waiting => format!("waiting: {name} decides; you can already write"),
        AcceptanceState::Accepted => match &acceptance.group {
            Some(group) => format!("accepted: {name}; the group follows: {}", show::tame(group)),
            None => format!("accepted: {name}"),
        },
        AcceptanceState::Dealt => "two relays were given to you: you can invite people, and be invited".to_owned(),
        state => refusal_of(state).unwrap_or_default().to_owned(),
    }
}

/// Prints who waits: request id, name, and what they wrote first.
pub(super) async fn requests(client: &mut Client, listing: &Listing) -> Result<(), CommandError> {
    if client.is_own() {
        super::receive::catch_up(client).await?;
    }
    let requests: Vec<Request> = client.call("requests", json!({})).await?;
    for request in &requests {
        if listing.json {
            show::json_line(request)?;
            continue;
        }
        let group = request
            .group
            .as_deref()
            .map(|group| format!("  into {}", show::tame(group)));
        let name = show::tame(&request.name);
        show::line(&format!("{}  {name}{}", request.id, group.unwrap_or_default()))?;
        for text in &request.first_messages {
            show::line(&format!("    \"{}\"", show::tame(text)))?;
        }
    }
    Ok(())
}

/// Lets a person in and prints the contact's name.
pub(super) async fn approve(client: &mut Client, by: &ById) -> Result<(), CommandError> {
    let request = find::request(client, &by.id).await?;
    let contact: Contact = client.call("approve", json!({ "id": request.id })).await?;
    show::line(&format!("approved: {}", show::tame(&contact.name)))
}

/// Turns a person away.
pub(super) async fn decline(client: &mut Client, by: &ById) -> Result<(), CommandError> {
    let request = find::request(client, &by.id).await?;
    client.call::<Value>("decline", json!({ "id": request.id })).await?;
    show::line(&format!("declined: {}", show::tame(&request.name)))
}
