//! `block`: whom nothing is shown of or answered, and who is not told.

use serde_json::{Value, json};
use stonechat_daemon::types::Contact;

use super::find;
use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::Block;
use crate::show;

/// Blocks, lets in again, or lists.
pub(super) async fn run(client: &mut Client, wish: &Block) -> Result<(), CommandError> {
    let Some(wanted) = &wish.contact else {
        return list(client, wish.json).await;
    };
    let contact = if wish.undo {
        find::pick(blocked(client).await?, wanted)?
    } else {
        match find::contact(client, wanted).await {
            // Who is blocked already stays so.
            Err(CommandError::NoContact(_)) => find::pick(blocked(client).await?, wanted)?,
            found => found?,
        }
    };
    let params = json!({ "id": contact.id, "blocked": !wish.undo });
    client.call::<Value>("contact.block", params).await?;
    if wish.json {
        let blocked = !wish.undo;
        return show::json_line(&Contact { blocked, ..contact });
    }
    let done = if wish.undo { "unblocked" } else { "blocked" };
    show::line(&format!("{done}: {}", show::tame(&contact.name)))
}

async fn list(client: &mut Client, as_json: bool) -> Result<(), CommandError> {
    for contact in blocked(client).await? {
        if as_json {
            show::json_line(&contact)?;
        } else {
            show::line(&format!("{}  {}", contact.id, show::tame(&contact.name)))?;
        }
    }
    Ok(())
}

async fn blocked(client: &mut Client) -> Result<Vec<Contact>, CommandError> {
    client.call("blocked", json!({})).await
}
