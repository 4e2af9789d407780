//! `group link`, `group links`, `group unlink`, `group approve`: links that lead into a group.

use serde_json::{Value, json};
use stonechat_daemon::types::{ChatId, Contact, Invite, InviteState};

use super::{drops, find, meeting};
use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::{GroupLink, OfGroup, OfRequest};
use crate::show;

/// Makes one and prints it.
pub(super) async fn make(client: &mut Client, wish: &GroupLink) -> Result<(), CommandError> {
    client.subscribe().await?;
    let chat = find::group(client, &wish.group).await?.id;
    let params = json!({ "chat": chat, "approval": wish.approval, "most": wish.most, "hours": wish.hours });
    let made: Invite = client.call("group.link", params).await?;
    let state = meeting::door_state(client, &made).await?;
    if wish.json {
        return show::json_line(&Invite { state, ..made });
    }
    drops::note_password(&made.link);
    show::line(&made.link)?;
    meeting::note_reach(state, made.reach);
    Ok(())
}

/// Prints those of a group, newest first.
pub(super) async fn list(client: &mut Client, of: &OfGroup) -> Result<(), CommandError> {
    let chat = find::group(client, &of.group).await?.id;
    for invite in all(client).await?.iter().filter(|invite| leads_into(invite, chat)) {
        if of.json {
            show::json_line(invite)?;
        } else {
            show::line(&line(invite))?;
        }
    }
    Ok(())
}

fn leads_into(invite: &Invite, chat: ChatId) -> bool {
    invite.group.as_ref().is_some_and(|group| group.chat == chat)
}

fn line(invite: &Invite) -> String {
    let most = invite.group.as_ref().map_or(0, |group| group.most);
    let approval = if invite.group.as_ref().is_some_and(|group| group.approval) {
        "  with approval"
    } else {
        ""
    };
    let state = match invite.state {
        InviteState::Preparing => "preparing",
        InviteState::Open => "open",
        InviteState::Used => "used up",
        InviteState::Expired => "expired",
        InviteState::Revoked => "closed",
        InviteState::Attacked => "closed: somebody was guessing",
    };
    let (id, here, waiting) = (&invite.id, invite.approved, invite.waiting);
    format!("{id}  {state}  {here} of {most} let in  {waiting} waiting{approval}")
}

/// Closes one by its id.
pub(super) async fn close(client: &mut Client, wanted: &OfRequest) -> Result<(), CommandError> {
    let found = all(client).await?;
    let mut found = found
        .iter()
        .filter(|invite| invite.group.is_some() && find::begins(&invite.id, &wanted.id));
    let (Some(invite), None) = (found.next(), found.next()) else {
        return Err(CommandError::NoGroupLink(wanted.id.clone()));
    };
    client
        .call::<Value>("invite.revoke", json!({ "id": invite.id }))
        .await?;
    if wanted.json {
        return show::json_line(&json!({ "id": invite.id, "state": InviteState::Revoked }));
    }
    show::line(&format!("closed: {}", invite.id))
}

/// Lets somebody in who waits, and prints who.
pub(super) async fn approve(client: &mut Client, by: &OfRequest) -> Result<(), CommandError> {
    if client.is_own() {
        super::receive::catch_up(client).await?;
    }
    let request = find::request(client, &by.id).await?;
    let contact: Contact = client.call("approve", json!({ "id": request.id })).await?;
    if by.json {
        return show::json_line(&contact);
    }
    show::line(&format!("approved: {}", show::tame(&contact.name)))
}

async fn all(client: &mut Client) -> Result<Vec<Invite>, CommandError> {
    client.call("invites", json!({})).await
}
