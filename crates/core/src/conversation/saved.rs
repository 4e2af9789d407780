//! Saved messages: a chat with oneself, kept on the devices of this account.
//!
//! In: what the person writes there, here or on another device (OWN-9). Out: message rows, and word to the other devices: no
//! commit, no receipt. Everything
//! that is done to messages elsewhere is done to them too (CON-24).

use super::{Conversation, advance_clock, graph, insert_mine, load, loaded, next_header};
use crate::api::{ByChat, ChatId, Event, MessageState, Reply};
use crate::content::{self, mentions, shown::Shown, vanish};
use crate::own;
use crate::step::{Step, Stop};
use rusqlite::{OptionalExtension, params};
use stonechat_wire::ids::{EpochId, MessageId};
use stonechat_wire::message::{self, Kind, MessageHeader};

/// No conversation of MLS has this id: those are random.
const NO_GROUP: [u8; 16] = [0; 16];
const NO_EPOCH: EpochId = EpochId::from_bytes([0; 16]);

/// The chat, made where there is none yet.
pub(crate) fn open(step: &mut Step<'_, '_>) -> Result<Reply, Stop> {
    step.me()?;
    let chat = made(step)?;
    Ok(Reply::Chat(ByChat { chat }))
}

fn made(step: &mut Step<'_, '_>) -> Result<ChatId, Stop> {
    let known: Option<ChatId> = step
        .tx
        .prepare_cached("SELECT id FROM chat WHERE saved = 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    match known {
        Some(chat) => Ok(chat),
        None => begin(step),
    }
}

fn begin(step: &mut Step<'_, '_>) -> Result<ChatId, Stop> {
    let now = step.time.0.cast_signed();
    step.tx.execute(
        "INSERT INTO chat(name, saved, hidden, waiting, read_to, active_at) VALUES ('', 1, 0, 0, ?, ?)",
        params![i64::MIN / 4096, now],
    )?;
    let chat = step.tx.last_insert_rowid();
    step.tx.execute(
        "INSERT INTO conversation(group_id, chat, root, head, leaf, seq, signer, waiting, accounts, renew_at, created_at)
         VALUES (?1, ?2, ?3, ?3, 0, 0, zeroblob(32), 0, 1, ?4, ?4)",
        params![NO_GROUP, chat, NO_EPOCH.as_bytes(), now],
    )?;
    step.touch_chat(chat);
    Ok(chat)
}

/// Whether a conversation is the one with oneself.
pub(crate) fn is_own(step: &Step<'_, '_>, epoch: EpochId) -> Result<bool, Stop> {
    let sql = "SELECT 1 FROM chat WHERE saved = 1";
    Ok(epoch == NO_EPOCH && step.tx.prepare_cached(sql)?.exists([])?)
}

/// Writes a message there: it is where it shall be at once.
pub(super) fn put(
    step: &mut Step<'_, '_>,
    to: &Conversation,
    kind: Kind,
    body: &[u8],
    (shown, client_id): (&Shown, Option<&str>),
) -> Result<MessageId, Stop> {
    let header = next_header(step, to, kind)?;
    let id = message::message_id(&to.group, to.epoch, to.leaf, &header.encode(), body);
    insert_mine(step, to, (id, &header), (shown, client_id))?;
    is_there(step, id)?;
    own::saved(step, [header.encode().as_slice(), body].concat(), None)?;
    Ok(id)
}

/// It is where it shall be.
fn is_there(step: &Step<'_, '_>, id: MessageId) -> Result<(), Stop> {
    step.tx
        .prepare_cached("UPDATE message SET state = ?, acked = 2 WHERE id = ?")?
        .execute(params![MessageState::Read as u8, id.as_bytes()])?;
    vanish::left(step, id)
}

/// Takes in what was written there on another device of mine. Out: whether it is new here (OWN-9).
pub(crate) fn came(step: &mut Step<'_, '_>, plain: &[u8]) -> Result<bool, Stop> {
    let (mut header, body) = MessageHeader::decode(plain).map_err(|_| Stop::Refused("saved message"))?;
    made(step)?;
    let of = load(step, &NO_GROUP)?.ok_or(Stop::Refused("no saved messages"))?;
    let head = plain.get(..plain.len().saturating_sub(body.len())).unwrap_or_default();
    let id = message::message_id(&of.group, of.epoch, of.leaf, head, body);
    if graph::known(step, id)? {
        return Ok(false);
    }
    let shown = shown_as(step, &header, body)?;
    advance_clock(step, header.hlc)?;
    step.tx
        .prepare_cached("UPDATE conversation SET seq = max(seq, ?) WHERE group_id = ?")?
        .execute(params![header.seq, of.group])?;
    forget_missing(step, &of, &mut header)?;
    insert_mine(step, &of, (id, &header), (&shown, None))?;
    is_there(step, id)?;
    if shown.kind.is_none() {
        content::take_in(step, of.chat, id, header.kind, body)?;
        return Ok(true);
    }
    content::arrived(step, of.chat, id)?;
    let message = loaded(step, id)?;
    step.event(Event::MessageAdded { message });
    Ok(true)
}

fn shown_as(step: &Step<'_, '_>, header: &MessageHeader, body: &[u8]) -> Result<Shown, Stop> {
    match header.kind {
        Kind::Reaction | Kind::Edit | Kind::Deletion | Kind::Pin | Kind::Vote | Kind::Close => Ok(Shown::default()),
        Kind::Text | Kind::Reply | Kind::Post | Kind::Timer | Kind::Unknown(_) => {
            mentions::judged(step, NO_EPOCH, step.me()?, Shown::read(header.kind, body))
        }
        _other => Err(Stop::Refused("saved message")),
    }
}

/// What was written before this device was linked never comes: nobody waits for it.
fn forget_missing(step: &Step<'_, '_>, of: &Conversation, header: &mut MessageHeader) -> Result<(), Stop> {
    let mut here = Vec::new();
    for parent in &header.parents {
        if graph::held(step, &of.group, *parent)?.is_some() {
            here.push(*parent);
        }
    }
    header.parents = here;
    Ok(())
}
