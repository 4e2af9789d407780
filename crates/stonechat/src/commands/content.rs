//! `reply`, `react`, `edit`, `delete`, `history`: what is done to a message, by its id; `timer`.

use serde_json::{Value, json};
use stonechat_daemon::types::{Chat, Message, Version};

use super::{find, receive};
use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::{Delete, Edit, OfMessage, React, Reply, Timer, TimerTime};
use crate::show;

/// Answers a message in its chat.
pub(super) async fn reply(client: &mut Client, reply: &Reply) -> Result<(), CommandError> {
    let about: Message = client.call("message", json!({ "id": reply.id })).await?;
    let wish = json!({ "chat": about.chat, "text": reply.text, "marked": reply.marks, "replyTo": reply.id });
    let message: Message = client.call("send", wish).await?;
    leave(client).await?;
    if reply.json {
        show::json_line(&show::message_json(&message))
    } else {
        show::line(&message.id)
    }
}

/// Puts an emoji on a message, or takes it back.
pub(super) async fn react(client: &mut Client, react: &React) -> Result<(), CommandError> {
    let wish = json!({ "id": react.id, "emoji": react.emoji, "on": !react.remove });
    let message: Message = client.call("react", wish).await?;
    leave(client).await?;
    changed(&message, react.json)
}

/// Writes another text in the place of one's own.
pub(super) async fn edit(client: &mut Client, edit: &Edit) -> Result<(), CommandError> {
    let wish = json!({ "id": edit.id, "text": edit.text, "marked": edit.marks });
    let message: Message = client.call("edit", wish).await?;
    leave(client).await?;
    changed(&message, edit.json)
}

fn changed(message: &Message, json: bool) -> Result<(), CommandError> {
    if json {
        show::json_line(&show::message_json(message))
    } else {
        show::line(&show::message_line(message))
    }
}

/// Deletes a message here, or for everybody.
pub(super) async fn delete(client: &mut Client, delete: &Delete) -> Result<(), CommandError> {
    let wish = json!({ "id": delete.id, "everyone": delete.everyone });
    let _done: Value = client.call("delete", wish).await?;
    leave(client).await?;
    if delete.json {
        return show::json_line(&json!({ "id": delete.id, "everyone": delete.everyone }));
    }
    show::line("deleted")
}

/// Prints what stood in a message's place, oldest first.
pub(super) async fn history(client: &mut Client, of: &OfMessage) -> Result<(), CommandError> {
    let versions: Vec<Version> = client.call("history", json!({ "id": of.id })).await?;
    for version in &versions {
        if of.json {
            show::json_line(&json!({ "at": version.at, "text": version.text, "format": version.format }))?;
        } else {
            show::line(&format!("{}  {}", show::time(version.at), show::tame(&version.text)))?;
        }
    }
    Ok(())
}

/// Sets a chat's timer, or says what it is.
pub(super) async fn timer(client: &mut Client, timer: &Timer) -> Result<(), CommandError> {
    let chat = find::chat(client, &timer.contact).await?;
    let timer_s = match timer.time {
        Some(TimerTime(seconds)) => {
            let _line: Value = client
                .call("timer.set", json!({ "chat": chat, "seconds": seconds }))
                .await?;
            leave(client).await?;
            seconds
        }
        None => timer_of(client, chat).await?,
    };
    if timer.json {
        return show::json_line(&json!({ "chat": chat, "timer_s": timer_s }));
    }
    show::line(&show::timer_words(timer_s))
}

async fn timer_of(client: &mut Client, chat: i64) -> Result<Option<u32>, CommandError> {
    let chats: Vec<Chat> = client.call("chats", json!({ "limit": 1000 })).await?;
    Ok(chats.iter().find(|one| one.id == chat).and_then(|one| one.timer_s))
}

/// A profile that is open for this command alone stays until what was written could leave.
pub(super) async fn leave(client: &mut Client) -> Result<(), CommandError> {
    if client.is_own() {
        receive::catch_up(client).await?;
    }
    Ok(())
}
