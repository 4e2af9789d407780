//! `reply`, `react`, `edit`, `delete`, `history`: what is done to a message, by its id.

use serde_json::{Value, json};
use stonechat_daemon::types::{Message, Version};

use super::receive;
use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::{Delete, Edit, OfMessage, React, Reply};
use crate::show;

/// Answers a message in its chat.
pub(super) async fn reply(client: &mut Client, reply: &Reply) -> Result<(), CommandError> {
    let about: Message = client.call("message", json!({ "id": reply.id })).await?;
    let wish = json!({ "chat": about.chat, "text": reply.text, "replyTo": reply.id });
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
    let message: Message = client.call("edit", json!({ "id": edit.id, "text": edit.text })).await?;
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
            show::json_line(&json!({ "at": version.at, "text": version.text }))?;
        } else {
            show::line(&format!("{}  {}", show::time(version.at), show::tame(&version.text)))?;
        }
    }
    Ok(())
}

/// A profile that is open for this command alone stays until what was written could leave.
async fn leave(client: &mut Client) -> Result<(), CommandError> {
    if client.is_own() {
        receive::catch_up(client).await?;
    }
    Ok(())
}
