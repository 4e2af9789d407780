//! `receive`: prints what came in, each message once.
//!
//! In: unread messages of others. Out: a line each; then they are marked read, which is also what remembers that they
//! were printed. A message is marked only after its line has left this process.

use std::time::Duration;

use serde_json::{Value, json};
use stonechat_daemon::types::{Chat, ChatId, Event, Message, MessageState, Messages as Stretch};
use tokio::time::Instant;

use crate::client::{Client, PATIENCE};
use crate::failure::CommandError;
use crate::grammar::Receive;
use crate::show;

/// After the last arrival, so long a silence means that all that waited has come.
const SILENCE: Duration = Duration::from_millis(400);

/// Prints what is unread; if there is nothing, waits for the first message.
pub(super) async fn receive(client: &mut Client, receive: &Receive) -> Result<(), CommandError> {
    let patience = receive.wait.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let alone = if client.is_own() { PATIENCE } else { Duration::ZERO };
    let end = Instant::now() + patience.unwrap_or(alone);
    client.subscribe().await?;
    let mut printed = print_unread(client, receive).await?;
    if printed > 0 && !client.is_own() {
        return Ok(());
    }
    if patience.is_none() && client.is_own() && !client.connected_before(end).await? {
        show::note("no relay answers; these are the messages that were already here");
        return Ok(());
    }
    loop {
        // Something was printed, or nobody asked to wait: only what is still streaming in.
        let quiet = Instant::now() + SILENCE;
        let until = if printed > 0 || patience.is_none() {
            quiet.min(end)
        } else {
            end
        };
        if !message_before(client, until).await? {
            return Ok(());
        }
        printed += print_unread(client, receive).await?;
    }
}

/// Lets a profile that was just opened take in what waits for it at its relays.
pub(super) async fn catch_up(client: &mut Client) -> Result<(), CommandError> {
    let end = Instant::now() + PATIENCE;
    client.subscribe().await?;
    if client.connected_before(end).await? {
        while client
            .event_before((Instant::now() + SILENCE).min(end))
            .await?
            .is_some()
        {}
    }
    Ok(())
}

async fn message_before(client: &mut Client, end: Instant) -> Result<bool, CommandError> {
    while let Some(event) = client.event_before(end).await? {
        match event {
            Event::MessageAdded { message } if !message.mine => return Ok(true),
            Event::Ingested { .. } => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// Out: how many were printed.
async fn print_unread(client: &mut Client, receive: &Receive) -> Result<usize, CommandError> {
    let mut printed = 0;
    let mut offset = 0;
    loop {
        let chats: Vec<Chat> = client.call("chats", json!({ "limit": 1000, "offset": offset })).await?;
        for chat in chats.iter().filter(|chat| chat.unread > 0) {
            printed += print_chat(client, receive, chat).await?;
        }
        if chats.len() < 1000 {
            return Ok(printed);
        }
        offset += 1000;
    }
}

async fn print_chat(client: &mut Client, receive: &Receive, chat: &Chat) -> Result<usize, CommandError> {
    let mut printed = 0;
    let mut after = chat.first_unread.map(|position| position - 1);
    loop {
        let page = page(client, chat.id, after).await?;
        printed += print_all(receive, chat, page.messages.iter().filter(|message| is_new(message)))?;
        let Some(last) = page.messages.last() else {
            return Ok(printed);
        };
        mark(client, chat.id, last.position).await?;
        printed += print_overtaken(client, receive, chat, &page, after).await?;
        after = Some(last.position);
        if !page.more_after {
            return Ok(printed);
        }
    }
}

async fn page(client: &mut Client, chat: ChatId, after: Option<i64>) -> Result<Stretch, CommandError> {
    client
        .call("messages", json!({ "chat": chat, "after": after, "limit": 500 }))
        .await
}

/// A late message may take its place between those printed just before these were marked: it was marked with them.
async fn print_overtaken(
    client: &mut Client,
    receive: &Receive,
    chat: &Chat,
    before: &Stretch,
    after: Option<i64>,
) -> Result<usize, CommandError> {
    let now = page(client, chat.id, after).await?;
    let last = before.messages.last().map_or(i64::MIN, |last| last.position);
    let known = |message: &Message| before.messages.iter().any(|old| old.id == message.id);
    let overtaken = |message: &&Message| {
        message.position < last && !message.mine && message.state == MessageState::Read && !known(message)
    };
    print_all(receive, chat, now.messages.iter().filter(overtaken))
}

fn print_all<'a>(
    receive: &Receive,
    chat: &Chat,
    messages: impl Iterator<Item = &'a Message>,
) -> Result<usize, CommandError> {
    let mut printed = 0;
    for message in messages {
        print_one(receive, chat, message)?;
        printed += 1;
    }
    Ok(printed)
}

fn is_new(message: &Message) -> bool {
    !message.mine && message.state == MessageState::Received
}

/// What comes in a group begins with its name, as in `search`: it is no answer to its author alone.
fn print_one(receive: &Receive, chat: &Chat, message: &Message) -> Result<(), CommandError> {
    if receive.json {
        return show::json_line(&show::message_json(message));
    }
    let line = show::message_line(message);
    match chat.group {
        Some(_) => show::line(&format!("{}  {line}", show::tame(&chat.name))),
        None => show::line(&line),
    }
}

async fn mark(client: &mut Client, chat: ChatId, position: i64) -> Result<(), CommandError> {
    client
        .call::<Value>("markRead", json!({ "chat": chat, "position": position }))
        .await
        .map(drop)
}
