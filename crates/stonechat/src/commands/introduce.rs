//! `introduce`, `introductions`, `meet`, `card`, `place`.

use serde_json::{Value, json};
use stonechat_daemon::types::Message;

use super::content::leave;
use super::find;
use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::{Introduce, Listing, Meet, Place, SendCard};
use crate::show;

/// Asks two contacts whether they want to meet.
pub(super) async fn introduce(client: &mut Client, wish: &Introduce) -> Result<(), CommandError> {
    let one = find::contact(client, &wish.one).await?;
    let other = find::contact(client, &wish.other).await?;
    if one.id == other.id {
        return Err(CommandError::SameContact);
    }
    let asked = json!({ "one": one.id, "other": other.id });
    client.call::<Value>("introduce", asked).await?;
    leave(client).await?;
    if wish.json {
        return show::json_line(&json!({ "one": one.id, "other": other.id }));
    }
    let (one, other) = (show::tame(&one.name), show::tame(&other.name));
    show::line(&format!("asked {one} and {other}; both have to say yes"))
}

/// Lists what waits for an answer.
pub(super) async fn introductions(client: &mut Client, listing: &Listing) -> Result<(), CommandError> {
    if client.is_own() {
        super::receive::catch_up(client).await?;
    }
    let open: Vec<Message> = client.call("introductions", json!({})).await?;
    for message in &open {
        if listing.json {
            show::json_line(&show::message_json(message))?;
        } else {
            show::line(&format!("{}  {}", message.id, show::message_line(message)))?;
        }
    }
    Ok(())
}

/// Says yes or no.
pub(super) async fn meet(client: &mut Client, wish: &Meet) -> Result<(), CommandError> {
    let answer = json!({ "id": wish.id, "yes": !wish.no });
    client.call::<Value>("introduction.answer", answer).await?;
    leave(client).await?;
    let message: Message = client.call("message", json!({ "id": wish.id })).await?;
    if wish.json {
        show::json_line(&show::message_json(&message))
    } else {
        show::line(&show::message_line(&message))
    }
}

/// Sends the card of a contact.
pub(super) async fn card(client: &mut Client, wish: &SendCard) -> Result<(), CommandError> {
    let chat = find::chat(client, &wish.contact).await?;
    let of = find::contact(client, &wish.of).await?;
    let sent: Message = client
        .call("card.send", json!({ "chat": chat, "contact": of.id }))
        .await?;
    told(client, &sent, wish.json).await
}

/// Sends a place.
pub(super) async fn place(client: &mut Client, wish: &Place) -> Result<(), CommandError> {
    let chat = find::chat(client, &wish.contact).await?;
    let place = json!({ "lat": wish.lat.0, "lon": wish.lon.0, "accuracyM": wish.within, "label": wish.label });
    let sent: Message = client
        .call("place.send", json!({ "chat": chat, "place": place }))
        .await?;
    told(client, &sent, wish.json).await
}

async fn told(client: &mut Client, sent: &Message, json: bool) -> Result<(), CommandError> {
    leave(client).await?;
    if json {
        return show::json_line(&show::message_json(sent));
    }
    show::line(&sent.id)
}
