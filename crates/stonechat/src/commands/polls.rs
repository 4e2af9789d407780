//! `pin`, `pins`, `poll`, `forward`.

use serde_json::{Value, json};
use stonechat_daemon::types::{Fault, Message};

use super::content::leave;
use super::find;
use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::{Ask, Forward, Listed, Pin, Poll};
use crate::show;

/// Puts a message on top of its chat, or takes it off.
pub(super) async fn pin(client: &mut Client, pin: &Pin) -> Result<(), CommandError> {
    done(client, "pin", json!({ "id": pin.id, "on": !pin.remove }), pin.json).await
}

/// Prints what stands on top of a chat, newest pin first.
pub(super) async fn pins(client: &mut Client, of: &Listed) -> Result<(), CommandError> {
    let chat = find::chat(client, &of.contact).await?;
    let pinned: Vec<Message> = client.call("pins", json!({ "chat": chat })).await?;
    for message in &pinned {
        told(message, of.json)?;
    }
    Ok(())
}

/// Asks, chooses, ends.
pub(super) async fn poll(client: &mut Client, poll: &Poll) -> Result<(), CommandError> {
    match poll {
        Poll::Ask(ask) => self::ask(client, ask).await,
        Poll::Vote { id, choices, json } => {
            let choices: Vec<u8> = choices.iter().map(|number| number - 1).collect();
            let wish = json!({ "id": id, "choices": choices });
            done(client, "poll.vote", wish, *json).await.map_err(misfit)
        }
        Poll::End { id, json } => done(client, "poll.close", json!({ "id": id }), *json).await,
    }
}

/// The grammar has seen to all else that core calls a bad parameter here.
fn misfit(error: CommandError) -> CommandError {
    match error {
        CommandError::Refused(failure) if failure.kind == Fault::BadParams => CommandError::NoChoice,
        other => other,
    }
}

async fn ask(client: &mut Client, ask: &Ask) -> Result<(), CommandError> {
    let chat = find::chat(client, &ask.contact).await?;
    let wish = json!({ "chat": chat, "question": ask.question, "choices": ask.choices, "several": ask.several });
    let message: Message = client.call("poll.send", wish).await?;
    leave(client).await?;
    if ask.json {
        return show::json_line(&show::message_json(&message));
    }
    show::line(&message.id)
}

async fn done(client: &mut Client, method: &str, wish: Value, json: bool) -> Result<(), CommandError> {
    let message: Message = client.call(method, wish).await?;
    leave(client).await?;
    told(&message, json)
}

/// Writes a message of one chat in another, and prints the new one's id.
pub(super) async fn forward(client: &mut Client, wish: &Forward) -> Result<(), CommandError> {
    let chat = find::chat(client, &wish.contact).await?;
    let asked = json!({ "id": wish.id, "chat": chat, "named": wish.named });
    let message: Message = match client.call("forward", asked).await {
        Err(error) => return Err(kept_here(client, &wish.id, error).await),
        sent => sent?,
    };
    leave(client).await?;
    if wish.json {
        return show::json_line(&show::message_json(&message));
    }
    show::line(&message.id)
}

/// Core finds nothing to forward in a poll, and in what is no text: that is another thing than no message.
async fn kept_here(client: &mut Client, id: &str, error: CommandError) -> CommandError {
    match error {
        CommandError::Refused(failure) if failure.kind == Fault::NotFound => {
            match client.call::<Message>("message", json!({ "id": id })).await {
                Ok(_it_is_here) => CommandError::NotForwarded,
                Err(_) => CommandError::Refused(failure),
            }
        }
        other => other,
    }
}

fn told(message: &Message, json: bool) -> Result<(), CommandError> {
    if json {
        show::json_line(&show::message_json(message))
    } else {
        show::line(&show::message_line(message))
    }
}
