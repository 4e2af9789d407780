//! `contacts`, `send`, `messages`, `safety-number`, `verify`, `search`.

use serde_json::{Value, json};
use stonechat_daemon::types::{
    Acceptance, AcceptanceState, Contact, Event, Hit, Message, MessageState, Messages as Stretch, SafetyNumber,
};
use tokio::time::Instant;

use super::find;
use crate::client::{Client, PATIENCE};
use crate::failure::CommandError;
use crate::grammar::{Compare, Listing, Messages, Search, Send, Verify};
use crate::show;

/// Prints id, name and whether the contact is verified.
pub(super) async fn contacts(client: &mut Client, listing: &Listing) -> Result<(), CommandError> {
    if client.is_own() {
        super::receive::catch_up(client).await?;
    }
    let contacts: Vec<Contact> = client.call("contacts", json!({})).await?;
    for contact in &contacts {
        if listing.json {
            show::json_line(contact)?;
        } else {
            let verified = if contact.verified { "  (verified)" } else { "" };
            show::line(&format!("{}  {}{verified}", contact.id, show::tame(&contact.name)))?;
        }
    }
    Ok(())
}

/// Prints the message's id once it is kept here, then `queued` if no relay has taken it in time.
pub(super) async fn send(client: &mut Client, send: &Send) -> Result<(), CommandError> {
    if client.is_own() && awaits_an_answer(client).await? {
        super::receive::catch_up(client).await?;
    }
    let chat = find::chat(client, &send.contact).await?;
    client.subscribe().await?;
    let wish = json!({ "chat": chat, "text": send.text, "marked": send.marks });
    let message: Message = client.call("send", wish).await?;
    show::line(&message.id)?;
    if state_in_time(client, &message).await? == MessageState::Queued {
        show::line("queued")?;
        show::note("no relay could be reached; the message is queued and leaves when one can");
    }
    Ok(())
}

/// Some invitation taken up here has no last answer yet: it may lie at the relay.
async fn awaits_an_answer(client: &mut Client) -> Result<bool, CommandError> {
    let taken: Vec<Acceptance> = client.call("acceptances", json!({})).await?;
    let open = |one: &Acceptance| matches!(one.state, AcceptanceState::Claimed | AcceptanceState::Waiting);
    Ok(taken.iter().any(open))
}

async fn state_in_time(client: &mut Client, message: &Message) -> Result<MessageState, CommandError> {
    let end = Instant::now() + PATIENCE;
    let mut state = message.state;
    while state == MessageState::Queued {
        match client.event_before(end).await? {
            Some(Event::MessageState { id, state: next, .. }) if id == message.id => state = next,
            Some(_) => {}
            None => break,
        }
    }
    Ok(state)
}

/// Prints the newest messages, oldest first.
pub(super) async fn messages(client: &mut Client, messages: &Messages) -> Result<(), CommandError> {
    let chat = find::chat(client, &messages.contact).await?;
    if client.is_own() {
        super::receive::catch_up(client).await?;
    }
    for message in newest(client, chat, messages.limit).await? {
        if messages.json {
            show::json_line(&show::message_json(&message))?
        } else {
            if let Some(gap) = show::gap_line(&message) {
                show::line(&gap)?;
            }
            show::line(&show::message_line(&message))?
        }
    }
    for alarm in find::alarms(client, chat).await? {
        if messages.json {
            show::json_line(&show::alarm_json(chat, &alarm))?
        } else {
            show::line(&show::alarm_line(&alarm))?
        }
    }
    Ok(())
}

/// The newest `limit` messages of a chat, in pages.
async fn newest(client: &mut Client, chat: i64, limit: u32) -> Result<Vec<Message>, CommandError> {
    let mut all: Vec<Message> = Vec::new();
    let mut left = limit;
    while left > 0 {
        let before = all.first().map(|message| message.position);
        let page: Stretch = client
            .call(
                "messages",
                json!({ "chat": chat, "before": before, "limit": left.min(500) }),
            )
            .await?;
        left -= u32::try_from(page.messages.len()).unwrap_or(left).min(left);
        let done = !page.more_before || page.messages.is_empty();
        all.splice(0..0, page.messages);
        if done {
            break;
        }
    }
    Ok(all)
}

/// Prints the twelve groups of five digits.
pub(super) async fn safety_number(client: &mut Client, of: &Compare) -> Result<(), CommandError> {
    let contact = find::contact(client, &of.contact).await?;
    let number: SafetyNumber = client.call("safetyNumber", json!({ "id": contact.id })).await?;
    if of.json {
        return show::json_line(&json!({
            "id": contact.id, "number": number.groups, "code": number.code, "verified": number.verified,
        }));
    }
    show::line(&number.groups.join(" "))
}

/// Marks a contact verified, or takes that back.
pub(super) async fn verify(client: &mut Client, wish: &Verify) -> Result<(), CommandError> {
    let contact = find::contact(client, &wish.contact).await?;
    let asked = json!({ "id": contact.id, "verified": !wish.undo, "code": wish.code });
    let _done: Value = client.call("verify", asked).await?;
    if wish.json {
        return show::json_line(&json!({ "id": contact.id, "verified": !wish.undo }));
    }
    let says = if wish.undo { "not verified" } else { "verified" };
    show::line(&format!("{}: {says}", show::tame(&contact.name)))
}

/// Prints the words of the conversation with a contact, and who introduced them.
pub(super) async fn compare(client: &mut Client, of: &Compare) -> Result<(), CommandError> {
    let contact = find::contact(client, &of.contact).await?;
    let number: SafetyNumber = client.call("safetyNumber", json!({ "id": contact.id })).await?;
    if of.json {
        return show::json_line(&json!({
            "id": contact.id, "words": number.words, "number": number.groups, "verified": number.verified,
            "introduced": contact.introduced,
        }));
    }
    show::line(&number.words.join(" "))?;
    if !contact.introduced.is_empty() {
        let vouches: String = contact.introduced.iter().map(show::vouch_line).collect();
        show::line(&format!("introduced by{vouches}"))?;
    }
    Ok(())
}

/// Prints what was found, newest first.
pub(super) async fn search(client: &mut Client, search: &Search) -> Result<(), CommandError> {
    let hits: Vec<Hit> = client
        .call("search", json!({ "words": search.words.join(" "), "limit": 100 }))
        .await?;
    for hit in &hits {
        if search.json {
            show::json_line(&show::message_json(&hit.message))?;
        } else {
            show::line(&format!(
                "{}  {}",
                show::tame(&hit.chat_name),
                show::message_line(&hit.message)
            ))?;
        }
    }
    Ok(())
}
